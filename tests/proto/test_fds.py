# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Descriptors that are no region's memory, too many of them, or with the wrong
# command; and a daemon that runs out of its own.

import array
import errno
import fcntl
import os
import resource
import signal
import socket
import tempfile

import ismwire
from daemon import LIBC, STRANGER_UID, DaemonCase, Pair, UndisturbedCase, eventually, needs_root, needs_seals
from ismwire import (ALLOC, ALLOC_EX, ATTACH, ATTACH_EX, CHUNK, DETACH, ENOMEM, ERR, EVENT_VECTOR, F_ADD_SEALS,
                     F_GET_SEALS, GRANT_DEFAULT, GRANT_DEVICE, LINK, LIST, OK, PERM_ATTACH, QUERY, READ, REGION_SEALS,
                     SEAL_FUTURE_WRITE, SEAL_GROW, SEAL_SEAL, SEAL_SHRINK, SEAL_WRITE, WRITE, Closed, Refused, close_all,
                     command, reopen)

RW = READ | WRITE
SO_PASSRIGHTS = 83
HUGE = 2 << 20


class WrongMemory(UndisturbedCase):
    """Each is answered with an error, and the connection goes on."""

    def refuses(self, fd, size=CHUNK, what=''):
        c = self.client()
        for body in (command(ALLOC, 'Q', size), command(ALLOC_EX, 'QIIQ', size, 0, 1, 0)):
            with self.subTest(what=what or fd, command=body[:2]):
                reply = c.raw_command(body, [fd])
                self.assertEqual((reply.status, reply.data, reply.fds), (ERR, b'', []))
        good = self.memfd()     # a batch is as bad as its worst
        for fds in ([fd, good], [good, fd]):
            self.assertEqual(c.raw_command(command(ALLOC_EX, 'QIIQ', size, 0, 2, 0), fds).status, ERR)
        c.alloc()
        self.assertEqual(c.domain().regions, 2)
        c.close()

    def opened(self, fd):
        self.addCleanup(os.close, fd)
        return fd

    def test_no_memory_at_all(self):
        r, w = os.pipe()
        for fd in (self.opened(r), self.opened(w)):
            self.refuses(fd, what='pipe')
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            s, t = socket.socketpair(socket.AF_UNIX, kind)
            self.addCleanup(s.close)
            self.addCleanup(t.close)
            self.refuses(s.fileno(), what='socket')
        for path, flags in ((self.daemon.dir, os.O_RDONLY), ('/dev/null', os.O_RDWR), ('/dev/zero', os.O_RDWR),
                            ('/proc/self/status', os.O_RDONLY)):
            self.refuses(self.opened(os.open(path, flags)), what=path)
        self.refuses(self.opened(LIBC.eventfd(0, 0)), what='eventfd')
        self.refuses(self.opened(LIBC.epoll_create1(0)), what='epoll')

    @needs_seals
    def test_regular_files(self):
        for where in (self.daemon.dir, '/dev/shm'):
            with self.subTest(where=where), tempfile.TemporaryFile(dir=where) as f:
                f.truncate(CHUNK)
                os.fchmod(f.fileno(), 0o600)
                self.refuses(f.fileno())

    @needs_seals
    def test_seals(self):
        for seals in (0, SEAL_SHRINK, SEAL_GROW, SEAL_SHRINK | SEAL_GROW, SEAL_SHRINK | SEAL_SEAL, SEAL_GROW | SEAL_SEAL,
                      SEAL_SEAL, REGION_SEALS | SEAL_WRITE, REGION_SEALS | SEAL_FUTURE_WRITE):
            self.refuses(self.memfd(seals=seals), what=seals)
        fd = self.opened(os.memfd_create('unsealable', os.MFD_CLOEXEC))
        os.ftruncate(fd, CHUNK)
        os.fchmod(fd, 0o600)
        self.refuses(fd)

    def test_sizes(self):
        for size in (0, 1, 4096, CHUNK - 4096, CHUNK + 4096, 2 * CHUNK):
            self.refuses(self.memfd(size), what=size)
        self.refuses(self.memfd(CHUNK), CHUNK + 1)
        self.refuses(self.memfd(0), 0)
        self.refuses(self.memfd(CHUNK), (1 << 64) - 1)

    def test_shrunk_before_it_was_sent(self):
        fd = self.memfd(seals=0)
        os.ftruncate(fd, CHUNK // 2)
        fcntl.fcntl(fd, F_ADD_SEALS, REGION_SEALS)
        self.refuses(fd)

    def test_modes(self):
        for mode in (0o777, 0o666, 0o644, 0o640, 0o601, 0o400, 0o000, 0o700, 0o4600, 0o1600):
            self.refuses(self.memfd(mode=mode), what=oct(mode))

    def test_access(self):
        fd = self.memfd()
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_PATH):
            self.refuses(self.opened(reopen(fd, flags)), what=flags)

    def test_the_same_object_for_two_regions_is_the_creators_business(self):
        c, fd = self.client(), self.memfd()
        self.assertEqual(c.raw_command(command(ALLOC_EX, 'QIIQ', CHUNK, 0, 2, 0), [fd, fd]).status, OK)

    def test_harmless_extra_seal(self):
        c, fd = self.client(), self.memfd(seals=0)
        try:
            fcntl.fcntl(fd, F_ADD_SEALS, REGION_SEALS | 0x20)   # F_SEAL_EXEC, Linux 6.3
        except OSError:
            self.skipTest('this kernel has no F_SEAL_EXEC')
        self.assertEqual(c.raw_command(command(ALLOC, 'Q', CHUNK), [fd]).status, OK)

    def test_sealed_against_who_attaches(self):
        a, b = self.client(), self.client()
        s = b.attach(a.alloc().token)
        for attempt in (lambda: os.ftruncate(s.fd, 0), lambda: os.ftruncate(s.fd, 2 * CHUNK),
                        lambda: fcntl.fcntl(s.fd, F_ADD_SEALS, SEAL_WRITE)):
            with self.assertRaises(OSError) as caught:
                attempt()
            self.assertEqual(caught.exception.errno, errno.EPERM)
        self.assertEqual(fcntl.fcntl(s.fd, F_GET_SEALS) & 0x1f, REGION_SEALS)


class WrongNumber(UndisturbedCase):
    def test_with_commands_that_take_none(self):
        c, fd = self.client(), self.memfd()
        token, devid = self.pair.ra.token, self.pair.a.devid
        for body in (command(ATTACH, 'QI', token, RW), command(ATTACH_EX, 'QII', token, RW, 0),
                     command(DETACH, 'Q', token), command(GRANT_DEFAULT, 'QQ', token, RW),
                     command(GRANT_DEVICE, 'QQQ', token, RW, devid), command(EVENT_VECTOR, 'QQ', token, 1),
                     command(QUERY, 'IIQQ', 0, 0, 0, 0), command(LIST, 'QQ', token, 0), command(LINK, 'Q', devid),
                     command(0x8006), b'', b'\0'):
            for nr in (1, 2, 128):
                with self.subTest(body=body, nr=nr):
                    reply = c.raw_command(body, [fd] * nr)
                    self.assertEqual((reply.status, reply.data, reply.fds), (ERR, b'', []))

    def test_more_or_less_than_regions(self):
        c, fd = self.client(), self.memfd()
        for nr in (2, 3, 64, 65, 128):
            self.assertEqual(c.raw_command(command(ALLOC, 'Q', CHUNK), [fd] * nr).status, ERR, nr)
        for regions, nr in ((1, 2), (2, 1), (3, 2), (64, 63), (63, 64), (64, 65), (64, 128), (0, 1), (65, 65)):
            body = command(ALLOC_EX, 'QIIQ', CHUNK, 0, regions, 0)
            self.assertEqual(c.raw_command(body, [fd] * nr).status, ERR, (regions, nr))
        self.assertEqual(c.domain().regions, 1)

    def test_batch_that_does_not_fit_leaves_nothing(self):
        c, fd = self.client(window=4 * CHUNK), self.memfd()
        self.assertEqual(c.raw_command(command(ALLOC_EX, 'QIIQ', CHUNK, 0, 5, 0), [fd] * 5).status, 28)
        self.assertEqual(c.domain().regions, 1)
        self.assertEqual(c.raw_command(command(ALLOC_EX, 'QIIQ', CHUNK, 0, 4, 0), [fd] * 4).status, OK)

    def test_two_groups_in_one_message(self):
        """Two SCM_RIGHTS headers: the kernel makes one list of them."""
        c, fds = self.client(), [self.memfd(), self.memfd()]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fd.to_bytes(4, 'little')) for fd in fds]
        body = command(ALLOC_EX, 'QIIQ', CHUNK, 0, 2, 0)
        c.sock.sendmsg([ismwire.message(ismwire.COMMAND, body, 2, 1)], rights)
        self.assertEqual(c.recv().body[0], OK)

    def test_its_own_connection_as_a_descriptor(self):
        """A cycle of sockets in flight is the kernel's to collect."""
        c = self.client()
        for _ in range(20):
            self.assertEqual(c.raw_command(command(ALLOC, 'Q', CHUNK), [c.sock.fileno()]).status, ERR)

    def hide(self, client, fd):
        """Leave the connection in a socket whose other end the host has."""
        with socket.socket(fileno=os.dup(fd)) as s:
            try:
                s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [client.sock.fileno()]))])
            except OSError:
                return
        client.close()

    def test_connection_hidden_in_the_wake_socket(self):
        c = self.client()
        c.alloc()
        self.hide(c, c.wake.fileno())

    def test_connection_hidden_in_a_vector(self):
        c = self.client()
        fd, = c.must(EVENT_VECTOR, 'QQ', c.alloc().token, 1).fds
        self.addCleanup(os.close, fd)
        self.hide(c, fd)

    def test_connections_hidden_in_the_links_of_a_ring(self):
        """The host keeps the other end of a link's socket until it is asked for."""
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS)
            except OSError:
                self.skipTest('a socket cannot refuse descriptors: needs Linux 6.16')
        ring = [self.client() for _ in range(3)]
        token = ring[0].alloc().token
        for c in ring[1:]:
            c.attach(token)
        links = [c.link(ring[i - 1].devid)[2] for i, c in enumerate(ring)]
        for c, fds in zip(ring, links):
            self.hide(c, fds[1])
            close_all(fds)


class HugePages(UndisturbedCase):
    daemon_options = {'others': True}

    def huge(self):
        try:
            return self.memfd(HUGE, flags=os.MFD_HUGETLB)
        except OSError as e:
            self.skipTest('no hugetlb memory objects here (%s)' % e.strerror)

    def test_within_one_user(self):
        a, b = self.client(), self.client()
        reply = a.must(ALLOC, 'Q', HUGE, fds=[self.huge()])
        reply = b.command(ATTACH, 'QI', int.from_bytes(reply.data[:8], 'little'), RW)
        close_all(reply.fds)
        self.assertEqual((reply.status, len(reply.fds)), (OK, 1))

    @needs_root
    def test_not_for_others(self):
        a, b = self.client(), self.client(STRANGER_UID)
        token = int.from_bytes(a.must(ALLOC, 'Q', HUGE, fds=[self.huge()]).data[:8], 'little')
        self.assertEqual(b.command(ATTACH, 'QI', token, RW)[0::2], (PERM_ATTACH, []))
        self.assertEqual(a.list(token), (0, []))


@needs_root
class PairsOfAnotherUser(UndisturbedCase):
    """Who is not of the host's uid brings two descriptors for each region: to write, and to read."""

    daemon_options = {'others': True}

    def setUp(self):
        super().setUp()
        self.c = self.client(STRANGER_UID)
        self.rw = self.memfd()
        self.ro = reopen(self.rw, os.O_RDONLY)
        self.addCleanup(os.close, self.ro)

    def status(self, *fds, regions=None):
        if regions is None:
            return self.c.raw_command(command(ALLOC, 'Q', CHUNK), fds).status
        return self.c.raw_command(command(ALLOC_EX, 'QIIQ', CHUNK, 0, regions, 0), fds).status

    def test_right(self):
        self.assertEqual(self.status(self.rw, self.ro), OK)
        self.assertEqual(self.status(*[self.rw, self.ro] * 64, regions=64), OK)

    def test_wrong(self):
        other = self.memfd()
        other_ro, path = reopen(other, os.O_RDONLY), reopen(self.rw, os.O_PATH)
        self.addCleanup(close_all, (other_ro, path))
        for fds in ((self.rw,), (self.ro,), (self.ro, self.rw), (self.rw, self.rw), (self.ro, self.ro),
                    (self.rw, other_ro), (self.rw, other), (self.rw, path), (path, self.ro),
                    (self.rw, self.ro, self.rw), (self.rw, self.ro, self.rw, self.ro)):
            self.assertEqual(self.status(*fds), ERR, fds)
        self.assertEqual(self.status(self.rw, self.ro, self.rw, other_ro, regions=2), ERR)
        self.assertEqual(self.status(self.rw, self.rw, self.ro, self.ro, regions=2), ERR)


class OutOfDescriptors(DaemonCase):
    daemon_options = {'nofile': 64}

    def test_refuses_and_recovers(self):
        pair = Pair(self.daemon)
        self.addCleanup(pair.close)
        before = self.daemon.resources()
        greedy = self.client()
        statuses = set()
        while ENOMEM not in statuses and len(greedy.regions) < 100:     # until a region of the host's finds none
            reply = greedy.command(ALLOC, 'Q', CHUNK)
            close_all(reply.fds)
            statuses.add(reply.status)
        self.assertEqual(statuses, {OK, ENOMEM})
        pair.check()
        self.refused(ENOMEM, pair.a.alloc)      # its descriptor cannot be taken, which is no fault of its own
        pair.check()
        waiting = []
        for _ in range(10):         # some get no answer yet, some are told, none disturbs the pair
            c = self.stranger()
            c.sock.settimeout(0.05)
            try:
                c.hello()
            except (Closed, Refused, TimeoutError, socket.timeout):
                pass
            waiting.append(c)
            pair.check()
        for c in [greedy, *waiting]:
            c.close()
        eventually(lambda: self.daemon.resources() == before, lambda: str(self.daemon.resources()))
        pair.check()
        self.client().alloc()
        self.assertLess(self.daemon.log().count('cannot accept'), 200)
        self.daemon.expected_errors = True

    def test_limit_is_the_hosts_and_not_ours(self):
        self.assertGreater(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 64)
        self.assertEqual(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)

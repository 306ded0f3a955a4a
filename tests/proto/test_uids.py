# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# What another user can and cannot do: processes that really run as somebody
# else, with the domain's socket and no privileges.

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import time
import traceback

import ismwire
from daemon import (DEADLINE, ISMD, LIBC, PR_SET_PDEATHSIG, Daemon, DaemonCase, UndisturbedCase, clean_env, eventually,
                    needs_root, stand_still)
from ismwire import (ATTACH, ATTACH_EX, CHUNK, COMMAND, ENOENT, ENOSPC, F_ADD_SEALS, HELLO, MAY_ATTACH, PRIVATE, READ, RING,
                     SEAL_WRITE, WRITE, Client, Closed, Refused, close_all, command, hello_body, message)
from slowfile import SlowFile

RW = READ | WRITE
ALICE, BOB = 64101, 64102       # nobody in particular: a user needs no name
DEVICES, REGIONS = 6, 20        # quota of a user
LOG_LINES = 50                  # that a flood may cause, and five more in each second that it takes


class User:
    """A process of another user: runs @main(self), which talks with the test by say() and hear()."""

    def __init__(self, uid, main):
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.settimeout(DEADLINE)
        self.sock, self.pid = mine, os.fork()
        if self.pid != 0:
            its.close()
            return
        status = 1
        try:
            self.sock = its
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            main(self)
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)

    def say(self, value=None):
        self.sock.send(json.dumps(value).encode())

    def hear(self):
        data = self.sock.recv(65536)
        if not data:
            raise AssertionError('the user\'s process has ended: see above')
        return json.loads(data)

    def end(self):
        """It has nothing more to do: status 0."""
        status = eventually(lambda: os.waitpid(self.pid, os.WNOHANG)[1:] if self.gone() else None, 'the user\'s end')[0]
        self.sock.close()
        if status != 0:
            raise AssertionError('the user\'s process failed: see above')

    def gone(self):
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        self.sock.close()


def fails(call, *errors):
    """@call fails with one of these errors."""
    try:
        call()
    except OSError as e:
        if e.errno not in errors:
            raise AssertionError('%s: expected one of %s' % (e, [errno.errorcode[n] for n in errors])) from e
        return
    raise AssertionError('nothing prevented it')


class UsersCase(UndisturbedCase):
    daemon_options = {'others': True}
    daemon_args = ('--set', 'user-devices=%d' % DEVICES, '--set', 'user-regions=%d' % REGIONS)

    def user(self, main, uid=ALICE):
        user = User(uid, main)
        self.addCleanup(user.kill)
        return user


@needs_root
class Attach(UsersCase):
    def test_needs_token_and_right(self):
        a = self.client()
        region = a.alloc(flags=PRIVATE)

        def main(user):
            c = Client(self.daemon.path).hello()
            user.say(c.devid)
            for rights in (READ, RW):       # no right; and no such token
                for token in (region.token, region.token ^ 1):
                    reply = c.command(ATTACH_EX, 'QII', token, rights, 0)
                    assert (reply.status, reply.data, reply.fds) == (ENOENT, b'', []), reply
            user.say()
            user.hear()                     # the right to read
            assert c.command(ATTACH_EX, 'QII', region.token, RW, 0).status != 0
            assert c.attach(region.token, READ).mem[:5] == b'alice'
            user.say()
            user.hear()                     # no right any more
            other = Client(self.daemon.path).hello()
            assert other.command(ATTACH_EX, 'QII', region.token, READ, 0).status == ENOENT
            c.close()
            other.close()

        region.mem[:5] = b'alice'
        user = self.user(main)
        devid = user.hear()
        user.hear()
        self.assertEqual(a.list(region.token), (0, []))
        a.grant(region.token, READ | MAY_ATTACH, devid)
        user.say()
        user.hear()
        a.grant(region.token, 0, devid)
        user.say()
        user.end()

    def test_a_right_is_one_devices_and_not_anothers(self):
        """Bob cannot use what Alice was given, whatever he knows of it."""
        a = self.client()
        region = a.alloc(flags=PRIVATE)

        def alice(user):
            with Client(self.daemon.path).hello() as c:
                user.say(c.devid)
                user.hear()
                c.attach(region.token, READ)
                user.say()
                user.hear()

        def bob(user):
            with Client(self.daemon.path).hello() as c:
                assert c.command(ATTACH, 'QI', region.token, READ).status == ENOENT
                user.say()

        first = self.user(alice)
        a.grant(region.token, READ | MAY_ATTACH, first.hear())
        first.say()
        first.hear()
        second = self.user(bob, BOB)
        second.hear()
        second.end()
        first.say()
        first.end()

    def test_cannot_learn_whether_a_token_exists(self):
        a = self.client()
        private, shut = a.alloc(flags=PRIVATE), a.alloc()
        a.grant(shut.token, READ)           # the default has no ATTACH any more

        def main(user):
            answers = set()
            for token in (private.token, shut.token, private.token ^ 1, shut.token ^ 2):
                for rights in (READ, RW):
                    with Client(self.daemon.path).hello() as c:
                        c.send(COMMAND, command(ATTACH_EX, 'QII', token, rights, 0), sequence=1)
                        data, fds = c.recv_raw()
                        answers.add(data)
                        assert not fds
                    with Client(self.daemon.path).hello() as c:     # nor by any other command
                        for cmd, layout, values in ((0x300, 'QQ', (token, RW)), (0x301, 'QQQ', (token, RW, c.devid)),
                                                    (ismwire.LIST, 'QQ', (token, 0)), (ismwire.DETACH, 'Q', (token,))):
                            assert c.command(cmd, layout, *values).status == ENOENT, hex(cmd)
            assert answers == {message(COMMAND, bytes([ENOENT]), sequence=1)}, answers

        self.user(main).end()


@needs_root
class ReadOnly(UsersCase):
    def test_cannot_be_written_through_reopened_or_resized(self):
        a = self.client()
        region = a.alloc()

        def main(user):
            c = Client(self.daemon.path).hello()
            fd = c.attach(region.token, READ).fd
            fails(lambda: mmap.mmap(fd, CHUNK, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE), errno.EACCES)
            fails(lambda: os.pwrite(fd, b'x', 0), errno.EBADF)
            for size in (0, CHUNK // 2, 2 * CHUNK):
                fails(lambda size=size: os.ftruncate(fd, size), errno.EINVAL, errno.EPERM, errno.EBADF)
            fails(lambda: os.posix_fallocate(fd, 0, 2 * CHUNK), errno.EBADF)
            for flags in (os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
                fails(lambda flags=flags: os.open('/proc/self/fd/%d' % fd, flags), errno.EACCES)
                fails(lambda flags=flags: os.open('/proc/%d/fd/%d' % (os.getppid(), region.fd), flags), errno.EACCES,
                      errno.EPERM)
            fails(lambda: os.truncate('/proc/self/fd/%d' % fd, 0), errno.EACCES)
            for mode in (0o666, 0o777):
                fails(lambda mode=mode: os.fchmod(fd, mode), errno.EPERM)
            fails(lambda: os.fchown(fd, ALICE, -1), errno.EPERM)
            fails(lambda: fcntl.fcntl(fd, F_ADD_SEALS, SEAL_WRITE), errno.EPERM)
            # What is mapped to read stays so.
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
            libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            at = libc.mmap(None, CHUNK, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
            assert libc.mprotect(at, CHUNK, mmap.PROT_READ | mmap.PROT_WRITE) == -1
            assert ctypes.get_errno() == errno.EACCES
            libc.madvise(ctypes.c_void_p(at), CHUNK, 9)     # MADV_REMOVE: a hole would be a write
            c.close()

        region.mem[:] = b'r' * CHUNK
        self.user(main).end()
        self.assertEqual(region.mem[:], b'r' * CHUNK)
        self.assertEqual(os.fstat(region.fd).st_size, CHUNK)


@needs_root
class Wakes(UsersCase):
    def test_a_full_wake_descriptor_blocks_nobody(self):
        """Whoever rings a peer that reads nothing, and has filled all that it was given, goes on at once."""
        a = self.client()
        region = a.alloc()

        def main(user):
            c = Client(self.daemon.path).hello()
            mine = c.attach(region.token)
            user.say(c.devid)
            devid = user.hear()
            number, ident, fds = c.link(devid)
            assert number >= 0 and ident > 0
            given = fds + [c.wake.fileno(), mine.fd]
            for fd in given:
                fcntl.fcntl(fd, fcntl.F_SETFL, 0)           # blocking, for whoever shares it
                for stuff in (b'x' * 4096, b'x', b'\1' + bytes(7)):
                    try:
                        while os.fstat(fd).st_mode & 0o170000 == 0o140000:      # a socket
                            socket.socket(fileno=os.dup(fd)).send(stuff, socket.MSG_DONTWAIT)
                    except OSError:
                        pass
            user.say()
            user.hear()
            c.close()

        user = self.user(main)
        devid = user.hear()
        user.say(a.devid)
        user.hear()
        _, _, fds = a.link(devid)
        self.addCleanup(close_all, fds)
        sender = socket.socket(fileno=os.dup(fds[1]))
        self.addCleanup(sender.close)
        # Our end is ours: nobody has made it blocking, and what does not fit is refused at once.
        self.assertTrue(fcntl.fcntl(fds[1], fcntl.F_GETFL) & os.O_NONBLOCK)
        with self.assertRaises(BlockingIOError):
            while True:
                sender.send(b'x' * 4096)
        for _ in range(1000):       # through the host, which has the same to expect
            a.ring(region.slot)
            self.pair.a.domain()
        self.pair.check()
        user.say()
        user.end()


def lingering():
    """A TCP socket whose closing takes ten minutes, and what has to be kept meanwhile."""
    listener, s = socket.socket(), socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listener.bind(('127.0.0.1', 0))
    listener.listen()
    s.connect(listener.getsockname())
    peer = listener.accept()[0]
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 600))
    s.setblocking(False)
    try:
        while True:
            s.send(bytes(65536))        # nobody reads it
    except BlockingIOError:
        pass
    return s, (listener, peer)


@needs_root
class Closing(UsersCase):
    """Whose descriptors cannot be closed is its own affair."""

    daemon_args = UsersCase.daemon_args + ('--set', 'device-regions=10')

    def under(self, main):
        user = self.user(main)
        while True:
            step = user.hear()
            if step == 'wait':  # the host: until what is sent has nobody else
                stand_still(self.daemon.pid)
                user.say()
                user.hear()
                os.kill(self.daemon.pid, signal.SIGCONT)
            for _ in range(5):
                self.pair.check()
            with eventually(self.newcomer, 'a new device of ours') as c:
                c.alloc()
            if step == 'end':
                break
            user.say()
        return user

    def newcomer(self):
        try:
            return self.daemon.client()
        except (Closed, BlockingIOError, ConnectionError):
            return None

    def test_sockets_that_linger(self):
        kept = []

        def bad(c, kind, body, nr=1):
            """Sent by a process that ends at once: nobody but the host shall close the last one, and wait."""
            s, more = lingering()
            kept.append(more)
            r, w = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(w)
                os.read(r, 1)
                try:
                    c.send_raw(message(kind, body, nr), [s.fileno()] * nr)
                finally:
                    os._exit(0)
            s.close()
            os.close(w)
            os.close(r)
            os.waitpid(pid, 0)

        def main(user):
            alloc = command(ismwire.ALLOC, 'Q', CHUNK)
            for greet, kind, body, nr in ((False, HELLO, hello_body(), 1), (False, COMMAND, alloc, 1),
                                          (True, COMMAND, alloc, 1), (True, COMMAND, alloc, 2), (True, COMMAND, alloc, 253),
                                          (True, RING, b'', 1), (True, COMMAND, bytes(16000), 1), (True, COMMAND, b'', 130)):
                c = Client(self.daemon.path)
                if greet:
                    c.hello()
                user.say('wait')
                user.hear()
                bad(c, kind, body, nr)
                user.say()
                user.hear()
                c.close()
                user.say('closed')
                user.hear()
            user.say('wait')            # never read: the connections end before their turn comes
            user.hear()
            for nr in range(30):
                c = Client(self.daemon.path)
                for _ in range(4):
                    bad(c, nr, b'')
                c.close()
            user.say()
            user.hear()
            user.say('end')

        self.under(main).end()

    def test_files_whose_server_does_not_answer(self):
        try:
            slow = SlowFile(lambda pid: os.path.exists('/proc/%d/task/%d' % (self.daemon.pid, pid)))
        except OSError as e:
            self.skipTest('no file systems in user space here: %s' % e)
        self.addCleanup(slow.close)
        fd = slow.open()

        def main(user):
            for i in range(3):
                with Client(self.daemon.path).hello() as c:
                    c.send(COMMAND, command(ismwire.ALLOC, 'Q', CHUNK), [fd, fd])
                    assert c.recv().body[0] != 0
                user.say('came')
                user.hear()
            try:        # and no more than a few of them
                while True:
                    with Client(self.daemon.path).hello() as c:
                        c.send(COMMAND, command(ismwire.ALLOC, 'Q', CHUNK), [fd] * 100)
                        c.recv()
            except (Closed, ConnectionError):
                pass
            user.say('end')

        user = self.under(main)
        eventually(lambda: slow.held, 'the host closes it')
        self.assertLess(self.daemon.fds() - self.baseline[0], 600)

        def bob(user):          # is not made to pay for it
            with Client(self.daemon.path).hello() as c:
                c.alloc()
        self.user(bob, BOB).end()
        user.end()
        slow.release()


@needs_root
class Host(DaemonCase):
    daemon_options = {'others': True}

    def try_all(self, path):
        user = User(ALICE, lambda user: self.attempts(path))
        self.addCleanup(user.kill)
        user.end()

    def attempts(self, path):
        fails(lambda: os.unlink(path), errno.EACCES, errno.EPERM)
        fails(lambda: os.rename(path, path + '2'), errno.EACCES, errno.EPERM)
        fails(lambda: os.rename(path, '/tmp/ism-uids-%d' % os.getpid()), errno.EACCES, errno.EPERM, errno.EXDEV)
        for flags in (os.O_RDONLY, os.O_RDWR):      # a lock needs it open
            fails(lambda flags=flags: os.open(path + '.lock', flags), errno.EACCES)
        fails(lambda: os.open(path + '.new', os.O_CREAT | os.O_RDWR), errno.EACCES)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fails(lambda: s.bind(path), errno.EADDRINUSE, errno.EACCES)
        s.close()
        if not os.access(ISMD, os.X_OK):        # built where others may not look
            return
        for arguments in (['--foreground'], ['--foreground', '--replace']):
            run = subprocess.run([ISMD, *arguments, '--set', 'keep=no', path], env=clean_env(), capture_output=True,
                                 timeout=DEADLINE, check=False)
            assert run.returncode == 1, run

    def test_the_role_cannot_be_taken_from_it(self):
        self.try_all(self.daemon.path)
        with self.daemon.client() as c:
            self.assertEqual(c.host_kind, 3)

    def test_nor_when_it_is_dead(self):
        daemon = Daemon(others=True)
        self.addCleanup(daemon.kill)
        daemon.proc.kill()
        daemon.proc.wait()
        self.try_all(daemon.path)


@needs_root
class Descriptors(UsersCase):
    """Without any quota, one user can have half of those that the host may open, and no more."""

    daemon_args, daemon_options = (), {'others': True, 'nofile': 1200}

    def fill(self, user, links):
        """Devices, regions, links, as many as can be had; how many regions."""
        devices, nr = [], 0
        try:
            for _ in range(6):
                devices.append(Client(self.daemon.path).hello())
            region = devices[0].alloc()
            for c in devices[1:]:
                c.attach(region.token)
            for i, c in enumerate(devices if links else []):
                for d in devices[i + 1:]:       # the other end's are never fetched
                    close_all(c.link(d.devid)[2])
        except Refused as e:
            assert e.status == ENOSPC, e.status
        try:
            while True:
                devices[nr % len(devices)].alloc()
                nr += 1
        except Refused as e:
            assert e.status == ENOSPC, e.status
        user.say(nr)
        user.hear()

    def fills(self, links):
        alice = self.user(lambda user: self.fill(user, links))
        first = alice.hear()
        bob = self.user(lambda user: self.fill(user, links), BOB)
        second = bob.hear()
        self.assertGreater(first, 10)
        self.assertGreater(second, 2)
        self.assertLess(self.daemon.fds(), 900)
        for _ in range(20):
            self.client().alloc()
        for user in (alice, bob):
            user.say()
            user.end()

    def test_regions(self):
        self.fills(False)

    def test_links(self):
        self.fills(True)


@needs_root
class Exhaustion(UsersCase):
    def test_descriptors(self):
        """Connections that say nothing, devices, and regions with all their descriptors: up to the quota."""
        before = self.daemon.fds()

        def main(user):
            resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
            silent, devices = [], []
            for _ in range(2000):
                s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                s.setblocking(False)
                try:
                    s.connect(self.daemon.path)
                except OSError:
                    s.close()
                    continue
                silent.append(s)
            for s in silent:
                s.close()
            while True:
                try:
                    devices.append(Client(self.daemon.path).hello())
                except Refused as e:
                    assert e.status == ENOSPC, e.status
                    break
                except (Closed, BlockingIOError, ConnectionError):      # the queue is full of those that said nothing
                    continue
            assert len(devices) == DEVICES, len(devices)
            nr = 0
            try:
                while True:
                    devices[nr % DEVICES].alloc()
                    nr += 1
            except Refused as e:
                assert e.status == ENOSPC, e.status
            assert nr == REGIONS, nr
            user.say()
            user.hear()

        user = self.user(main)
        for _ in range(100):        # meanwhile others work, and can come
            self.pair.check()
        user.hear()
        with eventually(self.newcomer, 'a new device of ours') as c:
            c.alloc()
        # Each device has three and its links, each region two.
        eventually(lambda: self.daemon.fds() - before < 10 * DEVICES + 3 * REGIONS,
                   lambda: '%d descriptors, before %d' % (self.daemon.fds(), before))
        user.say()
        user.end()

    def newcomer(self):
        try:
            return self.daemon.client()
        except (Closed, BlockingIOError, ConnectionError):
            return None

    def test_who_says_nothing_has_room_of_its_own(self):
        """However many connections a user makes, those of others have their five seconds for a hello."""
        def main(user):
            resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
            while user.hear():
                silent = []
                while len(silent) < 600:
                    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                    try:
                        s.connect(self.daemon.path)
                    except OSError:
                        s.close()
                        continue
                    silent.append(s)
                user.say()
                user.hear()
                for s in silent:
                    s.close()

        user = self.user(main)
        for _ in range(10):
            user.say(True)
            began, ours = time.monotonic(), self.stranger()
            user.hear()
            try:
                ours.hello()
                break
            except Closed:
                self.assertGreaterEqual(time.monotonic() - began, 5, 'it was made to go')
            finally:
                ours.close()
                user.say()
        else:
            self.skipTest('this machine is too slow to make 600 connections in five seconds')
        user.say(False)
        user.end()

    def test_memory_and_log(self):
        began, lines, start = self.daemon.rss(), self.daemon.log().count('\n'), time.monotonic()

        def main(user):
            for i in range(300):    # what is wrong in itself, refused, unknown
                with Client(self.daemon.path) as c:
                    try:
                        if i % 3 == 0:
                            c.send_raw(os.urandom(64))
                            c.expect_closed()
                            continue
                        c.hello()
                        if i % 3 == 1:
                            c.send(COMMAND, command(ATTACH, 'QI', i + 1, RW))
                        else:
                            for size in (1 << 62, (1 << 64) - 1, 0):
                                c.command(ismwire.ALLOC, 'Q', size)
                    except (Closed, Refused):
                        continue
            user.say()

        user = self.user(main)
        while not select.select([user.sock], [], [], 0)[0]:
            self.pair.check()
        user.hear()
        user.end()
        self.assertLess(self.daemon.rss() - began, 16 << 20)
        self.assertLess(self.daemon.log().count('\n') - lines, LOG_LINES + 5 * (time.monotonic() - start))

    def test_processor(self):
        """Whoever asks without a pause has its turn, and others theirs; and then it is quiet."""
        def main(user):
            c = Client(self.daemon.path).hello()
            user.say()
            while not select.select([user.sock], [], [], 0)[0]:
                c.query_all(ismwire.QUERY_DEVICES)
                c.ring(0)
            c.close()

        user = self.user(main)
        user.hear()
        for _ in range(200):
            self.pair.check()
        user.say()
        user.end()

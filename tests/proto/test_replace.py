# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# REPLACE and SUCCESSOR: what goes over the wire, and who hears of it.

import mmap
import os
import struct

from daemon import STRANGER_UID, UndisturbedCase, eventually, needs_pids, needs_root, needs_seals
from ismwire import CHUNK, COMMAND, ENOENT, ERR, EVENT_CAME, EVENT_WENT, OK, PERM_ATTACH, READ, WRITE, command
from test_vhost import VhostCase
from vhostwire import F_VERSION_1

REPLACE, SUCCESSOR, SHUT_OUT = 0x8002, 0x8008, 0x8009
ENXIO, ENODEV, EINVAL, EALREADY = 6, 19, 22, 114
EVENT_MOVED = 8
RW = READ | WRITE
ALL = 15


class ReplaceCase(UndisturbedCase):
    def memory(self, client, size=CHUNK):
        fd = self.memfd(size)
        return [fd, os.open('/proc/self/fd/%d' % fd, os.O_RDONLY)] if client.want_ro else [fd]

    def replace(self, client, region, fds=None):
        """token, offset, size, slot, rights, event"""
        reply = client.must(REPLACE, 'QQ', region.token, region.size, fds=self.memory(client) if fds is None else fds)
        self.addCleanup(lambda: [os.close(fd) for fd in reply.fds])
        return struct.unpack('<QQQIIQ', reply.data), reply.fds


class Replace(ReplaceCase):
    def test_the_others_are_told_and_the_one_shut_out_is_not(self):
        a, b, c = self.client(), self.client(), self.client()
        r = a.alloc()
        rb, rc = b.attach(r.token), c.attach(r.token)
        a.grant(r.token, 0, c.devid)
        tails = b.state.event_tail, c.state.event_tail
        (token, offset, size, slot, rights, _), fds = self.replace(a, r)
        self.assertEqual((offset, size, rights, fds), (CHUNK, CHUNK, ALL, []))
        self.assertNotEqual(slot, r.slot)
        self.assertEqual(tuple(b.state.event(tails[0])), (EVENT_MOVED, rb.offset, a.devid, 2, r.token))
        self.assertEqual((b.state.event_tail, c.state.event_tail), (tails[0] + 1, tails[1]))
        self.assertEqual(b.must(SUCCESSOR, 'Q', r.token).data, struct.pack('<QII', token, 1, 0))
        self.refused(ENOENT, c.must, SUCCESSOR, 'Q', r.token)
        self.refused(ENOENT, c.attach, token)
        self.assertEqual(b.attach(token).mem[:], bytes(CHUNK))
        self.assertEqual(tuple(a.state.event(a.state.event_tail - 1))[0::2], (EVENT_CAME, b.devid, token))
        self.assertEqual(rc.mem[:], bytes(CHUNK))
        info = a.domain_regions()[token]
        self.assertEqual((info.creator, info.default_rights, info.referrers), (a.devid, 0, 2))
        d = self.client()       # as a new device of that program
        self.refused(ENOENT, d.attach, r.token)
        self.refused(ENOENT, d.attach, token)

    def test_the_host_makes_the_memory(self):
        a = self.client()
        r = a.alloc()
        (token, _, size, *_), fds = self.replace(a, r, ())
        self.assertEqual((len(fds), os.fstat(fds[0]).st_size), (1, size))
        self.assertEqual(a.domain().bytes, 2 * CHUNK + self.pair_bytes())
        a.must(0x200, 'Q', token)
        self.assertEqual(a.domain().bytes, CHUNK + self.pair_bytes())

    def pair_bytes(self):
        return sum(d.bytes for devid, d in self.pair.a.devices().items() if devid == self.pair.a.devid)

    def test_what_is_refused_changes_nothing(self):
        a, b = self.client(), self.client()
        r = a.alloc()
        b.attach(r.token)
        self.refused(PERM_ATTACH, b.must, REPLACE, 'QQ', r.token, CHUNK, fds=self.memory(b))
        self.refused(ENOENT, a.must, REPLACE, 'QQ', r.token ^ 1, CHUNK, fds=self.memory(a))
        for size in (0, 1, 2 * CHUNK, (1 << 64) - 1):
            self.refused(ERR, a.must, REPLACE, 'QQ', r.token, size, fds=self.memory(a))
        self.refused(ERR, a.must, REPLACE, 'QQ', r.token, CHUNK, fds=self.memory(a, 2 * CHUNK))
        self.refused(ERR, a.must, REPLACE, 'QQ', r.token, CHUNK, fds=self.memory(a) * 2)
        self.refused(ERR, a.must, SUCCESSOR, 'Q', r.token, fds=self.memory(a))
        for layout, values in (('', ()), ('Q', (r.token,)), ('QQI', (r.token, CHUNK, 0)), ('QQQ', (r.token, CHUNK, 0))):
            self.assertEqual(a.command(REPLACE, layout, *values).status, ERR)
        self.refused(ENOENT, a.must, SUCCESSOR, 'Q', r.token)
        self.assertEqual(set(a.domain_regions()) & {r.token}, {r.token})
        self.assertEqual(a.domain_regions()[r.token].default_rights, 7)

    @needs_seals
    def test_memory_that_could_be_shrunk(self):
        a = self.client()
        r = a.alloc()
        self.refused(ERR, a.must, REPLACE, 'QQ', r.token, CHUNK, fds=[self.memfd(seals=0)] * (1 + a.want_ro))


class ShutOutCase(ReplaceCase):
    def shut_out(self, client, token, *devids):
        """token, offset, size, requested, event, slot, rights"""
        reply = client.must(SHUT_OUT, 'QII%dQ' % len(devids), token, len(devids), 0, *devids)
        self.addCleanup(lambda: [os.close(fd) for fd in reply.fds])
        return struct.unpack('<5QII', reply.data), reply.fds


class ShutOut(ShutOutCase):
    def test_by_one_that_has_no_part_in_it(self):
        host, a, b, c = (self.client() for _ in range(4))
        r = a.alloc(requested=5)
        rb, rc = b.attach(r.token), c.attach(r.token)
        tails = a.state.event_tail, b.state.event_tail, c.state.event_tail
        (token, offset, size, requested, _, _, rights), fds = self.shut_out(host, r.token, c.devid)
        self.assertEqual((offset, size, requested, rights), (0, CHUNK, 5, READ | 4 | 8))
        self.assertEqual((len(fds), os.fstat(fds[0]).st_size), (1, CHUNK))
        with self.assertRaises(PermissionError):        # it may look
            mmap.mmap(fds[0], CHUNK, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.assertEqual(tuple(b.state.event(b.state.event_tail - 1)), (EVENT_MOVED, rb.offset, host.devid, 2, r.token))
        self.assertEqual(tuple(a.state.event(a.state.event_tail - 1)), (EVENT_MOVED, r.offset, host.devid, 2, r.token))
        for client, tail in ((a, tails[0]), (b, tails[1])):
            self.assertEqual(client.state.event_tail, tail + 1)
        self.assertEqual(c.state.event_tail, tails[2])
        self.assertEqual(host.referrers(r.token)[c.devid].flags, 2)
        self.refused(ENOENT, c.must, SUCCESSOR, 'Q', r.token)
        self.refused(ENOENT, c.attach, token)
        b.attach(token)
        a.attach(token)
        self.assertEqual((host.devices()[host.devid].bytes, host.devices()[host.devid].regions), (CHUNK, 1))
        host.close()
        eventually(lambda: a.domain_regions()[token].referrers == 2, 'the end of the one that held it')
        info = a.domain_regions()[token]
        self.assertEqual((info.creator, info.default_rights, info.ended), (a.devid, 0, 0))
        self.assertEqual({d: (w.rights, w.flags) for d, w in a.referrers(token).items()},
                         {a.devid: (ALL, 1), b.devid: (RW | 4, 0)})
        used = {d: e.bytes for d, e in a.devices().items()}
        self.assertEqual((used[a.devid], used[b.devid], used[c.devid]), (2 * CHUNK, 2 * CHUNK, CHUNK))
        self.assertEqual(rc.mem[:], bytes(CHUNK))

    def test_who_holds_it_is_killed(self):
        host, a, b = self.client(), self.client(), self.client()
        r = a.alloc()
        b.attach(r.token)
        (token, *_), _ = self.shut_out(host, r.token)
        self.assertEqual(b.must(SUCCESSOR, 'Q', r.token).data[:8], struct.pack('<Q', token))
        host.close()
        eventually(lambda: token not in a.domain_regions(), 'the end of what nobody came over to')
        self.refused(ENOENT, b.must, SUCCESSOR, 'Q', r.token)
        self.assertEqual(a.domain_regions()[r.token].ended, 2)
        again = self.client()
        (token, *_), _ = self.shut_out(again, r.token)
        b.attach(token)
        again.close()           # one is there, and the creator is on the way
        eventually(lambda: a.domain_regions()[token].referrers == 1, 'the end of the one that held it')
        self.assertEqual(a.domain_regions()[token].ended, 0)
        a.attach(token)

    def test_two_at_once(self):
        one, two, a, b = (self.client() for _ in range(4))
        r = a.alloc()
        b.attach(r.token)
        for client in (one, two):
            client.send(COMMAND, command(SHUT_OUT, 'QII', r.token, 0, 0))
        answers = [client.recv() for client in (one, two)]
        for answer in answers:
            self.addCleanup(lambda fds=answer.fds: [os.close(fd) for fd in fds])
        self.assertEqual(sorted(answer.body[0] for answer in answers), [OK, EALREADY])
        self.assertEqual(a.state.event(a.state.event_tail - 1).type, EVENT_MOVED)

    def test_what_is_refused_changes_nothing(self):
        host, a, b = self.client(), self.client(), self.client()
        r = a.alloc()
        b.attach(r.token)
        before = a.domain(), host.domain_regions()
        self.refused(ENOENT, host.must, SHUT_OUT, 'QII', r.token ^ 1, 0, 0)
        for status, devid in ((EINVAL, a.devid), (EINVAL, host.devid), (ENODEV, 0), (ENODEV, 1 << 63),
                              (ENODEV, self.pair.a.devid)):
            self.refused(status, host.must, SHUT_OUT, 'QIIQQ', r.token, 2, 0, b.devid, devid)
        for layout, values in (('', ()), ('Q', (r.token,)), ('QI', (r.token, 0)), ('QIIQ', (r.token, 0, 0, 1)),
                               ('QII', (r.token, 1, 0)), ('QII', (r.token, 0, 1)), ('QIIB', (r.token, 0, 0, 0)),
                               ('QII', (r.token, 0xffffffff, 0)), ('QII65Q', (r.token, 65, 0, *[b.devid] * 65))):
            self.assertEqual(host.command(SHUT_OUT, layout, *values).status, ERR, layout)
        self.assertEqual(host.command(SHUT_OUT, 'QII', r.token, 0, 0, fds=self.memory(host)).status, ERR)
        a.detach(r)
        self.refused(ENXIO, host.must, SHUT_OUT, 'QIIQ', r.token, 1, 0, b.devid)
        self.assertEqual((b.domain().bytes, host.domain_regions()[r.token].default_rights), (before[0].bytes, 7))
        self.assertEqual(b.state.event(b.state.event_tail - 1).type, EVENT_WENT)
        self.shut_out(host, r.token)    # whose token has ended

    @needs_pids
    def test_it_is_logged(self):
        host, a, b = self.client(), self.client(), self.client()
        r = a.alloc()
        b.attach(r.token)
        (token, *_), _ = self.shut_out(host, r.token, b.devid)
        line = 'device %d (pid %d, uid %d) replaced a region of device %d, and shut 1 devices out' % (
            host.devid, os.getpid(), os.geteuid(), a.devid)
        eventually(lambda: line in self.daemon.log(), line)
        self.assertNotIn('%x' % token, self.daemon.log())

    def test_as_many_as_one_command_takes(self):
        host, a = self.client(), self.client()
        r = a.alloc()
        others = [self.client() for _ in range(64)]
        for other in others:
            other.attach(r.token)
        self.shut_out(host, r.token, *[other.devid for other in others])
        self.assertEqual({d for d, w in a.referrers(r.token).items() if w.flags & 2}, {other.devid for other in others})
        self.assertEqual(struct.unpack_from('<Q', a.must(SUCCESSOR, 'Q', r.token).data)[0],
                         next(t for t, e in a.domain_regions().items() if e.creator == a.devid and t != r.token))


@needs_root
class OtherUsers(ShutOutCase):
    daemon_options = {'others': True}

    def test_only_the_host_and_root_may(self):
        bad, a, b, host = self.client(STRANGER_UID), self.client(STRANGER_UID), self.client(), self.client()
        r, own = b.alloc(), a.alloc()
        a.attach(r.token)
        answers = []
        for token in (r.token, own.token, r.token ^ 1, 0, self.pair.ra.token):
            for nr, devids in ((0, ()), (1, (a.devid,)), (1, (1 << 40,)), (9, ()), (0xffffffff, ())):
                answers.append(bad.command(SHUT_OUT, 'QII%dQ' % len(devids), token, nr, 0, *devids))
        self.assertEqual({(x.status, x.data, len(x.fds)) for x in answers}, {(PERM_ATTACH, b'', 0)})
        self.assertEqual(a.command(SHUT_OUT, 'QII', own.token, 0, 0).status, PERM_ATTACH)      # though it is the creator's
        self.assertEqual(host.domain_regions()[r.token].ended, 0)
        self.shut_out(host, own.token)          # of another user's
        self.assertEqual(a.state.event(a.state.event_tail - 1).type, EVENT_MOVED)
        (token, *_), _ = self.shut_out(host, r.token, a.devid)
        # What the one shut out sees is a region that was not replaced; its new token nobody else sees.
        seen = a.domain_regions()[r.token]
        self.assertEqual((seen.ended, seen.zero), (0, 0))
        self.assertNotIn(token, a.domain_regions())
        self.assertEqual(b.domain_regions()[r.token][-2:], (2, token))


class Machines(ShutOutCase, VhostCase):
    def test_one_is_shut_out_by_the_hosts_user_and_cannot_do_so_itself(self):
        host, a, m = self.client(), self.client(), self.machine()
        r = a.alloc()
        m.attach(r.token)
        self.assertEqual(m.command(SHUT_OUT, 'QII', r.token, 0, 0).status, PERM_ATTACH)
        self.shut_out(host, r.token, m.devid)
        m.until(lambda: not m.window, 'it is gone from the window')
        self.assertEqual(m.command(SUCCESSOR, 'Q', r.token).status, ENOENT)

    def test_a_machine_goes_over(self):
        a, m = self.client(), self.machine()
        r = a.alloc()
        offset = m.attach(r.token)[0]
        (token, *_), _ = self.replace(a, r)
        self.assertEqual(m.event(), (EVENT_MOVED, offset, a.devid, 1, r.token))
        self.assertEqual(m.must(SUCCESSOR, 'Q', r.token).data, struct.pack('<QII', token, 1, 0))
        m.attach(token)
        self.assertEqual(len(m.window), 2)

    def test_one_that_is_shut_out_has_nothing_left_in_its_window(self):
        a, m = self.client(), self.machine()
        r = a.alloc()
        m.attach(r.token)
        a.grant(r.token, 0, m.devid)
        m.until(lambda: not m.window, 'it is gone from the window')
        self.replace(a, r)
        self.assertEqual(m.command(SUCCESSOR, 'Q', r.token).status, ENOENT)

    def test_a_machine_replaces(self):
        a, m = self.client(), self.machine()
        token, _, size = m.alloc()
        ra = a.attach(token)
        new, offset, got, _, rights, _ = struct.unpack('<QQQIIQ', m.must(REPLACE, 'QQ', token, size).data)
        self.assertEqual((got, rights, m.window[offset][:2]), (size, ALL, (size, True)))
        self.assertEqual(tuple(a.state.event(a.state.event_tail - 1))[0::2], (EVENT_MOVED, m.devid, ra.token))
        self.assertEqual(a.attach(new).size, size)

    def test_the_proposals_driver_is_not_bothered(self):
        a, m = self.client(), self.machine(F_VERSION_1)
        r = a.alloc()
        m.command(0x100, 'QI', r.token, RW)
        self.replace(a, r)
        b = self.client()
        a.grant(r.token, RW | 4, b.devid)
        b.attach(r.token)
        self.assertEqual(m.event()[0], EVENT_CAME)

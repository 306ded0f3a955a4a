# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# What a well-behaved client gets: regions, rights, events, queries.

import ctypes
import fcntl
import mmap
import os
import struct

from daemon import LIBC, STRANGER_UID, DaemonCase, UndisturbedCase, eventually, needs_root, needs_seals, needs_pids
from ismwire import (ALLOC, ALLOC_EX, ATTACH, ATTACH_EX, CHUNK, CLEAN_DEFAULT, DETACH, E2BIG, ENOENT, ERR, EVENT_CAME,
                     EVENT_HEAD, EVENT_WENT, F_GET_SEALS, GRANT_DEFAULT, GRANT_DEVICE, HELLO, LIST, MANAGE, MAY_ATTACH, OK,
                     PERM_ATTACH, PERM_READ, PERM_WRITE, PRIVATE, QUERY, READ, REGION_SEALS, SEAL_FUTURE_WRITE, SLOTS,
                     WRITE, close_all, hello_body)

RW = READ | WRITE


class Hello(UndisturbedCase):
    def test_answer_has_what_the_device_needs(self):
        window = 1 << 28
        c = self.stranger()
        answer = c.ask(HELLO, hello_body(window=window), sequence=77)
        self.addCleanup(close_all, answer.fds)
        self.assertEqual(answer.sequence, 77)
        self.assertEqual(len(answer.body), 88)
        self.assertEqual(len(answer.fds), 3)
        (status, zero0, version, features, gid, devid, chunk, notify, got, largest, regions, kind, flags, zero1,
         reserved) = struct.unpack('<BBHIQQQQQQIIII16s', answer.body)
        self.assertEqual((status, version, features), (OK, 1, 2))
        self.assertNotEqual(gid, 0)
        self.assertEqual(gid, self.pair.a.gid)
        self.assertGreater(devid, self.pair.b.devid)
        self.assertEqual((chunk, notify, got, largest, regions), (CHUNK, 0, window, window, SLOTS))
        self.assertEqual((kind, flags, zero0, zero1, reserved), (3, 0, 0, 0, bytes(16)))

    def test_device_ids_are_never_used_again(self):
        seen = []
        for _ in range(5):
            with self.daemon.client() as c:
                seen.append(c.devid)
        self.assertEqual(seen, sorted(set(seen)))

    @needs_seals
    def test_state_cannot_be_written(self):
        c = self.client()
        state, line = c.spare_fds
        self.assertEqual(fcntl.fcntl(state, F_GET_SEALS) & ~0x20, REGION_SEALS | SEAL_FUTURE_WRITE)
        self.assertEqual(fcntl.fcntl(line, F_GET_SEALS) & ~0x20, REGION_SEALS)
        self.assertEqual(os.fstat(state).st_mode & 0o777, 0o600)
        self.assertEqual(c.state.u32[0], 0x534d5349)
        size = os.fstat(state).st_size
        for attempt in (lambda: os.pwrite(state, b'x', 64), lambda: os.ftruncate(state, 0),
                        lambda: os.ftruncate(state, 2 * size), lambda: os.posix_fallocate(state, 0, 2 * size),
                        lambda: mmap.mmap(state, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)):
            with self.assertRaises(OSError):
                attempt()

    def test_state_cannot_be_punched_or_unprotected(self):
        c = self.client()
        punch = 1 | 2       # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
        LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
        self.assertEqual(LIBC.fallocate(c.spare_fds[0], punch, 0, 4096), -1)
        LIBC.mmap.restype = ctypes.c_void_p
        LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        addr = LIBC.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, c.spare_fds[0], 0)
        self.assertEqual(LIBC.mprotect(addr, 4096, mmap.PROT_READ | mmap.PROT_WRITE), -1)
        LIBC.munmap(addr, 4096)
        self.assertEqual(c.state.u32[0], 0x534d5349)


class Regions(UndisturbedCase):
    def test_memory_of_ours_is_shared(self):
        a, b = self.client(), self.client()
        r = a.alloc(3 * CHUNK, requested=2 * CHUNK + 5)
        self.assertEqual((r.size, r.offset % CHUNK), (3 * CHUNK, 0))
        s = b.attach(r.token)
        self.assertEqual((s.size, s.requested, s.creator, s.peers), (3 * CHUNK, 2 * CHUNK + 5, a.devid, 1))
        self.assertEqual(s.rights, READ | WRITE | MAY_ATTACH)
        self.assertEqual(s.mem[:], bytes(3 * CHUNK))
        r.mem[7:12] = b'hello'
        self.assertEqual(s.mem[7:12], b'hello')
        s.mem[-1:] = b'!'
        self.assertEqual(r.mem[-1:], b'!')
        self.assertEqual(fcntl.fcntl(s.fd, F_GET_SEALS) & REGION_SEALS, REGION_SEALS)

    def test_memory_of_the_host_is_shared(self):
        a, b = self.client(), self.client()
        for cmd, body in ((ALLOC, ('Q', CHUNK + 1)), (ALLOC_EX, ('QIIQ', CHUNK + 1, 0, 1, 0))):
            reply = a.must(cmd, *body)
            self.addCleanup(close_all, reply.fds)
            self.assertEqual(len(reply.fds), 1)
            token, = struct.unpack_from('<Q', reply.data)
            self.assertEqual(os.fstat(reply.fds[0]).st_size, 2 * CHUNK)
            self.assertEqual(os.fstat(reply.fds[0]).st_mode & 0o777, 0o600)
            s = b.attach(token)
            os.pwrite(reply.fds[0], b'from a', 10)
            self.assertEqual(s.mem[10:16], b'from a')

    def test_plain_commands_of_the_proposal(self):
        a, b = self.client(), self.client()
        reply = a.must(ALLOC, 'Q', 1, fds=[self.memfd()])
        token, nr, offset, size = struct.unpack('<4Q', reply.data)
        self.assertEqual((nr, size, reply.fds), (1, CHUNK, []))
        for padding in ('', 'I'):
            reply = b.must(ATTACH, 'QI' + padding, *(token, RW, 0)[:2 + len(padding)])
            self.addCleanup(close_all, reply.fds)
            nr, offset, size = struct.unpack('<3Q', reply.data)
            self.assertEqual((nr, offset, size, len(reply.fds)), (1, 0, CHUNK, 1))
        b.must(DETACH, 'Q', token)
        self.assertEqual(b.command(DETACH, 'Q', token).status, ENOENT)

    def test_batch(self):
        a = self.client()
        fds = [self.memfd(2 * CHUNK) for _ in range(64)]
        reply = a.must(ALLOC_EX, 'QIIQ', 2 * CHUNK, 0, 64, 0, fds=fds)
        areas = [struct.unpack_from('<QQQIIQ', reply.data, i * 40) for i in range(64)]
        self.assertEqual(len(reply.data), 64 * 40)
        self.assertEqual(len({x[0] for x in areas}), 64)
        self.assertEqual(len({x[1] for x in areas}), 64)
        self.assertEqual(len({x[3] for x in areas}), 64)
        self.assertEqual({(x[2], x[4]) for x in areas}, {(2 * CHUNK, 0)})
        self.assertNotIn(0, {x[0] for x in areas})

    def test_alloc_for_one_peer(self):
        a, b, c = self.client(), self.client(), self.client()
        reply = a.must(ALLOC_EX, 'QIIQQ', CHUNK, PRIVATE, 2, 0, b.devid, fds=[self.memfd(), self.memfd()])
        for i in range(2):
            token, = struct.unpack_from('<Q', reply.data, i * 40)
            b.attach(token)
            self.assertEqual(c.command(ATTACH_EX, 'QII', token, READ, 0).status, ENOENT)
        regions = a.domain().regions
        self.assertEqual(a.command(ALLOC_EX, 'QIIQQ', CHUNK, 0, 1, 0, c.devid + 1000, fds=[self.memfd()]).status, ENOENT)
        self.assertEqual(a.domain().regions, regions)

    def test_sizes(self):
        a = self.client(window=16 * CHUNK)
        self.assertEqual(a.command(ALLOC, 'Q', 0).status, ERR)
        self.assertEqual(a.command(ALLOC, 'Q', 16 * CHUNK + 1).status, E2BIG)
        self.assertEqual(a.command(ALLOC, 'Q', (1 << 64) - 1).status, E2BIG)
        self.assertEqual(a.command(ALLOC_EX, 'QIIQ', CHUNK, 0, 1, CHUNK + 1).status, ERR)
        self.assertEqual(a.command(ALLOC_EX, 'QIIQ', CHUNK, 2, 1, 0).status, ERR)
        for nr in (0, 2, 65, 1 << 31):      # the host's own memory goes one region at a time
            self.assertEqual(a.command(ALLOC_EX, 'QIIQ', CHUNK, 0, nr, 0).status, ERR)
        whole = a.alloc(16 * CHUNK)
        self.refused(28, a.alloc)
        a.detach(whole)
        for _ in range(16):
            a.alloc()
        self.refused(28, a.alloc)

    def test_attaching_twice_takes_one_reference(self):
        a, b = self.client(), self.client()
        r = a.alloc()
        first, second = b.attach(r.token, READ), b.attach(r.token)
        self.assertEqual((first.offset, first.slot), (second.offset, second.slot))
        self.assertEqual(a.list(r.token)[0], 1)
        b.detach(second)
        self.assertEqual(a.list(r.token), (0, []))

    def test_region_ends_with_its_last_manager(self):
        a, b, c = self.client(), self.client(), self.client()
        r = a.alloc()
        s = b.attach(r.token)
        a.detach(r)
        self.refused(ENOENT, c.attach, r.token)
        s.mem[0:1] = b'x'       # who has it, has it
        self.assertEqual(b.list(r.token), (0, []))
        b.detach(s)
        self.assertNotIn(r.token, c.domain_regions())

    def test_region_outlives_its_creator_with_another_manager(self):
        a, b, c = self.client(), self.client(), self.client()
        r = a.alloc()
        b.attach(r.token)
        a.grant(r.token, RW | MAY_ATTACH | MANAGE, b.devid)
        a.close()
        c.attach(r.token)


class Rights(UndisturbedCase):
    def test_a_reader_gets_memory_that_cannot_be_written(self):
        a, b = self.client(), self.client()
        r = a.alloc()
        s = b.attach(r.token, READ)
        r.mem[0:4] = b'read'
        self.assertEqual(s.mem[0:4], b'read')
        self.assertEqual(fcntl.fcntl(s.fd, fcntl.F_GETFL) & os.O_ACCMODE, os.O_RDONLY)
        with self.assertRaises(PermissionError):
            mmap.mmap(s.fd, CHUNK, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        with self.assertRaises(OSError):
            os.pwrite(s.fd, b'x', 0)

    def test_statuses_say_what_lacks(self):
        a, b = self.client(), self.client()
        r = a.alloc(flags=PRIVATE)
        self.refused(ENOENT, b.attach, r.token)
        a.grant(r.token, READ, b.devid)
        self.refused(PERM_ATTACH, b.attach, r.token, READ)
        a.grant(r.token, MAY_ATTACH, b.devid)
        self.refused(PERM_READ, b.attach, r.token, READ)
        a.grant(r.token, MAY_ATTACH | READ, b.devid)
        self.refused(PERM_WRITE, b.attach, r.token)
        b.attach(r.token, READ)
        a.grant(r.token, MAY_ATTACH | RW, b.devid)
        b.attach(r.token)
        for bad in (0, WRITE, MAY_ATTACH, RW | MAY_ATTACH, 1 << 31):
            self.assertEqual(b.command(ATTACH, 'QI', r.token, bad).status, ERR)
        self.assertEqual(b.command(ATTACH_EX, 'QII', r.token, READ, 1).status, ERR)

    def test_granting(self):
        a, b, c = self.client(), self.client(), self.client()
        r = a.alloc()
        b.attach(r.token)
        unknown = 1 << 40
        self.refused(PERM_ATTACH, b.grant, r.token, READ)                       # no MANAGE
        self.refused(ENOENT, c.grant, r.token, READ)                            # no referrer
        self.refused(PERM_ATTACH, a.grant, r.token, READ, a.devid)              # the creator keeps its rights
        self.refused(ENOENT, a.grant, r.token, READ, unknown)
        for bad in (WRITE, 1 << 5, CLEAN_DEFAULT, 1 << 63):
            self.refused(ERR, a.grant, r.token, bad)
        self.refused(ERR, a.grant, r.token, WRITE, b.devid)
        a.grant(r.token, READ | MANAGE, b.devid)
        self.refused(PERM_ATTACH, b.grant, r.token, RW)                         # more than it has
        b.grant(r.token, READ)
        self.assertEqual(a.domain_regions()[r.token].default_rights, READ)
        a.grant(r.token, RW | MAY_ATTACH | CLEAN_DEFAULT, c.devid)
        self.assertEqual(a.domain_regions()[r.token].default_rights, 0)
        c.attach(r.token)

    @needs_root
    def test_clients_of_this_uid_bring_one_descriptor(self):
        self.assertEqual(self.client().want_ro, 0)


@needs_root
class OtherUsers(UndisturbedCase):
    daemon_options = {'others': True}

    def test_brings_a_second_descriptor_to_read(self):
        a, b = self.client(STRANGER_UID), self.client()
        self.assertEqual(a.want_ro, 1)
        r = a.alloc()
        s = b.attach(r.token, READ)
        r.mem[0:2] = b'ok'
        self.assertEqual(s.mem[0:2], b'ok')
        self.assertEqual(fcntl.fcntl(s.fd, fcntl.F_GETFL) & os.O_ACCMODE, os.O_RDONLY)
        self.assertEqual(b.attach(r.token).mem[0:2], b'ok')

    def test_a_reader_cannot_reopen_memory_for_writing(self):
        a, b = self.client(), self.client(STRANGER_UID)
        s = b.attach(a.alloc().token, READ)
        os.seteuid(STRANGER_UID)
        try:
            with self.assertRaises(PermissionError):
                os.open('/proc/self/fd/%d' % s.fd, os.O_RDWR)
        finally:
            os.seteuid(0)

    def test_sees_only_what_it_may(self):
        a, b = self.client(STRANGER_UID), self.client()
        hidden = b.alloc(flags=PRIVATE)
        mine = a.alloc()
        self.assertEqual(set(a.devices()), {a.devid})
        self.assertEqual(set(a.domain_regions()), {mine.token})
        reply = a.command(QUERY, 'IIQQ', 3, 0, 0, hidden.token)
        self.assertEqual((reply.status, reply.data), (ENOENT, b''))
        self.assertEqual(set(a.users()), {STRANGER_UID})
        self.assertEqual(set(b.users()), {os.geteuid(), STRANGER_UID})
        self.assertIsNone(a.host()[3])
        self.assertIsNotNone(b.host()[3])
        # The host's uid sees all regions, and the tokens of its own alone.
        self.assertNotIn(mine.token, b.domain_regions())
        self.assertIn(hidden.token, b.domain_regions())
        self.assertEqual(len(b.domain_regions()), 3)


class Queries(UndisturbedCase):
    @needs_pids
    def test_domain_devices_regions_referrers(self):
        a, b = self.client(name=b'first\tone'), self.client(name=b'second')
        r = a.alloc(CHUNK, requested=100)
        b.attach(r.token, READ)
        domain = a.domain()
        self.assertEqual((domain.gid, domain.devid, domain.devices, domain.regions), (a.gid, a.devid, 4, 2))
        self.assertEqual((domain.bytes, domain.host_kind, domain.host_uid), (2 * CHUNK, 3, os.geteuid()))
        devices = a.devices()
        self.assertEqual(set(devices), {a.devid, b.devid, self.pair.a.devid, self.pair.b.devid})
        self.assertEqual(devices[a.devid][1:], (os.geteuid(), os.getpid(), CHUNK, 1, 1, 1 << 30, 0, b'first?one'))
        self.assertEqual((devices[b.devid].mine, devices[b.devid].name), (0, b'second'))
        region = a.domain_regions()[r.token]
        self.assertEqual(region[2:], (CHUNK, 100, a.devid, os.geteuid(), 2, RW | MAY_ATTACH, 0, 0))
        referrers = b.referrers(r.token)
        self.assertEqual(set(referrers), {a.devid, b.devid})
        self.assertEqual(referrers[a.devid][1:], (RW, RW | MAY_ATTACH | MANAGE, 1, os.geteuid()))
        self.assertEqual(referrers[b.devid][1:], (READ, RW | MAY_ATTACH, 0, os.geteuid()))

    def test_host_and_users(self):
        a = self.client()
        version, device, user, before = a.host()
        self.assertRegex(version, r'^\d+\.\d+\.\d+$')
        self.assertEqual((device[1], user[5]), (32768, 4096))       # regions of a device, devices of a user
        r = a.alloc()
        self.refused(ENOENT, a.attach, r.token ^ 1)
        self.assertEqual([now - then for now, then in zip(a.host()[3], before)], [0, 1, 0, 0, 1, 0, 3, 0, 0])
        mine = a.users()[os.geteuid()]
        self.assertEqual((mine.devices, mine.regions, mine.bytes), (3, 3, 3 * CHUNK))
        self.assertGreaterEqual(mine.refused, 1)

    def test_long_answers_come_in_parts(self):
        a = self.client()
        for _ in range(5):
            a.must(ALLOC_EX, 'QIIQ', CHUNK, 0, 64, 0, fds=[self.memfd() for _ in range(64)])
        self.assertEqual(len(a.query(2)[0]), (16384 - 24 - 1 - 16) // 64)
        self.assertEqual(len(a.domain_regions()), 321)

    def test_wrong_queries(self):
        a = self.client()
        for body in (('IIQQ', 7, 0, 0, 0), ('IIQQ', 0, 1, 0, 0), ('IIQQ', 0xffffffff, 0, 0, 0)):
            self.assertEqual(a.command(QUERY, *body).status, ERR)
        self.assertEqual(a.command(QUERY, 'IIQQ', 3, 0, 0, 12345).status, ENOENT)
        for what in (1, 2):
            self.assertEqual(a.query(what, (1 << 64) - 1), ([], 0))
        self.assertEqual(a.command(LIST, 'QQ', 12345, 0).status, ENOENT)
        self.assertEqual(self.pair.a.list(self.pair.ra.token, (1 << 64) - 1), (1, []))
        for cmd in (0x0001, 0x0500, 0x8006, 0x8008, 0x7fff, 0xffff):
            self.assertEqual(a.command(cmd, 'QQ', 0, 0).status, ERR)
        self.assertEqual(a.command(GRANT_DEFAULT, 'QQ', 12345, READ).status, ENOENT)
        self.assertEqual(a.command(GRANT_DEVICE, 'QQQ', 12345, READ, a.devid).status, ENOENT)


class Events(UndisturbedCase):
    def test_coming_and_going_is_told(self):
        a, b = self.client(), self.client()
        a.alloc()
        r = a.alloc()
        self.assertNotEqual(r.offset, 0)
        self.assertEqual(a.state.event_tail, 0)
        generation = a.state.generation(r.slot)
        a.to_device.armed = 1
        s = b.attach(r.token)
        self.assertEqual(s.event_from, 0)
        self.assertGreater(a.state.generation(r.slot), generation)      # before the attach returned
        self.assertEqual(a.state.peers(r.slot), 1)
        self.assertEqual(a.state.event_tail, 1)
        self.assertEqual(tuple(a.state.event(0)), (EVENT_CAME, r.offset, b.devid, 1, r.token))
        eventually(a.woken, 'a wake-up')
        self.assertEqual(a.to_device.armed, 0)
        b.detach(s)
        self.assertEqual(a.state.event_tail, 2)
        self.assertEqual(tuple(a.state.event(1)), (EVENT_WENT, r.offset, b.devid, 0, r.token))
        self.assertFalse(a.woken())         # not armed: awake
        self.assertEqual(b.state.event_tail, 0)

    def test_death_is_told(self):
        a, b = self.client(), self.client()
        r = a.alloc()
        b.attach(r.token)
        b.close()
        eventually(lambda: a.state.event_tail == 2, 'the peer\'s end')
        self.assertEqual(tuple(a.state.event(1)), (EVENT_WENT, r.offset, b.devid, 0, r.token))

    def test_overflow_is_counted_exactly(self):
        a, b = self.client(), self.client()
        r = a.alloc()
        events = a.state.nr_events
        rounds = events // 2 + 50
        for _ in range(rounds):
            close_all(b.must(ATTACH, 'QI', r.token, READ).fds)
            b.must(DETACH, 'Q', r.token)
        self.assertEqual(a.state.event_tail, events)
        self.assertEqual(a.state.events_lost, 100)
        self.assertEqual(a.state.event(events - 1).type, EVENT_WENT)
        a.line.u64[EVENT_HEAD // 8] = events      # taken: there is room again
        b.attach(r.token)
        self.assertEqual((a.state.event_tail, a.state.events_lost), (events + 1, 100))
        self.assertEqual(tuple(a.state.event(events)), (EVENT_CAME, r.offset, b.devid, 1, r.token))

    def test_clients_are_separate(self):
        a, b = self.client(), self.client()
        a.alloc()
        b.alloc()
        self.assertEqual((a.state.event_tail, b.state.event_tail), (0, 0))


class Pipeline(DaemonCase):
    def test_answers_come_in_order_with_their_sequence(self):
        a = self.client()
        sent = [a.send(2, b'\x80\x03' + bytes(24), sequence=n * 7919 & 0xffffffff) for n in range(40)]
        self.assertEqual([a.recv().sequence for _ in sent], sent)

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# A virtual machine as a device of the domain, beside processes: what its driver
# gets, and what becomes of it.

import mmap
import os
import struct
import tempfile

from daemon import STRANGER_UID, UndisturbedCase, eventually, needs_root, needs_seals
from ismwire import (ALLOC, ALLOC_EX, ATTACH_EX, CHUNK, E2BIG, ENOENT, ENOMEM, ERR, EVENT_CAME, EVENT_WENT, KICK, LINK, LIST, OK,
                     PERM_ATTACH, PERM_READ, PERM_WRITE, QUERY, QUERY_DEVICES, QUERY_DOMAIN, QUERY_REFERRERS, QUERY_REGIONS, READ, SLOT_NONE, WRITE)
from vhostwire import (CONTROL, EVENTS, F_EVENT_IDX, F_EXT, F_INDIRECT, F_PROTOCOL, F_VERSION_1, FEATURES, GPA, LOST,
                       NOTIFY, PF_ALL, UPDATE, Broken, Machine)

VHOST_FDS = 3       # of ismd for one such socket: epoll, lock, listening socket
RW = READ | WRITE


@needs_seals
class VhostCase(UndisturbedCase):
    daemon_options = {'idle_fds': VHOST_FDS}

    @classmethod
    def setUpClass(cls):
        cls.vm_dir = tempfile.mkdtemp(prefix='ism-vhost.')
        cls.vm_path = os.path.join(cls.vm_dir, 'vm')
        cls.daemon_args = ('--vhost-user', cls.vm_path)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        os.rmdir(cls.vm_dir)        # nothing may be left in it

    def connection(self):
        m = Machine(self.vm_path)
        self.addCleanup(m.close)
        return m

    def machine(self, features=FEATURES, **options):
        return self.connection().connect().start(features, **options)


class Handshake(VhostCase):
    def test_what_is_offered(self):
        m = self.connection().connect()
        self.assertEqual(m.offered, F_VERSION_1 | F_INDIRECT | F_EVENT_IDX | F_PROTOCOL | F_EXT)
        self.assertEqual(m.protocol & PF_ALL, PF_ALL)
        self.assertEqual(m.protocol >> 15 & 1, 0)       # CONFIGURE_MEM_SLOTS
        self.assertEqual(m.nr_queues, 3)
        self.assertEqual((m.nr_shmem, m.shmem[0], m.shmem[1], sum(m.shmem)), (1, 0, 1 << 30, 1 << 30))

    def test_configuration(self):
        m = self.connection().connect()
        self.assertEqual((m.gid, m.chunk, m.notify_size), (self.pair.a.gid, CHUNK, 0))
        self.assertGreater(m.devid, self.pair.b.devid)
        whole = m.config(0, 32)
        self.assertEqual(m.config(8, 8), whole[8:16])
        self.assertEqual(m.config(32, 8), bytes(8))
        self.assertEqual(m.config(0, 256), whole + bytes(224))

    def test_it_is_a_device_like_others(self):
        m = self.machine()
        record = [d for d in self.pair.a.query(1)[0] if d[0] == m.devid] if hasattr(self.pair.a, 'query') else None
        if record is not None:
            self.assertEqual(len(record), 1)
        domain = struct.unpack_from('<5Q', m.must(QUERY, 'IIQQ', QUERY_DOMAIN, 0, 0, 0).data, 16)
        self.assertEqual((domain[0], domain[1], domain[4]), (m.gid, 3, m.devid))

    def test_messages_in_single_bytes(self):
        m = self.connection()
        for byte in struct.pack('<III', 1, 1, 0):
            m.sock.send(bytes([byte]))
        self.assertEqual(len(m.recv(1)), 8)

    def test_machines_that_connect_and_say_nothing(self):
        silent = [self.connection() for _ in range(10)]
        m = self.machine()
        self.assertEqual(m.alloc()[2], CHUNK)
        self.assertEqual(len(silent), 10)

    @needs_root
    def test_the_socket_is_its_users_alone(self):
        self.assertEqual(os.stat(self.vm_path).st_mode & 0o007, 0)
        os.chmod(self.vm_dir, 0o711)
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(STRANGER_UID)
        os.seteuid(STRANGER_UID)
        try:
            with self.assertRaises(PermissionError):
                self.connection()
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)

    def test_an_old_qemu_is_told_what_is_needed(self):
        m = self.connection()
        m.send(16, struct.pack('<Q', PF_ALL & ~(1 << 22)))
        m.expect_closed()
        eventually(lambda: 'QEMU 10.2 or newer' in self.daemon.log(), 'the reason in the log')


class Commands(VhostCase):
    def test_alloc_and_detach(self):
        m = self.machine()
        token, offset, size = m.alloc(CHUNK + 1)
        self.assertEqual((size, offset % CHUNK), (2 * CHUNK, 0))
        self.assertEqual(list(m.window), [offset])
        self.assertEqual(m.window[offset][:2], (2 * CHUNK, True))
        m.detach(token)
        self.assertEqual(m.window, {})

    def test_proposal_statuses(self):
        m = self.machine()
        self.assertEqual(m.command(ALLOC, 'Q', 0).status, ERR)
        self.assertEqual(m.command(ALLOC, 'Q', (1 << 30) + 1).status, E2BIG)
        self.assertEqual(m.command(0x100, 'QI', 1, RW).status, ENOENT)
        self.assertEqual(m.command(0x200, 'Q', 1).status, ENOENT)
        self.assertEqual(m.command(0x400, 'QQ', m.alloc()[0], 1).status, ERR)
        self.assertEqual(m.command(LINK, 'Q', self.pair.a.devid).status, ERR)
        self.assertEqual(m.command(0x700).status, ERR)
        self.assertEqual(m.raw_command(b'').status, ERR)
        self.assertEqual(m.raw_command(bytes(3000)).status, ERR)

    def test_indirect_and_split_chains(self):
        m = self.machine()
        body = bytes(2) + struct.pack('<Q', CHUNK)
        for options in ({'indirect': True}, {'split': 5}, {'indirect': True, 'split': 10}):
            self.assertEqual(m.raw_command(body, **options).status, OK)
        self.assertEqual(len(m.window), 3)

    def test_a_short_reply_buffer_changes_nothing(self):
        m = self.machine()
        for room in range(1, 33):
            self.assertEqual(m.command(ALLOC, 'Q', CHUNK, room=room).status, E2BIG)
        reply = m.command(ALLOC, 'Q', CHUNK, room=0)
        self.assertEqual((reply.status, m.mapped), (None, 0))
        self.assertEqual(m.command(ALLOC, 'Q', CHUNK, room=33).status, OK)
        self.assertEqual(m.mapped, 1)

    def test_replies_have_nothing_behind_their_end(self):
        m = self.machine()
        into = m.submit(bytes(2) + struct.pack('<Q', CHUNK))
        m.mem[into:into + 4096] = b'\xaa' * 4096
        _, length = m.until(m.queues[CONTROL].take)
        self.assertEqual(length, 33)
        self.assertEqual(m.mem[into + 33:into + 4096], b'\xaa' * (4096 - 33))

    def test_batches(self):
        m = self.machine()
        data = m.must(ALLOC_EX, 'QIIQ', CHUNK, 0, 20, 0).data
        offsets = {struct.unpack_from('<QQQ', data, i * 40)[1] for i in range(20)}
        self.assertEqual((len(data), len(offsets), set(m.window)), (800, 20, offsets))

    def test_a_guest_sees_nothing_but_what_is_its_own(self):
        m, c = self.machine(), self.client()
        r = c.alloc()
        token, _, _ = m.alloc()
        devices = m.must(QUERY, 'IIQQ', QUERY_DEVICES, 0, 0, 0).data
        self.assertEqual((struct.unpack_from('<II', devices), struct.unpack_from('<Q', devices, 16)[0]), ((1, 80), m.devid))
        regions = m.must(QUERY, 'IIQQ', QUERY_REGIONS, 0, 0, 0).data
        self.assertEqual((struct.unpack_from('<II', regions), struct.unpack_from('<Q', regions, 24)[0]), ((1, 64), token))
        self.assertEqual(m.command(QUERY, 'IIQQ', QUERY_REFERRERS, 0, 0, r.token).status, ENOENT)

    def test_class_80_only_if_negotiated(self):
        m = self.machine(F_VERSION_1)
        self.assertEqual(m.command(QUERY, 'IIQQ', QUERY_DOMAIN, 0, 0, 0).status, ERR)
        self.assertEqual(m.alloc()[2], CHUNK)

    def test_two_hundred_regions(self):
        m = self.machine()
        tokens = [m.alloc()[0] for _ in range(200)]
        self.assertEqual((len(m.window), len(set(tokens))), (200, 200))
        for token in tokens[::2]:
            m.detach(token)
        self.assertEqual(len(m.window), 100)

    def test_failed_attaches_take_longer_and_longer(self):
        m = self.machine()
        for token in range(1, 6):
            self.assertEqual(m.command(0x100, 'QI', token, RW).status, ENOENT)
        into = m.submit(bytes((1, 0)) + struct.pack('<QI', 99, RW))
        self.pair.check()       # who guesses delays nobody else
        m.until(m.queues[CONTROL].take)
        self.assertEqual(m.mem[into], ENOENT)

    def test_the_machine_refuses_a_mapping(self):
        m = self.machine()
        m.refuse_maps = True
        self.assertEqual(m.command(ALLOC, 'Q', CHUNK).status, ENOMEM)
        self.assertEqual(m.command(ALLOC_EX, 'QIIQ', CHUNK, 0, 3, 0).status, ENOMEM)
        m.refuse_maps = False
        self.assertEqual(m.must(QUERY, 'IIQQ', QUERY_DOMAIN, 0, 0, 0).data[32:40], struct.pack('<Q', 1))
        m.alloc()

    def test_event_index(self):
        m = self.machine(FEATURES | F_EVENT_IDX)
        control = m.queues[CONTROL]
        control.called()
        struct.pack_into('<H', m.mem, control.avail + 4 + control.num * 2, 3)      # used_event: call for the fourth
        for i in range(4):
            m.command(0x200, 'Q', 1)
            if i < 3:
                self.assertEqual(control.called(), 0)
        eventually(control.called, 'the call')     # it comes after the answer
        event, = struct.unpack_from('<H', m.mem, control.used + 4 + control.num * 8)
        self.assertEqual(event, 4)      # kick for the fifth

    def test_no_interrupt_flag(self):
        m = self.machine()
        control = m.queues[CONTROL]
        control.called()
        struct.pack_into('<H', m.mem, control.avail, 1)
        m.command(0x200, 'Q', 1)
        self.assertEqual(control.called(), 0)
        struct.pack_into('<H', m.mem, control.avail, 0)
        m.command(0x200, 'Q', 1)
        self.assertEqual(eventually(control.called, 'the call'), 1)     # it comes after the answer


class Sharing(VhostCase):
    def test_bytes_both_ways(self):
        m, c = self.machine(), self.client()
        token, offset, _ = m.alloc()
        r = c.attach(token)
        with m.view(offset) as guest:
            guest[:5] = b'guest'
            self.assertEqual(r.mem[:5], b'guest')
            r.mem[:4] = b'host'
            self.assertEqual(guest[:4], b'host')

    def test_two_machines(self):
        a, b = self.machine(), self.machine()
        token, mine, _ = a.alloc()
        theirs, size = b.attach(token)
        self.assertEqual(size, CHUNK)
        with a.view(mine) as x, b.view(theirs) as y:
            x[100:103] = b'abc'
            self.assertEqual(y[100:103], b'abc')
        b.notify(theirs)
        self.assertEqual(a.event(), (EVENT_CAME, mine, b.devid, 1, token))
        self.assertEqual(a.event(), (UPDATE, mine, b.devid, token))
        b.close()
        self.assertEqual(a.event(), (EVENT_WENT, mine, b.devid, 0, token))

    def test_read_only(self):
        m, c = self.machine(), self.client()
        r = c.alloc()
        offset, _ = m.attach(r.token, READ)
        size, writable, fd = m.window[offset]
        self.assertFalse(writable)
        with self.assertRaises(PermissionError):
            mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        again, _ = m.attach(r.token, RW)        # one reference, with the rights of both
        self.assertEqual((again, m.window[offset][1], len(m.window)), (offset, True, 1))
        m.detach(r.token)
        self.assertEqual(m.window, {})

    def test_a_machine_that_cannot_map_for_reading_alone(self):
        """As QEMU 11.1: nothing the guest may not write is mapped for it, ever."""
        m, c = self.machine(), self.client()
        m.refuse_read_only = True
        for _ in range(2):      # the second time it is known
            r, secret = c.alloc(), c.alloc()
            offset, _ = m.attach(r.token, READ)
            self.assertTrue(m.window[offset][1])        # it may write
            c.grant(r.token, 5)                         # and now it may not
            m.until(lambda: offset not in m.window, 'taken out of the window')
            c.grant(secret.token, 5)
            self.assertEqual(m.command(0x100, 'QI', secret.token, READ).status, PERM_READ)
            self.assertEqual(c.list(secret.token)[0], 0)
        self.assertEqual(m.window, {})

    def test_doorbells_both_ways(self):
        m, c = self.machine(), self.client()
        r = c.alloc()
        offset, _ = m.attach(r.token)
        c.to_device.clear(r.slot)
        m.notify(offset)
        eventually(lambda: c.to_device.is_set(r.slot), 'a doorbell from the machine')
        self.assertEqual(c.state.ringer(r.slot), m.devid)
        c.ring(r.slot)
        self.assertEqual(m.event(), (UPDATE, offset, c.devid, r.token))

    def test_a_machine_is_rung_through_the_host(self):
        m, c = self.machine(), self.client()
        r = c.alloc()
        m.attach(r.token)
        self.assertEqual(c.list(r.token), (1, [(m.devid, SLOT_NONE, 0)]))
        self.assertEqual(c.command(LINK, 'Q', m.devid).status, ERR)
        nr, = struct.unpack_from('<Q', m.must(LIST, 'QQ', r.token, 0).data)
        self.assertEqual(nr, 1)

    def test_doorbells_are_merged(self):
        m, c = self.machine(events=0), self.client()
        r = c.alloc()
        offset, _ = m.attach(r.token)
        for _ in range(100):
            c.ring(r.slot)
            eventually(lambda: c.to_host.armed, 'the host takes the ring')
        for _ in range(3):
            m.add_event_buffer()
        self.assertEqual(m.event(), (UPDATE, offset, c.devid, r.token))
        m.notify(offset)
        self.assertIsNone(m.queues[EVENTS].take())

    def test_who_rings_and_lets_go_at_once_is_heard(self):
        """The doorbell was in its queue before the command was in the other."""
        m, c = self.machine(), self.client()
        regions = [c.alloc() for _ in range(64)]
        for nr in (1, 2, 64):
            offsets = [m.attach(r.token)[0] for r in regions]
            for r in regions:
                c.to_device.clear(r.slot)
            for offset in offsets[:nr]:
                m.put_notify(offset)
            m.detach(regions[nr - 1].token)
            self.assertEqual([c.to_device.is_set(r.slot) for r in regions], [i < nr for i in range(64)])
            for _ in range(nr):
                m.until(m.queues[NOTIFY].take, 'the doorbell was not taken')
            for r in regions:
                if r is not regions[nr - 1]:
                    m.detach(r.token)

    def test_doorbells_for_nothing(self):
        m = self.machine()
        token, offset, _ = m.alloc()
        for at in (0, CHUNK, offset + 8, 1 << 30, 1 << 63, (1 << 64) - 1):
            m.notify(at)
        m.detach(token)
        m.notify(offset)
        self.assertEqual(m.alloc()[2], CHUNK)

    def test_events_of_the_proposal(self):
        m, c = self.machine(F_VERSION_1), self.client()
        token, offset, _ = m.alloc()
        r = c.attach(token)
        self.assertEqual(m.event(), (EVENT_CAME, offset, c.devid, 1))
        c.ring(r.slot)
        self.assertEqual(m.event(), (UPDATE, offset, c.devid))
        c.detach(r)
        self.assertEqual(m.event(), (EVENT_WENT, offset, c.devid, 0))

    def test_events_are_kept_and_losses_said(self):
        m, c = self.machine(events=0), self.client()
        token, offset, _ = m.alloc()
        for _ in range(300):
            c.detach(c.attach(token))
        for _ in range(40):
            m.add_event_buffer()
        seen = [m.event() for _ in range(512)]
        self.assertEqual(seen, [(kind, offset, c.devid, kind == EVENT_CAME, token) for kind in (EVENT_CAME, EVENT_WENT)] * 256)
        self.assertEqual(m.event(), (LOST, 0, 0, 88, 0))
        c.attach(token)
        self.assertEqual(m.event(), (EVENT_CAME, offset, c.devid, 1, token))

    def test_events_of_an_earlier_life_are_dropped(self):
        m, c = self.machine(events=0), self.client()
        r = c.alloc()
        m.attach(r.token)
        d = self.client()
        d.attach(r.token)
        m.detach(r.token)
        data = m.must(ATTACH_EX, 'QII', r.token, RW, 0).data
        self.assertEqual(struct.unpack_from('<5QIIQ', data)[4:], (0, 0, 7, 2))
        m.add_event_buffer()
        c.ring(r.slot)
        self.assertEqual(m.event()[0], UPDATE)

    def test_buffers_too_short_for_an_event(self):
        m, c = self.machine(events=0), self.client()
        token, offset, _ = m.alloc()
        for size in (1, 8, 39):
            m.add_event_buffer(size)
        c.attach(token)
        for _ in range(3):
            self.assertEqual(m.until(m.queues[EVENTS].take)[1], 0)
            m.events.pop(0)
        m.add_event_buffer()
        self.assertEqual(m.event(), (EVENT_CAME, offset, c.devid, 1, token))

    def test_shut_out(self):
        m, c = self.machine(), self.client()
        r = c.alloc()
        offset, _ = m.attach(r.token)
        c.grant(r.token, 0)
        m.until(lambda: not m.window, 'the window is shut')
        c.to_device.clear(r.slot)
        m.notify(offset)
        self.assertEqual(m.command(0x100, 'QI', r.token, RW).status, ENOENT)
        self.assertFalse(c.to_device.is_set(r.slot))
        c.grant(r.token, 7)
        m.until(lambda: offset in m.window, 'the window is open again')
        c.grant(r.token, 5)
        m.until(lambda: not m.window, 'what was attached to be written may not be')
        self.assertEqual(m.command(0x100, 'QI', r.token, RW).status, PERM_WRITE)
        m.detach(r.token)


class Life(VhostCase):
    def gone(self, client, token, devid):
        """The only other referrer has been detached."""
        eventually(lambda: client.list(token) == (0, []), 'detached')

    def shared(self, m):
        c = self.client()
        r = c.alloc()
        offset, _ = m.attach(r.token)
        self.assertEqual(c.list(r.token)[0], 1)
        return c, r, offset

    def test_connection_ends(self):
        m = self.machine()
        c, r, _ = self.shared(m)
        m.alloc()
        m.close()
        self.gone(c, r.token, m.devid)

    def test_connection_ends_in_a_command(self):
        m = self.machine()
        m.silent = True
        m.submit(bytes(2) + struct.pack('<Q', CHUNK))
        self.pair.check()
        m.close()

    def test_a_machine_that_does_not_answer(self):
        m, other = self.machine(), self.machine()
        c, r, _ = self.shared(m)
        m.silent = True
        m.submit(bytes(2) + struct.pack('<Q', CHUNK))
        self.assertEqual(other.alloc()[2], CHUNK)
        c.grant(r.token, 0)
        for _ in range(50):
            self.pair.check()
        m.silent = False
        m.until(m.queues[CONTROL].take)
        m.until(lambda: len(m.window) == 1)

    def test_nothing_is_asked_of_a_machine_that_stands(self):
        """QEMU 11.1 would not survive it."""
        m = self.machine()
        c, r, offset = self.shared(m)
        bases = m.stop()
        c.grant(r.token, 0)
        c.detach(c.alloc())
        self.pair.check()
        self.assertFalse(m.serve(0.05))
        self.assertEqual(list(m.window), [offset])
        m.start(bases=bases, events=0)
        m.until(lambda: not m.window, 'it runs again, and is shut out')

    def test_reset_is_seen_at_the_next_start(self):
        m = self.machine()
        c, r, _ = self.shared(m)
        m.silent = True
        devid = m.devid
        m.reset()
        m.start()
        m.silent = False
        m.until(lambda: c.list(r.token) == (0, []), 'detached')
        token, offset, _ = m.alloc()
        self.assertEqual(list(m.window), [offset])
        self.assertEqual(struct.unpack('<4Q', m.config(0, 32))[1], devid)
        self.assertNotEqual(token, r.token)

    def test_pause(self):
        m = self.machine()
        c, r, offset = self.shared(m)
        bases = m.stop()
        self.assertEqual(bases[CONTROL], m.queues[CONTROL].next_avail)
        c.ring(r.slot)
        m.start(bases=bases, events=0)
        self.assertEqual(m.event(), (UPDATE, offset, c.devid, r.token))
        self.assertEqual((c.list(r.token)[0], list(m.window)), (1, [offset]))
        self.assertEqual(m.alloc()[2], CHUNK)

    def test_reset_device_message(self):
        m = self.machine()
        c, r, _ = self.shared(m)
        m.reset()
        m.set(34)
        self.gone(c, r.token, m.devid)

    def test_reset_with_a_command_under_way(self):
        m = self.machine()
        m.silent = True
        m.submit(bytes(2) + struct.pack('<Q', CHUNK))
        m.reset()
        m.start()
        m.silent = False
        m.until(lambda: m.serve(0.01) or True)
        token, offset, _ = m.alloc()
        m.until(lambda: list(m.window) == [offset], 'what came too late has been taken back')

    @needs_root
    def test_taken_off_the_domain(self):
        m = self.machine()
        c, r, _ = self.shared(m)
        self.assertEqual(m.command(KICK, 'Q', c.devid).status, PERM_ATTACH)
        c.must(KICK, 'Q', m.devid)
        m.expect_closed()
        self.gone(c, r.token, m.devid)

    def test_machines_come_and_go(self):
        for _ in range(30):
            m = self.machine()
            m.alloc()
            m.close()

    def test_no_kick_is_lost(self):
        m = self.machine(FEATURES | F_EVENT_IDX)
        for i in range(3000):
            control = m.queues[CONTROL]
            at = m.place(64)
            m.mem[at:at + 10] = b'\2\0' + struct.pack('<Q', 1 + i)
            event, = struct.unpack_from('<H', m.mem, control.used + 4 + control.num * 8)
            before = control.next_avail
            control.add([(GPA + at, 10, False), (GPA + at + 32, 1, True)])
            event, = struct.unpack_from('<H', m.mem, control.used + 4 + control.num * 8)
            if (control.next_avail - event - 1) & 0xffff < (control.next_avail - before) & 0xffff:
                control.ring()
            m.until(control.take, 'command %d was not seen' % i)

    def test_notify_queue_wraps_around(self):
        m = self.machine()
        offset = m.alloc()[1]
        for _ in range(300):
            m.notify(offset)
        self.assertEqual(m.queues[NOTIFY].next_avail, 300)

    def test_broken_is_an_error_of_the_test(self):
        m = self.machine()
        m.silent = True
        with self.assertRaises(Broken):
            m.command(ALLOC, 'Q', CHUNK, seconds=0.05)

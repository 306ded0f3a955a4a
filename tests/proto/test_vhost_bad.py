# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Virtual machines that break the rules: their guests in the virtqueues, and
# their QEMU in its messages.  Nobody else may notice.

import fcntl
import os
import random
import socket
import struct

from daemon import eventually
from ismwire import CHUNK, F_ADD_SEALS, READ, Closed, Refused, close_all
from test_vhost import VhostCase
from vhostwire import (CONTROL, DESC_INDIRECT, DESC_NEXT, DESC_WRITE, EVENTS, FEATURES, F_VERSION_1, GET_CONFIG,
                       GET_FEATURES, GET_VRING_BASE, GPA, MEMORY, NEED_REPLY, NOTIFY, PF_ALL, REPLY, SET_BACKEND_REQ_FD,
                       SET_FEATURES, SET_MEM_TABLE, SET_PROTOCOL_FEATURES, SET_VRING_ADDR, SET_VRING_CALL, SET_VRING_KICK,
                       SET_VRING_NUM, USER, VERSION, eventfd, ram)


class Rings(VhostCase):
    """What a hostile guest can write into its own memory."""

    def stands_still(self, m, queue=CONTROL):
        """The device of this machine does nothing more, until it is reset; then it works again."""
        m.queues[queue].ring()
        eventually(lambda: 'device %d: ' % m.devid in self.daemon.log(), 'a reason in the log')
        self.assertIsNone(m.queues[queue].take())
        m.queues[queue].ring()
        self.assertEqual(self.daemon.log().count('device %d: ' % m.devid), 1)
        m.reset()
        m.start()
        self.assertEqual(m.alloc()[2], CHUNK)

    def chain(self, *descriptors):
        m = self.machine()
        q = m.queues[CONTROL]
        for i, d in enumerate(descriptors):
            q.put_desc(q.next_desc + i, *d)
        q.offer(q.next_desc)
        self.stands_still(m)

    def test_head_beyond_the_table(self):
        for head in (64, 0xffff):
            m = self.machine()
            m.queues[CONTROL].offer(head)
            self.stands_still(m)

    def test_next_beyond_the_table(self):
        self.chain((GPA, 8, DESC_NEXT, 64))

    def test_a_chain_that_never_ends(self):
        self.chain((GPA, 8, DESC_NEXT, 2), (GPA, 8, DESC_NEXT, 3), (GPA, 8, DESC_NEXT, 2))

    def test_readable_behind_writable(self):
        self.chain((GPA, 8, DESC_WRITE | DESC_NEXT, 3), (GPA, 8, 0, 0))

    def test_buffers_not_in_memory(self):
        for gpa, size in ((0, 16), (GPA - 1, 16), (GPA + MEMORY - 8, 16), (1 << 63, 10),
                          ((1 << 64) - 8, 16)):
            with self.subTest(gpa=gpa, size=size):
                self.chain((gpa, size, DESC_NEXT, 3), (GPA, 64, DESC_WRITE, 0))

    def test_replies_not_in_memory(self):
        m = self.machine()
        at = m.place(64)
        m.mem[at:at + 10] = b'\2\0' + struct.pack('<Q', 1)
        m.queues[CONTROL].add([(GPA + at, 10, False), (GPA + MEMORY, 64, True)])
        self.stands_still(m)

    def test_indirect_tables(self):
        for gpa, size, flags in ((GPA, 0, 0), (GPA, 15, 0), (GPA + 8, 32, 0), (0, 32, 0), (GPA + MEMORY - 16, 32, 0),
                                 (GPA, 0xfffffff0, 0), (GPA, 32, DESC_NEXT)):
            with self.subTest(gpa=gpa, size=size, flags=flags):
                self.chain((gpa, size, DESC_INDIRECT | flags, 0))

    def test_nested_indirect_tables(self):
        m = self.machine()
        q, table = m.queues[CONTROL], m.place(64)
        struct.pack_into('<QIHH', m.mem, table, GPA + table, 16, DESC_INDIRECT, 0)
        q.put_desc(q.next_desc, GPA + table, 16, DESC_INDIRECT)
        q.offer(q.next_desc)
        self.stands_still(m)

    def test_more_available_than_there_is_room(self):
        m = self.machine()
        struct.pack_into('<H', m.mem, m.queues[CONTROL].avail + 2, 1000)
        self.stands_still(m)

    def test_the_other_queues(self):
        for q in (EVENTS, NOTIFY):
            m = self.machine()
            queue = m.queues[q]
            queue.put_desc(50, 0, 64, DESC_WRITE if q == EVENTS else 0)
            if q == EVENTS:     # buffers that come first are good ones
                queue.next_avail = 0
                struct.pack_into('<H', m.mem, queue.avail + 4, 50)
                token, _, _ = m.alloc()
                self.client().attach(token)
                eventually(lambda: 'device %d: ' % m.devid in self.daemon.log(), 'a reason in the log')
                m.reset()
                m.start()
            else:
                queue.offer(50)
                self.stands_still(m, q)

    def test_buffers_inside_the_window(self):
        """A region that may only be read is not written by the device on the guest's behalf."""
        m, c = self.machine(), self.client()
        r = c.alloc()
        offset, _ = m.attach(r.token, READ)
        window = 0x8000000000
        m.set_memory([(GPA, MEMORY, USER, 0), (window + offset, CHUNK, USER + (1 << 30), 0)], [m.ram, m.window[offset][2]])
        r.mem[:64] = bytes(64)
        at = m.place(64)
        m.mem[at:at + 10] = b'\2\0' + struct.pack('<Q', 1)
        m.queues[CONTROL].add([(GPA + at, 10, False), (window + offset, 64, True)])
        m.queues[CONTROL].ring()
        eventually(lambda: 'device %d: ' % m.devid in self.daemon.log(), 'a reason in the log')
        self.assertEqual(r.mem[:64], bytes(64))

    def test_garbage(self):
        rng = random.Random(20260101)
        for _ in range(60):
            m = self.machine()
            m.alloc()
            for q in m.queues:
                for at in (q.desc, q.avail, q.used):
                    for _ in range(rng.randrange(4)):
                        where = at + rng.randrange(0x400)
                        m.mem[where] = rng.randrange(256)
                if rng.random() < 0.3:
                    m.mem[q.desc:q.desc + 1024] = rng.randbytes(1024)
                struct.pack_into('<H', m.mem, q.avail + 2, rng.choice((q.next_avail + 1, rng.randrange(65536))) & 0xffff)
                q.ring()
            for _ in range(5):
                m.serve(0.001)
            m.close()

    def test_random_commands(self):
        rng = random.Random(20260102)
        m = self.machine()
        classes = [0, 1, 2, 3, 4, 0x80]
        for _ in range(1500):
            body = bytes((rng.choice(classes), rng.choice((0, 0, 0, 1, 2, 3, 4, 5, 6, 255)))) + rng.choice((
                rng.randbytes(rng.randrange(40)),
                struct.pack('<Q', rng.choice((0, 1, CHUNK, 1 << 20, 1 << 40, (1 << 64) - 1))),
                struct.pack('<QIIQ', rng.choice((CHUNK, 3 * CHUNK)), rng.randrange(2), rng.randrange(5), 0)))
            if body[0] == 1 or body[:2] == b'\x80\x01':
                continue        # failed attaches are slowed down
            m.raw_command(body, room=rng.choice((0, 1, 8, 33, 64, 4096)), split=rng.randrange(1, 4))
        self.assertLessEqual(m.mapped - m.unmapped, 1500)


class Messages(VhostCase):
    """What a hostile process can send in QEMU's place."""

    def closed(self, request, payload=b'', fds=(), m=None, **options):
        m = m or self.connection().connect()
        m.send(request, payload, fds, **options)
        m.expect_closed()

    def test_headers(self):
        for options in ({'flags': 0}, {'flags': 2}, {'flags': 3}, {'flags': VERSION | REPLY}, {'size': 4097},
                        {'size': 0xffffffff}):
            with self.subTest(options):
                self.closed(GET_FEATURES, **options)

    def test_unknown_requests(self):
        for request in (0, 6, 7, 19, 26, 33, 36, 37, 45, 0x7fffffff, 0xffffffff):
            with self.subTest(request):
                self.closed(request, bytes(8))

    def test_sizes(self):
        for request, size in ((GET_FEATURES, 1), (SET_FEATURES, 0), (SET_FEATURES, 7), (SET_FEATURES, 9), (SET_MEM_TABLE, 4),
                              (SET_VRING_ADDR, 39), (GET_VRING_BASE, 0), (GET_CONFIG, 11), (GET_CONFIG, 13)):
            with self.subTest(request=request, size=size):
                self.closed(request, bytes(size))

    def test_descriptors_where_there_are_none(self):
        self.closed(GET_FEATURES, fds=[0])
        self.closed(SET_FEATURES, bytes(8), fds=[0] * 9)
        self.closed(SET_FEATURES, bytes(8), fds=[0] * 200)

    def test_features_that_were_not_offered(self):
        self.closed(SET_FEATURES, struct.pack('<Q', 1))
        self.closed(SET_FEATURES, struct.pack('<Q', 1 << 63))
        self.closed(SET_PROTOCOL_FEATURES, struct.pack('<Q', PF_ALL | 1 << 15))

    def test_queues_that_are_not_there(self):
        for request, payload in ((SET_VRING_NUM, '<II'), (GET_VRING_BASE, '<II'), (18, '<II'), (10, '<II')):
            self.closed(request, struct.pack(payload, 3, 64))
        self.closed(SET_VRING_KICK, struct.pack('<Q', 3 | 256))
        self.closed(SET_VRING_CALL, struct.pack('<Q', 255 | 256))

    def test_queue_sizes(self):
        """A guest's doing, too."""
        for num in (0, 3, 43, 65, 65536, 0xffffffff):
            with self.subTest(num=num):
                m = self.machine()
                m.set(SET_VRING_NUM, struct.pack('<II', 0, num))
                m.queues[CONTROL].ring()
                eventually(lambda: 'device %d: the size of a queue' % m.devid in self.daemon.log(), 'a reason in the log')
                m.reset()
                m.start()
                self.assertEqual(m.alloc()[2], CHUNK)

    def test_queues_not_in_memory(self):
        """A guest's doing, at which QEMU would end if we closed the connection."""
        for desc, used, avail in ((0, USER, USER), (USER, 0, USER), (USER, USER, 0), (USER + 8, USER, USER), (USER, USER + 2, USER),
                                  (USER, USER, USER + 1), (USER + MEMORY - 16, USER, USER), ((1 << 64) - 16, USER, USER)):
            with self.subTest(desc=desc, used=used, avail=avail):
                m = self.machine()
                m.set(SET_VRING_ADDR, struct.pack('<II4Q', 0, 0, desc, used, avail, 0))
                m.queues[CONTROL].ring()
                eventually(lambda: 'device %d: a queue is not' % m.devid in self.daemon.log(), 'a reason in the log')
                m.reset()
                m.start()
                self.assertEqual(m.alloc()[2], CHUNK)

    def test_memory_that_is_taken_away(self):
        """A queue whose memory goes stands still; it does not kill us."""
        m = self.machine()
        m.alloc()
        m.set_memory([], [])
        for q in m.queues:
            q.ring()
        self.pair.check()
        m.set_memory()
        self.assertEqual(m.alloc()[2], CHUNK)

    def memory_refused(self, fd, parts=None, nr_fds=1):
        m = self.connection().connect()
        parts = parts or [(GPA, 1 << 20, USER, 0)]
        payload = struct.pack('<II', len(parts), 0) + b''.join(struct.pack('<4Q', *p) for p in parts)
        self.closed(SET_MEM_TABLE, payload, [fd] * nr_fds, m=m)

    def test_memory_that_could_hurt_us(self):
        unsealed = ram(seals=0)
        grows = ram(seals=0)
        fcntl.fcntl(grows, F_ADD_SEALS, 4)
        null = os.open('/dev/null', os.O_RDWR)
        file = os.open(os.path.join(self.vm_dir, 'file'), os.O_RDWR | os.O_CREAT)
        os.ftruncate(file, 1 << 20)
        os.unlink(os.path.join(self.vm_dir, 'file'))
        good = ram()
        for fd in (unsealed, grows, null, file):
            self.memory_refused(fd)
        for part in ((GPA, 0, USER, 0), (GPA, MEMORY + 1, USER, 0), (GPA, MEMORY, USER, 4096), (GPA, 4096, USER, 1),
                     (GPA, 4096, USER, 1 << 63), (GPA, (1 << 64) - 1, USER, 4096), ((1 << 64) - 4096, 8192, USER, 0),
                     (GPA, 8192, (1 << 64) - 4096, 0)):
            with self.subTest(part):
                self.memory_refused(good, [part])
        self.memory_refused(good, [(GPA, 4096, USER, 0)] * 2)
        self.memory_refused(good, nr_fds=2)
        close_all((unsealed, grows, null, file, good))

    def test_call_descriptors_that_could_block_us(self):
        pipe = os.pipe()
        for fd in (pipe[1], 0, self.connection().ram):
            self.closed(SET_VRING_CALL, struct.pack('<Q', 0), [fd])
        close_all(pipe)

    def test_a_call_descriptor_that_is_full_and_blocks(self):
        m = self.machine()
        call = m.queues[CONTROL].call
        os.eventfd_write(call, (1 << 64) - 2)
        fcntl.fcntl(call, fcntl.F_SETFL, 0)
        for _ in range(3):
            m.alloc()
        self.pair.check()

    def test_kick_descriptors(self):
        """Whatever it is: it is only waited for, never read."""
        pipe = os.pipe()
        m = self.machine()
        m.set(SET_VRING_KICK, struct.pack('<Q', 0), [pipe[0]])
        os.write(pipe[1], b'x')
        self.pair.check()
        m.close()
        os.write(pipe[1], b'x')     # we have it open yet: it must not lead to what is gone
        self.pair.check()
        close_all(pipe)
        self.closed(SET_VRING_KICK, struct.pack('<Q', 0))
        self.closed(SET_VRING_KICK, struct.pack('<Q', 256), [0])

    def test_the_same_kick_again(self):
        m = self.machine()
        for _ in range(3):
            m.set(SET_VRING_KICK, struct.pack('<Q', 0), [m.queues[0].kick])
        m.alloc()

    def test_a_second_channel(self):
        m = self.connection().connect()
        a, b = socket.socketpair()
        self.closed(SET_BACKEND_REQ_FD, b'', [a.fileno()], m=m)
        a.close()
        b.close()

    def test_answers_to_nothing(self):
        for data in (struct.pack('<IIIQ', 9, 5, 8, 0), bytes(12), bytes(100), struct.pack('<III', 9, 5, 5000)):
            m = self.machine()
            m.back.sendall(data)
            m.expect_closed()

    def test_the_channel_ends(self):
        m = self.machine()
        m.back.close()
        m.expect_closed()

    def test_answers_unread(self):
        m = self.connection().connect()
        m.sock.settimeout(0.2)
        try:
            for _ in range(100000):
                m.send(44)
            self.fail('it takes requests without end and does not mind unread answers')
        except (Closed, TimeoutError):
            pass
        self.pair.check()

    def test_commands_without_a_channel(self):
        m = self.connection()
        m.send(SET_PROTOCOL_FEATURES, struct.pack('<Q', PF_ALL))
        m.start(F_VERSION_1)
        with self.assertRaises(Refused) as caught:
            m.back, theirs = socket.socketpair()
            m.alloc()
        self.assertEqual(caught.exception.status, 12)
        theirs.close()

    def test_random_messages(self):
        rng = random.Random(20260103)
        for _ in range(300):
            m = self.connection()
            fd = eventfd()
            try:
                if rng.random() < 0.5:
                    m.connect()
                for _ in range(rng.randrange(1, 12)):
                    request = rng.randrange(46)
                    size = rng.choice((0, 8, 8, 8, 40, rng.randrange(64)))
                    payload = rng.choice((bytes(size), rng.randbytes(size), (struct.pack('<II', rng.randrange(4), 64) * 8)[:size]))
                    fds = [rng.choice((fd, m.ram))] * rng.choice((0, 0, 1, 2))
                    m.send(request, payload, fds, rng.choice((1, 1, 1 | NEED_REPLY, rng.randrange(16))))
            except Closed:
                pass
            os.close(fd)
            m.close()

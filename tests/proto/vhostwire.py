# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# A virtual machine without a machine: QEMU's side of vhost-user, and the guest
# driver's side of the virtqueues, written from the specifications alone.

import array
import fcntl
import mmap
import os
import select
import socket
import struct
import time

from ismwire import CHUNK, DEADLINE, ERR, F_ADD_SEALS, OK, SIZE_SEALS, SEAL_SEAL, Closed, Refused, Reply, close_all, command

(GET_FEATURES, SET_FEATURES, SET_OWNER, _, SET_MEM_TABLE) = range(1, 6)
(SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR,
 GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE) = range(8, 19)
SET_BACKEND_REQ_FD, GET_CONFIG, SET_CONFIG, RESET_DEVICE, GET_SHMEM_CONFIG = 21, 24, 25, 34, 44
SHMEM_MAP, SHMEM_UNMAP = 9, 10
VERSION, REPLY, NEED_REPLY = 1, 4, 8
F_VERSION_1, F_INDIRECT, F_EVENT_IDX, F_PROTOCOL, F_EXT = 1 << 32, 1 << 28, 1 << 29, 1 << 30, 1 << 1
FEATURES = F_VERSION_1 | F_INDIRECT | F_EXT
PF_ALL = 1 << 0 | 1 << 3 | 1 << 5 | 1 << 9 | 1 << 10 | 1 << 22
CONTROL, EVENTS, NOTIFY = range(3)
QUEUE_SIZE = 64
DESC_NEXT, DESC_WRITE, DESC_INDIRECT = 1, 2, 4
MEMORY, GPA, USER = 4 << 20, 0x100000, 0x7f1200000000
BUFFERS = 0x40000       # where they begin; rings are below
UPDATE, LOST = 1, 32


class Broken(Exception):
    """The device does not use what it is given."""


def eventfd():
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def ram(size=MEMORY, seals=SIZE_SEALS | SEAL_SEAL):
    """A machine's memory as QEMU makes it."""
    fd = os.memfd_create('proto-ram', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


class Queue:
    """The driver's side of a split virtqueue."""

    def __init__(self, machine, index):
        self.mem, self.index, self.num = machine.mem, index, QUEUE_SIZE
        self.desc, self.avail, self.used = (index * 0x4000 + at for at in (0, 0x1000, 0x2000))
        self.kick, self.call = eventfd(), eventfd()
        self.clear()

    def clear(self):
        self.mem[self.desc:self.desc + 0x3000] = bytes(0x3000)
        self.next_avail = self.last_used = self.next_desc = 0

    def close(self):
        close_all((self.kick, self.call))

    def put_desc(self, i, gpa, length, flags=0, link=0):
        struct.pack_into('<QIHH', self.mem, self.desc + i * 16, gpa, length, flags, link)

    def offer(self, head):
        struct.pack_into('<H', self.mem, self.avail + 4 + self.next_avail % self.num * 2, head)
        self.next_avail = (self.next_avail + 1) & 0xffff
        struct.pack_into('<H', self.mem, self.avail + 2, self.next_avail)

    def add(self, buffers, indirect=None):
        """Offer a chain of (gpa, length, writable); @indirect: the offset of a table to put it in."""
        head = self.next_desc
        if indirect is not None:
            for i, (gpa, length, writable) in enumerate(buffers):
                struct.pack_into('<QIHH', self.mem, indirect + i * 16, gpa, length,
                                 (DESC_WRITE if writable else 0) | (DESC_NEXT if i + 1 < len(buffers) else 0), i + 1)
            self.put_desc(head, GPA + indirect, 16 * len(buffers), DESC_INDIRECT)
            self.next_desc = (head + 1) % self.num
        else:
            for i, (gpa, length, writable) in enumerate(buffers):
                at = (head + i) % self.num
                self.put_desc(at, gpa, length, (DESC_WRITE if writable else 0) |
                              (DESC_NEXT if i + 1 < len(buffers) else 0), (at + 1) % self.num)
            self.next_desc = (head + len(buffers)) % self.num
        self.offer(head)
        return head

    def ring(self):
        os.eventfd_write(self.kick, 1)

    def take(self):
        """The next used (head, length), or None."""
        idx, = struct.unpack_from('<H', self.mem, self.used + 2)
        if idx == self.last_used:
            return None
        entry = struct.unpack_from('<II', self.mem, self.used + 4 + self.last_used % self.num * 8)
        self.last_used = (self.last_used + 1) & 0xffff
        return entry

    def called(self):
        try:
            return os.eventfd_read(self.call)
        except BlockingIOError:
            return 0


class Machine:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(DEADLINE)
        self.back = None
        self.ram = ram()
        self.mem = mmap.mmap(self.ram, MEMORY)
        self.queues = [Queue(self, i) for i in range(3)]
        self.window = {}            # offset: (size, writable, descriptor)
        self.refuse_maps = self.refuse_read_only = self.refuse_unmaps = self.silent = False
        self.mapped = self.unmapped = 0
        self.buffer = BUFFERS
        self.events = []
        self.sock.connect(path)

    def close(self):
        if self.mem.closed:
            return
        self.sock.close()
        if self.back is not None:
            self.back.close()
        for queue in self.queues:
            queue.close()
        for _, _, fd in self.window.values():
            os.close(fd)
        self.window = {}
        self.mem.close()
        os.close(self.ram)

    # ------------------------------------------------------------ messages

    def send(self, request, payload=b'', fds=(), flags=VERSION, size=None):
        data = struct.pack('<III', request, flags, len(payload) if size is None else size) + payload
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        try:
            self.sock.sendmsg([data], ancillary)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Closed from e

    def recv_exactly(self, n):
        data = b''
        while len(data) < n:
            try:
                more = self.sock.recv(n - len(data))
            except ConnectionResetError as e:
                raise Closed from e
            if not more:
                raise Closed
            data += more
        return data

    def recv(self, request):
        which, flags, size = struct.unpack('<III', self.recv_exactly(12))
        if (which, flags) != (request, VERSION | REPLY):
            raise AssertionError('an answer to %d with flags %d: expected %d' % (which, flags, request))
        return self.recv_exactly(size)

    def ask(self, request, payload=b'', fds=()):
        self.send(request, payload, fds)
        return self.recv(request)

    def ask64(self, request):
        return struct.unpack('<Q', self.ask(request))[0]

    def set(self, request, payload=b'', fds=()):
        """A message that is answered only because we ask for it."""
        self.send(request, payload, fds, VERSION | NEED_REPLY)
        if self.recv(request) != bytes(8):
            raise AssertionError('request %d was refused' % request)

    def expect_closed(self):
        try:
            data = self.recv_exactly(1)
        except Closed:
            return
        raise AssertionError('an answer where the connection should be closed: %r' % data)

    # ------------------------------------------------------------ what QEMU does

    def connect(self, protocol_features=PF_ALL):
        """When QEMU starts."""
        self.offered = self.ask64(GET_FEATURES)
        self.protocol = self.ask64(GET_PROTOCOL_FEATURES)
        self.set(SET_PROTOCOL_FEATURES, struct.pack('<Q', protocol_features))
        self.nr_queues = self.ask64(GET_QUEUE_NUM)
        self.back, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.back.settimeout(DEADLINE)
        self.set(SET_BACKEND_REQ_FD, fds=(theirs.fileno(),))
        theirs.close()
        self.set(SET_OWNER)
        shmem = self.ask(GET_SHMEM_CONFIG)
        self.nr_shmem, _, *self.shmem = struct.unpack('<II256Q', shmem)
        self.gid, self.devid, self.chunk, self.notify_size = struct.unpack('<4Q', self.config(0, 32))
        return self

    def config(self, offset, size):
        answer = self.ask(GET_CONFIG, struct.pack('<III', offset, size, 0) + bytes(size))
        return answer[12:]

    def set_memory(self, parts=None, fds=None):
        parts = [(GPA, MEMORY, USER, 0)] if parts is None else parts
        fds = [self.ram] if fds is None else fds
        self.set(SET_MEM_TABLE, struct.pack('<II', len(parts), 0) + b''.join(struct.pack('<4Q', *p) for p in parts), fds)

    def start(self, features=FEATURES, bases=(0, 0, 0), events=32):
        """When the guest's driver is ready."""
        self.features = features
        self.set(SET_FEATURES, struct.pack('<Q', features | F_PROTOCOL))
        self.set_memory()
        for q, base in zip(self.queues, bases):
            self.set(SET_VRING_NUM, struct.pack('<II', q.index, q.num))
            self.set(SET_VRING_BASE, struct.pack('<II', q.index, base))
            self.set(SET_VRING_ADDR, struct.pack('<II4Q', q.index, 0, USER + q.desc, USER + q.used, USER + q.avail, 0))
            self.set(SET_VRING_KICK, struct.pack('<Q', q.index), (q.kick,))
            self.set(SET_VRING_CALL, struct.pack('<Q', q.index), (q.call,))
            self.set(SET_VRING_ENABLE, struct.pack('<II', q.index, 1))
        for _ in range(events):
            self.add_event_buffer()
        return self

    def stop(self):
        """When it is paused or reset: where the queues were."""
        return [struct.unpack('<II', self.ask(GET_VRING_BASE, struct.pack('<II', q.index, 0)))[1] for q in self.queues]

    def reset(self):
        """As QEMU does it: the device stops, and the window is empty."""
        self.stop()
        for _, _, fd in self.window.values():
            os.close(fd)
        self.window = {}
        for q in self.queues:
            q.clear()
        self.events = []

    def serve(self, seconds=0.0):
        """Answer a request of the device, if there is one; returns whether."""
        if self.silent or not select.select([self.back], [], [], seconds)[0]:
            return False
        data, fds, _, _ = socket.recv_fds(self.back, 12 + 40, 4)
        if not data:
            return False
        request, flags, size = struct.unpack_from('<III', data)
        shmid, fd_offset, offset, length, mode = struct.unpack_from('<B7x4Q', data, 12)
        if (flags, size, len(data), shmid, fd_offset) != (VERSION | NEED_REPLY, 40, 52, 1, 0):
            raise AssertionError('a wrong request: %r' % data)
        result = self.map(offset, length, mode, fds) if request == SHMEM_MAP else self.unmap(offset, length, fds)
        self.back.sendall(struct.pack('<IIIQ', request, VERSION | REPLY, 8, result))
        return True

    def map(self, offset, length, mode, fds):
        if len(fds) != 1:
            raise AssertionError('a mapping with %d descriptors' % len(fds))
        overlaps = any(o < offset + length and offset < o + entry[0] for o, entry in self.window.items())
        if self.refuse_maps or (self.refuse_read_only and not mode & 1) or overlaps or offset + length > self.shmem[1]:
            close_all(fds)
            return 1
        self.window[offset] = (length, bool(mode & 1), fds[0])
        self.mapped += 1
        return 0

    def unmap(self, offset, length, fds):
        if fds:
            raise AssertionError('descriptors with an unmap')
        if self.refuse_unmaps or offset not in self.window or self.window[offset][0] != length:
            return 1
        os.close(self.window.pop(offset)[2])
        self.unmapped += 1
        return 0

    def until(self, condition, what='it did not come', seconds=DEADLINE):
        """Serve until something holds; returns it."""
        end = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise Broken(what)
            self.serve(0.001)

    # ------------------------------------------------------------ what the guest does

    def place(self, size):
        """Room in the machine's memory; returns its offset."""
        size = (size + 15) // 16 * 16
        if self.buffer + size > MEMORY - 0x10000:
            self.buffer = BUFFERS
        self.buffer += size
        return self.buffer - size

    def submit(self, body, room=4096, indirect=False, split=1):
        """Offer a command; returns where its answer will be."""
        out, into = self.place(max(len(body), 1)), self.place(max(room, 1))
        self.mem[out:out + len(body)] = body
        step = -(-len(body) // split)
        chain = [(GPA + out + i, min(step, len(body) - i), False) for i in range(0, len(body), step)] if body else []
        if room:
            chain.append((GPA + into, room, True))
        self.queues[CONTROL].add(chain, self.place(16 * len(chain)) if indirect else None)
        self.queues[CONTROL].ring()
        return into

    def raw_command(self, body, room=4096, seconds=DEADLINE, **options):
        into = self.submit(body, room, **options)
        _, length = self.until(self.queues[CONTROL].take, 'no answer', seconds)
        data = self.mem[into:into + length]
        return Reply(data[0] if data else None, data[1:], [])

    def command(self, cmd, layout='', *values, **options):
        return self.raw_command(command(cmd, layout, *values), **options)

    def must(self, cmd, layout='', *values, **options):
        reply = self.command(cmd, layout, *values, **options)
        if reply.status != OK:
            raise Refused(ERR if reply.status is None else reply.status)
        return reply

    def alloc(self, size=CHUNK):
        """token, offset, size"""
        token, areas, offset, got = struct.unpack('<4Q', self.must(0, 'Q', size).data)
        if areas != 1:
            raise AssertionError('%d areas' % areas)
        return token, offset, got

    def attach(self, token, rights=3):
        """offset, size"""
        areas, offset, size = struct.unpack('<3Q', self.must(0x100, 'QI', token, rights).data)
        if areas != 1:
            raise AssertionError('%d areas' % areas)
        return offset, size

    def detach(self, token):
        self.must(0x200, 'Q', token)

    def put_notify(self, offset):
        """A doorbell that the device is not kicked for."""
        at = self.place(8)
        struct.pack_into('<Q', self.mem, at, offset)
        self.queues[NOTIFY].add([(GPA + at, 8, False)])

    def notify(self, offset):
        self.put_notify(offset)
        self.queues[NOTIFY].ring()
        self.until(self.queues[NOTIFY].take, 'the doorbell was not taken')

    def view(self, offset):
        """The bytes that the guest sees in its window."""
        size, writable, fd = self.window[offset]
        return mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))

    def add_event_buffer(self, size=40):
        at = self.place(64)
        self.queues[EVENTS].add([(GPA + at, size, True)])
        self.queues[EVENTS].ring()
        self.events.append(at)

    def event(self, size=40):
        """The next event record, as its words; another buffer takes the place of its own."""
        _, length = self.until(self.queues[EVENTS].take, 'no event')
        at = self.events.pop(0)
        words = struct.unpack('<%dQ' % (length // 8), self.mem[at:at + length])
        self.add_event_buffer(size)
        return words

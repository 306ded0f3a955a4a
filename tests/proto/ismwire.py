# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# A client of ismd, written from the wire format alone: it shares no code with
# the C client, and sends whatever a test wants, right or wrong.  Integers on the
# wire are little-endian; words in shared memory are the machine's.

import array
import collections
import errno
import fcntl
import mmap
import os
import socket
import struct
import time

DEADLINE = 60.0             # seconds; generous: it only ends a test that hangs

MAGIC, VERSION = 0x314d5349, 1
HEADER = struct.Struct('<IHHIIHHI')     # magic, version, type, length, sequence, fds, 0, 0
MESSAGE_MAX, FDS_MAX, KERNEL_FDS_MAX = 16384, 128, 253
HELLO, COMMAND, RING = 1, 2, 3
HELLO_BODY = struct.Struct('<HHIQII32s')
HELLO_REPLY = struct.Struct('<BBHIQQQQQQIIII16s')

# class << 8 | command
ALLOC, ATTACH, DETACH, GRANT_DEFAULT, GRANT_DEVICE, EVENT_VECTOR = 0, 0x100, 0x200, 0x300, 0x301, 0x400
ALLOC_EX, ATTACH_EX, REPLACE, QUERY, LIST, LINK = 0x8000, 0x8001, 0x8002, 0x8003, 0x8004, 0x8005
KICK = 0x8007
QUERY_DOMAIN, QUERY_DEVICES, QUERY_REGIONS, QUERY_REFERRERS = range(4)
QUERY_HOST, QUERY_USERS = 5, 6

OK, ENOENT, E2BIG, ENOMEM, ENOSPC, ERR = 0, 2, 7, 12, 28, 255
PERM_ATTACH, PERM_READ, PERM_WRITE = 100, 101, 102
READ, WRITE, MAY_ATTACH, MANAGE, CLEAN_DEFAULT = 1, 2, 4, 8, 16
PRIVATE = 1                 # ALLOC_EX flag
EVENT_CAME, EVENT_WENT = 2, 4

CHUNK, SLOTS, LINKS = 65536, 32768, 64
SLOT_NONE = 0xffffffff
BELL_SIZE = 64 + 64 + SLOTS // 8
LINE_SIZE = 2 * BELL_SIZE + 64
LINK_SIZE = 2 * BELL_SIZE
EVENT_HEAD = 2 * BELL_SIZE     # in the line: events taken
STATE_HEAD = struct.Struct('=IIQIIII')      # magic, version, size, slots, links, events, size of an event
STATE_EVENTS = 4096

F_ADD_SEALS, F_GET_SEALS = 1033, 1034
SEAL_SEAL, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE, SEAL_FUTURE_WRITE = 1, 2, 4, 8, 16
SIZE_SEALS = SEAL_SHRINK | SEAL_GROW
REGION_SEALS = SIZE_SEALS | SEAL_SEAL

Message = collections.namedtuple('Message', 'type sequence body fds')
Reply = collections.namedtuple('Reply', 'status data fds')
Domain = collections.namedtuple('Domain', 'gid devices regions bytes devid host_kind host_uid')
Device = collections.namedtuple('Device', 'devid uid pid bytes regions mine window failed name')
RegionInfo = collections.namedtuple('RegionInfo', 'serial token size requested creator creator_uid referrers '
                                                  'default_rights ended zero')
Referrer = collections.namedtuple('Referrer', 'devid attached rights flags uid')
User = collections.namedtuple('User', 'key uid devices regions grants bytes refused over_quota')
Peer = collections.namedtuple('Peer', 'devid slot shut_out')
Event = collections.namedtuple('Event', 'type offset devid peers token')


class Closed(Exception):
    """The host has closed the connection."""


class Refused(Exception):
    """A command was answered with a status other than OK."""

    def __init__(self, status):
        super().__init__('status %d' % status)
        self.status = status


def round_up(size):
    return (size + CHUNK - 1) // CHUNK * CHUNK


def close_all(fds):
    for fd in fds:
        os.close(fd)


def memfd(size=CHUNK, seals=REGION_SEALS, mode=0o600, flags=0):
    """A memory object as a region needs it, or nearly."""
    fd = os.memfd_create('ism-proto', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | flags)
    os.ftruncate(fd, size)
    os.fchmod(fd, mode)
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


def reopen(fd, flags):
    return os.open('/proc/self/fd/%d' % fd, flags | os.O_CLOEXEC)


def message(kind, body=b'', nr_fds=0, sequence=0, magic=MAGIC, version=VERSION, length=None, zero0=0, zero1=0):
    """The bytes of a message; every field of its header can be wrong."""
    return HEADER.pack(magic, version, kind, len(body) if length is None else length, sequence, nr_fds, zero0,
                       zero1) + body


def hello_body(lowest=VERSION, highest=VERSION, features=2, window=1 << 30, flags=0, zero=0, name=b'proto'):
    return HELLO_BODY.pack(lowest, highest, features, window, flags, zero, name)


def command(cmd, layout='', *values):
    """Class, command and request."""
    return bytes((cmd >> 8, cmd & 255)) + struct.pack('<' + layout, *values)


class Words:
    """Words in shared memory: each is read and written whole."""

    def __init__(self, fd, size, writable):
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self.map = mmap.mmap(fd, size, mmap.MAP_SHARED, prot)
        self.view = memoryview(self.map)
        self.u32, self.u64 = self.view.cast('I'), self.view.cast('Q')

    def close(self):
        for view in (self.u32, self.u64, self.view):
            view.release()
        self.map.close()


class Bell:
    """One direction of doorbells: armed at 0, ready at 4, summary at 64, bits at 128."""

    def __init__(self, words, at):
        self.words, self.at = words, at

    @property
    def armed(self):
        return self.words.u32[self.at // 4]

    @armed.setter
    def armed(self, value):
        self.words.u32[self.at // 4] = value

    def ready(self):
        self.words.u32[self.at // 4 + 1] = 1

    def _bits(self, slot):
        return (self.at + 128) // 8 + slot // 64

    def is_set(self, slot):
        return bool(self.words.u64[self._bits(slot)] >> slot % 64 & 1)

    def set(self, slot):
        """Ring; true if the receiver is to be woken."""
        summary = (self.at + 64) // 8 + slot // 4096
        self.words.u64[self._bits(slot)] |= 1 << slot % 64
        self.words.u64[summary] |= 1 << slot // 64 % 64
        if not self.armed:
            return False
        self.armed = 0
        return True

    def clear(self, slot):
        self.words.u64[self._bits(slot)] &= ~(1 << slot % 64)


class State(Words):
    """What the host alone writes and shows to a device."""

    def __init__(self, fd):
        super().__init__(fd, os.fstat(fd).st_size, False)
        magic, version, size, slots, links, self.nr_events, event_size = STATE_HEAD.unpack_from(self.map)
        if (magic, version, slots, links, event_size) != (0x534d5349, 1, SLOTS, LINKS, 40):
            raise AssertionError('the state is not as we know it')
        self.slots = STATE_EVENTS + self.nr_events * event_size
        self.masks = self.slots + SLOTS * 16
        if not len(self.map) == size == self.masks + LINKS * SLOTS // 8:
            raise AssertionError('the state has a wrong size: %d' % size)

    event_tail = property(lambda self: self.u64[8])
    events_lost = property(lambda self: self.u64[9])
    links_changed = property(lambda self: self.u32[20])

    def event(self, index):
        at = STATE_EVENTS + index % self.nr_events * 40
        return Event(*struct.unpack('<5Q', self.map[at:at + 40]))

    def generation(self, slot):
        return self.u32[self.slots // 4 + slot * 4]

    def peers(self, slot):
        return self.u32[self.slots // 4 + slot * 4 + 1]

    def ringer(self, slot):
        return self.u64[self.slots // 8 + slot * 2 + 1]

    def link(self, number):
        """id, peer"""
        return self.u64[16 + number * 2], self.u64[17 + number * 2]

    def mask(self, number):
        """The slots that the link's other end may ring."""
        words = SLOTS // 64
        first = self.masks // 8 + number * words
        return {i * 64 + bit for i in range(words) for bit in range(64) if self.u64[first + i] >> bit & 1}


class Region:
    """A region as one device refers to it."""

    def __init__(self, token, offset, size, slot, fd, requested=0, rights=0, peers=0, event_from=0, creator=0,
                 writable=True):
        self.token, self.offset, self.size, self.slot, self.fd = token, offset, size, slot, fd
        self.requested, self.rights, self.peers, self.creator = requested, rights, peers, creator
        self.event_from = event_from
        self.mem = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))

    def close(self):
        self.mem.close()
        os.close(self.fd)


class Client:
    """A connection; after hello() a device."""

    def __init__(self, path, uid=None, patient=True):
        """@patient: wait for room in the host's queue of connections."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self.sock.settimeout(DEADLINE)
        self.state = self.line = self.wake = None
        self.regions, self.spare_fds = [], []
        self.sequence = 0
        try:
            if uid is not None:     # SO_PEERCRED has the effective uid at connect()
                os.seteuid(uid)
            try:
                self._connect(path, patient)
            finally:
                if uid is not None:
                    os.seteuid(0)
        except OSError:
            self.sock.close()
            raise

    def _connect(self, path, patient):
        end = time.monotonic() + DEADLINE
        while True:
            try:
                return self.sock.connect(path)
            except BlockingIOError:
                if not patient or time.monotonic() > end:
                    raise
                time.sleep(0.001)

    def close(self):
        for region in self.regions:
            region.close()
        for words in (self.state, self.line):
            if words is not None:
                words.close()
        if self.wake is not None:
            self.wake.close()
        close_all(self.spare_fds)
        self.regions, self.spare_fds = [], []
        self.state = self.line = self.wake = None
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ------------------------------------------------------------ messages

    def send_raw(self, data, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        try:
            self.sock.sendmsg([data], ancillary)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Closed from e

    def send(self, kind, body=b'', fds=(), **header):
        """Send one message; returns its sequence number."""
        self.sequence += 1
        header.setdefault('sequence', self.sequence)
        header.setdefault('nr_fds', len(fds))
        self.send_raw(message(kind, body, **header), fds)
        return header['sequence']

    def recv_raw(self):
        fds = array.array('i')
        try:
            data, ancillary, flags, _ = self.sock.recvmsg(MESSAGE_MAX + 1, socket.CMSG_SPACE(FDS_MAX * 4),
                                                          socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError as e:
            raise Closed from e
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[:len(payload) // 4 * 4])
        if not data:
            raise Closed
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise AssertionError('the host sent more than a message may have')
        return data, list(fds)

    def recv(self):
        data, fds = self.recv_raw()
        magic, version, kind, length, sequence, nr_fds, zero0, zero1 = HEADER.unpack_from(data)
        if (magic, version, length, nr_fds, zero0, zero1) != (MAGIC, VERSION, len(data) - HEADER.size, len(fds), 0, 0):
            raise AssertionError('the host sent a wrong header: %r' % data[:HEADER.size])
        return Message(kind, sequence, data[HEADER.size:], fds)

    def ask(self, kind, body=b'', fds=(), **header):
        sequence = self.send(kind, body, fds, **header)
        answer = self.recv()
        if (answer.type, answer.sequence) != (kind, sequence):
            raise AssertionError('an answer to something else: %r' % (answer,))
        return answer

    def expect_closed(self):
        """The host closes the connection, and says nothing more."""
        try:
            data, fds = self.recv_raw()
        except Closed:
            return
        close_all(fds)
        raise AssertionError('an answer where the connection should be closed: %r' % data)

    # ------------------------------------------------------------ hello

    def hello(self, **fields):
        answer = self.ask(HELLO, hello_body(**fields))
        if answer.body[0] != OK:
            raise Refused(answer.body[0])
        (_, _, self.version, self.features, self.gid, self.devid, self.chunk, self.notify_size, self.window,
         self.max_region, self.max_regions, self.host_kind, self.flags, _, _) = HELLO_REPLY.unpack(answer.body)
        self.want_ro = self.flags & 1
        state, line, wake = answer.fds
        self.state, self.line = State(state), Words(line, LINE_SIZE, True)
        self.spare_fds = [state, line]
        self.wake = socket.socket(fileno=wake)
        self.wake.setblocking(False)
        self.to_device, self.to_host = Bell(self.line, 0), Bell(self.line, BELL_SIZE)
        return self

    # ------------------------------------------------------------ commands

    def raw_command(self, body, fds=(), **header):
        answer = self.ask(COMMAND, body, fds, **header)
        if not answer.body:
            raise AssertionError('an answer without a status')
        return Reply(answer.body[0], answer.body[1:], answer.fds)

    def command(self, cmd, layout='', *values, fds=()):
        return self.raw_command(command(cmd, layout, *values), fds)

    def must(self, cmd, layout='', *values, fds=()):
        """A command that succeeds, or an exception."""
        reply = self.command(cmd, layout, *values, fds=fds)
        if reply.status != OK:
            raise Refused(reply.status)
        return reply

    def alloc(self, size=CHUNK, flags=0, requested=0):
        """A region of memory that we make."""
        fd = memfd(round_up(size))
        fds = [fd]
        try:
            if self.want_ro:
                fds.append(reopen(fd, os.O_RDONLY))
            reply = self.must(ALLOC_EX, 'QIIQ', size, flags, 1, requested, fds=fds)
        except BaseException:
            os.close(fd)
            raise
        finally:
            close_all(fds[1:])
        token, offset, got, slot, _, event_from = struct.unpack('<QQQIIQ', reply.data)
        self.regions.append(Region(token, offset, got, slot, fd, event_from=event_from))
        return self.regions[-1]

    def attach(self, token, rights=READ | WRITE):
        reply = self.must(ATTACH_EX, 'QII', token, rights, 0)
        offset, size, requested, creator, event_from, slot, now, peers = struct.unpack('<QQQQQIIQ', reply.data)
        self.regions.append(Region(token, offset, size, slot, reply.fds[0], requested, now, peers, event_from, creator,
                                   bool(rights & WRITE)))
        return self.regions[-1]

    def detach(self, region):
        self.must(DETACH, 'Q', region.token)
        self.regions.remove(region)
        region.close()

    def grant(self, token, rights, devid=None):
        if devid is None:
            self.must(GRANT_DEFAULT, 'QQ', token, rights)
        else:
            self.must(GRANT_DEVICE, 'QQQ', token, rights, devid)

    def list(self, token, skip=0):
        """The referrers besides us: how many, and those that fit one answer."""
        data = self.must(LIST, 'QQ', token, skip).data
        total, nr = struct.unpack_from('<QQ', data)
        if len(data) != 16 + nr * 16:
            raise AssertionError('a list of a wrong length')
        return total, [Peer(*struct.unpack_from('<QII', data, 16 + i * 16)) for i in range(nr)]

    def link(self, devid):
        """number, id, descriptors"""
        reply = self.must(LINK, 'Q', devid)
        number, zero, ident = struct.unpack('<IIQ', reply.data)
        if zero:
            raise AssertionError('a reserved field that is not zero')
        return number, ident, reply.fds

    # ------------------------------------------------------------ queries

    def query(self, what, cursor=0, token=0):
        """Records, and the cursor for the rest."""
        data = self.must(QUERY, 'IIQQ', what, 0, cursor, token).data
        nr, size, following = struct.unpack_from('<IIQ', data)
        if len(data) != 16 + nr * size:
            raise AssertionError('a query\'s answer of a wrong length')
        return [data[16 + i * size:16 + (i + 1) * size] for i in range(nr)], following

    def query_all(self, what, token=0):
        records, following = self.query(what, 0, token)
        while following:
            more, following = self.query(what, following, token)
            records += more
        return records

    def domain(self):
        return Domain(*struct.unpack('<5QII', self.query(QUERY_DOMAIN)[0][0]))

    def devices(self):
        found = [Device(*struct.unpack('<QIIQIIQQ32s', r)) for r in self.query_all(QUERY_DEVICES)]
        return {d.devid: d._replace(name=d.name.rstrip(b'\0')) for d in found}

    def domain_regions(self):
        return {r.token: r for r in
                (RegionInfo(*struct.unpack('<5QIIIIQ', r)) for r in self.query_all(QUERY_REGIONS))}

    def referrers(self, token):
        return {r.devid: r for r in
                (Referrer(*struct.unpack('<QIIII', r)) for r in self.query_all(QUERY_REFERRERS, token))}

    def host(self):
        """Version, quotas of a device and of a user, and the counters; these are None if they are not told."""
        record = self.query(QUERY_HOST)[0][0]
        quotas = [struct.unpack_from('<QIIIIII', record, at)[:-1] for at in (64, 96)]
        counters = struct.unpack_from('<9Q', record, 136) if struct.unpack_from('<I', record, 128)[0] else None
        return record[48:64].rstrip(b'\0').decode(), *quotas, counters

    def users(self):
        return {u.uid: u for u in (User(*struct.unpack('<QIIIIQQQ', r)) for r in self.query_all(QUERY_USERS))}

    # ------------------------------------------------------------ doorbells

    def ring(self, slot):
        """Ring the other referrers, through the host."""
        self.to_host.set(slot)
        self.send(RING)

    def woken(self):
        """Take what is in the wake socket: true if there was something."""
        try:
            return bool(self.wake.recv(512))
        except OSError as e:
            if e.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
                return False
            raise

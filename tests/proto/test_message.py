# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Messages that are wrong as messages, and commands that are wrong as commands:
# the former end the connection, the latter get an error as their answer.

import errno
import random

import ismwire
from daemon import UndisturbedCase
from ismwire import (ALLOC, ALLOC_EX, ATTACH, ATTACH_EX, CHUNK, COMMAND, DETACH, ERR, EVENT_VECTOR, GRANT_DEFAULT,
                     GRANT_DEVICE, HELLO, LINK, LIST, MESSAGE_MAX, OK, QUERY, READ, RING, WRITE, Closed, close_all,
                     command, hello_body, message)

RW = READ | WRITE


class WrongMessages(UndisturbedCase):
    """Each ends the connection without an answer, before and after hello."""

    def closes(self, data, fds=()):
        for greeted in (False, True):
            with self.subTest(data=data[:40], length=len(data), fds=len(fds), greeted=greeted):
                c = self.client() if greeted else self.stranger()
                if greeted:
                    c.alloc()
                c.send_raw(data, fds)
                c.expect_closed()
                c.close()

    def test_shorter_than_a_header(self):
        whole = message(COMMAND, command(QUERY, 'IIQQ', 0, 0, 0, 0))
        for length in range(1, 24):
            self.closes(whole[:length])

    def test_half_a_message(self):
        whole = message(COMMAND, command(QUERY, 'IIQQ', 0, 0, 0, 0))
        for length in range(24, len(whole)):
            self.closes(whole[:length])

    def test_header_fields(self):
        body = command(QUERY, 'IIQQ', 0, 0, 0, 0)
        for field in ({'magic': 0}, {'magic': 0x5349314d}, {'magic': ismwire.MAGIC ^ 1 << 31}, {'version': 0},
                      {'version': 2}, {'version': 0xffff}, {'length': 0}, {'length': len(body) - 1},
                      {'length': len(body) + 1}, {'length': 0xffffffff}, {'length': 0x80000000}, {'zero0': 1},
                      {'zero0': 0x8000}, {'zero1': 1}, {'zero1': 0x80000000}):
            self.closes(message(COMMAND, body, **field))

    def test_unknown_types(self):
        for kind in (0, 5, 6, 0x100, 0x8002, 0xffff):
            self.closes(message(kind, command(QUERY, 'IIQQ', 0, 0, 0, 0)))

    def test_count_of_descriptors_that_lies(self):
        fd = self.memfd()
        body = command(ALLOC, 'Q', CHUNK)
        for said, sent in ((1, 0), (0, 1), (2, 1), (1, 2), (0, 128), (0xffff, 1), (0xffff, 0)):
            self.closes(message(COMMAND, body, said), [fd] * sent)

    def test_too_many_descriptors(self):
        fd = self.memfd()
        for sent in (129, 200, 253):
            self.closes(message(COMMAND, command(ALLOC, 'Q', CHUNK), sent), [fd] * sent)
            self.closes(message(COMMAND, command(ALLOC, 'Q', CHUNK), 128), [fd] * sent)

    def test_longer_than_the_maximum(self):
        for length in (MESSAGE_MAX + 1, MESSAGE_MAX + 24, 65536, 100000):
            self.closes(message(COMMAND, bytes(length - 24)))
        self.closes(message(COMMAND, bytes(MESSAGE_MAX), 1), [self.memfd()])

    def test_nothing_at_all(self):
        self.closes(b'')

    def test_nothing_but_descriptors(self):
        for nr in (1, 128, 253):
            self.closes(b'', [self.memfd()] * nr)

    def test_ring_with_a_body_or_descriptors(self):
        self.closes(message(RING, b'\0'))
        self.closes(message(RING, b'', 1), [self.memfd()])

    def test_garbage(self):
        rnd = random.Random(4411)
        for length in (1, 23, 24, 25, 56, 80, 1000, MESSAGE_MAX):
            self.closes(rnd.randbytes(length))

    def test_a_stream_socket_cannot_connect(self):
        import socket
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_UNIX, kind) as s, self.assertRaises(OSError) as caught:
                s.connect(self.daemon.path)
            self.assertEqual(caught.exception.errno, errno.EPROTOTYPE)


class WrongCommands(UndisturbedCase):
    def valid(self, c):
        """Each command as it would succeed, and the lengths that it may have."""
        token, peer = self.pair.ra.token, self.pair.a.devid
        return ((command(ALLOC, 'Q', CHUNK), {10}), (command(ATTACH, 'QII', token, RW, 0), {14, 18}),
                (command(DETACH, 'Q', token), {10}), (command(GRANT_DEFAULT, 'QQ', token, RW), {18}),
                (command(GRANT_DEVICE, 'QQQ', token, RW, peer), {26}), (command(EVENT_VECTOR, 'QQ', token, 1), {18}),
                (command(ALLOC_EX, 'QIIQ', CHUNK, 0, 1, 0), {26, 34}), (command(ATTACH_EX, 'QII', token, RW, 0), {18}),
                (command(QUERY, 'IIQQ', 0, 0, 0, 0), {26}), (command(LIST, 'QQ', token, 0), {18}),
                (command(LINK, 'Q', peer), {10}))

    def test_every_length_but_the_right_ones(self):
        c = self.client()
        for body, right in self.valid(c):
            for length in [*range(len(body) + 9), 4096, MESSAGE_MAX - 24]:
                if length in right:
                    continue
                with self.subTest(command=body[:2], length=length):
                    reply = c.raw_command((body + bytes(MESSAGE_MAX))[:length])
                    self.assertEqual((reply.status, reply.data, reply.fds), (ERR, b'', []))
        self.assertEqual(c.domain().regions, 1)

    def test_truncated_with_descriptors(self):
        c, fd = self.client(), self.memfd()
        for body, right in self.valid(c):
            for length in range(len(body)):
                if length in right:
                    continue
                reply = c.raw_command(body[:length], [fd])
                self.assertEqual((reply.status, reply.data, reply.fds), (ERR, b'', []))
        self.assertEqual(c.domain().regions, 1)

    def test_random_commands(self):
        """Nothing is expected but an answer, and that all is given back."""
        rnd = random.Random(20221017)
        c, fd = self.client(), self.memfd()
        bodies = [body for body, _ in self.valid(c) if body[:2] not in (command(ATTACH), command(ATTACH_EX))]
        for _ in range(1500):
            body = bytearray(rnd.choice(bodies))
            for _ in range(rnd.randrange(4)):
                body[rnd.randrange(len(body))] = rnd.choice((0, 1, 2, 0x40, 0x7f, 0x80, 0xff))
            if body[:2] in (command(ATTACH), command(ATTACH_EX)):
                continue        # guessing is slow, and has tests of its own
            reply = c.raw_command(bytes(body), [fd] * rnd.choice((0, 0, 0, 1, 2)))
            close_all(reply.fds)

    def test_mixed_good_and_bad_connections(self):
        rnd = random.Random(1)
        fd = self.memfd()
        for _ in range(200):
            c = self.stranger()
            try:
                for _ in range(rnd.randrange(1, 6)):
                    kind = rnd.choice((HELLO, HELLO, COMMAND, COMMAND, RING, 9))
                    body = {HELLO: hello_body(), COMMAND: command(ALLOC, 'Q', CHUNK)}.get(kind, b'')
                    fds = [fd] if kind == COMMAND and rnd.random() < 0.5 else []
                    c.send(kind, body[:rnd.choice((len(body), len(body), 5))], fds)
                    if kind != RING and rnd.random() < 0.7:
                        close_all(c.recv().fds)
            except Closed:
                pass
            c.close()

    def test_sequence_is_given_back(self):
        c = self.client()
        for sequence in (0, 1, 0x7fffffff, 0xffffffff, 5, 5):
            self.assertEqual(c.raw_command(command(QUERY, 'IIQQ', 0, 0, 0, 0), sequence=sequence).status, OK)

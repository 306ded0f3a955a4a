# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# How a connection begins: versions, windows, names, and everything that is no
# hello.

import random

from daemon import UndisturbedCase, eventually
from ismwire import (CHUNK, COMMAND, ERR, HELLO, OK, QUERY, RING, Closed, close_all, command, hello_body)


class Accepted(UndisturbedCase):
    def test_ranges_that_have_our_version(self):
        for lowest, highest in ((1, 1), (0, 1), (1, 2), (0, 0xffff), (1, 0xffff)):
            with self.subTest(lowest=lowest, highest=highest), self.daemon.client(lowest=lowest, highest=highest) as c:
                self.assertEqual(c.version, 1)

    def test_windows(self):
        for window in (CHUNK, 3 * CHUNK, 1 << 40):
            with self.subTest(window=window), self.daemon.client(window=window) as c:
                self.assertEqual((c.window, c.max_region), (window, window))

    def test_features_that_we_do_not_know(self):
        for features in (0, 1, 0xffffffff):
            with self.subTest(features=features), self.daemon.client(features=features) as c:
                self.assertEqual(c.features, 2)

    def test_names_are_shown_harmlessly(self):
        for name, shown in ((b'', b''), (b'plain name', b'plain name'), (b'\x1b[31m\n', b'?[31m?'),
                            (bytes(range(0x70, 0x90)), bytes(range(0x70, 0x7f)) + b'?' * 16), (b'x' * 32, b'x' * 31),
                            (b'a\0b', b'a\0b')):
            with self.subTest(name=name), self.daemon.client(name=name) as c:
                self.assertEqual(c.devices()[c.devid].name, shown)

    def test_connection_without_a_word(self):
        for _ in range(10):
            self.stranger()
        self.undisturbed_commands()

    def undisturbed_commands(self):
        self.pair.check()


class Refused(UndisturbedCase):
    def refuses(self, status, body, fds=()):
        """The answer is a status alone, and then the connection ends."""
        c = self.stranger()
        answer = c.ask(HELLO, body, fds)
        self.assertEqual((answer.body, answer.fds), (bytes([status]), []))
        c.expect_closed()
        c.close()

    def test_versions(self):
        for lowest, highest in ((0, 0), (2, 2), (2, 0xffff), (0xffff, 0xffff), (2, 1), (1, 0)):
            with self.subTest(lowest=lowest, highest=highest):
                self.refuses(ERR, hello_body(lowest=lowest, highest=highest))

    def test_windows(self):
        for window in (0, 1, CHUNK - 1, CHUNK + 1, (1 << 40) + CHUNK, 1 << 63, (1 << 64) - 1, (1 << 64) - CHUNK):
            with self.subTest(window=window):
                self.refuses(ERR, hello_body(window=window))

    def test_flags(self):
        for fields in ({'flags': 1}, {'flags': 1 << 31}, {'zero': 1}, {'zero': 0xffffffff}):
            with self.subTest(**fields):
                self.refuses(ERR, hello_body(**fields))

    def test_lengths(self):
        body = hello_body()
        for length in [*range(len(body)), len(body) + 1, len(body) + 8, 4096, 16384 - 24]:
            with self.subTest(length=length):
                self.refuses(ERR, (body + bytes(16384))[:length])

    def test_descriptors(self):
        for nr in (1, 3, 128):
            with self.subTest(nr=nr):
                fd = self.memfd()
                self.refuses(ERR, hello_body(), [fd] * nr)

    def test_second_hello(self):
        c = self.client()
        c.alloc()
        answer = c.ask(HELLO, hello_body())
        self.assertEqual((answer.body, answer.fds), (bytes([ERR]), []))
        c.expect_closed()

    def test_second_hello_of_a_refused_one(self):
        c = self.stranger()
        answers = []
        for step in (lambda: c.send(HELLO, hello_body(lowest=9, highest=9)), lambda: c.send(HELLO, hello_body()),
                     *[lambda: answers.append(c.recv().body)] * 3):
            try:
                step()
            except Closed:      # the end may overtake the answer
                pass
        self.assertEqual(answers, [bytes([ERR])])

    def test_anything_before_hello(self):
        for kind, body in ((COMMAND, command(QUERY, 'IIQQ', 0, 0, 0, 0)), (COMMAND, b''), (RING, b''), (0, b''),
                           (5, hello_body())):
            with self.subTest(kind=kind):
                c = self.stranger()
                c.send(kind, body)
                c.expect_closed()
                c.close()

    def test_pipelined_behind_hello(self):
        """The hello's answer has descriptors: a command without them may follow at once."""
        c = self.stranger()
        c.send(HELLO, hello_body())
        c.send(COMMAND, command(QUERY, 'IIQQ', 0, 0, 0, 0))
        answer = c.recv()
        close_all(answer.fds)
        self.assertEqual((answer.type, answer.body[0]), (HELLO, OK))
        answer = c.recv()
        self.assertEqual((answer.type, answer.body[0]), (COMMAND, OK))

    def test_random_hellos(self):
        rnd = random.Random(44)
        for _ in range(300):
            body = bytearray(hello_body())
            for _ in range(rnd.randrange(1, 4)):
                body[rnd.randrange(24)] = rnd.choice((0, 1, 0x7f, 0x80, 0xff))
            c = self.stranger()
            answer = c.ask(HELLO, bytes(body))
            close_all(answer.fds)
            self.assertIn(answer.body[0], (OK, ERR))
            c.close()
        eventually(lambda: self.pair.a.domain().devices == 2, 'the end of the others')

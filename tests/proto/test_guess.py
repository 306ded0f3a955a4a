# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Guessing tokens: each failure is answered later than the one before, whoever
# asks from where, and what the answers say and when tells nothing.  Only least
# times are asserted; what must not wait is seen to come before what does.

import os
import select
import time

from daemon import STRANGER_UID, Daemon, DaemonCase, eventually, needs_root
from ismwire import (ATTACH, ATTACH_EX, COMMAND, DETACH, ENOENT, MAY_ATTACH, OK, PERM_ATTACH, PRIVATE, READ, WRITE,
                     close_all, command, message)

RW = READ | WRITE
LAST = 10       # failures until an answer takes about a second


def guess():
    return command(ATTACH, 'QI', int.from_bytes(os.urandom(8), 'little') | 1, RW)


class GuessCase(DaemonCase):
    """A daemon per test: what was guessed counts for the user, too."""

    options = {}

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.daemon = Daemon(**self.options)
        self.addCleanup(self.daemon.stop)

    def has_answer(self, client):
        return select.select([client.sock], [], [], 0)[0] != []

    def hold(self, *clients):
        """Enough wrong guesses that the last ones' answers are held back for about a second."""
        for c in clients:
            c.send(COMMAND, guess())

    def answers_before(self, guesser, call):
        """Until the guesser has its answer, @call returns; tried again where this machine was too slow."""
        for _ in range(10):
            guesser.send(COMMAND, guess())
            value = call()
            early = not self.has_answer(guesser)
            self.assertEqual(guesser.recv().body, bytes([ENOENT]))
            if early:
                return value
        raise AssertionError('nothing is answered while a guesser\'s answer is held back')


class Slower(GuessCase):
    def grows(self, client_for):
        """The n-th failure takes 2^n ms, unless a second has gone, which halves the count."""
        began = time.monotonic()
        for n in range(LAST):
            c = client_for(n)
            start = time.monotonic()
            self.assertEqual(c.raw_command(guess()), (ENOENT, b'', []))
            now = time.monotonic()
            if now - began < 1:
                self.assertGreaterEqual(now - start, 0.001 * (1 << n))
            self.assertGreaterEqual(now - began, min(1.0, 0.001 * ((2 << n) - 1)))

    def test_on_one_connection(self):
        c = self.client()
        self.grows(lambda n: c)
        self.assertEqual(c.devices()[c.devid].failed, LAST)

    def test_on_a_new_connection_for_each_guess(self):
        last = []

        def next_client(n):
            for c in last:
                c.close()
            last[:] = [self.client()]
            return last[0]
        self.grows(next_client)

    def test_on_many_connections_at_once(self):
        clients = [self.client() for _ in range(LAST + 5)]
        began = time.monotonic()
        self.hold(*clients)
        for n, c in enumerate(clients):
            self.assertEqual(c.recv().body, bytes([ENOENT]))
            self.assertGreaterEqual(time.monotonic() - began, min(1.0, 0.001 * (1 << n)))

    def test_every_failure_counts(self):
        """A right that lacks is a failure like a wrong token."""
        a, b = self.client(), self.client()
        r = a.alloc()
        a.grant(r.token, READ, b.devid)
        began = time.monotonic()
        for cmd, tail in ((ATTACH, ()), (ATTACH_EX, (0,))) * 4:
            reply = b.command(cmd, 'QII'[:2 + len(tail)], r.token, RW, *tail)
            self.assertEqual((reply.status, reply.data), (PERM_ATTACH, b''))
        self.assertGreaterEqual(time.monotonic() - began, 0.255)

    def test_the_count_is_halved_each_second(self):
        """Patience is answered soon again; the least time is all that can be said of the rest."""
        clients = [self.client() for _ in range(LAST)]
        self.hold(*clients)
        for c in clients:
            c.recv()
        self.assertEqual(sum(d.failed for d in clients[0].devices().values()), LAST)


class Others(GuessCase):
    def test_others_are_not_slowed(self):
        good, guesser, *more = [self.client() for _ in range(LAST + 3)]
        peer = self.client()
        r = good.alloc()
        s = peer.attach(r.token)
        self.hold(*more)

        def work():
            for _ in range(3):
                good.domain()
            extra = good.alloc()
            peer.detach(peer.attach(extra.token))       # right tokens are not slowed, even for the same user
            good.detach(extra)
            peer.to_device.clear(s.slot)
            good.ring(r.slot)
            eventually(lambda: peer.to_device.is_set(s.slot), 'a doorbell')
            return True

        self.assertTrue(self.answers_before(guesser, work))
        for c in more:
            self.assertEqual(c.recv().body, bytes([ENOENT]))

    def test_who_goes_while_its_answer_is_held_back(self):
        good = self.client()
        eventually(lambda: good.domain().devices == 1, 'the end of the clients of earlier tests')
        before = self.daemon.resources()
        clients = [self.daemon.client() for _ in range(LAST + 3)]
        regions = [c.alloc() for c in clients]
        self.hold(*clients)
        self.assertEqual(good.domain().regions, len(regions))
        for c in clients:
            c.close()
        eventually(lambda: self.daemon.resources() == before, lambda: 'the end of the guessers: %s, before %s' % (self.daemon.resources(), before))
        self.assertEqual((good.domain().devices, good.domain().regions), (1, 0))

    def test_requests_behind_a_held_back_answer(self):
        c = self.client()
        r = c.alloc()
        c.send(COMMAND, guess())
        for _ in range(5):
            c.ring(r.slot)
        sent = [c.send(COMMAND, guess()) for _ in range(4)] + [c.send(COMMAND, command(DETACH, 'Q', r.token))]
        self.assertEqual(c.recv().body, bytes([ENOENT]))
        answers = [c.recv() for _ in sent]
        self.assertEqual([a.sequence for a in answers], sent)
        self.assertEqual([a.body[0] for a in answers], [ENOENT] * 4 + [OK])

    def test_flood_behind_a_held_back_answer(self):
        """It is not read, so the sender is the one that waits."""
        good, guesser = self.client(), self.client()
        self.hold(*[self.client() for _ in range(LAST)])
        guesser.send(COMMAND, guess())
        guesser.sock.setblocking(False)
        sent = 1
        try:
            while sent < 10000:
                guesser.send(COMMAND, guess())
                sent += 1
        except BlockingIOError:
            pass
        self.assertLess(sent, 10000)
        good.domain()


@needs_root
class OtherUsers(GuessCase):
    options = {'others': True}

    def test_another_users_failures_are_its_own(self):
        guesser, *more = [self.client(STRANGER_UID) for _ in range(LAST + 2)]
        mine = self.client()
        self.hold(*more)

        def first_failure():
            return mine.raw_command(guess()).status

        guesser.send(COMMAND, guess())
        self.assertEqual(first_failure(), ENOENT)
        # Its own are slowed as much as they deserve, and no more: the guesser still waits.
        self.assertTrue(not self.has_answer(guesser) or self.answers_before(guesser, first_failure) == ENOENT)


class Silent(GuessCase):
    """What a token's failed attach says does not depend on whether the token is somebody's."""

    def test_answers_are_the_same_byte_for_byte(self):
        a, c = self.client(), self.client()
        private = a.alloc(flags=PRIVATE)
        shut, denied, ended = a.alloc(), a.alloc(), a.alloc()
        a.grant(shut.token, READ)                           # the default has no ATTACH any more
        c.attach(ended.token)
        a.detach(ended)                                     # no manager is left
        wrong = int.from_bytes(os.urandom(8), 'little') | 1
        askers = []
        for token in (wrong, private.token, shut.token, denied.token, ended.token, 0, (1 << 64) - 1):
            for body in (command(ATTACH, 'QI', token, READ), command(ATTACH, 'QII', token, RW, 0),
                         command(ATTACH_EX, 'QII', token, READ, 0), command(ATTACH_EX, 'QII', token, RW, 0)):
                b = self.client()
                a.grant(denied.token, 0, b.devid)           # everybody else may
                askers.append((b, body))
        for b, body in askers:
            b.send(COMMAND, body, sequence=1)
        answers = set()
        for b, _ in askers:
            data, fds = b.recv_raw()
            close_all(fds)
            answers.add((data, tuple(fds)))
        self.assertEqual(answers, {(message(COMMAND, bytes([ENOENT]), sequence=1), ())})

    def test_a_token_that_is_somebodys_waits_as_long(self):
        a = self.client()
        r = a.alloc(flags=PRIVATE)
        for token in (r.token ^ 1, r.token):
            with self.subTest(token=token == r.token), self.daemon.client() as c:
                began = time.monotonic()
                for n in range(4):
                    self.assertEqual(c.command(ATTACH, 'QI', token, RW).status, ENOENT)
                    self.assertGreaterEqual(time.monotonic() - began, 0.001 * ((2 << n) - 1))

    def test_other_commands_tell_nothing_either(self):
        a, b = self.client(), self.client()
        r = a.alloc(flags=PRIVATE)
        for layout, cmd, rest in (('Q', DETACH, ()), ('QQ', 0x300, (RW,)), ('QQQ', 0x301, (RW, b.devid)),
                                  ('QQ', 0x400, (1,)), ('QQ', 0x8004, (0,))):
            answers = {b.command(cmd, layout, token, *rest)[:2] for token in (r.token, r.token ^ 2)}
            self.assertEqual(answers, {(ENOENT, b'')})

    def test_a_grant_makes_it_known(self):
        a, b = self.client(), self.client()
        r = a.alloc(flags=PRIVATE)
        a.grant(r.token, READ, b.devid)
        self.assertEqual(b.command(ATTACH, 'QI', r.token, READ).status, PERM_ATTACH)
        a.grant(r.token, READ | MAY_ATTACH, b.devid)
        b.attach(r.token, READ)

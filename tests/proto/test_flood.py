# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Clients that send faster than they should, or stop reading, or only come and
# go; and such that scribble over the memory that they share with the host.
# Others get their answers and doorbells meanwhile, and the host keeps its size.

import os
import random
import select
import signal
import socket
import time
import traceback

import ismwire
import test_batch
from daemon import DaemonCase, LIBC, PR_SET_PDEATHSIG, Pair, UndisturbedCase, eventually, needs_root
from ismwire import (ALLOC, ATTACH, CHUNK, COMMAND, DETACH, ENOMEM, EVENT_HEAD, EVENT_VECTOR, GRANT_DEFAULT, HELLO,
                     LINE_SIZE, LIST, OK, QUERY, QUERY_DEVICES, QUERY_REGIONS, READ, RING, SLOTS, WRITE, Client, Closed,
                     Refused, close_all, command, hello_body, message)

RW = READ | WRITE
ROUNDS = 100            # of the good pair, while the others do their worst
MEMORY = 64 << 20       # that the host may grow by in a test: buffers and tables, but nothing without end


class FloodCase(UndisturbedCase):
    def setUp(self):
        super().setUp()
        self.began = self.daemon.rss()
        self.addCleanup(self.check_memory)

    def check_memory(self):
        self.assertLess(self.daemon.rss() - self.began, MEMORY)

    def attack(self, attacker, *args):
        """Run @attacker in a process of its own until stop() or the end of the test; returns when it has begun."""
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        pid = os.fork()
        if pid == 0:
            try:
                LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                attacker(lambda: os.write(w, b'x'), *args)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        os.close(w)
        self.addCleanup(self.stop, pid)
        self.assertTrue(select.select([r], [], [], ismwire.DEADLINE)[0])
        self.assertEqual(os.read(r, 1), b'x', 'the attacker ended before it began')
        return pid

    def stop(self, pid):
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        except ChildProcessError:
            pass

    def still_attacks(self, pid):
        self.assertEqual(os.waitpid(pid, os.WNOHANG), (0, 0), 'the attacker ended early')

    def good_pair_works(self, rounds=ROUNDS):
        """Doorbells, commands, and new devices, while others misbehave."""
        for i in range(rounds):
            self.pair.check()
            if i % 50 == 0:
                with eventually(self.newcomer, 'a new device') as c:
                    c.attach(self.pair.ra.token)
                    c.detach(c.regions[0])

    def newcomer(self):
        try:
            return self.daemon.client()
        except (BlockingIOError, Closed):   # a full queue, or too many who say nothing: come again
            return None

    def works_under(self, attacker, nr=2, check=None, rounds=ROUNDS):
        pids = [self.attack(attacker) for _ in range(nr)]
        self.good_pair_works(rounds)
        if check is not None:
            check()
        for pid in pids:
            self.still_attacks(pid)
            self.stop(pid)
        self.idle_again()

    def idle_again(self):
        """With nothing left to do, the host does nothing."""
        def ticks():
            with open('/proc/%d/stat' % self.daemon.pid) as f:
                return sum(map(int, f.read().rsplit(')', 1)[1].split()[11:13]))

        def quiet():
            before = ticks()
            select.select([], [], [], 0.1)
            return ticks() == before
        eventually(quiet, 'an idle host')


class Readers(FloodCase):
    """Who does not read its answers loses its connection when they fill its socket."""

    def never_reads(self, *bodies, fds=()):
        c = self.client()
        c.sock.settimeout(None)
        sent = 0
        with self.assertRaises(Closed):
            while True:
                c.send(COMMAND, bodies[sent % len(bodies)], fds)
                sent += 1
                self.assertLess(sent, 1000000)
        self.assertGreater(sent, 1)
        return sent

    def test_short_answers(self):
        self.never_reads(command(DETACH, 'Q', 1))

    def test_long_answers(self):
        others = [self.client() for _ in range(50)]
        for c in others:
            c.alloc()
        self.never_reads(command(QUERY, 'IIQQ', QUERY_DEVICES, 0, 0, 0), command(QUERY, 'IIQQ', QUERY_REGIONS, 0, 0, 0))

    def test_regions_of_its_own(self):
        self.never_reads(command(ALLOC, 'Q', CHUNK), fds=[self.memfd()])

    def test_answers_with_descriptors(self):
        """One may wait to be read, not two: they count against the host."""
        token = self.pair.ra.token
        for bodies in ([command(ALLOC, 'Q', CHUNK)], [command(ATTACH, 'QI', token, RW)],
                       [command(ATTACH, 'QI', token, RW), command(EVENT_VECTOR, 'QQ', token, 1)]):
            c = self.client()
            with self.assertRaises(Closed):
                for i in range(1000):
                    c.send(COMMAND, bodies[i % len(bodies)])
                    self.pair.a.domain()
            c.close()

    def test_the_pair_works_meanwhile(self):
        def attacker(begun):
            while True:
                with Client(self.daemon.path) as c:
                    c.hello()
                    begun()
                    try:
                        while True:
                            c.send_raw(message(COMMAND, command(QUERY, 'IIQQ', QUERY_REGIONS, 0, 0, 0)))
                    except Closed:
                        pass
        self.works_under(attacker)


class Senders(FloodCase):
    daemon_args = ('--set', 'device-regions=400')   # however long it takes, descriptors are left for the others

    def flood(self, *bodies, fds=0, prepare=None):
        """Send these for ever, many at a time, and read whatever comes, as fast as that goes; come again when closed."""
        memory = [ismwire.memfd()] * fds
        self.addCleanup(close_all, memory[:1])
        messages = [body if body[:4] == b'ISM1' else message(COMMAND, body, fds) for body in bodies]

        def send_and_read(c):
            while True:
                try:
                    for m in messages * 8:
                        c.send_raw(m, memory)
                except BlockingIOError:
                    pass
                try:
                    while True:
                        close_all(c.recv_raw()[1])
                except BlockingIOError:
                    pass

        def attacker(begun):
            while True:
                with Client(self.daemon.path) as c:
                    c.hello()
                    if prepare is not None:
                        prepare(c)
                    c.sock.setblocking(False)
                    begun()
                    try:
                        send_and_read(c)
                    except Closed:
                        pass
        return attacker

    def test_queries(self):
        self.works_under(self.flood(command(QUERY, 'IIQQ', QUERY_DEVICES, 0, 0, 0), command(QUERY, 'IIQQ', QUERY_REGIONS, 0, 0, 0)))

    def test_nonsense(self):
        self.works_under(self.flood(command(0x7777), b'', bytes(2000), command(ALLOC, 'Q', 0), command(LIST, 'QQ', 1, 1)))

    def test_regions(self):
        self.works_under(self.flood(command(ALLOC, 'Q', CHUNK), fds=1))

    def test_rings(self):
        self.works_under(self.flood(message(RING), prepare=lambda c: c.alloc()))

    def test_rights_back_and_forth(self):
        tokens = []

        def attacker(begun):
            c = Client(self.daemon.path).hello()
            token = c.alloc().token
            tokens.append(token)
            others = [Client(self.daemon.path).hello() for _ in range(20)]
            for other in others:
                other.attach(token)
            begun()
            while True:
                for rights in (0, RW | 4):
                    c.must(GRANT_DEFAULT, 'QQ', token, rights)
        self.works_under(attacker)

    def test_attaches_to_what_is_somebodys(self):
        """Each is an event for those who have it, who may not be looking."""
        token = self.pair.ra.token

        def attacker(begun):
            c = Client(self.daemon.path).hello()
            for i in range(1 << 40):
                c.attach(token)
                c.detach(c.regions[0])
                if i == 600:    # more than an event ring holds
                    begun()

        def check():    # as Pair.check(), but the pair is not alone
            Pair.ring(self.pair.a, self.pair.ra, self.pair.b, self.pair.rb)
            Pair.ring(self.pair.b, self.pair.rb, self.pair.a, self.pair.ra)
        pid = self.attack(attacker)
        for _ in range(ROUNDS):
            check()
        self.still_attacks(pid)
        self.stop(pid)
        eventually(lambda: self.pair.a.list(token)[0] == 1, 'the end of the attacker')
        state = self.pair.a.state
        self.assertEqual(state.event_tail - self.pair.a.line.u64[EVENT_HEAD // 8], state.nr_events)
        self.assertGreater(state.events_lost, 0)
        self.idle_again()

    def test_guesses(self):
        def attacker(begun):
            clients = [Client(self.daemon.path).hello() for _ in range(50)]
            begun()
            while True:
                for c in clients:
                    c.send(COMMAND, command(ATTACH, 'QI', random.getrandbits(64) | 1, READ))
                for c in clients:
                    c.recv()
        self.works_under(attacker, 1)


class Crowds(FloodCase):
    def test_who_only_comes_and_goes(self):
        def attacker(begun):
            while True:
                try:
                    Client(self.daemon.path, patient=False).close()
                    begun()
                except BlockingIOError:     # the queue is full
                    pass
        self.works_under(attacker, rounds=40)

    def test_who_says_hello_and_goes(self):
        def attacker(begun):
            while True:
                try:
                    with Client(self.daemon.path, patient=False) as c:
                        c.send(HELLO, hello_body())
                        begun()
                except (BlockingIOError, Closed):
                    pass
        self.works_under(attacker, rounds=40)

    def test_who_comes_and_says_nothing(self):
        """The oldest of them make room; a device never does."""
        silent = []
        for i in range(600):
            began = time.monotonic()
            silent.append(self.stranger())
            if i % 100 == 0:
                self.pair.check()
                self.client().alloc()
        eventually(lambda: self.daemon.fds() < 350, lambda: 'descriptors: %d' % self.daemon.fds())
        silent[0].expect_closed()
        try:
            silent[-1].hello()
        except Closed:      # it has five seconds for that, of which this machine may have taken all
            self.assertGreaterEqual(time.monotonic() - began, 5, 'the last one was made to go')
        self.good_pair_works(20)

    def test_whose_answers_nobody_takes(self):
        """Each has only its own unread."""
        crowd = [self.client() for _ in range(100)]
        for c in crowd:
            for _ in range(10):
                c.send(COMMAND, command(QUERY, 'IIQQ', QUERY_DEVICES, 0, 0, 0))
        self.good_pair_works(50)


class Scribblers(FloodCase):
    """Over the line, which is theirs to write as well."""

    def scribble(self, choose):
        def attacker(begun):
            c, d = Client(self.daemon.path).hello(), Client(self.daemon.path).hello()
            r = c.alloc()
            d.attach(r.token)
            words, rings = c.line, message(RING)
            begun()
            for i in range(1 << 40):
                choose(words, i)
                if i % 64 == 0:
                    c.send_raw(rings)
        return attacker

    def rings_nobody_else(self, choose):
        a, b = self.client(), self.client()     # slots that the attacker has as well, of regions that it has not
        b.attach(a.alloc().token)

        def check():
            for c in (a, b):
                self.assertEqual([i for i in range(SLOTS // 64) if c.line.u64[16 + i]], [], 'a doorbell nobody rang')
        self.works_under(self.scribble(choose), check=check)

    def test_random_bytes(self):
        pages = [os.urandom(LINE_SIZE) for _ in range(16)]
        self.rings_nobody_else(lambda words, i: words.map.__setitem__(slice(0, LINE_SIZE), pages[i % 16]))

    def test_random_words(self):
        def choose(words, i):
            words.u64[random.randrange(LINE_SIZE // 8)] = random.getrandbits(64)
        self.rings_nobody_else(choose)

    def test_all_bits(self):
        ones = b'\xff' * (EVENT_HEAD // 2)
        self.rings_nobody_else(lambda words, i: words.map.__setitem__(slice(EVENT_HEAD // 2, EVENT_HEAD), ones))

    def test_event_head(self):
        heads = [0, 1, 2, 1 << 63, (1 << 64) - 1, (1 << 64) - 512]

        def choose(words, i):
            words.u64[EVENT_HEAD // 8] = heads[i % len(heads)]
        self.rings_nobody_else(choose)


@needs_root
class Unread(DaemonCase):
    """The kernel limits the descriptors in flight of a user, here the host's."""

    # Nobody's else: all processes of a user count, also those of another run of the tests.
    daemon_options = {'nofile': 64, 'uid': 64200 + os.getpid() % 1000}

    def test_descriptors_of_others_in_flight(self):
        pair = Pair(self.daemon)
        self.addCleanup(pair.close)
        before = self.daemon.resources()
        stalled = []
        for _ in range(22):
            stalled.append(self.stranger())
            stalled[-1].send(HELLO, hello_body())       # three descriptors come back, and stay in flight
            pair.check()
        extra = pair.a.alloc()
        self.refused(ENOMEM, pair.b.attach, extra.token)
        self.refused(ENOMEM, self.daemon.client)
        self.assertEqual(pair.b.command(EVENT_VECTOR, 'QQ', pair.rb.token, 1).status, ENOMEM)
        pair.check()
        self.assertEqual(pair.a.list(extra.token)[0], 0)
        for c in stalled:
            c.close()

        def attempt():
            try:
                return pair.b.attach(extra.token)
            except Refused as e:
                self.assertEqual(e.status, ENOMEM)
        region = eventually(attempt, 'room for a descriptor')
        pair.b.detach(region)
        pair.a.detach(extra)
        pair.check()
        eventually(lambda: self.daemon.resources() == before, lambda: '%r, before %r' % (self.daemon.resources(), before))

    def test_what_could_not_be_sent_again_is_told_of(self):
        """What a device was shown, and may have kept, ends after a batch that had no room in flight."""
        pair = Pair(self.daemon)
        self.addCleanup(pair.close)
        a, b = pair.a, pair.b
        before = self.daemon.resources()
        tokens = test_batch.alloc(a, 1, b)
        close_all(test_batch.attach(b, tokens, RW, test_batch.KEEP)[2])
        test_batch.detach(b, tokens)
        stalled = []
        for _ in range(22):
            stalled.append(self.stranger())
            stalled[-1].send(HELLO, hello_body())
            pair.check()
        self.assertEqual(test_batch.attach(b, tokens, READ, test_batch.KEEP)[0], ENOMEM)
        self.assertEqual(a.list(tokens[0])[0], 0)
        ended = b.state.u32[21]
        test_batch.detach(a, tokens)
        self.assertNotEqual(b.state.u32[21], ended)
        for c in stalled:
            c.close()
        pair.check()
        eventually(lambda: self.daemon.resources() == before, lambda: '%r, before %r' % (self.daemon.resources(), before))

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# ATTACH_BATCH and DETACH_BATCH: many regions at once, and pooled ones that become
# the next; by clients that want more than they may, or take less than they are sent.

import fcntl
import mmap
import os
import struct
import time
import unittest
from collections import namedtuple

import ismwire
from daemon import STRANGER_UID, UndisturbedCase, eventually, needs_root
from ismwire import (ALLOC_EX, ATTACH_EX, CHUNK, COMMAND, ENOENT, ENOSPC, ERR, EVENT_CAME, EVENT_WENT, MAY_ATTACH, OK,
                     PERM_WRITE, PRIVATE, READ, WRITE, close_all, command, memfd, reopen)
from test_quota import QuotaCase
from test_resume import Device, Manager

ATTACH_BATCH, DETACH_BATCH = 0x800a, 0x800b
RW = READ | WRITE
KEEP = HAVE = 1
MOST = 64

Attached = namedtuple('Attached', 'offset size requested creator event slot rights peers memory flags zero')
Left = namedtuple('Left', 'token event')


def tokens_of(tokens):
    return struct.pack('<%dQ' % len(tokens), *tokens)


def attach_body(tokens, rights=RW, flags=0):
    return command(ATTACH_BATCH, 'IIQ', rights, len(tokens), flags) + tokens_of(tokens)


def attach(client, tokens, rights=RW, flags=0):
    """Status, what is said of each region, descriptors: the caller's."""
    reply = client.raw_command(attach_body(tokens, rights, flags))
    if reply.status != OK:
        if reply.data or reply.fds:
            raise AssertionError('a refusal that brings something')
        return reply.status, [], []
    if len(reply.data) != 72 * len(tokens):
        raise AssertionError('an answer of %d bytes' % len(reply.data))
    return OK, [Attached(*a) for a in struct.iter_unpack('<5QIIQQII', reply.data)], reply.fds


def detach(client, tokens, renew=0):
    reply = client.raw_command(command(DETACH_BATCH, 'IIQ', renew, len(tokens), 0) + tokens_of(tokens))
    if reply.status != OK or len(reply.data) != 16 * len(tokens):
        raise AssertionError('status %d, %d bytes' % (reply.status, len(reply.data)))
    return [Left(*a) for a in struct.iter_unpack('<QQ', reply.data)]


def alloc(client, nr, peer=None, size=CHUNK, flags=PRIVATE):
    """Tokens of @nr regions, for @peer if there is one; each begins with its number."""
    fds = []
    for i in range(nr):
        fds.append(memfd(size))
        os.pwrite(fds[-1], bytes([i]), 0)
        if client.want_ro:
            fds.append(reopen(fds[-1], os.O_RDONLY))
    try:
        if peer is None:
            reply = client.must(ALLOC_EX, 'QIIQ', size, flags, nr, 0, fds=fds)
        else:
            reply = client.must(ALLOC_EX, 'QIIQQ', size, flags, nr, 0, peer.devid, fds=fds)
    finally:
        close_all(fds)
    return [struct.unpack_from('<Q', reply.data, 40 * i)[0] for i in range(nr)]


def numbers(fds):
    """What the regions begin with; closes the descriptors."""
    found = [os.pread(fd, 1, 0)[0] for fd in fds]
    close_all(fds)
    return found


def account(client):
    me = client.devices()[client.devid]
    return me.regions, me.bytes


class Descriptors(UndisturbedCase):
    daemon_options = {'others': True}

    def test_one_for_each_that_is_not_there_already(self):
        a, b = self.client(), self.client()
        pooled, plain = alloc(a, 4, b), alloc(a, 2, flags=0)
        status, said, fds = attach(b, pooled + plain, flags=KEEP)
        self.assertEqual((status, numbers(fds)), (OK, [0, 1, 2, 3, 0, 1]))
        self.assertEqual([s.flags for s in said], [0] * 6)
        self.assertTrue(all(s.memory for s in said[:4]) and not any(s.memory for s in said[4:]))
        self.assertEqual([(s.creator, s.peers, s.zero) for s in said], [(a.devid, 1, 0)] * 6)
        self.assertEqual(detach(b, pooled + plain), [(0, 0)] * 6)
        new = [left.token for left in detach(a, pooled, 3)]
        self.assertTrue(all(new[:3]) and new[3] == 0 and not set(new) & set(pooled))
        fresh = alloc(a, 1, b)
        asked = [new[2], new[0], new[1], plain[1], fresh[0], new[1]]   # first those that have a place, or others get it
        status, again, fds = attach(b, asked, flags=KEEP)
        self.assertEqual((status, numbers(fds)), (OK, [1, 0]))
        self.assertEqual([s.flags for s in again], [HAVE, HAVE, HAVE, 0, 0, HAVE])
        for i, old in ((0, 2), (1, 0), (2, 1)):
            self.assertEqual((again[i].memory, again[i].offset), (said[old].memory, said[old].offset))
        # Who does not say that it keeps, or asks for one alone, is sent the memory.
        detach(b, asked)
        status, _, fds = attach(b, asked[:1])
        self.assertEqual((status, numbers(fds)), (OK, [2]))
        reply = b.must(ATTACH_EX, 'QII', asked[1], READ, 0)
        self.assertEqual(numbers(reply.fds), [0])

    def test_64_and_each_of_them_twice(self):
        a, b = self.client(), self.client()
        tokens = alloc(a, MOST, b)
        for flags in (0, KEEP, KEEP):
            status, said, fds = attach(b, tokens, flags=flags)
            self.assertEqual((status, len({s.slot for s in said}), len(fds)),
                             (OK, MOST, 0 if said[0].flags else MOST))
            self.assertEqual(account(b), (MOST, MOST * CHUNK))
            close_all(fds)
        self.assertEqual(said[0].flags, HAVE)
        status, said, fds = attach(b, [tokens[5]] * MOST)
        self.assertEqual((status, numbers(fds)), (OK, [5] * MOST))
        self.assertEqual(account(b), (MOST, MOST * CHUNK))
        detach(b, [tokens[5]] * MOST)
        self.assertEqual(account(b), (MOST - 1, (MOST - 1) * CHUNK))
        detach(b, tokens)
        # Renewed once: the second time the token is that of nothing.
        left = detach(a, [tokens[0]] * 3 + tokens[1:3], 4)
        self.assertTrue(left[0].token and left[3].token)
        self.assertEqual([left[i].token for i in (1, 2, 4)], [0] * 3)
        self.assertEqual(account(a)[0], MOST - 1)

    def test_read_only_is_read_only(self):
        a, b = self.client(), self.client()
        tokens = alloc(a, 3, b)
        for flags in (0, KEEP):
            status, said, fds = attach(b, tokens, READ, flags)
            self.assertEqual((status, len(fds)), (OK, 3))
            for fd in fds:
                self.assertEqual(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE, os.O_RDONLY)
                with self.assertRaises(PermissionError):
                    mmap.mmap(fd, CHUNK, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            close_all(fds)
            detach(b, tokens)
        # What it has read-only it does not have writable, nor the other way round.
        for rights, have in ((READ, HAVE), (RW, 0), (RW, HAVE), (READ, 0)):
            _, said, fds = attach(b, tokens, rights, KEEP)
            self.assertEqual(([s.flags for s in said], len(fds)), ([have] * 3, 0 if have else 3))
            close_all(fds)
            detach(b, tokens)

    def test_what_is_shown_to_one_is_not_anothers(self):
        a, b, c = [self.client() for _ in range(3)]
        tokens = alloc(a, 2, b)
        close_all(attach(b, tokens, flags=KEEP)[2])
        self.assertEqual(attach(c, tokens, flags=KEEP)[0], ENOENT)
        a.grant(tokens[0], RW | MAY_ATTACH, c.devid)
        for _ in range(2):
            _, said, fds = attach(c, tokens[:1], flags=KEEP)
            self.assertEqual((said[0].memory, said[0].flags, numbers(fds)), (0, 0, [0]))
            _, said, fds = attach(a, tokens[:1], flags=KEEP)    # its creator's own
            self.assertEqual((said[0].memory, said[0].flags, numbers(fds)), (0, 0, [0]))
            _, said, fds = attach(b, tokens[:1], flags=KEEP)    # nor is it b's alone any more
            self.assertEqual((said[0].memory, said[0].flags, numbers(fds)), (0, 0, [0]))
        detach(b, tokens)
        detach(c, tokens)
        self.assertEqual([left.token != 0 for left in detach(a, tokens, 2)], [False, True])

    @needs_root
    def test_another_user(self):
        a, b, c = self.client(), self.client(STRANGER_UID), self.client(STRANGER_UID)
        tokens = alloc(a, MOST, b)
        for round_ in range(3):
            status, said, fds = attach(b, tokens, flags=KEEP)
            self.assertEqual((status, len(fds)), (OK, 0 if round_ else MOST))
            close_all(fds)
            self.assertEqual(attach(c, tokens, flags=KEEP)[0], ENOENT)      # not the user: that device
            detach(c, tokens, MOST)                                         # none of its business
            self.assertEqual(account(b), (MOST, MOST * CHUNK))
            self.assertEqual(detach(b, tokens, MOST), [(0, left.event) for left in detach(b, [1] * MOST)])
            tokens = [left.token for left in detach(a, tokens, MOST)]
        self.assertEqual(c.users()[STRANGER_UID].regions, 0)

class AllOrNone(UndisturbedCase):
    def test_a_guess_costs_what_it_costs_alone(self):
        """One known token and 63 guesses: one failure, after as long."""
        a, b = self.client(), self.client()
        known = alloc(a, 2, b)
        guesses = [known[0] ^ i for i in range(1, MOST)]
        before = account(b)
        for n in range(5):
            began = time.monotonic()
            self.assertEqual(attach(b, [known[0]] + guesses)[0], ENOENT)
            self.assertGreaterEqual(time.monotonic() - began, 0.001 * (1 << n) * 0.5)
            self.assertEqual(b.devices()[b.devid].failed, n + 1)
            self.assertEqual(account(b), before)
        self.assertEqual(b.command(ATTACH_EX, 'QII', guesses[0], RW, 0).status, ENOENT)
        self.assertEqual(b.devices()[b.devid].failed, 6)
        # As little is learned of what stands behind a guess: nobody is told.
        tail = a.state.event_tail
        self.assertEqual(attach(b, guesses[:1] + known)[0], ENOENT)
        self.assertEqual(a.state.event_tail, tail)

    def test_what_was_there_before_stays_as_it_was(self):
        a, b = self.client(), self.client()
        tokens, shut = alloc(a, 3, b), alloc(a, 1, flags=0)
        a.grant(shut[0], READ | MAY_ATTACH)
        status, _, fds = attach(b, tokens[:1], READ)
        close_all(fds)
        for last, expected in ((shut[0], PERM_WRITE), (tokens[2] ^ 1, ENOENT)):
            self.assertEqual(attach(b, tokens + [tokens[0], last])[0], expected)
            self.assertEqual(account(b), (1, CHUNK))
            # Attached to read it is, and so it stays: what it did not get it does not lose with the right to write.
            self.assertEqual(a.referrers(tokens[0])[b.devid].attached, READ)
        a.grant(tokens[0], READ | MAY_ATTACH, b.devid)
        self.assertEqual(a.list(tokens[0]), (1, [ismwire.Peer(b.devid, 0, 0)]))

    def test_its_creator_hears_of_both(self):
        a, b = self.client(), self.client()
        tokens = alloc(a, 3, b)
        self.assertEqual(attach(b, tokens[:2] + [tokens[2] ^ 1])[0], ENOENT)
        heard = [a.state.event(i) for i in range(a.state.event_tail)]
        self.assertEqual([(e.type, e.token, e.peers) for e in heard],
                         [(EVENT_CAME, tokens[0], 1), (EVENT_CAME, tokens[1], 1), (EVENT_WENT, tokens[1], 0),
                          (EVENT_WENT, tokens[0], 0)])
        self.assertEqual([left.token != 0 for left in detach(a, tokens, 3)], [True] * 3)

    def test_malformed(self):
        a, b = self.client(), self.client()
        tokens = alloc(a, MOST, b)
        before = account(a), account(b)
        long = tokens + tokens[:1]

        def batch(cmd, first, nr, flags, what):
            return command(cmd, 'IIQ', first, nr, flags) + tokens_of(what)
        for body in (batch(ATTACH_BATCH, RW, 0, 0, []), batch(ATTACH_BATCH, RW, 0, 0, tokens[:1]),
                     batch(ATTACH_BATCH, RW, 2, 0, tokens[:1]), batch(ATTACH_BATCH, RW, 1, 0, tokens[:2]),
                     batch(ATTACH_BATCH, RW, 65, 0, long), batch(ATTACH_BATCH, RW, 1 << 29 | 1, 0, tokens[:1]),
                     batch(ATTACH_BATCH, RW, 0xffffffff, 0, tokens), batch(ATTACH_BATCH, RW, 1, 2, tokens[:1]),
                     batch(ATTACH_BATCH, RW, 1, 1 << 63, tokens[:1]), batch(ATTACH_BATCH, 0, 1, 0, tokens[:1]),
                     batch(ATTACH_BATCH, WRITE, 1, 0, tokens[:1]), batch(ATTACH_BATCH, RW | MAY_ATTACH, 1, 0, tokens[:1]),
                     batch(ATTACH_BATCH, RW, 1, 0, tokens[:1]) + b'\0', batch(ATTACH_BATCH, RW, 1, 0, tokens[:1])[:-1],
                     batch(ATTACH_BATCH, RW, 1, 0, [])[:9], command(ATTACH_BATCH)):
            self.assertEqual(b.raw_command(body), (ERR, b'', []))
        for body in (batch(DETACH_BATCH, 0, 0, 0, []), batch(DETACH_BATCH, 2, 1, 0, tokens[:1]),
                     batch(DETACH_BATCH, 0xffffffff, 1, 0, tokens[:1]), batch(DETACH_BATCH, 0, 1, 1, tokens[:1]),
                     batch(DETACH_BATCH, 65, 65, 0, long), batch(DETACH_BATCH, 1, 2, 0, tokens[:1]),
                     batch(DETACH_BATCH, 1, 1 << 29 | 1, 0, tokens[:1]),
                     batch(DETACH_BATCH, 1, 1, 0, tokens[:1]) + b'\0', command(DETACH_BATCH)):
            self.assertEqual(a.raw_command(body), (ERR, b'', []))
        for c, body in ((b, attach_body(tokens[:1])), (a, batch(DETACH_BATCH, 1, 1, 0, tokens[:1]))):
            self.assertEqual(c.raw_command(body, fds=[self.memfd()]).status, ERR)
        self.assertEqual((account(a), account(b)), before)
        self.assertEqual(b.devices()[b.devid].failed, 0)

    def test_who_does_not_read_its_64_descriptors(self):
        a, b = self.client(), self.client()
        tokens = alloc(a, MOST, b)
        before = account(a)
        for _ in range(2):
            b.send(COMMAND, attach_body(tokens))
        eventually(lambda: b.devid not in a.devices(), 'its end')
        _, fds = b.recv_raw()           # the first one's; there is no second
        self.assertEqual(len(fds), MOST)
        close_all(fds)
        b.expect_closed()
        self.assertEqual(account(a), before)
        self.assertEqual([left.token for left in detach(a, tokens, MOST)], [0] * MOST)     # for nobody


class Kept(UndisturbedCase):
    def ended(self, client):
        """The host's word on memory that was kept: behind the link's count."""
        return client.state.u32[21]

    def test_its_end_is_told(self):
        a, b = self.client(), self.client()
        for how in (lambda t: detach(a, t), lambda t: a.must(ismwire.DETACH, 'Q', t[0]), lambda t: a.close()):
            tokens = alloc(a, 1, b)
            close_all(attach(b, tokens, flags=KEEP)[2])
            detach(b, tokens)
            tokens = [detach(a, tokens, 1)[0].token]
            before = self.ended(b)
            how(tokens)
            eventually(lambda: self.ended(b) != before, 'the end of what was kept')

    def test_nothing_is_told_that_was_not_kept(self):
        a, b = self.client(), self.client()
        before = self.ended(b)
        for flags, peer in ((0, b), (KEEP, None)):
            tokens = alloc(a, 1, peer, flags=0 if peer is None else PRIVATE)
            close_all(attach(b, tokens, flags=flags)[2])
            detach(b, tokens)
            detach(a, tokens)
        self.assertEqual(self.ended(b), before)


class Quotas(QuotaCase):
    """Exact at their edges within a batch, and to the byte after it."""

    def test_regions(self):
        self.limit('device-regions=10')
        a, b, c = [self.client() for _ in range(3)]
        tokens = alloc(a, 6, b) + alloc(c, 6, b)
        for asked, status, held in ((tokens[:11], ENOSPC, 0), (tokens[:10], OK, 10), (tokens[:10] * 2, OK, 10),
                                    ([tokens[0], tokens[10]], ENOSPC, 10)):
            got, _, fds = attach(b, asked, flags=KEEP)
            close_all(fds)
            self.assertEqual((got, account(b)), (status, (held, held * CHUNK)))
        detach(b, tokens[:2])
        self.assertEqual(attach(b, tokens[:11])[0], ENOSPC)
        self.assertEqual(account(b), (8, 8 * CHUNK))
        self.assertEqual(b.devices()[b.devid].failed, 0)

    def test_bytes_of_a_user(self):
        self.limit('user-bytes=%d' % (20 * 2 * CHUNK))
        a, b = self.client(), self.client()
        tokens = alloc(a, 12, b, 2 * CHUNK)
        for asked, status, held in ((tokens[:9], ENOSPC, 0), (tokens[:8], OK, 8), (tokens[4:9], ENOSPC, 8)):
            got, _, fds = attach(b, asked)
            close_all(fds)
            self.assertEqual((got, account(b)), (status, (held, held * 2 * CHUNK)))
            self.assertEqual(b.users()[os.geteuid()].bytes, (12 + held) * 2 * CHUNK)
        # With no room left the next one is made all the same: it takes none.
        detach(b, tokens)
        more = alloc(a, 8, b, 2 * CHUNK)
        for _ in range(3):
            more = [left.token for left in detach(a, more, 8)]
            self.assertTrue(all(more))
            self.assertEqual(a.users()[os.geteuid()][3:6], (20, 20, 40 * CHUNK))

    def test_grants(self):
        self.limit('device-grants=4')
        a, b = self.client(), self.client()

        def grants():
            return a.users()[os.geteuid()].grants
        self.refused(ENOSPC, alloc, a, 5, b)
        self.assertEqual((grants(), account(a)), (0, (0, 0)))
        tokens = alloc(a, 4, b)
        for _ in range(3):
            tokens = [left.token for left in detach(a, tokens, 4)]
            self.assertTrue(all(tokens))
            self.assertEqual((grants(), account(a)), (4, (4, 4 * CHUNK)))
        self.refused(ENOSPC, alloc, a, 1, b)
        detach(a, tokens, 1)
        self.assertEqual((grants(), account(a)), (1, (1, CHUNK)))
        alloc(a, 3, b)
        b.close()
        eventually(lambda: grants() == 0, 'given back with the one that had them')

    def test_attach_rate(self):
        rate = 8
        self.limit('device-attach-rate=%d' % rate)
        a = self.client()
        tokens = alloc(a, rate + 1, flags=0)
        for _ in range(20):
            b = self.client()
            began = time.monotonic()
            first, _, fds = attach(b, tokens[:rate])
            second, _, more = attach(b, tokens[rate:] + tokens[:1])
            third = attach(b, [tokens[0] ^ 1] * 2)[0]
            close_all(fds + more)
            if time.monotonic() - began < 1 / rate:
                break
            b.close()
        else:
            self.skipTest('this machine is too slow to ask three times in a part of a second')
        self.assertEqual((first, second, third), (OK, ENOSPC, ENOSPC))
        self.assertEqual(account(b), (rate, rate * CHUNK))
        self.assertEqual(b.devices()[b.devid].failed, 0)        # a wrong token is not even looked at
        # What a batch has that does not pass as a whole is used up, and gives nothing.
        c = self.client()
        self.assertEqual(attach(c, tokens)[0], ENOSPC)
        self.assertEqual(account(c), (0, 0))


class Restart(unittest.TestCase):
    def setUp(self):
        self.manager = Manager('--set', 'grace=20')
        self.addCleanup(self.manager.close)
        self.manager.start()
        self.a, self.b = [self.cleaned(Device.new(self.manager.path)) for _ in range(2)]

    def cleaned(self, client):
        self.addCleanup(client.close)
        return client

    def restart(self):
        self.manager.kill()
        self.manager.start()
        self.come_back()

    def come_back(self):
        self.a, self.b = [self.cleaned(Device.back(self.manager.path, c.devid, c.secret)) for c in (self.a, self.b)]

    def kept(self, prefix):
        with self.manager.lock:
            return sorted({name for name, _ in self.manager.store if name.startswith(prefix)})

    def eventually_kept(self, prefix, nr):
        eventually(lambda: len(self.kept(prefix)) == nr, lambda: 'kept: %r' % self.kept(prefix))

    def own(self, client):
        return {r[0] for r in (struct.unpack('<QQQII', r) for r in client.query_all(4))}

    def test_a_renewed_region_survives(self):
        tokens = alloc(self.a, 8, self.b)
        close_all(attach(self.b, tokens, flags=KEEP)[2])
        names = self.kept('r-')
        self.assertEqual(len(names), 8)
        for round_ in range(4):
            detach(self.b, tokens)
            old, tokens = tokens, [left.token for left in detach(self.a, tokens, 8)]
            self.assertTrue(all(tokens))
            self.restart()
            self.assertEqual(self.own(self.a), set(tokens))
            self.assertEqual(self.own(self.b), set())
            self.assertEqual(self.kept('r-'), names)        # the same memory under the same names
            regions = self.a.domain_regions()
            self.assertEqual({(regions[t].size, regions[t].creator, regions[t].referrers, regions[t].default_rights)
                              for t in tokens}, {(CHUNK, self.a.devid, 1, 0)})
            self.assertEqual(attach(self.b, old[:1])[0], ENOENT)
            # The new host has shown nothing yet.
            for have in (0, HAVE):
                status, said, fds = attach(self.b, tokens, flags=KEEP)
                self.assertEqual((status, [s.flags for s in said]), (OK, [have] * 8))
                self.assertEqual(numbers(fds), [] if have else list(range(8)))
                self.assertTrue(all(s.memory for s in said))
        detach(self.b, tokens)
        left = [left.token for left in detach(self.a, tokens, 3)]
        self.eventually_kept('r-', 3)
        detach(self.a, left[:3])
        self.eventually_kept('r-', 0)
        self.assertEqual(self.a.domain()[1:4], (2, 0, 0))
        self.restart()
        self.assertEqual(self.a.domain()[1:4], (2, 0, 0))

    def test_the_ledger_does_not_grow_without_end(self):
        tokens = alloc(self.a, MOST, self.b)
        for round_ in range(300):
            tokens = [left.token for left in detach(self.a, tokens, MOST)]
            if round_ % 100 == 50:
                self.restart()
        self.eventually_kept('ledger-', 1)
        with self.manager.lock:
            size = sum(os.fstat(fd).st_size for name, fd in self.manager.store if name.startswith('ledger-'))
        self.assertLess(size, 8 << 20)
        self.restart()
        self.assertEqual(self.own(self.a), set(tokens))
        self.eventually_kept('r-', MOST)
        status, _, fds = attach(self.b, tokens, flags=KEEP)
        self.assertEqual((status, numbers(fds)), (OK, list(range(MOST))))

    def test_killed_before_the_answer(self):
        """What was not answered happened as a whole or not at all."""
        tokens = alloc(self.a, MOST, self.b)
        names, whole = self.kept('r-'), 0
        for n in range(12):
            if n % 2:
                self.b.send(COMMAND, attach_body(tokens, flags=KEEP))
            else:
                self.a.send(COMMAND, command(DETACH_BATCH, 'IIQ', MOST, MOST, 0) + tokens_of(tokens))
            if n % 3:
                time.sleep(0.0004 * n)
            self.manager.kill()
            self.manager.start()
            self.come_back()
            now = self.own(self.a)
            self.assertIn(len(now & set(tokens)), (0, MOST))
            self.assertEqual((len(now), self.kept('r-')), (MOST, names))
            self.assertIn(len(self.own(self.b)), (0, MOST))
            detach(self.b, list(self.own(self.b)) or [1])
            whole += not now & set(tokens)
            tokens = sorted(now)
            _, said, fds = attach(self.b, tokens)
            self.assertEqual(sorted(numbers(fds)), list(range(MOST)))
            detach(self.b, tokens)
        for token in tokens:
            self.a.must(ismwire.DETACH, 'Q', token)
        self.eventually_kept('r-', 0)


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Quotas: exact at their edges, given back exactly, refused with nothing left.

import os
import random
import struct
import time

from daemon import STRANGER_UID, WITHOUT, Daemon, DaemonCase, eventually, needs_root
from ismwire import (ALLOC_EX, ATTACH, CHUNK, DETACH, ENOENT, ENOSPC, MAY_ATTACH, OK, PRIVATE, READ, WRITE, Refused,
                     close_all)

RW = READ | WRITE


class QuotaCase(DaemonCase):
    """A daemon per test, with that test's settings."""

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def limit(self, *settings, **options):
        args = [word for setting in settings for word in ('--set', setting)]
        self.daemon = Daemon(*args, **options)
        self.addCleanup(self.daemon.stop)
        self.addCleanup(self.all_given_back)

    def all_given_back(self):
        """When all clients have gone, nothing is on anybody's account: to the byte."""
        with eventually(self.newcomer, 'room for one device') as c:
            eventually(lambda: len(c.devices()) == 1, lambda: 'devices: %r' % c.devices())
            domain = c.domain()
            self.assertEqual((domain.devices, domain.regions, domain.bytes), (1, 0, 0))
            self.assertEqual({uid: u[2:6] for uid, u in c.users().items() if any(u[2:6])}, {os.geteuid(): (1, 0, 0, 0)})
            self.assertEqual(tuple(c.devices()[c.devid])[3:5], (0, 0))

    def newcomer(self):
        try:
            return self.daemon.client()
        except Refused:
            return None

    def fill(self, client, nr, size=CHUNK):
        """Exactly @nr regions fit."""
        regions = [client.alloc(size) for _ in range(nr)]
        self.refused(ENOSPC, client.alloc, size)
        return regions

    def eventually_alloc(self, client):
        """The end of another connection is seen by the host a moment later."""
        def attempt():
            try:
                return client.alloc()
            except Refused as e:
                self.assertEqual(e.status, ENOSPC)
        return eventually(attempt, 'room for one more region')


class Bytes(QuotaCase):
    def test_of_a_device(self):
        self.limit('device-bytes=256K')
        a, b = self.client(), self.client()
        regions = self.fill(a, 4)
        before = self.daemon.fds()
        for size in (CHUNK, 2 * CHUNK, 1 << 29):
            self.refused(ENOSPC, a.alloc, size)
        self.assertEqual(self.daemon.fds(), before)
        other = b.alloc(4 * CHUNK)                      # another device's are its own
        self.refused(ENOSPC, b.attach, regions[0].token)    # what is attached counts
        self.refused(ENOSPC, a.attach, other.token)
        a.detach(regions[1])
        self.fill(a, 1)
        a.detach(regions[2])
        a.detach(regions[3])
        self.fill(a, 1, 2 * CHUNK)

    def test_a_region_larger_than_the_quota(self):
        self.limit('device-bytes=%d' % (3 * CHUNK - 1))
        a = self.client()
        self.refused(ENOSPC, a.alloc, 3 * CHUNK)
        self.fill(a, 2)

    def test_of_a_user(self):
        self.limit('user-bytes=256K')
        a, b = self.client(), self.client()
        a.alloc(3 * CHUNK)
        regions = self.fill(b, 1)
        self.refused(ENOSPC, a.attach, regions[0].token)
        a.close()
        self.eventually_alloc(b)
        self.fill(b, 2)
        b.close()
        c = self.client()
        self.eventually_alloc(c)
        self.fill(c, 3)

    def test_a_second_reference_of_a_device_is_free(self):
        self.limit('device-bytes=64K')
        a = self.client()
        r = a.alloc()
        for _ in range(3):
            a.attach(r.token)
        self.assertEqual(a.devices()[a.devid].bytes, CHUNK)

    def test_batches_are_whole_or_nothing(self):
        self.limit('device-bytes=256K')
        a = self.client()
        for nr, status in ((5, ENOSPC), (64, ENOSPC), (4, OK)):
            reply = a.command(ALLOC_EX, 'QIIQ', CHUNK, 0, nr, 0, fds=[self.memfd() for _ in range(nr)])
            self.assertEqual(reply.status, status)
            self.assertEqual(a.domain().regions, 4 if status == OK else 0)
        for i in range(4):
            a.must(DETACH, 'Q', *struct.unpack_from('<Q', reply.data, 40 * i))
        self.fill(a, 4)

    @needs_root
    def test_of_another_user(self):
        self.limit('user-bytes=128K', others=True)
        a, b = self.client(), self.client(STRANGER_UID)
        self.fill(a, 2)
        self.fill(b, 2)


class Regions(QuotaCase):
    def test_of_a_device(self):
        self.limit('device-regions=3')
        a, b = self.client(), self.client()
        regions = self.fill(a, 3)
        other = b.alloc()
        self.refused(ENOSPC, a.attach, other.token)
        a.detach(regions[0])
        a.attach(other.token)
        self.refused(ENOSPC, a.alloc)
        self.fill(b, 2)

    def test_of_a_user(self):
        self.limit('user-regions=5')
        a, b = self.client(), self.client()
        self.fill(a, 5)
        self.refused(ENOSPC, b.alloc)
        a.close()
        self.eventually_alloc(b)
        self.fill(b, 4)


class Devices(QuotaCase):
    def test_of_a_user(self):
        self.limit('user-devices=3')
        clients = [self.client() for _ in range(3)]
        for _ in range(3):
            self.refused(ENOSPC, self.daemon.client)
        self.stranger()     # a connection is no device
        clients[0].close()

        def attempt():
            try:
                return self.daemon.client()
            except Refused as e:
                self.assertEqual(e.status, ENOSPC)
        self.addCleanup(eventually(attempt, 'room for one more device').close)
        self.refused(ENOSPC, self.daemon.client)
        self.assertEqual(clients[1].domain().devices, 3)


class Grants(QuotaCase):
    def test_of_a_device(self):
        self.limit('device-grants=2')
        a, b, *peers = [self.client() for _ in range(5)]
        r, s = a.alloc(flags=PRIVATE), a.alloc()
        rights = RW | MAY_ATTACH
        a.grant(r.token, rights, peers[0].devid)
        a.grant(r.token, rights, peers[1].devid)
        self.refused(ENOSPC, a.grant, r.token, rights, peers[2].devid)
        self.refused(ENOSPC, a.grant, s.token, rights, peers[0].devid)
        self.refused(ENOENT, peers[2].attach, r.token)
        a.grant(r.token, READ, peers[1].devid)              # a change is no new one
        a.grant(r.token, rights)                            # the default counts nothing
        t = b.alloc()
        b.grant(t.token, rights, peers[0].devid)            # another device's are its own
        peers[0].close()                                    # given back with the one that had it
        eventually(lambda: a.domain().devices == 4, 'its end')
        a.grant(s.token, rights, peers[2].devid)
        self.refused(ENOSPC, a.grant, s.token, rights, peers[1].devid)
        a.detach(s)                                         # given back with the region
        a.grant(r.token, rights, peers[2].devid)
        self.refused(ENOSPC, a.grant, r.token, rights, b.devid)

    def test_of_a_user(self):
        self.limit('user-grants=2')
        a, b, c = self.client(), self.client(), self.client()
        r, s = a.alloc(), b.alloc()
        c.attach(r.token)           # so that it outlives a
        a.grant(r.token, RW, c.devid)
        b.grant(s.token, RW, c.devid)
        self.refused(ENOSPC, a.grant, r.token, RW, b.devid)
        self.refused(ENOSPC, b.grant, s.token, RW, a.devid)
        a.close()
        eventually(lambda: b.domain().devices == 2, 'its end')
        d = self.client()
        b.grant(s.token, RW, d.devid)
        e = self.client()
        self.refused(ENOSPC, b.grant, s.token, RW, e.devid)


class Shadow:
    """What should be on each account."""

    def __init__(self):
        self.held = {}          # client: {token: Region}
        self.creator = {}       # token: client

    def device(self, client):
        return sum(r.size for r in self.held[client].values()), len(self.held[client])

    def user(self, uid):
        each = [self.device(c) for c in self.held if c.uid == uid]
        return len(each), sum(n for _, n in each), sum(b for b, _ in each)

    def fits(self, client, size):
        (b, n), (_, all_n, all_b) = self.device(client), self.user(client.uid)
        return (b + size <= Many.DEVICE[0] and n < Many.DEVICE[1] and all_b + size <= Many.USER[0] and
                all_n < Many.USER[1])

    def attachable(self, client):
        return [r for token, c in self.creator.items() if c in self.held and token in self.held[c] and
                token not in self.held[client] for r in (self.held[c][token],)]


class Many(QuotaCase):
    DEVICE, USER = (12 * CHUNK, 6), (100 * CHUNK, 60)      # bytes, regions
    CLIENTS, STEPS = 30, 1500

    def test_exact_with_many_clients(self):
        """Clients of two users come, allocate, attach, detach and go, as it happens; what is refused, and all accounts,
        are as counted here."""
        root = os.geteuid() == 0 and not WITHOUT
        self.limit('device-bytes=%d' % self.DEVICE[0], 'device-regions=%d' % self.DEVICE[1],
                   'user-bytes=%d' % self.USER[0], 'user-regions=%d' % self.USER[1], others=root)
        seed = int.from_bytes(os.urandom(4), 'little')
        self.chance, self.shadow, self.refusals = random.Random(seed), Shadow(), 0
        self.uids = [os.geteuid(), STRANGER_UID] if root else [os.geteuid()]
        self.witness = self.client()
        with self.subTest(seed=seed):
            for step in range(self.STEPS):
                self.step()
                if step % 25 == 0:
                    self.compare()
            self.compare()
            self.assertGreater(self.refusals, 50)

    def newcomer_of(self, uid):
        c = self.client(None if uid == os.geteuid() else uid)
        c.uid = uid
        self.shadow.held[c] = {}

    def step(self):
        held = self.shadow.held
        if len(held) < self.CLIENTS:
            self.newcomer_of(self.chance.choice(self.uids))
        c = self.chance.choice(list(held))
        what = self.chance.random()
        if what < 0.5:
            size = self.chance.randint(1, 5) * CHUNK
            self.acquire(c, size, lambda: c.alloc(size), True)
        elif what < 0.8:
            region = self.chance.choice(self.shadow.attachable(c) or [None])
            if region is not None:
                self.acquire(c, region.size, lambda: c.attach(region.token), False)
        elif what < 0.97 and held[c]:
            token = self.chance.choice(list(held[c]))
            c.detach(held[c].pop(token))
        elif what >= 0.97:
            del held[c]
            c.close()
            eventually(lambda: c.devid not in self.witness.devices(), 'the end of a device')

    def acquire(self, client, size, call, creates):
        if not self.shadow.fits(client, size):
            self.refused(ENOSPC, call)
            self.refusals += 1
            return
        region = call()
        self.shadow.held[client][region.token] = region
        if creates:
            self.shadow.creator[region.token] = client

    def compare(self):
        devices, users = self.witness.devices(), self.witness.users()
        for c in self.shadow.held:
            self.assertEqual((devices[c.devid].bytes, devices[c.devid].regions), self.shadow.device(c))
        for uid in self.uids:
            nr, regions, size = self.shadow.user(uid)
            nr += uid == os.geteuid()       # the witness
            u = users.get(uid)              # no line: it has nothing
            self.assertEqual((u.devices, u.regions, u.bytes) if u else (0, 0, 0), (nr, regions, size))


class Rates(QuotaCase):
    """A burst of a second's worth passes; then one in each part of a second."""

    RATE = 4

    def burst(self, attach, clients):
        """RATE attaches pass and the next does not, unless a part of a second has gone meanwhile."""
        began = time.monotonic()
        statuses = []
        for i in range(self.RATE + 1):
            statuses.append(attach(clients[i % len(clients)]))
        if time.monotonic() - began >= 1 / self.RATE:
            return False        # too slow to tell
        self.assertEqual(statuses, [OK] * self.RATE + [ENOSPC])
        return True

    def attach_rate(self, setting, nr_clients):
        self.limit('%s=%d' % (setting, self.RATE))
        a = self.client()
        token = a.alloc().token

        def attach(client):
            reply = client.command(ATTACH, 'QI', token, RW)
            close_all(reply.fds)
            return reply.status

        for _ in range(20):
            clients = [self.client() for _ in range(nr_clients)]
            if self.burst(attach, clients):
                break
            for c in clients:
                c.close()
            time.sleep(1)       # the user's rate, too, is whole again
        else:
            self.skipTest('this machine is too slow to attach %d times in a part of a second' % self.RATE)
        # A wrong token is not even looked at.
        reply = clients[0].command(ATTACH, 'QI', token ^ 1, RW)
        self.assertIn(reply.status, (ENOSPC, ENOENT))
        eventually(lambda: attach(clients[0]) == OK, 'an attach, later')

    def test_attaches_of_a_device(self):
        self.attach_rate('device-attach-rate', 1)

    def test_attaches_of_a_user(self):
        self.attach_rate('user-attach-rate', 2)

    def rings(self, ringer, mine, hearers, nr):
        """Ring @nr times; the times at which each was heard."""
        times = []
        for _ in range(nr):
            ringer.ring(mine.slot)
            for hearer, theirs in hearers:
                eventually(lambda: hearer.to_device.is_set(theirs.slot), 'a doorbell')
                hearer.to_device.clear(theirs.slot)
            times.append(time.monotonic())
        return times

    def test_doorbells_of_a_device(self):
        self.limit('device-notify-rate=%d' % self.RATE)
        a, b = self.client(), self.client()
        r = a.alloc()
        s = b.attach(r.token)
        began = time.monotonic()
        times = self.rings(a, r, [(b, s)], self.RATE + 3)
        for i in range(3):      # held back, not lost
            self.assertGreaterEqual(times[self.RATE + i] - began, (i + 1) / self.RATE)
        self.rings(b, s, [(a, r)], 1)       # another device's are its own

    def test_doorbells_of_a_user(self):
        self.limit('user-notify-rate=%d' % self.RATE)
        a, b = self.client(), self.client()
        r = a.alloc()
        s = b.attach(r.token)
        began = time.monotonic()
        self.rings(a, r, [(b, s)], self.RATE // 2)
        self.rings(b, s, [(a, r)], self.RATE // 2)
        times = self.rings(a, r, [(b, s)], 2)
        for i in range(2):
            self.assertGreaterEqual(times[i] - began, (i + 1) / self.RATE)

    def test_a_held_back_doorbell_holds_back_nothing_else(self):
        self.limit('device-notify-rate=1')
        a, b, c, d = [self.client() for _ in range(4)]
        r, q = a.alloc(), c.alloc()
        s, p = b.attach(r.token), d.attach(q.token)
        began = time.monotonic()
        self.rings(a, r, [(b, s)], 1)
        a.ring(r.slot)                                  # held back for a second
        a.domain()
        self.rings(c, q, [(d, p)], 1)
        heard = b.to_device.is_set(s.slot)
        if time.monotonic() - began < 1:
            self.assertFalse(heard)
        eventually(lambda: b.to_device.is_set(s.slot), 'the doorbell that was held back')
        self.assertGreaterEqual(time.monotonic() - began, 1)

    def test_who_rings_too_often_and_goes(self):
        self.limit('device-notify-rate=1')
        a, b = self.client(), self.client()
        r = a.alloc()
        b.attach(r.token)
        before = self.daemon.fds()
        for _ in range(3):
            c = self.client()
            s = c.attach(r.token)
            for _ in range(3):
                c.ring(s.slot)
            c.close()
        eventually(lambda: self.daemon.fds() == before, 'the end of the others')
        self.assertEqual(b.list(r.token)[0], 1)

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Doorbells: through the host, with a vector, and over direct links; and what a
# link shows to, and takes from, a peer that may not ring.

import fcntl
import os
import select
import socket

from daemon import DEVICE_FDS, IDLE_FDS, STRANGER_UID, UndisturbedCase, eventually, needs_root, needs_seals
from ismwire import (BELL_SIZE, ENOENT, ENOSPC, ERR, EVENT_VECTOR, F_GET_SEALS, LINK, LINK_SIZE, LINKS, LIST, MAY_ATTACH,
                     PRIVATE, READ, RING, SLOT_NONE, WRITE, Bell, Words, close_all)

RW = READ | WRITE


def readable(*things):
    return select.select(things, [], [], 0)[0] != []


class Relay(UndisturbedCase):
    def setUp(self):
        super().setUp()
        self.a, self.b, self.c = self.client(), self.client(), self.client()
        self.c.alloc()      # so that slots differ
        self.ra = self.a.alloc()
        self.rb, self.rc = self.b.attach(self.ra.token), self.c.attach(self.ra.token)

    def test_rings_all_others_and_names_the_ringer(self):
        self.assertNotEqual(self.rb.slot, self.rc.slot)
        self.b.ring(self.rb.slot)
        for c, r in ((self.a, self.ra), (self.c, self.rc)):
            eventually(lambda: c.to_device.is_set(r.slot), 'a doorbell')
            self.assertEqual(c.state.ringer(r.slot), self.b.devid)
        self.b.domain()
        self.assertFalse(self.b.to_device.is_set(self.rb.slot))

    def test_wakes_only_who_asked(self):
        self.b.to_device.armed = 1
        self.a.ring(self.ra.slot)
        eventually(lambda: readable(self.b.wake), 'a wake-up')
        self.assertTrue(self.b.to_device.is_set(self.rb.slot))
        self.assertEqual(self.b.to_device.armed, 0)
        self.assertTrue(self.b.woken())
        eventually(lambda: self.c.to_device.is_set(self.rc.slot), 'a doorbell')
        self.assertFalse(self.c.woken())

    def test_wake_ups_that_nobody_reads_do_not_pile_up(self):
        """They take the host's memory: a few, and the next one is as good as there."""
        for _ in range(300):
            self.b.to_device.armed = 1
            self.a.ring(self.ra.slot)
            eventually(lambda: self.b.to_device.is_set(self.rb.slot), 'a doorbell')
            self.b.to_device.clear(self.rb.slot)
        self.a.domain()
        unread = 0
        while readable(self.b.wake):
            unread += len(self.b.wake.recv(4096))
        self.assertGreater(unread, 0)
        self.assertLess(unread, 50)

    def test_pending_is_rung_once(self):
        self.b.to_device.armed = 1
        self.a.ring(self.ra.slot)
        eventually(self.b.woken, 'a wake-up')
        self.b.to_device.armed = 1
        for _ in range(10):
            self.a.ring(self.ra.slot)
            self.a.domain()
        self.assertFalse(self.b.woken())    # it is pending already

    def test_the_host_asks_for_a_message_when_it_sleeps(self):
        eventually(lambda: self.a.to_host.armed == 1, 'the host is about to sleep')
        self.assertTrue(self.a.to_host.set(self.ra.slot))
        self.a.send(RING)
        eventually(lambda: self.b.to_device.is_set(self.rb.slot), 'a doorbell')
        eventually(lambda: self.a.to_host.armed == 1, 'the host is about to sleep again')
        self.assertFalse(self.a.to_host.is_set(self.ra.slot))

    def test_bits_of_no_region_are_dropped(self):
        for slot in (1, 17, 64, 4095, 4096, 32767):
            self.a.to_host.set(slot)
        self.a.ring(self.ra.slot)
        eventually(lambda: self.b.to_device.is_set(self.rb.slot), 'a doorbell')
        self.a.domain()
        self.assertEqual([i for i in range(BELL_SIZE // 8 - 16) if self.b.line.u64[16 + i]], [self.rb.slot // 64])

    def test_nobody_rings_or_hears_without_the_right(self):
        self.a.grant(self.ra.token, 0, self.b.devid)
        self.assertEqual(self.a.list(self.ra.token),
                         (2, [(self.c.devid, self.rc.slot, 0), (self.b.devid, SLOT_NONE, 1)]))
        self.b.ring(self.rb.slot)
        self.b.domain()
        self.assertFalse(self.a.to_device.is_set(self.ra.slot))
        self.a.ring(self.ra.slot)
        eventually(lambda: self.c.to_device.is_set(self.rc.slot), 'a doorbell')
        self.assertFalse(self.b.to_device.is_set(self.rb.slot))
        self.a.grant(self.ra.token, RW | MAY_ATTACH, self.b.devid)
        self.b.ring(self.rb.slot)
        eventually(lambda: self.a.to_device.is_set(self.ra.slot), 'a doorbell')

    def test_detached_region_does_not_ring(self):
        slot = self.rb.slot
        self.b.detach(self.rb)
        self.b.ring(slot)
        self.b.domain()
        self.assertFalse(self.a.to_device.is_set(self.ra.slot))


class Vector(UndisturbedCase):
    def test_own_descriptor_for_a_region(self):
        a, b = self.client(), self.client()
        r = a.alloc()
        s = b.attach(r.token)
        self.assertEqual(a.list(r.token)[1], [(b.devid, s.slot, 0)])
        generation = a.state.generation(r.slot)
        reply = b.must(EVENT_VECTOR, 'QQ', s.token, 1)
        self.assertEqual((reply.data, len(reply.fds)), (b'', 1))
        vector = socket.socket(fileno=reply.fds[0])
        self.addCleanup(vector.close)
        self.assertEqual(a.list(r.token)[1], [(b.devid, SLOT_NONE, 0)])
        self.assertGreater(a.state.generation(r.slot), generation)
        a.ring(r.slot)
        eventually(lambda: readable(vector), 'a doorbell')
        self.assertTrue(b.to_device.is_set(s.slot))
        vector.recv(512)
        reply = b.must(EVENT_VECTOR, 'QQ', s.token, 2)      # a new one ends the old one
        second = socket.socket(fileno=reply.fds[0])
        self.addCleanup(second.close)
        self.assertEqual(vector.recv(1), b'')
        self.assertEqual(b.must(EVENT_VECTOR, 'QQ', s.token, 0).fds, [])
        self.assertEqual(second.recv(1), b'')
        self.assertEqual(a.list(r.token)[1], [(b.devid, s.slot, 0)])

    def test_ends_with_the_region(self):
        a = self.client()
        r = a.alloc()
        fd, = a.must(EVENT_VECTOR, 'QQ', r.token, 1).fds
        self.addCleanup(os.close, fd)
        a.detach(r)
        self.assertEqual(os.read(fd, 1), b'')
        self.assertEqual(a.command(EVENT_VECTOR, 'QQ', r.token, 1).status, ENOENT)


class LinkEnd:
    """What one end of a link has got."""

    def __init__(self, case, client, peer_devid):
        self.number, self.ident, self.fds = client.link(peer_devid)
        case.addCleanup(close_all, self.fds)
        self.page = Words(self.fds[0], LINK_SIZE, True)
        case.addCleanup(self.page.close)
        me = int(client.devid > peer_devid)
        self.out, self.into = Bell(self.page, me * BELL_SIZE), Bell(self.page, (1 - me) * BELL_SIZE)


class Links(UndisturbedCase):
    def setUp(self):
        super().setUp()
        self.a, self.b = self.client(), self.client()
        self.b.alloc()
        self.shared = [self.a.alloc() for _ in range(3)]
        self.alone = self.a.alloc()
        self.attached = [self.b.attach(r.token) for r in self.shared]

    def slots(self, regions):
        return {r.slot for r in regions}

    @needs_seals
    def test_both_ends_get_the_same_link(self):
        changed = self.b.state.links_changed
        self.b.to_device.armed = 1
        end = LinkEnd(self, self.a, self.b.devid)
        self.assertEqual(len(end.fds), 4)
        self.assertEqual(os.fstat(end.fds[0]).st_size, LINK_SIZE)
        self.assertEqual(fcntl.fcntl(end.fds[0], F_GET_SEALS) & 7, 7)
        self.assertEqual(self.a.state.link(end.number), (end.ident, self.b.devid))
        self.assertGreater(self.b.state.links_changed, changed)
        eventually(self.b.woken, 'a wake-up for the other end')
        other = LinkEnd(self, self.b, self.a.devid)
        self.assertEqual(other.ident, end.ident)
        self.assertEqual(self.b.state.link(other.number), (end.ident, self.a.devid))
        end.out.set(self.attached[0].slot)
        self.assertTrue(other.into.is_set(self.attached[0].slot))
        os.write(end.fds[3], b'\1' + bytes(7))
        self.assertTrue(readable(other.fds[2]))
        os.write(other.fds[3], b'\1' + bytes(7))
        self.assertTrue(readable(end.fds[2]))
        # Both ends have taken theirs: the host keeps nothing of it.
        regions, devices = 1 + 5, 4
        eventually(lambda: self.daemon.fds() == IDLE_FDS + DEVICE_FDS * devices + regions,
                   lambda: str(self.daemon.fds()))

    def test_sockets_tell_of_the_other_ends_death(self):
        end, other = LinkEnd(self, self.a, self.b.devid), LinkEnd(self, self.b, self.a.devid)
        self.assertFalse(readable(end.fds[1]))
        os.close(other.fds.pop(1))
        eventually(lambda: readable(end.fds[1]), 'the end of the socket')   # the host has a copy for a moment
        self.assertEqual(os.read(end.fds[1], 1), b'')

    def test_masks_allow_exactly_the_shared_slots(self):
        end = LinkEnd(self, self.a, self.b.devid)
        number = next(i for i in range(LINKS) if self.b.state.link(i)[0] == end.ident)
        self.assertEqual(self.a.state.mask(end.number), self.slots(self.shared))
        self.assertEqual(self.b.state.mask(number), self.slots(self.attached))
        late = self.a.attach(self.b.regions[0].token)       # one more, while the link is there
        self.assertEqual(self.a.state.mask(end.number), self.slots(self.shared + [late]))
        self.assertEqual(self.b.state.mask(number), self.slots(self.attached + [self.b.regions[0]]))
        self.a.detach(late)
        self.b.detach(self.attached[1])
        self.assertEqual(self.a.state.mask(end.number), self.slots([self.shared[0], self.shared[2]]))
        self.assertEqual(self.b.state.mask(number), self.slots([self.attached[0], self.attached[2]]))

    def test_masks_follow_the_rights(self):
        end, other = LinkEnd(self, self.a, self.b.devid), LinkEnd(self, self.b, self.a.devid)
        rest_a, rest_b = self.slots(self.shared[1:]), self.slots(self.attached[1:])
        for rights in (0, READ | MAY_ATTACH, RW):           # nothing; less than attached; no ATTACH
            self.a.grant(self.shared[0].token, rights)
            self.assertEqual(self.a.state.mask(end.number), rest_a)
            self.assertEqual(self.b.state.mask(other.number), rest_b)
            self.a.grant(self.shared[0].token, RW | MAY_ATTACH)
            self.assertEqual(self.a.state.mask(end.number), self.slots(self.shared))
            self.assertEqual(self.b.state.mask(other.number), self.slots(self.attached))

    def test_a_link_made_later_does_not_allow_who_is_shut_out(self):
        self.a.grant(self.shared[0].token, 0)
        end, other = LinkEnd(self, self.a, self.b.devid), LinkEnd(self, self.b, self.a.devid)
        self.assertEqual(self.a.state.mask(end.number), self.slots(self.shared[1:]))
        self.assertEqual(self.b.state.mask(other.number), self.slots(self.attached[1:]))

    def test_ends_with_either_device(self):
        end, other = LinkEnd(self, self.a, self.b.devid), LinkEnd(self, self.b, self.a.devid)
        self.b.close()
        eventually(lambda: self.a.state.link(end.number) == (0, 0), 'the end of the link')
        self.assertEqual(self.a.state.mask(end.number), set())
        self.assertNotEqual(other.ident, 0)

    def test_what_is_refused(self):
        self.assertEqual(self.a.command(LINK, 'Q', self.a.devid).status, ENOENT)
        for devid in (0, 1 << 40, (1 << 64) - 1):
            self.assertEqual(self.a.command(LINK, 'Q', devid).status, ENOENT)
        LinkEnd(self, self.a, self.b.devid)
        reply = self.a.command(LINK, 'Q', self.b.devid)     # it has its end already
        self.assertEqual((reply.status, reply.fds), (ERR, []))

    def test_no_link_to_a_device_that_shares_nothing(self):
        c = self.client()
        c.alloc()
        peer = self.pair.a
        changed = peer.state.links_changed
        reply = c.command(LINK, 'Q', peer.devid)
        self.addCleanup(close_all, reply.fds)
        self.assertEqual((reply.status, reply.data, reply.fds), (ENOENT, b'', []))
        self.assertEqual(peer.state.links_changed, changed)

    def test_at_most_64_links(self):
        peers = [self.client() for _ in range(LINKS)]
        for c in peers:
            c.attach(self.shared[0].token)
        LinkEnd(self, self.a, self.b.devid)
        for c in peers[:-1]:
            LinkEnd(self, self.a, c.devid)
        self.assertEqual(self.a.command(LINK, 'Q', peers[-1].devid).status, ENOSPC)
        self.assertEqual(peers[-1].command(LINK, 'Q', self.a.devid).status, ENOSPC)
        self.b.close()
        eventually(lambda: self.a.command(LIST, 'QQ', self.shared[0].token, 0).data[0] == LINKS, 'the end of b')
        LinkEnd(self, self.a, peers[-1].devid)


@needs_root
class LinksBetweenUsers(UndisturbedCase):
    daemon_options = {'others': True}

    def test_no_eventfds(self):
        a, b = self.client(), self.client(STRANGER_UID)
        s = b.attach(a.alloc(flags=0).token)
        end, other = LinkEnd(self, a, b.devid), LinkEnd(self, b, a.devid)
        self.assertEqual((len(end.fds), len(other.fds)), (2, 2))
        os.write(end.fds[1], b'x')
        self.assertTrue(readable(other.fds[1]))
        self.assertEqual(b.state.mask(other.number), {s.slot})

    def test_private_region_is_not_in_the_mask_of_who_may_not(self):
        a, b = self.client(), self.client(STRANGER_UID)
        r = a.alloc(flags=PRIVATE)
        a.grant(r.token, RW | MAY_ATTACH, b.devid)
        b.attach(r.token)
        end = LinkEnd(self, a, b.devid)
        self.assertEqual(a.state.mask(end.number), {r.slot})
        a.grant(r.token, 0, b.devid)
        self.assertEqual(a.state.mask(end.number), set())

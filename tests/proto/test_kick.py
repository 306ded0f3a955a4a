# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# KICK: who may take a device off the domain, and what is left of it.

import os

from daemon import STRANGER_UID, DaemonCase, UndisturbedCase, eventually, needs_pids, needs_root
from ismwire import CHUNK, COMMAND, ENOENT, ERR, EVENT_WENT, KICK, OK, PERM_ATTACH, READ, Closed, command


class Kick(UndisturbedCase):
    def test_its_connection_is_closed_and_its_peers_are_told(self):
        a, b = self.client(), self.client()
        r = a.alloc()
        b.alloc()
        b.attach(r.token)
        reply = a.command(KICK, 'Q', b.devid)
        self.assertEqual((reply.status, reply.data, reply.fds), (OK, b'', []))
        b.expect_closed()
        self.assertEqual(tuple(a.state.event(1)), (EVENT_WENT, r.offset, b.devid, 0, r.token))
        self.assertEqual(set(a.devices()), {a.devid, self.pair.a.devid, self.pair.b.devid})
        self.assertEqual(a.domain().bytes, 2 * CHUNK)
        self.refused(ENOENT, a.must, KICK, 'Q', b.devid)

    def test_devices_that_are_not_to_be_kicked(self):
        a = self.client()
        stranger = self.stranger()
        self.refused(ERR, a.must, KICK, 'Q', a.devid)
        for devid in (0, a.devid + 1, 1 << 63, (1 << 64) - 1):
            self.refused(ENOENT, a.must, KICK, 'Q', devid)
        stranger.hello()        # it was none when the next number was tried

    def test_requests_of_a_wrong_length(self):
        a, b = self.client(), self.client()
        for layout, values in (('', ()), ('I', (b.devid,)), ('QB', (b.devid, 0)), ('QQ', (b.devid, 0))):
            self.assertEqual(a.command(KICK, layout, *values).status, ERR)
        self.assertEqual(a.command(KICK, 'Q', b.devid, fds=[self.memfd()]).status, ERR)
        self.assertEqual(b.domain().devid, b.devid)

    def test_with_a_direct_link(self):
        a, b = self.client(), self.client()
        r = a.alloc()
        b.attach(r.token)
        number, _ = a.link(b.devid)[:2]
        self.assertEqual(a.state.link(number)[1], b.devid)
        a.must(KICK, 'Q', b.devid)
        self.assertEqual(a.state.link(number), (0, 0))
        self.assertEqual(a.state.mask(number), set())

    def test_while_an_answer_is_kept_back(self):
        a, b = self.client(), self.client()
        for _ in range(5):
            b.send(COMMAND, command(0x100, 'QI', 12345, READ))
        eventually(lambda: a.devices()[b.devid].failed > 0, 'a refused attach')
        a.must(KICK, 'Q', b.devid)
        with self.assertRaises(Closed):
            for _ in range(6):
                b.recv()

    def test_many_at_once_and_each_other(self):
        a = self.client()
        others = [self.client() for _ in range(50)]
        for other in others:    # of each two one wins, and the other may not even get to send
            for client, devid in ((a, other.devid), (other, a.devid)):
                try:
                    client.send(COMMAND, command(KICK, 'Q', devid))
                except Closed:
                    pass
        # That the host goes on is seen in the end.
        answers = 0
        for client in others:
            try:
                client.recv()
                answers += 1
            except Closed:
                pass
        self.assertGreater(answers, 0)


@needs_root
class OtherUsers(UndisturbedCase):
    daemon_options = {'others': True}

    def test_only_the_host_and_root_may(self):
        a, b, c = self.client(STRANGER_UID), self.client(STRANGER_UID), self.client()
        for devid in (b.devid, c.devid, a.devid, 0, 1 << 40):    # the same, whoever that is
            self.refused(PERM_ATTACH, a.must, KICK, 'Q', devid)
        self.assertEqual(b.domain().devid, b.devid)
        c.must(KICK, 'Q', b.devid)
        b.expect_closed()


class Log(DaemonCase):
    @needs_pids
    def test_it_is_logged(self):
        a, b = self.client(), self.client()
        a.must(KICK, 'Q', b.devid)
        line = 'device %d (pid %d, uid %d) taken off the domain by device %d' % (b.devid, os.getpid(), os.geteuid(),
                                                                                   a.devid)
        eventually(lambda: line in self.daemon.log(), line)

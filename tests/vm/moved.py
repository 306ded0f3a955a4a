# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Regions that get a successor: machines that go over by themselves, that replace, and
# that are left behind; and the programs of one machine, which are one device.

import time

from rig import Case

READ, WRITE, ATTACH, MANAGE = 1, 2, 4, 8
RWA, ALL = READ | WRITE | ATTACH, READ | WRITE | ATTACH | MANAGE
MOVED = 8
RECORDS = 6000


class T3Moved(Case):
    def moved(self, x, name='d'):
        """Who replaced it: the event behind those of peers that came and went."""
        event = x.do('event ' + name)
        while event[0] in ('2', '4'):
            event = x.do('event ' + name)
        self.assertEqual(event[0], str(MOVED))
        return event[1]

    def left_behind(self, x, last, token):
        """@x was shut out of "r": nothing more of it, and nothing of what came after, is its."""
        self.assertNotEqual(x.do('get r 0 %d' % len(last)), [last])
        x.refused('follow n r', 'No such file')
        x.refused('attach n d ' + token, 'No such file')

    def test_a_machine_goes_over(self):
        """The region of a process, who replaces it; one machine goes along, the other is shut out."""
        h, a, b = self.host('d'), self.guest(self.a, 'd'), self.guest(self.b, 'd')
        token, = h.do('alloc r d 100000')
        for x in (a, b):
            x.do('attach r d ' + token)
        h.do('put r 0 before')
        h.do('grant r %s 0' % b.devid)
        new, = h.do('replace n r')
        self.assertEqual(self.moved(a), h.devid)
        self.assertEqual(a.do('follow n r'), [new])
        h.do('fill n 5')
        self.assertEqual(a.do('sum n'), h.do('sum n'))
        h.do('put n 0 after')
        a.do('notify n')
        self.assertEqual([h.do('wait n'), a.do('get n 0 5'), a.do('get r 0 6')], [['1'], ['after'], ['before']])
        self.left_behind(b, 'before', new)
        self.assertEqual(b.do('poll r'), ['0'])

    def test_a_machine_replaces(self):
        """Its own region; the other machine and a process go along."""
        h, a, b = self.host('d'), self.guest(self.a, 'd'), self.guest(self.b, 'd')
        token, = a.do('alloc r d 100000')
        for x in (h, b):
            x.do('attach r d ' + token)
        new, = a.do('replace n r')
        for x in (a, h, b):
            x.refused('replace m r', 'Operation already')
        for x in (h, b):
            self.assertEqual(self.moved(x), a.devid)
            self.assertEqual(x.do('follow n r'), [new])
        a.do('fill n 6')
        self.assertEqual([h.do('sum n'), b.do('sum n')], [a.do('sum n')] * 2)
        for x, others in ((a, (h, b)), (h, (a, b)), (b, (a, h))):
            x.do('notify n')
            self.assertEqual([y.do('wait n') for y in others], [['1'], ['1']])
        # Who is shut out of that one now is left behind by all.
        a.do('put n 0 secret')
        a.do('grant n %s 0' % b.devid)
        last, = a.do('replace m n')
        self.moved(h)
        self.assertEqual(h.do('follow m n'), [last])
        b.refused('follow m n', 'No such file')
        b.refused('attach m d ' + last, 'No such file')

    def test_a_manager_elsewhere(self):
        """A process replaces what a machine's program allocated: it manages what it goes over to, its neighbour does not."""
        h, g = self.host('d'), self.guest(self.a, 'one')
        g.do('open two dev:')
        token, = g.do('alloc r one 65536')
        g.do('attach s two ' + token)
        h.do('attach r d ' + token)
        g.do('grant r %s %d' % (h.devid, ALL))
        new, = h.do('replace n r')
        for name in ('one', 'two'):
            self.assertEqual(self.moved(g, name), h.devid)
        self.assertEqual([g.do('follow t s'), g.do('follow n r')], [[new]] * 2)
        g.refused('grant t 0 %d' % RWA, 'Operation not permitted')
        g.do('grant n 0 %d' % RWA)
        g.do('replace m n')

    def test_programs_of_one_machine(self):
        """One replaces: its neighbours go over like others do, also one that comes later."""
        h, g = self.host('d'), self.guest(self.a, 'one')
        g.do('open two dev:')
        g.do('open three dev:')
        token, = g.do('alloc r one 65536')
        g.do('attach s two ' + token)
        h.do('attach r d ' + token)
        g.refused('replace n s', 'Operation not permitted')
        new, = g.do('replace n r')
        self.assertEqual([self.moved(g, 'two'), self.moved(h)], [g.devid] * 2)
        g.do('attach u three ' + token)
        self.moved(g, 'three')
        for x, name, old in ((g, 'v', 's'), (g, 'w', 'u'), (h, 'n', 'r')):
            self.assertEqual(x.do('follow %s %s' % (name, old)), [new])
        g.do('put n 0 inside')
        g.do('notify n')
        for x, name in ((g, 'v'), (g, 'w'), (h, 'n')):
            self.assertEqual([x.do('wait ' + name), x.do('get %s 0 6' % name)], [['1'], ['inside']])
        self.assertEqual([g.do('peers n'), h.do('peers n')], [['3'], ['1']])

    def stream(self, w, r, shut, by=None):
        """
        A ring's region is replaced in the midst of its records, by @by, or again and again by the writer: both
        ends go over, nothing is lost, and @shut, which had the region too, is left behind.
        """
        token, = (by or w).do('alloc r d 65536')
        for x in (w, r, shut, by):
            if x not in (None, by or w):
                x.do('attach r d ' + token)
        (by or w).do('grant r %s 0' % shut.devid)
        w.tell('ring-send r %d' % RECORDS if by else 'ring-send r %d %d' % (RECORDS, RECORDS / 4))
        time.sleep(0.2)
        r.tell('ring-recv r %d' % RECORDS)
        if by:
            by.do('replace n r')
        got = r.answer('ring-recv', 120).split()
        self.assertEqual((got[0], w.answer('ring-send', 120).split()), ('ok', got))
        new, = r.do('follow m r')
        self.assertEqual(r.do('peers m'), ['2' if by else '1'])
        shut.refused('follow m r', 'No such file')
        shut.refused('attach m d ' + new, 'No such file')
        self.tearDown()
        self.open_actors = []

    def test_rings_go_over_by_themselves(self):
        def actor(name):
            return self.host('d') if name == 'h' else self.guest(self.rig.pair[name], 'd')

        for names in ('habh', 'ahbh', 'abhh', 'hab', 'ahb', 'bah'):
            self.stream(*(actor(name) for name in names))


class T8Moved(Case):
    def test_replaced_meanwhile(self):
        """A machine replaces a region while nobody is there to do it."""
        g, b, h = self.three()
        h.do('grant r %s 15' % g.devid)
        self.rig.restart(lambda: g.tell('replace n r'))
        token = g.answer('replace').split()
        self.assertEqual(token[0], 'ok')
        for x in (b, h):
            self.assertEqual(x.do('follow n r'), token[1:])
        g.do('put n 0 later')
        self.assertEqual([x.do('get n 0 5') for x in (b, h)], [['later']] * 2)
        for x, y in ((g, b), (b, h), (h, g)):
            x.do('notify n')
            self.assertEqual(y.do('wait n'), ['1'])

    def test_replaced_in_the_midst(self):
        """A ring between two machines goes from successor to successor while its host dies again and again."""
        g, b, h = self.three()
        h.do('grant r %s 15' % g.devid)
        g.tell('ring-send r 3000 300')
        time.sleep(0.2)
        b.tell('ring-recv r 3000')
        for _ in range(4):
            self.rig.restart()
            h.do('peers r')
        got = b.answer('ring-recv', 120).split()
        self.assertEqual((got[0], g.answer('ring-send', 120).split()), ('ok', got))

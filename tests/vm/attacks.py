# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# A machine that means harm, in two ways: a process of its that says anything to the
# driver (ioctls.c), and a kernel, in whose place hostile.c drives the device.  After
# each attack: QEMU, ismd and the other machine go on, and nothing is left of it.

from rig import Case, GuestActor, eventually

# What becomes of a QEMU whose guest does this is QEMU's; ismd and the others have to live.
ATTACKS = ('short-replies', 'leaks', 'sizes', 'bad-tokens', 'unique-tokens', 'successors', 'vectors', 'empty-window', 'notify-nowhere',
           'buffers-elsewhere', 'garbage-commands 5', 'garbage-rings 5', 'wrong-setup 5')


class T4Hostile(Case):
    def test_ioctls(self):
        """Nothing a guest's process says to the driver harms its kernel."""
        for m in (self.a, self.b):
            m.start('vm-ioctls 20')
        for m in (self.a, self.b):
            status, text = m.finish(180)
            self.assertEqual(status, 0, text)
            print('   %s: %s' % (m.name, text.strip().splitlines()[-1]), flush=True)
        for m in (self.a, self.b):
            self.quiet(m)
            self.assertRegex(self.rig.ls(), 'virtual machine')
            g = self.guest(m, 'g')
            g.do('alloc r g 65536')
            self.tearDown()
            self.open_actors = []

    def hostile(self):
        """Its device has no driver but the program."""
        m = self.rig.machine('h', 'old').ready()
        m.must('d=$(ls -d /sys/bus/pci/drivers/virtio-pci/*:*); echo $(basename $d) > /sys/bus/pci/drivers/virtio-pci/unbind')
        actor = GuestActor(m, 'vm-hostile')
        self.assertEqual(actor.answer('its start'), 'ok')
        return m, actor

    def bystanders(self):
        """Two that have nothing to do with it: a process, and the other machine."""
        h, g = self.host(), self.guest(self.b, 'g')
        token, = h.do('alloc r h 65536')
        g.do('attach r g ' + token)
        return h, g

    def undisturbed(self, h, g):
        h.do('put r 0 well')
        h.do('notify r')
        self.assertEqual([g.do('wait r'), g.do('get r 0 4')], [['1'], ['well']])
        g.do('notify r')
        self.assertEqual(h.do('wait r'), ['1'])

    def has(self, devid):
        """How many regions a machine's device refers to."""
        return self.rig.machine_devices()[devid]['regions']

    def test_kernel(self):
        m, x = self.hostile()
        devid = max(self.rig.machine_devices())
        h, g = self.bystanders()
        for attack in ATTACKS:
            answer = x.ask(attack, 60)
            print('   %-20s %s' % (attack, answer), flush=True)
            self.assertTrue(m.alive(), m.said())
            self.assertEqual(answer, 'ok')
            self.undisturbed(h, g)
            self.assertEqual(self.has(devid), 0)
        token, = h.do('alloc-private p h 65536')
        x.do('foreign ' + token)
        self.undisturbed(h, g)
        self.assertEqual(h.do('peers p'), ['0'])
        self.several_chunks(x, h)
        x.do('keep 50')
        self.assertEqual(self.has(devid), 50)
        x.do('reset')
        self.assertEqual(self.has(devid), 0)
        self.shut_out(x, h)
        self.undisturbed(h, g)
        m.kill()
        eventually(lambda: devid not in self.rig.machine_devices(), 'it has gone')
        self.undisturbed(h, g)

    def several_chunks(self, x, h):
        """All of a region is there, for both."""
        token, total = x.do('several-chunks 330000')
        self.assertEqual(h.do('attach s h ' + token), [str(6 * 65536)])
        self.assertEqual(h.do('sum s'), [total])
        h.do('fill s 9')
        self.assertEqual(x.do('sum'), h.do('sum s'))
        h.do('detach s')

    def shut_out(self, x, h):
        """A device that does not listen to events is shut out all the same."""
        token, = h.do('alloc t h 65536')
        x.do('attach ' + token)
        for _ in range(300):    # nobody gives buffers for these
            h.do('notify t')
        h.do('grant t 0 0')
        x.refused('attach ' + token, 'attach')
        h.do('detach t')

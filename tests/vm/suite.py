# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Two virtual machines beside processes of the host, in one domain of one ismd.
#
#   suite.py CACHE BUILD SOURCE [WORD]...      only the tests whose name has one of the words
#
# The last line is "N passed, N failed, N skipped".  Nothing here waits without a
# deadline, and what was started is ended.  After $ISM_VM_BUDGET seconds (8 minutes,
# counted from $ISM_VM_BEGAN) no more is run, and what was not is said.

import faulthandler
import hashlib
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from rig import BEGAN, BUDGET, DEVICES, Case, Rig, TimeIsUp, eventually, result    # noqa: E402
from machine import DEADLINE, VIRTIO_ID, end_with_us          # noqa: E402
from run import tests_in                        # noqa: E402
import attacks, measured, moved                                  # noqa: E402

WORDS = sys.argv[4:]


class T1Identity(Case):
    def test_device(self):
        for m in (self.a, self.b):
            g = self.guest(m, 'g')
            h = self.host()
            self.assertEqual(g.gid, h.gid)
            self.assertNotEqual(g.devid, h.devid)
            self.assertRegex(self.rig.ls(), r'(?m)^\s*%s\s.*virtual machine' % g.devid)
            self.tearDown()
            self.open_actors = []
            pci = '1af4:%04x' % (0x1040 + int(VIRTIO_ID))
            text = m.must('lspci -n; uname -r')
            self.assertIn(pci, text)
            print('   %s (Linux %s): device %s of domain %s is %s' % (
                m.name, text.split()[-1], g.devid, g.gid, [x for x in text.splitlines() if pci in x][0].strip()), flush=True)


class T2Sharing(Case):
    def both_ways(self, x, y):
        """@x has the device "x", @y has "y"."""
        token, = x.do('alloc r x 100000')
        y.do('attach r y ' + token)
        self.assertEqual(x.do('event x')[:2], ['2', y.devid])
        x.do('put r 0 from-x')
        x.do('notify r')
        self.assertEqual(y.do('wait r'), ['1'])
        self.assertEqual(y.do('get r 0 6'), ['from-x'])
        y.do('put r 70000 from-y')
        y.do('notify r')
        self.assertEqual(x.do('wait r'), ['1'])
        self.assertEqual(x.do('get r 70000 6'), ['from-y'])
        x.do('fill r 7')
        self.assertEqual(x.do('sum r'), y.do('sum r'))
        y.do('fill r 8')
        self.assertEqual(x.do('sum r'), y.do('sum r'))
        y.do('detach r')
        eventually(lambda: x.do('peers r') == ['0'], 'the peer has gone')
        x.do('detach r')

    def test_host_and_machine(self):
        for m in (self.a, self.b):
            g, h = self.guest(m, 'x'), self.host('y')
            self.both_ways(g, h)
            self.tearDown()
            self.open_actors = []
            h, g = self.host('x'), self.guest(m, 'y')
            self.both_ways(h, g)
            self.tearDown()
            self.open_actors = []

    def test_machine_and_machine(self):
        self.both_ways(self.guest(self.a, 'x'), self.guest(self.b, 'y'))
        self.tearDown()
        self.open_actors = []
        self.both_ways(self.guest(self.b, 'x'), self.guest(self.a, 'y'))

    def test_three_are_notified(self):
        a, b, h = self.guest(self.a, 'd'), self.guest(self.b, 'd'), self.host('d')
        token, = h.do('alloc r d 65536')
        for other in (a, b):
            other.do('attach r d ' + token)
        a.do('notify r')
        self.assertEqual([b.do('wait r'), h.do('wait r')], [['1'], ['1']])
        self.assertEqual(h.do('peers r'), ['2'])

    def test_two_programs_in_one_machine(self):
        g, h = self.guest(self.a, 'one'), self.host()
        g.do('open two dev:')
        token, = h.do('alloc r h 65536')
        g.do('attach r1 one ' + token)
        g.do('attach r2 two ' + token)
        self.assertEqual(h.do('peers r'), ['1'])        # the machine is one device
        self.assertEqual(g.do('peers r1'), ['2'])       # and has two programs
        g.do('put r1 0 inside')
        g.do('notify r1')
        self.assertEqual(g.do('wait r2'), ['1'])
        self.assertEqual(g.do('get r2 0 6'), ['inside'])
        self.assertEqual(h.do('wait r'), ['1'])
        h.do('notify r')
        self.assertEqual([g.do('wait r1'), g.do('wait r2')], [['1'], ['1']])
        g.do('detach r1')
        self.assertEqual(g.do('get r2 0 6'), ['inside'])
        self.assertEqual(h.do('peers r'), ['1'])
        g.do('detach r2')
        eventually(lambda: h.do('peers r') == ['0'], 'the machine has let go')

    def test_rings(self):
        for writer, reader in ((self.host, lambda n: self.guest(self.a, n)), (lambda n: self.guest(self.a, n), self.host),
                               (lambda n: self.guest(self.a, n), lambda n: self.guest(self.b, n))):
            w, r = writer('d'), reader('d')
            token, = w.do('alloc r d 65536')
            r.do('attach r d ' + token)
            w.tell('ring-send r 3000')
            got = r.do('ring-recv r 3000')
            self.assertEqual(w.answer('ring-send').split(), ['ok', *got])
            self.tearDown()
            self.open_actors = []

    def test_two_hundred_regions(self):
        g, h = self.guest(self.a, 'g'), self.host()
        self.assertEqual(g.do('many g 200', 120), ['200'])
        self.assertEqual(h.do('open again emu:' + self.rig.domain)[0], h.gid)


class T2Tools(Case):
    FILE = '/tmp/file'

    def offer(self, m, *args):
        """The token of `ism put` in a machine, or on the host."""
        if m is not None:
            m.must('rm -f /tmp/token; (ism put -q %s %s >/tmp/token 2>&1 &)' % (' '.join(args), self.FILE))
            return m.must('while ! grep . /tmp/token; do usleep 10000; done').split()[0]
        put = subprocess.Popen([self.rig.program('ism'), 'put', '-q', *args, os.path.join(self.rig.folder, 'file')],
                               stdout=subprocess.PIPE, env=self.on_host(), preexec_fn=end_with_us)
        self.addCleanup(put.stdout.close)
        self.addCleanup(put.wait, DEADLINE)
        return put.stdout.readline().decode().strip()

    def on_host(self):
        return {**self.rig.env, 'ISM_DEVICE': 'emu:' + self.rig.domain}

    def taken(self, m, token):
        """What sha256sum says of it."""
        if m is not None:
            return m.must('ism get -q %s >%s && sha256sum %s' % (token, self.FILE, self.FILE)).split()[0]
        return hashlib.sha256(subprocess.run([self.rig.program('ism'), 'get', '-q', token], stdout=subprocess.PIPE, check=True,
                                             timeout=DEADLINE, env=self.on_host()).stdout).hexdigest()

    def test_put_and_get(self):
        """As doc/vm.md says; the file goes round."""
        data = os.urandom(3000000)
        with open(os.path.join(self.rig.folder, 'file'), 'wb') as f:
            f.write(data)
        self.addCleanup(os.unlink, f.name)
        a, b, h = self.a, self.b, None
        for x, y in ((h, a), (a, b), (b, h)):
            self.assertEqual(self.taken(y, self.offer(x, '--machine')), hashlib.sha256(data).hexdigest())
        status, said = self.b.run('ism get %s' % self.offer(a))
        self.assertEqual(status, 1)
        self.assertIn('ism put --machine', said)
        for m in (a, b):
            m.must('rm %s' % self.FILE)


class T3Rights(Case):
    def test_private(self):
        g, h = self.guest(self.a, 'g'), self.host()
        token, = h.do('alloc-private r h 65536')
        g.refused('attach r g ' + token, 'No such file')
        h.do('grant r %s 7' % g.devid)
        g.do('attach r g ' + token)
        token, = g.do('alloc-private s g 65536')
        h.refused('attach s h ' + token, 'No such file')
        g.do('grant s %s 7' % h.devid)
        h.do('attach s h ' + token)

    def test_guessing(self):
        g = self.guest(self.a, 'g')
        for token in range(1, 5):
            g.refused('attach r g %d' % token, 'No such file')

    def test_read_only(self):
        g, h = self.guest(self.a, 'g'), self.host()
        token, = h.do('alloc r h 65536')
        h.do('put r 0 read-me')
        g.do('attach r g %s ro' % token)
        self.assertEqual(g.do('get r 0 7'), ['read-me'])
        token, = h.do('alloc secret h 65536')
        h.do('grant secret 0 5')        # read, attach: this QEMU cannot map that, and must not map more
        g.refused('attach secret g ' + token, 'Read-only')
        g.refused('attach secret g %s ro' % token, 'Permission denied')

    def test_shut_out(self):
        g, h = self.guest(self.a, 'g'), self.host()
        token, = h.do('alloc r h 65536')
        g.do('attach r g ' + token)
        h.do('put r 0 secret')
        self.assertEqual(g.do('get r 0 6'), ['secret'])
        h.do('grant r 0 0')
        eventually(lambda: g.do('get r 0 6') != ['secret'], 'the window is shut')
        g.do('put r 0 vandal')
        self.assertEqual(h.do('get r 0 6'), ['secret'])
        g.do('detach r')
        g.refused('attach r g ' + token, 'No such file')


class T6Conformance(Case):
    def test_in_a_machine(self):
        """The same program as for loop and emu; its devices are as many devices of this machine."""
        m = self.rig.driver(self.rig.machine('c', 'old', DEVICES, smp=2, memory='384M'))
        # What its QEMU cannot do, and what takes the listings of a whole domain or thousands of commands.
        status, text = m.run('ISM_TEST_DEVICES=%d CK_EXCLUDE_TAGS=novm conformance dev' % DEVICES, BUDGET)
        print('   ' + text.strip().splitlines()[-1], flush=True)
        failed = sorted(line.split(':')[4] for line in text.splitlines() if line.count(':') > 5 and line.split(':')[2] in 'FE')
        m.poweroff()
        self.assertEqual((status, failed), (0, []), text[-6000:])


class T8Daemon(Case):
    def rung(self, x, y):
        """Until @y hears @x: a restart rings once by itself."""
        y.do('wait r')
        while y.do('poll r') != ['0']:
            pass
        x.do('notify r')
        self.assertEqual(y.do('wait r'), ['1'])

    def test_restarted(self):
        """Killed and started again, unnoticed by two kernels and a process."""
        g, b, h = self.three()

        def while_dead():
            g.do('put r 0 still')       # memory does not ask
            self.assertEqual([x.do('get r 0 5') for x in (b, h)], [['still']] * 2)
            b.tell('alloc s b 65536')   # and a command waits

        for _ in range(2):
            self.rig.restart(while_dead)
            self.assertTrue(b.answer('alloc').startswith('ok'))
            b.do('detach s')
            self.assertEqual(h.do('peers r'), ['2'])
            for x, y in ((g, b), (b, h), (h, g)):
                self.rung(x, y)
            self.assertEqual({str(d): e['regions'] for d, e in self.rig.machine_devices().items()}, {g.devid: 1, b.devid: 1})
        for x in (g, b, h):
            x.do('detach r')
        self.assertEqual([d['regions'] for d in self.rig.machine_devices().values()], [0, 0])
        self.tearDown()
        self.open_actors = []
        for m in (self.a, self.b):
            self.quiet(m)
        T2Sharing.both_ways(self, self.guest(self.a, 'x'), self.guest(self.b, 'y'))

    def test_restarted_in_the_midst(self):
        """Of hundreds of commands in both machines, again and again: each is carried out once."""
        g, b, h = self.three()
        g.tell('many g 200')
        b.tell('many b 200')
        for _ in range(8):
            self.rig.restart()
            h.do('peers r')
        self.assertEqual([g.answer('many', 120), b.answer('many', 120)], ['ok 200', 'ok 200'])
        self.assertEqual({str(d): e['regions'] for d, e in self.rig.machine_devices().items()}, {g.devid: 1, b.devid: 1})
        self.rung(g, b)

    def test_rebooted_meanwhile(self):
        g, b, h = self.three()
        self.open_actors.remove(g)
        self.rig.restart(lambda: g.tell('shell reboot -f'))
        h.do('peers r')         # it is back before the grace time is over, however long the machine takes
        self.rig.driver(self.a)
        again = self.guest(self.a, 'g')
        self.assertEqual(again.devid, g.devid)
        eventually(lambda: h.do('peers r') == ['1'], 'the machine before its reboot has let go')
        self.rung(b, h)

    def test_z_killed_with_its_keeper(self):
        """Machines outlive the domain, and nothing of them is in the next one."""
        g, b, h = self.three()
        old = (g.devid, b.devid)
        keeper = self.rig.keeper()
        self.rig.ismd.kill()
        os.kill(keeper, signal.SIGKILL)
        self.rig.ismd.wait()
        h.do('put r 0 still')
        self.assertEqual(h.do('get r 0 5'), ['still'])
        for x, name in ((g, 'g'), (b, 'b')):
            x.do('get r 0 5')       # a load does no harm, whatever it finds
            x.tell('alloc s %s 65536' % name)
        for x in (g, b):
            self.assertIn('error Host is down', x.answer('alloc'))
            x.do('detach r')
        for m in (self.a, self.b):
            self.assertTrue(m.alive(), m.said())
        self.rig.start_ismd()
        self.tearDown()
        self.open_actors = []
        for m in (self.a, self.b):
            m.must('rmmod virtio_ism', 90)
            self.quiet(m)
            m.kill()
        self.assertFalse({d for d in self.rig.machine_devices() if str(d) in old})
        self.rig.ready()
        self.a, self.b = self.rig.pair['a'], self.rig.pair['b']
        T2Sharing.both_ways(self, self.guest(self.a, 'x'), self.host('y'))
        self.assertEqual([d['regions'] for d in self.rig.machine_devices().values()], [0, 0])


class T5Life(Case):
    def shared(self, g, h):
        token, = h.do('alloc r h 65536')
        g.do('attach r g ' + token)
        self.assertEqual(h.do('event h')[:2], ['2', g.devid])

    def gone(self, h, devid):
        self.assertEqual(h.do('event h')[:2], ['4', devid])
        self.assertEqual(h.do('peers r'), ['0'])

    def test_killed_program(self):
        g, h = self.guest(self.a, 'g'), self.host()
        self.shared(g, h)
        g.close()
        self.open_actors.remove(g)
        self.gone(h, g.devid)

    def test_unbound_while_mapped(self):
        for m in (self.a, self.b):
            g, h = self.guest(m, 'g'), self.host()
            self.shared(g, h)
            g.do('put r 0 x')
            g.tell('shell d=$(basename /sys/bus/virtio/drivers/virtio_ism/virtio*); echo $d > /tmp/d; '
                   'echo $d > /sys/bus/virtio/drivers/virtio_ism/unbind')
            g.answer('unbind')
            self.gone(h, g.devid)
            self.assertEqual(g.do('touch r'), ['dead'])
            g.close()
            self.open_actors.remove(g)
            m.must('echo $(cat /tmp/d) > /sys/bus/virtio/drivers/virtio_ism/bind')
            m.must('ln -sf $(basename $(ls -d /dev/ism[0-9]*)) /dev/ism')
            again = self.guest(m, 'g')
            self.assertEqual(again.devid, g.devid)      # a reset keeps it
            again.do('alloc r g 65536')
            self.tearDown()
            self.open_actors = []
            self.quiet(m)

    def test_driver_reload(self):
        for m in (self.a, self.b):
            m.must('rmmod virtio_ism')
            m.must('insmod /drivers/virtio_ism.ko virtio_id=%s' % VIRTIO_ID)
            m.must('ln -sf $(basename $(ls -d /dev/ism[0-9]*)) /dev/ism')
            self.guest(m, 'g').do('alloc r g 65536')
            self.tearDown()
            self.open_actors = []

    def test_pause(self):
        g, h = self.guest(self.a, 'g'), self.host()
        self.shared(g, h)
        h.do('put r 0 kept')
        self.a.qmp('stop')
        h.do('notify r')
        self.assertEqual(h.do('peers r'), ['1'])
        self.a.qmp('cont')
        self.assertEqual(g.do('wait r'), ['1'])
        eventually(lambda: g.do('get r 0 4') == ['kept'], 'the window is open again')

    def test_stopped_peer(self):
        """A machine that does not go on delays nobody: its QEMU stands still, and answers nothing."""
        g, b, h = self.three()
        os.kill(self.b.proc.pid, signal.SIGSTOP)
        try:
            for _ in range(20):
                g.do('notify r')
                self.assertEqual(h.do('wait r'), ['1'])
                h.do('notify r')
                self.assertEqual(g.do('wait r'), ['1'])
            g.do('many g 20', 120)
            h.do('grant r %s 0' % b.devid)      # its window is to be cleared, and it does not answer
            g.do('put r 0 on')
            g.do('many g 20', 120)
            self.assertEqual(h.do('get r 0 2'), ['on'])
        finally:
            os.kill(self.b.proc.pid, signal.SIGCONT)
        eventually(lambda: b.do('get r 0 2') != ['on'], 'shut out now')

    def again(self, devid):
        """The machine comes up, with the same device and nothing in it."""
        self.rig.driver(self.a)
        again = self.guest(self.a, 'g')
        self.assertEqual(again.devid, devid)        # a reset keeps it
        again.do('alloc r g 65536')

    def test_v_sleep(self):
        """To memory and back: regions end before it, and who opens the device after it has one.  Once in a machine's life:
        its firmware forgets how, until a reset."""
        for m, meanwhile in ((self.a, 'wait r'), (self.b, 'calls g 1000000')):
            g, h, y = self.guest(m, 'g'), self.host(), self.host('y')
            g.do('open idle dev:')
            self.shared(g, h)
            token, = g.do('alloc own g 65536')
            g.do('shell (usleep 100000; echo mem > /sys/power/state) &')
            g.tell(meanwhile)
            eventually(lambda m=m: m.qmp('query-status')['status'] == 'suspended', 'it sleeps')
            self.gone(h, g.devid)       # they hear of it now, not when it wakes
            self.assertEqual(self.rig.machine_devices()[int(g.devid)]['regions'], 0)
            y.refused('attach own y ' + token, 'No such file')
            m.qmp('system_wakeup')
            self.assertIn('error Host is down', g.answer(meanwhile))
            self.assertEqual([g.do('event g')[0], g.do('event idle')[0]], ['16', '16'])
            self.assertEqual([g.do('touch r'), g.do('touch own')], [['dead']] * 2)
            token, = h.do('alloc s h 65536')
            for call in ('alloc s g 65536', 'alloc s idle 65536', 'attach s g ' + token, 'peers r', 'grant own 0 7'):
                g.refused(call, 'Host is down')
            for name in ('r', 'own'):
                g.do('detach ' + name)
            self.assertEqual(g.do('open x dev:'), [g.gid, g.devid])
            T2Sharing.both_ways(self, g, y)
            self.assertEqual(self.rig.machine_devices()[int(g.devid)]['regions'], 0)
            self.tearDown()
            self.open_actors = []
            self.quiet(m)

    def test_w_reboot(self):
        """In good order: the others learn of it at once."""
        g, h = self.guest(self.a, 'g'), self.host()
        self.shared(g, h)
        self.open_actors.remove(g)
        g.tell('shell reboot -f')
        self.gone(h, g.devid)
        self.again(g.devid)

    def test_x_reset(self):
        """As if by a button: they learn when its driver comes back."""
        g, h = self.guest(self.a, 'g'), self.host()
        self.shared(g, h)
        self.open_actors.remove(g)
        self.a.qmp('system_reset')
        self.again(g.devid)
        self.gone(h, g.devid)

    def test_y_qemu_killed(self):
        g, h = self.guest(self.b, 'g'), self.host()
        self.shared(g, h)
        self.open_actors.remove(g)
        before = os.listdir(self.rig.folder)
        for pid in (self.rig.ismd.pid, self.b.proc.pid):        # there is no file for memory, so none can be left
            with open('/proc/%d/maps' % pid) as maps:
                self.assertNotIn('/dev/shm/', maps.read())
        self.b.kill()
        self.gone(h, g.devid)
        self.assertNotRegex(self.rig.ls(), r'(?m)^\s*%s\s' % g.devid)
        self.assertEqual(before, os.listdir(self.rig.folder))


def time_is_up(*_):
    """Once, wherever it is: every test after this says so itself."""
    if not Case.rig.time_is_up:
        Case.rig.time_is_up = True
        raise TimeIsUp('ended in the middle: the %g s for all of them were up' % BUDGET)


def main():
    found = [t for m in (sys.modules['__main__'], attacks, measured, moved)
             for t in tests_in(unittest.defaultTestLoader.loadTestsFromModule(m))]
    found.sort(key=lambda t: t.id().split('.')[1:])
    suite = unittest.TestSuite(t for t in found if not WORDS or any(w in t.id() for w in WORDS))
    left = max(1, BUDGET - (time.time() - BEGAN))
    Case.rig = Rig()
    faulthandler.dump_traceback_later(left + 2 * DEADLINE, exit=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGALRM, time_is_up)
    signal.setitimer(signal.ITIMER_REAL, left)
    try:
        suite.run(result)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if Case.rig.nr_failed != len(result.failed):
            Case.rig.say()
    except TimeIsUp:
        pass        # between two tests
    finally:
        Case.rig.close()
    print('%d passed, %d failed, %d skipped' % (result.passed, len(result.failed), len(result.skipped)), flush=True)
    return 1 if result.failed else 0 if result.passed else 77


if __name__ == '__main__':
    sys.exit(main())

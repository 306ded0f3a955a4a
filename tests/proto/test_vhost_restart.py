# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Virtual machines whose daemon is killed and started again: QEMU is not told, the
# guest neither, and both go on where they were.

import os
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import unittest

from daemon import ISMD, LIBC, PR_SET_PDEATHSIG, clean_env, eventually, needs_seals, stand_still
from ismwire import CHUNK, DEADLINE, EVENT_CAME, EVENT_WENT, OK, QUERY, QUERY_DOMAIN, Client
from test_resume import Manager
from vhostwire import CONTROL, EVENTS, F_EVENT_IDX, FEATURES, LOST, UPDATE, Machine

LONG = 'ISM_TEST_LONG' in os.environ
DOOMED = os.path.join(os.path.dirname(ISMD), 'doomed_ismd')


class Kept:
    """An ismd with machines and a keeper; what it leaves behind when it is killed is there for the next."""

    def __init__(self, *args):
        self.dir = tempfile.mkdtemp(prefix='ism-proto.')
        self.path, self.vm_path = os.path.join(self.dir, 'sock'), os.path.join(self.dir, 'vm')
        self.args = ('--vhost-user', self.vm_path, *args)
        self.log_path = os.path.join(self.dir, '.log')
        self.proc = None

    def start(self, failpoint=0, *args):
        env = clean_env(ISM_FAILPOINT=str(failpoint)) if failpoint else clean_env()
        with open(self.log_path, 'a') as log:
            self.proc = subprocess.Popen([DOOMED if failpoint else ISMD, '--foreground', '--config', '/dev/null', '--set',
                                          'grace=20', *self.args, *args, self.path], stdin=subprocess.DEVNULL, stdout=log,
                                         stderr=log, env=env, preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        if not failpoint:
            eventually(self.answers, self.log)

    def answers(self):
        if self.proc.poll() is not None:
            raise AssertionError('ismd ended with %d: %s' % (self.proc.returncode, self.log()))
        try:
            Client(self.path).hello().close()       # it serves, machines too
            return True
        except (FileNotFoundError, ConnectionRefusedError):
            return False

    def log(self):
        with open(self.log_path, errors='replace') as log:
            return log.read()

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def restart(self):
        self.kill()
        self.start()

    def keeper(self):
        """Its process id."""
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open('/proc/%s/cmdline' % pid, 'rb') as f:
                    words = f.read().split(b'\0')
            except OSError:
                continue
            if b'--keeper' in words and self.path.encode() in words:
                return int(pid)
        return None

    def sums(self):
        """Devices (without the one that asks), regions and bytes in the domain."""
        c = Client(self.path).hello()
        try:
            d = c.domain()
            return d.devices - 1, d.regions, d.bytes
        finally:
            c.close()

    def close(self):
        try:
            if self.proc is not None:
                self.proc.terminate()
                self.proc.wait(DEADLINE)
                eventually(lambda: not [n for n in os.listdir(self.dir) if not n.startswith('.')], 'nothing is left behind')
                eventually(lambda: self.keeper() is None, 'the keeper has gone')
        finally:
            if self.proc is not None:
                self.kill()
            shutil.rmtree(self.dir)


@needs_seals
class Restart(unittest.TestCase):
    def setUp(self):
        self.ismd = Kept()
        self.addCleanup(self.ismd.close)
        self.ismd.start()

    def machine(self, features=FEATURES, **options):
        m = Machine(self.ismd.vm_path)
        self.addCleanup(m.close)
        return m.connect().start(features, **options)

    def told(self, m, *wanted):
        """The next event that is one of these, whoever it names; others may come before."""
        while True:
            e = m.event()
            if e[0] in wanted:
                return e

    def share(self, a, b):
        token, mine, size = a.alloc()
        theirs, _ = b.attach(token)
        self.assertEqual(self.told(a, EVENT_CAME)[2], b.devid)
        return token, mine, theirs, size

    def ring(self, a, mine, b, theirs, *names):
        """A doorbell from one to the other, in its name (or another of @names); one more may come after a restart."""
        a.notify(mine)
        while True:
            _, offset, devid, _ = self.told(b, UPDATE)
            if offset == theirs and devid in (a.devid, *names):
                break

    def test_both_go_on(self):
        a, b = self.machine(), self.machine(FEATURES | F_EVENT_IDX)
        token, mine, theirs, size = self.share(a, b)
        more = a.alloc(3 * CHUNK)
        with a.view(mine) as x, b.view(theirs) as y:
            for i in range(3):
                word = b'round %d' % i
                x[:7] = word
                self.ismd.kill()
                y[100:107] = word       # memory does not ask the daemon
                self.ismd.start()
                self.assertEqual((bytes(x[100:107]), bytes(y[:7])), (word, word))
                self.ring(a, mine, b, theirs)
                self.ring(b, theirs, a, mine)
                self.assertEqual(struct.unpack('<4Q', b.config(0, 32)), (b.gid, b.devid, CHUNK, 0))
                self.assertEqual(self.ismd.sums(), (2, 2, 4 * CHUNK))
        self.assertEqual((a.mapped, b.mapped, a.unmapped), (2, 1, 0))       # nothing was mapped anew
        a.detach(more[0])
        b.detach(token)
        self.assertEqual(self.told(a, EVENT_WENT), (EVENT_WENT, mine, b.devid, 0, token))
        a.detach(token)
        self.assertEqual((a.window, b.window, self.ismd.sums()), ({}, {}, (2, 0, 0)))

    def test_what_is_asked_and_rung_meanwhile(self):
        a, b = self.machine(), self.machine()
        token, mine, theirs, _ = self.share(a, b)
        self.ismd.kill()
        into = a.submit(bytes(2) + struct.pack('<Q', CHUNK))
        b.put_notify(theirs)
        b.queues[2].ring()
        self.ismd.start()
        a.until(a.queues[CONTROL].take, 'the answer')
        self.assertEqual(a.mem[into], OK)
        while self.told(a, UPDATE)[1:3] != (mine, b.devid):
            pass
        self.assertEqual(self.ismd.sums(), (2, 2, 2 * CHUNK))

    def test_losses_are_said(self):
        a, b = self.machine(), self.machine()
        token, mine, _, _ = self.share(a, b)
        self.ismd.restart()
        self.assertEqual({a.event()[:2], a.event()[:2]}, {(LOST, 0), (UPDATE, mine)})

    def test_events_are_counted_on(self):
        """What is told of an earlier life of a region is told apart after a restart, too."""
        a, b = self.machine(), self.machine()
        token, _, _, _ = self.share(a, b)
        for _ in range(5):
            b.detach(token)
            b.attach(token)
        a.until(lambda: len(a.events) and a.queues[EVENTS].last_used != struct.unpack_from(
            '<H', a.mem, a.queues[EVENTS].used + 2)[0], 'events')
        self.ismd.restart()
        a.until(lambda: struct.unpack_from('<H', a.mem, a.queues[EVENTS].used + 2)[0] == 13, 'eleven events, LOST and a doorbell')
        data = a.must(0x8000, 'QIIQ', CHUNK, 0, 1, 0).data
        self.assertEqual(struct.unpack_from('<5Q', data)[4], 13)

    def test_shut_out_stays_shut_out(self):
        a, b = self.machine(), self.machine()
        token, mine, theirs, _ = self.share(a, b)
        a.must(0x300, 'QQ', token, 0)
        b.until(lambda: not b.window, 'the window is shut')
        self.ismd.restart()
        self.assertFalse(b.serve(0.1))
        self.ring_is_not_heard(b, theirs, a)
        a.must(0x300, 'QQ', token, 7)
        b.until(lambda: theirs in b.window, 'the window is open again')

    def ring_is_not_heard(self, b, theirs, a):
        """It would have come before the answer."""
        b.notify(theirs)
        a.must(QUERY, 'IIQQ', QUERY_DOMAIN, 0, 0, 0)
        while a.queues[EVENTS].take() is not None:
            at = a.events.pop(0)
            kind, _, devid = struct.unpack_from('<QQQ', a.mem, at)
            self.assertFalse(kind == UPDATE and devid == b.devid)
            a.add_event_buffer()

    def test_paused_machine(self):
        a = self.machine()
        token, offset, _ = a.alloc()
        bases = a.stop()
        self.ismd.restart()
        self.assertFalse(a.serve(0.05))     # nothing is asked of one that stands
        a.start(bases=bases, events=0)
        self.assertEqual(a.alloc()[2], CHUNK)
        self.assertEqual(self.ismd.sums(), (1, 2, 2 * CHUNK))
        a.reset()
        self.ismd.restart()
        a.start()
        self.assertEqual(a.alloc()[2], CHUNK)
        self.assertEqual(self.ismd.sums(), (1, 1, CHUNK))

    def test_broken_stays_broken(self):
        a = self.machine()
        a.alloc()
        a.queues[CONTROL].offer(60000)
        a.queues[CONTROL].ring()
        eventually(lambda: 'stand still' in self.ismd.log(), 'the device stands still')
        self.ismd.restart()
        self.assertEqual(self.ismd.sums(), (1, 1, CHUNK))
        a.reset()
        a.start()
        self.assertEqual(a.alloc()[2], CHUNK)
        self.assertEqual(self.ismd.sums(), (1, 1, CHUNK))

    def test_machine_that_ends_meanwhile(self):
        a, b = self.machine(), self.machine()
        self.share(a, b)
        self.ismd.kill()
        b.close()
        self.ismd.start()
        self.assertEqual(self.told(a, EVENT_WENT)[2], b.devid)
        self.assertEqual(self.ismd.sums(), (1, 1, CHUNK))

    def test_replaced(self):
        """In good order, and by one that was told another size of windows."""
        a, b = self.machine(), self.machine()
        token, mine, theirs, _ = self.share(a, b)
        old = self.ismd.proc
        self.ismd.start(0, '--replace', '--set', 'vm-window=64M')
        old.wait(DEADLINE)
        self.ring(a, mine, b, theirs)
        self.assertEqual(struct.unpack_from('<Q', a.ask(44), 16)[0], 1 << 30)
        self.assertEqual(self.machine().shmem[1], 64 << 20)
        self.assertEqual(self.ismd.sums(), (3, 1, CHUNK))

    def test_without_machines(self):
        """A daemon that serves none lets go of them."""
        a = self.machine()
        a.alloc()
        self.ismd.kill()
        self.ismd.args = ()
        self.ismd.start()
        a.expect_closed()
        self.assertEqual(self.ismd.sums(), (0, 0, 0))
        for name in ('vm', 'vm.lock'):      # it knows nothing of them
            os.unlink(os.path.join(self.ismd.dir, name))

    def test_keeper_killed(self):
        a, b = self.machine(), self.machine()
        token, mine, theirs, _ = self.share(a, b)
        keeper = self.ismd.keeper()
        os.kill(keeper, signal.SIGKILL)
        eventually(lambda: self.ismd.keeper() not in (None, keeper), 'another keeper')
        self.ring(a, mine, b, theirs)       # the daemon has put everything there
        self.ismd.restart()
        self.ring(b, theirs, a, mine)
        self.assertEqual(self.ismd.sums(), (2, 1, CHUNK))

    def test_messages_in_a_row(self):
        """As QEMU sends them: it waits for few answers, and descriptors come with some of them only."""
        for _ in range(2):
            m = Machine(self.ismd.vm_path)
            self.addCleanup(m.close)
            m.connect()
            m.set = m.send
            stand_still(self.ismd.proc.pid)
            m.start()
            os.kill(self.ismd.proc.pid, signal.SIGCONT)
            self.assertEqual(m.alloc()[2], CHUNK)
        stand_still(self.ismd.proc.pid)
        m.start(bases=[q.next_avail for q in m.queues], events=0)       # it dies before it has seen one of these
        self.ismd.restart()
        self.assertEqual(m.alloc()[2], CHUNK)

    def test_half_a_message(self):
        """It was in the dead host's memory: the connection cannot go on, and says so by its end."""
        a, b = self.machine(), self.machine()
        self.share(a, b)
        a.sock.send(struct.pack('<II', 1, 1))
        b.ask(1)        # a turn of the daemon later
        b.ask(1)
        self.ismd.restart()
        a.expect_closed()
        eventually(lambda: self.ismd.sums() == (1, 1, CHUNK), lambda: 'it has gone: %r %s' % (self.ismd.sums(), self.ismd.log()))
        self.assertIn('half a message', self.ismd.log())


class Story(threading.Thread):
    """Two machines that share, for as long as the daemon, whoever that is, goes along."""

    def __init__(self, test, a, b):
        super().__init__(daemon=True)
        self.test, self.a, self.b = test, a, b
        self.error = None

    def run(self):
        try:
            self.tell()
        except BaseException as e:      # for the thread that waits
            self.error = e

    def tell(self):
        t, a, b = self.test, self.a, self.b
        token, mine, _ = a.alloc(2 * CHUNK)
        theirs, _ = b.attach(token)
        with a.view(mine) as x, b.view(theirs) as y:
            x[:5] = b'story'
            t.assertEqual(y[:5], b'story')
        t.ring(a, mine, b, theirs, 0)       # nobody's: who rang was known to the dead alone
        t.ring(b, theirs, a, mine, 0)
        a.must(0x300, 'QQ', token, 0)
        b.until(lambda: theirs not in b.window, 'shut out')
        t.assertEqual(struct.unpack('<4Q', a.config(0, 32))[1], a.devid)
        a.start(bases=a.stop(), events=0)       # paused, and on it goes
        b.detach(token)
        a.detach(token)


@needs_seals
@unittest.skipUnless(os.path.exists(DOOMED), 'no doomed_ismd beside ismd')
class EveryStep(Restart):
    """The daemon dies at each of its system calls: in the midst of its start, of a message, of a command."""

    def test_killed_at_each_call(self):
        step = 1 if LONG else 17
        at, deaths = 1 + os.getpid() % step, 0
        a, b = self.machine(), self.machine()
        while True:
            self.ismd.kill()
            self.ismd.start(at)
            story = Story(self, a, b)
            story.start()
            eventually(lambda: self.ismd.proc.poll() is not None or not story.is_alive(), self.ismd.log)
            died = self.ismd.proc.poll() is not None
            if died:
                self.ismd.start()
            story.join(2 * DEADLINE)
            if not died:
                self.ismd.restart()     # it counts on
            self.assertFalse(story.is_alive(), 'call %d: %s' % (at, self.ismd.log()[-3000:]))
            if story.error is not None:
                raise AssertionError('call %d: %r: %s' % (at, story.error, self.ismd.log()[-3000:])) from story.error
            eventually(lambda: self.ismd.sums() == (2, 0, 0), lambda: 'call %d: %r' % (at, self.ismd.sums()))
            self.assertEqual((a.window, b.window), ({}, {}), 'call %d' % at)
            deaths += died
            if not died:
                break
            at += step
        print('   %d deaths' % deaths, flush=True)
        self.assertGreater(deaths, 10)


# The others are run once, by Restart.
for name in [n for n in dir(Restart) if n.startswith('test_')]:
    setattr(EveryStep, name, None)


@needs_seals
class Store(unittest.TestCase):
    """A service manager keeps it."""

    def test_store(self):
        where = tempfile.mkdtemp(prefix='ism-vhost.')
        self.addCleanup(shutil.rmtree, where)
        vm_path = os.path.join(where, 'vm')
        manager = Manager('--vhost-user', vm_path)
        self.addCleanup(manager.close)
        manager.start()
        m = Machine(vm_path)
        self.addCleanup(m.close)
        m.connect().start()
        token, offset, _ = m.alloc()
        manager.kill()
        manager.start()
        self.assertEqual(m.alloc()[2], CHUNK)
        m.detach(token)
        m.close()
        eventually(lambda: not [n for n, _ in manager.store if n.startswith('m-')], 'it leaves the store')


if __name__ == '__main__':
    unittest.main()

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# What the tests in virtual machines stand on: one ismd, two machines and what boots
# in them, programs that do as they are told on both sides, and a time for all of it.

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

CACHE, BUILD, SOURCE = (os.path.abspath(a) for a in sys.argv[1:4])
sys.path.insert(0, os.path.join(SOURCE, 'tests/proto'))
sys.path.insert(0, os.path.join(SOURCE, 'tests/vm'))

from machine import ACCEL, DEADLINE, DEBUG, VIRTIO_ID, Kernel, Machine, end_with_us, make_initrd     # noqa: E402
from run import Result                                                                  # noqa: E402

BUDGET = float(os.environ.get('ISM_VM_BUDGET', '3600' if DEBUG else '480'))
BEGAN = float(os.environ.get('ISM_VM_BEGAN', time.time()))
PROGRAMS = ('vm-actor', 'conformance', 'vm-ioctls', 'vm-hostile', 'ism')
DEVICES = 4         # of the machine that runs the conformance tests


class TimeIsUp(unittest.SkipTest):
    """Of all tests together."""


class Refused(Exception):
    """The library's answer was an error."""


class Actor:
    """actor.c, which says what to do: a process of the host, or of a machine."""

    def ask(self, line, seconds=None):
        self.tell(line)
        return self.answer(line, seconds)

    def do(self, line, seconds=None):
        """The words of an answer."""
        answer = self.ask(line, seconds)
        if not answer.startswith('ok'):
            raise Refused('%s: %s' % (line, answer))
        return answer.split()[1:]

    def refused(self, line, why):
        answer = self.ask(line)
        if not answer.startswith('error ' + why):
            raise AssertionError('%s: "%s": expected "%s"' % (line, answer, why))


class HostActor(Actor):
    def __init__(self, rig):
        self.proc = subprocess.Popen([rig.program('vm-actor')], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL, text=True, bufsize=1, env=rig.env, preexec_fn=end_with_us)

    def tell(self, line):
        self.proc.stdin.write(line + '\n')
        self.proc.stdin.flush()

    def answer(self, line, seconds=None):
        watchdog = threading.Timer(seconds or DEADLINE, self.proc.kill)
        watchdog.start()
        try:
            answer = self.proc.stdout.readline().strip()
        finally:
            watchdog.cancel()
        if not answer:
            raise AssertionError('%s: no answer' % line)
        return answer

    def close(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdin.close()
        self.proc.stdout.close()


class GuestActor(Actor):
    """One at a time in a machine: it has its shell."""

    def __init__(self, machine, program='vm-actor'):
        self.machine = machine
        machine.start(program)

    def tell(self, line):
        self.machine.shell.sendall(line.encode() + b'\n')

    def answer(self, line, seconds=None):
        end = time.monotonic() + (seconds or DEADLINE)
        while True:     # what the kernel says may stand between
            _, text = self.machine.until('', max(0.1, end - time.monotonic()))
            if text.startswith(('ok', 'error ')):
                return text.strip()

    def close(self):
        self.tell('quit')
        self.machine.finish()


class Rig:
    """An ismd, what the machines boot, and the programs that run in them."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='ism-vm.')
        self.domain, self.socket = os.path.join(self.folder, 'domain'), os.path.join(self.folder, 'machines')
        self.env = {**os.environ, 'LD_LIBRARY_PATH': os.path.join(BUILD, '.libs')}
        self.machines, self.actors = [], []
        self.pair = {}
        self.ismd = None
        self.nr_failed, self.time_is_up = 0, False
        os.environ['LD_LIBRARY_PATH'] = self.env['LD_LIBRARY_PATH']     # for ldd
        self.kernels = {name: Kernel(CACHE, 'debug' if DEBUG else name) for name in ('old', 'new')}
        self.initrds = {}
        self.qemu = os.path.join(CACHE, 'qemu-system-x86_64')

    def program(self, name):
        for path in (os.path.join(BUILD, '.libs', name), os.path.join(BUILD, name)):
            if os.path.exists(path):
                return path
        raise AssertionError('no program %s in %s' % (name, BUILD))

    def initrd(self, name):
        if name not in self.initrds:
            kernel = self.kernels[name]
            module, said = kernel.build_driver(os.path.join(SOURCE, 'kmod'), self.folder)
            for line in said.splitlines():
                if 'warning:' in line and SOURCE in line:
                    raise AssertionError('the driver does not build cleanly: ' + line)
            path = os.path.join(self.folder, 'initrd-' + name)
            make_initrd(path, CACHE, kernel, [self.program(p) for p in PROGRAMS],
                        extra_modules=[module])
            self.initrds[name] = path
        return self.initrds[name]

    def start_ismd(self):
        with open(os.path.join(self.folder, 'ismd.log'), 'ab') as log:
            self.ismd = subprocess.Popen([self.program('ismd'), '-f', '-v', self.socket, self.domain], stdin=subprocess.DEVNULL,
                                         stdout=log, stderr=log, env=self.env, preexec_fn=end_with_us)
        end = time.monotonic() + DEADLINE
        while not self.served():
            if time.monotonic() > end or self.ismd.poll() is not None:
                raise AssertionError('ismd did not start: ' + self.log())
            time.sleep(0.01)

    def restart(self, while_dead=lambda: None):
        """The daemon is killed, and another one started."""
        self.ismd.kill()
        self.ismd.wait()
        while_dead()
        self.start_ismd()

    def keeper(self):
        """The process that keeps the domain over a restart."""
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open('/proc/%s/cmdline' % pid, 'rb') as f:
                    words = f.read().split(b'\0')
            except OSError:
                continue
            if b'--keeper' in words and self.domain.encode() in words:
                return int(pid)
        raise AssertionError('no keeper')

    def served(self):
        """Does anybody listen for machines?  The socket of one that was killed is still there."""
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.socket) == 0

    def log(self):
        with open(os.path.join(self.folder, 'ismd.log'), errors='replace') as f:
            return f.read()[-4000:]

    def ready(self):
        """The daemon and both machines run: after a test that failed, new ones."""
        if self.nr_failed != len(result.failed):
            self.nr_failed = len(result.failed)
            self.say()
            self.end_all()
        if self.ismd is None:
            self.start_ismd()
        missing = [name for name in 'ab' if name not in self.pair or not self.pair[name].alive()]
        for name in missing:
            self.pair[name] = self.machine(name, {'a': 'old', 'b': 'new'}[name])
        for name in missing:
            self.driver(self.pair[name])

    def command(self, memory):
        """As a user is told to start a machine."""
        said = subprocess.run([self.program('ism'), 'vm', '--json', '--qemu', self.qemu, '--memory', memory, '--accel', ACCEL,
                               '--virtio-id', VIRTIO_ID, self.socket], stdout=subprocess.PIPE, timeout=DEADLINE, check=True,
                              env=self.env).stdout
        return json.loads(said)['command']

    def machine(self, name, kernel='old', devices=1, memory='256M', **options):
        m = Machine(self.command(memory), self.kernels[kernel], self.initrd(kernel), self.folder, name,
                    [self.socket] * (devices - 1), **options)
        self.machines.append(m)
        return m

    def driver(self, m):
        """Load the driver, once it is up."""
        m.ready()
        m.must('insmod /drivers/virtio_ism.ko virtio_id=%s' % VIRTIO_ID)
        m.must('ln -sf ism0 /dev/ism')
        return m

    def host(self):
        actor = HostActor(self)
        self.actors.append(actor)
        return actor

    def ls(self):
        """What `ism ls` says: devices and regions."""
        return subprocess.run([self.program('ism'), 'ls'], stdout=subprocess.PIPE, timeout=DEADLINE,
                              text=True, check=True, env={**self.env, 'ISM_DEVICE': 'emu:' + self.domain}).stdout

    def machine_devices(self):
        """What the domain knows of the virtual machines in it, by their device's id."""
        text = subprocess.run([self.program('ism'), 'ls', '--json'], stdout=subprocess.PIPE, timeout=DEADLINE, check=True,
                              env={**self.env, 'ISM_DEVICE': 'emu:' + self.domain}).stdout
        return {d['devid']: d for d in json.loads(text)['devices'] if d['name'] == 'virtual machine'}

    def say(self):
        """What the daemon and the machines said last."""
        print(self.log(), *(m.said() for m in self.machines), sep='\n', flush=True)

    def end_all(self):
        for thing in self.actors:
            thing.close()
        for m in self.machines:
            m.kill()
        if self.ismd is not None:
            self.ismd.terminate()
            try:
                self.ismd.wait(10)
            except subprocess.TimeoutExpired:
                self.ismd.kill()
                self.ismd.wait()
        self.actors, self.machines, self.pair, self.ismd = [], [], {}, None

    def close(self):
        self.end_all()
        shutil.rmtree(self.folder)


result = Result()


def eventually(condition, what, seconds=None):
    end = time.monotonic() + (seconds or DEADLINE)
    while not condition():
        if time.monotonic() > end:
            raise AssertionError('it did not come: ' + what)
        time.sleep(0.02)


class Case(unittest.TestCase):
    """Two machines, "old" and "new" by their kernels, and a process of the host with the device "h"."""

    rig = None      # one for all

    def setUp(self):
        if self.rig.time_is_up:
            raise TimeIsUp('not run: the %g s for all of them were up' % BUDGET)
        self.open_actors = []
        self.rig.ready()
        self.a, self.b = self.rig.pair['a'], self.rig.pair['b']

    def tearDown(self):
        for actor in reversed(self.open_actors):
            actor.close()
            if isinstance(actor, HostActor):
                self.rig.actors.remove(actor)

    def guest(self, m, name, device='dev:'):
        actor = GuestActor(m)
        self.open_actors.append(actor)
        actor.gid, actor.devid = actor.do('open %s %s' % (name, device))
        return actor

    def host(self, name='h'):
        actor = self.rig.host()
        self.open_actors.append(actor)
        actor.gid, actor.devid = actor.do('open %s emu:%s' % (name, self.rig.domain))
        return actor

    def three(self):
        """A program in each machine and one on the host, which has made the region "r" for all."""
        g, b, h = self.guest(self.a, 'g'), self.guest(self.b, 'b'), self.host()
        token, = h.do('alloc r h 65536')
        for x, name in ((g, 'g'), (b, 'b')):
            x.do('attach r %s %s' % (name, token))
        return g, b, h

    def quiet(self, m):
        """Its kernel has nothing to complain of."""
        text = m.must('dmesg')
        for word in ('BUG:', 'WARNING:', 'INFO: ', 'Oops', 'general protection', 'stack segment', 'KASAN', 'ODEBUG',
                     'turning off the locking'):
            self.assertNotIn(word, text)
        if DEBUG:
            self.assertRegex(m.must('cat /proc/lockdep_stats'), r'debug_locks: +1\n')

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# ismd as a test runs it, a pair of well-behaved clients, and the test case that
# proves after each bad client that these were not disturbed.

import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import ismwire
from ismwire import CHUNK, DEADLINE, Client

ISMD = os.path.abspath(os.environ.get('ISM_TEST_ISMD') or './ismd')
STRANGER_UID = 65534
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
IDLE_FDS = 7        # of ismd: 0 to 2, lock, listening socket, epoll, stop
DEVICE_FDS = 2      # each device: its connection, its wake socket
# Built for a system that lacks something: configure --without-memfd and its like.
WITHOUT = os.environ.get('ISM_TEST_WITHOUT', '')
needs_seals = unittest.skipIf('MEMFD' in WITHOUT, 'built --without-memfd: there are no seals')
needs_eventfd = unittest.skipIf('EVENTFD' in WITHOUT, 'built --without-eventfd')
needs_pids = unittest.skipIf('PEERCRED' in WITHOUT, 'built --without-peercred: process ids are not known')


def needs_root(test):
    """Somebody of another uid."""
    if 'MEMFD' in WITHOUT:
        return unittest.skip('built --without-memfd: a host serves one user')(test)
    return unittest.skipUnless(os.geteuid() == 0, 'a client of another uid: needs root')(test)



def eventually(condition, what, seconds=DEADLINE):
    """Wait for a condition; returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError('not within %g s: %s' % (seconds, what() if callable(what) else what))
        time.sleep(0.001)


def clean_env(**more):
    """The environment without what would change ismd's behaviour."""
    drop = ('ISM_', 'LISTEN_', 'NOTIFY_SOCKET', 'XDG_RUNTIME_DIR')
    env = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
    env.update(more)
    return env


def check_log(text):
    """What no run of ismd may say."""
    found = re.search(r'.*(Sanitizer|runtime error:|Assertion|assert\(|\] error: ).*', text)
    if found:
        raise AssertionError('ismd said: %s\n%s' % (found.group(0), text[-4000:]))


def stand_still(pid):
    """Stop a process; it has stopped when this returns."""
    os.kill(pid, signal.SIGSTOP)

    def stopped():
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0] == 'T'
    eventually(stopped, 'a process that stands still')


class Daemon:
    """An ismd of one's own, in a directory of its own."""

    def __init__(self, *args, nofile=None, others=False, uid=None, idle_fds=0):
        self.dir = tempfile.mkdtemp(prefix='ism-proto.')
        self.path = os.path.join(self.dir, 'sock')
        self.log_path = os.path.join(self.dir, '.log')
        self.expected_errors = False
        config = os.path.join(self.dir, '.conf')
        open(config, 'w').close()       # not the machine's
        if others:
            os.chmod(self.dir, 0o711)
            args += ('--set', 'mode=0666')

        if uid is not None:
            os.chmod(config, 0o644)
            os.chown(self.dir, uid, -1)

        def in_child():
            if nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
            if uid is not None:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        with open(self.log_path, 'w') as log:
            self.proc = subprocess.Popen([ISMD, '--foreground', '--config', config, '--set', 'keep=no', *args, self.path],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_env(),
                                         preexec_fn=in_child)
        self.pid = self.proc.pid
        try:
            eventually(self._answers, self.log)
            eventually(lambda: self.fds() == IDLE_FDS + idle_fds, lambda: 'descriptors: %d' % self.fds())
        except AssertionError:
            self.kill()
            raise

    def _answers(self):
        if self.proc.poll() is not None:
            raise AssertionError('ismd ended with %d: %s' % (self.proc.returncode, self.log()))
        try:
            Client(self.path).close()
            return True
        except (FileNotFoundError, ConnectionRefusedError):
            return False

    def client(self, uid=None, **fields):
        """A new device."""
        client = Client(self.path, uid)
        try:
            return client.hello(**fields)
        except BaseException:
            client.close()
            raise

    def log(self):
        with open(self.log_path, errors='replace') as log:
            return log.read()

    def fds(self):
        return len(os.listdir('/proc/%d/fd' % self.pid))

    def resources(self):
        """Descriptors and mapped objects."""
        with open('/proc/%d/maps' % self.pid) as maps:
            return self.fds(), sum('memfd:ism-' in line for line in maps)

    def rss(self):
        with open('/proc/%d/statm' % self.pid) as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    def alive(self):
        return self.proc.poll() is None

    def kill(self):
        self.proc.kill()
        self.proc.wait()
        shutil.rmtree(self.dir)

    def stop(self):
        """SIGTERM: status 0, and nothing left."""
        try:
            if not self.alive():
                raise AssertionError('ismd ended with %d: %s' % (self.proc.returncode, self.log()[-4000:]))
            self.proc.terminate()
            status = self.proc.wait(DEADLINE)
            left = [name for name in os.listdir(self.dir) if not name.startswith('.')]
            if status != 0 or left:
                raise AssertionError('status %d, left behind: %r: %s' % (status, left, self.log()[-4000:]))
            check_log(re.sub(r'.*\] error: .*', '', self.log()) if self.expected_errors else self.log())
        finally:
            self.kill()


class Pair:
    """Two devices that share a region and behave."""

    def __init__(self, daemon):
        self.a = daemon.client(name=b'good a')
        self.b = daemon.client(name=b'good b')
        self.ra = self.a.alloc()
        self.rb = self.b.attach(self.ra.token)
        self.check()

    def close(self):
        self.a.close()
        self.b.close()

    def check(self):
        """Both get answers, see each other's bytes, and hear each other's doorbell."""
        self.ring(self.a, self.ra, self.b, self.rb)
        self.ring(self.b, self.rb, self.a, self.ra)
        total, peers = self.a.list(self.ra.token)
        if total != 1 or peers != [(self.b.devid, self.rb.slot, 0)]:
            raise AssertionError('the good pair is not the only one at its region: %r' % (peers,))

    @staticmethod
    def ring(ringer, mine, hearer, theirs):
        word = os.urandom(16)
        hearer.to_device.clear(theirs.slot)
        mine.mem[100:116] = word
        ringer.ring(mine.slot)
        eventually(lambda: hearer.to_device.is_set(theirs.slot), 'a doorbell of the good pair')
        hearer.to_device.clear(theirs.slot)
        if theirs.mem[100:116] != word:
            raise AssertionError('the good pair does not see each other\'s bytes')


class DaemonCase(unittest.TestCase):
    """A daemon per class, and clients that are closed after each test."""

    daemon_args, daemon_options = (), {}

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(*cls.daemon_args, **cls.daemon_options)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def client(self, uid=None, **fields):
        client = self.daemon.client(uid, **fields)
        self.addCleanup(client.close)
        return client

    def stranger(self, uid=None):
        """A connection that has not said hello."""
        client = Client(self.daemon.path, uid)
        self.addCleanup(client.close)
        return client

    def memfd(self, *args, **kwargs):
        fd = ismwire.memfd(*args, **kwargs)
        self.addCleanup(os.close, fd)
        return fd

    def refused(self, status, call, *args, **kwargs):
        with self.assertRaises(ismwire.Refused) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.status, status)


class UndisturbedCase(DaemonCase):
    """After each test a good pair works on, and the daemon has what it had before."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.pair = Pair(cls.daemon)
            cls.baseline = cls.daemon.resources()
        except BaseException:
            cls.daemon.kill()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.pair.close()
        super().tearDownClass()

    def setUp(self):
        self.addCleanup(self.undisturbed)   # the last of all

    def undisturbed(self):
        self.assertTrue(self.daemon.alive(), lambda: self.daemon.log()[-4000:])
        self.pair.check()
        try:    # the end of a connection is seen by the host a moment later
            eventually(lambda: self.daemon.resources() == self.baseline,
                       lambda: 'descriptors and mappings: %r, before %r' % (self.daemon.resources(), self.baseline))
        except AssertionError:
            type(self).baseline = self.daemon.resources()   # the next test is not to blame
            raise
        domain = self.pair.a.domain()
        self.assertEqual((domain.devices, domain.regions, domain.bytes), (2, 1, CHUNK))

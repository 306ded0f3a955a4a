# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# ismd as a command: its arguments, the places where it may host a domain and
# where not, and that it leaves nothing behind, however it ends.

import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

from daemon import DEADLINE, ISMD, LIBC, PR_SET_PDEATHSIG, STRANGER_UID, clean_env, eventually, needs_root
from ismwire import Client, Closed


class IsmdCase(unittest.TestCase):
    """A directory per test, and every ismd in it ended with the test."""

    def setUp(self):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix='ism-ismd.'))
        self.addCleanup(shutil.rmtree, self.dir)
        self.path = self.at('sock')
        self.config = self.at('.conf')
        self.write(self.config, '')

    def at(self, name):
        return os.path.join(self.dir, name)

    def write(self, path, text):
        with open(path, 'w') as f:
            f.write(text)

    def read(self, path):
        with open(path) as f:
            return f.read()

    def left(self):
        """What is in the directory, but for what begins with a dot."""
        return sorted(name for name in os.listdir(self.dir) if not name.startswith('.'))

    def leaves(self, *names):
        """The keeper may take a moment longer than ismd."""
        eventually(lambda: self.left() == sorted(names), lambda: 'left behind: %r, expected %r' % (self.left(), sorted(names)))

    def start(self, *args, config=True, env=None, cwd=None, uid=None, command=(ISMD,), stderr=subprocess.PIPE, **more):
        def in_child():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if uid is not None:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
        args = ('--config', self.config, *args) if config else args
        proc = subprocess.Popen([*command, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                                text=True, env=clean_env(**(env or {})), cwd=cwd or self.dir, preexec_fn=in_child, **more)
        self.addCleanup(self.finish, proc)
        return proc

    def finish(self, proc):
        if proc.poll() is None:
            proc.kill()
        proc.communicate()

    def serve(self, *args, path=None, **options):
        """An ismd in the foreground that answers at its path."""
        path = path or self.path
        proc = self.start('--foreground', *args, path, **options)
        self.answers(proc, path)
        return proc

    def answers(self, proc, path):
        def attempt():
            if proc.poll() is not None:
                self.fail('ismd ended with %d: %s' % (proc.returncode, proc.communicate()[1]))
            try:
                with Client(path) as c:
                    c.hello()
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        eventually(attempt, 'an ismd that answers')

    def run_to_end(self, *args, **options):
        proc = self.start(*args, **options)
        out, err = proc.communicate(timeout=DEADLINE)
        return proc.returncode, out, err

    def fails(self, status, words, *args, **options):
        """It ends with this status, says these words on standard error, in one line or two, and leaves nothing."""
        before = self.left()
        got, out, err = self.run_to_end('--foreground', *args, **options)
        self.assertEqual((got, out), (status, ''), err)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, err)
        self.assertLessEqual(err.count('\n'), 2, err)
        self.leaves(*before)
        return err

    def ends(self, proc, status=0, left=()):
        out, err = proc.communicate(timeout=DEADLINE)
        self.assertEqual((proc.returncode, out), (status, ''), err)
        self.leaves(*left)
        return err


class Arguments(IsmdCase):
    def test_help_and_version(self):
        for flag, words in (('--help', 'usage: ismd'), ('-h', 'user-bytes'), ('--version', 'ismd '), ('-V', 'ismd ')):
            status, out, err = self.run_to_end(flag)
            self.assertEqual((status, err), (0, ''))
            self.assertIn(words, out)

    def test_help_whatever_else_is_wrong(self):
        self.write(self.config, 'nonsense\n')
        for args in (('--help',), ('--set', 'x', '--help'), ('one', 'two', '--help'), ('--version',)):
            self.assertEqual(self.run_to_end(*args)[::2], (0, ''), args)

    def test_wrong_options(self):
        for args, words in ((('--nonsense',), "'--nonsense'"), (('-x',), "'x'"), (('--pidfile',), "'--pidfile'"),
                            (('--foreground=yes',), "'--foreground'"),
                            (('--set', 'mode'), 'expected NAME=VALUE'), (('--set', '=1'), 'unknown setting ""'),
                            (('--set', 'mood=1'), 'unknown setting "mood"'), (('--set', 'x' * 100 + '=1'), 'expected NAME=VALUE'),
                            (('--set', 'mode=0999'), 'expected an octal mode'),
                            (('--set', 'user-bytes=many'), 'expected a number of bytes'),
                            (('--set', 'group=no-such-group'), 'no such group'),
                            (('--set', 'log=loud'), 'expected none, error, warn, info or debug'),
                            ((self.path, self.path), 'more than one PATH')):
            err = self.fails(2, words, *args)
            self.assertTrue(err.startswith(('ismd: ', ISMD + ': ')), err)

    def test_wrong_config(self):
        self.fails(2, ['cannot read', self.at('none'), 'No such file'], '--config', self.at('none'), self.path, config=False)
        self.fails(2, ['cannot read', self.dir], '--config', self.dir, self.path, config=False)
        for text, words in (('mode\n', ':1: "mode": expected name = value'), ('\n\nlog = loud\n', ':3: log level "loud"'),
                            ('x = y\n', ':1: unknown setting "x"')):
            self.write(self.config, text)
            self.fails(2, self.config + words, self.path)

    def test_the_command_line_is_stronger_than_the_file(self):
        self.write(self.config, 'mode = 0600\nlog = none\n')
        self.serve('--set', 'mode=0640')
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o640)

    def test_wrong_environment(self):
        self.fails(2, ['ISM_LOG="loud"', 'expected none, error, warn, info or debug'], self.path, env={'ISM_LOG': 'loud'})
        self.fails(1, ['ISM_RUNTIME_DIR="here"', 'expected an absolute path'], env={'ISM_RUNTIME_DIR': 'here'})

    def test_default_path(self):
        run = self.at('run')
        proc = self.start('--foreground', env={'ISM_RUNTIME_DIR': run})
        self.answers(proc, run + '/default')
        self.assertEqual(stat.S_IMODE(os.stat(run).st_mode), 0o700)
        proc.terminate()
        self.ends(proc, left=['run'])
        self.assertEqual(os.listdir(run), [])

    def test_socket_mode(self):
        for setting, mode in ((None, 0o660), ('mode=0600', 0o600), ('mode=666', 0o666), ('mode=0', 0)):
            args = () if setting is None else ('--set', setting)
            proc = self.start('--foreground', *args, self.path)
            eventually(lambda: os.path.exists(self.path) and stat.S_IMODE(os.stat(self.path).st_mode) == mode,
                       'a socket of mode %o' % mode)
            self.assertEqual(stat.S_IMODE(os.stat(self.path + '.lock').st_mode), 0o600)
            proc.terminate()
            self.ends(proc)

    @needs_root
    def test_socket_group(self):
        proc = self.serve('--set', 'group=4711')
        self.assertEqual(os.stat(self.path).st_gid, 4711)
        proc.terminate()
        self.ends(proc)


class Places(IsmdCase):
    def test_longest_path_and_one_too_long(self):
        longest = self.at('x' * (107 - len(self.dir) - 1))
        proc = self.serve(path=longest)
        proc.terminate()
        self.ends(proc)
        for more in (1, 2, 5, 200):
            self.fails(1, ['is too long', '107 bytes'], longest + 'x' * more)
        proc = self.start('--foreground', self.at('./' * 1000 + 'sock'))    # a long name of a short path
        self.answers(proc, self.path)

    def test_no_directory(self):
        self.write(self.at('file'), '')
        self.fails(1, [self.at('none'), 'No such file'], self.at('none/sock'))
        self.fails(1, [self.at('file'), 'Not a directory'], self.at('file/sock'))
        for name in ('', '/', '/.', '/..', '/sock/'):
            self.fails(1, 'expected the path of a socket', self.dir + name + '/')

    def test_no_socket_is_not_touched(self):
        self.write(self.at('file'), 'precious')
        os.mkdir(self.at('dir'))
        os.mkfifo(self.at('fifo'))
        os.symlink(self.at('file'), self.at('link'))
        os.symlink(self.at('nowhere'), self.at('dangling'))
        for name in ('file', 'dir', 'fifo', 'link', 'dangling'):
            self.fails(1, [self.at(name), 'no socket'], self.at(name))
        self.assertEqual(self.read(self.at('file')), 'precious')
        self.assertFalse(os.path.exists(self.at('nowhere')))

    def test_lock_file_that_is_a_link(self):
        self.write(self.at('file'), 'precious')
        for target in (self.at('file'), self.at('nowhere')):
            os.symlink(target, self.path + '.lock')
            self.fails(1, 'cannot open the lock file', self.path)
            os.unlink(self.path + '.lock')
        self.assertEqual(self.read(self.at('file')), 'precious')

    def test_stale_socket_is_replaced(self):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            with socket.socket(socket.AF_UNIX, kind) as s:
                s.bind(self.path)
            proc = self.serve()
            proc.terminate()
            self.ends(proc)

    def test_socket_of_another_program_is_not_touched(self):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_UNIX, kind) as s:
                s.bind(self.path)
                inode = os.stat(self.path).st_ino
                self.fails(1, [self.path, 'another program'], self.path)
                self.assertEqual(os.stat(self.path).st_ino, inode)
            os.unlink(self.path)

    def test_one_host_per_path(self):
        proc = self.serve()
        os.symlink(self.dir, self.at('.link'))
        for path, cwd in ((self.path, None), (self.at('.link/sock'), None), ('sock', None), ('../sock', self.at('.link/.'))):
            if path == '../sock':
                os.mkdir(self.at('.sub'))
                cwd = self.at('.sub')
            self.fails(1, [self.path, 'has a host already: process %d' % proc.pid], path, cwd=cwd)
        with Client(self.at('.link/sock')) as c:
            c.hello().alloc()
        proc.terminate()
        self.ends(proc)

    @needs_root
    def test_directory_of_others(self):
        os.chmod(self.dir, 0o755)
        os.chmod(self.config, 0o644)
        self.fails(1, ['cannot open the lock file', 'Permission denied'], self.path, uid=STRANGER_UID)

    @needs_root
    def test_group_that_may_not_be_given(self):
        os.chmod(self.config, 0o644)
        os.chmod(self.dir, 0o777)
        self.fails(1, ['cannot listen', 'Operation not permitted'], '--set', 'group=0', self.path, uid=STRANGER_UID)


class Life(IsmdCase):
    def busy(self, path=None):
        """Two devices with regions, one of them shared."""
        a, b = Client(path or self.path), Client(path or self.path)
        for c in (a, b):
            self.addCleanup(c.close)
            c.hello()
        b.attach(a.alloc().token)
        b.alloc()
        return a, b

    def test_clean_end(self):
        for sig in (signal.SIGTERM, signal.SIGINT):
            proc = self.serve()
            clients = self.busy()
            proc.send_signal(sig)
            err = self.ends(proc)
            self.assertIn('no longer hosting', err)
            for c in clients:
                c.expect_closed()

    def test_impatient_end(self):
        for _ in range(20):
            proc = self.serve()
            for _ in range(50):
                proc.send_signal(random.choice((signal.SIGTERM, signal.SIGINT)))
            self.ends(proc)

    def test_ended_at_any_moment_of_its_start(self):
        """Before it has begun it may be killed by the signal; it never leaves half a host."""
        for i in range(30):
            proc = self.start('--foreground', self.path, stderr=subprocess.DEVNULL)
            time.sleep(i * 0.0004)
            proc.terminate()
            proc.wait(DEADLINE)
            self.assertIn(proc.returncode, (0, -signal.SIGTERM))
            self.leaves()

    def test_other_signals_do_nothing(self):
        proc = self.serve()
        a, b = self.busy()
        for sig in (signal.SIGHUP, signal.SIGPIPE):
            for _ in range(10):
                proc.send_signal(sig)
        a.domain()
        b.alloc()
        proc.terminate()
        self.ends(proc)

    def test_killed_and_started_again(self):
        for _ in range(3):
            proc = self.serve()
            clients = self.busy()
            proc.kill()
            proc.wait(DEADLINE)
            for c in clients:
                c.expect_closed()
            again = self.serve()
            self.busy()
            again.terminate()
            self.ends(again)

    def test_names_taken_away_while_it_runs(self):
        proc = self.serve()
        os.unlink(self.path)
        os.unlink(self.path + '.lock')
        proc.terminate()
        self.ends(proc)


class Background(IsmdCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.kill)

    def kill(self):
        """What a failed test has left."""
        try:
            os.kill(self.pid(self.at('pid')), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            pass

    def pid(self, pidfile):
        return int(self.read(pidfile))

    def background(self, *args, **options):
        """Ready when the command returns."""
        status, out, err = self.run_to_end(*args, self.path, **options)
        self.assertEqual((status, out, err), (0, '', ''))
        with Client(self.path) as c:
            c.hello()

    def gone(self, pid):
        """It is nobody's zombie: its parent has ended."""
        try:
            return 'State:\tZ' in self.read('/proc/%d/status' % pid)
        except (FileNotFoundError, ProcessLookupError):
            return True

    def stop(self, pid, left=()):
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: self.gone(pid), 'the end of ismd')
        self.leaves(*left)

    def test_ready_when_the_command_returns(self):
        for pidfile in (self.at('pid'), 'pid', './pid'):
            self.background('--pidfile', pidfile)
            pid = self.pid(self.at('pid'))
            self.assertEqual(os.readlink('/proc/%d/cwd' % pid), '/')
            self.assertEqual(os.getsid(pid), pid)
            for fd in range(3):
                self.assertEqual(os.readlink('/proc/%d/fd/%d' % (pid, fd)), '/dev/null')
            self.stop(pid)

    def test_relative_path(self):
        status, out, err = self.run_to_end('--pidfile', 'pid', 'sock')
        self.assertEqual((status, out, err), (0, '', ''))
        with Client(self.path) as c:
            c.hello()
        self.stop(self.pid(self.at('pid')))

    def test_standard_descriptors_that_are_closed(self):
        """Nothing of ours takes their numbers, to be closed with them."""
        for which in ((0,), (1,), (0, 2), (0, 1, 2)):
            def close(which=which):
                for fd in which:
                    os.close(fd)
            done = subprocess.run([ISMD, '--config', self.config, '--pidfile', self.at('pid'), self.path], env=clean_env(),
                                  preexec_fn=close, timeout=DEADLINE)
            self.assertEqual(done.returncode, 0)
            status, _, err = self.run_to_end(self.path)
            self.assertEqual(status, 1)
            self.assertIn('has a host already', err)
            status, _, err = self.run_to_end('--pidfile', self.at('pid'), self.at('other'))
            self.assertEqual(status, 1)
            self.assertIn('another ismd runs with it', err)
            with Client(self.path) as c:
                c.hello().alloc()
            self.stop(self.pid(self.at('pid')))

    def test_failure_is_told(self):
        self.write(self.at('file'), '')
        for words, args in ((['no socket'], [self.at('file')]), (['No such file'], [self.at('none/sock')]),
                            (['pid file', 'No such file'], ['--pidfile', self.at('none/pid'), self.path])):
            status, out, err = self.run_to_end(*args)
            self.assertEqual((status, out), (1, ''))
            self.assertTrue(err.startswith('ismd: '), err)
            for word in words:
                self.assertIn(word, err)
            self.leaves('file')

    def test_one_per_pid_file(self):
        self.background('--pidfile', self.at('pid'))
        pid = self.pid(self.at('pid'))
        status, _, err = self.run_to_end('--pidfile', self.at('pid'), self.at('other'))
        self.assertEqual(status, 1)
        self.assertIn('another ismd runs with it', err)
        self.assertEqual(self.pid(self.at('pid')), pid)
        self.assertEqual(self.left(), ['pid', 'sock', 'sock.keeper', 'sock.lock'])
        self.stop(pid)

    def test_stale_pid_file_is_used_again(self):
        self.background('--pidfile', self.at('pid'))
        pid = self.pid(self.at('pid'))
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: self.gone(pid), 'its end')
        self.background('--pidfile', self.at('pid'))
        self.assertNotEqual(self.pid(self.at('pid')), pid)
        self.stop(self.pid(self.at('pid')))

    def test_second_host_does_not_disturb_the_first(self):
        self.background('--pidfile', self.at('pid'))
        status, _, err = self.run_to_end(self.path)
        self.assertEqual(status, 1)
        self.assertIn('has a host already', err)
        with Client(self.path) as c:
            c.hello()
        self.stop(self.pid(self.at('pid')))


ACTIVATE = '''
import os, sys
fd, pid = int(sys.argv[1]), sys.argv[2]
os.dup2(fd, 3) if fd != 3 else os.set_inheritable(3, True)
os.environ['LISTEN_PID'] = pid or str(os.getpid())
os.execv(sys.argv[3], sys.argv[3:])
'''


class Activation(IsmdCase):
    """A service manager passes the listening socket as descriptor 3."""

    def socket(self, kind=socket.SOCK_SEQPACKET, name=None, listens=True):
        s = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(s.close)
        if name != '':
            s.bind(name or self.path)
        if listens:
            s.listen()
        return s

    def activate(self, s, *args, fds='1', pid='', **options):
        wrapper = (sys.executable, '-B', '-c', ACTIVATE, str(s.fileno()), pid, ISMD)
        return self.start('--foreground', *args, command=wrapper, pass_fds=(s.fileno(),), env={'LISTEN_FDS': fds}, **options)

    def refused(self, s, **options):
        proc = self.activate(s, **options)
        err = proc.communicate(timeout=DEADLINE)[1]
        self.assertEqual(proc.returncode, 1, err)
        self.assertIn('expected one that listens', err)
        return err

    def test_serves_and_leaves_the_socket(self):
        s = self.socket()
        for _ in range(2):
            proc = self.activate(s)
            with Client(self.path) as c:        # waits in the queue until it is served
                c.hello().alloc()
            proc.terminate()
            self.ends(proc, left=['sock'])
        self.assertTrue(stat.S_ISSOCK(os.stat(self.path).st_mode))

    def test_is_the_host_of_the_path(self):
        proc = self.activate(self.socket())
        with Client(self.path) as c:
            c.hello()
            second = self.start('--foreground', self.path)
            err = second.communicate(timeout=DEADLINE)[1]
            self.assertEqual(second.returncode, 1, err)
            self.assertIn('has a host already: process %d' % proc.pid, err)
            c.domain()

    def test_wrong_sockets(self):
        self.refused(self.socket(kind=socket.SOCK_STREAM))
        os.unlink(self.path)
        self.refused(self.socket(kind=socket.SOCK_DGRAM, listens=False))
        os.unlink(self.path)
        self.refused(self.socket(listens=False))
        os.unlink(self.path)
        self.refused(self.socket(), fds='2')
        os.unlink(self.path)
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with a, b, socket.socket() as inet, open(self.config) as f:
            for s in (a, inet, f):
                self.refused(s)
        self.assertEqual(self.left(), [])

    def test_abstract_socket_has_no_path_to_host(self):
        err = self.refused(self.socket(name='\0ism-test-%d' % os.getpid()))
        self.assertIn('path', err)
        self.assertEqual([name for name in os.listdir(self.dir) if 'lock' in name], [])

    def test_meant_for_another_process(self):
        s = self.socket(name=self.at('other'))
        proc = self.activate(s, self.path, pid='1')
        self.answers(proc, self.path)
        proc.terminate()
        self.ends(proc, left=['other'])

    def test_tells_the_manager(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            for name in (self.at('.notify'), '\0ism-test-notify-%d' % os.getpid()):
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                    s.bind(name)
                    s.settimeout(DEADLINE)
                    proc = self.start('--foreground', self.path, env={'NOTIFY_SOCKET': name.replace('\0', '@')})
                    self.assertEqual(s.recv(100), b'READY=1')
                    with Client(self.path) as c:
                        c.hello()
                    proc.terminate()
                    self.assertEqual(s.recv(100), b'STOPPING=1')
                    self.ends(proc)


class Log(IsmdCase):
    def log(self):
        return self.read(self.at('.log'))

    def logged(self, *args):
        log = open(self.at('.log'), 'w')
        self.addCleanup(log.close)
        return self.serve(*args, stderr=log)

    def test_a_crowd_of_bad_clients_fills_no_disk(self):
        proc = self.logged()
        began = time.monotonic()
        for i in range(300):
            with Client(self.path) as c:
                if i % 2:
                    c.hello()
                try:
                    c.send_raw(b'nonsense' * (i % 3))
                    c.send_raw(b'more of it')
                except Closed:
                    pass
                c.expect_closed()
        self.assertIn('connection closed', self.log())
        good = Client(self.path).hello()
        self.addCleanup(good.close)
        fd = os.open('/dev/null', os.O_RDWR | os.O_CLOEXEC)
        self.addCleanup(os.close, fd)
        for _ in range(300):
            self.assertEqual(good.command(0, 'Q', 65536, fds=[fd]).status, 255)
        proc.terminate()
        self.ends_quietly(proc)
        seconds = time.monotonic() - began
        lines = self.log().count('\n')
        self.assertLessEqual(lines, 2 * (seconds + 1) + 2, self.log()[:2000])     # two kinds, each once a second

    def ends_quietly(self, proc):
        proc.wait(DEADLINE)
        self.assertEqual(proc.returncode, 0)

    def test_no_token_in_any_line(self):
        proc = self.logged('--set', 'log=debug', '--set', 'device-regions=3')
        with Client(self.path) as a, Client(self.path) as b:
            a.hello()
            b.hello()
            tokens = [a.alloc().token, a.alloc(flags=1).token]
            b.attach(tokens[0])
            guesses = [int.from_bytes(os.urandom(8), 'little') for _ in range(3)]
            for token in (tokens[1], *guesses):
                self.assertNotEqual(b.command(0x100, 'QI', token, 1).status, 0)
            a.command(0x300, 'QQ', tokens[0], 0)
            self.assertNotEqual(b.command(0x300, 'QQ', tokens[0], 1).status, 0)
            b.send_raw(b'nonsense')
        eventually(lambda: 'nonsense' in self.log() or 'connection closed' in self.log(), 'a line about b')
        proc.terminate()
        self.ends_quietly(proc)
        log = self.log().lower()
        self.assertIn('refused', log)
        for token in tokens + guesses:
            for text in ('%x' % token, '%d' % token, '%x' % int.from_bytes(token.to_bytes(8, 'big'), 'little')):
                self.assertNotIn(text, log)

    def test_none_means_none(self):
        proc = self.logged('--set', 'log=none')
        with Client(self.path) as c:
            c.send_raw(b'nonsense')
            c.expect_closed()
        proc.terminate()
        self.ends_quietly(proc)
        self.assertEqual(self.log(), '')

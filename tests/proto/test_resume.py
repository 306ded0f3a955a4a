# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Coming back after a restart: secrets, and who may not use them; a service
# manager that keeps what the keeper would.

import array
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import unittest

import ismwire
from daemon import ISMD, LIBC, PR_SET_PDEATHSIG, STRANGER_UID, clean_env, eventually, needs_root
from ismwire import DEADLINE, ENOENT, ERR, HELLO, HELLO_REPLY, OK, READ, Client, Closed, close_all, hello_body

RESUME = 4
F_RESUME = 1 << 30
KEPT = 2


def resume_body(devid, secret, lowest=1, highest=1, zero=0):
    return struct.pack('<HHIQ16s', lowest, highest, zero, devid, secret)


class Manager:
    """The service manager's side of the descriptor store (systemd's protocol), and of starting a service."""

    def __init__(self, *args):
        self.dir = tempfile.mkdtemp(prefix='ism-proto.')
        self.path = os.path.join(self.dir, 'sock')
        self.args = args
        self.store = []         # (name, descriptor)
        self.lock = threading.Lock()
        self.ready = threading.Event()
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.notify.bind(os.path.join(self.dir, '.notify'))
        self.stopping = False
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()
        self.proc = None

    def _listen(self):
        while not self.stopping:
            if not select.select([self.notify], [], [], 0.05)[0]:
                continue
            text, ancillary, _, _ = self.notify.recvmsg(4096, socket.CMSG_SPACE(64 * 4), socket.MSG_CMSG_CLOEXEC)
            fds = array.array('i')
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(payload)
            self._obey(dict(line.split('=', 1) for line in text.decode().splitlines()), list(fds))

    def _obey(self, said, fds):
        with self.lock:
            if said.get('FDSTORE') == '1':
                self.store += [(said['FDNAME'], fd) for fd in fds]
                fds = []
            elif said.get('FDSTOREREMOVE') == '1':
                for name, fd in [e for e in self.store if e[0] == said['FDNAME']]:
                    self.store.remove((name, fd))
                    os.close(fd)
        close_all(fds)          # a barrier is passed by this
        if said.get('READY') == '1':
            self.ready.set()

    def start(self):
        """Descriptors at 3 and up, their names in the environment, and the process's own id."""
        self.ready.clear()
        with self.lock:
            names, fds = [n for n, _ in self.store], [fd for _, fd in self.store]
        env = clean_env(NOTIFY_SOCKET=os.path.join(self.dir, '.notify'))
        if fds:
            env.update(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=':'.join(names))

        def in_child():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            high = [os.dup(fd) for fd in fds]       # out of the way
            far = [os.dup2(fd, 500 + i) for i, fd in enumerate(high)]
            for i, fd in enumerate(far):
                os.dup2(fd, 3 + i)

        with open(os.path.join(self.dir, '.log'), 'a') as log:
            # The shell's pid becomes ismd's: only so can the variable name it.
            self.proc = subprocess.Popen(['/bin/sh', '-c', '[ -z "$LISTEN_FDS" ] || export LISTEN_PID=$$; exec "$@"', 'sh',
                                          ISMD, '--foreground', '--config', '/dev/null', '--set', 'keep=store', *self.args,
                                          self.path], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                                         preexec_fn=in_child, close_fds=False)
        if not self.ready.wait(DEADLINE):
            raise AssertionError(self.log())

    def log(self):
        with open(os.path.join(self.dir, '.log'), errors='replace') as log:
            return log.read()

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def close(self):
        self.kill()
        self.stopping = True
        self.thread.join()
        self.notify.close()
        close_all(fd for _, fd in self.store)
        subprocess.run(['rm', '-rf', self.dir], check=True)


class Device(Client):
    """A client that can come back."""

    def enter(self, kind, body):
        answer = self.ask(kind, body)
        if answer.body[0] != OK:
            raise ismwire.Refused(answer.body[0])
        fields = HELLO_REPLY.unpack(answer.body)
        self.devid, self.flags, self.secret = fields[5], fields[12], fields[14]
        self.want_ro = self.flags & 1
        self.spare_fds = answer.fds
        return self

    @classmethod
    def new(cls, path, uid=None):
        return cls(path, uid).enter(HELLO, hello_body(features=2 | F_RESUME))

    @classmethod
    def back(cls, path, devid, secret, uid=None):
        c = cls(path, uid)
        try:
            return c.enter(RESUME, resume_body(devid, secret))
        except BaseException:
            c.close()
            raise


class Resume(unittest.TestCase):
    def setUp(self):
        self.manager = Manager('--set', 'mode=0666', '--set', 'grace=15')
        os.chmod(self.manager.dir, 0o711)
        self.addCleanup(self.manager.close)
        self.manager.start()

    def device(self, uid=None):
        device = Device.new(self.manager.path, uid)
        self.addCleanup(device.close)
        self.assertEqual(device.flags & KEPT, KEPT)
        self.assertEqual(len(device.spare_fds), 4)
        self.assertNotEqual(device.secret, bytes(16))
        return device

    def restart(self):
        self.manager.kill()
        self.manager.start()

    def back(self, device, uid=None):
        again = Device.back(self.manager.path, device.devid, device.secret, uid)
        self.addCleanup(again.close)
        return again

    def refused(self, devid, secret, uid=None):
        with self.assertRaises(ismwire.Refused) as caught:
            Device.back(self.manager.path, devid, secret, uid).close()
        self.assertEqual(caught.exception.status, ENOENT)

    def test_the_store_keeps_all_of_it(self):
        a, b = self.device(), self.device()
        mine = a.alloc(100000)
        mine.mem[0:5] = b'hello'
        theirs = b.attach(mine.token, READ)
        for _ in range(3):
            self.restart()
            a2, b2 = self.back(a), self.back(b)
            self.assertEqual((a2.devid, b2.devid, a2.secret), (a.devid, b.devid, a.secret))
            # And perhaps the last round's c, whose end the daemon did not live to see.
            self.assertLessEqual({a.devid, b.devid}, set(a2.referrers(mine.token)))
            own = struct.unpack('<QQQII', b2.query(4)[0][0])
            self.assertEqual(own, (mine.token, theirs.offset, 131072, theirs.slot, READ))
            c = self.device()
            self.assertEqual(c.attach(mine.token).mem[0:5], b'hello')
            self.assertGreater(c.devid, b.devid)
            c.close()
        a2.must(ismwire.DETACH, 'Q', mine.token)
        b2.must(ismwire.DETACH, 'Q', mine.token)
        eventually(lambda: set(a2.devices()) == {a.devid, b.devid}, 'the end of c')
        eventually(lambda: not [n for n, _ in self.manager.store if n.startswith('r-')], 'the region leaves the store')

    def test_a_wrong_secret_is_refused(self):
        a, b = self.device(), self.device()
        self.refused(a.devid, a.secret)             # it is here: nobody is waited for
        self.restart()
        wrong = bytes([a.secret[0] ^ 1]) + a.secret[1:]
        for devid, secret in ((a.devid, wrong), (a.devid, bytes(16)), (a.devid, b.secret), (b.devid, a.secret),
                              (12345, a.secret), (0, a.secret)):
            self.refused(devid, secret)
        self.back(a)
        self.refused(a.devid, a.secret)             # it is back
        self.back(b)

    def test_a_resume_that_is_wrong_in_itself(self):
        a = self.device()
        self.restart()
        good = resume_body(a.devid, a.secret)
        for body in (good[:-1], good + b'\0', b'', resume_body(a.devid, a.secret, lowest=2, highest=3),
                     resume_body(a.devid, a.secret, zero=1)):
            c = Client(self.manager.path)
            self.addCleanup(c.close)
            self.assertEqual(c.ask(RESUME, body).body, bytes([ERR]))
            with self.assertRaises(Closed):
                c.recv()
        again = self.back(a)
        self.assertEqual(again.ask(RESUME, good).body, bytes([ERR]))
        with self.assertRaises(Closed):
            again.recv()

    def test_who_did_not_ask_is_not_waited_for(self):
        """A client of before: three descriptors, no secret; it ends with its daemon."""
        old = Client(self.manager.path).hello()
        self.addCleanup(old.close)
        self.assertEqual(old.flags & KEPT, 0)
        a = self.device()
        region = old.alloc()
        a.attach(region.token)
        self.restart()
        a2 = self.back(a)
        self.assertEqual(set(a2.devices()), {a.devid})
        self.assertEqual(set(a2.referrers(region.token)), {a.devid})
        self.refused(old.devid, bytes(16))

    @needs_root
    def test_anothers_secret_is_refused(self):
        a, b = self.device(), self.device(STRANGER_UID)
        self.restart()
        self.refused(a.devid, a.secret, STRANGER_UID)
        self.refused(b.devid, b.secret)
        self.back(b, STRANGER_UID)
        self.back(a)


if __name__ == '__main__':
    unittest.main()

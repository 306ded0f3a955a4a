# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# A file of a file system in user space (FUSE), whose last word on each close is
# kept back: whoever closes it waits.

import ctypes
import os
import select
import struct
import tempfile
import threading

from daemon import LIBC, eventually

INIT, OPEN, GETATTR, FLUSH = 26, 14, 3, 25
NO_ANSWER = (2, 36, 42)         # FORGET, INTERRUPT, BATCH_FORGET
MNT_FORCE, MNT_DETACH = 1, 2
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
HEADER = struct.Struct('<IIQQIII4x')


class SlowFile:
    """Who closes it waits, if @makes_wait(thread) says so, until release().  Raises OSError where there is no FUSE."""

    def __init__(self, makes_wait):
        self.makes_wait, self.held, self.opened, self.stopping = makes_wait, [], [], False
        self.dev = os.open('/dev/fuse', os.O_RDWR | os.O_CLOEXEC)
        handle, self.path = tempfile.mkstemp(prefix='ism-slow.')
        os.close(handle)
        # In a namespace of this thread's own: whatever ends this process, no mount is left.
        if LIBC.unshare(CLONE_NEWNS) == 0:
            LIBC.mount(None, b'/', None, MS_REC | MS_PRIVATE, None)
        options = b'fd=%d,rootmode=100000,user_id=0,group_id=0' % self.dev
        if LIBC.mount(b'slow', self.path.encode(), b'fuse', 0, options) != 0:
            os.close(self.dev)
            os.unlink(self.path)
            raise OSError(ctypes.get_errno(), 'cannot mount')
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while not self.stopping:
            if not select.select([self.dev], [], [], 0.02)[0]:
                continue
            try:
                request = os.read(self.dev, 1 << 17)
            except OSError:
                return
            _, what, unique, _, _, _, pid = HEADER.unpack_from(request)
            if what == FLUSH and self.makes_wait(pid):
                self.held.append(unique)
            elif what not in NO_ANSWER:
                self._answer(unique, what)

    def _answer(self, unique, what):
        body = b''
        if what == INIT:
            body = struct.pack('<IIIIHHIIHH32x', 7, 31, 0, 0, 16, 12, 4096, 1, 1, 0)
        elif what == OPEN:
            body = struct.pack('<QII', 1, 0, 0)
        elif what == GETATTR:
            body = struct.pack('<QII', 60, 0, 0) + struct.pack('<QQQQQQIIIIIIIIII', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o100666, 1,
                                                               0, 0, 0, 4096, 0)
        os.write(self.dev, struct.pack('<IiQ', 16 + len(body), 0, unique) + body)

    def open(self):
        """Closed with the rest."""
        self.opened.append(os.open(self.path, os.O_RDWR | os.O_CLOEXEC))
        return self.opened[-1]

    def release(self):
        """All that wait go on, and nobody waits any more."""
        self.makes_wait = lambda pid: False
        while self.held:
            self._answer(self.held.pop(), FLUSH)

    def close(self):
        self.release()
        LIBC.umount2(self.path.encode(), MNT_FORCE)     # in use, perhaps: all that wait are sent on
        while self.opened:
            try:
                os.close(self.opened.pop())
            except OSError:     # one of those
                pass
        eventually(lambda: LIBC.umount2(self.path.encode(), MNT_DETACH) == 0, 'the file is let go of')
        self.stopping = True
        self.thread.join()
        os.close(self.dev)
        os.unlink(self.path)

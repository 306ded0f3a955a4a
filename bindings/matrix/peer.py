# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""A peer as the driver sees it: a process that answers lines."""

import errno
import os
import select
import signal
import subprocess
import time

PATIENCE = 60  # seconds for an answer beyond what the command itself may take


class PeerDied(Exception):
    """A peer that does not answer, or ended."""


class PeerError(Exception):
    """A peer's `err`."""

    def __init__(self, command, number, text):
        super().__init__(f"{command}: {errno.errorcode.get(number, number)}: {text}")
        self.errno = number


class Peer:
    def __init__(self, name, program, verbose=False):
        self.name, self.verbose, self.buf = name, verbose, b""
        self.proc = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.opened = False
        language, version, *features = self.ask("hello")
        self.language, self.version, self.features = language, version, set(features)

    def alive(self):
        return self.proc.poll() is None

    def tell(self, *words):
        """Send a command; answer() has to follow."""
        self.command = " ".join(str(w) for w in words)
        if self.verbose:
            print(f"    {self.name} < {self.command[:200]}")
        try:
            self.proc.stdin.write(self.command.encode() + b"\n")
            self.proc.stdin.flush()
        except OSError as err:
            raise PeerDied(f"{self.name}: {self.command}: {err}") from None

    def answer(self):
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self.buf:
            left = deadline - time.monotonic()
            if left <= 0:
                self.kill()
                raise PeerDied(f"{self.name}: {self.command}: no answer within {PATIENCE} s")
            if not select.select([self.proc.stdout], [], [], left)[0]:
                continue
            got = os.read(self.proc.stdout.fileno(), 1 << 16)
            if not got:
                raise PeerDied(f"{self.name}: {self.command}: ended with status {self.proc.wait()}")
            self.buf += got
        line, _, self.buf = self.buf.partition(b"\n")
        if self.verbose:
            print(f"    {self.name} > {line.decode(errors='replace')[:200]}")
        word, _, rest = line.decode().partition(" ")
        if word == "ok":
            return rest.split()
        number, _, text = rest.partition(" ")
        if word != "err" or not number.isdigit():
            raise PeerDied(f"{self.name}: {self.command}: neither ok nor err: {line!r}")
        raise PeerError(f"{self.name}: {self.command}", int(number), text)

    def ask(self, *words):
        self.tell(*words)
        return self.answer()

    def open(self, uri, host=False):
        devid, gid = self.ask("open", uri, *(["host"] if host else []))
        self.opened, self.devid, self.gid = True, devid, gid

    def forget(self):
        """Close the device, if one is open."""
        if self.opened:
            self.opened = False
            self.ask("close")

    def kill(self):
        self.proc.kill()
        self.proc.wait()
        self.opened = False

    def end(self):
        """False if it ended otherwise than told, or than killed by us."""
        if self.alive():
            try:
                self.ask("quit")
            except (PeerDied, PeerError):
                pass
            self.proc.stdin.close()
            try:
                self.proc.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
        self.proc.stdout.close()
        return self.proc.returncode in (0, -signal.SIGKILL)

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Byte streams for programs that block."""

from __future__ import annotations

import collections
import errno
import io
import select
import time
from types import TracebackType
from typing import TYPE_CHECKING

from . import _link
from ._aio import reset
from ._errors import BrokenPipeError, error

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from ._core import Device

_LOOK_S = 0.2  # how often a dialler looks whether the listener is still there
_HOST_S = 2.0  # and a listener, whether its host is


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


class Stream(io.RawIOBase):
    """One end of a byte stream: a raw file over two rings.  Made by `connect()` and `Listener.accept()`.

    Reading gives what is there, b"" at the end; `io.BufferedReader(stream)` and `makefile()` work as for sockets.
    `timeout`, in seconds, bounds each wait.  One thread may read while another writes.
    """

    def __init__(self, link: _link.Link, timeout: float | None = None) -> None:
        super().__init__()
        self._link = link
        self._at = 0
        self._shut = False
        self.timeout = timeout
        self._chunk = max(1, min(link.tx.max_record, 1 << 16))

    @property
    def device(self) -> Device:
        """The device whose regions carry the stream."""
        return self._link.device

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def _record(self) -> memoryview | None:
        """What is left of the record in front, never empty; None at the end."""
        rx = self._link.rx
        if self.closed:
            raise ValueError("the stream is closed")
        while True:
            try:
                view = rx.peek()
            except BrokenPipeError:
                return None
            if view is None:
                try:
                    rx.wait(self.timeout)
                except BrokenPipeError:
                    if not rx.ended() and rx.peek() is None:
                        raise reset("the peer") from None
            elif len(view) > self._at:
                return view
            else:
                self._consume(view, 0)

    def _consume(self, view: memoryview, n: int) -> None:
        self._at += n
        if self._at >= len(view):
            self._at = 0
            view.release()
            self._link.rx.release()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into a buffer what is there, waiting for something; 0 at the end."""
        with memoryview(buffer).cast("B") as target:
            if not len(target):
                return 0
            view = self._record()
            if view is None:
                return 0
            n = min(len(target), len(view) - self._at)
            target[:n] = view[self._at : self._at + n]
            self._consume(view, n)
            return n

    def _send(self, part: memoryview) -> None:
        if self.closed:
            raise ValueError("the stream is closed")
        if self._shut:
            raise error(errno.EPIPE, "shutdown() was called: nothing more can be written")
        self._link.tx.send(part, self.timeout)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of the data, and return how much; see `sendall()`."""
        with memoryview(data).cast("B") as source, source[: self._chunk] as part:
            if len(part):
                self._send(part)
            return len(part)

    def sendall(self, data: ReadableBuffer, /) -> None:
        """Write all of the data."""
        with memoryview(data).cast("B") as source:
            for at in range(0, len(source), self._chunk):
                with source[at : at + self._chunk] as part:
                    self._send(part)

    def recv(self, n: int, /) -> bytes:
        """Read up to n bytes; b"" at the end."""
        return self.read(n) or b""

    def shutdown(self) -> None:
        """No more will be written: the peer reads the end.  Reading goes on."""
        self._shut = True
        self._link.tx.close()

    def close(self) -> None:
        """Close both directions."""
        if not self.closed:
            super().close()
            self._link.close()

    def __repr__(self) -> str:
        return f"<ism.Stream {'closed' if self.closed else f'over {self.device!r}'}>"


class Listener:
    """Where streams are accepted.  Made by `listen()`; give its `token` or `ref` to those who may connect."""

    def __init__(self, device: Device) -> None:
        self._region = _link.make_listener(device)
        self._slots = _link.slots_of(self._region)
        self._waiting: collections.deque[int] = collections.deque()

    @property
    def token(self) -> int:
        """What to connect to.  Treat it as a password."""
        return self._region.token

    @property
    def ref(self) -> str:
        """The same as text."""
        return self._region.ref

    def fileno(self) -> int:
        """Readable when `accept(0)` may have something."""
        return self._region.fileno()

    def accept(self, timeout: float | None = None) -> Stream:
        """The next stream; TimeoutError after `timeout` seconds, BlockingIOError where that is 0."""
        deadline = _deadline(timeout)
        device = self._region.device
        while True:
            while self._waiting:
                link = _link.take(device, self._waiting.popleft())
                if link is not None:
                    return Stream(link)
            self._region.clear()
            self._waiting.extend(_link.take_tokens(self._region, self._slots))
            if not self._waiting:
                self._wait(_left(deadline), timeout == 0)

    def _wait(self, left: float | None, at_once: bool) -> None:
        if left is not None and left <= 0:
            if at_once:
                raise error(errno.EAGAIN, "nobody wants to connect")
            raise error(errno.ETIMEDOUT, "nobody wanted to connect")
        poll = select.poll()
        poll.register(self._region.fileno(), select.POLLIN)
        # Not Region.wait(): it would end when the last dialler goes.
        if not poll.poll(1000 * min(_HOST_S, _HOST_S if left is None else left)):
            self._region.peers()  # the host is gone: nobody can connect any more

    def close(self) -> None:
        self._region.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def listen(device: Device) -> Listener:
    """Accept streams on a device."""
    return Listener(device)


def connect(
    device: Device, token: int | str, *, timeout: float | None = None, size: int = _link.DEFAULT_SIZE
) -> Stream:
    """Connect to a listener by its token or reference; `size` bytes of memory for each direction.

    Raises ConnectionRefusedError where nobody listens any more, TimeoutError.
    """
    dialling = _link.Dialling(device, token, size)
    deadline = _deadline(timeout)
    try:
        while not dialling.answered():
            left = _left(deadline)
            if left == 0:
                raise error(errno.ETIMEDOUT, "the listener did not accept in time")
            try:
                dialling.link.rx.wait(_LOOK_S if left is None else min(left, _LOOK_S))
            except TimeoutError:
                pass
    except BaseException:
        dialling.give_up()
        raise
    return Stream(dialling.link)

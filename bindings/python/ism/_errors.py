# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""What the library's errors are in Python: OSErrors, with errno, and in words what was wrong."""

from __future__ import annotations

import builtins
import errno


class Error(OSError):
    """A call failed: `errno` says how, `strerror` what was wrong, and what was expected instead."""


class NotFoundError(Error, FileNotFoundError):
    """ENOENT: no such region, or not for this device to know."""


class AccessError(Error, PermissionError):
    """EACCES, EPERM, EROFS: a right is missing."""


class AgainError(Error, BlockingIOError):
    """EAGAIN: it would have to wait, and was told not to."""


class TimeoutError(Error, builtins.TimeoutError):
    """ETIMEDOUT: not in time."""


class InterruptedError(Error, builtins.InterruptedError):
    """EINTR: Device.interrupt() was called."""


class BrokenPipeError(Error, builtins.BrokenPipeError):
    """EPIPE: the peer has closed its end, has detached, or died."""


class ConnectionResetError(Error, builtins.ConnectionResetError):
    """ECONNRESET: the other end of a ring or a stream went without closing it."""


class ConnectionRefusedError(Error, builtins.ConnectionRefusedError):
    """ECONNREFUSED: nobody listens there, or takes no more."""


class HostDownError(Error):
    """EHOSTDOWN: the host of the domain is gone."""


class ProtocolError(Error):
    """EPROTO: what a peer wrote into shared memory, or said, is wrong."""


class NoSpaceError(Error):
    """ENOSPC: a quota, or the window of addresses, is used up."""


class ClosedError(Error):
    """EBADF: the object was closed."""


_classes: dict[int, type[Error]] = {
    errno.ENOENT: NotFoundError,
    errno.EACCES: AccessError,
    errno.EPERM: AccessError,
    errno.EROFS: AccessError,
    errno.EAGAIN: AgainError,
    errno.ETIMEDOUT: TimeoutError,
    errno.EINTR: InterruptedError,
    errno.EPIPE: BrokenPipeError,
    errno.ECONNRESET: ConnectionResetError,
    errno.ECONNREFUSED: ConnectionRefusedError,
    errno.EHOSTDOWN: HostDownError,
    errno.EPROTO: ProtocolError,
    errno.ENOSPC: NoSpaceError,
    errno.EBADF: ClosedError,
}


def error(number: int, text: str) -> Error:
    """The exception for an errno."""
    return _classes.get(number, Error)(number, text)

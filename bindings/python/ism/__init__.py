# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Memory shared on demand and named by a token: the semantics of virtio-ism.

    import ism

    with ism.open() as dev, dev.alloc(2 << 20) as region:
        region[:5] = b"hello"
        print("attach", region.ref)          # in another process: dev.attach(ref)
        region.notify()                      # rings the other referrers
        region.wait(timeout)                 # until one of them rings

Regions are buffers: memoryview, numpy and struct work on the shared memory itself.  Rings carry records, streams
bytes; doorbells, events and streams work in asyncio.  Errors are OSErrors, with words that say what was wrong.
"""

from ._aio import EventStream
from ._core import Device, Region, Ring, close_many, open, parse_ref, version
from ._errors import (
    AccessError,
    AgainError,
    BrokenPipeError,
    ClosedError,
    ConnectionRefusedError,
    ConnectionResetError,
    Error,
    HostDownError,
    InterruptedError,
    NoSpaceError,
    NotFoundError,
    ProtocolError,
    TimeoutError,
)
from ._stream import Listener, Stream, connect, listen
from ._transport import RingTransport, Server, create_connection, create_server, open_connection, start_server
from ._types import (
    DeviceEntry,
    DomainInfo,
    Event,
    EventKind,
    HostKind,
    Info,
    Quota,
    ReferrerEntry,
    RegionEntry,
    RegionFlags,
    Rights,
    Stats,
    UserEntry,
)

READ = Rights.READ
WRITE = Rights.WRITE
ATTACH = Rights.ATTACH
MANAGE = Rights.MANAGE

__all__ = [
    "ATTACH",
    "AccessError",
    "AgainError",
    "BrokenPipeError",
    "ClosedError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "Device",
    "DeviceEntry",
    "DomainInfo",
    "Error",
    "Event",
    "EventKind",
    "EventStream",
    "HostDownError",
    "HostKind",
    "Info",
    "InterruptedError",
    "Listener",
    "MANAGE",
    "NoSpaceError",
    "NotFoundError",
    "ProtocolError",
    "Quota",
    "READ",
    "ReferrerEntry",
    "Region",
    "RegionEntry",
    "RegionFlags",
    "Rights",
    "Ring",
    "RingTransport",
    "Server",
    "Stats",
    "Stream",
    "TimeoutError",
    "UserEntry",
    "WRITE",
    "close_many",
    "connect",
    "create_connection",
    "create_server",
    "listen",
    "open",
    "open_connection",
    "parse_ref",
    "start_server",
    "version",
]

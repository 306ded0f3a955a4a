# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Streams of two rings, and how two ends find each other: bindings/conformance.md says what lies in the memory."""

from __future__ import annotations

import errno
import random
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

from ._errors import Error, error
from ._types import Rights

if TYPE_CHECKING:
    from ._core import Device, Region, Ring

GREETING = b"ISMSTRM1"
_LISTENER = int.from_bytes(b"ISMLSTN1", sys.byteorder)
_SLOTS_AT = 64
_SLOTS_MAX = 1024
DEFAULT_SIZE = 1 << 18
_PEER = Rights.READ | Rights.WRITE | Rights.ATTACH


class Link(NamedTuple):
    """The two rings of one end."""

    rx: Ring
    tx: Ring

    @property
    def device(self) -> Device:
        return self.rx.region.device

    def close(self) -> None:
        """Close both ends, and let go of both regions."""
        for ring in (self.tx, self.rx):
            region = ring.region
            ring.close()
            region.close()


def ended(ring: Ring) -> bool:
    """After an EPIPE: did the writer close its end, rather than die?"""
    return ring.ended()


# -------------------------------------------------------------------- the listener's region


def make_listener(device: Device) -> Region:
    region = device.alloc(device.info().chunk_size, vector=True)
    slots = min(_SLOTS_MAX, (region.size - _SLOTS_AT) // 8)
    region[8:12] = struct.pack("=I", slots)
    region.store(0, _LISTENER)  # last: who finds it finds the rest
    return region


def slots_of(region: Region) -> int:
    """How many there are, or ProtocolError."""
    slots: int = struct.unpack("=I", region[8:12])[0]
    if region.size < _SLOTS_AT + 8 or region.load(0) != _LISTENER:
        raise error(errno.EPROTO, "nobody listens in this region: it does not begin with ISMLSTN1")
    if slots < 1 or slots > _SLOTS_MAX or _SLOTS_AT + 8 * slots > region.size:
        raise error(errno.EPROTO, f"the listener says it has {slots} slots: expected 1 to {_SLOTS_MAX}")
    return slots


def put_token(listener: Region, token: int) -> int:
    """Leave a token for the listener, and ring; the slot it lies in."""
    slots = slots_of(listener)
    first = random.randrange(slots)
    for i in range(slots):
        at = _SLOTS_AT + 8 * ((first + i) % slots)
        if listener.compare_exchange(at, 0, token):
            listener.notify()
            return at
    raise error(errno.ECONNREFUSED, f"all {slots} slots of the listener are taken")


def take_tokens(listener: Region, slots: int) -> list[int]:
    """What diallers have left."""
    with listener.view()[_SLOTS_AT : _SLOTS_AT + 8 * slots] as view:
        if not any(view):
            return []
    tokens = (listener.exchange(_SLOTS_AT + 8 * i, 0) for i in range(slots))
    return [token for token in tokens if token]


# -------------------------------------------------------------------- dial


class Dialling:
    """One end of a stream, until the other end has taken it."""

    def __init__(self, device: Device, token: int | str, size: int) -> None:
        self.listener = device.attach(token)
        self._slot = -1
        regions: list[Region] = []
        try:
            slots_of(self.listener)
            creator = self._creator()
            regions = device.alloc_many(size, 2, private=True)
            for region in regions:
                if creator != device.info().devid:  # else it is ours already
                    region.grant(creator, _PEER)
            self.link = Link(regions[1].create_ring("reader"), regions[0].create_ring("writer"))
            self.link.tx.send(GREETING + struct.pack("=Q", regions[1].token), 0)
            self._slot = put_token(self.listener, regions[0].token)
        except BaseException:
            for region in (self.listener, *regions):
                region.close()
            raise

    def _creator(self) -> int:
        """The device that listens: only it is let in."""
        for referrer in self.listener.referrers():
            if referrer.creator:
                return referrer.devid
        raise error(errno.ECONNREFUSED, "the listener has gone")

    def _listener_gone(self) -> bool:
        try:
            self.listener.wait(0)
        except (BrokenPipeError, Error) as err:
            if err.errno == errno.EPIPE:
                return True
            raise
        return False

    def answered(self) -> bool:
        """Whether the other end has taken it; raises if nobody is there to."""
        try:
            answer = self.link.rx.recv(0)
        except BlockingIOError:
            if not self._listener_gone():
                return False
            # One that accepts once answers, and goes: what it left is there now.
            try:
                answer = self.link.rx.recv(0)
            except BlockingIOError:
                raise error(errno.ECONNREFUSED, "the listener has gone") from None
        if answer != GREETING:
            raise error(errno.EPROTO, "the other end's greeting is wrong")
        self.listener.close()
        return True

    def give_up(self) -> None:
        if not self.listener.closed:
            if self._slot >= 0:
                self.listener.compare_exchange(self._slot, self.link.tx.region.token, 0)
            self.listener.close()
        self.link.close()


# -------------------------------------------------------------------- accept


def take(device: Device, token: int) -> Link | None:
    """The other end of what a dialler offers; None if that is nothing we can take."""
    regions: list[Region] = []
    try:
        regions.append(device.attach(token))
        rx = regions[0].attach_ring("reader")
        greeting = rx.recv(0)
        if len(greeting) != 16 or greeting[:8] != GREETING:
            raise error(errno.EPROTO, "no greeting")
        regions.append(device.attach(struct.unpack("=Q", greeting[8:])[0]))
        tx = regions[1].attach_ring("writer")
        tx.send(GREETING, 0)
        return Link(rx, tx)
    except OSError as err:
        for region in regions:
            region.close()
        if err.errno in (errno.EHOSTDOWN, errno.EOWNERDEAD, errno.EBADF, errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        return None

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Flags, events and descriptions."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from . import _ism

if TYPE_CHECKING:
    from ._core import Region


class Rights(enum.IntFlag):
    """What a device may do with a region."""

    NONE = 0
    READ = _ism.READ
    WRITE = _ism.WRITE
    ATTACH = _ism.ATTACH
    MANAGE = _ism.MANAGE
    #: In a grant: clear the default as well, so that only devices with a grant remain.
    CLEAN_DEFAULT = _ism.CLEAN_DEFAULT


class RegionFlags(enum.IntFlag):
    """Which of the wishes made at allocation a region got."""

    PRIVATE = _ism.ALLOC_PRIVATE
    HUGE = _ism.ALLOC_HUGE
    NODE = _ism.ALLOC_NODE
    PREFAULT = _ism.ALLOC_PREFAULT
    VECTOR = _ism.ALLOC_VECTOR


class EventKind(enum.IntFlag):
    """What an event tells: one of these.  A newer library may tell of others."""

    #: A peer rang the region's doorbell.
    UPDATE = _ism.EVENT_UPDATE
    #: A peer attached the region.
    ATTACH = _ism.EVENT_ATTACH
    #: A peer detached it, or died.
    DETACH = _ism.EVENT_DETACH
    #: The region has a successor.
    MOVED = _ism.EVENT_MOVED
    #: The host is gone: tokens have ended, memory stays.
    RESET = _ism.EVENT_RESET
    #: Events were lost: list the peers anew.
    LOST = _ism.EVENT_LOST


class HostKind(enum.IntEnum):
    """Who stands behind a device."""

    PRIVATE = _ism.HOST_PRIVATE
    EMBEDDED = _ism.HOST_EMBEDDED
    DAEMON = _ism.HOST_DAEMON
    DEVICE = _ism.HOST_DEVICE


class Event(NamedTuple):
    """Something that happened to a device."""

    kind: EventKind
    #: None for RESET and LOST, and if the handle was closed since.
    region: Region | None
    #: Who rang, came or went; 0: not known.
    devid: int
    #: ATTACH, DETACH: other referrers after it.
    peers: int
    token: int

    def __repr__(self) -> str:  # a token is a password
        return f"Event({self.kind.name}, {self.region!r}, devid={self.devid}, peers={self.peers})"


class Info(NamedTuple):
    """What a device is."""

    #: The sharing domain.
    gid: int
    #: This device in it, never 0.
    devid: int
    chunk_size: int
    notify_size: int
    window_size: int
    max_region: int
    max_regions: int
    host: HostKind
    #: Process of the emulated host; 0: unknown.
    host_pid: int
    features: int
    backend: str
    path: str


class Stats(NamedTuple):
    """Counters of a device since it was opened."""

    notifies: int
    rings_direct: int
    rings_host: int
    wakes_sent: int
    wakes_suppressed: int
    spins_paid: int
    spins_unpaid: int
    sleeps: int
    control_calls: int
    links: int
    regions: int
    bytes: int


class DeviceEntry(NamedTuple):
    """A device of the domain."""

    devid: int
    window_size: int
    bytes: int
    failed: int
    regions: int
    uid: int
    pid: int
    self: bool
    name: str


class RegionEntry(NamedTuple):
    """A region of the domain."""

    serial: int
    #: 0: not for this device to know.
    token: int
    region_size: int
    requested_size: int
    creator: int
    creator_uid: int
    referrers: int
    default_rights: Rights
    ended: bool
    #: Token; 0: none, or not for this device to know.
    successor: int
    replaced: bool

    def __repr__(self) -> str:  # a token is a password
        shown = (f"{k}={v!r}" for k, v in self._asdict().items() if k not in ("token", "successor"))
        return f"RegionEntry({', '.join(shown)})"


class ReferrerEntry(NamedTuple):
    """A device that refers to a region."""

    devid: int
    uid: int
    #: Rights with which it attached, and those it has now.
    attached: Rights
    rights: Rights
    creator: bool
    #: It attached with more than it may do now: no doorbells.
    shut_out: bool


class UserEntry(NamedTuple):
    """A user of the domain, with all its devices."""

    uid: int
    devices: int
    #: That these refer to, each counted for each device.
    regions: int
    #: That these have given to single devices.
    grants: int
    bytes: int
    #: Attaches that were refused, and calls that a quota was against, ever.
    failed: int
    over_quota: int


class Quota(NamedTuple):
    """What one device, or one user with all its devices, may have; 0: as good as no limit."""

    bytes: int = 0
    regions: int = 0
    grants: int = 0
    attach_rate: int = 0
    notify_rate: int = 0
    #: Of one user; no meaning for a device.
    devices: int = 0


class DomainInfo(NamedTuple):
    """What a domain is, what its host allows, and what has happened in it."""

    gid: int
    #: Now, and so the next two.
    devices: int
    regions: int
    bytes: int
    host: HostKind
    host_uid: int
    #: Of the host's libism.
    version: str
    #: Of each device, and of all devices of a user together.
    device_quota: Quota
    user_quota: Quota
    #: The counters below are told: to the host's user and root; else they are 0.
    counted: bool
    #: Since the host began, and so all that follow.
    devices_ever: int
    allocs: int
    attaches: int
    detaches: int
    failed: int
    over_quota: int
    commands: int
    rings: int
    kicks: int

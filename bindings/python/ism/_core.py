# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Devices, regions and rings."""

from __future__ import annotations

import collections
import contextlib
import errno
from types import TracebackType
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Literal, cast, overload

from . import _ism
from ._errors import BrokenPipeError, error
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

if TYPE_CHECKING:
    from ._aio import EventStream, Pump

_READ_WRITE = Rights.READ | Rights.WRITE
_BACKLOG_MAX = 1024


def open(
    uri: str | None = None,
    *,
    host: bool = True,
    name: str | None = None,
    spin_us: int | None = None,
    window_size: int = 0,
    timeout: float = 0.0,
    restart: float | None = None,
) -> Device:
    """Open a device: become an endpoint of a sharing domain.

    `uri` is "loop:[NAME]", "emu:[PATH]" or "dev:[PATH]"; without one $ISM_DEVICE decides, then /dev/ism, then "emu:".
    With `host=False` it fails rather than host an emulated domain in this process.  `name` is a label in `ism ls`.
    `spin_us` is the longest spin before a sleep, 0 for none; `timeout` the bound of a control call in seconds, 0
    for the default of ten.  `restart` is how long calls wait for a daemon that is restarted, in seconds, 0 for not
    at all; the default is five.

    Raises an `Error`, which is an OSError, with words that say what was wrong.
    """
    spin = 0 if spin_us is None else spin_us or _ism.SPIN_NONE
    flags = 0 if host else _ism.OPEN_NO_HOST
    milliseconds = max(1, int(timeout * 1000)) if timeout > 0 else 0
    restart_ms = 0 if restart is None else max(1, int(restart * 1000)) if restart > 0 else _ism.RESTART_NONE
    return _ism.open(Device, uri, flags, spin, window_size, milliseconds, restart_ms, name)


def parse_ref(text: str) -> tuple[int, int]:
    """Read a region's reference, "ism:GID/TOKEN", or a bare token in hexadecimal: (gid or 0, token)."""
    return _ism.parse_ref(text)


def version() -> str:
    """The version of the library that runs."""
    return _ism.version()


def close_many(regions: Iterable[Region]) -> None:
    """Close regions, in one round trip for each 64 of one device that follow each other.

    Raises BufferError, and closes none, while a buffer shows the memory of one of them.  What is closed already stays so.
    """
    all = tuple(regions)
    _ism.close_many(all)
    for region in all:
        region._left()


class Device(_ism.Device):
    """One endpoint of a sharing domain.  Made by `open()`.

    A context manager; `close()` detaches all its regions.  Calls are safe from any thread.
    """

    _pump: Pump | None = None
    _backlog: collections.deque[Event] | None = None

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close_quietly(self, value)

    def __repr__(self) -> str:
        if self.closed:
            return "<ism.Device closed>"
        i = self.info()
        return f"<ism.Device {i.devid} at {i.backend}:{i.path}>"

    def close(self) -> None:
        """Close the device, all its regions and rings, and end the waits on it.

        Raises BufferError, and closes nothing, while a buffer shows the memory of one of its regions.
        """
        super().close()
        if self._pump is not None:
            self._pump.close()

    # ---------------------------------------------------------------- regions

    def alloc(
        self,
        size: int,
        *,
        private: bool = False,
        huge: bool = False,
        node: int | None = None,
        prefault: bool = False,
        vector: bool = False,
        required: bool = False,
        pooled_for: int | None = None,
    ) -> Region:
        """Allocate a region of at least `size` bytes, all zero.

        Whoever has its token may attach it and read and write, unless it is `private`: then nobody may, before
        `Region.grant()`.  `huge`, `node` and `prefault` are wishes, see `Region.flags`, unless `required`.  `vector`
        gives the handle a doorbell descriptor of its own.  `pooled_for`: the id of the one device that may attach it;
        the memory may be some that both shared before, with what was in it, which is much cheaper than fresh pages.
        """
        return self.alloc_many(
            size,
            1,
            private=private,
            huge=huge,
            node=node,
            prefault=prefault,
            vector=vector,
            required=required,
            pooled_for=pooled_for,
        )[0]

    def alloc_many(
        self,
        size: int,
        count: int,
        *,
        private: bool = False,
        huge: bool = False,
        node: int | None = None,
        prefault: bool = False,
        vector: bool = False,
        required: bool = False,
        pooled_for: int | None = None,
    ) -> list[Region]:
        """Allocate up to 64 regions of the same size in one round trip: all or none."""
        flags = (
            private * _ism.ALLOC_PRIVATE
            | huge * _ism.ALLOC_HUGE
            | (node is not None) * _ism.ALLOC_NODE
            | prefault * _ism.ALLOC_PREFAULT
            | vector * _ism.ALLOC_VECTOR
            | required * _ism.ALLOC_REQUIRED
            | (pooled_for is not None) * _ism.ALLOC_POOLED
        )
        return _ism.alloc(Region, self, size, count, flags, node or 0, pooled_for or 0)

    def attach(
        self, token: int | str, *, readonly: bool = False, prefault: bool = False, vector: bool = False
    ) -> Region:
        """Attach the region that a token names, or a reference as `Region.ref` gives it.

        With `readonly` its memory is mapped read-only, and so are all views of it.
        """
        flags = prefault * _ism.ATTACH_PREFAULT | vector * _ism.ATTACH_VECTOR
        return _ism.attach(Region, self, self._token(token), Rights.READ if readonly else _READ_WRITE, flags)

    def attach_many(
        self, tokens: Iterable[int | str], *, readonly: bool = False, prefault: bool = False, vector: bool = False
    ) -> list[Region]:
        """Attach up to 64 regions in one round trip: all or none.  `close_many()` lets go of them at once, too.

        A token that is there twice gives two handles.
        """
        flags = prefault * _ism.ATTACH_PREFAULT | vector * _ism.ATTACH_VECTOR
        known = tuple(self._token(token) for token in tokens)
        return _ism.attach_many(Region, self, known, Rights.READ if readonly else _READ_WRITE, flags)

    def shut_out(self, token: int | str, devices: Iterable[Device | int] = ()) -> Region:
        """Give a region a successor without some devices, which lose all that they have on it.

        The host's user and root may do that, who need not refer to the region; see `Region.replace()` for those who
        manage it.  The successor is read-only, and to be kept until one of the others has gone over.
        """
        devids = tuple(d.devid if isinstance(d, Device) else d for d in devices)
        return _ism.shut_out(Region, self, self._token(token), devids)

    def _token(self, token: int | str) -> int:
        if isinstance(token, str):
            gid, token = _ism.parse_ref(token)
            if gid not in (0, self.info().gid):
                raise error(errno.ENOENT, f"the reference is of domain {gid:016x}, this device of another")
        return token

    # ---------------------------------------------------------------- events

    def next_event(self) -> Event | None:
        """Take one event without waiting; None if there is none."""
        if self._backlog:
            return self._backlog.popleft()
        return self._take_event()

    def wait_events(self, timeout: float | None = None, *, max: int = 64) -> list[Event]:
        """Wait for events; [] after `timeout` seconds.

        A region that has a vector of its own, or on which a thread waits, is not reported as UPDATE.  Raises
        InterruptedError after `interrupt()`.
        """
        if self._backlog:
            return [self._backlog.popleft() for _ in range(min(max, len(self._backlog)))]
        return [_event(e) for e in self._wait_events(max, timeout)]

    def events(self) -> EventStream:
        """Events for `async for`, from now on, in the running event loop."""
        from ._aio import EventStream, pump_of

        return EventStream(pump_of(self), None)

    def _take_event(self) -> Event | None:
        raw = self._next_event()
        return None if raw is None else _event(raw)

    def _keep_event(self, event: Event) -> None:
        """Somebody took this event who has no use for it."""
        if self._backlog is None:
            self._backlog = collections.deque()
        if len(self._backlog) >= _BACKLOG_MAX:
            if self._backlog[-1].kind is EventKind.LOST:
                return
            event = Event(EventKind.LOST, None, 0, 0, 0)
        self._backlog.append(event)

    # ---------------------------------------------------------------- looking

    def info(self) -> Info:
        """What the device is: its domain, its id, limits, host."""
        i = self._info()
        i["host"] = HostKind(i["host"])
        return Info(**i)

    @property
    def devid(self) -> int:
        """This device's id in its domain."""
        return self.info().devid

    def stats(self) -> Stats:
        """Counters since it was opened."""
        return Stats(**self._stats())

    def domain(self) -> DomainInfo:
        """What the domain is, what its host allows, and what has happened in it."""
        d = self._domain()
        d["host"], d["counted"] = HostKind(d["host"]), bool(d["counted"])
        d["device_quota"], d["user_quota"] = Quota(**d["device_quota"]), Quota(**d["user_quota"])
        return DomainInfo(**d)

    def users(self) -> list[UserEntry]:
        """The users of the domain, as far as this device may see."""
        return [UserEntry(**e) for e in self._list(3, 0)]

    def devices(self) -> list[DeviceEntry]:
        """The devices of the domain, as far as this one may see."""
        entries = self._list(0, 0)
        for e in entries:
            e["self"] = bool(e["self"])
        return [DeviceEntry(**e) for e in entries]

    def regions(self) -> list[RegionEntry]:
        """The regions of the domain, as far as this device may see."""
        entries = self._list(1, 0)
        for e in entries:
            e["default_rights"], e["ended"] = Rights(e["default_rights"]), bool(e["ended"])
            e["replaced"] = bool(e["replaced"])
        return [RegionEntry(**e) for e in entries]


class Region(_ism.Region):
    """A handle of a region.  Made by `Device.alloc()` and `Device.attach()`.

    It is a buffer: `memoryview(r)`, `numpy.frombuffer(r, ...)`, `struct.pack_into(..., r, ...)` work on the shared
    memory itself, without copying, read-only where it is attached so.  While such a view lives, the region cannot be
    closed (BufferError); a view keeps the region and its device alive.  `r[a:b]` copies out, `r[a:b] = data` in.

    A peer may write at any time: copy what you check, and use the copy.
    """

    def __enter__(self) -> Region:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close_quietly(self, value)

    def __repr__(self) -> str:  # without the token, which is a password
        if self.closed:
            return "<ism.Region closed>"
        return f"<ism.Region of {self.size} bytes, {self.rights.name}>"

    if TYPE_CHECKING:

        @property
        def device(self) -> Device: ...

    @property
    def rights(self) -> Rights:
        """The rights of this handle."""
        return Rights(self._rights)

    @property
    def flags(self) -> RegionFlags:
        """Which of the wishes made at allocation it got."""
        return RegionFlags(self._flags)

    @property
    def readonly(self) -> bool:
        """Whether its memory is mapped read-only."""
        return not self._rights & Rights.WRITE

    def view(self, format: str = "B") -> memoryview:
        """The memory as a memoryview of items as `struct` and `memoryview.cast()` name them."""
        # Any: not every type checker knows that this class is a buffer.
        whole: Any = memoryview(cast(Any, self))
        view: memoryview = whole if format == "B" else whole.cast(format)
        return view

    @overload
    def __getitem__(self, key: int) -> int: ...

    @overload
    def __getitem__(self, key: slice) -> bytes: ...

    def __getitem__(self, key: int | slice) -> int | bytes:
        with self.view() as whole:
            if isinstance(key, slice):
                with whole[key] as part:
                    return bytes(part)
            return whole[key]

    def __setitem__(self, key: int | slice, value: Any) -> None:
        with self.view() as whole:
            whole[key] = value

    def close(self) -> None:
        """Let go of the handle; the last one of a region unmaps it and tells the peers.

        Raises BufferError, and closes nothing, while a buffer shows its memory.
        """
        super().close()
        self._left()

    def _left(self) -> None:
        pump = self.device._pump
        if pump is not None:
            pump.region_closed(self)

    # ---------------------------------------------------------------- rights, peers

    def grant(self, device: Device | int, rights: Rights) -> None:
        """Set what one device may do with the region; Rights.NONE refuses it even where the default would allow."""
        self._grant(device.devid if isinstance(device, Device) else device, rights)

    def grant_default(self, rights: Rights) -> None:
        """Set what devices without a grant of their own may do with the region."""
        self._grant(None, rights)

    def replace(
        self,
        *,
        huge: bool = False,
        node: int | None = None,
        prefault: bool = False,
        vector: bool = False,
        required: bool = False,
    ) -> Region:
        """Make a successor, to shut out those whose rights were taken with `grant()`.

        It has fresh memory of the same size, a token of its own and the rights that are left.  The other referrers that
        may attach it get `EventKind.MOVED`, and go over with `successor()` when it suits them; this region stays as it
        is until it is closed.
        """
        flags = (
            huge * _ism.ALLOC_HUGE
            | (node is not None) * _ism.ALLOC_NODE
            | prefault * _ism.ALLOC_PREFAULT
            | vector * _ism.ALLOC_VECTOR
            | required * _ism.ALLOC_REQUIRED
        )
        return _ism.replace(Region, self, flags, node or 0)

    def successor(self, *, readonly: bool = False, prefault: bool = False, vector: bool = False) -> Region:
        """Attach the successor of this region, after `EventKind.MOVED`; FileNotFoundError if there is none for us."""
        flags = prefault * _ism.ATTACH_PREFAULT | vector * _ism.ATTACH_VECTOR
        return _ism.successor(Region, self, Rights.READ if readonly else _READ_WRITE, flags)

    def referrers(self) -> list[ReferrerEntry]:
        """The devices that refer to the region, and their rights."""
        return [
            ReferrerEntry(
                f["devid"],
                f["uid"],
                Rights(f["attached"]),
                Rights(f["rights"]),
                bool(f["creator"]),
                bool(f["shut_out"]),
            )
            for f in self.device._list(2, self.token)
        ]

    # ---------------------------------------------------------------- doorbell

    async def rung(self) -> None:
        """Wait in the running event loop until a peer rings.

        Raises BrokenPipeError when the last peer has detached or died.
        """
        from ._aio import rung

        await rung(self)

    def events(self) -> EventStream:
        """This region's events for `async for`, from now on, in the running event loop."""
        from ._aio import EventStream, pump_of

        return EventStream(pump_of(self.device), self)

    # ---------------------------------------------------------------- rings

    def create_ring(self, role: Literal["reader", "writer"], *, offset: int = 0, length: int = 0) -> Ring:
        """Make a ring in the region and be one end of it.

        Create it before the peer attaches, for example before giving the token away.
        """
        return _ism.ring(Ring, self, True, _role(role), offset, length)

    def attach_ring(self, role: Literal["reader", "writer"], *, offset: int = 0, length: int = 0) -> Ring:
        """Be the other end of a ring that is in the region."""
        return _ism.ring(Ring, self, False, _role(role), offset, length)


class Ring(_ism.Ring):
    """One end of a ring: records from one writer to one reader.  Made by `Region.create_ring()`, `attach_ring()`.

    Threads that use one end take turns.  Iterating over a reader's end gives the records as bytes until the writer
    closes its end.
    """

    if TYPE_CHECKING:

        @property
        def region(self) -> Region: ...

    def __enter__(self) -> Ring:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            try:
                yield self.recv()
            except BrokenPipeError:
                if self.ended():
                    return
                raise

    def ended(self) -> bool:
        """Reader: the writer has closed its end, and all is read."""
        try:
            self.peek()
        except BrokenPipeError:
            return True
        except ConnectionResetError:
            pass
        return False

    @contextlib.contextmanager
    def record(self, timeout: float | None = None) -> Iterator[memoryview]:
        """Reader: the next record in place, given back at the end of the block.

            with ring.record() as view:
                total += sum(view)
        """
        view = self.peek()
        while view is None:
            self.wait(timeout)
            view = self.peek()
        try:
            yield view
        finally:
            self.release()

    @contextlib.contextmanager
    def room(self, nbytes: int, timeout: float | None = None) -> Iterator[memoryview]:
        """Writer: room for a record to be filled in place, published at the end of the block.

        Nothing is published when the block raises.
        """
        view = self.reserve(nbytes)
        while view is None:
            self.wait(timeout, nbytes)
            view = self.reserve(nbytes)
        try:
            yield view
        except BaseException:
            view.release()
            raise
        self.commit(nbytes)


def _role(role: str) -> int:
    roles = {"reader": _ism.RING_READER, "writer": _ism.RING_WRITER}
    if role not in roles:
        raise ValueError(f"role {role!r}: expected 'reader' or 'writer'")
    return roles[role]


def _event(raw: tuple[int, Any, int, int, int]) -> Event:
    return Event(EventKind(raw[0]), *raw[1:])


def _close_quietly(this: Device | Region, value: BaseException | None) -> None:
    """Close at the end of a `with`.

    When an exception ends the block, its traceback keeps the views of the block's frames alive: then that exception
    counts, and what it holds is let go of with it.
    """
    try:
        this.close()
    except BufferError:
        if value is None:
            raise

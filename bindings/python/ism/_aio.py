# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Doorbells and events in asyncio.

One descriptor for each device, whatever the number of regions: the *pump* takes the device's events and hands them
to whoever waits.  It is in the loop only while somebody does.
"""

from __future__ import annotations

import asyncio
import collections
import errno
import weakref
from typing import TYPE_CHECKING, Callable

from ._errors import error
from ._types import Event, EventKind

if TYPE_CHECKING:
    from ._core import Device, Region

#: Called with True when the region was rung, with False when something else may have changed.
Watcher = Callable[[bool], None]

_AT_ONCE = 64  # events, before the loop looks at its other descriptors
_QUEUE_MAX = 1024


class Pump:
    """What takes the events of one device in one event loop."""

    def __init__(self, device: Device, loop: asyncio.AbstractEventLoop) -> None:
        self._device = weakref.ref(device)
        self.loop = loop
        self._watchers: dict[Region, list[Watcher]] = {}
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._fd = -1
        self._vectors: dict[Region, int] = {}

    # ---------------------------------------------------------------- in and out of the loop

    def idle(self) -> bool:
        return not self._watchers and not self._streams

    def _update(self) -> None:
        if self.idle() == (self._fd < 0):
            return
        if self._fd >= 0:
            self.loop.remove_reader(self._fd)
            self._fd = -1
            return
        device = self._device()
        if device is not None:
            self._fd = device.fileno()
            self.loop.add_reader(self._fd, self._ready)

    def watch(self, region: Region, watcher: Watcher) -> None:
        watchers = self._watchers.setdefault(region, [])
        watchers.append(watcher)
        if len(watchers) == 1 and region.fileno() != region.device.fileno():
            self._vectors[region] = region.fileno()
            self.loop.add_reader(region.fileno(), self._vector_ready, region)
        self._update()

    def unwatch(self, region: Region, watcher: Watcher) -> None:
        watchers = self._watchers.get(region)
        if watchers is None or watcher not in watchers:
            return
        watchers.remove(watcher)
        if not watchers:
            self._forget(region)
        self._update()

    def _forget(self, region: Region) -> None:
        del self._watchers[region]
        vector = self._vectors.pop(region, None)
        if vector is not None:
            self.loop.remove_reader(vector)

    def subscribe(self, stream: EventStream) -> None:
        self._streams.add(stream)
        self._update()

    def unsubscribe(self, stream: EventStream) -> None:
        self._streams.discard(stream)
        self._update()

    # ---------------------------------------------------------------- what arrives

    def _ready(self) -> None:
        device = self._device()
        for _ in range(_AT_ONCE):
            event = None if device is None or device.closed else device._take_event()
            if event is None:
                break
            self._deliver(event)
        self._update()

    def _vector_ready(self, region: Region) -> None:
        if not region.closed and region.clear():
            self._tell(region, True)

    def _tell(self, region: Region, rung: bool) -> None:
        for watcher in list(self._watchers.get(region, ())):
            watcher(rung)

    def look(self, region: Region) -> bool:
        """Take the doorbell without waiting, for all who watch the region.  Raises what a wait would."""
        rung = region.wait(0)
        if rung:
            self._tell(region, True)
        return rung

    def _tell_all(self) -> None:
        for region in list(self._watchers):
            self._tell(region, False)

    def _deliver(self, event: Event) -> None:
        taken = False
        for stream in list(self._streams):
            taken |= stream._offer(event)
        if event.kind is EventKind.UPDATE and event.region is not None:
            if event.region in self._watchers:
                self._tell(event.region, True)
            else:
                event.region._mark_rung()
            return
        device = self._device()
        if not taken and device is not None:
            device._keep_event(event)
        if event.region is None:
            self._tell_all()
        else:
            self._tell(event.region, False)

    # ---------------------------------------------------------------- the end

    def region_closed(self, region: Region) -> None:
        watchers = self._watchers.get(region, [])
        if watchers:
            self._forget(region)
        if not self.loop.is_closed():
            for watcher in watchers:
                self.loop.call_soon_threadsafe(watcher, False)
            self.loop.call_soon_threadsafe(self._update)

    def close(self) -> None:
        """The device is closed."""
        if self.loop.is_closed():
            return
        fds, self._fd = [self._fd, *self._vectors.values()], -1
        for fd in fds:
            if fd >= 0:
                self.loop.remove_reader(fd)
        for region, watchers in self._watchers.items():
            for watcher in watchers:
                self.loop.call_soon_threadsafe(watcher, False)
        for stream in list(self._streams):
            self.loop.call_soon_threadsafe(stream._end)
        self._watchers.clear()
        self._vectors.clear()


def pump_of(device: Device) -> Pump:
    """The device's pump in the running loop."""
    loop = asyncio.get_running_loop()
    pump = device._pump
    if pump is None or pump.loop is not loop:
        if pump is not None and not pump.idle() and not pump.loop.is_closed():
            raise RuntimeError("another event loop waits for events of this device; open a device for each loop")
        pump = device._pump = Pump(device, loop)
    return pump


async def rung(region: Region) -> None:
    """Wait until a region is rung."""
    pump = pump_of(region.device)
    if pump.look(region):
        return
    future: asyncio.Future[None] = pump.loop.create_future()

    def watcher(was_rung: bool) -> None:
        if future.done():
            if was_rung and not region.closed:
                region._mark_rung()
            return
        try:
            if was_rung:
                future.set_result(None)
            else:
                pump.look(region)
        except OSError as err:
            future.set_exception(err)

    pump.watch(region, watcher)
    try:
        # A peer may have gone, and its event been taken, before the watch.
        watcher(False)
        await future
    except asyncio.CancelledError:
        if future.done() and not future.cancelled() and future.exception() is None and not region.closed:
            region._mark_rung()  # rung in the same turn of the loop in which somebody gave up
        raise
    finally:
        pump.unwatch(region, watcher)


class EventStream:
    """The events of a device, or of one of its regions, as an asynchronous iterator.

    It gets those that arrive from its making on; also those that nobody wanted before, if it is the first.  Leaving
    the loop, or `close()`, ends it.
    """

    def __init__(self, pump: Pump, region: Region | None) -> None:
        self._pump = pump
        self._region = region
        self._queue: collections.deque[Event] = collections.deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        device = pump._device()
        if device is not None and device._backlog and region is None:
            self._queue.extend(device._backlog)
            device._backlog.clear()
        pump.subscribe(self)

    def _offer(self, event: Event) -> bool:
        if self._region is not None and event.region not in (None, self._region):
            return False
        if len(self._queue) < _QUEUE_MAX:
            self._queue.append(event)
        elif self._queue[-1].kind is not EventKind.LOST:
            self._queue.append(Event(EventKind.LOST, None, 0, 0, 0))
        self._wake()
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def close(self) -> None:
        """No more events; an iteration in progress ends."""
        self._pump.unsubscribe(self)
        self._queue.clear()
        self._end()

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("two tasks iterate over the same events")
            self._waiter = self._pump.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._queue.popleft()


class Changed:
    """An asyncio.Event that is set when one of some regions is rung, or loses its peers, or is closed."""

    def __init__(self, *regions: Region) -> None:
        self._pump = pump_of(regions[0].device)
        self._regions = regions
        self._event = asyncio.Event()

    def _watcher(self, rung: bool) -> None:
        self._event.set()

    def __enter__(self) -> Changed:
        for region in self._regions:
            self._pump.watch(region, self._watcher)
        return self

    def __exit__(self, *_: object) -> None:
        for region in self._regions:
            self._pump.unwatch(region, self._watcher)

    async def wait(self) -> None:
        """Until something has changed since the last time."""
        await self._event.wait()
        self._event.clear()


def reset(what: str) -> OSError:
    return error(errno.ECONNRESET, f"{what} went without closing the stream")

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Byte streams for asyncio: a transport, StreamReader and StreamWriter, servers."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Awaitable, Callable, Iterable

from . import _link
from ._aio import Changed, pump_of, reset
from ._errors import BrokenPipeError

if TYPE_CHECKING:
    from ._core import Device, Ring

_RECORDS_AT_ONCE = 16
_HIGH = 64 * 1024


class RingTransport(asyncio.Transport):
    """One end of a stream, for a protocol of asyncio's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, link: _link.Link, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"device": link.device, "link": link})
        self._loop, self._link, self._protocol = loop, link, protocol
        self._pump = pump_of(link.device)
        self._queue: collections.deque[memoryview] = collections.deque()
        self._queued = 0
        self._chunk = max(1, min(link.tx.max_record, 1 << 16))
        self._high, self._low = _HIGH, _HIGH // 4
        self._closing = self._lost = self._paused = self._eof = self._writing_paused = self._reading_ended = False
        for ring in (link.rx, link.tx):
            ring.fileno()  # from now on the library asks to be rung when a try found nothing
        self._pump.watch(link.rx.region, self._rx_changed)
        self._pump.watch(link.tx.region, self._tx_changed)
        loop.call_soon(protocol.connection_made, self)
        loop.call_soon(self._read)

    def __repr__(self) -> str:
        return f"<ism.RingTransport {'closing' if self._closing else 'open'}>"

    # ---------------------------------------------------------------- reading

    def _rx_changed(self, rung: bool) -> None:
        self._read()

    def _read(self) -> None:
        for _ in range(_RECORDS_AT_ONCE):
            if self._paused or self._lost or self._closing or self._reading_ended:
                return
            try:
                data = self._take()
            except OSError as err:
                self._lose(err)
                return
            if data is None:
                return
            if data:
                self._protocol.data_received(data)  # type: ignore[attr-defined]
        self._loop.call_soon(self._read)

    def _take(self) -> bytes | None:
        """A record; None if there is nothing more to be had now."""
        rx: Ring = self._link.rx
        while True:
            try:
                view = rx.peek()
            except BrokenPipeError:
                self._end_of_file()
                return None
            if view is not None:
                data = bytes(view)
                rx.release()
                return data
            if not self._rung_or_gone(rx):
                return None

    def _rung_or_gone(self, ring: Ring) -> bool:
        """Whether it is worth trying again.  A peer that is gone, and what it wrote all taken: raise."""
        try:
            return ring.region.wait(0)
        except BrokenPipeError:
            if ring is self._link.rx and (ring.ended() or ring.peek() is not None):
                return True
            raise reset("the peer") from None

    def _end_of_file(self) -> None:
        self._reading_ended = True
        keep = self._protocol.eof_received()  # type: ignore[attr-defined]
        if not keep:
            self.close()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._loop.call_soon(self._read)

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    # ---------------------------------------------------------------- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._lost or self._closing or not len(data):
            return
        with memoryview(data) as view:
            taken = 0 if self._queue else self._put(view.cast("B"))
            if self._lost or taken == view.nbytes:
                return
            rest = memoryview(bytes(view.cast("B")[taken:]))
        self._queue.append(rest)
        self._queued += len(rest)
        if self._queued > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def _put(self, view: memoryview) -> int:
        """As much as there is room for."""
        done, tx = 0, self._link.tx
        try:
            while done < len(view):
                n = min(self._chunk, len(view) - done)
                room = tx.reserve(n)
                if room is not None:
                    room[:] = view[done : done + n]
                    tx.commit(n)
                    done += n
                elif not self._rung_or_gone(tx):
                    break
        except OSError as err:
            self._lose(err)
        return done

    def _tx_changed(self, rung: bool) -> None:
        while self._queue and not self._lost:
            view = self._queue.popleft()
            n = self._put(view)
            self._queued -= n
            if n < len(view):
                self._queue.appendleft(view[n:])
                break
        if self._lost:
            return
        if self._writing_paused and self._queued <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()
        if not self._queue and self._closing:
            self._lose(None)
        elif not self._queue and self._eof:
            self._link.tx.close()
        elif not self._link.tx.closed and self._reading_ended:
            self._look_for_death()

    def _look_for_death(self) -> None:
        """Nothing is read any more that would tell."""
        try:
            self._rung_or_gone(self._link.tx)
        except OSError as err:
            self._lose(err)

    def write_eof(self) -> None:
        if self._eof or self._closing:
            return
        self._eof = True
        if not self._queue:
            self._link.tx.close()

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self._queued

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else 4 * low if low is not None else _HIGH
        self._low = low if low is not None else self._high // 4
        if not 0 <= self._low <= self._high:
            raise ValueError(f"low {self._low}, high {self._high}: expected 0 <= low <= high")

    # ---------------------------------------------------------------- the end

    def is_closing(self) -> bool:
        return self._closing or self._lost

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self._queue:
            self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    def _lose(self, error: OSError | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._queue.clear()
        self._queued = 0
        self._pump.unwatch(self._link.rx.region, self._rx_changed)
        self._pump.unwatch(self._link.tx.region, self._tx_changed)
        self._loop.call_soon(self._connection_lost, error)

    def _connection_lost(self, error: OSError | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._link.close()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol


# -------------------------------------------------------------------- clients


async def _dial(device: Device, token: int | str, size: int) -> _link.Link:
    dialling = _link.Dialling(device, token, size)
    try:
        dialling.link.rx.fileno()
        with Changed(dialling.link.rx.region, dialling.listener) as changed:
            while not dialling.answered():
                await changed.wait()
    except BaseException:
        dialling.give_up()
        raise
    return dialling.link


async def create_connection(
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    device: Device,
    token: int | str,
    *,
    size: int = _link.DEFAULT_SIZE,
) -> tuple[RingTransport, asyncio.BaseProtocol]:
    """Connect to a listener, as loop.create_connection() does: (transport, protocol)."""
    link = await _dial(device, token, size)
    protocol = protocol_factory()
    return RingTransport(asyncio.get_running_loop(), link, protocol), protocol


async def open_connection(
    device: Device, token: int | str, *, limit: int = 1 << 16, size: int = _link.DEFAULT_SIZE
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a listener, as asyncio.open_connection() does: (reader, writer)."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await create_connection(lambda: protocol, device, token, size=size)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


# -------------------------------------------------------------------- servers


class Server:
    """What `start_server()` and `create_server()` return.  A context manager for `async with`."""

    def __init__(self, device: Device, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self._factory = factory
        self._region = _link.make_listener(device)
        self._slots = _link.slots_of(self._region)
        self._pump = pump_of(device)
        self._closed = self._pump.loop.create_future()
        self._pump.watch(self._region, self._changed)

    @property
    def token(self) -> int:
        """What to connect to.  Treat it as a password."""
        return self._region.token

    @property
    def ref(self) -> str:
        """The same as text."""
        return self._region.ref

    def _changed(self, rung: bool) -> None:
        if self._region.closed:
            self.close()
            return
        device = self._region.device
        for token in _link.take_tokens(self._region, self._slots):
            link = _link.take(device, token)
            if link is not None:
                RingTransport(self._pump.loop, link, self._factory())

    def is_serving(self) -> bool:
        return not self._region.closed

    def close(self) -> None:
        """Accept no more; connections that were accepted go on."""
        self._pump.unwatch(self._region, self._changed)
        self._region.close()
        if not self._closed.done():
            self._closed.set_result(None)

    async def wait_closed(self) -> None:
        await asyncio.shield(self._closed)

    async def serve_forever(self) -> None:
        """Until `close()`, or cancelled."""
        try:
            await self.wait_closed()
        finally:
            self.close()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self.wait_closed()


async def create_server(protocol_factory: Callable[[], asyncio.BaseProtocol], device: Device) -> Server:
    """Listen on a device, as loop.create_server() does."""
    return Server(device, protocol_factory)


async def start_server(
    client_connected_cb: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None],
    device: Device,
    *,
    limit: int = 1 << 16,
) -> Server:
    """Listen on a device, as asyncio.start_server() does; `server.token` is what to connect to."""
    loop = asyncio.get_running_loop()

    def factory() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return asyncio.StreamReaderProtocol(reader, client_connected_cb, loop=loop)

    return Server(device, factory)

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Doorbells, events and streams in asyncio."""

import asyncio
import gc

import ism
import pytest

MIB = 1 << 20


@pytest.mark.parametrize("vector", [False, True])
def test_await_a_doorbell(pair, run, vector):
    a, b = pair
    mine = a.alloc(1, vector=vector)
    theirs = b.attach(mine.token)

    async def main():
        loop = asyncio.get_running_loop()
        theirs.notify()
        await mine.rung()  # pending already
        for _ in range(50):
            loop.call_soon(theirs.notify)
            await mine.rung()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(mine.rung(), 0.02)
        two = asyncio.gather(mine.rung(), mine.rung())  # one ring wakes both
        await asyncio.sleep(0)
        theirs.notify()
        await two
        loop.call_soon(theirs.close)
        with pytest.raises(BrokenPipeError):
            await mine.rung()
        with pytest.raises(BrokenPipeError):
            await mine.rung()

    run(main())


def test_no_ring_is_lost_between_awaits(pair, run):
    """Doorbells that arrive while the pump runs for another region count for the next await."""
    a, b = pair
    one, two = a.alloc_many(1, 2)
    one_b, two_b = b.attach(one.token), b.attach(two.token)

    async def main():
        one_b.notify()
        waiter = asyncio.create_task(two.rung())
        await asyncio.sleep(0.01)  # the pump takes the ring of `one`, for which nobody waits
        two_b.notify()
        await waiter
        await one.rung()
        assert one.wait(0) is False

    run(main())


def test_a_ring_is_for_all_who_wait(ism_domain, run):
    """Also when it is found by looking at the region for another reason, here an ATTACH that comes with it."""
    a, b, c = ism_domain.open(), ism_domain.open(), ism_domain.open()
    mine = a.alloc(1)
    theirs = b.attach(mine.token)

    async def main():
        for _ in range(50):
            tasks = [asyncio.create_task(mine.rung()) for _ in range(3)]
            await asyncio.sleep(0)
            third = c.attach(mine.token)
            theirs.notify()
            await asyncio.gather(*tasks)
            third.close()

    run(main())


def test_cancelled_wait_keeps_the_ring(pair, run):
    a, b = pair
    mine = a.alloc(1)
    theirs = b.attach(mine.token)

    async def main():
        task = asyncio.create_task(mine.rung())
        await asyncio.sleep(0)
        seen = []
        a._pump.watch(mine, seen.append)
        theirs.notify()
        while True not in seen:
            a._pump._ready()  # takes the doorbell; the task does not run yet
        a._pump.unwatch(mine, seen.append)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert mine.wait(0) is True
        assert a._pump.idle() and a._pump._fd < 0

    run(main())


def test_events(pair, run):
    a, b = pair
    mine, other = a.alloc_many(1, 2)

    async def main():
        b_other = b.attach(other.token)
        seen = []
        async with mine.events() as only_mine:
            loop = asyncio.get_running_loop()
            loop.call_later(0.01, lambda: loop.call_later(0.01, b.attach(mine.token).close))
            async for event in a.events():
                seen.append((event.kind, event.region))
                if event.kind is ism.EventKind.DETACH:
                    break
            first = await anext(only_mine)
            assert (first.kind, first.region, first.devid) == (ism.EventKind.ATTACH, mine, b.devid)
        assert seen[0] == (ism.EventKind.ATTACH, other)
        assert (ism.EventKind.ATTACH, mine) in seen
        with pytest.raises(StopAsyncIteration):
            await anext(only_mine)  # the rest is not kept for a stream that was closed
        b_other.notify()

    run(main())


def test_events_nobody_wanted_are_kept(pair, run):
    a, b = pair
    mine = a.alloc(1)

    async def main():
        waiter = asyncio.create_task(mine.rung())
        await asyncio.sleep(0)
        theirs = b.attach(mine.token)
        theirs.notify()
        await waiter
        assert (await anext(a.events())).kind is ism.EventKind.ATTACH

    run(main())


def test_events_that_are_forgotten_leave_the_loop(pair, run):
    a, b = pair
    mine = a.alloc(1)

    async def main():
        stream = a.events()
        assert a._pump._fd >= 0
        del stream
        gc.collect()
        theirs = b.attach(mine.token)
        await asyncio.sleep(0.05)
        assert a._pump._fd < 0
        theirs.close()
        assert [e.kind for e in a.wait_events(5)] == [ism.EventKind.ATTACH]

    run(main())


def test_close_ends_awaits(ism_domain, run):
    async def main():
        dev = ism_domain.open()
        one, two = dev.alloc_many(1, 2)
        tasks = [asyncio.create_task(one.rung()), asyncio.create_task(two.rung())]
        events = asyncio.create_task(anext(dev.events()))
        await asyncio.sleep(0.01)
        one.close()
        with pytest.raises(ism.ClosedError):
            await tasks[0]
        assert not tasks[1].done()
        dev.close()
        with pytest.raises(ism.ClosedError):
            await tasks[1]
        with pytest.raises(StopAsyncIteration):
            await events

    run(main())


def test_host_gone(ism_domain, run):
    async def main():
        dev = ism_domain.open()
        region = dev.alloc(1)
        task = asyncio.create_task(region.rung())
        await asyncio.sleep(0.01)
        ism_domain.kill()
        with pytest.raises(ism.HostDownError):
            await task

    run(main())


def test_add_reader(pair, run):
    """Also without our help: fileno() is what loops want."""
    a, b = pair
    mine = a.alloc(1)
    theirs = b.attach(mine.token)

    async def main():
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(a, event.set)
        await event.wait()
        loop.remove_reader(a)
        assert a.next_event().kind is ism.EventKind.ATTACH

    run(main())
    del theirs


# -------------------------------------------------------------------- streams


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
    await asyncio.sleep(0)
    writer.close()


def test_streams(pair, run):
    a, b = pair

    async def main():
        async with await ism.start_server(echo, a) as server:
            reader, writer = await ism.open_connection(b, server.ref)
            writer.write(b"a line\n")
            assert await reader.readline() == b"a line\n"
            data = bytes(range(251)) * 20_000

            async def feed():
                writer.write(data)
                await writer.drain()
                writer.write_eof()

            feeder = asyncio.create_task(feed())
            assert await reader.read() == data  # to the end of file
            await feeder
            writer.close()
            await writer.wait_closed()
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            await ism.open_connection(b, server_token)

    async def outer():
        nonlocal server_token
        async with await ism.start_server(echo, a) as server:
            server_token = server.token
        await main()

    server_token = 0
    run(outer())
    assert a.stats().regions == b.stats().regions == 0


def test_many_connections(pair, run):
    a, b = pair

    async def client(ref, number):
        reader, writer = await ism.open_connection(b, ref, size=65536)
        for i in range(20):
            writer.write(f"{number} {i}\n".encode())
            assert await reader.readline() == f"{number} {i}\n".encode()
        writer.close()
        await writer.wait_closed()

    async def main():
        async with await ism.start_server(echo, a) as server:
            await asyncio.gather(*(client(server.ref, n) for n in range(40)))
            while a.stats().regions > 1:
                await asyncio.sleep(0.01)

    run(main())


def test_flow_control(pair, run):
    """A reader that stops stops the writer, and nothing is lost."""
    a, b = pair
    release = None

    async def slow(reader, writer):
        await release.wait()
        assert len(await reader.read(-1)) == 8 * MIB
        writer.close()

    async def main():
        nonlocal release
        release = asyncio.Event()
        async with await ism.start_server(slow, a) as server:
            reader, writer = await ism.open_connection(b, server.ref)
            writer.write(bytes(8 * MIB))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(writer.drain(), 0.05)
            assert writer.transport.get_write_buffer_size() > 0
            release.set()
            await writer.drain()
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(main())


class Recorder(asyncio.Protocol):
    def __init__(self):
        self.got, self.lost, self.ended = b"", asyncio.get_running_loop().create_future(), False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.got += data

    def eof_received(self):
        self.ended = True
        return True

    def connection_lost(self, error):
        self.lost.set_result(error)


def test_protocols(pair, run):
    a, b = pair

    async def main():
        served = []

        def factory():
            served.append(Recorder())
            return served[-1]

        server = await ism.create_server(factory, a)
        transport, client = await ism.create_connection(Recorder, b, server.token)
        transport.writelines([b"one", b"two"])
        transport.write(b"")
        while not served or served[0].got != b"onetwo":
            await asyncio.sleep(0.001)
        theirs = served[0].transport
        theirs.pause_reading()
        transport.write(b"more")
        await asyncio.sleep(0.01)
        assert served[0].got == b"onetwo" and not theirs.is_reading()
        theirs.resume_reading()
        transport.write_eof()
        while not served[0].ended:
            await asyncio.sleep(0.001)
        assert served[0].got == b"onetwomore"
        with pytest.raises(RuntimeError):
            transport.write(b"after the end")
        assert transport.can_write_eof() and not transport.is_closing()
        theirs.write(b"the other direction")
        theirs.close()
        while not client.ended:
            await asyncio.sleep(0.001)
        assert client.got == b"the other direction"
        assert await served[0].lost is None
        transport.abort()
        assert await client.lost is None
        server.close()
        await server.wait_closed()

    run(main())
    assert a.stats().regions == b.stats().regions == 0


def test_nobody_listens(pair, run):
    a, b = pair

    async def main():
        region = b.alloc(1)
        with pytest.raises(ism.ProtocolError):
            await ism.open_connection(a, region.token)
        server = await ism.start_server(echo, a)
        server._pump.unwatch(server._region, server._changed)  # one that does not accept
        task = asyncio.create_task(ism.open_connection(b, server.token))
        await asyncio.sleep(0.02)
        assert not task.done()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await task
        with pytest.raises(TimeoutError):
            other = await ism.start_server(echo, a)
            other._pump.unwatch(other._region, other._changed)
            await asyncio.wait_for(ism.open_connection(b, other.token), 0.02)
        other.close()

    run(main())


def test_one_loop_at_a_time(pair, run):
    a, _ = pair
    region = a.alloc(1)

    async def main():
        waiter = asyncio.create_task(region.rung())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, region.rung())
        waiter.cancel()

    run(main())

    async def later():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(region.rung(), 0.01)

    run(later())

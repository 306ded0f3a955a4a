# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Two processes: data, doorbells, rings, and a peer that is killed."""

import asyncio
import errno
import time

import ism
import pytest

ATTACH = """
import sys, ism
dev = ism.open(sys.argv[1], host=False)
region = dev.attach(sys.argv[2])
"""


def lines(proc):
    return proc.stdout.readline().strip()


def test_data_and_doorbell(ism_domain, child):
    dev = ism_domain.open()
    region = dev.alloc(1 << 20)
    region[:5] = b"hello"
    proc = child(
        ATTACH
        + """
assert region[:5] == b"hello"
region.notify()
assert region.wait(30)
print(region[-3:].decode(), flush=True)
dev.close()
""",
        ism_domain.uri,
        region.ref,
    )
    assert region.wait(30)
    region[-3:] = b"end"
    region.notify()
    assert lines(proc) == "end"
    assert proc.wait(30) == 0


def test_readonly_store_is_an_error_not_a_crash(ism_domain, child):
    dev = ism_domain.open()
    region = dev.alloc(4096)
    proc = child(
        """
import sys, ism
with ism.open(sys.argv[1]) as dev, dev.attach(sys.argv[2], readonly=True) as region:
    try:
        region[0] = 1
    except TypeError as err:
        print(err)
""",
        ism_domain.uri,
        region.ref,
    )
    assert "read-only" in lines(proc)
    assert proc.wait(30) == 0


def test_killed(ism_domain, child):
    dev = ism_domain.open()
    region = dev.alloc(4096)
    ring = dev.alloc(1 << 16)
    reader = ring.create_ring("reader")
    proc = child(
        ATTACH
        + """
region[:4] = b"kept"
writer = dev.attach(sys.argv[3]).attach_ring("writer")
writer.send(b"sent")
region.notify()
sys.stdin.read()
""",
        ism_domain.uri,
        region.ref,
        ring.ref,
    )
    assert region.wait(30)
    proc.kill()
    with pytest.raises(BrokenPipeError) as caught:
        region.wait(30)
    assert caught.value.errno == errno.EPIPE
    assert region[:4] == b"kept"
    assert reader.recv(5) == b"sent"
    with pytest.raises(ConnectionResetError):
        reader.recv(30)
    assert not reader.ended()  # nobody closed it
    kinds = []
    while kinds.count(ism.EventKind.DETACH) < 2:
        kinds += [event.kind for event in dev.wait_events(30)]
    assert region.peers() == []


SERVER = """
import sys, ism
dev = ism.open(sys.argv[1], host=False)
with ism.listen(dev) as listener:
    print(listener.ref, flush=True)
    stream = listener.accept(30)
stream.sendall(b"before")
sys.stdin.read()
"""


def test_killed_stream(ism_domain, child):
    dev = ism_domain.open()
    proc = child(SERVER, ism_domain.uri)
    with ism.connect(dev, lines(proc), timeout=30) as stream:
        assert stream.recv(100) == b"before"
        proc.kill()
        with pytest.raises(ConnectionResetError):
            stream.recv(100)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            stream.sendall(bytes(1 << 22))
    assert dev.stats().regions == 0


def test_killed_asyncio_stream(ism_domain, child, run):
    dev = ism_domain.open()
    proc = child(SERVER, ism_domain.uri)

    async def main():
        reader, writer = await ism.open_connection(dev, lines(proc))
        assert await reader.readexactly(6) == b"before"
        proc.kill()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()
        # And a writer whose reader has ended already.
        second = child(SERVER, ism_domain.uri)
        reader, writer = await ism.open_connection(dev, lines(second))
        await reader.readexactly(6)
        writer.write(bytes(1 << 22))
        drain = asyncio.create_task(writer.drain())
        await asyncio.sleep(0.05)
        second.kill()
        with pytest.raises(ConnectionResetError):
            await drain

    run(main())


def test_connect_to_a_killed_listener(ism_domain, child):
    dev = ism_domain.open()
    proc = child(SERVER.replace("listener.accept(30)", "sys.stdin.read()"), ism_domain.uri)
    ref = lines(proc)
    proc.kill()
    proc.wait()
    began = time.monotonic()
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        while True:  # until the host has noticed
            assert time.monotonic() < began + 30
            try:
                ism.connect(dev, ref, timeout=0.2)
            except TimeoutError:
                continue


def test_no_leaks(ism_domain):
    """Objects, descriptors and memory of a thousand rounds."""
    import gc
    import sys

    dev = ism_domain.open()

    def rounds(n):
        for _ in range(n):
            with dev.alloc(4096) as region, memoryview(region) as view:
                view[0] = 1
                ring = region.create_ring("writer", length=4096)
                ring.send(b"record")
                room = ring.reserve(4)
                del room
                try:
                    ring.recv(0)
                except OSError:
                    pass
                dev.wait_events(0)
                region.peers()
                dev.info(), dev.stats(), dev.regions()
        gc.collect()

    rounds(50)
    before = sys.getallocatedblocks()
    rounds(300)
    assert sys.getallocatedblocks() - before < 200

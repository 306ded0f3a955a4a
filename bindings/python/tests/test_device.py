# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Devices: open, close, errors, listings, threads, fork."""

import errno
import gc
import os
import signal
import threading
import time
import warnings

import ism
import pytest
from ism.testing import Domain, Quota


def test_context_manager(ism_domain):
    with ism.open(ism_domain.uri, name="a label") as dev:
        info = dev.info()
        assert info.devid == dev.devid > 0
        assert info.host is ism.HostKind.EMBEDDED
        assert info.backend == "emu" and info.path in ism_domain.uri
        assert [d.name for d in dev.devices() if d.self] == ["a label"]
        assert not dev.closed
    assert dev.closed
    dev.close()
    assert repr(dev) == "<ism.Device closed>"


def test_use_after_close(ism_domain):
    dev = ism_domain.open()
    region = dev.alloc(1)
    ring = region.create_ring("writer")
    dev.close()
    assert region.closed and ring.closed
    uses = [
        dev.info, dev.stats, dev.fileno, dev.next_event, dev.interrupt, dev.wait_events, dev.devices,
        lambda: dev.alloc(1), lambda: dev.attach(1), region.notify, region.wait, region.clear, region.peers,
        lambda: region.token, lambda: len(region), lambda: region.load(0), lambda: region.grant(1, ism.READ),
        lambda: region.create_ring("writer"), lambda: ring.send(b""), lambda: ring.max_record, ring.fileno,
    ]
    for use in uses:
        with pytest.raises(ism.ClosedError, match="is closed") as caught:
            use()
        assert caught.value.errno == errno.EBADF
    with pytest.raises(BufferError, match="closed"):
        memoryview(region)
    region.close()
    ring.close()


def test_made_only_by_open():
    for cls in (ism.Device, ism.Region, ism.Ring):
        with pytest.raises(TypeError):
            cls()
        with pytest.raises(TypeError):
            object.__new__(cls)


@pytest.mark.parametrize(
    "uri, number, words",
    [("nonsense:", errno.EINVAL, "nonsense"), ("emu:/no/such/folder/x", errno.ENOENT, "/no/such/folder")],
)
def test_error_words(uri, number, words):
    with pytest.raises(OSError, match=words) as caught:
        ism.open(uri)
    assert caught.value.errno == number
    assert isinstance(caught.value, ism.Error)


def test_error_classes(pair):
    a, b = pair
    with pytest.raises(FileNotFoundError) as missing:
        b.attach(0x123)
    assert isinstance(missing.value, ism.NotFoundError) and missing.value.errno == errno.ENOENT
    region = a.alloc(1, private=True)
    region.grant(b, ism.READ)
    with pytest.raises(PermissionError) as refused:
        b.attach(region.token, readonly=True)
    assert refused.value.errno == errno.EACCES
    region.grant(b, ism.READ | ism.ATTACH)
    with pytest.raises(PermissionError) as refused:
        b.attach(region.token)
    assert refused.value.errno == errno.EROFS
    theirs = b.attach(region.token, readonly=True)
    with pytest.raises(PermissionError) as refused:
        theirs.grant(a, ism.READ)
    assert refused.value.errno == errno.EPERM
    with pytest.raises(ism.Error) as caught:
        a.alloc(1 << 60)
    assert caught.value.errno == errno.E2BIG
    with pytest.raises(ism.Error, match="0 bytes"):
        a.alloc(0)
    with pytest.raises(ValueError):
        a.alloc(-1)
    with pytest.raises(ValueError):
        a.alloc_many(1, 65)


def test_quota():
    with Domain(device=Quota(regions=1)) as domain:
        dev = domain.open()
        region = dev.alloc(1)
        with pytest.raises(ism.NoSpaceError) as caught:
            dev.alloc(1)
        assert caught.value.errno == errno.ENOSPC
        region.close()
        dev.alloc(1)


def test_host_down(ism_domain, pair):
    a, _ = pair
    ism_domain.kill()
    with pytest.raises(ism.HostDownError):
        a.alloc(1)
    assert [e.kind for e in a.wait_events(5)] == [ism.EventKind.RESET]


def test_faults(ism_domain):
    dev = ism_domain.open()
    ism_domain.set_faults("alloc:2=ENOMEM")
    dev.alloc(1)
    with pytest.raises(ism.Error) as caught:
        dev.alloc(1)
    assert caught.value.errno == errno.ENOMEM and ism_domain.fired == 1 and ism_domain.passes("alloc") == 2
    with pytest.raises(OSError, match="alloc"):
        ism_domain.set_faults("alloc:x")


def test_loop_domain():
    with Domain(loop=True) as domain:
        assert domain.dir is None and domain.uri.startswith("loop:")
        a, b = domain.open(), domain.open()
        region = a.alloc(1)
        region[:2] = b"ok"
        assert b.attach(region.ref)[:2] == b"ok"


def test_events(pair):
    a, b = pair
    mine = a.alloc(1)
    assert a.next_event() is None and a.wait_events(0) == []
    theirs = b.attach(mine.token)
    (event,) = a.wait_events(5)
    assert event[:4] == (ism.EventKind.ATTACH, mine, b.devid, 1) and event.token == mine.token
    assert f"{mine.token:x}" not in repr(event) and str(mine.token) not in repr(event)
    theirs.notify()
    (event,) = a.wait_events(5)
    assert event.kind is ism.EventKind.UPDATE and event.region is mine
    theirs.close()
    assert a.wait_events(5)[0].kind is ism.EventKind.DETACH


def test_listings(pair):
    a, b = pair
    region = a.alloc(100_000)
    theirs = b.attach(region.token, readonly=True)
    entry = next(r for r in b.regions() if r.token == region.token)
    assert (entry.region_size, entry.requested_size, entry.creator, entry.referrers) == (131072, 100_000, a.devid, 2)
    assert str(region.token) not in repr(entry)
    by_id = {r.devid: r for r in region.referrers()}
    assert by_id[a.devid].creator and not by_id[b.devid].creator
    assert by_id[b.devid].attached == ism.READ
    more = [a.alloc(1) for _ in range(100)]  # more than one page of the listing
    assert len(b.regions()) >= 101
    assert a.stats().regions == 101
    del theirs, more
    assert a.stats().regions == 1


def test_domain(pair):
    a, b = pair
    region = a.alloc(100_000)
    region.grant(b, ism.READ)
    with pytest.raises(FileNotFoundError):
        b.attach(region.token ^ 1)
    d, info = a.domain(), a.info()
    assert (d.gid, d.host, d.host_uid, d.version) == (info.gid, info.host, os.getuid(), ism.version())
    assert (d.devices, d.regions, d.bytes) == (2, 1, 131072)
    assert (d.counted, d.devices_ever, d.allocs, d.attaches, d.failed, d.kicks) == (True, 2, 1, 0, 1, 0)
    assert b.users() == [ism.UserEntry(os.getuid(), 2, 1, 1, 131072, 1, 0)]
    a.close()
    for closed in (a.domain, a.users):
        with pytest.raises(ism.ClosedError):
            closed()


@pytest.mark.parametrize("loop", [False, True])
def test_quota(loop):
    device, user = Quota(1 << 26, 2, 3, 1000, 5000), Quota(1 << 27, 20, 30, 2000, 6000, 7)
    with Domain(loop=loop, device=device, user=user) as domain:
        dev = domain.open()
        regions = dev.alloc_many(1, 2)
        with pytest.raises(ism.NoSpaceError):
            dev.alloc(1)
        d = dev.domain()
        assert (d.device_quota, d.user_quota, d.over_quota) == (device, user, 1)
        assert dev.users()[0].over_quota == 1
        del regions


def test_kick(pair):
    a, b = pair
    region = a.alloc(1)
    theirs = b.attach(region.token)
    a.kick(b.devid)
    assert [e.kind for e in b.wait_events(5)] == [ism.EventKind.RESET]
    assert not region.peers() and theirs.size == region.size
    for devid in (0, a.devid, 12345):
        with pytest.raises(OSError):
            a.kick(devid)


def test_descriptor_is_pollable(pair):
    import select

    a, b = pair
    mine = a.alloc(1)
    poll = select.poll()
    poll.register(a, select.POLLIN)  # it has fileno()
    assert poll.poll(0) == []
    theirs = b.attach(mine.token)
    assert poll.poll(5000)
    assert a.next_event().kind is ism.EventKind.ATTACH
    assert a.next_event() is None
    assert poll.poll(0) == []
    theirs.close()
    assert poll.poll(5000)


def test_unclosed_device_warns(ism_domain):
    dev = ism.open(ism_domain.uri)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del dev
        gc.collect()
    assert [w.category for w in caught] == [ResourceWarning]


# -------------------------------------------------------------------- threads


def in_thread(function):
    result = []

    def body():
        try:
            result.append(function())
        except BaseException as err:
            result.append(err)

    thread = threading.Thread(target=body)
    thread.start()
    return thread, result


def spin_up_to(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("what", ["region", "events"])
def test_wait_releases_the_gil(pair, what):
    a, b = pair
    mine = a.alloc(1)
    theirs = b.attach(mine.token)
    a.wait_events(5)
    thread, result = in_thread(lambda: mine.wait(30) if what == "region" else a.wait_events(30))
    counted = 0
    end = time.monotonic() + 0.3  # this loop runs while the other thread waits
    while time.monotonic() < end or (counted <= 1000 and time.monotonic() < end + 25):
        counted += 1
    assert thread.is_alive() and counted > 1000
    theirs.notify()
    thread.join(30)
    assert result[0] is True if what == "region" else result[0][0].region is mine


def test_close_ends_waits(ism_domain):
    dev = ism_domain.open()
    regions = dev.alloc_many(1, 3)
    ring = regions[2].create_ring("reader")
    waits = [in_thread(regions[0].wait), in_thread(dev.wait_events), in_thread(ring.recv), in_thread(regions[1].wait)]
    time.sleep(0.05)
    assert all(thread.is_alive() for thread, _ in waits)
    regions[1].close()  # ends its own waits, and no others
    waits[3][0].join(30)
    assert isinstance(waits[3][1][0], ism.ClosedError)
    ring.close()
    waits[2][0].join(30)
    assert isinstance(waits[2][1][0], ism.ClosedError)
    assert all(thread.is_alive() for thread, _ in waits[:2])
    dev.close()
    for thread, result in waits[:2]:
        thread.join(30)
        assert isinstance(result[0], ism.ClosedError)


def test_interrupt(ism_domain):
    dev = ism_domain.open()
    region = dev.alloc(1)
    thread, result = in_thread(region.wait)
    time.sleep(0.05)
    dev.interrupt()
    thread.join(30)
    assert isinstance(result[0], InterruptedError) and isinstance(result[0], ism.InterruptedError)
    dev.interrupt()  # without a wait: the next one
    with pytest.raises(InterruptedError):
        dev.wait_events(10)
    assert dev.wait_events(0.01) == []


def test_signals_are_handled_in_waits(ism_domain):
    dev = ism_domain.open()
    region = dev.alloc(1)

    class Stop(Exception):
        pass

    def handler(*_):
        raise Stop

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        for wait in (region.wait, dev.wait_events, region.create_ring("reader").recv):
            timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1))
            with pytest.raises(Stop):
                timer.start()
                wait()
            timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_many_threads_one_device(pair):
    """Two threads that wait on two regions of one device do not steal each other's doorbells."""
    a, b = pair
    mine = a.alloc_many(1, 4)
    theirs = [b.attach(r.token) for r in mine]
    rounds = 200

    def serve(region):
        for _ in range(rounds):
            assert region.wait(30)
            region.notify()

    def ask(region):
        for _ in range(rounds):
            region.notify()
            assert region.wait(30)

    threads = [in_thread(lambda r=r: serve(r)) for r in mine] + [in_thread(lambda r=r: ask(r)) for r in theirs]
    for thread, result in threads:
        thread.join(60)
        assert result == [None]


# -------------------------------------------------------------------- fork


def test_fork(ism_domain, pair):
    a, b = pair
    region = a.alloc(1)
    region[:5] = b"there"
    view = memoryview(region)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = b""
        try:
            assert bytes(view[:5]) == b"there"
            for call in (a.info, region.notify, lambda: a.alloc(1), lambda: region.wait(1)):
                try:
                    call()
                    said += b"call worked;"
                except OSError as err:
                    if err.errno != errno.EOWNERDEAD:
                        said += str(err).encode()
            view.release()
            region.close()
            a.close()
            b.close()
            with ism.open(ism_domain.uri) as mine:  # but a device of its own may be had
                mine.alloc(1)
        except BaseException as err:
            said += repr(err).encode()
        os.write(writer, said or b"well")
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        assert pipe.read() == b"well"
    os.waitpid(child, 0)
    theirs = b.attach(region.token)
    theirs[:5] = b"still"
    assert bytes(view[:5]) == b"still"
    view.release()

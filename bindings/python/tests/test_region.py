# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Regions as buffers: views without copies, lifetimes, rights; doorbells."""

import array
import ctypes
import errno
import gc
import io
import struct
import threading
import time
import weakref

import ism
import pytest

MIB = 1 << 20


@pytest.fixture
def shared(pair):
    a, b = pair
    mine = a.alloc(2 * MIB)
    return mine, b.attach(mine.token)


def test_both_see_the_same(shared):
    mine, theirs = shared
    memoryview(mine)[:5] = b"hello"
    assert bytes(memoryview(theirs)[:5]) == b"hello"
    theirs[-1] = 0xA5
    assert mine[2 * MIB - 1] == 0xA5 and mine[-1] == 0xA5
    theirs[10:13] = b"abc"
    assert mine[10:13] == b"abc"
    with pytest.raises(IndexError):
        mine[2 * MIB]
    with pytest.raises(ValueError):
        mine[0:2] = b"three"
    assert len(mine) == mine.size == 2 * MIB


def test_sizes(pair):
    a, b = pair
    mine = a.alloc(100_000)
    theirs = b.attach(mine.ref)
    for region in (mine, theirs):
        assert (region.size, region.requested_size) == (131072, 100_000)
    assert mine.ref == f"ism:{a.info().gid:016x}/{mine.token:016x}"
    assert ism.parse_ref(mine.ref) == (a.info().gid, mine.token)
    assert str(mine.token) not in repr(mine) and f"{mine.token:x}" not in repr(mine)
    with pytest.raises(FileNotFoundError, match="domain"):
        b.attach(f"ism:{a.info().gid ^ 1:016x}/{mine.token:016x}")
    with pytest.raises(OSError):
        b.attach("ism:nonsense")


def test_struct_and_array(shared):
    mine, theirs = shared
    struct.pack_into("<IdQ", mine, 16, 7, 1.5, 1 << 40)
    assert struct.unpack_from("<IdQ", theirs, 16) == (7, 1.5, 1 << 40)
    with theirs.view("d") as doubles:
        doubles[100] = 3.25
    assert array.array("d", mine[800:808])[0] == 3.25
    word = ctypes.c_uint32.from_buffer(mine, 64)
    word.value = 0xDEADBEEF
    assert struct.unpack_from("=I", theirs, 64) == (0xDEADBEEF,)
    del word


def test_readonly(pair):
    a, b = pair
    mine = a.alloc(MIB)
    theirs = b.attach(mine.token, readonly=True)
    assert theirs.readonly and not mine.readonly and ism.WRITE not in theirs.rights
    with memoryview(theirs) as view:
        assert view.readonly
        with pytest.raises(TypeError):
            view[0] = 1
    for write in (
        lambda: struct.pack_into("I", theirs, 0, 1),
        lambda: theirs.__setitem__(0, 1),
        lambda: ctypes.c_int.from_buffer(theirs),
        lambda: io.BytesIO(b"x").readinto(theirs),
    ):
        with pytest.raises((TypeError, BufferError)):
            write()
    with pytest.raises(PermissionError):
        theirs.store(0, 1)
    assert theirs.load(0) == 0
    with pytest.raises(ism.Error):
        theirs.create_ring("writer")


def test_close_with_views(pair):
    a, b = pair
    mine = a.alloc(MIB)
    theirs = b.attach(mine.token)
    view = memoryview(theirs)[10:20]
    for close in (theirs.close, b.close):
        with pytest.raises(BufferError, match="1 buffers"):
            close()
    assert not theirs.closed and not b.closed
    mine[10] = 9
    assert view[0] == 9
    b.alloc(1)  # the device works on
    view.release()
    theirs.close()
    assert theirs.closed
    b.close()


def test_with_and_views(ism_domain):
    """A block that an exception ends: that is what is raised, whatever views its frames hold."""

    def body(fail):
        with ism.open(ism_domain.uri) as dev, dev.alloc(1) as region:
            view = memoryview(region)
            if fail:
                raise KeyError(len(view))

    with pytest.warns(ResourceWarning):  # the device went with the frame, not with its block
        with pytest.raises(KeyError):
            body(True)
        gc.collect()
    with pytest.warns(ResourceWarning):
        with pytest.raises(BufferError):
            body(False)
        gc.collect()


def test_views_keep_alive(ism_domain):
    import warnings

    dev = ism.open(ism_domain.uri)
    view = memoryview(dev.alloc(MIB))
    view[:4] = b"kept"
    alive = weakref.ref(view.obj)
    del dev
    gc.collect()
    assert bytes(view[:4]) == b"kept" and alive() is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del view
        gc.collect()
    assert alive() is None


def test_detach_by_forgetting(pair):
    a, b = pair
    mine = a.alloc(1)
    theirs = b.attach(mine.token)
    assert mine.peers() == [b.devid]
    del theirs
    gc.collect()
    assert mine.peers() == []


def test_two_handles(pair):
    a, b = pair
    mine = a.alloc(1)
    one, two = b.attach(mine.token), b.attach(mine.token, readonly=True)
    mine.notify()
    assert one.wait(30) and two.wait(30)
    one.close()
    mine[0] = 3
    assert two[0] == 3


def test_words(shared):
    mine, theirs = shared
    assert mine.exchange(8, (1 << 64) - 1) == 0
    assert theirs.load(8) == (1 << 64) - 1
    assert not theirs.compare_exchange(8, 5, 6)
    assert theirs.compare_exchange(8, (1 << 64) - 1, 6)
    theirs.store(16, 9)
    assert (mine.load(8), mine.load(16)) == (6, 9)
    for offset in (-8, 4, 2 * MIB, 2 * MIB - 4, 1 << 62):
        with pytest.raises(IndexError):
            mine.load(offset)


# -------------------------------------------------------------------- many at once


@pytest.fixture
def two():
    """Two devices that no fault is wanted of: where it is, regions go one by one."""
    with ism.open("loop:many") as a, ism.open("loop:many") as b:
        yield a, b


def test_attach_many(two):
    a, b = two
    mine = a.alloc_many(1, 64)
    calls = b.stats().control_calls
    theirs = b.attach_many(r.token for r in mine)
    assert b.stats().control_calls == calls + 1
    for i, (one, other) in enumerate(zip(mine, theirs, strict=True)):
        one[0] = i
        assert other[0] == i
    again = b.attach_many([mine[5].ref, mine[5].ref], readonly=True)
    again[0].close()
    assert again[1].readonly and again[1][0] == 5 and b.stats().regions == 64

    tokens = [r.token for r in mine]
    with pytest.raises(FileNotFoundError):
        a.attach_many([*tokens[:63], tokens[63] ^ 1])
    assert a.stats().regions == 64
    for wrong in [], [*tokens, tokens[0]]:
        with pytest.raises(ValueError, match="1 to 64"):
            a.attach_many(wrong)
    with pytest.raises(OverflowError):
        a.attach_many([-1])
    with pytest.raises(TypeError):
        a.attach_many([None])


def test_close_many(two):
    a, b = two
    mine = a.alloc_many(1, 64)
    theirs = b.attach_many(r.token for r in mine)
    ring = theirs[0].create_ring("writer")
    theirs[1].close()
    everything = [*theirs, a.attach(mine[2].token), *theirs[:3]]
    view = memoryview(theirs[63])
    with pytest.raises(BufferError, match="1 buffers"):
        ism.close_many(everything)
    assert [r.closed for r in theirs] == [i == 1 for i in range(64)] and not ring.closed
    theirs[0].notify()  # still as they were
    view.release()
    with pytest.raises(TypeError):
        ism.close_many([theirs[0], b])
    assert not theirs[0].closed
    calls = b.stats().control_calls
    ism.close_many(everything)
    assert all(r.closed for r in everything) and ring.closed
    assert b.stats().control_calls == calls + 1 and b.stats().regions == 0
    assert a.stats().regions == 64 and mine[2].peers() == []
    ism.close_many(everything)
    theirs[0].close()
    with pytest.raises(ism.ClosedError):
        theirs[63].token
    ism.close_many([])
    a.close()
    ism.close_many(mine)


def test_close_many_ends_waits(two):
    """Those of all regions, from any thread, each region once; other waits go on."""
    a, _ = two
    regions = a.alloc_many(1, 8)
    results = []

    def wait(region):
        try:
            results.append(region.wait())
        except ism.ClosedError as err:
            results.append(err)

    other = a.alloc(1)
    bystander = threading.Thread(target=wait, args=[other])
    threads = [threading.Thread(target=wait, args=[r]) for r in regions]
    closers = [threading.Thread(target=ism.close_many, args=[r]) for r in (regions, regions[::-1])]
    for thread in [bystander, *threads, *closers]:
        thread.start()
    for thread in [*threads, *closers]:
        thread.join(30)
    assert [type(r) for r in results] == [ism.ClosedError] * 8
    assert all(r.closed for r in regions) and a.stats().regions == 1 and bystander.is_alive()
    other.close()
    bystander.join(30)


# -------------------------------------------------------------------- numpy


def test_numpy_views_copy_nothing(shared):
    numpy = pytest.importorskip("numpy")
    mine, theirs = shared
    a = numpy.frombuffer(mine, dtype=numpy.float64)
    b = numpy.frombuffer(theirs, dtype=numpy.float64)
    assert a.__array_interface__["data"] == (mine.address, False)
    assert b.__array_interface__["data"][0] == theirs.address != mine.address
    assert not a.flags.owndata
    a[:] = numpy.arange(len(a))
    assert b.sum() == len(a) * (len(a) - 1) / 2
    part = b.reshape(512, -1)[100:200, ::2]
    with pytest.raises(BufferError):
        theirs.close()
    del b
    with pytest.raises(BufferError):
        theirs.close()
    del part
    theirs.close()
    del a
    mine.close()


def test_numpy_readonly(pair):
    numpy = pytest.importorskip("numpy")
    a, b = pair
    mine = a.alloc(MIB)
    view = numpy.frombuffer(b.attach(mine.token, readonly=True), dtype=numpy.uint8)
    assert not view.flags.writeable
    with pytest.raises(ValueError):
        view[0] = 1
    with pytest.raises(ValueError):
        view.flags.writeable = True
    mine[0] = 77
    assert view[0] == 77


# -------------------------------------------------------------------- doorbells, rights


@pytest.mark.parametrize("vector", [False, True])
def test_doorbell(pair, vector):
    a, b = pair
    mine = a.alloc(1, vector=vector)
    theirs = b.attach(mine.token, vector=vector)
    assert mine.wait(0) is False and mine.wait(0.01) is False and mine.clear() is False
    theirs.notify()
    assert mine.wait(30) is True and mine.wait(0) is False
    theirs.notify()
    theirs.notify()
    end = time.monotonic() + 30
    while not mine.clear():  # it may be on its way through the host
        assert time.monotonic() < end
    while mine.clear():  # the second may have come another way, and count for itself
        pass
    assert (mine.fileno() != a.fileno()) is vector
    assert bool(mine.flags & ism.RegionFlags.VECTOR) is vector
    theirs.close()
    with pytest.raises(BrokenPipeError):
        while mine.wait(30):
            pass


@pytest.mark.parametrize("timeout", [-1, float("nan"), "soon"])
def test_timeout_values(shared, timeout):
    with pytest.raises((ValueError, TypeError)):
        shared[0].wait(timeout)


def test_pooled(pair, ism_domain):
    a, b = pair
    region = a.alloc(1, pooled_for=b.devid)
    b.attach(region.token)
    with pytest.raises(FileNotFoundError):
        ism_domain.open().attach(region.token)
    with pytest.raises(FileNotFoundError):
        a.alloc(1, pooled_for=1 << 40)


def test_rights(pair, ism_domain):
    a, b = pair
    c = ism_domain.open()
    region = a.alloc(1, private=True)
    assert region.flags & ism.RegionFlags.PRIVATE
    with pytest.raises(FileNotFoundError):
        b.attach(region.token)
    region.grant(b, ism.READ | ism.WRITE | ism.ATTACH | ism.MANAGE)
    theirs = b.attach(region.token)
    assert theirs.rights == ism.READ | ism.WRITE | ism.ATTACH | ism.MANAGE
    theirs.grant(c.devid, ism.READ | ism.ATTACH)
    c.attach(region.token, readonly=True)
    region.grant_default(ism.READ | ism.WRITE | ism.ATTACH)
    region.grant(c, ism.Rights.NONE)
    with pytest.raises(FileNotFoundError):
        c.attach(region.token)
    with pytest.raises(OSError):
        region.grant(b, ism.WRITE)


def test_a_peer_is_shut_out(pair, ism_domain):
    a, b = pair
    out = ism_domain.open()
    old = a.alloc(MIB)
    theirs, lost = b.attach(old.token), out.attach(old.token)
    for event in a, b, out:
        while event.next_event():
            pass
    with pytest.raises(FileNotFoundError):
        theirs.successor()
    old.grant(out, ism.Rights.NONE)
    new = old.replace(prefault=True)
    assert (new.size, new.flags & ism.RegionFlags.PREFAULT) == (old.size, ism.RegionFlags.PREFAULT)
    (moved,) = b.wait_events(30)
    assert (moved.kind, moved.region, moved.devid) == (ism.EventKind.MOVED, theirs, a.devid)
    successor = theirs.successor()
    successor[:5] = b"fresh"
    assert (new[:5], successor.token, old[:5]) == (b"fresh", new.token, bytes(5))
    assert theirs.successor(readonly=True).readonly
    for refused in lost.successor, lambda: out.attach(new.token):
        with pytest.raises(FileNotFoundError):
            refused()
    assert out.next_event() is None
    with pytest.raises(OSError) as again:
        old.replace()
    assert again.value.errno == errno.EALREADY
    old.close()
    with pytest.raises(OSError):
        old.replace()


def test_shut_out_by_the_hosts_user(pair, ism_domain):
    a, b = pair
    host, out = ism_domain.open(), ism_domain.open()
    old = a.alloc(MIB)
    theirs, lost = b.attach(old.token), out.attach(old.token)
    with pytest.raises(OSError) as creator:
        host.shut_out(old.token, [a])
    assert creator.value.errno == errno.EINVAL
    with pytest.raises(FileNotFoundError):
        host.shut_out(old.token ^ 1)
    with pytest.raises(ValueError, match="0 to 64"):
        host.shut_out(old.token, range(65))
    held = host.shut_out(old.ref, [out])
    assert held.readonly
    assert theirs.successor().token == held.token
    with pytest.raises(FileNotFoundError):
        lost.successor()


def test_flags(pair):
    region = pair[0].alloc(4 * MIB, prefault=True)
    assert region.flags & ism.RegionFlags.PREFAULT
    with pytest.raises(OSError):
        pair[0].alloc(1, node=10_000, required=True)

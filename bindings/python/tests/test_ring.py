# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Rings: records copied and in place, waiting, ends, threads, a peer that scribbles."""

import errno
import random
import threading

import ism
import pytest

MIB = 1 << 20


@pytest.fixture
def ends(pair):
    a, b = pair
    mine = a.alloc(MIB)
    writer = mine.create_ring("writer")
    return writer, b.attach(mine.token).attach_ring("reader")


def test_records(ends):
    writer, reader = ends
    assert writer.max_record == reader.max_record
    records = [b"", b"x", bytes(1000), random.randbytes(writer.max_record)]
    for record in records:
        writer.send(record, 5)
        assert reader.recv(5) == record
    writer.send(memoryview(b"abcd").cast("H"))  # any buffer
    assert reader.recv() == b"abcd"
    with pytest.raises(ism.Error) as caught:
        writer.send(bytes(writer.max_record + 1))
    assert caught.value.errno == errno.EMSGSIZE
    for wrong in (lambda: reader.send(b""), lambda: writer.recv(0)):
        with pytest.raises(ism.Error, match="end") as caught:
            wrong()
        assert caught.value.errno == errno.EINVAL
    with pytest.raises(ValueError, match="role"):
        writer.region.create_ring("owner")


def test_waiting(ends):
    writer, reader = ends
    with pytest.raises(BlockingIOError):
        reader.recv(0)
    with pytest.raises(TimeoutError) as caught:
        reader.recv(0.01)
    assert caught.value.errno == errno.ETIMEDOUT
    filled = 0
    while True:
        try:
            writer.send(bytes(65536), 0)
        except BlockingIOError:
            break
        filled += 1
    assert filled >= 4
    with pytest.raises(TimeoutError):
        writer.send(bytes(65536), 0.01)
    with pytest.raises(TimeoutError):
        writer.wait(0.01, 65536)
    late = threading.Timer(0.05, lambda: [reader.recv() for _ in range(filled)])
    late.start()
    writer.send(bytes(65536), 30)
    late.join()


def test_recv_into(ends):
    writer, reader = ends
    buf = bytearray(8)
    writer.send(b"12345")
    assert reader.recv_into(buf) == 5 and buf == b"12345\0\0\0"
    writer.send(b"123456789")
    with pytest.raises(ism.Error) as caught:
        reader.recv_into(buf)
    assert caught.value.errno == errno.EMSGSIZE
    assert reader.recv() == b"123456789"  # still there
    with pytest.raises(TypeError):
        reader.recv_into(b"constant")


def test_many(ends):
    writer, reader = ends
    records = [bytes([i % 251]) * (i * i % 1500) for i in range(200)]  # empty ones, too, and of different lengths
    assert writer.send_many(records, 5) == 200
    got = []
    while len(got) < 200:
        some = reader.recv_many(150, 5)
        assert 1 <= len(some) <= 150
        got += some
    assert got == records
    assert writer.send_many(iter([bytearray(b"a"), memoryview(b"bc").cast("H"), b""])) == 3  # any buffers
    assert reader.recv_many(1) == [b"a"]
    assert reader.recv_many(9) == [b"bc", b""]
    with pytest.raises(BlockingIOError):
        reader.recv_many(9, 0)
    with pytest.raises(TimeoutError):
        reader.recv_many(9, 0.01)
    assert writer.send_many([]) == 0

    large = random.randbytes(writer.max_record)
    assert writer.send_many([b"short", large, b"short"], 5) == 3
    assert [reader.recv_many(9, 5) for _ in range(3)] == [[b"short"], [large], [b"short"]]


def test_many_stops(ends):
    """At what does not fit, at a full ring, at the end."""
    writer, reader = ends
    assert writer.send_many([b"1", b"2", bytes(writer.max_record + 1), b"3"]) == 2
    with pytest.raises(ism.Error) as caught:
        writer.send_many([bytes(writer.max_record + 1), b"3"])
    assert caught.value.errno == errno.EMSGSIZE
    assert reader.recv_many(9) == [b"1", b"2"]

    record = bytes(10_000)
    written = writer.send_many([record] * 1000, 0)
    assert 4 <= written < 1000
    with pytest.raises(BlockingIOError):
        writer.send_many([record], 0)
    with pytest.raises(TimeoutError):
        writer.send_many([record], 0.01)
    got = []
    late = threading.Timer(0.05, lambda: got.extend(reader.recv_many(1000)))
    late.start()
    more = writer.send_many([record] * 1000, 30)  # waits for the first of them
    late.join()
    assert 1 <= more < 1000
    while len(got) < written + more:
        got += reader.recv_many(1000, 0)
    assert got == [record] * (written + more)

    for wrong in ([1], "text", [b"a", None], 5):
        with pytest.raises(TypeError):
            writer.send_many(wrong)
    for wrong in (0, -1):
        with pytest.raises(ValueError):
            reader.recv_many(wrong)
    for other_end in (lambda: reader.send_many([b""]), lambda: writer.recv_many(1, 0)):
        with pytest.raises(ism.Error, match="end") as caught:
            other_end()
        assert caught.value.errno == errno.EINVAL

    writer.send_many([b"last", b"words"])
    writer.close()
    assert reader.recv_many(9) == [b"last", b"words"]
    with pytest.raises(BrokenPipeError):
        reader.recv_many(9)
    for closed in (lambda: writer.send_many([]), lambda: writer.send_many([b""])):
        with pytest.raises(ism.ClosedError):
            closed()


def test_many_cross(ends):
    """Batches of all sizes from one thread to another: all records, whole and in order."""
    writer, reader = ends
    rng = random.Random(1)
    records = [rng.randbytes(rng.choice((0, 10, 100, 300, 5000, 70_000, writer.max_record))) for _ in range(500)]

    def write():
        i = 0
        while i < len(records):
            i += writer.send_many(records[i : i + rng.randint(1, 40)], 30)
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    got = []
    while len(got) < len(records):
        got += reader.recv_many(1 + len(got) % 50, 30)
    thread.join()
    assert got == records and reader.ended()


def test_in_place(ends):
    writer, reader = ends
    assert reader.peek() is None
    room = writer.reserve(16)
    room[:4] = b"head"
    assert reader.peek() is None  # not before the commit
    writer.commit(4)
    with pytest.raises(ValueError):  # its view is released
        room[0] = 1
    view = reader.peek()
    assert bytes(view) == b"head" and view.readonly
    reader.release()
    with pytest.raises(ValueError):
        view[0]
    for wrong in (reader.release, lambda: writer.commit(1), lambda: writer.reserve(-1)):
        with pytest.raises((ism.Error, ValueError)):
            wrong()


def test_blocks(ends):
    writer, reader = ends
    with writer.room(3) as room:
        room[:] = b"abc"
    with reader.record(5) as record:
        assert bytes(record) == b"abc"
    with pytest.raises(KeyError):
        with writer.room(3) as room:
            raise KeyError
    assert reader.peek() is None
    with pytest.raises(TimeoutError):
        with reader.record(0.01):
            pass


def test_views_are_not_pulled_away(ends):
    """What somebody still looks at through a view of the view is not given back."""
    numpy = pytest.importorskip("numpy")
    writer, reader = ends
    writer.send(bytes(range(64)))
    array = numpy.frombuffer(reader.peek(), dtype=numpy.uint8)
    address = array.__array_interface__["data"][0]
    assert reader.region.address <= address < reader.region.address + MIB
    with pytest.raises(BufferError):
        reader.release()
    with pytest.raises(BufferError):
        reader.peek()
    with pytest.raises(BufferError):
        reader.region.close()
    assert array.sum() == 2016
    del array
    reader.release()


def test_forgotten_views_do_not_hinder(ends):
    """A reservation that nobody looks at any more is no reason to keep a region open."""
    writer, reader = ends
    writer.send(b"record")
    reader.peek()
    writer.reserve(10)
    writer.region.close()
    reader.region.close()


def test_end(ends):
    writer, reader = ends
    writer.send(b"last")
    writer.close()
    assert not reader.ended()
    assert list(reader) == [b"last"] and reader.ended()
    with pytest.raises(BrokenPipeError):
        reader.recv()
    writer.close()
    with pytest.raises(ism.ClosedError):
        writer.send(b"")


def test_reader_gone(ends):
    writer, reader = ends
    with reader:
        pass
    with pytest.raises(BrokenPipeError):
        while True:
            writer.send(bytes(65536), 5)


def test_no_ring_there(pair):
    a, b = pair
    region = a.alloc(MIB)
    with pytest.raises(ism.ProtocolError) as caught:
        region.attach_ring("reader")
    assert caught.value.errno == errno.EPROTO
    for offset, length in ((8, 0), (0, 64), (MIB, 0), (64, MIB)):
        with pytest.raises(ism.Error):
            region.create_ring("reader", offset=offset, length=length)
    one = region.create_ring("writer", length=65536)
    two = region.create_ring("writer", offset=65536, length=65536)
    theirs = b.attach(region.token)
    one.send(b"1")
    two.send(b"2")
    assert theirs.attach_ring("reader", offset=65536).recv(5) == b"2"
    assert theirs.attach_ring("reader", length=65536).recv(5) == b"1"


def test_threads_take_turns(ends):
    """Many threads at one end: nothing is torn, nothing lost, nobody crashes."""
    writer, reader = ends
    threads, each, got = 4, 300, []

    def write(number):
        for i in range(each):
            writer.send(bytes([number]) * (i % 5000), 30)

    def read():
        while True:
            try:
                got.append(reader.recv(30))
            except BrokenPipeError:
                return

    writers = [threading.Thread(target=write, args=(n,)) for n in range(threads)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join(60)
    writer.close()
    for thread in readers:
        thread.join(60)
    assert len(got) == threads * each
    assert all(len(set(record)) <= 1 for record in got)
    assert sorted(map(len, got)) == sorted(i % 5000 for i in range(each) for _ in range(threads))


@pytest.mark.parametrize("seed", range(8))
def test_hostile_peer(pair, seed):
    """Whatever a peer writes over the ring: an error of ours, or other content; never more than that."""
    a, b = pair
    rng = random.Random(seed)
    region = a.alloc(65536)
    theirs = b.attach(region.token)
    ring = region.create_ring("reader" if seed % 2 else "writer")
    stop = threading.Event()

    def scribble():
        while not stop.is_set():
            at = rng.choice([0, 8, 64, 128, 192, 256, rng.randrange(65000)])
            theirs[at : at + 8] = rng.randbytes(8)

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        for _ in range(300):
            try:
                if seed % 2:
                    view = ring.peek()
                    if view is not None:
                        bytes(view)
                        ring.release()
                    assert len(ring.recv_many(10, 0)) <= 10
                else:
                    ring.send(bytes(100), 0)
                    ring.send_many([bytes(100), b""], 0)
            except OSError as err:
                assert err.errno in (errno.EPROTO, errno.EPIPE, errno.EAGAIN)
    finally:
        stop.set()
        thread.join()

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Blocking streams."""

import errno
import io
import random
import struct
import sys
import threading
import time

import ism
import pytest
from ism import _link

MIB = 1 << 20


@pytest.fixture
def ends(pair):
    a, b = pair
    with ism.listen(a) as listener:
        accepted = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept(30)))
        thread.start()
        client = ism.connect(b, listener.ref, timeout=30)
        thread.join()
    yield accepted[0], client
    client.close()
    accepted[0].close()


def in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


def test_bytes_cross(ends):
    server, client = ends
    client.sendall(b"hello")
    assert server.recv(100) == b"hello"
    server.sendall(b"0123456789")
    assert client.recv(4) == b"0123" and client.recv(100) == b"456789"
    data = random.randbytes(5 * MIB)
    thread = in_thread(client.sendall, data)
    got = b""
    while len(got) < len(data):
        got += server.recv(100_000)
    thread.join()
    assert got == data


def test_files(ends):
    """A raw file: what io has works on it."""
    server, client = ends
    reader = io.BufferedReader(server)
    text = io.TextIOWrapper(io.BufferedWriter(client), encoding="utf-8")
    print("line one", "zwei äöü", sep="\n", file=text, flush=True)
    assert reader.readline() == b"line one\n"
    assert reader.readline().decode() == "zwei äöü\n"
    assert server.readable() and server.writable() and not server.seekable()
    client.shutdown()
    assert reader.read() == b""
    text.detach().detach()
    reader.detach()


def test_half_close(ends):
    server, client = ends
    client.sendall(b"last")
    client.shutdown()
    assert server.recv(10) == b"last" and server.recv(10) == b"" and server.recv(10) == b""
    server.sendall(b"answer")
    assert client.recv(10) == b"answer"
    with pytest.raises(BrokenPipeError):
        client.sendall(b"x")
    server.close()
    assert client.recv(10) == b""


def test_write_to_a_closed_end(ends):
    server, client = ends
    server.close()
    with pytest.raises(BrokenPipeError):
        for _ in range(100):
            client.sendall(bytes(65536))
    assert client.recv(1) == b""


def test_timeouts(ends):
    server, client = ends
    client.timeout = 0.01
    with pytest.raises(TimeoutError):
        client.recv(1)
    with pytest.raises(TimeoutError):
        client.sendall(bytes(10 * MIB))
    client.timeout = 0
    with pytest.raises(BlockingIOError):
        client.recv(1)
    client.close()
    with pytest.raises(ValueError):
        client.recv(1)


def test_readinto(ends):
    server, client = ends
    buf = bytearray(6)
    client.sendall(b"abcdefgh")
    assert server.readinto(buf) == 6 and buf == b"abcdef"
    assert server.readinto(memoryview(buf)[:0]) == 0
    assert server.readinto(buf) == 2 and buf == b"ghcdef"


def test_accept_waits_and_times_out(pair):
    a, b = pair
    with ism.listen(a) as listener:
        with pytest.raises(TimeoutError) as caught:
            listener.accept(0.01)
        assert caught.value.errno == errno.ETIMEDOUT
        with pytest.raises(BlockingIOError):
            listener.accept(0)
        with pytest.raises(TimeoutError):
            ism.connect(b, listener.token, timeout=0.02)
        # A dialler that went leaves nothing that could be accepted.
        with pytest.raises(BlockingIOError):
            listener.accept(0)
    with pytest.raises(OSError) as caught:
        ism.connect(b, listener_token(a), timeout=5)
    assert caught.value.errno == errno.ENOENT


def listener_token(device):
    with ism.listen(device) as listener:
        return listener.token


def test_refused(pair):
    a, b = pair
    with pytest.raises(ism.ProtocolError):
        region = a.alloc(1)
        ism.connect(b, region.token)
    listener = ism.listen(a)
    spy = a.attach(listener.token)

    def close_when_dialled():
        while not any(spy.load(64 + 8 * i) for i in range(1024)):
            time.sleep(0.001)
        spy.close()
        listener.close()

    closer = in_thread(close_when_dialled)
    with pytest.raises(ConnectionRefusedError):
        ism.connect(b, listener.token, timeout=30)
    closer.join()
    full = ism.listen(a)
    for i in range(1024):
        full._region.store(64 + 8 * i, 1)
    with pytest.raises(ConnectionRefusedError, match="slots"):
        ism.connect(b, full.token)
    full.close()


@pytest.mark.parametrize("slots", [0, 1025, 0xFFFFFFFF])
def test_hostile_listener(pair, slots):
    a, b = pair
    region = a.alloc(1)
    struct.pack_into("=I", region, 8, slots)
    region.store(0, int.from_bytes(b"ISMLSTN1", sys.byteorder))
    with pytest.raises(ism.ProtocolError, match="slots"):
        ism.connect(b, region.token)


def test_a_listener_that_answers_and_goes(pair, monkeypatch):
    """Between the look into the ring and the one at the listener."""
    a, b = pair
    listener = ism.listen(a)
    dialling = _link.Dialling(b, listener.ref, 1 << 16)
    look = _link.Dialling._listener_gone
    accepted = []

    def late(self):
        if not accepted:
            accepted.append(listener.accept(30))
            listener.close()
        return look(self)

    monkeypatch.setattr(_link.Dialling, "_listener_gone", late)
    assert dialling.answered() and accepted
    dialling.link.close()
    accepted[0].close()


def test_hostile_diallers(pair):
    """Slots may hold anything."""
    a, b = pair
    with ism.listen(a) as listener:
        theirs = b.attach(listener.token)
        empty, ring, greeted = b.alloc_many(65536, 3)
        ring.create_ring("writer").send(b"wrong")
        writer = greeted.create_ring("writer")
        writer.send(b"ISMSTRM1" + struct.pack("=Q", 0x1234))
        for i, token in enumerate((1 << 63, empty.token, ring.token, greeted.token, theirs.token)):
            theirs.store(64 + 8 * i, token)
        theirs.notify()
        with pytest.raises(TimeoutError):
            listener.accept(0.2)
        thread = in_thread(lambda: listener.accept(30).close())
        ism.connect(b, listener.token, timeout=30).close()
        thread.join()
    assert a.stats().regions == 0


def test_only_the_listener_is_let_in(pair, ism_domain):
    """Somebody else who may dial sees the tokens of diallers, but cannot take their streams."""
    a, b = pair
    c = ism_domain.open()
    with ism.listen(a) as listener:
        spy = c.attach(listener.token)
        caught = []

        def steal():
            while not caught:
                caught.extend(t for i in range(1024) if (t := spy.load(64 + 8 * i)))

        thread = in_thread(steal)
        while not caught:
            with pytest.raises(TimeoutError):
                ism.connect(b, listener.token, timeout=0.1)
        thread.join()
        dialling = _link.Dialling(b, listener.token, 65536)
        with pytest.raises(FileNotFoundError):
            c.attach(dialling.link.tx.region.token)
        dialling.give_up()

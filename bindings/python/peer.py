#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""The peer that speaks for Python in the matrix of the bindings: bindings/conformance.md has its lines."""

import asyncio
import errno
import random
import sys
import time
import zlib

import ism

RECORD_MAX = 1 << 20


class Peer:
    def __init__(self):
        self.dev = None
        self.regions, self.rings, self.listeners, self.streams = {}, {}, {}, {}
        self.loop = asyncio.new_event_loop()

    # ---------------------------------------------------------------- device and regions

    def do_hello(self):
        return ["python", ism.version(), "ring", "stream"]

    def do_open(self, uri, *flags):
        self.dev = ism.open(uri, host="host" in flags, name="matrix-python")
        info = self.dev.info()
        return [info.devid, f"{info.gid:016x}"]

    def do_close(self):
        for stream in self.streams.values():
            stream.close()
        self.dev.close()
        self.__init__()

    def do_alloc(self, name, size, *flags):
        region = self.regions[name] = self.dev.alloc(int(size), private="private" in flags, vector="vector" in flags)
        return [f"{region.token:016x}", len(region)]

    def do_attach(self, name, token, rights, *flags):
        readonly = rights == "r"
        region = self.dev.attach(int(token, 16), readonly=readonly, vector="vector" in flags)
        self.regions[name] = region
        return [len(region)]

    def do_attachmany(self, name, rights, *tokens):
        regions = self.dev.attach_many([int(token, 16) for token in tokens], readonly=rights == "r")
        self.regions.update((f"{name}{i}", region) for i, region in enumerate(regions))
        return [len(regions[0])]

    def do_closemany(self, name, count):
        ism.close_many([self.regions.pop(f"{name}{i}") for i in range(int(count))])

    def do_detach(self, name):
        self.regions.pop(name).close()

    def do_grant(self, name, devid, letters):
        rights = ism.Rights(sum(1 << "rwamc".index(c) for c in letters if c != "-"))
        if devid == "default":
            self.regions[name].grant_default(rights)
        else:
            self.regions[name].grant(int(devid), rights)

    def do_peers(self, name):
        peers = self.regions[name].peers()
        return [len(peers), *peers]

    def do_replace(self, name, new):
        region = self.regions[new] = self.regions[name].replace()
        return [f"{region.token:016x}"]

    def do_successor(self, name, new, rights):
        self.regions[new] = self.regions[name].successor(readonly=rights == "r")

    def do_direct(self):
        return [self.dev.stats().rings_direct]

    # ---------------------------------------------------------------- memory

    def part(self, name, offset, length):
        view = memoryview(self.regions[name])
        at, end = int(offset), int(offset) + int(length)
        if end > len(view):
            raise IndexError(f"{end} is beyond the region's {len(view)}")
        return view[at:end]

    def do_write(self, name, offset, hexed):
        data = unhex(hexed)
        self.part(name, offset, len(data))[:] = data

    def do_read(self, name, offset, length):
        return [rehex(self.part(name, offset, length))]

    def do_fill(self, name, offset, length, seed):
        self.part(name, offset, length)[:] = pattern(int(length), int(seed))

    def do_crc(self, name, offset, length):
        return [f"{zlib.crc32(self.part(name, offset, length)):08x}"]

    def do_scribble(self, name, offset, length, seed, ms):
        view, rng = self.part(name, offset, length), random.Random(int(seed))
        end = time.monotonic() + int(ms) / 1000
        while time.monotonic() < end:
            for _ in range(100):
                view[rng.randrange(len(view))] = rng.randrange(256)

    # ---------------------------------------------------------------- doorbells, events

    def do_notify(self, name):
        self.regions[name].notify()

    def do_wait(self, name, ms):
        return [int(self.regions[name].wait(seconds(ms)))]

    def do_await(self, name, ms):
        async def rung():
            try:
                async with asyncio.timeout(seconds(ms)):
                    await self.regions[name].rung()
                return [1]
            except TimeoutError as err:
                if isinstance(err, ism.Error):
                    raise
                return [0]

        return self.loop.run_until_complete(rung())

    def do_event(self, ms):
        events = self.dev.wait_events(seconds(ms), max=1)
        if not events:
            return ["none"]
        (event,) = events
        name = next((n for n, r in self.regions.items() if r is event.region), "-")
        return [event.kind.name, event.devid, event.peers, name]

    # ---------------------------------------------------------------- rings

    def do_ring(self, name, region, how, role):
        make = self.regions[region].create_ring if how == "create" else self.regions[region].attach_ring
        self.rings[name] = make(role)
        return [self.rings[name].max_record]

    def do_send(self, name, ms, hexed):
        self.rings[name].send(unhex(hexed), seconds(ms))

    def do_recv(self, name, ms):
        return [rehex(self.rings[name].recv(seconds(ms)))]

    def do_pump(self, name, count, size, seed, ms):
        for i in range(int(count)):
            self.rings[name].send(pattern(int(size), int(seed) + i), seconds(ms))

    def do_drain(self, name, count, size, seed, ms):
        for i in range(int(count)):
            if self.rings[name].recv(seconds(ms)) != pattern(int(size), int(seed) + i):
                raise OSError(errno.EBADMSG, "a record differs")

    def do_ping(self, out, into, count, size, _reply, ms):
        out, into, patience = self.rings[out], self.rings[into], seconds(ms)
        record, room, took = bytes(int(size)), bytearray(RECORD_MAX), []
        for _ in range(int(count)):
            began = time.perf_counter_ns()
            out.send(record, patience)
            into.recv_into(room, patience)
            took.append(time.perf_counter_ns() - began)
        return [sorted(took)[len(took) // 2]]

    def do_echo(self, into, out, count, _size, reply, ms):
        out, into, patience = self.rings[out], self.rings[into], seconds(ms)
        record, room = bytes(int(reply)), bytearray(RECORD_MAX)
        for _ in range(int(count)):
            into.recv_into(room, patience)
            out.send(record, patience)

    def do_unring(self, name):
        self.rings.pop(name).close()

    # ---------------------------------------------------------------- streams

    def do_listen(self, name):
        self.listeners[name] = ism.listen(self.dev)
        return [f"{self.listeners[name].token:016x}"]

    def do_unlisten(self, name):
        self.listeners.pop(name).close()

    def do_accept(self, name, stream, ms):
        self.streams[stream] = self.listeners[name].accept(seconds(ms))

    def do_dial(self, stream, token, ms):
        self.streams[stream] = ism.connect(self.dev, token, timeout=seconds(ms))

    def timed(self, name, ms):
        stream = self.streams[name]
        stream.timeout = seconds(ms)
        return stream

    def do_put(self, name, ms, hexed):
        self.timed(name, ms).sendall(unhex(hexed))

    def do_get(self, name, length, ms):
        stream, got = self.timed(name, ms), b""
        while len(got) < int(length) and (data := stream.recv(int(length) - len(got))):
            got += data
        return [rehex(got)]

    def do_feed(self, name, length, seed, ms):
        self.timed(name, ms).sendall(pattern(int(length), int(seed)))

    def do_eat(self, name, ms):
        stream, length, crc = self.timed(name, ms), 0, 0
        while data := stream.recv(1 << 16):
            length, crc = length + len(data), zlib.crc32(data, crc)
        return [length, f"{crc:08x}"]

    def do_shut(self, name):
        self.streams[name].shutdown()

    def do_hangup(self, name):
        self.streams.pop(name).close()


def seconds(ms):
    return int(ms) / 1000


def unhex(text):
    return b"" if text == "-" else bytes.fromhex(text)


def rehex(data):
    return bytes(data).hex() or "-"


def pattern(length, seed):
    turn = bytes((seed + i) % 251 for i in range(251))
    return (turn * (length // 251 + 1))[:length]


def failure(err):
    """An errno for what Python raises."""
    if isinstance(err, OSError):
        return err.errno
    if isinstance(err, TypeError):
        return errno.EROFS  # what a read-only view raises
    return errno.ERANGE if isinstance(err, IndexError) else errno.EINVAL


def main():
    peer = Peer()
    for line in sys.stdin:
        words = line.split()
        if not words:
            continue
        if words[0] == "quit":
            break
        command = getattr(peer, "do_" + words[0], None)
        try:
            if command is None:
                raise OSError(errno.ENOSYS, "unknown command")
            answer = command(*words[1:]) or []
            print("ok", *answer, flush=True)
        except (OSError, TypeError, ValueError, LookupError) as err:
            print("err", failure(err), str(err).replace("\n", " "), flush=True)
    if peer.dev is not None:
        peer.do_close()
    print("ok", flush=True)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""The cases of bindings/conformance.md that two processes play."""

import errno
import random
import zlib

from peer import PeerDied, PeerError

MS = 30000  # for what will come
SOON = 50  # for what will not
MIB = 1 << 20
NEEDS = {"ring": ["ring"], "hostile_ring": ["ring"], "killed_ring": ["ring"], "measured": ["ring"]}
ALL = {}
LEFT = "domain-doomed-"  # a killed host cannot remove its socket and lock


class Wrong(Exception):
    """Something else than expected."""


def case(function):
    ALL[function.__name__] = function
    if function.__name__ not in NEEDS and "stream" in function.__name__:
        NEEDS[function.__name__] = ["stream"]
    return function


def same(got, expected, what=""):
    if got != expected:
        raise Wrong(f"{what}: got {str(got)[:200]}, expected {str(expected)[:200]}")


def fails(code, peer, *words):
    codes = code if isinstance(code, tuple) else (code,)
    try:
        got = peer.ask(*words)
    except PeerError as err:
        if err.errno not in codes:
            raise Wrong(f"{err}; expected {[errno.errorcode[c] for c in codes]}") from None
        return err.errno
    raise Wrong(f"{peer.name}: {' '.join(map(str, words))[:100]}: ok {got}; expected {errno.errorcode[codes[0]]}")


def pattern(length, seed):
    return bytes((seed + i) % 251 for i in range(length))


def both(pair, a, b):
    a.open(pair.uri)
    b.open(pair.uri)
    same(a.gid, b.gid, "the domain")


def shared(pair, a, b, size=MIB, rights="rw", *flags):
    """A region of A's that B attached, both by the name r."""
    both(pair, a, b)
    token, got = a.ask("alloc", "r", size, *flags)
    same(int(got), (size + 65535) // 65536 * 65536, "the size")
    same(b.ask("attach", "r", token, rights, *flags), [got], "the size on the other side")
    return token


def event(peer, kind):
    """The next event that is no doorbell."""
    for _ in range(20):
        got = peer.ask("event", MS)
        if got[0] != "UPDATE":
            same(got[0], kind, "the event")
            return got
    raise Wrong(f"{peer.name}: only doorbells, expected {kind}")


@case
def token(pair, a, b):
    t = shared(pair, a, b, 1_000_000)
    same(len(t), 16, "digits of a token")
    a.ask("write", "r", 7, b"from one side".hex())
    same(b.ask("read", "r", 7, 13), [b"from one side".hex()])
    b.ask("fill", "r", 4096, 500_000, 17)
    same(a.ask("crc", "r", 4096, 500_000), [f"{zlib.crc32(pattern(500_000, 17)):08x}"])
    # The last byte there is, and not one more.
    b.ask("write", "r", MIB - 1, "a5")
    same(a.ask("read", "r", MIB - 1, 1), ["a5"])
    fails((errno.ERANGE, errno.EINVAL), b, "write", "r", MIB, "00")
    fails((errno.ERANGE, errno.EINVAL), b, "read", "r", MIB - 1, 2)
    fails(errno.ENOENT, b, "attach", "none", f"{int(t, 16) ^ 1:016x}", "r")
    fails(errno.EINVAL, b, "attach", "none", "0" * 16, "r")
    same(a.ask("peers", "r"), ["1", b.devid], "the peers")


@case
def rights(pair, a, b):
    shared(pair, a, b, MIB, "r")
    a.ask("write", "r", 0, "01")
    same(b.ask("read", "r", 0, 1), ["01"])
    fails((errno.EROFS, errno.EACCES, errno.EPERM), b, "write", "r", 0, "02")
    fails((errno.EROFS, errno.EACCES, errno.EPERM), b, "fill", "r", 0, 10, 1)
    same(a.ask("read", "r", 0, 1), ["01"])
    t, _ = a.ask("alloc", "p", MIB, "private")
    fails(errno.ENOENT, b, "attach", "p", t, "r")
    a.ask("grant", "p", b.devid, "r")
    fails(errno.EACCES, b, "attach", "p", t, "r")
    a.ask("grant", "p", b.devid, "ra")
    fails(errno.EROFS, b, "attach", "p", t, "rw")
    b.ask("attach", "p", t, "r")
    fails(errno.EPERM, b, "grant", "p", a.devid, "ra")
    b.ask("detach", "p")
    a.ask("grant", "p", b.devid, "-")
    fails(errno.ENOENT, b, "attach", "p", t, "r")
    a.ask("grant", "p", "default", "rwa")
    a.ask("grant", "p", b.devid, "rwa")
    b.ask("attach", "p", t, "rw")


@case
def doorbell(pair, a, b):
    for flags in ([], ["vector"]):
        shared(pair, a, b, 65536, "rw", *flags)
        same(b.ask("wait", "r", SOON), ["0"], "without a ring")
        for how in ("wait", "await"):
            for _ in range(3):
                a.ask("write", "r", 0, "55")
                b.tell(how, "r", MS)
                a.ask("notify", "r")
                same(b.answer(), ["1"], how)
                same(b.ask("read", "r", 0, 1), ["55"])
                b.ask("write", "r", 0, "66")
                b.ask("notify", "r")
                same(a.ask(how, "r", MS), ["1"], how)
                same(a.ask("read", "r", 0, 1), ["66"])
        same(a.ask("await", "r", SOON), ["0"], "a ring of one's own")
        a.forget()
        b.forget()


@case
def events(pair, a, b):
    shared(pair, a, b)
    same(event(a, "ATTACH"), ["ATTACH", b.devid, "1", "r"])
    b.ask("notify", "r")
    same(a.ask("event", MS)[::3], ["UPDATE", "r"])
    b.ask("detach", "r")
    same(event(a, "DETACH"), ["DETACH", b.devid, "0", "r"])
    same(a.ask("event", SOON), ["none"])
    fails(errno.EPIPE, a, "wait", "r", MS)


@case
def ring(pair, a, b):
    shared(pair, a, b)
    largest = int(a.ask("ring", "k", "r", "create", "writer")[0])
    same(b.ask("ring", "k", "r", "attach", "reader"), [str(largest)], "the largest record")
    fails((errno.ETIMEDOUT, errno.EAGAIN), b, "recv", "k", SOON)
    a.ask("send", "k", MS, "-")
    same(b.ask("recv", "k", MS), ["-"])
    for count, size in ((300, 13), (20, 65536), (3, largest)):
        b.tell("drain", "k", count, size, size, MS)
        a.ask("pump", "k", count, size, size, MS)
        b.answer()
    fails(errno.EMSGSIZE, a, "pump", "k", 1, largest + 1, 0, MS)
    fails(errno.EINVAL, b, "send", "k", MS, "00")
    # Full, and a reader that comes late.
    a.tell("pump", "k", 40, 65536, 3, MS)
    b.ask("drain", "k", 40, 65536, 3, MS)
    a.answer()
    a.ask("send", "k", MS, "0102")
    a.ask("unring", "k")
    same(b.ask("recv", "k", MS), ["0102"])
    fails(errno.EPIPE, b, "recv", "k", MS)


@case
def killed(pair, a, b):
    shared(pair, a, b)
    a.ask("fill", "r", 0, MIB, 9)
    a.ask("notify", "r")
    same(b.ask("wait", "r", MS), ["1"])
    b.tell("wait", "r", MS)
    a.kill()
    try:
        b.answer()
        raise Wrong("the wait ended as if rung")
    except PeerError as err:
        same(err.errno, errno.EPIPE, "the wait's end")
    same(b.ask("crc", "r", 0, MIB), [f"{zlib.crc32(pattern(MIB, 9)):08x}"])
    same(event(b, "DETACH")[1], a.devid)
    same(b.ask("peers", "r"), ["0"])


@case
def replaced(pair, a, b):
    """A shuts a third device out: B is told, and goes over; who is out stays behind."""
    t = shared(pair, a, b)
    out = pair.extra("c")
    out.open(pair.uri)
    out.ask("attach", "r", t, "rw")
    fails(errno.ENOENT, b, "successor", "r", "none", "rw")
    a.ask("grant", "r", out.devid, "-")
    (fresh,) = a.ask("replace", "r", "new")
    got = b.ask("event", MS)
    while got[0] != "MOVED":
        got = b.ask("event", MS)
    same(got[1:], [a.devid, "2", "r"], "who replaced which, and how many others have it")
    b.ask("successor", "r", "new", "rw")
    b.ask("write", "new", 0, "f5e5")
    same(a.ask("read", "new", 0, 2), ["f5e5"])
    same(a.ask("read", "r", 0, 2), ["0000"], "the old memory")
    a.ask("notify", "new")
    same(b.ask("wait", "new", MS), ["1"])
    fails(errno.ENOENT, out, "attach", "new", fresh, "r")
    fails(errno.ENOENT, out, "successor", "r", "new", "r")
    fails(errno.EALREADY, a, "replace", "r", "again")


@case
def many(pair, a, b):
    """B attaches eight of A's regions in one call, and closes them in one."""
    both(pair, a, b)
    tokens = [a.ask("alloc", f"r{i}", 65536)[0] for i in range(8)]
    unknown = f"{int(tokens[0], 16) ^ 1:016x}"
    fails(errno.ENOENT, b, "attachmany", "r", "rw", *tokens[:7], unknown)
    same(a.ask("peers", "r0"), ["0"], "the peers, after none was attached")
    while a.ask("event", SOON)[0] != "none":
        pass  # it came and went
    same(b.ask("attachmany", "r", "rw", *tokens), ["65536"], "the size")
    for i in range(8):
        b.ask("write", f"r{i}", 0, f"{i:02x}")
        same(a.ask("read", f"r{i}", 0, 1), [f"{i:02x}"], f"region {i}")
        same(event(a, "ATTACH"), ["ATTACH", b.devid, "1", f"r{i}"])
    a.ask("notify", "r5")
    same(b.ask("wait", "r5", MS), ["1"])
    b.ask("closemany", "r", 8)
    gone = {event(a, "DETACH")[3] for _ in range(8)}
    same(gone, {f"r{i}" for i in range(8)}, "what A heard of")
    same(a.ask("peers", "r7"), ["0"])
    fails((errno.EBADF, errno.EINVAL), b, "read", "r0", 0, 1)
    b.ask("attachmany", "r", "r", *tokens[:2])
    same(b.ask("read", "r1", 0, 1), ["01"])
    fails((errno.EROFS, errno.EACCES, errno.EPERM), b, "write", "r1", 0, "02")


@case
def measured(pair, a, b):
    """What bench/bindings does, once."""
    shared(pair, a, b, 8 * MIB)
    t, _ = a.ask("alloc", "back", 8 * MIB)
    b.ask("attach", "back", t, "rw")
    for peer, how, first, second in ((a, "create", "writer", "reader"), (b, "attach", "reader", "writer")):
        peer.ask("ring", "k", "r", how, first)
        peer.ask("ring", "l", "back", how, second)
    for size in (64, MIB):
        b.tell("echo", "k", "l", 10, size, 8, MS)
        (took,) = a.ask("ping", "k", "l", 10, size, 8, MS)
        b.answer()
        same(int(took) > 0, True, "the time")


@case
def killed_ring(pair, a, b):
    shared(pair, a, b)
    a.ask("ring", "k", "r", "create", "writer")
    b.ask("ring", "k", "r", "attach", "reader")
    a.ask("send", "k", MS, "0a0b")
    a.kill()
    same(b.ask("recv", "k", MS), ["0a0b"], "what was sent before")
    fails(errno.ECONNRESET, b, "recv", "k", MS)


@case
def host_gone(pair, a, b):
    host = pair.extra("c")
    uri = pair.doomed
    host.open(uri, host=True)
    a.open(uri)
    b.open(uri)
    t, _ = a.ask("alloc", "r", MIB)
    b.ask("attach", "r", t, "rw")
    for _ in range(MS):  # until they are linked, of which the other end makes its half when it is next called
        a.ask("notify", "r")
        same(b.ask("wait", "r", MS), ["1"])
        if a.ask("direct") != ["0"]:
            break
    host.kill()
    a.ask("event", 0)  # the ATTACH
    for peer in (a, b):
        event(peer, "RESET")
    a.ask("write", "r", 5, "77")
    a.ask("notify", "r")
    same(b.ask("wait", "r", MS), ["1"], "the doorbell between survivors")
    same(b.ask("read", "r", 5, 1), ["77"])
    fails(errno.EHOSTDOWN, b, "alloc", "q", MIB)


LIKELY = (errno.EPROTO, errno.ETIMEDOUT, errno.EPIPE, errno.ECONNRESET, errno.EAGAIN, errno.EMSGSIZE,
          errno.EBADMSG)


def survives(peer, *words):
    """Whatever the answer, within reason, there is one.  Whether it was `ok`."""
    done = True
    try:
        peer.ask(*words)
    except PeerError as err:
        if err.errno not in LIKELY:
            raise Wrong(f"unexpected: {err}") from None
        done = False
    peer.ask("hello")
    return done


@case
def hostile_ring(pair, a, b):
    """A writes over the ring that B uses: wrong words first, then anything."""
    rng = random.Random(b.devid if b.opened else 1)
    both(pair, a, b)
    places = {"magic": 0, "capacity": 8, "tail": 64, "waits": 128, "closed": 132, "writer": 192, "data": 256}
    for role, other in (("reader", "writer"), ("writer", "reader")):
        for place, offset in places.items():
            t, _ = a.ask("alloc", "r", 65536)
            b.ask("attach", "r", t, "rw")
            a.ask("ring", "k", "r", "create", other)
            b.ask("ring", "k", "r", "attach", role)
            a.ask("write", "r", offset, rng.randbytes(16).hex())
            survives(b, *(("recv", "k", SOON) if role == "reader" else ("pump", "k", 3, 9000, 0, SOON)))
            if survives(b, "ring", "q", "r", "attach", role):
                b.ask("unring", "q")
            for peer in (b, a):
                peer.ask("unring", "k")
                peer.ask("detach", "r")
    t, _ = a.ask("alloc", "r", 65536)
    b.ask("attach", "r", t, "rw")
    for role in ("reader", "writer"):
        for seed in range(3):
            b.ask("ring", "k" + role + str(seed), "r", "create", role)
            a.tell("scribble", "r", 0, 65536, seed, 100)
            command = ("drain", 1000, 100) if role == "reader" else ("pump", 1000, 100)
            survives(b, command[0], "k" + role + str(seed), *command[1:], seed, SOON)
            a.answer()
    a.ask("hello")


# -------------------------------------------------------------------- streams


def connected(pair, a, b):
    """A listens, B dials; both call the stream s."""
    both(pair, a, b)
    (t,) = a.ask("listen", "l")
    a.tell("accept", "l", "s", MS)
    b.ask("dial", "s", t, MS)
    a.answer()
    return t


@case
def stream(pair, a, b):
    t = connected(pair, a, b)
    for x, y in ((a, b), (b, a)):
        x.ask("put", "s", MS, b"hello".hex())
        same(y.ask("get", "s", 5, MS), [b"hello".hex()])
    fails(errno.ETIMEDOUT, a, "get", "s", 1, SOON)
    for x, y, length in ((a, b, 3_000_000), (b, a, 2_000_000)):
        x.tell("feed", "s", length, 5, MS)  # more than both rings hold: the reader's pace counts
        y.tell("get", "s", 7, MS)
        same(y.answer(), [pattern(7, 5).hex()])
        got = y.ask("get", "s", 300_000, MS)
        same(got, [pattern(300_007, 5)[7:].hex()])
        if x is a:
            rest = y.ask("get", "s", length - 300_007, MS)
            same(rest, [pattern(length, 5)[300_007:].hex()])
            x.answer()
            continue
        y.tell("eat", "s", MS)
        x.answer()
        x.ask("shut", "s")  # half: the other direction goes on
        same(y.answer(), [str(length - 300_007), f"{zlib.crc32(pattern(length, 5)[300_007:]):08x}"])
    a.ask("put", "s", MS, "4142")
    same(b.ask("get", "s", 2, MS), ["4142"])
    a.ask("hangup", "s")
    same(b.ask("get", "s", 1, MS), ["-"], "the end")
    fails((errno.EPIPE, errno.ECONNRESET), b, "feed", "s", 4_000_000, 0, MS)
    b.ask("hangup", "s")
    a.tell("accept", "l", "s", MS)  # and once more
    b.ask("dial", "s", t, MS)
    a.answer()
    a.ask("unlisten", "l")
    b.ask("put", "s", MS, "43")
    same(a.ask("get", "s", 1, MS), ["43"])
    fails((errno.ECONNREFUSED, errno.ENOENT), b, "dial", "q", t, MS)


@case
def stream_private(pair, a, b):
    """Who sees the listener's slots cannot take what another has offered there."""
    both(pair, a, b)
    (t,) = a.ask("listen", "l")
    thief = pair.extra("c")
    thief.open(pair.uri)
    thief.ask("attach", "m", t, "rw")
    b.tell("dial", "s", t, MS)
    for _ in range(MS):
        (slots,) = thief.ask("read", "m", 64, 8192)
        if slots.strip("0"):
            break
        thief.ask("wait", "m", 1)
    words = [bytes.fromhex(slots)[i : i + 8] for i in range(0, 8192, 8)]
    offered = int.from_bytes(next(w for w in words if any(w)), "little")
    fails(errno.ENOENT, thief, "attach", "stolen", f"{offered:016x}", "rw")
    a.ask("accept", "l", "s", MS)
    b.answer()


@case
def stream_killed(pair, a, b):
    connected(pair, a, b)
    a.ask("put", "s", MS, "4142")
    b.ask("get", "s", 1, MS)
    b.tell("get", "s", 100, MS)
    a.kill()
    try:
        raise Wrong(f"an end of file after a kill: {b.answer()}")
    except PeerError as err:
        same(err.errno, errno.ECONNRESET, "the read's end")
    fails((errno.EPIPE, errno.ECONNRESET), b, "feed", "s", 4_000_000, 0, MS)
    b.ask("hangup", "s")


@case
def hostile_listener(pair, a, b):
    """Diallers that leave anything in the listener's slots, and listeners that are none."""
    both(pair, a, b)
    (t,) = a.ask("listen", "l")
    b.ask("attach", "m", t, "rw")
    junk, _ = b.ask("alloc", "j", 65536)  # a region without a ring
    for token in (junk, f"{0x1234:016x}"):
        slot = bytes.fromhex(token)[::-1]
        b.ask("write", "m", 64, (slot + bytes(8)).hex())
        b.ask("notify", "m")
        fails((errno.ETIMEDOUT, errno.EAGAIN), a, "accept", "l", "s", 500)
    a.tell("accept", "l", "s", MS)
    b.ask("dial", "s", t, MS)
    a.answer()
    fails(errno.EPROTO, a, "dial", "q", junk, MS)
    for bad in (b"ISMLSTN1".hex() + "ffffffff", b"ISMLSTN1".hex() + "00000000"):
        none, _ = b.ask("alloc", "n", 65536)
        b.ask("write", "n", 0, bad)
        # A wrong number of slots may be refused, or be taken for what fits.
        fails((errno.EPROTO, errno.ECONNREFUSED, errno.ETIMEDOUT), a, "dial", "q", none, 500)
        b.ask("detach", "n")
    a.ask("hello")
    b.ask("hello")


@case
def hostile_stream(pair, a, b):
    """B's stream is read and written while A, which has its regions, scribbles over them."""
    both(pair, a, b)
    # A makes the dialler's half by hand: two rings and a greeting.
    (t,) = b.ask("listen", "l")
    a.ask("attach", "m", t, "rw")
    t1, _ = a.ask("alloc", "one", 65536)
    t2, _ = a.ask("alloc", "two", 65536)
    a.ask("ring", "w", "one", "create", "writer")
    a.ask("ring", "r", "two", "create", "reader")
    a.ask("send", "w", MS, b"ISMSTRM1".hex() + bytes.fromhex(t2)[::-1].hex())
    a.ask("write", "m", 64, bytes.fromhex(t1)[::-1].hex())
    a.ask("notify", "m")
    b.ask("accept", "l", "s", MS)
    same(a.ask("recv", "r", MS), [b"ISMSTRM1".hex()], "the answer to the greeting")
    a.ask("send", "w", MS, "414243")
    same(b.ask("get", "s", 3, MS), ["414243"])
    for region in ("one", "two"):
        b.tell(*(("get", "s", 1000, SOON) if region == "one" else ("feed", "s", 100_000, 0, SOON)))
        a.ask("scribble", region, 0, 65536, 7, 200)
        a.ask("notify", region)
        try:
            b.answer()
        except PeerError as err:
            if err.errno not in LIKELY:
                raise Wrong(f"unexpected: {err}") from None
    b.ask("hello")
    b.ask("hangup", "s")


for _name in ("hostile_listener", "hostile_stream"):
    NEEDS[_name] = ["stream", "ring"]

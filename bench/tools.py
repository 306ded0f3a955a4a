# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Peers that are measured with programs of their own, and what they need beside them."""

import contextlib
import glob
import os
import subprocess
import time


def pinned(which):
    """For a child: the first or the second CPU that we may use."""
    cpu = sorted(os.sched_getaffinity(0))[which]
    return lambda: os.sched_setaffinity(0, {cpu})


@contextlib.contextmanager
def server(command, **more):
    """A program that runs beside, and is ended, whatever happens."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def output_of(command, seconds, **more):
    """What it prints until it ends, or is ended because it hangs, and its status; its children end with it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more) as process:
        try:
            return process.communicate(timeout=seconds)[0], process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            return process.communicate()[0], "hung"
        except BaseException:
            process.kill()
            raise


def client(command, **more):
    """Its output."""
    return output_of(command, 30, stderr=subprocess.DEVNULL, **more)[0]


_port = 17337


def next_port():
    """They rendezvous over TCP."""
    global _port
    _port += 1
    return str(_port)


def ucx_once(test, size, count, rank):
    """The columns of ucx_perftest's last line: iterations, latency at that percentile, average, ..."""
    port, env = next_port(), dict(os.environ, UCX_TLS="posix,self", UCX_WARN_UNUSED_ENV_VARS="n")
    with server(["ucx_perftest", "-p", port], env=env, preexec_fn=pinned(1)):
        time.sleep(0.3)
        out = client(["ucx_perftest", "127.0.0.1", "-p", port, "-t", test, "-s", str(size), "-n", str(count), "-w", "500",
                      "-f", "-v", "-R", str(rank)], env=env, preexec_fn=pinned(0))
    try:
        return [float(x) for x in out.splitlines()[-1].split(",")]
    except (IndexError, ValueError):
        return None


def ucx(args):
    """It prints half of a round trip, in microseconds, and MiB."""
    found = {}
    for size in args.size or [8, 64, 1024, 65536]:
        count = 50000 if size < 65536 else 5000
        for rank in (50, 99):
            columns = ucx_once("tag_lat", size, count, rank)
            if columns:
                found["ucx-posix", f"rtt_p{rank}", size] = columns[1] * 2000
                found["ucx-posix", "rtt_mean", size] = columns[2] * 2000
    for size in args.size or [64, 1024, 65536, 1 << 20]:
        columns = ucx_once("tag_bw", size, 500000 if size < 65536 else 20000 if size < 1 << 20 else 2000, 50)
        if columns:
            found["ucx-posix", "MB_per_s", size] = columns[5] * 1.048576
            found["ucx-posix", "msg_per_s", size] = columns[7]
    return found


def libfabric(args):
    """Half of a round trip, on average, in microseconds."""
    found = {}
    for size in args.size or [8, 64, 1024, 65536]:
        port = next_port()
        common = ["fi_pingpong", "-p", "shm", "-e", "rdm", "-S", str(size), "-I", "5000"]
        with server([*common, "-B", port], preexec_fn=pinned(1)):
            time.sleep(0.3)
            out = client([*common, "-P", port, "127.0.0.1"], preexec_fn=pinned(0))
        for text in out.splitlines():
            columns = text.split()
            if len(columns) >= 7 and columns[0][0].isdigit():
                found["libfabric-shm", "rtt_mean", size] = float(columns[6]) * 2000
    return found


TOOLS = {"ucx": ucx, "libfabric": libfabric}


@contextlib.contextmanager
def roudi(top):
    """The daemon of iceoryx, with memory for our sizes."""
    with server(["iox-roudi", "-c", top / "bench/peers/iceoryx.toml", "-m", "off"]):
        time.sleep(1)
        yield
    for left in glob.glob("/tmp/ism-bench-[ab][0-9]*"):     # its clients' sockets and locks
        os.unlink(left)


def growth(args):
    """What bench/core finds as regions and devices grow."""
    env = dict(os.environ, ISM_ISMD=str(args.build / "ismd"))
    out, _ = output_of([args.build / "bench/core", "-g"], 300, env=env)
    found = {}
    for text in out.splitlines():
        name, metric, size, value = text.split("\t")
        found[name, metric, int(size)] = float(value)
    return found

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""What the tests share."""

import asyncio
import os
import pathlib
import subprocess
import sys

import pytest

PATIENCE = 30


def pytest_terminal_summary(terminalreporter):
    """The line of sums that check.sh reads."""
    stats = terminalreporter.stats
    failed = len(stats.get("failed", ())) + len(stats.get("error", ()))
    passed, skipped = len(stats.get("passed", ())), len(stats.get("skipped", ()))
    terminalreporter.write_line(f"{passed} passed, {failed} failed, {skipped} skipped")


def descriptors():
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_left(request):
    """No test leaves a descriptor or a mapping of a region behind."""
    if "leaks" in request.keywords:
        yield
        return
    before = len(descriptors())
    yield
    assert len(descriptors()) == before
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        assert not [line for line in maps if "memfd:ism" in line]


@pytest.fixture
def pair(ism_domain):
    """Two devices of a domain."""
    return ism_domain.open(), ism_domain.open()


@pytest.fixture
def run():
    """Run a coroutine, and not for ever."""

    def runner(coroutine):
        async def bounded():
            async with asyncio.timeout(PATIENCE):
                return await coroutine

        return asyncio.run(bounded())

    return runner


@pytest.fixture
def child():
    """Start Python programs: child(source, *arguments).  Those that still run at the end are killed."""
    children = []

    def start(source, *arguments):
        command = [sys.executable, "-P", "-c", source, *map(str, arguments)]
        proc = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        children.append(proc)
        return proc

    yield start
    for proc in children:
        if proc.poll() is None:
            proc.kill()
        proc.communicate()


@pytest.fixture(scope="session")
def top():
    return pathlib.Path(os.environ["ISM_TEST_TOP"])

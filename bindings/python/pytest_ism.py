# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""The fixture `ism_domain`: a private sharing domain for each test.

    def test_it(ism_domain):
        dev = ism_domain.open()
        run_my_program(env={"ISM_DEVICE": ism_domain.uri})
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Iterator

import pytest

if TYPE_CHECKING:
    from ism.testing import Domain


@pytest.fixture
def ism_domain() -> Iterator[Domain]:
    """A sharing domain of this test's own; its devices are closed with it."""
    from ism.testing import Domain  # only now: pytest loads this file also where nobody wants libism

    domain = Domain()
    try:
        yield domain
    finally:
        try:
            domain.stop()
        except BufferError:
            gc.collect()  # views that only a cycle holds
            domain.stop()

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""A sharing domain of a test's own, and faults in it.

    with ism.testing.Domain() as domain:
        a, b = domain.open(), domain.open()
        domain.set_faults("alloc:2=ENOSPC")

With pytest the fixture `ism_domain` gives one to each test.
"""

from __future__ import annotations

import contextlib
from types import TracebackType

from . import _ism
from ._core import Device, open
from ._types import Quota

__all__ = ["Domain", "Quota"]


class Domain(_ism.Emulator):
    """A private domain: nobody else sees it, and nothing is left behind.  Made by `start()`, or by calling it.

    Faults make calls fail that do not fail otherwise, "alloc:3=ENOSPC,notify:5=drop,event=delay:5ms,host:10=die":
    see ism-emu.h.
    """

    _devices: list[Device]

    def __new__(
        cls, *, loop: bool = False, faults: str | None = "", device: Quota = Quota(), user: Quota = Quota()
    ) -> Domain:
        """With `loop` the domain is within this process alone, without a thread or a file.

        `faults=None` takes $ISM_EMU_FAULTS.
        """
        domain = _ism.emu(cls, _ism.EMU_LOOP if loop else 0, faults, device, user)
        domain._devices = []
        return domain

    def open(self, **options: object) -> Device:
        """A device of the domain, closed with it; options as `ism.open()` has them."""
        device = open(self.uri, **options)  # type: ignore[arg-type]
        self._devices.append(device)
        return device

    def stop(self) -> None:
        """Close its devices and stop it.

        Raises BufferError, and stops nothing, while a buffer shows the memory of one of its regions.
        """
        while self._devices:
            self._devices[-1].close()
            self._devices.pop()
        super().stop()

    def __enter__(self) -> Domain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(*([BufferError] if value is not None else [])):
            self.stop()

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""The extension has kept up with the library: every constant, every function, every field.

The compiler checks the layouts, for the extension is C; what it cannot see is what was forgotten.
"""

import importlib.util
import pathlib
import re
import shutil
import subprocess

import ism
import pytest
from ism import _ism

NOT_EXPOSED = {"ISM_REF_SIZE": "room for C strings"}
STRUCTS = {
    "ism_info": ism.Info,
    "ism_stats": ism.Stats,
    "ism_device_entry": ism.DeviceEntry,
    "ism_region_entry": ism.RegionEntry,
    "ism_referrer_entry": ism.ReferrerEntry,
    "ism_user_entry": ism.UserEntry,
    "ism_domain_info": ism.DomainInfo,
    "ism_quota": ism.Quota,
}
RENAMED = {"ism_event": {"type": "kind"}}


@pytest.fixture(scope="module")
def lowlayer():
    import os

    path = pathlib.Path(os.environ["ISM_TEST_TOP"], "bindings/lowlayer.py")
    spec = importlib.util.spec_from_file_location("lowlayer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compare(lowlayer, include, stage_include, sources):
    """What is missing or different, as text."""
    found = []
    text = lowlayer.text_of(include)
    values = {}
    for line in lowlayer.layout(include, [f"-I{stage_include}"]):
        kind, name, *rest = line.split()
        if kind == "constant":
            values[name] = int(rest[0])
    for name, value in values.items():
        if name not in NOT_EXPOSED and getattr(_ism, name.removeprefix("ISM_"), None) != value:
            found.append(f"constant {name} {value}")
    structs = lowlayer.structs(text)
    for name, cls in STRUCTS.items():
        fields = [f for f in structs[name] if f not in ("size", "reserved")]
        if list(cls._fields) != fields:
            found.append(f"struct {name}: {fields}, in Python {list(cls._fields)}")
    if sorted(f.replace("type", "kind") for f in structs["ism_event"]) != sorted(ism.Event._fields):
        found.append("struct ism_event")
    for name in structs:
        if name.endswith("_opts") or name.endswith("_quota"):
            missing = [f for f in structs[name] if f not in ("size", "reserved", "log", "log_data")]
            found += [f"struct {name}.{f}" for f in missing if not re.search(rf"[.>]{f}\b", sources)]
    return found


@pytest.fixture
def sources(top):
    return "\n".join(p.read_text(encoding="utf-8") for p in (top / "bindings/python/src").glob("*.c"))


@pytest.fixture
def generated(top):
    import os

    return pathlib.Path(os.environ["LD_LIBRARY_PATH"].split(":")[0]).parent / "include"


def test_nothing_forgotten(lowlayer, top, generated, sources):
    assert compare(lowlayer, top / "include", generated, sources) == []


@pytest.mark.parametrize(
    "header, old, new, words",
    [
        ("ism.h", "ISM_MANAGE	  (UINT32_C(1) << 3)", "ISM_MANAGE	  (UINT32_C(1) << 7)", "ISM_MANAGE"),
        ("ism.h", "#define ISM_SPIN_NONE", "#define ISM_NEW 5\n#define ISM_SPIN_NONE", "ISM_NEW"),
        ("ism.h", "	uint64_t links;", "	uint64_t links, chains;", "chains"),
        ("ism.h", "	int32_t node;", "	int32_t node; uint64_t colour;", "colour"),
    ],
)
def test_a_drift_is_noticed(lowlayer, top, generated, sources, tmp_path, header, old, new, words):
    shutil.copytree(top / "include", tmp_path / "include")
    changed = tmp_path / "include" / header
    text = changed.read_text(encoding="utf-8")
    assert old in text
    changed.write_text(text.replace(old, new), encoding="utf-8")
    assert words in "\n".join(compare(lowlayer, tmp_path / "include", generated, sources))


def test_no_function_forgotten(top):
    checked = subprocess.run([top / "bindings/check-calls", "python"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr

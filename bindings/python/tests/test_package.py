# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""The package as it was installed: one build for all versions, types, examples."""

import importlib.metadata
import inspect
import pathlib
import subprocess
import sys

import ism
import ism.testing
import pytest
from ism import _ism


def test_installed_with_pip():
    files = {str(f) for f in importlib.metadata.files("libism")}
    assert {"ism/py.typed", "ism/_ism.pyi", "ism/_ism.abi3.so", "pytest_ism.py"} <= files
    assert "cp311-abi3" in importlib.metadata.distribution("libism").read_text("WHEEL")
    assert pathlib.Path(ism.__file__).parent.parent == pathlib.Path(sys.prefix, "lib/python3.11/site-packages")


def test_only_the_limited_api():
    """Every symbol of Python that the extension uses is in the stable ABI."""
    import re

    command = ["nm", "-D", "--undefined-only", _ism.__file__]
    undefined = subprocess.run(command, check=True, capture_output=True, text=True)
    used = set(re.findall(r"\b_?Py\w+", undefined.stdout))
    assert used
    manifest = {name for name in used if name.startswith("_")}
    # What the limited API's own macros and inline functions call.
    assert manifest <= {"_Py_Dealloc", "_Py_NoneStruct", "_Py_TrueStruct", "_Py_FalseStruct"}


def test_versions_agree(top):
    version = ism.version()
    assert importlib.metadata.version("libism") == version
    assert f"[{version}]" in (top / "configure.ac").read_text(encoding="utf-8")


def test_types():
    """The package and its examples satisfy a strict type checker."""
    if not (mypy := pathlib.Path("/usr/bin/mypy")).exists():
        pytest.skip("mypy is not installed")
    checked = subprocess.run(
        [mypy, "--cache-dir=/dev/null", "--python-executable", "/usr/bin/python3"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_stub_has_what_the_extension_has():
    """And the other way round."""
    stub = pathlib.Path(ism.__file__).with_name("_ism.pyi").read_text(encoding="utf-8")
    for name, value in vars(_ism).items():
        if name.startswith("_"):
            continue
        assert f"{name}: int" in stub or f"def {name}(" in stub or f"class {name}:" in stub, name
        if inspect.isclass(value):
            body = stub.split(f"class {name}:")[1].split("\nclass ")[0]
            for member in vars(value):
                if not member.startswith("__") and member != "device" and member != "region":
                    assert f"def {member}(" in body, f"{name}.{member}"


def test_everything_is_documented():
    for name in ism.__all__:
        thing = getattr(ism, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), name
        if inspect.isclass(thing) and issubclass(thing, (_ism.Device, _ism.Region, _ism.Ring)):
            for member, value in inspect.getmembers(thing):
                if not member.startswith("_"):
                    assert inspect.getdoc(value), f"{name}.{member}"


def examples():
    return sorted(pathlib.Path("examples").glob("*.py"))


@pytest.mark.parametrize("example", examples(), ids=lambda p: p.stem)
def test_examples(example, ism_domain, monkeypatch):
    monkeypatch.setenv("ISM_DEVICE", ism_domain.uri)
    done = subprocess.run([sys.executable, "-P", example], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    expected = [line[2:] for line in example.read_text(encoding="utf-8").splitlines() if line.startswith("#>")]
    assert [line.strip() for line in expected] == done.stdout.strip().splitlines()


def test_readme_programs(top, ism_domain, monkeypatch, tmp_path):
    """The programs in the README run as they stand there."""
    import re

    monkeypatch.setenv("ISM_DEVICE", ism_domain.uri)
    readme = pathlib.Path("README.md").read_text(encoding="utf-8")
    programs = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert programs
    for number, program in enumerate(programs):
        script = tmp_path / f"program{number}.py"
        script.write_text(program, encoding="utf-8")
        done = subprocess.run([sys.executable, "-P", script], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_plugin_does_not_import_the_library():
    """pytest loads the plugin wherever it is installed: that must not need libism."""
    code = "import pytest_ism, sys; sys.exit('ism' in sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)

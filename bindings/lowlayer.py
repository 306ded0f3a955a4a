#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""What the public headers have: for the checks that a binding has kept up with them.

usage: lowlayer.py INCLUDE-DIR [CFLAGS...]

As a program it prints what a C compiler makes of them, one a line, to be compared with what another language
believes:

    constant ISM_READ 1
    size struct ism_info 200
    field struct ism_info.gid 8 8            offset, bytes
    function ism_open
"""

import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

#: ism-version.h is generated, and has no interface that could drift.
HEADERS = ["ism.h", "ism-ring.h", "ism-emu.h"]
#: Words for the compiler, not for programs.
NOT_CONSTANTS = {"ISM_H", "ISM_RING_H", "ISM_EMU_H", "ISM_API", "ISM_CHECK", "ISM_NONNULL"}


def text_of(folder):
    """All headers, without comments."""
    texts = [(pathlib.Path(folder) / name).read_text(encoding="utf-8") for name in HEADERS]
    return re.sub(r"/\*.*?\*/", " ", "\n".join(texts), flags=re.DOTALL)


def constants(text):
    names = re.findall(r"^#define\s+(ISM_\w+)(?=\s)", text, flags=re.MULTILINE)
    return [name for name in dict.fromkeys(names) if name not in NOT_CONSTANTS]


def functions(text):
    return list(dict.fromkeys(re.findall(r"\b(ism_\w+)\s*\((?!\*)", text)))


def structs(text):
    """Those that are defined: name -> fields."""
    found = {}
    for name, body in re.findall(r"^struct (ism_\w+) \{(.*?)^\};", text, flags=re.DOTALL | re.MULTILINE):
        body = re.sub(r"\(\*(\w+)\)\([^)]*\)", r"\1", body)  # pointers to functions
        fields = []
        for declaration in body.split(";"):
            parts = [re.sub(r"\[[^]]*\]", "", part) for part in declaration.split(",")]
            fields += [re.findall(r"\w+", part)[-1] for part in parts if re.findall(r"\w+", part)]
        found[name] = fields
    return found


def program(text):
    """A C program that prints what the compiler makes of them."""
    lines = ["#include <stdio.h>", "#include <stddef.h>", "#include <ism.h>", "#include <ism-ring.h>"]
    lines += ["#include <ism-emu.h>", "int main(void)", "{"]
    for name in constants(text):
        lines.append(f'\tprintf("constant {name} %llu\\n", (unsigned long long)({name}));')
    for name, fields in structs(text).items():
        lines.append(f'\tprintf("size struct {name} %zu\\n", sizeof(struct {name}));')
        for field in fields:
            where = f"offsetof(struct {name}, {field}), sizeof ((struct {name} *)0)->{field}"
            lines.append(f'\tprintf("field struct {name}.{field} %zu %zu\\n", {where});')
    return "\n".join([*lines, "\treturn 0;", "}", ""])


def layout(folder, cflags=()):
    """The lines, sorted."""
    text = text_of(folder)
    with tempfile.TemporaryDirectory() as work:
        source = pathlib.Path(work, "layout.c")
        source.write_text(program(text), encoding="utf-8")
        subprocess.run(["cc", "-w", f"-I{folder}", *cflags, "-o", f"{work}/layout", str(source)], check=True)
        printed = subprocess.run([f"{work}/layout"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted(printed.splitlines() + [f"function {name}" for name in functions(text)])


#: Changes of the headers that a check has to notice: file, what stands there, what instead, the name that is new.
DRIFTS = {
    "constant": ("ism.h", "#define ISM_SPIN_NONE", "#define ISM_NEW 5\n#define ISM_SPIN_NONE", "ISM_NEW"),
    "field": ("ism.h", "\tuint64_t regions;", "\tuint64_t regions, chains;", "chains"),
}


@contextlib.contextmanager
def drifted(folder, kind):
    """A copy of the headers with one change, and the name of what has come."""
    header, old, new, name = DRIFTS[kind]
    with tempfile.TemporaryDirectory() as work:
        copy = pathlib.Path(shutil.copytree(folder, f"{work}/include"))
        text = (copy / header).read_text(encoding="utf-8")
        if old not in text:
            raise ValueError(f"{header} has no {old!r}: change DRIFTS")
        (copy / header).write_text(text.replace(old, new, 1), encoding="utf-8")
        yield copy, name


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print("\n".join(layout(sys.argv[1], sys.argv[2:])))

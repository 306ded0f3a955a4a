#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""The programs of a README as one that can be compiled, so that none of them becomes out of date.

usage: readme.py cpp|go README-FILE

Prints it.  What a reader has to think up, such as a token that came from somewhere, is declared before them, here.
Python's README and Rust's are run and compiled by those languages' own tests.
"""

import pathlib
import re
import sys

CPP = """\
#include <atomic>
#include <cstdint>
#include <memory_resource>
#include <vector>
%(includes)s
using namespace std::chrono_literals;

extern ism::device dev;
extern ism::region region;
extern std::uint64_t token;
extern ism::bytes room;
extern ism::const_bytes bytes;
void tell_the_peer(std::uint64_t token);
void use(std::uint64_t value);
"""

GO = """\
package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/libism/libism/bindings/go/ism"
)

var (
	ctx     context.Context
	dev     *ism.Device
	region  *ism.Region
	reader  *ism.RingReader
	token   ism.Token
	handler http.Handler
	encode  func(room []byte) int
	_       = fmt.Println
)

func main() {}
"""


def blocks(text, language):
    """The fenced blocks of a language, also in lists: their lines, without the list's indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE).splitlines() for indent, body in found]


def cpp(all_blocks):
    includes = [line for block in all_blocks for line in block if line.startswith("#include")]
    out = [CPP % {"includes": "\n".join(includes)}]
    for number, block in enumerate(all_blocks):
        lines = [line for line in block if line not in includes]
        out += [f"void block{number}()", "{", *lines, "}", ""]
    return out


def go(all_blocks):
    out = [GO]
    for number, block in enumerate(all_blocks):
        # Each process has its own names.
        for part, text in enumerate(re.split(r"\n+(?=// in the other process\n)", "\n".join(block))):
            names = re.findall(r"^(\w+(?:, \w+)*) :=", text, flags=re.MULTILINE)
            used = sorted({name for group in names for name in group.split(", ")})
            # What a program goes on with.
            out += [f"func block{number}part{part}() {{", text, *(f"_ = {name}" for name in used), "}", ""]
    return out


def main(language, file):
    all_blocks = blocks(pathlib.Path(file).read_text(encoding="utf-8"), language)
    if not all_blocks:
        sys.exit(f"readme.py: {file} has no program in {language}")
    print("\n".join({"cpp": cpp, "go": go}[language](all_blocks)))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("cpp", "go"):
        sys.exit(__doc__)
    main(*sys.argv[1:])

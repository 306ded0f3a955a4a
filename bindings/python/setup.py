# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""The extension; everything else is in pyproject.toml.

libism is found with pkg-config: set PKG_CONFIG_PATH for one that is not installed.
"""

import os
import shlex
import subprocess
import sys

from setuptools import Extension, setup


def pkg_config(*options):
    command = [os.environ.get("PKG_CONFIG", "pkg-config"), *options, "libism"]
    try:
        return shlex.split(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    except (OSError, subprocess.CalledProcessError) as err:
        sys.exit(f"{shlex.join(command)}: {err}\nInstall libism, or set PKG_CONFIG_PATH to where its libism.pc is.")


sources = ["module.c", "device.c", "region.c", "many.c", "successor.c", "words.c", "ring.c", "lease.c", "emu.c"]
setup(
    ext_modules=[
        Extension(
            "ism._ism",
            [f"src/{name}" for name in sources],
            depends=["src/ismmodule.h"],
            # One build for 3.11 and every later one.
            define_macros=[("Py_LIMITED_API", "0x030b0000"), ("_GNU_SOURCE", None)],
            py_limited_api=True,
            extra_compile_args=["-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden", *pkg_config("--cflags")],
            extra_link_args=pkg_config("--libs"),
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)

# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# env.sh - for the check scripts of the bindings, sourced with the build
# directory in $1: installs the library into a corner of it, and points the
# languages' tools there.
# shellcheck shell=sh

build=$(cd "$1" && pwd) || exit 1
stage=$build/bindings/stage
say() { printf '== %s\n' "$*"; }
die() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }

# Debian's own tools, whatever else stands earlier in PATH.
PATH=/usr/sbin:/sbin:/usr/bin:/bin:$PATH
LC_ALL=C.UTF-8
export PATH LC_ALL

if [ ! -e "$stage/lib/libism.so" ] || [ "$build/libism.la" -nt "$stage/lib/libism.so" ] ||
    [ "$build/ismd" -nt "$stage/sbin/ismd" ]; then
    mkdir -p "$build/bindings"
    make -C "$build" install prefix="$stage" >"$build/bindings/stage.out" 2>&1 ||
        { cat "$build/bindings/stage.out"; die "make install failed"; }
    # The installed .pc file names the prefix that was configured.
    sed -i "s|^prefix=.*|prefix=$stage|" "$stage/lib/pkgconfig/libism.pc"
fi
PKG_CONFIG_PATH=$stage/lib/pkgconfig
LD_LIBRARY_PATH=$stage/lib
ISM_TEST_ISMD=$stage/sbin/ismd
export PKG_CONFIG_PATH LD_LIBRARY_PATH ISM_TEST_ISMD

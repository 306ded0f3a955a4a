# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# lib.sh - what quickstart.sh and check.sh share: saying what is done,
# installing what is missing, building.  Sourced from the top of the tree.
# shellcheck shell=sh

# Debian's own tools, whatever else stands earlier in PATH.
PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin:$PATH
CC=${CC:-/usr/bin/gcc}
PKG_CONFIG=${PKG_CONFIG:-/usr/bin/pkg-config}
PYTHON=${PYTHON:-/usr/bin/python3}
export PATH CC PKG_CONFIG PYTHON
LC_ALL=C.UTF-8
export LC_ALL

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi

say() { printf '%s== %s%s\n' "$bold" "$*" "$plain"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# Those of the packages given that are not installed.
missing_packages() {
    for p in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || printf '%s ' "$p"
    done
}

# Install what is missing of the packages given; without anything missing, nothing is called.
need_packages() {
    get_packages "$@" || exit 1
}

# The same, for who can do without: false, and the reason.  What is downloaded has its time.
get_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "this is no Debian system: going on, and hoping for the equivalents of: $*"
        return
    fi
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || { say "nothing to install"; return; }
    install="apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 $missing"
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo=sudo
    else
        printf '%s\n' "${0##*/}: these packages are missing, and I may not install them.  As root, run:" \
            "    apt-get update && $install" >&2
        return 1
    fi
    say "installing: $missing"
    # shellcheck disable=SC2086 # the lists are meant to be split
    if $sudo env DEBIAN_FRONTEND=noninteractive timeout -k 10 600 apt-get update -q -o DPkg::Lock::Timeout=300 &&
        $sudo env DEBIAN_FRONTEND=noninteractive timeout -k 10 900 $install --download-only &&
        $sudo env DEBIAN_FRONTEND=noninteractive $install; then
        return 0
    fi
    printf '%s\n' "${0##*/}: apt-get failed; what I wanted was: $install" >&2
    return 1
}

# The packages that every build needs.
build_packages='autoconf automake libtool pkg-config make gcc libc6-dev libsodium-dev libbsd-dev libjson-c-dev'

# Make configure, once.
bootstrap() {
    [ -w . ] || die "I cannot write here ($PWD); it belongs to $(stat -c %U .)"
    if [ ! -x configure ] || [ configure.ac -nt configure ] || [ Makefile.am -nt configure ]; then
        say "making configure"
        autoreconf -fi >bootstrap.log 2>&1 || { cat bootstrap.log; die "autoreconf failed"; }
        rm -f bootstrap.log
    fi
}

# Configure (with the arguments behind the first) and build in a directory.
build_in() {
    dir=$1
    shift
    mkdir -p "$dir" || die "cannot make $dir"
    [ -w "$dir" ] || die "$dir belongs to $(stat -c %U "$dir"): remove it, or run me as that user"
    if [ ! -f "$dir/Makefile" ] || [ configure -nt "$dir/Makefile" ] || [ "$*" != "$(cat "$dir/.args" 2>/dev/null)" ]; then
        say "configuring $dir $*"
        (cd "$dir" && ../configure "$@") >"$dir/configure.out" 2>&1 || { cat "$dir/configure.out"; die "configure failed"; }
        printf '%s\n' "$*" >"$dir/.args"
    fi
    say "building in $dir"
    make -C "$dir" -j"$jobs" >"$dir/make.out" 2>&1 || { cat "$dir/make.out"; die "the build failed"; }
}

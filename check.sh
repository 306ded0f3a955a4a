#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# check.sh - build libism and run its tests.
#
#   ./check.sh              everything that a plain Debian machine can run
#   ./check.sh --without-vm the same without virtual machines
#   ./check.sh TIER...      only these: see below
#
# Ends with a line "N passed, N failed, N skipped" over all test programs.
#
# Without a TIER, a slow machine runs a sample of what clang, portable, asan, tsan and
# valgrind run once more, so that all ends in half an hour or so; the seed is printed, and
# ISM_CHECK_SEED repeats it.

cd "$(dirname "$0")" || exit 1
. tools/ci/lib.sh

tiers='check lint bench bindings clang portable asan soak tsan valgrind install musl s390x vm'
# Named, not by default.
more=vmdebug
case ${1-} in
-h | --help)
    cat <<EOT
usage: ./check.sh [--without-vm] [TIER]...

tiers (default: all but those that say otherwise):
  check     build with gcc, warnings as errors; make check
  lint      shell scripts, spelling, exports, manual pages
  bench     instructions of the hot paths, against bench/bounds
  clang     build with clang, warnings as errors; the quick tests
  portable  build without memfd, eventfd and SO_PEERCRED; the quick tests, and those of processes and protocol
  bindings  the bindings' own tests, and each language with each other; 4 minutes at most, once its compilers have
            been installed and the caches are warm
  asan      the tests under the address and undefined-behaviour sanitizers
  soak      one minute of make check-long, which takes many: a peer that writes over shared memory
  tsan      the tests of one process under the thread sanitizer
  valgrind  the conformance tests under valgrind
  install   install, and build the README's program against the installed copy; make distcheck
  musl      build with musl; the quick tests (builds libsodium and others into a cache, once)
  s390x     build for a big-endian machine; tests of layouts, rings and processes in an emulator (downloads libraries
            into a cache, once)
  vm        virtual machines and processes in one domain; downloads QEMU and kernels into a cache (800 MB, once), and
            takes 8 minutes at most
  vmdebug   the same on a kernel with KASAN and lockdep (only if named; builds it into the cache, once: 10 minutes, 2 GB)
EOT
    exit 0
    ;;
--without-vm)
    shift
    tiers=${tiers% vm}
    more="$more vm"
    ;;
esac
wanted=${*:-$tiers}
for t in $wanted; do
    case " $tiers $more " in *" $t "*) ;; *) die "unknown tier $t; expected some of: $tiers $more" ;; esac
done

# shellcheck disable=SC2086 # the list is meant to be split
need_packages $build_packages check libsubunit-dev libuv1-dev python3-minimal python3 clang valgrind libclang-rt-14-dev \
    shellcheck codespell mandoc cmake meson abigail-tools binutils g++ strace xz-utils
bootstrap

results=$(mktemp) skipped=$(mktemp) allowed=$(mktemp)
trap 'rm -f "$results" "$skipped" "$allowed"' EXIT
failed_tiers=

# Show the skips in a log.  One that tests/skips.txt does not have is a failure.
skips() { # log
    grep '^SKIP: ' "$1" | sed "s|^SKIP: |$1: |" >"$skipped"
    grep -E '^[^#]' tests/skips.txt | sed 's/^/^/' >"$allowed"
    grep -Ef "$allowed" "$skipped" | sed 's/: /: SKIP: /'
    grep -vEf "$allowed" "$skipped" | sed 's/: /: FAILED: tests\/skips.txt has no such skip: /'
    unexpected=$(grep -cvEf "$allowed" "$skipped")
    [ "$unexpected" = 0 ] || printf '0 passed, %d failed, 0 skipped %s (skips)\n' "$unexpected" "$1" >>"$results"
}

# One line per test program into $results, and the logs of those that failed.
collect() { # directory
    find "$1" -name '*.trs' | sort | while read -r trs; do
        log=${trs%.trs}.log
        counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
        result=$(sed -n 's/^:test-result: //p' "$trs" | tail -n 1)
        case $result in
        PASS*) [ -n "$counts" ] || counts='1 passed, 0 failed, 0 skipped' ;;
        SKIP*) [ -n "$counts" ] || counts='0 passed, 0 failed, 1 skipped' ;;
        *)
            case $counts in '' | *' 0 failed, '*) counts='0 passed, 1 failed, 0 skipped' ;; esac
            printf '\n--- %s\n' "$log"
            cat "$log"
            ;;
        esac
        grep -hE '^(MEASURED: |seed [0-9])' "$log" | sed "s|^|$log: |"
        printf '%s %s\n' "$counts" "$log" >>"$results"
        case $counts,$(grep -c '^SKIP: ' "$log") in *' 0 skipped,'* | *,[1-9]*) ;; *) echo 'SKIP: no reason' >>"$log" ;; esac
        skips "$log"
    done
}

# A tier without test programs of its own: passed or failed as a whole.
verdict() { # status name
    if [ "$1" = 0 ]; then
        printf '1 passed, 0 failed, 0 skipped %s\n' "$2" >>"$results"
    else
        printf '0 passed, 1 failed, 0 skipped %s\n' "$2" >>"$results"
        failed_tiers="$failed_tiers $2"
    fi
}

# make check in a build directory, with the arguments behind it.
check_in() {
    dir=$1
    shift
    find "$dir" -name '*.trs' -delete
    say "testing in $dir"
    if ! make -C "$dir" check -j"$jobs" "$@" >"$dir/check.out" 2>&1; then
        failed_tiers="$failed_tiers $dir"
        # A test that does not even build has no log.
        grep -E ' error: |No rule to make|\*\*\* \[.*\.(o|lo)\]' "$dir/check.out" && verdict 1 "$dir/build-of-the-tests"
    fi
    collect "$dir"
}

# The check tier tells how fast the machine is: beyond this many seconds the tiers that repeat its tests run a share.
ENOUGH=120
share=100
seed=${ISM_CHECK_SEED:-$(($(date +%s) % 100000))}
case $seed in *[!0-9]* | '') die "ISM_CHECK_SEED is $seed: expected a decimal number" ;; esac

tier_check() {
    check_began=$(date +%s)
    build_in build --enable-werror
    check_in build
    took=$(($(date +%s) - check_began))
    if [ "$wanted" = "$tiers" ] && [ "$took" -gt "$ENOUGH" ]; then
        share=$((100 * ENOUGH / took))
        [ "$share" -ge 20 ] || share=20
        say "this machine took $took s: clang, portable, asan, tsan and valgrind run $share % of their test programs, seed $seed"
    fi
}

# make check in a build directory: all of a list of the Makefile's (or its own), or the share of it that the seed says.
check_share_in() { # directory, [list]
    make -s -C "$1" list-tests ${2+TESTS="$2"} >"$1/tests.all" || { verdict 1 "$1/list-tests" && return; }
    awk -v seed="$seed" -v share="$share" 'BEGIN { srand(seed) }
        { at[NR] = NR; t[NR] = $0 }
        END { for (left = NR; left > NR - NR * share / 100; left--) {
                  i = 1 + int(rand() * left); taken[at[i]] = 1; at[i] = at[left] }
              for (i = 1; i <= NR; i++) if (i in taken) print t[i] }' "$1/tests.all" >"$1/tests.now"
    [ "$share" = 100 ] || say "$1: $(grep -c . "$1/tests.now") of $(grep -c . "$1/tests.all") test programs"
    check_in "$1" TESTS="$(tr '\n' ' ' <"$1/tests.now")"
}

tier_lint() {
    say "lint"
    make -C build lint >build/lint.out 2>&1
    status=$?
    [ "$status" = 0 ] || cat build/lint.out
    verdict "$status" lint
    skips build/lint.out
}

tier_bench() {
    build_in build --enable-werror
    say "bench-check"
    make -C build bench-check >build/bench-check.out 2>&1
    status=$?
    grep -vE '^(make|SKIP: )' build/bench-check.out
    verdict "$status" bench-check
    skips build/bench-check.out
}

tier_clang() {
    build_in build-clang --enable-werror CC=clang
    check_share_in build-clang '$(QUICK_TESTS)'
}

# A program that ends with a line of sums.
counted() { # name, command...
    name=$1
    shift
    say "$name"
    "$@" >"build/bindings/$name.out" 2>&1
    status=$?
    counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "build/bindings/$name.out" | tail -n 1)
    if [ "$status" != 0 ]; then
        cat "build/bindings/$name.out"
        failed_tiers="$failed_tiers $name"
        case $counts in '' | *' 0 failed, '*) counts='0 passed, 1 failed, 0 skipped' ;; esac
    fi
    printf '%s %s\n' "${counts:-0 passed, 1 failed, 0 skipped}" "$name" >>"$results"
}

tier_bindings() {
    # shellcheck disable=SC2046 # the lists are meant to be split
    need_packages $(cat bindings/*/packages)
    build_in build --enable-werror
    make -C build bindings/c/peer >build/make.out 2>&1 || { cat build/make.out; die "the build failed"; }
    mkdir -p build/bindings
    for check in bindings/*/check; do
        [ -x "$check" ] || continue
        lang=${check%/check}
        counted "${lang#bindings/}" "$check" build
    done
    counted matrix bindings/matrix/run build
}

tier_portable() {
    build_in build-portable --enable-werror --without-memfd --without-eventfd --without-peercred
    check_share_in build-portable '$(QUICK_TESTS) $(MULTI_TESTS) $(PROTO_TESTS)'
}

tier_asan() {
    build_in build-asan --enable-werror --enable-asan --enable-ubsan CFLAGS='-g -O1'
    check_share_in build-asan
}

# One minute of what make check-long does for many: half of it on the library that is measured, half under the sanitizers.
tier_soak() {
    build_in build --enable-werror
    build_in build-asan --enable-werror --enable-asan --enable-ubsan CFLAGS='-g -O1'
    for dir in build build-asan; do
        check_in "$dir" TESTS=check_attack ISM_TEST_SECONDS=20
    done
}

tier_tsan() {
    # Between processes it sees nothing: this is for threads that are each other's peers.
    build_in build-tsan --enable-werror --enable-tsan CFLAGS='-g -O1'
    check_share_in build-tsan '$(TSAN_TESTS)'
}

tier_valgrind() {
    build_in build --enable-werror
    check_share_in build '$(VALGRIND_TESTS)'
}

tier_install() {
    build_in build --enable-werror
    say "make install, and a program against the installed copy"
    tools/ci/check-install build >build/install.out 2>&1
    status=$?
    [ "$status" = 0 ] || cat build/install.out
    verdict "$status" install
    say "make distcheck"
    make -C build -j"$jobs" distcheck DISTCHECK_CONFIGURE_FLAGS= TESTS= >build/distcheck.out 2>&1
    status=$?
    [ "$status" = 0 ] || tail -n 50 build/distcheck.out
    verdict "$status" distcheck
}

tier_vmdebug() {
    need_packages flex bison bc libelf-dev
    ISM_VM_DEBUG=1 ISM_VM_FETCH_SECONDS=3600
    export ISM_VM_DEBUG ISM_VM_FETCH_SECONDS
    tier_vm
    unset ISM_VM_DEBUG
}

tier_vm() {
    build_in build --enable-werror
    make -C build -j"$jobs" vm-actor vm-ioctls vm-hostile >>build/make.out 2>&1 || { cat build/make.out; die "the build failed"; }
    check_in build TESTS='$(VM_TESTS)'
}

# Another machine, or another C library: what it needs is downloaded, or the tier is skipped.
tier_cross() { # target, packages...
    target=$1
    shift
    if get_packages "$@" cmake dpkg-dev ccache; then
        deps=$(timeout -k 10 900 tools/ci/cross-deps "$target" 2>&1)
        status=$?
    else
        deps="SKIP: $target: its packages cannot be had" status=77
    fi
    case $status in
    0) ;;
    77 | 124)
        printf '%s\n' "${deps:-SKIP: $target: what it needs could not be had within 15 minutes}"
        printf '0 passed, 0 failed, 1 skipped %s\n' "$target" >>"$results"
        return
        ;;
    *) printf '%s\n' "$deps" && verdict 1 "$target" && return ;;
    esac
    mkdir -p "build-$target"
    if ! tools/ci/check-cross "$target" "$deps" >"build-$target/check.out" 2>&1; then
        failed_tiers="$failed_tiers $target"
        [ -n "$(find "build-$target" -name '*.trs')" ] || { cat "build-$target/check.out" && verdict 1 "$target"; }
    fi
    collect "build-$target"
}

tier_musl() { tier_cross musl musl-tools linux-libc-dev; }
tier_s390x() { tier_cross s390x gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user; }

began=$(date +%s)
for t in $wanted; do
    tier_began=$(date +%s)
    "tier_$t"
    say "tier $t took $(($(date +%s) - tier_began)) s"
done

[ -z "$failed_tiers" ] || say "FAILED:$failed_tiers"
say "all tiers took $(($(date +%s) - began)) s"
awk '{ p += $1; f += $3; s += $5 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' "$results"
status=$?
[ -z "$failed_tiers" ] || status=1
exit $status

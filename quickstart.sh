#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# quickstart.sh - build libism, and watch two processes share memory by token.

cd "$(dirname "$0")" || exit 1
. tools/ci/lib.sh

# shellcheck disable=SC2086 # the list is meant to be split
need_packages $build_packages
bootstrap
build_in build
exec tools/ci/show-main-job build

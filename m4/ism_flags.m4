# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors

# ISM_TRY_CFLAG(FLAG): add it to ISM_CFLAGS if a program compiles and links with it.
AC_DEFUN([ISM_TRY_CFLAG], [
  ism_saved_CFLAGS="$CFLAGS"
  CFLAGS="$CFLAGS -Werror $1"
  AC_LINK_IFELSE([AC_LANG_PROGRAM()], [ISM_CFLAGS="$ISM_CFLAGS $1"])
  CFLAGS="$ism_saved_CFLAGS"
])

# ISM_TRY_LDFLAG(FLAG): the same for ISM_LDFLAGS.
AC_DEFUN([ISM_TRY_LDFLAG], [
  ism_saved_LDFLAGS="$LDFLAGS"
  LDFLAGS="$LDFLAGS $1"
  AC_LINK_IFELSE([AC_LANG_PROGRAM()], [ISM_LDFLAGS="$ISM_LDFLAGS $1"])
  LDFLAGS="$ism_saved_LDFLAGS"
])

# ISM_FLAGS: what we build with, kept apart from the user's CFLAGS and LDFLAGS.
AC_DEFUN([ISM_FLAGS], [
  AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [warnings are errors (for developers)])],
    [], [enable_werror=no])
  AC_MSG_CHECKING([which compiler flags to use])
  m4_foreach_w([ism_flag],
    [-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings
     -Wvla -Wformat=2 -Wundef -fno-common -fstack-protector-strong],
    [ISM_TRY_CFLAG(ism_flag)])
  AS_IF([test "$enable_werror" = yes], [ISM_CFLAGS="$ISM_CFLAGS -Werror"])
  m4_foreach_w([ism_flag], [-Wl,-z,relro -Wl,-z,now -Wl,--as-needed], [ISM_TRY_LDFLAG(ism_flag)])
  AC_MSG_RESULT([$ISM_CFLAGS])
  # For a copy of the library in which every call is where the source has it.
  ism_all_CFLAGS=$ISM_CFLAGS
  ISM_CFLAGS=
  m4_foreach_w([ism_flag], [-fno-optimize-sibling-calls -fno-crossjumping -fno-tree-tail-merge],
    [ISM_TRY_CFLAG(ism_flag)])
  AC_SUBST([ISM_UNMERGED_CFLAGS], [$ISM_CFLAGS])
  ISM_CFLAGS=$ism_all_CFLAGS
  AC_SUBST([ISM_CFLAGS])
  AC_SUBST([ISM_LDFLAGS])
])

# ISM_EXTRAS: --without-memfd, --without-eventfd, --without-peercred: for systems that lack them, and for testing on
# one that has them.  See libism/base/substitute.h for what is lost.
AC_DEFUN([ISM_EXTRAS], [
  ISM_EXTRAS_CPPFLAGS=
  ISM_EXTRA([memfd], [MEMFD], [POSIX shared memory instead of sealed memfds: one user per domain, no huge pages])
  ISM_EXTRA([eventfd], [EVENTFD], [FIFOs instead of eventfds])
  ISM_EXTRA([peercred], [PEERCRED], [getpeereid instead of SO_PEERCRED: process ids are not known])
  AC_SUBST([ISM_EXTRAS_CPPFLAGS])
])

AC_DEFUN([ISM_EXTRA], [
  AC_ARG_WITH([$1], [AS_HELP_STRING([--without-$1], [$3])], [], [with_$1=yes])
  AS_IF([test "$with_$1" = no], [ISM_EXTRAS_CPPFLAGS="$ISM_EXTRAS_CPPFLAGS -DISM_WITHOUT_$2=1"])
])

# ISM_SANITIZERS: --enable-asan, --enable-ubsan, --enable-tsan.
AC_DEFUN([ISM_SANITIZERS], [
  ism_sanitizers=
  m4_foreach([ism_san], [[asan, address], [ubsan, undefined], [tsan, thread]],
    [ISM_SANITIZER(m4_unquote(ism_san))])
  AS_IF([test -n "$ism_sanitizers"], [
    ISM_CFLAGS="$ISM_CFLAGS $ism_sanitizers -fno-sanitize-recover=all -fno-omit-frame-pointer"
    ISM_LDFLAGS="$ISM_LDFLAGS $ism_sanitizers"
  ])
  # A sanitizer's runtime is in the program, so a library cannot resolve all symbols.
  AM_CONDITIONAL([SANITIZED], [test -n "$ism_sanitizers"])
])

AC_DEFUN([ISM_SANITIZER], [
  AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [build with -fsanitize=$2])], [], [enable_$1=no])
  AS_IF([test "$enable_$1" = yes], [
    ism_saved_CFLAGS="$CFLAGS"
    CFLAGS="$CFLAGS -fsanitize=$2"
    AC_LINK_IFELSE([AC_LANG_PROGRAM()], [ism_sanitizers="$ism_sanitizers -fsanitize=$2"],
      [AC_MSG_ERROR([--enable-$1: this compiler has no -fsanitize=$2])])
    CFLAGS="$ism_saved_CFLAGS"
  ])
])

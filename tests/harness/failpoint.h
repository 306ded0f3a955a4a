/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * failpoint.h - make the n-th system call of the library fail, or be the last;
 * and remember which places in the code made one.
 */
#ifndef FAILPOINT_H
#define FAILPOINT_H

/* From now on, the n-th system call of the library (from 1) kills this process; 0: none does. */
void failpoint_kill_at(unsigned int n);
/* ... fails with @err (negative) instead, once. */
void failpoint_fail_at(unsigned int n, int err);
/* Count only this call, or all but this call; NULL: no matter. */
void failpoint_pick(const char *only_call, const char *but_call);
/* System calls since then. */
unsigned int failpoint_count(void);
/* The name of the one that failed or killed last; NULL: not yet. */
const char *failpoint_name(void);

/* The i-th kind of call that was made at all, in order of appearance; NULL past the last. */
const char *failpoint_kind(unsigned int i);
/* Append them to a file, one a line. */
void failpoint_kinds_write(const char *path);

/* Remember where system calls are made from; append the places to a file, for sites.py. */
void failpoint_sites_begin(void);
void failpoint_sites_write(const char *path);

#endif /* FAILPOINT_H */

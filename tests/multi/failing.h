/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * failing.h - a daemon one of whose system calls fails, and what is expected.
 */
#ifndef FAILING_H
#define FAILING_H

#include <check.h>
#include <stdbool.h>
#include <sys/types.h>

/* How a failing daemon ends. */
enum daemon { NOT_STARTED = 1, NOT_REACHED = 3, SERVED = 0 };

/* Where the tests write which places made a call: for all of them, so made before the first. */
extern char sites_file[64];

/* What the n-th call fails with: in turns, as a place is passed more than once. */
int failing_error(unsigned int n);

/* Whose calls fail. */
enum { DAEMON, KEEPER };

/* Start a daemon whose @n-th call (of @kind; NULL: of any) fails, or its keeper's; 0: none does.  SIGUSR2 ends that. */
pid_t failing_ismd(const char *path, const char *kind, unsigned int n, int role);
/*
 * The kinds of call that daemons made which were started after the first of these
 * and have ended at the second.  Counted by kind, a call is the same one in each
 * run; how often a daemon receives or polls before it is a matter of time.
 */
enum { KINDS_MAX = 64 };
struct kinds {
	char file[160];
	unsigned int nr;
	char name[KINDS_MAX][24];
};
void kinds_begin(struct kinds *k);
void kinds_end(struct kinds *k);
/* Until it listens, or has ended: whether it does. */
bool await_ismd(pid_t pid, const char *uri);

/* An error has words, and is none of those that say that something got lost. */
void check_result(int r, unsigned int n, const char *call);

/* fail_restart.c */
void add_restart_tests(Suite *s);

#endif /* FAILING_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * doomed.c - linked into a copy of ismd: the system call that $ISM_FAILPOINT
 * counts to is its last, or, with $ISM_FAILPOINT_ERRNO, fails; or its keeper's,
 * with $ISM_FAILPOINT_KEEPER.  SIGUSR2 ends the counting; an exit status of
 * NOT_REACHED says that it ended too early.  $ISM_FAILPOINT_KINDS is a file for
 * the kinds of call that the daemon made.
 */
#include "failpoint.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOT_REACHED = 3 };

static const char *sites, *kinds;
static bool fails, reached;

static void stop_counting(int sig)
{
	(void)sig;
	reached = failpoint_name() != NULL;
	failpoint_fail_at(0, 0);
}

/* A copy: the title of a process is written over its environment. */
static const char *copy_of(const char *name)
{
	const char *value = getenv(name);

	return value != NULL ? strdup(value) : NULL;
}

static void __attribute__((constructor)) begin(int argc, char **argv)
{
	const char *at = getenv("ISM_FAILPOINT"), *err = getenv("ISM_FAILPOINT_ERRNO");
	unsigned int n = at == NULL ? 0 : (unsigned int)atoi(at);

	/* The same program in two roles. */
	bool keeper = argc > 1 && strcmp(argv[1], "--keeper") == 0;
	if (keeper != (getenv("ISM_FAILPOINT_KEEPER") != NULL))
		n = 0;
	kinds = keeper ? NULL : copy_of("ISM_FAILPOINT_KINDS");
	failpoint_pick(copy_of("ISM_FAILPOINT_ONLY"), copy_of("ISM_FAILPOINT_BUT"));
	sites = copy_of("ISM_FAILPOINT_SITES");
	if (sites != NULL)
		failpoint_sites_begin();
	fails = err != NULL && n > 0;
	signal(SIGUSR2, stop_counting);
	if (err != NULL)
		failpoint_fail_at(n, -atoi(err));
	else
		failpoint_kill_at(n);
}

static void __attribute__((destructor)) end(void)
{
	if (sites != NULL)
		failpoint_sites_write(sites);
	if (kinds != NULL)
		failpoint_kinds_write(kinds);
	if (fails && !reached && failpoint_name() == NULL)
		_exit(NOT_REACHED);
}

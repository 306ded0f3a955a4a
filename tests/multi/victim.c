/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * victim.c - a daemon that ends at one of its system calls: see doomed.c.
 */
#include "victim.h"

#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t victim_ismd(unsigned int point, bool kept)
{
	const char *program = getenv("ISM_TEST_DOOMED_ISMD"), *path = harness_uri("d") + strlen("emu:");
	char text[16];
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	snprintf(text, sizeof text, "%u", point);
	setenv("ISM_FAILPOINT", text, 1);
	setenv("ISM_FAILPOINT_BUT", "epoll_wait", 1);	/* as often as it likes to spin, and nothing happens between them */
	execl(program != NULL ? program : "./doomed_ismd", "ismd", "--foreground", "--set", kept ? "keep=keeper" : "keep=no",
	      path, (char *)NULL);
	_exit(127);
}

bool victim_lives(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

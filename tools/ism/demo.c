/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * demo.c - ism demo: what a newcomer runs.
 *
 * A table of steps, in a domain of their own that is gone afterwards.  A step
 * says what it does, does it, and fails if anything is not as it was said.
 */
#include "demo.h"

#include "tool.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *title;
	int (*run)(struct demo *d);
} steps[] = {
	{ "How fast: beside TCP and a Unix socket, two processes in turns", demo_speed },
	{ "A file goes from one process to another, by token, while the daemon is killed", demo_transfer },
	{ "Without the right token, or without the right, there is nothing to be had", demo_refusals },
	{ "A reader is shut out, and the others go on without it", demo_shut_out },
};

enum { NR_STEPS = sizeof steps / sizeof steps[0] };

/* ------------------------------------------------------------------ the directory */

static struct demo demo;

/* Only what a signal handler may do. */
static void clean_up(void)
{
	static const char *const names[] = { "d", "d.lock", "e", "e.lock", "e.keeper", "data", "got" };
	char path[sizeof demo.dir + 16];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		strlcpy(path, demo.dir, sizeof path);
		strlcat(path, "/", sizeof path);
		strlcat(path, names[i], sizeof path);
		unlink(path);
	}
	rmdir(demo.dir);
}

static void on_signal(int sig)
{
	clean_up();
	_exit(128 + sig);
}

static int make_directory(void)
{
	const char *tmp = secure_getenv("TMPDIR");
	struct sigaction stop = { .sa_handler = on_signal };

	if (tmp == NULL || *tmp != '/' || strlen(tmp) > 64)
		tmp = "/tmp";
	snprintf(demo.dir, sizeof demo.dir, "%s/ism-demo.XXXXXX", tmp);
	if (mkdtemp(demo.dir) == NULL) {
		tool_say("cannot make a directory in %s: %s", tmp, strerror(errno));
		return TOOL_FAILED;
	}
	snprintf(demo.uri, sizeof demo.uri, "emu:%s/d", demo.dir);
	snprintf(demo.daemon_uri, sizeof demo.daemon_uri, "emu:%s/e", demo.dir);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	return 0;
}

/* ------------------------------------------------------------------ what steps share */

int demo_open(const struct demo *d, struct ism_device **ret)
{
	int r = ism_open(d->uri, NULL, ret);

	return r < 0 ? tool_fail(r, "cannot open a device") : 0;
}

pid_t demo_fork(void)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };

	fflush(stdout);
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		tool_say("cannot fork: %s", strerror(errno));
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigaction(SIGINT, &plain, NULL);
	sigaction(SIGTERM, &plain, NULL);
	return 0;
}

int demo_reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return TOOL_FAILED;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : TOOL_FAILED;
}

/* ------------------------------------------------------------------ the verb */

static int run(int nr, char **operand)
{
	int status = make_directory();
	double began = tool_now();

	(void)nr;
	(void)operand;
	if (status != 0)
		return status;
	alarm(300);	/* better than to hang */
	for (int i = 0; i < NR_STEPS && status == 0; i++) {
		printf("\n%d. %s\n\n", i + 1, steps[i].title);
		fflush(stdout);
		status = steps[i].run(&demo);
	}
	clean_up();
	if (status == 0)
		printf("\nAll as said, in %.1f s; nothing of it is left.  'ism help' lists what else there is.\n", tool_now() - began);
	else
		puts("\nThis is not as it should be.  'ism check' may know why.");
	return status;
}

static const struct tool_option options[] = { { 0 } };

const struct tool_verb verb_demo = {
	.name = "demo",
	.operands = "",
	.summary = "show in a few seconds what this is about",
	.help = "Shows what libism does, in a domain of its own: how fast it is beside TCP and a\n"
		"Unix socket, a file that goes from one process to another while their daemon is\n"
		"killed, attaches that are refused, and a reader that is shut out.  Fails if anything\n"
		"is not as it says.\n",
	.options = options,
	.run = run,
};

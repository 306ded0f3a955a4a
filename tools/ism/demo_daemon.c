/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * demo_daemon.c - an ismd of the demo's own, to be killed.
 */
#include "demo.h"

#include "tool.h"

#include <bsd/string.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Where it is when this program is installed, or lies where it was built. */
static bool find(char *path, size_t size)
{
	static const char *const places[] = { "ismd", "../sbin/ismd", "../ismd" };
	char self[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n <= 0)
		return false;
	self[n] = '\0';
	char *name = strrchr(self, '/') + 1;
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		snprintf(path, size, "%.*s%s", (int)(name - self), self, places[i]);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static void nap(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	nanosleep(&ms, NULL);
}

/* It serves, or has not come up within ten seconds. */
static bool serves(const struct demo *d)
{
	struct ism_open_opts opts = { .size = sizeof opts, .flags = ISM_OPEN_NO_HOST };
	double end = tool_now() + 10;
	struct ism_device *dev;

	while (ism_open(d->daemon_uri, &opts, &dev) < 0) {
		if (tool_now() > end)
			return false;
		nap();
	}
	ism_close(dev);
	return true;
}

pid_t demo_daemon_start(const struct demo *d)
{
	const char *args[] = { "ismd", "--foreground", "--set", "log=none", "--set", "grace=10",
			       d->daemon_uri + strlen("emu:"), NULL };
	char path[300];

	if (!find(path, sizeof path))
		return 0;
	pid_t pid = demo_fork();
	if (pid == 0) {
		execv(path, (char *const *)(uintptr_t)args);
		_exit(TOOL_FAILED);
	}
	if (pid < 0 || serves(d))
		return pid;
	tool_say("%s does not serve", path);
	kill(pid, SIGKILL);
	demo_reap(pid);
	return -1;
}

void demo_daemon_kill(pid_t pid, int sig)
{
	if (pid <= 0)
		return;
	kill(pid, sig);
	demo_reap(pid);
}

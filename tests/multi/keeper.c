/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * keeper.c - find the process that keeps a test's domain.
 */
#include "kept.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_keeper(const char *pid, const char *path)
{
	char name[300], line[512];
	ssize_t n = -1;

	snprintf(name, sizeof name, "/proc/%s/cmdline", pid);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, line, sizeof line - 1);
		close(fd);
	}
	if (n < 12 || strcmp(line, "ismd-keeper") != 0)
		return false;
	line[n] = '\0';
	return strcmp(line + n - 1 - strlen(path), path) == 0;
}

pid_t keeper_of(pid_t but)
{
	const char *path = harness_uri("d") + strlen("emu:");
	DIR *d = opendir("/proc");
	const struct dirent *e;
	pid_t found = 0;

	while (found == 0 && (e = readdir(d)) != NULL) {
		if (atoi(e->d_name) > 0 && atoi(e->d_name) != but && is_keeper(e->d_name, path))
			found = atoi(e->d_name);
	}
	closedir(d);
	return found;
}

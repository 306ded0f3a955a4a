/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * substitute.c - for systems without memfd and eventfd: see substitute.h.
 */
#include "base/substitute.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 16 };

int ismi_substitute_memfd(void)
{
	char name[32];

	for (int i = 0; i < TRIES; i++) {
		snprintf(name, sizeof name, "/ism-%08x%08x", arc4random(), arc4random());
		int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0) {
			shm_unlink(name);
			return fd;
		}
		if (errno != EEXIST)
			break;
	}
	return -1;
}

int ismi_substitute_eventfd(void)
{
	char dir[] = "/tmp/ism-XXXXXX", path[sizeof dir + 2];
	int fd = -1;

	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/w", dir);
	if (mkfifo(path, 0600) == 0) {
		/* Open at both ends: neither blocks, and it is never at its end. */
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		int saved = errno;
		unlink(path);
		errno = saved;
	}
	int saved = errno;
	rmdir(dir);
	errno = saved;
	return fd;
}

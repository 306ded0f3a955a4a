/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * sys.c - what all wrapped system calls of sys.h have in common: the tests' hook,
 * and the descriptors that are remembered, and closed in a forked child.
 */
#include "base/sys-private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int (*ismi_sys_hook)(const char *call);

unsigned int ismi_fork_count;

pthread_mutex_t ismi_fds_lock = PTHREAD_MUTEX_INITIALIZER;

/* A bit for each descriptor of ours, under that lock. */
static struct {
	uint64_t *map;
	size_t nr_words;
} ours;

static void fork_prepare(void)
{
	pthread_mutex_lock(&ismi_fds_lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&ismi_fds_lock);
}

static void fork_child(void)
{
	for (size_t i = 0; i < ours.nr_words; i++) {
		for (uint64_t word = ours.map[i]; word != 0; word &= word - 1)
			close((int)(i * 64 + (size_t)__builtin_ctzll(word)));
		ours.map[i] = 0;
	}
	ismi_fork_count++;
	pthread_mutex_unlock(&ismi_fds_lock);
}

static int fork_init_result;

static void fork_init_once(void)
{
	fork_init_result = -pthread_atfork(fork_prepare, fork_parent, fork_child);
}

int ismi_fork_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fork_init_once);
	return fork_init_result;
}

/* 0 to 2 are the program's, even where it has closed them: what it prints must not get into our files. */
static int above_stdio(int fd)
{
	int up, err;

	if (fd > STDERR_FILENO)
		return fd;
	up = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	err = errno;
	close(fd);
	return up < 0 ? -err : up;
}

int ismi_fds_track_locked(int fd)
{
	size_t word, words = ours.nr_words ? ours.nr_words : 16;

	fd = above_stdio(fd);
	if (fd < 0)
		return fd;
	word = (size_t)fd / 64;
	if (word >= ours.nr_words) {
		while (words <= word)
			words *= 2;
		uint64_t *map = realloc(ours.map, words * sizeof *map);
		if (map == NULL) {
			close(fd);
			return -ENOMEM;
		}
		memset(map + ours.nr_words, 0, (words - ours.nr_words) * sizeof *map);
		ours.map = map;
		ours.nr_words = words;
	}
	ours.map[word] |= UINT64_C(1) << fd % 64;
	return fd;
}

/* Forget @fd: was it remembered?  The lock is held. */
static bool untrack_locked(int fd)
{
	size_t word = (size_t)fd / 64;
	uint64_t bit = UINT64_C(1) << fd % 64;

	if (word >= ours.nr_words || !(ours.map[word] & bit))
		return false;
	ours.map[word] &= ~bit;
	return true;
}

/* Close it, if it is ours: after EINTR it is closed all the same (Linux). */
static void drop_locked(int fd)
{
	if (untrack_locked(fd))
		close(fd);
}

int ismi_fds_track_pair_locked(int r, const int pair[2], int ret[2])
{
	int first, second;

	if (r < 0)
		return -errno;
	first = ismi_fds_track_locked(pair[0]);
	if (first < 0) {
		close(pair[1]);
		return first;
	}
	second = ismi_fds_track_locked(pair[1]);
	if (second < 0) {
		drop_locked(first);
		return second;
	}
	ret[0] = first;
	ret[1] = second;
	return 0;
}

int ismi_sys_adopt(int fd)
{
	TRACK(fd);
}

void ismi_sys_close(int fd)
{
	int saved = errno;

	if (fd < 0)
		return;
	if (ismi_sys_hook != NULL)
		ismi_sys_hook("close");
	pthread_mutex_lock(&ismi_fds_lock);
	drop_locked(fd);
	pthread_mutex_unlock(&ismi_fds_lock);
	errno = saved;
}

void ismi_sys_close_slowly(int fd)
{
	int saved = errno;

	if (ismi_sys_hook != NULL)
		ismi_sys_hook("close");
	pthread_mutex_lock(&ismi_fds_lock);
	bool known = untrack_locked(fd);
	pthread_mutex_unlock(&ismi_fds_lock);
	if (known)
		close(fd);
	errno = saved;
}

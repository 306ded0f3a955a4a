/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * sys-private.h - what the files of the wrapped system calls share: the shape of a
 * wrapper, and how a descriptor is remembered.
 */
#ifndef ISMI_SYS_PRIVATE_H
#define ISMI_SYS_PRIVATE_H

#include "base/sys.h"

#include <errno.h>
#include <pthread.h>

/* The point at which a test may fail this call, or stop the process. */
#define POINT(name)                                                                                          \
	do {                                                                                                 \
		int point_err_ = ismi_sys_hook == NULL ? 0 : ismi_sys_hook(name);                            \
		if (point_err_ < 0)                                                                          \
			return point_err_;                                                                   \
	} while (0)

/* The value of a call, or -errno; again for as long as a signal interrupts it. */
#define RETRY(expr)                                                                                          \
	do {                                                                                                 \
		__typeof__(expr) ret_;                                                                       \
		do                                                                                           \
			ret_ = (expr);                                                                       \
		while (ret_ < 0 && errno == EINTR);                                                          \
		return ret_ < 0 ? -errno : ret_;                                                             \
	} while (0)

/* Of what is remembered: fork() takes it too, so that no descriptor is between. */
extern pthread_mutex_t ismi_fds_lock;
/* Remember @fd, or close it; the number it has from now on, or a negative errno.  The lock is held. */
int ismi_fds_track_locked(int fd);
/*
 * Remember both ends of a pair, or close both; @r: what the call that made them
 * returned.  The lock is held.
 */
int ismi_fds_track_pair_locked(int r, const int pair[2], int ret[2]);

/* The descriptor that a call makes, remembered, or -errno. */
#define TRACK(expr)                                                                                          \
	do {                                                                                                 \
		int fd_;                                                                                     \
		pthread_mutex_lock(&ismi_fds_lock);                                                          \
		do                                                                                           \
			fd_ = (expr);                                                                        \
		while (fd_ < 0 && errno == EINTR);                                                           \
		fd_ = fd_ < 0 ? -errno : ismi_fds_track_locked(fd_);                                         \
		pthread_mutex_unlock(&ismi_fds_lock);                                                        \
		return fd_;                                                                                  \
	} while (0)

#endif /* ISMI_SYS_PRIVATE_H */

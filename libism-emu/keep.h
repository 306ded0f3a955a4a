/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * keep.h - descriptors that outlive this process: given by name to a keeper
 * (keeper.h) or to a service manager, and had back by the next host.
 *
 * Both take the same messages, those of systemd's descriptor store:
 *
 *   FDSTORE=1 \n FDNAME=name        with descriptors: keep these
 *   FDSTOREREMOVE=1 \n FDNAME=name  close all of that name
 *
 * A keeper answers NEXT with one descriptor, "FDNAME=name", or with "END"; and
 * ends at STOP.  A service manager hands everything to the next process it starts.
 */
#ifndef KEEP_H
#define KEEP_H

#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum keep_kind { KEEP_NO, KEEP_KEEPER, KEEP_STORE };

enum {
	KEEP_NAME_MAX = 40,
	KEEP_FDS_MAX = 4,		/* of one name at a time */
	KEEP_PATH_MAX = 120,
};

struct kept {
	char name[KEEP_NAME_MAX];
	int fd;
};

struct keep {
	enum keep_kind kind;
	int fd;				/* the connection */
	bool late;			/* waited for in vain: not again, until it takes something */
	char path[KEEP_PATH_MAX];	/* the domain's; the keeper listens behind it */
	unsigned int grace_s;
	struct ismi_log log;
	size_t names_left;		/* store: bytes of names that the next process can still be given */
	bool inherited;			/* a former host has left something: */
	struct kept *had;
	size_t nr_had;
};

#define KEEP_INIT { .fd = -1 }

/*
 * Descriptors that a service manager passed to this process: sockets and what
 * was kept.  Their number (0: none) or a negative errno; the array is the caller's.
 */
int keep_passed(struct kept **ret);

/* Reach whoever keeps for the domain at @path, starting a keeper if need be; @passed (may be NULL) becomes ours. */
int keep_open(struct keep *k, enum keep_kind kind, const char *path, unsigned int grace_s, const struct ismi_log *log,
	      struct kept *passed, size_t nr_passed);
/* Go, and leave everything kept. */
void keep_close(struct keep *k);

/* What has been left under a name: how many descriptors, at most @max.  They are the caller's from now on. */
size_t keep_had(struct keep *k, const char *name, int *fds, size_t max);
/* The next name from *at (0 at first) on that begins with @prefix and that nobody has asked for yet, or NULL. */
const char *keep_left(const struct keep *k, const char *prefix, size_t *at);
/* Close and forget what nobody has asked for. */
void keep_sweep(struct keep *k);

/* Keep these: 0 when they would survive us now, or a negative errno, in words too. */
int keep_put(struct keep *k, const char *name, const int *fds, size_t nr);
void keep_remove(struct keep *k, const char *name);
/* Everything goes, and the keeper with it. */
void keep_stop(struct keep *k);

/* The keeper has died: start another.  What was kept has to be put again. */
int keep_again(struct keep *k);

/* Where a domain's keeper listens. */
int keep_path(const char *domain, char *buf, size_t size);

/* The keeper itself: serve on a bound socket until told to stop, or for @grace_s without a host.  Exit status. */
int keeper_main(int bound_fd, const char *path, unsigned int grace_s);

#endif /* KEEP_H */

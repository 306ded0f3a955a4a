/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * machines.h - the sockets at which a daemon serves virtual machines.
 */
#ifndef MACHINES_H
#define MACHINES_H

#include "conf.h"
#include "seat.h"
#include "server.h"

enum { MACHINES_MAX = 64 };

struct machines {
	const char *path[MACHINES_MAX];
	struct host_seat seat[MACHINES_MAX];
	unsigned int nr_paths, nr_seats;
};

/* One more path, which stays the caller's: 0 or -ENOSPC. */
int machines_add(struct machines *m, const char *path);
/* Listen at all of them, for @s: 0, or a negative errno with the reason in ismi_fail_text(). */
int machines_serve(struct machines *m, struct server *s, const struct conf *c);
/* Nothing of it stays behind. */
void machines_leave(struct machines *m);

#endif /* MACHINES_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * qb.c - libqb: two of its rings in shared memory; readers sleep on a semaphore.
 */
#include "harness.h"

#include <errno.h>
#include <qb/qbrb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct rings {
	qb_ringbuffer_t *ring[2];	/* written by end 0, by end 1 */
};

/* Both ends use the handles that they have from before the fork. */
static void *create(size_t bytes)
{
	struct rings *r = peers_shared(sizeof *r);
	size_t room = bytes * 4 > 256 * 1024 ? bytes * 4 : 256 * 1024;

	for (int i = 0; i < 2; i++) {
		char name[64];
		snprintf(name, sizeof name, "ism-bench-%d-%d", (int)getpid(), i);
		r->ring[i] = qb_rb_open(name, room, QB_RB_FLAG_CREATE | QB_RB_FLAG_SHARED_PROCESS, 0);
		if (r->ring[i] == NULL) {
			perror("qb_rb_open");
			exit(1);
		}
	}
	return r;
}

static int open_end(struct end *e)
{
	e->state = e->shared;
	return 0;
}

/* A writer cannot sleep. */
static int put(struct end *e, const void *buf, size_t bytes)
{
	ssize_t n;

	while ((n = qb_rb_chunk_write(((struct rings *)e->state)->ring[e->side], buf, bytes)) == -EAGAIN)
		peers_relax();
	return n == (ssize_t)bytes ? 0 : -1;
}

static int get(struct end *e, void *buf, size_t bytes)
{
	return qb_rb_chunk_read(((struct rings *)e->state)->ring[!e->side], buf, bytes, 10000) == (ssize_t)bytes ? 0 : -1;
}

static void close_end(struct end *e)
{
	struct rings *r = e->state;

	for (int i = 0; i < 2 && e->side == 1; i++)
		qb_rb_close(r->ring[i]);
}

int main(int argc, char **argv)
{
	static const struct transport t = { "libqb-ring", 0, 0, create, open_end, put, get, close_end };

	return peers_main(argc, argv, &t, 1);
}

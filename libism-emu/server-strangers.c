/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * server-strangers.c - connections that have not said hello: whose they are,
 * and which of them makes room when there are too many.
 *
 * One user cannot keep the others out: it is always who has most of them that
 * loses one.
 */
#include "server-private.h"

#include <stdlib.h>

/* The strangers of one user, the one that came first at the head. */
struct crowd {
	uid_t uid;
	uint32_t nr;
	struct client_list list;
	LIST_ENTRY(crowd) all;
};

static struct crowd *crowd_get(struct server *s, uid_t uid)
{
	struct crowd *crowd;

	LIST_FOREACH (crowd, &s->crowds, all) {
		if (crowd->uid == uid)
			return crowd;
	}
	crowd = calloc(1, sizeof *crowd);
	if (crowd == NULL)
		return NULL;
	crowd->uid = uid;
	TAILQ_INIT(&crowd->list);
	LIST_INSERT_HEAD(&s->crowds, crowd, all);
	return crowd;
}

bool stranger_add(struct client *c)
{
	struct crowd *crowd = crowd_get(c->server, c->cred.uid);

	if (crowd == NULL)
		return false;
	c->crowd = crowd;
	TAILQ_INSERT_TAIL(&crowd->list, c, stranger);
	crowd->nr++;
	c->server->nr_strangers++;
	return true;
}

void stranger_del(struct client *c)
{
	struct crowd *crowd = c->crowd;

	TAILQ_REMOVE(&crowd->list, c, stranger);
	c->server->nr_strangers--;
	c->crowd = NULL;
	if (--crowd->nr > 0)
		return;
	LIST_REMOVE(crowd, all);
	free(crowd);
}

struct client *stranger_too_many(const struct server *s)
{
	const struct crowd *crowd, *most = NULL;

	if (s->nr_strangers <= s->strangers_max)
		return NULL;
	LIST_FOREACH (crowd, &s->crowds, all) {
		if (most == NULL || crowd->nr > most->nr)
			most = crowd;
	}
	return TAILQ_FIRST(&most->list);
}

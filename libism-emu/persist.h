/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * persist.h - a domain that outlives its host: what changes goes into the
 * ledger, descriptors go to the keeper, and a new host gets both back.
 *
 * All calls but the first do nothing for a domain that is not kept.
 */
#ifndef PERSIST_H
#define PERSIST_H

#include "domain.h"
#include "keep.h"
#include "ledger.h"

struct persist {
	struct keep *keep;
	struct ledger ledger;
	int life_fd;		/* a pipe's writing end: closed when neither host nor keeper is left */
	int listen_fd;		/* lent */
	uint64_t had_generation, had_end;	/* how far the former host's ledger went; 0: there was none */
	/* Descriptors that somebody else keeps here: put them again, 0 or a negative errno. */
	int (*put_others)(void *others);
	void *others;
	/* Names to be removed from the keeper, but not before the ledger no longer needs them. */
	char (*doomed)[KEEP_NAME_MAX];
	size_t nr_doomed, room;
};

/*
 * Keep @d from now on, and take over what a former host has left of it.  1: it
 * has; 0: a new domain; or a negative errno, in words too.  @p and @keep stay the
 * caller's until persist_end().  @listen_kept: that socket was kept already.
 */
int persist_begin(struct persist *p, struct domain *d, struct keep *keep, int listen_fd, bool listen_kept);
/* Whoever was to ask for what a former host has left has done so: the rest goes. */
void persist_settle(struct domain *d);
/* @over: the domain ends, and the keeper with it; else a successor goes on. */
void persist_end(struct domain *d, bool over);

/* What changed; valid with the next commit. */
void persist_device(struct domain *d, const struct model_device *dev);
void persist_device_gone(struct domain *d, uint64_t devid);
void persist_region_gone(struct domain *d, const struct model_region *region);
/* Its token has; what is said of it next is under the new one. */
void persist_region_renewed(struct domain *d, const struct model_region *region);
void persist_ref_begin(struct domain *d, const struct model_ref *ref);
void persist_ref_end(struct domain *d, const struct model_ref *ref);
void persist_changed(struct domain *d, const struct model_region *region, const struct model_ref *ref,
		     const struct model_grant *grant);
void persist_commit(struct domain *d);

/* Hand over a region's memory, a reference's vector: 0 or a negative errno. */
int persist_memory(struct domain *d, const struct model_region *region);
int persist_vector(struct domain *d, const struct model_ref *ref);

/* Keep a descriptor under a name that begins with something of its own, instead of the one before; -1: none. */
int persist_fd(struct domain *d, const char *name, int fd);
/* How far the ledger will go with the next commit; and, to the next host, was it committed? */
void persist_stamp(const struct domain *d, uint64_t *ret_generation, uint64_t *ret_end);
bool persist_committed(const struct domain *d, uint64_t generation, uint64_t end);

/*
 * For a device: the reading end of that pipe, the caller's.  Each device has a
 * description of its own, for no more than 100 programs that poll descriptors of
 * descriptors can wait for one (the kernel's limit on paths between epolls).
 */
int persist_life(const struct domain *d);

/* The keeper has died: hand everything to another. */
void persist_again(struct domain *d);

#endif /* PERSIST_H */

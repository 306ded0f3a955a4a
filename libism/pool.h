/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * pool.h - memory of pooled regions, kept for the next one.
 *
 * Fresh pages are dear: the kernel clears each, and maps each at its first use.  A
 * region that was allocated for one peer alone, and that the peer has let go of,
 * leaves its memory object here, mapped as it is, and a new region is made of it
 * at once: by its token, and to the device behind, a new one; to the processor, the
 * old pages.  So the next alloc has nothing to ask for.
 *
 * What makes this safe is the key.  Whoever has referred to a region may have
 * kept its memory, and nobody can take that away; so the memory goes only where it
 * has been before: one creator, one peer.  A region of which another device was
 * granted anything does not come here.
 */
#ifndef ISMI_POOL_H
#define ISMI_POOL_H

#include "backend.h"

#include <bsd/sys/queue.h>

/* One memory object: idle in the pool, or a region's. */
struct ismi_pooled {
	uint64_t peer;		/* devid */
	uint64_t size;
	uint64_t offset;	/* in the window, where it is mapped */
	int fd;
	bool mapped, huge;
	bool spoilt;		/* others may have seen it */
	bool ready;		/* idle, and a region already: */
	struct ismi_memory mem;
	TAILQ_ENTRY(ismi_pooled) all;
};

/* Under device.lock, as all calls here. */
struct ismi_pool {
	TAILQ_HEAD(ismi_pooled_list, ismi_pooled) idle;	/* the one used last at the end */
	unsigned int nr;		/* idle or not: each costs a descriptor */
	uint64_t idle_bytes;
};

void ismi_pool_init(struct ismi_pool *pool);
/* The window goes as a whole, and the mappings with it. */
void ismi_pool_fini(struct ismi_pool *pool);

/*
 * Memory for a region as @want has it, taken out of the pool; NULL: there is
 * none.  @alone: it is the only one that is being taken, and may stay mapped; so may one that is ready.
 */
struct ismi_pooled *ismi_pool_take(struct ism_device *dev, const struct ismi_alloc *want, bool alone);
/* The region is a new one; @fd stays the caller's.  NULL: enough regions are pooled. */
struct ismi_pooled *ismi_pool_new(struct ism_device *dev, const struct ismi_alloc *want, int fd);
/* Is it worth keeping? */
bool ismi_pool_keeps(const struct ismi_pooled *p);
/* Nobody uses it any more: keep it, or not. */
void ismi_pool_give(struct ism_device *dev, struct ismi_pooled *p);
/* What is idle takes a part of the quotas: give it back.  Whether that was anything. */
bool ismi_pool_shrink(struct ism_device *dev);
/* It is not worth keeping, or must not be. */
void ismi_pool_drop(struct ism_device *dev, struct ismi_pooled *p);
/*
 * Map a region at its place in the window, where idle memory may be in the way.
 * @p: the region is made of this, which may be there already; NULL.
 */
int ismi_pool_map(struct ism_device *dev, struct ismi_pooled *p, const struct ismi_memory *mem, bool writable,
		  void **ret);
/* Is it the token of a region that waits to be allocated? */
bool ismi_pool_knows(const struct ism_device *dev, uint64_t token);
/* Events of what is idle and ready are counted from 0. */
void ismi_pool_new_host(struct ism_device *dev);
/* The peer has gone. */
void ismi_pool_forget_peer(struct ism_device *dev, uint64_t peer);

#endif /* ISMI_POOL_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * kept.h - mappings of pooled regions, kept by the peer they were made for.
 *
 * The other half of pool.h.  The peer of a pooled region sees the same memory again
 * under the next token; so when it lets go, its mapping stays where it is, and the
 * next attach takes it up without a descriptor, a mapping or a page fault.  The
 * host says when: it knows which memory it has shown to whom, and where.  When
 * memory that is kept here has ended, the host says that, too.
 */
#ifndef ISMI_KEPT_H
#define ISMI_KEPT_H

#include "backend.h"

#include <bsd/sys/queue.h>

struct ismi_kept {
	uint64_t id;			/* the memory's, in the domain */
	uint64_t offset, size;		/* in the window */
	bool writable;
	TAILQ_ENTRY(ismi_kept) all;
};

/* Under device.lock, as all calls here. */
struct ismi_kept_list {
	TAILQ_HEAD(, ismi_kept) all;	/* the one used last at the end */
	unsigned int nr;
	uint64_t bytes;
};

void ismi_kept_init(struct ismi_kept_list *list);
/* The window goes as a whole, and the mappings with it. */
void ismi_kept_fini(struct ismi_kept_list *list);

/* Is the memory mapped at its place? */
bool ismi_kept_has(const struct ism_device *dev, const struct ismi_memory *mem, bool writable);
/* It is a region's again: its address; NULL: it is not here. */
void *ismi_kept_take(struct ism_device *dev, const struct ismi_memory *mem, bool writable);
/* A region's mapping, at its place in the window, is kept; false: the caller unmaps it. */
bool ismi_kept_give(struct ism_device *dev, const struct ismi_memory *mem, bool writable);
/* Another region needs the place. */
void ismi_kept_clear(struct ism_device *dev, uint64_t offset, uint64_t size);
/* All of it. */
void ismi_kept_drop(struct ism_device *dev);

#endif /* ISMI_KEPT_H */

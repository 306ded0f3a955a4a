/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * pooled.h - regions that go round between two devices.
 */
#ifndef POOLED_H
#define POOLED_H

#include <ism.h>
#include <stdint.h>

enum { POOLED_MAX = 64, POOLED_SIZE = 65536 };

struct pooled {
	struct ism_device *a, *b;	/* who makes them, and for whom alone */
	size_t nr;
	struct ism_region *mine[POOLED_MAX], *theirs[POOLED_MAX];
	uint64_t token[POOLED_MAX];
};

/* Allocate all; each has its token in it. */
void pooled_make(struct pooled *p);
/* The peer attaches them. */
void pooled_share(struct pooled *p);
/* The peer finds the tokens there, and what it writes its creator finds. */
void pooled_check(const struct pooled *p);
/* Mappings of regions in this process. */
unsigned int pooled_mapped(void);

#endif /* POOLED_H */

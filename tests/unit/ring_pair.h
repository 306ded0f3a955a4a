/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring_pair.h - two devices of one process that share a region, and the two ends
 * of a ring in it.
 */
#ifndef RING_PAIR_H
#define RING_PAIR_H

#include "ring/layout.h"

#include <ism-ring.h>

struct ring_pair {
	struct ism_device *a, *b;	/* who writes, and who reads */
	struct ism_region *ra, *rb;	/* it is the reader's */
	struct ism_ring *out, *in;
	struct ring_shared *shared;
};

void ring_pair_open(struct ring_pair *p, size_t size, uint32_t spin_us);
void ring_pair_close(struct ring_pair *p);

#endif /* RING_PAIR_H */

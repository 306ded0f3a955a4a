/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * pair.h - two devices that share a region, and the two ends of a ring in it.
 */
#ifndef PAIR_H
#define PAIR_H

#include "conformance.h"

#include <ism-ring.h>

struct pair {
	struct ism_device *a, *b;	/* who writes, and who reads */
	struct ism_region *ra, *rb;
	struct ism_ring *out, *in;
};

struct pair pair_open(size_t size);
/* NULL: the defaults. */
struct pair pair_open_with(size_t size, const struct ism_open_opts *opening, const struct ism_attach_opts *attaching);
void pair_close(struct pair *p);
/* What is left of an end whose device has been closed before it. */
void bury(struct ism_ring *ring);

#endif /* PAIR_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring_pair.c - the two ends of a ring.
 */
#include "ring_pair.h"

#include "harness.h"

void ring_pair_open(struct ring_pair *p, size_t size, uint32_t spin_us)
{
	struct ism_open_opts opts = { .size = sizeof opts, .spin_us = spin_us };

	ok(ism_open("loop:", &opts, &p->a));
	ok(ism_open("loop:", &opts, &p->b));
	ok(ism_alloc_region(p->b, size, NULL, &p->rb));
	ok(ism_attach_region(p->a, ism_region_token(p->rb), ISM_READ | ISM_WRITE, NULL, &p->ra));
	ok(ism_ring_create(p->ra, ISM_RING_WRITER, NULL, &p->out));
	ok(ism_ring_attach(p->rb, ISM_RING_READER, NULL, &p->in));
	p->shared = ism_region_addr(p->rb);
}

void ring_pair_close(struct ring_pair *p)
{
	ism_ring_close(p->out);
	ism_ring_close(p->in);
	ism_close(p->a);
	ism_close(p->b);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * pair.c - the two ends of a ring.
 */
#include "pair.h"

#include <stdlib.h>

struct pair pair_open_with(size_t size, const struct ism_open_opts *opening, const struct ism_attach_opts *attaching)
{
	struct pair p = { .a = device_with(opening), .b = device_with(opening) };

	p.ra = alloc(p.a, size);
	ok(ism_ring_create(p.ra, ISM_RING_WRITER, NULL, &p.out));
	ok(ism_attach_region(p.b, ism_region_token(p.ra), ISM_READ | ISM_WRITE, attaching, &p.rb));
	ok(ism_ring_attach(p.rb, ISM_RING_READER, NULL, &p.in));
	return p;
}

struct pair pair_open(size_t size)
{
	return pair_open_with(size, NULL, NULL);
}

void pair_close(struct pair *p)
{
	ism_ring_close(p->out);
	ism_ring_close(p->in);
	ism_close(p->a);
	ism_close(p->b);
	domain_end();
}

void bury(struct ism_ring *ring)
{
	if (backend == TRACE)
		ism_ring_close(ring);	/* too late, and the trace says so */
	else
		free(ring);
}

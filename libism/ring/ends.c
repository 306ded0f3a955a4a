/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring/ends.c - an end of a ring comes into being, and goes.
 *
 * What the header says is the peer's word: it is read once, and believed only
 * within the bounds of the region.
 */
#include "backends/trace/trace.h"
#include "ring/ring.h"
#include "watch.h"

#include <errno.h>
#include <ism-ring.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ create, attach, close */

static uint64_t power_below(uint64_t v)
{
	return UINT64_C(1) << (63 - __builtin_clzll(v));
}

/* Where the ring lies, if that is a place for one. */
static int place(struct ism_region *region, uint32_t role, const struct ism_ring_opts *opts, struct ring_shared **ret,
		 uint64_t *ret_length)
{
	size_t size = ism_region_size(region);
	struct ism_ring_opts o;
	int r = ismi_opts_copy(&o, sizeof o, ISMI_UP_TO(struct ism_ring_opts, length), opts, "ism_ring_opts");

	if (r < 0)
		return r;
	if (role != ISM_RING_WRITER && role != ISM_RING_READER)
		return ismi_fail(-EINVAL, "ring role %u: expected ISM_RING_WRITER or ISM_RING_READER", role);
	if (!(region->rights & ISM_WRITE))
		return ismi_fail(-EINVAL, "a ring in a region attached without ISM_WRITE: both ends need to write it");
	if (o.offset % 64 != 0 || o.offset > size || o.length > size - o.offset)
		return ismi_fail(-EINVAL, "a ring at %zu + %zu in a region of %zu: expected a multiple of 64, within it",
				 o.offset, o.length, size);
	*ret_length = o.length ? o.length : size - o.offset;
	if (*ret_length < RING_MIN)
		return ismi_fail(-EINVAL, "a ring of %llu bytes: expected at least %d", (unsigned long long)*ret_length,
				 RING_MIN);
	*ret = (struct ring_shared *)((uint8_t *)region->addr + o.offset);
	return 0;
}

/* NULL without memory. */
static struct ism_ring *ring_new(struct ism_region *region, uint32_t role, struct ring_shared *shared,
				 uint64_t capacity)
{
	struct ism_ring *ring = malloc(sizeof *ring);

	if (ring == NULL) {
		ismi_fail(-ENOMEM, "out of memory");
		return NULL;
	}
	*ring = (struct ism_ring){ .region = region, .dev = region->dev, .shared = shared, .data = (uint8_t *)shared + RING_DATA,
				   .capacity = capacity, .role = role, .part = RING_WHOLE, .stalled = UINT64_MAX, .poll_fd = -1 };
	ismi_follow(region, &ring->follower);
	return ring;
}

int ism_ring_create(struct ism_region *region, uint32_t role, const struct ism_ring_opts *opts, struct ism_ring **ret)
{
	struct ring_shared *shared;
	struct ism_ring *ring;
	uint64_t length;
	int r;

	if (ismi_unusual(region->dev))
		return ismi_watched_ring_create(region, role, opts, ret);
	r = place(region, role, opts, &shared, &length);

	if (r < 0)
		return r;
	ring = ring_new(region, role, shared, power_below(length - RING_DATA));
	if (ring == NULL)
		return -ENOMEM;
	memset(shared, 0, sizeof *shared);
	memset(ring->data, 0, RING_HEAD);
	ismi_store_relaxed(&shared->version, RING_VERSION);
	ismi_store_relaxed(&shared->capacity, ring->capacity);
	ismi_store_relaxed(&shared->reader_follows, role == ISM_RING_READER);
	ismi_ring_order_begin(ring);
	/* Last: who finds the magic finds the rest.  Pairs with the acquire in ism_ring_attach(). */
	ismi_store_release(&shared->magic, RING_MAGIC);
	*ret = ring;
	return 0;
}

int ism_ring_attach(struct ism_region *region, uint32_t role, const struct ism_ring_opts *opts, struct ism_ring **ret)
{
	struct ring_shared *shared;
	struct ism_ring *ring;
	uint64_t length, capacity, start;
	uint32_t magic, version;
	int r;

	if (ismi_unusual(region->dev))
		return ismi_watched_ring_attach(region, role, opts, ret);
	r = place(region, role, opts, &shared, &length);

	if (r < 0)
		return r;
	magic = ismi_load_acquire(&shared->magic);
	version = ismi_load_relaxed(&shared->version);
	capacity = ismi_load_relaxed(&shared->capacity);
	start = ismi_load_relaxed(&shared->start);
	if (magic != RING_MAGIC || version != RING_VERSION)
		return ismi_fail(-EPROTO, "there is no ring of version %d in this region", RING_VERSION);
	if (capacity < RING_MIN - RING_DATA || (capacity & (capacity - 1)) != 0 || capacity > length - RING_DATA)
		return ismi_fail(-EPROTO, "the ring's header says %llu bytes: expected a power of two up to %llu",
				 (unsigned long long)capacity, (unsigned long long)(length - RING_DATA));
	if (start % RING_HEAD != 0 || start > UINT64_MAX / 2)
		return ismi_fail(-EPROTO, "the ring's header says that it begins at %llu", (unsigned long long)start);
	ring = ring_new(region, role, shared, capacity);
	if (ring == NULL)
		return -ENOMEM;
	ring->pos = ring->tail = ring->looked = start;
	ismi_ring_order_begin(ring);
	if (role == ISM_RING_READER) {
		ismi_store_relaxed(&shared->reader_follows, 1);
		ismi_store_release(&shared->reader_here, 1);
	}
	*ret = ring;
	return 0;
}

size_t ism_ring_max_record(const struct ism_ring *ring)
{
	return ismi_ring_max_record(ring);
}

/* ------------------------------------------------------------------ close */

void ism_ring_close(struct ism_ring *ring)
{
	if (ring == NULL)
		return;
	if (ismi_unusual(ring->dev)) {
		ismi_watched_ring_close(ring);
		return;
	}
	bool forked = ismi_forked(ring->dev);
	if (!forked) {	/* also of a ring that is broken: its peer may be, or the one who did it has been shut out */
		ismi_ring_leave(ring);
		/* Seq_cst both, because the waits word is read next. */
		if (ring->role == ISM_RING_WRITER) {
			ismi_xchg_seq(ismi_ring_head_at(ring, ring->pos), ring_head(RING_END, 0));
			ismi_ring_wake(ring, &ring->shared->reader_waits);
		} else {
			ismi_xchg_seq(&ring->shared->reader_closed, RING_READER_CLOSED);
			ismi_ring_wake(ring, &ring->shared->writer_waits);
		}
	}
	if (!forked)
		ismi_ring_end(ring);
	if (ring->life != NULL)
		ismi_trace_keep(ring->life, ring, "ism_ring_close");
	else
		free(ring);
}

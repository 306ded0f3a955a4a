/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * scenario.c - a short life of a device that uses everything once.
 */
#include "scenario.h"

#include <errno.h>
#include <ism-ring.h>
#include <string.h>

/*
 * Wait until @region is rung through @ringer's device, which this thread has as
 * well: when the daemon is restarted, each of the two comes back when it is called.
 */
static int await_ring(struct ism_region *region, struct ism_device *ringer)
{
	struct ism_event ev;

	for (int i = 0; i < 1500; i++) {	/* half a minute */
		int r = ism_region_wait(region, 20000000);
		if (r != 0)
			return r;
		if ((r = ism_event_next(ringer, &ev, sizeof ev)) < 0)
			return r;
	}
	return -ETIMEDOUT;
}

static int use_regions(struct ism_device *dev, struct ism_device *peer)
{
	struct ism_alloc_opts vector = { .size = sizeof vector, .flags = ISM_ALLOC_VECTOR | ISM_ALLOC_PREFAULT };
	struct ism_region *mine, *batch[3], *theirs;
	struct ism_ring *out, *in;
	struct ism_event ev;
	uint64_t ids[4];
	char buf[8];
	int r;

	if ((r = ism_alloc_region(dev, 70000, &vector, &mine)) < 0 ||
	    (r = ism_alloc_regions(dev, 5000, NULL, 3, batch)) < 0 ||
	    (r = ism_attach_region(peer, ism_region_token(batch[0]), ISM_READ | ISM_WRITE, NULL, &theirs)) < 0)
		return r;
	memset(ism_region_addr(mine), 1, ism_region_size(mine));
	for (int i = 0; i < 4; i++) {	/* through the host, then directly */
		if ((r = ism_region_notify(batch[0])) < 0 || (r = await_ring(theirs, dev)) < 0 ||
		    (r = ism_region_notify(theirs)) < 0 || (r = await_ring(batch[0], peer)) < 0)
			return r;
	}
	if ((r = ism_ring_create(batch[0], ISM_RING_WRITER, NULL, &out)) < 0)
		return r;
	if ((r = ism_ring_attach(theirs, ISM_RING_READER, NULL, &in)) == 0) {
		r = ism_ring_write(out, "x", 1, 0);
		if (r == 0)
			r = (int)ism_ring_read(in, buf, sizeof buf, 0);
		ism_ring_close(in);
	}
	ism_ring_close(out);
	if (r < 0)
		return r;
	if ((r = ism_region_grant_default(mine, 0)) < 0 || (r = ism_region_peers(batch[0], ids, 4)) < 0 ||
	    (r = ism_fd(dev)) < 0 || (r = ism_region_fd(mine)) < 0 || (r = ism_event_next(dev, &ev, sizeof ev)) < 0)
		return r;
	ism_detach_region(batch[1]);
	ism_detach_region(theirs);
	return 0;
}

static int same_region(const struct ism_region *a, const struct ism_region *b)
{
	return ism_region_token(a) == ism_region_token(b) ? 0 : -EPROTO;
}

/*
 * To a successor and to the next one, which a manager made and then the host's
 * user, as this is: whatever answer was lost, both are at the same one in the end, and
 * nobody else.
 */
static int use_successors(struct ism_device *dev, struct ism_device *peer)
{
	struct ism_region *mine, *theirs, *next, *followed, *held;
	int r;

	if ((r = ism_alloc_region(dev, 5000, NULL, &mine)) < 0 ||
	    (r = ism_attach_region(peer, ism_region_token(mine), ISM_READ | ISM_WRITE, NULL, &theirs)) < 0 ||
	    (r = ism_region_replace(mine, NULL, &next)) < 0 ||
	    (r = ism_attach_successor(theirs, ISM_READ, NULL, &followed)) < 0 || (r = same_region(next, followed)) < 0)
		return r;
	ism_detach_region(mine);
	ism_detach_region(theirs);
	if ((r = ism_shut_out(peer, ism_region_token(next), NULL, 0, &held)) < 0 ||
	    (r = ism_attach_successor(next, ISM_READ | ISM_WRITE, NULL, &mine)) < 0 || (r = same_region(mine, held)) < 0)
		return r;
	ism_detach_region(next);
	ism_detach_region(followed);
	ism_detach_region(held);
	r = ism_region_peers(mine, NULL, 0);
	return r > 0 ? -EPROTO : r;
}

/* Several for one peer, attached and let go of together; then the next ones of them, and one that the peer has still. */
static int use_batches(struct ism_device *dev, struct ism_device *peer)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_alloc_opts opts = { .size = sizeof opts, .flags = ISM_ALLOC_POOLED };
	struct ism_region *mine[3], *theirs[3];
	uint64_t token[3];
	int r = ism_query(peer, &info);

	opts.peer = info.devid;
	for (int i = 0; i < 4 && r == 0; i++) {
		r = ism_alloc_regions(dev, 4096, &opts, 3, mine);
		for (int k = 0; k < 3 && r == 0; k++) {
			token[k] = ism_region_token(mine[k]);
			*(uint64_t *)ism_region_addr(mine[k]) = token[k];
		}
		if (r == 0)
			r = ism_attach_regions(peer, token, i == 2 ? ISM_READ : ISM_READ | ISM_WRITE, NULL, 3, theirs);
		for (int k = 0; k < 3 && r == 0; k++)
			r = *(uint64_t *)ism_region_addr(theirs[k]) == token[k] ? 0 : -ETIMEDOUT;	/* which none of the tests takes */
		if (r == 0) {
			ism_detach_regions(theirs, i == 3 ? 2 : 3);
			ism_detach_regions(mine, 3);
		}
	}
	return r;
}

static int use_other(struct ism_device *dev, uint64_t token)
{
	struct ism_region *other, *nothing;
	int r = ism_attach_region(dev, token, ISM_READ, NULL, &other);

	if (r < 0)
		return r;
	for (int i = 0; i < 4; i++) {
		r = ism_region_notify(other);
		if (r < 0)
			return r;
	}
	r = ism_attach_region(dev, token ^ 1, ISM_READ, NULL, &nothing);
	return r == -ENOENT ? 0 : r;
}

int scenario(const char *uri, uint64_t token, uint32_t timeout_ms)
{
	struct ism_open_opts opts = { .size = sizeof opts, .timeout_ms = timeout_ms, .restart_ms = 60000, .spin_us = ISM_SPIN_NONE };
	struct ism_device *dev, *peer;
	int r = ism_open(uri, &opts, &dev);

	if (r < 0)
		return r;
	r = ism_open(uri, &opts, &peer);
	if (r == 0) {
		r = use_regions(dev, peer);
		if (r == 0)
			r = use_successors(dev, peer);
		if (r == 0)
			r = use_batches(dev, peer);
		if (r == 0 && token != 0)
			r = use_other(dev, token);
		ism_close(peer);
	}
	ism_close(dev);
	return r;
}

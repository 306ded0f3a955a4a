/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * alloc.c - allocating regions.
 */
#include "watch.h"

#include "base/bytes.h"
#include "base/spec.h"

#include <errno.h>
#include <string.h>

enum {
	ALLOC_FLAGS = ISM_ALLOC_PRIVATE | ISM_ALLOC_HUGE | ISM_ALLOC_NODE | ISM_ALLOC_PREFAULT | ISM_ALLOC_VECTOR |
		      ISM_ALLOC_REQUIRED | ISM_ALLOC_POOLED,
};

int ismi_alloc_check(const struct ism_device *dev, size_t size, const struct ism_alloc_opts *o,
		     struct ismi_alloc *ret)
{
	bool huge = (o->flags & ISM_ALLOC_HUGE) && (o->flags & ISM_ALLOC_REQUIRED);
	uint64_t unit = huge ? ISMI_HUGE_PAGE : dev->info.chunk_size;

	if ((o->flags & ~(uint32_t)ALLOC_FLAGS) != 0)
		return ismi_fail(-EINVAL, "ism_alloc_opts.flags 0x%x: unknown flag", o->flags);
	if ((o->flags & ISM_ALLOC_NODE) ? o->node < 0 : o->node != 0)
		return ismi_fail(-EINVAL, "ism_alloc_opts.node %d: expected a node with ISM_ALLOC_NODE, 0 without", o->node);
	if ((o->flags & ISM_ALLOC_POOLED) ? o->peer == 0 || o->peer == dev->info.devid : o->peer != 0)
		return ismi_fail(-EINVAL, "ism_alloc_opts.peer %llu: expected another device's id with ISM_ALLOC_POOLED, 0 without",
				 (unsigned long long)o->peer);
	if (size == 0)
		return ismi_fail(-EINVAL, "a region of 0 bytes: expected at least 1");
	*ret = (struct ismi_alloc){ .requested = size, .private = o->flags & (ISM_ALLOC_PRIVATE | ISM_ALLOC_POOLED),
				    .huge = huge, .peer = o->peer };
	if (!ismi_round_up(size, unit, &ret->size) || ret->size > dev->info.max_region)
		return ismi_fail(-E2BIG, "a region of %zu bytes: the window has %llu", size,
				 (unsigned long long)dev->info.max_region);
	return 0;
}

/* Memory of the pool for up to @nr regions: those that are regions already come first, and are in @mem.  Their number. */
static size_t take_pooled(struct ism_device *dev, const struct ismi_alloc *want, size_t nr, struct ismi_memory *mem,
			  struct ismi_pooled **pooled)
{
	size_t ready = 0;

	for (size_t i = 0; i < nr; i++) {
		struct ismi_pooled *p = want->peer != 0 && dev->ops->pools ? ismi_pool_take(dev, want, nr == 1) : NULL;
		pooled[i] = p;
		if (p == NULL || !p->ready)
			continue;
		mem[ready] = p->mem;
		pooled[i] = pooled[ready];
		pooled[ready++] = p;
	}
	return ready;
}

static int ask_memory(struct ism_device *dev, const struct ismi_alloc *want, size_t nr, struct ismi_memory *mem)
{
	int r = dev->ops->alloc(dev, want, (uint32_t)nr, mem);

	if (r == -ENOSPC && ismi_pool_shrink(dev))
		r = dev->ops->alloc(dev, want, (uint32_t)nr, mem);
	return r;
}

/* Of the pool, and what there is not, from the device. */
static int alloc_memory(struct ism_device *dev, struct ismi_alloc *want, size_t nr, struct ismi_memory *mem,
			struct ismi_pooled **pooled)
{
	int r = 0;

	for (size_t i = 0; i < nr; i++)
		ismi_attach_begin(dev);
	size_t ready = take_pooled(dev, want, nr, mem, pooled);
	dev->given = mem;
	dev->nr_given = ready;
	want->reuse = pooled + ready;
	if (ready < nr)
		r = ask_memory(dev, want, nr - ready, mem + ready);
	dev->nr_given = r == 0 ? nr : 0;
	if (r == 0) {
		for (size_t i = 0; i < ready; i++)
			pooled[i]->ready = false;
		return 0;
	}
	pthread_mutex_lock(&dev->bell);
	for (size_t i = 0; i < nr; i++)
		ismi_attach_end(dev, NULL);
	pthread_mutex_unlock(&dev->bell);
	for (size_t i = 0; i < nr; i++) {
		if (pooled[i] != NULL)
			ismi_pool_give(dev, pooled[i]);
	}
	if (r == -ENOENT)
		ismi_pool_forget_peer(dev, want->peer);
	return r;
}

/* A handle for one region that the device gave: consumes mem's descriptor and what is pooled. */
static int alloc_handle(struct ism_device *dev, const struct ismi_alloc *want, const struct ism_alloc_opts *o,
			struct ismi_memory *mem, struct ismi_pooled *pooled, struct ism_region **ret)
{
	if (pooled == NULL && want->peer != 0 && dev->ops->pools)
		pooled = ismi_pool_new(dev, want, mem->fd);
	int r = ismi_handle_new(dev, mem, ISM_READ | ISM_WRITE, o->flags, pooled, ret);
	if (r < 0)
		ismi_pool_drop(dev, pooled);
	else if (want->private)
		(*ret)->flags |= ISM_ALLOC_PRIVATE;
	return r;
}

static int alloc_locked(struct ism_device *dev, struct ismi_alloc *want, const struct ism_alloc_opts *o, size_t nr,
			struct ism_region **ret)
{
	struct ismi_pooled *pooled[ISMI_BATCH_MAX];
	struct ismi_memory mem[ISMI_BATCH_MAX];
	size_t done = 0;
	int r = alloc_memory(dev, want, nr, mem, pooled);

	if (r < 0)
		return r;
	for (size_t i = 0; i < nr; i++) {	/* each of them, whatever became of the others: mem has to be closed */
		struct ism_region *region;
		int r1 = alloc_handle(dev, want, o, &mem[i], pooled[i], &region);
		if (r1 == 0) {
			ret[done++] = region;
			r1 = ismi_handle_wishes(region, o->flags, o->node);
		}
		if (r1 == 0 && want->peer != 0 && !dev->ops->pools)
			r1 = dev->ops->grant(dev, region->ref->token, want->peer, ISM_READ | ISM_WRITE | ISM_ATTACH);
		if (r1 < 0 && r == 0)
			r = r1;
	}
	dev->nr_given = 0;
	while (r < 0 && done > 0)
		ismi_handle_del(ret[--done]);
	return r;
}

int ism_alloc_regions(struct ism_device *dev, size_t size, const struct ism_alloc_opts *opts, size_t nr,
		      struct ism_region **ret)
{
	struct ism_region *made[ISMI_BATCH_MAX];
	struct ism_alloc_opts o;
	struct ismi_alloc want;
	int r;

	if (ismi_unusual(dev))
		return ismi_watched_alloc(dev, size, opts, nr, ret);
	if (nr == 0 || nr > ISMI_BATCH_MAX)
		return ismi_fail(-EINVAL, "%zu regions at once: expected 1 to %d", nr, ISMI_BATCH_MAX);
	r = ismi_opts_copy(&o, sizeof o, ISMI_UP_TO(struct ism_alloc_opts, node), opts, "ism_alloc_opts");
	if (r == 0)
		r = ismi_alloc_check(dev, size, &o, &want);
	if (r < 0)
		return r;
	ismi_housekeep(dev);
	pthread_mutex_lock(&dev->lock);
	r = alloc_locked(dev, &want, &o, nr, made);
	pthread_mutex_unlock(&dev->lock);
	if (r == 0)
		memcpy(ret, made, nr * sizeof made[0]);
	return r;
}

int ism_alloc_region(struct ism_device *dev, size_t size, const struct ism_alloc_opts *opts, struct ism_region **ret)
{
	return ism_alloc_regions(dev, size, opts, 1, ret);
}

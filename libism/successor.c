/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * successor.c - a region gets a successor, and whoever may goes over.
 *
 * That there is one is said by an event; which it is, the device is asked.  So
 * an event that is lost costs nothing but a question.
 */
#include "watch.h"

#include "base/spec.h"

#include <errno.h>

/* ------------------------------------------------------------------ followers */

static void mark(struct ismi_follower *f)
{
	/* Whoever it belongs to asks the device: nothing else is to be seen with this. */
	atomic_fetch_or_explicit(&f->odd, ISMI_ODD_MOVED, memory_order_relaxed);
}

void ismi_deliver_moved(struct ismi_ref *ref)
{
	struct ismi_follower *f;
	struct ism_region *h;

	ref->moved = true;
	LIST_FOREACH (h, &ref->handles, of_ref) {
		LIST_FOREACH (f, &h->followers, of_region)
			mark(f);
	}
}

void ismi_deliver_moved_any(struct ism_device *dev)
{
	for (uint32_t i = 0; i < dev->nr_slots; i++) {
		if (dev->slot[i] != NULL)
			ismi_deliver_moved(dev->slot[i]);
	}
}

void ismi_follow(struct ism_region *region, struct ismi_follower *f)
{
	pthread_mutex_lock(&region->dev->bell);
	LIST_INSERT_HEAD(&region->followers, f, of_region);
	if (region->ref->moved)
		mark(f);
	pthread_mutex_unlock(&region->dev->bell);
}

void ismi_unfollow(struct ism_region *region, struct ismi_follower *f)
{
	pthread_mutex_lock(&region->dev->bell);
	LIST_REMOVE(f, of_region);
	pthread_mutex_unlock(&region->dev->bell);
}

/* ------------------------------------------------------------------ replace */

static int replace_check(const struct ism_region *region, const struct ism_alloc_opts *o, struct ismi_alloc *ret)
{
	const struct ismi_memory *mem = &region->ref->mem;
	int r = ismi_alloc_check(region->dev, (size_t)mem->requested, o, ret);

	if (r == 0 && (o->flags & ISM_ALLOC_POOLED))
		return ismi_fail(-EINVAL, "ISM_ALLOC_POOLED: a successor is not for one peer alone");
	if (r < 0)
		return r;
	if (ret->huge && ret->size != mem->size)
		return ismi_fail(-EOPNOTSUPP, "a successor has its region's size, which is not that of whole huge pages");
	ret->size = mem->size;
	return 0;
}

static int replace_locked(struct ism_region *region, const struct ismi_alloc *want, const struct ism_alloc_opts *o,
			  struct ism_region **ret)
{
	struct ism_device *dev = region->dev;
	struct ismi_ref *old = region->ref;
	struct ismi_memory mem;

	ismi_attach_begin(dev);
	int r = dev->ops->replace(dev, old->token, want, &mem);
	if (r == -ENOSPC && ismi_pool_shrink(dev))
		r = dev->ops->replace(dev, old->token, want, &mem);
	pthread_mutex_lock(&dev->bell);
	if (r < 0)
		ismi_attach_end(dev, NULL);
	else
		ismi_deliver_moved(old);	/* the device tells others; this is one that did it */
	ismi_wake_sleepers(dev);
	pthread_mutex_unlock(&dev->bell);
	if (r < 0)
		return r;
	if (old->pooled != NULL)
		old->pooled->spoilt = true;
	r = ismi_handle_new(dev, &mem, ISM_READ | ISM_WRITE, o->flags, NULL, ret);
	if (r < 0)
		return r;
	(*ret)->flags |= ISM_ALLOC_PRIVATE;
	r = ismi_handle_wishes(*ret, o->flags, o->node);
	if (r < 0)
		ismi_handle_del(*ret);
	return r;
}

int ism_region_replace(struct ism_region *region, const struct ism_alloc_opts *opts, struct ism_region **ret)
{
	struct ism_device *dev = region->dev;
	struct ism_region *made;
	struct ism_alloc_opts o;
	struct ismi_alloc want;

	if (ismi_unusual(dev))
		return ismi_watched_replace(region, opts, ret);
	int r = ismi_opts_copy(&o, sizeof o, ISMI_UP_TO(struct ism_alloc_opts, node), opts, "ism_alloc_opts");
	if (r == 0)
		r = replace_check(region, &o, &want);
	if (r < 0)
		return r;
	ismi_housekeep(dev);
	pthread_mutex_lock(&dev->lock);
	r = replace_locked(region, &want, &o, &made);
	pthread_mutex_unlock(&dev->lock);
	if (r == 0)
		*ret = made;
	return r;
}

/* ------------------------------------------------------------------ shutting out */

static int shut_out_check(const uint64_t *devid, size_t nr)
{
	if (nr > ISMI_SHUT_OUT_MAX)
		return ismi_fail(-EINVAL, "%zu devices to shut out: expected at most %d", nr, ISMI_SHUT_OUT_MAX);
	return nr > 0 && devid == NULL ? ismi_fail_const(-EINVAL, "no list of devices to shut out") : 0;
}

int ism_shut_out(struct ism_device *dev, uint64_t token, const uint64_t *devid, size_t nr, struct ism_region **ret)
{
	struct ismi_memory mem;
	struct ism_region *made;

	if (ismi_unusual(dev))
		return ismi_watched_shut_out(dev, token, devid, nr, ret);
	int r = shut_out_check(devid, nr);
	if (r < 0)
		return r;
	ismi_housekeep(dev);
	pthread_mutex_lock(&dev->lock);
	ismi_attach_begin(dev);
	r = dev->ops->shut_out(dev, token, devid, nr, &mem);
	if (r == 0) {
		r = ismi_handle_new(dev, &mem, ISM_READ, 0, NULL, &made);
	} else {
		pthread_mutex_lock(&dev->bell);
		ismi_attach_end(dev, NULL);
		pthread_mutex_unlock(&dev->bell);
	}
	if (r == 0)
		made->flags |= ISM_ALLOC_PRIVATE;
	pthread_mutex_unlock(&dev->lock);
	if (r == 0)
		*ret = made;
	return r;
}

/* ------------------------------------------------------------------ going over */

int ismi_attach_successor(struct ism_region *region, uint32_t rights, uint32_t flags, struct ism_region **ret,
			  uint32_t *ret_others)
{
	struct ism_device *dev = region->dev;
	uint64_t token;

	ismi_housekeep(dev);
	pthread_mutex_lock(&dev->lock);
	int r = dev->ops->successor(dev, region->ref->token, &token, ret_others);
	while (r == 0 && ret != NULL) {
		uint64_t asked = token;
		r = ismi_attach_locked(dev, token, rights, flags, ret);
		/* It may have gone since, and have left its own successor in its place. */
		if (r != -ENOENT || dev->ops->successor(dev, region->ref->token, &token, ret_others) < 0 || token == asked)
			break;
		r = 0;
	}
	pthread_mutex_unlock(&dev->lock);
	return r;
}

int ism_attach_successor(struct ism_region *region, uint32_t rights, const struct ism_attach_opts *opts,
			 struct ism_region **ret)
{
	struct ism_region *next;
	uint32_t flags, others;

	if (ismi_unusual(region->dev))
		return ismi_watched_attach_successor(region, rights, opts, ret);
	int r = ismi_attach_check(rights, opts, &flags);
	if (r == 0)
		r = ismi_attach_successor(region, rights, flags, &next, &others);
	if (r == 0)
		*ret = next;
	return r;
}

/* ------------------------------------------------------------------ backends without */

int ismi_no_replace(struct ism_device *dev, uint64_t token, const struct ismi_alloc *want, struct ismi_memory *ret)
{
	(void)token;
	(void)want;
	(void)ret;
	return ismi_fail(-EOPNOTSUPP, "regions of %s cannot be replaced", dev->info.path);
}

int ismi_no_successor(struct ism_device *dev, uint64_t token, uint64_t *ret_token, uint32_t *ret_others)
{
	(void)dev;
	(void)token;
	(void)ret_token;
	(void)ret_others;
	return ismi_fail_const(-ENOENT, "the region has no successor, or none for this device");
}

int ismi_no_shut_out(struct ism_device *dev, uint64_t token, const uint64_t *devid, size_t nr, struct ismi_memory *ret)
{
	(void)token;
	(void)devid;
	(void)nr;
	(void)ret;
	return ismi_fail(-EOPNOTSUPP, "nobody can be shut out of regions through %s", dev->info.path);
}

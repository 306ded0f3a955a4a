/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * notify.c - ringing a region, and waiting for its ring.
 */
#include "watch.h"

#include <errno.h>

int ism_region_notify(struct ism_region *region)
{
	struct ism_device *dev = region->dev;

	if (ismi_unusual(dev))
		return ismi_watched_notify(region);
	ismi_count(&dev->count.notifies, 1);
	return dev->ops->notify(dev, region->ref);
}

/* Take the doorbell of a handle: under device.bell. */
static bool take_bell(struct ism_region *region)
{
	struct ism_device *dev = region->dev;

	/* Pairs with the release in ismi_deliver_bell(). */
	if (atomic_exchange_explicit(&region->pending, 0, memory_order_acquire) == 0)
		return false;
	if (region->in_updates)
		TAILQ_REMOVE(&dev->updates, region, update);
	region->in_updates = false;
	return true;
}

/* There were peers, and none is left: under device.bell. */
static bool deserted(const struct ismi_ref *ref)
{
	return ref->had_peers && ref->peers == 0;
}

static int fail_deserted(void)
{
	return ismi_fail_const(-EPIPE, "all other referrers of the region have detached or died");
}

int ismi_region_rung(struct ismi_wait *wait)
{
	struct ism_region *region = wait->region;
	const struct ismi_ref *ref = region->ref;

	if (take_bell(region))
		return 1;
	if (deserted(ref))
		return fail_deserted();
	if (wait->dev->reset && !wait->dev->ops->reachable(wait->dev, ref))
		return ismi_fail(-EHOSTDOWN, "the host is gone, and no peer can ring this region without it");
	return 0;
}

int ismi_region_deserted(struct ism_region *region, bool look)
{
	struct ism_device *dev = region->dev;

	pthread_mutex_lock(&dev->bell);
	if (look)
		ismi_look(dev);
	bool gone = deserted(region->ref);
	if (look)
		ismi_settle(dev);
	pthread_mutex_unlock(&dev->bell);
	if (look)
		ismi_housekeep(dev);
	return gone ? fail_deserted() : 0;
}

static bool peek_bell(struct ismi_wait *wait)
{
	return ismi_load_relaxed(&wait->region->pending) != 0;
}

int ism_region_wait(struct ism_region *region, int64_t timeout_ns)
{
	struct ismi_wait wait = { .dev = region->dev, .region = region, .done = ismi_region_rung, .peek = peek_bell };

	if (ismi_unusual(region->dev))
		return ismi_watched_region_wait(region, timeout_ns);
	if (region->vector_fd >= 0)	/* what it says is taken here, so that it does not say it again */
		ismi_sys_wake_clear(region->vector_fd);
	return ismi_wait_for(&wait, timeout_ns);
}

int ism_region_clear(struct ism_region *region)
{
	struct ism_device *dev = region->dev;

	if (ismi_unusual(dev))
		return ismi_watched_region_clear(region);
	/* The descriptor first: a ring after this makes it readable again. */
	if (region->vector_fd >= 0)
		ismi_sys_wake_clear(region->vector_fd);
	pthread_mutex_lock(&dev->bell);
	bool rung = take_bell(region);
	if (!rung) {
		ismi_look(dev);
		rung = take_bell(region);
	}
	ismi_settle(dev);
	pthread_mutex_unlock(&dev->bell);
	ismi_housekeep(dev);
	return rung;
}

int ism_region_fd(struct ism_region *region)
{
	if (ismi_unusual(region->dev))
		return ismi_watched_region_fd(region);
	return region->vector_fd >= 0 ? region->vector_fd : ism_fd(region->dev);
}

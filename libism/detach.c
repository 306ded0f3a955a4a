/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * detach.c - letting go of regions.
 *
 * The device is told first, of all of them at once where it can be: then the
 * memory's last use ends here, and its pages go to the CPU that takes the next ones.
 */
#include "watch.h"

/* What ends with a call: references whose last handle goes. */
struct leaving {
	struct ismi_ref *ref[ISMI_BATCH_MAX];
	struct ismi_leave leave[ISMI_BATCH_MAX];
	uint32_t nr;
};

/* Its doorbell descriptor, if it has one. */
static void vector_put(struct ism_region *region)
{
	if (region->vector_fd < 0)
		return;
	region->dev->ops->vector(region->dev, region->ref->token, false, NULL);
	ismi_sys_close(region->vector_fd);
	region->vector_fd = -1;
}

/* Nobody finds the handles any more: under device.bell. */
static void unlink_all(struct ism_device *dev, struct ism_region *const *regions, size_t nr, struct leaving *l)
{
	bool heard = false;

	for (size_t i = 0; i < nr; i++) {
		struct ism_region *region = regions[i];
		struct ismi_ref *ref = region->ref;
		const struct ismi_pooled *p = ref->pooled;
		if (p != NULL && !heard)
			dev->ops->poll(dev);	/* it may have heard that the peer let go */
		heard |= p != NULL;
		LIST_REMOVE(region, of_ref);
		ismi_events_forget(dev, region);
		if (!LIST_EMPTY(&ref->handles))
			continue;
		l->leave[l->nr] = (struct ismi_leave){
			.token = ref->token,
			.renew = p != NULL && ref->peers == 0 && ismi_pool_keeps(p),
		};
		l->ref[l->nr++] = ref;
	}
	ismi_settle(dev);
}

static void tell_device(struct ism_device *dev, struct leaving *l)
{
	if (dev->ops->detach_many != NULL && l->nr > 0) {
		dev->ops->detach_many(dev, l->leave, l->nr);
		return;
	}
	for (uint32_t i = 0; i < l->nr; i++)
		dev->ops->detach(dev, l->leave[i].token);
}

/* Memory of a pooled region can be used again if nobody else uses it still. */
static void pooled_put(struct ism_device *dev, struct ismi_pooled *p, const struct ismi_memory *mem,
		       const struct ismi_leave *leave)
{
	if (p == NULL)
		return;
	if (!leave->renew) {
		ismi_pool_drop(dev, p);
		return;
	}
	p->ready = leave->next != 0;
	if (p->ready) {
		p->mem = *mem;
		p->mem.token = leave->next;
		p->mem.event_from = leave->event_from;
		p->mem.peers = 0;
	}
	ismi_pool_give(dev, p);
}

void ismi_handles_del(struct ism_device *dev, struct ism_region *const *regions, size_t nr)
{
	struct leaving l;

	l.nr = 0;
	for (size_t i = 0; i < nr; i++)
		vector_put(regions[i]);
	pthread_mutex_lock(&dev->bell);
	unlink_all(dev, regions, nr, &l);
	pthread_mutex_unlock(&dev->bell);
	tell_device(dev, &l);
	for (size_t i = 0; i < nr; i++) {
		ismi_mapping_put(dev, regions[i]->ref, regions[i]->rights & ISM_WRITE);
		ismi_region_free(regions[i]);
	}
	for (uint32_t i = 0; i < l.nr; i++) {
		struct ismi_pooled *pooled = l.ref[i]->pooled;
		const struct ismi_memory mem = l.ref[i]->mem;
		ismi_ref_del(dev, l.ref[i]);
		pooled_put(dev, pooled, &mem, &l.leave[i]);
	}
}

void ism_detach_region(struct ism_region *region)
{
	if (region == NULL)
		return;
	struct ism_device *dev = region->dev;
	if (ismi_unusual(dev)) {
		ismi_watched_detach(region);
		return;
	}
	pthread_mutex_lock(&dev->lock);
	ismi_handles_del(dev, &region, 1);
	pthread_mutex_unlock(&dev->lock);
}

/* Those at the front that are one device's: their number. */
static size_t of_one_device(struct ism_region *const *regions, size_t nr)
{
	size_t n = 0;

	while (n < nr && n < ISMI_BATCH_MAX && regions[n] != NULL && regions[n]->dev == regions[0]->dev)
		n++;
	return n;
}

void ism_detach_regions(struct ism_region *const *regions, size_t nr)
{
	while (nr > 0) {
		size_t n = of_one_device(regions, nr);
		if (n == 0 || ismi_unusual(regions[0]->dev)) {
			ism_detach_region(regions[0]);
			n = 1;
		} else {
			struct ism_device *dev = regions[0]->dev;
			pthread_mutex_lock(&dev->lock);
			ismi_handles_del(dev, regions, n);
			pthread_mutex_unlock(&dev->lock);
		}
		regions += n;
		nr -= n;
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model.c - the rules of virtio-ism: devices, regions, and references to them.
 */
#include "model-private.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>

enum { HUGE_CHUNKS = 2 * 1024 * 1024 / ISMI_CHUNK };

/* ------------------------------------------------------------------ regions */

uint64_t model_new_token(struct model *m)
{
	uint64_t token;

	do
		token = m->ops->random(m->ctx);
	while (token == 0 || model_region_find(m, token) != NULL);
	return token;
}

enum ismi_status model_region_new(struct model *m, const struct model_region *facts, struct model_region **ret)
{
	struct model_region *region = malloc(sizeof *region);

	if (region == NULL)
		return ISMI_ENOMEM;
	*region = *facts;
	region->token = model_new_token(m);
	region->serial = m->next_serial;
	region->model = m;
	if (tsearch(region, &m->tokens, by_u64) == NULL) {
		free(region);
		return ISMI_ENOMEM;
	}
	*ret = region;
	return ISMI_OK;
}

void model_region_begin(struct model_region *region)
{
	struct model *m = region->model;

	TAILQ_INSERT_TAIL(&m->regions, region, all);
	m->next_serial++;
	m->nr_regions++;
	m->count.allocs++;
	m->bytes += region->size;
}

void model_region_undo(struct model_region *region)
{
	while (!LIST_EMPTY(&region->grant_list))
		model_grant_del(LIST_FIRST(&region->grant_list));
	tdelete(region, &region->model->tokens, by_u64);
	free(region);
}

void model_region_link(struct model_region *region, struct model_region *next)
{
	if (region->successor != NULL)
		LIST_REMOVE(region, of_successor);
	region->successor = next;
	if (next != NULL)
		LIST_INSERT_HEAD(&next->replaces, region, of_successor);
}

void model_region_free(struct model_region *region)
{
	struct model *m = region->model;

	/* Who was on the way to it goes on to its own successor. */
	while (!LIST_EMPTY(&region->replaces))
		model_region_link(LIST_FIRST(&region->replaces), region->successor);
	model_region_link(region, NULL);
	TAILQ_REMOVE(&m->regions, region, all);
	m->nr_regions--;
	m->bytes -= region->size;
	m->ops->region_free(m->ctx, region);
	model_region_undo(region);
}

/* ------------------------------------------------------------------ references */

static enum ismi_status ref_place(struct model_ref *ref)
{
	struct model_device *dev = ref->device;
	uint32_t nr_chunks = (uint32_t)(ref->region->size / ISMI_CHUNK);
	/* Where huge pages can matter at all, let them: address and offset agree modulo their size. */
	uint32_t align = nr_chunks >= HUGE_CHUNKS ? HUGE_CHUNKS : 1;
	int r = window_take(&dev->slots, 1, 1, &ref->slot);

	if (r < 0)
		return r == -ENOMEM ? ISMI_ENOMEM : ISMI_ENOSPC;
	/* Where it has a mapping of it still, if it can be. */
	if (ref->region->shown_to == dev->devid && window_take_at(&dev->window, ref->region->shown_chunk, nr_chunks) == 0) {
		ref->chunk = ref->region->shown_chunk;
		return ISMI_OK;
	}
	r = window_take(&dev->window, nr_chunks, align, &ref->chunk);
	if (r == 0)
		return ISMI_OK;
	window_give(&dev->slots, ref->slot, 1);
	return r == -ENOMEM ? ISMI_ENOMEM : ISMI_ENOSPC;
}

static void ref_unplace(struct model_ref *ref)
{
	window_give(&ref->device->window, ref->chunk, (uint32_t)(ref->region->size / ISMI_CHUNK));
	window_give(&ref->device->slots, ref->slot, 1);
}

enum ismi_status model_ref_new(struct model_device *dev, struct model_region *region, uint32_t rights,
			       struct model_ref **ret)
{
	enum ismi_status status;
	struct model_ref *ref;

	if (!model_region_fits(dev, region->size))
		return model_over_quota(dev);
	ref = calloc(1, sizeof *ref);
	if (ref == NULL)
		return ISMI_ENOMEM;
	ref->token = region->token;
	ref->region = region;
	ref->device = dev;
	ref->rights = rights;
	ref->vector_fd = -1;
	status = ref_place(ref);
	if (status != ISMI_OK)
		goto err_free;
	if (tsearch(ref, &dev->refs, by_u64) == NULL) {
		status = ISMI_ENOMEM;
		goto err_place;
	}
	model_account(dev, region, true);
	LIST_INSERT_HEAD(&dev->ref_list, ref, of_device);
	LIST_INSERT_HEAD(&region->refs, ref, of_region);
	region->nr_refs++;
	model_ref_update(ref);
	dev->model->ops->ref_begin(dev->model->ctx, ref);
	*ret = ref;
	return ISMI_OK;

err_place:
	ref_unplace(ref);
err_free:
	free(ref);
	return status;
}

void model_ref_del(struct model_ref *ref)
{
	struct model_device *dev = ref->device;
	struct model_region *region = ref->region, *next = region->successor;

	dev->model->count.detaches++;
	dev->model->ops->ref_end(dev->model->ctx, ref);
	LIST_REMOVE(ref, of_device);
	LIST_REMOVE(ref, of_region);
	tdelete(ref, &dev->refs, by_u64);
	region->nr_refs--;
	region->nr_managers -= ref->manages;
	ref_unplace(ref);
	model_account(dev, region, false);
	free(ref);

	if (region->nr_refs == 0) {
		model_region_free(region);
	} else {
		model_region_check_end(region);
		model_tell(region, NULL, MODEL_WENT, dev->devid);
	}
	if (next != NULL)	/* it may have been the manager to come */
		model_region_check_end(next);
}

/* ------------------------------------------------------------------ devices */

void model_init(struct model *m, uint64_t gid, const struct model_ops *ops, void *ctx)
{
	*m = (struct model){ .ops = ops, .ctx = ctx, .gid = gid, .next_devid = 1, .next_serial = 1 };
	TAILQ_INIT(&m->user_list);
	TAILQ_INIT(&m->devices);
	TAILQ_INIT(&m->regions);
}

void model_fini(struct model *m)
{
	assert(m->nr_devices == 0 && m->nr_regions == 0 && m->bytes == 0);
	assert(m->tokens == NULL && m->devids == NULL);
	while (!TAILQ_EMPTY(&m->user_list))	/* remembered for their failed attaches */
		model_user_del(m, TAILQ_FIRST(&m->user_list));
}

enum ismi_status model_device_add(struct model *m, uint32_t uid, uint64_t window_size, struct model_device **ret)
{
	struct model_user *user = model_user_get(m, uid);
	struct model_device *dev;

	if (user == NULL)
		return ISMI_ENOMEM;
	if (!model_device_fits(m, user)) {
		user->used.over_quota++;
		m->count.over_quota++;
		model_user_put(m, user);
		return ISMI_ENOSPC;
	}
	dev = calloc(1, sizeof *dev);
	if (dev == NULL)
		goto err_user;
	dev->devid = m->next_devid;
	dev->model = m;
	dev->user = user;
	if (tsearch(dev, &m->devids, by_u64) == NULL)
		goto err_free;
	m->next_devid++;
	window_init(&dev->window, (uint32_t)(window_size / ISMI_CHUNK));
	window_init(&dev->slots, ISMI_SLOTS);
	TAILQ_INSERT_TAIL(&m->devices, dev, all);
	m->nr_devices++;
	user->used.devices++;
	*ret = dev;
	return ISMI_OK;

err_free:
	free(dev);
err_user:
	model_user_put(m, user);
	return ISMI_ENOMEM;
}

void model_device_reset(struct model_device *dev)
{
	while (!LIST_EMPTY(&dev->ref_list))
		model_ref_del(LIST_FIRST(&dev->ref_list));
}

void model_device_del(struct model_device *dev)
{
	struct model *m = dev->model;
	struct model_grant *grant;

	model_device_reset(dev);
	while (!LIST_EMPTY(&dev->grants))
		model_grant_del(LIST_FIRST(&dev->grants));
	/* What it gave stays given, but no longer counts against it. */
	while ((grant = LIST_FIRST(&dev->given)) != NULL) {
		LIST_REMOVE(grant, of_giver);
		grant->giver = NULL;
		dev->user->used.grants--;
	}
	tdelete(dev, &m->devids, by_u64);
	TAILQ_REMOVE(&m->devices, dev, all);
	m->nr_devices--;
	window_fini(&dev->window);
	window_fini(&dev->slots);
	dev->user->used.devices--;
	model_user_put(m, dev->user);
	free(dev);
}

/* ------------------------------------------------------------------ alloc, attach, detach */

enum ismi_status model_alloc(struct model_device *dev, uint64_t size, uint64_t requested, uint32_t flags, void *memory,
			     struct model_ref **ret)
{
	struct model *m = dev->model;
	struct model_region *region;
	uint64_t rounded = (size + ISMI_CHUNK - 1) & ~(uint64_t)(ISMI_CHUNK - 1);

	if (size == 0 || requested == 0 || requested > size)
		return ISMI_ERR;
	if (rounded < size || rounded / ISMI_CHUNK > dev->window.nr_chunks)
		return ISMI_E2BIG;
	const struct model_region facts = {
		.size = rounded,
		.requested = requested,
		.flags = flags,
		.default_rights = flags & ISMI_ALLOC_F_PRIVATE ? 0 : MODEL_DEFAULT,
		.creator = dev->devid,
		.creator_uid = dev->user->uid,
		.memory = memory,
	};
	enum ismi_status status = model_region_new(m, &facts, &region);
	if (status != ISMI_OK)
		return status;
	status = model_ref_new(dev, region, MODEL_READ | MODEL_WRITE, ret);
	if (status != ISMI_OK) {
		model_region_undo(region);
		return status;
	}
	model_region_begin(region);
	return ISMI_OK;
}

/* A replaced region has ended, its managers having gone on; but who follows them has to come through it. */
static bool on_the_way(struct model_device *dev, const struct model_region *region)
{
	const struct model_region *before;

	LIST_FOREACH (before, &region->replaces, of_successor) {
		if (region->successor != NULL && model_ref_find(dev, before->token) != NULL)
			return true;
	}
	return false;
}

static enum ismi_status attach_allowed(struct model_device *dev, struct model_region *region, uint32_t want)
{
	if (region == NULL || (region->ended && !on_the_way(dev, region)) || !model_may_know(dev, region))
		return ISMI_ENOENT;
	uint32_t lacks = (want | MODEL_ATTACH) & ~model_rights(dev, region);
	if (lacks & MODEL_ATTACH)
		return ISMI_PERM_ATTACH;
	if (lacks & MODEL_READ)
		return ISMI_PERM_READ;
	return lacks & MODEL_WRITE ? ISMI_PERM_WRITE : ISMI_OK;
}

enum ismi_status model_attach(struct model_device *dev, uint64_t token, uint32_t want, int64_t now,
			      struct model_ref **ret, int64_t *delay)
{
	struct model_region *region = model_region_find(dev->model, token);
	struct model_ref *ref = model_ref_find(dev, token);
	enum ismi_status status;

	*delay = 0;
	if (want != MODEL_READ && want != (MODEL_READ | MODEL_WRITE))
		return ISMI_ERR;
	if (!model_attach_rate_ok(dev, now))
		return model_over_quota(dev);
	status = attach_allowed(dev, region, want);
	if (status != ISMI_OK) {
		*delay = model_attach_failed(dev, now);
		return status;
	}
	if (ref != NULL) {
		ref->rights |= want;
		model_fact_changed(region, ref, NULL);
		*ret = ref;
		return ISMI_OK;
	}
	status = model_ref_new(dev, region, want, &ref);
	if (status != ISMI_OK)
		return status;
	dev->model->count.attaches++;
	model_tell(region, ref, MODEL_CAME, dev->devid);
	*ret = ref;
	return ISMI_OK;
}

void model_attach_undo(struct model_ref *ref, uint32_t had)
{
	if (ref->rights == had)
		return;
	ref->rights = had;
	model_fact_changed(ref->region, ref, NULL);
}

enum ismi_status model_detach(struct model_device *dev, uint64_t token)
{
	struct model_ref *ref = model_ref_find(dev, token);

	if (ref == NULL)
		return ISMI_ENOENT;
	model_ref_del(ref);
	return ISMI_OK;
}

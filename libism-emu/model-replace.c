/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model-replace.c - a region gets a successor, which those who may go on with,
 * and the others never hear of.
 *
 * The old region stays as it is for those who are in it: its doorbells ring until
 * they have gone over, one by one.  Only newcomers can no longer attach it by its
 * default rights.
 *
 * A manager replaces it, or a device of the host's user or of root, which has no
 * part in it: that one only holds the successor until somebody is there.
 */
#include "model-private.h"

/* Whose rights are handed on by whom. */
struct heir {
	struct model_device *giver;
	struct model_region *old;
	const uint64_t *without;	/* devids of those who get none */
	size_t nr_without;
};

/* What is left of the rights: each grant, and the default for each referrer that lives by it. */
static uint32_t left_to(const struct model_ref *ref)
{
	const struct model_region *region = ref->region;

	if (ref->device->devid == region->creator || model_grant_find(ref->region, ref->device->devid) != NULL)
		return 0;
	return region->default_rights & MODEL_ATTACH ? region->default_rights : 0;
}

static bool is_without(const struct heir *h, uint64_t devid)
{
	for (size_t i = 0; i < h->nr_without; i++) {
		if (h->without[i] == devid)
			return true;
	}
	return false;
}

static uint32_t nr_left(const struct heir *h)
{
	const struct model_grant *grant;
	const struct model_ref *ref;
	uint32_t nr = 0;

	LIST_FOREACH (grant, &h->old->grant_list, of_region)
		nr += grant->rights != 0 && !is_without(h, grant->devid);
	LIST_FOREACH (ref, &h->old->refs, of_region)
		nr += left_to(ref) != 0 && !is_without(h, ref->device->devid);
	return nr;
}

static enum ismi_status hand_on(const struct heir *h, struct model_region *next, struct model_device *to,
				uint32_t rights)
{
	struct model_grant *grant;

	if (rights == 0 || is_without(h, to->devid))
		return ISMI_OK;
	enum ismi_status status = model_grant_new(h->giver, next, to, &grant);
	if (status == ISMI_OK)
		grant->rights = rights;
	return status;
}

static enum ismi_status hand_on_all(const struct heir *h, struct model_region *next)
{
	enum ismi_status status = ISMI_OK;
	const struct model_grant *grant;
	const struct model_ref *ref;

	LIST_FOREACH (grant, &h->old->grant_list, of_region) {
		if (status == ISMI_OK)
			status = hand_on(h, next, grant->device, grant->rights);
	}
	LIST_FOREACH (ref, &h->old->refs, of_region) {
		if (status == ISMI_OK)
			status = hand_on(h, next, ref->device, left_to(ref));
	}
	return status;
}

/* The reference through which @dev may replace the region: who does so makes its memory, and could write it anyway. */
static enum ismi_status replace_allowed(struct model_device *dev, uint64_t token, struct model_ref **ret)
{
	struct model_ref *ref = model_ref_find(dev, token);

	if (ref == NULL || ref->region->successor != NULL)
		return ISMI_ENOENT;
	*ret = ref;
	return model_rights(dev, ref->region) == MODEL_RIGHTS ? ISMI_OK : ISMI_PERM_ATTACH;
}

/* A region that nobody refers to, with the rights that are left. */
static enum ismi_status successor_new(const struct heir *h, void *memory, struct model_region **ret)
{
	const struct model_region facts = {
		.size = h->old->size,
		.requested = h->old->requested,
		.flags = (h->old->flags & ~(uint32_t)ISMI_REGION_F_POOLED) | ISMI_ALLOC_F_PRIVATE,
		.creator = h->old->creator,
		.creator_uid = h->old->creator_uid,
		.memory = memory,
	};
	struct model_region *next;
	enum ismi_status status = model_region_new(h->giver->model, &facts, &next);

	if (status != ISMI_OK)
		return status;
	status = hand_on_all(h, next);
	if (status == ISMI_OK)
		*ret = next;
	else
		model_region_undo(next);
	return status;
}

/* The giver refers to it first. */
static enum ismi_status successor_begin(const struct heir *h, struct model_region *next, uint32_t rights,
					struct model_ref **ret)
{
	const struct model_grant *grant;
	enum ismi_status status = model_ref_new(h->giver, next, rights, ret);

	if (status != ISMI_OK) {
		model_region_undo(next);
		return status;
	}
	model_region_begin(next);
	LIST_FOREACH (grant, &next->grant_list, of_region)
		model_fact_changed(next, NULL, grant);
	return ISMI_OK;
}

enum ismi_status model_replace(struct model_device *dev, uint64_t token, void *memory, struct model_ref **ret)
{
	struct model_region *next;
	struct model_ref *ref;
	enum ismi_status status = replace_allowed(dev, token, &ref);

	if (status != ISMI_OK)
		return status;
	const struct heir h = { .giver = dev, .old = ref->region };
	if (!model_grants_fit(dev, nr_left(&h)))
		return model_over_quota(dev);
	status = successor_new(&h, memory, &next);
	return status == ISMI_OK ? successor_begin(&h, next, MODEL_READ | MODEL_WRITE, ret) : status;
}

/* ------------------------------------------------------------------ by the host's user */

static bool has_part(struct model_region *region, uint64_t devid)
{
	struct model_device *dev = model_device_find(region->model, devid);

	return model_grant_find(region, devid) != NULL || (dev != NULL && model_ref_find(dev, region->token) != NULL);
}

/* Is anybody left in the old region who may go over? */
static bool anybody_left(const struct heir *h)
{
	const struct model_ref *ref;

	LIST_FOREACH (ref, &h->old->refs, of_region) {
		if (ref->device != h->giver && !is_without(h, ref->device->devid) &&
		    (model_rights(ref->device, ref->region) & MODEL_ATTACH))
			return true;
	}
	return false;
}

enum ismi_status model_may_shut_out(struct model_device *dev, uint64_t token, const uint64_t *without, size_t nr,
				    struct model_region **ret)
{
	struct model_region *region = model_region_find(dev->model, token);
	const struct heir h = { .giver = dev, .old = region, .without = without, .nr_without = nr };

	if (region == NULL)
		return ISMI_ENOENT;
	if (region->successor != NULL)
		return ISMI_EALREADY;
	for (size_t i = 0; i < nr; i++) {
		if (without[i] == region->creator || without[i] == dev->devid)
			return ISMI_EINVAL;
		if (!has_part(region, without[i]))
			return ISMI_ENODEV;
	}
	*ret = region;
	return anybody_left(&h) ? ISMI_OK : ISMI_ENXIO;
}

struct model_ref *model_held(struct model_device *dev, uint64_t token, const uint64_t *without, size_t nr)
{
	const struct model_region *region = model_region_find(dev->model, token);
	struct model_region *next = region == NULL ? NULL : region->successor;
	const struct model_device *other;

	for (size_t i = 0; i < nr && next != NULL; i++) {
		other = model_device_find(dev->model, without[i]);
		if (other != NULL && (model_rights(other, next) & MODEL_ATTACH))
			return NULL;
	}
	return next == NULL ? NULL : model_ref_find(dev, next->token);
}

/* What it takes to keep the successor as it is: to refer to it, and to manage it. */
static enum ismi_status hold(const struct heir *h, struct model_region *next)
{
	struct model_device *dev = h->giver;
	struct model_grant *grant = model_grant_find(next, dev->devid);
	enum ismi_status status = ISMI_OK;

	if (dev->devid == next->creator)
		return ISMI_OK;
	if (grant == NULL)
		status = model_grant_new(dev, next, dev, &grant);
	if (status == ISMI_OK)
		grant->rights |= MODEL_READ | MODEL_ATTACH | MODEL_MANAGE;
	return status;
}

/* How many grants say from now on that a device may do nothing with the old region. */
static uint32_t nr_taken(const struct heir *h)
{
	uint32_t nr = 0;

	for (size_t i = 0; i < h->nr_without; i++)
		nr += model_grant_find(h->old, h->without[i]) == NULL;
	return nr;
}

/* In the old region they are shut out as by any manager: their doorbells stop at once. */
static enum ismi_status take_rights(const struct heir *h)
{
	enum ismi_status status = ISMI_OK;

	for (size_t i = 0; i < h->nr_without && status == ISMI_OK; i++)
		status = model_grant_set(h->giver, h->old, model_device_find(h->old->model, h->without[i]), 0);
	return status;
}

enum ismi_status model_shut_out(struct model_device *dev, struct model_region *old, const uint64_t *without, size_t nr,
				void *memory, struct model_ref **ret)
{
	const struct heir h = { .giver = dev, .old = old, .without = without, .nr_without = nr };
	struct model_region *next;

	if (!model_grants_fit(dev, nr_left(&h) + nr_taken(&h) + 1))
		return model_over_quota(dev);
	enum ismi_status status = successor_new(&h, memory, &next);
	if (status != ISMI_OK)
		return status;
	status = hold(&h, next);
	if (status != ISMI_OK) {
		model_region_undo(next);
		return status;
	}
	status = successor_begin(&h, next, MODEL_READ, ret);
	if (status != ISMI_OK)
		return status;
	status = take_rights(&h);
	if (status != ISMI_OK) {
		(*ret)->region->memory = NULL;	/* still the caller's */
		model_detach(dev, next->token);
	}
	return status;
}

/* ------------------------------------------------------------------ going over */

void model_tell_moved(struct model_ref *ref)
{
	struct model *m = ref->region->model;

	if (model_successor(ref) != NULL)
		m->ops->event(m->ctx, ref, MODEL_MOVED, 0);
}

void model_moved(struct model_region *old, struct model_region *next, const struct model_device *by)
{
	struct model *m = old->model;
	struct model_ref *ref;

	old->replaced = true;
	model_region_link(old, next);
	model_fact_changed(old, NULL, NULL);
	LIST_FOREACH (ref, &old->refs, of_region) {
		if (ref->device != by && model_successor(ref) != NULL)
			m->ops->event(m->ctx, ref, MODEL_MOVED, by->devid);
	}
}

struct model_region *model_successor(const struct model_ref *ref)
{
	struct model_region *next = ref->region->successor;

	if (next == NULL || (next->ended && next->successor == NULL) || !(model_rights(ref->device, next) & MODEL_ATTACH))
		return NULL;
	return next;
}

uint32_t model_going_on(const struct model_ref *ref, struct model_region *next)
{
	const struct model_ref *other;
	uint32_t n = 0;

	LIST_FOREACH (other, &ref->region->refs, of_region)
		n += other != ref && (model_rights(other->device, next) & MODEL_ATTACH);
	LIST_FOREACH (other, &next->refs, of_region)
		n += other->device != ref->device && model_ref_find(other->device, ref->token) == NULL;
	return n;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model-restore.c - a model from the facts of a former one.
 */
#include "model-private.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

enum ismi_status model_restore_device(struct model *m, uint64_t devid, uint32_t uid, uint64_t window_size,
				      struct model_device **ret)
{
	const struct model_quota device_quota = m->device_quota, user_quota = m->user_quota;
	uint64_t next = m->next_devid;

	*ret = model_device_find(m, devid);
	if (*ret != NULL)
		return (*ret)->user->uid == uid ? ISMI_OK : ISMI_ERR;
	if (devid == 0 || window_size == 0 || window_size % ISMI_CHUNK != 0)
		return ISMI_ERR;
	m->device_quota = m->user_quota = (struct model_quota){ 0 };
	m->next_devid = devid;
	enum ismi_status status = model_device_add(m, uid, window_size, ret);
	m->next_devid = next > devid ? next : devid + 1;
	m->device_quota = device_quota;
	m->user_quota = user_quota;
	return status;
}

enum ismi_status model_restore_region(struct model *m, const struct model_region *facts, struct model_region **ret)
{
	struct model_region *region = model_region_find(m, facts->token);
	struct model_ref *ref;

	if (facts->token == 0 || facts->size == 0 || facts->size % ISMI_CHUNK != 0 || facts->requested > facts->size)
		return ISMI_ERR;
	if (region != NULL) {
		if (region->serial != facts->serial || region->size != facts->size)
			return ISMI_ERR;
	} else {
		region = calloc(1, sizeof *region);
		if (region == NULL)
			return ISMI_ENOMEM;
		region->token = facts->token;
		region->serial = facts->serial;
		region->size = facts->size;
		region->requested = facts->requested;
		region->creator = facts->creator;
		region->creator_uid = facts->creator_uid;
		region->model = m;
		if (tsearch(region, &m->tokens, by_u64) == NULL) {
			free(region);
			return ISMI_ENOMEM;
		}
		TAILQ_INSERT_TAIL(&m->regions, region, all);
		if (m->next_serial <= facts->serial)
			m->next_serial = facts->serial + 1;
		m->nr_regions++;
		m->bytes += region->size;
	}
	region->flags = facts->flags;
	region->default_rights = facts->default_rights;
	region->ended = facts->ended;
	region->replaced = facts->replaced;
	LIST_FOREACH (ref, &region->refs, of_region)
		model_ref_update(ref);
	*ret = region;
	return ISMI_OK;
}

void model_restore_successor(struct model_region *region, uint64_t token)
{
	struct model_region *next = model_region_find(region->model, token);

	if (next != region)
		model_region_link(region, next);
}

/* The same place in window and slots as before. */
static enum ismi_status place(struct model_ref *ref, uint32_t nr_chunks)
{
	struct model_device *dev = ref->device;
	int r = window_take_at(&dev->slots, ref->slot, 1);

	if (r == 0) {
		r = window_take_at(&dev->window, ref->chunk, nr_chunks);
		if (r < 0)
			window_give(&dev->slots, ref->slot, 1);
	}
	if (r == 0)
		return ISMI_OK;
	return r == -ENOMEM ? ISMI_ENOMEM : ISMI_ERR;
}

enum ismi_status model_restore_ref(struct model_device *dev, uint64_t token, const struct model_ref *facts,
				   struct model_ref **ret)
{
	struct model_region *region = model_region_find(dev->model, token);
	struct model_ref *ref = model_ref_find(dev, token);

	if (region == NULL || (ref != NULL && (ref->chunk != facts->chunk || ref->slot != facts->slot)))
		return ISMI_ERR;
	if (ref == NULL) {
		ref = calloc(1, sizeof *ref);
		if (ref == NULL)
			return ISMI_ENOMEM;
		ref->token = token;
		ref->region = region;
		ref->device = dev;
		ref->chunk = facts->chunk;
		ref->slot = facts->slot;
		ref->vector_fd = -1;
		enum ismi_status status = place(ref, (uint32_t)(region->size / ISMI_CHUNK));
		if (status != ISMI_OK) {
			free(ref);
			return status;
		}
		if (tsearch(ref, &dev->refs, by_u64) == NULL) {
			window_give(&dev->window, ref->chunk, (uint32_t)(region->size / ISMI_CHUNK));
			window_give(&dev->slots, ref->slot, 1);
			free(ref);
			return ISMI_ENOMEM;
		}
		model_account(dev, region, true);
		LIST_INSERT_HEAD(&dev->ref_list, ref, of_device);
		LIST_INSERT_HEAD(&region->refs, ref, of_region);
		region->nr_refs++;
	}
	ref->rights = facts->rights;
	model_ref_update(ref);
	*ret = ref;
	return ISMI_OK;
}

enum ismi_status model_restore_grant(struct model_region *region, uint64_t devid, uint32_t rights, uint64_t giver)
{
	struct model_device *to = model_device_find(region->model, devid);
	struct model_grant *grant = model_grant_find(region, devid);
	struct model_ref *ref;

	if (to == NULL)
		return ISMI_ERR;
	if (grant == NULL) {
		enum ismi_status status =
			model_grant_new(giver ? model_device_find(region->model, giver) : NULL, region, to, &grant);
		if (status != ISMI_OK)
			return status;
	}
	grant->rights = rights;
	ref = model_ref_find(to, region->token);
	if (ref != NULL)
		model_ref_update(ref);
	return ISMI_OK;
}

void model_restore_undo(struct model *m)
{
	struct model_region *region;

	while (!TAILQ_EMPTY(&m->devices))
		model_device_del(TAILQ_FIRST(&m->devices));
	while ((region = TAILQ_FIRST(&m->regions)) != NULL)
		model_region_free(region);
}

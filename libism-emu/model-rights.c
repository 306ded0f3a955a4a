/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model-rights.c - who may do what with a region, and who may change that.
 */
#include "model-private.h"

#include <search.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ rights */

uint32_t model_rights(const struct model_device *dev, struct model_region *region)
{
	if (region->creator == dev->devid)
		return MODEL_RIGHTS;
	const struct model_grant *grant = model_grant_find(region, dev->devid);
	return grant != NULL ? grant->rights : region->default_rights;
}

bool model_may_know(const struct model_device *dev, struct model_region *region)
{
	const struct model_grant *grant = model_grant_find(region, dev->devid);

	if (region->creator == dev->devid || (grant != NULL && grant->rights != 0))
		return true;
	if (grant != NULL || !(region->default_rights & MODEL_ATTACH))
		return false;
	/* One that was shut out of a replaced region would come back to it as a new device. */
	return !region->replaced || model_ref_find(dev, region->token) != NULL;
}

bool model_ref_update(struct model_ref *ref)
{
	uint32_t rights = model_rights(ref->device, ref->region);
	bool manages = rights & MODEL_MANAGE;
	bool shut_out = (ref->rights & ~rights) != 0 || !(rights & MODEL_ATTACH);
	bool changed = shut_out != ref->shut_out;

	if (manages != ref->manages)
		ref->region->nr_managers += manages ? 1 : -1U;
	ref->manages = manages;
	ref->shut_out = shut_out;
	return changed;
}

/* Will there be a manager, once it has come over from the region that this one replaces? */
static bool manager_to_come(struct model_region *region)
{
	const struct model_region *before;
	const struct model_ref *ref;

	LIST_FOREACH (before, &region->replaces, of_successor) {
		LIST_FOREACH (ref, &before->refs, of_region) {
			if ((model_rights(ref->device, region) & (MODEL_ATTACH | MODEL_MANAGE)) == (MODEL_ATTACH | MODEL_MANAGE))
				return true;
		}
	}
	return false;
}

void model_region_check_end(struct model_region *region)
{
	if (region->nr_managers > 0 || region->ended || manager_to_come(region))
		return;
	region->ended = true;
	model_fact_changed(region, NULL, NULL);
}

static void rights_changed(struct model_region *region)
{
	struct model_ref *ref;
	bool changed = false;

	LIST_FOREACH (ref, &region->refs, of_region)
		changed |= model_ref_update(ref);
	model_region_check_end(region);
	if (changed)
		model_tell(region, NULL, MODEL_PEERS, 0);
}

/* ------------------------------------------------------------------ grants */

void model_grant_del(struct model_grant *grant)
{
	tdelete(grant, &grant->region->grants, by_u64);
	LIST_REMOVE(grant, of_device);
	LIST_REMOVE(grant, of_region);
	if (grant->giver != NULL) {
		grant->giver->used.grants--;
		grant->giver->user->used.grants--;
		LIST_REMOVE(grant, of_giver);
	}
	free(grant);
}

static bool valid_rights(uint64_t rights)
{
	return (rights & ~(uint64_t)MODEL_RIGHTS) == 0 && (!(rights & MODEL_WRITE) || (rights & MODEL_READ));
}

/* The reference through which @dev manages the region, if it may give these rights. */
static enum ismi_status grant_allowed(struct model_device *dev, uint64_t token, uint64_t rights,
				      struct model_ref **ret)
{
	struct model_ref *ref = model_ref_find(dev, token);

	if (ref == NULL)
		return ISMI_ENOENT;
	if (!valid_rights(rights))
		return ISMI_ERR;
	uint32_t own = model_rights(dev, ref->region);
	if (!(own & MODEL_MANAGE) || (rights & ~(uint64_t)own) != 0)
		return ISMI_PERM_ATTACH;
	*ret = ref;
	return ISMI_OK;
}

enum ismi_status model_grant_default(struct model_device *dev, uint64_t token, uint64_t rights)
{
	struct model_ref *ref;
	enum ismi_status status = grant_allowed(dev, token, rights, &ref);

	if (status != ISMI_OK)
		return status;
	ref->region->default_rights = (uint32_t)rights;
	model_fact_changed(ref->region, NULL, NULL);
	rights_changed(ref->region);
	return ISMI_OK;
}

enum ismi_status model_grant_new(struct model_device *giver, struct model_region *region, struct model_device *to,
				 struct model_grant **ret)
{
	struct model_grant *grant = calloc(1, sizeof *grant);

	if (grant == NULL)
		return ISMI_ENOMEM;
	*grant = (struct model_grant){ .devid = to->devid, .region = region, .device = to, .giver = giver };
	if (tsearch(grant, &region->grants, by_u64) == NULL) {
		free(grant);
		return ISMI_ENOMEM;
	}
	if (giver != NULL) {
		giver->used.grants++;
		giver->user->used.grants++;
		LIST_INSERT_HEAD(&giver->given, grant, of_giver);
	}
	LIST_INSERT_HEAD(&to->grants, grant, of_device);
	LIST_INSERT_HEAD(&region->grant_list, grant, of_region);
	*ret = grant;
	return ISMI_OK;
}

enum ismi_status model_grant_set(struct model_device *giver, struct model_region *region, struct model_device *to,
				 uint32_t rights)
{
	struct model_grant *grant = model_grant_find(region, to->devid);

	if (grant == NULL) {
		enum ismi_status status =
			model_grants_fit(giver, 1) ? model_grant_new(giver, region, to, &grant) : model_over_quota(giver);
		if (status != ISMI_OK)
			return status;
	}
	grant->rights = rights & ~(uint32_t)MODEL_CLEAN_DEFAULT;
	model_fact_changed(region, NULL, grant);
	if (rights & MODEL_CLEAN_DEFAULT) {
		region->default_rights = 0;
		model_fact_changed(region, NULL, NULL);
	}
	rights_changed(region);
	return ISMI_OK;
}

enum ismi_status model_grant(struct model_device *dev, uint64_t token, uint64_t rights, uint64_t devid)
{
	uint64_t plain = rights & ~(uint64_t)MODEL_CLEAN_DEFAULT;
	struct model_device *to;
	struct model_ref *ref;
	enum ismi_status status = grant_allowed(dev, token, plain, &ref);

	if (status != ISMI_OK)
		return status;
	if (devid == ref->region->creator)
		return ISMI_PERM_ATTACH;
	to = model_device_find(dev->model, devid);
	if (to == NULL)
		return ISMI_ENOENT;
	return model_grant_set(dev, ref->region, to, (uint32_t)rights);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model-renew.c - a pooled region becomes the next one.
 */
#include "model-private.h"

#include <search.h>

/* Are the rights what they were when it was allocated for one peer?  That peer's grant, or NULL. */
static const struct model_grant *grant_of(const struct model_region *region)
{
	const struct model_grant *grant = LIST_FIRST(&region->grant_list);

	if (!(region->flags & ISMI_REGION_F_POOLED) || region->default_rights != 0 || region->replaced || grant == NULL ||
	    LIST_NEXT(grant, of_region) != NULL || grant->rights != (MODEL_READ | MODEL_WRITE | MODEL_ATTACH))
		return NULL;
	return grant;
}

bool model_pooled_for(const struct model_region *region, const struct model_device *dev)
{
	const struct model_grant *grant = grant_of(region);

	return grant != NULL && grant->device == dev;
}

/* And has the peer let go of it? */
static bool renewable(const struct model_ref *ref)
{
	const struct model_region *region = ref->region;
	const struct model_grant *grant = grant_of(region);

	return grant != NULL && grant->giver == ref->device && region->creator == ref->device->devid &&
	       region->nr_refs == 1 && !region->ended && region->successor == NULL && LIST_EMPTY(&region->replaces);
}

enum ismi_status model_renew(struct model_device *dev, uint64_t token, uint64_t *ret_token)
{
	struct model_ref *ref = model_ref_find(dev, token);
	struct model *m = dev->model;

	if (ref == NULL || !renewable(ref))
		return ISMI_ENOENT;
	struct model_region *region = ref->region;
	m->ops->ref_end(m->ctx, ref);
	if (m->ops->renewed != NULL)
		m->ops->renewed(m->ctx, region);
	tdelete(region, &m->tokens, by_u64);
	tdelete(ref, &dev->refs, by_u64);
	region->token = ref->token = model_new_token(m);
	bool known = tsearch(region, &m->tokens, by_u64) != NULL && tsearch(ref, &dev->refs, by_u64) != NULL;
	m->ops->ref_begin(m->ctx, ref);
	model_fact_changed(region, NULL, LIST_FIRST(&region->grant_list));
	if (!known) {		/* out of memory: nobody has heard of the new one */
		model_ref_del(ref);
		return ISMI_ENOMEM;
	}
	m->count.detaches++;
	m->count.allocs++;
	*ret_token = region->token;
	return ISMI_OK;
}

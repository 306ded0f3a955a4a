/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model-index.c - finding what is in the model, and telling those concerned.
 */
#include "model-private.h"

#include <search.h>

static void *find_u64(void *const *tree, uint64_t key)
{
	void **node = tfind(&key, tree, by_u64);

	return node == NULL ? NULL : *node;
}

struct model_device *model_device_find(struct model *m, uint64_t devid)
{
	return find_u64(&m->devids, devid);
}

struct model_region *model_region_find(struct model *m, uint64_t token)
{
	return find_u64(&m->tokens, token);
}

struct model_ref *model_ref_find(const struct model_device *dev, uint64_t token)
{
	return find_u64(&dev->refs, token);
}

struct model_grant *model_grant_find(struct model_region *region, uint64_t devid)
{
	return find_u64(&region->grants, devid);
}

void model_tell(struct model_region *region, const struct model_ref *except, enum model_event event, uint64_t devid)
{
	struct model_ref *ref;

	LIST_FOREACH (ref, &region->refs, of_region) {
		if (ref != except)
			region->model->ops->event(region->model->ctx, ref, event, devid);
	}
}

void model_fact_changed(struct model_region *region, const struct model_ref *ref, const struct model_grant *grant)
{
	struct model *m = region->model;

	if (m->ops->changed != NULL)
		m->ops->changed(m->ctx, region, ref, grant);
}

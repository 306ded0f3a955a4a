/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model-private.h - what the model's files share.
 */
#ifndef MODEL_PRIVATE_H
#define MODEL_PRIVATE_H

#include "model.h"

#include <string.h>

/* All keys are 64-bit words at the start of the structure, but for a user's (32 bits). */
static inline int by_u64(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

/* Bring what depends on a reference's rights up to date; true if its doorbells stop or start. */
bool model_ref_update(struct model_ref *ref);
/* Count a reference to @region for its device and user, or no longer. */
void model_account(struct model_device *dev, const struct model_region *region, bool add);
/* A grant that is not there yet, without rights; @giver may be NULL. */
enum ismi_status model_grant_new(struct model_device *giver, struct model_region *region, struct model_device *to,
				 struct model_grant **ret);
/* What @to may do from now on, as @giver says; with CLEAN_DEFAULT nobody else may do anything by default. */
enum ismi_status model_grant_set(struct model_device *giver, struct model_region *region, struct model_device *to,
				 uint32_t rights);
/* A region of @dev's without references, of whole chunks: ISMI_OK, ISMI_ENOMEM.  @facts: size to creator_uid. */
enum ismi_status model_region_new(struct model *m, const struct model_region *facts, struct model_region **ret);
/* The same, undone: of a region that nobody has heard of. */
void model_region_undo(struct model_region *region);
/* It has its first reference. */
void model_region_begin(struct model_region *region);
/* A reference goes, and its region with the last one. */
void model_ref_del(struct model_ref *ref);
/* A token that no region has. */
uint64_t model_new_token(struct model *m);
/* A region without references. */
void model_region_free(struct model_region *region);
/* @next is its successor. */
void model_region_link(struct model_region *region, struct model_region *next);
/* @dev refers to @region from now on. */
enum ismi_status model_ref_new(struct model_device *dev, struct model_region *region, uint32_t rights,
			       struct model_ref **ret);
/* What has to outlive us changed: of the region itself, of a reference or of a grant. */
void model_fact_changed(struct model_region *region, const struct model_ref *ref, const struct model_grant *grant);
/* A quota stands against it: counts that. */
enum ismi_status model_over_quota(struct model_device *dev);
/* May it give so many grants more? */
bool model_grants_fit(const struct model_device *giver, uint32_t nr);
struct model_grant *model_grant_find(struct model_region *region, uint64_t devid);

#endif /* MODEL_PRIVATE_H */

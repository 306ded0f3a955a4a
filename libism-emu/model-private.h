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

/*
 * All keys are 64-bit words at the start of the structure, but for a user's (32 bits).
 * tsearch() allocates; the rest cannot fail.
 */
static inline int by_u64(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

/* model-index.c: tell all referrers of a region, but for @except. */
void model_tell(struct model_region *region, const struct model_ref *except, enum model_event event, uint64_t devid);
/* What has to outlive us changed: of the region itself, of a reference or of a grant. */
void model_fact_changed(struct model_region *region, const struct model_ref *ref, const struct model_grant *grant);
struct model_grant *model_grant_find(struct model_region *region, uint64_t devid);

/* model-quota.c: a user, made if need be; NULL: no memory. */
struct model_user *model_user_get(struct model *m, uint32_t uid);
/*
 * A user without devices is forgotten, once its failed attaches are: or else
 * a guesser would only have to open a new device for each guess.
 */
void model_user_put(struct model *m, struct model_user *user);
void model_user_del(struct model *m, struct model_user *user);
/* A quota stands against it: counts that. */
enum ismi_status model_over_quota(struct model_device *dev);
/* May this user have one more device? */
bool model_device_fits(const struct model *m, const struct model_user *user);
/* May @dev refer to one more region, of so many bytes? */
bool model_region_fits(const struct model_device *dev, uint64_t bytes);
/* May it try to attach now? */
bool model_attach_rate_ok(struct model_device *dev, int64_t now);
/*
 * Every failure takes at least a millisecond, and twice as long as the one
 * before: neither guessing nor timing the answers gets anywhere.
 */
int64_t model_attach_failed(struct model_device *dev, int64_t now);
/* May it give so many grants more? */
bool model_grants_fit(const struct model_device *giver, uint32_t nr);
/* Count a reference to @region for its device and user, or no longer. */
void model_account(struct model_device *dev, const struct model_region *region, bool add);

/* model-rights.c: may @dev learn that this region exists? */
bool model_may_know(const struct model_device *dev, struct model_region *region);
/* The token ends with its last manager; an ended region does not come back. */
void model_region_check_end(struct model_region *region);
void model_grant_del(struct model_grant *grant);
/* Bring what depends on a reference's rights up to date; true if its doorbells stop or start. */
bool model_ref_update(struct model_ref *ref);
/* A grant that is not there yet, without rights; @giver may be NULL. */
enum ismi_status model_grant_new(struct model_device *giver, struct model_region *region, struct model_device *to,
				 struct model_grant **ret);
/* What @to may do from now on, as @giver says; with CLEAN_DEFAULT nobody else may do anything by default. */
enum ismi_status model_grant_set(struct model_device *giver, struct model_region *region, struct model_device *to,
				 uint32_t rights);

/* model.c: a region of @dev's without references, of whole chunks: ISMI_OK, ISMI_ENOMEM.  @facts: size to creator_uid. */
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

#endif /* MODEL_PRIVATE_H */

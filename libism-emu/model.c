/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model.c - the rules of virtio-ism.
 */
#include "model-private.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

enum {
	SECOND_NS = 1000000000,
	FAIL_BASE_NS = 1000000,		/* the first failed attach is answered after this */
	FAIL_DOUBLINGS = 10,		/* and the answer never takes longer than 2^10 of it */
	FAIL_UNIT = 256,
	HUGE_CHUNKS = 2 * 1024 * 1024 / ISMI_CHUNK,
};

/* ------------------------------------------------------------------ indexes */

/* tsearch() allocates; the rest cannot fail. */
static int by_u32(const void *a, const void *b)
{
	uint32_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

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

struct model_ref *model_ref_find(struct model_device *dev, uint64_t token)
{
	return find_u64(&dev->refs, token);
}

struct model_grant *model_grant_find(struct model_region *region, uint64_t devid)
{
	return find_u64(&region->grants, devid);
}

/* ------------------------------------------------------------------ rights */

uint32_t model_rights(const struct model_device *dev, struct model_region *region)
{
	if (region->creator == dev->devid)
		return MODEL_RIGHTS;
	const struct model_grant *grant = model_grant_find(region, dev->devid);
	return grant != NULL ? grant->rights : region->default_rights;
}

/* May @dev learn that this region exists? */
static bool may_know(const struct model_device *dev, struct model_region *region)
{
	const struct model_grant *grant = model_grant_find(region, dev->devid);

	if (region->creator == dev->devid || (grant != NULL && grant->rights != 0))
		return true;
	if (grant != NULL || !(region->default_rights & MODEL_ATTACH))
		return false;
	/* One that was shut out of a replaced region would come back to it as a new device. */
	return !region->replaced || find_u64(&dev->refs, region->token) != NULL;
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

/* Tell all referrers of a region, but for @except. */
static void tell(struct model_region *region, const struct model_ref *except, enum model_event event, uint64_t devid)
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

/* The token ends with its last manager; an ended region does not come back. */
static void region_check_end(struct model_region *region)
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
	region_check_end(region);
	if (changed)
		tell(region, NULL, MODEL_PEERS, 0);
}

/* ------------------------------------------------------------------ quotas */

/* Generic cell rate algorithm with a burst of one second: 0, or how long until the next may pass. */
static int64_t rate_take(int64_t *due, uint32_t per_second, int64_t now)
{
	int64_t at = *due > now ? *due : now, part;

	if (per_second == 0)
		return 0;
	part = SECOND_NS / per_second;
	/* The last of a burst is due a part before its second is over. */
	if (at - now > SECOND_NS - part)
		return at - now - (SECOND_NS - part);
	*due = at + part;
	return 0;
}

int64_t model_notify_due(struct model_device *dev, int64_t now)
{
	const struct model *m = dev->model;
	int64_t wait = rate_take(&dev->used.notify_due, m->device_quota.notify_rate, now);

	return wait != 0 ? wait : rate_take(&dev->user->used.notify_due, m->user_quota.notify_rate, now);
}

enum ismi_status model_over_quota(struct model_device *dev)
{
	dev->used.over_quota++;
	dev->user->used.over_quota++;
	dev->model->count.over_quota++;
	return ISMI_ENOSPC;
}

static bool attach_rate_ok(struct model_device *dev, int64_t now)
{
	const struct model *m = dev->model;

	return rate_take(&dev->used.attach_due, m->device_quota.attach_rate, now) == 0 &&
	       rate_take(&dev->user->used.attach_due, m->user_quota.attach_rate, now) == 0;
}

static bool usage_fits(const struct model_usage *used, const struct model_quota *quota, uint64_t bytes)
{
	if (quota->bytes != 0 && (bytes > quota->bytes || used->bytes > quota->bytes - bytes))
		return false;
	return quota->regions == 0 || used->regions < quota->regions;
}

/* Two of a device, and up to four on their way to it; the memory of a region twice, and its doorbell; five of a link, until both ends have theirs. */
static uint64_t descriptors_of(const struct model_usage *used)
{
	return UINT64_C(6) * used->devices + UINT64_C(3) * used->regions + UINT64_C(5) * used->links;
}

static bool descriptors_fit(const struct model *m, const struct model_user *user)
{
	const struct model_user *u;
	uint64_t all = 0;

	if (m->descriptors == 0 || user->uid == 0 || user->uid == m->host_uid)
		return true;
	TAILQ_FOREACH (u, &m->user_list, all)
		all += descriptors_of(&u->used);
	return all < m->descriptors && descriptors_of(&user->used) < m->descriptors - all;
}

bool model_descriptors_fit(const struct model_device *dev)
{
	return descriptors_fit(dev->model, dev->user);
}

static bool quota_fits(const struct model_device *dev, uint64_t bytes)
{
	return usage_fits(&dev->used, &dev->model->device_quota, bytes) &&
	       usage_fits(&dev->user->used, &dev->model->user_quota, bytes) && descriptors_fit(dev->model, dev->user);
}

/* Each second halves the failed attaches that count. */
static void failed_decay(struct model_usage *used, int64_t now)
{
	int64_t seconds = (now - used->failed_at) / SECOND_NS;

	if (seconds <= 0)
		return;
	used->failed = seconds > 31 ? 0 : used->failed >> seconds;
	used->failed_at += seconds * SECOND_NS;
}

static int64_t failed_count(struct model_usage *used, int64_t now)
{
	if (used->failed == 0)
		used->failed_at = now;
	failed_decay(used, now);
	uint32_t doublings = used->failed / FAIL_UNIT;
	if (used->failed < (FAIL_DOUBLINGS + 1) * FAIL_UNIT)
		used->failed += FAIL_UNIT;
	used->failed_total++;
	return (int64_t)FAIL_BASE_NS << (doublings < FAIL_DOUBLINGS ? doublings : FAIL_DOUBLINGS);
}

/*
 * Every failure takes at least a millisecond, and twice as long as the one
 * before: neither guessing nor timing the answers gets anywhere.
 */
static int64_t attach_failed(struct model_device *dev, int64_t now)
{
	int64_t mine = failed_count(&dev->used, now), users = failed_count(&dev->user->used, now);

	dev->model->count.refused++;
	return mine > users ? mine : users;
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

void model_account(struct model_device *dev, const struct model_region *region, bool add)
{
	struct model_usage *both[] = { &dev->used, &dev->user->used };

	for (size_t i = 0; i < 2; i++) {
		both[i]->bytes += add ? region->size : -region->size;
		both[i]->regions += add ? 1 : -1U;
	}
}

enum ismi_status model_ref_new(struct model_device *dev, struct model_region *region, uint32_t rights,
			       struct model_ref **ret)
{
	enum ismi_status status;
	struct model_ref *ref;

	if (!quota_fits(dev, region->size))
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

static void grant_del(struct model_grant *grant)
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
		grant_del(LIST_FIRST(&region->grant_list));
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
		region_check_end(region);
		tell(region, NULL, MODEL_WENT, dev->devid);
	}
	if (next != NULL)	/* it may have been the manager to come */
		region_check_end(next);
}

/* ------------------------------------------------------------------ devices */

void model_init(struct model *m, uint64_t gid, const struct model_ops *ops, void *ctx)
{
	*m = (struct model){ .ops = ops, .ctx = ctx, .gid = gid, .next_devid = 1, .next_serial = 1 };
	TAILQ_INIT(&m->user_list);
	TAILQ_INIT(&m->devices);
	TAILQ_INIT(&m->regions);
}

static void user_del(struct model *m, struct model_user *user)
{
	tdelete(user, &m->users, by_u32);
	TAILQ_REMOVE(&m->user_list, user, all);
	free(user);
}

void model_fini(struct model *m)
{
	assert(m->nr_devices == 0 && m->nr_regions == 0 && m->bytes == 0);
	assert(m->tokens == NULL && m->devids == NULL);
	while (!TAILQ_EMPTY(&m->user_list))	/* remembered for their failed attaches */
		user_del(m, TAILQ_FIRST(&m->user_list));
}

static struct model_user *user_get(struct model *m, uint32_t uid)
{
	void **node = tfind(&uid, &m->users, by_u32);

	if (node != NULL)
		return *node;
	struct model_user *user = calloc(1, sizeof *user), *before;
	if (user == NULL)
		return NULL;
	user->uid = uid;
	if (tsearch(user, &m->users, by_u32) == NULL) {
		free(user);
		return NULL;
	}
	TAILQ_FOREACH (before, &m->user_list, all) {
		if (before->uid > uid)
			break;
	}
	if (before != NULL)
		TAILQ_INSERT_BEFORE(before, user, all);
	else
		TAILQ_INSERT_TAIL(&m->user_list, user, all);
	return user;
}

/*
 * A user without devices is forgotten, once its failed attaches are: or else
 * a guesser would only have to open a new device for each guess.
 */
static void user_put(struct model *m, struct model_user *user)
{
	if (user->used.devices > 0 || user->used.failed >= FAIL_UNIT)
		return;
	assert(user->used.bytes == 0 && user->used.regions == 0 && user->used.grants == 0);
	user_del(m, user);
}

enum ismi_status model_device_add(struct model *m, uint32_t uid, uint64_t window_size, struct model_device **ret)
{
	struct model_user *user = user_get(m, uid);
	struct model_device *dev;

	if (user == NULL)
		return ISMI_ENOMEM;
	if ((m->user_quota.devices != 0 && user->used.devices >= m->user_quota.devices) || !descriptors_fit(m, user)) {
		user->used.over_quota++;
		m->count.over_quota++;
		user_put(m, user);
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
	user_put(m, user);
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
		grant_del(LIST_FIRST(&dev->grants));
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
	user_put(m, dev->user);
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
	if (region == NULL || (region->ended && !on_the_way(dev, region)) || !may_know(dev, region))
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
	if (!attach_rate_ok(dev, now))
		return model_over_quota(dev);
	status = attach_allowed(dev, region, want);
	if (status != ISMI_OK) {
		*delay = attach_failed(dev, now);
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
	tell(region, ref, MODEL_CAME, dev->devid);
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

/* ------------------------------------------------------------------ grants */

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

static bool grants_within(const struct model_usage *used, const struct model_quota *quota, uint32_t nr)
{
	return quota->grants == 0 || (used->grants <= quota->grants && nr <= quota->grants - used->grants);
}

bool model_grants_fit(const struct model_device *giver, uint32_t nr)
{
	const struct model *m = giver->model;

	return grants_within(&giver->used, &m->device_quota, nr) && grants_within(&giver->user->used, &m->user_quota, nr);
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

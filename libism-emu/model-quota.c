/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model-quota.c - users, what they and their devices have, and how much and how
 * often they may.
 */
#include "model-private.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>

enum {
	SECOND_NS = 1000000000,
	FAIL_BASE_NS = 1000000,		/* the first failed attach is answered after this */
	FAIL_DOUBLINGS = 10,		/* and the answer never takes longer than 2^10 of it */
	FAIL_UNIT = 256,
};

/* ------------------------------------------------------------------ users */

static int by_u32(const void *a, const void *b)
{
	uint32_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

void model_user_del(struct model *m, struct model_user *user)
{
	tdelete(user, &m->users, by_u32);
	TAILQ_REMOVE(&m->user_list, user, all);
	free(user);
}

struct model_user *model_user_get(struct model *m, uint32_t uid)
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

void model_user_put(struct model *m, struct model_user *user)
{
	if (user->used.devices > 0 || user->used.failed >= FAIL_UNIT)
		return;
	assert(user->used.bytes == 0 && user->used.regions == 0 && user->used.grants == 0);
	model_user_del(m, user);
}

/* ------------------------------------------------------------------ rates */

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

bool model_attach_rate_ok(struct model_device *dev, int64_t now)
{
	const struct model *m = dev->model;

	return rate_take(&dev->used.attach_due, m->device_quota.attach_rate, now) == 0 &&
	       rate_take(&dev->user->used.attach_due, m->user_quota.attach_rate, now) == 0;
}

/* ------------------------------------------------------------------ amounts */

enum ismi_status model_over_quota(struct model_device *dev)
{
	dev->used.over_quota++;
	dev->user->used.over_quota++;
	dev->model->count.over_quota++;
	return ISMI_ENOSPC;
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

bool model_device_fits(const struct model *m, const struct model_user *user)
{
	return (m->user_quota.devices == 0 || user->used.devices < m->user_quota.devices) && descriptors_fit(m, user);
}

bool model_region_fits(const struct model_device *dev, uint64_t bytes)
{
	return usage_fits(&dev->used, &dev->model->device_quota, bytes) &&
	       usage_fits(&dev->user->used, &dev->model->user_quota, bytes) && descriptors_fit(dev->model, dev->user);
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

void model_account(struct model_device *dev, const struct model_region *region, bool add)
{
	struct model_usage *both[] = { &dev->used, &dev->user->used };

	for (size_t i = 0; i < 2; i++) {
		both[i]->bytes += add ? region->size : -region->size;
		both[i]->regions += add ? 1 : -1U;
	}
}

/* ------------------------------------------------------------------ failed attaches */

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

int64_t model_attach_failed(struct model_device *dev, int64_t now)
{
	int64_t mine = failed_count(&dev->used, now), users = failed_count(&dev->user->used, now);

	dev->model->count.refused++;
	return mine > users ? mine : users;
}

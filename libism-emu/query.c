/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * query.c - the QUERY command: what a device may see of its domain.
 */
#include "exchange.h"

#include <ism-version.h>

enum {
	DOMAIN_RECORD = 48,
	DEVICE_RECORD = 80,
	REGION_RECORD = 64,
	REFERRER_RECORD = 24,
	OWN_RECORD = 32,
	HOST_RECORD = 208,
	USER_RECORD = 48,
	VERSION_SIZE = 16,
};

static bool sees_device(const struct exchange *x, const struct model_device *dev)
{
	const struct model_device *own = x->call->dev;

	if (own->confined)
		return dev == own;
	return dev->user == own->user || x->ops->privileged(x->ctx, own);
}

/* Its creator's user manages a region, even through another device. */
static bool sees_token(const struct exchange *x, const struct model_region *region)
{
	struct model_device *own = x->call->dev;

	return (region->creator_uid == own->user->uid && !own->confined) || model_ref_find(own, region->token) != NULL;
}

static bool sees_region(const struct exchange *x, const struct model_region *region)
{
	return sees_token(x, region) || x->ops->privileged(x->ctx, x->call->dev);
}

/* One that was shut out must not tell its region from one that was not replaced. */
static bool sees_replaced(const struct exchange *x, const struct model_region *region)
{
	struct model_device *own = x->call->dev;
	const struct model_ref *ref = model_ref_find(own, region->token);

	if (!region->replaced)
		return false;
	return (region->creator_uid == own->user->uid && !own->confined) || x->ops->privileged(x->ctx, own) ||
	       (ref != NULL && model_successor(ref) != NULL);
}

static uint64_t successor_token(const struct exchange *x, const struct model_region *region)
{
	const struct model_ref *ref = model_ref_find(x->call->dev, region->token);
	const struct model_region *next = region->successor;

	if (next == NULL || !(sees_token(x, next) || (ref != NULL && model_successor(ref) != NULL)))
		return 0;
	return next->token;
}

static void put_domain(struct exchange *x)
{
	const struct model *m = x->call->dev->model;

	exchange_put64(x, m->gid);
	exchange_put64(x, m->nr_devices);
	exchange_put64(x, m->nr_regions);
	exchange_put64(x, m->bytes);
	exchange_put64(x, x->call->dev->devid);
	exchange_put32(x, x->ops->host_kind);
	exchange_put32(x, x->ops->host_uid);
}

static void put_device(struct exchange *x, const struct model_device *dev)
{
	exchange_put64(x, dev->devid);
	exchange_put32(x, dev->user->uid);
	exchange_put32(x, (uint32_t)dev->pid);
	exchange_put64(x, dev->used.bytes);
	exchange_put32(x, dev->used.regions);
	exchange_put32(x, dev == x->call->dev);
	exchange_put64(x, (uint64_t)dev->window.nr_chunks * ISMI_CHUNK);
	exchange_put64(x, dev->used.failed_total);
	memcpy(x->reply + x->used, dev->name, sizeof dev->name);
	x->used += sizeof dev->name;
}

static void put_region(struct exchange *x, const struct model_region *region)
{
	bool replaced = sees_replaced(x, region);

	exchange_put64(x, region->serial);
	exchange_put64(x, sees_token(x, region) ? region->token : 0);
	exchange_put64(x, region->size);
	exchange_put64(x, region->requested);
	exchange_put64(x, region->creator);
	exchange_put32(x, region->creator_uid);
	exchange_put32(x, region->nr_refs);
	exchange_put32(x, region->default_rights);
	exchange_put32(x, region->ended | (uint32_t)replaced << 1);
	exchange_put64(x, replaced ? successor_token(x, region) : 0);
}

static void put_referrer(struct exchange *x, const struct model_ref *ref)
{
	exchange_put64(x, ref->device->devid);
	exchange_put32(x, ref->rights);
	exchange_put32(x, model_rights(ref->device, ref->region));
	exchange_put32(x, (ref->device->devid == ref->region->creator) | (uint32_t)ref->shut_out << 1);
	exchange_put32(x, ref->device->user->uid);
}

static void put_quota(struct exchange *x, const struct model_quota *quota)
{
	exchange_put64(x, quota->bytes);
	exchange_put32(x, quota->regions);
	exchange_put32(x, quota->grants);
	exchange_put32(x, quota->attach_rate);
	exchange_put32(x, quota->notify_rate);
	exchange_put32(x, quota->devices);
	exchange_put32(x, 0);
}

/* What others do is told to the privileged alone: 0 to the rest. */
static void put_host(struct exchange *x)
{
	static const char version[VERSION_SIZE] = ISM_VERSION_STRING;
	const struct model *m = x->call->dev->model;
	bool all = x->ops->privileged(x->ctx, x->call->dev);
	const uint64_t counters[] = {
		m->next_devid - 1, m->count.allocs,   m->count.attaches, m->count.detaches, m->count.refused,
		m->count.over_quota, m->count.commands, m->count.rings,    m->count.kicks,
	};

	put_domain(x);
	memcpy(x->reply + x->used, version, sizeof version);
	x->used += sizeof version;
	put_quota(x, &m->device_quota);
	put_quota(x, &m->user_quota);
	exchange_put32(x, all);
	exchange_put32(x, 0);
	for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
		exchange_put64(x, all ? counters[i] : 0);
}

static void put_user(struct exchange *x, const struct model_user *user)
{
	exchange_put64(x, (uint64_t)user->uid + 1);
	exchange_put32(x, user->uid);
	exchange_put32(x, user->used.devices);
	exchange_put32(x, user->used.regions);
	exchange_put32(x, user->used.grants);
	exchange_put64(x, user->used.bytes);
	exchange_put64(x, user->used.failed_total);
	exchange_put64(x, user->used.over_quota);
}

static bool has_room(const struct exchange *x, size_t record)
{
	return x->cap - x->used >= record;
}

/* Each lists what comes behind @cursor, and returns the cursor for the rest, 0 at the end. */
static uint64_t query_devices(struct exchange *x, uint64_t cursor, uint32_t *nr)
{
	const struct model_device *dev;
	uint64_t last = 0;

	TAILQ_FOREACH (dev, &x->call->dev->model->devices, all) {
		if (dev->devid <= cursor || !sees_device(x, dev))
			continue;
		if (!has_room(x, DEVICE_RECORD))
			return last;
		put_device(x, dev);
		last = dev->devid;
		++*nr;
	}
	return 0;
}

static uint64_t query_regions(struct exchange *x, uint64_t cursor, uint32_t *nr)
{
	const struct model_region *region;
	uint64_t last = 0;

	TAILQ_FOREACH (region, &x->call->dev->model->regions, all) {
		if (region->serial <= cursor || !sees_region(x, region))
			continue;
		if (!has_room(x, REGION_RECORD))
			return last;
		put_region(x, region);
		last = region->serial;
		++*nr;
	}
	return 0;
}

static uint64_t query_referrers(struct exchange *x, const struct model_region *region, uint64_t skip, uint32_t *nr)
{
	const struct model_ref *ref;
	uint64_t at = 0;

	LIST_FOREACH (ref, &region->refs, of_region) {
		if (at++ < skip)
			continue;
		if (!has_room(x, REFERRER_RECORD))
			return at - 1;
		put_referrer(x, ref);
		++*nr;
	}
	return 0;
}

static uint64_t query_own(struct exchange *x, uint64_t skip, uint32_t *nr)
{
	const struct model_ref *ref;
	uint64_t at = 0;

	LIST_FOREACH (ref, &x->call->dev->ref_list, of_device) {
		if (at++ < skip)
			continue;
		if (!has_room(x, OWN_RECORD))
			return at - 1;
		exchange_put64(x, ref->token);
		exchange_put64(x, (uint64_t)ref->chunk * ISMI_CHUNK);
		exchange_put64(x, ref->region->size);
		exchange_put32(x, ref->slot);
		exchange_put32(x, ref->rights);
		++*nr;
	}
	return 0;
}

static uint64_t query_users(struct exchange *x, uint64_t cursor, uint32_t *nr)
{
	const struct model_user *user;
	uint64_t last = 0;

	TAILQ_FOREACH (user, &x->call->dev->model->user_list, all) {
		uint64_t key = (uint64_t)user->uid + 1;
		if (key <= cursor || (user != x->call->dev->user && !x->ops->privileged(x->ctx, x->call->dev)))
			continue;
		if (!has_room(x, USER_RECORD))
			return last;
		put_user(x, user);
		last = key;
		++*nr;
	}
	return 0;
}

/* le32 what, le32 0, le64 cursor, le64 token -> le32 nr, le32 record size, le64 next cursor, records */
enum ismi_status control_query(struct exchange *x)
{
	static const uint32_t record[] = {
		[ISMI_QUERY_DOMAIN] = DOMAIN_RECORD,	   [ISMI_QUERY_DEVICES] = DEVICE_RECORD,
		[ISMI_QUERY_REGIONS] = REGION_RECORD,	   [ISMI_QUERY_REFERRERS] = REFERRER_RECORD,
		[ISMI_QUERY_OWN] = OWN_RECORD,		   [ISMI_QUERY_HOST] = HOST_RECORD,
		[ISMI_QUERY_USERS] = USER_RECORD,
	};
	uint32_t what = ismi_get32(x->req), nr = 0;
	uint64_t cursor = ismi_get64(x->req + 8), token = ismi_get64(x->req + 16), next = 0;
	struct model_region *region = NULL;

	if (what >= sizeof record / sizeof record[0] || record[what] == 0 || ismi_get32(x->req + 4) != 0)
		return ISMI_ERR;
	if (x->cap < ISMI_QUERY_HEAD + record[what])
		return ISMI_E2BIG;
	if (what == ISMI_QUERY_REFERRERS) {
		region = model_region_find(x->call->dev->model, token);
		if (region == NULL || !sees_region(x, region))
			return ISMI_ENOENT;
	}
	x->used = ISMI_QUERY_HEAD;
	switch ((enum ismi_query)what) {
	case ISMI_QUERY_DOMAIN:
		put_domain(x);
		nr = 1;
		break;
	case ISMI_QUERY_DEVICES:
		next = query_devices(x, cursor, &nr);
		break;
	case ISMI_QUERY_REGIONS:
		next = query_regions(x, cursor, &nr);
		break;
	case ISMI_QUERY_REFERRERS:
		next = query_referrers(x, region, cursor, &nr);
		break;
	case ISMI_QUERY_OWN:
		next = query_own(x, cursor, &nr);
		break;
	case ISMI_QUERY_HOST:
		put_host(x);
		nr = 1;
		break;
	case ISMI_QUERY_USERS:
		next = query_users(x, cursor, &nr);
		break;
	}
	ismi_put32(x->reply, nr);
	ismi_put32(x->reply + 4, record[what]);
	ismi_put64(x->reply + 8, next);
	return ISMI_OK;
}

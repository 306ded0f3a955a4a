/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * facts.c - the records of a ledger: from a model, and back into one.
 */
#include "facts.h"

#include "base/bytes.h"
#include "base/log.h"

#include <errno.h>

enum fact { DOMAIN = 1, DEVICE, DEVICE_GONE, REGION, REGION_GONE, REF, REF_GONE, GRANT, FACTS };

enum { REGION_ENDED = 1, REGION_REPLACED = 2, REGION_LEN = 56 };

/* ------------------------------------------------------------------ out */

struct body {
	uint8_t at[LEDGER_RECORD_MAX - LEDGER_HEAD];
	size_t len;
};

static void put32(struct body *b, uint32_t v)
{
	ismi_put32(b->at + b->len, v);
	b->len += 4;
}

static void put64(struct body *b, uint64_t v)
{
	ismi_put64(b->at + b->len, v);
	b->len += 8;
}

static void put_bytes(struct body *b, const void *bytes, size_t len)
{
	memcpy(b->at + b->len, bytes, len);
	b->len += len;
}

static void put_two(struct ledger *l, enum fact fact, uint64_t first, uint64_t second)
{
	struct body b = { .len = 0 };

	put64(&b, first);
	if (second != 0)
		put64(&b, second);
	ledger_append(l, fact, b.at, b.len);
}

void facts_domain(struct ledger *l, const struct model *m)
{
	struct body b = { .len = 0 };

	put64(&b, m->gid);
	put64(&b, m->next_devid);
	put64(&b, m->next_serial);
	ledger_append(l, DOMAIN, b.at, b.len);
}

void facts_device(struct ledger *l, const struct model_device *dev)
{
	struct body b = { .len = 0 };

	put64(&b, dev->devid);
	put32(&b, dev->user->uid);
	put32(&b, (uint32_t)dev->pid);
	put64(&b, (uint64_t)dev->window.nr_chunks * ISMI_CHUNK);
	put_bytes(&b, dev->secret, sizeof dev->secret);
	put_bytes(&b, dev->name, sizeof dev->name);
	ledger_append(l, DEVICE, b.at, b.len);
}

void facts_device_gone(struct ledger *l, uint64_t devid)
{
	put_two(l, DEVICE_GONE, devid, 0);
}

void facts_region(struct ledger *l, const struct model_region *region)
{
	struct body b = { .len = 0 };

	put64(&b, region->token);
	put64(&b, region->serial);
	put64(&b, region->size);
	put64(&b, region->requested);
	put64(&b, region->creator);
	put32(&b, region->creator_uid);
	put32(&b, region->flags);
	put32(&b, region->default_rights);
	put32(&b, (region->ended ? REGION_ENDED : 0) | (region->replaced ? REGION_REPLACED : 0));
	put64(&b, region->successor != NULL ? region->successor->token : 0);
	ledger_append(l, REGION, b.at, b.len);
}

void facts_region_gone(struct ledger *l, const struct model_region *region)
{
	put_two(l, REGION_GONE, region->token, 0);
}

void facts_ref(struct ledger *l, const struct model_ref *ref)
{
	struct body b = { .len = 0 };

	put64(&b, ref->device->devid);
	put64(&b, ref->token);
	put32(&b, ref->rights);
	put32(&b, ref->chunk);
	put32(&b, ref->slot);
	put32(&b, 0);
	ledger_append(l, REF, b.at, b.len);
}

void facts_ref_gone(struct ledger *l, const struct model_ref *ref)
{
	put_two(l, REF_GONE, ref->device->devid, ref->token);
}

void facts_grant(struct ledger *l, const struct model_grant *grant)
{
	struct body b = { .len = 0 };

	put64(&b, grant->region->token);
	put64(&b, grant->devid);
	put64(&b, grant->giver != NULL ? grant->giver->devid : 0);
	put32(&b, grant->rights);
	put32(&b, 0);
	ledger_append(l, GRANT, b.at, b.len);
}

void facts_all(struct ledger *l, const struct model *m)
{
	const struct model_device *dev;
	const struct model_region *region;
	const struct model_grant *grant;
	const struct model_ref *ref;

	facts_domain(l, m);
	TAILQ_FOREACH (dev, &m->devices, all)
		facts_device(l, dev);
	TAILQ_FOREACH (region, &m->regions, all) {
		facts_region(l, region);
		LIST_FOREACH (ref, &region->refs, of_region)
			facts_ref(l, ref);
		LIST_FOREACH (grant, &region->grant_list, of_region)
			facts_grant(l, grant);
	}
	TAILQ_FOREACH (region, &m->regions, all) {
		if (region->successor != NULL)	/* once more: now that is known as well */
			facts_region(l, region);
	}
}

/* ------------------------------------------------------------------ in */

static enum ismi_status take_domain(struct model *m, const uint8_t *b)
{
	uint64_t devid = ismi_get64(b + 8), serial = ismi_get64(b + 16);

	m->gid = ismi_get64(b);
	if (m->next_devid < devid)
		m->next_devid = devid;
	if (m->next_serial < serial)
		m->next_serial = serial;
	return ISMI_OK;
}

static enum ismi_status take_device(struct model *m, const uint8_t *b)
{
	struct model_device *dev;
	enum ismi_status status =
		model_restore_device(m, ismi_get64(b), ismi_get32(b + 8), ismi_get64(b + 16), &dev);

	if (status != ISMI_OK)
		return status;
	dev->pid = (int32_t)ismi_get32(b + 12);
	memcpy(dev->secret, b + 24, sizeof dev->secret);
	memcpy(dev->name, b + 40, sizeof dev->name);
	dev->name[sizeof dev->name - 1] = '\0';
	return ISMI_OK;
}

static enum ismi_status take_device_gone(struct model *m, const uint8_t *b)
{
	struct model_device *dev = model_device_find(m, ismi_get64(b));

	if (dev == NULL)
		return ISMI_ERR;
	model_device_del(dev);
	return ISMI_OK;
}

static enum ismi_status take_region(struct model *m, const uint8_t *b)
{
	const struct model_region facts = {
		.token = ismi_get64(b),
		.serial = ismi_get64(b + 8),
		.size = ismi_get64(b + 16),
		.requested = ismi_get64(b + 24),
		.creator = ismi_get64(b + 32),
		.creator_uid = ismi_get32(b + 40),
		.flags = ismi_get32(b + 44),
		.default_rights = ismi_get32(b + 48),
		.ended = ismi_get32(b + 52) & REGION_ENDED,
		.replaced = ismi_get32(b + 52) & REGION_REPLACED,
	};
	struct model_region *region;

	enum ismi_status status = model_restore_region(m, &facts, &region);
	if (status == ISMI_OK)
		model_restore_successor(region, ismi_get64(b + REGION_LEN));
	return status;
}

/* It went with its last reference, whose end was told before. */
static enum ismi_status take_region_gone(struct model *m, const uint8_t *b)
{
	return model_region_find(m, ismi_get64(b)) == NULL ? ISMI_OK : ISMI_ERR;
}

static enum ismi_status take_ref(struct model *m, const uint8_t *b)
{
	struct model_device *dev = model_device_find(m, ismi_get64(b));
	const struct model_ref facts = { .rights = ismi_get32(b + 16), .chunk = ismi_get32(b + 20),
					 .slot = ismi_get32(b + 24) };
	struct model_ref *ref;

	return dev == NULL ? ISMI_ERR : model_restore_ref(dev, ismi_get64(b + 8), &facts, &ref);
}

static enum ismi_status take_ref_gone(struct model *m, const uint8_t *b)
{
	struct model_device *dev = model_device_find(m, ismi_get64(b));

	return dev == NULL ? ISMI_ERR : model_detach(dev, ismi_get64(b + 8));
}

static enum ismi_status take_grant(struct model *m, const uint8_t *b)
{
	struct model_region *region = model_region_find(m, ismi_get64(b));

	return region == NULL ? ISMI_ERR : model_restore_grant(region, ismi_get64(b + 8), ismi_get32(b + 24),
							       ismi_get64(b + 16));
}

static const struct taker {
	size_t len;
	enum ismi_status (*take)(struct model *m, const uint8_t *body);
} takers[FACTS] = {
	[DOMAIN] = { 24, take_domain },
	[DEVICE] = { 72, take_device },
	[DEVICE_GONE] = { 8, take_device_gone },
	[REGION] = { REGION_LEN, take_region },
	[REGION_GONE] = { 8, take_region_gone },
	[REF] = { 32, take_ref },
	[REF_GONE] = { 16, take_ref_gone },
	[GRANT] = { 32, take_grant },
};

int facts_restore(const struct ledger *l, struct model *m)
{
	const uint8_t *body;
	uint64_t at = 0;
	size_t len;
	int type;

	while ((type = ledger_next(l, &at, &body, &len)) > 0) {
		if (type >= FACTS || len < takers[type].len)
			return ismi_fail(-EPROTO, "the ledger has a record of type %d and %zu bytes: not known", type, len);
		/* What an older host did not write yet reads as 0. */
		uint8_t whole[LEDGER_RECORD_MAX] = { 0 };
		memcpy(whole, body, len < sizeof whole ? len : sizeof whole);
		enum ismi_status status = takers[type].take(m, whole);
		if (status == ISMI_ENOMEM)
			return ismi_fail(-ENOMEM, "out of memory");
		if (status != ISMI_OK)
			return ismi_fail(-EPROTO, "the ledger contradicts itself: record of type %d before %llu", type,
					 (unsigned long long)at);
	}
	return type;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * list.c - looking at a domain, and taking a device off it.
 */
#include "watch.h"

#include "base/bytes.h"
#include "base/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Does this backend's device take class 0x80? */
static int can_ask(const struct ism_device *dev)
{
	return dev->ops->command != NULL ? 0 : ismi_fail(-EOPNOTSUPP, "this device knows nothing of its domain");
}

/*
 * One page of a listing, in a buffer that the caller frees.  The number of
 * records of at least @record bytes each, or a negative errno.
 */
static int query(struct ism_device *dev, enum ismi_query what, uint64_t token, size_t record, uint64_t *cursor,
		 uint8_t **ret_buf, const uint8_t **ret_records, size_t *ret_record)
{
	uint8_t *reply = malloc(ISMI_REPLY_MAX);
	struct ismi_command c;

	if (reply == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	ismi_command_begin(&c, ISMI_CMD_QUERY, reply, ISMI_REPLY_MAX);
	ismi_command_add32(&c, what);
	ismi_command_add32(&c, 0);
	ismi_command_add64(&c, *cursor);
	ismi_command_add64(&c, token);
	pthread_mutex_lock(&dev->lock);
	int r = can_ask(dev);
	if (r == 0)
		r = ismi_command_run(dev, &c, ISMI_QUERY_HEAD, 0);
	pthread_mutex_unlock(&dev->lock);
	if (r == ISMI_ENOENT)
		r = ismi_fail(-ENOENT, "no region has this token, or this device may not know of it");
	else if (r > 0)
		r = ismi_command_error(r, "query");
	if (r == 0) {
		uint32_t nr = ismi_get32(reply + 1), size = ismi_get32(reply + 5);
		if (size < record || nr > (c.len - 1 - ISMI_QUERY_HEAD) / size)
			r = ismi_fail(-EPROTO, "the device lists %u records of %u bytes in %zu", nr, size, c.len);
		*cursor = ismi_get64(reply + 9);
		*ret_record = size;
		r = r < 0 ? r : (int)nr;
	}
	if (r < 0) {
		free(reply);
		return r;
	}
	*ret_buf = reply;
	*ret_records = reply + 1 + ISMI_QUERY_HEAD;
	return r;
}

static void parse_device(const uint8_t *rec, void *ret)
{
	struct ism_device_entry *e = ret;

	*e = (struct ism_device_entry){
		.devid = ismi_get64(rec),
		.uid = ismi_get32(rec + 8),
		.pid = (int32_t)ismi_get32(rec + 12),
		.bytes = ismi_get64(rec + 16),
		.regions = ismi_get32(rec + 24),
		.self = ismi_get32(rec + 28),
		.window_size = ismi_get64(rec + 32),
		.failed = ismi_get64(rec + 40),
	};
	memcpy(e->name, rec + 48, sizeof e->name);
	e->name[sizeof e->name - 1] = '\0';
}

static void parse_region(const uint8_t *rec, void *ret)
{
	*(struct ism_region_entry *)ret = (struct ism_region_entry){
		.serial = ismi_get64(rec),
		.token = ismi_get64(rec + 8),
		.region_size = ismi_get64(rec + 16),
		.requested_size = ismi_get64(rec + 24),
		.creator = ismi_get64(rec + 32),
		.creator_uid = ismi_get32(rec + 40),
		.referrers = ismi_get32(rec + 44),
		.default_rights = ismi_get32(rec + 48),
		.ended = ismi_get32(rec + 52) & 1,
		.replaced = ismi_get32(rec + 52) >> 1 & 1,
		.successor = ismi_get64(rec + 56),
	};
}

static void parse_referrer(const uint8_t *rec, void *ret)
{
	uint32_t flags = ismi_get32(rec + 16);

	*(struct ism_referrer_entry *)ret = (struct ism_referrer_entry){
		.devid = ismi_get64(rec),
		.attached = ismi_get32(rec + 8),
		.rights = ismi_get32(rec + 12),
		.creator = flags & 1,
		.shut_out = flags >> 1 & 1,
		.uid = ismi_get32(rec + 20),
	};
}

static void parse_user(const uint8_t *rec, void *ret)
{
	*(struct ism_user_entry *)ret = (struct ism_user_entry){
		.uid = ismi_get32(rec + 8),
		.devices = ismi_get32(rec + 12),
		.regions = ismi_get32(rec + 16),
		.grants = ismi_get32(rec + 20),
		.bytes = ismi_get64(rec + 24),
		.failed = ismi_get64(rec + 32),
		.over_quota = ismi_get64(rec + 40),
	};
}

static const struct listing {
	size_t record, first_entry, entry;
	void (*parse)(const uint8_t *rec, void *ret);
} listings[] = {
#define ENTRY(type, last) ISMI_UP_TO(struct type, last), sizeof(struct type)
	[ISMI_QUERY_DEVICES] = { 80, ENTRY(ism_device_entry, name), parse_device },
	[ISMI_QUERY_REGIONS] = { 64, ENTRY(ism_region_entry, ended), parse_region },
	[ISMI_QUERY_REFERRERS] = { 24, ENTRY(ism_referrer_entry, reserved), parse_referrer },
	[ISMI_QUERY_USERS] = { 48, ENTRY(ism_user_entry, over_quota), parse_user },
};

union any_entry {
	struct ism_device_entry device;
	struct ism_region_entry region;
	struct ism_referrer_entry referrer;
	struct ism_user_entry user;
};

/* The key behind which the rest of a listing goes on, when the caller had no room for all of a page. */
static uint64_t rest_cursor(enum ismi_query what, const uint8_t *last, uint64_t cursor, size_t taken)
{
	return what == ISMI_QUERY_REFERRERS ? cursor + taken : ismi_get64(last);
}

static int list(struct ism_device *dev, enum ismi_query what, uint64_t token, void *ret, size_t nr, size_t size,
		uint64_t *cursor)
{
	const struct listing *l = &listings[what];
	uint64_t next = *cursor;
	const uint8_t *records = NULL;
	size_t record = 0;
	uint8_t *buf = NULL;

	if (nr == 0 || size < l->first_entry)
		return ismi_fail(-EINVAL, "room for %zu entries of %zu bytes: expected at least 1 of %zu", nr, size, l->entry);
	int n = query(dev, what, token, l->record, &next, &buf, &records, &record);
	if (n < 0)
		return n;
	for (size_t i = 0; i < (size_t)n && i < nr; i++) {
		union any_entry e;
		l->parse(records + i * record, &e);
		ismi_entry_put(ret, i, size, &e, l->entry);
	}
	if ((size_t)n > nr) {
		next = rest_cursor(what, records + (nr - 1) * record, *cursor, nr);
		n = (int)nr;
	}
	free(buf);
	*cursor = next;
	return n;
}

int ism_list_devices(struct ism_device *dev, struct ism_device_entry *ret, size_t nr, size_t size, uint64_t *cursor)
{
	if (ismi_unusual(dev))
		return ismi_watched_list_devices(dev, ret, nr, size, cursor);
	return list(dev, ISMI_QUERY_DEVICES, 0, ret, nr, size, cursor);
}

int ism_list_regions(struct ism_device *dev, struct ism_region_entry *ret, size_t nr, size_t size, uint64_t *cursor)
{
	if (ismi_unusual(dev))
		return ismi_watched_list_regions(dev, ret, nr, size, cursor);
	return list(dev, ISMI_QUERY_REGIONS, 0, ret, nr, size, cursor);
}

int ism_list_referrers(struct ism_device *dev, uint64_t token, struct ism_referrer_entry *ret, size_t nr, size_t size,
		       uint64_t *cursor)
{
	if (ismi_unusual(dev))
		return ismi_watched_list_referrers(dev, token, ret, nr, size, cursor);
	return list(dev, ISMI_QUERY_REFERRERS, token, ret, nr, size, cursor);
}

int ism_list_users(struct ism_device *dev, struct ism_user_entry *ret, size_t nr, size_t size, uint64_t *cursor)
{
	if (ismi_unusual(dev))
		return ismi_watched_list_users(dev, ret, nr, size, cursor);
	return list(dev, ISMI_QUERY_USERS, 0, ret, nr, size, cursor);
}

/* ------------------------------------------------------------------ the domain as a whole */

enum { HOST_RECORD = 208 };

static void parse_quota(const uint8_t *rec, struct ism_quota *ret)
{
	*ret = (struct ism_quota){
		.bytes = ismi_get64(rec),
		.regions = ismi_get32(rec + 8),
		.grants = ismi_get32(rec + 12),
		.attach_rate = ismi_get32(rec + 16),
		.notify_rate = ismi_get32(rec + 20),
		.devices = ismi_get32(rec + 24),
	};
}

static void parse_host(const uint8_t *rec, struct ism_domain_info *ret)
{
	*ret = (struct ism_domain_info){
		.gid = ismi_get64(rec),
		.devices = ismi_get64(rec + 8),
		.regions = ismi_get64(rec + 16),
		.bytes = ismi_get64(rec + 24),
		.host = ismi_get32(rec + 40),
		.host_uid = ismi_get32(rec + 44),
		.counted = ismi_get32(rec + 128),
		.devices_ever = ismi_get64(rec + 136),
		.allocs = ismi_get64(rec + 144),
		.attaches = ismi_get64(rec + 152),
		.detaches = ismi_get64(rec + 160),
		.failed = ismi_get64(rec + 168),
		.over_quota = ismi_get64(rec + 176),
		.commands = ismi_get64(rec + 184),
		.rings = ismi_get64(rec + 192),
		.kicks = ismi_get64(rec + 200),
	};
	memcpy(ret->version, rec + 48, sizeof ret->version - 1);
	parse_quota(rec + 64, &ret->device_quota);
	parse_quota(rec + 96, &ret->user_quota);
}

int ism_query_domain(struct ism_device *dev, struct ism_domain_info *ret)
{
	const uint8_t *records = NULL;
	struct ism_domain_info info;
	uint64_t cursor = 0;
	uint8_t *buf = NULL;
	size_t record = 0;

	if (ismi_unusual(dev))
		return ismi_watched_query_domain(dev, ret);
	int n = query(dev, ISMI_QUERY_HOST, 0, HOST_RECORD, &cursor, &buf, &records, &record);
	if (n < 0)
		return n;
	if (n > 0)
		parse_host(records, &info);
	free(buf);
	if (n == 0)
		return ismi_fail(-EPROTO, "the device says nothing of its host");
	return ismi_info_fill(ret, &info, sizeof info, ISMI_UP_TO(struct ism_domain_info, kicks), "ism_domain_info");
}

/* ------------------------------------------------------------------ taking a device off */

static int kick_error(int status, uint64_t devid)
{
	if (status == ISMI_PERM_ATTACH)
		return ismi_fail(-EPERM, "only the host's user and root may take a device off its domain");
	if (status == ISMI_ENOENT)
		return ismi_fail(-ENOENT, "no device %" PRIu64 " in this domain", devid);
	if (status == ISMI_ERR)
		return ismi_fail(-EOPNOTSUPP, "device %" PRIu64 " cannot be taken off this domain", devid);
	return ismi_command_error(status, "kick");
}

int ism_kick_device(struct ism_device *dev, uint64_t devid)
{
	struct ismi_command c;
	uint8_t reply[1];

	if (ismi_unusual(dev))
		return ismi_watched_kick(dev, devid);
	if (devid == 0 || devid == dev->info.devid)
		return ismi_fail(-EINVAL, "device %" PRIu64 ": expected the id of another device; ism_close() ends this one",
				 devid);
	ismi_command_begin(&c, ISMI_CMD_KICK, reply, sizeof reply);
	ismi_command_add64(&c, devid);
	pthread_mutex_lock(&dev->lock);
	int r = can_ask(dev);
	if (r == 0)
		r = ismi_command_run(dev, &c, 0, 0);
	pthread_mutex_unlock(&dev->lock);
	return r > 0 ? kick_error(r, devid) : r;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * view.c - a domain as one device sees it at one time.
 */
#include "view.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEP = 64 };

/* ------------------------------------------------------------------ listings */

/* The listings differ in their call and in the size of an entry. */
struct listing {
	const char *cannot;
	size_t size;
	int (*call)(struct ism_device *dev, uint64_t token, void *ret, uint64_t *cursor);
};

static int call_devices(struct ism_device *dev, uint64_t token, void *ret, uint64_t *cursor)
{
	(void)token;
	return ism_list_devices(dev, ret, STEP, sizeof(struct ism_device_entry), cursor);
}

static int call_regions(struct ism_device *dev, uint64_t token, void *ret, uint64_t *cursor)
{
	(void)token;
	return ism_list_regions(dev, ret, STEP, sizeof(struct ism_region_entry), cursor);
}

static int call_referrers(struct ism_device *dev, uint64_t token, void *ret, uint64_t *cursor)
{
	return ism_list_referrers(dev, token, ret, STEP, sizeof(struct ism_referrer_entry), cursor);
}

static int call_users(struct ism_device *dev, uint64_t token, void *ret, uint64_t *cursor)
{
	(void)token;
	return ism_list_users(dev, ret, STEP, sizeof(struct ism_user_entry), cursor);
}

static const struct listing devices = { "cannot list the devices", sizeof(struct ism_device_entry), call_devices };
static const struct listing regions = { "cannot list the regions", sizeof(struct ism_region_entry), call_regions };
static const struct listing referrers = { "cannot list the referrers", sizeof(struct ism_referrer_entry), call_referrers };

static const struct listing users = { "cannot list the users", sizeof(struct ism_user_entry), call_users };

bool view_expects_end;

/* All pages of a listing, in memory of the caller's.  The number of entries, or a negative errno. */
static int load(struct ism_device *dev, const struct listing *l, uint64_t token, void *ret)
{
	uint64_t cursor = 0;
	uint8_t *all = NULL;
	size_t nr = 0;

	do {
		uint8_t *more = reallocarray(all, nr + STEP, l->size);
		if (more == NULL) {
			tool_say("out of memory");
			free(all);
			return -ENOMEM;
		}
		all = more;
		int n = l->call(dev, token, all + nr * l->size, &cursor);
		if (n < 0) {
			if ((n != -EHOSTDOWN && n != -ENOENT) || !view_expects_end)
				tool_fail(n, l->cannot);
			free(all);
			return n;
		}
		nr += (size_t)n;
	} while (cursor != 0);
	memcpy(ret, &all, sizeof all);
	return (int)nr;
}

int view_load(struct ism_device *dev, struct view *ret)
{
	struct view v = { 0 };
	int n = load(dev, &devices, 0, &v.device);

	if (n >= 0) {
		v.nr_devices = (size_t)n;
		n = load(dev, &regions, 0, &v.region);
	}
	if (n < 0) {
		view_free(&v);
		return n;
	}
	v.nr_regions = (size_t)n;
	*ret = v;
	return 0;
}

int view_referrers(struct ism_device *dev, uint64_t token, struct ism_referrer_entry **ret)
{
	return load(dev, &referrers, token, ret);
}

int view_users(struct ism_device *dev, struct ism_user_entry **ret)
{
	return load(dev, &users, 0, ret);
}

void view_free(struct view *v)
{
	free(v->device);
	free(v->region);
	*v = (struct view){ 0 };
}

const struct ism_device_entry *view_device(const struct view *v, uint64_t devid)
{
	for (size_t i = 0; i < v->nr_devices; i++) {
		if (v->device[i].devid == devid)
			return &v->device[i];
	}
	return NULL;
}

const struct ism_region_entry *view_region(const struct view *v, uint64_t token)
{
	for (size_t i = 0; i < v->nr_regions; i++) {
		if (v->region[i].token == token)
			return &v->region[i];
	}
	return NULL;
}

/* ------------------------------------------------------------------ names */

const char *view_host(const struct ism_info *info)
{
	static const char *const kind[] = { "?", "this process", "a process", "ismd", "a device" };
	uint32_t which = info->host == ISM_HOST_EMBEDDED && info->host_pid == getpid() ? ISM_HOST_PRIVATE : info->host;
	const char *host = kind[which < sizeof kind / sizeof kind[0] ? which : 0];
	static char buf[48];

	if (info->host_pid == 0)	/* not known */
		return host;
	snprintf(buf, sizeof buf, "%s (pid %d)", host, (int)info->host_pid);
	return buf;
}

const char *view_user(uint32_t uid)
{
	const struct passwd *pw = getpwuid(uid);
	static char buf[12];

	if (pw != NULL)
		return pw->pw_name;
	snprintf(buf, sizeof buf, "%" PRIu32, uid);
	return buf;
}

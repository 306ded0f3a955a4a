/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * watch.c - calls on a device that somebody watches.
 *
 * Each function here is one public call: its arguments in words, the watchers,
 * the call itself, its result in words.
 */
#include "watch.h"

#include "backends/trace/trace.h"
#include "emu/faulty.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SHORT = 32 };

static _Thread_local bool passes;

void ismi_call_pass(void)
{
	passes = true;
}

bool ismi_call_passes(void)
{
	bool p = passes;

	passes = false;
	return p;
}

#define ON_DEVICE(call_name, d)	 { .name = (call_name), .dev = (d) }
#define ON_REGION(call_name, r)	 { .name = (call_name), .dev = (r)->dev, .region = (r) }

void ismi_say(char *buf, const char *fmt, ...)
{
	size_t n = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + n, ISMI_TEXT - n, fmt, ap);
	va_end(ap);
}

int ismi_call_begin(struct ismi_call *c, enum ismi_use use, int point)
{
	int r = c->dev->trace != NULL ? ismi_trace_begin(c, use) : 0;

	if (r == 0 && ismi_forked(c->dev))
		r = ismi_fail_forked();
	if (r == 0 && point != ISMI_NO_FAULT)
		r = ismi_faulty_call(c->dev, (enum fault_point)point);
	passes = r == 0;
	return r;
}

int64_t ismi_call_end(struct ismi_call *c, int64_t r, const char *result)
{
	if (c->dev->trace != NULL)
		ismi_trace_end(c, r, result);
	return r;
}

/* ------------------------------------------------------------------ words */

static void say_rights(char *buf, uint32_t rights)
{
	static const char letters[] = "rwamc";	/* in the order of the bits */

	ismi_say(buf, ", %s", rights == 0 ? "no rights" : "");
	for (int i = 0; letters[i] != '\0'; i++) {
		if (rights >> i & 1)
			ismi_say(buf, "%c", letters[i]);
	}
}

void ismi_say_timeout(char *buf, int64_t timeout_ns)
{
	char t[SHORT];

	ismi_say(buf, ", %s", ismi_trace_time(timeout_ns, t, sizeof t));
}

static void say_region(char *buf, const struct ism_region *region)
{
	char name[SHORT], token[SHORT];

	if (region->dev->trace == NULL)
		return;
	ismi_trace_token(region->ref->token, token, sizeof token);
	ismi_say(buf, ", %s (token %s, %" PRIu64 " bytes)", ismi_trace_region_name(region, name, sizeof name), token,
	    region->ref->mem.size);
}

static const char *event_name(uint32_t type)
{
	switch (type) {
	case ISM_EVENT_UPDATE:
		return "UPDATE";
	case ISM_EVENT_ATTACH:
		return "ATTACH";
	case ISM_EVENT_DETACH:
		return "DETACH";
	case ISM_EVENT_MOVED:
		return "MOVED";
	case ISM_EVENT_RESET:
		return "RESET";
	case ISM_EVENT_LOST:
		return "LOST";
	default:
		return "event";
	}
}

static void say_events(char *buf, const struct ism_event *ev, int nr, size_t size)
{
	for (int i = 0; i < nr; i++) {
		const struct ism_event *e = (const struct ism_event *)((const char *)ev + (size_t)i * size);
		char name[SHORT];

		ismi_say(buf, "%s%s", i ? ", " : ": ", event_name(e->type));
		if (e->region != NULL)
			ismi_say(buf, " %s by device %" PRIu64, ismi_trace_region_name(e->region, name, sizeof name), e->devid);
	}
}

/* ------------------------------------------------------------------ devices */

void ismi_watched_close(struct ism_device *dev)
{
	struct ismi_call c = ON_DEVICE("ism_close", dev);

	if (dev->trace != NULL && ismi_trace_begin(&c, ISMI_ENDS) < 0)
		return;
	ismi_call_pass();
	ism_close(dev);		/* in a forked child too: it frees memory there */
	if (c.listed)
		ismi_trace_end(&c, 0, "");
}

int ismi_watched_query(struct ism_device *dev, struct ism_info *ret)
{
	struct ismi_call c = ON_DEVICE("ism_query", dev);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);

	return (int)ismi_call_end(&c, r < 0 ? r : ism_query(dev, ret), "");
}

int ismi_watched_query_stats(struct ism_device *dev, struct ism_stats *ret)
{
	struct ismi_call c = ON_DEVICE("ism_query_stats", dev);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);

	return (int)ismi_call_end(&c, r < 0 ? r : ism_query_stats(dev, ret), "");
}

int ismi_watched_fd(struct ism_device *dev)
{
	struct ismi_call c = ON_DEVICE("ism_fd", dev);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);

	return (int)ismi_call_end(&c, r < 0 ? r : ism_fd(dev), "");
}

int ismi_watched_wait(struct ism_device *dev, struct ism_event *ev, size_t nr, size_t size, int64_t timeout_ns)
{
	struct ismi_call c = ON_DEVICE("ism_wait", dev);
	char result[ISMI_TEXT] = "";

	ismi_say(c.args, ", %zu events", nr);
	ismi_say_timeout(c.args, timeout_ns);
	int r = ismi_call_begin(&c, timeout_ns == 0 ? ISMI_USES : ISMI_WAITS, ISMI_NO_FAULT);
	if (r == 0)
		r = ism_wait(dev, ev, nr, size, timeout_ns);
	if (dev->trace != NULL)
		say_events(result, ev, r, size);
	return (int)ismi_call_end(&c, r, result);
}

int ismi_watched_event_next(struct ism_device *dev, struct ism_event *ev, size_t size)
{
	struct ismi_call c = ON_DEVICE("ism_event_next", dev);
	char result[ISMI_TEXT] = "";
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);

	if (r == 0)
		r = ism_event_next(dev, ev, size);
	if (dev->trace != NULL)
		say_events(result, ev, r, size);
	return (int)ismi_call_end(&c, r, result);
}

int ismi_watched_list_devices(struct ism_device *dev, struct ism_device_entry *ret, size_t nr, size_t size,
			      uint64_t *cursor)
{
	struct ismi_call c = ON_DEVICE("ism_list_devices", dev);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);

	return (int)ismi_call_end(&c, r < 0 ? r : ism_list_devices(dev, ret, nr, size, cursor), "");
}

int ismi_watched_list_regions(struct ism_device *dev, struct ism_region_entry *ret, size_t nr, size_t size,
			      uint64_t *cursor)
{
	struct ismi_call c = ON_DEVICE("ism_list_regions", dev);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);

	return (int)ismi_call_end(&c, r < 0 ? r : ism_list_regions(dev, ret, nr, size, cursor), "");
}

int ismi_watched_list_referrers(struct ism_device *dev, uint64_t token, struct ism_referrer_entry *ret, size_t nr,
				size_t size, uint64_t *cursor)
{
	struct ismi_call c = ON_DEVICE("ism_list_referrers", dev);
	char t[SHORT];

	ismi_trace_token(token, t, sizeof t);
	ismi_say(c.args, ", token %s", t);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_list_referrers(dev, token, ret, nr, size, cursor), "");
}

int ismi_watched_list_users(struct ism_device *dev, struct ism_user_entry *ret, size_t nr, size_t size,
			    uint64_t *cursor)
{
	struct ismi_call c = ON_DEVICE("ism_list_users", dev);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);

	return (int)ismi_call_end(&c, r < 0 ? r : ism_list_users(dev, ret, nr, size, cursor), "");
}

int ismi_watched_query_domain(struct ism_device *dev, struct ism_domain_info *ret)
{
	struct ismi_call c = ON_DEVICE("ism_query_domain", dev);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);

	return (int)ismi_call_end(&c, r < 0 ? r : ism_query_domain(dev, ret), "");
}

int ismi_watched_kick(struct ism_device *dev, uint64_t devid)
{
	struct ismi_call c = ON_DEVICE("ism_kick_device", dev);

	ismi_say(c.args, ", device %" PRIu64, devid);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_kick_device(dev, devid), "");
}

/* ------------------------------------------------------------------ regions */

bool ismi_watched_gone(const struct ism_region *region, const char *call)
{
	struct ismi_call c = { .name = call, .dev = region->dev, .region = (struct ism_region *)(uintptr_t)region };

	if (c.dev->trace == NULL)
		return false;
	int r = ismi_trace_begin(&c, ISMI_USES_QUIETLY);
	if (r == 0)
		ismi_trace_end(&c, 0, "");
	return r < 0;
}

int ismi_watched_alloc(struct ism_device *dev, size_t size, const struct ism_alloc_opts *opts, size_t nr,
		       struct ism_region **ret)
{
	struct ismi_call c = ON_DEVICE("ism_alloc_regions", dev);
	char result[ISMI_TEXT] = "";

	ismi_say(c.args, ", %zu bytes", size);
	if (opts != NULL && opts->size >= sizeof *opts)
		ismi_say(c.args, ", flags 0x%x", opts->flags);
	ismi_say(c.args, ", %zu", nr);
	int r = ismi_call_begin(&c, ISMI_USES, FAULT_ALLOC);
	if (r == 0)
		r = ism_alloc_regions(dev, size, opts, nr, ret);
	for (size_t i = 0; i < nr && r == 0; i++)
		say_region(result, ret[i]);
	return (int)ismi_call_end(&c, r, result);
}

int ismi_watched_attach(struct ism_device *dev, uint64_t token, uint32_t rights, const struct ism_attach_opts *opts,
			struct ism_region **ret)
{
	struct ismi_call c = ON_DEVICE("ism_attach_region", dev);
	char result[ISMI_TEXT] = "", t[SHORT];

	ismi_trace_token(token, t, sizeof t);
	ismi_say(c.args, ", token %s", t);
	say_rights(c.args, rights);
	if (opts != NULL && opts->size >= sizeof *opts)
		ismi_say(c.args, ", flags 0x%x", opts->flags);
	int r = ismi_call_begin(&c, ISMI_USES, FAULT_ATTACH);
	if (r == 0)
		r = ism_attach_region(dev, token, rights, opts, ret);
	if (r == 0)
		say_region(result, *ret);
	return (int)ismi_call_end(&c, r, result);
}

int ismi_watched_replace(struct ism_region *region, const struct ism_alloc_opts *opts, struct ism_region **ret)
{
	struct ismi_call c = ON_REGION("ism_region_replace", region);
	char result[ISMI_TEXT] = "";

	if (opts != NULL && opts->size >= sizeof *opts)
		ismi_say(c.args, ", flags 0x%x", opts->flags);
	int r = ismi_call_begin(&c, ISMI_USES, FAULT_ALLOC);
	if (r == 0)
		r = ism_region_replace(region, opts, ret);
	if (r == 0)
		say_region(result, *ret);
	return (int)ismi_call_end(&c, r, result);
}

int ismi_watched_shut_out(struct ism_device *dev, uint64_t token, const uint64_t *devid, size_t nr,
			  struct ism_region **ret)
{
	struct ismi_call c = ON_DEVICE("ism_shut_out", dev);
	char result[ISMI_TEXT] = "", t[SHORT];

	ismi_trace_token(token, t, sizeof t);
	ismi_say(c.args, ", token %s, %zu devices", t, nr);
	int r = ismi_call_begin(&c, ISMI_USES, FAULT_ALLOC);
	if (r == 0)
		r = ism_shut_out(dev, token, devid, nr, ret);
	if (r == 0)
		say_region(result, *ret);
	return (int)ismi_call_end(&c, r, result);
}

int ismi_watched_attach_successor(struct ism_region *region, uint32_t rights, const struct ism_attach_opts *opts,
				  struct ism_region **ret)
{
	struct ismi_call c = ON_REGION("ism_attach_successor", region);
	char result[ISMI_TEXT] = "";

	say_rights(c.args, rights);
	int r = ismi_call_begin(&c, ISMI_USES, FAULT_ATTACH);
	if (r == 0)
		r = ism_attach_successor(region, rights, opts, ret);
	if (r == 0)
		say_region(result, *ret);
	return (int)ismi_call_end(&c, r, result);
}

void ismi_watched_detach(struct ism_region *region)
{
	struct ismi_call c = ON_REGION("ism_detach_region", region);

	if (ismi_call_begin(&c, ISMI_ENDS, FAULT_DETACH) == 0)
		ism_detach_region(region);
	if (c.listed)
		ismi_trace_end(&c, 0, "");
}

int ismi_watched_peers(struct ism_region *region, uint64_t *ret_devids, size_t nr)
{
	struct ismi_call c = ON_REGION("ism_region_peers", region);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);

	return (int)ismi_call_end(&c, r < 0 ? r : ism_region_peers(region, ret_devids, nr), "");
}

int ismi_watched_grant(struct ism_region *region, uint64_t devid, uint32_t rights)
{
	struct ismi_call c = ON_REGION("ism_region_grant", region);

	ismi_say(c.args, ", device %" PRIu64, devid);
	say_rights(c.args, rights);
	int r = ismi_call_begin(&c, ISMI_USES, FAULT_GRANT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_region_grant(region, devid, rights), "");
}

int ismi_watched_grant_default(struct ism_region *region, uint32_t rights)
{
	struct ismi_call c = ON_REGION("ism_region_grant_default", region);

	say_rights(c.args, rights);
	int r = ismi_call_begin(&c, ISMI_USES, FAULT_GRANT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_region_grant_default(region, rights), "");
}

/* ------------------------------------------------------------------ doorbells */

int ismi_watched_notify(struct ism_region *region)
{
	struct ismi_call c = ON_REGION("ism_region_notify", region);
	int r = ismi_call_begin(&c, ISMI_USES, FAULT_NOTIFY);

	return (int)ismi_call_end(&c, r < 0 ? r : r > 0 ? 0 : ism_region_notify(region), r > 0 ? " (dropped)" : "");
}

int ismi_watched_region_wait(struct ism_region *region, int64_t timeout_ns)
{
	struct ismi_call c = ON_REGION("ism_region_wait", region);

	ismi_say_timeout(c.args, timeout_ns);
	int r = ismi_call_begin(&c, timeout_ns == 0 ? ISMI_USES : ISMI_WAITS, ISMI_NO_FAULT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_region_wait(region, timeout_ns), "");
}

int ismi_watched_region_clear(struct ism_region *region)
{
	struct ismi_call c = ON_REGION("ism_region_clear", region);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);

	return (int)ismi_call_end(&c, r < 0 ? r : ism_region_clear(region), "");
}

int ismi_watched_region_fd(struct ism_region *region)
{
	struct ismi_call c = ON_REGION("ism_region_fd", region);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);

	return (int)ismi_call_end(&c, r < 0 ? r : ism_region_fd(region), "");
}

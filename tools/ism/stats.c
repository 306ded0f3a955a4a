/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * stats.c - ism stats: how much there is, how much there may be, and what has
 * happened.
 */
#include "json.h"
#include "view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct stats {
	struct ism_info info;
	struct ism_domain_info domain;
	struct ism_user_entry *user;
	int nr_users;
	struct view view;
};

/* ------------------------------------------------------------------ JSON */

static void add_limit(struct json_object *o, const char *name, uint64_t limit)
{
	if (limit != 0)
		json_add_number(o, name, limit);
	else
		json_add(o, name, NULL);
}

static void add_quota(struct json_object *quotas, const char *name, const struct ism_quota *q)
{
	struct json_object *o = json_child(quotas, name);

	add_limit(o, "bytes", q->bytes);
	add_limit(o, "regions", q->regions);
	add_limit(o, "devices", q->devices);
	add_limit(o, "grants", q->grants);
	add_limit(o, "attaches_per_second", q->attach_rate);
	add_limit(o, "doorbells_per_second", q->notify_rate);
}

static void add_counters(struct json_object *all, const struct ism_domain_info *d)
{
	if (!d->counted) {
		json_add(all, "counters", NULL);
		return;
	}
	struct json_object *o = json_child(all, "counters");
	json_add_number(o, "devices", d->devices_ever);
	json_add_number(o, "allocs", d->allocs);
	json_add_number(o, "attaches", d->attaches);
	json_add_number(o, "detaches", d->detaches);
	json_add_number(o, "refused", d->failed);
	json_add_number(o, "over_quota", d->over_quota);
	json_add_number(o, "commands", d->commands);
	json_add_number(o, "rings", d->rings);
	json_add_number(o, "kicks", d->kicks);
}

static void add_users(struct json_object *all, const struct stats *s)
{
	struct json_object *list = json_list(all, "users");

	for (int i = 0; i < s->nr_users; i++) {
		const struct ism_user_entry *u = &s->user[i];
		struct json_object *o = json_child(list, NULL);
		json_add_user(o, u->uid);
		json_add_number(o, "devices", u->devices);
		json_add_number(o, "regions", u->regions);
		json_add_number(o, "grants", u->grants);
		json_add_number(o, "bytes", u->bytes);
		json_add_number(o, "refused", u->failed);
		json_add_number(o, "over_quota", u->over_quota);
	}
}

static void print_json(const struct stats *s)
{
	struct json_object *o = json_begin(), *domain = json_domain(&s->info), *quotas, *devices;

	json_add(o, "domain", domain);
	json_add_text(domain, "version", s->domain.version);
	json_add_number(domain, "devices", s->domain.devices);
	json_add_number(domain, "regions", s->domain.regions);
	json_add_number(domain, "bytes", s->domain.bytes);
	quotas = json_child(o, "quotas");
	add_quota(quotas, "device", &s->domain.device_quota);
	add_quota(quotas, "user", &s->domain.user_quota);
	add_counters(o, &s->domain);
	add_users(o, s);
	devices = json_list(o, "devices");
	for (size_t i = 0; i < s->view.nr_devices; i++)
		json_append(devices, json_device(&s->view.device[i]));
	json_print(o);
}

/* ------------------------------------------------------------------ text */

/* Two limits beside each other; 0 is none. */
static void print_limit(const char *what, uint64_t device, uint64_t user, bool bytes)
{
	const uint64_t limit[] = { device, user };

	printf("%-16s", what);
	for (int i = 0; i < 2; i++) {
		if (limit[i] == 0)
			printf(" %12s", "no limit");
		else if (bytes)
			printf(" %12s", tool_bytes(limit[i]));
		else
			printf(" %12" PRIu64, limit[i]);
	}
	putchar('\n');
}

static void print_quotas(const struct ism_quota *d, const struct ism_quota *u)
{
	printf("%-16s %12s %12s\n", "MAY HAVE", "EACH DEVICE", "EACH USER");
	print_limit("bytes", d->bytes, u->bytes, true);
	print_limit("regions", d->regions, u->regions, false);
	if (u->devices != 0)
		printf("%-16s %12s %12u\n", "devices", "", u->devices);
	else
		printf("%-16s %12s %12s\n", "devices", "", "no limit");
	print_limit("grants", d->grants, u->grants, false);
	print_limit("attaches/s", d->attach_rate, u->attach_rate, false);
	print_limit("doorbells/s", d->notify_rate, u->notify_rate, false);
}

static void print_counters(const struct ism_domain_info *d)
{
	if (!d->counted) {
		puts("since it began   only the host's user and root may know");
		return;
	}
	printf("since it began   %" PRIu64 " devices, %" PRIu64 " commands, %" PRIu64 " doorbells passed on\n"
	       "                 %" PRIu64 " regions allocated, %" PRIu64 " attached, %" PRIu64 " let go\n"
	       "                 %" PRIu64 " attaches refused, %" PRIu64 " calls over a quota, %" PRIu64 " devices taken off\n",
	       d->devices_ever, d->commands, d->rings, d->allocs, d->attaches, d->detaches, d->failed, d->over_quota, d->kicks);
}

static void print_text(const struct stats *s)
{
	const struct ism_domain_info *d = &s->domain;

	printf("domain           %016" PRIx64 " at %s:%s\n"
	       "host             %s, %s, version %s\n"
	       "now              %" PRIu64 " devices, %" PRIu64 " regions, %sB\n",
	       d->gid, s->info.backend, s->info.path, view_host(&s->info), view_user(d->host_uid), d->version, d->devices,
	       d->regions, tool_bytes(d->bytes));
	print_counters(d);
	putchar('\n');
	print_quotas(&d->device_quota, &d->user_quota);
	printf("\n%-10s %8s %8s %8s %8s %8s %10s\n", "USER", "DEVICES", "REGIONS", "BYTES", "GRANTS", "REFUSED", "OVER QUOTA");
	for (int i = 0; i < s->nr_users; i++) {
		const struct ism_user_entry *u = &s->user[i];
		printf("%-10s %8u %8u %8s %8u %8" PRIu64 " %10" PRIu64 "\n", view_user(u->uid), u->devices, u->regions,
		       tool_bytes(u->bytes), u->grants, u->failed, u->over_quota);
	}
	printf("\n%8s %-10s %8s %8s %8s  %s\n", "DEVICE", "USER", "REGIONS", "BYTES", "REFUSED", "NAME");
	for (size_t i = 0; i < s->view.nr_devices; i++) {
		const struct ism_device_entry *e = &s->view.device[i];
		printf("%8" PRIu64 " %-10s %8u %8s %8" PRIu64 "  %s%s\n", e->devid, view_user(e->uid), e->regions,
		       tool_bytes(e->bytes), e->failed, e->name, e->self ? " (this one)" : "");
	}
}

/* ------------------------------------------------------------------ the verb */

static int stats(struct ism_device *dev)
{
	struct stats s = { .info.size = sizeof s.info, .domain.size = sizeof s.domain };
	int r = ism_query(dev, &s.info);

	if (r == 0)
		r = ism_query_domain(dev, &s.domain);
	if (r < 0)
		return tool_fail(r, "cannot query the domain");
	s.nr_users = view_users(dev, &s.user);
	if (s.nr_users < 0)
		return TOOL_FAILED;
	r = view_load(dev, &s.view) < 0 ? TOOL_FAILED : TOOL_OK;
	if (r == TOOL_OK)
		(json_wanted ? print_json : print_text)(&s);
	view_free(&s.view);
	free(s.user);
	return r;
}

static int run(int nr, char **operand)
{
	(void)nr;
	(void)operand;
	return tool_look(stats);
}

static const struct tool_option options[] = { TOOL_OPTION_JSON, TOOL_OPTION_DEVICE, { 0 } };

const struct tool_verb verb_stats = {
	.name = "stats",
	.operands = "",
	.summary = "tell what a domain holds, may hold, and has seen",
	.help = "Tells how much a domain holds, what its host allows, what has happened since the\n"
		"host began, and what each user and device has.  The counters are for the host's\n"
		"user and root.\n",
	.options = options,
	.run = run,
};

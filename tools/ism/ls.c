/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ls.c - ism ls: the devices and regions of a domain.
 */
#include "json.h"
#include "view.h"

#include <inttypes.h>
#include <stdio.h>

static void print_json(const struct ism_info *info, const struct view *v)
{
	struct json_object *o = json_begin();

	json_add(o, "domain", json_domain(info));
	struct json_object *devices = json_list(o, "devices"), *regions = json_list(o, "regions");
	for (size_t i = 0; i < v->nr_devices; i++)
		json_append(devices, json_device(&v->device[i]));
	for (size_t i = 0; i < v->nr_regions; i++)
		json_append(regions, json_region(&v->region[i]));
	json_print(o);
}

static void print_devices(const struct view *v)
{
	printf("%8s %8s %-10s %8s %8s  %s\n", "DEVICE", "PID", "USER", "REGIONS", "BYTES", "NAME");
	for (size_t i = 0; i < v->nr_devices; i++) {
		const struct ism_device_entry *e = &v->device[i];
		printf("%8" PRIu64 " %8d %-10s %8u %8s  %s%s\n", e->devid, (int)e->pid, view_user(e->uid), e->regions,
		       tool_bytes(e->bytes), e->name, e->self ? " (this one)" : "");
	}
}

static void print_regions(const struct view *v)
{
	if (v->nr_regions == 0) {
		puts("\nno regions");
		return;
	}
	printf("\n%-16s %8s %8s %-10s %9s  %s\n", "REGION", "BYTES", "CREATOR", "USER", "REFERRERS", "DEFAULT");
	for (size_t i = 0; i < v->nr_regions; i++) {
		const struct ism_region_entry *e = &v->region[i];
		char token[17] = "(not shown)";
		if (e->token != 0)
			snprintf(token, sizeof token, "%016" PRIx64, e->token);
		printf("%-16s %8s %8" PRIu64 " %-10s %9u  %s%s%s\n", token, tool_bytes(e->region_size), e->creator,
		       view_user(e->creator_uid), e->referrers, tool_rights(e->default_rights),
		       e->ended ? " (token ended)" : "", e->replaced ? " (replaced)" : "");
	}
}

static int ls(struct ism_device *dev)
{
	struct ism_info info = { .size = sizeof info };
	struct view v;
	int r = ism_query(dev, &info);

	if (r < 0)
		return tool_fail(r, "cannot query the device");
	if (view_load(dev, &v) < 0)
		return TOOL_FAILED;
	if (json_wanted) {
		print_json(&info, &v);
	} else {
		printf("domain %016" PRIx64 " at %s:%s, hosted by %s\n\n", info.gid, info.backend, info.path, view_host(&info));
		print_devices(&v);
		print_regions(&v);
	}
	view_free(&v);
	return TOOL_OK;
}

static int run(int nr, char **operand)
{
	(void)nr;
	(void)operand;
	return tool_look(ls);
}

static const struct tool_option options[] = { TOOL_OPTION_JSON, TOOL_OPTION_DEVICE, { 0 } };

const struct tool_verb verb_ls = {
	.name = "ls",
	.operands = "",
	.summary = "list the devices and regions of a domain",
	.help = "Lists the devices and regions of a domain: those of your own user, or all if\n"
		"you are its host's user or root.  Tokens are shown to the creator's user.\n"
		"Rights: r read, w write, a attach, m manage.\n",
	.options = options,
	.run = run,
};

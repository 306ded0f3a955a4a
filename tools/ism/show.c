/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * show.c - ism show: all about one region or device.
 */
#include "json.h"
#include "view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *try_rights;

/* ------------------------------------------------------------------ a region */

static void region_json(const struct ism_region_entry *e, const struct ism_referrer_entry *referrer, int nr)
{
	struct json_object *o = json_begin();

	json_add(o, "region", json_region(e));
	struct json_object *list = json_list(o, "referrers");
	for (int i = 0; i < nr; i++)
		json_append(list, json_referrer(&referrer[i]));
	json_print(o);
}

static void region_text(const struct ism_region_entry *e, const struct ism_referrer_entry *referrer, int nr)
{
	if (try_rights != NULL)
		printf("may attach      %s\n", try_rights);
	printf("region          %016" PRIx64 "\n"
	       "size            %" PRIu64 " bytes (%" PRIu64 " asked for)\n"
	       "creator         device %" PRIu64 ", uid %u\n"
	       "default rights  %s\n"
	       "referrers       %u\n"
	       "token           %s\n",
	       e->token, e->region_size, e->requested_size, e->creator, e->creator_uid, tool_rights(e->default_rights),
	       e->referrers, e->ended ? "ended: no manager refers to the region any more" : "valid");
	if (e->replaced && e->successor != 0)
		printf("replaced        by region %016" PRIx64 "\n", e->successor);
	else if (e->replaced)
		puts("replaced        by a region that is gone, or not for you to know");
	printf("\n%8s %8s %9s %7s\n", "DEVICE", "UID", "ATTACHED", "RIGHTS");
	for (int i = 0; i < nr; i++) {
		const struct ism_referrer_entry *f = &referrer[i];
		printf("%8" PRIu64 " %8u %9s %7s%s%s\n", f->devid, f->uid, tool_rights(f->attached), tool_rights(f->rights),
		       f->creator ? "  creator" : "",
		       f->shut_out ? "  shut out: it attached with more than it may do now" : "");
	}
}

static int try_attach(struct ism_device *dev, uint64_t token)
{
	uint32_t want = strcmp(try_rights, "rw") == 0 ? ISM_READ | ISM_WRITE : ISM_READ;
	struct ism_region *region;
	int r = ism_attach_region(dev, token, want, NULL, &region);

	if (r < 0)
		return tool_fail(r, want & ISM_WRITE ? "cannot attach to read and write" : "cannot attach to read");
	return 0;
}

static int show_region(struct ism_device *dev, const struct view *v, uint64_t token)
{
	const struct ism_region_entry *e = view_region(v, token);
	struct ism_referrer_entry *referrer;

	if (e == NULL) {
		tool_say("no region has this token, or this device may not know of it");
		return TOOL_FAILED;
	}
	int nr = view_referrers(dev, token, &referrer);
	if (nr < 0)
		return TOOL_FAILED;
	(json_wanted ? region_json : region_text)(e, referrer, nr);
	free(referrer);
	return TOOL_OK;
}

/* ------------------------------------------------------------------ a device */

static void device_json(const struct ism_device_entry *e)
{
	struct json_object *o = json_begin();

	json_add(o, "device", json_device(e));
	json_print(o);
}

static void device_text(const struct ism_device_entry *e)
{
	printf("device          %" PRIu64 "%s\n"
	       "name            %s\n"
	       "process         %d, uid %u\n"
	       "regions         %u, %" PRIu64 " bytes\n"
	       "window          %" PRIu64 " bytes\n"
	       "failed attaches %" PRIu64 "\n",
	       e->devid, e->self ? " (this one)" : "", e->name, (int)e->pid, e->uid, e->regions, e->bytes, e->window_size,
	       e->failed);
}

static int show_device(const struct view *v, uint64_t devid)
{
	const struct ism_device_entry *e = view_device(v, devid);

	if (e == NULL) {
		tool_say("no device %" PRIu64 " in this domain, or not for you to know", devid);
		return TOOL_FAILED;
	}
	(json_wanted ? device_json : device_text)(e);
	return TOOL_OK;
}

/* ------------------------------------------------------------------ the verb */

static int show(struct ism_device *dev, uint64_t devid, uint64_t token)
{
	struct view v;
	int r = token != 0 && try_rights != NULL ? try_attach(dev, token) : TOOL_OK;

	if (r != TOOL_OK || view_load(dev, &v) < 0)
		return TOOL_FAILED;
	r = token != 0 ? show_region(dev, &v, token) : show_device(&v, devid);
	view_free(&v);
	return r;
}

static int run(int nr, char **operand)
{
	uint64_t devid = 0, token = 0;
	struct ism_device *dev;
	int r = 0;

	(void)nr;
	if (try_rights != NULL && strcmp(try_rights, "r") != 0 && strcmp(try_rights, "rw") != 0)
		return tool_usage("--try \"%s\": expected r or rw", try_rights);
	if (!tool_devid(operand[0], &devid))
		r = tool_token(operand[0], &token);
	else if (try_rights != NULL)
		return tool_usage("--try: expected a TOKEN, not a DEVICE");
	if (r == 0)
		r = tool_open(ISM_OPEN_NO_HOST, &dev);
	if (r != 0)
		return r;
	r = show(dev, devid, token);
	ism_close(dev);
	return r;
}

static const struct tool_option options[] = {
	{ 't', "try", "RIGHTS", &try_rights, "first see whether we may attach the region with \"r\" or \"rw\"" },
	TOOL_OPTION_JSON,
	TOOL_OPTION_DEVICE,
	{ 0 },
};

const struct tool_verb verb_show = {
	.name = "show",
	.operands = "TOKEN | DEVICE",
	.least = 1,
	.most = 1,
	.summary = "tell all about one region or device",
	.help = "Tells all about a region, by its token (16 hexadecimal digits, \"-\": from standard\n"
		"input), or about a device, by its number.\n",
	.options = options,
	.run = run,
};

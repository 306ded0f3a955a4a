/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * kick.c - ism kick: take a device off its domain.
 */
#include "json.h"
#include "view.h"

#include <inttypes.h>
#include <stdio.h>

static void report(const struct ism_device_entry *e)
{
	if (!json_wanted) {
		printf("device %" PRIu64 " (%s, pid %d, %s) is off the domain\n", e->devid, e->name, (int)e->pid,
		       view_user(e->uid));
		return;
	}
	struct json_object *o = json_begin();
	json_add(o, "kicked", json_device(e));
	json_print(o);
}

static int kick(struct ism_device *dev, uint64_t devid)
{
	struct ism_device_entry who = { .devid = devid, .name = "?" };
	const struct ism_device_entry *e;
	struct view v;

	/* Looked at first, so as to be able to say who it was. */
	if (view_load(dev, &v) < 0)
		return TOOL_FAILED;
	e = view_device(&v, devid);
	if (e != NULL)
		who = *e;
	view_free(&v);
	int r = ism_kick_device(dev, devid);
	if (r < 0)
		return tool_fail(r, "cannot take the device off");
	report(&who);
	return TOOL_OK;
}

static int run(int nr, char **operand)
{
	struct ism_device *dev;
	uint64_t devid;
	int r;

	(void)nr;
	if (!tool_devid(operand[0], &devid))
		return tool_usage("\"%s\": expected the number of a device; 'ism ls' lists them", operand[0]);
	r = tool_open(ISM_OPEN_NO_HOST, &dev);
	if (r != 0)
		return r;
	r = kick(dev, devid);
	ism_close(dev);
	return r;
}

static const struct tool_option options[] = { TOOL_OPTION_JSON, TOOL_OPTION_DEVICE, { 0 } };

const struct tool_verb verb_kick = {
	.name = "kick",
	.operands = "DEVICE",
	.least = 1,
	.most = 1,
	.summary = "take a device off its domain",
	.help = "Takes a device off its domain, by its number, as if its process had died.  Its\n"
		"peers see it go; the program sees its host gone.  It keeps the memory that it has\n"
		"mapped, and may come again as a new device.  Only the host's user and root may.\n",
	.options = options,
	.run = run,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check.c - ism check: what works on this machine, and why not.
 */
#include "check.h"

#include "json.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
	const char *name;
	void (*run)(struct check *c);
} checks[] = {
	{ "memory objects", check_memory_objects },
	{ "seals", check_seals },
	{ "huge pages", check_huge_pages },
	{ "transparent huge pages", check_shared_huge_pages },
	{ "descriptors", check_descriptors },
	{ "mappings", check_mappings },
	{ "locked memory", check_locked_memory },
	{ "CPUs", check_cpus },
	{ "/dev/ism", check_device_node },
	{ "host", check_host },		/* before the next ones, which may host the domain for a moment */
	{ "directory", check_directory },
	{ "socket", check_socket },
	{ "window", check_window },
	{ "sharing", check_sharing },	/* the last: it decides */
};

enum { NR_CHECKS = sizeof checks / sizeof checks[0] };

static const char *const state_name[] = { "ok", "limited", "missing" };

void check_set(struct check *c, enum check_state state, const char *fmt, ...)
{
	va_list ap;

	c->state = state;
	va_start(ap, fmt);
	vsnprintf(c->what, sizeof c->what, fmt, ap);
	va_end(ap);
}

void check_remedy(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->remedy, sizeof c->remedy, fmt, ap);
	va_end(ap);
}

static void print_json(const struct check *check, bool works)
{
	struct json_object *o = json_begin(), *list;

	json_add_bool(o, "works", works);
	json_add_text(o, "version", ism_version());
	list = json_list(o, "checks");
	for (int i = 0; i < NR_CHECKS; i++) {
		struct json_object *item = json_child(list, NULL);
		json_add_text(item, "name", check[i].name);
		json_add_text(item, "state", state_name[check[i].state]);
		json_add_text(item, "what", check[i].what);
		if (*check[i].remedy != '\0')
			json_add_text(item, "remedy", check[i].remedy);
		else
			json_add(item, "remedy", NULL);
	}
	json_print(o);
}

static int run(int nr, char **operand)
{
	struct check check[NR_CHECKS] = { 0 };

	(void)nr;
	(void)operand;
	for (int i = 0; i < NR_CHECKS; i++) {
		check[i].name = checks[i].name;
		checks[i].run(&check[i]);
		if (json_wanted)
			continue;
		printf("%-8s %-23s %s\n", state_name[check[i].state], check[i].name, check[i].what);
		if (*check[i].remedy != '\0')
			printf("%-8s %-23s -> %s\n", "", "", check[i].remedy);
	}
	bool works = check[NR_CHECKS - 1].state == CHECK_OK;
	if (json_wanted)
		print_json(check, works);
	else
		printf("\nlibism %s %s\n", ism_version(), works ? "works here." : "does not work here.");
	return works ? TOOL_OK : TOOL_FAILED;
}

static const struct tool_option options[] = { TOOL_OPTION_JSON, TOOL_OPTION_DEVICE, { 0 } };

const struct tool_verb verb_check = {
	.name = "check",
	.operands = "",
	.summary = "tell what works on this machine, and why not",
	.help = "Tells what libism finds on this machine: ok, limited (it works, but less well or\n"
		"less fast) or missing, with the reason and what can be done.  Fails if two devices\n"
		"cannot share a region; all else it can do without.\n",
	.options = options,
	.run = run,
};

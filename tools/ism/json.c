/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * json.c - what the verbs print with --json.
 */
#include "json.h"

#include "view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool json_wanted;

static struct json_object *must(struct json_object *o)
{
	if (o != NULL)
		return o;
	tool_say("out of memory");
	exit(TOOL_FAILED);
}

struct json_object *json_begin(void)
{
	struct json_object *o = must(json_object_new_object());

	json_add_number(o, "schema", JSON_SCHEMA);
	return o;
}

static void print(struct json_object *o, int flags)
{
	const char *text = json_object_to_json_string_ext(o, flags | JSON_C_TO_STRING_NOSLASHESCAPE);

	if (text == NULL)
		must(NULL);
	puts(text);
	json_object_put(o);
}

void json_print(struct json_object *o)
{
	print(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
}

void json_print_line(struct json_object *o)
{
	print(o, JSON_C_TO_STRING_SPACED);
	fflush(stdout);
}

/* ------------------------------------------------------------------ fields */

void json_add(struct json_object *o, const char *name, struct json_object *value)
{
	if (json_object_object_add(o, name, value) < 0)
		must(NULL);
}

struct json_object *json_child(struct json_object *o, const char *name)
{
	struct json_object *child = must(json_object_new_object());

	if (name != NULL)
		json_add(o, name, child);
	else
		json_append(o, child);
	return child;
}

struct json_object *json_list(struct json_object *o, const char *name)
{
	struct json_object *list = must(json_object_new_array());

	json_add(o, name, list);
	return list;
}

void json_append(struct json_object *list, struct json_object *value)
{
	if (json_object_array_add(list, must(value)) < 0)
		must(NULL);
}

void json_add_number(struct json_object *o, const char *name, uint64_t value)
{
	json_add(o, name, must(json_object_new_uint64(value)));
}

void json_add_real(struct json_object *o, const char *name, double value)
{
	char text[32];

	snprintf(text, sizeof text, "%.3f", value);
	json_add(o, name, must(json_object_new_double_s(value, text)));
}

void json_add_bool(struct json_object *o, const char *name, bool value)
{
	json_add(o, name, must(json_object_new_boolean(value)));
}

/* The length of the UTF-8 character at @s (RFC 3629); 0: there is none. */
static size_t utf8_length(const unsigned char *s)
{
	static const struct {
		unsigned char first, last, second, second_last;
		size_t len;
	} form[] = {
		{ 0x01, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < sizeof form / sizeof form[0]; i++) {
		if (s[0] < form[i].first || s[0] > form[i].last)
			continue;
		if (form[i].len > 1 && (s[1] < form[i].second || s[1] > form[i].second_last))
			return 0;
		for (size_t k = 2; k < form[i].len; k++) {
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		}
		return form[i].len;
	}
	return 0;
}

void json_add_text(struct json_object *o, const char *name, const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL)
		must(NULL);
	for (char *at = copy; *at != '\0';) {
		size_t len = utf8_length((const unsigned char *)at);
		if (len == 0)
			*at = '?';
		at += len == 0 ? 1 : len;
	}
	json_add(o, name, must(json_object_new_string(copy)));
	free(copy);
}

void json_add_hex(struct json_object *o, const char *name, uint64_t id)
{
	char text[17];

	snprintf(text, sizeof text, "%016" PRIx64, id);
	json_add_text(o, name, text);
}

void json_add_rights(struct json_object *o, const char *name, uint32_t rights)
{
	static const char *const word[] = { "read", "write", "attach", "manage" };
	struct json_object *list = json_list(o, name);

	for (unsigned int i = 0; i < 4; i++) {
		if ((rights & UINT32_C(1) << i) != 0)
			json_append(list, json_object_new_string(word[i]));
	}
}

void json_add_user(struct json_object *o, uint32_t uid)
{
	json_add_number(o, "uid", uid);
	json_add_text(o, "user", view_user(uid));
}

/* ------------------------------------------------------------------ descriptions */

struct json_object *json_domain(const struct ism_info *info)
{
	static const char *const kind[] = { "unknown", "private", "embedded", "ismd", "device" };
	struct json_object *o = must(json_object_new_object());

	json_add_hex(o, "gid", info->gid);
	json_add_text(o, "backend", info->backend);
	json_add_text(o, "path", info->path);
	json_add_text(o, "host", kind[info->host < sizeof kind / sizeof kind[0] ? info->host : 0]);
	json_add(o, "host_pid", info->host_pid != 0 ? must(json_object_new_int(info->host_pid)) : NULL);
	return o;
}

struct json_object *json_device(const struct ism_device_entry *e)
{
	struct json_object *o = must(json_object_new_object());

	json_add_number(o, "devid", e->devid);
	json_add(o, "pid", e->pid != 0 ? must(json_object_new_int(e->pid)) : NULL);
	json_add_user(o, e->uid);
	json_add_text(o, "name", e->name);
	json_add_bool(o, "self", e->self != 0);
	json_add_number(o, "regions", e->regions);
	json_add_number(o, "bytes", e->bytes);
	json_add_number(o, "window", e->window_size);
	json_add_number(o, "refused", e->failed);
	return o;
}

struct json_object *json_region(const struct ism_region_entry *e)
{
	struct json_object *o = must(json_object_new_object());

	json_add_number(o, "serial", e->serial);
	if (e->token != 0)
		json_add_hex(o, "token", e->token);
	else
		json_add(o, "token", NULL);
	json_add_number(o, "size", e->region_size);
	json_add_number(o, "requested", e->requested_size);
	json_add_number(o, "creator", e->creator);
	json_add_user(o, e->creator_uid);
	json_add_number(o, "referrers", e->referrers);
	json_add_rights(o, "default_rights", e->default_rights);
	json_add_bool(o, "ended", e->ended != 0);
	json_add_bool(o, "replaced", e->replaced != 0);
	if (e->successor != 0)
		json_add_hex(o, "successor", e->successor);
	else
		json_add(o, "successor", NULL);
	return o;
}

struct json_object *json_referrer(const struct ism_referrer_entry *e)
{
	struct json_object *o = must(json_object_new_object());

	json_add_number(o, "devid", e->devid);
	json_add_user(o, e->uid);
	json_add_rights(o, "attached", e->attached);
	json_add_rights(o, "rights", e->rights);
	json_add_bool(o, "creator", e->creator != 0);
	json_add_bool(o, "shut_out", e->shut_out != 0);
	return o;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * json.h - what the verbs print with --json.
 *
 * One object, or with `watch` one per line.  Ids of 64 bits that are no
 * counters (tokens, domains) are strings of 16 hexadecimal digits, as people write
 * them: many readers of JSON keep 53 bits of a number.  Rights are lists of words.
 * ism(1) has the fields.
 */
#ifndef TOOL_JSON_H
#define TOOL_JSON_H

#include "tool.h"

#include <json-c/json.h>

/* What --json prints may grow; this changes when something in it means something else. */
enum { JSON_SCHEMA = 1 };

extern bool json_wanted;
#define TOOL_OPTION_JSON                                                                                               \
	{                                                                                                              \
		'j', "json", NULL, &json_wanted, "print JSON, for programs"                                            \
	}

/* An object with the schema's number in it. */
struct json_object *json_begin(void);
/* Print it, on one line or many, and free it. */
void json_print(struct json_object *o);
void json_print_line(struct json_object *o);

/* Add an object (to a list if @name is NULL), add a list, add something to a list. */
struct json_object *json_child(struct json_object *o, const char *name);
struct json_object *json_list(struct json_object *o, const char *name);
void json_append(struct json_object *list, struct json_object *value);

/* Add a field; @o takes it over. */
void json_add(struct json_object *o, const char *name, struct json_object *value);
void json_add_number(struct json_object *o, const char *name, uint64_t value);
/* With three digits behind the point. */
void json_add_real(struct json_object *o, const char *name, double value);
void json_add_bool(struct json_object *o, const char *name, bool value);
/* What is not UTF-8 in it becomes "?". */
void json_add_text(struct json_object *o, const char *name, const char *text);
void json_add_hex(struct json_object *o, const char *name, uint64_t id);
void json_add_rights(struct json_object *o, const char *name, uint32_t rights);
void json_add_user(struct json_object *o, uint32_t uid);

/* The descriptions that several verbs print. */
struct json_object *json_domain(const struct ism_info *info);
struct json_object *json_device(const struct ism_device_entry *e);
struct json_object *json_region(const struct ism_region_entry *e);
struct json_object *json_referrer(const struct ism_referrer_entry *e);

#endif /* TOOL_JSON_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * conf.c - the settings of ismd.
 */
#include "conf.h"

#include <bsd/libutil.h>
#include <bsd/stdlib.h>
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { BYTES, COUNT, MODE, GROUP, LEVEL, KEEP, GRACE };

#define QUOTA(who, field) offsetof(struct conf, server.who##_quota.field)

static const struct setting {
	const char *name;
	enum kind kind;
	size_t offset;
	const char *help;
} settings[] = {
	{ "device-bytes", BYTES, QUOTA(device, bytes), "bytes of all regions one device refers to" },
	{ "device-regions", COUNT, QUOTA(device, regions), "regions one device refers to" },
	{ "device-grants", COUNT, QUOTA(device, grants), "grants one device has given to others" },
	{ "device-attach-rate", COUNT, QUOTA(device, attach_rate), "attaches per second of one device" },
	{ "device-notify-rate", COUNT, QUOTA(device, notify_rate), "times per second that one device's rings are passed on" },
	{ "user-bytes", BYTES, QUOTA(user, bytes), "the same for all devices of one user together" },
	{ "user-regions", COUNT, QUOTA(user, regions), "the same" },
	{ "user-grants", COUNT, QUOTA(user, grants), "the same" },
	{ "user-attach-rate", COUNT, QUOTA(user, attach_rate), "the same" },
	{ "user-notify-rate", COUNT, QUOTA(user, notify_rate), "the same" },
	{ "user-devices", COUNT, QUOTA(user, devices), "devices of one user" },
	{ "mode", MODE, offsetof(struct conf, mode), "access mode of the socket, octal" },
	{ "group", GROUP, offsetof(struct conf, group), "group of the socket" },
	{ "vm-window", BYTES, offsetof(struct conf, vm_window), "window of a virtual machine's device: a power of two" },
	{ "keep", KEEP, offsetof(struct conf, keep), "who holds regions over a restart: keeper, store (systemd) or no" },
	{ "grace", GRACE, offsetof(struct conf, grace), "seconds that ismd and its devices have to come back" },
	{ "log", LEVEL, offsetof(struct conf, server.log.level), "none, error, warn, info or debug" },
};

bool conf_describe(size_t i, const char **ret_name, const char **ret_help)
{
	if (i >= sizeof settings / sizeof settings[0])
		return false;
	*ret_name = settings[i].name;
	*ret_help = settings[i].help;
	return true;
}

void conf_default(struct conf *c)
{
	*c = (struct conf){ .mode = 0660, .group = (gid_t)-1, .vm_window = UINT64_C(1) << 30, .keep = KEEP_KEEPER, .grace = 30,
			    .server.log.level = ISMI_LOG_INFO };
	server_default_quotas(&c->server);
}

static int set_bytes(uint64_t *ret, const char *name, const char *value)
{
	size_t digits = strspn(value, "0123456789");
	const char *unit = value + digits;
	bool form = digits > 0 && digits < 20 && (*value != '0' || digits == 1) &&
		    (*unit == '\0' || (strchr("KMGTkmgt", *unit) != NULL && unit[1] == '\0'));

	/* expand_number() alone takes 010 for 8, 1Kbyte for 1K, and saturates. */
	if (!form || expand_number(value, ret) < 0)
		return ismi_fail(-EINVAL, "%s=\"%.32s\": expected a number of bytes, with K, M, G or T if you like; 0: no limit",
				 name, value);
	return 0;
}

static int set_count(uint32_t *ret, const char *name, const char *value)
{
	const char *wrong;
	long long v = strtonum(value, 0, UINT32_MAX, &wrong);

	if (wrong != NULL)
		return ismi_fail(-EINVAL, "%s=\"%.32s\": expected a number up to %u; 0: no limit", name, value, UINT32_MAX);
	*ret = (uint32_t)v;
	return 0;
}

static int set_mode(mode_t *ret, const char *name, const char *value)
{
	char *end;
	unsigned long v = strtoul(value, &end, 8);

	if (!isdigit((unsigned char)*value) || *end != '\0' || v > 0777)
		return ismi_fail(-EINVAL, "%s=\"%.32s\": expected an octal mode up to 0777", name, value);
	*ret = (mode_t)v;
	return 0;
}

static int set_group(gid_t *ret, const char *name, const char *value)
{
	const struct group *g = getgrnam(value);
	const char *wrong;
	long long v = strtonum(value, 0, UINT32_MAX - 1, &wrong);

	if (g == NULL && wrong != NULL)
		return ismi_fail(-EINVAL, "%s=\"%.32s\": no such group", name, value);
	*ret = g != NULL ? g->gr_gid : (gid_t)v;
	return 0;
}

static int set_keep(enum keep_kind *ret, const char *value)
{
	static const char *const names[] = { [KEEP_NO] = "no", [KEEP_KEEPER] = "keeper", [KEEP_STORE] = "store" };

	for (int i = KEEP_NO; i <= KEEP_STORE; i++) {
		if (strcmp(value, names[i]) == 0) {
			*ret = (enum keep_kind)i;
			return 0;
		}
	}
	return ismi_fail(-EINVAL, "keep=\"%.32s\": expected keeper, store or no", value);
}

static int set_grace(uint32_t *ret, const char *name, const char *value)
{
	const char *wrong;
	long long v = strtonum(value, 1, 86400, &wrong);

	if (wrong != NULL)
		return ismi_fail(-EINVAL, "%s=\"%.32s\": expected seconds, 1 to 86400", name, value);
	*ret = (uint32_t)v;
	return 0;
}

int conf_set(struct conf *c, const char *name, const char *value)
{
	for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
		const struct setting *s = &settings[i];
		void *at = (uint8_t *)c + s->offset;

		if (strcmp(s->name, name) != 0)
			continue;
		switch (s->kind) {
		case BYTES:
			return set_bytes(at, name, value);
		case COUNT:
			return set_count(at, name, value);
		case MODE:
			return set_mode(at, name, value);
		case GROUP:
			return set_group(at, name, value);
		case LEVEL:
			return ismi_log_parse(value, at);
		case KEEP:
			return set_keep(at, value);
		case GRACE:
			return set_grace(at, name, value);
		}
	}
	return ismi_fail(-EINVAL, "unknown setting \"%.32s\": ismd --help lists them", name);
}

/* Cut white space off both ends. */
static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

static int read_line(struct conf *c, char *line, const char *path, unsigned int number)
{
	char why[160], *value;

	line[strcspn(line, "#")] = '\0';
	line = trim(line);
	if (*line == '\0')
		return 0;
	value = strchr(line, '=');
	if (value == NULL)
		return ismi_fail(-EINVAL, "%s:%u: \"%.32s\": expected name = value", path, number, line);
	*value++ = '\0';
	int r = conf_set(c, trim(line), trim(value));
	if (r < 0) {
		snprintf(why, sizeof why, "%s", ismi_fail_text());
		ismi_fail(r, "%s:%u: %s", path, number, why);
	}
	return r;
}

int conf_read(struct conf *c, const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned int number = 0;
	char *line = NULL;
	size_t size = 0;
	int r = 0;

	if (f == NULL)
		return ismi_fail(-errno, "cannot read %s: %s", path, strerror(errno));
	while (r == 0 && getline(&line, &size, f) >= 0)
		r = read_line(c, line, path, ++number);
	if (r == 0 && ferror(f))
		r = ismi_fail(-EIO, "cannot read %s", path);
	free(line);
	fclose(f);
	return r;
}

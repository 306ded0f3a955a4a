/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ref.c - references to regions as text.
 */
#include "watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char prefix[] = "ism:";

_Static_assert(ISM_REF_SIZE == sizeof prefix - 1 + 16 + 1 + 16 + 1, "ism:GID/TOKEN and a NUL");

int ism_ref_format(const struct ism_region *region, char *buf, size_t len)
{
	if (ismi_gone(region, "ism_ref_format"))
		return -EINVAL;
	if (len < ISM_REF_SIZE)
		return ismi_fail(-ENOSPC, "a buffer of %zu bytes: expected ISM_REF_SIZE, %d", len, ISM_REF_SIZE);
	return snprintf(buf, len, "%s%016" PRIx64 "/%016" PRIx64, prefix, region->dev->info.gid, region->ref->token);
}

/* 1 to 16 hexadecimal digits, up to @end. */
static bool parse_hex(const char *text, const char *end, uint64_t *ret)
{
	uint64_t v = 0;

	if (text == end || end - text > 16)
		return false;
	for (; text < end; text++) {
		char c = *text;
		unsigned int digit = c >= '0' && c <= '9' ? (unsigned int)(c - '0')
				     : c >= 'a' && c <= 'f' ? (unsigned int)(c - 'a') + 10
				     : c >= 'A' && c <= 'F' ? (unsigned int)(c - 'A') + 10
							    : 16;
		if (digit == 16)
			return false;
		v = v << 4 | digit;
	}
	*ret = v;
	return true;
}

int ism_ref_parse(const char *text, uint64_t *ret_gid, uint64_t *ret_token)
{
	const char *end = text + strlen(text), *slash;
	uint64_t gid = 0, token;
	bool ok;

	if (strncmp(text, prefix, sizeof prefix - 1) == 0) {
		text += sizeof prefix - 1;
		slash = strchr(text, '/');
		ok = slash != NULL && parse_hex(text, slash, &gid) && parse_hex(slash + 1, end, &token);
	} else {
		if (strncmp(text, "0x", 2) == 0 || strncmp(text, "0X", 2) == 0)
			text += 2;
		ok = parse_hex(text, end, &token);
	}
	/* The text is not repeated: all but a digit of it may be somebody's token. */
	if (!ok || token == 0)
		return ismi_fail(-EINVAL, "this is no reference to a region: expected 1 to 16 hexadecimal digits, not all 0, or "
					  "ism:GID/TOKEN");
	*ret_gid = gid;
	*ret_token = token;
	return 0;
}

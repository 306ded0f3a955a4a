/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * opts.c - structures of the caller's that grow from version to version.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>

/* No version will need more; a size that was never set should not be read behind. */
enum { OPTS_MAX = 4096 };

int ismi_opts_copy(void *ret, size_t size, size_t first_size, const void *opts, const char *name)
{
	size_t have;

	memset(ret, 0, size);
	if (opts == NULL)
		return 0;
	memcpy(&have, opts, sizeof have);
	if (have < first_size)
		return ismi_fail(-EINVAL, "%s.size is %zu: expected at least %zu (sizeof the structure)", name, have,
				 first_size);
	if (have > OPTS_MAX)
		return ismi_fail(-E2BIG, "%s.size is %zu: expected %zu (sizeof the structure)", name, have, size);
	for (size_t i = size; i < have; i++) {
		if (((const unsigned char *)opts)[i] != 0)
			return ismi_fail(-E2BIG, "%s has a field that this version of libism (%s) does not know", name,
					 ISM_VERSION_STRING);
	}
	memcpy(ret, opts, have < size ? have : size);
	return 0;
}

int ismi_info_fill(void *ret, const void *from, size_t size, size_t first_size, const char *name)
{
	size_t have, n;

	memcpy(&have, ret, sizeof have);
	if (have < first_size)
		return ismi_fail(-EINVAL, "%s.size is %zu: expected at least %zu (sizeof the structure)", name, have,
				 first_size);
	n = have < size ? have : size;
	memcpy(ret, from, n);
	memcpy(ret, &n, sizeof n);
	return 0;
}

void ismi_entry_put(void *array, size_t i, size_t have, const void *from, size_t size)
{
	unsigned char *at = (unsigned char *)array + i * have;

	memcpy(at, from, have < size ? have : size);
	if (have > size)
		memset(at + size, 0, have - size);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * bytes.h - little-endian integers in byte buffers, and checked sizes.
 */
#ifndef ISMI_BYTES_H
#define ISMI_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t ismi_get16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return le16toh(v);
}

static inline uint32_t ismi_get32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return le32toh(v);
}

static inline uint64_t ismi_get64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return le64toh(v);
}

static inline void ismi_put16(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof v);
}

static inline void ismi_put32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof v);
}

static inline void ismi_put64(void *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof v);
}

/* Round @v up to a multiple of @unit, a power of two; false if that overflows. */
static inline bool ismi_round_up(uint64_t v, uint64_t unit, uint64_t *ret)
{
	uint64_t sum;

	if (__builtin_add_overflow(v, unit - 1, &sum))
		return false;
	*ret = sum & ~(unit - 1);
	return true;
}

#endif /* ISMI_BYTES_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * words.c - the peer's words: names, numbers, hexadecimal, answers.
 */
#include "peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct named named[NAMED_MAX];

struct named *find(const char *name)
{
	for (struct named *n = named; n < named + NAMED_MAX; n++) {
		if (strcmp(n->name, name) == 0)
			return n;
	}
	return NULL;
}

struct named *name_new(const char *name)
{
	struct named *n = find("");

	if (n != NULL)
		snprintf(n->name, sizeof n->name, "%s", name);
	return n;
}

uint64_t number(const char *word)
{
	return strtoull(word, NULL, 10);
}

int64_t ns(const char *ms)
{
	return (int64_t)number(ms) * 1000000;
}

int failed(int err)
{
	const char *detail = ism_error_detail();

	printf("err %d %s\n", -err, *detail ? detail : ism_strerror(err));
	return err;
}

int wrong(int err, const char *what)
{
	printf("err %d %s\n", -err, what);
	return err;
}

int answer(int r)
{
	if (r < 0)
		return failed(r);
	puts("ok");
	return 0;
}

long from_hex(const char *hex, unsigned char *buf, size_t size)
{
	size_t n = 0;

	if (strcmp(hex, "-") == 0)
		return 0;
	for (unsigned int b; n < size && sscanf(hex + 2 * n, "%2x", &b) == 1; n++)
		buf[n] = (unsigned char)b;
	return hex[2 * n] == '\0' ? (long)n : -EINVAL;
}

void put_hex(const unsigned char *p, size_t len)
{
	fputs(len == 0 ? "ok -" : "ok ", stdout);
	for (size_t i = 0; i < len; i++)
		printf("%02x", p[i]);
	putchar('\n');
}

void pattern(unsigned char *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (unsigned char)((seed + i) % 251);
}

uint32_t crc32(const unsigned char *p, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}

bool has(char **w, const char *word)
{
	for (; *w != NULL; w++) {
		if (strcmp(*w, word) == 0)
			return true;
	}
	return false;
}


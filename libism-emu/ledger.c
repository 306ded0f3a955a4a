/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ledger.c - the facts about a domain, in a memory object that outlives its host.
 */
#include "ledger.h"

#include "base/atomics.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/sys.h"

#include <assert.h>
#include <errno.h>

enum { AT_VERSION = 4, AT_GENERATION = 8, AT_END = 16, SIZE_MIN = 64 * 1024 };

static _Atomic uint64_t *end_word(const struct ledger *l)
{
	return (_Atomic uint64_t *)(l->map + AT_END);
}

/* Give the object pages for @size bytes and map them: what cannot be had fails here, and not at a store. */
static int grow(struct ledger *l, uint64_t size)
{
	void *map;
	int r = ismi_sys_fallocate(l->fd, (off_t)size);

	if (r == 0)
		r = ismi_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0, &map);
	if (r < 0)
		return ismi_fail(r, "no memory for a ledger of %llu bytes", (unsigned long long)size);
	if (l->map != NULL)
		ismi_sys_munmap(l->map, l->size);
	l->map = map;
	l->size = size;
	return 0;
}

int ledger_create(struct ledger *l, uint64_t generation)
{
	*l = (struct ledger){ .fd = ismi_sys_memfd("ism-ledger", 0), .generation = generation, .end = LEDGER_HEADER };
	if (l->fd < 0)
		return ismi_fail(l->fd, "cannot make a memory object for the ledger");
	int r = ismi_sys_fchmod(l->fd, 0600);
	r = r < 0 ? ismi_fail(r, "cannot set the mode of the ledger") : grow(l, SIZE_MIN);
	if (r < 0) {
		ledger_close(l);
		return r;
	}
	ismi_put32(l->map, LEDGER_MAGIC);
	ismi_put32(l->map + AT_VERSION, LEDGER_VERSION);
	ismi_put64(l->map + AT_GENERATION, generation);
	return 0;
}

int ledger_open(struct ledger *l, int fd)
{
	struct stat st;
	void *map;
	int r = ismi_sys_fstat(fd, &st);

	if (r < 0)
		return ismi_fail(r, "cannot look at the ledger");
	if (st.st_size < LEDGER_HEADER)
		return ismi_fail(-EPROTO, "what was kept as a ledger is none: it is too short");
	r = ismi_sys_mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0, &map);
	if (r < 0)
		return ismi_fail(r, "cannot map the ledger");
	*l = (struct ledger){ .fd = fd, .map = map, .size = (uint64_t)st.st_size };
	/* Its writer is dead: there is nothing to pair with. */
	l->end = l->first = le64toh(ismi_load_relaxed(end_word(l)));
	l->generation = ismi_get64(l->map + AT_GENERATION);
	uint32_t version = ismi_get32(l->map + AT_VERSION);
	if (ismi_get32(l->map) != LEDGER_MAGIC || version == 0)
		r = ismi_fail(-EPROTO, "what was kept as a ledger is none");
	else if (version > LEDGER_VERSION)
		r = ismi_fail(-EOPNOTSUPP, "the domain was kept by a newer version (ledger %u): expected up to %d", version,
			      LEDGER_VERSION);
	else if (l->end < LEDGER_HEADER || l->end > l->size || l->end % 8 != 0)
		r = ismi_fail(-EPROTO, "the ledger is not complete");
	if (r < 0) {
		l->fd = -1;	/* stays the caller's */
		ledger_close(l);
	}
	return r;
}

void ledger_close(struct ledger *l)
{
	if (l->map != NULL)
		ismi_sys_munmap(l->map, l->size);
	ismi_sys_close(l->fd);
	*l = (struct ledger)LEDGER_INIT;
}

void ledger_append(struct ledger *l, uint16_t type, const void *body, size_t len)
{
	size_t whole = LEDGER_HEAD + ((len + 7) & ~(size_t)7);

	assert(type != 0 && whole <= LEDGER_RECORD_MAX);
	if (l->failed)
		return;
	if (whole > l->size - l->end && grow(l, l->size * 2) < 0) {
		l->failed = true;
		return;
	}
	uint8_t *at = l->map + l->end;
	memset(at, 0, whole);
	ismi_put16(at, type);
	ismi_put16(at + 2, (uint16_t)whole);
	memcpy(at + LEDGER_HEAD, body, len);
	l->end += whole;
}

int ledger_commit(struct ledger *l)
{
	if (l->failed)
		return -ENOMEM;
	if (l->first == 0)
		l->first = l->end;
	/* The records come first.  Who reads it maps the object after our death: the kernel orders that. */
	ismi_store_release(end_word(l), htole64(l->end));
	return 0;
}

bool ledger_worn(const struct ledger *l)
{
	return l->end > SIZE_MIN && l->end / 4 > l->first;
}

int ledger_next(const struct ledger *l, uint64_t *at, const uint8_t **ret_body, size_t *ret_len)
{
	uint64_t pos = *at == 0 ? LEDGER_HEADER : *at;

	if (pos == l->end)
		return 0;
	if (l->end - pos < LEDGER_HEAD)
		return ismi_fail(-EPROTO, "the ledger ends within a record");
	uint16_t type = ismi_get16(l->map + pos), len = ismi_get16(l->map + pos + 2);
	if (type == 0 || len < LEDGER_HEAD || len % 8 != 0 || len > l->end - pos)
		return ismi_fail(-EPROTO, "the ledger has a damaged record at %llu", (unsigned long long)pos);
	*ret_body = l->map + pos + LEDGER_HEAD;
	*ret_len = len - LEDGER_HEAD;
	*at = pos + len;
	return type;
}

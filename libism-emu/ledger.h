/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ledger.h - the facts about a domain, in a memory object that outlives its host.
 *
 * All integers little-endian.
 *
 *   0  le32  magic, the bytes "ISML"
 *   4  le32  version, 1
 *   8  le64  generation: of two ledgers the higher one counts
 *  16  le64  end of what is valid, counted from the start of the object; 0: not complete yet
 *  24        zero, up to 64; then records:
 *
 *   0  le16  type
 *   2  le16  length, this head included; a multiple of 8
 *   4  le32  0
 *
 * Records are appended, and become valid together by one store to the end: a
 * host that is killed anywhere leaves whole changes.  facts.h has the records.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LEDGER_MAGIC = 0x4c4d5349,
	LEDGER_VERSION = 1,
	LEDGER_HEADER = 64,
	LEDGER_HEAD = 8,
	LEDGER_RECORD_MAX = 256,
};

struct ledger {
	int fd;
	uint8_t *map;
	uint64_t size;		/* of the object, all mapped */
	uint64_t end;		/* of what has been appended, valid or not */
	uint64_t first;		/* its size when it was first complete */
	uint64_t generation;
	bool failed;		/* a record found no room: it must not become valid any more */
};

#define LEDGER_INIT { .fd = -1 }

/* An empty one, not complete until the first commit: 0 or a negative errno, in words too. */
int ledger_create(struct ledger *l, uint64_t generation);
/*
 * Read one that a former host has left.  Consumes @fd on success.  -EPROTO: no
 * ledger, or an incomplete one; -EOPNOTSUPP: from a newer version.
 */
int ledger_open(struct ledger *l, int fd);
void ledger_close(struct ledger *l);

/* Append a record of @len bytes behind its head, at most LEDGER_RECORD_MAX in all. */
void ledger_append(struct ledger *l, uint16_t type, const void *body, size_t len);
/* What has been appended is valid from here on: 0, or -ENOMEM for good. */
int ledger_commit(struct ledger *l);
/* Is most of it likely to be out of date? */
bool ledger_worn(const struct ledger *l);

/*
 * The next valid record.  *at: 0 at the beginning.  Returns its type and body, 0
 * at the end, or -EPROTO.
 */
int ledger_next(const struct ledger *l, uint64_t *at, const uint8_t **ret_body, size_t *ret_len);

#endif /* LEDGER_H */

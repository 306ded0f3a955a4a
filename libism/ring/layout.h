/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring/layout.h - a ring in shared memory.
 *
 * Behind a header comes the data area, a power of two.  A record is an 8-byte
 * head and its bytes, padded to 8; records do not wrap: where one does not fit
 * before the end, a record of kind PAD fills the rest.
 *
 * The head publishes the record, and is what the reader polls: for a short
 * record one cache line travels.  For that the reader must never take old data for
 * a head, so before the writer publishes a record it clears the head behind it.
 */
#ifndef ISMI_RING_LAYOUT_H
#define ISMI_RING_LAYOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RING_MAGIC = 0x524d5349,	/* "ISMR" */
	RING_VERSION = 1,
	RING_HEAD = 8,
	RING_DATA = 256,		/* offset of the data area */
	RING_MIN = 512,
	RING_PART_UNIT = 4096,		/* in which a head counts how much of a record is there */
};

enum ring_kind { RING_NONE = 0, RING_RECORD = 1, RING_PAD = 2, RING_END = 3, RING_MOVED = 4, RING_PART = 5 };

/*
 * ring_shared.reader_order, writer_order: an exchange each time, and knows nothing else;
 * the same, and may be told LIGHT; a look without a barrier, so that the peer has to
 * call membarrier() between its waits word and its last look.
 */
enum { RING_ORDER_EXCHANGE = 0, RING_ORDER_CAN = 1, RING_ORDER_LIGHT = 2 };

/* ring_shared.reader_closed */
enum { RING_READER_CLOSED = 1, RING_READER_MOVES = 2 };

struct ring_shared {
	_Atomic uint32_t magic, version;
	_Atomic uint64_t capacity;	/* of the data area, bytes; a power of two */
	_Atomic uint64_t start;		/* where a ring in a successor goes on: position of its first record */
	uint8_t pad0[40];

	/* Written by the reader: often, and seldom. */
	_Atomic uint64_t tail;		/* bytes ever released */
	uint8_t pad1[56];
	_Atomic uint32_t reader_waits;	/* it has to be rung */
	_Atomic uint32_t reader_closed;
	_Atomic uint32_t reader_here;	/* in a successor: it has read all of the ring before */
	_Atomic uint32_t reader_follows;	/* it knows records in part */
	_Atomic uint32_t reader_order;		/* how it looks at writer_waits */
	uint8_t pad2[44];

	/* Written by the writer. */
	_Atomic uint32_t writer_waits;
	_Atomic uint32_t writer_order;		/* how it looks at reader_waits */
	uint8_t pad3[56];
};

_Static_assert(sizeof(struct ring_shared) == RING_DATA, "layout is shared between processes");
_Static_assert(offsetof(struct ring_shared, tail) == 64, "each end writes lines of its own");
_Static_assert(offsetof(struct ring_shared, reader_waits) == 128, "each end writes lines of its own");
_Static_assert(offsetof(struct ring_shared, writer_waits) == 192, "each end writes lines of its own");

/* A head: kind in the upper half, length in the lower. */
static inline uint64_t ring_head(enum ring_kind kind, uint32_t len)
{
	return (uint64_t)kind << 32 | len;
}

/* The head of a record of which only the first @done bytes, whole units, are there yet. */
static inline uint64_t ring_part(uint32_t len, uint64_t done)
{
	return (done / RING_PART_UNIT) << 40 | ring_head(RING_PART, len);
}

static inline bool ring_is_part(uint64_t head)
{
	return (uint8_t)(head >> 32) == RING_PART;
}

static inline uint64_t ring_part_done(uint64_t head)
{
	return (head >> 40) * RING_PART_UNIT;
}

/* What a record of @len bytes takes in the data area. */
static inline uint64_t ring_space(uint64_t len)
{
	return RING_HEAD + ((len + 7) & ~UINT64_C(7));
}

#endif /* ISMI_RING_LAYOUT_H */

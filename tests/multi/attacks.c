/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * attacks.c - what a hostile peer writes into the memory that it shares with
 * another device and with the host.
 */
#include "attacks.h"

#include "ring/layout.h"

uint64_t random64(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

struct emu_link *any_link(struct ism_device *dev)
{
	struct emu *e = dev->priv;

	for (uint32_t i = 0; i < ISMI_LINKS; i++) {
		if (e->link[i] != NULL)
			return e->link[i];
	}
	return NULL;
}

static void put(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_relaxed);
}

static void scribble(void *memory, size_t size, uint64_t *seed)
{
	uint64_t v = random64(seed);
	size_t at = v % (size / 8);

	if (v >> 62 == 0)	/* the flags and summaries more often */
		at = at % 2 * (sizeof(struct ismi_bell) / 8) % (size / 8) + (v >> 32) % 16;
	put((_Atomic uint64_t *)memory + at, v >> 60 & 1 ? v : v >> 61 & 1 ? UINT64_MAX : 0);
}

static void fill(_Atomic uint64_t *word, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		put(&word[i], UINT64_MAX);
}

static void flags(const struct emu_link *l, uint64_t *seed)
{
	atomic_store(&l->out->armed, random64(seed) & 1);
	atomic_store(&l->out->ready, random64(seed) & 1);
	atomic_store(&l->in->armed, random64(seed) & 1);
	atomic_store(&l->in->ready, random64(seed) & 1);
}

static void line(struct emu *e, uint64_t *seed)
{
	scribble(e->end.line, sizeof *e->end.line, seed);
	if (*seed % 256 == 0) {
		uint8_t msg[ISMI_WIRE_HEADER];
		ismi_wire_put(msg, ISMI_WIRE_RING, 0, 0, 0);
		ismi_wire_send(e->conn, msg, sizeof msg, NULL, 0);
	}
}

static void ring_words(const struct target *t, uint64_t *seed)
{
	uint64_t v = random64(seed);
	size_t nr = t->ring_size / 8;

	put((_Atomic uint64_t *)t->ring + (v >> 50 ? v % nr : v % 64), v >> 60 & 1 ? random64(seed) : v & 0xff);
}

/* What a careless check would let pass: one more, one less, and what overflows. */
static uint64_t edge(uint64_t limit, uint64_t v)
{
	const uint64_t edges[] = { 0, 1, 7, 8, limit / 2 - 16, limit / 2 - 15, limit - 8, limit - 7, limit, limit + 1,
				   UINT32_MAX - 7, UINT32_MAX, UINT64_MAX - 7, UINT64_MAX, UINT64_C(1) << 63, v };

	return edges[v % (sizeof edges / sizeof edges[0])];
}

static void ring_edges(const struct target *t, uint64_t *seed)
{
	struct ring_shared *s = t->ring;
	_Atomic uint64_t *data = (_Atomic uint64_t *)((uint8_t *)t->ring + RING_DATA);
	uint64_t v = random64(seed), capacity = t->ring_size / 2;
	uint64_t tail = atomic_load_explicit(&s->tail, memory_order_relaxed);

	switch (v >> 40 & 15) {
	case 0:
		put(&s->capacity, edge(capacity, v));
		break;
	case 1:
		atomic_store_explicit(&s->magic, v & 256 ? RING_MAGIC : (uint32_t)v, memory_order_relaxed);
		break;
	case 2:
		put(&s->tail, tail + edge(capacity, v) * (v & 1 << 20 ? 1 : -UINT64_C(1)));
		break;
	case 3:
		atomic_store_explicit(&s->reader_waits, (uint32_t)(v & 1), memory_order_relaxed);
		atomic_store_explicit(&s->writer_waits, (uint32_t)(v >> 1 & 1), memory_order_relaxed);
		atomic_store_explicit(&s->reader_order, (uint32_t)(v >> 2 & 3), memory_order_relaxed);
		atomic_store_explicit(&s->writer_order, (uint32_t)(v >> 4 & 3), memory_order_relaxed);
		atomic_store_explicit(&s->reader_closed, v >> 20 & 0xff ? 0 : 1, memory_order_relaxed);
		break;
	case 4:
	case 5:
	case 6:
	case 7:		/* records, one behind the other: whoever reads them goes on to what is wrong behind */
		for (uint64_t i = 0; i < (v >> 44 & 63); i++)
			put(&data[(tail / 8 + i) % (capacity / 8)], ring_head(RING_RECORD, (uint32_t)(v & 1 << 23 ? 8 : 0)));
		break;
	case 8:		/* a part of a record, which grows or does not */
		put(&data[tail % capacity / 8], ring_part((uint32_t)(v & 1 << 24 ? 4999 : edge(capacity, v)), v >> 25 & 0x3000));
		break;
	default:	/* a head where the next one is looked for, or near the end of the data */
		put(&data[(v & 1 << 21 ? tail & (capacity - 1) : v & 1 << 22 ? capacity - 8 * (v >> 44 & 3) - 8 : v % capacity) / 8],
		    (v >> 32 & 3) << 32 | (uint32_t)edge(capacity, v));
	}
}

void attack_once(enum attack attack, const struct target *t, uint64_t *seed)
{
	switch (attack) {
	case RANDOM:
		scribble(t->link->page, sizeof *t->link->page, seed);
		break;
	case ALL_BITS:
		fill(t->link->out->bits, ISMI_BELL_WORDS);
		fill(t->link->out->summary, ISMI_BELL_SUMMARY);
		break;
	case SUMMARY:
		fill(t->link->out->summary, ISMI_BELL_SUMMARY);
		break;
	case FLAGS:
		flags(t->link, seed);
		break;
	case RING_WORDS:
		ring_words(t, seed);
		break;
	case RING_EDGES:
		ring_edges(t, seed);
		break;
	default:
		line(t->emu, seed);
	}
}

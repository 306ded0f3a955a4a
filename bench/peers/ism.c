/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ism.c - libism: words in a region, doorbells, and rings, between processes
 * (emu:, hosted by ismd) and between threads (loop:).
 */
#include "bench.h"
#include "harness.h"

#include <errno.h>
#include <ism-ring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t deadline_ns = INT64_C(20000000000);
/* Room for a few messages, and not more than a second-level cache if they are small. */
enum { RING_MIN = 256 * 1024, RING_MESSAGES = 4, HEADER = 4096, PIECE = 32768, LINE = 64 };
/* Several at once; and descriptors: a ring for so many, and places that suffice for those and for what both ends hold. */
enum { BATCH = 32, BATCH_BYTES_MAX = 1024, DESCRIPTORS = 4 * BATCH, PLACES = 8 * BATCH };

static struct bench_domain domain;

struct offer {
	char uri[128];
	_Atomic uint64_t token[2];
};

struct state {
	struct ism_device *dev;
	struct ism_region *region[2];	/* written by end 0, by end 1 */
	struct ism_ring *in, *out;
	uint32_t turn;
	struct batch *batch;
};

static void *emu_create(size_t bytes)
{
	struct offer *o = bench_shared(sizeof *o);

	(void)bytes;
	snprintf(o->uri, sizeof o->uri, "%s", domain.uri);
	return o;
}

static void *loop_create(size_t bytes)
{
	struct offer *o = bench_shared(sizeof *o);

	(void)bytes;
	snprintf(o->uri, sizeof o->uri, "loop:peers");
	return o;
}

/* ------------------------------------------------------------------ two regions */

static int open_regions(struct end *e, uint32_t spin_us)
{
	struct ism_open_opts opts = { .size = sizeof opts, .spin_us = spin_us };
	size_t room = (e->bytes * RING_MESSAGES > RING_MIN ? e->bytes * RING_MESSAGES : RING_MIN) + HEADER;
	struct state *s = calloc(1, sizeof *s);
	struct offer *o = e->shared;

	e->state = s;
	bench_ok(ism_open(o->uri, &opts, &s->dev));
	if (e->side == 0) {
		bench_ok(ism_alloc_regions(s->dev, room, NULL, 2, s->region));
		return 0;
	}
	for (int i = 0; i < 2; i++) {
		uint64_t token;
		while ((token = atomic_load(&o->token[i])) == 0)
			usleep(50);
		bench_ok(ism_attach_region(s->dev, token, ISM_READ | ISM_WRITE, NULL, &s->region[i]));
	}
	return 0;
}

static void offer(const struct end *e)
{
	const struct state *s = e->state;
	struct offer *o = e->shared;

	for (int i = 0; i < 2 && e->side == 0; i++)
		atomic_store(&o->token[i], ism_region_token(s->region[i]));
}

static int plain_open(struct end *e, uint32_t spin_us)
{
	open_regions(e, spin_us);
	offer(e);
	return 0;
}

static int words_open(struct end *e)
{
	return plain_open(e, 0);
}

static int bell_open(struct end *e)
{
	return plain_open(e, 0);
}

static int bell_sleep_open(struct end *e)
{
	return plain_open(e, ISM_SPIN_NONE);
}

static void regions_close(struct end *e)
{
	struct state *s = e->state;

	ism_ring_close(s->in);
	ism_ring_close(s->out);
	ism_close(s->dev);
	free(s->batch);
	free(s);
}

/* ------------------------------------------------------------------ words and doorbells */

static _Atomic uint64_t *word_of(const struct state *s, unsigned int side)
{
	return (_Atomic uint64_t *)ism_region_addr(s->region[0]) + side * 32;
}

/* The turn's number is the message; its first byte goes beside it. */
static int words_send(struct end *e, const void *buf, size_t bytes)
{
	struct state *s = e->state;
	uint64_t first = *(const unsigned char *)buf;

	(void)bytes;
	if (e->side == 0)
		s->turn++;
	atomic_store_explicit(word_of(s, e->side), (uint64_t)s->turn << 8 | first, memory_order_release);
	return 0;
}

static int words_recv(struct end *e, void *buf, size_t bytes)
{
	struct state *s = e->state;
	uint64_t v;

	(void)bytes;
	if (e->side == 1)
		s->turn++;
	while ((uint32_t)((v = atomic_load_explicit(word_of(s, !e->side), memory_order_acquire)) >> 8) != s->turn)
		peers_relax();
	*(unsigned char *)buf = (unsigned char)v;
	return 0;
}

static int bell_send(struct end *e, const void *buf, size_t bytes)
{
	words_send(e, buf, bytes);
	return ism_region_notify(((struct state *)e->state)->region[0]);
}

static int bell_recv(struct end *e, void *buf, size_t bytes)
{
	struct state *s = e->state;
	uint32_t turn = s->turn + (e->side == 1);

	while ((uint32_t)(atomic_load_explicit(word_of(s, !e->side), memory_order_acquire) >> 8) != turn) {
		if (bench_ok(ism_region_wait(s->region[0], deadline_ns)) == 0)
			return -1;
	}
	return words_recv(e, buf, bytes);
}

/* ------------------------------------------------------------------ rings */

static int ring_open_with(struct end *e, uint32_t spin_us)
{
	open_regions(e, spin_us);
	struct state *s = e->state;
	struct ism_region *out = s->region[e->side], *in = s->region[!e->side];

	if (e->side == 0) {
		bench_ok(ism_ring_create(out, ISM_RING_WRITER, NULL, &s->out));
		bench_ok(ism_ring_create(in, ISM_RING_READER, NULL, &s->in));
	} else {
		bench_ok(ism_ring_attach(out, ISM_RING_WRITER, NULL, &s->out));
		bench_ok(ism_ring_attach(in, ISM_RING_READER, NULL, &s->in));
	}
	offer(e);
	return 0;
}

static int ring_open(struct end *e)
{
	return ring_open_with(e, 0);
}

static int ring_sleep_open(struct end *e)
{
	return ring_open_with(e, ISM_SPIN_NONE);
}

static int ring_send(struct end *e, const void *buf, size_t bytes)
{
	return ism_ring_write(((struct state *)e->state)->out, buf, bytes, deadline_ns);
}

static int ring_recv(struct end *e, void *buf, size_t bytes)
{
	int64_t n = ism_ring_read(((struct state *)e->state)->in, buf, bytes, deadline_ns);

	return n == (int64_t)bytes ? 0 : n < 0 ? (int)n : -1;
}

static int spin_send(struct end *e, const void *buf, size_t bytes)
{
	int r;

	while ((r = ism_ring_write(((struct state *)e->state)->out, buf, bytes, 0)) == -EAGAIN)
		peers_relax();
	return r;
}

static int spin_recv(struct end *e, void *buf, size_t bytes)
{
	int64_t n;

	while ((n = ism_ring_read(((struct state *)e->state)->in, buf, bytes, 0)) == -EAGAIN)
		peers_relax();
	return n == (int64_t)bytes ? 0 : -1;
}

/* A large message as several records, as a stream would send it. */
static int pieces_send(struct end *e, const void *buf, size_t bytes)
{
	int r = 0;

	for (size_t at = 0; at < bytes && r == 0; at += PIECE)
		r = ring_send(e, (const char *)buf + at, bytes - at < PIECE ? bytes - at : PIECE);
	return r;
}

/* The ring need not be larger for that. */
static int pieces_open(struct end *e)
{
	struct end piece = *e;

	piece.bytes = e->bytes < PIECE ? e->bytes : PIECE;
	int r = ring_open(&piece);
	e->state = piece.state;
	return r;
}

static int pieces_recv(struct end *e, void *buf, size_t bytes)
{
	int r = 0;

	for (size_t at = 0; at < bytes && r == 0; at += PIECE)
		r = ring_recv(e, (char *)buf + at, bytes - at < PIECE ? bytes - at : PIECE);
	return r;
}

/* The message is made and read where it lies: eight bytes of it are touched. */
static int place_send(struct end *e, const void *buf, size_t bytes)
{
	struct ism_ring *ring = ((struct state *)e->state)->out;
	void *room;
	int r;

	while ((r = ism_ring_reserve(ring, bytes, &room)) == -EAGAIN)
		peers_relax();
	if (r < 0)
		return r;
	memcpy(room, buf, 8);
	return ism_ring_commit(ring, bytes);
}

static int place_recv(struct end *e, void *buf, size_t bytes)
{
	struct ism_ring *ring = ((struct state *)e->state)->in;
	const void *record;
	size_t len;
	int r;

	while ((r = ism_ring_peek(ring, &record, &len)) == -EAGAIN)
		peers_relax();
	if (r < 0 || len != bytes)
		return -1;
	memcpy(buf, record, 8);
	return ism_ring_release(ring);
}

/* ------------------------------------------------------------------ several at once */

struct batch {
	unsigned int nr_out, nr_in, next_in;
	uint64_t place;			/* descriptors: of the next message */
	size_t stride;
	struct ism_ring_buf out[BATCH], in[BATCH];
	char from[BATCH][BATCH_BYTES_MAX], to[BATCH][BATCH_BYTES_MAX];
};

static int many_open(struct end *e)
{
	struct state *s;
	int r = ring_open_with(e, 0);

	s = e->state;
	s->batch = calloc(1, sizeof *s->batch);
	return r == 0 && s->batch == NULL ? -ENOMEM : r;
}

/* What is gathered goes when it is enough, or must. */
static int gathered(struct state *s, bool last)
{
	struct batch *b = s->batch;
	unsigned int done = 0;

	while (b->nr_out > 0 && (last || b->nr_out == BATCH)) {
		int r = ism_ring_write_many(s->out, b->out + done, b->nr_out, deadline_ns);
		if (r < 0)
			return r;
		done += (unsigned int)r;
		b->nr_out -= (unsigned int)r;
	}
	return 0;
}

static int many_send(struct end *e, const void *buf, size_t bytes)
{
	struct state *s = e->state;
	struct batch *b = s->batch;

	memcpy(b->from[b->nr_out], buf, bytes);
	b->out[b->nr_out] = (struct ism_ring_buf){ b->from[b->nr_out], bytes };
	b->nr_out++;
	return gathered(s, *(const char *)buf == LAST);
}

/* The next record, of those that came together. */
static int next_in(struct state *s, size_t cap, const char **ret)
{
	struct batch *b = s->batch;

	if (b->next_in == b->nr_in) {
		for (int i = 0; i < BATCH; i++)
			b->in[i] = (struct ism_ring_buf){ b->to[i], cap };
		int r = ism_ring_read_many(s->in, b->in, BATCH, deadline_ns);
		if (r < 0)
			return r;
		b->nr_in = (unsigned int)r;
		b->next_in = 0;
	}
	*ret = b->to[b->next_in++];
	return 0;
}

static int many_recv(struct end *e, void *buf, size_t bytes)
{
	const char *record;
	int r = next_in(e->state, bytes, &record);

	if (r == 0)
		memcpy(buf, record, bytes);
	return r;
}

/* ------------------------------------------------------------------ descriptors */

/* Messages stay where they are, in a region; their places travel through a small ring. */
static int descriptors_open(struct end *e)
{
	struct ism_ring_opts o = { .size = sizeof o, .length = 256 + DESCRIPTORS * 16 };
	struct end places = *e;

	places.bytes = (e->bytes + 2 * LINE) * (PLACES / RING_MESSAGES) + HEADER;
	open_regions(&places, 0);
	e->state = places.state;
	struct state *s = e->state;
	struct ism_region *out = s->region[e->side], *in = s->region[!e->side];
	s->batch = calloc(1, sizeof *s->batch);
	/* An odd number of lines: places a power of two apart would share a few sets of each cache. */
	s->batch->stride = ((e->bytes + LINE - 1) / LINE | 1) * LINE;
	if (e->side == 0) {
		bench_ok(ism_ring_create(out, ISM_RING_WRITER, &o, &s->out));
		bench_ok(ism_ring_create(in, ISM_RING_READER, &o, &s->in));
	} else {
		bench_ok(ism_ring_attach(out, ISM_RING_WRITER, &o, &s->out));
		bench_ok(ism_ring_attach(in, ISM_RING_READER, &o, &s->in));
	}
	offer(e);
	return 0;
}

static char *place_of(const struct state *s, struct ism_region *region, uint64_t place)
{
	return (char *)ism_region_addr(region) + HEADER + place % PLACES * s->batch->stride;
}

static int descriptors_send(struct end *e, const void *buf, size_t bytes)
{
	struct state *s = e->state;
	struct batch *b = s->batch;

	(void)bytes;
	memcpy(place_of(s, s->region[e->side], b->place), buf, 8);
	memcpy(b->from[b->nr_out], &b->place, sizeof b->place);
	b->place++;
	b->out[b->nr_out] = (struct ism_ring_buf){ b->from[b->nr_out], sizeof b->place };
	b->nr_out++;
	return gathered(s, *(const char *)buf == LAST);
}

static int descriptors_recv(struct end *e, void *buf, size_t bytes)
{
	struct state *s = e->state;
	const char *record;
	uint64_t place;
	int r = next_in(s, sizeof place, &record);

	(void)bytes;
	if (r < 0)
		return r;
	memcpy(&place, record, sizeof place);
	memcpy(buf, place_of(s, s->region[!e->side], place), 8);
	return 0;
}

int main(int argc, char **argv)
{
	enum { WORD = 8, ROUND = TRIPS_ONLY };
	static const struct transport t[] = {
		{ "emu-words", WORD, ROUND, emu_create, words_open, words_send, words_recv, regions_close },
		{ "loop-words", WORD, ROUND | THREADS, loop_create, words_open, words_send, words_recv, regions_close },
		{ "emu-ring-spin", 0, 0, emu_create, ring_open, spin_send, spin_recv, regions_close },
		{ "emu-ring", 0, 0, emu_create, ring_open, ring_send, ring_recv, regions_close },
		{ "emu-ring-pieces", 0, 0, emu_create, pieces_open, pieces_send, pieces_recv, regions_close },
		{ "emu-ring-sleep", 0, SLEEPS, emu_create, ring_sleep_open, ring_send, ring_recv, regions_close },
		{ "emu-place", 0, 0, emu_create, ring_open, place_send, place_recv, regions_close },
		{ "emu-ring-many", BATCH_BYTES_MAX, STREAM_ONLY, emu_create, many_open, many_send, many_recv, regions_close },
		{ "emu-descriptors", 0, STREAM_ONLY, emu_create, descriptors_open, descriptors_send, descriptors_recv, regions_close },
		{ "emu-bell", WORD, ROUND, emu_create, bell_open, bell_send, bell_recv, regions_close },
		{ "emu-bell-sleep", WORD, ROUND | SLEEPS, emu_create, bell_sleep_open, bell_send, bell_recv, regions_close },
		{ "loop-ring-spin", 0, THREADS, loop_create, ring_open, spin_send, spin_recv, regions_close },
		{ "loop-ring", 0, THREADS, loop_create, ring_open, ring_send, ring_recv, regions_close },
		{ "loop-ring-sleep", 0, THREADS | SLEEPS, loop_create, ring_sleep_open, ring_send, ring_recv, regions_close },
	};

	bench_domain_open(&domain);
	int r = peers_main(argc, argv, t, sizeof t / sizeof t[0]);
	bench_domain_close(&domain);
	return r;
}

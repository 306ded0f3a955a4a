/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * peer_ring.c - the commands of the peer that are about rings.
 */
#include "peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RECORD_MAX = 1 << 20 };
static unsigned char record[RECORD_MAX];

int do_ring(char **w)
{
	struct ism_region *region = find(w[2])->region;
	uint32_t role = strcmp(w[4], "reader") == 0 ? ISM_RING_READER : ISM_RING_WRITER;
	struct named *n = name_new(w[1]);
	int r;

	if (n == NULL)
		return wrong(-EMFILE, "too many names");
	if (strcmp(w[3], "create") == 0)
		r = ism_ring_create(region, role, NULL, &n->ring);
	else
		r = ism_ring_attach(region, role, NULL, &n->ring);
	if (r < 0) {
		memset(n, 0, sizeof *n);
		return failed(r);
	}
	n->within = region;
	printf("ok %zu\n", ism_ring_max_record(n->ring));
	return 0;
}

int do_send(char **w)
{
	long n = from_hex(w[3], record, sizeof record);

	if (n < 0)
		return wrong(-EINVAL, "not hexadecimal");
	return answer(ism_ring_write(find(w[1])->ring, record, (size_t)n, ns(w[2])));
}

int do_recv(char **w)
{
	int64_t n = ism_ring_read(find(w[1])->ring, record, sizeof record, ns(w[2]));

	if (n < 0)
		return failed((int)n);
	put_hex(record, (size_t)n);
	return 0;
}

int do_pump(char **w)
{
	struct ism_ring *ring = find(w[1])->ring;
	uint64_t count = number(w[2]), size = number(w[3]), seed = number(w[4]);
	int r = size > sizeof record ? -EMSGSIZE : 0;

	for (uint64_t i = 0; i < count && r == 0; i++) {
		pattern(record, size, seed + i);
		r = ism_ring_write(ring, record, size, ns(w[5]));
	}
	return answer(r);
}

int do_drain(char **w)
{
	static unsigned char expected[RECORD_MAX];
	struct ism_ring *ring = find(w[1])->ring;
	uint64_t count = number(w[2]), size = number(w[3]), seed = number(w[4]);

	for (uint64_t i = 0; i < count; i++) {
		int64_t n = ism_ring_read(ring, record, sizeof record, ns(w[5]));
		if (n < 0)
			return failed((int)n);
		pattern(expected, size, seed + i);
		if ((uint64_t)n != size || memcmp(record, expected, size) != 0)
			return wrong(-EBADMSG, "a record differs");
	}
	return answer(0);
}

/* What ping and echo are told, and their buffers: as the other languages' programs have them. */
struct game {
	struct ism_ring *in, *out;
	uint64_t count, size, reply;
	int64_t ns;
	unsigned char *sent, *got;
	size_t room;
};

static int game_begin(struct game *g, char **w, const char *out, const char *in, const char *size)
{
	const struct named *writer = find(out), *reader = find(in);

	if (writer == NULL || writer->ring == NULL || reader == NULL || reader->ring == NULL)
		return -EBADF;
	*g = (struct game){ .in = reader->ring, .out = writer->ring, .count = number(w[3]), .size = number(size),
			    .ns = ns(w[6]), .room = ism_ring_max_record(reader->ring) };
	g->sent = calloc(1, g->size + 1);
	g->got = calloc(1, g->room);
	return g->sent == NULL || g->got == NULL ? -ENOMEM : 0;
}

static void game_end(struct game *g)
{
	free(g->sent);
	free(g->got);
}

static int64_t send_one(const struct game *g)
{
	return ism_ring_write(g->out, g->sent, g->size, g->ns);
}

static int64_t take_one(const struct game *g)
{
	return ism_ring_read(g->in, g->got, g->room, g->ns);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int by_time(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int do_ping(char **w)
{
	struct game g = { 0 };
	uint64_t *took = calloc(number(w[3]) + 1, sizeof *took);
	int64_t r = took == NULL ? -ENOMEM : game_begin(&g, w, w[1], w[2], w[4]);

	for (uint64_t i = 0; i < g.count && r >= 0; i++) {
		uint64_t began = now_ns();
		r = send_one(&g);
		if (r >= 0)
			r = take_one(&g);
		took[i] = now_ns() - began;
	}
	if (r >= 0) {
		qsort(took, g.count, sizeof *took, by_time);
		printf("ok %" PRIu64 "\n", took[g.count / 2]);
	}
	free(took);
	game_end(&g);
	return r < 0 ? failed((int)r) : 0;
}

int do_echo(char **w)
{
	struct game g = { 0 };
	int64_t r = game_begin(&g, w, w[2], w[1], w[5]);

	for (uint64_t i = 0; i < g.count && r >= 0; i++) {
		r = take_one(&g);
		if (r >= 0)
			r = send_one(&g);
	}
	game_end(&g);
	return answer(r < 0 ? (int)r : 0);
}

int do_unring(char **w)
{
	struct named *n = find(w[1]);

	ism_ring_close(n->ring);
	memset(n, 0, sizeof *n);
	return answer(0);
}

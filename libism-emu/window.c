/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * window.c - which parts of a device's window are taken.
 */
#include "window.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 64 };

void window_init(struct window *w, uint32_t nr_chunks)
{
	*w = (struct window){ .nr_chunks = nr_chunks, .nr_free = nr_chunks };
}

void window_fini(struct window *w)
{
	free(w->map);
	*w = (struct window){ 0 };
}

static bool is_taken(const struct window *w, uint32_t chunk)
{
	return chunk / BITS < w->nr_words && (w->map[chunk / BITS] >> chunk % BITS & 1);
}

/* The first free chunk at or after @chunk (nr_chunks: none). */
static uint32_t next_free(const struct window *w, uint32_t chunk)
{
	while (chunk < w->nr_chunks && chunk / BITS < w->nr_words) {
		uint64_t open = ~w->map[chunk / BITS] >> chunk % BITS;
		if (open != 0)
			return chunk + (uint32_t)__builtin_ctzll(open);
		chunk = (chunk / BITS + 1) * BITS;
	}
	return chunk < w->nr_chunks ? chunk : w->nr_chunks;
}

/* The first taken chunk at or after @chunk, but no further than @end. */
static uint32_t next_taken(const struct window *w, uint32_t chunk, uint32_t end)
{
	while (chunk < end && chunk / BITS < w->nr_words) {
		uint64_t taken = w->map[chunk / BITS] >> chunk % BITS;
		if (taken != 0) {
			chunk += (uint32_t)__builtin_ctzll(taken);
			return chunk < end ? chunk : end;
		}
		chunk = (chunk / BITS + 1) * BITS;
	}
	return end;
}

static int grow(struct window *w, uint32_t last_chunk)
{
	uint32_t need = last_chunk / BITS + 1, words = w->nr_words ? w->nr_words : 4;

	if (need <= w->nr_words)
		return 0;
	while (words < need)
		words *= 2;
	uint64_t *map = realloc(w->map, words * sizeof *map);
	if (map == NULL)
		return -ENOMEM;
	memset(map + w->nr_words, 0, (words - w->nr_words) * sizeof *map);
	w->map = map;
	w->nr_words = words;
	return 0;
}

/* Set or clear the bits of a run. */
static void mark(struct window *w, uint32_t chunk, uint32_t n, bool taken)
{
	while (n > 0) {
		uint32_t bit = chunk % BITS, part = BITS - bit < n ? BITS - bit : n;
		uint64_t mask = (part == BITS ? UINT64_MAX : (UINT64_C(1) << part) - 1) << bit;
		uint64_t *word = &w->map[chunk / BITS];

		assert((*word & mask) == (taken ? 0 : mask));
		*word ^= mask;
		chunk += part;
		n -= part;
	}
}

/* The first free chunk at or after @chunk that is a multiple of @align (nr_chunks: none). */
static uint32_t next_start(const struct window *w, uint32_t chunk, uint32_t align)
{
	for (;;) {
		chunk = next_free(w, chunk);
		uint32_t rest = chunk % align;
		if (rest == 0)
			return chunk;
		if (w->nr_chunks - chunk <= align - rest)
			return w->nr_chunks;
		chunk += align - rest;
		if (!is_taken(w, chunk))
			return chunk;
	}
}

int window_take(struct window *w, uint32_t n, uint32_t align, uint32_t *ret_chunk)
{
	uint32_t from = next_free(w, w->first_free * BITS);

	assert(n > 0 && align > 0);
	if (n > w->nr_free)
		return -ENOSPC;
	w->first_free = from / BITS;
	from = next_start(w, from, align);
	while (n <= w->nr_chunks - from) {
		uint32_t taken = next_taken(w, from, from + n);
		if (taken == from + n) {
			int r = grow(w, from + n - 1);
			if (r < 0)
				return r;
			mark(w, from, n, true);
			w->nr_free -= n;
			*ret_chunk = from;
			return 0;
		}
		from = next_start(w, taken, align);
	}
	return -ENOSPC;
}

int window_take_at(struct window *w, uint32_t chunk, uint32_t n)
{
	if (n == 0 || chunk >= w->nr_chunks || n > w->nr_chunks - chunk || next_taken(w, chunk, chunk + n) != chunk + n)
		return -ENOSPC;
	int r = grow(w, chunk + n - 1);
	if (r < 0)
		return r;
	mark(w, chunk, n, true);
	w->nr_free -= n;
	return 0;
}

void window_give(struct window *w, uint32_t chunk, uint32_t n)
{
	assert(chunk < w->nr_chunks && n <= w->nr_chunks - chunk && is_taken(w, chunk));
	mark(w, chunk, n, false);
	w->nr_free += n;
	if (chunk / BITS < w->first_free)
		w->first_free = chunk / BITS;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * window.h - which parts of a device's window are taken.
 *
 * A bitmap with one bit per chunk, searched first fit from the bottom: freeing
 * merges by itself, and needs no memory.  Words above the highest chunk ever
 * used do not exist yet and count as free, so a large empty window costs nothing.
 * The model also hands out slot numbers with it, one chunk each.
 */
#ifndef WINDOW_H
#define WINDOW_H

#include <stdint.h>

struct window {
	uint64_t *map;		/* a set bit is a taken chunk */
	uint32_t nr_words;	/* allocated */
	uint32_t nr_chunks;	/* in all */
	uint32_t nr_free;
	uint32_t first_free;	/* no free chunk in the words below this one */
};

void window_init(struct window *w, uint32_t nr_chunks);
void window_fini(struct window *w);

/*
 * Take @n consecutive chunks that start at a multiple of @align: 0, -ENOSPC (no
 * such run is free) or -ENOMEM.
 */
int window_take(struct window *w, uint32_t n, uint32_t align, uint32_t *ret_chunk);

/* Take these chunks and no others: 0, -ENOSPC (not all of them are free, or there) or -ENOMEM. */
int window_take_at(struct window *w, uint32_t chunk, uint32_t n);

/* Give back what was taken. */
void window_give(struct window *w, uint32_t chunk, uint32_t n);

#endif /* WINDOW_H */

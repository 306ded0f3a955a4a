/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * map.h - the window: reserved addresses in which a device's regions appear.
 */
#ifndef ISMI_MAP_H
#define ISMI_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ismi_window {
	uint8_t *base;		/* aligned to huge pages */
	uint64_t size;
	void *reserved;		/* what munmap() gets back */
	size_t reserved_size;
};

/*
 * Reserve @size bytes (a power of two), or halve that until it succeeds.
 * 0, or -ENOMEM if not even one chunk could be had.
 */
int ismi_window_reserve(struct ismi_window *w, uint64_t size);
void ismi_window_release(struct ismi_window *w);

/* Map a region's memory, which begins at @from in its descriptor, at its offset; -ENOMEM, ... */
int ismi_window_map(struct ismi_window *w, uint64_t offset, uint64_t size, int fd, uint64_t from, bool writable,
		    void **ret);
/* Put the reservation back: whoever still touches it faults, and nobody else gets the addresses. */
void ismi_window_unmap(struct ismi_window *w, uint64_t offset, uint64_t size);

#endif /* ISMI_MAP_H */

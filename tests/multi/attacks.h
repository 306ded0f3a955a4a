/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * attacks.h - what a hostile peer writes into the memory that it shares with
 * another device and with the host.
 */
#ifndef ATTACKS_H
#define ATTACKS_H

#include "backends/emu/emu.h"

#include <stddef.h>
#include <stdint.h>

enum attack {
	RANDOM,		/* any word of the link, any value */
	ALL_BITS,	/* every slot there could be */
	SUMMARY,	/* "look here", and nothing there */
	FLAGS,		/* armed and ready, on and off */
	LINE,		/* what it shares with the host */
	NR_ATTACKS,
	RING_WORDS = NR_ATTACKS,	/* any word of a ring, any value */
	RING_EDGES,	/* heads, positions and sizes that are nearly right */
	NR_ALL_ATTACKS
};

/* What there is to write to; a ring's memory may be missing. */
struct target {
	struct emu *emu;
	struct emu_link *link;
	void *ring;
	size_t ring_size;
};

uint64_t random64(uint64_t *seed);
/* A direct link of @dev, or NULL. */
struct emu_link *any_link(struct ism_device *dev);
/* A few stores. */
void attack_once(enum attack attack, const struct target *t, uint64_t *seed);

#endif /* ATTACKS_H */

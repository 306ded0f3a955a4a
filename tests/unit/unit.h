/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * unit.h - what the unit tests share: numbers that look random and can be had
 * again, and a model whose words are written down.
 */
#ifndef UNIT_H
#define UNIT_H

#include "harness.h"
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ random numbers */

/* $ISM_TEST_SEED, or the time; printed, so that a failure can be had again. */
uint64_t unit_seed(void);
/* The next number of a sequence (splitmix64). */
uint64_t unit_random(uint64_t *state);
/* The next, below @n. */
static inline uint32_t unit_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)(unit_random(state) % n);
}

/* ------------------------------------------------------------------ a model to talk to */

/* One call of model_ops.event, in numbers that stay. */
struct said {
	uint64_t to;			/* devid */
	uint64_t token;
	enum model_event event;
	uint64_t devid;
	uint32_t peers;
};

enum { SAID_MAX = 4096, SCRIPT_MAX = 16 };

struct fake {
	struct model model;
	struct said said[SAID_MAX];
	unsigned int nr_said;
	unsigned int begun, ended;	/* references */
	unsigned int freed;		/* regions */
	void *last_memory;		/* of the region freed last */
	void (*memory_free)(void *memory);
	uint64_t script[SCRIPT_MAX];	/* tokens to draw first */
	unsigned int nr_script, at_script;
	uint64_t random;		/* then these */
	uint64_t random_mask;		/* to have collisions: bits of a token; 0: all */
	unsigned int drawn;
};

enum { CHUNK = ISMI_CHUNK };

void fake_init(struct fake *f);
/* All devices go; nothing of them may remain in the accounts. */
void fake_fini(struct fake *f);

/* Compare every account of the model with what can be counted. */
void fake_check(const struct fake *f);

/* A device of user @uid with a window of so many chunks. */
struct model_device *fake_device(struct fake *f, uint32_t uid, uint32_t chunks);

/* A region of so many chunks; an attach with READ | WRITE.  They must succeed. */
struct model_ref *fake_alloc(struct model_device *dev, uint32_t chunks, uint32_t flags);
struct model_ref *fake_attach(struct model_device *dev, uint64_t token);
/* The status of an attach; it stays attached. */
enum ismi_status fake_try(struct model_device *dev, uint64_t token, uint32_t want);
/* The status of an attach; it is let go of if this made it. */
enum ismi_status fake_probe(struct model_device *dev, uint64_t token, uint32_t want);

/* How often @to was told this since fake_forget(). */
unsigned int fake_count(const struct fake *f, const struct model_device *to, enum model_event event, uint64_t devid);
void fake_forget(struct fake *f);

/* Short names. */
enum {
	R = MODEL_READ,
	W = MODEL_WRITE,
	A = MODEL_ATTACH,
	M = MODEL_MANAGE,
	RW = R | W,
};

#endif /* UNIT_H */

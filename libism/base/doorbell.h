/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * doorbell.h - the doorbells that one end rings for another in shared memory.
 *
 * A bell is one direction between two ends: a bitmap with a bit for each of the
 * receiver's regions (its slots), a summary with a bit for each word of that
 * bitmap, and a word that says whether the receiver has to be woken.
 *
 *   ringer                                  receiver, about to sleep
 *     1. set the region's bit                 1. armed = 1
 *     2. set its summary bit                  2. look at the summary
 *     3. if armed: armed = 0, wake            3. nothing set: sleep
 *
 * All six are seq_cst, because of the one interleaving that would lose a
 * wake-up: the ringer reads armed as 0 (its stores still in its store buffer)
 * while the receiver reads an empty summary (its own store of armed still in
 * the buffer).  With a single total order one of the two sees the other.
 *
 * The memory is written by both ends, and neither trusts the other: the
 * receiver takes at most one pass over the bitmap, drops bits that its mask
 * does not have, and nothing that a ringer writes can reach beyond that.
 */
#ifndef ISMI_DOORBELL_H
#define ISMI_DOORBELL_H

#include "base/atomics.h"
#include "base/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ISMI_BELL_WORDS = ISMI_SLOTS / 64,
	ISMI_BELL_SUMMARY = ISMI_BELL_WORDS / 64,
};

struct ismi_bell {
	_Atomic uint32_t armed;		/* the receiver sleeps, or is about to */
	_Atomic uint32_t ready;		/* the receiver takes this bell at all */
	uint8_t pad[56];
	_Atomic uint64_t summary[ISMI_BELL_SUMMARY];
	_Atomic uint64_t bits[ISMI_BELL_WORDS];
};

_Static_assert(sizeof(struct ismi_bell) == 64 + 64 + 4096, "layout is shared between processes");
_Static_assert(offsetof(struct ismi_bell, summary) == 64, "armed and summary on lines of their own");

enum ismi_rung { ISMI_RUNG_PENDING, ISMI_RUNG_SET, ISMI_RUNG_WAKE };

/*
 * Ring for @slot.  PENDING: it was already; SET: the receiver is awake; WAKE:
 * the caller has to wake it.
 */
static inline enum ismi_rung ismi_bell_ring(struct ismi_bell *bell, uint32_t slot)
{
	uint32_t word = slot / 64;
	uint64_t bit = UINT64_C(1) << slot % 64, sum_bit = UINT64_C(1) << word % 64;
	_Atomic uint64_t *sum = &bell->summary[word / 64];

	/*
	 * A set bit means pending only with its summary bit: another thread
	 * may be between the two, and this ring must not depend on it.
	 */
	if ((ismi_or_seq(&bell->bits[word], bit) & bit) && (ismi_load_seq(sum) & sum_bit))
		return ISMI_RUNG_PENDING;
	ismi_or_seq(sum, sum_bit);
	if (ismi_load_seq(&bell->armed) && ismi_xchg_seq(&bell->armed, 0))
		return ISMI_RUNG_WAKE;
	return ISMI_RUNG_SET;
}

/* Ring for all slots, each of which the receiver's mask may refuse; whether the caller has to wake it. */
bool ismi_bell_ring_all(struct ismi_bell *bell);

/* Receiver: is anything rung? */
static inline bool ismi_bell_pending(struct ismi_bell *bell)
{
	uint64_t any = 0;

	for (int i = 0; i < ISMI_BELL_SUMMARY; i++)
		any |= ismi_load_seq(&bell->summary[i]);
	return any != 0;
}

/*
 * The slots that may be rung through a bell: bits of @words, which somebody else
 * clears, and gives to another bell.  *@owner is @id for as long as they are
 * this one's: it changes before they have a bit for the next.
 */
struct ismi_bell_mask {
	const _Atomic uint64_t *words;
	const _Atomic uint64_t *owner;
	uint64_t id;
};

/*
 * Receiver: take everything that is rung and that @mask has (NULL: all), one
 * call of @fn per slot.  Returns the number of calls.  One pass: what is rung
 * meanwhile may be left for the next.
 */
unsigned int ismi_bell_take(struct ismi_bell *bell, const struct ismi_bell_mask *mask,
			    void (*fn)(void *arg, uint32_t slot), void *arg);

/* Is a slot rung, and not taken yet?  For who looks on. */
static inline bool ismi_bell_holds(struct ismi_bell *bell, uint32_t slot)
{
	return ismi_load_seq(&bell->bits[slot / 64]) >> slot % 64 & 1;
}

/* Receiver: forget a slot, before it gets another meaning. */
static inline void ismi_bell_forget(struct ismi_bell *bell, uint32_t slot)
{
	ismi_and_seq(&bell->bits[slot / 64], ~(UINT64_C(1) << slot % 64));
}

/* Receiver: ask to be woken.  The caller then looks once more before it sleeps. */
static inline void ismi_bell_arm(struct ismi_bell *bell)
{
	ismi_xchg_seq(&bell->armed, 1);
}

/* Receiver: awake, no wake-ups needed. */
static inline void ismi_bell_disarm(struct ismi_bell *bell)
{
	if (ismi_load_relaxed(&bell->armed))
		ismi_xchg_seq(&bell->armed, 0);
}

#endif /* ISMI_DOORBELL_H */

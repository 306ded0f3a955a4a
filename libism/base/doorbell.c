/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * doorbell.c - the receiver's side of a bell, and what a ringer seldom does.
 */
#include "base/doorbell.h"

bool ismi_bell_ring_all(struct ismi_bell *bell)
{
	for (uint32_t i = 0; i < ISMI_BELL_WORDS; i++)
		ismi_or_seq(&bell->bits[i], UINT64_MAX);
	for (uint32_t i = 0; i < ISMI_BELL_SUMMARY; i++)
		ismi_or_seq(&bell->summary[i], UINT64_MAX);
	return ismi_load_seq(&bell->armed) && ismi_xchg_seq(&bell->armed, 0);
}

/*
 * The slots of one word that may be rung.  The owner is read behind the word: if
 * that still is this bell, the word was this bell's.
 */
static uint64_t allowed(const struct ismi_bell_mask *mask, uint32_t word)
{
	uint64_t bits = ismi_load_acquire(&mask->words[word]);

	return ismi_load_acquire(mask->owner) == mask->id ? bits : 0;
}

/*
 * The mask before the exchange, not behind it: who clears a mask looks first
 * whether its bits are rung.  If it finds them taken, then by an exchange that
 * came before the clearing, and so did our look at the mask: the ring counts.
 */
static unsigned int take_word(struct ismi_bell *bell, uint32_t word, const struct ismi_bell_mask *mask,
			      void (*fn)(void *arg, uint32_t slot), void *arg)
{
	uint64_t may = mask == NULL ? UINT64_MAX : allowed(mask, word);
	/* Pairs with the ringer's seq_cst or: what it stored before ringing is visible from here on. */
	uint64_t bits = ismi_xchg_seq(&bell->bits[word], 0) & may;
	unsigned int n = 0;

	for (; bits != 0; bits &= bits - 1, n++)
		fn(arg, word * 64 + (uint32_t)__builtin_ctzll(bits));
	return n;
}

unsigned int ismi_bell_take(struct ismi_bell *bell, const struct ismi_bell_mask *mask,
			    void (*fn)(void *arg, uint32_t slot), void *arg)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < ISMI_BELL_SUMMARY; i++) {
		if (ismi_load_relaxed(&bell->summary[i]) == 0)
			continue;
		/* The summary first: a bit set after this sets it again. */
		uint64_t sum = ismi_xchg_seq(&bell->summary[i], 0);
		for (; sum != 0; sum &= sum - 1)
			n += take_word(bell, i * 64 + (uint32_t)__builtin_ctzll(sum), mask, fn, arg);
	}
	return n;
}

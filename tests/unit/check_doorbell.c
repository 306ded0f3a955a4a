/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_doorbell.c - the doorbells in shared memory: what ringing and taking
 * does, and that a receiver who sleeps when it may never sleeps through a ring.
 */
#include "base/doorbell.h"
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What a take has called. */
struct heard {
	unsigned int nr;
	uint32_t last;
	bool wrong;			/* out of bounds, out of order, or twice */
	uint64_t slots[ISMI_BELL_WORDS];
};

static void hear(void *arg, uint32_t slot)
{
	struct heard *h = arg;

	if (slot >= ISMI_SLOTS || (h->nr > 0 && slot <= h->last))
		h->wrong = true;
	else
		h->slots[slot / 64] |= UINT64_C(1) << slot % 64;
	h->last = slot;
	h->nr++;
}

static struct heard take(struct ismi_bell *bell, const _Atomic uint64_t *mask)
{
	static const _Atomic uint64_t owner = 1;
	const struct ismi_bell_mask m = { mask, &owner, 1 };
	struct heard h = { 0 };
	unsigned int n = ismi_bell_take(bell, mask == NULL ? NULL : &m, hear, &h);

	if (n != h.nr || h.wrong)
		ck_abort_msg("take: %u of %u calls, the last for slot %u", n, h.nr, h.last);
	return h;
}

static bool heard(const struct heard *h, uint32_t slot)
{
	return h->slots[slot / 64] >> slot % 64 & 1;
}

/* ------------------------------------------------------------------ one thread */

START_TEST(a_ring_is_set_once_and_then_pending)
{
	static struct ismi_bell bell;

	ck_assert(!ismi_bell_pending(&bell));
	ck_assert_int_eq(ismi_bell_ring(&bell, 7), ISMI_RUNG_SET);
	ck_assert_int_eq(ismi_bell_ring(&bell, 7), ISMI_RUNG_PENDING);
	ck_assert_int_eq(ismi_bell_ring(&bell, 8), ISMI_RUNG_SET);
	ck_assert(ismi_bell_pending(&bell));
	struct heard h = take(&bell, NULL);
	ck_assert_uint_eq(h.nr, 2);
	ck_assert(heard(&h, 7) && heard(&h, 8));
	ck_assert(!ismi_bell_pending(&bell));
	ck_assert_uint_eq(take(&bell, NULL).nr, 0);
	ck_assert_int_eq(ismi_bell_ring(&bell, 7), ISMI_RUNG_SET);
}
END_TEST

START_TEST(an_armed_receiver_is_woken_once)
{
	static struct ismi_bell bell;

	ismi_bell_arm(&bell);
	ck_assert_int_eq(ismi_bell_ring(&bell, 1), ISMI_RUNG_WAKE);
	ck_assert_int_eq(ismi_bell_ring(&bell, 2), ISMI_RUNG_SET);
	ismi_bell_arm(&bell);
	ck_assert_int_eq(ismi_bell_ring(&bell, 2), ISMI_RUNG_PENDING);	/* whoever armed saw it pending */
	ck_assert_int_eq(ismi_bell_ring(&bell, 3), ISMI_RUNG_WAKE);
	take(&bell, NULL);
	ismi_bell_arm(&bell);
	ismi_bell_arm(&bell);
	ismi_bell_disarm(&bell);
	ismi_bell_disarm(&bell);
	ck_assert_int_eq(ismi_bell_ring(&bell, 1), ISMI_RUNG_SET);
}
END_TEST

START_TEST(every_slot_can_be_rung)
{
	static struct ismi_bell bell;

	for (uint32_t slot = 0; slot < ISMI_SLOTS; slot++) {
		if (ismi_bell_ring(&bell, slot) != ISMI_RUNG_SET)
			ck_abort_msg("slot %u", slot);
		struct heard h = { 0 };
		if (ismi_bell_take(&bell, NULL, hear, &h) != 1 || h.last != slot)
			ck_abort_msg("slot %u comes as %u", slot, h.last);
	}
	for (uint32_t slot = ISMI_SLOTS; slot-- > 0;)
		ismi_bell_ring(&bell, slot);
	ck_assert_uint_eq(take(&bell, NULL).nr, ISMI_SLOTS);
	ck_assert_uint_eq(take(&bell, NULL).nr, 0);
}
END_TEST

START_TEST(what_the_mask_lacks_is_dropped)
{
	static _Atomic uint64_t mask[ISMI_BELL_WORDS];
	static struct ismi_bell bell;

	mask[1] = 1 << 3;
	mask[ISMI_BELL_WORDS - 1] = UINT64_C(1) << 63;
	ismi_bell_ring(&bell, 3);
	ismi_bell_ring(&bell, 64 + 3);
	ismi_bell_ring(&bell, 64 + 4);
	ismi_bell_ring(&bell, ISMI_SLOTS - 1);
	struct heard h = take(&bell, mask);
	ck_assert_uint_eq(h.nr, 2);
	ck_assert(heard(&h, 67) && heard(&h, ISMI_SLOTS - 1));
	/* Dropped, not kept for a mask that has them. */
	ck_assert_uint_eq(take(&bell, NULL).nr, 0);
	ck_assert(!ismi_bell_pending(&bell));
}
END_TEST

START_TEST(a_slot_that_is_forgotten_is_not_heard)
{
	static struct ismi_bell bell;

	ismi_bell_ring(&bell, 100);
	ismi_bell_ring(&bell, 101);
	ismi_bell_forget(&bell, 100);
	ismi_bell_forget(&bell, 5000);
	struct heard h = take(&bell, NULL);
	ck_assert_uint_eq(h.nr, 1);
	ck_assert(heard(&h, 101));
	/* Forgotten, and rung anew in its next life. */
	ismi_bell_ring(&bell, 100);
	ismi_bell_forget(&bell, 100);
	ck_assert_int_ne(ismi_bell_ring(&bell, 100), ISMI_RUNG_PENDING);
	ck_assert_uint_eq(take(&bell, NULL).nr, 1);
}
END_TEST

START_TEST(a_bit_without_its_summary_is_no_excuse_for_not_ringing)
{
	static struct ismi_bell bell;

	/* Another thread has set the bit and is not yet at the summary. */
	bell.bits[2] = 1 << 5;
	ismi_bell_arm(&bell);
	ck_assert_int_eq(ismi_bell_ring(&bell, 2 * 64 + 5), ISMI_RUNG_WAKE);
	ck_assert(ismi_bell_pending(&bell));
	ck_assert_uint_eq(take(&bell, NULL).nr, 1);
}
END_TEST

/* ------------------------------------------------------------------ a hostile ringer */

static void fill(void *p, size_t len, uint64_t *random)
{
	uint64_t *word = p;

	for (size_t i = 0; i < len / sizeof *word; i++) {
		uint32_t how = unit_below(random, 4);
		word[i] = how == 0 ? 0 : how == 1 ? UINT64_MAX : unit_random(random);
	}
}

START_TEST(a_mask_that_is_anothers_lets_nothing_through)
{
	static _Atomic uint64_t mask[ISMI_BELL_WORDS];
	static _Atomic uint64_t owner = 5;
	static struct ismi_bell bell;
	const struct ismi_bell_mask m = { mask, &owner, 5 };
	struct heard h = { 0 };

	mask[0] = UINT64_MAX;
	ismi_bell_ring(&bell, 3);
	ck_assert(ismi_bell_holds(&bell, 3));
	ck_assert_uint_eq(ismi_bell_take(&bell, &m, hear, &h), 1);
	ck_assert(!ismi_bell_holds(&bell, 3));
	owner = 6;
	ismi_bell_ring(&bell, 4);
	ck_assert_uint_eq(ismi_bell_take(&bell, &m, hear, &h), 0);
	ck_assert(!ismi_bell_holds(&bell, 4));
}
END_TEST

START_TEST(garbage_is_heard_only_within_bounds_and_mask)
{
	static _Atomic uint64_t mask[ISMI_BELL_WORDS];
	static struct ismi_bell bell;
	uint64_t random = unit_seed();

	memset(&bell, 0xff, sizeof bell);
	ck_assert_uint_eq(take(&bell, NULL).nr, ISMI_SLOTS);
	for (int i = 0; i < 2000; i++) {
		fill(&bell, sizeof bell, &random);
		for (size_t w = 0; w < ISMI_BELL_WORDS; w++)
			mask[w] = unit_below(&random, 2) ? unit_random(&random) & unit_random(&random) : 0;
		struct heard h = take(&bell, i % 2 ? mask : NULL);
		for (size_t w = 0; w < ISMI_BELL_WORDS && i % 2; w++) {
			if ((h.slots[w] & ~mask[w]) != 0)
				ck_abort_msg("a slot of word %zu that the mask lacks", w);
		}
		if (ismi_bell_pending(&bell))
			ck_abort_msg("the summary is not taken");
		ismi_bell_forget(&bell, unit_below(&random, ISMI_SLOTS));
	}
}
END_TEST

static struct {
	struct ismi_bell bell;
	_Atomic uint64_t mask[ISMI_BELL_WORDS];
	_Atomic bool stop;
} attacked;

static void *scribble(void *arg)
{
	uint64_t random = *(uint64_t *)arg;

	while (!atomic_load(&attacked.stop)) {
		for (int i = 0; i < ISMI_BELL_SUMMARY; i++)
			atomic_store(&attacked.bell.summary[i], UINT64_MAX);
		atomic_store(&attacked.bell.bits[unit_below(&random, ISMI_BELL_WORDS)], unit_random(&random));
		atomic_store(&attacked.bell.armed, unit_below(&random, 3));
	}
	return NULL;
}

START_TEST(a_ringer_that_never_stops_does_not_hold_the_receiver)
{
	uint64_t random = unit_seed();
	pthread_t thread;

	for (size_t w = 0; w < ISMI_BELL_WORDS; w++)
		attacked.mask[w] = w % 2 ? UINT64_C(0x00ff00ff00ff00ff) : 0;
	ck_assert_int_eq(pthread_create(&thread, NULL, scribble, &random), 0);
	for (int i = 0; i < 5000; i++) {
		struct heard h = take(&attacked.bell, attacked.mask);
		for (size_t w = 0; w < ISMI_BELL_WORDS; w++) {
			if ((h.slots[w] & ~attacked.mask[w]) != 0)
				ck_abort_msg("a slot of word %zu that the mask lacks", w);
		}
	}
	atomic_store(&attacked.stop, true);
	pthread_join(thread, NULL);
}
END_TEST

/* ------------------------------------------------------------------ who sleeps is woken */

enum { RINGERS_MAX = 3, BURST = 40 };

struct race {
	struct ismi_bell bell;
	int wake;			/* eventfd */
	unsigned int nr_slots, rings;	/* per ringer */
	_Atomic uint64_t sent[ISMI_SLOTS], seen[ISMI_SLOTS];
	_Atomic bool done;
	_Atomic bool lost;
	_Atomic uint64_t heard, wakes;
};

static struct race race;

static void see(void *arg, uint32_t slot)
{
	struct race *r = arg;

	/* What was stored before the ring is visible now: relaxed is enough. */
	ismi_store_relaxed(&r->seen[slot], ismi_load_relaxed(&r->sent[slot]));
	ismi_add_relaxed(&r->heard, 1);
}

/* Take; with nothing to take arm, look once more, and sleep. */
static void *receive(void *arg)
{
	struct race *r = arg;
	uint64_t count;

	while (!atomic_load(&r->done)) {
		if (ismi_bell_take(&r->bell, NULL, see, r) > 0)
			continue;
		ismi_bell_arm(&r->bell);
		if (ismi_bell_pending(&r->bell))
			continue;
		struct pollfd p = { .fd = r->wake, .events = POLLIN };
		if (poll(&p, 1, 30000) == 0 && ismi_bell_pending(&r->bell)) {
			atomic_store(&r->lost, true);
			return NULL;
		}
		if (p.revents && read(r->wake, &count, sizeof count) < 0)
			atomic_store(&r->lost, true);
	}
	return NULL;
}

struct ringer {
	struct race *race;
	uint64_t random;
};

/* Wait until the receiver has seen a burst: by then it is asleep, or on its way there. */
static bool wait_seen(struct race *r, const uint32_t *slot, const uint64_t *sent, unsigned int nr)
{
	double end = harness_now() + 60;

	for (unsigned int i = 0; i < nr; i++) {
		while (ismi_load_relaxed(&r->seen[slot[i]]) < sent[i]) {
			if (atomic_load(&r->lost) || harness_now() > end) {
				atomic_store(&r->lost, true);
				return false;
			}
			sched_yield();
		}
	}
	return true;
}

static void *ring(void *arg)
{
	const struct ringer *me = arg;
	struct race *r = me->race;
	uint64_t random = me->random, sent[BURST];
	const uint64_t one = 1;
	uint32_t slot[BURST];

	for (unsigned int done = 0; done < r->rings;) {
		unsigned int nr = 1 + unit_below(&random, BURST);
		for (unsigned int i = 0; i < nr; i++, done++) {
			slot[i] = unit_below(&random, r->nr_slots) * (ISMI_SLOTS / r->nr_slots);
			sent[i] = ismi_add_relaxed(&r->sent[slot[i]], 1) + 1;
			if (ismi_bell_ring(&r->bell, slot[i]) != ISMI_RUNG_WAKE)
				continue;
			ismi_add_relaxed(&r->wakes, 1);
			if (write(r->wake, &one, sizeof one) < 0)
				atomic_store(&r->lost, true);
		}
		if (!wait_seen(r, slot, sent, nr))
			break;
	}
	return NULL;
}

static void run_race(unsigned int ringers, unsigned int nr_slots, unsigned int rings)
{
	struct ringer ringer[RINGERS_MAX];
	pthread_t thread[RINGERS_MAX], receiver;
	uint64_t seed = unit_seed(), one = 1;

	memset(&race, 0, sizeof race);
	race.nr_slots = nr_slots;
	race.rings = rings / ringers;
	race.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_int_eq(pthread_create(&receiver, NULL, receive, &race), 0);
	for (unsigned int i = 0; i < ringers; i++) {
		ringer[i] = (struct ringer){ &race, seed + i };
		ck_assert_int_eq(pthread_create(&thread[i], NULL, ring, &ringer[i]), 0);
	}
	for (unsigned int i = 0; i < ringers; i++)
		pthread_join(thread[i], NULL);
	atomic_store(&race.done, true);
	ck_assert_int_eq(write(race.wake, &one, sizeof one), sizeof one);
	pthread_join(receiver, NULL);
	close(race.wake);
	printf("%u rings, %u slots: %llu heard, %llu wake-ups\n", rings, nr_slots, (unsigned long long)race.heard,
	       (unsigned long long)race.wakes);
	ck_assert_msg(!race.lost, "a wake-up was lost");
	ck_assert_uint_gt(race.wakes, 0);
}

START_TEST(a_sleeper_never_misses_one_of_a_million_rings)
{
	run_race(1, 1, 200000);
	run_race(1, 64, 400000);
	run_race(1, ISMI_SLOTS, 400000);
}
END_TEST

START_TEST(several_ringers_do_not_take_each_others_wake_ups)
{
	run_race(RINGERS_MAX, 1, 100000);
	run_race(RINGERS_MAX, 16, 200000);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("doorbell");
	TCase *tc = harness_tcase(s, "doorbell", 600);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, a_ring_is_set_once_and_then_pending);
	tcase_add_test(tc, an_armed_receiver_is_woken_once);
	tcase_add_test(tc, every_slot_can_be_rung);
	tcase_add_test(tc, what_the_mask_lacks_is_dropped);
	tcase_add_test(tc, a_slot_that_is_forgotten_is_not_heard);
	tcase_add_test(tc, a_bit_without_its_summary_is_no_excuse_for_not_ringing);
	tcase_add_test(tc, a_mask_that_is_anothers_lets_nothing_through);
	tcase_add_test(tc, garbage_is_heard_only_within_bounds_and_mask);
	tcase_add_test(tc, a_ringer_that_never_stops_does_not_hold_the_receiver);
	tcase_add_test(tc, a_sleeper_never_misses_one_of_a_million_rings);
	tcase_add_test(tc, several_ringers_do_not_take_each_others_wake_ups);
	return harness_main(argc, argv, suites);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_window.c - the map of what is taken in a device's window.
 */
#include "unit.h"
#include "window.h"

static uint32_t take(struct window *w, uint32_t n, uint32_t align)
{
	uint32_t chunk = UINT32_MAX;

	ck_assert_int_eq(window_take(w, n, align, &chunk), 0);
	return chunk;
}

static void is_full_for(struct window *w, uint32_t n, uint32_t align)
{
	uint32_t chunk = 4711, nr_free = w->nr_free;

	ck_assert_int_eq(window_take(w, n, align, &chunk), -ENOSPC);
	ck_assert_uint_eq(chunk, 4711);
	ck_assert_uint_eq(w->nr_free, nr_free);
}

START_TEST(a_new_window_is_free_and_costs_nothing)
{
	struct window w;

	window_init(&w, 1u << 24);
	ck_assert_uint_eq(w.nr_free, 1u << 24);
	ck_assert_ptr_null(w.map);
	window_fini(&w);
	ck_assert_uint_eq(w.nr_chunks, 0);
}
END_TEST

START_TEST(the_lowest_run_that_fits_is_taken)
{
	struct window w;

	window_init(&w, 100);
	ck_assert_uint_eq(take(&w, 10, 1), 0);
	ck_assert_uint_eq(take(&w, 4, 1), 10);
	ck_assert_uint_eq(take(&w, 10, 1), 14);
	ck_assert_uint_eq(take(&w, 7, 1), 24);
	ck_assert_uint_eq(take(&w, 1, 1), 31);
	window_give(&w, 10, 4);
	window_give(&w, 24, 7);
	ck_assert_uint_eq(take(&w, 5, 1), 24);	/* the hole of 4 is too small */
	ck_assert_uint_eq(take(&w, 3, 1), 10);
	ck_assert_uint_eq(take(&w, 1, 1), 13);
	ck_assert_uint_eq(take(&w, 2, 1), 29);
	ck_assert_uint_eq(take(&w, 1, 1), 32);
	window_fini(&w);
}
END_TEST

START_TEST(a_run_starts_at_a_multiple_of_its_alignment)
{
	struct window w;

	window_init(&w, 200);
	ck_assert_uint_eq(take(&w, 1, 32), 0);
	ck_assert_uint_eq(take(&w, 40, 32), 32);
	ck_assert_uint_eq(take(&w, 32, 32), 96);	/* 72 to 95 are too few, and 64 is taken */
	ck_assert_uint_eq(take(&w, 31, 1), 1);
	ck_assert_uint_eq(take(&w, 3, 7), 77);
	ck_assert_uint_eq(take(&w, 64, 64), 128);
	is_full_for(&w, 32, 32);
	is_full_for(&w, 1, 256);			/* only 0 is a multiple of it */
	ck_assert_uint_eq(take(&w, 8, 8), 80);
	ck_assert_uint_eq(take(&w, 8, 192), 192);
	window_fini(&w);
}
END_TEST

START_TEST(what_is_given_back_merges_with_its_neighbours)
{
	static const unsigned int orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	struct window w;

	for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
		uint32_t at[3];
		window_init(&w, 192);
		for (int k = 0; k < 3; k++)
			at[k] = take(&w, 64, 1);
		is_full_for(&w, 1, 1);
		for (int k = 0; k < 3; k++)
			window_give(&w, at[orders[i][k]], 64);
		ck_assert_uint_eq(w.nr_free, 192);
		ck_assert_uint_eq(take(&w, 192, 1), 0);
		window_fini(&w);
	}
}
END_TEST

START_TEST(a_part_of_a_run_can_be_given_back)
{
	struct window w;

	window_init(&w, 300);
	ck_assert_uint_eq(take(&w, 300, 1), 0);
	window_give(&w, 100, 130);
	ck_assert_uint_eq(w.nr_free, 130);
	is_full_for(&w, 131, 1);
	ck_assert_uint_eq(take(&w, 130, 1), 100);
	is_full_for(&w, 1, 1);
	window_fini(&w);
}
END_TEST

START_TEST(runs_cross_words)
{
	struct window w;

	for (uint32_t before = 0; before < 130; before++) {
		for (uint32_t n = 1; n < 200; n += 7) {
			window_init(&w, 400);
			if (before > 0)
				ck_assert_uint_eq(take(&w, before, 1), 0);
			ck_assert_uint_eq(take(&w, n, 1), before);
			ck_assert_uint_eq(take(&w, 1, 1), before + n);
			window_give(&w, before, n);
			ck_assert_uint_eq(w.nr_free, 400 - before - 1);
			ck_assert_uint_eq(take(&w, n, 1), before);
			window_fini(&w);
		}
	}
}
END_TEST

START_TEST(the_map_grows_only_as_far_as_it_is_used)
{
	struct window w;
	uint32_t words;

	window_init(&w, 1u << 20);
	ck_assert_uint_eq(take(&w, 1, 1), 0);
	words = w.nr_words;
	ck_assert_uint_le(words, 8);
	ck_assert_uint_eq(take(&w, 100, 1), 1);
	ck_assert_uint_eq(w.nr_words, words);
	ck_assert_uint_eq(take(&w, 1, 1u << 19), 1u << 19);
	ck_assert_uint_ge(w.nr_words, (1u << 19) / 64 + 1);
	ck_assert_uint_eq(take(&w, 1, 1), 101);
	/* Across the end of the map as it is now. */
	ck_assert_uint_eq(take(&w, (1u << 19) - 1, 1), (1u << 19) + 1);
	ck_assert_uint_eq(take(&w, (1u << 19) - 102, 1), 102);
	is_full_for(&w, 1, 1);
	window_give(&w, (1u << 20) - 1, 1);
	ck_assert_uint_eq(take(&w, 1, 1), (1u << 20) - 1);
	window_fini(&w);
}
END_TEST

START_TEST(windows_of_any_size_fill_to_the_last_chunk)
{
	struct window w;

	for (uint32_t size = 1; size <= 260; size++) {
		window_init(&w, size);
		for (uint32_t i = 0; i < size; i++) {
			uint32_t chunk;
			if (window_take(&w, 1, 1, &chunk) != 0 || chunk != i)
				ck_abort_msg("chunk %u of %u", i, size);
		}
		is_full_for(&w, 1, 1);
		ck_assert_uint_eq(w.nr_free, 0);
		window_give(&w, size - 1, 1);
		is_full_for(&w, 2, 1);
		ck_assert_uint_eq(take(&w, 1, 1), size - 1);
		for (uint32_t i = 0; i < size; i++)
			window_give(&w, i, 1);
		ck_assert_uint_eq(take(&w, size, 1), 0);
		window_fini(&w);
	}
}
END_TEST

START_TEST(what_can_never_fit_is_refused)
{
	struct window w;

	window_init(&w, 64);
	is_full_for(&w, 65, 1);
	is_full_for(&w, UINT32_MAX, 1);
	ck_assert_ptr_null(w.map);
	ck_assert_uint_eq(take(&w, 33, 32), 0);
	is_full_for(&w, 31, 32);	/* as many are free, from 33 on: not one of them at 32 */
	ck_assert_uint_eq(take(&w, 31, 1), 33);
	window_fini(&w);
}
END_TEST

START_TEST(a_window_of_nothing_is_full)
{
	struct window w;

	window_init(&w, 0);
	is_full_for(&w, 1, 1);
	window_fini(&w);
}
END_TEST

/* ------------------------------------------------------------------ a long life */

enum { OPERATIONS = 1000000, RUNS_MAX = 1024 };

struct run {
	uint32_t chunk, n;
};

/* The same window as a byte for each chunk. */
struct reference {
	struct window w;
	uint8_t taken[1024];
	struct run run[RUNS_MAX];
	uint32_t nr_runs, nr_free;
	uint32_t nr_took, nr_refused;
};

/* First fit, in the plainest way. */
static uint32_t reference_find(const struct reference *r, uint32_t n, uint32_t align)
{
	for (uint32_t at = 0; at + n <= r->w.nr_chunks; at += align) {
		if (memchr(r->taken + at, 1, n) == NULL)
			return at;
	}
	return UINT32_MAX;
}

static void reference_take(struct reference *r, uint32_t n)
{
	uint32_t align = n >= 32 ? 32 : 1, expected = reference_find(r, n, align), chunk = UINT32_MAX;
	int err = window_take(&r->w, n, align, &chunk);

	if (err != (expected == UINT32_MAX ? -ENOSPC : 0) || chunk != expected)
		ck_abort_msg("take %u: %d, chunk %u; expected %u", n, err, chunk, expected);
	if (err < 0) {
		r->nr_refused++;
		return;
	}
	r->nr_took++;
	r->nr_free -= n;
	memset(r->taken + chunk, 1, n);
	r->run[r->nr_runs++] = (struct run){ chunk, n };
}

static void reference_give(struct reference *r, uint32_t i)
{
	struct run run = r->run[i];

	r->run[i] = r->run[--r->nr_runs];
	r->nr_free += run.n;
	memset(r->taken + run.chunk, 0, run.n);
	window_give(&r->w, run.chunk, run.n);
}

/* Mostly small, some as large as a huge page and larger. */
static uint32_t some_size(uint64_t *random)
{
	switch (unit_below(random, 8)) {
	case 0:
		return 1 + unit_below(random, 100);
	case 1:
		return 32;
	case 2:
	case 3:
		return 1 + unit_below(random, 20);
	default:
		return 1 + unit_below(random, 3);
	}
}

static void live(uint32_t nr_chunks, uint64_t *random)
{
	struct reference r = { .nr_free = nr_chunks };

	window_init(&r.w, nr_chunks);
	for (uint32_t i = 0; i < OPERATIONS; i++) {
		/* Now it fills, now it empties. */
		uint32_t takes = i / 1000 % 2 ? 3 : 5;
		if (r.nr_runs == 0 || unit_below(random, 8) < takes)
			reference_take(&r, some_size(random));
		else
			reference_give(&r, unit_below(random, r.nr_runs));
		if (r.w.nr_free != r.nr_free)
			ck_abort_msg("operation %u: %u chunks free, expected %u", i, r.w.nr_free, r.nr_free);
	}
	printf("%u chunks: %u taken, %u refused, %u left at the end\n", nr_chunks, r.nr_took, r.nr_refused, r.nr_runs);
	while (r.nr_runs > 0)
		reference_give(&r, unit_below(random, r.nr_runs));
	ck_assert_uint_eq(r.w.nr_free, nr_chunks);
	ck_assert_uint_eq(take(&r.w, nr_chunks, 1), 0);
	window_give(&r.w, 0, nr_chunks);
	ck_assert_uint_gt(r.nr_refused, 0);
	window_fini(&r.w);
}

START_TEST(after_a_million_operations_the_window_is_free_in_one_piece)
{
	uint64_t random = unit_seed();

	live(256, &random);
	live(777, &random);
	live(1024, &random);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("window");
	TCase *tc = harness_tcase(s, "window", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, a_new_window_is_free_and_costs_nothing);
	tcase_add_test(tc, the_lowest_run_that_fits_is_taken);
	tcase_add_test(tc, a_run_starts_at_a_multiple_of_its_alignment);
	tcase_add_test(tc, what_is_given_back_merges_with_its_neighbours);
	tcase_add_test(tc, a_part_of_a_run_can_be_given_back);
	tcase_add_test(tc, runs_cross_words);
	tcase_add_test(tc, the_map_grows_only_as_far_as_it_is_used);
	tcase_add_test(tc, windows_of_any_size_fill_to_the_last_chunk);
	tcase_add_test(tc, what_can_never_fit_is_refused);
	tcase_add_test(tc, a_window_of_nothing_is_full);
	tcase_add_test(tc, after_a_million_operations_the_window_is_free_in_one_piece);
	return harness_main(argc, argv, suites);
}

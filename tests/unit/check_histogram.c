/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_histogram.c - the times of the measurements, in classes.
 */
#include "harness.h"
#include "histogram.h"

#include <string.h>

static struct bench_histogram h;

static void empty(void)
{
	memset(&h, 0, sizeof h);
}

START_TEST(nothing_is_nothing)
{
	empty();
	ck_assert_uint_eq(bench_histogram_at(&h, 0.5), 0);
	ck_assert_uint_eq(bench_histogram_at(&h, 1), 0);
}
END_TEST

START_TEST(every_time_has_a_class_of_its_size)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		for (int64_t off = -1; off <= 1; off++) {
			uint64_t ns = (UINT64_C(1) << bit) + (uint64_t)off;
			empty();
			bench_histogram_add(&h, ns);
			bench_histogram_add(&h, UINT64_MAX);
			uint64_t got = bench_histogram_at(&h, 0.5);
			if (got < ns || got - ns > ns / 64)
				ck_abort_msg("%llu is told as %llu", (unsigned long long)ns, (unsigned long long)got);
			ck_assert_uint_eq(bench_histogram_at(&h, 1), UINT64_MAX);
		}
	}
}
END_TEST

START_TEST(small_times_are_exact)
{
	empty();
	for (uint64_t ns = 1; ns <= 100; ns++)
		bench_histogram_add(&h, ns);
	for (unsigned int percent = 1; percent <= 100; percent++)
		ck_assert_uint_eq(bench_histogram_at(&h, percent / 100.0), percent);
	ck_assert_uint_eq(h.total, 100);
}
END_TEST

START_TEST(the_largest_is_told_as_it_was)
{
	empty();
	bench_histogram_add(&h, 1000003);
	ck_assert_uint_eq(bench_histogram_at(&h, 0.5), 1000003);	/* not the end of its class */
	bench_histogram_add(&h, 5);
	ck_assert_uint_eq(bench_histogram_at(&h, 0.5), 5);
	ck_assert_uint_eq(bench_histogram_at(&h, 0.51), 1000003);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("histogram");
	TCase *tc = harness_tcase(s, "histogram", 300);

	tcase_add_test(tc, nothing_is_nothing);
	tcase_add_test(tc, every_time_has_a_class_of_its_size);
	tcase_add_test(tc, small_times_are_exact);
	tcase_add_test(tc, the_largest_is_told_as_it_was);
	return harness_main(argc, argv, (Suite *const[]){ s, NULL });
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_spin.c - when a wait spins and when it does not: what of that does not
 * depend on how busy the machine is.
 */
#include "base/clock.h"
#include "base/spin.h"
#include "unit.h"

enum { CAP_NS = 50000 };

/* A policy that may spin, whatever this machine is like. */
static struct ismi_spin_policy policy_of(int64_t cap_ns)
{
	return (struct ismi_spin_policy){ .cap_ns = cap_ns, .budget_ns = cap_ns, .next_penalty = 16 };
}

/* How often a wait looks before it sleeps. */
static unsigned int looks(struct ismi_spin_policy *p)
{
	struct ismi_spin s;
	unsigned int n = 0;

	ismi_spin_start(p, &s);
	while (ismi_spin_again(p, &s))
		n++;
	ismi_spin_slept(p, &s, false);
	return n;
}

START_TEST(never_means_never)
{
	struct ismi_spin_policy p;
	struct ismi_spin s;

	ismi_spin_policy_init(&p, UINT32_MAX);
	ck_assert_int_eq(p.cap_ns, 0);
	for (int i = 0; i < 1000; i++) {
		ismi_spin_start(&p, &s);
		ck_assert(!ismi_spin_again(&p, &s));
		ismi_spin_slept(&p, &s, i % 2);
		ismi_spin_paid(&p);
	}
	ck_assert_uint_eq(p.sleeps, 1000);
	ck_assert_uint_eq(p.paid + p.unpaid, 0);
	ck_assert_int_eq(p.budget_ns, 0);
}
END_TEST

START_TEST(the_cap_is_as_asked_for)
{
	struct ismi_spin_policy p;

	ismi_spin_policy_init(&p, 0);
	ck_assert(p.cap_ns == 0 || p.cap_ns == ISMI_SPIN_DEFAULT_US * 1000);	/* 0: one CPU */
	ismi_spin_policy_init(&p, 7);
	ck_assert(p.cap_ns == 0 || p.cap_ns == 7000);
	ismi_spin_policy_init(&p, UINT32_MAX - 1);
	ck_assert(p.cap_ns == 0 || p.cap_ns == (int64_t)(UINT32_MAX - 1) * 1000);
	ck_assert_int_eq(p.budget_ns, p.cap_ns);
}
END_TEST

START_TEST(who_waits_in_vain_spins_less_and_less)
{
	struct ismi_spin_policy p = policy_of(CAP_NS);
	int64_t last = p.budget_ns;
	int waits = 0;

	for (; p.budget_ns > 0; waits++) {
		ck_assert_int_lt(waits, 100);
		looks(&p);
		ck_assert_int_lt(p.budget_ns, last);
		ck_assert_int_ge(p.budget_ns, 0);
		last = p.budget_ns;
	}
	ck_assert_int_gt(waits, 3);	/* one idle moment is no reason yet */
	ck_assert_uint_eq(looks(&p), 0);
	ck_assert_uint_eq(p.sleeps, (unsigned int)waits + 1);
	ck_assert_uint_le(p.unpaid, (unsigned int)waits);	/* or was not allowed to spin */
	ck_assert_uint_eq(p.paid, 0);
}
END_TEST

START_TEST(what_pays_is_done_again)
{
	struct ismi_spin_policy p = policy_of(CAP_NS);

	p.budget_ns = 0;
	for (int i = 0; i < 100 && p.budget_ns < CAP_NS; i++) {
		int64_t last = p.budget_ns;
		ismi_spin_paid(&p);
		ck_assert_int_gt(p.budget_ns, last);
	}
	ck_assert_int_eq(p.budget_ns, CAP_NS);
	ismi_spin_paid(&p);
	ck_assert_int_eq(p.budget_ns, CAP_NS);		/* and no more than that */
	ck_assert_uint_gt(looks(&p), 0);
}
END_TEST

START_TEST(a_sleep_that_was_short_makes_up_for_it)
{
	struct ismi_spin_policy p = policy_of(SECONDS(1000));	/* all that follows is short */
	struct ismi_spin s;

	p.budget_ns = 0;
	ismi_spin_start(&p, &s);
	ck_assert(!ismi_spin_again(&p, &s));
	ismi_spin_slept(&p, &s, true);
	ck_assert_int_gt(p.budget_ns, 0);
	int64_t budget = p.budget_ns;
	p.budget_ns = 0;
	ismi_spin_start(&p, &s);
	ismi_spin_slept(&p, &s, false);		/* nothing came */
	ck_assert_int_eq(p.budget_ns, 0);
	p.budget_ns = budget;
	p.cap_ns = 1;				/* came, but nobody would have spun for so long */
	p.penalty = 1;
	ismi_spin_start(&p, &s);
	ismi_sleep_ns(1000);
	ismi_spin_slept(&p, &s, true);
	ck_assert_int_lt(p.budget_ns, budget);
}
END_TEST

START_TEST(a_penalty_is_served_wait_by_wait)
{
	struct ismi_spin_policy p = policy_of(CAP_NS);

	for (p.penalty = 5; p.penalty > 0;) {
		uint32_t before = p.penalty;
		p.budget_ns = CAP_NS;
		ck_assert_uint_eq(looks(&p), 0);
		ck_assert_uint_eq(p.penalty, before - 1);
	}
	p.budget_ns = CAP_NS;
	ck_assert_uint_gt(looks(&p), 0);
}
END_TEST

START_TEST(a_spin_ends)
{
	struct ismi_spin_policy p = policy_of(2000000);
	struct ismi_spin s;

	for (int i = 0; i < 20; i++) {
		int64_t begin = ismi_now_ns();
		p.budget_ns = p.cap_ns;
		p.penalty = 0;
		ismi_spin_start(&p, &s);
		while (ismi_spin_again(&p, &s))
			ck_assert_int_lt(ismi_now_ns() - begin, SECONDS(30));
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("spin");
	TCase *tc = harness_tcase(s, "spin", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, never_means_never);
	tcase_add_test(tc, the_cap_is_as_asked_for);
	tcase_add_test(tc, who_waits_in_vain_spins_less_and_less);
	tcase_add_test(tc, what_pays_is_done_again);
	tcase_add_test(tc, a_sleep_that_was_short_makes_up_for_it);
	tcase_add_test(tc, a_penalty_is_served_wait_by_wait);
	tcase_add_test(tc, a_spin_ends);
	return harness_main(argc, argv, suites);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * batches.c - many regions attached, and let go of, at once.
 */
#include "conformance.h"
#include "pooled.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { NR = 64, SIZE = 65536 };

static void alloc_pooled(struct ism_device *dev, struct ism_device *peer, size_t nr, struct ism_region **ret)
{
	struct ism_alloc_opts o = { .size = sizeof o, .flags = ISM_ALLOC_POOLED, .peer = devid_of(peer) };

	ok(ism_alloc_regions(dev, SIZE, &o, nr, ret));
}

static void tokens_of(struct ism_region *const *r, size_t nr, uint64_t *ret)
{
	for (size_t i = 0; i < nr; i++)
		ret[i] = ism_region_token(r[i]);
}

/* How many regions the device has, as it counts them. */
static uint64_t regions_of(struct ism_device *dev)
{
	struct ism_stats s = { .size = sizeof s };

	ok(ism_query_stats(dev, &s));
	return s.regions;
}

START_TEST(each_is_what_it_would_be_alone)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *mine[8], *theirs[9];
	uint64_t token[9];

	for (size_t i = 0; i < 8; i++) {
		mine[i] = alloc(a, (i + 1) * 1000);
		memset(ism_region_addr(mine[i]), (int)i + 1, 1000);
	}
	tokens_of(mine, 8, token);
	token[8] = token[3];
	ok(ism_attach_regions(b, token, ISM_READ | ISM_WRITE, NULL, 9, theirs));
	for (size_t i = 0; i < 9; i++) {
		ck_assert_uint_eq(ism_region_token(theirs[i]), token[i]);
		ck_assert_uint_eq(ism_region_requested_size(theirs[i]), ((i < 8 ? i : 3) + 1) * 1000);
		ck_assert_int_eq(*(char *)ism_region_addr(theirs[i]), (int)(i < 8 ? i : 3) + 1);
	}
	ck_assert_uint_eq(regions_of(b), in_machine() ? regions_of(b) : 8);
	ok(ism_region_notify(mine[7]));
	ck_assert_int_eq(ok(ism_region_wait(theirs[7], SECONDS(30))), 1);
	ck_assert_int_eq(ok(ism_region_wait(theirs[6], 0)), 0);
	/* The other handle of the fourth stays. */
	ism_detach_regions(theirs, 8);
	ck_assert_int_eq(*(char *)ism_region_addr(theirs[8]), 4);
	ism_detach_regions(theirs + 8, 1);
	ck_assert(in_machine() || regions_of(b) == 0);
	ism_detach_regions(mine, 8);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(all_or_none_of_them)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *mine[3], *had, *none[3] = { NULL };
	uint64_t token[NR + 1] = { 0 };

	for (size_t i = 0; i < 3; i++)
		mine[i] = alloc(a, SIZE);
	tokens_of(mine, 3, token);
	had = attach(b, mine[1]);
	strcpy(ism_region_addr(had), "still here");
	ok(ism_region_grant_default(mine[2], 0));
	fails(ism_attach_regions(b, token, ISM_READ, NULL, 3, none), -ENOENT);
	ok(ism_region_grant_default(mine[2], ISM_READ | ISM_ATTACH));
	fails(ism_attach_regions(b, token, ISM_READ | ISM_WRITE, NULL, 3, none), -EROFS);
	fails(ism_attach_regions(b, token, ISM_WRITE, NULL, 3, none), -EINVAL);
	fails(ism_attach_regions(b, token, ISM_READ, NULL, 0, none), -EINVAL);
	fails(ism_attach_regions(b, token, ISM_READ, NULL, NR + 1, none), -EINVAL);
	token[0] = 0;
	fails(ism_attach_regions(b, token, ISM_READ, NULL, 3, none), -EINVAL);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "token 1 of 3"));
	for (size_t i = 0; i < 3; i++)
		ck_assert_ptr_null(none[i]);
	ck_assert(in_machine() || regions_of(b) == 1);
	ck_assert_str_eq(ism_region_addr(mine[1]), "still here");
	ck_assert_str_eq(ism_region_addr(had), "still here");
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(nothing_and_several_devices_at_once)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *r[] = { alloc(a, SIZE), NULL, alloc(b, SIZE), alloc(b, SIZE), alloc(a, SIZE), NULL };

	ism_detach_regions(r, sizeof r / sizeof r[0]);
	ism_detach_regions(r, 0);
	ck_assert(in_machine() || (regions_of(a) == 0 && regions_of(b) == 0));
	struct ism_region *many[3 * NR];
	for (size_t i = 0; i < 3; i++)
		ok(ism_alloc_regions(a, 1, NULL, NR, many + i * NR));
	ism_detach_regions(many, 3 * NR);
	ck_assert(in_machine() || regions_of(a) == 0);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* Made, shared, used and let go of, again and again, in every order: the memory is the same, its contents are never another's. */
START_TEST(pooled_ones_go_round)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *mine[NR], *theirs[NR], *shuffled[NR];
	uint64_t token[NR], before[NR] = { 0 };

	for (int round = 0; round < rounds(20); round++) {
		size_t nr = round % 5 == 4 ? 7 : NR;
		alloc_pooled(a, b, nr, mine);
		for (size_t i = 0; i < nr; i++)
			*(uint64_t *)ism_region_addr(mine[i]) = ism_region_token(mine[i]);
		tokens_of(mine, nr, token);
		for (size_t i = 0; i < nr / 2; i++) {	/* in another order than they were made in */
			uint64_t t = token[i];
			token[i] = token[nr - 1 - i];
			token[nr - 1 - i] = t;
		}
		ok(ism_attach_regions(b, token, ISM_READ | ISM_WRITE, NULL, nr, theirs));
		for (size_t i = 0; i < nr; i++) {
			ck_assert_uint_eq(*(uint64_t *)ism_region_addr(theirs[i]), token[i]);
			*(uint64_t *)ism_region_addr(theirs[i]) = ~token[i];
			shuffled[i] = theirs[(i * 5 + (size_t)round) % nr];
		}
		for (size_t i = 0; i < nr; i++)
			ck_assert_uint_eq(*(uint64_t *)ism_region_addr(mine[i]), ~ism_region_token(mine[i]));
		ok(ism_region_notify(mine[nr - 1]));
		ck_assert_int_eq(ok(ism_region_wait(theirs[0], SECONDS(30))), 1);
		struct ism_region *none;
		if (before[0] != 0)
			fails(ism_attach_region(b, before[0], ISM_READ, NULL, &none), -ENOENT);
		memcpy(before, token, sizeof before);
		ism_detach_regions(nr % 7 == 0 ? theirs : shuffled, nr);
		eventually(ok(ism_region_peers(mine[0], NULL, 0)) == 0, 30);
		ism_detach_regions(mine, nr);
		drain(a, 0);
		drain(b, 0);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* What the peer keeps mapped is in nobody's way: not of other regions, not of the same one attached otherwise. */
START_TEST(what_is_kept_is_in_nobodys_way)
{
	struct ism_open_opts o = { .size = sizeof o, .window_size = 16 * SIZE };
	struct ism_device *a = device(), *b = device_with(&o);
	struct ism_region *mine[8], *theirs[8], *other;
	uint64_t token[8];

	for (int round = 0; round < 6; round++) {
		alloc_pooled(a, b, 8, mine);
		tokens_of(mine, 8, token);
		for (size_t i = 0; i < 8; i++)
			memset(ism_region_addr(mine[i]), (int)i, SIZE);
		uint32_t rights = round % 3 == 2 && !in_machine() ? ISM_READ : ISM_READ | ISM_WRITE;
		ok(ism_attach_regions(b, token, rights, NULL, 8, theirs));
		for (size_t i = 0; i < 8; i++)
			ck_assert_int_eq(((char *)ism_region_addr(theirs[i]))[SIZE - 1], (int)i);
		ck_assert(rights != ISM_READ || store_faults(ism_region_addr(theirs[0])));
		ism_detach_regions(theirs, 8);
		if (round % 2) {	/* the whole window, or what of it can be had */
			other = alloc(b, in_machine() ? SIZE : 16 * SIZE);
			memset(ism_region_addr(other), 0xee, ism_region_size(other));
			for (size_t i = 0; i < 8; i++)
				ck_assert_int_eq(((char *)ism_region_addr(mine[i]))[SIZE - 1], (int)i);
			ism_detach_region(other);
		}
		if (round == 4)		/* one by one, and by another handle */
			ism_detach_region(attach(b, mine[3]));
		eventually(ok(ism_region_peers(mine[0], NULL, 0)) == 0, 30);
		ism_detach_regions(mine, 8);
		drain(a, 0);
		drain(b, 0);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(what_is_kept_goes_with_its_creator)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *mine[8], *theirs[8];
	uint64_t token[8];

	for (int round = 0; round < 2; round++) {
		alloc_pooled(a, b, 8, mine);
		tokens_of(mine, 8, token);
		ok(ism_attach_regions(b, token, ISM_READ, NULL, 8, theirs));
		ism_detach_regions(theirs, 8);
		eventually(ok(ism_region_peers(mine[0], NULL, 0)) == 0, 30);
		drain(a, 0);
		if (round == 0)		/* what is not renewed ends, too */
			ok(ism_region_grant_default(mine[0], ISM_READ | ISM_ATTACH));
		ism_detach_regions(mine, 8);
	}
	ism_close(a);
	struct ism_event ev;
	eventually(ok(ism_wait(b, &ev, 1, sizeof ev, SECONDS(0))) >= 0 && pooled_mapped() == 0, 30);
	ism_close(b);
	domain_end();
}
END_TEST

static struct ism_region *pooled(struct ism_device *dev, struct ism_device *peer)
{
	struct ism_region *r;

	alloc_pooled(dev, peer, 1, &r);
	return r;
}

/* More was said than is kept: its creator finds all the same that the peer has it still. */
START_TEST(memory_that_the_peer_has_still_is_not_used_again)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *mine = pooled(a, b), *theirs, *next;

	for (int i = 0; i < (in_machine() ? 0 : 300); i++)	/* two records each, of 512 */
		ism_detach_region(attach(b, mine));
	theirs = attach(b, mine);
	ism_detach_regions(&mine, 1);
	next = pooled(a, b);
	strcpy(ism_region_addr(next), "next");
	strcpy(ism_region_addr(theirs), "theirs");
	ck_assert_str_eq(ism_region_addr(next), "next");
	ck_assert_str_eq(ism_region_addr(theirs), "theirs");
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* While 64 come and go more is said than is kept: neither side stops going round. */
START_TEST(lost_events_do_no_harm)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *mine[NR], *theirs[NR];
	uint64_t token[NR];

	for (int round = 0; round < 3; round++) {
		alloc_pooled(a, b, NR, mine);
		tokens_of(mine, NR, token);
		for (int i = 0; i < (in_machine() ? 1 : 6); i++) {	/* 128 records each */
			ok(ism_attach_regions(b, token, ISM_READ | ISM_WRITE, NULL, NR, theirs));
			for (size_t k = 0; k < NR; k++)
				*(uint64_t *)ism_region_addr(theirs[k]) = token[k] + (uint64_t)i;
			for (size_t k = 0; k < NR; k++)
				ck_assert_uint_eq(*(uint64_t *)ism_region_addr(mine[k]), token[k] + (uint64_t)i);
			ism_detach_regions(theirs, NR);
		}
		ism_detach_regions(mine, NR);
		ck_assert(drain(a, ISM_EVENT_LOST) <= 1);
		drain(b, 0);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* One alone, in batches and in between: the peer always sees what its creator wrote last. */
START_TEST(one_by_one_and_together)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *mine[8], *theirs[8], *again[8];
	uint64_t token[8];

	for (int round = 0; round < rounds(12); round++) {
		alloc_pooled(a, b, 8, mine);
		tokens_of(mine, 8, token);
		for (size_t i = 0; i < 8; i++)
			*(uint64_t *)ism_region_addr(mine[i]) = token[i];
		for (size_t i = 0; i < 8 && round % 3 == 0; i++)	/* alone, and then as one of many */
			theirs[i] = attach(b, mine[i]);
		ok(ism_attach_regions(b, token, round % 4 == 3 && !in_machine() ? ISM_READ : ISM_READ | ISM_WRITE, NULL, 8, again));
		for (size_t i = 0; i < 8 && round % 3 == 1; i++)
			theirs[i] = attach(b, mine[i]);
		for (size_t i = 0; i < 8; i++) {
			ck_assert_uint_eq(*(uint64_t *)ism_region_addr(again[i]), token[i]);
			ck_assert_uint_eq(round % 3 == 2 ? token[i] : *(uint64_t *)ism_region_addr(theirs[i]), token[i]);
		}
		if (round % 2)
			ism_detach_regions(again, 8);
		if (round % 3 != 2)
			ism_detach_regions(theirs, 8);
		if (round % 2 == 0)
			ism_detach_regions(again, 8);
		ism_detach_regions(mine, 8);
		drain(a, 0);
		drain(b, 0);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

static void *churn_main(void *arg)
{
	struct pooled *p = arg;

	for (int round = 0; round < rounds(40); round++) {
		pooled_make(p);
		pooled_share(p);
		pooled_check(p);
		ism_detach_regions(p->theirs, p->nr);
		ism_detach_regions(p->mine, p->nr);
	}
	return NULL;
}

START_TEST(threads_of_one_device)
{
	struct ism_device *a = device(), *b = device();
	struct pooled c[3] = { { .a = a, .b = b, .nr = 24 }, { .a = a, .b = b, .nr = 9 }, { .a = b, .b = a, .nr = 17 } };
	pthread_t thread[3];

	for (size_t i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, churn_main, &c[i]);
	for (size_t i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

static void *sleep_main(void *arg)
{
	struct ism_event ev;
	long r;

	while ((r = ism_wait(arg, &ev, 1, sizeof ev, SECONDS(60))) == 1)
		;
	ck_assert_int_eq(r, -EINTR);
	return NULL;
}

/* It sleeps, and makes no call: what it has kept goes all the same. */
START_TEST(who_sleeps_drops_what_was_kept)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *mine[8], *theirs[8];
	uint64_t token[8];
	pthread_t thread;

	alloc_pooled(a, b, 8, mine);
	tokens_of(mine, 8, token);
	ok(ism_attach_regions(b, token, ISM_READ | ISM_WRITE, NULL, 8, theirs));
	ism_detach_regions(theirs, 8);
	ism_detach_regions(mine, 8);
	pthread_create(&thread, NULL, sleep_main, b);
	ism_close(a);
	eventually(pooled_mapped() == 0, 30);
	ok(ism_interrupt(b));
	pthread_join(thread, NULL);
	ism_close(b);
	domain_end();
}
END_TEST

struct forked {
	struct ism_device *dev;
	struct ism_region **region;
	const uint64_t *token;
};

static int child_main(void *arg)
{
	struct forked *f = arg;
	struct ism_region *none[8];

	if (ism_attach_regions(f->dev, f->token, ISM_READ, NULL, 8, none) != -EOWNERDEAD)
		return 1;
	ism_detach_regions(f->region, 8);
	ism_close(f->dev);
	return 0;
}

START_TEST(a_forked_child_lets_go_of_nothing)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *mine[8], *theirs[8];
	uint64_t token[8];

	for (int round = 0; round < 3; round++) {
		alloc_pooled(a, b, 8, mine);
		tokens_of(mine, 8, token);
		ok(ism_attach_regions(b, token, ISM_READ | ISM_WRITE, NULL, 8, theirs));
		struct forked f = { b, theirs, token };
		ck_assert_int_eq(harness_reap(harness_fork(child_main, &f), 30), 0);
		for (size_t i = 0; i < 8; i++) {
			*(uint64_t *)ism_region_addr(theirs[i]) = token[i];
			ck_assert_uint_eq(*(uint64_t *)ism_region_addr(mine[i]), token[i]);
		}
		ism_detach_regions(theirs, 8);
		ism_detach_regions(mine, 8);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

Suite *batches_suite(void)
{
	Suite *s = suite_create("batches");
	TCase *tc = harness_tcase(s, "batches", 300);

	tcase_add_test(tc, each_is_what_it_would_be_alone);
	tcase_add_test(tc, all_or_none_of_them);
	tcase_add_test(tc, nothing_and_several_devices_at_once);
	tcase_add_test(tc, pooled_ones_go_round);
	tcase_add_test(tc, what_is_kept_is_in_nobodys_way);
	tcase_add_test(tc, what_is_kept_goes_with_its_creator);
	tcase_add_test(tc, memory_that_the_peer_has_still_is_not_used_again);
	tcase_add_test(tc, lost_events_do_no_harm);
	tcase_add_test(tc, one_by_one_and_together);
	tcase_add_test(tc, threads_of_one_device);
	if (!in_machine())
		tcase_add_test(tc, who_sleeps_drops_what_was_kept);
	tcase_add_test(tc, a_forked_child_lets_go_of_nothing);
	return s;
}

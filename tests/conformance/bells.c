/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * bells.c - doorbells: notify, wait, clear, descriptors, threads.
 */
#include "conformance.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Two devices, one region. */
struct pair {
	struct ism_device *a, *b;
	struct ism_region *ra, *rb;
};

static struct pair pair_open(void)
{
	struct pair p = { .a = device(), .b = device() };

	p.ra = alloc(p.a, 4096);
	p.rb = attach(p.b, p.ra);
	ck_assert_uint_eq(next_event(p.a).type, ISM_EVENT_ATTACH);	/* so that no test finds it late */
	return p;
}

static void pair_close(struct pair *p)
{
	ism_close(p->a);
	ism_close(p->b);
	domain_end();
}

START_TEST(a_ring_reaches_the_peer_once)
{
	struct pair p = pair_open();

	ck_assert_int_eq(ok(ism_region_wait(p.rb, 0)), 0);
	ok(ism_region_notify(p.ra));
	ck_assert_int_eq(ok(ism_region_wait(p.rb, SECONDS(30))), 1);
	ck_assert_int_eq(ok(ism_region_wait(p.rb, 0)), 0);
	ck_assert_int_eq(ok(ism_region_wait(p.ra, 0)), 0);	/* not the ringer itself */
	pair_close(&p);
}
END_TEST

START_TEST(rings_coalesce)
{
	struct pair p = pair_open();

	for (int i = 0; i < 100; i++)
		ok(ism_region_notify(p.ra));
	ck_assert_int_eq(ok(ism_region_wait(p.rb, SECONDS(30))), 1);
	/* Some may have been under way; then there is silence. */
	for (int i = 0; i < 100 && ok(ism_region_wait(p.rb, SECONDS(0.1))) == 1; i++)
		;
	ck_assert_int_eq(ok(ism_region_clear(p.rb)), 0);
	pair_close(&p);
}
END_TEST

START_TEST(without_peers_a_ring_does_nothing)
{
	struct ism_device *a = device();
	struct ism_region *r = alloc(a, 4096);

	for (int i = 0; i < 3; i++)
		ok(ism_region_notify(r));
	ck_assert_int_eq(ok(ism_region_wait(r, SECONDS(0.01))), 0);
	ism_close(a);
	domain_end();
}
END_TEST

START_TEST(a_wait_lasts_as_long_as_it_says)
{
	struct pair p = pair_open();
	double begin = harness_now();

	ck_assert_int_eq(ok(ism_region_wait(p.rb, SECONDS(0.05))), 0);
	ck_assert(harness_now() - begin >= 0.05);
	pair_close(&p);
}
END_TEST

START_TEST(a_new_referrer_is_reached_at_once)
{
	struct pair p = pair_open();

	for (int i = 0; i < 5; i++) {
		ok(ism_region_notify(p.ra));
		ck_assert_int_eq(ok(ism_region_wait(p.rb, SECONDS(30))), 1);
	}
	for (int i = 0; i < 10; i++) {
		struct ism_device *c = device();
		struct ism_region *rc = attach(c, p.ra);
		ok(ism_region_notify(p.ra));
		ck_assert_int_eq(ok(ism_region_wait(rc, SECONDS(30))), 1);
		ck_assert_int_eq(ok(ism_region_wait(p.rb, SECONDS(30))), 1);
		ism_close(c);
	}
	pair_close(&p);
}
END_TEST

START_TEST(all_referrers_are_reached)
{
	enum { NR = 20 };
	struct ism_device *dev[NR];
	struct ism_region *r[NR];

	if (getenv("ISM_TEST_EMULATED") != NULL)
		harness_skip("an emulated process has no addresses for so many windows");
	dev[0] = device();
	r[0] = alloc(dev[0], 4096);
	for (int i = 1; i < NR; i++) {
		dev[i] = device();
		r[i] = attach(dev[i], r[0]);
	}
	for (int from = 0; from < NR; from++) {
		ok(ism_region_notify(r[from]));
		for (int i = 0; i < NR; i++) {
			if (i != from)
				ck_assert_int_eq(ok(ism_region_wait(r[i], SECONDS(30))), 1);
		}
	}
	for (int i = 0; i < NR; i++)
		ism_close(dev[i]);
	domain_end();
}
END_TEST

START_TEST(handles_have_separate_doorbells)
{
	struct pair p = pair_open();
	struct ism_region *again = attach(p.b, p.ra);

	ok(ism_region_notify(p.ra));
	ck_assert_int_eq(ok(ism_region_wait(p.rb, SECONDS(30))), 1);
	ck_assert_int_eq(ok(ism_region_wait(again, SECONDS(30))), 1);
	ck_assert_int_eq(ok(ism_region_clear(p.rb)), 0);
	pair_close(&p);
}
END_TEST

START_TEST(regions_have_separate_doorbells)
{
	struct pair p = pair_open();
	struct ism_region *ra2 = alloc(p.a, 4096), *rb2 = attach(p.b, ra2);

	ok(ism_region_notify(ra2));
	ck_assert_int_eq(ok(ism_region_wait(rb2, SECONDS(30))), 1);
	ck_assert_int_eq(ok(ism_region_clear(p.rb)), 0);
	ok(ism_region_notify(p.ra));
	ck_assert_int_eq(ok(ism_region_wait(p.rb, SECONDS(30))), 1);
	ck_assert_int_eq(ok(ism_region_clear(rb2)), 0);
	pair_close(&p);
}
END_TEST

START_TEST(the_last_peers_end_ends_a_wait)
{
	struct pair p = pair_open();

	ism_detach_region(p.rb);
	fails(ism_region_wait(p.ra, SECONDS(30)), -EPIPE);
	fails(ism_region_wait(p.ra, SECONDS(30)), -EPIPE);
	p.rb = attach(p.b, p.ra);
	ok(ism_region_notify(p.rb));
	ck_assert_int_eq(ok(ism_region_wait(p.ra, SECONDS(30))), 1);
	pair_close(&p);
}
END_TEST

/* ------------------------------------------------------------------ threads */

struct echo {
	struct ism_region *region;
	int rounds;
	int result;
};

static void *echo_main(void *arg)
{
	struct echo *e = arg;

	for (int i = 0; i < e->rounds; i++) {
		e->result = ism_region_wait(e->region, SECONDS(30));
		if (e->result != 1)
			return NULL;
		ism_region_notify(e->region);
	}
	return NULL;
}

START_TEST(ping_pong_between_threads)
{
	struct pair p = pair_open();
	struct echo e = { .region = p.rb, .rounds = rounds(20000) };
	pthread_t t;

	pthread_create(&t, NULL, echo_main, &e);
	for (int i = 0; i < e.rounds; i++) {
		ok(ism_region_notify(p.ra));
		ck_assert_int_eq(ok(ism_region_wait(p.ra, SECONDS(30))), 1);
	}
	pthread_join(t, NULL);
	ck_assert_int_eq(e.result, 1);
	pair_close(&p);
}
END_TEST

START_TEST(ping_pong_without_spinning)
{
	struct ism_open_opts opts = { .size = sizeof opts, .spin_us = ISM_SPIN_NONE };
	struct pair p = { .a = device_with(&opts), .b = device_with(&opts) };
	struct echo e = { .rounds = rounds(3000) };
	struct ism_stats stats = { .size = sizeof stats };
	uint64_t sleeps = 0;
	pthread_t t;

	p.ra = alloc(p.a, 4096);
	e.region = p.rb = attach(p.b, p.ra);
	pthread_create(&t, NULL, echo_main, &e);
	for (int i = 0; i < e.rounds; i++) {
		ok(ism_region_notify(p.ra));
		ck_assert_int_eq(ok(ism_region_wait(p.ra, SECONDS(30))), 1);
	}
	pthread_join(t, NULL);
	ck_assert_int_eq(e.result, 1);
	/* On one CPU the one may always find that the other has answered already, but not both. */
	for (int i = 0; i < 2; i++) {
		ok(ism_query_stats(i ? p.b : p.a, &stats));
		ck_assert_uint_eq(stats.spins_paid, 0);
		sleeps += stats.sleeps;
	}
	ck_assert_uint_gt(sleeps, 0);
	pair_close(&p);
}
END_TEST

/* Eight threads wait on eight regions of one device: no ring goes to another. */
START_TEST(threads_do_not_steal_each_others_rings)
{
	enum { NR = 8 };
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra[NR];
	struct echo e[NR];
	pthread_t t[NR];

	for (int i = 0; i < NR; i++) {
		ra[i] = alloc(a, 4096);
		e[i] = (struct echo){ .region = attach(b, ra[i]), .rounds = rounds(1000) };
		pthread_create(&t[i], NULL, echo_main, &e[i]);
	}
	for (int k = 0; k < rounds(1000); k++) {
		for (int i = 0; i < NR; i++)
			ok(ism_region_notify(ra[i]));
		for (int i = NR - 1; i >= 0; i--)
			ck_assert_int_eq(ok(ism_region_wait(ra[i], SECONDS(30))), 1);
	}
	for (int i = 0; i < NR; i++) {
		pthread_join(t[i], NULL);
		ck_assert_int_eq(e[i].result, 1);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* ------------------------------------------------------------------ visibility */

enum { WORDS = 64 };

struct board {
	_Atomic uint64_t stop;
	uint64_t word[WORDS];
};

static void *writer_main(void *arg)
{
	struct ism_region *region = arg;
	struct board *board = ism_region_addr(region);
	uint64_t stores = (uint64_t)rounds(20000);

	for (uint64_t i = 1; i <= stores; i++) {
		for (int k = 0; k < WORDS; k++)
			board->word[k] = i;
		ism_region_notify(region);
		if (ism_region_wait(region, SECONDS(30)) != 1)	/* the reader has looked */
			break;
	}
	return NULL;
}

START_TEST(stores_are_seen_after_notify)
{
	struct pair p = pair_open();
	const struct board *board = ism_region_addr(p.rb);
	uint64_t stores = (uint64_t)rounds(20000);
	pthread_t t;

	pthread_create(&t, NULL, writer_main, p.ra);
	for (uint64_t i = 1; i <= stores; i++) {
		int r = ism_region_wait(p.rb, SECONDS(30));
		for (int k = 0; k < WORDS; k++) {
			if (r != 1 || board->word[k] != i)
				ck_abort_msg("ring %llu: %d, word %d is %llu", (unsigned long long)i, r, k,
					     (unsigned long long)board->word[k]);
		}
		ism_region_notify(p.rb);
	}
	pthread_join(t, NULL);
	pair_close(&p);
}
END_TEST

/* ------------------------------------------------------------------ descriptors */

START_TEST(the_devices_fd_says_when)
{
	struct pair p = pair_open();
	int fd = (int)ok(ism_fd(p.b));

	drain(p.b, 0);
	ck_assert(falls_silent(p.b, fd));
	for (int i = 0; i < 50; i++) {
		ok(ism_region_notify(p.ra));
		ck_assert_int_eq(polled(p.b, fd, ISM_EVENT_UPDATE), 1);
		ck_assert(falls_silent(p.b, fd));
	}
	/* Level-triggered: it stays so until taken.  It may also be that of a wake-up for nothing, before the ring. */
	ok(ism_region_notify(p.ra));
	do {
		ck_assert(readable(fd, 30000));
		ck_assert(readable(fd, 0));
	} while (ok(ism_region_clear(p.rb)) == 0);
	ck_assert(falls_silent(p.b, fd));
	ck_assert_int_eq(ok(ism_region_fd(p.rb)), fd);
	pair_close(&p);
}
END_TEST

START_TEST(a_vector_is_the_regions_own)
{
	struct ism_attach_opts o = { .size = sizeof o, .flags = ISM_ATTACH_VECTOR };
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *ra2 = alloc(a, 4096), *rb, *rb2 = attach(b, ra2);

	ok(ism_attach_region(b, ism_region_token(ra), ISM_READ, &o, &rb));
	ck_assert(ism_region_flags(rb) & ISM_ATTACH_VECTOR);
	int fd = (int)ok(ism_region_fd(rb)), dev_fd = (int)ok(ism_fd(b));
	ck_assert_int_ne(fd, dev_fd);
	for (int i = 0; i < 10; i++) {
		ck_assert(!readable(fd, 0));
		ok(ism_region_notify(ra));
		ck_assert(readable(fd, 30000));
		ck_assert_int_eq(ok(ism_region_clear(rb)), 1);	/* whoever finds it readable finds the ring */
		eventually(ism_region_clear(rb) == 0 && !readable(fd, 20), 30);
	}
	/* Other regions do not make it readable, and it makes no UPDATE. */
	ok(ism_region_notify(ra2));
	ck_assert_int_eq(ok(ism_region_wait(rb2, SECONDS(30))), 1);
	ck_assert(!readable(fd, 0));
	ok(ism_region_notify(ra));
	ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(30))), 1);
	ck_assert_int_eq(drain(b, ISM_EVENT_UPDATE), 0);
	ism_detach_region(rb);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(a_wait_beside_a_polled_fd)
{
	struct pair p = pair_open();
	struct ism_region *ra2 = alloc(p.a, 4096), *rb2 = attach(p.b, ra2);
	int fd = (int)ok(ism_fd(p.b));
	struct echo e = { .region = p.rb, .rounds = 200 };
	pthread_t t;

	drain(p.b, 0);
	drain(p.a, 0);
	pthread_create(&t, NULL, echo_main, &e);
	for (int i = 0; i < e.rounds; i++) {
		ok(ism_region_notify(ra2));
		eventually(readable(fd, 30000) && ok(ism_region_clear(rb2)) == 1, 30);
		ok(ism_region_notify(p.ra));
		ck_assert_int_eq(ok(ism_region_wait(p.ra, SECONDS(30))), 1);
	}
	pthread_join(t, NULL);
	ck_assert_int_eq(e.result, 1);
	pair_close(&p);
}
END_TEST

/* ------------------------------------------------------------------ the last ring */

/* Ring each other until that needs no host, where the backend can do without. */
static void make_friends(struct ism_region *ra, struct ism_region *rb)
{
	for (int i = 0; i < 10; i++) {
		ok(ism_region_notify(ra));
		ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(30))), 1);
		ok(ism_region_notify(rb));
		ck_assert_int_eq(ok(ism_region_wait(ra, SECONDS(30))), 1);
	}
}

START_TEST(who_rings_and_goes_at_once_is_heard)
{
	for (int i = 0; i < rounds(20); i++) {
		struct ism_device *a = device(), *b = device(), *c = device();
		struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra), *rc;
		bool rings = i % 3 > 0;

		make_friends(ra, rb);
		rc = attach(c, ra);	/* not before: some of that could come late */
		drain(b, 0);
		if (rings)
			ok(ism_region_notify(ra));
		if (i % 2 == 0)
			ism_close(a);
		else
			ism_detach_region(ra);
		eventually(ok(ism_region_peers(rb, NULL, 0)) == 1, 30);	/* the host has forgotten it */
		ck_assert_int_eq(ok(ism_region_wait(rb, rings ? SECONDS(30) : 0)), rings);
		ck_assert_int_eq(ok(ism_region_wait(rc, rings ? SECONDS(30) : 0)), rings);
		ck_assert_int_eq(ok(ism_region_wait(rb, 0)), 0);
		if (i % 2 == 1)
			ism_close(a);
		ism_close(b);
		ism_close(c);
	}
	domain_end();
}
END_TEST

Suite *bells_suite(void)
{
	Suite *s = suite_create("doorbells");
	TCase *tc = harness_tcase(s, "doorbells", 300);

	tcase_add_test(tc, a_ring_reaches_the_peer_once);
	tcase_add_test(tc, rings_coalesce);
	tcase_add_test(tc, without_peers_a_ring_does_nothing);
	tcase_add_test(tc, a_wait_lasts_as_long_as_it_says);
	tcase_add_test(tc, a_new_referrer_is_reached_at_once);
	tcase_add_test(tc, all_referrers_are_reached);
	tcase_add_test(tc, handles_have_separate_doorbells);
	tcase_add_test(tc, regions_have_separate_doorbells);
	tcase_add_test(tc, the_last_peers_end_ends_a_wait);
	tcase_add_test(tc, ping_pong_between_threads);
	tcase_add_test(tc, ping_pong_without_spinning);
	tcase_add_test(tc, threads_do_not_steal_each_others_rings);
	tcase_add_test(tc, stores_are_seen_after_notify);
	tcase_add_test(tc, the_devices_fd_says_when);
	tcase_add_test(tc, a_vector_is_the_regions_own);
	tcase_add_test(tc, a_wait_beside_a_polled_fd);
	tcase_add_test(tc, who_rings_and_goes_at_once_is_heard);
	return s;
}

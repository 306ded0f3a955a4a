/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * restart_batches.c - kill -9 of the daemon while pooled regions go round: a
 * renewed one survives, and what the peer keeps mapped is not left behind.
 */
#include "kept.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NR = 16, SIZE = 65536 };

struct churn {
	struct ism_device *a, *b;
	struct ism_region *mine[NR], *theirs[NR];
	uint64_t token[NR];
	pid_t ismd;
	_Atomic bool stop;
	_Atomic unsigned int rounds;
};

static void churn_open(struct churn *c)
{
	*c = (struct churn){ .ismd = harness_ismd_kept("d", NULL) };
	ok(ism_open(harness_uri("d"), NULL, &c->a));
	ok(ism_open(harness_uri("d"), NULL, &c->b));
}

static void churn_close(struct churn *c)
{
	ism_close(c->a);
	ism_close(c->b);
	harness_ismd_stop(c->ismd);
}

static void make(struct churn *c)
{
	struct ism_info info = { .size = sizeof info };

	ok(ism_query(c->b, &info));
	struct ism_alloc_opts o = { .size = sizeof o, .flags = ISM_ALLOC_POOLED, .peer = info.devid };
	ok(ism_alloc_regions(c->a, SIZE, &o, NR, c->mine));
	for (size_t i = 0; i < NR; i++) {
		c->token[i] = ism_region_token(c->mine[i]);
		*(uint64_t *)ism_region_addr(c->mine[i]) = c->token[i];
	}
}

static void share(struct churn *c)
{
	ok(ism_attach_regions(c->b, c->token, ISM_READ | ISM_WRITE, NULL, NR, c->theirs));
}

static void check(struct churn *c)
{
	for (size_t i = 0; i < NR; i++) {
		ck_assert_uint_eq(ism_region_token(c->theirs[i]), c->token[i]);
		ck_assert_uint_eq(*(uint64_t *)ism_region_addr(c->theirs[i]), c->token[i]);
		*(uint64_t *)ism_region_addr(c->theirs[i]) = ~c->token[i];
	}
	for (size_t i = 0; i < NR; i++)
		ck_assert_uint_eq(*(uint64_t *)ism_region_addr(c->mine[i]), ~c->token[i]);
}

static void drain(struct ism_device *dev)
{
	struct ism_event ev;

	while (ok(ism_event_next(dev, &ev, sizeof ev)) == 1)
		ck_assert_uint_ne(ev.type, ISM_EVENT_RESET);
}

/* Both are there, so that what the one does the other hears of. */
static void both_back(struct churn *c)
{
	ok(ism_region_peers(c->mine[0], NULL, 0));
	ok(nr_devices(c->b));
	drain(c->a);
	drain(c->b);
}

static void leave(struct churn *c)
{
	ism_detach_regions(c->theirs, NR);
	eventually(ok(ism_region_peers(c->mine[0], NULL, 0)) == 0, 20);
	ism_detach_regions(c->mine, NR);
}

/* A restart behind each step in turn: the contents are right, old tokens are nobody's, nothing is left. */
START_TEST(pooled_regions_go_round_over_restarts)
{
	struct ism_region *none;
	struct churn c;

	churn_open(&c);
	for (int step = 0; step < 6; step++) {
		make(&c);
		uint64_t old = c.token[0];
		if (step == 1)
			c.ismd = restart(c.ismd, NULL);
		share(&c);
		if (step == 2)
			c.ismd = restart(c.ismd, NULL);
		check(&c);
		ism_detach_regions(c.theirs, NR);
		if (step == 3)
			c.ismd = restart(c.ismd, NULL);
		both_back(&c);
		eventually(ok(ism_region_peers(c.mine[0], NULL, 0)) == 0, 20);
		ism_detach_regions(c.mine, NR);
		if (step == 4)
			c.ismd = restart(c.ismd, NULL);
		fails(ism_attach_region(c.b, old, ISM_READ, NULL, &none), -ENOENT);
		ck_assert_int_le(nr_regions(c.a), NR);
	}
	churn_close(&c);
}
END_TEST

static void await_peers(struct ism_device *dev, uint64_t token, uint32_t type, uint32_t peers)
{
	struct ism_event ev;

	do
		ck_assert_int_eq(ok(ism_wait(dev, &ev, 1, sizeof ev, SECONDS(20))), 1);
	while (ev.type != type || ev.token != token);
	ck_assert_uint_eq(ev.peers, peers);
}

/* A region that waited in the pool while the daemon was restarted: its creator hears of the peer as of any other. */
START_TEST(what_waited_over_a_restart_has_events)
{
	struct churn c;

	churn_open(&c);
	for (int i = 0; i < 3; i++) {	/* events of before: the new daemon counts from 0 */
		make(&c);
		share(&c);
		check(&c);
		leave(&c);
	}
	c.ismd = restart(c.ismd, NULL);
	ok(nr_devices(c.a));
	ok(nr_devices(c.b));
	drain(c.a);
	make(&c);
	share(&c);
	await_peers(c.a, c.token[NR - 1], ISM_EVENT_ATTACH, 1);
	check(&c);
	ism_detach_regions(c.theirs, NR);
	await_peers(c.a, c.token[NR - 1], ISM_EVENT_DETACH, 0);
	ism_detach_regions(c.mine, NR);
	churn_close(&c);
}
END_TEST

static unsigned int mapped_objects(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned int n = 0;
	char line[512];

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f) != NULL)
		n += strstr(line, "/memfd:ism-region") != NULL;
	fclose(f);
	return n;
}

/* Attached before the restart, let go of after it: the new daemon does not know that the peer would have kept that. */
START_TEST(what_was_attached_before_a_restart_is_not_kept)
{
	struct churn c;

	churn_open(&c);
	make(&c);
	share(&c);
	c.ismd = restart(c.ismd, NULL);
	both_back(&c);
	check(&c);
	leave(&c);
	ism_close(c.a);
	ok(nr_devices(c.b));
	drain(c.b);
	eventually((drain(c.b), mapped_objects() == 0), 20);
	ism_close(c.b);
	harness_ismd_stop(c.ismd);
}
END_TEST

static void *churn_main(void *arg)
{
	struct churn *c = arg;

	while (!c->stop) {
		make(c);
		share(c);
		check(c);
		ism_detach_regions(c->theirs, NR);
		both_back(c);
		ism_detach_regions(c->mine, NR);
		c->rounds++;
	}
	return NULL;
}

/* Killed whenever it happens: at any command, before or after it became valid, before or after its answer. */
START_TEST(it_is_killed_in_the_midst_of_it)
{
	pthread_t thread;
	struct churn c;

	churn_open(&c);
	pthread_create(&thread, NULL, churn_main, &c);
	for (int i = 0; i < 12; i++) {
		unsigned int seen = c.rounds;
		eventually(c.rounds > seen + 1, 60);
		c.ismd = restart(c.ismd, NULL);
	}
	c.stop = true;
	pthread_join(thread, NULL);
	ck_assert_int_le(nr_regions(c.a), NR);	/* those that wait in the pool */
	ism_close(c.a);
	eventually(nr_regions(c.b) == 0, 20);
	eventually((drain(c.b), mapped_objects() == 0), 20);
	ism_close(c.b);
	harness_ismd_stop(c.ismd);
}
END_TEST

Suite *restart_batches_suite(void)
{
	Suite *s = suite_create("restart: batches");
	TCase *tc = harness_tcase(s, "batches", 120);

	tcase_add_test(tc, pooled_regions_go_round_over_restarts);
	tcase_add_test(tc, what_waited_over_a_restart_has_events);
	tcase_add_test(tc, what_was_attached_before_a_restart_is_not_kept);
	tcase_add_test(tc, it_is_killed_in_the_midst_of_it);
	return s;
}

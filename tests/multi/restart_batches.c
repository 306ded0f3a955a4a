/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * restart_batches.c - kill -9 of the daemon while pooled regions go round: a
 * renewed one survives, and what the peer keeps mapped is not left behind.
 */
#include "kept.h"
#include "pooled.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NR = 16 };

struct churn {
	struct pooled p;
	pid_t ismd;
	_Atomic bool stop;
	_Atomic unsigned int rounds;
};

static void churn_open(struct churn *c)
{
	struct ism_open_opts patient = { .size = sizeof patient, .restart_ms = 60000 };

	*c = (struct churn){ .p.nr = NR, .ismd = harness_ismd_kept("d", NULL) };
	ok(ism_open(harness_uri("d"), &patient, &c->p.a));
	ok(ism_open(harness_uri("d"), &patient, &c->p.b));
}

static void churn_close(struct churn *c)
{
	ism_close(c->p.a);
	ism_close(c->p.b);
	harness_ismd_stop(c->ismd);
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
	ok(ism_region_peers(c->p.mine[0], NULL, 0));
	ok(nr_devices(c->p.b));
	drain(c->p.a);
	drain(c->p.b);
}

static void leave(struct churn *c)
{
	ism_detach_regions(c->p.theirs, NR);
	eventually(ok(ism_region_peers(c->p.mine[0], NULL, 0)) == 0, 30);
	ism_detach_regions(c->p.mine, NR);
}

/* A restart behind each step in turn: the contents are right, old tokens are nobody's, nothing is left. */
START_TEST(pooled_regions_go_round_over_restarts)
{
	struct ism_region *none;
	struct churn c;

	churn_open(&c);
	for (int step = 0; step < 6; step++) {
		pooled_make(&c.p);
		uint64_t old = c.p.token[0];
		if (step == 1)
			c.ismd = restart(c.ismd, NULL);
		pooled_share(&c.p);
		if (step == 2)
			c.ismd = restart(c.ismd, NULL);
		pooled_check(&c.p);
		ism_detach_regions(c.p.theirs, NR);
		if (step == 3)
			c.ismd = restart(c.ismd, NULL);
		both_back(&c);
		eventually(ok(ism_region_peers(c.p.mine[0], NULL, 0)) == 0, 30);
		ism_detach_regions(c.p.mine, NR);
		if (step == 4)
			c.ismd = restart(c.ismd, NULL);
		fails(ism_attach_region(c.p.b, old, ISM_READ, NULL, &none), -ENOENT);
		ck_assert_int_le(nr_regions(c.p.a), NR);
	}
	churn_close(&c);
}
END_TEST

static void await_peers(struct ism_device *dev, uint64_t token, uint32_t type, uint32_t peers)
{
	struct ism_event ev;

	do
		ck_assert_int_eq(ok(ism_wait(dev, &ev, 1, sizeof ev, SECONDS(30))), 1);
	while (ev.type != type || ev.token != token);
	ck_assert_uint_eq(ev.peers, peers);
}

/* A region that waited in the pool while the daemon was restarted: its creator hears of the peer as of any other. */
START_TEST(what_waited_over_a_restart_has_events)
{
	struct churn c;

	churn_open(&c);
	for (int i = 0; i < 3; i++) {	/* events of before: the new daemon counts from 0 */
		pooled_make(&c.p);
		pooled_share(&c.p);
		pooled_check(&c.p);
		leave(&c);
	}
	c.ismd = restart(c.ismd, NULL);
	ok(nr_devices(c.p.a));
	ok(nr_devices(c.p.b));
	drain(c.p.a);
	pooled_make(&c.p);
	pooled_share(&c.p);
	await_peers(c.p.a, c.p.token[NR - 1], ISM_EVENT_ATTACH, 1);
	pooled_check(&c.p);
	ism_detach_regions(c.p.theirs, NR);
	await_peers(c.p.a, c.p.token[NR - 1], ISM_EVENT_DETACH, 0);
	ism_detach_regions(c.p.mine, NR);
	churn_close(&c);
}
END_TEST

/* Attached before the restart, let go of after it: the new daemon does not know that the peer would have kept that. */
START_TEST(what_was_attached_before_a_restart_is_not_kept)
{
	struct churn c;

	churn_open(&c);
	pooled_make(&c.p);
	pooled_share(&c.p);
	c.ismd = restart(c.ismd, NULL);
	both_back(&c);
	pooled_check(&c.p);
	leave(&c);
	ism_close(c.p.a);
	ok(nr_devices(c.p.b));
	drain(c.p.b);
	eventually((drain(c.p.b), pooled_mapped() == 0), 30);
	ism_close(c.p.b);
	harness_ismd_stop(c.ismd);
}
END_TEST

static void *churn_main(void *arg)
{
	struct churn *c = arg;

	while (!c->stop) {
		pooled_make(&c->p);
		pooled_share(&c->p);
		pooled_check(&c->p);
		ism_detach_regions(c->p.theirs, NR);
		both_back(c);
		ism_detach_regions(c->p.mine, NR);
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
	ck_assert_int_le(nr_regions(c.p.a), NR);	/* those that wait in the pool */
	ism_close(c.p.a);
	eventually(nr_regions(c.p.b) == 0, 30);
	eventually((drain(c.p.b), pooled_mapped() == 0), 30);
	ism_close(c.p.b);
	harness_ismd_stop(c.ismd);
}
END_TEST

Suite *restart_batches_suite(void)
{
	Suite *s = suite_create("restart: batches");
	TCase *tc = harness_tcase(s, "batches", 600);

	tcase_add_test(tc, pooled_regions_go_round_over_restarts);
	tcase_add_test(tc, what_waited_over_a_restart_has_events);
	tcase_add_test(tc, what_was_attached_before_a_restart_is_not_kept);
	tcase_add_test(tc, it_is_killed_in_the_midst_of_it);
	return s;
}

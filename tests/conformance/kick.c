/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * kick.c - a device that is taken off its domain.
 */
#include "conformance.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* Two devices that share a region of each, and have rung each other often enough to do it directly. */
struct pair {
	struct ism_device *a, *b;
	uint64_t b_id;
	struct ism_region *of_a, *of_b;		/* at a: one that a allocated, one that b did */
	struct ism_region *b_of_a, *b_of_b;
};

static void pair_open(struct pair *p)
{
	p->a = device();
	p->b = device();
	p->b_id = devid_of(p->b);
	p->of_a = alloc(p->a, 4096);
	p->b_of_b = alloc(p->b, 4096);
	p->of_b = attach(p->a, p->b_of_b);
	p->b_of_a = attach(p->b, p->of_a);
	for (int i = 0; i < 4; i++) {
		ok(ism_region_notify(p->of_a));
		ck_assert_int_eq(ok(ism_region_wait(p->b_of_a, SECONDS(30))), 1);
		ok(ism_region_notify(p->b_of_a));
		ck_assert_int_eq(ok(ism_region_wait(p->of_a, SECONDS(30))), 1);
	}
	drain(p->a, 0);
	drain(p->b, 0);
}

static void pair_close(struct pair *p)
{
	ism_close(p->b);
	ism_close(p->a);
	domain_end();
}

START_TEST(peers_see_it_go)
{
	struct pair p;
	uint64_t id;

	pair_open(&p);
	ok(ism_kick_device(p.a, p.b_id));
	for (int i = 0; i < 2; i++) {
		struct ism_event ev = next_event(p.a);
		ck_assert_uint_eq(ev.type, ISM_EVENT_DETACH);
		ck_assert_uint_eq(ev.devid, p.b_id);
		ck_assert_uint_eq(ev.peers, 0);
	}
	ck_assert_int_eq(ok(ism_region_peers(p.of_a, &id, 1)), 0);
	fails(ism_region_wait(p.of_a, SECONDS(30)), -EPIPE);
	/* Nobody manages its region any more. */
	struct ism_device *c = device();
	struct ism_region *r;
	fails(ism_attach_region(c, ism_region_token(p.of_b), ISM_READ, NULL, &r), -ENOENT);
	ok(ism_attach_region(c, ism_region_token(p.of_a), ISM_READ, NULL, &r));
	ism_close(c);
	pair_close(&p);
}
END_TEST

START_TEST(it_gets_a_reset_and_keeps_its_memory)
{
	struct ism_region *r;
	struct pair p;

	pair_open(&p);
	strcpy(ism_region_addr(p.of_a), "before");
	ok(ism_kick_device(p.a, p.b_id));
	ck_assert_uint_eq(next_event(p.b).type, ISM_EVENT_RESET);
	fails(ism_alloc_region(p.b, 1, NULL, &r), -EHOSTDOWN);
	fails(ism_attach_region(p.b, ism_region_token(p.of_a), ISM_READ, NULL, &r), -EHOSTDOWN);
	fails(ism_region_grant_default(p.b_of_b, 0), -EHOSTDOWN);
	fails(ism_region_wait(p.b_of_a, SECONDS(30)), -EHOSTDOWN);
	ck_assert_str_eq(ism_region_addr(p.b_of_a), "before");
	ck_assert_str_eq(ism_region_addr(p.b_of_b), "");
	/* It rings nobody any more: b's doorbell would be the only one. */
	ism_region_notify(p.b_of_a);
	fails(ism_region_wait(p.of_a, 0), -EPIPE);
	/* Its program may come again, as somebody else. */
	struct ism_device *again = device();
	ck_assert_uint_ne(devid_of(again), p.b_id);
	ism_close(again);
	pair_close(&p);
}
END_TEST

struct waiter {
	struct ism_device *dev;
	struct ism_region *region;
	int result;
	struct ism_event ev;
};

static void *wait_main(void *arg)
{
	struct waiter *w = arg;

	w->result = w->region != NULL ? ism_region_wait(w->region, SECONDS(30))
				      : ism_wait(w->dev, &w->ev, 1, sizeof w->ev, SECONDS(30));
	return NULL;
}

START_TEST(its_waits_end)
{
	struct timespec pause = { .tv_nsec = 50000000 };
	struct pair p;
	pthread_t t[3];

	pair_open(&p);
	struct waiter w[3] = { { .dev = p.b, .region = p.b_of_a }, { .dev = p.b, .region = p.b_of_b }, { .dev = p.b } };
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, wait_main, &w[i]);
	nanosleep(&pause, NULL);	/* most likely they sleep now; both ways must work */
	ok(ism_kick_device(p.a, p.b_id));
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(w[0].result, -EHOSTDOWN);
	ck_assert_int_eq(w[1].result, -EHOSTDOWN);
	ck_assert_int_eq(w[2].result, 1);
	ck_assert_uint_eq(w[2].ev.type, ISM_EVENT_RESET);
	pair_close(&p);
}
END_TEST

START_TEST(its_fd_tells)
{
	struct ism_event ev;
	struct pair p;

	pair_open(&p);
	int fd = ok(ism_fd(p.b));
	ck_assert(falls_silent(p.b, fd));
	ok(ism_kick_device(p.a, p.b_id));
	ck_assert(readable(fd, 30000));
	/* It may be readable for the last words of its peers first. */
	do
		ck_assert_int_eq(ok(ism_wait(p.b, &ev, 1, sizeof ev, SECONDS(30))), 1);
	while (ev.type != ISM_EVENT_RESET);
	pair_close(&p);
}
END_TEST

START_TEST(who_cannot_be_kicked)
{
	struct ism_device *a = device(), *b = device();
	uint64_t b_id = devid_of(b);

	fails(ism_kick_device(a, 0), -EINVAL);
	fails(ism_kick_device(a, devid_of(a)), -EINVAL);
	fails(ism_kick_device(a, b_id + 1), -ENOENT);
	fails(ism_kick_device(a, UINT64_MAX), -ENOENT);
	ok(ism_kick_device(a, b_id));
	fails(ism_kick_device(a, b_id), -ENOENT);
	fails(ism_kick_device(b, devid_of(a)), -EHOSTDOWN);
	ism_close(b);
	fails(ism_kick_device(a, b_id), -ENOENT);
	ism_close(a);
	domain_end();
}
END_TEST

/* ------------------------------------------------------------------ in the middle of its work */

enum { ROUNDS = 40 };

struct worker {
	uint64_t token;
	_Atomic uint64_t devid;
	int result;
};

/* Work until the device is gone. */
static void *work_main(void *arg)
{
	struct worker *w = arg;
	struct ism_device *dev = device();
	struct ism_region *mine[8] = { NULL };	/* not more: it may go on for long before it is kicked */
	int r = 0;

	atomic_store(&w->devid, devid_of(dev));
	for (int i = 0; r == 0; i++) {
		struct ism_region *theirs;
		ism_detach_region(mine[i % 8]);
		mine[i % 8] = NULL;
		r = ism_alloc_region(dev, 4096, NULL, &mine[i % 8]);
		if (r == 0 && (r = ism_attach_region(dev, w->token, ISM_READ | ISM_WRITE, NULL, &theirs)) == 0) {
			for (int k = 0; k < i % 5 && r == 0; k++) {
				r = ism_region_notify(theirs);
				if (r == 0 && ism_region_wait(theirs, 1000) == -EHOSTDOWN)
					r = -EHOSTDOWN;
			}
			if (i % 2)
				ism_detach_region(theirs);
		}
	}
	w->result = r;
	ism_close(dev);
	return NULL;
}

START_TEST(it_may_be_doing_anything)
{
	struct ism_device *a = device();
	struct ism_region *r = alloc(a, 4096);
	pthread_t t;

	for (int i = 0; i < ROUNDS; i++) {
		struct worker w = { .token = ism_region_token(r) };
		pthread_create(&t, NULL, work_main, &w);
		eventually(atomic_load(&w.devid) != 0, 30);
		for (int k = 0; k < i; k++)
			ok(ism_region_notify(r));
		ok(ism_kick_device(a, atomic_load(&w.devid)));
		pthread_join(t, NULL);
		ck_assert_int_eq(w.result, -EHOSTDOWN);
		drain(a, 0);
	}
	struct ism_device_entry e[4];
	uint64_t cursor = 0;
	ck_assert_int_eq(ok(ism_list_devices(a, e, 4, sizeof e[0], &cursor)), 1);
	ism_close(a);
	domain_end();
}
END_TEST

Suite *kick_suite(void)
{
	Suite *s = suite_create("kick");
	TCase *tc = harness_tcase(s, "kick", 300);

	tcase_add_test(tc, peers_see_it_go);
	tcase_add_test(tc, it_gets_a_reset_and_keeps_its_memory);
	tcase_add_test(tc, its_waits_end);
	tcase_add_test(tc, its_fd_tells);
	tcase_add_test(tc, who_cannot_be_kicked);
	tcase_add_test(tc, it_may_be_doing_anything);
	return s;
}

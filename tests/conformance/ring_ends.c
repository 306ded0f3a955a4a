/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring_ends.c - an end of a ring goes, in order or not, and the other finds out.
 */
#include "pair.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

START_TEST(a_closed_end_is_seen_after_the_last_record)
{
	struct pair p = pair_open(65536);
	char buf[8];

	ok(ism_ring_write(p.out, "last", 4, 0));
	ism_ring_close(p.out);
	p.out = NULL;
	ck_assert_int_eq(ok(ism_ring_read(p.in, buf, sizeof buf, 0)), 4);
	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EPIPE);
	fails(ism_ring_read(p.in, buf, sizeof buf, -1), -EPIPE);
	pair_close(&p);
}
END_TEST

START_TEST(a_reader_that_left_is_seen)
{
	struct pair p = pair_open(65536);

	ok(ism_ring_write(p.out, "x", 1, 0));
	ism_ring_close(p.in);
	p.in = NULL;
	fails(ism_ring_write(p.out, "x", 1, -1), -EPIPE);
	pair_close(&p);
}
END_TEST

START_TEST(a_peer_that_vanished_is_seen)
{
	struct pair p = pair_open(65536);
	char buf[8];

	ok(ism_ring_write(p.out, "last", 4, 0));
	ism_close(p.a);		/* without closing its end first */
	ck_assert_int_eq(ok(ism_ring_read(p.in, buf, sizeof buf, SECONDS(30))), 4);
	fails(ism_ring_read(p.in, buf, sizeof buf, SECONDS(30)), -ECONNRESET);
	fails(ism_ring_read(p.in, buf, sizeof buf, -1), -ECONNRESET);
	bury(p.out);
	ism_ring_close(p.in);
	ism_close(p.b);
	domain_end();
}
END_TEST

START_TEST(who_never_waits_sees_it_too)
{
	struct pair p = pair_open(65536), q = pair_open(65536);
	char buf[1000] = { 0 };
	const void *record;
	void *room;
	size_t len;
	int r;

	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	fails(ism_ring_peek(p.in, &record, &len), -EAGAIN);
	ok(ism_ring_write(p.out, "last", 4, 0));
	ism_close(p.a);
	ck_assert_int_eq(ok(ism_ring_read(p.in, buf, sizeof buf, 0)), 4);
	eventually((r = (int)ism_ring_read(p.in, buf, sizeof buf, 0)) != -EAGAIN, 30);
	ck_assert_int_eq(r, -ECONNRESET);
	eventually((r = ism_ring_peek(p.in, &record, &len)) != -EAGAIN, 30);
	ck_assert_int_eq(r, -ECONNRESET);
	eventually((r = ism_ring_wait(p.in, 0, 0)) != -EAGAIN, 30);
	ck_assert_int_eq(r, -ECONNRESET);
	ism_ring_close(p.in);
	bury(p.out);
	ism_close(p.b);

	while (ism_ring_write(q.out, buf, sizeof buf, 0) == 0)
		;
	ism_close(q.b);
	eventually((r = ism_ring_write(q.out, buf, sizeof buf, 0)) != -EAGAIN, 30);
	ck_assert_int_eq(r, -ECONNRESET);
	eventually((r = ism_ring_reserve(q.out, sizeof buf, &room)) != -EAGAIN, 30);
	ck_assert_int_eq(r, -ECONNRESET);
	ism_ring_close(q.out);
	bury(q.in);
	ism_close(q.a);
	domain_end();
}
END_TEST

/* The writer vanishes, and its reader, who only ever polls, finds that out. */
static void its_end_is_polled(struct pair *p, int fd)
{
	char buf[8];
	int r;

	ism_close(p->a);
	do {
		if (!readable(fd, 30000))
			ck_abort_msg("silent, and the peer is gone");
		drain(p->b, 0);
		r = (int)ism_ring_read(p->in, buf, sizeof buf, 0);
	} while (r == -EAGAIN);
	ck_assert_int_eq(r, -ECONNRESET);
	bury(p->out);
	ism_ring_close(p->in);
	ism_close(p->b);
	domain_end();
}

/* With the device's descriptor, and with one of the region's own. */
START_TEST(who_polls_sees_it_too)
{
	struct ism_attach_opts o = { .size = sizeof o, .flags = _i ? ISM_ATTACH_VECTOR : 0 };
	struct pair p = pair_open_with(4096, NULL, &o);
	int fd = (int)ok(ism_ring_fd(p.in));
	char buf[8];

	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	ok(ism_region_notify(p.ra));
	its_end_is_polled(&p, fd);
}
END_TEST

/* And nothing was on its way that would have waked it anyhow. */
START_TEST(who_polls_is_told_of_the_end)
{
	struct ism_attach_opts o = { .size = sizeof o, .flags = _i ? ISM_ATTACH_VECTOR : 0 };
	struct pair p = pair_open_with(4096, NULL, &o);
	int fd = (int)ok(ism_ring_fd(p.in)), r;
	char buf[8];

	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	ok(ism_ring_write(p.out, "x", 1, SECONDS(30)));
	do {
		ck_assert(readable(fd, 30000));
		drain(p.b, 0);
		r = (int)ism_ring_read(p.in, buf, sizeof buf, 0);
	} while (r == -EAGAIN);
	ck_assert_int_eq(r, 1);
	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	while (readable(fd, 100)) {	/* rings that come late */
		drain(p.b, 0);
		fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	}
	its_end_is_polled(&p, fd);
}
END_TEST

static void *late_reader_main(void *arg)
{
	struct ism_ring *ring = arg;
	char buf[8];

	fails(ism_ring_read(ring, buf, sizeof buf, SECONDS(30)), -ECONNRESET);
	return NULL;
}

static uint64_t sleeps_of(struct ism_device *dev)
{
	struct ism_stats stats = { .size = sizeof stats };

	ok(ism_query_stats(dev, &stats));
	return stats.sleeps;
}

/* The doorbell and the end come at once to one who sleeps, and there is nothing in the ring. */
START_TEST(a_peer_that_rings_and_vanishes_is_seen)
{
	for (int i = 0; i < 60; i++) {
		struct pair p = pair_open(65536);
		pthread_t thread;

		ck_assert_int_eq(pthread_create(&thread, NULL, late_reader_main, p.in), 0);
		eventually(sleeps_of(p.b) > 0, 30);
		ok(ism_region_notify(p.ra));
		ism_close(p.a);		/* without closing its end first */
		pthread_join(thread, NULL);
		bury(p.out);
		ism_ring_close(p.in);
		ism_close(p.b);
	}
	domain_end();
}
END_TEST

Suite *ring_ends_suite(void)
{
	Suite *s = suite_create("ring ends");
	TCase *tc = harness_tcase(s, "ring ends", 300);

	tcase_add_test(tc, a_closed_end_is_seen_after_the_last_record);
	tcase_add_test(tc, a_reader_that_left_is_seen);
	tcase_add_test(tc, a_peer_that_vanished_is_seen);
	tcase_add_test(tc, who_never_waits_sees_it_too);
	tcase_add_loop_test(tc, who_polls_sees_it_too, 0, 2);
	tcase_add_loop_test(tc, who_polls_is_told_of_the_end, 0, 2);
	tcase_add_test(tc, a_peer_that_rings_and_vanishes_is_seen);
	return s;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * events.c - who came, who went, who rang, and what was lost.
 */
#include "conformance.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

START_TEST(peers_come_and_go)
{
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra);
	struct ism_event ev = next_event(a);

	ck_assert_uint_eq(ev.type, ISM_EVENT_ATTACH);
	ck_assert_uint_eq(ev.devid, devid_of(b));
	ck_assert_uint_eq(ev.peers, 1);
	ck_assert_uint_eq(ev.token, ism_region_token(ra));
	ck_assert_ptr_eq(ev.region, ra);
	attach(c, ra);
	ck_assert_uint_eq(next_event(a).peers, 2);
	ev = next_event(b);
	ck_assert_uint_eq(ev.type, ISM_EVENT_ATTACH);
	ck_assert_uint_eq(ev.devid, devid_of(c));
	uint64_t c_id = devid_of(c);
	ism_close(c);
	ev = next_event(a);
	ck_assert_uint_eq(ev.type, ISM_EVENT_DETACH);
	ck_assert_uint_eq(ev.devid, c_id);
	ck_assert_uint_eq(ev.peers, 1);
	ism_detach_region(rb);
	ev = next_event(a);
	ck_assert_uint_eq(ev.type, ISM_EVENT_DETACH);
	ck_assert_uint_eq(ev.peers, 0);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(updates_name_the_ringer)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra);

	ck_assert_uint_eq(next_event(a).type, ISM_EVENT_ATTACH);
	for (int i = 0; i < 5; i++) {
		ok(ism_region_notify(rb));
		struct ism_event ev = next_event(a);
		ck_assert_uint_eq(ev.type, ISM_EVENT_UPDATE);
		ck_assert_uint_eq(ev.devid, devid_of(b));
		ck_assert_ptr_eq(ev.region, ra);
		ck_assert_uint_eq(ev.token, ism_region_token(ra));
	}
	ck_assert_uint_eq(drain(a, ISM_EVENT_UPDATE), 0);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(several_events_in_one_wait)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra[4];
	struct ism_event ev[16];

	for (int i = 0; i < 4; i++) {
		ra[i] = alloc(a, 4096);
		attach(b, ra[i]);
	}
	/* An interrupt of a machine may come later than the answer of the attach that made the event. */
	int nr = (int)ok(ism_wait(a, ev, 3, sizeof ev[0], SECONDS(30)));
	ck_assert(in_machine() ? nr >= 1 && nr <= 3 : nr == 3);
	while (nr < 4)
		nr += (int)ok(ism_wait(a, ev, 16, sizeof ev[0], SECONDS(30)));
	ck_assert_int_eq(nr, 4);
	ck_assert_int_eq(ok(ism_wait(a, ev, 16, sizeof ev[0], 0)), 0);
	double begin = harness_now();
	ck_assert_int_eq(ok(ism_wait(a, ev, 16, sizeof ev[0], SECONDS(0.05))), 0);
	ck_assert(harness_now() - begin >= 0.05);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(longer_and_shorter_event_structures)
{
	struct {
		struct ism_event ev;
		uint64_t newer;
	} big = { .newer = 1 };
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096);

	fails(ism_event_next(a, &big.ev, sizeof big.ev - 1), -EINVAL);
	fails(ism_wait(a, &big.ev, 1, sizeof big.ev - 8, 0), -EINVAL);
	fails(ism_wait(a, &big.ev, 0, sizeof big.ev, 0), -EINVAL);
	attach(b, ra);
	ck_assert_int_eq(ok(ism_wait(a, &big.ev, 1, sizeof big, SECONDS(30))), 1);
	ck_assert_uint_eq(big.ev.type, ISM_EVENT_ATTACH);
	ck_assert_uint_eq(big.newer, 0);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(a_handles_events_end_with_it)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra);
	struct ism_event ev;

	eventually(ok(ism_region_peers(ra, NULL, 0)) == 1, 30);
	ok(ism_region_notify(rb));
	ism_detach_region(ra);
	while (ok(ism_event_next(a, &ev, sizeof ev)) > 0)
		ck_assert_ptr_ne(ev.region, ra);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(the_fd_tells_of_events)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096);
	int fd = (int)ok(ism_fd(a));

	ck_assert(falls_silent(a, fd));
	for (int i = 0; i < 20; i++) {
		struct ism_region *rb = attach(b, ra);
		ck_assert(readable(fd, 30000));
		ck_assert_uint_eq(next_event(a).type, ISM_EVENT_ATTACH);
		ck_assert(falls_silent(a, fd));
		ism_detach_region(rb);
		ck_assert(readable(fd, 30000));
		ck_assert_uint_eq(next_event(a).type, ISM_EVENT_DETACH);
		ck_assert(falls_silent(a, fd));
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* More events than anybody keeps: a machine's driver less than the others.  @b refers to the region at last. */
static unsigned int too_many_events(struct ism_device *b, const struct ism_region *ra, struct ism_region **ret)
{
	unsigned int nr = backend == DEV ? 700 : 6000;

	for (unsigned int i = 0; i < nr; i++) {
		*ret = attach(b, ra);
		if (i < nr - 1)
			ism_detach_region(*ret);
	}
	return 2 * nr - 1;
}

START_TEST(what_is_lost_is_said)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = NULL;
	unsigned int came = 0, lost = 0, more;
	struct ism_event ev;

	more = too_many_events(b, ra, &rb);
	/* A machine's interrupts may be late: until something is lost, all the others have to come. */
	while (more > 0 && (in_machine() ? (ev = next_event(a), true) : ok(ism_event_next(a, &ev, sizeof ev)) > 0)) {
		came += ev.type == ISM_EVENT_ATTACH;
		lost += ev.type == ISM_EVENT_LOST;
		more--;
		if (ev.type == ISM_EVENT_LOST) {
			ck_assert_ptr_null(ev.region);
			ck_assert_int_eq(ok(ism_region_peers(ra, NULL, 0)), 1);
			if (in_machine())
				break;
		}
		if (more == 0) {	/* whoever was so fast took them all */
			ism_detach_region(rb);
			more = 1 + too_many_events(b, ra, &rb);
		}
	}
	ck_assert_uint_eq(lost, 1);
	ck_assert_uint_gt(came, in_machine() ? 0 : 100);
	if (in_machine())
		drain(a, 0);
	/* The count of peers is right again, so that waits end when they must. */
	ism_detach_region(rb);
	fails(ism_region_wait(ra, SECONDS(30)), -EPIPE);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(nothing_is_lost_while_attaching)
{
	struct ism_device *a = device(), *b = device();

	/* b rings as soon as it hears of a's attach, which may not have returned yet. */
	for (int i = 0; i < 200; i++) {
		struct ism_region *rb = alloc(b, 4096), *ra = attach(a, rb);
		ck_assert_uint_eq(next_event(b).type, ISM_EVENT_ATTACH);
		ok(ism_region_notify(rb));
		ck_assert_int_eq(ok(ism_region_wait(ra, SECONDS(30))), 1);
		ism_detach_region(ra);
		ism_detach_region(rb);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* ------------------------------------------------------------------ interrupt */

struct waiter {
	struct ism_device *dev;
	struct ism_region *region;
	int result;
	_Atomic bool ended;
};

static void *wait_main(void *arg)
{
	struct waiter *w = arg;
	struct ism_event ev;

	w->result = w->region != NULL ? ism_region_wait(w->region, -1) : ism_wait(w->dev, &ev, 1, sizeof ev, -1);
	w->ended = true;
	return NULL;
}

START_TEST(an_interrupt_ends_every_wait)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *ra2 = alloc(a, 4096);
	struct waiter w[3] = { { .dev = a, .region = ra }, { .dev = a, .region = ra2 }, { .dev = a } };
	struct timespec pause = { .tv_nsec = 50000000 };
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, wait_main, &w[i]);
	nanosleep(&pause, NULL);	/* most likely they sleep now; both ways must work */
	/* Whoever begins later is ended by a later one, however late that is: one alone ends those that have begun. */
	eventually(ok(ism_interrupt(a)) == 0 && w[0].ended && w[1].ended && w[2].ended, 30);
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		ck_assert_int_eq(w[i].result, -EINTR);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(an_interrupt_waits_for_a_wait)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096);

	attach(b, ra);
	ok(ism_interrupt(a));
	fails(ism_region_wait(ra, SECONDS(30)), -EINTR);
	ck_assert_int_eq(ok(ism_region_wait(ra, SECONDS(0.01))), 0);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

static struct ism_device *signal_dev;

static void on_alarm(int sig)
{
	(void)sig;
	ism_interrupt(signal_dev);
}

START_TEST(an_interrupt_from_a_signal_handler)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096);
	struct sigaction sa = { .sa_handler = on_alarm }, old;
	struct itimerval in_50_ms = { .it_value = { .tv_usec = 50000 } };

	attach(b, ra);
	signal_dev = a;
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &in_50_ms, NULL);
	fails(ism_region_wait(ra, -1), -EINTR);
	sigaction(SIGALRM, &old, NULL);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

static void on_nothing(int sig)
{
	(void)sig;
}

START_TEST(a_signal_alone_does_not_end_a_wait)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096);
	struct sigaction sa = { .sa_handler = on_nothing }, old;
	struct itimerval often = { { .tv_usec = 5000 }, { .tv_usec = 5000 } }, never = { 0 };
	double begin = harness_now();

	attach(b, ra);
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &often, NULL);
	ck_assert_int_eq(ok(ism_region_wait(ra, SECONDS(0.1))), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	ck_assert(harness_now() - begin >= 0.1);
	sigaction(SIGALRM, &old, NULL);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

Suite *events_suite(void)
{
	Suite *s = suite_create("events");
	TCase *tc = harness_tcase(s, "events", 300);

	tcase_add_test(tc, peers_come_and_go);
	tcase_add_test(tc, updates_name_the_ringer);
	tcase_add_test(tc, several_events_in_one_wait);
	tcase_add_test(tc, longer_and_shorter_event_structures);
	tcase_add_test(tc, a_handles_events_end_with_it);
	tcase_add_test(tc, the_fd_tells_of_events);
	tcase_add_test(tc, what_is_lost_is_said);
	tcase_add_test(tc, nothing_is_lost_while_attaching);
	tcase_add_test(tc, an_interrupt_ends_every_wait);
	tcase_add_test(tc, an_interrupt_waits_for_a_wait);
	tcase_add_test(tc, an_interrupt_from_a_signal_handler);
	tcase_add_test(tc, a_signal_alone_does_not_end_a_wait);
	return s;
}

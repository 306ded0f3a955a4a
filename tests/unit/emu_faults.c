/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * emu_faults.c - private domains in which calls, doorbells and events fail.
 */
#include "emu_domain.h"

#include <errno.h>
#include <ism-ring.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ faults in calls */

START_TEST(wrong_faults_are_refused_with_the_place)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ "alloc", "at \"\" (character 6)" },
		{ "alloc=", "at \"\" (character 7)" },
		{ "alloc:=ENOSPC", "at \"=ENOSPC\" (character 7): expected an ordinal" },
		{ "alloc:0=ENOSPC", "(character 7): expected an ordinal" },
		{ "alloc:x=ENOSPC", "(character 7): expected an ordinal" },
		{ "alloc:3x=ENOSPC", "(character 8): expected \"=\"" },
		{ "alloc:1234567890123456789=drop", "(character 7): expected an ordinal" },
		{ "alloc:3=", "(character 9): expected the name of an errno" },
		{ "alloc:3=ENOSP", "(character 9): expected the name of an errno" },
		{ "alloc:3=ENOSPCE", "(character 9): expected the name of an errno" },
		{ "alloc:3=enospc", "(character 9): expected the name of an errno" },
		{ "alloc:3=dropped", "(character 9): expected the name of an errno" },
		{ "alloc:3=delay", "(character 14): expected \":\" and a time" },
		{ "alloc:3=delay:", "(character 15): expected a time" },
		{ "alloc:3=delay:0ms", "(character 15): expected a time" },
		{ "alloc:3=delay:5", "(character 16): expected a unit" },
		{ "alloc:3=delay:5h", "(character 16): expected a unit" },
		{ "alloc:3=delay:999999999999999999s", "expected a shorter time" },
		{ "open:1=ENOSPC", "at \"open:1=ENOSPC\" (character 1): expected alloc, attach" },
		{ "allocate=drop", "(character 1)" },
		{ "notify:5=drop,", "(character 15): expected a fault behind the comma" },
		{ ",notify:5=drop", "(character 1)" },
		{ "notify:5=drop;event=drop", "(character 10)" },
		{ " notify:5=drop", "(character 1)" },
		{ "detach=ENOENT", "(character 8): expected drop, delay:TIME or die" },
		{ "event=EIO", "(character 7): expected drop, delay:TIME or die" },
		{ "host=EIO", "(character 6): expected drop, delay:TIME or die" },
	};
	struct ism_emu *emu = start(true, ""), *none = NULL;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct ism_emu_opts opts = { .size = sizeof opts, .faults = bad[i].text };
		fails(ism_emu_start(&opts, &none), -EINVAL);
		ck_assert_msg(strstr(ism_error_detail(), bad[i].words) != NULL, "%s: %s", bad[i].text, ism_error_detail());
		fails(ism_emu_set_faults(emu, bad[i].text), -EINVAL);
		setenv("ISM_EMU_FAULTS", bad[i].text, 1);
		fails(ism_emu_start(NULL, &none), -EINVAL);
		struct ism_device *dev;
		fails(ism_open("loop:x", NULL, &dev), -EINVAL);
		fails(ism_open(harness_uri("x"), NULL, &dev), -EINVAL);
		ck_assert_ptr_nonnull(strstr(ism_error_detail(), "ISM_EMU_FAULTS=\""));
	}
	ok(ism_emu_set_faults(emu, "alloc:3=ENOSPC,notify:5=drop,event=delay:5ms,host:10=die"));
	ok(ism_emu_set_faults(emu, "grant=delay:7ns,attach=delay:8us,detach=delay:9s"));
	fails(ism_emu_passes(emu, "open"), -EINVAL);
	ism_emu_stop(emu);
}
END_TEST

static void calls_fail(bool loop)
{
	struct ism_emu *emu = start(loop, "alloc:3=ENOSPC,attach:2=EACCES,grant:1=EPERM,attach=EIO,notify:2=EHOSTDOWN");
	struct ism_device *a = device(emu), *b = device(emu);
	struct ism_region *r1 = alloc(a), *r2 = alloc(b), *none;
	uint64_t token = ism_region_token(r1);

	fails(ism_alloc_region(a, 1, NULL, &none), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "injected fault: alloc number 3"));
	alloc(a);
	fails(ism_attach_region(b, token, ISM_READ, NULL, &none), -EIO);
	fails(ism_attach_region(b, token, ISM_READ, NULL, &none), -EACCES);
	fails(ism_attach_region(b, token, ISM_READ, NULL, &none), -EIO);
	fails(ism_region_grant_default(r1, ISM_READ), -EPERM);
	ok(ism_region_grant(r1, devid(b), ISM_READ));
	ok(ism_region_notify(r1));
	fails(ism_region_notify(r2), -EHOSTDOWN);
	ok(ism_region_notify(r2));
	ck_assert_int_eq(ism_emu_passes(emu, "alloc"), 4);
	ck_assert_int_eq(ism_emu_passes(emu, "attach"), 3);
	ck_assert_int_eq(ism_emu_fired(emu), 6);
	ok(ism_emu_set_faults(emu, ""));
	ck_assert_int_eq(ism_emu_passes(emu, "alloc"), 0);
	struct ism_region *many[3];
	ok(ism_alloc_regions(a, 1, NULL, 3, many));
	ck_assert_int_eq(ism_emu_passes(emu, "alloc"), 1);
	ck_assert_int_eq(ism_emu_fired(emu), 0);
	ism_close(a);
	ism_close(b);
	ism_emu_stop(emu);
}

START_TEST(calls_fail_by_number)
{
	calls_fail(false);
	calls_fail(true);
}
END_TEST

static void requests_get_lost(bool loop)
{
	struct ism_emu *emu = start(loop, "alloc:2=drop,host:3=drop,detach:1=drop");
	struct ism_open_opts opts = { .size = sizeof opts, .timeout_ms = 1000 };
	struct ism_device *a = device(emu), *b = device(emu), *hasty;
	struct ism_region *r1 = alloc(a), *none;	/* host: 1 */
	uint64_t ids[4];

	/* The one that does not wait for long may not get at once what another would wait for. */
	eventually(ism_open(ism_emu_uri(emu), &opts, &hasty) == 0, 30);
	fails(ism_alloc_region(hasty, 1, NULL, &none), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "injected fault"));
	struct ism_region *r2 = attach(b, r1);	/* host: 2 */
	fails(ism_alloc_region(hasty, 1, NULL, &none), -ETIMEDOUT);
	ck_assert_ptr_null(strstr(ism_error_detail(), "injected fault"));
	eventually(ism_alloc_region(hasty, 1, NULL, &none) == 0, 30);
	/* A detach that nobody hears of; the next one is heard. */
	ism_detach_region(r2);
	ck_assert_int_eq(ok(ism_region_peers(r1, ids, 4)), 1);
	ck_assert_uint_eq(ids[0], devid(b));
	r2 = attach(b, r1);
	ism_detach_region(r2);
	ck_assert_int_eq(ok(ism_region_peers(r1, ids, 4)), 0);
	ism_close(hasty);
	ism_close(a);
	ism_close(b);
	ism_emu_stop(emu);
}

START_TEST(requests_and_answers_get_lost)
{
	requests_get_lost(false);
	requests_get_lost(true);
}
END_TEST

static void takes_time(bool loop)
{
	struct ism_emu *emu = start(loop, "alloc=delay:30ms,host:2=delay:30ms,notify=delay:30ms,detach=delay:30ms");
	struct ism_device *a = device(emu);
	double began = harness_now();

	struct ism_region *region = alloc(a);
	ck_assert_double_ge(harness_now() - began, 0.03);
	began = harness_now();
	ok(ism_region_grant_default(region, 0));
	ck_assert_double_ge(harness_now() - began, 0.03);
	began = harness_now();
	ok(ism_region_notify(region));
	ism_detach_region(region);
	ck_assert_double_ge(harness_now() - began, 0.06);
	ism_close(a);
	ism_emu_stop(emu);
}

START_TEST(calls_take_their_time)
{
	takes_time(false);
	takes_time(true);
}
END_TEST

static void dies_at(bool loop, const char *faults, unsigned int good)
{
	struct ism_emu *emu = start(loop, faults);
	struct ism_device *a = device(emu), *b = device(emu);
	struct ism_region *none;

	for (unsigned int i = 0; i < good; i++)
		alloc(a);
	fails(ism_alloc_region(a, 1, NULL, &none), -EHOSTDOWN);
	fails(ism_alloc_region(b, 1, NULL, &none), -EHOSTDOWN);
	ck_assert_uint_eq(event(a, 30), ISM_EVENT_RESET);
	ok(ism_emu_restart(emu));
	struct ism_device *late = device(emu);
	alloc(late);
	ism_close(a);
	ism_close(b);
	ism_close(late);
	ism_emu_stop(emu);
}

START_TEST(the_host_dies_at_a_call)
{
	dies_at(false, "host:4=die", 3);
	dies_at(true, "host:4=die", 3);
	dies_at(false, "alloc:4=die", 3);
	dies_at(true, "alloc:4=die", 3);
}
END_TEST

/* ------------------------------------------------------------------ faults in doorbells and events */

static void bells_get_lost(bool loop)
{
	struct ism_emu *emu = start(loop, "notify:2=drop,event:3=drop");
	struct ism_device *a = device(emu), *b = device(emu);
	struct ism_region *ra = alloc(a), *rb = attach(b, ra);

	ck_assert_uint_eq(event(a, 30), ISM_EVENT_ATTACH);	/* event 1 */
	for (int i = 1; i <= 6; i++) {
		bool arrives = i != 2 && i != 3;		/* the second is not rung, the third not heard */
		ok(ism_region_notify(ra));
		ck_assert_int_eq(ok(ism_region_wait(rb, arrives ? SECONDS(30) : SECONDS(0.02))), arrives);
		/* One that is late would be one with the next, and take that along. */
		for (double end = harness_now() + 30; i == 3 && ism_emu_fired(emu) < 2 && harness_now() < end;)
			ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(0.02))), 0);
	}
	ck_assert_int_eq(ism_emu_fired(emu), 2);
	ism_close(a);
	ism_close(b);
	ism_emu_stop(emu);
}

START_TEST(doorbells_get_lost)
{
	bells_get_lost(false);
	bells_get_lost(true);
}
END_TEST

/* Its creator has not heard yet that the peer came: only the host knows, and the memory is not another region's. */
static void peer_has_it_still(bool loop)
{
	struct ism_emu *emu = start(loop, "event:1=delay:30s");
	struct ism_device *a = device(emu), *b = device(emu);
	struct ism_alloc_opts o = { .size = sizeof o, .flags = ISM_ALLOC_POOLED, .peer = devid(b) };
	struct ism_region *mine, *theirs, *next;

	ok(ism_alloc_region(a, 4096, &o, &mine));
	theirs = attach(b, mine);
	ism_detach_region(mine);
	ok(ism_alloc_region(a, 4096, &o, &next));
	strcpy(ism_region_addr(next), "next");
	strcpy(ism_region_addr(theirs), "theirs");
	ck_assert_str_eq(ism_region_addr(next), "next");
	ck_assert_int_eq(ism_emu_fired(emu), 1);
	ism_close(a);
	ism_close(b);
	ism_emu_stop(emu);
}

START_TEST(memory_that_the_peer_has_still_is_not_used_again)
{
	peer_has_it_still(false);
	peer_has_it_still(true);
}
END_TEST

/* However a doorbell is waited for, it is late and comes. */
static void bells_are_late(bool loop, uint32_t spin_us)
{
	struct ism_open_opts opts = { .size = sizeof opts, .spin_us = spin_us };
	struct ism_emu *emu = start(loop, "event:2=delay:30ms,event:3=delay:30ms,event:4=delay:30ms");
	struct ism_device *a = device(emu), *b;
	struct ism_event ev;

	ok(ism_open(ism_emu_uri(emu), &opts, &b));
	struct ism_region *ra = alloc(a), *rb = attach(b, ra);
	ck_assert_uint_eq(event(a, 30), ISM_EVENT_ATTACH);
	for (int way = 0; way < 4; way++) {
		double began = harness_now();
		ok(ism_region_notify(ra));
		if (way == 0) {
			ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(30))), 1);
		} else if (way == 1) {
			ck_assert_uint_eq(event(b, 30), ISM_EVENT_UPDATE);
		} else {
			struct pollfd p = { .fd = (int)ok(ism_fd(b)), .events = POLLIN };
			while (ok(ism_event_next(b, &ev, sizeof ev)) == 0)
				ck_assert_int_eq(poll(&p, 1, 30000), 1);
		}
		if (way < 3)	/* the fourth is not late any more */
			ck_assert_double_ge(harness_now() - began, 0.03);
	}
	ism_close(a);
	ism_close(b);
	ism_emu_stop(emu);
}

START_TEST(doorbells_are_late)
{
	for (int loop = 0; loop < 2; loop++) {
		bells_are_late(loop, 0);
		bells_are_late(loop, ISM_SPIN_NONE);
	}
}
END_TEST

static void peers_get_lost(bool loop)
{
	struct ism_emu *emu = start(loop, "event:1=drop,event:3=drop,event:4=delay:30ms");
	struct ism_device *a = device(emu), *b = device(emu);
	struct ism_region *ra = alloc(a), *rb = attach(b, ra);
	struct ism_event ev = { .type = 0 };

	ck_assert_uint_eq(event(a, 30), ISM_EVENT_LOST);
	ok(ism_region_notify(rb));			/* event 2 */
	ck_assert_int_eq(ok(ism_region_wait(ra, SECONDS(30))), 1);
	ism_detach_region(rb);
	ck_assert_uint_eq(event(a, 30), ISM_EVENT_LOST);
	fails(ism_region_wait(ra, SECONDS(30)), -EPIPE);
	double began = harness_now();
	attach(b, ra);
	ck_assert_int_eq(ok(ism_wait(a, &ev, 1, sizeof ev, SECONDS(30))), 1);
	ck_assert_double_ge(harness_now() - began, 0.03);
	ck_assert_uint_eq(ev.type, ISM_EVENT_ATTACH);
	ck_assert_uint_eq(ev.devid, devid(b));
	/* What is late for a region that goes does not come at all. */
	ok(ism_emu_set_faults(emu, "event=delay:10ms"));
	ism_close(b);
	ck_assert_int_eq(ok(ism_event_next(a, &ev, sizeof ev)), 0);
	ism_detach_region(ra);
	ck_assert_uint_eq(event(a, 0.05), 0);
	ism_close(a);
	ism_emu_stop(emu);
}

START_TEST(events_get_lost_with_a_word)
{
	peers_get_lost(false);
	peers_get_lost(true);
}
END_TEST

START_TEST(rings_count_as_notifies)
{
	struct ism_emu *emu = start(true, "notify:1=drop");
	struct ism_device *a = device(emu), *b = device(emu);
	struct ism_region *ra = alloc(a), *rb = attach(b, ra);
	struct ism_ring *out, *in;
	char buf[8];

	ok(ism_ring_create(ra, ISM_RING_WRITER, NULL, &out));
	ok(ism_ring_attach(rb, ISM_RING_READER, NULL, &in));
	int fd = (int)ok(ism_ring_fd(in));
	fails(ism_ring_read(in, buf, sizeof buf, 0), -EAGAIN);
	ok(ism_ring_write(out, "x", 1, 0));
	ck_assert_int_eq(ism_emu_fired(emu), 1);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 20), 0);		/* nobody said so */
	ck_assert_int_eq(ok(ism_ring_read(in, buf, sizeof buf, 0)), 1);
	ism_ring_close(in);
	ism_ring_close(out);
	ism_close(a);
	ism_close(b);
	ism_emu_stop(emu);
}
END_TEST

/* ------------------------------------------------------------------ the environment */

START_TEST(the_environment_is_heard)
{
	const char *const uris[] = { "loop:env", harness_uri("env") };
	struct ism_device *dev;
	struct ism_region *region;

	for (int i = 0; i < 2; i++) {
		setenv("ISM_EMU_FAULTS", i ? "alloc:3=ENOMEM" : "alloc:3=ENOSPC", 1);
		ok(ism_open(uris[i], NULL, &dev));
		ok(ism_alloc_region(dev, 1, NULL, &region));
		ism_close(dev);
		ok(ism_open(uris[i], NULL, &dev));	/* counted over all devices of the process */
		ok(ism_alloc_region(dev, 1, NULL, &region));
		fails(ism_alloc_region(dev, 1, NULL, &region), i ? -ENOMEM : -ENOSPC);
		ism_close(dev);
	}
	setenv("ISM_EMU_FAULTS", "host:2=die", 1);
	ok(ism_open(uris[1], NULL, &dev));
	ok(ism_alloc_region(dev, 1, NULL, &region));
	fails(ism_alloc_region(dev, 1, NULL, &region), -EHOSTDOWN);
	ism_close(dev);
	unsetenv("ISM_EMU_FAULTS");
	ok(ism_open(uris[1], NULL, &dev));		/* takes over, and clears up at its end */
	ism_close(dev);
}
END_TEST

START_TEST(ismd_does_not_hear_it)
{
	struct ism_device *dev;

	setenv("ISM_EMU_FAULTS", "alloc=ENOSPC,host=die,nonsense", 1);
	pid_t pid = harness_ismd("d", NULL);
	ok(ism_open(harness_uri("d"), NULL, &dev));
	alloc(dev);
	ism_close(dev);
	harness_ismd_stop(pid);
}
END_TEST

void add_fault_tests(Suite *s)
{
	TCase *tc = harness_tcase(s, "faults", 300);

	tcase_add_test(tc, wrong_faults_are_refused_with_the_place);
	tcase_add_test(tc, calls_fail_by_number);
	tcase_add_test(tc, requests_and_answers_get_lost);
	tcase_add_test(tc, calls_take_their_time);
	tcase_add_test(tc, the_host_dies_at_a_call);
	tcase_add_test(tc, doorbells_get_lost);
	tcase_add_test(tc, doorbells_are_late);
	tcase_add_test(tc, events_get_lost_with_a_word);
	tcase_add_test(tc, memory_that_the_peer_has_still_is_not_used_again);
	tcase_add_test(tc, rings_count_as_notifies);
	tcase_add_test(tc, the_environment_is_heard);
	tcase_add_test(tc, ismd_does_not_hear_it);
}

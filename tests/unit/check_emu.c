/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_emu.c - private domains for tests, and the faults in them.
 */
#include "harness.h"

#include <errno.h>
#include <ism-emu.h>
#include <ism-ring.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct ism_emu *start(bool loop, const char *faults)
{
	struct ism_emu_opts opts = { .size = sizeof opts, .flags = loop ? ISM_EMU_LOOP : 0, .faults = faults };
	struct ism_emu *emu;

	ok(ism_emu_start(&opts, &emu));
	return emu;
}

static struct ism_device *device(const struct ism_emu *emu)
{
	struct ism_open_opts opts = { .size = sizeof opts, .timeout_ms = 1000 };
	struct ism_device *dev;

	ok(ism_open(ism_emu_uri(emu), &opts, &dev));
	return dev;
}

static struct ism_region *alloc(struct ism_device *dev)
{
	struct ism_region *region;

	ok(ism_alloc_region(dev, 4096, NULL, &region));
	return region;
}

static struct ism_region *attach(struct ism_device *dev, const struct ism_region *other)
{
	struct ism_region *region;

	ok(ism_attach_region(dev, ism_region_token(other), ISM_READ | ISM_WRITE, NULL, &region));
	return region;
}

static uint64_t devid(struct ism_device *dev)
{
	struct ism_info info = { .size = sizeof info };

	ok(ism_query(dev, &info));
	return info.devid;
}

/* The type of the next event; 0: none within the time. */
static uint32_t event(struct ism_device *dev, double seconds)
{
	struct ism_event ev;

	return ok(ism_wait(dev, &ev, 1, sizeof ev, SECONDS(seconds))) > 0 ? ev.type : 0;
}

/* ------------------------------------------------------------------ domains */

static void lives(bool loop)
{
	struct ism_emu *emu = start(loop, NULL);
	struct ism_device *a = device(emu), *b = device(emu);
	struct ism_region *ra = alloc(a), *rb = attach(b, ra);

	strcpy(ism_region_addr(ra), "hello");
	ok(ism_region_notify(ra));
	ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(10))), 1);
	ck_assert_str_eq(ism_region_addr(rb), "hello");
	ism_close(a);
	ism_close(b);
	ism_emu_stop(emu);
}

START_TEST(a_domain_of_ones_own)
{
	lives(false);
	lives(true);
}
END_TEST

START_TEST(several_are_strangers)
{
	struct ism_emu *emu[6];
	struct ism_device *dev[6];

	for (int i = 0; i < 6; i++) {
		emu[i] = start(i % 2, NULL);
		dev[i] = device(emu[i]);
	}
	struct ism_region *region = alloc(dev[0]), *other;
	for (int i = 1; i < 6; i++) {
		ck_assert_str_ne(ism_emu_uri(emu[0]), ism_emu_uri(emu[i]));
		fails(ism_attach_region(dev[i], ism_region_token(region), ISM_READ, NULL, &other), -ENOENT);
	}
	for (int i = 0; i < 6; i++) {
		ism_close(dev[i]);
		ism_emu_stop(emu[i]);
	}
	ism_emu_stop(NULL);
}
END_TEST

START_TEST(its_directory_is_private_and_goes_with_it)
{
	struct ism_emu *emu = start(false, NULL), *loop = start(true, NULL);
	char dir[128];
	struct stat st;

	snprintf(dir, sizeof dir, "%s", ism_emu_dir(emu));
	ck_assert_int_eq(stat(dir, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_ptr_null(ism_emu_dir(loop));
	/* As the runtime directory it makes this domain the default one. */
	setenv("ISM_RUNTIME_DIR", dir, 1);
	struct ism_device *a = device(emu), *b;
	ok(ism_open("emu:", NULL, &b));
	attach(b, alloc(a));
	ism_close(b);
	ism_close(a);
	ism_emu_stop(emu);
	ism_emu_stop(loop);
	ck_assert_int_ne(access(dir, F_OK), 0);
}
END_TEST

static int opens(void *arg)
{
	struct ism_device *dev;
	struct ism_region *region;

	return ism_open(ism_emu_uri(arg), NULL, &dev) == 0 && ism_alloc_region(dev, 1, NULL, &region) == 0 ? 0 : 1;
}

static int stops(void *arg)
{
	if (ism_emu_kill(arg) != -EOWNERDEAD || ism_emu_restart(arg) != -EOWNERDEAD)
		return 1;
	ism_emu_stop(arg);
	return 0;
}

START_TEST(children_use_it_and_do_not_end_it)
{
	struct ism_emu *emu = start(false, NULL);
	struct ism_device *dev = device(emu);

	ck_assert_int_eq(harness_reap(harness_fork(opens, emu), 20), 0);
	ck_assert_int_eq(harness_reap(harness_fork(stops, emu), 20), 0);
	alloc(dev);
	ism_close(dev);
	ism_emu_stop(emu);
}
END_TEST

/* Ends in the way of the first word, its domain still there; the second is for the name of its directory. */
static int ends_badly(void *arg)
{
	struct channel *c = arg;
	struct ism_emu *emu = start(false, NULL);
	uint64_t name[12] = { 0 };

	device(emu);
	snprintf((char *)name, sizeof name, "%s", ism_emu_dir(emu));
	for (size_t i = 0; i < sizeof name / sizeof name[0]; i++)
		channel_put(c, name[i]);
	signal(SIGTERM, SIG_DFL);
	switch (channel_get(&c[1])) {
	case 0:
		exit(0);	/* not _exit(): its handlers are what is tried here */
	case 1:
		_exit(0);
	case 2:
		raise(SIGTERM);
		break;
	default:
		raise(SIGKILL);
	}
	return 1;
}

START_TEST(nothing_is_left_however_a_test_ends)
{
	struct channel c[2];
	uint64_t name[12];

	channel_open(&c[0]);
	channel_open(&c[1]);
	for (uint64_t how = 0; how < 4; how++) {
		pid_t pid = harness_fork(ends_badly, c);
		for (size_t i = 0; i < sizeof name / sizeof name[0]; i++)
			name[i] = channel_get(&c[0]);
		ck_assert_int_eq(access((char *)name, F_OK), 0);
		channel_put(&c[1], how);
		harness_reap(pid, 20);
		if (how == 0)
			ck_assert_int_ne(access((char *)name, F_OK), 0);
		eventually(access((char *)name, F_OK) != 0, 20);
	}
	channel_close(&c[0]);
	channel_close(&c[1]);
}
END_TEST

START_TEST(quotas)
{
	for (int loop = 0; loop < 2; loop++) {
		struct ism_emu_opts opts = { .size = sizeof opts, .flags = loop ? ISM_EMU_LOOP : 0,
					     .device = { .regions = 2 }, .user = { .devices = 2, .bytes = 3 << 16 } };
		struct ism_emu *emu;
		struct ism_region *region;
		struct ism_device *third;

		ok(ism_emu_start(&opts, &emu));
		struct ism_device *a = device(emu), *b = device(emu);
		fails(ism_open(ism_emu_uri(emu), NULL, &third), -ENOSPC);
		alloc(a);
		alloc(a);
		fails(ism_alloc_region(a, 1, NULL, &region), -ENOSPC);
		alloc(b);
		fails(ism_alloc_region(b, 1, NULL, &region), -ENOSPC);
		ism_close(a);
		ism_close(b);
		ism_emu_stop(emu);
	}
	harness_expect_log("too many devices");
}
END_TEST

START_TEST(wrong_options_are_refused)
{
	struct ism_emu_opts opts = { .size = sizeof opts, .flags = 2 };
	struct ism_emu *emu = NULL;
	char tmp[200] = "/";

	fails(ism_emu_start(&opts, &emu), -EINVAL);
	opts = (struct ism_emu_opts){ .size = sizeof opts, .reserved = 1 };
	fails(ism_emu_start(&opts, &emu), -EINVAL);
	opts = (struct ism_emu_opts){ .size = sizeof opts, .device.devices = 1 };
	fails(ism_emu_start(&opts, &emu), -EINVAL);
	opts = (struct ism_emu_opts){ .size = sizeof opts - 1 };
	fails(ism_emu_start(&opts, &emu), -EINVAL);
	setenv("TMPDIR", "/no/such/directory", 1);
	fails(ism_emu_start(NULL, &emu), -ENOENT);
	memset(tmp + 1, 'x', sizeof tmp - 2);
	setenv("TMPDIR", tmp, 1);
	fails(ism_emu_start(NULL, &emu), -ENAMETOOLONG);
	ck_assert_ptr_null(emu);
}
END_TEST

/* ------------------------------------------------------------------ the host's death */

static void dies_and_comes_back(bool loop)
{
	struct ism_emu *emu = start(loop, NULL);
	struct ism_device *a = device(emu), *b = device(emu), *late;
	struct ism_open_opts no_host = { .size = sizeof no_host, .flags = ISM_OPEN_NO_HOST };
	struct ism_region *ra = alloc(a), *rb = attach(b, ra), *region;

	ck_assert_uint_eq(event(a, 10), ISM_EVENT_ATTACH);
	/* Twice, and so the third time they ring each other directly. */
	for (int i = 0; i < 4; i++) {
		ok(ism_region_notify(ra));
		ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(10))), 1);
	}
	ok(ism_emu_kill(emu));
	ok(ism_emu_kill(emu));
	ck_assert_uint_eq(event(a, 10), ISM_EVENT_RESET);
	ck_assert_uint_eq(event(b, 10), ISM_EVENT_RESET);
	fails(ism_alloc_region(a, 1, NULL, &region), -EHOSTDOWN);
	strcpy(ism_region_addr(ra), "still here");
	ck_assert_str_eq(ism_region_addr(rb), "still here");
	ok(ism_region_notify(ra));
	ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(10))), 1);
	if (!loop)
		fails(ism_open(ism_emu_uri(emu), &no_host, &late), -EHOSTDOWN);
	ok(ism_emu_restart(emu));
	ok(ism_emu_restart(emu));
	late = device(emu);
	fails(ism_attach_region(late, ism_region_token(ra), ISM_READ, NULL, &region), -ENOENT);
	alloc(late);
	ism_close(a);
	alloc(late);
	ism_close(late);
	ism_close(b);
	ism_emu_stop(emu);
}

START_TEST(the_host_is_killed_and_restarted)
{
	dies_and_comes_back(false);
	dies_and_comes_back(true);
}
END_TEST

START_TEST(a_device_takes_over_and_dies_in_turn)
{
	struct ism_emu *emu = start(false, NULL);

	ok(ism_emu_kill(emu));
	struct ism_device *dev = device(emu);	/* hosts it now */
	ok(ism_emu_kill(emu));
	ck_assert_uint_eq(event(dev, 10), ISM_EVENT_RESET);
	ism_close(dev);
	ism_emu_stop(emu);
}
END_TEST

START_TEST(a_domain_stopped_under_its_devices)
{
	for (int loop = 0; loop < 2; loop++) {
		struct ism_emu *emu = start(loop, NULL);
		struct ism_device *dev = device(emu);
		struct ism_region *region = alloc(dev);

		ism_emu_stop(emu);
		ck_assert_uint_eq(event(dev, 10), ISM_EVENT_RESET);
		memset(ism_region_addr(region), 1, ism_region_size(region));
		ism_close(dev);
	}
}
END_TEST

static void *kills(void *arg)
{
	ck_assert_int_eq(ism_emu_kill(arg), 0);
	return NULL;
}

START_TEST(a_sleeper_learns_of_the_death)
{
	for (int loop = 0; loop < 2; loop++) {
		struct ism_emu *emu = start(loop, NULL);
		struct ism_device *dev = device(emu);
		pthread_t t;

		pthread_create(&t, NULL, kills, emu);
		ck_assert_uint_eq(event(dev, 20), ISM_EVENT_RESET);
		pthread_join(t, NULL);
		ism_close(dev);
		ism_emu_stop(emu);
	}
}
END_TEST

START_TEST(the_descriptor_tells_of_a_death_that_a_call_found)
{
	for (int loop = 0; loop < 2; loop++) {
		struct ism_emu *emu = start(loop, NULL);
		struct ism_device *dev = device(emu);
		struct pollfd p = { .fd = (int)ok(ism_fd(dev)), .events = POLLIN };
		struct ism_region *region;
		struct ism_event ev;

		ck_assert_int_eq(ism_event_next(dev, &ev, sizeof ev), 0);
		ok(ism_emu_kill(emu));
		fails(ism_alloc_region(dev, 4096, NULL, &region), -EHOSTDOWN);
		ck_assert_int_eq(poll(&p, 1, 10000), 1);
		ck_assert_uint_eq(event(dev, 0), ISM_EVENT_RESET);
		ck_assert_int_eq(ism_event_next(dev, &ev, sizeof ev), 0);
		ck_assert_int_eq(poll(&p, 1, 0), 0);
		ism_close(dev);
		ism_emu_stop(emu);
	}
}
END_TEST

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
	struct ism_device *a = device(emu), *b = device(emu);
	struct ism_region *r1 = alloc(a), *none;	/* host: 1 */
	uint64_t ids[4];

	fails(ism_alloc_region(a, 1, NULL, &none), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "injected fault"));
	struct ism_region *r2 = attach(b, r1);	/* host: 2 */
	fails(ism_alloc_region(a, 1, NULL, &none), -ETIMEDOUT);
	ck_assert_ptr_null(strstr(ism_error_detail(), "injected fault"));
	alloc(a);
	/* A detach that nobody hears of; the next one is heard. */
	ism_detach_region(r2);
	ck_assert_int_eq(ok(ism_region_peers(r1, ids, 4)), 1);
	ck_assert_uint_eq(ids[0], devid(b));
	r2 = attach(b, r1);
	ism_detach_region(r2);
	ck_assert_int_eq(ok(ism_region_peers(r1, ids, 4)), 0);
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
	ck_assert_uint_eq(event(a, 10), ISM_EVENT_RESET);
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

	ck_assert_uint_eq(event(a, 10), ISM_EVENT_ATTACH);	/* event 1 */
	for (int i = 1; i <= 6; i++) {
		bool arrives = i != 2 && i != 3;		/* the second is not rung, the third not heard */
		ok(ism_region_notify(ra));
		ck_assert_int_eq(ok(ism_region_wait(rb, arrives ? SECONDS(10) : SECONDS(0.02))), arrives);
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
	ck_assert_uint_eq(event(a, 10), ISM_EVENT_ATTACH);
	for (int way = 0; way < 4; way++) {
		double began = harness_now();
		ok(ism_region_notify(ra));
		if (way == 0) {
			ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(10))), 1);
		} else if (way == 1) {
			ck_assert_uint_eq(event(b, 10), ISM_EVENT_UPDATE);
		} else {
			struct pollfd p = { .fd = (int)ok(ism_fd(b)), .events = POLLIN };
			while (ok(ism_event_next(b, &ev, sizeof ev)) == 0)
				ck_assert_int_eq(poll(&p, 1, 20000), 1);
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

	ck_assert_uint_eq(event(a, 10), ISM_EVENT_LOST);
	ok(ism_region_notify(rb));			/* event 2 */
	ck_assert_int_eq(ok(ism_region_wait(ra, SECONDS(10))), 1);
	ism_detach_region(rb);
	ck_assert_uint_eq(event(a, 10), ISM_EVENT_LOST);
	fails(ism_region_wait(ra, SECONDS(10)), -EPIPE);
	double began = harness_now();
	attach(b, ra);
	ck_assert_int_eq(ok(ism_wait(a, &ev, 1, sizeof ev, SECONDS(10))), 1);
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

int main(int argc, char **argv)
{
	Suite *s = suite_create("emu");
	TCase *tc = harness_tcase(s, "domains", 60);

	tcase_add_test(tc, a_domain_of_ones_own);
	tcase_add_test(tc, several_are_strangers);
	tcase_add_test(tc, its_directory_is_private_and_goes_with_it);
	tcase_add_test(tc, children_use_it_and_do_not_end_it);
	tcase_add_test(tc, nothing_is_left_however_a_test_ends);
	tcase_add_test(tc, quotas);
	tcase_add_test(tc, wrong_options_are_refused);
	tcase_add_test(tc, the_host_is_killed_and_restarted);
	tcase_add_test(tc, a_device_takes_over_and_dies_in_turn);
	tcase_add_test(tc, a_domain_stopped_under_its_devices);
	tcase_add_test(tc, a_sleeper_learns_of_the_death);
	tcase_add_test(tc, the_descriptor_tells_of_a_death_that_a_call_found);
	tc = harness_tcase(s, "faults", 60);
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
	Suite *const suites[] = { s, NULL };
	return harness_main(argc, argv, suites);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_emu.c - private domains for tests: their lives, and the deaths of their hosts.
 */
#include "emu_domain.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------ domains */

static void lives(bool loop)
{
	struct ism_emu *emu = start(loop, NULL);
	struct ism_device *a = device(emu), *b = device(emu);
	struct ism_region *ra = alloc(a), *rb = attach(b, ra);

	strcpy(ism_region_addr(ra), "hello");
	ok(ism_region_notify(ra));
	ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(30))), 1);
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

	ck_assert_int_eq(harness_reap(harness_fork(opens, emu), 30), 0);
	ck_assert_int_eq(harness_reap(harness_fork(stops, emu), 30), 0);
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
		harness_reap(pid, 30);
		if (how == 0)
			ck_assert_int_ne(access((char *)name, F_OK), 0);
		eventually(access((char *)name, F_OK) != 0, 30);
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

	ck_assert_uint_eq(event(a, 30), ISM_EVENT_ATTACH);
	/* Twice, and so the third time they ring each other directly. */
	for (int i = 0; i < 4; i++) {
		ok(ism_region_notify(ra));
		ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(30))), 1);
	}
	ok(ism_emu_kill(emu));
	ok(ism_emu_kill(emu));
	ck_assert_uint_eq(event(a, 30), ISM_EVENT_RESET);
	ck_assert_uint_eq(event(b, 30), ISM_EVENT_RESET);
	fails(ism_alloc_region(a, 1, NULL, &region), -EHOSTDOWN);
	strcpy(ism_region_addr(ra), "still here");
	ck_assert_str_eq(ism_region_addr(rb), "still here");
	ok(ism_region_notify(ra));
	ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(30))), 1);
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
	ck_assert_uint_eq(event(dev, 30), ISM_EVENT_RESET);
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
		ck_assert_uint_eq(event(dev, 30), ISM_EVENT_RESET);
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
		ck_assert_uint_eq(event(dev, 30), ISM_EVENT_RESET);
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
		ck_assert_int_eq(poll(&p, 1, 30000), 1);
		ck_assert_uint_eq(event(dev, 0), ISM_EVENT_RESET);
		ck_assert_int_eq(ism_event_next(dev, &ev, sizeof ev), 0);
		ck_assert_int_eq(poll(&p, 1, 0), 0);
		ism_close(dev);
		ism_emu_stop(emu);
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("emu");
	TCase *tc = harness_tcase(s, "domains", 300);

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
	add_fault_tests(s);
	Suite *const suites[] = { s, NULL };
	return harness_main(argc, argv, suites);
}

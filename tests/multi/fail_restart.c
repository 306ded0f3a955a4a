/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * fail_restart.c - a system call fails in the daemon that takes over, in a
 * client that comes back, in the keeper.
 */
#include "failing.h"
#include "failpoint.h"
#include "harness.h"
#include "kept.h"
#include "scenario.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POINTS_MAX = 1000, KEEPER_POINTS = 60 };

/* All points take long: without $ISM_TEST_LONG one in four, others each time. */
static unsigned int step(void)
{
	return getenv("ISM_TEST_LONG") != NULL ? 1 : 4;
}

static unsigned int first(void)
{
	return 1 + harness_seed() % step();
}

/* Two devices that share a region whose doorbell has a descriptor of its own. */
struct pair {
	struct ism_device *a, *b;
	struct ism_region *mine, *theirs;
};

static const char *where(void)
{
	return harness_uri("d") + strlen("emu:");
}

static void pair_open(struct pair *p)
{
	struct ism_open_opts opts = { .size = sizeof opts, .restart_ms = 50, .spin_us = ISM_SPIN_NONE };
	struct ism_alloc_opts vector = { .size = sizeof vector, .flags = ISM_ALLOC_VECTOR };

	ok(ism_open(harness_uri("d"), &opts, &p->a));
	ok(ism_open(harness_uri("d"), &opts, &p->b));
	ok(ism_alloc_region(p->a, 70000, &vector, &p->mine));
	ok(ism_attach_region(p->b, ism_region_token(p->mine), ISM_READ | ISM_WRITE, NULL, &p->theirs));
	strcpy(ism_region_addr(p->mine), "kept");
}

static void pair_close(struct pair *p)
{
	ism_close(p->a);
	ism_close(p->b);
}

static long nr_regions_of(struct ism_device *dev)
{
	struct ism_region_entry e[4];
	uint64_t cursor = 0;

	return ism_list_regions(dev, e, 4, sizeof e[0], &cursor);
}

static bool ended(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != 0;
}

/* The daemon has cut off @dev. */
static bool was_reset(struct ism_device *dev)
{
	struct ism_event ev;

	while (ism_event_next(dev, &ev, sizeof ev) == 1) {
		if (ev.type == ISM_EVENT_RESET)
			return true;
	}
	return false;
}

/* Until the daemon answers @dev, even with an error, or has ended, or has cut it off. */
static long ask(struct ism_device *dev, pid_t pid, bool *ret_cut)
{
	long r;

	eventually((r = nr_regions_of(dev)) != -EHOSTDOWN || ended(pid) || (*ret_cut = was_reset(dev)), 30);
	return r;
}

/* Until the daemon, in which nothing fails any more, answers @dev or has cut it off: whether it has. */
static bool is_cut(struct ism_device *dev)
{
	bool cut = false;

	eventually(nr_regions_of(dev) > 0 || (cut = was_reset(dev)), 30);
	return cut;
}

/* All is as it was: the region, its memory, its doorbells. */
static void pair_use(struct pair *p)
{
	struct ism_region *more;

	eventually(nr_regions_of(p->a) > 0, 30);
	eventually(nr_regions_of(p->b) > 0, 30);
	ck_assert_str_eq(ism_region_addr(p->theirs), "kept");
	ism_region_clear(p->theirs);
	ok(ism_region_notify(p->mine));
	ck_assert_int_eq(ok(ism_region_wait(p->theirs, SECONDS(30))), 1);
	ok(ism_alloc_region(p->b, 1, NULL, &more));
	ism_detach_region(more);
}

/* What taking over was seen to come to. */
struct taken {
	unsigned int points, served, cut;
};

/* Its place is taken by one whose @n-th call of @kind fails; then by one without. */
static pid_t take_over(struct pair *p, pid_t pid, const char *kind, unsigned int n, struct taken *t, enum daemon *ret)
{
	bool cut = false;

	kill(pid, SIGKILL);
	harness_reap(pid, 30);
	pid = failing_ismd(where(), kind, n, DAEMON);
	long r = ask(p->a, pid, &cut);
	if (r == -EHOSTDOWN && !cut) {	/* it left all to another */
		*ret = (enum daemon)harness_reap(pid, 30);
		ck_assert_int_eq(*ret, NOT_STARTED);
	} else {
		check_result((int)r, n, kind);
		kill(pid, SIGUSR2);	/* from here on nothing fails */
		cut = cut || is_cut(p->a);
		if (is_cut(p->b) || cut) {	/* the one message that could not be received or sent */
			pair_close(p);
			pair_open(p);
			t->cut++;
		}
		pair_use(p);
		kill(pid, SIGUSR1);	/* leave, and say whether there was such a call */
		*ret = (enum daemon)harness_reap(pid, 30);
		ck_assert_msg(*ret == SERVED || *ret == NOT_REACHED, "%s %u: status %d", kind, n, (int)*ret);
	}
	t->served += *ret == SERVED;
	t->points += *ret != NOT_REACHED;
	pid = failing_ismd(where(), NULL, 0, DAEMON);
	pair_use(p);
	return pid;
}

START_TEST(whoever_takes_over_survives_any_failing_call)
{
	struct taken t = { .points = 0 }, without_failure = t;
	struct kinds kinds;
	struct pair p;
	enum daemon end;

	setenv("ISM_LOG", "none", 1);
	failpoint_sites_begin();
	pid_t pid = failing_ismd(where(), NULL, 0, DAEMON);
	ck_assert(await_ismd(pid, harness_uri("d")));
	pair_open(&p);
	pair_use(&p);
	kinds_begin(&kinds);
	pid = take_over(&p, pid, NULL, 0, &without_failure, &end);
	kinds_end(&kinds);
	for (unsigned int i = 0; i < kinds.nr; i++) {
		for (unsigned int n = 1, without = 0; without < 2; n++) {
			pid = take_over(&p, pid, kinds.name[i], n, &t, &end);
			without = end == NOT_REACHED ? without + 1 : 0;
			ck_assert_uint_lt(n, POINTS_MAX);
		}
	}
	ck_assert_uint_gt(t.served, 20);
	ck_assert_uint_le(t.cut, 16);
	printf("taking over: %u points; it served after %u of them, and left all to another after the others\n", t.points,
	       t.served);
	pair_close(&p);
	kill(pid, SIGTERM);
	ck_assert_int_eq(harness_reap(pid, 30), SERVED);
	failpoint_sites_write(sites_file);
}
END_TEST

START_TEST(whoever_comes_back_survives_any_failing_call)
{
	unsigned int n, without = 0, back = 0;
	struct pair p;

	setenv("ISM_LOG", "none", 1);
	failpoint_sites_begin();
	failpoint_pick(NULL, "poll");	/* how often it waits is a matter of time */
	pid_t pid = failing_ismd(where(), NULL, 0, DAEMON);
	ck_assert(await_ismd(pid, harness_uri("d")));
	unsigned int fds = harness_fds(), mappings = harness_mappings();
	for (n = first(); without < 2; n += step()) {
		pair_open(&p);
		kill(pid, SIGKILL);
		harness_reap(pid, 30);
		failpoint_fail_at(n, failing_error(n));
		long r = nr_regions_of(p.a);
		ck_assert_int_lt(r, 0);
		check_result((int)r, n, "a client that waits");
		pid = failing_ismd(where(), NULL, 0, DAEMON);
		ck_assert(await_ismd(pid, harness_uri("d")));
		r = nr_regions_of(p.a);
		without = failpoint_name() == NULL ? without + 1 : 0;
		failpoint_fail_at(0, 0);
		check_result((int)r, n, "a client that comes back");
		if (r >= 0)
			pair_use(&p);
		ck_assert_str_eq(ism_region_addr(p.theirs), "kept");
		back += r >= 0;
		pair_close(&p);
		eventually(harness_fds() == fds && harness_mappings() == mappings, 30);
		ck_assert_uint_lt(n, POINTS_MAX);
	}
	printf("coming back: one in %u of %u points; back in spite of %u of these\n", step(), n, back - 2);
	kill(pid, SIGTERM);
	ck_assert_int_eq(harness_reap(pid, 30), 0);
	failpoint_sites_write(sites_file);
}
END_TEST

START_TEST(a_keeper_survives_any_failing_call)
{
	struct pair p;

	setenv("ISM_LOG", "none", 1);
	for (unsigned int n = first(); n <= KEEPER_POINTS; n += step()) {
		pid_t pid = failing_ismd(where(), NULL, n, KEEPER);
		if (!await_ismd(pid, harness_uri("d"))) {
			ck_assert_int_eq(harness_reap(pid, 30), NOT_STARTED);
			continue;
		}
		pair_open(&p);
		pid_t first = keeper_of(0);
		kill(first, SIGKILL);
		eventually(keeper_of(first) != 0, 30);
		ok(nr_regions_of(p.a));		/* once that is answered, the second has all */
		kill(pid, SIGKILL);
		harness_reap(pid, 30);
		pid = failing_ismd(where(), NULL, 0, DAEMON);
		pair_use(&p);
		pair_close(&p);
		kill(pid, SIGTERM);
		ck_assert_int_eq(harness_reap(pid, 30), 0);
		eventually(keeper_of(0) == 0, 30);
	}
}
END_TEST

void add_restart_tests(Suite *s)
{
	TCase *tc = harness_tcase(s, "restart", 900);

	tcase_add_test(tc, whoever_takes_over_survives_any_failing_call);
	tcase_add_test(tc, whoever_comes_back_survives_any_failing_call);
	tcase_add_test(tc, a_keeper_survives_any_failing_call);
}

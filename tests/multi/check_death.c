/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_death.c - kill -9 of a client, of a host and of the daemon, at every
 * system call of the library, and nothing is left behind.
 *
 * Each loop moves the point of death one call further, until the scenario comes
 * to its end; so a new call is a new point.
 */
#include "failpoint.h"
#include "harness.h"
#include "scenario.h"
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POINTS_MAX = 4000, KILLED = 256 + SIGKILL };

struct job {
	char uri[160];
	uint64_t token;
	unsigned int point;
};

static int victim_main(void *arg)
{
	const struct job *job = arg;

	failpoint_pick(NULL, "epoll_wait");	/* of a host: as often as it likes to spin, and nothing happens between them */
	failpoint_kill_at(job->point);
	return scenario(job->uri, job->token, 30000) < 0;
}

/* ------------------------------------------------------------------ a client */

/* How many devices, and regions, there are. */
static int nr_devices(struct ism_device *dev)
{
	struct ism_device_entry e[16];
	uint64_t cursor = 0;

	return (int)ok(ism_list_devices(dev, e, 16, sizeof e[0], &cursor));
}

static int nr_regions(struct ism_device *dev)
{
	struct ism_region_entry e[16];
	uint64_t cursor = 0;

	return (int)ok(ism_list_regions(dev, e, 16, sizeof e[0], &cursor));
}

static unsigned int fds_of(pid_t pid)
{
	char cmd[64];
	unsigned int n = 0;

	snprintf(cmd, sizeof cmd, "ls /proc/%d/fd | wc -l", (int)pid);
	FILE *f = popen(cmd, "r");
	ck_assert_int_eq(fscanf(f, "%u", &n), 1);
	pclose(f);
	return n;
}

static void drain(struct ism_device *dev)
{
	struct ism_event ev;

	while (ok(ism_event_next(dev, &ev, sizeof ev)) > 0)
		;
}

START_TEST(a_client_killed_at_any_point_leaves_nothing)
{
	pid_t ismd = harness_ismd("d", NULL);
	struct ism_device *dev, *other;
	struct ism_region *region, *readonly;
	struct job job = { .point = 1 };
	unsigned int fds;
	int status;

	snprintf(job.uri, sizeof job.uri, "%s", harness_uri("d"));
	ok(ism_open(job.uri, NULL, &dev));
	ok(ism_alloc_region(dev, 1000, NULL, &region));
	job.token = ism_region_token(region);
	/* The daemon keeps a region's read-only descriptor once it has needed it. */
	ok(ism_open(job.uri, NULL, &other));
	ok(ism_attach_region(other, job.token, ISM_READ, NULL, &readonly));
	ism_close(other);
	eventually(nr_devices(dev) == 1, 30);
	fds = fds_of(ismd);
	do {
		status = harness_reap(harness_fork(victim_main, &job), 30);
		ck_assert_msg(status == 0 || status == KILLED, "point %u: status %d", job.point, status);
		eventually(nr_devices(dev) == 1 && nr_regions(dev) == 1, 30);
		ck_assert_int_eq(ok(ism_region_peers(region, NULL, 0)), 0);
		drain(dev);
	} while (status == KILLED && ++job.point < POINTS_MAX);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_gt(job.point, 50);
	eventually(fds_of(ismd) == fds, 30);
	printf("client: killed at %u points\n", job.point - 1);
	ism_close(dev);
	harness_ismd_stop(ismd);
}
END_TEST

/* ------------------------------------------------------------------ a host in a process */

/* Wait for RESET, if our device's host is that process. */
static void await_reset(struct ism_device *dev)
{
	struct ism_event ev;

	do
		ck_assert_int_eq(ok(ism_wait(dev, &ev, 1, sizeof ev, SECONDS(30))), 1);
	while (ev.type != ISM_EVENT_RESET);
}

START_TEST(a_host_killed_at_any_point_is_succeeded)
{
	struct ism_open_opts opts = { .size = sizeof opts, .flags = ISM_OPEN_NO_HOST, .timeout_ms = 30000 };
	struct job job = { .point = 1 };
	unsigned int hosted = 0;
	int status;

	HARNESS_NEEDS_PIDS();
	snprintf(job.uri, sizeof job.uri, "%s", harness_uri("h"));
	do {
		struct ism_info info = { .size = sizeof info };
		struct ism_device *dev, *heir;
		struct ism_region *region;
		pid_t pid = harness_fork(victim_main, &job);
		int opened;

		/* Let it become the host, if it lives that long; then we do. */
		while ((opened = ism_open(job.uri, &opts, &dev)) < 0 && victim_lives(pid))
			;
		if (opened < 0)
			ok(ism_open(job.uri, NULL, &dev));
		ok(ism_query(dev, &info));
		int r = ism_alloc_region(dev, 1000, NULL, &region);
		ck_assert_msg(r == 0 || r == -EHOSTDOWN, "point %u: %d: %s", job.point, r, ism_error_detail());
		if (r == 0)
			strcpy(ism_region_addr(region), "mine");
		if (info.host_pid == pid) {	/* it ends now or in order, and its domain with it */
			hosted++;
			await_reset(dev);
			fails(ism_alloc_region(dev, 1000, NULL, &region), -EHOSTDOWN);
		}
		if (r == 0)
			ck_assert_str_eq(ism_region_addr(region), "mine");
		ok(ism_open(job.uri, NULL, &heir));
		ok(ism_alloc_region(heir, 1000, NULL, &region));
		ism_close(heir);
		ism_close(dev);
		status = harness_reap(pid, 30);
		/* Its host may have been us, and may have left before it was done. */
		ck_assert_msg(status == 0 || status == 1 || status == KILLED, "point %u: status %d", job.point, status);
		ok(ism_open(job.uri, NULL, &dev));	/* whoever it was, its socket and lock are replaced */
		ism_close(dev);
	} while (status != 0 && ++job.point < POINTS_MAX);
	ck_assert_uint_gt(job.point, 50);
	ck_assert_int_eq(status, 0);
	printf("host: killed at %u points, %u times while it hosted us\n", job.point - 1, hosted);
}
END_TEST

/* ------------------------------------------------------------------ the daemon */

/* What a client may get to see when the daemon dies under it. */
static bool plausible(int r)
{
	return r == 0 || r == -EHOSTDOWN || r == -ETIMEDOUT || r == -EPIPE;
}

START_TEST(the_daemon_killed_at_any_point_can_be_started_again)
{
	struct job job = { .point = 1 };
	int status;

	do {
		struct ism_open_opts opts = { .size = sizeof opts, .flags = ISM_OPEN_NO_HOST, .timeout_ms = 30000 };
		struct ism_device *dev = NULL;
		pid_t pid = victim_ismd(job.point, false);
		int r;

		while ((r = ism_open(harness_uri("d"), &opts, &dev)) < 0 && victim_lives(pid))
			harness_pause();
		if (r == 0) {
			ism_close(dev);
			r = scenario(harness_uri("d"), 0, 30000);
			ck_assert_msg(plausible(r), "point %u: %d: %s", job.point, r, ism_error_detail());
		}
		kill(pid, SIGTERM);
		status = harness_reap(pid, 30);
		ck_assert_msg(status == 0 || status == KILLED, "point %u: status %d", job.point, status);
	} while (status == KILLED && ++job.point < POINTS_MAX);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_gt(job.point, 50);
	printf("daemon: killed at %u points\n", job.point - 1);
	/* The last one ended in order; one after a killed one does, too. */
	pid_t pid = victim_ismd(15, false);
	ck_assert_int_eq(harness_reap(pid, 30), KILLED);
	harness_ismd_stop(harness_ismd("d", NULL));
}
END_TEST

static Suite *death_suite(void)
{
	Suite *s = suite_create("death");
	TCase *tc = harness_tcase(s, "death", 900);

	tcase_add_test(tc, a_client_killed_at_any_point_leaves_nothing);
	tcase_add_test(tc, a_host_killed_at_any_point_is_succeeded);
	tcase_add_test(tc, the_daemon_killed_at_any_point_can_be_started_again);
	return s;
}

int main(int argc, char **argv)
{
	Suite *const suites[] = { death_suite(), NULL };

	return harness_main(argc, argv, suites);
}

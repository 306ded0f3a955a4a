/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_restart.c - kill -9 of the daemon, of its keeper, of both: what
 * survives, and what is said about the rest.
 */
#include "kept.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------ helpers */

pid_t restart(pid_t ismd, const char *const *args)
{
	harness_kill(ismd);
	return harness_ismd_kept("d", args);
}

void await_event(struct ism_device *dev, uint32_t type)
{
	struct ism_event ev;

	do
		ck_assert_int_eq(ok(ism_wait(dev, &ev, 1, sizeof ev, SECONDS(60))), 1);
	while (ev.type != type);
}

void await_reset(struct ism_device *dev)
{
	await_event(dev, ISM_EVENT_RESET);
}

int nr_devices(struct ism_device *dev)
{
	struct ism_device_entry e[16];
	uint64_t cursor = 0;

	return (int)ok(ism_list_devices(dev, e, 16, sizeof e[0], &cursor));
}

int nr_regions(struct ism_device *dev)
{
	struct ism_region_entry e[16];
	uint64_t cursor = 0;

	return (int)ok(ism_list_regions(dev, e, 16, sizeof e[0], &cursor));
}

static uint64_t devid_of(struct ism_device *dev)
{
	struct ism_info info = { .size = sizeof info };

	ok(ism_query(dev, &info));
	return info.devid;
}

/* ------------------------------------------------------------------ what survives */

static void list_all(struct ism_device *dev, char *buf, size_t size)
{
	struct ism_device_entry d[16];
	struct ism_region_entry r[16];
	struct ism_referrer_entry f[16];
	uint64_t cursor = 0;
	size_t n = 0;

	long nd = ok(ism_list_devices(dev, d, 16, sizeof d[0], &cursor));
	for (long i = 0; i < nd; i++)
		n += (size_t)snprintf(buf + n, size - n, "device %llu uid %u pid %d %s: %llu bytes %u regions\n",
				      (unsigned long long)d[i].devid, d[i].uid, d[i].pid, d[i].name,
				      (unsigned long long)d[i].bytes, d[i].regions);
	cursor = 0;
	long nr = ok(ism_list_regions(dev, r, 16, sizeof r[0], &cursor));
	for (long i = 0; i < nr; i++) {
		n += (size_t)snprintf(buf + n, size - n, "region %llu token %llx of %llu: %llu of %llu, default %x, %u refs, %u\n",
				      (unsigned long long)r[i].serial, (unsigned long long)r[i].token,
				      (unsigned long long)r[i].creator, (unsigned long long)r[i].requested_size,
				      (unsigned long long)r[i].region_size, r[i].default_rights, r[i].referrers, r[i].ended);
		for (uint64_t id = 1; id < 10; id++) {	/* in order, whatever order they come in */
			cursor = 0;
			long nf = ok(ism_list_referrers(dev, r[i].token, f, 16, sizeof f[0], &cursor));
			for (long k = 0; k < nf; k++) {
				if (f[k].devid == id)
					n += (size_t)snprintf(buf + n, size - n, "  %llu attached %x may %x creator %u out %u\n",
							      (unsigned long long)id, f[k].attached, f[k].rights,
							      f[k].creator, f[k].shut_out);
			}
		}
	}
}

struct three {
	struct ism_device *a, *b, *c;
	struct ism_region *open_a, *open_b, *private_a, *private_b, *ro_c, *out_a, *out_c;
};

/* All three in one thread: each comes back when it is called. */
static bool three_there(struct three *t)
{
	struct ism_event ev;

	ok(ism_event_next(t->b, &ev, sizeof ev));
	ok(ism_event_next(t->c, &ev, sizeof ev));
	return nr_devices(t->a) == 3;
}

/* Once whoever looked whether the daemon is ready has gone, and the daemon knows it. */
static void list_three(struct three *t, char *buf, size_t size)
{
	eventually(three_there(t), 60);
	list_all(t->a, buf, size);
}

static void three_open(struct three *t)
{
	struct ism_alloc_opts private = { .size = sizeof private, .flags = ISM_ALLOC_PRIVATE };
	const char *uri = harness_uri("d");

	ok(ism_open(uri, NULL, &t->a));
	ok(ism_open(uri, NULL, &t->b));
	ok(ism_open(uri, NULL, &t->c));
	ok(ism_alloc_region(t->a, 100000, NULL, &t->open_a));
	ok(ism_attach_region(t->b, ism_region_token(t->open_a), ISM_READ | ISM_WRITE, NULL, &t->open_b));
	ok(ism_alloc_region(t->a, 5000, &private, &t->private_a));
	ok(ism_region_grant(t->private_a, devid_of(t->b), ISM_READ | ISM_WRITE | ISM_ATTACH | ISM_MANAGE));
	ok(ism_attach_region(t->b, ism_region_token(t->private_a), ISM_READ, NULL, &t->private_b));
	ok(ism_region_grant(t->private_a, devid_of(t->c), ISM_READ | ISM_ATTACH));
	ok(ism_attach_region(t->c, ism_region_token(t->private_a), ISM_READ, NULL, &t->ro_c));
	ok(ism_alloc_region(t->a, 1, NULL, &t->out_a));
	ok(ism_attach_region(t->c, ism_region_token(t->out_a), ISM_READ | ISM_WRITE, NULL, &t->out_c));
	ok(ism_region_grant(t->out_a, devid_of(t->c), 0));
	strcpy(ism_region_addr(t->open_a), "before");
	strcpy(ism_region_addr(t->private_a), "secret");
}

/* Ring until that end sees something new in the memory. */
static void ring_through(struct ism_region *from, struct ism_region *to, int *word_from, const int *word_to)
{
	int next = *word_from + 1;

	*word_from = next;
	ok(ism_region_notify(from));
	while (*(volatile const int *)word_to != next)
		ck_assert_int_eq(ok(ism_region_wait(to, SECONDS(30))), 1);
	ism_region_clear(to);
}

static void three_use(struct three *t)
{
	struct ism_region *again;
	int *a = (int *)((char *)ism_region_addr(t->open_a) + 64), *b = (int *)((char *)ism_region_addr(t->open_b) + 64);

	for (int i = 0; i < 4; i++) {	/* through the host, then directly */
		ring_through(t->open_a, t->open_b, a, b);
		ring_through(t->open_b, t->open_a, b, a);
	}
	fails(ism_attach_region(t->c, ism_region_token(t->private_a), ISM_READ | ISM_WRITE, NULL, &again), -EROFS);
	fails(ism_attach_region(t->c, ism_region_token(t->out_a), ISM_READ, NULL, &again), -ENOENT);
	fails(ism_attach_region(t->c, 12345, ISM_READ, NULL, &again), -ENOENT);
	ok(ism_attach_region(t->c, ism_region_token(t->open_a), ISM_READ, NULL, &again));
	ck_assert_str_eq(ism_region_addr(again), "before");
	ism_detach_region(again);
	ck_assert_str_eq(ism_region_addr(t->ro_c), "secret");
	/* A manager that is not the creator. */
	ok(ism_region_grant(t->private_b, devid_of(t->c), ISM_READ | ISM_ATTACH));
}

START_TEST(all_that_is_known_survives)
{
	char before[4096], after[4096];
	pid_t ismd = harness_ismd_kept("d", NULL);
	struct ism_info info = { .size = sizeof info };
	struct ism_device *late;
	struct three t;

	three_open(&t);
	three_use(&t);
	for (int i = 0; i < 3; i++) {
		list_three(&t, before, sizeof before);
		ismd = restart(ismd, NULL);
		list_three(&t, after, sizeof after);
		ck_assert_str_eq(after, before);
		three_use(&t);
		ok(ism_open(harness_uri("d"), NULL, &late));	/* an id that nobody has had */
		ck_assert_uint_gt(devid_of(late), devid_of(t.c));
		ok(ism_query(late, &info));
		ck_assert(ISM_WITHOUT_PEERCRED || info.host_pid == ismd);
		ism_close(late);
	}
	ism_close(t.a);
	eventually(nr_devices(t.b) == 2, 30);
	/* The creator has gone: the manager's region lives, the other tokens have ended. */
	ismd = restart(ismd, NULL);
	ck_assert_int_eq(nr_regions(t.b), 3);
	ok(ism_region_grant(t.private_b, devid_of(t.c), 0));
	fails(ism_attach_region(t.c, ism_region_token(t.open_b), ISM_READ, NULL, &t.open_a), -ENOENT);
	ism_close(t.b);
	ism_close(t.c);
	harness_ismd_stop(ismd);
}
END_TEST

START_TEST(an_upgrade_goes_unnoticed)
{
	/* Who looks whether the daemon is ready may be let in by the old one and leave when that has left. */
	const char *const replace[] = { "--replace", "--set", "grace=10", NULL };
	char before[4096], after[4096];
	pid_t old = harness_ismd_kept("d", NULL), new;
	struct three t;

	three_open(&t);
	for (int i = 0; i < 3; i++) {
		list_three(&t, before, sizeof before);
		new = harness_ismd_kept("d", replace);
		ck_assert_int_eq(harness_reap(old, 30), 0);
		list_three(&t, after, sizeof after);
		ck_assert_str_eq(after, before);
		three_use(&t);
		old = new;
	}
	ism_close(t.a);
	ism_close(t.b);
	ism_close(t.c);
	harness_ismd_stop(old);
}
END_TEST

START_TEST(a_program_that_hosts_is_not_asked_to_leave)
{
	const char *program = getenv("ISM_TEST_ISMD"), *path = harness_uri("d") + strlen("emu:");
	struct ism_region *region;
	struct ism_device *dev;

	harness_expect_log("has a host already");
	ok(ism_open(harness_uri("d"), NULL, &dev));
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		execl(program != NULL ? program : "./ismd", "ismd", "--foreground", "--replace", path, (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(harness_reap(pid, 30), 1);
	ok(ism_alloc_region(dev, 1, NULL, &region));
	ism_close(dev);
}
END_TEST

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

START_TEST(a_vector_stays_the_same_descriptor)
{
	struct ism_attach_opts vector = { .size = sizeof vector, .flags = ISM_ATTACH_VECTOR };
	pid_t ismd = harness_ismd_kept("d", NULL);
	struct ism_region *mine, *theirs;
	struct ism_device *a, *b;

	ok(ism_open(harness_uri("d"), NULL, &a));
	ok(ism_open(harness_uri("d"), NULL, &b));
	ok(ism_alloc_region(a, 1, NULL, &mine));
	ok(ism_attach_region(b, ism_region_token(mine), ISM_READ, &vector, &theirs));
	int fd = (int)ok(ism_region_fd(theirs));
	for (int i = 0; i < 3; i++) {
		eventually(ism_region_clear(theirs) == 0 && !readable(fd), 30);
		ismd = restart(ismd, NULL);
		ck_assert_int_eq(nr_devices(b), 2);	/* b is back */
		ism_region_clear(theirs);
		ok(ism_region_notify(mine));
		ck_assert_int_eq(nr_devices(a), 2);
		eventually(readable(fd), 30);
		ck_assert_int_eq(ism_region_clear(theirs), 1);
	}
	ism_close(a);
	ism_close(b);
	harness_ismd_stop(ismd);
}
END_TEST

/* ------------------------------------------------------------------ calls that wait */

static void *alloc_main(void *arg)
{
	struct ism_region *region = NULL;
	long r = ism_alloc_region(arg, 70000, NULL, &region);

	ck_assert_msg(r == 0, "%ld: %s", r, ism_error_detail());
	return region;
}

START_TEST(control_calls_wait_for_the_next_daemon)
{
	struct ism_open_opts patient = { .size = sizeof patient, .restart_ms = 60000 },
			     hasty = { .size = sizeof hasty, .restart_ms = 200 },
			     never = { .size = sizeof never, .restart_ms = ISM_RESTART_NONE };
	pid_t ismd = harness_ismd_kept("d", NULL);
	struct ism_device *p, *h, *n;
	struct ism_region *r, *kept;
	pthread_t thread;

	ok(ism_open(harness_uri("d"), &patient, &p));
	ok(ism_open(harness_uri("d"), &hasty, &h));
	ok(ism_open(harness_uri("d"), &never, &n));
	ok(ism_alloc_region(h, 1, NULL, &kept));
	harness_kill(ismd);
	fails(ism_alloc_region(n, 1, NULL, &r), -EHOSTDOWN);
	double began = harness_now();
	fails(ism_alloc_region(h, 1, NULL, &r), -EHOSTDOWN);
	ck_assert_double_ge(harness_now() - began, 0.19);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "200 ms"));
	pthread_create(&thread, NULL, alloc_main, p);
	ismd = harness_ismd_kept("d", NULL);
	pthread_join(thread, (void **)&r);
	ck_assert_uint_eq(ism_region_size(r), 131072);
	/* Those that do not wait for long may give up once more before they are back. */
	eventually(ism_alloc_region(h, 1, NULL, &r) == 0, 30);
	eventually(ism_alloc_region(n, 1, NULL, &r) == 0, 30);
	ck_assert_int_eq(nr_regions(p), 4);
	ism_close(p);
	ism_close(h);
	ism_close(n);
	harness_ismd_stop(ismd);
}
END_TEST

struct sleeper {
	struct ism_region *region;
	long result;
};

static void *sleep_main(void *arg)
{
	struct sleeper *s = arg;
	const volatile int *word = ism_region_addr(s->region);

	do
		s->result = ism_region_wait(s->region, SECONDS(60));
	while (s->result == 1 && *word == 0);
	return NULL;
}

/* Both ends sleep, and do nothing else that could bring them back. */
START_TEST(a_wait_comes_back_by_itself)
{
	struct ism_open_opts hasty = { .size = sizeof hasty, .restart_ms = 100 };
	pid_t ismd = harness_ismd_kept("d", NULL);
	struct ism_device *a, *b;
	struct ism_region *mine;
	struct sleeper s = { 0 };
	pthread_t thread;

	ok(ism_open(harness_uri("d"), &hasty, &a));
	ok(ism_open(harness_uri("d"), NULL, &b));
	ok(ism_alloc_region(a, 1, NULL, &mine));
	ok(ism_attach_region(b, ism_region_token(mine), ISM_READ, NULL, &s.region));
	pthread_create(&thread, NULL, sleep_main, &s);
	harness_kill(ismd);
	*(volatile int *)ism_region_addr(mine) = 1;
	fails(ism_region_notify(mine), -EHOSTDOWN);	/* no host, no link: not before we are back */
	ismd = harness_ismd_kept("d", NULL);
	struct ism_event ev;
	while (ok(ism_wait(a, &ev, 1, sizeof ev, SECONDS(30))) == 1 && ev.type != ISM_EVENT_UPDATE)
		ck_assert_uint_ne(ev.type, ISM_EVENT_RESET);	/* a takes itself as rung when it is back */
	pthread_join(thread, NULL);
	ck_assert_int_eq(s.result, 1);
	ism_close(a);
	ism_close(b);
	harness_ismd_stop(ismd);
}
END_TEST

START_TEST(who_polls_comes_back_too)
{
	pid_t ismd = harness_ismd_kept("d", NULL);
	struct ism_device *a;
	struct ism_region *r;
	struct ism_event ev;
	bool back = false;

	ok(ism_open(harness_uri("d"), NULL, &a));
	ok(ism_alloc_region(a, 1, NULL, &r));
	struct pollfd p = { .fd = (int)ok(ism_fd(a)), .events = POLLIN };
	ismd = restart(ismd, NULL);
	while (!back) {
		ck_assert_int_eq(poll(&p, 1, 30000), 1);
		while (ok(ism_event_next(a, &ev, sizeof ev)) == 1)
			back |= ev.type == ISM_EVENT_UPDATE;
	}
	ism_close(a);
	harness_ismd_stop(ismd);
}
END_TEST

START_TEST(nobody_takes_the_seat_meanwhile)
{
	struct ism_open_opts hasty = { .size = sizeof hasty, .timeout_ms = 300 };
	pid_t ismd = harness_ismd_kept("d", NULL);
	struct ism_info info = { .size = sizeof info };
	struct ism_device *a, *b;

	ok(ism_open(harness_uri("d"), NULL, &a));
	harness_kill(ismd);
	fails(ism_open(harness_uri("d"), &hasty, &b), -ETIMEDOUT);
	ismd = harness_ismd_kept("d", NULL);
	ok(ism_open(harness_uri("d"), NULL, &b));
	ok(ism_query(b, &info));
	ck_assert(ISM_WITHOUT_PEERCRED || info.host_pid == ismd);
	ck_assert_int_eq(nr_devices(a), 2);
	ism_close(a);
	ism_close(b);
	harness_ismd_stop(ismd);
}
END_TEST

/* ------------------------------------------------------------------ the keeper */

START_TEST(a_keeper_that_is_killed_is_replaced)
{
	pid_t ismd = harness_ismd_kept("d", NULL), keeper = keeper_of(0), next;
	char before[4096], after[4096];
	struct three t;

	harness_expect_log("the keeper has died");
	three_open(&t);
	list_three(&t, before, sizeof before);
	ck_assert_int_gt(keeper, 0);
	for (int i = 0; i < 2; i++) {
		kill(keeper, SIGKILL);
		eventually((next = keeper_of(keeper)) != 0, 30);
		keeper = next;
		/* A call that is answered is one that the new keeper knows of. */
		ck_assert_int_eq(nr_devices(t.a), 3);
		ismd = restart(ismd, NULL);
		list_three(&t, after, sizeof after);
		ck_assert_str_eq(after, before);
		three_use(&t);
	}
	ism_close(t.a);
	ism_close(t.b);
	ism_close(t.c);
	harness_ismd_stop(ismd);
	eventually(keeper_of(0) == 0, 30);
}
END_TEST

struct maker {
	struct ism_device *dev;
	_Atomic unsigned int made;
	_Atomic bool stop;
	_Atomic long result;
};

static void *maker_main(void *arg)
{
	struct ism_region *region;
	struct maker *m = arg;
	long r = 0;

	while (!m->stop && (r = ism_alloc_region(m->dev, 1, NULL, &region)) == 0) {
		ism_detach_region(region);
		m->made++;
	}
	m->result = r;
	return NULL;
}

/* As long as that takes: a busy machine does not let it run for seconds, and no region is refused for that. */
START_TEST(a_keeper_that_is_slow_is_waited_for)
{
	pid_t ismd = harness_ismd_kept("d", NULL), keeper = keeper_of(0);
	double end = harness_now() + 60, since = harness_now();
	struct maker m = { .result = 0 };
	unsigned int seen = 0;
	pthread_t thread;

	ck_assert_int_gt(keeper, 0);
	ok(ism_open(harness_uri("d"), NULL, &m.dev));
	kill(keeper, SIGSTOP);
	pthread_create(&thread, NULL, maker_main, &m);
	/* Its socket is full when nothing more is made; that is to last for a while. */
	for (; m.result == 0 && harness_now() < since + 1.2 && harness_now() < end; harness_pause()) {
		if (m.made != seen)
			since = harness_now();
		seen = m.made;
	}
	kill(keeper, SIGCONT);
	ck_assert(harness_now() < end);
	eventually(m.made > seen + 100 || m.result != 0, 30);
	m.stop = true;
	pthread_join(thread, NULL);
	ck_assert_msg(m.result == 0, "%ld after %u", m.result, m.made);
	ism_close(m.dev);
	harness_ismd_stop(ismd);
}
END_TEST

/* It is waited for in vain once, not for each region of whoever goes: the others are served. */
START_TEST(a_keeper_that_stands_still_holds_nobody_up)
{
	pid_t ismd = harness_ismd_kept("d", NULL), keeper = keeper_of(0);
	struct ism_region *region, *theirs;
	struct maker m = { .result = 0 };
	double end = harness_now() + 120;
	struct ism_device *goes, *stays;

	ok(ism_open(harness_uri("d"), NULL, &goes));
	ok(ism_open(harness_uri("d"), NULL, &stays));
	ok(ism_open(harness_uri("d"), NULL, &m.dev));
	for (int i = 0; i < 16; i++)
		ok(ism_alloc_region(goes, 1, NULL, &region));
	ok(ism_alloc_region(stays, 1, NULL, &theirs));
	kill(keeper, SIGSTOP);
	maker_main(&m);
	ck_assert(harness_now() < end);
	ck_assert_int_eq(m.result, -ENOMEM);
	ism_close(goes);
	ck_assert_int_eq(ok(ism_region_peers(theirs, NULL, 0)), 0);
	kill(keeper, SIGCONT);
	eventually(ism_alloc_region(m.dev, 1, NULL, &region) == 0, 30);
	ism_close(m.dev);
	ism_close(stays);
	harness_ismd_stop(ismd);
}
END_TEST

START_TEST(without_daemon_and_keeper_it_is_over)
{
	pid_t ismd = harness_ismd_kept("d", NULL), keeper = keeper_of(0);
	struct ism_region *mine, *theirs, *more;
	struct ism_device *a, *b, *c;

	ok(ism_open(harness_uri("d"), NULL, &a));
	ok(ism_open(harness_uri("d"), NULL, &b));
	ok(ism_alloc_region(a, 1, NULL, &mine));
	ok(ism_attach_region(b, ism_region_token(mine), ISM_READ | ISM_WRITE, NULL, &theirs));
	harness_kill(ismd);
	kill(keeper, SIGKILL);
	await_reset(a);
	await_reset(b);
	fails(ism_alloc_region(a, 1, NULL, &more), -EHOSTDOWN);
	strcpy(ism_region_addr(mine), "still shared");
	ck_assert_str_eq(ism_region_addr(theirs), "still shared");
	ismd = harness_ismd_kept("d", NULL);	/* a new domain */
	ok(ism_open(harness_uri("d"), NULL, &c));
	ck_assert_int_eq(nr_devices(c), 1);
	ck_assert_int_eq(nr_regions(c), 0);
	fails(ism_attach_region(c, ism_region_token(mine), ISM_READ, NULL, &more), -ENOENT);
	ism_close(a);
	ism_close(b);
	ism_close(c);
	harness_ismd_stop(ismd);
}
END_TEST

START_TEST(a_keeper_does_not_wait_for_ever)
{
	const char *const grace[] = { "--set", "grace=1", NULL };
	pid_t ismd = harness_ismd_kept("d", grace);
	struct ism_device *a;
	char path[160];

	ok(ism_open(harness_uri("d"), NULL, &a));
	harness_kill(ismd);
	await_reset(a);
	ism_close(a);
	eventually(keeper_of(0) == 0, 30);
	snprintf(path, sizeof path, "%s/d", harness_dir());	/* and nothing is left: the harness looks, too */
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* ------------------------------------------------------------------ who does not come back */

struct absentee {
	struct channel token, ready;
	char uri[160];
};

static int absent_main(void *arg)
{
	struct absentee *w = arg;
	struct ism_device *dev;
	struct ism_region *theirs, *own;

	if (ism_open(w->uri, NULL, &dev) < 0 || ism_alloc_region(dev, 300000, NULL, &own) < 0 ||
	    ism_attach_region(dev, channel_get(&w->token), ISM_READ | ISM_WRITE, NULL, &theirs) < 0)
		return 1;
	channel_put(&w->ready, ism_region_token(own));
	pause();
	return 2;
}

START_TEST(who_never_returns_is_detached_in_the_end)
{
	/* Long enough for us to come back ourselves. */
	const char *const grace[] = { "--set", "grace=6", NULL };
	pid_t ismd = harness_ismd_kept("d", grace), dead, stopped;
	struct ism_device_entry e[4];
	struct ism_region *mine, *of_dead, *of_stopped;
	struct ism_device *dev;
	struct absentee w;
	uint64_t cursor = 0;

	snprintf(w.uri, sizeof w.uri, "%s", harness_uri("d"));
	channel_open(&w.token);
	channel_open(&w.ready);
	dead = harness_fork(absent_main, &w);
	ok(ism_open(w.uri, NULL, &dev));
	ok(ism_alloc_region(dev, 1, NULL, &mine));
	channel_put(&w.token, ism_region_token(mine));
	ok(ism_attach_region(dev, channel_get(&w.ready), ISM_READ, NULL, &of_dead));
	stopped = harness_fork(absent_main, &w);
	channel_put(&w.token, ism_region_token(mine));
	ok(ism_attach_region(dev, channel_get(&w.ready), ISM_READ, NULL, &of_stopped));
	ck_assert_int_eq(ok(ism_region_peers(mine, NULL, 0)), 2);
	harness_stop(stopped);
	harness_kill(ismd);
	harness_kill(dead);
	ismd = harness_ismd_kept("d", grace);
	ck_assert_int_eq(ok(ism_region_peers(mine, NULL, 0)), 2);	/* not yet */
	await_event(dev, ISM_EVENT_DETACH);
	eventually(ism_region_peers(mine, NULL, 0) == 0, 30);
	/* To the byte: ours, and theirs as long as we hold them. */
	ck_assert_int_eq(ok(ism_list_devices(dev, e, 4, sizeof e[0], &cursor)), 1);
	ck_assert_uint_eq(e[0].bytes, 65536 + 2 * 327680);
	ism_detach_region(of_dead);
	ism_detach_region(of_stopped);
	ck_assert_int_eq(nr_regions(dev), 1);
	harness_kill(stopped);
	ism_close(dev);
	harness_ismd_stop(ismd);
	channel_close(&w.token);
	channel_close(&w.ready);
}
END_TEST

Suite *restart_suite(void)
{
	Suite *s = suite_create("restart");
	TCase *tc = harness_tcase(s, "restart", 600);

	tcase_add_test(tc, all_that_is_known_survives);
	tcase_add_test(tc, an_upgrade_goes_unnoticed);
	tcase_add_test(tc, a_program_that_hosts_is_not_asked_to_leave);
	tcase_add_test(tc, a_vector_stays_the_same_descriptor);
	tcase_add_test(tc, control_calls_wait_for_the_next_daemon);
	tcase_add_test(tc, a_wait_comes_back_by_itself);
	tcase_add_test(tc, who_polls_comes_back_too);
	tcase_add_test(tc, nobody_takes_the_seat_meanwhile);
	tcase_add_test(tc, a_keeper_that_is_killed_is_replaced);
	tcase_add_test(tc, a_keeper_that_is_slow_is_waited_for);
	tcase_add_test(tc, a_keeper_that_stands_still_holds_nobody_up);
	tcase_add_test(tc, without_daemon_and_keeper_it_is_over);
	tcase_add_test(tc, a_keeper_does_not_wait_for_ever);
	tcase_add_test(tc, who_never_returns_is_detached_in_the_end);
	return s;
}

int main(int argc, char **argv)
{
	Suite *const suites[] = { restart_suite(), rings_suite(), restart_batches_suite(), NULL };

	return harness_main(argc, argv, suites);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_bounds.c - calls that must give up, and what they leave then: a host
 * that is stopped for a while, a backlog that is full, pages that are not there,
 * descriptors and mappings that do not suffice, a host that does not know a command.
 */
#include "failpoint.h"
#include "harness.h"
#include "internal.h"

#include "base/spec.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* ------------------------------------------------------------------ a host that is stopped for a while */

static uint64_t nr_regions(struct ism_device *dev)
{
	struct ism_domain_info info = { .size = sizeof info };

	ok(ism_query_domain(dev, &info));
	return info.regions;
}

static bool comes(struct ism_device *dev, uint32_t type)
{
	struct ism_event ev;

	return ok(ism_wait(dev, &ev, 1, sizeof ev, 0)) == 1 && ev.type == type;
}

/* From now on its calls give up soon, which those that are to succeed must not; returns how long they waited before. */
static int64_t be_hasty(struct ism_device *dev)
{
	int64_t was = dev->timeout_ns;

	dev->timeout_ns = SECONDS(0.1);
	return was;
}

/* The answers come, and nobody waits for them any more: what they gave is let go of as soon as the device is looked at. */
START_TEST(what_comes_too_late_is_let_go)
{
	pid_t ismd = harness_ismd("d", NULL);
	struct ism_device *dev, *other;
	struct ism_region *mine, *theirs, *none;
	uint64_t devids[2];

	ok(ism_open(harness_uri("d"), NULL, &other));
	ok(ism_alloc_region(other, 4096, NULL, &theirs));
	ok(ism_open(harness_uri("d"), NULL, &dev));
	ok(ism_alloc_region(dev, 4096, NULL, &mine));
	harness_stop(ismd);
	int64_t patience = be_hasty(dev);
	fails(ism_attach_region(dev, ism_region_token(theirs), ISM_READ, NULL, &none), -ETIMEDOUT);
	fails(ism_alloc_region(dev, 4096, NULL, &none), -ETIMEDOUT);
	dev->timeout_ns = patience;
	kill(ismd, SIGCONT);
	eventually(comes(other, ISM_EVENT_ATTACH), 30);	/* the late attach */
	struct ism_event ev;
	eventually(ok(ism_wait(dev, &ev, 1, sizeof ev, 0)) >= 0 && ok(ism_region_peers(theirs, devids, 2)) == 0, 30);
	eventually(ok(ism_wait(dev, &ev, 1, sizeof ev, 0)) >= 0 && nr_regions(other) == 2, 30);
	ok(ism_attach_region(other, ism_region_token(mine), ISM_READ, NULL, &none));	/* what was there before is there still */
	ck_assert_int_eq(ok(ism_region_peers(mine, devids, 2)), 1);
	ism_close(dev);
	ism_close(other);
	harness_ismd_stop(ismd);
}
END_TEST

/* Without any wait in between, the next call that asks for a region sees to it. */
START_TEST(the_next_call_lets_go_of_it_too)
{
	pid_t ismd = harness_ismd("d", NULL);
	struct ism_device *dev, *other;
	struct ism_region *theirs, *region;
	uint64_t devids[2];

	ok(ism_open(harness_uri("d"), NULL, &other));
	ok(ism_alloc_region(other, 4096, NULL, &theirs));
	ok(ism_open(harness_uri("d"), NULL, &dev));
	harness_stop(ismd);
	int64_t patience = be_hasty(dev);
	fails(ism_attach_region(dev, ism_region_token(theirs), ISM_READ, NULL, &region), -ETIMEDOUT);
	fails(ism_alloc_region(dev, 4096, NULL, &region), -ETIMEDOUT);
	dev->timeout_ns = patience;
	kill(ismd, SIGCONT);
	eventually(comes(other, ISM_EVENT_ATTACH), 30);
	for (int i = 0; i < 2; i++) {	/* the first reads the old answers, the second knows that they came */
		ok(ism_alloc_region(dev, 4096, NULL, &region));
		ism_detach_region(region);
	}
	ck_assert_int_eq(ok(ism_region_peers(theirs, devids, 2)), 0);
	ck_assert_uint_eq(nr_regions(other), 1);
	/* Asked for again, it is a region like any other. */
	ok(ism_attach_region(dev, ism_region_token(theirs), ISM_READ | ISM_WRITE, NULL, &region));
	ok(ism_region_notify(region));
	ck_assert_int_eq(ok(ism_region_wait(theirs, SECONDS(30))), 1);
	ism_close(dev);
	ism_close(other);
	harness_ismd_stop(ismd);
}
END_TEST

/* ------------------------------------------------------------------ a backlog that is full */

static volatile sig_atomic_t nr_signals;

static void count_signal(int sig)
{
	(void)sig;
	nr_signals++;
}

START_TEST(signals_do_not_stretch_the_time_to_connect)
{
	const struct sigaction action = { .sa_handler = count_signal };
	const struct itimerval often = { { .tv_usec = 20000 }, { .tv_usec = 20000 } }, never = { { 0 }, { 0 } };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct ism_open_opts opts = { .size = sizeof opts, .timeout_ms = 200 };
	struct ism_device *dev;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), filler = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/full", harness_dir());
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	ck_assert_int_eq(listen(fd, 0), 0);
	ck_assert_int_eq(connect(filler, (struct sockaddr *)&addr, sizeof addr), 0);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	fails(ism_open(harness_uri("full"), &opts, &dev), -ETIMEDOUT);
	setitimer(ITIMER_REAL, &never, NULL);
	ck_assert_int_gt(nr_signals, 0);
	close(filler);
	close(fd);
	unlink(addr.sun_path);
}
END_TEST

/* ------------------------------------------------------------------ pages that are not there */

START_TEST(pages_that_must_be_there_and_are_not_are_an_error)
{
	struct ism_alloc_opts opts = { .size = sizeof opts, .flags = ISM_ALLOC_PREFAULT | ISM_ALLOC_REQUIRED };
	struct ism_device *dev;
	struct ism_region *region, *more[3];

	ok(ism_open("loop:", NULL, &dev));
	failpoint_pick("madvise", NULL);
	failpoint_fail_at(1, -ENOMEM);
	fails(ism_alloc_region(dev, 65536, &opts, &region), -ENOMEM);
	failpoint_fail_at(2, -EFAULT);	/* the kernel's word for a page that it cannot bring in */
	fails(ism_alloc_regions(dev, 65536, &opts, 3, more), -ENOMEM);
	ck_assert_uint_eq(nr_regions(dev), 0);
	failpoint_fail_at(1, -EINVAL);	/* a kernel that does not know the call */
	ok(ism_alloc_region(dev, 65536, &opts, &region));
	ck_assert_uint_eq(ism_region_flags(region), ISM_ALLOC_PREFAULT);
	opts.flags = ISM_ALLOC_PREFAULT;
	failpoint_fail_at(1, -ENOMEM);
	ok(ism_alloc_region(dev, 65536, &opts, &region));
	ck_assert_uint_eq(ism_region_flags(region), 0);
	failpoint_fail_at(0, 0);
	ism_close(dev);
}
END_TEST

/* ------------------------------------------------------------------ many regions, and not the room for them */

enum { NR = 64, SIZE = 65536 };

struct many {
	pid_t ismd;
	struct ism_device *a, *b;
	struct ism_region *mine[NR], *theirs[NR];
	uint64_t token[NR];
};

static void many_open(struct many *m)
{
	*m = (struct many){ .ismd = harness_ismd("d", NULL) };
	ok(ism_open(harness_uri("d"), NULL, &m->a));
	ok(ism_open(harness_uri("d"), NULL, &m->b));
}

static void many_make(struct many *m)
{
	struct ism_info info = { .size = sizeof info };

	ok(ism_query(m->b, &info));
	struct ism_alloc_opts o = { .size = sizeof o, .flags = ISM_ALLOC_POOLED, .peer = info.devid };
	ok(ism_alloc_regions(m->a, SIZE, &o, NR, m->mine));
	for (size_t i = 0; i < NR; i++) {
		m->token[i] = ism_region_token(m->mine[i]);
		*(uint64_t *)ism_region_addr(m->mine[i]) = m->token[i];
	}
}

static int many_attach(struct many *m)
{
	return ism_attach_regions(m->b, m->token, ISM_READ | ISM_WRITE, NULL, NR, m->theirs);
}

/* They are there, and right; and go. */
static void many_use(struct many *m)
{
	for (size_t i = 0; i < NR; i++) {
		ck_assert_uint_eq(*(uint64_t *)ism_region_addr(m->theirs[i]), m->token[i]);
		*(uint64_t *)ism_region_addr(m->theirs[i]) = ~m->token[i];
		ck_assert_uint_eq(*(uint64_t *)ism_region_addr(m->mine[i]), ~m->token[i]);
		*(uint64_t *)ism_region_addr(m->mine[i]) = m->token[i];
	}
	ism_detach_regions(m->theirs, NR);
}

/* Of what could not be had nothing is left, here or at the host. */
static void many_none(struct many *m, unsigned int fds)
{
	struct ism_stats s = { .size = sizeof s };

	ck_assert_uint_eq(harness_fds(), fds);
	ok(ism_query_stats(m->b, &s));
	ck_assert_uint_eq(s.regions, 0);
	for (size_t i = 0; i < NR; i++)
		ck_assert_int_eq(ok(ism_region_peers(m->mine[i], NULL, 0)), 0);
}

static void many_close(struct many *m)
{
	ism_close(m->a);
	ism_close(m->b);
	harness_ismd_stop(m->ismd);
}

/* Room for this many more descriptors; what it was. */
static rlim_t descriptors_left(unsigned int more)
{
	struct rlimit lim;
	int next = dup(0);

	close(next);
	getrlimit(RLIMIT_NOFILE, &lim);
	rlim_t was = lim.rlim_cur;
	lim.rlim_cur = (rlim_t)next + more;
	setrlimit(RLIMIT_NOFILE, &lim);
	return was;
}

static void descriptors_as_before(rlim_t was)
{
	struct rlimit lim;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = was;
	setrlimit(RLIMIT_NOFILE, &lim);
}

START_TEST(descriptors_that_do_not_fit_take_nothing_with_them)
{
	for (unsigned int more = 0; more < NR; more += 21) {
		struct many m;

		many_open(&m);
		many_make(&m);
		unsigned int fds = harness_fds();
		rlim_t was = descriptors_left(more);
		fails(many_attach(&m), -EMFILE);
		descriptors_as_before(was);
		many_none(&m, fds);
		descriptors_left(more);
		/* The host takes it for one that has the memory: it asks for each alone, which needs one at a time. */
		long r = many_attach(&m);
		ck_assert_int_eq(r, more == 0 ? -EMFILE : 0);
		descriptors_as_before(was);
		if (r < 0)
			ok(many_attach(&m));
		many_use(&m);
		/* From now on it has that, and needs none. */
		was = descriptors_left(0);
		ok(many_attach(&m));
		descriptors_as_before(was);
		many_use(&m);
		many_none(&m, fds);
		many_close(&m);
	}
}
END_TEST

START_TEST(mappings_that_cannot_be_had_take_nothing_with_them)
{
	failpoint_pick("mmap", NULL);
	for (unsigned int n = 1; n <= NR; n += 21) {
		struct many m;

		many_open(&m);
		many_make(&m);
		unsigned int fds = harness_fds();
		failpoint_fail_at(n, -ENOMEM);
		fails(many_attach(&m), -ENOMEM);
		failpoint_fail_at(0, 0);
		many_none(&m, fds);
		ok(many_attach(&m));
		many_use(&m);
		many_none(&m, fds);
		many_close(&m);
	}
}
END_TEST

/* ------------------------------------------------------------------ a quota that idle memory has a part of */

START_TEST(what_waits_in_the_pool_gives_way)
{
	const char *const quotas[] = { "--set", "device-regions=3", "--set", "device-grants=2", NULL };
	struct many m = { .ismd = harness_ismd("d", quotas) };
	struct ism_info info = { .size = sizeof info };
	struct ism_region *region, *next;

	ok(ism_open(harness_uri("d"), NULL, &m.a));
	ok(ism_open(harness_uri("d"), NULL, &m.b));
	ok(ism_query(m.b, &info));
	struct ism_alloc_opts o = { .size = sizeof o, .flags = ISM_ALLOC_POOLED, .peer = info.devid };
	for (int i = 0; i < 2; i++) {	/* the grants are used up; then the regions, nearly */
		ok(ism_alloc_regions(m.a, SIZE, &o, 2, m.mine));
		ism_detach_regions(m.mine, 2);
		ok(ism_alloc_region(m.a, SIZE, NULL, &region));
		if (i == 0)
			ok(ism_region_grant(region, info.devid, ISM_READ | ISM_ATTACH));
		else
			ok(ism_region_replace(region, NULL, &next));
		ism_detach_region(region);
	}
	many_close(&m);
}
END_TEST

/* ------------------------------------------------------------------ a host of before */

static const struct ismi_backend *known;
static unsigned int refused;

static int older_command(struct ism_device *dev, struct ismi_command *c)
{
	unsigned int cmd = (unsigned int)c->req[0] << 8 | c->req[1];

	if (cmd != ISMI_CMD_ATTACH_BATCH && cmd != ISMI_CMD_DETACH_BATCH)
		return known->command(dev, c);
	c->reply[0] = ISMI_ERR;
	c->len = 1;
	refused++;
	return 0;
}

/* It is asked once by each device, and then one by one; and pooled memory is used again as ever. */
START_TEST(a_host_that_knows_no_batches)
{
	struct many m;

	many_open(&m);
	known = m.a->ops;
	struct ismi_backend older = *known;
	older.command = older_command;
	m.a->ops = m.b->ops = &older;
	for (int round = 0; round < 3; round++) {
		many_make(&m);
		/* The last one's lies behind each region's first word. */
		for (size_t i = 0; i < NR && round > 0; i++)
			ck_assert_str_eq((char *)ism_region_addr(m.mine[i]) + 8, "used before");
		ok(many_attach(&m));
		for (size_t i = 0; i < NR; i++)
			strcpy((char *)ism_region_addr(m.theirs[i]) + 8, "used before");
		many_use(&m);
		ism_detach_regions(m.mine, NR);
		ck_assert_uint_eq(refused, 2);
	}
	many_close(&m);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("bounds");
	TCase *tc = harness_tcase(s, "bounds", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, what_comes_too_late_is_let_go);
	tcase_add_test(tc, the_next_call_lets_go_of_it_too);
	tcase_add_test(tc, signals_do_not_stretch_the_time_to_connect);
	tcase_add_test(tc, pages_that_must_be_there_and_are_not_are_an_error);
	tcase_add_test(tc, descriptors_that_do_not_fit_take_nothing_with_them);
	tcase_add_test(tc, mappings_that_cannot_be_had_take_nothing_with_them);
	tcase_add_test(tc, what_waits_in_the_pool_gives_way);
	tcase_add_test(tc, a_host_that_knows_no_batches);
	return harness_main(argc, argv, suites);
}

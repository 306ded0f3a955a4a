/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_wait.c - what ism_fd() lends, for who polls it edge-triggered.
 */
#include "internal.h"
#include "unit.h"

#include <sys/epoll.h>
#include <unistd.h>

/* A device whose bells are never known to be quiet; one event comes while it arms them. */
static struct ismi_backend restless;
static bool comes;

static bool arm(struct ism_device *dev)
{
	if (comes)
		ismi_deliver_lost(dev);
	comes = false;
	return false;
}

static int edges(int epfd)
{
	struct epoll_event ev;

	return epoll_wait(epfd, &ev, 1, 0);
}

START_TEST(nothing_is_hidden_behind_a_nothing)
{
	struct epoll_event want = { .events = EPOLLIN | EPOLLET };
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	struct ism_device *dev;
	struct ism_event ev;

	ok(ism_open("loop:", NULL, &dev));
	ck_assert_int_eq(epoll_ctl(epfd, EPOLL_CTL_ADD, (int)ok(ism_fd(dev)), &want), 0);
	ck_assert_int_eq(ism_event_next(dev, &ev, sizeof ev), 0);
	ck_assert_int_eq(edges(epfd), 0);

	restless = *dev->ops;
	restless.arm = arm;
	dev->ops = &restless;
	/* Readable already, for it may not be quiet; and then something comes. */
	ck_assert_int_eq(ism_event_next(dev, &ev, sizeof ev), 0);
	ck_assert_int_eq(edges(epfd), 1);
	ck_assert_int_eq(edges(epfd), 0);
	comes = true;
	ck_assert_int_eq(ism_event_next(dev, &ev, sizeof ev), 0);
	ck_assert_int_eq(edges(epfd), 1);
	ck_assert_int_eq(ism_event_next(dev, &ev, sizeof ev), 1);
	ck_assert_uint_eq(ev.type, ISM_EVENT_LOST);
	ism_close(dev);
	close(epfd);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("wait");
	TCase *tc = harness_tcase(s, "lent", 300);

	tcase_add_test(tc, nothing_is_hidden_behind_a_nothing);
	Suite *const suites[] = { s, NULL };
	return harness_main(argc, argv, suites);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * with-epoll.c - a device in a program's own loop, beside a timer.
 */
#include <ism.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RINGS = 3 };

static void check(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s: %s\n", what, ism_strerror(r), ism_error_detail());
		exit(1);
	}
}

/* The other process: comes, rings a few times, goes. */
static void peer(uint64_t token)
{
	struct ism_device *dev;
	struct ism_region *region;

	check(ism_open(NULL, NULL, &dev), "open");
	check(ism_attach_region(dev, token, ISM_READ | ISM_WRITE, NULL, &region), "attach");
	for (int i = 0; i < RINGS; i++) {
		check(ism_region_notify(region), "notify");
		/* Not faster than it is answered, as several rings may be seen as one. */
		check(ism_region_wait(region, INT64_C(10000000000)), "wait");
	}
	ism_close(dev);
}

/* Everything there is, whatever woke us.  False: the peer has gone. */
static bool handle_events(struct ism_device *dev)
{
	struct ism_event ev;

	while (ism_event_next(dev, &ev, sizeof ev) > 0) {
		switch (ev.type) {
		case ISM_EVENT_ATTACH:
			printf("a peer came\n");
			break;
		case ISM_EVENT_UPDATE:
			printf("a doorbell\n");
			check(ism_region_notify(ev.region), "notify");
			break;
		case ISM_EVENT_DETACH:
			printf("the peer has gone\n");
			return false;
		case ISM_EVENT_LOST:	/* too many at once: here one would list the peers */
		case ISM_EVENT_RESET:	/* the host is gone, and no other peer can come */
			return false;
		}
	}
	return true;
}

static int watch(int epoll, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	check(fd, "fd");
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		exit(1);
	return fd;
}

int main(void)
{
	struct itimerspec in_20s = { .it_value.tv_sec = 20 };
	int epoll = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct ism_device *dev;
	struct ism_region *region;
	bool goes_on = true;

	check(ism_open(NULL, NULL, &dev), "open");
	check(ism_alloc_region(dev, 4096, NULL, &region), "alloc");
	/* One descriptor for all regions of the device, and for what else happens to it. */
	watch(epoll, ism_fd(dev));
	timerfd_settime(watch(epoll, timer), 0, &in_20s, NULL);
	if (fork() == 0) {
		peer(ism_region_token(region));
		_exit(0);
	}
	while (goes_on) {
		struct epoll_event ev;
		if (epoll_wait(epoll, &ev, 1, -1) == 1 && ev.data.fd == timer) {
			fprintf(stderr, "nothing happened for 20 seconds\n");
			return 1;
		}
		goes_on = handle_events(dev);
	}
	ism_close(dev);
	wait(NULL);
	return 0;
}

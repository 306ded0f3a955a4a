/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ping-pong.c - a counter goes back and forth between two processes, in three
 * ways of waiting for it.
 */
#include <ism.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct table {
	_Atomic uint64_t ping;
	char apart[120];	/* each on a cache line of its own, and not its neighbour */
	_Atomic uint64_t pong;
};

struct player {
	struct ism_device *dev;
	struct ism_region *region;
	struct table *table;
	int epoll;
};

static void check(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s: %s\n", what, ism_strerror(r), ism_error_detail());
		exit(1);
	}
}

/* Look until it is there.  The fastest, and it costs a CPU. */
static void spin(struct player *p, _Atomic uint64_t *ball, uint64_t n)
{
	(void)p;
	for (unsigned int i = 0; atomic_load(ball) < n; i++) {
		if (i > 10000)
			sched_yield();	/* the other one may need this CPU */
	}
}

/* The library spins a little, then sleeps. */
static void wait_ring(struct player *p, _Atomic uint64_t *ball, uint64_t n)
{
	while (atomic_load(ball) < n)
		check(ism_region_wait(p->region, INT64_C(10000000000)), "wait");
}

/* For a program that has its own loop: sleep in epoll, with all its other descriptors. */
static void poll_fd(struct player *p, _Atomic uint64_t *ball, uint64_t n)
{
	struct epoll_event ev;

	for (;;) {
		ism_region_clear(p->region);	/* first, then look: a ring in between is seen by epoll */
		if (atomic_load(ball) >= n)
			return;
		if (epoll_wait(p->epoll, &ev, 1, 10000) == 0) {
			fprintf(stderr, "nothing came\n");
			exit(1);
		}
	}
}

static const struct way {
	const char *name;
	void (*until)(struct player *p, _Atomic uint64_t *ball, uint64_t n);
	uint64_t rounds;
} ways[] = { { "spin", spin, 2000 }, { "wait", wait_ring, 2000 }, { "epoll", poll_fd, 500 } };

enum { WAYS = sizeof ways / sizeof ways[0] };

static void use_epoll(struct player *p)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = ism_region_fd(p->region);

	check(fd, "fd");
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll < 0 || epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		exit(1);
}

/* One side of the table: @mine is what this side writes. */
static void play(struct player *p, bool serves, _Atomic uint64_t *mine, _Atomic uint64_t *theirs)
{
	uint64_t ball = 0;

	for (int w = 0; w < WAYS; w++) {
		struct timespec t0, t1;

		if (w == WAYS - 1)
			use_epoll(p);
		clock_gettime(CLOCK_MONOTONIC, &t0);
		for (uint64_t i = 0; i < ways[w].rounds; i++) {
			ball++;
			if (!serves)
				ways[w].until(p, theirs, ball);
			atomic_store(mine, ball);
			check(ism_region_notify(p->region), "notify");
			if (serves)
				ways[w].until(p, theirs, ball);
		}
		clock_gettime(CLOCK_MONOTONIC, &t1);
		double ns = (double)(t1.tv_sec - t0.tv_sec) * 1e9 + (double)(t1.tv_nsec - t0.tv_nsec);
		if (serves)
			printf("%-5s %4d round trips, %.1f us each\n", ways[w].name, (int)ways[w].rounds,
			       ns / 1e3 / (double)ways[w].rounds);
	}
}

static void second(uint64_t token)
{
	struct player p;

	check(ism_open(NULL, NULL, &p.dev), "open");
	check(ism_attach_region(p.dev, token, ISM_READ | ISM_WRITE, NULL, &p.region), "attach");
	p.table = ism_region_addr(p.region);
	play(&p, false, &p.table->pong, &p.table->ping);
	ism_close(p.dev);
}

int main(void)
{
	struct player p;
	int status;
	pid_t pid;

	check(ism_open(NULL, NULL, &p.dev), "open");
	check(ism_alloc_region(p.dev, sizeof *p.table, NULL, &p.region), "alloc");
	p.table = ism_region_addr(p.region);
	pid = fork();
	if (pid < 0)
		return 1;
	if (pid == 0) {
		second(ism_region_token(p.region));
		_exit(0);
	}
	play(&p, true, &p.table->ping, &p.table->pong);
	waitpid(pid, &status, 0);
	ism_close(p.dev);
	return status != 0;
}

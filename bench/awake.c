/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * awake.c - rings a peer that is awake, so that bench/awake.test can count the
 * system calls between the two lines that it prints: begin, and what the device's
 * own counters say.
 *
 * usage: bench/awake TIMES
 */
#include "bench.h"

#include <ism.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct board {
	_Alignas(64) _Atomic uint64_t token;
	_Alignas(64) _Atomic int awake, done;
	_Alignas(64) _Atomic uint64_t taken;
};

static struct bench_domain domain;

/*
 * Until it is rung, and never asleep: who has armed a doorbell to sleep, and then finds
 * that it has been rung meanwhile, is woken once more by the next ring.
 */
static void look_until_rung(struct ism_region *region)
{
	for (long i = 0; bench_ok(ism_region_clear(region)) == 0; i++) {
		if (i % 1024 == 1023)
			usleep(100);
	}
}

/* Answer until the direct doorbell is set up; then look on. */
static void peer(void *arg)
{
	struct board *b = arg;
	struct ism_device *dev;
	struct ism_region *region;

	while (atomic_load(&b->token) == 0)
		usleep(100);
	bench_ok(ism_open(domain.uri, NULL, &dev));
	bench_ok(ism_attach_region(dev, atomic_load(&b->token), ISM_READ | ISM_WRITE, NULL, &region));
	do {
		bench_ok(ism_region_notify(region));
		look_until_rung(region);
	} while (!atomic_load(&b->awake));
	atomic_store(&b->awake, 2);
	for (bool last = false; !last;) {	/* once more after the last ring */
		last = atomic_load(&b->done);
		b->taken += (uint64_t)bench_ok(ism_region_clear(region));
	}
	ism_close(dev);
}

static void counters(struct ism_device *dev, struct ism_stats *ret)
{
	*ret = (struct ism_stats){ .size = sizeof *ret };
	bench_ok(ism_query_stats(dev, ret));
}

/* The peer has been rung in its own memory at least once. */
static void set_up(struct ism_device *dev, struct ism_region *region, struct board *b)
{
	struct ism_stats s;
	int tries = 0;

	do {
		if (bench_ok(ism_region_wait(region, 60000000000)) != 1 || tries++ == 1000)
			bench_die("there is no direct doorbell");
		counters(dev, &s);
		atomic_store(&b->awake, s.rings_direct > 0);
		bench_ok(ism_region_notify(region));
	} while (s.rings_direct == 0);
	while (atomic_load(&b->awake) != 2)
		usleep(100);
}

int main(int argc, char **argv)
{
	struct board *b = bench_shared(sizeof *b);
	long times = argc == 2 ? atol(argv[1]) : 0;
	struct ism_stats before, after;
	struct ism_region *region;
	struct ism_device *dev;
	char said[160];

	if (times < 1) {
		fprintf(stderr, "usage: awake TIMES\n");
		return 2;
	}
	bench_domain_open(&domain);
	pid_t pid = bench_fork(peer, b);
	bench_ok(ism_open(domain.uri, NULL, &dev));
	bench_ok(ism_alloc_region(dev, 4096, NULL, &region));
	atomic_store(&b->token, ism_region_token(region));
	set_up(dev, region, b);
	counters(dev, &before);
	bench_ok(write(STDOUT_FILENO, "begin\n", 6));
	for (long i = 0; i < times; i++)
		bench_ok(ism_region_notify(region));
	counters(dev, &after);
	snprintf(said, sizeof said, "%" PRIu64 " rings, %" PRIu64 " direct, %" PRIu64 " wake-ups, %" PRIu64 " saved\n",
		 after.notifies - before.notifies, after.rings_direct - before.rings_direct,
		 after.wakes_sent - before.wakes_sent, after.wakes_suppressed - before.wakes_suppressed);
	bench_ok(write(STDOUT_FILENO, said, strlen(said)));
	atomic_store(&b->done, 1);
	bench_join(pid);
	if (b->taken == 0)
		bench_die("the peer heard nothing");
	ism_close(dev);
	bench_domain_close(&domain);
	return 0;
}

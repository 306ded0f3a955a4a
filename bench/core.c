/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * core.c - does the core keep its promises: flat costs as regions and devices
 * grow, round trips close to the machine's own?
 *
 * usage: bench/core [-g | ROUNDS]   -g: figures for bench/run, no targets
 */
#include "bench.h"

#include <ism-ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FEW = 10, MANY = 10000, DEVICES_FEW = 10, DEVICES_MANY = 1000 };

/* What two processes tell each other; each word on a line of its own. */
struct word {
	_Alignas(64) _Atomic uint64_t v;
};
struct board {
	struct word ping, pong, token[2], ready, go, done, figure[4];
};

static struct bench_domain domain;

static void await(struct word *w, uint64_t v)
{
	while (atomic_load_explicit(&w->v, memory_order_acquire) != v)
		;
}

static void await_slowly(struct word *w, uint64_t v)
{
	while (atomic_load(&w->v) != v)
		usleep(100);
}

/* ------------------------------------------------------------------ round trips */

enum { LINE_TRIPS = 200000, RING_TRIPS = 200000, SLEEP_TRIPS = 5000, RECORD = 64 };

static void line_peer(void *arg)
{
	struct board *b = arg;

	for (uint64_t i = 1; i <= LINE_TRIPS; i++) {
		await(&b->ping, i);
		atomic_store_explicit(&b->pong.v, i, memory_order_release);
	}
}

/* A bare cache line between the two cores. */
static double line_trip(void)
{
	struct board *b = bench_shared(sizeof *b);
	pid_t pid = bench_fork(line_peer, b);

	atomic_store(&b->ping.v, 1);
	await(&b->pong, 1);
	double begin = bench_now_ns();
	for (uint64_t i = 2; i <= LINE_TRIPS; i++) {
		atomic_store_explicit(&b->ping.v, i, memory_order_release);
		await(&b->pong, i);
	}
	double ns = (bench_now_ns() - begin) / (LINE_TRIPS - 1);
	bench_join(pid);
	return ns;
}

struct eventfds {
	int ping, pong;
};

static void eventfd_peer(void *arg)
{
	const struct eventfds *e = arg;
	uint64_t v = 1;

	for (int i = 0; i < SLEEP_TRIPS; i++) {
		bench_ok(read(e->ping, &v, sizeof v));
		bench_ok(write(e->pong, &v, sizeof v));
	}
}

/* Two eventfds and nothing else: what a wake-up costs. */
static double eventfd_trip(void)
{
	struct eventfds e = { eventfd(0, 0), eventfd(0, 0) };
	pid_t pid = bench_fork(eventfd_peer, &e);
	uint64_t v = 1;
	double begin = 0;

	for (int i = 0; i < SLEEP_TRIPS; i++) {
		if (i == 10)
			begin = bench_now_ns();
		bench_ok(write(e.ping, &v, sizeof v));
		bench_ok(read(e.pong, &v, sizeof v));
	}
	double ns = (bench_now_ns() - begin) / (SLEEP_TRIPS - 10);
	bench_join(pid);
	close(e.ping);
	close(e.pong);
	return ns;
}

static void region_peer(void *arg)
{
	struct ism_open_opts opts = { .size = sizeof opts, .spin_us = ISM_SPIN_NONE };
	struct board *b = arg;
	struct ism_device *dev;
	struct ism_region *region;

	await_slowly(&b->ready, 1);
	bench_ok(ism_open(domain.uri, &opts, &dev));
	bench_ok(ism_attach_region(dev, b->token[0].v, ISM_READ | ISM_WRITE, NULL, &region));
	atomic_store(&b->go.v, 1);
	for (int i = 0; i < SLEEP_TRIPS; i++) {
		if (bench_ok(ism_region_wait(region, 10000000000)) == 0)
			bench_die("a ring was lost");
		bench_ok(ism_region_notify(region));
	}
	await_slowly(&b->done, 1);
	ism_close(dev);
}

/* Doorbells between two devices that sleep at once. */
static double region_trip(void)
{
	struct ism_open_opts opts = { .size = sizeof opts, .spin_us = ISM_SPIN_NONE };
	struct board *b = bench_shared(sizeof *b);
	pid_t pid = bench_fork(region_peer, b);
	struct ism_device *dev;
	struct ism_region *region;
	double begin = 0;

	bench_ok(ism_open(domain.uri, &opts, &dev));
	bench_ok(ism_alloc_region(dev, 4096, NULL, &region));
	b->token[0].v = ism_region_token(region);
	atomic_store(&b->ready.v, 1);
	await_slowly(&b->go, 1);
	for (int i = 0; i < SLEEP_TRIPS; i++) {
		if (i == 10)
			begin = bench_now_ns();
		bench_ok(ism_region_notify(region));
		if (bench_ok(ism_region_wait(region, 10000000000)) == 0)
			bench_die("a ring was lost");
	}
	double ns = (bench_now_ns() - begin) / (SLEEP_TRIPS - 10);
	atomic_store(&b->done.v, 1);
	bench_join(pid);
	ism_close(dev);
	return ns;
}

static void ring_peer(void *arg)
{
	struct board *b = arg;
	struct ism_device *dev;
	struct ism_region *region[2];
	struct ism_ring *in, *out;
	char buf[RECORD];

	await_slowly(&b->ready, 1);
	bench_ok(ism_open(domain.uri, NULL, &dev));
	for (int i = 0; i < 2; i++)
		bench_ok(ism_attach_region(dev, b->token[i].v, ISM_READ | ISM_WRITE, NULL, &region[i]));
	bench_ok(ism_ring_attach(region[0], ISM_RING_READER, NULL, &in));
	bench_ok(ism_ring_attach(region[1], ISM_RING_WRITER, NULL, &out));
	atomic_store(&b->go.v, 1);
	for (int i = 0; i < RING_TRIPS; i++) {
		bench_ok(ism_ring_read(in, buf, RECORD, 10000000000));
		bench_ok(ism_ring_write(out, buf, RECORD, 10000000000));
	}
	ism_ring_close(in);
	ism_ring_close(out);
	ism_close(dev);
}

/* 64-byte records through two rings, both ends spinning. */
static double ring_trip(void)
{
	struct board *b = bench_shared(sizeof *b);
	pid_t pid = bench_fork(ring_peer, b);
	struct ism_device *dev;
	struct ism_region *region[2];
	struct ism_ring *in, *out;
	char buf[RECORD] = { 0 };
	double begin = 0;

	bench_ok(ism_open(domain.uri, NULL, &dev));
	bench_ok(ism_alloc_regions(dev, 65536, NULL, 2, region));
	bench_ok(ism_ring_create(region[0], ISM_RING_WRITER, NULL, &out));
	bench_ok(ism_ring_create(region[1], ISM_RING_READER, NULL, &in));
	for (int i = 0; i < 2; i++)
		b->token[i].v = ism_region_token(region[i]);
	atomic_store(&b->ready.v, 1);
	await_slowly(&b->go, 1);
	for (int i = 0; i < RING_TRIPS; i++) {
		if (i == 1000)
			begin = bench_now_ns();
		bench_ok(ism_ring_write(out, buf, RECORD, 10000000000));
		bench_ok(ism_ring_read(in, buf, RECORD, 10000000000));
	}
	double ns = (bench_now_ns() - begin) / (RING_TRIPS - 1000);
	ism_ring_close(in);
	ism_ring_close(out);
	bench_join(pid);
	ism_close(dev);
	return ns;
}

static void round_trips(unsigned int rounds)
{
	struct bench_series line = { .name = "line" }, ring = { .name = "ring" }, bare = { .name = "eventfd" },
			    bell = { .name = "doorbell" };

	for (unsigned int i = 0; i < rounds; i++) {
		bench_add(&line, line_trip());
		bench_add(&ring, ring_trip());
		bench_add(&bare, eventfd_trip());
		bench_add(&bell, region_trip());
	}
	printf("cache line %.0f ns, ring 64 B %.0f ns; eventfd %.1f us, doorbell asleep %.1f us\n", bench_median(&line),
	       bench_median(&ring), bench_median(&bare) / 1e3, bench_median(&bell) / 1e3);
	bench_target("ring round trip 64 B, spinning / cache line", bench_ratio(&ring, &line), 2.5, "x");
	bench_target("doorbell round trip, asleep / bare eventfds", bench_ratio(&bell, &bare), 1.15, "x");
}

/* ------------------------------------------------------------------ ten regions and ten thousand */

enum { SAMPLE = 64, REPEATS = 500, WARM_UP = 20 };

/* What one operation costs, nanoseconds, with so many regions alive. */
struct costs {
	double alloc, attach, notify, wait;
};

struct crowd {
	struct board board;
	uint64_t token[MANY];
	unsigned int nr;
};

/* Attach everything; then measure attaching, and taking rings, when told. */
static void crowd_peer(void *arg)
{
	struct crowd *c = arg;
	struct board *b = &c->board;
	static struct ism_region *region[MANY];
	struct ism_device *dev;
	struct ism_event ev[SAMPLE];

	bench_ok(ism_open(domain.uri, NULL, &dev));
	await_slowly(&b->ready, 1);
	for (unsigned int i = 0; i < c->nr; i++)
		bench_ok(ism_attach_region(dev, c->token[i], ISM_READ | ISM_WRITE, NULL, &region[i]));
	double begin = bench_now_ns();
	for (int k = 0; k < REPEATS; k++) {
		unsigned int i = (unsigned int)k % FEW;
		ism_detach_region(region[i]);
		bench_ok(ism_attach_region(dev, c->token[i], ISM_READ | ISM_WRITE, NULL, &region[i]));
	}
	atomic_store(&b->figure[0].v, (uint64_t)((bench_now_ns() - begin) / REPEATS));
	double taken = 0;
	for (uint64_t k = 1; k <= REPEATS + WARM_UP; k++) {
		atomic_store(&b->go.v, k);
		await(&b->ping, k);
		begin = bench_now_ns();
		bench_ok(ism_wait(dev, ev, SAMPLE, sizeof ev[0], 10000000000));
		if (k > WARM_UP)
			taken += bench_now_ns() - begin;
	}
	atomic_store(&b->figure[1].v, (uint64_t)(taken / REPEATS));
	atomic_store(&b->done.v, 1);
	ism_close(dev);
}

static struct costs costs_with(unsigned int nr)
{
	static struct ism_region *region[MANY];
	struct crowd *c = bench_shared(sizeof *c);
	struct board *b = &c->board;
	struct ism_device *dev;
	struct costs costs;

	c->nr = nr;
	pid_t pid = bench_fork(crowd_peer, c);
	bench_ok(ism_open(domain.uri, NULL, &dev));
	for (unsigned int i = 0; i < nr; i++) {
		bench_ok(ism_alloc_region(dev, 4096, NULL, &region[i]));
		c->token[i] = ism_region_token(region[i]);
	}
	double begin = bench_now_ns();
	for (int i = 0; i < REPEATS; i++) {
		struct ism_region *r;
		bench_ok(ism_alloc_region(dev, 4096, NULL, &r));
		ism_detach_region(r);
	}
	costs.alloc = (bench_now_ns() - begin) / REPEATS;
	atomic_store(&b->ready.v, 1);
	double rung = 0;
	for (uint64_t k = 1; k <= REPEATS + WARM_UP; k++) {	/* warm: the first rings of each set up the direct doorbell */
		await(&b->go, k);
		begin = bench_now_ns();
		bench_ok(ism_region_notify(region[(k % (WARM_UP / 2) * 997) % nr]));
		if (k > WARM_UP)
			rung += bench_now_ns() - begin;
		atomic_store(&b->ping.v, k);
	}
	costs.notify = rung / REPEATS;
	await_slowly(&b->done, 1);
	costs.attach = (double)b->figure[0].v;
	costs.wait = (double)b->figure[1].v;
	bench_join(pid);
	ism_close(dev);
	return costs;
}

static void growth(unsigned int rounds)
{
	struct bench_series few[4] = { 0 }, many[4] = { 0 };
	static const char *const name[] = { "alloc + detach", "attach + detach", "notify, peer awake", "wait, rung already" };

	for (unsigned int i = 0; i < rounds; i++) {
		struct costs a = costs_with(FEW), z = costs_with(MANY);
		const double *pa = &a.alloc, *pz = &z.alloc;
		for (int k = 0; k < 4; k++) {
			bench_add(&few[k], pa[k]);
			bench_add(&many[k], pz[k]);
		}
	}
	for (int k = 0; k < 4; k++) {
		char what[96];
		snprintf(what, sizeof what, "%s: %d regions (%.2f us) / %d (%.2f us)", name[k], MANY,
			 bench_median(&many[k]) / 1e3, FEW, bench_median(&few[k]) / 1e3);
		bench_target(what, bench_ratio(&many[k], &few[k]), 1.5, "x");
	}
}

/* ------------------------------------------------------------------ a thousand devices on one region */

enum { WAKES = 5 };

struct company {
	struct board board;
	unsigned int nr;
};

/* All devices, each attached to the region; then all woken by one ring. */
static void company_peer(void *arg)
{
	struct ism_open_opts opts = { .size = sizeof opts, .window_size = 1 << 20, .spin_us = ISM_SPIN_NONE };
	struct company *c = arg;
	struct board *b = &c->board;
	static struct ism_device *dev[DEVICES_MANY];
	static struct ism_region *region[DEVICES_MANY];

	await_slowly(&b->ready, 1);
	double rss = bench_rss(getpid()), fds = bench_fds(getpid());
	for (unsigned int i = 0; i < c->nr; i++) {
		bench_ok(ism_open(domain.uri, &opts, &dev[i]));
		bench_ok(ism_attach_region(dev[i], b->token[0].v, ISM_READ, NULL, &region[i]));
	}
	atomic_store(&b->figure[0].v, (uint64_t)((bench_rss(getpid()) - rss) / c->nr));
	atomic_store(&b->figure[1].v, (uint64_t)((bench_fds(getpid()) - fds) / c->nr));
	atomic_store(&b->go.v, 1);
	for (uint64_t k = 1; k <= WAKES; k++) {
		for (unsigned int i = 0; i < c->nr; i++) {
			if (bench_ok(ism_region_wait(region[i], 20000000000)) == 0)
				bench_die("a device was not woken");
		}
		atomic_store(&b->done.v, k);
	}
	await_slowly(&b->ping, 1);
	for (unsigned int i = 0; i < c->nr; i++)
		ism_close(dev[i]);
}

struct per_device {
	double host_rss, host_fds, rss, fds, wake;
};

static struct per_device company_of(unsigned int nr)
{
	struct company *c = bench_shared(sizeof *c);
	struct board *b = &c->board;
	struct per_device p;
	struct ism_device *dev;
	struct ism_region *region;

	c->nr = nr;
	pid_t pid = bench_fork(company_peer, c);
	bench_ok(ism_open(domain.uri, NULL, &dev));
	bench_ok(ism_alloc_region(dev, 4096, NULL, &region));
	b->token[0].v = ism_region_token(region);
	p.host_rss = bench_rss(domain.ismd);
	p.host_fds = bench_fds(domain.ismd);
	atomic_store(&b->ready.v, 1);
	await_slowly(&b->go, 1);
	p.host_rss = (bench_rss(domain.ismd) - p.host_rss) / nr;
	p.host_fds = (bench_fds(domain.ismd) - p.host_fds) / nr;
	double begin = 0;
	for (uint64_t k = 1; k <= WAKES; k++) {	/* the last is measured: with links made, and all events of attaching taken */
		usleep(20000);	/* the first of them sleeps */
		begin = bench_now_ns();
		bench_ok(ism_region_notify(region));
		await(&b->done, k);
	}
	p.wake = (bench_now_ns() - begin) / nr;
	p.rss = (double)b->figure[0].v;
	p.fds = (double)b->figure[1].v;
	atomic_store(&b->ping.v, 1);
	bench_join(pid);
	ism_close(dev);
	return p;
}

static void devices(void)
{
	/* Memory that a smaller company has left behind would hide what the larger one takes. */
	struct per_device few = company_of(DEVICES_FEW), many = company_of(DEVICES_MANY);

	printf("per device, %d and %d on one region: host %.0f and %.0f KiB, %.1f and %.1f fds; itself %.0f and %.0f KiB, "
	       "%.1f and %.1f fds\n",
	       DEVICES_FEW, DEVICES_MANY, few.host_rss / 1024, many.host_rss / 1024, few.host_fds, many.host_fds,
	       few.rss / 1024, many.rss / 1024, few.fds, many.fds);
	printf("one ring wakes all %d: %.2f us each\n", DEVICES_MANY, many.wake / 1e3);
	bench_target("memory per device in the host, 1000 devices / 10", many.host_rss / few.host_rss, 1.5, "x");
	bench_target("descriptors per device in the host, 1000 devices / 10", many.host_fds / few.host_fds, 1.1, "x");
	bench_target("memory per device in its process, 1000 devices / 10", many.rss / few.rss, 1.5, "x");
	bench_target("descriptors per device in its process, 1000 devices / 10", many.fds / few.fds, 1.1, "x");
}

/* For bench/run: a line for each figure, name <TAB> metric <TAB> how many <TAB> value. */
static int grow(void)
{
	static const unsigned int regions[] = { 10, 100, 1000, 10000 }, companies[] = { 2, 10, 100, 1000 };

	for (int i = 0; i < 4; i++) {
		struct costs c = costs_with(regions[i]);
		printf("emu-regions\tgrow_alloc_us\t%u\t%.3f\n", regions[i], c.alloc / 1e3);
		printf("emu-regions\tgrow_attach_us\t%u\t%.3f\n", regions[i], c.attach / 1e3);
		printf("emu-regions\tgrow_notify_us\t%u\t%.3f\n", regions[i], c.notify / 1e3);
		printf("emu-regions\tgrow_wait_us\t%u\t%.3f\n", regions[i], c.wait / 1e3);
	}
	for (int i = 0; i < 4; i++) {
		struct per_device p = company_of(companies[i]);
		printf("emu-devices\tgrow_wake_each_us\t%u\t%.3f\n", companies[i], p.wake / 1e3);
		printf("emu-devices\tgrow_KiB_each\t%u\t%.1f\n", companies[i], p.rss / 1024);
		printf("emu-devices\tgrow_fds_each\t%u\t%.2f\n", companies[i], p.fds);
		printf("emu-devices\tgrow_host_KiB_each\t%u\t%.1f\n", companies[i], p.host_rss / 1024);
		printf("emu-devices\tgrow_host_fds_each\t%u\t%.2f\n", companies[i], p.host_fds);
	}
	bench_domain_close(&domain);
	return 0;
}

int main(int argc, char **argv)
{
	bool growing = argc > 1 && strcmp(argv[1], "-g") == 0;
	unsigned int rounds = argc > 1 && !growing ? (unsigned int)atoi(argv[1]) : 7;

	if (rounds < 1 || rounds > BENCH_ROUNDS_MAX) {
		fprintf(stderr, "usage: core [-g | ROUNDS]   (1 to %d, default 7)\n", BENCH_ROUNDS_MAX);
		return 2;
	}
	if (bench_cpus() < 2) {
		fprintf(stderr, "core: needs two CPUs\n");
		return 77;
	}
	bench_pin(0);
	bench_domain_open(&domain);
	if (growing)
		return grow();
	round_trips(rounds);
	growth(rounds);
	devices();
	bench_domain_close(&domain);
	printf("%u targets missed\n", bench_misses());
	return 0;
}

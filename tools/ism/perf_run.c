/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * perf_run.c - the measurements of `ism perf`: a peer for each, and a clock.
 */
#include "perf.h"

#include "bench.h"
#include "perf_lane.h"
#include "tool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ------------------------------------------------------------------ the peer */

/* What the peer is to do, and how it says that it is ready. */
struct job {
	const struct perf *perf;
	const struct lane *lane;
	size_t bytes;
	bool sleeps;
	uint64_t token;			/* of a region to ring */
	void (*main)(struct job *job, struct ism_device *dev);
	int ready[2];			/* a pipe: a byte when ready, one more when done */
	pthread_t thread;
	pid_t pid;			/* 0: a thread */
};

static int open_device(const char *uri, bool sleeps, uint32_t flags, struct ism_device **ret)
{
	struct ism_open_opts opts = { .size = sizeof opts, .flags = flags, .name = "ism perf",
				      .spin_us = sleeps ? ISM_SPIN_NONE : 0 };

	return ism_open(uri, &opts, ret);
}

static void peer_main(struct job *job)
{
	struct ism_device *dev = NULL;

	bench_ok(open_device(job->perf->uri, job->sleeps, ISM_OPEN_NO_HOST, &dev));
	job->main(job, dev);
	ism_close(dev);
	bench_ok(write(job->ready[1], "", 1));
}

static void forked_main(void *arg)
{
	struct job *job = arg;

	close(job->ready[0]);
	if (job->lane != NULL)
		lane_forget(job->lane, 0);
	peer_main(job);
}

static void *thread_main(void *arg)
{
	peer_main(arg);
	return NULL;
}

/* From the peer: it is there, and has what it needs. */
static void say_ready(const struct job *job)
{
	bench_ok(write(job->ready[1], "", 1));
}

static void await_byte(const struct job *job)
{
	char c;

	if (bench_ok(read(job->ready[0], &c, 1)) == 0)
		bench_die("the other process has ended");
}

/* The domain of loop: is in this process alone. */
static bool threaded(const struct perf *p)
{
	return p->info.host == ISM_HOST_PRIVATE;
}

static void peer_start(struct job *job)
{
	bench_ok(pipe(job->ready));
	job->pid = 0;
	if (threaded(job->perf)) {
		if (pthread_create(&job->thread, NULL, thread_main, job) != 0)
			bench_die("cannot start a thread");
	} else {
		job->pid = bench_fork(forked_main, job);
		close(job->ready[1]);
		if (job->lane != NULL)
			lane_forget(job->lane, 1);
	}
	await_byte(job);
}

static void peer_end(struct job *job)
{
	await_byte(job);
	if (job->pid != 0) {
		bench_join(job->pid);
	} else {
		pthread_join(job->thread, NULL);
		close(job->ready[1]);
	}
	close(job->ready[0]);
}

/* With a forked peer the other end's descriptors are closed already. */
static void lane_end_of(struct lane *l, const struct job *job)
{
	if (job->pid != 0)
		l->fd[1][0] = l->fd[1][1] = -1;
}

/* ------------------------------------------------------------------ round trips, one way */

static struct ism_device *device_for(const struct perf *p, enum perf_lane lane)
{
	return lane == PERF_RING_SLEEP ? p->dev_sleep : p->dev;
}

static void echo(struct job *job, struct ism_device *dev)
{
	static char buf[PERF_MESSAGE_MAX];
	struct lane_end e;

	lane_end_open(&e, job->lane, 1, dev);
	say_ready(job);
	do {
		lane_recv(&e, buf, job->bytes);
		lane_send(&e, buf, job->bytes);
	} while (buf[0] == 0);
	lane_end_close(&e);
}

void perf_round_trips(struct perf *p, enum perf_lane lane, size_t bytes, double seconds, struct bench_histogram *h)
{
	static char buf[PERF_MESSAGE_MAX];
	struct lane l;
	struct lane_end e;

	lane_open(&l, lane, device_for(p, lane));
	lane_end_open(&e, &l, 0, NULL);
	struct job job = { .perf = p, .lane = &l, .bytes = bytes, .sleeps = lane == PERF_RING_SLEEP, .main = echo };
	peer_start(&job);
	memset(buf, 0, sizeof buf);
	double until = bench_now_ns() + seconds * 1e9, now;
	lane_send(&e, buf, bytes);	/* the first one warms up */
	lane_recv(&e, buf, bytes);
	double before = bench_now_ns();
	do {
		lane_send(&e, buf, bytes);
		lane_recv(&e, buf, bytes);
		now = bench_now_ns();
		bench_histogram_add(h, (uint64_t)(now - before));
		before = now;
	} while (now < until);
	buf[0] = 1;
	lane_send(&e, buf, bytes);
	lane_recv(&e, buf, bytes);
	peer_end(&job);
	lane_end_of(&l, &job);
	lane_end_close(&e);
	lane_close(&l);
}

static void sink(struct job *job, struct ism_device *dev)
{
	static char buf[PERF_MESSAGE_MAX];
	struct lane_end e;

	lane_end_open(&e, job->lane, 1, dev);
	say_ready(job);
	while (lane_drain(&e, buf, sizeof buf) > 0)
		;
	lane_end_close(&e);
}

double perf_one_way(struct perf *p, enum perf_lane lane, size_t bytes, double seconds)
{
	enum { LOOK = 64 };		/* messages between two looks at the clock */
	static char buf[PERF_MESSAGE_MAX];
	double sent = 0;
	struct lane l;
	struct lane_end e;

	lane_open(&l, lane, device_for(p, lane));
	lane_end_open(&e, &l, 0, NULL);
	struct job job = { .perf = p, .lane = &l, .bytes = bytes, .sleeps = lane == PERF_RING_SLEEP, .main = sink };
	peer_start(&job);
	double began = bench_now_ns(), until = began + seconds * 1e9;
	do {
		for (int i = 0; i < LOOK; i++)
			lane_send(&e, buf, bytes);
		sent += (double)bytes * LOOK;
	} while (bench_now_ns() < until);
	lane_finish(&e);
	if (lane == PERF_PIPE)
		l.fd[0][1] = -1;
	peer_end(&job);			/* it has read all */
	double took = bench_now_ns() - began;
	lane_end_of(&l, &job);
	lane_end_close(&e);
	lane_close(&l);
	return sent / took * 1e9;
}

/* ------------------------------------------------------------------ doorbells */

/* The first word of the region says that it is over. */
static void answer(struct job *job, struct ism_device *dev)
{
	struct ism_region *region;

	bench_ok(ism_attach_region(dev, job->token, ISM_READ | ISM_WRITE, NULL, &region));
	const _Atomic uint32_t *over = ism_region_addr(region);
	say_ready(job);
	while (!atomic_load(over)) {
		if (bench_ok(ism_region_wait(region, INT64_C(20000000000))) == 0)
			bench_die("no doorbell came");
		bench_ok(ism_region_notify(region));
	}
}

static struct ism_region *region_to_ring(struct perf *p, struct job *job, void (*main)(struct job *, struct ism_device *))
{
	struct ism_region *region;

	bench_ok(ism_alloc_region(p->dev, 65536, NULL, &region));
	*job = (struct job){ .perf = p, .token = ism_region_token(region), .main = main };
	peer_start(job);
	return region;
}

/* Tell the peer that it was the last time, and see it end. */
static void ring_no_more(struct job *job, struct ism_region *region)
{
	atomic_store((_Atomic uint32_t *)ism_region_addr(region), 1);
	ism_region_notify(region);
	peer_end(job);
	ism_detach_region(region);
}

void perf_doorbells(struct perf *p, double seconds, struct bench_histogram *h)
{
	struct job job;
	struct ism_region *region = region_to_ring(p, &job, answer);
	double before = bench_now_ns(), until = before + seconds * 1e9, now;

	do {
		bench_ok(ism_region_notify(region));
		if (bench_ok(ism_region_wait(region, INT64_C(20000000000))) == 0)
			bench_die("no doorbell came back");
		now = bench_now_ns();
		bench_histogram_add(h, (uint64_t)(now - before));
		before = now;
	} while (now < until);
	ring_no_more(&job, region);
}

static void hear(struct job *job, struct ism_device *dev)
{
	struct ism_region *region;

	bench_ok(ism_attach_region(dev, job->token, ISM_READ | ISM_WRITE, NULL, &region));
	const _Atomic uint32_t *over = ism_region_addr(region);
	say_ready(job);
	while (!atomic_load(over))
		bench_ok(ism_region_wait(region, INT64_C(100000000)));
}

void perf_notify(struct perf *p, double seconds, struct bench_histogram *h)
{
	struct job job;
	struct ism_region *region = region_to_ring(p, &job, hear);
	double before = bench_now_ns(), until = before + seconds * 1e9, now;

	do {
		bench_ok(ism_region_notify(region));
		now = bench_now_ns();
		bench_histogram_add(h, (uint64_t)(now - before));
		before = now;
	} while (now < until);
	ring_no_more(&job, region);
}

/* ------------------------------------------------------------------ control, cache line, clock */

static double lap(struct bench_histogram *h, double before)
{
	double now = bench_now_ns();

	bench_histogram_add(h, (uint64_t)(now - before));
	return now;
}

void perf_control(struct perf *p, size_t bytes, double seconds, struct perf_calls *calls)
{
	double until = bench_now_ns() + seconds * 1e9, t;

	do {
		struct ism_region *mine, *theirs;
		t = bench_now_ns();
		bench_ok(ism_alloc_region(p->dev, bytes, NULL, &mine));
		t = lap(&calls->alloc, t);
		bench_ok(ism_attach_region(p->dev_sleep, ism_region_token(mine), ISM_READ | ISM_WRITE, NULL, &theirs));
		t = lap(&calls->attach, t);
		ism_detach_region(theirs);
		t = lap(&calls->detach, t);
		ism_detach_region(mine);
		t = lap(&calls->release, t);
	} while (t < until);
}

struct board {
	_Alignas(128) _Atomic uint64_t ping;
	_Alignas(128) _Atomic uint64_t pong;
};

static void line_peer(void *arg)
{
	struct board *b = arg;
	uint64_t v, last = 0;

	do {
		while ((v = atomic_load_explicit(&b->ping, memory_order_acquire)) == last)
			;
		atomic_store_explicit(&b->pong, v, memory_order_release);
		last = v;
	} while (v != UINT64_MAX);
}

void perf_line(double seconds, struct bench_histogram *h)
{
	if (bench_cpus() < 2)
		return;
	struct board *b = bench_shared(sizeof *b);
	pid_t pid = bench_fork(line_peer, b);
	double before = bench_now_ns(), until = before + seconds * 1e9, now;
	uint64_t i = 0;

	do {
		i++;
		atomic_store_explicit(&b->ping, i, memory_order_release);
		while (atomic_load_explicit(&b->pong, memory_order_acquire) != i)
			;
		now = bench_now_ns();
		if (i > 1)		/* the first one waits for the process to start */
			bench_histogram_add(h, (uint64_t)(now - before));
		before = now;
	} while (now < until || i < 3);
	atomic_store(&b->ping, UINT64_MAX);
	bench_join(pid);
	munmap(b, sizeof *b);
}

double perf_clock_ns(void)
{
	enum { LOOKS = 10000 };
	double began = bench_now_ns(), now = began;

	for (int i = 0; i < LOOKS; i++)
		now = bench_now_ns();
	return (now - began) / LOOKS;
}

/* ------------------------------------------------------------------ life */

int perf_open(struct perf *p)
{
	bench_name = "ism perf";
	p->info = (struct ism_info){ .size = sizeof p->info };
	int r = open_device(p->uri, false, 0, &p->dev);
	if (r == 0)
		r = open_device(p->uri, true, ISM_OPEN_NO_HOST, &p->dev_sleep);
	if (r == 0)
		r = ism_query(p->dev, &p->info);
	if (r < 0) {
		r = tool_fail(r, "cannot open a device");
		perf_close(p);
		return r;
	}
	/* Only now, so that a host in this process has its thread on any CPU. */
	if (bench_cpus() > 1 && !threaded(p))
		bench_pin(0);
	return 0;
}

void perf_close(struct perf *p)
{
	ism_close(p->dev_sleep);
	ism_close(p->dev);
	bench_unpin();
}

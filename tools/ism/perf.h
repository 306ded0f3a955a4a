/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * perf.h - measuring libism beside what else there is between two processes.
 *
 * A lane carries messages both ways between this process and a peer: another
 * process on another CPU if there are two, or a thread where the domain lives in
 * this process alone (loop:).
 */
#ifndef TOOL_PERF_H
#define TOOL_PERF_H

#include "histogram.h"

#include <ism.h>
#include <stdbool.h>
#include <stddef.h>

enum perf_lane {
	PERF_RING,	/* ism-ring, waiting as libism does by default */
	PERF_RING_SLEEP,	/* the same, sleeping at once, as the next three do */
	PERF_PIPE,
	PERF_UNIX,
	PERF_TCP,
	PERF_LANES,
};

extern const char *const perf_lane_name[PERF_LANES];

enum { PERF_MESSAGE_MAX = 65536 };

struct perf {
	const char *uri;		/* as for ism_open() */
	struct ism_info info;
	struct ism_device *dev, *dev_sleep;
};

/* Open what is measured and pin this thread, if there are two CPUs.  0 or an exit status, after saying why. */
int perf_open(struct perf *p);
void perf_close(struct perf *p);

/*
 * Measure for so many seconds.  What goes wrong in the middle ends the
 * program, with a message.
 */
void perf_round_trips(struct perf *p, enum perf_lane lane, size_t bytes, double seconds, struct bench_histogram *h);
/* One way: bytes per second. */
double perf_one_way(struct perf *p, enum perf_lane lane, size_t bytes, double seconds);
/* Ring, and be rung in answer. */
void perf_doorbells(struct perf *p, double seconds, struct bench_histogram *h);
/* Ring only: most of these are pending already. */
void perf_notify(struct perf *p, double seconds, struct bench_histogram *h);
/* Between two devices of this process: allocate, attach, detach, let go. */
struct perf_calls {
	struct bench_histogram alloc, attach, detach, release;
};
void perf_control(struct perf *p, size_t bytes, double seconds, struct perf_calls *calls);
/* A word that two CPUs write in turns; empty with one CPU. */
void perf_line(double seconds, struct bench_histogram *h);
/* One look at the clock: it is in every time. */
double perf_clock_ns(void);

#endif /* TOOL_PERF_H */

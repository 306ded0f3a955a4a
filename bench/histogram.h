/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * histogram.h - times, counted in classes that are never wider than a
 * sixty-fourth of the time.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
	HISTOGRAM_BITS = 6,			/* 64 classes between a power of two and the next */
	HISTOGRAM_CLASSES = (64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS,
};

/* All zero is empty. */
struct bench_histogram {
	uint64_t count[HISTOGRAM_CLASSES];
	uint64_t total, max;
};

void bench_histogram_add(struct bench_histogram *h, uint64_t ns);
/* The time that @part (0 to 1) of all are not above, as the upper end of its class; 0 if there are none. */
uint64_t bench_histogram_at(const struct bench_histogram *h, double part);

#endif /* BENCH_HISTOGRAM_H */

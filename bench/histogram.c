/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * histogram.c - times, counted in classes.
 */
#include "histogram.h"

/*
 * Below 64 each number has a class.  Above, the leading bits make it: the
 * position of the highest one, and the six behind it.
 */
static unsigned int class_of(uint64_t ns)
{
	if (ns < UINT64_C(1) << HISTOGRAM_BITS)
		return (unsigned int)ns;
	unsigned int shift = 63 - (unsigned int)__builtin_clzll(ns) - HISTOGRAM_BITS;
	return (shift << HISTOGRAM_BITS) + (unsigned int)(ns >> shift);
}

/* The largest number of a class. */
static uint64_t end_of(unsigned int class)
{
	if (class < 1U << HISTOGRAM_BITS)
		return class;
	unsigned int shift = (class >> HISTOGRAM_BITS) - 1;
	uint64_t head = (class & ((1U << HISTOGRAM_BITS) - 1)) + (UINT64_C(1) << HISTOGRAM_BITS);
	return (head << shift) + ((UINT64_C(1) << shift) - 1);
}

void bench_histogram_add(struct bench_histogram *h, uint64_t ns)
{
	h->count[class_of(ns)]++;
	h->total++;
	h->max = ns > h->max ? ns : h->max;
}

uint64_t bench_histogram_at(const struct bench_histogram *h, double part)
{
	double wanted = part * (double)h->total - 1e-6;	/* 0.07 of 100 is 7, whatever it is in binary */
	uint64_t seen = 0;

	for (unsigned int i = 0; i < HISTOGRAM_CLASSES; i++) {
		seen += h->count[i];
		if (h->count[i] > 0 && (double)seen >= wanted)
			return end_of(i) < h->max ? end_of(i) : h->max;
	}
	return h->max;
}

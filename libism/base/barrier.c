/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * barrier.c - see barrier.h.
 */
#include "base/barrier.h"

#include "base/atomics.h"
#include "base/clock.h"
#include "base/sys.h"

enum {
	/* A store does not stay in a store buffer for as long as this, whatever is behind it. */
	DRAIN_NS = 50000,
	/* The call takes microseconds; where it is made of something else, and tens of milliseconds, exchanges are better. */
	TOO_LONG_NS = 5000000,
};

enum { UNKNOWN, CAN, CANNOT };

static _Atomic int state;

static bool works(void)
{
	if (ismi_sys_membarrier_register() < 0)
		return false;
	int64_t began = ismi_now_ns();
	return ismi_sys_membarrier() == 0 && ismi_now_ns() - began < TOO_LONG_NS;
}

bool ismi_barrier_register(void)
{
	int known = ismi_load_relaxed(&state);

	if (known == UNKNOWN) {	/* two threads may both register: once or twice is the same */
		known = works() ? CAN : CANNOT;
		ismi_store_relaxed(&state, known);
	}
	return known == CAN;
}

void ismi_barrier(void)
{
	if (ismi_sys_membarrier() == 0)
		return;
	/* Somebody filters system calls, since we registered.  A signal may end a sleep early. */
	int64_t end = ismi_deadline(DRAIN_NS);
	for (int64_t left = DRAIN_NS; left > 0; left = ismi_time_left(end))
		ismi_sleep_ns(left);
}

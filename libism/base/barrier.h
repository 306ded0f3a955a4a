/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * barrier.h - a barrier that the one who waits pays for.
 *
 * Two sides that each write one word and then read the other's miss each other,
 * unless both have a barrier between: the load may pass the store, which is in the
 * store buffer still.
 *
 *     often:  message = 1; waits?		seldom:  waits = 1; message?
 *
 * An exchange on both sides is one way out, and the side that does this a
 * hundred million times a second pays as much as the other.  membarrier(2) is
 * another one: it returns when every CPU that runs a thread of a process that
 * registered has had a full barrier.  With it between its two steps the seldom
 * side needs nothing of the often side, but that the compiler keeps the order:
 * that CPU's barrier came either before its store, and then the load behind it
 * finds waits = 1; or after it, and then message = 1 is visible here.
 *
 * It reaches processes of this kernel, and not those in a virtual machine.
 */
#ifndef ISMI_BARRIER_H
#define ISMI_BARRIER_H

#include <stdbool.h>

/* Register this process, at the first call: can it be reached, and reach others? */
bool ismi_barrier_register(void);

/* The seldom side's, between its store and its load.  If it fails, it waits until what others stored must have arrived. */
void ismi_barrier(void);

/* The often side's, between its store and its load: for the compiler alone. */
#define ismi_barrier_light() atomic_signal_fence(memory_order_seq_cst)

#endif /* ISMI_BARRIER_H */

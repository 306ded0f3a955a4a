/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * clock.h - the time, and how much of it is left.
 */
#ifndef ISMI_CLOCK_H
#define ISMI_CLOCK_H

#include <stdint.h>

/* Time, in nanoseconds. */
int64_t ismi_now_ns(void);
int64_t ismi_thread_cpu_ns(void);
/* A deadline for a timeout: negative stays "never" (INT64_MAX), sums saturate. */
int64_t ismi_deadline(int64_t timeout_ns);
/* What is left of it, at least 0; negative for "never". */
int64_t ismi_time_left(int64_t deadline);
void ismi_sleep_ns(int64_t ns);

#endif /* ISMI_CLOCK_H */

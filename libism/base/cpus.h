/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * cpus.h - how many CPUs there are for us.
 */
#ifndef ISMI_CPUS_H
#define ISMI_CPUS_H

#include <stdbool.h>

/* How many CPUs the machine has on line, a cgroup's time limit included; at least 1. */
int ismi_cpus(void);
/* May this thread run on one CPU only?  Its peer may well run on another. */
bool ismi_thread_pinned(void);

#endif /* ISMI_CPUS_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * cpus.c - how many CPUs there are for us.
 */
#include "base/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

/* cgroup v2 cpu.max: "QUOTA PERIOD" in microseconds, or "max PERIOD".  0: no limit known. */
static int cgroup_cpus(void)
{
	char line[64];
	long quota, period;
	int cpus = 0;
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");

	if (f == NULL)
		return 0;
	if (fgets(line, sizeof line, f) != NULL && sscanf(line, "%ld %ld", &quota, &period) == 2 && period > 0)
		cpus = quota < period ? 1 : (int)(quota / period);
	fclose(f);
	return cpus;
}

int ismi_cpus(void)
{
	int limit = cgroup_cpus();
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);

	if (limit > 0 && limit < cpus)
		cpus = limit;
	return cpus < 1 ? 1 : cpus;
}

bool ismi_thread_pinned(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
}

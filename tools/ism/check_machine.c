/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_machine.c - what the kernel and the limits of this process give.
 */
#include "check.h"

#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first line of a file, without its end; false if there is none. */
static bool first_line(const char *path, char *buf, int size)
{
	FILE *f = fopen(path, "re");
	bool got = f != NULL && fgets(buf, size, f) != NULL;

	if (f != NULL)
		fclose(f);
	if (got)
		buf[strcspn(buf, "\n")] = '\0';
	return got;
}

/* ------------------------------------------------------------------ memory */

void check_memory_objects(struct check *c)
{
	char setting[16];
	int fd = memfd_create("ism-check", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0) {
		check_set(c, CHECK_OK, "memfd_create() works");
		close(fd);
		return;
	}
	check_set(c, CHECK_MISSING, "memfd_create(): %s", strerror(errno));
	if (errno == EACCES && first_line("/proc/sys/vm/memfd_noexec", setting, sizeof setting) && strcmp(setting, "2") == 0)
		check_remedy(c, "sysctl vm.memfd_noexec=1");
	else
		check_remedy(c, "Linux 3.17 or newer, and a sandbox that lets it through");
}

void check_seals(struct check *c)
{
	enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };
	int fd = memfd_create("ism-check", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && ftruncate(fd, 65536) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0 &&
	    (fcntl(fd, F_GET_SEALS) & SEALS) == SEALS && ftruncate(fd, 0) < 0)
		check_set(c, CHECK_OK, "a region's size can be sealed: no peer can take the memory from under another");
	else
		check_set(c, CHECK_MISSING, "a region's size cannot be sealed: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* The number behind a word in /proc/meminfo; -1: it is not there. */
static long meminfo(const char *name)
{
	char line[128];
	long value = -1;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			value = strtol(line + strlen(name) + 1, NULL, 10);
	}
	if (f != NULL)
		fclose(f);
	return value;
}

void check_huge_pages(struct check *c)
{
	long total = meminfo("HugePages_Total"), spare = meminfo("HugePages_Free"), size = meminfo("Hugepagesize");

	if (total < 0) {
		check_set(c, CHECK_MISSING, "this kernel has no reserved huge pages");
		return;
	}
	if (spare > 0) {
		check_set(c, CHECK_OK, "%ld of %ld pages of %ld KiB are free", spare, total, size);
		return;
	}
	check_set(c, CHECK_LIMITED, "%s of %ld KiB: regions that require huge pages cannot be allocated",
		  total > 0 ? "none free" : "none reserved", size);
	check_remedy(c, "sysctl vm.nr_hugepages=64");
}

void check_shared_huge_pages(struct check *c)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
	char line[128];

	if (!first_line(path, line, sizeof line)) {
		check_set(c, CHECK_MISSING, "no transparent huge pages for shared memory: regions get pages of the normal size");
	} else if (strstr(line, "[never]") != NULL || strstr(line, "[deny]") != NULL) {
		check_set(c, CHECK_LIMITED, "off for shared memory: ISM_ALLOC_HUGE gives pages of the normal size");
		check_remedy(c, "echo advise > %s", path);
	} else {
		check_set(c, CHECK_OK, "for shared memory: %s", line);
	}
}

/* ------------------------------------------------------------------ limits */

static const char *limit_text(rlim_t limit, char *buf, size_t size)
{
	if (limit == RLIM_INFINITY)
		return "unlimited";
	snprintf(buf, size, "%llu", (unsigned long long)limit);
	return buf;
}

void check_descriptors(struct check *c)
{
	enum { FEW = 64, ENOUGH = 1024 };
	struct rlimit limit;
	char soft[24], hard[24];

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		check_set(c, CHECK_MISSING, "RLIMIT_NOFILE: %s", strerror(errno));
		return;
	}
	check_set(c, limit.rlim_cur >= ENOUGH ? CHECK_OK : CHECK_LIMITED, "%s for a process (hard limit %s)%s",
		  limit_text(limit.rlim_cur, soft, sizeof soft), limit_text(limit.rlim_max, hard, sizeof hard),
		  limit.rlim_cur >= ENOUGH ? "" :
		  limit.rlim_cur >= FEW ? ": a device takes a few, each peer it rings directly up to 4, and ismd one for each region"
					: ": hardly enough for one device");
	if (limit.rlim_cur < ENOUGH)
		check_remedy(c, limit.rlim_max >= ENOUGH ? "ulimit -n %d" : "raise the hard limit (limits.conf(5)), then: ulimit -n %d",
			     ENOUGH);
}

void check_mappings(struct check *c)
{
	enum { ENOUGH = 65530 };	/* Linux's default: twice the regions that a device may have */
	char line[32];

	if (!first_line("/proc/sys/vm/max_map_count", line, sizeof line)) {
		check_set(c, CHECK_OK, "no limit is told");
		return;
	}
	long most = atol(line);
	check_set(c, most >= ENOUGH ? CHECK_OK : CHECK_LIMITED, "%ld for a process; each attached region takes one, and splits one",
		  most);
	if (most < ENOUGH)
		check_remedy(c, "sysctl vm.max_map_count=%d", ENOUGH);
}

void check_locked_memory(struct check *c)
{
	struct rlimit limit;
	char soft[24];

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		check_set(c, CHECK_MISSING, "RLIMIT_MEMLOCK: %s", strerror(errno));
	else
		check_set(c, CHECK_OK, "%s bytes; libism locks none, this is for programs that mlock() what they share",
			  limit_text(limit.rlim_cur, soft, sizeof soft));
}

/* CPUs that this process's cgroup may use at one time, in hundredths; 0: no limit. */
static long cgroup_limit(void)
{
	char line[64];
	long quota, period;

	if (!first_line("/sys/fs/cgroup/cpu.max", line, sizeof line) || sscanf(line, "%ld %ld", &quota, &period) != 2 ||
	    period <= 0)
		return 0;
	return quota * 100 / period;
}

void check_cpus(struct check *c)
{
	cpu_set_t set;
	int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
	long limit = cgroup_limit();

	if (cpus < 2) {
		check_set(c, CHECK_LIMITED, "one CPU: every wait sleeps at once, and a round trip takes two switches");
		check_remedy(c, "two CPUs, if round trips of less than a microsecond matter");
	} else if (limit > 0 && limit < 200) {
		check_set(c, CHECK_LIMITED, "%d CPUs, but this container may use %ld.%02ld at one time: every wait sleeps at once",
			  cpus, limit / 100, limit % 100);
		check_remedy(c, "a cpu.max of two CPUs or more, if round trips of less than a microsecond matter");
	} else {
		check_set(c, CHECK_OK, "%d CPUs: a wait spins a little before it sleeps", cpus);
	}
}

/* ------------------------------------------------------------------ the real device */

void check_device_node(struct check *c)
{
	static const char path[] = "/dev/ism";
	const struct group *group;
	struct stat st;

	if (stat(path, &st) < 0) {
		check_set(c, CHECK_MISSING, "no %s: this is for virtual machines with a virtio-ism device", path);
		return;
	}
	if (access(path, R_OK | W_OK) == 0) {
		check_set(c, CHECK_OK, "%s can be opened", path);
		return;
	}
	group = getgrgid(st.st_gid);
	check_set(c, CHECK_LIMITED, "%s may not be opened: its group is %s, its mode %03o", path,
		  group != NULL ? group->gr_name : "?", (unsigned int)st.st_mode & 0777);
	check_remedy(c, "join the group, and log in again");
}

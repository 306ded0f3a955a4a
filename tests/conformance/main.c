/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * main.c - run the conformance tests against one backend: loop, emu, ismd, trace
 * (emu, with each call shown), or dev.
 */
#include "conformance.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum backend backend;

static pid_t ismd;

/* The trace goes to a file that the harness does not mind. */
static const char *traced_uri(void)
{
	static char uri[160];
	char file[128];

	snprintf(file, sizeof file, "%s/.trace", harness_dir());
	setenv("ISM_TRACE", file, 1);
	snprintf(uri, sizeof uri, "trace:%s", harness_uri("d"));
	return uri;
}

int rounds(int n)
{
	return backend == DEV && n >= 1000 ? n / 40 : n;
}

/*
 * A test's devices are different ones, as elsewhere: $ISM_TEST_DEVICES nodes, each a
 * device of its own, taken in turn.
 */
static const char *next_node(void)
{
	static unsigned int next;
	static char uri[32];
	const char *nodes = getenv("ISM_TEST_DEVICES");
	unsigned int nr = nodes == NULL ? 1 : (unsigned int)atoi(nodes);

	snprintf(uri, sizeof uri, "dev:/dev/ism%u", next++ % (nr > 0 ? nr : 1));
	return uri;
}

const char *domain_uri(void)
{
	if (backend == LOOP)
		return "loop:test";
	if (backend == DEV)
		return next_node();
	if (backend == ISMD && ismd == 0)
		ismd = harness_ismd_kept("d", NULL);
	return backend == TRACE ? traced_uri() : harness_uri("d");
}

void domain_end(void)
{
	if (ismd != 0)
		harness_ismd_stop(ismd);
	ismd = 0;
}

struct ism_device *device_with(const struct ism_open_opts *opts)
{
	struct ism_device *dev;

	ok(ism_open(domain_uri(), opts, &dev));
	return dev;
}

struct ism_device *device(void)
{
	return device_with(NULL);
}

uint64_t devid_of(struct ism_device *dev)
{
	struct ism_info info = { .size = sizeof info };

	ok(ism_query(dev, &info));
	return info.devid;
}

uint64_t gid_of(struct ism_device *dev)
{
	struct ism_info info = { .size = sizeof info };

	ok(ism_query(dev, &info));
	return info.gid;
}

struct ism_region *alloc(struct ism_device *dev, size_t size)
{
	struct ism_region *region;

	ok(ism_alloc_region(dev, size, NULL, &region));
	return region;
}

struct ism_region *attach(struct ism_device *dev, const struct ism_region *other)
{
	struct ism_region *region;

	ok(ism_attach_region(dev, ism_region_token(other), ISM_READ | ISM_WRITE, NULL, &region));
	return region;
}

struct ism_region *attach_ro(struct ism_device *dev, const struct ism_region *other)
{
	struct ism_region *region;

	ok(ism_attach_region(dev, ism_region_token(other), ISM_READ, NULL, &region));
	return region;
}

/* A forked child keeps the memory mapped, so that it can die in our place. */
static bool faults(void *addr, bool store)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		volatile char *p = addr;
		close(STDERR_FILENO);	/* sanitizers have much to say about what follows */
		char was = *p;
		if (store)
			*p = was;
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

bool store_faults(void *addr)
{
	return faults(addr, true);
}

bool load_faults(const void *addr)
{
	return faults((void *)(uintptr_t)addr, false);
}

bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

unsigned int polled(struct ism_device *dev, int fd, uint32_t type)
{
	double end = harness_now() + 30;
	unsigned int n = 0;

	while (n == 0 && harness_now() < end && readable(fd, 30000))
		n = drain(dev, type);
	return n;
}

bool falls_silent(struct ism_device *dev, int fd)
{
	double end = harness_now() + 30;

	while (readable(fd, 20)) {
		if (harness_now() > end || drain(dev, ISM_EVENT_UPDATE) > 0)
			return false;
	}
	return true;
}

unsigned int drain(struct ism_device *dev, uint32_t type)
{
	struct ism_event ev;
	unsigned int n = 0;

	while (ok(ism_event_next(dev, &ev, sizeof ev)) > 0)
		n += ev.type == type;
	return n;
}

struct ism_event next_event(struct ism_device *dev)
{
	struct ism_event ev;

	ck_assert_int_eq(ok(ism_wait(dev, &ev, 1, sizeof ev, SECONDS(30))), 1);
	return ev;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "loop", "emu", "ismd", "trace", "dev" };
	const char *want = argc > 1 ? argv[1] : "loop";

	for (backend = LOOP; backend <= DEV; backend++) {
		if (strcmp(names[backend], want) == 0)
			break;
	}
	if (backend > DEV) {
		fprintf(stderr, "usage: conformance loop|emu|ismd|trace|dev\n");
		return 2;
	}
	if (backend == DEV && access("/dev/ism0", R_OK | W_OK) < 0) {
		puts("SKIP: no /dev/ism0: this machine has no virtio-ism device, or this user may not use it");
		return 77;
	}
	Suite *const suites[] = { regions_suite(), pool_suite(), batches_suite(), rights_suite(), bells_suite(), events_suite(),
				  misc_suite(),	   rings_suite(), ring_ends_suite(), ring_streams_suite(),
				  replace_suite(),
				  in_machine() ? NULL : kick_suite(), NULL };
	return harness_main(argc, argv, suites);
}

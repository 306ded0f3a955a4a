/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * hot.c - the paths that have to stay short, walked so many times: bench/check
 * counts the instructions of many walks and of few, and divides the difference.
 *
 * usage: bench/hot PATH TIMES
 */
#include "bench.h"

#include <ism-ring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const char *uri;
static struct bench_domain domain;
static struct ism_device *a, *b;
static struct ism_region *mine, *theirs;
static struct ism_ring *out, *in;

static void two_devices(void)
{
	bench_ok(ism_open(uri, NULL, &a));
	bench_ok(ism_open(uri, NULL, &b));
	bench_ok(ism_alloc_region(a, 65536, NULL, &mine));
	bench_ok(ism_attach_region(b, ism_region_token(mine), ISM_READ | ISM_WRITE, NULL, &theirs));
}

/* Rung and taken until both have taken up their ends of a direct doorbell. */
static void two_devices_linked(void)
{
	two_devices();
	for (int i = 0; i < 10; i++) {
		bench_ok(ism_region_notify(mine));
		bench_ok(ism_region_wait(theirs, 1000000000));
	}
}

/*
 * Doorbells that go by way of the host, which is at other work: it sleeps as
 * often as the scheduler likes, and what it takes to wake it would be counted.
 */
static void host_stopped(void)
{
	int status;

	two_devices();
	for (int i = 0; i < 10; i++)	/* what is asked of the host once, was */
		bench_ok(ism_region_notify(mine));
	if (domain.ismd > 0) {
		kill(domain.ismd, SIGSTOP);
		waitpid(domain.ismd, &status, WUNTRACED);
	}
}

static void two_ends(void)
{
	two_devices();
	bench_ok(ism_ring_create(mine, ISM_RING_WRITER, NULL, &out));
	bench_ok(ism_ring_attach(theirs, ISM_RING_READER, NULL, &in));
}

/* Nobody takes the doorbell: it is pending, as with a peer that is busy. */
static void notify(void)
{
	bench_ok(ism_region_notify(mine));
}

/* Rung, and taken. */
static void ring_and_clear(void)
{
	bench_ok(ism_region_notify(mine));
	bench_ok(ism_region_clear(theirs));
}

static void copied(void)
{
	static char buf[64];

	bench_ok(ism_ring_write(out, buf, sizeof buf, 0));
	bench_ok(ism_ring_read(in, buf, sizeof buf, 0));
}

static void in_place(void)
{
	const void *record;
	void *room;
	size_t len;

	bench_ok(ism_ring_reserve(out, 64, &room));
	bench_ok(ism_ring_commit(out, 64));
	bench_ok(ism_ring_peek(in, &record, &len));
	bench_ok(ism_ring_release(in));
}

static void attach(void)
{
	struct ism_region *again;

	bench_ok(ism_attach_region(b, ism_region_token(mine), ISM_READ, NULL, &again));
	ism_detach_region(again);
}

static void life(void)
{
	struct ism_region *one, *other;

	bench_ok(ism_alloc_region(a, 65536, NULL, &one));
	bench_ok(ism_attach_region(b, ism_region_token(one), ISM_READ, NULL, &other));
	ism_detach_region(other);
	ism_detach_region(one);
}

static const struct {
	const char *name;
	void (*prepare)(void);
	void (*walk)(void);
} paths[] = {
	{ "notify", two_devices_linked, notify },
	{ "notify-clear", two_devices_linked, ring_and_clear },
	{ "notify-host", host_stopped, notify },
	{ "ring-copy", two_ends, copied },
	{ "ring-place", two_ends, in_place },
	{ "attach", two_devices, attach },
	{ "life", two_devices, life },
};

/* "loop/notify": backend and path. */
int main(int argc, char **argv)
{
	const char *slash = argc == 3 ? strchr(argv[1], '/') : NULL;

	if (slash == NULL) {
		fprintf(stderr, "usage: hot loop|emu/PATH TIMES\n");
		return 2;
	}
	uri = "loop:hot";
	bool emu = strncmp(argv[1], "emu/", 4) == 0;
	if (emu) {		/* not a test's domain, whose calls are watched */
		bench_domain_open(&domain);
		uri = domain.uri;
	}
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		if (strcmp(paths[i].name, slash + 1) != 0)
			continue;
		paths[i].prepare();
		for (int n = atoi(argv[2]); n > 0; n--)
			paths[i].walk();
		if (emu)
			kill(domain.ismd, SIGCONT);
		ism_ring_close(in);
		ism_ring_close(out);
		ism_close(b);
		ism_close(a);
		if (emu)
			bench_domain_close(&domain);
		return 0;
	}
	fprintf(stderr, "hot: no path %s\n", slash + 1);
	return 2;
}

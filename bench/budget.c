/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * budget.c - what a device, a region, a doorbell cost of what a process has
 * little of: descriptors, mappings, memory.  doc/budgets.md has its figures.
 *
 * usage: bench/budget
 */
#include "bench.h"

#include <ism.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEVICES = 100, REGIONS = 1000, VECTORS = 100, LINKS = 20, SIZE = 65536 };

struct cost {
	double fds, maps, kib;
};

/* What each of the two processes did last, the tokens, and what it cost the second. */
struct table {
	_Atomic unsigned int step, done;
	uint64_t token[REGIONS], linked[LINKS];
	struct cost cost;
};

static struct bench_domain domain;
static struct table *table;

static struct cost costs_of(pid_t pid)
{
	char path[32], line[512];
	struct cost c = { .fds = bench_fds(pid), .kib = bench_rss(pid) / 1024 };

	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	FILE *f = fopen(path, "re");
	if (f == NULL)
		bench_die(path);
	while (fgets(line, sizeof line, f) != NULL)
		c.maps++;
	fclose(f);
	return c;
}

static struct cost each(struct cost after, struct cost before, unsigned int nr)
{
	return (struct cost){ (after.fds - before.fds) / nr, (after.maps - before.maps) / nr, (after.kib - before.kib) / nr };
}

static void line(const char *what, struct cost a, struct cost host)
{
	printf("%-46s %5.2f %5.2f %7.1f   %5.2f %5.2f %7.1f\n", what, a.fds, a.maps, a.kib, host.fds, host.maps, host.kib);
}

/* What one step costs this process and the host. */
struct step {
	struct cost self, host;
};

static void begin(struct step *s)
{
	usleep(200000);	/* the host may still be busy with what ended */
	s->host = costs_of(domain.ismd);
	s->self = costs_of(getpid());
}

static void end(const struct step *s, const char *what, unsigned int nr)
{
	struct cost self = costs_of(getpid());

	line(what, each(self, s->self, nr), each(costs_of(domain.ismd), s->host, nr));
}

static void until(_Atomic unsigned int *word, unsigned int value)
{
	while (atomic_load(word) < value)
		usleep(1000);
}

/* ------------------------------------------------------------------ the other process */

static struct ism_device *open_one(void)
{
	struct ism_device *dev;

	bench_ok(ism_open(domain.uri, NULL, &dev));
	return dev;
}

static void peer(void *arg)
{
	static struct ism_region *r[REGIONS];
	struct ism_device *one;
	struct step s;

	(void)arg;
	until(&table->step, 1);
	one = open_one();
	begin(&s);
	for (int i = 0; i < REGIONS; i++)
		bench_ok(ism_attach_region(one, table->token[i], ISM_READ | ISM_WRITE, NULL, &r[i]));
	end(&s, "a region attached, 64 KiB, not touched", REGIONS);
	for (int i = 0; i < REGIONS; i++)
		ism_detach_region(r[i]);
	fflush(stdout);
	atomic_store(&table->done, 1);

	/* A device for each link: a link is for a pair of devices. */
	until(&table->step, 2);
	struct ism_region *mine[LINKS];
	for (int i = 0; i < LINKS; i++)
		bench_ok(ism_attach_region(open_one(), table->linked[i], ISM_READ | ISM_WRITE, NULL, &mine[i]));
	struct cost before = costs_of(getpid());
	atomic_store(&table->done, 2);
	until(&table->step, 3);
	for (int i = 0; i < LINKS; i++) {
		while (bench_ok(ism_region_wait(mine[i], 0)) == 1)
			;
	}
	for (int i = 0; i < LINKS; i++)
		bench_ok(ism_region_notify(mine[i]));
	table->cost = each(costs_of(getpid()), before, LINKS);
	atomic_store(&table->done, 3);
	until(&table->step, 4);
}

/* ------------------------------------------------------------------ this one */

static void devices(void)
{
	struct ism_device *dev[DEVICES];
	struct step s;

	dev[0] = open_one();	/* with the first comes what a process has once */
	begin(&s);
	for (int i = 1; i < DEVICES; i++)
		dev[i] = open_one();
	end(&s, "a device", DEVICES - 1);
	begin(&s);
	for (int i = 0; i < DEVICES; i++)
		bench_ok(ism_fd(dev[i]));
	end(&s, "ism_fd(), once per device", DEVICES);
	for (int i = 0; i < DEVICES; i++)
		ism_close(dev[i]);
}

static void regions(void)
{
	struct ism_alloc_opts vector = { .size = sizeof vector, .flags = ISM_ALLOC_VECTOR };
	struct ism_region *r[REGIONS];
	struct ism_device *dev = open_one();
	struct step s;

	begin(&s);
	for (int i = 0; i < REGIONS; i++) {
		bench_ok(ism_alloc_region(dev, SIZE, NULL, &r[i]));
		table->token[i] = ism_region_token(r[i]);
	}
	end(&s, "a region allocated, 64 KiB, not touched", REGIONS);
	fflush(stdout);
	atomic_store(&table->step, 1);
	until(&table->done, 1);
	begin(&s);
	for (int i = 0; i < REGIONS; i++)
		*(volatile char *)ism_region_addr(r[i]) = 1;
	end(&s, "the first byte of a region touched", REGIONS);
	for (int i = 0; i < REGIONS; i++)
		ism_detach_region(r[i]);
	begin(&s);
	for (int i = 0; i < VECTORS; i++)
		bench_ok(ism_alloc_region(dev, SIZE, &vector, &r[i]));
	end(&s, "a region allocated with a vector", VECTORS);
	ism_close(dev);
}

static void ring_all(struct ism_region **r)
{
	for (int i = 0; i < LINKS; i++)
		bench_ok(ism_region_notify(r[i]));
}

static void links(void)
{
	struct ism_device *dev = open_one();
	struct ism_region *r[LINKS];
	struct ism_stats stats = { .size = sizeof stats };
	struct step s;

	for (int i = 0; i < LINKS; i++) {
		bench_ok(ism_alloc_region(dev, SIZE, NULL, &r[i]));
		table->linked[i] = ism_region_token(r[i]);
	}
	atomic_store(&table->step, 2);
	until(&table->done, 2);
	ring_all(r);
	begin(&s);
	/* The second ring with the same referrers asks for the link; the peers take it up at their next look. */
	ring_all(r);
	atomic_store(&table->step, 3);
	until(&table->done, 3);
	ring_all(r);
	bench_ok(ism_query_stats(dev, &stats));
	if (stats.links != LINKS) {
		fprintf(stderr, "bench: %d links expected, %d there\n", LINKS, (int)stats.links);
		exit(1);
	}
	end(&s, "a direct doorbell, at the end that rang first", LINKS);
	printf("%-46s %5.2f %5.2f %7.1f\n", "  at the other end", table->cost.fds, table->cost.maps, table->cost.kib);
	ism_close(dev);
	atomic_store(&table->step, 4);
}

int main(void)
{
	table = bench_shared(sizeof *table);
	bench_domain_open(&domain);
	pid_t pid = bench_fork(peer, NULL);
	printf("%-46s %19s   %19s\n%-46s %5s %5s %7s   %5s %5s %7s\n", "", "its process", "ismd", "", "fds", "maps", "KiB", "fds",
	       "maps", "KiB");
	devices();
	regions();
	links();
	bench_join(pid);
	bench_domain_close(&domain);
	return 0;
}

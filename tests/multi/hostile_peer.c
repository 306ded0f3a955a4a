/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * hostile_peer.c - the peer of check_attack: it shares regions with a device,
 * has a direct link to it, and writes over all of that at full speed until it is
 * killed.
 *
 *   hostile_peer URI SEED BELL-TOKEN RING-TOKEN...
 *
 * It says so on standard output when it has its link, and writes to memory of
 * its own, as much and as fast, until SIGUSR1: what its work costs the others'
 * processors is then no part of what the attack does.
 */
#include "attacks.h"

#include <ism.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RINGS_MAX = 4, ROUND = 4096 };

static volatile sig_atomic_t begun;

static void on_signal(int sig)
{
	(void)sig;
	begun = 1;
}

struct peer {
	struct ism_device *dev;
	struct ism_region *bell, *ring[RINGS_MAX];
	unsigned int nr_rings;
};

static int die(const char *what)
{
	fprintf(stderr, "[test] error: hostile peer: %s: %s\n", what, ism_error_detail());
	return 1;
}

static uint64_t number(const char *text, int base)
{
	return strtoull(text, NULL, base);
}

static int share(struct peer *p, char **argv)
{
	struct ism_stats stats = { .size = sizeof stats };

	if (ism_open(argv[1], NULL, &p->dev) < 0)
		return die("open");
	if (ism_attach_region(p->dev, number(argv[3], 16), ISM_READ | ISM_WRITE, NULL, &p->bell) < 0)
		return die("attach");
	for (; argv[4 + p->nr_rings] != NULL && p->nr_rings < RINGS_MAX; p->nr_rings++) {
		if (ism_attach_region(p->dev, number(argv[4 + p->nr_rings], 16), ISM_READ | ISM_WRITE, NULL,
				      &p->ring[p->nr_rings]) < 0)
			return die("attach a ring");
	}
	while (ism_query_stats(p->dev, &stats) == 0 && stats.rings_direct == 0) {
		if (ism_region_notify(p->bell) < 0 || ism_region_wait(p->bell, 1000000) < 0)
			return die("ring");
	}
	return any_link(p->dev) != NULL ? 0 : die("no link");
}

/* The same sizes, and nobody else's. */
static struct target harmless(size_t ring_size)
{
	struct emu *e = calloc(1, sizeof *e);
	struct emu_link *l = calloc(1, sizeof *l);

	if (e == NULL || l == NULL)
		abort();
	e->end.line = calloc(1, sizeof *e->end.line);
	e->conn = -1;
	l->page = calloc(1, sizeof *l->page);
	l->out = &l->page->bell[0];
	l->in = &l->page->bell[1];
	struct target t = { .emu = e, .link = l, .ring = calloc(1, ring_size), .ring_size = ring_size };
	if (e->end.line == NULL || l->page == NULL || t.ring == NULL)
		abort();
	return t;
}

/* One kind for a while, each in turn, at a ring that changes. */
static void attack(const struct target *targets, unsigned int nr, uint64_t *seed)
{
	enum attack kind = (enum attack)(random64(seed) % NR_ALL_ATTACKS);
	const struct target *t = &targets[random64(seed) % nr];

	for (int i = 0; i < ROUND; i++)
		attack_once(kind, t, seed);
}

int main(int argc, char **argv)
{
	struct target own, real[RINGS_MAX];
	struct peer p = { 0 };
	uint64_t seed;

	if (argc < 5)
		return 2;
	seed = number(argv[2], 10) | 1;
	signal(SIGUSR1, on_signal);
	signal(SIGPIPE, SIG_IGN);
	if (share(&p, argv) != 0)
		return 1;
	own = harmless(ism_region_size(p.ring[0]));
	for (unsigned int i = 0; i < p.nr_rings; i++)
		real[i] = (struct target){ .emu = p.dev->priv, .link = any_link(p.dev),
					   .ring = ism_region_addr(p.ring[i]), .ring_size = ism_region_size(p.ring[i]) };
	if (write(STDOUT_FILENO, "x", 1) != 1)
		return 1;
	while (!begun)
		attack(&own, 1, &seed);
	for (uint64_t round = 0;; round++) {
		attack(real, p.nr_rings, &seed);
		for (unsigned int i = 0; i < p.nr_rings && round % 16 == 0; i++)
			(void)!ism_region_notify(p.ring[i]);
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * peer.c - the peer that speaks for C in the matrix of the bindings.
 *
 * Reads commands from standard input and answers each with one line;
 * bindings/conformance.md has the list.  It only uses what a program would.
 */
#include "peer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORDS_MAX = 16, BYTES_MAX = 1 << 20 };

static struct ism_device *dev;
static unsigned char bytes[BYTES_MAX];

/* ------------------------------------------------------------------ device and regions */

static int do_hello(char **w)
{
	(void)w;
	printf("ok c %s ring\n", ism_version());
	return 0;
}

static int do_open(char **w)
{
	struct ism_open_opts opts = { .size = sizeof opts, .name = "matrix-c",
				      .flags = has(w + 2, "host") ? 0 : ISM_OPEN_NO_HOST };
	struct ism_info info = { .size = sizeof info };
	int r = ism_open(w[1], &opts, &dev);

	if (r == 0)
		r = ism_query(dev, &info);
	if (r < 0)
		return failed(r);
	printf("ok %" PRIu64 " %016" PRIx64 "\n", info.devid, info.gid);
	return 0;
}

static int do_close(char **w)
{
	(void)w;
	for (struct named *n = named; n < named + NAMED_MAX; n++)
		ism_ring_close(n->ring);
	memset(named, 0, sizeof named);
	ism_close(dev);
	dev = NULL;
	return answer(0);
}

static int keep(int r, const char *name, struct ism_region *region, bool with_token)
{
	struct named *n;

	if (r < 0)
		return failed(r);
	n = name_new(name);
	if (n == NULL) {
		ism_detach_region(region);
		return wrong(-EMFILE, "too many names");
	}
	n->region = region;
	if (with_token)
		printf("ok %016" PRIx64 " %zu\n", ism_region_token(region), ism_region_size(region));
	else
		printf("ok %zu\n", ism_region_size(region));
	return 0;
}

static int do_alloc(char **w)
{
	struct ism_alloc_opts opts = { .size = sizeof opts,
				       .flags = (has(w + 3, "private") ? ISM_ALLOC_PRIVATE : 0) |
						(has(w + 3, "vector") ? ISM_ALLOC_VECTOR : 0) };
	struct ism_region *region = NULL;
	int r = ism_alloc_region(dev, number(w[2]), &opts, &region);

	return keep(r, w[1], region, true);
}

static int do_attach(char **w)
{
	struct ism_attach_opts opts = { .size = sizeof opts, .flags = has(w + 4, "vector") ? ISM_ATTACH_VECTOR : 0 };
	uint32_t rights = strcmp(w[3], "rw") == 0 ? ISM_READ | ISM_WRITE : ISM_READ;
	struct ism_region *region = NULL;
	int r = ism_attach_region(dev, strtoull(w[2], NULL, 16), rights, &opts, &region);

	return keep(r, w[1], region, false);
}

/* The name of the I-th of those that are attached at once. */
static const char *nth(const char *name, size_t i)
{
	static char text[40];

	snprintf(text, sizeof text, "%.30s%zu", name, i);
	return text;
}

static int do_attachmany(char **w)
{
	uint32_t rights = strcmp(w[2], "rw") == 0 ? ISM_READ | ISM_WRITE : ISM_READ;
	struct ism_region *regions[WORDS_MAX];
	uint64_t tokens[WORDS_MAX] = { 0 };
	size_t nr = 0;

	for (; w[3 + nr] != NULL; nr++)
		tokens[nr] = strtoull(w[3 + nr], NULL, 16);
	int r = ism_attach_regions(dev, tokens, rights, NULL, nr, regions);
	for (size_t i = 0; r == 0 && i < nr; i++) {
		struct named *n = name_new(nth(w[1], i));
		if (n == NULL) {
			ism_detach_regions(regions + i, nr - i);
			return wrong(-EMFILE, "too many names");
		}
		n->region = regions[i];
	}
	if (r < 0)
		return failed(r);
	printf("ok %zu\n", ism_region_size(regions[0]));
	return 0;
}

static int do_closemany(char **w)
{
	struct ism_region *regions[NAMED_MAX];
	size_t nr = (size_t)number(w[2]);

	for (size_t i = 0; i < nr; i++) {
		struct named *n = i < NAMED_MAX ? find(nth(w[1], i)) : NULL;
		if (n == NULL || n->region == NULL)
			return wrong(-EBADF, "no such name");
		regions[i] = n->region;
	}
	for (size_t i = 0; i < nr; i++)
		memset(find(nth(w[1], i)), 0, sizeof(struct named));
	ism_detach_regions(regions, nr);
	return answer(0);
}

static int do_detach(char **w)
{
	struct named *n = find(w[1]);

	for (const struct named *k = named; k < named + NAMED_MAX; k++) {
		if (k->ring != NULL && k->within == n->region)
			return wrong(-EBUSY, "a ring in it is open");	/* C has nobody who would keep the region for it */
	}
	ism_detach_region(n->region);
	memset(n, 0, sizeof *n);
	return answer(0);
}

static int do_grant(char **w)
{
	static const char letters[] = "rwamc";
	uint32_t rights = 0;

	for (int i = 0; letters[i] != '\0'; i++)
		rights |= strchr(w[3], letters[i]) ? UINT32_C(1) << i : 0;
	if (strcmp(w[2], "default") == 0)
		return answer(ism_region_grant_default(find(w[1])->region, rights));
	return answer(ism_region_grant(find(w[1])->region, number(w[2]), rights));
}

static int do_peers(char **w)
{
	uint64_t devid[64];
	int n = ism_region_peers(find(w[1])->region, devid, 64);

	if (n < 0)
		return failed(n);
	printf("ok %d", n);
	for (int i = 0; i < n && i < 64; i++)
		printf(" %" PRIu64, devid[i]);
	putchar('\n');
	return 0;
}

static int do_replace(char **w)
{
	struct named *n = name_new(w[2]);
	int r = n == NULL ? -EMFILE : ism_region_replace(find(w[1])->region, NULL, &n->region);

	if (r < 0 && n != NULL)
		memset(n, 0, sizeof *n);
	if (r < 0)
		return failed(r);
	printf("ok %016" PRIx64 "\n", ism_region_token(n->region));
	return 0;
}

static int do_successor(char **w)
{
	uint32_t rights = strcmp(w[3], "rw") == 0 ? ISM_READ | ISM_WRITE : ISM_READ;
	struct named *n = name_new(w[2]);
	int r = n == NULL ? -EMFILE : ism_attach_successor(find(w[1])->region, rights, NULL, &n->region);

	if (r < 0 && n != NULL)
		memset(n, 0, sizeof *n);
	return answer(r);
}

static int do_direct(char **w)
{
	struct ism_stats stats = { .size = sizeof stats };
	int r = ism_query_stats(dev, &stats);

	(void)w;
	if (r < 0)
		return failed(r);
	printf("ok %" PRIu64 "\n", stats.rings_direct);
	return 0;
}

/* ------------------------------------------------------------------ memory */

/* Where R's bytes from OFFSET are, if LENGTH of them are there. */
static unsigned char *view(char **w, uint64_t length)
{
	const struct ism_region *region = find(w[1])->region;
	uint64_t offset = number(w[2]), size = ism_region_size(region);

	if (offset > size || length > size - offset) {
		wrong(-ERANGE, "beyond the region's end");
		return NULL;
	}
	return (unsigned char *)ism_region_addr(region) + offset;
}

static bool writable(char **w)
{
	bool yes = ism_region_rights(find(w[1])->region) & ISM_WRITE;

	if (!yes)
		wrong(-EROFS, "attached without WRITE");
	return yes;
}

static int do_write(char **w)
{
	long n = from_hex(w[3], bytes, sizeof bytes);

	if (n < 0)
		return wrong(-EINVAL, "not hexadecimal");
	if (!writable(w))
		return -EROFS;
	unsigned char *p = view(w, (uint64_t)n);
	if (p != NULL) {
		memcpy(p, bytes, (size_t)n);
		puts("ok");
	}
	return 0;
}

static int do_read(char **w)
{
	const unsigned char *p = view(w, number(w[3]));

	if (p != NULL)
		put_hex(p, number(w[3]));
	return 0;
}

static int do_fill(char **w)
{
	unsigned char *p = writable(w) ? view(w, number(w[3])) : NULL;

	if (p != NULL) {
		pattern(p, number(w[3]), number(w[4]));
		puts("ok");
	}
	return 0;
}

static int do_crc(char **w)
{
	const unsigned char *p = view(w, number(w[3]));

	if (p != NULL)
		printf("ok %08" PRIx32 "\n", crc32(p, number(w[3])));
	return 0;
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int do_scribble(char **w)
{
	uint64_t length = number(w[3]);
	unsigned char *p = writable(w) ? view(w, length) : NULL;
	double end = now_ms() + strtod(w[5], NULL);

	if (p == NULL)
		return 0;
	srandom((unsigned int)number(w[4]));
	while (now_ms() < end) {
		for (int i = 0; i < 100; i++)
			p[(uint64_t)random() % length] = (unsigned char)random();
	}
	puts("ok");
	return 0;
}

/* ------------------------------------------------------------------ doorbells, events */

static int do_notify(char **w)
{
	return answer(ism_region_notify(find(w[1])->region));
}

static int told(int r)
{
	if (r < 0)
		return failed(r);
	printf("ok %d\n", r);
	return 0;
}

static int do_wait(char **w)
{
	return told(ism_region_wait(find(w[1])->region, ns(w[2])));
}

/* C has no event loop: poll(2) on the region's descriptor. */
static int do_await(char **w)
{
	struct ism_region *region = find(w[1])->region;
	struct pollfd p = { .fd = ism_region_fd(region), .events = POLLIN };
	double end = now_ms() + strtod(w[2], NULL), left = end - now_ms();
	int r = p.fd < 0 ? p.fd : ism_region_clear(region);

	for (; r == 0 && left > 0; left = end - now_ms()) {
		poll(&p, 1, (int)left + 1);
		r = ism_region_clear(region);
	}
	return told(r);
}

static int do_event(char **w)
{
	static const char *const kinds[] = { "UPDATE", "ATTACH", "DETACH", "MOVED", "RESET", "LOST" };
	struct ism_event ev;
	const char *name = "-";
	unsigned int kind = 0;
	int r = ism_wait(dev, &ev, 1, sizeof ev, ns(w[1]));

	if (r < 0)
		return failed(r);
	if (r == 0) {
		puts("ok none");
		return 0;
	}
	while (kind < 5 && ev.type != UINT32_C(1) << kind)
		kind++;
	for (const struct named *n = named; n < named + NAMED_MAX; n++) {
		if (n->region != NULL && n->region == ev.region)
			name = n->name;
	}
	printf("ok %s %" PRIu64 " %" PRIu32 " %s\n", kinds[kind], ev.devid, ev.peers, name);
	return 0;
}

/* ------------------------------------------------------------------ lines */

enum object { NONE, DEVICE, REGION, RING };

static const struct command {
	const char *name;
	int words;			/* at least, with the name */
	enum object needs;		/* named by the first argument; for `ring` by the second */
	int (*run)(char **w);
} commands[] = {
	{ "hello", 1, NONE, do_hello },	     { "open", 2, NONE, do_open },	  { "close", 1, DEVICE, do_close },
	{ "alloc", 3, DEVICE, do_alloc },    { "attach", 4, DEVICE, do_attach },  { "detach", 2, REGION, do_detach },
	{ "grant", 4, REGION, do_grant },    { "peers", 2, REGION, do_peers },	  { "write", 4, REGION, do_write },
	{ "read", 4, REGION, do_read },	     { "fill", 5, REGION, do_fill },	  { "crc", 4, REGION, do_crc },
	{ "scribble", 6, REGION, do_scribble }, { "notify", 2, REGION, do_notify }, { "wait", 3, REGION, do_wait },
	{ "await", 3, REGION, do_await },    { "event", 2, DEVICE, do_event },	  { "ring", 5, REGION, do_ring },
	{ "send", 4, RING, do_send },	     { "recv", 3, RING, do_recv },	  { "pump", 6, RING, do_pump },
	{ "drain", 6, RING, do_drain },	     { "unring", 2, RING, do_unring },	  { "direct", 1, DEVICE, do_direct },
	{ "replace", 3, REGION, do_replace }, { "successor", 4, REGION, do_successor },
	{ "attachmany", 4, DEVICE, do_attachmany }, { "closemany", 3, DEVICE, do_closemany },
	{ "ping", 7, DEVICE, do_ping },	     { "echo", 7, DEVICE, do_echo },
};

static int run(int nr, char **w)
{
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		const struct command *c = &commands[i];
		if (strcmp(c->name, w[0]) != 0)
			continue;
		if (nr < c->words)
			return wrong(-EINVAL, "too few words");
		if (c->needs != NONE && dev == NULL)
			return wrong(-ENODEV, "no device is open");
		const struct named *n = c->needs < REGION ? NULL : find(w[c->run == do_ring ? 2 : 1]);
		if ((c->needs == REGION && (n == NULL || n->region == NULL)) ||
		    (c->needs == RING && (n == NULL || n->ring == NULL)))
			return wrong(-EBADF, "no such name");
		return c->run(w);
	}
	return wrong(-ENOSYS, "unknown command");
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (getline(&line, &cap, stdin) > 0) {
		char *w[WORDS_MAX + 1] = { NULL }, *save = NULL;
		int nr = 0;

		for (char *p = strtok_r(line, " \n", &save); p != NULL && nr < WORDS_MAX; p = strtok_r(NULL, " \n", &save))
			w[nr++] = p;
		if (nr == 0)
			continue;
		if (strcmp(w[0], "quit") == 0)
			break;
		run(nr, w);
	}
	free(line);
	if (dev != NULL)
		do_close(NULL);
	else
		puts("ok");
	return 0;
}

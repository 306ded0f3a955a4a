/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * actor.c - what the tests in virtual machines do inside one, and beside it: a
 * small shell over ism.h, one command a line on standard input, an answer each.
 *
 *   open NAME URI              NAME is the device's from here on
 *   alloc NAME DEV SIZE        -> token;  alloc-private the same, default rights none
 *   attach NAME DEV TOKEN [ro]
 *   detach NAME, close DEV
 *   replace NAME OLD           -> the successor's token;  follow NAME OLD the same, made by another
 *   put NAME OFFSET TEXT, get NAME OFFSET LENGTH
 *   fill NAME SEED, sum NAME   -> a checksum of all of it
 *   notify NAME, wait NAME     -> 1, or 0 after some seconds;  poll NAME the same, at once
 *   peers NAME                 -> how many others
 *   grant NAME DEVID RIGHTS    DEVID 0: the default
 *   event DEV                  -> type devid peers
 *   id DEV                     -> gid devid
 *   many DEV N                 -> allocate N regions at once and let them go
 *   ring-send NAME N [M], ring-recv NAME N -> N and a checksum of as many records through a ring in the region,
 *                              which the sender replaces after each M of them
 *   touch NAME                 -> alive, or SIGBUS, by a child
 *   bounce NAME N, pong NAME N -> nanoseconds for one way there and back
 *   ring-look NAME N, store NAME N -> nanoseconds from a doorbell until the word is seen that the woken one stores
 *   copy NAME                  -> MB/s into the region
 *   shell COMMAND
 *   calls DEV N                -> nanoseconds for an alloc and a detach
 *   tcp-serve, tcp-bounce ADDRESS N, tcp-copy ADDRESS      the same by TCP, for comparison
 */
#include "tcp.h"

#include <errno.h>
#include <inttypes.h>
#include <ism-ring.h>
#include <ism.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NAMES = 4096, WORDS = 6, RECORD_MAX = 1000 };

static const int64_t wait_ns = INT64_C(60) * 1000000000;

static struct named {
	char name[32];
	struct ism_device *dev;
	struct ism_region *region;
} things[NAMES];

static char *word[WORDS];

static struct named *thing(const char *name)
{
	struct named *unused = NULL;

	for (size_t i = 0; i < NAMES; i++) {
		if (strcmp(things[i].name, name) == 0)
			return &things[i];
		if (things[i].name[0] == '\0' && unused == NULL)
			unused = &things[i];
	}
	if (unused != NULL)
		snprintf(unused->name, sizeof unused->name, "%s", name);
	return unused;
}

static struct ism_device *device(void)
{
	return thing(word[1])->dev;
}

static struct ism_region *region(void)
{
	return thing(word[1])->region;
}

static uint64_t number(const char *text)
{
	return text == NULL ? 0 : strtoull(text, NULL, 0);
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ------------------------------------------------------------------ commands: 0, or a negative errno */

static int do_open(void)
{
	/* However long the next daemon takes to start. */
	struct ism_open_opts opts = { .size = sizeof opts, .restart_ms = 60000 };
	struct ism_info info = { .size = sizeof info };
	int r = ism_open(word[2], &opts, &thing(word[1])->dev);

	if (r == 0)
		r = ism_query(device(), &info);
	if (r == 0)
		printf("ok %016" PRIx64 " %" PRIu64 "\n", info.gid, info.devid);
	return r;
}

static int do_close(void)
{
	struct named *t = thing(word[1]);

	ism_close(t->dev);
	*t = (struct named){ .name = "" };
	puts("ok");
	return 0;
}

static int alloc(uint32_t flags)
{
	struct ism_alloc_opts opts = { .size = sizeof opts, .flags = flags };
	int r = ism_alloc_region(thing(word[2])->dev, (size_t)number(word[3]), &opts, &thing(word[1])->region);

	if (r == 0)
		printf("ok 0x%" PRIx64 "\n", ism_region_token(region()));
	return r;
}

static int do_alloc(void)
{
	return alloc(0);
}

static int do_alloc_private(void)
{
	return alloc(ISM_ALLOC_PRIVATE);
}

static int do_attach(void)
{
	uint32_t rights = word[4] != NULL ? ISM_READ : ISM_READ | ISM_WRITE;
	int r = ism_attach_region(thing(word[2])->dev, number(word[3]), rights, NULL, &thing(word[1])->region);

	if (r == 0)
		printf("ok %zu\n", ism_region_size(region()));
	return r;
}

static int do_detach(void)
{
	ism_detach_region(region());
	*thing(word[1]) = (struct named){ .name = "" };
	puts("ok");
	return 0;
}

static int told_token(int r)
{
	if (r == 0)
		printf("ok 0x%" PRIx64 "\n", ism_region_token(region()));
	return r;
}

static int do_replace(void)
{
	return told_token(ism_region_replace(thing(word[2])->region, NULL, &thing(word[1])->region));
}

static int do_follow(void)
{
	return told_token(ism_attach_successor(thing(word[2])->region, ISM_READ | ISM_WRITE, NULL, &thing(word[1])->region));
}

static int do_put(void)
{
	strcpy((char *)ism_region_addr(region()) + number(word[2]), word[3]);
	puts("ok");
	return 0;
}

static int do_get(void)
{
	printf("ok %.*s\n", (int)number(word[3]), (char *)ism_region_addr(region()) + number(word[2]));
	return 0;
}

static int do_fill(void)
{
	uint64_t *p = ism_region_addr(region()), seed = number(word[2]);

	for (size_t i = 0; i < ism_region_size(region()) / 8; i++)
		p[i] = seed = seed * UINT64_C(6364136223846793005) + 1;
	puts("ok");
	return 0;
}

static int do_sum(void)
{
	const uint64_t *p = ism_region_addr(region());
	uint64_t sum = 0;

	for (size_t i = 0; i < ism_region_size(region()) / 8; i++)
		sum = (sum << 7 | sum >> 57) ^ p[i];
	printf("ok %016" PRIx64 "\n", sum);
	return 0;
}

static int do_notify(void)
{
	int r = ism_region_notify(region());

	if (r == 0)
		puts("ok");
	return r;
}

static int do_wait(void)
{
	int r = ism_region_wait(region(), wait_ns);

	if (r >= 0)
		printf("ok %d\n", r);
	return r;
}

static int do_poll(void)
{
	int r = ism_region_wait(region(), 0);

	if (r >= 0)
		printf("ok %d\n", r);
	return r;
}

static int do_peers(void)
{
	int r = ism_region_peers(region(), NULL, 0);

	if (r >= 0)
		printf("ok %d\n", r);
	return r;
}

static int do_grant(void)
{
	uint64_t devid = number(word[2]);
	uint32_t rights = (uint32_t)number(word[3]);
	int r = devid == 0 ? ism_region_grant_default(region(), rights) : ism_region_grant(region(), devid, rights);

	if (r == 0)
		puts("ok");
	return r;
}

static int do_event(void)
{
	struct ism_event ev;
	int r = ism_wait(device(), &ev, 1, sizeof ev, wait_ns);

	if (r > 0)
		printf("ok %u %" PRIu64 " %u\n", ev.type, ev.devid, ev.peers);
	return r == 0 ? -ETIMEDOUT : r;
}

static int do_many(void)
{
	size_t nr = (size_t)number(word[2]);
	struct ism_region **r = calloc(nr, sizeof(struct ism_region *));
	int err = 0;

	for (size_t i = 0; i < nr && err == 0; i++) {
		err = ism_alloc_region(device(), 1, NULL, &r[i]);
		if (err == 0)
			*(size_t *)ism_region_addr(r[i]) = i;
	}
	for (size_t i = 0; i < nr; i++) {
		if (err == 0 && *(size_t *)ism_region_addr(r[i]) != i)
			err = -EIO;
		ism_detach_region(r[i]);
	}
	free(r);
	if (err == 0)
		printf("ok %zu\n", nr);
	return err;
}

/* A load in our place: what becomes of it? */
static int do_touch(void)
{
	const volatile char *p = ism_region_addr(region());
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)*p;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	printf("ok %s\n", WIFEXITED(status) ? "alive" : "dead");
	return 0;
}

/* Record @i: its number, and more bytes that differ. */
static size_t make_record(uint64_t i, uint8_t record[RECORD_MAX])
{
	size_t size = sizeof i + (size_t)(i * 37 % (RECORD_MAX - sizeof i));

	memcpy(record, &i, sizeof i);
	for (size_t k = sizeof i; k < size; k++)
		record[k] = (uint8_t)(i * 131 + k * 7);
	return size;
}

static uint64_t add_up(uint64_t sum, const uint8_t *record, size_t size)
{
	for (size_t k = 0; k < size; k++)
		sum = (sum ^ record[k]) * UINT64_C(0x100000001b3);
	return sum ^ size;
}

static int do_ring_send(void)
{
	struct ism_ring_opts opts = { .size = sizeof opts };
	struct ism_ring *ring;
	uint64_t nr = number(word[2]), each = word[3] == NULL ? nr : number(word[3]), sum = 0;
	struct ism_region *last = region();
	uint8_t record[RECORD_MAX] = { 0 };
	int r = ism_ring_create(region(), ISM_RING_WRITER, &opts, &ring);

	for (uint64_t i = 0; i < nr && r >= 0; i++) {
		if (i > 0 && i % each == 0)
			r = ism_region_replace(last, NULL, &last);
		size_t size = make_record(i, record);
		if (r >= 0)
			r = (int)ism_ring_write(ring, record, size, wait_ns);
		sum = add_up(sum, record, size);
	}
	if (r < 0)
		return r;
	printf("ok %" PRIu64 " %016" PRIx64 "\n", nr, sum);
	return 0;
}

static int do_ring_recv(void)
{
	struct ism_ring *ring;
	uint64_t nr = number(word[2]), sum = 0, got;
	uint8_t record[RECORD_MAX] = { 0 };
	int r;

	/* The sender, who is somewhere else, may not have made it yet. */
	for (int i = 0; (r = ism_ring_attach(region(), ISM_RING_READER, NULL, &ring)) == -EPROTO && i < 6000; i++)
		usleep(10000);
	for (uint64_t i = 0; i < nr && r >= 0; i++) {
		r = (int)ism_ring_read(ring, record, sizeof record, wait_ns);
		memcpy(&got, record, sizeof got);
		if (r >= 0 && got != i)
			return -EIO;
		sum = add_up(sum, record, r < 0 ? 0 : (size_t)r);
	}
	if (r < 0)
		return r;
	printf("ok %" PRIu64 " %016" PRIx64 "\n", nr, sum);
	ism_ring_close(ring);
	return 0;
}

/* ------------------------------------------------------------------ measuring */

static int do_bounce(void)
{
	uint64_t nr = number(word[2]);
	int64_t began = now();

	for (uint64_t i = 0; i < nr; i++) {
		int r = ism_region_notify(region());
		if (r == 0)
			r = ism_region_wait(region(), wait_ns);
		if (r != 1)
			return r < 0 ? r : -ETIMEDOUT;
	}
	printf("ok %" PRId64 "\n", (now() - began) / (int64_t)nr);
	return 0;
}

static int do_pong(void)
{
	for (uint64_t i = 0; i < number(word[2]); i++) {
		int r = ism_region_wait(region(), wait_ns);
		if (r == 1)
			r = ism_region_notify(region());
		if (r < 0)
			return r;
	}
	puts("ok");
	return 0;
}

static int do_ring_look(void)
{
	_Atomic uint64_t *stored = ism_region_addr(region());
	uint64_t nr = number(word[2]);
	int64_t took = 0;

	for (uint64_t i = 1; i <= nr; i++) {
		int64_t began = now();
		int r = ism_region_notify(region());
		if (r < 0)
			return r;
		while (atomic_load_explicit(stored, memory_order_acquire) != i) {
			if (now() - began > wait_ns)
				return -ETIMEDOUT;
		}
		took += now() - began;
	}
	printf("ok %" PRId64 "\n", took / (int64_t)nr);
	return 0;
}

static int do_store(void)
{
	_Atomic uint64_t *stored = ism_region_addr(region());

	for (uint64_t i = 1; i <= number(word[2]); i++) {
		int r = ism_region_wait(region(), wait_ns);
		if (r != 1)
			return r < 0 ? r : -ETIMEDOUT;
		atomic_store_explicit(stored, i, memory_order_release);
	}
	puts("ok");
	return 0;
}

static int do_copy(void)
{
	size_t size = ism_region_size(region());
	char *from = malloc(size);
	uint64_t bytes = 0;

	memset(from, 1, size);
	memcpy(ism_region_addr(region()), from, size);
	int64_t began = now();
	do {
		memcpy(ism_region_addr(region()), from, size);
		bytes += size;
	} while (now() - began < 500000000);
	printf("ok %" PRIu64 "\n", bytes * 1000 / (uint64_t)(now() - began));
	free(from);
	return 0;
}

static int do_calls(void)
{
	uint64_t nr = number(word[2]);
	int64_t began = now();

	for (uint64_t i = 0; i < nr; i++) {
		struct ism_region *r;
		int err = ism_alloc_region(device(), 65536, NULL, &r);
		if (err < 0)
			return err;
		ism_detach_region(r);
	}
	printf("ok %" PRId64 "\n", (now() - began) / (int64_t)nr);
	return 0;
}

static int told(int64_t value)
{
	if (value >= 0)
		printf("ok %" PRId64 "\n", value);
	return value < 0 ? (int)value : 0;
}

static int do_tcp_serve(void)
{
	return told(tcp_serve());
}

static int do_tcp_bounce(void)
{
	return told(tcp_bounce(word[1], number(word[2])));
}

static int do_tcp_copy(void)
{
	return told(tcp_copy(word[1]));
}

static int do_shell(char *line)
{
	int status = system(line);

	if (status != 0)
		return -EIO;
	puts("ok");
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void);
	int words;
} commands[] = {
	{ "open", do_open, 3 },
	{ "close", do_close, 2 },
	{ "alloc", do_alloc, 4 },
	{ "alloc-private", do_alloc_private, 4 },
	{ "attach", do_attach, 4 },
	{ "detach", do_detach, 2 },
	{ "replace", do_replace, 3 },
	{ "follow", do_follow, 3 },
	{ "put", do_put, 4 },
	{ "get", do_get, 4 },
	{ "fill", do_fill, 3 },
	{ "sum", do_sum, 2 },
	{ "notify", do_notify, 2 },
	{ "wait", do_wait, 2 },
	{ "poll", do_poll, 2 },
	{ "peers", do_peers, 2 },
	{ "grant", do_grant, 4 },
	{ "event", do_event, 2 },
	{ "many", do_many, 3 },
	{ "touch", do_touch, 2 },
	{ "ring-send", do_ring_send, 3 },
	{ "ring-recv", do_ring_recv, 3 },
	{ "bounce", do_bounce, 3 },
	{ "pong", do_pong, 3 },
	{ "ring-look", do_ring_look, 3 },
	{ "store", do_store, 3 },
	{ "copy", do_copy, 2 },
	{ "calls", do_calls, 3 },
	{ "tcp-serve", do_tcp_serve, 1 },
	{ "tcp-bounce", do_tcp_bounce, 3 },
	{ "tcp-copy", do_tcp_copy, 2 },
};

static int run(char *line)
{
	int n = 0;

	if (strncmp(line, "shell ", 6) == 0)
		return do_shell(line + 6);
	for (char *w = strtok(line, " \n"); w != NULL && n < WORDS; w = strtok(NULL, " \n"))
		word[n++] = w;
	for (int i = n; i < WORDS; i++)
		word[i] = NULL;
	for (size_t i = 0; n > 0 && i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(commands[i].name, word[0]) == 0)
			return n < commands[i].words ? -EINVAL : commands[i].run();
	}
	return -ENOSYS;
}

int main(void)
{
	char line[512];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "quit\n") != 0) {
		int r = run(line);
		if (r < 0)
			printf("error %s: %s\n", strerror(-r), ism_error_detail());
	}
	return 0;
}

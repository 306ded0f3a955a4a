/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * connections.c - the pattern of SMC: a connection has two regions, one for each
 * direction, which come and go with it.  1,000 connections between two processes,
 * three times over.
 */
#include <dirent.h>
#include <ism.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONNECTIONS = 1000, AT_ONCE = 32, ROUNDS = 3, BUFFER = 65536 };

/* One connection, as one of its ends has it. */
struct connection {
	struct ism_region *to_peer, *from_peer;
};

struct tokens {
	uint64_t to_server, to_client;
};

/* What lies in a region: a text, and whether it is there. */
struct letter {
	_Atomic uint32_t there;
	char text[60];
};

static struct connection table[CONNECTIONS];

static void check(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s: %s\n", what, ism_strerror(r), ism_error_detail());
		exit(1);
	}
}

static void put(int sock, const void *data, size_t len)
{
	if (send(sock, data, len, MSG_NOSIGNAL) != (ssize_t)len)
		exit(1);
}

static void get(int sock, void *data, size_t len)
{
	if (recv(sock, data, len, MSG_WAITALL) != (ssize_t)len)
		exit(1);
}

static void post(struct ism_region *region, const char *what, int n)
{
	struct letter *l = ism_region_addr(region);

	snprintf(l->text, sizeof l->text, "%s %d", what, n);
	atomic_store_explicit(&l->there, 1, memory_order_release);
	check(ism_region_notify(region), "notify");
}

/* Wait for a letter, which may have come before there was anybody to ring for. */
static void expect(struct ism_region *region, const char *what, int n)
{
	const struct letter *l = ism_region_addr(region);
	char want[sizeof l->text];

	while (atomic_load_explicit(&l->there, memory_order_acquire) == 0) {
		if (ism_region_wait(region, INT64_C(30000000000)) <= 0) {
			fprintf(stderr, "no %s %d: %s\n", what, n, ism_error_detail());
			exit(1);
		}
	}
	snprintf(want, sizeof want, "%s %d", what, n);
	if (memcmp(l->text, want, strlen(want) + 1) != 0)
		exit(1);
}

/* ------------------------------------------------------------------ what it costs */

static unsigned int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n < 3 ? 0 : n - 3;	/* ".", ".." and the directory itself */
}

/* Resident memory, in KiB. */
static unsigned long resident(void)
{
	unsigned long size = 0, rss = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f != NULL && fscanf(f, "%lu %lu", &size, &rss) != 2)
		rss = 0;
	if (f != NULL)
		fclose(f);
	return rss * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

static struct ism_stats stats(struct ism_device *dev)
{
	struct ism_stats s = { .size = sizeof s };

	check(ism_query_stats(dev, &s), "stats");
	return s;
}

/* ------------------------------------------------------------------ client: makes the regions */

static void connect_all(struct ism_device *dev, int sock)
{
	struct ism_region *made[2 * AT_ONCE];

	for (int i = 0; i < CONNECTIONS; i += AT_ONCE) {
		int nr = CONNECTIONS - i < AT_ONCE ? CONNECTIONS - i : AT_ONCE;
		/* One round trip to the host for all of them. */
		check(ism_alloc_regions(dev, BUFFER, NULL, 2 * (size_t)nr, made), "alloc");
		for (int k = 0; k < nr; k++) {
			struct connection *c = &table[i + k];
			*c = (struct connection){ .to_peer = made[2 * k], .from_peer = made[2 * k + 1] };
			struct tokens t = { ism_region_token(c->to_peer), ism_region_token(c->from_peer) };
			put(sock, &t, sizeof t);
		}
	}
}

static void talk_all(void)
{
	for (int i = 0; i < CONNECTIONS; i++)
		post(table[i].to_peer, "request", i);
	for (int i = 0; i < CONNECTIONS; i++)
		expect(table[i].from_peer, "answer", i);
}

static void close_all(void)
{
	for (int i = 0; i < CONNECTIONS; i++) {
		ism_detach_region(table[i].to_peer);
		ism_detach_region(table[i].from_peer);
	}
}

static void client(int sock)
{
	unsigned long memory_before = 0;
	struct ism_device *dev;
	char word;

	check(ism_open(NULL, NULL, &dev), "open");
	for (int round = 0; round < ROUNDS; round++) {
		connect_all(dev, sock);
		talk_all();
		struct ism_stats s = stats(dev);
		unsigned int fds = open_fds();
		printf("%d connections: %d regions, %s descriptors\n", CONNECTIONS, (int)s.regions,
		       fds < 32 ? "fewer than 32" : "too many");
		close_all();
		get(sock, &word, 1);	/* the server has let go, too */
		if (stats(dev).regions != 0 || fds >= 32)
			exit(1);
		/* Nothing grows from one round to the next; a MiB is for the allocator's moods. */
		if (round > 0 && resident() > memory_before + 1024) {
			fprintf(stderr, "%lu KiB, and %lu a round before\n", resident(), memory_before);
			exit(1);
		}
		memory_before = resident();
	}
	printf("and all of it given back, %d times\n", ROUNDS);
	ism_close(dev);
}

/* ------------------------------------------------------------------ server: attaches them */

static void server(int sock)
{
	const uint32_t rw = ISM_READ | ISM_WRITE;
	struct ism_device *dev;

	check(ism_open(NULL, NULL, &dev), "open");
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CONNECTIONS; i++) {
			struct connection *c = &table[i];
			struct tokens t;

			get(sock, &t, sizeof t);
			check(ism_attach_region(dev, t.to_server, rw, NULL, &c->from_peer), "attach");
			check(ism_attach_region(dev, t.to_client, rw, NULL, &c->to_peer), "attach");
		}
		for (int i = 0; i < CONNECTIONS; i++) {
			expect(table[i].from_peer, "request", i);
			post(table[i].to_peer, "answer", i);
		}
		/* The client lets go when it has all its answers: -EPIPE. */
		for (int i = 0; i < CONNECTIONS; i++) {
			while (ism_region_wait(table[i].from_peer, INT64_C(30000000000)) > 0)
				;
		}
		close_all();
		put(sock, "", 1);
	}
	ism_close(dev);
}

/* ------------------------------------------------------------------ and who keeps the domain */

static void become(void (*side)(int sock), int sock, int other_end)
{
	pid_t pid = fork();

	if (pid < 0)
		exit(1);
	if (pid == 0) {
		close(other_end);	/* that one side ends is then seen by the other */
		side(sock);
		exit(0);
	}
}

/*
 * The host of a domain has a descriptor for each region in it.  It is this
 * process, as it opens the domain first, unless ismd has it.
 */
static struct ism_device *host(void)
{
	struct ism_device *dev;
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	check(ism_open(NULL, NULL, &dev), "open");
	return dev;
}

int main(void)
{
	struct ism_device *dev = host();
	int sock[2], status, bad = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock) < 0)
		return 1;
	become(server, sock[1], sock[0]);
	become(client, sock[0], sock[1]);
	close(sock[0]);
	close(sock[1]);
	while (wait(&status) > 0)
		bad |= status != 0;
	ism_close(dev);
	return bad;
}

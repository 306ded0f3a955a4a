/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * rights.c - one writer, many readers: only whom the writer names can read, and
 * none of them can write.
 */
#include <ism.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READERS = 4, LINES = 3, WORDS = 8 };

/* What is read: a number that is odd while the text is being written. */
struct news {
	_Atomic uint64_t edition;
	_Atomic uint64_t text[WORDS];
};

static const int64_t TEN_SECONDS = INT64_C(10000000000);

static void check(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s: %s\n", what, ism_strerror(r), ism_error_detail());
		exit(1);
	}
}

static uint64_t get(int sock)
{
	uint64_t word;

	if (recv(sock, &word, sizeof word, MSG_WAITALL) != (ssize_t)sizeof word)
		exit(1);
	return word;
}

static void put(int sock, uint64_t word)
{
	if (send(sock, &word, sizeof word, MSG_NOSIGNAL) != (ssize_t)sizeof word)
		exit(1);
}

/* Copy an edition that nobody wrote to meanwhile; its number. */
static uint64_t copy_news(const struct news *news, uint64_t text[WORDS])
{
	uint64_t before, after;

	do {
		before = atomic_load_explicit(&news->edition, memory_order_acquire);
		for (int i = 0; i < WORDS; i++)
			text[i] = atomic_load_explicit(&news->text[i], memory_order_acquire);
		after = atomic_load_explicit(&news->edition, memory_order_relaxed);
	} while (before % 2 != 0 || before != after);
	return before;
}

static void write_news(struct news *news, const char *line)
{
	uint64_t edition = atomic_load_explicit(&news->edition, memory_order_relaxed), text[WORDS] = { 0 };

	memcpy(text, line, strlen(line));
	atomic_store_explicit(&news->edition, edition + 1, memory_order_relaxed);
	for (int i = 0; i < WORDS; i++)		/* release: the odd number is there before each of them */
		atomic_store_explicit(&news->text[i], text[i], memory_order_release);
	atomic_store_explicit(&news->edition, edition + 2, memory_order_release);
}

/* A reader: tells who it is, is told the token, and reads until the writer has gone. */
static void reader(int sock)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_region *region, *none;
	struct ism_device *dev;
	const struct news *news;
	uint64_t text[WORDS], seen;
	int r;

	check(ism_open(NULL, NULL, &dev), "open");
	check(ism_query(dev, &info), "query");
	put(sock, info.devid);
	uint64_t token = get(sock);
	if (ism_attach_region(dev, token, ISM_READ | ISM_WRITE, NULL, &none) == 0)
		exit(2);	/* it must not be able to write */
	check(ism_attach_region(dev, token, ISM_READ, NULL, &region), "attach");
	news = ism_region_addr(region);
	put(sock, 1);
	do {
		r = ism_region_wait(region, TEN_SECONDS);
		seen = copy_news(news, text);
	} while (r > 0 && seen < 2 * LINES);
	put(sock, memcmp(text, "third", 6) == 0 ? seen / 2 : 0);
	ism_close(dev);
}

int main(void)
{
	struct ism_alloc_opts opts = { .size = sizeof opts, .flags = ISM_ALLOC_PRIVATE };
	struct ism_device *dev, *stranger;
	struct ism_region *region, *none;
	int sock[READERS], status = 0, bad = 0;

	for (int i = 0; i < READERS; i++) {
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
			return 1;
		if (fork() == 0) {
			reader(pair[1]);
			_exit(0);
		}
		sock[i] = pair[0];
		close(pair[1]);
	}
	check(ism_open(NULL, NULL, &dev), "open");
	check(ism_alloc_region(dev, sizeof(struct news), &opts, &region), "alloc");
	for (int i = 0; i < READERS; i++)
		check(ism_region_grant(region, get(sock[i]), ISM_READ | ISM_ATTACH), "grant");
	for (int i = 0; i < READERS; i++)
		put(sock[i], ism_region_token(region));
	for (int i = 0; i < READERS; i++)
		get(sock[i]);		/* it has attached */

	/* Knowing the token is not enough. */
	check(ism_open(NULL, NULL, &stranger), "open");
	int r = ism_attach_region(stranger, ism_region_token(region), ISM_READ, NULL, &none);
	printf("a stranger with the token: %s\n", ism_strerror(r));
	ism_close(stranger);

	static const char *const lines[LINES] = { "first", "second", "third" };
	for (int i = 0; i < LINES; i++) {
		write_news(ism_region_addr(region), lines[i]);
		check(ism_region_notify(region), "notify");	/* all of them, awake or asleep */
	}
	for (int i = 0; i < READERS; i++)
		printf("reader %d has seen edition %d, and could not write\n", i + 1, (int)get(sock[i]));
	for (int i = 0; i < READERS; i++) {
		if (wait(&status) > 0 && status != 0)
			bad++;
	}
	ism_close(dev);
	return bad;
}

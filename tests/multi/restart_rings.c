/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * restart_rings.c - data that is under way while the daemon is killed: rings
 * in both directions, a record that is half written, ism put and get, and a daemon
 * that dies at each system call.
 */
#include "kept.h"
#include "scenario.h"
#include "trap.h"
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <ism-ring.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RING = 128 * 1024, HALF = RING / 4, RECORD_MAX = 3000, KILLS = 6, KILLED = 256 + SIGKILL, POINTS_MAX = 6000 };
/* A large record, where its writer is stopped, and room for it. */
enum { LARGE = 200000, STOP = 64 * 1024, ROOM = 256 * 1024 };

/* ------------------------------------------------------------------ two rings */

/* What all processes of this test see. */
struct board {
	_Atomic uint32_t half[2];	/* that direction's ring is half full */
	_Atomic uint32_t go, stop;
	_Atomic uint64_t written[2], read[2];
};

struct end {
	struct board *board;
	struct channel tokens, ready;
	char uri[160];
	int me;
	struct ism_ring *out, *in;
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Record @seq of a direction: its number, bytes that follow from it, their sum. */
static size_t make_record(uint8_t *buf, int dir, uint64_t seq)
{
	size_t len = 24 + mix(seq * 2 + (uint64_t)dir) % (RECORD_MAX - 24) / 8 * 8;
	uint64_t sum = 0;

	memcpy(buf, &seq, 8);
	for (size_t i = 8; i < len - 8; i += 8) {
		uint64_t word = mix(seq + i * 1000003 + (uint64_t)dir);
		memcpy(buf + i, &word, 8);
		sum += word * i;
	}
	memcpy(buf + len - 8, &sum, 8);
	return len;
}

static void wait_for(const _Atomic uint32_t *word)
{
	while (!atomic_load(word))
		harness_pause();
}

static void *writer_main(void *arg)
{
	struct end *e = arg;
	uint8_t buf[RECORD_MAX];
	uint64_t bytes = 0;

	for (uint64_t seq = 0; !atomic_load(&e->board->stop); seq++) {
		size_t len = make_record(buf, e->me, seq);
		if (bytes < HALF && bytes + len >= HALF) {
			atomic_store(&e->board->half[e->me], 1);
			wait_for(&e->board->go);
		}
		bytes += len;
		int r = ism_ring_write(e->out, buf, len, SECONDS(60));
		if (r < 0) {
			fprintf(stderr, "[test] error: write %d: %s\n", r, ism_error_detail());
			return arg;
		}
		atomic_fetch_add(&e->board->written[e->me], 1);
	}
	ism_ring_close(e->out);
	return NULL;
}

static void *reader_main(void *arg)
{
	struct end *e = arg;
	uint8_t got[RECORD_MAX], want[RECORD_MAX];

	wait_for(&e->board->go);
	for (uint64_t seq = 0;; seq++) {
		size_t len = make_record(want, !e->me, seq);
		int64_t n = ism_ring_read(e->in, got, sizeof got, SECONDS(60));
		if (n == -EPIPE)
			return NULL;
		if (n != (int64_t)len || memcmp(got, want, len) != 0) {
			fprintf(stderr, "[test] error: record %llu: %lld: %s\n", (unsigned long long)seq, (long long)n,
				n < 0 ? ism_error_detail() : "other bytes than were sent");
			return arg;
		}
		atomic_fetch_add(&e->board->read[!e->me], 1);
		if (seq % 64 == 0)
			harness_pause();	/* the writer finds it full at times, and we find it empty */
	}
}

static int end_main(void *arg)
{
	struct ism_region *out, *in;
	struct ism_open_opts patient = { .size = sizeof patient, .restart_ms = 60000 };
	struct end *e = arg;
	struct ism_device *dev;
	pthread_t writer, reader;
	void *bad[2];
	int r = ism_open(e->uri, &patient, &dev);

	if (r == 0 && e->me == 0) {
		r = ism_alloc_region(dev, RING, NULL, &out);
		if (r == 0 && (r = ism_alloc_region(dev, RING, NULL, &in)) == 0 &&
		    (r = ism_ring_create(out, ISM_RING_WRITER, NULL, &e->out)) == 0)
			r = ism_ring_create(in, ISM_RING_READER, NULL, &e->in);
		for (int i = 0; i < 2; i++) {	/* for the other end, and for the test */
			channel_put(i ? &e->ready : &e->tokens, r ? 0 : ism_region_token(out));
			channel_put(i ? &e->ready : &e->tokens, r ? 0 : ism_region_token(in));
		}
	} else if (r == 0) {
		if ((r = ism_attach_region(dev, channel_get(&e->tokens), ISM_READ | ISM_WRITE, NULL, &in)) == 0 &&
		    (r = ism_attach_region(dev, channel_get(&e->tokens), ISM_READ | ISM_WRITE, NULL, &out)) == 0 &&
		    (r = ism_ring_attach(out, ISM_RING_WRITER, NULL, &e->out)) == 0)
			r = ism_ring_attach(in, ISM_RING_READER, NULL, &e->in);
	}
	if (r < 0)
		return 1;
	pthread_create(&writer, NULL, writer_main, e);
	pthread_create(&reader, NULL, reader_main, e);
	pthread_join(writer, &bad[0]);
	pthread_join(reader, &bad[1]);
	if (bad[0] != NULL || bad[1] != NULL)
		return 2;
	wait_for(&e->board->stop);
	/* The other's reader may not be done: leave when it is. */
	while (atomic_load(&e->board->read[e->me]) != atomic_load(&e->board->written[e->me]))
		harness_pause();
	ism_close(dev);
	return 0;
}

static void await_progress(struct board *b)
{
	uint64_t before[2] = { atomic_load(&b->read[0]), atomic_load(&b->read[1]) };

	eventually(atomic_load(&b->read[0]) > before[0] + 50 && atomic_load(&b->read[1]) > before[1] + 50, 60);
}

START_TEST(two_rings_lose_nothing_and_double_nothing)
{
	struct board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t ismd = harness_ismd_kept("d", NULL), pid[2];
	struct end e = { .board = b };
	uint64_t token[2];

	snprintf(e.uri, sizeof e.uri, "%s", harness_uri("d"));
	channel_open(&e.tokens);
	channel_open(&e.ready);
	for (e.me = 0; e.me < 2; e.me++)
		pid[e.me] = harness_fork(end_main, &e);
	token[0] = channel_get(&e.ready);
	token[1] = channel_get(&e.ready);
	eventually(atomic_load(&b->half[0]) && atomic_load(&b->half[1]), 30);
	ismd = restart(ismd, NULL);	/* both half full, nobody reading yet */
	atomic_store(&b->go, 1);
	for (int i = 0; i < KILLS; i++) {
		struct ism_region *r;
		struct ism_device *dev;

		await_progress(b);
		ismd = restart(ismd, NULL);
		ok(ism_open(e.uri, NULL, &dev));	/* the tokens are what they were */
		ok(ism_attach_region(dev, token[i % 2], ISM_READ, NULL, &r));
		ck_assert_int_eq(ok(ism_region_peers(r, NULL, 0)), 2);
		ism_close(dev);
	}
	await_progress(b);
	atomic_store(&b->stop, 1);
	ck_assert_int_eq(harness_reap(pid[0], 60), 0);
	ck_assert_int_eq(harness_reap(pid[1], 60), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_uint_eq(atomic_load(&b->written[i]), atomic_load(&b->read[i]));
	printf("rings: %llu and %llu records across %d kills\n", (unsigned long long)atomic_load(&b->read[0]),
	       (unsigned long long)atomic_load(&b->read[1]), KILLS + 1);
	munmap(b, sizeof *b);
	channel_close(&e.tokens);
	channel_close(&e.ready);
	harness_ismd_stop(ismd);
}
END_TEST

/* ------------------------------------------------------------------ within a record */

/* A writer that is stopped in the middle of a record, and a reader that has followed it. */
struct halves {
	char uri[160];
	uint64_t token;
	struct trap from, to;
	struct ism_device *dev;
	pid_t writer;
	pthread_t reader;
	struct ism_ring *in;
	int64_t read;
};

static int half_main(void *arg)
{
	struct ism_region *region;
	struct ism_device *dev;
	struct ism_open_opts patient = { .size = sizeof patient, .restart_ms = 60000 };
	struct halves *h = arg;
	struct ism_ring *out;

	if (ism_open(h->uri, &patient, &dev) < 0 ||
	    ism_attach_region(dev, h->token, ISM_READ | ISM_WRITE, NULL, &region) < 0 ||
	    ism_ring_attach(region, ISM_RING_WRITER, NULL, &out) < 0)
		return 1;
	trap_set(&h->from, STOP);
	if (ism_ring_write(out, h->from.bytes, LARGE, -1) < 0)
		return 2;
	ism_ring_close(out);
	ism_close(dev);
	return 0;
}

static void *follower_main(void *arg)
{
	struct halves *h = arg;

	h->read = ism_ring_read(h->in, h->to.bytes, ROOM, SECONDS(60));
	return NULL;
}

static void halves_open(struct halves *h)
{
	struct ism_region *region;

	struct ism_open_opts patient = { .size = sizeof patient, .restart_ms = 60000 };

	snprintf(h->uri, sizeof h->uri, "%s", harness_uri("d"));
	trap_open(&h->from, ROOM);
	trap_open(&h->to, ROOM);
	for (size_t i = 0; i < ROOM; i++)
		h->from.bytes[i] = (uint8_t)mix(i);
	ok(ism_open(h->uri, &patient, &h->dev));
	ok(ism_alloc_region(h->dev, 3 * ROOM, NULL, &region));
	ok(ism_ring_create(region, ISM_RING_READER, NULL, &h->in));
	h->token = ism_region_token(region);
	h->writer = harness_fork(half_main, h);
	trap_wait(&h->from);
	trap_set(&h->to, STOP / 2);
	ck_assert_int_eq(pthread_create(&h->reader, NULL, follower_main, h), 0);
	trap_wait(&h->to);
	trap_go(&h->to);
}

static void halves_close(struct halves *h)
{
	ism_ring_close(h->in);
	ism_close(h->dev);
	trap_close(&h->from);
	trap_close(&h->to);
}

START_TEST(a_record_goes_on_when_the_daemon_comes_back)
{
	pid_t ismd = harness_ismd_kept("d", NULL);
	struct halves h;

	halves_open(&h);
	ismd = restart(ismd, NULL);
	trap_go(&h.from);
	pthread_join(h.reader, NULL);
	ck_assert_int_eq(h.read, LARGE);
	ck_assert_int_eq(memcmp(h.to.bytes, h.from.bytes, LARGE), 0);
	fails(ism_ring_read(h.in, h.to.bytes, ROOM, SECONDS(30)), -EPIPE);
	ck_assert_int_eq(harness_reap(h.writer, 60), 0);
	halves_close(&h);
	harness_ismd_stop(ismd);
}
END_TEST

START_TEST(a_record_whose_writer_dies_is_none)
{
	pid_t ismd = harness_ismd_kept("d", NULL);
	struct halves h;

	halves_open(&h);
	harness_kill(h.writer);
	pthread_join(h.reader, NULL);
	ck_assert_int_eq(h.read, -ECONNRESET);
	fails(ism_ring_read(h.in, h.to.bytes, ROOM, 0), -ECONNRESET);
	halves_close(&h);
	harness_ismd_stop(ismd);
}
END_TEST

/* ------------------------------------------------------------------ ism put, ism get */

static const char *scratch(const char *name)
{
	static char path[4][200];
	static unsigned int next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof path[0], "%s/.%s", harness_dir(), name);
	return p;
}

struct tool {
	const char *verb, *argument, *in, *out;
};

static int tool_main(void *arg)
{
	const struct tool *t = arg;
	const char *program = getenv("ISM_TEST_ISM");
	int out = open(t->out, O_CREAT | O_WRONLY | O_TRUNC, 0600);

	dup2(out, STDOUT_FILENO);
	execl(program != NULL ? program : "./ism", "ism", t->verb, "--quiet", "--device", harness_uri("d"), t->argument,
	      (char *)NULL);
	return 127;
}

static off_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : st.st_size;
}

static void make_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "we");

	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = mix(i);
		fwrite(&word, 8, 1, f);
	}
	ck_assert_int_eq(fclose(f), 0);
}

static bool same_files(const char *a, const char *b)
{
	char cmd[500];

	snprintf(cmd, sizeof cmd, "cmp -s %s %s", a, b);
	return system(cmd) == 0;
}

START_TEST(a_file_on_its_way_arrives_whole)
{
	enum { SIZE = 160 * 1024 * 1024 };
	pid_t ismd = harness_ismd_kept("d", NULL), put, get;
	const char *source = scratch("source"), *target = scratch("target"), *token = scratch("token");
	struct tool offer = { "put", source, NULL, token }, take = { "get", NULL, NULL, target };
	char text[32] = "";
	unsigned int kills = 0;

	make_file(source, SIZE);
	put = harness_fork(tool_main, &offer);
	eventually(size_of(token) == 17, 30);
	FILE *f = fopen(token, "re");
	ck_assert_int_eq(fscanf(f, "%16s", text), 1);
	fclose(f);
	take.argument = text;
	get = harness_fork(tool_main, &take);
	for (off_t at = SIZE / 8; at < SIZE; at += SIZE / 8) {
		eventually(size_of(target) >= at, 60);
		ismd = restart(ismd, NULL);
		kills++;
	}
	ck_assert_int_eq(harness_reap(get, 60), 0);
	ck_assert_int_eq(harness_reap(put, 60), 0);
	ck_assert(same_files(source, target));
	printf("put and get: %d MiB across %u kills\n", SIZE >> 20, kills);
	harness_ismd_stop(ismd);
}
END_TEST

/* ------------------------------------------------------------------ at every system call */

struct run {
	char uri[160];
};

static int run_main(void *arg)
{
	int r = scenario(((struct run *)arg)->uri, 0, 30000);

	if (r < 0)
		fprintf(stderr, "[test] error: %d: %s\n", r, ism_error_detail());
	return r < 0;
}

/*
 * A client goes through a life in which it uses everything, and its daemon dies
 * once in it, at each system call in turn; a witness, which stays, sees that
 * nothing is left of it.
 */
START_TEST(a_daemon_killed_at_any_point_is_not_missed)
{
	struct ism_open_opts patient = { .size = sizeof patient, .restart_ms = 60000 };
	const char *const grace[] = { "--set", "grace=10", NULL };
	unsigned int point = 1, survived = 0;
	struct ism_region *own;
	struct ism_device *dev;
	struct run run;
	bool died = true;

	harness_expect_log("the keeper has died");
	snprintf(run.uri, sizeof run.uri, "%s", harness_uri("d"));
	pid_t ismd = harness_ismd_kept("d", NULL), child;
	ok(ism_open(run.uri, &patient, &dev));
	ok(ism_alloc_region(dev, 1, NULL, &own));
	/* All of them take a minute: without $ISM_TEST_LONG one in eight, others each time. */
	unsigned int step = getenv("ISM_TEST_LONG") != NULL ? 1 : 8;
	for (point += harness_seed() % step; died && point < POINTS_MAX; point += step) {
		kill(ismd, SIGUSR1);	/* in order, so that it knows of the last client's end */
		ck_assert_int_eq(harness_reap(ismd, 30), 0);
		pid_t victim = victim_ismd(point, true);
		child = harness_fork(run_main, &run);
		int status = -1;
		/* It dies at its point, or the client's life ends first. */
		while (waitpid(victim, &status, WNOHANG) == 0 && victim_lives(child))
			harness_pause();
		died = status >= 0;
		if (!died) {
			kill(victim, SIGKILL);
			waitpid(victim, &status, 0);
		}
		ck_assert_msg(WIFSIGNALED(status), "point %u: status %d", point, status);
		ismd = harness_ismd_kept("d", NULL);
		ck_assert_msg(harness_reap(child, 60) == 0, "point %u", point);
		survived++;
	}
	ck_assert(!died);
	/* A device whose HELLO was carried out and not answered is nobody's: it goes after the grace time. */
	ismd = restart(ismd, grace);
	eventually(nr_devices(dev) == 1 && nr_regions(dev) == 1, 60);
	ck_assert_uint_gt(survived * step, 100);
	printf("daemon: killed at %u points, and its client went on\n", survived - 1);
	ism_close(dev);
	harness_ismd_stop(ismd);
}
END_TEST

Suite *rings_suite(void)
{
	Suite *s = suite_create("under way");
	TCase *tc = harness_tcase(s, "under way", 900);

	tcase_add_test(tc, two_rings_lose_nothing_and_double_nothing);
	tcase_add_test(tc, a_record_goes_on_when_the_daemon_comes_back);
	tcase_add_test(tc, a_record_whose_writer_dies_is_none);
	tcase_add_test(tc, a_file_on_its_way_arrives_whole);
	tcase_add_test(tc, a_daemon_killed_at_any_point_is_not_missed);
	return s;
}

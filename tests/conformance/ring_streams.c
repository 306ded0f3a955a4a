/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring_streams.c - many records from one thread to another.
 */
#include "pair.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

static unsigned int nr_records(void)
{
	return backend == TRACE ? 3000 : (unsigned int)rounds(30000);
}

static unsigned int next_len(uint64_t *seed, size_t max)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned int)(*seed >> 40) % (unsigned int)(max + 1);
}

static void *writer_main(void *arg)
{
	struct ism_ring *ring = arg;
	unsigned char data[3000];
	uint64_t seed = 1;

	for (unsigned int i = 0; i < nr_records(); i++) {
		unsigned int len = next_len(&seed, sizeof data);
		memset(data, (int)i, len);
		if (ism_ring_write(ring, data, len, SECONDS(30)) < 0)
			break;
	}
	ism_ring_close(ring);
	return NULL;
}

static bool all_are(const unsigned char *buf, size_t len, unsigned char value)
{
	return len == 0 || (buf[0] == value && memcmp(buf, buf + 1, len - 1) == 0);
}

static void stream_through(struct pair *p)
{
	unsigned char buf[3000];
	uint64_t seed = 1;
	pthread_t t;

	pthread_create(&t, NULL, writer_main, p->out);
	for (unsigned int i = 0; i < nr_records(); i++) {
		unsigned int len = next_len(&seed, sizeof buf);
		int64_t r = ism_ring_read(p->in, buf, sizeof buf, SECONDS(30));
		if (r != len || !all_are(buf, len, (unsigned char)i))
			ck_abort_msg("record %u: %lld (%s)", i, (long long)r, ism_error_detail());
	}
	fails(ism_ring_read(p->in, buf, sizeof buf, SECONDS(30)), -EPIPE);
	pthread_join(t, NULL);
	p->out = NULL;
}

START_TEST(a_stream_of_records)
{
	struct pair p = pair_open(65536);

	stream_through(&p);
	pair_close(&p);
}
END_TEST

START_TEST(a_stream_without_spinning)
{
	struct ism_open_opts opts = { .size = sizeof opts, .spin_us = ISM_SPIN_NONE };
	struct pair p = pair_open_with(65536, &opts, NULL);

	stream_through(&p);
	pair_close(&p);
}
END_TEST

/* The reader only ever polls its fd. */
START_TEST(a_stream_through_poll)
{
	struct pair p = pair_open(65536);
	int fd = (int)ok(ism_ring_fd(p.in));
	unsigned char buf[3000];
	uint64_t seed = 1;
	pthread_t t;

	pthread_create(&t, NULL, writer_main, p.out);
	for (unsigned int i = 0; i < nr_records();) {
		int64_t r = ism_ring_read(p.in, buf, sizeof buf, 0);
		if (r == -EAGAIN) {
			if (!readable(fd, 30000))
				ck_abort_msg("asleep at record %u", i);
			continue;
		}
		unsigned int len = next_len(&seed, sizeof buf);
		if (r != len || !all_are(buf, len, (unsigned char)i))
			ck_abort_msg("record %u: %lld (%s)", i, (long long)r, ism_error_detail());
		i++;
	}
	pthread_join(t, NULL);
	p.out = NULL;
	pair_close(&p);
}
END_TEST

/* ------------------------------------------------------------------ replaced under it */

struct move {
	struct pair p;
	struct ism_device *host;
	_Atomic bool stop;
	_Atomic unsigned int moves;
};

static void *mover_main(void *arg)
{
	struct move *m = arg;
	uint64_t token = ism_region_token(m->p.ra);

	while (!atomic_load(&m->stop)) {
		struct ism_region *held;
		ok(ism_shut_out(m->host, token, NULL, 0, &held));
		while (ok(ism_region_peers(held, NULL, 0)) < 2 && !atomic_load(&m->stop))
			harness_pause();
		token = ism_region_token(held);
		ism_detach_region(held);
		atomic_fetch_add(&m->moves, 1);
	}
	return NULL;
}

static void *endless_writer_main(void *arg)
{
	struct move *m = arg;
	unsigned char data[3000];
	uint64_t seed = 1;

	for (unsigned int i = 0; !atomic_load(&m->stop); i++) {
		unsigned int len = next_len(&seed, sizeof data);
		memset(data, (int)i, len);
		ok(ism_ring_write(m->p.out, data, len, SECONDS(30)));
	}
	ism_ring_close(m->p.out);
	return NULL;
}

/* Writer, reader and who replaces are three threads; the host's user goes along, from successor to successor. */
START_TEST(a_stream_whose_region_is_replaced)
{
	struct move m = { .p = pair_open(65536), .host = device() };
	pthread_t writer, mover;
	unsigned char buf[3000];
	uint64_t seed = 1;
	int64_t r;

	pthread_create(&writer, NULL, endless_writer_main, &m);
	pthread_create(&mover, NULL, mover_main, &m);
	for (unsigned int i = 0; (r = ism_ring_read(m.p.in, buf, sizeof buf, SECONDS(30))) != -EPIPE; i++) {
		unsigned int len = next_len(&seed, sizeof buf);
		if (r != len || !all_are(buf, len, (unsigned char)i))
			ck_abort_msg("record %u: %lld (%s)", i, (long long)r, ism_error_detail());
		if (atomic_load(&m.moves) >= 20 && i >= 1000)
			atomic_store(&m.stop, true);
	}
	pthread_join(writer, NULL);
	pthread_join(mover, NULL);
	m.p.out = NULL;
	ism_close(m.host);
	pair_close(&m.p);
}
END_TEST

/* ------------------------------------------------------------------ several at once */

static void *read_all_many(void *arg)
{
	char text[8][8];
	struct ism_ring_buf in[8];
	uintptr_t n = 0;
	int r;

	do {
		for (int i = 0; i < 8; i++)
			in[i] = (struct ism_ring_buf){ text[i], sizeof text[i] };
		r = ism_ring_read_many(arg, in, 8, SECONDS(30));
		n += r > 0 ? (uintptr_t)r : 0;
	} while (r > 0);
	return (void *)(r == -EPIPE ? n : 0);
}

START_TEST(a_sleeping_reader_of_several_is_woken)
{
	struct pair p = pair_open(65536);
	char abc[] = "abc";
	struct ism_ring_buf out[3] = { { abc, 1 }, { abc + 1, 1 }, { abc + 2, 1 } };
	pthread_t thread;
	void *n;

	ck_assert_int_eq(pthread_create(&thread, NULL, read_all_many, p.in), 0);
	for (int i = 0; i < rounds(200); i++) {
		ck_assert_int_eq(ok(ism_ring_write_many(p.out, out, 3, SECONDS(30))), 3);
		if (i % 10 == 0)	/* long enough for it to fall asleep, or not */
			sched_yield();
	}
	ism_ring_close(p.out);
	p.out = NULL;
	ck_assert_int_eq(pthread_join(thread, &n), 0);
	ck_assert_uint_eq((uintptr_t)n, 3U * (unsigned int)rounds(200));
	pair_close(&p);
}
END_TEST

Suite *ring_streams_suite(void)
{
	Suite *s = suite_create("ring streams");
	TCase *tc = harness_tcase(s, "ring streams", 300);

	tcase_add_test(tc, a_stream_of_records);
	tcase_add_test(tc, a_stream_without_spinning);
	tcase_add_test(tc, a_stream_through_poll);
	if (!in_machine())
		tcase_add_test(tc, a_stream_whose_region_is_replaced);
	tcase_add_test(tc, a_sleeping_reader_of_several_is_woken);
	return s;
}

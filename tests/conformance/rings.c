/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * rings.c - records through a ring, over this backend's doorbells.
 */
#include "conformance.h"

#include <errno.h>
#include <ism-ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct pair {
	struct ism_device *a, *b;
	struct ism_region *ra, *rb;
	struct ism_ring *out, *in;
};

static struct pair pair_open(size_t size)
{
	struct pair p = { .a = device(), .b = device() };

	p.ra = alloc(p.a, size);
	ok(ism_ring_create(p.ra, ISM_RING_WRITER, NULL, &p.out));
	p.rb = attach(p.b, p.ra);
	ok(ism_ring_attach(p.rb, ISM_RING_READER, NULL, &p.in));
	return p;
}

static void pair_close(struct pair *p)
{
	ism_ring_close(p->out);
	ism_ring_close(p->in);
	ism_close(p->a);
	ism_close(p->b);
	domain_end();
}

START_TEST(records_come_whole_and_in_order)
{
	struct pair p = pair_open(65536);
	char buf[64];

	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	ok(ism_ring_write(p.out, "one", 3, 0));
	ok(ism_ring_write(p.out, "", 0, 0));
	ok(ism_ring_write(p.out, NULL, 0, 0));
	ok(ism_ring_write(p.out, "three", 5, 0));
	ck_assert_int_eq(ok(ism_ring_read(p.in, buf, sizeof buf, 0)), 3);
	ck_assert_mem_eq(buf, "one", 3);
	ck_assert_int_eq(ok(ism_ring_read(p.in, buf, sizeof buf, 0)), 0);
	ck_assert_int_eq(ok(ism_ring_read(p.in, buf, sizeof buf, 0)), 0);
	fails(ism_ring_read(p.in, buf, 4, 0), -EMSGSIZE);
	ck_assert_int_eq(ok(ism_ring_read(p.in, buf, 5, 0)), 5);
	ck_assert_mem_eq(buf, "three", 5);
	fails(ism_ring_read(p.in, buf, sizeof buf, SECONDS(0.01)), -ETIMEDOUT);
	pair_close(&p);
}
END_TEST

START_TEST(every_length_at_every_place)
{
	struct ism_ring_opts o = { .size = sizeof o, .length = 512 };
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra);
	unsigned char data[256], buf[256];
	struct ism_ring *out, *in;

	ok(ism_ring_create(ra, ISM_RING_WRITER, &o, &out));
	ok(ism_ring_attach(rb, ISM_RING_READER, &o, &in));
	size_t max = ism_ring_max_record(out);
	ck_assert_uint_eq(max, ism_ring_max_record(in));
	ck_assert_uint_gt(max, 64);
	for (size_t i = 0; i < 40000; i++) {
		size_t len = i % (max + 1);
		memset(data, (int)(i * 31), len);
		int r = ism_ring_write(out, data, len, SECONDS(1));
		int64_t got = ism_ring_read(in, buf, sizeof buf, SECONDS(1));
		if (r != 0 || got != (int64_t)len || memcmp(buf, data, len) != 0)
			ck_abort_msg("record %zu of %zu bytes: %d, %lld (%s)", i, len, r, (long long)got, ism_error_detail());
		if (i % 7 == 0) {	/* shift by one head, so that all places occur */
			ok(ism_ring_write(out, NULL, 0, 0));
			ck_assert_int_eq(ok(ism_ring_read(in, buf, 0, 0)), 0);
		}
	}
	fails(ism_ring_write(out, data, max + 1, 0), -EMSGSIZE);
	ism_ring_close(out);
	ism_ring_close(in);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(a_full_ring_says_so)
{
	struct pair p = pair_open(65536);
	unsigned int n = 0;
	char buf[1000] = { 0 };

	while (ism_ring_write(p.out, buf, sizeof buf, 0) == 0)
		n++;
	ck_assert_uint_gt(n, 20);
	fails(ism_ring_write(p.out, buf, sizeof buf, SECONDS(0.01)), -ETIMEDOUT);
	for (unsigned int i = 0; i < n; i++)
		ck_assert_int_eq(ok(ism_ring_read(p.in, buf, sizeof buf, 0)), sizeof buf);
	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	ok(ism_ring_write(p.out, buf, sizeof buf, 0));
	pair_close(&p);
}
END_TEST

START_TEST(records_in_place)
{
	struct pair p = pair_open(65536);
	const void *seen;
	size_t len;
	void *room;

	fails(ism_ring_commit(p.out, 0), -EINVAL);
	fails(ism_ring_release(p.in), -EINVAL);
	ok(ism_ring_reserve(p.out, 100, &room));
	strcpy(room, "in place");
	fails(ism_ring_commit(p.out, 101), -EINVAL);
	ok(ism_ring_commit(p.out, 9));
	ok(ism_ring_peek(p.in, &seen, &len));
	ck_assert_uint_eq(len, 9);
	ck_assert_str_eq(seen, "in place");
	ok(ism_ring_peek(p.in, &seen, &len));
	ck_assert_str_eq(seen, "in place");
	ok(ism_ring_release(p.in));
	fails(ism_ring_peek(p.in, &seen, &len), -EAGAIN);
	fails(ism_ring_peek(p.out, &seen, &len), -EINVAL);
	fails(ism_ring_reserve(p.in, 1, &room), -EINVAL);
	pair_close(&p);
}
END_TEST

START_TEST(a_closed_end_is_seen_after_the_last_record)
{
	struct pair p = pair_open(65536);
	char buf[8];

	ok(ism_ring_write(p.out, "last", 4, 0));
	ism_ring_close(p.out);
	p.out = NULL;
	ck_assert_int_eq(ok(ism_ring_read(p.in, buf, sizeof buf, 0)), 4);
	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EPIPE);
	fails(ism_ring_read(p.in, buf, sizeof buf, -1), -EPIPE);
	pair_close(&p);
}
END_TEST

START_TEST(a_reader_that_left_is_seen)
{
	struct pair p = pair_open(65536);

	ok(ism_ring_write(p.out, "x", 1, 0));
	ism_ring_close(p.in);
	p.in = NULL;
	fails(ism_ring_write(p.out, "x", 1, -1), -EPIPE);
	pair_close(&p);
}
END_TEST

/* What is left of an end whose device has been closed before it. */
static void bury(struct ism_ring *ring)
{
	if (backend == TRACE)
		ism_ring_close(ring);	/* too late, and the trace says so */
	else
		free(ring);
}

START_TEST(a_peer_that_vanished_is_seen)
{
	struct pair p = pair_open(65536);
	char buf[8];

	ok(ism_ring_write(p.out, "last", 4, 0));
	ism_close(p.a);		/* without closing its end first */
	ck_assert_int_eq(ok(ism_ring_read(p.in, buf, sizeof buf, SECONDS(10))), 4);
	fails(ism_ring_read(p.in, buf, sizeof buf, SECONDS(10)), -ECONNRESET);
	fails(ism_ring_read(p.in, buf, sizeof buf, -1), -ECONNRESET);
	bury(p.out);
	ism_ring_close(p.in);
	ism_close(p.b);
	domain_end();
}
END_TEST

START_TEST(who_never_waits_sees_it_too)
{
	struct pair p = pair_open(65536), q = pair_open(65536);
	char buf[1000] = { 0 };
	const void *record;
	void *room;
	size_t len;
	int r;

	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	fails(ism_ring_peek(p.in, &record, &len), -EAGAIN);
	ok(ism_ring_write(p.out, "last", 4, 0));
	ism_close(p.a);
	ck_assert_int_eq(ok(ism_ring_read(p.in, buf, sizeof buf, 0)), 4);
	eventually((r = (int)ism_ring_read(p.in, buf, sizeof buf, 0)) != -EAGAIN, 10);
	ck_assert_int_eq(r, -ECONNRESET);
	eventually((r = ism_ring_peek(p.in, &record, &len)) != -EAGAIN, 10);
	ck_assert_int_eq(r, -ECONNRESET);
	eventually((r = ism_ring_wait(p.in, 0, 0)) != -EAGAIN, 10);
	ck_assert_int_eq(r, -ECONNRESET);
	ism_ring_close(p.in);
	bury(p.out);
	ism_close(p.b);

	while (ism_ring_write(q.out, buf, sizeof buf, 0) == 0)
		;
	ism_close(q.b);
	eventually((r = ism_ring_write(q.out, buf, sizeof buf, 0)) != -EAGAIN, 10);
	ck_assert_int_eq(r, -ECONNRESET);
	eventually((r = ism_ring_reserve(q.out, sizeof buf, &room)) != -EAGAIN, 10);
	ck_assert_int_eq(r, -ECONNRESET);
	ism_ring_close(q.out);
	bury(q.in);
	ism_close(q.a);
	domain_end();
}
END_TEST

/* With the device's descriptor, and with one of the region's own. */
START_TEST(who_polls_sees_it_too)
{
	struct ism_attach_opts o = { .size = sizeof o, .flags = _i ? ISM_ATTACH_VECTOR : 0 };
	struct pair p = { .a = device(), .b = device() };
	char buf[8];

	p.ra = alloc(p.a, 4096);
	ok(ism_ring_create(p.ra, ISM_RING_WRITER, NULL, &p.out));
	ok(ism_attach_region(p.b, ism_region_token(p.ra), ISM_READ | ISM_WRITE, &o, &p.rb));
	ok(ism_ring_attach(p.rb, ISM_RING_READER, NULL, &p.in));
	int fd = (int)ok(ism_ring_fd(p.in)), r;

	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	ok(ism_region_notify(p.ra));
	ism_close(p.a);
	do {
		if (!readable(fd, 20000))
			ck_abort_msg("silent, and the peer is gone");
		drain(p.b, 0);
		r = (int)ism_ring_read(p.in, buf, sizeof buf, 0);
	} while (r == -EAGAIN);
	ck_assert_int_eq(r, -ECONNRESET);
	bury(p.out);
	ism_ring_close(p.in);
	ism_close(p.b);
	domain_end();
}
END_TEST

/* And nothing was on its way that would have waked it anyhow. */
START_TEST(who_polls_is_told_of_the_end)
{
	struct ism_attach_opts o = { .size = sizeof o, .flags = _i ? ISM_ATTACH_VECTOR : 0 };
	struct pair p = { .a = device(), .b = device() };
	char buf[8];

	p.ra = alloc(p.a, 4096);
	ok(ism_ring_create(p.ra, ISM_RING_WRITER, NULL, &p.out));
	ok(ism_attach_region(p.b, ism_region_token(p.ra), ISM_READ | ISM_WRITE, &o, &p.rb));
	ok(ism_ring_attach(p.rb, ISM_RING_READER, NULL, &p.in));
	int fd = (int)ok(ism_ring_fd(p.in)), r;

	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	ok(ism_ring_write(p.out, "x", 1, SECONDS(10)));
	do {
		ck_assert(readable(fd, 20000));
		drain(p.b, 0);
		r = (int)ism_ring_read(p.in, buf, sizeof buf, 0);
	} while (r == -EAGAIN);
	ck_assert_int_eq(r, 1);
	fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	while (readable(fd, 100)) {	/* rings that come late */
		drain(p.b, 0);
		fails(ism_ring_read(p.in, buf, sizeof buf, 0), -EAGAIN);
	}
	ism_close(p.a);
	do {
		if (!readable(fd, 20000))
			ck_abort_msg("silent, and the peer is gone");
		drain(p.b, 0);
		r = (int)ism_ring_read(p.in, buf, sizeof buf, 0);
	} while (r == -EAGAIN);
	ck_assert_int_eq(r, -ECONNRESET);
	bury(p.out);
	ism_ring_close(p.in);
	ism_close(p.b);
	domain_end();
}
END_TEST

/* ------------------------------------------------------------------ two threads */

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
		if (ism_ring_write(ring, data, len, SECONDS(20)) < 0)
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
		int64_t r = ism_ring_read(p->in, buf, sizeof buf, SECONDS(20));
		if (r != len || !all_are(buf, len, (unsigned char)i))
			ck_abort_msg("record %u: %lld (%s)", i, (long long)r, ism_error_detail());
	}
	fails(ism_ring_read(p->in, buf, sizeof buf, SECONDS(20)), -EPIPE);
	pthread_join(t, NULL);
	p->out = NULL;
}

static void *late_reader_main(void *arg)
{
	struct ism_ring *ring = arg;
	char buf[8];

	fails(ism_ring_read(ring, buf, sizeof buf, SECONDS(20)), -ECONNRESET);
	return NULL;
}

static uint64_t sleeps_of(struct ism_device *dev)
{
	struct ism_stats stats = { .size = sizeof stats };

	ok(ism_query_stats(dev, &stats));
	return stats.sleeps;
}

/* The doorbell and the end come at once to one who sleeps, and there is nothing in the ring. */
START_TEST(a_peer_that_rings_and_vanishes_is_seen)
{
	for (int i = 0; i < 60; i++) {
		struct pair p = pair_open(65536);
		pthread_t thread;

		ck_assert_int_eq(pthread_create(&thread, NULL, late_reader_main, p.in), 0);
		eventually(sleeps_of(p.b) > 0, 10);
		ok(ism_region_notify(p.ra));
		ism_close(p.a);		/* without closing its end first */
		pthread_join(thread, NULL);
		bury(p.out);
		ism_ring_close(p.in);
		ism_close(p.b);
	}
	domain_end();
}
END_TEST

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
	struct pair p = { .a = device_with(&opts), .b = device_with(&opts) };

	p.ra = alloc(p.a, 65536);
	ok(ism_ring_create(p.ra, ISM_RING_WRITER, NULL, &p.out));
	p.rb = attach(p.b, p.ra);
	ok(ism_ring_attach(p.rb, ISM_RING_READER, NULL, &p.in));
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
			if (!readable(fd, 20000))
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
		ok(ism_ring_write(m->p.out, data, len, SECONDS(20)));
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
	for (unsigned int i = 0; (r = ism_ring_read(m.p.in, buf, sizeof buf, SECONDS(20))) != -EPIPE; i++) {
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

/* ------------------------------------------------------------------ wrong use */

START_TEST(several_at_once)
{
	struct pair p = pair_open(65536);
	char text[4][16], one[] = "one", three[] = "three", four[] = "four";
	struct ism_ring_buf out[4] = { { one, 3 }, { NULL, 0 }, { three, 5 }, { four, 4 } }, in[4];

	for (int i = 0; i < 4; i++)
		in[i] = (struct ism_ring_buf){ text[i], sizeof text[i] };
	fails(ism_ring_read_many(p.in, in, 4, 0), -EAGAIN);
	fails(ism_ring_read_many(p.in, in, 4, SECONDS(0.01)), -ETIMEDOUT);
	fails(ism_ring_read_many(p.in, in, 0, 0), -EINVAL);
	fails(ism_ring_write_many(p.out, out, 0, 0), -EINVAL);
	fails(ism_ring_write_many(p.in, out, 4, 0), -EINVAL);
	fails(ism_ring_read_many(p.out, in, 4, 0), -EINVAL);
	ck_assert_int_eq(ok(ism_ring_write_many(p.out, out, 4, 0)), 4);
	ck_assert_int_eq(ok(ism_ring_read_many(p.in, in, 2, 0)), 2);
	ck_assert_uint_eq(in[0].len, 3);
	ck_assert_mem_eq(text[0], "one", 3);
	ck_assert_uint_eq(in[1].len, 0);
	/* Of what is left, the second does not fit: it is left there. */
	in[0].len = 5;
	in[1].len = 3;
	ck_assert_int_eq(ok(ism_ring_read_many(p.in, in, 4, 0)), 1);
	ck_assert_mem_eq(text[0], "three", 5);
	fails(ism_ring_read_many(p.in, &in[1], 3, 0), -EMSGSIZE);
	in[1].len = 4;
	ck_assert_int_eq(ok(ism_ring_read_many(p.in, &in[1], 3, 0)), 1);
	ck_assert_mem_eq(text[1], "four", 4);
	/* One that fits no ring is not written, those before it are. */
	out[1].len = ism_ring_max_record(p.out) + 1;
	ck_assert_int_eq(ok(ism_ring_write_many(p.out, out, 4, 0)), 1);
	fails(ism_ring_write_many(p.out, out + 1, 3, 0), -EMSGSIZE);
	ism_ring_close(p.out);
	p.out = NULL;
	ck_assert_int_eq(ok(ism_ring_read_many(p.in, in, 4, 0)), 1);
	fails(ism_ring_read_many(p.in, in, 4, 0), -EPIPE);
	pair_close(&p);
}
END_TEST

/* More than fits: what does is taken, and nothing is lost or comes twice. */
START_TEST(as_many_as_fit_and_in_order)
{
	enum { MANY = 64, ALL = 20000, LEN = 100 };
	struct ism_ring_opts o = { .size = sizeof o, .length = 4096 };
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra);
	static uint8_t from[MANY][LEN], to[MANY][LEN];
	struct ism_ring_buf out[MANY], in[MANY];
	uint32_t sent = 0, seen = 0, number;
	struct ism_ring *w, *r;

	ok(ism_ring_create(ra, ISM_RING_WRITER, &o, &w));
	ok(ism_ring_attach(rb, ISM_RING_READER, &o, &r));
	while (seen < (uint32_t)rounds(ALL)) {
		for (uint32_t i = 0; i < MANY; i++) {
			number = sent + i;
			memcpy(from[i], &number, sizeof number);
			out[i] = (struct ism_ring_buf){ from[i], sizeof number + number % (LEN - sizeof number) };
			in[i] = (struct ism_ring_buf){ to[i], LEN };
		}
		int n = ism_ring_write_many(w, out, 1 + sent % MANY, 0);
		if (n != -EAGAIN)
			sent += (uint32_t)ok(n);
		n = ism_ring_read_many(r, in, 1 + seen % 7 * 9, 0);
		for (int i = 0; i < (n == -EAGAIN ? 0 : ok(n)); i++, seen++) {
			memcpy(&number, to[i], sizeof number);
			ck_assert_uint_eq(number, seen);
			ck_assert_uint_eq(in[i].len, sizeof number + seen % (LEN - sizeof number));
		}
	}
	ism_ring_close(w);
	ism_ring_close(r);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

static void *read_all_many(void *arg)
{
	char text[8][8];
	struct ism_ring_buf in[8];
	uintptr_t n = 0;
	int r;

	do {
		for (int i = 0; i < 8; i++)
			in[i] = (struct ism_ring_buf){ text[i], sizeof text[i] };
		r = ism_ring_read_many(arg, in, 8, SECONDS(20));
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
		ck_assert_int_eq(ok(ism_ring_write_many(p.out, out, 3, SECONDS(20))), 3);
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

START_TEST(wrong_rings_are_refused)
{
	struct ism_ring_opts o = { .size = sizeof o, .offset = 8 };
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *ro = attach_ro(b, ra), *rb = attach(b, ra);
	struct ism_ring *ring = NULL;

	fails(ism_ring_attach(rb, ISM_RING_READER, NULL, &ring), -EPROTO);
	fails(ism_ring_create(ra, 0, NULL, &ring), -EINVAL);
	fails(ism_ring_create(ra, 3, NULL, &ring), -EINVAL);
	fails(ism_ring_create(ra, ISM_RING_WRITER, &o, &ring), -EINVAL);
	o.offset = 1 << 20;
	fails(ism_ring_create(ra, ISM_RING_WRITER, &o, &ring), -EINVAL);
	o.offset = 0;
	o.length = 511;
	fails(ism_ring_create(ra, ISM_RING_WRITER, &o, &ring), -EINVAL);
	o.length = 65537;
	fails(ism_ring_create(ra, ISM_RING_WRITER, &o, &ring), -EINVAL);
	fails(ism_ring_create(ro, ISM_RING_WRITER, NULL, &ring), -EINVAL);
	ck_assert_ptr_null(ring);
	ism_ring_close(NULL);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(two_rings_in_one_region)
{
	struct ism_ring_opts o1 = { .size = sizeof o1, .length = 32768 };
	struct ism_ring_opts o2 = { .size = sizeof o2, .offset = 32768 };
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 65536), *rb = attach(b, ra);
	struct ism_ring *a_out, *a_in, *b_out, *b_in;
	char buf[8];

	ok(ism_ring_create(ra, ISM_RING_WRITER, &o1, &a_out));
	ok(ism_ring_create(ra, ISM_RING_READER, &o2, &a_in));
	ok(ism_ring_attach(rb, ISM_RING_READER, &o1, &b_in));
	ok(ism_ring_attach(rb, ISM_RING_WRITER, &o2, &b_out));
	for (int i = 0; i < 100; i++) {
		ok(ism_ring_write(a_out, "ping", 4, SECONDS(1)));
		ck_assert_int_eq(ok(ism_ring_read(b_in, buf, sizeof buf, SECONDS(10))), 4);
		ok(ism_ring_write(b_out, "pong", 4, SECONDS(1)));
		ck_assert_int_eq(ok(ism_ring_read(a_in, buf, sizeof buf, SECONDS(10))), 4);
		ck_assert_mem_eq(buf, "pong", 4);
	}
	ism_ring_close(a_out);
	ism_ring_close(a_in);
	ism_ring_close(b_out);
	ism_ring_close(b_in);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

Suite *rings_suite(void)
{
	Suite *s = suite_create("rings");
	TCase *tc = harness_tcase(s, "rings", 60);

	tcase_add_test(tc, records_come_whole_and_in_order);
	tcase_add_test(tc, every_length_at_every_place);
	tcase_add_test(tc, a_full_ring_says_so);
	tcase_add_test(tc, records_in_place);
	tcase_add_test(tc, a_closed_end_is_seen_after_the_last_record);
	tcase_add_test(tc, a_reader_that_left_is_seen);
	tcase_add_test(tc, a_peer_that_vanished_is_seen);
	tcase_add_test(tc, who_never_waits_sees_it_too);
	tcase_add_loop_test(tc, who_polls_sees_it_too, 0, 2);
	tcase_add_loop_test(tc, who_polls_is_told_of_the_end, 0, 2);
	tcase_add_test(tc, a_peer_that_rings_and_vanishes_is_seen);
	tcase_add_test(tc, a_stream_of_records);
	tcase_add_test(tc, a_stream_without_spinning);
	tcase_add_test(tc, a_stream_through_poll);
	if (!in_machine())
		tcase_add_test(tc, a_stream_whose_region_is_replaced);
	tcase_add_test(tc, several_at_once);
	tcase_add_test(tc, as_many_as_fit_and_in_order);
	tcase_add_test(tc, a_sleeping_reader_of_several_is_woken);
	tcase_add_test(tc, wrong_rings_are_refused);
	tcase_add_test(tc, two_rings_in_one_region);
	return s;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_pieces.c - a large record that is read while it is written: the writer is
 * stopped in the middle of it, and what it has said so far is changed.
 */
#include "unit.h"

#include "base/sys.h"
#include "ring_pair.h"
#include "trap.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

enum {
	REGION = 640 * 1024,
	CAPACITY = 512 * 1024,
	RECORD = 100001,		/* no multiple of anything */
	STOP = 48 * 1024,		/* where the writer is stopped: more than one piece is there */
	ROOM = 128 * 1024,
};

static struct ring_pair pair;
static struct {
	_Atomic uint64_t *head;		/* of the first record */
	struct trap from, to;		/* what the writer copies; where the reader copies it */
	pthread_t writer, reader;
	int64_t written, read, timeout;
	size_t cap;
} t;

static void stage_open(uint32_t spin_us)
{
	ring_pair_open(&pair, REGION, spin_us);
	t.head = (_Atomic uint64_t *)((uint8_t *)pair.shared + RING_DATA);
	ck_assert_uint_eq(pair.shared->capacity, CAPACITY);
	trap_open(&t.from, ROOM);
	trap_open(&t.to, ROOM);
	for (size_t i = 0; i < ROOM; i++)
		t.from.bytes[i] = (uint8_t)(i * 31 + i / 251);
	t.cap = ROOM;
	t.timeout = -1;
}

static void stage_close(void)
{
	ring_pair_close(&pair);
	trap_close(&t.from);
	trap_close(&t.to);
}

static void *write_main(void *arg)
{
	(void)arg;
	t.written = ism_ring_write(pair.out, t.from.bytes, RECORD, -1);
	return NULL;
}

static void *read_main(void *arg)
{
	(void)arg;
	t.read = ism_ring_read(pair.in, t.to.bytes, t.cap, t.timeout);
	return NULL;
}

/* A writer that stands in the middle of a record; it goes on, and ends. */
static void writer_stops(void)
{
	trap_set(&t.from, STOP);
	ck_assert_int_eq(pthread_create(&t.writer, NULL, write_main, NULL), 0);
	trap_wait(&t.from);
}

static void writer_ends(void)
{
	trap_go(&t.from);
	pthread_join(t.writer, NULL);
	ck_assert_int_eq(t.written, 0);
}

static int64_t read_now(size_t cap, double seconds)
{
	memset(t.to.bytes, 0, ROOM);
	return ism_ring_read(pair.in, t.to.bytes, cap, SECONDS(seconds));
}

static void check_record(int64_t n)
{
	ck_assert_int_eq(n, RECORD);
	ck_assert_int_eq(memcmp(t.to.bytes, t.from.bytes, RECORD), 0);
}

/* The record is there, and the ring goes on behind it. */
static void read_all(void)
{
	check_record(read_now(ROOM, 10));
	ok(ism_ring_write(pair.out, "next", 4, 0));
	ck_assert_int_eq(ok(ism_ring_read(pair.in, t.to.bytes, ROOM, SECONDS(30))), 4);
	fails(ism_ring_read(pair.in, t.to.bytes, ROOM, 0), -EAGAIN);
}

/* ------------------------------------------------------------------ a writer that stands still */

static const uint32_t spins[] = { 0, ISM_SPIN_NONE };

START_TEST(both_ends_copy_at_once)
{
	stage_open(spins[_i]);
	writer_stops();
	trap_set(&t.to, STOP / 2);	/* the reader gets there before the writer has ended */
	ck_assert_int_eq(pthread_create(&t.reader, NULL, read_main, NULL), 0);
	trap_wait(&t.to);
	trap_go(&t.to);
	writer_ends();
	pthread_join(t.reader, NULL);
	check_record(t.read);
	ok(ism_ring_write(pair.out, "next", 4, 0));
	ck_assert_int_eq(read_now(ROOM, 10), 4);
	stage_close();
}
END_TEST

START_TEST(a_part_is_no_record)
{
	struct ism_ring_buf many = { .len = ROOM };
	const void *p;
	size_t len;

	stage_open(spins[_i]);
	many.data = t.to.bytes;
	writer_stops();
	ck_assert_uint_eq(atomic_load(t.head) >> 32 & 255, RING_PART);
	fails(ism_ring_peek(pair.in, &p, &len), -EAGAIN);
	fails(ism_ring_wait(pair.in, 0, 0), -EAGAIN);
	fails(ism_ring_wait(pair.in, 0, SECONDS(0.01)), -ETIMEDOUT);
	fails(ism_ring_read_many(pair.in, &many, 1, SECONDS(0.01)), -ETIMEDOUT);
	for (int i = 0; i < 100; i++)
		fails(ism_ring_read(pair.in, t.to.bytes, ROOM, 0), -EAGAIN);
	writer_ends();
	ok(ism_ring_peek(pair.in, &p, &len));
	ck_assert_uint_eq(len, RECORD);
	read_all();
	stage_close();
}
END_TEST

START_TEST(a_read_that_ends_within_a_record_takes_nothing)
{
	stage_open(spins[_i]);
	writer_stops();
	fails(read_now(ROOM, 0.01), -ETIMEDOUT);
	fails(read_now(ROOM, 0.01), -ETIMEDOUT);
	fails(read_now(ROOM, 0), -EAGAIN);
	ism_interrupt(pair.b);
	fails(read_now(ROOM, 10), -EINTR);
	ck_assert_uint_eq(atomic_load(&pair.shared->tail), 0);
	writer_ends();
	read_all();
	stage_close();
}
END_TEST

START_TEST(an_interrupt_reaches_who_follows)
{
	stage_open(spins[_i]);
	writer_stops();
	trap_set(&t.to, STOP / 2);
	ck_assert_int_eq(pthread_create(&t.reader, NULL, read_main, NULL), 0);
	trap_wait(&t.to);
	ism_interrupt(pair.b);
	trap_go(&t.to);
	pthread_join(t.reader, NULL);
	ck_assert_int_eq(t.read, -EINTR);
	writer_ends();
	read_all();
	stage_close();
}
END_TEST

START_TEST(a_buffer_too_small_is_told_of_when_it_is_whole)
{
	stage_open(spins[_i]);
	writer_stops();
	fails(read_now(RECORD - 1, 0.01), -ETIMEDOUT);
	fails(read_now(10, 0), -EAGAIN);
	writer_ends();
	fails(read_now(RECORD - 1, 0.01), -EMSGSIZE);
	read_all();
	stage_close();
}
END_TEST

START_TEST(who_polls_hears_of_the_whole)
{
	struct pollfd p = { .events = POLLIN };
	struct ism_event ev;

	stage_open(spins[_i]);
	p.fd = (int)ok(ism_ring_fd(pair.in));
	while (ok(ism_event_next(pair.b, &ev, sizeof ev)) > 0)
		;	/* that the writer has come */
	writer_stops();
	fails(read_now(ROOM, 0), -EAGAIN);
	fails(read_now(ROOM, 0), -EAGAIN);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	writer_ends();
	ck_assert_int_eq(poll(&p, 1, 30000), 1);
	read_all();
	stage_close();
}
END_TEST

START_TEST(a_reader_that_knows_no_parts_sees_none)
{
	stage_open(spins[_i]);
	ck_assert_uint_eq(atomic_load(&pair.shared->reader_follows), 1);
	atomic_store(&pair.shared->reader_follows, 0);
	writer_stops();
	ck_assert_uint_eq(atomic_load(t.head), 0);
	writer_ends();
	ck_assert_uint_eq(atomic_load(t.head), ring_head(RING_RECORD, RECORD));
	read_all();
	stage_close();
}
END_TEST

static unsigned int naps;

static int count_naps(const char *call)
{
	naps += strcmp(call, "epoll_wait") == 0;
	return 0;
}

START_TEST(who_waits_for_the_rest_sleeps)
{
	stage_open(spins[_i]);
	writer_stops();
	naps = 0;
	ismi_sys_hook = count_naps;
	/* Again, should the time be over before it can lie down. */
	for (double end = harness_now() + 30; naps == 0 && harness_now() < end;)
		fails(read_now(ROOM, 0.05), -ETIMEDOUT);
	ismi_sys_hook = NULL;
	ck_assert_msg(naps >= 1 && naps < 20, "%u naps", naps);
	writer_ends();
	read_all();
	stage_close();
}
END_TEST

/* ------------------------------------------------------------------ the region is replaced meanwhile */

START_TEST(the_ring_goes_over_behind_the_record)
{
	struct ism_region *next;

	stage_open(spins[_i]);
	writer_stops();
	ok(ism_region_replace(pair.rb, NULL, &next));
	fails(read_now(ROOM, 0.02), -ETIMEDOUT);
	ck_assert_ptr_eq(ism_ring_region(pair.in), pair.rb);
	writer_ends();
	check_record(read_now(ROOM, 10));
	for (int i = 0; i < 1000 && (ism_ring_region(pair.in) == pair.rb || ism_ring_region(pair.out) == pair.ra); i++) {
		ok(ism_ring_write(pair.out, t.from.bytes, RECORD, SECONDS(30)));
		check_record(read_now(ROOM, 10));
	}
	ck_assert_ptr_ne(ism_ring_region(pair.in), pair.rb);
	/* In the successor as before. */
	const struct ring_shared *s = ism_region_addr(ism_ring_region(pair.in));
	ck_assert_uint_eq(s->reader_follows, 1);
	stage_close();
}
END_TEST

START_TEST(a_writer_shut_out_within_a_record_is_gone)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_region *next;

	stage_open(spins[_i]);
	ok(ism_query(pair.a, &info));
	writer_stops();
	fails(read_now(ROOM, 0.01), -ETIMEDOUT);
	ok(ism_region_grant(pair.rb, info.devid, 0));
	ok(ism_region_replace(pair.rb, NULL, &next));
	fails(read_now(ROOM, 10), -ECONNRESET);
	writer_ends();
	fails(read_now(ROOM, 0), -ECONNRESET);
	stage_close();
}
END_TEST

/* ------------------------------------------------------------------ what a part may become */

static uint64_t becomes;
static bool changed;

static int change_head(const char *call)
{
	if (strcmp(call, "epoll_wait") == 0) {
		atomic_store(t.head, becomes);
		changed = true;
	}
	return 0;
}

START_TEST(what_follows_a_part_is_more_of_it_or_all)
{
	enum { LEN = 40000, DONE = 2 * RING_PART_UNIT };
	const struct {
		uint64_t head;
		int64_t result;
	} next[] = {
		{ ring_head(RING_RECORD, LEN), LEN },
		{ ring_part(LEN, DONE + RING_PART_UNIT), -ETIMEDOUT },
		{ ring_part(LEN, DONE), -ETIMEDOUT },
		{ 0, -ETIMEDOUT },
		{ ring_head(RING_END, 0), -EPIPE },
		{ ring_head(RING_RECORD, LEN - 1), -EPROTO },
		{ ring_head(RING_RECORD, LEN + 1), -EPROTO },
		{ ring_head(RING_RECORD, 0), -EPROTO },
		{ ring_head(RING_RECORD, CAPACITY), -EPROTO },
		{ ring_part(LEN, 0), -EPROTO },
		{ ring_part(LEN, DONE - RING_PART_UNIT), -EPROTO },
		{ ring_part(LEN, LEN + RING_PART_UNIT), -EPROTO },
		{ ring_part(LEN, UINT64_C(0xffffff) * RING_PART_UNIT), -EPROTO },
		{ ring_part(LEN + 8, DONE + RING_PART_UNIT), -EPROTO },
		{ ring_part(UINT32_MAX, DONE + RING_PART_UNIT), -EPROTO },
		{ ring_head(RING_PAD, LEN), -EPROTO },
		{ UINT64_C(6) << 32 | LEN, -EPROTO },
		{ UINT64_MAX, -EPROTO },
	};

	for (size_t i = 0; i < sizeof next / sizeof next[0]; i++) {
		stage_open(ISM_SPIN_NONE);
		memset(t.to.bytes, 0xa5, ROOM);
		atomic_store(t.head, ring_part(LEN, DONE));
		becomes = next[i].head;
		changed = false;
		ismi_sys_hook = change_head;
		int64_t n = ism_ring_read(pair.in, t.to.bytes, LEN, SECONDS(0.02));
		ismi_sys_hook = NULL;
		ck_assert_msg(n == next[i].result, "%zu: %lld instead of %lld", i, (long long)n, (long long)next[i].result);
		for (size_t at = LEN; at < ROOM; at++)
			ck_assert_uint_eq(t.to.bytes[at], 0xa5);
		stage_close();
	}
}
END_TEST

START_TEST(a_part_that_leaves_the_ring_is_refused)
{
	const uint64_t wrong[] = {
		ring_part(CAPACITY, RING_PART_UNIT), ring_part(CAPACITY - 7, RING_PART_UNIT), ring_part(UINT32_MAX, RING_PART_UNIT),
		ring_part(40000, 40960), ring_part(0, RING_PART_UNIT), ring_part(40000, UINT64_C(0xffffff) * RING_PART_UNIT),
	};
	const void *p;
	size_t len;

	for (size_t i = 0; i < 3 * sizeof wrong / sizeof wrong[0]; i++) {
		stage_open(ISM_SPIN_NONE);
		atomic_store(t.head, wrong[i / 3]);
		int64_t r = i % 3 == 0 ? ism_ring_peek(pair.in, &p, &len) : read_now(ROOM, i % 3 == 1 ? 0 : 0.01);
		ck_assert_msg(r == -EPROTO, "%zu: %lld", i, (long long)r);
		stage_close();
	}
}
END_TEST

/* ------------------------------------------------------------------ two threads, many records */

static void *write_many_main(void *arg)
{
	uint64_t seed = *(const uint64_t *)arg;

	for (unsigned int i = 0; i < 2000; i++) {
		size_t len = unit_below(&seed, RECORD), from = unit_below(&seed, ROOM - RECORD);
		ck_assert_int_eq(ism_ring_write(pair.out, t.from.bytes + from, len, SECONDS(30)), 0);
	}
	return NULL;
}

START_TEST(records_of_any_length_in_order)
{
	uint64_t seed = unit_seed(), same = seed, mine = seed + 1;

	stage_open(spins[_i]);
	ck_assert_int_eq(pthread_create(&t.writer, NULL, write_many_main, &same), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		size_t len = unit_below(&seed, RECORD), from = unit_below(&seed, ROOM - RECORD);
		const void *p = t.to.bytes;
		size_t n = 0;
		int64_t r;
		switch (unit_below(&mine, 4)) {
		case 0:
			ok(ism_ring_wait(pair.in, 0, SECONDS(30)));
			ok(ism_ring_peek(pair.in, &p, &n));
			break;
		case 1:
			while ((r = ism_ring_read(pair.in, t.to.bytes, ROOM, 0)) == -EAGAIN)
				;
			n = (size_t)ok(r);
			break;
		case 2:
			while ((r = ism_ring_read(pair.in, t.to.bytes, ROOM, 1000)) == -ETIMEDOUT)
				;
			n = (size_t)ok(r);
			break;
		default:
			n = (size_t)ok(ism_ring_read(pair.in, t.to.bytes, ROOM, SECONDS(30)));
		}
		ck_assert_uint_eq(n, len);
		ck_assert_int_eq(memcmp(p, t.from.bytes + from, len), 0);
		if (p != t.to.bytes)
			ok(ism_ring_release(pair.in));
	}
	pthread_join(t.writer, NULL);
	stage_close();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("pieces");
	TCase *tc = harness_tcase(s, "pieces", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_loop_test(tc, both_ends_copy_at_once, 0, 2);
	tcase_add_loop_test(tc, a_part_is_no_record, 0, 2);
	tcase_add_loop_test(tc, a_read_that_ends_within_a_record_takes_nothing, 0, 2);
	tcase_add_loop_test(tc, an_interrupt_reaches_who_follows, 0, 2);
	tcase_add_loop_test(tc, a_buffer_too_small_is_told_of_when_it_is_whole, 0, 2);
	tcase_add_loop_test(tc, who_polls_hears_of_the_whole, 0, 2);
	tcase_add_loop_test(tc, a_reader_that_knows_no_parts_sees_none, 0, 2);
	tcase_add_loop_test(tc, who_waits_for_the_rest_sleeps, 0, 2);
	tcase_add_loop_test(tc, the_ring_goes_over_behind_the_record, 0, 2);
	tcase_add_loop_test(tc, a_writer_shut_out_within_a_record_is_gone, 0, 2);
	tcase_add_test(tc, what_follows_a_part_is_more_of_it_or_all);
	tcase_add_test(tc, a_part_that_leaves_the_ring_is_refused);
	tcase_add_loop_test(tc, records_of_any_length_in_order, 0, 2);
	return harness_main(argc, argv, suites);
}

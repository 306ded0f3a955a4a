/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_ring.c - a ring whose words a hostile peer sets: whatever they are, an
 * end stays inside the ring, and gives an error or a record that lies within it.
 */
#include "unit.h"

#include "base/sys.h"
#include "ring/layout.h"

#include <ism-ring.h>
#include <stdlib.h>

enum {
	REGION = 65536,
	LENGTH = 4096,			/* of the ring in it */
	CAPACITY = 2048,		/* what that gives */
	CANARY = 0xa5,
};

/* Two ends, and what lies around the ring; by turns in the middle of its region and at its end. */
static struct {
	struct ism_device *a, *b;
	struct ism_region *ra, *rb;
	struct ism_ring *out, *in;
	struct ism_ring_opts opts;
	struct ring_shared *shared;
	_Atomic uint64_t *data;
} t;

static void ends_close(void)
{
	ism_ring_close(t.out);
	ism_ring_close(t.in);
	t.out = t.in = NULL;
}

static void ends_open(size_t offset)
{
	ends_close();
	memset(ism_region_addr(t.ra), CANARY, REGION);
	t.opts = (struct ism_ring_opts){ .size = sizeof t.opts, .offset = offset, .length = LENGTH };
	ok(ism_ring_create(t.ra, ISM_RING_WRITER, &t.opts, &t.out));
	ok(ism_ring_attach(t.rb, ISM_RING_READER, &t.opts, &t.in));
	t.shared = (struct ring_shared *)((uint8_t *)ism_region_addr(t.ra) + offset);
	t.data = (_Atomic uint64_t *)((uint8_t *)t.shared + RING_DATA);
	ck_assert_uint_eq(t.shared->capacity, CAPACITY);
}

static void stage_open(void)
{
	ok(ism_open("loop:", NULL, &t.a));
	ok(ism_open("loop:", NULL, &t.b));
	ok(ism_alloc_region(t.a, REGION, NULL, &t.ra));
	ok(ism_attach_region(t.b, ism_region_token(t.ra), ISM_READ | ISM_WRITE, NULL, &t.rb));
}

static void stage_close(void)
{
	ends_close();
	ism_close(t.a);
	ism_close(t.b);
}

static void check_around(void)
{
	const uint8_t *p = ism_region_addr(t.ra), *ring = (const uint8_t *)t.shared, *end = ring + RING_DATA + CAPACITY;

	for (const uint8_t *q = p; q < p + REGION; q++) {
		if (*q != CANARY && (q < ring || q >= end))
			ck_abort_msg("%td bytes %s the ring were written", q < ring ? ring - q : q - end,
				     q < ring ? "before" : "behind");
	}
}

/* Where both ends stand after so many bytes. */
static void advance(uint64_t to)
{
	char none;

	for (uint64_t at = 0; at < to; at += RING_HEAD) {
		ok(ism_ring_write(t.out, NULL, 0, 0));
		ck_assert_int_eq(ok(ism_ring_read(t.in, &none, 1, 0)), 0);
	}
}

static const uint64_t places[] = { 0, 8, 64, CAPACITY / 2 - 8, CAPACITY / 2, CAPACITY - 24, CAPACITY - 16, CAPACITY - 8, CAPACITY,
				   CAPACITY + 40 };
enum { PLACES = sizeof places / sizeof places[0] };

static const uint32_t lengths[] = { 0, 1, 7, 8, 9, 100, CAPACITY / 2 - 17, CAPACITY / 2 - 16, CAPACITY / 2 - 15, CAPACITY - 17,
				    CAPACITY - 16, CAPACITY - 8, CAPACITY - 7, CAPACITY - 1, CAPACITY, CAPACITY + 1, LENGTH, REGION,
				    0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffff8, 0xfffffff9, 0xffffffff };
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

static const uint64_t words[] = { 0, 1, 2, 7, 8, 24, 255, 256, 257, 512, CAPACITY - 1, CAPACITY, CAPACITY + 1, CAPACITY + 8,
				  2 * CAPACITY, REGION, REGION + 1, 0xffffffff, 0x100000000, 0x100000008, UINT64_C(1) << 63,
				  (UINT64_C(1) << 63) + 8, UINT64_MAX - CAPACITY, UINT64_MAX - 7, UINT64_MAX };
enum { WORDS = sizeof words / sizeof words[0] };

static bool is_error(int64_t r)
{
	/* -ECONNRESET: it says that it goes on in a successor, and there is none. */
	return r == -EAGAIN || r == -EPROTO || r == -EPIPE || r == -EMSGSIZE || r == -ECONNRESET;
}

/* Use both ends for a while, however broken. */
static void use_reader(void)
{
	uint8_t buf[LENGTH];
	const void *p;
	size_t len;

	for (int i = 0; i < 4; i++) {
		int r = ism_ring_peek(t.in, &p, &len);
		if (r == 0) {
			const uint8_t *from = p, *data = (const uint8_t *)ism_region_addr(t.rb) + t.opts.offset + RING_DATA;
			ck_assert_msg(from >= data && len <= CAPACITY && from + len <= data + CAPACITY,
				      "a record of %zu bytes at %td", len, from - data);
			memcpy(buf, p, len);
			ok(ism_ring_release(t.in));
		} else {
			ck_assert_msg(is_error(r), "peek: %d", r);
			r = ism_ring_release(t.in);
			ck_assert_msg(r == -EINVAL || r == -EPROTO || r == -ECONNRESET, "release: %d", r);
		}
		int64_t n = ism_ring_read(t.in, buf, i % 2 ? sizeof buf : 16, 0);
		ck_assert_msg(is_error(n) || (n >= 0 && n <= CAPACITY - RING_HEAD), "read: %lld", (long long)n);
		struct ism_ring_buf many[3] = { { buf, 100 }, { buf + 100, 100 }, { buf + 200, sizeof buf - 200 } };
		r = ism_ring_read_many(t.in, many, 3, 0);
		ck_assert_msg(is_error(r) || (r >= 1 && r <= 3), "read of many: %d", r);
		for (int k = 0; k < r; k++)
			ck_assert_uint_le(many[k].len, k < 2 ? 100 : sizeof buf - 200);
		r = ism_ring_wait(t.in, 0, 0);
		ck_assert_msg(r == 0 || is_error(r), "wait: %d", r);
	}
}

static void use_writer(void)
{
	static const uint8_t record[CAPACITY];
	void *room;

	for (int i = 0; i < 4; i++) {
		size_t len = (size_t)(i * 331) % ism_ring_max_record(t.out);
		int r = ism_ring_reserve(t.out, len, &room);
		if (r == 0) {
			const uint8_t *from = room, *data = (const uint8_t *)ism_region_addr(t.ra) + t.opts.offset + RING_DATA;
			ck_assert_msg(from >= data && from + len <= data + CAPACITY, "room for %zu bytes at %td", len, from - data);
			memset(room, 0xee, len);
			ok(ism_ring_commit(t.out, len));
		} else {
			ck_assert_msg(is_error(r), "reserve: %d", r);
			r = ism_ring_commit(t.out, 0);
			ck_assert_msg(r == -EINVAL || r == -EPROTO, "commit: %d", r);
		}
		r = ism_ring_write(t.out, record, ism_ring_max_record(t.out), 0);
		ck_assert_msg(r == 0 || is_error(r), "write: %d", r);
		struct ism_ring_buf many[2] = { { (void *)(uintptr_t)record, 9 }, { (void *)(uintptr_t)record, len } };
		r = ism_ring_write_many(t.out, many, 2, 0);
		ck_assert_msg(is_error(r) || (r >= 1 && r <= 2), "write of many: %d", r);
	}
}

static size_t offset_of(unsigned int i)
{
	return i % 2 ? REGION - LENGTH : 8192;
}

/* ------------------------------------------------------------------ the header */

static void sets_word(void *word, size_t size, uint64_t value)
{
	if (size == 4)
		atomic_store((_Atomic uint32_t *)word, (uint32_t)value);
	else
		atomic_store((_Atomic uint64_t *)word, value);
}

START_TEST(a_header_is_believed_only_if_it_is_right)
{
	stage_open();
	ends_open(8192);
	ends_close();
	struct { void *at; size_t size; uint64_t right; } fields[] = {
		{ &t.shared->magic, 4, RING_MAGIC }, { &t.shared->version, 4, RING_VERSION }, { &t.shared->capacity, 8, CAPACITY },
	};
	for (size_t f = 0; f < 3; f++) {
		for (size_t w = 0; w < WORDS; w++) {
			uint64_t v = fields[f].size == 4 ? (uint32_t)words[w] : words[w];
			bool fits = f == 2 && (v == 256 || v == 512 || v == CAPACITY);	/* smaller powers of two do */
			sets_word(fields[f].at, fields[f].size, v);
			int r = ism_ring_attach(t.rb, ISM_RING_READER, &t.opts, &t.in);
			ck_assert_msg(r == (fits || v == fields[f].right ? 0 : -EPROTO), "field %zu = %llx: %d", f,
				      (unsigned long long)v, r);
			if (r == 0)
				use_reader();
			ism_ring_close(t.in);
			t.in = NULL;
		}
		sets_word(fields[f].at, fields[f].size, fields[f].right);
	}
	check_around();
	stage_close();
}
END_TEST

START_TEST(what_is_in_the_header_is_not_believed_twice)
{
	stage_open();
	for (unsigned int i = 0; i < 10 * WORDS * 2; i++) {
		ends_open(offset_of(i));
		advance(places[i % PLACES]);
		struct { void *at; size_t size; } fields[] = {
			{ &t.shared->magic, 4 }, { &t.shared->version, 4 }, { &t.shared->capacity, 8 }, { &t.shared->tail, 8 },
			{ &t.shared->reader_waits, 4 }, { &t.shared->reader_closed, 4 }, { &t.shared->reader_follows, 4 },
			{ &t.shared->writer_waits, 4 }, { &t.shared->reader_order, 4 }, { &t.shared->writer_order, 4 },
		};
		sets_word(fields[i / 2 % 10].at, fields[i / 2 % 10].size, words[i / 20]);
		use_writer();
		use_reader();
		use_writer();
		ends_close();
		check_around();
	}
	stage_close();
}
END_TEST

/* Write until there is no room; where the writer stands then. */
static uint64_t fill_up(uint64_t at)
{
	static const uint8_t record[100];
	const uint64_t space = ring_space(sizeof record);
	int r;

	while ((r = ism_ring_write(t.out, record, sizeof record, 0)) == 0) {
		uint64_t rest = CAPACITY - at % CAPACITY;
		at += (rest < space ? rest : 0) + space;
	}
	ck_assert_int_eq(r, -EAGAIN);
	return at;
}

START_TEST(a_tail_must_be_within_the_ring)
{
	void *room;

	stage_open();
	for (unsigned int i = 0; i < 2 * PLACES * WORDS; i++) {
		uint64_t begin = places[i / 2 % PLACES], word = words[i / (2 * PLACES)], tail = i % 2 ? begin + word : word;
		ends_open(offset_of(i / 2));
		advance(begin);
		uint64_t end = fill_up(begin);
		atomic_store(&t.shared->tail, tail);
		int r = ism_ring_reserve(t.out, 100, &room);
		if (tail < begin || tail > end) {	/* backwards, or ahead of what was written */
			ck_assert_msg(r == -EPROTO, "%d: tail %llx of a ring from %llx to %llx", r, (unsigned long long)tail,
				      (unsigned long long)begin, (unsigned long long)end);
			atomic_store(&t.shared->tail, end);
			ck_assert_int_eq(ism_ring_reserve(t.out, 1, &room), -EPROTO);	/* for good */
		} else {
			ck_assert_msg(r == 0 || r == -EAGAIN, "%d", r);
		}
		ends_close();
		check_around();
	}
	stage_close();
}
END_TEST

/* ------------------------------------------------------------------ the heads of records */

START_TEST(every_head_at_every_place)
{
	static const uint32_t kinds[] = { 0, 1, 2, 3, 4, 5, 0x105, 0x80000000, 0xffffff05, 0xffffffff };
	const unsigned int nr_kinds = sizeof kinds / sizeof kinds[0];

	stage_open();
	for (unsigned int p = 0; p < PLACES; p++) {
		for (unsigned int i = 0; i < nr_kinds * LENGTHS; i++) {
			uint64_t head = (uint64_t)kinds[i / LENGTHS] << 32 | lengths[i % LENGTHS];
			ends_open(offset_of(i + p));
			advance(places[p]);
			atomic_store(&t.data[places[p] % CAPACITY / 8], head);
			use_reader();
			use_writer();
			use_reader();
			ends_close();
			check_around();
		}
	}
	stage_close();
}
END_TEST

START_TEST(a_record_or_padding_that_leaves_the_ring_is_refused)
{
	const void *p;
	size_t len;

	stage_open();
	for (unsigned int i = 0; i < PLACES * LENGTHS; i++) {
		uint64_t at = places[i / LENGTHS] % CAPACITY, n = lengths[i % LENGTHS];
		bool fits = RING_HEAD + ((n + 7) & ~UINT64_C(7)) <= CAPACITY - at;
		for (uint64_t kind = RING_RECORD; kind <= RING_PAD; kind++) {
			ends_open(offset_of(i));
			advance(places[i / LENGTHS]);
			atomic_store(&t.data[0], 0);	/* nothing where padding leads to */
			atomic_store(&t.data[at / 8], kind << 32 | n);
			int r = ism_ring_peek(t.in, &p, &len);
			if (kind == RING_RECORD)
				ck_assert_msg(r == (fits ? 0 : -EPROTO) && (!fits || len == n), "%d: %u at %u", r, (unsigned int)n,
					      (unsigned int)at);
			else	/* padding reaches exactly to the end, and is never the whole ring */
				ck_assert_msg(r == (at > 0 && RING_HEAD + n == CAPACITY - at ? -EAGAIN : -EPROTO), "%d: %u at %u", r,
					      (unsigned int)n, (unsigned int)at);
			if (r == -EPROTO)
				ck_assert_int_eq(ism_ring_peek(t.in, &p, &len), -EPROTO);
		}
	}
	stage_close();
}
END_TEST

START_TEST(padding_without_end_is_no_endless_loop)
{
	const void *p;
	size_t len;

	stage_open();
	ends_open(8192);
	for (size_t i = 0; i < CAPACITY / 8; i++)	/* wherever the reader looks there is padding to the end */
		atomic_store(&t.data[i], (uint64_t)RING_PAD << 32 | (CAPACITY - i * 8 - RING_HEAD));
	ck_assert_int_eq(ism_ring_peek(t.in, &p, &len), -EPROTO);
	stage_close();
}
END_TEST

/* ------------------------------------------------------------------ a record that comes and goes */

enum { TRICKS = 60, CALLS_PER_TRICK = 3 };
static unsigned int looks;

/* The writer publishes while the reader sleeps, and takes it back before it can be read. */
static int come_and_go(const char *call)
{
	if (strcmp(call, "epoll_wait") == 0 && looks < TRICKS * CALLS_PER_TRICK)
		atomic_store(&t.data[0], looks++ % CALLS_PER_TRICK < 2 ? (uint64_t)RING_RECORD << 32 | 8 : 0);
	return 0;
}

START_TEST(a_record_that_comes_and_goes_gives_no_more_time)
{
	char buf[64];

	stage_open();
	ends_open(8192);
	ok(ism_fd(t.b));	/* so that a wait looks at descriptors thrice: asleep, awake, and when it is over */
	ismi_sys_hook = come_and_go;
	int64_t n;
	double end = harness_now() + 30;
	do {	/* again, should the time be over before it can fall asleep twice */
		looks = 0;
		n = ism_ring_read(t.in, buf, sizeof buf, SECONDS(0.02));
	} while (n == -ETIMEDOUT && looks <= 1 && harness_now() < end);
	ismi_sys_hook = NULL;
	ck_assert_int_eq(n, -ETIMEDOUT);
	ck_assert_msg(looks > 1 && looks < TRICKS * CALLS_PER_TRICK, "looked %u times", looks);
	stage_close();
}
END_TEST

/* ------------------------------------------------------------------ at random */

START_TEST(random_words_between_random_calls)
{
	uint64_t seed = unit_seed();

	stage_open();
	ends_open(8192);
	for (unsigned int i = 0; i < 20000; i++) {
		_Atomic uint64_t *from = (_Atomic uint64_t *)t.shared;
		uint32_t at = unit_below(&seed, 4) ? unit_below(&seed, RING_DATA / 8) : unit_below(&seed, (RING_DATA + CAPACITY) / 8);
		uint64_t v = unit_random(&seed);
		atomic_store(&from[at], v % 3 == 0 ? v : v % 3 == 1 ? words[v / 8 % WORDS]
								      : (v & 3) << 32 | lengths[v / 8 % LENGTHS]);
		if (v & 1 << 4)
			use_reader();
		else
			use_writer();
		if (i % 8 == 0) {
			check_around();
			ends_open(offset_of(i / 8));
			advance(places[unit_below(&seed, PLACES)]);
		}
	}
	stage_close();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("ring");
	TCase *tc = harness_tcase(s, "ring", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, a_header_is_believed_only_if_it_is_right);
	tcase_add_test(tc, what_is_in_the_header_is_not_believed_twice);
	tcase_add_test(tc, a_tail_must_be_within_the_ring);
	tcase_add_test(tc, every_head_at_every_place);
	tcase_add_test(tc, a_record_or_padding_that_leaves_the_ring_is_refused);
	tcase_add_test(tc, padding_without_end_is_no_endless_loop);
	tcase_add_test(tc, a_record_that_comes_and_goes_gives_no_more_time);
	tcase_add_test(tc, random_words_between_random_calls);
	return harness_main(argc, argv, suites);
}

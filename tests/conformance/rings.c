/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * rings.c - records through a ring, over this backend's doorbells.
 */
#include "pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
		ck_assert_int_eq(ok(ism_ring_read(b_in, buf, sizeof buf, SECONDS(30))), 4);
		ok(ism_ring_write(b_out, "pong", 4, SECONDS(1)));
		ck_assert_int_eq(ok(ism_ring_read(a_in, buf, sizeof buf, SECONDS(30))), 4);
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
	TCase *tc = harness_tcase(s, "rings", 300);

	tcase_add_test(tc, records_come_whole_and_in_order);
	tcase_add_test(tc, every_length_at_every_place);
	tcase_add_test(tc, a_full_ring_says_so);
	tcase_add_test(tc, records_in_place);
	tcase_add_test(tc, several_at_once);
	tcase_add_test(tc, as_many_as_fit_and_in_order);
	tcase_add_test(tc, wrong_rings_are_refused);
	tcase_add_test(tc, two_rings_in_one_region);
	return s;
}

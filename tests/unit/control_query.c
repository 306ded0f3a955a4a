/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * control_query.c - what a device may see of its domain, and in how small pieces.
 */
#include "base/bytes.h"
#include "control_desk.h"

#define T1   "0177665544332211"
#define T2   "0277665544332211"
#define ZERO "0000000000000000"

/* Name of 32 bytes: "abc". */
#define NAME "6162630000000000" ZERO ZERO ZERO

enum { HEAD = 1 + 16 };

/* A QUERY, and the number of records in its answer. */
static uint32_t query(struct desk *d, struct model_device *dev, uint32_t what, uint64_t cursor, uint64_t token,
		      size_t cap)
{
	uint8_t req[26] = { 0x80, 0x03 };

	ismi_put32(req + 2, what);
	ismi_put64(req + 10, cursor);
	ismi_put64(req + 18, token);
	desk_send(d, dev, req, sizeof req, cap);
	ck_assert_uint_eq(d->reply[0], ISMI_OK);
	uint32_t nr = ismi_get32(d->reply + 1);
	ck_assert_uint_eq(d->len, HEAD + nr * ismi_get32(d->reply + 5));
	return nr;
}

static uint64_t next_cursor(const struct desk *d)
{
	return ismi_get64(d->reply + 9);
}

/* The first word of the i-th record: a devid, or a serial number. */
static uint64_t key(const struct desk *d, uint32_t i)
{
	return ismi_get64(d->reply + HEAD + i * ismi_get32(d->reply + 5));
}

/* ------------------------------------------------------------------ bytes */

START_TEST(the_domain_is_described)
{
	struct desk d;

	desk_open(&d);
	desk_hex(&d, d.b, "8000 0100010000000000 00000000 02000000 0000000000000000", 100);
	says(&d, d.b, "8003 00000000 00000000 " ZERO ZERO,
	     "00 01000000 30000000 " ZERO
	     "4d00000000000000 0300000000000000 0200000000000000 0000040000000000 0200000000000000 1d1c1b1a 2d2c2b2a");
	/* The cursor and the token mean nothing here. */
	says(&d, d.c, "8003 00000000 00000000 0500000000000000" T1,
	     "00 01000000 30000000 " ZERO
	     "4d00000000000000 0300000000000000 0200000000000000 0000040000000000 0300000000000000 1d1c1b1a 2d2c2b2a");
	desk_close(&d);
}
END_TEST

START_TEST(devices_are_described)
{
	struct desk d;

	desk_open(&d);
	strcpy(d.a->name, "abc");
	d.a->pid = 0x0a0b0c0d;
	desk_hex(&d, d.a, "0000 0100010000000000", 100);
	desk_hex(&d, d.a, "0100 9977665544332211 01000000", 100);
	says(&d, d.b, "8003 01000000 00000000 " ZERO ZERO,
	     "00 02000000 50000000 " ZERO
	     "0100000000000000 01000000 0d0c0b0a 0000020000000000 01000000 00000000 0000100000000000 0100000000000000" NAME
	     "0200000000000000 01000000 00000000 0000000000000000 00000000 01000000 0000100000000000" ZERO
	     ZERO ZERO ZERO ZERO);
	desk_close(&d);
}
END_TEST

START_TEST(regions_are_described)
{
	struct desk d;

	desk_open(&d);
	desk_hex(&d, d.a, "8000 0100010000000000 00000000 01000000 0900000000000000", 100);
	desk_hex(&d, d.b, "8000 0100000000000000 01000000 01000000 0000000000000000", 100);
	desk_hex(&d, d.c, "0100 " T1 "01000000", 100);
	says(&d, d.a, "8003 02000000 00000000 " ZERO ZERO,
	     "00 02000000 40000000 " ZERO
	     "0100000000000000 " T1 "0000020000000000 0900000000000000 0100000000000000 01000000 02000000 07000000 00000000"
	     ZERO
	     "0200000000000000 " T2 "0000010000000000 0100000000000000 0200000000000000 01000000 01000000 00000000 00000000"
	     ZERO);
	/* Its creator has gone, and the token with it. */
	desk_hex(&d, d.a, "0200 " T1, 1);
	says(&d, d.c, "8003 02000000 00000000 " ZERO ZERO,
	     "00 01000000 40000000 " ZERO
	     "0100000000000000 " T1 "0000020000000000 0900000000000000 0100000000000000 01000000 01000000 07000000 01000000"
	     ZERO);
	desk_close(&d);
}
END_TEST

START_TEST(referrers_are_described)
{
	struct desk d;

	desk_open(&d);
	desk_hex(&d, d.a, "0000 0100000000000000", 100);
	desk_hex(&d, d.c, "0100 " T1 "03000000", 100);
	desk_hex(&d, d.a, "0300 " T1 "0500000000000000", 1);
	/* devid, attached with, may do now, 1 creator | 2 shut out, uid; who came last stands first */
	says(&d, d.a, "8003 03000000 00000000 " ZERO T1,
	     "00 02000000 18000000 " ZERO
	     "0300000000000000 03000000 05000000 02000000 02000000"
	     "0100000000000000 03000000 0f000000 01000000 01000000");
	says(&d, d.a, "8003 03000000 00000000 " ZERO T2, "02");
	says(&d, d.a, "8003 03000000 00000000 0200000000000000 " T1, "00 00000000 18000000 " ZERO);
	says(&d, d.a, "8003 03000000 00000000 ffffffffffffffff " T1, "00 00000000 18000000 " ZERO);
	desk_close(&d);
}
END_TEST

START_TEST(what_cannot_be_asked_is_refused)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.a, "8003 07000000 00000000 " ZERO ZERO, "ff");
	says(&d, d.a, "8003 ffffffff 00000000 " ZERO ZERO, "ff");
	says(&d, d.a, "8003 00000001 00000000 " ZERO ZERO, "ff");
	says(&d, d.a, "8003 01000000 01000000 " ZERO ZERO, "ff");
	says(&d, d.a, "8003 03000000 00000000 " ZERO ZERO, "02");
	desk_close(&d);
}
END_TEST

/* ------------------------------------------------------------------ who sees what */

START_TEST(devices_of_other_users_are_seen_only_by_the_privileged)
{
	struct desk d;

	desk_open(&d);
	ck_assert_uint_eq(query(&d, d.a, ISMI_QUERY_DEVICES, 0, 0, REPLY_MAX), 2);
	ck_assert_uint_eq(query(&d, d.c, ISMI_QUERY_DEVICES, 0, 0, REPLY_MAX), 1);
	ck_assert_uint_eq(key(&d, 0), d.c->devid);
	d.privileged = d.c;
	ck_assert_uint_eq(query(&d, d.c, ISMI_QUERY_DEVICES, 0, 0, REPLY_MAX), 3);
	ck_assert_uint_eq(query(&d, d.a, ISMI_QUERY_DEVICES, 0, 0, REPLY_MAX), 2);
	desk_close(&d);
}
END_TEST

START_TEST(regions_are_seen_by_their_user_their_referrers_and_the_privileged)
{
	struct desk d;

	desk_open(&d);
	desk_hex(&d, d.a, "8000 0100000000000000 01000000 01000000 0000000000000000", 100);
	uint64_t token = d.call.ref[0]->token;
	ck_assert_uint_eq(query(&d, d.b, ISMI_QUERY_REGIONS, 0, 0, REPLY_MAX), 1);	/* the same user's */
	ck_assert_uint_eq(ismi_get64(d.reply + HEAD + 8), token);
	ck_assert_uint_eq(query(&d, d.b, ISMI_QUERY_REFERRERS, 0, token, REPLY_MAX), 1);
	ck_assert_uint_eq(query(&d, d.c, ISMI_QUERY_REGIONS, 0, 0, REPLY_MAX), 0);
	says(&d, d.c, "8003 03000000 00000000 " ZERO T1, "02");

	d.privileged = d.c;	/* sees that it is there, and not what it is called */
	ck_assert_uint_eq(query(&d, d.c, ISMI_QUERY_REGIONS, 0, 0, REPLY_MAX), 1);
	ck_assert_uint_eq(ismi_get64(d.reply + HEAD + 8), 0);
	ck_assert_uint_eq(ismi_get64(d.reply + HEAD), 1);
	ck_assert_uint_eq(query(&d, d.c, ISMI_QUERY_REFERRERS, 0, token, REPLY_MAX), 1);

	d.privileged = NULL;
	ck_assert_int_eq(model_grant(d.a, token, R | A, d.c->devid), ISMI_OK);
	ck_assert_uint_eq(query(&d, d.c, ISMI_QUERY_REGIONS, 0, 0, REPLY_MAX), 0);	/* a grant alone shows nothing */
	ck_assert_int_eq(fake_try(d.c, token, R), ISMI_OK);
	ck_assert_uint_eq(query(&d, d.c, ISMI_QUERY_REGIONS, 0, 0, REPLY_MAX), 1);
	ck_assert_uint_eq(ismi_get64(d.reply + HEAD + 8), token);
	ck_assert_uint_eq(query(&d, d.c, ISMI_QUERY_REFERRERS, 0, token, REPLY_MAX), 2);
	desk_close(&d);
}
END_TEST

/* ------------------------------------------------------------------ pages */

enum { MANY = 23 };

/* A listing in pages of @per records (and a bit) must be this one. */
static void pages(struct desk *d, uint32_t what, uint64_t token, size_t record, size_t per, const uint64_t *keys, size_t nr)
{
	size_t cap = HEAD + per * record + (per % 3 == 0 ? record - 1 : 0), at = 0;
	uint64_t cursor = 0;

	do {
		uint32_t n = query(d, d->a, what, cursor, token, cap);
		if (n > per || (n < per && next_cursor(d) != 0) || at + n > nr)
			ck_abort_msg("%u records in a page of %zu", n, per);
		for (uint32_t i = 0; i < n; i++) {
			if (key(d, i) != keys[at++])
				ck_abort_msg("record %zu: %llu", at - 1, (unsigned long long)key(d, i));
		}
		cursor = next_cursor(d);
	} while (cursor != 0);
	ck_assert_uint_eq(at, nr);
}

START_TEST(listings_come_in_pages_of_any_size)
{
	uint64_t devices[MANY + 2], regions[MANY], referrers[MANY + 1], token = 0;
	struct desk d;

	desk_open(&d);
	devices[0] = d.a->devid;
	devices[1] = d.b->devid;
	for (uint32_t i = 0; i < MANY; i++) {
		/* Between them, some of another user that are not to be seen. */
		fake_device(&d.f, 3, 4);
		struct model_device *dev = fake_device(&d.f, 1, 4);
		devices[2 + i] = dev->devid;
		desk_hex(&d, d.c, "0000 0100000000000000", 100);
		if (i % 2)
			desk_hex(&d, d.c, "8000 0100000000000000 00000000 01000000 0000000000000000", 100);
		desk_hex(&d, dev, "0000 0100000000000000", 100);
		if (i == 0)
			token = d.call.ref[0]->token;
		else
			fake_attach(dev, token);
		regions[i] = model_region_find(&d.f.model, d.call.ref[0]->token)->serial;
		referrers[MANY - 1 - i] = dev->devid;	/* the newest stands first */
	}
	for (size_t per = 1; per <= MANY + 3; per++) {
		pages(&d, ISMI_QUERY_DEVICES, 0, 80, per, devices, MANY + 2);
		pages(&d, ISMI_QUERY_REGIONS, 0, 64, per, regions, MANY);
		pages(&d, ISMI_QUERY_REFERRERS, token, 24, per, referrers, MANY);
	}
	desk_close(&d);
}
END_TEST

START_TEST(a_listing_goes_on_although_its_last_entry_has_gone)
{
	struct desk d;

	desk_open(&d);
	for (int i = 0; i < 9; i++)
		desk_hex(&d, d.a, "0000 0100000000000000", 100);
	ck_assert_uint_eq(query(&d, d.a, ISMI_QUERY_REGIONS, 0, 0, HEAD + 3 * 64), 3);
	ck_assert_uint_eq(next_cursor(&d), 3);
	for (uint64_t t = 2; t <= 5; t++)
		ck_assert_int_eq(model_detach(d.a, 0x1122334455667700 + t), ISMI_OK);
	ck_assert_uint_eq(query(&d, d.a, ISMI_QUERY_REGIONS, 3, 0, HEAD + 9 * 64), 4);
	ck_assert_uint_eq(key(&d, 0), 6);
	ck_assert_uint_eq(next_cursor(&d), 0);
	desk_close(&d);
}
END_TEST

START_TEST(the_list_of_referrers_is_read_in_pieces)
{
	uint8_t req[18] = { 0x80, 0x04 };
	struct model_device *dev[MANY];
	struct desk d;

	desk_open(&d);
	desk_hex(&d, d.a, "0000 0100000000000000", 100);
	uint64_t token = d.call.ref[0]->token;
	for (int i = 0; i < MANY; i++)
		fake_attach(dev[i] = fake_device(&d.f, 2, 4), token);
	ismi_put64(req + 2, token);
	for (size_t per = 1; per <= MANY + 1; per++) {
		uint64_t at = 0, n;
		do {
			ismi_put64(req + 10, at);
			desk_send(&d, d.a, req, sizeof req, 17 + per * 16 + per % 16);
			n = ismi_get64(d.reply + 9);
			if (d.reply[0] != ISMI_OK || ismi_get64(d.reply + 1) != MANY || n > per || d.len != 17 + n * 16)
				ck_abort_msg("status %u, %llu in a page of %zu", d.reply[0], (unsigned long long)n, per);
			for (uint64_t i = 0; i < n; i++)
				ck_assert_uint_eq(ismi_get64(d.reply + 17 + i * 16), dev[MANY - 1 - at - i]->devid);
			at += n;
		} while (n > 0);
		ck_assert_uint_eq(at, MANY);
	}
	desk_close(&d);
}
END_TEST

Suite *control_query_suite(void)
{
	Suite *s = suite_create("control: query");
	TCase *tc = harness_tcase(s, "query", 300);

	tcase_add_test(tc, the_domain_is_described);
	tcase_add_test(tc, devices_are_described);
	tcase_add_test(tc, regions_are_described);
	tcase_add_test(tc, referrers_are_described);
	tcase_add_test(tc, what_cannot_be_asked_is_refused);
	tcase_add_test(tc, devices_of_other_users_are_seen_only_by_the_privileged);
	tcase_add_test(tc, regions_are_seen_by_their_user_their_referrers_and_the_privileged);
	tcase_add_test(tc, listings_come_in_pages_of_any_size);
	tcase_add_test(tc, a_listing_goes_on_although_its_last_entry_has_gone);
	tcase_add_test(tc, the_list_of_referrers_is_read_in_pieces);
	return s;
}

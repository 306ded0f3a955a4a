/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * control_host.c - QUERY: what the host allows, what has happened, and whose
 * devices there are.
 */
#include "base/bytes.h"
#include "control_desk.h"

#include <ism-version.h>

enum { HEAD = 1 + 16, HOST_RECORD = 208, USER_RECORD = 48, COUNTERS = 9 };

/* A record of these, in words of 64 bits. */
static uint64_t word(const struct desk *d, uint32_t record, uint32_t i)
{
	return ismi_get64(d->reply + HEAD + record + 8 * i);
}

static uint32_t half(const struct desk *d, uint32_t at)
{
	return ismi_get32(d->reply + HEAD + at);
}

static void ask_host(struct desk *d, struct model_device *dev)
{
	desk_hex(d, dev, "8003 05000000 00000000 0000000000000000 0000000000000000", REPLY_MAX);
	ck_assert_uint_eq(d->reply[0], ISMI_OK);
	ck_assert_uint_eq(d->len, HEAD + HOST_RECORD);
	ck_assert_uint_eq(ismi_get32(d->reply + 1), 1);
	ck_assert_uint_eq(ismi_get32(d->reply + 5), HOST_RECORD);
	ck_assert_uint_eq(ismi_get64(d->reply + 9), 0);
}

START_TEST(the_host_says_what_it_allows)
{
	struct desk d;

	desk_open(&d);
	d.f.model.device_quota = (struct model_quota){ 0x0102030405060708, 11, 15, 12, 13, 14 };
	d.f.model.user_quota = (struct model_quota){ 0x1112131415161718, 21, 25, 22, 23, 24 };
	desk_hex(&d, d.a, "0000 0100010000000000", 100);
	ask_host(&d, d.c);
	ck_assert_uint_eq(word(&d, 0, 0), 77);			/* gid */
	ck_assert_uint_eq(word(&d, 0, 1), 3);			/* devices */
	ck_assert_uint_eq(word(&d, 0, 2), 1);			/* regions */
	ck_assert_uint_eq(word(&d, 0, 3), 2 * CHUNK);
	ck_assert_uint_eq(word(&d, 0, 4), d.c->devid);
	ck_assert_uint_eq(half(&d, 40), 0x1a1b1c1d);		/* kind, uid */
	ck_assert_uint_eq(half(&d, 44), 0x2a2b2c2d);
	ck_assert_str_eq((const char *)d.reply + HEAD + 48, ISM_VERSION_STRING);
	/* bytes, regions, grants, attaches, doorbells per second, devices, 0 */
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t at = 64 + 32 * i;
		ck_assert_uint_eq(word(&d, at, 0), i ? 0x1112131415161718 : 0x0102030405060708);
		for (uint32_t k = 0; k < 5; k++)
			ck_assert_uint_eq(half(&d, at + 8 + 4 * k), 11 + k + 10 * i);
		ck_assert_uint_eq(half(&d, at + 28), 0);
	}
	desk_close(&d);
}
END_TEST

START_TEST(what_happens_is_counted_for_the_privileged)
{
	static const uint64_t unlimited[COUNTERS] = { 0 };
	struct desk d;

	desk_open(&d);
	d.privileged = d.b;
	desk_hex(&d, d.a, "8000 0100000000000000 00000000 02000000 0000000000000000", 200);
	desk_hex(&d, d.c, "0100 0177665544332211 03000000", 100);
	desk_hex(&d, d.c, "0100 0177665544332211 01000000", 100);	/* has it already */
	desk_hex(&d, d.c, "0100 1111111111111111 03000000", 100);	/* wrong token */
	desk_hex(&d, d.a, "0200 0277665544332211", 1);
	d.f.model.user_quota.regions = 1;
	desk_hex(&d, d.c, "0000 0100000000000000", 100);
	ck_assert_uint_eq(d.reply[0], ISMI_ENOSPC);
	d.f.model.device_quota.attach_rate = 1;
	for (int i = 0; i < 2; i++)
		desk_hex(&d, d.c, "0100 0177665544332211 01000000", 100);
	ck_assert_uint_eq(d.reply[0], ISMI_ENOSPC);
	d.f.model.device_quota.grants = 1;
	desk_hex(&d, d.a, "0301 0177665544332211 0500000000000000 0200000000000000", 1);
	desk_hex(&d, d.a, "0301 0177665544332211 0500000000000000 0300000000000000", 1);
	ck_assert_uint_eq(d.reply[0], ISMI_ENOSPC);
	d.f.model.user_quota.devices = 1;
	struct model_device *none;
	ck_assert_int_eq(model_device_add(&d.f.model, 2, 1 << 20, &none), ISMI_ENOSPC);

	ask_host(&d, d.b);
	ck_assert_uint_eq(half(&d, 128), 1);
	/* devices, allocs, attaches, detaches, refused, over a quota, commands (this one too), rings, kicks */
	const uint64_t want[COUNTERS] = { 3, 2, 1, 1, 1, 4, 11, 0, 0 };
	for (uint32_t i = 0; i < COUNTERS; i++)
		ck_assert_msg(word(&d, 136, i) == want[i], "counter %u: %llu", i, (unsigned long long)word(&d, 136, i));
	ask_host(&d, d.a);
	ck_assert_uint_eq(half(&d, 128), 0);
	ck_assert_mem_eq(d.reply + HEAD + 136, unlimited, sizeof unlimited);
	desk_close(&d);
}
END_TEST

/* Page through the users as @dev sees them; their number. */
static uint32_t ask_users(struct desk *d, struct model_device *dev, size_t per, uint32_t *uids)
{
	uint8_t req[26] = { 0x80, 0x03, ISMI_QUERY_USERS };
	uint32_t n = 0;
	uint64_t cursor = 0;

	do {
		ismi_put64(req + 10, cursor);
		desk_send(d, dev, req, sizeof req, HEAD + per * USER_RECORD);
		ck_assert_uint_eq(d->reply[0], ISMI_OK);
		ck_assert_uint_eq(ismi_get32(d->reply + 5), USER_RECORD);
		uint32_t nr = ismi_get32(d->reply + 1);
		ck_assert_uint_le(nr, per);
		for (uint32_t i = 0; i < nr; i++)
			uids[n++] = half(d, i * USER_RECORD + 8);
		cursor = ismi_get64(d->reply + 9);
	} while (cursor != 0);
	return n;
}

START_TEST(users_are_described)
{
	struct desk d;

	desk_open(&d);
	desk_hex(&d, d.c, "0000 0100010000000000", 100);
	desk_hex(&d, d.c, "0301 0177665544332211 0500000000000000 0100000000000000", 1);
	desk_hex(&d, d.c, "0100 1111111111111111 03000000", 100);
	d.f.model.device_quota.regions = 1;
	desk_hex(&d, d.c, "0000 0100000000000000", 100);
	/* key, uid, devices, regions, grants, bytes, refused attaches, over a quota */
	says(&d, d.c, "8003 06000000 00000000 0000000000000000 0000000000000000",
	     "00 01000000 30000000 0000000000000000"
	     "0300000000000000 02000000 01000000 01000000 01000000 0000020000000000 0100000000000000 0100000000000000");
	desk_close(&d);
}
END_TEST

START_TEST(users_are_seen_in_order_by_the_privileged)
{
	uint32_t uids[16];
	struct desk d;

	desk_open(&d);
	static const uint32_t more[] = { 0xffffffff, 0, 77, 5, 1000 };
	for (size_t i = 0; i < 5; i++)
		fake_device(&d.f, more[i], 4);
	ck_assert_uint_eq(ask_users(&d, d.a, 10, uids), 1);
	ck_assert_uint_eq(uids[0], 1);
	d.privileged = d.a;
	for (size_t per = 1; per < 10; per++) {
		static const uint32_t want[] = { 0, 1, 2, 5, 77, 1000, 0xffffffff };
		ck_assert_uint_eq(ask_users(&d, d.a, per, uids), 7);
		ck_assert_mem_eq(uids, want, sizeof want);
	}
	/* One who has gone is forgotten, unless its failures are not. */
	model_device_del(d.c);
	ck_assert_uint_eq(ask_users(&d, d.a, 10, uids), 6);
	desk_close(&d);
}
END_TEST

Suite *control_host_suite(void)
{
	Suite *s = suite_create("control: host");
	TCase *tc = harness_tcase(s, "host", 300);

	tcase_add_test(tc, the_host_says_what_it_allows);
	tcase_add_test(tc, what_happens_is_counted_for_the_privileged);
	tcase_add_test(tc, users_are_described);
	tcase_add_test(tc, users_are_seen_in_order_by_the_privileged);
	return s;
}

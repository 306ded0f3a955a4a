/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * control_replace.c - REPLACE and SUCCESSOR, byte for byte.
 */
#include "control_desk.h"

#define T1   "0177665544332211"	/* tokens, in the order of allocation */
#define T2   "0277665544332211"
#define ZERO "0000000000000000"
#define ONE  "0100000000000000"
#define K64  "0000010000000000"

/* Region T1 is a's, b and c are in it, and c has just lost all rights. */
static void fill(struct desk *d)
{
	desk_open(d);
	says(d, d->a, "0000 " ONE, "00 " T1 ONE ZERO K64);
	says(d, d->b, "0100 " T1 "03000000", "00 " ONE ZERO K64);
	says(d, d->c, "0100 " T1 "03000000", "00 " ONE ZERO K64);
	says(d, d->a, "0301 " T1 ZERO "0300000000000000", "00");
	fake_forget(&d->f);
}

START_TEST(a_replace_gives_the_successor)
{
	struct desk d;

	fill(&d);
	/* token, offset, size, slot, rights, event */
	says(&d, d.a, "8002 " T1 K64, "00 " T2 K64 K64 "01000000 0f000000 e100000000000000");
	ck_assert_uint_eq(d.call.nr_refs, 1);
	ck_assert_uint_eq(d.call.rights, RW);
	ck_assert_uint_eq(d.memories, 2);
	ck_assert_uint_eq(fake_count(&d.f, d.b, MODEL_MOVED, 1), 1);
	ck_assert_uint_eq(d.f.nr_said, 1);
	says(&d, d.b, "8008 " T1, "00 " T2 "01000000 00000000");
	says(&d, d.a, "8008 " T1, "00 " T2 "01000000 00000000");
	says(&d, d.c, "8008 " T1, "02");
	says(&d, d.b, "0100 " T2 "03000000", "00 " ONE K64 K64);
	says(&d, d.c, "0100 " T2 "03000000", "02");
	says(&d, d.a, "8002 " T1 K64, "02");			/* it has one */
	says(&d, d.b, "8002 " T2 K64, "64");			/* no manager */
	says(&d, d.a, "8008 " T2, "02");			/* none yet */
	says(&d, d.b, "0200 " T1, "00");			/* it has gone over */
	says(&d, d.a, "8008 " T1, "00 " T2 "01000000 00000000");
	says(&d, d.b, "0200 " T2, "00");			/* and away */
	says(&d, d.a, "8008 " T1, "00 " T2 "00000000 00000000");
	ck_assert_uint_eq(desk_hex(&d, d.a, "8008 " T1, 16), 1);
	ck_assert_uint_eq(d.reply[0], ISMI_E2BIG);
	desk_close(&d);
}
END_TEST

START_TEST(a_replace_that_cannot_be_is_refused)
{
	struct desk d;

	fill(&d);
	uint64_t before = desk_state(&d);
	says(&d, d.a, "8002 " T2 K64, "02");			/* no such region */
	says(&d, d.a, "8002 " T1 "0000020000000000", "ff");	/* of another size */
	says(&d, d.a, "8002 " T1 ZERO, "ff");
	d.memory_status = ISMI_ENOMEM;
	says(&d, d.a, "8002 " T1 K64, "0c");
	says(&d, d.a, "8008 " T1, "02");
	says(&d, d.a, "8008 " T2, "02");
	ck_assert_uint_eq(desk_state(&d), before);
	desk_close(&d);
}
END_TEST

START_TEST(memory_that_came_along_becomes_the_successors)
{
	struct desk d;

	fill(&d);
	desk_bring(&d, 2 * CHUNK);
	says(&d, d.a, "8002 " T1 K64, "ff");			/* of another size */
	desk_take_back(&d);
	desk_bring(&d, CHUNK);
	desk_bring(&d, CHUNK);
	says(&d, d.a, "8002 " T1 K64, "ff");			/* one too many */
	desk_take_back(&d);
	desk_bring(&d, CHUNK);
	const struct store *memory = d.memory[0];
	says(&d, d.b, "8002 " T1 K64, "64");
	ck_assert_ptr_eq(d.memory[0], memory);			/* still the caller's */
	says(&d, d.a, "8002 " T1 K64, "00 " T2 K64 K64 "01000000 0f000000 e100000000000000");
	ck_assert_ptr_null(d.memory[0]);
	ck_assert_ptr_eq(d.call.ref[0]->region->memory, memory);
	ck_assert_uint_eq(d.memories, 1);
	desk_close(&d);
}
END_TEST

START_TEST(huge_pages_stay_within_the_creators_user)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.a, "0000 " ONE, "00 " T1 ONE ZERO K64);
	says(&d, d.c, "0100 " T1 "03000000", "00 " ONE ZERO K64);
	says(&d, d.a, "0301 " T1 "0f00000000000000 0300000000000000", "00");
	desk_bring(&d, CHUNK);
	d.memory[0]->huge = true;
	says(&d, d.c, "8002 " T1 K64, "ff");
	ck_assert_ptr_nonnull(d.memory[0]);
	says(&d, d.a, "8002 " T1 K64, "00 " T2 K64 K64 "01000000 0f000000 e100000000000000");
	desk_close(&d);
}
END_TEST

/* Region T1 is c's, of another user, and b refers to it; a has no part in it. */
static void fill_others(struct desk *d)
{
	desk_open(d);
	says(d, d->c, "0000 " ONE, "00 " T1 ONE ZERO K64);
	says(d, d->b, "0100 " T1 "03000000", "00 " ONE ZERO K64);
	d->privileged = d->a;
	fake_forget(&d->f);
}

#define OUT(devid) "01000000 00000000" devid

START_TEST(the_hosts_user_shuts_out)
{
	struct desk d;

	fill_others(&d);
	says(&d, d.c, "8009 " T1 ZERO, "64");
	says(&d, d.c, "8009 " T2 ZERO, "64");			/* the same, whatever is there */
	says(&d, d.c, "8009 " T1 "ffffffff ffffffff", "64");
	says(&d, d.a, "0100 " T1 "03000000", "00 " ONE ZERO K64);
	says(&d, d.a, "0200 " T1, "00");
	/* token, offset, size, requested, event, slot, rights */
	says(&d, d.a, "8009 " T1 ZERO, "00 " T2 ZERO K64 ONE "e100000000000000 00000000 0d000000");
	ck_assert_uint_eq(d.call.nr_refs, 1);
	ck_assert_uint_eq(d.call.rights, MODEL_READ);
	ck_assert(!d.call.again);
	ck_assert_uint_eq(d.memories, 2);
	ck_assert_uint_eq(fake_count(&d.f, d.b, MODEL_MOVED, d.a->devid), 1);
	ck_assert_uint_eq(fake_count(&d.f, d.c, MODEL_MOVED, d.a->devid), 1);
	uint64_t before = desk_state(&d);
	says(&d, d.a, "8009 " T1 ZERO, "00 " T2 ZERO K64 ONE "e100000000000000 00000000 0d000000");
	ck_assert(d.call.again);				/* its answer was lost */
	says(&d, d.a, "8009 " T1 OUT("0200000000000000"), "72");
	ck_assert_uint_eq(desk_state(&d), before);
	says(&d, d.c, "0100 " T2 "03000000", "00 " ONE K64 K64);
	says(&d, d.b, "0100 " T2 "03000000", "00 " ONE K64 K64);
	says(&d, d.a, "0200 " T2, "00");
	says(&d, d.a, "8009 " T1 ZERO, "72");			/* not its own any more */
	desk_close(&d);
}
END_TEST

START_TEST(a_shutting_out_that_cannot_be_is_refused)
{
	struct desk d;

	fill_others(&d);
	uint64_t before = desk_state(&d);
	says(&d, d.a, "8009 " T2 ZERO, "02");
	says(&d, d.a, "8009 " T1 OUT("0300000000000000"), "16");	/* the creator */
	says(&d, d.a, "8009 " T1 OUT("0100000000000000"), "16");	/* itself */
	says(&d, d.a, "8009 " T1 OUT("0400000000000000"), "13");
	says(&d, d.a, "8009 " T1 "00000000 01000000", "ff");
	says(&d, d.a, "8009 " T1 "01000000 00000000", "ff");		/* said and not there */
	says(&d, d.a, "8009 " T1 "00000000 00000000" ONE, "ff");	/* there and not said */
	says(&d, d.a, "8009 " T1 OUT("0200000000000000") "00", "ff");
	says(&d, d.a, "8009 " T1 "ffffffff 00000000" ONE, "ff");
	says(&d, d.a, "8009 " T1 "41000000 00000000" ONE, "ff");
	d.memory_status = ISMI_ENOMEM;
	says(&d, d.a, "8009 " T1 ZERO, "0c");
	d.memory_status = ISMI_OK;
	desk_bring(&d, CHUNK);
	says(&d, d.a, "8009 " T1 ZERO, "ff");
	desk_take_back(&d);
	ck_assert_uint_eq(desk_hex(&d, d.a, "8009 " T1 ZERO, 48), 1);
	ck_assert_uint_eq(d.reply[0], ISMI_E2BIG);
	ck_assert_uint_eq(desk_state(&d), before);
	d.f.model.device_quota.bytes = CHUNK - 1;
	says(&d, d.a, "8009 " T1 OUT("0200000000000000"), "1c");
	desk_close(&d);
}
END_TEST

/* What is said of it in a listing, and to whom. */
START_TEST(a_listing_says_what_replaced_a_region_to_those_who_may_know)
{
#define LISTS(nr) "00 " nr "000000 40000000" ZERO
	/* serial, token, size, requested, creator, uid, referrers, default rights, flags, successor */
#define RECORD(serial, token, refs, rights, flags, next) \
	serial "00000000000000" token K64 ONE "0300000000000000 02000000" refs "000000" rights "000000" flags "000000" next
	static const char list[] = "8003 02000000 00000000 " ZERO ZERO;
	struct desk d;

	fill_others(&d);
	says(&d, d.a, "8009 " T1 OUT("0200000000000000"), "00 " T2 ZERO K64 ONE "e100000000000000 00000000 0d000000");
	/* The creator; the one shut out; the host's, which refers to the successor. */
	says(&d, d.c, list, LISTS("02") RECORD("01", T1, "02", "07", "02", T2) RECORD("02", T2, "01", "00", "00", ZERO));
	says(&d, d.b, list, LISTS("01") RECORD("01", T1, "02", "07", "00", ZERO));
	says(&d, d.a, list, LISTS("02") RECORD("01", ZERO, "02", "07", "02", T2) RECORD("02", T2, "01", "00", "00", ZERO));
	d.privileged = NULL;
	says(&d, d.a, list, LISTS("01") RECORD("02", T2, "01", "00", "00", ZERO));
	says(&d, d.a, "0200 " T2, "00");
	says(&d, d.a, list, LISTS("00"));
	says(&d, d.c, list, LISTS("01") RECORD("01", T1, "02", "07", "02", ZERO));
	desk_close(&d);
}
END_TEST

Suite *control_replace_suite(void)
{
	Suite *s = suite_create("control: replace");
	TCase *tc = harness_tcase(s, "replace", 300);

	tcase_add_test(tc, a_replace_gives_the_successor);
	tcase_add_test(tc, a_replace_that_cannot_be_is_refused);
	tcase_add_test(tc, memory_that_came_along_becomes_the_successors);
	tcase_add_test(tc, huge_pages_stay_within_the_creators_user);
	tcase_add_test(tc, the_hosts_user_shuts_out);
	tcase_add_test(tc, a_shutting_out_that_cannot_be_is_refused);
	tcase_add_test(tc, a_listing_says_what_replaced_a_region_to_those_who_may_know);
	return s;
}

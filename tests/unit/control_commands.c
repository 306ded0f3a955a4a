/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * control_commands.c - each command, byte for byte.
 */
#include "control_desk.h"

#define T1   "0177665544332211"	/* tokens, in the order of allocation */
#define T2   "0277665544332211"
#define T3   "0377665544332211"
#define ZERO "0000000000000000"
#define ONE  "0100000000000000"
#define K64  "0000010000000000"

static const int64_t MS = 1000000;

/* ------------------------------------------------------------------ the proposal's */

START_TEST(an_alloc_gives_a_token_and_one_area)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.a, "0000 " ONE, "00 " T1 ONE ZERO K64);
	ck_assert_uint_eq(d.call.nr_refs, 1);
	ck_assert_ptr_eq(d.call.ref[0], model_ref_find(d.a, 0x1122334455667701));
	ck_assert_uint_eq(d.call.rights, RW);
	ck_assert_uint_eq(d.memories, 1);
	says(&d, d.a, "0000 0100010000000000", "00 " T2 ONE K64 "0000020000000000");
	says(&d, d.a, "0000 " K64, "00 " T3 ONE "0000030000000000" K64);
	ck_assert_uint_eq(model_region_find(&d.f.model, 0x1122334455667702)->requested, 65537);
	says(&d, d.a, "0000 " ZERO, "ff");
	says(&d, d.a, "0000 0100100000000000", "07");		/* 16 chunks and a byte */
	says(&d, d.a, "0000 ffffffffffffffff", "07");
	says(&d, d.a, "0000 0000100000000000", "1c");		/* as large as the window, which has no room */
	d.memory_status = ISMI_ENOMEM;
	says(&d, d.a, "0000 " ONE, "0c");
	ck_assert_uint_eq(d.call.nr_refs, 0);
	ck_assert_uint_eq(d.a->used.regions, 3);
	ck_assert_uint_eq(d.memories, 4);			/* that of the fourth was let go of */
	desk_close(&d);
}
END_TEST

START_TEST(memory_that_came_along_becomes_the_regions)
{
	struct desk d;

	desk_open(&d);
	desk_bring(&d, 2 * CHUNK);
	desk_bring(&d, CHUNK);
	const struct store *first = d.memory[0];
	says(&d, d.a, "0000 " ONE, "ff");			/* of another size */
	ck_assert_ptr_eq(d.memory[0], first);
	d.f.model.device_quota.bytes = CHUNK;
	says(&d, d.a, "0000 0100010000000000", "1c");
	ck_assert_ptr_eq(d.memory[0], first);
	d.f.model.device_quota.bytes = 0;
	says(&d, d.a, "0000 0100010000000000", "00 " T2 ONE ZERO "0000020000000000");
	ck_assert_ptr_null(d.memory[0]);
	ck_assert_ptr_nonnull(d.memory[1]);			/* one too many stays whose it is */
	ck_assert_ptr_eq(d.call.ref[0]->region->memory, first);
	ck_assert_uint_eq(d.memories, 0);
	desk_close(&d);
}
END_TEST

START_TEST(an_attach_gives_one_area)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.b, "0000 " ONE, "00 " T1 ONE ZERO K64);
	says(&d, d.a, "0000 " ONE, "00 " T2 ONE ZERO K64);
	says(&d, d.b, "0100 " T2 "01000000", "00 " ONE K64 K64);
	ck_assert_uint_eq(d.call.nr_refs, 1);
	ck_assert_uint_eq(d.call.rights, R);
	ck_assert_int_eq(d.call.delay_ns, 0);
	ck_assert_ptr_null(d.call.refused);
	says(&d, d.c, "0100 " T2 "03000000 00000000", "00 " ONE ZERO K64);	/* padded */
	ck_assert_uint_eq(d.call.rights, RW);
	says(&d, d.c, "0100 " T1 "03000000 ffffffff", "00 " ONE K64 K64);	/* whatever the padding is */
	says(&d, d.b, "0100 " T2 "03000000", "00 " ONE K64 K64);		/* again: the same place */
	ck_assert_uint_eq(model_ref_find(d.b, 0x1122334455667702)->rights, RW);
	for (int i = 0; i < 8; i++) {
		char req[40];
		sprintf(req, "0100 " T2 "0%d000000", i);
		desk_hex(&d, d.b, req, 64);
		ck_assert_uint_eq(d.reply[0], i == 1 || i == 3 ? ISMI_OK : ISMI_ERR);
	}
	says(&d, d.b, "0100 " T2 "03000001", "ff");
	desk_close(&d);
}
END_TEST

START_TEST(a_refused_attach_says_why_to_the_host_alone)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.a, "0000 " ONE, "00 " T1 ONE ZERO K64);
	says(&d, d.c, "0100 " T2 "01000000", "02");
	ck_assert_int_eq(d.call.delay_ns, MS);
	ck_assert_ptr_nonnull(d.call.refused);
	ck_assert_uint_eq(d.call.nr_refs, 0);
	says(&d, d.a, "0301 " T1 "0100000000000000 0300000000000000", "00");
	says(&d, d.c, "0100 " T1 "01000000", "64");
	ck_assert_int_eq(d.call.delay_ns, 2 * MS);
	says(&d, d.a, "0301 " T1 "0400000000000000 0300000000000000", "00");
	says(&d, d.c, "0100 " T1 "01000000", "65");
	says(&d, d.a, "0301 " T1 "0500000000000000 0300000000000000", "00");
	says(&d, d.c, "0100 " T1 "03000000", "66");
	ck_assert_int_eq(d.call.delay_ns, 8 * MS);
	ck_assert_ptr_nonnull(d.call.refused);
	says(&d, d.a, "0301 " T1 "0000000000000000 0300000000000000", "00");
	says(&d, d.c, "0100 " T1 "01000000", "02");
	ck_assert_uint_eq(d.c->used.failed_total, 5);
	/* A quota is no refusal. */
	d.f.model.device_quota.regions = 1;
	says(&d, d.b, "0000 " ONE, "00 " T2 ONE ZERO K64);
	says(&d, d.b, "0100 " T1 "01000000", "1c");
	ck_assert_int_eq(d.call.delay_ns, 0);
	ck_assert_ptr_null(d.call.refused);
	desk_close(&d);
}
END_TEST

START_TEST(a_detach_ends_what_is_attached)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.a, "0200 " T1, "02");
	says(&d, d.a, "0000 " ONE, "00 " T1 ONE ZERO K64);
	says(&d, d.b, "0200 " T1, "02");
	says(&d, d.a, "0200 " T1, "00");
	says(&d, d.a, "0200 " T1, "02");
	ck_assert_uint_eq(d.f.freed, 1);
	desk_close(&d);
}
END_TEST

START_TEST(the_default_is_granted)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.a, "0000 " ONE, "00 " T1 ONE ZERO K64);
	const struct model_region *r = model_region_find(&d.f.model, 0x1122334455667701);
	says(&d, d.a, "0300 " T1 "0500000000000000", "00");
	ck_assert_uint_eq(r->default_rights, R | A);
	says(&d, d.a, "0300 " T1 "0200000000000000", "ff");	/* WRITE without READ */
	says(&d, d.a, "0300 " T1 "1500000000000000", "ff");	/* CLEAN_DEFAULT is for devices */
	says(&d, d.a, "0300 " T1 "0500000001000000", "ff");	/* the upper half counts too */
	says(&d, d.b, "0300 " T1 "0500000000000000", "02");
	says(&d, d.b, "0100 " T1 "01000000", "00 " ONE ZERO K64);
	says(&d, d.b, "0300 " T1 "0500000000000000", "64");
	ck_assert_uint_eq(r->default_rights, R | A);
	desk_close(&d);
}
END_TEST

START_TEST(a_device_is_granted)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.a, "0000 " ONE, "00 " T1 ONE ZERO K64);
	struct model_region *r = model_region_find(&d.f.model, 0x1122334455667701);
	says(&d, d.a, "0301 " T1 "1d00000000000000 0200000000000000", "00");
	ck_assert_uint_eq(model_rights(d.b, r), R | A | M);
	ck_assert_uint_eq(r->default_rights, 0);
	says(&d, d.a, "0301 " T1 "0500000000000000 0100000000000000", "64");	/* the creator's */
	says(&d, d.a, "0301 " T1 "0500000000000000 6300000000000000", "02");	/* nobody's */
	says(&d, d.a, "0301 " T1 "0500000000000000 0000000000000000", "02");
	says(&d, d.a, "0301 " T2 "0500000000000000 0200000000000000", "02");
	says(&d, d.a, "0301 " T1 "2000000000000000 0200000000000000", "ff");
	says(&d, d.b, "0100 " T1 "01000000", "00 " ONE ZERO K64);
	says(&d, d.b, "0301 " T1 "0700000000000000 0300000000000000", "64");	/* more than it has */
	d.f.model.device_quota.grants = 1;
	says(&d, d.a, "0301 " T1 "0500000000000000 0300000000000000", "1c");
	desk_close(&d);
}
END_TEST

START_TEST(a_vector_is_asked_for_and_given_up)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.a, "0000 " ONE, "00 " T1 ONE ZERO K64);
	says(&d, d.a, "0400 " T1 ONE, "00");
	ck_assert(d.vector_on);
	says(&d, d.a, "0400 " T1 ZERO, "00");
	ck_assert(!d.vector_on);
	says(&d, d.a, "0400 " T1 "0000000001000000", "00");
	ck_assert(d.vector_on);
	says(&d, d.b, "0400 " T1 ONE, "02");
	ck_assert_uint_eq(d.vectors, 3);
	d.vector_status = ISMI_ENOMEM;
	says(&d, d.a, "0400 " T1 ONE, "0c");
	desk_close(&d);
}
END_TEST

/* ------------------------------------------------------------------ ours */

START_TEST(an_alloc_ex_gives_all_that_a_driver_needs)
{
	struct desk d;

	desk_open(&d);
	/* 65,537 bytes, of which 5 count; private; two of them */
	says(&d, d.b, "8000 0100010000000000 01000000 02000000 0500000000000000",
	     "00 " T1 ZERO "0000020000000000 00000000 00000000 e200000000000000"
	     "   " T2 "0000020000000000 0000020000000000 01000000 00000000 e200000000000000");
	ck_assert_uint_eq(d.call.nr_refs, 2);
	const struct model_region *r = d.call.ref[1]->region;
	ck_assert_uint_eq(r->requested, 5);
	ck_assert_uint_eq(r->default_rights, 0);
	says(&d, d.a, "8000 0700000000000000 00000000 01000000 0000000000000000",
	     "00 " T3 ZERO K64 "00000000 00000000 e100000000000000");
	r = d.call.ref[0]->region;
	ck_assert_uint_eq(r->requested, 7);
	ck_assert_uint_eq(r->default_rights, RW | A);
	desk_close(&d);
}
END_TEST

START_TEST(an_alloc_ex_that_cannot_be_is_refused)
{
	uint64_t before;
	struct desk d;

	desk_open(&d);
	before = desk_state(&d);
	says(&d, d.a, "8000 0100000000000000 00000000 00000000 0000000000000000", "ff");	/* none */
	says(&d, d.a, "8000 0100000000000000 00000000 41000000 0000000000000000", "ff");	/* 65 */
	says(&d, d.a, "8000 0100000000000000 02000000 01000000 0000000000000000", "ff");	/* unknown flag */
	says(&d, d.a, "8000 0100000000000000 01000080 01000000 0000000000000000", "ff");
	says(&d, d.a, "8000 0000000000000000 00000000 01000000 0000000000000000", "ff");
	says(&d, d.a, "8000 0100100000000000 00000000 01000000 0000000000000000", "07");
	ck_assert_uint_eq(desk_state(&d), before);
	says(&d, d.a, "8000 0100000000000000 00000000 01000000 0200000000000000", "ff");	/* asked for more */
	ck_assert_uint_eq(d.a->used.regions, 0);
	desk_bring(&d, CHUNK);
	says(&d, d.a, "8000 0100000000000000 00000000 02000000 0000000000000000", "ff");	/* two of one */
	desk_bring(&d, CHUNK);
	says(&d, d.a, "8000 0100000000000000 00000000 01000000 0000000000000000", "ff");	/* one of two */
	ck_assert(d.memory[0] != NULL && d.memory[1] != NULL);
	desk_close(&d);
}
END_TEST

START_TEST(a_batch_is_made_whole_or_not_at_all)
{
	struct desk d;

	desk_open(&d);
	d.f.model.device_quota.regions = 4;
	says(&d, d.a, "0000 " ONE, "00 " T1 ONE ZERO K64);
	says(&d, d.a, "8000 0100000000000000 00000000 04000000 0000000000000000", "1c");
	ck_assert_uint_eq(d.call.nr_refs, 0);
	ck_assert_uint_eq(d.a->used.regions, 1);
	ck_assert_uint_eq(d.f.model.nr_regions, 1);
	ck_assert_uint_eq(d.f.freed, 3);
	ck_assert_uint_eq(d.f.nr_said, 0);
	/* The third of these has another size: the first two go with their regions, the rest is still the caller's. */
	for (int i = 0; i < 3; i++)
		desk_bring(&d, i == 2 ? 2 * CHUNK : CHUNK);
	says(&d, d.a, "8000 0100000000000000 00000000 03000000 0000000000000000", "ff");
	ck_assert_ptr_null(d.memory[0]);
	ck_assert_ptr_null(d.memory[1]);
	ck_assert_ptr_nonnull(d.memory[2]);
	ck_assert_uint_eq(d.a->used.regions, 1);
	desk_take_back(&d);
	d.f.model.device_quota.regions = 0;
	desk_hex(&d, d.a, "8000 0100000000000000 00000000 0f000000 0000000000000000", REPLY_MAX);
	ck_assert_uint_eq(d.len, 1 + 15 * 40);
	ck_assert_uint_eq(d.a->window.nr_free, 0);
	desk_close(&d);
}
END_TEST

START_TEST(an_attach_ex_gives_all_that_a_driver_needs)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.b, "0000 " ONE, "00 " T1 ONE ZERO K64);
	says(&d, d.a, "8000 0300010000000000 00000000 01000000 0200000000000000",
	     "00 " T2 ZERO "0000020000000000 00000000 00000000 e100000000000000");
	/* offset, size, requested, creator, event position, slot, rights, peers */
	says(&d, d.b, "8001 " T2 "01000000 00000000",
	     "00 0000010000000000 0000020000000000 0200000000000000 0100000000000000 e200000000000000 01000000 07000000 "
	     "0100000000000000");
	ck_assert_uint_eq(d.call.rights, R);
	says(&d, d.c, "8001 " T2 "03000000 00000000",
	     "00 0000000000000000 0000020000000000 0200000000000000 0100000000000000 e300000000000000 00000000 07000000 "
	     "0200000000000000");
	says(&d, d.a, "8001 " T2 "03000000 00000000",
	     "00 0000000000000000 0000020000000000 0200000000000000 0100000000000000 e100000000000000 00000000 0f000000 "
	     "0200000000000000");
	says(&d, d.a, "8001 " T2 "03000000 00000001", "ff");
	says(&d, d.a, "8001 " T2 "02000000 00000000", "ff");
	says(&d, d.a, "8001 " T3 "03000000 00000000", "02");
	ck_assert_int_eq(d.call.delay_ns, MS);
	desk_close(&d);
}
END_TEST

START_TEST(the_other_referrers_are_listed)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.a, "0000 " ONE, "00 " T1 ONE ZERO K64);
	says(&d, d.a, "8004 " T1 ZERO, "00 " ZERO ZERO);
	says(&d, d.b, "8004 " T1 ZERO, "02");
	says(&d, d.b, "0000 " ONE, "00 " T2 ONE ZERO K64);
	says(&d, d.b, "0100 " T1 "03000000", "00 " ONE K64 K64);
	says(&d, d.a, "8004 " T1 ZERO, "00 " ONE ONE "0200000000000000 ffffffff 00000000");
	d.linkable = true;
	says(&d, d.a, "8004 " T1 ZERO, "00 " ONE ONE "0200000000000000 01000000 00000000");
	says(&d, d.a, "8004 " T1 ONE, "00 " ONE ZERO);
	says(&d, d.a, "8004 " T1 "ffffffffffffffff", "00 " ONE ZERO);
	says(&d, d.a, "0300 " T1 "0500000000000000", "00");
	says(&d, d.a, "8004 " T1 ZERO, "00 " ONE ONE "0200000000000000 01000000 01000000");	/* shut out */
	says(&d, d.b, "8004 " T1 ZERO, "00 " ONE ONE "0100000000000000 00000000 00000000");
	desk_close(&d);
}
END_TEST

START_TEST(a_link_has_a_number_and_an_id)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.a, "8005 0300000000000000", "00 44434241 00000000 0300000001000000");
	says(&d, d.c, "8005 0100000000000000", "00 44434241 00000000 0100000003000000");
	says(&d, d.a, "8005 0100000000000000", "02");		/* itself */
	says(&d, d.a, "8005 0000000000000000", "02");
	says(&d, d.a, "8005 0400000000000000", "02");
	ck_assert_uint_eq(d.links, 2);
	d.link_status = ISMI_ENOSPC;
	says(&d, d.a, "8005 0300000000000000", "1c");
	d.link_status = ISMI_ERR;
	says(&d, d.a, "8005 0300000000000000", "ff");
	desk_close(&d);
}
END_TEST

START_TEST(a_device_is_kicked_by_the_privileged)
{
	struct desk d;

	desk_open(&d);
	says(&d, d.a, "8007 0200000000000000", "64");
	says(&d, d.a, "8007 0900000000000000", "64");		/* nobody learns who is there */
	says(&d, d.a, "8007 0100000000000000", "64");
	d.privileged = d.a;
	says(&d, d.a, "8007 0900000000000000", "02");
	says(&d, d.a, "8007 0000000000000000", "02");
	says(&d, d.a, "8007 0100000000000000", "ff");		/* itself */
	ck_assert_uint_eq(d.kicks, 0);
	says(&d, d.a, "8007 0300000000000000", "00");
	ck_assert_uint_eq(d.kicks, 1);
	ck_assert_uint_eq(d.kicked, 3);
	ck_assert_uint_eq(d.kicked_by, 1);
	d.kick_status = ISMI_ERR;
	says(&d, d.a, "8007 0300000000000000", "ff");
	desk_close(&d);
}
END_TEST

START_TEST(huge_pages_stay_within_a_user)
{
	struct desk d;

	desk_open(&d);
	desk_bring(&d, CHUNK);
	d.memory[0]->huge = true;
	says(&d, d.a, "0000 " ONE, "00 " T1 ONE ZERO K64);
	desk_take_back(&d);
	says(&d, d.b, "0100 " T1 "03000000", "00 " ONE ZERO K64);
	says(&d, d.c, "0100 " T1 "01000000", "64");
	ck_assert_ptr_nonnull(d.call.refused);
	ck_assert_uint_eq(d.call.nr_refs, 0);
	ck_assert_uint_eq(d.c->used.regions, 0);
	says(&d, d.c, "8001 " T1 "01000000 00000000", "64");
	desk_close(&d);
}
END_TEST

Suite *control_commands_suite(void)
{
	Suite *s = suite_create("control: commands");
	TCase *tc = harness_tcase(s, "commands", 300);

	tcase_add_test(tc, an_alloc_gives_a_token_and_one_area);
	tcase_add_test(tc, memory_that_came_along_becomes_the_regions);
	tcase_add_test(tc, an_attach_gives_one_area);
	tcase_add_test(tc, a_refused_attach_says_why_to_the_host_alone);
	tcase_add_test(tc, a_detach_ends_what_is_attached);
	tcase_add_test(tc, the_default_is_granted);
	tcase_add_test(tc, a_device_is_granted);
	tcase_add_test(tc, a_vector_is_asked_for_and_given_up);
	tcase_add_test(tc, an_alloc_ex_gives_all_that_a_driver_needs);
	tcase_add_test(tc, an_alloc_ex_that_cannot_be_is_refused);
	tcase_add_test(tc, a_batch_is_made_whole_or_not_at_all);
	tcase_add_test(tc, an_attach_ex_gives_all_that_a_driver_needs);
	tcase_add_test(tc, the_other_referrers_are_listed);
	tcase_add_test(tc, a_link_has_a_number_and_an_id);
	tcase_add_test(tc, a_device_is_kicked_by_the_privileged);
	tcase_add_test(tc, huge_pages_stay_within_a_user);
	return s;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * control_batch.c - ATTACH_BATCH and DETACH_BATCH, byte for byte, and what becomes of pooled regions.
 */
#include "control_desk.h"

#include "base/bytes.h"

#define T1   "0177665544332211"	/* tokens, in the order of allocation */
#define T2   "0277665544332211"
#define T3   "0377665544332211"
#define T4   "0477665544332211"
#define ZERO "0000000000000000"
#define ONE  "0100000000000000"
#define K64  "0000010000000000"
#define KEEP ONE
#define ROW  "03000000"
#define EV_A "e100000000000000"	/* where the events of a and b are */
#define EV_B "e200000000000000"

/* Two regions of a's for b. */
static void fill(struct desk *d)
{
	desk_open(d);
	says(d, d->a, "8000 " ONE "01000000 02000000 " ONE "0200000000000000",
	     "00 " T1 ZERO K64 "00000000 00000000" EV_A T2 K64 K64 "01000000 00000000" EV_A);
	fake_forget(&d->f);
}

static uint32_t flags_of(const struct desk *d, unsigned int i)
{
	return d->reply[1 + i * ISMI_ATTACH_BATCH_AREA + ISMI_BATCH_KEEP + 8];
}

static bool attach_both(struct desk *d, const char *flags)
{
	char req[128];

	snprintf(req, sizeof req, "800a " ROW "02000000 %s" T1 T2, flags);
	return desk_hex(d, d->b, req, REPLY_MAX) == 1 + 2 * ISMI_ATTACH_BATCH_AREA && d->reply[0] == ISMI_OK;
}

START_TEST(regions_are_attached_together)
{
	struct desk d;

	fill(&d);
	says(&d, d.b, "800a " ROW "02000000 " ZERO T1 T2,
	     "00 " ZERO K64 ONE ONE EV_B "00000000 07000000" ONE ZERO "00000000 00000000"
	     K64 K64 ONE ONE EV_B "01000000 07000000" ONE ZERO "00000000 00000000");
	ck_assert_uint_eq(d.call.nr_refs, 2);
	ck_assert_uint_eq(d.call.again, 0);
	ck_assert_uint_eq(fake_count(&d.f, d.a, MODEL_CAME, 2), 2);
	/* Again, and one of them twice. */
	ck_assert_uint_eq(desk_hex(&d, d.b, "800a 01000000 03000000 " ZERO T1 T2 T2, REPLY_MAX), 1 + 3 * 72);
	ck_assert_uint_eq(d.call.nr_refs, 3);
	ck_assert_uint_eq(d.call.again, 7);
	ck_assert_uint_eq(d.b->used.regions, 2);
	desk_close(&d);
}
END_TEST

START_TEST(all_or_none)
{
	struct desk d;

	fill(&d);
	says(&d, d.b, "800a " ROW "01000000 " ZERO T2, "00 " ZERO K64 ONE ONE EV_B "00000000 07000000" ONE ZERO ZERO);
	uint64_t refs = d.b->used.regions;
	says(&d, d.b, "800a " ROW "03000000 " ZERO T1 T2 T3, "02");
	ck_assert_int_gt(d.call.delay_ns, 0);
	ck_assert_uint_eq(d.call.nr_refs, 0);
	ck_assert_uint_eq(d.b->used.regions, refs);
	ck_assert_ptr_nonnull(model_ref_find(d.b, 0x1122334455667702));
	ck_assert_ptr_null(model_ref_find(d.b, 0x1122334455667701));
	/* Twice in one that fails: it goes once. */
	says(&d, d.b, "800a " ROW "03000000 " ZERO T1 T1 T3, "02");
	ck_assert_ptr_null(model_ref_find(d.b, 0x1122334455667701));
	desk_close(&d);
}
END_TEST

START_TEST(what_is_no_batch_is_refused)
{
	struct desk d;

	fill(&d);
	uint64_t before = desk_state(&d);
	says(&d, d.b, "800a " ROW "00000000 " ZERO, "ff");
	says(&d, d.b, "800a " ROW "01000000 " ZERO T1 T2, "ff");	/* two where one is said */
	says(&d, d.b, "800a " ROW "01000020 " ZERO T1, "ff");		/* 2^29 + 1, of 8 bytes each */
	says(&d, d.b, "800a " ROW "01000000 0200000000000000" T1, "ff");	/* an unknown flag */
	says(&d, d.b, "800a 02000000 01000000 " ZERO T1, "ff");		/* to write and not to read */
	says(&d, d.a, "800b 02000000 01000000 " ZERO T1, "ff");		/* more to renew than there are */
	says(&d, d.a, "800b 00000000 01000000 " ONE T1, "ff");
	ck_assert_uint_eq(desk_hex(&d, d.b, "800a " ROW "02000000 " ZERO T1 T2, 1 + 2 * 72 - 1), 1);
	ck_assert_uint_eq(d.reply[0], ISMI_E2BIG);
	ck_assert_uint_eq(desk_hex(&d, d.a, "800b 00000000 02000000 " ZERO T1 T2, 1 + 2 * 16 - 1), 1);
	ck_assert_uint_eq(d.reply[0], ISMI_E2BIG);
	d.a->confined = d.b->confined = true;				/* guests */
	says(&d, d.b, "800a " ROW "01000000 " ZERO T1, "ff");
	says(&d, d.a, "800b 00000000 01000000 " ZERO T1, "ff");
	d.a->confined = d.b->confined = false;
	ck_assert_uint_eq(desk_state(&d), before);
	desk_close(&d);
}
END_TEST

START_TEST(regions_are_let_go_of_together)
{
	struct desk d;

	fill(&d);
	ck_assert(attach_both(&d, ZERO));
	/* One that it does not refer to is none of its business. */
	says(&d, d.b, "800b 00000000 03000000 " ZERO T2 T3 T1, "00 " ZERO EV_B ZERO EV_B ZERO EV_B);
	ck_assert_uint_eq(d.b->used.regions, 0);
	ck_assert_uint_eq(fake_count(&d.f, d.a, MODEL_WENT, 2), 2);
	desk_close(&d);
}
END_TEST

START_TEST(a_pooled_region_becomes_the_next_one)
{
	struct desk d;

	fill(&d);
	const void *memory = model_region_find(&d.f.model, 0x1122334455667701)->memory;
	ck_assert(attach_both(&d, ZERO));
	/* The peer has the second one still. */
	says(&d, d.b, "0200 " T1, "00");
	says(&d, d.a, "800b 02000000 02000000 " ZERO T1 T2, "00 " T3 EV_A ZERO EV_A);
	const struct model_region *next = model_region_find(&d.f.model, 0x1122334455667703);
	ck_assert_ptr_eq(next->memory, memory);
	ck_assert_uint_eq(d.a->used.regions, 1);
	ck_assert_ptr_null(model_region_find(&d.f.model, 0x1122334455667701));
	says(&d, d.b, "8001 " T1 "03000000 00000000", "02");
	says(&d, d.c, "8001 " T3 "03000000 00000000", "02");
	says(&d, d.b, "8001 " T3 "03000000 00000000", "00 " ZERO K64 ONE ONE EV_B "00000000 07000000" ONE);
	desk_close(&d);
}
END_TEST

/* In each of these somebody else may have seen it, or may still. */
START_TEST(what_others_have_to_do_with_is_not_renewed)
{
	static const char *const ask[] = {
		"0300 " T1 "0500000000000000",			/* anybody may attach it */
		"0301 " T1 "0500000000000000 0300000000000000",	/* c may */
		"0301 " T1 "0100000000000000 0200000000000000",	/* b may less than before */
		"8002 " T1 K64,					/* it has been replaced */
	};
	struct desk d;

	for (size_t i = 0; i < sizeof ask / sizeof ask[0]; i++) {
		fill(&d);
		desk_hex(&d, d.a, ask[i], REPLY_MAX);
		ck_assert_uint_eq(d.reply[0], ISMI_OK);
		desk_hex(&d, d.a, "800b 01000000 01000000 " ZERO T1, REPLY_MAX);
		ck_assert_msg(ismi_get64(d.reply + 1) == 0, "%s", ask[i]);
		ck_assert_ptr_null(model_ref_find(d.a, 0x1122334455667701));
		desk_close(&d);
	}
	/* Not its creator, and not a pooled one. */
	fill(&d);
	ck_assert(attach_both(&d, ZERO));
	says(&d, d.b, "800b 01000000 01000000 " ZERO T1, "00 " ZERO EV_B);
	says(&d, d.a, "0000 " ONE, "00 " T3 ONE "0000020000000000" K64);
	says(&d, d.a, "800b 01000000 01000000 " ZERO T3, "00 " ZERO EV_A);
	/* The peer has gone: for whom would it be? */
	model_device_del(d.b);
	d.b = NULL;
	says(&d, d.a, "800b 01000000 01000000 " ZERO T1, "00 " ZERO EV_A);
	desk_close(&d);
}
END_TEST

START_TEST(what_the_peer_has_mapped_is_not_sent_again)
{
	struct desk d;

	fill(&d);
	ck_assert(attach_both(&d, KEEP));
	ck_assert_uint_eq(d.call.have, 0);
	ck_assert_uint_eq(ismi_get64(d.reply + 1 + ISMI_BATCH_KEEP), 1);
	ck_assert_uint_eq(ismi_get64(d.reply + 1 + ISMI_ATTACH_BATCH_AREA + ISMI_BATCH_KEEP), 2);
	says(&d, d.b, "800b 00000000 02000000 " ZERO T1 T2, "00 " ZERO EV_B ZERO EV_B);
	says(&d, d.a, "800b 02000000 02000000 " ZERO T2 T1, "00 " T3 EV_A T4 EV_A);
	/* In another order: the same memory at the same place. */
	says(&d, d.b, "800a " ROW "02000000 " KEEP T4 T3,
	     "00 " ZERO K64 ONE ONE EV_B "00000000 07000000" ONE ONE "01000000 00000000"
	     K64 K64 ONE ONE EV_B "01000000 07000000" ONE "0200000000000000 01000000 00000000");
	ck_assert_uint_eq(d.call.have, 3);
	/* One that has them attached asks again: it has them. */
	says(&d, d.b, "0200 " T4, "00");
	says(&d, d.a, "800b 01000000 01000000 " ZERO T4, "00 0577665544332211" EV_A);
	/* With other rights, or its place taken by another: not. */
	desk_hex(&d, d.b, "800a 01000000 01000000 " KEEP "0577665544332211", REPLY_MAX);
	ck_assert_uint_eq(flags_of(&d, 0), 0);
	says(&d, d.b, "0200 0577665544332211", "00");
	says(&d, d.a, "800b 01000000 01000000 " ZERO "0577665544332211", "00 0677665544332211" EV_A);
	says(&d, d.b, "0000 " ONE, "00 0777665544332211" ONE ZERO K64);
	desk_hex(&d, d.b, "800a 01000000 01000000 " KEEP "0677665544332211", REPLY_MAX);
	ck_assert_uint_eq(flags_of(&d, 0), 0);
	desk_close(&d);
}
END_TEST

/* Of others' regions nothing is kept, and who does not say that it keeps is sent everything. */
START_TEST(what_is_not_pooled_is_not_kept)
{
	struct desk d;

	fill(&d);
	for (int i = 0; i < 2; i++) {
		ck_assert(attach_both(&d, ZERO));
		ck_assert_uint_eq(ismi_get64(d.reply + 1 + ISMI_BATCH_KEEP), 0);
		says(&d, d.b, "800b 00000000 02000000 " ZERO T1 T2, "00 " ZERO EV_B ZERO EV_B);
	}
	says(&d, d.a, "0000 " ONE, "00 " T3 ONE "0000020000000000" K64);
	for (int i = 0; i < 2; i++) {
		says(&d, d.c, "800a " ROW "01000000 " KEEP T3,
		     "00 " ZERO K64 ONE ONE "e300000000000000 00000000 07000000" ONE ZERO ZERO);
		says(&d, d.c, "0200 " T3, "00");
	}
	desk_close(&d);
}
END_TEST

Suite *control_batch_suite(void)
{
	Suite *s = suite_create("control: batches");
	TCase *tc = harness_tcase(s, "batches", 300);

	tcase_add_test(tc, regions_are_attached_together);
	tcase_add_test(tc, all_or_none);
	tcase_add_test(tc, what_is_no_batch_is_refused);
	tcase_add_test(tc, regions_are_let_go_of_together);
	tcase_add_test(tc, a_pooled_region_becomes_the_next_one);
	tcase_add_test(tc, what_others_have_to_do_with_is_not_renewed);
	tcase_add_test(tc, what_the_peer_has_mapped_is_not_sent_again);
	tcase_add_test(tc, what_is_not_pooled_is_not_kept);
	return s;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * control_limits.c - requests of wrong lengths, commands that are not, and
 * replies for which there is no room.
 */
#include "control_desk.h"

/* A request that succeeds for device a; region ...01 is its own, ...02 is device b's. */
static const struct sample {
	const char *request;
	uint8_t lengths[2];	/* of the whole request */
	size_t reply;		/* as long as it gets */
	size_t least;		/* room that it must have */
} samples[] = {
	{ "0000 0100010000000000", { 10, 10 }, 33, 33 },
	{ "0100 0277665544332211 01000000", { 14, 18 }, 25, 25 },
	{ "0200 0177665544332211", { 10, 10 }, 1, 1 },
	{ "0300 0177665544332211 0500000000000000", { 18, 18 }, 1, 1 },
	{ "0301 0177665544332211 0500000000000000 0200000000000000", { 26, 26 }, 1, 1 },
	{ "0400 0177665544332211 0100000000000000", { 18, 18 }, 1, 1 },
	{ "8000 0100010000000000 01000000 01000000 0000000000000000", { 26, 34 }, 41, 41 },
	{ "8000 0100000000000000 00000000 03000000 0000000000000000", { 26, 34 }, 121, 121 },
	{ "8001 0277665544332211 01000000 00000000", { 18, 18 }, 57, 57 },
	{ "8002 0177665544332211 0000010000000000", { 18, 18 }, 41, 41 },
	{ "8003 00000000 00000000 0000000000000000 0000000000000000", { 26, 26 }, 65, 65 },
	{ "8003 01000000 00000000 0000000000000000 0000000000000000", { 26, 26 }, 17 + 3 * 80, 17 + 80 },
	{ "8003 02000000 00000000 0000000000000000 0000000000000000", { 26, 26 }, 17 + 2 * 64, 17 + 64 },
	{ "8003 03000000 00000000 0000000000000000 0177665544332211", { 26, 26 }, 17 + 2 * 24, 17 + 24 },
	{ "8003 05000000 00000000 0000000000000000 0000000000000000", { 26, 26 }, 17 + 208, 17 + 208 },
	{ "8003 06000000 00000000 0000000000000000 0000000000000000", { 26, 26 }, 17 + 2 * 48, 17 + 48 },
	{ "8004 0177665544332211 0000000000000000", { 18, 18 }, 33, 33 },
	{ "8005 0200000000000000", { 10, 10 }, 17, 17 },
	{ "8007 0200000000000000", { 10, 10 }, 1, 1 },
	{ "800a 01000000 01000000 0000000000000000 0277665544332211", { 26, 26 }, 73, 73 },
	{ "800b 00000000 01000000 0000000000000000 0177665544332211", { 26, 26 }, 17, 17 },
};

enum { SAMPLES = sizeof samples / sizeof samples[0] };

/* Devices a and b, with a region of each, and c attached to the first. */
static void fill(struct desk *d)
{
	desk_open(d);
	d->privileged = d->a;
	desk_hex(d, d->a, "0000 0100000000000000", REPLY_MAX);
	desk_hex(d, d->b, "0000 0100000000000000", REPLY_MAX);
	desk_hex(d, d->c, "0100 0177665544332211 03000000", REPLY_MAX);
	ck_assert_uint_eq(d->reply[0], ISMI_OK);
}

START_TEST(the_samples_succeed)
{
	for (size_t i = 0; i < SAMPLES; i++) {
		struct desk d;
		fill(&d);
		desk_hex(&d, d.a, samples[i].request, REPLY_MAX);
		ck_assert_uint_eq(d.reply[0], ISMI_OK);
		ck_assert_msg(d.len == samples[i].reply, "%s: %zu bytes", samples[i].request, d.len);
		desk_close(&d);
	}
}
END_TEST

START_TEST(a_request_of_any_other_length_is_refused)
{
	uint64_t before;
	struct desk d;

	fill(&d);
	before = desk_state(&d);
	for (size_t i = 0; i < SAMPLES; i++) {
		char hex[2 * 80 + 1];
		size_t n = 0;
		for (const char *p = samples[i].request; *p != '\0'; p++) {
			if (*p != ' ')
				hex[n++] = *p;
		}
		while (n < 2 * 80)
			hex[n++] = '0';
		for (size_t len = 80; len > 0; len--) {
			hex[2 * len] = '\0';
			if (len == samples[i].lengths[0] || len == samples[i].lengths[1])
				continue;
			if (desk_hex(&d, d.a, hex, REPLY_MAX) != 1 || d.reply[0] != ISMI_ERR)
				ck_abort_msg("%s: status %u", hex, d.reply[0]);
		}
	}
	ck_assert_uint_eq(desk_hex(&d, d.a, "", REPLY_MAX), 1);
	ck_assert_uint_eq(d.reply[0], ISMI_ERR);
	ck_assert_uint_eq(desk_state(&d), before);
	desk_close(&d);
}
END_TEST

static bool is_command(unsigned int cmd)
{
	static const unsigned int commands[] = { 0x0000, 0x0100, 0x0200, 0x0300, 0x0301, 0x0400,
						 0x8000, 0x8001, 0x8002, 0x8003, 0x8004, 0x8005, 0x8007, 0x8008, 0x8009,
						 0x800a, 0x800b };

	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (commands[i] == cmd)
			return true;
	}
	return false;
}

START_TEST(what_is_no_command_is_refused)
{
	static const size_t lengths[] = { 2, 10, 14, 18, 26 };
	uint8_t req[26] = { 0 };
	uint64_t before;
	struct desk d;

	fill(&d);
	before = desk_state(&d);
	for (unsigned int cmd = 0; cmd < 0x10000; cmd++) {
		if (is_command(cmd))
			continue;
		req[0] = (uint8_t)(cmd >> 8);
		req[1] = (uint8_t)cmd;
		for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
			if (desk_send(&d, d.a, req, lengths[i], 64) != 1 || d.reply[0] != ISMI_ERR)
				ck_abort_msg("command %04x: status %u", cmd, d.reply[0]);
		}
	}
	ck_assert_uint_eq(desk_state(&d), before);
	desk_close(&d);
}
END_TEST

START_TEST(a_reply_that_does_not_fit_is_refused_before_anything_changes)
{
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];
		struct desk d;

		fill(&d);
		uint64_t before = desk_state(&d);
		for (size_t cap = 0; cap < s->least; cap++) {
			size_t len = desk_hex(&d, d.a, s->request, cap);
			if (len != (cap > 0) || (cap > 0 && d.reply[0] != ISMI_E2BIG) || d.call.nr_refs != 0)
				ck_abort_msg("%s with room for %zu: %zu bytes, status %u", s->request, cap, len,
					     d.reply[0]);
			if (desk_state(&d) != before)
				ck_abort_msg("%s with room for %zu has changed something", s->request, cap);
		}
		desk_hex(&d, d.a, s->request, s->least);
		ck_assert_uint_eq(d.reply[0], ISMI_OK);
		ck_assert_uint_le(d.len, s->least);
		desk_close(&d);
	}
}
END_TEST

START_TEST(a_guess_needs_room_for_the_answer_too)
{
	struct desk d;

	fill(&d);
	uint64_t before = desk_state(&d);
	desk_hex(&d, d.c, "0100 1111111111111111 01000000", 24);
	ck_assert_uint_eq(d.reply[0], ISMI_E2BIG);
	ck_assert_int_eq(d.call.delay_ns, 0);
	ck_assert_uint_eq(desk_state(&d), before);
	desk_hex(&d, d.c, "0100 1111111111111111 01000000", 25);
	ck_assert_uint_eq(d.reply[0], ISMI_ENOENT);
	ck_assert_uint_eq(d.c->used.failed_total, 1);
	desk_close(&d);
}
END_TEST

START_TEST(random_bytes_do_no_harm)
{
	static const struct {
		uint16_t cmd;
		uint8_t len, at;	/* at: where the token stands */
	} commands[] = {
		{ 0x0000, 10, 0 }, { 0x0100, 14, 2 }, { 0x0100, 18, 2 }, { 0x0200, 10, 2 },
		{ 0x0300, 18, 2 }, { 0x0301, 26, 2 }, { 0x0400, 18, 2 }, { 0x8000, 26, 0 },
		{ 0x8001, 18, 2 }, { 0x8003, 26, 18 }, { 0x8004, 18, 2 }, { 0x8005, 10, 0 },
		{ 0x8007, 10, 0 }, { 0x8002, 18, 2 }, { 0x8008, 10, 2 }, { 0x8009, 18, 2 }, { 0x8009, 26, 2 },
	};
	uint64_t random = unit_seed();
	unsigned int ok_count = 0;
	uint8_t req[32];
	struct desk d;

	fill(&d);
	d.f.model.user_quota = (struct model_quota){ .regions = 8, .bytes = 64 * CHUNK, .grants = 8 };
	for (int i = 0; i < 200000; i++) {
		struct model_device *dev[] = { d.a, d.b, d.c };
		uint32_t which = unit_below(&random, sizeof commands / sizeof commands[0]);
		for (size_t k = 0; k < sizeof req; k++)
			req[k] = unit_below(&random, 5) ? 0 : (uint8_t)unit_below(&random, 6);
		req[0] = (uint8_t)(commands[which].cmd >> 8);
		req[1] = (uint8_t)commands[which].cmd;
		const struct model_region *any = TAILQ_FIRST(&d.f.model.regions);
		if (any != NULL && commands[which].at != 0 && unit_below(&random, 8))
			memcpy(req + commands[which].at, &any->token, 8);
		d.now = (int64_t)i * 1000000;
		d.f.nr_said = 0;
		desk_send(&d, dev[unit_below(&random, 3)], req, commands[which].len, 1 + unit_below(&random, 400));
		ok_count += d.reply[0] == ISMI_OK;
		if (i % 64 == 0)
			fake_check(&d.f);
	}
	printf("%u of 200,000 were carried out\n", ok_count);
	desk_close(&d);
}
END_TEST

Suite *control_limits_suite(void)
{
	Suite *s = suite_create("control: limits");
	TCase *tc = harness_tcase(s, "limits", 300);

	tcase_add_test(tc, the_samples_succeed);
	tcase_add_test(tc, a_request_of_any_other_length_is_refused);
	tcase_add_test(tc, what_is_no_command_is_refused);
	tcase_add_test(tc, a_reply_that_does_not_fit_is_refused_before_anything_changes);
	tcase_add_test(tc, a_guess_needs_room_for_the_answer_too);
	tcase_add_test(tc, random_bytes_do_no_harm);
	return s;
}

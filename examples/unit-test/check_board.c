/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_board.c - a unit test of the application, with Check: in a domain of its
 * own, and with calls that fail.
 */
#include "board.h"

#include <check.h>
#include <errno.h>
#include <ism-emu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ism_emu *emu;

/* Each test has a domain of its own, which the application finds as it always does. */
static void setup(void)
{
	ck_assert_int_eq(ism_emu_start(NULL, &emu), 0);
	setenv("ISM_DEVICE", ism_emu_uri(emu), 1);
}

static void teardown(void)
{
	ism_emu_stop(emu);
}

/* Another endpoint of the domain, to see what a reader sees. */
static const char *seen_by_reader(const struct board *b, struct ism_device **ret_dev)
{
	struct ism_region *region;

	ck_assert_int_eq(ism_open(NULL, NULL, ret_dev), 0);
	ck_assert_int_eq(ism_attach_region(*ret_dev, board_token(b), ISM_READ, NULL, &region), 0);
	return ism_region_addr(region);
}

START_TEST(a_notice_is_read)
{
	struct ism_device *reader;
	struct board *b;

	ck_assert_int_eq(board_open(&b), 0);
	const char *seen = seen_by_reader(b, &reader);
	ck_assert_int_eq(board_post(b, "hello"), 0);
	ck_assert_str_eq(seen, "hello");
	ism_close(reader);
	board_close(b);
}
END_TEST

/* Let the first call fail, then the second, and so on, until none fails any more. */
START_TEST(opening_fails_cleanly_at_every_call)
{
	static const char *const points[] = { "alloc", "grant" };

	for (int i = 0; i < 2; i++) {
		int64_t fired;
		int nth = 1;

		do {
			char faults[64];
			struct board *b = NULL;

			snprintf(faults, sizeof faults, "%s:%d=ENOSPC", points[i], nth++);
			ck_assert_int_eq(ism_emu_set_faults(emu, faults), 0);
			int r = board_open(&b);
			fired = ism_emu_fired(emu);
			ck_assert_int_eq(r, fired ? -ENOSPC : 0);
			if (r == 0)
				board_close(b);
		} while (fired > 0);
		ck_assert_int_eq(nth, i == 0 ? 4 : 3);
	}
}
END_TEST

START_TEST(a_notice_that_cannot_be_told_is_taken_down)
{
	struct board *b;

	ck_assert_int_eq(board_open(&b), 0);
	ck_assert_int_eq(board_post(b, "old"), 0);
	ck_assert_int_eq(ism_emu_set_faults(emu, "notify:1=EHOSTDOWN"), 0);
	ck_assert_int_eq(board_post(b, "new"), -EHOSTDOWN);
	ck_assert_str_eq(board_notice(b), "old");
	ck_assert_int_eq(board_post(b, "newer"), 0);
	board_close(b);
}
END_TEST

START_TEST(the_host_dies_and_a_new_board_opens)
{
	struct board *b;

	ck_assert_int_eq(board_open(&b), 0);
	ck_assert_int_eq(ism_emu_kill(emu), 0);
	board_close(b);
	ck_assert_int_eq(ism_emu_restart(emu), 0);
	ck_assert_int_eq(board_open(&b), 0);
	board_close(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("board");
	TCase *tc = tcase_create("board");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_notice_is_read);
	tcase_add_test(tc, opening_fails_cleanly_at_every_call);
	tcase_add_test(tc, a_notice_that_cannot_be_told_is_taken_down);
	tcase_add_test(tc, the_host_dies_and_a_new_board_opens);
	suite_add_tcase(s, tc);
	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * rights.c - who may do what with a region.
 */
#include "conformance.h"

#include <errno.h>
#include <string.h>

#define R   ISM_READ
#define RW  (ISM_READ | ISM_WRITE)
#define RA  (ISM_READ | ISM_ATTACH)
#define RWA (ISM_READ | ISM_WRITE | ISM_ATTACH)

/* What an attach gives, and the handle is let go of again. */
static int try(struct ism_device *dev, uint64_t token, uint32_t rights)
{
	struct ism_region *region;
	int r = ism_attach_region(dev, token, rights, NULL, &region);

	if (r == 0)
		ism_detach_region(region);
	return r;
}

START_TEST(by_default_the_token_is_enough)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *r = alloc(a, 4096);

	ok(try(b, ism_region_token(r), R));
	ok(try(b, ism_region_token(r), RW));
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(a_private_region_is_not_known_to_others)
{
	struct ism_alloc_opts o = { .size = sizeof o, .flags = ISM_ALLOC_PRIVATE };
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *r;

	ok(ism_alloc_region(a, 4096, &o, &r));
	ck_assert_uint_eq(ism_region_flags(r), ISM_ALLOC_PRIVATE);
	uint64_t token = ism_region_token(r);
	fails(try(b, token, R), -ENOENT);
	ok(ism_region_grant(r, devid_of(b), RA));
	if (!in_machine())
		ok(try(b, token, R));
	fails(try(b, token, RW), -EROFS);
	fails(try(c, token, R), -ENOENT);
	ok(ism_region_grant(r, devid_of(b), RWA));
	ok(try(b, token, RW));
	ism_close(a);
	ism_close(b);
	ism_close(c);
	domain_end();
}
END_TEST

START_TEST(what_lacks_is_said)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *r = alloc(a, 4096);
	uint64_t token = ism_region_token(r), id = devid_of(b);

	ok(ism_region_grant(r, id, R));
	fails(try(b, token, R), -EACCES);
	ok(ism_region_grant(r, id, ISM_ATTACH));
	fails(try(b, token, R), -EACCES);
	ok(ism_region_grant(r, id, RA));
	fails(try(b, token, RW), -EROFS);
	/* A grant of nothing is stronger than the default. */
	ok(ism_region_grant(r, id, 0));
	fails(try(b, token, R), -ENOENT);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(the_default_can_be_changed)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *r = alloc(a, 4096);
	uint64_t token = ism_region_token(r);

	ok(ism_region_grant_default(r, RA));
	if (!in_machine())
		ok(try(b, token, R));
	fails(try(b, token, RW), -EROFS);
	ok(ism_region_grant_default(r, 0));
	fails(try(b, token, R), -ENOENT);
	ok(ism_region_grant_default(r, RWA));
	ok(try(b, token, RW));
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(clean_default_leaves_only_the_listed)
{
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *r = alloc(a, 4096);
	uint64_t token = ism_region_token(r);

	ok(ism_region_grant(r, devid_of(b), RWA | ISM_CLEAN_DEFAULT));
	ok(try(b, token, RW));
	fails(try(c, token, R), -ENOENT);
	fails(ism_region_grant_default(r, ISM_CLEAN_DEFAULT), -EINVAL);
	ism_close(a);
	ism_close(b);
	ism_close(c);
	domain_end();
}
END_TEST

START_TEST(only_managers_grant_and_no_more_than_they_have)
{
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra);
	uint64_t token = ism_region_token(ra), id = devid_of(c);

	fails(ism_region_grant(rb, id, RA), -EPERM);
	fails(ism_region_grant_default(rb, RA), -EPERM);
	ok(ism_region_grant(ra, devid_of(b), RA | ISM_MANAGE));
	ok(ism_region_grant(rb, id, RA));
	fails(ism_region_grant(rb, id, RWA), -EPERM);
	fails(ism_region_grant_default(rb, RWA), -EPERM);
	ok(ism_region_grant_default(rb, 0));
	if (!in_machine())
		ok(try(c, token, R));
	fails(try(c, token, RW), -EROFS);
	ism_close(a);
	ism_close(b);
	ism_close(c);
	domain_end();
}
END_TEST

START_TEST(the_creator_keeps_its_rights)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra);
	uint64_t token = ism_region_token(ra);

	ok(ism_region_grant(ra, devid_of(b), RWA | ISM_MANAGE));
	fails(ism_region_grant(rb, devid_of(a), 0), -EPERM);
	ok(ism_region_grant_default(rb, 0));
	ok(try(a, token, RW));
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(wrong_grants_are_refused)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *r = alloc(a, 4096);

	fails(ism_region_grant(r, devid_of(b), ISM_WRITE), -EINVAL);
	fails(ism_region_grant(r, devid_of(b), UINT32_C(1) << 7), -EINVAL);
	fails(ism_region_grant(r, 0, RA), -EINVAL);
	fails(ism_region_grant(r, UINT64_MAX, RA), -ENOENT);
	fails(ism_region_grant_default(r, ISM_WRITE | ISM_ATTACH), -EINVAL);
	ok(try(b, ism_region_token(r), RW));
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(taking_a_right_stops_doorbells_both_ways)
{
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra), *rc = attach(c, ra);

	for (int i = 0; i < 4; i++) {	/* often enough for direct doorbells to be set up */
		ok(ism_region_notify(ra));
		ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(30))), 1);
		ok(ism_region_notify(rb));
		ck_assert_int_eq(ok(ism_region_wait(ra, SECONDS(30))), 1);
	}
	/* What was rung before this, and for c alone, has come when this has. */
	struct ism_region *last = alloc(a, 4096), *last_c = attach(c, last);
	ok(ism_region_notify(last));
	ck_assert_int_eq(ok(ism_region_wait(last_c, SECONDS(30))), 1);
	while (ok(ism_region_wait(rc, 0)) == 1)
		;
	ok(ism_region_grant(ra, devid_of(b), RA));	/* it attached with WRITE */
	while (ism_region_wait(rb, 0) == 1 || ism_region_wait(ra, 0) == 1)
		;
	ok(ism_region_notify(ra));
	ck_assert_int_eq(ok(ism_region_wait(rc, SECONDS(30))), 1);
	ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(0.2))), 0);
	ok(ism_region_notify(rb));
	ck_assert_int_eq(ok(ism_region_wait(ra, SECONDS(0.2))), 0);
	ck_assert_int_eq(ok(ism_region_wait(rc, 0)), 0);
	/* What it has mapped it keeps; a machine's window is shut. */
	strcpy(ism_region_addr(rb), "still");
	ck_assert_str_eq(ism_region_addr(ra), in_machine() ? "" : "still");
	ok(ism_region_grant(ra, devid_of(b), RWA));
	ok(ism_region_notify(rb));
	ck_assert_int_eq(ok(ism_region_wait(ra, SECONDS(30))), 1);
	ism_close(a);
	ism_close(b);
	ism_close(c);
	domain_end();
}
END_TEST

START_TEST(grants_end_with_their_device)
{
	struct ism_alloc_opts o = { .size = sizeof o, .flags = ISM_ALLOC_PRIVATE };
	struct ism_device *a = device(), *b = device();
	uint64_t id = devid_of(b);
	struct ism_region *r;

	ok(ism_alloc_region(a, 4096, &o, &r));
	ok(ism_region_grant(r, id, RWA));
	ism_close(b);
	eventually(ism_region_grant(r, id, RWA) == -ENOENT, 30);
	/* Ids are not used again. */
	b = device();
	ck_assert_uint_ne(devid_of(b), id);
	fails(try(b, ism_region_token(r), R), -ENOENT);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

Suite *rights_suite(void)
{
	Suite *s = suite_create("rights");
	TCase *tc = harness_tcase(s, "rights", 300);

	tcase_add_test(tc, by_default_the_token_is_enough);
	tcase_add_test(tc, a_private_region_is_not_known_to_others);
	tcase_add_test(tc, what_lacks_is_said);
	tcase_add_test(tc, the_default_can_be_changed);
	tcase_add_test(tc, clean_default_leaves_only_the_listed);
	tcase_add_test(tc, only_managers_grant_and_no_more_than_they_have);
	tcase_add_test(tc, the_creator_keeps_its_rights);
	tcase_add_test(tc, wrong_grants_are_refused);
	tcase_add_test(tc, taking_a_right_stops_doorbells_both_ways);
	if (!in_machine())
		tcase_add_test(tc, grants_end_with_their_device);
	return s;
}

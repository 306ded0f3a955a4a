/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model_rights.c - who may attach, and who may grant what to whom.
 */
#include "model_suite.h"

/* ------------------------------------------------------------------ what a device may do */

START_TEST(the_creator_has_all_rights)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16);
	struct model_ref *r = fake_alloc(a, 1, ISMI_ALLOC_F_PRIVATE);
	ck_assert_uint_eq(model_rights(a, r->region), R | W | A | M);
	ck_assert(r->manages && !r->shut_out);
	ck_assert_uint_eq(r->rights, RW);
	ck_assert_int_eq(fake_probe(a, r->token, RW), ISMI_OK);
	ck_assert_int_eq(model_grant_default(a, r->token, 0), ISMI_OK);
	ck_assert_uint_eq(model_rights(a, r->region), R | W | A | M);
	fake_fini(&f);
}
END_TEST

START_TEST(the_creator_cannot_lose_them)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	fake_attach(b, token);
	ck_assert_int_eq(model_grant(a, token, R | W | A | M, b->devid), ISMI_OK);
	ck_assert_int_eq(model_grant(b, token, 0, a->devid), ISMI_PERM_ATTACH);
	ck_assert_int_eq(model_grant(b, token, R | W | A | M, a->devid), ISMI_PERM_ATTACH);
	ck_assert_int_eq(model_grant(a, token, 0, a->devid), ISMI_PERM_ATTACH);
	ck_assert_int_eq(model_grant(b, token, MODEL_CLEAN_DEFAULT, a->devid), ISMI_PERM_ATTACH);
	ck_assert_uint_eq(model_region_find(&f.model, token)->default_rights, R | W | A);
	ck_assert_uint_eq(model_rights(a, model_region_find(&f.model, token)), R | W | A | M);
	ck_assert_uint_eq(a->used.grants, 1);
	ck_assert_uint_eq(b->used.grants, 0);
	fake_fini(&f);
}
END_TEST

START_TEST(the_token_is_the_capability)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 2, 16);
	struct model_ref *r = fake_alloc(a, 1, 0);
	ck_assert_uint_eq(r->region->default_rights, R | W | A);
	ck_assert_uint_eq(model_rights(b, r->region), R | W | A);
	ck_assert_int_eq(fake_probe(b, r->token, R), ISMI_OK);
	ck_assert_int_eq(fake_probe(b, r->token, RW), ISMI_OK);
	fake_fini(&f);
}
END_TEST

START_TEST(a_private_region_begins_with_no_default)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	struct model_ref *r = fake_alloc(a, 1, ISMI_ALLOC_F_PRIVATE);
	ck_assert_uint_eq(r->region->default_rights, 0);
	ck_assert_int_eq(fake_probe(b, r->token, R), ISMI_ENOENT);
	ck_assert_int_eq(model_grant(a, r->token, R | A, b->devid), ISMI_OK);
	ck_assert_int_eq(fake_probe(b, r->token, R), ISMI_OK);
	ck_assert_int_eq(fake_probe(b, r->token, RW), ISMI_PERM_WRITE);
	fake_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------ attach */

/* The rule, once more. */
static enum ismi_status expected(bool granted, uint32_t rights, uint32_t want)
{
	if (granted ? rights == 0 : !(rights & A))
		return ISMI_ENOENT;
	if (!(rights & A))
		return ISMI_PERM_ATTACH;
	if (!(rights & R))
		return ISMI_PERM_READ;
	return (want & W) && !(rights & W) ? ISMI_PERM_WRITE : ISMI_OK;
}

START_TEST(attaching_needs_the_right_to_attach_and_what_is_asked_for)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 2, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	for (int granted = 0; granted < 2; granted++) {
		for (uint32_t rights = 0; rights < 16; rights++) {
			enum ismi_status s = granted ? model_grant(a, token, rights, b->devid)
						     : model_grant_default(a, token, rights);
			ck_assert_int_eq(s, (rights & W) && !(rights & R) ? ISMI_ERR : ISMI_OK);
			if (s != ISMI_OK)
				continue;
			ck_assert_int_eq(fake_probe(b, token, R), expected(granted, rights, R));
			ck_assert_int_eq(fake_probe(b, token, RW), expected(granted, rights, RW));
		}
		ck_assert_int_eq(model_grant_default(a, token, R | W | A), ISMI_OK);
	}
	fake_fini(&f);
}
END_TEST

START_TEST(an_attach_asks_for_read_or_read_and_write)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 2, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	for (uint32_t want = 0; want < 64; want++) {
		if (want != R && want != RW)
			ck_assert_int_eq(fake_try(b, token, want), ISMI_ERR);
	}
	ck_assert_int_eq(fake_try(b, token, RW | UINT32_C(1) << 31), ISMI_ERR);
	ck_assert_uint_eq(b->used.failed_total, 0);
	ck_assert_uint_eq(b->used.regions, 0);
	fake_fini(&f);
}
END_TEST

START_TEST(a_second_attach_adds_to_the_rights_of_the_one_reference)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 2, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	ck_assert_int_eq(fake_try(b, token, R), ISMI_OK);
	struct model_ref *r = model_ref_find(b, token);
	ck_assert_uint_eq(r->rights, R);
	fake_forget(&f);
	ck_assert_int_eq(fake_try(b, token, RW), ISMI_OK);
	ck_assert_uint_eq(r->rights, RW);
	ck_assert_int_eq(fake_try(b, token, R), ISMI_OK);
	ck_assert_uint_eq(r->rights, RW);
	ck_assert_uint_eq(f.nr_said, 0);
	ck_assert_uint_eq(r->region->nr_refs, 2);
	/* One that is refused takes nothing away. */
	ck_assert_int_eq(model_grant(a, token, R | A, b->devid), ISMI_OK);
	ck_assert_int_eq(fake_try(b, token, RW), ISMI_PERM_WRITE);
	ck_assert_uint_eq(r->rights, RW);
	fake_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------ grants */

START_TEST(a_grant_to_a_device_replaces_the_default_for_it)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	struct model_ref *r = fake_alloc(a, 1, 0);
	ck_assert_int_eq(model_grant(a, r->token, 0, b->devid), ISMI_OK);
	ck_assert_int_eq(fake_probe(b, r->token, R), ISMI_ENOENT);
	ck_assert_int_eq(fake_probe(c, r->token, RW), ISMI_OK);
	ck_assert_int_eq(model_grant(a, r->token, R | A, b->devid), ISMI_OK);
	ck_assert_int_eq(model_grant_default(a, r->token, 0), ISMI_OK);
	ck_assert_int_eq(fake_probe(b, r->token, R), ISMI_OK);
	ck_assert_int_eq(fake_probe(c, r->token, R), ISMI_ENOENT);
	ck_assert_uint_eq(model_rights(b, r->region), R | A);
	ck_assert_uint_eq(a->used.grants, 1);
	fake_fini(&f);
}
END_TEST

START_TEST(granting_needs_a_reference_and_manage)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	ck_assert_int_eq(model_grant(b, token, R, c->devid), ISMI_ENOENT);
	ck_assert_int_eq(model_grant_default(b, token, R), ISMI_ENOENT);
	ck_assert_int_eq(model_grant(a, 12345, R, c->devid), ISMI_ENOENT);
	fake_attach(b, token);
	ck_assert_int_eq(model_grant(b, token, R, c->devid), ISMI_PERM_ATTACH);
	ck_assert_int_eq(model_grant(b, token, 0, c->devid), ISMI_PERM_ATTACH);
	ck_assert_int_eq(model_grant_default(b, token, 0), ISMI_PERM_ATTACH);
	ck_assert_int_eq(model_grant(a, token, R | A | M, b->devid), ISMI_OK);
	ck_assert_int_eq(model_grant(b, token, R, c->devid), ISMI_OK);
	ck_assert_int_eq(model_grant_default(b, token, R | A), ISMI_OK);
	/* The creator lets go: it has all rights, but manages only what it refers to. */
	ck_assert_int_eq(model_detach(a, token), ISMI_OK);
	ck_assert_int_eq(model_grant(a, token, R, c->devid), ISMI_ENOENT);
	fake_fini(&f);
}
END_TEST

START_TEST(a_manager_grants_no_more_than_it_has)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	fake_attach(b, token);
	for (uint32_t own = 0; own < 16; own++) {
		if ((own & W) && !(own & R))
			continue;
		for (uint32_t rights = 0; rights < 16; rights++) {
			ck_assert_int_eq(model_grant(a, token, own, b->devid), ISMI_OK);
			enum ismi_status want = (rights & W) && !(rights & R)	? ISMI_ERR
						: !(own & M) || (rights & ~own) ? ISMI_PERM_ATTACH
										: ISMI_OK;
			ck_assert_int_eq(model_grant(b, token, rights, c->devid), want);
			ck_assert_int_eq(model_grant_default(b, token, rights), want);
		}
	}
	fake_fini(&f);
}
END_TEST

START_TEST(wrong_rights_are_refused_and_change_nothing)
{
	static const uint64_t wrong[] = { W, W | A, W | M, 1 << 5, RW | 1 << 6, UINT64_C(1) << 32, UINT64_C(1) << 63 | R,
					  UINT64_MAX };
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	struct model_ref *r = fake_alloc(a, 1, 0);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		ck_assert_int_eq(model_grant(a, r->token, wrong[i], b->devid), ISMI_ERR);
		ck_assert_int_eq(model_grant_default(a, r->token, wrong[i]), ISMI_ERR);
	}
	ck_assert_int_eq(model_grant_default(a, r->token, R | MODEL_CLEAN_DEFAULT), ISMI_ERR);
	ck_assert_int_eq(model_grant(a, r->token, R, 0), ISMI_ENOENT);
	ck_assert_int_eq(model_grant(a, r->token, R | MODEL_CLEAN_DEFAULT, 99), ISMI_ENOENT);
	ck_assert_uint_eq(r->region->default_rights, R | W | A);
	ck_assert_uint_eq(a->used.grants, 0);
	ck_assert_uint_eq(model_rights(b, r->region), R | W | A);
	fake_fini(&f);
}
END_TEST

START_TEST(clean_default_leaves_only_the_listed_devices)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	struct model_ref *r = fake_alloc(a, 1, 0);
	ck_assert_int_eq(model_grant(a, r->token, R | A | MODEL_CLEAN_DEFAULT, b->devid), ISMI_OK);
	ck_assert_uint_eq(r->region->default_rights, 0);
	ck_assert_uint_eq(model_rights(b, r->region), R | A);
	ck_assert_int_eq(fake_probe(c, r->token, R), ISMI_ENOENT);
	ck_assert_int_eq(model_grant_default(a, r->token, R | A), ISMI_OK);
	ck_assert_int_eq(fake_probe(c, r->token, R), ISMI_OK);
	/* A manager may do so too, whatever it has of the rights that go. */
	ck_assert_int_eq(fake_try(b, r->token, R), ISMI_OK);
	ck_assert_int_eq(model_grant(a, r->token, R | A | M, b->devid), ISMI_OK);
	ck_assert_int_eq(model_grant(b, r->token, R | A | MODEL_CLEAN_DEFAULT, c->devid), ISMI_OK);
	ck_assert_uint_eq(r->region->default_rights, 0);
	fake_fini(&f);
}
END_TEST

START_TEST(grants_end_with_their_device)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	struct model_ref *r = fake_alloc(a, 1, ISMI_ALLOC_F_PRIVATE);
	uint64_t id = b->devid;
	ck_assert_int_eq(model_grant(a, r->token, RW | A, id), ISMI_OK);
	model_device_reset(b);
	ck_assert_uint_eq(model_rights(b, r->region), RW | A);
	model_device_del(b);
	ck_assert_uint_eq(a->used.grants, 0);
	ck_assert_int_eq(model_grant(a, r->token, RW | A, id), ISMI_ENOENT);
	b = fake_device(&f, 1, 16);
	ck_assert_uint_ne(b->devid, id);
	ck_assert_int_eq(fake_probe(b, r->token, R), ISMI_ENOENT);
	fake_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------ shut out */

START_TEST(who_attached_with_more_than_it_may_do_now_is_shut_out)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	struct model_ref *rb = fake_attach(b, token);
	ck_assert_int_eq(fake_try(c, token, R), ISMI_OK);
	const struct model_ref *rc = model_ref_find(c, token);

	fake_forget(&f);
	ck_assert_int_eq(model_grant_default(a, token, R | A), ISMI_OK);
	ck_assert(rb->shut_out && !rc->shut_out);
	/* Whom they may ring has changed: all are told, once. */
	ck_assert_uint_eq(f.nr_said, 3);
	ck_assert_uint_eq(fake_count(&f, a, MODEL_PEERS, 0), 1);
	ck_assert_uint_eq(fake_count(&f, b, MODEL_PEERS, 0), 1);
	ck_assert_uint_eq(fake_count(&f, c, MODEL_PEERS, 0), 1);
	ck_assert_uint_eq(model_peers(rb), 2);		/* it still refers to the region */

	fake_forget(&f);
	ck_assert_int_eq(model_grant_default(a, token, R), ISMI_OK);	/* no attach: both */
	ck_assert(rb->shut_out && rc->shut_out);
	ck_assert_uint_eq(f.nr_said, 3);
	fake_forget(&f);
	ck_assert_int_eq(model_grant_default(a, token, 0), ISMI_OK);	/* nothing new */
	ck_assert_uint_eq(f.nr_said, 0);
	ck_assert_int_eq(model_grant(a, token, RW | A, b->devid), ISMI_OK);
	ck_assert(!rb->shut_out && rc->shut_out);
	ck_assert_uint_eq(f.nr_said, 3);
	ck_assert_int_eq(fake_try(c, token, R), ISMI_ENOENT);
	ck_assert_int_eq(model_grant_default(a, token, RW | A), ISMI_OK);
	ck_assert(!rb->shut_out && !rc->shut_out);
	fake_fini(&f);
}
END_TEST

START_TEST(a_manager_can_shut_itself_out)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	struct model_ref *rb = fake_attach(b, token);
	ck_assert_int_eq(model_grant(a, token, RW | A | M, b->devid), ISMI_OK);
	ck_assert(rb->manages);
	ck_assert_int_eq(model_grant(b, token, R, b->devid), ISMI_OK);
	ck_assert(!rb->manages && rb->shut_out);
	ck_assert_int_eq(model_grant(b, token, RW | A | M, b->devid), ISMI_PERM_ATTACH);
	fake_fini(&f);
}
END_TEST

Suite *model_rights_suite(void)
{
	Suite *s = suite_create("model: rights");
	TCase *tc = harness_tcase(s, "rights", 300);

	tcase_add_test(tc, the_creator_has_all_rights);
	tcase_add_test(tc, the_creator_cannot_lose_them);
	tcase_add_test(tc, the_token_is_the_capability);
	tcase_add_test(tc, a_private_region_begins_with_no_default);
	tcase_add_test(tc, attaching_needs_the_right_to_attach_and_what_is_asked_for);
	tcase_add_test(tc, an_attach_asks_for_read_or_read_and_write);
	tcase_add_test(tc, a_second_attach_adds_to_the_rights_of_the_one_reference);
	tcase_add_test(tc, a_grant_to_a_device_replaces_the_default_for_it);
	tcase_add_test(tc, granting_needs_a_reference_and_manage);
	tcase_add_test(tc, a_manager_grants_no_more_than_it_has);
	tcase_add_test(tc, wrong_rights_are_refused_and_change_nothing);
	tcase_add_test(tc, clean_default_leaves_only_the_listed_devices);
	tcase_add_test(tc, grants_end_with_their_device);
	tcase_add_test(tc, who_attached_with_more_than_it_may_do_now_is_shut_out);
	tcase_add_test(tc, a_manager_can_shut_itself_out);
	return s;
}

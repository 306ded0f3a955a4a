/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model_life.c - how devices, regions and tokens come and go, and who is told.
 */
#include "model_suite.h"

#include <stdlib.h>

/* ------------------------------------------------------------------ tokens and ids */

START_TEST(a_token_is_never_zero_nor_one_in_use)
{
	static const uint64_t script[] = { 0, 5, 5, 0, 5, 7, 7, 5, 0, 9 };
	struct fake f;

	fake_init(&f);
	memcpy(f.script, script, sizeof script);
	f.nr_script = 10;
	struct model_device *a = fake_device(&f, 1, 16);
	struct model_ref *five = fake_alloc(a, 1, 0);
	ck_assert_uint_eq(five->token, 5);
	ck_assert_uint_eq(f.drawn, 2);
	ck_assert_uint_eq(fake_alloc(a, 1, 0)->token, 7);
	ck_assert_uint_eq(fake_alloc(a, 1, 0)->token, 9);
	ck_assert_uint_eq(f.drawn, 10);
	ck_assert_ptr_eq(model_region_find(&f.model, 5), five->region);
	/* One that has gone may come again. */
	ck_assert_int_eq(model_detach(a, 5), ISMI_OK);
	f.script[0] = 5;
	f.nr_script = 1;
	f.at_script = 0;
	ck_assert_uint_eq(fake_alloc(a, 1, 0)->token, 5);
	fake_fini(&f);
}
END_TEST

START_TEST(device_ids_are_never_zero_and_never_used_again)
{
	uint64_t last = 0;
	struct fake f;

	fake_init(&f);
	f.model.user_quota.devices = 3;
	for (int i = 0; i < 100; i++) {
		struct model_device *d = fake_device(&f, 1, 1), *none;
		ck_assert_uint_gt(d->devid, last);
		last = d->devid;
		ck_assert_ptr_eq(model_device_find(&f.model, last), d);
		model_device_reset(d);
		ck_assert_uint_eq(d->devid, last);
		if (i % 3 == 2) {
			ck_assert_int_eq(model_device_add(&f.model, 1, CHUNK, &none), ISMI_ENOSPC);
			while (!TAILQ_EMPTY(&f.model.devices))
				model_device_del(TAILQ_FIRST(&f.model.devices));
		}
	}
	ck_assert_ptr_null(model_device_find(&f.model, 0));
	ck_assert_ptr_null(model_device_find(&f.model, last + 1));
	fake_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------ sizes and places */

static enum ismi_status alloc_status(struct model_device *dev, uint64_t size, uint64_t requested)
{
	struct model_ref *ref;
	enum ismi_status s = model_alloc(dev, size, requested, 0, NULL, &ref);

	if (s == ISMI_OK)
		model_detach(dev, ref->token);
	return s;
}

START_TEST(sizes_are_rounded_up_to_whole_chunks)
{
	static const uint64_t sizes[] = { 1, CHUNK - 1, CHUNK, CHUNK + 1, 15 * (uint64_t)CHUNK + 1, 16 * (uint64_t)CHUNK };
	struct model_ref *r;
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		ck_assert_int_eq(model_alloc(a, sizes[i], 1, 0, NULL, &r), ISMI_OK);
		ck_assert_uint_eq(r->region->size, (sizes[i] + CHUNK - 1) / CHUNK * CHUNK);
		ck_assert_uint_eq(r->region->requested, 1);
		ck_assert_uint_eq(a->used.bytes, r->region->size);
		ck_assert_int_eq(model_detach(a, r->token), ISMI_OK);
	}
	ck_assert_uint_eq(a->used.bytes, 0);
	fake_fini(&f);
}
END_TEST

START_TEST(sizes_that_cannot_be_are_refused)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16);
	ck_assert_int_eq(alloc_status(a, 0, 0), ISMI_ERR);
	ck_assert_int_eq(alloc_status(a, 0, 1), ISMI_ERR);
	ck_assert_int_eq(alloc_status(a, 1, 0), ISMI_ERR);
	ck_assert_int_eq(alloc_status(a, 1, 2), ISMI_ERR);
	ck_assert_int_eq(alloc_status(a, 16 * CHUNK + 1, 1), ISMI_E2BIG);
	ck_assert_int_eq(alloc_status(a, UINT64_MAX, 1), ISMI_E2BIG);
	ck_assert_int_eq(alloc_status(a, UINT64_MAX - CHUNK + 1, 1), ISMI_E2BIG);
	ck_assert_int_eq(alloc_status(a, UINT64_C(1) << 48, 1), ISMI_E2BIG);	/* 2^32 chunks */
	fake_alloc(a, 1, 0);
	ck_assert_int_eq(alloc_status(a, 16 * CHUNK, 1), ISMI_ENOSPC);		/* it could, but not now */
	ck_assert_uint_eq(f.model.nr_regions, 1);
	ck_assert_uint_eq(f.drawn, 2);
	fake_fini(&f);
}
END_TEST

START_TEST(a_region_has_a_place_of_its_own_in_each_window)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 100), *b = fake_device(&f, 1, 200);
	struct model_ref *r1 = fake_alloc(a, 3, 0), *r2 = fake_alloc(a, 2, 0), *r3 = fake_alloc(b, 5, 0);
	struct model_ref *b2 = fake_attach(b, r2->token);
	ck_assert_uint_eq(r1->chunk, 0);
	ck_assert_uint_eq(r2->chunk, 3);
	ck_assert_uint_eq(r3->chunk, 0);
	ck_assert_uint_eq(b2->chunk, 5);
	ck_assert_uint_eq(r1->slot, 0);
	ck_assert_uint_eq(r2->slot, 1);
	ck_assert_uint_eq(b2->slot, 1);
	/* Whole huge pages: the offset agrees with the address modulo their size. */
	ck_assert_uint_eq(fake_alloc(a, 32, 0)->chunk, 32);
	ck_assert_uint_eq(fake_alloc(a, 31, 0)->chunk, 64);
	ck_assert_int_eq(model_detach(a, r1->token), ISMI_OK);
	struct model_ref *again = fake_alloc(a, 1, 0);
	ck_assert_uint_eq(again->chunk, 0);
	ck_assert_uint_eq(again->slot, 0);
	fake_fini(&f);
}
END_TEST

START_TEST(a_full_window_refuses_an_attach_and_keeps_nothing_of_it)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 100), *b = fake_device(&f, 1, 4);
	uint64_t token = fake_alloc(a, 3, 0)->token, large = fake_alloc(a, 5, 0)->token;
	fake_alloc(b, 2, 0);
	fake_forget(&f);
	ck_assert_int_eq(fake_try(b, token, R), ISMI_ENOSPC);
	ck_assert_int_eq(fake_try(b, large, R), ISMI_ENOSPC);
	ck_assert_uint_eq(f.nr_said, 0);
	ck_assert_uint_eq(b->used.regions, 1);
	ck_assert_uint_eq(b->used.failed_total, 0);	/* nothing was guessed */
	fake_check(&f);
	fake_fini(&f);
}
END_TEST

START_TEST(a_device_refers_to_a_bounded_number_of_regions)
{
	struct model_ref *r;
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, ISMI_SLOTS + 10);
	for (int i = 0; i < ISMI_SLOTS; i++) {
		if (model_alloc(a, 1, 1, 0, NULL, &r) != ISMI_OK || r->slot != (uint32_t)i)
			ck_abort_msg("region %d", i);
	}
	ck_assert_int_eq(model_alloc(a, 1, 1, 0, NULL, &r), ISMI_ENOSPC);
	fake_check(&f);
	fake_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------ the life of a region */

START_TEST(references_are_counted_once_per_device)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	struct model_ref *r = fake_alloc(a, 2, 0);
	ck_assert_ptr_eq(fake_attach(a, r->token), r);
	struct model_ref *rb = fake_attach(b, r->token);
	ck_assert_ptr_eq(fake_attach(b, r->token), rb);
	ck_assert_uint_eq(r->region->nr_refs, 2);
	ck_assert_uint_eq(b->used.bytes, 2 * CHUNK);
	ck_assert_int_eq(model_detach(b, r->token), ISMI_OK);
	ck_assert_int_eq(model_detach(b, r->token), ISMI_ENOENT);
	ck_assert_uint_eq(r->region->nr_refs, 1);
	ck_assert_uint_eq(f.freed, 0);
	ck_assert_int_eq(model_detach(a, r->token), ISMI_OK);
	ck_assert_uint_eq(f.freed, 1);
	ck_assert_int_eq(model_detach(a, 12345), ISMI_ENOENT);
	fake_fini(&f);
}
END_TEST

START_TEST(the_memory_goes_with_the_last_referrer)
{
	int memory;
	struct model_ref *r;
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	ck_assert_int_eq(model_alloc(a, 1, 1, 0, &memory, &r), ISMI_OK);
	uint64_t token = r->token;
	fake_attach(b, token);
	fake_attach(c, token);
	ck_assert_int_eq(model_detach(a, token), ISMI_OK);
	ck_assert_int_eq(model_detach(b, token), ISMI_OK);
	ck_assert_uint_eq(f.freed, 0);
	ck_assert_uint_eq(f.model.bytes, CHUNK);
	model_device_del(c);
	ck_assert_uint_eq(f.freed, 1);
	ck_assert_ptr_eq(f.last_memory, &memory);
	ck_assert_uint_eq(f.model.bytes, 0);
	ck_assert_ptr_null(model_region_find(&f.model, token));
	ck_assert_int_eq(fake_try(a, token, R), ISMI_ENOENT);
	fake_fini(&f);
}
END_TEST

START_TEST(the_token_ends_with_the_last_manager)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	struct model_ref *rb = fake_attach(b, token);
	ck_assert_int_eq(model_detach(a, token), ISMI_OK);
	ck_assert(rb->region->ended);
	ck_assert(!rb->shut_out);
	ck_assert_int_eq(fake_try(c, token, R), ISMI_ENOENT);
	ck_assert_int_eq(fake_try(b, token, R), ISMI_ENOENT);
	ck_assert_int_eq(fake_try(a, token, R), ISMI_ENOENT);	/* not even its creator brings it back */
	ck_assert_ptr_eq(model_ref_find(b, token), rb);
	ck_assert_uint_eq(f.freed, 0);
	fake_fini(&f);
}
END_TEST

START_TEST(a_manager_keeps_the_token_alive)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	struct model_region *region = model_region_find(&f.model, token);
	fake_attach(b, token);
	ck_assert_int_eq(model_grant(a, token, RW | A | M, b->devid), ISMI_OK);
	ck_assert_uint_eq(region->nr_managers, 2);
	ck_assert_int_eq(model_detach(a, token), ISMI_OK);
	ck_assert_uint_eq(region->nr_managers, 1);
	fake_attach(c, token);
	fake_attach(a, token);			/* as any other, and with all its rights */
	ck_assert_uint_eq(region->nr_managers, 2);
	ck_assert_int_eq(model_grant(a, token, RW | A, b->devid), ISMI_OK);
	ck_assert_uint_eq(region->nr_managers, 1);
	ck_assert_int_eq(model_grant(a, token, RW | A | M, c->devid), ISMI_OK);
	model_device_del(a);
	ck_assert(!region->ended);
	ck_assert_int_eq(model_grant(c, token, R | A, c->devid), ISMI_OK);
	ck_assert(region->ended);		/* the last one gave it up */
	ck_assert_int_eq(fake_try(b, token, R), ISMI_ENOENT);
	fake_fini(&f);
}
END_TEST

START_TEST(manage_by_default_counts_for_every_referrer)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	struct model_region *region = model_region_find(&f.model, token);
	fake_attach(b, token);
	ck_assert_int_eq(model_grant_default(a, token, RW | A | M), ISMI_OK);
	fake_attach(c, token);
	ck_assert_uint_eq(region->nr_managers, 3);
	model_device_del(a);
	model_device_del(b);
	ck_assert(!region->ended);
	ck_assert_int_eq(model_grant_default(c, token, RW | A), ISMI_OK);
	ck_assert(region->ended);
	fake_fini(&f);
}
END_TEST

START_TEST(a_reset_detaches_everything_and_keeps_the_device)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	uint64_t shared = fake_alloc(a, 1, 0)->token, other = fake_alloc(b, 1, 0)->token, id = a->devid;
	fake_alloc(a, 1, 0);
	fake_attach(b, shared);
	fake_attach(a, other);
	fake_forget(&f);
	model_device_reset(a);
	ck_assert_uint_eq(fake_count(&f, b, MODEL_WENT, id), 2);
	ck_assert_uint_eq(f.nr_said, 2);
	ck_assert_uint_eq(f.freed, 1);
	ck_assert_uint_eq(a->used.regions, 0);
	ck_assert_ptr_eq(model_device_find(&f.model, id), a);
	fake_attach(a, other);
	fake_fini(&f);
}
END_TEST

START_TEST(regions_are_numbered_in_order)
{
	const struct model_region *region;
	uint64_t last = 0;
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16);
	for (int i = 0; i < 40; i++) {
		struct model_ref *r = fake_alloc(a, 1, 0);
		if (i % 3 != 0)
			model_detach(a, r->token);
	}
	TAILQ_FOREACH (region, &f.model.regions, all) {
		ck_assert_uint_gt(region->serial, last);
		ck_assert_uint_eq(region->creator, a->devid);
		ck_assert_uint_eq(region->creator_uid, 1);
		last = region->serial;
	}
	ck_assert_uint_eq(last, 40);
	fake_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------ events */

START_TEST(the_others_are_told_who_comes_and_goes)
{
	enum { NR = 6 };
	struct model_device *d[NR];
	struct fake f;

	fake_init(&f);
	for (uint32_t i = 0; i < NR; i++)
		d[i] = fake_device(&f, i % 2, 16);
	uint64_t token = fake_alloc(d[0], 1, 0)->token;
	ck_assert_uint_eq(f.nr_said, 0);
	for (uint32_t i = 1; i < NR; i++) {
		fake_forget(&f);
		fake_attach(d[i], token);
		ck_assert_uint_eq(f.nr_said, i);
		for (uint32_t k = 0; k < i; k++) {
			ck_assert_uint_eq(fake_count(&f, d[k], MODEL_CAME, d[i]->devid), 1);
			ck_assert_uint_eq(f.said[k].peers, i);
			ck_assert_uint_eq(f.said[k].token, token);
		}
	}
	for (uint32_t i = NR - 1; i > 0; i--) {
		fake_forget(&f);
		if (i % 2)
			model_detach(d[i], token);
		else
			model_device_del(d[i]);
		ck_assert_uint_eq(f.nr_said, i);
		for (uint32_t k = 0; k < i; k++) {
			ck_assert_uint_eq(f.said[k].event, MODEL_WENT);
			ck_assert_uint_eq(f.said[k].peers, i - 1);
		}
		ck_assert_uint_eq(fake_count(&f, d[0], MODEL_WENT, f.said[0].devid), 1);
	}
	fake_fini(&f);
}
END_TEST

START_TEST(only_referrers_are_told)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	fake_alloc(c, 1, 0);
	fake_forget(&f);
	ck_assert_int_eq(fake_try(b, token + 1, R), ISMI_ENOENT);
	ck_assert_uint_eq(f.nr_said, 0);
	fake_attach(b, token);
	ck_assert_int_eq(model_grant(a, token, 0, c->devid), ISMI_OK);
	model_detach(b, token);
	ck_assert_uint_eq(f.nr_said, 2);
	ck_assert_uint_eq(fake_count(&f, a, MODEL_CAME, b->devid) + fake_count(&f, a, MODEL_WENT, b->devid), 2);
	fake_fini(&f);
}
END_TEST

Suite *model_life_suite(void)
{
	Suite *s = suite_create("model: life");
	TCase *tc = harness_tcase(s, "life", 300);

	tcase_add_test(tc, a_token_is_never_zero_nor_one_in_use);
	tcase_add_test(tc, device_ids_are_never_zero_and_never_used_again);
	tcase_add_test(tc, sizes_are_rounded_up_to_whole_chunks);
	tcase_add_test(tc, sizes_that_cannot_be_are_refused);
	tcase_add_test(tc, a_region_has_a_place_of_its_own_in_each_window);
	tcase_add_test(tc, a_full_window_refuses_an_attach_and_keeps_nothing_of_it);
	tcase_add_test(tc, a_device_refers_to_a_bounded_number_of_regions);
	tcase_add_test(tc, references_are_counted_once_per_device);
	tcase_add_test(tc, the_memory_goes_with_the_last_referrer);
	tcase_add_test(tc, the_token_ends_with_the_last_manager);
	tcase_add_test(tc, a_manager_keeps_the_token_alive);
	tcase_add_test(tc, manage_by_default_counts_for_every_referrer);
	tcase_add_test(tc, a_reset_detaches_everything_and_keeps_the_device);
	tcase_add_test(tc, regions_are_numbered_in_order);
	tcase_add_test(tc, the_others_are_told_who_comes_and_goes);
	tcase_add_test(tc, only_referrers_are_told);
	return s;
}

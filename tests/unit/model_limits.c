/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model_limits.c - quotas, rates, and the price of a wrong token.
 */
#include "model_suite.h"

static const int64_t MS = 1000000, SECOND = 1000000000;

/* ------------------------------------------------------------------ quotas */

START_TEST(the_bytes_of_a_device_are_limited)
{
	struct model_ref *r;
	struct fake f;

	fake_init(&f);
	f.model.device_quota.bytes = 3 * CHUNK + 17;
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 2, 0)->token;
	ck_assert_int_eq(model_alloc(a, 2 * CHUNK, 1, 0, NULL, &r), ISMI_ENOSPC);
	fake_alloc(a, 1, 0);
	ck_assert_int_eq(model_alloc(a, 1, 1, 0, NULL, &r), ISMI_ENOSPC);
	ck_assert_uint_eq(a->used.bytes, 3 * CHUNK);
	/* What is attached counts as what is allocated; a second attach does not count again. */
	fake_alloc(b, 2, 0);
	ck_assert_int_eq(fake_try(b, token, R), ISMI_ENOSPC);
	fake_attach(a, token);
	ck_assert_int_eq(model_detach(a, token), ISMI_OK);
	ck_assert_int_eq(model_alloc(a, 2 * CHUNK, 1, 0, NULL, &r), ISMI_OK);
	ck_assert_uint_eq(a->used.bytes, 3 * CHUNK);
	fake_fini(&f);
}
END_TEST

START_TEST(the_regions_of_a_device_are_limited)
{
	struct model_ref *r;
	struct fake f;

	fake_init(&f);
	f.model.device_quota.regions = 2;
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	fake_alloc(a, 1, 0);
	ck_assert_int_eq(model_alloc(a, 1, 1, 0, NULL, &r), ISMI_ENOSPC);
	fake_attach(a, token);
	fake_alloc(b, 1, 0);
	fake_attach(b, token);
	ck_assert_int_eq(model_alloc(b, 1, 1, 0, NULL, &r), ISMI_ENOSPC);
	ck_assert_int_eq(model_detach(b, token), ISMI_OK);
	fake_alloc(b, 1, 0);
	fake_fini(&f);
}
END_TEST

START_TEST(the_devices_of_a_user_share_its_quota)
{
	struct model_ref *r;
	struct fake f;

	fake_init(&f);
	f.model.user_quota = (struct model_quota){ .bytes = 5 * CHUNK, .regions = 3 };
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 2, 16);
	uint64_t token = fake_alloc(a, 2, 0)->token;
	fake_alloc(b, 2, 0);
	ck_assert_int_eq(model_alloc(b, 2 * CHUNK, 1, 0, NULL, &r), ISMI_ENOSPC);
	ck_assert_int_eq(fake_try(b, token, R), ISMI_ENOSPC);	/* its bytes count for each that refers to it */
	fake_alloc(a, 1, 0);
	ck_assert_int_eq(model_alloc(b, 1, 1, 0, NULL, &r), ISMI_ENOSPC);
	ck_assert_uint_eq(a->user->used.bytes, 5 * CHUNK);
	ck_assert_uint_eq(a->user->used.regions, 3);
	fake_alloc(c, 5, 0);					/* another user's is another matter */
	model_device_del(b);
	ck_assert_uint_eq(a->user->used.bytes, 3 * CHUNK);
	fake_alloc(a, 2, 0);
	fake_fini(&f);
}
END_TEST

START_TEST(the_number_of_a_users_devices_is_limited)
{
	struct model_device *none = NULL;
	struct fake f;

	fake_init(&f);
	f.model.user_quota.devices = 2;
	struct model_device *a = fake_device(&f, 1, 1);
	fake_device(&f, 1, 1);
	ck_assert_int_eq(model_device_add(&f.model, 1, CHUNK, &none), ISMI_ENOSPC);
	ck_assert_ptr_null(none);
	fake_device(&f, 2, 1);
	model_device_del(a);
	fake_device(&f, 1, 1);
	ck_assert_int_eq(model_device_add(&f.model, 1, CHUNK, &none), ISMI_ENOSPC);
	fake_fini(&f);
}
END_TEST

START_TEST(grants_count_against_their_giver)
{
	struct fake f;

	fake_init(&f);
	f.model.device_quota.grants = 3;
	f.model.user_quota.grants = 4;
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *d[5];
	for (int i = 0; i < 5; i++)
		d[i] = fake_device(&f, 2, 16);
	uint64_t t = fake_alloc(a, 1, 0)->token, u = fake_alloc(b, 1, 0)->token;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(model_grant(a, t, R, d[i]->devid), ISMI_OK);
	ck_assert_int_eq(model_grant(a, t, R | MODEL_CLEAN_DEFAULT, d[3]->devid), ISMI_ENOSPC);
	ck_assert_uint_eq(model_region_find(&f.model, t)->default_rights, RW | A);
	ck_assert_int_eq(model_grant(a, t, RW, d[0]->devid), ISMI_OK);		/* a change is no new grant */
	ck_assert_int_eq(model_grant(b, u, R, d[0]->devid), ISMI_OK);
	ck_assert_int_eq(model_grant(b, u, R, d[1]->devid), ISMI_ENOSPC);	/* the user's */
	model_device_del(d[1]);							/* one grant less */
	ck_assert_uint_eq(a->used.grants, 2);
	ck_assert_int_eq(model_grant(b, u, R, d[2]->devid), ISMI_OK);
	model_detach(b, u);							/* its grants go with a region */
	ck_assert_uint_eq(b->used.grants, 0);
	ck_assert_uint_eq(a->user->used.grants, 2);
	ck_assert_int_eq(model_grant(a, t, R, d[4]->devid), ISMI_OK);
	fake_fini(&f);
}
END_TEST

START_TEST(a_grant_outlives_its_giver_and_costs_it_nothing)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 2, 16), *c = fake_device(&f, 3, 16);
	uint64_t token = fake_alloc(a, 1, ISMI_ALLOC_F_PRIVATE)->token;
	ck_assert_int_eq(model_grant(a, token, RW | A | M, b->devid), ISMI_OK);
	fake_attach(b, token);
	ck_assert_int_eq(model_grant(b, token, R | A, c->devid), ISMI_OK);
	struct model_device *second = fake_device(&f, 1, 16);
	model_device_del(a);
	ck_assert_uint_eq(second->user->used.grants, 0);
	ck_assert_int_eq(fake_probe(c, token, R), ISMI_OK);
	ck_assert_uint_eq(model_rights(b, model_region_find(&f.model, token)), RW | A | M);
	/* Changing such a grant does not make it anybody's. */
	ck_assert_int_eq(model_grant(b, token, RW | A | M, b->devid), ISMI_OK);
	ck_assert_uint_eq(b->used.grants, 1);
	model_detach(b, token);
	ck_assert_uint_eq(b->used.grants, 0);
	fake_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------ rates */

static enum ismi_status attach_at(struct model_device *dev, uint64_t token, int64_t now)
{
	struct model_ref *ref;
	int64_t delay;

	return model_attach(dev, token, R, now, &ref, &delay);
}

/* How many attaches in a row pass at @now. */
static int passes(struct model_device *dev, uint64_t token, int64_t now)
{
	int n = 0;

	while (n < 1000 && attach_at(dev, token, now) == ISMI_OK)
		n++;
	return n;
}

START_TEST(attaches_have_a_rate_with_a_burst_of_a_second)
{
	struct fake f;

	fake_init(&f);
	f.model.device_quota.attach_rate = 10;
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	ck_assert_int_eq(passes(b, token, 50 * SECOND), 10);
	ck_assert_int_eq(attach_at(b, token, 50 * SECOND), ISMI_ENOSPC);
	ck_assert_int_eq(attach_at(b, token + 1, 50 * SECOND), ISMI_ENOSPC);	/* says nothing about the token */
	ck_assert_uint_eq(b->used.failed_total, 0);
	ck_assert_int_eq(passes(b, token, 50 * SECOND + 100 * MS), 1);
	ck_assert_int_eq(passes(b, token, 50 * SECOND + 600 * MS), 5);
	ck_assert_int_eq(passes(b, token, 100 * SECOND), 10);
	/* Over ten seconds, ten in each, however often it tries. */
	int n = 0;
	for (int64_t now = 200 * SECOND; now < 210 * SECOND; now += 7 * MS)
		n += attach_at(b, token, now) == ISMI_OK;
	ck_assert_int_ge(n, 100);
	ck_assert_int_le(n, 111);
	ck_assert_int_eq(passes(a, token, 0), 10);	/* another device's rate is its own */
	fake_fini(&f);
}
END_TEST

START_TEST(the_devices_of_a_user_share_its_rates)
{
	struct fake f;

	fake_init(&f);
	f.model.user_quota = (struct model_quota){ .attach_rate = 8, .notify_rate = 4 };
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 2, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	ck_assert_int_eq(attach_at(a, token, 0), ISMI_OK);
	ck_assert_int_eq(passes(b, token, 0), 7);
	ck_assert_int_eq(attach_at(a, token, 0), ISMI_ENOSPC);
	ck_assert_int_eq(passes(c, token, 0), 8);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(model_notify_due(i % 2 ? a : b, SECOND), 0);
	ck_assert_int_gt(model_notify_due(a, SECOND), 0);
	ck_assert_int_gt(model_notify_due(b, SECOND), 0);
	ck_assert_int_eq(model_notify_due(c, SECOND), 0);
	fake_fini(&f);
}
END_TEST

START_TEST(doorbells_are_held_back_for_as_long_as_it_says)
{
	int64_t now = 5 * SECOND;
	struct fake f;

	fake_init(&f);
	f.model.device_quota.notify_rate = 1000;
	struct model_device *a = fake_device(&f, 1, 16);
	for (int i = 0; i < 1000; i++) {
		if (model_notify_due(a, now) != 0)
			ck_abort_msg("ring %d", i);
	}
	for (int i = 0; i < 1000; i++) {
		int64_t wait = model_notify_due(a, now);
		if (wait < 0 || wait > 10 * MS)
			ck_abort_msg("ring %d waits for %lld ns", i, (long long)wait);
		now += wait;
		if (wait > 0 && model_notify_due(a, now) != 0)
			ck_abort_msg("ring %d waited and is still not due", i);
	}
	ck_assert_int_ge(now, 5 * SECOND + 900 * MS);
	fake_fini(&f);
}
END_TEST

/* How many regions it can have. */
static unsigned int fill(struct model_device *dev)
{
	struct model_ref *r;
	unsigned int n = 0;

	while (model_alloc(dev, CHUNK, 1, 0, NULL, &r) == ISMI_OK)
		n++;
	return n;
}

START_TEST(no_user_takes_the_descriptors_that_others_need)
{
	struct model_device *dev;
	struct fake f;

	fake_init(&f);
	f.model.descriptors = 1000;
	f.model.host_uid = 77;
	struct model_device *a = fake_device(&f, 1, 4096);
	unsigned int first = fill(a);
	ck_assert_uint_ge(first, 1000 / 2 / 3 - 2);
	ck_assert_uint_le(first, 1000 / 2 / 3 + 2);
	ck_assert_int_eq(model_device_add(&f.model, 1, CHUNK, &dev), ISMI_ENOSPC);
	ck_assert_uint_ge(fill(fake_device(&f, 2, 4096)), 1000 / 4 / 3 - 2);	/* half of what is left */
	ck_assert_uint_ge(fill(fake_device(&f, 3, 4096)), 1000 / 8 / 3 - 2);
	struct model_device *own = fake_device(&f, 77, 4096), *root = fake_device(&f, 0, 4096);
	for (int i = 0; i < 500; i++) {		/* its own limit is the kernel's */
		fake_alloc(own, 1, 0);
		fake_alloc(root, 1, 0);
	}
	fake_fini(&f);
}
END_TEST

START_TEST(no_quota_is_no_limit)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 16, 0)->token;
	ck_assert_int_eq(passes(a, token, 0), 1000);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(model_notify_due(a, 0), 0);
	fake_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------ wrong tokens */

/* The delay of an attach that must be refused with @status. */
static int64_t refused(struct model_device *dev, uint64_t token, enum ismi_status status, int64_t now)
{
	struct model_ref *ref;
	int64_t delay = -1;

	ck_assert_int_eq(model_attach(dev, token, RW, now, &ref, &delay), status);
	return delay;
}

START_TEST(each_failed_attach_takes_twice_as_long_as_the_last)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16);
	for (int i = 0; i < 11; i++)
		ck_assert_int_eq(refused(a, 4711, ISMI_ENOENT, 9 * SECOND), MS << i);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(refused(a, 4711, ISMI_ENOENT, 9 * SECOND), MS << 10);
	ck_assert_uint_eq(a->used.failed_total, 111);
	/* A success is answered at once, and forgives nothing. */
	fake_attach(a, fake_alloc(a, 1, 0)->token);
	ck_assert_int_eq(refused(a, 4711, ISMI_ENOENT, 9 * SECOND), MS << 10);
	fake_fini(&f);
}
END_TEST

START_TEST(failures_are_forgotten_by_half_in_a_second)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16);
	for (int i = 0; i < 8; i++)
		refused(a, 4711, ISMI_ENOENT, 9 * SECOND);
	ck_assert_int_eq(refused(a, 4711, ISMI_ENOENT, 10 * SECOND - 1), MS << 8);	/* the ninth */
	ck_assert_int_eq(refused(a, 4711, ISMI_ENOENT, 10 * SECOND), MS << 4);		/* 4.5, then 5.5 */
	ck_assert_int_eq(refused(a, 4711, ISMI_ENOENT, 12 * SECOND), MS << 1);		/* 1.4, then 2.4 */
	ck_assert_int_eq(refused(a, 4711, ISMI_ENOENT, 20 * SECOND), MS);
	ck_assert_int_eq(refused(a, 4711, ISMI_ENOENT, 10000 * SECOND), MS);
	/* A clock that stands still, or goes back, does no harm. */
	ck_assert_int_eq(refused(a, 4711, ISMI_ENOENT, 9000 * SECOND), 2 * MS);
	ck_assert_int_eq(refused(a, 4711, ISMI_ENOENT, 10000 * SECOND), 4 * MS);
	fake_fini(&f);
}
END_TEST

START_TEST(the_failures_of_a_user_count_for_all_its_devices)
{
	struct model_device *d;
	struct fake f;

	fake_init(&f);
	struct model_device *other = fake_device(&f, 2, 16);
	/* A guesser that opens a new device for each guess. */
	for (int i = 0; i < 14; i++) {
		d = fake_device(&f, 1, 16);
		ck_assert_int_eq(refused(d, 4711, ISMI_ENOENT, SECOND), MS << (i < 10 ? i : 10));
		ck_assert_uint_eq(d->used.failed_total, 1);
		model_device_del(d);
	}
	ck_assert_int_eq(refused(other, 4711, ISMI_ENOENT, SECOND), MS);
	d = fake_device(&f, 1, 16);
	ck_assert_uint_eq(d->user->used.failed_total, 14);
	ck_assert_int_eq(refused(d, 4711, ISMI_ENOENT, 60 * SECOND), MS);
	fake_fini(&f);
}
END_TEST

START_TEST(what_was_refused_cannot_be_told_from_the_time_it_took)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 64), *d[4];
	for (uint32_t i = 0; i < 4; i++)
		d[i] = fake_device(&f, 10 + i, 64);
	uint64_t hidden = fake_alloc(a, 1, ISMI_ALLOC_F_PRIVATE)->token, denied = fake_alloc(a, 1, 0)->token;
	ck_assert_int_eq(model_grant(a, denied, R, d[2]->devid), ISMI_OK);
	ck_assert_int_eq(model_grant(a, denied, 0, d[3]->devid), ISMI_OK);
	for (int i = 0; i < 12; i++) {
		int64_t delay = MS << (i < 10 ? i : 10);
		ck_assert_int_eq(refused(d[0], hidden ^ 1, ISMI_ENOENT, SECOND), delay);
		ck_assert_int_eq(refused(d[1], hidden, ISMI_ENOENT, SECOND), delay);
		ck_assert_int_eq(refused(d[2], denied, ISMI_PERM_ATTACH, SECOND), delay);
		ck_assert_int_eq(refused(d[3], denied, ISMI_ENOENT, SECOND), delay);
	}
	fake_fini(&f);
}
END_TEST

Suite *model_limits_suite(void)
{
	Suite *s = suite_create("model: limits");
	TCase *tc = harness_tcase(s, "limits", 300);

	tcase_add_test(tc, the_bytes_of_a_device_are_limited);
	tcase_add_test(tc, the_regions_of_a_device_are_limited);
	tcase_add_test(tc, the_devices_of_a_user_share_its_quota);
	tcase_add_test(tc, the_number_of_a_users_devices_is_limited);
	tcase_add_test(tc, grants_count_against_their_giver);
	tcase_add_test(tc, a_grant_outlives_its_giver_and_costs_it_nothing);
	tcase_add_test(tc, attaches_have_a_rate_with_a_burst_of_a_second);
	tcase_add_test(tc, the_devices_of_a_user_share_its_rates);
	tcase_add_test(tc, doorbells_are_held_back_for_as_long_as_it_says);
	tcase_add_test(tc, no_user_takes_the_descriptors_that_others_need);
	tcase_add_test(tc, no_quota_is_no_limit);
	tcase_add_test(tc, each_failed_attach_takes_twice_as_long_as_the_last);
	tcase_add_test(tc, failures_are_forgotten_by_half_in_a_second);
	tcase_add_test(tc, the_failures_of_a_user_count_for_all_its_devices);
	tcase_add_test(tc, what_was_refused_cannot_be_told_from_the_time_it_took);
	return s;
}

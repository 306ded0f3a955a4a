/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model_replace.c - a region's successor: who gets it, who does not, who pays.
 */
#include "model_suite.h"

/* Replace what @token names, and tell; the successor's reference of @dev. */
static struct model_ref *replaced(struct model_device *dev, uint64_t token)
{
	struct model_ref *ref;

	ck_assert_int_eq(model_replace(dev, token, NULL, &ref), ISMI_OK);
	model_moved(model_region_find(dev->model, token), ref->region, dev);
	return ref;
}

START_TEST(a_successor_is_for_those_whose_rights_are_left)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 2, 16);
	uint64_t token = fake_alloc(a, 2, 0)->token;
	struct model_ref *rb = fake_attach(b, token), *rc = fake_attach(c, token);
	ck_assert_int_eq(model_grant(a, token, 0, c->devid), ISMI_OK);
	fake_forget(&f);
	struct model_ref *next = replaced(a, token);
	ck_assert_uint_ne(next->token, token);
	ck_assert_uint_eq(next->region->size, 2 * CHUNK);
	ck_assert_uint_eq(next->region->default_rights, 0);
	ck_assert_uint_eq(next->region->creator, a->devid);
	ck_assert_uint_eq(fake_count(&f, b, MODEL_MOVED, a->devid), 1);
	ck_assert_uint_eq(f.nr_said, 1);			/* not to the one shut out, nor to the one who did it */
	ck_assert_ptr_eq(model_successor(rb), next->region);
	ck_assert_ptr_null(model_successor(rc));
	ck_assert_int_eq(fake_try(c, next->token, R), ISMI_ENOENT);
	ck_assert_int_eq(fake_try(b, next->token, RW), ISMI_OK);
	ck_assert_uint_eq(model_rights(b, next->region), RW | A);
	ck_assert(!rb->shut_out && rc->shut_out);		/* the old region rings for those still in it */
	fake_fini(&f);
}
END_TEST

START_TEST(who_was_shut_out_does_not_come_back_as_a_new_device)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 2, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	fake_attach(b, token);
	fake_attach(c, token);
	ck_assert_int_eq(model_grant(a, token, 0, c->devid), ISMI_OK);
	uint64_t next = replaced(a, token)->token;
	model_device_del(c);
	struct model_device *again = fake_device(&f, 2, 16);
	ck_assert_int_eq(fake_try(again, token, R), ISMI_ENOENT);
	ck_assert_int_eq(fake_try(again, next, R), ISMI_ENOENT);
	ck_assert_int_eq(fake_try(b, token, RW), ISMI_OK);	/* who is in it may have another handle */
	ck_assert_int_eq(model_grant(a, token, RW | A, again->devid), ISMI_OK);
	ck_assert_int_eq(fake_try(again, token, R), ISMI_OK);	/* a grant is a grant */
	fake_fini(&f);
}
END_TEST

START_TEST(grants_are_handed_on_and_no_more_than_they_were)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16),
			    *d = fake_device(&f, 1, 16), *e = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	fake_attach(b, token);
	fake_attach(c, token);
	ck_assert_int_eq(model_grant(a, token, R | A, b->devid), ISMI_OK);	/* wrote until now */
	ck_assert_int_eq(model_grant(a, token, RW | A | M, c->devid), ISMI_OK);
	ck_assert_int_eq(model_grant(a, token, R | A, d->devid), ISMI_OK);	/* not there yet */
	ck_assert_int_eq(model_grant(a, token, 0, e->devid), ISMI_OK);
	fake_forget(&f);
	struct model_ref *next = replaced(c, token);				/* a manager may */
	ck_assert_uint_eq(model_rights(a, next->region), R | W | A | M);
	ck_assert_uint_eq(model_rights(b, next->region), R | A);
	ck_assert_uint_eq(model_rights(c, next->region), R | W | A | M);
	ck_assert_uint_eq(model_rights(d, next->region), R | A);
	ck_assert_uint_eq(model_rights(e, next->region), 0);
	ck_assert_uint_eq(c->used.grants, 3);
	ck_assert_uint_eq(c->used.regions, 2);
	ck_assert_uint_eq(c->used.bytes, 2 * CHUNK);
	ck_assert_uint_eq(a->used.bytes, CHUNK);
	ck_assert_uint_eq(fake_count(&f, a, MODEL_MOVED, c->devid), 1);
	ck_assert_uint_eq(fake_count(&f, b, MODEL_MOVED, c->devid), 1);		/* to go on reading */
	ck_assert_uint_eq(f.nr_said, 2);
	ck_assert_int_eq(fake_probe(b, next->token, RW), ISMI_PERM_WRITE);
	ck_assert_int_eq(fake_try(b, next->token, R), ISMI_OK);
	ck_assert_int_eq(fake_try(d, token, R), ISMI_OK);			/* to be told afterwards */
	fake_forget(&f);
	model_tell_moved(model_ref_find(d, token));
	ck_assert_uint_eq(fake_count(&f, d, MODEL_MOVED, 0), 1);
	fake_fini(&f);
}
END_TEST

START_TEST(replacing_needs_all_rights)
{
	struct model_ref *ref;
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	ck_assert_int_eq(model_replace(b, token, NULL, &ref), ISMI_ENOENT);	/* not in it */
	fake_attach(b, token);
	ck_assert_int_eq(model_replace(b, token, NULL, &ref), ISMI_PERM_ATTACH);
	ck_assert_int_eq(model_grant(a, token, R | A | M, b->devid), ISMI_OK);
	ck_assert_int_eq(model_replace(b, token, NULL, &ref), ISMI_PERM_ATTACH);
	ck_assert_int_eq(model_grant(a, token, RW | A | M, b->devid), ISMI_OK);
	ref = replaced(b, token);
	ck_assert_int_eq(model_replace(a, token, NULL, &ref), ISMI_ENOENT);	/* once */
	ck_assert_int_eq(model_replace(b, 77, NULL, &ref), ISMI_ENOENT);
	fake_fini(&f);
}
END_TEST

START_TEST(a_quota_is_against_it_and_nothing_changes)
{
	struct model_ref *ref;
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 3), *b = fake_device(&f, 2, 16), *c = fake_device(&f, 3, 16);
	uint64_t token = fake_alloc(a, 2, 0)->token;
	fake_attach(b, token);
	fake_attach(c, token);
	ck_assert_int_eq(model_replace(a, token, NULL, &ref), ISMI_ENOSPC);	/* the window */
	ck_assert_int_eq(model_grant(a, token, RW | A | M, b->devid), ISMI_OK);
	f.model.device_quota.bytes = 4 * CHUNK - 1;
	ck_assert_int_eq(model_replace(b, token, NULL, &ref), ISMI_ENOSPC);
	f.model.device_quota.bytes = 4 * CHUNK;
	f.model.device_quota.grants = 1;					/* two are needed: for itself, and for c */
	ck_assert_int_eq(model_replace(b, token, NULL, &ref), ISMI_ENOSPC);
	ck_assert_uint_eq(b->used.grants, 0);
	ck_assert_uint_eq(f.model.nr_regions, 1);
	ck_assert_uint_eq(f.freed, 0);
	ck_assert(!model_region_find(&f.model, token)->replaced);
	f.model.device_quota.grants = 2;
	ref = replaced(b, token);
	ck_assert_uint_eq(b->used.grants, 2);
	ck_assert_uint_eq(b->used.bytes, 4 * CHUNK);
	fake_check(&f);
	fake_fini(&f);
}
END_TEST

START_TEST(a_chain_of_successors_is_gone_along_step_by_step)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16);
	uint64_t first = fake_alloc(a, 1, 0)->token;
	struct model_ref *rb = fake_attach(b, first);
	uint64_t second = replaced(a, first)->token, third = replaced(a, second)->token;
	ck_assert_uint_eq(model_successor(rb)->token, second);
	ck_assert_int_eq(fake_try(b, second, RW), ISMI_OK);	/* what was left to it there is still to be had */
	ck_assert_uint_eq(model_successor(model_ref_find(b, second))->token, third);
	ck_assert_int_eq(model_detach(b, second), ISMI_OK);
	ck_assert_int_eq(model_detach(a, second), ISMI_OK);	/* it goes: who was on the way to it goes on to the next */
	ck_assert_ptr_null(model_region_find(&f.model, second));
	ck_assert_uint_eq(model_successor(rb)->token, third);
	ck_assert_int_eq(model_detach(a, third), ISMI_OK);
	ck_assert_ptr_null(model_successor(rb));
	ck_assert(rb->region->replaced);			/* and stays closed to newcomers */
	ck_assert_uint_eq(replaced(a, first)->region->size, CHUNK);
	ck_assert_ptr_nonnull(model_successor(rb));
	fake_fini(&f);
}
END_TEST

START_TEST(who_follows_may_pass_where_the_managers_have_gone)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	uint64_t first = fake_alloc(a, 1, 0)->token;
	struct model_ref *rb = fake_attach(b, first);
	fake_attach(c, first);
	uint64_t second = replaced(a, first)->token, third = replaced(a, second)->token;
	fake_attach(c, second);
	ck_assert_int_eq(model_detach(a, second), ISMI_OK);	/* c holds it */
	ck_assert(!model_region_find(&f.model, second)->ended);	/* a could come once more */
	ck_assert_int_eq(model_detach(a, first), ISMI_OK);
	ck_assert(model_region_find(&f.model, second)->ended);
	ck_assert_uint_eq(model_successor(rb)->token, second);
	fake_attach(b, second);
	fake_attach(b, third);
	ck_assert_int_eq(model_detach(b, second), ISMI_OK);
	ck_assert_int_eq(model_detach(b, first), ISMI_OK);
	ck_assert_int_eq(fake_try(b, second, RW), ISMI_ENOENT);	/* not on the way any more */
	fake_fini(&f);
}
END_TEST

START_TEST(a_successor_ends_like_any_region)
{
	struct fake f;

	fake_init(&f);
	struct model_device *a = fake_device(&f, 1, 16), *b = fake_device(&f, 1, 16), *c = fake_device(&f, 1, 16);
	uint64_t token = fake_alloc(a, 1, 0)->token;
	struct model_ref *rb = fake_attach(b, token), *rc = fake_attach(c, token);
	uint64_t next = replaced(a, token)->token;
	ck_assert_int_eq(fake_try(b, next, RW), ISMI_OK);
	ck_assert_ptr_nonnull(model_successor(rc));
	model_device_del(a);					/* nobody manages it any more */
	ck_assert_ptr_null(model_successor(rc));
	ck_assert_ptr_null(model_successor(rb));
	ck_assert_int_eq(fake_try(c, next, RW), ISMI_ENOENT);
	fake_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------ by the host's user */

/* Shut @nr devices out as @dev, which has no part in the region, and tell; its reference to the successor. */
static struct model_ref *shut_out(struct model_device *dev, uint64_t token, const uint64_t *without, size_t nr)
{
	struct model_region *old;
	struct model_ref *ref;

	ck_assert_int_eq(model_may_shut_out(dev, token, without, nr, &old), ISMI_OK);
	ck_assert_int_eq(model_shut_out(dev, old, without, nr, NULL, &ref), ISMI_OK);
	model_moved(old, ref->region, dev);
	return ref;
}

static enum ismi_status may(struct model_device *dev, uint64_t token, const uint64_t *without, size_t nr)
{
	struct model_region *old;

	return model_may_shut_out(dev, token, without, nr, &old);
}

/* One that has no part in the region, a creator, one that goes on, and one that does not. */
struct four {
	struct fake f;
	struct model_device *host, *a, *b, *c;
	uint64_t token;
	struct model_ref *rb, *rc;
};

static void four_init(struct four *x)
{
	fake_init(&x->f);
	x->host = fake_device(&x->f, 9, 16);
	x->a = fake_device(&x->f, 1, 16);
	x->b = fake_device(&x->f, 2, 16);
	x->c = fake_device(&x->f, 3, 16);
	x->token = fake_alloc(x->a, 2, 0)->token;
	x->rb = fake_attach(x->b, x->token);
	x->rc = fake_attach(x->c, x->token);
	fake_forget(&x->f);
}

START_TEST(the_hosts_user_shuts_one_out)
{
	struct four x;

	four_init(&x);
	const uint64_t out[] = { x.c->devid };
	struct model_ref *held = shut_out(x.host, x.token, out, 1);
	struct model_region *next = held->region;
	ck_assert_uint_eq(next->creator, x.a->devid);
	ck_assert_uint_eq(next->creator_uid, 1);
	ck_assert_uint_eq(next->default_rights, 0);
	ck_assert_uint_eq(held->rights, R);
	ck_assert_uint_eq(model_rights(x.host, next), R | A | M);
	ck_assert_uint_eq(model_rights(x.a, next), R | W | A | M);
	ck_assert_uint_eq(model_rights(x.b, next), RW | A);
	ck_assert_uint_eq(model_rights(x.c, next), 0);
	ck_assert_uint_eq(model_rights(x.c, x.rc->region), 0);	/* its doorbells stop, too */
	ck_assert(x.rc->shut_out && !x.rb->shut_out);
	ck_assert_uint_eq(fake_count(&x.f, x.a, MODEL_MOVED, x.host->devid), 1);
	ck_assert_uint_eq(fake_count(&x.f, x.b, MODEL_MOVED, x.host->devid), 1);
	ck_assert_uint_eq(fake_count(&x.f, x.c, MODEL_MOVED, x.host->devid), 0);
	ck_assert_ptr_null(model_successor(x.rc));
	ck_assert_int_eq(fake_try(x.c, next->token, R), ISMI_ENOENT);
	/* What it pays, for as long as it is there. */
	ck_assert_uint_eq(x.host->used.bytes, 2 * CHUNK);
	ck_assert_uint_eq(x.host->used.grants, 3);		/* b's, its own, and that c has none */
	fake_attach(x.a, next->token);
	fake_attach(x.b, next->token);
	model_device_del(x.host);
	ck_assert_uint_eq(next->nr_refs, 2);
	ck_assert_uint_eq(next->nr_managers, 1);
	ck_assert_uint_eq(model_rights(x.b, next), RW | A);
	ck_assert_uint_eq(x.a->used.bytes, 4 * CHUNK);
	ck_assert_uint_eq(x.f.model.bytes, 4 * CHUNK);
	fake_check(&x.f);
	fake_fini(&x.f);
}
END_TEST

START_TEST(a_successor_waits_for_its_manager)
{
	struct four x;

	four_init(&x);
	struct model_region *next = shut_out(x.host, x.token, NULL, 0)->region;
	fake_attach(x.b, next->token);
	model_device_del(x.host);				/* before the creator has come over */
	ck_assert(!next->ended);
	ck_assert_int_eq(fake_try(x.c, next->token, RW), ISMI_OK);
	ck_assert_int_eq(fake_probe(x.a, next->token, RW), ISMI_OK);	/* and it may do so once more */
	ck_assert(!next->ended);
	ck_assert_int_eq(model_detach(x.a, x.token), ISMI_OK);
	ck_assert(next->ended);					/* neither here nor there any more */
	ck_assert_int_eq(fake_try(x.c, next->token, RW), ISMI_ENOENT);
	fake_fini(&x.f);
}
END_TEST

START_TEST(a_holder_that_dies_leaves_what_was)
{
	struct four x;

	four_init(&x);
	const uint64_t out[] = { x.c->devid };
	uint64_t next = shut_out(x.host, x.token, out, 1)->token;
	model_device_del(x.host);				/* nobody has come over */
	ck_assert_ptr_null(model_region_find(&x.f.model, next));
	ck_assert_ptr_null(model_successor(x.rb));
	ck_assert(!x.rb->region->ended && x.rb->region->replaced);
	ck_assert_uint_eq(model_rights(x.c, x.rc->region), 0);	/* a right that was taken stays taken */
	ck_assert_uint_eq(x.f.model.bytes, 2 * CHUNK);
	fake_check(&x.f);
	x.host = fake_device(&x.f, 9, 16);
	ck_assert_ptr_nonnull(shut_out(x.host, x.token, NULL, 0));
	ck_assert_ptr_nonnull(model_successor(x.rb));
	ck_assert_ptr_null(model_successor(x.rc));
	fake_fini(&x.f);
}
END_TEST

START_TEST(who_cannot_be_shut_out)
{
	struct four x;

	four_init(&x);
	const uint64_t all[] = { x.b->devid, x.c->devid }, creator[] = { x.c->devid, x.a->devid }, self[] = { x.host->devid };
	struct model_device *d = fake_device(&x.f, 4, 16);
	const uint64_t other[] = { d->devid }, unknown[] = { 77 };
	ck_assert_int_eq(may(x.host, 77, NULL, 0), ISMI_ENOENT);
	ck_assert_int_eq(may(x.host, x.token, creator, 2), ISMI_EINVAL);
	ck_assert_int_eq(may(x.host, x.token, self, 1), ISMI_EINVAL);
	ck_assert_int_eq(may(x.host, x.token, other, 1), ISMI_ENODEV);
	ck_assert_int_eq(may(x.host, x.token, unknown, 1), ISMI_ENODEV);
	ck_assert_int_eq(model_grant(x.a, x.token, R | A, d->devid), ISMI_OK);
	ck_assert_int_eq(may(x.host, x.token, other, 1), ISMI_OK);	/* not there, but it could come */
	ck_assert_int_eq(may(x.host, x.token, all, 2), ISMI_OK);	/* the creator is left */
	ck_assert_int_eq(model_detach(x.a, x.token), ISMI_OK);
	ck_assert_int_eq(may(x.host, x.token, all, 2), ISMI_ENXIO);
	ck_assert_int_eq(may(x.b, x.token, all + 1, 1), ISMI_ENXIO);	/* the one that asks alone is nobody */
	ck_assert_int_eq(may(x.host, x.token, all, 1), ISMI_OK);	/* of a region whose token has ended */
	struct model_ref *held = shut_out(x.host, x.token, all, 1);
	ck_assert_int_eq(may(x.host, x.token, NULL, 0), ISMI_EALREADY);
	/* Whose answer was lost asks again. */
	ck_assert_ptr_eq(model_held(x.host, x.token, all, 1), held);
	ck_assert_ptr_null(model_held(x.host, x.token, all, 2));
	ck_assert_ptr_null(model_held(d, x.token, all, 1));
	ck_assert_ptr_null(model_held(x.host, 77, NULL, 0));
	fake_fini(&x.f);
}
END_TEST

START_TEST(a_quota_is_against_shutting_out_and_nothing_changes)
{
	struct model_region *old;
	struct model_ref *ref;
	struct four x;

	four_init(&x);
	const uint64_t out[] = { x.c->devid };
	ck_assert_int_eq(model_may_shut_out(x.host, x.token, out, 1, &old), ISMI_OK);
	x.f.model.device_quota.grants = 2;
	ck_assert_int_eq(model_shut_out(x.host, old, out, 1, NULL, &ref), ISMI_ENOSPC);
	x.f.model.device_quota.grants = 3;
	x.f.model.device_quota.bytes = 2 * CHUNK - 1;
	ck_assert_int_eq(model_shut_out(x.host, old, out, 1, NULL, &ref), ISMI_ENOSPC);
	ck_assert_uint_eq(x.host->used.grants, 0);
	ck_assert_uint_eq(model_rights(x.c, old), RW | A);
	ck_assert(!old->replaced && x.f.nr_said == 0 && x.f.model.nr_regions == 1);
	x.f.model.device_quota.bytes = 2 * CHUNK;
	ck_assert_int_eq(model_shut_out(x.host, old, out, 1, NULL, &ref), ISMI_OK);
	ck_assert_uint_eq(x.host->used.grants, 3);
	fake_check(&x.f);
	fake_fini(&x.f);
}
END_TEST

Suite *model_replace_suite(void)
{
	Suite *s = suite_create("model: replace");
	TCase *tc = harness_tcase(s, "replace", 300);

	tcase_add_test(tc, a_successor_is_for_those_whose_rights_are_left);
	tcase_add_test(tc, who_was_shut_out_does_not_come_back_as_a_new_device);
	tcase_add_test(tc, grants_are_handed_on_and_no_more_than_they_were);
	tcase_add_test(tc, replacing_needs_all_rights);
	tcase_add_test(tc, a_quota_is_against_it_and_nothing_changes);
	tcase_add_test(tc, a_chain_of_successors_is_gone_along_step_by_step);
	tcase_add_test(tc, who_follows_may_pass_where_the_managers_have_gone);
	tcase_add_test(tc, a_successor_ends_like_any_region);
	tc = harness_tcase(s, "by the host's user", 300);
	tcase_add_test(tc, the_hosts_user_shuts_one_out);
	tcase_add_test(tc, a_successor_waits_for_its_manager);
	tcase_add_test(tc, a_holder_that_dies_leaves_what_was);
	tcase_add_test(tc, who_cannot_be_shut_out);
	tcase_add_test(tc, a_quota_is_against_shutting_out_and_nothing_changes);
	return s;
}

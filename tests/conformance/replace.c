/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * replace.c - a region's successor, and who goes over to it.
 */
#include "conformance.h"

#include <errno.h>
#include <string.h>

#define R   ISM_READ
#define RW  (ISM_READ | ISM_WRITE)
#define RA  (ISM_READ | ISM_ATTACH)
#define RWA (ISM_READ | ISM_WRITE | ISM_ATTACH)
#define ALL (RWA | ISM_MANAGE)

static struct ism_region *replace(struct ism_region *region)
{
	struct ism_region *next;

	ok(ism_region_replace(region, NULL, &next));
	return next;
}

static struct ism_region *follow(struct ism_region *region)
{
	struct ism_region *next;

	ok(ism_attach_successor(region, RW, NULL, &next));
	return next;
}

/* What going over gives, and the handle is let go of again. */
static int try(struct ism_region *region, uint32_t rights)
{
	struct ism_region *next;
	int r = ism_attach_successor(region, rights, NULL, &next);

	if (r == 0)
		ism_detach_region(next);
	return r;
}

static int try_token(struct ism_device *dev, uint64_t token)
{
	struct ism_region *region;
	int r = ism_attach_region(dev, token, R, NULL, &region);

	if (r == 0)
		ism_detach_region(region);
	return r;
}

/* The event, behind those of peers that came and went. */
static struct ism_event moved(struct ism_device *dev)
{
	struct ism_event ev;

	do
		ev = next_event(dev);
	while (ev.type == ISM_EVENT_ATTACH || ev.type == ISM_EVENT_DETACH);
	ck_assert_uint_eq(ev.type, ISM_EVENT_MOVED);
	return ev;
}

START_TEST(whoever_goes_over_shares_nothing_with_the_one_shut_out)
{
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *ra = alloc(a, 100000), *rb = attach(b, ra), *rc = attach(c, ra);
	uint64_t id = devid_of(c);

	strcpy(ism_region_addr(ra), "before");
	ok(ism_region_grant(ra, id, 0));
	struct ism_region *na = replace(ra);
	struct ism_event ev = moved(b);
	ck_assert_ptr_eq(ev.region, rb);
	ck_assert_uint_eq(ev.devid, devid_of(a));
	ck_assert_uint_eq(ev.token, ism_region_token(rb));
	ck_assert_uint_eq(ev.peers, 2);
	struct ism_region *nb = follow(rb);
	ck_assert_uint_eq(ism_region_token(nb), ism_region_token(na));
	ck_assert_uint_ne(ism_region_token(nb), ism_region_token(ra));
	ck_assert_uint_eq(ism_region_size(nb), ism_region_size(ra));
	ck_assert_uint_eq(ism_region_requested_size(nb), 100000);
	ck_assert_uint_eq(ism_region_rights(na), ALL);
	ck_assert_uint_eq(ism_region_rights(nb), RWA);
	ck_assert(ism_region_flags(na) & ISM_ALLOC_PRIVATE);
	ck_assert_str_eq(ism_region_addr(nb), "");		/* fresh */
	strcpy(ism_region_addr(na), "after");
	ck_assert_str_eq(ism_region_addr(nb), "after");
	if (in_machine())					/* whose window is shut */
		ck_assert_str_ne(ism_region_addr(rc), "after");
	else
		ck_assert_str_eq(ism_region_addr(rc), "before");	/* all it ever sees */
	ok(ism_region_notify(na));
	ck_assert_int_eq(ism_region_wait(nb, SECONDS(30)), 1);
	ok(ism_region_notify(nb));
	ck_assert_int_eq(ism_region_wait(na, SECONDS(30)), 1);
	ck_assert_int_eq(ism_region_peers(na, NULL, 0), 1);
	/* The one shut out hears nothing, and gets nothing. */
	ck_assert_uint_eq(drain(c, ISM_EVENT_MOVED), 0);
	fails(try(rc, R), -ENOENT);
	fails(try_token(c, ism_region_token(na)), -ENOENT);
	ck_assert_int_eq(ism_region_clear(rc), 0);
	/* Nor does its program as a new device. */
	if (!in_machine()) {
		ism_close(c);
		c = device();
		fails(try_token(c, ism_region_token(ra)), -ENOENT);
		fails(try_token(c, ism_region_token(na)), -ENOENT);
	}
	ism_close(a);
	ism_close(b);
	ism_close(c);
	domain_end();
}
END_TEST

START_TEST(the_old_region_rings_for_those_still_in_it)
{
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra), *rc = attach(c, ra);

	ok(ism_region_grant(ra, devid_of(c), 0));
	struct ism_region *na = replace(ra);
	moved(b);
	ok(ism_region_notify(rb));
	ck_assert_int_eq(ism_region_wait(ra, SECONDS(30)), 1);
	ok(ism_region_notify(rc));
	ok(ism_region_notify(ra));
	ck_assert_int_eq(ism_region_wait(rb, SECONDS(30)), 1);
	ck_assert_int_eq(ism_region_clear(ra), 0);		/* not by the one shut out */
	ck_assert_int_eq(ism_region_clear(rc), 0);
	ism_detach_region(ra);
	struct ism_region *nb = follow(rb);			/* there is time */
	ism_detach_region(rb);
	ok(ism_region_notify(nb));
	ck_assert_int_eq(ism_region_wait(na, SECONDS(30)), 1);
	ism_close(a);
	ism_close(b);
	ism_close(c);
	domain_end();
}
END_TEST

START_TEST(what_is_left_of_the_rights_is_left)
{
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra), *rc = attach(c, ra);
	uint64_t token = ism_region_token(ra);

	ok(ism_region_grant(ra, devid_of(b), RA));		/* wrote until now */
	ok(ism_region_grant(ra, devid_of(c), ALL));
	struct ism_region *nc = replace(rc);			/* a manager may */
	ck_assert_uint_eq(moved(b).devid, devid_of(c));
	moved(a);
	fails(try(rb, RW), -EROFS);
	if (!in_machine())
		ok(try(rb, R));
	struct ism_region *na = follow(ra);
	ck_assert_uint_eq(ism_region_rights(na), ALL);		/* the creator stays what it was */
	fails(ism_region_grant(nc, devid_of(a), RA), -EPERM);
	/* A newcomer with a grant goes the same way. */
	struct ism_device *d = device();
	fails(try_token(d, token), -ENOENT);
	ok(ism_region_grant(ra, devid_of(d), RWA));
	struct ism_region *rd;
	ok(ism_attach_region(d, token, RW, NULL, &rd));
	fails(try(rd, RW), -ENOENT);
	ok(ism_region_grant(na, devid_of(d), RWA));
	ok(try(rd, RW));
	ism_detach_region(rd);
	ok(ism_attach_region(d, token, RW, NULL, &rd));		/* and is told, if it comes with one */
	ck_assert_ptr_eq(moved(d).region, rd);
	ism_close(a);
	ism_close(b);
	ism_close(c);
	ism_close(d);
	domain_end();
}
END_TEST

START_TEST(replacing_needs_all_rights_and_happens_once)
{
	struct ism_alloc_opts o = { .size = sizeof o, .flags = ISM_ALLOC_POOLED };
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra), *next;

	fails(ism_region_replace(rb, NULL, &next), -EPERM);
	fails(try(rb, RW), -ENOENT);
	ok(ism_region_grant(ra, devid_of(b), RA | ISM_MANAGE));
	fails(ism_region_replace(rb, NULL, &next), -EPERM);
	o.peer = devid_of(b);
	fails(ism_region_replace(ra, &o, &next), -EINVAL);
	o = (struct ism_alloc_opts){ .size = sizeof o, .flags = 1U << 31 };
	fails(ism_region_replace(ra, &o, &next), -EINVAL);
	fails(ism_attach_successor(ra, ISM_WRITE, NULL, &next), -EINVAL);
	ck_assert_uint_eq(drain(b, ISM_EVENT_MOVED), 0);
	o.flags = ISM_ALLOC_PREFAULT;
	ok(ism_region_replace(ra, &o, &next));
	ck_assert(ism_region_flags(next) & ISM_ALLOC_PREFAULT);
	fails(ism_region_replace(ra, NULL, &next), -EALREADY);
	ok(try(ra, RW));					/* a second handle of what one has */
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(successors_are_replaced_in_turn)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra);
	struct ism_region *second = replace(ra), *third = replace(second);

	moved(b);
	struct ism_region *b2 = follow(rb);
	ck_assert_uint_eq(ism_region_token(b2), ism_region_token(second));
	ck_assert_ptr_eq(moved(b).region, b2);
	struct ism_region *b3 = follow(b2);
	ck_assert_uint_eq(ism_region_token(b3), ism_region_token(third));
	ism_detach_region(b2);
	ism_detach_region(b3);
	ism_detach_region(second);				/* nobody is left in it */
	b3 = follow(rb);
	ck_assert_uint_eq(ism_region_token(b3), ism_region_token(third));
	ism_detach_region(b3);
	ism_detach_region(third);
	fails(try(rb, RW), -ENOENT);
	ism_detach_region(replace(ra));				/* from the start */
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(a_successor_is_paid_for_by_who_made_it)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 100000), *rb = attach(b, ra);
	struct ism_stats before = { .size = sizeof before }, after = before;

	ok(ism_query_stats(a, &before));
	struct ism_region *na = replace(ra);
	ok(ism_query_stats(a, &after));
	ck_assert_uint_eq(after.regions, before.regions + 1);
	ck_assert_uint_eq(after.bytes, before.bytes + ism_region_size(ra));
	ok(ism_query_stats(b, &after));
	ck_assert_uint_eq(after.regions, 1);
	ism_detach_region(ra);
	ism_detach_region(na);
	ism_detach_region(rb);
	ok(ism_query_stats(a, &after));
	ck_assert_uint_eq(after.bytes, before.bytes - 131072);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* ------------------------------------------------------------------ by the host's user */

static struct ism_region *shut_out(struct ism_device *host, struct ism_region *region, uint64_t devid)
{
	struct ism_region *next;

	ok(ism_shut_out(host, ism_region_token(region), &devid, devid != 0, &next));
	return next;
}

static struct ism_region_entry entry_of(struct ism_device *dev, uint64_t token)
{
	struct ism_region_entry e[16];
	uint64_t cursor = 0;

	long n = ok(ism_list_regions(dev, e, 16, sizeof e[0], &cursor));
	for (long i = 0; i < n; i++) {
		if (e[i].token == token)
			return e[i];
	}
	ck_abort_msg("the region is not listed");
}

START_TEST(the_hosts_user_shuts_a_peer_out)
{
	struct ism_device *host = device(), *a = device(), *b = device(), *c = device();
	struct ism_region *ra = alloc(a, 100000), *rb = attach(b, ra), *rc = attach(c, ra);
	uint64_t token = ism_region_token(ra);

	strcpy(ism_region_addr(ra), "before");
	ck_assert_uint_eq(entry_of(host, token).replaced, 0);
	struct ism_region *held = shut_out(host, ra, devid_of(c));
	ck_assert_uint_eq(ism_region_rights(held), ISM_READ | ISM_ATTACH | ISM_MANAGE);
	ck_assert_uint_eq(ism_region_requested_size(held), 100000);
	ck_assert(ism_region_flags(held) & ISM_ALLOC_PRIVATE);
	ck_assert_str_eq(ism_region_addr(held), "");
	struct ism_region_entry e = entry_of(host, token);
	ck_assert(e.replaced == 1 && e.successor == ism_region_token(held) && e.ended == 0);
	e = entry_of(host, ism_region_token(held));
	ck_assert(e.replaced == 0 && e.successor == 0 && e.creator == devid_of(a) && e.referrers == 1);
	ck_assert_uint_eq(moved(a).devid, devid_of(host));
	ck_assert_uint_eq(moved(b).devid, devid_of(host));
	ck_assert_uint_eq(drain(c, ISM_EVENT_MOVED), 0);
	struct ism_region *nb = follow(rb), *na = follow(ra);
	ck_assert_uint_eq(next_event(host).type, ISM_EVENT_ATTACH);
	ck_assert_uint_eq(next_event(host).type, ISM_EVENT_ATTACH);
	ck_assert_uint_eq(ism_region_rights(na), ALL);
	ck_assert_uint_eq(ism_region_rights(nb), RWA);
	ism_close(host);					/* it keeps nothing */
	eventually(ok(ism_region_peers(na, NULL, 0)) == 1, 30);
	strcpy(ism_region_addr(na), "after");
	ck_assert_str_eq(ism_region_addr(nb), "after");
	ok(ism_region_notify(na));
	ck_assert_int_eq(ism_region_wait(nb, SECONDS(30)), 1);
	/* The one shut out has what was, hears nothing, and gets nothing. */
	ck_assert_str_eq(ism_region_addr(rc), "before");
	ok(ism_region_notify(rb));
	ck_assert_int_eq(ism_region_wait(ra, SECONDS(30)), 1);
	ck_assert_int_eq(ism_region_clear(rc), 0);
	fails(try(rc, R), -ENOENT);
	fails(try_token(c, token), -ENOENT);
	fails(try_token(c, ism_region_token(na)), -ENOENT);
	ism_close(a);
	ism_close(b);
	ism_close(c);
	domain_end();
}
END_TEST

START_TEST(without_the_others_there_is_nothing_to_go_over_to)
{
	struct ism_device *host = device(), *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra), *next;
	uint64_t token = ism_region_token(ra);

	ism_detach_region(shut_out(host, ra, 0));		/* too early */
	moved(b);
	fails(try(rb, RW), -ENOENT);
	fails(try_token(host, token), -ENOENT);			/* all the same it is closed to newcomers */
	struct ism_region *held = shut_out(host, ra, 0);
	fails(ism_shut_out(b, token, NULL, 0, &next), -EALREADY);
	ok(ism_shut_out(host, token, NULL, 0, &next));		/* a second handle of what one has */
	ck_assert_uint_eq(ism_region_token(next), ism_region_token(held));
	ism_detach_region(next);
	struct ism_region *nb = follow(rb);
	ism_close(host);
	ism_detach_region(rb);
	struct ism_region *na = follow(ra);			/* the creator came last, and found it */
	ck_assert_uint_eq(ism_region_token(na), ism_region_token(nb));
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(who_cannot_be_shut_out)
{
	struct ism_device *host = device(), *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra), *next;
	uint64_t token = ism_region_token(ra), id[65] = { 0 };

	fails(ism_shut_out(host, token ^ 1, NULL, 0, &next), -ENOENT);
	id[0] = devid_of(a);
	fails(ism_shut_out(host, token, id, 1, &next), -EINVAL);
	id[0] = devid_of(host);
	fails(ism_shut_out(host, token, id, 1, &next), -EINVAL);
	fails(ism_shut_out(host, token, id, 65, &next), -EINVAL);
	fails(ism_shut_out(host, token, NULL, 1, &next), -EINVAL);
	id[0] = UINT64_MAX;
	fails(ism_shut_out(host, token, id, 1, &next), -ENODEV);
	ck_assert_uint_eq(entry_of(host, token).replaced, 0);
	ck_assert_uint_eq(drain(b, ISM_EVENT_MOVED), 0);
	id[0] = devid_of(b);
	ism_detach_region(ra);
	fails(ism_shut_out(host, token, id, 1, &next), -ENXIO);
	ok(ism_shut_out(host, token, NULL, 0, &next));
	ok(try(rb, RW));					/* the creator is gone, and so the token ends */
	ism_close(host);
	int r;
	eventually((r = try(rb, RW)) != 0, 30);			/* once it is known to have gone */
	fails(r, -ENOENT);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(a_machine_shuts_nobody_out)
{
	struct ism_device *a = device();
	struct ism_region *ra = alloc(a, 4096), *next;

	fails(ism_shut_out(a, ism_region_token(ra), NULL, 0, &next), -EOPNOTSUPP);
	ism_close(a);
	domain_end();
}
END_TEST

Suite *replace_suite(void)
{
	Suite *s = suite_create("replace");
	TCase *tc = harness_tcase(s, "replace", 300);

	tcase_add_test(tc, whoever_goes_over_shares_nothing_with_the_one_shut_out);
	tcase_add_test(tc, the_old_region_rings_for_those_still_in_it);
	tcase_add_test(tc, what_is_left_of_the_rights_is_left);
	tcase_add_test(tc, replacing_needs_all_rights_and_happens_once);
	tcase_add_test(tc, successors_are_replaced_in_turn);
	tcase_add_test(tc, a_successor_is_paid_for_by_who_made_it);
	tc = harness_tcase(s, "by the host's user", 300);
	if (in_machine()) {
		tcase_add_test(tc, a_machine_shuts_nobody_out);
		return s;
	}
	tcase_add_test(tc, the_hosts_user_shuts_a_peer_out);
	tcase_add_test(tc, without_the_others_there_is_nothing_to_go_over_to);
	tcase_add_test(tc, who_cannot_be_shut_out);
	return s;
}

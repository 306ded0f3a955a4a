/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * regions.c - regions: memory, tokens, handles, life.
 */
#include "conformance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

START_TEST(two_devices_are_two_of_one_domain)
{
	struct ism_device *a = device(), *b = device();
	struct ism_info info = { .size = sizeof info };

	ck_assert_uint_eq(gid_of(a), gid_of(b));
	ck_assert_uint_ne(gid_of(a), 0);
	ck_assert_uint_ne(devid_of(a), devid_of(b));
	ck_assert_uint_ne(devid_of(a), 0);
	ck_assert_uint_ne(devid_of(b), 0);
	ok(ism_query(a, &info));
	ck_assert_uint_gt(info.chunk_size, 0);
	ck_assert_uint_ge(info.window_size, info.max_region);
	ck_assert_uint_gt(info.max_regions, 0);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(a_region_is_zero_and_whole_chunks)
{
	struct ism_device *a = device();
	struct ism_region *r = alloc(a, 100001);
	const unsigned char *p = ism_region_addr(r);
	struct ism_info info = { .size = sizeof info };

	ok(ism_query(a, &info));
	ck_assert_uint_eq(ism_region_size(r), 131072);
	ck_assert_uint_eq(ism_region_size(r) % info.chunk_size, 0);
	ck_assert_uint_eq(ism_region_requested_size(r), 100001);
	ck_assert_uint_eq(ism_region_rights(r), ISM_READ | ISM_WRITE | ISM_ATTACH | ISM_MANAGE);
	ck_assert_uint_ne(ism_region_token(r), 0);
	ck_assert_ptr_eq(ism_region_device(r), a);
	for (size_t i = 0; i < ism_region_size(r); i++)
		ck_assert_uint_eq(p[i], 0);
	ism_detach_region(r);
	ism_close(a);
	domain_end();
}
END_TEST

START_TEST(a_reused_place_is_zero_again)
{
	struct ism_device *a = device();

	for (int i = 0; i < 5; i++) {
		struct ism_region *r = alloc(a, 65536);
		const unsigned char *p = ism_region_addr(r);
		for (size_t k = 0; k < 65536; k++)
			ck_assert_uint_eq(p[k], 0);
		memset(ism_region_addr(r), 0xff, 65536);
		ism_detach_region(r);
	}
	ism_close(a);
	domain_end();
}
END_TEST

START_TEST(peers_see_each_others_bytes)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 1 << 20), *rb = attach(b, ra);

	ck_assert_uint_eq(ism_region_size(rb), ism_region_size(ra));
	ck_assert_uint_eq(ism_region_requested_size(rb), 1 << 20);
	ck_assert_uint_eq(ism_region_token(rb), ism_region_token(ra));
	ck_assert_ptr_ne(ism_region_addr(ra), ism_region_addr(rb));
	strcpy(ism_region_addr(ra), "from a");
	ck_assert_str_eq(ism_region_addr(rb), "from a");
	strcpy((char *)ism_region_addr(rb) + (1 << 20) - 16, "from b");
	ck_assert_str_eq((char *)ism_region_addr(ra) + (1 << 20) - 16, "from b");
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(wrong_sizes_are_refused)
{
	struct ism_device *a = device();
	struct ism_info info = { .size = sizeof info };
	struct ism_region *r = (void *)1;

	ok(ism_query(a, &info));
	fails(ism_alloc_region(a, 0, NULL, &r), -EINVAL);
	fails(ism_alloc_region(a, (size_t)info.max_region + 1, NULL, &r), -E2BIG);
	fails(ism_alloc_region(a, SIZE_MAX, NULL, &r), -E2BIG);
	ck_assert_ptr_eq(r, (void *)1);
	ism_close(a);
	domain_end();
}
END_TEST

START_TEST(wrong_attaches_are_refused)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = (void *)1;
	uint64_t token = ism_region_token(ra);

	fails(ism_attach_region(b, 0, ISM_READ, NULL, &rb), -EINVAL);
	fails(ism_attach_region(b, token ^ 1, ISM_READ, NULL, &rb), -ENOENT);
	fails(ism_attach_region(b, token, 0, NULL, &rb), -EINVAL);
	fails(ism_attach_region(b, token, ISM_WRITE, NULL, &rb), -EINVAL);
	fails(ism_attach_region(b, token, ISM_READ | ISM_MANAGE, NULL, &rb), -EINVAL);
	ck_assert_ptr_eq(rb, (void *)1);
	ck_assert_int_eq(ok(ism_region_peers(ra, NULL, 0)), 0);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(without_write_a_store_faults)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *ro = attach_ro(b, ra), *rw = attach(b, ra);

	strcpy(ism_region_addr(ra), "x");
	ck_assert_str_eq(ism_region_addr(ro), "x");
	ck_assert_uint_eq(ism_region_rights(ro) & (ISM_READ | ISM_WRITE), ISM_READ);
	ck_assert(!load_faults(ism_region_addr(ro)));
	ck_assert(store_faults(ism_region_addr(ro)));
	ck_assert(!store_faults(ism_region_addr(rw)));
	strcpy(ism_region_addr(rw), "y");
	ck_assert_str_eq(ism_region_addr(ro), "y");
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(each_attach_has_its_own_handle)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *r1 = attach(b, ra), *r2 = attach(b, ra);
	void *addr = ism_region_addr(r2);
	uint64_t peer = 0;

	ck_assert_ptr_ne(r1, r2);
	/* One device, one reference. */
	ck_assert_int_eq(ok(ism_region_peers(ra, &peer, 1)), 1);
	ck_assert_uint_eq(peer, devid_of(b));
	ism_region_set_data(r1, &peer);
	ck_assert_ptr_eq(ism_region_data(r1), &peer);
	ck_assert_ptr_null(ism_region_data(r2));
	ism_detach_region(r1);
	ck_assert(!load_faults(addr));
	ck_assert_int_eq(ok(ism_region_peers(ra, NULL, 0)), 1);
	ism_detach_region(r2);
	ck_assert(load_faults(addr));
	ck_assert_int_eq(ok(ism_region_peers(ra, NULL, 0)), 0);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(the_creator_may_attach_like_any_other)
{
	struct ism_device *a = device();
	struct ism_region *r1 = alloc(a, 4096), *r2 = attach(a, r1);

	strcpy(ism_region_addr(r1), "one");
	ck_assert_str_eq(ism_region_addr(r2), "one");
	ism_detach_region(r1);
	ck_assert_str_eq(ism_region_addr(r2), "one");
	ism_detach_region(r2);
	ism_close(a);
	domain_end();
}
END_TEST

START_TEST(the_token_ends_with_the_creator)
{
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra), *rc;
	uint64_t token = ism_region_token(ra);

	strcpy(ism_region_addr(ra), "stays");
	ism_detach_region(ra);
	/* b keeps what it has, but nobody comes any more. */
	ck_assert_str_eq(ism_region_addr(rb), "stays");
	fails(ism_attach_region(c, token, ISM_READ, NULL, &rc), -ENOENT);
	fails(ism_attach_region(a, token, ISM_READ, NULL, &rc), -ENOENT);
	ism_close(a);
	ism_close(b);
	ism_close(c);
	domain_end();
}
END_TEST

static bool has_ended(struct ism_device *dev, uint64_t token)
{
	struct ism_region *region;
	int r = ism_attach_region(dev, token, ISM_READ, NULL, &region);

	if (r == 0)
		ism_detach_region(region);
	return r == -ENOENT;
}

START_TEST(the_token_lives_while_a_manager_refers)
{
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra), *rc, *again;
	uint64_t token = ism_region_token(ra);

	ok(ism_region_grant(ra, devid_of(b), ISM_READ | ISM_WRITE | ISM_ATTACH | ISM_MANAGE));
	ism_detach_region(ra);
	ok(ism_attach_region(c, token, ISM_READ, NULL, &rc));
	/* The creator has its rights as before. */
	ok(ism_attach_region(a, token, ISM_READ | ISM_WRITE, NULL, &again));
	ism_detach_region(again);
	ism_close(b);
	(void)rb;
	eventually(has_ended(a, token), 30);
	ism_close(a);
	ism_close(c);
	domain_end();
}
END_TEST

START_TEST(closing_detaches_everything)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *r1 = alloc(a, 4096), *r2 = alloc(a, 4096);

	attach(b, r1);
	attach(b, r2);
	attach_ro(b, r2);
	ck_assert_int_eq(ok(ism_region_peers(r1, NULL, 0)), 1);
	ism_close(b);
	eventually(ok(ism_region_peers(r1, NULL, 0)) == 0 && ok(ism_region_peers(r2, NULL, 0)) == 0, 30);
	ism_close(a);
	domain_end();
}
END_TEST

START_TEST(the_window_fills_and_empties)
{
	struct ism_open_opts opts = { .size = sizeof opts, .window_size = 16 << 16 };
	struct ism_device *a = device_with(&opts);
	struct ism_region *r[17];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 16; i++)
			r[i] = alloc(a, 65536);
		fails(ism_alloc_region(a, 65536, NULL, &r[16]), -ENOSPC);
		for (int i = 0; i < 16; i += 2)
			ism_detach_region(r[i]);
		/* Half is free, but no two chunks in a row. */
		fails(ism_alloc_region(a, 2 * 65536, NULL, &r[16]), -ENOSPC);
		for (int i = 1; i < 16; i += 2)
			ism_detach_region(r[i]);
		r[0] = alloc(a, 16 * 65536);
		ism_detach_region(r[0]);
	}
	ism_close(a);
	domain_end();
}
END_TEST

START_TEST(several_at_once_all_or_none)
{
	struct ism_open_opts opts = { .size = sizeof opts, .window_size = 16 << 16 };
	struct ism_device *a = device_with(&opts), *b = device();
	struct ism_region *r[64] = { NULL };
	struct ism_stats stats = { .size = sizeof stats };

	ok(ism_alloc_regions(a, 1000, NULL, 10, r));
	for (int i = 0; i < 10; i++) {
		struct ism_region *rb = attach(b, r[i]);
		*(int *)ism_region_addr(r[i]) = i + 1;
		ck_assert_int_eq(*(int *)ism_region_addr(rb), i + 1);
		ck_assert_uint_eq(ism_region_requested_size(r[i]), 1000);
		for (int k = 0; k < i; k++)
			ck_assert_uint_ne(ism_region_token(r[i]), ism_region_token(r[k]));
	}
	fails(ism_alloc_regions(a, 1000, NULL, 7, &r[10]), -ENOSPC);
	ck_assert_ptr_null(r[10]);
	ok(ism_query_stats(a, &stats));
	ck_assert_uint_eq(stats.regions, 10);
	ok(ism_alloc_regions(a, 1000, NULL, 6, &r[10]));
	fails(ism_alloc_regions(a, 1000, NULL, 0, r), -EINVAL);
	fails(ism_alloc_regions(a, 1000, NULL, 65, r), -EINVAL);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(many_regions_of_mixed_sizes)
{
	enum { NR = 200 };
	struct ism_open_opts opts = { .size = sizeof opts, .window_size = 64 << 20 };
	struct ism_device *a = device_with(&opts), *b = device();
	struct ism_region *r[NR] = { NULL };
	struct ism_stats stats = { .size = sizeof stats };
	unsigned int seed = 12345;

	for (int i = 0; i < rounds(2000); i++) {
		seed = seed * 1103515245 + 12345;
		unsigned int k = seed >> 8 & 0xffff, at = k % NR;
		if (r[at] != NULL) {
			ck_assert_int_eq(*(int *)ism_region_addr(r[at]), (int)at);
			ism_detach_region(r[at]);
			r[at] = NULL;
		} else if (ism_alloc_region(a, 1 + (k % 40) * 10000, NULL, &r[at]) == 0) {
			*(int *)ism_region_addr(r[at]) = (int)at;
		}
	}
	for (int i = 0; i < NR; i++)
		ism_detach_region(r[i]);
	ok(ism_query_stats(a, &stats));
	ck_assert_uint_eq(stats.regions, 0);
	ck_assert_uint_eq(stats.bytes, 0);
	/* The whole window is in one piece again. */
	ism_detach_region(alloc(a, 64 << 20));
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(wishes_are_met_or_said)
{
	struct ism_alloc_opts o = { .size = sizeof o };
	struct ism_attach_opts ao = { .size = sizeof ao, .flags = ISM_ATTACH_PREFAULT };
	struct ism_device *a = device(), *b = device();
	struct ism_region *r, *rb;

	o.flags = ISM_ALLOC_PREFAULT | ISM_ALLOC_HUGE | ISM_ALLOC_NODE;
	ok(ism_alloc_region(a, 4 << 20, &o, &r));
	ck_assert_uint_eq(ism_region_flags(r) & ~o.flags, 0);
	ck_assert(ism_region_flags(r) & ISM_ALLOC_PREFAULT);
	memset(ism_region_addr(r), 1, 4 << 20);
	ok(ism_attach_region(b, ism_region_token(r), ISM_READ, &ao, &rb));
	ck_assert_uint_eq(ism_region_flags(rb), ISM_ATTACH_PREFAULT);
	ck_assert_int_eq(*(char *)ism_region_addr(rb), 1);

	o.flags = ISM_ALLOC_NODE | ISM_ALLOC_REQUIRED;
	o.node = 1000;
	fails(ism_alloc_region(a, 65536, &o, &r), -EOPNOTSUPP);
	o.flags = ISM_ALLOC_NODE;
	ok(ism_alloc_region(a, 65536, &o, &r));
	ck_assert_uint_eq(ism_region_flags(r), 0);
	o.flags = 0;
	fails(ism_alloc_region(a, 65536, &o, &r), -EINVAL);
	o.node = 0;
	o.flags = UINT32_C(1) << 31;
	fails(ism_alloc_region(a, 65536, &o, &r), -EINVAL);
	if (getenv("ISM_TEST_EMULATED") != NULL)
		harness_skip("the emulated kernel has no huge pages");
	/* Huge pages as a must: memory of this machine, or a clear no. */
	o.flags = ISM_ALLOC_HUGE | ISM_ALLOC_REQUIRED;
	int got = ism_alloc_region(a, 100, &o, &r);
	ck_assert(got == 0 || got == -EOPNOTSUPP || got == -ENOMEM);
	if (got == 0) {
		ck_assert_uint_eq(ism_region_size(r), 2 << 20);
		ck_assert_uint_eq(ism_region_requested_size(r), 100);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

Suite *regions_suite(void)
{
	Suite *s = suite_create("regions");
	TCase *tc = harness_tcase(s, "regions", 300);

	tcase_add_test(tc, two_devices_are_two_of_one_domain);
	tcase_add_test(tc, a_region_is_zero_and_whole_chunks);
	tcase_add_test(tc, a_reused_place_is_zero_again);
	tcase_add_test(tc, peers_see_each_others_bytes);
	tcase_add_test(tc, wrong_sizes_are_refused);
	tcase_add_test(tc, wrong_attaches_are_refused);
	tcase_add_test(tc, without_write_a_store_faults);
	tcase_add_test(tc, each_attach_has_its_own_handle);
	tcase_add_test(tc, the_creator_may_attach_like_any_other);
	tcase_add_test(tc, the_token_ends_with_the_creator);
	tcase_add_test(tc, the_token_lives_while_a_manager_refers);
	tcase_add_test(tc, closing_detaches_everything);
	tcase_add_test(tc, the_window_fills_and_empties);
	tcase_add_test(tc, several_at_once_all_or_none);
	tcase_add_test(tc, many_regions_of_mixed_sizes);
	tcase_add_test(tc, wishes_are_met_or_said);
	return s;
}

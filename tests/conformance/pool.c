/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * pool.c - pooled regions: who may have them, and whose memory they are made of.
 */
#include "conformance.h"

#include <errno.h>
#include <string.h>

enum { SIZE = 3 * 65536, USED = 0xa5 };

static int try_pooled(struct ism_device *dev, size_t size, uint64_t peer, size_t nr, struct ism_region **ret)
{
	struct ism_alloc_opts o = { .size = sizeof o, .flags = ISM_ALLOC_POOLED, .peer = peer };

	return ism_alloc_regions(dev, size, &o, nr, ret);
}

static struct ism_region *pooled(struct ism_device *dev, size_t size, struct ism_device *peer)
{
	struct ism_region *r;

	ok(try_pooled(dev, size, devid_of(peer), 1, &r));
	return r;
}

/* Is all of it @value? */
static bool all(const struct ism_region *r, int value)
{
	const unsigned char *p = ism_region_addr(r);

	return p[0] == value && memcmp(p, p + 1, ism_region_size(r) - 1) == 0;
}

/* Both ends write all over a region and let go of it, the peer first. */
static void use(struct ism_device *dev, struct ism_device *peer, size_t size)
{
	struct ism_region *mine = pooled(dev, size, peer), *theirs = attach(peer, mine);

	memset(ism_region_addr(theirs), USED, ism_region_size(theirs));
	ism_detach_region(theirs);
	eventually(ok(ism_region_peers(mine, NULL, 0)) == 0, 30);
	ism_detach_region(mine);
	drain(dev, 0);
	drain(peer, 0);
}

START_TEST(a_pooled_region_is_for_one_peer)
{
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *r = pooled(a, 100, b), *theirs;
	struct ism_region *none = NULL;

	ck_assert(ism_region_flags(r) & ISM_ALLOC_PRIVATE);
	ck_assert_uint_eq(ism_region_requested_size(r), 100);
	fails(ism_attach_region(c, ism_region_token(r), ISM_READ, NULL, &none), -ENOENT);
	theirs = attach(b, r);
	ck_assert_uint_eq(ism_region_rights(theirs), ISM_READ | ISM_WRITE | ISM_ATTACH);
	strcpy(ism_region_addr(theirs), "hello");
	ck_assert_str_eq(ism_region_addr(r), "hello");
	ok(ism_region_notify(r));
	ck_assert_int_eq(ok(ism_region_wait(theirs, SECONDS(30))), 1);

	fails(try_pooled(a, 100, 0, 1, &none), -EINVAL);
	fails(try_pooled(a, 100, devid_of(a), 1, &none), -EINVAL);
	fails(try_pooled(a, 100, devid_of(c) + 1000, 1, &none), -ENOENT);
	struct ism_alloc_opts o = { .size = sizeof o, .peer = devid_of(b) };
	fails(ism_alloc_region(a, 100, &o, &none), -EINVAL);
	ck_assert_ptr_null(none);
	ism_close(a);
	ism_close(b);
	ism_close(c);
	domain_end();
}
END_TEST

START_TEST(the_next_one_is_made_of_the_last)
{
	struct ism_device *a = device(), *b = device();
	uint64_t last = 0;

	for (int i = 0; i < 10; i++) {
		struct ism_region *r = pooled(a, SIZE, b), *none;
		bool kept = ism_region_flags(r) & ISM_ALLOC_POOLED;

		ck_assert_uint_ne(ism_region_token(r), last);
		if (last != 0)
			fails(ism_attach_region(b, last, ISM_READ, NULL, &none), -ENOENT);
		last = ism_region_token(r);
		ck_assert(all(r, i > 0 && kept ? USED : 0));
		ck_assert(kept == (backend != DEV));
		ism_detach_region(r);
		use(a, b, SIZE);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* Memory goes only where it has been before. */
START_TEST(nobody_else_gets_it)
{
	struct ism_device *a = device(), *b = device(), *c = device();
	struct ism_region *r, *theirs;

	use(a, b, SIZE);
	ck_assert(all(pooled(a, SIZE, c), 0));		/* another peer */
	ck_assert(all(pooled(b, SIZE, a), 0));		/* another creator */
	ck_assert(all(pooled(a, SIZE + 65536, b), 0));	/* another size */
	ck_assert(all(alloc(a, SIZE), 0));		/* for whoever has the token */

	/* Two have seen this one; of the other the peer still has a part. */
	r = pooled(a, 2 * SIZE, b);
	memset(ism_region_addr(r), USED, 2 * SIZE);
	ok(ism_region_grant(r, devid_of(c), ISM_READ | ISM_ATTACH));
	ism_detach_region(r);
	ck_assert(all(pooled(a, 2 * SIZE, b), 0));
	r = pooled(a, 4 * SIZE, b);
	theirs = attach(b, r);
	memset(ism_region_addr(r), USED, 4 * SIZE);
	ism_detach_region(r);
	r = pooled(a, 4 * SIZE, b);
	ck_assert(all(r, 0));
	memset(ism_region_addr(r), 1, 4 * SIZE);
	ck_assert(all(theirs, USED));
	ism_close(a);
	ism_close(b);
	ism_close(c);
	domain_end();
}
END_TEST

START_TEST(idle_memory_is_in_nobodys_way)
{
	enum { NR = 40, ROUNDS = 600 };
	struct ism_device *a = device(), *b = device();
	struct ism_region *r[NR] = { NULL };
	unsigned int seed = 1;

	for (int i = 0; i < rounds(ROUNDS); i++) {
		seed = seed * 1103515245 + 12345;
		unsigned int k = (seed >> 16) % NR, chunks = 1 + (seed >> 8) % 5;

		if (r[k] != NULL && !all(r[k], (int)k))
			ck_abort_msg("round %d: region %u is not what was stored there", i, k);
		if (r[k] != NULL) {
			ism_detach_region(r[k]);
			r[k] = NULL;
			continue;
		}
		r[k] = (seed >> 24) % 3 ? pooled(a, chunks * 65536, b) : alloc(a, chunks * 65536);
		memset(ism_region_addr(r[k]), (int)k, ism_region_size(r[k]));
	}
	for (unsigned int k = 0; k < NR; k++)
		ck_assert(r[k] == NULL || all(r[k], (int)k));
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(several_at_once_and_more_than_are_kept)
{
	enum { NR = 60 };
	struct ism_device *a = device(), *b = device();
	struct ism_region *r[2 * NR];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 2; i++)
			ok(try_pooled(a, 65536, devid_of(b), NR, r + (size_t)i * NR));
		for (int i = 0; i < 2 * NR; i++) {
			ck_assert(all(r[i], 0) || (round > 0 && backend != DEV));
			memset(ism_region_addr(r[i]), i, 65536);
		}
		for (int i = 2 * NR - 1; i >= 0; i--) {
			struct ism_region *theirs = attach(b, r[i]);
			ck_assert(all(theirs, i) && all(r[i], i));
			ism_detach_region(theirs);
		}
		for (int i = 0; i < 2 * NR; i += 1)
			ism_detach_region(r[(i * 7) % (2 * NR)]);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* The window's place, and the handles: twice, read-only, one after the other. */
START_TEST(a_pooled_region_attached_again)
{
	struct ism_device *a = device(), *b = device();

	for (int i = 0; i < 5; i++) {
		struct ism_region *r = pooled(a, SIZE, b), *ro = attach_ro(a, r), *again;
		uint64_t token = ism_region_token(r);

		memset(ism_region_addr(r), i, SIZE);
		ck_assert(all(ro, i));
		ck_assert(store_faults(ism_region_addr(ro)));
		ism_detach_region(r);
		ok(ism_attach_region(a, token, ISM_READ | ISM_WRITE, NULL, &again));
		ck_assert(all(again, i) && all(ro, i));
		memset(ism_region_addr(again), i + 1, SIZE);
		ism_detach_region(i % 2 ? ro : again);
		ck_assert(all(i % 2 ? again : ro, i + 1));
		ism_detach_region(i % 2 ? again : ro);
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* What is kept ready takes a part of the window, but only as long as nobody else wants that. */
START_TEST(what_is_ready_makes_room)
{
	if (backend == DEV)
		harness_skip("a machine's device keeps nothing ready");

	struct ism_open_opts o = { .size = sizeof o, .window_size = 16 * 65536 };
	struct ism_device *a = device_with(&o), *b = device();
	struct ism_info info = { .size = sizeof info };
	struct ism_region *r, *theirs;

	ok(ism_query(a, &info));
	if (info.window_size == 16 * 65536) {
		use(a, b, 8 * 65536);
		r = alloc(a, 16 * 65536);
		ck_assert(all(r, 0));
		ism_detach_region(r);
		use(a, b, 8 * 65536);
		r = alloc(b, 16 * 65536);
		theirs = attach(a, r);
		ck_assert(all(theirs, 0));
		ism_detach_region(theirs);
		ck_assert(all(pooled(a, 8 * 65536, b), USED));
	}
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(memory_for_one_that_has_gone_is_given_back)
{
	if (backend == DEV)
		harness_skip("a machine's device keeps nothing ready");

	struct ism_device *a = device(), *b = device();
	uint64_t gone = devid_of(b);
	struct ism_region *none = NULL;

	use(a, b, SIZE);
	ism_close(b);
	/* The one that was ready comes all the same, for nobody. */
	eventually(try_pooled(a, SIZE, gone, 1, &none) == -ENOENT, 30);
	ism_close(a);
	domain_end();
}
END_TEST

Suite *pool_suite(void)
{
	Suite *s = suite_create("pooled regions");
	TCase *tc = harness_tcase(s, "pooled regions", 300);

	tcase_add_test(tc, a_pooled_region_is_for_one_peer);
	tcase_add_test(tc, the_next_one_is_made_of_the_last);
	tcase_add_test(tc, nobody_else_gets_it);
	tcase_add_test(tc, idle_memory_is_in_nobodys_way);
	tcase_add_test(tc, several_at_once_and_more_than_are_kept);
	tcase_add_test(tc, a_pooled_region_attached_again);
	tcase_add_test(tc, what_is_ready_makes_room);
	tcase_add_test(tc, memory_for_one_that_has_gone_is_given_back);
	return s;
}

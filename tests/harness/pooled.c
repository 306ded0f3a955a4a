/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * pooled.c - regions that go round between two devices.
 */
#include "pooled.h"

#include "harness.h"

void pooled_make(struct pooled *p)
{
	struct ism_info info = { .size = sizeof info };

	ok(ism_query(p->b, &info));
	struct ism_alloc_opts o = { .size = sizeof o, .flags = ISM_ALLOC_POOLED, .peer = info.devid };
	ok(ism_alloc_regions(p->a, POOLED_SIZE, &o, p->nr, p->mine));
	for (size_t i = 0; i < p->nr; i++) {
		p->token[i] = ism_region_token(p->mine[i]);
		*(uint64_t *)ism_region_addr(p->mine[i]) = p->token[i];
	}
}

void pooled_share(struct pooled *p)
{
	ok(ism_attach_regions(p->b, p->token, ISM_READ | ISM_WRITE, NULL, p->nr, p->theirs));
}

void pooled_check(const struct pooled *p)
{
	for (size_t i = 0; i < p->nr; i++) {
		ck_assert_uint_eq(ism_region_token(p->theirs[i]), p->token[i]);
		ck_assert_uint_eq(*(uint64_t *)ism_region_addr(p->theirs[i]), p->token[i]);
		*(uint64_t *)ism_region_addr(p->theirs[i]) = ~p->token[i];
	}
	for (size_t i = 0; i < p->nr; i++)
		ck_assert_uint_eq(*(uint64_t *)ism_region_addr(p->mine[i]), ~p->token[i]);
}

unsigned int pooled_mapped(void)
{
	return harness_mapped("/memfd:ism-region");
}

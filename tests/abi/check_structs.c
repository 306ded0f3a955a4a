/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_structs.c - structures of callers that are older or newer than the
 * library, and the values that are compiled into them.
 *
 * Version 0.1 is the first, so that no older caller exists: for those the
 * helpers behind all calls are tried with structures of their own.
 */
#include "harness.h"

#include <internal.h>

#include <errno.h>
#include <ism-ring.h>
#include <stddef.h>
#include <string.h>

/* ------------------------------------------------------------------ values */

_Static_assert(ISM_READ == 1 && ISM_WRITE == 2 && ISM_ATTACH == 4 && ISM_MANAGE == 8 && ISM_CLEAN_DEFAULT == 16, "");
_Static_assert(ISM_EVENT_UPDATE == 1 && ISM_EVENT_ATTACH == 2 && ISM_EVENT_DETACH == 4 && ISM_EVENT_RESET == 16 &&
	       ISM_EVENT_LOST == 32, "");
_Static_assert(ISM_OPEN_NO_HOST == 1 && ISM_SPIN_NONE == UINT32_MAX, "");
_Static_assert(ISM_ALLOC_PRIVATE == 1 && ISM_ALLOC_HUGE == 2 && ISM_ALLOC_NODE == 4 && ISM_ALLOC_PREFAULT == 8 &&
	       ISM_ALLOC_VECTOR == 16 && ISM_ALLOC_REQUIRED == 32 && ISM_ALLOC_POOLED == 64, "");
_Static_assert(ISM_ATTACH_PREFAULT == 8 && ISM_ATTACH_VECTOR == 16, "");
_Static_assert(ISM_HOST_PRIVATE == 1 && ISM_HOST_EMBEDDED == 2 && ISM_HOST_DAEMON == 3 && ISM_HOST_DEVICE == 4, "");
_Static_assert(ISM_REF_SIZE == 38 && ISM_RING_WRITER == 1 && ISM_RING_READER == 2, "");

/* Where 0.1 had the last field of each: what is added comes behind it. */
#if UINTPTR_MAX > UINT32_MAX
_Static_assert(ISMI_UP_TO(struct ism_open_opts, log_data) == 56, "");
_Static_assert(ISMI_UP_TO(struct ism_info, path) == 200, "");
_Static_assert(ISMI_UP_TO(struct ism_stats, bytes) == 104, "");
_Static_assert(ISMI_UP_TO(struct ism_domain_info, kicks) == 208, "");
_Static_assert(ISMI_UP_TO(struct ism_alloc_opts, node) == 16, "");
_Static_assert(ISMI_UP_TO(struct ism_attach_opts, reserved) == 16, "");
_Static_assert(ISMI_UP_TO(struct ism_ring_opts, length) == 24, "");
_Static_assert(ISMI_UP_TO(struct ism_event, region) == 32, "");
#endif
_Static_assert(ISMI_UP_TO(struct ism_device_entry, name) == 80, "");
_Static_assert(ISMI_UP_TO(struct ism_region_entry, ended) == 56, "");
_Static_assert(ISMI_UP_TO(struct ism_referrer_entry, reserved) == 32, "");
_Static_assert(ISMI_UP_TO(struct ism_user_entry, over_quota) == 40, "");
_Static_assert(sizeof(struct ism_quota) == 32, "");	/* within another: it cannot grow */

/* ------------------------------------------------------------------ a structure with a history */

struct first {
	size_t size;
	uint32_t a, b;
};

struct grown {
	size_t size;
	uint32_t a, b;
	uint64_t c;
};

struct newest {
	size_t size;
	uint32_t a, b;
	uint64_t c, d;
};

enum { FIRST = ISMI_UP_TO(struct first, b) };

START_TEST(options_of_another_version_are_taken_as_they_are_meant)
{
	struct first old = { .size = sizeof old, .a = 1, .b = 2 };
	struct newest next = { .size = sizeof next, .a = 3, .c = 4 };
	struct grown got;

	ok(ismi_opts_copy(&got, sizeof got, FIRST, NULL, "opts"));
	ck_assert(got.a == 0 && got.c == 0);
	memset(&got, 0xff, sizeof got);
	ok(ismi_opts_copy(&got, sizeof got, FIRST, &old, "opts"));
	ck_assert(got.a == 1 && got.b == 2 && got.c == 0);
	ok(ismi_opts_copy(&got, sizeof got, FIRST, &next, "opts"));
	ck_assert(got.a == 3 && got.b == 0 && got.c == 4);
	next.d = 1;
	fails(ismi_opts_copy(&got, sizeof got, FIRST, &next, "opts"), -E2BIG);
	old.size = FIRST - 1;
	fails(ismi_opts_copy(&got, sizeof got, FIRST, &old, "opts"), -EINVAL);
	/* Never set: nothing is read behind the structure. */
	old.size = 0;
	fails(ismi_opts_copy(&got, sizeof got, FIRST, &old, "opts"), -EINVAL);
	old.size = (size_t)0xa5a5a5a5a5a5a5a5;
	fails(ismi_opts_copy(&got, sizeof got, FIRST, &old, "opts"), -E2BIG);
}
END_TEST

START_TEST(information_goes_as_far_as_there_is_room)
{
	const struct grown now = { .a = 1, .b = 2, .c = 3 };
	struct {
		struct first info;
		uint64_t behind;
	} old = { { .size = sizeof old.info }, 77 };
	struct newest next = { .size = sizeof next, .d = 88 };

	ok(ismi_info_fill(&old.info, &now, sizeof now, FIRST, "info"));
	ck_assert_uint_eq(old.info.size, sizeof old.info);
	ck_assert(old.info.a == 1 && old.info.b == 2 && old.behind == 77);
	ok(ismi_info_fill(&next, &now, sizeof now, FIRST, "info"));
	ck_assert_uint_eq(next.size, sizeof now);	/* so the caller sees that d was not filled */
	ck_assert(next.c == 3 && next.d == 88);
	old.info.size = FIRST - 1;
	fails(ismi_info_fill(&old.info, &now, sizeof now, FIRST, "info"), -EINVAL);
}
END_TEST

START_TEST(entries_keep_their_places_in_an_array)
{
	const struct grown e = { .size = 9, .a = 1, .b = 2, .c = 3 };
	struct first old[3];
	struct newest next[3];

	memset(old, 0xff, sizeof old);
	memset(next, 0xff, sizeof next);
	ismi_entry_put(old, 1, sizeof old[0], &e, sizeof e);
	ck_assert(old[1].size == 9 && old[1].b == 2 && old[2].size == SIZE_MAX);
	ismi_entry_put(next, 1, sizeof next[0], &e, sizeof e);
	ck_assert(next[1].c == 3 && next[1].d == 0 && next[2].size == SIZE_MAX);
}
END_TEST

/* ------------------------------------------------------------------ every call that takes one */

/* Room for a structure of the next version: the tail is what this library does not know. */
#define NEWER(type)                                                                                                    \
	struct {                                                                                                       \
		struct type s;                                                                                         \
		uint64_t tail;                                                                                         \
	}

static struct ism_device *dev;
static struct ism_region *region;

static void open_both(void)
{
	ok(ism_open("loop:", NULL, &dev));
	ok(ism_alloc_region(dev, 1, NULL, &region));
}

START_TEST(every_options_structure_grows)
{
	NEWER(ism_open_opts) o = { .s.size = sizeof o };
	NEWER(ism_alloc_opts) l = { .s.size = sizeof l };
	NEWER(ism_attach_opts) a = { .s.size = sizeof a };
	NEWER(ism_ring_opts) r = { .s.size = sizeof r };
	struct ism_device *d = NULL;
	struct ism_region *reg = NULL;
	struct ism_ring *ring = NULL;
	uint64_t token;

	open_both();
	token = ism_region_token(region);
	for (int i = 0; i < 3; i++) {
		/* Longer with nothing in it, longer with something in it, too short. */
		static const int expected[] = { 0, -E2BIG, -EINVAL };
		int got[4];

		o.tail = l.tail = a.tail = r.tail = i == 1;
		if (i == 2) {
			o.s.size = l.s.size = a.s.size = r.s.size = sizeof(size_t);
		}
		got[0] = ism_open("loop:", &o.s, &d);
		got[1] = ism_alloc_region(dev, 1, &l.s, &reg);
		got[2] = ism_attach_region(dev, token, ISM_READ, &a.s, &reg);
		got[3] = ism_ring_create(region, ISM_RING_WRITER, &r.s, &ring);
		for (int k = 0; k < 4; k++)
			ck_assert_msg(got[k] == expected[i], "call %d, case %d: %d: %s", k, i, got[k], ism_error_detail());
		if (i == 0) {
			ism_ring_close(ring);
			ism_close(d);
			d = NULL;
			reg = NULL;
			ring = NULL;
		}
		ck_assert(d == NULL && reg == NULL && ring == NULL);	/* untouched on failure */
	}
	ism_close(dev);
}
END_TEST

START_TEST(every_information_structure_grows)
{
	NEWER(ism_info) i = { .s.size = sizeof i, .tail = 5 };
	NEWER(ism_stats) s = { .s.size = sizeof s, .tail = 5 };
	NEWER(ism_domain_info) d = { .s.size = sizeof d, .tail = 5 };

	open_both();
	ok(ism_query(dev, &i.s));
	ok(ism_query_stats(dev, &s.s));
	ok(ism_query_domain(dev, &d.s));
	ck_assert(i.s.size == sizeof i.s && i.s.devid != 0 && i.tail == 5);
	ck_assert(s.s.size == sizeof s.s && s.s.regions == 1 && s.tail == 5);
	i.s = (struct ism_info){ .size = ISMI_UP_TO(struct ism_info, path) - 1 };
	s.s = (struct ism_stats){ .size = ISMI_UP_TO(struct ism_stats, bytes) - 1 };
	ck_assert(d.s.size == sizeof d.s && d.s.regions == 1 && d.tail == 5);
	d.s = (struct ism_domain_info){ .size = ISMI_UP_TO(struct ism_domain_info, kicks) - 1 };
	fails(ism_query_domain(dev, &d.s), -EINVAL);
	ck_assert_uint_eq(d.s.regions, 0);
	fails(ism_query(dev, &i.s), -EINVAL);
	fails(ism_query_stats(dev, &s.s), -EINVAL);
	ck_assert(i.s.devid == 0 && s.s.regions == 0);
	ism_close(dev);
}
END_TEST

START_TEST(every_entry_and_event_grows)
{
	NEWER(ism_device_entry) d[2];
	NEWER(ism_region_entry) r[2];
	NEWER(ism_referrer_entry) f[2];
	NEWER(ism_user_entry) u[2];
	NEWER(ism_event) ev[2];
	struct ism_device *peer;
	struct ism_region *theirs;
	uint64_t at = 0;

	open_both();
	ok(ism_open("loop:", NULL, &peer));
	ok(ism_attach_region(peer, ism_region_token(region), ISM_READ, NULL, &theirs));
	memset(d, 0xff, sizeof d);
	memset(r, 0xff, sizeof r);
	memset(f, 0xff, sizeof f);
	memset(u, 0xff, sizeof u);
	memset(ev, 0xff, sizeof ev);
	ck_assert_int_eq(ok(ism_list_devices(dev, &d[0].s, 2, sizeof d[0], &at)), 2);
	ck_assert_int_eq(ok(ism_list_regions(dev, &r[0].s, 2, sizeof r[0], &at)), 1);
	ck_assert_int_eq(ok(ism_list_referrers(dev, ism_region_token(region), &f[0].s, 2, sizeof f[0], &at)), 2);
	ck_assert_int_eq(ok(ism_list_users(dev, &u[0].s, 2, sizeof u[0], &at)), 1);
	ck_assert(u[0].tail == 0 && u[1].tail == UINT64_MAX && u[0].s.devices == 2);
	ck_assert(d[0].tail == 0 && d[1].tail == 0 && d[0].s.devid != d[1].s.devid && d[1].s.devid < 100);
	ck_assert(r[0].tail == 0 && r[1].tail == UINT64_MAX && r[0].s.token == ism_region_token(region));
	ck_assert(f[0].tail == 0 && f[1].tail == 0 && f[1].s.uid == f[0].s.uid);
	ism_detach_region(theirs);
	ck_assert_int_eq(ok(ism_wait(dev, &ev[0].s, 2, sizeof ev[0], SECONDS(30))), 2);	/* it came, it went */
	ck_assert(ev[0].tail == 0 && ev[1].tail == 0 && ev[1].s.type == ISM_EVENT_DETACH);
	fails(ism_list_devices(dev, &d[0].s, 2, ISMI_UP_TO(struct ism_device_entry, name) - 1, &at), -EINVAL);
	fails(ism_list_regions(dev, &r[0].s, 2, ISMI_UP_TO(struct ism_region_entry, ended) - 1, &at), -EINVAL);
	fails(ism_list_referrers(dev, 1, &f[0].s, 2, ISMI_UP_TO(struct ism_referrer_entry, reserved) - 1, &at), -EINVAL);
	fails(ism_list_users(dev, &u[0].s, 2, ISMI_UP_TO(struct ism_user_entry, over_quota) - 1, &at), -EINVAL);
	fails(ism_wait(dev, &ev[0].s, 2, ISMI_UP_TO(struct ism_event, region) - 1, 0), -EINVAL);
	fails(ism_event_next(dev, &ev[0].s, 0), -EINVAL);
	ism_close(peer);
	ism_close(dev);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("structs");
	TCase *t = harness_tcase(s, "growth", 300);

	tcase_add_test(t, options_of_another_version_are_taken_as_they_are_meant);
	tcase_add_test(t, information_goes_as_far_as_there_is_room);
	tcase_add_test(t, entries_keep_their_places_in_an_array);
	tcase_add_test(t, every_options_structure_grows);
	tcase_add_test(t, every_information_structure_grows);
	tcase_add_test(t, every_entry_and_event_grows);
	return harness_main(argc, argv, (Suite *const[]){ s, NULL });
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_vism.c - the backend on the proof of concept's driver, on a stand-in for that.
 */
#include "harness.h"
#include "standin.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum { CHUNK = 65536 };

static const int64_t second = 1000000000;

static struct ism_device *device(void)
{
	struct ism_device *dev;

	ok(ism_open("dev:" STANDIN_PATH, NULL, &dev));
	return dev;
}

static void nothing_is_left(void)
{
	ck_assert_uint_eq(standin_files(), 0);
	ck_assert_uint_eq(standin_regions(), 0);
}

START_TEST(identity_is_not_known)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_device *dev = device();

	ok(ism_query(dev, &info));
	ck_assert_uint_eq(info.gid, 0);
	ck_assert_uint_eq(info.devid, 0);
	ck_assert_uint_eq(info.host, ISM_HOST_DEVICE);
	ck_assert_uint_eq(info.chunk_size, CHUNK);
	ck_assert_str_eq(info.path, STANDIN_PATH);
	ism_close(dev);
	nothing_is_left();
}
END_TEST

START_TEST(other_devices_are_refused)
{
	struct ism_device *dev = NULL;

	fails(ism_open("dev:/dev/virtio-ism/vism1", NULL, &dev), -ENOENT);
	standin_faults.no_stat = true;
	fails(ism_open("dev:" STANDIN_PATH, NULL, &dev), -EOPNOTSUPP);
	ck_assert_ptr_null(dev);
	nothing_is_left();
}
END_TEST

START_TEST(bytes_and_doorbells_both_ways)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *mine, *theirs;

	ok(ism_alloc_region(a, 100000, NULL, &mine));
	ck_assert_uint_eq(ism_region_size(mine), 2 * CHUNK);
	ck_assert_uint_eq(ism_region_requested_size(mine), 100000);
	ok(ism_attach_region(b, ism_region_token(mine), ISM_READ | ISM_WRITE, NULL, &theirs));
	ck_assert_uint_eq(ism_region_size(theirs), 2 * CHUNK);
	for (int i = 0; i < 20; i++) {
		struct ism_region *from = i % 2 ? mine : theirs, *to = i % 2 ? theirs : mine;
		((char *)ism_region_addr(from))[99999] = (char)i;
		ok(ism_region_notify(from));
		ck_assert_int_eq(ok(ism_region_wait(to, 30 * second)), 1);
		ck_assert_int_eq(((char *)ism_region_addr(to))[99999], i);
		ck_assert_int_eq(ok(ism_region_clear(from)), 0);
	}
	ism_detach_region(theirs);
	ck_assert_uint_eq(standin_files(), 1);
	ism_close(b);
	ism_close(a);
	nothing_is_left();
}
END_TEST

START_TEST(a_lent_descriptor_says_so)
{
	struct ism_device *a = device(), *b = device();
	struct ism_event ev;
	struct ism_region *mine[3], *theirs[3];
	struct pollfd p = { .fd = (int)ok(ism_fd(b)), .events = POLLIN };

	for (int i = 0; i < 3; i++) {
		ok(ism_alloc_region(a, 1, NULL, &mine[i]));
		ok(ism_attach_region(b, ism_region_token(mine[i]), ISM_READ, NULL, &theirs[i]));
	}
	for (int i = 0; i < 9; i++) {
		ck_assert_int_eq(poll(&p, 1, 0), 0);
		ok(ism_region_notify(mine[i % 3]));
		ck_assert_int_eq(poll(&p, 1, 30000), 1);
		ck_assert_int_eq(ok(ism_event_next(b, &ev, sizeof ev)), 1);
		ck_assert_uint_eq(ev.type, ISM_EVENT_UPDATE);
		ck_assert_ptr_eq(ev.region, theirs[i % 3]);
		ck_assert_int_eq(ok(ism_event_next(b, &ev, sizeof ev)), 0);
	}
	ism_close(a);
	ism_close(b);
	nothing_is_left();
}
END_TEST

START_TEST(attached_twice)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *mine, *one, *two;

	ok(ism_alloc_region(a, 1, NULL, &mine));
	ok(ism_attach_region(b, ism_region_token(mine), ISM_READ | ISM_WRITE, NULL, &one));
	ok(ism_attach_region(b, ism_region_token(mine), ISM_READ, NULL, &two));
	ck_assert_uint_eq(standin_files(), 2);
	strcpy(ism_region_addr(one), "twice");
	ck_assert_str_eq(ism_region_addr(two), "twice");
	ism_detach_region(one);
	ck_assert_str_eq(ism_region_addr(two), "twice");
	ism_detach_region(two);
	ck_assert_uint_eq(standin_files(), 1);
	ism_detach_region(mine);
	nothing_is_left();
	ism_close(a);
	ism_close(b);
}
END_TEST

START_TEST(what_it_has_not_is_refused)
{
	struct ism_alloc_opts private = { .size = sizeof private, .flags = ISM_ALLOC_PRIVATE };
	struct ism_device *dev = device();
	struct ism_region *r, *none = NULL;

	fails(ism_alloc_region(dev, 1, &private, &none), -EOPNOTSUPP);
	fails(ism_attach_region(dev, UINT64_C(0x4711471147114711), ISM_READ, NULL, &none), -ENOENT);
	ok(ism_alloc_region(dev, 1, NULL, &r));
	fails(ism_region_grant(r, 1, ISM_READ), -EOPNOTSUPP);
	fails(ism_region_grant_default(r, 0), -EOPNOTSUPP);
	fails(ism_region_peers(r, NULL, 0), -EOPNOTSUPP);
	ck_assert_ptr_null(none);
	ism_close(dev);
	nothing_is_left();
}
END_TEST

START_TEST(a_wrong_driver_is_not_believed)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *r, *none = NULL;

	ok(ism_alloc_region(a, 1, NULL, &r));
	standin_faults.no_size = true;
	fails(ism_attach_region(b, ism_region_token(r), ISM_READ, NULL, &none), -EPROTO);
	standin_faults = (struct standin_faults){ .truncates = true };
	fails(ism_alloc_region(b, 1, NULL, &none), -EPROTO);
	standin_faults = (struct standin_faults){ .no_token = true };
	fails(ism_alloc_region(b, 1, NULL, &none), -EPROTO);
	ck_assert_uint_eq(standin_files(), 1);
	ck_assert_uint_eq(standin_regions(), 1);
	ism_close(a);
	ism_close(b);
	nothing_is_left();
}
END_TEST

START_TEST(many)
{
	struct ism_device *dev = device();
	struct ism_region *r[16];

	for (int round = 0; round < 3; round++) {
		ok(ism_alloc_regions(dev, CHUNK, NULL, 16, r));
		for (int i = 0; i < 16; i++)
			*(int *)ism_region_addr(r[i]) = i;
		for (int i = 0; i < 16; i++) {
			ck_assert_int_eq(*(int *)ism_region_addr(r[i]), i);
			ism_detach_region(r[i]);
		}
		ck_assert_uint_eq(standin_regions(), 0);
	}
	ism_close(dev);
	nothing_is_left();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("vism"), *const suites[] = { suite, NULL };
	TCase *t = harness_tcase(suite, "vism", 300);

	tcase_add_test(t, identity_is_not_known);
	tcase_add_test(t, other_devices_are_refused);
	tcase_add_test(t, bytes_and_doorbells_both_ways);
	tcase_add_test(t, a_lent_descriptor_says_so);
	tcase_add_test(t, attached_twice);
	tcase_add_test(t, what_it_has_not_is_refused);
	tcase_add_test(t, a_wrong_driver_is_not_believed);
	tcase_add_test(t, many);
	return harness_main(argc, argv, suites);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * misc.c - fork, references as text, options, listings, counters.
 */
#include "conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

/* ------------------------------------------------------------------ fork */

struct forked {
	struct ism_device *dev;
	struct ism_region *region;
};

static int child_main(void *arg)
{
	struct forked *f = arg;
	struct ism_info info = { .size = sizeof info };
	struct ism_stats stats = { .size = sizeof stats };
	struct ism_region *r;
	struct ism_event ev;
	uint64_t id, cursor = 0;
	struct ism_device_entry e;
	struct ism_domain_info domain = { .size = sizeof domain };
	struct ism_referrer_entry who;
	struct ism_region_entry region;
	struct ism_user_entry user;

	if (strcmp(ism_region_addr(f->region), "before") != 0)
		return 1;
	if (ism_alloc_region(f->dev, 1, NULL, &r) != -EOWNERDEAD ||
	    ism_attach_region(f->dev, 1, ISM_READ, NULL, &r) != -EOWNERDEAD ||
	    ism_region_notify(f->region) != -EOWNERDEAD || ism_region_wait(f->region, 0) != -EOWNERDEAD ||
	    ism_region_clear(f->region) != -EOWNERDEAD || ism_region_fd(f->region) != -EOWNERDEAD ||
	    ism_region_grant(f->region, 1, 0) != -EOWNERDEAD || ism_region_peers(f->region, &id, 1) != -EOWNERDEAD ||
	    ism_query(f->dev, &info) != -EOWNERDEAD || ism_query_stats(f->dev, &stats) != -EOWNERDEAD ||
	    ism_fd(f->dev) != -EOWNERDEAD || ism_wait(f->dev, &ev, 1, sizeof ev, 0) != -EOWNERDEAD ||
	    ism_event_next(f->dev, &ev, sizeof ev) != -EOWNERDEAD || ism_interrupt(f->dev) != -EOWNERDEAD ||
	    ism_list_devices(f->dev, &e, 1, sizeof e, &cursor) != -EOWNERDEAD ||
	    ism_list_regions(f->dev, &region, 1, sizeof region, &cursor) != -EOWNERDEAD ||
	    ism_list_referrers(f->dev, 1, &who, 1, sizeof who, &cursor) != -EOWNERDEAD ||
	    ism_list_users(f->dev, &user, 1, sizeof user, &cursor) != -EOWNERDEAD ||
	    ism_region_grant_default(f->region, 0) != -EOWNERDEAD ||
	    ism_query_domain(f->dev, &domain) != -EOWNERDEAD || ism_kick_device(f->dev, 1) != -EOWNERDEAD ||
	    ism_shut_out(f->dev, 1, NULL, 0, &r) != -EOWNERDEAD)
		return 2;
	ism_detach_region(f->region);
	if (ism_find_device(0) != NULL)
		return 3;
	ism_close(f->dev);
	/* A device of its own is fine. */
	struct ism_device *own;
	if (ism_open("loop:", NULL, &own) < 0 || ism_alloc_region(own, 1, NULL, &r) < 0)
		return 4;
	ism_close(own);
	return 0;
}

START_TEST(a_forked_child_cannot_use_it_and_does_no_harm)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra);
	struct forked f = { a, ra };

	strcpy(ism_region_addr(ra), "before");
	ck_assert_int_eq(harness_reap(harness_fork(child_main, &f), 30), 0);
	ok(ism_region_notify(ra));
	ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(30))), 1);
	ck_assert_int_eq(ok(ism_region_peers(ra, NULL, 0)), 1);
	ism_detach_region(alloc(a, 4096));
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

/* ------------------------------------------------------------------ finding, references */

START_TEST(a_device_is_found_by_its_domain)
{
	struct ism_device *a = device(), *other;
	uint64_t gid = gid_of(a);

	ok(ism_open("loop:another", NULL, &other));
	ck_assert_ptr_eq(ism_find_device(gid), a);
	ck_assert_ptr_eq(ism_find_device(gid_of(other)), other);
	ck_assert_ptr_null(ism_find_device(gid + 1));
	ism_close(a);
	ck_assert_ptr_null(ism_find_device(gid));
	ism_close(other);
	domain_end();
}
END_TEST

START_TEST(a_reference_names_domain_and_token)
{
	struct ism_device *a = device();
	struct ism_region *r = alloc(a, 1);
	char text[ISM_REF_SIZE], expected[ISM_REF_SIZE];
	uint64_t gid, token;

	ck_assert_int_eq(ok(ism_ref_format(r, text, sizeof text)), ISM_REF_SIZE - 1);
	snprintf(expected, sizeof expected, "ism:%016" PRIx64 "/%016" PRIx64, gid_of(a), ism_region_token(r));
	ck_assert_str_eq(text, expected);
	fails(ism_ref_format(r, text, sizeof text - 1), -ENOSPC);
	ok(ism_ref_parse(text, &gid, &token));
	ck_assert_uint_eq(gid, gid_of(a));
	ck_assert_uint_eq(token, ism_region_token(r));
	ism_close(a);
	domain_end();
}
END_TEST

/* ------------------------------------------------------------------ options */

START_TEST(options_grow_by_their_size)
{
	struct {
		struct ism_open_opts opts;
		uint64_t newer;
	} big = { .opts.size = sizeof big };
	struct ism_open_opts opts = { .size = sizeof opts - 1 };
	struct ism_device *dev = NULL;

	ok(ism_open(domain_uri(), &big.opts, &dev));
	ism_close(dev);
	dev = NULL;
	big.newer = 1;
	fails(ism_open(domain_uri(), &big.opts, &dev), -E2BIG);
	fails(ism_open(domain_uri(), &opts, &dev), -EINVAL);
	opts = (struct ism_open_opts){ .size = sizeof opts, .flags = 1u << 30 };
	fails(ism_open(domain_uri(), &opts, &dev), -EINVAL);
	opts = (struct ism_open_opts){ .size = sizeof opts, .window_size = 100 };
	fails(ism_open(domain_uri(), &opts, &dev), -EINVAL);
	ck_assert_ptr_null(dev);
	domain_end();
}
END_TEST

START_TEST(information_is_filled_up_to_the_smaller_size)
{
	struct {
		struct ism_info info;
		uint64_t newer;
	} big = { .info.size = sizeof big, .newer = 7 };
	struct ism_device *a = device();
	struct ism_info info = { .size = sizeof info - 1 };

	fails(ism_query(a, &info), -EINVAL);
	ok(ism_query(a, &big.info));
	ck_assert_uint_eq(big.info.size, sizeof big.info);
	ck_assert_uint_eq(big.newer, 7);
	ism_close(a);
	domain_end();
}
END_TEST

START_TEST(the_window_is_a_power_of_two)
{
	struct ism_open_opts opts = { .size = sizeof opts, .window_size = (5 << 20) + 1 };
	struct ism_device *a = device_with(&opts);
	struct ism_info info = { .size = sizeof info };

	ok(ism_query(a, &info));
	ck_assert_uint_eq(info.window_size, 4 << 20);
	ism_close(a);
	opts.window_size = UINT64_C(1) << 46;	/* more than anybody has: what there is */
	a = device_with(&opts);
	ok(ism_query(a, &info));
	ck_assert_uint_le(info.window_size, UINT64_C(1) << 40);
	ck_assert_uint_eq(info.window_size & (info.window_size - 1), 0);
	ism_close(a);
	domain_end();
}
END_TEST

/* ------------------------------------------------------------------ listings, counters */

START_TEST(a_domain_can_be_looked_at)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *r1 = alloc(a, 100000), *r2 = alloc(b, 1);
	struct ism_device_entry d[16];
	struct ism_region_entry e[16];
	struct ism_referrer_entry f[16];
	uint64_t cursor = 0;
	int n, mine = 0;

	attach_ro(b, r1);
	n = (int)ok(ism_list_devices(a, d, 16, sizeof d[0], &cursor));
	ck_assert_uint_eq(cursor, 0);
	for (int i = 0; i < n; i++) {
		if (d[i].devid == devid_of(a)) {
			mine++;
			ck_assert_uint_eq(d[i].self, 1);
			ck_assert_uint_eq(d[i].regions, 1);
			ck_assert_uint_eq(d[i].bytes, 131072);
			ck_assert(d[i].pid == getpid() || (ISM_WITHOUT_PEERCRED && d[i].pid == 0));
			ck_assert_uint_eq(d[i].uid, geteuid());
		}
	}
	ck_assert_int_eq(mine, 1);
	n = (int)ok(ism_list_regions(a, e, 16, sizeof e[0], &cursor));
	ck_assert_int_eq(n, 2);
	ck_assert_uint_eq(e[0].token, ism_region_token(r1));
	ck_assert_uint_eq(e[1].token, ism_region_token(r2));
	ck_assert_uint_eq(e[0].referrers, 2);
	ck_assert_uint_eq(e[0].requested_size, 100000);
	ck_assert_uint_eq(e[0].creator, devid_of(a));
	n = (int)ok(ism_list_referrers(a, ism_region_token(r1), f, 16, sizeof f[0], &cursor));
	ck_assert_int_eq(n, 2);
	for (int i = 0; i < n; i++) {
		ck_assert_uint_eq(f[i].creator, f[i].devid == devid_of(a));
		ck_assert_uint_eq(f[i].attached, f[i].devid == devid_of(a) ? 3 : 1);
	}
	fails(ism_list_referrers(a, 12345, f, 16, sizeof f[0], &cursor), -ENOENT);
	fails(ism_list_devices(a, d, 0, sizeof d[0], &cursor), -EINVAL);
	fails(ism_list_devices(a, d, 1, 8, &cursor), -EINVAL);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(a_host_tells_what_it_allows_and_what_has_happened)
{
	struct ism_device *a = device(), *b = device();
	struct ism_domain_info d = { .size = sizeof d }, later = { .size = sizeof later };
	struct ism_region *r = alloc(a, 100000), *none;
	struct ism_info info = { .size = sizeof info };
	struct ism_user_entry u[4];
	uint64_t cursor = 0;

	attach(b, r);
	fails(ism_attach_region(b, 12345, ISM_READ, NULL, &none), -ENOENT);
	ok(ism_query(a, &info));
	/* Whoever looked whether the host is ready has gone, but the host need not know yet. */
	eventually(ok(ism_query_domain(a, &d)) == 0 && d.devices == 2, 30);
	ck_assert_uint_eq(d.gid, info.gid);
	ck_assert_uint_eq(d.host, info.host);
	ck_assert_uint_eq(d.host_uid, geteuid());
	ck_assert_str_eq(d.version, ISM_VERSION_STRING);
	ck_assert(d.devices == 2 && d.regions == 1 && d.bytes == 131072);
	ck_assert(d.counted == 1 && d.devices_ever >= 2 && d.allocs == 1 && d.attaches == 1 && d.detaches == 0);
	ck_assert(d.failed == 1 && d.over_quota == 0 && d.kicks == 0);
	ck_assert_uint_eq(d.device_quota.devices, 0);
	ok(ism_query_domain(b, &later));
	ck_assert_uint_eq(later.commands, d.commands + 1);
	ck_assert_int_eq(ok(ism_list_users(a, u, 4, sizeof u[0], &cursor)), 1);
	ck_assert(cursor == 0 && u[0].uid == geteuid() && u[0].devices == 2 && u[0].regions == 2 && u[0].bytes == 2 * 131072);
	ck_assert(u[0].failed == 1 && u[0].over_quota == 0 && u[0].grants == 0);
	ok(ism_region_grant(r, devid_of(b), ISM_READ));
	ok(ism_kick_device(a, devid_of(b)));
	ok(ism_query_domain(a, &later));
	ck_assert(later.kicks == 1 && later.detaches == 1 && later.devices == 1);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(listings_come_in_pages)
{
	enum { NR = 700 };
	struct ism_device *a = device();
	struct ism_region_entry e[7];
	uint64_t cursor = 0, last = 0;
	int total = 0, n;

	for (int i = 0; i < NR; i += 50) {
		struct ism_region *r[50];
		ok(ism_alloc_regions(a, 1, NULL, 50, r));
	}
	do {
		n = (int)ok(ism_list_regions(a, e, 7, sizeof e[0], &cursor));
		for (int i = 0; i < n; i++) {
			ck_assert_uint_gt(e[i].serial, last);
			last = e[i].serial;
		}
		total += n;
	} while (cursor != 0);
	ck_assert_int_eq(total, NR);
	ism_close(a);
	domain_end();
}
END_TEST

START_TEST(counters_count)
{
	struct ism_device *a = device(), *b = device();
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra);
	struct ism_stats s = { .size = sizeof s };

	for (int i = 0; i < 10; i++) {
		ok(ism_region_notify(ra));
		ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(30))), 1);
	}
	ok(ism_query_stats(a, &s));
	ck_assert_uint_eq(s.notifies, 10);
	ck_assert_uint_eq(s.rings_direct + s.rings_host, 10);
	ck_assert_uint_eq(s.wakes_sent + s.wakes_suppressed, 10);
	ck_assert_uint_eq(s.regions, 1);
	ck_assert_uint_eq(s.bytes, 65536);
	ck_assert_uint_ge(s.control_calls, 1);
	ism_detach_region(ra);
	ok(ism_query_stats(a, &s));
	ck_assert_uint_eq(s.regions, 0);
	ck_assert_uint_eq(s.bytes, 0);
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

START_TEST(words_for_every_code)
{
	ck_assert_str_eq(ism_strerror(0), "success");
	ck_assert_str_eq(ism_strerror(-ENOSPC), ism_strerror(ENOSPC));
	ck_assert_str_ne(ism_strerror(-EPIPE), ism_strerror(-EHOSTDOWN));
	ck_assert_str_eq(ism_strerror(-99999), "unknown error");
	ck_assert_str_eq(ism_strerror(INT32_MIN), "unknown error");
	ck_assert_str_eq(ism_version(), ISM_VERSION_STRING);
	ism_close(NULL);
	ism_detach_region(NULL);
}
END_TEST

/* ------------------------------------------------------------------ many devices in one program */

START_TEST(one_poll_watches_many_devices)
{
	enum { MANY = 102 };	/* the kernel lets 100 paths of epolls in epolls lead to one file */
	struct ism_open_opts opts = { .size = sizeof opts, .window_size = 1 << 20 };
	struct ism_device *a = device(), *dev[MANY];
	struct ism_region *ra = alloc(a, 4096), *r[MANY];
	int poll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN };

	ck_assert_int_ge(poll, 0);
	for (int i = 0; i < MANY; i++) {
		dev[i] = device_with(&opts);
		r[i] = attach(dev[i], ra);
		drain(dev[i], ISM_EVENT_ATTACH);
		ev.data.u32 = (uint32_t)i;
		ck_assert_msg(epoll_ctl(poll, EPOLL_CTL_ADD, ok(ism_fd(dev[i])), &ev) == 0, "device %d: %s", i, strerror(errno));
	}
	ok(ism_region_notify(ra));
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(ok(ism_region_wait(r[i], SECONDS(30))), 1);
	for (int i = 0; i < MANY; i++)
		ism_close(dev[i]);
	close(poll);
	ism_close(a);
	domain_end();
}
END_TEST

/* ------------------------------------------------------------------ out of descriptors */

/* From here on nobody in this process gets a descriptor; returns what the limit was. */
static struct rlimit no_more_descriptors(struct ism_region *any)
{
	struct rlimit was, now;

	/* A host in this process closes what it made for its last answer before it gives the next one. */
	ok(ism_region_peers(any, NULL, 0));
	int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(lowest, 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	close(lowest);
	now = was;
	now.rlim_cur = (rlim_t)lowest;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
	return was;
}

static bool is_shortage(int r)
{
	return r == -EMFILE || r == -ENOMEM;	/* ENOMEM: the host, in this process, has none either */
}

START_TEST(out_of_descriptors_is_an_error_and_no_more)
{
	if (getenv("ISM_TEST_VALGRIND") != NULL)
		harness_skip("valgrind has a limit of its own, which descriptors that are received pass by");

	struct ism_attach_opts vector = { .size = sizeof vector, .flags = ISM_ATTACH_VECTOR };
	struct ism_device *a = device(), *b = device(), *c;
	struct ism_region *ra = alloc(a, 4096), *rb = attach(b, ra), *unseen = alloc(a, 4096), *more;
	struct rlimit was = no_more_descriptors(ra);

	ck_assert(is_shortage(ism_alloc_region(a, 4096, NULL, &more)));
	ck_assert(ism_open(domain_uri(), NULL, &c) < 0);
	ck_assert_int_eq(ism_fd(a), -EMFILE);
	int r = ism_attach_region(b, ism_region_token(unseen), ISM_READ | ISM_WRITE, NULL, &more);
	ck_assert_msg(is_shortage(r) || (backend == LOOP && r == 0), "%d: %s", r, ism_error_detail());
	if (r == 0)
		ism_detach_region(more);
	r = ism_attach_region(b, ism_region_token(ra), ISM_READ | ISM_WRITE, &vector, &more);
	ck_assert_msg(is_shortage(r) || (backend == LOOP && r == 0), "%d: %s", r, ism_error_detail());
	if (r == 0)
		ism_detach_region(more);
	for (int i = 0; i < 5; i++) {	/* doorbells need none, and do without what would make them faster */
		ok(ism_region_notify(ra));
		ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(30))), 1);
		ok(ism_region_notify(rb));
		ck_assert_int_eq(ok(ism_region_wait(ra, SECONDS(30))), 1);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);

	ck_assert_uint_eq(drain(a, ISM_EVENT_RESET) + drain(b, ISM_EVENT_RESET), 0);
	ck_assert_int_eq(ok(ism_region_peers(unseen, NULL, 0)), 0);
	more = attach(b, unseen);
	ok(ism_region_notify(unseen));
	ck_assert_int_eq(ok(ism_region_wait(more, SECONDS(30))), 1);
	ism_detach_region(more);
	ok(ism_attach_region(b, ism_region_token(ra), ISM_READ, &vector, &more));
	ck_assert_uint_eq(ism_region_flags(more) & ISM_ALLOC_VECTOR, ISM_ALLOC_VECTOR);
	ok(ism_fd(a));
	ism_close(a);
	ism_close(b);
	domain_end();
}
END_TEST

Suite *misc_suite(void)
{
	Suite *s = suite_create("misc");
	TCase *tc = harness_tcase(s, "misc", 300);

	tcase_add_test(tc, a_forked_child_cannot_use_it_and_does_no_harm);
	tcase_add_test(tc, a_device_is_found_by_its_domain);
	tcase_add_test(tc, a_reference_names_domain_and_token);
	tcase_add_test(tc, options_grow_by_their_size);
	tcase_add_test(tc, information_is_filled_up_to_the_smaller_size);
	tcase_add_test(tc, the_window_is_a_power_of_two);
	if (!in_machine())
		tcase_add_test(tc, a_domain_can_be_looked_at);
	if (!in_machine())
		tcase_add_test(tc, a_host_tells_what_it_allows_and_what_has_happened);
	tcase_add_test(tc, listings_come_in_pages);
	tcase_add_test(tc, counters_count);
	tcase_add_test(tc, words_for_every_code);
	if (!in_machine())
		tcase_add_test(tc, one_poll_watches_many_devices);
	tcase_add_test(tc, out_of_descriptors_is_an_error_and_no_more);
	return s;
}

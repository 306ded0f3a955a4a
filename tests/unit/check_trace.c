/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_trace.c - what "trace:" shows, and what it finds.
 */
#include "harness.h"

#include <errno.h>
#include <inttypes.h>
#include <ism-emu.h>
#include <ism-ring.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char text[1 << 18];

/* To a file whose name the harness does not mind. */
static void trace_to_file(void)
{
	char file[128];

	snprintf(file, sizeof file, "%s/.trace", harness_dir());
	setenv("ISM_TRACE", file, 1);
}

static const char *trace_text(void)
{
	FILE *f = fopen(getenv("ISM_TRACE"), "re");

	ck_assert_ptr_nonnull(f);
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	return text;
}

static void shows(const char *words)
{
	ck_assert_msg(strstr(trace_text(), words) != NULL, "not in the trace: \"%s\"\n%s", words, text);
}

static unsigned int count(const char *words)
{
	unsigned int n = 0;

	for (const char *at = trace_text(); (at = strstr(at, words)) != NULL; at++)
		n++;
	return n;
}

/* The last wrong use is this one, and says both places. */
static void is_misuse(const char *words, bool ended)
{
	const char *last = NULL;

	for (const char *at = trace_text(); (at = strstr(at, "MISUSE: ")) != NULL; at++)
		last = at;
	ck_assert_msg(last != NULL && strstr(last, words) != NULL, "not the last wrong use: \"%s\"\n%s", words, text);
	ck_assert_msg(strstr(last, "\n    called from ") != NULL, "%s", last);
	ck_assert_msg(!ended || strstr(last, "\n    it ended at ") != NULL, "%s", last);
}

struct pair {
	struct ism_device *a, *b;
	struct ism_region *ra, *rb;
};

static struct pair pair_open(void)
{
	struct pair p;

	trace_to_file();
	ok(ism_open("trace:loop:t", NULL, &p.a));
	ok(ism_open("trace:loop:t", NULL, &p.b));
	ok(ism_alloc_region(p.a, 100, NULL, &p.ra));
	ok(ism_attach_region(p.b, ism_region_token(p.ra), ISM_READ | ISM_WRITE, NULL, &p.rb));
	return p;
}

static void pair_close(struct pair *p)
{
	ism_close(p->a);
	ism_close(p->b);
}

/* ------------------------------------------------------------------ what is shown */

START_TEST(each_call_with_arguments_result_and_duration)
{
	struct pair p = pair_open();
	struct ism_info info = { .size = sizeof info };
	struct ism_event ev[4];
	struct ism_region *none;

	shows("ism_open(\"loop:t\") = 0, dev 1: device 1 of domain ");
	shows("ism_alloc_regions(dev 1, 100 bytes, 1) = 0, region 1 (token ");
	shows("ism_attach_region(dev 2, token ");
	shows(".., rw) = 0, region 2 (token ");
	ok(ism_query(p.a, &info));
	ck_assert_str_eq(info.backend, "loop");
	shows("ism_query(dev 1) = 0 <");
	ck_assert_int_eq(ok(ism_wait(p.a, ev, 4, sizeof ev[0], SECONDS(1))), 1);
	shows("ism_wait(dev 1, 4 events, 1 s) ...");
	shows("ism_wait(dev 1, 4 events, 1 s) = 1: ATTACH region 1 by device 2 <");
	ok(ism_region_notify(p.ra));
	shows("ism_region_notify(region 1) = 0 <");
	ck_assert_int_eq(ok(ism_event_next(p.b, ev, sizeof ev[0])), 1);
	shows("ism_event_next(dev 2) = 1: UPDATE region 2 by device 1 <");
	ck_assert_int_eq(ok(ism_region_wait(p.rb, SECONDS(0.002))), 0);
	shows("ism_region_wait(region 2, 2 ms) = 0 <");
	ck_assert_int_eq(ok(ism_region_clear(p.rb)), 0);
	shows("ism_region_clear(region 2) = 0 <");
	ok(ism_region_grant(p.ra, info.devid + 1, ISM_READ));
	shows("ism_region_grant(region 1, device 2, r) = 0 <");
	ok(ism_region_grant_default(p.ra, 0));
	shows("ism_region_grant_default(region 1, no rights) = 0 <");
	fails(ism_attach_region(p.a, 1, ISM_READ, NULL, &none), -ENOENT);
	shows("ism_attach_region(dev 1, token 0000.., r) = -2 (no region has this token");
	ck_assert_int_eq(ok(ism_region_peers(p.ra, NULL, 0)), 1);
	shows("ism_region_peers(region 1) = 1 <");
	ck_assert_int_gt(ok(ism_region_fd(p.ra)), 0);
	shows("ism_region_fd(region 1) = ");
	ism_detach_region(p.ra);
	shows("ism_detach_region(region 1) = 0 <");
	ism_detach_region(p.rb);
	pair_close(&p);
	shows("ism_close(dev 1) = 0 <");
	ck_assert_uint_eq(count("MISUSE"), 0);
	ck_assert_uint_eq(count("LEFT"), 0);
}
END_TEST

START_TEST(rings_too)
{
	struct pair p = pair_open();
	struct ism_ring *out, *in;
	char buf[16];

	ok(ism_ring_create(p.ra, ISM_RING_WRITER, NULL, &out));
	ok(ism_ring_attach(p.rb, ISM_RING_READER, NULL, &in));
	shows("ism_ring_create(region 1, writer) = 0, ring ");
	shows("ism_ring_attach(region 2, reader) = 0, ring ");
	ok(ism_ring_write(out, "hello", 5, 0));
	shows(", 5 bytes, 0 ns) = 0 <");
	ck_assert_int_eq(ok(ism_ring_read(in, buf, sizeof buf, -1)), 5);
	shows(", 16 bytes, for ever) = 5 <");
	fails(ism_ring_read(in, buf, sizeof buf, 0), -EAGAIN);
	shows("= -11 (the ring is empty) <");
	ism_ring_close(in);
	fails(ism_ring_read(in, buf, sizeof buf, 0), -EINVAL);
	is_misuse("this ring is gone: ism_ring_close() ended it ", true);
	ism_ring_close(in);
	is_misuse("ism_ring_close(ring ", true);
	ism_detach_region(p.ra);
	fails(ism_ring_write(out, "x", 1, 0), -EINVAL);
	is_misuse("this region is gone: ism_detach_region() ended it ", true);
	ism_ring_close(out);		/* wrong too: it had to be first */
	ck_assert_uint_eq(count("MISUSE"), 4);
	pair_close(&p);
}
END_TEST

START_TEST(tokens_are_not_shown)
{
	struct pair p = pair_open();
	uint64_t token = ism_region_token(p.ra), cursor = 0;
	struct ism_referrer_entry who[4];
	struct ism_region *again, *none;
	char digits[40], ref[ISM_REF_SIZE];

	ok(ism_attach_region(p.b, token, ISM_READ, NULL, &again));
	ok(ism_region_grant_default(p.ra, 0));
	ok(ism_region_grant(p.ra, 2, 0));
	fails(ism_attach_region(p.b, token, ISM_READ, NULL, &none), -ENOENT);
	ok(ism_list_referrers(p.a, token, who, 4, sizeof who[0], &cursor));
	ok(ism_ref_format(p.ra, ref, sizeof ref));
	fails(ism_attach_region(p.b, token, 77, NULL, &none), -EINVAL);
	pair_close(&p);		/* lists what is left */
	shows("LEFT: region 1 (token ");
	snprintf(digits, sizeof digits, "%016" PRIx64, token);
	for (int i = 0; i + 6 <= 16; i++) {	/* four digits are shown, so six anywhere are too many */
		char some[7] = { 0 };
		memcpy(some, digits + i, 6);
		ck_assert_msg(strstr(trace_text(), some) == NULL, "%s, of token %s, is in the trace\n%s", some, digits, text);
	}
	snprintf(digits, sizeof digits, "%" PRIu64, token);
	ck_assert_ptr_null(strstr(text, digits));
}
END_TEST

START_TEST(injected_faults_are_shown)
{
	struct ism_emu_opts opts = { .size = sizeof opts, .faults = "alloc:1=ENOSPC,notify:1=drop", .flags = ISM_EMU_LOOP };
	struct ism_device *dev;
	struct ism_region *region;
	struct ism_emu *emu;
	char uri[200];

	trace_to_file();
	ok(ism_emu_start(&opts, &emu));
	snprintf(uri, sizeof uri, "trace:%s", ism_emu_uri(emu));
	ok(ism_open(uri, NULL, &dev));
	fails(ism_alloc_region(dev, 1, NULL, &region), -ENOSPC);
	shows("= -28 (injected fault: alloc number 1 fails)");
	ok(ism_alloc_region(dev, 1, NULL, &region));
	ok(ism_region_notify(region));
	shows("ism_region_notify(region 1) = 0 (dropped)");
	ism_close(dev);
	ism_emu_stop(emu);
}
END_TEST

START_TEST(where_it_goes)
{
	struct ism_device *dev;
	char before[128];

	/* Nobody asked: standard error, which the harness keeps. */
	unsetenv("ISM_TRACE");
	ok(ism_open("trace:loop:", NULL, &dev));
	ism_close(dev);
	setenv("ISM_TRACE", "/no/such/directory/trace", 1);
	fails(ism_open("trace:loop:", NULL, &dev), -ENOENT);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "ISM_TRACE=\"/no/such/directory/trace\""));
	/* A relative name is meant as of now. */
	ck_assert_ptr_nonnull(getcwd(before, sizeof before));
	ck_assert_int_eq(chdir(harness_dir()), 0);
	setenv("ISM_TRACE", ".relative", 1);
	ok(ism_open("trace:loop:", NULL, &dev));
	ck_assert_int_eq(chdir("/"), 0);
	ism_close(dev);
	ck_assert_int_eq(chdir(harness_dir()), 0);
	shows("ism_close(dev 2) = 0 <");
	ck_assert_int_eq(chdir(before), 0);
}
END_TEST

START_TEST(before_any_uri)
{
	struct ism_device *dev;
	char uri[200];

	trace_to_file();
	snprintf(uri, sizeof uri, "trace:%s", harness_uri("x"));
	setenv("ISM_DEVICE", uri, 1);
	ok(ism_open(NULL, NULL, &dev));
	shows("ism_open(\"emu:/");
	ism_close(dev);
	ok(ism_open("trace:", NULL, &dev));	/* not $ISM_DEVICE once more */
	shows("ism_open(\"emu:\") = 0, dev 2");
	ism_close(dev);
	fails(ism_open("trace:what:", NULL, &dev), -EINVAL);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "trace:"));
	fails(ism_open("trace:trace:loop:", NULL, &dev), -EINVAL);
	ck_assert_int_lt(ism_open("trace:emu:/no/such/directory/x", NULL, &dev), 0);
	shows("ism_open(\"emu:/no/such/directory/x\") = -");
}
END_TEST

START_TEST(a_device_that_is_not_traced_is_not_shown)
{
	struct pair p = pair_open();
	struct ism_device *dev;
	struct ism_region *region;
	unsigned int lines = count("\n");

	ok(ism_open("loop:t", NULL, &dev));
	ok(ism_attach_region(dev, ism_region_token(p.ra), ISM_READ | ISM_WRITE, NULL, &region));
	ok(ism_region_notify(region));
	ism_detach_region(region);
	ism_close(dev);
	ck_assert_uint_eq(count("\n"), lines);
	pair_close(&p);
}
END_TEST

/* ------------------------------------------------------------------ what is found */

START_TEST(a_region_that_is_gone)
{
	struct pair p = pair_open();
	struct ism_region *r = p.rb;
	uint64_t id;
	char ref[ISM_REF_SIZE];
	struct ism_ring *ring = NULL;

	ism_detach_region(r);
	ism_detach_region(r);
	is_misuse("ism_detach_region(region 2): this region is gone: ism_detach_region() ended it ", true);
	fails(ism_region_notify(r), -EINVAL);
	is_misuse("ism_region_notify(region 2): this region is gone", true);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "this region is gone"));
	fails(ism_region_wait(r, SECONDS(100)), -EINVAL);
	fails(ism_region_clear(r), -EINVAL);
	fails(ism_region_fd(r), -EINVAL);
	fails(ism_region_peers(r, &id, 1), -EINVAL);
	fails(ism_region_grant(r, 1, 0), -EINVAL);
	fails(ism_region_grant_default(r, 0), -EINVAL);
	fails(ism_ring_create(r, ISM_RING_READER, NULL, &ring), -EINVAL);
	fails(ism_ring_attach(r, ISM_RING_READER, NULL, &ring), -EINVAL);
	fails(ism_ref_format(r, ref, sizeof ref), -EINVAL);
	ck_assert_uint_eq(count("MISUSE"), 11);
	ck_assert_ptr_null(ism_region_addr(r));
	is_misuse("ism_region_addr(region 2): this region is gone", true);
	ck_assert_uint_eq(ism_region_size(r) + ism_region_requested_size(r) + ism_region_token(r) + ism_region_rights(r) +
			  ism_region_flags(r), 0);
	ck_assert_ptr_null(ism_region_device(r));
	ism_region_set_data(r, &p);
	ck_assert_ptr_null(ism_region_data(r));
	ck_assert_uint_eq(count("MISUSE"), 20);
	/* The other one is as good as before. */
	ok(ism_region_notify(p.ra));
	pair_close(&p);
	ck_assert_uint_eq(count("MISUSE"), 20);
}
END_TEST

START_TEST(a_device_that_is_closed)
{
	struct pair p = pair_open();
	struct ism_info info = { .size = sizeof info };
	struct ism_stats stats = { .size = sizeof stats };
	struct ism_device_entry devices[2];
	struct ism_region_entry regions[2];
	struct ism_referrer_entry referrers[2];
	struct ism_user_entry users[2];
	struct ism_domain_info domain = { .size = sizeof domain };
	struct ism_event ev;
	uint64_t cursor = 0;

	ism_close(p.b);
	shows("LEFT: region 2 (token ");
	shows("bytes) was not detached before ism_close(dev 2); from ");
	ism_close(p.b);
	is_misuse("ism_close(dev 2): this device is gone: ism_close() ended it ", true);
	fails(ism_alloc_region(p.b, 1, NULL, &p.rb), -EINVAL);
	is_misuse("ism_alloc_regions(dev 2, 1 bytes, 1): this device is gone", true);
	fails(ism_attach_region(p.b, 1, ISM_READ, NULL, &p.rb), -EINVAL);
	fails(ism_query(p.b, &info), -EINVAL);
	fails(ism_query_stats(p.b, &stats), -EINVAL);
	fails(ism_fd(p.b), -EINVAL);
	fails(ism_wait(p.b, &ev, 1, sizeof ev, -1), -EINVAL);
	fails(ism_event_next(p.b, &ev, sizeof ev), -EINVAL);
	fails(ism_list_devices(p.b, devices, 2, sizeof devices[0], &cursor), -EINVAL);
	fails(ism_list_regions(p.b, regions, 2, sizeof regions[0], &cursor), -EINVAL);
	fails(ism_list_referrers(p.b, 1, referrers, 2, sizeof referrers[0], &cursor), -EINVAL);
	fails(ism_list_users(p.b, users, 2, sizeof users[0], &cursor), -EINVAL);
	fails(ism_query_domain(p.b, &domain), -EINVAL);
	fails(ism_kick_device(p.b, 1), -EINVAL);
	fails(ism_shut_out(p.b, 1, NULL, 0, &p.rb), -EINVAL);
	/* Its regions went with it. */
	fails(ism_region_notify(p.rb), -EINVAL);
	is_misuse("ism_region_notify(region 2): this region is gone: ism_close() ended it ", true);
	ism_detach_region(p.rb);
	ck_assert_uint_eq(count("MISUSE"), 17);
	ck_assert_ptr_null(ism_find_device(info.gid));
	ism_close(p.a);
}
END_TEST

static int child(void *arg)
{
	struct pair *p = arg;
	struct ism_event ev;

	if (ism_region_wait(p->ra, SECONDS(100)) != -EOWNERDEAD || ism_wait(p->a, &ev, 1, sizeof ev, -1) != -EOWNERDEAD ||
	    ism_region_addr(p->ra) == NULL)
		return 1;
	ism_detach_region(p->ra);
	ism_close(p->a);
	return 0;
}

START_TEST(a_wait_in_a_forked_child)
{
	struct pair p = pair_open();
	char words[128];

	ck_assert_int_eq(harness_reap(harness_fork(child, &p), 30), 0);
	snprintf(words, sizeof words, "ism_region_wait(region 1, 100 s): this is a forked child; the device is of process %d",
		 (int)getpid());
	shows(words);
	shows("ism_wait(dev 1, 1 events, for ever): this is a forked child");
	ck_assert_uint_eq(count("MISUSE"), 2);
	ok(ism_region_notify(p.ra));
	pair_close(&p);
}
END_TEST

static void *wait_for_ring(void *arg)
{
	return (void *)(intptr_t)ism_region_wait(arg, SECONDS(30));
}

static void *wait_for_record(void *arg)
{
	char buf[8];

	return (void *)(intptr_t)ism_ring_read(arg, buf, sizeof buf, SECONDS(30));
}

START_TEST(an_end_under_a_waiting_thread)
{
	struct pair p = pair_open();
	pthread_t t;
	void *r;

	pthread_create(&t, NULL, wait_for_ring, p.rb);
	eventually(count("ism_region_wait(region 2, 30 s) ...") == 1, 30);
	ism_detach_region(p.rb);
	is_misuse("ism_detach_region(region 2): thread ", false);
	is_misuse(" has been in ism_region_wait() on it for ", false);
	ism_close(p.b);
	is_misuse("ism_close(dev 2): thread ", false);
	ok(ism_region_notify(p.ra));	/* nothing happened to it */
	pthread_join(t, &r);
	ck_assert_int_eq((intptr_t)r, 1);
	ism_detach_region(p.rb);
	ck_assert_uint_eq(count("MISUSE"), 2);
	pair_close(&p);
}
END_TEST

START_TEST(an_end_under_a_thread_that_reads_a_ring)
{
	struct pair p = pair_open();
	struct ism_ring *out, *in;
	pthread_t t;
	void *r;

	ok(ism_ring_create(p.ra, ISM_RING_WRITER, NULL, &out));
	ok(ism_ring_attach(p.rb, ISM_RING_READER, NULL, &in));
	pthread_create(&t, NULL, wait_for_record, in);
	eventually(count(", 8 bytes, 30 s) ...") == 1, 30);
	ism_detach_region(p.rb);
	is_misuse("ism_detach_region(region 2): thread ", false);
	ism_ring_close(in);
	is_misuse("ism_ring_close(ring ", false);
	ok(ism_ring_write(out, "x", 1, 0));
	pthread_join(t, &r);
	ck_assert_int_eq((intptr_t)r, 1);
	ism_ring_close(in);
	ism_ring_close(out);
	pair_close(&p);
}
END_TEST

static int leaves(void *arg)
{
	struct ism_device *dev;

	(void)arg;
	trace_to_file();
	ok(ism_open("trace:loop:", NULL, &dev));
	exit(0);	/* not _exit(): its handlers are what is tried here */
}

START_TEST(a_device_that_is_never_closed)
{
	trace_to_file();
	ck_assert_int_eq(harness_reap(harness_fork(leaves, NULL), 30), 0);
	shows("LEFT: dev 1 was never closed; opened at ");
}
END_TEST

/* Many handles: what is kept of them has a bound, and the newest are known. */
START_TEST(handles_come_and_go)
{
	struct pair p = pair_open();
	struct ism_region *last = NULL;

	setenv("ISM_TRACE", "/dev/null", 1);
	struct ism_device *dev;
	ok(ism_open("trace:loop:t", NULL, &dev));	/* the trace goes there from now on */
	for (int i = 0; i < 70000; i++) {
		ok(ism_attach_region(dev, ism_region_token(p.ra), ISM_READ, NULL, &last));
		ism_detach_region(last);
	}
	fails(ism_region_clear(last), -EINVAL);
	ism_close(dev);
	pair_close(&p);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("trace");
	TCase *tc = harness_tcase(s, "shown", 300);

	tcase_add_test(tc, each_call_with_arguments_result_and_duration);
	tcase_add_test(tc, rings_too);
	tcase_add_test(tc, tokens_are_not_shown);
	tcase_add_test(tc, injected_faults_are_shown);
	tcase_add_test(tc, where_it_goes);
	tcase_add_test(tc, before_any_uri);
	tcase_add_test(tc, a_device_that_is_not_traced_is_not_shown);
	tc = harness_tcase(s, "found", 300);
	tcase_add_test(tc, a_region_that_is_gone);
	tcase_add_test(tc, a_device_that_is_closed);
	tcase_add_test(tc, a_wait_in_a_forked_child);
	tcase_add_test(tc, an_end_under_a_waiting_thread);
	tcase_add_test(tc, an_end_under_a_thread_that_reads_a_ring);
	tcase_add_test(tc, a_device_that_is_never_closed);
	tcase_add_test(tc, handles_come_and_go);
	Suite *const suites[] = { s, NULL };
	return harness_main(argc, argv, suites);
}

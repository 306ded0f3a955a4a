/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_hosts.c - who becomes the host, and what happens when it is gone.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ism-ring.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ------------------------------------------------------------------ fifty at once */

enum { RACERS = 50 };

struct race {
	struct channel ready, start, result, again;
	char uri[160];
};

static uint64_t open_once(const char *uri, struct ism_device **ret)
{
	struct ism_open_opts opts = { .size = sizeof opts, .timeout_ms = 60000 };
	struct ism_info info = { .size = sizeof info };

	if (ism_open(uri, &opts, ret) < 0 || ism_query(*ret, &info) < 0) {
		fprintf(stderr, "open: %s\n", ism_error_detail());
		return 0;
	}
	return (uint64_t)info.host_pid << 32 | info.devid;
}

/* Open when told; report host and device; again after the host's death. */
static int racer_main(void *arg)
{
	struct race *race = arg;
	struct ism_device *dev, *second;
	struct ism_event ev;

	channel_put(&race->ready, 1);
	channel_get(&race->start);
	channel_put(&race->result, open_once(race->uri, &dev));
	do {
		if (ism_wait(dev, &ev, 1, sizeof ev, SECONDS(60)) != 1)
			return 1;
	} while (ev.type != ISM_EVENT_RESET);
	channel_put(&race->result, open_once(race->uri, &second));
	channel_get(&race->again);
	ism_close(second);
	ism_close(dev);
	return 0;
}

/* Everybody's report: one host, and nobody has the same device.  The host's pid. */
static pid_t check_reports(struct race *race, int nr)
{
	uint64_t seen[RACERS];
	pid_t host = 0;

	for (int i = 0; i < nr; i++) {
		seen[i] = channel_get(&race->result);
		ck_assert_uint_ne(seen[i], 0);
		if (host == 0)
			host = (pid_t)(seen[i] >> 32);
		ck_assert_int_eq(host, (pid_t)(seen[i] >> 32));
		for (int k = 0; k < i; k++)
			ck_assert_uint_ne(seen[i], seen[k]);
	}
	return host;
}

START_TEST(of_fifty_openers_one_hosts_and_all_connect)
{
	struct race race;
	pid_t pid[RACERS];
	unsigned int reaped = 0;

	HARNESS_NEEDS_PIDS();
	snprintf(race.uri, sizeof race.uri, "%s", harness_uri("race"));
	channel_open(&race.ready);
	channel_open(&race.start);
	channel_open(&race.result);
	channel_open(&race.again);
	for (int i = 0; i < RACERS; i++)
		pid[i] = harness_fork(racer_main, &race);
	for (int i = 0; i < RACERS; i++)
		channel_get(&race.ready);
	for (int i = 0; i < RACERS; i++)
		channel_put(&race.start, 1);
	pid_t host = check_reports(&race, RACERS);
	/* Its death is everybody's RESET, and the next election. */
	harness_kill(host);
	pid_t next = check_reports(&race, RACERS - 1);
	ck_assert_int_ne(host, next);
	for (int i = 0; i < RACERS - 1; i++)
		channel_put(&race.again, 1);
	for (int i = 0; i < RACERS; i++) {
		if (pid[i] == host)
			continue;
		ck_assert_int_eq(harness_reap(pid[i], 30), 0);
		reaped++;
	}
	ck_assert_uint_eq(reaped, RACERS - 1);
	channel_close(&race.ready);
	channel_close(&race.start);
	channel_close(&race.result);
	channel_close(&race.again);
}
END_TEST

/* ------------------------------------------------------------------ one process */

START_TEST(a_process_hosts_as_long_as_it_has_a_device)
{
	struct ism_device *a, *b, *c;
	struct ism_info info = { .size = sizeof info };
	struct ism_event ev;

	HARNESS_NEEDS_PIDS();
	ok(ism_open(harness_uri("one"), NULL, &a));
	ok(ism_open(harness_uri("one"), NULL, &b));
	ok(ism_query(b, &info));
	ck_assert_uint_eq(info.host, ISM_HOST_EMBEDDED);
	ck_assert_int_eq(info.host_pid, getpid());
	ism_close(a);
	ok(ism_open(harness_uri("one"), NULL, &c));
	ck_assert_int_eq(ok(ism_wait(b, &ev, 1, sizeof ev, 0)), 0);
	ism_close(b);
	ism_close(c);
	char path[160];
	snprintf(path, sizeof path, "%s/one", harness_dir());
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(the_same_name_is_the_same_domain_again)
{
	struct ism_info info = { .size = sizeof info }, other = { .size = sizeof other };
	struct ism_device *a, *b;
	char twisted[200];

	ok(ism_open(harness_uri("name"), NULL, &a));
	ok(ism_query(a, &info));
	snprintf(twisted, sizeof twisted, "emu:%s/./../%s/name", harness_dir(), strrchr(harness_dir(), '/') + 1);
	ok(ism_open(twisted, NULL, &b));
	ok(ism_query(b, &other));
	ck_assert_uint_eq(info.gid, other.gid);
	ck_assert_uint_ne(info.devid, other.devid);
	ism_close(a);
	ism_close(b);
	ok(ism_open(harness_uri("name"), NULL, &a));
	ok(ism_query(a, &other));
	ck_assert_uint_eq(info.gid, other.gid);
	ism_close(a);
	ok(ism_open(harness_uri("other"), NULL, &a));
	ok(ism_query(a, &other));
	ck_assert_uint_ne(info.gid, other.gid);
	ism_close(a);
}
END_TEST

START_TEST(ismd_and_processes_do_not_host_one_domain_twice)
{
	struct ism_open_opts opts = { .size = sizeof opts, .flags = ISM_OPEN_NO_HOST };
	struct ism_info info = { .size = sizeof info };
	struct ism_device *dev;

	HARNESS_NEEDS_PIDS();
	fails(ism_open(harness_uri("d"), &opts, &dev), -EHOSTDOWN);
	pid_t ismd = harness_ismd("d", NULL);
	ok(ism_open(harness_uri("d"), NULL, &dev));
	ok(ism_query(dev, &info));
	ck_assert_uint_eq(info.host, ISM_HOST_DAEMON);
	ck_assert_int_eq(info.host_pid, ismd);
	harness_ismd_stop(ismd);
	ism_close(dev);
}
END_TEST

/* A device in a process that may have a few descriptors more than now: does it say why it cannot be had? */
static int open_with(void *arg)
{
	rlim_t most = *(const rlim_t *)arg;
	struct rlimit lim = { most, most };
	struct ism_device *dev;

	setenv("ISM_LOG", "none", 1);	/* the host logs it as well */
	setrlimit(RLIMIT_NOFILE, &lim);
	int r = ism_open(harness_uri("few"), NULL, &dev);
	if (r == 0)
		ism_close(dev);
	return r == 0 ? 0 : *ism_error_detail() != '\0' ? 1 : 2;
}

START_TEST(who_cannot_host_for_want_of_descriptors_says_so)
{
	rlim_t most = 4;
	int r;

	do {
		most++;
		r = harness_reap(harness_fork(open_with, &most), 30);
		ck_assert_msg(r < 2, "with %d descriptors: %d", (int)most, r);
	} while (r != 0);
}
END_TEST

START_TEST(who_cannot_start_a_thread_does_not_wait_for_another_host)
{
	pthread_attr_t attr;
	struct ism_device *dev;

	pthread_attr_init(&attr);
	if (pthread_attr_setstacksize(&attr, SIZE_MAX / 4 & ~(size_t)0xffff) != 0 || pthread_setattr_default_np(&attr) != 0)
		harness_skip("threads cannot be made to fail here");
	fails(ism_open(harness_uri("t"), NULL, &dev), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "thread"));
}
END_TEST

START_TEST(a_directory_that_others_can_write_is_refused)
{
	struct ism_device *dev;
	char path[160], uri[200];

	snprintf(path, sizeof path, "%s/.open", harness_dir());
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(chmod(path, 0777), 0);
	snprintf(uri, sizeof uri, "emu:%s/x", path);
	fails(ism_open(uri, NULL, &dev), -EHOSTDOWN);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "start ismd"));
	fails(ism_open("emu:/no/such/dir/x", NULL, &dev), -ENOENT);
}
END_TEST

START_TEST(what_is_no_socket_is_not_replaced)
{
	struct ism_device *dev;
	char path[160];

	snprintf(path, sizeof path, "%s/file", harness_dir());
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	ck_assert_int_lt(ism_open(harness_uri("file"), NULL, &dev), 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	fails(ism_open(harness_uri("file"), &(struct ism_open_opts){ .size = sizeof(struct ism_open_opts), .flags = ISM_OPEN_NO_HOST },
		       &dev), -EEXIST);
	unlink(path);
	unlink(strcat(path, ".lock"));
}
END_TEST

/* Something listens there, but it is not one of us. */
START_TEST(a_stranger_on_the_socket_is_told_apart)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct ism_open_opts opts = { .size = sizeof opts, .timeout_ms = 300 };
	struct ism_device *dev;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/stream", harness_dir());
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	fails(ism_open(harness_uri("stream"), &opts, &dev), -EPROTO);
	close(fd);
	unlink(addr.sun_path);

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);	/* and this one never answers */
	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/mute", harness_dir());
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	fails(ism_open(harness_uri("mute"), &opts, &dev), -ETIMEDOUT);
	close(fd);
	unlink(addr.sun_path);
}
END_TEST

/* ------------------------------------------------------------------ after the host's death */

struct survivors {
	struct channel token, to_child, to_parent;
	char uri[160];
};

/* Share a region with the parent, ring it whenever told, and answer rings. */
static int survivor_main(void *arg)
{
	struct survivors *s = arg;
	struct ism_device *dev;
	struct ism_region *region;

	if (ism_open(s->uri, NULL, &dev) < 0 ||
	    ism_attach_region(dev, channel_get(&s->token), ISM_READ | ISM_WRITE, NULL, &region) < 0)
		return 1;
	channel_put(&s->to_parent, 1);
	for (;;) {
		int r = ism_region_wait(region, SECONDS(60));
		if (r != 1)
			return r == -EPIPE || r == -EHOSTDOWN ? 0 : 2;
		*(int *)ism_region_addr(region) += 1;
		r = ism_region_notify(region);
		if (r < 0)
			return 3;
	}
}

START_TEST(survivors_go_on_sharing_and_ringing)
{
	struct survivors s;
	pid_t ismd = harness_ismd("d", NULL), child;
	struct ism_device *dev;
	struct ism_region *region, *lonely, *more;
	struct ism_stats stats = { .size = sizeof stats };
	struct ism_event ev;

	snprintf(s.uri, sizeof s.uri, "%s", harness_uri("d"));
	channel_open(&s.token);
	channel_open(&s.to_child);
	channel_open(&s.to_parent);
	child = harness_fork(survivor_main, &s);
	ok(ism_open(s.uri, NULL, &dev));
	ok(ism_alloc_region(dev, 4096, NULL, &region));
	ok(ism_alloc_region(dev, 4096, NULL, &lonely));
	channel_put(&s.token, ism_region_token(region));
	channel_get(&s.to_parent);
	for (int i = 0; i < 20; i++) {	/* enough for both to have taken up the link */
		ok(ism_region_notify(region));
		ck_assert_int_eq(ok(ism_region_wait(region, SECONDS(30))), 1);
	}
	ok(ism_query_stats(dev, &stats));
	ck_assert_uint_eq(stats.links, 1);
	ck_assert_uint_gt(stats.rings_direct, 10);
	harness_kill(ismd);
	do
		ck_assert_int_eq(ok(ism_wait(dev, &ev, 1, sizeof ev, SECONDS(30))), 1);
	while (ev.type != ISM_EVENT_RESET);
	/* Control has ended, sharing has not. */
	fails(ism_alloc_region(dev, 1, NULL, &more), -EHOSTDOWN);
	fails(ism_region_peers(region, NULL, 0), -EHOSTDOWN);
	for (int i = 0; i < 20; i++) {
		ok(ism_region_notify(region));
		ck_assert_int_eq(ok(ism_region_wait(region, SECONDS(30))), 1);
	}
	ck_assert_int_eq(*(int *)ism_region_addr(region), 40);
	/* Nobody can ring this one any more. */
	fails(ism_region_wait(lonely, SECONDS(30)), -EHOSTDOWN);
	/* And the peer's death is seen without a host. */
	harness_kill(child);
	int r = ism_region_wait(region, SECONDS(30));
	ck_assert_msg(r == -EPIPE || r == -EHOSTDOWN, "%d", r);
	ism_detach_region(region);
	ism_close(dev);
	ok(ism_open(s.uri, NULL, &dev));	/* takes over the dead one's socket and lock */
	ism_close(dev);
	channel_close(&s.token);
	channel_close(&s.to_child);
	channel_close(&s.to_parent);
}
END_TEST

/* The writer sleeps, and cannot be woken: what the reader took is the reader's all the same. */
START_TEST(a_record_is_read_although_its_writer_cannot_be_woken)
{
	pid_t ismd = harness_ismd("r", NULL);
	struct ism_device *a, *b;
	struct ism_region *mine, *theirs;
	struct ism_ring *out, *in;
	struct ism_event ev;
	unsigned char buf[1024] = { 0 };
	unsigned int written = 0, read = 0;

	ok(ism_open(harness_uri("r"), NULL, &a));
	ok(ism_open(harness_uri("r"), NULL, &b));
	ok(ism_alloc_region(a, 1, NULL, &mine));
	ok(ism_ring_create(mine, ISM_RING_WRITER, NULL, &out));
	ok(ism_attach_region(b, ism_region_token(mine), ISM_READ | ISM_WRITE, NULL, &theirs));
	ok(ism_ring_attach(theirs, ISM_RING_READER, NULL, &in));
	ok(ism_ring_fd(out));	/* so that a full ring asks to be rung */
	for (buf[0] = 0; ism_ring_write(out, buf, sizeof buf, 0) == 0; buf[0]++)
		written++;
	harness_ismd_stop(ismd);
	do
		ck_assert_int_eq(ok(ism_wait(b, &ev, 1, sizeof ev, SECONDS(30))), 1);
	while (ev.type != ISM_EVENT_RESET);
	while (ism_ring_read(in, buf, sizeof buf, 0) == sizeof buf)
		ck_assert_uint_eq(buf[0], read++);
	ck_assert_uint_eq(read, written);
	ism_ring_close(in);
	ism_ring_close(out);
	ism_close(b);
	ism_close(a);
}
END_TEST

/* The one has never rung the other, which has a link to it: its first ring goes to a host that dies with it. */
START_TEST(what_a_dead_host_had_to_pass_on_is_rung_again)
{
	pid_t ismd = harness_ismd("p", NULL);
	struct ism_stats stats = { .size = sizeof stats };
	struct ism_device *a, *b;
	struct ism_region *mine, *theirs;
	struct ism_event ev;

	ok(ism_open(harness_uri("p"), NULL, &a));
	ok(ism_open(harness_uri("p"), NULL, &b));
	ok(ism_alloc_region(a, 1, NULL, &mine));
	ok(ism_attach_region(b, ism_region_token(mine), ISM_READ | ISM_WRITE, NULL, &theirs));
	for (int i = 0; i < 20; i++) {
		ok(ism_region_notify(theirs));
		ck_assert_int_eq(ok(ism_region_wait(mine, SECONDS(30))), 1);
	}
	ok(ism_query_stats(b, &stats));
	ck_assert_uint_gt(stats.rings_direct, 0);
	harness_stop(ismd);
	ok(ism_region_notify(mine));
	harness_kill(ismd);
	do
		ck_assert_int_eq(ok(ism_wait(a, &ev, 1, sizeof ev, SECONDS(30))), 1);
	while (ev.type != ISM_EVENT_RESET);
	ck_assert_int_eq(ok(ism_region_wait(theirs, SECONDS(30))), 1);
	ism_close(b);
	ism_close(a);
	ok(ism_open(harness_uri("p"), NULL, &a));	/* takes over the dead one's socket and lock */
	ism_close(a);
}
END_TEST

static Suite *hosts_suite(void)
{
	Suite *s = suite_create("hosts");
	TCase *tc = harness_tcase(s, "hosts", 600);

	tcase_add_test(tc, of_fifty_openers_one_hosts_and_all_connect);
	tcase_add_test(tc, a_process_hosts_as_long_as_it_has_a_device);
	tcase_add_test(tc, the_same_name_is_the_same_domain_again);
	tcase_add_test(tc, ismd_and_processes_do_not_host_one_domain_twice);
	tcase_add_test(tc, who_cannot_host_for_want_of_descriptors_says_so);
	tcase_add_test(tc, who_cannot_start_a_thread_does_not_wait_for_another_host);
	tcase_add_test(tc, a_directory_that_others_can_write_is_refused);
	tcase_add_test(tc, what_is_no_socket_is_not_replaced);
	tcase_add_test(tc, a_stranger_on_the_socket_is_told_apart);
	tcase_add_test(tc, survivors_go_on_sharing_and_ringing);
	tcase_add_test(tc, a_record_is_read_although_its_writer_cannot_be_woken);
	tcase_add_test(tc, what_a_dead_host_had_to_pass_on_is_rung_again);
	return s;
}

int main(int argc, char **argv)
{
	Suite *const suites[] = { hosts_suite(), NULL };

	return harness_main(argc, argv, suites);
}

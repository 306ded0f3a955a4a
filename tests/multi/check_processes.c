/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_processes.c - what only shows between real processes: fork, system
 * calls that are not made, many devices, a peer that scribbles.
 */
#include "harness.h"

#include <errno.h>
#include <ism-ring.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct shared {
	struct channel to_child, to_parent;
	char uri[160];
};

static void shared_open(struct shared *s, const char *name)
{
	channel_open(&s->to_child);
	channel_open(&s->to_parent);
	snprintf(s->uri, sizeof s->uri, "%s", harness_uri(name));
}

static void shared_close(struct shared *s)
{
	channel_close(&s->to_child);
	channel_close(&s->to_parent);
}

/* ------------------------------------------------------------------ fork */

/* Fork a child that sleeps and outlives us, tell its pid, and sleep as well. */
static void __attribute__((noreturn)) sleep_with_child(struct shared *s)
{
	pid_t child = fork();

	if (child == 0)
		prctl(PR_SET_PDEATHSIG, 0);
	else
		channel_put(&s->to_parent, (uint64_t)child);
	for (;;)
		pause();
}

/* Open, share, and sleep with a child. */
static int parent_main(void *arg)
{
	struct shared *s = arg;
	struct ism_device *dev;
	struct ism_region *region;

	if (ism_open(s->uri, NULL, &dev) < 0 ||
	    ism_attach_region(dev, channel_get(&s->to_child), ISM_READ, NULL, &region) < 0)
		return 1;
	sleep_with_child(s);
}

START_TEST(a_sleeping_child_does_not_keep_its_dead_parents_device)
{
	pid_t ismd = harness_ismd("d", NULL), parent, child;
	struct ism_device *dev;
	struct ism_region *region;
	struct ism_event ev;
	struct shared s;

	shared_open(&s, "d");
	parent = harness_fork(parent_main, &s);
	ok(ism_open(s.uri, NULL, &dev));
	ok(ism_alloc_region(dev, 4096, NULL, &region));
	channel_put(&s.to_child, ism_region_token(region));
	child = (pid_t)channel_get(&s.to_parent);
	ck_assert_int_eq(ok(ism_wait(dev, &ev, 1, sizeof ev, SECONDS(30))), 1);
	ck_assert_uint_eq(ev.type, ISM_EVENT_ATTACH);
	double begin = harness_now();
	harness_kill(parent);
	ck_assert_int_eq(ok(ism_wait(dev, &ev, 1, sizeof ev, SECONDS(30))), 1);
	printf("DETACH came %.1f ms after the parent's death\n", (harness_now() - begin) * 1e3);
	ck_assert_uint_eq(ev.type, ISM_EVENT_DETACH);
	ck_assert_int_eq(kill(child, 0), 0);
	kill(child, SIGKILL);
	ism_close(dev);
	shared_close(&s);
	harness_ismd_stop(ismd);
}
END_TEST

/* The same where the dead parent was the host. */
static int hosting_parent_main(void *arg)
{
	struct shared *s = arg;
	struct ism_device *dev;

	if (ism_open(s->uri, NULL, &dev) < 0)
		return 1;
	sleep_with_child(s);
}

START_TEST(a_sleeping_child_does_not_keep_its_dead_parents_domain)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_device *dev, *next;
	pid_t parent, child;
	struct ism_event ev;
	struct shared s;

	HARNESS_NEEDS_PIDS();
	shared_open(&s, "h");
	parent = harness_fork(hosting_parent_main, &s);
	child = (pid_t)channel_get(&s.to_parent);
	ok(ism_open(s.uri, NULL, &dev));
	ok(ism_query(dev, &info));
	ck_assert_int_eq(info.host_pid, parent);
	harness_kill(parent);
	ck_assert_int_eq(ok(ism_wait(dev, &ev, 1, sizeof ev, SECONDS(30))), 1);
	ck_assert_uint_eq(ev.type, ISM_EVENT_RESET);
	ok(ism_open(s.uri, NULL, &next));
	ok(ism_query(next, &info));
	ck_assert_int_eq(info.host_pid, getpid());
	ck_assert_int_eq(kill(child, 0), 0);
	kill(child, SIGKILL);
	ism_close(next);
	ism_close(dev);
	shared_close(&s);
}
END_TEST

/* In the child, before the library closes there what is its parent's. */
static struct {
	bool wanted;
	struct channel there, go;
} linger;

static void linger_in_child(void)
{
	if (!linger.wanted)
		return;
	channel_put(&linger.there, 1);
	channel_get(&linger.go);
}

static int do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int client_main(void *arg)
{
	struct shared *s = arg;
	struct ism_device *dev;

	if (ism_open(s->uri, NULL, &dev) < 0)
		return 1;
	channel_put(&s->to_parent, 1);
	channel_get(&s->to_child);
	ism_close(dev);
	return 0;
}

static uint64_t devices(struct ism_device *dev)
{
	struct ism_domain_info info = { .size = sizeof info };

	ok(ism_query_domain(dev, &info));
	return info.devices;
}

/* The child has the host's end of the client's connection still: what happens to that is not the client's, who is freed. */
START_TEST(a_host_that_forks_forgets_a_client_that_goes)
{
	struct ism_device *dev, *other;
	struct ism_region *region;
	pid_t client, child;
	struct shared s;

	shared_open(&s, "d");
	channel_open(&linger.there);
	channel_open(&linger.go);
	pthread_atfork(NULL, NULL, linger_in_child);	/* in front of the library's */
	ok(ism_open(s.uri, NULL, &dev));
	client = harness_fork(client_main, &s);
	channel_get(&s.to_parent);
	linger.wanted = true;
	child = harness_fork(do_nothing, NULL);
	linger.wanted = false;
	channel_get(&linger.there);
	channel_put(&s.to_child, 1);
	ck_assert_int_eq(harness_reap(client, 30), 0);
	eventually(devices(dev) == 1, 30);
	/* It may be where the other was, and its answer is due later. */
	ok(ism_open(s.uri, NULL, &other));
	fails(ism_attach_region(other, 1, ISM_READ, NULL, &region), -ENOENT);
	channel_put(&linger.go, 1);
	ck_assert_int_eq(harness_reap(child, 30), 0);
	ism_close(other);
	ism_close(dev);
	channel_close(&linger.there);
	channel_close(&linger.go);
	shared_close(&s);
}
END_TEST

/* ------------------------------------------------------------------ system calls */

/* From here on, any system call but the end of the process kills it. */
static int forbid_system_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { .len = 4, .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

enum { RINGS = 100000, NO_SECCOMP = 3 };

static bool rings_directly(struct ism_device *dev)
{
	struct ism_stats stats = { .size = sizeof stats };

	return ism_query_stats(dev, &stats) == 0 && stats.rings_direct > 0;
}

/* Ring a peer that is awake, without a single system call. */
static int ringer_main(void *arg)
{
	struct shared *s = arg;
	struct ism_device *dev;
	struct ism_region *region;
	int rounds = 0;

	if (ism_open(s->uri, NULL, &dev) < 0 ||
	    ism_attach_region(dev, channel_get(&s->to_child), ISM_READ | ISM_WRITE, NULL, &region) < 0)
		return 1;
	for (; !rings_directly(dev) && rounds < 1000; rounds++) {	/* until the direct doorbell is set up */
		if (ism_region_notify(region) < 0 || ism_region_wait(region, SECONDS(30)) != 1)
			return 2;
	}
	if (!rings_directly(dev))
		return 4;
	if (!forbid_system_calls())
		return NO_SECCOMP;
	for (int i = 0; i < RINGS; i++)
		ism_region_notify(region);
	_exit(0);
}

START_TEST(ringing_a_peer_that_is_awake_makes_no_system_call)
{
	double deadline = harness_now() + 120;
	pid_t ismd, ringer;
	struct ism_device *dev;
	struct ism_region *region;
	struct shared s;
	long taken = 0;
	int r;

	if (HARNESS_SANITIZED)
		harness_skip("the sanitizer makes system calls of its own");
	ismd = harness_ismd("d", NULL);
	shared_open(&s, "d");
	ringer = harness_fork(ringer_main, &s);
	ok(ism_open(s.uri, NULL, &dev));
	ok(ism_alloc_region(dev, 4096, NULL, &region));
	channel_put(&s.to_child, ism_region_token(region));
	/* Awake whatever else runs on this machine: a wait that spins may be made to sleep. */
	while ((r = ism_region_wait(region, 0)) != -EPIPE && harness_now() < deadline) {
		if (r == 1 && taken++ < 1000)
			ok(ism_region_notify(region));
	}
	int status = harness_reap(ringer, 30);
	if (status == NO_SECCOMP)
		harness_skip("this machine has no seccomp filters");
	ck_assert_msg(status == 0, "the ringer made a system call (status %d)", status);
	ck_assert_int_eq(r, -EPIPE);
	ck_assert_int_gt(taken, 0);
	ism_close(dev);
	shared_close(&s);
	harness_ismd_stop(ismd);
}
END_TEST

/* ------------------------------------------------------------------ many devices on one region */

enum { CROWD = 300, CROWD_PROCESSES = 3 };

static int crowd_main(void *arg)
{
	struct ism_open_opts opts = { .size = sizeof opts, .window_size = 1 << 20, .spin_us = ISM_SPIN_NONE };
	struct shared *s = arg;
	uint64_t token = channel_get(&s->to_child);
	static struct ism_device *dev[CROWD];
	static struct ism_region *region[CROWD];

	for (int i = 0; i < CROWD; i++) {
		if (ism_open(s->uri, &opts, &dev[i]) < 0 ||
		    ism_attach_region(dev[i], token, ISM_READ, NULL, &region[i]) < 0) {
			fprintf(stderr, "device %d: %s\n", i, ism_error_detail());
			return 1;
		}
	}
	channel_put(&s->to_parent, 1);
	for (int i = 0; i < CROWD; i++) {
		int r = ism_region_wait(region[i], SECONDS(60));
		if (r != 1)
			return 2;
	}
	channel_put(&s->to_parent, 1);
	channel_get(&s->to_child);
	return 0;
}

START_TEST(one_ring_reaches_hundreds_of_devices)
{
	const char *args[] = { "--set", "user-devices=2000", NULL };
	pid_t ismd = harness_ismd("d", args), pid[CROWD_PROCESSES];
	struct ism_device *dev;
	struct ism_region *region;
	struct shared s;

	shared_open(&s, "d");
	ok(ism_open(s.uri, NULL, &dev));
	ok(ism_alloc_region(dev, 4096, NULL, &region));
	for (int i = 0; i < CROWD_PROCESSES; i++)
		pid[i] = harness_fork(crowd_main, &s);
	for (int i = 0; i < CROWD_PROCESSES; i++)
		channel_put(&s.to_child, ism_region_token(region));
	for (int i = 0; i < CROWD_PROCESSES; i++)
		channel_get(&s.to_parent);
	ck_assert_int_eq(ok(ism_region_peers(region, NULL, 0)), CROWD * CROWD_PROCESSES);
	ok(ism_region_notify(region));
	for (int i = 0; i < CROWD_PROCESSES; i++)
		channel_get(&s.to_parent);
	for (int i = 0; i < CROWD_PROCESSES; i++)
		channel_put(&s.to_child, 1);
	for (int i = 0; i < CROWD_PROCESSES; i++)
		ck_assert_int_eq(harness_reap(pid[i], 30), 0);
	eventually(ok(ism_region_peers(region, NULL, 0)) == 0, 30);
	ism_close(dev);
	shared_close(&s);
	harness_ismd_stop(ismd);
}
END_TEST

/* ------------------------------------------------------------------ a peer that scribbles */

static uint64_t random64(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Write over every byte of the region at full speed until killed. */
static int scribbler_main(void *arg)
{
	struct shared *s = arg;
	struct ism_device *dev;
	struct ism_region *region;
	uint64_t seed = 88172645463325252u;

	if (ism_open(s->uri, NULL, &dev) < 0 ||
	    ism_attach_region(dev, channel_get(&s->to_child), ISM_READ | ISM_WRITE, NULL, &region) < 0)
		return 1;
	_Atomic uint64_t *word = ism_region_addr(region);
	size_t nr = ism_region_size(region) / 8;
	channel_put(&s->to_parent, 1);
	for (;;) {
		uint64_t v = random64(&seed);
		size_t at = v >> 50 ? v % nr : v % 64;	/* the headers more often */
		switch (v >> 60) {
		case 0: case 1: case 2: case 3:
			atomic_store_explicit(&word[at], v, memory_order_relaxed);
			break;
		case 4: case 5: case 6:		/* heads that are nearly right */
			atomic_store_explicit(&word[at], (v & 3) << 32 | (v >> 8 & 0xffff), memory_order_relaxed);
			break;
		default:
			atomic_store_explicit(&word[at], v & 0xff, memory_order_relaxed);
		}
		if (v % 1000 == 0)
			ism_region_notify(region);
	}
}

/* One end after another on a ring that is written over all the time. */
static void use_ring(struct ism_region *region, uint32_t role, unsigned int *ends)
{
	unsigned char buf[5000] = { 0 };
	struct ism_ring *ring;
	int64_t r = 0;

	if ((*ends)++ % 2 == 0)
		ok(ism_ring_create(region, role, NULL, &ring));
	else if (ism_ring_attach(region, role, NULL, &ring) < 0)
		return;
	for (int i = 0; i < 200 && r >= -EAGAIN; i++)
		r = role == ISM_RING_READER ? ism_ring_read(ring, buf, sizeof buf, 100000)
					    : ism_ring_write(ring, buf, (size_t)i * 20, 100000);
	if (r < 0 && r != -EPROTO && r != -EPIPE && r != -ECONNRESET && r != -ETIMEDOUT && r != -EMSGSIZE && r != -EAGAIN)
		ck_abort_msg("a scribbled ring gave %lld: %s", (long long)r, ism_error_detail());
	ism_ring_close(ring);
}

START_TEST(a_scribbling_peer_cannot_leave_the_ring)
{
	pid_t ismd = harness_ismd("d", NULL), scribbler;
	struct ism_device *dev;
	struct ism_region *guard1, *region, *guard2;
	unsigned int ends = 0;
	struct shared s;

	shared_open(&s, "d");
	scribbler = harness_fork(scribbler_main, &s);
	ok(ism_open(s.uri, NULL, &dev));
	ok(ism_alloc_region(dev, 65536, NULL, &guard1));	/* its neighbours in the window */
	ok(ism_alloc_region(dev, 65536, NULL, &region));
	ok(ism_alloc_region(dev, 65536, NULL, &guard2));
	channel_put(&s.to_child, ism_region_token(region));
	channel_get(&s.to_parent);
	/* So long, and until it has been tried often enough. */
	for (double begin = harness_now(); harness_now() < begin + 3 || (ends <= 20 && harness_now() < begin + 120);)
		use_ring(region, ends / 2 % 2 ? ISM_RING_READER : ISM_RING_WRITER, &ends);
	const unsigned char *g1 = ism_region_addr(guard1), *g2 = ism_region_addr(guard2);
	for (size_t i = 0; i < 65536; i++) {
		if (g1[i] != 0 || g2[i] != 0)
			ck_abort_msg("a neighbouring region was written at %zu", i);
	}
	ck_assert_uint_gt(ends, 20);
	printf("%u ends of rings under a scribbling peer\n", ends);
	harness_kill(scribbler);
	ism_close(dev);
	shared_close(&s);
	harness_ismd_stop(ismd);
}
END_TEST

/* ------------------------------------------------------------------ rings between sleeps */

enum { BURSTS = 200, BURST = 400, WRITER_ORDER = 196, LIGHT = 2 };	/* doc/shm-layout.md */

static struct ism_device *open_sleeper(const struct shared *s)
{
	struct ism_open_opts opts = { .size = sizeof opts, .spin_us = ISM_SPIN_NONE };
	struct ism_device *dev;

	return ism_open(s->uri, &opts, &dev) < 0 ? NULL : dev;
}

/* Read all, asleep whenever there is nothing, and say what it came to. */
static int sleeper_main(void *arg)
{
	struct shared *s = arg;
	struct ism_device *dev = open_sleeper(s);
	struct ism_region *region;
	struct ism_ring *ring;
	uint64_t sum = 0, v;

	if (dev == NULL || ism_attach_region(dev, channel_get(&s->to_child), ISM_READ | ISM_WRITE, NULL, &region) < 0 ||
	    ism_ring_attach(region, ISM_RING_READER, NULL, &ring) < 0)
		return 1;
	channel_put(&s->to_parent, 1);
	for (int i = 0; i < BURSTS * BURST; i++) {
		if (ism_ring_read(ring, &v, sizeof v, SECONDS(30)) != sizeof v)
			return 2;
		sum += v;
	}
	channel_put(&s->to_parent, sum);
	return 0;
}

/* After a burst the writer knows its reader for one that is awake; after a pause that sleeps. */
START_TEST(a_reader_of_another_process_sleeps_through_nothing)
{
	pid_t ismd = harness_ismd("d", NULL), sleeper;
	struct ism_region *region;
	struct ism_ring *ring;
	unsigned int light = 0;
	uint64_t sum = 0;
	struct shared s;

	shared_open(&s, "d");
	sleeper = harness_fork(sleeper_main, &s);
	struct ism_device *dev = open_sleeper(&s);
	ok(ism_alloc_region(dev, 65536, NULL, &region));
	ok(ism_ring_create(region, ISM_RING_WRITER, NULL, &ring));
	channel_put(&s.to_child, ism_region_token(region));
	channel_get(&s.to_parent);
	_Atomic uint32_t *order = (_Atomic uint32_t *)((unsigned char *)ism_region_addr(region) + WRITER_ORDER);
	for (uint64_t i = 0; i < BURSTS * BURST; i++) {
		ok(ism_ring_write(ring, &i, sizeof i, SECONDS(30)));
		sum += i;
		if (i % BURST == BURST - 1) {
			light += atomic_load(order) == LIGHT;
			usleep((useconds_t)(i / BURST * 37 % 500));
		}
	}
	ck_assert_uint_eq(channel_get(&s.to_parent), sum);
	ck_assert_int_eq(harness_reap(sleeper, 30), 0);
	printf("after %u of %d bursts the writer only looked\n", light, BURSTS);
	ism_ring_close(ring);
	ism_close(dev);
	shared_close(&s);
	harness_ismd_stop(ismd);
}
END_TEST

static Suite *processes_suite(void)
{
	Suite *s = suite_create("processes");
	TCase *tc = harness_tcase(s, "processes", 600);

	tcase_add_test(tc, a_sleeping_child_does_not_keep_its_dead_parents_device);
	tcase_add_test(tc, a_sleeping_child_does_not_keep_its_dead_parents_domain);
	tcase_add_test(tc, a_host_that_forks_forgets_a_client_that_goes);
	tcase_add_test(tc, ringing_a_peer_that_is_awake_makes_no_system_call);
	tcase_add_test(tc, one_ring_reaches_hundreds_of_devices);
	tcase_add_test(tc, a_scribbling_peer_cannot_leave_the_ring);
	tcase_add_test(tc, a_reader_of_another_process_sleeps_through_nothing);
	return s;
}

int main(int argc, char **argv)
{
	Suite *const suites[] = { processes_suite(), NULL };

	return harness_main(argc, argv, suites);
}

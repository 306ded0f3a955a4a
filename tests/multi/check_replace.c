/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_replace.c - a peer is shut out while two others speak through a ring: one
 * that writes, one that reads, one that does not care, one that is stopped, and
 * one that writes over all it can reach; by a manager, and by `ism replace`.
 */
#include "board.h"
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ism-ring.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ------------------------------------------------------------------ the one who decides */

struct play {
	struct board *b;
	struct ism_device *dev;
	struct ism_region *region;
	pid_t writer, reader, outcast, tool;
};

static void begin(struct play *p, const char *uri, enum outcast kind)
{
	p->b = board_new(uri, kind);
	ok(ism_open(uri, &board_patient, &p->dev));
	ok(ism_alloc_region(p->dev, SIZE, NULL, &p->region));
	atomic_store(&p->b->token, ism_region_token(p->region));
	p->writer = harness_fork(board_writer, p->b);
	board_wait(&p->b->ready);
	p->reader = harness_fork(board_reader, p->b);
	p->outcast = kind == NOBODY ? 0 : harness_fork(board_outcast, p->b);
	eventually(atomic_load(&p->b->ready) == (kind == NOBODY ? 2 : 3), 30);
}

static void replace(struct play *p)
{
	struct ism_region *next;

	ok(ism_region_replace(p->region, NULL, &next));
	ism_detach_region(p->region);
	p->region = next;
}

static void shut_out(struct play *p)
{
	ok(ism_region_grant(p->region, atomic_load(&p->b->outcast), 0));
	replace(p);
	atomic_store(&p->b->replaced, 1);
}

static int tool_main(void *arg)
{
	const struct board *b = arg;
	const char *program = getenv("ISM_TEST_ISM");
	char devid[24], token[24];

	snprintf(devid, sizeof devid, "%llu", (unsigned long long)atomic_load(&b->outcast));
	snprintf(token, sizeof token, "%016llx", (unsigned long long)atomic_load(&b->token));
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
	execl(program != NULL ? program : "./ism", "ism", "replace", "--device", b->uri, "--timeout", "60", "--without", devid,
	      token, (char *)NULL);
	return 127;
}

/* `ism replace` is under way: it waits for us to go over, and we do not. */
static void begin_tool(struct play *p)
{
	struct ism_region_entry e[8];
	bool replaced = false;

	p->tool = harness_fork(tool_main, p->b);
	while (!replaced) {
		uint64_t cursor = 0;
		long n = ok(ism_list_regions(p->dev, e, 8, sizeof e[0], &cursor));
		for (long i = 0; i < n; i++)	/* the reader is there, too */
			replaced |= e[i].token != ism_region_token(p->region) && e[i].referrers >= 2;
		harness_pause();
	}
	atomic_store(&p->b->replaced, 1);
}

static void go_over(struct play *p)
{
	struct ism_region *next;

	ok(ism_attach_successor(p->region, ISM_READ | ISM_WRITE, NULL, &next));
	ism_detach_region(p->region);
	p->region = next;
}

static void shut_out_by_tool(struct play *p)
{
	begin_tool(p);
	go_over(p);
	ck_assert_int_eq(harness_reap(p->tool, 60), 0);
}

static void finish(struct play *p)
{
	atomic_store(&p->b->stop, 1);
	ck_assert_int_eq(harness_reap(p->reader, 60), 0);
	ck_assert_int_eq(harness_reap(p->writer, 60), 0);
	atomic_store(&p->b->done, 1);
	if (p->outcast != 0)
		ck_assert_int_eq(harness_reap(p->outcast, 60), 0);
	printf("%llu records written, %llu read%s\n", (unsigned long long)atomic_load(&p->b->written),
	       (unsigned long long)atomic_load(&p->b->read), atomic_load(&p->b->broken) ? ", then it was broken" : "");
	if (p->b->kind != SCRIBBLES)
		ck_assert_uint_eq(atomic_load(&p->b->written), atomic_load(&p->b->read));
	ism_detach_region(p->region);
	ism_close(p->dev);
	munmap(p->b, sizeof *p->b);
}

static void passes(const _Atomic uint64_t *count, uint64_t more)
{
	uint64_t from = atomic_load(count);

	eventually(atomic_load(count) >= from + more, 60);
}

/* At full speed, the peer goes; what is said afterwards is not for it. */
static void a_peer_is_shut_out(enum outcast kind, void (*by)(struct play *p))
{
	struct play p;

	begin(&p, harness_uri("d"), kind);
	atomic_store(&p.b->go, 1);
	passes(&p.b->read, 2000);
	if (kind == STOPPED)
		kill(p.outcast, SIGSTOP);
	by(&p);
	eventually(atomic_load(&p.b->over) == 2, 60);
	atomic_store(&p.b->tell, 1);
	passes(&p.b->read, 2000);
	if (kind == STOPPED)
		kill(p.outcast, SIGCONT);
	if (kind == WRITES) {	/* it goes on, and nobody sees it */
		const uint64_t *words = ism_region_addr(p.region);
		for (size_t i = RING / 8; i < SIZE / 8; i++)
			ck_assert_uint_eq(words[i], 0);
	}
	finish(&p);
}

START_TEST(one_that_writes)
{
	a_peer_is_shut_out(WRITES, shut_out);
}
END_TEST

START_TEST(one_that_reads)
{
	a_peer_is_shut_out(READS, shut_out);
}
END_TEST

START_TEST(one_that_does_not_care)
{
	a_peer_is_shut_out(IGNORES, shut_out);
}
END_TEST

START_TEST(one_that_is_stopped)
{
	a_peer_is_shut_out(STOPPED, shut_out);
}
END_TEST

/* It may break the ring, as it could before; it cannot hang or crash anybody, nor reach the successor. */
START_TEST(one_that_writes_over_all)
{
	struct play p;

	begin(&p, harness_uri("d"), SCRIBBLES);
	atomic_store(&p.b->go, 1);
	passes(&p.b->read, 500);
	shut_out(&p);
	uint64_t from = atomic_load(&p.b->read);
	eventually(atomic_load(&p.b->broken) || atomic_load(&p.b->left) ||
		   (atomic_load(&p.b->over) == 2 && atomic_load(&p.b->read) > from + 500), 60);
	const uint64_t *words = ism_region_addr(p.region);
	for (size_t i = RING / 8; i < SIZE / 8; i++)
		ck_assert_uint_eq(words[i], 0);
	finish(&p);
}
END_TEST

START_TEST(many_successors_at_full_speed)
{
	struct play p;

	begin(&p, harness_uri("d"), IGNORES);
	atomic_store(&p.b->go, 1);
	passes(&p.b->read, 1000);
	shut_out(&p);
	for (int i = 0; i < 60; i++) {
		replace(&p);
		if (i % 3)
			passes(&p.b->read, 200);
	}
	passes(&p.b->read, 1000);
	finish(&p);
}
END_TEST

/* The daemon dies between the replace and the switch: both still find the successor. */
START_TEST(the_daemon_dies_before_anybody_has_gone_over)
{
	pid_t ismd = harness_ismd_kept("d", NULL);
	struct play p;

	begin(&p, harness_uri("d"), READS);
	for (int i = 0; i < 5; i++) {
		if (i == 0)
			shut_out(&p);
		else
			replace(&p);
		harness_kill(ismd);
		if (i == 2)
			atomic_store(&p.b->go, 1);	/* while there is none */
		ismd = harness_ismd_kept("d", NULL);
		if (i >= 2)
			passes(&p.b->read, 500);
	}
	eventually(atomic_load(&p.b->over) == 2, 60);
	atomic_store(&p.b->tell, 1);
	passes(&p.b->read, 500);
	finish(&p);
	harness_ismd_stop(ismd);
}
END_TEST

START_TEST(one_that_writes_by_the_tool)
{
	a_peer_is_shut_out(WRITES, shut_out_by_tool);
}
END_TEST

START_TEST(one_that_reads_by_the_tool)
{
	a_peer_is_shut_out(READS, shut_out_by_tool);
}
END_TEST

START_TEST(one_that_is_stopped_by_the_tool)
{
	a_peer_is_shut_out(STOPPED, shut_out_by_tool);
}
END_TEST

/* The reader has gone over, the writer and the creator have not. */
START_TEST(the_daemon_dies_while_the_tool_waits)
{
	pid_t ismd = harness_ismd_kept("d", NULL);
	struct play p;

	begin(&p, harness_uri("d"), READS);
	begin_tool(&p);
	for (int i = 0; i < 3; i++) {
		harness_kill(ismd);
		if (i == 1)
			atomic_store(&p.b->go, 1);
		ismd = harness_ismd_kept("d", NULL);
	}
	passes(&p.b->read, 500);
	go_over(&p);
	ck_assert_int_eq(harness_reap(p.tool, 60), 0);
	eventually(atomic_load(&p.b->over) == 2, 60);
	atomic_store(&p.b->tell, 1);
	passes(&p.b->read, 500);
	finish(&p);
	harness_ismd_stop(ismd);
}
END_TEST

START_TEST(the_tool_dies_while_it_waits)
{
	struct play p;

	begin(&p, harness_uri("d"), READS);
	begin_tool(&p);
	harness_kill(p.tool);
	atomic_store(&p.b->go, 1);
	passes(&p.b->read, 500);
	eventually(atomic_load(&p.b->over) == 2, 60);
	go_over(&p);
	atomic_store(&p.b->tell, 1);
	passes(&p.b->read, 500);
	finish(&p);
}
END_TEST

/* An end that dies on the way is noticed, though the one shut out is still there. */
START_TEST(an_end_that_dies_before_it_goes_over)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_device *a, *b, *c;
	struct ism_region *ra, *rb, *rc, *next;
	struct ism_ring *here, *there;
	char buf[64];

	for (int i = 0; i < 2; i++) {
		ok(ism_open("loop:", NULL, &a));
		ok(ism_open("loop:", NULL, &b));
		ok(ism_open("loop:", NULL, &c));
		ok(ism_query(c, &info));
		ok(ism_alloc_region(a, SIZE, NULL, &ra));
		ok(ism_attach_region(b, ism_region_token(ra), ISM_READ | ISM_WRITE, NULL, &rb));
		ok(ism_attach_region(c, ism_region_token(ra), ISM_READ | ISM_WRITE, NULL, &rc));
		ok(ism_ring_create(ra, i ? ISM_RING_WRITER : ISM_RING_READER, NULL, &here));
		ok(ism_ring_attach(rb, i ? ISM_RING_READER : ISM_RING_WRITER, NULL, &there));
		ok(ism_region_grant(ra, info.devid, 0));
		ok(ism_region_replace(ra, NULL, &next));
		if (i == 0)
			fails(ism_ring_read(here, buf, sizeof buf, 0), -EAGAIN);
		ism_close(b);
		free(there);	/* closing it would tell */
		int64_t r;
		do	/* a writer has room for a while */
			r = i ? ism_ring_write(here, buf, sizeof buf, SECONDS(30))
			      : ism_ring_read(here, buf, sizeof buf, SECONDS(30));
		while (r == 0 && i);
		fails(r, -ECONNRESET);
		ism_ring_close(here);
		ism_close(a);
		ism_close(c);
	}
}
END_TEST

/* A ring whose other end is the one shut out ends. */
START_TEST(a_ring_with_the_one_shut_out)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_device *a, *b;
	struct ism_region *ra, *rb, *next;
	struct ism_ring *wa, *rr;
	char buf[64];

	for (int i = 0; i < 2; i++) {
		ok(ism_open("loop:", NULL, &a));
		ok(ism_open("loop:", NULL, &b));
		ok(ism_query(b, &info));
		ok(ism_alloc_region(a, SIZE, NULL, &ra));
		ok(ism_ring_create(ra, i ? ISM_RING_WRITER : ISM_RING_READER, NULL, &wa));
		ok(ism_attach_region(b, ism_region_token(ra), ISM_READ | ISM_WRITE, NULL, &rb));
		ok(ism_ring_attach(rb, i ? ISM_RING_READER : ISM_RING_WRITER, NULL, &rr));
		ok(ism_region_grant(ra, info.devid, 0));
		ok(ism_region_replace(ra, NULL, &next));
		ok(i == 0 ? ism_ring_write(rr, "lost", 4, 0) : 0);
		fails(i ? ism_ring_write(wa, "x", 1, SECONDS(30)) : ism_ring_read(wa, buf, sizeof buf, SECONDS(30)),
		      -ECONNRESET);
		ism_ring_close(wa);
		ism_ring_close(rr);
		ism_close(a);
		ism_close(b);
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("replace");
	TCase *tc = harness_tcase(s, "shut out", 600);

	tcase_add_test(tc, one_that_writes);
	tcase_add_test(tc, one_that_reads);
	tcase_add_test(tc, one_that_does_not_care);
	tcase_add_test(tc, one_that_is_stopped);
	tcase_add_test(tc, one_that_writes_over_all);
	tcase_add_test(tc, many_successors_at_full_speed);
	tcase_add_test(tc, the_daemon_dies_before_anybody_has_gone_over);
	tcase_add_test(tc, one_that_writes_by_the_tool);
	tcase_add_test(tc, one_that_reads_by_the_tool);
	tcase_add_test(tc, one_that_is_stopped_by_the_tool);
	tcase_add_test(tc, the_daemon_dies_while_the_tool_waits);
	tcase_add_test(tc, the_tool_dies_while_it_waits);
	tcase_add_test(tc, an_end_that_dies_before_it_goes_over);
	tcase_add_test(tc, a_ring_with_the_one_shut_out);
	Suite *const suites[] = { s, NULL };
	return harness_main(argc, argv, suites);
}

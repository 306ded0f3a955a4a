/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_replace.c - a peer is shut out while two others speak through a ring: one
 * that writes, one that reads, one that does not care, one that is stopped, and
 * one that writes over all it can reach; by a manager, and by `ism replace`.
 */
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

/* The region: a ring in the first half, words of everybody's in the second. */
enum { SIZE = 256 * 1024, RING = SIZE / 2, RECORD_MAX = 2000, KILLED = 256 + SIGKILL };

static const uint64_t SECRET = UINT64_C(0x5ec2e7d1e57a6e15);

enum outcast { WRITES, READS, IGNORES, STOPPED, SCRIBBLES, NOBODY };

/* What all processes of a test see. */
struct board {
	char uri[160];
	enum outcast kind;
	_Atomic uint64_t token, outcast;	/* of the region; devid of the one shut out */
	_Atomic uint32_t ready, go, replaced, over, tell, stop, done, left;
	_Atomic uint64_t written, read;
	_Atomic int broken;			/* the reader's -EPROTO: what only one that writes over all may cause */
};

static struct board *board_new(const char *uri, enum outcast kind)
{
	struct board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(b, MAP_FAILED);
	snprintf(b->uri, sizeof b->uri, "%s", uri);
	b->kind = kind;
	return b;
}

static void wait_for(const _Atomic uint32_t *word)
{
	while (!atomic_load(word))
		harness_pause();
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Record @seq: its number, whether it is a secret, and bytes that follow from both. */
static size_t make_record(uint8_t *buf, uint64_t seq, bool secret)
{
	size_t len = 24 + mix(seq) % (RECORD_MAX - 24) / 8 * 8;

	memcpy(buf, &seq, 8);
	for (size_t i = 8; i < len; i += 8) {
		uint64_t word = secret ? SECRET : mix(seq + i * 1000003) | 1;
		memcpy(buf + i, &word, 8);
	}
	return len;
}

static int complain(const char *what, long r)
{
	fprintf(stderr, "[test] error: %s: %ld: %s\n", what, r, ism_error_detail());
	return 1;
}

static int enter(struct board *b, struct ism_device **ret_dev, struct ism_region **ret)
{
	int r = ism_open(b->uri, NULL, ret_dev);

	return r < 0 ? r : ism_attach_region(*ret_dev, atomic_load(&b->token), ISM_READ | ISM_WRITE, NULL, ret);
}

/* ------------------------------------------------------------------ the two who go on */

static const struct ism_ring_opts in_first_half = { .size = sizeof in_first_half, .length = RING };

static int writer_main(void *arg)
{
	struct board *b = arg;
	struct ism_region *region;
	struct ism_device *dev;
	struct ism_ring *ring;
	uint8_t buf[RECORD_MAX];
	int r = enter(b, &dev, &region);

	if (r == 0)
		r = ism_ring_create(region, ISM_RING_WRITER, &in_first_half, &ring);
	atomic_fetch_add(&b->ready, 1);
	if (r < 0)
		return complain("writer", r);
	wait_for(&b->go);
	for (uint64_t seq = 0; !atomic_load(&b->stop); seq++) {
		bool secret = atomic_load(&b->tell);
		r = ism_ring_write(ring, buf, make_record(buf, seq, secret), SECONDS(60));
		if (r < 0)
			break;
		atomic_fetch_add(&b->written, 1);
		/* Once nothing of ours needs the old region any more. */
		if (region != NULL && ism_ring_region(ring) != region) {
			ism_detach_region(region);
			region = NULL;
			atomic_fetch_add(&b->over, 1);
		}
	}
	if (r < 0 && !(b->kind == SCRIBBLES && (r == -EPIPE || r == -EPROTO)))
		return complain("write", r);
	ism_ring_close(ring);
	atomic_store(&b->left, 1);
	wait_for(&b->done);
	ism_close(dev);
	return 0;
}

static bool is_record(const uint8_t *got, size_t len, uint64_t seq)
{
	uint8_t want[RECORD_MAX];

	for (int secret = 0; secret < 2; secret++) {
		if (make_record(want, seq, secret) == len && memcmp(got, want, len) == 0)
			return true;
	}
	return false;
}

static int reader_main(void *arg)
{
	struct board *b = arg;
	struct ism_region *region;
	struct ism_device *dev;
	struct ism_ring *ring;
	uint8_t got[RECORD_MAX];
	int64_t n = enter(b, &dev, &region);
	uint64_t seq = 0;
	bool sure = false;

	if (n == 0)
		n = ism_ring_attach(region, ISM_RING_READER, &in_first_half, &ring);
	atomic_fetch_add(&b->ready, 1);
	if (n < 0)
		return complain("reader", n);
	while ((n = ism_ring_read(ring, got, sizeof got, SECONDS(60))) >= 0) {
		bool safe = region == NULL;
		if (region != NULL && ism_ring_region(ring) != region) {
			ism_detach_region(region);
			region = NULL;
			atomic_fetch_add(&b->over, 1);
		}
		if (b->kind == SCRIBBLES && safe && !sure)
			memcpy(&seq, got, sizeof seq);
		sure |= safe;
		/* Who writes over all may spoil what is in the old region, and nothing else. */
		if (!is_record(got, (size_t)n, seq++) && (b->kind != SCRIBBLES || sure))
			return complain("another record than was sent", (long)seq);
		atomic_fetch_add(&b->read, 1);
	}
	if (n == -EPROTO && b->kind == SCRIBBLES)
		atomic_store(&b->broken, 1);
	else if (n != -EPIPE)
		return complain("read", n);
	ism_ring_close(ring);
	atomic_store(&b->done, 1);
	ism_close(dev);
	return 0;
}

/* ------------------------------------------------------------------ the one who does not */

static bool sees_secret(const uint64_t *words)
{
	for (size_t i = 0; i < SIZE / 8; i++) {
		if (*(const volatile uint64_t *)&words[i] == SECRET)
			return true;
	}
	return false;
}

/* What it can try; each must fail. */
static int try_all(struct board *b, struct ism_device *dev, struct ism_region *region)
{
	struct ism_region *next;
	struct ism_device *again;
	int r = ism_attach_successor(region, ISM_READ, NULL, &next);

	if (r != -ENOENT)
		return complain("the successor", r);
	r = ism_region_replace(region, NULL, &next);
	if (r != -EPERM && r != -EALREADY)
		return complain("a replace", r);
	for (struct ism_event ev; ism_event_next(dev, &ev, sizeof ev) == 1;) {
		if (ev.type == ISM_EVENT_MOVED)
			return complain("it was told", 0);
	}
	/* As a new device, with the old token. */
	r = ism_open(b->uri, NULL, &again);
	if (r < 0)
		return complain("open", r);
	r = ism_attach_region(again, atomic_load(&b->token), ISM_READ, NULL, &next);
	ism_close(again);
	return r == -ENOENT ? 0 : complain("the old token", r);
}

static int outcast_main(void *arg)
{
	struct board *b = arg;
	struct ism_info info = { .size = sizeof info };
	struct ism_region *region;
	struct ism_device *dev;
	uint64_t seed = 1, *words, n = 0;
	int r = enter(b, &dev, &region);

	if (r == 0)
		r = ism_query(dev, &info);
	atomic_store(&b->outcast, info.devid);
	atomic_fetch_add(&b->ready, 1);
	if (r < 0)
		return complain("outcast", r);
	words = ism_region_addr(region);
	while (!atomic_load(&b->done)) {
		switch (b->kind) {
		case WRITES:
			n++;
			atomic_store((_Atomic uint64_t *)&words[RING / 8 + n % (RING / 8)], n);
			break;
		case READS:
			if (atomic_load(&b->tell) && sees_secret(words))
				return complain("it saw what came after", 0);
			break;
		case SCRIBBLES:
			if (!atomic_load(&b->replaced)) {
				harness_pause();
				break;
			}
			for (int i = 0; i < 64; i++) {
				seed = mix(seed + 1);
				*(volatile uint64_t *)&words[(seed >> 8) % (seed & 1 ? 40 : SIZE / 8)] =
					seed & 2 ? seed : seed >> 40 & 0x700000fff;
			}
			break;
		default:
			harness_pause();
		}
	}
	r = try_all(b, dev, region);
	ism_close(dev);
	return r;
}

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
	ok(ism_open(uri, NULL, &p->dev));
	ok(ism_alloc_region(p->dev, SIZE, NULL, &p->region));
	atomic_store(&p->b->token, ism_region_token(p->region));
	p->writer = harness_fork(writer_main, p->b);
	wait_for(&p->b->ready);
	p->reader = harness_fork(reader_main, p->b);
	p->outcast = kind == NOBODY ? 0 : harness_fork(outcast_main, p->b);
	eventually(atomic_load(&p->b->ready) == (kind == NOBODY ? 2 : 3), 20);
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
			r = i ? ism_ring_write(here, buf, sizeof buf, SECONDS(10))
			      : ism_ring_read(here, buf, sizeof buf, SECONDS(10));
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
		fails(i ? ism_ring_write(wa, "x", 1, SECONDS(10)) : ism_ring_read(wa, buf, sizeof buf, SECONDS(10)),
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
	TCase *tc = harness_tcase(s, "shut out", 120);

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

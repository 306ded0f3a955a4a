/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * board.c - those who play when a peer is shut out.
 */
#include "board.h"

#include "harness.h"

#include <errno.h>
#include <ism-ring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { RECORD_MAX = 2000 };

static const uint64_t SECRET = UINT64_C(0x5ec2e7d1e57a6e15);

struct board *board_new(const char *uri, enum outcast kind)
{
	struct board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(b, MAP_FAILED);
	snprintf(b->uri, sizeof b->uri, "%s", uri);
	b->kind = kind;
	return b;
}

void board_wait(const _Atomic uint32_t *word)
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

const struct ism_open_opts board_patient = { .size = sizeof board_patient, .restart_ms = 60000 };

static int enter(struct board *b, struct ism_device **ret_dev, struct ism_region **ret)
{
	int r = ism_open(b->uri, &board_patient, ret_dev);

	return r < 0 ? r : ism_attach_region(*ret_dev, atomic_load(&b->token), ISM_READ | ISM_WRITE, NULL, ret);
}

/* ------------------------------------------------------------------ the two who go on */

static const struct ism_ring_opts in_first_half = { .size = sizeof in_first_half, .length = RING };

int board_writer(void *arg)
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
	board_wait(&b->go);
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
	board_wait(&b->done);
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

int board_reader(void *arg)
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
	r = ism_open(b->uri, &board_patient, &again);
	if (r < 0)
		return complain("open", r);
	r = ism_attach_region(again, atomic_load(&b->token), ISM_READ, NULL, &next);
	ism_close(again);
	return r == -ENOENT ? 0 : complain("the old token", r);
}

int board_outcast(void *arg)
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

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring/pieces.c - a large record is read while it is written.
 *
 * ism_ring_write() has room for the whole of it, copies a piece, and says in the
 * record's head how much is there: kind PART.  With the last piece the head becomes
 * that of any record.  ism_ring_read() copies what is there and waits for more, so
 * that both ends copy at once; for every other call a record in part is none.
 *
 * Order.  Each piece is stored before the head that counts it, which is a release;
 * the reader's load of the head is an acquire, and it copies no more than that head
 * counts.  What is behind is written meanwhile, but not looked at.  The head lies in
 * the record's first line, of which the writer then stores that one word only.
 *
 * Waking.  A part wakes nobody, and costs no exchange.  A reader that waits for the
 * rest spins as the policy says, and looks at the head; then it sets its waits word,
 * looks once more, and sleeps.  If that look came before a piece, and the writer is
 * stopped behind it, the reader sleeps on, with a piece that it could have copied:
 *
 *     reader: waits = 1; head: 2 pieces; sleep
 *     writer:                                   head: 3 pieces ... head: RECORD; waits?
 *
 * It cannot miss the end, because the writer's exchange of the waits word follows
 * the last head, as for every record (wait.c).
 *
 * Cursor.  The reader's moves when the record is whole and copied.  Whatever ends the
 * call before that - the time, an interrupt, the writer's end - leaves the record
 * where it is, and the next call begins with it anew.  It does not copy a part
 * twice: that record is then read when it is whole.
 *
 * Between two parts the writer is in one call, so only these can follow a part: a
 * larger part of the same record; the record; nothing, since the writer died, was
 * stopped, or shut out; or what a hostile peer likes.
 */
#include "ring/ring.h"

#include <errno.h>
#include <ism-ring.h>
#include <string.h>

enum {
	PIECE = 2 * RING_PART_UNIT,
	LINE = 64,
	LOOKS = 320,			/* for the next piece, by a call that does not wait: some ten microseconds */
};

/* ------------------------------------------------------------------ writer */

void ismi_ring_copy_in_pieces(struct ism_ring *ring, const uint8_t *data, size_t len)
{
	_Atomic uint64_t *head = ismi_ring_head_at(ring, ring->pos);
	uint8_t *room = ismi_ring_content(ring);
	size_t first = -(uintptr_t)room % LINE, done = PIECE;

	/* The line that the reader polls comes last, as in copy_in(). */
	memcpy(room + first, data + first, PIECE - first);
	memcpy(room, data, first);
	for (; done < len; done += PIECE) {
		size_t n = len - done < PIECE ? len - done : PIECE;
		/* Pairs with the reader's load: so much of the record is visible with it. */
		ismi_store_release(head, ring_part((uint32_t)len, done));
		memcpy(room + done, data + done, n);
	}
	ismi_ring_clear_next(ring, len);
}

/* ------------------------------------------------------------------ reader */

/* A call that does not wait: look for as long as a writer that is at work takes. */
static int glimpse(struct ism_ring *ring)
{
	struct ism_device *dev = ring->dev;
	struct ismi_spin s;
	int r;

	ismi_spin_start(&dev->spin, &s);
	while ((r = ismi_ring_ready(ring, 0)) == -EAGAIN) {
		if (s.rounds >= LOOKS || !ismi_spin_again(&dev->spin, &s))
			return ismi_ring_not_yet(ring, 0);
	}
	return r;
}

/* 0 when the head is another one than @seen; -EAGAIN, ... */
static int await_piece(struct ism_ring *ring, uint64_t seen, struct ismi_ring_time *t)
{
	ring->part = seen;
	int r = t->timeout_ns == 0 ? glimpse(ring) : ismi_ring_wait_again(ring, 0, t);
	ring->part = RING_WHOLE;
	return r;
}

/* Copy a record of which a part is there, as @head says: its length; 0: it is another one by now; ... */
static int64_t follow(struct ism_ring *ring, uint64_t head, uint8_t *buf, struct ismi_ring_time *t)
{
	const uint8_t *content = ismi_ring_content(ring);
	uint64_t len = (uint32_t)head, whole = ring_head(RING_RECORD, (uint32_t)len), done = 0;

	while (head != whole) {
		uint64_t there = ring_part_done(head);
		if (there < done || (uint32_t)head != len || !ismi_ring_partly(ring, head))
			return ismi_ring_broken(ring, "a record changes while it is read");
		memcpy(buf + done, content + done, there - done);
		done = there;
		int r = await_piece(ring, head, t);
		if (r < 0)
			return r;
		if (ismi_ring_content(ring) != content)
			return 0;	/* by padding, or in a successor */
		head = ismi_ring_head(ring);
	}
	memcpy(buf + done, content + done, len - done);
	ring->peeked = ring_space(len);
	return (int64_t)len;
}

int64_t ismi_ring_follow(struct ism_ring *ring, uint8_t *buf, size_t cap, struct ismi_ring_time *t)
{
	uint64_t head = ismi_ring_head(ring);
	bool partly = ismi_ring_partly(ring, head);
	bool follows = !ring->polled && ring->pos != ring->stalled && (t->timeout_ns != 0 || !t->waited);
	int64_t r;

	if (partly && follows && (uint32_t)head <= cap) {
		t->waited |= t->timeout_ns == 0;	/* one at most: the peer could take each back */
		r = follow(ring, head, buf, t);
		if (r < 0)
			ring->stalled = ring->pos;
		return r;
	}
	ring->part = follows && !partly ? 0 : RING_WHOLE;
	r = ismi_ring_wait_again(ring, 0, t);
	ring->part = RING_WHOLE;
	return r;
}

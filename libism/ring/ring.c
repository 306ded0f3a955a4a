/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring/ring.c - records from one writer to one reader.
 *
 * Each end keeps its position, the capacity and the place of the data to
 * itself.  What the peer writes - heads, tail, flags - is read once, and believed
 * only within the bounds of the ring.
 */
#include "ring/ring.h"
#include "watch.h"

#include <errno.h>
#include <ism-ring.h>
#include <limits.h>
#include <string.h>

enum {
	LINE = 64,		/* what travels between CPUs */
	GLANCE_BYTES = 1024 * 1024,	/* a writer that never waits looks at its events after so many */
	PARTLY = -EINPROGRESS,	/* a record in part that somebody waits for; seen by ismi_ring_ready() alone */
};

/* ------------------------------------------------------------------ both ends */

__attribute__((cold)) static int check_odd(struct ism_ring *ring, uint32_t role)
{
	if (ring->role != role)
		return ismi_fail(-EINVAL, "this is the ring's %s end", ring->role == ISM_RING_WRITER ? "writer's" : "reader's");
	return ismi_ring_odd(ring);
}

static inline int check(struct ism_ring *ring, uint32_t role)
{
	return ring->role != role || ismi_load_relaxed(&ring->follower.odd) ? check_odd(ring, role) : 0;
}

/* ------------------------------------------------------------------ writer */

/* How many bytes are free, the reader's position looked at anew. */
static int writer_look(struct ism_ring *ring)
{
	/* Pairs with the reader's exchange: what it released may be written over. */
	uint64_t tail = ismi_load_seq(&ring->shared->tail);

	if (tail < ring->tail || tail > ring->pos)
		return ismi_ring_broken(ring, "its position is not within the ring");
	ring->tail = tail;
	if (ring->pos - ring->looked >= GLANCE_BYTES)
		atomic_fetch_or_explicit(&ring->follower.odd, RING_ODD_GLANCE, memory_order_relaxed);
	return 0;
}

/* Bytes to skip so that a record of @space does not wrap. */
static inline uint64_t skip_for(const struct ism_ring *ring, uint64_t space)
{
	uint64_t rest = ring->capacity - (ring->pos & (ring->capacity - 1));

	return rest < space ? rest : 0;
}

/* Is there room for a record, and for the cleared head behind it? */
static inline bool has_room(const struct ism_ring *ring, uint64_t space)
{
	return ring->capacity - (ring->pos - ring->tail) >= skip_for(ring, space) + space + RING_HEAD;
}

/* 0, -EAGAIN, -EPIPE, -EPROTO */
static int writer_ready(struct ism_ring *ring, size_t len)
{
	uint64_t space = ring_space(len);

	if (has_room(ring, space))
		return 0;
	if (ismi_load_relaxed(&ring->shared->reader_closed) == RING_READER_CLOSED)
		return ismi_ring_fail_closed();
	int r = writer_look(ring);
	return r < 0 ? r : has_room(ring, space) ? 0 : -EAGAIN;
}

/* Fill up to the end of the data area, where a record would wrap. */
static void put_pad(struct ism_ring *ring, uint64_t skip)
{
	_Atomic uint64_t *head = ismi_ring_head_at(ring, ring->pos);

	ring->pos += skip;
	ismi_store_relaxed(ismi_ring_head_at(ring, ring->pos), 0);
	/* Pairs with the reader's load of this head: the cleared one behind it comes first. */
	ismi_store_release(head, ring_head(RING_PAD, (uint32_t)(skip - RING_HEAD)));
}

static inline int check_length(const struct ism_ring *ring, size_t len)
{
	if (len > ismi_ring_max_record(ring))
		return ismi_fail(-EMSGSIZE, "a record of %zu bytes: this ring takes %zu", len, ismi_ring_max_record(ring));
	return 0;
}

/* Room for a record of a length that fits, at our position: 0, -EAGAIN, ... */
static inline int writer_reserve(struct ism_ring *ring, size_t len)
{
	uint64_t space = ring_space(len);

	int r = ismi_load_relaxed(&ring->shared->reader_closed) ? ismi_ring_closed(ring) : 0;
	if (r < 0)
		return r;
	if (!has_room(ring, space)) {
		r = writer_ready(ring, len);
		if (r == -EAGAIN && ring->polled)
			r = ismi_ring_poll_prepare(ring, len);
		if (r < 0)
			return r;
	}
	uint64_t skip = skip_for(ring, space);
	if (skip > 0)
		put_pad(ring, skip);
	return 0;
}

/* In the caller's hands from here to the commit: meanwhile the line that has to be cleared then can come. */
static int reserve(struct ism_ring *ring, size_t len, void **ret)
{
	int r = writer_reserve(ring, len);

	if (r < 0)
		return r;
	ismi_prefetch_write(ismi_ring_head_at(ring, ring->pos + ring_space(len)));
	ring->reserved = len + 1;
	*ret = ismi_ring_content(ring);
	return 0;
}

int ism_ring_reserve(struct ism_ring *ring, size_t len, void **ret)
{
	if (ismi_unusual(ring->dev))
		return ismi_watched_ring_reserve(ring, len, ret);
	int r = check(ring, ISM_RING_WRITER);
	if (r == 0)
		r = check_length(ring, len);
	if (r == 0)
		r = reserve(ring, len, ret);
	if (r == -EAGAIN) {
		r = ismi_ring_not_yet(ring, len);
		if (r == 0)	/* room after all */
			r = reserve(ring, len, ret);
	}
	return r;
}

/* Publish a record whose bytes are in place; a reader that sleeps is still to be woken. */
static inline void publish(struct ism_ring *ring, size_t len)
{
	/* Pairs with the reader's load: the record and the cleared head are visible with it. */
	ismi_store_release(ismi_ring_head_at(ring, ring->pos), ring_head(RING_RECORD, (uint32_t)len));
	ring->reserved = 0;
	ring->pos += ring_space(len);
}

int ism_ring_commit(struct ism_ring *ring, size_t len)
{
	if (ismi_unusual(ring->dev))
		return ismi_watched_ring_commit(ring, len);
	int r = check(ring, ISM_RING_WRITER);
	if (r < 0)
		return r;
	if (ring->reserved == 0 || len > ring->reserved - 1)
		return ismi_fail(-EINVAL, "commit of %zu bytes without so many reserved", len);
	ismi_ring_clear_next(ring, len);
	publish(ring, len);
	return ismi_ring_wake(ring, &ring->shared->reader_waits);
}

/* ------------------------------------------------------------------ reader */

/* A head that is no record's: -EAGAIN, PARTLY, -EPIPE, -EPROTO, or 0 after padding, which is skipped. */
__attribute__((noinline)) static int reader_odd(struct ism_ring *ring, uint64_t head)
{
	uint64_t at = ring->pos & (ring->capacity - 1), len = (uint32_t)head;

	switch (head >> 32) {
	case RING_NONE:
		if (head != 0)
			break;
		/* A record's second line: see copy_in(). */
		__builtin_prefetch(ring->data + ((ring->pos + LINE) & (ring->capacity - 1)), 0);
		return -EAGAIN;
	case RING_MOVED:
		return ismi_ring_at_mark(ring);
	case RING_END:
		return ismi_fail(-EPIPE, "the writer has closed the ring");
	case RING_PAD:
		if (at == 0 || RING_HEAD + len != ring->capacity - at)
			return ismi_ring_broken(ring, "padding that does not reach the end");
		ring->pos += RING_HEAD + len;
		return 0;
	default:
		if (ismi_ring_partly(ring, head))
			return ring->part == RING_WHOLE || ring->part == head ? -EAGAIN : PARTLY;
		break;
	}
	return ismi_ring_broken(ring, "a record's head is wrong");
}

/* The next record's head: its length, -EAGAIN, -EPIPE or -EPROTO. */
static inline int64_t reader_ready(struct ism_ring *ring)
{
	for (;;) {
		uint64_t at = ring->pos & (ring->capacity - 1);
		/* Pairs with the writer's exchange or release: the record is complete. */
		uint64_t head = ismi_load_seq(ismi_ring_head_at(ring, ring->pos)), len = (uint32_t)head;

		if (head >> 32 == RING_RECORD) {
			if (ring_space(len) > ring->capacity - at)
				return ismi_ring_broken(ring, "a record is longer than the ring");
			return (int64_t)len;
		}
		int r = reader_odd(ring, head);
		if (r < 0)
			return r;
	}
}

/* The next record is peeked at: its length, -EAGAIN, ... */
__attribute__((always_inline)) static inline int64_t reader_peek(struct ism_ring *ring)
{
	int64_t len = reader_ready(ring);

	if (len == -EAGAIN && ring->polled) {
		int r = ismi_ring_poll_prepare(ring, 0);
		len = r < 0 ? r : reader_ready(ring);
	}
	if (len >= 0)
		ring->peeked = ring_space((uint64_t)len);
	return len;
}

int ism_ring_peek(struct ism_ring *ring, const void **ret, size_t *ret_len)
{
	if (ismi_unusual(ring->dev))
		return ismi_watched_ring_peek(ring, ret, ret_len);
	int64_t len = check(ring, ISM_RING_READER);
	if (len == 0)
		len = reader_peek(ring);
	if (len == -EAGAIN) {
		len = ismi_ring_not_yet(ring, 0);
		if (len == 0)	/* a record after all */
			len = reader_peek(ring);
	}
	if (len < 0)
		return (int)len;
	*ret = ismi_ring_content(ring);
	*ret_len = (size_t)len;
	return 0;
}

static inline int release(struct ism_ring *ring, uint64_t space)
{
	ring->peeked = 0;
	ring->pos += space;
	/* Pairs with the writer's look: we no longer read what it may write over. */
	ismi_store_release(&ring->shared->tail, ring->pos);
	return ismi_ring_wake(ring, &ring->shared->writer_waits);
}

int ism_ring_release(struct ism_ring *ring)
{
	if (ismi_unusual(ring->dev))
		return ismi_watched_ring_release(ring);
	int r = check(ring, ISM_RING_READER);
	if (r < 0)
		return r;
	if (ring->peeked == 0)
		return ismi_fail(-EINVAL, "release without ism_ring_peek()");
	return release(ring, ring->peeked);
}

/* ------------------------------------------------------------------ both ends, waiting */

int ismi_ring_ready(struct ism_ring *ring, size_t len)
{
	if (ring->role == ISM_RING_WRITER)
		return writer_ready(ring, len);
	int64_t r = reader_ready(ring);
	return r < 0 && r != PARTLY ? (int)r : 0;
}

int ism_ring_wait(struct ism_ring *ring, size_t len, int64_t timeout_ns)
{
	if (ismi_unusual(ring->dev))
		return ismi_watched_ring_wait(ring, len, timeout_ns);
	int r = check(ring, ring->role);
	if (r == 0 && ring->role == ISM_RING_WRITER)
		r = check_length(ring, len);
	if (r == 0)
		r = ismi_ring_ready(ring, len);
	return r == -EAGAIN ? ismi_ring_wait_ready(ring, len, timeout_ns) : r;
}

/* ------------------------------------------------------------------ copied */

/* Two words, or four, that may overlap; the first bytes are stored last. */
typedef struct {
	uint64_t word[2];
} words;

static inline void copy_ends(uint8_t *to, const uint8_t *from, size_t len)
{
	uint64_t first, last;

	memcpy(&first, from, sizeof first);
	memcpy(&last, from + len - sizeof last, sizeof last);
	memcpy(to + len - sizeof last, &last, sizeof last);
	memcpy(to, &first, sizeof first);
}

static inline void copy_quarters(uint8_t *to, const uint8_t *from, size_t len)
{
	size_t second = len > 2 * sizeof(words) ? sizeof(words) : 0;
	words a, b, c, d;

	memcpy(&a, from, sizeof a);
	memcpy(&b, from + second, sizeof b);
	memcpy(&c, from + len - sizeof c - second, sizeof c);
	memcpy(&d, from + len - sizeof d, sizeof d);
	memcpy(to + len - sizeof d, &d, sizeof d);
	memcpy(to + len - sizeof c - second, &c, sizeof c);
	memcpy(to + second, &b, sizeof b);
	memcpy(to, &a, sizeof a);
}

/* Most records are short. */
static inline void copy(uint8_t *to, const uint8_t *from, size_t len)
{
	if (len - sizeof(words) <= LINE - sizeof(words))
		copy_quarters(to, from, len);
	else if (len - sizeof(uint64_t) <= sizeof(uint64_t))
		copy_ends(to, from, len);
	else if (len > 0)
		memcpy(to, from, len);
}

/*
 * The line that the reader polls, the head's, comes last and at once with the
 * head: written earlier it would travel there and back once more.
 */
static inline void copy_in(struct ism_ring *ring, const uint8_t *data, size_t len)
{
	uint8_t *room = ismi_ring_content(ring);
	size_t first = -(uintptr_t)room % LINE;

	if (first >= len || len <= LINE)
		first = len;
	else
		memcpy(room + first, data + first, len - first);
	ismi_ring_clear_next(ring, len);
	copy(room, data, first);
}

/* There was no room.  Not inline: what it needs on the stack, a call that finds room need not make. */
__attribute__((noinline)) static int await_room(struct ism_ring *ring, size_t len, int64_t timeout_ns)
{
	struct ismi_ring_time time = { .timeout_ns = timeout_ns };
	int r = -EAGAIN;

	while (r == -EAGAIN && (r = ismi_ring_wait_again(ring, len, &time)) == 0)
		r = writer_reserve(ring, len);
	return r;
}

/* Room for a record: 0, ... */
static inline int find_room(struct ism_ring *ring, size_t len, int64_t timeout_ns)
{
	int r = check_length(ring, len);

	if (r == 0)
		r = writer_reserve(ring, len);
	return r == -EAGAIN ? await_room(ring, len, timeout_ns) : r;
}

static inline int write_one(struct ism_ring *ring, const void *data, size_t len, int64_t timeout_ns)
{
	int r = find_room(ring, len, timeout_ns);

	if (r < 0)
		return r;
	copy_in(ring, data, len);
	publish(ring, len);
	return 0;
}

/*
 * A reader that has nothing else to read may follow.  One that is behind gains
 * nothing by that, but would pull the lines of what is being written out of the
 * writer's cache.  What it says here can only delay itself.
 */
__attribute__((noinline)) static int write_large(struct ism_ring *ring, const void *data, size_t len, int64_t timeout_ns)
{
	uint64_t before = ring->pos;	/* before any padding */
	int r = find_room(ring, len, timeout_ns);

	if (r < 0)
		return r;
	if (ismi_load_relaxed(&ring->shared->reader_follows) && ismi_load_relaxed(&ring->shared->tail) == before)
		ismi_ring_copy_in_pieces(ring, data, len);
	else
		copy_in(ring, data, len);
	publish(ring, len);
	return 0;
}

int ism_ring_write(struct ism_ring *ring, const void *data, size_t len, int64_t timeout_ns)
{
	if (ismi_unusual(ring->dev))
		return ismi_watched_ring_write(ring, data, len, timeout_ns);
	int r = check(ring, ISM_RING_WRITER);
	if (r == 0)
		r = len < RING_PIECES_MIN ? write_one(ring, data, len, timeout_ns) : write_large(ring, data, len, timeout_ns);
	return r < 0 ? r : ismi_ring_wake(ring, &ring->shared->reader_waits);
}

/* The record that is peeked at: its length, or -EMSGSIZE. */
static inline int64_t copy_out(struct ism_ring *ring, int64_t len, void *buf, size_t cap)
{
	if ((uint64_t)len > cap)
		return ismi_fail(-EMSGSIZE, "a record of %lld bytes into a buffer of %zu", (long long)len, cap);
	copy(buf, ismi_ring_content(ring), (size_t)len);
	return len;
}

/* There was none; as await_room(). */
__attribute__((noinline)) static int64_t await_one(struct ism_ring *ring, void *buf, size_t cap, int64_t timeout_ns)
{
	struct ismi_ring_time time = { .timeout_ns = timeout_ns };
	int64_t len;

	do {
		len = ismi_ring_follow(ring, buf, cap, &time);
		if (len != 0)
			return len;
	} while ((len = reader_peek(ring)) == -EAGAIN);
	return len < 0 ? len : copy_out(ring, len, buf, cap);
}

/* The next record's length: it is in @buf, and still to be released. */
static inline int64_t read_one(struct ism_ring *ring, void *buf, size_t cap, int64_t timeout_ns)
{
	int64_t len = reader_peek(ring);

	if (len == -EAGAIN)
		return await_one(ring, buf, cap, timeout_ns);
	return len < 0 ? len : copy_out(ring, len, buf, cap);
}

int64_t ism_ring_read(struct ism_ring *ring, void *buf, size_t cap, int64_t timeout_ns)
{
	if (ismi_unusual(ring->dev))
		return ismi_watched_ring_read(ring, buf, cap, timeout_ns);
	int64_t len = check(ring, ISM_RING_READER);
	if (len == 0)
		len = read_one(ring, buf, cap, timeout_ns);
	/* If the writer cannot be woken, the record is ours all the same; the next wait tells. */
	if (len >= 0)
		release(ring, ring->peeked);
	return len;
}

/* ------------------------------------------------------------------ several at once */

static int check_many(struct ism_ring *ring, uint32_t role, size_t nr)
{
	if (nr == 0 || nr > INT_MAX)
		return ismi_fail(-EINVAL, "%zu records at once: expected at least 1, and no more than an int holds", nr);
	return check(ring, role);
}

int ism_ring_write_many(struct ism_ring *ring, const struct ism_ring_buf *records, size_t nr, int64_t timeout_ns)
{
	size_t done = 0;

	if (ismi_unusual(ring->dev))
		return ismi_watched_ring_write_many(ring, records, nr, timeout_ns);
	int r = check_many(ring, ISM_RING_WRITER, nr);
	if (r == 0)
		r = write_one(ring, records[0].data, records[0].len, timeout_ns);
	if (r < 0)
		return r;
	for (done = 1; done < nr; done++) {
		size_t len = records[done].len;
		if (len > ismi_ring_max_record(ring) || writer_reserve(ring, len) < 0)
			break;	/* a call that begins with this one tells why */
		copy_in(ring, records[done].data, len);
		publish(ring, len);
	}
	r = ismi_ring_wake(ring, &ring->shared->reader_waits);
	return r < 0 ? r : (int)done;
}

int ism_ring_read_many(struct ism_ring *ring, struct ism_ring_buf *buffers, size_t nr, int64_t timeout_ns)
{
	size_t done = 0;

	if (ismi_unusual(ring->dev))
		return ismi_watched_ring_read_many(ring, buffers, nr, timeout_ns);
	int64_t len = check_many(ring, ISM_RING_READER, nr);
	if (len == 0)
		len = read_one(ring, buffers[0].data, buffers[0].len, timeout_ns);
	if (len < 0)
		return (int)len;
	while (len >= 0) {
		buffers[done++].len = (size_t)len;
		ring->pos += ring->peeked;
		len = -EAGAIN;
		if (done < nr)
			len = reader_ready(ring);
		if (len < 0 || (uint64_t)len > buffers[done].len)
			break;	/* a call that begins with this one tells why */
		ring->peeked = ring_space((uint64_t)len);
		copy(buffers[done].data, ismi_ring_content(ring), (size_t)len);
	}
	release(ring, 0);
	return (int)done;
}

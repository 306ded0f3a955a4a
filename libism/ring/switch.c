/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring/switch.c - a ring goes over to the successor of its region.
 *
 * The writer goes first, between two records: it makes a ring of the same
 * capacity at the same place of the successor, says there at which position the
 * old one ends, and goes on from that position.  The reader takes what is left in
 * the old ring, exactly up to there, and follows.  Everything that the two have
 * to agree on is in the successor, which a peer that was shut out cannot reach; what
 * it may read or write in the old region are hints at most, or records that it
 * could have spoilt before.
 *
 * Until the reader has followed the writer keeps the region before, and does not
 * go further: so of a chain of successors both take each step.
 *
 * Nothing of this is on the way of a record.  That there is something to do is
 * a bit in follower.odd, which every call looks at for a broken ring anyway.
 */
#include "ring/ring.h"

#include "watch.h"

#include <errno.h>
#include <string.h>

enum {
	PAUSE_NS = 100000000,		/* before what could not be done is tried again */
	LONG_PAUSE_NS = 1000000000,	/* ... and will not be possible soon */
};

static void odd_set(struct ism_ring *ring, uint32_t bits)
{
	atomic_fetch_or_explicit(&ring->follower.odd, bits, memory_order_relaxed);
}

static void odd_clear(struct ism_ring *ring, uint32_t bits)
{
	atomic_fetch_and_explicit(&ring->follower.odd, ~bits, memory_order_relaxed);
}

static uint32_t odd(const struct ism_ring *ring)
{
	return ismi_load_relaxed(&ring->follower.odd);
}

int ismi_ring_broken(struct ism_ring *ring, const char *what)
{
	odd_set(ring, RING_ODD_BROKEN);
	return ismi_fail(-EPROTO, "the peer has damaged the ring: %s", what);
}

int ismi_ring_fail_closed(void)
{
	return ismi_fail(-EPIPE, "the reader has closed the ring");
}

int ismi_ring_fail_reset(void)
{
	return ismi_fail_const(-ECONNRESET, "the peer has let go of the ring's region, or died, and had not closed its end");
}

/* For good: nobody is left who could be at the other end. */
static int end_of_peer(struct ism_ring *ring)
{
	odd_set(ring, RING_ODD_RESET);
	return ismi_ring_fail_reset();
}

/* ------------------------------------------------------------------ regions */

static void let_go(struct ism_region *region)
{
	struct ism_device *dev = region->dev;

	pthread_mutex_lock(&dev->lock);
	ismi_handle_del(region);
	pthread_mutex_unlock(&dev->lock);
}

/* Where the ring is in a successor. */
static struct ring_shared *place_in(const struct ism_ring *ring, const struct ism_region *next)
{
	return (struct ring_shared *)((uint8_t *)next->addr + ((uint8_t *)ring->shared - (uint8_t *)ring->region->addr));
}

static bool had_peers(const struct ism_region *region)
{
	pthread_mutex_lock(&region->dev->bell);
	region->dev->ops->poll(region->dev);
	bool had = region->ref->had_peers;
	pthread_mutex_unlock(&region->dev->bell);
	return had;
}

/* The caller polls ring->poll_fd: it has to tell of the new region now. */
static void repoll(const struct ism_ring *ring, const struct ism_region *old)
{
	if (ring->poll_fd < 0)
		return;
	if (old->vector_fd >= 0)
		ismi_sys_epoll_del(ring->poll_fd, old->vector_fd);
	/* Without a descriptor of its own the device's tells, and of other things too. */
	int fd = ring->region->vector_fd >= 0 ? ring->region->vector_fd : ism_fd(ring->region->dev);
	if (fd >= 0)
		ismi_sys_epoll_add(ring->poll_fd, fd, EPOLLIN, 0);
}

static void go_over(struct ism_ring *ring, struct ism_region *next)
{
	struct ring_shared *shared = place_in(ring, next);
	struct ism_region *old = ring->region;

	ismi_unfollow(old, &ring->follower);
	ring->region = next;
	ring->shared = shared;
	ring->data = (uint8_t *)shared + RING_DATA;
	ismi_ring_order_begin(ring);
	repoll(ring, old);
	ismi_follow(next, &ring->follower);	/* maybe it has been replaced already */
}

/* 0: stay for now; or what the caller is told. */
static int later(struct ism_ring *ring, int r, bool at_end)
{
	bool soon = r == -ENOSPC || r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EHOSTDOWN || r == -ETIMEDOUT;

	ring->ask_at = ismi_deadline(soon || r == -ENOENT ? PAUSE_NS : LONG_PAUSE_NS);
	if (r == -ENOENT)	/* a false alarm; or the writer went where we cannot follow */
		return at_end ? end_of_peer(ring) : 0;
	odd_set(ring, ISMI_ODD_MOVED);
	return at_end ? r : 0;
}

/* Ask for the successor: 1: it is attached; 0: not now; or what the caller is told. */
static int ask_for_next(struct ism_ring *ring, bool at_end, struct ism_region **ret)
{
	uint32_t flags = ring->poll_fd >= 0 ? ISM_ATTACH_VECTOR : 0, others;

	if (ismi_now_ns() < ring->ask_at)
		return 0;
	odd_clear(ring, ISMI_ODD_MOVED);	/* before asking: what comes meanwhile sets it again */
	struct ism_region *next;
	int r = ismi_attach_successor(ring->region, ISM_READ | ISM_WRITE, flags, &next, &others);
	if (r < 0)
		return later(ring, r, at_end);
	if (next->ref->mem.size != ring->region->ref->mem.size) {
		let_go(next);
		return ismi_ring_broken(ring, "a successor of another size");
	}
	if (others == 0 && had_peers(ring->region)) {
		let_go(next);	/* the peer was the one that was shut out */
		return end_of_peer(ring);
	}
	*ret = next;
	return 1;
}

/* ------------------------------------------------------------------ writer */

/* Has the reader followed, so that the region before can go? */
static bool followed(struct ism_ring *ring)
{
	if (ring->last == NULL)
		return true;
	/* Pairs with the release in arrive(): it no longer reads the region before. */
	if (!ismi_load_acquire(&ring->shared->reader_here))
		return false;
	if (ring->last_owned)
		let_go(ring->last);
	ring->last = NULL;
	return true;
}

static void begin_in(const struct ism_ring *ring, struct ring_shared *shared)
{
	ismi_store_relaxed(&shared->version, RING_VERSION);
	ismi_store_relaxed(&shared->capacity, ring->capacity);
	ismi_store_relaxed(&shared->start, ring->pos);
	ismi_store_relaxed(&shared->tail, ring->pos);
	/* Pairs with the acquire in arrive(): all that was ever written to the old ring is visible with it. */
	ismi_store_release(&shared->magic, RING_MAGIC);
}

static int writer_step(struct ism_ring *ring)
{
	struct ism_region *next, *old = ring->region;

	if (!followed(ring))
		return 0;
	int r = ask_for_next(ring, false, &next);
	if (r <= 0)
		return r;
	_Atomic uint64_t *head = ismi_ring_head_at(ring, ring->pos);
	begin_in(ring, place_in(ring, next));
	ismi_store_release(head, ring_head(RING_MOVED, 0));	/* a hint: the reader need not wait for the event */
	ring->last = old;
	ring->last_owned = ring->owned;
	go_over(ring, next);
	ring->owned = true;
	ring->tail = ring->pos;
	/* Whoever sleeps there may have been made to look awake. */
	ism_region_notify(old);
	return 0;
}

int ismi_ring_closed(struct ism_ring *ring)
{
	if (ismi_load_relaxed(&ring->shared->reader_closed) == RING_READER_CLOSED)
		return ismi_ring_fail_closed();
	odd_set(ring, ISMI_ODD_MOVED);	/* it says so, and may be wrong */
	return ismi_ring_odd(ring);
}

/* ------------------------------------------------------------------ reader */

/* The writer may have begun in the successor: follow it, when all is read. */
static int arrive(struct ism_ring *ring)
{
	struct ring_shared *shared = place_in(ring, ring->next);
	struct ism_region *old = ring->region;

	/* Pairs with the release in begin_in(). */
	if (ismi_load_acquire(&shared->magic) != RING_MAGIC)
		return 0;
	uint64_t left = ismi_load_relaxed(&shared->start) - ring->pos;
	if (ismi_load_relaxed(&shared->version) != RING_VERSION || ismi_load_relaxed(&shared->capacity) != ring->capacity ||
	    left > ring->capacity)
		return ismi_ring_broken(ring, "the successor does not go on where it ended");
	if (left > 0) {
		uint64_t kind = ismi_ring_head(ring) >> 32;
		return kind == RING_RECORD || kind == RING_PAD ? 0 : ismi_ring_broken(ring, "records are missing at its end");
	}
	ismi_store_relaxed(&shared->reader_follows, 1);
	/* Pairs with the acquire in followed(). */
	ismi_store_release(&shared->reader_here, 1);
	odd_clear(ring, ISMI_ODD_MOVED);
	go_over(ring, ring->next);
	ring->next = NULL;
	if (ring->owned)
		let_go(old);
	ring->owned = true;
	return 0;
}

static int reader_step(struct ism_ring *ring)
{
	uint32_t none = 0;

	if (ring->next == NULL) {
		bool at_end = ismi_ring_head(ring) >> 32 == RING_MOVED;
		int r = ask_for_next(ring, at_end, &ring->next);
		if (r <= 0)
			return r;
		odd_set(ring, ISMI_ODD_MOVED);	/* until it has been reached */
		/* The writer may never look at its events while there is room. */
		atomic_compare_exchange_strong_explicit(&ring->shared->reader_closed, &none, RING_READER_MOVES,
							memory_order_relaxed, memory_order_relaxed);
	}
	return arrive(ring);
}

int ismi_ring_at_mark(struct ism_ring *ring)
{
	odd_set(ring, ISMI_ODD_MOVED);
	return -EAGAIN;
}

/* ------------------------------------------------------------------ both ends */

/* The writer looks at its events now and then, even if it never waits. */
static void glance(struct ism_ring *ring)
{
	odd_clear(ring, RING_ODD_GLANCE);
	ring->looked = ring->pos;
	ismi_region_deserted(ring->region, true);
	followed(ring);
}

int ismi_ring_odd(struct ism_ring *ring)
{
	if (odd(ring) & RING_ODD_BROKEN)
		return ismi_fail(-EPROTO, "the peer has damaged the ring");
	if (odd(ring) & RING_ODD_RESET)
		return ismi_ring_fail_reset();
	if (ring->reserved != 0 || ring->peeked != 0)
		return 0;	/* within a record */
	if (odd(ring) & RING_ODD_GLANCE)
		glance(ring);
	if (!(odd(ring) & ISMI_ODD_MOVED))
		return 0;
	return ring->role == ISM_RING_WRITER ? writer_step(ring) : reader_step(ring);
}

bool ismi_ring_strays(const struct ism_ring *ring)
{
	return ring->last != NULL || (odd(ring) & ISMI_ODD_MOVED);
}

bool ismi_ring_due(const struct ism_ring *ring)
{
	if (!(odd(ring) & ISMI_ODD_MOVED))
		return false;
	if (ring->next != NULL)
		return ismi_load_acquire(&place_in(ring, ring->next)->magic) == RING_MAGIC;
	if (ring->last != NULL && !ismi_load_relaxed(&ring->shared->reader_here))
		return false;
	return ismi_now_ns() >= ring->ask_at;
}

int ismi_ring_stray(struct ism_ring *ring)
{
	uint32_t others;
	int r = ismi_ring_odd(ring);

	if (r < 0 || (followed(ring) && ring->next == NULL) || ismi_now_ns() < ring->count_at)
		return r;
	struct ism_region *old = ring->last != NULL ? ring->last : ring->region;
	/* One that was shut out is still in the old region, so that its being deserted does not show. */
	ring->count_at = ismi_deadline(RING_STRAY_NS);
	r = ismi_attach_successor(old, 0, 0, NULL, &others);
	return r == 0 && others == 0 && had_peers(old) ? end_of_peer(ring) : 0;
}

int ismi_ring_poll_fd(struct ism_ring *ring)
{
	int fd, r;

	if (ring->poll_fd >= 0)
		return ring->poll_fd;
	if (ring->region->vector_fd < 0)
		return ism_region_fd(ring->region);
	/* One that stays the same when the region does not. */
	fd = ismi_sys_epoll();
	r = fd < 0 ? fd : ismi_sys_epoll_add(fd, ring->region->vector_fd, EPOLLIN, 0);
	if (r < 0) {
		ismi_sys_close(fd);
		return ismi_fail(r, "cannot make a descriptor to poll: %s", strerror(-r));
	}
	ring->poll_fd = fd;
	return fd;
}

struct ism_region *ism_ring_region(struct ism_ring *ring)
{
	if (!ismi_forked(ring->region->dev))
		followed(ring);
	return ring->last != NULL ? ring->last : ring->region;
}

void ismi_ring_leave(struct ism_ring *ring)
{
	if (ring->role != ISM_RING_READER)
		return;
	/* The writer may be in the successor already, and look only there. */
	glance(ring);
	if (ring->next == NULL && (odd(ring) & ISMI_ODD_MOVED))
		reader_step(ring);
	if (ring->next == NULL)
		return;
	ismi_xchg_seq(&place_in(ring, ring->next)->reader_closed, RING_READER_CLOSED);
	ism_region_notify(ring->next);
}

void ismi_ring_end(struct ism_ring *ring)
{
	bool followed_it = followed(ring);

	ismi_unfollow(ring->region, &ring->follower);
	ismi_sys_close(ring->poll_fd);
	if (ring->next != NULL)
		let_go(ring->next);
	/* Records that the reader has yet to come for stay as long as the device does. */
	if (ring->owned && followed_it)
		let_go(ring->region);
}

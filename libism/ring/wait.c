/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring/wait.c - an end of a ring waits: it spins while that pays, then sleeps, and
 * goes over to a successor on the way.
 *
 * An end that is about to sleep sets its waits word and looks once more; the
 * other end publishes and then looks at that word.  Each could miss the other's
 * store (doorbell.h has the same race), were it not that both exchange the word: the
 * later exchange sees the earlier, and all that went before it.  Or the one that is
 * about to sleep pays for both (order.c).
 */
#include "ring/ring.h"
#include "watch.h"

#include <errno.h>
#include <ism-ring.h>

enum {
	LOOK_PAUSE_NS = 1000000,
	LOOKS_PER_CLOCK = 16,	/* to look at the clock takes as long as a cache line */
	STRAYED = 1,		/* a wait ended, because there is something to do before the next */
};

/* ------------------------------------------------------------------ between looks */

/* The words for what the functions below return without any, because they are asked often. */
static int again(const struct ism_ring *ring)
{
	return ismi_fail_const(-EAGAIN, ring->role == ISM_RING_WRITER ? "the ring is full" : "the ring is empty");
}

static _Atomic uint32_t *my_waits(const struct ism_ring *ring)
{
	return ring->role == ISM_RING_WRITER ? &ring->shared->writer_waits : &ring->shared->reader_waits;
}

/* Ask for a ring, and look once more: 0, -EAGAIN, ... */
static int ask(struct ism_ring *ring, size_t len)
{
	/* If it was 1 the barrier is behind us, or the peer exchanged then and has found 1 since. */
	if (ismi_xchg_seq(my_waits(ring), 1) == 0)
		ismi_ring_order_wait(ring);
	int r = ismi_ring_ready(ring, len);
	if (r != -EAGAIN)
		ismi_store_relaxed(my_waits(ring), 0);
	return r;
}

/*
 * What a call returns that does not wait, and found nothing to do: -EAGAIN, or
 * -ECONNRESET if nobody is left who could change that.  0: somebody was, and did,
 * before it went.  A caller in a loop does not pay for that look each time; for
 * one that polls the device's descriptor, ismi_ring_poll_prepare() has just made it.
 */
int ismi_ring_not_yet(struct ism_ring *ring, size_t len)
{
	if (!ring->polled && ring->looks_left > 0) {
		ring->looks_left--;
		return again(ring);
	}
	int64_t now = ring->polled ? 0 : ismi_now_ns();
	if (!ring->polled && now < ring->look_at) {
		ring->looks_left = LOOKS_PER_CLOCK;
		return again(ring);
	}
	ring->look_at = now + LOOK_PAUSE_NS;
	bool gone = ismi_region_deserted(ring->region, !ring->polled || ring->region->vector_fd >= 0) < 0;
	bool strays = ismi_ring_strays(ring);
	int r = strays ? ismi_ring_stray(ring) : 0;
	if (!gone && !strays)
		return again(ring);
	if (r == 0)	/* who polls has to be rung where the ring is now */
		r = strays && ring->polled ? ismi_ring_poll_prepare(ring, len) : ismi_ring_ready(ring, len);
	return r == -EAGAIN ? strays ? again(ring) : ismi_ring_fail_reset() : r;
}

int ismi_ring_poll_prepare(struct ism_ring *ring, size_t len)
{
	ism_region_clear(ring->region);
	return ask(ring, len);
}

struct ring_wait {
	struct ism_ring *ring;
	size_t len;
	int result;
};

/* Under device.bell, before each sleep. */
static int ring_done(struct ismi_wait *wait)
{
	struct ring_wait *w = wait->arg;
	int r, rung;

	/* What counts is in the ring; and behind a doorbell, once taken, there may be the peer's end. */
	do {
		r = ask(w->ring, w->len);
		rung = r == -EAGAIN ? ismi_region_rung(wait) : 0;
	} while (rung > 0);
	if (r == -EAGAIN && ismi_ring_due(w->ring)) {
		w->result = STRAYED;
		return 1;
	}
	if (rung == -EPIPE && ismi_ring_strays(w->ring))
		rung = 0;	/* the peer may have gone ahead */
	if (r == -EAGAIN && rung == 0)
		return 0;
	if (rung < 0)
		r = ismi_ring_ready(w->ring, w->len);	/* gone, but maybe not before it wrote something */
	if (rung < 0 && r == -EAGAIN)
		r = rung == -EPIPE ? ismi_ring_fail_reset() : rung;
	w->result = r;
	return 1;
}

static int spin(struct ism_ring *ring, size_t len)
{
	struct ism_device *dev = ring->dev;
	struct ismi_spin s;
	int r;

	ismi_spin_start(&dev->spin, &s);
	while ((r = ismi_ring_ready(ring, len)) == -EAGAIN) {
		if (!ismi_spin_again(&dev->spin, &s))
			return -EAGAIN;
	}
	if (s.rounds > 0)
		ismi_spin_paid(&dev->spin);
	return r;
}

static int fail_timeout(const struct ism_ring *ring)
{
	return ismi_fail(-ETIMEDOUT, "the ring stayed %s", ring->role == ISM_RING_WRITER ? "full" : "empty");
}

/* One sleep: 0, STRAYED, ... */
static int doze(struct ism_ring *ring, size_t len, int64_t timeout_ns)
{
	struct ring_wait w = { .ring = ring, .len = len };
	struct ismi_wait wait = { .dev = ring->dev, .region = ring->region, .done = ring_done, .arg = &w,
				  .no_spin = true };
	bool brief = ismi_ring_strays(ring) && (timeout_ns < 0 || timeout_ns > RING_STRAY_NS);
	int r = ask(ring, len);	/* here, because its barrier may take long, and no lock is held */

	if (r != -EAGAIN)
		return r;
	r = ismi_wait_for(&wait, brief ? RING_STRAY_NS : timeout_ns);

	ismi_store_relaxed(my_waits(ring), 0);
	if (r == 0)
		return brief ? STRAYED : fail_timeout(ring);
	return r < 0 ? r : w.result;
}

/* Between two sleeps of one wait: go over to a successor. */
static int stray(struct ism_ring *ring, size_t len)
{
	int r = ismi_ring_stray(ring);

	return r < 0 ? r : ismi_ring_ready(ring, len);
}

int ismi_ring_wait_ready(struct ism_ring *ring, size_t len, int64_t timeout_ns)
{
	int64_t deadline = timeout_ns > 0 ? ismi_deadline(timeout_ns) : INT64_MAX;
	int r = timeout_ns == 0 ? ismi_ring_not_yet(ring, len) : spin(ring, len);

	if (r != -EAGAIN || timeout_ns == 0)
		return r;
	while ((r = doze(ring, len, timeout_ns)) == STRAYED) {
		r = stray(ring, len);
		if (r != -EAGAIN)
			return r;
		timeout_ns = ismi_time_left(deadline);
		if (timeout_ns == 0)
			return fail_timeout(ring);
	}
	return r;
}

int ismi_ring_wait_again(struct ism_ring *ring, size_t len, struct ismi_ring_time *t)
{
	if (t->waited && t->timeout_ns == 0)
		return again(ring);
	if (t->waited && t->timeout_ns > 0 && (t->timeout_ns = ismi_time_left(t->deadline)) == 0)
		return fail_timeout(ring);
	if (!t->waited && t->timeout_ns > 0)
		t->deadline = ismi_deadline(t->timeout_ns);
	t->waited = true;
	return ismi_ring_wait_ready(ring, len, t->timeout_ns);
}

int ism_ring_fd(struct ism_ring *ring)
{
	if (ismi_unusual(ring->dev))
		return ismi_watched_ring_fd(ring);
	ring->polled = true;
	return ismi_ring_poll_fd(ring);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring/order.c - who pays for the barrier between publishing and looking whether
 * the peer sleeps.
 *
 * An end that publishes exchanges the peer's waits word, and so does an end that
 * goes to sleep (wait.c): neither can miss the other.  An exchange drains the store
 * buffer, each time, also where nobody ever sleeps.  So an end that has found the
 * peer awake for long says in its order word that from now on it only looks, and the
 * peer, before it sleeps, calls membarrier() (base/barrier.h).  When it has to ring,
 * it exchanges again: ends that sleep often never get there.
 *
 * The step to LIGHT is itself such a race, and closed by exchanges:
 *
 *     this end:  order = LIGHT; waits?		the peer:  waits = 1; order?; look; sleep
 *
 * Either the peer finds LIGHT, or this end finds the peer's waits.  Back there is
 * none: whoever finds CAN again finds all that was published before.
 *
 * An order word is the other's word, and what is wrong in it its own loss: a peer
 * that says CAN, and cannot, or does not call, may sleep through what it is sent;
 * one that says LIGHT makes this end call membarrier() before it sleeps.
 */
#include "backend.h"
#include "base/barrier.h"
#include "ring/ring.h"

/* So often the peer was awake. */
enum { CALM = 256 };

static _Atomic uint32_t *order_of(const struct ism_ring *ring, bool writer)
{
	return writer ? &ring->shared->writer_order : &ring->shared->reader_order;
}

static _Atomic uint32_t *my_order(const struct ism_ring *ring)
{
	return order_of(ring, ring->role == ISM_RING_WRITER);
}

static _Atomic uint32_t *peers_order(const struct ism_ring *ring)
{
	return order_of(ring, ring->role != ISM_RING_WRITER);
}

void ismi_ring_order_begin(struct ism_ring *ring)
{
	ring->can = ring->dev->ops->one_kernel && ismi_barrier_register();
	ring->light = false;
	ring->calm = 0;
	ismi_store_release(my_order(ring), ring->can ? RING_ORDER_CAN : RING_ORDER_EXCHANGE);
}

void ismi_ring_order_wait(const struct ism_ring *ring)
{
	if (ring->can && ismi_load_seq(peers_order(ring)) == RING_ORDER_LIGHT)
		ismi_barrier();
}

static int ring_peer(struct ism_ring *ring)
{
	if (ring->light)
		ismi_store_release(my_order(ring), RING_ORDER_CAN);
	ring->light = false;
	ring->calm = 0;
	return ism_region_notify(ring->region);
}

int ismi_ring_wake_look(struct ism_ring *ring, _Atomic uint32_t *waits)
{
	if (ismi_xchg_seq(waits, 0))
		return ring_peer(ring);
	if (ring->light || ++ring->calm < CALM)
		return 0;
	ring->calm = 0;
	if (!ring->can || ismi_load_relaxed(peers_order(ring)) == RING_ORDER_EXCHANGE)
		return 0;
	ring->light = true;
	ismi_xchg_seq(my_order(ring), RING_ORDER_LIGHT);
	return ismi_xchg_seq(waits, 0) ? ring_peer(ring) : 0;
}

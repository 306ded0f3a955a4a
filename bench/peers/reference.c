/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * reference.c - what channels written by hand for this machine reach, between
 * two ends that trust each other: the practical limit for a library.
 *
 *   ref-words  a line that both ends write in turns
 *   ref-ring   a ring of bytes, copied in and out, both ends spin
 *   ref-wait   the same; an end spins for a while, then sleeps on a futex
 *   ref-sleep  the same; an end sleeps at once
 *   ref-place  numbers of slots: the message stays where it is
 */
#include "harness.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LINE _Alignas(64)

/* ------------------------------------------------------------------ words */

struct words {
	LINE _Atomic uint64_t word[2][8];
};

static void *words_create(size_t bytes)
{
	(void)bytes;
	return peers_shared(sizeof(struct words));
}

static int words_open(struct end *e)
{
	e->state = calloc(1, sizeof(uint64_t));
	return 0;
}

static int words_send(struct end *e, const void *buf, size_t bytes)
{
	struct words *w = e->shared;
	uint64_t *turn = e->state;

	(void)bytes;
	if (e->side == 0)
		++*turn;
	atomic_store_explicit(&w->word[e->side][0], *turn << 8 | *(const unsigned char *)buf, memory_order_release);
	return 0;
}

static int words_recv(struct end *e, void *buf, size_t bytes)
{
	struct words *w = e->shared;
	uint64_t *turn = e->state, v;

	(void)bytes;
	if (e->side == 1)
		++*turn;
	while ((v = atomic_load_explicit(&w->word[!e->side][0], memory_order_acquire)) >> 8 != *turn)
		peers_relax();
	*(unsigned char *)buf = (unsigned char)v;
	return 0;
}

static void state_close(struct end *e)
{
	free(e->state);
}

/* ------------------------------------------------------------------ a ring of bytes */

/* It stays in the cache, and the reader follows while a large message is written. */
enum { RING = 256 * 1024, STEP = 16 * 1024, SPIN_NS = 19000 };
/* As the kernel has them; its headers are not always there. */
enum { FUTEX_WAIT, FUTEX_WAKE };

struct ring {
	LINE _Atomic uint64_t head;	/* bytes written */
	LINE _Atomic uint64_t tail;	/* bytes read */
	LINE _Atomic uint32_t reader_sleeps;
	_Atomic uint32_t writer_sleeps;
	LINE char data[RING];
};

struct view {
	struct ring *out, *in;
	uint64_t out_head, out_tail, in_head, in_tail;
};

static void *ring_create(size_t bytes)
{
	(void)bytes;
	return peers_shared(2 * sizeof(struct ring));
}

static int ring_open(struct end *e)
{
	struct ring *ring = e->shared;
	struct view *v = calloc(1, sizeof *v);

	v->out = &ring[e->side];
	v->in = &ring[!e->side];
	e->state = v;
	return 0;
}

static void futex(_Atomic uint32_t *word, int op, uint32_t value)
{
	syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Wait while the counter is what was seen; @spin_ns < 0: spin for ever. */
static inline void await(_Atomic uint64_t *counter, uint64_t seen, _Atomic uint32_t *sleeps, int spin_ns)
{
	uint64_t until = spin_ns > 0 ? now_ns() + (uint64_t)spin_ns : 0;

	do {
		for (int i = 0; i < 32 && spin_ns != 0; i++) {
			if (atomic_load_explicit(counter, memory_order_acquire) != seen)
				return;
			peers_relax();
		}
	} while (spin_ns < 0 || (spin_ns > 0 && now_ns() < until));
	atomic_store(sleeps, 1);
	while (atomic_load(counter) == seen && atomic_load(sleeps) == 1)
		futex(sleeps, FUTEX_WAIT, 1);
	atomic_store_explicit(sleeps, 0, memory_order_relaxed);
}

/*
 * Where an end may sleep, store and look are seq_cst, here and in await(): a
 * look that came before the store would let both ends miss each other.
 */
static inline void publish(_Atomic uint64_t *counter, uint64_t value, _Atomic uint32_t *sleeps, int spin_ns)
{
	if (spin_ns < 0) {
		atomic_store_explicit(counter, value, memory_order_release);
		return;
	}
	atomic_store(counter, value);
	if (atomic_load(sleeps)) {
		atomic_store(sleeps, 0);
		futex(sleeps, FUTEX_WAKE, 1);
	}
}

static inline size_t least(size_t a, size_t b, size_t c)
{
	size_t n = a < b ? a : b;

	return n < c ? n : c;
}

static inline int put(struct view *v, const char *src, size_t len, int spin_ns)
{
	struct ring *r = v->out;

	while (len > 0) {
		size_t room = RING - (size_t)(v->out_head - v->out_tail), at = (size_t)(v->out_head % RING);
		if (room == 0) {
			v->out_tail = atomic_load_explicit(&r->tail, memory_order_acquire);
			if (v->out_head - v->out_tail == RING)
				await(&r->tail, v->out_tail, &r->writer_sleeps, spin_ns);
			continue;
		}
		size_t n = least(len < STEP ? len : STEP, room, RING - at);
		memcpy(r->data + at, src, n);
		v->out_head += n;
		publish(&r->head, v->out_head, &r->reader_sleeps, spin_ns);
		src += n;
		len -= n;
	}
	return 0;
}

static inline int get(struct view *v, char *dst, size_t len, int spin_ns)
{
	struct ring *r = v->in;

	while (len > 0) {
		size_t there = (size_t)(v->in_head - v->in_tail), at = (size_t)(v->in_tail % RING);
		if (there == 0) {
			v->in_head = atomic_load_explicit(&r->head, memory_order_acquire);
			if (v->in_head == v->in_tail)
				await(&r->head, v->in_head, &r->reader_sleeps, spin_ns);
			continue;
		}
		size_t n = least(len < STEP ? len : STEP, there, RING - at);
		memcpy(dst, r->data + at, n);
		v->in_tail += n;
		publish(&r->tail, v->in_tail, &r->writer_sleeps, spin_ns);
		dst += n;
		len -= n;
	}
	return 0;
}

static int spin_send(struct end *e, const void *buf, size_t bytes)
{
	return put(e->state, buf, bytes, -1);
}

static int spin_recv(struct end *e, void *buf, size_t bytes)
{
	return get(e->state, buf, bytes, -1);
}

static int wait_send(struct end *e, const void *buf, size_t bytes)
{
	return put(e->state, buf, bytes, SPIN_NS);
}

static int wait_recv(struct end *e, void *buf, size_t bytes)
{
	return get(e->state, buf, bytes, SPIN_NS);
}

static int sleep_send(struct end *e, const void *buf, size_t bytes)
{
	return put(e->state, buf, bytes, 0);
}

static int sleep_recv(struct end *e, void *buf, size_t bytes)
{
	return get(e->state, buf, bytes, 0);
}

/* ------------------------------------------------------------------ in place */

enum { SLOTS = 64 };

struct place {
	struct {
		LINE _Atomic uint64_t posted;
		LINE _Atomic uint64_t released;
	} half[2];
	size_t stride;
	char *data;
};

struct place_view {
	uint64_t out, in, out_released;
};

static void *place_create(size_t bytes)
{
	struct place *p = peers_shared(sizeof *p);

	p->stride = (bytes + 63) & ~(size_t)63;
	p->data = peers_shared(2 * SLOTS * p->stride);
	return p;
}

static int place_open(struct end *e)
{
	e->state = calloc(1, sizeof(struct place_view));
	return 0;
}

static int place_send(struct end *e, const void *buf, size_t bytes)
{
	struct place *p = e->shared;
	struct place_view *v = e->state;

	(void)bytes;
	while (v->out - v->out_released == SLOTS) {
		v->out_released = atomic_load_explicit(&p->half[e->side].released, memory_order_acquire);
		if (v->out - v->out_released == SLOTS)
			peers_relax();
	}
	memcpy(p->data + ((size_t)e->side * SLOTS + v->out % SLOTS) * p->stride, buf, 8);
	atomic_store_explicit(&p->half[e->side].posted, ++v->out, memory_order_release);
	return 0;
}

static int place_recv(struct end *e, void *buf, size_t bytes)
{
	struct place *p = e->shared;
	struct place_view *v = e->state;

	(void)bytes;
	while (atomic_load_explicit(&p->half[!e->side].posted, memory_order_acquire) == v->in)
		peers_relax();
	memcpy(buf, p->data + ((size_t)!e->side * SLOTS + v->in % SLOTS) * p->stride, 8);
	atomic_store_explicit(&p->half[!e->side].released, ++v->in, memory_order_release);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct transport t[] = {
		{ "ref-words", 8, TRIPS_ONLY, words_create, words_open, words_send, words_recv, state_close },
		{ "ref-ring", 0, 0, ring_create, ring_open, spin_send, spin_recv, state_close },
		{ "ref-wait", 0, 0, ring_create, ring_open, wait_send, wait_recv, state_close },
		{ "ref-sleep", 0, SLEEPS, ring_create, ring_open, sleep_send, sleep_recv, state_close },
		{ "ref-place", 0, 0, place_create, place_open, place_send, place_recv, state_close },
	};

	return peers_main(argc, argv, t, sizeof t / sizeof t[0]);
}

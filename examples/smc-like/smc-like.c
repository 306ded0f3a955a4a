/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * smc-like.c - a protocol in the manner of SMC-D, to try ideas on: a byte stream
 * through a buffer of the receiver's, with a cursor for each end.
 *
 * When does the receiver report what it has consumed?  Each report costs a
 * doorbell, each one that is late costs room.  That rule is a function, and the
 * program runs the same transfer with two of them.
 */
#include <ism.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER = 8192, CHUNK = 2000, TOTAL = 16000 };

/* What the ends tell each other: how many bytes ever, so that nothing wraps. */
struct cursors {
	_Atomic uint64_t produced;	/* by the sender */
	char apart[56];
	_Atomic uint64_t consumed;	/* by the receiver, as far as it has reported */
	_Atomic uint32_t blocked;	/* the sender waits for room */
};

struct shared {
	struct cursors cdc;
	char data[BUFFER];
};

/* One end of a connection. */
struct end {
	const char *name;
	struct ism_device *dev;
	struct ism_region *region;
	struct shared *s;
	uint64_t pos;		/* sent, or taken */
	unsigned int rings;	/* doorbells this end has rung */
};

/* ------------------------------------------------------------------ the policies */

/* Report now?  @unreported: bytes taken since the last report; @unread: still there. */
typedef bool policy(const struct cursors *c, uint64_t unreported, uint64_t unread);

static bool at_once(const struct cursors *c, uint64_t unreported, uint64_t unread)
{
	(void)c;
	(void)unread;
	return unreported > 0;
}

/* SMC-D's: more than a tenth, and the sender is blocked or has little room left. */
static bool when_needed(const struct cursors *c, uint64_t unreported, uint64_t unread)
{
	uint64_t room = BUFFER - unread - unreported;

	return unreported > BUFFER / 10 && (atomic_load(&c->blocked) || room <= BUFFER / 2);
}

/* ------------------------------------------------------------------ the two ends */

static void trace(const struct end *e, const char *what, uint64_t n, bool rang)
{
	const struct cursors *c = &e->s->cdc;

	printf("    %-8s %-7s %4d   produced %5d   consumed %5d%s\n", e->name, what, (int)n,
	       (int)atomic_load(&c->produced), (int)atomic_load(&c->consumed), rang ? "   rings" : "");
}

static void check(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s: %s\n", what, ism_strerror(r), ism_error_detail());
		exit(1);
	}
}

static void ring(struct end *e)
{
	check(ism_region_notify(e->region), "notify");
	e->rings++;
}

/* Send up to @len bytes: how many there was room for. */
static uint64_t send_some(struct end *e, const char *data, uint64_t len)
{
	struct cursors *c = &e->s->cdc;
	uint64_t room = BUFFER - (e->pos - atomic_load_explicit(&c->consumed, memory_order_acquire));
	uint64_t n = len < room ? len : room;

	for (uint64_t i = 0; i < n; i++)
		e->s->data[(e->pos + i) % BUFFER] = data[i];
	atomic_store(&c->blocked, n < len);
	if (n > 0) {
		e->pos += n;
		atomic_store_explicit(&c->produced, e->pos, memory_order_release);
		ring(e);
	}
	trace(e, n < len ? "blocked" : "send", n, n > 0);
	return n;
}

/* Take up to @len bytes, and report that if the policy says so. */
static uint64_t take_some(struct end *e, char *data, uint64_t len, policy *report)
{
	struct cursors *c = &e->s->cdc;
	uint64_t there = atomic_load_explicit(&c->produced, memory_order_acquire) - e->pos;
	uint64_t n = len < there ? len : there;

	for (uint64_t i = 0; i < n; i++)
		data[i] = e->s->data[(e->pos + i) % BUFFER];
	e->pos += n;
	bool now = report(c, e->pos - atomic_load(&c->consumed), there - n);
	if (now) {
		atomic_store_explicit(&c->consumed, e->pos, memory_order_release);
		ring(e);
	}
	trace(e, "take", n, now);
	return n;
}

/* ------------------------------------------------------------------ one transfer */

static void transfer(const char *name, policy *report)
{
	struct end tx = { .name = "sender" }, rx = { .name = "receiver" };
	static char out[TOTAL], in[TOTAL];
	uint64_t sent = 0, taken = 0;

	printf("%s:\n", name);
	for (int i = 0; i < TOTAL; i++)
		out[i] = (char)(i * 7);
	/* Both ends in one process, so that the trace is the same each time; neither knows. */
	check(ism_open("loop:smc-like", NULL, &rx.dev), "open");
	check(ism_open("loop:smc-like", NULL, &tx.dev), "open");
	check(ism_alloc_region(rx.dev, sizeof(struct shared), NULL, &rx.region), "alloc");
	check(ism_attach_region(tx.dev, ism_region_token(rx.region), ISM_READ | ISM_WRITE, NULL, &tx.region), "attach");
	rx.s = ism_region_addr(rx.region);
	tx.s = ism_region_addr(tx.region);
	while (taken < TOTAL) {		/* the sender is twice as fast as the receiver */
		for (int i = 0; i < 2 && sent < TOTAL; i++)
			sent += send_some(&tx, out + sent, sent + CHUNK < TOTAL ? CHUNK : TOTAL - sent);
		taken += take_some(&rx, in + taken, taken + CHUNK < TOTAL ? CHUNK : TOTAL - taken, report);
	}
	printf("    %d bytes %s; %d doorbells for data, %d for reports\n", TOTAL,
	       memcmp(in, out, TOTAL) == 0 ? "arrived" : "were lost", (int)tx.rings, (int)rx.rings);
	ism_close(tx.dev);
	ism_close(rx.dev);
}

int main(void)
{
	transfer("reports at once", at_once);
	transfer("reports when needed, as SMC-D does", when_needed);
	return 0;
}

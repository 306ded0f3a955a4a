/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring/ring.h - one end of a ring, and its calls on a watched device (watch.h).
 */
#ifndef ISMI_RING_H
#define ISMI_RING_H

#include "base/barrier.h"
#include "internal.h"
#include "ring/layout.h"

#include <ism-ring.h>
#include <stdbool.h>

struct ismi_life;

/* Bits of follower.odd besides ISMI_ODD_MOVED. */
enum {
	RING_ODD_BROKEN = 1 << 1,	/* the peer broke the rules */
	RING_ODD_RESET = 1 << 2,	/* the peer was shut out, or went on the way */
	RING_ODD_GLANCE = 1 << 3,	/* the writer has not looked at its events for long */
};

/* How long an end sleeps at most that is on the way to a successor. */
enum { RING_STRAY_NS = 50000000 };

/* ring.part: nobody follows, and a record in part is none; no head is this. */
#define RING_WHOLE UINT64_MAX

/* What each record needs first, on one line. */
struct ism_ring {
	struct ism_device *dev;		/* the region's */
	struct ring_shared *shared;
	uint8_t *data;
	uint64_t capacity;
	uint64_t pos;			/* bytes ever committed, or released */
	uint64_t tail;			/* writer: the reader's, when last looked at */
	uint64_t reserved;		/* writer: bytes for the record's content */
	uint64_t peeked;		/* reader: space of the record under the caller's eyes; 0: none */
	uint32_t role;
	bool polled;			/* ism_ring_fd() was called */
	bool can, light;		/* order.c: we may look only; we do */
	unsigned int calm;		/* so often the peer was awake */
	struct ismi_follower follower;	/* odd: something to do before the next record */
	unsigned int looks_left;	/* until the clock is looked at */
	int64_t look_at;		/* when to look again whether the peer has gone, which takes a lock */
	struct ism_region *region;
	struct ismi_life *life;		/* traced; NULL */
	/* pieces.c, reader: */
	uint64_t part;			/* a record in part ends a wait, unless this is its head; RING_WHOLE: none does */
	uint64_t stalled;		/* position of a record that is no longer followed; UINT64_MAX: none */
	/* switch.c: */
	struct ism_region *next;	/* reader: the successor that it will go over to; NULL */
	struct ism_region *last;	/* writer: the region before, until the reader has left it; NULL */
	bool owned, last_owned;		/* region and last are ours, and not the caller's */
	int poll_fd;			/* what ism_ring_fd() gives for a region with a vector; -1 */
	uint64_t looked;		/* writer: its position when it last looked at its events */
	int64_t ask_at, count_at;	/* not before: ask for a successor, whether anybody is left */
};

static inline _Atomic uint64_t *ismi_ring_head_at(const struct ism_ring *ring, uint64_t pos)
{
	return (_Atomic uint64_t *)(ring->data + (pos & (ring->capacity - 1)));
}

/* Of the record at our position. */
static inline uint64_t ismi_ring_head(const struct ism_ring *ring)
{
	return ismi_load_seq(ismi_ring_head_at(ring, ring->pos));
}

static inline uint8_t *ismi_ring_content(const struct ism_ring *ring)
{
	return ring->data + (ring->pos & (ring->capacity - 1)) + RING_HEAD;
}

/* The head behind the record that is being written: cleared before that one is published. */
static inline void ismi_ring_clear_next(struct ism_ring *ring, size_t len)
{
	ismi_store_relaxed(ismi_ring_head_at(ring, ring->pos + ring_space(len)), 0);
}

/* Is @head, at our position, that of a record in part, and can it be? */
static inline bool ismi_ring_partly(const struct ism_ring *ring, uint64_t head)
{
	uint64_t at = ring->pos & (ring->capacity - 1), len = (uint32_t)head;

	return ring_is_part(head) && ring_space(len) <= ring->capacity - at && ring_part_done(head) <= len;
}

static inline size_t ismi_ring_max_record(const struct ism_ring *ring)
{
	/* Wherever the position is, one half of the ring or the other is in one piece. */
	uint64_t max = ring->capacity / 2 - 2 * RING_HEAD;

	return max > UINT32_MAX ? UINT32_MAX : (size_t)max;
}

/*
 * order.c: an end comes into being, in this region or its successor; it has said that
 * it waits, and is about to look once more; it has published, and looks whether to
 * ring the peer.
 */
void ismi_ring_order_begin(struct ism_ring *ring);
void ismi_ring_order_wait(const struct ism_ring *ring);
int ismi_ring_wake_look(struct ism_ring *ring, _Atomic uint32_t *waits);

/* Ring the peer if it sleeps. */
static inline int ismi_ring_wake(struct ism_ring *ring, _Atomic uint32_t *waits)
{
	if (ring->light) {
		ismi_barrier_light();
		if (!ismi_load_relaxed(waits))
			return 0;
	}
	return ismi_ring_wake_look(ring, waits);
}

/*
 * ring.c: is there a record, or room for one of @len bytes?  0, -EAGAIN, ...; 0
 * also for what ring.part says of a record in part.
 */
int ismi_ring_ready(struct ism_ring *ring, size_t len);

/* wait.c: what a call returns that does not wait, and found nothing to do; 0: there is something after all. */
int ismi_ring_not_yet(struct ism_ring *ring, size_t len);
/* A caller that polls ism_ring_fd() got -EAGAIN: from now on it is readable when that changes. */
int ismi_ring_poll_prepare(struct ism_ring *ring, size_t len);
/* There was none just now: 0 when a record, or room for one, is there. */
int ismi_ring_wait_ready(struct ism_ring *ring, size_t len, int64_t timeout_ns);

/* The time that one call has, over all its waits: a peer can take back at once what made the ring ready. */
struct ismi_ring_time {
	int64_t timeout_ns, deadline;
	bool waited;
};
int ismi_ring_wait_again(struct ism_ring *ring, size_t len, struct ismi_ring_time *t);

/* pieces.c: as copy_in() of ring.c does, a large record, and a reader that follows sees all pieces but the last. */
enum { RING_PIECES_MIN = 32768 };
void ismi_ring_copy_in_pieces(struct ism_ring *ring, const uint8_t *data, size_t len);
/*
 * A read found no whole record.  The next one's length, if it has been copied to
 * @buf, and is still to be released; 0: look again; or what the caller is told.
 */
int64_t ismi_ring_follow(struct ism_ring *ring, uint8_t *buf, size_t cap, struct ismi_ring_time *t);

/*
 * switch.c: there is something odd; to be called between two records, without
 * locks.  0: go on, perhaps in another region; or what the caller is told.
 */
int ismi_ring_odd(struct ism_ring *ring);
/* The reader has closed its end, or says that there is a successor: 0 or -EPIPE. */
int ismi_ring_closed(struct ism_ring *ring);
/* The ring ends here, and goes on in a successor: -EAGAIN until that is reached. */
int ismi_ring_at_mark(struct ism_ring *ring);
/* Is it on the way?  Then a wait is a short one, and ismi_ring_stray() comes behind it. */
bool ismi_ring_strays(const struct ism_ring *ring);
/* Would ismi_ring_odd() do something now? */
bool ismi_ring_due(const struct ism_ring *ring);
/* Go on, if that can be, and see whether the peer is on the way as well. */
int ismi_ring_stray(struct ism_ring *ring);
int ismi_ring_poll_fd(struct ism_ring *ring);
/* It is about to be closed; it is. */
void ismi_ring_leave(struct ism_ring *ring);
void ismi_ring_end(struct ism_ring *ring);

__attribute__((cold)) int ismi_ring_broken(struct ism_ring *ring, const char *what);
__attribute__((cold)) int ismi_ring_fail_reset(void);
__attribute__((cold)) int ismi_ring_fail_closed(void);

int ismi_watched_ring_create(struct ism_region *region, uint32_t role, const struct ism_ring_opts *opts,
			     struct ism_ring **ret);
int ismi_watched_ring_attach(struct ism_region *region, uint32_t role, const struct ism_ring_opts *opts,
			     struct ism_ring **ret);
void ismi_watched_ring_close(struct ism_ring *ring);
int ismi_watched_ring_reserve(struct ism_ring *ring, size_t len, void **ret);
int ismi_watched_ring_commit(struct ism_ring *ring, size_t len);
int ismi_watched_ring_peek(struct ism_ring *ring, const void **ret, size_t *ret_len);
int ismi_watched_ring_release(struct ism_ring *ring);
int ismi_watched_ring_write(struct ism_ring *ring, const void *data, size_t len, int64_t timeout_ns);
int64_t ismi_watched_ring_read(struct ism_ring *ring, void *buf, size_t cap, int64_t timeout_ns);
int ismi_watched_ring_write_many(struct ism_ring *ring, const struct ism_ring_buf *records, size_t nr,
				 int64_t timeout_ns);
int ismi_watched_ring_read_many(struct ism_ring *ring, struct ism_ring_buf *buffers, size_t nr, int64_t timeout_ns);
int ismi_watched_ring_wait(struct ism_ring *ring, size_t len, int64_t timeout_ns);
int ismi_watched_ring_fd(struct ism_ring *ring);

#endif /* ISMI_RING_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ism-ring.h - records from one writer to one reader, in a region.
 *
 * A ring lies in memory that both ends may write, and neither trusts the other:
 * whatever the peer writes there, these calls stay inside the ring and return
 * -EPROTO at worst.  Records are delivered whole, in order, once.
 *
 * While both ends are awake no call makes a system call.  doc/shm-layout.md has
 * the bytes; ism-ring(7) is the introduction.
 *
 * When its region is replaced a ring goes over to the successor by itself, between
 * two records: any call on it may then make control commands.
 */
#ifndef ISM_RING_H
#define ISM_RING_H

#include <ism.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ism_ring;

/* Which end. */
#define ISM_RING_WRITER 1
#define ISM_RING_READER 2

struct ism_ring_opts {
	size_t size;
	size_t offset;	/* of the ring in the region, bytes, a multiple of 64 */
	size_t length;	/* bytes of the region that it may use; default: the rest */
};

/*
 * Make a ring in a region and be one end of it; or be the other end of one
 * that is there.  Create before the peer attaches, for example before giving the
 * token away.
 *
 * @role: ISM_RING_WRITER or ISM_RING_READER; the two ends have one each.
 * The region must be attached with WRITE by both.
 *
 * Ownership: *ret is the caller's until ism_ring_close(); close it before the
 * region is detached.
 * Threads: one thread at a time uses a ring's end; two ends, two rings are
 * independent.
 *
 * Returns 0, or
 *  -EINVAL  role or options wrong, region too small (512 bytes) or read-only
 *  -E2BIG   options from a newer version
 *  -EPROTO  attach: there is no ring, or its header is damaged
 *  -ENOMEM, -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_ring_create(struct ism_region *region, uint32_t role, const struct ism_ring_opts *opts,
				      struct ism_ring **ret) ISM_NONNULL(1, 4);
ISM_API ISM_CHECK int ism_ring_attach(struct ism_region *region, uint32_t role, const struct ism_ring_opts *opts,
				      struct ism_ring **ret) ISM_NONNULL(1, 4);

/*
 * Let go of an end.  The peer is told: a reader reads what is there and then
 * gets -EPIPE; a writer gets -EPIPE.
 *
 * A peer that goes without this - it detaches the region, exits, is killed -
 * gives -ECONNRESET: a reader that gets -EPIPE has read all there ever was, one
 * that gets -ECONNRESET cannot know.  That is seen when no other device refers to
 * the region any more, or when all that do were shut out and it was replaced.
 *
 * Ownership: the ring is gone; the region stays.  NULL is fine.
 * Threads: as above.  Does not wait for the peer.  Since 0.1.
 */
ISM_API void ism_ring_close(struct ism_ring *ring);

/*
 * The region that a ring's end needs attached: the one that it was made in, or,
 * after that was replaced (ism_region_replace()) and both ends have gone over, its
 * successor.  Once they differ the caller's own may be detached.
 *
 * Ownership: the caller's own handle, or one of the ring's: lent until the ring
 * goes over once more or is closed.
 * Threads: as above.  Does not wait for the peer; may make a control command.
 * Since 0.1.
 */
ISM_API struct ism_region *ism_ring_region(struct ism_ring *ring) ISM_NONNULL(1);

/* The largest record that fits this ring, bytes.  Since 0.1. */
ISM_API size_t ism_ring_max_record(const struct ism_ring *ring) ISM_NONNULL(1);

/*
 * Writer: room for a record of @len bytes, to be filled in place.
 *
 * Ownership: *ret is lent until ism_ring_commit(); reserving again before that
 * gives the same room.
 * Does not wait.
 * Returns 0, or
 *  -EAGAIN    no room now
 *  -EMSGSIZE  larger than ism_ring_max_record()
 *  -EPIPE     the reader has closed its end
 *  -ECONNRESET no room, and the reader has gone without closing its end; a caller
 *             in a loop may get -EAGAIN a few times, or for a millisecond, before
 *  -EPROTO    the peer has damaged the ring
 *  -EINVAL    not the writer's end
 *  -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_ring_reserve(struct ism_ring *ring, size_t len, void **ret) ISM_NONNULL(1, 3);

/*
 * Writer: publish the reserved record, of which @len bytes are used.
 *
 * Returns 0, -EPROTO, -EINVAL (nothing reserved, or less than @len), -EHOSTDOWN (published,
 * but a reader that sleeps could not be woken: see ism_region_notify()),
 * -EOWNERDEAD.
 * Since 0.1.
 */
ISM_API int ism_ring_commit(struct ism_ring *ring, size_t len) ISM_NONNULL(1);

/*
 * Reader: the next record, in place.
 *
 * A hostile peer may change it while you look: copy what you check, or use
 * ism_ring_read().
 *
 * Ownership: *ret is lent until ism_ring_release().
 * Does not wait.
 * Returns 0, or
 *  -EAGAIN  no record now
 *  -EPIPE   the writer has closed its end, and all is read
 *  -ECONNRESET all that was there is read, and the writer has gone without closing
 *           its end; a caller in a loop may get -EAGAIN a few times, or for a
 *           millisecond, before
 *  -EPROTO  the peer has damaged the ring
 *  -EINVAL  not the reader's end
 *  -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_ring_peek(struct ism_ring *ring, const void **ret, size_t *ret_len) ISM_NONNULL(1, 2, 3);

/*
 * Reader: give the room of the record that was peeked at back to the writer.
 *
 * Returns 0, -EPROTO, -EINVAL (nothing was peeked at), -EHOSTDOWN (as for commit),
 * -EOWNERDEAD.
 * Since 0.1.
 */
ISM_API int ism_ring_release(struct ism_ring *ring) ISM_NONNULL(1);

/*
 * Write, or read, a whole record, copying it, and wait until that is possible.
 *
 * A large record may be copied to @buf while the writer is still at it: then a read
 * that fails has written there, and the record is still to come, or comes no more.
 *
 * @timeout_ns: nanoseconds; 0: do not wait; negative: for ever.
 * ism_ring_read() returns the record's length.  Both:
 *  -EAGAIN    timeout_ns is 0 and it would have to wait
 *  -ETIMEDOUT
 *  -EMSGSIZE  write: larger than ism_ring_max_record(); read: larger than @cap,
 *             and still there
 *  -EPIPE     the peer has closed its end; a reader has read all that was there
 *  -ECONNRESET the peer has detached the region or died, without closing its end;
 *             with timeout_ns 0, as ism_ring_reserve() has it
 *  -EPROTO    the peer has damaged the ring
 *  -EINTR     ism_interrupt() was called
 *  -EHOSTDOWN the host is gone, and the peer cannot reach us, or we it
 *  -EINVAL    not this end
 *  -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_ring_write(struct ism_ring *ring, const void *data, size_t len, int64_t timeout_ns)
	ISM_NONNULL(1);
ISM_API ISM_CHECK int64_t ism_ring_read(struct ism_ring *ring, void *buf, size_t cap, int64_t timeout_ns)
	ISM_NONNULL(1);

/*
 * Write, or read, several records, each whole: as so many calls of ism_ring_write()
 * or ism_ring_read() would, but the peer is looked after once, which for short
 * records is most of the work.
 *
 * What waits is the first of them; the others are taken as far as that is possible
 * at once.  A write publishes one after the other, so the reader need not wait for
 * the last.
 *
 * @records: what to write.
 * @buffers: where to, and how much fits there; a record's length replaces the
 * latter.  Reading ends before a record that does not fit.
 * Returns how many, at least 1; or, if it is none, as ism_ring_write() has it, and
 *  -EINVAL    also: @nr is 0, or larger than INT_MAX
 *  -EHOSTDOWN write: they are in the ring, but a reader that sleeps could not be
 *             woken
 * Threads: as for all calls of a ring's end.
 * Since 0.1.
 */
struct ism_ring_buf {
	void *data;
	size_t len;
};
ISM_API ISM_CHECK int ism_ring_write_many(struct ism_ring *ring, const struct ism_ring_buf *records, size_t nr,
					  int64_t timeout_ns) ISM_NONNULL(1, 2);
ISM_API ISM_CHECK int ism_ring_read_many(struct ism_ring *ring, struct ism_ring_buf *buffers, size_t nr,
					 int64_t timeout_ns) ISM_NONNULL(1, 2);

/*
 * Wait until there is a record to read, or room for one of @len bytes to write
 * (reader: @len is ignored).
 *
 * Returns 0, or as ism_ring_write() has it.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_ring_wait(struct ism_ring *ring, size_t len, int64_t timeout_ns) ISM_NONNULL(1);

/*
 * An fd to poll: readable when it is worth calling again after -EAGAIN.
 *
 * It is the region's, see ism_region_fd(); one end of one ring in a region can
 * be polled through it.
 * Ownership: lent, for polling only.
 * Returns the fd, or as ism_region_fd() has it.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_ring_fd(struct ism_ring *ring) ISM_NONNULL(1);

#ifdef __cplusplus
}
#endif

#endif /* ISM_RING_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * glue.h - calls of libism as Go wants them: with the error's words in the
 * result, because two calls of one goroutine may run in two threads, and with a
 * data path of one call, because a call from Go to C is not free.
 */
#ifndef ISM_GO_GLUE_H
#define ISM_GO_GLUE_H

#include <errno.h>
#include <ism-emu.h>
#include <ism-ring.h>
#include <ism.h>
#include <stdlib.h>
#include <string.h>

struct go_result {
	int64_t r;		/* a count, or a negative errno */
	char *detail;		/* with an error; to be freed; NULL: none */
	void *ptr;		/* what was made, or lent */
	uint64_t len;		/* of what was lent */
};

static inline struct go_result go_result(int64_t r)
{
	struct go_result res = { .r = r };

	/* What is only "not now" is frequent, and needs no words. */
	if (r < 0 && r != -EAGAIN && r != -ETIMEDOUT)
		res.detail = strdup(ism_error_detail());
	return res;
}

static inline struct go_result go_made(int r, void *ptr)
{
	struct go_result res = go_result(r);

	res.ptr = ptr;
	return res;
}

/* A call, and the words about it, in one thread. */
#define GO_CALL(name, params, args)                                                                                    \
	static inline struct go_result go_##name params                                                                \
	{                                                                                                              \
		return go_result(ism_##name args);                                                                     \
	}

GO_CALL(kick_device, (struct ism_device * dev, uint64_t devid), (dev, devid))
GO_CALL(fd, (struct ism_device * dev), (dev))
GO_CALL(region_peers, (struct ism_region * region, uint64_t *ret, size_t nr), (region, ret, nr))
GO_CALL(region_grant, (struct ism_region * region, uint64_t devid, uint32_t rights), (region, devid, rights))
GO_CALL(region_grant_default, (struct ism_region * region, uint32_t rights), (region, rights))
GO_CALL(region_notify, (struct ism_region * region), (region))
GO_CALL(region_clear, (struct ism_region * region), (region))
GO_CALL(region_fd, (struct ism_region * region), (region))
GO_CALL(region_wait, (struct ism_region * region, int64_t timeout_ns), (region, timeout_ns))
GO_CALL(ref_format, (struct ism_region * region, char *buf, size_t len), (region, buf, len))
GO_CALL(ref_parse, (const char *text, uint64_t *ret_gid, uint64_t *ret_token), (text, ret_gid, ret_token))
GO_CALL(emu_kill, (struct ism_emu * emu), (emu))
GO_CALL(emu_restart, (struct ism_emu * emu), (emu))
GO_CALL(emu_set_faults, (struct ism_emu * emu, const char *faults), (emu, faults))
GO_CALL(emu_passes, (const struct ism_emu *emu, const char *point), (emu, point))
GO_CALL(emu_fired, (const struct ism_emu *emu), (emu))

static inline struct go_result go_open(const char *uri, uint32_t flags, uint32_t spin_us, uint64_t window_size,
				       uint32_t timeout_ms, uint32_t restart_ms, const char *name)
{
	struct ism_open_opts opts = { .size = sizeof opts, .flags = flags, .spin_us = spin_us,
				      .window_size = window_size, .timeout_ms = timeout_ms, .restart_ms = restart_ms,
				      .name = name };
	struct ism_device *dev = NULL;
	int r = ism_open(uri, &opts, &dev);

	return go_made(r, dev);
}

static inline struct go_result go_query(struct ism_device *dev, struct ism_info *ret)
{
	ret->size = sizeof *ret;
	return go_result(ism_query(dev, ret));
}

static inline struct go_result go_stats(struct ism_device *dev, struct ism_stats *ret)
{
	ret->size = sizeof *ret;
	return go_result(ism_query_stats(dev, ret));
}

static inline struct go_result go_query_domain(struct ism_device *dev, struct ism_domain_info *ret)
{
	ret->size = sizeof *ret;
	return go_result(ism_query_domain(dev, ret));
}

static inline struct go_result go_alloc(struct ism_device *dev, size_t size, uint32_t flags, int32_t node, uint64_t peer,
					size_t nr, struct ism_region **ret)
{
	struct ism_alloc_opts opts = { .size = sizeof opts, .flags = flags, .node = node, .peer = peer };

	return go_result(ism_alloc_regions(dev, size, &opts, nr, ret));
}

static inline struct go_result go_attach(struct ism_device *dev, uint64_t token, uint32_t rights, uint32_t flags)
{
	struct ism_attach_opts opts = { .size = sizeof opts, .flags = flags };
	struct ism_region *region = NULL;
	int r = ism_attach_region(dev, token, rights, &opts, &region);

	return go_made(r, region);
}

static inline struct go_result go_attach_many(struct ism_device *dev, const uint64_t *tokens, uint32_t rights,
					      uint32_t flags, size_t nr, struct ism_region **ret)
{
	struct ism_attach_opts opts = { .size = sizeof opts, .flags = flags };

	return go_result(ism_attach_regions(dev, tokens, rights, &opts, nr, ret));
}

static inline struct go_result go_shut_out(struct ism_device *dev, uint64_t token, const uint64_t *devid, size_t nr)
{
	struct ism_region *region = NULL;
	int r = ism_shut_out(dev, token, devid, nr, &region);

	return go_made(r, region);
}

static inline struct go_result go_replace(struct ism_region *old, uint32_t flags, int32_t node)
{
	struct ism_alloc_opts opts = { .size = sizeof opts, .flags = flags, .node = node };
	struct ism_region *region = NULL;
	int r = ism_region_replace(old, &opts, &region);

	return go_made(r, region);
}

static inline struct go_result go_successor(struct ism_region *old, uint32_t rights, uint32_t flags)
{
	struct ism_attach_opts opts = { .size = sizeof opts, .flags = flags };
	struct ism_region *region = NULL;
	int r = ism_attach_successor(old, rights, &opts, &region);

	return go_made(r, region);
}

/* Up to @nr events that are there: one call for all of them. */
static inline struct go_result go_events(struct ism_device *dev, struct ism_event *ev, size_t nr)
{
	size_t n = 0;
	int r = 1;

	while (n < nr && (r = ism_event_next(dev, &ev[n], sizeof *ev)) == 1)
		n++;
	return go_result(r < 0 && n == 0 ? r : (int64_t)n);
}

static inline struct go_result go_list_devices(struct ism_device *dev, struct ism_device_entry *ret, size_t nr,
					       uint64_t *cursor)
{
	return go_result(ism_list_devices(dev, ret, nr, sizeof *ret, cursor));
}

static inline struct go_result go_list_regions(struct ism_device *dev, struct ism_region_entry *ret, size_t nr,
					       uint64_t *cursor)
{
	return go_result(ism_list_regions(dev, ret, nr, sizeof *ret, cursor));
}

static inline struct go_result go_list_referrers(struct ism_device *dev, uint64_t token, struct ism_referrer_entry *ret,
						 size_t nr, uint64_t *cursor)
{
	return go_result(ism_list_referrers(dev, token, ret, nr, sizeof *ret, cursor));
}

static inline struct go_result go_list_users(struct ism_device *dev, struct ism_user_entry *ret, size_t nr,
					     uint64_t *cursor)
{
	return go_result(ism_list_users(dev, ret, nr, sizeof *ret, cursor));
}

static inline struct go_result go_ring(struct ism_region *region, int create, uint32_t role, size_t offset,
				       size_t length)
{
	struct ism_ring_opts opts = { .size = sizeof opts, .offset = offset, .length = length };
	struct ism_ring *ring = NULL;
	int r = create ? ism_ring_create(region, role, &opts, &ring) : ism_ring_attach(region, role, &opts, &ring);

	/* From here on, what says -EAGAIN also asks the peer to ring. */
	if (r == 0 && (r = ism_ring_fd(ring)) < 0) {
		ism_ring_close(ring);
		ring = NULL;
	}
	return go_made(r < 0 ? r : 0, ring);
}

/* How much a call of the data path may do. */
enum {
	GO_LOOK = 0,	/* look at memory: -EAGAIN, and nobody will ring */
	GO_ASK = 1,	/* -EAGAIN, and the peer will ring */
	GO_SPIN = 2,	/* the same, after a spin for as long as that has been paying */
	GO_CHECK = 3,	/* as GO_ASK; and are there peers left? */
};

/*
 * Is there a record, or room for one?  -EPIPE: the peer has closed its end;
 * -ECONNRESET: it is gone without doing so.
 */
static inline int go_ring_ready(struct ism_region *region, struct ism_ring *ring, size_t len, int reads, int effort)
{
	const void *record;
	void *room;
	size_t got;
	int r = ism_ring_wait(ring, len, 0), gone = -EPIPE;

	if (r == -EAGAIN && effort == GO_SPIN)
		r = ism_ring_wait(ring, len, 1);
	else if (r == -EAGAIN && effort == GO_ASK)
		r = -ETIMEDOUT;
	else if (r == -EAGAIN && effort == GO_CHECK)
		r = (gone = ism_region_wait(region, 0)) < 0 ? -EPIPE : -ETIMEDOUT;
	if (r != -ETIMEDOUT && r != -EPIPE)
		return r;
	/* This asks the peer to ring, for the ring is polled; and tells an end from a death. */
	int now = reads ? ism_ring_peek(ring, &record, &got) : ism_ring_reserve(ring, len, &room);
	return r != -EPIPE || now != -EAGAIN ? now : gone == -EPIPE ? -ECONNRESET : gone;
}

/*
 * The calls of the data path take handles as void, and bytes as unsigned char: to
 * check a pointer to a struct that it does not know, or the slice that a void
 * pointer points into, Go 1.19 allocates.
 */

/* A record: copied if it fits, and its length; else lent, until it is released, and 0 and a pointer. */
static inline struct go_result go_ring_take(void *region, void *ring, unsigned char *buf, size_t cap, int effort)
{
	const void *record = NULL;
	size_t len = 0;
	int r = go_ring_ready(region, ring, 0, 1, effort);

	if (r == 0)
		r = ism_ring_peek(ring, &record, &len);
	if (r < 0)
		return go_result(r);
	if (len > cap)
		return (struct go_result){ .ptr = (void *)record, .len = len };
	if (len > 0)
		memcpy(buf, record, len);
	ism_ring_release(ring);	/* -EHOSTDOWN: the next wait says it */
	return (struct go_result){ .r = (int64_t)len, .len = len };
}

static inline struct go_result go_ring_put(void *region, void *ring, const unsigned char *data, size_t len, int effort)
{
	void *room = NULL;
	int r = go_ring_ready(region, ring, len, 0, effort);

	if (r == 0)
		r = ism_ring_reserve(ring, len, &room);
	if (r < 0)
		return go_result(r);
	if (len > 0)
		memcpy(room, data, len);
	ism_ring_commit(ring, len);
	return (struct go_result){ .r = (int64_t)len };
}

/* Room for a record of @len bytes, or the next record, in place. */
static inline struct go_result go_ring_lend(void *region, void *ring, size_t len, int reads, int effort)
{
	const void *record = NULL;
	void *room = NULL;
	int r = go_ring_ready(region, ring, len, reads, effort);

	if (r == 0)
		r = reads ? ism_ring_peek(ring, &record, &len) : ism_ring_reserve(ring, len, &room);
	if (r < 0)
		return go_result(r);
	return (struct go_result){ .ptr = reads ? (void *)record : room, .len = len };
}

/*
 * Several records go through one piece of Go's memory: C is not given slices of
 * slices, which Go 1.21 is the first that could pin.
 */
enum {
	GO_MANY = 64,		/* records in one call */
	GO_STRIDE = 512,	/* room for a record of unknown length */
};

struct go_slot {
	uint64_t at;		/* where in that memory */
	uint64_t len;		/* reading: first what it may be at most */
};

static inline struct go_result go_ring_put_many(void *region, void *ring, const unsigned char *data,
						const struct go_slot *slot, size_t nr, int effort)
{
	struct ism_ring_buf record[GO_MANY];
	int r = go_ring_ready(region, ring, slot[0].len, 0, effort);

	if (r < 0)
		return go_result(r);
	for (size_t i = 0; i < nr; i++)
		record[i] = (struct ism_ring_buf){ (void *)(data + slot[i].at), slot[i].len };
	return go_result(ism_ring_write_many(ring, record, nr, 0));
}

/* Give slots their room, @stride bytes each as far as there is so much left: to how many. */
static inline size_t go_slots(struct go_slot *slot, size_t nr, struct ism_ring_buf *room, unsigned char *buf, size_t size,
			      size_t used, size_t stride)
{
	size_t n = 0;

	for (; n < nr && (n == 0 || used < size); n++) {
		size_t len = stride < slot[n].len ? stride : slot[n].len;
		if (len > size - used)
			len = size - used;
		slot[n].at = used;
		room[n] = (struct ism_ring_buf){ buf + used, len };
		used += len;
	}
	return n;
}

/* The records that are there, as far as they fit; lent, and 0, is the first if it does not. */
static inline struct go_result go_ring_take_many(void *region, void *ring, unsigned char *buf, size_t size,
						 struct go_slot *slot, size_t nr, int effort)
{
	struct ism_ring_buf room[GO_MANY];
	const void *record = NULL;
	size_t done = 0, used = 0, len = 0;
	int r = go_ring_ready(region, ring, 0, 1, effort);

	while (r == 0 && (r = ism_ring_peek(ring, &record, &len)) == 0 && len <= slot[done].len && len <= size - used) {
		/* Those behind it may be longer, or not be there. */
		size_t n = go_slots(slot + done, nr - done, room, buf, size, used, len < GO_STRIDE ? GO_STRIDE : len);
		r = ism_ring_read_many(ring, room, n, 0);
		if (r == -EMSGSIZE)	/* it had @len bytes */
			r = -EPROTO;
		for (int i = 0; i < r; i++) {
			slot[done].len = room[i].len;
			used = slot[done].at + room[i].len;
			done++;
		}
		if (r > 0)	/* only a look: nobody is to ring for what is not read now */
			r = done < nr ? ism_ring_wait(ring, 0, 0) : -EAGAIN;
	}
	if (done > 0)
		return (struct go_result){ .r = (int64_t)done };	/* what else is wrong, the next call says */
	return r < 0 ? go_result(r) : (struct go_result){ .ptr = (void *)record, .len = len };
}

/* What was lent is published, @len bytes of it, or given back. */
static inline struct go_result go_ring_settle(void *ring, size_t len, int reads)
{
	int r = reads ? ism_ring_release(ring) : ism_ring_commit(ring, len);

	return go_result(r == -EHOSTDOWN ? 0 : r);	/* it is done; the next wait says it */
}

static inline struct go_result go_emu_start(uint32_t flags, const char *faults, const struct ism_emu_quota *device,
					    const struct ism_emu_quota *user)
{
	struct ism_emu_opts opts = { .size = sizeof opts, .flags = flags, .faults = faults, .device = *device,
				     .user = *user };
	struct ism_emu *emu = NULL;
	int r = ism_emu_start(&opts, &emu);

	return go_made(r, emu);
}

#endif /* ISM_GO_GLUE_H */

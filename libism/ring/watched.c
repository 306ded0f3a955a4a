/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring/watched.c - the calls of a ring on a watched device (watch.h).
 */
#include "backends/trace/trace.h"
#include "ring/ring.h"

#define ON_RING(call_name, r) \
	{ .name = (call_name), .dev = (r)->region->dev, .region = (r)->region, .ring = (r)->life }

static enum ismi_use use_of(int64_t timeout_ns)
{
	return timeout_ns == 0 ? ISMI_USES : ISMI_WAITS;
}

/* A ring has come into being, or not. */
static int begun(struct ismi_call *c, int r, struct ism_ring **ret)
{
	char result[ISMI_TEXT] = "";

	if (r == 0 && c->dev->trace != NULL) {
		r = ismi_trace_born(&(*ret)->life);
		if (r < 0)
			ism_ring_close(*ret);
		else
			ismi_say(result, ", ring %llu", (unsigned long long)(*ret)->life->number);
	}
	return (int)ismi_call_end(c, r, result);
}

static void say_role(struct ismi_call *c, uint32_t role)
{
	ismi_say(c->args, ", %s", role == ISM_RING_WRITER ? "writer" : role == ISM_RING_READER ? "reader" : "no role");
}

int ismi_watched_ring_create(struct ism_region *region, uint32_t role, const struct ism_ring_opts *opts,
			     struct ism_ring **ret)
{
	struct ismi_call c = { .name = "ism_ring_create", .dev = region->dev, .region = region };

	say_role(&c, role);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);
	return begun(&c, r < 0 ? r : ism_ring_create(region, role, opts, ret), ret);
}

int ismi_watched_ring_attach(struct ism_region *region, uint32_t role, const struct ism_ring_opts *opts,
			     struct ism_ring **ret)
{
	struct ismi_call c = { .name = "ism_ring_attach", .dev = region->dev, .region = region };

	say_role(&c, role);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);
	return begun(&c, r < 0 ? r : ism_ring_attach(region, role, opts, ret), ret);
}

void ismi_watched_ring_close(struct ism_ring *ring)
{
	struct ismi_call c = ON_RING("ism_ring_close", ring);

	if (c.dev->trace != NULL && ismi_trace_begin(&c, ISMI_ENDS) < 0) {
		if (!ring->life->gone && ring->region->ref == NULL)	/* too late to tell the peer: its region went before */
			ismi_trace_keep(ring->life, ring, c.name);
		return;
	}
	ismi_call_pass();
	ism_ring_close(ring);	/* in a forked child too: it frees memory there */
	if (c.listed)
		ismi_trace_end(&c, 0, "");
}

int ismi_watched_ring_reserve(struct ism_ring *ring, size_t len, void **ret)
{
	struct ismi_call c = ON_RING("ism_ring_reserve", ring);

	ismi_say(c.args, ", %zu bytes", len);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_ring_reserve(ring, len, ret), "");
}

int ismi_watched_ring_commit(struct ism_ring *ring, size_t len)
{
	struct ismi_call c = ON_RING("ism_ring_commit", ring);

	ismi_say(c.args, ", %zu bytes", len);
	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_ring_commit(ring, len), "");
}

int ismi_watched_ring_peek(struct ism_ring *ring, const void **ret, size_t *ret_len)
{
	struct ismi_call c = ON_RING("ism_ring_peek", ring);
	char result[ISMI_TEXT] = "";

	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);
	if (r == 0)
		r = ism_ring_peek(ring, ret, ret_len);
	if (r == 0)
		ismi_say(result, ", %zu bytes", *ret_len);
	return (int)ismi_call_end(&c, r, result);
}

int ismi_watched_ring_release(struct ism_ring *ring)
{
	struct ismi_call c = ON_RING("ism_ring_release", ring);

	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_ring_release(ring), "");
}

int ismi_watched_ring_write(struct ism_ring *ring, const void *data, size_t len, int64_t timeout_ns)
{
	struct ismi_call c = ON_RING("ism_ring_write", ring);

	ismi_say(c.args, ", %zu bytes", len);
	ismi_say_timeout(c.args, timeout_ns);
	int r = ismi_call_begin(&c, use_of(timeout_ns), ISMI_NO_FAULT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_ring_write(ring, data, len, timeout_ns), "");
}

int64_t ismi_watched_ring_read(struct ism_ring *ring, void *buf, size_t cap, int64_t timeout_ns)
{
	struct ismi_call c = ON_RING("ism_ring_read", ring);

	ismi_say(c.args, ", %zu bytes", cap);
	ismi_say_timeout(c.args, timeout_ns);
	int r = ismi_call_begin(&c, use_of(timeout_ns), ISMI_NO_FAULT);
	return ismi_call_end(&c, r < 0 ? r : ism_ring_read(ring, buf, cap, timeout_ns), "");
}

int ismi_watched_ring_write_many(struct ism_ring *ring, const struct ism_ring_buf *records, size_t nr,
				 int64_t timeout_ns)
{
	struct ismi_call c = ON_RING("ism_ring_write_many", ring);

	ismi_say(c.args, ", %zu records", nr);
	ismi_say_timeout(c.args, timeout_ns);
	int r = ismi_call_begin(&c, use_of(timeout_ns), ISMI_NO_FAULT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_ring_write_many(ring, records, nr, timeout_ns), "");
}

int ismi_watched_ring_read_many(struct ism_ring *ring, struct ism_ring_buf *buffers, size_t nr, int64_t timeout_ns)
{
	struct ismi_call c = ON_RING("ism_ring_read_many", ring);

	ismi_say(c.args, ", %zu records", nr);
	ismi_say_timeout(c.args, timeout_ns);
	int r = ismi_call_begin(&c, use_of(timeout_ns), ISMI_NO_FAULT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_ring_read_many(ring, buffers, nr, timeout_ns), "");
}

int ismi_watched_ring_wait(struct ism_ring *ring, size_t len, int64_t timeout_ns)
{
	struct ismi_call c = ON_RING("ism_ring_wait", ring);

	ismi_say(c.args, ", %zu bytes", len);
	ismi_say_timeout(c.args, timeout_ns);
	int r = ismi_call_begin(&c, use_of(timeout_ns), ISMI_NO_FAULT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_ring_wait(ring, len, timeout_ns), "");
}

int ismi_watched_ring_fd(struct ism_ring *ring)
{
	struct ismi_call c = ON_RING("ism_ring_fd", ring);

	int r = ismi_call_begin(&c, ISMI_USES, ISMI_NO_FAULT);
	return (int)ismi_call_end(&c, r < 0 ? r : ism_ring_fd(ring), "");
}

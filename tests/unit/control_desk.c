/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * control_desk.c - where bytes are handed in.
 */
#include "control_desk.h"

#include <stdlib.h>

/* ------------------------------------------------------------------ a front end */

static struct desk *desk_of(void *ctx)
{
	return ctx;
}

static enum ismi_status on_memory_new(void *ctx, uint64_t size, struct store **ret)
{
	struct desk *d = desk_of(ctx);

	if (d->memory_status != ISMI_OK)
		return d->memory_status;
	d->memories++;
	*ret = malloc(sizeof **ret);
	**ret = (struct store){ .fd = -1, .ro_fd = -1, .size = size };
	return ISMI_OK;
}

static uint64_t on_event_position(void *ctx, const struct model_device *dev)
{
	(void)ctx;
	return 0xe0 + dev->devid;
}

static enum ismi_status on_link(void *ctx, struct model_device *dev, struct model_device *peer, uint32_t *ret_number,
				uint64_t *ret_id)
{
	struct desk *d = desk_of(ctx);

	d->links++;
	if (d->link_status != ISMI_OK)
		return d->link_status;
	*ret_number = 0x41424344;
	*ret_id = dev->devid << 32 | peer->devid;
	return ISMI_OK;
}

static bool on_linkable(void *ctx, const struct model_ref *peer)
{
	(void)peer;
	return desk_of(ctx)->linkable;
}

static enum ismi_status on_vector(void *ctx, struct model_ref *ref, bool on)
{
	struct desk *d = desk_of(ctx);

	(void)ref;
	d->vectors++;
	d->vector_on = on;
	return d->vector_status;
}

static bool on_privileged(void *ctx, const struct model_device *dev)
{
	return desk_of(ctx)->privileged == dev;
}

static enum ismi_status on_kick(void *ctx, struct model_device *dev, const struct model_device *by)
{
	struct desk *d = desk_of(ctx);

	d->kicks++;
	d->kicked = dev->devid;
	d->kicked_by = by->devid;
	return d->kick_status;
}

static void memory_free(void *memory)
{
	store_close(memory);
	free(memory);
}

void desk_open(struct desk *d)
{
	memset(d, 0, sizeof *d);
	fake_init(&d->f);
	d->f.memory_free = memory_free;
	for (unsigned int i = 0; i < SCRIPT_MAX; i++)
		d->f.script[i] = 0x1122334455667701 + i;
	d->f.nr_script = SCRIPT_MAX;
	d->ops = (struct control_ops){
		.memory_new = on_memory_new,
		.event_position = on_event_position,
		.link = on_link,
		.linkable = on_linkable,
		.vector = on_vector,
		.privileged = on_privileged,
		.kick = on_kick,
		.host_kind = 0x1a1b1c1d,
		.host_uid = 0x2a2b2c2d,
	};
	d->a = fake_device(&d->f, 1, 16);
	d->b = fake_device(&d->f, 1, 16);
	d->c = fake_device(&d->f, 2, 16);
}

void desk_close(struct desk *d)
{
	desk_take_back(d);
	fake_fini(&d->f);
}

void desk_bring(struct desk *d, uint64_t size)
{
	struct store *s = malloc(sizeof *s);

	*s = (struct store){ .fd = -1, .ro_fd = -1, .size = size };
	d->memory[d->nr_memory++] = s;
}

void desk_take_back(struct desk *d)
{
	for (uint32_t i = 0; i < d->nr_memory; i++)
		free(d->memory[i]);
	d->nr_memory = 0;
}

/* ------------------------------------------------------------------ exchanges */

size_t desk_send(struct desk *d, struct model_device *dev, const uint8_t *req, size_t len, size_t cap)
{
	/* Of exactly these sizes, so that a byte too far is noticed. */
	uint8_t *in = malloc(len + 1), *out = malloc(cap + 1);

	if (len > 0)
		memcpy(in, req, len);
	memset(out, 0xa5, cap + 1);
	d->call = (struct control_call){ .dev = dev, .now = d->now, .memory = d->memory, .nr_memory = d->nr_memory };
	d->len = control_handle(&d->ops, d, &d->call, in, len, out, cap);
	if (d->len > cap || (cap > 0 && d->len == 0) || out[cap] != 0xa5)
		ck_abort_msg("a reply of %zu bytes into %zu", d->len, cap);
	if (d->call.replaced != NULL)	/* what domain_control() does */
		model_moved(d->call.replaced, d->call.ref[0]->region, dev);
	memcpy(d->reply, out, d->len);
	free(in);
	free(out);
	return d->len;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t parse(const char *hex, uint8_t *ret, size_t max)
{
	size_t n = 0;
	int high = -1;

	for (; *hex != '\0'; hex++) {
		if (*hex == ' ')
			continue;
		if (digit(*hex) < 0 || n == max)
			ck_abort_msg("wrong hexadecimal at \"%s\"", hex);
		if (high < 0) {
			high = digit(*hex);
			continue;
		}
		ret[n++] = (uint8_t)(high << 4 | digit(*hex));
		high = -1;
	}
	ck_assert_int_lt(high, 0);
	return n;
}

size_t desk_hex(struct desk *d, struct model_device *dev, const char *req, size_t cap)
{
	uint8_t buf[256];
	size_t len = parse(req, buf, sizeof buf);

	return desk_send(d, dev, buf, len, cap);
}

static void to_hex(const uint8_t *p, size_t n, char *ret)
{
	*ret = '\0';
	for (size_t i = 0; i < n && i < 250; i++)
		sprintf(ret + 2 * i, "%02x", p[i]);
}

void says(struct desk *d, struct model_device *dev, const char *req, const char *reply)
{
	uint8_t want[1024];
	size_t len = parse(reply, want, sizeof want);
	char got_hex[512], want_hex[512];

	desk_hex(d, dev, req, REPLY_MAX);
	if (d->len == len && memcmp(d->reply, want, len) == 0)
		return;
	to_hex(d->reply, d->len, got_hex);
	to_hex(want, len, want_hex);
	ck_abort_msg("%s\n is answered with %s\n     instead of %s", req, got_hex, want_hex);
}

/* ------------------------------------------------------------------ state */

static void mix(uint64_t *hash, uint64_t v)
{
	*hash = (*hash ^ v) * UINT64_C(0x100000001b3);
	*hash ^= *hash >> 29;
}

static void mix_usage(uint64_t *h, const struct model_usage *u)
{
	mix(h, u->bytes);
	mix(h, u->regions);
	mix(h, u->devices);
	mix(h, u->grants);
	mix(h, (uint64_t)u->attach_due);
	mix(h, (uint64_t)u->notify_due);
	mix(h, u->failed_total);
}

uint64_t desk_state(const struct desk *d)
{
	const struct model *m = &d->f.model;
	const struct model_region *region;
	const struct model_device *dev;
	const struct model_grant *grant;
	const struct model_ref *ref;
	uint64_t h = 1;

	fake_check(&d->f);
	TAILQ_FOREACH (dev, &m->devices, all) {
		mix(&h, dev->devid);
		mix_usage(&h, &dev->used);
		mix_usage(&h, &dev->user->used);
	}
	TAILQ_FOREACH (region, &m->regions, all) {
		mix(&h, region->token);
		mix(&h, region->default_rights);
		mix(&h, region->ended);
		mix(&h, region->replaced);
		LIST_FOREACH (ref, &region->refs, of_region)
			mix(&h, ref->device->devid << 8 | ref->rights);
		LIST_FOREACH (grant, &region->grant_list, of_region)
			mix(&h, grant->devid << 8 | grant->rights);
	}
	mix(&h, m->next_serial);
	mix(&h, d->f.nr_said);
	mix(&h, d->f.begun);
	mix(&h, d->f.drawn);
	mix(&h, d->f.freed);
	mix(&h, d->memories);
	mix(&h, d->links);
	mix(&h, d->vectors);
	mix(&h, d->kicks);
	for (uint32_t i = 0; i < d->nr_memory; i++)
		mix(&h, d->memory[i] != NULL);
	return h;
}

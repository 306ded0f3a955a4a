/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * driver.c - the driver's half of the control commands: calls in, bytes out.
 *
 * Used by the backends whose device takes the bytes themselves (loop, emu).
 * What the device answers is checked before it is believed.
 */
#include "internal.h"

#include "base/bytes.h"
#include "base/spec.h"
#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ requests and answers */

void ismi_command_begin(struct ismi_command *c, enum ismi_cmd cmd, uint8_t *reply, size_t cap)
{
	/* Not the whole of it: most commands are short, and bring no descriptors. */
	c->req_len = ISMI_REQ_HEAD;
	c->memory = NULL;
	c->nr_memory = 0;
	c->reply = reply;
	c->cap = cap;
	c->len = 0;
	c->nr_fds = 0;
	c->req[0] = (uint8_t)(cmd >> 8);
	c->req[1] = (uint8_t)cmd;
}

void ismi_command_add32(struct ismi_command *c, uint32_t v)
{
	ismi_put32(c->req + c->req_len, v);
	c->req_len += 4;
}

void ismi_command_add64(struct ismi_command *c, uint64_t v)
{
	ismi_put64(c->req + c->req_len, v);
	c->req_len += 8;
}

void ismi_command_close(struct ismi_command *c)
{
	for (unsigned int i = 0; i < c->nr_fds; i++)
		ismi_sys_close(c->fds[i]);
	c->nr_fds = 0;
}

int ismi_command_run(struct ism_device *dev, struct ismi_command *c, size_t len, unsigned int nr_fds)
{
	ismi_add_relaxed(&dev->count.control_calls, 1);
	int r = dev->ops->command(dev, c);

	if (r < 0)
		return r;
	if (c->len >= 1 && c->reply[0] != ISMI_OK) {
		ismi_command_close(c);
		return c->reply[0];
	}
	if (c->len < 1 + len || c->nr_fds < nr_fds) {
		ismi_command_close(c);
		return ismi_fail(-EPROTO, "the device's answer has %zu bytes and %u descriptors: expected %zu and %u", c->len,
				 c->nr_fds, 1 + len, nr_fds);
	}
	return ISMI_OK;
}

int ismi_command_error(int status, const char *what)
{
	switch (status) {
	case ISMI_ENOMEM:
		return ismi_fail(-ENOMEM, "%s: the device is out of memory or descriptors", what);
	case ISMI_ENOSPC:
		return ismi_fail(-ENOSPC, "%s: the window or a quota of this device or user is used up", what);
	case ISMI_ERR:
		return ismi_fail(-EINVAL, "%s: the device does not accept the request", what);
	default:
		return ismi_fail(-EPROTO, "%s: the device answered with status %d", what, status);
	}
}

/* ------------------------------------------------------------------ alloc */

static void stores_free(struct store **stores, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		store_free(stores[i]);
}

static int store_make(const struct ismi_alloc *want, const struct ismi_pooled *reuse, struct store *ret)
{
	if (reuse == NULL)
		return store_create(ret, want->size, want->huge);
	const struct store old = { .fd = reuse->fd, .size = reuse->size, .huge = reuse->huge };
	return store_copy(ret, &old);
}

/* The memory is ours to make, so that it is ours to pay for. */
static int stores_make(const struct ismi_alloc *want, uint32_t nr, struct store **stores)
{
	for (uint32_t i = 0; i < nr; i++) {
		stores[i] = malloc(sizeof *stores[i]);
		int r = stores[i] == NULL
				? ismi_fail(-ENOMEM, "out of memory")
				: store_make(want, want->reuse == NULL ? NULL : want->reuse[i], stores[i]);
		if (r < 0) {
			free(stores[i]);
			stores_free(stores, i);
			return r;
		}
	}
	return 0;
}

static void parse_alloc(const uint8_t *area, const struct ismi_alloc *want, struct ismi_memory *ret)
{
	*ret = (struct ismi_memory){
		.token = ismi_get64(area),
		.offset = ismi_get64(area + 8),
		.size = ismi_get64(area + 16),
		.requested = want->requested,
		.slot = ismi_get32(area + 24),
		.event_from = ismi_get64(area + 32),
		.rights = ISM_READ | ISM_WRITE | ISM_ATTACH | ISM_MANAGE,
		.fd = -1,
	};
}

int ismi_driver_alloc(struct ism_device *dev, const struct ismi_alloc *want, uint32_t nr, struct ismi_memory *ret)
{
	uint8_t reply[1 + ISMI_BATCH_MAX * ISMI_ALLOC_EX_AREA];
	struct store *stores[ISMI_BATCH_MAX];
	int fds[ISMI_BATCH_MAX];
	struct ismi_command c;
	int r = stores_make(want, nr, stores);

	if (r < 0)
		return r;
	ismi_command_begin(&c, ISMI_CMD_ALLOC_EX, reply, sizeof reply);
	ismi_command_add64(&c, want->size);
	ismi_command_add32(&c, want->private ? ISMI_ALLOC_F_PRIVATE : 0);
	ismi_command_add32(&c, nr);
	ismi_command_add64(&c, want->requested);
	if (want->peer != 0)
		ismi_command_add64(&c, want->peer);
	c.memory = stores;
	c.nr_memory = nr;
	for (uint32_t i = 0; i < nr; i++)
		fds[i] = stores[i]->fd;
	r = ismi_command_run(dev, &c, (size_t)nr * ISMI_ALLOC_EX_AREA, 0);
	if (r != ISMI_OK) {
		stores_free(stores, nr);
		if (r < 0)
			return r;
		if (r == ISMI_ENOENT)
			return ismi_fail(-ENOENT, "no device %" PRIu64 " in this domain to allocate for", want->peer);
		return r == ISMI_E2BIG ? ismi_fail(-E2BIG, "a region of %" PRIu64 " bytes does not fit the window", want->size)
				       : ismi_command_error(r, "alloc");
	}
	for (uint32_t i = 0; i < nr; i++) {
		parse_alloc(reply + 1 + (size_t)i * ISMI_ALLOC_EX_AREA, want, &ret[i]);
		ret[i].fd = fds[i];
		ismi_sys_close(stores[i]->ro_fd);
		free(stores[i]);
		if (ret[i].size != want->size)
			r = ismi_fail(-EPROTO, "the device made a region of %" PRIu64 " bytes: expected %" PRIu64, ret[i].size,
				      want->size);
	}
	if (r < 0) {
		for (uint32_t i = 0; i < nr; i++) {
			ismi_sys_close(ret[i].fd);
			ismi_driver_detach(dev, ret[i].token);
		}
	}
	return r;
}

/* ------------------------------------------------------------------ replace */

static int replace_error(int status)
{
	switch (status) {
	case ISMI_ENOENT:
		return ismi_fail(-EALREADY, "the region has been replaced already: ism_attach_successor() gives the successor");
	case ISMI_PERM_ATTACH:
		return ismi_fail(-EPERM, "this device may not replace the region: it needs READ, WRITE, ATTACH and MANAGE");
	case ISMI_ERR:
		return ismi_fail(-EOPNOTSUPP, "the device does not replace regions, or not with such memory");
	default:
		return ismi_command_error(status, "replace");
	}
}

int ismi_driver_replace(struct ism_device *dev, uint64_t token, const struct ismi_alloc *want, struct ismi_memory *ret)
{
	uint8_t reply[1 + ISMI_ALLOC_EX_AREA];
	struct ismi_command c;
	struct store *store;
	int r = stores_make(want, 1, &store);

	if (r < 0)
		return r;
	ismi_command_begin(&c, ISMI_CMD_REPLACE, reply, sizeof reply);
	ismi_command_add64(&c, token);
	ismi_command_add64(&c, want->size);
	c.memory = &store;
	c.nr_memory = 1;
	r = ismi_command_run(dev, &c, ISMI_ALLOC_EX_AREA, 0);
	if (r != ISMI_OK) {
		store_free(store);
		return r < 0 ? r : replace_error(r);
	}
	parse_alloc(reply + 1, want, ret);
	ret->rights = ismi_get32(reply + 1 + 28);
	ret->fd = store->fd;
	ismi_sys_close(store->ro_fd);
	free(store);
	if (ret->size != want->size) {
		ismi_sys_close(ret->fd);
		ismi_driver_detach(dev, ret->token);
		return ismi_fail(-EPROTO, "the device made a region of %" PRIu64 " bytes: expected %" PRIu64, ret->size,
				 want->size);
	}
	return 0;
}

int ismi_driver_successor(struct ism_device *dev, uint64_t token, uint64_t *ret_token, uint32_t *ret_others)
{
	uint8_t reply[ISMI_SUCCESSOR_REPLY];
	struct ismi_command c;

	ismi_command_begin(&c, ISMI_CMD_SUCCESSOR, reply, sizeof reply);
	ismi_command_add64(&c, token);
	int r = ismi_command_run(dev, &c, ISMI_SUCCESSOR_REPLY - 1, 0);
	/* A host that does not know the command has replaced nothing. */
	if (r == ISMI_ENOENT || r == ISMI_ERR)
		return ismi_fail_const(-ENOENT, "the region has no successor, or none for this device");
	if (r != ISMI_OK)
		return r < 0 ? r : ismi_command_error(r, "successor");
	*ret_token = ismi_get64(reply + 1);
	*ret_others = ismi_get32(reply + 9);
	return 0;
}

/* ------------------------------------------------------------------ attach, detach */

int ismi_driver_attach_error(int status)
{
	switch (status) {
	case ISMI_ENOENT:
		return ismi_fail(-ENOENT, "no region has this token, or this device may not know of it");
	case ISMI_PERM_ATTACH:
		return ismi_fail(-EACCES, "the region is there, but this device has not been granted the right to attach it");
	case ISMI_PERM_READ:
		return ismi_fail(-EACCES, "the region is there, but this device has not been granted the right to read it");
	case ISMI_PERM_WRITE:
		return ismi_fail(-EROFS, "the region may be read by this device, but not written: attach it with ISM_READ alone");
	default:
		return ismi_command_error(status, "attach");
	}
}

/* What the device says of a region, and the descriptor that came with it, if one did. */
static int memory_check(const struct ism_device *dev, const struct ismi_memory *mem)
{
	if (mem->size == 0 || mem->size % ISMI_CHUNK != 0 || mem->requested > mem->size)
		return ismi_fail(-EPROTO, "the device says the region has %" PRIu64 " of %" PRIu64 " bytes", mem->requested,
				 mem->size);
	return mem->fd < 0 || dev->ops->own_memory ? 0 : store_check_size(mem->fd, mem->size);
}

int ismi_driver_attached(const struct ism_device *dev, uint64_t token, const uint8_t *area, int fd,
			 struct ismi_memory *ret)
{
	const struct ismi_memory mem = {
		.token = token,
		.offset = ismi_get64(area),
		.size = ismi_get64(area + 8),
		.requested = ismi_get64(area + 16),
		.event_from = ismi_get64(area + 32),
		.slot = ismi_get32(area + 40),
		.rights = ismi_get32(area + 44),
		.peers = (uint32_t)ismi_get64(area + 48),
		.fd = fd,
	};

	*ret = mem;
	return memory_check(dev, &mem);
}

void ismi_driver_give_back(struct ism_device *dev, uint64_t token)
{
	if (ismi_ref_find(dev, token) == NULL)
		ismi_driver_detach(dev, token);
}

int ismi_driver_attach(struct ism_device *dev, uint64_t token, uint32_t rights, struct ismi_memory *ret)
{
	uint8_t reply[ISMI_ATTACH_EX_REPLY];
	struct ismi_command c;

	ismi_command_begin(&c, ISMI_CMD_ATTACH_EX, reply, sizeof reply);
	ismi_command_add64(&c, token);
	ismi_command_add32(&c, rights);
	ismi_command_add32(&c, 0);
	int r = ismi_command_run(dev, &c, ISMI_ATTACH_EX_REPLY - 1, 1);
	if (r == -EMFILE)	/* the answer came, but its descriptor did not */
		ismi_driver_give_back(dev, token);
	if (r != ISMI_OK)
		return r < 0 ? r : ismi_driver_attach_error(r);
	r = ismi_driver_attached(dev, token, reply + 1, c.fds[0], ret);
	if (r < 0) {
		ismi_command_close(&c);
		ismi_driver_give_back(dev, token);
		return r;
	}
	return 0;
}

void ismi_driver_detach(struct ism_device *dev, uint64_t token)
{
	uint8_t reply[1];
	struct ismi_command c;

	ismi_command_begin(&c, ISMI_CMD_DETACH, reply, sizeof reply);
	ismi_command_add64(&c, token);
	ismi_command_run(dev, &c, 0, 0);	/* a host that is gone has detached everything */
}

/* ------------------------------------------------------------------ shutting out */

static int shut_out_error(int status)
{
	switch (status) {
	case ISMI_PERM_ATTACH:
		return ismi_fail(-EPERM, "only the host's user and root may shut peers out of a region that they do not manage");
	case ISMI_ENOENT:
		return ismi_fail(-ENOENT, "no region has this token");
	case ISMI_EALREADY:
		return ismi_fail(-EALREADY, "the region has been replaced already: shut peers out of its successor");
	case ISMI_EINVAL:
		return ismi_fail(-EINVAL, "the region's creator cannot be shut out, nor the device that asks: ism_kick_device() takes "
					  "a device off the domain");
	case ISMI_ENODEV:
		return ismi_fail(-ENODEV, "a device to shut out neither refers to the region nor has been granted a right");
	case ISMI_ENXIO:
		return ismi_fail(-ENXIO, "nobody would be left: no other device refers to the region and may go over");
	case ISMI_ERR:
		return ismi_fail(-EOPNOTSUPP, "the device does not shut peers out");
	default:
		return ismi_command_error(status, "shut out");
	}
}

int ismi_driver_shut_out(struct ism_device *dev, uint64_t token, const uint64_t *devid, size_t nr,
			 struct ismi_memory *ret)
{
	uint8_t reply[ISMI_SHUT_OUT_REPLY];
	const uint8_t *area = reply + 1;
	struct ismi_command c;

	ismi_command_begin(&c, ISMI_CMD_SHUT_OUT, reply, sizeof reply);
	ismi_command_add64(&c, token);
	ismi_command_add32(&c, (uint32_t)nr);
	ismi_command_add32(&c, 0);
	for (size_t i = 0; i < nr; i++)
		ismi_command_add64(&c, devid[i]);
	int r = ismi_command_run(dev, &c, ISMI_SHUT_OUT_REPLY - 1, 1);
	if (r == -EMFILE)
		ismi_driver_give_back(dev, ismi_get64(area));
	if (r != ISMI_OK)
		return r < 0 ? r : shut_out_error(r);
	struct ismi_memory mem = {
		.token = ismi_get64(area),
		.offset = ismi_get64(area + 8),
		.size = ismi_get64(area + 16),
		.requested = ismi_get64(area + 24),
		.event_from = ismi_get64(area + 32),
		.slot = ismi_get32(area + 40),
		.rights = ismi_get32(area + 44),
		.fd = c.fds[0],
	};
	r = memory_check(dev, &mem);
	if (r < 0) {
		ismi_command_close(&c);
		ismi_driver_give_back(dev, mem.token);
		return r;
	}
	*ret = mem;
	return 0;
}

/* ------------------------------------------------------------------ grants */

int ismi_driver_grant(struct ism_device *dev, uint64_t token, uint64_t devid, uint32_t rights)
{
	uint8_t reply[1];
	struct ismi_command c;

	ismi_command_begin(&c, devid == 0 ? ISMI_CMD_GRANT_DEFAULT : ISMI_CMD_GRANT_DEVICE, reply, sizeof reply);
	ismi_command_add64(&c, token);
	ismi_command_add64(&c, rights);
	if (devid != 0)
		ismi_command_add64(&c, devid);
	int r = ismi_command_run(dev, &c, 0, 0);
	if (r <= 0)
		return r;
	if (r == ISMI_ENOENT)
		return ismi_fail(-ENOENT, "no device %" PRIu64 " in this domain", devid);
	if (r == ISMI_PERM_ATTACH)
		return ismi_fail(-EPERM, "this device may not grant that: it needs ISM_MANAGE, can give no more than it has, and "
					 "the creator keeps its rights");
	return ismi_command_error(r, "grant");
}

/* ------------------------------------------------------------------ peers, links, vectors */

int ismi_driver_list(struct ism_device *dev, uint64_t token, uint64_t skip, struct ismi_peer *ret, size_t nr,
		     uint64_t *ret_total)
{
	uint8_t reply[ISMI_REPLY_MAX];
	struct ismi_command c;

	ismi_command_begin(&c, ISMI_CMD_LIST, reply, sizeof reply);
	ismi_command_add64(&c, token);
	ismi_command_add64(&c, skip);
	int r = ismi_command_run(dev, &c, 16, 0);
	if (r != ISMI_OK)
		return r < 0 ? r : ismi_command_error(r, "list");
	uint64_t n = ismi_get64(reply + 9);
	if (n > (c.len - 17) / ISMI_LIST_ENTRY)
		return ismi_fail(-EPROTO, "the device lists %" PRIu64 " peers in %zu bytes", n, c.len);
	*ret_total = ismi_get64(reply + 1);
	for (size_t i = 0; i < n && i < nr; i++) {
		const uint8_t *e = reply + 17 + i * ISMI_LIST_ENTRY;
		uint32_t slot = ismi_get32(e + 8);
		ret[i] = (struct ismi_peer){ .devid = ismi_get64(e), .slot = slot < ISMI_SLOTS ? slot : ISMI_SLOT_NONE,
					     .shut_out = ismi_get32(e + 12) & 1 };
	}
	return (int)(n < nr ? n : nr);
}

int ismi_driver_peers(struct ism_device *dev, uint64_t token, uint64_t *ret_devids, size_t nr)
{
	enum { STEP = 128 };
	struct ismi_peer peer[STEP];
	uint64_t total = 0, at = 0;
	int n;

	do {
		n = ismi_driver_list(dev, token, at, peer, STEP, &total);
		if (n < 0)
			return n;
		for (int i = 0; i < n && at < nr; i++)
			ret_devids[at++] = peer[i].devid;
	} while (n > 0 && at < nr && at < total);
	return total > INT32_MAX ? INT32_MAX : (int)total;
}

int ismi_driver_link(struct ism_device *dev, uint64_t devid, uint32_t *ret_number, uint64_t *ret_id, int fds[4])
{
	uint8_t reply[ISMI_LINK_REPLY];
	struct ismi_command c;

	ismi_command_begin(&c, ISMI_CMD_LINK, reply, sizeof reply);
	ismi_command_add64(&c, devid);
	int r = ismi_command_run(dev, &c, ISMI_LINK_REPLY - 1, 2);
	if (r != ISMI_OK)
		return r < 0 ? r : ismi_command_error(r, "link");
	*ret_number = ismi_get32(reply + 1);
	*ret_id = ismi_get64(reply + 9);
	for (unsigned int i = 0; i < c.nr_fds; i++)
		fds[i] = c.fds[i];
	return (int)c.nr_fds;
}

int ismi_driver_vector(struct ism_device *dev, uint64_t token, bool on, int *ret_fd)
{
	uint8_t reply[1];
	struct ismi_command c;

	ismi_command_begin(&c, ISMI_CMD_EVENT_VECTOR, reply, sizeof reply);
	ismi_command_add64(&c, token);
	ismi_command_add64(&c, on);
	int r = ismi_command_run(dev, &c, 0, on ? 1 : 0);
	if (r == -EMFILE && on)		/* rung through a descriptor that we have not */
		ismi_driver_vector(dev, token, false, NULL);
	if (r != ISMI_OK)
		return r < 0 ? r : ismi_command_error(r, "vector");
	if (on)
		*ret_fd = c.fds[0];
	return 0;
}

int ismi_driver_own(struct ism_device *dev, uint64_t skip, uint64_t *ret, size_t nr)
{
	enum { HEAD = 1 + 16, RECORD = 32 };
	uint8_t reply[ISMI_REPLY_MAX];
	struct ismi_command c;

	ismi_command_begin(&c, ISMI_CMD_QUERY, reply, sizeof reply);
	ismi_command_add32(&c, ISMI_QUERY_OWN);
	ismi_command_add32(&c, 0);
	ismi_command_add64(&c, skip);
	ismi_command_add64(&c, 0);
	int r = ismi_command_run(dev, &c, HEAD - 1, 0);
	if (r != ISMI_OK)
		return r < 0 ? r : ismi_command_error(r, "query");
	uint32_t n = ismi_get32(reply + 1);
	if (ismi_get32(reply + 5) != RECORD || n > (c.len - HEAD) / RECORD)
		return ismi_fail(-EPROTO, "the device lists %u references in %zu bytes", n, c.len);
	for (uint32_t i = 0; i < n && i < nr; i++)
		ret[i] = ismi_get64(reply + HEAD + (size_t)i * RECORD);
	return (int)(n < nr ? n : nr);
}

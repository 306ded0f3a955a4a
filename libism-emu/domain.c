/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * domain.c - a sharing domain: the model, and the fronts through which devices
 * reach it.
 */
#include "domain.h"

#include "base/sys.h"
#include "persist.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ what the model says */

static uint64_t on_random(void *ctx)
{
	uint64_t token;

	(void)ctx;
	randombytes_buf(&token, sizeof token);
	return token;
}

static void on_event(void *ctx, struct model_ref *to, enum model_event event, uint64_t devid)
{
	struct domain *d = ctx;
	struct front *front = to->device->front;

	if (!d->stopping && !d->restoring)
		front->ops->event(front, to, event, devid);
}

static void on_ref_begin(void *ctx, struct model_ref *ref)
{
	struct front *front = ref->device->front;

	persist_ref_begin(ctx, ref);
	front->ops->ref_begin(front, ref);
}

static void on_ref_end(void *ctx, struct model_ref *ref)
{
	struct front *front = ref->device->front;
	const struct domain *d = ctx;

	persist_ref_end(ctx, ref);
	if (!d->restoring)
		front->ops->ref_end(front, ref);
}

static void on_region_free(void *ctx, struct model_region *region)
{
	const struct domain *d = ctx;
	const struct model_device *dev = region->shown_to == 0 ? NULL : model_device_find(region->model, region->shown_to);
	struct front *front = dev == NULL ? NULL : dev->front;

	if (front != NULL && front->ops->kept_ended != NULL && !d->stopping)
		front->ops->kept_ended(front);
	persist_region_gone(ctx, region);
	store_free(region->memory);
}

static void on_renewed(void *ctx, struct model_region *region)
{
	persist_region_renewed(ctx, region);
}

static void on_changed(void *ctx, struct model_region *region, const struct model_ref *ref,
		       const struct model_grant *grant)
{
	persist_changed(ctx, region, ref, grant);
}

static const struct model_ops model_ops = {
	.random = on_random,
	.event = on_event,
	.ref_begin = on_ref_begin,
	.ref_end = on_ref_end,
	.region_free = on_region_free,
	.renewed = on_renewed,
	.changed = on_changed,
};

/* ------------------------------------------------------------------ absent devices */

/*
 * Their client reads a new state when it comes back, takes itself as rung, and
 * compares how many referrers its regions have.  What it does not look at is a
 * vector.
 */
static void absent_ref(struct front *front, struct model_ref *ref)
{
	(void)front;
	(void)ref;
}

static void absent_ref_end(struct front *front, struct model_ref *ref)
{
	(void)front;
	ismi_sys_close(ref->vector_fd);
	ref->vector_fd = -1;
}

static void absent_event(struct front *front, struct model_ref *ref, enum model_event event, uint64_t devid)
{
	(void)event;
	(void)devid;
	absent_ref(front, ref);
}

static void absent_ring(struct front *front, struct model_ref *ref, uint64_t ringer)
{
	(void)front;
	(void)ringer;
	if (ref->vector_fd >= 0)
		ismi_sys_wake_socket(ref->vector_fd);
}

static const struct front_ops absent_ops = {
	.ref_begin = absent_ref,
	.ref_end = absent_ref_end,
	.event = absent_event,
	.ring = absent_ring,
};

/* ------------------------------------------------------------------ what a command asks */

static enum ismi_status on_memory_new(void *ctx, uint64_t size, struct store **ret)
{
	struct store *s = malloc(sizeof *s);

	(void)ctx;
	if (s == NULL || store_create(s, size, false) < 0) {
		free(s);
		return ISMI_ENOMEM;
	}
	*ret = s;
	return ISMI_OK;
}

static uint64_t on_event_position(void *ctx, const struct model_device *dev)
{
	struct front *front = dev->front;

	(void)ctx;
	return front->ops->event_position(front);
}

static enum ismi_status on_link(void *ctx, struct model_device *dev, struct model_device *peer, uint32_t *ret_number,
				uint64_t *ret_id)
{
	struct front *front = dev->front;

	(void)ctx;
	return front->ops->link == NULL ? ISMI_ERR : front->ops->link(front, peer->front, ret_number, ret_id);
}

static bool on_linkable(void *ctx, const struct model_ref *ref)
{
	struct front *front = ref->device->front;

	(void)ctx;
	return !ref->shut_out && ref->vector_fd < 0 && front->ops->linkable != NULL && front->ops->linkable(front, ref);
}

static enum ismi_status on_vector(void *ctx, struct model_ref *ref, bool on)
{
	struct front *front = ref->device->front;

	(void)ctx;
	return front->ops->vector == NULL ? ISMI_ERR : front->ops->vector(front, ref, on);
}

static bool on_privileged(void *ctx, const struct model_device *dev)
{
	const struct domain *d = ctx;

	return !dev->confined && (dev->user->uid == 0 || dev->user->uid == d->control.host_uid);
}

static enum ismi_status on_kick(void *ctx, struct model_device *dev, const struct model_device *by)
{
	struct front *front = dev->front;

	if (domain_absent(ctx, dev)) {
		domain_device_del(ctx, dev);
		return ISMI_OK;
	}
	if (front->ops->kick == NULL)
		return ISMI_ERR;
	dev->model->count.kicks++;
	front->ops->kick(front, by->devid);
	return ISMI_OK;
}

/* ------------------------------------------------------------------ life */

void domain_init(struct domain *d, uint64_t gid, uint32_t host_kind, uint32_t host_uid)
{
	*d = (struct domain){
		.control = {
			.memory_new = on_memory_new,
			.event_position = on_event_position,
			.link = on_link,
			.linkable = on_linkable,
			.vector = on_vector,
			.privileged = on_privileged,
			.kick = on_kick,
			.host_kind = host_kind,
			.host_uid = host_uid,
		},
	};
	d->absent.ops = &absent_ops;
	model_init(&d->model, gid, &model_ops, d);
}

void domain_fini(struct domain *d)
{
	model_fini(&d->model);
}

enum ismi_status domain_add(struct domain *d, struct front *front, uint32_t uid, uint64_t window_size)
{
	enum ismi_status status = model_device_add(&d->model, uid, window_size, &front->dev);

	if (status == ISMI_OK) {
		front->dev->front = front;
		domain_known(d, front);
	}
	return status;
}

void domain_known(struct domain *d, const struct front *front)
{
	persist_device(d, front->dev);
	persist_commit(d);
}

void domain_device_del(struct domain *d, struct model_device *dev)
{
	uint64_t devid = dev->devid;

	model_device_del(dev);
	persist_device_gone(d, devid);
	persist_commit(d);
}

void domain_del(struct domain *d, struct front *front)
{
	if (front->dev != NULL)
		domain_device_del(d, front->dev);
	front->dev = NULL;
}

bool domain_absent(const struct domain *d, const struct model_device *dev)
{
	return dev->front == &d->absent;
}

struct model_device *domain_next_absent(struct domain *d)
{
	struct model_device *dev;

	TAILQ_FOREACH (dev, &d->model.devices, all) {
		if (domain_absent(d, dev))
			return dev;
	}
	return NULL;
}

void domain_returned(struct domain *d, struct front *front, struct model_device *dev)
{
	struct model_ref *ref;

	(void)d;
	front->dev = dev;
	dev->front = front;
	LIST_FOREACH (ref, &dev->ref_list, of_device) {
		front->ops->ref_begin(front, ref);
		if (ref->vector_fd >= 0)	/* rings of before may have come to nobody */
			ismi_sys_wake_socket(ref->vector_fd);
		model_tell_moved(ref);	/* maybe once more */
	}
	/* Others can have direct links to it again. */
	LIST_FOREACH (ref, &dev->ref_list, of_device)
		domain_peers_changed(ref);
}

void domain_left(struct domain *d, struct front *front)
{
	front->dev->front = &d->absent;
	front->dev = NULL;
}

/* Memory that a region was just made of: a region that could be lost is not given out. */
static enum ismi_status keep_memory(struct domain *d, const struct control_call *call)
{
	for (uint32_t i = 0; i < call->nr_refs; i++) {
		int r = persist_memory(d, call->ref[i]->region);
		if (r < 0)
			return r == -ENOSPC ? ISMI_ENOSPC : ISMI_ENOMEM;
	}
	return ISMI_OK;
}

/* What became of a command that others have to hear of, once it cannot fail any more. */
static void tell_moved(const struct control_call *call)
{
	if (call->replaced != NULL)
		model_moved(call->replaced, call->ref[0]->region, call->dev);
	for (uint32_t i = 0; i < call->nr_refs && call->replaced == NULL; i++) {
		if (!(call->again >> i & 1))	/* its attach came after a replace */
			model_tell_moved(call->ref[i]);
	}
}

size_t domain_control(struct domain *d, struct control_call *call, const uint8_t *req, size_t len, uint8_t *reply,
		      size_t cap)
{
	struct front *front = call->dev->front;
	const struct front_ops *ops = front->ops;	/* the device may end with its own command */
	size_t n = control_handle(&d->control, d, call, req, len, reply, cap);

	enum ismi_status status = keep_memory(d, call);
	if (n > 0 && status != ISMI_OK) {
		reply[0] = (uint8_t)status;
		while (call->nr_refs > 0)
			model_detach(call->dev, call->ref[--call->nr_refs]->token);
		n = 1;
	} else {
		tell_moved(call);
	}
	if (ops->answering != NULL)
		ops->answering(front, reply, n);
	persist_commit(d);
	return n;
}

void domain_ring(struct model_ref *from)
{
	struct model_ref *ref;

	if (from->shut_out)
		return;
	LIST_FOREACH (ref, &from->region->refs, of_region) {
		struct front *front = ref->device->front;
		if (ref == from || ref->shut_out)
			continue;
		from->region->model->count.rings++;
		front->ops->ring(front, ref, from->device->devid);
	}
}

void domain_peers_changed(struct model_ref *changed)
{
	struct model_ref *ref;

	LIST_FOREACH (ref, &changed->region->refs, of_region) {
		struct front *front = ref->device->front;
		if (ref != changed)
			front->ops->event(front, ref, MODEL_PEERS, 0);
	}
}

/* ------------------------------------------------------------------ names */

/* What tells this machine from others: its id, or that of this boot. */
static size_t machine_id(char *buf, size_t size)
{
	static const char *const files[] = { "/etc/machine-id", "/proc/sys/kernel/random/boot_id" };

	for (size_t i = 0; i < 2; i++) {
		int fd = ismi_sys_open(files[i], O_RDONLY, 0);
		ssize_t n = fd < 0 ? fd : ismi_sys_read(fd, buf, size);
		ismi_sys_close(fd);
		if (n > 16)
			return (size_t)n;
	}
	return 0;
}

uint64_t domain_gid(const char *name)
{
	char machine[64];
	uint8_t hash[16];
	uint64_t gid;

	crypto_generichash(hash, sizeof hash, (const unsigned char *)name, strlen(name), (const unsigned char *)machine,
			   machine_id(machine, sizeof machine));
	memcpy(&gid, hash, sizeof gid);
	return gid == 0 ? 1 : gid;
}

uint64_t domain_gid_random(void)
{
	uint64_t gid;

	do
		randombytes_buf(&gid, sizeof gid);
	while (gid == 0);
	return gid;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * Copyright (c) 2026 the libism authors
 *
 * region.c - regions: what this device refers to, and which contexts share it.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "virtio_ism.h"

static const u32 all_rights = ISM_READ | ISM_WRITE | ISM_ATTACH | ISM_MANAGE;

struct ism_att *ism_att_find(struct ism_context *ctx, u64 token)
{
	struct ism_ref *ref = ism_ref_find(ctx->dev, token);
	struct ism_att *att;

	if (ref) {
		list_for_each_entry(att, &ref->atts, of_ref) {
			if (att->ctx == ctx)
				return att;
		}
	}
	return NULL;
}

static struct ism_att *att_find_unlocked(struct ism_context *ctx, u64 token)
{
	struct ism_att *att;

	spin_lock_irq(&ctx->dev->lock);
	att = ism_att_find(ctx, token);
	spin_unlock_irq(&ctx->dev->lock);
	return att;	/* it stays: control is held */
}

/* ------------------------------------------------------------------ references */

static void detach_at_device(struct ism_device *dev, u64 token)
{
	__le64 req = cpu_to_le64(token);

	ism_run(dev, ISM_CMD_DETACH, &req, sizeof(req), 0);	/* a host that is gone has detached everything */
}

/* The answer to an alloc or attach, which the host may have got wrong. */
static int check_place(const struct ism_device *dev, u64 offset, u64 size)
{
	if (!size || (offset | size) & ~PAGE_MASK || offset >= dev->window_size || size > dev->window_size - offset)
		return -EPROTO;
	return 0;
}

static struct ism_ref *ref_new(u64 token, u64 offset, u64 size, u64 requested, u64 creator, u32 peers)
{
	struct ism_ref *ref = kzalloc(sizeof(*ref), GFP_KERNEL_ACCOUNT);

	if (!ref)
		return NULL;
	ref->token = token;
	ref->offset = offset;
	ref->size = size;
	ref->requested = requested;
	ref->creator = creator;
	ref->peers = peers;
	INIT_LIST_HEAD(&ref->atts);
	INIT_LIST_HEAD(&ref->ringing);
	return ref;
}

static struct ism_att *att_new(struct ism_context *ctx, struct ism_ref *ref, u32 rights, bool manages)
{
	struct ism_att *att = kzalloc(sizeof(*att), GFP_KERNEL_ACCOUNT);
	int slot;

	if (!att)
		return NULL;
	slot = ida_alloc(&ctx->slots, GFP_KERNEL);
	if (slot < 0) {
		kfree(att);
		return NULL;
	}
	att->ctx = ctx;
	att->ref = ref;
	att->token = ref->token;
	att->offset = ref->offset;
	att->size = ref->size;
	att->rights = rights;
	att->slot = slot;
	att->manages = manages;
	return att;
}

static void att_free(struct ism_att *att)
{
	ida_free(&att->ctx->slots, att->slot);
	if (att->eventfd)
		eventfd_ctx_put(att->eventfd);
	kfree(att);
}

/*
 * From now on others see it.  @from: where in the event queue its life begins.  Returns
 * the same for what the context will be told.
 */
static u64 publish(struct ism_att *att, bool ref_is_new, u64 from)
{
	struct ism_context *ctx = att->ctx;
	struct ism_device *dev = ctx->dev;
	u64 number;

	list_add(&att->of_ctx, &ctx->atts);
	spin_lock_irq(&dev->lock);
	number = ctx->nr_numbered;
	list_add(&att->of_ref, &att->ref->atts);
	att->ref->nr_atts++;
	if (ref_is_new) {
		hash_add(dev->refs, &att->ref->node, att->token);
		att->ref->nr_lost = dev->lost_before;
		ism_event_replay(dev, att->token, from);
	} else {
		ism_event_peers(att->ref, ctx, ISM_IOC_EV_ATTACH, dev->devid);
		ism_event_catch_up(att);
	}
	dev->attaching = false;
	spin_unlock_irq(&dev->lock);
	return number;
}

static void attaching(struct ism_device *dev, bool on)
{
	spin_lock_irq(&dev->lock);
	dev->attaching = on;
	dev->lost_before = dev->nr_lost;
	dev->nr_stash = 0;
	spin_unlock_irq(&dev->lock);
}

static void unpublish(struct ism_att *att)
{
	struct ism_device *dev = att->ctx->dev;
	struct ism_ref *ref = att->ref;

	ism_area_del(att);
	list_del(&att->of_ctx);
	spin_lock_irq(&dev->lock);
	ism_event_forget(att);
	list_del(&att->of_ref);
	ref->nr_atts--;
	if (!ref->nr_atts) {
		hash_del(&ref->node);
		list_del(&ref->ringing);
	} else {
		ism_event_peers(ref, att->ctx, ISM_IOC_EV_DETACH, dev->devid);
	}
	spin_unlock_irq(&dev->lock);
	if (!ref->nr_atts) {
		detach_at_device(dev, ref->token);
		kfree(ref);
	}
	att_free(att);
}

/* ------------------------------------------------------------------ the calls */

/* @rights: the device's; @event: records before this one are about an earlier life. */
static void fill(struct ism_ioc_region *r, const struct ism_att *att, u32 rights, u64 event)
{
	r->token = att->token;
	r->size = att->size;
	r->requested = att->ref->requested;
	r->offset = att->offset;
	r->creator = att->ref->creator;
	r->slot = att->slot;
	r->rights = att->manages ? rights : rights & ~ISM_MANAGE;
	r->peers = ism_peers(att->ref) - 1;
	r->event = event;
}

/* A region that the device has just made for this context, as the answer to that says. */
static int take_made(struct ism_context *ctx, struct ism_ioc_region *r, u64 requested, u64 creator, u32 rights)
{
	struct ism_device *dev = ctx->dev;
	u64 token = ism_reply64(dev, 0), from = ism_reply64(dev, 32);
	struct ism_ref *ref = NULL;
	struct ism_att *att = NULL;
	int err = check_place(dev, ism_reply64(dev, 8), ism_reply64(dev, 16));

	if (!err && requested > ism_reply64(dev, 16))
		err = -EPROTO;
	if (err)
		goto err_detach;
	err = -ENOMEM;
	ref = ref_new(token, ism_reply64(dev, 8), ism_reply64(dev, 16), requested, creator, 0);
	if (ref)
		att = att_new(ctx, ref, ISM_READ | ISM_WRITE, true);
	if (!att)
		goto err_detach;
	err = ism_area_add(att);
	if (err)
		goto err_detach;
	fill(r, att, rights, publish(att, true, from));
	return 0;

err_detach:
	if (att)
		att_free(att);
	kfree(ref);
	detach_at_device(dev, token);
	return err;
}

int ism_region_alloc(struct ism_context *ctx, struct ism_ioc_region *r)
{
	struct ism_device *dev = ctx->dev;
	struct {
		__le64 size;
		__le32 flags, nr;
		__le64 requested;
	} __packed req = { cpu_to_le64(r->size), cpu_to_le32(r->flags), cpu_to_le32(1), cpu_to_le64(r->requested) };
	u64 requested = r->requested ? r->requested : r->size;
	int err;

	if (!r->size || requested > r->size || r->flags & ~ISM_IOC_PRIVATE)
		return -EINVAL;
	attaching(dev, true);
	err = ism_run(dev, ISM_CMD_ALLOC_EX, &req, sizeof(req), 40);
	if (!err)
		err = take_made(ctx, r, requested, dev->devid, all_rights);
	if (err)
		attaching(dev, false);
	return err;
}

int ism_region_replace(struct ism_context *ctx, struct ism_ioc_region *r)
{
	const struct ism_att *old = att_find_unlocked(ctx, r->token);
	struct ism_device *dev = ctx->dev;
	__le64 req[2];
	int err;

	if (r->size || r->requested || r->rights || r->flags)
		return -EINVAL;
	if (!old)
		return -ENOENT;
	if (!old->manages)
		return -EPERM;
	req[0] = cpu_to_le64(old->token);
	req[1] = cpu_to_le64(old->size);
	attaching(dev, true);
	err = ism_run(dev, ISM_CMD_REPLACE, req, sizeof(req), 40);
	if (err == -ENOENT)
		err = -EALREADY;
	else if (err == -EACCES)
		err = -EPERM;
	else if (err == -EINVAL)
		err = -EOPNOTSUPP;
	else if (!err)
		err = take_made(ctx, r, old->ref->requested, old->ref->creator, ism_reply32(dev, 28));
	if (err) {
		attaching(dev, false);
		return err;
	}
	spin_lock_irq(&dev->lock);
	old->ref->moved = true;
	ism_event_peers(old->ref, ctx, ISM_IOC_EV_MOVED, dev->devid);
	spin_unlock_irq(&dev->lock);
	return 0;
}

/* The host counts devices; these are the contexts that share ours.  dev->lock held. */
static u32 contexts_going_on(struct ism_device *dev, const struct ism_att *mine, u64 successor)
{
	const struct ism_ref *next = ism_ref_find(dev, successor);
	const struct ism_att *att;
	u32 n = 0;

	dev->mark++;
	list_for_each_entry(att, &mine->ref->atts, of_ref) {
		att->ctx->mark = dev->mark;
		n += att != mine;
	}
	if (next) {
		list_for_each_entry(att, &next->atts, of_ref)
			n += att->ctx->mark != dev->mark;
	}
	return n;
}

int ism_region_successor(struct ism_context *ctx, struct ism_ioc_successor *s)
{
	struct ism_att *att = att_find_unlocked(ctx, s->token);
	struct ism_device *dev = ctx->dev;
	__le64 req = cpu_to_le64(s->token);
	int err;

	if (!att)
		return -ENOENT;
	err = ism_run(dev, ISM_CMD_SUCCESSOR, &req, sizeof(req), 16);
	if (err)
		return err == -EINVAL ? -ENOENT : err;	/* a host without the command has replaced nothing */
	att->successor = ism_reply64(dev, 0);
	s->successor = att->successor;
	spin_lock_irq(&dev->lock);
	s->others = min_t(u32, ism_reply32(dev, 8), U32_MAX / 2) + contexts_going_on(dev, att, att->successor);
	spin_unlock_irq(&dev->lock);
	return 0;
}

/* Does it manage a region that this one is the successor of? */
static bool inherits(const struct ism_context *ctx, u64 token)
{
	const struct ism_att *att;

	list_for_each_entry(att, &ctx->atts, of_ctx) {
		if (att->manages && att->successor && att->successor == token)
			return true;
	}
	return false;
}

static int attach_at_device(struct ism_device *dev, u64 token, u32 rights)
{
	struct {
		__le64 token;
		__le32 rights, zero;
	} __packed req = { cpu_to_le64(token), cpu_to_le32(rights), 0 };
	int err = ism_run(dev, ISM_CMD_ATTACH_EX, &req, sizeof(req), 56);

	if (err)
		return err;
	err = check_place(dev, ism_reply64(dev, 0), ism_reply64(dev, 8));
	return err ? err : ism_reply64(dev, 16) <= ism_reply64(dev, 8) ? 0 : -EPROTO;
}

int ism_region_attach(struct ism_context *ctx, struct ism_ioc_region *r)
{
	struct ism_device *dev = ctx->dev;
	struct ism_att *att = NULL;
	struct ism_ref *ref = NULL;
	u64 from;
	bool new;
	u32 rights;
	int err;

	if ((r->rights != ISM_READ && r->rights != (ISM_READ | ISM_WRITE)) || r->flags)
		return -EINVAL;
	attaching(dev, true);
	err = attach_at_device(dev, r->token, r->rights);
	if (err)
		goto out;
	from = ism_reply64(dev, 32);
	rights = ism_reply32(dev, 44);
	att = att_find_unlocked(ctx, r->token);
	if (att) {
		down_write(&ctx->areas_lock);
		att->rights |= r->rights;
		up_write(&ctx->areas_lock);
		attaching(dev, false);
		fill(r, att, rights, ctx->nr_numbered);
		return 0;
	}
	spin_lock_irq(&dev->lock);
	ref = ism_ref_find(dev, r->token);
	spin_unlock_irq(&dev->lock);
	new = !ref;
	if (new)
		ref = ref_new(r->token, ism_reply64(dev, 0), ism_reply64(dev, 8), ism_reply64(dev, 16), ism_reply64(dev, 24),
			      min_t(u64, ism_reply64(dev, 48), U32_MAX / 2));
	err = -ENOMEM;
	/* What the device may do as the region's creator is for the context that allocated it, or what it goes on in. */
	if (ref)
		att = att_new(ctx, ref, r->rights, ref->creator != dev->devid || inherits(ctx, r->token));
	if (!att)
		goto err_ref;
	err = ism_area_add(att);
	if (err)
		goto err_ref;
	fill(r, att, rights, publish(att, new, from));
	return 0;

err_ref:
	if (att)
		att_free(att);
	if (new) {
		kfree(ref);
		detach_at_device(dev, r->token);
	}
out:
	attaching(dev, false);
	return err;
}

int ism_region_detach(struct ism_context *ctx, u64 token)
{
	struct ism_att *att = att_find_unlocked(ctx, token);

	if (!att)
		return -ENOENT;
	unpublish(att);
	return 0;
}

int ism_region_grant(struct ism_context *ctx, const struct ism_ioc_grant *g)
{
	__le64 req[] = { cpu_to_le64(g->token), cpu_to_le64(g->rights), cpu_to_le64(g->devid) };
	const struct ism_att *att = att_find_unlocked(ctx, g->token);
	int err;

	if (!att)
		return -ENOENT;
	if (!att->manages)
		return -EPERM;
	err = ism_run(ctx->dev, g->devid ? ISM_CMD_GRANT_DEVICE : ISM_CMD_GRANT_DEFAULT, req, g->devid ? 24 : 16, 0);
	return err == -EACCES ? -EPERM : err;
}

/* Fill from the @at-th place on; the new place, or a negative errno. */
static int list_page(struct ism_device *dev, u64 token, u64 skip, u64 *ret, u32 room, u64 *ret_total)
{
	__le64 req[] = { cpu_to_le64(token), cpu_to_le64(skip) };
	size_t got = 0;
	int err = ism_status_errno(ism_command(dev, ISM_CMD_LIST, req, sizeof(req), ISM_REPLY_MAX, &got));
	u64 nr;

	if (err)
		return err;
	if (got < 16)
		return -EPROTO;
	*ret_total = ism_reply64(dev, 0);
	nr = ism_reply64(dev, 8);
	if (nr > (got - 16) / 16)
		return -EPROTO;
	for (u64 i = 0; i < nr && i < room; i++)
		ret[i] = ism_reply64(dev, 16 + i * 16);
	return min_t(u64, nr, room);
}

int ism_region_list(struct ism_context *ctx, u64 token, u64 *ret, u32 nr, u32 *ret_total)
{
	const struct ism_att *att = att_find_unlocked(ctx, token);
	u64 total = 0;
	u32 at = 0;
	int n;

	if (!att)
		return -ENOENT;
	do {
		n = list_page(ctx->dev, token, at, ret + at, nr - at, &total);
		if (n < 0)
			return n;
		at += n;
	} while (n > 0 && at < nr && at < total);
	for (u32 i = 1; i < att->ref->nr_atts && at < nr; i++)
		ret[at++] = ctx->dev->devid;
	*ret_total = min_t(u64, total, U32_MAX / 2) + att->ref->nr_atts - 1;
	return at;
}

/* ------------------------------------------------------------------ ends */

void ism_region_detach_all(struct ism_context *ctx)
{
	struct ism_att *att, *next;

	list_for_each_entry_safe(att, next, &ctx->atts, of_ctx)
		unpublish(att);
}

void ism_region_lose_all(struct ism_device *dev)
{
	struct ism_context *ctx;
	struct ism_att *att, *next;

	/*
	 * Contexts come and go under control, which is held.  The host may learn of a
	 * reset only when the device starts again: it is told now.
	 */
	list_for_each_entry(ctx, &dev->contexts, all) {
		list_for_each_entry_safe(att, next, &ctx->atts, of_ctx)
			unpublish(att);
		spin_lock_irq(&dev->lock);
		ism_event_reset(ctx);
		spin_unlock_irq(&dev->lock);
	}
}

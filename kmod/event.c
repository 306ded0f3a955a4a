// SPDX-License-Identifier: BSD-2-Clause
/*
 * Copyright (c) 2026 the libism authors
 *
 * event.c - what contexts are told: doorbells, peers that come and go, regions that
 * were replaced.
 *
 * All of it runs with the device's lock held, much of it in interrupts.
 */
#include <linux/slab.h>
#include <linux/version.h>

#include "virtio_ism.h"

static void wake(struct ism_context *ctx)
{
	if (ctx->status)
		WRITE_ONCE(*ctx->status, *ctx->status + 1);
	wake_up_interruptible(&ctx->wait);
}

struct ism_ref *ism_ref_find(struct ism_device *dev, u64 token)
{
	struct ism_ref *ref;

	hash_for_each_possible(dev->refs, ref, node, token) {
		if (ref->token == token)
			return ref;
	}
	return NULL;
}

/* ------------------------------------------------------------------ to one context */

static void signal_eventfd(struct ism_att *att)
{
	if (!att->eventfd)
		return;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(att->eventfd);
#else
	eventfd_signal(att->eventfd, 1);
#endif
}

void ism_event_ring(struct ism_att *att, u64 devid)
{
	struct ism_context *ctx = att->ctx;

	att->ringer = devid;
	if (att->is_rung)
		return;
	att->is_rung = true;
	list_add_tail(&att->rung, &ctx->rung);
	wake(ctx);	/* before the eventfd: whoever that wakes looks at the status whether there is something to read */
	signal_eventfd(att);
}

static void tell(struct ism_att *att, u32 type, u64 devid)
{
	struct ism_context *ctx = att->ctx;
	struct ism_event *e = NULL;

	if (ctx->nr_events < ISM_CTX_EVENTS)
		e = kzalloc(sizeof(*e), GFP_ATOMIC | __GFP_NOWARN);
	ctx->nr_numbered++;
	if (e) {
		e->ev.type = type;
		e->ev.slot = att->slot;
		e->ev.token = att->token;
		e->ev.devid = devid;
		e->ev.peers = ism_peers(att->ref) - 1;
		e->ev.number = ctx->nr_numbered - 1;
		list_add_tail(&e->all, &ctx->events);
		ctx->nr_events++;
	} else {
		ctx->lost = true;
	}
	wake(ctx);
	/* Who waits for this region alone has to learn that nobody is left to ring, or that it goes on elsewhere. */
	if (type != ISM_IOC_EV_ATTACH)
		signal_eventfd(att);
}

/* All referrers: other devices, and the contexts of this one. */
u32 ism_peers(const struct ism_ref *ref)
{
	return ref->peers + ref->nr_atts;
}

void ism_event_peers(struct ism_ref *ref, const struct ism_context *except, u32 type, u64 devid)
{
	struct ism_att *att;

	list_for_each_entry(att, &ref->atts, of_ref) {
		if (att->ctx != except)
			tell(att, type, devid);
	}
}

void ism_event_reset(struct ism_context *ctx)
{
	ctx->reset = true;
	ctx->ended = true;
	wake(ctx);
}

void ism_event_lost(struct ism_device *dev)
{
	struct ism_context *ctx;

	dev->nr_lost++;
	list_for_each_entry(ctx, &dev->contexts, all) {
		ctx->lost = true;
		wake(ctx);
	}
}

void ism_event_catch_up(struct ism_att *att)
{
	if (att->ref->moved) {
		tell(att, ISM_IOC_EV_MOVED, 0);
	} else if (att->ref->nr_lost != att->ctx->dev->nr_lost) {
		att->ctx->lost = true;	/* that it moved may be what was lost */
		wake(att->ctx);
	}
}

/* What is pending for an attachment that ends. */
void ism_event_forget(struct ism_att *att)
{
	struct ism_context *ctx = att->ctx;
	struct ism_event *e, *next;

	if (att->is_rung)
		list_del(&att->rung);
	att->is_rung = false;
	list_for_each_entry_safe(e, next, &ctx->events, all) {
		if (e->ev.token == att->token) {
			list_del(&e->all);
			kfree(e);
			ctx->nr_events--;
		}
	}
}

bool ism_event_any(const struct ism_context *ctx)
{
	return !list_empty(&ctx->events) || !list_empty(&ctx->rung) || ctx->lost || ctx->reset;
}

bool ism_event_take(struct ism_context *ctx, struct ism_ioc_event *ret)
{
	struct ism_event *e = list_first_entry_or_null(&ctx->events, struct ism_event, all);
	struct ism_att *att = list_first_entry_or_null(&ctx->rung, struct ism_att, rung);

	memset(ret, 0, sizeof(*ret));
	if (ctx->reset) {
		ctx->reset = false;
		ret->type = ISM_IOC_EV_RESET;
	} else if (e) {
		*ret = e->ev;
		list_del(&e->all);
		kfree(e);
		ctx->nr_events--;
	} else if (ctx->lost) {
		ctx->lost = false;
		ret->type = ISM_IOC_EV_LOST;
	} else if (att) {
		ret->type = ISM_IOC_EV_UPDATE;
		ret->slot = att->slot;
		ret->token = att->token;
		ret->devid = att->ringer;
		list_del(&att->rung);
		att->is_rung = false;
	} else {
		return false;
	}
	return true;
}

/* ------------------------------------------------------------------ from the device */

static void stash(struct ism_device *dev, const struct ism_record *record)
{
	if (!dev->attaching)
		return;		/* about a region that was let go of */
	if (dev->nr_stash == ISM_STASH) {
		ism_event_lost(dev);
		return;
	}
	dev->stash[dev->nr_stash].number = dev->nr_records;
	dev->stash[dev->nr_stash++].record = *record;
}

static void deliver(struct ism_ref *ref, const struct ism_record *record)
{
	struct ism_att *att;

	if (record->type == ISM_IOC_EV_UPDATE) {
		list_for_each_entry(att, &ref->atts, of_ref)
			ism_event_ring(att, record->devid);
	} else if (record->type == ISM_IOC_EV_ATTACH || record->type == ISM_IOC_EV_DETACH ||
		   record->type == ISM_IOC_EV_MOVED) {
		ref->moved |= record->type == ISM_IOC_EV_MOVED;
		ref->peers = min_t(u64, record->peers, U32_MAX / 2);
		ism_event_peers(ref, NULL, record->type, record->devid);
	}
}

void ism_event_record(struct ism_device *dev, const struct ism_record *record)
{
	struct ism_ref *ref = ism_ref_find(dev, record->token);

	if (record->type == ISM_IOC_EV_LOST)
		ism_event_lost(dev);
	else if (ref)
		deliver(ref, record);
	else
		stash(dev, record);
}

void ism_event_replay(struct ism_device *dev, u64 token, u64 from)
{
	struct ism_ref *ref = ism_ref_find(dev, token);

	for (unsigned int i = 0; ref && i < dev->nr_stash; i++) {
		if (dev->stash[i].record.token == token && dev->stash[i].number >= from)
			deliver(ref, &dev->stash[i].record);
	}
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * Copyright (c) 2026 the libism authors
 *
 * queue.c - the device's three virtqueues: commands, events, doorbells.
 *
 * What the host writes is checked before it is believed, and never makes us
 * wait for ever.
 */
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/virtio_config.h>

#include "virtio_ism.h"

/* A host that does not answer for so long is gone; failed attaches take up to a second. */
static const unsigned long reply_within = 30 * HZ;

/* ------------------------------------------------------------------ commands */

static void control_done(struct virtqueue *vq)
{
	struct ism_device *dev = vq->vdev->priv;

	complete(&dev->replied);
}

int ism_command(struct ism_device *dev, u16 cmd, const void *req, size_t len, size_t cap, size_t *ret_len)
{
	struct scatterlist out, in, *sgs[] = { &out, &in };
	struct virtqueue *vq = dev->vq[ISM_CONTROL];
	unsigned int got = 0;
	int err;

	lockdep_assert_held(&dev->control);
	if (!dev->vdev || !dev->running)
		return -ENODEV;
	if (WARN_ON_ONCE(len > ISM_REQUEST_MAX - 2 || cap > ISM_REPLY_MAX))
		return -EINVAL;
	dev->request[0] = cmd >> 8;
	dev->request[1] = cmd & 0xff;
	memcpy(dev->request + 2, req, len);
	sg_init_one(&out, dev->request, len + 2);
	sg_init_one(&in, dev->reply, cap);
	reinit_completion(&dev->replied);
	err = virtqueue_add_sgs(vq, sgs, 1, 1, dev, GFP_KERNEL);
	if (err)
		return err == -ENOSPC ? -EIO : err;
	virtqueue_kick(vq);
	while (!virtqueue_get_buf(vq, &got)) {
		if (virtqueue_is_broken(vq))
			return -EIO;
		if (!wait_for_completion_timeout(&dev->replied, reply_within)) {
			/* The buffers are the host's: nothing more can be asked before a reset. */
			dev_err(&dev->vdev->dev, "no answer to command 0x%04x: the device is given up\n", cmd);
			virtio_break_device(dev->vdev);
			return -EIO;
		}
	}
	if (got < 1 || got > cap)
		return -EPROTO;
	if (ret_len)
		*ret_len = got - 1;
	return dev->reply[0];
}

int ism_status_errno(int status)
{
	switch (status) {
	case 0:
		return 0;
	case 2:
		return -ENOENT;
	case 7:
		return -E2BIG;
	case 12:
		return -ENOMEM;
	case 28:
		return -ENOSPC;
	case 100:
	case 101:
		return -EACCES;
	case 102:
		return -EROFS;
	case 255:
		return -EINVAL;
	default:
		return status < 0 ? status : -EPROTO;
	}
}

int ism_run(struct ism_device *dev, u16 cmd, const void *req, size_t len, size_t reply_len)
{
	size_t got = 0;
	int err = ism_status_errno(ism_command(dev, cmd, req, len, reply_len + 1, &got));

	return err ? err : got == reply_len ? 0 : -EPROTO;
}

u64 ism_reply64(const struct ism_device *dev, unsigned int at)
{
	__le64 v;

	memcpy(&v, dev->reply + 1 + at, sizeof(v));
	return le64_to_cpu(v);
}

u32 ism_reply32(const struct ism_device *dev, unsigned int at)
{
	__le32 v;

	memcpy(&v, dev->reply + 1 + at, sizeof(v));
	return le32_to_cpu(v);
}

/* ------------------------------------------------------------------ events */

static void add_record_buffer(struct ism_device *dev, u8 *buf)
{
	struct scatterlist sg;

	sg_init_one(&sg, buf, ISM_RECORD);
	/* There is one buffer for each entry at most, so there is room. */
	virtqueue_add_inbuf(dev->vq[ISM_EVENTS], &sg, 1, buf, GFP_ATOMIC);
}

static u64 word(const u8 *buf, unsigned int i)
{
	__le64 v;

	memcpy(&v, buf + i * sizeof(v), sizeof(v));
	return le64_to_cpu(v);
}

/* {type, offset, devid, token} for a doorbell; {type, offset, devid, peers, token} for the others. */
static bool parse_record(const u8 *buf, unsigned int len, struct ism_record *ret)
{
	if (len < 32)
		return false;
	*ret = (struct ism_record){ .type = word(buf, 0), .offset = word(buf, 1), .devid = word(buf, 2) };
	if (ret->type == ISM_IOC_EV_UPDATE) {
		ret->token = word(buf, 3);
		return true;
	}
	if (len < ISM_RECORD)
		return false;
	ret->peers = word(buf, 3);
	ret->token = word(buf, 4);
	return true;
}

static void events_done(struct virtqueue *vq)
{
	struct ism_device *dev = vq->vdev->priv;
	struct ism_record record;
	unsigned long flags;
	unsigned int len;
	bool any = false;
	u8 *buf;

	spin_lock_irqsave(&dev->lock, flags);
	/* No more than there are buffers: the host could go on as fast as we do. */
	for (int i = 0; i < ISM_BUFFERS && dev->running && (buf = virtqueue_get_buf(vq, &len)); i++) {
		if (parse_record(buf, min_t(unsigned int, len, ISM_RECORD), &record))
			ism_event_record(dev, &record);
		dev->nr_records += len > 0;
		add_record_buffer(dev, buf);
		any = true;
	}
	if (any)
		virtqueue_kick(vq);
	spin_unlock_irqrestore(&dev->lock, flags);
}

/* ------------------------------------------------------------------ doorbells */

static bool notify_put(struct ism_device *dev, const struct ism_ref *ref)
{
	struct scatterlist sg;
	unsigned int i;

	if (!dev->notify_free)
		return false;
	i = __ffs64(dev->notify_free);
	dev->notify[i] = cpu_to_le64(ref->offset);
	sg_init_one(&sg, &dev->notify[i], sizeof(dev->notify[i]));
	if (virtqueue_add_outbuf(dev->vq[ISM_NOTIFY], &sg, 1, &dev->notify[i], GFP_ATOMIC))
		return false;
	dev->notify_free &= ~BIT_ULL(i);
	return true;
}

static void notify_reclaim(struct ism_device *dev)
{
	unsigned int len;
	__le64 *buf;

	while ((buf = virtqueue_get_buf(dev->vq[ISM_NOTIFY], &len)))
		dev->notify_free |= BIT_ULL(buf - dev->notify);
}

/* Ring for all that wait, as far as there are buffers; asks to be called if not. */
static void ring_waiting(struct ism_device *dev)
{
	struct virtqueue *vq = dev->vq[ISM_NOTIFY];
	struct ism_ref *ref, *next;
	bool any = false;

	do {
		notify_reclaim(dev);
		list_for_each_entry_safe(ref, next, &dev->ringing, ringing) {
			if (!notify_put(dev, ref))
				break;
			list_del_init(&ref->ringing);
			ref->rings = false;
			any = true;
		}
	} while (!list_empty(&dev->ringing) && !virtqueue_enable_cb(vq) && !virtqueue_is_broken(vq));
	if (list_empty(&dev->ringing))
		virtqueue_disable_cb(vq);
	if (any)
		virtqueue_kick(vq);
}

void ism_ring_others(struct ism_device *dev, struct ism_ref *ref)
{
	lockdep_assert_held(&dev->lock);
	if (!dev->running)
		return;
	if (!ref->rings)
		list_add_tail(&ref->ringing, &dev->ringing);	/* rung twice meanwhile is rung once */
	ref->rings = true;
	ring_waiting(dev);
}

static void notify_done(struct virtqueue *vq)
{
	struct ism_device *dev = vq->vdev->priv;
	unsigned long flags;

	spin_lock_irqsave(&dev->lock, flags);
	if (dev->running)
		ring_waiting(dev);
	spin_unlock_irqrestore(&dev->lock, flags);
}

/* ------------------------------------------------------------------ life */

int ism_queues_find(struct ism_device *dev)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
	struct virtqueue_info info[ISM_QUEUES] = {
		{ "control", control_done },
		{ "events", events_done },
		{ "notify", notify_done },
	};

	return virtio_find_vqs(dev->vdev, ISM_QUEUES, dev->vq, info, NULL);
#else
	vq_callback_t *callbacks[] = { control_done, events_done, notify_done };
	static const char *const names[] = { "control", "events", "notify" };

	return virtio_find_vqs(dev->vdev, ISM_QUEUES, dev->vq, callbacks, names, NULL);
#endif
}

int ism_queues_start(struct ism_device *dev)
{
	unsigned int nr = min_t(unsigned int, virtqueue_get_vring_size(dev->vq[ISM_EVENTS]), ISM_BUFFERS);
	unsigned long flags;

	spin_lock_irqsave(&dev->lock, flags);
	dev->nr_records = 0;
	dev->nr_stash = 0;
	dev->notify_free = ~0ULL;
	for (unsigned int i = 0; i < nr; i++)
		add_record_buffer(dev, dev->records + i * ISM_RECORD);
	virtqueue_disable_cb(dev->vq[ISM_NOTIFY]);
	dev->running = true;
	spin_unlock_irqrestore(&dev->lock, flags);
	virtqueue_kick(dev->vq[ISM_EVENTS]);
	return 0;
}

void ism_queues_stop(struct ism_device *dev)
{
	unsigned long flags;

	spin_lock_irqsave(&dev->lock, flags);
	dev->running = false;
	spin_unlock_irqrestore(&dev->lock, flags);
	virtio_reset_device(dev->vdev);
	for (int q = 0; q < ISM_QUEUES; q++) {
		while (virtqueue_detach_unused_buf(dev->vq[q]))
			;
	}
	dev->vdev->config->del_vqs(dev->vdev);
}

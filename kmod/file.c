// SPDX-License-Identifier: BSD-2-Clause
/*
 * Copyright (c) 2026 the libism authors
 *
 * file.c - /dev/ism: contexts and their calls.
 */
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "virtio_ism.h"

enum { PEERS_MAX = 65536 };

/* ------------------------------------------------------------------ open, release */

static int ism_open(struct inode *inode, struct file *file)
{
	/* misc_open() holds misc_mtx, which the end of the device takes as well: it is there. */
	struct ism_device *dev = container_of(file->private_data, struct ism_device, misc);
	struct ism_context *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);

	if (!ctx)
		return -ENOMEM;
	ctx->status = vmalloc_user(PAGE_SIZE);
	if (!ctx->status) {
		kfree(ctx);
		return -ENOMEM;
	}
	ctx->dev = dev;
	ctx->mapping = inode->i_mapping;
	INIT_LIST_HEAD(&ctx->atts);
	INIT_LIST_HEAD(&ctx->rung);
	INIT_LIST_HEAD(&ctx->events);
	ida_init(&ctx->slots);
	init_rwsem(&ctx->areas_lock);
	init_waitqueue_head(&ctx->wait);
	ctx->areas = RB_ROOT;
	kref_get(&dev->kref);
	mutex_lock(&dev->control);
	spin_lock_irq(&dev->lock);
	list_add(&ctx->all, &dev->contexts);
	spin_unlock_irq(&dev->lock);
	mutex_unlock(&dev->control);
	file->private_data = ctx;
	return nonseekable_open(inode, file);
}

static int ism_release(struct inode *inode, struct file *file)
{
	struct ism_context *ctx = file->private_data;
	struct ism_device *dev = ctx->dev;

	mutex_lock(&dev->control);
	ism_region_detach_all(ctx);
	spin_lock_irq(&dev->lock);
	list_del(&ctx->all);
	spin_unlock_irq(&dev->lock);
	mutex_unlock(&dev->control);
	ida_destroy(&ctx->slots);
	vfree(ctx->status);
	kfree(ctx);
	ism_device_put(dev);
	return 0;
}

/* ------------------------------------------------------------------ events */

static bool any_event(struct ism_context *ctx)
{
	bool any;

	spin_lock_irq(&ctx->dev->lock);
	any = ism_event_any(ctx);
	spin_unlock_irq(&ctx->dev->lock);
	return any;
}

static ssize_t ism_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct ism_context *ctx = file->private_data;
	struct ism_ioc_event ev;
	size_t done = 0;
	bool got;

	if (len < sizeof(ev))
		return -EINVAL;
	if (!(file->f_flags & O_NONBLOCK) && wait_event_interruptible(ctx->wait, any_event(ctx)))
		return -ERESTARTSYS;
	while (len - done >= sizeof(ev)) {
		spin_lock_irq(&ctx->dev->lock);
		got = ism_event_take(ctx, &ev);
		spin_unlock_irq(&ctx->dev->lock);
		if (!got)
			break;
		if (copy_to_user(buf + done, &ev, sizeof(ev)))
			return done ? done : -EFAULT;	/* the record is lost to a caller that gave no memory */
		done += sizeof(ev);
	}
	return done ? done : -EAGAIN;
}

static __poll_t ism_poll(struct file *file, poll_table *wait)
{
	struct ism_context *ctx = file->private_data;

	poll_wait(file, &ctx->wait, wait);
	return any_event(ctx) ? EPOLLIN | EPOLLRDNORM : 0;
}

/* ------------------------------------------------------------------ ioctls */

/* For a call of a context, which may have ended. */
static int control_lock(struct ism_context *ctx)
{
	if (mutex_lock_interruptible(&ctx->dev->control))
		return -ERESTARTSYS;
	if (!ctx->ended)
		return 0;
	mutex_unlock(&ctx->dev->control);
	return -ENODEV;
}

static long do_query(struct ism_context *ctx, void __user *arg)
{
	const struct ism_device *dev = ctx->dev;
	struct ism_ioc_query q = {
		.version = ISM_IOC_VERSION,
		.gid = dev->gid,
		.devid = dev->devid,
		.chunk_size = dev->chunk,
		.window_size = dev->window_size,
	};

	return copy_to_user(arg, &q, sizeof(q)) ? -EFAULT : 0;
}

static long do_region(struct ism_context *ctx, void __user *arg,
		      int (*call)(struct ism_context *ctx, struct ism_ioc_region *r))
{
	struct ism_device *dev = ctx->dev;
	struct ism_ioc_region r;
	int err;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	if (r.reserved[0] || r.reserved[1])
		return -EINVAL;
	err = control_lock(ctx);
	if (err)
		return err;
	err = call(ctx, &r);
	mutex_unlock(&dev->control);
	if (err)
		return err;
	if (!copy_to_user(arg, &r, sizeof(r)))
		return 0;
	/* Nobody knows of it. */
	mutex_lock(&dev->control);
	ism_region_detach(ctx, r.token);
	mutex_unlock(&dev->control);
	return -EFAULT;
}

static long do_successor(struct ism_context *ctx, void __user *arg)
{
	struct ism_ioc_successor s;
	int err;

	if (copy_from_user(&s, arg, sizeof(s)))
		return -EFAULT;
	if (s.reserved0 || s.reserved[0] || s.reserved[1])
		return -EINVAL;
	err = control_lock(ctx);
	if (err)
		return err;
	err = ism_region_successor(ctx, &s);
	mutex_unlock(&ctx->dev->control);
	if (err)
		return err;
	return copy_to_user(arg, &s, sizeof(s)) ? -EFAULT : 0;
}

static long do_detach(struct ism_context *ctx, void __user *arg)
{
	struct ism_ioc_token t;
	int err;

	if (copy_from_user(&t, arg, sizeof(t)))
		return -EFAULT;
	err = control_lock(ctx);
	if (err)
		return err;
	err = ism_region_detach(ctx, t.token);
	mutex_unlock(&ctx->dev->control);
	return err;
}

static long do_grant(struct ism_context *ctx, void __user *arg)
{
	struct ism_ioc_grant g;
	int err;

	if (copy_from_user(&g, arg, sizeof(g)))
		return -EFAULT;
	if (g.reserved)
		return -EINVAL;
	err = control_lock(ctx);
	if (err)
		return err;
	err = ism_region_grant(ctx, &g);
	mutex_unlock(&ctx->dev->control);
	return err;
}

static long do_notify(struct ism_context *ctx, void __user *arg)
{
	struct ism_device *dev = ctx->dev;
	struct ism_att *mine, *att;
	struct ism_ioc_token t;
	int err = 0;

	if (copy_from_user(&t, arg, sizeof(t)))
		return -EFAULT;
	spin_lock_irq(&dev->lock);
	mine = ism_att_find(ctx, t.token);
	if (!dev->running || ctx->ended) {
		err = -ENODEV;
	} else if (!mine) {
		err = -ENOENT;
	} else {
		list_for_each_entry(att, &mine->ref->atts, of_ref) {
			if (att != mine)
				ism_event_ring(att, dev->devid);
		}
		ism_ring_others(dev, mine->ref);
	}
	spin_unlock_irq(&dev->lock);
	return err;
}

static long do_peers(struct ism_context *ctx, void __user *arg)
{
	struct ism_ioc_peers p;
	u64 *ids;
	int n;

	if (copy_from_user(&p, arg, sizeof(p)))
		return -EFAULT;
	p.nr = min_t(u32, p.nr, PEERS_MAX);
	ids = kvcalloc(p.nr ? p.nr : 1, sizeof(*ids), GFP_KERNEL_ACCOUNT);
	if (!ids)
		return -ENOMEM;
	n = control_lock(ctx);
	if (n < 0)
		goto out;
	n = ism_region_list(ctx, p.token, ids, p.nr, &p.total);
	mutex_unlock(&ctx->dev->control);
	if (n < 0)
		goto out;
	if (copy_to_user(u64_to_user_ptr(p.devids), ids, n * sizeof(*ids)) || copy_to_user(arg, &p, sizeof(p)))
		n = -EFAULT;
out:
	kvfree(ids);
	return n < 0 ? n : 0;
}

static long do_eventfd(struct ism_context *ctx, void __user *arg)
{
	struct ism_device *dev = ctx->dev;
	struct eventfd_ctx *eventfd = NULL;
	struct ism_ioc_eventfd e;
	struct ism_att *att;
	int err = 0;

	if (copy_from_user(&e, arg, sizeof(e)))
		return -EFAULT;
	if (e.reserved || e.fd < -1)
		return -EINVAL;
	if (e.fd >= 0) {
		eventfd = eventfd_ctx_fdget(e.fd);
		if (IS_ERR(eventfd))
			return PTR_ERR(eventfd);
	}
	spin_lock_irq(&dev->lock);
	att = ism_att_find(ctx, e.token);
	if (att)
		swap(att->eventfd, eventfd);
	else
		err = ctx->ended ? -ENODEV : -ENOENT;
	spin_unlock_irq(&dev->lock);
	if (eventfd)
		eventfd_ctx_put(eventfd);
	return err;
}

static long do_command(struct ism_context *ctx, void __user *arg)
{
	struct ism_device *dev = ctx->dev;
	struct ism_ioc_command c;
	u8 req[ISM_REQUEST_MAX], *reply;
	size_t got = 0;
	int status;
	long err;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (copy_from_user(&c, arg, sizeof(c)))
		return -EFAULT;
	if (c.request_len < 2 || c.request_len > sizeof(req) || c.reply_len < 1)
		return -EINVAL;
	if (copy_from_user(req, u64_to_user_ptr(c.request), c.request_len))
		return -EFAULT;
	if (req[0] != ISM_CMD_QUERY >> 8 || req[1] != (ISM_CMD_QUERY & 0xff))
		return -EPERM;	/* the others change what we keep count of */
	c.reply_len = min_t(u32, c.reply_len, ISM_REPLY_MAX);
	reply = kvzalloc(c.reply_len, GFP_KERNEL_ACCOUNT);
	if (!reply)
		return -ENOMEM;
	err = control_lock(ctx);
	if (err)
		goto out;
	status = ism_command(dev, ISM_CMD_QUERY, req + 2, c.request_len - 2, c.reply_len, &got);
	if (status >= 0)
		memcpy(reply, dev->reply, got + 1);
	mutex_unlock(&dev->control);
	err = status < 0 ? status : 0;
	c.reply_len = got + 1;
	if (!err && (copy_to_user(u64_to_user_ptr(c.reply), reply, c.reply_len) || copy_to_user(arg, &c, sizeof(c))))
		err = -EFAULT;
out:
	kvfree(reply);
	return err;
}

static long ism_ioctl(struct file *file, unsigned int cmd, unsigned long addr)
{
	struct ism_context *ctx = file->private_data;
	void __user *arg = (void __user *)addr;

	switch (cmd) {
	case ISM_IOC_QUERY:
		return do_query(ctx, arg);
	case ISM_IOC_ALLOC:
		return do_region(ctx, arg, ism_region_alloc);
	case ISM_IOC_ATTACH:
		return do_region(ctx, arg, ism_region_attach);
	case ISM_IOC_REPLACE:
		return do_region(ctx, arg, ism_region_replace);
	case ISM_IOC_SUCCESSOR:
		return do_successor(ctx, arg);
	case ISM_IOC_DETACH:
		return do_detach(ctx, arg);
	case ISM_IOC_GRANT:
		return do_grant(ctx, arg);
	case ISM_IOC_NOTIFY:
		return do_notify(ctx, arg);
	case ISM_IOC_PEERS:
		return do_peers(ctx, arg);
	case ISM_IOC_SET_EVENTFD:
		return do_eventfd(ctx, arg);
	case ISM_IOC_COMMAND:
		return do_command(ctx, arg);
	default:
		return -ENOTTY;
	}
}

const struct file_operations ism_fops = {
	.owner = THIS_MODULE,
	.open = ism_open,
	.release = ism_release,
	.read = ism_read,
	.poll = ism_poll,
	.mmap = ism_mmap,
	.unlocked_ioctl = ism_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

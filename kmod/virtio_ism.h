/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * virtio_ism.h - private to the driver.
 *
 * A device has refs: the regions it refers to, each once.  An open file is a
 * context; what it has of a ref is an attachment.  A ref lives while there is one.
 *
 * Locks, outermost first:
 *
 *   ism_device.control   the control queue, and the life of refs and attachments
 *   ism_context.areas_lock   which parts of the window a context may map; page
 *                        faults hold it for reading, below the mmap lock
 *   ism_device.lock      everything that an interrupt touches: queues 1 and 2,
 *                        refs by token, attachments, events
 */
#ifndef VIRTIO_ISM_H
#define VIRTIO_ISM_H

#include <linux/completion.h>
#include <linux/eventfd.h>
#include <linux/hashtable.h>
#include <linux/idr.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/rbtree.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/virtio.h>
#include <linux/wait.h>

#include "uapi/ism.h"

enum { ISM_CONTROL, ISM_EVENTS, ISM_NOTIFY, ISM_QUEUES };
enum { ISM_REPLY_MAX = 16384, ISM_REQUEST_MAX = 64, ISM_RECORD = 40, ISM_NOTIFIES = 64, ISM_STASH = 64, ISM_BUFFERS = 64 };
enum { ISM_CTX_EVENTS = 1024 };		/* records kept for one context */
enum { ISM_READ = 1, ISM_WRITE = 2, ISM_ATTACH = 4, ISM_MANAGE = 8 };

/* Class and command. */
enum {
	ISM_CMD_DETACH = 0x0200,
	ISM_CMD_GRANT_DEFAULT = 0x0300,
	ISM_CMD_GRANT_DEVICE = 0x0301,
	ISM_CMD_ALLOC_EX = 0x8000,
	ISM_CMD_ATTACH_EX = 0x8001,
	ISM_CMD_REPLACE = 0x8002,
	ISM_CMD_QUERY = 0x8003,
	ISM_CMD_LIST = 0x8004,
	ISM_CMD_SUCCESSOR = 0x8008,
};

/* One record of the event queue. */
struct ism_record {
	u64 type, offset, devid, peers, token;
};

struct ism_device {
	struct kref kref;
	struct virtio_device *vdev;	/* NULL once it is gone; under control */
	struct miscdevice misc;
	char name[16];
	int number;
	struct notifier_block reboot;

	u64 gid, devid, chunk;
	u64 window_phys, window_size;

	struct mutex control;
	struct virtqueue *vq[ISM_QUEUES];
	struct completion replied;
	u8 *request, *reply;		/* ISM_REQUEST_MAX, ISM_REPLY_MAX */

	spinlock_t lock;
	bool running;			/* the queues may be used */
	DECLARE_HASHTABLE(refs, 10);
	struct list_head contexts;
	u8 *records;			/* buffers of the event queue */
	u64 nr_records;			/* taken since the device started */
	u64 nr_lost;			/* how often records were lost */
	u64 mark;			/* counts the counts of contexts */
	bool attaching;			/* records about regions not known yet are kept */
	u64 lost_before;		/* nr_lost when that began */
	unsigned int nr_stash;
	struct {
		u64 number;
		struct ism_record record;
	} stash[ISM_STASH];
	__le64 *notify;			/* buffers of the notify queue */
	u64 notify_free;		/* a bit for each */
	struct list_head ringing;	/* refs whose doorbell found no buffer */
};

/* A region as this device refers to it. */
struct ism_ref {
	struct hlist_node node;
	u64 token, offset, size, requested, creator;
	u64 nr_lost;			/* the device's: what came until then is known */
	u32 peers;			/* other devices */
	u32 nr_atts;
	bool rings;
	bool moved;			/* it has, or had, a successor */
	struct list_head atts, ringing;
};

struct ism_context {
	struct ism_device *dev;
	struct address_space *mapping;
	struct list_head all;
	struct list_head atts;		/* under dev->control */
	struct ida slots;

	struct rw_semaphore areas_lock;
	struct rb_root areas;		/* attachments by offset */

	/* Under dev->lock: */
	wait_queue_head_t wait;
	struct list_head rung;		/* attachments */
	struct list_head events;
	unsigned int nr_events;
	u64 nr_numbered;
	u64 mark;			/* the device's: counted already */
	bool lost, reset;
	bool ended;			/* by a reset: who goes on opens the node again; written under both locks */
	u64 *status;			/* the page that is shown */
};

struct ism_att {
	struct ism_context *ctx;
	struct ism_ref *ref;
	struct list_head of_ref, of_ctx, rung;
	struct rb_node area;
	u64 token, offset, size;	/* the ref's, for those who may not look at it */
	u64 successor;			/* its token, if this context has asked for it: under control */
	u32 rights;			/* READ, WRITE: what this context may map */
	u32 slot;
	bool manages, is_rung;
	u64 ringer;
	struct eventfd_ctx *eventfd;
};

struct ism_event {
	struct list_head all;
	struct ism_ioc_event ev;
};

/* main.c */
void ism_device_put(struct ism_device *dev);

/* queue.c: the queues.  A status of the device, or a negative errno; dev->control held. */
int ism_command(struct ism_device *dev, u16 cmd, const void *req, size_t len, size_t cap, size_t *ret_len);
/* What that status means: 0 or a negative errno. */
int ism_status_errno(int status);
/* Both, for a command whose answer has @reply_len bytes. */
int ism_run(struct ism_device *dev, u16 cmd, const void *req, size_t len, size_t reply_len);
/* Of that answer. */
u64 ism_reply64(const struct ism_device *dev, unsigned int at);
u32 ism_reply32(const struct ism_device *dev, unsigned int at);
int ism_queues_start(struct ism_device *dev);
void ism_queues_stop(struct ism_device *dev);
int ism_queues_find(struct ism_device *dev);
/* Ring the other devices of a ref: dev->lock held. */
void ism_ring_others(struct ism_device *dev, struct ism_ref *ref);

/* event.c: all with dev->lock held. */
struct ism_ref *ism_ref_find(struct ism_device *dev, u64 token);
void ism_event_record(struct ism_device *dev, const struct ism_record *record);
/* A ref is known from here on: what was kept for it is told. */
void ism_event_replay(struct ism_device *dev, u64 token, u64 from);
void ism_event_ring(struct ism_att *att, u64 devid);
void ism_event_peers(struct ism_ref *ref, const struct ism_context *except, u32 type, u64 devid);
void ism_event_lost(struct ism_device *dev);
/* For a context that attaches what others here had: what they were told that still matters. */
void ism_event_catch_up(struct ism_att *att);
/* The context has ended: dev->control held as well. */
void ism_event_reset(struct ism_context *ctx);
void ism_event_forget(struct ism_att *att);
u32 ism_peers(const struct ism_ref *ref);
/* Take the next one; false: there is none. */
bool ism_event_take(struct ism_context *ctx, struct ism_ioc_event *ret);
bool ism_event_any(const struct ism_context *ctx);

/* region.c: dev->control held. */
int ism_region_alloc(struct ism_context *ctx, struct ism_ioc_region *r);
int ism_region_attach(struct ism_context *ctx, struct ism_ioc_region *r);
int ism_region_replace(struct ism_context *ctx, struct ism_ioc_region *r);
int ism_region_successor(struct ism_context *ctx, struct ism_ioc_successor *s);
int ism_region_detach(struct ism_context *ctx, u64 token);
int ism_region_grant(struct ism_context *ctx, const struct ism_ioc_grant *g);
/* The others: fills up to @nr ids; how many it did, or a negative errno. */
int ism_region_list(struct ism_context *ctx, u64 token, u64 *ret, u32 nr, u32 *ret_total);
void ism_region_detach_all(struct ism_context *ctx);
/* The device ends, or is about to be reset: everybody loses everything, and contexts end. */
void ism_region_lose_all(struct ism_device *dev);
struct ism_att *ism_att_find(struct ism_context *ctx, u64 token);

/* map.c */
int ism_mmap(struct file *file, struct vm_area_struct *vma);
int ism_area_add(struct ism_att *att);
void ism_area_del(struct ism_att *att);

/* file.c */
extern const struct file_operations ism_fops;

#endif /* VIRTIO_ISM_H */

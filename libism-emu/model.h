/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model.h - the device model: tokens, rights, referrers, quotas.
 *
 * A domain has devices and regions; a device refers to the regions that it has
 * allocated or attached.  The model keeps the rules of virtio-ism about them and
 * does nothing else: no input or output, no clock, no memory of the regions
 * itself (a pointer of the front end's goes with each).  What others must learn,
 * it says through struct model_ops.  One thread at a time.
 */
#ifndef MODEL_H
#define MODEL_H

#include "base/spec.h"
#include "window.h"

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model;
struct model_device;
struct model_region;
struct model_ref;

/* Rights, as on the wire. */
enum {
	MODEL_READ = 1 << 0,
	MODEL_WRITE = 1 << 1,
	MODEL_ATTACH = 1 << 2,
	MODEL_MANAGE = 1 << 3,
	MODEL_CLEAN_DEFAULT = 1 << 4,
	MODEL_RIGHTS = MODEL_READ | MODEL_WRITE | MODEL_ATTACH | MODEL_MANAGE,
	MODEL_DEFAULT = MODEL_READ | MODEL_WRITE | MODEL_ATTACH,
};

/* What happened to a region, told to each of its other referrers. */
enum model_event {
	MODEL_PEERS = 0,	/* who may be rung changed, nobody came or went */
	MODEL_CAME = 1 << 1,	/* ISM_EVENT_ATTACH */
	MODEL_WENT = 1 << 2,	/* ISM_EVENT_DETACH */
	MODEL_MOVED = 1 << 3,	/* ISM_EVENT_MOVED: to those who may attach the successor */
};

/* Limits; 0 means none. */
struct model_quota {
	uint64_t bytes;		/* of all regions referred to */
	uint32_t regions;	/* referred to */
	uint32_t devices;	/* of one user; no meaning for a device */
	uint32_t grants;	/* given to single devices */
	uint32_t attach_rate;	/* attaches per second */
	uint32_t notify_rate;	/* doorbells per second that the host passes on */
};

/* How much of a quota is used, and how fast. */
struct model_usage {
	uint64_t bytes;
	uint32_t regions;
	uint32_t devices;
	uint32_t grants;
	uint32_t links;		/* the front end's: direct doorbells that it asked for */
	int64_t attach_due;	/* generic cell rate algorithm: when the next is due */
	int64_t notify_due;
	uint32_t failed;	/* failed attaches that still count, in 1/256 */
	int64_t failed_at;
	uint64_t failed_total;
	uint64_t over_quota;	/* refused because of a quota, ever */
};

/* What has happened since the model began. */
struct model_count {
	uint64_t allocs, attaches, detaches;	/* of regions, by any device */
	uint64_t refused;			/* attaches */
	uint64_t over_quota;
	uint64_t commands, rings;		/* the front ends': rings are those they passed on */
	uint64_t kicks;
};

struct model_grant;

struct model_ops {
	/* A token's bits, from a cryptographic generator. */
	uint64_t (*random)(void *ctx);
	/* Tell @to's device; @peers is the number of its other referrers afterwards. */
	void (*event)(void *ctx, struct model_ref *to, enum model_event event, uint64_t devid);
	/* A reference begins, or ends: set up or tear down what the front end keeps for it. */
	void (*ref_begin)(void *ctx, struct model_ref *ref);
	void (*ref_end)(void *ctx, struct model_ref *ref);
	/* The last referrer has gone. */
	void (*region_free)(void *ctx, struct model_region *region);
	/* A region's token is about to end, between ref_end() and ref_begin() of its only reference.  May be NULL. */
	void (*renewed)(void *ctx, struct model_region *region);
	/*
	 * What a successor of this model would have to know changed, besides
	 * what the calls above tell: the region's default rights or its end; with
	 * @ref, the rights of a reference; with @grant, a grant.  May be NULL.
	 */
	void (*changed)(void *ctx, struct model_region *region, const struct model_ref *ref,
			const struct model_grant *grant);
};

/* The devices of one uid share its quota. */
struct model_user {
	uint32_t uid;
	struct model_usage used;
	TAILQ_ENTRY(model_user) all;
};

struct model {
	const struct model_ops *ops;
	void *ctx;
	uint64_t gid;
	struct model_quota device_quota, user_quota;
	/* What the host can have open for all users, of whom @host_uid and root may take all of it; 0: not counted. */
	uint64_t descriptors;
	uint32_t host_uid;
	uint64_t next_devid, next_serial;
	uint32_t nr_devices, nr_regions;
	uint64_t bytes;				/* of all regions */
	struct model_count count;
	void *tokens, *devids, *users;		/* tsearch(3) trees */
	TAILQ_HEAD(, model_user) user_list;	/* in order of uid */
	TAILQ_HEAD(, model_device) devices;
	TAILQ_HEAD(, model_region) regions;	/* in order of serial */
};

/* A grant to one device. */
struct model_grant {
	uint64_t devid;
	uint32_t rights;
	struct model_region *region;
	struct model_device *device, *giver;	/* giver: whose quota it counts against; may have gone */
	LIST_ENTRY(model_grant) of_device;
	LIST_ENTRY(model_grant) of_giver;
	LIST_ENTRY(model_grant) of_region;
};

struct model_device {
	uint64_t devid;
	struct model *model;
	struct model_user *user;
	void *front;				/* the front end's */
	int32_t pid;				/* for people; 0: unknown */
	bool confined;				/* a guest: what its user has besides is not its to see */
	char name[32];
	uint8_t secret[16];			/* the front end's: proves after a restart who it is */
	struct window window, slots;
	struct model_usage used;
	void *refs;				/* tsearch tree, by token */
	LIST_HEAD(, model_ref) ref_list;
	LIST_HEAD(, model_grant) grants;	/* to this device */
	LIST_HEAD(, model_grant) given;		/* by this device */
	TAILQ_ENTRY(model_device) all;
};

struct model_region {
	uint64_t token;
	uint64_t serial;
	uint64_t size, requested;		/* bytes; whole chunks, as asked for */
	uint32_t flags;				/* ISMI_ALLOC_F_*, and what the front end adds */
	uint32_t default_rights;
	uint64_t creator;			/* devid; the device may have gone */
	uint32_t creator_uid;
	struct model *model;
	void *memory;				/* the front end's */
	bool ended;				/* no manager refers to it: no new attach */
	bool replaced;				/* no new attach by the default rights */
	/* The device that has kept its mapping of a pooled region, as far as is known, where, and with which rights; 0. */
	uint64_t shown_to;
	uint32_t shown_chunk, shown_rights;
	struct model_region *successor;		/* NULL: none, or it has gone and had none itself */
	LIST_HEAD(, model_region) replaces;	/* those whose successor this is */
	LIST_ENTRY(model_region) of_successor;
	uint32_t nr_refs, nr_managers;
	LIST_HEAD(, model_ref) refs;
	void *grants;				/* tsearch tree, by devid */
	LIST_HEAD(, model_grant) grant_list;
	TAILQ_ENTRY(model_region) all;
};

struct model_ref {
	uint64_t token;				/* the region's: the key of model_device.refs */
	struct model_region *region;
	struct model_device *device;
	uint32_t rights;			/* READ, WRITE as attached */
	uint32_t chunk;				/* place in the device's window */
	uint32_t slot;
	bool manages;				/* counts in nr_managers */
	bool shut_out;				/* its rights shrank below what it attached with: no doorbells */
	int vector_fd;				/* the front end's: its own doorbell, -1 */
	LIST_ENTRY(model_ref) of_region;
	LIST_ENTRY(model_ref) of_device;
};

void model_init(struct model *m, uint64_t gid, const struct model_ops *ops, void *ctx);
/* All devices must be gone. */
void model_fini(struct model *m);

/*
 * A device comes: ISMI_OK, ISMI_ENOSPC (its user's quota) or ISMI_ENOMEM.
 * @window_size: bytes, whole chunks.
 */
enum ismi_status model_device_add(struct model *m, uint32_t uid, uint64_t window_size, struct model_device **ret);
/* It is detached from everything, and keeps its id. */
void model_device_reset(struct model_device *dev);
/* It goes, and with it the grants it had. */
void model_device_del(struct model_device *dev);

struct model_device *model_device_find(struct model *m, uint64_t devid);
struct model_region *model_region_find(struct model *m, uint64_t token);
struct model_ref *model_ref_find(const struct model_device *dev, uint64_t token);
/* What @dev may do with @region now. */
uint32_t model_rights(const struct model_device *dev, struct model_region *region);
/* Other referrers of @ref's region. */
static inline uint32_t model_peers(const struct model_ref *ref)
{
	return ref->region->nr_refs - 1;
}

/*
 * Allocate.  @requested: what the creator wants to remember as the size, at
 * most @size.  @memory goes with the region until ops->region_free().
 */
enum ismi_status model_alloc(struct model_device *dev, uint64_t size, uint64_t requested, uint32_t flags, void *memory,
			     struct model_ref **ret);

/*
 * Attach with @want (READ, or READ | WRITE).  A device that refers to the
 * region already keeps its one reference, with the rights of both.
 * @now: nanoseconds.  *delay: how long to keep the answer back.
 */
enum ismi_status model_attach(struct model_device *dev, uint64_t token, uint32_t want, int64_t now,
			      struct model_ref **ret, int64_t *delay);

/* Of a device that referred to the region before: it does so with the rights that it had. */
void model_attach_undo(struct model_ref *ref, uint32_t had);

enum ismi_status model_detach(struct model_device *dev, uint64_t token);

/*
 * Pooled regions.  Was it allocated for this device alone, and is it so still?
 *
 * Detach, and allocate again what was allocated for one peer: the same memory,
 * place and rights under a new token.  ISMI_ENOENT, and nothing has happened: it is
 * not as it was then, or not alone with the creator.  ISMI_ENOMEM: it is gone.
 */
bool model_pooled_for(const struct model_region *region, const struct model_device *dev);
enum ismi_status model_renew(struct model_device *dev, uint64_t token, uint64_t *ret_token);

enum ismi_status model_grant_default(struct model_device *dev, uint64_t token, uint64_t rights);
enum ismi_status model_grant(struct model_device *dev, uint64_t token, uint64_t rights, uint64_t devid);

/*
 * Make a successor of a region, with new memory and the rights that are left:
 * the default cleared, a grant for each device with one, and for each referrer
 * that had the default.  @dev needs all rights, and is charged for it.  Nobody
 * knows of it before model_moved().
 */
enum ismi_status model_replace(struct model_device *dev, uint64_t token, void *memory, struct model_ref **ret);
/*
 * The same by a device that has no part in the region, and in which nobody asks
 * for rights: that is the caller's.  @without: devids that get no right on the
 * successor, and lose all on the region.  @dev is charged for the successor, which
 * it may read and manages, so that it is there for those who come over; and all of
 * this goes with the device.
 *
 * First: ISMI_OK and the region; ISMI_ENOENT; ISMI_EALREADY: it has a successor;
 * ISMI_EINVAL: @without has the creator, who keeps its rights, or @dev; ISMI_ENODEV:
 * it has one that neither refers to the region nor has a grant; ISMI_ENXIO: nobody
 * is left who may come over.
 */
enum ismi_status model_may_shut_out(struct model_device *dev, uint64_t token, const uint64_t *without, size_t nr,
				    struct model_region **ret);
enum ismi_status model_shut_out(struct model_device *dev, struct model_region *old, const uint64_t *without, size_t nr,
				void *memory, struct model_ref **ret);
/* What @dev refers to the successor with, if it has done so already; NULL: it has not, or not without these. */
struct model_ref *model_held(struct model_device *dev, uint64_t token, const uint64_t *without, size_t nr);
/* @next is the successor of @old now: tell the other referrers who may attach it. */
void model_moved(struct model_region *old, struct model_region *next, const struct model_device *by);
/* The successor of what @ref refers to, if its device may attach that; or NULL. */
struct model_region *model_successor(const struct model_ref *ref);
/* How many other devices refer to the old region and may attach @next, or refer to that. */
uint32_t model_going_on(const struct model_ref *ref, struct model_region *next);
/* Tell a referrer that came, or came back, after its region was replaced. */
void model_tell_moved(struct model_ref *ref);

/*
 * Are there descriptors enough for one more of @dev's things?  A user may have
 * more as long as it has less than is left: one of them gets half, of two each a
 * third, and there is always something left for the next.
 */
bool model_descriptors_fit(const struct model_device *dev);

/*
 * May @dev ring through the host now?  0, or for how many nanoseconds to hold
 * the doorbell back.
 */
int64_t model_notify_due(struct model_device *dev, int64_t now);

/*
 * Facts of a former model, told by model_ops and by its own lists: whatever is
 * there already is brought up to date.  Nobody is told, quotas are not looked at.
 * ISMI_OK; ISMI_ENOMEM; ISMI_ERR: they contradict each other.
 */
enum ismi_status model_restore_device(struct model *m, uint64_t devid, uint32_t uid, uint64_t window_size,
				      struct model_device **ret);
/* The fields that outlive a model: token to creator_uid, ended and replaced. */
enum ismi_status model_restore_region(struct model *m, const struct model_region *facts, struct model_region **ret);
/* Its successor's token; nothing happens if that is not there. */
void model_restore_successor(struct model_region *region, uint64_t token);
/* rights, chunk and slot. */
enum ismi_status model_restore_ref(struct model_device *dev, uint64_t token, const struct model_ref *facts,
				   struct model_ref **ret);
/* @giver: 0 if it has gone. */
enum ismi_status model_restore_grant(struct model_region *region, uint64_t devid, uint32_t rights, uint64_t giver);
/* Empty a model that could not be restored whole. */
void model_restore_undo(struct model *m);

#endif /* MODEL_H */

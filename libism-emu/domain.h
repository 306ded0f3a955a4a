/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * domain.h - a sharing domain: the model, and the fronts through which devices
 * reach it.
 *
 * A front is the host's end of one device: a socket client's, a caller's in the
 * same process, a virtual machine's.  The model speaks to fronts through
 * struct front_ops; doorbells that a device cannot ring by itself pass from front
 * to front here.  One thread at a time.
 */
#ifndef DOMAIN_H
#define DOMAIN_H

#include "control.h"
#include "model.h"

struct front;

struct front_ops {
	/* A reference begins or ends. */
	void (*ref_begin)(struct front *front, struct model_ref *ref);
	void (*ref_end)(struct front *front, struct model_ref *ref);
	/* A region's referrers changed, and why; see enum model_event. */
	void (*event)(struct front *front, struct model_ref *ref, enum model_event event, uint64_t devid);
	/* Ring: @ringer is the device that did. */
	void (*ring)(struct front *front, struct model_ref *ref, uint64_t ringer);
	/* Can another device ring this reference without us?  NULL: never. */
	bool (*linkable)(struct front *front, const struct model_ref *ref);
	/* Make or find a link to @peer's front; NULL: there are none. */
	enum ismi_status (*link)(struct front *front, struct front *peer, uint32_t *ret_number, uint64_t *ret_id);
	/* The doorbell descriptor of a reference; NULL: there are none. */
	enum ismi_status (*vector)(struct front *front, struct model_ref *ref, bool on);
	uint64_t (*event_position)(struct front *front);
	/* Memory has ended that this device may have kept mapped.  NULL: it keeps none. */
	void (*kept_ended)(struct front *front);
	/* This is the answer to the command under way, and nothing that it did is committed yet.  NULL: no interest. */
	void (*answering)(struct front *front, const uint8_t *reply, size_t len);
	/*
	 * End this device as if its host had gone, at @by's wish: domain_del(), and let
	 * it know.  NULL where that cannot be.
	 */
	void (*kick)(struct front *front, uint64_t by);
};

struct front {
	const struct front_ops *ops;
	struct model_device *dev;
};

struct persist;

struct domain {
	struct model model;
	struct control_ops control;
	uint64_t last_link;		/* id of the newest direct link; never reused */
	uint32_t nr_links;
	/* The host ends: devices go one by one, and nobody shall take that for their peers' deaths. */
	bool stopping;
	/* What outlives this host; NULL: nothing does. */
	struct persist *persist;
	bool restoring;			/* the model is being filled, and nobody hears of it */
	struct front absent;		/* of devices whose client has not come back yet */
};

/* @host_kind: ISM_HOST_*; @host_uid: who may see everything. */
void domain_init(struct domain *d, uint64_t gid, uint32_t host_kind, uint32_t host_uid);
void domain_fini(struct domain *d);

/* A device with this front. */
enum ismi_status domain_add(struct domain *d, struct front *front, uint32_t uid, uint64_t window_size);
/* More of what is to be remembered about it has been filled in. */
void domain_known(struct domain *d, const struct front *front);
/* It goes; nothing happens if it never came. */
void domain_del(struct domain *d, struct front *front);
/* The same for a device, whoever its front is. */
void domain_device_del(struct domain *d, struct model_device *dev);
/* Is it one of a former host's, whose client has not come back? */
bool domain_absent(const struct domain *d, const struct model_device *dev);
/* Any of them; NULL: none is left. */
struct model_device *domain_next_absent(struct domain *d);
/* Its client has, and @front is its front from now on. */
void domain_returned(struct domain *d, struct front *front, struct model_device *dev);
/* No, it has not. */
void domain_left(struct domain *d, struct front *front);

/* One control command of a device: see control_handle(). */
size_t domain_control(struct domain *d, struct control_call *call, const uint8_t *req, size_t len, uint8_t *reply,
		      size_t cap);

/* Ring the other referrers of @from's region. */
void domain_ring(struct model_ref *from);

/* How @ref can be rung has changed: tell those who ring it. */
void domain_peers_changed(struct model_ref *ref);

/* A domain's id, the same whenever the same name is hosted on this machine. */
uint64_t domain_gid(const char *name);
/* One that nobody else has. */
uint64_t domain_gid_random(void);

#endif /* DOMAIN_H */

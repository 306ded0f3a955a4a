/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * control.h - the control commands: bytes in, bytes out.
 *
 * Every front end, be it a socket, a virtqueue or a caller in the same process,
 * hands the same little-endian bytes to control_handle() and gets the device's
 * answer.  doc/protocol.md lays the bytes down.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "model.h"
#include "store.h"

/* One command. */
struct control_call {
	struct model_device *dev;
	int64_t now;			/* nanoseconds */
	/*
	 * In: memory objects for ALLOC, in order.  Those that became a region's
	 * are set to NULL; the rest stay the caller's.
	 */
	struct store **memory;
	uint32_t nr_memory;
	/* Out: what was allocated or attached, for the front end to map or to send. */
	struct model_ref *ref[ISMI_BATCH_MAX];
	uint32_t nr_refs;
	uint64_t again;			/* of them, bit by bit: attached, and the device referred to it already */
	uint8_t had[ISMI_BATCH_MAX];	/* the rights with which it did */
	uint64_t have;			/* of them, bit by bit: the device has the memory mapped */
	uint32_t rights;		/* with which to map them */
	struct model_region *replaced;	/* ref[0]'s is to be its successor: domain_control() says so to the others */
	int64_t delay_ns;		/* keep the answer back for so long */
	const char *refused;		/* why, for the host's log; never for the device; NULL */
};

struct control_ops {
	/* Memory for an ALLOC that brought none. */
	enum ismi_status (*memory_new)(void *ctx, uint64_t size, struct store **ret);
	/* The event ring's position, for the reply of class 0x80; see port.h. */
	uint64_t (*event_position)(void *ctx, const struct model_device *dev);
	/* A direct doorbell link between two devices: its number at @dev and its id. */
	enum ismi_status (*link)(void *ctx, struct model_device *dev, struct model_device *peer, uint32_t *ret_number,
				 uint64_t *ret_id);
	/* Can @peer be rung directly on this region? */
	bool (*linkable)(void *ctx, const struct model_ref *peer);
	/* Give a reference a doorbell descriptor of its own, or take it away again. */
	enum ismi_status (*vector)(void *ctx, struct model_ref *ref, bool on);
	/* May this device see what others have in the domain, and take them off it? */
	bool (*privileged)(void *ctx, const struct model_device *dev);
	/* Take a device off the domain, because @by wants it; ISMI_ERR where that cannot be. */
	enum ismi_status (*kick)(void *ctx, struct model_device *dev, const struct model_device *by);
	uint32_t host_kind;
	uint32_t host_uid;
};

/*
 * Carry out one command.  A reply buffer that is too short is refused before
 * anything changes.  Returns the length of the reply: at least 1, the status;
 * 0 only if @cap is 0.
 */
size_t control_handle(const struct control_ops *ops, void *ctx, struct control_call *call, const uint8_t *req,
		      size_t len, uint8_t *reply, size_t cap);
/* The device does not get what it allocated or attached: what was there before stays, as it was. */
void control_take_back(struct control_call *call);

#endif /* CONTROL_H */

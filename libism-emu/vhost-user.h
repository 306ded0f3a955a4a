/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vhost-user.h - virtual machines as devices of a domain.
 *
 * The back end of QEMU's vhost-user protocol, for its generic device with
 * VIRTIO shared memory regions.  One connection is one device, as with server.h,
 * in whose thread all of this runs.  Nothing a guest or its QEMU does or omits stops
 * or delays the host.
 */
#ifndef VHOST_USER_H
#define VHOST_USER_H

#include "base/log.h"
#include "domain.h"

struct vhost;

/*
 * @window: of each machine's device in bytes, a power of two and whole chunks;
 * @log stays the caller's.  0 or a negative errno.
 */
int vhost_init(struct vhost **ret, struct domain *d, const struct ismi_log *log, uint64_t window);
/* Go on with the machines of a former host, if it has left any with the domain's keeper. */
void vhost_resume(struct vhost *vh);
/* All machines lose their device.  NULL is allowed. */
void vhost_fini(struct vhost *vh);

/* Serve those that connect to a listening stream socket: its descriptor is ours on success. */
int vhost_listen(struct vhost *vh, int listen_fd);

/* Readable when there is something to do. */
int vhost_fd(const struct vhost *vh);
/* When there is something to do at the latest: 0 at once, INT64_MAX never. */
int64_t vhost_due(const struct vhost *vh);
/* Do it. */
void vhost_turn(struct vhost *vh, int64_t now);

#endif /* VHOST_USER_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vism.c - a device of the proof of concept's driver, see vism.h.
 *
 * It has no rights, no events, no list of peers, and tells neither its domain nor
 * its id: what asks for these is refused, and both ids are 0.
 */
#include "backends/kdev/vism.h"

#include "internal.h"
#include "window.h"

#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_EVENTS = 32, VISM_REGIONS = 1024 };	/* each is an open file */

/* A region that this device refers to; its slot is its place in the table. */
struct vism_region {
	uint64_t token, size;
	uint32_t chunk, nr_chunks;
	int fd;			/* -1: the place is free */
};

struct vism {
	char path[108];
	struct window places;	/* in this process */
	int epfd;		/* of all regions' descriptors; in the device's */
	struct vism_region region[VISM_REGIONS];	/* under device.lock; fd read by who has a handle */
};

static const uint32_t all_rights = ISM_READ | ISM_WRITE | ISM_ATTACH;

static struct vism_region *region_find(struct vism *v, uint64_t token)
{
	for (int i = 0; i < VISM_REGIONS; i++) {
		if (v->region[i].fd >= 0 && v->region[i].token == token)
			return &v->region[i];
	}
	return NULL;
}

static void region_end(struct ism_device *dev, struct vism_region *r)
{
	struct vism *v = dev->priv;

	ismi_add_relaxed(&dev->count.control_calls, 1);
	ismi_sys_ioctl(r->fd, VISM_DETACH, NULL);
	ismi_sys_epoll_del(v->epfd, r->fd);
	ismi_sys_close(r->fd);
	r->fd = -1;
	if (r->nr_chunks > 0)
		window_give(&v->places, r->chunk, r->nr_chunks);
}

static int region_memory(const struct vism *v, const struct vism_region *r, uint64_t requested, struct ismi_memory *ret)
{
	int fd = ismi_sys_dup(r->fd);

	if (fd < 0)
		return ismi_fail(fd, "cannot duplicate a region's descriptor: %s", strerror(-fd));
	*ret = (struct ismi_memory){
		.token = r->token,
		.offset = (uint64_t)r->chunk * ISMI_CHUNK,
		.size = r->size,
		.requested = requested,
		.slot = (uint32_t)(r - v->region),
		.rights = all_rights,
		.fd = fd,
	};
	return 0;
}

static int told(int r, const char *what)
{
	if (r == -ENODEV || r == -EIO)
		return ismi_fail(-EHOSTDOWN, "%s: the device is gone", what);
	return ismi_fail(r, "%s: the proof of concept's driver says: %s", what, strerror(-r));
}

/* What the driver answered, checked, with a place in this process. */
static int region_place(struct vism *v, struct vism_region *r, const struct vism_region_arg *arg)
{
	if (arg->token == 0 || arg->size == 0)
		return ismi_fail(-EPROTO, "the driver gave a region of %" PRIu64 " bytes%s", arg->size,
				 arg->token == 0 ? " without a token" : "");
	if (arg->size > (uint64_t)v->places.nr_chunks * ISMI_CHUNK)
		return ismi_fail(-ENOSPC, "the region is larger than this device's window");
	uint32_t nr = (uint32_t)((arg->size + ISMI_CHUNK - 1) / ISMI_CHUNK);
	int err = window_take(&v->places, nr, 1, &r->chunk);
	if (err < 0)
		return ismi_fail(err, "the window of this device is used up");
	r->nr_chunks = nr;
	r->token = arg->token;
	r->size = arg->size;
	return 0;
}

/* Open the device once more, for a region. */
static int region_new(struct ism_device *dev, unsigned long request, struct vism_region_arg *arg, uint64_t least,
		      struct vism_region **ret)
{
	const char *what = request == VISM_ALLOC ? "alloc" : "attach";
	struct vism *v = dev->priv;
	struct vism_region *r = v->region;

	while (r < v->region + VISM_REGIONS && r->fd >= 0)
		r++;
	if (r == v->region + VISM_REGIONS)
		return ismi_fail(-ENOSPC, "more than %d regions of one device", VISM_REGIONS);
	*r = (struct vism_region){ .fd = ismi_sys_open(v->path, O_RDWR, 0) };
	if (r->fd < 0)
		return ismi_fail(r->fd, "%s: cannot open %s: %s", what, v->path, strerror(-r->fd));
	ismi_add_relaxed(&dev->count.control_calls, 1);
	int err = ismi_sys_ioctl(r->fd, request, arg);
	if (err < 0) {
		ismi_sys_close(r->fd);
		r->fd = -1;
		return told(err, what);
	}
	err = region_place(v, r, arg);
	if (err == 0 && r->size < least)
		err = ismi_fail(-EPROTO, "the driver made a region of %" PRIu64 " bytes: expected %" PRIu64, r->size, least);
	/* Edges: how long the driver says that it was kicked differs. */
	if (err == 0)
		err = ismi_sys_epoll_add(v->epfd, r->fd, EPOLLIN | EPOLLET, (uint64_t)(r - v->region));
	if (err < 0)
		region_end(dev, r);
	else
		*ret = r;
	return err;
}

/* ------------------------------------------------------------------ the backend's calls */

static void vism_detach(struct ism_device *dev, uint64_t token)
{
	struct vism_region *r = region_find(dev->priv, token);

	if (r != NULL)
		region_end(dev, r);
}

static int alloc_one(struct ism_device *dev, const struct ismi_alloc *want, struct ismi_memory *ret)
{
	struct vism_region_arg arg = { .size = want->size };
	struct vism_region *r;
	int err = region_new(dev, VISM_ALLOC, &arg, want->size, &r);

	if (err < 0)
		return err;
	err = region_memory(dev->priv, r, want->requested, ret);
	if (err < 0)
		region_end(dev, r);
	return err;
}

static int vism_alloc(struct ism_device *dev, const struct ismi_alloc *want, uint32_t nr, struct ismi_memory *ret)
{
	struct ismi_memory made[ISMI_BATCH_MAX];

	if (want->private || want->huge)
		return ismi_fail(-EOPNOTSUPP, "the proof of concept's driver has no %s", want->private ? "rights" : "huge pages");
	for (uint32_t i = 0; i < nr; i++) {
		int r = alloc_one(dev, want, &made[i]);
		if (r == 0)
			continue;
		while (i-- > 0) {
			ismi_sys_close(made[i].fd);
			vism_detach(dev, made[i].token);
		}
		return r;
	}
	memcpy(ret, made, nr * sizeof made[0]);
	return 0;
}

static int vism_attach(struct ism_device *dev, uint64_t token, uint32_t rights, struct ismi_memory *ret)
{
	struct vism_region_arg arg = { .token = token };
	struct vism_region *r = region_find(dev->priv, token), *had = r;
	int err = 0;

	(void)rights;	/* there are none; the mapping is as asked for */
	if (had == NULL)
		err = region_new(dev, VISM_ATTACH, &arg, 1, &r);
	if (err == 0)
		err = region_memory(dev->priv, r, r->size, ret);
	if (err < 0 && had == NULL)
		vism_detach(dev, token);
	return err;
}

static int vism_grant(struct ism_device *dev, uint64_t token, uint64_t devid, uint32_t rights)
{
	(void)dev;
	(void)token;
	(void)devid;
	(void)rights;
	return ismi_fail_const(-EOPNOTSUPP, "the proof of concept's driver has no rights: who knows the token may attach");
}

static int vism_peers(struct ism_device *dev, uint64_t token, uint64_t *ret_devids, size_t nr)
{
	(void)dev;
	(void)token;
	(void)ret_devids;
	(void)nr;
	return ismi_fail_const(-EOPNOTSUPP, "the proof of concept's driver does not tell who else refers to a region");
}

static int vism_vector(struct ism_device *dev, uint64_t token, bool on, int *ret_fd)
{
	(void)dev;
	(void)token;
	(void)on;
	(void)ret_fd;
	return ismi_fail_const(-EOPNOTSUPP, "the device's descriptor serves for all regions");
}

static int vism_notify(struct ism_device *dev, struct ismi_ref *ref)
{
	struct vism *v = dev->priv;
	int r = ismi_sys_ioctl(v->region[ref->mem.slot].fd, VISM_KICK, NULL);

	ismi_add_relaxed(&dev->count.rings_host, 1);
	ismi_add_relaxed(&dev->count.wakes_sent, 1);
	return r < 0 ? told(r, "notify") : 0;
}

/* Whoever kicked is not told. */
static void vism_poll(struct ism_device *dev)
{
	const struct vism *v = dev->priv;
	struct epoll_event ev[POLL_EVENTS];
	int n = ismi_sys_epoll_wait(v->epfd, ev, POLL_EVENTS, 0);

	for (int i = 0; i < n; i++) {
		if (ev[i].events & EPOLLIN)
			ismi_deliver_bell(dev, (uint32_t)ev[i].data.u64, 0);
	}
	if (n > 0)
		ismi_delivered(dev);
}

static void vism_fired(struct ism_device *dev, uint64_t data, uint32_t events)
{
	(void)dev;	/* taken by poll */
	(void)data;
	(void)events;
}

static void vism_nothing(struct ism_device *dev)
{
	(void)dev;
}

static bool vism_arm(struct ism_device *dev)
{
	(void)dev;
	return true;
}

static bool vism_reachable(struct ism_device *dev, const struct ismi_ref *ref)
{
	(void)dev;
	(void)ref;
	return false;
}

static void vism_ref_end(struct ism_device *dev, struct ismi_ref *ref)
{
	(void)dev;
	(void)ref;
}

/* ------------------------------------------------------------------ open, close */

bool vism_is_path(const char *path)
{
	const char *name = strrchr(path, '/');

	return strncmp(name == NULL ? path : name + 1, "vism", 4) == 0;
}

static void vism_free(struct vism *v)
{
	ismi_sys_close(v->epfd);
	window_fini(&v->places);
	free(v);
}

static int vism_open(struct ism_device *dev, const char *path, const struct ism_open_opts *opts)
{
	struct vism_stat stat;
	struct vism *v;
	int fd = ismi_sys_open(path, O_RDWR, 0), r;

	(void)opts;
	if (fd < 0)
		return ismi_fail(fd, "cannot open %s: %s", path, strerror(-fd));
	r = ismi_sys_ioctl(fd, VISM_STAT, &stat);
	ismi_sys_close(fd);
	if (r < 0)
		return ismi_fail(-EOPNOTSUPP, "%s is no device of the proof of concept's driver: %s", path, strerror(-r));
	v = calloc(1, sizeof *v);
	if (v == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	strlcpy(v->path, path, sizeof v->path);
	for (int i = 0; i < VISM_REGIONS; i++)
		v->region[i].fd = -1;
	window_init(&v->places, (uint32_t)(dev->window.size / ISMI_CHUNK));
	dev->info.chunk_size = ISMI_CHUNK;
	dev->info.window_size = dev->info.max_region = dev->window.size;
	dev->info.max_regions = VISM_REGIONS;
	dev->info.host = ISM_HOST_DEVICE;
	strlcpy(dev->info.path, path, sizeof dev->info.path);
	dev->priv = v;
	v->epfd = r = ismi_sys_epoll();
	if (r >= 0)
		r = ismi_sys_epoll_add(dev->epfd, v->epfd, EPOLLIN, 0);
	if (r < 0) {
		vism_free(v);
		return ismi_fail(r, "cannot make the descriptors of a device: %s", strerror(-r));
	}
	return 0;
}

static void vism_close(struct ism_device *dev, bool forked)
{
	struct vism *v = dev->priv;

	for (int i = 0; i < VISM_REGIONS; i++) {
		if (v->region[i].fd >= 0 && !forked)
			region_end(dev, &v->region[i]);
	}
	vism_free(v);
}

const struct ismi_backend ismi_backend_vism = {
	.size = sizeof(struct ismi_backend),
	.name = "dev",
	.version = ISMI_BACKEND_VERSION,
	.open = vism_open,
	.close = vism_close,
	.alloc = vism_alloc,
	.attach = vism_attach,
	.detach = vism_detach,
	.replace = ismi_no_replace,
	.successor = ismi_no_successor,
	.shut_out = ismi_no_shut_out,
	.grant = vism_grant,
	.peers = vism_peers,
	.vector = vism_vector,
	.housekeep = vism_nothing,
	.notify = vism_notify,
	.poll = vism_poll,
	.arm = vism_arm,
	.disarm = vism_nothing,
	.fired = vism_fired,
	.reachable = vism_reachable,
	.ref_end = vism_ref_end,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * kdev.c - a device that the kernel drives: /dev/ism, see ism(4).
 *
 * The driver's context is the device.  Its window is one for all contexts of the
 * machine; where a region appears in this process is ours to choose.
 */
#include "backends/kdev/vism.h"

#include "internal.h"

#include "base/bytes.h"
#include "base/spec.h"
#include "../kmod/uapi/ism.h"
#include "window.h"

#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EPOLL_EVENTS = 1, READ_EVENTS = 32, HUGE_CHUNKS = 32 };

struct kdev {
	struct ism_device *dev;
	int fd;
	const _Atomic uint64_t *status;	/* changes when read() has something: the driver's page */
	uint64_t seen;			/* under device.bell */
	struct window places;		/* in this process; under device.lock */
	void *regions;			/* tsearch tree of struct place, by token; under device.lock */
	bool relist;			/* peers are to be counted anew; under device.bell */
};

struct place {
	uint64_t token;
	uint32_t chunk, nr_chunks;
};

static int by_token(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* ------------------------------------------------------------------ places in the window */

static int place_new(struct kdev *k, uint64_t size, struct place **ret)
{
	struct place *p = malloc(sizeof *p);

	if (p == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	p->nr_chunks = (uint32_t)(size / ISMI_CHUNK);
	int r = window_take(&k->places, p->nr_chunks, p->nr_chunks >= HUGE_CHUNKS ? HUGE_CHUNKS : 1, &p->chunk);
	if (r < 0) {
		free(p);
		return ismi_fail(r, "the window of this device is used up");
	}
	*ret = p;
	return 0;
}

static void place_free(struct kdev *k, struct place *p)
{
	window_give(&k->places, p->chunk, p->nr_chunks);
	free(p);
}

static bool place_keep(struct kdev *k, struct place *p, uint64_t token)
{
	p->token = token;
	if (tsearch(p, &k->regions, by_token) != NULL)
		return true;
	ismi_fail(-ENOMEM, "out of memory");
	return false;
}

static struct place *place_find(const struct kdev *k, uint64_t token)
{
	void **node = tfind(&token, &k->regions, by_token);

	return node != NULL ? *node : NULL;
}

/* ------------------------------------------------------------------ errors */

static int call(struct kdev *k, unsigned long request, void *arg)
{
	if (request != ISM_IOC_NOTIFY)
		ismi_add_relaxed(&k->dev->count.control_calls, 1);
	return ismi_sys_ioctl(k->fd, request, arg);
}

static int call_error(int r, const char *what)
{
	switch (r) {
	case -ENODEV:
		return ismi_fail(-EHOSTDOWN, "%s: the device is gone", what);
	case -EIO:
		return ismi_fail(-EHOSTDOWN, "%s: the device's host does not answer", what);
	case -ENOSPC:
		return ismi_fail(r, "%s: the window or a quota of this machine's device is used up", what);
	case -ENOMEM:
		return ismi_fail(r, "%s: the device is out of memory", what);
	default:
		return ismi_fail(r, "%s: the device does not accept the request: %s", what, strerror(-r));
	}
}

static int attach_error(int r)
{
	switch (r) {
	case -ENOENT:
		return ismi_fail(r, "no region has this token, or this device may not know of it");
	case -EACCES:
		return ismi_fail(r, "the region is there, but this device has not been granted the right for it");
	case -EROFS:
		return ismi_fail(r, "the region may be read by this device, but not written: attach it with ISM_READ alone");
	default:
		return call_error(r, "attach");
	}
}

/* ------------------------------------------------------------------ regions */

static int memory_of(const struct kdev *k, const struct ism_ioc_region *r, const struct place *p,
		     struct ismi_memory *ret)
{
	int fd = ismi_sys_dup(k->fd);

	if (fd < 0)
		return ismi_fail(fd, "cannot duplicate the device's descriptor: %s", strerror(-fd));
	*ret = (struct ismi_memory){
		.token = r->token,
		.offset = (uint64_t)p->chunk * ISMI_CHUNK,
		.size = r->size,
		.requested = r->requested,
		.event_from = r->event,
		.slot = r->slot,
		.rights = r->rights,
		.peers = r->peers,
		.fd = fd,
		.fd_offset = r->offset,
	};
	return 0;
}

static void kdev_detach(struct ism_device *dev, uint64_t token)
{
	struct kdev *k = dev->priv;
	struct ism_ioc_token t = { .token = token };
	struct place *p = place_find(k, token);

	call(k, ISM_IOC_DETACH, &t);	/* what is gone has detached everything */
	if (p == NULL)
		return;
	tdelete(p, &k->regions, by_token);
	place_free(k, p);
}

static int alloc_error(int r)
{
	return call_error(r, "alloc");
}

static int replace_error(int r)
{
	switch (r) {
	case -EALREADY:
		return ismi_fail(r, "the region has been replaced already: ism_attach_successor() gives the successor");
	case -EPERM:
		return ismi_fail(r, "this device may not replace the region: it needs READ, WRITE, ATTACH and MANAGE");
	case -ENOTTY:
	case -EOPNOTSUPP:
		return ismi_fail(-EOPNOTSUPP, "the driver of this machine, or its host, does not replace regions");
	default:
		return call_error(r, "replace");
	}
}

/* Have the device make a region of @size bytes: by ALLOC or REPLACE. */
static int make(struct kdev *k, unsigned long request, struct ism_ioc_region *r, int (*failed)(int), uint64_t size,
		struct ismi_memory *ret)
{
	struct ism_ioc_token t;
	struct place *p;
	int err = place_new(k, size, &p);

	if (err < 0)
		return err;
	err = call(k, request, r);
	if (err < 0) {
		place_free(k, p);
		return failed(err);
	}
	if (r->size != size)
		err = ismi_fail(-EPROTO, "the device made a region of %" PRIu64 " bytes: expected %" PRIu64, (uint64_t)r->size,
				size);
	else
		err = memory_of(k, r, p, ret);
	if (err == 0 && !place_keep(k, p, r->token)) {
		ismi_sys_close(ret->fd);
		err = -ENOMEM;
	}
	if (err < 0) {
		t.token = r->token;
		call(k, ISM_IOC_DETACH, &t);
		place_free(k, p);
	}
	return err;
}

static int alloc_one(struct kdev *k, const struct ismi_alloc *want, struct ismi_memory *ret)
{
	struct ism_ioc_region r = { .size = want->size, .requested = want->requested,
				    .flags = want->private ? ISM_IOC_PRIVATE : 0 };

	return make(k, ISM_IOC_ALLOC, &r, alloc_error, want->size, ret);
}

static int no_huge_pages(void)
{
	return ismi_fail(-EOPNOTSUPP, "the host chooses the pages of a virtual machine's regions: no huge ones can be asked for");
}

static int kdev_alloc(struct ism_device *dev, const struct ismi_alloc *want, uint32_t nr, struct ismi_memory *ret)
{
	struct kdev *k = dev->priv;
	struct ismi_memory made[ISMI_BATCH_MAX];

	if (want->huge)
		return no_huge_pages();
	if (want->size > dev->info.max_region)
		return ismi_fail(-E2BIG, "a region of %" PRIu64 " bytes does not fit the window", want->size);
	for (uint32_t i = 0; i < nr; i++) {
		int r = alloc_one(k, want, &made[i]);
		if (r == 0)
			continue;
		while (i-- > 0) {
			ismi_sys_close(made[i].fd);
			kdev_detach(dev, made[i].token);
		}
		return r;
	}
	memcpy(ret, made, nr * sizeof made[0]);
	return 0;
}

static int kdev_replace(struct ism_device *dev, uint64_t token, const struct ismi_alloc *want, struct ismi_memory *ret)
{
	struct ism_ioc_region r = { .token = token };

	return want->huge ? no_huge_pages() : make(dev->priv, ISM_IOC_REPLACE, &r, replace_error, want->size, ret);
}

static int kdev_successor(struct ism_device *dev, uint64_t token, uint64_t *ret_token, uint32_t *ret_others)
{
	struct ism_ioc_successor s = { .token = token };
	int r = call(dev->priv, ISM_IOC_SUCCESSOR, &s);

	if (r == -ENOENT || r == -ENOTTY)	/* an older driver, which tells of none */
		return ismi_no_successor(dev, token, ret_token, ret_others);
	if (r < 0)
		return call_error(r, "successor");
	*ret_token = s.successor;
	*ret_others = s.others;
	return 0;
}

/* Where an attached region appears, if it does not yet. */
static int attach_place(const struct ism_device *dev, struct kdev *k, const struct ism_ioc_region *r, struct place **ret)
{
	struct place *p;

	if (r->size == 0 || r->size % ISMI_CHUNK != 0)
		return ismi_fail(-EPROTO, "the device says the region has %" PRIu64 " bytes", (uint64_t)r->size);
	if (r->size > dev->window.size)
		return ismi_fail(-ENOSPC, "the region is larger than this device's window");
	int err = place_new(k, r->size, &p);
	if (err < 0)
		return err;
	if (!place_keep(k, p, r->token)) {
		place_free(k, p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

static int kdev_attach(struct ism_device *dev, uint64_t token, uint32_t rights, struct ismi_memory *ret)
{
	struct kdev *k = dev->priv;
	struct ism_ioc_region r = { .token = token, .rights = rights };
	struct place *had = place_find(k, token), *p = had;
	int err = call(k, ISM_IOC_ATTACH, &r);

	if (err < 0) {
		attach_error(err);
		return err == -EIO || err == -ENODEV ? -EHOSTDOWN : err;
	}
	if (p == NULL)
		err = attach_place(dev, k, &r, &p);
	if (err == 0)
		err = memory_of(k, &r, p, ret);
	if (err < 0 && had == NULL)
		kdev_detach(dev, token);
	return err;
}

static int kdev_grant(struct ism_device *dev, uint64_t token, uint64_t devid, uint32_t rights)
{
	struct ism_ioc_grant g = { .token = token, .devid = devid, .rights = rights };
	int r = call(dev->priv, ISM_IOC_GRANT, &g);

	if (r == -ENOENT)
		return ismi_fail(r, "no device %" PRIu64 " in this domain", devid);
	if (r == -EPERM)
		return ismi_fail(r, "this device may not grant that: it needs ISM_MANAGE, can give no more than it has, and the "
				    "creator keeps its rights");
	return r < 0 ? call_error(r, "grant") : 0;
}

static int kdev_peers(struct ism_device *dev, uint64_t token, uint64_t *ret_devids, size_t nr)
{
	struct ism_ioc_peers p = { .token = token, .devids = (uintptr_t)ret_devids, .nr = nr > UINT32_MAX ? UINT32_MAX : (uint32_t)nr };
	int r = call(dev->priv, ISM_IOC_PEERS, &p);

	return r < 0 ? call_error(r, "peers") : (int)p.total;
}

static int kdev_vector(struct ism_device *dev, uint64_t token, bool on, int *ret_fd)
{
	struct ism_ioc_eventfd e = { .token = token, .fd = -1 };
	int fd = -1, r;

	if (on) {
		fd = ismi_sys_eventfd();
		if (fd < 0)
			return ismi_fail(fd, "cannot make an eventfd: %s", strerror(-fd));
		e.fd = fd;
	}
	r = call(dev->priv, ISM_IOC_SET_EVENTFD, &e);
	if (r < 0) {
		ismi_sys_close(fd);
		return call_error(r, "vector");
	}
	if (on)
		*ret_fd = fd;
	return 0;
}

/* Listings alone: the rest has calls of its own. */
static int kdev_command(struct ism_device *dev, struct ismi_command *c)
{
	struct ism_ioc_command cmd = { .request = (uintptr_t)c->req, .request_len = (uint32_t)c->req_len,
				       .reply = (uintptr_t)c->reply, .reply_len = (uint32_t)c->cap };
	int r = call(dev->priv, ISM_IOC_COMMAND, &cmd);

	if (r == -EPERM)
		return ismi_fail(r, "listing what this machine shares needs CAP_SYS_ADMIN");
	if (r < 0)
		return call_error(r, "list");
	c->len = cmd.reply_len;
	c->nr_fds = 0;
	return 0;
}

/* ------------------------------------------------------------------ doorbells and events */

static int kdev_notify(struct ism_device *dev, struct ismi_ref *ref)
{
	struct ism_ioc_token t = { .token = ref->token };
	int r = call(dev->priv, ISM_IOC_NOTIFY, &t);

	ismi_add_relaxed(&dev->count.rings_host, 1);
	ismi_add_relaxed(&dev->count.wakes_sent, 1);
	return r == -ENODEV || r == -ENOENT ? 0 : r < 0 ? call_error(r, "notify") : 0;
}

static void deliver(struct ism_device *dev, const struct ism_ioc_event *ev)
{
	struct kdev *k = dev->priv;

	switch (ev->type) {
	case ISM_IOC_EV_UPDATE:
		ismi_deliver_bell(dev, ev->slot, ev->devid);
		break;
	case ISM_IOC_EV_ATTACH:
	case ISM_IOC_EV_DETACH:
	case ISM_IOC_EV_MOVED:
		ismi_deliver_event(dev, ev->type, ev->token, ev->devid, ev->peers, ev->number);
		break;
	case ISM_IOC_EV_LOST:
		ismi_deliver_lost(dev);
		k->relist = true;
		ismi_store_relaxed(&dev->housework, true);
		break;
	case ISM_IOC_EV_RESET:
		ismi_deliver_reset(dev);
		break;
	default:
		break;
	}
}

static void kdev_poll(struct ism_device *dev)
{
	struct kdev *k = dev->priv;
	struct ism_ioc_event ev[READ_EVENTS];
	uint64_t status = ismi_load_acquire(k->status);
	ssize_t n;

	if (status == k->seen)
		return;
	/* Before reading: what comes meanwhile changes it again. */
	k->seen = status;
	do {
		n = ismi_sys_read(k->fd, ev, sizeof ev);
		for (ssize_t i = 0; i < n / (ssize_t)sizeof ev[0]; i++)
			deliver(dev, &ev[i]);
	} while (n == sizeof ev);
	ismi_delivered(dev);
}

/* The descriptor is readable while there is something: nobody has to be asked to wake us. */
static bool kdev_arm(struct ism_device *dev)
{
	const struct kdev *k = dev->priv;

	return ismi_load_seq(k->status) == k->seen;
}

static void kdev_disarm(struct ism_device *dev)
{
	(void)dev;
}

static void kdev_fired(struct ism_device *dev, uint64_t data, uint32_t events)
{
	(void)dev;	/* read by poll */
	(void)data;
	(void)events;
}

/* Events were lost: how many peers does each region have now? */
static void kdev_housekeep(struct ism_device *dev)
{
	struct kdev *k = dev->priv;

	pthread_mutex_lock(&dev->bell);
	bool relist = k->relist;
	k->relist = false;
	ismi_store_relaxed(&dev->housework, false);
	pthread_mutex_unlock(&dev->bell);
	for (uint32_t i = 0; relist && i < dev->nr_slots; i++) {
		struct ismi_ref *ref = dev->slot[i];
		int n = ref == NULL ? -1 : kdev_peers(dev, ref->token, NULL, 0);
		if (n < 0)
			continue;
		pthread_mutex_lock(&dev->bell);
		ismi_deliver_peers(dev, ref, (uint32_t)n);
		pthread_mutex_unlock(&dev->bell);
	}
}

static bool kdev_reachable(struct ism_device *dev, const struct ismi_ref *ref)
{
	(void)dev;	/* with the device, all went */
	(void)ref;
	return false;
}

static void kdev_ref_end(struct ism_device *dev, struct ismi_ref *ref)
{
	(void)dev;
	(void)ref;
}

/* ------------------------------------------------------------------ open, close */

static int open_node(struct ism_device *dev, struct kdev *k, const char *path)
{
	struct ism_ioc_query q;
	void *page;

	k->fd = ismi_sys_open(path, O_RDWR | O_NONBLOCK, 0);
	if (k->fd < 0)
		return ismi_fail(k->fd, "cannot open %s: %s%s", path, strerror(-k->fd),
				 k->fd == -EACCES ? ": is this user in the group of the device?" : "");
	int r = call(k, ISM_IOC_QUERY, &q);
	if (r < 0 || q.version != ISM_IOC_VERSION)
		return ismi_fail(-EOPNOTSUPP, "%s is no device of virtio_ism, or of another version of it", path);
	r = ismi_sys_mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, k->fd, (off_t)ISM_IOC_STATUS_OFFSET, &page);
	if (r < 0)
		return ismi_fail(r, "cannot map the status of %s: %s", path, strerror(-r));
	k->status = page;
	dev->info.gid = q.gid;
	dev->info.devid = q.devid;
	dev->info.chunk_size = q.chunk_size;
	dev->info.window_size = dev->window.size;
	dev->info.max_region = dev->window.size < q.window_size ? dev->window.size : q.window_size;
	dev->info.max_regions = ISMI_SLOTS;
	dev->info.host = ISM_HOST_DEVICE;
	dev->info.features = 1 << ISMI_F_EXT;
	strlcpy(dev->info.path, path, sizeof dev->info.path);
	return ismi_sys_epoll_add(dev->epfd, k->fd, EPOLLIN, EPOLL_EVENTS);
}

static void forget_place(void *place)
{
	free(place);
}

static void kdev_free(struct kdev *k)
{
	if (k->status != NULL)
		ismi_sys_munmap((void *)(uintptr_t)k->status, (size_t)sysconf(_SC_PAGESIZE));
	ismi_sys_close(k->fd);
	tdestroy(k->regions, forget_place);
	window_fini(&k->places);
	free(k);
}

static int kdev_open(struct ism_device *dev, const char *address, const struct ism_open_opts *opts)
{
	const char *path = *address != '\0' ? address : "/dev/ism";
	struct kdev *k;

	if (strlen(path) >= sizeof dev->info.path)
		return ismi_fail(-ENAMETOOLONG, "dev:%.32s...: a path may have %zu bytes", path, sizeof dev->info.path - 1);
	if (vism_is_path(path)) {
		dev->ops = &ismi_backend_vism;
		return dev->ops->open(dev, path, opts);
	}
	k = calloc(1, sizeof *k);
	if (k == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	k->dev = dev;
	k->fd = -1;
	window_init(&k->places, (uint32_t)(dev->window.size / ISMI_CHUNK));
	int r = open_node(dev, k, path);
	if (r < 0) {
		kdev_free(k);
		return r;
	}
	dev->priv = k;
	return 0;
}

static void kdev_close(struct ism_device *dev, bool forked)
{
	(void)forked;	/* closing our copy of the descriptor leaves the parent's context as it is */
	kdev_free(dev->priv);
}

const struct ismi_backend ismi_backend_kdev = {
	.size = sizeof(struct ismi_backend),
	.name = "dev",
	.version = ISMI_BACKEND_VERSION,
	.open = kdev_open,
	.close = kdev_close,
	.alloc = kdev_alloc,
	.attach = kdev_attach,
	.detach = kdev_detach,
	.replace = kdev_replace,
	.successor = kdev_successor,
	.shut_out = ismi_no_shut_out,
	.grant = kdev_grant,
	.peers = kdev_peers,
	.vector = kdev_vector,
	.command = kdev_command,
	.housekeep = kdev_housekeep,
	.notify = kdev_notify,
	.poll = kdev_poll,
	.arm = kdev_arm,
	.disarm = kdev_disarm,
	.fired = kdev_fired,
	.reachable = kdev_reachable,
	.ref_end = kdev_ref_end,
};

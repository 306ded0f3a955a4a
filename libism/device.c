/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * device.c - opening, closing and describing a device.
 */
#include "backends/trace/trace.h"
#include "emu/faulty.h"
#include "watch.h"

#include "base/spec.h"

#include <bsd/string.h>
#include <errno.h>
#include <search.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEFAULT_TIMEOUT_MS = 10000, DEFAULT_RESTART_MS = 5000 };

/* Windows are reserved, not used: 16 GiB, or what 32 bits can spare. */
#if UINTPTR_MAX > UINT32_MAX
#define DEFAULT_WINDOW (UINT64_C(16) << 30)
#else
#define DEFAULT_WINDOW (UINT64_C(128) << 20)
#endif

/* The open devices of this process, for ism_find_device(): newest first. */
static struct {
	pthread_mutex_t lock;
	LIST_HEAD(, ism_device) list;
	pthread_once_t once;
	int init_result;
} devices = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

/* ------------------------------------------------------------------ process-wide */

static void fork_prepare(void)
{
	pthread_mutex_lock(&devices.lock);
}

static void fork_done(void)
{
	pthread_mutex_unlock(&devices.lock);
}

static void init_once(void)
{
	int r = ismi_fork_init();

	if (r == 0)
		r = -pthread_atfork(fork_prepare, fork_done, fork_done);
	if (r == 0 && sodium_init() < 0)
		r = -ENOSYS;
	devices.init_result = r;
}

struct ism_device *ism_find_device(uint64_t gid)
{
	struct ism_device *dev;

	pthread_mutex_lock(&devices.lock);
	LIST_FOREACH (dev, &devices.list, all) {
		if (dev->info.gid == gid && !ismi_forked(dev))
			break;
	}
	pthread_mutex_unlock(&devices.lock);
	return dev;
}

/* ------------------------------------------------------------------ open */

static int opts_check(const struct ism_open_opts *opts, struct ism_open_opts *ret)
{
	int r = ismi_opts_copy(ret, sizeof *ret, ISMI_UP_TO(struct ism_open_opts, log_data), opts, "ism_open_opts");

	if (r < 0)
		return r;
	if ((ret->flags & ~ISM_OPEN_NO_HOST) != 0)
		return ismi_fail(-EINVAL, "ism_open_opts.flags 0x%x: unknown flag", ret->flags);
	if (ret->window_size != 0 && ret->window_size < ISMI_CHUNK)
		return ismi_fail(-EINVAL, "ism_open_opts.window_size %llu: expected at least one chunk of %d",
				 (unsigned long long)ret->window_size, ISMI_CHUNK);
	return 0;
}

/* What can be had of a window of @want bytes (0: any): a power of two. */
static uint64_t window_size(uint64_t want)
{
	if (want == 0)
		return DEFAULT_WINDOW;
	return want > ISMI_WINDOW_MAX ? ISMI_WINDOW_MAX : UINT64_C(1) << (63 - __builtin_clzll(want));
}

static int sync_init(struct ism_device *dev)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&dev->lock, NULL);
	pthread_mutex_init(&dev->bell, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&dev->bell_cond, &attr);
	pthread_condattr_destroy(&attr);
	TAILQ_INIT(&dev->updates);
	TAILQ_INIT(&dev->events);
	TAILQ_INIT(&dev->stash);
	ismi_pool_init(&dev->pool);
	ismi_kept_init(&dev->kept);
	dev->epfd = dev->kick_fd = dev->lent_epfd = dev->level_fd = -1;
	int r = dev->epfd = ismi_sys_epoll();
	if (r >= 0)
		r = dev->kick_fd = ismi_sys_eventfd();
	if (r >= 0)
		r = ismi_sys_epoll_add(dev->epfd, dev->kick_fd, EPOLLIN, ISMI_EPOLL_KICK);
	return r < 0 ? ismi_fail(r, "cannot make the descriptors of a device: %s", strerror(-r)) : 0;
}

static void device_free(struct ism_device *dev)
{
	ismi_window_release(&dev->window);
	ismi_sys_close(dev->epfd);
	ismi_sys_close(dev->kick_fd);
	ismi_sys_close(dev->lent_epfd);
	ismi_sys_close(dev->level_fd);
	if (!ismi_forked(dev)) {	/* else another thread of the parent may have held them */
		pthread_cond_destroy(&dev->bell_cond);
		pthread_mutex_destroy(&dev->bell);
		pthread_mutex_destroy(&dev->lock);
	}
	free(dev->slot);
	dev->slot = NULL;
	dev->nr_slots = 0;
	if (dev->trace == NULL)
		free(dev);
}

static int device_new(const struct ism_open_opts *o, struct ism_device **ret)
{
	struct ism_device *dev = calloc(1, sizeof *dev);
	int r;

	if (dev == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	dev->fork_count = dev->gate = ismi_fork_count;
	dev->log = (struct ismi_log){ .level = o->log != NULL ? ISMI_LOG_DEBUG : ISMI_LOG_NONE, .sink = o->log,
				      .data = o->log_data };
	dev->timeout_ns = (int64_t)(o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS) * 1000000;
	dev->restart_ns = o->restart_ms == ISM_RESTART_NONE ? 0 : (int64_t)(o->restart_ms ? o->restart_ms : DEFAULT_RESTART_MS) *
		1000000;
	ismi_spin_policy_init(&dev->spin, o->spin_us);
	r = sync_init(dev);
	if (r == 0 && o->log == NULL)
		r = ismi_log_from_env(&dev->log);
	if (r == 0)
		r = ismi_window_reserve(&dev->window, window_size(o->window_size));
	if (r < 0) {
		device_free(dev);
		return r;
	}
	*ret = dev;
	return 0;
}

static int device_open(const struct ismi_backend *backend, const char *address, const struct ism_open_opts *o,
		       bool traced, struct ism_device **ret)
{
	struct ism_device *dev = NULL;
	int r = device_new(o, &dev);

	if (r < 0)
		return r;
	dev->ops = backend;
	strlcpy(dev->info.backend, backend->name, sizeof dev->info.backend);
	r = backend->open(dev, address, o);
	if (r < 0)
		goto err_free;
	r = ismi_faulty_init(dev);
	if (r == 0 && traced)
		r = ismi_trace_init(dev);
	if (r < 0)
		goto err_close;
	*ret = dev;
	return 0;

err_close:
	ismi_faulty_fini(dev);
	dev->ops->close(dev, false);
err_free:
	device_free(dev);
	return r;
}

int ism_open(const char *uri, const struct ism_open_opts *opts, struct ism_device **ret)
{
	const struct ismi_backend *backend;
	struct ism_open_opts o;
	struct ism_device *dev = NULL;
	const char *address;
	bool traced;
	int r;

	pthread_once(&devices.once, init_once);
	if (devices.init_result < 0)
		return ismi_fail(devices.init_result, "libsodium or the fork handlers cannot be initialised");
	r = opts_check(opts, &o);
	if (r == 0)
		r = ismi_uri_resolve(uri, &backend, &address, &traced);
	if (r == 0 && traced)
		r = ismi_trace_check();
	if (r < 0)
		return r;
	if (backend->size < sizeof *backend || backend->version != ISMI_BACKEND_VERSION)
		return ismi_fail(-EOPNOTSUPP, "the backend \"%s\" is of another version of libism", backend->name);
	int64_t began = traced ? ismi_now_ns() : 0;
	r = device_open(backend, address, &o, traced, &dev);
	if (traced)
		ismi_trace_opened(backend->name, address, dev, r, began);
	if (r < 0)
		return r;
	pthread_mutex_lock(&devices.lock);
	LIST_INSERT_HEAD(&devices.list, dev, all);
	pthread_mutex_unlock(&devices.lock);
	ismi_info(&dev->log, "device", "%s:%s: device %llu of domain %016llx", dev->info.backend, dev->info.path,
		  (unsigned long long)dev->info.devid, (unsigned long long)dev->info.gid);
	*ret = dev;
	return 0;
}

/* ------------------------------------------------------------------ close */

/* Let go of a reference and all its handles; the device's window goes as a whole. */
static void ref_free(struct ism_device *dev, struct ismi_ref *ref)
{
	struct ism_region *h;

	while ((h = LIST_FIRST(&ref->handles)) != NULL) {
		LIST_REMOVE(h, of_ref);
		ismi_sys_close(h->vector_fd);
		ismi_region_free(h);
	}
	for (int i = 0; i < 2; i++) {
		if (ref->map[i].users > 0 && !ref->map[i].in_window)
			ismi_sys_munmap(ref->map[i].addr, (size_t)ref->mem.size);
	}
	if (ref->pooled != NULL)
		ref->pooled->mapped = false;
	ismi_pool_drop(dev, ref->pooled);
	dev->ops->ref_end(dev, ref);
	free(ref);
}

static void keep(void *node)
{
	(void)node;	/* tdestroy() frees the tree; the references go one by one */
}

void ism_close(struct ism_device *dev)
{
	if (dev == NULL)
		return;
	if (ismi_unusual(dev)) {
		ismi_watched_close(dev);
		return;
	}
	pthread_mutex_lock(&devices.lock);
	LIST_REMOVE(dev, all);
	pthread_mutex_unlock(&devices.lock);
	/* No detach for each: the device goes with all its references, and the window with all mappings. */
	for (uint32_t i = 0; i < dev->nr_slots; i++) {
		if (dev->slot[i] != NULL)
			ref_free(dev, dev->slot[i]);
	}
	tdestroy(dev->refs, keep);
	ismi_pool_fini(&dev->pool);
	ismi_kept_fini(&dev->kept);
	ismi_events_fini(dev);
	ismi_faulty_fini(dev);
	dev->ops->close(dev, ismi_forked(dev));
	device_free(dev);
}

/* ------------------------------------------------------------------ describe */

int ism_query(struct ism_device *dev, struct ism_info *ret)
{
	if (ismi_unusual(dev))
		return ismi_watched_query(dev, ret);
	return ismi_info_fill(ret, &dev->info, sizeof dev->info, ISMI_UP_TO(struct ism_info, path), "ism_info");
}

int ism_query_stats(struct ism_device *dev, struct ism_stats *ret)
{
	struct ism_stats s = {
		.notifies = ismi_load_relaxed(&dev->count.notifies),
		.rings_direct = ismi_load_relaxed(&dev->count.rings_direct),
		.rings_host = ismi_load_relaxed(&dev->count.rings_host),
		.wakes_sent = ismi_load_relaxed(&dev->count.wakes_sent),
		.wakes_suppressed = ismi_load_relaxed(&dev->count.wakes_suppressed),
		.spins_paid = ismi_load_relaxed(&dev->spin.paid),
		.spins_unpaid = ismi_load_relaxed(&dev->spin.unpaid),
		.sleeps = ismi_load_relaxed(&dev->spin.sleeps),
		.control_calls = ismi_load_relaxed(&dev->count.control_calls),
		.links = ismi_load_relaxed(&dev->count.links),
		.regions = ismi_load_relaxed(&dev->count.regions),
		.bytes = ismi_load_relaxed(&dev->count.bytes),
	};

	if (ismi_unusual(dev))
		return ismi_watched_query_stats(dev, ret);
	return ismi_info_fill(ret, &s, sizeof s, ISMI_UP_TO(struct ism_stats, bytes), "ism_stats");
}

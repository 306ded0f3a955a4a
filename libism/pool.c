/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * pool.c - memory of pooled regions, kept for the next one.
 */
#include "pool.h"

#include "internal.h"

#include <stdlib.h>

enum { POOL_MAX = 64 };

static const uint64_t IDLE_MAX = UINT64_C(64) << 20;

void ismi_pool_init(struct ismi_pool *pool)
{
	*pool = (struct ismi_pool){ 0 };
	TAILQ_INIT(&pool->idle);
}

static void idle_del(struct ismi_pool *pool, struct ismi_pooled *p)
{
	TAILQ_REMOVE(&pool->idle, p, all);
	pool->idle_bytes -= p->size;
}

void ismi_pool_fini(struct ismi_pool *pool)
{
	struct ismi_pooled *p;

	while ((p = TAILQ_FIRST(&pool->idle)) != NULL) {
		idle_del(pool, p);
		ismi_sys_close(p->fd);
		free(p);
	}
}

static void unmap(struct ism_device *dev, struct ismi_pooled *p)
{
	if (p->mapped)
		ismi_window_unmap(&dev->window, p->offset, p->size);
	p->mapped = false;
}

/* It is memory alone again. */
static void unready(struct ism_device *dev, struct ismi_pooled *p)
{
	if (p->ready)
		dev->ops->detach(dev, p->mem.token);
	p->ready = false;
}

void ismi_pool_drop(struct ism_device *dev, struct ismi_pooled *p)
{
	if (p == NULL)
		return;
	unready(dev, p);
	unmap(dev, p);
	ismi_sys_close(p->fd);
	dev->pool.nr--;
	free(p);
}

static void drop_idle(struct ism_device *dev, struct ismi_pooled *p)
{
	idle_del(&dev->pool, p);
	ismi_pool_drop(dev, p);
}

static bool host_gone(struct ism_device *dev)
{
	pthread_mutex_lock(&dev->bell);
	bool gone = dev->reset;
	pthread_mutex_unlock(&dev->bell);
	return gone;
}

struct ismi_pooled *ismi_pool_take(struct ism_device *dev, const struct ismi_alloc *want, bool alone)
{
	struct ismi_pooled *p;

	/* The one used last: its memory may still be in a cache. */
	TAILQ_FOREACH_REVERSE (p, &dev->pool.idle, ismi_pooled_list, all) {
		if (p->peer != want->peer || p->size != want->size || p->huge != want->huge)
			continue;
		idle_del(&dev->pool, p);
		if (p->mem.requested != want->requested || host_gone(dev))
			unready(dev, p);
		if (!alone && !p->ready)	/* its place may become that of another one taken with it */
			unmap(dev, p);
		return p;
	}
	return NULL;
}

struct ismi_pooled *ismi_pool_new(struct ism_device *dev, const struct ismi_alloc *want, int fd)
{
	if (dev->pool.nr >= POOL_MAX && !TAILQ_EMPTY(&dev->pool.idle))
		drop_idle(dev, TAILQ_FIRST(&dev->pool.idle));
	if (dev->pool.nr >= POOL_MAX)
		return NULL;
	struct ismi_pooled *p = malloc(sizeof *p);
	if (p == NULL)
		return NULL;
	*p = (struct ismi_pooled){ .peer = want->peer, .size = want->size, .huge = want->huge, .fd = ismi_sys_dup(fd) };
	if (p->fd < 0) {
		free(p);
		return NULL;
	}
	dev->pool.nr++;
	return p;
}

bool ismi_pool_keeps(const struct ismi_pooled *p)
{
	return !p->spoilt && p->size <= IDLE_MAX;
}

void ismi_pool_give(struct ism_device *dev, struct ismi_pooled *p)
{
	struct ismi_pool *pool = &dev->pool;

	if (!ismi_pool_keeps(p)) {
		ismi_pool_drop(dev, p);
		return;
	}
	while (pool->idle_bytes > IDLE_MAX - p->size)
		drop_idle(dev, TAILQ_FIRST(&pool->idle));
	TAILQ_INSERT_TAIL(&pool->idle, p, all);
	pool->idle_bytes += p->size;
}

bool ismi_pool_shrink(struct ism_device *dev)
{
	struct ismi_pooled *p;
	bool any = false;

	TAILQ_FOREACH (p, &dev->pool.idle, all) {
		any |= p->ready;
		unready(dev, p);
	}
	return any;
}

bool ismi_pool_knows(const struct ism_device *dev, uint64_t token)
{
	const struct ismi_pooled *p;

	TAILQ_FOREACH (p, &dev->pool.idle, all) {
		if (p->ready && p->mem.token == token)
			return true;
	}
	return false;
}

void ismi_pool_new_host(struct ism_device *dev)
{
	struct ismi_pooled *p;

	TAILQ_FOREACH (p, &dev->pool.idle, all)
		p->mem.event_from = 0;
}

static void clear_way(struct ism_device *dev, uint64_t offset, uint64_t size)
{
	struct ismi_pooled *p;

	TAILQ_FOREACH (p, &dev->pool.idle, all) {
		if (p->mapped && p->offset < offset + size && offset < p->offset + p->size)
			unmap(dev, p);
	}
	ismi_kept_clear(dev, offset, size);
}

int ismi_pool_map(struct ism_device *dev, struct ismi_pooled *p, const struct ismi_memory *mem, bool writable,
		  void **ret)
{
	if (p != NULL && p->mapped && p->offset == mem->offset) {
		*ret = dev->window.base + p->offset;
		return 0;
	}
	if (p != NULL)
		unmap(dev, p);
	clear_way(dev, mem->offset, mem->size);
	int r = ismi_window_map(&dev->window, mem->offset, mem->size, mem->fd, mem->fd_offset, writable, ret);
	if (r == 0 && p != NULL) {
		p->offset = mem->offset;
		p->mapped = true;
	}
	return r;
}

void ismi_pool_forget_peer(struct ism_device *dev, uint64_t peer)
{
	struct ismi_pooled *p, *next;

	for (p = TAILQ_FIRST(&dev->pool.idle); p != NULL; p = next) {
		next = TAILQ_NEXT(p, all);
		if (p->peer == peer)
			drop_idle(dev, p);
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * region.c - allocating, attaching and letting go of regions.
 *
 * A device refers to a region once, however many handles there are; handles
 * with the same rights share a mapping.  The first mapping is at the region's
 * place in the window, one with other rights anywhere.
 */
#include "watch.h"

#include "backends/trace/trace.h"
#include "base/bytes.h"
#include "base/spec.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

enum {
	ALLOC_FLAGS = ISM_ALLOC_PRIVATE | ISM_ALLOC_HUGE | ISM_ALLOC_NODE | ISM_ALLOC_PREFAULT | ISM_ALLOC_VECTOR |
		      ISM_ALLOC_REQUIRED | ISM_ALLOC_POOLED,
	ATTACH_FLAGS = ISM_ATTACH_PREFAULT | ISM_ATTACH_VECTOR,
	BATCH_MAX = ISMI_BATCH_MAX,
	HUGE_PAGE = 2 * 1024 * 1024,
};

/* ------------------------------------------------------------------ references */

static int by_token(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

struct ismi_ref *ismi_ref_find(struct ism_device *dev, uint64_t token)
{
	void **node = tfind(&token, &dev->refs, by_token);

	return node == NULL ? NULL : *node;
}

/* Room for a slot number in the table: under the bell lock. */
static int slot_room(struct ism_device *dev, uint32_t slot)
{
	uint32_t nr = dev->nr_slots ? dev->nr_slots : 16;

	if (slot < dev->nr_slots)
		return 0;
	if (slot >= ISMI_SLOTS)
		return ismi_fail(-EPROTO, "the device gave a region the number %u: expected less than %d", slot, ISMI_SLOTS);
	while (nr <= slot)
		nr *= 2;
	struct ismi_ref **table = realloc(dev->slot, nr * sizeof(struct ismi_ref *));
	if (table == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	memset(table + dev->nr_slots, 0, (nr - dev->nr_slots) * sizeof(struct ismi_ref *));
	dev->slot = table;
	dev->nr_slots = nr;
	return 0;
}

/* Remember what the device gave; a region that this device refers to already keeps its reference. */
static int ref_get(struct ism_device *dev, const struct ismi_memory *mem, struct ismi_ref **ret)
{
	struct ismi_ref *ref = ismi_ref_find(dev, mem->token);
	int r;

	if (ref != NULL) {
		ref->mem.rights |= mem->rights;
		*ret = ref;
		return 0;
	}
	ref = calloc(1, sizeof *ref);
	if (ref == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	ref->token = mem->token;
	ref->mem = *mem;
	ref->mem.fd = -1;
	ref->peers = mem->peers;
	ref->had_peers = mem->peers > 0;
	pthread_mutex_lock(&dev->bell);
	r = slot_room(dev, mem->slot);
	if (r == 0 && dev->slot[mem->slot] != NULL)
		r = ismi_fail(-EPROTO, "the device gave two regions the number %u", mem->slot);
	if (r == 0 && tsearch(ref, &dev->refs, by_token) == NULL)
		r = ismi_fail(-ENOMEM, "out of memory");
	if (r == 0)
		dev->slot[mem->slot] = ref;
	pthread_mutex_unlock(&dev->bell);
	if (r < 0) {
		free(ref);
		return r;
	}
	ismi_add_relaxed(&dev->count.regions, 1);
	ismi_add_relaxed(&dev->count.bytes, mem->size);
	*ret = ref;
	return 0;
}

void ismi_ref_del(struct ism_device *dev, struct ismi_ref *ref)
{
	pthread_mutex_lock(&dev->bell);
	dev->slot[ref->mem.slot] = NULL;
	tdelete(ref, &dev->refs, by_token);
	dev->ops->ref_end(dev, ref);
	pthread_mutex_unlock(&dev->bell);
	ismi_add_relaxed(&dev->count.regions, -1);
	ismi_add_relaxed(&dev->count.bytes, -ref->mem.size);
	free(ref);
}

/* ------------------------------------------------------------------ mappings */

static int mapping_get(struct ism_device *dev, struct ismi_ref *ref, const struct ismi_memory *mem, bool writable,
		       struct ismi_pooled *pooled, void **ret)
{
	struct ismi_mapping *m = &ref->map[writable], *other = &ref->map[!writable];
	int r = 0;

	if (m->users == 0) {
		struct ismi_memory at = ref->mem;
		at.fd = mem->fd;
		m->addr = mem->have ? ismi_kept_take(dev, mem, writable) : NULL;
		m->in_window = m->addr != NULL || (pooled != NULL ? writable : other->users == 0 || !other->in_window);
		if (m->addr == NULL && m->in_window)
			r = ismi_pool_map(dev, pooled, &at, writable, &m->addr);
		else if (m->addr == NULL)
			r = ismi_sys_mmap(NULL, (size_t)ref->mem.size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED,
					  mem->fd, (off_t)mem->fd_offset, &m->addr);
		if (r < 0)
			return r;
	}
	m->users++;
	*ret = m->addr;
	return 0;
}

void ismi_mapping_put(struct ism_device *dev, struct ismi_ref *ref, bool writable)
{
	struct ismi_mapping *m = &ref->map[writable];

	if (--m->users > 0 || (writable && ref->pooled != NULL))	/* this goes with what it is made of: see detach.c */
		return;
	bool kept = m->in_window && ref->mem.keep != 0 && ismi_kept_give(dev, &ref->mem, writable);
	if (m->in_window && !kept)
		ismi_window_unmap(&dev->window, ref->mem.offset, ref->mem.size);
	else if (!m->in_window)
		ismi_sys_munmap(m->addr, (size_t)ref->mem.size);
	m->addr = NULL;
}

/* ------------------------------------------------------------------ handles */

void ismi_region_free(struct ism_region *region)
{
	region->ref = NULL;
	if (region->life != NULL)
		ismi_trace_keep(region->life, region, "ism_close");
	else
		free(region);
}

static void mem_close(struct ismi_memory *mem)
{
	ismi_sys_close(mem->fd);
	mem->fd = -1;
}

/* A doorbell descriptor for this handle, unless another one of the region has it already. */
static void vector_get(struct ism_region *region)
{
	struct ism_region *h;

	LIST_FOREACH (h, &region->ref->handles, of_ref) {
		if (h->vector_fd >= 0)
			return;
	}
	if (region->dev->ops->vector(region->dev, region->ref->token, true, &region->vector_fd) == 0)
		region->flags |= ISM_ALLOC_VECTOR;
}

int ismi_handle_new(struct ism_device *dev, struct ismi_memory *mem, uint32_t rights, uint32_t flags,
		    struct ismi_pooled *pooled, struct ism_region **ret)
{
	struct ism_region *region = calloc(1, sizeof *region);
	struct ismi_ref *ref = NULL;
	bool writable = rights & ISM_WRITE;
	int r = -ENOMEM;

	if (region == NULL || (dev->trace != NULL && ismi_trace_born(&region->life) < 0))
		ismi_fail(r, "out of memory");
	else if ((r = ref_get(dev, mem, &ref)) == 0)
		r = mapping_get(dev, ref, mem, writable, pooled != NULL ? pooled : ref->pooled, &region->addr);
	mem_close(mem);
	if (r < 0 || region == NULL)
		goto err;
	region->dev = dev;
	region->ref = ref;
	region->rights = rights | (mem->rights & (ISM_ATTACH | ISM_MANAGE));
	region->vector_fd = -1;
	if (pooled != NULL) {
		ref->pooled = pooled;
		region->flags |= ISM_ALLOC_POOLED;
	}
	if (flags & ISM_ALLOC_VECTOR)
		vector_get(region);
	pthread_mutex_lock(&dev->bell);
	LIST_INSERT_HEAD(&ref->handles, region, of_ref);
	ismi_attach_end(dev, ref);
	pthread_mutex_unlock(&dev->bell);
	*ret = region;
	return 0;

err:
	if (ref != NULL && ref->map[0].users + ref->map[1].users == 0)
		ismi_ref_del(dev, ref);
	if (ismi_ref_find(dev, mem->token) == NULL)
		dev->ops->detach(dev, mem->token);
	if (region != NULL)
		free(region->life);
	free(region);
	pthread_mutex_lock(&dev->bell);
	ismi_attach_end(dev, NULL);
	pthread_mutex_unlock(&dev->bell);
	return r;
}

/* ------------------------------------------------------------------ wishes */

static const char *huge_setting(char *buf, size_t size)
{
	int fd = ismi_sys_open("/sys/kernel/mm/transparent_hugepage/shmem_enabled", O_RDONLY, 0);
	ssize_t n = fd < 0 ? fd : ismi_sys_read(fd, buf, size - 1);

	ismi_sys_close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return buf;
}

/* Transparent huge pages for shared memory, if this machine gives them on request or always. */
static bool wish_huge(void *addr, size_t size)
{
	char buf[128];

	if (size < HUGE_PAGE || ismi_sys_madvise(addr, size, MADV_HUGEPAGE) < 0)
		return false;
	huge_setting(buf, sizeof buf);
	return strstr(buf, "[advise]") || strstr(buf, "[always]") || strstr(buf, "[within_size]") ||
	       strstr(buf, "[force]");
}

static int wish_prefault(void *addr, size_t size, bool writable)
{
	enum { POPULATE_READ = 22, POPULATE_WRITE = 23 };	/* madvise(2), Linux 5.14 */
	int r = ismi_sys_madvise(addr, size, writable ? POPULATE_WRITE : POPULATE_READ);

	if (r != -EINVAL)
		return r;
	/* An older kernel: touch them.  Reading brings the pages of a shared object in as well. */
	for (size_t i = 0; i < size; i += 4096)
		(void)*(const volatile unsigned char *)((const unsigned char *)addr + i);
	return 0;
}

/* In the order in which it matters to the pages. */
int ismi_handle_wishes(struct ism_region *region, uint32_t flags, int node)
{
	size_t size = (size_t)region->ref->mem.size;
	int r = 0;

	if ((flags & ISM_ALLOC_NODE) && ismi_sys_mbind(region->addr, size, node) == 0)
		region->flags |= ISM_ALLOC_NODE;
	else if ((flags & ISM_ALLOC_NODE) && (flags & ISM_ALLOC_REQUIRED))
		return ismi_fail(-EOPNOTSUPP, "memory of NUMA node %d cannot be had", node);
	if ((flags & ISM_ALLOC_HUGE) && ((flags & ISM_ALLOC_REQUIRED) || wish_huge(region->addr, size)))
		region->flags |= ISM_ALLOC_HUGE;	/* required: the object itself is of huge pages */
	if (flags & ISM_ALLOC_PREFAULT)
		r = wish_prefault(region->addr, size, region->rights & ISM_WRITE);
	if (r < 0 && (flags & ISM_ALLOC_REQUIRED))
		return ismi_fail(r == -EFAULT ? -ENOMEM : r, "the pages of a region of %zu bytes cannot all be had: %s", size,
				 strerror(-r));
	if (r == 0 && (flags & ISM_ALLOC_PREFAULT))
		region->flags |= ISM_ALLOC_PREFAULT;
	return 0;
}

/* ------------------------------------------------------------------ alloc */

int ismi_alloc_check(const struct ism_device *dev, size_t size, const struct ism_alloc_opts *o,
		     struct ismi_alloc *ret)
{
	bool huge = (o->flags & ISM_ALLOC_HUGE) && (o->flags & ISM_ALLOC_REQUIRED);
	uint64_t unit = huge ? HUGE_PAGE : dev->info.chunk_size;

	if ((o->flags & ~(uint32_t)ALLOC_FLAGS) != 0)
		return ismi_fail(-EINVAL, "ism_alloc_opts.flags 0x%x: unknown flag", o->flags);
	if ((o->flags & ISM_ALLOC_NODE) ? o->node < 0 : o->node != 0)
		return ismi_fail(-EINVAL, "ism_alloc_opts.node %d: expected a node with ISM_ALLOC_NODE, 0 without", o->node);
	if ((o->flags & ISM_ALLOC_POOLED) ? o->peer == 0 || o->peer == dev->info.devid : o->peer != 0)
		return ismi_fail(-EINVAL, "ism_alloc_opts.peer %llu: expected another device's id with ISM_ALLOC_POOLED, 0 without",
				 (unsigned long long)o->peer);
	if (size == 0)
		return ismi_fail(-EINVAL, "a region of 0 bytes: expected at least 1");
	*ret = (struct ismi_alloc){ .requested = size, .private = o->flags & (ISM_ALLOC_PRIVATE | ISM_ALLOC_POOLED),
				    .huge = huge, .peer = o->peer };
	if (!ismi_round_up(size, unit, &ret->size) || ret->size > dev->info.max_region)
		return ismi_fail(-E2BIG, "a region of %zu bytes: the window has %llu", size,
				 (unsigned long long)dev->info.max_region);
	return 0;
}

bool ismi_token_ours(struct ism_device *dev, uint64_t token)
{
	for (size_t i = 0; i < dev->nr_given; i++) {
		if (dev->given[i].token == token)
			return true;
	}
	return ismi_ref_find(dev, token) != NULL || ismi_pool_knows(dev, token);
}

/* Memory of the pool for up to @nr regions: those that are regions already come first, and are in @mem.  Their number. */
static size_t take_pooled(struct ism_device *dev, const struct ismi_alloc *want, size_t nr, struct ismi_memory *mem,
			  struct ismi_pooled **pooled)
{
	size_t ready = 0;

	for (size_t i = 0; i < nr; i++) {
		struct ismi_pooled *p = want->peer != 0 && dev->ops->pools ? ismi_pool_take(dev, want, nr == 1) : NULL;
		pooled[i] = p;
		if (p == NULL || !p->ready)
			continue;
		mem[ready] = p->mem;
		pooled[i] = pooled[ready];
		pooled[ready++] = p;
	}
	return ready;
}

static int ask_memory(struct ism_device *dev, const struct ismi_alloc *want, size_t nr, struct ismi_memory *mem)
{
	int r = dev->ops->alloc(dev, want, (uint32_t)nr, mem);

	if (r == -ENOSPC && ismi_pool_shrink(dev))
		r = dev->ops->alloc(dev, want, (uint32_t)nr, mem);
	return r;
}

/* Of the pool, and what there is not, from the device. */
static int alloc_memory(struct ism_device *dev, struct ismi_alloc *want, size_t nr, struct ismi_memory *mem,
			struct ismi_pooled **pooled)
{
	int r = 0;

	for (size_t i = 0; i < nr; i++)
		ismi_attach_begin(dev);
	size_t ready = take_pooled(dev, want, nr, mem, pooled);
	dev->given = mem;
	dev->nr_given = ready;
	want->reuse = pooled + ready;
	if (ready < nr)
		r = ask_memory(dev, want, nr - ready, mem + ready);
	dev->nr_given = r == 0 ? nr : 0;
	if (r == 0) {
		for (size_t i = 0; i < ready; i++)
			pooled[i]->ready = false;
		return 0;
	}
	pthread_mutex_lock(&dev->bell);
	for (size_t i = 0; i < nr; i++)
		ismi_attach_end(dev, NULL);
	pthread_mutex_unlock(&dev->bell);
	for (size_t i = 0; i < nr; i++) {
		if (pooled[i] != NULL)
			ismi_pool_give(dev, pooled[i]);
	}
	if (r == -ENOENT)
		ismi_pool_forget_peer(dev, want->peer);
	return r;
}

/* A handle for one region that the device gave: consumes mem's descriptor and what is pooled. */
static int alloc_handle(struct ism_device *dev, const struct ismi_alloc *want, const struct ism_alloc_opts *o,
			struct ismi_memory *mem, struct ismi_pooled *pooled, struct ism_region **ret)
{
	if (pooled == NULL && want->peer != 0 && dev->ops->pools)
		pooled = ismi_pool_new(dev, want, mem->fd);
	int r = ismi_handle_new(dev, mem, ISM_READ | ISM_WRITE, o->flags, pooled, ret);
	if (r < 0)
		ismi_pool_drop(dev, pooled);
	else if (want->private)
		(*ret)->flags |= ISM_ALLOC_PRIVATE;
	return r;
}

static int alloc_locked(struct ism_device *dev, struct ismi_alloc *want, const struct ism_alloc_opts *o, size_t nr,
			struct ism_region **ret)
{
	struct ismi_pooled *pooled[BATCH_MAX];
	struct ismi_memory mem[BATCH_MAX];
	size_t done = 0;
	int r = alloc_memory(dev, want, nr, mem, pooled);

	if (r < 0)
		return r;
	for (size_t i = 0; i < nr; i++) {	/* each of them, whatever became of the others: mem has to be closed */
		struct ism_region *region;
		int r1 = alloc_handle(dev, want, o, &mem[i], pooled[i], &region);
		if (r1 == 0) {
			ret[done++] = region;
			r1 = ismi_handle_wishes(region, o->flags, o->node);
		}
		if (r1 == 0 && want->peer != 0 && !dev->ops->pools)
			r1 = dev->ops->grant(dev, region->ref->token, want->peer, ISM_READ | ISM_WRITE | ISM_ATTACH);
		if (r1 < 0 && r == 0)
			r = r1;
	}
	dev->nr_given = 0;
	while (r < 0 && done > 0)
		ismi_handle_del(ret[--done]);
	return r;
}

int ism_alloc_regions(struct ism_device *dev, size_t size, const struct ism_alloc_opts *opts, size_t nr,
		      struct ism_region **ret)
{
	struct ism_region *made[BATCH_MAX];
	struct ism_alloc_opts o;
	struct ismi_alloc want;
	int r;

	if (ismi_unusual(dev))
		return ismi_watched_alloc(dev, size, opts, nr, ret);
	if (nr == 0 || nr > BATCH_MAX)
		return ismi_fail(-EINVAL, "%zu regions at once: expected 1 to %d", nr, BATCH_MAX);
	r = ismi_opts_copy(&o, sizeof o, ISMI_UP_TO(struct ism_alloc_opts, node), opts, "ism_alloc_opts");
	if (r == 0)
		r = ismi_alloc_check(dev, size, &o, &want);
	if (r < 0)
		return r;
	ismi_housekeep(dev);
	pthread_mutex_lock(&dev->lock);
	r = alloc_locked(dev, &want, &o, nr, made);
	pthread_mutex_unlock(&dev->lock);
	if (r == 0)
		memcpy(ret, made, nr * sizeof made[0]);
	return r;
}

int ism_alloc_region(struct ism_device *dev, size_t size, const struct ism_alloc_opts *opts, struct ism_region **ret)
{
	return ism_alloc_regions(dev, size, opts, 1, ret);
}

/* ------------------------------------------------------------------ attach */

int ismi_attach_check(uint32_t rights, const struct ism_attach_opts *opts, uint32_t *ret_flags)
{
	struct ism_attach_opts o;
	int r = ismi_opts_copy(&o, sizeof o, ISMI_UP_TO(struct ism_attach_opts, reserved), opts, "ism_attach_opts");

	if (r < 0)
		return r;
	if ((o.flags & ~(uint32_t)ATTACH_FLAGS) != 0 || o.reserved != 0)
		return ismi_fail(-EINVAL, "ism_attach_opts.flags 0x%x, reserved 0x%x: unknown flag", o.flags, o.reserved);
	if (rights != ISM_READ && rights != (ISM_READ | ISM_WRITE))
		return ismi_fail(-EINVAL, "rights 0x%x: expected ISM_READ, or ISM_READ | ISM_WRITE", rights);
	*ret_flags = o.flags;
	return 0;
}

int ismi_attach_locked(struct ism_device *dev, uint64_t token, uint32_t rights, uint32_t flags,
		       struct ism_region **ret)
{
	struct ismi_memory mem;

	ismi_attach_begin(dev);
	int r = dev->ops->attach(dev, token, rights, &mem);
	if (r == -ENOSPC && ismi_pool_shrink(dev))
		r = dev->ops->attach(dev, token, rights, &mem);
	if (r < 0) {
		pthread_mutex_lock(&dev->bell);
		ismi_attach_end(dev, NULL);
		pthread_mutex_unlock(&dev->bell);
		return r;
	}
	r = ismi_handle_new(dev, &mem, rights, flags, NULL, ret);
	if (r == 0)
		ismi_handle_wishes(*ret, flags & ISM_ATTACH_PREFAULT, 0);
	return r;
}

int ism_attach_region(struct ism_device *dev, uint64_t token, uint32_t rights, const struct ism_attach_opts *opts,
		      struct ism_region **ret)
{
	struct ism_region *region;
	uint32_t flags;
	int r;

	if (ismi_unusual(dev))
		return ismi_watched_attach(dev, token, rights, opts, ret);
	r = ismi_attach_check(rights, opts, &flags);
	if (r < 0)
		return r;
	if (token == 0)
		return ismi_fail(-EINVAL, "token 0: expected one that ism_region_token() gave");
	ismi_housekeep(dev);
	pthread_mutex_lock(&dev->lock);
	r = ismi_attach_locked(dev, token, rights, flags, &region);
	pthread_mutex_unlock(&dev->lock);
	if (r == 0)
		*ret = region;
	return r;
}

/* ------------------------------------------------------------------ looking at a handle */

void *ism_region_addr(const struct ism_region *region)
{
	return ismi_gone(region, "ism_region_addr") ? NULL : region->addr;
}

size_t ism_region_size(const struct ism_region *region)
{
	return ismi_gone(region, "ism_region_size") ? 0 : (size_t)region->ref->mem.size;
}

size_t ism_region_requested_size(const struct ism_region *region)
{
	return ismi_gone(region, "ism_region_requested_size") ? 0 : (size_t)region->ref->mem.requested;
}

uint64_t ism_region_token(const struct ism_region *region)
{
	return ismi_gone(region, "ism_region_token") ? 0 : region->ref->token;
}

uint32_t ism_region_rights(const struct ism_region *region)
{
	return ismi_gone(region, "ism_region_rights") ? 0 : region->rights;
}

uint32_t ism_region_flags(const struct ism_region *region)
{
	return ismi_gone(region, "ism_region_flags") ? 0 : region->flags;
}

struct ism_device *ism_region_device(const struct ism_region *region)
{
	return ismi_gone(region, "ism_region_device") ? NULL : region->dev;
}

void ism_region_set_data(struct ism_region *region, void *data)
{
	if (!ismi_gone(region, "ism_region_set_data"))
		region->data = data;
}

void *ism_region_data(const struct ism_region *region)
{
	return ismi_gone(region, "ism_region_data") ? NULL : region->data;
}

int ism_region_peers(struct ism_region *region, uint64_t *ret_devids, size_t nr)
{
	struct ism_device *dev = region->dev;

	if (ismi_unusual(dev))
		return ismi_watched_peers(region, ret_devids, nr);
	pthread_mutex_lock(&dev->lock);
	int r = dev->ops->peers(dev, region->ref->token, ret_devids, nr);
	pthread_mutex_unlock(&dev->lock);
	return r;
}

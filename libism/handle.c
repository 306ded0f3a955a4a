/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * handle.c - handles of regions, and what is behind them.
 *
 * A device refers to a region once, however many handles there are; handles
 * with the same rights share a mapping.  The first mapping is at the region's
 * place in the window, one with other rights anywhere.
 */
#include "watch.h"

#include "backends/trace/trace.h"
#include "base/spec.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

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

bool ismi_token_ours(struct ism_device *dev, uint64_t token)
{
	for (size_t i = 0; i < dev->nr_given; i++) {
		if (dev->given[i].token == token)
			return true;
	}
	return ismi_ref_find(dev, token) != NULL || ismi_pool_knows(dev, token);
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

	if (size < ISMI_HUGE_PAGE || ismi_sys_madvise(addr, size, MADV_HUGEPAGE) < 0)
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

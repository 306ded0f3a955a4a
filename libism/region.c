/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * region.c - attaching a region, and looking at one.
 */
#include "watch.h"

#include "base/spec.h"

#include <errno.h>

enum { ATTACH_FLAGS = ISM_ATTACH_PREFAULT | ISM_ATTACH_VECTOR };

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

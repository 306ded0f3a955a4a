/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * perm.c - granting rights.  The device decides; this checks the arguments.
 */
#include "watch.h"

#include <errno.h>

enum { PLAIN = ISM_READ | ISM_WRITE | ISM_ATTACH | ISM_MANAGE };

static int grant(struct ism_region *region, uint64_t devid, uint32_t rights, uint32_t allowed)
{
	struct ism_device *dev = region->dev;

	if ((rights & ~allowed) != 0)
		return ismi_fail(-EINVAL, "rights 0x%x: expected a combination of 0x%x", rights, allowed);
	if ((rights & ISM_WRITE) && !(rights & ISM_READ))
		return ismi_fail(-EINVAL, "the right to write needs the right to read");
	pthread_mutex_lock(&dev->lock);
	if (region->ref->pooled != NULL)	/* its memory is for one peer, with the rights it began with */
		region->ref->pooled->spoilt = true;
	int r = dev->ops->grant(dev, region->ref->token, devid, rights);
	if (r == -ENOSPC && ismi_pool_shrink(dev))
		r = dev->ops->grant(dev, region->ref->token, devid, rights);
	pthread_mutex_unlock(&dev->lock);
	return r;
}

int ism_region_grant(struct ism_region *region, uint64_t devid, uint32_t rights)
{
	if (ismi_unusual(region->dev))
		return ismi_watched_grant(region, devid, rights);
	if (devid == 0)
		return ismi_fail(-EINVAL, "device 0: expected a device id; ism_region_grant_default() sets the default");
	return grant(region, devid, rights, PLAIN | ISM_CLEAN_DEFAULT);
}

int ism_region_grant_default(struct ism_region *region, uint32_t rights)
{
	if (ismi_unusual(region->dev))
		return ismi_watched_grant_default(region, rights);
	return grant(region, 0, rights, PLAIN);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * attach-many.c - attaching regions in one command, or one by one where there is none.
 */
#include "watch.h"

#include <errno.h>
#include <string.h>

/* The device thinks that we have kept its mapping: if not, we need the memory itself. */
static int have_memory(struct ism_device *dev, struct ismi_memory *mem, uint32_t rights)
{
	struct ismi_memory again;

	if (!mem->have || ismi_kept_has(dev, mem, rights & ISM_WRITE))
		return 0;
	int r = dev->ops->attach(dev, mem->token, rights, &again);
	if (r == 0) {
		mem->fd = again.fd;
		mem->have = false;
	}
	return r;
}

static int attach_handle(struct ism_device *dev, struct ismi_memory *mem, uint32_t rights, uint32_t flags,
			 struct ism_region **ret)
{
	int r = have_memory(dev, mem, rights);

	if (r < 0) {
		if (ismi_ref_find(dev, mem->token) == NULL)
			dev->ops->detach(dev, mem->token);
		return r;
	}
	ismi_attach_begin(dev);
	return ismi_handle_new(dev, mem, rights, flags, NULL, ret);
}

/* All or none, in one command; tokens, handles and memory are @nr's. */
static int attach_batch(struct ism_device *dev, const uint64_t *tokens, size_t nr, uint32_t rights, uint32_t flags,
			struct ism_region **ret)
{
	struct ismi_memory mem[ISMI_BATCH_MAX];
	size_t done = 0;
	int r = dev->ops->attach_many(dev, tokens, (uint32_t)nr, rights, mem);

	if (r == -ENOSPC && ismi_pool_shrink(dev))
		r = dev->ops->attach_many(dev, tokens, (uint32_t)nr, rights, mem);
	if (r < 0)
		return r;
	dev->given = mem;
	dev->nr_given = nr;
	for (size_t i = 0; i < nr; i++) {	/* each of them, whatever became of the others: mem has to be closed */
		int r1 = attach_handle(dev, &mem[i], rights, flags, &ret[done]);
		if (r1 == 0)
			ismi_handle_wishes(ret[done++], flags & ISM_ATTACH_PREFAULT, 0);
		else if (r == 0)
			r = r1;
	}
	dev->nr_given = 0;
	if (r < 0)
		ismi_handles_del(dev, ret, done);
	return r;
}

static int attach_each(struct ism_device *dev, const uint64_t *tokens, size_t nr, uint32_t rights, uint32_t flags,
		       struct ism_region **ret)
{
	for (size_t i = 0; i < nr; i++) {
		int r = ismi_attach_locked(dev, tokens[i], rights, flags, &ret[i]);
		if (r < 0) {
			ismi_handles_del(dev, ret, i);
			return r;
		}
	}
	return 0;
}

static int attach_many(struct ism_device *dev, const uint64_t *tokens, size_t nr, uint32_t rights, uint32_t flags,
		       struct ism_region **ret)
{
	int r = -EOPNOTSUPP;

	if (nr > 1 && dev->ops->attach_many != NULL) {
		ismi_attach_begin(dev);		/* from before the device knows of it */
		r = attach_batch(dev, tokens, nr, rights, flags, ret);
		pthread_mutex_lock(&dev->bell);
		ismi_attach_end(dev, NULL);
		pthread_mutex_unlock(&dev->bell);
	}
	return r == -EOPNOTSUPP ? attach_each(dev, tokens, nr, rights, flags, ret) : r;
}

/* Whoever watches sees each of them. */
static int watched_each(struct ism_device *dev, const uint64_t *tokens, uint32_t rights, const struct ism_attach_opts *opts,
			size_t nr, struct ism_region **ret)
{
	for (size_t i = 0; i < nr; i++) {
		int r = ismi_watched_attach(dev, tokens[i], rights, opts, &ret[i]);
		if (r < 0) {
			ism_detach_regions(ret, i);
			return r;
		}
	}
	return 0;
}

static int usual_attach(struct ism_device *dev, const uint64_t *tokens, uint32_t rights, const struct ism_attach_opts *opts,
			size_t nr, struct ism_region **ret)
{
	uint32_t flags;
	int r = ismi_attach_check(rights, opts, &flags);

	if (r < 0)
		return r;
	ismi_housekeep(dev);
	pthread_mutex_lock(&dev->lock);
	r = attach_many(dev, tokens, nr, rights, flags, ret);
	pthread_mutex_unlock(&dev->lock);
	return r;
}

int ism_attach_regions(struct ism_device *dev, const uint64_t *tokens, uint32_t rights,
		       const struct ism_attach_opts *opts, size_t nr, struct ism_region **ret)
{
	struct ism_region *made[ISMI_BATCH_MAX];	/* outputs are untouched on failure */
	int r;

	if (nr == 0 || nr > ISMI_BATCH_MAX)
		return ismi_fail(-EINVAL, "%zu regions at once: expected 1 to %d", nr, ISMI_BATCH_MAX);
	for (size_t i = 0; i < nr; i++) {
		if (tokens[i] == 0)
			return ismi_fail(-EINVAL, "token %zu of %zu is 0: expected one that ism_region_token() gave", i + 1, nr);
	}
	r = ismi_unusual(dev) ? watched_each(dev, tokens, rights, opts, nr, made)
			      : usual_attach(dev, tokens, rights, opts, nr, made);
	if (r == 0)
		memcpy(ret, made, nr * sizeof made[0]);
	return r;
}

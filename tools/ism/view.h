/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * view.h - a domain as one device sees it at one time: whole listings in memory.
 */
#ifndef TOOL_VIEW_H
#define TOOL_VIEW_H

#include "tool.h"

struct view {
	struct ism_device_entry *device;	/* in order of devid */
	size_t nr_devices;
	struct ism_region_entry *region;	/* in order of serial */
	size_t nr_regions;
};

extern bool view_expects_end;

/* 0, or a negative errno and a message; none if the host or the region is gone and view_expects_end. */
int view_load(struct ism_device *dev, struct view *ret);
void view_free(struct view *v);
const struct ism_device_entry *view_device(const struct view *v, uint64_t devid);
const struct ism_region_entry *view_region(const struct view *v, uint64_t token);

/* The referrers of a region, or the users, for free(): their number, or a negative errno and a message. */
int view_referrers(struct ism_device *dev, uint64_t token, struct ism_referrer_entry **ret);
int view_users(struct ism_device *dev, struct ism_user_entry **ret);

/* "ismd (pid 12)" and the like, good until the next call. */
const char *view_host(const struct ism_info *info);
/* A user's name, or its number; good until the next call. */
const char *view_user(uint32_t uid);

#endif /* TOOL_VIEW_H */

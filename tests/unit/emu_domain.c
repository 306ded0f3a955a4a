/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * emu_domain.c - a private domain.
 */
#include "emu_domain.h"

struct ism_emu *start(bool loop, const char *faults)
{
	struct ism_emu_opts opts = { .size = sizeof opts, .flags = loop ? ISM_EMU_LOOP : 0, .faults = faults };
	struct ism_emu *emu;

	ok(ism_emu_start(&opts, &emu));
	return emu;
}

struct ism_device *device(const struct ism_emu *emu)
{
	struct ism_device *dev;

	ok(ism_open(ism_emu_uri(emu), NULL, &dev));
	return dev;
}

struct ism_region *alloc(struct ism_device *dev)
{
	struct ism_region *region;

	ok(ism_alloc_region(dev, 4096, NULL, &region));
	return region;
}

struct ism_region *attach(struct ism_device *dev, const struct ism_region *other)
{
	struct ism_region *region;

	ok(ism_attach_region(dev, ism_region_token(other), ISM_READ | ISM_WRITE, NULL, &region));
	return region;
}

uint64_t devid(struct ism_device *dev)
{
	struct ism_info info = { .size = sizeof info };

	ok(ism_query(dev, &info));
	return info.devid;
}

uint32_t event(struct ism_device *dev, double seconds)
{
	struct ism_event ev;

	return ok(ism_wait(dev, &ev, 1, sizeof ev, SECONDS(seconds))) > 0 ? ev.type : 0;
}

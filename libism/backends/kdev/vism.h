/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vism.h - the char device of virtio-ism's proof of concept, as its patches of
 * December 2022 have it: /dev/virtio-ism/vismN, one open file for each region.
 */
#ifndef ISMI_VISM_H
#define ISMI_VISM_H

#include "backend.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

struct vism_region_arg {
	uint64_t size;
	uint64_t token;
};

struct vism_stat {
	uint64_t total_size, region_size, region_active, region_free;
	uint64_t alloc, attach, detach, kick, cmd_err, cmd_success, irq_inuse;
};

#define VISM_MAGIC 0xDF
#define VISM_ALLOC  _IOWR(VISM_MAGIC, 10, struct vism_region_arg)
#define VISM_ATTACH _IOR(VISM_MAGIC, 11, struct vism_region_arg)
#define VISM_DETACH _IO(VISM_MAGIC, 12)
#define VISM_KICK   _IO(VISM_MAGIC, 20)
#define VISM_STAT   _IOW(VISM_MAGIC, 30, struct vism_stat)

/* By its name: the node may not be there. */
bool vism_is_path(const char *path);
extern const struct ismi_backend ismi_backend_vism;

#endif /* ISMI_VISM_H */

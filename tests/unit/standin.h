/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * standin.h - /dev/virtio-ism/vism0 without a kernel: open(), ioctl() and mmap() of
 * this program know it, and the library calls these.
 */
#ifndef TESTS_STANDIN_H
#define TESTS_STANDIN_H

#include <stdbool.h>
#include <stdint.h>

#define STANDIN_PATH "/dev/virtio-ism/vism0"

/* What it does wrong. */
extern struct standin_faults {
	bool no_stat;		/* it is another kind of device */
	bool truncates;		/* regions are smaller than was asked for */
	bool no_size;		/* an attach tells no size */
	bool no_token;		/* an allocation tells no token */
} standin_faults;

/* Regions, and open files that refer to one. */
unsigned int standin_regions(void), standin_files(void);

#endif /* TESTS_STANDIN_H */

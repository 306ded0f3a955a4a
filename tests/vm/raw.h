/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * raw.h - a virtio-ism device driven from a process of a virtual machine, without
 * a kernel's driver in between: the registers are mapped from sysfs, and the
 * virtqueues are whatever the caller makes of them.
 */
#ifndef ISM_TESTS_RAW_H
#define ISM_TESTS_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RAW_CONTROL, RAW_EVENTS, RAW_NOTIFY, RAW_QUEUES };
enum { RAW_SIZE = 64, RAW_PAGE = 4096, RAW_CHUNK = 65536 };
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };
enum { F_EXT = 1 << 1 };

/* Offsets in the common configuration: the virtio specification, section 4.1.4.3. */
enum {
	COMMON_FEATURE_SELECT = 8,
	COMMON_FEATURE = 12,
	COMMON_MSIX = 16,
	COMMON_STATUS = 20,
	COMMON_SELECT = 22,
	COMMON_SIZE = 24,
	COMMON_VECTOR = 26,
	COMMON_ENABLE = 28,
	COMMON_NOTIFY_OFF = 30,
	COMMON_DESC = 32,
	COMMON_AVAIL = 40,
	COMMON_USED = 48,
};

/* A page and where the device finds it. */
struct raw_page {
	uint8_t *at;
	uint64_t gpa;
};

struct raw_queue {
	struct raw_page desc, avail, used;
	uint16_t next_avail, last_used;
	uint32_t notify_off;
};

struct raw {
	volatile uint8_t *common, *notify, *config;
	volatile uint8_t *window;
	uint64_t window_gpa, window_size;
	uint32_t notify_step;
	struct raw_queue q[RAW_QUEUES];
	struct raw_page request, reply, spare;
};

struct raw_buf {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
};

/* False, with a reason printed. */
bool raw_open(struct raw *r);
/* Reset, take @features beside VERSION_1, queues as they should be, DRIVER_OK. */
void raw_start(struct raw *r, uint32_t features);
void raw_reset(struct raw *r);

/* Registers. */
void raw_put16(struct raw *r, unsigned int offset, uint16_t v);
uint16_t raw_get16(struct raw *r, unsigned int offset);
void raw_put32(struct raw *r, unsigned int offset, uint32_t v);
void raw_put64(struct raw *r, unsigned int offset, uint64_t v);
void raw_status(struct raw *r, uint8_t v);

/* A chain from the first descriptor on, made available; then tell the device. */
void raw_offer(struct raw *r, unsigned int queue, const struct raw_buf *buf, unsigned int nr);
void raw_kick(struct raw *r, unsigned int queue);
/* Wait for one chain to be used: the bytes written into it, or -1 after @ms. */
long raw_used(struct raw *r, unsigned int queue, int ms);

/* A command and room of @cap bytes for its reply, in r->reply; the bytes used of it, or -1. */
long raw_command(struct raw *r, const void *req, size_t len, size_t cap);

/* In front of what follows: a little-endian number. */
uint8_t *raw_le(uint8_t *p, uint64_t v, unsigned int bytes);
uint64_t raw_number(const uint8_t *p, unsigned int bytes);

#endif /* ISM_TESTS_RAW_H */

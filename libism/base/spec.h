/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * spec.h - the numbers of virtio-ism: what goes over the control queue and the
 * event queue of a device, real or emulated.  doc/protocol.md has the layouts.
 *
 * Classes 0 to 4 are the proposal's ("virtio-ism: internal shared memory
 * device", virtio-dev, October 2022).  Class 0x80 is ours, behind feature bit 1.
 */
#ifndef ISMI_SPEC_H
#define ISMI_SPEC_H

#include <stdint.h>

enum { ISMI_VIRTIO_ID = 44 };

/* Feature bits. */
enum { ISMI_F_EVENT_IRQ = 0, ISMI_F_EXT = 1 };

/* u8 class, u8 command */
enum ismi_cmd {
	ISMI_CMD_ALLOC = 0x0000,
	ISMI_CMD_ATTACH = 0x0100,
	ISMI_CMD_DETACH = 0x0200,
	ISMI_CMD_GRANT_DEFAULT = 0x0300,
	ISMI_CMD_GRANT_DEVICE = 0x0301,
	ISMI_CMD_EVENT_VECTOR = 0x0400,
	ISMI_CMD_ALLOC_EX = 0x8000,
	ISMI_CMD_ATTACH_EX = 0x8001,
	ISMI_CMD_REPLACE = 0x8002,
	ISMI_CMD_QUERY = 0x8003,
	ISMI_CMD_LIST = 0x8004,
	ISMI_CMD_LINK = 0x8005,
	ISMI_CMD_RENDEZVOUS = 0x8006,
	ISMI_CMD_KICK = 0x8007,
	ISMI_CMD_SUCCESSOR = 0x8008,
	ISMI_CMD_SHUT_OUT = 0x8009,
	ISMI_CMD_ATTACH_BATCH = 0x800a,
	ISMI_CMD_DETACH_BATCH = 0x800b,
};

enum ismi_status {
	ISMI_OK = 0,
	ISMI_ENOENT = 2,
	ISMI_ENXIO = 6,			/* SHUT_OUT */
	ISMI_E2BIG = 7,
	ISMI_ENOMEM = 12,
	ISMI_ENODEV = 19,		/* SHUT_OUT */
	ISMI_EINVAL = 22,		/* SHUT_OUT */
	ISMI_ENOSPC = 28,
	ISMI_PERM_ATTACH = 100,
	ISMI_PERM_READ = 101,
	ISMI_PERM_WRITE = 102,
	ISMI_EALREADY = 114,		/* SHUT_OUT */
	ISMI_ERR = 255,
};

/* Sizes in bytes of requests (with class and command) and of replies (with the status). */
enum {
	ISMI_REQ_HEAD = 2,
	ISMI_AREA_SIZE = 16,
	ISMI_EVENT_SIZE = 40,		/* the proposal's 32, and our token */
	ISMI_ALLOC_REQ = 2 + 8,
	ISMI_ALLOC_EX_REQ = 2 + 24,
	ISMI_ALLOC_EX_PEER_REQ = 2 + 32,
	ISMI_ALLOC_EX_AREA = 40,
	ISMI_ATTACH_EX_REQ = 2 + 16,
	ISMI_ATTACH_EX_REPLY = 1 + 56,
	ISMI_ATTACH_BATCH_AREA = 56 + 16,	/* what ATTACH_EX answers, and: */
	ISMI_BATCH_KEEP = 56,		/* le64 the memory's id, le32 flags, le32 0 */
	ISMI_BATCH_REQ = 2 + 16,	/* and a token for each region */
	ISMI_DETACH_BATCH_AREA = 16,
	ISMI_REPLACE_REQ = 2 + 16,
	ISMI_SUCCESSOR_REPLY = 1 + 16,
	ISMI_SHUT_OUT_REQ = 2 + 16,	/* and 8 for each device */
	ISMI_SHUT_OUT_REPLY = 1 + 48,
	ISMI_LIST_REQ = 2 + 16,
	ISMI_LIST_ENTRY = 16,
	ISMI_LINK_REQ = 2 + 8,
	ISMI_LINK_REPLY = 1 + 16,
	ISMI_QUERY_REQ = 2 + 24,
	ISMI_QUERY_HEAD = 16,		/* behind the status: number and size of the records, cursor */
};

/* Most regions in one ALLOC_EX, ATTACH_BATCH or DETACH_BATCH. */
enum { ISMI_BATCH_MAX = 64 };

/* Most devices in one SHUT_OUT. */
enum { ISMI_SHUT_OUT_MAX = 64 };

/* ALLOC_EX flags: what the device keeps of ISM_ALLOC_*. */
enum { ISMI_ALLOC_F_PRIVATE = 1 << 0 };

/* The same, of the host's own making: allocated for a peer. */
enum { ISMI_REGION_F_POOLED = 1 << 8 };

/* ATTACH_BATCH: the device keeps its mappings of pooled regions.  In the answer: it has this one, and no descriptor comes. */
enum { ISMI_BATCH_F_KEEP = 1 << 0, ISMI_BATCH_F_HAVE = 1 << 0 };

/* QUERY: what is asked for. */
enum ismi_query {
	ISMI_QUERY_DOMAIN = 0,
	ISMI_QUERY_DEVICES = 1,
	ISMI_QUERY_REGIONS = 2,
	ISMI_QUERY_REFERRERS = 3,
	ISMI_QUERY_OWN = 4,		/* what the asker itself refers to */
	ISMI_QUERY_HOST = 5,
	ISMI_QUERY_USERS = 6,
};

/* A slot that has no direct doorbell: ring through the host. */
#define ISMI_SLOT_NONE UINT32_MAX

/* The chunk of the emulated device, and the largest number of regions it lets a device attach. */
enum { ISMI_CHUNK = 64 * 1024, ISMI_SLOTS = 32768 };

/* The largest window that a host keeps account of. */
#define ISMI_WINDOW_MAX (UINT64_C(1) << 40)

#endif /* ISMI_SPEC_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vhost-proto.h - the numbers and layouts of the vhost-user protocol that we
 * speak (QEMU's docs/interop/vhost-user.rst).  Integers are in the machine's order,
 * which is little-endian wherever this is built.
 */
#ifndef VHOST_PROTO_H
#define VHOST_PROTO_H

#include <stdint.h>

/* le32 request, le32 flags, le32 size, payload */
enum { VU_HEADER = 12, VU_PAYLOAD_MAX = 4096, VU_FDS_MAX = 8 };

enum { VU_VERSION = 1, VU_VERSION_MASK = 3, VU_REPLY = 1 << 2, VU_NEED_REPLY = 1 << 3 };

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_RESET_DEVICE = 34,
	VU_GET_SHMEM_CONFIG = 44,
	VU_REQUESTS
};

/* From us to the machine. */
enum { VU_BACK_CONFIG_CHANGE = 2, VU_BACK_SHMEM_MAP = 9, VU_BACK_SHMEM_UNMAP = 10 };

enum {
	VU_F_PROTOCOL_FEATURES = 30,	/* a bit of the device's features */
	VU_PF_MQ = 0,
	VU_PF_REPLY_ACK = 3,
	VU_PF_BACKEND_REQ = 5,
	VU_PF_CONFIG = 9,
	VU_PF_BACKEND_SEND_FD = 10,
	VU_PF_RESET_DEVICE = 13,
	VU_PF_SHMEM = 22,
};

/* SET_MEM_TABLE: le32 nr, le32 0, nr x {le64 guest address, size, user address, offset in its descriptor}. */
enum { VU_MEM_HEAD = 8, VU_MEM_REGION = 32 };
/* SET_VRING_ADDR: le32 queue, le32 flags, le64 descriptors, used, available, log */
enum { VU_VRING_ADDR = 40 };
/* SET_VRING_KICK, CALL, ERR: le64: the queue, and whether there is no descriptor */
enum { VU_VRING_NO_FD = 1 << 8 };
/* GET_CONFIG: le32 offset, le32 size, le32 flags, bytes */
enum { VU_CONFIG_HEAD = 12, VU_CONFIG_MAX = 256 };
/* GET_SHMEM_CONFIG: le32 nr, le32 0, 256 x le64 size */
enum { VU_SHMEM_CONFIG = 8 + 256 * 8, VU_SHMEM_WINDOW = 1 };
/* SHMEM_MAP, UNMAP: u8 id, u8 0[7], le64 offset in the descriptor, le64 offset in the window, le64 size, le64 flags */
enum { VU_SHMEM_MSG = 40, VU_SHMEM_RW = 1 };

#endif /* VHOST_PROTO_H */

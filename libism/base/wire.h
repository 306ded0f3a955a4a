/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * wire.h - messages between an emulated device and its host.
 *
 * AF_UNIX, SOCK_SEQPACKET; one connection is one device.  A message is a
 * 24-byte header and a body; integers are little-endian.  doc/protocol.md is the
 * specification.
 *
 *   device -> host   HELLO     once, first: versions, window, name
 *   host -> device   HELLO     who the device is; three descriptors
 *   device -> host   COMMAND   class, command, request (spec.h); memory objects
 *   host -> device   COMMAND   status, reply; the memory or the link asked for
 *   device -> host   RESUME    instead of HELLO: a device that a former host knew
 *   host -> device   RESUME    as HELLO
 *   device -> host   RING      look at the doorbells in our line; no answer
 */
#ifndef ISMI_WIRE_H
#define ISMI_WIRE_H

#include "base/bytes.h"

#include <stdbool.h>
#include <sys/types.h>

enum {
	ISMI_WIRE_MAGIC = 0x314d5349,	/* "ISM1" */
	ISMI_WIRE_VERSION = 1,
	ISMI_WIRE_HEADER = 24,
	ISMI_WIRE_MAX = 16384,		/* largest message, header included */
	ISMI_WIRE_FDS = 128,		/* most descriptors in one message: two for each region of a batch */
	ISMI_WIRE_FDS_ROOM = 256,	/* more than the kernel lets through (253) */
};

enum ismi_wire_type { ISMI_WIRE_HELLO = 1, ISMI_WIRE_COMMAND = 2, ISMI_WIRE_RING = 3, ISMI_WIRE_RESUME = 4 };

struct ismi_wire_header {
	uint32_t magic;		/* at 0 */
	uint16_t version;	/* at 4 */
	uint16_t type;		/* at 6 */
	uint32_t length;	/* at 8: of the body */
	uint32_t sequence;	/* at 12: an answer has its request's */
	uint16_t fds;		/* at 16: descriptors with the message */
	uint16_t zero0;		/* at 18 */
	uint32_t zero1;		/* at 20 */
};

static inline void ismi_wire_put(uint8_t *buf, uint16_t type, uint32_t length, uint32_t sequence, uint16_t fds)
{
	ismi_put32(buf, ISMI_WIRE_MAGIC);
	ismi_put16(buf + 4, ISMI_WIRE_VERSION);
	ismi_put16(buf + 6, type);
	ismi_put32(buf + 8, length);
	ismi_put32(buf + 12, sequence);
	ismi_put16(buf + 16, fds);
	ismi_put16(buf + 18, 0);
	ismi_put32(buf + 20, 0);
}

/* Read and check the header of a message of @len bytes and @nr_fds descriptors; NULL or what is wrong. */
static inline const char *ismi_wire_get(const uint8_t *buf, size_t len, size_t nr_fds, struct ismi_wire_header *ret)
{
	if (len < ISMI_WIRE_HEADER)
		return "shorter than a header";
	*ret = (struct ismi_wire_header){
		.magic = ismi_get32(buf),
		.version = ismi_get16(buf + 4),
		.type = ismi_get16(buf + 6),
		.length = ismi_get32(buf + 8),
		.sequence = ismi_get32(buf + 12),
		.fds = ismi_get16(buf + 16),
		.zero0 = ismi_get16(buf + 18),
		.zero1 = ismi_get32(buf + 20),
	};
	if (ret->magic != ISMI_WIRE_MAGIC)
		return "wrong magic";
	if (ret->version != ISMI_WIRE_VERSION)
		return "unknown version";
	if (ret->length != len - ISMI_WIRE_HEADER)
		return "wrong length";
	if (ret->fds != nr_fds)
		return "wrong number of descriptors";
	if (ret->zero0 != 0 || ret->zero1 != 0)
		return "reserved field not zero";
	return NULL;
}

/*
 * HELLO, device to host: le16 lowest, le16 highest version, le32 features,
 * le64 window size, le32 flags (0), le32 0, u8 name[32].
 */
enum { ISMI_HELLO_REQ = 56 };

/* A feature that is the connection's and not the device's: tell me how to come back after a restart. */
#define ISMI_HELLO_F_RESUME (UINT32_C(1) << 30)

/* RESUME, device to host: le16 lowest, le16 highest version, le32 0, le64 devid, u8 secret[16]. */
enum { ISMI_RESUME_REQ = 32 };

/*
 * HELLO, host to device: u8 status, u8 0, le16 version, le32 features, le64 gid,
 * devid, chunk, notify size, window size, largest region, le32 regions at most,
 * le32 kind of host, le32 flags, le32 0, u8 secret[16] (with KEPT).
 */
enum { ISMI_HELLO_REPLY = 88 };

/* Flags of that reply. */
enum {
	ISMI_HELLO_WANT_RO = 1 << 0,	/* ALLOC brings a read-only descriptor beside each read-write one */
	ISMI_HELLO_KEPT = 1 << 1,	/* the device can come back: there is a secret, and a fourth descriptor */
};

/* Descriptors with that reply.  LIFE: a pipe that ends when the device cannot come back any more. */
enum { ISMI_HELLO_STATE, ISMI_HELLO_LINE, ISMI_HELLO_WAKE, ISMI_HELLO_FDS, ISMI_HELLO_LIFE = ISMI_HELLO_FDS };

/* Send one message; does not block.  0, -EAGAIN, -EPIPE, -ETOOMANYREFS, ... */
int ismi_wire_send(int fd, const uint8_t *message, size_t len, const int *fds, size_t nr_fds);

/*
 * Receive one message; does not block.  Its length, 0 when the other end is
 * gone or sent an empty one, -EAGAIN, -EPROTO (too long, or too many descriptors),
 * or -EMFILE: @message has a header, but this process could not take all descriptors.
 * Unless it is a length, no descriptor is left open.
 * The descriptors are the caller's.
 */
ssize_t ismi_wire_recv(int fd, uint8_t *message, size_t size, int fds[ISMI_WIRE_FDS], size_t *ret_nr_fds);
/* The same, and it stays to be received: descriptors are the caller's copies. */
ssize_t ismi_wire_peek(int fd, uint8_t *message, size_t size, int fds[ISMI_WIRE_FDS], size_t *ret_nr_fds);
/* The bytes alone: descriptors that come with what is received (not peeked) are dropped. */
ssize_t ismi_wire_bytes(int fd, uint8_t *message, size_t size, bool peek);

/*
 * The same for what others may send: whatever it returns, the descriptors are
 * the caller's, who knows how to close them, and none has been closed.  (The
 * kernel closes those that there is no room for, at once.)
 */
ssize_t ismi_wire_take(int fd, uint8_t *message, size_t size, int fds[ISMI_WIRE_FDS_ROOM], size_t *ret_nr_fds);

void ismi_wire_close(int *fds, size_t nr_fds);

#endif /* ISMI_WIRE_H */

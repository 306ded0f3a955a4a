/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ism.h - the interface of /dev/ism: see ism(4).
 *
 * An open file is a context.  Its regions are named by their tokens; ALLOC and
 * ATTACH return an offset to mmap() the same file at.  read() gives whole records of
 * struct ism_ioc_event; poll() says when.  Reserved fields must be zero.
 *
 * Programs of any licence may include this file.
 */
#ifndef ISM_IOC_H
#define ISM_IOC_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define ISM_IOC_VERSION 1
#define ISM_IOC_MAGIC	0xDE

struct ism_ioc_query {
	__u32 version;		/* ISM_IOC_VERSION of the driver */
	__u32 reserved0;
	__u64 gid, devid;
	__u64 chunk_size;
	__u64 window_size;
	__u64 reserved[4];
};

/* Rights: READ 1, WRITE 2, ATTACH 4, MANAGE 8, as in the proposal. */
#define ISM_IOC_PRIVATE 1	/* ALLOC: default rights none */

struct ism_ioc_region {
	__u64 token;		/* in for ATTACH, out for ALLOC; REPLACE: in the region's, out its successor's */
	__u64 size;		/* in for ALLOC; out: whole chunks */
	__u64 requested;	/* in for ALLOC: what to remember as asked for, 0: size; out */
	__u64 offset;		/* out: for mmap() */
	__u64 creator;		/* out: devid */
	__u64 event;		/* out: earlier records of read() are about an earlier life */
	__u32 rights;		/* in for ATTACH: READ, WRITE; out: all that this context may do */
	__u32 flags;		/* in for ALLOC */
	__u32 slot;		/* out: small number, unique among the context's regions */
	__u32 peers;		/* out: other referrers */
	__u64 reserved[2];
};

struct ism_ioc_token {
	__u64 token;
};

/* A region that was replaced: what its referrers go over to, by ATTACH. */
struct ism_ioc_successor {
	__u64 token;
	__u64 successor;	/* out: its token */
	__u32 others;		/* out: other devices, and contexts here, that go over or have done so */
	__u32 reserved0;
	__u64 reserved[2];
};

struct ism_ioc_grant {
	__u64 token;
	__u64 devid;		/* 0: everybody else */
	__u32 rights;
	__u32 reserved;
};

struct ism_ioc_peers {
	__u64 token;
	__u64 devids;		/* address of room for @nr of them */
	__u32 nr;
	__u32 total;		/* out: other referrers; contexts here have this device's id */
};

struct ism_ioc_eventfd {
	__u64 token;
	__s32 fd;		/* an eventfd to signal at each doorbell, at DETACH and MOVED of this region; -1: none */
	__u32 reserved;
};

/* A listing command (class 0x80, QUERY) as the device takes it; needs CAP_SYS_ADMIN. */
struct ism_ioc_command {
	__u64 request, reply;	/* addresses */
	__u32 request_len;
	__u32 reply_len;	/* in: room; out: bytes written */
};

#define ISM_IOC_QUERY	    _IOR(ISM_IOC_MAGIC, 0, struct ism_ioc_query)
#define ISM_IOC_ALLOC	    _IOWR(ISM_IOC_MAGIC, 1, struct ism_ioc_region)
#define ISM_IOC_ATTACH	    _IOWR(ISM_IOC_MAGIC, 2, struct ism_ioc_region)
#define ISM_IOC_DETACH	    _IOW(ISM_IOC_MAGIC, 3, struct ism_ioc_token)
#define ISM_IOC_GRANT	    _IOW(ISM_IOC_MAGIC, 4, struct ism_ioc_grant)
#define ISM_IOC_NOTIFY	    _IOW(ISM_IOC_MAGIC, 5, struct ism_ioc_token)
#define ISM_IOC_PEERS	    _IOWR(ISM_IOC_MAGIC, 6, struct ism_ioc_peers)
#define ISM_IOC_SET_EVENTFD _IOW(ISM_IOC_MAGIC, 7, struct ism_ioc_eventfd)
#define ISM_IOC_COMMAND	    _IOWR(ISM_IOC_MAGIC, 8, struct ism_ioc_command)
/* Later than the others: a driver without them says ENOTTY, and gives no ISM_IOC_EV_MOVED. */
#define ISM_IOC_REPLACE	    _IOWR(ISM_IOC_MAGIC, 9, struct ism_ioc_region)
#define ISM_IOC_SUCCESSOR   _IOWR(ISM_IOC_MAGIC, 10, struct ism_ioc_successor)

/* What read() gives: the types are the device's, RESET is the driver's. */
#define ISM_IOC_EV_UPDATE (1 << 0)
#define ISM_IOC_EV_ATTACH (1 << 1)
#define ISM_IOC_EV_DETACH (1 << 2)
#define ISM_IOC_EV_MOVED  (1 << 3)	/* the region has a successor: see SUCCESSOR */
#define ISM_IOC_EV_RESET  (1 << 4)	/* the device is gone, or new: all regions have ended */
#define ISM_IOC_EV_LOST	  (1 << 5)	/* events were lost: list the peers anew */

struct ism_ioc_event {
	__u32 type;
	__u32 slot;		/* of UPDATE, ATTACH, DETACH, MOVED */
	__u64 token;
	__u64 devid;		/* who rang, came, went or replaced the region; 0: not known */
	__u32 peers;		/* of ATTACH, DETACH, MOVED: other referrers after it */
	__u32 reserved;
	__u64 number;		/* counts ATTACH, DETACH and MOVED of this context */
};

/*
 * A page to map (PROT_READ, MAP_SHARED) at this offset: its first 64-bit word
 * changes whenever read() has something new, so that a waiting program need not call.
 */
#define ISM_IOC_STATUS_OFFSET (1ULL << 50)

#endif /* ISM_IOC_H */

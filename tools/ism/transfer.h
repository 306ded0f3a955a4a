/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * transfer.h - how ism put and ism get speak.
 *
 * put allocates a small region, the door, and gives its token away.  Whoever
 * attaches it (READ is all there is, and WRITE with --machine) is seen by put as an
 * ATTACH event with a device id.  For that device alone put allocates a ring, grants it
 * to it, and writes the ring's token into the door.  What goes through the ring:
 *
 *   header                   struct transfer_header
 *   data, as many as needed  1 byte and more each
 *   an empty record, then    8 bytes: how many bytes that was
 *
 * A ring that ends without the last two was cut short.  Behind the ring, in the
 * last bytes of its region, is the receipt: the getter writes that number and one
 * into it when it has written all of it out.  A getter that leaves without has not
 * got it.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <ism.h>
#include <stdatomic.h>
#include <stdint.h>

enum {
	TRANSFER_SEATS = 64,		/* served at one time */
	TRANSFER_RECORD = 256 * 1024,	/* most data in one record */
	TRANSFER_RING = 4 * 1024 * 1024,	/* of the region, with the receipt */
	TRANSFER_RECEIPT = 64,
};

/* Instead of the token of a ring: there will be none for this getter. */
#define TRANSFER_REFUSED UINT64_MAX

#define TRANSFER_MAGIC UINT64_C(0x31524f4f444d5349)	/* "ISMDOOR1" */

struct transfer_seat {
	_Atomic uint64_t devid;		/* whose; written last */
	_Atomic uint64_t token;		/* of its ring */
};

struct transfer_door {
	_Atomic uint64_t magic;		/* written last */
	_Atomic uint64_t closed;	/* 1: nobody else will be served */
	struct transfer_seat seat[TRANSFER_SEATS];
};

struct transfer_header {
	uint64_t magic;
	uint64_t size;			/* UINT64_MAX: not known */
};

static inline _Atomic uint64_t *transfer_receipt(const struct ism_region *region)
{
	return (_Atomic uint64_t *)((uint8_t *)ism_region_addr(region) + TRANSFER_RING - TRANSFER_RECEIPT);
}

#endif /* TRANSFER_H */

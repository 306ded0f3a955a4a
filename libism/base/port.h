/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * port.h - the memory between an emulated device and its host.
 *
 * Two objects.  The state is written by the host alone and mapped read-only by
 * the device: its event ring, a word per slot that changes when the region's
 * referrers do, its direct links, and the slots that each link may ring.  The
 * line is written by both: a bell in each direction and the device's place in the
 * event ring.
 *
 * The same structures serve between processes (emu, in sealed memory objects)
 * and inside one (loop, on the heap).  doc/shm-layout.md has the bytes.
 */
#ifndef ISMI_PORT_H
#define ISMI_PORT_H

#include "base/doorbell.h"

enum {
	ISMI_STATE_MAGIC = 0x534d5349,	/* "ISMS" */
	ISMI_STATE_VERSION = 1,
	ISMI_EVENTS = 512,		/* records in the event ring */
	ISMI_LINKS = 64,		/* direct links of one device */
};

struct ismi_state_slot {
	_Atomic uint32_t generation;	/* changes before a new referrer's attach returns */
	_Atomic uint32_t peers;		/* other referrers */
	_Atomic uint64_t ringer;	/* device that last rang through the host */
};

struct ismi_state_link {
	_Atomic uint64_t id;		/* never reused; 0: no link with this number */
	_Atomic uint64_t peer;		/* device at its other end */
};

struct ismi_state {
	uint32_t magic, version;
	uint64_t size;
	uint32_t nr_slots, nr_links, nr_events, event_size;
	uint8_t pad0[32];

	_Atomic uint64_t event_tail;	/* records ever written */
	_Atomic uint64_t events_lost;	/* records ever dropped for want of room */
	_Atomic uint32_t links_changed;	/* counts changes of link[], and of the next */
	_Atomic uint32_t kept_ended;	/* counts memory that the device may have kept mapped, and that has ended */
	uint8_t pad1[40];

	struct ismi_state_link link[ISMI_LINKS];
	uint8_t pad2[4096 - 128 - 16 * ISMI_LINKS];
	uint8_t event[ISMI_EVENTS][ISMI_EVENT_SIZE];	/* records of the event queue */
	struct ismi_state_slot slot[ISMI_SLOTS];
	_Atomic uint64_t mask[ISMI_LINKS][ISMI_BELL_WORDS];
};

_Static_assert(offsetof(struct ismi_state, event_tail) == 64, "layout is shared between processes");
_Static_assert(offsetof(struct ismi_state, link) == 128, "layout is shared between processes");
_Static_assert(offsetof(struct ismi_state, event) == 4096, "layout is shared between processes");
_Static_assert(offsetof(struct ismi_state, slot) == 4096 + ISMI_EVENTS * ISMI_EVENT_SIZE, "no padding");
_Static_assert(sizeof(struct ismi_state) == 4096 + ISMI_EVENTS * ISMI_EVENT_SIZE + 16 * ISMI_SLOTS + 8 * ISMI_LINKS * ISMI_BELL_WORDS,
	       "layout is shared between processes");

struct ismi_line {
	struct ismi_bell to_device;
	struct ismi_bell to_host;
	_Atomic uint64_t event_head;	/* records ever taken */
	uint8_t pad[56];
};

_Static_assert(sizeof(struct ismi_line) == 2 * sizeof(struct ismi_bell) + 64, "layout is shared between processes");

/* A direct link between two devices.  bell[i] is what end i rings; end 0 has the lower devid. */
struct ismi_link {
	struct ismi_bell bell[2];
};

#endif /* ISMI_PORT_H */

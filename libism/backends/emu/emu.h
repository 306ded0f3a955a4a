/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * emu.h - the client of an emulated host: its parts, and who may touch what.
 */
#ifndef ISMI_EMU_H
#define ISMI_EMU_H

#include "backends/port.h"
#include "base/wire.h"
#include "internal.h"

struct host;

/*
 * A direct link to another device.  It is in the table until the host takes it
 * away; regions that ring through it keep it alive, dead or not.
 */
struct emu_link {
	_Atomic unsigned int refs;
	uint64_t id, peer;		/* peer: devid */
	uint32_t number;
	struct ismi_link *page;
	struct ismi_bell *in, *out;
	int sock;			/* tells of the peer's death; wakes it, between users */
	int wake_out, wake_in;		/* eventfds within one user; -1 */
	_Atomic bool dead;
};

struct emu {
	struct ism_device *dev;
	struct host *host;		/* if this process hosts the domain */
	int conn, wake_fd;
	bool want_ro;
	_Atomic bool down;			/* the host is gone for good */
	_Atomic bool lost;			/* it is gone, and may come back */
	_Atomic uint32_t hosts;			/* how often it has */
	/* What it takes to come back: under device.lock, but for kept and life_fd. */
	bool kept;				/* under device.bell */
	int life_fd;				/* ends when nobody can come back; -1 */
	uint8_t secret[16];
	int resume_fd, timer_fd;		/* asked for; until the next attempt; -1 */
	int64_t resume_at;
	bool reconciling;
	uint32_t kept_seen;
	bool late;				/* a command was given up whose answer may still come */
	struct ismi_port_end end;
	/* Changed under device.lock and device.bell, read under either: */
	struct emu_link *link[ISMI_LINKS];
	uint32_t links_end;		/* none at or above this number */
	/* Under device.bell: */
	uint32_t links_seen;
	/* Under device.lock: */
	uint64_t link_failed[ISMI_LINKS];	/* ids of links that we could not take up */
	uint32_t sequence;
	struct ismi_spin_policy spin;		/* of control calls */
	uint8_t buf[ISMI_WIRE_MAX];
};

/*
 * What an epoll event of ours is about: these, or a link's number on top of one of
 * the last two.  A link's id is with it, for an event may be looked at when its
 * link has gone, and its number is another's.
 */
enum {
	EMU_DATA_CONN = 1,
	EMU_DATA_WAKE = 2,
	EMU_DATA_LIFE = 3,
	EMU_DATA_RESUME = 4,
	EMU_DATA_TIMER = 5,
	EMU_DATA_EVENT = 0x100,
	EMU_DATA_SOCK = 0x200,
};

static inline uint64_t emu_link_data(const struct emu_link *l, uint32_t kind)
{
	return l->id << 32 | (kind + l->number);
}

/* emu.c: the host is gone for good; under device.bell. */
void emu_down(struct ism_device *dev);

/*
 * talk.c: send a message whose body is in e->buf already, and receive its answer there.
 * Returns the length of the answer's body.
 */
ssize_t emu_exchange(struct emu *e, uint16_t type, size_t len, const int *fds, size_t nr_fds, int *ret_fds,
		     size_t *ret_nr_fds);

/*
 * hello.c: connect to the host, or become it.  Several processes may be at it at once:
 * who does not get the lock waits for the one that did to listen.
 */
int emu_find_host(struct emu *e, const char *path, bool may_host, const char *name);
/* May whoever listens there see what we share?  Ours, root or the directory's owner may: 0, -EACCES, ... */
int emu_host_trusted(struct ism_device *dev, int conn);
int emu_state_check(const struct ismi_state *state);
void emu_port_unmap(struct emu *e);

/* resume.c: the host is gone, and may come back; under device.bell. */
void emu_lost(struct ism_device *dev);
/* One step towards coming back; does not block.  Under device.lock. */
void emu_resume_step(struct ism_device *dev);
/* The same, until we are back: 0 or -EHOSTDOWN.  Under device.lock. */
int emu_await_host(struct ism_device *dev, int64_t deadline);
int emu_reconcile(struct ism_device *dev, uint64_t token);
void emu_resume_end(struct ism_device *dev);

/* link.c */
int emu_notify(struct ism_device *dev, struct ismi_ref *ref);
void emu_ref_end(struct ism_device *dev, struct ismi_ref *ref);
/* Bring the table of links up to what the host shows: under device.lock. */
void emu_links_update(struct ism_device *dev);
/* The links of a former host end, and what is known about referrers with them: under both locks. */
void emu_links_forget(struct ism_device *dev);
/* The host is gone for good, and maybe with it doorbells that it should have passed on: ring again.  Under device.bell. */
void emu_ring_left(struct ism_device *dev);
/* Ask the host to ring: 0, or -EHOSTDOWN if that shows that it is gone. */
int emu_ring_host(struct ism_device *dev, uint32_t slot);
void emu_link_fired(struct ism_device *dev, uint64_t data, uint32_t events);
/* All of them go with the device. */
void emu_links_close(struct emu *e);

#endif /* ISMI_EMU_H */

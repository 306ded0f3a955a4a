/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * port.h - the host's end of the memory it shares with a device: events and
 * doorbells that need no message.  base/port.h has the layout.
 */
#ifndef EMU_PORT_H
#define EMU_PORT_H

#include "base/port.h"
#include "domain.h"

struct link_end;

struct port {
	struct front front;
	struct ismi_state *state;
	struct ismi_line *line;
	/* The device sleeps and has something to see. */
	void (*wake)(struct port *port);
	struct model_ref **ref;			/* by slot */
	uint32_t nr_slots;			/* allocated */
	struct link_end *link[ISMI_LINKS];
	uint32_t nr_links;
	/* While rings are passed on: how many more may be in this turn, and where the last turn stopped. */
	int64_t budget;
	uint32_t from_slot, stopped_at;
};

/* Put the state's fixed words in; @state and @line are zero and stay the caller's. */
void port_init(struct port *p, const struct front_ops *ops, struct ismi_state *state, struct ismi_line *line,
	       void (*wake)(struct port *port));
void port_fini(struct port *p);

static inline struct port *port_of(struct front *front)
{
	return (struct port *)front;
}

/* Wake the device if it asked for that. */
void port_wake(struct port *p);

/* The entries of struct front_ops that are the same for all ports. */
void port_ref_begin(struct front *front, struct model_ref *ref);
void port_ref_end(struct front *front, struct model_ref *ref);
void port_event(struct front *front, struct model_ref *ref, enum model_event event, uint64_t devid);
void port_ring(struct front *front, struct model_ref *ref, uint64_t ringer);
uint64_t port_event_position(struct front *front);
void port_kept_ended(struct front *front);
/* @ret_fd: the device's end; the caller's. */
enum ismi_status port_vector(struct model_ref *ref, bool on, int *ret_fd);

/*
 * Pass on what the device has rung for others, a bounded number.  @now:
 * nanoseconds.  Returns 0 if that was all, and the device's next ring sends a
 * message; else the time after which to call again: its rate is used up, or there
 * is more.
 */
int64_t port_take_rings(struct port *p, int64_t now);

#endif /* EMU_PORT_H */

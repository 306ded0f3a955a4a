/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * port.c - the host's end of the memory it shares with a device.
 *
 * The line is the device's to write as well: everything read from it is read
 * once, and at worst misleads the device itself.
 */
#include "port.h"

#include "base/bytes.h"
#include "base/sys.h"
#include "link.h"
#include "persist.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Doorbells that one device's rings may cost before others have their turn. */
enum { RINGS_PER_TURN = 1024 };

void port_init(struct port *p, const struct front_ops *ops, struct ismi_state *state, struct ismi_line *line,
	       void (*wake)(struct port *port))
{
	*p = (struct port){ .front.ops = ops, .state = state, .line = line, .wake = wake };
	state->magic = ISMI_STATE_MAGIC;
	state->version = ISMI_STATE_VERSION;
	state->size = sizeof *state;
	state->nr_slots = ISMI_SLOTS;
	state->nr_links = ISMI_LINKS;
	state->nr_events = ISMI_EVENTS;
	state->event_size = ISMI_EVENT_SIZE;
	ismi_bell_arm(&line->to_host);
}

void port_fini(struct port *p)
{
	free(p->ref);
	p->ref = NULL;
	p->nr_slots = 0;
}

void port_wake(struct port *p)
{
	struct ismi_bell *bell = &p->line->to_device;

	/* Pairs with the device's arm: what was stored for it before is seen by its last look, or it is woken. */
	if (ismi_load_seq(&bell->armed) && ismi_xchg_seq(&bell->armed, 0))
		p->wake(p);
}

/* ------------------------------------------------------------------ references */

static void slots_grow(struct port *p, uint32_t slot)
{
	uint32_t nr = p->nr_slots ? p->nr_slots : 16;

	while (nr <= slot)
		nr *= 2;
	if (nr == p->nr_slots)
		return;
	struct model_ref **ref = realloc(p->ref, nr * sizeof(struct model_ref *));
	if (ref == NULL)
		return;		/* this slot then cannot ring through us; see port_take_rings() */
	memset(ref + p->nr_slots, 0, (nr - p->nr_slots) * sizeof(struct model_ref *));
	p->ref = ref;
	p->nr_slots = nr;
}

/* The device's next ring finds that its list of referrers is old. */
static void slot_changed(struct port *p, const struct model_ref *ref)
{
	struct ismi_state_slot *slot = &p->state->slot[ref->slot];

	ismi_store_release(&slot->peers, model_peers(ref));
	/* Pairs with the acquire in the device's notify. */
	ismi_store_release(&slot->generation, ismi_load_relaxed(&slot->generation) + 1);
}

void port_ref_begin(struct front *front, struct model_ref *ref)
{
	struct port *p = port_of(front);

	slots_grow(p, ref->slot);
	if (ref->slot < p->nr_slots)
		p->ref[ref->slot] = ref;
	slot_changed(p, ref);
	link_ref_changed(p, ref, false);
}

void port_ref_end(struct front *front, struct model_ref *ref)
{
	const struct domain *d = ref->device->model->ctx;
	struct port *p = port_of(front);

	if (ref->slot < p->nr_slots)
		p->ref[ref->slot] = NULL;
	ismi_sys_close(ref->vector_fd);
	ref->vector_fd = -1;
	if (!d->stopping)
		link_ref_changed(p, ref, true);
}

/* ------------------------------------------------------------------ events */

/* Append a record; false if the device has left no room. */
static bool event_put(struct port *p, const struct model_ref *ref, uint64_t type, uint64_t devid)
{
	uint64_t tail = ismi_load_relaxed(&p->state->event_tail);
	/* Pairs with the device's release of event_head.  Any value is harmless: room is all it decides. */
	uint64_t head = ismi_load_acquire(&p->line->event_head);

	if (tail - head >= ISMI_EVENTS)
		return false;
	uint8_t *rec = p->state->event[tail % ISMI_EVENTS];
	ismi_put64(rec, type);
	ismi_put64(rec + 8, (uint64_t)ref->chunk * ISMI_CHUNK);
	ismi_put64(rec + 16, devid);
	ismi_put64(rec + 24, model_peers(ref));
	ismi_put64(rec + 32, ref->token);
	/* seq_cst, because the device's armed word is read next: see doorbell.h. */
	ismi_xchg_seq(&p->state->event_tail, tail + 1);
	return true;
}

void port_event(struct front *front, struct model_ref *ref, enum model_event event, uint64_t devid)
{
	struct port *p = port_of(front);

	slot_changed(p, ref);
	if (event == MODEL_PEERS) {
		link_ref_changed(p, ref, false);
		return;
	}
	if (!event_put(p, ref, event, devid))
		ismi_add_seq(&p->state->events_lost, 1);
	port_wake(p);
	/* Who polls this region alone shall look again, too: it may be that nobody is left to ring it. */
	if (event != MODEL_CAME && ref->vector_fd >= 0)
		ismi_sys_wake_socket(ref->vector_fd);
}

uint64_t port_event_position(struct front *front)
{
	return ismi_load_relaxed(&port_of(front)->state->event_tail);
}

void port_kept_ended(struct front *front)
{
	struct port *p = port_of(front);

	ismi_add_seq(&p->state->kept_ended, 1);
	/* Looked at together. */
	ismi_add_seq(&p->state->links_changed, 1);
	port_wake(p);
}

/* ------------------------------------------------------------------ doorbells */

void port_ring(struct front *front, struct model_ref *ref, uint64_t ringer)
{
	struct port *p = port_of(front);

	ismi_store_relaxed(&p->state->slot[ref->slot].ringer, ringer);
	enum ismi_rung rung = ismi_bell_ring(&p->line->to_device, ref->slot);
	if (rung == ISMI_RUNG_WAKE)
		p->wake(p);
	if (rung != ISMI_RUNG_PENDING && ref->vector_fd >= 0)
		ismi_sys_wake_socket(ref->vector_fd);
}

enum ismi_status port_vector(struct model_ref *ref, bool on, int *ret_fd)
{
	int pair[2];

	ismi_sys_close(ref->vector_fd);
	ref->vector_fd = -1;
	if (on) {
		if (ismi_sys_wake_pair(pair) < 0)
			return ISMI_ENOMEM;
		ref->vector_fd = pair[0];
		*ret_fd = pair[1];
	}
	if (persist_vector(ref->device->model->ctx, ref) < 0) {
		ismi_sys_close(ref->vector_fd);
		ismi_sys_close(*ret_fd);
		ref->vector_fd = *ret_fd = -1;
		return ISMI_ENOMEM;
	}
	/* Others must ring it through us, or may again without: their lists are old. */
	domain_peers_changed(ref);
	return ISMI_OK;
}

/* What this turn has no room for is rung again, and the next turn begins with it. */
static void pass_on(void *arg, uint32_t slot)
{
	struct port *p = arg;

	if (slot >= p->nr_slots || p->ref[slot] == NULL)
		return;
	if (slot < p->from_slot || p->budget <= 0) {
		ismi_bell_ring(&p->line->to_host, slot);
		if (p->budget <= 0 && p->stopped_at == 0)
			p->stopped_at = slot;
		return;
	}
	p->budget -= model_peers(p->ref[slot]);
	domain_ring(p->ref[slot]);
}

int64_t port_take_rings(struct port *p, int64_t now)
{
	struct ismi_bell *bell = &p->line->to_host;

	if (ismi_bell_pending(bell)) {
		int64_t wait = model_notify_due(p->front.dev, now);
		if (wait > 0)
			return wait;
		p->budget = RINGS_PER_TURN;
		p->stopped_at = 0;
		ismi_bell_take(bell, NULL, pass_on, p);
		p->from_slot = p->stopped_at;
	}
	ismi_bell_arm(bell);
	/* What came between the take and the arm had nobody to wake us. */
	if (ismi_bell_pending(bell)) {
		ismi_bell_disarm(bell);
		return 1;
	}
	return 0;
}

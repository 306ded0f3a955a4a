/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * backends/port.c - the device's end of the memory it shares with its host.
 */
#include "backends/port.h"

#include "base/bytes.h"

struct take {
	struct ism_device *dev;
	struct ismi_port_end *end;
};

static void take_bell(void *arg, uint32_t slot)
{
	const struct take *t = arg;

	ismi_deliver_bell(t->dev, slot, ismi_load_relaxed(&t->end->state->slot[slot].ringer));
}

static void take_event(struct ism_device *dev, struct ismi_port_end *end)
{
	const uint8_t *rec = end->state->event[end->event_head % ISMI_EVENTS];

	ismi_deliver_event(dev, (uint32_t)ismi_get64(rec), ismi_get64(rec + 32), ismi_get64(rec + 16),
			   (uint32_t)ismi_get64(rec + 24), end->event_head);
}

/* Some were dropped: what can still be known is how many peers each region has. */
static void take_lost(struct ism_device *dev, struct ismi_port_end *end, uint64_t lost)
{
	end->lost_seen = lost;
	ismi_deliver_lost(dev);
	for (uint32_t i = 0; i < dev->nr_slots; i++) {
		if (dev->slot[i] != NULL)
			ismi_deliver_peers(dev, dev->slot[i], ismi_load_relaxed(&end->state->slot[i].peers));
	}
}

void ismi_port_poll(struct ism_device *dev, struct ismi_port_end *end)
{
	struct take take = { dev, end };
	/* Pairs with the host's exchange: the records before it are complete. */
	uint64_t tail = ismi_load_acquire(&end->state->event_tail);

	ismi_bell_take(&end->line->to_device, NULL, take_bell, &take);
	if (end->event_head != tail) {
		for (; end->event_head != tail; end->event_head++)
			take_event(dev, end);
		/* Pairs with the host's acquire: the records may be written over now. */
		ismi_store_release(&end->line->event_head, end->event_head);
	}
	uint64_t lost = ismi_load_acquire(&end->state->events_lost);
	if (lost != end->lost_seen)
		take_lost(dev, end, lost);
}

bool ismi_port_arm(struct ismi_port_end *end)
{
	struct ismi_bell *bell = &end->line->to_device;

	if (ismi_load_relaxed(&bell->armed) == 0)
		ismi_bell_arm(bell);
	return !ismi_bell_pending(bell) && ismi_load_seq(&end->state->event_tail) == end->event_head &&
	       ismi_load_seq(&end->state->events_lost) == end->lost_seen;
}

void ismi_port_disarm(struct ismi_port_end *end)
{
	ismi_bell_disarm(&end->line->to_device);
}

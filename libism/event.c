/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * event.c - what arrives: delivery from the backend, and the calls that take it.
 *
 * ATTACH, DETACH, MOVED, RESET and LOST are records in a queue.  A doorbell is a flag
 * of each handle, for ism_region_wait() and _clear(), and a place in the list of
 * updates, for ism_event_next(); taking it in one way takes it in both.
 */
#include "emu/faulty.h"
#include "watch.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

enum { EVENT_FIRST_SIZE = ISMI_UP_TO(struct ism_event, region) };

/* ------------------------------------------------------------------ delivery */

static struct ismi_event *event_new(unsigned int queued, const struct ism_event *ev)
{
	struct ismi_event *e = queued < ISMI_EVENT_QUEUE ? calloc(1, sizeof *e) : NULL;

	if (e != NULL)
		e->ev = *ev;
	return e;
}

static void queue_event(struct ism_device *dev, uint32_t type, uint64_t token, uint64_t devid, uint32_t peers,
			struct ism_region *region)
{
	struct ism_event ev = { .type = type, .peers = peers, .devid = devid, .token = token, .region = region };
	struct ismi_event *e = event_new(dev->nr_events, &ev);

	if (e == NULL) {
		dev->lost = true;
		return;
	}
	TAILQ_INSERT_TAIL(&dev->events, e, all);
	dev->nr_events++;
}

/* Keep what is about a region that is not known yet, if one is about to be. */
static void stash_event(struct ism_device *dev, const struct ism_event *ev, uint32_t slot, uint64_t number)
{
	if (dev->nr_attaching == 0)
		return;
	struct ismi_event *e = event_new(dev->nr_stashed, ev);
	if (e == NULL) {
		dev->lost = true;
		return;
	}
	e->slot = slot;
	e->number = number;
	TAILQ_INSERT_TAIL(&dev->stash, e, all);
	dev->nr_stashed++;
}

void ismi_attach_begin(struct ism_device *dev)
{
	pthread_mutex_lock(&dev->bell);
	dev->nr_attaching++;
	pthread_mutex_unlock(&dev->bell);
}

void ismi_attach_end(struct ism_device *dev, const struct ismi_ref *ref)
{
	struct ismi_event *e, *next;

	dev->nr_attaching--;
	for (e = TAILQ_FIRST(&dev->stash); e != NULL; e = next) {
		bool bell = e->ev.type == ISM_EVENT_UPDATE;
		bool mine = ref != NULL && (bell ? e->slot == ref->mem.slot : e->ev.token == ref->token);

		next = TAILQ_NEXT(e, all);
		if (!mine && dev->nr_attaching > 0)
			continue;
		if (mine && bell)
			ismi_deliver_bell(dev, e->slot, e->ev.devid);
		else if (mine)
			ismi_deliver_event(dev, e->ev.type, e->ev.token, e->ev.devid, e->ev.peers, e->number);
		TAILQ_REMOVE(&dev->stash, e, all);
		dev->nr_stashed--;
		free(e);
	}
}

/* Does any handle's waiter sleep, or a waiter for events? */
static bool sleepers(const struct ism_device *dev, const struct ismi_ref *ref)
{
	const struct ism_region *h;

	if (dev->nr_event_sleepers > 0)
		return true;
	LIST_FOREACH (h, &ref->handles, of_ref) {
		if (h->nr_sleepers > 0)
			return true;
	}
	return false;
}

void ismi_deliver_bell(struct ism_device *dev, uint32_t slot, uint64_t devid)
{
	struct ismi_ref *ref = slot < dev->nr_slots ? dev->slot[slot] : NULL;
	struct ism_region *h;

	if (ref == NULL || LIST_EMPTY(&ref->handles)) {
		struct ism_event ev = { .type = ISM_EVENT_UPDATE, .devid = devid };
		stash_event(dev, &ev, slot, 0);
		return;
	}
	if (dev->faulty != NULL && ismi_faulty_bell(dev, slot, devid))
		return;
	LIST_FOREACH (h, &ref->handles, of_ref) {
		/* Pairs with the exchange that takes it: what was stored before the ring is visible then. */
		ismi_store_release(&h->pending, 1);
		h->ringer = devid;
		if (!h->in_updates && h->vector_fd < 0) {
			TAILQ_INSERT_TAIL(&dev->updates, h, update);
			h->in_updates = true;
		}
	}
	if (sleepers(dev, ref))
		ismi_wake_sleepers(dev);
}

void ismi_deliver_peers(struct ism_device *dev, struct ismi_ref *ref, uint32_t peers)
{
	ref->peers = peers;
	ref->had_peers |= peers > 0;
	if (sleepers(dev, ref))
		ismi_wake_sleepers(dev);
}

void ismi_deliver_event(struct ism_device *dev, uint32_t type, uint64_t token, uint64_t devid, uint32_t peers,
			uint64_t number)
{
	const struct ism_event ev = { .type = type, .peers = peers, .devid = devid, .token = token };
	struct ismi_ref *ref = ismi_ref_find(dev, token);
	struct ism_region *h;

	if (ref == NULL || LIST_EMPTY(&ref->handles)) {
		stash_event(dev, &ev, 0, number);
		return;
	}
	if (number < ref->mem.event_from)
		return;		/* about an earlier life of this region here */
	if (dev->faulty != NULL && ismi_faulty_event(dev, ref, &ev, number))
		return;
	LIST_FOREACH (h, &ref->handles, of_ref)
		queue_event(dev, type, token, devid, peers, h);
	if (type == ISM_EVENT_MOVED)
		ismi_deliver_moved(ref);
	ismi_deliver_peers(dev, ref, peers);
}

void ismi_deliver_lost(struct ism_device *dev)
{
	dev->lost = true;
	ismi_deliver_moved_any(dev);	/* that may be what was lost */
	ismi_wake_sleepers(dev);
}

void ismi_deliver_reset(struct ism_device *dev)
{
	if (dev->reset)
		return;
	dev->reset = true;
	queue_event(dev, ISM_EVENT_RESET, 0, 0, 0, NULL);
	ismi_wake_sleepers(dev);
	/* Any call may find that, and nothing else makes the lent descriptor readable any more. */
	ismi_delivered(dev);
}

void ismi_events_forget(struct ism_device *dev, struct ism_region *region)
{
	struct ismi_event *e, *next;

	for (e = TAILQ_FIRST(&dev->events); e != NULL; e = next) {
		next = TAILQ_NEXT(e, all);
		if (e->ev.region != region)
			continue;
		TAILQ_REMOVE(&dev->events, e, all);
		dev->nr_events--;
		free(e);
	}
	if (region->in_updates)
		TAILQ_REMOVE(&dev->updates, region, update);
	region->in_updates = false;
}

static void free_list(struct ismi_event_list *list)
{
	struct ismi_event *e;

	while ((e = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, e, all);
		free(e);
	}
}

void ismi_stash_forget(struct ism_device *dev)
{
	free_list(&dev->stash);
	dev->nr_stashed = 0;
}

void ismi_events_fini(struct ism_device *dev)
{
	free_list(&dev->events);
	free_list(&dev->stash);
}

/* ------------------------------------------------------------------ taking */

/* The next handle whose doorbell is to be reported: not one that a thread waits for. */
static struct ism_region *next_update(const struct ism_device *dev)
{
	struct ism_region *h;

	TAILQ_FOREACH (h, &dev->updates, update) {
		if (h->nr_waiters == 0)
			return h;
	}
	return NULL;
}

bool ismi_event_any(const struct ism_device *dev)
{
	return !TAILQ_EMPTY(&dev->events) || dev->lost || next_update(dev) != NULL;
}

static void take_update(struct ism_device *dev, struct ism_region *h, struct ism_event *ret)
{
	TAILQ_REMOVE(&dev->updates, h, update);
	h->in_updates = false;
	/* Pairs with the release in ismi_deliver_bell(). */
	atomic_exchange_explicit(&h->pending, 0, memory_order_acquire);
	*ret = (struct ism_event){ .type = ISM_EVENT_UPDATE, .peers = h->ref->peers, .devid = h->ringer,
				   .token = h->ref->token, .region = h };
}

bool ismi_event_take(struct ism_device *dev, struct ism_event *ret)
{
	struct ismi_event *e = TAILQ_FIRST(&dev->events);
	struct ism_region *h;

	if (e != NULL) {
		*ret = e->ev;
		TAILQ_REMOVE(&dev->events, e, all);
		dev->nr_events--;
		free(e);
		return true;
	}
	if (dev->lost) {	/* said after what could be kept, so that the listing is newer than all of it */
		dev->lost = false;
		*ret = (struct ism_event){ .type = ISM_EVENT_LOST };
		return true;
	}
	h = next_update(dev);
	if (h == NULL)
		return false;
	take_update(dev, h, ret);
	return true;
}

static int check_size(size_t size)
{
	if (size < EVENT_FIRST_SIZE)
		return ismi_fail(-EINVAL, "event size %zu: expected sizeof(struct ism_event), at least %d", size,
				 EVENT_FIRST_SIZE);
	return 0;
}

struct taking {
	struct ism_event *ev;
	size_t nr, size;
};

static int take_events(struct ismi_wait *wait)
{
	const struct taking *t = wait->arg;
	struct ism_event ev;
	size_t n = 0;

	while (n < t->nr && ismi_event_take(wait->dev, &ev))
		ismi_entry_put(t->ev, n++, t->size, &ev, sizeof ev);
	return (int)n;
}

int ism_wait(struct ism_device *dev, struct ism_event *ev, size_t nr, size_t size, int64_t timeout_ns)
{
	struct taking taking = { .ev = ev, .nr = nr > INT32_MAX ? INT32_MAX : nr, .size = size };
	struct ismi_wait wait = { .dev = dev, .done = take_events, .arg = &taking };

	if (ismi_unusual(dev))
		return ismi_watched_wait(dev, ev, nr, size, timeout_ns);
	if (nr == 0)
		return ismi_fail(-EINVAL, "room for 0 events: expected at least 1");
	int r = check_size(size);
	return r < 0 ? r : ismi_wait_for(&wait, timeout_ns);
}

int ism_event_next(struct ism_device *dev, struct ism_event *ev, size_t size)
{
	struct ism_event one;

	if (ismi_unusual(dev))
		return ismi_watched_event_next(dev, ev, size);
	int r = check_size(size);
	if (r < 0)
		return r;
	pthread_mutex_lock(&dev->bell);
	if (!ismi_event_any(dev))
		ismi_look(dev);
	bool got = ismi_event_take(dev, &one);
	ismi_settle(dev);
	pthread_mutex_unlock(&dev->bell);
	ismi_housekeep(dev);
	if (!got)
		return 0;
	ismi_entry_put(ev, 0, size, &one, sizeof one);
	return 1;
}

/* What a caller polls: our own epoll set, and an eventfd for what is queued here already. */
static int lend(struct ism_device *dev)
{
	int level = ismi_sys_eventfd(), outer = ismi_sys_epoll(), r = level < 0 ? level : outer < 0 ? outer : 0;

	if (r == 0)
		r = ismi_sys_epoll_add(outer, level, EPOLLIN, 0);
	if (r == 0)
		r = ismi_sys_epoll_add(outer, dev->epfd, EPOLLIN, 0);
	if (r < 0) {
		ismi_sys_close(level);
		ismi_sys_close(outer);
		return ismi_fail(r, "cannot make a descriptor to poll: %s", strerror(-r));
	}
	dev->level_fd = level;
	dev->lent_epfd = outer;
	return 0;
}

int ism_fd(struct ism_device *dev)
{
	int r = 0;

	if (ismi_unusual(dev))
		return ismi_watched_fd(dev);
	pthread_mutex_lock(&dev->bell);
	if (dev->lent_epfd < 0)
		r = lend(dev);
	if (r == 0) {
		ismi_settle(dev);
		r = dev->lent_epfd;
	}
	pthread_mutex_unlock(&dev->bell);
	return r;
}

int ism_interrupt(struct ism_device *dev)
{
	if (ismi_forked(dev))
		return -EOWNERDEAD;	/* no words: this may be a signal handler */
	/* seq_cst: a wait that has looked at this word already is woken by the kick that follows. */
	ismi_add_seq(&dev->interrupts, 1);
	ismi_sys_wake_event(dev->kick_fd);
	return 0;
}

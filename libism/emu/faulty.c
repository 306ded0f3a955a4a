/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * faulty.c - a device in which a test makes calls and events fail.
 *
 * Calls are counted where the program makes them (watch.c), so that an ordinal
 * means the same whatever the library does below; events where they are
 * delivered.  What is delayed is kept here, and a timer wakes whoever waits.
 */
#include "emu/faulty.h"

#include "backends/loop/loop.h"
#include "host.h"
#include "watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An event that is late. */
struct held {
	int64_t due;
	struct ism_event ev;
	uint64_t number;
	uint32_t slot;			/* of an UPDATE */
	TAILQ_ENTRY(held) all;
};

struct ismi_faulty {
	struct faults *plan;
	const struct ismi_backend *under;
	struct ismi_backend ops;	/* under's, but for what is replaced here */
	int timer_fd;
	/* Under device.bell: */
	TAILQ_HEAD(, held) held;
	bool releasing;			/* what is delivered now has been late already */
};

enum { DATA_TIMER = ISMI_EPOLL_KICK - 1 };

/* The next detach of this thread is not told to the device. */
static _Thread_local bool drop_detach;

/* ------------------------------------------------------------------ calls */

static int lost(struct ism_device *dev, enum fault_point point, uint64_t pass)
{
	if (point == FAULT_NOTIFY)
		return 1;
	if (point == FAULT_DETACH) {
		drop_detach = true;
		return 0;
	}
	ismi_sleep_ns(dev->timeout_ns);
	return ismi_fail(-ETIMEDOUT, "injected fault: %s number %llu got lost, and no answer came within %lld ms",
			 fault_point_name(point), (unsigned long long)pass, (long long)(dev->timeout_ns / 1000000));
}

int ismi_faulty_call(struct ism_device *dev, enum fault_point point)
{
	struct fault f = faults_pass(dev->faulty == NULL ? NULL : dev->faulty->plan, point);

	switch (f.action) {
	case FAULT_ERRNO:
		return ismi_fail(f.err, "injected fault: %s number %llu fails", fault_point_name(point),
				 (unsigned long long)f.pass);
	case FAULT_DROP:
		return lost(dev, point, f.pass);
	case FAULT_DELAY:
		ismi_sleep_ns(f.delay_ns);
		return 0;
	case FAULT_DIE:
		dev->ops->die(dev);
		return 0;
	case FAULT_NONE:
		break;
	}
	return 0;
}

static void faulty_detach(struct ism_device *dev, uint64_t token)
{
	bool drop = drop_detach;

	drop_detach = false;
	if (!drop)
		dev->faulty->under->detach(dev, token);
}

static void faulty_detach_many(struct ism_device *dev, struct ismi_leave *leave, uint32_t nr)
{
	bool drop = drop_detach;

	drop_detach = false;
	if (!drop)
		dev->faulty->under->detach_many(dev, leave, nr);
}

/* ------------------------------------------------------------------ events */

static int64_t first_due(const struct ismi_faulty *f)
{
	int64_t due = INT64_MAX;
	const struct held *h;

	TAILQ_FOREACH (h, &f->held, all) {
		if (h->due < due)
			due = h->due;
	}
	return due;
}

static void set_timer(const struct ismi_faulty *f)
{
	int64_t due = first_due(f);

	ismi_sys_timerfd_set(f->timer_fd, due == INT64_MAX ? 0 : due);
}

/* What becomes of an event now: FAULT_NONE: it is delivered; _DELAY: it is held here; _DROP. */
static enum fault_action event_fault(struct ism_device *dev, const struct ism_event *ev, uint32_t slot, uint64_t number)
{
	struct ismi_faulty *f = dev->faulty;
	struct fault fault = { .action = FAULT_NONE };
	struct held *h;

	if (!f->releasing)
		fault = faults_pass(f->plan, FAULT_EVENT);
	switch (fault.action) {
	case FAULT_DROP:
		return FAULT_DROP;
	case FAULT_DELAY:
		h = malloc(sizeof *h);
		if (h == NULL)
			return FAULT_NONE;
		*h = (struct held){ .due = ismi_deadline(fault.delay_ns), .ev = *ev, .slot = slot, .number = number };
		TAILQ_INSERT_TAIL(&f->held, h, all);
		set_timer(f);
		return FAULT_DELAY;
	case FAULT_DIE:
		dev->ops->die(dev);
		return FAULT_NONE;
	default:
		return FAULT_NONE;
	}
}

bool ismi_faulty_bell(struct ism_device *dev, uint32_t slot, uint64_t devid)
{
	struct ism_event ev = { .type = ISM_EVENT_UPDATE, .devid = devid };

	return event_fault(dev, &ev, slot, 0) != FAULT_NONE;
}

bool ismi_faulty_event(struct ism_device *dev, struct ismi_ref *ref, const struct ism_event *ev, uint64_t number)
{
	enum fault_action action = event_fault(dev, ev, 0, number);

	if (action == FAULT_DROP) {	/* a peer that comes or goes is not lost without a word */
		ismi_deliver_lost(dev);
		ismi_deliver_peers(dev, ref, ev->peers);
	}
	return action != FAULT_NONE;
}

/* Deliver what is due.  Under device.bell. */
static void release(struct ism_device *dev)
{
	struct ismi_faulty *f = dev->faulty;
	int64_t now = ismi_now_ns();
	struct held *h, *next;
	bool any = false;

	for (h = TAILQ_FIRST(&f->held); h != NULL; h = next) {
		next = TAILQ_NEXT(h, all);
		if (h->due > now)
			continue;
		TAILQ_REMOVE(&f->held, h, all);
		f->releasing = any = true;
		if (h->ev.type == ISM_EVENT_UPDATE)
			ismi_deliver_bell(dev, h->slot, h->ev.devid);
		else
			ismi_deliver_event(dev, h->ev.type, h->ev.token, h->ev.devid, h->ev.peers, h->number);
		f->releasing = false;
		free(h);
	}
	if (any)
		set_timer(f);
}

static void faulty_poll(struct ism_device *dev)
{
	struct ismi_faulty *f = dev->faulty;

	f->under->poll(dev);
	if (!TAILQ_EMPTY(&f->held))
		release(dev);
}

static bool faulty_arm(struct ism_device *dev)
{
	const struct ismi_faulty *f = dev->faulty;

	return f->under->arm(dev) && (TAILQ_EMPTY(&f->held) || first_due(f) > ismi_now_ns());
}

static void faulty_fired(struct ism_device *dev, uint64_t data, uint32_t events)
{
	const struct ismi_faulty *f = dev->faulty;

	if (data == DATA_TIMER)
		ismi_sys_wake_clear(f->timer_fd);
	else
		f->under->fired(dev, data, events);
}

/* What a region that goes has still to come; its slot will be another one's. */
static void faulty_ref_end(struct ism_device *dev, struct ismi_ref *ref)
{
	struct ismi_faulty *f = dev->faulty;
	struct held *h, *next;

	for (h = TAILQ_FIRST(&f->held); h != NULL; h = next) {
		next = TAILQ_NEXT(h, all);
		if (h->ev.type == ISM_EVENT_UPDATE ? h->slot != ref->mem.slot : h->ev.token != ref->token)
			continue;
		TAILQ_REMOVE(&f->held, h, all);
		free(h);
	}
	f->under->ref_end(dev, ref);
}

/* ------------------------------------------------------------------ life */

static int plan_of(const struct ism_device *dev, struct faults **ret)
{
	char name[sizeof dev->info.path + sizeof LOOP_PROFILE];

	*ret = NULL;
	if (dev->info.host != ISM_HOST_PRIVATE && dev->info.host != ISM_HOST_EMBEDDED)
		return 0;
	snprintf(name, sizeof name, "%s%s", dev->info.host == ISM_HOST_PRIVATE ? LOOP_PROFILE : "", dev->info.path);
	return host_profile_faults(name, ret);
}

int ismi_faulty_init(struct ism_device *dev)
{
	struct ismi_faulty *f;
	struct faults *plan;
	int r = plan_of(dev, &plan);

	if (r < 0 || plan == NULL)
		return r;
	f = calloc(1, sizeof *f);
	if (f == NULL) {
		faults_put(plan);
		return ismi_fail(-ENOMEM, "out of memory");
	}
	f->plan = plan;
	TAILQ_INIT(&f->held);
	f->timer_fd = r = ismi_sys_timerfd();
	if (r >= 0)
		r = ismi_sys_epoll_add(dev->epfd, f->timer_fd, EPOLLIN, DATA_TIMER);
	if (r < 0) {
		ismi_sys_close(f->timer_fd);
		faults_put(plan);
		free(f);
		return ismi_fail(r, "cannot make a timer for delayed events: %s", strerror(-r));
	}
	f->under = dev->ops;
	f->ops = *dev->ops;
	f->ops.detach = faulty_detach;
	if (f->under->detach_many != NULL)
		f->ops.detach_many = faulty_detach_many;
	f->ops.poll = faulty_poll;
	f->ops.arm = faulty_arm;
	f->ops.fired = faulty_fired;
	f->ops.ref_end = faulty_ref_end;
	dev->faulty = f;
	dev->ops = &f->ops;
	dev->gate = ISMI_GATE_WATCHED;
	return 0;
}

void ismi_faulty_fini(struct ism_device *dev)
{
	struct ismi_faulty *f = dev->faulty;
	struct held *h;

	if (f == NULL)
		return;
	while ((h = TAILQ_FIRST(&f->held)) != NULL) {
		TAILQ_REMOVE(&f->held, h, all);
		free(h);
	}
	ismi_sys_close(f->timer_fd);
	faults_put(f->plan);
	dev->ops = f->under;
	dev->faulty = NULL;
	free(f);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * wait.c - how threads wait: spin while it pays, then sleep, together.
 *
 * Of the threads that wait on one device, one is the leader and sleeps in
 * epoll_wait(); the others follow and sleep on a condition variable.  Whoever
 * takes doorbells out of shared memory delivers them to the handles they are for
 * and wakes the sleepers; the leader that has what it wanted hands over to a
 * follower.  So no thread takes another's wake-up, and an arriving doorbell costs
 * one system call however many threads wait.
 *
 * A lent fd (ism_fd()) must be readable while there is something to take.
 * Between calls it is kept so: the bells are armed, and level_fd is readable
 * exactly while something is queued in this process already.  It may be polled
 * edge-triggered as well: level_fd is written to again where a call that found
 * nothing has let something in.
 */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <time.h>

enum {
	FIRED_MAX = 16,
	LOOKS_PER_SYSCALL = 64,	/* a loop of looks also has to notice the death of the host */
	SETTLE_LOOKS = 8,	/* a peer that writes all the time must not keep us */
};

/* ------------------------------------------------------------------ the kick descriptor */

static void kick(struct ism_device *dev)
{
	if (dev->kicked)
		return;
	dev->kicked = true;
	ismi_sys_wake_event(dev->kick_fd);
}

static void unkick(struct ism_device *dev)
{
	dev->kicked = false;
	ismi_sys_wake_clear(dev->kick_fd);
}

void ismi_wake_sleepers(struct ism_device *dev)
{
	if (dev->nr_followers > 0)
		pthread_cond_broadcast(&dev->bell_cond);
	if (dev->leader)
		kick(dev);
}

static void take_fired(struct ism_device *dev, const struct epoll_event *ev, int n)
{
	for (int i = 0; i < n; i++) {
		if (ev[i].data.u64 == ISMI_EPOLL_KICK)
			unkick(dev);
		else
			dev->ops->fired(dev, ev[i].data.u64, ev[i].events);
	}
}

static void look_at_fds(struct ism_device *dev)
{
	struct epoll_event ev[FIRED_MAX];

	take_fired(dev, ev, ismi_sys_epoll_wait(dev->epfd, ev, FIRED_MAX, 0));
	dev->idle_looks = 0;
}

void ismi_look(struct ism_device *dev)
{
	dev->ops->poll(dev);
	if (++dev->idle_looks >= LOOKS_PER_SYSCALL) {
		look_at_fds(dev);
		dev->ops->poll(dev);
	}
}

void ismi_settle(struct ism_device *dev)
{
	bool any, quiet = false, had = ismi_event_any(dev);

	if (dev->lent_epfd < 0)
		return;
	/* A wake-up for what has been taken already would only say the same again. */
	if (!had && !dev->leader)
		look_at_fds(dev);
	for (int i = 0; !(any = ismi_event_any(dev)) && !(quiet = dev->ops->arm(dev)) && i < SETTLE_LOOKS; i++)
		dev->ops->poll(dev);
	any |= !quiet;	/* not known to be quiet: whoever polls has to look again */
	/* What came just now may be behind a "nothing": who polls edge-triggered has to hear of it, readable or not. */
	if (any == dev->level && (had || !any))
		return;
	dev->level = any;
	if (any)
		ismi_sys_wake_event(dev->level_fd);
	else
		ismi_sys_wake_clear(dev->level_fd);
}

void ismi_delivered(struct ism_device *dev)
{
	if (dev->lent_epfd < 0 || dev->level || !ismi_event_any(dev))
		return;
	dev->level = true;
	ismi_sys_wake_event(dev->level_fd);
}

void ismi_housekeep(struct ism_device *dev)
{
	if (!ismi_load_relaxed(&dev->housework))
		return;
	/* Whoever has the lock now does it when the call it makes is over. */
	if (pthread_mutex_trylock(&dev->lock) != 0)
		return;
	dev->ops->housekeep(dev);
	pthread_mutex_unlock(&dev->lock);
}

/* ------------------------------------------------------------------ one wait */

struct waiting {
	struct ismi_wait *wait;
	struct ism_device *dev;
	int64_t deadline;
	uint32_t interrupts;		/* seen when it began */
};

/* The result that ends the wait, or 0. */
static int outcome(struct waiting *w)
{
	int r = w->wait->done(w->wait);

	if (r != 0)
		return r;
	uint32_t now = ismi_load_seq(&w->dev->interrupts);
	if (now == w->interrupts)
		return 0;
	ismi_store_relaxed(&w->dev->interrupts_taken, now);
	return ismi_fail(-EINTR, "the wait was interrupted by ism_interrupt()");
}

/* Look at memory until something comes or the spin no longer pays. */
static int spin(struct waiting *w, struct ismi_spin *s)
{
	struct ism_device *dev = w->dev;
	int r = 0;

	while (r == 0 && ismi_spin_again(&dev->spin, s)) {
		bool peeked = w->wait->peek != NULL && w->wait->peek(w->wait);
		if (peeked)
			pthread_mutex_lock(&dev->bell);
		else if (pthread_mutex_trylock(&dev->bell) != 0)
			continue;
		dev->ops->poll(dev);
		r = outcome(w);
		pthread_mutex_unlock(&dev->bell);
		if (ismi_load_relaxed(&dev->housework))
			ismi_housekeep(dev);
		if (r == 0 && w->deadline != INT64_MAX && s->until_ns > w->deadline && ismi_time_left(w->deadline) == 0)
			break;
	}
	return r;
}

static void sleeper_add(struct waiting *w, unsigned int n)
{
	if (w->wait->region != NULL)
		w->wait->region->nr_sleepers += n;
	else
		w->dev->nr_event_sleepers += n;
}

/* Sleep in epoll_wait() for all, at most @left.  The bell lock is held, but not while asleep. */
static void lead(struct waiting *w, int64_t left)
{
	struct ism_device *dev = w->dev;
	struct epoll_event ev[FIRED_MAX];
	int n;

	dev->leader = true;
	/* Where a peer writes all the time we never sleep, and still have to see what the descriptors say. */
	int64_t timeout = dev->ops->arm(dev) ? left : 0;
	pthread_mutex_unlock(&dev->bell);
	n = ismi_sys_epoll_wait(dev->epfd, ev, FIRED_MAX, timeout);
	pthread_mutex_lock(&dev->bell);
	dev->leader = false;
	take_fired(dev, ev, n);
	dev->ops->poll(dev);
	dev->idle_looks = 0;
	ismi_settle(dev);	/* what this took out of epfd may be for whoever polls the lent one */
}

static void follow(struct waiting *w)
{
	struct ism_device *dev = w->dev;

	dev->nr_followers++;
	if (w->deadline == INT64_MAX) {
		pthread_cond_wait(&dev->bell_cond, &dev->bell);
	} else {
		struct timespec ts = { .tv_sec = w->deadline / 1000000000, .tv_nsec = w->deadline % 1000000000 };
		pthread_cond_timedwait(&dev->bell_cond, &dev->bell, &ts);
	}
	dev->nr_followers--;
}

static int doze(struct waiting *w)
{
	struct ism_device *dev = w->dev;
	bool kept_house = false;
	int64_t left;
	int r;

	sleeper_add(w, 1);
	while ((r = outcome(w)) == 0 && (left = ismi_time_left(w->deadline)) != 0) {
		if (ismi_load_relaxed(&dev->housework) && !kept_house) {
			kept_house = true;
			pthread_mutex_unlock(&dev->bell);
			ismi_housekeep(dev);
			pthread_mutex_lock(&dev->bell);
			continue;	/* without the lock, anything may have been delivered */
		}
		kept_house = false;
		if (dev->leader)
			follow(w);
		else
			lead(w, left);
	}
	sleeper_add(w, -1U);
	if (dev->nr_followers > 0)	/* one of them leads from now on; an interrupt is for all of them */
		pthread_cond_broadcast(&dev->bell_cond);
	return r;
}

/* Nothing was there at the first look: the bell lock is held, and given back. */
static int wait_long(struct waiting *w)
{
	struct ism_device *dev = w->dev;
	struct ismi_spin s;
	int r;

	if (w->wait->no_spin) {
		ismi_add_relaxed(&dev->spin.sleeps, 1);
		return doze(w);
	}

	/* Awake: nobody has to wake us, unless somebody else relies on being woken. */
	if (dev->lent_epfd < 0 && !dev->leader && dev->spin.cap_ns > 0)
		dev->ops->disarm(dev);
	pthread_mutex_unlock(&dev->bell);
	ismi_spin_start(&dev->spin, &s);
	r = spin(w, &s);
	if (r != 0) {
		ismi_spin_paid(&dev->spin);
		pthread_mutex_lock(&dev->bell);
		return r;
	}
	pthread_mutex_lock(&dev->bell);
	r = doze(w);
	ismi_spin_slept(&dev->spin, &s, r > 0);
	return r;
}

int ismi_wait_for(struct ismi_wait *wait, int64_t timeout_ns)
{
	struct ism_device *dev = wait->dev;
	struct waiting w = { .wait = wait, .dev = dev, .interrupts = ismi_load_relaxed(&dev->interrupts_taken) };
	int r;

	pthread_mutex_lock(&dev->bell);
	dev->ops->poll(dev);
	r = outcome(&w);
	if (r == 0 && timeout_ns == 0) {
		ismi_look(dev);
		r = outcome(&w);
	} else if (r == 0) {
		if (wait->region != NULL)
			wait->region->nr_waiters++;
		w.deadline = ismi_deadline(timeout_ns);
		r = wait_long(&w);
		if (wait->region != NULL)
			wait->region->nr_waiters--;
	}
	ismi_settle(dev);
	pthread_mutex_unlock(&dev->bell);
	ismi_housekeep(dev);
	return r;
}

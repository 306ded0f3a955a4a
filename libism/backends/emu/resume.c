/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * backends/emu/resume.c - the host is gone, and may come back.
 *
 * Until then memory, direct doorbells and waits go on.  Whoever calls in makes
 * a step: connect, say RESUME, take the answer; nothing here blocks but
 * emu_await_host().  The new state and line are mapped over the old ones, so that
 * threads which ring or look meanwhile need no lock.
 *
 * What they ring into the old line, or over a link that its other end has left, is
 * lost; so is what others rang for us.  Hence the rule: having come back, a device
 * takes itself as rung on all its regions and rings them all.  Every such ring
 * was made before its ringer came back, so that covers it.
 */
#include "emu.h"

#include "base/spec.h"
#include "seat.h"
#include "store.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

static const int64_t MS = 1000000, RETRY = 20000000;

/* ------------------------------------------------------------------ it is gone */

void emu_lost(struct ism_device *dev)
{
	struct emu *e = dev->priv;

	if (!e->kept) {
		emu_down(dev);
		return;
	}
	if (ismi_load_relaxed(&e->lost) || ismi_load_relaxed(&e->down))
		return;
	ismi_store_relaxed(&e->lost, true);
	ismi_sys_epoll_del(dev->epfd, e->conn);
	ismi_sys_epoll_del(dev->epfd, e->wake_fd);
	ismi_info(&dev->log, "emu", "the host of %s is gone: waiting for another", dev->info.path);
	ismi_store_relaxed(&dev->housework, true);
	ismi_wake_sleepers(dev);
}

/* The attempt under way has failed: another one later. */
static void again_later(struct ism_device *dev)
{
	struct emu *e = dev->priv;

	if (e->resume_fd >= 0) {
		ismi_sys_epoll_del(dev->epfd, e->resume_fd);
		ismi_sys_close(e->resume_fd);
		e->resume_fd = -1;
	}
	e->resume_at = ismi_deadline(RETRY);
	if (e->timer_fd < 0) {
		e->timer_fd = ismi_sys_timerfd();
		if (e->timer_fd >= 0)
			ismi_sys_epoll_add(dev->epfd, e->timer_fd, EPOLLIN, EMU_DATA_TIMER);
	}
	if (e->timer_fd >= 0)
		ismi_sys_timerfd_set(e->timer_fd, e->resume_at);
}

void emu_resume_end(struct ism_device *dev)
{
	struct emu *e = dev->priv;

	if (e->resume_fd >= 0)
		ismi_sys_epoll_del(dev->epfd, e->resume_fd);
	if (e->timer_fd >= 0)
		ismi_sys_epoll_del(dev->epfd, e->timer_fd);
	ismi_sys_close(e->resume_fd);
	ismi_sys_close(e->timer_fd);
	e->resume_fd = e->timer_fd = -1;
}

static void give_up(struct ism_device *dev)
{
	pthread_mutex_lock(&dev->bell);
	emu_down(dev);
	pthread_mutex_unlock(&dev->bell);
}

/* ------------------------------------------------------------------ coming back */

/* Connect and ask: 0, or -EAGAIN, -ECONNREFUSED, ... for a later attempt. */
static int ask(struct ism_device *dev)
{
	struct emu *e = dev->priv;
	uint8_t msg[ISMI_WIRE_HEADER + ISMI_RESUME_REQ] = { 0 }, *body = msg + ISMI_WIRE_HEADER;
	struct sockaddr_un addr;
	int r = host_address(dev->info.path, &addr);
	int fd = r < 0 ? r : ismi_sys_socket(SOCK_SEQPACKET | SOCK_NONBLOCK);

	if (fd < 0)
		return fd;
	r = ismi_sys_connect(fd, (const struct sockaddr *)&addr, sizeof addr);
	if (r == 0)
		r = emu_host_trusted(dev, fd);
	ismi_wire_put(msg, ISMI_WIRE_RESUME, ISMI_RESUME_REQ, ++e->sequence, 0);
	ismi_put16(body, ISMI_WIRE_VERSION);
	ismi_put16(body + 2, ISMI_WIRE_VERSION);
	ismi_put64(body + 8, dev->info.devid);
	memcpy(body + 16, e->secret, sizeof e->secret);
	if (r == 0)
		r = ismi_wire_send(fd, msg, sizeof msg, NULL, 0);
	if (r == 0)
		r = ismi_sys_epoll_add(dev->epfd, fd, EPOLLIN, EMU_DATA_RESUME);
	if (r < 0) {
		ismi_sys_close(fd);
		return r;
	}
	e->resume_fd = fd;
	return 0;
}

/* Put what the new host shares with us where the old one's was. */
static int map_over(struct emu *e, const int *fds)
{
	void *state = (void *)(uintptr_t)e->end.state, *line = e->end.line;
	int r = store_check_size(fds[ISMI_HELLO_STATE], sizeof(struct ismi_state));

	if (r == 0)
		r = store_check_size(fds[ISMI_HELLO_LINE], sizeof(struct ismi_line));
	if (r == 0)
		r = ismi_sys_mmap(line, sizeof(struct ismi_line), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				  fds[ISMI_HELLO_LINE], 0, &line);
	if (r == 0)
		r = ismi_sys_mmap(state, sizeof(struct ismi_state), PROT_READ, MAP_SHARED | MAP_FIXED,
				  fds[ISMI_HELLO_STATE], 0, &state);
	return r == 0 ? emu_state_check(e->end.state) : r;
}

static int watch(struct ism_device *dev, int wake_fd)
{
	struct emu *e = dev->priv;
	int r;

	ismi_sys_epoll_del(dev->epfd, e->resume_fd);
	r = ismi_sys_replace(e->resume_fd, e->conn);
	if (r < 0)
		return r;
	e->resume_fd = -1;
	r = ismi_sys_replace(wake_fd, e->wake_fd);
	if (r < 0) {
		ismi_sys_close(wake_fd);
		return r;
	}
	r = ismi_sys_epoll_add(dev->epfd, e->conn, 0, EMU_DATA_CONN);
	return r < 0 ? r : ismi_sys_epoll_add(dev->epfd, e->wake_fd, EPOLLIN, EMU_DATA_WAKE);
}

/* What the host knows of our regions, and what we heard: where it differs, events have not reached us. */
static void compare_peers(struct ism_device *dev)
{
	const struct emu *e = dev->priv;
	bool lost = false;

	for (uint32_t i = 0; i < dev->nr_slots; i++) {
		struct ismi_ref *ref = dev->slot[i];
		if (ref == NULL)
			continue;
		uint32_t peers = ismi_load_acquire(&e->end.state->slot[i].peers);
		lost |= peers != ref->peers;
		ismi_deliver_peers(dev, ref, peers);
	}
	if (lost)
		ismi_deliver_lost(dev);
}

/* The rule at the head of this file. */
static void ring_all(struct ism_device *dev)
{
	for (uint32_t i = 0; i < dev->nr_slots; i++) {
		if (dev->slot[i] == NULL)
			continue;
		ismi_deliver_bell(dev, i, 0);
		emu_ring_host(dev, i);
	}
}

/* A new host's events begin anew, and it does not know what we have kept mapped, so it would not tell us of its end. */
static void forget_old_host(struct ism_device *dev)
{
	ismi_kept_drop(dev);
	for (uint32_t i = 0; i < dev->nr_slots; i++) {
		if (dev->slot[i] == NULL)
			continue;
		dev->slot[i]->mem.event_from = 0;
		dev->slot[i]->mem.keep = 0;
	}
	for (size_t i = 0; i < dev->nr_given; i++) {
		dev->given[i].event_from = 0;
		dev->given[i].keep = 0;
	}
	ismi_pool_new_host(dev);
	dev->no_batches = false;	/* it may be a newer one */
}

/* Under both locks. */
static int adopt(struct ism_device *dev, const int *fds)
{
	struct emu *e = dev->priv;
	int r;

	dev->ops->poll(dev);	/* what the old host still said */
	emu_links_forget(dev);
	r = map_over(e, fds);
	if (r == 0)
		r = watch(dev, fds[ISMI_HELLO_WAKE]);
	if (r < 0)
		return r;
	e->end.event_head = e->end.lost_seen = 0;
	e->links_seen = e->kept_seen = 0;
	memset(e->link_failed, 0, sizeof e->link_failed);
	forget_old_host(dev);
	ismi_stash_forget(dev);
	ismi_add_relaxed(&e->hosts, 1);
	ismi_store_relaxed(&e->lost, false);
	dev->ops->poll(dev);
	compare_peers(dev);
	ismi_deliver_moved_any(dev);	/* told by the old host, or by nobody */
	ring_all(dev);
	/* Whoever sleeps has armed what is no longer looked at. */
	ismi_wake_sleepers(dev);
	ismi_settle(dev);
	return 0;
}

/* The answer is there: 0 when we are back, -EAGAIN if the host has no room just now, or what is wrong with it. */
static int take_answer(struct ism_device *dev, ssize_t n, int *fds, size_t nr_fds)
{
	struct emu *e = dev->priv;
	const uint8_t *body = e->buf + ISMI_WIRE_HEADER;
	struct ismi_wire_header h;
	const char *wrong = ismi_wire_get(e->buf, (size_t)n, nr_fds, &h);

	if (wrong != NULL || h.type != ISMI_WIRE_RESUME || h.length < 1)
		return ismi_fail(-EPROTO, "the host's answer to RESUME: %s", wrong ? wrong : "is none");
	if (body[0] == ISMI_ENOMEM)
		return -EAGAIN;
	if (body[0] != ISMI_OK)
		return ismi_fail(-EHOSTDOWN, "the host of %s does not know this device (status %d)", dev->info.path, body[0]);
	if (h.length < ISMI_HELLO_REPLY || nr_fds < ISMI_HELLO_FDS || ismi_get64(body + 16) != dev->info.devid ||
	    ismi_get64(body + 8) != dev->info.gid || ismi_get64(body + 40) != dev->info.window_size)
		return ismi_fail(-EPROTO, "the host's answer to RESUME is another device's");
	pthread_mutex_lock(&dev->bell);
	int r = adopt(dev, fds);
	pthread_mutex_unlock(&dev->bell);
	if (r == 0)
		fds[ISMI_HELLO_WAKE] = -1;	/* consumed */
	return r;
}

void emu_resume_step(struct ism_device *dev)
{
	struct emu *e = dev->priv;
	int fds[ISMI_WIRE_FDS];
	size_t nr_fds;

	if (!ismi_load_relaxed(&e->lost) || ismi_load_relaxed(&e->down))
		return;
	if (e->resume_fd < 0) {
		if (ismi_time_left(e->resume_at) > 0 && e->resume_at != 0)
			return;
		int r = ask(dev);
		if (r == -EACCES)
			give_up(dev);	/* somebody else listens there */
		else if (r < 0)
			again_later(dev);
		return;
	}
	ssize_t n = ismi_wire_recv(e->resume_fd, e->buf, sizeof e->buf, fds, &nr_fds);
	if (n == -EAGAIN)
		return;
	if (n == 0 || n == -ECONNRESET) {	/* that one has gone as well */
		again_later(dev);
		return;
	}
	int r = n < 0 ? (int)n : take_answer(dev, n, fds, nr_fds);
	if (n > 0)
		ismi_wire_close(fds, nr_fds);
	if (r == -EAGAIN) {
		again_later(dev);
		return;
	}
	if (r < 0) {
		give_up(dev);
		return;
	}
	ismi_info(&dev->log, "emu", "%s has a host again", dev->info.path);
}

int emu_await_host(struct ism_device *dev, int64_t deadline)
{
	struct emu *e = dev->priv;

	for (;;) {
		emu_resume_step(dev);
		if (ismi_load_relaxed(&e->down))
			return ismi_fail(-EHOSTDOWN, "the host of %s is gone, and with it its domain", dev->info.path);
		if (!ismi_load_relaxed(&e->lost))
			return 0;
		if (ismi_sys_poll(e->life_fd, 0, 0) == 1) {
			give_up(dev);
			continue;
		}
		int64_t left = ismi_time_left(deadline);
		if (left == 0)
			return ismi_fail(-EHOSTDOWN, "the host of %s is gone and was not back within %lld ms", dev->info.path,
					 (long long)(dev->restart_ns / MS));
		if (left < 0 || left > RETRY)
			left = RETRY;
		if (e->resume_fd >= 0)
			ismi_sys_poll(e->resume_fd, POLLIN, left);
		else
			ismi_sys_poll(e->life_fd, 0, left);
	}
}

/* ------------------------------------------------------------------ a command whose answer was lost */

/*
 * The host may have carried it out.  Region references that it knows and we do
 * not are let go; the one that the command is about (@token) will be asked for again.
 */
int emu_reconcile(struct ism_device *dev, uint64_t token)
{
	enum { STEP = 128 };
	uint64_t own[STEP], at = 0;
	int n;

	do {
		n = ismi_driver_own(dev, at, own, STEP);
		if (n < 0)
			return n;
		at += (uint64_t)n;
		for (int i = 0; i < n; i++) {
			if (own[i] == token || ismi_token_ours(dev, own[i]))
				continue;
			ismi_driver_detach(dev, own[i]);
			at--;
		}
	} while (n == STEP);
	return 0;
}

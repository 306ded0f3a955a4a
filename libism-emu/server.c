/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * server.c - the host of a domain on a Unix socket.
 *
 * A client is a stranger until its HELLO, then a device.  It is closed when it
 * breaks the protocol or leaves its answers unread.
 */
#include "server-private.h"

#include "base/clock.h"
#include "base/sys.h"
#include "closer.h"
#include "persist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	TURN_EVENTS = 64,
	TURN_ACCEPTS = 16,
	LAST_TURNS = 64,
	STRANGERS_MAX = 256,
	OWN_FDS = 32,			/* of the host itself */
	UNREAD_MAX = 32768,		/* bytes of answers, of which the largest has half as many */
	CLOSING_MAX = 1024,		/* connections to be closed before more are accepted */
	DATA_LISTEN = 0,		/* epoll data; everything else is a client */
	DATA_STOP = 1,
	DATA_VMS = 2,
	DATA_KEEPER = 3,
};

static const int64_t MS = 1000000, HELLO_WITHIN = 5000 * MS, LISTEN_PAUSE = 100 * MS;

/* ------------------------------------------------------------------ clients come */

static void client_new(struct server *s, int fd)
{
	struct client *c = calloc(1, sizeof *c);
	struct ucred cred;

	if (c == NULL || ismi_sys_peercred(fd, &cred) < 0) {
		ismi_sys_close(fd);
		free(c);
		return;
	}
	if ((s->opts.own_user_only || !store_serves_all_users()) && cred.uid != geteuid()) {
		server_log_seldom(s, &s->log_closed, ISMI_LOG_WARN, "uid %u refused: this host serves uid %u alone",
				  (unsigned int)cred.uid, (unsigned int)geteuid());
		ismi_sys_close(fd);
		free(c);
		return;
	}
	c->server = s;
	c->fd = fd;
	c->wake_fd = -1;
	c->cred = cred;
	if (cred.uid != geteuid())
		ismi_sys_limit_unread(fd, UNREAD_MAX);
	c->foreign = s->closer != NULL && cred.uid != 0 && cred.uid != geteuid();
	if (ismi_sys_epoll_add(s->epfd, fd, EPOLLIN, (uint64_t)(uintptr_t)c) < 0 || !stranger_add(c)) {
		ismi_sys_close(fd);
		free(c);
		return;
	}
	c->due = c->reply_due = c->rings_due = INT64_MAX;
	c->hello_due = s->now + HELLO_WITHIN;
	TAILQ_INSERT_TAIL(&s->clients, c, all);
	s->nr_clients++;
	client_set_due(c);
	c = stranger_too_many(s);
	if (c != NULL)
		client_refuse(c, "no hello, and too many like it");
}

/* Those who come stay in the queue for a while. */
static void accept_later(struct server *s)
{
	ismi_sys_epoll_mod(s->epfd, s->listen_fd, 0, DATA_LISTEN);
	s->listen_again = s->now + LISTEN_PAUSE;
}

static void accept_clients(struct server *s)
{
	if (s->closer != NULL && closer_waiting(s->closer, CLOSER_CONNECTIONS) > CLOSING_MAX) {
		accept_later(s);
		return;
	}
	for (int i = 0; i < TURN_ACCEPTS; i++) {
		int fd = ismi_sys_accept(s->listen_fd);
		if (fd >= 0) {
			client_new(s, fd);
			continue;
		}
		if (fd == -EAGAIN || fd == -ECONNABORTED)
			return;
		/* Without a pause we would spin on it. */
		server_log_seldom(s, &s->log_accept, ISMI_LOG_ERROR, "cannot accept a connection (errno %d): trying again",
				  -fd);
		accept_later(s);
		return;
	}
}

/* ------------------------------------------------------------------ timers */

static int64_t next_due(const struct server *s)
{
	const struct client *c;
	int64_t due = min64(s->listen_again, s->grace_due);

	if (s->vms != NULL)
		due = min64(due, vhost_due(s->vms));
	TAILQ_FOREACH (c, &s->timed, timed)
		due = min64(due, c->due);
	return due;
}

/* They had their time: to their peers they have gone. */
static void drop_absent(struct server *s)
{
	struct model_device *dev;
	unsigned int nr = 0;

	s->grace_due = INT64_MAX;
	for (; (dev = domain_next_absent(&s->domain)) != NULL; nr++)
		domain_device_del(&s->domain, dev);
	ismi_info(&s->opts.log, "server", "%u devices did not come back and are detached", nr);
}

static void run_timers(struct server *s)
{
	struct client *c, *next;

	if (s->listen_again <= s->now) {
		s->listen_again = INT64_MAX;
		ismi_sys_epoll_mod(s->epfd, s->listen_fd, EPOLLIN, DATA_LISTEN);
	}
	if (s->grace_due <= s->now)
		drop_absent(s);
	for (c = TAILQ_FIRST(&s->timed); c != NULL; c = next) {
		next = TAILQ_NEXT(c, timed);
		if (c->due > s->now)
			continue;
		if (c->hello_due <= s->now) {
			client_refuse(c, "no hello within 5 seconds");
			continue;
		}
		if (c->rings_due <= s->now)
			client_take_rings(c);
		if (c->reply_due <= s->now)
			client_reply_now(c);
	}
}

/* ------------------------------------------------------------------ the loop */

/* Wait for something to do: spin while that pays, as every wait does. */
static int wait_events(struct server *s, struct epoll_event *ev)
{
	struct ismi_spin spin;
	int64_t due = next_due(s);
	int n;

	ismi_spin_start(&s->spin, &spin);
	do {
		n = ismi_sys_epoll_wait(s->epfd, ev, TURN_EVENTS, 0);
		if (n != 0) {
			ismi_spin_paid(&s->spin);
			return n;
		}
		if (due <= ismi_now_ns())
			return 0;
	} while (ismi_spin_again(&s->spin, &spin));
	n = ismi_sys_epoll_wait(s->epfd, ev, TURN_EVENTS, ismi_time_left(due));
	ismi_spin_slept(&s->spin, &spin, n > 0);
	return n;
}

/* The keeper says nothing unless asked: this is its end. */
static void keeper_gone(struct server *s)
{
	ismi_sys_epoll_del(s->epfd, s->persist.keep->fd);
	persist_again(&s->domain);
	if (s->domain.persist != NULL)
		ismi_sys_epoll_add(s->epfd, s->persist.keep->fd, 0, DATA_KEEPER);
}

/* Whether we are to stop. */
static bool take_events(struct server *s, const struct epoll_event *ev, int n)
{
	bool stop = false;

	s->now = ismi_now_ns();
	for (int i = 0; i < n && !ismi_load_relaxed(&s->died); i++) {
		struct client *c = (struct client *)(uintptr_t)ev[i].data.u64;
		if (ev[i].data.u64 == DATA_STOP)
			stop = true;
		else if (ev[i].data.u64 == DATA_LISTEN)
			accept_clients(s);
		else if (ev[i].data.u64 == DATA_VMS)
			continue;	/* they have their turn below, whoever else had one */
		else if (ev[i].data.u64 == DATA_KEEPER)
			keeper_gone(s);
		else if (!c->gone && c->reply_due != INT64_MAX)
			client_close(c);	/* not read now: only its end is reported */
		else if (!c->gone)
			client_read(c);
	}
	run_timers(s);
	if (s->vms != NULL)
		vhost_turn(s->vms, s->now);
	clients_free_gone(s);
	return stop || ismi_load_relaxed(&s->died);
}

void server_run(struct server *s)
{
	struct epoll_event ev[TURN_EVENTS];
	int n;

	persist_settle(&s->domain);
	server_returned(s);
	while (!take_events(s, ev, wait_events(s, ev)))
		;
	/* What has been said until now, a successor would have to be told again. */
	ismi_sys_epoll_del(s->epfd, s->stop_fd);
	ismi_sys_epoll_mod(s->epfd, s->listen_fd, 0, DATA_LISTEN);
	for (int i = 0; i < LAST_TURNS && !ismi_load_relaxed(&s->died) &&
			(n = ismi_sys_epoll_wait(s->epfd, ev, TURN_EVENTS, 0)) > 0; i++)
		take_events(s, ev, n);
}

void server_stop(struct server *s)
{
	ismi_sys_wake_event(s->stop_fd);
}

void server_die(struct server *s)
{
	ismi_store_relaxed(&s->died, true);
	ismi_sys_wake_event(s->stop_fd);
}

/* ------------------------------------------------------------------ life */

void server_default_quotas(struct server_opts *opts)
{
	opts->device_quota = (struct model_quota){ .regions = ISMI_SLOTS, .grants = 65536 };
	opts->user_quota = (struct model_quota){ .devices = 4096, .regions = 1 << 20, .grants = 1 << 20 };
}

/* What this process can have open is for all users: how much of it devices and regions may take. */
static void share_descriptors(struct server *s)
{
	struct rlimit lim = { .rlim_cur = RLIM_INFINITY };

	s->strangers_max = STRANGERS_MAX;
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur == RLIM_INFINITY || s->opts.own_user_only)
		return;
	if (lim.rlim_cur / 8 < s->strangers_max)
		s->strangers_max = (uint32_t)(lim.rlim_cur / 8);
	if (lim.rlim_cur > s->strangers_max + OWN_FDS)
		s->domain.model.descriptors = lim.rlim_cur - s->strangers_max - OWN_FDS;
}

int server_init(struct server *s, const struct server_opts *opts, int listen_fd)
{
	int r;

	*s = (struct server){ .opts = *opts, .listen_fd = listen_fd, .stop_fd = -1, .epfd = -1,
			      .listen_again = INT64_MAX, .grace_due = INT64_MAX, .reply_vector = -1 };
	TAILQ_INIT(&s->clients);
	TAILQ_INIT(&s->timed);
	TAILQ_INIT(&s->gone);
	LIST_INIT(&s->crowds);
	domain_init(&s->domain, opts->gid, opts->host_kind, geteuid());
	s->domain.model.device_quota = opts->device_quota;
	s->domain.model.user_quota = opts->user_quota;
	s->domain.model.host_uid = geteuid();
	share_descriptors(s);
	ismi_spin_policy_init(&s->spin, 0);
	s->closer = opts->own_user_only ? NULL : closer_new();
	r = s->closer == NULL && !opts->own_user_only ? -ENOMEM : 0;
	if (r >= 0)
		r = s->epfd = ismi_sys_epoll();
	if (r >= 0)
		r = s->stop_fd = ismi_sys_eventfd();
	if (r >= 0)
		r = ismi_sys_epoll_add(s->epfd, s->stop_fd, EPOLLIN, DATA_STOP);
	if (r >= 0)
		r = ismi_sys_epoll_add(s->epfd, listen_fd, EPOLLIN, DATA_LISTEN);
	if (r < 0) {
		s->listen_fd = -1;
		server_fini(s, true);
		return r;
	}
	return 0;
}

int server_add_vms(struct server *s, struct vhost *vms)
{
	int r = ismi_sys_epoll_add(s->epfd, vhost_fd(vms), EPOLLIN, DATA_VMS);

	if (r == 0)
		s->vms = vms;
	return r;
}

int server_keep(struct server *s, struct keep *keep, bool listen_kept)
{
	int r = persist_begin(&s->persist, &s->domain, keep, s->listen_fd, listen_kept);

	if (r < 0)
		return r;
	if (r > 0)
		ismi_info(&s->opts.log, "server", "took over %u devices and %u regions", s->domain.model.nr_devices,
			  s->domain.model.nr_regions);
	if (domain_next_absent(&s->domain) != NULL)
		s->grace_due = ismi_deadline((int64_t)keep->grace_s * 1000 * MS);
	r = keep->kind == KEEP_KEEPER ? ismi_sys_epoll_add(s->epfd, keep->fd, 0, DATA_KEEPER) : 0;
	return r < 0 ? ismi_fail(r, "cannot watch the keeper: %s", strerror(-r)) : 0;
}

void server_fini(struct server *s, bool over)
{
	struct model_device *dev;

	persist_end(&s->domain, over);
	/* All at once: to its clients the host is gone, and their peers are not. */
	s->domain.stopping = true;
	while (!TAILQ_EMPTY(&s->clients))
		client_close(TAILQ_FIRST(&s->clients));
	clients_free_gone(s);
	vhost_fini(s->vms);
	while ((dev = domain_next_absent(&s->domain)) != NULL)
		domain_device_del(&s->domain, dev);
	domain_fini(&s->domain);
	closer_end(s->closer);
	ismi_sys_close(s->listen_fd);
	ismi_sys_close(s->stop_fd);
	ismi_sys_close(s->epfd);
}

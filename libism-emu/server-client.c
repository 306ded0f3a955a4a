/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * server-client.c - one connection of the server: its end of the device, its
 * answers, what is due of it, and how it ends.
 */
#include "server-private.h"

#include "base/clock.h"
#include "base/sys.h"
#include "closer.h"
#include "link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOG_PAUSE_NS = 1000000000 };

/* ------------------------------------------------------------------ what is due */

void client_set_due(struct client *c)
{
	struct server *s = c->server;
	int64_t due = min64(c->hello_due, min64(c->reply_due, c->rings_due));

	if (due != INT64_MAX && c->due == INT64_MAX)
		TAILQ_INSERT_TAIL(&s->timed, c, timed);
	else if (due == INT64_MAX && c->due != INT64_MAX)
		TAILQ_REMOVE(&s->timed, c, timed);
	c->due = due;
}

/* ------------------------------------------------------------------ the front of a device */

static void client_wake(struct port *port)
{
	ismi_sys_wake_socket(((struct client *)port)->wake_fd);
}

static bool client_linkable(struct front *front, const struct model_ref *ref)
{
	(void)front;
	(void)ref;
	return true;
}

static enum ismi_status client_link(struct front *front, struct front *peer, uint32_t *ret_number, uint64_t *ret_id)
{
	struct client *c = (struct client *)front;
	struct link_end *end;

	if (peer->ops != front->ops)
		return ISMI_ERR;	/* a virtual machine: through the host */
	enum ismi_status status = link_get(&c->port, (struct port *)peer, &end);
	if (status != ISMI_OK)
		return status;
	if (end->fetched)
		return ISMI_ERR;
	c->server->reply_link = end;
	*ret_number = end->number;
	*ret_id = end->link->id;
	return ISMI_OK;
}

static enum ismi_status client_vector(struct front *front, struct model_ref *ref, bool on)
{
	return port_vector(ref, on, &((struct client *)front)->server->reply_vector);
}

/* Its connection ends, which to it is the end of its host. */
static void client_kick(struct front *front, uint64_t by)
{
	struct client *c = (struct client *)front;

	ismi_info(&c->server->opts.log, "server", "device %llu (pid %d, uid %u) taken off the domain by device %llu",
		  (unsigned long long)front->dev->devid, (int)c->cred.pid, (unsigned int)c->cred.uid,
		  (unsigned long long)by);
	client_close(c);
}

static const struct front_ops client_ops = {
	.ref_begin = port_ref_begin,
	.ref_end = port_ref_end,
	.event = port_event,
	.ring = port_ring,
	.linkable = client_linkable,
	.link = client_link,
	.vector = client_vector,
	.event_position = port_event_position,
	.kept_ended = port_kept_ended,
	.kick = client_kick,
};

int client_port_open(struct client *c, int fds[ISMI_HELLO_FDS])
{
	void *state, *line;
	int pair[2], r;

	/* Not its uid: its files are not ours to reopen, so it brings a second descriptor. */
	c->want_ro = c->cred.uid != geteuid();
	r = store_create_shown(sizeof(struct ismi_state), &state, &fds[ISMI_HELLO_STATE]);
	if (r < 0)
		return r;
	r = store_create_shared(sizeof(struct ismi_line), &line, &fds[ISMI_HELLO_LINE]);
	if (r < 0)
		goto err_state;
	r = ismi_sys_wake_pair(pair);
	if (r < 0)
		goto err_line;
	c->wake_fd = pair[0];
	fds[ISMI_HELLO_WAKE] = pair[1];
	port_init(&c->port, &client_ops, state, line, client_wake);
	return 0;

err_line:
	ismi_sys_close(fds[ISMI_HELLO_LINE]);
	ismi_sys_munmap(line, sizeof(struct ismi_line));
err_state:
	ismi_sys_close(fds[ISMI_HELLO_STATE]);
	ismi_sys_munmap(state, sizeof(struct ismi_state));
	return r;
}

void client_port_close(struct client *c)
{
	ismi_sys_munmap(c->port.state, sizeof *c->port.state);
	ismi_sys_munmap(c->port.line, sizeof *c->port.line);
}

/* ------------------------------------------------------------------ its end */

void server_log_seldom(struct server *s, struct log_limit *limit, int level, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	limit->nr++;
	if (s->now < limit->quiet_until)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (limit->nr > 1)
		ismi_log_msg(&s->opts.log, level, "server", "%s (%llu like it since the last line)", text,
			     (unsigned long long)limit->nr);
	else
		ismi_log_msg(&s->opts.log, level, "server", "%s", text);
	limit->quiet_until = s->now + LOG_PAUSE_NS;
	limit->nr = 0;
}

void client_close(struct client *c)
{
	struct server *s = c->server;

	if (c->gone)
		return;
	c->gone = true;
	c->hello_due = c->reply_due = c->rings_due = INT64_MAX;
	client_set_due(c);
	if (c->greeted) {
		link_port_gone(&c->port);
		domain_del(&s->domain, &c->port.front);
		port_fini(&c->port);
		client_port_close(c);
	} else {
		stranger_del(c);
	}
	/* A child that this process is forking just now has the connection too: closing it alone would not end its events. */
	ismi_sys_epoll_del(s->epfd, c->fd);
	if (c->foreign) {
		ismi_sys_shutdown(c->fd);	/* it finds out now, whenever what it sent is closed */
		closer_add(s->closer, CLOSER_CONNECTIONS, c->fd);
	} else {
		ismi_sys_close(c->fd);
	}
	ismi_sys_close(c->wake_fd);
	s->nr_clients--;
	TAILQ_REMOVE(&s->clients, c, all);
	TAILQ_INSERT_TAIL(&s->gone, c, all);
}

static void close_saying(struct client *c, int level, const char *why)
{
	server_log_seldom(c->server, &c->server->log_closed, level, "pid %d (uid %u): %s: connection closed",
			  (int)c->cred.pid, (unsigned int)c->cred.uid, why);
	client_close(c);
}

void client_refuse(struct client *c, const char *why)
{
	close_saying(c, ISMI_LOG_WARN, why);
}

void client_dismiss(struct client *c, const char *why)
{
	close_saying(c, ISMI_LOG_INFO, why);
}

void clients_free_gone(struct server *s)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&s->gone)) != NULL) {
		TAILQ_REMOVE(&s->gone, c, all);
		free(c);
	}
}

/* ------------------------------------------------------------------ answers */

bool client_reply(struct client *c, uint16_t type, uint32_t sequence, size_t len, const int *fds, size_t nr_fds)
{
	struct server *s = c->server;

	/* Unread descriptors count against all clients of this host (ETOOMANYREFS). */
	if (nr_fds > 0 && ismi_sys_unread(c->fd) > 0) {
		client_refuse(c, "asks for descriptors and does not read its answers");
		return true;
	}
	ismi_wire_put(s->out, type, (uint32_t)len, sequence, (uint16_t)nr_fds);
	int r = ismi_wire_send(c->fd, s->out, ISMI_WIRE_HEADER + len, fds, nr_fds);
	if (r == -ETOOMANYREFS && nr_fds > 0)
		return false;
	if (r == -EAGAIN)
		client_refuse(c, "does not read its answers");
	else if (r < 0)
		client_close(c);
	return true;
}

void client_reply_status(struct client *c, uint16_t type, uint32_t sequence, uint8_t status)
{
	c->server->out[ISMI_WIRE_HEADER] = status;
	client_reply(c, type, sequence, 1, NULL, 0);
}

void client_reply_later(struct client *c, uint32_t sequence, uint8_t status, int64_t delay)
{
	c->reply_sequence = sequence;
	c->reply_status = status;
	c->reply_due = ismi_now_ns() + delay;	/* this turn may have begun long before the request */
	client_set_due(c);
	ismi_sys_epoll_mod(c->server->epfd, c->fd, 0, (uint64_t)(uintptr_t)c);
}

void client_reply_now(struct client *c)
{
	c->reply_due = INT64_MAX;
	client_set_due(c);
	client_reply_status(c, ISMI_WIRE_COMMAND, c->reply_sequence, c->reply_status);
	if (!c->gone)
		ismi_sys_epoll_mod(c->server->epfd, c->fd, EPOLLIN, (uint64_t)(uintptr_t)c);
}

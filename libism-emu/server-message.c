/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * server-message.c - what clients send.  A client is read only while no answer to
 * it is due later, and at most a few messages in a turn.
 */
#include "server-private.h"

#include "base/clock.h"
#include "base/sys.h"
#include "closer.h"

#include <errno.h>

enum {
	TURN_MESSAGES = 8,		/* from one client before the next */
	REJECTS_MAX = 256,		/* descriptors of one user that wait to be closed before it is not listened to */
};

void client_take_rings(struct client *c)
{
	int64_t wait = port_take_rings(&c->port, c->server->now);

	c->rings_due = wait > 0 ? c->server->now + wait : INT64_MAX;
	client_set_due(c);
}

/* What a test wants to happen to a command; false: it has never been received. */
static bool faults_let(struct server *s)
{
	struct fault f = faults_pass(s->opts.faults, FAULT_HOST);

	if (f.action == FAULT_DELAY)
		ismi_sleep_ns(f.delay_ns);	/* a host that is slow is slow for all */
	else if (f.action == FAULT_DIE)
		server_die(s);
	return f.action == FAULT_NONE || f.action == FAULT_DELAY;
}

static void handle_message(struct client *c, const uint8_t *msg, size_t len, int *fds, size_t nr_fds)
{
	struct ismi_wire_header h;
	const char *wrong = ismi_wire_get(msg, len, nr_fds, &h);

	if (wrong != NULL) {
		client_refuse(c, wrong);
		return;
	}
	if (h.type == ISMI_WIRE_RESUME)
		handle_resume(c, &h, msg + ISMI_WIRE_HEADER, nr_fds);
	else if (h.type == ISMI_WIRE_HELLO)
		handle_hello(c, &h, msg + ISMI_WIRE_HEADER, nr_fds);
	else if (!c->greeted)
		client_refuse(c, "no hello first");
	else if (h.type == ISMI_WIRE_COMMAND && !faults_let(c->server))
		return;
	else if (h.type == ISMI_WIRE_COMMAND)
		handle_command(c, &h, msg + ISMI_WIRE_HEADER, fds, nr_fds);
	else if (h.type == ISMI_WIRE_RING && h.length == 0 && nr_fds == 0)
		client_take_rings(c);
	else
		client_refuse(c, "unknown message");
}

/* We cannot take what it sent.  That is not its fault, and its command has not been carried out. */
static void out_of_descriptors(struct client *c, const uint8_t *msg)
{
	struct ismi_wire_header h;
	/* Of the message only the header is used: that its counts are right cannot be told any more. */
	const char *wrong = ismi_wire_get(msg, ISMI_WIRE_HEADER + ismi_get32(msg + 8), ismi_get16(msg + 16), &h);

	server_log_seldom(c->server, &c->server->log_accept, ISMI_LOG_ERROR, "out of descriptors: an ALLOC is refused");
	if (wrong != NULL || h.type != ISMI_WIRE_COMMAND || !c->greeted)
		client_refuse(c, wrong != NULL ? wrong : "descriptors where there may be none");
	else
		client_reply_status(c, ISMI_WIRE_COMMAND, h.sequence, ISMI_ENOMEM);
}

/* What came with a message and has not been taken over. */
static void drop_fds(const struct client *c, int *fds, size_t nr_fds)
{
	for (size_t i = 0; i < nr_fds && c->foreign; i++) {
		closer_add(c->server->closer, c->cred.uid, fds[i]);
		fds[i] = -1;
	}
	ismi_wire_close(fds, nr_fds);
}

void client_read(struct client *c)
{
	struct server *s = c->server;
	int fds[ISMI_WIRE_FDS_ROOM];
	size_t nr_fds;

	if (c->foreign && closer_waiting(s->closer, c->cred.uid) > REJECTS_MAX) {
		client_refuse(c, "what its user sent cannot be closed");
		return;
	}
	for (int i = 0; i < TURN_MESSAGES && !c->gone && c->reply_due == INT64_MAX && !ismi_load_relaxed(&s->died); i++) {
		ssize_t n = ismi_wire_take(c->fd, s->in, sizeof s->in, fds, &nr_fds);
		if (n == -EAGAIN)
			return;
		if (n == -EPROTO)
			client_refuse(c, "message too long, or with too many descriptors");
		else if (n == -EMFILE)
			out_of_descriptors(c, s->in);
		else if (n <= 0)
			client_close(c);
		else
			handle_message(c, s->in, (size_t)n, fds, nr_fds);
		drop_fds(c, fds, nr_fds);
	}
}

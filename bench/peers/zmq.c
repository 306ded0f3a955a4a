/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * zmq.c - ZeroMQ: a pair of sockets over ipc://.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

struct state {
	void *context, *socket;
};

static void *create(size_t bytes)
{
	char *address = peers_shared(64);

	snprintf(address, 64, "ipc://zmq.%d.%zu", (int)getpid(), bytes);
	return address;
}

static int open_end(struct end *e)
{
	struct state *s = calloc(1, sizeof *s);

	s->context = zmq_ctx_new();
	s->socket = zmq_socket(s->context, ZMQ_PAIR);
	e->state = s;
	return e->side ? zmq_bind(s->socket, e->shared) : zmq_connect(s->socket, e->shared);
}

static int put(struct end *e, const void *buf, size_t bytes)
{
	return zmq_send(((struct state *)e->state)->socket, buf, bytes, 0) == (int)bytes ? 0 : -1;
}

static int get(struct end *e, void *buf, size_t bytes)
{
	return zmq_recv(((struct state *)e->state)->socket, buf, bytes, 0) == (int)bytes ? 0 : -1;
}

static void close_end(struct end *e)
{
	struct state *s = e->state;

	zmq_close(s->socket);
	zmq_ctx_term(s->context);
	free(s);
}

int main(int argc, char **argv)
{
	static const struct transport t = { "zeromq-ipc", 0, SLEEPS, create, open_end, put, get, close_end };

	return peers_main(argc, argv, &t, 1);
}

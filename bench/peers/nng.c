/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * nng.c - nng: a pair of sockets over ipc://.
 */
#include "harness.h"

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *create(size_t bytes)
{
	char *address = peers_shared(64);

	snprintf(address, 64, "ipc://nng.%d.%zu", (int)getpid(), bytes);
	return address;
}

static int open_end(struct end *e)
{
	nng_socket *s = calloc(1, sizeof *s);

	e->state = s;
	if (nng_pair0_open(s) != 0)
		return -1;
	nng_socket_set_size(*s, NNG_OPT_RECVMAXSZ, 0);
	nng_socket_set_int(*s, NNG_OPT_SENDBUF, 128);
	nng_socket_set_int(*s, NNG_OPT_RECVBUF, 128);
	if (e->side == 1)
		return nng_listen(*s, e->shared, NULL, 0);
	for (int i = 0; i < 1000; i++) {	/* the other end may not listen yet */
		if (nng_dial(*s, e->shared, NULL, 0) == 0)
			return 0;
		usleep(1000);
	}
	return -1;
}

static int put(struct end *e, const void *buf, size_t bytes)
{
	return nng_send(*(nng_socket *)e->state, (void *)(uintptr_t)buf, bytes, 0);
}

static int get(struct end *e, void *buf, size_t bytes)
{
	size_t got = bytes;

	return nng_recv(*(nng_socket *)e->state, buf, &got, 0) != 0 || got != bytes ? -1 : 0;
}

static void close_end(struct end *e)
{
	nng_close(*(nng_socket *)e->state);
	free(e->state);
}

int main(int argc, char **argv)
{
	static const struct transport t = { "nng-ipc", 0, SLEEPS, create, open_end, put, get, close_end };

	return peers_main(argc, argv, &t, 1);
}

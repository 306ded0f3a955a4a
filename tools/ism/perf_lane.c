/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * perf_lane.c - the lanes of `ism perf`: rings in regions, a pipe, a Unix
 * socket, TCP.
 */
#include "perf_lane.h"

#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

const char *const perf_lane_name[PERF_LANES] = {
	[PERF_RING] = "libism",
	[PERF_RING_SLEEP] = "libism, sleeping",
	[PERF_PIPE] = "pipe",
	[PERF_UNIX] = "Unix socket",
	[PERF_TCP] = "TCP loopback",
};

/* The ring is sixteen of the largest messages; a wait that takes longer than this is a failure. */
static const size_t ring_bytes = 16 * PERF_MESSAGE_MAX + 65536;
static const int64_t too_long_ns = INT64_C(20000000000);

static bool is_ring(const struct lane *l)
{
	return l->kind == PERF_RING || l->kind == PERF_RING_SLEEP;
}

/* ------------------------------------------------------------------ opening */

static void open_tcp(struct lane *l)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof addr;
	int one = 1, listener = (int)bench_ok(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	bench_ok(bind(listener, (struct sockaddr *)&addr, sizeof addr));
	bench_ok(listen(listener, 1));
	bench_ok(getsockname(listener, (struct sockaddr *)&addr, &len));
	int a = (int)bench_ok(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	bench_ok(connect(a, (struct sockaddr *)&addr, sizeof addr));
	int b = (int)bench_ok(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	close(listener);
	bench_ok(setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
	bench_ok(setsockopt(b, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
	l->fd[0][0] = l->fd[0][1] = a;
	l->fd[1][0] = l->fd[1][1] = b;
}

static void open_unix(struct lane *l)
{
	int pair[2];

	bench_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	l->fd[0][0] = l->fd[0][1] = pair[0];
	l->fd[1][0] = l->fd[1][1] = pair[1];
}

static void open_pipes(struct lane *l)
{
	for (int end = 0; end < 2; end++) {
		int fds[2];
		bench_ok(pipe(fds));
		l->fd[end][1] = fds[1];
		l->fd[!end][0] = fds[0];
	}
}

void lane_open(struct lane *l, enum perf_lane kind, struct ism_device *dev)
{
	*l = (struct lane){ .kind = kind, .fd = { { -1, -1 }, { -1, -1 } } };
	if (kind == PERF_PIPE)
		open_pipes(l);
	else if (kind == PERF_UNIX)
		open_unix(l);
	else if (kind == PERF_TCP)
		open_tcp(l);
	for (int i = 0; i < 2 && is_ring(l); i++) {
		bench_ok(ism_alloc_region(dev, ring_bytes, NULL, &l->region[i]));
		l->token[i] = ism_region_token(l->region[i]);
	}
}

static void close_fds(const int fd[2])
{
	if (fd[0] >= 0)
		close(fd[0]);
	if (fd[1] >= 0 && fd[1] != fd[0])
		close(fd[1]);
}

void lane_close(struct lane *l)
{
	close_fds(l->fd[0]);
	close_fds(l->fd[1]);
	ism_detach_region(l->region[0]);
	ism_detach_region(l->region[1]);
}

void lane_forget(const struct lane *l, unsigned int end)
{
	close_fds(l->fd[end]);
}

void lane_end_open(struct lane_end *e, const struct lane *l, unsigned int end, struct ism_device *dev)
{
	struct ism_region *region[2] = { l->region[0], l->region[1] };

	*e = (struct lane_end){ .lane = l, .in = l->fd[end][0], .out = l->fd[end][1] };
	if (!is_ring(l))
		return;
	if (end == 0) {
		bench_ok(ism_ring_create(region[0], ISM_RING_WRITER, NULL, &e->tx));
		bench_ok(ism_ring_create(region[1], ISM_RING_READER, NULL, &e->rx));
		return;
	}
	for (int i = 0; i < 2; i++)
		bench_ok(ism_attach_region(dev, l->token[i], ISM_READ | ISM_WRITE, NULL, &region[i]));
	bench_ok(ism_ring_attach(region[0], ISM_RING_READER, NULL, &e->rx));
	bench_ok(ism_ring_attach(region[1], ISM_RING_WRITER, NULL, &e->tx));
}

void lane_end_close(struct lane_end *e)
{
	ism_ring_close(e->rx);
	ism_ring_close(e->tx);
}

/* ------------------------------------------------------------------ messages */

void lane_send(struct lane_end *e, const void *data, size_t bytes)
{
	if (e->tx != NULL) {
		bench_ok(ism_ring_write(e->tx, data, bytes, too_long_ns));
		return;
	}
	for (const char *at = data; bytes > 0;) {
		ssize_t n = write(e->out, at, bytes);
		if (n < 0 && errno == EINTR)
			continue;
		bench_ok(n);
		at += n;
		bytes -= (size_t)n;
	}
}

static size_t read_some(int fd, void *data, size_t size)
{
	ssize_t n;

	do
		n = read(fd, data, size);
	while (n < 0 && errno == EINTR);
	return (size_t)bench_ok(n);
}

void lane_recv(struct lane_end *e, void *data, size_t bytes)
{
	if (e->rx != NULL) {
		bench_ok(ism_ring_read(e->rx, data, bytes, too_long_ns));
		return;
	}
	for (char *at = data; bytes > 0;) {
		size_t n = read_some(e->in, at, bytes);
		if (n == 0) {
			errno = EPIPE;
			bench_die("the other process is gone");
		}
		at += n;
		bytes -= n;
	}
}

/* A ring's end is a record of one byte: no message is that short. */
void lane_finish(struct lane_end *e)
{
	if (e->tx != NULL)
		lane_send(e, "", 1);
	else if (e->lane->kind == PERF_PIPE)
		close(e->out);
	else
		shutdown(e->out, SHUT_WR);
}

size_t lane_drain(struct lane_end *e, void *data, size_t size)
{
	if (e->rx == NULL)
		return read_some(e->in, data, size);
	size_t n = (size_t)bench_ok(ism_ring_read(e->rx, data, size, too_long_ns));
	return n == 1 ? 0 : n;
}

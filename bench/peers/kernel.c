/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * kernel.c - what the kernel offers between two processes: futex and eventfd (no
 * data but a word), pipe, Unix stream and seqpacket, TCP over loopback without
 * delay, POSIX message queue.  "-spin": looks again and again instead of sleeping.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct files {
	int fd[2][2];		/* [side][0 to read, 1 to write] */
	int listener;
	_Alignas(64) _Atomic uint32_t word[2][16];
};

static int in_fd(const struct end *e)
{
	return ((struct files *)e->shared)->fd[e->side][0];
}

static int out_fd(const struct end *e)
{
	return ((struct files *)e->shared)->fd[e->side][1];
}

static int no_open(struct end *e)
{
	(void)e;
	return 0;
}

static void no_close(struct end *e)
{
	(void)e;
}

static void *checked(struct files *f, int r, const char *what)
{
	if (r >= 0)
		return f;
	perror(what);
	exit(1);
}

/* ------------------------------------------------------------------ wake-ups alone */

static void *word_create(size_t bytes)
{
	(void)bytes;
	return peers_shared(sizeof(struct files));
}

/* As the kernel has them; its headers are not always there. */
enum { FUTEX_WAIT, FUTEX_WAKE };

/* The turn is counted up by each message; its low bit is the message's first byte. */
static int futex_send(struct end *e, const void *buf, size_t bytes)
{
	_Atomic uint32_t *w = ((struct files *)e->shared)->word[e->side];

	(void)bytes;
	atomic_store(w, (atomic_load(w) / 2 + 1) * 2 + (*(const char *)buf != 0));
	syscall(SYS_futex, w, FUTEX_WAKE, 1, NULL, NULL, 0);
	return 0;
}

static int futex_recv(struct end *e, void *buf, size_t bytes)
{
	struct files *f = e->shared;
	_Atomic uint32_t *w = f->word[!e->side];
	/* Messages alternate: end 1 has answered all that it got, end 0 waits for the answer to its last. */
	uint32_t seen, turn = atomic_load(f->word[e->side]) / 2 + e->side;

	(void)bytes;
	while ((seen = atomic_load(w)) / 2 != turn)
		syscall(SYS_futex, w, FUTEX_WAIT, seen, NULL, NULL, 0);
	*(char *)buf = (char)(seen & 1);
	return 0;
}

static void *eventfd_create(size_t bytes)
{
	struct files *f = word_create(bytes);

	for (int s = 0; s < 2; s++)
		checked(f, f->fd[s][1] = f->fd[!s][0] = eventfd(0, EFD_CLOEXEC), "eventfd");
	return f;
}

/* 1 or 2, as an eventfd counts nothing less. */
static int eventfd_send(struct end *e, const void *buf, size_t bytes)
{
	uint64_t v = *(const char *)buf ? 2 : 1;

	(void)bytes;
	return write(out_fd(e), &v, sizeof v) == sizeof v ? 0 : -1;
}

static int eventfd_recv(struct end *e, void *buf, size_t bytes)
{
	uint64_t v;

	(void)bytes;
	if (read(in_fd(e), &v, sizeof v) != sizeof v)
		return -1;
	*(char *)buf = (char)(v - 1);
	return 0;
}

/* ------------------------------------------------------------------ streams of bytes */

static int write_all(struct end *e, const void *buf, size_t bytes)
{
	const char *at = buf;

	while (bytes > 0) {
		ssize_t n = write(out_fd(e), at, bytes);
		if (n <= 0)
			return -1;
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int read_all(struct end *e, void *buf, size_t bytes)
{
	char *at = buf;

	while (bytes > 0) {
		ssize_t n = read(in_fd(e), at, bytes);
		if (n <= 0)
			return -1;
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int spin_send(struct end *e, const void *buf, size_t bytes)
{
	const char *at = buf;

	while (bytes > 0) {
		ssize_t n = send(out_fd(e), at, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return -1;
		at += n > 0 ? n : 0;
		bytes -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int spin_recv(struct end *e, void *buf, size_t bytes)
{
	char *at = buf;

	while (bytes > 0) {
		ssize_t n = recv(in_fd(e), at, bytes, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return -1;
		at += n > 0 ? n : 0;
		bytes -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static void *pipe_create(size_t bytes)
{
	struct files *f = word_create(bytes);

	for (int s = 0; s < 2; s++) {
		int p[2];
		checked(f, pipe2(p, O_CLOEXEC), "pipe");
		fcntl(p[0], F_SETPIPE_SZ, 1 << 20);
		f->fd[!s][0] = p[0];
		f->fd[s][1] = p[1];
	}
	return f;
}

static void *pair_create(int type)
{
	struct files *f = word_create(0);
	int p[2], room = 4 << 20;

	checked(f, socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, p), "socketpair");
	for (int s = 0; s < 2; s++) {
		/* More than anybody may have needs root. */
		if (setsockopt(p[s], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) < 0)
			setsockopt(p[s], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
		f->fd[s][0] = f->fd[s][1] = p[s];
	}
	return f;
}

static void *stream_create(size_t bytes)
{
	(void)bytes;
	return pair_create(SOCK_STREAM);
}

static void *packet_create(size_t bytes)
{
	(void)bytes;
	return pair_create(SOCK_SEQPACKET);
}

static void *tcp_create(size_t bytes)
{
	struct files *f = word_create(bytes);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	checked(f, f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	checked(f, bind(f->listener, (struct sockaddr *)&a, sizeof a), "bind");
	return checked(f, listen(f->listener, 1), "listen");
}

static int tcp_open(struct end *e)
{
	struct files *f = e->shared;
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	int one = 1, fd;

	if (e->side == 1) {
		fd = accept(f->listener, NULL, NULL);
	} else {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (getsockname(f->listener, (struct sockaddr *)&a, &len) < 0 ||
		    connect(fd, (struct sockaddr *)&a, len) < 0)
			return -1;
	}
	f->fd[e->side][0] = f->fd[e->side][1] = fd;
	return fd < 0 ? -1 : setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* ------------------------------------------------------------------ POSIX message queues */

/* Within the limits that everybody has: ten messages of 8 KiB. */
static void *queue_create(size_t bytes)
{
	struct mq_attr attr = { .mq_maxmsg = 10, .mq_msgsize = (long)bytes };
	struct files *f = word_create(bytes);

	for (int s = 0; s < 2; s++) {
		char name[64];
		snprintf(name, sizeof name, "/ism-bench-%d-%d", (int)getpid(), s);
		mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
		checked(f, (int)q, "mq_open");
		mq_unlink(name);
		f->fd[s][1] = f->fd[!s][0] = (int)q;
	}
	return f;
}

static int queue_send(struct end *e, const void *buf, size_t bytes)
{
	return mq_send(out_fd(e), buf, bytes, 0);
}

static int queue_recv(struct end *e, void *buf, size_t bytes)
{
	return mq_receive(in_fd(e), buf, bytes, NULL) == (ssize_t)bytes ? 0 : -1;
}

int main(int argc, char **argv)
{
	static const struct transport t[] = {
		{ "futex", 8, SLEEPS | TRIPS_ONLY, word_create, no_open, futex_send, futex_recv, no_close },
		{ "eventfd", 8, SLEEPS | TRIPS_ONLY, eventfd_create, no_open, eventfd_send, eventfd_recv, no_close },
		{ "pipe", 0, SLEEPS, pipe_create, no_open, write_all, read_all, no_close },
		{ "unix-stream", 0, SLEEPS, stream_create, no_open, write_all, read_all, no_close },
		{ "unix-seqpacket", 0, SLEEPS, packet_create, no_open, write_all, read_all, no_close },
		{ "tcp", 0, SLEEPS, tcp_create, tcp_open, write_all, read_all, no_close },
		{ "posix-mq", 8192, SLEEPS, queue_create, no_open, queue_send, queue_recv, no_close },
		{ "unix-stream-spin", 0, 0, stream_create, no_open, spin_send, spin_recv, no_close },
		{ "tcp-spin", 0, 0, tcp_create, tcp_open, spin_send, spin_recv, no_close },
	};

	return peers_main(argc, argv, t, sizeof t / sizeof t[0]);
}

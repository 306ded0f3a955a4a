/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * tcp.c - a TCP connection between two machines, to measure shared memory beside.
 */
#include "tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 4711, BLOCK = 256 * 1024 };

static const int64_t measure_ns = 500000000;

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int ready(int fd)
{
	struct timeval within = { .tv_sec = 20 };
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof within) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &within, sizeof within) < 0)
		return -errno;
	return fd;
}

static int64_t serve(int fd)
{
	char *buf = malloc(BLOCK);
	ssize_t n;

	/* What comes in ones goes back; what comes in blocks does not. */
	while ((n = recv(fd, buf, BLOCK, 0)) > 0) {
		if (n == 1 && send(fd, buf, 1, 0) != 1)
			break;
	}
	free(buf);
	return n < 0 ? -errno : 0;
}

int64_t tcp_serve(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, fd;
	int64_t r = -1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (ready(listener) < 0 || bind(listener, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(listener, 1) < 0)
		r = -errno;
	for (int i = 0; i < 2 && r != -EAGAIN; i++) {
		fd = accept(listener, NULL, NULL);
		r = fd < 0 ? -errno : ready(fd);
		if (r >= 0)
			r = serve(fd);
		if (fd >= 0)
			close(fd);
	}
	close(listener);
	return r;
}

static int connected(const char *address)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = -1;

	inet_pton(AF_INET, address, &addr.sin_addr);
	for (int i = 0; i < 100; i++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0)
			return ready(fd);
		close(fd);
		usleep(50000);
	}
	return -errno;
}

int64_t tcp_bounce(const char *address, uint64_t nr)
{
	int fd = connected(address);
	char c = 0;

	if (fd < 0)
		return fd;
	int64_t began = now();
	for (uint64_t i = 0; i < nr; i++) {
		if (send(fd, &c, 1, 0) != 1 || recv(fd, &c, 1, 0) != 1) {
			close(fd);
			return -EIO;
		}
	}
	int64_t took = now() - began;
	close(fd);
	return took / (int64_t)nr;
}

int64_t tcp_copy(const char *address)
{
	int fd = connected(address);
	char *buf = calloc(1, BLOCK);
	int64_t began = now(), bytes = 0;
	ssize_t n = 0;

	if (fd < 0) {
		free(buf);
		return fd;
	}
	while (now() - began < measure_ns && (n = send(fd, buf, BLOCK, 0)) > 1)
		bytes += n;
	shutdown(fd, SHUT_WR);
	if (n >= 0 && recv(fd, buf, 1, 0) < 0)		/* until it has all of it */
		n = -1;
	int64_t took = now() - began;
	close(fd);
	free(buf);
	return n < 0 ? -EIO : bytes * 1000 / took;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * churn.c - memory that one process makes, another uses once, and both let go of,
 * again and again: pooled regions, one by one and in batches, and beside them
 * a memory object whose descriptor is passed.
 *
 * usage: churn [-m MS]
 */
#include "bench.h"
#include "harness.h"

#include <ism-ring.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 65536, BATCH = 64, RING = 8192 };

static const int64_t deadline_ns = INT64_C(20000000000);

static unsigned int run_ms = 50;
static struct bench_domain domain;

/* What the two processes know of each other. */
static struct board {
	_Atomic uint64_t devid, token;	/* the user's; the region with the two rings */
} *board;

static void use(void *p)
{
	*(volatile char *)p += 1;
}

/* So many pieces of memory a second: @once(arg, nr) moves @nr of them. */
static void rate(const char *name, unsigned int nr, void (*once)(void *arg, unsigned int nr), void *arg)
{
	double began = bench_now_ns(), warm = began + run_ms * 1e5, end = warm + run_ms * 1e6, now = began, from = 0;
	uint64_t moved = 0;

	do {
		once(arg, nr);
		if (from != 0)
			moved += nr;
		now = bench_now_ns();
		if (from == 0 && now >= warm)
			from = now;
	} while (now < end || moved < nr);
	peers_emit(name, "per_s", nr, (double)moved / (now - from) * 1e9);
}

/* ------------------------------------------------------------------ regions */

static struct ism_ring *ring_of(struct ism_region *r, bool make, uint32_t role, size_t offset)
{
	struct ism_ring_opts o = { .size = sizeof o, .offset = offset, .length = RING };
	struct ism_ring *ring;

	bench_ok(make ? ism_ring_create(r, role, &o, &ring) : ism_ring_attach(r, role, &o, &ring));
	return ring;
}

/* Makes as many as it is asked for, pooled, and lets go of the ones before. */
static void maker(void *arg)
{
	struct ism_alloc_opts pooled = { .size = sizeof pooled, .flags = ISM_ALLOC_POOLED };
	struct ism_region *lines, *made[BATCH];
	uint64_t token[BATCH];
	struct ism_device *dev;
	uint32_t want, nr = 0;

	(void)arg;
	while (atomic_load(&board->devid) == 0)
		usleep(100);
	pooled.peer = atomic_load(&board->devid);
	bench_ok(ism_open(domain.uri, NULL, &dev));
	bench_ok(ism_alloc_region(dev, SIZE, NULL, &lines));
	struct ism_ring *asks = ring_of(lines, true, ISM_RING_READER, 0), *tells = ring_of(lines, true, ISM_RING_WRITER, RING);
	atomic_store(&board->token, ism_region_token(lines));
	while (ism_ring_read(asks, &want, sizeof want, deadline_ns) == sizeof want) {
		ism_detach_regions(made, nr);
		nr = want;
		bench_ok(ism_alloc_regions(dev, SIZE, &pooled, nr, made));
		for (uint32_t i = 0; i < nr; i++) {
			use(ism_region_addr(made[i]));
			token[i] = ism_region_token(made[i]);
		}
		bench_ok(ism_ring_write(tells, token, nr * sizeof token[0], deadline_ns));
	}
	ism_ring_close(asks);
	ism_ring_close(tells);
	ism_close(dev);
}

struct user {
	struct ism_device *dev;
	struct ism_ring *asks, *tells;
};

static void use_regions(void *arg, unsigned int nr)
{
	const struct user *u = arg;
	struct ism_region *region[BATCH];
	uint64_t token[BATCH];
	uint32_t want = nr;

	bench_ok(ism_ring_write(u->asks, &want, sizeof want, deadline_ns));
	bench_ok(ism_ring_read(u->tells, token, sizeof token, deadline_ns));
	bench_ok(ism_attach_regions(u->dev, token, ISM_READ | ISM_WRITE, NULL, nr, region));
	for (unsigned int i = 0; i < nr; i++)
		use(ism_region_addr(region[i]));
	ism_detach_regions(region, nr);
}

static void regions(void)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_region *lines;
	struct user u;

	pid_t pid = bench_fork(maker, NULL);
	bench_ok(ism_open(domain.uri, NULL, &u.dev));
	bench_ok(ism_query(u.dev, &info));
	atomic_store(&board->devid, info.devid);
	while (atomic_load(&board->token) == 0)
		usleep(100);
	bench_ok(ism_attach_region(u.dev, atomic_load(&board->token), ISM_READ | ISM_WRITE, NULL, &lines));
	u.asks = ring_of(lines, false, ISM_RING_WRITER, 0);
	u.tells = ring_of(lines, false, ISM_RING_READER, RING);
	rate("emu-churn-pooled", 1, use_regions, &u);
	rate("emu-churn-pooled", BATCH, use_regions, &u);
	ism_ring_close(u.asks);
	bench_join(pid);
	ism_ring_close(u.tells);
	ism_close(u.dev);
}

/* ------------------------------------------------------------------ descriptors */

union passed {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static struct msghdr message(struct iovec *io, union passed *p)
{
	return (struct msghdr){ .msg_iov = io, .msg_iovlen = 1, .msg_control = p, .msg_controllen = sizeof *p };
}

static void *mapped(int fd)
{
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		bench_die("mmap");
	return p;
}

static void giver(void *arg)
{
	const int *sock = arg;
	char c;

	close(sock[0]);
	while (recv(sock[1], &c, 1, 0) == 1) {
		union passed p = { .head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) } };
		struct iovec io = { &c, 1 };
		struct msghdr m = message(&io, &p);
		int fd = (int)bench_ok(memfd_create("churn", MFD_CLOEXEC));
		bench_ok(ftruncate(fd, SIZE));
		void *at = mapped(fd);
		use(at);
		memcpy(CMSG_DATA(&p.head), &fd, sizeof fd);
		bench_ok(sendmsg(sock[1], &m, MSG_NOSIGNAL));
		munmap(at, SIZE);
		close(fd);
	}
}

static void use_descriptor(void *arg, unsigned int nr)
{
	const int *sock = arg;
	union passed p;
	char c = 0;
	struct iovec io = { &c, 1 };
	struct msghdr m = message(&io, &p);
	int fd;

	(void)nr;
	bench_ok(send(sock[0], &c, 1, MSG_NOSIGNAL));
	bench_ok(recvmsg(sock[0], &m, MSG_CMSG_CLOEXEC));
	memcpy(&fd, CMSG_DATA(&p.head), sizeof fd);
	void *at = mapped(fd);
	use(at);
	munmap(at, SIZE);
	close(fd);
}

static void descriptors(void)
{
	int sock[2];

	bench_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock));
	pid_t pid = bench_fork(giver, sock);
	close(sock[1]);
	rate("memfd-churn", 1, use_descriptor, sock);
	close(sock[0]);
	bench_join(pid);
}

int main(int argc, char **argv)
{
	bench_name = argv[0];
	if (argc == 3 && strcmp(argv[1], "-m") == 0 && atoi(argv[2]) > 0)
		run_ms = (unsigned int)atoi(argv[2]);
	else if (argc != 1)
		return fprintf(stderr, "usage: %s [-m MS]\n", argv[0]), 2;
	bench_cpus();
	board = bench_shared(sizeof *board);
	bench_domain_open(&domain);
	bench_pin(0);
	descriptors();
	regions();
	bench_domain_close(&domain);
	return 0;
}

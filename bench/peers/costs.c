/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * costs.c - what calls cost, and beside them what the kernel takes for the same:
 * memory that is made, mapped and touched, a descriptor that is handed over,
 * eventfds that are written.
 *
 * usage: costs [-m MS]
 */
#include "bench.h"
#include "harness.h"
#include "histogram.h"

#include <ism.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAGE = 4096, SMALL = 65536, LARGE = 1 << 20, BATCH = 100, FAN_OUT_MAX = 1000, FAN_OUTS = 15 };

static unsigned int run_ms = 50;
static struct bench_domain domain;
static struct ism_device *a, *b;	/* of the domain that is measured now */
static struct ism_region *mine, *theirs;
static int sock[2];

/*
 * Do it again and again, timing each @batch calls of @once, and not @undo.
 * Returns the median.
 */
static double timed(const char *name, size_t bytes, unsigned int batch, void (*once)(size_t), void (*undo)(size_t))
{
	static struct bench_histogram h;
	double began = bench_now_ns(), warm = began + run_ms * 1e5, end = warm + run_ms * 1e6, t;

	memset(&h, 0, sizeof h);
	do {
		t = bench_now_ns();
		for (unsigned int i = 0; i < batch; i++)
			once(bytes);
		double took = (bench_now_ns() - t) / batch;
		if (t >= warm)
			bench_histogram_add(&h, (uint64_t)took);
		if (undo != NULL)
			undo(bytes);
	} while (t < end);
	peers_emit_times(name, "ns", bytes, &h);
	return (double)bench_histogram_at(&h, 0.5);
}

static void touch(void *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		((volatile char *)p)[i] = 1;
}

/* ------------------------------------------------------------------ memory, as the kernel gives it */

static int memory_object(size_t bytes)
{
	int fd = (int)bench_ok(memfd_create("costs", MFD_CLOEXEC));

	bench_ok(ftruncate(fd, (off_t)bytes));
	return fd;
}

static void *mapped(int fd, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		bench_die("mmap");
	return p;
}

static void made_and_touched(size_t bytes)
{
	int fd = memory_object(bytes);
	void *p = mapped(fd, bytes);

	touch(p, bytes);
	munmap(p, bytes);
	close(fd);
}

/* As often as two devices would map it. */
static void made_and_mapped_twice(size_t bytes)
{
	int fd = memory_object(bytes);
	void *p = mapped(fd, bytes), *q = mapped(fd, bytes);

	munmap(q, bytes);
	munmap(p, bytes);
	close(fd);
}

/* ------------------------------------------------------------------ a descriptor handed over */

static int handed_fd;
static void *handed;

static void give_peer(void *arg)
{
	int fd = memory_object(LARGE);
	char c, control[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec io = { &c, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *head = CMSG_FIRSTHDR(&m);

	(void)arg;
	touch(mapped(fd, LARGE), LARGE);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(head), &fd, sizeof fd);
	close(sock[0]);
	while (recv(sock[1], &c, 1, 0) == 1)
		bench_ok(sendmsg(sock[1], &m, MSG_NOSIGNAL));
}

static void take(size_t bytes)
{
	char c = 0, control[CMSG_SPACE(sizeof handed_fd)];
	struct iovec io = { &c, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };

	bench_ok(send(sock[0], &c, 1, MSG_NOSIGNAL));
	bench_ok(recvmsg(sock[0], &m, MSG_CMSG_CLOEXEC));
	memcpy(&handed_fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof handed_fd);
	handed = mapped(handed_fd, bytes);
	touch(handed, 1);
}

static void give_back(size_t bytes)
{
	munmap(handed, bytes);
	close(handed_fd);
}

static void handing_over(void)
{
	bench_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock));
	pid_t pid = bench_fork(give_peer, NULL);
	close(sock[1]);
	timed("pass-fd-map", LARGE, 1, take, give_back);
	close(sock[0]);
	bench_join(pid);
}

/* ------------------------------------------------------------------ the same with libism */

static void open_both(const char *uri)
{
	bench_ok(ism_open(uri, NULL, &a));
	bench_ok(ism_open(uri, NULL, &b));
}

static void close_both(void)
{
	ism_close(b);
	ism_close(a);
}

static void allocated(size_t bytes)
{
	bench_ok(ism_alloc_region(a, bytes, NULL, &mine));
}

static void allocated_and_touched(size_t bytes)
{
	allocated(bytes);
	touch(ism_region_addr(mine), bytes);
	ism_detach_region(mine);
}

static struct ism_alloc_opts pooled = { .size = sizeof pooled, .flags = ISM_ALLOC_POOLED };

static void allocated_pooled(size_t bytes)
{
	bench_ok(ism_alloc_region(a, bytes, &pooled, &mine));
	touch(ism_region_addr(mine), bytes);
	ism_detach_region(mine);
}

static void let_go(size_t bytes)
{
	(void)bytes;
	ism_detach_region(mine);
}

static void attached(size_t bytes)
{
	(void)bytes;
	bench_ok(ism_attach_region(b, ism_region_token(mine), ISM_READ | ISM_WRITE, NULL, &theirs));
	touch(ism_region_addr(theirs), 1);
}

static void detached(size_t bytes)
{
	(void)bytes;
	ism_detach_region(theirs);
}

static void life(size_t bytes)
{
	allocated(bytes);
	bench_ok(ism_attach_region(b, ism_region_token(mine), ISM_READ | ISM_WRITE, NULL, &theirs));
	ism_detach_region(theirs);
	ism_detach_region(mine);
}

/* Made, shared, used once, freed. */
static void churned(size_t bytes)
{
	allocated(bytes);
	touch(ism_region_addr(mine), 1);
	attached(bytes);
	detached(bytes);
	let_go(bytes);
}

static void asked(size_t bytes)
{
	struct ism_domain_info info = { .size = sizeof info };

	(void)bytes;
	bench_ok(ism_query_domain(a, &info));
}

/* Long enough for the host to fall asleep. */
static void paused(size_t bytes)
{
	(void)bytes;
	usleep(1000);
}

static void notified(size_t bytes)
{
	(void)bytes;
	bench_ok(ism_region_notify(mine));
}

static void of_emu(void)
{
	open_both(domain.uri);
	timed("emu-alloc-touch", LARGE, 1, allocated_and_touched, NULL);
	struct ism_info info = { .size = sizeof info };
	bench_ok(ism_query(b, &info));
	pooled.peer = info.devid;
	timed("emu-alloc-pooled", LARGE, 1, allocated_pooled, NULL);
	timed("emu-alloc", SMALL, 1, allocated, let_go);
	allocated(SMALL);
	timed("emu-detach-last", SMALL, 1, let_go, allocated);
	let_go(SMALL);
	allocated(LARGE);
	touch(ism_region_addr(mine), LARGE);
	timed("emu-attach", LARGE, 1, attached, detached);
	attached(LARGE);
	timed("emu-detach", LARGE, 1, detached, attached);
	timed("emu-notify-awake", 0, BATCH, notified, NULL);
	detached(LARGE);
	let_go(LARGE);
	peers_emit("emu-churn", "per_s", SMALL, 1e9 / timed("emu-churn", SMALL, 1, churned, NULL));
	timed("emu-control-busy", 0, 1, asked, NULL);
	timed("emu-control-idle", 0, 1, asked, paused);
	close_both();
}

static void of_loop(void)
{
	double memory = timed("memfd-map-twice", SMALL, 1, made_and_mapped_twice, NULL);

	open_both("loop:costs");
	peers_emit("loop-life-beyond", "ns_p50", SMALL, timed("loop-life", SMALL, 1, life, NULL) - memory);
	timed("loop-alloc-touch", LARGE, 1, allocated_and_touched, NULL);
	allocated(SMALL);
	attached(SMALL);
	timed("loop-notify-awake", 0, BATCH, notified, NULL);
	detached(SMALL);
	let_go(SMALL);
	close_both();
}

/* ------------------------------------------------------------------ one rings, many hear */

/* How many, and whether they take what they hear. */
struct audience {
	_Atomic int ready, over, deaf;
	uint64_t token;
	unsigned int nr;
	bool bare;
	int fd[FAN_OUT_MAX];		/* eventfds, if bare */
};

static void hear(struct ism_device **dev, struct ism_region **region, const struct audience *l, unsigned int i)
{
	struct ism_event ev;
	uint64_t v;

	if (l->bare) {
		bench_ok(read(l->fd[i], &v, sizeof v));
		return;
	}
	ism_region_clear(region[i]);
	while (ism_event_next(dev[i], &ev, sizeof ev) > 0)
		;
}

static void audience_peer(void *arg)
{
	static struct ism_device *dev[FAN_OUT_MAX];
	static struct ism_region *region[FAN_OUT_MAX];
	struct ism_open_opts opts = { .size = sizeof opts, .window_size = 1 << 20, .spin_us = ISM_SPIN_NONE };
	struct audience *l = arg;
	struct epoll_event ev[64];
	int poll = epoll_create1(EPOLL_CLOEXEC);

	for (unsigned int i = 0; i < l->nr; i++) {
		if (!l->bare) {
			bench_ok(ism_open(domain.uri, &opts, &dev[i]));
			bench_ok(ism_attach_region(dev[i], l->token, ISM_READ | ISM_WRITE, NULL, &region[i]));
		}
		struct epoll_event one = { .events = EPOLLIN, .data.u32 = i };
		int fd = l->bare ? l->fd[i] : ism_fd(dev[i]);
		bench_ok(epoll_ctl(poll, EPOLL_CTL_ADD, fd, &one));
	}
	for (unsigned int i = 0; i < l->nr && !l->bare; i++)
		hear(dev, region, l, i);
	atomic_store(&l->ready, 1);
	while (!atomic_load(&l->over)) {
		if (atomic_load(&l->deaf)) {
			usleep(1000);
			continue;
		}
		int n = epoll_wait(poll, ev, 64, 100);
		for (int i = 0; i < n; i++)
			hear(dev, region, l, ev[i].data.u32);
	}
	for (unsigned int i = 0; i < l->nr && !l->bare; i++)
		ism_close(dev[i]);
	close(poll);
}

static void ring_all(const struct audience *l)
{
	uint64_t one = 1;

	if (!l->bare)
		bench_ok(ism_region_notify(mine));
	for (unsigned int i = 0; i < l->nr && l->bare; i++)
		bench_ok(write(l->fd[i], &one, sizeof one));
}

static void fan_out(const char *name, unsigned int nr, bool bare, bool deaf)
{
	static struct bench_histogram h;
	struct audience *l = bench_shared(sizeof *l);

	memset(&h, 0, sizeof h);
	l->nr = nr;
	l->bare = bare;
	l->token = ism_region_token(mine);
	for (unsigned int i = 0; i < nr && bare; i++)
		l->fd[i] = (int)bench_ok(eventfd(0, EFD_CLOEXEC));
	pid_t pid = bench_fork(audience_peer, l);
	while (!atomic_load(&l->ready))
		usleep(1000);
	for (int i = 0; i < FAN_OUTS + 4; i++) {	/* the first ones make the links, one more is left pending */
		usleep(deaf && i > 3 ? 100 : 2000 + nr * 4);
		if (i == 3) {
			atomic_store(&l->deaf, deaf);
			usleep(deaf ? 150000 : 0);
		}
		double t = bench_now_ns();
		ring_all(l);
		t = bench_now_ns() - t;
		if (i >= 4)
			bench_histogram_add(&h, (uint64_t)(deaf ? t / nr : t));
	}
	peers_emit_times(name, "ns", nr, &h);
	atomic_store(&l->over, 1);
	bench_join(pid);
	for (unsigned int i = 0; i < nr && bare; i++)
		close(l->fd[i]);
	munmap(l, sizeof *l);
}

static void fan_outs(void)
{
	bench_ok(ism_open(domain.uri, NULL, &a));
	allocated(SMALL);
	for (unsigned int nr = 1; nr <= FAN_OUT_MAX; nr *= 10) {
		fan_out("eventfd-fan-out-asleep", nr, true, false);
		fan_out("emu-fan-out-asleep", nr, false, false);
		fan_out("emu-fan-out-awake", nr, false, true);
	}
	ism_close(a);
}

int main(int argc, char **argv)
{
	bench_name = argv[0];
	if (argc == 3 && strcmp(argv[1], "-m") == 0 && atoi(argv[2]) > 0)
		run_ms = (unsigned int)atoi(argv[2]);
	else if (argc != 1)
		return fprintf(stderr, "usage: %s [-m MS]\n", argv[0]), 2;
	bench_cpus();
	bench_domain_open(&domain);
	bench_pin(1);
	cpu_set_t other;
	bench_ok(sched_getaffinity(0, sizeof other, &other));
	bench_ok(sched_setaffinity(domain.ismd, sizeof other, &other));
	bench_pin(0);
	timed("memfd-map-touch", LARGE, 1, made_and_touched, NULL);
	handing_over();
	of_emu();
	of_loop();
	fan_outs();
	bench_domain_close(&domain);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * sys-wait.c - the wrapped system calls of sys.h: waking and waiting.
 */
#include "base/sys-private.h"

#include "base/clock.h"
#include "base/substitute.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* 0, or -errno. */
static int send_byte(int fd)
{
	RETRY((int)send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0);
}

void ismi_sys_wake_socket(int fd)
{
	enum { TRIES = 20, PAUSE_NS = 1000000 };
	int saved = errno;

	/* Who is not woken sleeps on until the next ring, which may never come: a lack of memory is waited out. */
	for (int i = 0; i < TRIES; i++) {
		int r = ismi_sys_hook == NULL ? 0 : ismi_sys_hook("wake");
		if (r != -ENOMEM && r != -ENOBUFS)
			r = send_byte(fd);
		if (r != -ENOMEM && r != -ENOBUFS)
			break;
		ismi_sleep_ns(PAUSE_NS);
	}
	errno = saved;
}

/* Whether the eventfd took it. */
static bool add_one(int fd)
{
	const uint64_t one = 1;
	ssize_t n;

	while ((n = write(fd, &one, sizeof one)) < 0 && errno == EINTR)
		;
	return n == sizeof one;
}

void ismi_sys_wake_event(int fd)
{
	uint64_t full;
	int saved = errno;

	if (ismi_sys_hook != NULL)
		ismi_sys_hook("wake");
	/*
	 * One that is full is emptied: who watches it edge-triggered, and never reads it, sees
	 * what is written, not what stands there.  (An emulator of a big-endian machine that does
	 * not know the descriptor for an eventfd adds 2^56 at a time.)  Once: a peer could fill it
	 * again and again.
	 */
	if (!add_one(fd) && errno == EAGAIN && read(fd, &full, sizeof full) > 0)
		add_one(fd);
	errno = saved;
}

bool ismi_sys_wake_clear(int fd)
{
	char buf[512];
	int saved = errno;
	ssize_t n;

	if (ismi_sys_hook != NULL)
		ismi_sys_hook("wake_clear");
	/* All of it; but nobody who goes on writing keeps us here. */
	for (int i = 0; i < 128; i++) {
		do
			n = read(fd, buf, sizeof buf);
		while (n < 0 && errno == EINTR);
		if (n < (ssize_t)sizeof buf)
			break;
	}
	errno = saved;
	return n != 0;
}

int ismi_sys_eventfd(void)
{
	POINT("eventfd");
#if ISM_WITHOUT_EVENTFD
	TRACK(ismi_substitute_eventfd());
#else
	TRACK(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
#endif
}

int ismi_sys_timerfd(void)
{
	POINT("timerfd");
	TRACK(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
}

int ismi_sys_timerfd_set(int fd, int64_t at_ns)
{
	struct itimerspec its = { .it_value = { .tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000 } };

	POINT("timerfd_set");
	RETRY(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL));
}

int ismi_sys_thread_timer(int sig, timer_t *ret)
{
	POINT("timer_create");
#ifdef SIGEV_THREAD_ID
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = sig };

	ev.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	return timer_create(CLOCK_MONOTONIC, &ev, ret) < 0 ? -errno : 0;
#else
	(void)sig;
	(void)ret;
	return -ENOSYS;
#endif
}

int ismi_sys_epoll(void)
{
	POINT("epoll_create");
	TRACK(epoll_create1(EPOLL_CLOEXEC));
}

int ismi_sys_epoll_add(int epfd, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	POINT("epoll_add");
	RETRY(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
}

int ismi_sys_epoll_mod(int epfd, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	POINT("epoll_mod");
	RETRY(epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev));
}

int ismi_sys_epoll_del(int epfd, int fd)
{
	POINT("epoll_del");
	RETRY(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL));
}

/* Milliseconds for poll and epoll, rounded up so that nobody wakes early and spins. */
static int to_ms(int64_t timeout_ns)
{
	if (timeout_ns < 0)
		return -1;
	int64_t ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
	return ms > 3600000 ? 3600000 : (int)ms;
}

int ismi_sys_epoll_wait(int epfd, struct epoll_event *ev, int nr, int64_t timeout_ns)
{
	POINT("epoll_wait");
	int n = epoll_wait(epfd, ev, nr, to_ms(timeout_ns));
	return n < 0 ? -errno : n;
}

int ismi_sys_poll(int fd, short events, int64_t timeout_ns)
{
	struct pollfd p = { .fd = fd, .events = events };

	POINT("poll");
	int n = poll(&p, 1, to_ms(timeout_ns));
	return n < 0 ? -errno : n;
}

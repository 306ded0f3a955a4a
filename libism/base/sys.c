/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * sys.c - the wrapped system calls of sys.h.
 */
#include "base/sys.h"

#include "base/substitute.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

int (*ismi_sys_hook)(const char *call);

/* The point at which a test may fail this call, or stop the process. */
#define POINT(name)                                                                                                    \
	do {                                                                                                           \
		int point_err_ = ismi_sys_hook == NULL ? 0 : ismi_sys_hook(name);                                      \
		if (point_err_ < 0)                                                                                    \
			return point_err_;                                                                             \
	} while (0)

/* The value of a call, or -errno; again for as long as a signal interrupts it. */
#define RETRY(expr)                                                                                                    \
	do {                                                                                                           \
		__typeof__(expr) ret_;                                                                                 \
		do                                                                                                     \
			ret_ = (expr);                                                                                 \
		while (ret_ < 0 && errno == EINTR);                                                                    \
		return ret_ < 0 ? -errno : ret_;                                                                       \
	} while (0)

/* ------------------------------------------------------------------ descriptors and fork */

unsigned int ismi_fork_count;

/* A bit for each descriptor of ours, under a lock that fork() takes too: no descriptor is between. */
static struct {
	pthread_mutex_t lock;
	uint64_t *map;
	size_t nr_words;
} ours = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void fork_prepare(void)
{
	pthread_mutex_lock(&ours.lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&ours.lock);
}

static void fork_child(void)
{
	for (size_t i = 0; i < ours.nr_words; i++) {
		for (uint64_t word = ours.map[i]; word != 0; word &= word - 1)
			close((int)(i * 64 + (size_t)__builtin_ctzll(word)));
		ours.map[i] = 0;
	}
	ismi_fork_count++;
	pthread_mutex_unlock(&ours.lock);
}

static int fork_init_result;

static void fork_init_once(void)
{
	fork_init_result = -pthread_atfork(fork_prepare, fork_parent, fork_child);
}

int ismi_fork_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fork_init_once);
	return fork_init_result;
}

/* 0 to 2 are the program's, even where it has closed them: what it prints must not get into our files. */
static int above_stdio(int fd)
{
	int up, err;

	if (fd > STDERR_FILENO)
		return fd;
	up = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	err = errno;
	close(fd);
	return up < 0 ? -err : up;
}

/* Remember @fd, or close it; the number it has from now on, or a negative errno.  The lock is held. */
static int track_locked(int fd)
{
	size_t word, words = ours.nr_words ? ours.nr_words : 16;

	fd = above_stdio(fd);
	if (fd < 0)
		return fd;
	word = (size_t)fd / 64;
	if (word >= ours.nr_words) {
		while (words <= word)
			words *= 2;
		uint64_t *map = realloc(ours.map, words * sizeof *map);
		if (map == NULL) {
			close(fd);
			return -ENOMEM;
		}
		memset(map + ours.nr_words, 0, (words - ours.nr_words) * sizeof *map);
		ours.map = map;
		ours.nr_words = words;
	}
	ours.map[word] |= UINT64_C(1) << fd % 64;
	return fd;
}

/* Close @fd if it is remembered.  The lock is held. */
static bool untrack_locked(int fd)
{
	size_t word = (size_t)fd / 64;
	uint64_t bit = UINT64_C(1) << fd % 64;

	if (word >= ours.nr_words || !(ours.map[word] & bit))
		return false;
	ours.map[word] &= ~bit;
	return true;
}

/* Close it, if it is ours: after EINTR it is closed all the same (Linux). */
static void drop_locked(int fd)
{
	if (untrack_locked(fd))
		close(fd);
}

/* The descriptor that a call makes, remembered, or -errno. */
#define TRACK(expr)                                                                                                    \
	do {                                                                                                           \
		int fd_;                                                                                               \
		pthread_mutex_lock(&ours.lock);                                                                        \
		do                                                                                                     \
			fd_ = (expr);                                                                                  \
		while (fd_ < 0 && errno == EINTR);                                                                     \
		fd_ = fd_ < 0 ? -errno : track_locked(fd_);                                                            \
		pthread_mutex_unlock(&ours.lock);                                                                      \
		return fd_;                                                                                            \
	} while (0)

int ismi_sys_adopt(int fd)
{
	TRACK(fd);
}

/* ------------------------------------------------------------------ file descriptors */

int ismi_sys_open(const char *path, int flags, mode_t mode)
{
	POINT("open");
	TRACK(open(path, flags | O_CLOEXEC, mode));
}

void ismi_sys_close(int fd)
{
	int saved = errno;

	if (fd < 0)
		return;
	if (ismi_sys_hook != NULL)
		ismi_sys_hook("close");
	pthread_mutex_lock(&ours.lock);
	drop_locked(fd);
	pthread_mutex_unlock(&ours.lock);
	errno = saved;
}

void ismi_sys_close_slowly(int fd)
{
	int saved = errno;

	if (ismi_sys_hook != NULL)
		ismi_sys_hook("close");
	pthread_mutex_lock(&ours.lock);
	bool known = untrack_locked(fd);
	pthread_mutex_unlock(&ours.lock);
	if (known)
		close(fd);
	errno = saved;
}

ssize_t ismi_sys_read(int fd, void *buf, size_t len)
{
	POINT("read");
	RETRY(read(fd, buf, len));
}

ssize_t ismi_sys_write(int fd, const void *buf, size_t len)
{
	POINT("write");
	RETRY(write(fd, buf, len));
}

ssize_t ismi_sys_splice(int from, int to, size_t len)
{
	POINT("splice");
	RETRY(splice(from, NULL, to, NULL, len, SPLICE_F_NONBLOCK));
}

int ismi_sys_dup(int fd)
{
	POINT("dup");
	TRACK(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

int ismi_sys_ioctl(int fd, unsigned long request, void *arg)
{
	POINT("ioctl");
	RETRY(ioctl(fd, request, arg));
}

int ismi_sys_replace(int from, int to)
{
	POINT("dup3");
	int r;
	do
		r = dup3(from, to, O_CLOEXEC);
	while (r < 0 && (errno == EINTR || errno == EBUSY));
	if (r < 0)
		return -errno;
	ismi_sys_close(from);
	return 0;
}

int ismi_sys_getfl(int fd)
{
	POINT("getfl");
	RETRY(fcntl(fd, F_GETFL));
}

int ismi_sys_setfl(int fd, int flags)
{
	POINT("setfl");
	RETRY(fcntl(fd, F_SETFL, flags));
}

int ismi_sys_fstat(int fd, struct stat *ret)
{
	POINT("fstat");
	RETRY(fstat(fd, ret));
}

int ismi_sys_fchmod(int fd, mode_t mode)
{
	POINT("fchmod");
	RETRY(fchmod(fd, mode));
}

int ismi_sys_ftruncate(int fd, off_t size)
{
	struct rlimit lim;

	POINT("ftruncate");
	/* Beyond it there is not only an error, but a signal that ends the program. */
	if (getrlimit(RLIMIT_FSIZE, &lim) == 0 && lim.rlim_cur != RLIM_INFINITY && (rlim_t)size > lim.rlim_cur)
		return -EFBIG;
	RETRY(ftruncate(fd, size));
}

int ismi_sys_fallocate(int fd, off_t size)
{
	enum { STEP = 1 << 20 };

	POINT("fallocate");
	/* In steps, because a signal undoes what one call has done so far: a large one might never come to its end. */
	for (off_t at = 0; at < size;) {
		off_t len = size - at < STEP ? size - at : STEP;
		int err = posix_fallocate(fd, at, len);
		if (err != 0 && err != EINTR)
			return -err;
		at += err == 0 ? len : 0;
	}
	return 0;
}

int64_t ismi_sys_fs_type(int fd)
{
	struct statfs st;

	POINT("fstatfs");
	if (fstatfs(fd, &st) < 0)
		return -errno;
	return (int64_t)(uint32_t)st.f_type;
}

int ismi_sys_lock(int fd)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	POINT("lock");
	if (fcntl(fd, F_SETLK, &fl) < 0)
		return errno == EACCES ? -EAGAIN : -errno;
	return 0;
}

int ismi_sys_lock_holder(int fd)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	POINT("getlk");
	if (fcntl(fd, F_GETLK, &fl) < 0)
		return -errno;
	return fl.l_type == F_UNLCK ? 0 : fl.l_pid;
}

/* ------------------------------------------------------------------ names */

int ismi_sys_unlink(const char *path)
{
	POINT("unlink");
	RETRY(unlink(path));
}

int ismi_sys_chmod(const char *path, mode_t mode)
{
	POINT("chmod");
	RETRY(chmod(path, mode));
}

int ismi_sys_chown(const char *path, uid_t uid, gid_t gid)
{
	POINT("chown");
	RETRY(chown(path, uid, gid));
}

int ismi_sys_mkdir(const char *path, mode_t mode)
{
	POINT("mkdir");
	RETRY(mkdir(path, mode));
}

int ismi_sys_mkdtemp(char *template)
{
	POINT("mkdtemp");
	return mkdtemp(template) == NULL ? -errno : 0;
}

int ismi_sys_rmdir(const char *path)
{
	POINT("rmdir");
	RETRY(rmdir(path));
}

int ismi_sys_stat(const char *path, struct stat *ret)
{
	POINT("stat");
	RETRY(stat(path, ret));
}

int ismi_sys_lstat(const char *path, struct stat *ret)
{
	POINT("lstat");
	RETRY(lstat(path, ret));
}

/* ------------------------------------------------------------------ memory */

int ismi_sys_memfd(const char *name, unsigned int flags)
{
	POINT("memfd_create");
#if ISM_WITHOUT_MEMFD
	(void)name;
	TRACK(flags & MFD_HUGETLB ? (errno = ENOSYS, -1) : ismi_substitute_memfd());
#else
	TRACK(memfd_create(name, flags | MFD_CLOEXEC));
#endif
}

int ismi_sys_add_seals(int fd, int seals)
{
	POINT("add_seals");
	if (seals == 0)
		return 0;
	RETRY(fcntl(fd, F_ADD_SEALS, seals));
}

int ismi_sys_get_seals(int fd)
{
	POINT("get_seals");
#if ISM_WITHOUT_MEMFD
	(void)fd;
	return 0;
#else
	RETRY(fcntl(fd, F_GET_SEALS));
#endif
}

int ismi_sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset, void **ret)
{
	POINT("mmap");
	void *p = mmap(addr, len, prot, flags, fd, offset);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

int ismi_sys_munmap(void *addr, size_t len)
{
	/* Of a whole mapping: that cannot fail. */
	if (ismi_sys_hook != NULL)
		ismi_sys_hook("munmap");
	RETRY(munmap(addr, len));
}

int ismi_sys_madvise(void *addr, size_t len, int advice)
{
	POINT("madvise");
	RETRY(madvise(addr, len, advice));
}

int ismi_sys_mbind(void *addr, size_t len, int node)
{
	enum { MPOL_BIND_ = 2, MASK_WORDS = 16 };
	unsigned long mask[MASK_WORDS] = { 0 };
	const unsigned int bits = 8 * sizeof mask[0];

	POINT("mbind");
	if (node < 0 || (unsigned int)node >= MASK_WORDS * bits)
		return -EINVAL;
	mask[(unsigned int)node / bits] = 1UL << ((unsigned int)node % bits);
	/* maxnode counts one more than the kernel reads (mbind(2), BUGS) */
	RETRY((int)syscall(SYS_mbind, addr, len, MPOL_BIND_, mask, MASK_WORDS * bits, 0));
}

/* ------------------------------------------------------------------ sockets */

int ismi_sys_socket(int type)
{
	POINT("socket");
	TRACK(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
}

/* Refuse descriptors sent to a socket (Linux 6.16). */
static void refuse_descriptors(int fd)
{
#ifndef SO_PASSRIGHTS
	enum { SO_PASSRIGHTS = 83 };
#endif
	const int off = 0;

	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off);
}

/*
 * Remember both ends of a pair, or close both; @r: what the call that made them
 * returned.  The lock is held.
 */
static int track_pair_locked(int r, const int pair[2], int ret[2])
{
	int first, second;

	if (r < 0)
		return -errno;
	first = track_locked(pair[0]);
	if (first < 0) {
		close(pair[1]);
		return first;
	}
	second = track_locked(pair[1]);
	if (second < 0) {
		drop_locked(first);
		return second;
	}
	ret[0] = first;
	ret[1] = second;
	return 0;
}

int ismi_sys_socketpair(int type, int ret[2])
{
	POINT("socketpair");
	pthread_mutex_lock(&ours.lock);
	int pair[2], r = track_pair_locked(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), pair, ret);
	pthread_mutex_unlock(&ours.lock);
	if (r < 0)
		return r;
	refuse_descriptors(ret[0]);
	refuse_descriptors(ret[1]);
	return 0;
}

int ismi_sys_pipe(int ret[2])
{
	POINT("pipe");
	pthread_mutex_lock(&ours.lock);
	int pair[2], r = track_pair_locked(pipe2(pair, O_CLOEXEC), pair, ret);
	pthread_mutex_unlock(&ours.lock);
	return r;
}

void ismi_sys_limit_unread(int fd, int bytes)
{
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

int ismi_sys_wake_pair(int ret[2])
{
	int r = ismi_sys_socketpair(SOCK_STREAM | SOCK_NONBLOCK, ret);

	if (r == 0) {
		shutdown(ret[0], SHUT_RD);	/* cannot fail: they are connected */
		ismi_sys_limit_unread(ret[0], 1);	/* the least there is */
	}
	return r;
}

int ismi_sys_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	POINT("bind");
	RETRY(bind(fd, addr, len));
}

int ismi_sys_listen(int fd, int backlog)
{
	POINT("listen");
	RETRY(listen(fd, backlog));
}

int ismi_sys_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	POINT("connect");
	RETRY(connect(fd, addr, len));
}

/* Of what sends, or connects, and may block. */
static int set_timeout(int fd, int64_t timeout_ns)
{
	struct timeval tv = { .tv_sec = timeout_ns / 1000000000, .tv_usec = timeout_ns % 1000000000 / 1000 };

	POINT("setsockopt");
	if (tv.tv_sec == 0 && tv.tv_usec == 0)
		tv.tv_usec = 1;		/* 0 would mean no timeout */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) < 0)
		return -errno;
	return 0;
}

int ismi_sys_connect_by(int fd, const struct sockaddr *addr, socklen_t len, int64_t deadline)
{
	int r;

	do {
		r = set_timeout(fd, ismi_time_left(deadline));
		if (r < 0)
			return r;
		POINT("connect");
		r = connect(fd, addr, len) < 0 ? -errno : 0;
	} while (r == -EINTR && ismi_time_left(deadline) != 0);
	return r == -EINTR ? -EAGAIN : r;
}

int ismi_sys_accept(int fd)
{
	POINT("accept");
	TRACK(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

void ismi_sys_shutdown(int fd)
{
	if (ismi_sys_hook != NULL)
		ismi_sys_hook("shutdown");
	shutdown(fd, SHUT_RDWR);
}

int ismi_sys_peercred(int fd, struct ucred *ret)
{
	POINT("peercred");
#if ISM_WITHOUT_PEERCRED
	ret->pid = 0;
	RETRY(getpeereid(fd, &ret->uid, &ret->gid));
#else
	socklen_t len = sizeof *ret;
	RETRY(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &len));
#endif
}

int ismi_sys_unread(int fd)
{
	int bytes;

	POINT("outq");
	return ioctl(fd, SIOCOUTQ, &bytes) < 0 ? -errno : bytes;
}

ssize_t ismi_sys_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	POINT("sendmsg");
	RETRY(sendmsg(fd, msg, flags | MSG_NOSIGNAL | MSG_DONTWAIT));
}

/*
 * Remember the descriptors of a message.  Without memory for one of them it
 * is closed, and the message passes for truncated.
 */
static void track_received_locked(struct msghdr *msg)
{
	if (msg->msg_controllen == 0)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
			fd = track_locked(fd);
			if (fd < 0)
				msg->msg_flags |= MSG_CTRUNC;
			memcpy(CMSG_DATA(c) + at, &fd, sizeof fd);
		}
	}
}

ssize_t ismi_sys_recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n;

	POINT("recvmsg");
	pthread_mutex_lock(&ours.lock);
	do
		n = recvmsg(fd, msg, flags | MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		n = -errno;
	else
		track_received_locked(msg);
	pthread_mutex_unlock(&ours.lock);
	return n;
}

/* ------------------------------------------------------------------ waiting */

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

/* ------------------------------------------------------------------ time */

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t ismi_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t ismi_thread_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

int64_t ismi_deadline(int64_t timeout_ns)
{
	int64_t now = ismi_now_ns();

	if (timeout_ns < 0 || timeout_ns > INT64_MAX - now)
		return INT64_MAX;
	return now + timeout_ns;
}

int64_t ismi_time_left(int64_t deadline)
{
	if (deadline == INT64_MAX)
		return -1;
	int64_t left = deadline - ismi_now_ns();
	return left < 0 ? 0 : left;
}

void ismi_sleep_ns(int64_t ns)
{
	struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	nanosleep(&ts, NULL);
}

#ifdef SYS_membarrier
/* As the kernel has them since 4.16; its headers may be older. */
enum { BARRIER = 1 << 1, BARRIER_REGISTER = 1 << 2 };

static int membarrier(int command)
{
	POINT("membarrier");
	RETRY((int)syscall(SYS_membarrier, command, 0, 0));
}

int ismi_sys_membarrier_register(void)
{
	return membarrier(BARRIER_REGISTER);
}

int ismi_sys_membarrier(void)
{
	return membarrier(BARRIER);
}
#else
int ismi_sys_membarrier_register(void)
{
	return -ENOSYS;
}

int ismi_sys_membarrier(void)
{
	return -ENOSYS;
}
#endif

/* cgroup v2 cpu.max: "QUOTA PERIOD" in microseconds, or "max PERIOD".  0: no limit known. */
static int cgroup_cpus(void)
{
	char line[64];
	long quota, period;
	int cpus = 0;
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");

	if (f == NULL)
		return 0;
	if (fgets(line, sizeof line, f) != NULL && sscanf(line, "%ld %ld", &quota, &period) == 2 && period > 0)
		cpus = quota < period ? 1 : (int)(quota / period);
	fclose(f);
	return cpus;
}

int ismi_cpus(void)
{
	int limit = cgroup_cpus();
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);

	if (limit > 0 && limit < cpus)
		cpus = limit;
	return cpus < 1 ? 1 : cpus;
}

bool ismi_thread_pinned(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
}

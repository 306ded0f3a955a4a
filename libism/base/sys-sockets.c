/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * sys-sockets.c - the wrapped system calls of sys.h: sockets and pipes.
 */
#include "base/sys-private.h"

#include "base/clock.h"
#include "base/substitute.h"

#include <bsd/unistd.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>

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

int ismi_sys_socketpair(int type, int ret[2])
{
	POINT("socketpair");
	pthread_mutex_lock(&ismi_fds_lock);
	int pair[2], r = ismi_fds_track_pair_locked(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), pair, ret);
	pthread_mutex_unlock(&ismi_fds_lock);
	if (r < 0)
		return r;
	refuse_descriptors(ret[0]);
	refuse_descriptors(ret[1]);
	return 0;
}

int ismi_sys_pipe(int ret[2])
{
	POINT("pipe");
	pthread_mutex_lock(&ismi_fds_lock);
	int pair[2], r = ismi_fds_track_pair_locked(pipe2(pair, O_CLOEXEC), pair, ret);
	pthread_mutex_unlock(&ismi_fds_lock);
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
			fd = ismi_fds_track_locked(fd);
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
	pthread_mutex_lock(&ismi_fds_lock);
	do
		n = recvmsg(fd, msg, flags | MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		n = -errno;
	else
		track_received_locked(msg);
	pthread_mutex_unlock(&ismi_fds_lock);
	return n;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * wire.c - sending and receiving one message with its descriptors.
 */
#include "base/wire.h"

#include "base/sys.h"

#include <errno.h>

/* Room for the descriptors of a message, aligned as CMSG_FIRSTHDR() needs it. */
union control {
	struct cmsghdr align;
	uint8_t buf[CMSG_SPACE(ISMI_WIRE_FDS_ROOM * sizeof(int))];
};

int ismi_wire_send(int fd, const uint8_t *message, size_t len, const int *fds, size_t nr_fds)
{
	union control control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)message, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nr_fds > ISMI_WIRE_FDS)
		return -EINVAL;
	if (nr_fds > 0) {
		memset(&control, 0, sizeof control);
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
	}
	ssize_t n = ismi_sys_sendmsg(fd, &msg, 0);
	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

void ismi_wire_close(int *fds, size_t nr_fds)
{
	for (size_t i = 0; i < nr_fds; i++) {
		ismi_sys_close(fds[i]);
		fds[i] = -1;
	}
}

static ssize_t take(int fd, uint8_t *message, size_t size, int fds[ISMI_WIRE_FDS_ROOM], size_t *ret_nr_fds, int flags)
{
	union control control;
	struct iovec iov = { .iov_base = message, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
			      .msg_controllen = sizeof control.buf };
	ssize_t n = ismi_sys_recvmsg(fd, &msg, flags);
	size_t nr = 0;

	*ret_nr_fds = 0;
	if (n < 0)
		return n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds + nr, CMSG_DATA(c), here * sizeof(int));	/* cannot exceed the room we gave */
		nr += here;
	}
	*ret_nr_fds = nr;
	/* An empty message cannot be told from the end, and may have brought descriptors. */
	if (n == 0)
		return 0;
	if (nr > ISMI_WIRE_FDS || (msg.msg_flags & MSG_TRUNC))
		return -EPROTO;
	/* Fewer than there is room for: it is we who are out of descriptors, and no fault of the sender's. */
	if (msg.msg_flags & MSG_CTRUNC)
		return n >= ISMI_WIRE_HEADER ? -EMFILE : -EPROTO;
	return n;
}

ssize_t ismi_wire_take(int fd, uint8_t *message, size_t size, int fds[ISMI_WIRE_FDS_ROOM], size_t *ret_nr_fds)
{
	return take(fd, message, size, fds, ret_nr_fds, 0);
}

static ssize_t receive(int fd, uint8_t *message, size_t size, int fds[ISMI_WIRE_FDS], size_t *ret_nr_fds, int flags)
{
	int all[ISMI_WIRE_FDS_ROOM];
	size_t nr;
	ssize_t n = take(fd, message, size, all, &nr, flags);

	*ret_nr_fds = 0;
	if (n <= 0) {
		ismi_wire_close(all, nr);
		return n;
	}
	memcpy(fds, all, nr * sizeof *fds);
	*ret_nr_fds = nr;
	return n;
}

ssize_t ismi_wire_recv(int fd, uint8_t *message, size_t size, int fds[ISMI_WIRE_FDS], size_t *ret_nr_fds)
{
	return receive(fd, message, size, fds, ret_nr_fds, 0);
}

ssize_t ismi_wire_peek(int fd, uint8_t *message, size_t size, int fds[ISMI_WIRE_FDS], size_t *ret_nr_fds)
{
	return receive(fd, message, size, fds, ret_nr_fds, MSG_PEEK);
}

/* Without room for descriptors the kernel drops them. */
ssize_t ismi_wire_bytes(int fd, uint8_t *message, size_t size, bool peek)
{
	struct iovec iov = { .iov_base = message, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return ismi_sys_recvmsg(fd, &msg, peek ? MSG_PEEK : 0);
}

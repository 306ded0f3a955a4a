/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * backends/emu/talk.c - a message to the host, and its answer.
 */
#include "emu.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum { MS = 1000000 };

static int send_message(struct emu *e, size_t len, const int *fds, size_t nr_fds, int64_t deadline)
{
	for (;;) {
		int r = ismi_wire_send(e->conn, e->buf, len, fds, nr_fds);
		if (r != -EAGAIN)
			return r == -EPIPE || r == -ECONNRESET ? -EHOSTDOWN : r;
		if (ismi_time_left(deadline) == 0)
			return -ETIMEDOUT;
		ismi_sys_poll(e->conn, POLLOUT, ismi_time_left(deadline));
	}
}

/* Receive one message: spin while that pays, then sleep. */
static ssize_t recv_message(struct emu *e, int *fds, size_t *ret_nr_fds, int64_t deadline)
{
	struct ismi_spin s;
	bool slept = false;
	ssize_t n;

	ismi_spin_start(&e->spin, &s);
	while ((n = ismi_wire_recv(e->conn, e->buf, sizeof e->buf, fds, ret_nr_fds)) == -EAGAIN) {
		if (!slept && ismi_spin_again(&e->spin, &s))
			continue;
		slept = true;
		if (ismi_time_left(deadline) == 0)
			return -ETIMEDOUT;
		ismi_sys_poll(e->conn, POLLIN, ismi_time_left(deadline));
	}
	if (slept)
		ismi_spin_slept(&e->spin, &s, n > 0);
	else
		ismi_spin_paid(&e->spin);
	return n == 0 || n == -ECONNRESET ? -EHOSTDOWN : n;
}

/*
 * The host may still carry out what it was asked.  When its answer comes, or with
 * the next one, emu_housekeep() sees to what the device refers to by then.
 */
static void expect_late_answer(struct emu *e)
{
	e->late = true;
	ismi_sys_epoll_mod(e->dev->epfd, e->conn, EPOLLIN, EMU_DATA_CONN);
}

ssize_t emu_exchange(struct emu *e, uint16_t type, size_t len, const int *fds, size_t nr_fds, int *ret_fds,
		     size_t *ret_nr_fds)
{
	int64_t deadline = ismi_deadline(e->dev->timeout_ns);
	uint32_t sequence = ++e->sequence;
	struct ismi_wire_header h;
	const char *wrong;

	ismi_wire_put(e->buf, type, (uint32_t)len, sequence, (uint16_t)nr_fds);
	ssize_t n = send_message(e, ISMI_WIRE_HEADER + len, fds, nr_fds, deadline);
	while (n >= 0) {
		n = recv_message(e, ret_fds, ret_nr_fds, deadline);
		if (n < 0)
			break;
		wrong = ismi_wire_get(e->buf, (size_t)n, *ret_nr_fds, &h);
		if (wrong == NULL && h.type == type && h.sequence == sequence)
			return n - ISMI_WIRE_HEADER;
		ismi_wire_close(ret_fds, *ret_nr_fds);
		if (wrong != NULL || h.sequence >= sequence)
			return ismi_fail(-EPROTO, "the host's answer: %s", wrong ? wrong : "not to what was asked");
		/* A late answer to a call that did not wait for it. */
		ismi_store_relaxed(&e->dev->housework, true);
	}
	*ret_nr_fds = 0;
	if (n == -ETIMEDOUT)
		expect_late_answer(e);
	if (n == -EHOSTDOWN)
		return ismi_fail(-EHOSTDOWN, "the host of %s is gone", e->dev->info.path);
	if (n == -ETIMEDOUT)
		return ismi_fail(-ETIMEDOUT, "the host of %s did not answer within %lld ms", e->dev->info.path,
				 (long long)(e->dev->timeout_ns / MS));
	return ismi_fail((int)n, "cannot talk to the host of %s: %s", e->dev->info.path, strerror((int)-n));
}

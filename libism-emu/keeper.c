/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * keeper.c - a process that holds a domain's descriptors while its host dies
 * and comes back.  It knows names and descriptors, and nothing of what they are.
 */
#include "keep.h"

#include "base/clock.h"
#include "base/sys.h"
#include "base/wire.h"
#include "seat.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <errno.h>
#include <poll.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct holding {
	char name[KEEP_NAME_MAX];	/* first: the key */
	int fd[KEEP_FDS_MAX];
	unsigned int nr;
	TAILQ_ENTRY(holding) all;
};

static struct {
	int listen_fd, host_fd;
	int new_fd;			/* has connected, and not said yet that it is the host */
	int64_t until;			/* without a host: when to end */
	int64_t grace;
	void *names;			/* tsearch tree */
	TAILQ_HEAD(, holding) all;
	const struct holding *at;		/* what NEXT gives */
	unsigned int at_fd;
	bool stop;
} keeper;

/* ------------------------------------------------------------------ what is kept */

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void add(const char *name, int *fds, size_t nr)
{
	struct holding **node = tfind(name, &keeper.names, by_name), *e = node == NULL ? NULL : *node;

	if (e == NULL) {
		e = calloc(1, sizeof *e);
		if (e == NULL)
			return;
		strlcpy(e->name, name, sizeof e->name);
		if (tsearch(e, &keeper.names, by_name) == NULL) {
			free(e);
			return;
		}
		TAILQ_INSERT_TAIL(&keeper.all, e, all);
	}
	for (size_t i = 0; i < nr && e->nr < KEEP_FDS_MAX; i++) {
		e->fd[e->nr++] = fds[i];
		fds[i] = -1;
	}
}

static void drop(const char *name)
{
	struct holding **node = tfind(name, &keeper.names, by_name), *e = node == NULL ? NULL : *node;

	if (e == NULL)
		return;
	tdelete(name, &keeper.names, by_name);
	TAILQ_REMOVE(&keeper.all, e, all);
	if (keeper.at == e)
		keeper.at = NULL;
	for (unsigned int i = 0; i < e->nr; i++)
		ismi_sys_close(e->fd[i]);
	free(e);
}

/* ------------------------------------------------------------------ messages */

static int answer(const char *text, const int *fds, size_t nr)
{
	int64_t deadline = ismi_deadline(1000000000);
	int r;

	while ((r = ismi_wire_send(keeper.host_fd, (const uint8_t *)text, strlen(text), fds, nr)) == -EAGAIN ||
	       r == -ETOOMANYREFS) {
		if (ismi_time_left(deadline) == 0)
			return r;
		ismi_sleep_ns(1000000);
	}
	return r;
}

static int give_next(void)
{
	char text[KEEP_NAME_MAX + 8] = "FDNAME=";

	while (keeper.at != NULL && keeper.at_fd == keeper.at->nr) {
		keeper.at = TAILQ_NEXT(keeper.at, all);
		keeper.at_fd = 0;
	}
	if (keeper.at == NULL)
		return answer("END", NULL, 0);
	strlcat(text, keeper.at->name, sizeof text);
	return answer(text, &keeper.at->fd[keeper.at_fd++], 1);
}

static int obey(const char *text, int *fds, size_t nr)
{
	static const char put[] = "FDSTORE=1\nFDNAME=", off[] = "FDSTOREREMOVE=1\nFDNAME=";

	if (strncmp(text, put, strlen(put)) == 0)
		add(text + strlen(put), fds, nr);
	else if (strncmp(text, off, strlen(off)) == 0)
		drop(text + strlen(off));
	else if (strcmp(text, "NEXT") == 0)
		return give_next();
	else if (strcmp(text, "STOP") == 0)
		keeper.stop = true;
	return 0;
}

static void host_gone(void)
{
	ismi_sys_close(keeper.host_fd);
	keeper.host_fd = -1;
	keeper.until = ismi_deadline(keeper.grace);
}

/* Read what the host has said; it may be dead, and what it said counts. */
static void hear_host(void)
{
	char text[256];
	int fds[ISMI_WIRE_FDS];
	size_t nr;

	while (keeper.host_fd >= 0 && !keeper.stop) {
		ssize_t n = ismi_wire_recv(keeper.host_fd, (uint8_t *)text, sizeof text - 1, fds, &nr);
		if (n == -EAGAIN || n == -ENOMEM)	/* it is still there to be read */
			return;
		if (n <= 0) {
			host_gone();
			return;
		}
		text[n] = '\0';
		int r = obey(text, fds, nr);
		ismi_wire_close(fds, nr);
		if (r < 0)
			host_gone();
	}
}

static void meet(void)
{
	struct ucred cred;
	int fd = ismi_sys_accept(keeper.listen_fd);

	if (fd < 0)
		return;
	if (ismi_sys_peercred(fd, &cred) < 0 || (cred.uid != geteuid() && cred.uid != 0)) {
		ismi_sys_close(fd);
		return;
	}
	ismi_sys_close(keeper.new_fd);
	keeper.new_fd = fd;
}

/* Whoever speaks is the host: the domain's lock sees to it that there is only one. */
static void new_host(void)
{
	hear_host();
	ismi_sys_close(keeper.host_fd);
	keeper.host_fd = keeper.new_fd;
	keeper.new_fd = -1;
	keeper.at = TAILQ_FIRST(&keeper.all);
	keeper.at_fd = 0;
}

/* ------------------------------------------------------------------ life */

/* Nobody came: the names go as well, unless somebody is about to take them. */
static void remove_names(const char *path, const char *own)
{
	struct host_seat seat;
	int holder;

	if (host_seat_lock(&seat, path, &holder) < 0)
		return;
	ismi_sys_unlink(own);
	host_seat_adopt(&seat, -1, false);	/* what the dead host listened at */
	host_seat_leave(&seat);
}

static void serve(void)
{
	while (!keeper.stop && (keeper.host_fd >= 0 || ismi_time_left(keeper.until) > 0)) {
		struct pollfd p[3] = { { .fd = keeper.listen_fd, .events = POLLIN },
				       { .fd = keeper.host_fd, .events = POLLIN },
				       { .fd = keeper.new_fd, .events = POLLIN } };
		int64_t left = keeper.host_fd >= 0 ? -1 : ismi_time_left(keeper.until) / 1000000 + 1;

		poll(p, 3, (int)(left > 1000000 ? 1000000 : left));
		hear_host();
		if (p[2].revents != 0)
			new_host();
		if (p[0].revents != 0)
			meet();
	}
}

int keeper_main(int bound_fd, const char *path, unsigned int grace_s)
{
	char own[KEEP_PATH_MAX + 8];
	struct rlimit lim;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	keeper.host_fd = keeper.new_fd = -1;
	keeper.grace = (int64_t)grace_s * 1000000000;
	keeper.until = ismi_deadline(keeper.grace);
	TAILQ_INIT(&keeper.all);
	fcntl(bound_fd, F_SETFD, FD_CLOEXEC);
	fcntl(bound_fd, F_SETFL, O_NONBLOCK);
	keeper.listen_fd = ismi_sys_adopt(bound_fd);
	if (keep_path(path, own, sizeof own) < 0)
		return 1;
	if (keeper.listen_fd < 0 || ismi_sys_listen(keeper.listen_fd, 8) < 0) {
		ismi_sys_unlink(own);	/* whoever waits for us starts another */
		return 1;
	}
	serve();
	if (!keeper.stop)	/* else the host removes them, which has the lock */
		remove_names(path, own);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * keep.c - descriptors that outlive this process: the host's side.
 */
#include "keep.h"

#include "base/clock.h"
#include "base/sys.h"
#include "base/wire.h"
#include "seat.h"

#include <bsd/string.h>
#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	FIRST_PASSED = 3,
	MESSAGE_MAX = 128,
	/* One string of the environment has at most 128 KiB, and names all that a store returns. */
	STORE_NAMES = 128 * 1024 - 1024,
};

static const int64_t SEND_WITHIN = 5000000000, SEND_TURN = 100000000, PAUSE = 1000000;
static const int64_t TAKE_WITHIN = 10000000000, BARRIER_WITHIN = 5000000000;

int keep_path(const char *domain, char *buf, size_t size)
{
	if ((size_t)snprintf(buf, size, "%s.keeper", domain) >= size)
		return ismi_fail(-ENAMETOOLONG, "the path %s leaves no room for its keeper's", domain);
	return 0;
}

/* ------------------------------------------------------------------ what was left */

static int had_add(struct keep *k, const char *name, int fd)
{
	/* It grows at each power of two. */
	if ((k->nr_had & (k->nr_had - 1)) == 0) {
		struct kept *more = realloc(k->had, (k->nr_had ? 2 * k->nr_had : 1) * sizeof *more);
		if (more == NULL)
			return -ENOMEM;
		k->had = more;
	}
	k->had[k->nr_had].fd = fd;
	strlcpy(k->had[k->nr_had++].name, name, KEEP_NAME_MAX);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct kept *)a)->name, ((const struct kept *)b)->name);
}

size_t keep_had(struct keep *k, const char *name, int *fds, size_t max)
{
	struct kept key, *first, *end = k->had + k->nr_had;
	size_t nr = 0;

	strlcpy(key.name, name, sizeof key.name);
	first = k->nr_had == 0 ? NULL : bsearch(&key, k->had, k->nr_had, sizeof key, by_name);
	if (first == NULL)
		return 0;
	while (first > k->had && strcmp(first[-1].name, name) == 0)
		first--;
	for (; first < end && strcmp(first->name, name) == 0; first++) {
		if (first->fd < 0 || nr == max)
			continue;
		fds[nr++] = first->fd;
		first->fd = -1;
	}
	return nr;
}

const char *keep_left(const struct keep *k, const char *prefix, size_t *at)
{
	while (*at < k->nr_had) {
		const struct kept *e = &k->had[(*at)++];
		if (e->fd >= 0 && strncmp(e->name, prefix, strlen(prefix)) == 0)
			return e->name;
	}
	return NULL;
}

void keep_sweep(struct keep *k)
{
	for (size_t i = 0; i < k->nr_had; i++) {
		if (k->had[i].fd < 0)
			continue;
		ismi_sys_close(k->had[i].fd);
		keep_remove(k, k->had[i].name);
	}
	free(k->had);
	k->had = NULL;
	k->nr_had = 0;
}

int keep_passed(struct kept **ret)
{
	const char *pid = secure_getenv("LISTEN_PID"), *fds = secure_getenv("LISTEN_FDS"), *names = secure_getenv("LISTEN_FDNAMES");
	int nr = pid == NULL || fds == NULL || atol(pid) != (long)getpid() ? 0 : atoi(fds);
	struct kept *kept = nr <= 0 ? NULL : calloc((size_t)nr, sizeof *kept);

	*ret = kept;
	if (nr <= 0)
		return 0;
	if (kept == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	for (int i = 0; i < nr; i++) {
		size_t len = names == NULL ? 0 : strcspn(names, ":");
		int fd = FIRST_PASSED + i;

		if (len > 0 && len < KEEP_NAME_MAX)
			memcpy(kept[i].name, names, len);
		names = names == NULL || names[len] == '\0' ? NULL : names + len + 1;
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		kept[i].fd = ismi_sys_adopt(fd);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return nr;
}

/* ------------------------------------------------------------------ messages */

/*
 * The keeper has so much time, and as much of ours in turns: when nobody runs for a
 * while, that is not its fault.  But the domain stands still meanwhile, so once it was
 * too much, nothing is waited for until it takes something again.
 */
static int send_text(struct keep *k, const char *text, const int *fds, size_t nr)
{
	int64_t patience = k->late ? 0 : SEND_WITHIN, deadline = ismi_deadline(patience);
	int r;

	while ((r = ismi_wire_send(k->fd, (const uint8_t *)text, strlen(text), fds, nr)) == -EAGAIN ||
	       r == -ETOOMANYREFS) {
		if (patience <= 0 && ismi_time_left(deadline) == 0)
			break;
		patience -= r == -EAGAIN ? SEND_TURN : PAUSE;
		if (r == -EAGAIN)
			ismi_sys_poll(k->fd, POLLOUT, SEND_TURN);
		else
			ismi_sleep_ns(PAUSE);	/* it has to read what it was given before */
	}
	k->late = r == -EAGAIN || r == -ETOOMANYREFS;
	return r;
}

/* A service manager looks at its messages when it has time: wait until it has seen this one. */
static int barrier(struct keep *k)
{
	int fds[2], r = ismi_sys_pipe(fds);

	if (r < 0)
		return r;
	r = send_text(k, "BARRIER=1", &fds[1], 1);
	ismi_sys_close(fds[1]);
	if (r == 0)
		r = ismi_sys_poll(fds[0], 0, BARRIER_WITHIN);
	ismi_sys_close(fds[0]);
	return r == 0 ? -ETIMEDOUT : r < 0 ? r : 0;
}

int keep_put(struct keep *k, const char *name, const int *fds, size_t nr)
{
	size_t space = nr * (strlen(name) + 1);
	char text[MESSAGE_MAX];
	int r;

	if (k->kind == KEEP_NO)
		return 0;
	if (k->kind == KEEP_STORE && space > k->names_left)
		return ismi_fail(-ENOSPC, "the service manager can keep no more descriptors for us");
	snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s", name);
	r = send_text(k, text, fds, nr);
	if (r == 0 && k->kind == KEEP_STORE)
		r = barrier(k);
	if (r < 0)
		return ismi_fail(r, "%s does not take %s: %s", k->kind == KEEP_STORE ? "the service manager" : "the keeper",
				 name, strerror(-r));
	k->names_left -= k->kind == KEEP_STORE ? space : 0;
	return 0;
}

void keep_remove(struct keep *k, const char *name)
{
	char text[MESSAGE_MAX];

	if (k->kind == KEEP_NO)
		return;
	snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	if (send_text(k, text, NULL, 0) == 0 && k->kind == KEEP_STORE)
		k->names_left += strlen(name) + 1;
}

/* ------------------------------------------------------------------ a keeper */

/* What listens there must be ours, or root's. */
static int keeper_connect(const char *path, int *ret)
{
	struct sockaddr_un addr;
	struct ucred cred;
	int r = host_address(path, &addr), fd;

	if (r < 0)
		return r;
	fd = ismi_sys_socket(SOCK_SEQPACKET);
	if (fd < 0)
		return fd;
	r = ismi_sys_connect(fd, (const struct sockaddr *)&addr, sizeof addr);
	if (r == 0)
		r = ismi_sys_peercred(fd, &cred);
	if (r == 0 && cred.uid != geteuid() && cred.uid != 0)
		r = ismi_fail(-EACCES, "the keeper at %s runs as uid %u: expected %u", path, (unsigned int)cred.uid,
			      (unsigned int)geteuid());
	if (r < 0) {
		ismi_sys_close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

/* Receive one message that the keeper owes us. */
static ssize_t recv_text(struct keep *k, char *text, size_t size, int *fds, size_t *nr)
{
	int64_t deadline = ismi_deadline(TAKE_WITHIN);
	ssize_t n;

	while ((n = ismi_wire_recv(k->fd, (uint8_t *)text, size - 1, fds, nr)) == -EAGAIN) {
		if (ismi_time_left(deadline) == 0)
			return -ETIMEDOUT;
		ismi_sys_poll(k->fd, POLLIN, ismi_time_left(deadline));
	}
	text[n > 0 ? n : 0] = '\0';
	return n == 0 ? -EPIPE : n;
}

/* Have everything handed out that a former host has left. */
static int take_all(struct keep *k)
{
	char text[MESSAGE_MAX];
	int fds[ISMI_WIRE_FDS];
	size_t nr;

	for (;;) {
		int r = send_text(k, "NEXT", NULL, 0);
		ssize_t n = r < 0 ? r : recv_text(k, text, sizeof text, fds, &nr);
		if (n < 0)
			return ismi_fail((int)n, "the keeper does not give back what it keeps: %s", strerror((int)-n));
		if (strcmp(text, "END") == 0)
			return 0;
		if (strncmp(text, "FDNAME=", 7) != 0 || nr != 1 || had_add(k, text + 7, fds[0]) < 0) {
			ismi_wire_close(fds, nr);
			return ismi_fail(-EPROTO, "the keeper answers what we do not understand");
		}
	}
}

/* The same program in another role, in a session of its own; it has the socket as its descriptor 3. */
static int spawn_keeper(const struct keep *k, int bound)
{
	char grace[16], *argv[] = { strdup("ismd-keeper"), strdup("--keeper"), grace, strdup(k->path), NULL };
	posix_spawn_file_actions_t acts;
	posix_spawnattr_t attr;
	pid_t pid;
	int r;

	snprintf(grace, sizeof grace, "%u", k->grace_s);
	posix_spawn_file_actions_init(&acts);
	for (int fd = 0; fd <= 2; fd++)
		posix_spawn_file_actions_addopen(&acts, fd, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&acts, bound, FIRST_PASSED);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
	r = posix_spawn(&pid, "/proc/self/exe", &acts, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&acts);
	free(argv[0]);
	free(argv[1]);
	free(argv[3]);
	return r == 0 ? 0 : ismi_fail(-r, "cannot start a keeper: %s", strerror(r));
}

/* Nobody can connect before the keeper itself listens, and until then nobody but us can reach the name. */
static int start_keeper(const struct keep *k, const char *path)
{
	struct sockaddr_un addr;
	int r = host_address(path, &addr), fd;

	if (r < 0)
		return r;
	ismi_sys_unlink(path);		/* a dead one's: we hold the domain's lock */
	fd = ismi_sys_socket(SOCK_SEQPACKET);
	if (fd < 0)
		return ismi_fail(fd, "cannot make a socket for a keeper");
	r = ismi_sys_bind(fd, (const struct sockaddr *)&addr, sizeof addr);
	if (r == 0)
		r = ismi_sys_chmod(path, 0600);
	if (r < 0)
		ismi_fail(r, "cannot make %s for a keeper: %s", path, strerror(-r));
	else
		r = spawn_keeper(k, fd);
	ismi_sys_close(fd);
	return r;
}

static int reach_keeper(struct keep *k)
{
	enum { STARTS = 5 };
	int64_t deadline = ismi_deadline(TAKE_WITHIN);
	char path[KEEP_PATH_MAX + 8];
	int started = 0, r = keep_path(k->path, path, sizeof path);

	while (r == 0 && (r = keeper_connect(path, &k->fd)) != 0) {
		if (r != -ENOENT && r != -ECONNREFUSED)
			return ismi_fail(r, "cannot reach the keeper at %s: %s", path, strerror(-r));
		bool start = started == 0 || r == -ENOENT;	/* ours is gone, too */
		if (ismi_time_left(deadline) == 0 || (start && started == STARTS))
			return ismi_fail(-ETIMEDOUT, "the keeper at %s does not begin to listen", path);
		if (started > 0)
			ismi_sleep_ns(PAUSE);
		r = start ? start_keeper(k, path) : 0;
		started += start;
	}
	return r;
}

/* ------------------------------------------------------------------ life */

static int store_connect(struct keep *k)
{
	const char *name = secure_getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = name == NULL ? 0 : strlen(name);

	if (len == 0 || len >= sizeof addr.sun_path)
		return ismi_fail(-EINVAL, "keep=store, but no service manager said where (NOTIFY_SOCKET): see ismd(8)");
	memcpy(addr.sun_path, name, len);
	if (*name == '@')
		addr.sun_path[0] = '\0';
	k->fd = ismi_sys_socket(SOCK_DGRAM);
	int r = k->fd < 0 ? k->fd : ismi_sys_connect(k->fd, (const struct sockaddr *)&addr,
						     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	k->names_left = STORE_NAMES;
	return r < 0 ? ismi_fail(r, "cannot reach the service manager at %s: %s", name, strerror(-r)) : 0;
}

/* A keeper that is dying may still let us in. */
static int reach_and_take(struct keep *k)
{
	int64_t deadline = ismi_deadline(TAKE_WITHIN);
	int r;

	while ((r = reach_keeper(k)) == 0) {
		r = take_all(k);
		if ((r != -EPIPE && r != -ECONNRESET) || ismi_time_left(deadline) == 0)
			break;
		ismi_sys_close(k->fd);
		k->fd = -1;
		ismi_sleep_ns(PAUSE);
	}
	return r;
}

int keep_open(struct keep *k, enum keep_kind kind, const char *path, unsigned int grace_s, const struct ismi_log *log,
	      struct kept *passed, size_t nr_passed)
{
	char keeper[KEEP_PATH_MAX + 8];
	struct sockaddr_un unused;
	int r = 0;

	if (kind == KEEP_KEEPER && (keep_path(path, keeper, sizeof keeper) < 0 || host_address(keeper, &unused) < 0)) {
		ismi_warn(log, "keep", "regions will not survive a restart: %s", ismi_fail_text());
		kind = KEEP_NO;
	}
	*k = (struct keep){ .kind = kind, .fd = -1, .grace_s = grace_s, .log = *log, .had = passed, .nr_had = nr_passed };
	if (kind != KEEP_NO && strlcpy(k->path, path, sizeof k->path) >= sizeof k->path)
		r = ismi_fail(-ENAMETOOLONG, "the path %s is too long", path);
	if (r == 0 && kind == KEEP_STORE)
		r = store_connect(k);
	if (r == 0 && kind == KEEP_KEEPER)
		r = reach_and_take(k);
	for (size_t i = 0; i < k->nr_had && kind == KEEP_STORE; i++)
		k->names_left -= strlen(k->had[i].name) + 1;
	k->inherited = k->nr_had > 0;
	if (k->nr_had > 0)
		qsort(k->had, k->nr_had, sizeof k->had[0], by_name);
	if (r < 0)
		keep_close(k);
	return r;
}

int keep_again(struct keep *k)
{
	ismi_sys_close(k->fd);
	k->fd = -1;
	k->late = false;
	return reach_and_take(k);	/* nothing; or it was not dead, and gives what it is to be given again */
}

void keep_stop(struct keep *k)
{
	char path[KEEP_PATH_MAX + 8];

	if (k->kind != KEEP_KEEPER || keep_path(k->path, path, sizeof path) < 0)
		return;
	ismi_sys_unlink(path);
	send_text(k, "STOP", NULL, 0);
}

void keep_close(struct keep *k)
{
	for (size_t i = 0; i < k->nr_had; i++)
		ismi_sys_close(k->had[i].fd);
	free(k->had);
	ismi_sys_close(k->fd);
	k->had = NULL;
	k->nr_had = 0;
	k->kind = KEEP_NO;
	k->fd = -1;
}

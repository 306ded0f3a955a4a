/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * seat.c - the lock and the socket of a domain's host.
 */
#include "seat.h"

#include "base/log.h"
#include "base/sys.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int host_address(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlcpy(ret->sun_path, path, sizeof ret->sun_path) >= sizeof ret->sun_path)
		return ismi_fail(-ENAMETOOLONG, "a path of %zu bytes is too long: a socket's may have %zu: %s", strlen(path),
				 sizeof ret->sun_path - 1, path);
	return 0;
}

static void lock_path(const char *path, char *buf, size_t size)
{
	snprintf(buf, size, "%s.lock", path);
}

enum { LOCK_PATH_SIZE = sizeof(((struct sockaddr_un *)0)->sun_path) + sizeof ".lock" };

/* Is the file that we locked still the one of that name?  The last host may have removed it. */
static bool still_named(int fd, const char *path)
{
	struct stat here, there;

	return ismi_sys_fstat(fd, &here) == 0 && ismi_sys_lstat(path, &there) == 0 && here.st_dev == there.st_dev &&
	       here.st_ino == there.st_ino;
}

static int take_lock(const char *path, int *ret_holder)
{
	char name[LOCK_PATH_SIZE];

	lock_path(path, name, sizeof name);
	for (;;) {
		int fd = ismi_sys_open(name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
		if (fd < 0)
			return ismi_fail(fd, "cannot open the lock file %s: %s", name, strerror(-fd));
		int r = ismi_sys_lock(fd);
		if (r < 0) {
			*ret_holder = r == -EAGAIN ? ismi_sys_lock_holder(fd) : 0;
			ismi_sys_close(fd);
			return ismi_fail(r, "%s is locked by process %d", name, *ret_holder);
		}
		if (still_named(fd, name))
			return fd;
		ismi_sys_close(fd);
	}
}

/* The name goes while we still have the lock: whoever waits for it then finds that out. */
static void drop_lock(const char *path, int fd)
{
	char name[LOCK_PATH_SIZE];

	lock_path(path, name, sizeof name);
	ismi_sys_unlink(name);
	ismi_sys_close(fd);
}

/* Does a program that is no host of libism listen there?  A host would have the lock. */
static bool is_foreign(const struct sockaddr_un *addr)
{
	int fd = ismi_sys_socket(SOCK_SEQPACKET | SOCK_NONBLOCK);
	bool foreign = fd >= 0 && ismi_sys_connect(fd, (const struct sockaddr *)addr, sizeof *addr) == -EPROTOTYPE;

	ismi_sys_close(fd);
	return foreign;
}

/* Remove what a host that was killed left: a socket, and nothing else. */
static int remove_stale(const struct sockaddr_un *addr)
{
	const char *path = addr->sun_path;
	struct stat st;
	int r = ismi_sys_lstat(path, &st);

	if (r == -ENOENT)
		return 0;
	if (r == 0 && !S_ISSOCK(st.st_mode))
		return ismi_fail(-EEXIST, "%s is there and is no socket", path);
	if (r == 0 && is_foreign(addr))
		return ismi_fail(-EEXIST, "%s is the socket of another program", path);
	if (r == 0)
		r = ismi_sys_unlink(path);
	return r < 0 ? ismi_fail(r, "cannot replace %s: %s", path, strerror(-r)) : 0;
}

static int listen_at(const struct sockaddr_un *addr, int type, mode_t mode, gid_t gid)
{
	int fd = ismi_sys_socket(type | SOCK_NONBLOCK), r = fd;
	bool bound = false;

	if (r >= 0)
		r = ismi_sys_bind(fd, (const struct sockaddr *)addr, sizeof *addr);
	if (r >= 0) {
		bound = true;
		r = ismi_sys_chmod(addr->sun_path, mode);
	}
	if (r >= 0 && gid != (gid_t)-1)
		r = ismi_sys_chown(addr->sun_path, (uid_t)-1, gid);
	if (r >= 0)
		r = ismi_sys_listen(fd, 1024);
	if (r < 0) {
		if (bound)
			ismi_sys_unlink(addr->sun_path);
		ismi_sys_close(fd);
		return ismi_fail(r, "cannot listen at %s: %s", addr->sun_path, strerror(-r));
	}
	return fd;
}

int host_seat_lock(struct host_seat *seat, const char *path, int *ret_holder)
{
	struct sockaddr_un addr;
	int r = host_address(path, &addr);

	*ret_holder = 0;
	if (r == 0)
		r = take_lock(path, ret_holder);
	if (r < 0)
		return r;
	*seat = (struct host_seat){ .lock_fd = r, .listen_fd = -1, .adopted = true };	/* no socket is ours yet */
	strlcpy(seat->path, path, sizeof seat->path);
	return 0;
}

static int seat_listen(struct host_seat *seat, int type, mode_t mode, gid_t gid)
{
	struct sockaddr_un addr;
	int r = host_address(seat->path, &addr);

	if (r == 0)
		r = remove_stale(&addr);
	if (r == 0)
		r = listen_at(&addr, type, mode, gid);
	if (r < 0)
		return r;
	seat->listen_fd = r;
	seat->adopted = false;
	return 0;
}

int host_seat_listen(struct host_seat *seat, mode_t mode, gid_t gid)
{
	return seat_listen(seat, SOCK_SEQPACKET, mode, gid);
}

static int seat_take(struct host_seat *seat, const char *path, int type, mode_t mode, gid_t gid, int *ret_holder)
{
	int r = host_seat_lock(seat, path, ret_holder);

	if (r < 0)
		return r;
	r = seat_listen(seat, type, mode, gid);
	if (r < 0)
		drop_lock(path, seat->lock_fd);
	return r;
}

int host_seat_take(struct host_seat *seat, const char *path, mode_t mode, gid_t gid, int *ret_holder)
{
	return seat_take(seat, path, SOCK_SEQPACKET, mode, gid, ret_holder);
}

int host_seat_take_vhost(struct host_seat *seat, const char *path, mode_t mode, gid_t gid, int *ret_holder)
{
	return seat_take(seat, path, SOCK_STREAM, mode, gid, ret_holder);
}

void host_seat_adopt(struct host_seat *seat, int listen_fd, bool stays)
{
	seat->listen_fd = listen_fd;
	seat->adopted = stays;
}

void host_seat_hand_over(struct host_seat *seat)
{
	ismi_sys_close(seat->listen_fd);
	ismi_sys_close(seat->lock_fd);
}

void host_names_remove(const char *path)
{
	char name[LOCK_PATH_SIZE];

	lock_path(path, name, sizeof name);
	ismi_sys_unlink(path);
	ismi_sys_unlink(name);
}

void host_seat_leave(struct host_seat *seat)
{
	if (!seat->adopted)
		ismi_sys_unlink(seat->path);
	ismi_sys_close(seat->listen_fd);
	drop_lock(seat->path, seat->lock_fd);
}

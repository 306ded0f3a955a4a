/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * sys-files.c - the wrapped system calls of sys.h: open files, and names of files.
 */
#include "base/sys-private.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

/* ------------------------------------------------------------------ file descriptors */

int ismi_sys_open(const char *path, int flags, mode_t mode)
{
	POINT("open");
	TRACK(open(path, flags | O_CLOEXEC, mode));
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

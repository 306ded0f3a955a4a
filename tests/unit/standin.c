/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * standin.c - see standin.h.  An open file is one end of a pair of sockets: a kick is a
 * byte from the other end, so that it can be waited for; a region is a memory object.
 */
#include "standin.h"

#include "backends/kdev/vism.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILES = 64, REGIONS = 32 };

struct standin_faults standin_faults;

static struct file {
	ino_t inode;
	int kick_fd;		/* -1: the place is free */
	int region;		/* -1: none yet */
} files[FILES];

static struct {
	int fd;			/* -1: the place is free */
	uint64_t size, token;
} regions[REGIONS];

static bool begun;

static void begin(void)
{
	for (int i = 0; i < FILES && !begun; i++)
		files[i].kick_fd = -1;
	for (int i = 0; i < REGIONS && !begun; i++)
		regions[i].fd = -1;
	begun = true;
}

static struct file *file_of(int fd)
{
	struct stat st;

	if (!begun || fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
		return NULL;
	for (int i = 0; i < FILES; i++) {
		if (files[i].kick_fd >= 0 && files[i].inode == st.st_ino)
			return &files[i];
	}
	return NULL;
}

static unsigned int users(int region)
{
	unsigned int n = 0;

	for (int i = 0; i < FILES; i++)
		n += files[i].kick_fd >= 0 && files[i].region == region;
	return n;
}

static int failed(int err)
{
	errno = err;
	return -1;
}

static void file_end(struct file *f)
{
	int region = f->region;

	close(f->kick_fd);
	f->kick_fd = -1;
	if (region >= 0 && users(region) == 0) {
		close(regions[region].fd);
		regions[region].fd = -1;
	}
}

/* ------------------------------------------------------------------ the driver's calls */

static int do_alloc(struct file *f, struct vism_region_arg *arg)
{
	static uint64_t next = UINT64_C(0x1234567800000001);
	int i = 0;

	while (i < REGIONS && regions[i].fd >= 0)
		i++;
	if (i == REGIONS || f->region >= 0)
		return failed(ENOSPC);
	regions[i].size = standin_faults.truncates ? arg->size / 2 : arg->size;
	regions[i].token = next++;
	regions[i].fd = memfd_create("stand-in", MFD_CLOEXEC);
	if (regions[i].fd < 0 || ftruncate(regions[i].fd, (off_t)regions[i].size) < 0)
		return failed(ENOMEM);
	f->region = i;
	*arg = (struct vism_region_arg){ .size = regions[i].size, .token = standin_faults.no_token ? 0 : regions[i].token };
	return 0;
}

static int do_attach(struct file *f, struct vism_region_arg *arg)
{
	for (int i = 0; i < REGIONS; i++) {
		if (regions[i].fd >= 0 && regions[i].token == arg->token) {
			f->region = i;
			arg->size = standin_faults.no_size ? 0 : regions[i].size;
			return 0;
		}
	}
	return failed(ENOENT);
}

static int do_kick(const struct file *f)
{
	if (f->region < 0)
		return failed(EINVAL);
	for (int i = 0; i < FILES; i++) {
		if (&files[i] != f && files[i].kick_fd >= 0 && files[i].region == f->region)
			send(files[i].kick_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	return 0;
}

/* ------------------------------------------------------------------ in place of the system's */

int open(const char *path, int flags, ...)
{
	int pair[2], i = 0;
	struct stat st;
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (strcmp(path, STANDIN_PATH) != 0)
		return openat(AT_FDCWD, path, flags, mode);
	begin();
	while (i < FILES && files[i].kick_fd >= 0)
		i++;
	if (i == FILES || socketpair(AF_UNIX, SOCK_STREAM | (flags & O_CLOEXEC ? SOCK_CLOEXEC : 0), 0, pair) < 0)
		return failed(EMFILE);
	fstat(pair[0], &st);
	files[i] = (struct file){ .inode = st.st_ino, .kick_fd = pair[1], .region = -1 };
	return pair[0];
}

#ifdef __GLIBC__
typedef unsigned long ioctl_request;
#else
typedef int ioctl_request;
#endif

int ioctl(int fd, ioctl_request number, ...)
{
	unsigned int request = (unsigned int)number;
	struct file *f = file_of(fd);
	va_list args;

	va_start(args, number);
	void *arg = va_arg(args, void *);
	va_end(args);
	if (f == NULL)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	switch (request) {
	case VISM_STAT:
		file_end(f);	/* who asks this allocates nothing, here */
		if (standin_faults.no_stat)
			return failed(ENOTTY);
		memset(arg, 0, sizeof(struct vism_stat));
		return 0;
	case VISM_ALLOC:
	case VISM_ATTACH: {
		int r = request == VISM_ALLOC ? do_alloc(f, arg) : do_attach(f, arg);
		if (r < 0)
			file_end(f);
		return r;
	}
	case VISM_DETACH:
		file_end(f);
		return 0;
	case VISM_KICK:
		return do_kick(f);
	default:
		return failed(ENOTTY);
	}
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	const struct file *f = fd >= 0 ? file_of(fd) : NULL;

	if (f != NULL && f->region >= 0)
		fd = regions[f->region].fd;
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

unsigned int standin_files(void)
{
	unsigned int n = 0;

	for (int i = 0; i < FILES && begun; i++)
		n += files[i].kick_fd >= 0;
	return n;
}

unsigned int standin_regions(void)
{
	unsigned int n = 0;

	for (int i = 0; i < REGIONS && begun; i++)
		n += regions[i].fd >= 0;
	return n;
}

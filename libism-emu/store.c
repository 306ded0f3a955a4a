/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * store.c - where region memory comes from.
 */
#include "store.h"

#include "base/log.h"
#include "base/substitute.h"
#include "base/sys.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6
#endif

enum {
	SIZE_SEALS = ISM_WITHOUT_MEMFD ? 0 : F_SEAL_SHRINK | F_SEAL_GROW,
	REGION_SEALS = ISM_WITHOUT_MEMFD ? 0 : SIZE_SEALS | F_SEAL_SEAL,
	SHOWN_SEALS = ISM_WITHOUT_MEMFD ? 0 : REGION_SEALS | F_SEAL_FUTURE_WRITE,
	HARMLESS_SEALS = 0x0020,	/* F_SEAL_EXEC: what vm.memfd_noexec adds by itself */
	REGION_MODE = 0600,
};

bool store_serves_all_users(void)
{
	return !ISM_WITHOUT_MEMFD;
}

/* An unsealed object of @size bytes that only its owner may open. */
static int object_new(const char *name, uint64_t size, bool huge, int *ret_fd)
{
	int fd = ismi_sys_memfd(name, MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0));

	if (fd == -ENOSYS || (huge && (fd == -EINVAL || fd == -ENODEV)))
		return ismi_fail(-EOPNOTSUPP, huge ? "this machine has no huge pages (hugetlb) for memfd_create"
						   : "this kernel has no memfd_create");
	if (fd < 0)
		return ismi_fail(fd, "cannot make a memory object: %s",
				 fd == -EMFILE ? "too many open files in this process" : "out of descriptors or memory");
	int r = ismi_sys_ftruncate(fd, (off_t)size);
	if (r == 0 && ISM_WITHOUT_MEMFD)	/* a full file system is told now, and not by SIGBUS */
		r = ismi_sys_fallocate(fd, (off_t)size);
	if (r == 0)
		r = ismi_sys_fchmod(fd, REGION_MODE);
	if (r < 0) {
		ismi_sys_close(fd);
		if (r == -EFBIG)
			return ismi_fail(-ENOMEM, "a memory object of %llu bytes: no file of this process may be so large "
						  "(ulimit -f)", (unsigned long long)size);
		return ismi_fail(r, "cannot make a memory object of %llu bytes", (unsigned long long)size);
	}
	*ret_fd = fd;
	return 0;
}

int store_create(struct store *s, uint64_t size, bool huge)
{
	int fd, r = object_new("ism-region", size, huge, &fd);

	if (r < 0)
		return r;
	r = ismi_sys_add_seals(fd, REGION_SEALS);
	if (r < 0) {
		ismi_sys_close(fd);
		return ismi_fail(r, "cannot seal a memory object");
	}
	*s = (struct store){ .fd = fd, .ro_fd = -1, .size = size, .huge = huge };
	return 0;
}

/* A call that fails for want of something says nothing about the object. */
static bool wants(int64_t r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE;
}

/* Is this an object as store_create() makes them?  What could hurt a peer is refused. */
static int check_object(int fd, uint64_t size, struct stat *st, bool *ret_huge)
{
	/* The seals first: only a memory object has any, and others may make whoever looks at them wait. */
	int seals = ismi_sys_get_seals(fd), flags = seals < 0 ? seals : ismi_sys_getfl(fd);
	int r = seals < 0 ? seals : ismi_sys_fstat(fd, st);
	int64_t fs = seals < 0 ? seals : ismi_sys_fs_type(fd);

	if (wants(seals) || wants(flags) || wants(r) || wants(fs))
		return ismi_fail(-ENOMEM, "out of memory or descriptors for a look at a memory object");
	if (seals < 0 || flags < 0 || r < 0 || !S_ISREG(st->st_mode))
		return ismi_fail(-EPROTO, "the descriptor is no memory object: expected a sealed memfd");
	if (fs != TMPFS_MAGIC && fs != HUGETLBFS_MAGIC)
		return ismi_fail(-EPROTO, "the object is on file system 0x%llx: expected tmpfs or hugetlbfs (a memfd)",
				 (unsigned long long)fs);
	if ((seals & REGION_SEALS) != REGION_SEALS || (seals & ~(REGION_SEALS | HARMLESS_SEALS)) != 0)
		return ismi_fail(-EPROTO, "the object has seals 0x%x: expected shrink, grow and seal (0x%x)", seals,
				 REGION_SEALS);
	if ((st->st_mode & 07777) != REGION_MODE)
		return ismi_fail(-EPROTO, "the object has mode %04o: expected 0600", (unsigned int)st->st_mode & 07777);
	if (st->st_size < 0 || (uint64_t)st->st_size != size)
		return ismi_fail(-EPROTO, "the object has %lld bytes: expected %llu", (long long)st->st_size,
				 (unsigned long long)size);
	*ret_huge = fs == HUGETLBFS_MAGIC;
	return 0;
}

static int check_access(int fd, int access)
{
	int flags = ismi_sys_getfl(fd);

	if (wants(flags))
		return ismi_fail(flags, "out of memory or descriptors for a look at a memory object");
	if (flags < 0 || (flags & O_ACCMODE) != access || (flags & O_PATH))
		return ismi_fail(-EPROTO, "a descriptor is not open for %s", access == O_RDWR ? "reading and writing"
											    : "reading only");
	return 0;
}

int store_adopt(struct store *s, int fd, int ro_fd, uint64_t size)
{
	struct stat st, ro;
	bool huge = false;
	int r = check_object(fd, size, &st, &huge);

	if (r == 0)
		r = check_access(fd, O_RDWR);
	if (r == 0 && ro_fd >= 0) {
		r = check_access(ro_fd, O_RDONLY);
		if (r == 0 && ismi_sys_get_seals(ro_fd) < 0)	/* as above */
			r = ismi_fail(-EPROTO, "the read-only descriptor is no memory object's");
		if (r == 0 && (ismi_sys_fstat(ro_fd, &ro) < 0 || ro.st_dev != st.st_dev || ro.st_ino != st.st_ino))
			r = ismi_fail(-EPROTO, "the read-only descriptor is another object's");
	}
	if (r < 0)
		return r;
	*s = (struct store){ .fd = fd, .ro_fd = ro_fd, .size = size, .huge = huge };
	return 0;
}

int store_copy(struct store *ret, const struct store *s)
{
	int fd = ismi_sys_dup(s->fd);

	if (fd < 0)
		return ismi_fail(fd, "cannot duplicate the descriptor of a region: %s", strerror(-fd));
	*ret = (struct store){ .fd = fd, .ro_fd = -1, .size = s->size, .huge = s->huge };
	return 0;
}

static int reopen_ro(int fd)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int ro = ismi_sys_open(path, O_RDONLY, 0);
	return ro < 0 ? ismi_fail(ro, "cannot open a region read-only through %s", path) : ro;
}

int store_ro_fd(struct store *s)
{
	if (s->ro_fd < 0) {
		int fd = reopen_ro(s->fd);
		if (fd < 0)
			return fd;
		s->ro_fd = fd;
	}
	return s->ro_fd;
}

void store_close(struct store *s)
{
	ismi_sys_close(s->fd);
	ismi_sys_close(s->ro_fd);
	*s = (struct store)STORE_INIT;
}

void store_free(struct store *s)
{
	if (s != NULL)
		store_close(s);
	free(s);
}

/* Map a new object for ourselves, then seal it. */
static int create_mapped(const char *name, uint64_t size, int seals, void **ret_addr, int *ret_fd)
{
	void *addr;
	int fd, r = object_new(name, size, false, &fd);

	if (r < 0)
		return r;
	r = ismi_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0, &addr);
	if (r < 0)
		goto err_close;
	r = ismi_sys_add_seals(fd, seals);
	if (r < 0)
		goto err_unmap;
	*ret_addr = addr;
	*ret_fd = fd;
	return 0;

err_unmap:
	ismi_sys_munmap(addr, size);
err_close:
	ismi_sys_close(fd);
	return ismi_fail(r, "cannot map %llu bytes of shared memory", (unsigned long long)size);
}

int store_create_shown(uint64_t size, void **ret_addr, int *ret_fd)
{
	/* Our mapping, made before the seal, stays writable; no other can be made (Linux 5.1). */
	int r = create_mapped("ism-state", size, SHOWN_SEALS, ret_addr, ret_fd);

	if (r < 0 || !ISM_WITHOUT_MEMFD)
		return r;
	int ro = reopen_ro(*ret_fd);
	ismi_sys_close(*ret_fd);
	if (ro < 0) {
		ismi_sys_munmap(*ret_addr, size);
		return ro;
	}
	*ret_fd = ro;
	return 0;
}

int store_create_shared(uint64_t size, void **ret_addr, int *ret_fd)
{
	return create_mapped("ism-line", size, REGION_SEALS, ret_addr, ret_fd);
}

int store_check_size(int fd, uint64_t size)
{
	struct stat st;
	int seals = ismi_sys_get_seals(fd), r = ismi_sys_fstat(fd, &st);

	if (seals < 0 || r < 0 || (seals & SIZE_SEALS) != SIZE_SEALS || (uint64_t)st.st_size < size)
		return ismi_fail(-EPROTO, "the host sent memory that is not sealed, or below %llu bytes",
				 (unsigned long long)size);
	return 0;
}

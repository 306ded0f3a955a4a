/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * sys-memory.c - the wrapped system calls of sys.h: memory objects, mappings, barriers.
 */
#include "base/sys-private.h"

#include "base/substitute.h"

#include <sys/syscall.h>
#include <unistd.h>

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

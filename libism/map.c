/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * map.c - the window: reserved addresses in which a device's regions appear.
 */
#include "map.h"

#include "base/log.h"
#include "base/spec.h"
#include "base/sys.h"

#include <errno.h>
#include <string.h>

enum { HUGE_PAGE = 2 * 1024 * 1024, RESERVE_FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE };

int ismi_window_reserve(struct ismi_window *w, uint64_t size)
{
	for (; size >= ISMI_CHUNK; size /= 2) {
		void *p;
		if (size > SIZE_MAX - HUGE_PAGE ||
		    ismi_sys_mmap(NULL, (size_t)size + HUGE_PAGE, PROT_NONE, RESERVE_FLAGS, -1, 0, &p) < 0)
			continue;
		uintptr_t base = ((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
		*w = (struct ismi_window){ .base = (uint8_t *)base, .size = size, .reserved = p,
					   .reserved_size = (size_t)size + HUGE_PAGE };
		return 0;
	}
	return ismi_fail(-ENOMEM, "no address space for a window of even one chunk (%d bytes)", ISMI_CHUNK);
}

void ismi_window_release(struct ismi_window *w)
{
	if (w->reserved != NULL)
		ismi_sys_munmap(w->reserved, w->reserved_size);
	*w = (struct ismi_window){ 0 };
}

int ismi_window_map(struct ismi_window *w, uint64_t offset, uint64_t size, int fd, uint64_t from, bool writable,
		    void **ret)
{
	if (offset > w->size || size > w->size - offset)
		return ismi_fail(-EPROTO, "the device placed a region at 0x%llx + 0x%llx, outside its window of 0x%llx",
				 (unsigned long long)offset, (unsigned long long)size, (unsigned long long)w->size);
	int r = ismi_sys_mmap(w->base + offset, (size_t)size, PROT_READ | (writable ? PROT_WRITE : 0),
			      MAP_SHARED | MAP_FIXED, fd, (off_t)from, ret);
	if (r == -ENXIO) /* of a device node: what it gave a moment ago has ended, as all of it does */
		return ismi_fail(-EHOSTDOWN, "the region has ended before it was mapped: the device is gone");
	if (r < 0)
		return ismi_fail(r, "cannot map a region of %llu bytes: %s", (unsigned long long)size,
				 r == -ENOMEM ? "out of memory, or of mappings (vm.max_map_count)" : strerror(-r));
	return 0;
}

void ismi_window_unmap(struct ismi_window *w, uint64_t offset, uint64_t size)
{
	void *p;

	/* If this fails (it may for want of mappings), the region stays until the window goes: no hole for others. */
	ismi_sys_mmap(w->base + offset, (size_t)size, PROT_NONE, RESERVE_FLAGS | MAP_FIXED, -1, 0, &p);
}

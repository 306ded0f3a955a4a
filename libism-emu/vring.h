/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vring.h - the memory of a virtual machine, and its virtqueues (split, with
 * indirect descriptors and event indices).
 *
 * The guest writes all of it at any moment.  Every word is read once, checked,
 * and only then used; no guest address is believed that is not wholly inside
 * memory that the machine gave us.
 */
#ifndef VRING_H
#define VRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	VMEM_REGIONS = 8,
	VRING_NUM_MAX = 32768,
	VRING_BUFS_MAX = 64,	/* buffers in one chain: ours need two */
};

struct vmem_region {
	uint64_t gpa, user, size;	/* the guest's address, and that of the process that runs it */
	uint64_t offset;		/* in its file */
	dev_t dev;
	ino_t ino;
	uint8_t *at;			/* ours */
};

struct vmem {
	struct vmem_region region[VMEM_REGIONS];
	unsigned int nr;
};

/*
 * Map a part of a machine's memory.  @fd stays the caller's.  0; 1 if it is a
 * region of ours in the machine's window, which no virtqueue may reach; -EPROTO or
 * what mmap() says, in words too.
 */
int vmem_add(struct vmem *m, int fd, uint64_t gpa, uint64_t user, uint64_t size, uint64_t offset);
/* The same; what @old has of it, the same part of the same file at the same addresses, goes over as it is. */
int vmem_take(struct vmem *m, struct vmem *old, int fd, uint64_t gpa, uint64_t user, uint64_t size, uint64_t offset);
void vmem_clear(struct vmem *m);

/* @len bytes at a guest address; NULL if they are not all there. */
void *vmem_at(const struct vmem *m, uint64_t gpa, uint64_t len);

struct vring_desc;

struct vring {
	uint32_t num;
	uint64_t desc_user, avail_user, used_user;
	const struct vring_desc *desc;	/* NULL: not mapped */
	uint8_t *avail, *used;
	uint16_t last_avail;		/* the next to be popped */
	uint16_t used_idx;
	uint16_t called;		/* used_idx at the last look at whether to call */
	bool event_idx;
	bool enabled, kicked;		/* told by the front end; it has a kick descriptor (or polls) */
	int kick_fd, call_fd;		/* -1 */
};

#define VRING_INIT { .kick_fd = -1, .call_fd = -1 }

/* Find the ring in memory; false if it is not wholly there, or misaligned. */
bool vring_map(struct vring *v, const struct vmem *m);
static inline bool vring_runs(const struct vring *v)
{
	return v->desc != NULL && v->enabled && v->kicked;
}
/* Begin at @base. */
void vring_start(struct vring *v, uint16_t base);

/* A chain of buffers: first those to read, then those to write. */
struct vring_chain {
	uint16_t head;
	unsigned int nr, nr_read;
	uint64_t read_len, write_len;
	struct vring_buf {
		uint64_t gpa;
		uint32_t len;
	} buf[VRING_BUFS_MAX];
};

/* Has the guest made anything available? */
bool vring_any(const struct vring *v);
/* The same, and the guest is asked to kick if not: what it wrote before the next buffer is visible then. */
bool vring_look(struct vring *v);
/* Where the guest's next buffer will be. */
uint16_t vring_avail(const struct vring *v);
/* The next chain: 1; 0 if there is none, and the guest kicks for the next; -EPROTO, in words too. */
int vring_pop(struct vring *v, const struct vmem *m, struct vring_chain *ret);
/* Give a chain back with @len bytes written. */
void vring_push(struct vring *v, uint16_t head, uint32_t len);
/* Does the guest want to be called for what was pushed since the last look? */
bool vring_wants_call(struct vring *v);

/* Copy out of a chain, at most @size bytes, and into it.  False: its memory is not there. */
bool vring_read(const struct vmem *m, const struct vring_chain *c, void *buf, size_t size, size_t *ret_len);
bool vring_write(const struct vmem *m, const struct vring_chain *c, const void *buf, size_t len);

#endif /* VRING_H */

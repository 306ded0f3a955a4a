/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vring.c - the memory of a virtual machine, and its virtqueues.
 *
 * The layout is the virtio specification's split virtqueue (section 2.7):
 *
 *   descriptors  num x {le64 addr, le32 len, le16 flags, le16 next}
 *   available    le16 flags, le16 idx, num x le16 head, le16 used_event
 *   used         le16 flags, le16 idx, num x {le32 head, le32 len}, le16 avail_event
 */
#include "vring.h"

#include "base/atomics.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/sys.h"

#include <errno.h>
#include <linux/magic.h>
#include <unistd.h>

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, AVAIL_NO_INTERRUPT = 1 };

struct vring_desc {
	_Atomic uint64_t addr, rest;	/* rest: le32 len, le16 flags, le16 next */
};

/* ------------------------------------------------------------------ memory */

/* What could hurt us is refused: memory that can shrink under our mapping, or whose holes can kill us. */
static int check_memory(int fd, uint64_t size, uint64_t offset, struct stat *ret)
{
	int seals = ismi_sys_get_seals(fd);
	uint64_t end, page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (seals < 0 || ismi_sys_fstat(fd, ret) < 0 || ismi_sys_fs_type(fd) != TMPFS_MAGIC)
		return ismi_fail(-EPROTO, "the machine's memory is no memfd of plain pages: expected -object memory-backend-memfd "
					  "with share=on and without hugetlb");
	if (!(seals & F_SEAL_SHRINK))
		return ismi_fail(-EPROTO, "the machine's memory can shrink: expected -object memory-backend-memfd with seal=on");
	if (size == 0 || __builtin_add_overflow(size, offset, &end) || end > (uint64_t)ret->st_size || offset % page != 0)
		return ismi_fail(-EPROTO, "the machine says its memory has %llu bytes at %llu: the file has %lld",
				 (unsigned long long)size, (unsigned long long)offset, (long long)ret->st_size);
	/* Only our regions have this mode: see store.h.  A guest that may not write one must not write it through us. */
	return (ret->st_mode & 07777) == 0600;
}

static bool same_part(const struct vmem_region *a, const struct vmem_region *b)
{
	return a->gpa == b->gpa && a->user == b->user && a->size == b->size && a->offset == b->offset &&
	       a->dev == b->dev && a->ino == b->ino;
}

int vmem_take(struct vmem *m, struct vmem *old, int fd, uint64_t gpa, uint64_t user, uint64_t size, uint64_t offset)
{
	struct vmem_region r = { .gpa = gpa, .user = user, .size = size, .offset = offset };
	struct stat st;
	uint64_t end;
	void *at;
	int err = check_memory(fd, size, offset, &st);

	if (err != 0)
		return err;
	r.dev = st.st_dev;
	r.ino = st.st_ino;
	if (m->nr == VMEM_REGIONS || __builtin_add_overflow(gpa, size, &end) || __builtin_add_overflow(user, size, &end))
		return ismi_fail(-EPROTO, "the machine's memory wraps around, or has more than %d parts", VMEM_REGIONS);
	for (unsigned int i = 0; i < old->nr; i++) {
		if (!same_part(&old->region[i], &r))
			continue;
		m->region[m->nr++] = old->region[i];
		old->region[i] = old->region[--old->nr];
		return 0;
	}
	err = ismi_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)offset, &at);
	if (err < 0)
		return ismi_fail(err, "cannot map %llu bytes of the machine's memory", (unsigned long long)size);
	r.at = at;
	m->region[m->nr++] = r;
	return 0;
}

int vmem_add(struct vmem *m, int fd, uint64_t gpa, uint64_t user, uint64_t size, uint64_t offset)
{
	struct vmem none = { .nr = 0 };

	return vmem_take(m, &none, fd, gpa, user, size, offset);
}

void vmem_clear(struct vmem *m)
{
	while (m->nr > 0) {
		m->nr--;
		ismi_sys_munmap(m->region[m->nr].at, m->region[m->nr].size);
	}
}

void *vmem_at(const struct vmem *m, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < m->nr; i++) {
		const struct vmem_region *r = &m->region[i];
		uint64_t off = gpa - r->gpa;
		if (gpa >= r->gpa && off < r->size && len <= r->size - off)
			return r->at + off;
	}
	return NULL;
}

/* The same by address in the process that runs the machine, which rings are given by. */
static void *at_user(const struct vmem *m, uint64_t user, uint64_t len, uint64_t align)
{
	for (unsigned int i = 0; i < m->nr; i++) {
		const struct vmem_region *r = &m->region[i];
		uint64_t off = user - r->user;
		if (user >= r->user && off < r->size && len <= r->size - off && (uintptr_t)(r->at + off) % align == 0)
			return r->at + off;
	}
	return NULL;
}

/* ------------------------------------------------------------------ rings */

static _Atomic uint16_t *word(uint8_t *ring, size_t offset)
{
	return (_Atomic uint16_t *)(void *)(ring + offset);
}

bool vring_map(struct vring *v, const struct vmem *m)
{
	v->desc = NULL;
	if (v->num == 0)
		return false;
	void *desc = at_user(m, v->desc_user, (uint64_t)v->num * 16, 16);
	v->avail = at_user(m, v->avail_user, 6 + (uint64_t)v->num * 2, 2);
	v->used = at_user(m, v->used_user, 6 + (uint64_t)v->num * 8, 4);
	if (desc == NULL || v->avail == NULL || v->used == NULL)
		return false;
	v->desc = desc;
	v->used_idx = le16toh(ismi_load_relaxed(word(v->used, 2)));
	v->called = v->used_idx;
	return true;
}

void vring_start(struct vring *v, uint16_t base)
{
	v->last_avail = base;
}

uint16_t vring_avail(const struct vring *v)
{
	return le16toh(ismi_load_relaxed(word(v->avail, 2)));
}

bool vring_any(const struct vring *v)
{
	return vring_avail(v) != v->last_avail;
}

/* Is there anything new?  Asks the guest to kick when there is not. */
static bool look(struct vring *v, uint16_t *ret_avail)
{
	_Atomic uint16_t *idx = word(v->avail, 2), *event = word(v->used, 4 + (size_t)v->num * 8);

	/* Pairs with the guest's release of the index: descriptors and heads before it are complete. */
	*ret_avail = le16toh(ismi_load_acquire(idx));
	if (*ret_avail != v->last_avail)
		return true;
	if (!v->event_idx)
		return false;
	/*
	 * seq_cst: the guest stores its index and then reads the event; we store the event and then read its
	 * index.  With both in store buffers neither would see the other, and the kick be lost.
	 */
	ismi_xchg_seq(event, htole16(v->last_avail));
	*ret_avail = le16toh(ismi_load_seq(idx));
	return *ret_avail != v->last_avail;
}

bool vring_look(struct vring *v)
{
	uint16_t avail;

	return look(v, &avail);
}

/* One descriptor, read once. */
static struct vring_buf read_desc(const struct vring_desc *d, uint16_t *ret_flags, uint16_t *ret_next)
{
	uint64_t rest = le64toh(ismi_load_relaxed(&d->rest));

	*ret_flags = (uint16_t)(rest >> 32);
	*ret_next = (uint16_t)(rest >> 48);
	return (struct vring_buf){ .gpa = le64toh(ismi_load_relaxed(&d->addr)), .len = (uint32_t)rest };
}

static int add_buf(struct vring_chain *c, struct vring_buf buf, bool writable)
{
	if (c->nr == VRING_BUFS_MAX)
		return ismi_fail_const(-EPROTO, "a virtqueue chain of more buffers than any of ours needs");
	if (!writable && c->nr != c->nr_read)
		return ismi_fail_const(-EPROTO, "a virtqueue chain with a readable buffer behind a writable one");
	c->buf[c->nr++] = buf;
	c->nr_read += !writable;
	*(writable ? &c->write_len : &c->read_len) += buf.len;
	return 0;
}

/* Follow a chain through a table.  An indirect one may not lead to another. */
static int follow(const struct vmem *m, const struct vring_desc *table, uint32_t num, uint16_t at, bool indirect,
		  struct vring_chain *c)
{
	uint16_t flags, next;

	for (uint32_t steps = 0; steps < num; steps++) {
		if (at >= num)
			return ismi_fail_const(-EPROTO, "a virtqueue descriptor beyond its table");
		struct vring_buf buf = read_desc(&table[at], &flags, &next);
		if (flags & DESC_INDIRECT) {
			const struct vring_desc *inner = vmem_at(m, buf.gpa, buf.len);
			if (indirect || (flags & DESC_NEXT) || inner == NULL || buf.len == 0 || buf.len % 16 != 0 ||
			    (uintptr_t)inner % 16 != 0)
				return ismi_fail_const(-EPROTO, "a virtqueue's indirect table is not wholly in memory, or nested");
			return follow(m, inner, buf.len / 16, 0, true, c);
		}
		int r = add_buf(c, buf, flags & DESC_WRITE);
		if (r < 0 || !(flags & DESC_NEXT))
			return r;
		at = next;
	}
	return ismi_fail_const(-EPROTO, "a virtqueue chain that never ends");
}

int vring_pop(struct vring *v, const struct vmem *m, struct vring_chain *ret)
{
	uint16_t avail;

	if (!look(v, &avail))
		return 0;
	if ((uint16_t)(avail - v->last_avail) > v->num)
		return ismi_fail_const(-EPROTO, "a virtqueue with more buffers available than it has room for");
	uint16_t head = le16toh(ismi_load_relaxed(word(v->avail, 4 + (size_t)(v->last_avail % v->num) * 2)));
	*ret = (struct vring_chain){ .head = head };
	int r = follow(m, v->desc, v->num, head, false, ret);
	if (r < 0)
		return r;
	v->last_avail++;
	return 1;
}

void vring_push(struct vring *v, uint16_t head, uint32_t len)
{
	uint8_t *entry = v->used + 4 + (size_t)(v->used_idx % v->num) * 8;

	ismi_put32(entry, head);
	ismi_put32(entry + 4, len);
	v->used_idx++;
	/* Releases the entry; seq_cst for vring_wants_call(). */
	ismi_xchg_seq(word(v->used, 2), htole16(v->used_idx));
}

bool vring_wants_call(struct vring *v)
{
	uint16_t old = v->called, now = v->used_idx;

	v->called = now;
	if (old == now)
		return false;
	/*
	 * seq_cst, after the exchange of our index: the guest stores used_event (or its flag) and then looks at
	 * our index once more.  With both stores delayed, it would sleep on what we did not call for.
	 */
	if (!v->event_idx)
		return !(le16toh(ismi_load_seq(word(v->avail, 0))) & AVAIL_NO_INTERRUPT);
	uint16_t event = le16toh(ismi_load_seq(word(v->avail, 4 + (size_t)v->num * 2)));
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

/* ------------------------------------------------------------------ chains */

bool vring_read(const struct vmem *m, const struct vring_chain *c, void *buf, size_t size, size_t *ret_len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < c->nr_read && done < size; i++) {
		size_t n = c->buf[i].len < size - done ? c->buf[i].len : size - done;
		const void *from = vmem_at(m, c->buf[i].gpa, n);
		if (from == NULL)
			return false;
		memcpy((uint8_t *)buf + done, from, n);
		done += n;
	}
	*ret_len = done;
	return true;
}

bool vring_write(const struct vmem *m, const struct vring_chain *c, const void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned int i = c->nr_read; i < c->nr && done < len; i++) {
		size_t n = c->buf[i].len < len - done ? c->buf[i].len : len - done;
		void *to = vmem_at(m, c->buf[i].gpa, n);
		if (to == NULL)
			return false;
		memcpy(to, (const uint8_t *)buf + done, n);
		done += n;
	}
	return done == len;
}

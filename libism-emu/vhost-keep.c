/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vhost-keep.c - a virtual machine's connection outlives its host.
 *
 * Names of what is kept: "m-DEVID." and one of KEPT_*, in hexadecimal.
 */
#include "vhost-keep.h"

#include "base/atomics.h"
#include "base/sys.h"
#include "base/wire.h"
#include "persist.h"
#include "vhost-user.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_MAGIC = 0x4d4d5349 /* "ISMM" */, PAGE_VERSION = 1 };

enum { KEPT_PAGE, KEPT_MAIN, KEPT_BACK, KEPT_PIPE, KEPT_KICK = KEPT_PIPE + 2, KEPT_CALL = KEPT_KICK + VM_QUEUES, KEPT_MEMORY = KEPT_CALL + VM_QUEUES,
       KEPT_ALL = KEPT_MEMORY + VMEM_REGIONS };

/* What is true together; it fits no shorter than this into one store, so there are two and a number. */
struct vhost_facts {
	uint64_t protocol_features, features;
	struct {
		uint64_t gpa, user, size, offset;
	} part[VMEM_REGIONS];
	struct {
		uint64_t desc, avail, used;
		uint32_t num;
		uint16_t last_avail;
		uint8_t enabled, kicked;
	} ring[VM_QUEUES];
	struct vm_asked asked;
	uint32_t nr_parts;
	uint8_t broken, stopped, no_read_only, busy;
	uint32_t stage;
	uint32_t back_stage, back_request;
};

struct vhost_page {
	uint32_t magic, version;
	uint32_t nr_chunks;
	_Atomic uint32_t current;	/* the lowest bit says which facts count */
	struct vhost_facts facts[2];
	/* A struct vm_record behind it. */
};

static struct vm_record *record_of(struct vhost_page *page)
{
	return (struct vm_record *)(void *)(page + 1);
}

static size_t page_size(uint32_t nr_chunks)
{
	return sizeof(struct vhost_page) + sizeof(struct vm_record) + (size_t)nr_chunks * sizeof(uint32_t);
}

static void name_of(uint64_t devid, unsigned int what, char name[KEEP_NAME_MAX])
{
	snprintf(name, KEEP_NAME_MAX, "m-%" PRIx64 ".%x", devid, what);
}

/* ------------------------------------------------------------------ keeping */

static void forget(struct vhost_conn *c)
{
	char name[KEEP_NAME_MAX];

	for (unsigned int what = 0; what < KEPT_ALL; what++) {
		if (!(c->kept >> what & 1))
			continue;
		name_of(c->vm.front.dev->devid, what, name);
		persist_fd(c->vm.domain, name, -1);
	}
	c->kept = 0;
}

void vhost_keep_end(struct vhost_conn *c)
{
	forget(c);
	if (c->page != NULL)
		ismi_sys_munmap(c->page, page_size(c->vm.nr_chunks));
	c->page = NULL;
	c->vm.record = NULL;
	ismi_sys_close(c->page_fd);
	c->page_fd = -1;
	ismi_wire_close(c->mem_fd, VMEM_REGIONS);
	ismi_wire_close(c->pipe, 2);
}

static int put(struct vhost_conn *c, unsigned int what, int fd)
{
	char name[KEEP_NAME_MAX];

	if (fd < 0 && !(c->kept >> what & 1))
		return 0;
	name_of(c->vm.front.dev->devid, what, name);
	c->kept &= ~(UINT32_C(1) << what);
	c->kept |= (uint32_t)(fd >= 0) << what;
	return persist_fd(c->vm.domain, name, fd);
}

static void keep(struct vhost_conn *c, unsigned int what, int fd)
{
	if (c->page == NULL || put(c, what, fd) == 0)
		return;
	ismi_warn(vhost_log(c->set), "vhost-user", "device %llu, a virtual machine, will not survive a restart: %s",
		  (unsigned long long)c->vm.front.dev->devid, ismi_fail_text());
	vhost_keep_end(c);
}

void vhost_keep_main(struct vhost_conn *c)
{
	keep(c, KEPT_MAIN, c->fd);
}

void vhost_keep_back(struct vhost_conn *c)
{
	keep(c, KEPT_BACK, c->back_fd);
}

void vhost_keep_kick(struct vhost_conn *c, unsigned int queue)
{
	keep(c, KEPT_KICK + queue, c->vm.ring[queue].kick_fd);
}

void vhost_keep_call(struct vhost_conn *c, unsigned int queue)
{
	keep(c, KEPT_CALL + queue, c->vm.ring[queue].call_fd);
}

void vhost_keep_memory(struct vhost_conn *c, unsigned int part, int fd)
{
	if (c->page == NULL)
		return;
	ismi_sys_close(c->mem_fd[part]);
	c->mem_fd[part] = fd < 0 ? -1 : ismi_sys_dup(fd);	/* for another keeper */
	keep(c, KEPT_MEMORY + part, fd);
}

void vhost_keep_note(struct vhost_conn *c)
{
	const struct vm *vm = &c->vm;
	struct vhost_facts f;

	if (c->page == NULL)
		return;
	memset(&f, 0, sizeof f);
	f.protocol_features = c->protocol_features;
	f.features = vm->features;
	f.nr_parts = vm->mem.nr;
	for (unsigned int i = 0; i < vm->mem.nr; i++) {
		const struct vmem_region *r = &vm->mem.region[i];
		f.part[i].gpa = r->gpa;
		f.part[i].user = r->user;
		f.part[i].size = r->size;
		f.part[i].offset = r->offset;
	}
	for (unsigned int q = 0; q < VM_QUEUES; q++) {
		const struct vring *v = &vm->ring[q];
		f.ring[q].desc = v->desc_user;
		f.ring[q].avail = v->avail_user;
		f.ring[q].used = v->used_user;
		f.ring[q].num = v->num;
		/* Of one that runs the guest's memory says it. */
		f.ring[q].last_avail = vring_runs(v) ? 0 : v->last_avail;
		f.ring[q].enabled = v->enabled;
		f.ring[q].kicked = v->kicked;
	}
	f.broken = vm->broken;
	f.stopped = vm->stopped;
	f.no_read_only = vm->no_read_only;
	f.busy = vm->busy && vm->stopped;
	f.stage = c->in.cut || c->back_in.cut ? VHOST_PARTIAL : c->stage;
	f.back_stage = c->back_stage;
	f.back_request = c->back_request;
	f.asked = c->back_asked;
	uint32_t now = ismi_load_relaxed(&c->page->current);
	if (memcmp(&c->page->facts[now & 1], &f, sizeof f) == 0)
		return;
	c->page->facts[(now + 1) & 1] = f;
	/* For the next host, after our death: all of them are there then. */
	ismi_store_release(&c->page->current, now + 1);
}

void vhost_keep_answer(struct vhost_conn *c)
{
	if (c->pipe[1] >= 0 && c->out_len > 0 && ismi_sys_write(c->pipe[1], c->out, c->out_len) < 0)
		vhost_keep_end(c);
}

void vhost_keep_begin(struct vhost_conn *c)
{
	void *page;

	if (c->vm.domain->persist == NULL)
		return;
	if (ismi_sys_pipe(c->pipe) < 0 || store_create_shared(page_size(c->vm.nr_chunks), &page, &c->page_fd) < 0) {
		ismi_warn(vhost_log(c->set), "vhost-user", "a virtual machine will not survive a restart: out of memory");
		vhost_keep_end(c);
		return;
	}
	c->page = page;
	c->page->magic = PAGE_MAGIC;
	c->page->version = PAGE_VERSION;
	c->page->nr_chunks = c->vm.nr_chunks;
	c->vm.record = record_of(page);
	vhost_keep_note(c);
	vhost_keep_main(c);
	keep(c, KEPT_PIPE, c->pipe[0]);
	keep(c, KEPT_PIPE + 1, c->pipe[1]);
	keep(c, KEPT_PAGE, c->page_fd);
}

int vhost_keep_again(struct vhost_conn *c)
{
	int r = 0;

	if (c->page == NULL)
		return 0;
	c->kept = 0;
	r = put(c, KEPT_MAIN, c->fd);
	for (unsigned int i = 0; i < 2 && r == 0; i++)
		r = put(c, KEPT_PIPE + i, c->pipe[i]);
	if (r == 0)
		r = put(c, KEPT_BACK, c->back_fd);
	for (unsigned int q = 0; q < VM_QUEUES && r == 0; q++) {
		r = put(c, KEPT_KICK + q, c->vm.ring[q].kick_fd);
		if (r == 0)
			r = put(c, KEPT_CALL + q, c->vm.ring[q].call_fd);
	}
	for (unsigned int i = 0; i < VMEM_REGIONS && r == 0; i++)
		r = put(c, KEPT_MEMORY + i, c->mem_fd[i]);
	return r == 0 ? put(c, KEPT_PAGE, c->page_fd) : r;
}

/* ------------------------------------------------------------------ going on */

/* A descriptor that was kept; -1: there was none. */
static int had(struct vhost_conn *c, struct keep *k, uint64_t devid, unsigned int what)
{
	char name[KEEP_NAME_MAX];
	int fd;

	name_of(devid, what, name);
	if (keep_had(k, name, &fd, 1) == 0)
		return -1;
	c->kept |= UINT32_C(1) << what;
	return fd;
}

static int had_page(struct vhost_conn *c, struct keep *k, const struct model_device *dev)
{
	struct stat st;
	void *page;

	c->page_fd = had(c, k, dev->devid, KEPT_PAGE);
	size_t size = page_size(dev->window.nr_chunks);
	if (c->page_fd < 0 || ismi_sys_fstat(c->page_fd, &st) < 0 || (uint64_t)st.st_size < size)
		return ismi_fail(-EPROTO, "its page is not there");
	int r = ismi_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c->page_fd, 0, &page);
	if (r < 0)
		return ismi_fail(r, "its page cannot be mapped");
	c->page = page;
	if (c->page->magic != PAGE_MAGIC || c->page->version != PAGE_VERSION || c->page->nr_chunks != dev->window.nr_chunks)
		return ismi_fail(-EPROTO, "its page is of another version");
	c->vm.record = record_of(page);
	return 0;
}

/* Whatever of it cannot be had is missing until the machine tells it anew. */
static void had_memory(struct vhost_conn *c, struct keep *k, uint64_t devid, const struct vhost_facts *f)
{
	for (unsigned int i = 0; i < VMEM_REGIONS; i++) {
		c->mem_fd[i] = had(c, k, devid, KEPT_MEMORY + i);
		if (i < f->nr_parts && c->mem_fd[i] >= 0)
			vmem_add(&c->vm.mem, c->mem_fd[i], f->part[i].gpa, f->part[i].user, f->part[i].size, f->part[i].offset);
	}
}

static int had_rings(struct vhost_conn *c, struct keep *k, uint64_t devid, const struct vhost_facts *f)
{
	int r = vm_set_features(&c->vm, f->features);

	for (unsigned int q = 0; q < VM_QUEUES; q++) {
		struct vring *v = &c->vm.ring[q];
		v->desc_user = f->ring[q].desc;
		v->avail_user = f->ring[q].avail;
		v->used_user = f->ring[q].used;
		v->num = f->ring[q].num;
		v->enabled = f->ring[q].enabled;
		v->kicked = f->ring[q].kicked;
		v->kick_fd = had(c, k, devid, KEPT_KICK + q);
		v->call_fd = had(c, k, devid, KEPT_CALL + q);
		vring_map(v, &c->vm.mem);
		/* A command that was under way when the machine was paused is one behind. */
		bool mapped = v->desc != NULL && (vring_runs(v) || (q == VM_CONTROL && f->busy));
		vring_start(v, mapped ? v->used_idx : f->ring[q].last_avail);
		if (r == 0 && v->kick_fd >= 0)
			r = vhost_conn_watch(c, v->kick_fd, VHOST_KICK, q);
	}
	return r < 0 ? ismi_fail(r, "its queues cannot go on") : 0;
}

/* Is there anything to read? */
static bool readable(int fd)
{
	uint8_t byte;

	return ismi_wire_bytes(fd, &byte, 1, true) != -EAGAIN;
}

/*
 * The message from the machine: a former host died before it was taken from the
 * socket, and it is handled again; or its answer is sent now, if it was not yet.
 */
static int resume_main(struct vhost_conn *c, const struct vhost_facts *f)
{
	uint8_t dropped[VHOST_ANSWER_MAX];
	bool ready = ismi_sys_poll(c->pipe[0], POLLIN, 0) == 1;
	ssize_t r = 0;

	if (f->stage == VHOST_PARTIAL)
		return ismi_fail(-EPROTO, "its former host had read half a message");
	if (!ready)
		return 0;
	/* The machine says nothing more before it is answered: what there is to be read is not taken. */
	if (f->stage == VHOST_SENDING || (f->stage == VHOST_OWED && !readable(c->fd)))
		r = ismi_sys_splice(c->pipe[0], c->fd, sizeof dropped);
	else
		r = ismi_sys_read(c->pipe[0], dropped, sizeof dropped);
	return r < 0 ? ismi_fail((int)r, "it cannot be answered") : 0;
}

/* Ours to it. */
static void resume_back(struct vhost_conn *c, const struct vhost_facts *f, struct vm_asked *asked)
{
	uint8_t answer[VU_HEADER + 8];
	uint32_t stage = f->back_stage;

	*asked = (struct vm_asked){ .size = 0 };
	if (c->back_fd < 0)
		return;
	if (stage == VHOST_BACK_SENDING && (readable(c->back_fd) || ismi_sys_unread(c->back_fd) > 0))
		stage = VHOST_BACK_SENT;
	if (stage == VHOST_BACK_ANSWERED && readable(c->back_fd))
		ismi_wire_bytes(c->back_fd, answer, sizeof answer, false);
	if (stage != VHOST_BACK_SENT || f->asked.size == 0 || f->asked.offset % ISMI_CHUNK != 0 ||
	    f->asked.offset / ISMI_CHUNK >= c->vm.nr_chunks)
		return;
	*asked = f->asked;
	c->back_stage = stage;
	c->back_request = f->back_request;
	c->back_asked = f->asked;
}

static int resume(struct vhost_conn *c, struct keep *k, struct model_device *dev)
{
	struct vhost_facts f;
	struct vm_asked asked;
	int r = had_page(c, k, dev);

	if (r < 0)
		return r;
	/* Pairs with the release of a host that has died since. */
	f = c->page->facts[ismi_load_acquire(&c->page->current) & 1];
	c->protocol_features = f.protocol_features;
	c->vm.broken = f.broken;
	c->vm.stopped = f.stopped;
	c->vm.no_read_only = f.no_read_only;
	c->fd = had(c, k, dev->devid, KEPT_MAIN);
	c->back_fd = had(c, k, dev->devid, KEPT_BACK);
	c->pipe[0] = had(c, k, dev->devid, KEPT_PIPE);
	c->pipe[1] = had(c, k, dev->devid, KEPT_PIPE + 1);
	had_memory(c, k, dev->devid, &f);
	r = had_rings(c, k, dev->devid, &f);
	if (r == 0 && (c->fd < 0 || c->pipe[0] < 0 || c->pipe[1] < 0 || ismi_sys_peercred(c->fd, &c->cred) < 0))
		r = ismi_fail(-EPROTO, "its connection is not there");
	if (r == 0)
		r = vhost_conn_watch(c, c->fd, VHOST_MAIN, 0);
	if (r == 0 && c->back_fd >= 0)
		r = vhost_conn_watch(c, c->back_fd, VHOST_BACK, 0);
	if (r == 0)
		r = resume_main(c, &f);
	if (r < 0)
		return r;
	resume_back(c, &f, &asked);
	vm_resume(&c->vm, dev, &asked);
	c->again = true;
	vhost_keep_note(c);
	return 0;
}

static void resume_device(struct vhost *vh, struct keep *k, struct model_device *dev)
{
	struct vhost_conn *c = vhost_conn_again(vh, dev);
	int r = c == NULL ? ismi_fail(-ENOMEM, "out of memory") : resume(c, k, dev);

	if (r == 0) {
		ismi_info(vhost_log(vh), "vhost-user", "device %llu, the virtual machine of pid %d, goes on",
			  (unsigned long long)dev->devid, (int)c->cred.pid);
		vhost_conn_wake(c);
		return;
	}
	ismi_warn(vhost_log(vh), "vhost-user", "device %llu, a virtual machine, does not survive the restart: %s",
		  (unsigned long long)dev->devid, ismi_fail_text());
	if (c != NULL)
		vhost_conn_undo(c, dev);
}

void vhost_resume(struct vhost *vh)
{
	struct domain *d = vhost_domain(vh);
	struct keep *k = d->persist == NULL ? NULL : d->persist->keep;
	const char *name;
	size_t at = 0;

	while (k != NULL && (name = keep_left(k, "m-", &at)) != NULL) {
		uint64_t devid;
		unsigned int what;
		if (sscanf(name, "m-%" SCNx64 ".%x", &devid, &what) != 2 || what != KEPT_PAGE)
			continue;
		struct model_device *dev = model_device_find(&d->model, devid);
		if (dev != NULL && domain_absent(d, dev))
			resume_device(vh, k, dev);
	}
}

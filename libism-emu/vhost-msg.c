/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vhost-msg.c - virtual machines as devices of a domain: messages.
 *
 * What breaks the protocol ends the connection, in words in the log.
 */
#include "base/sys.h"
#include "base/wire.h"
#include "vhost-conn.h"
#include "vhost-keep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BIT(n) (UINT64_C(1) << (n))

/* CONFIGURE_MEM_SLOTS is not offered: with it QEMU 11.1 fails when a device is reset while regions are mapped. */
static const uint64_t needed_features = BIT(VU_PF_REPLY_ACK) | BIT(VU_PF_BACKEND_REQ) | BIT(VU_PF_CONFIG) |
					BIT(VU_PF_BACKEND_SEND_FD) | BIT(VU_PF_SHMEM),
		      offered_features = BIT(VU_PF_MQ) | BIT(VU_PF_RESET_DEVICE) |
					 BIT(VU_PF_REPLY_ACK) | BIT(VU_PF_BACKEND_REQ) | BIT(VU_PF_CONFIG) |
					 BIT(VU_PF_BACKEND_SEND_FD) | BIT(VU_PF_SHMEM);

/* ------------------------------------------------------------------ answers */

static void put_header(uint8_t *msg, uint32_t request, uint32_t flags, size_t size)
{
	ismi_put32(msg, request);
	ismi_put32(msg + 4, VU_VERSION | flags);
	ismi_put32(msg + 8, (uint32_t)size);
}

/* @msg has room for a header in front of the payload. */
static void answer(struct vhost_conn *c, uint8_t *msg, size_t size)
{
	put_header(msg, ismi_get32(c->in.buf), VU_REPLY, size);
	memcpy(c->out, msg, VU_HEADER + size);
	c->out_len = VU_HEADER + size;
}

void vhost_answer(struct vhost_conn *c)
{
	ssize_t r = c->pipe[0] < 0 ? ismi_wire_send(c->fd, c->out, c->out_len, NULL, 0)
				   : ismi_sys_splice(c->pipe[0], c->fd, c->out_len);

	c->out_len = 0;
	if (r < 0)
		vhost_conn_refuse(c, r == -EAGAIN ? "does not read its answers" : "cannot be answered");
}

static void answer_u64(struct vhost_conn *c, uint64_t value)
{
	uint8_t msg[VU_HEADER + 8];

	ismi_put64(msg + VU_HEADER, value);
	answer(c, msg, 8);
}

/* ------------------------------------------------------------------ messages to us */

/* Each returns 0, 1 if it has answered, or a negative errno with the reason in ismi_fail_text(). */
typedef int handler(struct vhost_conn *c, const uint8_t *p, size_t size);

static int get_features(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	(void)p;
	(void)size;
	answer_u64(c, VM_FEATURES | BIT(VU_F_PROTOCOL_FEATURES));
	return 1;
}

static int set_features(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	(void)size;
	return vm_set_features(&c->vm, ismi_get64(p) & ~BIT(VU_F_PROTOCOL_FEATURES));
}

static int get_protocol_features(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	(void)p;
	(void)size;
	answer_u64(c, offered_features);
	return 1;
}

static int set_protocol_features(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	uint64_t features = ismi_get64(p);

	(void)size;
	if ((features & needed_features) != needed_features || (features & ~offered_features) != 0)
		return ismi_fail(-EPROTO, "it takes the protocol features 0x%llx, and 0x%llx are needed: QEMU 10.2 or newer, "
					  "with a device that has VIRTIO shared memory regions (vhost-user-test-device-pci)",
				 (unsigned long long)features, (unsigned long long)needed_features);
	c->protocol_features = features;
	return 0;
}

static int set_owner(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	(void)c;	/* it has been greeted, as by any first message */
	(void)p;
	(void)size;
	return 0;
}

static int get_queue_num(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	(void)p;
	(void)size;
	answer_u64(c, VM_QUEUES);
	return 1;
}

static int set_mem_table(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	uint32_t nr = ismi_get32(p);

	if (nr > VU_FDS_MAX || nr != c->nr_fds || size != VU_MEM_HEAD + (size_t)nr * VU_MEM_REGION)
		return ismi_fail(-EPROTO, "a table of %u parts of memory with %zu bytes and %zu descriptors", nr, size, c->nr_fds);
	/* All of it comes anew with each region that is mapped, and most is as it was. */
	const struct vmem before = c->vm.mem;
	struct vmem old = before, *now = &c->vm.mem;
	int r = 0;
	now->nr = 0;
	for (uint32_t i = 0; i < nr && r >= 0; i++) {
		const uint8_t *e = p + VU_MEM_HEAD + (size_t)i * VU_MEM_REGION;
		unsigned int part = now->nr;
		r = vmem_take(now, &old, c->fds[i], ismi_get64(e), ismi_get64(e + 16), ismi_get64(e + 8), ismi_get64(e + 24));
		if (now->nr > part && (part >= before.nr || before.region[part].at != now->region[part].at))
			vhost_keep_memory(c, part, c->fds[i]);
	}
	for (unsigned int part = now->nr; part < before.nr; part++)
		vhost_keep_memory(c, part, -1);
	vmem_clear(&old);
	vm_remap(&c->vm);
	return r < 0 ? r : 0;
}

/* ------------------------------------------------------------------ queues */

static struct vring *queue(struct vhost_conn *c, uint64_t index)
{
	if (index < VM_QUEUES)
		return &c->vm.ring[index];
	ismi_fail(-EPROTO, "queue %llu: there are %d", (unsigned long long)index, VM_QUEUES);
	return NULL;
}

static int set_vring_num(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	struct vring *v = queue(c, ismi_get32(p));
	uint32_t num = ismi_get32(p + 4);

	(void)size;
	if (v == NULL)
		return -EPROTO;
	/* The guest's doing, as below. */
	if (num == 0 || num > VRING_NUM_MAX || (num & (num - 1)) != 0) {
		vm_complain(&c->vm, "the size of a queue is no power of two, or too large");
		num = 0;
	}
	v->num = num;
	vm_remap(&c->vm);
	return 0;
}

static int set_vring_addr(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	struct vring *v = queue(c, ismi_get32(p));

	(void)size;
	if (v == NULL)
		return -EPROTO;
	v->desc_user = ismi_get64(p + 8);
	v->used_user = ismi_get64(p + 16);
	v->avail_user = ismi_get64(p + 24);
	vm_remap(&c->vm);
	/* The guest's doing.  The connection stays: QEMU 11.1 can end with a fault when it ends while a device starts. */
	if (v->desc == NULL)
		vm_complain(&c->vm, "a queue is not wholly in its memory, or misaligned");
	return 0;
}

static int set_vring_base(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	uint32_t q = ismi_get32(p);

	(void)size;
	if (queue(c, q) == NULL)
		return -EPROTO;
	vm_queue_start(&c->vm, q, (uint16_t)ismi_get32(p + 4));
	return 0;
}

static int get_vring_base(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	uint8_t msg[VU_HEADER + 8];
	struct vring *v = queue(c, ismi_get32(p));

	(void)size;
	if (v == NULL)
		return -EPROTO;
	vhost_conn_close_fd(c, &v->kick_fd);
	vhost_keep_kick(c, ismi_get32(p));
	ismi_put32(msg + VU_HEADER, ismi_get32(p));
	ismi_put32(msg + VU_HEADER + 4, vm_queue_stop(&c->vm, ismi_get32(p)));
	answer(c, msg, 8);
	return 1;
}

/* The descriptor of a KICK, CALL or ERR, taken from the message; -1: none. */
static int vring_fd(struct vhost_conn *c, const uint8_t *p, struct vring **ret, int *ret_fd)
{
	uint64_t v = ismi_get64(p);

	*ret = queue(c, v & 0xff);
	*ret_fd = -1;
	if (*ret == NULL)
		return -EPROTO;
	if (((v & VU_VRING_NO_FD) != 0) != (c->nr_fds == 0) || c->nr_fds > 1)
		return ismi_fail(-EPROTO, "%zu descriptors for a queue: expected what the message says", c->nr_fds);
	if (c->nr_fds == 1)
		*ret_fd = c->fds[0];
	c->nr_fds = 0;
	return 0;
}

static int set_vring_kick(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	struct vring *v;
	int fd, r = vring_fd(c, p, &v, &fd);

	(void)size;
	if (r < 0)
		return r;
	vhost_conn_close_fd(c, &v->kick_fd);
	v->kick_fd = fd;
	if (fd >= 0) {
		r = vhost_conn_watch(c, fd, VHOST_KICK, (unsigned int)(ismi_get64(p) & 0xff));
		if (r < 0)
			return ismi_fail(r, "a queue's kick descriptor cannot be waited for");
	}
	vhost_keep_kick(c, (unsigned int)(v - c->vm.ring));
	v->kicked = true;
	vm_remap(&c->vm);
	return 0;
}

/* Writing to something else than an eventfd could block us. */
static bool is_eventfd(int fd)
{
	char path[32], target[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, target, sizeof target - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0;
}

static int set_vring_call(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	struct vring *v;
	int fd, r = vring_fd(c, p, &v, &fd);

	(void)size;
	if (r < 0)
		return r;
	ismi_sys_close(v->call_fd);
	v->call_fd = fd;
	if (fd >= 0 && (!is_eventfd(fd) || ismi_sys_setfl(fd, O_NONBLOCK) < 0))
		return ismi_fail(-EPROTO, "a queue's call descriptor is no eventfd");
	vhost_keep_call(c, (unsigned int)(v - c->vm.ring));
	/* What was used while there was no one to call. */
	if (fd >= 0 && vring_runs(v))
		ismi_sys_wake_event(fd);
	return 0;
}

static int set_vring_err(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	struct vring *v;
	int fd, r = vring_fd(c, p, &v, &fd);

	(void)size;
	ismi_sys_close(fd);
	return r;
}

static int set_vring_enable(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	struct vring *v = queue(c, ismi_get32(p));

	(void)size;
	if (v == NULL)
		return -EPROTO;
	v->enabled = ismi_get32(p + 4) != 0;
	vm_remap(&c->vm);
	return 0;
}

/* ------------------------------------------------------------------ the device */

static int get_config(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	uint32_t offset = ismi_get32(p), len = ismi_get32(p + 4);
	uint8_t msg[VU_HEADER + VU_CONFIG_HEAD + VU_CONFIG_MAX] = { 0 }, config[VU_CONFIG_MAX] = { 0 };

	if (len > VU_CONFIG_MAX || offset > VU_CONFIG_MAX - len || size != VU_CONFIG_HEAD + len)
		return ismi_fail(-EPROTO, "a read of %u bytes of configuration at %u in a message of %zu", len, offset, size);
	vm_config(&c->vm, config);
	memcpy(msg + VU_HEADER, p, VU_CONFIG_HEAD);
	memcpy(msg + VU_HEADER + VU_CONFIG_HEAD, config + offset, len);
	answer(c, msg, VU_CONFIG_HEAD + len);
	return 1;
}

static int set_config(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	(void)c;	/* a guest may try: nothing in it can be written */
	(void)p;
	(void)size;
	return 0;
}

static int reset_device(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	(void)p;
	(void)size;
	vm_reset(&c->vm);
	return 0;
}

static int get_shmem_config(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	uint8_t msg[VU_HEADER + VU_SHMEM_CONFIG] = { 0 };

	(void)p;
	(void)size;
	ismi_put32(msg + VU_HEADER, 1);
	ismi_put64(msg + VU_HEADER + 8 + 8 * VU_SHMEM_WINDOW, (uint64_t)c->vm.nr_chunks * ISMI_CHUNK);
	answer(c, msg, VU_SHMEM_CONFIG);
	return 1;
}

static int set_backend_fd(struct vhost_conn *c, const uint8_t *p, size_t size)
{
	(void)p;
	(void)size;
	if (c->again)		/* a former host may have had it */
		vhost_conn_close_fd(c, &c->back_fd);
	if (c->nr_fds != 1 || c->back_fd >= 0)
		return ismi_fail(-EPROTO, "%zu descriptors for requests of ours: expected one, once", c->nr_fds);
	int r = ismi_sys_setfl(c->fds[0], O_NONBLOCK);
	if (r == 0)
		r = vhost_conn_watch(c, c->fds[0], VHOST_BACK, 0);
	if (r < 0)
		return ismi_fail(r, "the descriptor for requests of ours cannot be used");
	c->back_fd = c->fds[0];
	c->nr_fds = 0;
	vhost_keep_back(c);
	return 0;
}

/* Payload sizes: exact, or the least where @more. */
static const struct {
	handler *run;
	uint16_t size;
	bool more, fds;
} messages[VU_REQUESTS] = {
	[VU_GET_FEATURES] = { get_features, 0, false, false },
	[VU_SET_FEATURES] = { set_features, 8, false, false },
	[VU_SET_OWNER] = { set_owner, 0, false, false },
	[VU_RESET_OWNER] = { set_owner, 0, false, false },
	[VU_SET_MEM_TABLE] = { set_mem_table, VU_MEM_HEAD, true, true },
	[VU_SET_VRING_NUM] = { set_vring_num, 8, false, false },
	[VU_SET_VRING_ADDR] = { set_vring_addr, VU_VRING_ADDR, false, false },
	[VU_SET_VRING_BASE] = { set_vring_base, 8, false, false },
	[VU_GET_VRING_BASE] = { get_vring_base, 8, false, false },
	[VU_SET_VRING_KICK] = { set_vring_kick, 8, false, true },
	[VU_SET_VRING_CALL] = { set_vring_call, 8, false, true },
	[VU_SET_VRING_ERR] = { set_vring_err, 8, false, true },
	[VU_GET_PROTOCOL_FEATURES] = { get_protocol_features, 0, false, false },
	[VU_SET_PROTOCOL_FEATURES] = { set_protocol_features, 8, false, false },
	[VU_GET_QUEUE_NUM] = { get_queue_num, 0, false, false },
	[VU_SET_VRING_ENABLE] = { set_vring_enable, 8, false, false },
	[VU_SET_BACKEND_REQ_FD] = { set_backend_fd, 0, true, true },
	[VU_GET_CONFIG] = { get_config, VU_CONFIG_HEAD, true, false },
	[VU_SET_CONFIG] = { set_config, VU_CONFIG_HEAD, true, false },
	[VU_RESET_DEVICE] = { reset_device, 0, false, false },
	[VU_GET_SHMEM_CONFIG] = { get_shmem_config, 0, true, false },
};

static int check_message(const struct vhost_conn *c, uint32_t request, uint32_t flags, size_t size)
{
	if ((flags & VU_VERSION_MASK) != VU_VERSION || (flags & VU_REPLY))
		return ismi_fail(-EPROTO, "a message with flags 0x%x", flags);
	if (request >= VU_REQUESTS || messages[request].run == NULL)
		return ismi_fail(-EPROTO, "request %u, which nothing that was negotiated has", request);
	if (messages[request].more ? size < messages[request].size : size != messages[request].size)
		return ismi_fail(-EPROTO, "request %u with %zu bytes: expected %u", request, size, messages[request].size);
	if (c->nr_fds > 0 && !messages[request].fds)
		return ismi_fail(-EPROTO, "request %u with descriptors", request);
	return 0;
}

void vhost_message(struct vhost_conn *c)
{
	uint32_t request = ismi_get32(c->in.buf), flags = ismi_get32(c->in.buf + 4);
	size_t size = c->in.len - VU_HEADER;
	int r = check_message(c, request, flags, size);

	if (r == 0 && !c->greeted && vhost_conn_greet(c) != ISMI_OK)
		r = ismi_fail(-ENOSPC, "its user has too many devices, or out of memory");
	if (r == 0)
		r = messages[request].run(c, c->in.buf + VU_HEADER, size);
	if (r < 0)
		vhost_conn_refuse(c, ismi_fail_text());
	else if (r == 0 && (flags & VU_NEED_REPLY))
		answer_u64(c, 0);
}

/* ------------------------------------------------------------------ our requests */

static struct vhost_conn *conn_of(struct vm *vm)
{
	return (struct vhost_conn *)vm;
}

static int request(struct vhost_conn *c, uint32_t which, int fd, uint64_t offset, uint64_t size, uint32_t rights)
{
	uint8_t msg[VU_HEADER + VU_SHMEM_MSG] = { 0 };

	if (c->back_fd < 0)
		return ismi_fail(-ENOTCONN, "a virtual machine that takes no requests");
	put_header(msg, which, VU_NEED_REPLY, VU_SHMEM_MSG);
	msg[VU_HEADER] = VU_SHMEM_WINDOW;
	ismi_put64(msg + VU_HEADER + 16, offset);
	ismi_put64(msg + VU_HEADER + 24, size);
	ismi_put64(msg + VU_HEADER + 32, rights & MODEL_WRITE ? VU_SHMEM_RW : 0);
	c->back_request = which;
	c->back_asked = (struct vm_asked){ offset, size, rights };
	c->back_stage = VHOST_BACK_SENDING;
	vhost_keep_note(c);
	/* One at a time is under way, so there is room, or nobody reads. */
	int r = ismi_wire_send(c->back_fd, msg, sizeof msg, &fd, fd >= 0);
	c->back_stage = r == 0 ? VHOST_BACK_SENT : VHOST_BACK_QUIET;
	if (r < 0)
		c->back_request = 0;
	vhost_keep_note(c);
	return r;
}

static int ask_map(struct vm *vm, int fd, uint64_t offset, uint64_t size, bool writable)
{
	return request(conn_of(vm), VU_BACK_SHMEM_MAP, fd, offset, size, MODEL_READ | (writable ? MODEL_WRITE : 0));
}

static int ask_unmap(struct vm *vm, uint64_t offset, uint64_t size)
{
	return request(conn_of(vm), VU_BACK_SHMEM_UNMAP, -1, offset, size, 0);
}

static void wake(struct vm *vm)
{
	vhost_conn_wake(conn_of(vm));
}

static void end(struct vm *vm, uint64_t by)
{
	conn_of(vm)->ended_by = by;
	wake(vm);
}

const struct vm_ops vhost_vm_ops = { .map = ask_map, .unmap = ask_unmap, .wake = wake, .end = end };

void vhost_back_answer(struct vhost_conn *c)
{
	const uint8_t *m = c->back_in.buf;

	if (c->back_request == 0 || ismi_get32(m) != c->back_request || !(ismi_get32(m + 4) & VU_REPLY) ||
	    c->back_in.len != VU_HEADER + 8) {
		vhost_conn_refuse(c, "an answer to nothing we asked");
		return;
	}
	c->back_request = 0;
	vm_window_done(&c->vm, ismi_get64(m + VU_HEADER) == 0);
	c->back_stage = VHOST_BACK_ANSWERED;
	vhost_keep_note(c);
}

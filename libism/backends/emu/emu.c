/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * emu.c - a device of an emulated host: its commands, and what the host writes
 * into shared memory.
 */
#include "emu.h"

#include "base/spec.h"
#include "host.h"
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void emu_down(struct ism_device *dev)
{
	struct emu *e = dev->priv;

	if (ismi_load_relaxed(&e->down))
		return;
	ismi_xchg_seq(&e->down, true);
	emu_ring_left(dev);
	/* They would be ready for ever. */
	ismi_sys_epoll_del(dev->epfd, e->conn);
	ismi_sys_epoll_del(dev->epfd, e->wake_fd);
	if (e->life_fd >= 0)
		ismi_sys_epoll_del(dev->epfd, e->life_fd);
	ismi_info(&dev->log, "emu", "the host of %s is gone", dev->info.path);
	ismi_deliver_reset(dev);
}

/* ------------------------------------------------------------------ open, close */

static void emu_close(struct ism_device *dev, bool forked)
{
	struct emu *e = dev->priv;

	if (!forked)	/* there, epfd may be the program's by now */
		emu_resume_end(dev);
	ismi_sys_close(e->conn);
	ismi_sys_close(e->wake_fd);
	ismi_sys_close(e->life_fd);
	emu_links_close(e);
	emu_port_unmap(e);
	if (!forked) {
		host_log_ends(e->host, &dev->log);
		host_put(e->host);
	}
	free(e);
	dev->priv = NULL;
}

static int emu_open(struct ism_device *dev, const char *address, const struct ism_open_opts *opts)
{
	const char *name = opts->name != NULL ? opts->name : program_invocation_short_name;
	struct emu *e = calloc(1, sizeof *e);
	int r;

	if (e == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	e->dev = dev;
	e->conn = e->wake_fd = e->life_fd = e->resume_fd = e->timer_fd = -1;
	dev->priv = e;
	ismi_spin_policy_init(&e->spin, opts->spin_us);
	r = ismi_emu_path(address, dev->info.path, sizeof dev->info.path);
	if (r == 0)
		r = emu_find_host(e, dev->info.path, !(opts->flags & ISM_OPEN_NO_HOST), name);
	if (r == 0)	/* its answers are for whoever asked: only its end is everybody's */
		r = ismi_sys_epoll_add(dev->epfd, e->conn, 0, EMU_DATA_CONN);
	if (r == 0)
		r = ismi_sys_epoll_add(dev->epfd, e->wake_fd, EPOLLIN, EMU_DATA_WAKE);
	if (r == 0 && e->life_fd >= 0)
		r = ismi_sys_epoll_add(dev->epfd, e->life_fd, 0, EMU_DATA_LIFE);
	if (r < 0)
		emu_close(dev, false);
	return r;
}

/* ------------------------------------------------------------------ control */

/* The descriptors that go with a command: their number, or a negative errno. */
static int command_fds(const struct emu *e, const struct ismi_command *c, int in[ISMI_WIRE_FDS])
{
	int nr = 0;

	for (uint32_t i = 0; i < c->nr_memory; i++) {
		in[nr++] = c->memory[i]->fd;
		if (!e->want_ro)
			continue;
		int ro = store_ro_fd(c->memory[i]);
		if (ro < 0)
			return ro;
		in[nr++] = ro;
	}
	return nr;
}

/* The region that an ATTACH is about; 0: it is another command. */
static uint64_t attached_token(const struct ismi_command *c)
{
	uint16_t cmd = (uint16_t)(c->req[0] << 8 | c->req[1]);

	return cmd == ISMI_CMD_ATTACH || cmd == ISMI_CMD_ATTACH_EX ? ismi_get64(c->req + ISMI_REQ_HEAD) : 0;
}

/* Of the host's second answer to it the first is part: what came of that is not to be let go. */
static bool may_be_repeated(const struct ismi_command *c)
{
	return (uint16_t)(c->req[0] << 8 | c->req[1]) == ISMI_CMD_SHUT_OUT;
}

/* The length of the answer, or a negative errno; again if the host dies over it and another comes. */
static ssize_t converse(struct ism_device *dev, const struct ismi_command *c, const int *in, size_t nr_in, int *out,
			size_t *nr_out)
{
	int64_t deadline = ismi_deadline(dev->restart_ns);
	struct emu *e = dev->priv;
	bool sent = false;

	for (;;) {
		if (ismi_load_relaxed(&e->lost)) {
			if (e->reconciling)
				return -EHOSTDOWN;
			int r = emu_await_host(dev, deadline);
			e->reconciling = true;
			if (r == 0 && sent && !may_be_repeated(c))
				r = emu_reconcile(dev, attached_token(c));
			e->reconciling = false;
			if (r == -EHOSTDOWN && ismi_load_relaxed(&e->lost) && !ismi_load_relaxed(&e->down) &&
			    ismi_time_left(deadline) != 0)
				continue;	/* that one did not live long */
			if (r < 0)
				return r;
		}
		memcpy(e->buf + ISMI_WIRE_HEADER, c->req, c->req_len);
		ssize_t n = emu_exchange(e, ISMI_WIRE_COMMAND, c->req_len, in, nr_in, out, nr_out);
		if (n != -EHOSTDOWN && n != -EPROTO)
			return n;
		pthread_mutex_lock(&dev->bell);
		if (n == -EPROTO)
			emu_down(dev);
		else
			emu_lost(dev);
		pthread_mutex_unlock(&dev->bell);
		if (n == -EPROTO || ismi_load_relaxed(&e->down))
			return n;
		sent = true;
	}
}

static int emu_command(struct ism_device *dev, struct ismi_command *c)
{
	struct emu *e = dev->priv;
	int in[ISMI_WIRE_FDS], out[ISMI_WIRE_FDS], nr_in;
	size_t nr_out;

	if (ismi_load_relaxed(&e->down))
		return ismi_fail(-EHOSTDOWN, "the host of %s is gone", dev->info.path);
	nr_in = command_fds(e, c, in);
	if (nr_in < 0)
		return nr_in;
	ssize_t n = converse(dev, c, in, (size_t)nr_in, out, &nr_out);
	if (n < 0)
		return (int)n;
	if ((size_t)n > c->cap || nr_out > sizeof c->fds / sizeof c->fds[0]) {
		ismi_wire_close(out, nr_out);
		return ismi_fail(-EPROTO, "the host's answer has %zd bytes and %zu descriptors: expected less", n, nr_out);
	}
	memcpy(c->reply, e->buf + ISMI_WIRE_HEADER, (size_t)n);
	memcpy(c->fds, out, nr_out * sizeof out[0]);
	c->len = (size_t)n;
	c->nr_fds = (unsigned int)nr_out;
	return 0;
}

/* A detached region's slot goes to another one: what is still rung there is not for it. */
static void forget_rings(struct ism_device *dev, const struct ismi_ref *ref)
{
	struct emu *e = dev->priv;

	if (ref == NULL)
		return;
	pthread_mutex_lock(&dev->bell);
	ismi_bell_forget(&e->end.line->to_device, ref->mem.slot);
	for (uint32_t i = 0; i < e->links_end; i++) {
		if (e->link[i] != NULL)
			ismi_bell_forget(e->link[i]->in, ref->mem.slot);
	}
	pthread_mutex_unlock(&dev->bell);
}

static void emu_detach(struct ism_device *dev, uint64_t token)
{
	ismi_driver_detach(dev, token);
	forget_rings(dev, ismi_ref_find(dev, token));
}

static void emu_detach_many(struct ism_device *dev, struct ismi_leave *leave, uint32_t nr)
{
	ismi_driver_detach_many(dev, leave, nr);
	for (uint32_t i = 0; i < nr; i++)
		forget_rings(dev, ismi_ref_find(dev, leave[i].token));
}

/* A call gave up, and the host carried it out all the same: what came of it is nobody's. */
static void after_late_answer(struct ism_device *dev)
{
	struct emu *e = dev->priv;

	e->late = false;
	e->reconciling = true;
	if (emu_reconcile(dev, 0) < 0)
		e->late = true;
	e->reconciling = false;
}

/* Memory that we have kept mapped has ended, and we do not know which. */
static void emu_kept_update(struct ism_device *dev)
{
	struct emu *e = dev->priv;
	uint32_t ended = ismi_load_relaxed(&e->end.state->kept_ended);

	if (ended != e->kept_seen)
		ismi_kept_drop(dev);
	e->kept_seen = ended;
}

static void emu_housekeep(struct ism_device *dev)
{
	const struct emu *e = dev->priv;

	if (ismi_load_relaxed(&e->lost) && !ismi_load_relaxed(&e->down)) {
		ismi_store_relaxed(&dev->housework, false);
		emu_resume_step(dev);
	} else {
		emu_kept_update(dev);
		emu_links_update(dev);
		if (e->late)
			after_late_answer(dev);
	}
}

/* ------------------------------------------------------------------ doorbells and events */

struct take {
	struct ism_device *dev;
	uint64_t peer;
};

static void take_bell(void *arg, uint32_t slot)
{
	const struct take *t = arg;

	ismi_deliver_bell(t->dev, slot, t->peer);
}

static void emu_poll(struct ism_device *dev)
{
	struct emu *e = dev->priv;

	ismi_port_poll(dev, &e->end);
	for (uint32_t i = 0; i < e->links_end; i++) {
		struct emu_link *l = e->link[i];
		if (l == NULL)
			continue;
		/* The host may have ended this link already, and the number be that of its successor. */
		struct ismi_bell_mask mask = { e->end.state->mask[i], &e->end.state->link[i].id, l->id };
		struct take take = { dev, l->peer };
		ismi_bell_take(l->in, &mask, take_bell, &take);
	}
	uint32_t changed = ismi_load_acquire(&e->end.state->links_changed);
	if (changed != e->links_seen) {
		e->links_seen = changed;
		ismi_store_relaxed(&dev->housework, true);
	}
}

static bool emu_arm(struct ism_device *dev)
{
	struct emu *e = dev->priv;
	bool quiet = ismi_port_arm(&e->end) && ismi_load_seq(&e->end.state->links_changed) == e->links_seen;

	for (uint32_t i = 0; i < e->links_end && quiet; i++) {
		struct emu_link *l = e->link[i];
		if (l == NULL)
			continue;
		if (ismi_load_relaxed(&l->in->armed) == 0)
			ismi_bell_arm(l->in);
		quiet = !ismi_bell_pending(l->in);
	}
	return quiet;
}

static void emu_disarm(struct ism_device *dev)
{
	struct emu *e = dev->priv;

	ismi_port_disarm(&e->end);
	for (uint32_t i = 0; i < e->links_end; i++) {
		if (e->link[i] != NULL)
			ismi_bell_disarm(e->link[i]->in);
	}
}

static void emu_fired(struct ism_device *dev, uint64_t data, uint32_t events)
{
	struct emu *e = dev->priv;

	if ((data & UINT32_MAX) >= EMU_DATA_EVENT) {
		emu_link_fired(dev, data, events);
		return;
	}
	switch (data) {
	case EMU_DATA_LIFE:
		e->kept = false;	/* nobody is left who could know us again */
		ismi_sys_epoll_del(dev->epfd, e->life_fd);
		if (ismi_load_relaxed(&e->lost))
			emu_down(dev);
		return;
	case EMU_DATA_TIMER:
		ismi_sys_wake_clear(e->timer_fd);
		ismi_store_relaxed(&dev->housework, true);
		return;
	case EMU_DATA_RESUME:
		ismi_store_relaxed(&dev->housework, true);
		return;
	case EMU_DATA_WAKE:
		ismi_sys_wake_clear(e->wake_fd);
		break;
	default:
		if (events & EPOLLIN) {	/* asked for once: the answer stays there until the next call reads it */
			ismi_sys_epoll_mod(dev->epfd, e->conn, 0, EMU_DATA_CONN);
			ismi_store_relaxed(&dev->housework, true);
		}
		break;
	}
	/* Of two reports about one host, the second may come when the next is there. */
	if ((events & (EPOLLHUP | EPOLLERR)) && !ismi_load_relaxed(&e->lost)) {
		emu_poll(dev);	/* what it still said */
		emu_lost(dev);
	}
}

/* Without a host, whoever has a link to us and shares the region can ring it. */
static bool emu_reachable(struct ism_device *dev, const struct ismi_ref *ref)
{
	const struct emu *e = dev->priv;
	uint32_t slot = ref->mem.slot;

	for (uint32_t i = 0; i < e->links_end; i++) {
		const struct emu_link *l = e->link[i];
		if (l != NULL && !ismi_load_relaxed(&l->dead) &&
		    (ismi_load_relaxed(&e->end.state->mask[i][slot / 64]) >> slot % 64 & 1))
			return true;
	}
	return false;
}

/* A host in this process dies; one elsewhere is cut off. */
static void emu_die(struct ism_device *dev)
{
	const struct emu *e = dev->priv;

	if (e->host != NULL)
		host_kill(e->host);
	else
		ismi_sys_shutdown(e->conn);
}

const struct ismi_backend ismi_backend_emu = {
	.size = sizeof(struct ismi_backend),
	.name = "emu",
	.version = ISMI_BACKEND_VERSION,
	.open = emu_open,
	.close = emu_close,
	.alloc = ismi_driver_alloc,
	.one_kernel = true,
	.pools = true,
	.keeps = true,
	.attach = ismi_driver_attach,
	.detach = emu_detach,
	.attach_many = ismi_driver_attach_many,
	.detach_many = emu_detach_many,
	.replace = ismi_driver_replace,
	.successor = ismi_driver_successor,
	.shut_out = ismi_driver_shut_out,
	.grant = ismi_driver_grant,
	.peers = ismi_driver_peers,
	.vector = ismi_driver_vector,
	.command = emu_command,
	.housekeep = emu_housekeep,
	.notify = emu_notify,
	.poll = emu_poll,
	.arm = emu_arm,
	.disarm = emu_disarm,
	.fired = emu_fired,
	.reachable = emu_reachable,
	.ref_end = emu_ref_end,
	.die = emu_die,
};

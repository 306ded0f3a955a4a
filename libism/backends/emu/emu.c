/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * emu.c - a device of an emulated host: finding or becoming the host, the
 * conversation with it, and what it writes into shared memory.
 */
#include "emu.h"

#include "base/spec.h"
#include "host.h"
#include "store.h"

#include <bsd/string.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static const int64_t MS = 1000000;

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

/* ------------------------------------------------------------------ messages */

static int send_message(struct emu *e, size_t len, const int *fds, size_t nr_fds, int64_t deadline)
{
	for (;;) {
		int r = ismi_wire_send(e->conn, e->buf, len, fds, nr_fds);
		if (r != -EAGAIN)
			return r == -EPIPE || r == -ECONNRESET ? -EHOSTDOWN : r;
		if (ismi_time_left(deadline) == 0)
			return -ETIMEDOUT;
		ismi_sys_poll(e->conn, POLLOUT, ismi_time_left(deadline));
	}
}

/* Receive one message: spin while that pays, then sleep. */
static ssize_t recv_message(struct emu *e, int *fds, size_t *ret_nr_fds, int64_t deadline)
{
	struct ismi_spin s;
	bool slept = false;
	ssize_t n;

	ismi_spin_start(&e->spin, &s);
	while ((n = ismi_wire_recv(e->conn, e->buf, sizeof e->buf, fds, ret_nr_fds)) == -EAGAIN) {
		if (!slept && ismi_spin_again(&e->spin, &s))
			continue;
		slept = true;
		if (ismi_time_left(deadline) == 0)
			return -ETIMEDOUT;
		ismi_sys_poll(e->conn, POLLIN, ismi_time_left(deadline));
	}
	if (slept)
		ismi_spin_slept(&e->spin, &s, n > 0);
	else
		ismi_spin_paid(&e->spin);
	return n == 0 || n == -ECONNRESET ? -EHOSTDOWN : n;
}

/*
 * The host may still carry out what it was asked.  When its answer comes, or with
 * the next one, emu_housekeep() sees to what the device refers to by then.
 */
static void expect_late_answer(struct emu *e)
{
	e->late = true;
	ismi_sys_epoll_mod(e->dev->epfd, e->conn, EPOLLIN, EMU_DATA_CONN);
}

/*
 * Send a message whose body is in e->buf already, and receive its answer there.
 * Returns the length of the answer's body.
 */
static ssize_t exchange(struct emu *e, uint16_t type, size_t len, const int *fds, size_t nr_fds, int *ret_fds,
			size_t *ret_nr_fds)
{
	int64_t deadline = ismi_deadline(e->dev->timeout_ns);
	uint32_t sequence = ++e->sequence;
	struct ismi_wire_header h;
	const char *wrong;

	ismi_wire_put(e->buf, type, (uint32_t)len, sequence, (uint16_t)nr_fds);
	ssize_t n = send_message(e, ISMI_WIRE_HEADER + len, fds, nr_fds, deadline);
	while (n >= 0) {
		n = recv_message(e, ret_fds, ret_nr_fds, deadline);
		if (n < 0)
			break;
		wrong = ismi_wire_get(e->buf, (size_t)n, *ret_nr_fds, &h);
		if (wrong == NULL && h.type == type && h.sequence == sequence)
			return n - ISMI_WIRE_HEADER;
		ismi_wire_close(ret_fds, *ret_nr_fds);
		if (wrong != NULL || h.sequence >= sequence)
			return ismi_fail(-EPROTO, "the host's answer: %s", wrong ? wrong : "not to what was asked");
		/* A late answer to a call that did not wait for it. */
		ismi_store_relaxed(&e->dev->housework, true);
	}
	*ret_nr_fds = 0;
	if (n == -ETIMEDOUT)
		expect_late_answer(e);
	if (n == -EHOSTDOWN)
		return ismi_fail(-EHOSTDOWN, "the host of %s is gone", e->dev->info.path);
	if (n == -ETIMEDOUT)
		return ismi_fail(-ETIMEDOUT, "the host of %s did not answer within %lld ms", e->dev->info.path,
				 (long long)(e->dev->timeout_ns / MS));
	return ismi_fail((int)n, "cannot talk to the host of %s: %s", e->dev->info.path, strerror((int)-n));
}

/* ------------------------------------------------------------------ finding the host */

/* Is it ours, root's, or the directory owner's? */
int emu_host_trusted(struct ism_device *dev, int conn)
{
	const char *path = dev->info.path;
	struct stat st = { .st_uid = (uid_t)-1 };
	struct ucred cred;
	char dir[sizeof dev->info.path];

	int r = ismi_sys_peercred(conn, &cred);
	if (r < 0)
		return ismi_fail(r, "cannot learn who hosts %s", path);
	strlcpy(dir, path, sizeof dir);
	char *slash = strrchr(dir, '/');
	if (slash != NULL) {
		slash[slash == dir] = '\0';
		ismi_sys_stat(dir, &st);
	}
	if (cred.uid != geteuid() && cred.uid != 0 && cred.uid != st.st_uid)
		return ismi_fail(-EACCES, "the host of %s runs as uid %u: expected %u, root or the directory's owner", path,
				 (unsigned int)cred.uid, (unsigned int)geteuid());
	dev->info.host_pid = cred.pid;
	return 0;
}

/* 0, or -ENOENT, -ECONNREFUSED where nobody listens. */
static int try_connect(struct emu *e, const char *path, int64_t deadline)
{
	struct sockaddr_un addr;
	int r = host_address(path, &addr);

	if (r < 0)
		return r;
	e->conn = ismi_sys_socket(SOCK_SEQPACKET);
	if (e->conn < 0)
		return ismi_fail(e->conn, "cannot make a socket: %s", strerror(-e->conn));
	r = ismi_sys_connect_by(e->conn, (const struct sockaddr *)&addr, sizeof addr, deadline);
	if (r == -EAGAIN)
		r = -ETIMEDOUT;
	if (r == 0)
		r = emu_host_trusted(e->dev, e->conn);
	else if (r == -EPROTOTYPE)
		r = ismi_fail(-EPROTO, "what listens at %s is no host of libism", path);
	else if (r != -ENOENT && r != -ECONNREFUSED)
		ismi_fail(r, "cannot connect to %s: %s", path, strerror(-r));
	if (r < 0) {
		ismi_sys_close(e->conn);
		e->conn = -1;
	}
	return r;
}

static int no_host(const char *path)
{
	struct stat st;

	if (ismi_sys_stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return ismi_fail(-EEXIST, "%s is there and is no socket", path);
	return ismi_fail(-EHOSTDOWN, "no host at %s: start ismd, or a program that opens this domain", path);
}

static int hello(struct emu *e, const char *name);

/*
 * Connect to the host, or become it.  Several processes may be at it at once:
 * who does not get the lock waits for the one that did to listen.
 */
static int find_host(struct emu *e, const char *path, bool may_host, const char *name)
{
	int64_t deadline = ismi_deadline(e->dev->timeout_ns), pause = MS / 4;

	for (;;) {
		if (e->host == NULL)
			e->host = host_get(path);
		int r = try_connect(e, path, deadline);
		if (r == 0) {
			r = hello(e, name);
			if (r != -EHOSTDOWN)
				return r;
			ismi_sys_close(e->conn);	/* it left while we came in */
			e->conn = -1;
		} else if (r != -ENOENT && r != -ECONNREFUSED) {
			return r;
		} else if (!may_host) {
			return no_host(path);
		} else {
			host_put(e->host);	/* ours, and it died */
			e->host = NULL;
			r = host_embed(path, &e->dev->log, &e->host);
			if (r == 0)
				continue;
			if (r != -EAGAIN)
				return r;
		}
		if (ismi_time_left(deadline) == 0)
			return ismi_fail(-ETIMEDOUT, "no host at %s: another process holds its lock and does not listen", path);
		ismi_sleep_ns(pause);
		pause = pause < 16 * MS ? pause * 2 : pause;
	}
}

/* ------------------------------------------------------------------ hello */

int emu_state_check(const struct ismi_state *s)
{
	if (s->magic != ISMI_STATE_MAGIC || s->version != ISMI_STATE_VERSION || s->nr_slots != ISMI_SLOTS ||
	    s->nr_links != ISMI_LINKS || s->nr_events != ISMI_EVENTS || s->event_size != ISMI_EVENT_SIZE)
		return ismi_fail(-EPROTO, "the host's state has another layout than version %d", ISMI_STATE_VERSION);
	return 0;
}

/* Map what the host shares with this device, and close the descriptors. */
static int port_map(struct emu *e, int fds[ISMI_HELLO_FDS])
{
	void *state, *line;
	int r = store_check_size(fds[ISMI_HELLO_STATE], sizeof(struct ismi_state));

	if (r == 0)
		r = store_check_size(fds[ISMI_HELLO_LINE], sizeof(struct ismi_line));
	if (r < 0)
		return r;
	r = ismi_sys_mmap(NULL, sizeof(struct ismi_state), PROT_READ, MAP_SHARED, fds[ISMI_HELLO_STATE], 0, &state);
	if (r < 0)
		return ismi_fail(r, "cannot map the host's state");
	r = ismi_sys_mmap(NULL, sizeof(struct ismi_line), PROT_READ | PROT_WRITE, MAP_SHARED, fds[ISMI_HELLO_LINE], 0,
			  &line);
	if (r < 0) {
		ismi_sys_munmap(state, sizeof(struct ismi_state));
		return ismi_fail(r, "cannot map the host's line");
	}
	e->end = (struct ismi_port_end){ .state = state, .line = line };
	return emu_state_check(state);
}

static void port_unmap(struct emu *e)
{
	if (e->end.state != NULL)
		ismi_sys_munmap((void *)(uintptr_t)e->end.state, sizeof *e->end.state);
	if (e->end.line != NULL)
		ismi_sys_munmap(e->end.line, sizeof *e->end.line);
	e->end = (struct ismi_port_end){ 0 };
}

static int hello_parse(struct emu *e, const uint8_t *body)
{
	struct ism_info *info = &e->dev->info;

	info->features = ismi_get32(body + 4);
	info->gid = ismi_get64(body + 8);
	info->devid = ismi_get64(body + 16);
	info->chunk_size = ismi_get64(body + 24);
	info->notify_size = ismi_get64(body + 32);
	info->window_size = ismi_get64(body + 40);
	info->max_region = ismi_get64(body + 48);
	info->max_regions = ismi_get32(body + 56);
	info->host = ismi_get32(body + 60);
	e->want_ro = ismi_get32(body + 64) & ISMI_HELLO_WANT_RO;
	e->kept = ismi_get32(body + 64) & ISMI_HELLO_KEPT;
	memcpy(e->secret, body + 72, sizeof e->secret);
	if (ismi_get16(body + 2) != ISMI_WIRE_VERSION || info->chunk_size != ISMI_CHUNK || info->devid == 0 ||
	    info->window_size > e->dev->window.size || !(info->features & 1 << ISMI_F_EXT))
		return ismi_fail(-EPROTO, "the host at %s does not speak version %d as we do", info->path, ISMI_WIRE_VERSION);
	return 0;
}

static int hello_refused(const struct emu *e, int status)
{
	switch (status) {
	case ISMI_ENOSPC:
		return ismi_fail(-ENOSPC, "the host at %s serves no more devices of this user", e->dev->info.path);
	case ISMI_ENOMEM:
		return ismi_fail(-ENOMEM, "the host at %s is out of memory or descriptors", e->dev->info.path);
	default:
		return ismi_fail(-EPROTO, "the host at %s does not accept our hello (status %d): another version?",
				 e->dev->info.path, status);
	}
}

static int hello(struct emu *e, const char *name)
{
	int fds[ISMI_WIRE_FDS], r;
	uint8_t *body = e->buf + ISMI_WIRE_HEADER;
	size_t nr_fds;

	memset(body, 0, ISMI_HELLO_REQ);
	ismi_put16(body, ISMI_WIRE_VERSION);
	ismi_put16(body + 2, ISMI_WIRE_VERSION);
	ismi_put32(body + 4, 1 << ISMI_F_EXT | ISMI_HELLO_F_RESUME);
	ismi_put64(body + 8, e->dev->window.size);
	strlcpy((char *)body + 24, name, 32);
	ssize_t n = exchange(e, ISMI_WIRE_HELLO, ISMI_HELLO_REQ, NULL, 0, fds, &nr_fds);
	if (n < 0)
		return (int)n;
	if (n >= 1 && body[0] != ISMI_OK)
		r = hello_refused(e, body[0]);
	else if (n < ISMI_HELLO_REPLY ||
		 nr_fds != ISMI_HELLO_FDS + (unsigned int)!!(ismi_get32(body + 64) & ISMI_HELLO_KEPT))
		r = ismi_fail(-EPROTO, "the host's hello has %zd bytes and %zu descriptors: expected %d and %d", n, nr_fds,
			      ISMI_HELLO_REPLY, ISMI_HELLO_FDS);
	else
		r = hello_parse(e, body);
	if (r == 0)
		r = port_map(e, fds);
	if (r == 0) {
		e->wake_fd = fds[ISMI_HELLO_WAKE];
		fds[ISMI_HELLO_WAKE] = -1;
	}
	if (r == 0 && e->kept) {
		e->life_fd = fds[ISMI_HELLO_LIFE];
		fds[ISMI_HELLO_LIFE] = -1;
	}
	ismi_wire_close(fds, nr_fds);
	return r;
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
	port_unmap(e);
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
		r = find_host(e, dev->info.path, !(opts->flags & ISM_OPEN_NO_HOST), name);
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
		ssize_t n = exchange(e, ISMI_WIRE_COMMAND, c->req_len, in, nr_in, out, nr_out);
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

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vhost-user.c - virtual machines as devices of a domain: connections.
 *
 * vhost-msg.c has the messages.
 */
#include "vhost-user.h"

#include "base/substitute.h"
#include "base/sys.h"
#include "base/wire.h"
#include "persist.h"
#include "vhost-conn.h"
#include "vhost-keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TURN_EVENTS = 64, TURN_MESSAGES = 16, TURN_ACCEPTS = 16, LISTENERS_MAX = 64, STRANGERS_MAX = 64 };

static const int64_t LISTEN_PAUSE = 100000000;

struct vhost_listener {
	struct vhost_watch watch;
	int fd;
};

struct vhost {
	struct domain *domain;
	const struct ismi_log *log;
	uint64_t window;
	int epfd;
	int64_t now, listen_again;
	struct vhost_listener listener[LISTENERS_MAX];
	unsigned int nr_listeners, nr_strangers;
	struct vhost_conns conns;		/* all */
	struct vhost_conns gone;		/* to be freed at the end of a turn */
	struct vhost_conns dirty;		/* those with something to do now */
};

/* ------------------------------------------------------------------ what a connection needs of its set */

const struct ismi_log *vhost_log(const struct vhost *vh)
{
	return vh->log;
}

struct domain *vhost_domain(const struct vhost *vh)
{
	return vh->domain;
}

enum ismi_status vhost_conn_greet(struct vhost_conn *c)
{
	struct vhost *vh = c->set;
	enum ismi_status status = vm_init(&c->vm, vh->domain, &vhost_vm_ops, vh->log, c->cred.uid, vh->window);

	if (status != ISMI_OK)
		return status;
	c->greeted = true;
	vh->nr_strangers--;
	c->vm.front.dev->pid = c->cred.pid;
	strcpy(c->vm.front.dev->name, "virtual machine");
	domain_known(vh->domain, &c->vm.front);
	vhost_keep_begin(c);
	ismi_info(vh->log, "vhost-user", "pid %d (uid %u): a virtual machine, device %llu", (int)c->cred.pid,
		  (unsigned int)c->cred.uid, (unsigned long long)c->vm.front.dev->devid);
	return ISMI_OK;
}

void vhost_conn_wake(struct vhost_conn *c)
{
	if (!c->dirty && !c->gone)
		TAILQ_INSERT_TAIL(&c->set->dirty, c, work);
	c->dirty |= !c->gone;
}

int vhost_conn_watch(struct vhost_conn *c, int fd, enum vhost_watch_kind kind, unsigned int queue)
{
	struct vhost_watch *w = &c->watch[kind == VHOST_KICK ? VHOST_KICK + queue : kind];
	/* A kick is not read: each makes a new edge, and its descriptor may be one that blocks. */
	uint32_t events = kind == VHOST_KICK ? EPOLLIN | EPOLLET : EPOLLIN;

	*w = (struct vhost_watch){ .kind = kind, .queue = queue, .conn = c };
	return ismi_sys_epoll_add(c->set->epfd, fd, events, (uint64_t)(uintptr_t)w);
}

/* An epoll set goes on with what others have open, closed here or not. */
void vhost_conn_close_fd(struct vhost_conn *c, int *fd)
{
	if (*fd >= 0)
		ismi_sys_epoll_del(c->set->epfd, *fd);
	ismi_sys_close(*fd);
	*fd = -1;
}

/* ------------------------------------------------------------------ connections come and go */

static void conn_close(struct vhost_conn *c)
{
	struct vhost *vh = c->set;

	if (c->gone)
		return;
	if (c->dirty)
		TAILQ_REMOVE(&vh->dirty, c, work);
	c->dirty = false;
	c->gone = true;
	if (c->greeted) {
		ismi_info(vh->log, "vhost-user", "the virtual machine of pid %d, device %llu, has gone", (int)c->cred.pid,
			  (unsigned long long)c->vm.front.dev->devid);
		vhost_keep_end(c);
		for (unsigned int q = 0; q < VM_QUEUES; q++)
			vhost_conn_close_fd(c, &c->vm.ring[q].kick_fd);
		vm_fini(&c->vm);
	} else {
		vh->nr_strangers--;
	}
	vhost_conn_close_fd(c, &c->fd);
	vhost_conn_close_fd(c, &c->back_fd);
	ismi_wire_close(c->fds, c->nr_fds);
	TAILQ_REMOVE(&vh->conns, c, all);
	TAILQ_INSERT_TAIL(&vh->gone, c, all);
}

void vhost_conn_refuse(struct vhost_conn *c, const char *why)
{
	ismi_warn(c->set->log, "vhost-user", "pid %d (uid %u): %s: connection closed", (int)c->cred.pid,
		  (unsigned int)c->cred.uid, why);
	conn_close(c);
}

static void free_gone(struct vhost *vh)
{
	struct vhost_conn *c;

	while ((c = TAILQ_FIRST(&vh->gone)) != NULL) {
		TAILQ_REMOVE(&vh->gone, c, all);
		free(c);
	}
}

static void conn_new(struct vhost *vh, int fd)
{
	struct vhost_conn *c = vh->nr_strangers < STRANGERS_MAX ? calloc(1, sizeof *c) : NULL;

	if (c == NULL || ismi_sys_peercred(fd, &c->cred) < 0)
		goto err_free;
	c->set = vh;
	c->fd = fd;
	c->back_fd = c->page_fd = -1;
	memset(c->mem_fd, -1, sizeof c->mem_fd);
	memset(c->pipe, -1, sizeof c->pipe);
	c->due = INT64_MAX;
	if (vhost_conn_watch(c, fd, VHOST_MAIN, 0) < 0)
		goto err_free;
	TAILQ_INSERT_TAIL(&vh->conns, c, all);
	vh->nr_strangers++;
	return;

err_free:
	ismi_warn(vh->log, "vhost-user", "a connection could not be served: too many, or out of memory");
	ismi_sys_close(fd);
	free(c);
}

struct vhost_conn *vhost_conn_again(struct vhost *vh, const struct model_device *dev)
{
	struct vhost_conn *c = calloc(1, sizeof *c);
	uint64_t window = (uint64_t)dev->window.nr_chunks * ISMI_CHUNK;

	if (c == NULL || vm_prepare(&c->vm, vh->domain, &vhost_vm_ops, vh->log, window) != ISMI_OK) {
		free(c);
		return NULL;
	}
	c->set = vh;
	c->greeted = true;
	c->fd = c->back_fd = c->page_fd = -1;
	memset(c->mem_fd, -1, sizeof c->mem_fd);
	memset(c->pipe, -1, sizeof c->pipe);
	TAILQ_INSERT_TAIL(&vh->conns, c, all);
	return c;
}

void vhost_conn_undo(struct vhost_conn *c, struct model_device *dev)
{
	c->vm.front.dev = dev;		/* its id names what was kept */
	vhost_keep_end(c);
	c->vm.front.dev = NULL;		/* the domain drops it: nobody comes back for it */
	for (unsigned int q = 0; q < VM_QUEUES; q++)
		vhost_conn_close_fd(c, &c->vm.ring[q].kick_fd);
	vm_fini(&c->vm);
	vhost_conn_close_fd(c, &c->fd);
	vhost_conn_close_fd(c, &c->back_fd);
	TAILQ_REMOVE(&c->set->conns, c, all);
	free(c);
}

static int put_again(void *set)
{
	const struct vhost *vh = set;
	struct vhost_conn *c;
	int r = 0;

	TAILQ_FOREACH (c, &vh->conns, all) {
		if (r == 0 && c->greeted)
			r = vhost_keep_again(c);
	}
	return r;
}

static void listeners_watch(const struct vhost *vh, uint32_t events)
{
	for (unsigned int i = 0; i < vh->nr_listeners; i++)
		ismi_sys_epoll_mod(vh->epfd, vh->listener[i].fd, events, (uint64_t)(uintptr_t)&vh->listener[i].watch);
}

static void accept_machines(struct vhost *vh, int listen_fd)
{
	for (int i = 0; i < TURN_ACCEPTS; i++) {
		int fd = ismi_sys_accept(listen_fd);
		if (fd >= 0) {
			conn_new(vh, fd);
			continue;
		}
		if (fd == -EAGAIN || fd == -ECONNABORTED)
			return;
		ismi_err(vh->log, "vhost-user", "cannot accept a connection (errno %d): trying again in 100 ms", -fd);
		listeners_watch(vh, 0);
		vh->listen_again = vh->now + LISTEN_PAUSE;
		return;
	}
}

/* ------------------------------------------------------------------ reading */

/*
 * Read until a whole message is there: its header, then what that announces, so
 * that descriptors are known to belong to this one.  1, 0: not yet, -1: closed.
 */
static int read_message(struct vhost_conn *c, int fd, struct vhost_input *in)
{
	int fds[ISMI_WIRE_FDS];
	size_t nr = 0, want = VU_HEADER;

	for (;;) {
		if (in->len >= VU_HEADER) {
			uint32_t size = ismi_get32(in->buf + 8);
			if (size > VU_PAYLOAD_MAX) {
				vhost_conn_refuse(c, "a message longer than any we know");
				return -1;
			}
			want = VU_HEADER + size;
			if (in->len == want)
				return 1;
		}
		ssize_t n = ismi_wire_recv(fd, in->buf + in->len, want - in->len, fds, &nr);
		if (n == -EAGAIN)
			return 0;
		if (n <= 0) {
			conn_close(c);
			return -1;
		}
		in->len += (size_t)n;
		if (nr > VU_FDS_MAX - c->nr_fds || (nr > 0 && in != &c->in)) {
			ismi_wire_close(fds, nr);
			vhost_conn_refuse(c, "a message with too many descriptors");
			return -1;
		}
		memcpy(c->fds + c->nr_fds, fds, nr * sizeof fds[0]);
		c->nr_fds += nr;
	}
}

/*
 * The same, but a message that is wholly there stays to be read until it has been
 * handled: see vhost-keep.h.
 */
static int look_at_message(struct vhost_conn *c, int fd, struct vhost_input *in)
{
	ssize_t n = ismi_wire_bytes(fd, in->buf, VU_HEADER, true), want;
	int fds[ISMI_WIRE_FDS];
	size_t nr = 0;

	if (n == -EAGAIN)
		return 0;
	want = n == VU_HEADER ? VU_HEADER + (ssize_t)ismi_get32(in->buf + 8) : 0;
	if (want > 0 && want < (ssize_t)sizeof in->buf)
		n = ismi_wire_peek(fd, in->buf, (size_t)want + 1, fds, &nr);
	/*
	 * Linux looks for descriptors also behind what it peeks at, up to the first that
	 * has some: if it came as far as one byte more, they are not this message's.
	 */
	if (n > want) {
		ismi_wire_close(fds, nr);
		nr = 0;
	}
	if (want > 0 && n >= want && nr <= (in == &c->in ? VU_FDS_MAX : 0)) {
		memcpy(c->fds, fds, nr * sizeof fds[0]);
		c->nr_fds = nr;
		in->len = (size_t)want;
		in->left = true;
		return 1;
	}
	ismi_wire_close(fds, nr);
	in->cut = true;
	vhost_keep_note(c);
	return read_message(c, fd, in);
}

static int next_message(struct vhost_conn *c, int fd, struct vhost_input *in)
{
	return c->page != NULL && in->len == 0 ? look_at_message(c, fd, in) : read_message(c, fd, in);
}

/* It has been handled: take it. */
static bool take_message(struct vhost_conn *c, int fd, struct vhost_input *in)
{
	bool ok = !in->left || ismi_wire_bytes(fd, in->buf, in->len, false) == (ssize_t)in->len;

	in->len = 0;
	in->left = in->cut = false;
	if (!ok)
		vhost_conn_refuse(c, "a message that is not there any more");
	return ok;
}

static void answer_message(struct vhost_conn *c)
{
	vhost_keep_answer(c);
	c->stage = c->out_len > 0 ? VHOST_OWED : VHOST_QUIET;
	vhost_keep_note(c);
	if (!take_message(c, c->fd, &c->in))
		return;
	if (c->out_len > 0) {
		c->stage = VHOST_SENDING;
		vhost_keep_note(c);
		vhost_answer(c);
	}
	c->stage = VHOST_QUIET;
	if (!c->gone)
		vhost_keep_note(c);
}

static void read_main(struct vhost_conn *c)
{
	for (int i = 0; i < TURN_MESSAGES && !c->gone; i++) {
		if (next_message(c, c->fd, &c->in) <= 0)
			return;
		vhost_message(c);
		if (c->gone)
			return;
		c->again = false;
		ismi_wire_close(c->fds, c->nr_fds);
		c->nr_fds = 0;
		answer_message(c);
	}
}

static void read_back(struct vhost_conn *c)
{
	for (int i = 0; i < TURN_MESSAGES && !c->gone; i++) {
		if (next_message(c, c->back_fd, &c->back_in) <= 0)
			return;
		vhost_back_answer(c);
		if (c->gone || !take_message(c, c->back_fd, &c->back_in))
			return;
		c->back_stage = VHOST_BACK_QUIET;
		vhost_keep_note(c);
	}
}

/* ------------------------------------------------------------------ the loop */

static void conn_run(struct vhost_conn *c)
{
	struct vhost *vh = c->set;

	if (!c->greeted)
		return;
	if (c->ended_by != 0) {
		vhost_conn_refuse(c, "its device is ended by another");
		return;
	}
	c->due = vm_run(&c->vm, vh->now);
	vhost_keep_note(c);
}

/*
 * Those to whom something was done, and those whose time has come; what they
 * do to others in turn is for the next turn.
 */
static void run_due(struct vhost *vh)
{
	struct vhost_conn *c, *next, *last = TAILQ_LAST(&vh->dirty, vhost_conns);
	bool more = last != NULL;

	while (more && (c = TAILQ_FIRST(&vh->dirty)) != NULL) {
		more = c != last;
		TAILQ_REMOVE(&vh->dirty, c, work);
		c->dirty = false;
		conn_run(c);
	}
	for (c = TAILQ_FIRST(&vh->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->due <= vh->now)
			conn_run(c);
	}
	if (vh->listen_again <= vh->now) {
		vh->listen_again = INT64_MAX;
		listeners_watch(vh, EPOLLIN);
	}
}

static void fired(struct vhost *vh, const struct vhost_watch *w)
{
	struct vhost_conn *c = w->conn;

	if (w->kind == VHOST_LISTEN)
		accept_machines(vh, vh->listener[w->queue].fd);
	else if (c->gone)
		return;
	else if (w->kind == VHOST_MAIN)
		read_main(c);
	else if (w->kind == VHOST_BACK)
		read_back(c);
	if (c != NULL)
		vhost_conn_wake(c);
}

void vhost_turn(struct vhost *vh, int64_t now)
{
	struct epoll_event ev[TURN_EVENTS];
	int n = ismi_sys_epoll_wait(vh->epfd, ev, TURN_EVENTS, 0);

	vh->now = now;
	for (int i = 0; i < n; i++)
		fired(vh, (const struct vhost_watch *)(uintptr_t)ev[i].data.u64);
	run_due(vh);
	free_gone(vh);
}

int64_t vhost_due(const struct vhost *vh)
{
	int64_t due = TAILQ_EMPTY(&vh->dirty) ? vh->listen_again : 0;
	const struct vhost_conn *c;

	TAILQ_FOREACH (c, &vh->conns, all)
		due = c->due < due ? c->due : due;
	return due;
}

int vhost_fd(const struct vhost *vh)
{
	return vh->epfd;
}

/* ------------------------------------------------------------------ life */

int vhost_init(struct vhost **ret, struct domain *d, const struct ismi_log *log, uint64_t window)
{
	struct vhost *vh;

	if (ISM_WITHOUT_MEMFD)	/* whether a guest's memory can shrink would not be known */
		return ismi_fail(-EOPNOTSUPP, "built --without-memfd: virtual machines cannot be served");
	if (window < ISMI_CHUNK || (window & (window - 1)) != 0)
		return ismi_fail(-EINVAL, "a window of %llu bytes: a virtual machine's needs a power of two from %d on",
				 (unsigned long long)window, ISMI_CHUNK);
	vh = calloc(1, sizeof *vh);
	if (vh == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	*vh = (struct vhost){ .domain = d, .log = log, .window = window, .listen_again = INT64_MAX };
	TAILQ_INIT(&vh->conns);
	TAILQ_INIT(&vh->gone);
	TAILQ_INIT(&vh->dirty);
	vh->epfd = ismi_sys_epoll();
	if (vh->epfd < 0) {
		int r = vh->epfd;
		free(vh);
		return r;
	}
	if (d->persist != NULL) {
		d->persist->put_others = put_again;
		d->persist->others = vh;
	}
	*ret = vh;
	return 0;
}

int vhost_listen(struct vhost *vh, int listen_fd)
{
	struct vhost_listener *l = &vh->listener[vh->nr_listeners];

	if (vh->nr_listeners == LISTENERS_MAX)
		return ismi_fail(-ENOSPC, "more than %d sockets for virtual machines", LISTENERS_MAX);
	*l = (struct vhost_listener){ .watch = { .kind = VHOST_LISTEN, .queue = vh->nr_listeners }, .fd = listen_fd };
	int r = ismi_sys_epoll_add(vh->epfd, listen_fd, EPOLLIN, (uint64_t)(uintptr_t)&l->watch);
	if (r == 0)
		vh->nr_listeners++;
	return r;
}

void vhost_fini(struct vhost *vh)
{
	if (vh == NULL)
		return;
	if (vh->domain->persist != NULL)
		vh->domain->persist->put_others = NULL;
	while (!TAILQ_EMPTY(&vh->conns))
		conn_close(TAILQ_FIRST(&vh->conns));
	free_gone(vh);
	for (unsigned int i = 0; i < vh->nr_listeners; i++)
		ismi_sys_close(vh->listener[i].fd);
	ismi_sys_close(vh->epfd);
	free(vh);
}

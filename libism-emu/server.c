/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * server.c - the host of a domain on a Unix socket.
 *
 * A client is a stranger until its HELLO, then a device.  It is read only
 * while no answer to it is due later, at most a few messages in a turn, and
 * closed when it breaks the protocol or leaves its answers unread.
 */
#include "server-private.h"

#include "base/clock.h"
#include "base/sys.h"
#include "closer.h"
#include "link.h"
#include "persist.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	TURN_MESSAGES = 8,		/* from one client before the next */
	TURN_EVENTS = 64,
	TURN_ACCEPTS = 16,
	LAST_TURNS = 64,
	STRANGERS_MAX = 256,
	OWN_FDS = 32,			/* of the host itself */
	UNREAD_MAX = 32768,		/* bytes of answers, of which the largest has half as many */
	CLOSING_MAX = 1024,		/* connections to be closed before more are accepted */
	REJECTS_MAX = 256,		/* descriptors of one user that wait to be closed before it is not listened to */
	DATA_LISTEN = 0,		/* epoll data; everything else is a client */
	DATA_STOP = 1,
	DATA_VMS = 2,
	DATA_KEEPER = 3,
};

static const int64_t MS = 1000000, HELLO_WITHIN = 5000 * MS, LISTEN_PAUSE = 100 * MS, LOG_PAUSE = 1000 * MS;

/* ------------------------------------------------------------------ timers */

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

void client_set_due(struct client *c)
{
	struct server *s = c->server;
	int64_t due = min64(c->hello_due, min64(c->reply_due, c->rings_due));

	if (due != INT64_MAX && c->due == INT64_MAX)
		TAILQ_INSERT_TAIL(&s->timed, c, timed);
	else if (due == INT64_MAX && c->due != INT64_MAX)
		TAILQ_REMOVE(&s->timed, c, timed);
	c->due = due;
}

static int64_t next_due(const struct server *s)
{
	const struct client *c;
	int64_t due = min64(s->listen_again, s->grace_due);

	if (s->vms != NULL)
		due = min64(due, vhost_due(s->vms));
	TAILQ_FOREACH (c, &s->timed, timed)
		due = min64(due, c->due);
	return due;
}

/* ------------------------------------------------------------------ clients come and go */

void client_wake(struct port *port)
{
	ismi_sys_wake_socket(((struct client *)port)->wake_fd);
}

static bool client_linkable(struct front *front, const struct model_ref *ref)
{
	(void)front;
	(void)ref;
	return true;
}

static enum ismi_status client_link(struct front *front, struct front *peer, uint32_t *ret_number, uint64_t *ret_id)
{
	struct client *c = (struct client *)front;
	struct link_end *end;

	if (peer->ops != &client_ops)
		return ISMI_ERR;	/* a virtual machine: through the host */
	enum ismi_status status = link_get(&c->port, (struct port *)peer, &end);
	if (status != ISMI_OK)
		return status;
	if (end->fetched)
		return ISMI_ERR;
	c->server->reply_link = end;
	*ret_number = end->number;
	*ret_id = end->link->id;
	return ISMI_OK;
}

static enum ismi_status client_vector(struct front *front, struct model_ref *ref, bool on)
{
	return port_vector(ref, on, &((struct client *)front)->server->reply_vector);
}

void client_close(struct client *c)
{
	struct server *s = c->server;

	if (c->gone)
		return;
	c->gone = true;
	c->hello_due = c->reply_due = c->rings_due = INT64_MAX;
	client_set_due(c);
	if (c->greeted) {
		link_port_gone(&c->port);
		domain_del(&s->domain, &c->port.front);
		port_fini(&c->port);
		client_port_close(c);
	} else {
		stranger_del(c);
	}
	/* A child that this process is forking just now has the connection too: closing it alone would not end its events. */
	ismi_sys_epoll_del(s->epfd, c->fd);
	if (c->foreign) {
		ismi_sys_shutdown(c->fd);	/* it finds out now, whenever what it sent is closed */
		closer_add(s->closer, CLOSER_CONNECTIONS, c->fd);
	} else {
		ismi_sys_close(c->fd);
	}
	ismi_sys_close(c->wake_fd);
	s->nr_clients--;
	TAILQ_REMOVE(&s->clients, c, all);
	TAILQ_INSERT_TAIL(&s->gone, c, all);
}

/*
 * A line that clients can provoke, but no more than one a second of each kind:
 * or else they could fill the disk.
 */
__attribute__((format(printf, 4, 5)))
static void log_seldom(struct server *s, struct log_limit *limit, int level, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	limit->nr++;
	if (s->now < limit->quiet_until)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (limit->nr > 1)
		ismi_log_msg(&s->opts.log, level, "server", "%s (%llu like it since the last line)", text,
			     (unsigned long long)limit->nr);
	else
		ismi_log_msg(&s->opts.log, level, "server", "%s", text);
	limit->quiet_until = s->now + LOG_PAUSE;
	limit->nr = 0;
}

static void close_saying(struct client *c, int level, const char *why)
{
	log_seldom(c->server, &c->server->log_closed, level, "pid %d (uid %u): %s: connection closed", (int)c->cred.pid,
		   (unsigned int)c->cred.uid, why);
	client_close(c);
}

void client_refuse(struct client *c, const char *why)
{
	close_saying(c, ISMI_LOG_WARN, why);
}

void client_dismiss(struct client *c, const char *why)
{
	close_saying(c, ISMI_LOG_INFO, why);
}

/* Its connection ends, which to it is the end of its host. */
static void client_kick(struct front *front, uint64_t by)
{
	struct client *c = (struct client *)front;

	ismi_info(&c->server->opts.log, "server", "device %llu (pid %d, uid %u) taken off the domain by device %llu",
		  (unsigned long long)front->dev->devid, (int)c->cred.pid, (unsigned int)c->cred.uid,
		  (unsigned long long)by);
	client_close(c);
}

const struct front_ops client_ops = {
	.ref_begin = port_ref_begin,
	.ref_end = port_ref_end,
	.event = port_event,
	.ring = port_ring,
	.linkable = client_linkable,
	.link = client_link,
	.vector = client_vector,
	.event_position = port_event_position,
	.kept_ended = port_kept_ended,
	.kick = client_kick,
};

static void client_free_gone(struct server *s)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&s->gone)) != NULL) {
		TAILQ_REMOVE(&s->gone, c, all);
		free(c);
	}
}

static void client_new(struct server *s, int fd)
{
	struct client *c = calloc(1, sizeof *c);
	struct ucred cred;

	if (c == NULL || ismi_sys_peercred(fd, &cred) < 0) {
		ismi_sys_close(fd);
		free(c);
		return;
	}
	if ((s->opts.own_user_only || !store_serves_all_users()) && cred.uid != geteuid()) {
		log_seldom(s, &s->log_closed, ISMI_LOG_WARN, "uid %u refused: this host serves uid %u alone",
			   (unsigned int)cred.uid, (unsigned int)geteuid());
		ismi_sys_close(fd);
		free(c);
		return;
	}
	c->server = s;
	c->fd = fd;
	c->wake_fd = -1;
	c->cred = cred;
	if (cred.uid != geteuid())
		ismi_sys_limit_unread(fd, UNREAD_MAX);
	c->foreign = s->closer != NULL && cred.uid != 0 && cred.uid != geteuid();
	if (ismi_sys_epoll_add(s->epfd, fd, EPOLLIN, (uint64_t)(uintptr_t)c) < 0 || !stranger_add(c)) {
		ismi_sys_close(fd);
		free(c);
		return;
	}
	c->due = c->reply_due = c->rings_due = INT64_MAX;
	c->hello_due = s->now + HELLO_WITHIN;
	TAILQ_INSERT_TAIL(&s->clients, c, all);
	s->nr_clients++;
	client_set_due(c);
	strangers_limit(s);
}

/* Those who come stay in the queue for a while. */
static void accept_later(struct server *s)
{
	ismi_sys_epoll_mod(s->epfd, s->listen_fd, 0, DATA_LISTEN);
	s->listen_again = s->now + LISTEN_PAUSE;
}

static void accept_clients(struct server *s)
{
	if (s->closer != NULL && closer_waiting(s->closer, CLOSER_CONNECTIONS) > CLOSING_MAX) {
		accept_later(s);
		return;
	}
	for (int i = 0; i < TURN_ACCEPTS; i++) {
		int fd = ismi_sys_accept(s->listen_fd);
		if (fd >= 0) {
			client_new(s, fd);
			continue;
		}
		if (fd == -EAGAIN || fd == -ECONNABORTED)
			return;
		/* Without a pause we would spin on it. */
		log_seldom(s, &s->log_accept, ISMI_LOG_ERROR, "cannot accept a connection (errno %d): trying again", -fd);
		accept_later(s);
		return;
	}
}

/* ------------------------------------------------------------------ answers */

bool client_reply(struct client *c, uint16_t type, uint32_t sequence, size_t len, const int *fds, size_t nr_fds)
{
	struct server *s = c->server;

	/* Unread descriptors count against all clients of this host (ETOOMANYREFS). */
	if (nr_fds > 0 && ismi_sys_unread(c->fd) > 0) {
		client_refuse(c, "asks for descriptors and does not read its answers");
		return true;
	}
	ismi_wire_put(s->out, type, (uint32_t)len, sequence, (uint16_t)nr_fds);
	int r = ismi_wire_send(c->fd, s->out, ISMI_WIRE_HEADER + len, fds, nr_fds);
	if (r == -ETOOMANYREFS && nr_fds > 0)
		return false;
	if (r == -EAGAIN)
		client_refuse(c, "does not read its answers");
	else if (r < 0)
		client_close(c);
	return true;
}

void client_reply_status(struct client *c, uint16_t type, uint32_t sequence, uint8_t status)
{
	c->server->out[ISMI_WIRE_HEADER] = status;
	client_reply(c, type, sequence, 1, NULL, 0);
}

static void client_reply_later(struct client *c, uint32_t sequence, uint8_t status, int64_t delay)
{
	c->reply_sequence = sequence;
	c->reply_status = status;
	c->reply_due = ismi_now_ns() + delay;	/* this turn may have begun long before the request */
	client_set_due(c);
	ismi_sys_epoll_mod(c->server->epfd, c->fd, 0, (uint64_t)(uintptr_t)c);
}

static void client_reply_now(struct client *c)
{
	c->reply_due = INT64_MAX;
	client_set_due(c);
	client_reply_status(c, ISMI_WIRE_COMMAND, c->reply_sequence, c->reply_status);
	if (!c->gone)
		ismi_sys_epoll_mod(c->server->epfd, c->fd, EPOLLIN, (uint64_t)(uintptr_t)c);
}

/* ------------------------------------------------------------------ commands */

/*
 * Make memory objects of the descriptors that came with an ALLOC.  Those taken
 * over are set to -1.  Their number, or a negative errno.
 */
static int stores_adopt(const struct client *c, const uint8_t *req, size_t len, int *fds, size_t nr_fds,
			struct store *stores[ISMI_BATCH_MAX])
{
	size_t each = c->want_ro ? 2 : 1, nr = nr_fds / each;
	uint16_t cmd = len < ISMI_REQ_HEAD ? 0xffff : (uint16_t)(req[0] << 8 | req[1]);
	bool replace = cmd == ISMI_CMD_REPLACE && len == ISMI_REPLACE_REQ;
	uint64_t size;

	if (nr_fds == 0)
		return 0;
	if (!(cmd == ISMI_CMD_ALLOC && len == ISMI_ALLOC_REQ) && !replace &&
	    !(cmd == ISMI_CMD_ALLOC_EX && (len == ISMI_ALLOC_EX_REQ || len == ISMI_ALLOC_EX_PEER_REQ)))
		return ismi_fail(-EPROTO, "descriptors with a command that takes none");
	if (nr_fds % each != 0 || nr > (cmd == ISMI_CMD_ALLOC_EX ? ISMI_BATCH_MAX : 1) ||
	    !ismi_round_up(ismi_get64(req + (replace ? 10 : 2)), ISMI_CHUNK, &size))
		return ismi_fail(-EPROTO, "%zu descriptors: expected %zu for each region", nr_fds, each);
	for (size_t i = 0; i < nr; i++) {
		struct store *s = malloc(sizeof *s);
		int r = s == NULL ? -ENOMEM
				  : store_adopt(s, fds[i * each], each == 2 ? fds[i * each + 1] : -1, size);
		if (r < 0) {
			free(s);
			while (i-- > 0)
				store_free(stores[i]);
			return r;
		}
		fds[i * each] = -1;
		if (each == 2)
			fds[i * each + 1] = -1;
		stores[i] = s;
	}
	return (int)nr;
}

/* The descriptors that go with a successful answer; they stay ours.  Their number, or a negative errno. */
static int reply_fds(struct server *s, const struct control_call *call, const uint8_t *req, bool brought,
		     int fds[ISMI_BATCH_MAX])
{
	uint16_t cmd = (uint16_t)(req[0] << 8 | req[1]);
	int nr = 0;

	if (s->reply_link != NULL)
		return link_fds(s->reply_link, fds);
	if (s->reply_vector >= 0) {
		fds[0] = s->reply_vector;
		return 1;
	}
	if (call->nr_refs == 0 || brought)
		return 0;
	if (cmd == ISMI_CMD_ALLOC_EX && call->nr_refs > 1)
		return -EOPNOTSUPP;	/* our own memory goes one region at a time */
	for (uint32_t i = 0; i < call->nr_refs; i++) {
		struct store *memory = call->ref[i]->region->memory;
		if (call->have >> i & 1)
			continue;
		int fd = call->rights & MODEL_WRITE ? memory->fd : store_ro_fd(memory);
		if (fd < 0)
			return fd;
		fds[nr++] = fd;
	}
	return nr;
}

/* Take back what a command did whose descriptors cannot be had or sent; the answer says so. */
static void command_undo(struct client *c, struct control_call *call, const uint8_t *req)
{
	struct model_ref *ref;

	/* What it was shown before it may have still, and is told of its end. */
	for (uint32_t i = 0; i < call->nr_refs; i++)
		call->ref[i]->region->shown_rights = 0;
	control_take_back(call);
	if (c->server->reply_vector >= 0) {
		ref = model_ref_find(c->port.front.dev, ismi_get64(req + ISMI_REQ_HEAD));
		c->port.front.ops->vector(&c->port.front, ref, false);
	}
	persist_commit(&c->server->domain);
}

/* What the host's user did to others: as with a device that is taken off. */
static void log_shut_out(const struct client *c, const struct control_call *call, const uint8_t *req)
{
	if (call->replaced != NULL && (req[0] << 8 | req[1]) == ISMI_CMD_SHUT_OUT)
		ismi_info(&c->server->opts.log, "server",
			  "device %llu (pid %d, uid %u) replaced a region of device %llu, and shut %u devices out",
			  (unsigned long long)call->dev->devid, (int)c->cred.pid, (unsigned int)c->cred.uid,
			  (unsigned long long)call->replaced->creator, (unsigned int)ismi_get32(req + ISMI_REQ_HEAD + 8));
}

static void command_done(struct client *c, const struct ismi_wire_header *h, struct control_call *call,
			 const uint8_t *req, size_t len, bool brought)
{
	struct server *s = c->server;
	const uint8_t *reply = s->out + ISMI_WIRE_HEADER;
	int fds[ISMI_BATCH_MAX];
	int nr = reply[0] == ISMI_OK ? reply_fds(s, call, req, brought, fds) : 0;

	if (call->refused != NULL)
		log_seldom(s, &s->log_attach, ISMI_LOG_INFO, "attach by device %llu (pid %d, uid %u) refused: %s",
			   (unsigned long long)c->port.front.dev->devid, (int)c->cred.pid, (unsigned int)c->cred.uid,
			   call->refused);
	log_shut_out(c, call, req);
	if (call->delay_ns > 0) {
		client_reply_later(c, h->sequence, reply[0], call->delay_ns);
	} else if (nr < 0 || !client_reply(c, ISMI_WIRE_COMMAND, h->sequence, len, fds, (size_t)nr)) {
		command_undo(c, call, req);
		client_reply_status(c, ISMI_WIRE_COMMAND, h->sequence, nr == -EOPNOTSUPP ? ISMI_ERR : ISMI_ENOMEM);
	} else if (s->reply_link != NULL && !c->gone) {
		link_fetched(s->reply_link);
	}
	ismi_sys_close(s->reply_vector);
}

/* What a test wants to happen to a command; false: it has never been received. */
static bool faults_let(struct server *s)
{
	struct fault f = faults_pass(s->opts.faults, FAULT_HOST);

	if (f.action == FAULT_DELAY)
		ismi_sleep_ns(f.delay_ns);	/* a host that is slow is slow for all */
	else if (f.action == FAULT_DIE)
		server_die(s);
	return f.action == FAULT_NONE || f.action == FAULT_DELAY;
}

static void handle_command(struct client *c, const struct ismi_wire_header *h, const uint8_t *body, int *fds,
			   size_t nr_fds)
{
	struct server *s = c->server;
	struct store *stores[ISMI_BATCH_MAX];
	uint8_t *reply = s->out + ISMI_WIRE_HEADER;
	struct control_call call = { .dev = c->port.front.dev, .now = s->now, .memory = stores };
	size_t len = 1;

	s->reply_link = NULL;
	s->reply_vector = -1;
	int nr = stores_adopt(c, body, h->length, fds, nr_fds, stores);
	if (nr < 0) {
		log_seldom(s, &s->log_memory, ISMI_LOG_WARN, "device %llu (pid %d): %s",
			   (unsigned long long)call.dev->devid, (int)c->cred.pid, ismi_fail_text());
		reply[0] = nr == -EPROTO ? ISMI_ERR : ISMI_ENOMEM;
	} else {
		call.nr_memory = (uint32_t)nr;
		len = domain_control(&s->domain, &call, body, h->length, reply, ISMI_WIRE_MAX - ISMI_WIRE_HEADER);
		for (int i = 0; i < nr; i++)
			store_free(stores[i]);
	}
	command_done(c, h, &call, body, len, nr > 0);
}

/* ------------------------------------------------------------------ messages */

static void take_rings(struct client *c)
{
	int64_t wait = port_take_rings(&c->port, c->server->now);

	c->rings_due = wait > 0 ? c->server->now + wait : INT64_MAX;
	client_set_due(c);
}

static void handle_message(struct client *c, const uint8_t *msg, size_t len, int *fds, size_t nr_fds)
{
	struct ismi_wire_header h;
	const char *wrong = ismi_wire_get(msg, len, nr_fds, &h);

	if (wrong != NULL) {
		client_refuse(c, wrong);
		return;
	}
	if (h.type == ISMI_WIRE_RESUME)
		handle_resume(c, &h, msg + ISMI_WIRE_HEADER, nr_fds);
	else if (h.type == ISMI_WIRE_HELLO)
		handle_hello(c, &h, msg + ISMI_WIRE_HEADER, nr_fds);
	else if (!c->greeted)
		client_refuse(c, "no hello first");
	else if (h.type == ISMI_WIRE_COMMAND && !faults_let(c->server))
		return;
	else if (h.type == ISMI_WIRE_COMMAND)
		handle_command(c, &h, msg + ISMI_WIRE_HEADER, fds, nr_fds);
	else if (h.type == ISMI_WIRE_RING && h.length == 0 && nr_fds == 0)
		take_rings(c);
	else
		client_refuse(c, "unknown message");
}

/* We cannot take what it sent.  That is not its fault, and its command has not been carried out. */
static void out_of_descriptors(struct client *c, const uint8_t *msg)
{
	struct ismi_wire_header h;
	/* Of the message only the header is used: that its counts are right cannot be told any more. */
	const char *wrong = ismi_wire_get(msg, ISMI_WIRE_HEADER + ismi_get32(msg + 8), ismi_get16(msg + 16), &h);

	log_seldom(c->server, &c->server->log_accept, ISMI_LOG_ERROR, "out of descriptors: an ALLOC is refused");
	if (wrong != NULL || h.type != ISMI_WIRE_COMMAND || !c->greeted)
		client_refuse(c, wrong != NULL ? wrong : "descriptors where there may be none");
	else
		client_reply_status(c, ISMI_WIRE_COMMAND, h.sequence, ISMI_ENOMEM);
}

/* What came with a message and has not been taken over. */
static void drop_fds(const struct client *c, int *fds, size_t nr_fds)
{
	for (size_t i = 0; i < nr_fds && c->foreign; i++) {
		closer_add(c->server->closer, c->cred.uid, fds[i]);
		fds[i] = -1;
	}
	ismi_wire_close(fds, nr_fds);
}

static void client_read(struct client *c)
{
	struct server *s = c->server;
	int fds[ISMI_WIRE_FDS_ROOM];
	size_t nr_fds;

	if (c->foreign && closer_waiting(s->closer, c->cred.uid) > REJECTS_MAX) {
		client_refuse(c, "what its user sent cannot be closed");
		return;
	}
	for (int i = 0; i < TURN_MESSAGES && !c->gone && c->reply_due == INT64_MAX && !ismi_load_relaxed(&s->died); i++) {
		ssize_t n = ismi_wire_take(c->fd, s->in, sizeof s->in, fds, &nr_fds);
		if (n == -EAGAIN)
			return;
		if (n == -EPROTO)
			client_refuse(c, "message too long, or with too many descriptors");
		else if (n == -EMFILE)
			out_of_descriptors(c, s->in);
		else if (n <= 0)
			client_close(c);
		else
			handle_message(c, s->in, (size_t)n, fds, nr_fds);
		drop_fds(c, fds, nr_fds);
	}
}

/* ------------------------------------------------------------------ the loop */

static struct model_device *next_absent(struct server *s)
{
	struct model_device *dev;

	TAILQ_FOREACH (dev, &s->domain.model.devices, all) {
		if (domain_absent(&s->domain, dev))
			return dev;
	}
	return NULL;
}

void server_returned(struct server *s)
{
	if (s->grace_due != INT64_MAX && next_absent(s) == NULL)
		s->grace_due = INT64_MAX;
}

/* They had their time: to their peers they have gone. */
static void drop_absent(struct server *s)
{
	struct model_device *dev;
	unsigned int nr = 0;

	s->grace_due = INT64_MAX;
	for (; (dev = next_absent(s)) != NULL; nr++)
		domain_device_del(&s->domain, dev);
	ismi_info(&s->opts.log, "server", "%u devices did not come back and are detached", nr);
}

static void run_timers(struct server *s)
{
	struct client *c, *next;

	if (s->listen_again <= s->now) {
		s->listen_again = INT64_MAX;
		ismi_sys_epoll_mod(s->epfd, s->listen_fd, EPOLLIN, DATA_LISTEN);
	}
	if (s->grace_due <= s->now)
		drop_absent(s);
	for (c = TAILQ_FIRST(&s->timed); c != NULL; c = next) {
		next = TAILQ_NEXT(c, timed);
		if (c->due > s->now)
			continue;
		if (c->hello_due <= s->now) {
			client_refuse(c, "no hello within 5 seconds");
			continue;
		}
		if (c->rings_due <= s->now)
			take_rings(c);
		if (c->reply_due <= s->now)
			client_reply_now(c);
	}
}

/* Wait for something to do: spin while that pays, as every wait does. */
static int wait_events(struct server *s, struct epoll_event *ev)
{
	struct ismi_spin spin;
	int64_t due = next_due(s);
	int n;

	ismi_spin_start(&s->spin, &spin);
	do {
		n = ismi_sys_epoll_wait(s->epfd, ev, TURN_EVENTS, 0);
		if (n != 0) {
			ismi_spin_paid(&s->spin);
			return n;
		}
		if (due <= ismi_now_ns())
			return 0;
	} while (ismi_spin_again(&s->spin, &spin));
	n = ismi_sys_epoll_wait(s->epfd, ev, TURN_EVENTS, ismi_time_left(due));
	ismi_spin_slept(&s->spin, &spin, n > 0);
	return n;
}

/* The keeper says nothing unless asked: this is its end. */
static void keeper_gone(struct server *s)
{
	ismi_sys_epoll_del(s->epfd, s->persist.keep->fd);
	persist_again(&s->domain);
	if (s->domain.persist != NULL)
		ismi_sys_epoll_add(s->epfd, s->persist.keep->fd, 0, DATA_KEEPER);
}

/* Whether we are to stop. */
static bool take_events(struct server *s, const struct epoll_event *ev, int n)
{
	bool stop = false;

	s->now = ismi_now_ns();
	for (int i = 0; i < n && !ismi_load_relaxed(&s->died); i++) {
		struct client *c = (struct client *)(uintptr_t)ev[i].data.u64;
		if (ev[i].data.u64 == DATA_STOP)
			stop = true;
		else if (ev[i].data.u64 == DATA_LISTEN)
			accept_clients(s);
		else if (ev[i].data.u64 == DATA_VMS)
			continue;	/* they have their turn below, whoever else had one */
		else if (ev[i].data.u64 == DATA_KEEPER)
			keeper_gone(s);
		else if (!c->gone && c->reply_due != INT64_MAX)
			client_close(c);	/* not read now: only its end is reported */
		else if (!c->gone)
			client_read(c);
	}
	run_timers(s);
	if (s->vms != NULL)
		vhost_turn(s->vms, s->now);
	client_free_gone(s);
	return stop || ismi_load_relaxed(&s->died);
}

void server_run(struct server *s)
{
	struct epoll_event ev[TURN_EVENTS];
	int n;

	persist_settle(&s->domain);
	server_returned(s);
	while (!take_events(s, ev, wait_events(s, ev)))
		;
	/* What has been said until now, a successor would have to be told again. */
	ismi_sys_epoll_del(s->epfd, s->stop_fd);
	ismi_sys_epoll_mod(s->epfd, s->listen_fd, 0, DATA_LISTEN);
	for (int i = 0; i < LAST_TURNS && !ismi_load_relaxed(&s->died) &&
			(n = ismi_sys_epoll_wait(s->epfd, ev, TURN_EVENTS, 0)) > 0; i++)
		take_events(s, ev, n);
}

void server_stop(struct server *s)
{
	ismi_sys_wake_event(s->stop_fd);
}

void server_die(struct server *s)
{
	ismi_store_relaxed(&s->died, true);
	ismi_sys_wake_event(s->stop_fd);
}

/* ------------------------------------------------------------------ life */

void server_default_quotas(struct server_opts *opts)
{
	opts->device_quota = (struct model_quota){ .regions = ISMI_SLOTS, .grants = 65536 };
	opts->user_quota = (struct model_quota){ .devices = 4096, .regions = 1 << 20, .grants = 1 << 20 };
}

/* What this process can have open is for all users: how much of it devices and regions may take. */
static void share_descriptors(struct server *s)
{
	struct rlimit lim = { .rlim_cur = RLIM_INFINITY };

	s->strangers_max = STRANGERS_MAX;
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur == RLIM_INFINITY || s->opts.own_user_only)
		return;
	if (lim.rlim_cur / 8 < s->strangers_max)
		s->strangers_max = (uint32_t)(lim.rlim_cur / 8);
	if (lim.rlim_cur > s->strangers_max + OWN_FDS)
		s->domain.model.descriptors = lim.rlim_cur - s->strangers_max - OWN_FDS;
}

int server_init(struct server *s, const struct server_opts *opts, int listen_fd)
{
	int r;

	*s = (struct server){ .opts = *opts, .listen_fd = listen_fd, .stop_fd = -1, .epfd = -1,
			      .listen_again = INT64_MAX, .grace_due = INT64_MAX, .reply_vector = -1 };
	TAILQ_INIT(&s->clients);
	TAILQ_INIT(&s->timed);
	TAILQ_INIT(&s->gone);
	LIST_INIT(&s->crowds);
	domain_init(&s->domain, opts->gid, opts->host_kind, geteuid());
	s->domain.model.device_quota = opts->device_quota;
	s->domain.model.user_quota = opts->user_quota;
	s->domain.model.host_uid = geteuid();
	share_descriptors(s);
	ismi_spin_policy_init(&s->spin, 0);
	s->closer = opts->own_user_only ? NULL : closer_new();
	r = s->closer == NULL && !opts->own_user_only ? -ENOMEM : 0;
	if (r >= 0)
		r = s->epfd = ismi_sys_epoll();
	if (r >= 0)
		r = s->stop_fd = ismi_sys_eventfd();
	if (r >= 0)
		r = ismi_sys_epoll_add(s->epfd, s->stop_fd, EPOLLIN, DATA_STOP);
	if (r >= 0)
		r = ismi_sys_epoll_add(s->epfd, listen_fd, EPOLLIN, DATA_LISTEN);
	if (r < 0) {
		s->listen_fd = -1;
		server_fini(s, true);
		return r;
	}
	return 0;
}

int server_add_vms(struct server *s, struct vhost *vms)
{
	int r = ismi_sys_epoll_add(s->epfd, vhost_fd(vms), EPOLLIN, DATA_VMS);

	if (r == 0)
		s->vms = vms;
	return r;
}

int server_keep(struct server *s, struct keep *keep, bool listen_kept)
{
	int r = persist_begin(&s->persist, &s->domain, keep, s->listen_fd, listen_kept);

	if (r < 0)
		return r;
	if (r > 0)
		ismi_info(&s->opts.log, "server", "took over %u devices and %u regions", s->domain.model.nr_devices,
			  s->domain.model.nr_regions);
	if (next_absent(s) != NULL)
		s->grace_due = ismi_deadline((int64_t)keep->grace_s * 1000 * MS);
	r = keep->kind == KEEP_KEEPER ? ismi_sys_epoll_add(s->epfd, keep->fd, 0, DATA_KEEPER) : 0;
	return r < 0 ? ismi_fail(r, "cannot watch the keeper: %s", strerror(-r)) : 0;
}

void server_fini(struct server *s, bool over)
{
	struct model_device *dev;

	persist_end(&s->domain, over);
	/* All at once: to its clients the host is gone, and their peers are not. */
	s->domain.stopping = true;
	while (!TAILQ_EMPTY(&s->clients))
		client_close(TAILQ_FIRST(&s->clients));
	client_free_gone(s);
	vhost_fini(s->vms);
	while ((dev = next_absent(s)) != NULL)
		domain_device_del(&s->domain, dev);
	domain_fini(&s->domain);
	closer_end(s->closer);
	ismi_sys_close(s->listen_fd);
	ismi_sys_close(s->stop_fd);
	ismi_sys_close(s->epfd);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * server-command.c - a device's control commands: the memory that comes with
 * them, and the descriptors that go with the answers.
 */
#include "server-private.h"

#include "base/sys.h"
#include "link.h"
#include "persist.h"

#include <errno.h>
#include <stdlib.h>

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
		server_log_seldom(s, &s->log_attach, ISMI_LOG_INFO, "attach by device %llu (pid %d, uid %u) refused: %s",
				  (unsigned long long)c->port.front.dev->devid, (int)c->cred.pid,
				  (unsigned int)c->cred.uid, call->refused);
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

void handle_command(struct client *c, const struct ismi_wire_header *h, const uint8_t *body, int *fds, size_t nr_fds)
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
		server_log_seldom(s, &s->log_memory, ISMI_LOG_WARN, "device %llu (pid %d): %s",
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

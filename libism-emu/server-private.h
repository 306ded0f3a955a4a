/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * server-private.h - what the server's files share.
 */
#ifndef SERVER_PRIVATE_H
#define SERVER_PRIVATE_H

#include "port.h"
#include "server.h"

#include <sys/socket.h>

struct crowd;

struct client {
	struct port port;
	struct server *server;
	int fd, wake_fd;
	struct ucred cred;
	bool greeted, gone, want_ro;
	bool foreign;			/* another user's: see closer.h */
	struct crowd *crowd;		/* until its hello */
	TAILQ_ENTRY(client) stranger;
	int64_t due;			/* the next of the three below; INT64_MAX: none */
	int64_t hello_due;		/* a stranger is closed then */
	int64_t reply_due;		/* an answer that was kept back; INT64_MAX */
	int64_t rings_due;		/* doorbells that were held back; INT64_MAX */
	uint32_t reply_sequence;
	uint8_t reply_status;
	TAILQ_ENTRY(client) all;
	TAILQ_ENTRY(client) timed;
};

static inline int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* server-client.c: one of its times has changed. */
void client_set_due(struct client *c);
/* The memory and the socket between a device and us; fds[] are for the device. */
int client_port_open(struct client *c, int fds[ISMI_HELLO_FDS]);
void client_port_close(struct client *c);
/*
 * A line that clients can provoke, but no more than one a second of each kind:
 * or else they could fill the disk.
 */
__attribute__((format(printf, 4, 5)))
void server_log_seldom(struct server *s, struct log_limit *limit, int level, const char *fmt, ...);
/* End a client; its memory stays until the end of the turn, as events may still name it. */
void client_close(struct client *c);
void client_refuse(struct client *c, const char *why);
/* The same for what is no offence. */
void client_dismiss(struct client *c, const char *why);
/* The memory of those that ended. */
void clients_free_gone(struct server *s);
/*
 * Send what is in the out buffer behind the header.  A client has one request
 * under way, so an answer always finds room, unless it does not read them.
 * False: the descriptors cannot be sent now, and nothing was; true in all other
 * cases, be the client closed or not.
 */
bool client_reply(struct client *c, uint16_t type, uint32_t sequence, size_t len, const int *fds, size_t nr_fds);
/* An answer that is a status and nothing else. */
void client_reply_status(struct client *c, uint16_t type, uint32_t sequence, uint8_t status);
/* The answer to a command, kept back for @delay; and now that this is over. */
void client_reply_later(struct client *c, uint32_t sequence, uint8_t status, int64_t delay);
void client_reply_now(struct client *c);

/* server-strangers.c: false without memory. */
bool stranger_add(struct client *c);
void stranger_del(struct client *c);
/* Who has to make room: the first of those of whom there are most; NULL: they are not too many. */
struct client *stranger_too_many(const struct server *s);

/* server-hello.c */
void handle_hello(struct client *c, const struct ismi_wire_header *h, const uint8_t *body, size_t nr_fds);
void handle_resume(struct client *c, const struct ismi_wire_header *h, const uint8_t *body, size_t nr_fds);
/* A device has come back: is it the last one? */
void server_returned(struct server *s);

/* server-command.c: descriptors that it takes over are set to -1. */
void handle_command(struct client *c, const struct ismi_wire_header *h, const uint8_t *body, int *fds, size_t nr_fds);

/* server-message.c: read what it sent, as far as it is its turn. */
void client_read(struct client *c);
/* Its doorbells, unless a quota holds them back. */
void client_take_rings(struct client *c);

#endif /* SERVER_PRIVATE_H */

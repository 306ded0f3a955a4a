/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * server.h - the host of a domain on a Unix socket.
 *
 * One thread serves all devices; nothing a client does or omits stops or
 * delays it.  A connection is a device, and ends with it.
 */
#ifndef SERVER_H
#define SERVER_H

#include "base/log.h"
#include "base/spin.h"
#include "base/wire.h"
#include "domain.h"
#include "faults.h"
#include "persist.h"
#include "vhost-user.h"

#include <bsd/sys/queue.h>
#include <pthread.h>

struct server_opts {
	uint64_t gid;
	uint32_t host_kind;		/* ISM_HOST_* */
	bool own_user_only;
	struct model_quota device_quota, user_quota;
	struct ismi_log log;
	struct faults *faults;		/* of a test; NULL */
};

/* How often something is logged. */
struct log_limit {
	int64_t quiet_until;
	uint64_t nr;			/* not told yet */
};

struct client;
struct closer;
struct crowd;
TAILQ_HEAD(client_list, client);

struct server {
	struct domain domain;
	struct server_opts opts;
	int listen_fd, stop_fd, epfd;
	_Atomic bool died;
	struct vhost *vms;			/* virtual machines; NULL: none are served */
	int64_t now;
	struct client_list clients;		/* all */
	struct client_list timed;		/* those with something due */
	struct client_list gone;		/* to be freed at the end of a turn */
	uint32_t nr_clients, nr_strangers, strangers_max;	/* strangers have not said hello yet */
	LIST_HEAD(, crowd) crowds;		/* they, by user */
	struct closer *closer;			/* of what comes from other users; NULL: none are served */
	int64_t listen_again;			/* out of descriptors: accept no sooner */
	int64_t grace_due;			/* devices that have not come back until then are detached */
	struct log_limit log_closed, log_accept, log_attach, log_memory;
	struct persist persist;
	struct ismi_spin_policy spin;
	struct link_end *reply_link;		/* what the command under way hands out */
	int reply_vector;
	uint8_t in[ISMI_WIRE_MAX], out[ISMI_WIRE_MAX];
};

/* Defaults of the quotas: generous for programs, finite for the host. */
void server_default_quotas(struct server_opts *opts);

/*
 * Serve on a listening socket.  Ownership: @listen_fd is the server's on
 * success.  0 or a negative errno.
 */
int server_init(struct server *s, const struct server_opts *opts, int listen_fd);
/*
 * Take over what a former host has left with @keep, which is the server's from
 * now on, and leave everything with it: 0 or a negative errno.
 */
int server_keep(struct server *s, struct keep *keep, bool listen_kept);
/* Until server_stop(), which any thread or signal handler may call. */
void server_run(struct server *s);
void server_stop(struct server *s);
/* The same, and nothing that is under way is ended properly: as if the host had been killed.  Any thread. */
void server_die(struct server *s);
/* All devices lose their host; with @over their regions end with it, else a successor goes on. */
void server_fini(struct server *s, bool over);

/* Serve virtual machines too: @vms is the server's on success.  Before server_run(). */
int server_add_vms(struct server *s, struct vhost *vms);

#endif /* SERVER_H */

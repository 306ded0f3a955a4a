/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * host.h - taking and leaving the role of a domain's host.
 *
 * A domain is a socket path.  Its host holds a record lock on PATH.lock, which
 * dies with the process and is not inherited by a forked child; whoever has
 * the lock may replace the socket.
 */
#ifndef HOST_H
#define HOST_H

#include "server.h"

#include <sys/un.h>

struct host;

/* Fill in a socket address: 0 or -ENAMETOOLONG. */
int host_address(const char *path, struct sockaddr_un *ret);

/* The lock and the socket of a domain that this process is to host. */
struct host_seat {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int lock_fd, listen_fd;
	bool adopted;		/* the socket is not ours to remove */
};

/*
 * Become the host of @path: lock, bind, listen.  @mode, @gid: of the socket
 * ((gid_t)-1: leave it).  -EAGAIN: another process is the host, and *ret_holder
 * its pid if that can be known; else what was wrong is in ismi_fail_text().
 */
int host_seat_take(struct host_seat *seat, const char *path, mode_t mode, gid_t gid, int *ret_holder);
/* The same for a socket that virtual machines connect to. */
int host_seat_take_vhost(struct host_seat *seat, const char *path, mode_t mode, gid_t gid, int *ret_holder);
/* The same in two steps: the lock alone, then the socket. */
int host_seat_lock(struct host_seat *seat, const char *path, int *ret_holder);
int host_seat_listen(struct host_seat *seat, mode_t mode, gid_t gid);
/* A socket that listens at the seat's path already.  @stays: its name is not ours to remove.  Consumes @listen_fd. */
void host_seat_adopt(struct host_seat *seat, int listen_fd, bool stays);
/* Leave: nothing of it stays behind. */
void host_seat_leave(struct host_seat *seat);
/* Leave it as it is to a successor. */
void host_seat_hand_over(struct host_seat *seat);

/*
 * How a domain is to be hosted when this process comes to host it, and what
 * shall fail in its devices: a test said so.  @name: the path, or "loop:NAME".
 */
struct host_profile {
	char name[128];
	struct model_quota device_quota, user_quota;
	struct faults *faults;
	LIST_ENTRY(host_profile) all;
};
void host_profile_add(struct host_profile *p);
void host_profile_del(struct host_profile *p);
/* Its quotas, in place of the defaults; without a profile nothing changes. */
void host_profile_quotas(const char *name, struct model_quota *device, struct model_quota *user);
/* Its faults, else those of the environment, with a reference for the caller; NULL: there are none. */
int host_profile_faults(const char *name, struct faults **ret);

/* May this process host @path for its user: is the directory its alone?  0 or -EHOSTDOWN. */
int host_may_embed(const char *path);

/*
 * Host @path in a thread of this process, for this user alone, until the last
 * host_put().  0 (also if this process hosts it already), or what
 * host_seat_take() says.
 */
int host_embed(const char *path, const struct ismi_log *log, struct host **ret);
/* The host of @path if this process is it, with a reference; or NULL. */
struct host *host_get(const char *path);
void host_put(struct host *host);
/* What host_embed() was given to log to will end, and the host may stay: then it logs as $ISM_LOG says.  NULL is fine. */
void host_log_ends(struct host *host, const struct ismi_log *log);
/* The host dies as if its process had been killed: its names stay, its devices find it gone. */
void host_kill(struct host *host);
/* The names that a host at @path has in its directory. */
void host_names_remove(const char *path);

#endif /* HOST_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * host.h - hosting a domain in a thread of this process.
 */
#ifndef HOST_H
#define HOST_H

#include "server.h"

struct host;

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

#endif /* HOST_H */

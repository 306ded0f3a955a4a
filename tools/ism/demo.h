/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * demo.h - the steps of `ism demo`.
 */
#ifndef TOOL_DEMO_H
#define TOOL_DEMO_H

#include <ism.h>
#include <sys/types.h>

struct demo {
	char dir[96], uri[128], daemon_uri[128];
};

/* Open a device of the demo's domain.  0 or an exit status, after saying why. */
int demo_open(const struct demo *d, struct ism_device **ret);
/* A child that dies with its parent; 0 in it, -1 after saying why. */
pid_t demo_fork(void);
/* Its exit status; TOOL_FAILED if a signal ended it. */
int demo_reap(pid_t pid);

/* An ismd at daemon_uri that dies with this process: 0 if there is none to be found; -1 after saying why. */
pid_t demo_daemon_start(const struct demo *d);
/* It is sent @sig, of which it ends.  0 and -1 are fine. */
void demo_daemon_kill(pid_t pid, int sig);

/* Each: 0, or an exit status after saying why. */
int demo_speed(struct demo *d);
int demo_transfer(struct demo *d);
int demo_refusals(struct demo *d);
int demo_shut_out(struct demo *d);

#endif /* TOOL_DEMO_H */

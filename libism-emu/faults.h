/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * faults.h - which calls of a test shall fail, and how.
 *
 *   faults  = fault *( "," fault )
 *   fault   = point [ ":" ordinal ] "=" action
 *   point   = "alloc" | "attach" | "detach" | "grant" | "notify" | "event" | "host"
 *   action  = errno-name | "drop" | "delay:" time | "die"
 *   time    = number ( "ns" | "us" | "ms" | "s" )
 *
 * Without an ordinal every pass of the point is meant; of several faults that
 * mean the same pass, the first one in the list.  A plan may be used by any thread.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdint.h>

enum fault_point {
	FAULT_ALLOC,
	FAULT_ATTACH,
	FAULT_DETACH,
	FAULT_GRANT,
	FAULT_NOTIFY,
	FAULT_EVENT,
	FAULT_HOST,		/* a command that the host has received */
	FAULT_POINTS,
};

enum fault_action { FAULT_NONE, FAULT_ERRNO, FAULT_DROP, FAULT_DELAY, FAULT_DIE };

struct fault {
	enum fault_action action;
	int err;		/* ERRNO: negative */
	int64_t delay_ns;	/* DELAY */
	uint64_t pass;		/* which pass of its point this was */
};

struct faults;

/*
 * Read a plan.  @source: what the text is, for the error: -EINVAL says in
 * ismi_fail_text() what was expected where.  "" is a plan without faults.
 */
int faults_new(const char *text, const char *source, struct faults **ret);
struct faults *faults_get(struct faults *f);
void faults_put(struct faults *f);		/* NULL is fine */

/*
 * The plan of this process's environment, $ISM_EMU_FAULTS, with a reference for
 * the caller; NULL if there is none.  All who ask share its counts.
 */
int faults_from_env(struct faults **ret);

/* Another text, and all counts from the start: 0 or -EINVAL, and nothing has changed. */
int faults_set(struct faults *f, const char *text, const char *source);

/* Pass a point.  NULL is a plan without faults. */
struct fault faults_pass(struct faults *f, enum fault_point point);

/* How often a point was passed; how many faults there were at all. */
uint64_t faults_passes(struct faults *f, enum fault_point point);
uint64_t faults_fired(struct faults *f);

const char *fault_point_name(enum fault_point point);
/* The point of this name; -1. */
int fault_point_find(const char *name);

#endif /* FAULTS_H */

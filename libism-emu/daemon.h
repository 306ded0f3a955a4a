/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * daemon.h - what any daemon does with its surroundings.
 */
#ifndef DAEMON_H
#define DAEMON_H

/* Standard descriptors that are closed: something of ours would take their numbers, and go when the background begins. */
void daemon_fill_stdio(void);
/* As many descriptors as there may be: a region is one. */
void daemon_raise_limits(void);
/*
 * Go to the background.  Returns in the child, with the pipe to tell the
 * waiting parent how it went; the parent exits when it knows.
 */
int daemon_go_background(void);
/* The last word to whoever started us: "ready", or why not. */
void daemon_report(int *pipe_fd, const char *text);
void daemon_detach_stdio(void);
/* Tell the service manager (sd_notify(3)'s protocol). */
void daemon_tell_manager(const char *state);
/* A sink of log.h. */
void daemon_to_syslog(void *data, int level, const char *subsystem, const char *message);

#endif /* DAEMON_H */

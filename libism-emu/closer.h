/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * closer.h - closing what somebody else has made.
 *
 * The last close of a descriptor takes as long as whoever made it wants: a TCP
 * socket lingers, a file waits for the answer of the process that serves its file
 * system, and the end of a connection closes all that was sent through it and not
 * yet received.  So what comes from other users is closed by threads, and what one
 * of them sent holds up nobody else.
 */
#ifndef CLOSER_H
#define CLOSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct closer;

/* Whose a descriptor is: a user's, or one of those whose closing can be cut short, and is. */
enum { CLOSER_CONNECTIONS = -1 };

/* NULL without memory.  Threads are started when there is something to close. */
struct closer *closer_new(void);
/* @fd is the closer's. */
void closer_add(struct closer *c, int64_t whose, int fd);
/* How many of them wait to be closed. */
size_t closer_waiting(struct closer *c, int64_t whose);
/* Close all that can be closed within a second; the rest goes with the process. */
void closer_end(struct closer *c);

#endif /* CLOSER_H */

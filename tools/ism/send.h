/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * send.h - ism put's side of one transfer.
 */
#ifndef SEND_H
#define SEND_H

#include "tool.h"

#include <ism-ring.h>
#include <pthread.h>
#include <stdatomic.h>

enum guest_state {
	GUEST_NONE,	/* the seat is free */
	GUEST_SERVED,	/* a thread sends */
	GUEST_LEAVING,	/* it was served, or refused, and has not let go of the door yet */
};

/* One getter. */
struct guest {
	struct ism_device *dev;
	const char *path;	/* of what it gets, for messages */
	uint64_t devid;
	bool quiet;
	int fd;			/* what to send */
	int stop_fd;		/* readable: do not wait any longer for more of it */
	struct ism_region *region;
	struct ism_ring *ring;
	enum guest_state state;		/* the main thread's */
	pthread_t thread;
	bool failed;
	_Atomic bool gone;	/* it has let go of the door */
	_Atomic bool stop, done;
};

/*
 * Send to g->devid all of g->fd, in a thread.  0 or an exit status, after saying
 * why; then g has nothing that were to be closed but g->fd.  -ENOENT: it has
 * left already.
 */
int send_start(struct guest *g);

/* Do not wait for more of the file. */
void send_stop(struct guest *g);

/*
 * The getter has gone.  It may never have come to its ring, whose waits then do
 * not end by themselves: interrupt them until the transfer is done.
 */
void send_gone(struct guest *g);

/* The thread is done, or has been stopped: reap it.  Whether the transfer failed. */
bool send_end(struct guest *g);

#endif /* SEND_H */

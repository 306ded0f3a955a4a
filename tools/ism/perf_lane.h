/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * perf_lane.h - the lanes of `ism perf`, seen from one end.
 */
#ifndef TOOL_PERF_LANE_H
#define TOOL_PERF_LANE_H

#include "perf.h"

#include <ism-ring.h>
#include <stdint.h>
#include <sys/types.h>

/* What both ends know of a lane before the peer starts. */
struct lane {
	enum perf_lane kind;
	int fd[2][2];			/* [end][0 to read, 1 to write]; -1 */
	struct ism_region *region[2];	/* our end's: what end 0 writes, what end 1 writes */
	uint64_t token[2];
};

/* One end, in use. */
struct lane_end {
	const struct lane *lane;
	int in, out;
	struct ism_ring *rx, *tx;
};

/* @dev: for the rings.  Failures end the program. */
void lane_open(struct lane *l, enum perf_lane kind, struct ism_device *dev);
void lane_close(struct lane *l);
/* The first end belongs to who opened the lane; the other attaches through a device of its own. */
void lane_end_open(struct lane_end *e, const struct lane *l, unsigned int end, struct ism_device *dev);
void lane_end_close(struct lane_end *e);
/* In a forked peer: close the other end's descriptors, so that its death is seen. */
void lane_forget(const struct lane *l, unsigned int end);

/* A whole message. */
void lane_send(struct lane_end *e, const void *data, size_t bytes);
void lane_recv(struct lane_end *e, void *data, size_t bytes);
/* No more of it. */
void lane_finish(struct lane_end *e);
/* Whatever there is, up to @size bytes; 0 at the end. */
size_t lane_drain(struct lane_end *e, void *data, size_t size);

#endif /* TOOL_PERF_LANE_H */

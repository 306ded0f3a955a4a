/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * send.c - ism put's side of one transfer.
 */
#include "send.h"

#include "transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------ records */

/* Wait for more of the file, or to be told to stop.  0 or -ECANCELED. */
static int await_input(const struct guest *g)
{
	struct pollfd p[2] = { { .fd = g->fd, .events = POLLIN }, { .fd = g->stop_fd, .events = POLLIN } };

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	return p[1].revents != 0 ? -ECANCELED : 0;
}

/* Fill a record from the file: its length, 0 at the end, -ECANCELED, or -EIO after saying why. */
static ssize_t fill(const struct guest *g, void *room, size_t size)
{
	ssize_t n;

	do {
		if (await_input(g) < 0)
			return -ECANCELED;
		n = read(g->fd, room, size);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n >= 0)
		return n;
	tool_say("cannot read %s: %s", g->path, strerror(errno));
	return -EIO;
}

/* Room for the next record.  What interrupts all waits of the device may be meant for somebody else: go on. */
static int wait_room(const struct guest *g)
{
	int r;

	do
		r = ism_ring_wait(g->ring, TRANSFER_RECORD, -1);
	while (r == -EINTR && !atomic_load(&g->stop) && !atomic_load(&g->gone));
	return r != -EINTR ? r : atomic_load(&g->gone) ? -EPIPE : -ECANCELED;
}

static int put_record(const struct guest *g, const void *data, size_t len)
{
	int r = wait_room(g);

	return r < 0 ? r : ism_ring_write(g->ring, data, len, 0);
}

/* ------------------------------------------------------------------ the whole */

/* All of the file, each record read straight into the ring. */
static int send_data(const struct guest *g, struct progress *p)
{
	for (;;) {
		void *room;
		int r = wait_room(g);
		if (r == 0)
			r = ism_ring_reserve(g->ring, TRANSFER_RECORD, &room);
		if (r < 0)
			return r;
		ssize_t n = fill(g, room, TRANSFER_RECORD);
		if (n < 0)
			return (int)n;
		r = ism_ring_commit(g->ring, (size_t)n);	/* the empty record says: end of file */
		if (r < 0)
			return r;
		if (n == 0)
			return 0;
		progress_add(p, (uint64_t)n);
	}
}

/* Wait until the getter, having written all of it, lets go: only then may we leave. */
static int await_reader(const struct guest *g, uint64_t total)
{
	for (;;) {
		void *room;
		int r = ism_region_wait(g->region, -1);
		if (r == -EPIPE || atomic_load(&g->gone) || ism_ring_reserve(g->ring, 1, &room) == -EPIPE)
			return atomic_load(transfer_receipt(g->region)) == total + 1 ? 0 : -EPIPE;
		if (r == -EINTR && atomic_load(&g->stop))
			return -ECANCELED;
		if (r < 0 && r != -EINTR)
			return r;
	}
}

static int serve(const struct guest *g)
{
	struct transfer_header header = { TRANSFER_MAGIC, UINT64_MAX };
	struct progress p;
	struct stat st;

	if (fstat(g->fd, &st) == 0 && S_ISREG(st.st_mode))
		header.size = (uint64_t)st.st_size;
	progress_begin(&p, "sent", header.size, g->quiet);
	int r = put_record(g, &header, sizeof header);
	if (r == 0)
		r = send_data(g, &p);
	if (r == 0)
		r = put_record(g, &p.done, sizeof p.done);
	if (r == 0)
		r = await_reader(g, p.done);
	if (r == 0)
		progress_end(&p);
	else
		progress_break(&p);
	return r;
}

static void *guest_main(void *arg)
{
	struct guest *g = arg;
	int r = serve(g);

	g->failed = r < 0;
	if (r == -EPIPE || r == -ECONNRESET || (r == -ECANCELED && !atomic_load(&g->stop)))
		tool_say("device %" PRIu64 " left before it had the whole", g->devid);
	else if (r < 0 && r != -ECANCELED && r != -EIO)
		tool_fail(r, "the transfer broke off");
	atomic_store(&g->done, true);
	/* The main thread waits for events, and may just be about to: an interrupt can get lost on another wait. */
	while (!atomic_load(&g->stop)) {
		ism_interrupt(g->dev);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return NULL;
}

/* ------------------------------------------------------------------ begin and end */

/* A ring for this getter and nobody else. */
static int make_ring(struct guest *g)
{
	struct ism_alloc_opts alloc = { .size = sizeof alloc, .flags = ISM_ALLOC_PRIVATE };
	struct ism_ring_opts opts = { .size = sizeof opts, .length = TRANSFER_RING - TRANSFER_RECEIPT };
	int r = ism_alloc_region(g->dev, TRANSFER_RING, &alloc, &g->region);

	if (r < 0)
		return tool_fail(r, "cannot allocate a ring");
	r = ism_region_grant(g->region, g->devid, ISM_READ | ISM_WRITE | ISM_ATTACH);
	if (r == 0)
		r = ism_ring_create(g->region, ISM_RING_WRITER, &opts, &g->ring);
	if (r < 0)
		ism_detach_region(g->region);
	return r == 0 || r == -ENOENT ? r : tool_fail(r, "cannot make a ring");
}

int send_start(struct guest *g)
{
	int r = make_ring(g);

	if (r != 0)
		return r;
	atomic_store(&g->stop, false);
	atomic_store(&g->done, false);
	g->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = g->stop_fd < 0 ? errno : pthread_create(&g->thread, NULL, guest_main, g);
	if (r == 0)
		return 0;
	tool_say("cannot start a transfer: %s", strerror(r));
	if (g->stop_fd >= 0)
		close(g->stop_fd);
	ism_ring_close(g->ring);
	ism_detach_region(g->region);
	return TOOL_FAILED;
}

void send_stop(struct guest *g)
{
	eventfd_write(g->stop_fd, 1);
}

void send_gone(struct guest *g)
{
	atomic_store(&g->gone, true);
	send_stop(g);
}

bool send_end(struct guest *g)
{
	atomic_store(&g->stop, true);
	while (!atomic_load(&g->done)) {
		ism_interrupt(g->dev);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	pthread_join(g->thread, NULL);
	close(g->stop_fd);
	ism_ring_close(g->ring);
	ism_detach_region(g->region);
	return g->failed;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * corners.c - what the scenario of the failure tests leaves out: wishes, two
 * mappings of one region, doorbell descriptors, the default path, test domains.
 */
#include "scenario.h"

#include <errno.h>
#include <ism-emu.h>
#include <ism-ring.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Huge pages, and a node: given or not. */
static int use_wishes(struct ism_device *dev)
{
	struct ism_alloc_opts opts = { .size = sizeof opts, .flags = ISM_ALLOC_HUGE | ISM_ALLOC_NODE };
	struct ism_region *region;
	int r = ism_alloc_region(dev, 4 << 20, &opts, &region);

	if (r == 0)
		ism_detach_region(region);
	return r;
}

/* A second handle that cannot be had, as @r says, takes nothing from the first one. */
static int still_attached(struct ism_region *first, int r)
{
	int peers = r < 0 ? ism_region_peers(first, NULL, 0) : 0;

	return peers < 0 && peers != -EHOSTDOWN ? -ETIMEDOUT : r;	/* which none of the tests takes */
}

/* One region, mapped in two ways; the second stays until the device is closed. */
static int use_two_mappings(struct ism_device *dev)
{
	struct ism_region *mine, *readonly, *again;
	int r = ism_alloc_region(dev, 1, NULL, &mine);

	if (r == 0)
		r = still_attached(mine, ism_attach_region(dev, ism_region_token(mine), ISM_READ, NULL, &readonly));
	if (r < 0)
		return r;
	ism_detach_region(readonly);
	return ism_attach_region(dev, ism_region_token(mine), ISM_READ, NULL, &again);
}

/* Memory of a pooled region, used again; and another region where it lay. */
static int use_pool(struct ism_device *dev, struct ism_device *peer)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_alloc_opts opts = { .size = sizeof opts, .flags = ISM_ALLOC_POOLED };
	struct ism_region *region;
	int r = ism_query(peer, &info);

	opts.peer = info.devid;
	for (int i = 0; i < 4 && r == 0; i++) {
		r = ism_alloc_region(dev, i < 3 ? 4096 : 1 << 20, i % 2 ? NULL : &opts, &region);
		if (r == 0)
			ism_detach_region(region);
	}
	return r;
}

/* A reader, and the creator's doorbell descriptor.  Without one (it is a wish) the doorbell is the device's. */
static int use_vector(struct ism_device *dev, struct ism_device *peer)
{
	struct ism_alloc_opts opts = { .size = sizeof opts, .flags = ISM_ALLOC_VECTOR };
	struct ism_region *mine, *theirs;
	int r = ism_alloc_region(dev, 1, &opts, &mine);

	if (r == 0)
		r = ism_attach_region(peer, ism_region_token(mine), ISM_READ, NULL, &theirs);
	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++) {
		r = ism_region_notify(theirs);
		if (r == 0)
			r = ism_region_wait(mine, 30000000000);
		if (r <= 0)
			return r < 0 ? r : -ETIMEDOUT;
	}
	ism_detach_region(theirs);
	/* It went: nobody rings any more.  Where the ring that says so is what fails, this waits in vain. */
	r = ism_region_wait(mine, 1000000000);
	if (r >= 0 || r == -EPIPE)
		r = ism_region_clear(mine);
	ism_detach_region(mine);
	return r;
}

/* A record, if there is room, and all that came.  What failed is tried again by these calls a while later. */
static int pass_records(struct ism_ring *out, struct ism_ring *in)
{
	char buf[8];
	int r = ism_ring_write(out, "x", 1, 0);

	if (r < 0 && r != -EAGAIN)
		return r;
	while ((r = (int)ism_ring_read(in, buf, sizeof buf, 3000000)) > 0)
		continue;
	return r < 0 && r != -EAGAIN && r != -ETIMEDOUT ? r : 0;
}

/* A ring that goes over to a successor, both its ends being polled. */
static int use_ring_that_moves(struct ism_region *mine, struct ism_region *theirs)
{
	struct ism_region *next = NULL;
	struct ism_ring *out, *in = NULL;
	bool over = false;
	int r = ism_ring_create(mine, ISM_RING_WRITER, NULL, &out);

	if (r < 0)
		return r;
	if ((r = ism_ring_attach(theirs, ISM_RING_READER, NULL, &in)) == 0 && (r = ism_ring_fd(out)) >= 0 &&
	    (r = ism_ring_fd(in)) >= 0)
		r = ism_region_replace(mine, NULL, &next);
	for (int i = 0; i < 20000 && r >= 0 && !over; i++) {
		r = pass_records(out, in);
		over = ism_ring_region(out) != mine && ism_ring_region(in) != theirs;
	}
	if (in != NULL)
		ism_ring_close(in);
	ism_ring_close(out);
	if (r < 0)
		return r;
	ism_detach_region(next);
	return over ? 0 : -ETIMEDOUT;
}

static int use_successor(struct ism_device *dev, struct ism_device *peer)
{
	struct ism_alloc_opts alloc = { .size = sizeof alloc, .flags = ISM_ALLOC_VECTOR };
	struct ism_attach_opts attach = { .size = sizeof attach, .flags = ISM_ATTACH_VECTOR };
	struct ism_region *mine, *theirs;
	int r = ism_alloc_region(dev, 8192, &alloc, &mine);

	if (r == 0)
		r = ism_attach_region(peer, ism_region_token(mine), ISM_READ | ISM_WRITE, &attach, &theirs);
	if (r == 0)
		r = use_ring_that_moves(mine, theirs);
	if (r < 0)
		return r;
	ism_detach_region(mine);
	ism_detach_region(theirs);
	return 0;
}

int corners(const char *uri)
{
	struct ism_open_opts opts = { .size = sizeof opts, .timeout_ms = 30000, .spin_us = ISM_SPIN_NONE };
	struct ism_device *dev, *peer;
	int r = ism_open(uri, &opts, &dev);

	if (r < 0)
		return r;
	r = ism_open(uri, &opts, &peer);
	if (r == 0) {
		r = use_wishes(dev);
		if (r == 0)
			r = use_two_mappings(dev);
		if (r == 0)
			r = use_vector(dev, peer);
		if (r == 0)
			r = use_pool(dev, peer);
		if (r == 0)
			r = use_successor(dev, peer);
		if (r == 0)
			r = ism_interrupt(dev);
		ism_close(peer);
	}
	ism_close(dev);
	return r;
}

/* emu: without a path, in a directory of the test's.  The domain ends with the device. */
int corner_default_path(const char *dir)
{
	char path[200];
	struct ism_open_opts opts = { .size = sizeof opts, .spin_us = ISM_SPIN_NONE };
	struct ism_device *dev;
	int r;

	unsetenv("ISM_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", dir, 1);
	r = ism_open("emu:", &opts, &dev);
	if (r == 0)
		ism_close(dev);
	setenv("ISM_RUNTIME_DIR", dir, 1);
	snprintf(path, sizeof path, "%s/ism/default", dir);
	unlink(path);	/* if the call that removes it failed */
	snprintf(path, sizeof path, "%s/ism/default.lock", dir);
	unlink(path);
	snprintf(path, sizeof path, "%s/ism", dir);
	rmdir(path);
	return r;
}

/* Start and end of a test's domain; its host dies and comes again; no second device. */
int corner_test_domain(void)
{
	struct ism_emu_opts opts = { .size = sizeof opts, .user.devices = 1 };
	struct ism_open_opts no_spin = { .size = sizeof no_spin, .spin_us = ISM_SPIN_NONE };
	struct ism_device *dev, *none;
	struct ism_emu *emu;
	int r = ism_emu_start(&opts, &emu);

	if (r < 0)
		return r;
	r = ism_open(ism_emu_uri(emu), &no_spin, &dev);
	if (r == 0) {
		r = ism_open(ism_emu_uri(emu), &no_spin, &none);
		if (r == 0) {
			ism_close(none);
			r = -EEXIST;
		} else if (r == -ENOSPC) {
			r = ism_emu_kill(emu);
		}
		if (r == 0)
			r = ism_emu_restart(emu);
		ism_close(dev);
	}
	ism_emu_stop(emu);
	return r;
}

/* An event that comes late, then the death of the host, through a fault each. */
int corner_faults(uint32_t flags)
{
	struct ism_emu_opts opts = { .size = sizeof opts, .flags = flags,
				     .faults = "event:1=delay:1ms,alloc:2=die" };
	struct ism_device *a, *b;
	struct ism_region *mine, *theirs, *none;
	struct ism_event ev;
	struct ism_emu *emu;
	int r = ism_emu_start(&opts, &emu);

	if (r < 0)
		return r;
	if ((r = ism_open(ism_emu_uri(emu), NULL, &a)) == 0) {
		if ((r = ism_open(ism_emu_uri(emu), NULL, &b)) == 0) {
			r = ism_alloc_region(a, 1, NULL, &mine);
			if (r == 0)
				r = ism_attach_region(b, ism_region_token(mine), ISM_READ, NULL, &theirs);
			if (r == 0)
				r = ism_wait(a, &ev, 1, sizeof ev, 5000000000);
			if (r == 1)
				r = ism_alloc_region(a, 1, NULL, &none) == -EHOSTDOWN ? 0 : -EEXIST;
			ism_close(b);
		}
		ism_close(a);
	}
	ism_emu_stop(emu);
	return r;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * get.c - ism get: take what somebody offers.
 */
#include "tool.h"
#include "transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <ism-ring.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long to wait for a ring before looking whether the sender is still there. */
static const int64_t LOOK_AROUND_NS = 500000000;

static bool quiet;

/* The token of the ring that the door has for us; 0: not yet. */
static uint64_t look_for_seat(const struct transfer_door *door, uint64_t devid)
{
	for (unsigned int i = 0; i < TRANSFER_SEATS; i++) {
		if (atomic_load(&door->seat[i].devid) == devid)
			return atomic_load(&door->seat[i].token);
	}
	return 0;
}

/* Others at the door keep each other from being told that nobody is left: is the one there who made it? */
static bool sender_has_left(struct ism_region *door)
{
	struct ism_referrer_entry entry[16];
	uint64_t cursor = 0;
	int n;

	do {
		n = ism_list_referrers(ism_region_device(door), ism_region_token(door), entry, 16, sizeof entry[0], &cursor);
		for (int i = 0; i < n; i++) {
			if (entry[i].creator)
				return false;
		}
	} while (n > 0 && cursor != 0);
	/* Where referrers cannot be listed, it may be there; and without a host it has no ring for us. */
	return n >= 0 || n == -EHOSTDOWN;
}

/* Wait at the door until there is a ring for us.  0 or an exit status. */
static int find_seat(struct ism_region *region, uint64_t devid, uint64_t *ret_token)
{
	const struct transfer_door *door = ism_region_addr(region);

	if (ism_region_size(region) < sizeof *door || atomic_load(&door->magic) != TRANSFER_MAGIC) {
		tool_say("this token is of another region, not of an 'ism put'");
		return TOOL_FAILED;
	}
	while ((*ret_token = look_for_seat(door, devid)) == 0) {
		if (atomic_load(&door->closed)) {
			tool_say("somebody else has this already: 'ism put --keep' serves more than one");
			return TOOL_FAILED;
		}
		int r = ism_region_wait(region, LOOK_AROUND_NS);
		if (r == -EPIPE || (r == 0 && sender_has_left(region))) {
			tool_say("the sender has left");
			return TOOL_FAILED;
		}
		if (r < 0)
			return tool_fail(r, "cannot wait for the sender");
	}
	if (*ret_token == TRANSFER_REFUSED) {
		tool_say("the sender cannot offer it now; its own messages say why");
		return TOOL_FAILED;
	}
	return 0;
}

static int no_put(void)
{
	tool_say("the sender is no 'ism put' of this version");
	return TOOL_FAILED;
}

static int cannot_write(const struct progress *p)
{
	progress_break(p);
	tool_say("cannot write to standard output: %s", strerror(errno));
	return TOOL_FAILED;
}

static int write_all(const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int cut_short(int err, const struct progress *p)
{
	progress_break(p);
	tool_say("cut short after %" PRIu64 " bytes: %s", p->done,
		 err == -EPIPE || err == -ECONNRESET ? "the sender has left before the end" : ism_error_detail());
	return TOOL_FAILED;
}

/* Everything up to the end, straight from the ring to standard output.  0 or an exit status. */
static int receive_data(struct ism_ring *ring, struct progress *p)
{
	for (;;) {
		const void *data;
		size_t len;
		int r = ism_ring_wait(ring, 0, -1);

		if (r == 0)
			r = ism_ring_peek(ring, &data, &len);
		if (r < 0)
			return cut_short(r, p);
		if (len > 0 && write_all(data, len) != 0)
			return cannot_write(p);
		r = ism_ring_release(ring);
		if (r < 0)
			return cut_short(r, p);
		if (len == 0)
			return 0;
		progress_add(p, len);
	}
}

/* Behind the data: how much it was, and that it is out of our hands. */
static int receive_end(struct ism_ring *ring, struct ism_region *region, struct progress *p)
{
	uint64_t total;
	int64_t n = ism_ring_read(ring, &total, sizeof total, -1);

	if (n < 0)
		return cut_short((int)n, p);
	if (n != sizeof total || total != p->done) {
		progress_break(p);
		tool_say("%" PRIu64 " bytes arrived, but the sender has sent %" PRIu64, p->done, total);
		return TOOL_FAILED;
	}
	if (close(STDOUT_FILENO) < 0)		/* some file systems only now say that there is no room */
		return cannot_write(p);
	atomic_store(transfer_receipt(region), total + 1);
	progress_end(p);
	return TOOL_OK;
}

static int receive(struct ism_ring *ring, struct ism_region *region)
{
	struct transfer_header header;
	struct progress p;

	progress_begin(&p, "received", UINT64_MAX, quiet);
	int64_t n = ism_ring_read(ring, &header, sizeof header, -1);
	if (n < 0)
		return cut_short((int)n, &p);
	if (n != sizeof header || header.magic != TRANSFER_MAGIC)
		return no_put();
	p.total = header.size;
	int r = receive_data(ring, &p);
	return r != 0 ? r : receive_end(ring, region, &p);
}

static int get(struct ism_device *dev, uint64_t token)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_region *door, *region;
	struct ism_ring_opts opts = { .size = sizeof opts, .length = TRANSFER_RING - TRANSFER_RECEIPT };
	struct ism_ring *ring;
	uint64_t ring_token;
	int r = ism_query(dev, &info);

	if (r == 0)
		r = ism_attach_region(dev, token, ISM_READ, NULL, &door);
	if (r == -EACCES && info.host == ISM_HOST_DEVICE) {
		tool_say("this machine's QEMU cannot show it what it may not write: 'ism put --machine' lets it");
		return TOOL_FAILED;
	}
	if (r < 0)
		return tool_fail(r, "cannot attach");
	r = find_seat(door, info.devid, &ring_token);
	if (r != 0)
		return r;
	r = ism_attach_region(dev, ring_token, ISM_READ | ISM_WRITE, NULL, &region);
	if (r == 0 && ism_region_size(region) != TRANSFER_RING)
		return no_put();
	if (r == 0)
		r = ism_ring_attach(region, ISM_RING_READER, &opts, &ring);
	if (r < 0)
		return tool_fail(r, "cannot take the ring");
	r = receive(ring, region);
	ism_ring_close(ring);
	return r;
}

static int run(int nr, char **operand)
{
	struct ism_device *dev;
	uint64_t token;
	int r = tool_token(operand[0], &token);

	(void)nr;
	if (r == 0)
		r = tool_open(ISM_OPEN_NO_HOST, &dev);
	if (r != 0)
		return r;
	r = get(dev, token);
	ism_close(dev);
	return r;
}

static const struct tool_option options[] = {
	{ 'q', "quiet", NULL, &quiet, "no progress, no summary" },
	TOOL_OPTION_DEVICE,
	{ 0 },
};

const struct tool_verb verb_get = {
	.name = "get",
	.operands = "TOKEN",
	.least = 1,
	.most = 1,
	.summary = "take what somebody offers with put",
	.help = "Writes to standard output what 'ism put' offers under TOKEN.  TOKEN is 16\n"
		"hexadecimal digits, with or without 0x; \"-\" reads it from standard input, which\n"
		"keeps it out of the list of processes.  Fails if not all of it arrives.\n",
	.options = options,
	.run = run,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * demo_rights.c - the steps of `ism demo` in which somebody is refused.
 */
#include "demo.h"

#include "tool.h"

#include <bsd/string.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BYTES = 4096 };

/* ------------------------------------------------------------------ refused */

/* An attach that must be refused: with these words, and no region. */
static int must_refuse(struct ism_device *dev, uint64_t token, uint32_t rights, const char *who)
{
	struct ism_region *region;

	if (ism_attach_region(dev, token, rights, NULL, &region) == 0) {
		tool_say("%s: this should have been refused", who);
		return TOOL_FAILED;
	}
	printf("  %-46s -> %s\n", who, ism_error_detail());
	return 0;
}

static int refuse(struct ism_device *owner, struct ism_device *other)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_region *region, *theirs;
	int r = ism_alloc_region(owner, BYTES, NULL, &region);

	if (r == 0)
		r = ism_query(other, &info);
	if (r < 0)
		return tool_fail(r, "cannot allocate a region");
	uint64_t token = ism_region_token(region);
	int status = must_refuse(other, token ^ 1, ISM_READ, "a token that is wrong in one bit");
	r = ism_region_grant_default(region, ISM_READ | ISM_ATTACH);
	if (status == 0 && r == 0)
		status = must_refuse(other, token, ISM_READ | ISM_WRITE, "the right token, but others may only read");
	if (status == 0 && r == 0) {
		r = ism_attach_region(other, token, ISM_READ, NULL, &theirs);
		if (r == 0) {
			printf("  %-46s -> attached\n", "to read, which is allowed");
			ism_detach_region(theirs);
			r = ism_region_grant_default(region, 0);
		}
	}
	if (status == 0 && r == 0)
		status = must_refuse(other, token, ISM_READ, "the right token, but nobody is allowed any more");
	return r < 0 ? tool_fail(r, "cannot go on") : status;
}

int demo_refusals(struct demo *d)
{
	struct ism_device *owner = NULL, *other = NULL;
	int r = demo_open(d, &owner);

	if (r == 0)
		r = demo_open(d, &other);
	if (r == 0)
		r = refuse(owner, other);
	ism_close(other);
	ism_close(owner);
	return r;
}

/* ------------------------------------------------------------------ shut out */

static const int64_t second = 1000000000;

/* What two processes tell each other, beside the region: the token, and lines to print. */
struct talk {
	int to_reader[2], to_owner[2];
};

static void tell(int fd, const char *line)
{
	dprintf(fd, "%s\n", line);
}

/* A line, without its end; false if the other one has gone. */
static bool hear(int fd, char *line, size_t size)
{
	size_t len = 0;

	while (len + 1 < size && read(fd, line + len, 1) == 1) {
		if (line[len] == '\n') {
			line[len] = '\0';
			return true;
		}
		len++;
	}
	return false;
}

/* The reader's process: its exit status. */
static int reader(const struct demo *d, const struct talk *t)
{
	char line[80], text[160];
	struct ism_region *region, *again;
	struct ism_device *dev;
	uint64_t gid, token;

	if (!hear(t->to_reader[0], line, sizeof line) || ism_ref_parse(line, &gid, &token) < 0 || demo_open(d, &dev) != 0)
		return TOOL_FAILED;
	if (ism_attach_region(dev, token, ISM_READ, NULL, &region) < 0)
		return tool_fail(-1, "cannot attach");
	tell(t->to_owner[1], "attached, to read");
	if (ism_region_wait(region, 20 * second) != 1)
		return tool_fail(-1, "heard nothing");
	snprintf(text, sizeof text, "rung, and reads: \"%.60s\"", (const char *)ism_region_addr(region));
	tell(t->to_owner[1], text);
	if (!hear(t->to_reader[0], line, sizeof line))	/* its right is taken now, and it has been rung again */
		return TOOL_FAILED;
	if (ism_region_wait(region, second / 2) == 1)
		return TOOL_FAILED;
	snprintf(text, sizeof text, "hears nothing more, and still has \"%.60s\"", (const char *)ism_region_addr(region));
	tell(t->to_owner[1], text);
	if (ism_attach_successor(region, ISM_READ, NULL, &again) == 0)
		return TOOL_FAILED;
	snprintf(text, sizeof text, "cannot go over: %s", ism_error_detail());
	tell(t->to_owner[1], text);
	ism_detach_region(region);
	if (ism_attach_region(dev, token, ISM_READ, NULL, &again) == 0)
		return TOOL_FAILED;
	snprintf(text, sizeof text, "cannot attach again: %s", ism_error_detail());
	tell(t->to_owner[1], text);
	ism_close(dev);
	return TOOL_OK;
}

static int relay(const struct talk *t)
{
	char line[200];

	if (!hear(t->to_owner[0], line, sizeof line)) {
		tool_say("the reader did not do what it should");
		return TOOL_FAILED;
	}
	printf("  reader: %s\n", line);
	return 0;
}

static int write_and_ring(struct ism_region *region, const char *text)
{
	strlcpy(ism_region_addr(region), text, BYTES);
	int r = ism_region_notify(region);
	return r < 0 ? tool_fail(r, "cannot ring") : 0;
}

/* The reader's right is taken, and the other one goes over to a successor: there it finds what comes next. */
static int go_on_without(uint64_t devid, struct ism_region *region, struct ism_region *friends)
{
	struct ism_region *next, *theirs;
	int r = ism_region_grant(region, devid, 0);

	if (r == 0)
		r = ism_region_replace(region, NULL, &next);
	if (r < 0)
		return tool_fail(r, "cannot take the right away");
	puts("  owner:  takes the reader's right away, and gives the region a successor");
	r = ism_attach_successor(friends, ISM_READ, NULL, &theirs);
	if (r < 0)
		return tool_fail(r, "the friend cannot go over");
	r = write_and_ring(next, "the second message");
	if (r != 0)
		return r;
	if (ism_region_wait(theirs, 20 * second) != 1)
		return tool_fail(-1, "the friend heard nothing");
	printf("  friend: has gone over, is rung, and reads: \"%.60s\"\n", (const char *)ism_region_addr(theirs));
	return 0;
}

static int owner(struct ism_device *dev, struct ism_device *friend, const struct talk *t)
{
	struct ism_region *region, *friends;
	uint64_t devid;
	char line[24];
	int r = ism_alloc_region(dev, BYTES, NULL, &region);

	if (r < 0)
		return tool_fail(r, "cannot allocate a region");
	snprintf(line, sizeof line, "%016llx", (unsigned long long)ism_region_token(region));
	tell(t->to_reader[1], line);
	r = relay(t);
	if (r == 0 && ism_region_peers(region, &devid, 1) != 1)	/* who that is */
		return tool_fail(-1, "the reader is not alone");
	if (r == 0 && ism_attach_region(friend, ism_region_token(region), ISM_READ, NULL, &friends) < 0)
		return tool_fail(-1, "the friend cannot attach");
	if (r == 0)
		r = write_and_ring(region, "the first message");
	if (r == 0)
		r = relay(t);
	if (r == 0)
		r = go_on_without(devid, region, friends);
	tell(t->to_reader[1], "go on");
	for (int i = 0; i < 3 && r == 0; i++)
		r = relay(t);
	if (r == 0)
		puts("\n  What a process has mapped it keeps: nobody can take that without its help.  So the\n"
		     "  others leave.");
	return r;
}

static void talk_close(struct talk *t)
{
	for (int i = 0; i < 2; i++) {
		if (t->to_reader[i] >= 0)
			close(t->to_reader[i]);
		if (t->to_owner[i] >= 0)
			close(t->to_owner[i]);
	}
}

int demo_shut_out(struct demo *d)
{
	struct talk t = { { -1, -1 }, { -1, -1 } };
	struct ism_device *dev = NULL, *friend = NULL;
	int status = TOOL_FAILED;

	if (pipe(t.to_reader) < 0 || pipe(t.to_owner) < 0) {
		talk_close(&t);
		return TOOL_FAILED;
	}
	pid_t pid = demo_fork();
	if (pid == 0) {
		close(t.to_reader[1]);
		close(t.to_owner[0]);
		_exit(reader(d, &t));
	}
	close(t.to_reader[0]);
	close(t.to_owner[1]);
	t.to_reader[0] = t.to_owner[1] = -1;
	if (pid > 0)
		status = demo_open(d, &dev);
	if (status == 0)
		status = demo_open(d, &friend);
	if (status == 0)
		status = owner(dev, friend, &t);
	talk_close(&t);		/* a reader that still waits for us ends */
	if (pid > 0) {
		int r = demo_reap(pid);
		status = status != 0 ? status : r;
	}
	ism_close(friend);
	ism_close(dev);
	return status;
}

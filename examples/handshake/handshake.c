/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * handshake.c - two processes meet at a socket, and go on in shared memory.
 */
#include <ism.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s: %s\n", what, ism_strerror(r), ism_error_detail());
		exit(1);
	}
}

/* The side that has something to share: makes a region and says how to find it. */
static void offer(int sock)
{
	struct ism_device *dev;
	struct ism_region *region;
	char ref[ISM_REF_SIZE];

	check(ism_open(NULL, NULL, &dev), "open");
	check(ism_alloc_region(dev, 4096, NULL, &region), "alloc");
	strcpy(ism_region_addr(region), "hello");
	/* The reference is the domain's id and the token: whoever reads it may attach. */
	check(ism_ref_format(region, ref, sizeof ref), "format");
	if (send(sock, ref, sizeof ref, 0) != (ssize_t)sizeof ref)
		exit(1);
	/* The peer answers in the region; a doorbell says when to look. */
	check(ism_region_wait(region, INT64_C(10000000000)), "wait");
	printf("offered %zu bytes, and got back: %s\n", ism_region_requested_size(region),
	       (char *)ism_region_addr(region));
	ism_detach_region(region);
	ism_close(dev);
}

/* The other side: has a socket, and nothing else. */
static void take(int sock)
{
	struct ism_device *dev;
	struct ism_region *region;
	char ref[ISM_REF_SIZE];
	uint64_t gid, token;

	if (recv(sock, ref, sizeof ref, MSG_WAITALL) != (ssize_t)sizeof ref || ref[sizeof ref - 1] != '\0')
		exit(1);
	check(ism_ref_parse(ref, &gid, &token), "parse");
	check(ism_open(NULL, NULL, &dev), "open");
	/* Tokens mean something in their own domain only. */
	if (ism_find_device(gid) != dev) {
		fprintf(stderr, "the peer is in another domain: %016llx\n", (unsigned long long)gid);
		exit(1);
	}
	check(ism_attach_region(dev, token, ISM_READ | ISM_WRITE, NULL, &region), "attach");
	strcat(ism_region_addr(region), " to you too");
	check(ism_region_notify(region), "notify");
	ism_detach_region(region);
	ism_close(dev);
}

int main(void)
{
	int sock[2], status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock) < 0 || (pid = fork()) < 0)
		return 1;
	if (pid == 0) {		/* each process opens its own device, after fork() */
		take(sock[1]);
		return 0;
	}
	offer(sock[0]);
	waitpid(pid, &status, 0);
	return status != 0;
}

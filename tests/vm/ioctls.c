/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ioctls.c - a program in a virtual machine that means harm: anything at all to
 * /dev/ism, from several processes and threads, for some seconds.
 */
#include "kmod/uapi/ism.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES = 3, THREADS = 3, TOKENS = 64, FILES = 4 };

static int files[FILES], event_fd;
static uint64_t tokens[TOKENS], offsets[TOKENS];	/* raced on purpose */
static unsigned long calls;

static const unsigned long requests[] = {
	ISM_IOC_QUERY, ISM_IOC_ALLOC, ISM_IOC_ATTACH, ISM_IOC_DETACH, ISM_IOC_GRANT,
	ISM_IOC_NOTIFY, ISM_IOC_PEERS, ISM_IOC_SET_EVENTFD, ISM_IOC_COMMAND, ISM_IOC_REPLACE,
	ISM_IOC_SUCCESSOR,
};

/* Something that a field may be, or may well not. */
static uint64_t value(unsigned int *seed)
{
	static const uint64_t odd[] = { 0, 1, 2, 3, 7, 4095, 4096, 65536, 65537, 1 << 20, UINT64_C(1) << 31, UINT64_C(1) << 32,
					UINT64_C(1) << 40, INT64_MAX, UINT64_MAX, UINT64_MAX - 4095 };

	switch (rand_r(seed) % 4) {
	case 0:
		return tokens[(unsigned int)rand_r(seed) % TOKENS];
	case 1:
		return (uint64_t)rand_r(seed) << 32 | (uint64_t)rand_r(seed);
	default:
		return odd[(unsigned int)rand_r(seed) % (sizeof odd / sizeof odd[0])];
	}
}

static void remember(const struct ism_ioc_region *r, unsigned int *seed)
{
	unsigned int i = (unsigned int)rand_r(seed) % TOKENS;

	tokens[i] = r->token;
	offsets[i] = r->offset;
}

static void one_ioctl(int fd, unsigned int *seed)
{
	unsigned long request = requests[(unsigned int)rand_r(seed) % (sizeof requests / sizeof requests[0])];
	uint64_t arg[32];

	for (int i = 0; i < 32; i++)
		arg[i] = rand_r(seed) % 3 ? 0 : value(seed);
	arg[0] = value(seed);
	if (rand_r(seed) % 4 == 0)
		request ^= 1UL << (unsigned int)rand_r(seed) % 32;
	if (rand_r(seed) % 8 == 0)
		ioctl(fd, request, value(seed));
	else if (ioctl(fd, request, arg) == 0 &&
		 (request == ISM_IOC_ALLOC || request == ISM_IOC_ATTACH || request == ISM_IOC_REPLACE))
		remember((const struct ism_ioc_region *)arg, seed);
}

static void good_ioctl(int fd, unsigned int *seed)
{
	struct ism_ioc_region r = { .size = 65536U * (1 + (unsigned int)rand_r(seed) % 4) };
	struct ism_ioc_token t = { .token = tokens[(unsigned int)rand_r(seed) % TOKENS] };
	struct ism_ioc_eventfd e = { .token = t.token, .fd = rand_r(seed) % 2 ? event_fd : -1 };
	struct ism_ioc_successor s = { .token = t.token };

	switch (rand_r(seed) % 8) {
	case 0:
		if (ioctl(fd, ISM_IOC_ALLOC, &r) == 0)
			remember(&r, seed);
		break;
	case 1:
		r = (struct ism_ioc_region){ .token = t.token, .rights = rand_r(seed) % 2 ? 1 : 3 };
		if (ioctl(fd, ISM_IOC_ATTACH, &r) == 0)
			remember(&r, seed);
		break;
	case 2:
		ioctl(fd, ISM_IOC_DETACH, &t);
		break;
	case 3:
		ioctl(fd, ISM_IOC_NOTIFY, &t);
		break;
	case 4:
		r = (struct ism_ioc_region){ .token = t.token };
		if (ioctl(fd, ISM_IOC_REPLACE, &r) == 0)
			remember(&r, seed);
		break;
	case 5:
		if (ioctl(fd, ISM_IOC_SUCCESSOR, &s) == 0)
			tokens[(unsigned int)rand_r(seed) % TOKENS] = s.successor;
		break;
	default:
		ioctl(fd, ISM_IOC_SET_EVENTFD, &e);
	}
}

static void one_mapping(int fd, unsigned int *seed)
{
	uint64_t offset = rand_r(seed) % 4 ? offsets[(unsigned int)rand_r(seed) % TOKENS] : value(seed) & ~UINT64_C(4095);
	size_t size = 4096U * (1 + (unsigned int)rand_r(seed) % 64);
	int prot = rand_r(seed) % 4, flags = rand_r(seed) % 4 ? MAP_SHARED : MAP_PRIVATE;
	char *p = mmap(NULL, size, prot, flags, fd, (off_t)(rand_r(seed) % 16 ? offset : ISM_IOC_STATUS_OFFSET));

	if (p == MAP_FAILED)
		return;
	if (rand_r(seed) % 2) {		/* it may be gone already: a child can die of that */
		pid_t pid = fork();
		if (pid == 0) {
			for (size_t i = 0; i < size; i += 4096)
				p[i] = (char)(p[i] + 1);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	if (rand_r(seed) % 2)
		mprotect(p, size / 2 & ~(size_t)4095, rand_r(seed) % 8);
	madvise(p, size, rand_r(seed) % 26);
	munmap(p, size);
}

static void *harm(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	char buf[4096];

	for (;;) {
		unsigned int which = (unsigned int)rand_r(&seed) % FILES;
		int fd = files[which];
		switch (rand_r(&seed) % 16) {
		case 0:
			one_mapping(fd, &seed);
			break;
		case 1:
			if (read(fd, buf, (size_t)rand_r(&seed) % sizeof buf) < 0 && write(fd, buf, 1) == 1)
				abort();
			break;
		case 2:
			if (rand_r(&seed) % 8 == 0) {
				close(fd);	/* under the other threads */
				files[which] = open("/dev/ism", O_RDWR | O_NONBLOCK);
			}
			break;
		case 3:
		case 4:
		case 5:
			good_ioctl(fd, &seed);
			break;
		default:
			one_ioctl(fd, &seed);
		}
		__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void process(unsigned int number, unsigned int seconds)
{
	pthread_t t;

	event_fd = eventfd(0, EFD_NONBLOCK);
	for (int i = 0; i < FILES; i++)
		files[i] = open("/dev/ism", O_RDWR | O_NONBLOCK);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_create(&t, NULL, harm, (void *)(uintptr_t)(number * 100 + i + 1));
	sleep(seconds);
	printf("process %u: %lu calls\n", number, calls);
	fflush(stdout);
	_exit(0);	/* in the middle of everything */
}

/* ------------------------------------------------------------------ what has to be refused, one by one */

static int refusals;

static void refused(const char *what, int r, int err)
{
	if (r == -1 && errno == err)
		return;
	printf("%s: %s\n", what, r == -1 ? strerror(errno) : "done");
	refusals++;
}

static void unmappable(const char *what, int fd, uint64_t offset, size_t size, int prot, int flags)
{
	if (mmap(NULL, size, prot, flags, fd, (off_t)offset) == MAP_FAILED)
		return;
	printf("mapped %s\n", what);
	refusals++;
}

/* A region that both have, and @mine may replace: who gets the successor, and what of it. */
static void replaced(int mine, int other, uint64_t token)
{
	struct ism_ioc_region next = { .token = token }, again = next;
	struct ism_ioc_successor s = { .token = token };
	struct ism_ioc_grant g = { .rights = 7 };
	struct ism_ioc_event ev;

	if (ioctl(mine, ISM_IOC_REPLACE, &next) < 0 || next.token == token) {
		refused("replace", -1, 0);
		return;
	}
	refused("replaced twice", ioctl(mine, ISM_IOC_REPLACE, &again), EALREADY);
	if (read(other, &ev, sizeof ev) != sizeof ev || ev.type != ISM_IOC_EV_MOVED || ev.token != token)
		refused("the other context told", -1, 0);
	if (ioctl(other, ISM_IOC_SUCCESSOR, &s) < 0 || s.successor != next.token || s.others != 1)
		refused("the other context asking", -1, 0);
	unmappable("a successor that was not attached", other, next.offset, next.size, PROT_READ, MAP_SHARED);
	struct ism_ioc_region reading = { .token = next.token, .rights = 1 };
	if (ioctl(other, ISM_IOC_ATTACH, &reading) == 0)
		unmappable("a successor for writing", other, next.offset, next.size, PROT_READ | PROT_WRITE, MAP_SHARED);
	g.token = next.token;
	refused("a successor granted by who only attached", ioctl(other, ISM_IOC_GRANT, &g), EPERM);
}

/* A region of one context: its length, its rights, and that it is of nobody else's. */
static void one_by_one(void)
{
	int mine = open("/dev/ism", O_RDWR), other = open("/dev/ism", O_RDWR), efd = eventfd(0, 0);
	struct ism_ioc_region r = { .size = 2 * 65536 };

	if (ioctl(mine, ISM_IOC_ALLOC, &r) < 0) {
		refused("alloc", -1, 0);
		return;
	}
	struct ism_ioc_token t = { .token = r.token };
	struct ism_ioc_eventfd e = { .token = r.token, .fd = efd };
	struct ism_ioc_grant g = { .token = r.token, .rights = 7 };
	struct ism_ioc_peers p = { .token = r.token };
	struct ism_ioc_region next = { .token = r.token };
	struct ism_ioc_successor s = { .token = r.token };

	unmappable("more than the region", mine, r.offset, r.size + 4096, PROT_READ, MAP_SHARED);
	unmappable("beyond the region", mine, r.offset + r.size, 4096, PROT_READ, MAP_SHARED);
	unmappable("across its end", mine, r.offset + r.size - 4096, 8192, PROT_READ, MAP_SHARED);
	unmappable("the whole window", mine, 0, (size_t)1 << 30, PROT_READ, MAP_SHARED);
	unmappable("a copy", mine, r.offset, r.size, PROT_READ, MAP_PRIVATE);
	unmappable("another context's", other, r.offset, r.size, PROT_READ, MAP_SHARED);
	unmappable("a writable status", mine, ISM_IOC_STATUS_OFFSET, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
	refused("another context's doorbell taken", ioctl(other, ISM_IOC_SET_EVENTFD, &e), ENOENT);
	refused("another context's region rung", ioctl(other, ISM_IOC_NOTIFY, &t), ENOENT);
	refused("another context's region detached", ioctl(other, ISM_IOC_DETACH, &t), ENOENT);
	refused("another context's region granted", ioctl(other, ISM_IOC_GRANT, &g), ENOENT);
	refused("another context's peers listed", ioctl(other, ISM_IOC_PEERS, &p), ENOENT);
	refused("another context's region replaced", ioctl(other, ISM_IOC_REPLACE, &next), ENOENT);
	refused("another context's successor asked for", ioctl(other, ISM_IOC_SUCCESSOR, &s), ENOENT);
	refused("a successor where there is none", ioctl(mine, ISM_IOC_SUCCESSOR, &s), ENOENT);
	struct ism_ioc_region reading = { .token = r.token, .rights = 1 };
	if (ioctl(other, ISM_IOC_ATTACH, &reading) == 0)
		unmappable("for writing what is attached for reading", other, r.offset, r.size, PROT_READ | PROT_WRITE, MAP_SHARED);
	reading.rights = 1;
	if (ioctl(other, ISM_IOC_ATTACH, &reading) < 0 || reading.rights & 8)
		refused("told what only the other context may do", -1, 0);
	refused("granted by who only attached", ioctl(other, ISM_IOC_GRANT, &g), EPERM);
	refused("replaced by who only attached", ioctl(other, ISM_IOC_REPLACE, &next), EPERM);
	next.size = r.size;
	refused("replaced by another size", ioctl(mine, ISM_IOC_REPLACE, &next), EINVAL);
	s.reserved0 = 1;
	refused("a reserved field", ioctl(mine, ISM_IOC_SUCCESSOR, &s), EINVAL);
	replaced(mine, other, r.token);
	struct ism_ioc_region nothing = { .size = 0 };
	refused("nothing allocated", ioctl(mine, ISM_IOC_ALLOC, &nothing), EINVAL);
	close(other);
	close(mine);
	close(efd);
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 1 ? (unsigned int)atoi(argv[1]) : 10;
	int status, failed = 0;

	one_by_one();
	if (refusals > 0)
		return 2;
	for (unsigned int i = 0; i < PROCESSES; i++) {
		if (fork() == 0)
			process(i, seconds);
	}
	while (wait(&status) > 0)
		failed |= status != 0;
	return failed;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * trap.c - memory that stops whoever touches it.
 */
#include "trap.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

static struct trap *_Atomic traps[TRAPS];

/* In the thread that touched it.  Nothing but system calls. */
static void sprung(int sig, siginfo_t *info, void *context)
{
	const uint8_t *at = info->si_addr;

	(void)context;
	for (unsigned int i = 0; i < TRAPS; i++) {
		struct trap *t = atomic_load(&traps[i]);
		uint64_t word = 1;
		if (t == NULL || at < t->bytes || at >= t->bytes + t->size)
			continue;
		if (write(t->there.fd[1], &word, sizeof word) == sizeof word && read(t->go.fd[0], &word, sizeof word) == sizeof word &&
		    mprotect(t->bytes, t->size, PROT_READ | PROT_WRITE) == 0)
			return;
	}
	signal(sig, SIG_DFL);
}

void trap_open(struct trap *trap, size_t size)
{
	struct sigaction action = { .sa_sigaction = sprung, .sa_flags = SA_SIGINFO };
	struct trap *none;
	unsigned int i = 0;

	trap->size = size;
	trap->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(trap->bytes, MAP_FAILED);
	channel_open(&trap->there);
	channel_open(&trap->go);
	do {
		none = NULL;
		ck_assert_uint_lt(i, TRAPS);
	} while (!atomic_compare_exchange_strong(&traps[i++], &none, trap));
	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

void trap_close(struct trap *trap)
{
	for (unsigned int i = 0; i < TRAPS; i++) {
		struct trap *it = trap;
		atomic_compare_exchange_strong(&traps[i], &it, NULL);
	}
	channel_close(&trap->there);
	channel_close(&trap->go);
	munmap(trap->bytes, trap->size);
}

void trap_set(struct trap *trap, size_t at)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	ck_assert_int_eq(mprotect(trap->bytes + at / page * page, page, PROT_NONE), 0);
}

void trap_wait(struct trap *trap)
{
	channel_get(&trap->there);
}

void trap_go(struct trap *trap)
{
	channel_put(&trap->go, 1);
}

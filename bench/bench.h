/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * bench.h - what the measuring programs share.
 *
 * Machines drift: clocks, noisy neighbours, a hypervisor that moves cores
 * apart.  So nothing here is a time to be believed alone.  What is compared is
 * measured in turns, round by round, and the figure is the median over the rounds
 * of the ratio within one round.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { BENCH_ROUNDS_MAX = 64 };

/* Something measured once per round, in nanoseconds or whatever it counts. */
struct bench_series {
	const char *name;
	double value[BENCH_ROUNDS_MAX];
	unsigned int nr;
};

void bench_add(struct bench_series *s, double value);
double bench_median(const struct bench_series *s);
/* The median over the rounds of a / b. */
double bench_ratio(const struct bench_series *a, const struct bench_series *b);

/* One line: what, the figure, the target, and whether it is met.  Counts misses. */
void bench_target(const char *what, double figure, double target, const char *unit);
unsigned int bench_misses(void);

double bench_now_ns(void);
/* CPUs that the process may use, asked before the first bench_pin(). */
unsigned int bench_cpus(void);
/* Run on this CPU alone: the first or the second that the process may use. */
void bench_pin(unsigned int which);
/* On all of them again. */
void bench_unpin(void);
/* Zeroed memory that forked children share. */
void *bench_shared(size_t bytes);
/* Print the message and why, and exit; bench_name stands before it.  @r: -1, with errno, or of the library. */
extern const char *bench_name;
void bench_die(const char *what) __attribute__((noreturn));
void bench_failed(const char *what, long r) __attribute__((noreturn));
/* @expr must not be negative. */
#define bench_ok(expr)                                                                                                 \
	__extension__({                                                                                                \
		long bench_ret_ = (long)(expr);                                                                        \
		if (bench_ret_ < 0)                                                                                    \
			bench_failed(#expr, bench_ret_);                                                               \
		bench_ret_;                                                                                            \
	})

/* A child on the second CPU, if there are two; killed if this process dies, which ends if it fails.  Expects status 0. */
pid_t bench_fork(void (*main)(void *arg), void *arg);
void bench_join(pid_t pid);

/* Resident bytes and open descriptors of a process. */
double bench_rss(pid_t pid);
double bench_fds(pid_t pid);

/* A domain of its own: ismd at emu:DIR/d, and its uri. */
struct bench_domain {
	char dir[64], uri[96];
	pid_t ismd;
};
void bench_domain_open(struct bench_domain *d);
void bench_domain_close(struct bench_domain *d);

#endif /* BENCH_H */

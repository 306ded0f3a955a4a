/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * harness.h - two pinned ends exchange messages over one transport after another.
 *
 * A transport is a handful of functions.  For each size of message two fresh
 * processes (or two threads of one) play ping-pong, then the first one pours.
 * Each figure is a line: name <TAB> metric <TAB> bytes <TAB> value.
 */
#ifndef PEERS_HARNESS_H
#define PEERS_HARNESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One end; @state is the transport's. */
struct end {
	unsigned int side;	/* 0 sends first and holds the clock; 1 echoes and receives */
	size_t bytes;		/* of a message */
	void *shared;		/* what create() returned, before the fork */
	void *state;
};

/* The first byte of a message. */
enum { MORE, LAST };

enum {
	TRIPS_ONLY = 1,		/* no one-way measurement */
	THREADS = 2,		/* the ends are threads of one process */
	STREAM_ONLY = 8,	/* no round trips: it gathers messages until one is the last, or there are enough */
	SLEEPS = 4,		/* its ends sleep: can be measured on one CPU as well */
};

struct transport {
	const char *name;
	size_t max_bytes;	/* 0: any */
	unsigned int flags;
	/* Before the fork: what both ends are to know.  May be NULL. */
	void *(*create)(size_t bytes);
	int (*open)(struct end *e);
	/* One message of that many bytes.  0 on success. */
	int (*send)(struct end *e, const void *buf, size_t bytes);
	int (*recv)(struct end *e, void *buf, size_t bytes);
	void (*close)(struct end *e);
};

/*
 * usage: PROGRAM [-l] [-1] [-m MS] [-s BYTES]... [TRANSPORT...]
 *   -l  list the transports   -1  both ends on one CPU, those that sleep only
 *   -m  of each measurement, default 100   -s  sizes, default 8 B to 1 MiB
 */
int peers_main(int argc, char **argv, const struct transport *table, size_t nr);

/* The figures' output, also for what is no transport. */
void peers_emit(const char *name, const char *metric, size_t bytes, double value);
struct bench_histogram;
/* METRIC_p50 and so on, of times in nanoseconds. */
void peers_emit_times(const char *name, const char *metric, size_t bytes, const struct bench_histogram *h);

/* Zeroed memory that both ends share.  Ends the program on failure. */
void *peers_shared(size_t bytes);

static inline void peers_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

#ifdef __cplusplus
}
#endif

#endif /* PEERS_HARNESS_H */

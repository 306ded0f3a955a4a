/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * tcp.h - a TCP connection between two machines, to measure shared memory beside.
 */
#ifndef ISM_TESTS_TCP_H
#define ISM_TESTS_TCP_H

#include <stdint.h>

/* Two connections, one after the other.  A negative errno, or 0. */
int64_t tcp_serve(void);
/* Nanoseconds for a byte there and back. */
int64_t tcp_bounce(const char *address, uint64_t nr);
/* MB/s. */
int64_t tcp_copy(const char *address);

#endif /* ISM_TESTS_TCP_H */

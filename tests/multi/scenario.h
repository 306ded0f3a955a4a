/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * scenario.h - a short life of a device that uses everything once: what the
 * failure tests kill at every step.
 */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <stdint.h>

/* Use the domain at @uri, and attach the region @token of another device unless it is 0: 0 or a negative errno. */
int scenario(const char *uri, uint64_t token, uint32_t timeout_ms);

/* corners.c: what that leaves out. */
int corners(const char *uri);
int corner_default_path(const char *dir);
int corner_test_domain(void);
int corner_faults(uint32_t flags);

#endif /* SCENARIO_H */

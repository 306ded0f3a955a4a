/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * hostile.h - what the attacks of hostile.c and garbage.c share.
 */
#ifndef ISM_TESTS_HOSTILE_H
#define ISM_TESTS_HOSTILE_H

#include "raw.h"

extern struct raw dev;
extern uint64_t last_token;	/* of a region that was allocated */

/* False; the reason is for the answer. */
bool fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The device serves a driver that behaves. */
bool works(void);
/* The last command's. */
unsigned int status(void);

/* Attacks for some seconds. */
bool garbage_rings(uint64_t seconds);
bool garbage_commands(uint64_t seconds);
bool wrong_setup(uint64_t seconds);

#endif /* ISM_TESTS_HOSTILE_H */

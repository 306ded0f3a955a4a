/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * trap.h - memory that stops whoever touches one of its pages, until it is let go:
 * in the middle of a call of the library that copies from it or to it.
 */
#ifndef TRAP_H
#define TRAP_H

#include "harness.h"

#include <stddef.h>

struct trap {
	uint8_t *bytes;
	size_t size;
	struct channel there, go;
};

/* Up to TRAPS of them, shared with children. */
enum { TRAPS = 4 };
void trap_open(struct trap *trap, size_t size);
void trap_close(struct trap *trap);
/* Stop at the page that has this byte. */
void trap_set(struct trap *trap, size_t at);
/* Until somebody has been stopped; let him go on. */
void trap_wait(struct trap *trap);
void trap_go(struct trap *trap);

#endif /* TRAP_H */

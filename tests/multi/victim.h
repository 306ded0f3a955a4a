/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * victim.h - a daemon that ends, as of SIGKILL, at one of its system calls.
 */
#ifndef VICTIM_H
#define VICTIM_H

#include <stdbool.h>
#include <sys/types.h>

/* The daemon of the domain "d", with a keeper or without, that ends at its @point-th call. */
pid_t victim_ismd(unsigned int point, bool kept);
/* Has this child not ended yet? */
bool victim_lives(pid_t pid);

#endif /* VICTIM_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * board.h - the application: a notice board that other processes read.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

struct board;

/* Open one; 0 or a negative errno, and then nothing is left of it. */
int board_open(struct board **ret);
void board_close(struct board *b);

/* What a reader needs. */
uint64_t board_token(const struct board *b);

/* Put up a notice, and tell the readers: 0, or a negative errno, and the old one stays. */
int board_post(struct board *b, const char *notice);
/* The notice that is up. */
const char *board_notice(const struct board *b);

#endif /* BOARD_H */

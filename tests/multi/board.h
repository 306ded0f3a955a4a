/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * board.h - those who play when a peer is shut out: a writer and a reader who go on,
 * and the one who does not.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdatomic.h>
#include <stdint.h>

/* The region: a ring in the first half, words of everybody's in the second. */
enum { SIZE = 256 * 1024, RING = SIZE / 2 };

enum outcast { WRITES, READS, IGNORES, STOPPED, SCRIBBLES, NOBODY };

/* What all processes of a test see. */
struct board {
	char uri[160];
	enum outcast kind;
	_Atomic uint64_t token, outcast;	/* of the region; devid of the one shut out */
	_Atomic uint32_t ready, go, replaced, over, tell, stop, done, left;
	_Atomic uint64_t written, read;
	_Atomic int broken;			/* the reader's -EPROTO: what only one that writes over all may cause */
};

struct board *board_new(const char *uri, enum outcast kind);
/* Until it is not 0. */
void board_wait(const _Atomic uint32_t *word);
/* Processes of their own: 0, or 1 if something was not as it should be. */
int board_writer(void *board);
int board_reader(void *board);
int board_outcast(void *board);

/* However long the next daemon takes to start. */
extern const struct ism_open_opts board_patient;

#endif /* BOARD_H */

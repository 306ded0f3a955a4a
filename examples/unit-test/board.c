/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * board.c - the application: a notice board that other processes read.
 */
#include "board.h"

#include <errno.h>
#include <ism.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTICE = 4096 };

struct board {
	struct ism_device *dev;
	struct ism_region *notice, *archive;
};

int board_open(struct board **ret)
{
	struct board *b = calloc(1, sizeof *b);
	int r;

	if (b == NULL)
		return -ENOMEM;
	r = ism_open(NULL, NULL, &b->dev);
	if (r == 0)
		r = ism_alloc_region(b->dev, NOTICE, NULL, &b->notice);
	if (r == 0)
		r = ism_alloc_region(b->dev, NOTICE, NULL, &b->archive);
	if (r == 0)
		r = ism_region_grant_default(b->notice, ISM_READ | ISM_ATTACH);
	if (r < 0) {
		board_close(b);
		return r;
	}
	*ret = b;
	return 0;
}

void board_close(struct board *b)
{
	ism_detach_region(b->archive);
	ism_detach_region(b->notice);
	ism_close(b->dev);
	free(b);
}

uint64_t board_token(const struct board *b)
{
	return ism_region_token(b->notice);
}

int board_post(struct board *b, const char *notice)
{
	int r;

	if (strlen(notice) >= NOTICE)
		return -EMSGSIZE;
	memcpy(ism_region_addr(b->archive), ism_region_addr(b->notice), NOTICE);
	snprintf(ism_region_addr(b->notice), NOTICE, "%s", notice);
	r = ism_region_notify(b->notice);
	if (r < 0)	/* not all readers know: take it down again */
		memcpy(ism_region_addr(b->notice), ism_region_addr(b->archive), NOTICE);
	return r;
}

const char *board_notice(const struct board *b)
{
	return ism_region_addr(b->notice);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * garbage.c - anything at all in queues, commands and registers, for some seconds.
 * The same each time: the seeds are fixed.
 */
#include "hostile.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* An address, maybe; none in memory that is not ours, which the device would rightly write. */
static uint64_t any(unsigned int *seed)
{
	switch (rand_r(seed) % 4) {
	case 0:
		return (uint64_t)rand_r(seed) % 4;
	case 1:
		return dev.spare.gpa + (uint64_t)rand_r(seed) % (RAW_PAGE / 2);
	case 2:
		return dev.window_gpa + (uint64_t)rand_r(seed) % dev.window_size;
	default:
		return UINT64_C(1) << 40 | (uint64_t)rand_r(seed) << 33 | (uint64_t)rand_r(seed);
	}
}

static void scribble(struct raw_page *p, unsigned int *seed)
{
	for (size_t at = 0; at < RAW_PAGE; at += 8)
		raw_le(p->at + at, any(seed), 8);
}

bool garbage_rings(uint64_t seconds)
{
	unsigned int seed = 1;
	time_t end = time(NULL) + (time_t)seconds;

	while (time(NULL) < end) {
		raw_start(&dev, rand_r(&seed) % 4 ? F_EXT : 0);
		for (int i = 0; i < 8; i++) {
			struct raw_queue *q = &dev.q[rand_r(&seed) % RAW_QUEUES];
			struct raw_page *page[] = { &q->desc, &q->avail, &q->used, &dev.request };
			scribble(page[rand_r(&seed) % 4], &seed);
			raw_le(q->avail.at + 2, (uint64_t)rand_r(&seed) % 80, 2);
			raw_kick(&dev, (unsigned int)(q - dev.q));
		}
		usleep(500);
	}
	return works();
}

bool garbage_commands(uint64_t seconds)
{
	unsigned int seed = 2;
	time_t end = time(NULL) + (time_t)seconds;
	uint8_t req[64];

	raw_start(&dev, F_EXT);
	while (time(NULL) < end) {
		size_t len = (size_t)rand_r(&seed) % sizeof req;
		for (size_t i = 0; i + 8 <= sizeof req; i += 8)
			raw_le(req + i, any(&seed), 8);
		req[0] = (uint8_t[]){ 0, 1, 2, 3, 4, 0x80, 0x81, 0xff }[rand_r(&seed) % 8];
		req[1] = (uint8_t)(rand_r(&seed) % 10);
		if (rand_r(&seed) % 2)
			raw_le(req + 2, last_token, 8);
		long n = raw_command(&dev, req, len, (size_t)rand_r(&seed) % 128);
		if (n < 0)
			return fail("no answer to command %u.%u with %zu bytes", req[0], req[1], len);
		if (n >= 9 && req[0] != 0x80 && status() == 0)
			last_token = raw_number(dev.reply.at + 1, 8);
	}
	return works();
}

/* Queues where there is no memory, of sizes there are not, in orders that nobody expects. */
bool wrong_setup(uint64_t seconds)
{
	unsigned int seed = 3;
	time_t end = time(NULL) + (time_t)seconds;

	while (time(NULL) < end) {
		if (rand_r(&seed) % 2)
			raw_start(&dev, rand_r(&seed) % 2 ? UINT32_MAX : F_EXT);
		for (int i = 0; i < 12; i++) {
			raw_put16(&dev, COMMON_SELECT, (uint16_t)(rand_r(&seed) % 5));
			switch (rand_r(&seed) % 6) {
			case 0:
				raw_put16(&dev, COMMON_SIZE, (uint16_t)(rand_r(&seed) % 3 ? 1 << rand_r(&seed) % 16 : rand_r(&seed)));
				break;
			case 1:
				raw_put64(&dev, (unsigned int[]){ COMMON_DESC, COMMON_AVAIL, COMMON_USED }[rand_r(&seed) % 3], any(&seed));
				break;
			case 2:
				raw_put16(&dev, COMMON_ENABLE, (uint16_t)(rand_r(&seed) % 3));
				break;
			case 3:
				raw_status(&dev, (uint8_t)(rand_r(&seed) % 16));
				break;
			case 4:
				dev.config[rand_r(&seed) % 32] = (uint8_t)rand_r(&seed);
				break;
			default:
				raw_kick(&dev, (unsigned int)(rand_r(&seed) % RAW_QUEUES));
			}
		}
	}
	return works();
}

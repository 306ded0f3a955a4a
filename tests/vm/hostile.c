/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * hostile.c - a virtual machine that means harm: it drives its device itself, by
 * raw.h, and does what a kernel's driver never would.  One attack a line on standard
 * input; the answer is "ok ..." if the device did as it should, else "error ...".  What
 * became of the others is for the host to see: suite.py asks it after each.
 */
#include "hostile.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALLOC = 0x0000, ATTACH = 0x0100, DETACH = 0x0200, GRANT_DEFAULT = 0x0300, GRANT_DEVICE = 0x0301, VECTOR = 0x0400,
       REPLACE = 0x8002, LIST = 0x8004, KICK = 0x8007, SUCCESSOR = 0x8008 };
enum { S_OK = 0, S_ENOENT = 2, S_E2BIG = 7, S_ERR = 255 };
enum { ALLOC_REPLY = 1 + 8 + 8 + 16, REPLACE_REPLY = 1 + 40, SUCCESSOR_REPLY = 1 + 16, WRITTEN_OVER = 0xa5 };

struct raw dev;
uint64_t last_token;
static uint64_t last_offset, last_size;
static char why[200];

bool fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof why, format, args);
	va_end(args);
	return false;
}

/* ------------------------------------------------------------------ commands */

/* @cmd with @nr numbers of 64 bits, and room for @cap bytes; what was used of that, or -1. */
static long command(unsigned int cmd, size_t cap, unsigned int nr, ...)
{
	uint8_t req[64], *p = req;
	va_list args;

	*p++ = (uint8_t)(cmd >> 8);
	*p++ = (uint8_t)cmd;
	va_start(args, nr);
	while (nr-- > 0)
		p = raw_le(p, va_arg(args, uint64_t), 8);
	va_end(args);
	return raw_command(&dev, req, (size_t)(p - req), cap);
}

unsigned int status(void)
{
	return dev.reply.at[0];
}

static bool alloc(uint64_t size)
{
	long n = command(ALLOC, 64, 1, size);

	if (n != ALLOC_REPLY || status() != S_OK)
		return fail("alloc of %" PRIu64 " bytes: %ld bytes of answer, status %u", size, n, status());
	last_token = raw_number(dev.reply.at + 1, 8);
	last_offset = raw_number(dev.reply.at + 17, 8);
	last_size = raw_number(dev.reply.at + 25, 8);
	if (raw_number(dev.reply.at + 9, 8) != 1 || last_offset % RAW_CHUNK != 0 || last_size > dev.window_size ||
	    last_offset > dev.window_size - last_size)
		return fail("an area of %" PRIu64 " at %" PRIu64, last_size, last_offset);
	return true;
}

static bool detach(uint64_t token)
{
	long n = command(DETACH, 64, 1, token);

	return (n == 1 && status() == S_OK) || fail("detach: %ld bytes of answer, status %u", n, status());
}

bool works(void)
{
	raw_start(&dev, F_EXT);
	return alloc(1) && detach(last_token);
}

/* ------------------------------------------------------------------ attacks: replies, sizes, tokens */

static bool short_replies(uint64_t unused)
{
	(void)unused;
	raw_start(&dev, F_EXT);
	for (size_t cap = 0; cap < ALLOC_REPLY; cap++) {
		long n = command(ALLOC, cap, 1, (uint64_t)RAW_CHUNK);
		if (n != (cap > 0) || (cap > 0 && status() != S_E2BIG))
			return fail("room for %zu bytes: %ld used, status %u", cap, n, status());
	}
	return works();
}

static bool leaks(uint64_t unused)
{
	static const unsigned int commands[] = { ALLOC, ATTACH, DETACH, GRANT_DEFAULT, GRANT_DEVICE, VECTOR,
						 LIST, 0x7777, 0x8003, REPLACE, SUCCESSOR };

	(void)unused;
	raw_start(&dev, F_EXT);
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		for (unsigned int nr = 0; nr < 4; nr++) {
			long n = command(commands[i], RAW_PAGE, nr, UINT64_C(1), UINT64_C(2), UINT64_C(3));
			if (n < 1 || n > RAW_PAGE)
				return fail("command 0x%04x with %u numbers: %ld bytes of answer", commands[i], nr, n);
			if (status() != S_OK && n != 1)
				return fail("command 0x%04x refused with %ld bytes of answer", commands[i], n);
			for (size_t at = (size_t)n; at < RAW_PAGE; at++) {
				if (dev.reply.at[at] != WRITTEN_OVER)
					return fail("command 0x%04x wrote at %zu, behind its %ld bytes", commands[i], at, n);
			}
			if (commands[i] == ALLOC && status() == S_OK && !detach(raw_number(dev.reply.at + 1, 8)))
				return false;
		}
	}
	return works();
}

static bool sizes(uint64_t unused)
{
	static const uint64_t odd[] = { 1, 65535, 65536, 65537, 5 * 65536 - 1 };

	(void)unused;
	raw_start(&dev, F_EXT);
	for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		if (!alloc(odd[i]))
			return false;
		if (last_size != (odd[i] + RAW_CHUNK - 1) / RAW_CHUNK * RAW_CHUNK)
			return fail("%" PRIu64 " bytes became %" PRIu64, odd[i], last_size);
		if (!detach(last_token))
			return false;
	}
	if (command(ALLOC, 64, 1, UINT64_C(0)) != 1 || status() == S_OK)
		return fail("nothing was allocated");
	if (command(ATTACH, 64, 2, UINT64_C(0), UINT64_C(3)) != 1 || status() == S_OK)
		return fail("token 0 was attached");
	for (uint64_t size = dev.window_size + 1; size != 0; size = size > UINT64_MAX / 2 ? 0 : size * 2 + 1) {
		if (command(ALLOC, 64, 1, size) != 1 || status() == S_OK)
			return fail("%" PRIu64 " bytes: status %u", size, status());
	}
	return works();
}

static bool bad_tokens(uint64_t unused)
{
	(void)unused;
	raw_start(&dev, F_EXT);
	for (uint64_t i = 1; i < 5; i++) {
		if (command(ATTACH, 64, 2, i << 60 | i, UINT64_C(3)) != 1 || status() != S_ENOENT)
			return fail("a token that does not exist: status %u", status());
		if (command(DETACH, 64, 1, i) != 1 || status() == S_OK)
			return fail("detached what was never attached");
	}
	return works();
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Not to be foreseen, and not used again. */
static bool unique_tokens(uint64_t unused)
{
	enum { MANY = 256 };
	uint64_t token[MANY], differ = 0;

	(void)unused;
	raw_start(&dev, F_EXT);
	for (int i = 0; i < MANY; i++) {
		if (!alloc(1) || !detach(last_token))
			return false;
		token[i] = last_token;
		differ |= i > 0 ? token[i] ^ token[i - 1] : 0;
	}
	if (~differ != 0)
		return fail("bits that never changed: %016" PRIx64, ~differ);
	qsort(token, MANY, sizeof token[0], by_value);
	for (int i = 1; i < MANY; i++) {
		if (token[i] - token[i - 1] < UINT64_C(1) << 32)
			return fail("two tokens are neighbours");
	}
	return true;
}

/* A region that is another's, and private: nothing can be done to it. */
static bool foreign(uint64_t token)
{
	raw_start(&dev, F_EXT);
	for (int i = 0; i < 2; i++) {
		if (command(DETACH, 64, 1, token) != 1 || status() == S_OK ||
		    command(GRANT_DEFAULT, 64, 2, token, UINT64_C(7)) != 1 || status() == S_OK ||
		    command(GRANT_DEVICE, 64, 3, token, UINT64_C(15), UINT64_C(1)) != 1 || status() == S_OK ||
		    command(VECTOR, 64, 2, token, UINT64_C(0)) != 1 || status() == S_OK ||
		    command(LIST, RAW_PAGE, 2, token, UINT64_C(0)) != 1 || status() == S_OK ||
		    command(KICK, 64, 1, UINT64_C(1)) != 1 || status() == S_OK ||
		    command(REPLACE, 64, 2, token, (uint64_t)RAW_CHUNK) != 1 || status() == S_OK ||
		    command(SUCCESSOR, 64, 1, token) != 1 || status() == S_OK)
			return fail("done to another's region: status %u", status());
		if (command(ATTACH, 64, 2, token, UINT64_C(3)) != 1 || status() != S_ENOENT)
			return fail("attached another's region: status %u", status());
	}
	return true;
}

/* A region replaced wrongly, then again and again: all of that is this device's, and goes with it. */
static bool successors(uint64_t unused)
{
	enum { MANY = 200 };
	uint64_t token[MANY + 1];

	(void)unused;
	raw_start(&dev, F_EXT);
	if (!alloc(1))
		return false;
	token[0] = last_token;
	for (uint64_t size = 0; size <= 2 * RAW_CHUNK; size += RAW_CHUNK / 2) {
		if (size != RAW_CHUNK && (command(REPLACE, 64, 2, token[0], size) != 1 || status() != S_ERR))
			return fail("a successor of %" PRIu64 " bytes: status %u", size, status());
	}
	if (command(REPLACE, REPLACE_REPLY - 1, 2, token[0], (uint64_t)RAW_CHUNK) != 1 || status() != S_E2BIG ||
	    command(REPLACE, 64, 2, token[0] ^ 1, (uint64_t)RAW_CHUNK) != 1 || status() != S_ENOENT ||
	    command(SUCCESSOR, 64, 1, token[0]) != 1 || status() != S_ENOENT)
		return fail("a successor that cannot be: status %u", status());
	for (int i = 0; i < MANY; i++) {
		if (command(REPLACE, 64, 2, token[i], (uint64_t)RAW_CHUNK) != REPLACE_REPLY || status() != S_OK)
			return fail("successor %d: status %u", i, status());
		token[i + 1] = raw_number(dev.reply.at + 1, 8);
		if (command(REPLACE, 64, 2, token[i], (uint64_t)RAW_CHUNK) != 1 || status() != S_ENOENT)
			return fail("replaced twice: status %u", status());
	}
	for (int i = 1; i < MANY; i++) {	/* from the middle, so that the first's is the last */
		if (!detach(token[i]))
			return false;
	}
	if (command(SUCCESSOR, 64, 1, token[0]) != SUCCESSOR_REPLY || raw_number(dev.reply.at + 1, 8) != token[MANY])
		return fail("the last successor: status %u", status());
	return works();
}

static bool vectors(uint64_t unused)
{
	static const uint16_t vector[] = { 0, 1, 2, 7, 0x7fff, 0xfffe, 0xffff };

	(void)unused;
	raw_start(&dev, F_EXT);
	if (!alloc(1))
		return false;
	for (uint64_t v = 1; v != 0; v <<= 7) {
		if (command(VECTOR, 64, 2, last_token, v - 1) != 1 || status() == S_OK)
			return fail("vector %" PRIu64 " of a device that has none: status %u", v - 1, status());
	}
	for (size_t i = 0; i < sizeof vector / sizeof vector[0]; i++) {
		raw_put16(&dev, COMMON_MSIX, vector[i]);
		for (uint16_t q = 0; q < 5; q++) {
			raw_put16(&dev, COMMON_SELECT, q);
			raw_put16(&dev, COMMON_VECTOR, vector[i]);
		}
		if (!detach(last_token) || !alloc(1))
			return false;
	}
	return works();
}

/* ------------------------------------------------------------------ attacks: window, doorbells */

static volatile uint64_t *in_window(uint64_t offset)
{
	return (volatile uint64_t *)(volatile void *)(dev.window + offset);
}

static bool nothing_at(uint64_t offset)
{
	uint64_t before = *in_window(offset);

	*in_window(offset) = UINT64_C(0x1122334455667788);
	uint64_t after = *in_window(offset);
	return (before == 0 && after == 0) ||
	       fail("at %" PRIu64 " of the window: %" PRIx64 ", then %" PRIx64, offset, before, after);
}

static bool empty_window(uint64_t unused)
{
	(void)unused;
	raw_start(&dev, F_EXT);
	for (uint64_t at = 0; at < dev.window_size; at = at * 2 + 4096) {
		if (!nothing_at(at))
			return false;
	}
	if (!nothing_at(dev.window_size - 8) || !alloc(1))
		return false;
	/* Without KVM, QEMU's processors learn of a change after it has answered. */
	for (int ms = 0; ms < 30000 && *in_window(last_offset) != 1; ms++) {
		*in_window(last_offset) = 1;
		usleep(ms > 0 ? 1000 : 0);
	}
	if (*in_window(last_offset) != 1)
		return fail("a region that keeps nothing");
	if ((last_offset > 0 && !nothing_at(last_offset - 8)) || !nothing_at(last_offset + last_size))
		return false;
	if (!detach(last_token))
		return false;
	for (int ms = 0; ms < 30000 && *in_window(last_offset) != 0; ms++)
		usleep(1000);
	return nothing_at(last_offset) && works();
}

static bool notify_nowhere(uint64_t unused)
{
	(void)unused;
	raw_start(&dev, F_EXT);
	if (!alloc(3 * RAW_CHUNK))
		return false;
	uint64_t token = last_token, offset = last_offset;
	for (int round = 0; round < 2; round++) {
		const uint64_t odd[] = { offset, offset + 1, offset + RAW_CHUNK, offset + 3 * RAW_CHUNK, dev.window_size - RAW_CHUNK,
					 dev.window_size, INT64_MAX, UINT64_MAX, UINT64_MAX - 65535 };
		for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
			struct raw_buf buf = { dev.request.gpa, 8, 0 };
			raw_le(dev.request.at, odd[i], 8);
			raw_offer(&dev, RAW_NOTIFY, &buf, 1);
			raw_kick(&dev, RAW_NOTIFY);
			if (raw_used(&dev, RAW_NOTIFY, 30000) != 0)
				return fail("a doorbell at %" PRIx64 " is not taken", odd[i]);
		}
		if (round == 0 && !detach(token))
			return false;
	}
	for (uint32_t len = 0; len < 20; len++) {
		struct raw_buf buf = { dev.request.gpa, len == 19 ? UINT32_MAX : len, len % 3 == 0 ? DESC_WRITE : 0 };
		raw_offer(&dev, RAW_NOTIFY, &buf, 1);
		raw_kick(&dev, RAW_NOTIFY);
		if (raw_used(&dev, RAW_NOTIFY, 200) < 0)
			raw_start(&dev, F_EXT);		/* it stands still: that is an answer */
	}
	return works();
}

/* Requests, replies and events in the window, in memory that is not there, in registers. */
static bool buffers_elsewhere(uint64_t unused)
{
	uint64_t place[6];

	(void)unused;
	raw_start(&dev, F_EXT);
	if (!alloc(1))
		return false;
	place[0] = dev.window_gpa + last_offset;
	place[1] = dev.window_gpa + dev.window_size / 2;
	place[2] = UINT64_C(0xfee00000);
	place[3] = UINT64_C(1) << 46;
	place[4] = UINT64_MAX - 7;
	place[5] = dev.window_gpa + last_offset + last_size - 1;
	for (int i = 0; i < 6 * 3; i++) {
		struct raw_buf bad = { place[i % 6], 64, 0 }, good = { dev.request.gpa, 10, 0 };
		struct raw_buf chain[2] = { good, bad };
		chain[1].flags = DESC_WRITE;
		if (i / 6 == 1) {
			chain[0] = bad;
			chain[1] = (struct raw_buf){ dev.reply.gpa, 64, DESC_WRITE };
		}
		memset(dev.request.at, 0, 64);
		raw_offer(&dev, i / 6 == 2 ? RAW_EVENTS : RAW_CONTROL, i / 6 == 2 ? &chain[1] : chain, i / 6 == 2 ? 1 : 2);
		raw_kick(&dev, i / 6 == 2 ? RAW_EVENTS : RAW_CONTROL);
		if (raw_used(&dev, RAW_CONTROL, 100) >= 0 && i / 6 < 2 && dev.reply.at[0] == S_OK)
			return fail("a command from or to place %d was carried out", i % 6);
		raw_start(&dev, F_EXT);
		if (!alloc(1))
			return false;
	}
	return works();
}

/* ------------------------------------------------------------------ with the host */

static uint64_t sum_of(uint64_t offset, uint64_t size)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < size; i += 8)
		sum = (sum << 7 | sum >> 57) ^ *in_window(offset + i);
	return sum;
}

/* A region of several chunks, filled; the host compares. */
static bool several_chunks(uint64_t size)
{
	uint64_t seed = size;

	raw_start(&dev, F_EXT);
	if (!alloc(size))
		return false;
	for (uint64_t i = 0; i < last_size; i += 8)
		*in_window(last_offset + i) = seed = seed * UINT64_C(6364136223846793005) + 1;
	snprintf(why, sizeof why, "0x%" PRIx64 " %016" PRIx64, last_token, sum_of(last_offset, last_size));
	return true;
}

static bool sum(uint64_t unused)
{
	(void)unused;
	snprintf(why, sizeof why, "%016" PRIx64, sum_of(last_offset, last_size));
	return true;
}

/* As many regions, and nothing let go. */
static bool keep(uint64_t nr)
{
	raw_start(&dev, F_EXT);
	while (nr-- > 0) {
		if (!alloc(1))
			return false;
	}
	return true;
}

static bool reset(uint64_t unused)
{
	(void)unused;
	raw_reset(&dev);
	raw_start(&dev, F_EXT);
	return true;
}

static bool attach(uint64_t token)
{
	long n = command(ATTACH, 64, 2, token, UINT64_C(3));

	return (n == 1 + 8 + 16 && status() == S_OK) || fail("attach: %ld bytes of answer, status %u", n, status());
}

static const struct {
	const char *name;
	bool (*run)(uint64_t number);
} attacks[] = {
	{ "short-replies", short_replies },
	{ "leaks", leaks },
	{ "sizes", sizes },
	{ "bad-tokens", bad_tokens },
	{ "unique-tokens", unique_tokens },
	{ "foreign", foreign },
	{ "successors", successors },
	{ "vectors", vectors },
	{ "empty-window", empty_window },
	{ "notify-nowhere", notify_nowhere },
	{ "buffers-elsewhere", buffers_elsewhere },
	{ "garbage-rings", garbage_rings },
	{ "garbage-commands", garbage_commands },
	{ "wrong-setup", wrong_setup },
	{ "several-chunks", several_chunks },
	{ "sum", sum },
	{ "keep", keep },
	{ "reset", reset },
	{ "attach", attach },
};

int main(void)
{
	char line[200], name[64], text[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!raw_open(&dev))
		return 1;
	puts("ok");
	while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "quit\n") != 0) {
		int n = sscanf(line, "%63s %63s", name, text);
		uint64_t number = n == 2 ? strtoull(text, NULL, 0) : 0;
		bool known = false, done = false;
		snprintf(why, sizeof why, n < 1 ? "nothing to do" : "unknown");
		for (size_t i = 0; n >= 1 && i < sizeof attacks / sizeof attacks[0] && !known; i++) {
			known = strcmp(name, attacks[i].name) == 0;
			why[0] = known ? '\0' : why[0];
			done = known && attacks[i].run(number);
		}
		printf("%s %s\n", done ? "ok" : "error", why);
	}
	raw_reset(&dev);
	return 0;
}

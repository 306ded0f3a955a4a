/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * peer.h - what the files of the C peer share.
 */
#ifndef PEER_H
#define PEER_H

#include <ism-ring.h>
#include <ism.h>
#include <stdbool.h>

enum { NAMED_MAX = 64 };

/* A region, or a ring in one, by the driver's name. */
struct named {
	char name[32];
	struct ism_region *region;
	struct ism_ring *ring;
	const struct ism_region *within;	/* the ring's */
};
extern struct named named[NAMED_MAX];

/* NULL if there is none, or no room. */
struct named *find(const char *name);
struct named *name_new(const char *name);

uint64_t number(const char *word);
int64_t ns(const char *ms);
bool has(char **words, const char *word);

/* How many bytes it was, or -EINVAL. */
long from_hex(const char *hex, unsigned char *buf, size_t size);
void pattern(unsigned char *p, size_t len, uint64_t seed);
uint32_t crc32(const unsigned char *p, size_t len);

/* Answers: the library's error, one of our own, `ok` or the error, `ok` and bytes. */
int failed(int err);
int wrong(int err, const char *what);
int answer(int r);
void put_hex(const unsigned char *p, size_t len);

int do_ring(char **w);
int do_send(char **w);
int do_recv(char **w);
int do_pump(char **w);
int do_drain(char **w);
int do_ping(char **w);
int do_echo(char **w);
int do_unring(char **w);

#endif /* PEER_H */

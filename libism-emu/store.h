/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * store.h - where region memory comes from.
 *
 * One object per region, so that a device can reach only what it attached: a
 * memfd whose size is sealed and whose mode is 0600, so that nobody can shrink
 * it under a mapping, or reopen a read-only descriptor for writing.  It has no
 * name and ends with its last mapping, whatever process dies when.
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stdint.h>

/* Without seals a process can hurt whoever shares with it: then only those of one user may. */
bool store_serves_all_users(void);

struct store {
	int fd;			/* read-write */
	int ro_fd;		/* read-only, made when first needed; -1 */
	uint64_t size;
	bool huge;		/* hugetlb pages */
	bool kept;		/* a keeper has it, too */
};

#define STORE_INIT { .fd = -1, .ro_fd = -1 }

/*
 * Make an object of @size bytes, zero-filled.  @huge: of huge pages, or fail.
 * -EOPNOTSUPP: this machine has no such pages; -ENOMEM, -EMFILE, -ENFILE.
 */
int store_create(struct store *s, uint64_t size, bool huge);

/*
 * Take over descriptors that a client sent: they must be what store_create()
 * makes.  @ro_fd: may be -1.  On -EPROTO the descriptors stay the caller's, and
 * ismi_fail_text() says what was wrong with them.
 */
int store_adopt(struct store *s, int fd, int ro_fd, uint64_t size);

/* Another owner of the same object: -EMFILE, -ENFILE. */
int store_copy(struct store *ret, const struct store *s);

/* The read-only descriptor, made now if need be: lent. -EACCES, -EMFILE, ... */
int store_ro_fd(struct store *s);

void store_close(struct store *s);
/* Close and free one from malloc(); NULL is fine. */
void store_free(struct store *s);

/*
 * Memory that the host alone writes: *ret_fd is for peers, who can only map it
 * to read.
 */
int store_create_shown(uint64_t size, void **ret_addr, int *ret_fd);
/* Memory that both ends write, its size sealed. */
int store_create_shared(uint64_t size, void **ret_addr, int *ret_fd);

/* Check the size and the seal of memory that a host sent: 0 or -EPROTO. */
int store_check_size(int fd, uint64_t size);

#endif /* STORE_H */

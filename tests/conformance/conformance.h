/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * conformance.h - the same contract for every backend, on the public interface
 * alone.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include "harness.h"

/* What the program was started with. */
enum backend { LOOP, EMU, ISMD, TRACE, DEV };
extern enum backend backend;

/*
 * Behind a virtual machine a device is the machine's, whose id does not end with a
 * program, and which sees itself alone; QEMU 11.1 cannot map for reading alone.
 */
static inline bool in_machine(void)
{
	return backend == DEV;
}

/* How often to do something: less where the other end is behind a virtual machine. */
int rounds(int n);

/* The domain of this test; its host, if that is ismd, is started on first use. */
const char *domain_uri(void);
struct ism_device *device(void);
struct ism_device *device_with(const struct ism_open_opts *opts);
void domain_end(void);

uint64_t devid_of(struct ism_device *dev);
uint64_t gid_of(struct ism_device *dev);
struct ism_region *alloc(struct ism_device *dev, size_t size);
struct ism_region *attach(struct ism_device *dev, const struct ism_region *region);
struct ism_region *attach_ro(struct ism_device *dev, const struct ism_region *region);
/* Does a store to this address end the process? */
bool store_faults(void *addr);
bool load_faults(const void *addr);
/* Is the fd readable within @ms? */
bool readable(int fd, int ms);
/* Poll the device's fd, as often as it says something, until there is an event of @type; how many are there then. */
unsigned int polled(struct ism_device *dev, int fd, uint32_t type);
/* Does the device's fd fall silent?  A wake-up may arrive after what it was for has been taken. */
bool falls_silent(struct ism_device *dev, int fd);
/* Take events until none is left; the number of those of @type. */
unsigned int drain(struct ism_device *dev, uint32_t type);
/* The next event, waited for. */
struct ism_event next_event(struct ism_device *dev);

Suite *regions_suite(void);
Suite *pool_suite(void);
Suite *batches_suite(void);
Suite *rights_suite(void);
Suite *bells_suite(void);
Suite *events_suite(void);
Suite *kick_suite(void);
Suite *misc_suite(void);
Suite *rings_suite(void);
Suite *ring_ends_suite(void);
Suite *ring_streams_suite(void);
Suite *replace_suite(void);

#endif /* CONFORMANCE_H */

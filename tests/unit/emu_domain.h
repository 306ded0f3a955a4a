/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * emu_domain.h - a private domain, and short names for what the tests do in it.
 */
#ifndef EMU_DOMAIN_H
#define EMU_DOMAIN_H

#include "harness.h"

#include <ism-emu.h>

/* A domain in this process alone, or behind a socket. */
struct ism_emu *start(bool loop, const char *faults);
struct ism_device *device(const struct ism_emu *emu);
struct ism_region *alloc(struct ism_device *dev);
struct ism_region *attach(struct ism_device *dev, const struct ism_region *other);
uint64_t devid(struct ism_device *dev);
/* The type of the next event; 0: none within the time. */
uint32_t event(struct ism_device *dev, double seconds);

/* emu_faults.c */
void add_fault_tests(Suite *s);

#endif /* EMU_DOMAIN_H */

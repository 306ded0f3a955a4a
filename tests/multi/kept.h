/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * kept.h - an ismd that is killed and started again, and what is asked of it.
 */
#ifndef KEPT_H
#define KEPT_H

#include "harness.h"

/* kill -9 @ismd, and start another on the domain "d". */
pid_t restart(pid_t ismd, const char *const *args);
/* The keeper of the domain "d" that is not @but: 0 if there is none. */
pid_t keeper_of(pid_t but);
/* Wait for RESET on a device; no other event may come but DETACH and UPDATE. */
void await_reset(struct ism_device *dev);
/* The number of the event wanted, within 20 seconds; others are dropped. */
void await_event(struct ism_device *dev, uint32_t type);
int nr_devices(struct ism_device *dev);
int nr_regions(struct ism_device *dev);

/* check_restart.c is the program; these are its suites. */
Suite *restart_suite(void);
Suite *rings_suite(void);
Suite *restart_batches_suite(void);

#endif /* KEPT_H */

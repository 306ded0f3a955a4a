/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * loop.h - what a test does to a private domain.
 */
#ifndef ISMI_LOOP_H
#define ISMI_LOOP_H

/* What comes before a domain's name in the name of its host_profile. */
#define LOOP_PROFILE "loop:"

/* As if the domain had a host, and it died: its devices are left, and the name is free for a new one. */
void loop_kill(const char *name);

#endif /* ISMI_LOOP_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check.h - one thing that libism uses, and whether it is there.
 */
#ifndef TOOL_CHECK_H
#define TOOL_CHECK_H

#include <ism.h>
#include <stdbool.h>
#include <stdint.h>

enum check_state { CHECK_OK, CHECK_LIMITED, CHECK_MISSING };

struct check {
	const char *name;
	enum check_state state;
	char what[256];		/* what was found, and what follows from it */
	char remedy[200];	/* what can be done about it; "": nothing, or nothing is wrong */
};

__attribute__((format(printf, 3, 4)))
void check_set(struct check *c, enum check_state state, const char *fmt, ...);
__attribute__((format(printf, 2, 3)))
void check_remedy(struct check *c, const char *fmt, ...);

/* check_machine.c: what the kernel and the limits of this process give. */
void check_memory_objects(struct check *c);
void check_seals(struct check *c);
void check_huge_pages(struct check *c);
void check_shared_huge_pages(struct check *c);
void check_descriptors(struct check *c);
void check_mappings(struct check *c);
void check_locked_memory(struct check *c);
void check_cpus(struct check *c);
void check_device_node(struct check *c);

/* check_domain.c: where the domain would be, who hosts it, and whether it works. */
void check_directory(struct check *c);
void check_host(struct check *c);
void check_socket(struct check *c);
void check_window(struct check *c);
/* The main job: if this is missing, libism is of no use here. */
void check_sharing(struct check *c);

#endif /* TOOL_CHECK_H */

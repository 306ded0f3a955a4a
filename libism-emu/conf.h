/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * conf.h - the settings of ismd: names, values, and the file they come from.
 */
#ifndef CONF_H
#define CONF_H

#include "keep.h"
#include "server.h"

#include <sys/types.h>

struct conf {
	struct server_opts server;
	mode_t mode;		/* of the socket */
	gid_t group;		/* (gid_t)-1: leave it */
	uint64_t vm_window;	/* of each virtual machine's device */
	enum keep_kind keep;	/* who holds the regions while ismd is restarted */
	uint32_t grace;		/* seconds: how long, and how long devices may take to come back */
};

void conf_default(struct conf *c);

/*
 * Set one, as in "user-bytes", "4G".  0, or -EINVAL with what was expected in
 * ismi_fail_text().
 */
int conf_set(struct conf *c, const char *name, const char *value);

/* Read a file of "name = value" lines; "#" begins a comment.  0 or a negative errno, in words too. */
int conf_read(struct conf *c, const char *path);

/* For people: the i-th setting's name, what it means; false past the last. */
bool conf_describe(size_t i, const char **ret_name, const char **ret_help);

#endif /* CONF_H */

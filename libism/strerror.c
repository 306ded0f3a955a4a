/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * strerror.c - errors in words.
 */
#include "internal.h"

#include <errno.h>

static const struct {
	int err;
	const char *text;
} words[] = {
	{ 0, "success" },
	{ EINVAL, "wrong argument" },
	{ E2BIG, "too large, or options from a newer version" },
	{ ENAMETOOLONG, "path too long for a socket" },
	{ ENOENT, "no such region or device, or not for this device to know" },
	{ ENOTDIR, "a part of the path is no directory" },
	{ ELOOP, "too many symbolic links in the path" },
	{ EACCES, "not permitted to attach or read" },
	{ EROFS, "not permitted to write" },
	{ EPERM, "not permitted to grant" },
	{ EEXIST, "exists already" },
	{ ENODEV, "a device that has no part in the region" },
	{ ENXIO, "nobody would be left" },
	{ EALREADY, "replaced already" },
	{ EHOSTDOWN, "no host" },
	{ ENOSPC, "window or quota full" },
	{ ENOMEM, "out of memory" },
	{ EMFILE, "too many open files in this process" },
	{ ENFILE, "too many open files in the system" },
	{ ETIMEDOUT, "no answer in time" },
	{ EPROTO, "the other end broke the protocol" },
	{ EOPNOTSUPP, "not supported here" },
	{ EOWNERDEAD, "opened by the parent of this forked process" },
	{ EINTR, "interrupted" },
	{ EPIPE, "all peers are gone" },
	{ ECONNRESET, "the other end went without closing" },
	{ EAGAIN, "not now, try again" },
	{ EMSGSIZE, "record too large" },
};

const char *ism_strerror(int err)
{
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (err == words[i].err || err == -words[i].err)
			return words[i].text;
	}
	return "unknown error";
}

const char *ism_error_detail(void)
{
	return ismi_fail_text();
}

int ismi_fail_forked(void)
{
	return ismi_fail(-EOWNERDEAD, "this device was opened by the parent of this process: open one here");
}

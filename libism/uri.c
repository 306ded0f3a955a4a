/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * uri.c - which backend, and where.
 */
#include "internal.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATH_SIZE = sizeof(((struct sockaddr_un *)0)->sun_path) };

enum { SCHEME_LOOP, SCHEME_EMU, SCHEME_DEV, NR_SCHEMES };

static const struct {
	const char *scheme;
	const struct ismi_backend *backend;	/* NULL: not in this build */
} schemes[NR_SCHEMES] = {
	[SCHEME_LOOP] = { "loop", &ismi_backend_loop },
	[SCHEME_EMU] = { "emu", &ismi_backend_emu },
	[SCHEME_DEV] = { "dev", &ismi_backend_kdev },
};

static const char device_node[] = "/dev/ism";

static bool have_device(void)
{
	return schemes[SCHEME_DEV].backend != NULL && access(device_node, R_OK | W_OK) == 0;
}

int ismi_uri_resolve(const char *uri, const struct ismi_backend **ret_backend, const char **ret_address,
		     bool *ret_trace)
{
	static const char trace[] = "trace:";
	const char *from = "URI", *colon;
	bool given = uri != NULL;

	if (!given) {
		uri = secure_getenv("ISM_DEVICE");
		from = "ISM_DEVICE";
	}
	*ret_trace = uri != NULL && strncmp(uri, trace, sizeof trace - 1) == 0;
	if (*ret_trace)
		uri += sizeof trace - 1;
	if (uri == NULL || (*uri == '\0' && (*ret_trace || !given)))
		uri = have_device() ? "dev:" : "emu:";
	colon = strchr(uri, ':');
	for (size_t i = 0; colon != NULL && i < NR_SCHEMES; i++) {
		size_t len = strlen(schemes[i].scheme);
		if ((size_t)(colon - uri) != len || strncmp(uri, schemes[i].scheme, len) != 0)
			continue;
		if (schemes[i].backend == NULL)
			return ismi_fail(-EOPNOTSUPP, "%s \"%.64s\": this build of libism has no backend for it", from, uri);
		*ret_backend = schemes[i].backend;
		*ret_address = colon + 1;
		return 0;
	}
	return ismi_fail(-EINVAL, "%s \"%.64s\": expected loop:[NAME], emu:[PATH] or dev:[PATH], with trace: before it or without",
			 from, uri);
}

/* ------------------------------------------------------------------ where emu: is */

static int join(char *buf, size_t size, const char *dir, const char *name)
{
	if ((size_t)snprintf(buf, size, "%s/%s", dir, name) >= size)
		return ismi_fail(-ENAMETOOLONG, "a path of %zu bytes is too long: a socket's may have %zu bytes: %s/%s",
				 strlen(dir) + 1 + strlen(name), size - 1, dir, name);
	return 0;
}

/* Make a directory for this user alone, or check that it is one. */
static int private_dir(const char *path)
{
	struct stat st;
	int r = ismi_sys_mkdir(path, 0700);

	if (r < 0 && r != -EEXIST)
		return ismi_fail(r, "cannot make the directory %s: %s", path, strerror(-r));
	r = ismi_sys_lstat(path, &st);
	if (r < 0)
		return ismi_fail(r, "cannot use the directory %s: %s", path, strerror(-r));
	if (!S_ISDIR(st.st_mode))
		return ismi_fail(-EACCES, "%s is %s: expected a directory", path, S_ISLNK(st.st_mode) ? "a link" : "a file");
	if (st.st_uid != geteuid())
		return ismi_fail(-EACCES, "the directory %s belongs to uid %u: expected %u", path, (unsigned int)st.st_uid,
				 (unsigned int)geteuid());
	return 0;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return ismi_sys_stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int default_path(char *buf, size_t size)
{
	const char *own = secure_getenv("ISM_RUNTIME_DIR"), *xdg = secure_getenv("XDG_RUNTIME_DIR");
	char dir[PATH_SIZE];
	int r = 0;

	if (own != NULL && *own != '\0') {
		if (*own != '/')
			return ismi_fail(-EINVAL, "ISM_RUNTIME_DIR=\"%.64s\": expected an absolute path", own);
		r = join(buf, size, own, "default");
		return r == 0 && !is_dir(own) ? private_dir(own) : r;
	}
	if (xdg != NULL && *xdg == '/' && is_dir(xdg)) {
		r = join(dir, sizeof dir, xdg, "ism");
	} else if (is_dir("/run/ism")) {
		return join(buf, size, "/run/ism", "default");
	} else {
		snprintf(dir, sizeof dir, "/tmp/ism-%u", (unsigned int)geteuid());
	}
	if (r == 0)
		r = private_dir(dir);
	return r < 0 ? r : join(buf, size, dir, "default");
}

int ismi_emu_path(const char *address, char *buf, size_t size)
{
	char *dir, *copy;
	int r;

	if (*address == '\0')
		return default_path(buf, size);
	/* One name for one place, however it is written: the domain's id comes from it. */
	copy = strdup(address);
	if (copy == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	char *slash = strrchr(copy, '/');
	const char *name = slash == NULL ? copy : slash + 1;
	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		r = ismi_fail(-EINVAL, "emu:%.96s: expected the path of a socket, not of a directory", address);
		goto out;
	}
	if (slash == NULL) {
		dir = realpath(".", NULL);
	} else {
		*slash = '\0';
		dir = realpath(slash == copy ? "/" : copy, NULL);
	}
	if (dir == NULL) {
		r = ismi_fail(-errno, "emu:%.96s: its directory cannot be used: %s", address, strerror(errno));
		goto out;
	}
	r = join(buf, size, strcmp(dir, "/") == 0 ? "" : dir, name);
	free(dir);
out:
	free(copy);
	return r;
}

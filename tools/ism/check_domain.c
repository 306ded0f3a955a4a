/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_domain.c - where the domain would be, who hosts it, and whether it
 * works.
 */
#include "check.h"

#include "tool.h"
#include "view.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_device(uint32_t flags, struct ism_device **ret)
{
	struct ism_open_opts opts = { .size = sizeof opts, .flags = flags, .name = "ism check" };

	return ism_open(tool_device, &opts, ret);
}

/* ------------------------------------------------------------------ the directory */

static bool below(const char *path, const char *dir)
{
	size_t len = dir == NULL ? 0 : strlen(dir);

	return len > 0 && strncmp(path, dir, len) == 0 && (path[len] == '/' || dir[len - 1] == '/');
}

/* Why the library chose this path: as ism_open(3) has the order. */
static const char *reason(const char *path)
{
	if (tool_device != NULL && strcmp(tool_device, "emu:") != 0)
		return "as --device says";
	if (tool_device == NULL && secure_getenv("ISM_DEVICE") != NULL && strcmp(secure_getenv("ISM_DEVICE"), "emu:") != 0)
		return "as $ISM_DEVICE says";
	if (below(path, secure_getenv("ISM_RUNTIME_DIR")))
		return "as $ISM_RUNTIME_DIR says";
	if (below(path, secure_getenv("XDG_RUNTIME_DIR")))
		return "below $XDG_RUNTIME_DIR";
	if (below(path, "/run/ism"))
		return "/run/ism is there, and no $ISM_RUNTIME_DIR or $XDG_RUNTIME_DIR";
	return "no $ISM_RUNTIME_DIR, no $XDG_RUNTIME_DIR, no /run/ism";
}

void check_directory(struct check *c)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_device *dev;
	struct stat st;
	int r = open_device(0, &dev);

	if (r < 0 || (r = ism_query(dev, &info)) < 0) {
		check_set(c, CHECK_MISSING, "%s", ism_error_detail());
		check_remedy(c, "set ISM_RUNTIME_DIR to a directory of your own, or start ismd there");
		return;
	}
	ism_close(dev);
	if (strcmp(info.backend, "emu") != 0) {
		check_set(c, CHECK_OK, "%s: needs none", info.backend);
		return;
	}
	const char *why = reason(info.path);
	char *slash = strrchr(info.path, '/');	/* the library gives whole paths */
	if (slash != NULL)
		slash[slash == info.path] = '\0';
	if (stat(info.path, &st) < 0) {
		check_set(c, CHECK_MISSING, "%s: %s", info.path, strerror(errno));
		return;
	}
	bool others = (st.st_mode & 022) != 0;
	check_set(c, others ? CHECK_LIMITED : CHECK_OK, "%s (%s); of %s, mode %03o%s", info.path, why, view_user(st.st_uid),
		  (unsigned int)st.st_mode & 07777, others ? ": others may write there, so that only ismd can host a domain" : "");
	if (others)
		check_remedy(c, "chmod go-w %s, if it is yours alone", info.path);
}

/* ------------------------------------------------------------------ the host */

void check_host(struct check *c)
{
	struct ism_domain_info domain = { .size = sizeof domain };
	struct ism_info info = { .size = sizeof info };
	struct ism_device *dev;
	int r = open_device(ISM_OPEN_NO_HOST, &dev);

	if (r == -EHOSTDOWN) {
		check_set(c, CHECK_MISSING, "ismd does not run here: the first program that opens the domain hosts it, for its own user");
		check_remedy(c, "start ismd, if the domain is to outlive its programs or to serve several users");
		return;
	}
	if (r < 0) {
		check_set(c, CHECK_MISSING, "%s", ism_error_detail());
		return;
	}
	r = ism_query(dev, &info);
	if (r == 0)
		r = ism_query_domain(dev, &domain);
	ism_close(dev);
	if (r < 0) {
		check_set(c, CHECK_LIMITED, "%s", ism_error_detail());
		return;
	}
	bool same = strcmp(domain.version, ism_version()) == 0;
	check_set(c, same ? CHECK_OK : CHECK_LIMITED, "%s, %s, version %s%s%s; %" PRIu64 " devices", view_host(&info),
		  view_user(domain.host_uid), domain.version, same ? "" : ", while this is ", same ? "" : ism_version(),
		  domain.devices - 1);
	if (!same)
		check_remedy(c, "restart it");
}

/* ------------------------------------------------------------------ the socket */

/* Whoever may write a host's socket may connect; one that a program hosts is for its user alone, whatever the mode. */
static void socket_says(struct check *c, const struct ism_info *info)
{
	struct stat st;

	if (stat(info->path, &st) < 0) {
		check_set(c, CHECK_LIMITED, "%s: %s", info->path, strerror(errno));
		return;
	}
	const struct group *group = info->host == ISM_HOST_DAEMON && (st.st_mode & 020) ? getgrgid(st.st_gid) : NULL;
	const char *root = st.st_uid == 0 ? "" : ", root";
	if (info->host == ISM_HOST_DAEMON && (st.st_mode & 02))
		check_set(c, CHECK_OK, "%s, mode %03o: everybody may connect who can enter its directory", info->path,
			  (unsigned int)st.st_mode & 0777);
	else
		check_set(c, CHECK_OK, "%s, mode %03o: for %s%s%s%s", info->path, (unsigned int)st.st_mode & 0777,
			  view_user(st.st_uid), root, group == NULL ? "" : ", group ", group == NULL ? "" : group->gr_name);
}

void check_socket(struct check *c)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_device *dev;
	int r = open_device(0, &dev);

	if (r < 0) {
		check_set(c, CHECK_MISSING, "%s", ism_error_detail());
		if (r == -EACCES && strncmp(ism_error_detail(), "cannot connect", 14) == 0)	/* not: a host that is not trusted */
			check_remedy(c, "whoever runs ismd there says who may connect: mode and group, see ismd(8)");
		return;
	}
	r = ism_query(dev, &info);
	if (r < 0)
		check_set(c, CHECK_MISSING, "%s", ism_error_detail());
	else if (strcmp(info.backend, "emu") != 0)
		check_set(c, CHECK_OK, "%s: needs none", info.backend);
	else
		socket_says(c, &info);		/* while the device is open: the host may be this process */
	ism_close(dev);
}

void check_window(struct check *c)
{
	const uint64_t wanted = sizeof(void *) > 4 ? UINT64_C(16) << 30 : UINT64_C(128) << 20;
	struct ism_info info = { .size = sizeof info };
	struct ism_device *dev;
	int r = open_device(0, &dev);

	if (r == 0) {
		r = ism_query(dev, &info);
		ism_close(dev);
	}
	if (r < 0) {
		check_set(c, CHECK_MISSING, "%s", ism_error_detail());
		return;
	}
	check_set(c, info.window_size >= wanted ? CHECK_OK : CHECK_LIMITED, "%sB of addresses for the regions of a device",
		  tool_bytes(info.window_size));
	if (info.window_size < wanted)
		check_remedy(c, "ulimit -v unlimited");
}

/* ------------------------------------------------------------------ the main job */

/* Two devices share a region, see each other's bytes, and hear each other.  0, or a negative errno and why. */
static int share(struct ism_device *a, struct ism_device *b, const char **ret_step)
{
	static const char word[] = "shared";
	struct ism_region *mine, *theirs;
	int r;

	*ret_step = "allocate a region";
	r = ism_alloc_region(a, 65536, NULL, &mine);
	if (r < 0)
		return r;
	*ret_step = "attach it";
	r = ism_attach_region(b, ism_region_token(mine), ISM_READ | ISM_WRITE, NULL, &theirs);
	if (r < 0)
		return r;
	memcpy(ism_region_addr(mine), word, sizeof word);
	*ret_step = "ring it";
	r = ism_region_notify(mine);
	if (r < 0)
		return r;
	*ret_step = "hear the ring within 5 seconds";
	r = ism_region_wait(theirs, INT64_C(5000000000));
	if (r < 1)
		return r < 0 ? r : -ETIMEDOUT;
	*ret_step = "see the same bytes";
	return memcmp(ism_region_addr(theirs), word, sizeof word) == 0 ? 0 : -EIO;
}

void check_sharing(struct check *c)
{
	struct ism_device *a = NULL, *b = NULL;
	const char *step = "open two devices";
	double began = tool_now();
	int r = open_device(0, &a);

	if (r == 0)
		r = open_device(0, &b);
	if (r == 0)
		r = share(a, b, &step);
	if (r == 0)
		check_set(c, CHECK_OK, "two devices shared a region and rang each other, in %.1f ms", (tool_now() - began) * 1e3);
	else
		check_set(c, CHECK_MISSING, "cannot %s: %s", step, *ism_error_detail() ? ism_error_detail() : ism_strerror(r));
	ism_close(b);
	ism_close(a);
}

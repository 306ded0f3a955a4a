/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * start.c - a private sharing domain for a test (ism-emu.h).
 */
#include "backends/loop/loop.h"
#include "emu/reaper.h"
#include "host.h"
#include "internal.h"
#include "seat.h"

#include <errno.h>
#include <ism-emu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ism_emu {
	struct host_profile profile;
	struct host *host;		/* NULL: loop, or nobody hosts it here */
	bool loop;
	unsigned int fork_count;
	int reaper;			/* -1 */
	char dir[96];			/* "": loop */
	char uri[128];
	LIST_ENTRY(ism_emu) all;
};

/* Those whose directories are to be removed at exit. */
static struct {
	pthread_mutex_t lock;
	LIST_HEAD(, ism_emu) list;
	pthread_once_t once;
	unsigned int next;
} emus = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

static void fork_prepare(void)
{
	pthread_mutex_lock(&emus.lock);
}

static void fork_done(void)
{
	pthread_mutex_unlock(&emus.lock);
}

static void remove_dir(const struct ism_emu *emu)
{
	host_names_remove(emu->profile.name);
	ismi_sys_rmdir(emu->dir);
}

/* The reaper would do it too, but some time later. */
static void at_exit(void)
{
	const struct ism_emu *emu;

	pthread_mutex_lock(&emus.lock);
	LIST_FOREACH (emu, &emus.list, all) {
		if (emu->fork_count == ismi_fork_count && !emu->loop)
			remove_dir(emu);
	}
	pthread_mutex_unlock(&emus.lock);
}

static void init_once(void)
{
	ismi_fork_init();
	pthread_atfork(fork_prepare, fork_done, fork_done);
	atexit(at_exit);
}

static bool forked(const struct ism_emu *emu)
{
	return emu->fork_count != ismi_fork_count;
}

static int fail_forked(void)
{
	return ismi_fail(-EOWNERDEAD, "this domain was started by the parent of this process");
}

/* ------------------------------------------------------------------ options */

static void quota_set(struct model_quota *quota, const struct ism_emu_quota *want)
{
	if (want->bytes)
		quota->bytes = want->bytes;
	if (want->regions)
		quota->regions = want->regions;
	if (want->grants)
		quota->grants = want->grants;
	if (want->attach_rate)
		quota->attach_rate = want->attach_rate;
	if (want->notify_rate)
		quota->notify_rate = want->notify_rate;
	if (want->devices)
		quota->devices = want->devices;
}

static int profile_init(struct host_profile *p, const struct ism_emu_opts *opts)
{
	struct server_opts defaults = { .gid = 0 };
	struct ism_emu_opts o;
	int r = ismi_opts_copy(&o, sizeof o, ISMI_UP_TO(struct ism_emu_opts, user), opts, "ism_emu_opts");

	if (r < 0)
		return r;
	if ((o.flags & ~ISM_EMU_LOOP) != 0 || o.reserved != 0 || o.device.reserved != 0 || o.user.reserved != 0)
		return ismi_fail(-EINVAL, "ism_emu_opts.flags 0x%x: unknown flag, or a reserved field is not zero", o.flags);
	if (o.device.devices != 0)
		return ismi_fail(-EINVAL, "ism_emu_opts.device.devices is %u: only a user has devices", o.device.devices);
	server_default_quotas(&defaults);
	quota_set(&defaults.device_quota, &o.device);
	quota_set(&defaults.user_quota, &o.user);
	p->device_quota = defaults.device_quota;
	p->user_quota = defaults.user_quota;
	/* A plan of its own in any case, so that each test counts from the start. */
	if (o.faults != NULL)
		return faults_new(o.faults, "faults", &p->faults);
	const char *env = secure_getenv("ISM_EMU_FAULTS");
	return faults_new(env != NULL ? env : "", "ISM_EMU_FAULTS", &p->faults);
}

/* ------------------------------------------------------------------ start */

static int host_it(struct ism_emu *emu)
{
	struct ismi_log log = { .level = ISMI_LOG_NONE };
	int r = ismi_log_from_env(&log);

	return r < 0 ? r : host_embed(emu->profile.name, &log, &emu->host);
}

/* A directory that is new, and this user's alone. */
static int dir_make(struct ism_emu *emu)
{
	static const char name[] = "/default";	/* what emu: looks for in $ISM_RUNTIME_DIR */
	const char *tmp = secure_getenv("TMPDIR");
	struct sockaddr_un addr;
	int r;

	if (tmp == NULL || *tmp != '/')
		tmp = "/tmp";
	if ((size_t)snprintf(emu->dir, sizeof emu->dir, "%s/ism-emu.XXXXXX", tmp) >= sizeof emu->dir ||
	    strlen(emu->dir) + sizeof name > sizeof addr.sun_path)
		return ismi_fail(-ENAMETOOLONG, "TMPDIR=\"%.120s\" is too long for the path of a socket", tmp);
	r = ismi_sys_mkdtemp(emu->dir);
	if (r < 0)
		return ismi_fail(r, "cannot make a directory in %s: %s", tmp, strerror(-r));
	char *real = realpath(emu->dir, NULL);	/* as emu: sees it */
	if (real != NULL && strlen(real) < sizeof emu->dir)
		strcpy(emu->dir, real);
	free(real);
	snprintf(emu->profile.name, sizeof emu->profile.name, "%s%s", emu->dir, name);
	snprintf(emu->uri, sizeof emu->uri, "emu:%s%s", emu->dir, name);
	return 0;
}

static int start_host(struct ism_emu *emu)
{
	int r = dir_make(emu);

	if (r < 0)
		return r;
	host_profile_add(&emu->profile);
	emu->reaper = r = ismi_reaper_start(emu->dir);
	if (r >= 0)
		r = host_it(emu);
	if (r < 0) {
		host_profile_del(&emu->profile);
		remove_dir(emu);
		ismi_reaper_release(emu->reaper);
	}
	return r;
}

static void start_loop(struct ism_emu *emu)
{
	pthread_mutex_lock(&emus.lock);
	unsigned int number = ++emus.next;
	pthread_mutex_unlock(&emus.lock);
	snprintf(emu->uri, sizeof emu->uri, "loop:ism-emu.%u", number);
	snprintf(emu->profile.name, sizeof emu->profile.name, "%s", emu->uri);
	host_profile_add(&emu->profile);
}

int ism_emu_start(const struct ism_emu_opts *opts, struct ism_emu **ret)
{
	struct ism_emu *emu;
	int r;

	pthread_once(&emus.once, init_once);
	emu = calloc(1, sizeof *emu);
	if (emu == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	emu->fork_count = ismi_fork_count;
	emu->reaper = -1;
	r = profile_init(&emu->profile, opts);
	if (r == 0 && opts != NULL && (opts->flags & ISM_EMU_LOOP)) {
		emu->loop = true;
		start_loop(emu);
	} else if (r == 0) {
		r = start_host(emu);
	}
	if (r < 0) {
		faults_put(emu->profile.faults);
		free(emu);
		return r;
	}
	pthread_mutex_lock(&emus.lock);
	LIST_INSERT_HEAD(&emus.list, emu, all);
	pthread_mutex_unlock(&emus.lock);
	*ret = emu;
	return 0;
}

/* ------------------------------------------------------------------ stop, kill, restart */

/* The host dies; devices that this process has open keep what is left of it. */
static void host_drop(struct ism_emu *emu)
{
	if (emu->loop)
		loop_kill(emu->uri + strlen("loop:"));
	if (emu->host != NULL)
		host_kill(emu->host);
	host_put(emu->host);
	emu->host = NULL;
}

void ism_emu_stop(struct ism_emu *emu)
{
	if (emu == NULL)
		return;
	pthread_mutex_lock(&emus.lock);
	LIST_REMOVE(emu, all);
	pthread_mutex_unlock(&emus.lock);
	host_profile_del(&emu->profile);
	if (!forked(emu)) {
		host_drop(emu);
		if (!emu->loop) {
			remove_dir(emu);
			ismi_reaper_release(emu->reaper);
		}
	}
	faults_put(emu->profile.faults);
	free(emu);
}

int ism_emu_kill(struct ism_emu *emu)
{
	if (forked(emu))
		return fail_forked();
	if (!emu->loop && emu->host == NULL)
		emu->host = host_get(emu->profile.name);	/* a device of this process took over */
	host_drop(emu);
	return 0;
}

int ism_emu_restart(struct ism_emu *emu)
{
	if (forked(emu))
		return fail_forked();
	if (emu->loop)
		return 0;	/* the next device that is opened makes it anew */
	struct host *dead = emu->host;	/* or alive, and then it stays */
	int r = host_it(emu);
	if (r == 0)
		host_put(dead);
	return r;
}

/* ------------------------------------------------------------------ looking at it */

const char *ism_emu_uri(const struct ism_emu *emu)
{
	return emu->uri;
}

const char *ism_emu_dir(const struct ism_emu *emu)
{
	return emu->loop ? NULL : emu->dir;
}

int ism_emu_set_faults(struct ism_emu *emu, const char *faults)
{
	return forked(emu) ? fail_forked() : faults_set(emu->profile.faults, faults, "faults");
}

int64_t ism_emu_passes(const struct ism_emu *emu, const char *point)
{
	int p = fault_point_find(point);

	if (p < 0)
		return ismi_fail(-EINVAL, "\"%.32s\": expected alloc, attach, detach, grant, notify, event or host", point);
	return (int64_t)faults_passes(emu->profile.faults, (enum fault_point)p);
}

int64_t ism_emu_fired(const struct ism_emu *emu)
{
	return (int64_t)faults_fired(emu->profile.faults);
}

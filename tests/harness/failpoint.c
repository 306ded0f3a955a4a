/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * failpoint.c - make the n-th system call of the library fail, or be the last;
 * and remember which places in the code made one.
 */
#include "failpoint.h"

#include "base/sys.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KINDS_MAX = 64, SITES_MAX = 1024, FRAMES = 6, SKIPPED = 2 };

static atomic_uint calls;
static unsigned int target;
static int target_err;
static const char *hit, *only, *but;
static _Atomic(const char *) kind[KINDS_MAX];

/* Who called: our two frames, the wrapper, and the places behind it.  A site is known by the innermost of these. */
struct site {
	_Atomic uintptr_t key;
	void *frame[FRAMES - SKIPPED];
};
static struct site *sites, site_table[SITES_MAX];

static void __attribute__((noinline)) remember_site(void)
{
	void *frame[FRAMES] = { NULL };
	uintptr_t key = 0;

	backtrace(frame, FRAMES);
	for (int i = SKIPPED; i < FRAMES; i++)
		key = key * 31 + (uintptr_t)frame[i];
	for (uintptr_t i = key | 1, n = 0; n < SITES_MAX; i++, n++) {
		struct site *s = &sites[i % SITES_MAX];
		uintptr_t none = 0;
		if (atomic_compare_exchange_strong(&s->key, &none, key | 1)) {
			memcpy(s->frame, frame + SKIPPED, sizeof s->frame);
			return;
		}
		if (none == (key | 1))
			return;
	}
}

void failpoint_sites_begin(void)
{
	void *frame[1];

	backtrace(frame, 1);	/* loads what it needs now, not in the midst of a call */
	sites = site_table;
}

void failpoint_sites_write(const char *path)
{
	char program[512] = "";
	Dl_info info;
	FILE *f;

	/* Not dli_fname: that is argv[0]. */
	if (readlink("/proc/self/exe", program, sizeof program - 1) < 0)
		return;
	f = fopen(path, "a");
	if (f != NULL)
		setvbuf(f, NULL, _IOLBF, BUFSIZ);	/* whole lines, also of a process that is killed */
	for (int i = 0; f != NULL && i < SITES_MAX; i++) {
		const struct site *s = &site_table[i];
		if (s->key == 0 || dladdr(s->frame[0], &info) == 0)
			continue;
		fprintf(f, "%s", program);
		for (int k = 0; k < FRAMES - SKIPPED; k++)
			fprintf(f, " %#lx", (unsigned long)((uintptr_t)s->frame[k] - (uintptr_t)info.dli_fbase - 1));
		fprintf(f, "\n");
	}
	if (f != NULL)
		fclose(f);
}

static void remember_kind(const char *call)
{
	for (int i = 0; i < KINDS_MAX; i++) {
		const char *none = NULL;
		if (atomic_compare_exchange_strong(&kind[i], &none, call) || none == call || strcmp(none, call) == 0)
			return;
	}
}

const char *failpoint_kind(unsigned int i)
{
	return i < KINDS_MAX ? atomic_load(&kind[i]) : NULL;
}

void failpoint_kinds_write(const char *path)
{
	FILE *f = fopen(path, "a");
	const char *name;

	for (unsigned int i = 0; f != NULL && (name = failpoint_kind(i)) != NULL; i++)
		fprintf(f, "%s\n", name);
	if (f != NULL)
		fclose(f);
}

static int hook(const char *call)
{
	remember_kind(call);
	if (sites != NULL)
		remember_site();
	if ((only != NULL && strcmp(call, only) != 0) || (but != NULL && strcmp(call, but) == 0))
		return 0;
	if (atomic_fetch_add(&calls, 1) + 1 != target)
		return 0;
	hit = call;
	if (target_err == 0)
		kill(getpid(), SIGKILL);
	return target_err;
}

static void arm(unsigned int n, int err)
{
	target = n;
	target_err = err;
	hit = NULL;
	atomic_store(&calls, 0);
	ismi_sys_hook = hook;
}

void failpoint_pick(const char *only_call, const char *but_call)
{
	only = only_call;
	but = but_call;
}

void failpoint_kill_at(unsigned int n)
{
	arm(n, 0);
}

void failpoint_fail_at(unsigned int n, int err)
{
	arm(n, err);
}

unsigned int failpoint_count(void)
{
	return atomic_load(&calls);
}

const char *failpoint_name(void)
{
	return hit;
}

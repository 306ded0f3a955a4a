/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * place.c - where in the program something happened.
 */
#include "backends/trace/trace.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<execinfo.h>)
#include <execinfo.h>
#define HAVE_FRAMES 1
#endif
#endif

enum { SHOWN = 4 };

void ismi_place_here(struct ismi_place *p)
{
	p->at_ns = ismi_now_ns();
	p->tid = (int)syscall(SYS_gettid);
	p->nr = 0;
#ifdef HAVE_FRAMES
	p->nr = backtrace(p->frame, ISMI_PLACE_FRAMES);
#endif
}

static bool ours(const void *frame)
{
	static const char here;
	Dl_info us, it;

	return dladdr(&here, &us) != 0 && dladdr(frame, &it) != 0 && us.dli_fbase == it.dli_fbase;
}

/* What is below main() says nothing. */
static bool in_libc(void *frame)
{
	Dl_info info;

	return dladdr(frame, &info) != 0 && info.dli_fname != NULL && strstr(info.dli_fname, "/libc.so") != NULL;
}

static int format_frame(void *frame, char *buf, size_t size)
{
	Dl_info info;

	if (dladdr(frame, &info) == 0 || info.dli_fname == NULL)
		return snprintf(buf, size, "%p", frame);
	const char *slash = strrchr(info.dli_fname, '/'), *file = slash == NULL ? info.dli_fname : slash + 1;
	size_t in_file = (size_t)((char *)frame - (char *)info.dli_fbase);
	if (info.dli_sname == NULL)
		return snprintf(buf, size, "%s+%#zx", file, in_file);
	return snprintf(buf, size, "%s+%#zx (%s+%#zx)", info.dli_sname, (size_t)((char *)frame - (char *)info.dli_saddr),
			file, in_file);
}

void ismi_place_format(const struct ismi_place *p, char *buf, size_t size)
{
	int from = 0;
	size_t at = 0;

	while (from < p->nr && ours(p->frame[from]))	/* the program's frames are what it is about */
		from++;
	if (from == p->nr)
		from = 0;	/* linked statically: then they are all in one file */
	snprintf(buf, size, "a place unknown");
	for (int i = from; i < p->nr && i < from + SHOWN && at < size; i++) {
		if (i > from && in_libc(p->frame[i]))
			break;
		at += (size_t)snprintf(buf + at, size - at, "%s", i > from ? " < " : "");
		if (at < size)
			at += (size_t)format_frame(p->frame[i], buf + at, size - at);
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * trace.h - "trace:" before any URI: show each call, and find wrong ones.
 *
 * What goes wrong with handles goes wrong above the backends' table: a handle
 * that was let go of never gets there, and a wait has no entry in it.  So a traced
 * device is a watched one (watch.h), and its handles are not freed but kept, marked
 * as gone, with the place where that happened.
 */
#ifndef ISMI_TRACE_H
#define ISMI_TRACE_H

#include "watch.h"

enum { ISMI_PLACE_FRAMES = 10 };

/* When, in which thread and where in the program something happened. */
struct ismi_place {
	int64_t at_ns;
	int tid, nr;
	void *frame[ISMI_PLACE_FRAMES];
};

/* The life of a handle. */
struct ismi_life {
	uint64_t number;
	bool gone;
	const char *by;			/* the call that ended it */
	struct ismi_place born, ended;
	void *kept;			/* the handle, after that */
	TAILQ_ENTRY(ismi_life) all;
};

struct ismi_trace {
	struct ism_device *dev;
	struct ismi_life life;
	int pid;
	LIST_HEAD(, ismi_call) calls;
	LIST_ENTRY(ismi_trace) all;
};

/* Trace this device, which is open: 0 or -ENOMEM. */
int ismi_trace_init(struct ism_device *dev);
/* Where the trace goes: 0, or what is wrong with $ISM_TRACE. */
int ismi_trace_check(void);
/* ism_open() has returned. */
void ismi_trace_opened(const char *backend, const char *address, const struct ism_device *dev, int r, int64_t began);

/*
 * A region or a ring begins: 0 or -ENOMEM.  It ends, and is not to be freed: somebody may still use it.
 * @by: the call that ended it, unless that is known already.  A device is never freed.
 */
int ismi_trace_born(struct ismi_life **ret);
void ismi_trace_keep(struct ismi_life *life, void *handle, const char *by);

/* A call begins: 0, or what it returns because it is wrong; and ends.  @result: in words, "" if the number is enough. */
int ismi_trace_begin(struct ismi_call *c, enum ismi_use use);
void ismi_trace_end(struct ismi_call *c, int64_t r, const char *result);

/* For texts: "region 3", "dev 1"; "1.5 ms"; a token, but for most of it. */
const char *ismi_trace_region_name(const struct ism_region *region, char *buf, size_t size);
const char *ismi_trace_time(int64_t ns, char *buf, size_t size);
void ismi_trace_token(uint64_t token, char *buf, size_t size);

/* place.c */
void ismi_place_here(struct ismi_place *p);
/* "main+0x12 (app+0x1234) < ..." */
void ismi_place_format(const struct ismi_place *p, char *buf, size_t size);

#endif /* ISMI_TRACE_H */

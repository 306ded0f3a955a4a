/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * trace.c - show each call on a traced device, and find wrong ones.
 *
 * A line is written at once, so that threads and processes do not mix theirs.
 * The file is opened for each, as a forked child has no descriptors of ours.
 */
#include "backends/trace/trace.h"

#include "watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Handles that ended and are kept: of regions no more than these, the oldest go. */
enum { KEPT_MAX = 1 << 16, LINE = 2048, WHERE = 400 };

static struct {
	pthread_mutex_t lock;		/* within device.lock, and device.bell within it */
	pthread_once_t once;
	int64_t began;
	char file[4096];		/* absolute; "": standard error */
	uint64_t last_device, last_handle;
	LIST_HEAD(, ismi_trace) devices;	/* open or not */
	TAILQ_HEAD(, ismi_life) kept;
	unsigned int nr_kept;
} trace = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT, .kept = TAILQ_HEAD_INITIALIZER(trace.kept) };

/* ------------------------------------------------------------------ texts */

const char *ismi_trace_time(int64_t ns, char *buf, size_t size)
{
	static const struct {
		int64_t below, unit;
		const char *name;
	} units[] = { { 1000, 1, "ns" }, { 1000000, 1000, "us" }, { 1000000000, 1000000, "ms" }, { INT64_MAX, 1000000000, "s" } };
	size_t i = 0;

	while (ns >= units[i].below && i < 3)
		i++;
	if (ns < 0)
		snprintf(buf, size, "for ever");
	else
		snprintf(buf, size, "%.3g %s", (double)ns / (double)units[i].unit, units[i].name);
	return buf;
}

void ismi_trace_token(uint64_t token, char *buf, size_t size)
{
	snprintf(buf, size, "%04x..", (unsigned int)(token >> 48));
}

const char *ismi_trace_region_name(const struct ism_region *region, char *buf, size_t size)
{
	snprintf(buf, size, "region %" PRIu64, region->life->number);
	return buf;
}

static const char *handle_name(const struct ismi_call *c, char *buf, size_t size)
{
	if (c->ring != NULL)
		snprintf(buf, size, "ring %" PRIu64, c->ring->number);
	else if (c->region != NULL)
		ismi_trace_region_name(c->region, buf, size);
	else
		snprintf(buf, size, "dev %" PRIu64, c->dev->trace->life.number);
	return buf;
}

static void put_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void put_line(const char *fmt, ...)
{
	char line[LINE];
	int64_t us = (ismi_now_ns() - trace.began) / 1000;
	int saved = errno, fd = STDERR_FILENO;
	size_t n = (size_t)snprintf(line, sizeof line, "ism[%ld] %" PRId64 ".%06d ", (long)getpid(), us / 1000000,
				    (int)(us % 1000000));
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
	va_end(ap);
	n = strlen(line);
	line[n++] = '\n';
	if (trace.file[0] != '\0')
		fd = ismi_sys_open(trace.file, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY, 0600);
	if (fd >= 0)
		ismi_sys_write(fd, line, n);
	if (trace.file[0] != '\0')
		ismi_sys_close(fd);
	errno = saved;
}

/* ------------------------------------------------------------------ life */

static void fork_prepare(void)
{
	pthread_mutex_lock(&trace.lock);
}

static void fork_done(void)
{
	pthread_mutex_unlock(&trace.lock);
}

static void at_exit(void)
{
	const struct ismi_trace *t;
	char where[WHERE];

	pthread_mutex_lock(&trace.lock);
	LIST_FOREACH (t, &trace.devices, all) {
		if (t->life.gone || ismi_forked(t->dev))
			continue;
		ismi_place_format(&t->life.born, where, sizeof where);
		put_line("LEFT: dev %" PRIu64 " was never closed; opened at %s", t->life.number, where);
	}
	pthread_mutex_unlock(&trace.lock);
}

static void init_once(void)
{
	trace.began = ismi_now_ns();
	pthread_atfork(fork_prepare, fork_done, fork_done);
	atexit(at_exit);
}

static int file_check(const char *name)
{
	char *dir = *name == '/' ? NULL : getcwd(NULL, 0);	/* the program may go elsewhere */
	int n = snprintf(trace.file, sizeof trace.file, "%s%s%s", dir != NULL ? dir : "", dir != NULL ? "/" : "", name);

	free(dir);
	if (n < 0 || (size_t)n >= sizeof trace.file) {
		trace.file[0] = '\0';
		return ismi_fail(-ENAMETOOLONG, "ISM_TRACE=\"%.64s...\" is too long for a path", name);
	}
	int fd = ismi_sys_open(trace.file, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY, 0600);
	ismi_sys_close(fd);
	if (fd < 0) {
		trace.file[0] = '\0';
		return ismi_fail(fd, "ISM_TRACE=\"%.64s\": cannot be opened: %s", name, strerror(-fd));
	}
	return 0;
}

int ismi_trace_check(void)
{
	const char *name = secure_getenv("ISM_TRACE");
	int r = 0;

	pthread_once(&trace.once, init_once);
	pthread_mutex_lock(&trace.lock);
	if (name == NULL || *name == '\0')
		trace.file[0] = '\0';
	else if (strcmp(name, trace.file) != 0)
		r = file_check(name);
	pthread_mutex_unlock(&trace.lock);
	return r;
}

int ismi_trace_init(struct ism_device *dev)
{
	struct ismi_trace *t = calloc(1, sizeof *t);

	if (t == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	t->dev = dev;
	t->pid = getpid();
	ismi_place_here(&t->life.born);
	LIST_INIT(&t->calls);
	pthread_mutex_lock(&trace.lock);
	t->life.number = ++trace.last_device;
	LIST_INSERT_HEAD(&trace.devices, t, all);
	pthread_mutex_unlock(&trace.lock);
	dev->trace = t;
	dev->gate = ISMI_GATE_WATCHED;
	return 0;
}

int ismi_trace_born(struct ismi_life **ret)
{
	struct ismi_life *life = calloc(1, sizeof *life);

	if (life == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	ismi_place_here(&life->born);
	pthread_mutex_lock(&trace.lock);
	life->number = ++trace.last_handle;
	pthread_mutex_unlock(&trace.lock);
	*ret = life;
	return 0;
}

static void end_life(struct ismi_life *life, const char *by)
{
	ismi_place_here(&life->ended);
	life->by = by;
	life->gone = true;
}

void ismi_trace_keep(struct ismi_life *life, void *handle, const char *by)
{
	struct ismi_life *old = NULL;

	pthread_mutex_lock(&trace.lock);
	if (!life->gone)
		end_life(life, by);
	life->kept = handle;
	TAILQ_INSERT_TAIL(&trace.kept, life, all);
	if (++trace.nr_kept > KEPT_MAX) {
		old = TAILQ_FIRST(&trace.kept);
		TAILQ_REMOVE(&trace.kept, old, all);
		trace.nr_kept--;
	}
	pthread_mutex_unlock(&trace.lock);
	if (old != NULL)
		free(old->kept);
	free(old);
}

void ismi_trace_opened(const char *backend, const char *address, const struct ism_device *dev, int r, int64_t began)
{
	char took[32];

	ismi_trace_time(ismi_now_ns() - began, took, sizeof took);
	if (r < 0)
		put_line("ism_open(\"%s:%s\") = %d (%s) <%s>", backend, address, r, ismi_fail_text(), took);
	else
		put_line("ism_open(\"%s:%s\") = 0, dev %" PRIu64 ": device %" PRIu64 " of domain %016" PRIx64 " <%s>", backend,
			 address, dev->trace->life.number, dev->info.devid, dev->info.gid, took);
}

/* ------------------------------------------------------------------ wrong use */

/* @ended: the handle's, if that is what is wrong. */
static void misuse(struct ismi_call *c, const struct ismi_life *ended, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void misuse(struct ismi_call *c, const struct ismi_life *ended, const char *fmt, ...)
{
	char name[32], from[WHERE], at[WHERE] = "", what[WHERE];
	struct ismi_place here;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	ismi_place_here(&here);
	ismi_place_format(&here, from, sizeof from);
	if (ended != NULL)
		ismi_place_format(&ended->ended, at, sizeof at);
	handle_name(c, name, sizeof name);
	put_line("MISUSE: %s(%s%s): %s\n    called from %s%s%s", c->name, name, c->args, what, from,
		 ended != NULL ? "\n    it ended at " : "", at);
	ismi_fail(-EINVAL, "%s(%s): %.200s", c->name, name, what);
	c->said = true;
}

static void used_after(struct ismi_call *c, const char *object, const struct ismi_life *life)
{
	char ago[32];

	misuse(c, life, "this %s is gone: %s() ended it %s ago, in thread %d", object, life->by,
	       ismi_trace_time(ismi_now_ns() - life->ended.at_ns, ago, sizeof ago), life->ended.tid);
}

/* Another call on what is about to end; NULL: none. */
static const struct ismi_call *call_under_way(const struct ismi_call *c)
{
	const struct ismi_call *other;

	LIST_FOREACH (other, &c->dev->trace->calls, of_device) {
		if (other != c && other->tid != c->tid && (c->region == NULL || other->region == c->region))
			return other;
	}
	return NULL;
}

/* Does a thread wait in a ring of a region that is about to end? */
static bool waited_on(struct ism_device *dev, const struct ism_region *region)
{
	const struct ism_region *h;
	bool waits = false;

	pthread_mutex_lock(&dev->bell);
	for (uint32_t i = 0; i < dev->nr_slots; i++) {
		if (dev->slot[i] == NULL)
			continue;
		LIST_FOREACH (h, &dev->slot[i]->handles, of_ref)
			waits |= h->nr_waiters > 0 && (region == NULL || region == h);
	}
	pthread_mutex_unlock(&dev->bell);
	return waits;
}

/* Is the call allowed, as far as the handles go?  The lock is held. */
static int check_locked(struct ismi_call *c, enum ismi_use use)
{
	const struct ismi_trace *t = c->dev->trace;
	const struct ismi_call *other;
	char since[32];

	if (c->ring != NULL && c->ring->gone) {
		used_after(c, "ring", c->ring);
		return -EINVAL;
	}
	if (c->region != NULL && c->region->life->gone) {
		used_after(c, "region", c->region->life);
		return -EINVAL;
	}
	if (t->life.gone) {
		used_after(c, "device", &t->life);
		return -EINVAL;
	}
	if (ismi_forked(c->dev)) {
		if (use != ISMI_USES && use != ISMI_WAITS)
			return 0;
		misuse(c, NULL, "this is a forked child; the device is of process %d, which opened it: open one here", t->pid);
		return -EOWNERDEAD;
	}
	other = use == ISMI_ENDS ? call_under_way(c) : NULL;
	if (other != NULL) {
		misuse(c, NULL, "thread %d has been in %s() on it for %s: interrupt it, and wait for it to return; nothing is done here",
		       other->tid, other->name, ismi_trace_time(ismi_now_ns() - other->began, since, sizeof since));
		return -EINVAL;
	}
	if (use == ISMI_ENDS && c->ring == NULL && waited_on(c->dev, c->region)) {
		misuse(c, NULL, "a thread waits in a ring of it: interrupt it, and wait for it to return; nothing is done here");
		return -EINVAL;
	}
	return 0;
}

/* What a device has that is closed now. */
static void list_left_locked(struct ism_device *dev)
{
	char where[WHERE], token[16];

	for (uint32_t i = 0; i < dev->nr_slots; i++) {
		const struct ism_region *h;
		if (dev->slot[i] == NULL)
			continue;
		LIST_FOREACH (h, &dev->slot[i]->handles, of_ref) {
			ismi_trace_token(dev->slot[i]->token, token, sizeof token);
			ismi_place_format(&h->life->born, where, sizeof where);
			put_line("LEFT: region %" PRIu64 " (token %s, %" PRIu64 " bytes) was not detached before ism_close(dev %" PRIu64
				 "); from %s", h->life->number, token, dev->slot[i]->mem.size, dev->trace->life.number, where);
		}
	}
}

/* ------------------------------------------------------------------ calls */

static struct ismi_life *life_of(const struct ismi_call *c)
{
	return c->ring != NULL ? c->ring : c->region != NULL ? c->region->life : &c->dev->trace->life;
}

int ismi_trace_begin(struct ismi_call *c, enum ismi_use use)
{
	char name[32];

	c->began = ismi_now_ns();
	c->tid = (int)syscall(SYS_gettid);
	c->said = use == ISMI_USES_QUIETLY;
	pthread_mutex_lock(&trace.lock);
	int r = check_locked(c, use);
	if (r == 0 && !ismi_forked(c->dev)) {
		LIST_INSERT_HEAD(&c->dev->trace->calls, c, of_device);
		c->listed = true;
		if (use == ISMI_ENDS && c->region == NULL)
			list_left_locked(c->dev);
		if (use == ISMI_ENDS)
			end_life(life_of(c), c->name);
	}
	pthread_mutex_unlock(&trace.lock);
	if (r < 0)
		return r;
	if (use == ISMI_WAITS)
		put_line("%s(%s%s) ...", c->name, handle_name(c, name, sizeof name), c->args);
	return 0;
}

void ismi_trace_end(struct ismi_call *c, int64_t r, const char *result)
{
	char name[32], took[32];

	if (c->listed) {
		pthread_mutex_lock(&trace.lock);
		LIST_REMOVE(c, of_device);
		pthread_mutex_unlock(&trace.lock);
	}
	if (c->said)
		return;
	put_line("%s(%s%s) = %" PRId64 "%s%s%s%s <%s>", c->name, handle_name(c, name, sizeof name), c->args, r,
		 r < 0 ? " (" : "", r < 0 ? ismi_fail_text() : "", r < 0 ? ")" : "", r < 0 ? "" : result,
		 ismi_trace_time(ismi_now_ns() - c->began, took, sizeof took));
}

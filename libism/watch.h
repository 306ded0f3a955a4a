/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * watch.h - calls on a device that somebody watches: a trace, or a test that
 * makes them fail.
 *
 * Every public call asks already whether it runs in a forked child, by comparing
 * one number.  A watched device has a number there that never fits, so the same
 * comparison finds both, and a device that nobody watches pays nothing.  Such a
 * call goes through a function here, which does what the watchers want and makes
 * the call again, past the comparison.
 */
#ifndef ISMI_WATCH_H
#define ISMI_WATCH_H

#include "internal.h"

/* device.gate of a watched device. */
#define ISMI_GATE_WATCHED UINT_MAX

/* The next call of this thread passes. */
void ismi_call_pass(void);
/* Is this the second time, from within watch.c?  Says so once. */
bool ismi_call_passes(void);

/* Not an everyday call: to be made through watch.c. */
static inline bool ismi_unusual(const struct ism_device *dev)
{
	return dev->gate != ismi_fork_count && !ismi_call_passes();
}

/* The same for calls that only look at a handle, also in a forked child: has it been let go of, and is that known? */
bool ismi_watched_gone(const struct ism_region *region, const char *call);
static inline bool ismi_gone(const struct ism_region *region, const char *call)
{
	return region->dev->gate != ismi_fork_count && ismi_watched_gone(region, call);
}

void ismi_watched_close(struct ism_device *dev);
int ismi_watched_query(struct ism_device *dev, struct ism_info *ret);
int ismi_watched_query_stats(struct ism_device *dev, struct ism_stats *ret);
int ismi_watched_fd(struct ism_device *dev);
int ismi_watched_wait(struct ism_device *dev, struct ism_event *ev, size_t nr, size_t size, int64_t timeout_ns);
int ismi_watched_event_next(struct ism_device *dev, struct ism_event *ev, size_t size);
int ismi_watched_list_devices(struct ism_device *dev, struct ism_device_entry *ret, size_t nr, size_t size,
			      uint64_t *cursor);
int ismi_watched_list_regions(struct ism_device *dev, struct ism_region_entry *ret, size_t nr, size_t size,
			      uint64_t *cursor);
int ismi_watched_list_referrers(struct ism_device *dev, uint64_t token, struct ism_referrer_entry *ret, size_t nr,
				size_t size, uint64_t *cursor);
int ismi_watched_list_users(struct ism_device *dev, struct ism_user_entry *ret, size_t nr, size_t size,
			    uint64_t *cursor);
int ismi_watched_query_domain(struct ism_device *dev, struct ism_domain_info *ret);
int ismi_watched_kick(struct ism_device *dev, uint64_t devid);

int ismi_watched_alloc(struct ism_device *dev, size_t size, const struct ism_alloc_opts *opts, size_t nr,
		       struct ism_region **ret);
int ismi_watched_attach(struct ism_device *dev, uint64_t token, uint32_t rights, const struct ism_attach_opts *opts,
			struct ism_region **ret);
int ismi_watched_replace(struct ism_region *region, const struct ism_alloc_opts *opts, struct ism_region **ret);
int ismi_watched_attach_successor(struct ism_region *region, uint32_t rights, const struct ism_attach_opts *opts,
				  struct ism_region **ret);
int ismi_watched_shut_out(struct ism_device *dev, uint64_t token, const uint64_t *devid, size_t nr,
			  struct ism_region **ret);
void ismi_watched_detach(struct ism_region *region);
int ismi_watched_peers(struct ism_region *region, uint64_t *ret_devids, size_t nr);
int ismi_watched_grant(struct ism_region *region, uint64_t devid, uint32_t rights);
int ismi_watched_grant_default(struct ism_region *region, uint32_t rights);
int ismi_watched_notify(struct ism_region *region);
int ismi_watched_region_wait(struct ism_region *region, int64_t timeout_ns);
int ismi_watched_region_clear(struct ism_region *region);
int ismi_watched_region_fd(struct ism_region *region);

/* ------------------------------------------------------------------ for what makes such calls */

enum { ISMI_TEXT = 512, ISMI_NO_FAULT = -1 };

struct ismi_life;

/* A call under way. */
struct ismi_call {
	const char *name;
	struct ism_device *dev;
	struct ism_region *region;	/* NULL: a call on the device */
	struct ismi_life *ring;		/* of a ring in that region; NULL */
	char args[ISMI_TEXT];		/* behind the handle's, with a comma before */
	int64_t began;
	int tid;
	bool said;			/* nothing more is to be printed of it */
	bool listed;			/* in its device's list */
	LIST_ENTRY(ismi_call) of_device;
};

/* What a call does to its handle.  Quietly: it only looks at it, and is not shown. */
enum ismi_use { ISMI_USES, ISMI_USES_QUIETLY, ISMI_WAITS, ISMI_ENDS };

/* Append words to a text of ISMI_TEXT bytes. */
void ismi_say(char *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ismi_say_timeout(char *buf, int64_t timeout_ns);

/*
 * May this call go on?  If so 0, and the next call of this thread passes; else
 * what it returns, or 1 if it is to look well without having been made.
 * @point: enum fault_point, or ISMI_NO_FAULT.
 */
int ismi_call_begin(struct ismi_call *c, enum ismi_use use, int point);
/* It returns @r, and so does this. */
int64_t ismi_call_end(struct ismi_call *c, int64_t r, const char *result);

#endif /* ISMI_WATCH_H */

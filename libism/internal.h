/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * internal.h - private structures of the core, and its lock order.
 *
 * Locks of a device, outermost first:
 *
 *   lock   control: the conversation with the device, mappings, life of refs
 *   bell   doorbells and events: delivery, what is pending, who waits
 *
 * The process-wide list of devices has a lock of its own, taken with none held.
 */
#ifndef ISMI_INTERNAL_H
#define ISMI_INTERNAL_H

#include "backend.h"
#include "base/atomics.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/spec.h"
#include "base/spin.h"
#include "base/sys.h"
#include "kept.h"
#include "map.h"
#include "pool.h"

#include <bsd/sys/queue.h>
#include <ism.h>
#include <limits.h>
#include <pthread.h>

enum { ISMI_EVENT_QUEUE = 4096, ISMI_EPOLL_KICK = UINT32_MAX };

/* A mapping of a region, shared by the handles with the same rights. */
struct ismi_mapping {
	void *addr;
	unsigned int users;
	bool in_window;		/* else on its own: the window had this region mapped already */
};

/* A region as one device refers to it; handles share it. */
struct ismi_ref {
	uint64_t token;		/* first: the key of device.refs */
	struct ismi_memory mem;	/* its fd is closed and -1 */
	struct ismi_mapping map[2];	/* read-only, read-write; under device.lock */
	_Atomic(void *) priv;		/* the backend's */
	struct ismi_pooled *pooled;	/* what it is made of, if that is to be kept; under device.lock */
	/* Under device.bell: */
	uint32_t peers;			/* other referrers, as the last event said */
	bool had_peers;
	bool moved;			/* it may have a successor */
	LIST_HEAD(, ism_region) handles;
};

/* What goes along when its region is replaced: a ring. */
struct ismi_follower {
	_Atomic uint32_t odd;		/* not an everyday state: ISMI_ODD_*; the others are its owner's */
	LIST_ENTRY(ismi_follower) of_region;
};
enum { ISMI_ODD_MOVED = 1 };		/* its region may have a successor */

struct ism_region {
	struct ism_device *dev;
	struct ismi_ref *ref;
	void *addr, *data;
	uint32_t rights, flags;
	struct ismi_life *life;		/* traced; NULL */
	int vector_fd;			/* -1: none */
	_Atomic uint32_t pending;	/* rung and not taken */
	/* Under device.bell: */
	uint64_t ringer;		/* devid of the last ring */
	unsigned int nr_waiters;	/* threads in ism_region_wait() */
	unsigned int nr_sleepers;	/* those of them that may be asleep */
	bool in_updates;
	LIST_HEAD(, ismi_follower) followers;
	TAILQ_ENTRY(ism_region) update;
	LIST_ENTRY(ism_region) of_ref;
};

struct ismi_event {
	struct ism_event ev;
	uint64_t number;		/* in the stash: as delivered */
	uint32_t slot;
	TAILQ_ENTRY(ismi_event) all;
};
TAILQ_HEAD(ismi_event_list, ismi_event);

/* Counters; see struct ism_stats.  Of what is done often, by ismi_count(). */
struct ismi_counters {
	_Atomic uint64_t notifies, rings_direct, rings_host, wakes_sent, wakes_suppressed, control_calls;
	_Atomic uint64_t links, regions, bytes;	/* of this moment */
};

struct ism_device {
	const struct ismi_backend *ops;
	void *priv;
	unsigned int fork_count;
	unsigned int gate;		/* the same, unless the device is watched: see watch.h */
	struct ismi_faulty *faulty;	/* faults of a test; NULL */
	struct ismi_trace *trace;	/* NULL */
	struct ism_info info;
	struct ismi_log log;
	int64_t timeout_ns, restart_ns;
	struct ismi_counters count;
	struct ismi_spin_policy spin;
	LIST_ENTRY(ism_device) all;

	pthread_mutex_t lock;
	struct ismi_window window;
	void *refs;			/* tsearch tree, by token; changed under both locks */
	struct ismi_pool pool;		/* under lock */
	struct ismi_kept_list kept;	/* the same */
	struct ismi_memory *given;	/* allocated, and on the way to become handles; under lock */
	size_t nr_given;
	bool no_batches;		/* an older host, which knows no command about many regions; under lock */

	pthread_mutex_t bell;
	pthread_cond_t bell_cond;	/* followers: see wait.c */
	int epfd, kick_fd;		/* what the leader sleeps on, and what wakes it from within */
	int lent_epfd, level_fd;	/* what ism_fd() lends: epfd, and what is queued here; -1: not lent */
	struct ismi_ref **slot;		/* by slot */
	uint32_t nr_slots;
	TAILQ_HEAD(, ism_region) updates;	/* handles whose doorbell is not reported yet */
	struct ismi_event_list events;
	unsigned int nr_events;
	/* The device may speak of a region before the call that attaches it has returned: kept until then. */
	unsigned int nr_attaching;
	struct ismi_event_list stash;
	unsigned int nr_stashed;
	bool lost;			/* events were dropped and nobody has been told */
	bool reset;			/* the host is gone */
	bool kicked;			/* kick_fd has been written to */
	bool level;			/* level_fd is readable */
	bool leader;			/* a thread is, or is about to be, asleep in epoll_wait() */
	unsigned int nr_followers;
	unsigned int nr_event_sleepers;	/* threads in ism_wait() that may be asleep */
	unsigned int idle_looks;	/* looks without a system call since the last one with */
	_Atomic bool housework;		/* ops->housekeep() has something to do */
	_Atomic uint32_t interrupts;
	_Atomic uint32_t interrupts_taken;
};

/* Not exact between threads: an atomic addition costs as much as what is counted. */
static inline void ismi_count(_Atomic uint64_t *counter, uint64_t n)
{
	ismi_store_relaxed(counter, ismi_load_relaxed(counter) + n);
}

/* In a forked child everything but closing fails. */
static inline bool ismi_forked(const struct ism_device *dev)
{
	return dev->fork_count != ismi_fork_count;
}

int ismi_fail_forked(void);

/*
 * opts.c: structures of the caller's, which may be older or newer than this
 * library; see ism.h on growth.  @first_size: of the first version.
 */

/* The size that a structure had when @last was its last field. */
#define ISMI_UP_TO(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))

/* Copy options, if there are any, into a structure of @size bytes. */
int ismi_opts_copy(void *ret, size_t size, size_t first_size, const void *opts, const char *name);
/* Fill what the caller has room for, and say in its size how much that was. */
int ismi_info_fill(void *ret, const void *from, size_t size, size_t first_size, const char *name);
/* Fill entry @i of an array whose entries have @have bytes; what is beyond @size becomes zero. */
void ismi_entry_put(void *array, size_t i, size_t have, const void *from, size_t size);

/* uri.c */
int ismi_uri_resolve(const char *uri, const struct ismi_backend **ret_backend, const char **ret_address,
		     bool *ret_trace);
/* The socket path of an "emu:" address: 0, -EINVAL, -ENAMETOOLONG, -EACCES, ... */
int ismi_emu_path(const char *address, char *buf, size_t size);

/* driver.c: what loop and emu have in common; the control entries of a backend with ops->command. */
struct store;
struct ismi_command {
	uint8_t req[ISMI_BATCH_REQ + 8 * ISMI_BATCH_MAX];	/* a batch has the longest, or SHUT_OUT, which has the same */
	size_t req_len;
	struct store **memory;		/* to give: a copy is sent */
	uint32_t nr_memory;
	uint8_t *reply;
	size_t cap, len;
	int fds[ISMI_BATCH_MAX];	/* that came with the answer; the caller's */
	unsigned int nr_fds;
};

/* Lists fill what room the device has for an answer: no less here. */
enum { ISMI_REPLY_MAX = 16384 };

void ismi_command_begin(struct ismi_command *c, enum ismi_cmd cmd, uint8_t *reply, size_t cap);
void ismi_command_add32(struct ismi_command *c, uint32_t v);
void ismi_command_add64(struct ismi_command *c, uint64_t v);
/*
 * Send, and wait for an answer of at least @len bytes behind the status, with
 * @nr_fds descriptors: under device.lock.  The status, or a negative errno.
 */
int ismi_command_run(struct ism_device *dev, struct ismi_command *c, size_t len, unsigned int nr_fds);
/* Descriptors that came are not wanted. */
void ismi_command_close(struct ismi_command *c);
/* The errno, with words, of a status that means the same in all commands. */
int ismi_command_error(int status, const char *what);

int ismi_driver_alloc(struct ism_device *dev, const struct ismi_alloc *want, uint32_t nr, struct ismi_memory *ret);
int ismi_driver_attach(struct ism_device *dev, uint64_t token, uint32_t rights, struct ismi_memory *ret);
/* What goes wrong in an attach: an errno, with words. */
int ismi_driver_attach_error(int status);
/* Read an area that ATTACH_EX answers: 0, or what is wrong with it or with its memory (@fd; -1: it is known). */
int ismi_driver_attached(const struct ism_device *dev, uint64_t token, const uint8_t *area, int fd,
			 struct ismi_memory *ret);
/* What the device gave cannot be used here; what this device has of that region already stays. */
void ismi_driver_give_back(struct ism_device *dev, uint64_t token);
/* driver-batch.c */
int ismi_driver_attach_many(struct ism_device *dev, const uint64_t *tokens, uint32_t nr, uint32_t rights,
			    struct ismi_memory *ret);
void ismi_driver_detach_many(struct ism_device *dev, struct ismi_leave *leave, uint32_t nr);
int ismi_driver_replace(struct ism_device *dev, uint64_t token, const struct ismi_alloc *want, struct ismi_memory *ret);
int ismi_driver_successor(struct ism_device *dev, uint64_t token, uint64_t *ret_token, uint32_t *ret_others);
/* @nr: at most ISMI_SHUT_OUT_MAX. */
int ismi_driver_shut_out(struct ism_device *dev, uint64_t token, const uint64_t *devid, size_t nr,
			 struct ismi_memory *ret);
void ismi_driver_detach(struct ism_device *dev, uint64_t token);
int ismi_driver_grant(struct ism_device *dev, uint64_t token, uint64_t devid, uint32_t rights);
int ismi_driver_peers(struct ism_device *dev, uint64_t token, uint64_t *ret_devids, size_t nr);
/* Regions that the device refers to as its host knows it, from the @skip-th on: fills up to @nr tokens, returns how many. */
int ismi_driver_own(struct ism_device *dev, uint64_t skip, uint64_t *ret, size_t nr);
int ismi_driver_vector(struct ism_device *dev, uint64_t token, bool on, int *ret_fd);

/* One entry of LIST. */
struct ismi_peer {
	uint64_t devid;
	uint32_t slot;			/* in its own numbering; ISMI_SLOT_NONE: ring through the host */
	bool shut_out;
};
/* Fill up to @nr from the @skip-th on; *ret_total is how many there are.  Returns how many were filled. */
int ismi_driver_list(struct ism_device *dev, uint64_t token, uint64_t skip, struct ismi_peer *ret, size_t nr,
		     uint64_t *ret_total);
/* A direct link: its number and id, and its descriptors (the caller's) in fds[]; their number. */
int ismi_driver_link(struct ism_device *dev, uint64_t devid, uint32_t *ret_number, uint64_t *ret_id, int fds[4]);

/* handle.c: free a handle, unless somebody has to know later that there was one. */
void ismi_region_free(struct ism_region *region);
/* A handle for what the device gave: under device.lock.  mem's descriptor is closed in any case. */
int ismi_handle_new(struct ism_device *dev, struct ismi_memory *mem, uint32_t rights, uint32_t flags,
		    struct ismi_pooled *pooled, struct ism_region **ret);
/* detach.c: let go of up to ISMI_BATCH_MAX handles: under device.lock. */
void ismi_handles_del(struct ism_device *dev, struct ism_region *const *regions, size_t nr);
static inline void ismi_handle_del(struct ism_region *region)
{
	ismi_handles_del(region->dev, &region, 1);
}
/* handle.c: a handle goes, and with the last one of its rights the mapping.  Forget a reference that has neither. */
void ismi_mapping_put(struct ism_device *dev, struct ismi_ref *ref, bool writable);
void ismi_ref_del(struct ism_device *dev, struct ismi_ref *ref);
enum { ISMI_HUGE_PAGE = 2 * 1024 * 1024 };
/* Give a region what was wished for. */
int ismi_handle_wishes(struct ism_region *region, uint32_t flags, int node);
/* alloc.c */
int ismi_alloc_check(const struct ism_device *dev, size_t size, const struct ism_alloc_opts *o, struct ismi_alloc *ret);
/* region.c */
int ismi_attach_check(uint32_t rights, const struct ism_attach_opts *opts, uint32_t *ret_flags);
int ismi_attach_locked(struct ism_device *dev, uint64_t token, uint32_t rights, uint32_t flags,
		       struct ism_region **ret);

/*
 * successor.c: as ism_attach_successor(), and how many other devices are going
 * the same way or have gone.  @ret: NULL to ask for that alone.
 */
int ismi_attach_successor(struct ism_region *region, uint32_t rights, uint32_t flags, struct ism_region **ret,
			  uint32_t *ret_others);
/* From now on it hears of a successor, maybe at once; no longer. */
void ismi_follow(struct ism_region *region, struct ismi_follower *f);
void ismi_unfollow(struct ism_region *region, struct ismi_follower *f);
/* A region may have been replaced, or any of them: under device.bell. */
void ismi_deliver_moved(struct ismi_ref *ref);
void ismi_deliver_moved_any(struct ism_device *dev);
/* Stubs of backends without. */
int ismi_no_replace(struct ism_device *dev, uint64_t token, const struct ismi_alloc *want, struct ismi_memory *ret);
int ismi_no_successor(struct ism_device *dev, uint64_t token, uint64_t *ret_token, uint32_t *ret_others);
int ismi_no_shut_out(struct ism_device *dev, uint64_t token, const uint64_t *devid, size_t nr, struct ismi_memory *ret);

/* handle.c: under both locks. */
struct ismi_ref *ismi_ref_find(struct ism_device *dev, uint64_t token);
/* Does anything here refer to a region that the device refers to?  Under device.lock. */
bool ismi_token_ours(struct ism_device *dev, uint64_t token);

/* event.c: delivery, called by backends under device.bell. */
void ismi_deliver_bell(struct ism_device *dev, uint32_t slot, uint64_t devid);
void ismi_deliver_event(struct ism_device *dev, uint32_t type, uint64_t token, uint64_t devid, uint32_t peers,
			uint64_t number);
/* Events are gone that cannot be had back; the backend then says how many peers each region has now. */
void ismi_deliver_lost(struct ism_device *dev);
void ismi_deliver_peers(struct ism_device *dev, struct ismi_ref *ref, uint32_t peers);
/* The host is gone. */
void ismi_deliver_reset(struct ism_device *dev);
/* An attach or alloc is under way; it has ended, and this is what came of it (NULL: nothing). */
void ismi_attach_begin(struct ism_device *dev);
void ismi_attach_end(struct ism_device *dev, const struct ismi_ref *ref);
/* What was kept for it is of a former host. */
void ismi_stash_forget(struct ism_device *dev);
/* Forget what a handle has pending. */
void ismi_events_forget(struct ism_device *dev, struct ism_region *region);
void ismi_events_fini(struct ism_device *dev);
/* Take one: under device.bell. */
bool ismi_event_take(struct ism_device *dev, struct ism_event *ret);
bool ismi_event_any(const struct ism_device *dev);

/* wait.c */
struct ismi_wait {
	struct ism_device *dev;
	struct ism_region *region;	/* waits for this one; NULL: for events of the device */
	/* Has it come?  Under device.bell: the result of the wait, or 0 to go on. */
	int (*done)(struct ismi_wait *wait);
	/* A look without any lock, while spinning; NULL: there is none. */
	bool (*peek)(struct ismi_wait *wait);
	bool no_spin;			/* the caller has done so itself */
	void *arg;
};
/* Wait; what done() returned, 0 on timeout, -EINTR. */
int ismi_wait_for(struct ismi_wait *wait, int64_t timeout_ns);
/* Deliver what has arrived, with system calls where they are due: under device.bell. */
void ismi_look(struct ism_device *dev);
/* After taking something: make a lent fd speak the truth again.  Under device.bell. */
void ismi_settle(struct ism_device *dev);
/* Where something is taken out of memory or a descriptor and no settle follows: whoever polls the lent one has to see it. */
void ismi_delivered(struct ism_device *dev);
/* Do what poll() left to do; no locks. */
void ismi_housekeep(struct ism_device *dev);
/* Somebody sleeps who should see what was just delivered: under device.bell. */
void ismi_wake_sleepers(struct ism_device *dev);

/* notify.c: the done() of a wait for a doorbell. */
int ismi_region_rung(struct ismi_wait *wait);
/*
 * Without waiting, and without taking the doorbell: 0, or -EPIPE as
 * ism_region_wait() has it.  @look: at what has arrived since the last look.
 */
int ismi_region_deserted(struct ism_region *region, bool look);

#endif /* ISMI_INTERNAL_H */

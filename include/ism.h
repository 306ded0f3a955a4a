/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ism.h - devices, regions, rights, doorbells and events of virtio-ism.
 *
 * One API for memory that is shared on demand and named by a token: inside one
 * process (loop:), between processes and containers (emu:), and in virtual
 * machines (dev:).  ism(7) is the introduction; every function has a manual page.
 *
 * The contract, once for all calls:
 *
 *  - A call returns 0, a count, or a negative errno; what it was to fill is
 *    untouched on failure, and ism_error_detail() says in words what was wrong.
 *  - Handles are opaque.  Calls on one device are safe from any thread, except
 *    that closing a handle must not race with another call on it.  Two threads may
 *    wait on two regions, and do not take each other's doorbells.
 *  - A region is one piece of memory, however many areas the device made it of.
 *    Each attach gives a handle of its own; the last one to go unmaps it.
 *  - Stores made before ism_region_notify() are visible to whoever sees that
 *    doorbell: after ism_region_wait(), ism_region_clear() or the UPDATE event.
 *  - Doorbells coalesce: several may be seen as one, none is ever lost.  One
 *    may be seen that nobody rang: look at the memory before acting on it.
 *  - A peer is not trusted.  It may write any bytes into a region it shares with
 *    WRITE, at any moment: copy what you check, and use the copy.
 *  - After RESET tokens have ended, while memory and direct doorbells between those
 *    that are left go on.  After LOST events are missing: list the peers anew.
 *  - In the child of fork() memory stays mapped, calls return -EOWNERDEAD,
 *    ism_close() is harmless to the parent, and no descriptor of the library is
 *    open.
 *
 * Nothing about the ABI is promised before version 1.0.
 */
#ifndef ISM_H
#define ISM_H

#include <stddef.h>
#include <stdint.h>

#include <ism-version.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ISM_API		   __attribute__((visibility("default")))
#define ISM_CHECK	   __attribute__((warn_unused_result))
#define ISM_NONNULL(...)   __attribute__((nonnull(__VA_ARGS__)))
#else
#define ISM_API
#define ISM_CHECK
#define ISM_NONNULL(...)
#endif

struct ism_device;
struct ism_region;

/* ------------------------------------------------------------------ constants */

/* Rights of a device on a region (the proposal's permission bits). */
#define ISM_READ	  (UINT32_C(1) << 0)
#define ISM_WRITE	  (UINT32_C(1) << 1) /* needs ISM_READ: no MMU maps write-only */
#define ISM_ATTACH	  (UINT32_C(1) << 2)
#define ISM_MANAGE	  (UINT32_C(1) << 3) /* may grant, no more than it has itself */
#define ISM_CLEAN_DEFAULT (UINT32_C(1) << 4) /* in a grant: also clear the default */

/* Kinds of event. */
#define ISM_EVENT_UPDATE (UINT32_C(1) << 0) /* a peer rang the region's doorbell */
#define ISM_EVENT_ATTACH (UINT32_C(1) << 1) /* a peer attached the region */
#define ISM_EVENT_DETACH (UINT32_C(1) << 2) /* a peer detached it, or died */
#define ISM_EVENT_MOVED	 (UINT32_C(1) << 3) /* it was replaced: ism_attach_successor() */
#define ISM_EVENT_RESET	 (UINT32_C(1) << 4) /* the host is gone: tokens ended, mappings stay */
#define ISM_EVENT_LOST	 (UINT32_C(1) << 5) /* events were lost: list the peers anew, ask for successors */

/* ism_open_opts.flags */
#define ISM_OPEN_NO_HOST (UINT32_C(1) << 0) /* fail rather than host the domain here */

/* ism_alloc_opts.flags; ism_region_flags() tells which of them a region got. */
#define ISM_ALLOC_PRIVATE  (UINT32_C(1) << 0) /* default rights none: grant before a peer can attach */
#define ISM_ALLOC_HUGE	   (UINT32_C(1) << 1) /* huge pages */
#define ISM_ALLOC_NODE	   (UINT32_C(1) << 2) /* NUMA node ism_alloc_opts.node */
#define ISM_ALLOC_PREFAULT (UINT32_C(1) << 3) /* all pages present when the call returns */
#define ISM_ALLOC_VECTOR   (UINT32_C(1) << 4) /* a doorbell fd of its own, see ism_region_fd() */
#define ISM_ALLOC_REQUIRED (UINT32_C(1) << 5) /* fail where HUGE, NODE or PREFAULT cannot be had */
#define ISM_ALLOC_POOLED   (UINT32_C(1) << 6) /* of memory that was shared with ism_alloc_opts.peer before */

/* ism_attach_opts.flags */
#define ISM_ATTACH_PREFAULT ISM_ALLOC_PREFAULT
#define ISM_ATTACH_VECTOR   ISM_ALLOC_VECTOR

/* ism_open_opts.spin_us: never spin, sleep at once. */
#define ISM_SPIN_NONE UINT32_MAX

/* ism_open_opts.restart_ms: do not wait, fail with -EHOSTDOWN at once. */
#define ISM_RESTART_NONE UINT32_MAX

/* ism_info.host: who stands behind a device. */
#define ISM_HOST_PRIVATE  1 /* loop: a domain inside this process */
#define ISM_HOST_EMBEDDED 2 /* emu: a process that opened the domain hosts it, maybe this one */
#define ISM_HOST_DAEMON	  3 /* emu: ismd */
#define ISM_HOST_DEVICE	  4 /* a virtio-ism device */

/* ------------------------------------------------------------------ structures */

/*
 * Every options structure starts with its own size, set by the caller to
 * sizeof; zero in a field means the default.  A structure longer than the
 * library knows is accepted if the rest is zero, else -E2BIG; one shorter than
 * its first version is -EINVAL, and so are unknown flags and reserved fields
 * that are not zero.  Information structures are filled up to the smaller of
 * both sizes.
 */

struct ism_open_opts {
	size_t size;
	uint32_t flags;		/* ISM_OPEN_* */
	uint32_t spin_us;	/* cap of the spin before a sleep, microseconds; ISM_SPIN_NONE */
	uint64_t window_size;	/* bytes of address space to reserve; rounded down to a power of two, at most 1 TiB */
	uint32_t timeout_ms;	/* bound of a control call, default 10,000 */
	uint32_t restart_ms;	/* how long it waits for a daemon that is restarted, default 5,000; ISM_RESTART_NONE */
	const char *name;	/* label in `ism ls`, at most 31 bytes; default: the program's name */
	/* Log sink, called in the thread that logs; default: standard error as $ISM_LOG says. */
	void (*log)(void *data, int level, const char *subsystem, const char *message);
	void *log_data;
};

struct ism_info {
	size_t size;
	uint64_t gid;		/* the sharing domain */
	uint64_t devid;		/* this device in it, never 0 */
	uint64_t chunk_size;	/* regions are whole chunks, bytes */
	uint64_t notify_size;	/* of the device's notify area per chunk; 0: none */
	uint64_t window_size;	/* bytes that all attached regions can take together */
	uint64_t max_region;	/* largest region, bytes */
	uint32_t max_regions;	/* attached at one time */
	uint32_t host;		/* ISM_HOST_* */
	int32_t host_pid;	/* of the emulated host as this process sees it; 0: unknown */
	uint32_t features;	/* virtio feature bits */
	char backend[16];	/* "loop", "emu", "kdev" */
	char path[112];		/* socket, device node or domain name */
};

/* Counters of a device since it was opened. */
struct ism_stats {
	size_t size;
	uint64_t notifies;	   /* calls of ism_region_notify() */
	uint64_t rings_direct;	   /* doorbells rung in a peer's memory */
	uint64_t rings_host;	   /* doorbells given to the host to pass on */
	uint64_t wakes_sent;	   /* of these, with a system call because the other end slept */
	uint64_t wakes_suppressed; /* of these, without: awake, or pending already */
	uint64_t spins_paid;	   /* waits that ended while spinning */
	uint64_t spins_unpaid;	   /* spins that ended in a sleep */
	uint64_t sleeps;	   /* times a wait slept */
	uint64_t control_calls;	   /* commands sent to the device */
	uint64_t links;		   /* direct doorbell links now */
	uint64_t regions;	   /* regions attached now */
	uint64_t bytes;		   /* their size */
};

struct ism_alloc_opts {
	size_t size;
	uint32_t flags;	  /* ISM_ALLOC_* */
	int32_t node;	  /* with ISM_ALLOC_NODE */
	uint64_t peer;	  /* with ISM_ALLOC_POOLED: the devid of the one other device that may attach */
};

struct ism_attach_opts {
	size_t size;
	uint32_t flags;	  /* ISM_ATTACH_* */
	uint32_t reserved;
};

/* What ism_list_devices(), ism_list_regions() and ism_list_referrers() tell. */

struct ism_device_entry {
	uint64_t devid;
	uint64_t window_size;	 /* bytes */
	uint64_t bytes;		 /* of the regions it refers to */
	uint64_t failed;	 /* attaches that were refused, ever */
	uint32_t regions;	 /* it refers to */
	uint32_t uid;
	int32_t pid;		 /* as its host sees it; 0: unknown */
	uint32_t self;		 /* 1: the device that asks */
	char name[32];
};

struct ism_region_entry {
	uint64_t serial;	 /* order of allocation */
	uint64_t token;		 /* 0: not for this device to know */
	uint64_t region_size;	 /* bytes */
	uint64_t requested_size; /* bytes */
	uint64_t creator;	 /* devid; that device may have gone */
	uint32_t creator_uid;
	uint32_t referrers;
	uint32_t default_rights;
	uint32_t ended;		 /* 1: no manager refers to it, its token has ended */
	uint64_t successor;	 /* token; 0: none, or not for this device to know */
	uint32_t replaced;	 /* 1: it was; told to whoever may go over, the creator's user, the host's and root */
	uint32_t reserved;
};

struct ism_referrer_entry {
	uint64_t devid;
	uint32_t uid;
	uint32_t attached;	 /* rights with which it attached */
	uint32_t rights;	 /* what it may do now */
	uint32_t creator;	 /* 1: it is the creator */
	uint32_t shut_out;	 /* 1: it attached with more than it may do now: no doorbells */
	uint32_t reserved;
};

struct ism_user_entry {
	uint32_t uid;
	uint32_t devices;
	uint32_t regions;	 /* that these refer to, each counted for each device */
	uint32_t grants;	 /* that these have given to single devices */
	uint64_t bytes;		 /* of the regions */
	uint64_t failed;	 /* attaches that were refused, ever */
	uint64_t over_quota;	 /* calls that a quota was against, ever */
};

/* Limits that a host sets; 0: none. */
struct ism_quota {
	uint64_t bytes;
	uint32_t regions;
	uint32_t grants;
	uint32_t attach_rate;	 /* per second */
	uint32_t notify_rate;	 /* doorbells per second that the host passes on */
	uint32_t devices;	 /* of a user; no meaning for a device */
	uint32_t reserved;
};

/* What ism_query_domain() tells. */
struct ism_domain_info {
	size_t size;
	uint64_t gid;
	uint64_t devices;	 /* now, and so the next two */
	uint64_t regions;
	uint64_t bytes;
	uint32_t host;		 /* ISM_HOST_* */
	uint32_t host_uid;
	char version[16];	 /* of the host's libism */
	struct ism_quota device_quota;	/* of each device */
	struct ism_quota user_quota;	/* of all devices of a user together */
	uint32_t counted;	 /* 1: the counters are told; else they are 0 */
	uint32_t reserved;
	/* Since the host began; for its user and root alone. */
	uint64_t devices_ever;
	uint64_t allocs;
	uint64_t attaches;
	uint64_t detaches;
	uint64_t failed;	 /* attaches that were refused */
	uint64_t over_quota;	 /* calls that a quota was against */
	uint64_t commands;
	uint64_t rings;		 /* doorbells that the host passed on */
	uint64_t kicks;		 /* devices taken off */
};

struct ism_event {
	uint32_t type;		   /* one ISM_EVENT_* bit */
	uint32_t peers;		   /* ATTACH, DETACH, MOVED: other referrers after it */
	uint64_t devid;		   /* who rang, came, went or replaced it; 0: not known */
	uint64_t token;		   /* of the region; 0 for RESET and LOST */
	struct ism_region *region; /* NULL for RESET and LOST */
};

/* ------------------------------------------------------------------ device */

/*
 * Open a device: become an endpoint of a sharing domain.
 *
 * @uri: "loop:[NAME]", "emu:[PATH]", "dev:[PATH]", or "trace:" and one of these
 * (ism-backends(7): each call is shown, and wrong use found); NULL: $ISM_DEVICE, else
 * /dev/ism if it can be opened, else "emu:".  The path of "emu:" defaults to
 * $ISM_RUNTIME_DIR/default, $XDG_RUNTIME_DIR/ism/default, /run/ism/default (if
 * there) or /tmp/ism-UID/default, the first that applies.  Environment variables
 * are ignored in programs with raised privileges (secure_getenv).
 *
 * Ownership: *ret is the caller's until ism_close().
 * Threads: any.  Blocks up to opts->timeout_ms.  The first process to open an
 * emu: domain that has no host hosts it, in one thread that blocks all signals,
 * until its last device of the domain is closed.
 *
 * Returns 0, or
 *  -EINVAL      URI or options wrong
 *  -E2BIG       options from a newer version, in use
 *  -ENAMETOOLONG  the path does not fit a socket address
 *  -ENOENT      the path's directory, or the device node, is not there
 *  -ENOTDIR, -ELOOP  a part of the path is no directory, or has too many links
 *  -EEXIST      what is at the path is no socket
 *  -EACCES      the socket may not be used, or its host is not to be trusted
 *  -EHOSTDOWN   no host, and this process may not become it
 *  -EPROTO      what answers there is not a host of a version we speak
 *  -ENOSPC      a quota of the domain is used up
 *  -ETIMEDOUT   no answer in time
 *  -EOPNOTSUPP  a backend this build lacks
 *  -ENOMEM, -EMFILE, -ENFILE
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_open(const char *uri, const struct ism_open_opts *opts, struct ism_device **ret)
	ISM_NONNULL(3);

/*
 * Close a device: detach all its regions and give everything back.
 *
 * Ownership: the device and every handle of its regions are gone.  NULL is fine.
 * Threads: any, but no other call on the device may run: ism_interrupt() the
 * waiters and join them first.
 * Since 0.1.
 */
ISM_API void ism_close(struct ism_device *dev);

/*
 * Tell what the device is.
 *
 * @ret->size: set by the caller.
 * Threads: any.  Does not block.
 * Returns 0, -EINVAL (size below the first version's), -EOWNERDEAD (after fork).
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_query(struct ism_device *dev, struct ism_info *ret) ISM_NONNULL(1, 2);

/*
 * Read the device's counters.
 *
 * @ret->size: set by the caller.
 * Threads: any.  Does not block; counters of other threads may lag, and what several
 * threads count at the same time may be counted once.
 * Returns 0, -EINVAL (size below the first version's), -EOWNERDEAD (after fork).
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_query_stats(struct ism_device *dev, struct ism_stats *ret) ISM_NONNULL(1, 2);

/*
 * Which of this process's open devices reaches a peer of that domain?
 *
 * Ownership: the handle stays its opener's; it is valid until closed there.
 * Threads: any.
 * Returns the device opened last, or NULL if none is of domain @gid.
 * Since 0.1.
 */
ISM_API struct ism_device *ism_find_device(uint64_t gid);

/* ------------------------------------------------------------------ regions */

/*
 * Allocate a region.
 *
 * The pages are zero.  @size is rounded up to whole chunks; 0 is refused.
 * Unless ISM_ALLOC_PRIVATE is given, whoever knows the token may attach with
 * READ and WRITE.  HUGE, NODE and PREFAULT are wishes: see ism_region_flags().
 *
 * ISM_ALLOC_POOLED is for those who allocate for the same peer again and again:
 * such a region is PRIVATE, its peer is granted READ, WRITE and ATTACH, and its
 * content is undefined: zero, or what this device and that peer left in an earlier
 * one.  Its pages are then there already.  When it is let go of after the peer has
 * done so, its memory is kept for the next of that size and peer, at most 64
 * regions and 64 MiB for a device; unless something else was granted meanwhile.
 * Nothing that a third device may ever have seen is used again.
 *
 * Ownership: *ret is the caller's until ism_detach_region() or ism_close().
 * Threads: any.  Blocks for one control command.
 *
 * Returns 0, or
 *  -EINVAL     size 0, or options wrong
 *  -E2BIG      larger than the window can ever hold, or options from a newer version
 *  -ENOENT     ISM_ALLOC_POOLED: no device @peer in the domain
 *  -ENOSPC     window or quota full, or too many regions
 *  -ENOMEM     no memory, or no address space for the mapping
 *  -EOPNOTSUPP ISM_ALLOC_REQUIRED and this machine cannot
 *  -EHOSTDOWN  the host is gone
 *  -ETIMEDOUT  the host did not answer in time
 *  -EMFILE, -ENFILE, -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_alloc_region(struct ism_device *dev, size_t size, const struct ism_alloc_opts *opts,
				       struct ism_region **ret) ISM_NONNULL(1, 4);

/*
 * Allocate @nr regions of the same size in one round trip: all or none.
 *
 * @nr: 1 to 64.  Everything else as ism_alloc_region(), for each.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_alloc_regions(struct ism_device *dev, size_t size, const struct ism_alloc_opts *opts,
					size_t nr, struct ism_region **ret) ISM_NONNULL(1, 5);

/*
 * Attach the region that @token names.
 *
 * @rights: ISM_READ, or ISM_READ | ISM_WRITE.  Without WRITE the memory is
 * mapped read-only, and a store faults.
 *
 * Ownership: *ret is a handle of its own, the caller's until ism_detach_region()
 * or ism_close(); attaching twice gives two handles with separate doorbells.
 * Threads: any.  Blocks for one control command; one that fails is answered the
 * later the more have failed (about 1 ms to 1 s), so that tokens cannot be guessed.
 *
 * Returns 0, or
 *  -EINVAL     rights or options wrong, token 0
 *  -E2BIG      options from a newer version
 *  -ENOENT     no such region, or not for this device to know
 *  -EACCES     ISM_ATTACH or ISM_READ is not granted
 *  -EROFS      ISM_WRITE is not granted
 *  -ENOSPC     window or quota full, or too many regions
 *  -ENOMEM     no memory, or no address space for the mapping
 *  -EHOSTDOWN, -ETIMEDOUT, -EMFILE, -ENFILE, -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_attach_region(struct ism_device *dev, uint64_t token, uint32_t rights,
					const struct ism_attach_opts *opts, struct ism_region **ret)
	ISM_NONNULL(1, 5);

/*
 * Attach @nr regions with the same rights in one round trip: all or none.
 *
 * @tokens: of @nr regions; one may be there twice, and gets two handles.
 * @nr: 1 to 64.  Everything else as ism_attach_region(), for each.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_attach_regions(struct ism_device *dev, const uint64_t *tokens, uint32_t rights,
					 const struct ism_attach_opts *opts, size_t nr, struct ism_region **ret)
	ISM_NONNULL(1, 2, 6);

/*
 * Let go of a region handle.  The last handle of a region in this device
 * unmaps it and tells the peers.
 *
 * Ownership: the handle is gone, and with it its events.  NULL is fine.
 * Threads: any, but no other call on this handle may run.
 * Since 0.1.
 */
ISM_API void ism_detach_region(struct ism_region *region);

/*
 * Let go of @nr handles: of one device in one round trip for each 64, where they
 * follow each other.  Everything else as ism_detach_region(), for each.
 * Since 0.1.
 */
ISM_API void ism_detach_regions(struct ism_region *const *regions, size_t nr) ISM_NONNULL(1);

/*
 * Where a region is mapped, its size in bytes (whole chunks), the size that its
 * creator asked for, its token, the rights this handle has on it, and which of
 * the ISM_ALLOC_* wishes it got.
 *
 * Ownership: the memory is valid until the handle is let go.
 * Threads: any; constant over the life of the handle.
 * Since 0.1.
 */
ISM_API void *ism_region_addr(const struct ism_region *region) ISM_NONNULL(1);
ISM_API size_t ism_region_size(const struct ism_region *region) ISM_NONNULL(1);
ISM_API size_t ism_region_requested_size(const struct ism_region *region) ISM_NONNULL(1);
ISM_API uint64_t ism_region_token(const struct ism_region *region) ISM_NONNULL(1);
ISM_API uint32_t ism_region_rights(const struct ism_region *region) ISM_NONNULL(1);
ISM_API uint32_t ism_region_flags(const struct ism_region *region) ISM_NONNULL(1);

/* The device that a region belongs to.  Threads: any.  Since 0.1. */
ISM_API struct ism_device *ism_region_device(const struct ism_region *region) ISM_NONNULL(1);

/*
 * List the other devices that refer to a region now.
 *
 * @ret_devids: room for @nr device ids; may be NULL if @nr is 0.
 * Threads: any.  Blocks for one control command.
 * Returns how many there are (more than @nr: the rest did not fit), or
 * -EHOSTDOWN, -ETIMEDOUT, -EOWNERDEAD.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_region_peers(struct ism_region *region, uint64_t *ret_devids, size_t nr)
	ISM_NONNULL(1);

/* A pointer of the caller's, kept with the handle.  Threads: the caller's affair.  Since 0.1. */
ISM_API void ism_region_set_data(struct ism_region *region, void *data) ISM_NONNULL(1);
ISM_API void *ism_region_data(const struct ism_region *region) ISM_NONNULL(1);

/* Size of the buffer that ism_ref_format() fills, with the final NUL. */
#define ISM_REF_SIZE 38

/*
 * Write a region's reference as text, "ism:GID/TOKEN" in hexadecimal.  It
 * holds the token: treat it as a password.
 *
 * Returns the length without the NUL, or -ENOSPC (@len below ISM_REF_SIZE).
 * Threads: any.  Since 0.1.
 */
ISM_API ISM_CHECK int ism_ref_format(const struct ism_region *region, char *buf, size_t len) ISM_NONNULL(1, 2);

/*
 * Read a reference, or a bare token of 1 to 16 hexadecimal digits with or
 * without "0x" (then *ret_gid is 0).
 *
 * Returns 0, or -EINVAL if it is neither.
 * Threads: any.  Since 0.1.
 */
ISM_API ISM_CHECK int ism_ref_parse(const char *text, uint64_t *ret_gid, uint64_t *ret_token)
	ISM_NONNULL(1, 2, 3);

/* ------------------------------------------------------------------ rights */

/*
 * Set what one device may do with a region.  0 refuses it even where the
 * default would allow.  ISM_CLEAN_DEFAULT also clears the default, so that
 * only devices with a grant remain.
 *
 * Taking away a right stops later attaches at once, and doorbells of that
 * device in both directions.  It cannot take back memory that a process has
 * mapped already.
 *
 * Threads: any.  Blocks for one control command.
 * Returns 0, or
 *  -EINVAL    unknown right, WRITE without READ, or device 0
 *  -EPERM     this device lacks ISM_MANAGE, grants more than it has, or would
 *             change the creator's rights
 *  -ENOENT    no device @devid in the domain
 *  -ENOSPC    too many grants
 *  -EHOSTDOWN, -ETIMEDOUT, -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_region_grant(struct ism_region *region, uint64_t devid, uint32_t rights)
	ISM_NONNULL(1);

/*
 * Set what devices without a grant of their own may do with a region.
 *
 * Threads, effect and returns as ism_region_grant(), without -ENOENT.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_region_grant_default(struct ism_region *region, uint32_t rights) ISM_NONNULL(1);

/* ------------------------------------------------------------------ shutting a peer out */

/*
 * Give a region a successor: one of the same size, with fresh memory, an own token
 * and the rights that are left.  Take a peer's right away first
 * (ism_region_grant()): it keeps what it has mapped, and whoever has gone over to
 * the successor shares nothing with it any more.
 *
 * The successor has the same creator, and no default rights, as the peer could
 * come back as a new device: whoever has a grant gets the same, and each device
 * that refers to the region by default is granted what the default was.  All these
 * count as grants of this device.  The other referrers that may attach it get
 * ISM_EVENT_MOVED.  They, and this program, go over when it suits them: what is in
 * the old region stays, and rings for those whose rights were not taken, until
 * they detach it.  Rings (ism-ring.h) go over by themselves.  Newcomers attach the
 * old region only with a grant of their own.
 *
 * @opts: as for ism_alloc_region(), without ISM_ALLOC_POOLED.
 * Ownership: *ret is the caller's until ism_detach_region() or ism_close();
 * @region stays as it is.
 * Threads: any.  Blocks for one control command.
 *
 * Returns 0, or
 *  -EINVAL     options wrong
 *  -EPERM      this device lacks one of READ, WRITE, ATTACH and MANAGE
 *  -EALREADY   it has been replaced, by another manager, or by this call before
 *              its host died: ism_attach_successor()
 *  -ENOSPC     window or a quota full: of bytes, regions or grants
 *  -EOPNOTSUPP the device behind this one cannot do that, or
 *              ISM_ALLOC_REQUIRED and this machine cannot
 *  -E2BIG, -ENOMEM, -EHOSTDOWN, -ETIMEDOUT, -EMFILE, -ENFILE, -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_region_replace(struct ism_region *region, const struct ism_alloc_opts *opts,
					 struct ism_region **ret) ISM_NONNULL(1, 3);

/*
 * Attach the successor of a region, after ISM_EVENT_MOVED or ISM_EVENT_LOST.
 *
 * If that has been replaced in turn, ISM_EVENT_MOVED comes for it as well.
 * @rights, @opts: as for ism_attach_region().
 *
 * Ownership: *ret is a handle of its own, the caller's until ism_detach_region()
 * or ism_close(); @region stays as it is.
 * Threads: any.  Blocks for two control commands.
 *
 * Returns 0, or
 *  -ENOENT     there is none, or none for this device, or nobody refers to it any more
 *  and what else ism_attach_region() has.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_attach_successor(struct ism_region *region, uint32_t rights,
					   const struct ism_attach_opts *opts, struct ism_region **ret) ISM_NONNULL(1, 4);

/*
 * Give a region a successor as its host: this device belongs to the host's user or to
 * root, and need neither manage the region nor refer to it.
 *
 * The successor is what ism_region_replace() makes, with the same creator, who
 * manages it.  Devices in @devid get no right on it, and lose all that they have on
 * the region; nor does anybody go over who may not attach the region any more.
 * This device may read the successor and manages it, for as long as it is open: so
 * that it is there for those who come over.  When they have, or at least one, let it
 * go and close the device; before that nobody may be left to keep the successor, and
 * the region can be replaced once more.
 *
 * @token: of the region, not of a successor that it has.
 * @devid: @nr devices, at most 64; may be NULL if @nr is 0.
 * Ownership: *ret is the caller's until ism_detach_region() or ism_close(); it may
 * be read (ISM_READ).
 * Threads: any.  Blocks for one control command.
 *
 * Returns 0, or
 *  -EPERM      not the host's user, nor root, whatever the token
 *  -ENOENT     no region has this token
 *  -EALREADY   it has been replaced, and the successor is there
 *  -EINVAL     too many devices, or one of them is the region's creator, or the
 *              one that asks
 *  -ENODEV     one of them neither refers to the region nor has been granted a right
 *  -ENXIO      no other device would be left that refers to it and may go over
 *  -ENOSPC     window or a quota of this device or its user full: of bytes, regions
 *              or grants
 *  -EOPNOTSUPP the device behind this one cannot do that
 *  -ENOMEM, -EHOSTDOWN, -ETIMEDOUT, -EMFILE, -ENFILE, -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_shut_out(struct ism_device *dev, uint64_t token, const uint64_t *devid, size_t nr,
				   struct ism_region **ret) ISM_NONNULL(1, 5);

/* ------------------------------------------------------------------ doorbells */

/*
 * Ring: tell the other referrers that the content changed.
 *
 * What this thread stored before is visible to whoever sees the doorbell.  A
 * ring that begins after a peer's attach returned reaches that peer.  Without
 * other referrers it does nothing.
 *
 * Threads: any.  Does not wait for the peers.  To a peer that is awake, or that
 * has this doorbell pending, it makes no system call.  After the referrers
 * changed it may make control commands to learn of them.
 * While ismd is restarted it waits like a control call, unless all peers can be
 * reached without it.  A ring that the daemon took and did not pass on before it
 * died is repeated when this device is next called.
 * Returns 0, or -EHOSTDOWN (the host is gone, and some peer can only be reached
 * through it; the others were rung), -EOWNERDEAD.
 * Since 0.1.
 */
ISM_API int ism_region_notify(struct ism_region *region) ISM_NONNULL(1);

/*
 * Wait until a peer rings this region.
 *
 * Spins for a time that adapts to how often that paid, at most
 * ism_open_opts.spin_us, then sleeps.  Takes the doorbell: the next wait waits
 * for the next ring.  Two threads may wait on two regions.
 *
 * @timeout_ns: nanoseconds; 0: only look; negative: for ever.
 * Threads: any.
 * Returns 1 when rung, 0 on timeout, or
 *  -EINTR      ism_interrupt() was called
 *  -EPIPE      there were peers, and the last of them has detached or died
 *  -EHOSTDOWN  the host is gone, and no peer can reach this region without it
 *  -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_region_wait(struct ism_region *region, int64_t timeout_ns) ISM_NONNULL(1);

/*
 * An fd that is readable while the doorbell may be pending.
 *
 * With ISM_ALLOC_VECTOR or ISM_ATTACH_VECTOR it is this handle's own.  Without,
 * it is the device's (ism_fd()), readable for other reasons too.  When it is
 * readable call ism_region_clear().
 *
 * Ownership: lent, for polling only; valid until the handle is let go.
 * Threads: any.
 * Returns the fd, or -EMFILE, -ENFILE, -ENOMEM, -EOWNERDEAD.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_region_fd(struct ism_region *region) ISM_NONNULL(1);

/*
 * Take the doorbell without waiting.
 *
 * Threads: any.
 * Returns 1 if it was pending, 0 if not, -EOWNERDEAD.
 * Since 0.1.
 */
ISM_API int ism_region_clear(struct ism_region *region) ISM_NONNULL(1);

/* ------------------------------------------------------------------ events */

/*
 * An fd for poll() and epoll, level-triggered: readable while ism_event_next()
 * has something to give (and at times for a moment when it has not).  Who polls
 * it edge-triggered takes events until ism_event_next() returns 0: what comes
 * after that is a new edge.
 *
 * Ownership: lent, for polling only; valid until ism_close().
 * Threads: any.
 * Returns the fd, or -EMFILE, -ENFILE, -ENOMEM, -EOWNERDEAD.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_fd(struct ism_device *dev) ISM_NONNULL(1);

/*
 * Wait for events: doorbells (UPDATE), peers that come and go, the host's end.
 *
 * A region that has a vector of its own, or in whose ism_region_wait() a thread
 * is, is not reported as UPDATE.
 *
 * @ev, @nr: room for @nr events of @size bytes each, sizeof(struct ism_event).
 * @timeout_ns: nanoseconds; 0: only look; negative: for ever.
 * Threads: any.
 * Returns how many were filled, 0 on timeout, or
 *  -EINVAL  nr is 0, or size below the first version's
 *  -EINTR   ism_interrupt() was called
 *  -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_wait(struct ism_device *dev, struct ism_event *ev, size_t nr, size_t size,
			       int64_t timeout_ns) ISM_NONNULL(1, 2);

/*
 * Take one event without waiting.
 *
 * @size: sizeof(struct ism_event).
 * Threads: any.
 * Returns 1, 0 if there is none, -EINVAL (size), -EOWNERDEAD.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_event_next(struct ism_device *dev, struct ism_event *ev, size_t size)
	ISM_NONNULL(1, 2);

/*
 * End the waits on a device: every one in progress, or the next if there is
 * none, returns -EINTR.
 *
 * Threads: any; async-signal-safe.
 * Returns 0 or -EOWNERDEAD.
 * Since 0.1.
 */
ISM_API int ism_interrupt(struct ism_device *dev) ISM_NONNULL(1);

/* ------------------------------------------------------------------ looking at a domain */

/*
 * Tell what the domain is, what its host allows, and what has happened in it.
 *
 * @ret->size: set by the caller.
 * Threads: any.  Blocks for one control command.
 * Returns 0, or
 *  -EINVAL      size below the first version's
 *  -EOPNOTSUPP  the device cannot tell
 *  -EHOSTDOWN, -ETIMEDOUT, -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_query_domain(struct ism_device *dev, struct ism_domain_info *ret) ISM_NONNULL(1, 2);

/*
 * List devices of the domain, regions of it, the referrers of one region, or
 * the users.
 *
 * A device sees what belongs to its own user, and the regions it refers to;
 * the host's user and root see all.  Tokens are shown to the creator's user and to
 * referrers only.
 *
 * @ret, @nr: room for @nr entries of @size bytes each, sizeof the structure.
 * @cursor: 0 for the first call; filled with where to go on, 0 at the end.
 * Threads: any.  Blocks for one control command.
 * Returns how many were filled, or
 *  -EINVAL      nr is 0, or size below the first version's
 *  -ENOENT      no such region, or not for this device to know
 *  -EOPNOTSUPP  the device cannot tell
 *  -EHOSTDOWN, -ETIMEDOUT, -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_list_devices(struct ism_device *dev, struct ism_device_entry *ret, size_t nr, size_t size,
				       uint64_t *cursor) ISM_NONNULL(1, 2, 5);
ISM_API ISM_CHECK int ism_list_regions(struct ism_device *dev, struct ism_region_entry *ret, size_t nr, size_t size,
				       uint64_t *cursor) ISM_NONNULL(1, 2, 5);
ISM_API ISM_CHECK int ism_list_referrers(struct ism_device *dev, uint64_t token, struct ism_referrer_entry *ret,
					 size_t nr, size_t size, uint64_t *cursor) ISM_NONNULL(1, 3, 6);
ISM_API ISM_CHECK int ism_list_users(struct ism_device *dev, struct ism_user_entry *ret, size_t nr, size_t size,
				     uint64_t *cursor) ISM_NONNULL(1, 2, 5);

/*
 * Take another device off the domain, as if its process had died: its peers get
 * DETACH, and it gets RESET.  It keeps the memory that it has mapped, and nothing
 * keeps its program from opening a new device: a right that it should not have
 * back must be taken away too.
 *
 * The host's user and root may do that, nobody else.
 *
 * Threads: any.  Blocks for one control command.
 * Returns 0, or
 *  -EINVAL      device 0, or the one that asks: ism_close() it
 *  -EPERM       not the host's user, nor root
 *  -ENOENT      no device @devid in the domain
 *  -EOPNOTSUPP  the device behind this one cannot do that
 *  -EHOSTDOWN, -ETIMEDOUT, -EOWNERDEAD
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_kick_device(struct ism_device *dev, uint64_t devid) ISM_NONNULL(1);

/* ------------------------------------------------------------------ errors, version */

/*
 * Name an error of this library in a few words.  @err: negative or positive.
 * Ownership: static text, never NULL.  Threads: any.  Since 0.1.
 */
ISM_API const char *ism_strerror(int err);

/*
 * What was wrong in this thread's last call that failed, and what was expected
 * instead; "" if none failed yet.
 *
 * Ownership: the library's, until this thread's next call fails.
 * Threads: each has its own.  Since 0.1.
 */
ISM_API const char *ism_error_detail(void);

/* The version of the library that runs, as ISM_VERSION_STRING.  Since 0.1. */
ISM_API const char *ism_version(void);

#ifdef __cplusplus
}
#endif

#endif /* ISM_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ism-emu.h - a private sharing domain for a test, and faults in it.
 *
 * A test of a program that uses libism starts a domain, gives its URI to what it
 * tests (as an argument, or in $ISM_DEVICE), and stops it.  Nothing but the test
 * sees it, several can be there at once, and nothing is left behind, whatever way
 * the test ends.  ism-emu(3) is the introduction.
 *
 * Faults make calls fail that do not fail otherwise, the same ones in each run:
 *
 *   "alloc:3=ENOSPC,notify:5=drop,event=delay:5ms,host:10=die"
 *
 * A fault is POINT[:ORDINAL]=ACTION.  Without an ordinal each pass of the point is
 * meant; of several faults for one pass the first in the list happens.
 *
 *   point    passed by
 *   alloc    ism_alloc_region(), ism_alloc_regions()
 *   attach   ism_attach_region()
 *   detach   ism_detach_region()
 *   grant    ism_region_grant(), ism_region_grant_default()
 *   notify   ism_region_notify(), and rings of ism-ring.h
 *   event    a doorbell, ATTACH or DETACH that arrives at a device
 *   host     a command that the host receives, of any device
 *
 *   action   what happens
 *   ENOSPC   the call returns that, and does nothing; any name of an errno.  Not
 *            for detach, event and host, which do not return anything.
 *   drop     it gets lost: a request has no answer (-ETIMEDOUT after the device's
 *            timeout_ms), a detach is not told to the host and the peers, a doorbell
 *            does not ring, an ATTACH or DETACH becomes LOST
 *   delay:T  it comes later by T, a number and ns, us, ms or s
 *   die      the host dies as if it had been killed, before a call or a command,
 *            after an event
 *
 * Passes of calls and events are counted in the process that makes them, over all
 * its devices of the domain; passes of the host where it is.
 */
#ifndef ISM_EMU_H
#define ISM_EMU_H

#include <ism.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ism_emu;

/* ism_emu_opts.flags */
#define ISM_EMU_LOOP (UINT32_C(1) << 0) /* within this process alone: no thread, no file (loop:) */

/* What one device, or one user with all its devices, may have.  0: the default, as good as no limit. */
struct ism_emu_quota {
	uint64_t bytes;		/* of the regions referred to */
	uint32_t regions;	/* referred to */
	uint32_t grants;	/* given to single devices */
	uint32_t attach_rate;	/* attaches per second */
	uint32_t notify_rate;	/* doorbells per second that the host passes on */
	uint32_t devices;	/* of one user; no meaning for a device */
	uint32_t reserved;
};

struct ism_emu_opts {
	size_t size;
	uint32_t flags;		/* ISM_EMU_* */
	uint32_t reserved;
	const char *faults;	/* NULL: $ISM_EMU_FAULTS; "": none */
	struct ism_emu_quota device, user;
};

/*
 * Start a domain of the test's own.
 *
 * With ISM_EMU_LOOP it is a name within this process.  Without, a new directory
 * in $TMPDIR (or /tmp) that only this user can enter holds its socket, and a
 * thread of this process hosts it; other processes of this user can open it, and
 * children of fork() too.  A process that waits for this one to end removes the
 * directory even if this one is killed.
 *
 * Ownership: *ret is the caller's until ism_emu_stop(); opts->faults is copied.
 * Threads: any.
 *
 * Returns 0, or
 *  -EINVAL        options wrong, or faults: ism_error_detail() says where, and what was expected
 *  -E2BIG         options from a newer version
 *  -ENAMETOOLONG  $TMPDIR is too long for a socket's path
 *  -ENOENT, -EACCES, -EROFS, -ENOSPC  the directory cannot be made
 *  -ENOMEM, -EMFILE, -ENFILE, -EAGAIN
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_emu_start(const struct ism_emu_opts *opts, struct ism_emu **ret) ISM_NONNULL(2);

/*
 * Stop it: the host ends, and the directory goes with all that is in it.
 *
 * Close the devices first: those still open find their host gone.
 * Ownership: @emu is gone, and what ism_emu_uri() and ism_emu_dir() gave.  NULL is
 * fine.  In a forked child it frees memory and leaves the domain alone.
 * Threads: any, but no other call on @emu may run.
 * Since 0.1.
 */
ISM_API void ism_emu_stop(struct ism_emu *emu);

/*
 * The URI to open its devices with.
 * Ownership: lent until ism_emu_stop().  Threads: any.  Since 0.1.
 */
ISM_API const char *ism_emu_uri(const struct ism_emu *emu) ISM_NONNULL(1);

/*
 * Its directory: as $ISM_RUNTIME_DIR it makes this domain the default one.
 * NULL with ISM_EMU_LOOP.
 * Ownership: lent until ism_emu_stop().  Threads: any.  Since 0.1.
 */
ISM_API const char *ism_emu_dir(const struct ism_emu *emu) ISM_NONNULL(1);

/*
 * The host dies as if its process had been killed: tokens end, no peer is told
 * that it was detached, devices get RESET, mappings and direct doorbells stay.
 *
 * Without a host, the next process that opens the domain hosts it, as always;
 * ISM_OPEN_NO_HOST prevents that.
 *
 * Threads: one at a time kills, restarts or stops it.
 * Returns 0 (also if it was dead already), or -EOWNERDEAD (after fork).
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_emu_kill(struct ism_emu *emu) ISM_NONNULL(1);

/*
 * A new host at the same place, if there is none: with nothing in it, the same
 * quotas, and faults counted on.
 *
 * Threads: as ism_emu_kill().
 * Returns 0, -EAGAIN (another process has become the host), -EOWNERDEAD, or as
 * ism_emu_start() has it.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_emu_restart(struct ism_emu *emu) ISM_NONNULL(1);

/*
 * Other faults from now on, and all passes counted from the start.
 *
 * @faults: "": none.
 * Threads: any.
 * Returns 0, -EINVAL (and nothing has changed), -ENOMEM, -EOWNERDEAD.
 * Since 0.1.
 */
ISM_API ISM_CHECK int ism_emu_set_faults(struct ism_emu *emu, const char *faults) ISM_NONNULL(1, 2);

/*
 * How often a point was passed in this process, and how many faults happened.
 *
 * With them a test can try each of them: fail the first allocation, the second,
 * and so on until none failed.
 *
 * @point: "alloc" and so on.
 * Threads: any.
 * Return the number, or -EINVAL (no such point).
 * Since 0.1.
 */
ISM_API ISM_CHECK int64_t ism_emu_passes(const struct ism_emu *emu, const char *point) ISM_NONNULL(1, 2);
ISM_API ISM_CHECK int64_t ism_emu_fired(const struct ism_emu *emu) ISM_NONNULL(1);

#ifdef __cplusplus
}
#endif

#endif /* ISM_EMU_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * spin.h - the one policy of every wait: spin while that pays, then sleep.
 *
 * A sleep between two cores costs tens of microseconds, most of them in waking
 * up; so a wait first spins.  How long adapts: it grows while what was waited
 * for comes within the cap, and shrinks to nothing while it does not, so an idle
 * program uses no CPU.  Spinning stops for a while when it takes the CPU from
 * others, which shows in a spin during which the thread was not running; longer
 * each time it happens again.  With one CPU, or a cgroup limit below two, there is
 * none.
 *
 * A thread pinned to one CPU may share it with its peer, which then cannot run
 * while we spin, and comes soon when we sleep: for it only spins that paid count,
 * and when they no longer do, one wait in PROBE_WAITS tries again.
 */
#ifndef ISMI_SPIN_H
#define ISMI_SPIN_H

#include "base/atomics.h"

#include <stdbool.h>
#include <stdint.h>

enum { ISMI_SPIN_DEFAULT_US = 50 };

/* How the waits of one device went so far.  Any thread; the counters are hints. */
struct ismi_spin_policy {
	int64_t cap_ns;			/* 0: sleep at once */
	bool pinned;
	_Atomic int64_t budget_ns;	/* of the next spin */
	_Atomic uint32_t penalty;	/* waits that must not spin: the CPU was not ours */
	_Atomic uint32_t next_penalty;
	_Atomic uint64_t paid;
	_Atomic uint64_t unpaid;
	_Atomic uint64_t sleeps;
};

/* One wait. */
struct ismi_spin {
	int64_t budget_ns;		/* 0: it must not spin */
	int64_t start_ns;		/* 0: so short that nobody has looked at the clock */
	int64_t until_ns;
	int64_t cpu_lag_ns;		/* wall clock minus CPU clock at the first look */
	uint32_t rounds;
	bool looked;
};

/* @spin_us: 0: the default; UINT32_MAX: never spin. */
void ismi_spin_policy_init(struct ismi_spin_policy *policy, uint32_t spin_us);

void ismi_spin_start(struct ismi_spin_policy *policy, struct ismi_spin *spin);
/* Pause, and say whether to look again (true) or to sleep (false). */
bool ismi_spin_again(struct ismi_spin_policy *policy, struct ismi_spin *spin);
/* What was waited for came: while spinning, or after a sleep. */
void ismi_spin_paid(struct ismi_spin_policy *policy);
void ismi_spin_slept(struct ismi_spin_policy *policy, const struct ismi_spin *spin, bool came);

#endif /* ISMI_SPIN_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * spin.c - the one policy of every wait.
 */
#include "base/spin.h"

#include "base/clock.h"
#include "base/cpus.h"

enum {
	EAGER_ROUNDS = 128,		/* without a pause (140 cycles on some CPUs), and without the clock */
	PAUSES_PER_LOOK = 16,		/* pauses between two looks at the clock */
	LAG_LOOK_NS = 4000,		/* look at the CPU clock (a system call) no sooner than this */
	LAG_NS = 10000,			/* so much not running means the CPU is wanted by others */
	PENALTY_MIN = 16,		/* waits without a spin after that */
	PENALTY_MAX = 1024,
	PENALTY_FORGET = 256,		/* so many spins that paid halve the next one */
	PROBE_WAITS = 256,
	BUDGET_MIN_NS = 1000,
};

void ismi_spin_policy_init(struct ismi_spin_policy *policy, uint32_t spin_us)
{
	int64_t cap = spin_us == 0 ? ISMI_SPIN_DEFAULT_US : spin_us;

	if (spin_us == UINT32_MAX || ismi_cpus() < 2)
		cap = 0;
	*policy = (struct ismi_spin_policy){ .cap_ns = cap * 1000, .pinned = ismi_thread_pinned(),
					     .budget_ns = cap * 1000, .next_penalty = PENALTY_MIN };
}

void ismi_spin_start(struct ismi_spin_policy *policy, struct ismi_spin *spin)
{
	uint32_t penalty = ismi_load_relaxed(&policy->penalty);

	*spin = (struct ismi_spin){ .budget_ns = policy->cap_ns == 0 ? 0 : ismi_load_relaxed(&policy->budget_ns) };
	if (penalty > 0) {
		ismi_store_relaxed(&policy->penalty, penalty - 1);
		spin->budget_ns = 0;
	} else if (policy->pinned && spin->budget_ns == 0 &&
		   ismi_load_relaxed(&policy->sleeps) % PROBE_WAITS == PROBE_WAITS - 1) {
		spin->budget_ns = policy->cap_ns;
	}
	if (spin->budget_ns == 0 && policy->cap_ns != 0)
		spin->start_ns = ismi_now_ns();
}

/* Was this thread off the CPU while it thought it was spinning? */
static bool cpu_was_taken(struct ismi_spin *spin, int64_t now)
{
	int64_t lag = now - ismi_thread_cpu_ns();

	if (!spin->looked) {
		spin->looked = true;
		spin->cpu_lag_ns = lag;
		return false;
	}
	return lag - spin->cpu_lag_ns > LAG_NS;
}

static void punish(struct ismi_spin_policy *policy)
{
	uint32_t waits = ismi_load_relaxed(&policy->next_penalty);

	ismi_store_relaxed(&policy->penalty, waits);
	ismi_store_relaxed(&policy->next_penalty, waits < PENALTY_MAX ? waits * 2 : waits);
}

static void forgive(struct ismi_spin_policy *policy)
{
	uint32_t waits = ismi_load_relaxed(&policy->next_penalty);

	if (waits > PENALTY_MIN)
		ismi_store_relaxed(&policy->next_penalty, waits / 2);
}

/* The clock, every so often. */
static bool spin_on(struct ismi_spin_policy *policy, struct ismi_spin *spin)
{
	int64_t now = ismi_now_ns();

	if (spin->start_ns == 0) {
		spin->start_ns = now;
		spin->until_ns = now + spin->budget_ns;
		return true;
	}
	if (now >= spin->until_ns)
		return false;
	if (now - spin->start_ns < LAG_LOOK_NS || spin->rounds % (4 * PAUSES_PER_LOOK) != 0)
		return true;
	if (cpu_was_taken(spin, now)) {
		punish(policy);
		return false;
	}
	return true;
}

bool ismi_spin_again(struct ismi_spin_policy *policy, struct ismi_spin *spin)
{
	if (spin->budget_ns == 0)
		return false;
	if (++spin->rounds <= EAGER_ROUNDS)
		return true;
	ismi_cpu_relax();
	return spin->rounds % PAUSES_PER_LOOK != 0 || spin_on(policy, spin);
}

static void budget_grow(struct ismi_spin_policy *policy)
{
	int64_t budget = ismi_load_relaxed(&policy->budget_ns) * 2;

	if (budget < BUDGET_MIN_NS)
		budget = BUDGET_MIN_NS;
	ismi_store_relaxed(&policy->budget_ns, budget > policy->cap_ns ? policy->cap_ns : budget);
}

static void budget_shrink(struct ismi_spin_policy *policy)
{
	int64_t budget = ismi_load_relaxed(&policy->budget_ns);

	budget -= budget / 4;
	ismi_store_relaxed(&policy->budget_ns, budget < BUDGET_MIN_NS ? 0 : budget);
}

/* Not exact between threads, as all of the policy: an atomic addition costs as much as the wait itself. */
static uint64_t count(_Atomic uint64_t *counter)
{
	uint64_t n = ismi_load_relaxed(counter) + 1;

	ismi_store_relaxed(counter, n);
	return n;
}

void ismi_spin_paid(struct ismi_spin_policy *policy)
{
	if (policy->cap_ns == 0)
		return;
	if (count(&policy->paid) % PENALTY_FORGET == 0)
		forgive(policy);
	if (ismi_load_relaxed(&policy->budget_ns) < policy->cap_ns)
		budget_grow(policy);
}

void ismi_spin_slept(struct ismi_spin_policy *policy, const struct ismi_spin *spin, bool came)
{
	count(&policy->sleeps);
	if (policy->cap_ns == 0)
		return;
	if (spin->budget_ns != 0)
		count(&policy->unpaid);
	/*
	 * Twice the cap: the sleep itself costs about as much as the cap, and
	 * what came that soon a full spin would have met.
	 */
	if (came && !policy->pinned && ismi_now_ns() - spin->start_ns <= 2 * policy->cap_ns)
		budget_grow(policy);
	else
		budget_shrink(policy);
}

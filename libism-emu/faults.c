/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * faults.c - which calls of a test shall fail, and how.
 */
#include "faults.h"

#include "base/atomics.h"
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { RULES_MAX = 64 };

/* What can happen at a point, as a set of actions. */
enum { CAN_ERRNO = 1 << FAULT_ERRNO, CAN_DROP = 1 << FAULT_DROP, CAN_DELAY = 1 << FAULT_DELAY, CAN_DIE = 1 << FAULT_DIE };
enum { CAN_NOT_FAIL = CAN_DROP | CAN_DELAY | CAN_DIE, CAN_ALL = CAN_NOT_FAIL | CAN_ERRNO };

static const struct {
	const char *name;
	unsigned int can;
} points[FAULT_POINTS] = {
	[FAULT_ALLOC] = { "alloc", CAN_ALL },	  [FAULT_ATTACH] = { "attach", CAN_ALL },
	[FAULT_DETACH] = { "detach", CAN_NOT_FAIL }, [FAULT_GRANT] = { "grant", CAN_ALL },
	[FAULT_NOTIFY] = { "notify", CAN_ALL },	  [FAULT_EVENT] = { "event", CAN_NOT_FAIL },
	[FAULT_HOST] = { "host", CAN_NOT_FAIL },
};

#define NAME(e) { #e, e }
static const struct {
	const char *name;
	int err;
} errnos[] = {
	NAME(E2BIG), NAME(EACCES), NAME(EAGAIN), NAME(EBADF), NAME(EBUSY), NAME(ECONNREFUSED), NAME(ECONNRESET),
	NAME(EEXIST), NAME(EFAULT), NAME(EHOSTDOWN), NAME(EINTR), NAME(EINVAL), NAME(EIO), NAME(EMFILE), NAME(EMSGSIZE),
	NAME(ENAMETOOLONG), NAME(ENFILE), NAME(ENODEV), NAME(ENOENT), NAME(ENOMEM), NAME(ENOSPC), NAME(ENOSYS),
	NAME(ENXIO), NAME(EOPNOTSUPP), NAME(EOWNERDEAD), NAME(EPERM), NAME(EPIPE), NAME(EPROTO), NAME(EROFS),
	NAME(ETIMEDOUT),
};

static const struct {
	const char *name;
	int64_t ns;
} units[] = { { "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 } };

struct rule {
	enum fault_point point;
	uint64_t ordinal;		/* 0: every pass */
	struct fault fault;
};

struct rules {
	struct rule rule[RULES_MAX];
	size_t nr;
	struct rules *older;
};

/*
 * No locks: a forked child must find it usable whatever the other threads were
 * doing.  So rules that were replaced live as long as the plan.
 */
struct faults {
	_Atomic unsigned int refs;
	_Atomic(struct rules *) rules;
	_Atomic uint64_t passes[FAULT_POINTS], fired;
};

/* ------------------------------------------------------------------ reading */

struct reader {
	const char *text, *at, *source;
};

static int wrong(const struct reader *r, const char *expected)
{
	return ismi_fail(-EINVAL, "%s=\"%.64s\": at \"%.24s\" (character %d): expected %s", r->source, r->text, r->at,
			 (int)(r->at - r->text) + 1, expected);
}

/* Is the text here this word, and its end behind it? */
static bool word(struct reader *r, const char *name, const char *ends)
{
	size_t len = strlen(name);

	if (strncmp(r->at, name, len) != 0 || (r->at[len] != '\0' && strchr(ends, r->at[len]) == NULL))
		return false;
	r->at += len;
	return true;
}

/* A number from 1 on, of at most 18 digits. */
static bool number(struct reader *r, uint64_t *ret)
{
	const char *at = r->at;
	uint64_t v = 0;

	while (isdigit((unsigned char)*at) && at - r->at < 18)
		v = v * 10 + (uint64_t)(*at++ - '0');
	if (v == 0 || isdigit((unsigned char)*at))
		return false;
	r->at = at;
	*ret = v;
	return true;
}

static int read_point(struct reader *r, struct rule *rule)
{
	for (int p = 0; p < FAULT_POINTS; p++) {
		if (!word(r, points[p].name, ":="))
			continue;
		rule->point = (enum fault_point)p;
		if (*r->at == ':') {
			r->at++;
			if (!number(r, &rule->ordinal))
				return wrong(r, "an ordinal: 1 for the first, and so on");
		}
		if (*r->at != '=')
			return wrong(r, rule->ordinal ? "\"=\"" : "\":\" and an ordinal, or \"=\"");
		r->at++;
		return 0;
	}
	return wrong(r, "alloc, attach, detach, grant, notify, event or host, then \"=\" or \":\"");
}

static int read_time(struct reader *r, int64_t *ret_ns)
{
	uint64_t v;

	if (!number(r, &v))
		return wrong(r, "a time from 1ns on, such as 5ms");
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (!word(r, units[i].name, ","))
			continue;
		if (v > (uint64_t)(INT64_MAX / units[i].ns))
			return wrong(r, "a shorter time");
		*ret_ns = (int64_t)v * units[i].ns;
		return 0;
	}
	return wrong(r, "a unit: ns, us, ms or s");
}

/* Fill in @f, or leave it FAULT_NONE where there is no action. */
static int read_any_action(struct reader *r, struct fault *f)
{
	if (word(r, "drop", ",")) {
		f->action = FAULT_DROP;
	} else if (word(r, "die", ",")) {
		f->action = FAULT_DIE;
	} else if (word(r, "delay", ":")) {
		if (*r->at != ':')
			return wrong(r, "\":\" and a time");
		r->at++;
		f->action = FAULT_DELAY;
		return read_time(r, &f->delay_ns);
	}
	for (size_t i = 0; i < sizeof errnos / sizeof errnos[0] && f->action == FAULT_NONE; i++) {
		if (word(r, errnos[i].name, ","))
			*f = (struct fault){ .action = FAULT_ERRNO, .err = -errnos[i].err };
	}
	return 0;
}

static int read_action(struct reader *r, struct rule *rule)
{
	const char *begin = r->at;
	int err = read_any_action(r, &rule->fault);

	if (err < 0)
		return err;
	if (rule->fault.action != FAULT_NONE && (points[rule->point].can & 1U << rule->fault.action))
		return 0;
	r->at = begin;
	return wrong(r, points[rule->point].can & CAN_ERRNO ? "the name of an errno such as ENOSPC, drop, delay:TIME or die"
							    : "drop, delay:TIME or die: this cannot fail");
}

static int read_rules(const char *text, const char *source, struct rules *ret)
{
	struct reader r = { text, text, source };

	while (*r.at != '\0') {
		struct rule *rule = &ret->rule[ret->nr];
		int err = ret->nr < RULES_MAX ? read_point(&r, rule) : wrong(&r, "no more than 64 faults");
		if (err == 0)
			err = read_action(&r, rule);
		if (err < 0)
			return err;
		ret->nr++;
		if (*r.at == ',' && *++r.at == '\0')
			return wrong(&r, "a fault behind the comma");
	}
	return 0;
}

static int rules_new(const char *text, const char *source, struct rules **ret)
{
	struct rules *rules = calloc(1, sizeof *rules);
	int r = rules == NULL ? ismi_fail(-ENOMEM, "out of memory") : read_rules(text, source, rules);

	if (r < 0)
		free(rules);
	else
		*ret = rules;
	return r;
}

/* ------------------------------------------------------------------ life */

int faults_new(const char *text, const char *source, struct faults **ret)
{
	struct rules *rules;
	struct faults *f;
	int r = rules_new(text, source, &rules);

	if (r < 0)
		return r;
	f = calloc(1, sizeof *f);
	if (f == NULL) {
		free(rules);
		return ismi_fail(-ENOMEM, "out of memory");
	}
	ismi_store_relaxed(&f->refs, 1);
	ismi_store_release(&f->rules, rules);
	*ret = f;
	return 0;
}

struct faults *faults_get(struct faults *f)
{
	ismi_add_relaxed(&f->refs, 1);
	return f;
}

void faults_put(struct faults *f)
{
	struct rules *rules, *older;

	if (f == NULL || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (rules = ismi_load_acquire(&f->rules); rules != NULL; rules = older) {
		older = rules->older;
		free(rules);
	}
	free(f);
}

int faults_set(struct faults *f, const char *text, const char *source)
{
	struct rules *rules;
	int r = rules_new(text, source, &rules);

	if (r < 0)
		return r;
	for (int p = 0; p < FAULT_POINTS; p++)
		ismi_store_relaxed(&f->passes[p], 0);
	ismi_store_relaxed(&f->fired, 0);
	rules->older = ismi_load_acquire(&f->rules);
	/* Pairs with the acquire in faults_pass(): the rules are complete. */
	while (!atomic_compare_exchange_weak_explicit(&f->rules, &rules->older, rules, memory_order_acq_rel,
						      memory_order_acquire))
		;
	return 0;
}

/* The environment as it was read, newest first; never freed, as any thread may be reading it. */
struct env {
	char *text;
	struct faults *faults;
	struct env *older;
};
static _Atomic(struct env *) environment;

static void env_free(struct env *e)
{
	faults_put(e->faults);
	free(e->text);
	free(e);
}

static int env_new(const char *text, const char *source, struct env **ret)
{
	struct env *e = calloc(1, sizeof *e);
	int r;

	if (e == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	e->text = strdup(text);
	r = e->text == NULL ? ismi_fail(-ENOMEM, "out of memory") : faults_new(text, source, &e->faults);
	if (r < 0)
		env_free(e);
	else
		*ret = e;
	return r;
}

int faults_from_env(struct faults **ret)
{
	static const char name[] = "ISM_EMU_FAULTS";
	const char *text = secure_getenv(name);
	struct env *old = ismi_load_acquire(&environment), *e = old;

	*ret = NULL;
	if (text == NULL || *text == '\0')
		return 0;
	if (old == NULL || strcmp(old->text, text) != 0) {	/* a test has changed it: a new plan */
		int r = env_new(text, name, &e);
		if (r < 0)
			return r;
		e->older = old;
		if (!atomic_compare_exchange_strong_explicit(&environment, &e->older, e, memory_order_acq_rel,
							     memory_order_acquire)) {
			env_free(e);		/* another thread was first */
			e = ismi_load_acquire(&environment);
		}
	}
	*ret = faults_get(e->faults);
	return 0;
}

/* ------------------------------------------------------------------ use */

struct fault faults_pass(struct faults *f, enum fault_point point)
{
	struct fault ret = { .action = FAULT_NONE };

	if (f == NULL)
		return ret;
	uint64_t pass = ismi_add_relaxed(&f->passes[point], 1) + 1;
	/* Pairs with the exchange in faults_set(). */
	const struct rules *rules = ismi_load_acquire(&f->rules);
	for (size_t i = 0; i < rules->nr; i++) {
		const struct rule *rule = &rules->rule[i];
		if (rule->point != point || (rule->ordinal != 0 && rule->ordinal != pass))
			continue;
		ret = rule->fault;
		ismi_add_relaxed(&f->fired, 1);
		break;
	}
	ret.pass = pass;
	return ret;
}

uint64_t faults_passes(struct faults *f, enum fault_point point)
{
	return ismi_load_relaxed(&f->passes[point]);
}

uint64_t faults_fired(struct faults *f)
{
	return ismi_load_relaxed(&f->fired);
}

const char *fault_point_name(enum fault_point point)
{
	return points[point].name;
}

int fault_point_find(const char *name)
{
	for (int p = 0; p < FAULT_POINTS; p++) {
		if (strcmp(points[p].name, name) == 0)
			return p;
	}
	return -1;
}

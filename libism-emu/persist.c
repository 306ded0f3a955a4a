/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * persist.c - a domain that outlives its host.
 */
#include "persist.h"

#include "base/sys.h"
#include "facts.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ledger_name(uint64_t generation, char name[KEEP_NAME_MAX])
{
	snprintf(name, KEEP_NAME_MAX, "ledger-%u", (unsigned int)(generation & 1));
}

static void region_name(const struct model_region *region, char name[KEEP_NAME_MAX])
{
	snprintf(name, KEEP_NAME_MAX, "r-%" PRIx64, region->serial);
}

static void vector_name(const struct model_ref *ref, char name[KEEP_NAME_MAX])
{
	snprintf(name, KEEP_NAME_MAX, "v-%" PRIx64 "-%x", ref->device->devid, ref->slot);
}

/* With the next commit.  Without memory for it the keeper has it for longer than needed, and nothing else. */
static void remove_later(struct persist *p, const char name[KEEP_NAME_MAX])
{
	size_t room = p->room ? 2 * p->room : 16;

	if (p->nr_doomed == p->room) {
		void *more = realloc(p->doomed, room * sizeof p->doomed[0]);
		if (more == NULL)
			return;
		p->doomed = more;
		p->room = room;
	}
	memcpy(p->doomed[p->nr_doomed++], name, KEEP_NAME_MAX);
}

static struct persist *kept(const struct domain *d)
{
	return d->restoring ? NULL : d->persist;
}

/* ------------------------------------------------------------------ giving up */

static void fini(struct domain *d, bool over)
{
	struct persist *p = d->persist;

	if (over)
		keep_stop(p->keep);
	ledger_close(&p->ledger);
	free(p->doomed);
	ismi_sys_close(p->life_fd);
	keep_close(p->keep);
	d->persist = NULL;
}

/* What cannot be kept whole is not kept at all: a successor shall not go on with half a domain. */
static void give_up(struct domain *d, const char *why)
{
	struct persist *p = d->persist;
	char name[KEEP_NAME_MAX];

	ismi_err(&p->keep->log, "persist", "from now on regions do not survive a restart: %s", why);
	ledger_name(p->ledger.generation, name);
	keep_remove(p->keep, name);
	fini(d, true);
}

/* ------------------------------------------------------------------ changes */

void persist_device(struct domain *d, const struct model_device *dev)
{
	struct persist *p = kept(d);

	if (p != NULL)
		facts_device(&p->ledger, dev);
}

void persist_device_gone(struct domain *d, uint64_t devid)
{
	struct persist *p = kept(d);

	if (p != NULL)
		facts_device_gone(&p->ledger, devid);
}

void persist_region_gone(struct domain *d, const struct model_region *region)
{
	struct persist *p = kept(d);
	const struct store *memory = region->memory;
	char name[KEEP_NAME_MAX];

	if (p == NULL)
		return;
	facts_region_gone(&p->ledger, region);
	if (memory == NULL || !memory->kept)
		return;
	region_name(region, name);
	remove_later(p, name);
}

void persist_region_renewed(struct domain *d, const struct model_region *region)
{
	struct persist *p = kept(d);

	if (p != NULL)		/* its memory stays, under its serial number */
		facts_region_gone(&p->ledger, region);
}

void persist_ref_begin(struct domain *d, const struct model_ref *ref)
{
	struct persist *p = kept(d);

	if (p == NULL)
		return;
	if (ref->region->nr_refs == 1)	/* only a new region has had none */
		facts_region(&p->ledger, ref->region);
	facts_ref(&p->ledger, ref);
}

void persist_ref_end(struct domain *d, const struct model_ref *ref)
{
	struct persist *p = kept(d);
	char name[KEEP_NAME_MAX];

	if (p == NULL)
		return;
	facts_ref_gone(&p->ledger, ref);
	if (ref->vector_fd < 0)
		return;
	vector_name(ref, name);
	remove_later(p, name);
}

void persist_changed(struct domain *d, const struct model_region *region, const struct model_ref *ref,
		     const struct model_grant *grant)
{
	struct persist *p = kept(d);

	if (p == NULL)
		return;
	if (grant != NULL)
		facts_grant(&p->ledger, grant);
	else if (ref != NULL)
		facts_ref(&p->ledger, ref);
	else
		facts_region(&p->ledger, region);
}

/* A ledger with nothing but what is true now, instead of the one before. */
static int rewrite(struct domain *d, uint64_t generation)
{
	struct persist *p = d->persist;
	struct ledger fresh;
	char name[KEEP_NAME_MAX];
	int r = ledger_create(&fresh, generation);

	if (r < 0)
		return r;
	facts_all(&fresh, &d->model);
	ledger_name(generation, name);
	keep_remove(p->keep, name);	/* the last but one, of a host that died before it removed that */
	r = ledger_commit(&fresh);
	if (r == 0)
		r = keep_put(p->keep, name, &fresh.fd, 1);
	if (r < 0) {
		ledger_close(&fresh);
		return r;
	}
	if (p->ledger.fd >= 0) {
		ledger_name(p->ledger.generation, name);
		keep_remove(p->keep, name);
		ledger_close(&p->ledger);
	}
	p->ledger = fresh;
	return 0;
}

void persist_commit(struct domain *d)
{
	struct persist *p = kept(d);

	if (p == NULL)
		return;
	if (ledger_commit(&p->ledger) < 0) {
		give_up(d, ismi_fail_text());
		return;
	}
	while (p->nr_doomed > 0)
		keep_remove(p->keep, p->doomed[--p->nr_doomed]);
	if (ledger_worn(&p->ledger) && rewrite(d, p->ledger.generation + 1) < 0)
		ismi_warn(&p->keep->log, "persist", "the ledger stays as long as it is: %s", ismi_fail_text());
}

int persist_memory(struct domain *d, const struct model_region *region)
{
	struct persist *p = kept(d);
	struct store *memory = region->memory;
	char name[KEEP_NAME_MAX];

	if (p == NULL || memory == NULL || memory->kept)
		return 0;
	const int fds[] = { memory->fd, memory->ro_fd };
	region_name(region, name);
	int r = keep_put(p->keep, name, fds, memory->ro_fd >= 0 ? 2 : 1);
	memory->kept = r == 0;
	return r;
}

int persist_vector(struct domain *d, const struct model_ref *ref)
{
	struct persist *p = kept(d);
	char name[KEEP_NAME_MAX];

	if (p == NULL)
		return 0;
	vector_name(ref, name);
	keep_remove(p->keep, name);	/* the one before it */
	return ref->vector_fd < 0 ? 0 : keep_put(p->keep, name, &ref->vector_fd, 1);
}

int persist_fd(struct domain *d, const char *name, int fd)
{
	struct persist *p = kept(d);

	if (p == NULL)
		return 0;
	keep_remove(p->keep, name);
	return fd < 0 ? 0 : keep_put(p->keep, name, &fd, 1);
}

void persist_stamp(const struct domain *d, uint64_t *ret_generation, uint64_t *ret_end)
{
	const struct persist *p = kept(d);

	*ret_generation = p == NULL ? 0 : p->ledger.generation;
	*ret_end = p == NULL ? 0 : p->ledger.end;
}

bool persist_committed(const struct domain *d, uint64_t generation, uint64_t end)
{
	const struct persist *p = kept(d);

	if (p == NULL || generation == 0)
		return false;
	return p->had_generation > generation || (p->had_generation == generation && p->had_end >= end);
}

/* ------------------------------------------------------------------ a new keeper */

static int put_all(struct domain *d)
{
	struct persist *p = d->persist;
	struct model_region *region;
	const struct model_ref *ref;
	char name[KEEP_NAME_MAX];
	int r = keep_put(p->keep, "life", &p->life_fd, 1);

	if (r == 0)
		r = keep_put(p->keep, "listen", &p->listen_fd, 1);
	TAILQ_FOREACH (region, &d->model.regions, all) {
		((struct store *)region->memory)->kept = false;
		if (r == 0)
			r = persist_memory(d, region);
		LIST_FOREACH (ref, &region->refs, of_region) {
			if (r == 0 && ref->vector_fd >= 0)
				r = persist_vector(d, ref);
		}
	}
	if (r == 0 && p->put_others != NULL)
		r = p->put_others(p->others);
	ledger_name(p->ledger.generation, name);
	return r == 0 ? keep_put(p->keep, name, &p->ledger.fd, 1) : r;
}

void persist_again(struct domain *d)
{
	struct persist *p = d->persist;

	if (p == NULL)
		return;
	ismi_warn(&p->keep->log, "persist", "the keeper has died: starting another");
	int r = keep_again(p->keep);
	if (r == 0) {
		keep_sweep(p->keep);
		r = put_all(d);
	}
	if (r < 0)
		give_up(d, ismi_fail_text());
}

/* ------------------------------------------------------------------ taking over */

/* The ledger that counts; of two, the one that was being written is incomplete or newer.  1: there is one. */
static int find_ledger(struct keep *k, struct ledger *ret)
{
	enum { MANY = 4 };
	int fds[2 * MANY], r = 0;
	size_t nr = keep_had(k, "ledger-0", fds, MANY);

	*ret = (struct ledger)LEDGER_INIT;
	nr += keep_had(k, "ledger-1", fds + nr, MANY);
	for (size_t i = 0; i < nr; i++) {
		struct ledger l;
		int r1 = ledger_open(&l, fds[i]);
		if (r1 < 0) {
			ismi_sys_close(fds[i]);
			if (r1 != -EPROTO)
				r = r1;
		} else if (ret->fd < 0 || l.generation > ret->generation) {
			ledger_close(ret);
			*ret = l;
		} else {
			ledger_close(&l);
		}
	}
	if (r < 0)
		ledger_close(ret);
	return r < 0 ? r : ret->fd >= 0;
}

/* A region's memory, from what was kept under its name. */
static int had_memory(struct keep *k, struct model_region *region)
{
	struct store *s = malloc(sizeof *s);
	char name[KEEP_NAME_MAX];
	int fds[2], rw = -1, ro = -1, r = s == NULL ? -ENOMEM : 0;

	region_name(region, name);
	size_t nr = keep_had(k, name, fds, 2);
	for (size_t i = 0; i < nr; i++) {
		int flags = ismi_sys_getfl(fds[i]), *as = flags >= 0 && (flags & O_ACCMODE) == O_RDWR ? &rw : &ro;
		if (flags < 0)
			r = ismi_fail(flags, "cannot look at the memory of a region");
		ismi_sys_close(*as);
		*as = fds[i];
	}
	if (r == 0 && rw < 0)
		r = ismi_fail(-EPROTO, "the memory of a region was not kept");
	if (r == 0)
		r = store_adopt(s, rw, ro, region->size);
	if (r < 0) {
		ismi_sys_close(rw);
		ismi_sys_close(ro);
		free(s);
		return r;
	}
	s->kept = true;
	region->memory = s;
	return 0;
}

static int had_regions(struct keep *k, struct domain *d)
{
	struct model_region *region;
	struct model_ref *ref;
	char name[KEEP_NAME_MAX];

	TAILQ_FOREACH (region, &d->model.regions, all) {
		int r = had_memory(k, region);
		if (r == 0 && region->nr_refs == 0)
			r = ismi_fail(-EPROTO, "the ledger has a region that nobody refers to");
		if (r < 0)
			return r;
		LIST_FOREACH (ref, &region->refs, of_region) {
			vector_name(ref, name);
			if (keep_had(k, name, &ref->vector_fd, 1) == 0)
				ref->vector_fd = -1;
		}
	}
	return 0;
}

/* Fill the model with what a former host knew: 1, 0 if there is nothing. */
static int take_over(struct domain *d, struct keep *k, struct ledger *old)
{
	struct model_device *dev;
	int r = find_ledger(k, old);

	if (r <= 0)
		return r;
	d->restoring = true;
	r = facts_restore(old, &d->model);
	if (r == 0)
		r = had_regions(k, d);
	if (r < 0) {
		model_restore_undo(&d->model);
		ledger_close(old);
	}
	d->restoring = false;
	if (r < 0)
		return r;
	TAILQ_FOREACH (dev, &d->model.devices, all)
		dev->front = &d->absent;
	return 1;
}

static int life_begin(struct persist *p, struct keep *k)
{
	int fds[2], r;

	if (keep_had(k, "life", &p->life_fd, 1) == 1)
		return 0;
	r = ismi_sys_pipe(fds);
	if (r < 0)
		return ismi_fail(r, "cannot make a pipe");
	ismi_sys_close(fds[0]);
	p->life_fd = fds[1];
	return keep_put(k, "life", &p->life_fd, 1);
}

int persist_life(const struct domain *d)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", d->persist->life_fd);
	return ismi_sys_open(path, O_RDONLY | O_NONBLOCK, 0);
}

/* Devices that never learned how to come back. */
static void drop_strangers(struct domain *d)
{
	struct model_device *dev, *next;

	for (dev = TAILQ_FIRST(&d->model.devices); dev != NULL; dev = next) {
		next = TAILQ_NEXT(dev, all);
		if (domain_absent(d, dev) && sodium_is_zero(dev->secret, sizeof dev->secret))
			domain_device_del(d, dev);
	}
}

int persist_begin(struct persist *p, struct domain *d, struct keep *keep, int listen_fd, bool listen_kept)
{
	struct ledger old = LEDGER_INIT;
	int r;

	*p = (struct persist){ .keep = keep, .ledger = LEDGER_INIT, .life_fd = -1, .listen_fd = listen_fd };
	r = take_over(d, keep, &old);
	if (r < 0 && r != -EPROTO)
		return r;
	if (r < 0)
		ismi_err(&keep->log, "persist", "a new domain, as the old one cannot be read: %s", ismi_fail_text());
	int over = r > 0;
	d->persist = p;
	if (!over) {	/* whoever waits for the old domain shall not wait for us */
		keep_remove(keep, "ledger-0");
		keep_remove(keep, "ledger-1");
		keep_sweep(keep);
	}
	r = life_begin(p, keep);
	if (r == 0 && !listen_kept)
		r = keep_put(keep, "listen", &listen_fd, 1);
	if (r == 0)
		r = rewrite(d, over ? old.generation + 1 : 1);
	if (r == 0 && over) {
		char name[KEEP_NAME_MAX];
		ledger_name(old.generation, name);
		keep_remove(keep, name);
	}
	/* Of the former host's links nobody knows any more: ours have other ids. */
	if (over) {
		d->last_link = (old.generation & 0xfff) << 20;
		p->had_generation = old.generation;
		p->had_end = old.end;
	}
	ledger_close(&old);
	if (r < 0) {
		fini(d, !over);
		return r;
	}
	return over;
}

void persist_settle(struct domain *d)
{
	if (d->persist == NULL)
		return;
	keep_sweep(d->persist->keep);
	drop_strangers(d);
}

void persist_end(struct domain *d, bool over)
{
	if (d->persist != NULL)
		fini(d, over);
}

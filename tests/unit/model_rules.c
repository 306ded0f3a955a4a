/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model_rules.c - the rules of virtio-ism, a second time.
 */
#include "model_rules.h"

const struct model_quota device_quota = { .bytes = 40 * CHUNK, .regions = 9, .grants = 5 };
const struct model_quota user_quota = { .bytes = 70 * CHUNK, .regions = 18, .devices = 5, .grants = 11 };

/* ------------------------------------------------------------------ what can be counted */

uint32_t rules_rights(const struct world *w, const struct region *r, int d)
{
	if (r->creator == w->device[d].devid)
		return R | W | A | M;
	return r->grant[d].is ? r->grant[d].rights : r->default_rights;
}

bool rules_shut_out(const struct world *w, const struct region *r, int d)
{
	uint32_t rights = rules_rights(w, r, d);

	return (r->ref[d].rights & ~rights) != 0 || !(rights & A);
}

uint32_t rules_refs(const struct region *r)
{
	uint32_t n = 0;

	for (int d = 0; d < DEVICES; d++)
		n += r->ref[d].is;
	return n;
}

uint32_t rules_managers(const struct world *w, const struct region *r)
{
	uint32_t n = 0;

	for (int d = 0; d < DEVICES; d++)
		n += r->ref[d].is && (rules_rights(w, r, d) & M);
	return n;
}

/* Does a manager refer to it, or to a region that it replaces? */
static bool managed(const struct world *w, const struct region *r)
{
	if (rules_managers(w, r) > 0)
		return true;
	for (int t = 0; t < TOKENS; t++) {
		const struct region *before = &w->region[t];
		if (!before->is || before->next == 0 || &w->region[before->next] != r)
			continue;
		for (int d = 0; d < DEVICES; d++) {
			if (before->ref[d].is && (rules_rights(w, r, d) & (A | M)) == (A | M))
				return true;
		}
	}
	return false;
}

struct model_quota rules_usage(const struct world *w, int d, bool user)
{
	struct model_quota u = { 0 };

	for (int i = 0; i < DEVICES; i++) {
		if (w->device[i].dev == NULL || (user ? w->device[i].uid != w->device[d].uid : i != d))
			continue;
		u.devices++;
		for (int t = 0; t < TOKENS; t++) {
			const struct region *r = &w->region[t];
			if (r->is && r->ref[i].is) {
				u.regions++;
				u.bytes += (uint64_t)r->chunks * CHUNK;
			}
			for (int k = 0; k < DEVICES && r->is; k++)
				u.grants += r->grant[k].is && r->grant[k].giver == i;
		}
	}
	return u;
}

static bool fits(const struct world *w, int d, uint32_t chunks)
{
	struct model_quota mine = rules_usage(w, d, false), users = rules_usage(w, d, true);
	uint64_t bytes = (uint64_t)chunks * CHUNK;

	return mine.bytes + bytes <= device_quota.bytes && mine.regions + 1 <= device_quota.regions &&
	       users.bytes + bytes <= user_quota.bytes && users.regions + 1 <= user_quota.regions;
}

/* First fit. */
uint32_t rules_place(const struct world *w, int d, uint32_t chunks)
{
	uint32_t align = chunks >= HUGE_CHUNKS ? HUGE_CHUNKS : 1;
	uint8_t taken[WINDOW_MAX] = { 0 };

	for (int t = 0; t < TOKENS; t++) {
		const struct region *r = &w->region[t];
		if (r->is && r->ref[d].is)
			memset(taken + r->ref[d].chunk, 1, r->chunks);
	}
	for (uint32_t at = 0; at + chunks <= w->device[d].chunks; at += align) {
		if (memchr(taken + at, 1, chunks) == NULL)
			return at;
	}
	return UINT32_MAX;
}

/* ------------------------------------------------------------------ what happens */

void rules_tell(struct world *w, uint64_t token, int except, enum model_event event, uint64_t devid)
{
	const struct region *r = &w->region[token];

	for (int d = 0; d < DEVICES; d++) {
		if (r->ref[d].is && d != except)
			w->told[w->nr_told++] = (struct said){ w->device[d].devid, token, event, devid, rules_refs(r) - 1 };
	}
}

/* Whom rights shut out, so that a change shows. */
static void note(const struct world *w, const struct region *r, bool ret[DEVICES])
{
	for (int d = 0; d < DEVICES; d++)
		ret[d] = r->ref[d].is && rules_shut_out(w, r, d);
}

static void follow(struct world *w, uint64_t token, const bool before[DEVICES])
{
	struct region *r = &w->region[token];
	bool now[DEVICES];

	note(w, r, now);
	if (!managed(w, r))
		r->ended = true;
	if (memcmp(now, before, sizeof now) != 0)
		rules_tell(w, token, -1, MODEL_PEERS, 0);
}

void rules_set_default(struct world *w, uint64_t token, uint32_t rights)
{
	struct region *r = &w->region[token];
	bool before[DEVICES];

	note(w, r, before);
	r->default_rights = rights;
	follow(w, token, before);
}

void rules_set_grant(struct world *w, uint64_t token, int to, int giver, uint32_t rights)
{
	struct region *r = &w->region[token];
	struct grant *g = &r->grant[to];
	bool before[DEVICES];

	note(w, r, before);
	*g = (struct grant){ true, rights & ~(uint32_t)MODEL_CLEAN_DEFAULT, g->is ? g->giver : giver };
	if (rights & MODEL_CLEAN_DEFAULT)
		r->default_rights = 0;
	follow(w, token, before);
}

void rules_ref_end(struct world *w, uint64_t token, int d)
{
	struct region *r = &w->region[token];
	uint64_t next = r->next;

	r->ref[d].is = false;
	if (!managed(w, r))
		r->ended = true;
	if (rules_refs(r) == 0) {
		for (int t = 0; t < TOKENS; t++) {
			if (w->region[t].is && w->region[t].next == token)
				w->region[t].next = r->next;
		}
		memset(r, 0, sizeof *r);
	} else {
		rules_tell(w, token, -1, MODEL_WENT, w->device[d].devid);
	}
	if (next != 0 && !managed(w, &w->region[next]))
		w->region[next].ended = true;
}

/* What device @d may do with a successor of a region. */
static uint32_t rights_left(const struct region *r, int d)
{
	if (r->grant[d].is)
		return r->grant[d].rights;
	return r->ref[d].is && (r->default_rights & A) ? r->default_rights : 0;
}

/* The successor is there, and nobody has been told. */
static void handed_on(struct world *w, uint64_t token, uint64_t next, int d, int without)
{
	struct region *r = &w->region[token], *n = &w->region[next];

	*n = (struct region){ .is = true, .chunks = r->chunks, .creator = r->creator };
	for (int i = 0; i < DEVICES; i++) {
		if (w->device[i].dev == NULL || w->device[i].devid == r->creator || rights_left(r, i) == 0 || i == without)
			continue;
		n->grant[i] = (struct grant){ true, rights_left(r, i), d };
	}
}

static void moved(struct world *w, uint64_t token, uint64_t next, int d)
{
	struct region *r = &w->region[token], *n = &w->region[next];

	r->replaced = true;
	r->next = next;
	for (int i = 0; i < DEVICES; i++) {
		if (r->ref[i].is && i != d && (rules_rights(w, n, i) & A))
			w->told[w->nr_told++] = (struct said){ w->device[i].devid, token, MODEL_MOVED, w->device[d].devid,
							       rules_refs(r) - 1 };
	}
}

void rules_replaced(struct world *w, uint64_t token, uint64_t next, int d, uint32_t chunk)
{
	handed_on(w, token, next, d, -1);
	w->region[next].ref[d] = (struct ref){ true, RW, chunk };
	moved(w, token, next, d);
}

void rules_shut_out_done(struct world *w, uint64_t token, uint64_t next, int d, int without, uint32_t chunk)
{
	struct region *n = &w->region[next];

	handed_on(w, token, next, d, without);
	n->ref[d] = (struct ref){ true, R, chunk };
	if (w->device[d].devid != n->creator)
		n->grant[d] = (struct grant){ true, n->grant[d].rights | R | A | M, d };
	if (without >= 0)
		rules_set_grant(w, token, without, d, 0);
	moved(w, token, next, d);
}

/* ------------------------------------------------------------------ what the answer is */

enum ismi_status rules_alloc(const struct world *w, int d, uint32_t chunks)
{
	if (chunks > w->device[d].chunks)
		return ISMI_E2BIG;
	return fits(w, d, chunks) && rules_place(w, d, chunks) != UINT32_MAX ? ISMI_OK : ISMI_ENOSPC;
}

enum ismi_status rules_attach(const struct world *w, int d, const struct region *r, uint32_t want)
{
	bool known, follows = false;

	if (want != R && want != RW)
		return ISMI_ERR;
	for (int t = 0; t < TOKENS; t++)	/* it follows the managers, through a region that they have left */
		follows |= w->region[t].is && w->region[t].ref[d].is && r->next != 0 && &w->region[w->region[t].next] == r;
	if (!r->is || (r->ended && !follows))
		return ISMI_ENOENT;
	uint32_t rights = rules_rights(w, r, d);
	known = r->creator == w->device[d].devid ||
		(r->grant[d].is ? rights != 0 : (rights & A) != 0 && (!r->replaced || r->ref[d].is));
	if (!known)
		return ISMI_ENOENT;
	if (!(rights & A))
		return ISMI_PERM_ATTACH;
	if (!(rights & R))
		return ISMI_PERM_READ;
	if (want & ~rights)
		return ISMI_PERM_WRITE;
	if (r->ref[d].is)
		return ISMI_OK;
	return fits(w, d, r->chunks) && rules_place(w, d, r->chunks) != UINT32_MAX ? ISMI_OK : ISMI_ENOSPC;
}

enum ismi_status rules_grant_default(const struct world *w, int d, const struct region *r, uint32_t rights)
{
	if (!r->is || !r->ref[d].is)
		return ISMI_ENOENT;
	if ((rights & ~(uint32_t)(R | W | A | M)) || ((rights & W) && !(rights & R)))
		return ISMI_ERR;
	uint32_t own = rules_rights(w, r, d);
	return (own & M) && !(rights & ~own) ? ISMI_OK : ISMI_PERM_ATTACH;
}

enum ismi_status rules_replace(const struct world *w, int d, const struct region *r)
{
	uint32_t grants = 0;

	if (!r->is || !r->ref[d].is || r->next != 0)
		return ISMI_ENOENT;
	if (rules_rights(w, r, d) != (R | W | A | M))
		return ISMI_PERM_ATTACH;
	for (int i = 0; i < DEVICES; i++)
		grants += w->device[i].dev != NULL && w->device[i].devid != r->creator && rights_left(r, i) != 0;
	if (rules_usage(w, d, false).grants + grants > device_quota.grants ||
	    rules_usage(w, d, true).grants + grants > user_quota.grants)
		return ISMI_ENOSPC;
	return fits(w, d, r->chunks) && rules_place(w, d, r->chunks) != UINT32_MAX ? ISMI_OK : ISMI_ENOSPC;
}

enum ismi_status rules_may_shut_out(const struct world *w, int d, const struct region *r, int without)
{
	uint32_t grants = 1 + (without >= 0 && !r->grant[without].is);
	bool anybody = false;

	if (!r->is)
		return ISMI_ENOENT;
	if (r->next != 0)
		return ISMI_EALREADY;
	if (without >= 0 && (w->device[without].devid == r->creator || without == d))
		return ISMI_EINVAL;
	if (without >= 0 && !r->grant[without].is && !r->ref[without].is)
		return ISMI_ENODEV;
	for (int i = 0; i < DEVICES; i++) {
		if (w->device[i].dev == NULL || i == without)
			continue;
		anybody |= i != d && r->ref[i].is && (rules_rights(w, r, i) & A);
		grants += w->device[i].devid != r->creator && rights_left(r, i) != 0;
	}
	if (!anybody)
		return ISMI_ENXIO;
	if (rules_usage(w, d, false).grants + grants > device_quota.grants ||
	    rules_usage(w, d, true).grants + grants > user_quota.grants)
		return ISMI_ENOSPC;
	return fits(w, d, r->chunks) && rules_place(w, d, r->chunks) != UINT32_MAX ? ISMI_OK : ISMI_ENOSPC;
}

enum ismi_status rules_grant(const struct world *w, int d, const struct region *r, uint32_t rights, int to,
			     uint64_t devid)
{
	enum ismi_status s = rules_grant_default(w, d, r, rights & ~(uint32_t)MODEL_CLEAN_DEFAULT);

	if (s != ISMI_OK)
		return s;
	if (devid == r->creator)
		return ISMI_PERM_ATTACH;
	if (w->device[to].dev == NULL)
		return ISMI_ENOENT;
	if (r->grant[to].is)
		return ISMI_OK;
	return rules_usage(w, d, false).grants < device_quota.grants && rules_usage(w, d, true).grants < user_quota.grants
		       ? ISMI_OK
		       : ISMI_ENOSPC;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model_random.c - many random operations, each compared with the rules as
 * model_rules.h has them.
 */
#include "model_rules.h"
#include "model_suite.h"

enum { OPERATIONS = 200000 };

static uint32_t below(struct world *w, uint32_t n)
{
	return unit_below(&w->random, n);
}

/* ------------------------------------------------------------------ the operations */

static uint32_t some_rights(struct world *w)
{
	static const uint32_t usual[] = { 0, R | A, RW | A, RW | A | M, R | A | M, R, A, RW | M };

	return below(w, 10) == 0 ? below(w, 64) : usual[below(w, 8)];
}

/* Mostly one that is there, and often one that @d refers to. */
static uint64_t some_token(struct world *w, int d, bool referred)
{
	bool any = below(w, 20) == 0;
	uint64_t token = 1;

	for (int i = 0; i < 40; i++) {
		const struct region *r = &w->region[token];
		if (any || (r->is && (!referred || r->ref[d].is) && (referred || !r->ended || i > 20)))
			break;
		token = 1 + below(w, TOKENS - 1);
	}
	return token;
}

/* A device that is there; -1: none. */
static int some_device(struct world *w)
{
	for (int i = 0; i < 20; i++) {
		int d = (int)below(w, DEVICES);
		if (w->device[d].dev != NULL)
			return d;
	}
	return -1;
}

static void expect(struct world *w, const char *what, enum ismi_status got, enum ismi_status want)
{
	if (got != want)
		ck_abort_msg("%s: status %d, expected %d", what, got, want);
	w->done[got]++;
}

static void device_come(struct world *w)
{
	int d = (int)below(w, DEVICES);
	struct device *new = &w->device[d];
	uint32_t uid = below(w, USERS), chunks = below(w, 2) ? WINDOW_MAX : 12, of_user = 0;
	struct model_device *dev;

	if (new->dev != NULL)
		return;
	for (int i = 0; i < DEVICES; i++)
		of_user += w->device[i].dev != NULL && w->device[i].uid == uid;
	enum ismi_status s = model_device_add(&w->fake.model, uid, (uint64_t)chunks * CHUNK, &dev);
	expect(w, "device", s, of_user < user_quota.devices ? ISMI_OK : ISMI_ENOSPC);
	if (s != ISMI_OK)
		return;
	if (dev->devid <= w->last_devid)
		ck_abort_msg("device id %llu after %llu", (unsigned long long)dev->devid, (unsigned long long)w->last_devid);
	w->last_devid = dev->devid;
	*new = (struct device){ .dev = dev, .devid = dev->devid, .uid = uid, .chunks = chunks };
}

static void device_go(struct world *w, int d, bool reset)
{
	for (uint64_t t = 0; t < TOKENS; t++) {
		if (w->region[t].is && w->region[t].ref[d].is)
			rules_ref_end(w, t, d);
	}
	if (reset) {
		model_device_reset(w->device[d].dev);
		return;
	}
	model_device_del(w->device[d].dev);
	w->device[d].dev = NULL;
	for (int t = 0; t < TOKENS; t++) {
		w->region[t].grant[d].is = false;
		for (int k = 0; k < DEVICES; k++) {
			if (w->region[t].grant[k].giver == d)
				w->region[t].grant[k].giver = -1;
		}
	}
}

static void alloc(struct world *w, int d)
{
	uint32_t chunks = below(w, 8) == 0 ? 1 + below(w, 60) : 1 + below(w, 6), flags = below(w, 4) == 0;
	uint64_t size = (uint64_t)chunks * CHUNK - below(w, CHUNK);
	enum ismi_status want = rules_alloc(w, d, chunks);
	uint32_t chunk = rules_place(w, d, chunks);
	struct model_ref *ref;

	enum ismi_status s = model_alloc(w->device[d].dev, size, size, flags, NULL, &ref);
	expect(w, "alloc", s, want);
	if (s != ISMI_OK)
		return;
	if (ref->token == 0 || ref->token >= TOKENS || w->region[ref->token].is)
		ck_abort_msg("token %llu is in use", (unsigned long long)ref->token);
	struct region *r = &w->region[ref->token];
	*r = (struct region){ .is = true, .chunks = chunks, .creator = w->device[d].devid };
	r->default_rights = flags & ISMI_ALLOC_F_PRIVATE ? 0 : RW | A;
	r->ref[d] = (struct ref){ true, RW, chunk };
}

static void attach(struct world *w, int d, int64_t now)
{
	uint64_t token = some_token(w, d, false);
	uint32_t want = below(w, 50) == 0 ? below(w, 16) : below(w, 2) ? R : RW;
	struct region *r = &w->region[token];
	enum ismi_status s, expected = rules_attach(w, d, r, want);
	bool was = r->ref[d].is;
	bool guess = expected == ISMI_ENOENT || (expected >= ISMI_PERM_ATTACH && expected <= ISMI_PERM_WRITE);
	uint32_t chunk = was ? r->ref[d].chunk : rules_place(w, d, r->chunks);
	struct model_ref *ref;
	int64_t delay = -1;

	s = model_attach(w->device[d].dev, token, want, now, &ref, &delay);
	expect(w, "attach", s, expected);
	if (guess ? delay < 1000000 || delay > 1024000000 || __builtin_popcountll((uint64_t)delay / 1000000) != 1 : delay != 0)
		ck_abort_msg("attach with status %d: answered after %lld ns", s, (long long)delay);
	if (s != ISMI_OK)
		return;
	r->ref[d] = (struct ref){ true, want | (was ? r->ref[d].rights : 0), chunk };
	if (!was)
		rules_tell(w, token, d, MODEL_CAME, w->device[d].devid);
}

static void detach(struct world *w, int d)
{
	uint64_t token = some_token(w, d, true);
	bool is = w->region[token].is && w->region[token].ref[d].is;

	expect(w, "detach", model_detach(w->device[d].dev, token), is ? ISMI_OK : ISMI_ENOENT);
	if (is)
		rules_ref_end(w, token, d);
}

static void grant_default(struct world *w, int d)
{
	uint64_t token = some_token(w, d, true);
	uint32_t rights = some_rights(w);
	enum ismi_status want = rules_grant_default(w, d, &w->region[token], rights);

	expect(w, "grant default", model_grant_default(w->device[d].dev, token, rights), want);
	if (want == ISMI_OK)
		rules_set_default(w, token, rights);
}

static void grant(struct world *w, int d)
{
	uint64_t token = some_token(w, d, true);
	struct region *r = &w->region[token];
	uint32_t rights = some_rights(w) | (below(w, 8) == 0 ? MODEL_CLEAN_DEFAULT : 0);
	int to = (int)below(w, DEVICES);
	bool there = w->device[to].dev != NULL;
	uint64_t devid = there ? w->device[to].devid : w->last_devid + 1;
	enum ismi_status want = rules_grant(w, d, r, rights, to, devid);

	expect(w, "grant", model_grant(w->device[d].dev, token, rights, devid), want);
	if (want == ISMI_OK)
		rules_set_grant(w, token, to, d, rights);
}

static void replace(struct world *w, int d)
{
	uint64_t token = some_token(w, d, true);
	const struct region *r = &w->region[token];
	enum ismi_status want = rules_replace(w, d, r);
	uint32_t chunk = rules_place(w, d, r->chunks);
	struct model_ref *ref;

	enum ismi_status s = model_replace(w->device[d].dev, token, NULL, &ref);
	expect(w, "replace", s, want);
	if (s != ISMI_OK)
		return;
	w->replaced++;
	model_moved(model_region_find(&w->fake.model, token), ref->region, w->device[d].dev);
	rules_replaced(w, token, ref->token, d, chunk);
}

/* By a device that may have no part in the region. */
static void shut_out(struct world *w, int d)
{
	uint64_t token = below(w, TOKENS), devid = 0;
	const struct region *r = &w->region[token];
	int without = below(w, 3) == 0 ? -1 : (int)below(w, DEVICES);
	struct model_region *old;
	struct model_ref *ref;

	if (without >= 0 && w->device[without].dev == NULL)
		without = -1;
	if (without >= 0)
		devid = w->device[without].devid;
	enum ismi_status want = rules_may_shut_out(w, d, r, without);
	uint32_t chunk = rules_place(w, d, r->chunks);
	enum ismi_status s = model_may_shut_out(w->device[d].dev, token, &devid, without >= 0, &old);
	if (s == ISMI_OK)
		s = model_shut_out(w->device[d].dev, old, &devid, without >= 0, NULL, &ref);
	expect(w, "shut out", s, want);
	if (s != ISMI_OK)
		return;
	w->shut_out++;
	model_moved(old, ref->region, w->device[d].dev);
	rules_shut_out_done(w, token, ref->token, d, without, chunk);
}

/* ------------------------------------------------------------------ comparing */

/* The same events, in any order. */
static void compare_events(struct world *w)
{
	if (w->nr_told != w->fake.nr_said)
		ck_abort_msg("%u events, expected %u", w->fake.nr_said, w->nr_told);
	for (unsigned int i = 0; i < w->nr_told; i++) {
		const struct said *t = &w->told[i], *s = w->fake.said;
		const struct said *end = s + w->fake.nr_said;
		while (s < end && (s->to != t->to || s->token != t->token || s->event != t->event ||
				   s->devid != t->devid || s->peers != t->peers))
			s++;
		if (s == end)
			ck_abort_msg("device %llu was not told %d about %llu by %llu", (unsigned long long)t->to, t->event,
				     (unsigned long long)t->token, (unsigned long long)t->devid);
	}
	w->nr_told = w->fake.nr_said = 0;
}

static void compare_region(const struct world *w, uint64_t token)
{
	const struct model *m = &w->fake.model;
	const struct region *r = &w->region[token];
	const struct model_region *mr = model_region_find((struct model *)(uintptr_t)m, token);

	if (r->is != (mr != NULL))
		ck_abort_msg("region %llu", (unsigned long long)token);
	if (mr == NULL)
		return;
	if (mr->replaced != r->replaced || (mr->successor != NULL ? mr->successor->token : 0) != r->next)
		ck_abort_msg("region %llu: its successor is not %llu", (unsigned long long)token, (unsigned long long)r->next);
	if (mr->ended != r->ended || mr->default_rights != r->default_rights || mr->nr_refs != rules_refs(r) ||
	    mr->size != (uint64_t)r->chunks * CHUNK || mr->nr_managers != rules_managers(w, r))
		ck_abort_msg("region %llu: ended %d, default %x, %u referrers, %u managers", (unsigned long long)token,
			     mr->ended, mr->default_rights, mr->nr_refs, mr->nr_managers);
	for (int d = 0; d < DEVICES; d++) {
		if (w->device[d].dev == NULL)
			continue;
		const struct model_ref *ref = model_ref_find(w->device[d].dev, token);
		if ((ref != NULL) != r->ref[d].is)
			ck_abort_msg("device %d and region %llu", d, (unsigned long long)token);
		if (ref != NULL && (ref->rights != r->ref[d].rights || ref->chunk != r->ref[d].chunk ||
				    ref->shut_out != rules_shut_out(w, r, d)))
			ck_abort_msg("device %d in region %llu: rights %x, chunk %u, shut out %d", d,
				     (unsigned long long)token, ref->rights, ref->chunk, ref->shut_out);
	}
}

static void compare(const struct world *w)
{
	for (int d = 0; d < DEVICES; d++) {
		const struct model_device *dev = w->device[d].dev;
		if (dev == NULL)
			continue;
		struct model_quota u = rules_usage(w, d, false);
		if (u.bytes != dev->used.bytes || u.regions != dev->used.regions || u.grants != dev->used.grants)
			ck_abort_msg("device %d: %llu bytes, %u regions, %u grants", d,
				     (unsigned long long)dev->used.bytes, dev->used.regions, dev->used.grants);
	}
	for (uint64_t t = 0; t < TOKENS; t++)
		compare_region(w, t);
	fake_check(&w->fake);
}

static void step(struct world *w, int64_t now)
{
	int d = some_device(w);
	uint32_t what = below(w, 100);

	if (what < 4 || d < 0)
		device_come(w);
	else if (what < 6)
		device_go(w, d, what == 5);
	else if (what < 22)
		alloc(w, d);
	else if (what < 55)
		attach(w, d, now);
	else if (what < 72)
		detach(w, d);
	else if (what < 75)
		replace(w, d);
	else if (what < 77)
		shut_out(w, d);
	else if (what < 95)
		grant(w, d);
	else
		grant_default(w, d);
}

START_TEST(the_model_agrees_with_the_rules_written_down_again)
{
	static struct world w;

	fake_init(&w.fake);
	w.random = unit_seed();
	w.fake.random = w.random + 1;
	w.fake.random_mask = TOKENS - 1;
	w.fake.model.device_quota = device_quota;
	w.fake.model.user_quota = user_quota;
	for (int i = 0; i < OPERATIONS; i++) {
		step(&w, (int64_t)i * 1000000);
		compare_events(&w);
		if (i % 16 == 0)
			compare(&w);
	}
	compare(&w);
	for (int i = 0; i < 256; i++) {
		if (w.done[i] > 0)
			printf("status %d: %u\n", i, w.done[i]);
	}
	printf("%u regions replaced, %u of them by the host's user\n", w.replaced + w.shut_out, w.shut_out);
	printf("%u tokens drawn for %llu regions\n", w.fake.drawn, (unsigned long long)w.fake.model.next_serial - 1);
	fake_fini(&w.fake);
}
END_TEST

Suite *model_random_suite(void)
{
	Suite *s = suite_create("model: random");
	TCase *tc = harness_tcase(s, "random", 600);

	tcase_add_test(tc, the_model_agrees_with_the_rules_written_down_again);
	return s;
}

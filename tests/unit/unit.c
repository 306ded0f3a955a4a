/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * unit.c - what the unit tests share.
 */
#include "unit.h"

#include <stdlib.h>
#include <time.h>

/* ------------------------------------------------------------------ random numbers */

uint64_t unit_seed(void)
{
	const char *text = getenv("ISM_TEST_SEED");
	uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 1000003 + (uint64_t)clock();

	printf("ISM_TEST_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

uint64_t unit_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* ------------------------------------------------------------------ what the model says */

static uint64_t on_random(void *ctx)
{
	struct fake *f = ctx;

	f->drawn++;
	if (f->at_script < f->nr_script)
		return f->script[f->at_script++];
	uint64_t token = unit_random(&f->random);
	return f->random_mask != 0 ? token & f->random_mask : token;
}

static void on_event(void *ctx, struct model_ref *to, enum model_event event, uint64_t devid)
{
	struct fake *f = ctx;

	if (f->nr_said == SAID_MAX)
		ck_abort_msg("more than %d events", SAID_MAX);
	f->said[f->nr_said++] = (struct said){ to->device->devid, to->token, event, devid, model_peers(to) };
}

static void on_ref_begin(void *ctx, struct model_ref *ref)
{
	struct fake *f = ctx;

	if (model_ref_find(ref->device, ref->token) != ref)
		ck_abort_msg("a reference begins that cannot be found");
	f->begun++;
}

static void on_ref_end(void *ctx, struct model_ref *ref)
{
	struct fake *f = ctx;

	if (model_ref_find(ref->device, ref->token) != ref)
		ck_abort_msg("a reference ends that cannot be found");
	f->ended++;
}

static void on_region_free(void *ctx, struct model_region *region)
{
	struct fake *f = ctx;

	f->freed++;
	f->last_memory = region->memory;
	if (f->memory_free != NULL)
		f->memory_free(region->memory);
}

static const struct model_ops ops = {
	.random = on_random,
	.event = on_event,
	.ref_begin = on_ref_begin,
	.ref_end = on_ref_end,
	.region_free = on_region_free,
};

unsigned int fake_count(const struct fake *f, const struct model_device *to, enum model_event event, uint64_t devid)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < f->nr_said; i++)
		n += f->said[i].to == to->devid && f->said[i].event == event && f->said[i].devid == devid;
	return n;
}

void fake_forget(struct fake *f)
{
	f->nr_said = 0;
}

/* ------------------------------------------------------------------ accounts */

struct account {
	uint64_t bytes;
	uint32_t regions, grants, devices;
};

static void count_device(const struct model_device *dev, struct account *a)
{
	const struct model_grant *grant;
	const struct model_ref *ref;

	LIST_FOREACH (ref, &dev->ref_list, of_device) {
		a->bytes += ref->region->size;
		a->regions++;
	}
	LIST_FOREACH (grant, &dev->given, of_giver)
		a->grants++;
	a->devices++;
}

static void compare(const char *whose, uint64_t id, const struct account *a, const struct model_usage *used)
{
	if (a->bytes != used->bytes || a->regions != used->regions || a->grants != used->grants)
		ck_abort_msg("%s %llu: %llu bytes, %u regions, %u grants accounted; counted %llu, %u, %u", whose,
			     (unsigned long long)id, (unsigned long long)used->bytes, used->regions, used->grants,
			     (unsigned long long)a->bytes, a->regions, a->grants);
}

static void check_device(const struct model_device *dev)
{
	const struct model_device *other;
	struct account mine = { 0 }, users = { 0 };

	count_device(dev, &mine);
	compare("device", dev->devid, &mine, &dev->used);
	if (dev->window.nr_chunks - dev->window.nr_free != mine.bytes / CHUNK ||
	    ISMI_SLOTS - dev->slots.nr_free != mine.regions)
		ck_abort_msg("device %llu: %u chunks and %u slots taken for %llu bytes in %u regions",
			     (unsigned long long)dev->devid, dev->window.nr_chunks - dev->window.nr_free,
			     ISMI_SLOTS - dev->slots.nr_free, (unsigned long long)mine.bytes, mine.regions);
	TAILQ_FOREACH (other, &dev->model->devices, all) {
		if (other->user == dev->user)
			count_device(other, &users);
	}
	compare("user", dev->user->uid, &users, &dev->user->used);
	if (users.devices != dev->user->used.devices)
		ck_abort_msg("user %u: %u devices accounted, %u counted", dev->user->uid, dev->user->used.devices,
			     users.devices);
}

static bool managers_come(struct model_region *region)
{
	const struct model_region *before;
	const struct model_ref *ref;

	LIST_FOREACH (before, &region->replaces, of_successor) {
		LIST_FOREACH (ref, &before->refs, of_region) {
			if ((model_rights(ref->device, region) & (A | M)) == (A | M))
				return true;
		}
	}
	return false;
}

/* Its referrers, its managers, and what follows from them. */
static void check_region(struct model_region *region)
{
	const struct model_ref *ref;
	uint32_t refs = 0, managers = 0;

	LIST_FOREACH (ref, &region->refs, of_region) {
		uint32_t rights = model_rights(ref->device, region);
		bool shut_out = (ref->rights & ~rights) != 0 || !(rights & A);
		refs++;
		managers += (rights & M) != 0;
		if (ref->shut_out != shut_out || model_ref_find(ref->device, region->token) != ref)
			ck_abort_msg("device %llu attached with %x, may do %x, shut out %d",
				     (unsigned long long)ref->device->devid, ref->rights, rights, ref->shut_out);
	}
	if (refs != region->nr_refs || managers != region->nr_managers || refs == 0 ||
	    (managers == 0 && !region->ended && !managers_come(region)))
		ck_abort_msg("region %llx: %u referrers and %u managers counted, %u and %u accounted, %s",
			     (unsigned long long)region->token, refs, managers, region->nr_refs, region->nr_managers,
			     region->ended ? "ended" : "not ended");
}

void fake_check(const struct fake *f)
{
	const struct model *m = &f->model;
	const struct model_device *dev;
	struct model_region *region;
	uint32_t devices = 0, regions = 0, refs = 0;
	uint64_t bytes = 0;

	TAILQ_FOREACH (dev, &m->devices, all) {
		check_device(dev);
		devices++;
	}
	TAILQ_FOREACH (region, &m->regions, all) {
		check_region(region);
		bytes += region->size;
		refs += region->nr_refs;
		regions++;
	}
	if (devices != m->nr_devices || regions != m->nr_regions || bytes != m->bytes || refs != f->begun - f->ended)
		ck_abort_msg("%u devices, %u regions, %llu bytes, %u references: counted %u, %u, %llu, %u", m->nr_devices,
			     m->nr_regions, (unsigned long long)m->bytes, f->begun - f->ended, devices, regions,
			     (unsigned long long)bytes, refs);
}

/* ------------------------------------------------------------------ life */

void fake_init(struct fake *f)
{
	memset(f, 0, sizeof *f);
	f->random = 1;
	model_init(&f->model, 77, &ops, f);
}

void fake_fini(struct fake *f)
{
	struct model_device *dev;

	fake_check(f);
	while ((dev = TAILQ_FIRST(&f->model.devices)) != NULL) {
		f->nr_said = 0;
		model_device_del(dev);
		fake_check(f);
	}
	ck_assert_uint_eq(f->model.bytes, 0);
	ck_assert_uint_eq(f->model.nr_regions, 0);
	ck_assert_uint_eq(f->begun, f->ended);
	model_fini(&f->model);
}

struct model_device *fake_device(struct fake *f, uint32_t uid, uint32_t chunks)
{
	struct model_device *dev;

	ck_assert_int_eq(model_device_add(&f->model, uid, (uint64_t)chunks * CHUNK, &dev), ISMI_OK);
	return dev;
}

struct model_ref *fake_alloc(struct model_device *dev, uint32_t chunks, uint32_t flags)
{
	uint64_t size = (uint64_t)chunks * CHUNK;
	struct model_ref *ref;

	ck_assert_int_eq(model_alloc(dev, size, size, flags, NULL, &ref), ISMI_OK);
	return ref;
}

enum ismi_status fake_try(struct model_device *dev, uint64_t token, uint32_t want)
{
	struct model_ref *ref;
	int64_t delay;

	return model_attach(dev, token, want, 0, &ref, &delay);
}

struct model_ref *fake_attach(struct model_device *dev, uint64_t token)
{
	struct model_ref *ref;
	int64_t delay;

	ck_assert_int_eq(model_attach(dev, token, RW, 0, &ref, &delay), ISMI_OK);
	ck_assert_int_eq(delay, 0);
	return ref;
}

enum ismi_status fake_probe(struct model_device *dev, uint64_t token, uint32_t want)
{
	bool had = model_ref_find(dev, token) != NULL;
	enum ismi_status status = fake_try(dev, token, want);

	if (status == ISMI_OK && !had)
		ck_assert_int_eq(model_detach(dev, token), ISMI_OK);
	return status;
}

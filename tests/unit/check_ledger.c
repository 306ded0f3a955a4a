/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_ledger.c - what a host writes down is what the next one reads.
 */
#include "unit.h"

#include "base/bytes.h"
#include "base/sys.h"
#include "facts.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

/* ------------------------------------------------------------------ a model that writes down what changes */

struct writer {
	struct model model;
	struct ledger ledger;
	uint64_t random;
};

static uint64_t on_random(void *ctx)
{
	return unit_random(&((struct writer *)ctx)->random);
}

static void on_event(void *ctx, struct model_ref *to, enum model_event event, uint64_t devid)
{
	(void)ctx;
	(void)to;
	(void)event;
	(void)devid;
}

static void on_ref_begin(void *ctx, struct model_ref *ref)
{
	struct writer *w = ctx;

	if (ref->region->nr_refs == 1)
		facts_region(&w->ledger, ref->region);
	facts_ref(&w->ledger, ref);
}

static void on_ref_end(void *ctx, struct model_ref *ref)
{
	facts_ref_gone(&((struct writer *)ctx)->ledger, ref);
}

static void on_region_free(void *ctx, struct model_region *region)
{
	facts_region_gone(&((struct writer *)ctx)->ledger, region);
}

static void on_changed(void *ctx, struct model_region *region, const struct model_ref *ref,
		       const struct model_grant *grant)
{
	struct ledger *l = &((struct writer *)ctx)->ledger;

	if (grant != NULL)
		facts_grant(l, grant);
	else if (ref != NULL)
		facts_ref(l, ref);
	else
		facts_region(l, region);
}

static const struct model_ops writer_ops = {
	.random = on_random,
	.event = on_event,
	.ref_begin = on_ref_begin,
	.ref_end = on_ref_end,
	.region_free = on_region_free,
	.changed = on_changed,
};

static void on_ref(void *ctx, struct model_ref *ref)
{
	(void)ctx;
	(void)ref;
}

static void on_region(void *ctx, struct model_region *region)
{
	(void)ctx;
	(void)region;
}

/* One that only reads. */
static const struct model_ops reader_ops = {
	.random = on_random, .event = on_event, .ref_begin = on_ref, .ref_end = on_ref, .region_free = on_region,
};

static void writer_open(struct writer *w, uint64_t seed)
{
	*w = (struct writer){ .random = seed };
	ok(ledger_create(&w->ledger, 1));
	model_init(&w->model, 77, &writer_ops, w);
	facts_domain(&w->ledger, &w->model);
	ok(ledger_commit(&w->ledger));
}

static void model_end(struct model *m)
{
	model_restore_undo(m);
	model_fini(m);
}

static void writer_close(struct writer *w)
{
	model_end(&w->model);
	ledger_close(&w->ledger);
}

/* ------------------------------------------------------------------ comparing */

static int by_line(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *one_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *one_line(const char *format, ...)
{
	va_list args;
	char *line;

	va_start(args, format);
	ck_assert_int_ge(vasprintf(&line, format, args), 0);
	va_end(args);
	return line;
}

#define ll(v) (unsigned long long)(v)

/* All that a model knows and that outlives it, as sorted text. */
static char *describe(const struct model *m)
{
	enum { MAX = 20000 };
	char **line = calloc(MAX, sizeof *line);
	const struct model_device *dev;
	const struct model_region *r;
	const struct model_grant *g;
	const struct model_ref *ref;
	size_t n = 0, size = 1;

	line[n++] = one_line("domain %llx %llu %llu", ll(m->gid), ll(m->nr_devices), ll(m->bytes));
	TAILQ_FOREACH (dev, &m->devices, all)
		line[n++] = one_line("device %llu uid %u pid %d window %u free %u slots %u name %s secret %u used %llu %u %u",
				     ll(dev->devid), dev->user->uid, dev->pid, dev->window.nr_chunks, dev->window.nr_free,
				     dev->slots.nr_free, dev->name, dev->secret[3], ll(dev->used.bytes), dev->used.regions,
				     dev->used.grants);
	TAILQ_FOREACH (r, &m->regions, all) {
		line[n++] = one_line("region %llx serial %llu size %llu asked %llu creator %llu of %u default %x %s refs %u "
				     "managers %u replaced %d by %llx", ll(r->token), ll(r->serial), ll(r->size), ll(r->requested), ll(r->creator),
				     r->creator_uid, r->default_rights, r->ended ? "ended" : "", r->nr_refs, r->nr_managers,
				     r->replaced, r->successor != NULL ? ll(r->successor->token) : 0);
		LIST_FOREACH (ref, &r->refs, of_region)
			line[n++] = one_line("ref %llu to %llx rights %x chunk %u slot %u %d %d", ll(ref->device->devid),
					     ll(ref->token), ref->rights, ref->chunk, ref->slot, ref->manages, ref->shut_out);
		LIST_FOREACH (g, &r->grant_list, of_region)
			line[n++] = one_line("grant on %llx to %llu: %x by %llu", ll(r->token), ll(g->devid), g->rights,
					     g->giver ? ll(g->giver->devid) : 0);
		ck_assert_uint_lt(n, MAX - 1000);
	}
	qsort(line, n, sizeof *line, by_line);
	for (size_t i = 0; i < n; i++)
		size += strlen(line[i]) + 1;
	char *text = calloc(1, size), *at = text;
	for (size_t i = 0; i < n; i++) {
		at = stpcpy(stpcpy(at, line[i]), "\n");
		free(line[i]);
	}
	free(line);
	return text;
}

/* What a new host would read from @l now. */
static void restored(const struct ledger *l, struct model *ret)
{
	struct ledger read;

	model_init(ret, 0, &reader_ops, NULL);
	ok(ledger_open(&read, ismi_sys_dup(l->fd)));
	ok(facts_restore(&read, ret));
	ledger_close(&read);
}

static void check_same(const struct model *m, const struct ledger *l)
{
	char *want = describe(m), *got;
	struct model again;

	restored(l, &again);
	got = describe(&again);
	ck_assert_str_eq(got, want);
	ck_assert_uint_ge(again.next_devid, m->next_devid);
	ck_assert_uint_ge(again.next_serial, m->next_serial);
	model_end(&again);
	free(got);
	free(want);
}

/* ------------------------------------------------------------------ random lives */

static struct model_device *some_device(struct writer *w)
{
	uint32_t n = w->model.nr_devices ? unit_below(&w->random, w->model.nr_devices) : 0;
	struct model_device *dev = TAILQ_FIRST(&w->model.devices);

	while (dev != NULL && n-- > 0)
		dev = TAILQ_NEXT(dev, all);
	return dev;
}

static uint64_t some_token(struct writer *w)
{
	uint32_t n = w->model.nr_regions ? unit_below(&w->random, w->model.nr_regions) : 0;
	const struct model_region *r = TAILQ_FIRST(&w->model.regions);

	while (r != NULL && n-- > 0)
		r = TAILQ_NEXT(r, all);
	return r != NULL ? r->token : 1;
}

static void device_comes(struct writer *w)
{
	struct model_device *dev;

	if (w->model.nr_devices >= 12)
		return;
	ck_assert_int_eq(model_device_add(&w->model, unit_below(&w->random, 3), 40 * CHUNK, &dev), ISMI_OK);
	dev->pid = (int32_t)unit_below(&w->random, 30000);
	snprintf(dev->name, sizeof dev->name, "d%u", unit_below(&w->random, 1000));
	for (size_t i = 0; i < sizeof dev->secret; i++)
		dev->secret[i] = (uint8_t)unit_random(&w->random);
	facts_device(&w->ledger, dev);
}

static void device_goes(struct writer *w, struct model_device *dev)
{
	uint64_t devid = dev->devid;

	model_device_del(dev);
	facts_device_gone(&w->ledger, devid);
}

static void one_change(struct writer *w)
{
	static const uint32_t rights[] = { 0, R | A, RW | A, RW | A | M, R | A | M, M };
	struct model_device *dev = some_device(w), *other = some_device(w);
	uint64_t token = some_token(w), size = 1 + unit_below(&w->random, 4 * CHUNK);
	struct model_ref *ref;
	int64_t delay;

	switch (dev == NULL ? 0 : unit_below(&w->random, 21)) {
	case 0:
		device_comes(w);
		break;
	case 1:
		if (unit_below(&w->random, 3) == 0)
			device_goes(w, dev);
		break;
	case 2 ... 6:
		model_alloc(dev, size, size, unit_below(&w->random, 2), NULL, &ref);
		break;
	case 7 ... 11:
		model_attach(dev, token, unit_below(&w->random, 2) ? R : RW, 0, &ref, &delay);
		break;
	case 12 ... 14:
		model_detach(dev, token);
		break;
	case 15 ... 16:
		model_grant_default(dev, token, rights[unit_below(&w->random, 6)]);
		break;
	case 17:
		if (model_replace(dev, token, NULL, &ref) == ISMI_OK)
			model_moved(model_region_find(&w->model, token), ref->region, dev);
		break;
	default:
		model_grant(dev, token, rights[unit_below(&w->random, 6)] | (unit_below(&w->random, 5) ? 0 : 16), other->devid);
		break;
	}
}

START_TEST(after_every_change_the_next_host_knows_it)
{
	struct writer w;

	writer_open(&w, unit_seed());
	for (int i = 0; i < 20000; i++) {
		one_change(&w);
		ok(ledger_commit(&w.ledger));
		if (i % 50 == 0)
			check_same(&w.model, &w.ledger);
	}
	writer_close(&w);
}
END_TEST

START_TEST(a_snapshot_says_the_same_and_goes_on)
{
	struct ledger fresh;
	struct writer w;

	writer_open(&w, unit_seed());
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 100; i++)
			one_change(&w);
		ok(ledger_create(&fresh, w.ledger.generation + 1));
		facts_all(&fresh, &w.model);
		ok(ledger_commit(&fresh));
		check_same(&w.model, &fresh);
		ledger_close(&w.ledger);
		w.ledger = fresh;
	}
	writer_close(&w);
}
END_TEST

START_TEST(what_is_not_committed_is_not_there)
{
	struct model_device *dev;
	struct model_ref *ref;
	struct model read;
	struct writer w;

	writer_open(&w, 1);
	ck_assert_int_eq(model_device_add(&w.model, 5, 40 * CHUNK, &dev), ISMI_OK);
	facts_device(&w.ledger, dev);
	ok(ledger_commit(&w.ledger));
	ck_assert_int_eq(model_alloc(dev, CHUNK, CHUNK, 0, NULL, &ref), ISMI_OK);
	restored(&w.ledger, &read);
	ck_assert_uint_eq(read.nr_devices, 1);
	ck_assert_uint_eq(read.nr_regions, 0);
	model_end(&read);
	ok(ledger_commit(&w.ledger));
	restored(&w.ledger, &read);
	ck_assert_uint_eq(read.nr_regions, 1);
	model_end(&read);
	writer_close(&w);
}
END_TEST

/* ------------------------------------------------------------------ the bytes */

/* A ledger as version 1 writes it: domain, a device, its region with a grant, another device. */
static const uint8_t golden[] = {
	/* head: "ISML", version 1, generation 9, end */
	'I', 'S', 'M', 'L', 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0xa0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	/* DOMAIN: gid 77, next devid 8, next serial 5 */
	1, 0, 32, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
	/* DEVICE 3: uid 1000, pid 4711, window 16 chunks, secret 1..16, name "one" */
	2, 0, 80, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0xe8, 3, 0, 0, 0x67, 0x12, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0,
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 'o', 'n', 'e', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	/* DEVICE 7: uid 1001, no name */
	2, 0, 80, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0xe9, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	/* REGION 0x1122334455667788: serial 4, 2 chunks, 100000 asked for, of device 3, uid 1000, private, default none */
	4, 0, 64, 0, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 4, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 2, 0, 0, 0, 0, 0, 0xa0, 0x86, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0xe8, 3, 0, 0, 1, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0,
	/* REF: device 3, read and write, chunk 2, slot 1 */
	6, 0, 40, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
	3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
	/* GRANT: to device 7 by 3, READ and ATTACH */
	8, 0, 40, 0, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 7, 0, 0, 0, 0, 0, 0, 0,
	3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
	/* REGION_GONE of one that is not there */
	5, 0, 16, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
};

static int object_of(const uint8_t *bytes, size_t len)
{
	int fd = ismi_sys_memfd("ism-test", 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	return fd;
}

START_TEST(version_1_is_read_byte_for_byte)
{
	struct model m;
	struct ledger l;

	model_init(&m, 0, &reader_ops, NULL);
	ok(ledger_open(&l, object_of(golden, sizeof golden)));
	ck_assert_uint_eq(l.generation, 9);
	ok(facts_restore(&l, &m));
	char *text = describe(&m);
	ck_assert_str_eq(text,
			 "device 3 uid 1000 pid 4711 window 16 free 14 slots 32767 name one secret 4 used 131072 1 1\n"
			 "device 7 uid 1001 pid 0 window 16 free 16 slots 32768 name  secret 0 used 0 0 0\n"
			 "domain 4d 2 131072\n"
			 "grant on 1122334455667788 to 7: 5 by 3\n"
			 "ref 3 to 1122334455667788 rights 3 chunk 2 slot 1 1 0\n"
			 "region 1122334455667788 serial 4 size 131072 asked 100000 creator 3 of 1000 default 0  refs 1 "
			 "managers 1 replaced 0 by 0\n");
	ck_assert_uint_eq(m.next_devid, 8);
	ck_assert_uint_eq(m.next_serial, 5);
	free(text);
	model_end(&m);
	ledger_close(&l);
}
END_TEST

static void not_a_ledger(size_t at, uint8_t value, int err)
{
	uint8_t bytes[sizeof golden];
	struct ledger l;

	memcpy(bytes, golden, sizeof golden);
	bytes[at] = value;
	int fd = object_of(bytes, sizeof bytes);
	fails(ledger_open(&l, fd), err);
	ismi_sys_close(fd);
}

START_TEST(what_is_no_ledger_is_refused)
{
	struct ledger l;
	int fd = object_of(golden, 40);

	not_a_ledger(0, 'X', -EPROTO);
	not_a_ledger(4, 0, -EPROTO);
	not_a_ledger(4, 2, -EOPNOTSUPP);	/* a newer version's: left to that one */
	not_a_ledger(16, 0xa4, -EPROTO);
	not_a_ledger(23, 1, -EPROTO);
	fails(ledger_open(&l, fd), -EPROTO);
	ismi_sys_close(fd);
}
END_TEST

/* Any byte of the records may be wrong: that is told, or it makes another model, and never a crash. */
START_TEST(a_damaged_ledger_does_no_harm)
{
	uint64_t seed = unit_seed();
	unsigned int refused = 0;

	for (size_t i = 0; i < 4000; i++) {
		uint8_t bytes[sizeof golden];
		size_t at = i < 8 * (sizeof golden - 64) ? 64 + i / 8 : 64 + unit_below(&seed, sizeof golden - 64);
		struct model m;
		struct ledger l;

		memcpy(bytes, golden, sizeof golden);
		bytes[at] ^= (uint8_t)(1 << i % 8);
		model_init(&m, 0, &reader_ops, NULL);
		ok(ledger_open(&l, object_of(bytes, sizeof bytes)));
		refused += facts_restore(&l, &m) < 0;
		model_end(&m);
		ledger_close(&l);
	}
	ck_assert_uint_gt(refused, 500);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("ledger"), *const suites[] = { s, NULL };
	TCase *tc = harness_tcase(s, "ledger", 600);

	tcase_add_test(tc, after_every_change_the_next_host_knows_it);
	tcase_add_test(tc, a_snapshot_says_the_same_and_goes_on);
	tcase_add_test(tc, what_is_not_committed_is_not_there);
	tcase_add_test(tc, version_1_is_read_byte_for_byte);
	tcase_add_test(tc, what_is_no_ledger_is_refused);
	tcase_add_test(tc, a_damaged_ledger_does_no_harm);
	return harness_main(argc, argv, suites);
}

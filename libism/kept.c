/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * kept.c - mappings of pooled regions, kept by the peer they were made for.
 */
#include "kept.h"

#include "internal.h"

#include <stdlib.h>

enum { KEPT_MAX = 64 };

static const uint64_t BYTES_MAX = UINT64_C(64) << 20;

static struct ismi_kept *find(const struct ism_device *dev, const struct ismi_memory *mem, bool writable)
{
	struct ismi_kept *k;

	TAILQ_FOREACH (k, &dev->kept.all, all) {
		if (k->id == mem->keep && k->offset == mem->offset && k->size == mem->size && k->writable == writable)
			return k;
	}
	return NULL;
}

static void forget(struct ismi_kept_list *list, struct ismi_kept *k)
{
	TAILQ_REMOVE(&list->all, k, all);
	list->nr--;
	list->bytes -= k->size;
	free(k);
}

static void drop(struct ism_device *dev, struct ismi_kept *k)
{
	ismi_window_unmap(&dev->window, k->offset, k->size);
	forget(&dev->kept, k);
}

void ismi_kept_init(struct ismi_kept_list *list)
{
	*list = (struct ismi_kept_list){ 0 };
	TAILQ_INIT(&list->all);
}

void ismi_kept_fini(struct ismi_kept_list *list)
{
	while (!TAILQ_EMPTY(&list->all))
		forget(list, TAILQ_FIRST(&list->all));
}

bool ismi_kept_has(const struct ism_device *dev, const struct ismi_memory *mem, bool writable)
{
	return find(dev, mem, writable) != NULL;
}

void *ismi_kept_take(struct ism_device *dev, const struct ismi_memory *mem, bool writable)
{
	struct ismi_kept *k = find(dev, mem, writable);

	if (k == NULL)
		return NULL;
	forget(&dev->kept, k);
	return dev->window.base + mem->offset;
}

bool ismi_kept_give(struct ism_device *dev, const struct ismi_memory *mem, bool writable)
{
	struct ismi_kept_list *list = &dev->kept;
	struct ismi_kept *k = mem->size > BYTES_MAX ? NULL : malloc(sizeof *k);

	if (k == NULL)
		return false;
	while (list->nr == KEPT_MAX || list->bytes > BYTES_MAX - mem->size)
		drop(dev, TAILQ_FIRST(&list->all));
	*k = (struct ismi_kept){ .id = mem->keep, .offset = mem->offset, .size = mem->size, .writable = writable };
	TAILQ_INSERT_TAIL(&list->all, k, all);
	list->nr++;
	list->bytes += k->size;
	return true;
}

void ismi_kept_clear(struct ism_device *dev, uint64_t offset, uint64_t size)
{
	struct ismi_kept *k, *next;

	for (k = TAILQ_FIRST(&dev->kept.all); k != NULL; k = next) {
		next = TAILQ_NEXT(k, all);
		if (k->offset < offset + size && offset < k->offset + k->size)
			drop(dev, k);
	}
}

void ismi_kept_drop(struct ism_device *dev)
{
	while (!TAILQ_EMPTY(&dev->kept.all))
		drop(dev, TAILQ_FIRST(&dev->kept.all));
}

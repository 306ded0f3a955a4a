/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vm_window.c - the regions in a virtual machine's window.
 *
 * An area is a place in the window that shows a region, is to show it, or is to
 * be cleared.  Those whose state is not what it should be stand in a queue, the
 * first of them is being changed: so a place is cleared before it is used again,
 * and a machine that does not answer holds up nobody but itself.
 */
#include "vm_window.h"

#include "base/atomics.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* With which rights should an area be mapped now?  0: not at all. */
static uint32_t wanted(const struct vm_area *a)
{
	if (a->ref == NULL || a->ref->shut_out || a->failed)
		return 0;
	return a->ref->rights;
}

static void enqueue(struct vm *vm, struct vm_area *a)
{
	if (!a->queued)
		TAILQ_INSERT_TAIL(&vm->queue, a, queue);
	a->queued = true;
}

/*
 * QEMU up to 11.1 maps for writing or not at all.  Where the guest may write, that
 * is how it attaches, and what it loses with that right; else it cannot have the region.
 */
static bool write_instead(const struct vm_area *a)
{
	struct model_ref *ref = a->ref;

	if (ref == NULL || ref->rights & MODEL_WRITE || !(model_rights(ref->device, ref->region) & MODEL_WRITE))
		return false;
	ref->rights |= MODEL_WRITE;
	return true;
}

static struct vm_area *area_new(uint32_t chunk, uint64_t size)
{
	struct vm_area *a = calloc(1, sizeof *a);

	if (a == NULL)
		return NULL;
	a->offset = (uint64_t)chunk * ISMI_CHUNK;
	a->size = size;
	return a;
}

/* What the window shows, for the next host. */
static void record(struct vm *vm, const struct vm_area *a)
{
	if (vm->record != NULL)
		ismi_store_relaxed(&vm->record->shown[a->offset / ISMI_CHUNK],
				   a->have == 0 ? 0 : (uint32_t)(a->size / ISMI_CHUNK) << 2 | a->have);
}

/* Nobody refers to it any more; it is cleared before its place is used again. */
static void abandon(struct vm *vm, struct vm_area *a)
{
	vm->area[a->offset / ISMI_CHUNK] = NULL;
	TAILQ_INSERT_HEAD(&vm->queue, a, queue);
	a->queued = true;
}

void vm_window_begin(struct vm *vm, struct model_ref *ref)
{
	struct vm_area *a = vm->area[ref->chunk];	/* of a former host's device: it is shown already */

	if (a != NULL && a->size != ref->region->size) {
		abandon(vm, a);
		a = NULL;
	}
	if (a == NULL)
		a = area_new(ref->chunk, ref->region->size);
	if (a == NULL)
		return;		/* vm_window_failed() */
	a->ref = ref;
	vm->area[ref->chunk] = a;
	if (vm->no_read_only && !(ref->rights & MODEL_WRITE))
		a->failed = !write_instead(a);
	enqueue(vm, a);
}

void vm_window_changed(struct vm *vm, const struct model_ref *ref)
{
	struct vm_area *a = vm->area[ref->chunk];

	if (a != NULL)
		enqueue(vm, a);
}

void vm_window_end(struct vm *vm, const struct model_ref *ref)
{
	struct vm_area *a = vm->area[ref->chunk];

	if (a == NULL)
		return;
	vm->area[ref->chunk] = NULL;
	a->ref = NULL;
	if (a->rung)
		TAILQ_REMOVE(&vm->rung, a, ring);
	a->rung = false;
	enqueue(vm, a);
	vm->ops->wake(vm);
}

static void settled(struct vm *vm, struct vm_area *a)
{
	TAILQ_REMOVE(&vm->queue, a, queue);
	a->queued = false;
	if (a->ref == NULL)
		free(a);
}

static int ask(struct vm *vm, struct vm_area *a, uint32_t want)
{
	if (a->have != 0) {
		vm->asked_for = 0;
		return vm->ops->unmap(vm, a->offset, a->size);
	}
	struct store *memory = a->ref->region->memory;
	bool writable = want & MODEL_WRITE;
	int fd = writable ? memory->fd : store_ro_fd(memory);

	vm->asked_for = want;
	return fd < 0 ? fd : vm->ops->map(vm, fd, a->offset, a->size, writable);
}

void vm_window_pump(struct vm *vm)
{
	struct vm_area *a;

	/* QEMU 11.1 does not survive a request while its device does not run. */
	while (!vm->stopped && vm->asked == NULL && (a = TAILQ_FIRST(&vm->queue)) != NULL) {
		uint32_t want = wanted(a);
		if (a->have == want) {
			settled(vm, a);
		} else if (ask(vm, a, want) == 0) {
			vm->asked = a;
		} else {
			/* Nobody to ask any more, or nothing to show. */
			a->failed = true;
			a->have = 0;
		}
	}
}

void vm_window_done(struct vm *vm, bool ok)
{
	struct vm_area *a = vm->asked;

	if (a == NULL)
		return;
	vm->asked = NULL;
	if (ok) {
		a->have = vm->asked_for;
		record(vm, a);
	} else {
		bool reading = vm->asked_for == MODEL_READ;
		if (reading && !vm->no_read_only)
			ismi_warn(vm->log, "vm", "device %llu: its QEMU cannot map a region for reading alone (11.1 cannot): what it "
				  "may not write it cannot have", (unsigned long long)vm->front.dev->devid);
		vm->no_read_only |= reading;
		a->failed |= vm->asked_for != 0 && !(reading && write_instead(a));
		a->have = 0;
		record(vm, a);
	}
	vm->ops->wake(vm);
}

bool vm_window_idle(const struct vm *vm)
{
	return TAILQ_EMPTY(&vm->queue);
}

bool vm_window_failed(const struct vm *vm, const struct model_ref *ref)
{
	const struct vm_area *a = vm->area[ref->chunk];

	return a == NULL || a->failed;
}

void vm_window_shut(struct vm *vm)
{
	vm->stopped = true;
}

void vm_window_open(struct vm *vm)
{
	vm->stopped = false;
	vm->ops->wake(vm);
}

void vm_window_lost(struct vm *vm)
{
	struct vm_area *a;

	for (uint32_t i = 0; i < vm->nr_chunks && vm->front.dev->used.regions > 0; i++) {
		if (vm->area[i] != NULL)
			vm->area[i]->have = 0;
	}
	TAILQ_FOREACH (a, &vm->queue, queue)
		a->have = 0;
	for (uint32_t i = 0; i < vm->nr_chunks && vm->record != NULL; i++)
		ismi_store_relaxed(&vm->record->shown[i], 0);
}

/* ------------------------------------------------------------------ a former host's device */

void vm_window_had(struct vm *vm)
{
	for (uint32_t i = 0; i < vm->nr_chunks; i++) {
		uint32_t shown = ismi_load_relaxed(&vm->record->shown[i]);
		if (shown == 0)
			continue;
		vm->area[i] = area_new(i, (uint64_t)(shown >> 2) * ISMI_CHUNK);
		if (vm->area[i] != NULL)
			vm->area[i]->have = shown & (MODEL_READ | MODEL_WRITE);
	}
}

static struct vm_area *find(struct vm *vm, const struct vm_asked *asked)
{
	struct vm_area *a = vm->area[asked->offset / ISMI_CHUNK];
	bool shown = asked->rights == 0;

	if (a != NULL && a->size == asked->size && shown == (a->have != 0))
		return a;
	TAILQ_FOREACH (a, &vm->queue, queue) {
		if (a->offset == asked->offset && a->size == asked->size && shown == (a->have != 0))
			return a;
	}
	return NULL;
}

void vm_window_back(struct vm *vm, const struct vm_asked *asked)
{
	for (uint32_t i = 0; i < vm->nr_chunks; i++) {
		if (vm->area[i] != NULL && vm->area[i]->ref == NULL)
			abandon(vm, vm->area[i]);
	}
	if (asked->size == 0)
		return;
	struct vm_area *a = find(vm, asked);
	if (a == NULL && asked->rights != 0) {	/* what was to be shown has gone meanwhile */
		a = area_new((uint32_t)(asked->offset / ISMI_CHUNK), asked->size);
		if (a != NULL) {
			TAILQ_INSERT_HEAD(&vm->queue, a, queue);
			a->queued = true;
		}
	}
	vm->asked = a;
	vm->asked_for = asked->rights;
}

bool vm_window_missing(const struct vm *vm, const struct model_ref *ref)
{
	const struct vm_area *a = vm->area[ref->chunk];

	return a == NULL || (a->have == 0 && wanted(a) != 0);
}

void vm_window_fini(struct vm *vm)
{
	vm->asked = NULL;
	while (!TAILQ_EMPTY(&vm->queue))
		settled(vm, TAILQ_FIRST(&vm->queue));
}

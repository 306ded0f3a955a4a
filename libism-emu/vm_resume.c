/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vm_resume.c - a virtual machine's device goes on under another host.
 *
 * Its guest does not know: it may have waited for an answer, may have rung, may have
 * put buffers into its queues meanwhile.  A queue's used index, in the guest's own
 * memory, says how far the former host came: what it took behind that is taken again.
 */
#include "base/atomics.h"
#include "base/sys.h"
#include "persist.h"
#include "vm_window.h"

#include <poll.h>
#include <string.h>

/* As many records as the guest has seen: the last may have been written, and not counted. */
static void resume_events(struct vm *vm)
{
	const struct vring *v = &vm->ring[VM_EVENTS];
	uint64_t events = ismi_load_relaxed(&vm->record->events);

	vm->events_written = events >> 16;
	if (vring_runs(v))
		vm->events_written += (uint16_t)(v->used_idx - (uint16_t)events);
	/* What was to be told, and whose doorbells were on their way, went with the former host. */
	vm->events_lost = 1;
}

/* What a command attached is shown before it is answered. */
static void find_refs(struct vm *vm, struct model_device *dev)
{
	struct model_ref *ref;

	LIST_FOREACH (ref, &dev->ref_list, of_device) {
		if (vm->call.nr_refs < ISMI_BATCH_MAX && vm_window_missing(vm, ref))
			vm->call.ref[vm->call.nr_refs++] = ref;
	}
}

/*
 * A command that was carried out, and not answered.  One that was not carried out is
 * still in the queue, as is one whose effect was never committed.
 */
static void resume_command(struct vm *vm, struct model_device *dev)
{
	const struct vm_record *record = vm->record;
	struct vring *v = &vm->ring[VM_CONTROL];

	if (ismi_load_acquire(&record->answered) == 0 || v->desc == NULL || vm->broken ||
	    record->position != v->used_idx || record->reply_len > sizeof vm->reply ||
	    !persist_committed(vm->domain, record->generation, record->end))
		return;
	if (vring_pop(v, &vm->mem, &vm->chain) != 1)
		return;		/* not there any more: the guest's own doing */
	memcpy(vm->reply, record->reply, record->reply_len);
	vm->reply_len = record->reply_len;
	vm->call = (struct control_call){ .dev = dev, .rights = MODEL_READ | MODEL_WRITE };
	find_refs(vm, dev);
	vm->busy = true;
	vm->reply_due = 0;
}

/* Called once more than needed does no harm. */
static void call_for_all(struct vm *vm)
{
	for (unsigned int q = 0; q < VM_QUEUES; q++) {
		const struct vring *v = &vm->ring[q];
		if (vring_runs(v) && v->call_fd >= 0 && ismi_sys_poll(v->call_fd, POLLOUT, 0) == 1)
			ismi_sys_wake_event(v->call_fd);
	}
}

void vm_resume(struct vm *vm, struct model_device *dev, const struct vm_asked *asked)
{
	struct model_ref *ref;

	vm_window_had(vm);
	domain_returned(vm->domain, &vm->front, dev);
	dev->confined = true;
	vm_window_back(vm, asked);
	resume_events(vm);
	resume_command(vm, dev);
	LIST_FOREACH (ref, &dev->ref_list, of_device)
		vm->front.ops->ring(&vm->front, ref, 0);
	call_for_all(vm);
}

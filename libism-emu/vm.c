/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vm.c - the host's end of a virtual machine's device: its virtqueues.
 *
 * vm_window.c has the window.
 */
#include "vm.h"

#include "base/atomics.h"
#include "base/bytes.h"
#include "base/sys.h"
#include "persist.h"
#include "vm_window.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum {
	TURN_COMMANDS = 8,
	TURN_NOTIFIES = 64,
	TURN_RINGS = 1024,		/* referrers that one turn's doorbells may reach */
	EVENT_LOST = 1 << 5,		/* with class 0x80: as ISM_EVENT_LOST */
};

static const int64_t LOG_PAUSE = 1000000000;

static bool has_ext(const struct vm *vm)
{
	return vm->features >> ISMI_F_EXT & 1;
}

void vm_complain(struct vm *vm, const char *what)
{
	vm->unsaid++;
	if (vm->now < vm->quiet_until)
		return;
	ismi_warn(vm->log, "vm", "device %llu: %s: its queues stand still until its driver resets it (%u like it since the last line)",
		  (unsigned long long)vm->front.dev->devid, what, vm->unsaid);
	vm->quiet_until = vm->now + LOG_PAUSE;
	vm->unsaid = 0;
}

/* The driver broke the rules of a queue: nothing it has said since can be believed. */
static void vm_break(struct vm *vm)
{
	vm->broken = true;
	vm_complain(vm, ismi_fail_text());
}

static bool runs(const struct vm *vm, unsigned int q)
{
	return !vm->broken && !vm->stopped && vring_runs(&vm->ring[q]);
}

/* What was pushed is to be seen. */
static void call_guest(struct vm *vm, unsigned int q)
{
	struct vring *v = &vm->ring[q];

	/* The descriptor's other holder may have filled it, or made it block: full is called already. */
	if (vring_wants_call(v) && v->call_fd >= 0 && ismi_sys_poll(v->call_fd, POLLOUT, 0) == 1)
		ismi_sys_wake_event(v->call_fd);
}

/* ------------------------------------------------------------------ front: what others do */

static void vm_ring_front(struct front *front, struct model_ref *ref, uint64_t ringer)
{
	struct vm *vm = vm_of(front);
	struct vm_area *a = vm->area[ref->chunk];

	if (a == NULL)
		return;
	a->ringer = ringer;
	if (!a->rung)
		TAILQ_INSERT_TAIL(&vm->rung, a, ring);
	a->rung = true;
	vm->ops->wake(vm);
}

static void vm_event_front(struct front *front, struct model_ref *ref, enum model_event event, uint64_t devid)
{
	struct vm *vm = vm_of(front);

	vm->ops->wake(vm);
	if (event == MODEL_PEERS) {
		vm_window_changed(vm, ref);
		return;
	}
	if (event == MODEL_MOVED && !has_ext(vm))
		return;		/* the proposal's driver does not know it */
	if (vm->nr_events == VM_EVENTS_KEPT) {
		vm->events_lost++;
		return;
	}
	vm->event[(vm->event_first + vm->nr_events++) % VM_EVENTS_KEPT] = (struct vm_event){
		.type = event,
		.offset = (uint64_t)ref->chunk * ISMI_CHUNK,
		.devid = devid,
		.peers = model_peers(ref),
		.token = ref->token,
	};
}

/* What is left to tell about a region is of no use once the guest has let go of it. */
static void forget_events(struct vm *vm, uint64_t token)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < vm->nr_events; i++) {
		struct vm_event e = vm->event[(vm->event_first + i) % VM_EVENTS_KEPT];
		if (e.token != token)
			vm->event[(vm->event_first + kept++) % VM_EVENTS_KEPT] = e;
	}
	vm->nr_events = kept;
}

static void vm_ref_begin_front(struct front *front, struct model_ref *ref)
{
	vm_window_begin(vm_of(front), ref);
}

static void vm_ref_end_front(struct front *front, struct model_ref *ref)
{
	struct vm *vm = vm_of(front);

	forget_events(vm, ref->token);
	vm_window_end(vm, ref);
}

static void vm_answering_front(struct front *front, const uint8_t *answer, size_t len)
{
	struct vm *vm = vm_of(front);
	struct vm_record *record = vm->record;

	if (record == NULL)
		return;
	record->position = vm->ring[VM_CONTROL].used_idx;
	record->reply_len = len;
	memcpy(record->reply, answer, len);
	persist_stamp(vm->domain, &record->generation, &record->end);
	/* For the next host, after our death: all of the above is there then. */
	ismi_store_release(&record->answered, 1);
}

static uint64_t vm_event_position(struct front *front)
{
	return vm_of(front)->events_written;
}

static void vm_kick_front(struct front *front, uint64_t by)
{
	struct vm *vm = vm_of(front);

	vm->ops->end(vm, by);
}

static const struct front_ops vm_front_ops = {
	.ref_begin = vm_ref_begin_front,
	.ref_end = vm_ref_end_front,
	.event = vm_event_front,
	.ring = vm_ring_front,
	.event_position = vm_event_position,
	.answering = vm_answering_front,
	.kick = vm_kick_front,
};

/* ------------------------------------------------------------------ notify queue */

/* Ring the others; returns how many. */
static uint32_t notify(struct vm *vm, uint64_t offset)
{
	const struct vm_area *a = NULL;

	if (offset / ISMI_CHUNK < vm->nr_chunks)
		a = vm->area[offset / ISMI_CHUNK];
	if (a == NULL || a->offset != offset)
		return 0;	/* nothing there, or not any more */
	uint32_t reached = model_peers(a->ref);
	domain_ring(a->ref);
	return reached;
}

static bool run_notify(struct vm *vm)
{
	struct vring *v = &vm->ring[VM_NOTIFY];
	struct vring_chain c;
	uint32_t reached = 0;
	uint8_t req[8];
	size_t len;
	int r = 0;

	if (!runs(vm, VM_NOTIFY) || vm->rings_due > vm->now || !vring_any(v))
		return true;
	int64_t wait = model_notify_due(vm->front.dev, vm->now);
	vm->rings_due = wait > 0 ? vm->now + wait : 0;
	if (wait > 0)
		return true;
	for (int i = 0; i < TURN_NOTIFIES && reached < TURN_RINGS; i++) {
		r = vring_pop(v, &vm->mem, &c);
		if (r <= 0)
			break;
		if (!vring_read(&vm->mem, &c, req, sizeof req, &len)) {
			r = ismi_fail_const(-EPROTO, "a doorbell that is not in its memory");
			break;
		}
		if (len == sizeof req)
			reached += notify(vm, ismi_get64(req));
		vring_push(v, c.head, 0);
	}
	if (r < 0)
		vm_break(vm);
	call_guest(vm, VM_NOTIFY);
	return r <= 0;
}

/*
 * Have the doorbells been rung that the guest put into its queue before the command
 * that is next?  It may let go of the region with that.
 */
static bool heard(struct vm *vm)
{
	const struct vring *v = &vm->ring[VM_NOTIFY];

	if (!runs(vm, VM_NOTIFY))
		return true;
	if (!vm->hearing)
		vm->hear_until = vring_avail(v);
	vm->hearing = true;
	uint16_t left = (uint16_t)(vm->hear_until - v->last_avail);
	return left == 0 || left > v->num;
}

/* ------------------------------------------------------------------ control queue */

static void vm_record_clear(struct vm *vm)
{
	if (vm->record != NULL)
		ismi_store_release(&vm->record->answered, 0);
}

static void reply(struct vm *vm)
{
	struct vring *v = &vm->ring[VM_CONTROL];

	vm->busy = false;
	vm->reply_due = INT64_MAX;
	if (vring_write(&vm->mem, &vm->chain, vm->reply, vm->reply_len)) {
		vring_push(v, vm->chain.head, (uint32_t)vm->reply_len);
		vm_record_clear(vm);
		call_guest(vm, VM_CONTROL);
		return;
	}
	ismi_fail_const(-EPROTO, "a command whose reply buffer is not in its memory");
	vm_break(vm);
}

/* The window is as it should be, or cannot be: then the device does not refer to the region. */
static void finish(struct vm *vm)
{
	bool failed = false;

	for (uint32_t i = 0; i < vm->call.nr_refs; i++)
		failed |= vm_window_failed(vm, vm->call.ref[i]);
	if (failed) {
		for (uint32_t i = 0; i < vm->call.nr_refs; i++)
			model_detach(vm->front.dev, vm->call.ref[i]->token);
		vm->reply[0] = vm->no_read_only && vm->call.rights == MODEL_READ ? ISMI_PERM_READ : ISMI_ENOMEM;
		vm->reply_len = 1;
		vm_record_clear(vm);
		vm_answering_front(&vm->front, vm->reply, vm->reply_len);
		persist_commit(vm->domain);
	}
	vm->call.nr_refs = 0;
	reply(vm);
}

static bool may_finish(const struct vm *vm)
{
	return vm->busy && vm_window_idle(vm) && vm->reply_due <= vm->now && runs(vm, VM_CONTROL);
}

static void command(struct vm *vm)
{
	size_t len, cap = vm->chain.write_len < VM_REPLY_MAX ? vm->chain.write_len : VM_REPLY_MAX;
	uint8_t req[VM_REQUEST_MAX];

	if (!vring_read(&vm->mem, &vm->chain, req, sizeof req, &len)) {
		ismi_fail_const(-EPROTO, "a command that is not in its memory");
		vm_break(vm);
		return;
	}
	if (vm->chain.read_len > sizeof req)
		len = 0;	/* longer than any command: not understood */
	vm->call = (struct control_call){ .dev = vm->front.dev, .now = vm->now };
	if (len > 0 && req[0] >= 0x80 && !has_ext(vm)) {
		vm->reply[0] = ISMI_ERR;
		vm->reply_len = cap > 0;
	} else {
		vm->reply_len = domain_control(vm->domain, &vm->call, req, len, vm->reply, cap);
	}
	for (uint32_t i = 0; i < vm->call.nr_refs; i++)
		vm_window_changed(vm, vm->call.ref[i]);
	if (vm->call.refused != NULL)
		ismi_debug(vm->log, "vm", "attach by device %llu refused: %s",
			   (unsigned long long)vm->front.dev->devid, vm->call.refused);
	vm->busy = true;
	vm->reply_due = vm->now + vm->call.delay_ns;
}

/* False: there may be more than one turn has room for. */
static bool run_control(struct vm *vm)
{
	for (int i = 0; i < TURN_COMMANDS; i++) {
		vm_window_pump(vm);
		if (may_finish(vm))
			finish(vm);
		if (vm->busy || !runs(vm, VM_CONTROL))
			return true;
		if (!vring_look(&vm->ring[VM_CONTROL]))
			return true;
		if (!heard(vm))
			run_notify(vm);
		if (!heard(vm))
			return vm->rings_due > vm->now;
		vm->hearing = false;
		int r = runs(vm, VM_CONTROL) ? vring_pop(&vm->ring[VM_CONTROL], &vm->mem, &vm->chain) : 0;
		if (r < 0)
			vm_break(vm);
		if (r <= 0)
			return true;
		command(vm);
	}
	return false;
}

/* ------------------------------------------------------------------ event queue */

static size_t put_event(const struct vm *vm, uint8_t *rec, const struct vm_event *e)
{
	size_t len = 24;

	ismi_put64(rec, e->type);
	ismi_put64(rec + 8, e->offset);
	ismi_put64(rec + 16, e->devid);
	if (e->type != 1) {
		ismi_put64(rec + len, e->peers);
		len += 8;
	}
	if (has_ext(vm)) {
		ismi_put64(rec + len, e->token);
		len += 8;
	}
	return len;
}

/* The next record, left where it is; its length, 0: none. */
static size_t next_event(const struct vm *vm, uint8_t *rec)
{
	const struct vm_area *a = TAILQ_FIRST(&vm->rung);

	if (vm->nr_events > 0)
		return put_event(vm, rec, &vm->event[vm->event_first]);
	if (vm->events_lost > 0 && has_ext(vm))
		return put_event(vm, rec, &(struct vm_event){ .type = EVENT_LOST, .peers = vm->events_lost });
	if (a == NULL)
		return 0;
	return put_event(vm, rec, &(struct vm_event){ .type = 1, .offset = a->offset, .devid = a->ringer,
						      .token = a->ref->token });
}

static void event_done(struct vm *vm)
{
	struct vm_area *a = TAILQ_FIRST(&vm->rung);

	vm->events_written++;
	if (vm->record != NULL)
		ismi_store_relaxed(&vm->record->events, vm->events_written << 16 | vm->ring[VM_EVENTS].used_idx);
	if (vm->nr_events > 0) {
		vm->event_first = (vm->event_first + 1) % VM_EVENTS_KEPT;
		vm->nr_events--;
	} else if (vm->events_lost > 0 && has_ext(vm)) {
		vm->events_lost = 0;
	} else {
		TAILQ_REMOVE(&vm->rung, a, ring);
		a->rung = false;
	}
}

static void run_events(struct vm *vm)
{
	struct vring *v = &vm->ring[VM_EVENTS];
	uint8_t rec[ISMI_EVENT_SIZE];
	struct vring_chain c;
	size_t len;
	int r = 0;

	if (!runs(vm, VM_EVENTS))
		return;
	/* Whatever the guest does with its buffers, this many are enough for one turn. */
	for (uint32_t i = 0; i < v->num && (len = next_event(vm, rec)) > 0; i++) {
		r = vring_pop(v, &vm->mem, &c);
		if (r <= 0)
			break;
		bool fits = c.write_len >= len;
		if (fits && !vring_write(&vm->mem, &c, rec, len)) {
			r = ismi_fail_const(-EPROTO, "a buffer for events that is not in its memory");
			break;
		}
		vring_push(v, c.head, fits ? (uint32_t)len : 0);
		if (fits)
			event_done(vm);
	}
	if (r < 0)
		vm_break(vm);
	call_guest(vm, VM_EVENTS);
}

/* ------------------------------------------------------------------ life */

int64_t vm_run(struct vm *vm, int64_t now)
{
	vm->now = now;
	bool idle = run_control(vm);
	idle &= run_notify(vm);
	run_events(vm);
	if (!idle)
		return now;
	int64_t due = vm->busy && vm->reply_due > now ? vm->reply_due : INT64_MAX;
	return vm->rings_due > now && vm->rings_due < due ? vm->rings_due : due;
}

void vm_config(const struct vm *vm, uint8_t config[VM_CONFIG_SIZE])
{
	ismi_put64(config, vm->domain->model.gid);
	ismi_put64(config + 8, vm->front.dev->devid);
	ismi_put64(config + 16, ISMI_CHUNK);
	ismi_put64(config + 24, 0);	/* a write to the window traps nowhere: doorbells go through queue 2 */
}

int vm_set_features(struct vm *vm, uint64_t features)
{
	if ((features & ~VM_FEATURES) != 0)
		return ismi_fail(-EPROTO, "the driver took features 0x%llx: 0x%llx are offered", (unsigned long long)features,
				 (unsigned long long)VM_FEATURES);
	vm->features = features;
	for (unsigned int q = 0; q < VM_QUEUES; q++)
		vm->ring[q].event_idx = features >> 29 & 1;
	return 0;
}

void vm_remap(struct vm *vm)
{
	for (unsigned int q = 0; q < VM_QUEUES; q++)
		vring_map(&vm->ring[q], &vm->mem);
	if (vring_runs(&vm->ring[VM_CONTROL]))
		vm_window_open(vm);
}

void vm_queue_start(struct vm *vm, unsigned int q, uint16_t base)
{
	/* A machine that was paused goes on where it was; a device that was reset begins again. */
	if (vm->stopped && base == 0 && (vm->broken || vm->ring[q].last_avail != 0))
		vm_reset(vm);
	vm->hearing = false;
	vring_start(&vm->ring[q], base);
}

uint16_t vm_queue_stop(struct vm *vm, unsigned int q)
{
	vm->ring[q].kicked = false;
	for (unsigned int i = 0; i < VM_QUEUES && !vm->stopped; i++) {
		if (vm->ring[i].kicked)
			return vm->ring[q].last_avail;
	}
	vm_window_shut(vm);
	return vm->ring[q].last_avail;
}

void vm_reset(struct vm *vm)
{
	vm->busy = false;
	vm->call.nr_refs = 0;
	vm->broken = false;
	vm->reply_due = INT64_MAX;
	vm->rings_due = 0;
	vm_window_lost(vm);
	model_device_reset(vm->front.dev);
	persist_commit(vm->domain);
	vm_record_clear(vm);
	vm->nr_events = 0;
	vm->events_lost = vm->events_written = 0;
	if (vm->record != NULL)
		ismi_store_relaxed(&vm->record->events, 0);
	for (unsigned int q = 0; q < VM_QUEUES; q++)
		vm->ring[q].last_avail = 0;
}

enum ismi_status vm_prepare(struct vm *vm, struct domain *d, const struct vm_ops *ops, const struct ismi_log *log,
			    uint64_t window)
{
	*vm = (struct vm){ .front.ops = &vm_front_ops, .domain = d, .ops = ops, .log = log, .stopped = true,
			   .reply_due = INT64_MAX, .nr_chunks = (uint32_t)(window / ISMI_CHUNK) };
	TAILQ_INIT(&vm->queue);
	TAILQ_INIT(&vm->rung);
	for (unsigned int q = 0; q < VM_QUEUES; q++)
		vm->ring[q] = (struct vring)VRING_INIT;
	vm->area = calloc(vm->nr_chunks, sizeof(struct vm_area *));
	return vm->area == NULL ? ISMI_ENOMEM : ISMI_OK;
}

enum ismi_status vm_init(struct vm *vm, struct domain *d, const struct vm_ops *ops, const struct ismi_log *log,
			 uint32_t uid, uint64_t window)
{
	enum ismi_status status = vm_prepare(vm, d, ops, log, window);

	if (status != ISMI_OK)
		return status;
	status = domain_add(d, &vm->front, uid, window);
	if (status != ISMI_OK)
		free(vm->area);
	else
		vm->front.dev->confined = true;
	return status;
}

void vm_fini(struct vm *vm)
{
	domain_del(vm->domain, &vm->front);
	vm_window_fini(vm);
	vmem_clear(&vm->mem);
	for (unsigned int q = 0; q < VM_QUEUES; q++) {
		ismi_sys_close(vm->ring[q].kick_fd);
		ismi_sys_close(vm->ring[q].call_fd);
	}
	free(vm->area);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vm.h - the host's end of a virtual machine's device: its virtqueues, and the
 * regions in its window.
 *
 * A front (domain.h) that speaks to a guest through three virtqueues: control,
 * events, notify.  What the window shows is brought up to date by a conversation
 * of one request at a time with the process that runs the machine, through
 * struct vm_ops; a command that attaches is answered when that has been done.
 */
#ifndef VM_H
#define VM_H

#include "base/log.h"
#include "domain.h"
#include "vring.h"

enum { VM_CONTROL, VM_EVENTS, VM_NOTIFY, VM_QUEUES };
enum { VM_CONFIG_SIZE = 32, VM_EVENTS_KEPT = 512, VM_REQUEST_MAX = 256, VM_REPLY_MAX = 16384 };

struct vm;

/* A region in the window, or on its way out of it. */
struct vm_area {
	struct model_ref *ref;		/* NULL: it has gone, this is to be unmapped */
	uint64_t offset, size;
	uint32_t have;			/* the rights it is mapped with; 0: it is not */
	bool queued, failed;
	bool rung;			/* on vm.rung */
	uint64_t ringer;
	TAILQ_ENTRY(vm_area) queue, ring;
};
TAILQ_HEAD(vm_areas, vm_area);

/*
 * What the next host needs to go on with the device beside what the domain has, in
 * memory that outlives this one.
 */
struct vm_record {
	_Atomic uint64_t events;	/* written to the event queue so far << 16 | its used index then */
	_Atomic uint32_t answered;	/* the answer to a command is here, and was not given yet: */
	uint32_t position;		/* used index of the control queue before it */
	uint64_t generation, end;	/* of the ledger, with what the command did: see persist_stamp() */
	uint64_t reply_len;
	uint8_t reply[VM_REPLY_MAX];
	_Atomic uint32_t shown[];	/* by chunk: what is mapped there, chunks << 2 | rights; 0: nothing */
};

struct vm_event {
	uint64_t type, offset, devid, peers, token;
};

struct vm_ops {
	/* Show @fd in the window, read-only unless @rights has WRITE; answered with vm_window_done(). */
	int (*map)(struct vm *vm, int fd, uint64_t offset, uint64_t size, bool writable);
	int (*unmap)(struct vm *vm, uint64_t offset, uint64_t size);
	/* Something is to be done in the next vm_run(). */
	void (*wake)(struct vm *vm);
	/* The device is to end, at the wish of device @by. */
	void (*end)(struct vm *vm, uint64_t by);
};

struct vm {
	struct front front;
	struct domain *domain;
	const struct vm_ops *ops;
	const struct ismi_log *log;
	struct vmem mem;
	struct vring ring[VM_QUEUES];
	uint64_t features;		/* what the driver took */
	bool broken;			/* its driver broke the rules: nothing more until it is reset */
	bool stopped;			/* its queues do not run, and its window stays as it is */
	bool no_read_only;		/* the process that runs it cannot map for reading alone */
	int64_t now;

	struct vm_record *record;	/* NULL: the device ends with this host */

	struct vm_area **area;		/* by chunk */
	uint32_t nr_chunks;		/* of the window */
	struct vm_areas queue;		/* whose mapping is to be changed */
	struct vm_area *asked;		/* whose is being changed */
	uint32_t asked_for;

	bool busy;			/* a command waits for its answer */
	struct vring_chain chain;
	struct control_call call;
	int64_t reply_due;		/* INT64_MAX: as soon as the window is as it should be */
	bool hearing;			/* doorbells up to hear_until come before the next command */
	uint16_t hear_until;
	int64_t quiet_until;		/* no more complaints about this guest before */
	unsigned int unsaid;		/* complaints since the last */
	int64_t rings_due;		/* doorbells that were held back; INT64_MAX: none */
	size_t reply_len;
	uint8_t reply[VM_REPLY_MAX];

	struct vm_areas rung;		/* doorbells for the guest */
	struct vm_event event[VM_EVENTS_KEPT];
	uint32_t event_first, nr_events;
	uint64_t events_lost, events_written;
};

/* Features that a device offers. */
#define VM_FEATURES (UINT64_C(1) << 32 | UINT64_C(1) << 28 | UINT64_C(1) << 29 | UINT64_C(1) << 1)

/* A new device: as domain_add() answers. */
enum ismi_status vm_init(struct vm *vm, struct domain *d, const struct vm_ops *ops, const struct ismi_log *log,
			 uint32_t uid, uint64_t window);
/* All but the device itself: ISMI_ENOMEM. */
enum ismi_status vm_prepare(struct vm *vm, struct domain *d, const struct vm_ops *ops, const struct ismi_log *log,
			    uint64_t window);
/*
 * A former host's device goes on: after vm_prepare(), and with memory, rings and
 * record as they were.  @asked: the change of its window that was asked for, whose answer
 * is still to come; size 0: none.
 */
struct vm_asked {
	uint64_t offset, size;
	uint32_t rights;
};
void vm_resume(struct vm *vm, struct model_device *dev, const struct vm_asked *asked);
/* It goes. */
void vm_fini(struct vm *vm);

/* The device's configuration space. */
void vm_config(const struct vm *vm, uint8_t config[VM_CONFIG_SIZE]);

/* What the guest's driver took of the features; -EPROTO. */
int vm_set_features(struct vm *vm, uint64_t features);
/* Memory, or a ring's place in it, has changed. */
void vm_remap(struct vm *vm);
/* The guest did what it must not; said in the log, but not as often as it does. */
void vm_complain(struct vm *vm, const char *what);
/* A queue starts at @base, or stops: returns where it was. */
void vm_queue_start(struct vm *vm, unsigned int q, uint16_t base);
uint16_t vm_queue_stop(struct vm *vm, unsigned int q);
/* The driver has reset the device: everything is detached. */
void vm_reset(struct vm *vm);
/* The answer to ops->map or ops->unmap. */
void vm_window_done(struct vm *vm, bool ok);

/* Do what can be done; when to call again at the latest, INT64_MAX: not by itself. */
int64_t vm_run(struct vm *vm, int64_t now);

#endif /* VM_H */

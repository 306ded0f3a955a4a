/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vm_window.h - the regions in a virtual machine's window: what vm.c asks of
 * vm_window.c.
 */
#ifndef VM_WINDOW_H
#define VM_WINDOW_H

#include "vm.h"

static inline struct vm *vm_of(struct front *front)
{
	return (struct vm *)front;
}

/* A reference begins, its rights change, it ends. */
void vm_window_begin(struct vm *vm, struct model_ref *ref);
void vm_window_changed(struct vm *vm, const struct model_ref *ref);
void vm_window_end(struct vm *vm, const struct model_ref *ref);

/* Ask for the next change, if none is under way. */
void vm_window_pump(struct vm *vm);
/* Is everything as it should be? */
bool vm_window_idle(const struct vm *vm);
/* Could this reference not be shown? */
bool vm_window_failed(const struct vm *vm, const struct model_ref *ref);

/* The device stands: nothing is asked until it runs again. */
void vm_window_shut(struct vm *vm);
void vm_window_open(struct vm *vm);
/* The machine has dropped all mappings by itself. */
void vm_window_lost(struct vm *vm);
void vm_window_fini(struct vm *vm);

/* A former host's device: what its window shows; then, when its references have begun, what is to be cleared of that. */
void vm_window_had(struct vm *vm);
void vm_window_back(struct vm *vm, const struct vm_asked *asked);
/* Is this reference still to be shown? */
bool vm_window_missing(const struct vm *vm, const struct model_ref *ref);

#endif /* VM_WINDOW_H */

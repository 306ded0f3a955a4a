/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vm.h - what ism vm knows of a QEMU.
 */
#ifndef TOOL_VM_H
#define TOOL_VM_H

#include "tool.h"

struct qemu {
	char program[256];
	char version[32];	/* "": not known */
	char device[64];	/* what it calls the device that a vhost-user back end makes */
	const char *machine;
	const char *virtio_id;	/* the best that it can offer */
	bool kvm;		/* /dev/kvm can be opened */
	bool works;
	char problem[400];	/* why not */
};

/* Look at @program, or at the one in $PATH. */
void qemu_find(struct qemu *ret, const char *program);

#endif /* TOOL_VM_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * faulty.h - a device in which a test makes calls and events fail (ism-emu.h).
 */
#ifndef ISMI_FAULTY_H
#define ISMI_FAULTY_H

#include "faults.h"
#include "internal.h"

/* Take up the faults that there are for an open device, if any: 0 or -EINVAL, -ENOMEM, -EMFILE, ... */
int ismi_faulty_init(struct ism_device *dev);
void ismi_faulty_fini(struct ism_device *dev);

/* A call passes this point: 0 to go on, else not: what it fails with, or 1 if it is to look well.  No locks. */
int ismi_faulty_call(struct ism_device *dev, enum fault_point point);

/* An event is about to be delivered: true if it is not, or not now.  Under device.bell. */
bool ismi_faulty_bell(struct ism_device *dev, uint32_t slot, uint64_t devid);
bool ismi_faulty_event(struct ism_device *dev, struct ismi_ref *ref, const struct ism_event *ev, uint64_t number);

#endif /* ISMI_FAULTY_H */

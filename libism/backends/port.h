/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * backends/port.h - the device's end of the memory it shares with its host
 * (base/port.h): what loop and emu have in common.
 */
#ifndef ISMI_BACKENDS_PORT_H
#define ISMI_BACKENDS_PORT_H

#include "base/port.h"
#include "internal.h"

/* Under device.bell, but for state and line, which stay. */
struct ismi_port_end {
	const struct ismi_state *state;
	struct ismi_line *line;
	uint64_t event_head;		/* records taken */
	uint64_t lost_seen;
};

/* Deliver what has arrived. */
void ismi_port_poll(struct ism_device *dev, struct ismi_port_end *end);
/* Ask to be woken; false if something has arrived. */
bool ismi_port_arm(struct ismi_port_end *end);
void ismi_port_disarm(struct ismi_port_end *end);

#endif /* ISMI_BACKENDS_PORT_H */

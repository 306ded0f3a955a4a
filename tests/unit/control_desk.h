/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * control_desk.h - the parts of check_control, and the desk at which they
 * hand in bytes, written in hexadecimal.
 */
#ifndef CONTROL_DESK_H
#define CONTROL_DESK_H

#include "control.h"
#include "unit.h"

enum { REPLY_MAX = 16384, MEMORY_MAX = 8 };

struct desk {
	struct fake f;
	struct control_ops ops;
	struct model_device *a, *b, *c;		/* users 1, 1 and 2; windows of 16 chunks */
	/* What the front end will say. */
	enum ismi_status memory_status, link_status, vector_status, kick_status;
	bool linkable;
	const struct model_device *privileged;
	/* What it was asked. */
	unsigned int memories, links, vectors, kicks;
	bool vector_on;
	uint64_t kicked, kicked_by;
	/* The last exchange. */
	struct control_call call;
	struct store *memory[MEMORY_MAX];	/* to bring with the next ones */
	uint32_t nr_memory;
	int64_t now;
	uint8_t reply[REPLY_MAX];
	size_t len;
};

/* Tokens are 1122334455667701, ...02, and so on: "0177665544332211" in a message. */
void desk_open(struct desk *d);
void desk_close(struct desk *d);

/* One exchange with room for @cap bytes of reply; the length of the reply. */
size_t desk_send(struct desk *d, struct model_device *dev, const uint8_t *req, size_t len, size_t cap);
/* The same in hexadecimal; spaces do not count. */
size_t desk_hex(struct desk *d, struct model_device *dev, const char *req, size_t cap);

/* @req must be answered with exactly @reply. */
void says(struct desk *d, struct model_device *dev, const char *req, const char *reply);

/* A number that changes with anything in the model and with anything the front end was asked. */
uint64_t desk_state(const struct desk *d);

/* Memory to bring along: no object stands behind it. */
void desk_bring(struct desk *d, uint64_t size);
/* What the device did not take. */
void desk_take_back(struct desk *d);

Suite *control_commands_suite(void);
Suite *control_limits_suite(void);
Suite *control_query_suite(void);
Suite *control_host_suite(void);
Suite *control_replace_suite(void);
Suite *control_batch_suite(void);

#endif /* CONTROL_DESK_H */

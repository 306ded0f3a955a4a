/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * exchange.h - one control command under way: what control.c and query.c share.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "base/bytes.h"
#include "control.h"

struct exchange {
	const struct control_ops *ops;
	void *ctx;
	struct control_call *call;
	const uint8_t *req;	/* behind class and command */
	size_t len;
	uint8_t *reply;		/* behind the status */
	size_t cap, used;
};

static inline void exchange_put32(struct exchange *x, uint32_t v)
{
	ismi_put32(x->reply + x->used, v);
	x->used += 4;
}

static inline void exchange_put64(struct exchange *x, uint64_t v)
{
	ismi_put64(x->reply + x->used, v);
	x->used += 8;
}

/* query.c: the QUERY command. */
enum ismi_status control_query(struct exchange *x);

/* control.c: attach, and what an answer says of it. */
enum ismi_status control_attach(struct exchange *x, uint64_t token, uint32_t want, struct model_ref **ret);
void control_put_attached(struct exchange *x, const struct model_ref *ref);

/* control-batch.c: ATTACH_BATCH, DETACH_BATCH. */
enum ismi_status control_attach_batch(struct exchange *x);
enum ismi_status control_detach_batch(struct exchange *x);

#endif /* EXCHANGE_H */

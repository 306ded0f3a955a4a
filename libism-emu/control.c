/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * control.c - the control commands: bytes in, bytes out.
 *
 * Each command is a function that reads a request of a length already checked
 * and appends to a reply whose least size is already there.
 */
#include "exchange.h"

#include <stdlib.h>

static void put_area(struct exchange *x, const struct model_ref *ref)
{
	exchange_put64(x, (uint64_t)ref->chunk * ISMI_CHUNK);
	exchange_put64(x, ref->region->size);
}

static void take_ref(struct exchange *x, struct model_ref *ref)
{
	x->call->ref[x->call->nr_refs++] = ref;
}

void control_take_back(struct control_call *call)
{
	while (call->nr_refs > 0) {	/* from the end: one may be there twice */
		struct model_ref *ref = call->ref[--call->nr_refs];
		if (call->again >> call->nr_refs & 1)
			model_attach_undo(ref, call->had[call->nr_refs]);
		else
			model_detach(call->dev, ref->token);
	}
}

/* ------------------------------------------------------------------ alloc */

/* The next memory object that came with the command, or one of the host's. */
static enum ismi_status next_memory(struct exchange *x, uint32_t i, uint64_t size, struct store **ret)
{
	struct control_call *call = x->call;

	if (call->nr_memory == 0)
		return x->ops->memory_new(x->ctx, size, ret);
	if (i >= call->nr_memory || call->memory[i]->size != size)
		return ISMI_ERR;
	*ret = call->memory[i];
	return ISMI_OK;
}

static enum ismi_status alloc_one(struct exchange *x, uint32_t i, uint64_t size, uint64_t requested, uint32_t flags)
{
	struct control_call *call = x->call;
	struct store *memory = NULL;
	struct model_ref *ref;
	uint64_t rounded;

	if (size == 0)
		return ISMI_ERR;
	if (!ismi_round_up(size, ISMI_CHUNK, &rounded) || rounded / ISMI_CHUNK > call->dev->window.nr_chunks)
		return ISMI_E2BIG;
	enum ismi_status status = next_memory(x, i, rounded, &memory);
	if (status != ISMI_OK)
		return status;
	status = model_alloc(call->dev, size, requested, flags, memory, &ref);
	if (status != ISMI_OK) {
		if (call->nr_memory == 0)
			store_free(memory);
		return status;
	}
	if (call->nr_memory != 0)
		call->memory[i] = NULL;
	take_ref(x, ref);
	return ISMI_OK;
}

static enum ismi_status do_alloc(struct exchange *x)
{
	uint64_t size = ismi_get64(x->req);
	enum ismi_status status = alloc_one(x, 0, size, size, 0);

	if (status != ISMI_OK)
		return status;
	exchange_put64(x, x->call->ref[0]->token);
	exchange_put64(x, 1);
	put_area(x, x->call->ref[0]);
	return ISMI_OK;
}

/* le64 size, le32 flags, le32 nr, le64 requested size (0: the same); le64 peer, to be granted all but MANAGE */
static enum ismi_status do_alloc_ex(struct exchange *x)
{
	uint64_t size = ismi_get64(x->req), requested = ismi_get64(x->req + 16);
	uint32_t flags = ismi_get32(x->req + 8), nr = ismi_get32(x->req + 12);
	uint64_t peer = x->len == ISMI_ALLOC_EX_PEER_REQ ? ismi_get64(x->req + 24) : 0;
	struct control_call *call = x->call;

	if ((flags & ~(uint32_t)ISMI_ALLOC_F_PRIVATE) != 0 || nr == 0 || nr > ISMI_BATCH_MAX ||
	    (call->nr_memory != 0 && call->nr_memory != nr))
		return ISMI_ERR;
	if (x->cap < (size_t)nr * ISMI_ALLOC_EX_AREA)
		return ISMI_E2BIG;
	for (uint32_t i = 0; i < nr; i++) {
		enum ismi_status status = alloc_one(x, i, size, requested ? requested : size,
						    flags | (peer != 0 ? ISMI_REGION_F_POOLED : 0));
		if (status == ISMI_OK && peer != 0)
			status = model_grant(call->dev, call->ref[i]->token, MODEL_READ | MODEL_WRITE | MODEL_ATTACH, peer);
		if (status == ISMI_OK)
			continue;
		while (call->nr_refs > 0)	/* all or none; the memory goes with its region */
			model_detach(call->dev, call->ref[--call->nr_refs]->token);
		return status;
	}
	for (uint32_t i = 0; i < nr; i++) {
		exchange_put64(x, call->ref[i]->token);
		put_area(x, call->ref[i]);
		exchange_put32(x, call->ref[i]->slot);
		exchange_put32(x, 0);
		exchange_put64(x, x->ops->event_position(x->ctx, call->dev));
	}
	return ISMI_OK;
}

/* ------------------------------------------------------------------ replace */

/* le64 token, le64 size -> le64 token, le64 offset, le64 size, le32 slot, le32 rights, le64 event */
static enum ismi_status do_replace(struct exchange *x)
{
	struct control_call *call = x->call;
	struct model_ref *old = model_ref_find(call->dev, ismi_get64(x->req)), *ref;
	struct store *memory = NULL;

	if (old == NULL)
		return ISMI_ENOENT;
	if (ismi_get64(x->req + 8) != old->region->size || call->nr_memory > 1)
		return ISMI_ERR;
	enum ismi_status status = next_memory(x, 0, old->region->size, &memory);
	if (status != ISMI_OK)
		return status;
	if (memory->huge && call->dev->user->uid != old->region->creator_uid)
		status = ISMI_ERR;	/* see huge_for_others() */
	else
		status = model_replace(call->dev, old->token, memory, &ref);
	if (status != ISMI_OK) {
		if (call->nr_memory == 0)
			store_free(memory);
		return status;
	}
	if (call->nr_memory != 0)
		call->memory[0] = NULL;
	take_ref(x, ref);
	call->replaced = old->region;
	exchange_put64(x, ref->token);
	put_area(x, ref);
	exchange_put32(x, ref->slot);
	exchange_put32(x, model_rights(call->dev, ref->region));
	exchange_put64(x, x->ops->event_position(x->ctx, call->dev));
	return ISMI_OK;
}

static enum ismi_status shut_out(struct exchange *x, uint64_t token, const uint64_t *without, size_t nr,
				 struct model_ref **ret)
{
	struct control_call *call = x->call;
	struct store *memory = NULL;
	struct model_region *old;
	enum ismi_status status = model_may_shut_out(call->dev, token, without, nr, &old);

	if (status == ISMI_EALREADY) {	/* maybe by this device, and the answer was lost */
		*ret = model_held(call->dev, token, without, nr);
		call->again = *ret != NULL;
		call->had[0] = *ret == NULL ? 0 : (uint8_t)(*ret)->rights;
		return call->again ? ISMI_OK : status;
	}
	if (status == ISMI_OK)
		status = x->ops->memory_new(x->ctx, old->size, &memory);
	if (status != ISMI_OK)
		return status;
	status = model_shut_out(call->dev, old, without, nr, memory, ret);
	if (status == ISMI_OK)
		call->replaced = old;
	else
		store_free(memory);
	return status;
}

/*
 * le64 token, le32 nr, le32 0, nr x le64 devid -> le64 token, le64 offset, le64 size, le64 requested, le64 event,
 * le32 slot, le32 rights
 */
static enum ismi_status do_shut_out(struct exchange *x)
{
	struct control_call *call = x->call;
	uint64_t without[ISMI_SHUT_OUT_MAX], token = ismi_get64(x->req);
	uint32_t nr = ismi_get32(x->req + 8);
	struct model_ref *ref = NULL;

	/* Before the region is looked for: others learn nothing about what is there. */
	if (!x->ops->privileged(x->ctx, call->dev))
		return ISMI_PERM_ATTACH;
	if (nr > ISMI_SHUT_OUT_MAX || x->len != ISMI_SHUT_OUT_REQ + (size_t)nr * 8 || ismi_get32(x->req + 12) != 0 ||
	    call->nr_memory != 0)
		return ISMI_ERR;
	for (uint32_t i = 0; i < nr; i++)
		without[i] = ismi_get64(x->req + 16 + (size_t)i * 8);
	enum ismi_status status = shut_out(x, token, without, nr, &ref);
	if (status != ISMI_OK)
		return status;
	take_ref(x, ref);
	call->rights = MODEL_READ;
	exchange_put64(x, ref->token);
	put_area(x, ref);
	exchange_put64(x, ref->region->requested);
	exchange_put64(x, x->ops->event_position(x->ctx, call->dev));
	exchange_put32(x, ref->slot);
	exchange_put32(x, model_rights(call->dev, ref->region));
	return ISMI_OK;
}

/* le64 token -> le64 token, le32 others, le32 0 */
static enum ismi_status do_successor(struct exchange *x)
{
	const struct model_ref *ref = model_ref_find(x->call->dev, ismi_get64(x->req));
	struct model_region *next = ref == NULL ? NULL : model_successor(ref);

	if (next == NULL)
		return ISMI_ENOENT;
	exchange_put64(x, next->token);
	exchange_put32(x, model_going_on(ref, next));
	exchange_put32(x, 0);
	return ISMI_OK;
}

/* ------------------------------------------------------------------ attach, detach */

static const char *refusal(enum ismi_status status)
{
	switch (status) {
	case ISMI_ENOENT:
		return "no such token, or not for this device to know";
	case ISMI_PERM_ATTACH:
		return "it may not attach this region";
	case ISMI_PERM_READ:
		return "it may not read this region";
	case ISMI_PERM_WRITE:
		return "it may not write this region";
	default:
		return NULL;
	}
}

/*
 * Huge pages can be taken away under a reader by whoever may write (a hole
 * in a sealed hugetlb object kills the reader when no page is left), so they stay
 * within one user.
 */
static bool huge_for_others(const struct model_device *dev, struct model_region *region)
{
	const struct store *memory = region->memory;

	return memory != NULL && memory->huge && region->creator_uid != dev->user->uid;
}

enum ismi_status control_attach(struct exchange *x, uint64_t token, uint32_t want, struct model_ref **ret)
{
	struct control_call *call = x->call;
	const struct model_ref *before = model_ref_find(call->dev, token);
	uint32_t had = before == NULL ? 0 : before->rights;
	enum ismi_status status = model_attach(call->dev, token, want, call->now, ret, &call->delay_ns);

	if (status == ISMI_OK && huge_for_others(call->dev, (*ret)->region)) {
		model_detach(call->dev, token);
		status = ISMI_PERM_ATTACH;
	}
	call->refused = refusal(status);
	if (status == ISMI_OK) {
		call->rights = want;
		call->again |= (uint64_t)(had != 0) << call->nr_refs;
		call->had[call->nr_refs] = (uint8_t)had;
		take_ref(x, *ret);
	}
	return status;
}

/* le64 token, le32 rw_perm; padded to 16 bytes by some */
static enum ismi_status do_attach(struct exchange *x)
{
	struct model_ref *ref;
	enum ismi_status status = control_attach(x, ismi_get64(x->req), ismi_get32(x->req + 8), &ref);

	if (status != ISMI_OK)
		return status;
	exchange_put64(x, 1);
	put_area(x, ref);
	return ISMI_OK;
}

void control_put_attached(struct exchange *x, const struct model_ref *ref)
{
	put_area(x, ref);
	exchange_put64(x, ref->region->requested);
	exchange_put64(x, ref->region->creator);
	exchange_put64(x, x->ops->event_position(x->ctx, x->call->dev));
	exchange_put32(x, ref->slot);
	exchange_put32(x, model_rights(x->call->dev, ref->region));
	exchange_put64(x, model_peers(ref));
}

/* le64 token, le32 rights, le32 reserved */
static enum ismi_status do_attach_ex(struct exchange *x)
{
	struct model_ref *ref;

	if (ismi_get32(x->req + 12) != 0)
		return ISMI_ERR;
	enum ismi_status status = control_attach(x, ismi_get64(x->req), ismi_get32(x->req + 8), &ref);
	if (status == ISMI_OK)
		control_put_attached(x, ref);
	return status;
}

static enum ismi_status do_detach(struct exchange *x)
{
	return model_detach(x->call->dev, ismi_get64(x->req));
}

/* ------------------------------------------------------------------ grants, vector */

static enum ismi_status do_grant_default(struct exchange *x)
{
	return model_grant_default(x->call->dev, ismi_get64(x->req), ismi_get64(x->req + 8));
}

static enum ismi_status do_grant_device(struct exchange *x)
{
	return model_grant(x->call->dev, ismi_get64(x->req), ismi_get64(x->req + 8), ismi_get64(x->req + 16));
}

/*
 * le64 token, le64 vector.  The emulated device has one vector per region or
 * none: any vector but 0 asks for it, and the front end brings its descriptor.
 */
static enum ismi_status do_event_vector(struct exchange *x)
{
	struct model_ref *ref = model_ref_find(x->call->dev, ismi_get64(x->req));

	if (ref == NULL)
		return ISMI_ENOENT;
	return x->ops->vector(x->ctx, ref, ismi_get64(x->req + 8) != 0);
}

/* ------------------------------------------------------------------ list, link */

/* le64 token, le64 how many to skip -> le64 referrers besides the caller, le64 nr, nr x {le64 devid, le32 slot, le32 0} */
static enum ismi_status do_list(struct exchange *x)
{
	struct model_ref *own = model_ref_find(x->call->dev, ismi_get64(x->req)), *ref;
	uint64_t skip = ismi_get64(x->req + 8), nr = 0;
	size_t room = (x->cap - 16) / ISMI_LIST_ENTRY;

	if (own == NULL)
		return ISMI_ENOENT;
	exchange_put64(x, model_peers(own));
	x->used += 8;
	LIST_FOREACH (ref, &own->region->refs, of_region) {
		if (ref == own)
			continue;
		if (skip > 0) {
			skip--;
			continue;
		}
		if (nr == room)
			break;
		exchange_put64(x, ref->device->devid);
		exchange_put32(x, x->ops->linkable(x->ctx, ref) ? ref->slot : ISMI_SLOT_NONE);
		exchange_put32(x, ref->shut_out);
		nr++;
	}
	ismi_put64(x->reply + 8, nr);
	return ISMI_OK;
}

/* le64 devid -> le32 number, le32 0, le64 id */
static enum ismi_status do_link(struct exchange *x)
{
	struct model_device *peer = model_device_find(x->call->dev->model, ismi_get64(x->req));
	uint32_t number;
	uint64_t id;

	if (peer == NULL || peer == x->call->dev)
		return ISMI_ENOENT;
	enum ismi_status status = x->ops->link(x->ctx, x->call->dev, peer, &number, &id);
	if (status != ISMI_OK)
		return status;
	exchange_put32(x, number);
	exchange_put32(x, 0);
	exchange_put64(x, id);
	return ISMI_OK;
}

/* le64 devid */
static enum ismi_status do_kick(struct exchange *x)
{
	struct model_device *by = x->call->dev, *dev;

	/* Before the device is looked for: others learn nothing about who is there. */
	if (!x->ops->privileged(x->ctx, by))
		return ISMI_PERM_ATTACH;
	dev = model_device_find(by->model, ismi_get64(x->req));
	if (dev == NULL)
		return ISMI_ENOENT;
	return dev == by ? ISMI_ERR : x->ops->kick(x->ctx, dev, by);
}

/* ------------------------------------------------------------------ dispatch */

/* Lengths behind class and command, and behind the status. */
static const struct command {
	uint16_t cmd;
	uint16_t req_len, req_padded;	/* some commands come in two lengths; 0: in any from req_len on */
	uint16_t reply_len;		/* least room for the reply */
	enum ismi_status (*run)(struct exchange *x);
} commands[] = {
	{ ISMI_CMD_ALLOC, 8, 8, 16 + ISMI_AREA_SIZE, do_alloc },
	{ ISMI_CMD_ATTACH, 12, 16, 8 + ISMI_AREA_SIZE, do_attach },
	{ ISMI_CMD_DETACH, 8, 8, 0, do_detach },
	{ ISMI_CMD_GRANT_DEFAULT, 16, 16, 0, do_grant_default },
	{ ISMI_CMD_GRANT_DEVICE, 24, 24, 0, do_grant_device },
	{ ISMI_CMD_EVENT_VECTOR, 16, 16, 0, do_event_vector },
	{ ISMI_CMD_ALLOC_EX, 24, 32, ISMI_ALLOC_EX_AREA, do_alloc_ex },
	{ ISMI_CMD_ATTACH_EX, 16, 16, ISMI_ATTACH_EX_REPLY - 1, do_attach_ex },
	{ ISMI_CMD_REPLACE, 16, 16, ISMI_ALLOC_EX_AREA, do_replace },
	{ ISMI_CMD_QUERY, 24, 24, ISMI_QUERY_HEAD, control_query },
	{ ISMI_CMD_LIST, 16, 16, 16 + ISMI_LIST_ENTRY, do_list },
	{ ISMI_CMD_LINK, 8, 8, ISMI_LINK_REPLY - 1, do_link },
	{ ISMI_CMD_KICK, 8, 8, 0, do_kick },
	{ ISMI_CMD_SUCCESSOR, 8, 8, ISMI_SUCCESSOR_REPLY - 1, do_successor },
	{ ISMI_CMD_SHUT_OUT, 16, 0, ISMI_SHUT_OUT_REPLY - 1, do_shut_out },
	{ ISMI_CMD_ATTACH_BATCH, 24, 0, ISMI_ATTACH_BATCH_AREA, control_attach_batch },
	{ ISMI_CMD_DETACH_BATCH, 24, 0, ISMI_DETACH_BATCH_AREA, control_detach_batch },
};

static const struct command *command_find(const uint8_t *req, size_t len)
{
	if (len < ISMI_REQ_HEAD)
		return NULL;
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		const struct command *c = &commands[i];
		if (c->cmd != (req[0] << 8 | req[1]))
			continue;
		size_t rest = len - ISMI_REQ_HEAD;
		return rest == c->req_len || (c->req_padded == 0 ? rest > c->req_len : rest == c->req_padded) ? c : NULL;
	}
	return NULL;
}

size_t control_handle(const struct control_ops *ops, void *ctx, struct control_call *call, const uint8_t *req,
		      size_t len, uint8_t *reply, size_t cap)
{
	const struct command *command = command_find(req, len);
	struct exchange x = { .ops = ops, .ctx = ctx, .call = call, .req = req + ISMI_REQ_HEAD, .len = len };
	enum ismi_status status;

	call->dev->model->count.commands++;
	call->nr_refs = 0;
	call->again = call->have = 0;
	call->replaced = NULL;
	call->rights = MODEL_READ | MODEL_WRITE;
	call->delay_ns = 0;
	call->refused = NULL;
	if (cap == 0)
		return 0;
	x.reply = reply + 1;
	x.cap = cap - 1;
	if (command == NULL)
		status = ISMI_ERR;
	else if (x.cap < command->reply_len)
		status = ISMI_E2BIG;
	else
		status = command->run(&x);
	reply[0] = (uint8_t)status;
	return status == ISMI_OK ? 1 + x.used : 1;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * control-batch.c - the commands about many regions at once.
 *
 * They are for those who make and drop regions by the thousand, to whom the way
 * to the host and back is dearer than what it does.  Not for guests: their
 * window is mapped by others, one region after the other.
 */
#include "exchange.h"

/* The regions' number, which the length has to agree with, and for which there has to be room in the reply. */
static enum ismi_status batch_of(const struct exchange *x, size_t each, uint32_t *ret_nr)
{
	uint32_t nr = ismi_get32(x->req + 4);

	if (x->call->dev->confined || nr > ISMI_BATCH_MAX || x->len != ISMI_BATCH_REQ + (size_t)nr * 8)
		return ISMI_ERR;
	*ret_nr = nr;
	return x->cap < nr * each ? ISMI_E2BIG : ISMI_OK;
}

static uint64_t token_at(const struct exchange *x, uint32_t i)
{
	return ismi_get64(x->req + ISMI_BATCH_REQ - ISMI_REQ_HEAD + (size_t)i * 8);
}

/* Of a device that keeps mappings: has it this one?  It has it from now on. */
static bool shown_again(const struct model_ref *ref, uint32_t rights)
{
	struct model_region *region = ref->region;
	bool again = region->shown_to == ref->device->devid && region->shown_chunk == ref->chunk &&
		     region->shown_rights == rights;

	region->shown_to = ref->device->devid;
	region->shown_chunk = ref->chunk;
	region->shown_rights = rights;
	return again;
}

/*
 * le32 rights, le32 nr, le64 flags, nr x le64 token -> nr x {what ATTACH_EX answers, le64 the memory's id (0: not to be
 * kept), le32 flags, le32 0}
 */
enum ismi_status control_attach_batch(struct exchange *x)
{
	uint32_t rights = ismi_get32(x->req), nr;
	uint64_t flags = ismi_get64(x->req + 8);
	struct control_call *call = x->call;
	struct model_ref *ref;
	enum ismi_status status = batch_of(x, ISMI_ATTACH_BATCH_AREA, &nr);

	if (status == ISMI_OK && (flags & ~(uint64_t)ISMI_BATCH_F_KEEP) != 0)
		status = ISMI_ERR;
	if (status != ISMI_OK)
		return status;
	for (uint32_t i = 0; i < nr; i++) {
		status = control_attach(x, token_at(x, i), rights, &ref);
		if (status != ISMI_OK) {
			control_take_back(call);	/* all or none */
			return status;
		}
	}
	for (uint32_t i = 0; i < nr; i++) {
		bool keep = (flags & ISMI_BATCH_F_KEEP) && model_pooled_for(call->ref[i]->region, call->dev);
		bool have = keep && shown_again(call->ref[i], rights);
		call->have |= (uint64_t)have << i;
		control_put_attached(x, call->ref[i]);
		exchange_put64(x, keep ? call->ref[i]->region->serial : 0);
		exchange_put32(x, have ? ISMI_BATCH_F_HAVE : 0);
		exchange_put32(x, 0);
	}
	return ISMI_OK;
}

/*
 * le32 how many of them, the first ones, to renew, le32 nr, le64 0, nr x le64 token -> nr x {le64 the new token
 * (0: the device refers to the region no more), le64 event}
 */
enum ismi_status control_detach_batch(struct exchange *x)
{
	uint32_t renew = ismi_get32(x->req), nr;
	struct model_device *dev = x->call->dev;
	enum ismi_status status = batch_of(x, ISMI_DETACH_BATCH_AREA, &nr);

	if (status == ISMI_OK && (renew > nr || ismi_get64(x->req + 8) != 0))
		status = ISMI_ERR;
	if (status != ISMI_OK)
		return status;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t token = 0;
		if (i >= renew || model_renew(dev, token_at(x, i), &token) != ISMI_OK)
			model_detach(dev, token_at(x, i));
		exchange_put64(x, token);
		exchange_put64(x, x->ops->event_position(x->ctx, dev));
	}
	return ISMI_OK;
}

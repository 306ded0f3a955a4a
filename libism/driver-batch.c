/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * driver-batch.c - the driver's half of the commands about many regions.
 */
#include "internal.h"

#include "base/bytes.h"

#include <errno.h>

static void batch_begin(struct ismi_command *c, enum ismi_cmd cmd, uint32_t first, uint32_t nr, uint64_t flags,
			uint8_t *reply, size_t cap)
{
	ismi_command_begin(c, cmd, reply, cap);
	ismi_command_add32(c, first);
	ismi_command_add32(c, nr);
	ismi_command_add64(c, flags);
}

/* ------------------------------------------------------------------ attach */

static void give_back_all(struct ism_device *dev, const uint64_t *tokens, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		ismi_driver_give_back(dev, tokens[i]);
}

static int attached(const struct ism_device *dev, uint64_t token, const uint8_t *area, const struct ismi_command *c,
		    unsigned int *used, struct ismi_memory *ret)
{
	bool have = ismi_get32(area + ISMI_BATCH_KEEP + 8) & ISMI_BATCH_F_HAVE;
	int fd = -1;

	if (!have && *used >= c->nr_fds)
		return ismi_fail(-EPROTO, "the device sent %u descriptors, and not one for each region", c->nr_fds);
	if (!have)
		fd = c->fds[(*used)++];
	int r = ismi_driver_attached(dev, token, area, fd, ret);
	ret->keep = ismi_get64(area + ISMI_BATCH_KEEP);
	ret->have = have;
	return r;
}

int ismi_driver_attach_many(struct ism_device *dev, const uint64_t *tokens, uint32_t nr, uint32_t rights,
			    struct ismi_memory *ret)
{
	uint8_t reply[1 + ISMI_BATCH_MAX * ISMI_ATTACH_BATCH_AREA];
	struct ismi_command c;
	unsigned int used = 0;

	if (dev->no_batches)
		return -EOPNOTSUPP;
	batch_begin(&c, ISMI_CMD_ATTACH_BATCH, rights, nr, dev->ops->keeps ? ISMI_BATCH_F_KEEP : 0, reply, sizeof reply);
	for (uint32_t i = 0; i < nr; i++)
		ismi_command_add64(&c, tokens[i]);
	int r = ismi_command_run(dev, &c, (size_t)nr * ISMI_ATTACH_BATCH_AREA, 0);
	if (r == -EMFILE)	/* the answer came, but its descriptors did not */
		give_back_all(dev, tokens, nr);
	if (r == ISMI_ERR) {
		dev->no_batches = true;
		return -EOPNOTSUPP;
	}
	if (r != ISMI_OK)
		return r < 0 ? r : ismi_driver_attach_error(r);
	for (uint32_t i = 0; i < nr && r == 0; i++)
		r = attached(dev, tokens[i], reply + 1 + (size_t)i * ISMI_ATTACH_BATCH_AREA, &c, &used, &ret[i]);
	if (r == 0 && used != c.nr_fds)
		r = ismi_fail(-EPROTO, "the device sent %u descriptors for %u regions: expected %u", c.nr_fds, nr, used);
	if (r < 0) {
		ismi_command_close(&c);
		give_back_all(dev, tokens, nr);
	}
	return r;
}

/* ------------------------------------------------------------------ detach */

/* Those to renew first: their number, and in @order where each of them was. */
static uint32_t renewed_first(const struct ismi_leave *leave, uint32_t nr, uint32_t *order)
{
	uint32_t renew = 0, at = 0;

	for (uint32_t i = 0; i < nr; i++)
		renew += leave[i].renew;
	for (uint32_t i = 0, rest = renew; i < nr; i++)
		order[leave[i].renew ? at++ : rest++] = i;
	return renew;
}

static int detach_batch(struct ism_device *dev, struct ismi_leave *leave, uint32_t nr)
{
	uint8_t reply[1 + ISMI_BATCH_MAX * ISMI_DETACH_BATCH_AREA];
	uint32_t order[ISMI_BATCH_MAX], renew = renewed_first(leave, nr, order);
	struct ismi_command c;

	batch_begin(&c, ISMI_CMD_DETACH_BATCH, renew, nr, 0, reply, sizeof reply);
	for (uint32_t i = 0; i < nr; i++)
		ismi_command_add64(&c, leave[order[i]].token);
	int r = ismi_command_run(dev, &c, (size_t)nr * ISMI_DETACH_BATCH_AREA, 0);
	for (uint32_t i = 0; i < renew && r == ISMI_OK; i++) {
		const uint8_t *area = reply + 1 + (size_t)i * ISMI_DETACH_BATCH_AREA;
		leave[order[i]].next = ismi_get64(area);
		leave[order[i]].event_from = ismi_get64(area + 8);
		leave[order[i]].renew = leave[order[i]].next != 0;
	}
	return r;
}

void ismi_driver_detach_many(struct ism_device *dev, struct ismi_leave *leave, uint32_t nr)
{
	/* One alone is what every device understands, in fewer bytes. */
	if (!dev->no_batches && (nr > 1 || leave->renew)) {
		if (detach_batch(dev, leave, nr) != ISMI_ERR)
			return;		/* done; or the host is gone, which has detached everything */
		dev->no_batches = true;
	}
	for (uint32_t i = 0; i < nr; i++)
		ismi_driver_detach(dev, leave[i].token);
}

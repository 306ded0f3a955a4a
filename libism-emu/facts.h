/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * facts.h - the records of a ledger: from a model, and back into one.
 *
 * Each record tells one fact, whole, and replaces what was said before about the
 * same thing.  The body behind the head:
 *
 *   1 DOMAIN       le64 gid, next devid, next serial
 *   2 DEVICE       le64 devid, le32 uid, le32 pid, le64 window, u8 secret[16], u8 name[32]
 *   3 DEVICE_GONE  le64 devid
 *   4 REGION       le64 token, serial, size, requested, creator,
 *                  le32 creator's uid, flags, default rights, 1 if ended + 2 if replaced;
 *                  le64 successor's token (0: none), if that region is known
 *   5 REGION_GONE  le64 token
 *   6 REF          le64 devid, token, le32 rights, chunk, slot, 0
 *   7 REF_GONE     le64 devid, token
 *   8 GRANT        le64 token, devid, giver's devid (0: gone), le32 rights, 0
 *
 * A record may become longer; what is behind the known part is then new.
 */
#ifndef FACTS_H
#define FACTS_H

#include "ledger.h"
#include "model.h"

void facts_domain(struct ledger *l, const struct model *m);
void facts_device(struct ledger *l, const struct model_device *dev);
void facts_device_gone(struct ledger *l, uint64_t devid);
void facts_region(struct ledger *l, const struct model_region *region);
void facts_region_gone(struct ledger *l, const struct model_region *region);
void facts_ref(struct ledger *l, const struct model_ref *ref);
void facts_ref_gone(struct ledger *l, const struct model_ref *ref);
void facts_grant(struct ledger *l, const struct model_grant *grant);

/* All of a model, in an order in which it can be read. */
void facts_all(struct ledger *l, const struct model *m);

/*
 * Bring an empty model to what a ledger says: 0, -ENOMEM, or -EPROTO with the
 * reason in words.  The model's ops are called as things go; their contexts
 * (front, memory) are the caller's to put in.
 */
int facts_restore(const struct ledger *l, struct model *m);

#endif /* FACTS_H */

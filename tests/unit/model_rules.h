/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model_rules.h - the rules of virtio-ism written down a second time, in the
 * plainest way: tables with a row for every device and region, and nothing kept
 * that can be counted.  model_random.c compares the model with them.
 */
#ifndef MODEL_RULES_H
#define MODEL_RULES_H

#include "unit.h"

enum {
	USERS = 3,
	DEVICES = 12,
	TOKENS = 64,		/* few, so that they collide */
	WINDOW_MAX = 80,
	HUGE_CHUNKS = 32,
};

struct ref {
	bool is;
	uint32_t rights;
	uint32_t chunk;
};

struct grant {
	bool is;
	uint32_t rights;
	int giver;		/* index; -1: gone */
};

struct region {
	bool is, ended, replaced;
	uint64_t next;		/* token of its successor; 0: none */
	uint32_t chunks, default_rights;
	uint64_t creator;	/* devid */
	struct ref ref[DEVICES];
	struct grant grant[DEVICES];
};

struct device {
	struct model_device *dev;	/* NULL: none */
	uint64_t devid;
	uint32_t uid, chunks;
};

struct world {
	struct fake fake;
	struct device device[DEVICES];
	struct region region[TOKENS];	/* by token */
	struct said told[SAID_MAX];	/* what should have been said by one operation */
	unsigned int nr_told;
	uint64_t random, last_devid;
	unsigned int done[256];		/* operations by their status */
	unsigned int replaced, shut_out;
};

extern const struct model_quota device_quota, user_quota;

/* What can be counted. */
uint32_t rules_rights(const struct world *w, const struct region *r, int d);
bool rules_shut_out(const struct world *w, const struct region *r, int d);
uint32_t rules_refs(const struct region *r);
uint32_t rules_managers(const struct world *w, const struct region *r);
/* What device @d uses, or what all devices of its user use. */
struct model_quota rules_usage(const struct world *w, int d, bool user);
/* Where @chunks go in the window of @d; UINT32_MAX: no place. */
uint32_t rules_place(const struct world *w, int d, uint32_t chunks);

/* What the answer has to be. */
enum ismi_status rules_alloc(const struct world *w, int d, uint32_t chunks);
enum ismi_status rules_attach(const struct world *w, int d, const struct region *r, uint32_t want);
enum ismi_status rules_grant_default(const struct world *w, int d, const struct region *r, uint32_t rights);
/* @to: whose device id is @devid; it need not be there. */
enum ismi_status rules_grant(const struct world *w, int d, const struct region *r, uint32_t rights, int to,
			     uint64_t devid);
enum ismi_status rules_replace(const struct world *w, int d, const struct region *r);
/* @without: one device to shut out; -1: none. */
enum ismi_status rules_may_shut_out(const struct world *w, int d, const struct region *r, int without);

/* What happens then. */
void rules_tell(struct world *w, uint64_t token, int except, enum model_event event, uint64_t devid);
void rules_ref_end(struct world *w, uint64_t token, int d);
void rules_set_default(struct world *w, uint64_t token, uint32_t rights);
void rules_set_grant(struct world *w, uint64_t token, int to, int giver, uint32_t rights);
/* @chunk: where the successor appears in the window of @d. */
void rules_replaced(struct world *w, uint64_t token, uint64_t next, int d, uint32_t chunk);
void rules_shut_out_done(struct world *w, uint64_t token, uint64_t next, int d, int without, uint32_t chunk);

#endif /* MODEL_RULES_H */

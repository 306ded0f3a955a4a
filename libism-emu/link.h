/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * link.h - direct doorbells between two devices.
 *
 * A link is a page of bells that both ends write, and descriptors to wake each
 * other with.  The host makes it, hands each end its part when that end asks,
 * and keeps telling each end (in its state, which only the host writes) for which
 * of its regions the other may ring: so a peer can disturb nothing but regions it
 * refers to, and loses that at once when its rights go.  What it rang before it let
 * go of a region, or died, the host passes on.
 */
#ifndef LINK_H
#define LINK_H

#include "port.h"

/* Descriptors that an end gets: the page, a socket, and two eventfds between processes of one user. */
enum { LINK_FDS_MAX = 4 };

struct link_end {
	struct link *link;
	struct port *port;
	uint32_t number;	/* in that port's table */
	bool fetched;
};

struct link {
	struct model_user *payer;	/* whose device asked for it */
	uint64_t id;
	struct link_end end[2];	/* [0] is the one with the lower devid */
	struct ismi_link *page;
	int page_fd;
	int sock[2];		/* what each end gets: wakes, and tells of the other's death */
	int event[2];		/* event[i] wakes end i; -1 between different users */
};

/*
 * Find or make a link from @a to @b: ISMI_OK, ISMI_ENOENT (they share no region
 * that both may ring), ISMI_ENOSPC (no more links here, there or in all), ISMI_ENOMEM.
 */
enum ismi_status link_get(struct port *a, struct port *b, struct link_end **ret);

/* The descriptors for one end, which stay ours; their number, or 0 if it has them already. */
int link_fds(const struct link_end *end, int fds[LINK_FDS_MAX]);
/* They have been sent. */
void link_fetched(struct link_end *end);

/* A reference began, changed its rights, or (@ends) ends: bring the masks up to date. */
void link_ref_changed(struct port *p, const struct model_ref *ref, bool ends);

/* A port goes, and all its links with it. */
void link_port_gone(struct port *p);

#endif /* LINK_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * link.c - direct doorbells between two devices.
 */
#include "link.h"

#include "base/sys.h"

#include <stdlib.h>

/* Each is a mapping of ours, of which a process has 65,530 (vm.max_map_count) unless told otherwise. */
enum { LINKS_MAX = 16384 };

static const struct link_end *other_end(const struct link_end *end)
{
	return &end->link->end[end == &end->link->end[0]];
}

/* ------------------------------------------------------------------ masks */

static void mask_set(const struct link_end *end, uint32_t slot, bool on)
{
	_Atomic uint64_t *word = &end->port->state->mask[end->number][slot / 64];
	uint64_t bit = UINT64_C(1) << slot % 64, old = ismi_load_relaxed(word);

	/* Only this thread writes masks.  Pairs with the acquire in the device's take. */
	ismi_store_release(word, on ? old | bit : old & ~bit);
}

/*
 * The other end lets go of this slot's region, or dies, and may have rung it just
 * before: what has not been taken yet would not count any more, so it is rung
 * again, by us.  Before the mask is cleared: see take_word() in doorbell.c.
 */
static void pass_on(const struct link_end *end, uint32_t slot)
{
	const struct link *l = end->link;
	struct port *p = end->port;

	if (ismi_bell_holds(&l->page->bell[end == &l->end[0]], slot) && slot < p->nr_slots && p->ref[slot] != NULL)
		port_ring(&p->front, p->ref[slot], other_end(end)->port->front.dev->devid);
}

static bool mask_has(const struct link_end *end, uint32_t slot)
{
	return ismi_load_relaxed(&end->port->state->mask[end->number][slot / 64]) >> slot % 64 & 1;
}

/* One region that both ends refer to. */
static void masks_update(const struct link_end *end, const struct model_ref *mine, const struct model_ref *theirs,
			 bool ends)
{
	const struct link_end *other = other_end(end);
	bool on = !ends && !mine->shut_out && !theirs->shut_out;

	if (ends && mask_has(other, theirs->slot))
		pass_on(other, theirs->slot);
	mask_set(end, mine->slot, on);
	mask_set(other, theirs->slot, on);
}

void link_ref_changed(struct port *p, const struct model_ref *ref, bool ends)
{
	for (uint32_t i = 0; i < ISMI_LINKS && p->nr_links > 0; i++) {
		const struct link_end *end = p->link[i];
		if (end == NULL)
			continue;
		const struct link_end *other = other_end(end);
		const struct model_ref *theirs = model_ref_find(other->port->front.dev, ref->token);
		if (theirs != NULL)
			masks_update(end, ref, theirs, ends);
	}
}

/* All regions that both ends refer to, when the link begins. */
static void masks_init(const struct link_end *end)
{
	const struct link_end *other = other_end(end);
	const struct model_ref *ref, *theirs;

	LIST_FOREACH (ref, &end->port->front.dev->ref_list, of_device) {
		theirs = model_ref_find(other->port->front.dev, ref->token);
		if (theirs != NULL)
			masks_update(end, ref, theirs, false);
	}
}

/* ------------------------------------------------------------------ life */

static void close_fds(struct link *l)
{
	ismi_sys_close(l->page_fd);
	for (int i = 0; i < 2; i++) {
		ismi_sys_close(l->sock[i]);
		ismi_sys_close(l->event[i]);
		l->sock[i] = l->event[i] = -1;
	}
	l->page_fd = -1;
}

static void link_delete(struct link *l)
{
	close_fds(l);
	if (l->page != NULL)
		ismi_sys_munmap(l->page, sizeof *l->page);
	free(l);
}

static int open_fds(struct link *l, bool same_user)
{
	void *page;
	int r = store_create_shared(sizeof *l->page, &page, &l->page_fd);

	if (r < 0)
		return r;
	l->page = page;
	r = ismi_sys_socketpair(SOCK_STREAM | SOCK_NONBLOCK, l->sock);
	if (r < 0) {
		l->sock[0] = l->sock[1] = -1;
		return r;
	}
	/*
	 * An eventfd's description is shared by both ends: one could fill it
	 * and make the other block.  Between users the socket wakes.
	 */
	for (int i = 0; i < 2 && same_user; i++) {
		l->event[i] = ismi_sys_eventfd();
		if (l->event[i] < 0)
			return l->event[i];
	}
	return 0;
}

/* Show or hide a link in its port's table. */
static void announce(struct link_end *end, uint64_t id, uint64_t peer)
{
	struct ismi_state *state = end->port->state;

	end->port->link[end->number] = id != 0 ? end : NULL;
	end->port->nr_links += id != 0 ? 1 : -1U;
	ismi_store_relaxed(&state->link[end->number].peer, peer);
	ismi_store_release(&state->link[end->number].id, id);
	/* seq_cst, because the device's armed word is read next: see doorbell.h. */
	ismi_add_seq(&state->links_changed, 1);
	port_wake(end->port);
}

/* No ring comes through any more. */
static void masks_clear(const struct link_end *end, bool end_stays)
{
	_Atomic uint64_t *mask = end->port->state->mask[end->number];

	for (uint32_t w = 0; w < ISMI_BELL_WORDS; w++) {
		uint64_t all = ismi_load_relaxed(&mask[w]);
		for (uint64_t bits = all; bits != 0 && end_stays; bits &= bits - 1)
			pass_on(end, w * 64 + (uint32_t)__builtin_ctzll(bits));
		if (all != 0)
			ismi_store_release(&mask[w], 0);
	}
}

/* @gone: which end goes.  @silent: the host ends, and what it has shown stays as it is. */
static void link_free(struct link *l, const struct port *gone, struct domain *d, bool silent)
{
	for (int i = 0; i < 2; i++) {
		struct link_end *end = &l->end[i];
		if (silent) {
			end->port->link[end->number] = NULL;
			end->port->nr_links--;
			continue;
		}
		masks_clear(end, end->port != gone);
		announce(end, 0, 0);
	}
	l->payer->used.links--;
	link_delete(l);
	d->nr_links--;
}

static bool number_free(const struct port *p, uint32_t *ret)
{
	for (uint32_t i = 0; i < ISMI_LINKS; i++) {
		if (p->link[i] == NULL) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static struct link_end *link_find(const struct port *a, const struct port *b)
{
	for (uint32_t i = 0; i < ISMI_LINKS; i++) {
		struct link_end *end = a->link[i];
		if (end != NULL && other_end(end)->port == b)
			return end;
	}
	return NULL;
}

/* Is there a region through which one may ring the other? */
static bool share_region(struct model_device *a, struct model_device *b)
{
	struct model_device *few = a->used.regions < b->used.regions ? a : b, *many = few == a ? b : a;
	const struct model_ref *ref, *other;

	LIST_FOREACH (ref, &few->ref_list, of_device) {
		other = model_ref_find(many, ref->token);
		if (other != NULL && !ref->shut_out && !other->shut_out)
			return true;
	}
	return false;
}

/* As with descriptors: nobody has so many that others find none. */
static bool links_left(const struct domain *d, const struct model_device *asker)
{
	const struct model_user *user = asker->user;
	bool privileged = user->uid == 0 || user->uid == d->model.host_uid;

	return d->nr_links < LINKS_MAX && (privileged || user->used.links < LINKS_MAX - d->nr_links) &&
	       model_descriptors_fit(asker);
}

enum ismi_status link_get(struct port *a, struct port *b, struct link_end **ret)
{
	struct domain *d = a->front.dev->model->ctx;
	bool a_first = a->front.dev->devid < b->front.dev->devid;
	uint32_t na, nb;

	*ret = link_find(a, b);
	if (*ret != NULL)
		return ISMI_OK;
	/* A stranger could take up all links of a device, and learn that it exists. */
	if (!share_region(a->front.dev, b->front.dev))
		return ISMI_ENOENT;
	if (!number_free(a, &na) || !number_free(b, &nb) || !links_left(d, a->front.dev))
		return ISMI_ENOSPC;
	struct link *l = malloc(sizeof *l);
	if (l == NULL)
		return ISMI_ENOMEM;
	*l = (struct link){ .payer = a->front.dev->user, .page_fd = -1, .sock = { -1, -1 }, .event = { -1, -1 } };
	l->end[!a_first] = (struct link_end){ .link = l, .port = a, .number = na };
	l->end[a_first] = (struct link_end){ .link = l, .port = b, .number = nb };
	if (open_fds(l, a->front.dev->user == b->front.dev->user) < 0) {
		link_delete(l);
		return ISMI_ENOMEM;
	}
	l->id = ++d->last_link;
	d->nr_links++;
	l->payer->used.links++;
	masks_init(&l->end[0]);
	announce(&l->end[0], l->id, l->end[1].port->front.dev->devid);
	announce(&l->end[1], l->id, l->end[0].port->front.dev->devid);
	*ret = a->link[na];
	return ISMI_OK;
}

int link_fds(const struct link_end *end, int fds[LINK_FDS_MAX])
{
	const struct link *l = end->link;
	int me = end != &l->end[0], n = 0;

	if (end->fetched)
		return 0;
	fds[n++] = l->page_fd;
	fds[n++] = l->sock[me];
	if (l->event[me] >= 0) {
		fds[n++] = l->event[me];
		fds[n++] = l->event[!me];
	}
	return n;
}

void link_fetched(struct link_end *end)
{
	struct link *l = end->link;
	int me = end != &l->end[0];

	/* Our copy of the socket would keep the other end from seeing this one die. */
	ismi_sys_close(l->sock[me]);
	l->sock[me] = -1;
	end->fetched = true;
	if (l->end[!me].fetched)
		close_fds(l);
}

void link_port_gone(struct port *p)
{
	struct domain *d = p->front.dev->model->ctx;

	for (uint32_t i = 0; i < ISMI_LINKS; i++) {
		if (p->link[i] != NULL)
			link_free(p->link[i]->link, p, d, d->stopping);
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * backends/emu/link.c - ringing: through the host, and directly.
 *
 * A doorbell goes to the host, which passes it on: that is always right.  When a
 * region has been rung twice without its referrers changing, the device asks for
 * them, makes links to them, and from then on rings each itself, as soon as all of
 * them have taken up their end.  A changed referrer shows in the region's
 * generation, which the host raises before that referrer's attach returns.
 */
#include "emu.h"

#include "base/spec.h"
#include "store.h"

#include <errno.h>
#include <stdlib.h>

/* A referrer of a region, and how to ring it. */
struct peer {
	struct emu_link *link;
	uint32_t slot;		/* in its numbering */
};

/* What a device knows about a region's referrers. */
struct emu_ref {
	pthread_mutex_t lock;		/* innermost */
	uint32_t generation;		/* at which the list below was made */
	uint32_t seen;			/* generation at the last ring through the host */
	bool known, direct;		/* direct: the list is complete, and each has a link */
	bool via_host;			/* what was rung last went to the host */
	uint32_t nr;
	struct peer *peer;
};

/* ------------------------------------------------------------------ links */

static void link_put(struct emu_link *l)
{
	if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) > 1)
		return;
	ismi_sys_munmap(l->page, sizeof *l->page);
	ismi_sys_close(l->sock);
	ismi_sys_close(l->wake_out);
	ismi_sys_close(l->wake_in);
	free(l);
}

static struct emu_link *link_get(struct emu_link *l)
{
	ismi_add_relaxed(&l->refs, 1);
	return l;
}

/* Nothing comes or goes through it any more.  Under device.bell. */
static void link_kill(struct ism_device *dev, struct emu_link *l)
{
	if (ismi_load_relaxed(&l->dead))
		return;
	ismi_store_release(&l->dead, true);
	ismi_sys_epoll_del(dev->epfd, l->sock);
	if (l->wake_in >= 0)
		ismi_sys_epoll_del(dev->epfd, l->wake_in);
	ismi_add_relaxed(&dev->count.links, -1);
}

/* Take a link out of the table: under both locks of the device. */
static void link_remove(struct ism_device *dev, uint32_t number)
{
	struct emu *e = dev->priv;
	struct emu_link *l = e->link[number];

	link_kill(dev, l);
	e->link[number] = NULL;
	while (e->links_end > 0 && e->link[e->links_end - 1] == NULL)
		e->links_end--;
	link_put(l);
}

static int link_watch(struct ism_device *dev, const struct emu_link *l)
{
	int r = ismi_sys_epoll_add(dev->epfd, l->sock, EPOLLIN, emu_link_data(l, EMU_DATA_SOCK));

	if (r < 0 || l->wake_in < 0)
		return r;
	/* Each write shows once, so that nobody has to read what was written: a system call less for each wake-up. */
	r = ismi_sys_epoll_add(dev->epfd, l->wake_in, EPOLLIN | EPOLLET, emu_link_data(l, EMU_DATA_EVENT));
	if (r < 0)
		ismi_sys_epoll_del(dev->epfd, l->sock);
	return r;
}

/* Take up our end of a link: under device.lock.  Consumes the descriptors. */
static int link_open(struct ism_device *dev, uint32_t number, uint64_t id, uint64_t peer, const int *fds, int nr_fds)
{
	struct emu *e = dev->priv;
	struct emu_link *l = malloc(sizeof *l);
	int me = dev->info.devid > peer, r = 0;
	void *page = NULL;

	if (number >= ISMI_LINKS || (nr_fds != 2 && nr_fds != 4))
		r = ismi_fail(-EPROTO, "the host made link %u with %d descriptors", number, nr_fds);
	if (r == 0)
		r = store_check_size(fds[0], sizeof(struct ismi_link));
	if (r == 0 && l == NULL)
		r = -ENOMEM;
	if (r == 0)
		r = ismi_sys_mmap(NULL, sizeof(struct ismi_link), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0, &page);
	ismi_sys_close(fds[0]);
	if (r < 0) {
		for (int i = 1; i < nr_fds; i++)
			ismi_sys_close(fds[i]);
		free(l);
		return r;
	}
	*l = (struct emu_link){ .refs = 1, .id = id, .peer = peer, .number = number, .page = page, .sock = fds[1],
				.wake_in = nr_fds == 4 ? fds[2] : -1, .wake_out = nr_fds == 4 ? fds[3] : -1 };
	l->out = &l->page->bell[me];
	l->in = &l->page->bell[!me];

	pthread_mutex_lock(&dev->bell);
	if (e->link[number] != NULL)
		link_remove(dev, number);
	r = link_watch(dev, l);
	if (r == 0) {
		e->link[number] = l;
		if (e->links_end <= number)
			e->links_end = number + 1;
		ismi_add_relaxed(&dev->count.links, 1);
		/* Whoever sleeps now has not armed this bell: it must look again. */
		if (dev->leader)
			ismi_bell_arm(l->in);
		/* Pairs with the acquire in all_ready(): from here on the peer may ring. */
		ismi_store_release(&l->in->ready, 1);
		ismi_settle(dev);
	}
	pthread_mutex_unlock(&dev->bell);
	if (r < 0)
		link_put(l);
	return r;
}

static struct emu_link *link_find(const struct emu *e, uint64_t peer)
{
	for (uint32_t i = 0; i < ISMI_LINKS; i++) {
		if (e->link[i] != NULL && e->link[i]->peer == peer && !ismi_load_relaxed(&e->link[i]->dead))
			return e->link[i];
	}
	return NULL;
}

/* Ask the host for a link to @peer: under device.lock. */
static struct emu_link *link_make(struct ism_device *dev, uint64_t peer)
{
	struct emu *e = dev->priv;
	uint32_t number;
	uint64_t id;
	int fds[4];
	int n = ismi_driver_link(dev, peer, &number, &id, fds);

	if (n < 0 || link_open(dev, number, id, peer, fds, n) < 0)
		return NULL;
	return e->link[number];
}

void emu_links_update(struct ism_device *dev)
{
	struct emu *e = dev->priv;

	ismi_store_relaxed(&dev->housework, false);
	for (uint32_t i = 0; i < ISMI_LINKS; i++) {
		const struct ismi_state_link *shown = &e->end.state->link[i];
		/* Pairs with the host's release: the peer is this link's. */
		uint64_t id = ismi_load_acquire(&shown->id), peer = ismi_load_relaxed(&shown->peer);

		if (e->link[i] != NULL && e->link[i]->id != id) {
			pthread_mutex_lock(&dev->bell);
			link_remove(dev, i);
			pthread_mutex_unlock(&dev->bell);
		}
		if (id == 0 || e->link[i] != NULL || e->link_failed[i] == id || ismi_load_relaxed(&e->down))
			continue;
		/* Another device wants to ring us: take up our end. */
		if (link_make(dev, peer) == NULL)
			e->link_failed[i] = id;
	}
}

/* After the host's death nobody else says that a peer has gone.  Under device.bell. */
static void peer_died(struct ism_device *dev, const struct emu_link *l)
{
	const struct emu *e = dev->priv;

	for (uint32_t s = 0; s < dev->nr_slots; s++) {
		const struct ismi_ref *ref = dev->slot[s];
		if (ref != NULL && (ismi_load_relaxed(&e->end.state->mask[l->number][s / 64]) >> s % 64 & 1))
			ismi_deliver_event(dev, ISM_EVENT_DETACH, ref->token, l->peer, ref->peers > 0 ? ref->peers - 1 : 0,
					   UINT64_MAX);
	}
}

void emu_link_fired(struct ism_device *dev, uint64_t data, uint32_t events)
{
	struct emu *e = dev->priv;
	uint32_t number = (uint32_t)(data % EMU_DATA_EVENT);
	struct emu_link *l = number < ISMI_LINKS ? e->link[number] : NULL;

	if (l == NULL || ismi_load_relaxed(&l->dead) || data >> 32 != (l->id & UINT32_MAX))
		return;
	if ((data & UINT32_MAX) < EMU_DATA_SOCK)
		return;		/* the eventfd: link_watch() */
	/* A peer that shuts down its socket without closing it would keep ours readable for ever. */
	if (ismi_sys_wake_clear(l->sock) && !(events & (EPOLLHUP | EPOLLERR)))
		return;
	dev->ops->poll(dev);	/* what it still rang */
	link_kill(dev, l);
	if (ismi_load_relaxed(&e->down))
		peer_died(dev, l);
}

void emu_links_close(struct emu *e)
{
	for (uint32_t i = 0; i < ISMI_LINKS; i++) {
		if (e->link[i] != NULL)
			link_put(e->link[i]);
		e->link[i] = NULL;
	}
}

/* ------------------------------------------------------------------ who refers to a region */

static struct emu_ref *emu_ref_of(struct ismi_ref *ref)
{
	struct emu_ref *er = atomic_load_explicit(&ref->priv, memory_order_acquire);
	void *none = NULL;

	if (er != NULL)
		return er;
	er = calloc(1, sizeof *er);
	if (er == NULL)
		return NULL;
	pthread_mutex_init(&er->lock, NULL);
	if (atomic_compare_exchange_strong_explicit(&ref->priv, &none, er, memory_order_acq_rel, memory_order_acquire))
		return er;
	pthread_mutex_destroy(&er->lock);	/* another thread was first */
	free(er);
	return none;
}

static void forget_peers(struct emu_ref *er)
{
	while (er->nr > 0)
		link_put(er->peer[--er->nr].link);
	free(er->peer);
	er->peer = NULL;
	er->direct = false;
}

void emu_ref_end(struct ism_device *dev, struct ismi_ref *ref)
{
	struct emu_ref *er = atomic_load_explicit(&ref->priv, memory_order_acquire);

	if (er == NULL)
		return;
	forget_peers(er);
	if (!ismi_forked(dev))
		pthread_mutex_destroy(&er->lock);
	free(er);
	ref->priv = NULL;
}

void emu_links_forget(struct ism_device *dev)
{
	struct emu *e = dev->priv;

	for (uint32_t i = 0; i < ISMI_LINKS; i++) {
		if (e->link[i] != NULL)
			link_remove(dev, i);
	}
	for (uint32_t i = 0; i < dev->nr_slots; i++) {
		struct emu_ref *er =
			dev->slot[i] == NULL ? NULL : atomic_load_explicit(&dev->slot[i]->priv, memory_order_acquire);
		if (er == NULL)
			continue;
		pthread_mutex_lock(&er->lock);
		forget_peers(er);
		er->known = false;
		pthread_mutex_unlock(&er->lock);
	}
}

/*
 * Learn who the referrers are, and make links to them.  Not worth waiting for
 * somebody else's control call: then it is done at a later ring.
 */
static void learn(struct ism_device *dev, struct ismi_ref *ref, struct emu_ref *er, uint32_t generation)
{
	struct ismi_peer list[ISMI_LINKS];
	struct emu *e = dev->priv;
	struct peer *peer;
	uint32_t nr = 0;
	uint64_t total;

	if (pthread_mutex_trylock(&dev->lock) != 0)
		return;
	int n = ismi_driver_list(dev, ref->token, 0, list, ISMI_LINKS, &total);
	peer = n < 0 ? NULL : malloc((size_t)n * sizeof *peer + 1);
	bool direct = peer != NULL && (uint64_t)n == total;
	for (int i = 0; i < n && direct; i++) {
		struct emu_link *l = NULL;
		if (list[i].shut_out)
			continue;
		if (list[i].slot != ISMI_SLOT_NONE && (l = link_find(e, list[i].devid)) == NULL)
			l = link_make(dev, list[i].devid);
		direct = l != NULL;
		if (direct)
			peer[nr++] = (struct peer){ link_get(l), list[i].slot };
	}
	/* Still under device.lock: it is of this host, and no other has come meanwhile. */
	pthread_mutex_lock(&er->lock);
	forget_peers(er);
	er->known = n >= 0;
	er->generation = generation;
	er->nr = nr;
	er->peer = peer;
	er->direct = direct;
	if (!direct)
		forget_peers(er);
	pthread_mutex_unlock(&er->lock);
	pthread_mutex_unlock(&dev->lock);
}

/* ------------------------------------------------------------------ ringing */

static void count(struct ism_device *dev, enum ismi_rung rung)
{
	ismi_count(rung == ISMI_RUNG_WAKE ? &dev->count.wakes_sent : &dev->count.wakes_suppressed, 1);
}

static bool all_ready(const struct emu_ref *er)
{
	for (uint32_t i = 0; i < er->nr; i++) {
		const struct emu_link *l = er->peer[i].link;
		/* Pairs with the peer's release in link_open(). */
		if (!ismi_load_acquire(&l->out->ready) || ismi_load_acquire(&l->dead))
			return false;
	}
	return true;
}

static void wake_end(const struct emu_link *l)
{
	if (l->wake_out >= 0)
		ismi_sys_wake_event(l->wake_out);
	else
		ismi_sys_wake_socket(l->sock);
}

static void ring_direct(struct ism_device *dev, struct emu_ref *er)
{
	er->via_host = false;	/* this ring is behind that one */
	for (uint32_t i = 0; i < er->nr; i++) {
		const struct emu_link *l = er->peer[i].link;
		enum ismi_rung rung = ismi_bell_ring(l->out, er->peer[i].slot);
		if (rung == ISMI_RUNG_WAKE)
			wake_end(l);
		ismi_count(&dev->count.rings_direct, 1);
		count(dev, rung);
	}
}

/*
 * Wake the host, which sleeps with its bell rung.  A wake-up that is not sent
 * would hold up all rings until the next one, so a lack of memory is waited out.
 */
static int wake_host(struct emu *e)
{
	enum { TRIES = 20, PAUSE_NS = 1000000 };
	uint8_t msg[ISMI_WIRE_HEADER];

	ismi_wire_put(msg, ISMI_WIRE_RING, 0, 0, 0);
	for (int i = 0; i < TRIES; i++) {
		int r = ismi_wire_send(e->conn, msg, sizeof msg, NULL, 0);
		if (r == 0 || r == -EAGAIN)	/* no room: it has messages to read already */
			return 0;
		if (r == -EPIPE || r == -ECONNRESET)
			return -EHOSTDOWN;
		ismi_sleep_ns(PAUSE_NS);
	}
	ismi_bell_arm(&e->end.line->to_host);	/* let the next ring try */
	return 0;
}

int emu_ring_host(struct ism_device *dev, uint32_t slot)
{
	struct emu *e = dev->priv;
	enum ismi_rung rung = ismi_bell_ring(&e->end.line->to_host, slot);
	int r = rung == ISMI_RUNG_WAKE ? wake_host(e) : 0;

	ismi_count(&dev->count.rings_host, 1);
	count(dev, rung);
	return r;
}

/* The host is gone: ring those that can be reached. */
static int ring_survivors(struct ism_device *dev, struct emu_ref *er)
{
	bool complete = er->direct && all_ready(er);

	if (er->direct)
		ring_direct(dev, er);
	return complete ? 0 : ismi_fail(-EHOSTDOWN, "the host is gone, and not all peers can be rung without it");
}

/* The host is gone.  If it comes back, all have been rung when we are. */
static int ring_later(struct ism_device *dev, struct ismi_ref *ref, uint32_t hosts)
{
	const struct emu *e = dev->priv;
	int r = 0;

	pthread_mutex_lock(&dev->bell);
	if (hosts == ismi_load_relaxed(&e->hosts)) {	/* else another thread has been through this */
		dev->ops->poll(dev);
		emu_lost(dev);
		ismi_delivered(dev);
	}
	pthread_mutex_unlock(&dev->bell);
	pthread_mutex_lock(&dev->lock);
	if (ismi_load_relaxed(&e->lost))
		r = emu_await_host(dev, ismi_deadline(dev->restart_ns));
	pthread_mutex_unlock(&dev->lock);
	return ismi_load_relaxed(&e->down) ? emu_notify(dev, ref) : r;
}

void emu_ring_left(struct ism_device *dev)
{
	const struct emu *e = dev->priv;
	bool unknown = false;

	for (uint32_t i = 0; i < dev->nr_slots; i++) {
		struct emu_ref *er = dev->slot[i] == NULL ? NULL : ismi_load_acquire(&dev->slot[i]->priv);
		if (er == NULL)
			continue;
		pthread_mutex_lock(&er->lock);
		if (er->via_host && er->direct)
			ring_direct(dev, er);
		unknown |= er->via_host;
		er->via_host = false;
		pthread_mutex_unlock(&er->lock);
	}
	/* Nobody is left to ask which slots those are.  The peers know which of theirs we may ring. */
	for (uint32_t i = 0; i < e->links_end && unknown; i++) {
		struct emu_link *l = e->link[i];
		if (l != NULL && !ismi_load_relaxed(&l->dead) && ismi_bell_ring_all(l->out))
			wake_end(l);
	}
}

int emu_notify(struct ism_device *dev, struct ismi_ref *ref)
{
	struct emu *e = dev->priv;
	const struct ismi_state_slot *slot = &e->end.state->slot[ref->mem.slot];
	/* Pairs with the host's release: a referrer whose attach has returned is in it. */
	uint32_t generation = ismi_load_acquire(&slot->generation);
	uint32_t hosts = ismi_load_relaxed(&e->hosts);
	struct emu_ref *er;
	bool want_learn = false, want_host = false, too_late = false;
	int r = 0;

	if (ismi_load_relaxed(&slot->peers) == 0)
		return 0;
	er = emu_ref_of(ref);
	if (er == NULL)
		return emu_ring_host(dev, ref->mem.slot);
	pthread_mutex_lock(&er->lock);
	if (ismi_load_relaxed(&e->down)) {
		r = ring_survivors(dev, er);
	} else if (ismi_load_relaxed(&e->lost)) {
		want_host = !er->direct || !all_ready(er);
		if (!want_host)
			ring_direct(dev, er);
	} else if (er->known && er->direct && er->generation == generation && all_ready(er)) {
		ring_direct(dev, er);
	} else {
		er->via_host = true;
		want_host = emu_ring_host(dev, ref->mem.slot) < 0;
		/* Its end may have been found since we looked: either we see that here, or emu_down() sees our ring. */
		too_late = !want_host && ismi_load_seq(&e->down);
		want_learn = !want_host && (!er->known || er->generation != generation) && er->seen == generation;
		er->seen = generation;
	}
	pthread_mutex_unlock(&er->lock);
	if (too_late) {
		pthread_mutex_lock(&dev->bell);
		emu_ring_left(dev);
		pthread_mutex_unlock(&dev->bell);
	}
	if (want_learn)
		learn(dev, ref, er, generation);
	return want_host ? ring_later(dev, ref, hosts) : r;
}

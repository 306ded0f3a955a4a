/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_hostile.c - a peer that writes over all the memory it shares with
 * another device and with the host, at full speed, while that device works:
 * nothing hangs, and no region rings that the peer does not refer to.
 */
#include "attacks.h"
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const attack_name[] = { "random words", "all bits", "summary only", "flags", "line" };

struct stage {
	struct channel to_peer, from_peer, to_friend, from_friend;
	char uri[160];
	enum attack attack;
};

/* ------------------------------------------------------------------ the hostile peer */

/* Share a region, ring until there is a direct link, then attack until killed. */
static int peer_main(void *arg)
{
	struct stage *s = arg;
	struct ism_device *dev;
	struct ism_region *region;
	uint64_t seed = 88172645463325252u;

	if (ism_open(s->uri, NULL, &dev) < 0 ||
	    ism_attach_region(dev, channel_get(&s->to_peer), ISM_READ | ISM_WRITE, NULL, &region) < 0)
		return 1;
	struct ism_stats stats = { .size = sizeof stats };
	while (ism_query_stats(dev, &stats) == 0 && stats.rings_direct == 0) {
		if (ism_region_notify(region) < 0 || ism_region_wait(region, SECONDS(0.001)) < 0)
			return 2;
	}
	channel_put(&s->from_peer, 1);
	struct target target = { .emu = dev->priv, .link = any_link(dev) };
	for (;;)
		attack_once(s->attack, &target, &seed);
}

/* ------------------------------------------------------------------ a friend */

/* Answer each ring: the counter goes up before the answer. */
static int friend_main(void *arg)
{
	struct stage *s = arg;
	struct ism_device *dev;
	struct ism_region *region;

	if (ism_open(s->uri, NULL, &dev) < 0 ||
	    ism_attach_region(dev, channel_get(&s->to_friend), ISM_READ | ISM_WRITE, NULL, &region) < 0)
		return 1;
	_Atomic uint64_t *word = ism_region_addr(region);
	channel_put(&s->from_friend, 1);
	while (ism_region_wait(region, SECONDS(60)) == 1) {
		uint64_t asked = atomic_load(&word[0]);
		if (atomic_load(&word[1]) == asked)
			continue;
		atomic_store(&word[1], asked);
		if (ism_region_notify(region) < 0)
			return 2;
	}
	return 0;
}

/* ------------------------------------------------------------------ the device under attack */

struct victim {
	struct stage s;
	pid_t ismd, peer, friend;
	struct ism_device *dev;
	struct ism_region *shared, *friends, *lonely;
	uint64_t asked;
};

static void victim_open(struct victim *v, enum attack attack)
{
	struct stage *s = &v->s;

	*v = (struct victim){ .s.attack = attack };
	v->ismd = harness_ismd("d", NULL);
	snprintf(s->uri, sizeof s->uri, "%s", harness_uri("d"));
	channel_open(&s->to_peer);
	channel_open(&s->from_peer);
	channel_open(&s->to_friend);
	channel_open(&s->from_friend);
	v->peer = harness_fork(peer_main, s);
	v->friend = harness_fork(friend_main, s);
	ok(ism_open(s->uri, NULL, &v->dev));
	ok(ism_alloc_region(v->dev, 4096, NULL, &v->lonely));
	ok(ism_alloc_region(v->dev, 4096, NULL, &v->shared));
	ok(ism_alloc_region(v->dev, 4096, NULL, &v->friends));
	channel_put(&s->to_friend, ism_region_token(v->friends));
	channel_get(&s->from_friend);
	channel_put(&s->to_peer, ism_region_token(v->shared));
	struct pollfd p = { .fd = s->from_peer.fd[0], .events = POLLIN };
	double deadline = harness_now() + 60;
	while (poll(&p, 1, 0) == 0) {	/* answer it, so that both take up the link */
		ok(ism_region_wait(v->shared, SECONDS(0.001)));
		ok(ism_region_notify(v->shared));
		ck_assert_msg(harness_now() < deadline, "no link within a minute");
	}
	channel_get(&s->from_peer);
	struct ism_event ev;
	while (ok(ism_event_next(v->dev, &ev, sizeof ev)) > 0)
		;
	ck_assert_ptr_nonnull(any_link(v->dev));
}

static void victim_close(struct victim *v)
{
	struct stage *s = &v->s;

	harness_kill(v->peer);
	ism_close(v->dev);
	ck_assert_int_eq(harness_reap(v->friend, 30), 0);
	channel_close(&s->to_peer);
	channel_close(&s->from_peer);
	channel_close(&s->to_friend);
	channel_close(&s->from_friend);
}

/* Ask the friend and wait for its answer: nobody else can ring this region. */
static void ask_friend(struct victim *v)
{
	_Atomic uint64_t *word = ism_region_addr(v->friends);

	atomic_store(&word[0], ++v->asked);
	ok(ism_region_notify(v->friends));
	int r = ok(ism_region_wait(v->friends, SECONDS(30)));
	ck_assert_msg(r == 1, "no answer from the friend");
	ck_assert_msg(atomic_load(&word[1]) == v->asked, "a doorbell that the friend did not ring");
}

/* No region but the shared one may ring. */
static void check_events(struct victim *v)
{
	struct ism_event ev;

	for (int i = 0; i < 8 && ok(ism_event_next(v->dev, &ev, sizeof ev)) > 0; i++)
		ck_assert_msg(ev.region == v->shared && ev.type == ISM_EVENT_UPDATE, "event %u of region %s", ev.type,
			      ev.region == v->lonely ? "lonely" : ev.region == v->friends ? "of the friend" : "unknown");
}

static void use_everything(struct victim *v, int i)
{
	struct pollfd p = { .fd = -1, .events = POLLIN };
	struct ism_region *more;

	ask_friend(v);
	check_events(v);
	ck_assert_int_eq(ok(ism_region_wait(v->lonely, i % 8 == 0 ? SECONDS(0.001) : 0)), 0);
	ck_assert_int_eq(ok(ism_region_clear(v->lonely)), 0);
	ok(ism_region_wait(v->shared, 0));
	ok(ism_region_notify(v->shared));
	if (i % 16 == 1) {
		ok(ism_alloc_region(v->dev, 4096, NULL, &more));
		ck_assert_int_eq(ok(ism_region_wait(more, 0)), 0);
		ism_detach_region(more);
	}
	if (i < 100)
		return;		/* from here on with a lent descriptor as well */
	p.fd = ok(ism_fd(v->dev));
	poll(&p, 1, 0);
	check_events(v);
}

START_TEST(a_hostile_peer_hangs_and_forges_nothing)
{
	struct victim v;
	int i;

	victim_open(&v, (enum attack)_i);
	for (i = 0; i < 500; i++)
		use_everything(&v, i);
	printf("%s: %d rounds under attack\n", attack_name[_i], i);
	victim_close(&v);
	harness_ismd_stop(v.ismd);
}
END_TEST

START_TEST(the_hosts_death_is_seen_under_attack)
{
	struct victim v;

	victim_open(&v, (enum attack)_i);
	ask_friend(&v);
	harness_kill(v.ismd);
	/* Asleep, as far as the attack lets us: it must not keep us from the rest of the world. */
	fails(ism_region_wait(v.lonely, SECONDS(30)), -EHOSTDOWN);
	struct ism_event ev = { .type = 0 };
	for (double end = harness_now() + 60; ev.type != ISM_EVENT_RESET;) {
		ok(ism_wait(v.dev, &ev, 1, sizeof ev, SECONDS(1)));
		ck_assert_msg(harness_now() < end, "no RESET");
	}
	victim_close(&v);
	char lock[256];
	snprintf(lock, sizeof lock, "%s.lock", v.s.uri + strlen("emu:"));
	unlink(v.s.uri + strlen("emu:"));
	unlink(lock);
}
END_TEST

/* ------------------------------------------------------------------ links that come and go */

/* Ring each other until both have a direct link. */
static void make_link(struct ism_region *ra, struct ism_region *rb)
{
	for (int i = 0; i < 10; i++) {
		ok(ism_region_notify(ra));
		ck_assert_int_eq(ok(ism_region_wait(rb, SECONDS(30))), 1);
		ok(ism_region_notify(rb));
		ck_assert_int_eq(ok(ism_region_wait(ra, SECONDS(30))), 1);
	}
	ck_assert_ptr_nonnull(any_link(ism_region_device(ra)));
	ck_assert_ptr_nonnull(any_link(ism_region_device(rb)));
}

static uint64_t devid_of(struct ism_device *dev)
{
	struct ism_info info = { .size = sizeof info };

	ok(ism_query(dev, &info));
	return info.devid;
}

/* Have the host make a link, and do not use it. */
static void ask_for_link(struct ism_device *dev, struct ism_device *peer)
{
	uint32_t number;
	uint64_t id;
	int fds[4];

	pthread_mutex_lock(&dev->lock);
	int n = (int)ok(ismi_driver_link(dev, devid_of(peer), &number, &id, fds));
	pthread_mutex_unlock(&dev->lock);
	while (n > 0)
		ismi_sys_close(fds[--n]);
}

START_TEST(who_has_gone_does_not_ring_in_its_successors_name)
{
	pid_t ismd = harness_ismd("d", NULL);
	struct ism_device *victim, *gone, *next;
	struct ism_region *shared, *theirs, *other, *nexts;

	ok(ism_open(harness_uri("d"), NULL, &victim));
	ok(ism_open(harness_uri("d"), NULL, &gone));
	ok(ism_open(harness_uri("d"), NULL, &next));
	ok(ism_alloc_region(victim, 4096, NULL, &shared));
	ok(ism_alloc_region(victim, 4096, NULL, &other));
	ok(ism_attach_region(gone, ism_region_token(shared), ISM_READ | ISM_WRITE, NULL, &theirs));
	make_link(shared, theirs);
	struct emu *e = victim->priv;
	uint32_t number = any_link(victim)->number, slot = other->ref->mem.slot;

	/* It closes its connection and keeps the page, in which another device now has its number. */
	ism_close(gone);
	eventually(ok(ism_region_peers(shared, NULL, 0)) == 0, 30);
	ok(ism_attach_region(next, ism_region_token(other), ISM_READ | ISM_WRITE, NULL, &nexts));
	ask_for_link(next, victim);
	ck_assert_uint_eq(e->end.state->link[number].peer, devid_of(next));
	ck_assert(e->end.state->mask[number][slot / 64] >> slot % 64 & 1);
	ck_assert_uint_ne(e->link[number]->id, e->end.state->link[number].id);	/* the victim has not looked yet */
	ismi_bell_ring(e->link[number]->in, slot);
	ck_assert_int_eq(ok(ism_region_wait(other, 0)), 0);
	ck_assert_int_eq(ok(ism_region_wait(other, SECONDS(0.01))), 0);
	ism_close(next);
	ism_close(victim);
	harness_ismd_stop(ismd);
}
END_TEST

START_TEST(an_old_event_is_not_about_a_new_link)
{
	pid_t ismd = harness_ismd("d", NULL);
	struct ism_device *dev, *peer;
	struct ism_region *region, *theirs;
	uint64_t stale[2] = { 0, 0 };
	uint32_t number = 0;

	ok(ism_open(harness_uri("d"), NULL, &dev));
	ok(ism_alloc_region(dev, 4096, NULL, &region));
	for (int i = 0; i < 2; i++) {
		ok(ism_open(harness_uri("d"), NULL, &peer));
		ok(ism_attach_region(peer, ism_region_token(region), ISM_READ | ISM_WRITE, NULL, &theirs));
		make_link(region, theirs);
		if (i > 0)
			break;
		number = any_link(dev)->number;
		stale[0] = emu_link_data(any_link(dev), EMU_DATA_SOCK);
		stale[1] = emu_link_data(any_link(dev), EMU_DATA_EVENT);
		ism_close(peer);
		eventually(ok(ism_region_peers(region, NULL, 0)) == 0, 30);
		while (ism_region_wait(region, 0) == 1)
			;
	}
	/* What was read from epoll before the first link was let go of. */
	ck_assert_uint_eq(any_link(dev)->number, number);
	pthread_mutex_lock(&dev->bell);
	for (int i = 0; i < 2; i++)
		dev->ops->fired(dev, stale[i], EPOLLIN | EPOLLHUP);
	pthread_mutex_unlock(&dev->bell);
	ck_assert(!any_link(dev)->dead);
	make_link(region, theirs);
	ism_close(peer);
	ism_close(dev);
	harness_ismd_stop(ismd);
}
END_TEST

/* ------------------------------------------------------------------ one that is faster than we can look */

static struct ismi_backend restless;

/* Each look before a sleep finds something, as if a peer wrote between any two of our instructions. */
static bool never_quiet(struct ism_device *dev)
{
	ismi_backend_emu.arm(dev);
	return false;
}

static struct ism_device *restless_device(const char *uri)
{
	struct ism_device *dev;

	ok(ism_open(uri, NULL, &dev));
	restless = ismi_backend_emu;
	restless.arm = never_quiet;
	dev->ops = &restless;
	return dev;
}

START_TEST(a_lent_descriptor_is_settled_in_bounded_time)
{
	struct ism_device *dev = restless_device(harness_uri("d"));
	struct ism_event ev;
	struct pollfd p = { .events = POLLIN };

	p.fd = ok(ism_fd(dev));
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(ok(ism_event_next(dev, &ev, sizeof ev)), 0);
	ck_assert_int_eq(poll(&p, 1, 0), 1);	/* what is not known to be quiet is worth another look */
	dev->ops = &ismi_backend_emu;
	ck_assert_int_eq(ok(ism_event_next(dev, &ev, sizeof ev)), 0);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	ism_close(dev);
}
END_TEST

START_TEST(descriptors_are_looked_at_all_the_same)
{
	pid_t ismd = harness_ismd("d", NULL);
	struct ism_device *dev = restless_device(harness_uri("d"));
	struct ism_region *region;

	ok(ism_alloc_region(dev, 4096, NULL, &region));
	ck_assert_int_eq(ok(ism_region_wait(region, SECONDS(0.01))), 0);
	kill(ismd, SIGTERM);
	fails(ism_region_wait(region, SECONDS(30)), -EHOSTDOWN);
	ck_assert_int_eq(harness_reap(ismd, 30), 0);
	ism_close(dev);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("hostile");
	TCase *tc = harness_tcase(s, "hostile", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_loop_test(tc, a_hostile_peer_hangs_and_forges_nothing, 0, NR_ATTACKS);
	tcase_add_loop_test(tc, the_hosts_death_is_seen_under_attack, 0, LINE);
	tcase_add_test(tc, who_has_gone_does_not_ring_in_its_successors_name);
	tcase_add_test(tc, an_old_event_is_not_about_a_new_link);
	tcase_add_test(tc, a_lent_descriptor_is_settled_in_bounded_time);
	tcase_add_test(tc, descriptors_are_looked_at_all_the_same);
	return harness_main(argc, argv, suites);
}

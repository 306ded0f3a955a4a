/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * closer.c - closing what somebody else has made.
 *
 * One thread closes what one user sent, and others of its kind that of other
 * users.  A signal cuts a close short that waits for what a signal can end, as a
 * lingering socket does; what it cannot end, a file of a file system in user space,
 * keeps its user's thread, and nothing more of that user is closed.
 */
#include "closer.h"

#include "base/sys.h"

#include <bsd/sys/queue.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { WORKERS_MAX = 16, PATIENCE_NS = 1000000, STACK = 256 * 1024, SIGNAL = SIGALRM };

struct owner {
	int64_t whose;
	bool busy;
	int *fd;
	size_t nr, room;
	TAILQ_ENTRY(owner) all;
};

struct closer {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	TAILQ_HEAD(, owner) owners;
	unsigned int nr_workers, nr_idle, nr_busy;	/* busy: with what a user sent */
	bool ending;
};

static void on_signal(int sig)
{
	(void)sig;
}

struct closer *closer_new(void)
{
	struct sigaction act = { .sa_handler = on_signal };	/* no SA_RESTART */
	struct closer *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	sigaction(SIGNAL, &act, NULL);
	TAILQ_INIT(&c->owners);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work, NULL);
	pthread_cond_init(&c->done, NULL);
	return c;
}

/* ------------------------------------------------------------------ a thread */

/* Something that no other thread is at, and, of users' things, while one thread is left for connections. */
static struct owner *next_locked(struct closer *c)
{
	struct owner *o;

	TAILQ_FOREACH (o, &c->owners, all) {
		if (!o->busy && (o->whose == CLOSER_CONNECTIONS || c->nr_busy < WORKERS_MAX - 1))
			return o;
	}
	return NULL;
}

/* With the lock held, but for the closing. */
static void close_locked(struct closer *c, struct owner *o, timer_t timer, bool timed)
{
	const struct itimerspec impatient = { .it_value.tv_nsec = PATIENCE_NS, .it_interval.tv_nsec = PATIENCE_NS }, off = { 0 };
	unsigned int counts = o->whose != CLOSER_CONNECTIONS;
	int *fd = o->fd;
	size_t nr = o->nr;

	o->fd = NULL;
	o->nr = o->room = 0;
	o->busy = true;
	c->nr_busy += counts;
	pthread_mutex_unlock(&c->lock);
	if (timed)
		timer_settime(timer, 0, &impatient, NULL);
	for (size_t i = 0; i < nr; i++)
		ismi_sys_close_slowly(fd[i]);
	if (timed)
		timer_settime(timer, 0, &off, NULL);
	free(fd);
	pthread_mutex_lock(&c->lock);
	c->nr_busy -= counts;
	o->busy = false;
	if (o->nr == 0) {
		TAILQ_REMOVE(&c->owners, o, all);
		free(o);
	}
}

static void *worker_main(void *arg)
{
	struct closer *c = arg;
	struct owner *o;
	timer_t timer = 0;
	sigset_t set;

	bool timed = ismi_sys_thread_timer(SIGNAL, &timer) == 0;
	sigemptyset(&set);
	sigaddset(&set, SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	pthread_mutex_lock(&c->lock);
	for (;;) {
		while ((o = next_locked(c)) != NULL)
			close_locked(c, o, timer, timed);
		if (c->ending)
			break;
		c->nr_idle++;
		pthread_cond_wait(&c->work, &c->lock);
		c->nr_idle--;
	}
	c->nr_workers--;
	pthread_cond_signal(&c->done);
	pthread_mutex_unlock(&c->lock);
	if (timed)
		timer_delete(timer);
	return NULL;
}

/* If there is none, the next descriptor tries again. */
static void worker_start_locked(struct closer *c)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&thread, &attr, worker_main, c) == 0)
		c->nr_workers++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

/* ------------------------------------------------------------------ what is to be closed */

static struct owner *find_locked(struct closer *c, int64_t whose)
{
	struct owner *o;

	TAILQ_FOREACH (o, &c->owners, all) {
		if (o->whose == whose)
			return o;
	}
	return NULL;
}

static bool put_locked(struct closer *c, int64_t whose, int fd)
{
	struct owner *o = find_locked(c, whose);

	if (o == NULL) {
		o = calloc(1, sizeof *o);
		if (o == NULL)
			return false;
		o->whose = whose;
		TAILQ_INSERT_TAIL(&c->owners, o, all);
	}
	if (o->nr == o->room) {
		size_t room = o->room ? 2 * o->room : 16;
		int *more = realloc(o->fd, room * sizeof *more);
		if (more == NULL)
			return false;	/* an owner without anything goes when a thread comes across it */
		o->fd = more;
		o->room = room;
	}
	o->fd[o->nr++] = fd;
	return true;
}

void closer_add(struct closer *c, int64_t whose, int fd)
{
	if (fd < 0)
		return;
	pthread_mutex_lock(&c->lock);
	bool put = put_locked(c, whose, fd);
	if (c->nr_idle > 0)
		pthread_cond_signal(&c->work);
	else if (c->nr_workers < WORKERS_MAX)
		worker_start_locked(c);
	pthread_mutex_unlock(&c->lock);
	if (!put)
		ismi_sys_close_slowly(fd);	/* out of memory: others may have to wait */
}

size_t closer_waiting(struct closer *c, int64_t whose)
{
	pthread_mutex_lock(&c->lock);
	const struct owner *o = find_locked(c, whose);
	size_t nr = o == NULL ? 0 : o->nr;
	pthread_mutex_unlock(&c->lock);
	return nr;
}

void closer_end(struct closer *c)
{
	struct timespec until;
	bool all;

	if (c == NULL)
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	pthread_mutex_lock(&c->lock);
	c->ending = true;
	pthread_cond_broadcast(&c->work);
	while (c->nr_workers > 0 && pthread_cond_timedwait(&c->done, &c->lock, &until) == 0)
		;
	all = c->nr_workers == 0;
	pthread_mutex_unlock(&c->lock);
	if (!all)
		return;		/* what is left is still used */
	pthread_cond_destroy(&c->done);
	pthread_cond_destroy(&c->work);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * host.c - a domain that this process hosts in a thread, and what tests ask for.
 */
#include "host.h"

#include "seat.h"

#include "base/atomics.h"
#include "base/sys.h"

#include <errno.h>
#include <ism.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct host {
	struct host_seat seat;
	struct server server;
	pthread_t thread;
	unsigned int refs, fork_count;
	bool joined;
	/* The thread closes everything when it dies: the lock keeps its last breath from server_stop(). */
	pthread_mutex_t death;
	_Atomic bool dead;
	/* Whose log the host uses, as long as that is there; then the environment's. */
	pthread_mutex_t log_lock;
	const struct ismi_log *log;
	struct ismi_log own_log;
	LIST_ENTRY(host) all;
};

/*
 * The domains that this process hosts.  A record lock belongs to the process
 * and ends when any descriptor of its file is closed, so nobody may as much as open
 * the lock file of a domain in this list: hence one mutex around it all.
 */
static struct {
	pthread_mutex_t lock;
	LIST_HEAD(, host) list;
	LIST_HEAD(, host_profile) profiles;
	pthread_once_t once;
} hosts = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

/* ------------------------------------------------------------------ fork */

static void fork_prepare(void)
{
	pthread_mutex_lock(&hosts.lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&hosts.lock);
}

/* The child hosts nothing: it has neither the thread nor the lock, and its descriptors are closed. */
static void fork_child(void)
{
	LIST_INIT(&hosts.list);
	pthread_mutex_unlock(&hosts.lock);
}

static void fork_init(void)
{
	ismi_fork_init();
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static void hosts_lock(void)
{
	pthread_once(&hosts.once, fork_init);
	pthread_mutex_lock(&hosts.lock);
}

/* ------------------------------------------------------------------ what tests ask for */

void host_profile_add(struct host_profile *p)
{
	hosts_lock();
	LIST_INSERT_HEAD(&hosts.profiles, p, all);
	pthread_mutex_unlock(&hosts.lock);
}

void host_profile_del(struct host_profile *p)
{
	hosts_lock();
	LIST_REMOVE(p, all);
	pthread_mutex_unlock(&hosts.lock);
}

static const struct host_profile *profile_locked(const char *name)
{
	const struct host_profile *p;

	LIST_FOREACH (p, &hosts.profiles, all) {
		if (strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

void host_profile_quotas(const char *name, struct model_quota *device, struct model_quota *user)
{
	hosts_lock();
	const struct host_profile *p = profile_locked(name);
	if (p != NULL) {
		*device = p->device_quota;
		*user = p->user_quota;
	}
	pthread_mutex_unlock(&hosts.lock);
}

static int profile_faults_locked(const char *name, struct faults **ret)
{
	const struct host_profile *p = profile_locked(name);

	if (p == NULL)
		return faults_from_env(ret);
	*ret = faults_get(p->faults);
	return 0;
}

int host_profile_faults(const char *name, struct faults **ret)
{
	hosts_lock();
	int r = profile_faults_locked(name, ret);
	pthread_mutex_unlock(&hosts.lock);
	return r;
}

/* ------------------------------------------------------------------ in this process */

int host_may_embed(const char *path)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)] = ".";
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (slash != NULL)
		snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	int r = ismi_sys_stat(dir, &st);
	if (r < 0)
		return ismi_fail(r, "no host at %s, and its directory cannot be used: %s", path, strerror(-r));
	if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return ismi_fail(-EHOSTDOWN,
				 "no host at %s, and this process may not become it: %s belongs to uid %u with mode %03o, "
				 "expected uid %u and no write permission for others; start ismd there",
				 path, dir, (unsigned int)st.st_uid, (unsigned int)st.st_mode & 0777,
				 (unsigned int)geteuid());
	return 0;
}

static void *host_main(void *arg)
{
	struct host *h = arg;

	server_run(&h->server);
	if (!ismi_load_relaxed(&h->server.died))
		return NULL;
	/* What the kernel does for a process that was killed: the names stay behind. */
	pthread_mutex_lock(&h->death);
	server_fini(&h->server, true);
	ismi_sys_close(h->seat.lock_fd);
	/* Last: who finds it dead may take the lock, which any closing of its file would release. */
	ismi_store_release(&h->dead, true);
	pthread_mutex_unlock(&h->death);
	return NULL;
}

/* The thread that serves the others takes no signals: they are the program's. */
static int thread_start(struct host *h)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = pthread_create(&h->thread, NULL, host_main, h);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		/* Not with its own code: EAGAIN says that another process hosts. */
		return ismi_fail(-ENOMEM, "cannot start the host's thread: %s", strerror(r));
	pthread_setname_np(h->thread, "ism-host");
	return 0;
}

static struct host *find_locked(const char *path)
{
	struct host *h;

	LIST_FOREACH (h, &hosts.list, all) {
		/* Pairs with the release in host_main(). */
		if (strcmp(h->seat.path, path) == 0 && !ismi_load_acquire(&h->dead))
			return h;
	}
	return NULL;
}

static void sink(void *data, int level, const char *subsystem, const char *message)
{
	struct host *h = data;

	pthread_mutex_lock(&h->log_lock);
	ismi_log_msg(h->log != NULL ? h->log : &h->own_log, level, subsystem, "%s", message);
	pthread_mutex_unlock(&h->log_lock);
}

void host_log_ends(struct host *h, const struct ismi_log *log)
{
	if (h == NULL || h->fork_count != ismi_fork_count)
		return;
	hosts_lock();
	pthread_mutex_lock(&h->log_lock);
	if (h->refs > 1 && h->log == log)
		h->log = NULL;
	pthread_mutex_unlock(&h->log_lock);
	pthread_mutex_unlock(&hosts.lock);
}

static int embed_locked(const char *path, const struct ismi_log *log, struct host **ret)
{
	struct server_opts opts = { .gid = domain_gid(path), .host_kind = ISM_HOST_EMBEDDED, .own_user_only = true,
				    .log = *log };
	struct host *h = calloc(1, sizeof *h);
	int holder, r;

	if (h == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	pthread_mutex_init(&h->death, NULL);
	pthread_mutex_init(&h->log_lock, NULL);
	if (log->sink != NULL) {	/* a program's, with its data: it may go before the host does */
		h->log = log;
		ismi_log_from_env(&h->own_log);
		opts.log = (struct ismi_log){ .level = log->level, .sink = sink, .data = h };
	}
	r = profile_faults_locked(path, &opts.faults);
	if (r == 0)
		r = host_seat_take(&h->seat, path, 0600, (gid_t)-1, &holder);
	if (r < 0)
		goto err_free;
	server_default_quotas(&opts);
	const struct host_profile *p = profile_locked(path);
	if (p != NULL) {
		opts.device_quota = p->device_quota;
		opts.user_quota = p->user_quota;
	}
	r = server_init(&h->server, &opts, h->seat.listen_fd);
	if (r < 0) {
		ismi_fail(r, "cannot host %s: %s", path, strerror(-r));
		goto err_seat;
	}
	h->seat.listen_fd = -1;	/* the server's now */
	r = thread_start(h);
	if (r < 0)
		goto err_server;
	h->refs = 1;
	h->fork_count = ismi_fork_count;
	LIST_INSERT_HEAD(&hosts.list, h, all);
	ismi_info(log, "host", "hosting %s", path);
	*ret = h;
	return 0;

err_server:
	server_fini(&h->server, true);
err_seat:
	host_seat_leave(&h->seat);
err_free:
	faults_put(opts.faults);
	pthread_mutex_destroy(&h->log_lock);
	pthread_mutex_destroy(&h->death);
	free(h);
	return r;
}

int host_embed(const char *path, const struct ismi_log *log, struct host **ret)
{
	int r = host_may_embed(path);

	if (r < 0)
		return r;
	hosts_lock();
	struct host *h = find_locked(path);
	if (h != NULL) {
		h->refs++;
		*ret = h;
	} else {
		r = embed_locked(path, log, ret);
	}
	pthread_mutex_unlock(&hosts.lock);
	return r;
}

struct host *host_get(const char *path)
{
	hosts_lock();
	struct host *h = find_locked(path);
	if (h != NULL)
		h->refs++;
	pthread_mutex_unlock(&hosts.lock);
	return h;
}

/* End the thread; @how: server_stop() or server_die().  The list's lock is held. */
static void end_locked(struct host *h, void (*how)(struct server *s))
{
	if (h->joined)
		return;
	pthread_mutex_lock(&h->death);
	if (!ismi_load_relaxed(&h->dead))
		how(&h->server);
	pthread_mutex_unlock(&h->death);
	pthread_join(h->thread, NULL);
	h->joined = true;
}

void host_kill(struct host *h)
{
	if (h->fork_count != ismi_fork_count)
		return;
	hosts_lock();
	end_locked(h, server_die);
	pthread_mutex_unlock(&hosts.lock);
}

void host_put(struct host *h)
{
	if (h == NULL || h->fork_count != ismi_fork_count)
		return;		/* in a forked child the thread is not ours to join */
	hosts_lock();
	if (--h->refs == 0) {
		LIST_REMOVE(h, all);
		end_locked(h, server_stop);
		ismi_info(&h->server.opts.log, "host", "no longer hosting %s", h->seat.path);
		if (!ismi_load_relaxed(&h->dead)) {
			/* The name goes first: who comes now finds no socket, waits for the lock, and becomes the host. */
			host_seat_leave(&h->seat);
			server_fini(&h->server, true);
		}
		faults_put(h->server.opts.faults);
		pthread_mutex_destroy(&h->log_lock);
		pthread_mutex_destroy(&h->death);
		free(h);
	}
	pthread_mutex_unlock(&hosts.lock);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * loop.c - a private domain inside the process.
 *
 * The same model, control commands and doorbells as between processes, called
 * directly under one lock: no socket, no thread, no file.  Devices opened with
 * the same name share a domain.
 */
#include "backends/loop/loop.h"
#include "backends/port.h"
#include "host.h"
#include "internal.h"
#include "port.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct loop_domain {
	struct domain domain;
	pthread_mutex_t lock;		/* over the domain; innermost of all locks */
	char name[sizeof(((struct ism_info *)0)->path)];
	unsigned int refs, fork_count;
	unsigned int wakes;		/* by the ring under way */
	struct faults *faults;		/* of a test; NULL */
	_Atomic bool dead;		/* for a test: as if there had been a host, and it died */
	LIST_ENTRY(loop_domain) all;
};

struct loop_device {
	struct port port;		/* the host's end */
	struct ismi_port_end end;	/* ours */
	struct loop_domain *dom;
	struct ism_device *dev;
	int reply_vector;
	_Atomic bool kicked;		/* off its domain */
};

static struct {
	pthread_mutex_t lock;
	LIST_HEAD(, loop_domain) list;
	pthread_once_t once;
} domains = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

/* ------------------------------------------------------------------ fork */

/*
 * All locks are held over a fork, so that the child has whole domains, if only
 * to free them: domains are private to a process, and it finds none of these.
 */
static void fork_prepare(void)
{
	struct loop_domain *dom;

	pthread_mutex_lock(&domains.lock);
	LIST_FOREACH (dom, &domains.list, all)
		pthread_mutex_lock(&dom->lock);
}

static void fork_done(void)
{
	struct loop_domain *dom;

	LIST_FOREACH (dom, &domains.list, all)
		pthread_mutex_unlock(&dom->lock);
	pthread_mutex_unlock(&domains.lock);
}

static void fork_init(void)
{
	pthread_atfork(fork_prepare, fork_done, fork_done);
}

/* ------------------------------------------------------------------ the host's end */

/* The slot's owner sleeps in epoll_wait(), or somebody polls for it. */
static void wake_device(struct port *port)
{
	struct loop_device *l = (struct loop_device *)port;

	l->dom->wakes++;
	ismi_sys_wake_event(l->dev->kick_fd);
}

static enum ismi_status make_vector(struct front *front, struct model_ref *ref, bool on)
{
	struct loop_device *l = (struct loop_device *)front;

	return port_vector(ref, on, &l->reply_vector);
}

/* Another handle's thread does this: what its own threads are to do about it they do in loop_poll(). */
static void take_off(struct front *front, uint64_t by)
{
	struct loop_device *l = (struct loop_device *)front;

	(void)by;
	domain_del(&l->dom->domain, front);
	port_fini(&l->port);
	/* Pairs with the acquire in loop_poll(): the last events have been written. */
	ismi_store_release(&l->kicked, true);
	ismi_sys_wake_event(l->dev->kick_fd);
}

static const struct front_ops loop_front = {
	.ref_begin = port_ref_begin,
	.ref_end = port_ref_end,
	.event = port_event,
	.ring = port_ring,
	.vector = make_vector,
	.event_position = port_event_position,
	.kick = take_off,
};

/* ------------------------------------------------------------------ open, close */

static struct loop_domain *find_locked(const char *name)
{
	struct loop_domain *dom;

	LIST_FOREACH (dom, &domains.list, all) {
		if (dom->fork_count == ismi_fork_count && strcmp(dom->name, name) == 0 && !ismi_load_relaxed(&dom->dead))
			return dom;
	}
	return NULL;
}

/* Without domains.lock: it asks the list of hosts, and a fork takes that one's lock first. */
static int domain_new(const char *name, struct loop_domain **ret)
{
	struct loop_domain *dom = calloc(1, sizeof *dom);
	char profile[sizeof dom->name + sizeof LOOP_PROFILE];
	int r = 0;

	if (dom == NULL)
		return ismi_fail(-ENOMEM, "out of memory");
	snprintf(profile, sizeof profile, LOOP_PROFILE "%s", name);
	r = host_profile_faults(profile, &dom->faults);
	if (r < 0) {
		free(dom);
		return r;
	}
	domain_init(&dom->domain, domain_gid_random(), ISM_HOST_PRIVATE, geteuid());
	host_profile_quotas(profile, &dom->domain.model.device_quota, &dom->domain.model.user_quota);
	pthread_mutex_init(&dom->lock, NULL);
	dom->fork_count = ismi_fork_count;
	strlcpy(dom->name, name, sizeof dom->name);
	*ret = dom;
	return 0;
}

static void domain_free(struct loop_domain *dom)
{
	domain_fini(&dom->domain);
	pthread_mutex_destroy(&dom->lock);
	faults_put(dom->faults);
	free(dom);
}

/* The domain of that name, or else @mine, if there is one, which then becomes it. */
static struct loop_domain *find_or_add(const char *name, struct loop_domain *mine)
{
	pthread_mutex_lock(&domains.lock);
	struct loop_domain *dom = find_locked(name);
	if (dom == NULL && mine != NULL) {
		LIST_INSERT_HEAD(&domains.list, mine, all);
		dom = mine;
	}
	if (dom != NULL)
		dom->refs++;
	pthread_mutex_unlock(&domains.lock);
	return dom;
}

static int domain_get(const char *name, struct loop_domain **ret)
{
	struct loop_domain *dom, *mine = NULL;

	pthread_once(&domains.once, fork_init);
	dom = find_or_add(name, NULL);
	if (dom == NULL) {
		int r = domain_new(name, &mine);
		if (r < 0)
			return r;
		dom = find_or_add(name, mine);
		if (dom != mine)	/* another thread was faster */
			domain_free(mine);
	}
	*ret = dom;
	return 0;
}

static void domain_put(struct loop_domain *dom)
{
	pthread_mutex_lock(&domains.lock);
	if (--dom->refs == 0) {
		LIST_REMOVE(dom, all);
		domain_free(dom);
	}
	pthread_mutex_unlock(&domains.lock);
}

static void memory_free(struct loop_device *l)
{
	if (l->port.state != NULL)
		ismi_sys_munmap(l->port.state, sizeof *l->port.state);
	if (l->port.line != NULL)
		ismi_sys_munmap(l->port.line, sizeof *l->port.line);
	free(l);
}

static int memory_new(size_t size, void *ret)
{
	/* Most of it is never touched: pages come when they are. */
	return ismi_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, ret);
}

/* A device with its memory, in its domain, but not of it yet. */
static int loop_new(const char *name, struct loop_device **ret)
{
	struct loop_device *l = calloc(1, sizeof *l);
	int r = -ENOMEM;

	if (l == NULL || memory_new(sizeof *l->port.state, &l->port.state) < 0 ||
	    memory_new(sizeof *l->port.line, &l->port.line) < 0)
		ismi_fail(r, "out of memory");
	else
		r = domain_get(name, &l->dom);
	if (r == 0)
		*ret = l;
	else if (l != NULL)
		memory_free(l);
	return r;
}

static int loop_open(struct ism_device *dev, const char *address, const struct ism_open_opts *opts)
{
	struct loop_device *l = NULL;
	int r;

	(void)opts;
	if (strlen(address) >= sizeof dev->info.path)
		return ismi_fail(-ENAMETOOLONG, "loop:%.32s...: a name may have %zu bytes", address, sizeof dev->info.path - 1);
	r = loop_new(address, &l);
	if (r < 0)
		return r;
	struct ismi_state *state = l->port.state;
	struct ismi_line *line = l->port.line;
	l->dev = dev;
	l->reply_vector = -1;
	port_init(&l->port, &loop_front, state, line, wake_device);
	l->end = (struct ismi_port_end){ .state = state, .line = line };
	pthread_mutex_lock(&l->dom->lock);
	enum ismi_status status = domain_add(&l->dom->domain, &l->port.front, geteuid(), dev->window.size);
	if (status == ISMI_OK)
		l->port.front.dev->pid = getpid();
	pthread_mutex_unlock(&l->dom->lock);
	if (status != ISMI_OK) {
		domain_put(l->dom);
		memory_free(l);
		return status == ISMI_ENOSPC ? ismi_fail(-ENOSPC, "loop:%s takes no more devices", address)
					     : ismi_fail(-ENOMEM, "out of memory");
	}
	dev->priv = l;
	dev->info.gid = l->dom->domain.model.gid;
	dev->info.devid = l->port.front.dev->devid;
	dev->info.chunk_size = ISMI_CHUNK;
	dev->info.window_size = dev->info.max_region = dev->window.size;
	dev->info.max_regions = ISMI_SLOTS;
	dev->info.host = ISM_HOST_PRIVATE;
	dev->info.host_pid = getpid();
	dev->info.features = 1 << ISMI_F_EXT;
	strlcpy(dev->info.path, address, sizeof dev->info.path);
	return 0;
}

static void loop_close(struct ism_device *dev, bool forked)
{
	struct loop_device *l = dev->priv;

	(void)forked;	/* all of it is memory, and the child's own copy */
	pthread_mutex_lock(&l->dom->lock);
	domain_del(&l->dom->domain, &l->port.front);
	pthread_mutex_unlock(&l->dom->lock);
	port_fini(&l->port);
	domain_put(l->dom);
	memory_free(l);
}

/* ------------------------------------------------------------------ control */

static int host_gone(const struct ism_device *dev)
{
	return ismi_fail(-EHOSTDOWN, "the host of loop:%s is gone", dev->info.path);
}

/* The whole domain sees its host die, and whoever sleeps learns of it. */
static void kill_domain(struct loop_domain *dom)
{
	const struct model_device *d;

	ismi_store_release(&dom->dead, true);
	pthread_mutex_lock(&dom->lock);
	TAILQ_FOREACH (d, &dom->domain.model.devices, all)
		ismi_sys_wake_event(((struct loop_device *)d->front)->dev->kick_fd);
	pthread_mutex_unlock(&dom->lock);
}

static void loop_die(struct ism_device *dev)
{
	kill_domain(((struct loop_device *)dev->priv)->dom);
}

void loop_kill(const char *name)
{
	pthread_once(&domains.once, fork_init);
	pthread_mutex_lock(&domains.lock);
	struct loop_domain *dom = find_locked(name);
	if (dom != NULL)
		kill_domain(dom);
	pthread_mutex_unlock(&domains.lock);
}

/* What a test wants to happen to a command: 0 to go on. */
static int command_fault(struct ism_device *dev, struct loop_domain *dom)
{
	struct fault f = faults_pass(dom->faults, FAULT_HOST);

	if (f.action == FAULT_DIE)
		kill_domain(dom);
	if (ismi_load_acquire(&dom->dead))
		return host_gone(dev);
	if (f.action == FAULT_DROP)
		ismi_sleep_ns(dev->timeout_ns);
	else if (f.action == FAULT_DELAY)
		ismi_sleep_ns(f.delay_ns);
	return f.action == FAULT_DROP ? ismi_fail(-ETIMEDOUT, "the host of loop:%s did not answer", dev->info.path) : 0;
}

static void copies_free(struct store **copies, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		store_free(copies[i]);
}

/*
 * The device gets descriptors of its own, and gives such: its regions may end at
 * any time, while this end has yet to map them.
 */
static int copies_make(const struct ismi_command *c, struct store **copies)
{
	for (uint32_t i = 0; i < c->nr_memory; i++) {
		copies[i] = malloc(sizeof *copies[i]);
		int r = copies[i] == NULL ? ismi_fail(-ENOMEM, "out of memory") : store_copy(copies[i], c->memory[i]);
		if (r < 0) {
			free(copies[i]);
			copies_free(copies, i);
			return r;
		}
	}
	return 0;
}

static int attached_fd(const struct control_call *call, uint32_t i)
{
	const struct store *memory = call->ref[i]->region->memory;
	int fd = ismi_sys_dup(memory->fd);	/* mapped as the rights are, and closed: nobody else sees it */

	/* With -EMFILE the driver gives back what it cannot have. */
	return fd < 0 ? ismi_fail(-EMFILE, "no descriptor left for a region") : fd;
}

static int carry_out(struct ism_device *dev, struct ismi_command *c, struct control_call *call)
{
	struct loop_device *l = dev->priv;

	if (ismi_load_relaxed(&l->kicked))
		return host_gone(dev);
	call->dev = l->port.front.dev;
	c->len = domain_control(&l->dom->domain, call, c->req, c->req_len, c->reply, c->cap);
	if (l->reply_vector >= 0) {
		c->fds[c->nr_fds++] = l->reply_vector;
		l->reply_vector = -1;
	}
	for (uint32_t i = 0; i < call->nr_refs && c->nr_memory == 0 && c->nr_fds <= i; i++) {
		int fd = attached_fd(call, i);
		if (fd < 0) {
			ismi_command_close(c);
			return fd;
		}
		c->fds[c->nr_fds++] = fd;
	}
	return 0;
}

static int loop_command(struct ism_device *dev, struct ismi_command *c)
{
	struct loop_device *l = dev->priv;
	struct store *copies[ISMI_BATCH_MAX];
	struct control_call call = { .now = ismi_now_ns(), .memory = copies, .nr_memory = c->nr_memory };
	int r = command_fault(dev, l->dom);

	if (r == 0)
		r = copies_make(c, copies);
	if (r < 0)
		return r;
	/* Failed attaches are not slowed down here: in one process there is nobody to guard against. */
	pthread_mutex_lock(&l->dom->lock);
	r = carry_out(dev, c, &call);
	pthread_mutex_unlock(&l->dom->lock);
	copies_free(copies, c->nr_memory);
	return r;
}

/* ------------------------------------------------------------------ doorbells */

static int loop_notify(struct ism_device *dev, struct ismi_ref *ref)
{
	struct loop_device *l = dev->priv;
	struct loop_domain *dom = l->dom;

	pthread_mutex_lock(&dom->lock);
	struct model_ref *from = ref->mem.slot < l->port.nr_slots ? l->port.ref[ref->mem.slot] : NULL;
	if (from != NULL && model_peers(from) > 0) {
		dom->wakes = 0;
		domain_ring(from);
		ismi_count(&dev->count.rings_direct, model_peers(from));
		ismi_count(&dev->count.wakes_sent, dom->wakes);
		ismi_count(&dev->count.wakes_suppressed, model_peers(from) - dom->wakes);
	}
	pthread_mutex_unlock(&dom->lock);
	return ismi_load_relaxed(&l->kicked) ? host_gone(dev) : 0;
}

/* Has it lost its host, or its host it? */
static bool is_gone(const struct loop_device *l)
{
	/* Pairs with the releases in kill_domain() and take_off(). */
	return ismi_load_acquire(&l->dom->dead) || ismi_load_acquire(&l->kicked);
}

static void loop_poll(struct ism_device *dev)
{
	struct loop_device *l = dev->priv;

	bool gone = is_gone(l);
	ismi_port_poll(dev, &l->end);
	if (gone)
		ismi_deliver_reset(dev);
}

static bool loop_arm(struct ism_device *dev)
{
	struct loop_device *l = dev->priv;

	/* Its end wakes through the kick descriptor, which is read after this. */
	return ismi_port_arm(&l->end) && (dev->reset || !is_gone(l));
}

static void loop_disarm(struct ism_device *dev)
{
	struct loop_device *l = dev->priv;

	ismi_port_disarm(&l->end);
}

static void loop_fired(struct ism_device *dev, uint64_t data, uint32_t events)
{
	(void)dev;	/* a loop device has no descriptors but the core's */
	(void)data;
	(void)events;
}

static bool loop_reachable(struct ism_device *dev, const struct ismi_ref *ref)
{
	const struct loop_device *l = dev->priv;

	(void)ref;
	return !ismi_load_relaxed(&l->kicked);
}

static void loop_ref_end(struct ism_device *dev, struct ismi_ref *ref)
{
	(void)dev;
	(void)ref;
}

static void loop_housekeep(struct ism_device *dev)
{
	(void)dev;
}

const struct ismi_backend ismi_backend_loop = {
	.size = sizeof(struct ismi_backend),
	.name = "loop",
	.version = ISMI_BACKEND_VERSION,
	.open = loop_open,
	.close = loop_close,
	.alloc = ismi_driver_alloc,
	.pools = true,
	.one_kernel = true,
	.own_memory = true,
	.attach = ismi_driver_attach,
	.detach = ismi_driver_detach,
	.attach_many = ismi_driver_attach_many,
	.detach_many = ismi_driver_detach_many,
	.replace = ismi_driver_replace,
	.successor = ismi_driver_successor,
	.shut_out = ismi_driver_shut_out,
	.grant = ismi_driver_grant,
	.peers = ismi_driver_peers,
	.vector = ismi_driver_vector,
	.command = loop_command,
	.housekeep = loop_housekeep,
	.notify = loop_notify,
	.poll = loop_poll,
	.arm = loop_arm,
	.disarm = loop_disarm,
	.fired = loop_fired,
	.reachable = loop_reachable,
	.ref_end = loop_ref_end,
	.die = loop_die,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * put.c - ism put: offer a file.
 *
 * The main thread minds the door (transfer.h): who comes gets a seat and a
 * thread that sends.  A seat is free again when its getter has let go of the door,
 * so that nobody is taken for a newcomer twice.
 */
#include "send.h"
#include "tool.h"
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct offer {
	struct ism_device *dev;
	struct ism_region *door;
	const char *path;	/* NULL: standard input */
	bool taken;		/* without --keep: somebody has it */
	bool crowded;		/* somebody came and found no seat */
	bool lost;		/* we may have missed who came, or went */
	bool reset;		/* the host is gone: nobody comes any more */
	int status;		/* of the only transfer; -1: not over yet */
};

static bool keep, machine, quiet;
static struct guest guests[TRANSFER_SEATS];

/* ------------------------------------------------------------------ signals */

/*
 * An end by a signal is an orderly one, since we may host the domain.  The
 * signals are blocked, and a thread waits for them.
 */
static struct {
	sigset_t set;
	pthread_mutex_t lock;
	struct ism_device *dev;		/* to be interrupted; NULL: too late for that */
	_Atomic int caught;
} ending = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *await_signal(void *arg)
{
	int sig;

	(void)arg;
	while (sigwait(&ending.set, &sig) != 0)
		;
	atomic_store(&ending.caught, sig);
	for (;;) {	/* until the main thread, which may be about to wait, has heard it */
		pthread_mutex_lock(&ending.lock);
		if (ending.dev != NULL)
			ism_interrupt(ending.dev);
		pthread_mutex_unlock(&ending.lock);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return NULL;
}

/* Those that end a program, unless whoever started us wants them to be ignored. */
static void hold_signals(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction now;

	sigemptyset(&ending.set);
	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
		if (sigaction(ends[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaddset(&ending.set, ends[i]);
	}
	pthread_sigmask(SIG_BLOCK, &ending.set, NULL);
}

static int watch_signals(struct ism_device *dev)
{
	pthread_t thread;

	ending.dev = dev;
	int r = pthread_create(&thread, NULL, await_signal, NULL);
	if (r != 0) {
		tool_say("cannot start a thread: %s", strerror(r));
		return TOOL_FAILED;
	}
	pthread_detach(thread);
	return 0;
}

/* The device is about to go.  Ends the program by the signal that asked for it, if one did. */
static void close_device(struct ism_device *dev)
{
	int sig;

	pthread_mutex_lock(&ending.lock);
	ending.dev = NULL;
	pthread_mutex_unlock(&ending.lock);
	ism_close(dev);
	sig = atomic_load(&ending.caught);
	if (sig == 0)
		return;
	raise(sig);
	pthread_sigmask(SIG_UNBLOCK, &ending.set, NULL);
}

/* ------------------------------------------------------------------ seats */

static int source_open(const struct offer *o)
{
	int fd = o->path == NULL ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(o->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		tool_say("cannot open %s: %s", o->path ? o->path : "standard input", strerror(errno));
	return fd;
}

static struct guest *find_guest(uint64_t devid)
{
	for (unsigned int i = 0; i < TRANSFER_SEATS; i++) {
		if (guests[i].state != GUEST_NONE && guests[i].devid == devid)
			return &guests[i];
	}
	return NULL;
}

static struct guest *free_seat(void)
{
	for (unsigned int i = 0; i < TRANSFER_SEATS; i++) {
		if (guests[i].state == GUEST_NONE)
			return &guests[i];
	}
	return NULL;
}

/* Say in the door what the getter on this seat is to do. */
static void show_seat(struct offer *o, const struct guest *g, uint64_t token)
{
	struct transfer_door *door = ism_region_addr(o->door);
	struct transfer_seat *seat = &door->seat[g - guests];

	atomic_store(&seat->token, token);
	atomic_store(&seat->devid, token == 0 ? 0 : g->devid);
	ism_region_notify(o->door);
}

static uint32_t door_rights(void)
{
	return ISM_READ | ISM_ATTACH | (machine ? ISM_WRITE : 0);
}

/*
 * The first getter is the only one: nobody else finds the door any more.  It keeps
 * its rights: a virtual machine's window shows nothing without.
 */
static int shut_door(struct offer *o, uint64_t devid)
{
	struct transfer_door *door = ism_region_addr(o->door);
	int r;

	/* First this, while those who came too late can still be rung. */
	atomic_store(&door->closed, 1);
	ism_region_notify(o->door);
	r = ism_region_grant(o->door, devid, door_rights());
	if (r == 0 || r == -ENOENT)	/* it may have left already */
		r = ism_region_grant_default(o->door, 0);
	return r < 0 ? tool_fail(r, "cannot close the default right") : 0;
}

/* Somebody is at the door: give it a ring, or say that it gets none. */
static void welcome(struct offer *o, uint64_t devid)
{
	struct guest *g = free_seat();

	if (find_guest(devid) != NULL || (o->taken && !keep))
		return;
	if (g == NULL) {
		o->crowded = true;
		return;
	}
	*g = (struct guest){ .dev = o->dev, .path = o->path ? o->path : "standard input", .devid = devid,
			     .quiet = quiet || keep, .state = GUEST_LEAVING };
	g->fd = source_open(o);
	int r = g->fd < 0 ? TOOL_FAILED : send_start(g);
	if (r == 0) {
		g->state = GUEST_SERVED;
		o->taken = true;
		show_seat(o, g, ism_region_token(g->region));
		if (!keep && shut_door(o, devid) != 0)
			o->status = TOOL_FAILED;
		return;
	}
	if (g->fd >= 0)
		close(g->fd);
	if (r == -ENOENT) {	/* it has left already: we wait for the next */
		g->state = GUEST_NONE;
		return;
	}
	show_seat(o, g, TRANSFER_REFUSED);
	if (!keep)
		o->status = TOOL_FAILED;
}

/* It lets go of the door: it has all, or has given up, or is dead. */
static void left(struct offer *o, uint64_t devid)
{
	struct guest *g = find_guest(devid);

	if (g == NULL)
		return;
	if (g->state == GUEST_SERVED) {
		send_gone(g);
		return;
	}
	g->state = GUEST_NONE;
	show_seat(o, g, 0);
}

static bool is_listed(const uint64_t *ids, int nr, uint64_t devid)
{
	for (int i = 0; i < nr; i++) {
		if (ids[i] == devid)
			return true;
	}
	return false;
}

/* Look who is at the door: newcomers that found no seat, and leavers that we did not hear. */
static int look_around(struct offer *o)
{
	static uint64_t ids[4096];
	int nr = ism_region_peers(o->door, ids, sizeof ids / sizeof ids[0]);

	if (nr == -EHOSTDOWN)
		return 0;	/* said by an event as well */
	if (nr < 0)
		return tool_fail(nr, "cannot list who is at the door");
	if ((size_t)nr > sizeof ids / sizeof ids[0])
		nr = sizeof ids / sizeof ids[0];
	o->crowded = o->lost = false;
	for (unsigned int i = 0; i < TRANSFER_SEATS; i++) {
		if (guests[i].state != GUEST_NONE && !is_listed(ids, nr, guests[i].devid))
			left(o, guests[i].devid);
	}
	for (int i = 0; i < nr; i++)
		welcome(o, ids[i]);
	return 0;
}

/* Reap the transfers that are over.  Whether any is under way still. */
static bool reap(struct offer *o, bool all)
{
	bool busy = false;

	for (unsigned int i = 0; i < TRANSFER_SEATS; i++) {
		struct guest *g = &guests[i];
		if (g->state != GUEST_SERVED)
			continue;
		if (!all && !atomic_load(&g->done)) {
			busy = true;
			continue;
		}
		if (all)
			send_stop(g);
		bool failed = send_end(g);
		close(g->fd);
		g->state = GUEST_LEAVING;
		if (!keep)
			o->status = failed ? TOOL_FAILED : TOOL_OK;
		if (atomic_load(&g->gone))	/* it let go of the door before this, and will not be heard of again */
			left(o, g->devid);
	}
	return busy;
}

/* Those whose getter has gone shall notice that, whatever they wait for: an interrupt can get lost on another wait. */
static void hurry(const struct offer *o)
{
	for (unsigned int i = 0; i < TRANSFER_SEATS; i++) {
		const struct guest *g = &guests[i];
		if (g->state != GUEST_SERVED || !atomic_load(&g->gone) || atomic_load(&g->done))
			continue;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		ism_interrupt(o->dev);	/* ours too, so that we are here again */
		return;
	}
}

/* ------------------------------------------------------------------ the door */

static void handle_event(struct offer *o, const struct ism_event *ev)
{
	if (ev->type == ISM_EVENT_RESET)
		o->reset = true;
	else if (ev->type == ISM_EVENT_LOST)
		o->lost = true;
	else if (ev->type == ISM_EVENT_ATTACH && ev->region == o->door)
		welcome(o, ev->devid);
	else if (ev->type == ISM_EVENT_DETACH && ev->region == o->door)
		left(o, ev->devid);
}

static int mind_door(struct offer *o)
{
	for (;;) {
		struct ism_event ev;
		int r = ism_wait(o->dev, &ev, 1, sizeof ev, -1);

		if (r < 0 && r != -EINTR)
			return tool_fail(r, "cannot wait for a get");
		if (atomic_load(&ending.caught) != 0)
			return TOOL_FAILED;
		if (r == 1)
			handle_event(o, &ev);
		bool busy = reap(o, false);
		if (o->status >= 0)
			return o->status;
		if (o->reset && !busy) {
			tool_say("the host of the domain is gone");
			return TOOL_FAILED;
		}
		if ((o->lost || (o->crowded && free_seat() != NULL)) && look_around(o) != 0)
			return TOOL_FAILED;
		hurry(o);
	}
}

static int door_open(struct offer *o)
{
	struct transfer_door *door;
	int r = ism_alloc_region(o->dev, sizeof *door, NULL, &o->door);

	if (r < 0)
		return tool_fail(r, "cannot allocate a region");
	r = ism_region_grant_default(o->door, door_rights());
	if (r < 0)
		return tool_fail(r, "cannot set the default right");
	door = ism_region_addr(o->door);
	atomic_store(&door->magic, TRANSFER_MAGIC);
	printf("%016" PRIx64 "\n", ism_region_token(o->door));
	if (fflush(stdout) != 0)
		return TOOL_FAILED;	/* main() says so */
	return 0;
}

/* ------------------------------------------------------------------ the command */

static int check_source(const struct offer *o)
{
	struct stat st;

	if (keep && o->path == NULL)
		return tool_usage("--keep: standard input can be served only once: name a file");
	int fd = source_open(o);
	if (fd < 0)
		return TOOL_FAILED;
	int r = fstat(fd, &st);
	close(fd);
	if (r == 0 && S_ISDIR(st.st_mode)) {
		const char *path = o->path ? o->path : ".";
		tool_say("%s is a directory: try 'tar c %s | ism put'", path, path);
		return TOOL_FAILED;
	}
	if (keep && (r < 0 || !S_ISREG(st.st_mode)))
		return tool_usage("--keep: %s is no regular file, and can be served only once", o->path);
	return 0;
}

static int run(int nr, char **operand)
{
	struct offer offer = { .path = nr == 1 && strcmp(operand[0], "-") != 0 ? operand[0] : NULL, .status = -1 };
	int r = check_source(&offer);

	hold_signals();
	if (r == 0)
		r = tool_open(0, &offer.dev);
	if (r != 0)
		return r;
	r = watch_signals(offer.dev);
	if (r == 0)
		r = door_open(&offer);
	if (r == 0)
		r = mind_door(&offer);
	reap(&offer, true);
	close_device(offer.dev);
	return r;
}

static const struct tool_option options[] = {
	{ 'k', "keep", NULL, &keep, "serve any number of gets, until killed; FILE must be a file" },
	{ 'm', "machine", NULL, &machine, "whoever gets it may be in a virtual machine: see ism(1)" },
	{ 'q', "quiet", NULL, &quiet, "no progress, no summary" },
	TOOL_OPTION_DEVICE,
	{ 0 },
};

const struct tool_verb verb_put = {
	.name = "put",
	.operands = "[FILE]",
	.most = 1,
	.summary = "offer a file, or standard input, to whoever has the token",
	.help = "Offers FILE, or standard input, to one 'ism get'.  The token to get it with is\n"
		"the first line of standard output; all else goes to standard error.\n",
	.options = options,
	.run = run,
};

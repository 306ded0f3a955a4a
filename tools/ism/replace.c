/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * replace.c - ism replace: shut peers out of a region.
 *
 * The successor is there as long as somebody refers to it.  At first that is this
 * tool's device, so it stays until the others have gone over, or for a while.
 */
#include "json.h"
#include "view.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *timeout_text = "10";
static struct tool_values without_words;

/* For the signal handler. */
static struct ism_device *waiting;

/* Who is where. */
struct sides {
	uint64_t *over, *behind, *out;	/* devids: gone over, not yet, and shut out */
	size_t nr_over, nr_behind, nr_out;
};

static void sides_free(struct sides *s)
{
	free(s->over);
	free(s->behind);
	free(s->out);
	*s = (struct sides){ 0 };
}

/* ------------------------------------------------------------------ looking */

static bool is_among(const uint64_t *devid, size_t nr, uint64_t one)
{
	for (size_t i = 0; i < nr; i++) {
		if (devid[i] == one)
			return true;
	}
	return false;
}

/* The referrers of @token but for this device: their number (none if the region is gone), or a negative errno. */
static int others(struct ism_device *dev, uint64_t token, uint64_t self, struct ism_referrer_entry **ret)
{
	int nr = view_referrers(dev, token, ret), kept = 0;

	if (nr == -ENOENT) {
		*ret = NULL;
		return 0;
	}
	for (int i = 0; i < nr; i++) {
		if ((*ret)[i].devid != self)
			(*ret)[kept++] = (*ret)[i];
	}
	return nr < 0 ? nr : kept;
}

static int look(struct ism_device *dev, uint64_t old, uint64_t next, uint64_t self, struct sides *ret)
{
	struct ism_referrer_entry *in_old = NULL, *in_next = NULL;
	int nr_next = others(dev, next, self, &in_next);
	int nr_old = nr_next < 0 ? nr_next : others(dev, old, self, &in_old);
	struct sides s = { 0 };

	if (nr_old >= 0) {
		s.over = calloc((size_t)nr_next + 1, sizeof *s.over);
		s.behind = calloc((size_t)nr_old + 1, sizeof *s.behind);
		s.out = calloc((size_t)nr_old + 1, sizeof *s.out);
		if (s.over == NULL || s.behind == NULL || s.out == NULL) {
			tool_say("out of memory");
			nr_old = -ENOMEM;
		}
	}
	for (int i = 0; i < nr_next && nr_old >= 0; i++)
		s.over[s.nr_over++] = in_next[i].devid;
	for (int i = 0; i < nr_old; i++) {
		if (!(in_old[i].rights & ISM_ATTACH))
			s.out[s.nr_out++] = in_old[i].devid;
		else if (!is_among(s.over, s.nr_over, in_old[i].devid))
			s.behind[s.nr_behind++] = in_old[i].devid;
	}
	free(in_old);
	free(in_next);
	if (nr_old < 0)
		sides_free(&s);
	else
		*ret = s;
	return nr_old < 0 ? nr_old : 0;
}

/* ------------------------------------------------------------------ waiting */

static void on_signal(int sig)
{
	(void)sig;
	ism_interrupt(waiting);
}

static void catch_signals(struct ism_device *dev)
{
	struct sigaction sa = { .sa_handler = dev != NULL ? on_signal : SIG_DFL };

	if (dev != NULL)
		waiting = dev;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

/* Until nobody is to come any more: 0; -ETIMEDOUT, -EINTR; or another errno, after saying why. */
static int await(struct ism_device *dev, uint64_t old, uint64_t next, uint64_t self, double timeout, struct sides *s)
{
	double end = tool_now() + timeout;
	bool interrupted = false;

	for (;;) {
		sides_free(s);
		int r = look(dev, old, next, self, s);
		if (r == -EHOSTDOWN)
			tool_say("the host of the domain is gone");
		if (r < 0 || s->nr_behind == 0)
			return r;
		double left = end - tool_now();
		if (interrupted || left <= 0)
			return interrupted ? -EINTR : -ETIMEDOUT;
		/* Its events tell who comes; who goes from the old region has to be looked for. */
		struct ism_event ev;
		r = ism_wait(dev, &ev, 1, sizeof ev, (int64_t)((left < 0.05 ? left : 0.05) * 1e9));
		interrupted = r == -EINTR;
		if (r < 0 && !interrupted) {
			tool_fail(r, "cannot wait");
			return r;
		}
	}
}

/* ------------------------------------------------------------------ telling */

static struct ism_device_entry who(const struct view *v, uint64_t devid)
{
	const struct ism_device_entry *e = view_device(v, devid);
	struct ism_device_entry unknown = { .devid = devid, .name = "?" };

	return e != NULL ? *e : unknown;
}

static void tell_json(const struct view *v, uint64_t old, uint64_t next, const struct sides *s)
{
	const struct {
		const char *name;
		const uint64_t *devid;
		size_t nr;
	} lists[] = { { "over", s->over, s->nr_over }, { "behind", s->behind, s->nr_behind }, { "out", s->out, s->nr_out } };
	struct json_object *o = json_begin();

	json_add_hex(o, "replaced", old);
	json_add_hex(o, "successor", next);
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		struct json_object *list = json_list(o, lists[i].name);
		for (size_t k = 0; k < lists[i].nr; k++) {
			struct ism_device_entry e = who(v, lists[i].devid[k]);
			json_append(list, json_device(&e));
		}
	}
	json_print(o);
}

static void tell_list(const struct view *v, const char *what, const uint64_t *devid, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		struct ism_device_entry e = who(v, devid[i]);
		printf("%-16sdevice %" PRIu64 " (%s, pid %d, %s)\n", what, e.devid, e.name, (int)e.pid, view_user(e.uid));
	}
}

static int report(struct ism_device *dev, uint64_t old, uint64_t next, int r, double timeout, const struct sides *s)
{
	struct view v;

	if (view_load(dev, &v) < 0)
		return TOOL_FAILED;
	if (json_wanted) {
		tell_json(&v, old, next, s);
	} else {
		tell_list(&v, "gone over", s->over, s->nr_over);
		tell_list(&v, "not gone over", s->behind, s->nr_behind);
		tell_list(&v, "shut out", s->out, s->nr_out);
	}
	view_free(&v);
	if (r == 0 && s->nr_over > 0)
		return TOOL_OK;
	if (r == -EINTR)
		tool_say("interrupted: %zu of %zu went over", s->nr_over, s->nr_over + s->nr_behind);
	else if (r < 0)
		tool_say("%zu of %zu went over within %g s", s->nr_over, s->nr_over + s->nr_behind, timeout);
	if (s->nr_over == 0)
		tool_say("nobody has the successor, so it ends; the region can be replaced again");
	return TOOL_FAILED;
}

/* ------------------------------------------------------------------ the verb */

static int replace(struct ism_device *dev, uint64_t token, const uint64_t *without, double timeout)
{
	struct ism_info info = { .size = sizeof info };
	struct sides s = { 0 };
	struct ism_region *next;
	int r = ism_query(dev, &info);

	if (r < 0)
		return tool_fail(r, "cannot query the device");
	catch_signals(dev);
	r = ism_shut_out(dev, token, without, (size_t)without_words.nr, &next);
	if (r < 0)
		return tool_fail(r, "cannot replace the region");
	if (!json_wanted) {	/* at once: it is so, whatever becomes of this process */
		printf("%016" PRIx64 " is replaced by %016" PRIx64 "\n", token, ism_region_token(next));
		fflush(stdout);
	}
	view_expects_end = true;
	r = await(dev, token, ism_region_token(next), info.devid, timeout, &s);
	int status = r == 0 || r == -ETIMEDOUT || r == -EINTR
			     ? report(dev, token, ism_region_token(next), r, timeout, &s)
			     : TOOL_FAILED;
	sides_free(&s);
	return status;
}

static int run(int nr, char **operand)
{
	uint64_t token, without[TOOL_VALUES_MAX];
	struct ism_device *dev;
	double timeout;
	int r = tool_seconds("--timeout", timeout_text, 0.1, 86400, &timeout);

	(void)nr;
	for (int i = 0; i < without_words.nr && r == 0; i++) {
		if (!tool_devid(without_words.value[i], &without[i]))
			r = tool_usage("--without \"%s\": expected the number of a device; 'ism show TOKEN' lists them",
				       without_words.value[i]);
	}
	if (r == 0)
		r = tool_token(operand[0], &token);
	if (r == 0)
		r = tool_open(ISM_OPEN_NO_HOST, &dev);
	if (r != 0)
		return r;
	r = replace(dev, token, without, timeout);
	catch_signals(NULL);
	ism_close(dev);
	return r;
}

static const struct tool_option options[] = {
	{ 'w', "without", "DEVICE...", &without_words, "shut this one out; may be given more than once" },
	{ 't', "timeout", "SECONDS", &timeout_text, "how long to wait for the others to go over; default 10" },
	TOOL_OPTION_JSON,
	TOOL_OPTION_DEVICE,
	{ 0 },
};

const struct tool_verb verb_replace = {
	.name = "replace",
	.operands = "TOKEN",
	.least = 1,
	.most = 1,
	.summary = "shut devices out of a region: the others go over to a successor",
	.help = "Gives a region a successor with fresh memory and a token of its own, tells those who\n"
		"share it, and waits until they have gone over; rings go over by themselves.  DEVICE,\n"
		"by its number, loses its rights and is left behind with what is in the old region.\n"
		"So is whoever may not attach the region any more; without --without it is these\n"
		"alone.  In any case nobody comes in with the old token from now on.  The creator\n"
		"stays what it was, and cannot be shut out.  Only the host's user and root may.\n",
	.options = options,
	.run = run,
};

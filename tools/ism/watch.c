/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * watch.c - ism watch: what happens, as it happens.
 *
 * A region is attached, and its events come by themselves.  A domain as a whole
 * has none: it is looked at again and again, and the difference is told.
 */
#include "json.h"
#include "view.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *interval_text = "0.2";

/* For the signal handler. */
static struct ism_device *watched;

/* ------------------------------------------------------------------ lines */

static struct json_object *json_event(const char *event)
{
	struct json_object *o = json_begin();
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	json_add_real(o, "time", (double)now.tv_sec + (double)now.tv_nsec / 1e9);
	json_add_text(o, "event", event);
	return o;
}

__attribute__((format(printf, 2, 3)))
static void text_event(const char *event, const char *fmt, ...)
{
	struct timespec now;
	struct tm tm;
	va_list ap;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	printf("%02d:%02d:%02d.%03ld %-7s ", tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000, event);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static void begin(const struct ism_info *info, uint64_t token)
{
	if (!json_wanted) {
		text_event("begin", "%s %s:%s, hosted by %s", token != 0 ? "a region of" : "domain", info->backend, info->path,
			   view_host(info));
		return;
	}
	struct json_object *o = json_event("begin");
	json_add(o, "domain", json_domain(info));
	if (token != 0)
		json_add_hex(o, "token", token);
	json_print_line(o);
}

static int host_gone(void)
{
	if (json_wanted)
		json_print_line(json_event("reset"));
	else
		text_event("reset", "the host is gone");
	tool_say("the host of the domain is gone");
	return TOOL_FAILED;
}

/* ------------------------------------------------------------------ a region */

static const char *event_name(uint32_t type)
{
	return type == ISM_EVENT_UPDATE ? "update" : type == ISM_EVENT_ATTACH ? "attach" :
	       type == ISM_EVENT_DETACH ? "detach" : type == ISM_EVENT_MOVED ? "moved" :
	       type == ISM_EVENT_LOST ? "lost" : "event";
}

/* What is known of a device; it may have gone already. */
static bool find_device(struct ism_device *dev, uint64_t devid, struct ism_device_entry *ret)
{
	const struct ism_device_entry *e;
	struct view v;

	if (view_load(dev, &v) < 0)
		return false;
	e = view_device(&v, devid);
	if (e != NULL)
		*ret = *e;
	view_free(&v);
	return e != NULL;
}

static void region_event(struct ism_device *dev, const struct ism_event *ev)
{
	struct ism_device_entry who;
	const char *name = event_name(ev->type);
	bool known = ev->type == ISM_EVENT_ATTACH && find_device(dev, ev->devid, &who);

	if (json_wanted) {
		struct json_object *o = json_event(name);
		if (ev->type != ISM_EVENT_LOST) {
			json_add_number(o, "devid", ev->devid);
			json_add_number(o, "peers", ev->peers);
		}
		if (known)
			json_add(o, "device", json_device(&who));
		json_print_line(o);
	} else if (ev->type == ISM_EVENT_LOST) {
		text_event(name, "events came faster than they could be kept");
	} else if (ev->type == ISM_EVENT_UPDATE) {
		text_event(name, "device %" PRIu64 " rang", ev->devid);
	} else if (ev->type == ISM_EVENT_MOVED) {
		text_event(name, "device %" PRIu64 " has given it a successor", ev->devid);
	} else if (known) {
		text_event(name, "device %" PRIu64 " (%s, pid %d, %s); others now: %u", ev->devid, who.name, (int)who.pid,
			   view_user(who.uid), ev->peers);
	} else {
		text_event(name, "device %" PRIu64 "; others now: %u", ev->devid, ev->peers);
	}
}

/* Nobody else has the region, and nobody can attach it any more. */
static bool region_over(struct ism_device *dev, uint64_t token)
{
	const struct ism_region_entry *e;
	struct view v;

	if (view_load(dev, &v) < 0)
		return false;
	e = view_region(&v, token);
	bool over = e != NULL && e->ended && e->referrers == 1;
	view_free(&v);
	if (over && json_wanted)
		json_print_line(json_event("end"));
	else if (over)
		text_event("end", "the region's token has ended, and nobody else has it");
	return over;
}

static int watch_region(struct ism_device *dev, uint64_t token, const struct ism_info *info)
{
	struct ism_region *region;
	struct ism_event ev;
	int r = ism_attach_region(dev, token, ISM_READ, NULL, &region);

	if (r < 0)
		return tool_fail(r, "cannot attach");
	begin(info, token);
	while (!ferror(stdout)) {
		r = ism_wait(dev, &ev, 1, sizeof ev, -1);
		if (r == -EINTR)
			return TOOL_OK;
		if (r < 0)
			return tool_fail(r, "cannot wait");
		if (ev.type == ISM_EVENT_RESET)
			return host_gone();
		region_event(dev, &ev);
		if (ev.type == ISM_EVENT_DETACH && ev.peers == 0 && region_over(dev, token))
			return TOOL_OK;
	}
	return TOOL_FAILED;	/* main() says why */
}

/* ------------------------------------------------------------------ a domain */

static void device_event(const char *event, const struct ism_device_entry *e, uint64_t refused)
{
	if (e->self)
		return;
	if (json_wanted) {
		struct json_object *o = json_event(event);
		json_add(o, "device", json_device(e));
		json_print_line(o);
	} else if (refused != 0) {
		text_event(event, "device %" PRIu64 " (%s, pid %d, %s): %" PRIu64 " attaches", e->devid, e->name, (int)e->pid,
			   view_user(e->uid), refused);
	} else {
		text_event(event, "device %" PRIu64 " (%s, pid %d, %s)", e->devid, e->name, (int)e->pid, view_user(e->uid));
	}
}

__attribute__((format(printf, 3, 4)))
static void region_change(const char *event, const struct ism_region_entry *e, const char *fmt, ...)
{
	char name[24] = "(token not shown)", what[80];
	va_list ap;

	if (json_wanted) {
		struct json_object *o = json_event(event);
		json_add(o, "region", json_region(e));
		json_print_line(o);
		return;
	}
	if (e->token != 0)
		snprintf(name, sizeof name, "%016" PRIx64, e->token);
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	text_event(event, "region %s: %s", name, what);
}

static void region_compare(const struct ism_region_entry *was, const struct ism_region_entry *is)
{
	if (is->referrers != was->referrers)
		region_change(is->referrers > was->referrers ? "attach" : "detach", is, "%u referrers, before %u", is->referrers,
			      was->referrers);
	if (is->default_rights != was->default_rights)
		region_change("rights", is, "default %s, before %s", tool_rights(is->default_rights),
			      tool_rights(was->default_rights));
	if (is->replaced && !was->replaced)
		region_change("moved", is, "it has been given a successor");
	if (is->ended && !was->ended)
		region_change("end", is, "its token has ended");
}

/* Both views are in order of devid and of serial. */
static void compare(const struct view *was, const struct view *is)
{
	size_t i = 0, k = 0;

	while (i < was->nr_devices || k < is->nr_devices) {
		const struct ism_device_entry *old = i < was->nr_devices ? &was->device[i] : NULL;
		const struct ism_device_entry *new = k < is->nr_devices ? &is->device[k] : NULL;
		if (old != NULL && (new == NULL || old->devid < new->devid)) {
			device_event("close", old, 0);
			i++;
		} else if (old == NULL || new->devid < old->devid) {
			device_event("open", new, 0);
			k++;
		} else {
			if (new->failed != old->failed)
				device_event("refused", new, new->failed - old->failed);
			i++;
			k++;
		}
	}
	i = k = 0;
	while (i < was->nr_regions || k < is->nr_regions) {
		const struct ism_region_entry *old = i < was->nr_regions ? &was->region[i] : NULL;
		const struct ism_region_entry *new = k < is->nr_regions ? &is->region[k] : NULL;
		if (old != NULL && (new == NULL || old->serial < new->serial)) {
			region_change("free", old, "%sB of device %" PRIu64, tool_bytes(old->region_size), old->creator);
			i++;
		} else if (old == NULL || new->serial < old->serial) {
			region_change("alloc", new, "%sB by device %" PRIu64 ", %u referrers", tool_bytes(new->region_size),
				      new->creator, new->referrers);
			k++;
		} else {
			region_compare(old, new);
			i++;
			k++;
		}
	}
}

static int watch_domain(struct ism_device *dev, double interval, struct view *was)
{
	while (!ferror(stdout)) {
		struct ism_event ev;
		struct view is;
		int r = ism_wait(dev, &ev, 1, sizeof ev, (int64_t)(interval * 1e9));

		if (r == -EINTR)
			return TOOL_OK;
		if (r == 1 && ev.type == ISM_EVENT_RESET)
			return host_gone();
		if (r < 0)
			return tool_fail(r, "cannot wait");
		r = view_load(dev, &is);
		if (r < 0)
			return r == -EHOSTDOWN ? host_gone() : TOOL_FAILED;
		compare(was, &is);
		view_free(was);
		*was = is;
	}
	return TOOL_FAILED;
}

/* ------------------------------------------------------------------ the verb */

static void on_signal(int sig)
{
	(void)sig;
	ism_interrupt(watched);
}

static int watch(struct ism_device *dev, uint64_t token, double interval)
{
	struct sigaction stop = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };
	struct ism_info info = { .size = sizeof info };
	struct view v = { 0 };
	int r = ism_query(dev, &info);

	if (r < 0)
		return tool_fail(r, "cannot query the device");
	watched = dev;
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	if (token == 0 && view_load(dev, &v) < 0)
		return TOOL_FAILED;
	view_expects_end = true;
	if (token != 0) {
		r = watch_region(dev, token, &info);
	} else {
		begin(&info, 0);
		r = watch_domain(dev, interval, &v);
	}
	view_free(&v);
	return r;
}

static int run(int nr, char **operand)
{
	struct ism_device *dev;
	uint64_t token = 0;
	double interval;
	int r = tool_seconds("--interval", interval_text, 0.01, 3600, &interval);

	if (r == 0 && nr > 0)
		r = tool_token(operand[0], &token);
	if (r == 0)
		r = tool_open(ISM_OPEN_NO_HOST, &dev);
	if (r != 0)
		return r;
	r = watch(dev, token, interval);
	struct sigaction plain = { .sa_handler = SIG_DFL };
	sigaction(SIGINT, &plain, NULL);
	sigaction(SIGTERM, &plain, NULL);
	ism_close(dev);
	return r;
}

static const struct tool_option options[] = {
	{ 'i', "interval", "SECONDS", &interval_text, "how often to look at a domain; default 0.2" },
	TOOL_OPTION_JSON,
	TOOL_OPTION_DEVICE,
	{ 0 },
};

const struct tool_verb verb_watch = {
	.name = "watch",
	.operands = "[TOKEN]",
	.most = 1,
	.summary = "tell what happens in a domain or to a region, as it happens",
	.help = "Tells of what happens, one line each, until it is interrupted.  With TOKEN: who\n"
		"attaches that region, lets it go, and rings it.  It is attached to read for that,\n"
		"and whoever looks sees this one too.  Without: devices that come and go, regions and\n"
		"their referrers, and attaches that are refused, as they differ from one look to the\n"
		"next.\n",
	.options = options,
	.run = run,
};

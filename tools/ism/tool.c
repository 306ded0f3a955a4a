/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * tool.c - what the verbs of the ism command share.
 */
#include "tool.h"

#include <bsd/libutil.h>
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const struct tool_verb no_verb = { .name = "" };
const struct tool_verb *tool_verb = &no_verb;

static const struct tool_verb *const verbs[] = { &verb_put, &verb_get, &verb_ls, &verb_show, &verb_stats, &verb_watch, &verb_kick, &verb_replace, &verb_check, &verb_perf, &verb_demo,
						   &verb_vm };
enum { NR_VERBS = sizeof verbs / sizeof verbs[0] };

/* ------------------------------------------------------------------ messages */

__attribute__((format(printf, 1, 0)))
static void vsay(const char *fmt, va_list ap)
{
	fprintf(stderr, "ism%s%s: ", *tool_verb->name ? " " : "", tool_verb->name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void tool_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
}

int tool_fail(int err, const char *what)
{
	const char *detail = ism_error_detail();

	tool_say("%s: %s", what, *detail ? detail : ism_strerror(err));
	return TOOL_FAILED;
}

int tool_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try 'ism %s%s--help'.\n", tool_verb->name, *tool_verb->name ? " " : "");
	return TOOL_USAGE;
}

/* ------------------------------------------------------------------ arguments */

int tool_open(uint32_t flags, struct ism_device **ret)
{
	char name[32];
	struct ism_open_opts opts = { .size = sizeof opts, .flags = flags, .name = name };

	snprintf(name, sizeof name, "ism %s", tool_verb->name);
	int r = ism_open(tool_device, &opts, ret);
	return r < 0 ? tool_fail(r, "cannot open a device") : 0;
}

int tool_look(int (*look)(struct ism_device *dev))
{
	struct ism_device *dev;
	int r = tool_open(ISM_OPEN_NO_HOST, &dev);

	if (r != 0)
		return r;
	r = look(dev);
	ism_close(dev);
	return r;
}

int tool_token(char *word, uint64_t *ret)
{
	char line[80];
	uint64_t gid;
	int r;

	if (strcmp(word, "-") == 0) {
		if (fgets(line, sizeof line, stdin) == NULL) {
			tool_say("standard input has no token");
			return TOOL_FAILED;
		}
		line[strcspn(line, " \t\r\n")] = '\0';
		r = ism_ref_parse(line, &gid, ret);
		explicit_bzero(line, sizeof line);
	} else {
		r = ism_ref_parse(word, &gid, ret);
		memset(word, 'x', strlen(word));
	}
	return r < 0 ? tool_usage("%s", ism_error_detail()) : 0;
}

int tool_seconds(const char *option, const char *text, double least, double most, double *ret)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end != '\0' || !(v >= least && v <= most))
		return tool_usage("%s \"%s\": expected seconds, %g to %g", option, text, least, most);
	*ret = v;
	return 0;
}

bool tool_devid(const char *word, uint64_t *ret)
{
	const char *wrong;

	if (strlen(word) > 12)
		return false;
	*ret = (uint64_t)strtonum(word, 1, INT64_MAX, &wrong);
	return wrong == NULL;
}

const char *tool_bytes(uint64_t bytes)
{
	static char buf[4][6];	/* four digits at most, and the unit */
	static unsigned int next;
	char *b = buf[next++ % 4];

	humanize_number(b, sizeof buf[0], (int64_t)bytes, "", HN_AUTOSCALE, HN_DECIMAL | HN_NOSPACE);
	return b;
}

const char *tool_rights(uint32_t rights)
{
	static char buf[4][5];
	static unsigned int next;
	char *b = buf[next++ % 4];

	b[0] = rights & ISM_READ ? 'r' : '-';
	b[1] = rights & ISM_WRITE ? 'w' : '-';
	b[2] = rights & ISM_ATTACH ? 'a' : '-';
	b[3] = rights & ISM_MANAGE ? 'm' : '-';
	return b;
}

/* ------------------------------------------------------------------ progress */

double tool_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void progress_begin(struct progress *p, const char *label, uint64_t total, bool quiet)
{
	*p = (struct progress){ .label = label, .total = total, .start = tool_now(), .quiet = quiet,
				.on = !quiet && isatty(STDERR_FILENO) };
	p->shown = p->start;
}

static void draw(const struct progress *p, double now)
{
	enum { WIDTH = 30 };
	double seconds = now - p->start, rate = seconds > 0 ? (double)p->done / seconds : 0;
	char bar[WIDTH + 1];

	if (p->total == UINT64_MAX || p->total == 0) {
		fprintf(stderr, "\r\033[K%s %sB  %sB/s", p->label, tool_bytes(p->done), tool_bytes((uint64_t)rate));
		return;
	}
	size_t full = (size_t)((double)p->done / (double)p->total * WIDTH);
	memset(bar, '.', WIDTH);
	memset(bar, '#', full < WIDTH ? full : WIDTH);
	bar[WIDTH] = '\0';
	fprintf(stderr, "\r\033[K%s [%s] %3.0f%%  %sB  %sB/s", p->label, bar, 100.0 * (double)p->done / (double)p->total,
		tool_bytes(p->done), tool_bytes((uint64_t)rate));
}

void progress_add(struct progress *p, uint64_t bytes)
{
	p->done += bytes;
	if (!p->on)
		return;
	double now = tool_now();
	if (now - p->shown < 0.1)
		return;
	p->shown = now;
	draw(p, now);
}

void progress_break(const struct progress *p)
{
	if (p->on)
		fputs("\r\033[K", stderr);
}

void progress_end(struct progress *p)
{
	double seconds = tool_now() - p->start;

	progress_break(p);
	if (!p->quiet)
		tool_say("%s %llu bytes (%sB) in %.2f s, %sB/s", p->label, (unsigned long long)p->done, tool_bytes(p->done),
			 seconds, tool_bytes((uint64_t)(seconds > 0 ? (double)p->done / seconds : 0)));
}

/* ------------------------------------------------------------------ main */

static void usage(FILE *f)
{
	fputs("usage: ism VERB [OPTION]... [ARGUMENT]...\n\nverbs:\n", f);
	for (size_t i = 0; i < NR_VERBS; i++)
		fprintf(f, "  %-7s %s\n", verbs[i]->name, verbs[i]->summary);
	fputs("\n'ism help VERB' tells more about one; 'ism --version' tells the version.\n", f);
}

enum { WORD_MAX = 16 };

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* How many letters to add, drop, change or swap to make one word of the other. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int d[WORD_MAX + 1][WORD_MAX + 1], na = (unsigned int)strlen(a), nb = (unsigned int)strlen(b);

	if (na > WORD_MAX || nb > WORD_MAX)
		return UINT32_MAX;
	for (unsigned int i = 0; i <= na; i++) {
		for (unsigned int j = 0; j <= nb; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = i + j;
				continue;
			}
			d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[na][nb];
}

/* The verb of this name; NULL after naming the one that was probably meant. */
static const struct tool_verb *find_verb(const char *name)
{
	const struct tool_verb *near = NULL;
	unsigned int best = least((unsigned int)strlen(name), 3);	/* at least one letter is as it was */

	for (size_t i = 0; i < NR_VERBS; i++) {
		unsigned int d = distance(name, verbs[i]->name);
		if (d == 0)
			return verbs[i];
		if (d < best) {
			best = d;
			near = verbs[i];
		}
	}
	if (near != NULL)
		tool_usage("unknown verb \"%.32s\"; did you mean \"%s\"?", name, near->name);
	else
		tool_usage("unknown verb \"%.32s\"", name);
	return NULL;
}

static int help(int argc, char **argv)
{
	if (argc < 1) {
		usage(stdout);
		return TOOL_OK;
	}
	if (argc > 1)
		return tool_usage("unexpected argument \"%s\"", argv[1]);
	const struct tool_verb *verb = find_verb(argv[0]);
	if (verb == NULL)
		return TOOL_USAGE;
	tool_help(verb);
	return TOOL_OK;
}

static int run(int argc, char **argv)
{
	const char *word = argv[1];

	if (word == NULL) {
		usage(stderr);
		return TOOL_USAGE;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
		return help(argc - 2, argv + 2);
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		printf("ism %s\n", ism_version());
		return TOOL_OK;
	}
	if (*word == '-')
		return tool_usage("unknown option %s", word);
	const struct tool_verb *verb = find_verb(word);
	if (verb == NULL)
		return TOOL_USAGE;
	tool_verb = verb;
	return tool_run(verb, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int status = run(argc, argv);

	/* Output that is lost is no success, be it help for a full disk. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		tool_say("cannot write to standard output: %s", strerror(errno));
		status = status == TOOL_OK ? TOOL_FAILED : status;
	}
	return status;
}

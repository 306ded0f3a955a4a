/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * tool.h - what the verbs of the ism command share.
 */
#ifndef TOOL_H
#define TOOL_H

#include <ism.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses. */
enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2 };

/* ------------------------------------------------------------------ verbs */

/* An option of a verb.  A table of them ends with one whose letter is 0. */
struct tool_option {
	char letter;
	const char *name;
	const char *value;	/* what --help calls its value; with "..." behind: it may be given often; NULL: it has none */
	void *at;		/* a const char * to set to the value, or a struct tool_values; without value, a bool to set */
	const char *help;
};

enum { TOOL_VALUES_MAX = 64 };

struct tool_values {
	const char *value[TOOL_VALUES_MAX];
	int nr;
};

struct tool_verb {
	const char *name;
	const char *operands;	/* as in the usage line; "": none */
	int least, most;	/* how many operands */
	const char *summary;	/* for the list of verbs */
	const char *help;	/* what it does */
	const struct tool_option *options;
	/* Returns an exit status. */
	int (*run)(int nr, char **operand);
};

extern const struct tool_verb verb_check, verb_demo, verb_get, verb_kick, verb_ls, verb_perf, verb_put, verb_replace, verb_show, verb_stats, verb_vm, verb_watch;
/* The one that runs; its name is "" before there is one. */
extern const struct tool_verb *tool_verb;

/* Options that many verbs have. */
extern const char *tool_device;
#define TOOL_OPTION_DEVICE                                                                                             \
	{                                                                                                              \
		'd', "device", "URI", &tool_device, "emu:[PATH], loop:[NAME] or dev:[PATH]; default $ISM_DEVICE, else emu:" \
	}

/* options.c: parse a verb's command line and run it. */
int tool_run(const struct tool_verb *verb, int argc, char **argv);
void tool_help(const struct tool_verb *verb);

/* ------------------------------------------------------------------ messages */

/* "ism VERB: message" on standard error. */
void tool_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, for a call of libism that failed: its own words, or the code's. */
int tool_fail(int err, const char *what);
/* A wrong command line: says so, names the help; returns TOOL_USAGE. */
int tool_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ------------------------------------------------------------------ arguments */

/* Open a device as --device says; @flags: ISM_OPEN_*.  0 or an exit status, after saying why. */
int tool_open(uint32_t flags, struct ism_device **ret);
/* What @look returns for a device of a domain that somebody else hosts, or the exit status of a failure. */
int tool_look(int (*look)(struct ism_device *dev));

/*
 * The token in a command line's word, or on standard input if that is "-".
 * The word is wiped, so that it does not stay in the list of processes.  0 or
 * an exit status, after saying why.
 */
int tool_token(char *word, uint64_t *ret);

/* An option's value as seconds.  0 or an exit status, after saying why. */
int tool_seconds(const char *option, const char *text, double least, double most, double *ret);

/* A short decimal number is a device; where both can be meant, everything else is a token. */
bool tool_devid(const char *word, uint64_t *ret);

/* ------------------------------------------------------------------ text */

/* 1234567 as "1.2M" in a buffer of its own for each call in an expression (four). */
const char *tool_bytes(uint64_t bytes);
/* Rights as "rwam", with "-" for those that lack. */
const char *tool_rights(uint32_t rights);

double tool_now(void);

/* A bar on standard error while bytes go by, if that is a terminal. */
struct progress {
	const char *label;
	uint64_t total;		/* UINT64_MAX: not known */
	uint64_t done;
	double start, shown;
	bool on, quiet;
};
void progress_begin(struct progress *p, const char *label, uint64_t total, bool quiet);
void progress_add(struct progress *p, uint64_t bytes);
/* No more of it: clear the bar for what is said next. */
void progress_break(const struct progress *p);
/* The line that stays: how much, how long, how fast. */
void progress_end(struct progress *p);

#endif /* TOOL_H */

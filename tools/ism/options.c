/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * options.c - a verb's command line, and its help, from one table.
 */
#include "tool.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { OPTIONS_MAX = 16 };

const char *tool_device;

static bool help_wanted;
static const struct tool_option help_option = { 'h', "help", NULL, &help_wanted, "this text" };

/* ------------------------------------------------------------------ help */

static int option_width(const struct tool_option *o)
{
	return (int)strlen(o->name) + (o->value != NULL ? (int)strlen(o->value) + 1 : 0);
}

static void print_option(const struct tool_option *o, int width)
{
	const char *line = o->help;
	size_t len = strcspn(line, "\n");

	printf("  -%c, --%s%s%s%*s  %.*s\n", o->letter, o->name, o->value != NULL ? " " : "",
	       o->value != NULL ? o->value : "", width - option_width(o), "", (int)len, line);
	while (line[len] == '\n') {
		line += len + 1;
		len = strcspn(line, "\n");
		printf("%*s%.*s\n", width + 10, "", (int)len, line);
	}
}

void tool_help(const struct tool_verb *verb)
{
	int width = option_width(&help_option);

	for (const struct tool_option *o = verb->options; o->letter != 0; o++)
		width = option_width(o) > width ? option_width(o) : width;
	printf("usage: ism %s [OPTION]...%s%s\n\n%s\n", verb->name, *verb->operands != '\0' ? " " : "", verb->operands,
	       verb->help);
	for (const struct tool_option *o = verb->options; o->letter != 0; o++)
		print_option(o, width);
	print_option(&help_option, width);
}

/* ------------------------------------------------------------------ parsing */

/* What getopt_long() could not make sense of, in words. */
static int bad_option(int c, int argc, char **argv)
{
	const char *word = argv[optind > 0 && optind <= argc ? optind - 1 : 0];
	int len = (int)strcspn(word, "=");

	if (strncmp(word, "--", 2) != 0) {
		if (c == ':')
			return tool_usage("option -%c needs a value", optopt);
		return tool_usage("unknown option -%c", optopt);
	}
	if (c == ':')
		return tool_usage("option %.*s needs a value", len, word);
	if (optopt != 0)
		return tool_usage("option %.*s takes no value", len, word);
	return tool_usage("unknown option %.*s", len, word);
}

/* False: it was given too often. */
static bool take(const struct tool_option *o, const char *value)
{
	bool often = o->value != NULL && strstr(o->value, "...") != NULL;
	struct tool_values *all = often ? o->at : NULL;

	if (all != NULL && all->nr == TOOL_VALUES_MAX)
		return false;
	if (all != NULL)
		all->value[all->nr++] = value;
	else if (o->value != NULL)
		*(const char **)o->at = value;
	else
		*(bool *)o->at = true;
	return true;
}

static int parse(const struct tool_option *const *table, int nr, int argc, char **argv)
{
	struct option longs[OPTIONS_MAX + 1] = { 0 };
	char shorts[2 * OPTIONS_MAX + 2] = ":";
	int c;

	for (int i = 0; i < nr; i++) {
		longs[i] = (struct option){ table[i]->name, table[i]->value != NULL ? required_argument : no_argument, NULL,
					    table[i]->letter };
		strncat(shorts, &table[i]->letter, 1);
		strcat(shorts, table[i]->value != NULL ? ":" : "");
	}
	opterr = 0;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			return bad_option(c, argc, argv);
		for (int i = 0; i < nr; i++) {
			if (table[i]->letter == c && !take(table[i], optarg))
				return tool_usage("option --%s: at most %d times", table[i]->name, TOOL_VALUES_MAX);
		}
	}
	return TOOL_OK;
}

int tool_run(const struct tool_verb *verb, int argc, char **argv)
{
	const struct tool_option *table[OPTIONS_MAX] = { &help_option };
	int nr = 1;

	for (const struct tool_option *o = verb->options; o->letter != 0 && nr < OPTIONS_MAX; o++)
		table[nr++] = o;
	int r = parse(table, nr, argc, argv);
	if (r != TOOL_OK)
		return r;
	if (help_wanted) {
		tool_help(verb);
		return TOOL_OK;
	}
	if (argc - optind < verb->least)
		return tool_usage("expected %s", verb->operands);
	if (argc - optind > verb->most && verb->most == 0)
		return tool_usage("unexpected argument \"%s\"", argv[optind]);
	if (argc - optind > verb->most)		/* not naming it: it may be a token */
		return tool_usage("%d arguments: expected %s", argc - optind, verb->operands);
	return verb->run(argc - optind, argv + optind);
}

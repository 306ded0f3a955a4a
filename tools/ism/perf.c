/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * perf.c - ism perf: how fast, beside a pipe, a Unix socket and TCP.
 *
 * Machines drift, so everything is measured in turns, round by round.
 */
#include "perf.h"

#include "bench.h"
#include "json.h"
#include "view.h"

#include <bsd/string.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const size_t sizes[] = { 8, 64, 1024, PERF_MESSAGE_MAX };

enum {
	NR_SIZES = sizeof sizes / sizeof sizes[0],
	ROUNDS = 3,
	/* A cell is one thing measured once: lanes and sizes twice, three kinds of calls, the cache line. */
	CELLS = 2 * PERF_LANES * NR_SIZES + 4,
	REGION = 65536,
};

struct results {
	struct bench_histogram round_trip[PERF_LANES][NR_SIZES];
	struct bench_series one_way[PERF_LANES][NR_SIZES];	/* bytes per second */
	struct bench_histogram doorbells, notify, line;
	struct perf_calls calls;
	double clock_ns;
};

static const char *seconds_text = "10";

static const struct {
	const char *name, *label;
	double part;
} points[] = {
	{ "p50", "p50", 0.5 }, { "p90", "p90", 0.9 }, { "p99", "p99", 0.99 }, { "p99_9", "p99.9", 0.999 }, { "max", "max", 1 },
};

enum { NR_POINTS = sizeof points / sizeof points[0] };

/* ------------------------------------------------------------------ measuring */

static void measure(struct perf *p, struct results *r, double seconds)
{
	double each = seconds / (CELLS * ROUNDS);

	r->clock_ns = perf_clock_ns();
	for (int round = 0; round < ROUNDS; round++) {
		perf_line(each, &r->line);
		for (int size = 0; size < NR_SIZES; size++) {
			for (enum perf_lane lane = 0; lane < PERF_LANES; lane++)
				perf_round_trips(p, lane, sizes[size], each, &r->round_trip[lane][size]);
			for (enum perf_lane lane = 0; lane < PERF_LANES; lane++)
				bench_add(&r->one_way[lane][size], perf_one_way(p, lane, sizes[size], each));
		}
		perf_doorbells(p, each, &r->doorbells);
		perf_notify(p, each, &r->notify);
		perf_control(p, REGION, each, &r->calls);
	}
}

/* ------------------------------------------------------------------ the machine */

static void cpu_model(char *buf, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	strlcpy(buf, "CPU not known", size);
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		const char *colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) != 0 || colon == NULL)
			continue;
		strlcpy(buf, colon + 2, size);
		buf[strcspn(buf, "\n")] = '\0';
		break;
	}
	if (f != NULL)
		fclose(f);
}

static const char *placement(const struct perf *p)
{
	if (p->info.host == ISM_HOST_PRIVATE)
		return "two threads";
	return bench_cpus() > 1 ? "two processes, each pinned to a CPU" : "two processes on one CPU";
}

/* ------------------------------------------------------------------ JSON */

static void add_times(struct json_object *o, const struct bench_histogram *h)
{
	struct json_object *ns = json_child(o, "ns");

	for (int i = 0; i < NR_POINTS; i++)
		json_add_number(ns, points[i].name, bench_histogram_at(h, points[i].part));
	json_add_number(ns, "count", h->total);
}

static void add_call(struct json_object *list, const char *name, const struct bench_histogram *h)
{
	struct json_object *o = json_child(list, NULL);

	json_add_text(o, "name", name);
	add_times(o, h);
}

static void print_json(const struct perf *p, const struct results *r)
{
	struct json_object *all = json_begin(), *o, *list;
	struct utsname un = { 0 };
	char model[128];

	cpu_model(model, sizeof model);
	uname(&un);
	json_add_text(all, "version", ism_version());
	json_add(all, "domain", json_domain(&p->info));
	o = json_child(all, "machine");
	json_add_text(o, "cpu", model);
	json_add_number(o, "cpus", bench_cpus());
	json_add_text(o, "kernel", un.release);
	json_add_text(o, "placement", placement(p));
	json_add_real(o, "clock_ns", r->clock_ns);
	list = json_list(all, "round_trips");
	for (int lane = 0; lane < PERF_LANES; lane++) {
		for (int size = 0; size < NR_SIZES; size++) {
			o = json_child(list, NULL);
			json_add_text(o, "lane", perf_lane_name[lane]);
			json_add_number(o, "bytes", sizes[size]);
			add_times(o, &r->round_trip[lane][size]);
		}
	}
	list = json_list(all, "one_way");
	for (int lane = 0; lane < PERF_LANES; lane++) {
		for (int size = 0; size < NR_SIZES; size++) {
			o = json_child(list, NULL);
			json_add_text(o, "lane", perf_lane_name[lane]);
			json_add_number(o, "bytes", sizes[size]);
			json_add_real(o, "bytes_per_second", bench_median(&r->one_way[lane][size]));
		}
	}
	list = json_list(all, "calls");
	if (r->line.total > 0)
		add_call(list, "cache line", &r->line);
	add_call(list, "notify", &r->notify);
	add_call(list, "ring and answer", &r->doorbells);
	add_call(list, "alloc", &r->calls.alloc);
	add_call(list, "attach", &r->calls.attach);
	add_call(list, "detach", &r->calls.detach);
	add_call(list, "release", &r->calls.release);
	json_print(all);
}

/* ------------------------------------------------------------------ text */

/* 65536 as "64 KiB". */
static const char *size_text(size_t bytes)
{
	static char buf[24];

	if (bytes < 1024)
		snprintf(buf, sizeof buf, "%zu B", bytes);
	else
		snprintf(buf, sizeof buf, "%zu KiB", bytes / 1024);
	return buf;
}

static void print_times(const char *first, const char *second, const struct bench_histogram *h)
{
	printf("%-10s %-17s", first, second);
	for (int i = 0; i < NR_POINTS; i++)
		printf(" %9.2f", (double)bench_histogram_at(h, points[i].part) / 1e3);
	putchar('\n');
}

static void print_head(const char *what)
{
	printf("\n%-28s", what);
	for (int i = 0; i < NR_POINTS; i++)
		printf(" %9s", points[i].label);
	putchar('\n');
}

static void print_text(const struct perf *p, const struct results *r)
{
	struct utsname un = { 0 };
	char model[128];

	cpu_model(model, sizeof model);
	uname(&un);
	printf("libism %s, %s:%s, hosted by %s\n", ism_version(), p->info.backend, p->info.path, view_host(&p->info));
	printf("%s; %u CPUs; Linux %s; %s\n", model, bench_cpus(), un.release, placement(p));
	printf("A look at the clock, %.0f ns, is in every time.", r->clock_ns);
	if (r->line.total > 0)
		printf("  A cache line there and back: %" PRIu64 " ns.", bench_histogram_at(&r->line, 0.5));
	putchar('\n');
	print_head("ROUND TRIP, us");
	for (int size = 0; size < NR_SIZES; size++) {
		for (int lane = 0; lane < PERF_LANES; lane++)
			print_times(lane == 0 ? size_text(sizes[size]) : "", perf_lane_name[lane], &r->round_trip[lane][size]);
	}
	printf("\n%-28s", "ONE WAY, MB/s");
	for (int size = 0; size < NR_SIZES; size++)
		printf(" %9s", size_text(sizes[size]));
	putchar('\n');
	for (int lane = 0; lane < PERF_LANES; lane++) {
		printf("%-28s", perf_lane_name[lane]);
		for (int size = 0; size < NR_SIZES; size++)
			printf(" %9.0f", bench_median(&r->one_way[lane][size]) / 1e6);
		putchar('\n');
	}
	print_head("CALLS, us");
	print_times("notify", "", &r->notify);
	print_times("ring", "and answer", &r->doorbells);
	print_times("alloc", "64 KiB", &r->calls.alloc);
	print_times("attach", "", &r->calls.attach);
	print_times("detach", "", &r->calls.detach);
	print_times("release", "", &r->calls.release);
	puts("\nlibism spins for up to 50 us before it sleeps, if there are CPUs to spare; the others sleep at once.");
}

/* ------------------------------------------------------------------ the verb */

static int run(int nr, char **operand)
{
	struct perf p = { .uri = tool_device };
	double seconds;
	int status = tool_seconds("--seconds", seconds_text, 0.1, 3600, &seconds);

	(void)nr;
	(void)operand;
	if (status != 0)
		return status;
	struct results *r = calloc(1, sizeof *r);
	if (r == NULL) {
		tool_say("out of memory");
		return TOOL_FAILED;
	}
	status = perf_open(&p);
	if (status == TOOL_OK) {
		alarm((unsigned int)(10 * seconds) + 300);	/* better than to hang */
		measure(&p, r, seconds);
		(json_wanted ? print_json : print_text)(&p, r);
		perf_close(&p);
	}
	free(r);
	return status;
}

static const struct tool_option options[] = {
	{ 's', "seconds", "SECONDS", &seconds_text, "how long to measure, all in all; default 10" },
	TOOL_OPTION_JSON,
	TOOL_OPTION_DEVICE,
	{ 0 },
};

const struct tool_verb verb_perf = {
	.name = "perf",
	.operands = "",
	.summary = "measure how fast it is here, beside a pipe, a Unix socket and TCP",
	.help = "Measures round trips and one-way throughput between two processes, each on a CPU\n"
		"of its own if there are two, and what doorbells, alloc, attach and detach take;\n"
		"beside it, in turns, a pipe, a Unix socket and TCP over the loopback.\n",
	.options = options,
	.run = run,
};

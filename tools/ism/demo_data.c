/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * demo_data.c - the steps of `ism demo` that move bytes.
 */
#include "demo.h"

#include "bench.h"
#include "perf.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------ bars */

enum { NR_LANES = 3, ROUNDS = 3, BAR = 40, SMALL = 64 };

/* Each thing, each time. */
static const double seconds = 0.2;

static const enum perf_lane lanes[NR_LANES] = { PERF_TCP, PERF_UNIX, PERF_RING };

/* As long as the figure is, of the largest; at least a mark. */
static void print_bar(const char *name, double figure, double largest, const char *text)
{
	int full = (int)(figure / largest * BAR + 0.5);

	printf("  %-14s ", name);
	for (int i = 0; i < BAR; i++)
		putchar(i < full || i == 0 ? '#' : ' ');
	printf(" %s\n", text);
}

static double largest_of(const double figure[NR_LANES])
{
	double largest = 0;

	for (int i = 0; i < NR_LANES; i++)
		largest = figure[i] > largest ? figure[i] : largest;
	return largest;
}

static void print_bars(const double per_second[NR_LANES], const double bytes_per_second[NR_LANES])
{
	char text[64];

	printf("  %d bytes there and back, how often in a second\n", SMALL);
	for (int i = 0; i < NR_LANES; i++) {
		snprintf(text, sizeof text, "%8.1f us each, %.1f times TCP", 1e6 / per_second[i], per_second[i] / per_second[0]);
		print_bar(perf_lane_name[lanes[i]], per_second[i], largest_of(per_second), text);
	}
	printf("\n  one way, in messages of %d KiB\n", PERF_MESSAGE_MAX / 1024);
	for (int i = 0; i < NR_LANES; i++) {
		snprintf(text, sizeof text, "%8.0f MB/s, %.1f times TCP", bytes_per_second[i] / 1e6,
			 bytes_per_second[i] / bytes_per_second[0]);
		print_bar(perf_lane_name[lanes[i]], bytes_per_second[i], largest_of(bytes_per_second), text);
	}
}

int demo_speed(struct demo *d)
{
	struct bench_histogram *trips = calloc(NR_LANES, sizeof *trips);
	struct bench_series one_way[NR_LANES] = { 0 };
	double per_second[NR_LANES], bytes_per_second[NR_LANES];
	struct perf p = { .uri = d->uri };

	if (trips == NULL) {
		tool_say("out of memory");
		return TOOL_FAILED;
	}
	int r = perf_open(&p);
	if (r != 0) {
		free(trips);
		return r;
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < NR_LANES; i++) {
			perf_round_trips(&p, lanes[i], SMALL, seconds, &trips[i]);
			bench_add(&one_way[i], perf_one_way(&p, lanes[i], PERF_MESSAGE_MAX, seconds));
		}
	}
	perf_close(&p);
	signal(SIGCHLD, SIG_DFL);	/* bench_fork() takes the death of any child for a failure: we kill one on purpose */
	for (int i = 0; i < NR_LANES; i++) {
		per_second[i] = 1e9 / (double)bench_histogram_at(&trips[i], 0.5);
		bytes_per_second[i] = bench_median(&one_way[i]);
	}
	free(trips);
	print_bars(per_second, bytes_per_second);
	return 0;
}

/* ------------------------------------------------------------------ a transfer */

enum { FILE_BYTES = 64 << 20, PIECE = 1 << 20, KILL_AT = 4 << 20 };

/* A file that nobody has seen before. */
static int make_file(const char *path)
{
	static unsigned char piece[PIECE];
	unsigned char seed[randombytes_SEEDBYTES];
	FILE *f = fopen(path, "wxe");
	bool ok = f != NULL;

	for (size_t at = 0; ok && at < FILE_BYTES; at += PIECE) {
		randombytes_buf(seed, sizeof seed);
		randombytes_buf_deterministic(piece, sizeof piece, seed);
		ok = fwrite(piece, sizeof piece, 1, f) == 1;
	}
	if (f != NULL && fclose(f) != 0)
		ok = false;
	if (!ok)
		tool_say("cannot write %s: %s", path, strerror(errno));
	return ok ? 0 : TOOL_FAILED;
}

static int hash_file(const char *path, char hex[2 * crypto_hash_sha256_BYTES + 1])
{
	static unsigned char piece[PIECE];
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state state;
	FILE *f = fopen(path, "re");
	size_t n;

	if (f == NULL) {
		tool_say("cannot read %s: %s", path, strerror(errno));
		return TOOL_FAILED;
	}
	crypto_hash_sha256_init(&state);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0)
		crypto_hash_sha256_update(&state, piece, n);
	fclose(f);
	crypto_hash_sha256_final(&state, hash);
	sodium_bin2hex(hex, 2 * sizeof hash + 1, hash, sizeof hash);
	return 0;
}

/* This same program, as a process of its own, with a descriptor for its standard input or output. */
static pid_t start(const char *const args[], int fd, int as)
{
	pid_t pid = demo_fork();

	if (pid != 0)
		return pid;
	dup2(fd, as);
	execv("/proc/self/exe", (char *const *)(uintptr_t)args);
	tool_say("cannot run myself: %s", strerror(errno));
	_exit(TOOL_FAILED);
}

/* The first line that a process prints. */
static int read_token(int fd, char *token, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len + 1 < size && (n = read(fd, token + len, 1)) == 1 && token[len] != '\n')
		len++;
	token[len] = '\0';
	return len == 16 ? 0 : TOOL_FAILED;
}

/* `ism get -` reads the token from here, so that it is in no list of processes. */
static int token_pipe(const char *token)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	if (dprintf(fds[1], "%s\n", token) < 0) {
		close(fds[0]);
		fds[0] = -1;
	}
	close(fds[1]);
	return fds[0];
}

static bool runs(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

/* The daemon dies in the midst of it, and another takes its place. */
static int kill_daemon(const struct demo *d, pid_t *daemon, pid_t receiver, int file)
{
	const struct timespec pause = { .tv_nsec = 100000 };
	struct stat st = { .st_size = 0 };

	if (*daemon == 0)
		return 0;
	while (fstat(file, &st) == 0 && st.st_size < KILL_AT && runs(receiver))
		nanosleep(&pause, NULL);
	pid_t old = *daemon;
	demo_daemon_kill(old, SIGKILL);
	*daemon = demo_daemon_start(d);
	if (*daemon <= 0) {
		*daemon = 0;
		return TOOL_FAILED;
	}
	printf("  after %d of %d MiB: kill -9 %d, the daemon; another one takes over, process %d\n", (int)(st.st_size >> 20),
	       FILE_BYTES >> 20, (int)old, (int)*daemon);
	return 0;
}

static int get(const struct demo *d, pid_t *daemon, const char *uri, const char *token, const char *path)
{
	const char *const args[] = { "ism", "get", "--quiet", "--device", uri, "-", NULL };
	int in = token_pipe(token), out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), status = TOOL_FAILED;

	if (in >= 0 && out >= 0) {
		pid_t pid = demo_fork();
		if (pid == 0) {
			dup2(out, STDOUT_FILENO);
			dup2(in, STDIN_FILENO);
			execv("/proc/self/exe", (char *const *)(uintptr_t)args);
			_exit(TOOL_FAILED);
		}
		printf("  process %d: $ ism get - < token > got\n", (int)pid);
		int killed = pid < 0 ? TOOL_FAILED : kill_daemon(d, daemon, pid, out);
		status = pid < 0 ? TOOL_FAILED : demo_reap(pid);
		status = status != 0 ? status : killed;
	}
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return status;
}

static int compare(const char *data, const char *got, double took)
{
	char sent[2 * crypto_hash_sha256_BYTES + 1], received[sizeof sent];
	int status = hash_file(data, sent);

	if (status == 0)
		status = hash_file(got, received);
	if (status != 0)
		return status;
	printf("\n  %d MiB in %.2f s\n  SHA-256 sent     %s\n  SHA-256 received %s\n", FILE_BYTES >> 20, took, sent,
	       received);
	if (strcmp(sent, received) != 0) {
		tool_say("what arrived is not what was sent");
		return TOOL_FAILED;
	}
	puts("  equal");
	return 0;
}

static int transfer(const struct demo *d, pid_t *daemon)
{
	char data[sizeof d->dir + 8], got[sizeof d->dir + 8], token[32];
	const char *uri = *daemon > 0 ? d->daemon_uri : d->uri;
	const char *const put[] = { "ism", "put", "--quiet", "--device", uri, data, NULL };
	int out[2];

	snprintf(data, sizeof data, "%s/data", d->dir);
	snprintf(got, sizeof got, "%s/got", d->dir);
	if (sodium_init() < 0 || make_file(data) != 0)
		return TOOL_FAILED;
	if (pipe2(out, O_CLOEXEC) < 0) {
		tool_say("cannot make a pipe: %s", strerror(errno));
		return TOOL_FAILED;
	}
	double began = tool_now();
	pid_t sender = start(put, out[1], STDOUT_FILENO);
	close(out[1]);
	int status = sender < 0 ? TOOL_FAILED : read_token(out[0], token, sizeof token);
	close(out[0]);
	if (status == 0) {
		printf("  process %d: $ ism put data\n  %s\n", (int)sender, token);
		status = get(d, daemon, uri, token, got);
	}
	if (sender > 0) {
		int sent = demo_reap(sender);
		status = status != 0 ? status : sent;
	}
	if (status != 0) {
		tool_say("the transfer failed");
		return status;
	}
	return compare(data, got, tool_now() - began);
}

int demo_transfer(struct demo *d)
{
	pid_t daemon = demo_daemon_start(d);

	if (daemon < 0)
		return TOOL_FAILED;
	if (daemon == 0)
		puts("  (no ismd beside this program: without a daemon there is none to be killed)");
	else
		printf("  process %d: $ ismd\n", (int)daemon);
	int status = transfer(d, &daemon);
	demo_daemon_kill(daemon, SIGTERM);
	return status;
}

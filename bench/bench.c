/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * bench.c - what the measuring programs share.
 */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ism.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *bench_name = "bench";

static unsigned int misses;

/* ------------------------------------------------------------------ figures */

void bench_add(struct bench_series *s, double value)
{
	if (s->nr < BENCH_ROUNDS_MAX)
		s->value[s->nr++] = value;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double median(const double *value, unsigned int nr)
{
	double sorted[BENCH_ROUNDS_MAX];

	if (nr == 0)
		return 0;
	memcpy(sorted, value, nr * sizeof *value);
	qsort(sorted, nr, sizeof *sorted, by_value);
	return nr % 2 ? sorted[nr / 2] : (sorted[nr / 2 - 1] + sorted[nr / 2]) / 2;
}

double bench_median(const struct bench_series *s)
{
	return median(s->value, s->nr);
}

double bench_ratio(const struct bench_series *a, const struct bench_series *b)
{
	double ratio[BENCH_ROUNDS_MAX];
	unsigned int nr = a->nr < b->nr ? a->nr : b->nr;

	for (unsigned int i = 0; i < nr; i++)
		ratio[i] = a->value[i] / b->value[i];
	return median(ratio, nr);
}

void bench_target(const char *what, double figure, double target, const char *unit)
{
	bool met = figure <= target;

	misses += !met;
	printf("%-62s %8.2f%-2s  target %6.2f%-2s  %s\n", what, figure, unit, target, unit, met ? "met" : "MISSED");
}

unsigned int bench_misses(void)
{
	return misses;
}

double bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ------------------------------------------------------------------ processes */

void bench_die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", bench_name, what, strerror(errno));
	exit(1);
}

void bench_failed(const char *what, long r)
{
	if (r == -1)		/* the system's */
		bench_die(what);
	fprintf(stderr, "%s: %s: %s: %s\n", bench_name, what, ism_strerror((int)r), ism_error_detail());
	exit(1);
}

/* The CPUs that the process had at the beginning. */
static const cpu_set_t *all_cpus(void)
{
	static cpu_set_t all;
	static bool known;

	if (!known && sched_getaffinity(0, sizeof all, &all) < 0)
		bench_die("sched_getaffinity");
	known = true;
	return &all;
}

unsigned int bench_cpus(void)
{
	return (unsigned int)CPU_COUNT(all_cpus());
}

void bench_pin(unsigned int which)
{
	const cpu_set_t *all = all_cpus();
	cpu_set_t one;

	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, all) && which-- == 0) {
			CPU_SET(cpu, &one);
			if (sched_setaffinity(0, sizeof one, &one) < 0)
				bench_die("sched_setaffinity");
			return;
		}
	}
	fprintf(stderr, "%s: needs two CPUs\n", bench_name);
	exit(77);
}

void bench_unpin(void)
{
	if (sched_setaffinity(0, sizeof(cpu_set_t), all_cpus()) < 0)
		bench_die("sched_setaffinity");
}

void *bench_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_die("mmap");
	return p;
}

/* What a child that failed was to do never happens: nobody shall wait for it. */
static void child_ended(int signal)
{
	static const char text[] = "bench: another process failed\n";
	siginfo_t info = { 0 };

	(void)signal;
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0 || info.si_status == 0)
		return;
	if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
		_exit(2);
	_exit(1);
}

pid_t bench_fork(void (*child)(void *arg), void *arg)
{
	struct sigaction sa = { .sa_handler = child_ended, .sa_flags = SA_RESTART | SA_NOCLDSTOP };

	sigaction(SIGCHLD, &sa, NULL);
	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0)
		bench_die("fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (bench_cpus() > 1)
		bench_pin(1);
	child(arg);
	_exit(0);
}

void bench_join(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "%s: the other process failed (status 0x%x)\n", bench_name, (unsigned int)status);
		exit(1);
	}
}

double bench_rss(pid_t pid)
{
	char path[32];
	long size, resident = 0;

	snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	FILE *f = fopen(path, "re");
	if (f == NULL || fscanf(f, "%ld %ld", &size, &resident) != 2)
		bench_die(path);
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

double bench_fds(pid_t pid)
{
	char path[32];
	double n = 0;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	if (d == NULL)
		bench_die(path);
	for (const struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* ------------------------------------------------------------------ a domain */

static bool listens(const char *uri)
{
	struct ism_open_opts opts = { .size = sizeof opts, .flags = ISM_OPEN_NO_HOST };
	struct ism_device *dev;

	if (ism_open(uri, &opts, &dev) < 0)
		return false;
	ism_close(dev);
	return true;
}

/* A directory and what is in it, if whoever made it has ended. */
static void remove_left(int tmp, const char *name)
{
	enum { YOUNG_S = 60 };	/* it may not be locked yet */
	int fd = openat(tmp, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	bool old = fstat(fd, &st) == 0 && st.st_uid == geteuid() && time(NULL) - st.st_mtime > YOUNG_S;
	DIR *d = old && flock(fd, LOCK_EX | LOCK_NB) == 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		close(fd);
		return;
	}
	for (const struct dirent *e; (e = readdir(d)) != NULL;)
		unlinkat(fd, e->d_name, 0);
	unlinkat(tmp, name, AT_REMOVEDIR);
	closedir(d);
}

/* What programs that were killed could not remove. */
static void sweep(const char *where)
{
	DIR *d = opendir(where);

	if (d == NULL)
		return;
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		if (strncmp(e->d_name, "ism-bench.", 10) == 0)
			remove_left(dirfd(d), e->d_name);
	}
	closedir(d);
}

/* Ours as long as a process of ours has it open. */
static void make_dir(char *dir, size_t size)
{
	const char *tmp = getenv("TMPDIR");

	if (tmp == NULL || strlen(tmp) > size / 2)
		tmp = "/tmp";
	sweep(tmp);
	snprintf(dir, size, "%s/ism-bench.XXXXXX", tmp);
	if (mkdtemp(dir) == NULL)
		bench_die("mkdtemp");
	if (flock((int)bench_ok(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)), LOCK_EX) < 0)
		bench_die("flock");
}

void bench_domain_open(struct bench_domain *d)
{
	const char *program = getenv("ISM_ISMD");

	make_dir(d->dir, sizeof d->dir);
	snprintf(d->uri, sizeof d->uri, "emu:%s/d", d->dir);
	d->ismd = fork();
	if (d->ismd < 0)
		bench_die("fork");
	if (d->ismd == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp(program != NULL ? program : "./ismd", "ismd", "--foreground", "--set", "log=error", d->uri + 4,
		       (char *)NULL);
		_exit(127);
	}
	for (int i = 0; !listens(d->uri); i++) {
		if (i == 1000 || waitpid(d->ismd, NULL, WNOHANG) != 0) {
			fprintf(stderr, "%s: ismd does not start: set ISM_ISMD to its path\n", bench_name);
			exit(1);
		}
		usleep(10000);
	}
}

void bench_domain_close(struct bench_domain *d)
{
	kill(d->ismd, SIGTERM);
	bench_join(d->ismd);
	rmdir(d->dir);
}

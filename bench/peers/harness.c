/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * harness.c - two pinned ends exchange messages over one transport after another.
 */
#include "harness.h"

#include "bench.h"
#include "histogram.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* An end that hangs is killed; no size has more bytes than this for its round trips. */
enum { DEADLINE_S = 30, TRIP_BYTES_MAX = 65536, STREAM_BYTES_MIN = 64 };

static unsigned int run_ms = 100;
static bool one_cpu;

/* ------------------------------------------------------------------ figures */

void peers_emit(const char *name, const char *metric, size_t bytes, double value)
{
	printf("%s%s\t%s\t%zu\t%.6g\n", name, one_cpu ? "@1" : "", metric, bytes, value);
	fflush(stdout);
}

void peers_emit_times(const char *name, const char *metric, size_t bytes, const struct bench_histogram *h)
{
	static const struct {
		const char *name;
		double part;
	} point[] = { { "p1", 0.01 },	{ "p10", 0.1 },	  { "p25", 0.25 },  { "p50", 0.5 },    { "p75", 0.75 },
		      { "p90", 0.9 },	{ "p99", 0.99 },  { "p999", 0.999 }, { "p9999", 0.9999 } };

	for (size_t i = 0; h->total > 0 && i < sizeof point / sizeof point[0]; i++) {
		char label[64];
		snprintf(label, sizeof label, "%s_%s", metric, point[i].name);
		peers_emit(name, label, bytes, (double)bench_histogram_at(h, point[i].part));
	}
}

void *peers_shared(size_t bytes)
{
	return bench_shared(bytes);
}

/* ------------------------------------------------------------------ clocks */

/* A clock as fine and as cheap as there is: a look at the system's costs half of a short round trip. */
static uint64_t ticks(void)
{
#if defined(__x86_64__)
	unsigned int aux;
	return __builtin_ia32_rdtscp(&aux);
#else
	return (uint64_t)bench_now_ns();
#endif
}

static double tick_ns(void)
{
	static double ns;

	if (ns == 0) {
		double began = bench_now_ns(), now;
		uint64_t first = ticks();
		while ((now = bench_now_ns()) - began < 20e6)
			;
		ns = (now - began) / (double)(ticks() - first);
	}
	return ns;
}

/* CPU time of this end, its library's threads included. */
static double cpu_ns(const struct transport *t)
{
	struct timespec ts;

	clock_gettime(t->flags & THREADS ? CLOCK_THREAD_CPUTIME_ID : CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double seconds_of(const struct rusage *ru)
{
	return (double)(ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) +
	       (double)(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec) * 1e-6;
}

/* CPU seconds of the machine, stolen ones included, that neither we nor our children used. */
static double others_s(void)
{
	unsigned long long v[8] = { 0 };
	struct rusage self, kids;
	FILE *f = fopen("/proc/stat", "re");

	int got = f == NULL ? 0 : fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
					 &v[4], &v[5], &v[6], &v[7]);
	if (f != NULL)
		fclose(f);
	if (got < 8)
		return 0;
	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &kids);
	return (double)(v[0] + v[1] + v[2] + v[7]) / (double)sysconf(_SC_CLK_TCK) - seconds_of(&self) - seconds_of(&kids);
}

/* ------------------------------------------------------------------ the two ends */

/* What the ends tell each other beside the transport. */
struct control {
	_Atomic unsigned int arrived;
	_Atomic uint64_t echo_cpu_ns;	/* of the other end, in the last measurement */
	_Alignas(128) _Atomic uint32_t ball;
};

struct player {
	const struct transport *t;
	struct control *c;
	struct end e;
	unsigned int meetings;
	char *buf;
};

static void meet(struct player *p)
{
	p->meetings += 2;
	atomic_fetch_add(&p->c->arrived, 1);
	while (atomic_load(&p->c->arrived) < p->meetings)
		sched_yield();
}

static void must(int r, const struct player *p, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "%s: %s of %zu bytes failed (%d, %s)\n", p->t->name, what, p->e.bytes, r, strerror(errno));
	_exit(1);
}

static void send_one(struct player *p)
{
	must(p->t->send(&p->e, p->buf, p->e.bytes), p, "send");
}

static void recv_one(struct player *p)
{
	must(p->t->recv(&p->e, p->buf, p->e.bytes), p, "recv");
}

/* A cache line there and back, now: a hypervisor may move the CPUs apart, and together again. */
static double line_ns(struct player *p)
{
	enum { TURNS = 2000 };
	static struct bench_histogram h;
	_Atomic uint32_t *ball = &p->c->ball;

	if (one_cpu || bench_cpus() < 2)
		return 0;
	meet(p);
	uint32_t from = atomic_load(ball);
	meet(p);
	if (p->e.side == 0)
		memset(&h, 0, sizeof h);
	for (uint32_t i = 0; i < TURNS; i++) {
		uint32_t mine = from + 2 * i + 1 + p->e.side, other = from + 2 * i + (p->e.side ? 1 : 2);
		uint64_t t0 = ticks();
		if (p->e.side == 0)
			atomic_store_explicit(ball, mine, memory_order_release);
		while (atomic_load_explicit(ball, memory_order_acquire) != other)
			peers_relax();
		if (p->e.side == 1)
			atomic_store_explicit(ball, mine, memory_order_release);
		if (p->e.side == 0)
			bench_histogram_add(&h, (uint64_t)((double)(ticks() - t0) * tick_ns()));
	}
	return (double)bench_histogram_at(&h, 0.5);
}

static void ping(struct player *p)
{
	enum { TRIPS_MIN = 16 };	/* however slow the machine is */
	static struct bench_histogram h;
	uint64_t trips = 0;

	memset(&h, 0, sizeof h);
	meet(p);
	double cpu = cpu_ns(p->t), began = bench_now_ns(), now = began;
	double warm = began + run_ms * 1e5, end = warm + run_ms * 1e6;
	p->buf[0] = MORE;
	do {
		uint64_t t0 = ticks();
		send_one(p);
		recv_one(p);
		uint64_t took = ticks() - t0;
		if (now >= warm)
			bench_histogram_add(&h, (uint64_t)((double)took * tick_ns()));
		if ((++trips & 15) == 0 || took > 4000)
			now = bench_now_ns();
	} while (now < end || h.total < TRIPS_MIN);
	p->buf[0] = LAST;
	send_one(p);
	recv_one(p);
	now = bench_now_ns();
	cpu = cpu_ns(p->t) - cpu;
	meet(p);
	cpu += (double)atomic_load(&p->c->echo_cpu_ns);
	peers_emit_times(p->t->name, "rtt", p->e.bytes, &h);
	peers_emit(p->t->name, "rtt_mean", p->e.bytes, (now - began) / (double)(trips + 1));
	peers_emit(p->t->name, "rtt_cpu_ns", p->e.bytes, cpu / (double)(trips + 1));
}

static void pour(struct player *p)
{
	uint64_t sent = 0;

	meet(p);
	double cpu = cpu_ns(p->t), began = bench_now_ns(), end = began + run_ms * 1e6;
	p->buf[0] = MORE;
	do {
		send_one(p);
		sent++;
	} while (((sent & 63) != 0 && p->e.bytes < 4096) || bench_now_ns() < end);
	p->buf[0] = LAST;
	send_one(p);
	recv_one(p);		/* all has arrived */
	sent++;
	double took = bench_now_ns() - began;
	cpu = cpu_ns(p->t) - cpu;
	meet(p);
	cpu += (double)atomic_load(&p->c->echo_cpu_ns);
	double bytes = (double)sent * (double)p->e.bytes;
	peers_emit(p->t->name, "msg_per_s", p->e.bytes, (double)sent / took * 1e9);
	peers_emit(p->t->name, "MB_per_s", p->e.bytes, bytes / took * 1e3);
	peers_emit(p->t->name, "cpu_s_per_M", p->e.bytes, cpu / (double)sent / 1e3);
	peers_emit(p->t->name, "cpu_s_per_GB", p->e.bytes, cpu / bytes);
}

/* The other end of both: answer each, or the last one only. */
static void answer(struct player *p, bool each)
{
	bool last;

	meet(p);
	double cpu = cpu_ns(p->t);
	do {
		recv_one(p);
		last = p->buf[0] == LAST;
		if (each || last)
			send_one(p);
	} while (!last);
	atomic_store(&p->c->echo_cpu_ns, (uint64_t)(cpu_ns(p->t) - cpu));
	meet(p);
}

static void first_trip(struct player *p)
{
	must(p->t->open(&p->e), p, "open");
	p->buf[0] = LAST;
	if (p->e.side == 1)
		recv_one(p);
	send_one(p);
	if (p->e.side == 0)
		recv_one(p);
}

static void play(struct player *p)
{
	bool holds_clock = p->e.side == 0, trips = p->e.bytes <= TRIP_BYTES_MAX && !(p->t->flags & STREAM_ONLY);
	bool stream = !(p->t->flags & TRIPS_ONLY) && p->e.bytes >= STREAM_BYTES_MIN && !one_cpu;

	p->buf = aligned_alloc(4096, (p->e.bytes + 4095) & ~(size_t)4095);
	if (p->buf == NULL)
		bench_die("aligned_alloc");
	memset(p->buf, 0, p->e.bytes);
	double line = line_ns(p);
	meet(p);
	double began = bench_now_ns();
	first_trip(p);
	double opened = bench_now_ns();
	if (trips && holds_clock)
		ping(p);
	else if (trips)
		answer(p, true);
	if (stream && holds_clock)
		pour(p);
	else if (stream)
		answer(p, false);
	double after = line_ns(p);
	meet(p);
	double closing = bench_now_ns();
	p->t->close(&p->e);
	if (holds_clock) {
		peers_emit(p->t->name, "open_us", p->e.bytes, (opened - began) / 1e3);
		peers_emit(p->t->name, "close_us", p->e.bytes, (bench_now_ns() - closing) / 1e3);
		peers_emit(p->t->name, "line_ns", p->e.bytes, line > after ? line : after);
	}
	meet(p);
	free(p->buf);
}

/* ------------------------------------------------------------------ one size of one transport */

static void *second_thread(void *arg)
{
	bench_pin(one_cpu || bench_cpus() < 2 ? 0 : 1);
	play(arg);
	return NULL;
}

static void end_main(struct player *p)
{
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(DEADLINE_S);
	tick_ns();
	bench_pin(p->e.side == 0 || one_cpu || bench_cpus() < 2 ? 0 : 1);
	if (p->t->flags & THREADS) {
		struct player other = *p;
		other.e.side = 1;
		if (pthread_create(&thread, NULL, second_thread, &other) != 0)
			bench_die("cannot start a thread");
		play(p);
		pthread_join(thread, NULL);
	} else {
		play(p);
	}
	fflush(NULL);
	_exit(0);
}

/* False if an end failed; the other one is killed then. */
static bool both_ended(pid_t pid[2], int nr)
{
	bool well = true;

	for (int left = nr; left > 0; left--) {
		int status;
		pid_t p = wait(&status);
		if (p < 0 || status == 0)
			continue;
		well = false;
		if (nr == 2)
			kill(p == pid[0] ? pid[1] : pid[0], SIGKILL);
	}
	return well;
}

static bool run(const struct transport *t, size_t bytes)
{
	struct control *c = bench_shared(sizeof *c);
	struct player p = { .t = t, .c = c, .e = { .bytes = bytes, .shared = t->create ? t->create(bytes) : NULL } };
	int nr = t->flags & THREADS ? 1 : 2;
	double others = others_s(), began = bench_now_ns();
	pid_t pid[2];

	fflush(NULL);
	for (int side = nr - 1; side >= 0; side--) {
		p.e.side = (unsigned int)side;
		pid[side] = fork();
		if (pid[side] < 0)
			bench_die("fork");
		if (pid[side] == 0)
			end_main(&p);
	}
	bool well = both_ended(pid, nr);
	munmap(c, sizeof *c);
	if (well)
		peers_emit(t->name, "others", bytes, (others_s() - others) / (bench_now_ns() - began) * 1e9);
	else
		fprintf(stderr, "%s: %zu bytes: skipped\n", t->name, bytes);
	return well;
}

static bool named(const char *name, char **list, int nr)
{
	for (int i = 0; i < nr; i++) {
		if (strcmp(list[i], name) == 0)
			return true;
	}
	return nr == 0;
}

int peers_main(int argc, char **argv, const struct transport *table, size_t nr)
{
	size_t sizes[8] = { 8, 64, 1024, 65536, 1048576 }, nr_sizes = 5, given = 0;
	bool list = false, well = true;

	bench_name = argv[0];
	for (int opt; (opt = getopt(argc, argv, "l1m:s:")) != -1;) {
		if (opt == 'l')
			list = true;
		else if (opt == '1')
			one_cpu = true;
		else if (opt == 'm' && atoi(optarg) > 0)
			run_ms = (unsigned int)atoi(optarg);
		else if (opt == 's' && atol(optarg) >= 8 && given < sizeof sizes / sizeof sizes[0])
			nr_sizes = given + 1, sizes[given++] = (size_t)atol(optarg);
		else
			return fprintf(stderr, "usage: %s [-l] [-1] [-m MS] [-s BYTES]... [TRANSPORT...]\n", argv[0]), 2;
	}
	bench_cpus();
	for (size_t i = 0; i < nr; i++) {
		const struct transport *t = &table[i];
		if (!named(t->name, argv + optind, argc - optind) || (one_cpu && !(t->flags & SLEEPS)))
			continue;
		if (list)
			puts(t->name);
		for (size_t s = 0; s < nr_sizes && !list; s++) {
			if (t->max_bytes == 0 || sizes[s] <= t->max_bytes)
				well &= run(t, sizes[s]);
		}
	}
	return well ? 0 : 1;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_attack.c - a device whose peers write over everything they share with
 * it, for seconds or, with $ISM_TEST_LONG, for minutes: links, lines, and rings at
 * both ends.  It goes on, its other regions and other devices go on, and nobody
 * loses a doorbell or a record.  What that costs them is measured.
 *
 * This program, unlike the hostile one, is linked as any user's is: what is
 * attacked is the shared library of this build directory, and its ismd, which are
 * what the programs in bench/ measure.
 */
#include "harness.h"

#include <errno.h>
#include <ism-ring.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { ALONE, ATTACKED, OVER };		/* phases */
enum { BUCKETS = 64 * 8, RING = 128 * 1024, PATTERN = 0x5a, CANARY = 0xa5, BUFFER = 5000 };
enum { HOSTILE_MAX = 2 };
enum { WITH_FRIEND, BYSTANDERS, NEWCOMERS, NR_FLOWS };

static const char *const flow_name[] = { "doorbells of the victim's other region", "rings of two bystanders",
					 "new devices" };

static const uint64_t FAREWELL = UINT64_MAX;

/* How long each round trip took: in each power of two eight buckets. */
struct flow {
	_Atomic uint64_t nr[2], bucket[2][BUCKETS];
};

/* What all processes of this test see. */
struct board {
	_Atomic int phase;
	struct flow flow[NR_FLOWS];
	_Atomic uint64_t reads, writes, read_ends, write_ends;	/* of the victim, from and to the hostile peer */
};

struct stage {
	struct board *board;
	struct channel to_test, to_friend, to_bystander;
	char uri[160];
};

/* ------------------------------------------------------------------ time */

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int log = 63 - (unsigned int)__builtin_clzll(ns | 8);

	return log * 8 + (unsigned int)(ns >> (log - 3) & 7);
}

static double bucket_us(unsigned int bucket)
{
	return (double)(8 + bucket % 8) * (double)(UINT64_C(1) << bucket / 8) / 8 / 1e3;
}

static void took(struct stage *s, int flow, double began)
{
	int phase = atomic_load(&s->board->phase);
	struct flow *f = &s->board->flow[flow];

	if (phase == OVER)
		return;
	atomic_fetch_add(&f->bucket[phase][bucket_of((uint64_t)((harness_now() - began) * 1e9))], 1);
	atomic_fetch_add(&f->nr[phase], 1);
}

static double percentile(const struct flow *f, int phase, double part)
{
	double left = (double)atomic_load(&f->nr[phase]) * part;
	unsigned int i = 0;

	while (i < BUCKETS - 1 && (left -= (double)atomic_load(&f->bucket[phase][i])) > 0)
		i++;
	return bucket_us(i);
}

static bool is_over(struct stage *s)
{
	return atomic_load(&s->board->phase) == OVER;
}

static int die(const char *who, long r)
{
	fprintf(stderr, "[test] error: %s: %ld: %s\n", who, r, ism_error_detail());
	return 1;
}

/* ------------------------------------------------------------------ the victim and its friend */

struct victim {
	struct stage *s;
	struct ism_device *dev;
	struct ism_region *guard[3], *bell[HOSTILE_MAX], *in, *out, *friends;
	_Atomic bool bad;
};

static int friend_main(void *arg)
{
	struct stage *s = arg;
	struct ism_device *dev;
	struct ism_region *region;
	int r = ism_open(s->uri, NULL, &dev);

	if (r == 0)
		r = ism_attach_region(dev, channel_get(&s->to_friend), ISM_READ | ISM_WRITE, NULL, &region);
	if (r < 0)
		return die("friend", r);
	_Atomic uint64_t *word = ism_region_addr(region);
	while ((r = ism_region_wait(region, SECONDS(120))) == 1) {
		uint64_t asked = atomic_load(&word[0]);
		if (asked == FAREWELL ||
		    (atomic_exchange(&word[1], asked) != asked && (r = ism_region_notify(region)) < 0))
			break;
	}
	ism_close(dev);
	return r == 1 ? 0 : die("friend", r);
}

static bool allowed(int64_t r)
{
	return r >= 0 || r == -EPROTO || r == -EPIPE || r == -ECONNRESET || r == -ETIMEDOUT || r == -EMSGSIZE || r == -EAGAIN;
}

/* One record, copied or in place: what comes is the peer's, but not how much. */
static int64_t read_one(struct ism_ring *ring, uint8_t *buf, bool copy)
{
	const void *record;
	size_t len;

	if (copy) {
		int64_t n = ism_ring_read(ring, buf, BUFFER, 100000);
		return n > BUFFER ? -ERANGE : n;
	}
	int r = ism_ring_peek(ring, &record, &len);
	if (r < 0)
		return r;
	if (len > RING)
		return -ERANGE;
	for (size_t i = 0; i < len; i += 64)	/* within the region, whatever it says */
		buf[i % BUFFER] = ((const uint8_t *)record)[i];
	return ism_ring_release(ring);
}

/* One end after another on a ring that is written over all the time. */
static void use_ring(struct victim *v, struct ism_region *region, uint32_t role, uint64_t nth)
{
	_Atomic uint64_t *count = role == ISM_RING_READER ? &v->s->board->reads : &v->s->board->writes;
	uint8_t buf[BUFFER + 8];
	struct ism_ring *ring;
	int64_t r = 0;

	memset(buf, CANARY, sizeof buf);
	if ((nth % 2 ? ism_ring_attach : ism_ring_create)(region, role, NULL, &ring) < 0)
		return;		/* there is no ring to be seen just now */
	for (uint64_t i = 0; i < 200 && (r >= 0 || r == -EAGAIN); i++) {
		if (role == ISM_RING_READER)
			r = read_one(ring, buf, nth % 4 < 2);
		else
			r = ism_ring_write(ring, buf, (i * 20 + nth) % BUFFER, 100000);
		if (r >= 0)
			atomic_fetch_add(count, 1);
	}
	if (!allowed(r) || memcmp(buf + BUFFER, "\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5", 8) != 0) {
		v->bad = true;
		die("a ring under attack", (long)r);
	}
	ism_ring_close(ring);
}

static void *reader_main(void *arg)
{
	struct victim *v = arg;

	for (uint64_t i = 0; !is_over(v->s); i++) {
		use_ring(v, v->in, ISM_RING_READER, i);
		atomic_fetch_add(&v->s->board->read_ends, 1);
	}
	return NULL;
}

static void *writer_main(void *arg)
{
	struct victim *v = arg;

	for (uint64_t i = 0; !is_over(v->s); i++) {
		use_ring(v, v->out, ISM_RING_WRITER, i);
		atomic_fetch_add(&v->s->board->write_ends, 1);
	}
	return NULL;
}

/* Nobody but this process refers to the guards, which are the rings' neighbours: not a bit, not a doorbell. */
static bool guards_untouched(struct victim *v, bool bytes)
{
	for (int i = 0; i < 3; i++) {
		const uint8_t *at = ism_region_addr(v->guard[i]);
		size_t size = ism_region_size(v->guard[i]), k = 0;
		if (ism_region_clear(v->guard[i]) != 0) {
			fprintf(stderr, "[test] error: guard %d was rung\n", i);
			return false;
		}
		while (bytes && k < size && at[k] == PATTERN)
			k++;
		if (bytes && k < size) {
			fprintf(stderr, "[test] error: guard %d was written at %zu\n", i, k);
			return false;
		}
	}
	return true;
}

static int victim_open(struct victim *v)
{
	struct ism_region **const order[] = { &v->guard[0], &v->in, &v->guard[1], &v->out, &v->guard[2], &v->bell[0], &v->bell[1], &v->friends };
	int r = ism_open(v->s->uri, NULL, &v->dev);

	for (size_t i = 0; i < sizeof order / sizeof order[0] && r == 0; i++)
		r = ism_alloc_region(v->dev, RING, NULL, order[i]);
	for (int i = 0; i < 3 && r == 0; i++)
		memset(ism_region_addr(v->guard[i]), PATTERN, ism_region_size(v->guard[i]));
	channel_put(&v->s->to_friend, r == 0 ? ism_region_token(v->friends) : 0);
	for (int i = 0; i < HOSTILE_MAX; i++)	/* one each: they do not serve each other */
		channel_put(&v->s->to_test, r == 0 ? ism_region_token(v->bell[i]) : 0);
	channel_put(&v->s->to_test, r == 0 ? ism_region_token(v->in) : 0);
	channel_put(&v->s->to_test, r == 0 ? ism_region_token(v->out) : 0);
	return r;
}

/* Ask the friend, who answers once: a doorbell that is lost is a wait without end. */
static int ask_friend(struct victim *v, uint64_t asked)
{
	_Atomic uint64_t *word = ism_region_addr(v->friends);
	double began = harness_now();

	atomic_store(&word[0], asked);
	int r = ism_region_notify(v->friends);
	if (r == 0)
		r = ism_region_wait(v->friends, SECONDS(60));
	if (r != 1)
		return r < 0 ? r : -ETIMEDOUT;
	took(v->s, WITH_FRIEND, began);
	return atomic_load(&word[1]) == asked ? 0 : -EBADMSG;	/* rung by somebody else */
}

static int victim_main(void *arg)
{
	struct victim v = { .s = arg };
	pthread_t reader, writer;
	int r = victim_open(&v);

	if (r < 0)
		return die("victim", r);
	/* The friend comes when it comes, and is not heard of before it is asked. */
	while (ism_region_peers(v.friends, NULL, 0) == 0)
		harness_pause();
	while (ism_region_clear(v.friends) == 1)
		;
	pthread_create(&reader, NULL, reader_main, &v);
	pthread_create(&writer, NULL, writer_main, &v);
	for (uint64_t i = 1; r == 0 && !v.bad && !is_over(v.s); i++) {
		r = ask_friend(&v, i);
		if (!guards_untouched(&v, i % 1024 == 0))
			v.bad = true;
		for (int k = 0; k < HOSTILE_MAX; k++)
			v.bad |= ism_region_wait(v.bell[k], 0) < 0 || ism_region_notify(v.bell[k]) < 0;
	}
	if (r == 0 && !guards_untouched(&v, true))
		v.bad = true;
	if (r < 0)
		die(r == -EBADMSG ? "the friend's region was rung by somebody else" : "no answer from the friend", r);
	while (!is_over(v.s) && r == 0 && !v.bad)
		harness_pause();
	if (r < 0 || v.bad)
		_exit(1);	/* the threads may hang: that is what is told */
	pthread_join(reader, NULL);
	pthread_join(writer, NULL);
	atomic_store((_Atomic uint64_t *)ism_region_addr(v.friends), FAREWELL);
	r = ism_region_notify(v.friends);
	ism_close(v.dev);
	return r < 0 ? die("a last word to the friend", r) : v.bad;
}

/* ------------------------------------------------------------------ two bystanders, who share nothing with them */

struct rings {
	struct ism_ring *out, *in;
	uint64_t sent, received;
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 27;
}

/* Records by number, of different lengths: one that is lost, doubled or damaged shows. */
static int put_record(struct rings *b)
{
	uint64_t buf[64], nr = b->sent++;
	size_t len = 1 + mix(nr) % 64;

	for (size_t i = 0; i < len; i++)
		buf[i] = mix(nr * 64 + i);
	return ism_ring_write(b->out, buf, len * 8, SECONDS(60));
}

static int take_record(struct rings *b)
{
	uint64_t buf[64], nr = b->received++;
	int64_t n = ism_ring_read(b->in, buf, sizeof buf, SECONDS(60));

	if (n < 0)
		return (int)n;
	if ((size_t)n != (1 + mix(nr) % 64) * 8)
		return -EBADMSG;
	for (size_t i = 0; i < (size_t)n / 8; i++) {
		if (buf[i] != mix(nr * 64 + i))
			return -EBADMSG;
	}
	return 0;
}

static int asker_main(void *arg)
{
	struct ism_region *out, *in;
	struct stage *s = arg;
	struct ism_device *dev;
	struct rings b = { 0 };
	int r = ism_open(s->uri, NULL, &dev);

	if (r == 0 && (r = ism_alloc_region(dev, RING, NULL, &out)) == 0 &&
	    (r = ism_alloc_region(dev, RING, NULL, &in)) == 0 &&
	    (r = ism_ring_create(out, ISM_RING_WRITER, NULL, &b.out)) == 0)
		r = ism_ring_create(in, ISM_RING_READER, NULL, &b.in);
	channel_put(&s->to_bystander, r == 0 ? ism_region_token(out) : 0);
	channel_put(&s->to_bystander, r == 0 ? ism_region_token(in) : 0);
	if (r < 0)
		return die("bystander", r);
	while (ism_region_peers(in, NULL, 0) == 0)
		harness_pause();
	while (r == 0 && !is_over(s)) {
		double began = harness_now();
		if ((r = put_record(&b)) == 0 && (r = take_record(&b)) == 0)
			took(s, BYSTANDERS, began);
	}
	ism_ring_close(b.out);
	ism_ring_close(b.in);
	ism_close(dev);
	return r == 0 ? 0 : die("a record of the bystanders", r);
}

static int answerer_main(void *arg)
{
	struct ism_region *out, *in;
	struct stage *s = arg;
	struct ism_device *dev;
	struct rings b = { 0 };
	int r = ism_open(s->uri, NULL, &dev);

	if (r == 0 && (r = ism_attach_region(dev, channel_get(&s->to_bystander), ISM_READ | ISM_WRITE, NULL, &in)) == 0 &&
	    (r = ism_attach_region(dev, channel_get(&s->to_bystander), ISM_READ | ISM_WRITE, NULL, &out)) == 0 &&
	    (r = ism_ring_attach(out, ISM_RING_WRITER, NULL, &b.out)) == 0)
		r = ism_ring_attach(in, ISM_RING_READER, NULL, &b.in);
	while (r == 0 && (r = take_record(&b)) == 0)
		r = put_record(&b);
	if (r != -EPIPE)
		return die("a record of the bystanders", r);
	ism_close(dev);
	return 0;
}

/* ------------------------------------------------------------------ the test */

static double seconds(void)
{
	const char *text = getenv("ISM_TEST_SECONDS");

	return text != NULL ? atof(text) : getenv("ISM_TEST_LONG") != NULL ? 180 : 4;
}

static pid_t hostile_start(struct stage *s, unsigned int seed, uint64_t bell, const uint64_t ring[2])
{
	const char *program = getenv("ISM_TEST_HOSTILE_PEER");
	const uint64_t token[3] = { bell, ring[0], ring[1] };
	char text[4][24];
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(text[0], sizeof text[0], "%u", seed);
	for (int i = 0; i < 3; i++)
		snprintf(text[1 + i], sizeof text[0], "%llx", (unsigned long long)token[i]);
	dup2(s->to_test.fd[1], STDOUT_FILENO);
	execl(program != NULL ? program : "./hostile_peer", "hostile_peer", s->uri, text[0], text[1], text[2], text[3],
	      (char *)NULL);
	_exit(127);
}

static void hostile_ready(struct stage *s)
{
	char c;

	ck_assert_int_eq(read(s->to_test.fd[0], &c, 1), 1);
}

/* Somebody comes, uses the host, and goes. */
static void newcomer(struct stage *s)
{
	struct ism_region *region;
	struct ism_device *dev;
	double began = harness_now();

	ok(ism_open(s->uri, NULL, &dev));
	ok(ism_alloc_region(dev, 4096, NULL, &region));
	ck_assert_int_eq(ok(ism_region_wait(region, 0)), 0);
	ism_close(dev);
	took(s, NEWCOMERS, began);
}

struct progress {
	uint64_t flow[NR_FLOWS], ends;
};

static struct progress look(struct board *b)
{
	struct progress p = { .ends = atomic_load(&b->read_ends) };
	uint64_t writes = atomic_load(&b->write_ends);

	p.ends = p.ends < writes ? p.ends : writes;
	for (int i = 0; i < NR_FLOWS; i++)
		p.flow[i] = atomic_load(&b->flow[i].nr[ALONE]) + atomic_load(&b->flow[i].nr[ATTACKED]);
	return p;
}

/* For so long, and until each has got somewhere. */
static void run_phase(struct stage *s, int phase, double for_seconds)
{
	double began = harness_now(), now = began, seen = began;
	struct progress first = look(s->board), last = first;
	bool all = false;

	atomic_store(&s->board->phase, phase);
	while (now < began + for_seconds || !all) {
		newcomer(s);
		for (int i = 0; i < 20; i++)
			harness_pause();
		struct progress p = look(s->board);
		now = harness_now();
		all = p.flow[WITH_FRIEND] > first.flow[WITH_FRIEND] + 20 && p.flow[BYSTANDERS] > first.flow[BYSTANDERS] + 20 &&
		      p.ends > first.ends + 2;
		if (p.flow[WITH_FRIEND] > last.flow[WITH_FRIEND] && p.flow[BYSTANDERS] > last.flow[BYSTANDERS] && p.ends > last.ends) {
			last = p;
			seen = now;
		}
		ck_assert_msg(now < seen + 60, "no progress for a minute: friend %llu, bystanders %llu, ends of rings %llu",
			      (unsigned long long)p.flow[WITH_FRIEND], (unsigned long long)p.flow[BYSTANDERS],
			      (unsigned long long)p.ends);
	}
}

static void report(struct board *b)
{
	for (int i = 0; i < NR_FLOWS; i++) {
		printf("MEASURED: %s:", flow_name[i]);
		for (int phase = ALONE; phase <= ATTACKED; phase++)
			printf("%s %llu, median %.1f us, 99 %% within %.1f us", phase == ALONE ? "" : "; under attack",
			       (unsigned long long)atomic_load(&b->flow[i].nr[phase]), percentile(&b->flow[i], phase, 0.5),
			       percentile(&b->flow[i], phase, 0.99));
		printf("\n");
	}
	printf("rings under attack: %llu ends read %llu records, %llu ends wrote %llu\n",
	       (unsigned long long)atomic_load(&b->read_ends), (unsigned long long)atomic_load(&b->reads),
	       (unsigned long long)atomic_load(&b->write_ends), (unsigned long long)atomic_load(&b->writes));
}

static void stage_open(struct stage *s)
{
	*s = (struct stage){ .board = mmap(NULL, sizeof *s->board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) };
	ck_assert(s->board != MAP_FAILED);
	snprintf(s->uri, sizeof s->uri, "%s", harness_uri("d"));
	channel_open(&s->to_test);
	channel_open(&s->to_friend);
	channel_open(&s->to_bystander);
}

static void stage_close(struct stage *s)
{
	channel_close(&s->to_test);
	channel_close(&s->to_friend);
	channel_close(&s->to_bystander);
	munmap(s->board, sizeof *s->board);
}

START_TEST(nobody_is_harmed_by_hostile_memory)
{
	pid_t ismd = harness_ismd("d", NULL), innocent[4], hostile[HOSTILE_MAX];
	unsigned int seed = harness_seed(), nr_hostile = getenv("ISM_TEST_LONG") != NULL ? HOSTILE_MAX : 1;
	int (*const mains[])(void *) = { friend_main, victim_main, asker_main, answerer_main };
	static const char *const who[] = { "friend", "victim", "bystander", "the other bystander" };
	uint64_t bell[HOSTILE_MAX], ring[2];
	struct stage s;

	stage_open(&s);
	for (int i = 0; i < 4; i++)
		innocent[i] = harness_fork(mains[i], &s);
	for (int i = 0; i < HOSTILE_MAX; i++)
		bell[i] = channel_get(&s.to_test);
	for (int i = 0; i < 2; i++)
		ring[i] = channel_get(&s.to_test);
	for (unsigned int i = 0; i < nr_hostile; i++)
		hostile[i] = hostile_start(&s, seed + i, bell[i], ring);
	for (unsigned int i = 0; i < nr_hostile; i++)
		hostile_ready(&s);
	printf("%u hostile peers for %.0f s\n", nr_hostile, seconds());
	run_phase(&s, ALONE, seconds() / 4);
	for (unsigned int i = 0; i < nr_hostile; i++)
		kill(hostile[i], SIGUSR1);
	run_phase(&s, ATTACKED, seconds());
	atomic_store(&s.board->phase, OVER);
	report(s.board);
	for (int i = 1; i < 5; i++) {	/* the friend at last: the victim tells it */
		int status = harness_reap(innocent[i % 4], 60);
		ck_assert_msg(status == 0, "%s: status %d", who[i % 4], status);
	}
	for (unsigned int i = 0; i < nr_hostile; i++) {
		kill(hostile[i], SIGKILL);	/* alive until now, and not ended by what it did itself */
		ck_assert_int_eq(harness_reap(hostile[i], 30), 256 + SIGKILL);
	}
	harness_ismd_stop(ismd);
	stage_close(&s);
}
END_TEST

/* ------------------------------------------------------------------ what was attacked */

/* The path of libism.so in this process: false if it is not a library of its own here. */
static bool library_path(char *buf, size_t size)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	bool found = false;

	while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
		char *path = strchr(line, '/');
		found = path != NULL && strstr(path, "/libism.so") != NULL;
		if (found)
			snprintf(buf, size, "%.*s", (int)strcspn(path, "\n"), path);
	}
	if (f != NULL)
		fclose(f);
	return found;
}

START_TEST(it_is_the_library_that_is_measured)
{
	const char *bench = getenv("ISM_TEST_BENCH") != NULL ? getenv("ISM_TEST_BENCH") : "bench/peers/.libs/ism";
	char path[400], cmd[1000], line[512], *real = NULL;
	bool same = false;

	if (!library_path(path, sizeof path))
		harness_skip("built without a shared library");
	printf("attacked: %s\n", path);
	if (access(bench, X_OK) != 0)
		harness_skip("no program of bench/ to compare with");
	/* As libtool's wrapper starts it, and as the dynamic linker then finds it. */
	snprintf(cmd, sizeof cmd, "LD_LIBRARY_PATH='%.*s' ldd '%s'", (int)(strrchr(path, '/') - path), path, bench);
	FILE *f = popen(cmd, "re");
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		char *at = strstr(line, "=> ");
		if (strstr(line, "libism.so") == NULL || at == NULL)
			continue;
		at += 3;
		at[strcspn(at, " \n")] = '\0';
		real = realpath(at, NULL);
		same = real != NULL && strcmp(real, path) == 0;
		free(real);
	}
	ck_assert(f != NULL && pclose(f) == 0);
	ck_assert_msg(same, "%s runs with another libism.so than %s", bench, path);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("attack");
	TCase *tc = harness_tcase(s, "attack", (unsigned int)(seconds() * 2) + 240);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, nobody_is_harmed_by_hostile_memory);
	tcase_add_test(tc, it_is_the_library_that_is_measured);
	return harness_main(argc, argv, suites);
}

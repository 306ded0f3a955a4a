/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_failpoints.c - every system call of the library fails once.
 *
 * A scenario is run again and again, with the next call failing, until none is
 * left to fail.  Each time it has to end, with an error or as if nothing had
 * been, and to leave no descriptor and no mapping behind.  At last sites.py
 * compares the places that made calls with those in the source.
 */
#include "failing.h"
#include "failpoint.h"
#include "harness.h"
#include "scenario.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <ism-emu.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POINTS_MAX = 4000, CALLS_MAX = 64, WAITS_MAX = 40 };

char sites_file[64];

int failing_error(unsigned int n)
{
	return n % 2 == 0 ? -ENOMEM : -EMFILE;
}

/* How often each call failed, and how often the scenario ended well all the same. */
static struct tally {
	const char *call;
	unsigned int failed, absorbed;
} tally[CALLS_MAX];

static void count(const char *call, bool absorbed)
{
	unsigned int i = 0;

	while (tally[i].call != NULL && strcmp(tally[i].call, call) != 0)
		i++;
	ck_assert_uint_lt(i, CALLS_MAX - 1);
	tally[i].call = call;
	tally[i].failed++;
	tally[i].absorbed += absorbed;
}

static void show_tally(const char *what, unsigned int points)
{
	printf("%s: %u points; failed, and of these without effect:", what, points);
	for (const struct tally *t = tally; t->call != NULL; t++)
		printf(" %s %u %u", t->call, t->failed, t->absorbed);
	printf("\n");
	memset(tally, 0, sizeof tally);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *name = path + ftw->base;

	(void)st;
	(void)type;
	return ftw->level > 0 && *name != '.' ? remove(path) : 0;
}

/* A name that could not be removed is still there: a host's successor takes it over.  Nothing else may be left. */
static void remove_left(const char *call)
{
	if (strcmp(call, "unlink") == 0 || strcmp(call, "rmdir") == 0)
		nftw(harness_dir(), remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ------------------------------------------------------------------ in this process */

static int on_loop(void)
{
	int r = scenario("loop:", 0, 30000);

	return r < 0 ? r : corners("loop:");
}

static int on_own_host(void)
{
	return scenario(harness_uri("h"), 0, 30000);
}

static int in_corners(void)
{
	return corners(harness_uri("h"));
}

static int on_default_path(void)
{
	return corner_default_path(harness_dir());
}

void check_result(int r, unsigned int n, const char *call)
{
	ck_assert_msg(r >= 0 || *ism_error_detail() != '\0', "point %u, %s: %d says nothing", n, call, r);
	ck_assert_msg(r != -ETIMEDOUT && r != -EINTR, "point %u, %s: %d: %s", n, call, r, ism_error_detail());
}

/*
 * All calls of one kind fail, one after the other.  How many there are may depend
 * on how the threads of device and host meet, so the end is where two runs in a
 * row have no such call.
 */
static unsigned int fail_each(int (*run)(void), const char *kind, unsigned int max)
{
	unsigned int fds = harness_fds(), mappings = harness_mappings(), failed = 0, without = 0;

	failpoint_pick(kind, NULL);
	for (unsigned int n = 1; n <= max && without < 2; n++) {
		failpoint_fail_at(n, failing_error(n));
		int r = run();
		bool hit = failpoint_name() != NULL;
		failpoint_fail_at(0, 0);
		without = hit ? 0 : without + 1;
		if (!hit) {
			ok(r);
			continue;
		}
		failed++;
		count(kind, r >= 0);
		check_result(r, n, kind);
		eventually(harness_fds() == fds && harness_mappings() == mappings, 30);
		remove_left(kind);
	}
	return failed;
}

/* Of the calls that only wait, whose number has no end, the first. */
static void fail_all(const char *what, int (*run)(void))
{
	unsigned int points = 0;
	const char *kind;

	setenv("ISM_LOG", "none", 1);	/* the host has a lot to tell */
	failpoint_sites_begin();
	failpoint_fail_at(0, 0);
	ok(run());			/* what is made once in a process */
	for (unsigned int i = 0; (kind = failpoint_kind(i)) != NULL; i++) {
		bool waits = strcmp(kind, "epoll_wait") == 0;
		points += fail_each(run, kind, waits ? WAITS_MAX : POINTS_MAX);
	}
	ck_assert_uint_lt(points, POINTS_MAX);
	show_tally(what, points);
	failpoint_sites_write(sites_file);
}

START_TEST(a_loop_device_survives_any_failing_call)
{
	fail_all("loop", on_loop);
}
END_TEST

START_TEST(a_process_that_hosts_survives_any_failing_call)
{
	fail_all("host in a process", on_own_host);
	fail_all("its corners", in_corners);
	fail_all("default path", on_default_path);
}
END_TEST

START_TEST(a_domain_for_a_test_survives_any_failing_call)
{
	setenv("TMPDIR", harness_dir(), 1);
	fail_all("domain for a test", corner_test_domain);
	ok(corner_faults(0));
	ok(corner_faults(ISM_EMU_LOOP));
	failpoint_sites_write(sites_file);
}
END_TEST

/* ------------------------------------------------------------------ the daemon */

pid_t failing_ismd(const char *path, const char *kind, unsigned int n, int role)
{
	const char *program = getenv("ISM_TEST_DOOMED_ISMD");
	char at[16], errno_text[16], group[24];
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	snprintf(at, sizeof at, "%u", n);
	snprintf(errno_text, sizeof errno_text, "%d", role == KEEPER ? ENOMEM : -failing_error(n));
	setenv("ISM_FAILPOINT", at, 1);
	if (kind != NULL)
		setenv("ISM_FAILPOINT_ONLY", kind, 1);
	if (role == KEEPER)
		setenv("ISM_FAILPOINT_KEEPER", "1", 1);
	setenv("ISM_FAILPOINT_ERRNO", errno_text, 1);
	setenv("ISM_FAILPOINT_BUT", "epoll_wait", 0);
	setenv("ISM_FAILPOINT_SITES", sites_file, 1);
	snprintf(group, sizeof group, "group=%u", (unsigned int)getegid());
	execl(program != NULL ? program : "./doomed_ismd", "ismd", "--foreground", "--set", group, "--set",
	      role == KEEPER ? "grace=10" : "grace=30", path, (char *)NULL);
	_exit(127);
}

void kinds_begin(struct kinds *k)
{
	snprintf(k->file, sizeof k->file, "%s/kinds", harness_dir());
	setenv("ISM_FAILPOINT_KINDS", k->file, 1);
}

/* Is the next one among those before it? */
static bool known(const struct kinds *k)
{
	for (unsigned int i = 0; i < k->nr; i++) {
		if (strcmp(k->name[i], k->name[k->nr]) == 0)
			return true;
	}
	return false;
}

void kinds_end(struct kinds *k)
{
	FILE *f = fopen(k->file, "r");

	ck_assert_ptr_nonnull(f);
	for (k->nr = 0; k->nr < KINDS_MAX && fscanf(f, "%23s", k->name[k->nr]) == 1;)
		k->nr += strcmp(k->name[k->nr], "epoll_wait") != 0 && !known(k);	/* the one has no end */
	fclose(f);
	unlink(k->file);
	unsetenv("ISM_FAILPOINT_KINDS");
	ck_assert_uint_gt(k->nr, 10);
}

static unsigned int fds_of(pid_t pid)
{
	char path[40];
	unsigned int n = 0;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n;
}

/* Its descriptors when it has one device, all others having gone; as soon as there are no more than @most. */
static unsigned int fds_when_alone(pid_t pid, const char *uri, unsigned int most)
{
	struct ism_device_entry e[16];
	struct ism_device *dev;
	uint64_t cursor = 0;
	unsigned int n;

	ok(ism_open(uri, NULL, &dev));
	eventually((cursor = 0, ism_list_devices(dev, e, 16, sizeof e[0], &cursor)) == 1, 30);
	eventually((n = fds_of(pid)) <= most, 30);
	ism_close(dev);
	return n;
}

bool await_ismd(pid_t pid, const char *uri)
{
	struct ism_open_opts opts = { .size = sizeof opts, .flags = ISM_OPEN_NO_HOST, .timeout_ms = 5000 };
	struct ism_device *dev;
	siginfo_t info = { .si_pid = 0 };
	int r;

	while ((r = ism_open(uri, &opts, &dev)) < 0 &&
	       waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0)
		harness_pause();
	if (r == 0)
		ism_close(dev);
	return r == 0;
}

/* A daemon whose @n-th call of @kind fails: it does not start, or it serves on and keeps no more than @fds descriptors. */
static enum daemon daemon_fails_at(const char *uri, const char *kind, unsigned int n, unsigned int fds)
{
	pid_t pid = failing_ismd(uri + strlen("emu:"), kind, n, DAEMON);
	bool served = await_ismd(pid, uri);

	if (served) {
		check_result(scenario(uri, 0, 30000), n, kind);
		kill(pid, SIGUSR2);	/* from here on nothing fails */
		ok(scenario(uri, 0, 30000));
		ck_assert_uint_le(fds_when_alone(pid, uri, fds), fds);
		kill(pid, SIGTERM);
	}
	int status = harness_reap(pid, 30);
	ck_assert_msg(served ? status == SERVED || status == NOT_REACHED : status == NOT_STARTED, "%s %u: status %d", kind, n,
		      status);
	return (enum daemon)status;
}

START_TEST(the_daemon_survives_any_failing_call)
{
	unsigned int served = 0, points = 0, fds;
	struct kinds kinds;
	char uri[160];

	setenv("ISM_LOG", "none", 1);
	snprintf(uri, sizeof uri, "%s", harness_uri("d"));
	/* One with which all is well; and no other comes beside it. */
	kinds_begin(&kinds);
	pid_t first = failing_ismd(uri + strlen("emu:"), NULL, 0, DAEMON);
	ck_assert(await_ismd(first, uri));
	ok(scenario(uri, 0, 30000));
	ok(corners(uri));
	fds = fds_when_alone(first, uri, UINT_MAX);
	ck_assert_int_eq(harness_reap(failing_ismd(uri + strlen("emu:"), NULL, 0, DAEMON), 30), NOT_STARTED);
	kill(first, SIGTERM);
	ck_assert_int_eq(harness_reap(first, 30), SERVED);
	kinds_end(&kinds);
	for (unsigned int i = 0; i < kinds.nr; i++) {
		for (unsigned int n = 1, without = 0; without < 2; n++) {
			enum daemon end = daemon_fails_at(uri, kinds.name[i], n, fds);
			served += end == SERVED;
			points += end != NOT_REACHED;
			without = end == NOT_REACHED ? without + 1 : 0;
			ck_assert_uint_lt(n, POINTS_MAX);
		}
	}
	ck_assert_uint_gt(served, 50);
	printf("daemon: %u points; it served on after %u of them, and did not start after the others\n", points, served);
}
END_TEST

/* ------------------------------------------------------------------ the places */

START_TEST(every_place_that_makes_a_call_was_there_or_is_excused)
{
	const char *python = getenv("PYTHON"), *source = getenv("ISM_TEST_SOURCE");
	char command[512];

	if (python == NULL || *python == '\0' || source == NULL)
		harness_skip("no python3, or not run by make check");
	if (system("addr2line --version >/dev/null 2>&1") != 0)
		harness_skip("no addr2line (package binutils)");
	snprintf(command, sizeof command, "'%s' '%s/tests/multi/sites.py' '%s' '%s'", python, source, source, sites_file);
	fflush(stdout);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

static Suite *failpoints_suite(void)
{
	Suite *s = suite_create("failpoints");
	TCase *tc = harness_tcase(s, "failpoints", 900);

	tcase_add_test(tc, a_loop_device_survives_any_failing_call);
	tcase_add_test(tc, a_process_that_hosts_survives_any_failing_call);
	tcase_add_test(tc, a_domain_for_a_test_survives_any_failing_call);
	tcase_add_test(tc, the_daemon_survives_any_failing_call);
	add_restart_tests(s);
	tc = harness_tcase(s, "places", 300);
	const char *without = getenv("ISM_TEST_WITHOUT");
	/* A sanitizer has frames of its own on the stack; and the list is for a library that has everything. */
	if (!HARNESS_SANITIZED && (without == NULL || *without == '\0'))
		tcase_add_test(tc, every_place_that_makes_a_call_was_there_or_is_excused);
	return s;
}

int main(int argc, char **argv)
{
	Suite *const suites[] = { failpoints_suite(), NULL };
	int fd;

	snprintf(sites_file, sizeof sites_file, "/tmp/ism-sites.XXXXXX");
	fd = mkstemp(sites_file);
	if (fd < 0) {
		perror(sites_file);
		return EXIT_FAILURE;
	}
	close(fd);
	int status = harness_main(argc, argv, suites);
	unlink(sites_file);
	return status;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * harness.c - what the test programs share.
 */
#include "harness.h"

#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHILDREN_MAX = 128 };

static char dir[96];
static char expected[8][64];
static unsigned int nr_expected;
static int log_fd = -1;			/* standard error of the library while a test runs */
static int stderr_fd = -1;		/* the real one */
static unsigned int fds_before;
static pid_t children[CHILDREN_MAX];
static unsigned int nr_children;
static int *shared_skips;		/* counted in the test's process, read in the program's */

/* ------------------------------------------------------------------ time */

double harness_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void harness_pause(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* ------------------------------------------------------------------ chance */

unsigned int harness_seed(void)
{
	const char *text = getenv("ISM_TEST_SEED");
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	unsigned int seed = text != NULL ? (unsigned int)strtoul(text, NULL, 10)
					 : (unsigned int)(ts.tv_nsec ^ ts.tv_sec << 10 ^ (long)getpid() << 5);
	printf("seed %u: again with ISM_TEST_SEED=%u\n", seed, seed);
	fflush(stdout);		/* of all things not to be lost with a test that fails */
	return seed;
}

/* ------------------------------------------------------------------ what a test may leave: nothing */

unsigned int harness_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	unsigned int n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		int fd = atoi(e->d_name);
		if (e->d_name[0] != '.' && fd != dirfd(d) && fd != log_fd && fd != stderr_fd)
			n++;
	}
	closedir(d);
	return n;
}

unsigned int harness_mapped(const char *name)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char *line = NULL;
	unsigned int n = 0;
	size_t size = 0;

	ck_assert_ptr_nonnull(f);
	while (getline(&line, &size, f) >= 0)
		n += strstr(line, name) != NULL;
	free(line);
	fclose(f);
	return n;
}

unsigned int harness_mappings(void)
{
	return harness_mapped("memfd:ism-");
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* The names left in the test's directory, but for those that begin with a dot. */
static void list_left(char *buf, size_t size)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	*buf = '\0';
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		strlcat(buf, " ", size);
		strlcat(buf, e->d_name, size);
	}
	if (d != NULL)
		closedir(d);
}

const char *harness_dir(void)
{
	return dir;
}

const char *harness_uri(const char *name)
{
	static char buf[4][sizeof dir + 40];
	static unsigned int next;
	char *b = buf[next++ % 4];

	snprintf(b, sizeof buf[0], "emu:%s/%s", dir, name);
	return b;
}

void harness_expect_log(const char *words)
{
	ck_assert_uint_lt(nr_expected, 8);
	snprintf(expected[nr_expected++], sizeof expected[0], "%s", words);
}

static bool is_expected(const char *line)
{
	for (unsigned int i = 0; i < nr_expected; i++) {
		if (strstr(line, expected[i]) != NULL)
			return true;
	}
	return false;
}

/* Show what was logged; the first error that nobody announced. */
static bool unexpected_log(char *ret, size_t size)
{
	FILE *f = fdopen(dup(log_fd), "r");
	bool found = false;
	char *line = NULL;
	size_t cap = 0;

	rewind(f);
	while (getline(&line, &cap, f) >= 0) {
		dprintf(stderr_fd, "  log: %s", line);
		bool error = strstr(line, "] error: ") != NULL || strstr(line, "] warn: ") != NULL;
		if (error && !found && !is_expected(line)) {
			snprintf(ret, size, "%s", line);
			found = true;
		}
	}
	free(line);
	fclose(f);
	return found;
}

/* ------------------------------------------------------------------ around each test */

static void setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof dir, "%s/ism-test.XXXXXX", tmp != NULL && *tmp == '/' && strlen(tmp) < 40 ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	setenv("ISM_RUNTIME_DIR", dir, 1);
	unsetenv("ISM_DEVICE");
	setenv("ISM_LOG", "warn", 1);
	signal(SIGPIPE, SIG_DFL);
	nr_expected = nr_children = 0;
	fflush(stderr);
	stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 200);
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC | O_APPEND, 0600);
	log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 201);
	close(fd);
	ck_assert_int_ge(log_fd, 0);
	dup2(log_fd, STDERR_FILENO);
	fds_before = harness_fds();
}

static void teardown(void)
{
	char left[256], line[256];

	for (unsigned int i = 0; i < nr_children; i++) {
		kill(children[i], SIGKILL);
		while (waitpid(children[i], NULL, 0) < 0 && errno == EINTR)
			;
	}
	fflush(stderr);
	dup2(stderr_fd, STDERR_FILENO);
	bool bad_log = unexpected_log(line, sizeof line);
	list_left(left, sizeof left);
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	unsigned int fds = harness_fds(), mappings = harness_mappings();
	ck_assert_msg(!bad_log, "an error was logged that the test did not announce: %s", line);
	ck_assert_msg(*left == '\0', "files left behind:%s", left);
	ck_assert_msg(fds == fds_before, "%u descriptors open at the end, %u at the beginning", fds, fds_before);
	ck_assert_msg(mappings == 0, "%u mappings of memory objects left", mappings);
	ck_assert_msg(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "a child left behind");
	close(stderr_fd);
	close(log_fd);
	stderr_fd = log_fd = -1;
}

TCase *harness_tcase(Suite *suite, const char *name, unsigned int timeout_s)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, timeout_s);
	suite_add_tcase(suite, tc);
	return tc;
}

void harness_skip(const char *why)
{
	__atomic_fetch_add(shared_skips, 1, __ATOMIC_RELAXED);
	dprintf(stderr_fd >= 0 ? stderr_fd : STDERR_FILENO, "SKIP: %s\n", why);
	fflush(stdout);
	if (stderr_fd >= 0) {
		dup2(stderr_fd, STDERR_FILENO);
		nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	}
	_exit(0);	/* Check counts it as passed; harness_main() corrects that */
}

int harness_main(int argc, char **argv, Suite *const *suites)
{
	SRunner *runner = srunner_create(suites[0]);

	(void)argc;
	(void)argv;
	shared_skips = mmap(NULL, sizeof *shared_skips, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 1; suites[i] != NULL; i++)
		srunner_add_suite(runner, suites[i]);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner), run = srunner_ntests_run(runner), skipped = *shared_skips;
	srunner_free(runner);
	printf("%d passed, %d failed, %d skipped\n", run - failed - skipped, failed, skipped);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ------------------------------------------------------------------ processes */

static void remember(pid_t pid)
{
	ck_assert_uint_lt(nr_children, CHILDREN_MAX);
	children[nr_children++] = pid;
}

static void forget(pid_t pid)
{
	for (unsigned int i = 0; i < nr_children; i++) {
		if (children[i] == pid) {
			children[i] = children[--nr_children];
			return;
		}
	}
}

pid_t harness_fork(int (*child)(void *arg), void *arg)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		nr_children = 0;
		_exit(child(arg));
	}
	remember(pid);
	return pid;
}

int harness_reap(pid_t pid, double seconds)
{
	double end = harness_now() + seconds;
	int status;
	pid_t r;

	while ((r = waitpid(pid, &status, WNOHANG)) == 0 || (r < 0 && errno == EINTR)) {
		ck_assert_msg(harness_now() < end, "process %d did not end within %g s", (int)pid, seconds);
		harness_pause();
	}
	ck_assert_int_eq(r, pid);
	forget(pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

void harness_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	harness_reap(pid, 30);
}

void harness_stop(pid_t pid)
{
	double end = harness_now() + 30;
	int status;
	pid_t r;

	kill(pid, SIGSTOP);
	while ((r = waitpid(pid, &status, WNOHANG | WUNTRACED)) == 0 || (r < 0 && errno == EINTR)) {
		ck_assert_msg(harness_now() < end, "process %d did not stop within 30 s", (int)pid);
		harness_pause();
	}
	ck_assert_int_eq(r, pid);
	ck_assert_msg(WIFSTOPPED(status), "process %d ended instead of being stopped", (int)pid);
}

void channel_open(struct channel *c)
{
	ck_assert_int_eq(pipe2(c->fd, O_CLOEXEC), 0);
}

void channel_close(struct channel *c)
{
	close(c->fd[0]);
	close(c->fd[1]);
}

void channel_put(struct channel *c, uint64_t word)
{
	ck_assert_int_eq(write(c->fd[1], &word, sizeof word), sizeof word);
}

uint64_t channel_get(struct channel *c)
{
	struct pollfd p = { .fd = c->fd[0], .events = POLLIN };
	uint64_t word;

	ck_assert_msg(poll(&p, 1, 60000) == 1, "nothing came through the channel within 60 s");
	ck_assert_int_eq(read(c->fd[0], &word, sizeof word), sizeof word);
	return word;
}

/* ------------------------------------------------------------------ ismd */

static bool listens(const char *uri)
{
	struct ism_open_opts opts = { .size = sizeof opts, .flags = ISM_OPEN_NO_HOST };
	struct ism_device *dev;

	if (access(uri + strlen("emu:"), F_OK) != 0 || ism_open(uri, &opts, &dev) < 0)
		return false;
	ism_close(dev);
	return true;
}

pid_t harness_ismd(const char *name, const char *const *more_args)
{
	/* Most tests want its death to be the end of the domain. */
	const char *args[14] = { "--set", "keep=no" };

	for (size_t i = 0; more_args != NULL && more_args[i] != NULL && i < 11; i++)
		args[2 + i] = more_args[i];
	return harness_ismd_kept(name, args);
}

pid_t harness_ismd_kept(const char *name, const char *const *more_args)
{
	const char *program = getenv("ISM_TEST_ISMD"), *uri = harness_uri(name);
	char *argv[16] = { strdup("ismd"), strdup("--foreground") };
	size_t n = 2;
	pid_t pid;

	while (more_args != NULL && *more_args != NULL && n < 14)
		argv[n++] = strdup(*more_args++);
	argv[n++] = strdup(uri + strlen("emu:"));
	if (program == NULL)
		program = "./ismd";
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(program, argv);
		_exit(127);
	}
	remember(pid);
	while (n > 0)
		free(argv[--n]);
	eventually(listens(uri) || kill(pid, 0) != 0 || waitpid(pid, NULL, WNOHANG) == pid, 60);
	ck_assert_msg(kill(pid, 0) == 0, "%s did not start", program);
	return pid;
}

void harness_ismd_stop(pid_t pid)
{
	kill(pid, SIGTERM);
	ck_assert_int_eq(harness_reap(pid, 30), 0);
}

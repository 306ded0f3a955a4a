/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * harness.h - what the test programs share.
 *
 * A program is a list of suites; every test runs in a process of its own (so
 * a crash is one failure), in a private runtime directory, under a deadline, and
 * fails if it leaves a descriptor, a mapping, a child or a file behind, or if the
 * library logged an error that the test did not announce.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <check.h>
#include <ism.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef NDEBUG
#error "tests need their assertions"
#endif

/* Built with a sanitizer, which does things of its own (system calls, memory). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HARNESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HARNESS_SANITIZED 1
#endif
#endif
#ifndef HARNESS_SANITIZED
#define HARNESS_SANITIZED 0
#endif

/* Built for a system that lacks something: configure --without-memfd, --without-peercred. */
#ifndef ISM_WITHOUT_MEMFD
#define ISM_WITHOUT_MEMFD 0
#endif
#ifndef ISM_WITHOUT_PEERCRED
#define ISM_WITHOUT_PEERCRED 0
#endif
#define HARNESS_NEEDS_SEALS()                                                                                          \
	do {                                                                                                           \
		if (ISM_WITHOUT_MEMFD)                                                                                 \
			harness_skip("built --without-memfd: there are no seals");                                    \
	} while (0)
#define HARNESS_NEEDS_PIDS()                                                                                           \
	do {                                                                                                           \
		if (ISM_WITHOUT_PEERCRED)                                                                              \
			harness_skip("built --without-peercred: process ids are not known");                          \
	} while (0)

/* Run all, print "N passed, N failed, N skipped" as the last line; the exit status. */
int harness_main(int argc, char **argv, Suite *const *suites);

/* A test case with the checks described above around each test. */
TCase *harness_tcase(Suite *suite, const char *name, unsigned int timeout_s);

/* This test cannot run here: says why, counts as skipped.  Does not return. */
void harness_skip(const char *why) __attribute__((noreturn));

/* The private directory of this test: $ISM_RUNTIME_DIR too. */
const char *harness_dir(void);
/* "emu:DIR/NAME" in a buffer of its own for each call (four). */
const char *harness_uri(const char *name);
/* An error with these words in it may be logged from now on. */
void harness_expect_log(const char *words);

/* ------------------------------------------------------------------ assertions */

/* @expr must be a success; says the library's own words if not. */
#define ok(expr)                                                                                                       \
	__extension__({                                                                                                \
		long ok_ret_ = (long)(expr);                                                                           \
		ck_assert_msg(ok_ret_ >= 0, "%s = %ld (%s): %s", #expr, ok_ret_, ism_strerror((int)ok_ret_),           \
			      ism_error_detail());                                                                     \
		ok_ret_;                                                                                               \
	})

/* @expr must fail with this code, and say why. */
#define fails(expr, code)                                                                                              \
	do {                                                                                                           \
		long fails_ret_ = (long)(expr);                                                                        \
		ck_assert_msg(fails_ret_ == (code), "%s = %ld (%s): expected %s", #expr, fails_ret_,                   \
			      fails_ret_ < 0 ? ism_error_detail() : "success", #code);                                 \
		ck_assert_msg(*ism_error_detail() != '\0', "%s says nothing", #expr);                                  \
	} while (0)

/* Wait until @cond holds; fail after @seconds. */
#define eventually(cond, seconds)                                                                                      \
	do {                                                                                                           \
		double eventually_end_ = harness_now() + (seconds);                                                    \
		while (!(cond)) {                                                                                      \
			ck_assert_msg(harness_now() < eventually_end_, "not within %g s: %s", (double)(seconds), #cond);       \
			harness_pause();                                                                               \
		}                                                                                                      \
	} while (0)

/* What random choices of this run begin with: $ISM_TEST_SEED, or another each time; printed, to do it again. */
unsigned int harness_seed(void);

double harness_now(void);
void harness_pause(void);		/* a millisecond between two looks */

/* Nanoseconds, for timeouts that must not be reached. */
#define SECONDS(n) ((int64_t)((n) * 1e9))

/* ------------------------------------------------------------------ processes */

/* A child that runs @main(arg) and exits with what it returns; killed and reaped after the test. */
pid_t harness_fork(int (*main)(void *arg), void *arg);
/* Wait for it: its exit status, or 256 + the signal that ended it.  Fails after @seconds. */
int harness_reap(pid_t pid, double seconds);
/* kill -9, and reap. */
void harness_kill(pid_t pid);
/* kill -STOP of a child: it does stand still when this returns. */
void harness_stop(pid_t pid);

/* A pipe to say things to a child, or hear them: 64-bit words. */
struct channel {
	int fd[2];
};
void channel_open(struct channel *c);
void channel_close(struct channel *c);
void channel_put(struct channel *c, uint64_t word);
/* Fails after a minute. */
uint64_t channel_get(struct channel *c);

/* ismd, in the foreground, hosting harness_uri(name) and without a keeper; ready when this returns. */
pid_t harness_ismd(const char *name, const char *const *more_args);
/* The same as a user has it: with one. */
pid_t harness_ismd_kept(const char *name, const char *const *more_args);
/* SIGTERM; it must end with status 0 and leave nothing. */
void harness_ismd_stop(pid_t pid);

/* Open descriptors of this process, but for the test's own log; mappings of libism's objects. */
unsigned int harness_fds(void);
unsigned int harness_mappings(void);
/* Of those whose name has this in it: regions are "/memfd:ism-region". */
unsigned int harness_mapped(const char *name);

#endif /* HARNESS_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_store.c - region memory: what we make cannot be turned against a peer,
 * and what could be is not taken from a client.
 */
#include "base/log.h"
#include "base/sys.h"
#include "store.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum {
	SIZE = 3 * CHUNK,
	SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
	NOEXEC = 0x20,		/* F_SEAL_EXEC, which some machines add by themselves */
	NOBODY = 65534,
};

/* A memfd as a client might send it. */
static int object(size_t size, mode_t mode, int seals)
{
	int fd = memfd_create("ism-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	if (seals != 0)
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static int reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

/* Size and name may not change. */
static void cannot_resize(int fd, size_t size)
{
	ck_assert_int_eq(ftruncate(fd, (off_t)size / 2), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(ftruncate(fd, (off_t)size * 2), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	ck_assert_int_eq(errno, EPERM);
}

static bool can_map(int fd, size_t size, int prot)
{
	void *p = mmap(NULL, size, prot, MAP_SHARED, fd, 0);

	if (p != MAP_FAILED)
		munmap(p, size);
	return p != MAP_FAILED;
}

static bool can_make_writable(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	int r = mprotect(p, size, PROT_READ | PROT_WRITE);
	munmap(p, size);
	return r == 0;
}

/* ------------------------------------------------------------------ what we make */

START_TEST(an_object_is_sealed_and_private)
{
	struct store s = STORE_INIT;
	struct stat st;

	HARNESS_NEEDS_SEALS();
	ok(store_create(&s, SIZE, false));
	ck_assert_uint_eq(s.size, SIZE);
	ck_assert_int_eq(s.ro_fd, -1);
	ck_assert(!s.huge);
	ck_assert_int_eq(fcntl(s.fd, F_GET_SEALS) & ~NOEXEC, SEALS);
	ck_assert_int_eq(fcntl(s.fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fstat(s.fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(st.st_size, SIZE);
	ck_assert_int_eq(st.st_blocks, 0);	/* no page before it is used */
	cannot_resize(s.fd, SIZE);
	ck_assert(can_map(s.fd, SIZE, PROT_READ | PROT_WRITE));
	store_close(&s);
	ck_assert_int_eq(s.fd, -1);
	store_close(&s);
}
END_TEST

START_TEST(what_cannot_be_made_leaves_nothing)
{
	struct store s = STORE_INIT;

	fails(store_create(&s, UINT64_C(1) << 63, false), -EINVAL);
	ck_assert_int_eq(s.fd, -1);
}
END_TEST

START_TEST(a_limit_of_file_sizes_is_an_error_and_no_signal)
{
	struct rlimit lim, small;
	struct store s;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &lim), 0);
	small = (struct rlimit){ SIZE - 1, lim.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	int r = store_create(&s, SIZE, false);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &lim), 0);	/* the test has files of its own */
	ck_assert_int_eq(r, -ENOMEM);
	ck_assert_ptr_nonnull(strstr(ismi_fail_text(), "ulimit -f"));
}
END_TEST

START_TEST(huge_pages_come_or_are_refused_in_words)
{
	struct store s = STORE_INIT;
	int r = store_create(&s, 2 << 20, true);

	if (r < 0) {
		ck_assert(r == -EOPNOTSUPP || r == -ENOMEM);
		ck_assert_str_ne(ismi_fail_text(), "");
		return;
	}
	ck_assert(s.huge);
	ck_assert_int_eq(fcntl(s.fd, F_GET_SEALS) & ~NOEXEC, SEALS);
	store_close(&s);
}
END_TEST

START_TEST(a_read_only_descriptor_cannot_be_mapped_for_writing)
{
	struct store s = STORE_INIT;

	ok(store_create(&s, SIZE, false));
	int ro = (int)ok(store_ro_fd(&s));
	ck_assert_int_eq((int)ok(store_ro_fd(&s)), ro);
	ck_assert_int_ne(ro, s.fd);
	ck_assert_int_eq(fcntl(ro, F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(fcntl(ro, F_GETFD), FD_CLOEXEC);
	ck_assert(can_map(ro, SIZE, PROT_READ));
	ck_assert(!can_map(ro, SIZE, PROT_READ | PROT_WRITE));
	ck_assert(!can_map(ro, SIZE, PROT_WRITE));
	ck_assert(!can_make_writable(ro, SIZE));
	ck_assert_int_eq(write(ro, "x", 1), -1);
	ck_assert_int_eq(ftruncate(ro, SIZE), -1);
	ck_assert_int_eq(fallocate(ro, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
	fcntl(ro, F_SETFL, O_RDWR);	/* gives no right to write */
	ck_assert(!can_map(ro, SIZE, PROT_WRITE));
	store_close(&s);
}
END_TEST

/* As another user: which of these can be opened for writing?  A bit for each. */
static int nobody_reopens(void *arg)
{
	const int *fds = arg;
	int bits = 0;

	if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		return 99;
	/* Or else /proc/self itself would refuse, whatever the file's mode is. */
	if (prctl(PR_SET_DUMPABLE, 1) < 0)
		return 99;
	for (int i = 0; i < 3; i++) {
		if (reopen(fds[i], O_RDWR) >= 0)
			bits |= 1 << i;
		if (i > 0 && reopen(fds[i], O_WRONLY) >= 0)
			bits |= 8 << i;
	}
	return bits;
}

START_TEST(a_read_only_descriptor_cannot_be_reopened_by_another_user)
{
	struct store s = STORE_INIT;
	int fds[3];

	if (geteuid() != 0)
		harness_skip("reopening as another user needs root, to become that user");
	ok(store_create(&s, SIZE, false));
	int open_to_all = object(SIZE, 0777, SEALS);
	fds[0] = reopen(open_to_all, O_RDONLY);	/* to see that the attempt itself works */
	fds[1] = dup((int)ok(store_ro_fd(&s)));
	fds[2] = dup(s.fd);
	ck_assert_int_eq(harness_reap(harness_fork(nobody_reopens, fds), 30), 1);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(open_to_all);
	store_close(&s);
}
END_TEST

START_TEST(what_is_shown_is_written_by_the_host_alone)
{
	void *addr;
	int fd;

	HARNESS_NEEDS_SEALS();
	ok(store_create_shown(SIZE, &addr, &fd));
	volatile char *mine = addr;
	const volatile char *theirs = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne((void *)(uintptr_t)theirs, MAP_FAILED);
	mine[SIZE - 1] = 'x';
	ck_assert_int_eq(theirs[SIZE - 1], 'x');
	ck_assert_int_eq(mprotect((void *)(uintptr_t)theirs, SIZE, PROT_READ | PROT_WRITE), -1);
	ck_assert(!can_map(fd, SIZE, PROT_READ | PROT_WRITE));
	ck_assert_int_eq(write(fd, "x", 1), -1);
	ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
	int again = reopen(fd, O_RDWR);		/* as its owner */
	ck_assert_int_ge(again, 0);
	ck_assert(!can_map(again, SIZE, PROT_READ | PROT_WRITE));
	cannot_resize(again, SIZE);
	ok(store_check_size(fd, SIZE));
	mine[0] = 'y';				/* and we still write */
	ck_assert_int_eq(theirs[0], 'y');
	munmap((void *)(uintptr_t)theirs, SIZE);
	munmap(addr, SIZE);
	close(again);
	ismi_sys_close(fd);
}
END_TEST

START_TEST(what_is_shared_is_written_by_both_and_keeps_its_size)
{
	void *addr;
	int fd;

	HARNESS_NEEDS_SEALS();
	ok(store_create_shared(SIZE, &addr, &fd));
	volatile char *mine = addr, *theirs = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne((void *)(uintptr_t)theirs, MAP_FAILED);
	theirs[1] = 'z';
	ck_assert_int_eq(mine[1], 'z');
	cannot_resize(fd, SIZE);
	munmap((void *)(uintptr_t)theirs, SIZE);
	munmap(addr, SIZE);
	ismi_sys_close(fd);
}
END_TEST

/* ------------------------------------------------------------------ what we take over */

static void is_adopted(int fd, int ro_fd, uint64_t size)
{
	struct store s = STORE_INIT;

	ok(store_adopt(&s, fd, ro_fd, size));
	ck_assert_int_eq(s.fd, fd);
	ck_assert_int_eq(s.ro_fd, ro_fd);
	ck_assert_uint_eq(s.size, size);
	ck_assert(!s.huge);
}

/* Refused, in words, and the descriptors stay the caller's, who closes them. */
static void is_refused(int fd, int ro_fd, uint64_t size)
{
	struct store s = STORE_INIT;

	ismi_fail_const(0, "");
	ck_assert_int_eq(store_adopt(&s, fd, ro_fd, size), -EPROTO);
	ck_assert_str_ne(ismi_fail_text(), "");
	ck_assert_int_eq(s.fd, -1);
	ck_assert_int_eq(s.ro_fd, -1);
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
	close(fd);
	if (ro_fd >= 0)
		ck_assert_int_eq(close(ro_fd), 0);
}

START_TEST(what_store_create_makes_is_taken)
{
	int fd = object(SIZE, 0600, SEALS), ro = reopen(fd, O_RDONLY);

	is_adopted(fd, -1, SIZE);
	is_adopted(fd, ro, SIZE);
	close(ro);
	close(fd);
	fd = object(SIZE, 0600, 0);
	if (fcntl(fd, F_ADD_SEALS, NOEXEC) == 0 || errno == EINVAL) {
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
		is_adopted(fd, -1, SIZE);
	}
	close(fd);
}
END_TEST

START_TEST(an_object_of_another_size_is_refused)
{
	is_refused(object(SIZE, 0600, SEALS), -1, SIZE + 1);
	is_refused(object(SIZE, 0600, SEALS), -1, SIZE - 1);
	is_refused(object(SIZE, 0600, SEALS), -1, SIZE + ((uint64_t)1 << 32));
	is_refused(object(0, 0600, SEALS), -1, SIZE);
	int fd = object(SIZE, 0600, 0);		/* it has shrunk since */
	ck_assert_int_eq(ftruncate(fd, SIZE - 4096), 0);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	is_refused(fd, -1, SIZE);
}
END_TEST

START_TEST(an_object_without_all_its_seals_is_refused)
{
	static const int seals[] = { F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL };

	HARNESS_NEEDS_SEALS();
	for (int bits = 0; bits < 7; bits++) {
		int some = 0;
		for (int i = 0; i < 3; i++)
			some |= bits >> i & 1 ? seals[i] : 0;
		is_refused(object(SIZE, 0600, some), -1, SIZE);
	}
}
END_TEST

START_TEST(an_object_that_others_could_not_write_is_refused)
{
	HARNESS_NEEDS_SEALS();
	is_refused(object(SIZE, 0600, SEALS | F_SEAL_WRITE), -1, SIZE);
	is_refused(object(SIZE, 0600, SEALS | F_SEAL_FUTURE_WRITE), -1, SIZE);
}
END_TEST

START_TEST(an_object_that_others_may_open_is_refused)
{
	static const mode_t modes[] = { 0777, 0700, 0660, 0640, 0604, 0602, 0400, 0200, 0, 04600, 01600 };

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		is_refused(object(SIZE, modes[i], SEALS), -1, SIZE);
}
END_TEST

START_TEST(what_is_no_memory_object_is_refused)
{
	char path[128];
	int pair[2];

	HARNESS_NEEDS_SEALS();
	snprintf(path, sizeof path, "%s/.file", harness_dir());
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	is_refused(fd, -1, SIZE);
	fd = open("/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);	/* tmpfs, but of no memfd: unsealed */
	if (fd >= 0) {
		ck_assert_int_eq(ftruncate(fd, SIZE), 0);
		is_refused(fd, -1, SIZE);
	}
	ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
	is_refused(pair[0], -1, SIZE);
	is_refused(pair[1], -1, SIZE);
	is_refused(open("/dev/null", O_RDWR | O_CLOEXEC), -1, 0);
	is_refused(open(harness_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), -1, SIZE);
	is_refused(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), -1, 0);
}
END_TEST

START_TEST(a_descriptor_with_the_wrong_access_is_refused)
{
	int fd = object(SIZE, 0600, SEALS);

	is_refused(reopen(fd, O_PATH), -1, SIZE);
	is_refused(reopen(fd, O_RDONLY), -1, SIZE);
	is_refused(reopen(fd, O_WRONLY), -1, SIZE);
	is_refused(dup(fd), reopen(fd, O_RDWR), SIZE);
	is_refused(dup(fd), reopen(fd, O_WRONLY), SIZE);
	is_refused(dup(fd), reopen(fd, O_PATH), SIZE);
	is_refused(dup(fd), dup(fd), SIZE);
	close(fd);
}
END_TEST

START_TEST(a_read_only_descriptor_of_another_object_is_refused)
{
	int fd = object(SIZE, 0600, SEALS), other = object(SIZE, 0600, SEALS);

	is_refused(dup(fd), reopen(other, O_RDONLY), SIZE);
	is_refused(dup(fd), open("/dev/zero", O_RDONLY | O_CLOEXEC), SIZE);
	is_refused(dup(fd), open("/proc/self/stat", O_RDONLY | O_CLOEXEC), SIZE);
	close(other);
	close(fd);
}
END_TEST

/* ------------------------------------------------------------------ what a host sends */

START_TEST(the_hosts_memory_must_be_sealed_and_large_enough)
{
	int fd = object(SIZE, 0600, SEALS), pair[2];

	HARNESS_NEEDS_SEALS();
	ok(store_check_size(fd, SIZE));
	ok(store_check_size(fd, 1));
	fails(store_check_size(fd, SIZE + 1), -EPROTO);
	close(fd);
	fd = object(SIZE, 0600, F_SEAL_SHRINK | F_SEAL_GROW);
	ok(store_check_size(fd, SIZE));
	close(fd);
	fd = object(SIZE, 0600, F_SEAL_GROW | F_SEAL_SEAL);
	fails(store_check_size(fd, SIZE), -EPROTO);
	close(fd);
	ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
	fails(store_check_size(pair[0], 0), -EPROTO);
	fails(store_check_size(-1, 0), -EPROTO);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("store");
	TCase *tc = harness_tcase(s, "store", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, an_object_is_sealed_and_private);
	tcase_add_test(tc, what_cannot_be_made_leaves_nothing);
	tcase_add_test(tc, a_limit_of_file_sizes_is_an_error_and_no_signal);
	tcase_add_test(tc, huge_pages_come_or_are_refused_in_words);
	tcase_add_test(tc, a_read_only_descriptor_cannot_be_mapped_for_writing);
	tcase_add_test(tc, a_read_only_descriptor_cannot_be_reopened_by_another_user);
	tcase_add_test(tc, what_is_shown_is_written_by_the_host_alone);
	tcase_add_test(tc, what_is_shared_is_written_by_both_and_keeps_its_size);
	tcase_add_test(tc, what_store_create_makes_is_taken);
	tcase_add_test(tc, an_object_of_another_size_is_refused);
	tcase_add_test(tc, an_object_without_all_its_seals_is_refused);
	tcase_add_test(tc, an_object_that_others_could_not_write_is_refused);
	tcase_add_test(tc, an_object_that_others_may_open_is_refused);
	tcase_add_test(tc, what_is_no_memory_object_is_refused);
	tcase_add_test(tc, a_descriptor_with_the_wrong_access_is_refused);
	tcase_add_test(tc, a_read_only_descriptor_of_another_object_is_refused);
	tcase_add_test(tc, the_hosts_memory_must_be_sealed_and_large_enough);
	return harness_main(argc, argv, suites);
}

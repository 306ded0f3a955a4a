/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_sys.c - what holds for every system call of the library: descriptors
 * are remembered, close-on-exec, above the standard ones, and gone in a forked
 * child; a failing call does nothing; time does not overflow.
 */
#include "base/clock.h"
#include "base/sys.h"
#include "unit.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* ------------------------------------------------------------------ every way to make a descriptor */

static int make_open(void)
{
	return ismi_sys_open("/dev/null", O_RDWR, 0);
}

static int make_memfd(void)
{
	return ismi_sys_memfd("ism-test", 0);
}

static int make_socket(void)
{
	return ismi_sys_socket(SOCK_STREAM);
}

static int make_dup(void)
{
	int fd = make_open(), copy = ismi_sys_dup(fd);

	ismi_sys_close(fd);
	return copy;
}

/* One end of a pair; the other is closed. */
static int make_pair(void)
{
	int pair[2], r = ismi_sys_socketpair(SOCK_STREAM, pair);

	if (r < 0)
		return r;
	ismi_sys_close(pair[0]);
	return pair[1];
}

static int make_accepted(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener = ismi_sys_socket(SOCK_SEQPACKET), client = ismi_sys_socket(SOCK_SEQPACKET);

	snprintf(addr.sun_path + 1, sizeof addr.sun_path - 1, "ism-check-sys-%d", (int)getpid());
	ok(ismi_sys_bind(listener, (struct sockaddr *)&addr, sizeof addr));
	ok(ismi_sys_listen(listener, 1));
	ok(ismi_sys_connect(client, (struct sockaddr *)&addr, sizeof addr));
	int fd = ismi_sys_accept(listener);
	ismi_sys_close(listener);
	ismi_sys_close(client);
	return fd;
}

static int make_adopted(void)
{
	return ismi_sys_adopt(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
}

static int make_received(void)
{
	union {
		struct cmsghdr align;
		uint8_t buf[CMSG_SPACE(sizeof(int))];
	} control = { .buf = { 0 } };
	char byte = 'x';
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
			      .msg_controllen = sizeof control.buf };
	int pair[2], fd = STDERR_FILENO;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd) };
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	ck_assert_int_eq(ismi_sys_sendmsg(pair[0], &msg, 0), 1);
	ck_assert_int_eq(ismi_sys_recvmsg(pair[1], &msg, 0), 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof fd);
	close(pair[0]);
	close(pair[1]);
	return fd;
}

static int (*const makers[])(void) = { make_open, make_memfd, make_socket, make_dup, make_pair, make_accepted, make_adopted,
				       make_received, ismi_sys_eventfd, ismi_sys_epoll };
enum { MAKERS = sizeof makers / sizeof makers[0] };

START_TEST(descriptors_are_closed_on_exec_and_when_told)
{
	for (int i = 0; i < MAKERS; i++) {
		int fd = (int)ok(makers[i]());
		ck_assert_msg(fcntl(fd, F_GETFD) == FD_CLOEXEC, "maker %d", i);
		ismi_sys_close(fd);
		ck_assert_msg(!is_open(fd), "maker %d", i);
	}
}
END_TEST

START_TEST(standard_descriptors_are_nobodys_but_the_programs)
{
	int saved[3], fds[MAKERS], low[3];

	for (int i = 0; i < 3; i++) {
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
		close(i);
	}
	for (int i = 0; i < MAKERS; i++)
		fds[i] = i == 6 || i == 7 ? 100 : makers[i]();	/* those two need standard error */
	dup2(saved[2], 2);
	for (int i = 6; i < 8; i++)
		fds[i] = makers[i]();
	for (int i = 0; i < 2; i++)
		low[i] = is_open(i);
	for (int i = 0; i < 2; i++)
		dup2(saved[i], i);
	for (int i = 0; i < 3; i++)
		close(saved[i]);
	ck_assert(!low[0] && !low[1]);
	for (int i = 0; i < MAKERS; i++) {
		ck_assert_msg(fds[i] > 2, "maker %d: %d", i, fds[i]);
		ismi_sys_close(fds[i]);
	}
}
END_TEST

START_TEST(what_is_not_ours_is_not_closed)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	errno = 42;
	ismi_sys_close(fd);
	ismi_sys_close(-1);
	ismi_sys_close(100000);
	ck_assert_int_eq(errno, 42);
	ck_assert(is_open(fd));
	close(fd);
	fd = (int)ok(make_open());
	ismi_sys_close(fd);
	int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(other, fd);	/* the number is somebody else's now */
	ismi_sys_close(fd);
	ck_assert(is_open(other));
	close(other);
}
END_TEST

/* ------------------------------------------------------------------ fork */

struct forked {
	int fds[MAKERS], foreign;
};

static int child_main(void *arg)
{
	const struct forked *f = arg;

	for (int i = 0; i < MAKERS; i++) {
		if (is_open(f->fds[i]))
			return 10 + i;
	}
	if (!is_open(f->foreign) || ismi_fork_count == 0)
		return 1;
	/* The numbers are free for others, and closing them again does nothing to those. */
	int reused = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < MAKERS; i++)
		ismi_sys_close(f->fds[i]);
	if (!is_open(reused))
		return 2;
	/* It may make some of its own, and fork again. */
	int own = makers[0]();
	pid_t pid = fork();
	if (pid == 0)
		_exit(is_open(own) ? 3 : 0);
	int status;
	return waitpid(pid, &status, 0) == pid && status == 0 && is_open(own) ? 0 : 4;
}

START_TEST(a_forked_child_has_none_of_them)
{
	struct forked f = { .foreign = open("/dev/null", O_RDONLY | O_CLOEXEC) };
	unsigned int before = ismi_fork_count;

	ok(ismi_fork_init());
	ok(ismi_fork_init());
	for (int i = 0; i < MAKERS; i++)
		f.fds[i] = (int)ok(makers[i]());
	ck_assert_int_eq(harness_reap(harness_fork(child_main, &f), 30), 0);
	ck_assert_uint_eq(ismi_fork_count, before);
	for (int i = 0; i < MAKERS; i++) {
		ck_assert(is_open(f.fds[i]));
		ismi_sys_close(f.fds[i]);
	}
	close(f.foreign);
}
END_TEST

static _Atomic bool stop;

static void *opener_main(void *arg)
{
	while (!atomic_load(&stop)) {
		int fd = makers[0](), other = makers[4]();
		ismi_sys_close(fd);
		ismi_sys_close(other);
	}
	return arg;
}

static int count_main(void *arg)
{
	return harness_fds() == *(const unsigned int *)arg ? 0 : 1;
}

START_TEST(nor_of_those_that_a_thread_is_just_making)
{
	unsigned int fds = harness_fds();
	pthread_t thread[2];

	ok(ismi_fork_init());
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, opener_main, NULL), 0);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(harness_reap(harness_fork(count_main, &fds), 30), 0);
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}
END_TEST

/* ------------------------------------------------------------------ calls that fail */

static const char *asked;

static int fail_it(const char *call)
{
	asked = call;
	return -ENOTTY;
}

static int fail_none(const char *call)
{
	asked = call;
	return 0;
}

START_TEST(a_failing_call_does_nothing)
{
	unsigned int fds = harness_fds();
	struct epoll_event ev;
	struct msghdr msg = { 0 };
	struct stat st;
	void *p = &st;
	int fd = (int)ok(make_open()), pair[2] = { -7, -7 };

	ismi_sys_hook = fail_it;
#define FAILS(expr)                                                                                                    \
	do {                                                                                                           \
		asked = NULL;                                                                                          \
		ck_assert_int_eq(expr, -ENOTTY);                                                                       \
		ck_assert_ptr_nonnull(asked);                                                                          \
	} while (0)
	FAILS(ismi_sys_open("/dev/null", O_RDONLY, 0));
	FAILS(ismi_sys_read(fd, &st, 1));
	FAILS(ismi_sys_write(fd, &st, 1));
	FAILS(ismi_sys_dup(fd));
	FAILS(ismi_sys_getfl(fd));
	FAILS(ismi_sys_setfl(fd, 0));
	FAILS(ismi_sys_fstat(fd, &st));
	FAILS(ismi_sys_fchmod(fd, 0));
	FAILS(ismi_sys_ftruncate(fd, 0));
	FAILS(ismi_sys_fs_type(fd));
	FAILS(ismi_sys_lock(fd));
	FAILS(ismi_sys_lock_holder(fd));
	FAILS(ismi_sys_unlink("/dev/null"));
	FAILS(ismi_sys_chmod("/dev/null", 0));
	FAILS(ismi_sys_chown("/dev/null", 1, 1));
	FAILS(ismi_sys_mkdir(".", 0));
	FAILS(ismi_sys_stat("/", &st));
	FAILS(ismi_sys_lstat("/", &st));
	FAILS(ismi_sys_memfd("x", 0));
	FAILS(ismi_sys_add_seals(fd, 0));
	FAILS(ismi_sys_get_seals(fd));
	FAILS(ismi_sys_mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &p));
	FAILS(ismi_sys_madvise(p, 4096, 0));
	FAILS(ismi_sys_mbind(p, 4096, 0));
	FAILS(ismi_sys_socket(SOCK_STREAM));
	FAILS(ismi_sys_socketpair(SOCK_STREAM, pair));
	FAILS(ismi_sys_wake_pair(pair));
	FAILS(ismi_sys_bind(fd, NULL, 0));
	FAILS(ismi_sys_listen(fd, 1));
	FAILS(ismi_sys_connect(fd, NULL, 0));
	FAILS(ismi_sys_accept(fd));
	FAILS(ismi_sys_peercred(fd, NULL));
	FAILS(ismi_sys_unread(fd));
	FAILS(ismi_sys_connect_by(fd, NULL, 0, INT64_MAX));
	FAILS(ismi_sys_sendmsg(fd, &msg, 0));
	FAILS(ismi_sys_recvmsg(fd, &msg, 0));
	FAILS(ismi_sys_eventfd());
	FAILS(ismi_sys_epoll());
	FAILS(ismi_sys_epoll_add(fd, fd, 0, 0));
	FAILS(ismi_sys_epoll_mod(fd, fd, 0, 0));
	FAILS(ismi_sys_epoll_del(fd, fd));
	FAILS(ismi_sys_epoll_wait(fd, &ev, 1, -1));
	FAILS(ismi_sys_poll(fd, 0, -1));
	FAILS(ismi_sys_membarrier_register());
	FAILS(ismi_sys_membarrier());
	ismi_sys_close(fd);	/* and closing cannot fail */
	ismi_sys_hook = NULL;
	ck_assert(!is_open(fd));
	ck_assert_ptr_eq(p, &st);
	ck_assert_int_eq(pair[0], -7);
	ck_assert_uint_eq(harness_fds(), fds);
}
END_TEST

START_TEST(errors_are_negative_numbers)
{
	struct stat st;

	ismi_sys_hook = fail_none;
	errno = 0;
	ck_assert_int_eq(ismi_sys_open("/no/such/file", O_RDONLY, 0), -ENOENT);
	ck_assert_int_eq(ismi_sys_stat("/no/such/file", &st), -ENOENT);
	ck_assert_int_eq(ismi_sys_read(-1, &st, 1), -EBADF);
	ck_assert_int_eq(ismi_sys_fs_type(-1), -EBADF);
	ck_assert_int_eq(ismi_sys_munmap((void *)1, 1), -EINVAL);
	ck_assert_int_eq(ismi_sys_mbind(&st, 1, -1), -EINVAL);
	ck_assert_int_eq(ismi_sys_mbind(&st, 1, 1 << 20), -EINVAL);
	ck_assert_int_eq(ismi_sys_poll(-1, 0, 0), 0);
	ck_assert_int_eq(ismi_sys_unread(-1), -EBADF);
	ismi_sys_hook = NULL;
}
END_TEST

/* ------------------------------------------------------------------ wake-ups */

START_TEST(a_wake_up_is_one_however_often_it_is_sent)
{
	int pair[2], ev = (int)ok(ismi_sys_eventfd());

	ok(ismi_sys_wake_pair(pair));
	ck_assert_int_eq(ismi_sys_poll(pair[1], 1 /* POLLIN */, 0), 0);
	for (int i = 0; i < 100000; i++)	/* many more than a socket holds: nobody blocks */
		ismi_sys_wake_socket(pair[0]);
	while (ismi_sys_poll(pair[1], 1, 0) == 1)
		ck_assert(ismi_sys_wake_clear(pair[1]));
	ck_assert(ismi_sys_wake_clear(pair[1]));	/* nothing there is not the end */
	ismi_sys_wake_socket(pair[1]);			/* this end can only receive */
	ck_assert_int_eq(ismi_sys_poll(pair[0], 1, 0), 1);	/* shut for reading from the start */
	ismi_sys_close(pair[0]);
	ck_assert(!ismi_sys_wake_clear(pair[1]));
	ismi_sys_wake_socket(pair[1]);			/* to nobody: no signal */
	ismi_sys_close(pair[1]);

	for (int i = 0; i < 1000; i++)
		ismi_sys_wake_event(ev);
	ck_assert_int_eq(ismi_sys_poll(ev, 1, 0), 1);
	ck_assert(ismi_sys_wake_clear(ev));
	ck_assert_int_eq(ismi_sys_poll(ev, 1, 0), 0);
	ismi_sys_close(ev);
	ismi_sys_wake_event(-1);
	ismi_sys_wake_socket(-1);
}
END_TEST

/* ------------------------------------------------------------------ time */

static int nr_to_fail, nr_woken;

static int wakes_fail(const char *call)
{
	if (strcmp(call, "wake") != 0)
		return 0;
	nr_woken++;
	return nr_to_fail-- > 0 ? nr_to_fail % 2 ? -ENOBUFS : -ENOMEM : 0;
}

START_TEST(a_wake_up_waits_for_memory)
{
	char byte;
	int pair[2];

	ok(ismi_sys_wake_pair(pair));
	nr_to_fail = 3;
	ismi_sys_hook = wakes_fail;
	ismi_sys_wake_socket(pair[0]);
	ismi_sys_hook = NULL;
	ck_assert_int_eq(nr_woken, 4);
	ck_assert_int_eq(recv(pair[1], &byte, 1, MSG_DONTWAIT), 1);
	/* But not for ever. */
	nr_to_fail = 1000;
	ismi_sys_hook = wakes_fail;
	ismi_sys_wake_socket(pair[0]);
	ismi_sys_hook = NULL;
	ismi_sys_close(pair[0]);
	ismi_sys_close(pair[1]);
}
END_TEST

static const struct itimerval no_alarms;
static volatile sig_atomic_t nr_alarms;

static void on_alarm(int sig)
{
	(void)sig;
	if (++nr_alarms == 100)
		setitimer(ITIMER_REAL, &no_alarms, NULL);
}

START_TEST(signals_do_not_end_an_allocation)
{
	enum { SIZE = 32 << 20 };
	struct sigaction sa = { .sa_handler = on_alarm };	/* no SA_RESTART */
	struct itimerval often = { { 0, 500 }, { 0, 500 } };
	int fd = (int)ok(ismi_sys_memfd("test", 0));
	struct stat st;

	ck_assert_int_eq(sigaction(SIGALRM, &sa, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
	ok(ismi_sys_fallocate(fd, SIZE));
	setitimer(ITIMER_REAL, &no_alarms, NULL);
	ok(ismi_sys_fstat(fd, &st));
	ck_assert_int_eq(st.st_size, SIZE);
	ck_assert_int_ge(st.st_blocks * 512, SIZE);
	ismi_sys_close(fd);
}
END_TEST

START_TEST(deadlines_do_not_overflow)
{
	int64_t now = ismi_now_ns();

	ck_assert_int_eq(ismi_deadline(-1), INT64_MAX);
	ck_assert_int_eq(ismi_deadline(INT64_MIN), INT64_MAX);
	ck_assert_int_eq(ismi_deadline(INT64_MAX), INT64_MAX);
	ck_assert_int_eq(ismi_deadline(INT64_MAX - 1), INT64_MAX);
	ck_assert_int_ge(ismi_deadline(0), now);
	ck_assert_int_ge(ismi_deadline(1000), now + 1000);
	ck_assert_int_eq(ismi_time_left(INT64_MAX), -1);
	ck_assert_int_eq(ismi_time_left(0), 0);
	ck_assert_int_eq(ismi_time_left(now), 0);
	ck_assert_int_gt(ismi_time_left(now + SECONDS(1000)), 0);
	ck_assert_int_le(ismi_time_left(now + SECONDS(1000)), SECONDS(1000));
	ck_assert_int_gt(ismi_time_left(INT64_MAX - 1), 0);
	ck_assert_int_gt(ismi_thread_cpu_ns(), 0);
}
END_TEST

START_TEST(waits_are_never_too_short)
{
	int epfd = (int)ok(ismi_sys_epoll());
	struct epoll_event ev;

	for (int64_t ns = 1; ns < 20000000; ns = ns * 3 + 1) {
		int64_t begin = ismi_now_ns();
		ck_assert_int_eq(ismi_sys_epoll_wait(epfd, &ev, 1, ns), 0);
		ck_assert_int_ge(ismi_now_ns() - begin, ns);
		begin = ismi_now_ns();
		ck_assert_int_eq(ismi_sys_poll(epfd, 1, ns), 0);
		ck_assert_int_ge(ismi_now_ns() - begin, ns);
		begin = ismi_now_ns();
		ismi_sleep_ns(ns);
		ck_assert_int_ge(ismi_now_ns() - begin, ns);
	}
	ismi_sys_close(epfd);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("sys");
	TCase *tc = harness_tcase(s, "sys", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, descriptors_are_closed_on_exec_and_when_told);
	tcase_add_test(tc, standard_descriptors_are_nobodys_but_the_programs);
	tcase_add_test(tc, what_is_not_ours_is_not_closed);
	tcase_add_test(tc, a_forked_child_has_none_of_them);
	tcase_add_test(tc, nor_of_those_that_a_thread_is_just_making);
	tcase_add_test(tc, a_failing_call_does_nothing);
	tcase_add_test(tc, errors_are_negative_numbers);
	tcase_add_test(tc, a_wake_up_is_one_however_often_it_is_sent);
	tcase_add_test(tc, a_wake_up_waits_for_memory);
	tcase_add_test(tc, signals_do_not_end_an_allocation);
	tcase_add_test(tc, deadlines_do_not_overflow);
	tcase_add_test(tc, waits_are_never_too_short);
	return harness_main(argc, argv, suites);
}

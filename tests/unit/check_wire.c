/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_wire.c - messages and the descriptors that travel with them, right and
 * wrong; the harness sees to it that no descriptor stays open.
 */
#include "base/sys.h"
#include "base/wire.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* In one message; musl's sendmsg() has room for one less. */
#ifdef __GLIBC__
enum { KERNEL_FDS_MAX = 253 };
#else
enum { KERNEL_FDS_MAX = 252 };
#endif

static int pair[2];

static void connect_pair(void)
{
	ok(ismi_sys_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK, pair));
	/* These, unlike the library's own, may carry descriptors. */
	const int on = 1, SO_PASSRIGHTS_ = 83;
	setsockopt(pair[0], SOL_SOCKET, SO_PASSRIGHTS_, &on, sizeof on);
	setsockopt(pair[1], SOL_SOCKET, SO_PASSRIGHTS_, &on, sizeof on);
}

static void close_pair(void)
{
	ismi_sys_close(pair[0]);
	ismi_sys_close(pair[1]);
}

/* Send without any of the checks of ismi_wire_send(). */
static void send_raw(const void *data, size_t len, int fd, size_t nr_fds)
{
	union {
		struct cmsghdr align;
		uint8_t buf[CMSG_SPACE(KERNEL_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nr_fds > 0) {
		memset(&control, 0, sizeof control);
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
				       .cmsg_len = CMSG_LEN(nr_fds * sizeof(int)) };
		for (size_t i = 0; i < nr_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
	}
	ck_assert_int_eq(sendmsg(pair[0], &msg, 0), (ssize_t)len);
}

/* ------------------------------------------------------------------ headers */

START_TEST(a_header_is_read_as_it_was_written)
{
	uint64_t seed = unit_seed();
	uint8_t buf[ISMI_WIRE_HEADER];
	struct ismi_wire_header h;

	for (int i = 0; i < 10000; i++) {
		uint16_t type = (uint16_t)unit_random(&seed), fds = (uint16_t)unit_random(&seed);
		uint32_t length = unit_below(&seed, ISMI_WIRE_MAX), sequence = (uint32_t)unit_random(&seed);
		ismi_wire_put(buf, type, length, sequence, fds);
		ck_assert_ptr_null(ismi_wire_get(buf, ISMI_WIRE_HEADER + length, fds, &h));
		ck_assert(h.type == type && h.length == length && h.sequence == sequence && h.fds == fds);
	}
}
END_TEST

START_TEST(the_bytes_are_those_of_the_specification)
{
	static const uint8_t want[ISMI_WIRE_HEADER] = { 'I', 'S', 'M', '1', 1, 0, 0x34, 0x12, 0x21, 0x43, 0, 0,
							0x98, 0xba, 0xdc, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0 };
	uint8_t buf[ISMI_WIRE_HEADER];

	memset(buf, 0xff, sizeof buf);
	ismi_wire_put(buf, 0x1234, 0x4321, 0xfedcba98, 128);
	ck_assert_mem_eq(buf, want, sizeof want);
}
END_TEST

START_TEST(one_wrong_bit_is_noticed)
{
	static const uint8_t free_bytes[] = { 6, 7, 12, 13, 14, 15 };	/* type and sequence may be anything */
	uint8_t buf[ISMI_WIRE_HEADER];
	struct ismi_wire_header h;

	ismi_wire_put(buf, 2, 100, 7, 3);
	for (size_t bit = 0; bit < 8 * sizeof buf; bit++) {
		bool any = memchr(free_bytes, (int)(bit / 8), sizeof free_bytes) != NULL;
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		const char *wrong = ismi_wire_get(buf, ISMI_WIRE_HEADER + 100, 3, &h);
		ck_assert_msg((wrong == NULL) == any, "bit %zu: %s", bit, wrong ? wrong : "accepted");
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < 300; len++)
		ck_assert_int_eq(ismi_wire_get(buf, len, 3, &h) == NULL, len == ISMI_WIRE_HEADER + 100);
	for (size_t nr = 0; nr < 300; nr++)
		ck_assert_int_eq(ismi_wire_get(buf, ISMI_WIRE_HEADER + 100, nr, &h) == NULL, nr == 3);
}
END_TEST

START_TEST(random_bytes_are_no_message)
{
	uint64_t seed = unit_seed();
	struct ismi_wire_header h;

	for (int i = 0; i < 200000; i++) {
		uint8_t buf[ISMI_WIRE_HEADER + 64];
		size_t len = unit_below(&seed, sizeof buf + 1), nr = unit_below(&seed, 4);
		for (size_t k = 0; k < sizeof buf; k += 8) {
			uint64_t v = unit_random(&seed);
			memcpy(buf + k, &v, sizeof buf - k < 8 ? sizeof buf - k : 8);
		}
		if (i % 2 == 0)		/* nearly right */
			ismi_wire_put(buf, (uint16_t)unit_below(&seed, 5), unit_below(&seed, 70), 0, (uint16_t)unit_below(&seed, 4));
		if (i % 4 == 0)
			buf[unit_below(&seed, ISMI_WIRE_HEADER)] ^= (uint8_t)(1 << unit_below(&seed, 8));
		if (ismi_wire_get(buf, len, nr, &h) != NULL)
			continue;
		ck_assert_uint_eq(h.length, len - ISMI_WIRE_HEADER);
		ck_assert_uint_eq(h.fds, nr);
		ck_assert(h.magic == ISMI_WIRE_MAGIC && h.version == ISMI_WIRE_VERSION && h.zero0 == 0 && h.zero1 == 0);
	}
}
END_TEST

/* ------------------------------------------------------------------ messages */

START_TEST(messages_of_all_sizes)
{
	static uint8_t out[ISMI_WIRE_MAX], in[ISMI_WIRE_MAX];
	uint64_t seed = unit_seed();
	int fds[ISMI_WIRE_FDS];
	size_t nr;

	connect_pair();
	for (size_t i = 0; i < sizeof out; i++)
		out[i] = (uint8_t)unit_random(&seed);
	for (size_t len = 1; len <= sizeof out; len += len < 64 ? 1 : 977) {
		ok(ismi_wire_send(pair[0], out, len, NULL, 0));
		memset(in, 0, sizeof in);
		ck_assert_int_eq(ok(ismi_wire_recv(pair[1], in, sizeof in, fds, &nr)), (ssize_t)len);
		ck_assert_uint_eq(nr, 0);
		ck_assert_mem_eq(in, out, len);
	}
	ck_assert_int_eq(ismi_wire_recv(pair[1], in, sizeof in, fds, &nr), -EAGAIN);
	close_pair();
}
END_TEST

START_TEST(any_number_of_descriptors)
{
	uint8_t msg[ISMI_WIRE_HEADER] = { 0 };
	int out[ISMI_WIRE_FDS + 1], in[ISMI_WIRE_FDS];
	size_t nr;

	connect_pair();
	int fd = (int)ok(ismi_sys_eventfd());
	for (size_t i = 0; i < ISMI_WIRE_FDS + 1; i++)
		out[i] = fd;
	for (size_t n = 0; n <= ISMI_WIRE_FDS; n++) {
		ok(ismi_wire_send(pair[0], msg, sizeof msg, out, n));
		ck_assert_int_eq(ok(ismi_wire_recv(pair[1], msg, sizeof msg, in, &nr)), (ssize_t)sizeof msg);
		ck_assert_uint_eq(nr, n);
		for (size_t i = 0; i < n; i++)
			ck_assert_int_eq(fcntl(in[i], F_GETFD), FD_CLOEXEC);
		ismi_wire_close(in, nr);
	}
	ck_assert_int_eq(ismi_wire_send(pair[0], msg, sizeof msg, out, ISMI_WIRE_FDS + 1), -EINVAL);
	ismi_sys_close(fd);
	close_pair();
}
END_TEST

START_TEST(what_is_too_much_is_closed)
{
	if (getenv("ISM_TEST_EMULATED") != NULL)
		harness_skip("the emulated kernel does not say that descriptors were cut off");
	static uint8_t buf[ISMI_WIRE_MAX + 100];
	int in[ISMI_WIRE_FDS];
	size_t nr;

	connect_pair();
	int fd = (int)ok(ismi_sys_eventfd());
	for (size_t n = ISMI_WIRE_FDS + 1; n <= KERNEL_FDS_MAX; n += 31) {
		send_raw(buf, ISMI_WIRE_HEADER, fd, n);
		ck_assert_int_eq(ismi_wire_recv(pair[1], buf, ISMI_WIRE_MAX, in, &nr), -EPROTO);
		ck_assert_uint_eq(nr, 0);
	}
	for (size_t n = 0; n < 3; n++) {	/* longer than the receiver's buffer */
		send_raw(buf, ISMI_WIRE_MAX + 1, fd, n);
		ck_assert_int_eq(ismi_wire_recv(pair[1], buf, ISMI_WIRE_MAX, in, &nr), -EPROTO);
		send_raw(buf, 100, fd, n);
		ck_assert_int_eq(ismi_wire_recv(pair[1], buf, 99, in, &nr), -EPROTO);
	}
	for (size_t n = 0; n <= KERNEL_FDS_MAX; n += 23) {	/* nothing but descriptors: like the end */
		send_raw(buf, 0, fd, n);
		ck_assert_int_eq(ismi_wire_recv(pair[1], buf, ISMI_WIRE_MAX, in, &nr), 0);
		ck_assert_uint_eq(nr, 0);
	}
	send_raw("still there", 11, -1, 0);
	ck_assert_int_eq(ismi_wire_recv(pair[1], buf, ISMI_WIRE_MAX, in, &nr), 11);
	ismi_sys_close(fd);
	close_pair();
}
END_TEST

START_TEST(no_room_for_descriptors_is_told_apart)
{
	uint8_t buf[ISMI_WIRE_HEADER];
	struct rlimit was, now;
	int in[ISMI_WIRE_FDS];
	size_t nr;

	connect_pair();
	int fd = (int)ok(ismi_sys_eventfd());
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	for (unsigned int room = 0; room < 4; room++) {
		int spare[4];
		for (unsigned int i = 0; i <= room; i++)
			spare[i] = dup(fd);
		now = was;
		now.rlim_cur = (rlim_t)spare[room];	/* so many can still be had, once these are closed */
		for (unsigned int i = 0; i <= room; i++)
			close(spare[i]);
		for (size_t n = 0; n < 6; n++) {
			ismi_wire_put(buf, 2, 0, (uint32_t)n, (uint16_t)n);
			send_raw(buf, sizeof buf, fd, n);
			memset(buf, 0, sizeof buf);
			ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
			ssize_t r = ismi_wire_recv(pair[1], buf, sizeof buf, in, &nr);
			ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
			ck_assert_int_eq(r, n > room ? -EMFILE : (ssize_t)sizeof buf);
			ck_assert_uint_eq(nr, n > room ? 0 : n);
			ck_assert_uint_eq(ismi_get32(buf + 12), n);	/* the header is there in any case */
			ismi_wire_close(in, nr);
		}
	}
	send_raw(buf, ISMI_WIRE_HEADER - 1, fd, 1);	/* without one it is nobody's message */
	now.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
	ck_assert_int_eq(ismi_wire_recv(pair[1], buf, sizeof buf, in, &nr), -EPROTO);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	ismi_sys_close(fd);
	close_pair();
}
END_TEST

START_TEST(a_full_socket_and_one_whose_other_end_is_gone)
{
	static uint8_t buf[ISMI_WIRE_MAX];
	int in[ISMI_WIRE_FDS];
	size_t nr;
	int r, sent = 0;

	connect_pair();
	while ((r = ismi_wire_send(pair[0], buf, sizeof buf, NULL, 0)) == 0)
		sent++;
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_int_gt(sent, 1);
	while (ismi_wire_recv(pair[1], buf, sizeof buf, in, &nr) > 0)
		sent--;
	ck_assert_int_eq(sent, 0);
	ok(ismi_wire_send(pair[0], buf, 10, NULL, 0));
	ismi_sys_close(pair[0]);
	ck_assert_int_eq(ismi_wire_send(pair[1], buf, 10, NULL, 0), -EPIPE);	/* and no signal */
	ck_assert_int_eq(ismi_wire_recv(pair[1], buf, sizeof buf, in, &nr), 10);
	ck_assert_int_eq(ismi_wire_recv(pair[1], buf, sizeof buf, in, &nr), 0);
	ismi_sys_close(pair[1]);
	ck_assert_int_eq(ismi_wire_recv(-1, buf, sizeof buf, in, &nr), -EBADF);
	ck_assert_int_eq(ismi_wire_send(-1, buf, 10, NULL, 0), -EBADF);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("wire");
	TCase *tc = harness_tcase(s, "wire", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, a_header_is_read_as_it_was_written);
	tcase_add_test(tc, the_bytes_are_those_of_the_specification);
	tcase_add_test(tc, one_wrong_bit_is_noticed);
	tcase_add_test(tc, random_bytes_are_no_message);
	tcase_add_test(tc, messages_of_all_sizes);
	tcase_add_test(tc, any_number_of_descriptors);
	tcase_add_test(tc, what_is_too_much_is_closed);
	tcase_add_test(tc, no_room_for_descriptors_is_told_apart);
	tcase_add_test(tc, a_full_socket_and_one_whose_other_end_is_gone);
	return harness_main(argc, argv, suites);
}

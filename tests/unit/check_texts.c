/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_texts.c - words for people: errors, log lines, references; and the
 * structures by which callers of other versions are told apart.
 */
#include "internal.h"
#include "seat.h"
#include "unit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ why a call failed */

START_TEST(the_last_failure_has_the_word)
{
	ck_assert_str_eq(ism_error_detail(), "");
	ck_assert_int_eq(ismi_fail(-EINVAL, "%d of %s", 3, "these"), -EINVAL);
	ck_assert_str_eq(ism_error_detail(), "3 of these");
	ck_assert_int_eq(ismi_fail_const(-EAGAIN, "later"), -EAGAIN);
	ck_assert_str_eq(ism_error_detail(), "later");
	ismi_fail(-EIO, "%s", "");
	ck_assert_str_eq(ism_error_detail(), "");
	errno = 77;
	ismi_fail(-EIO, "x");
	ismi_fail_const(-EIO, "y");
	ck_assert_int_eq(errno, 77);
}
END_TEST

static void *other_thread(void *arg)
{
	ck_assert_str_eq(ism_error_detail(), "");
	ismi_fail(-EIO, "the other's");
	ck_assert_str_eq(ism_error_detail(), "the other's");
	return arg;
}

START_TEST(each_thread_has_its_own)
{
	pthread_t thread;

	ismi_fail(-EIO, "mine");
	ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, NULL), 0);
	pthread_join(thread, NULL);
	ck_assert_str_eq(ism_error_detail(), "mine");
}
END_TEST

START_TEST(long_words_are_cut)
{
	char *text = malloc(100001);

	memset(text, 'x', 100000);
	text[100000] = '\0';
	ismi_fail(-EIO, "begin %s", text);
	ck_assert_int_eq(strncmp(ism_error_detail(), "begin xxx", 9), 0);
	ck_assert_uint_gt(strlen(ism_error_detail()), 200);
	ck_assert_uint_lt(strlen(ism_error_detail()), 1000);
	free(text);
}
END_TEST

#ifdef __GLIBC__
#define NAME_OF(err) strerrorname_np(err)
#else
#define NAME_OF(err) ((const char *)NULL)
#endif

/* The number of "EINVAL" and the like; 0: none has this name. */
static int errno_named(const char *name, size_t len)
{
	for (int i = 1; i < 256; i++) {
		const char *known = NAME_OF(i);
		if (known != NULL && strlen(known) == len && strncmp(known, name, len) == 0)
			return i;
	}
	return strncmp(name, "ENOTSUP", len) == 0 ? ENOTSUP : 0;
}

/* Every -ECODE that a header mentions. */
static unsigned int check_header(const char *name)
{
	const char *srcdir = getenv("srcdir");
	char path[512], *line = NULL;
	unsigned int n = 0;
	size_t size = 0;

	snprintf(path, sizeof path, "%s/include/%s", srcdir ? srcdir : "..", name);
	FILE *f = fopen(path, "re");
	ck_assert_msg(f != NULL, "cannot read %s", path);
	while (getline(&line, &size, f) >= 0) {
		for (const char *p = line; (p = strstr(p, "-E")) != NULL; p++) {
			size_t len = 1;
			while (isupper((unsigned char)p[1 + len]) || isdigit((unsigned char)p[1 + len]))
				len++;
			if (len < 3)
				continue;
			int err = errno_named(p + 1, len);
			ck_assert_msg(err != 0, "%s: no error has the name %.*s", name, (int)len, p + 1);
			ck_assert_msg(strcmp(ism_strerror(-err), "unknown error") != 0, "%s: no words for -%.*s", name, (int)len,
				      p + 1);
			ck_assert_str_eq(ism_strerror(err), ism_strerror(-err));
			n++;
		}
	}
	free(line);
	fclose(f);
	return n;
}

START_TEST(every_code_in_the_headers_has_words)
{
	if (NAME_OF(EINVAL) == NULL)
		harness_skip("this C library does not tell the names of errors");
	ck_assert_uint_gt(check_header("ism.h"), 50);
	ck_assert_uint_gt(check_header("ism-ring.h"), 20);
	check_header("ism-emu.h");
	ck_assert_str_eq(ism_strerror(0), "success");
	for (int i = -5000; i <= 5000; i++)
		ck_assert_str_ne(ism_strerror(i), "");
	ck_assert_str_eq(ism_strerror(INT32_MIN), "unknown error");
	ck_assert_str_eq(ism_strerror(INT32_MAX), "unknown error");
}
END_TEST

/* ------------------------------------------------------------------ logging */

struct heard {
	int level;
	unsigned int lines;
	char subsystem[32], message[1024];
};

static void hear(void *data, int level, const char *subsystem, const char *message)
{
	struct heard *h = data;

	h->lines++;
	h->level = level;
	snprintf(h->subsystem, sizeof h->subsystem, "%s", subsystem);
	snprintf(h->message, sizeof h->message, "%s", message);
	errno = 1;
}

START_TEST(a_sink_hears_its_level_and_what_is_worse)
{
	static struct heard h;
	struct ismi_log log = { .sink = hear, .data = &h };

	for (log.level = ISMI_LOG_NONE; log.level <= ISMI_LOG_DEBUG; log.level++) {
		h.lines = 0;
		ismi_err(&log, "a", "%s", "error");
		ismi_warn(&log, "b", "%s", "warn");
		ismi_info(&log, "c", "%s", "info");
		ismi_debug(&log, "d", "%s", "debug");
		ck_assert_uint_eq(h.lines, (unsigned int)log.level);
		ck_assert_msg(log.level == ISMI_LOG_NONE || h.level == log.level, "%d", h.level);
	}
	ck_assert_str_eq(h.subsystem, "d");
	ck_assert_str_eq(h.message, "debug");
	ismi_err(NULL, "nobody", "hears this");
	errno = 42;
	ismi_err(&log, "x", "%d", 7);
	ck_assert_int_eq(errno, 42);
	ck_assert_str_eq(h.message, "7");
}
END_TEST

START_TEST(a_long_line_is_cut)
{
	static struct heard h;
	struct ismi_log log = { .level = ISMI_LOG_DEBUG, .sink = hear, .data = &h };

	ismi_info(&log, "x", "%0500d", 1);
	ck_assert_uint_gt(strlen(h.message), 200);
	ck_assert_uint_lt(strlen(h.message), 500);
}
END_TEST

START_TEST(levels_have_names)
{
	static const char *const names[] = { "none", "error", "warn", "info", "debug" };
	static const char *const bad[] = { "", "0", "4", "Debug", "debug ", " debug", "warning", "all", "debugging", "deb" };
	struct ismi_log log = { .level = 17 };
	int level = 17;

	for (int i = 0; i < 5; i++) {
		ok(ismi_log_parse(names[i], &level));
		ck_assert_int_eq(level, i);
		setenv("ISM_LOG", names[i], 1);
		ok(ismi_log_from_env(&log));
		ck_assert_int_eq(log.level, i);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		fails(ismi_log_parse(bad[i], &level), -EINVAL);
		ck_assert_int_eq(level, ISMI_LOG_DEBUG);
		ck_assert_ptr_nonnull(strstr(ism_error_detail(), "expected none, error, warn, info or debug"));
		if (*bad[i] == '\0')
			continue;
		setenv("ISM_LOG", bad[i], 1);
		fails(ismi_log_from_env(&log), -EINVAL);
		ck_assert_int_eq(log.level, ISMI_LOG_DEBUG);
		ck_assert_ptr_nonnull(strstr(ism_error_detail(), "ISM_LOG=\""));
	}
	setenv("ISM_LOG", "", 1);
	ok(ismi_log_from_env(&log));
	unsetenv("ISM_LOG");
	ok(ismi_log_from_env(&log));
	ck_assert_int_eq(log.level, ISMI_LOG_DEBUG);
}
END_TEST

START_TEST(a_bad_level_in_the_environment_is_told_by_open)
{
	struct ism_open_opts opts = { .size = sizeof opts, .log = hear };
	static struct heard h;
	struct ism_device *dev;

	setenv("ISM_LOG", "loud", 1);
	fails(ism_open("loop:", NULL, &dev), -EINVAL);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "ISM_LOG=\"loud\": expected none, error, warn, info or debug"));
	opts.log_data = &h;	/* who has a sink of its own does not look there */
	ok(ism_open("loop:", &opts, &dev));
	ism_close(dev);
}
END_TEST

/* Say something wrong to a host, and wait until it has closed the connection: it logs that before. */
static void annoy(const char *path)
{
	struct sockaddr_un addr;
	char answer[64];

	ok(host_address(path, &addr));
	int fd = (int)ok(ismi_sys_socket(SOCK_SEQPACKET));
	ok(ismi_sys_connect(fd, (const struct sockaddr *)&addr, sizeof addr));
	ck_assert_int_eq(send(fd, "?", 1, MSG_NOSIGNAL), 1);
	while (recv(fd, answer, sizeof answer, 0) > 0)
		;
	ismi_sys_close(fd);
}

/* The device that made the host goes; the host stays, for another one of this process. */
START_TEST(a_host_forgets_the_log_of_a_device_that_is_closed)
{
	struct ism_open_opts opts = { .size = sizeof opts, .log = hear };
	struct ism_info info = { .size = sizeof info };
	struct heard *h = calloc(1, sizeof *h);
	struct ism_device *first, *second;

	opts.log_data = h;
	ok(ism_open(harness_uri("d"), &opts, &first));
	ok(ism_open(harness_uri("d"), NULL, &second));
	ok(ism_query(second, &info));
	ism_close(first);
	unsigned int lines = h->lines;
	ck_assert_uint_gt(lines, 0);
	harness_expect_log("connection closed");	/* it goes where ISM_LOG says, from now on */
	annoy(info.path);
	ck_assert_uint_eq(h->lines, lines);
	free(h);
	ism_close(second);
}
END_TEST

START_TEST(a_host_logs_where_its_device_does)
{
	struct ism_open_opts opts = { .size = sizeof opts, .log = hear };
	struct ism_info info = { .size = sizeof info };
	static struct heard h;
	struct ism_device *dev;

	opts.log_data = &h;
	ok(ism_open(harness_uri("d"), &opts, &dev));
	ok(ism_query(dev, &info));
	annoy(info.path);
	ck_assert_str_eq(h.subsystem, "server");
	ck_assert_int_eq(h.level, ISMI_LOG_WARN);
	ism_close(dev);
	ck_assert_ptr_nonnull(strstr(h.message, "no longer hosting"));
}
END_TEST

/* ------------------------------------------------------------------ references */

static void parses(const char *text, uint64_t want_gid, uint64_t want_token)
{
	uint64_t gid = 1, token = 1;

	ok(ism_ref_parse(text, &gid, &token));
	ck_assert_uint_eq(gid, want_gid);
	ck_assert_uint_eq(token, want_token);
}

START_TEST(references_and_tokens_are_read)
{
	parses("1", 0, 1);
	parses("0000000000000001", 0, 1);
	parses("ffffffffffffffff", 0, UINT64_MAX);
	parses("0xFfFfFfFfFfFfFfFf", 0, UINT64_MAX);
	parses("0X0123456789abcdef", 0, UINT64_C(0x0123456789abcdef));
	parses("deadBEEF", 0, 0xdeadbeef);
	parses("ism:0/1", 0, 1);
	parses("ism:ffffffffffffffff/8000000000000000", UINT64_MAX, UINT64_C(1) << 63);
	parses("ism:0123456789abcdef/fedcba9876543210", UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210));
}
END_TEST

START_TEST(what_is_none_is_refused_without_repeating_it)
{
	static const char *const bad[] = {
		"", "0", "0000000000000000", "0x", "0x0", "x", "g", "1g", "g1", " 1", "1 ", "1\n", "-1", "+1", "1.0", "0x0x1",
		"00000000000000001", "0x00000000000000001", "fffffffffffffffff", "ism:", "ism:1", "ism:/", "ism:1/", "ism:/1",
		"ism:1/0", "ism:1/2/3", "ism:0x1/2", "ism:1/0x2", "ism:1/ 2", "ism: 1/2", "ism:00000000000000001/1",
		"ism:1/00000000000000001", "ISM:1/2", "ism1/2", "ism:g/1", "ism:1/g", "ism:-1/1", "1/2", "\x80", "\xff",
		"0123456789abcdeX",
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		uint64_t gid = 17, token = 18;
		ck_assert_msg(ism_ref_parse(bad[i], &gid, &token) == -EINVAL, "\"%s\"", bad[i]);
		ck_assert_uint_eq(gid, 17);
		ck_assert_uint_eq(token, 18);
		ck_assert_ptr_nonnull(strstr(ism_error_detail(), "expected 1 to 16 hexadecimal digits, not all 0, or ism:GID/TOKEN"));
		ck_assert_msg(strlen(bad[i]) < 9 || strstr(ism_error_detail(), bad[i]) == NULL, "\"%s\" is repeated", bad[i]);
	}
}
END_TEST

START_TEST(what_is_written_can_be_read)
{
	struct ism_info info = { .size = sizeof info };
	struct ism_device *dev;
	struct ism_region *region;
	char text[ISM_REF_SIZE + 1];
	uint64_t gid, token;

	ok(ism_open("loop:", NULL, &dev));
	ok(ism_query(dev, &info));
	ok(ism_alloc_region(dev, 1, NULL, &region));
	memset(text, '#', sizeof text);
	for (size_t room = 0; room < ISM_REF_SIZE; room++)
		fails(ism_ref_format(region, text, room), -ENOSPC);
	ck_assert_int_eq(text[0], '#');
	ck_assert_int_eq(ok(ism_ref_format(region, text, ISM_REF_SIZE)), ISM_REF_SIZE - 1);
	ck_assert_uint_eq(strlen(text), ISM_REF_SIZE - 1);
	ck_assert_int_eq(text[ISM_REF_SIZE], '#');
	ok(ism_ref_parse(text, &gid, &token));
	ck_assert_uint_eq(gid, info.gid);
	ck_assert_uint_eq(token, ism_region_token(region));
	ism_close(dev);
}
END_TEST

/* ------------------------------------------------------------------ options that grow */

struct grown {
	size_t size;
	uint32_t first, second;
	uint64_t later;		/* since a second version */
};

enum { FIRST_VERSION = offsetof(struct grown, later) };

START_TEST(options_of_any_size)
{
	union {
		struct grown opts;
		unsigned char bytes[sizeof(struct grown) + 16];
	} in;
	struct grown out, zero;

	memset(&zero, 0, sizeof zero);
	memset(&out, 'x', sizeof out);
	ok(ismi_opts_copy(&out, sizeof out, FIRST_VERSION, NULL, "grown"));
	ck_assert_mem_eq(&out, &zero, sizeof out);

	memset(&in, 0, sizeof in);
	in.opts = (struct grown){ .first = 1, .second = 2, .later = 3 };
	for (size_t size = 0; size < FIRST_VERSION; size++) {
		in.opts.size = size;
		fails(ismi_opts_copy(&out, sizeof out, FIRST_VERSION, &in, "grown"), -EINVAL);
		ck_assert_ptr_nonnull(strstr(ism_error_detail(), "grown.size is "));
	}
	in.opts.size = FIRST_VERSION;		/* an old caller: what it does not know is 0 */
	ok(ismi_opts_copy(&out, sizeof out, FIRST_VERSION, &in, "grown"));
	ck_assert_uint_eq(out.second, 2);
	ck_assert_uint_eq(out.later, 0);
	in.opts.size = sizeof in.opts;
	ok(ismi_opts_copy(&out, sizeof out, FIRST_VERSION, &in, "grown"));
	ck_assert_uint_eq(out.later, 3);
	in.opts.size = sizeof in;		/* a newer one, that does not use what we do not know */
	ok(ismi_opts_copy(&out, sizeof out, FIRST_VERSION, &in, "grown"));
	ck_assert_uint_eq(out.later, 3);
	for (size_t i = sizeof in.opts; i < sizeof in; i++) {
		in.bytes[i] = 0x80;
		fails(ismi_opts_copy(&out, sizeof out, FIRST_VERSION, &in, "grown"), -E2BIG);
		ck_assert_ptr_nonnull(strstr(ism_error_detail(), "grown has a field that this version of libism"));
		in.bytes[i] = 0;
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("texts");
	TCase *tc = harness_tcase(s, "texts", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, the_last_failure_has_the_word);
	tcase_add_test(tc, each_thread_has_its_own);
	tcase_add_test(tc, long_words_are_cut);
	tcase_add_test(tc, every_code_in_the_headers_has_words);
	tcase_add_test(tc, a_sink_hears_its_level_and_what_is_worse);
	tcase_add_test(tc, a_long_line_is_cut);
	tcase_add_test(tc, levels_have_names);
	tcase_add_test(tc, a_bad_level_in_the_environment_is_told_by_open);
	tcase_add_test(tc, a_host_logs_where_its_device_does);
	tcase_add_test(tc, a_host_forgets_the_log_of_a_device_that_is_closed);
	tcase_add_test(tc, references_and_tokens_are_read);
	tcase_add_test(tc, what_is_none_is_refused_without_repeating_it);
	tcase_add_test(tc, what_is_written_can_be_read);
	tcase_add_test(tc, options_of_any_size);
	return harness_main(argc, argv, suites);
}

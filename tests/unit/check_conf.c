/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_conf.c - the settings of ismd: every one of them, right and wrong, and
 * the file they come from.
 */
#include "conf.h"
#include "unit.h"

#include <bsd/string.h>
#include <stdlib.h>

/* Set, or refuse in words that name the setting, the value and what was expected; nothing changes then. */
static void is_set(struct conf *c, const char *name, const char *value)
{
	int r = conf_set(c, name, value);

	ck_assert_msg(r == 0, "%s=\"%s\": %s", name, value, ismi_fail_text());
}

static void is_refused(const char *name, const char *value, const char *expected)
{
	struct conf c, before;

	memset(&c, 0, sizeof c);
	conf_default(&c);
	memcpy(&before, &c, sizeof c);
	int r = conf_set(&c, name, value);
	ck_assert_msg(r == -EINVAL, "%s=\"%s\": %d", name, value, r);
	ck_assert_msg(strstr(ismi_fail_text(), expected) != NULL, "%s=\"%s\": \"%s\" does not say \"%s\"", name, value,
		      ismi_fail_text(), expected);
	ck_assert_msg(memcmp(&c, &before, sizeof c) == 0, "%s=\"%s\" has changed something", name, value);
}

/* ------------------------------------------------------------------ settings */

START_TEST(defaults_are_generous_and_finite)
{
	struct conf c;

	conf_default(&c);
	ck_assert_uint_eq(c.mode, 0660);
	ck_assert_uint_eq(c.group, (gid_t)-1);
	ck_assert_int_eq(c.server.log.level, ISMI_LOG_INFO);
	ck_assert_uint_gt(c.server.device_quota.regions, 0);
	ck_assert_uint_gt(c.server.device_quota.grants, 0);
	ck_assert_uint_gt(c.server.user_quota.devices, 0);
	ck_assert_uint_gt(c.server.user_quota.regions, 0);
	ck_assert_uint_gt(c.server.user_quota.grants, 0);
}
END_TEST

START_TEST(bytes_are_numbers_with_a_unit)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },	     { "1", 1 },
		{ "4096", 4096 },    { "1k", 1024 },
		{ "3K", 3072 },	     { "5M", 5 << 20 },
		{ "5m", 5 << 20 },   { "4G", UINT64_C(4) << 30 },
		{ "2g", UINT64_C(2) << 30 }, { "16T", UINT64_C(16) << 40 },
		{ "0G", 0 },	     { "9223372036854775807", INT64_MAX },
	};
	static const char *const bad[] = { "", " ", "-1", "+1", "G", "1.5G", "1 G", "0x10", "010", "00", "1GG", "1Kbyte", "1KB", "1E",
					   "1P", "1e3", "4G ", "many", "99999999T", "18446744073709551616",
					   "99999999999999999999999" };
	struct conf c;

	conf_default(&c);
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		is_set(&c, "device-bytes", good[i].text);
		is_set(&c, "user-bytes", good[i].text);
		ck_assert_uint_eq(c.server.device_quota.bytes, good[i].bytes);
		ck_assert_uint_eq(c.server.user_quota.bytes, good[i].bytes);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		is_refused("device-bytes", bad[i], "device-bytes=");
		is_refused("user-bytes", bad[i], "expected a number of bytes");
	}
}
END_TEST

START_TEST(counts_are_numbers)
{
	static const char *const bad[] = { "", "-1", "1.5", "1K", "0x10", "4294967296", "99999999999999999999", "ten", "1 2" };
	static struct conf c;
	static const struct {
		const char *name;
		uint32_t *at;
	} counts[] = {
		{ "device-regions", &c.server.device_quota.regions },
		{ "device-grants", &c.server.device_quota.grants },
		{ "device-attach-rate", &c.server.device_quota.attach_rate },
		{ "device-notify-rate", &c.server.device_quota.notify_rate },
		{ "user-regions", &c.server.user_quota.regions },
		{ "user-grants", &c.server.user_quota.grants },
		{ "user-attach-rate", &c.server.user_quota.attach_rate },
		{ "user-notify-rate", &c.server.user_quota.notify_rate },
		{ "user-devices", &c.server.user_quota.devices },
	};
	const uint32_t n = sizeof counts / sizeof counts[0];

	conf_default(&c);
	for (uint32_t i = 0; i < n; i++) {
		char text[16];
		snprintf(text, sizeof text, "%u", 1000 + i);
		is_set(&c, counts[i].name, text);
	}
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_uint_eq(*counts[i].at, 1000 + i);
		is_set(&c, counts[i].name, "4294967295");
		ck_assert_uint_eq(*counts[i].at, UINT32_MAX);
		is_set(&c, counts[i].name, "0");
		ck_assert_uint_eq(*counts[i].at, 0);
		for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
			is_refused(counts[i].name, bad[k], counts[i].name);
			is_refused(counts[i].name, bad[k], "expected a number up to 4294967295");
		}
	}
}
END_TEST

START_TEST(a_mode_is_octal)
{
	static const char *const bad[] = { "", "-1", "-0", "+7", " 660", "888", "0o660", "1000", "01000", "07777", "rw-rw----", "0660x" };
	struct conf c;

	conf_default(&c);
	is_set(&c, "mode", "0600");
	ck_assert_uint_eq(c.mode, 0600);
	is_set(&c, "mode", "666");
	ck_assert_uint_eq(c.mode, 0666);
	is_set(&c, "mode", "0777");
	ck_assert_uint_eq(c.mode, 0777);
	is_set(&c, "mode", "0");
	ck_assert_uint_eq(c.mode, 0);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		is_refused("mode", bad[i], "expected an octal mode up to 0777");
}
END_TEST

START_TEST(a_group_is_a_name_or_a_number)
{
	static const char *const bad[] = { "", "-1", "no-such-group-here", "4294967295", "4294967296", "1.5" };
	struct conf c;

	conf_default(&c);
	is_set(&c, "group", "root");
	ck_assert_uint_eq(c.group, 0);
	is_set(&c, "group", "4711");
	ck_assert_uint_eq(c.group, 4711);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		is_refused("group", bad[i], "no such group");
}
END_TEST

START_TEST(a_log_level_is_a_word)
{
	static const char *const levels[] = { "none", "error", "warn", "info", "debug" };
	static const char *const bad[] = { "", "3", "Info", "warning", "debug " };
	struct conf c;

	conf_default(&c);
	for (int i = 0; i < 5; i++) {
		is_set(&c, "log", levels[i]);
		ck_assert_int_eq(c.server.log.level, i);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		is_refused("log", bad[i], "expected none, error, warn, info or debug");
}
END_TEST

START_TEST(a_keeper_is_a_word_and_its_patience_seconds)
{
	struct conf c;

	conf_default(&c);
	ck_assert_int_eq(c.keep, KEEP_KEEPER);
	is_set(&c, "keep", "store");
	ck_assert_int_eq(c.keep, KEEP_STORE);
	is_set(&c, "keep", "no");
	ck_assert_int_eq(c.keep, KEEP_NO);
	is_set(&c, "grace", "86400");
	ck_assert_uint_eq(c.grace, 86400);
	is_refused("keep", "yes", "keeper, store or no");
	is_refused("keep", "", "keeper, store or no");
	is_refused("grace", "0", "1 to 86400");
	is_refused("grace", "86401", "1 to 86400");
	is_refused("grace", "-1", "1 to 86400");
}
END_TEST

START_TEST(what_is_no_setting_is_refused)
{
	is_refused("", "1", "unknown setting");
	is_refused("devicebytes", "1", "unknown setting \"devicebytes\"");
	is_refused("device-bytes ", "1", "unknown setting");
	is_refused("Mode", "0600", "unknown setting");
	is_refused("a-name-that-is-longer-than-any-that-could-be-meant", "1", "unknown setting \"a-name-");
}
END_TEST

START_TEST(every_setting_is_described)
{
	const char *name, *help;
	struct conf c;
	size_t n = 0;

	conf_default(&c);
	for (; conf_describe(n, &name, &help); n++) {
		ck_assert_str_ne(name, "");
		ck_assert_str_ne(help, "");
		bool word = strcmp(name, "log") == 0 || strcmp(name, "keep") == 0, least_1 = strcmp(name, "grace") == 0;
		is_set(&c, name, !word ? least_1 ? "1" : "0" : *name == 'l' ? "none" : "no");
	}
	ck_assert_uint_eq(n, 17);
	ck_assert(!conf_describe(n + 1, &name, &help));
	ck_assert(!conf_describe(SIZE_MAX, &name, &help));
}
END_TEST

/* ------------------------------------------------------------------ the file */

static const char *file_with(const char *text)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/.conf", harness_dir());
	FILE *f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
	return path;
}

static void file_fails(const char *text, unsigned int line, const char *expected)
{
	const char *path = file_with(text);
	char where[160];
	struct conf c;

	conf_default(&c);
	ck_assert_int_eq(conf_read(&c, path), -EINVAL);
	snprintf(where, sizeof where, "%s:%u: ", path, line);
	ck_assert_msg(strncmp(ismi_fail_text(), where, strlen(where)) == 0, "\"%s\" does not begin with \"%s\"",
		      ismi_fail_text(), where);
	ck_assert_msg(strstr(ismi_fail_text(), expected) != NULL, "\"%s\" does not say \"%s\"", ismi_fail_text(),
		      expected);
}

START_TEST(a_file_has_lines_of_name_and_value)
{
	struct conf c;

	conf_default(&c);
	ok(conf_read(&c, file_with("# settings\n"
				   "\n"
				   "mode=0600\n"
				   "   user-bytes = 4G   # for everybody\n"
				   "\tdevice-regions\t=\t17\t\n"
				   "#mode = 0666\n"
				   "log = debug\r\n"
				   "   \t  \n"
				   "device-regions = 18\n"
				   "user-devices = 3")));	/* no newline at the end */
	ck_assert_uint_eq(c.mode, 0600);
	ck_assert_uint_eq(c.server.user_quota.bytes, UINT64_C(4) << 30);
	ck_assert_uint_eq(c.server.device_quota.regions, 18);	/* the last one counts */
	ck_assert_int_eq(c.server.log.level, ISMI_LOG_DEBUG);
	ck_assert_uint_eq(c.server.user_quota.devices, 3);
	ok(conf_read(&c, file_with("")));
	ck_assert_uint_eq(c.mode, 0600);
}
END_TEST

START_TEST(an_error_names_the_line_and_what_was_expected)
{
	file_fails("mode = 0600\nuser-bytes = lots\n", 2, "user-bytes=\"lots\": expected a number of bytes");
	file_fails("\n\n# x\nuser-devices = -1\n", 4, "expected a number up to 4294967295");
	file_fails("mode", 1, "\"mode\": expected name = value");
	file_fails("mode 0600\n", 1, "expected name = value");
	file_fails("mode =\n", 1, "mode=\"\": expected an octal mode");
	file_fails("= 0600\n", 1, "unknown setting \"\"");
	file_fails("mode == 0600\n", 1, "mode=\"= 0600\": expected an octal mode");
	file_fails("log = loud\n", 1, "expected none, error, warn, info or debug");
	file_fails("group = no-such-group-here\n", 1, "no such group");
	file_fails("[ismd]\n", 1, "expected name = value");
	file_fails("mode = 0600\nmod = 0600\nmode = 888\n", 2, "unknown setting \"mod\"");	/* the first of two */
}
END_TEST

START_TEST(a_long_line_is_an_error_and_nothing_worse)
{
	char *text = malloc(100001);

	memset(text, 'x', 100000);
	text[100000] = '\0';
	file_fails(text, 1, "expected name = value");
	memcpy(text, "mode=", 5);
	file_fails(text, 1, "mode=\"xxx");
	text[4] = 'x';
	text[50000] = '=';
	file_fails(text, 1, "unknown setting");
	memset(text, ' ', 100000);
	memcpy(text + 99990, "log=loud", 8);
	file_fails(text, 1, "expected none");
	free(text);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_said)
{
	char path[128];
	struct conf c;

	conf_default(&c);
	snprintf(path, sizeof path, "%s/none", harness_dir());
	fails(conf_read(&c, path), -ENOENT);
	ck_assert_ptr_nonnull(strstr(ismi_fail_text(), path));
	fails(conf_read(&c, harness_dir()), -EIO);
	ck_assert_ptr_nonnull(strstr(ismi_fail_text(), harness_dir()));
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("conf");
	TCase *tc = harness_tcase(s, "conf", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, defaults_are_generous_and_finite);
	tcase_add_test(tc, bytes_are_numbers_with_a_unit);
	tcase_add_test(tc, counts_are_numbers);
	tcase_add_test(tc, a_mode_is_octal);
	tcase_add_test(tc, a_group_is_a_name_or_a_number);
	tcase_add_test(tc, a_log_level_is_a_word);
	tcase_add_test(tc, a_keeper_is_a_word_and_its_patience_seconds);
	tcase_add_test(tc, what_is_no_setting_is_refused);
	tcase_add_test(tc, every_setting_is_described);
	tcase_add_test(tc, a_file_has_lines_of_name_and_value);
	tcase_add_test(tc, an_error_names_the_line_and_what_was_expected);
	tcase_add_test(tc, a_long_line_is_an_error_and_nothing_worse);
	tcase_add_test(tc, a_file_that_cannot_be_read_is_said);
	return harness_main(argc, argv, suites);
}

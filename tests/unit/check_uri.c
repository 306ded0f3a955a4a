/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_uri.c - which backend a URI means, and which socket.
 */
#include "internal.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 108 };	/* of a socket address */

static const struct ismi_backend *backend;
static const char *address;
static bool traced;

static void resolves(const char *uri, const char *name, const char *want)
{
	ok(ismi_uri_resolve(uri, &backend, &address, &traced));
	ck_assert_str_eq(backend->name, name);
	ck_assert_str_eq(address, want);
}

static void is_refused(const char *uri, const char *words)
{
	ck_assert_msg(ismi_uri_resolve(uri, &backend, &address, &traced) == -EINVAL, "\"%s\"", uri ? uri : "NULL");
	ck_assert_msg(strstr(ism_error_detail(), words) != NULL, "\"%s\" does not say \"%s\"", ism_error_detail(), words);
	ck_assert_ptr_nonnull(strstr(ism_error_detail(), "expected loop:[NAME], emu:[PATH] or dev:[PATH]"));
}

/* ------------------------------------------------------------------ schemes */

START_TEST(a_scheme_names_the_backend)
{
	resolves("loop:", "loop", "");
	resolves("loop:a name", "loop", "a name");
	resolves("loop:emu:x", "loop", "emu:x");
	resolves("emu:", "emu", "");
	resolves("emu:/run/ism/default", "emu", "/run/ism/default");
	resolves("emu:here", "emu", "here");
}
END_TEST

START_TEST(everything_else_is_refused_by_name)
{
	static const char *const bad[] = { "", "loop", "emu", ":", ":x", "Loop:", "EMU:", "emux:", "em:", " emu:", "emu :x", "tcp://x",
					   "/run/ism/default" };
	char *longest = malloc(100001);

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char words[64];
		snprintf(words, sizeof words, "URI \"%s\"", bad[i]);
		is_refused(bad[i], words);
	}
	memset(longest, 'x', 100000);
	longest[100000] = '\0';
	is_refused(longest, "URI \"xxx");
	longest[50000] = ':';
	is_refused(longest, "URI \"xxx");
	free(longest);
}
END_TEST

START_TEST(the_environment_speaks_where_the_caller_does_not)
{
	setenv("ISM_DEVICE", "loop:from the environment", 1);
	resolves(NULL, "loop", "from the environment");
	resolves("emu:x", "emu", "x");
	setenv("ISM_DEVICE", "nonsense", 1);
	is_refused(NULL, "ISM_DEVICE \"nonsense\"");
	is_refused("", "URI \"\"");
	setenv("ISM_DEVICE", "", 1);
	ok(ismi_uri_resolve(NULL, &backend, &address, &traced));
	ck_assert_str_ne(backend->name, "loop");
	ck_assert_str_eq(address, "");
	unsetenv("ISM_DEVICE");
	ok(ismi_uri_resolve(NULL, &backend, &address, &traced));
	ck_assert_str_eq(address, "");
}
END_TEST

/* ------------------------------------------------------------------ paths */

static char dir[PATH_SIZE], buf[PATH_SIZE];

/* "DIR/name" in a buffer of its own for each call (eight). */
static const char *at(const char *name)
{
	static char b[8][1024];
	static unsigned int next;
	char *p = b[next++ % 8];

	if (*dir == '\0') {
		char *real = realpath(harness_dir(), NULL);
		snprintf(dir, sizeof dir, "%s", real);
		free(real);
	}
	snprintf(p, sizeof b[0], "%s/%s", dir, name);
	return p;
}

static void leads_to(const char *path, const char *want)
{
	memset(buf, 'x', sizeof buf);
	ok(ismi_emu_path(path, buf, sizeof buf));
	ck_assert_str_eq(buf, want);
}

static void path_fails(const char *path, int err, const char *words)
{
	int r = ismi_emu_path(path, buf, sizeof buf);

	ck_assert_msg(r == err, "\"%.200s\": %d: %s", path, r, r < 0 ? ism_error_detail() : buf);
	ck_assert_msg(strstr(ism_error_detail(), words) != NULL, "\"%s\" does not say \"%s\"", ism_error_detail(), words);
}

START_TEST(one_place_has_one_name)
{
	ck_assert_int_eq(mkdir(at(".sub"), 0700), 0);
	ck_assert_int_eq(symlink(at(".sub"), at(".link")), 0);
	leads_to(at("sock"), at("sock"));
	leads_to(at("./sock"), at("sock"));
	leads_to(at(".//.//sock"), at("sock"));
	leads_to(at(".sub/../sock"), at("sock"));
	leads_to(at(".link/sock"), at(".sub/sock"));
	leads_to("/x", "/x");
	leads_to("//x", "/x");
	ck_assert_int_eq(chdir(at(".sub")), 0);
	leads_to("sock", at(".sub/sock"));
	leads_to("./sock", at(".sub/sock"));
	leads_to("../sock", at("sock"));
	ck_assert_int_eq(chdir("/"), 0);
	leads_to("sock", "/sock");
}
END_TEST

START_TEST(a_directory_is_no_socket)
{
	path_fails("/", -EINVAL, "expected the path of a socket");
	path_fails(".", -EINVAL, "expected the path of a socket");
	path_fails("..", -EINVAL, "expected the path of a socket");
	path_fails(at(""), -EINVAL, "expected the path of a socket");
	path_fails(at("."), -EINVAL, "expected the path of a socket");
	path_fails(at("x/.."), -EINVAL, "expected the path of a socket");
	path_fails(at("none/sock"), -ENOENT, "No such file");
}
END_TEST

START_TEST(a_socket_address_has_room_for_107_bytes)
{
	char path[400];
	int room = PATH_SIZE - 1 - (int)strlen(at("")), n;

	for (n = room - 2; n <= room; n++) {
		snprintf(path, sizeof path, "%s%0*d", at(""), n, 0);
		leads_to(path, path);
	}
	for (; n < room + 200; n += 33) {
		snprintf(path, sizeof path, "%s%0*d", at(""), n, 0);
		path_fails(path, -ENAMETOOLONG, "may have 107 bytes");
	}
}
END_TEST

/* ------------------------------------------------------------------ the default */

static void has_mode(const char *path, unsigned int mode)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, mode);
}

START_TEST(our_own_directory_comes_first)
{
	setenv("ISM_RUNTIME_DIR", at(".run"), 1);
	setenv("XDG_RUNTIME_DIR", dir, 1);
	leads_to("", at(".run/default"));
	has_mode(at(".run"), 0700);
	leads_to("", at(".run/default"));
	ck_assert_int_eq(chmod(at(".run"), 0755), 0);	/* it is the user's: whoever hosts there looks at it */
	leads_to("", at(".run/default"));
	has_mode(at(".run"), 0755);
	setenv("ISM_RUNTIME_DIR", "", 1);
	leads_to("", at("ism/default"));
	rmdir(at("ism"));
	setenv("ISM_RUNTIME_DIR", "relative", 1);
	path_fails("", -EINVAL, "ISM_RUNTIME_DIR=\"relative\": expected an absolute path");
	setenv("ISM_RUNTIME_DIR", at("a/b"), 1);
	path_fails("", -ENOENT, "cannot make the directory");
	close(open(at(".file"), O_CREAT | O_WRONLY, 0600));
	setenv("ISM_RUNTIME_DIR", at(".file"), 1);
	path_fails("", -EACCES, "is a file: expected a directory");
	ck_assert_int_eq(symlink("/nowhere/at/all", at(".dangling")), 0);
	setenv("ISM_RUNTIME_DIR", at(".dangling"), 1);
	path_fails("", -EACCES, "is a link: expected a directory");
}
END_TEST

START_TEST(a_path_that_is_too_long_makes_no_directory)
{
	char name[150];

	memset(name, 'd', sizeof name);
	name[sizeof name - 1] = '\0';
	setenv("ISM_RUNTIME_DIR", at(name), 1);
	path_fails("", -ENAMETOOLONG, "may have 107 bytes");
	ck_assert_int_ne(access(at(name), F_OK), 0);
}
END_TEST

START_TEST(then_the_users_directory)
{
	unsetenv("ISM_RUNTIME_DIR");
	ck_assert_int_eq(mkdir(at(".xdg"), 0700), 0);
	setenv("XDG_RUNTIME_DIR", at(".xdg"), 1);
	leads_to("", at(".xdg/ism/default"));
	has_mode(at(".xdg/ism"), 0700);
	leads_to("", at(".xdg/ism/default"));

	ck_assert_int_eq(rmdir(at(".xdg/ism")), 0);
	close(open(at(".xdg/ism"), O_CREAT | O_WRONLY, 0600));
	path_fails("", -EACCES, "is a file: expected a directory");
	ck_assert_int_eq(unlink(at(".xdg/ism")), 0);
	ck_assert_int_eq(symlink(dir, at(".xdg/ism")), 0);	/* somebody wants us to go elsewhere */
	path_fails("", -EACCES, "is a link: expected a directory");
	ck_assert_int_eq(unlink(at(".xdg/ism")), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(mkdir(at(".xdg/ism"), 0700), 0);
		ck_assert_int_eq(chown(at(".xdg/ism"), 12345, (gid_t)-1), 0);
		path_fails("", -EACCES, "belongs to uid 12345: expected 0");
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("uri");
	TCase *tc = harness_tcase(s, "uri", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, a_scheme_names_the_backend);
	tcase_add_test(tc, everything_else_is_refused_by_name);
	tcase_add_test(tc, the_environment_speaks_where_the_caller_does_not);
	tcase_add_test(tc, one_place_has_one_name);
	tcase_add_test(tc, a_directory_is_no_socket);
	tcase_add_test(tc, a_socket_address_has_room_for_107_bytes);
	tcase_add_test(tc, our_own_directory_comes_first);
	tcase_add_test(tc, a_path_that_is_too_long_makes_no_directory);
	tcase_add_test(tc, then_the_users_directory);
	return harness_main(argc, argv, suites);
}

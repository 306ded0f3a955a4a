/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ismd.c - the host of a domain as a daemon.
 */
#include "conf.h"
#include "daemon.h"
#include "machines.h"
#include "seat.h"
#include "server.h"

#include "base/clock.h"
#include "base/sys.h"

#include <bsd/libutil.h>
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <getopt.h>
#include <internal.h>
#include <ism.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static const char default_config[] = "/etc/ism/ismd.conf", root_dir[] = "/run/ism";

struct options {
	bool foreground, replace;
	const char *config, *pidfile, *path;
	struct conf conf;
};

static struct server server;
static struct machines machines;
static struct keep keep = KEEP_INIT;
static volatile sig_atomic_t hand_over;

enum { LISTEN_BACKLOG = 1024 };

static const int64_t REPLACE_WITHIN = 10000000000, PAUSE = 1000000;

/* ------------------------------------------------------------------ options */

static void usage(FILE *f)
{
	const char *name, *help;

	fputs("usage: ismd [--foreground] [--config FILE] [--set NAME=VALUE]... [--pidfile FILE] [--replace]\n"
	      "            [PATH]\n"
	      "\n"
	      "Hosts the libism domain at PATH, for programs that open \"emu:PATH\".\n"
	      "Without PATH: $ISM_RUNTIME_DIR/default, or /run/ism/default for root, or\n"
	      "$XDG_RUNTIME_DIR/ism/default.\n"
	      "\n"
	      "  -f, --foreground      stay in the foreground, log to standard error\n"
	      "  -c, --config FILE     read settings; default /etc/ism/ismd.conf if it is there\n"
	      "  -s, --set NAME=VALUE  a setting, stronger than the file's\n"
	      "  -p, --pidfile FILE    write the process id there\n"
	      "  -r, --replace         take over from the ismd that hosts PATH now\n"
	      "  -v, --vhost-user PATH serve virtual machines at this socket; may be given again\n"
	      "  -h, --help            this text\n"
	      "  -V, --version         the version\n"
	      "\n"
	      "settings:\n",
	      f);
	for (size_t i = 0; conf_describe(i, &name, &help); i++)
		fprintf(f, "  %-20s  %s\n", name, help);
}

static void __attribute__((noreturn)) tell_and_exit(bool help)
{
	if (help)
		usage(stdout);
	else
		puts("ismd " ISM_VERSION_STRING);
	exit(fflush(stdout) == 0 ? 0 : 1);
}

/* A message and exit status 2. */
static void __attribute__((noreturn)) bad_usage(const char *why)
{
	fprintf(stderr, "ismd: %s\nTry 'ismd --help'.\n", why);
	exit(2);
}

static void set_option(struct conf *c, const char *text)
{
	char name[32];
	const char *value = strchr(text, '=');

	if (value == NULL || (size_t)(value - text) >= sizeof name)
		bad_usage("--set: expected NAME=VALUE");
	memcpy(name, text, (size_t)(value - text));
	name[value - text] = '\0';
	if (conf_set(c, name, value + 1) < 0)
		bad_usage(ismi_fail_text());
}

/* Of use after the working directory has been left. */
static const char *absolute(const char *path)
{
	char *cwd, *name;

	if (*path == '/')
		return path;
	cwd = realpath(".", NULL);
	if (cwd == NULL || asprintf(&name, "%s/%s", cwd, path) < 0) {
		perror("ismd: the working directory");
		exit(1);
	}
	free(cwd);
	return name;
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "foreground", no_argument, NULL, 'f' }, { "config", required_argument, NULL, 'c' },
		{ "set", required_argument, NULL, 's' },  { "pidfile", required_argument, NULL, 'p' },
		{ "replace", no_argument, NULL, 'r' },	  { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },	  { "vhost-user", required_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	static const char shorts[] = "fc:s:p:rv:hV";
	int c;

	*o = (struct options){ 0 };
	conf_default(&o->conf);
	/* Twice: the file first, so that the command line is stronger wherever it stands. */
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == 'c')
			o->config = optarg;
		else if (c == 'h' || c == 'V')
			tell_and_exit(c == 'h');
		else if (c == '?') {
			fputs("Try 'ismd --help'.\n", stderr);
			exit(2);
		}
	}
	if (o->config == NULL && access(default_config, F_OK) == 0)
		o->config = default_config;
	if (o->config != NULL && conf_read(&o->conf, o->config) < 0)
		bad_usage(ismi_fail_text());
	if (ismi_log_from_env(&o->conf.server.log) < 0)
		bad_usage(ismi_fail_text());
	optind = 1;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == 'f')
			o->foreground = true;
		else if (c == 's')
			set_option(&o->conf, optarg);
		else if (c == 'p')
			o->pidfile = absolute(optarg);
		else if (c == 'r')
			o->replace = true;
		else if (c == 'v' && machines_add(&machines, absolute(optarg)) < 0)
			bad_usage(ismi_fail_text());
	}
	if (argc - optind > 1)
		bad_usage("more than one PATH");
	o->path = optind < argc ? argv[optind] : "";
}

/* ------------------------------------------------------------------ where */

/* The default for root is the system's place, which exists once a daemon has made it. */
static int resolve_path(const char *given, char *buf, size_t size)
{
	const char *own = secure_getenv("ISM_RUNTIME_DIR");

	if (*given == '\0' && geteuid() == 0 && (own == NULL || *own == '\0')) {
		int r = ismi_sys_mkdir(root_dir, 0755);
		if (r < 0 && r != -EEXIST)
			return ismi_fail(r, "cannot make the directory %s: %s", root_dir, strerror(-r));
		snprintf(buf, size, "%s/default", root_dir);
		return 0;
	}
	return ismi_emu_path(given, buf, size);
}

/* Is this a socket that we can listen on?  Where it is, if so. */
static bool is_ours(int fd, char *path, size_t size)
{
	struct sockaddr_un addr = { 0 };
	socklen_t len = sizeof addr, int_len = sizeof(int);
	int type = 0, listens = 0;

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0 || addr.sun_family != AF_UNIX ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &int_len) < 0 || type != SOCK_SEQPACKET ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &int_len) < 0 || !listens)
		return false;
	strlcpy(path, addr.sun_path, size);
	return true;
}

/*
 * The listening socket that the service manager made for us, which has any name
 * but those of what we had it keep: -1 if there is none.
 */
static int activated(struct kept *passed, size_t nr, char *path, size_t size)
{
	int sockets = 0, fd = -1;

	for (size_t i = 0; i < nr; i++) {
		struct stat st;
		bool open = ismi_sys_fstat(passed[i].fd, &st) == 0;
		if (open && (strcmp(passed[i].name, "listen") == 0 || strncmp(passed[i].name, "v-", 2) == 0 ||
			     strncmp(passed[i].name, "m-", 2) == 0 || (!S_ISSOCK(st.st_mode) && *passed[i].name != '\0')))
			continue;
		sockets++;
		if (is_ours(passed[i].fd, path, size)) {
			fd = passed[i].fd;
			passed[i].fd = -1;
		}
	}
	if (sockets > 1 || (sockets == 1 && fd < 0))
		return ismi_fail(-EINVAL, "the service manager passed %d sockets: expected one that listens, AF_UNIX, "
					  "SOCK_SEQPACKET (ListenSequentialPacket=)", sockets);
	if (fd >= 0 && (*path != '/' || strnlen(path, size) >= size - 1))
		return ismi_fail(-EINVAL, "the service manager passed a socket without an absolute path: expected one that listens "
					  "at a name in the file system");
	if (fd >= 0)
		ismi_sys_setfl(fd, O_NONBLOCK);
	return fd;
}

/* ------------------------------------------------------------------ life */

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		hand_over = 1;
	server_stop(&server);
}

static void catch_signals(void)
{
	struct sigaction stop = { .sa_handler = on_signal };

	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGUSR1, &stop, NULL);
	signal(SIGHUP, SIG_IGN);
}

/* Between taking the seat and serving, and behind that: an end now would leave the socket behind. */
static void hold_signals(bool hold)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* A program that hosts the domain besides its own business would not survive being asked. */
static bool is_daemon(const char *path)
{
	struct ism_open_opts opts = { .size = sizeof opts, .flags = ISM_OPEN_NO_HOST, .timeout_ms = 2000, .name = "ismd" };
	struct ism_info info = { .size = sizeof info };
	char uri[sizeof info.path + 8];
	struct ism_device *dev;

	snprintf(uri, sizeof uri, "emu:%s", path);
	if (ism_open(uri, &opts, &dev) < 0)
		return false;
	int r = ism_query(dev, &info);
	ism_close(dev);
	return r == 0 && info.host == ISM_HOST_DAEMON;
}

/* The lock of @path; with --replace, after asking whoever has it to leave. */
static int lock_seat(const struct options *o, const char *path, struct host_seat *seat)
{
	int64_t deadline = ismi_deadline(REPLACE_WITHIN);
	int holder, asked = 0, r;

	while ((r = host_seat_lock(seat, path, &holder)) == -EAGAIN) {
		if (!o->replace || (asked == 0 && !is_daemon(path) && kill(holder, 0) == 0))
			return ismi_fail(r, "%s has a host already: process %d%s", path, holder,
					 o->replace ? ", which is no ismd that answers" : "");
		if (ismi_time_left(deadline) == 0)
			return ismi_fail(r, "process %d does not leave %s", holder, path);
		if (holder > 0 && holder != asked && kill(holder, SIGUSR1) < 0)
			return ismi_fail(-errno, "cannot ask process %d to leave %s: %s", holder, path, strerror(errno));
		asked = holder;
		ismi_sleep_ns(PAUSE);
	}
	return r;
}

/* Listen: on the service manager's socket, on that of a former host, or on a new one. */
static int listen_seat(const struct options *o, struct host_seat *seat, int passed_fd, bool *ret_kept)
{
	struct stat st;
	int fd = -1;

	*ret_kept = keep_had(&keep, "listen", &fd, 1) == 1;
	if (passed_fd < 0 && *ret_kept && ismi_sys_lstat(seat->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		host_seat_adopt(seat, fd, false);
		/* So that those who connect see us behind it, and not the former host. */
		int r = ismi_sys_listen(fd, LISTEN_BACKLOG);
		return r < 0 ? ismi_fail(r, "cannot listen at %s: %s", seat->path, strerror(-r)) : 0;
	}
	if (*ret_kept) {	/* nobody can reach it any more */
		ismi_sys_close(fd);
		keep_remove(&keep, "listen");
		*ret_kept = false;
	}
	if (passed_fd >= 0) {
		host_seat_adopt(seat, passed_fd, true);
		return 0;
	}
	return host_seat_listen(seat, o->conf.mode, o->conf.group);
}

/* It did not work.  What a former host has left may still be of use to another version, or to us later. */
static void abandon(struct host_seat *seat, bool inherited)
{
	if (inherited) {
		host_seat_hand_over(seat);
	} else {
		keep_stop(&keep);
		host_seat_leave(seat);
	}
	keep_close(&keep);
}

/* Take the seat at PATH, or under the socket that the service manager holds for us. */
static int take_seat(const struct options *o, struct host_seat *seat, bool *ret_listen_kept)
{
	char path[sizeof seat->path];
	struct kept *passed;
	int nr = keep_passed(&passed), fd, r;

	if (nr < 0)
		return nr;
	fd = activated(passed, (size_t)nr, path, sizeof path);
	r = fd >= 0 ? 0 : fd < -1 ? fd : resolve_path(o->path, path, sizeof path);
	if (r == 0)
		r = lock_seat(o, path, seat);
	if (r < 0) {
		free(passed);
		return r;
	}
	r = keep_open(&keep, o->conf.keep, path, o->conf.grace, &o->conf.server.log, passed, (size_t)nr);
	if (r == 0)
		r = listen_seat(o, seat, fd, ret_listen_kept);
	if (r < 0)
		abandon(seat, keep.inherited);
	return r;
}

static int host_domain(const struct options *o, struct host_seat *seat, bool listen_kept)
{
	struct server_opts opts = o->conf.server;
	int r;

	opts.host_kind = ISM_HOST_DAEMON;
	opts.gid = domain_gid(seat->path);
	r = server_init(&server, &opts, seat->listen_fd);
	if (r < 0)
		return ismi_fail(r, "cannot serve %s: %s", seat->path, strerror(-r));
	seat->listen_fd = -1;
	if (keep.kind == KEEP_NO)
		keep_close(&keep);
	else
		r = server_keep(&server, &keep, listen_kept);
	if (r == 0)
		r = machines_serve(&machines, &server, &o->conf);
	if (r < 0)
		server_fini(&server, !keep.inherited);
	return r;
}

/* A service manager keeps what it has over a restart, and drops it when it stops us for good. */
static bool domain_ends(const struct options *o)
{
	return !hand_over && o->conf.keep != KEEP_STORE;
}

static int run(const struct options *o, int *pipe_fd)
{
	struct pidfh *pidfile = NULL;
	struct host_seat seat;
	bool listen_kept = false;
	pid_t other = 0;
	int r;

	hold_signals(true);
	signal(SIGCHLD, SIG_IGN);	/* keepers */
	signal(SIGPIPE, SIG_IGN);
	if (o->pidfile != NULL && (pidfile = pidfile_open(o->pidfile, 0644, &other)) == NULL)
		return ismi_fail(-errno, "pid file %s: %s", o->pidfile,
				 errno == EEXIST ? "another ismd runs with it" : strerror(errno));
	r = take_seat(o, &seat, &listen_kept);
	if (r < 0)
		goto out;
	r = host_domain(o, &seat, listen_kept);
	if (r < 0) {
		abandon(&seat, keep.inherited);
		goto out;
	}
	catch_signals();
	hold_signals(false);
	if (pidfile != NULL)
		pidfile_write(pidfile);
	setproctitle("%s", seat.path);
	ismi_info(&server.opts.log, "ismd", "hosting %s, domain %016llx", seat.path,
		  (unsigned long long)server.opts.gid);
	daemon_report(pipe_fd, "ready");
	if (!o->foreground)
		daemon_detach_stdio();
	daemon_tell_manager("READY=1");
	server_run(&server);
	hold_signals(true);
	daemon_tell_manager("STOPPING=1");
	bool over = domain_ends(o);
	ismi_info(&server.opts.log, "ismd", over ? "no longer hosting %s" : "leaving %s to another", seat.path);
	machines_leave(&machines);
	if (over) {	/* the keeper first: who gets the lock shall not go on with this domain */
		persist_end(&server.domain, true);
		host_seat_leave(&seat);
	}
	server_fini(&server, over);
	if (!over)
		host_seat_hand_over(&seat);
out:
	if (pidfile != NULL)
		pidfile_remove(pidfile);
	return r;
}

/* The other role of this program; see keep.c, which starts it. */
static int be_keeper(int argc, char **argv)
{
	const char *wrong = argc == 4 ? NULL : "usage";
	long long grace = wrong == NULL ? strtonum(argv[2], 1, 86400, &wrong) : 0;

	if (wrong != NULL) {
		fputs("ismd: --keeper is for ismd itself\n", stderr);
		return 2;
	}
	return keeper_main(3, argv[3], (unsigned int)grace);
}

int main(int argc, char **argv, char **envp)
{
	struct options o;
	int pipe_fd = -1;

	daemon_fill_stdio();
	if (argc > 1 && strcmp(argv[1], "--keeper") == 0)
		return be_keeper(argc, argv);
	setproctitle_init(argc, argv, envp);
	parse(argc, argv, &o);
	if (sodium_init() < 0) {
		fputs("ismd: libsodium cannot be initialised\n", stderr);
		return 1;
	}
	daemon_raise_limits();
	if (!o.foreground) {
		openlog("ismd", LOG_PID, LOG_DAEMON);
		o.conf.server.log.sink = daemon_to_syslog;
		pipe_fd = daemon_go_background();
	}
	int r = run(&o, &pipe_fd);
	if (r == 0)
		return 0;
	if (pipe_fd >= 0)
		daemon_report(&pipe_fd, ismi_fail_text());
	else
		fprintf(stderr, "ismd: %s\n", ismi_fail_text());
	return 1;
}

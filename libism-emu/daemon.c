/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * daemon.c - what ismd does with its surroundings, as any daemon.
 */
#include "daemon.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

void daemon_fill_stdio(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
		;
	if (fd > STDERR_FILENO)
		close(fd);
}

void daemon_raise_limits(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

int daemon_go_background(void)
{
	char text[512];
	ssize_t n, len = 0;
	int pipe_fds[2];

	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		perror("ismd: pipe");
		exit(1);
	}
	switch (fork()) {
	case -1:
		perror("ismd: fork");
		exit(1);
	case 0:
		close(pipe_fds[0]);
		setsid();
		return pipe_fds[1];
	default:
		close(pipe_fds[1]);
	}
	while ((n = read(pipe_fds[0], text + len, sizeof text - (size_t)len - 1)) > 0)
		len += n;
	text[len] = '\0';
	if (strcmp(text, "ready") == 0)
		exit(0);
	fprintf(stderr, "ismd: %s\n", len > 0 ? text : "ended before it was ready");
	exit(1);
}

void daemon_report(int *pipe_fd, const char *text)
{
	if (*pipe_fd < 0)
		return;
	dprintf(*pipe_fd, "%s", text);
	close(*pipe_fd);
	*pipe_fd = -1;
}

void daemon_detach_stdio(void)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (chdir("/") < 0)
		syslog(LOG_WARNING, "cannot leave the working directory");
}

void daemon_tell_manager(const char *state)
{
	const char *name = secure_getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = name == NULL ? 0 : strlen(name);
	int fd;

	if (len == 0 || len >= sizeof addr.sun_path)
		return;
	memcpy(addr.sun_path, name, len);
	if (*name == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&addr,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

void daemon_to_syslog(void *data, int level, const char *subsystem, const char *message)
{
	static const int priority[] = { LOG_DEBUG, LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

	(void)data;
	syslog(priority[level], "%s: %s", subsystem, message);
}

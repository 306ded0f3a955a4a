/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * reaper.c - remove a directory when this process ends, however it ends.
 *
 * A shell reads from a pipe whose other end only this process has: a line means
 * that all is well, the end of the pipe that we were killed.  fork() would run
 * the program's fork handlers, and a child would show up where the program waits
 * for its own; so the kernel is asked for a child that announces its end to
 * nobody, which makes the shell and leaves it to init.
 */
#include "emu/reaper.h"

#include "base/log.h"
#include "base/sys.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nothing but system calls from here on: other threads may have held any lock when this process was copied. */
static void become_shell(int pipe_fd, const char *dir)
{
	char *const env[] = { (char[]){ "PATH=/usr/bin:/bin" }, NULL };
	char script[] = "read -r _ || rm -rf -- \"$1\"";
	char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, script, (char[]){ "ism-reaper" }, (char *)(uintptr_t)dir,
			       NULL };

	setsid();
	if (chdir("/") < 0 || dup2(pipe_fd, STDIN_FILENO) < 0)
		_exit(1);
	/* Whoever waits for the end of our standard output shall not wait for this one too. */
	for (int fd = 1; fd < 3; fd++)
		close(fd);
	syscall(SYS_close_range, 3, ~0U, 0);	/* without it (Linux 5.9): all of ours are close-on-exec */
	execve("/bin/sh", argv, env);
	_exit(1);
}

static void start(int pipe_fd, const char *dir)
{
	sigset_t all, old;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);	/* handlers are the program's: none runs in the copies */
	long pid = syscall(SYS_clone, 0UL, NULL, NULL, NULL, 0UL);
	if (pid == 0) {
		if (syscall(SYS_clone, 0UL, NULL, NULL, NULL, 0UL) == 0)
			become_shell(pipe_fd, dir);
		_exit(0);
	}
	if (pid > 0) {
		while (waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
}

int ismi_reaper_start(const char *dir)
{
	int fd[2], r = ismi_sys_pipe(fd);

	if (r < 0)
		return ismi_fail(r, "cannot make a pipe: %s", strerror(-r));
	start(fd[0], dir);
	ismi_sys_close(fd[0]);
	return fd[1];
}

void ismi_reaper_release(int reaper)
{
	if (reaper >= 0)
		ismi_sys_write(reaper, "\n", 1);
	ismi_sys_close(reaper);
}

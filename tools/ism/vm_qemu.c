/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vm_qemu.c - which QEMU is there, and what it can do.
 */
#include "vm.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* QEMU 11.1 does not know the device's own number, 44, and aborts; 38 has no driver in the kernel. */
static const char *const number_to_use = "38";

/* Run a program, keep what it says; its exit status, 127: it could not be run. */
static int output_of(char *const argv[], char *ret, size_t size)
{
	int ends[2], status = 0;
	size_t len = 0;

	ret[0] = '\0';
	if (pipe2(ends, O_CLOEXEC) < 0)
		return 127;
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, STDIN_FILENO);
		dup2(null, STDERR_FILENO);
		dup2(ends[1], STDOUT_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(ends[1]);
	for (ssize_t n = 1; n > 0 && len + 1 < size; len += n > 0 ? (size_t)n : 0)
		n = read(ends[0], ret + len, size - 1 - len);
	ret[len] = '\0';
	close(ends[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

static bool has_device(const struct qemu *q, const char *name)
{
	char program[sizeof q->program], help[80], text[256];
	char *argv[] = { program, (char[]){ "-device" }, help, NULL };

	strcpy(program, q->program);
	snprintf(help, sizeof help, "%s,help", name);
	return output_of(argv, text, sizeof text) == 0;
}

void qemu_find(struct qemu *q, const char *program)
{
	static const char *const devices[] = { "vhost-user-test-device-pci", "vhost-user-device-pci" };
	struct utsname u;
	char text[512];
	int major = 0, minor = 0;

	*q = (struct qemu){ .virtio_id = number_to_use };
	uname(&u);
	q->machine = strcmp(u.machine, "x86_64") == 0 ? "q35" : "virt";
	q->kvm = access("/dev/kvm", R_OK | W_OK) == 0;
	strcpy(q->device, devices[0]);
	if (program != NULL)
		snprintf(q->program, sizeof q->program, "%s", program);
	else
		snprintf(q->program, sizeof q->program, "qemu-system-%s", u.machine);

	char *argv[] = { q->program, (char[]){ "-version" }, NULL };
	if (output_of(argv, text, sizeof text) != 0 || sscanf(text, "QEMU emulator version %31s", q->version) != 1 ||
	    sscanf(q->version, "%d.%d", &major, &minor) != 2) {
		q->version[0] = '\0';
		snprintf(q->problem, sizeof q->problem,
			 "%s cannot be run, or is no QEMU: expected QEMU 10.2 or newer (--qemu names one)", q->program);
		return;
	}
	if (major < 10 || (major == 10 && minor < 2)) {
		snprintf(q->problem, sizeof q->problem, "%s is version %s: expected 10.2 or newer, for VIRTIO shared memory regions",
			 q->program, q->version);
		return;
	}
	for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
		if (has_device(q, devices[i])) {
			strcpy(q->device, devices[i]);
			q->works = true;
			return;
		}
	}
	snprintf(q->problem, sizeof q->problem, "%s has no device %s: it has been built without it", q->program, devices[0]);
}

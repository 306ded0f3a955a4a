/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vm.c - ism vm: how to start a virtual machine with a device in the domain.
 *
 * vm_qemu.c looks at the QEMU that is there.  What is printed is what the tests in
 * virtual machines start.
 */
#include "json.h"
#include "vm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ARGS = 32, ARG_SIZE = 400, NUMBER_OF_ISM = 44 };

/* The command line, word by word; @line: it begins one when printed. */
static struct {
	char text[ARG_SIZE];
	bool line;
} args[ARGS];
static int nr_args, first_device_arg;
static bool fits;

static const char *qemu_option, *memory = "2G", *disk, *accel, *virtio_id;
static bool libvirt;

static void add(bool line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(bool line, const char *fmt, ...)
{
	va_list ap;

	if (nr_args == ARGS) {
		fits = false;
		return;
	}
	va_start(ap, fmt);
	fits &= vsnprintf(args[nr_args].text, ARG_SIZE, fmt, ap) < ARG_SIZE;
	va_end(ap);
	args[nr_args++].line = line;
}

/* ------------------------------------------------------------------ the domain's socket for machines */

/* 0: somebody serves it; else an errno. */
static int served(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err = 0;

	if (strlen(path) >= sizeof addr.sun_path)
		return ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
		err = errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/* ------------------------------------------------------------------ the command line */

/* In options of QEMU a comma is doubled. */
static const char *value(const char *text, char buf[ARG_SIZE])
{
	size_t n = 0;

	for (; *text != '\0' && n + 2 < ARG_SIZE; text++) {
		if (*text == ',')
			buf[n++] = ',';
		buf[n++] = *text;
	}
	buf[n] = '\0';
	return buf;
}

static void compose(const struct qemu *q, const char *socket_path)
{
	char buf[ARG_SIZE];

	fits = true;
	nr_args = 0;
	add(false, "%s", q->program);
	add(true, "-machine");
	add(false, "%s,memory-backend=mem0", q->machine);
	if (accel != NULL) {
		add(true, "-accel");
		add(false, "%s", accel);
	} else {
		if (q->kvm) {
			add(true, "-accel");
			add(false, "kvm");
		}
		add(!q->kvm, "-accel");
		add(false, "tcg");
	}
	add(false, "-cpu");
	add(false, "max");
	add(true, "-m");
	add(false, "%s", memory);
	add(false, "-object");
	add(false, "memory-backend-memfd,id=mem0,size=%s,share=on", memory);
	first_device_arg = nr_args;
	add(true, "-chardev");
	add(false, "socket,id=ism0,path=%s", value(socket_path, buf));
	add(true, "-device");
	add(false, "%s,chardev=ism0,virtio-id=%s,num_vqs=3,vq_size=64,config_size=32", q->device, virtio_id);
	if (disk != NULL) {
		add(true, "-drive");
		add(false, "file=%s,if=virtio", value(disk, buf));
	}
}

/* ------------------------------------------------------------------ printing */

/* As a shell takes it. */
static void print_word(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,:=+@%";

	if (word[0] != '\0' && strspn(word, plain) == strlen(word)) {
		fputs(word, stdout);
		return;
	}
	putchar('\'');
	for (; *word != '\0'; word++) {
		if (*word == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*word);
	}
	putchar('\'');
}

static void print_shell(const struct qemu *q, const char *socket_path, bool is_served)
{
	if (!is_served) {
		fputs("# On the host, first:\nismd --vhost-user ", stdout);
		print_word(socket_path);
		putchar('\n');
	}
	printf("# On the host%s%s:\n", q->version[0] != '\0' ? ", with QEMU " : "", q->version);
	for (int i = 0; i < nr_args; i++) {
		fputs(args[i].line ? " \\\n    " : i > 0 ? " " : "", stdout);
		print_word(args[i].text);
	}
	puts("\n# In the machine (see ism(4)):");
	if (strtoul(virtio_id, NULL, 0) == NUMBER_OF_ISM)
		puts("modprobe virtio_ism");
	else
		printf("modprobe virtio_ism virtio_id=%s\n", virtio_id);
}

static void print_xml_arg(const char *text, const char *more)
{
	fputs("    <qemu:arg value='", stdout);
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", stdout);
			break;
		case '<':
			fputs("&lt;", stdout);
			break;
		case '\'':
			fputs("&apos;", stdout);
			break;
		default:
			putchar(*text);
		}
	}
	printf("%s'/>\n", more);
}

/*
 * What belongs into a domain of libvirt; it has an emulator, memory and disks of its own.
 * libvirt does not see which slot an argument takes, and gives out the first ones
 * itself.  Without <acpi/> libvirt 9.0 says -no-acpi, which QEMU 9 has no more.
 */
static void print_libvirt(const struct qemu *q)
{
	bool kvm = accel == NULL ? q->kvm : strcmp(accel, "kvm") == 0;

	printf("<!-- Into <domain type='%s' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>,\n"
	       "     with <type machine='%s'> and <features><acpi/></features>: -->\n", kvm ? "kvm" : "qemu", q->machine);
	puts("  <memoryBacking>\n    <source type='memfd'/>\n    <access mode='shared'/>\n  </memoryBacking>\n"
	     "  <qemu:commandline>");
	for (int i = first_device_arg; i < first_device_arg + 4; i++)
		print_xml_arg(args[i].text, i == first_device_arg + 3 ? ",bus=pcie.0,addr=0x10" : "");
	puts("  </qemu:commandline>");
}

static void print_json(const struct qemu *q, const char *socket_path, bool is_served)
{
	struct json_object *o = json_begin(), *list = json_list(o, "command");

	for (int i = 0; i < nr_args; i++)
		json_append(list, json_object_new_string(args[i].text));
	json_add_text(o, "socket", socket_path);
	json_add_bool(o, "served", is_served);
	json_add_number(o, "virtio_id", strtoul(virtio_id, NULL, 0));
	json_add_text(o, "qemu_version", q->version);
	json_add_bool(o, "qemu_works", q->works);
	json_print(o);
}

static int run(int nr, char **operand)
{
	const char *socket_path = nr > 0 ? operand[0] : "/run/ism/machines";
	struct qemu q;
	char *end;

	qemu_find(&q, qemu_option);
	if (virtio_id == NULL)
		virtio_id = q.virtio_id;
	unsigned long id = strtoul(virtio_id, &end, 10);
	if (*virtio_id < '0' || *virtio_id > '9' || *end != '\0' || id == 0 || id > 63)
		return tool_usage("--virtio-id: \"%s\": expected a number from 1 to 63", virtio_id);
	if (memory[strspn(memory, "0123456789")] == '\0' || strspn(memory, "0123456789") == 0 ||
	    strspn(memory + strspn(memory, "0123456789"), "MG") != 1 || strspn(memory, "0123456789MG") != strlen(memory))
		return tool_usage("--memory: \"%s\": expected a size like 512M or 2G", memory);
	compose(&q, socket_path);
	if (!fits) {
		tool_say("a path or a value is longer than a command line of ours has room for");
		return TOOL_FAILED;
	}
	int err = served(socket_path);
	if (json_wanted)
		print_json(&q, socket_path, err == 0);
	else if (libvirt)
		print_libvirt(&q);
	else
		print_shell(&q, socket_path, err == 0);
	fflush(stdout);
	if (!q.works)
		tool_say("%s", q.problem);
	if (err != 0 && err != ENOENT)
		tool_say("%s: %s: start ismd as shown, or choose another socket", socket_path, strerror(err));
	return q.works ? TOOL_OK : TOOL_FAILED;
}

static const struct tool_option options[] = {
	TOOL_OPTION_JSON,
	{ 'q', "qemu", "PROGRAM", &qemu_option, "the QEMU to use; default: what is in $PATH for this machine" },
	{ 'm', "memory", "SIZE", &memory, "memory of the machine; default 2G" },
	{ 'f', "disk", "FILE", &disk, "the machine's disk" },
	{ 'a', "accel", "NAME", &accel, "kvm or tcg; default: kvm if /dev/kvm can be used, else tcg" },
	{ 'i', "virtio-id", "NUMBER", &virtio_id, "of the device; default: the one that this QEMU can offer" },
	{ 'l', "libvirt", NULL, &libvirt, "print what belongs into a domain of libvirt" },
	{ 0 },
};

const struct tool_verb verb_vm = {
	.name = "vm",
	.operands = "[SOCKET]",
	.least = 0,
	.most = 1,
	.summary = "print how to start a virtual machine in the domain",
	.help = "Prints a command line for QEMU that gives a virtual machine a device in the domain\n"
		"whose ismd serves machines at SOCKET (default /run/ism/machines), and what to do\n"
		"before and in the machine.  Fails if this machine's QEMU cannot do it, and says why.\n",
	.options = options,
	.run = run,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * raw.c - registers and queues of a device, for raw.h.  Needs root in the machine,
 * and that no driver is bound.
 */
#include "raw.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BARS = 6, CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_CONFIG = 4, CAP_SHM = 8, SHM_WINDOW = 1 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };

static uint8_t *bar[BARS];
static uint64_t bar_gpa[BARS];

/* ------------------------------------------------------------------ numbers */

uint8_t *raw_le(uint8_t *p, uint64_t v, unsigned int bytes)
{
	memcpy(p, &v, bytes);	/* x86 alone */
	return p + bytes;
}

uint64_t raw_number(const uint8_t *p, unsigned int bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

/* ------------------------------------------------------------------ registers */

void raw_put16(struct raw *r, unsigned int offset, uint16_t v)
{
	*(volatile uint16_t *)(r->common + offset) = v;
}

uint16_t raw_get16(struct raw *r, unsigned int offset)
{
	return *(volatile uint16_t *)(r->common + offset);
}

void raw_put32(struct raw *r, unsigned int offset, uint32_t v)
{
	*(volatile uint32_t *)(r->common + offset) = v;
}

void raw_put64(struct raw *r, unsigned int offset, uint64_t v)
{
	raw_put32(r, offset, (uint32_t)v);
	raw_put32(r, offset + 4, (uint32_t)(v >> 32));
}

void raw_status(struct raw *r, uint8_t v)
{
	r->common[COMMON_STATUS] = v;
}

/* ------------------------------------------------------------------ finding it */

static bool text_of(const char *folder, const char *name, char *ret, size_t size)
{
	char path[512];

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/%s", folder, name);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, ret, size - 1);
	close(fd);
	ret[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

/* The virtio device whose capabilities have a shared memory region. */
static bool find(char *ret, size_t size, uint8_t config[256])
{
	DIR *d = opendir("/sys/bus/pci/devices");
	struct dirent *e;
	char text[257];

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || !text_of(e->d_name, "vendor", text, sizeof text) || strncmp(text, "0x1af4", 6) != 0)
			continue;
		memset(text, 0, sizeof text);
		text_of(e->d_name, "config", text, sizeof text);
		memcpy(config, text, 256);
		for (unsigned int at = config[0x34]; at >= 0x40 && at < 0xf0; at = config[at + 1]) {
			if (config[at] == 9 && config[at + 3] == CAP_SHM) {
				snprintf(ret, size, "%s", e->d_name);
				closedir(d);
				return true;
			}
		}
	}
	if (d != NULL)
		closedir(d);
	return false;
}

static bool map_bar(const char *folder, unsigned int i)
{
	uint64_t begin = 0, end = 0;
	char path[512], text[1024];
	char *line = text;

	if (bar[i] != NULL)
		return true;
	text_of(folder, "resource", text, sizeof text);
	for (unsigned int n = 0; n < i && line != NULL; n++)
		line = strchr(line, '\n') + 1;
	if (sscanf(line, "%" SCNx64 " %" SCNx64, &begin, &end) != 2 || begin == 0)
		return false;
	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/resource%u", folder, i);
	int fd = open(path, O_RDWR | O_SYNC);
	void *at = mmap(NULL, end - begin + 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return false;
	bar[i] = at;
	bar_gpa[i] = begin;
	return true;
}

/* Memory and bus master on; no driver does it for us. */
static void enable(const char *folder)
{
	char path[512];
	uint16_t command = 0x406;	/* and no INTx: nobody is there to take it */

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/config", folder);
	int fd = open(path, O_RDWR);
	if (pwrite(fd, &command, sizeof command, 4) != sizeof command)
		perror("PCI command");
	close(fd);
}

/* ------------------------------------------------------------------ memory */

static struct raw_page page_new(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED;
	struct raw_page p = { .at = mmap(NULL, RAW_PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) };
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	memset(p.at, 0, RAW_PAGE);
	if (pread(fd, &entry, sizeof entry, (off_t)((uintptr_t)p.at / RAW_PAGE * 8)) != sizeof entry || !(entry >> 63))
		fprintf(stderr, "no address of a page\n");
	close(fd);
	p.gpa = (entry & ((UINT64_C(1) << 55) - 1)) * RAW_PAGE;
	return p;
}

bool raw_open(struct raw *r)
{
	uint8_t c[256];
	char folder[300];

	memset(r, 0, sizeof *r);
	if (!find(folder, sizeof folder, c)) {
		puts("error no virtio device with a window");
		return false;
	}
	enable(folder);
	for (unsigned int at = c[0x34]; at >= 0x40 && at < 0xf0; at = c[at + 1]) {
		unsigned int kind = c[at + 3], b = c[at + 4];
		uint64_t offset = raw_number(c + at + 8, 4), length = raw_number(c + at + 12, 4);
		if (c[at] != 9 || b >= BARS || (kind != CAP_COMMON && kind != CAP_NOTIFY && kind != CAP_CONFIG && kind != CAP_SHM))
			continue;
		if (!map_bar(folder, b)) {
			printf("error no BAR %u: %s\n", b, strerror(errno));
			return false;
		}
		if (kind == CAP_COMMON)
			r->common = bar[b] + offset;
		if (kind == CAP_CONFIG)
			r->config = bar[b] + offset;
		if (kind == CAP_NOTIFY) {
			r->notify = bar[b] + offset;
			r->notify_step = (uint32_t)raw_number(c + at + 16, 4);
		}
		if (kind == CAP_SHM && c[at + 5] == SHM_WINDOW) {
			offset |= raw_number(c + at + 16, 4) << 32;
			r->window = bar[b] + offset;
			r->window_gpa = bar_gpa[b] + offset;
			r->window_size = length | raw_number(c + at + 20, 4) << 32;
		}
	}
	for (unsigned int i = 0; i < RAW_QUEUES; i++)
		r->q[i] = (struct raw_queue){ .desc = page_new(), .avail = page_new(), .used = page_new() };
	r->request = page_new();
	r->reply = page_new();
	r->spare = page_new();
	return r->common != NULL && r->notify != NULL && r->window != NULL;
}

/* ------------------------------------------------------------------ life */

void raw_reset(struct raw *r)
{
	raw_status(r, 0);
	while (r->common[COMMON_STATUS] != 0)
		usleep(1000);
}

void raw_start(struct raw *r, uint32_t features)
{
	raw_reset(r);
	raw_status(r, ACKNOWLEDGE | DRIVER);
	raw_put32(r, COMMON_FEATURE_SELECT, 0);
	raw_put32(r, COMMON_FEATURE, features);
	raw_put32(r, COMMON_FEATURE_SELECT, 1);
	raw_put32(r, COMMON_FEATURE, 1);	/* VERSION_1 */
	raw_status(r, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	for (unsigned int i = 0; i < RAW_QUEUES; i++) {
		struct raw_queue *q = &r->q[i];
		memset(q->desc.at, 0, RAW_PAGE);
		memset(q->avail.at, 0, RAW_PAGE);
		memset(q->used.at, 0, RAW_PAGE);
		q->next_avail = q->last_used = 0;
		raw_put16(r, COMMON_SELECT, (uint16_t)i);
		raw_put16(r, COMMON_SIZE, RAW_SIZE);
		raw_put64(r, COMMON_DESC, q->desc.gpa);
		raw_put64(r, COMMON_AVAIL, q->avail.gpa);
		raw_put64(r, COMMON_USED, q->used.gpa);
		q->notify_off = raw_get16(r, COMMON_NOTIFY_OFF) * r->notify_step;
		raw_put16(r, COMMON_ENABLE, 1);
	}
	raw_status(r, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

/* ------------------------------------------------------------------ queues */

void raw_offer(struct raw *r, unsigned int queue, const struct raw_buf *buf, unsigned int nr)
{
	struct raw_queue *q = &r->q[queue];

	for (unsigned int i = 0; i < nr; i++) {
		uint8_t *p = q->desc.at + (size_t)i * 16;
		p = raw_le(p, buf[i].gpa, 8);
		p = raw_le(p, buf[i].len, 4);
		p = raw_le(p, buf[i].flags | (i + 1 < nr ? DESC_NEXT : 0), 2);
		raw_le(p, i + 1, 2);
	}
	raw_le(q->avail.at + 4 + (size_t)(q->next_avail % RAW_SIZE) * 2, 0, 2);
	q->next_avail++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*(volatile uint16_t *)(void *)(q->avail.at + 2) = q->next_avail;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void raw_kick(struct raw *r, unsigned int queue)
{
	*(volatile uint16_t *)(r->notify + r->q[queue].notify_off) = (uint16_t)queue;
}

long raw_used(struct raw *r, unsigned int queue, int ms)
{
	struct raw_queue *q = &r->q[queue];
	volatile uint16_t *idx = (volatile uint16_t *)(void *)(q->used.at + 2);

	for (int64_t us = 0; *idx == q->last_used; us += 200) {
		if (us > ms * INT64_C(1000))
			return -1;
		usleep(200);
	}
	return (long)raw_number(q->used.at + 4 + (size_t)(q->last_used++ % RAW_SIZE) * 8 + 4, 4);
}

long raw_command(struct raw *r, const void *req, size_t len, size_t cap)
{
	struct raw_buf buf[] = { { r->request.gpa, (uint32_t)len, 0 }, { r->reply.gpa, (uint32_t)cap, DESC_WRITE } };

	memcpy(r->request.at, req, len);
	memset(r->reply.at, 0xa5, RAW_PAGE);
	raw_offer(r, RAW_CONTROL, buf, cap > 0 ? 2 : 1);
	raw_kick(r, RAW_CONTROL);
	return raw_used(r, RAW_CONTROL, 20000);
}

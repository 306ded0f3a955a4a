/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * backends/emu/hello.c - finding or becoming the host, and what both say first:
 * who the device is, and what memory the two share.
 */
#include "emu.h"

#include "base/spec.h"
#include "host.h"
#include "seat.h"
#include "store.h"

#include <bsd/string.h>
#include <errno.h>
#include <unistd.h>

static const int64_t MS = 1000000;

/* ------------------------------------------------------------------ the memory shared with it */

int emu_state_check(const struct ismi_state *s)
{
	if (s->magic != ISMI_STATE_MAGIC || s->version != ISMI_STATE_VERSION || s->nr_slots != ISMI_SLOTS ||
	    s->nr_links != ISMI_LINKS || s->nr_events != ISMI_EVENTS || s->event_size != ISMI_EVENT_SIZE)
		return ismi_fail(-EPROTO, "the host's state has another layout than version %d", ISMI_STATE_VERSION);
	return 0;
}

/* Map what the host shares with this device, and close the descriptors. */
static int port_map(struct emu *e, int fds[ISMI_HELLO_FDS])
{
	void *state, *line;
	int r = store_check_size(fds[ISMI_HELLO_STATE], sizeof(struct ismi_state));

	if (r == 0)
		r = store_check_size(fds[ISMI_HELLO_LINE], sizeof(struct ismi_line));
	if (r < 0)
		return r;
	r = ismi_sys_mmap(NULL, sizeof(struct ismi_state), PROT_READ, MAP_SHARED, fds[ISMI_HELLO_STATE], 0, &state);
	if (r < 0)
		return ismi_fail(r, "cannot map the host's state");
	r = ismi_sys_mmap(NULL, sizeof(struct ismi_line), PROT_READ | PROT_WRITE, MAP_SHARED, fds[ISMI_HELLO_LINE], 0,
			  &line);
	if (r < 0) {
		ismi_sys_munmap(state, sizeof(struct ismi_state));
		return ismi_fail(r, "cannot map the host's line");
	}
	e->end = (struct ismi_port_end){ .state = state, .line = line };
	return emu_state_check(state);
}

void emu_port_unmap(struct emu *e)
{
	if (e->end.state != NULL)
		ismi_sys_munmap((void *)(uintptr_t)e->end.state, sizeof *e->end.state);
	if (e->end.line != NULL)
		ismi_sys_munmap(e->end.line, sizeof *e->end.line);
	e->end = (struct ismi_port_end){ 0 };
}

/* ------------------------------------------------------------------ hello */

static int hello_parse(struct emu *e, const uint8_t *body)
{
	struct ism_info *info = &e->dev->info;

	info->features = ismi_get32(body + 4);
	info->gid = ismi_get64(body + 8);
	info->devid = ismi_get64(body + 16);
	info->chunk_size = ismi_get64(body + 24);
	info->notify_size = ismi_get64(body + 32);
	info->window_size = ismi_get64(body + 40);
	info->max_region = ismi_get64(body + 48);
	info->max_regions = ismi_get32(body + 56);
	info->host = ismi_get32(body + 60);
	e->want_ro = ismi_get32(body + 64) & ISMI_HELLO_WANT_RO;
	e->kept = ismi_get32(body + 64) & ISMI_HELLO_KEPT;
	memcpy(e->secret, body + 72, sizeof e->secret);
	if (ismi_get16(body + 2) != ISMI_WIRE_VERSION || info->chunk_size != ISMI_CHUNK || info->devid == 0 ||
	    info->window_size > e->dev->window.size || !(info->features & 1 << ISMI_F_EXT))
		return ismi_fail(-EPROTO, "the host at %s does not speak version %d as we do", info->path, ISMI_WIRE_VERSION);
	return 0;
}

static int hello_refused(const struct emu *e, int status)
{
	switch (status) {
	case ISMI_ENOSPC:
		return ismi_fail(-ENOSPC, "the host at %s serves no more devices of this user", e->dev->info.path);
	case ISMI_ENOMEM:
		return ismi_fail(-ENOMEM, "the host at %s is out of memory or descriptors", e->dev->info.path);
	default:
		return ismi_fail(-EPROTO, "the host at %s does not accept our hello (status %d): another version?",
				 e->dev->info.path, status);
	}
}

static int hello(struct emu *e, const char *name)
{
	int fds[ISMI_WIRE_FDS], r;
	uint8_t *body = e->buf + ISMI_WIRE_HEADER;
	size_t nr_fds;

	memset(body, 0, ISMI_HELLO_REQ);
	ismi_put16(body, ISMI_WIRE_VERSION);
	ismi_put16(body + 2, ISMI_WIRE_VERSION);
	ismi_put32(body + 4, 1 << ISMI_F_EXT | ISMI_HELLO_F_RESUME);
	ismi_put64(body + 8, e->dev->window.size);
	strlcpy((char *)body + 24, name, 32);
	ssize_t n = emu_exchange(e, ISMI_WIRE_HELLO, ISMI_HELLO_REQ, NULL, 0, fds, &nr_fds);
	if (n < 0)
		return (int)n;
	if (n >= 1 && body[0] != ISMI_OK)
		r = hello_refused(e, body[0]);
	else if (n < ISMI_HELLO_REPLY ||
		 nr_fds != ISMI_HELLO_FDS + (unsigned int)!!(ismi_get32(body + 64) & ISMI_HELLO_KEPT))
		r = ismi_fail(-EPROTO, "the host's hello has %zd bytes and %zu descriptors: expected %d and %d", n, nr_fds,
			      ISMI_HELLO_REPLY, ISMI_HELLO_FDS);
	else
		r = hello_parse(e, body);
	if (r == 0)
		r = port_map(e, fds);
	if (r == 0) {
		e->wake_fd = fds[ISMI_HELLO_WAKE];
		fds[ISMI_HELLO_WAKE] = -1;
	}
	if (r == 0 && e->kept) {
		e->life_fd = fds[ISMI_HELLO_LIFE];
		fds[ISMI_HELLO_LIFE] = -1;
	}
	ismi_wire_close(fds, nr_fds);
	return r;
}

/* ------------------------------------------------------------------ finding the host */

int emu_host_trusted(struct ism_device *dev, int conn)
{
	const char *path = dev->info.path;
	struct stat st = { .st_uid = (uid_t)-1 };
	struct ucred cred;
	char dir[sizeof dev->info.path];

	int r = ismi_sys_peercred(conn, &cred);
	if (r < 0)
		return ismi_fail(r, "cannot learn who hosts %s", path);
	strlcpy(dir, path, sizeof dir);
	char *slash = strrchr(dir, '/');
	if (slash != NULL) {
		slash[slash == dir] = '\0';
		ismi_sys_stat(dir, &st);
	}
	if (cred.uid != geteuid() && cred.uid != 0 && cred.uid != st.st_uid)
		return ismi_fail(-EACCES, "the host of %s runs as uid %u: expected %u, root or the directory's owner", path,
				 (unsigned int)cred.uid, (unsigned int)geteuid());
	dev->info.host_pid = cred.pid;
	return 0;
}

/* 0, or -ENOENT, -ECONNREFUSED where nobody listens. */
static int try_connect(struct emu *e, const char *path, int64_t deadline)
{
	struct sockaddr_un addr;
	int r = host_address(path, &addr);

	if (r < 0)
		return r;
	e->conn = ismi_sys_socket(SOCK_SEQPACKET);
	if (e->conn < 0)
		return ismi_fail(e->conn, "cannot make a socket: %s", strerror(-e->conn));
	r = ismi_sys_connect_by(e->conn, (const struct sockaddr *)&addr, sizeof addr, deadline);
	if (r == -EAGAIN)
		r = -ETIMEDOUT;
	if (r == 0)
		r = emu_host_trusted(e->dev, e->conn);
	else if (r == -EPROTOTYPE)
		r = ismi_fail(-EPROTO, "what listens at %s is no host of libism", path);
	else if (r != -ENOENT && r != -ECONNREFUSED)
		ismi_fail(r, "cannot connect to %s: %s", path, strerror(-r));
	if (r < 0) {
		ismi_sys_close(e->conn);
		e->conn = -1;
	}
	return r;
}

static int no_host(const char *path)
{
	struct stat st;

	if (ismi_sys_stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return ismi_fail(-EEXIST, "%s is there and is no socket", path);
	return ismi_fail(-EHOSTDOWN, "no host at %s: start ismd, or a program that opens this domain", path);
}

int emu_find_host(struct emu *e, const char *path, bool may_host, const char *name)
{
	int64_t deadline = ismi_deadline(e->dev->timeout_ns), pause = MS / 4;

	for (;;) {
		if (e->host == NULL)
			e->host = host_get(path);
		int r = try_connect(e, path, deadline);
		if (r == 0) {
			r = hello(e, name);
			if (r != -EHOSTDOWN)
				return r;
			ismi_sys_close(e->conn);	/* it left while we came in */
			e->conn = -1;
		} else if (r != -ENOENT && r != -ECONNREFUSED) {
			return r;
		} else if (!may_host) {
			return no_host(path);
		} else {
			host_put(e->host);	/* ours, and it died */
			e->host = NULL;
			r = host_embed(path, &e->dev->log, &e->host);
			if (r == 0)
				continue;
			if (r != -EAGAIN)
				return r;
		}
		if (ismi_time_left(deadline) == 0)
			return ismi_fail(-ETIMEDOUT, "no host at %s: another process holds its lock and does not listen", path);
		ismi_sleep_ns(pause);
		pause = pause < 16 * MS ? pause * 2 : pause;
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * server-hello.c - a connection becomes a device: a new one, or one that a
 * former host knew.
 */
#include "server-private.h"

#include "base/sys.h"
#include "persist.h"

#include <sodium.h>

enum { FDS_MAX = ISMI_HELLO_FDS + 1 };

/* ------------------------------------------------------------------ hello */

static const char in_flight[] = "no descriptors are left, or too many are on their way to devices that do not read";

struct hello {
	uint16_t lowest, highest;
	uint32_t features;
	uint64_t window;
	char name[32];
};

static const char *hello_parse(const uint8_t *body, size_t len, struct hello *h)
{
	if (len != ISMI_HELLO_REQ)
		return "hello of a wrong length";
	h->lowest = ismi_get16(body);
	h->highest = ismi_get16(body + 2);
	h->features = ismi_get32(body + 4);
	h->window = ismi_get64(body + 8);
	memcpy(h->name, body + 24, sizeof h->name);
	if (ismi_get32(body + 16) != 0 || ismi_get32(body + 20) != 0)
		return "hello with unknown flags";
	if (h->lowest > ISMI_WIRE_VERSION || h->highest < ISMI_WIRE_VERSION)
		return "hello of a version we do not speak";
	if (h->window < ISMI_CHUNK || h->window % ISMI_CHUNK != 0 || h->window > ISMI_WINDOW_MAX)
		return "hello with a window that is no whole number of chunks, or too large";
	for (size_t i = 0; i < sizeof h->name; i++) {	/* it is shown to people */
		if (h->name[i] != '\0' && (h->name[i] < ' ' || h->name[i] > '~'))
			h->name[i] = '?';
	}
	h->name[sizeof h->name - 1] = '\0';
	return NULL;
}

/*
 * Who the device is, and what it shares with us: the answer to HELLO and to
 * RESUME.  False: the descriptors cannot be sent now.  They are closed.
 */
static bool hello_reply(struct client *c, const struct ismi_wire_header *h, int fds[FDS_MAX])
{
	static const uint8_t none[16];
	const struct server *s = c->server;
	const struct model_device *dev = c->port.front.dev;
	bool kept = s->domain.persist != NULL && sodium_memcmp(dev->secret, none, sizeof none) != 0;
	uint64_t window = (uint64_t)dev->window.nr_chunks * ISMI_CHUNK;
	uint8_t *body = c->server->out + ISMI_WIRE_HEADER;

	memset(body, 0, ISMI_HELLO_REPLY);
	body[0] = ISMI_OK;
	ismi_put16(body + 2, ISMI_WIRE_VERSION);
	ismi_put32(body + 4, 1 << ISMI_F_EXT);
	ismi_put64(body + 8, s->domain.model.gid);
	ismi_put64(body + 16, dev->devid);
	ismi_put64(body + 24, ISMI_CHUNK);
	ismi_put64(body + 40, window);
	ismi_put64(body + 48, window);
	ismi_put32(body + 56, ISMI_SLOTS);
	ismi_put32(body + 60, s->opts.host_kind);
	ismi_put32(body + 64, (c->want_ro ? ISMI_HELLO_WANT_RO : 0) | (kept ? ISMI_HELLO_KEPT : 0));
	memcpy(body + 72, dev->secret, sizeof dev->secret);
	fds[ISMI_HELLO_LIFE] = kept ? persist_life(&s->domain) : -1;
	bool sent = (!kept || fds[ISMI_HELLO_LIFE] >= 0) &&
		    client_reply(c, h->type, h->sequence, ISMI_HELLO_REPLY, fds, kept ? FDS_MAX : ISMI_HELLO_FDS);
	ismi_wire_close(fds, FDS_MAX);
	return sent;
}

static void hello_refuse(struct client *c, const struct ismi_wire_header *h, enum ismi_status status, const char *why)
{
	client_reply_status(c, h->type, h->sequence, (uint8_t)status);
	client_refuse(c, why);
}

/* It is a device from now on. */
static void greeted(struct client *c)
{
	stranger_del(c);
	c->greeted = true;
	c->hello_due = INT64_MAX;
	client_set_due(c);
	c->port.front.dev->pid = c->cred.pid;
}

void handle_hello(struct client *c, const struct ismi_wire_header *h, const uint8_t *body, size_t nr_fds)
{
	struct server *s = c->server;
	struct hello hello;
	int fds[FDS_MAX];
	const char *wrong = c->greeted ? "a second hello" : nr_fds > 0 ? "hello with descriptors"
									: hello_parse(body, h->length, &hello);

	if (wrong != NULL) {
		hello_refuse(c, h, ISMI_ERR, wrong);
		return;
	}
	if (client_port_open(c, fds) < 0) {
		hello_refuse(c, h, ISMI_ENOMEM, ismi_fail_text());
		return;
	}
	enum ismi_status status = domain_add(&s->domain, &c->port.front, c->cred.uid, hello.window);
	if (status != ISMI_OK) {
		client_port_close(c);
		ismi_wire_close(fds, ISMI_HELLO_FDS);
		hello_refuse(c, h, status, status == ISMI_ENOSPC ? "its user has too many devices" : "out of memory");
		return;
	}
	greeted(c);
	memcpy(c->port.front.dev->name, hello.name, sizeof hello.name);
	if (s->domain.persist != NULL && (hello.features & ISMI_HELLO_F_RESUME))
		randombytes_buf(c->port.front.dev->secret, sizeof c->port.front.dev->secret);
	domain_known(&s->domain, &c->port.front);
	if (!hello_reply(c, h, fds))
		hello_refuse(c, h, ISMI_ENOMEM, in_flight);
}

/* ------------------------------------------------------------------ resume */

/*
 * The device of a former host that this client proves to be, or NULL.  Whether
 * there is such a device is not told to one that cannot.
 */
static struct model_device *resume_find(const struct client *c, const uint8_t *body)
{
	static const uint8_t none[16];
	const struct domain *d = &c->server->domain;
	struct model_device *dev = model_device_find(&c->server->domain.model, ismi_get64(body + 8));

	if (dev == NULL || !domain_absent(d, dev) || dev->user->uid != c->cred.uid)
		return NULL;
	if (sodium_memcmp(dev->secret, none, sizeof none) == 0 ||
	    sodium_memcmp(dev->secret, body + 16, sizeof dev->secret) != 0)
		return NULL;
	return dev;
}

void server_returned(struct server *s)
{
	if (s->grace_due != INT64_MAX && domain_next_absent(&s->domain) == NULL)
		s->grace_due = INT64_MAX;
}

void handle_resume(struct client *c, const struct ismi_wire_header *h, const uint8_t *body, size_t nr_fds)
{
	struct server *s = c->server;
	int fds[FDS_MAX];

	if (c->greeted || nr_fds > 0 || h->length != ISMI_RESUME_REQ || ismi_get32(body + 4) != 0 ||
	    ismi_get16(body) > ISMI_WIRE_VERSION || ismi_get16(body + 2) < ISMI_WIRE_VERSION) {
		hello_refuse(c, h, ISMI_ERR, "resume where or as it may not be");
		return;
	}
	struct model_device *dev = resume_find(c, body);
	if (dev == NULL) {
		/* Or it was taken off the domain, or is of a former one: that is how it learns. */
		client_reply_status(c, h->type, h->sequence, ISMI_ENOENT);
		client_dismiss(c, "resume of a device that is not waited for, or without its secret");
		return;
	}
	if (client_port_open(c, fds) < 0) {
		hello_refuse(c, h, ISMI_ENOMEM, ismi_fail_text());
		return;
	}
	domain_returned(&s->domain, &c->port.front, dev);
	bool sent = hello_reply(c, h, fds);
	if (!sent || c->gone) {
		domain_left(&s->domain, &c->port.front);	/* it may try again */
		port_fini(&c->port);
		client_port_close(c);
		if (!c->gone)
			hello_refuse(c, h, ISMI_ENOMEM, in_flight);
		return;
	}
	greeted(c);
	server_returned(s);
}

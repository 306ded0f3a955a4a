/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * machines.c - the sockets at which a daemon serves virtual machines.
 */
#include "machines.h"

#include <errno.h>
#include <string.h>

int machines_add(struct machines *m, const char *path)
{
	if (m->nr_paths == MACHINES_MAX)
		return ismi_fail(-ENOSPC, "--vhost-user: more than %d of them", MACHINES_MAX);
	m->path[m->nr_paths++] = path;
	return 0;
}

static int take(struct machines *m, struct vhost *vms, const char *path, const struct conf *c)
{
	struct host_seat *seat = &m->seat[m->nr_seats];
	int holder, r = host_seat_take_vhost(seat, path, c->mode, c->group, &holder);

	if (r == -EAGAIN)
		return ismi_fail(r, "%s is served already: by process %d", path, holder);
	if (r < 0)
		return r;
	m->nr_seats++;
	r = vhost_listen(vms, seat->listen_fd);
	if (r == 0)
		seat->listen_fd = -1;	/* theirs now */
	return r;
}

int machines_serve(struct machines *m, struct server *s, const struct conf *c)
{
	struct vhost *vms;
	int r;

	if (m->nr_paths == 0)
		return 0;
	r = vhost_init(&vms, &s->domain, &s->opts.log, c->vm_window);
	if (r < 0)
		return r;
	r = server_add_vms(s, vms);
	if (r < 0) {
		vhost_fini(vms);
		return ismi_fail(r, "cannot serve virtual machines: %s", strerror(-r));
	}
	for (unsigned int i = 0; i < m->nr_paths && r == 0; i++)
		r = take(m, vms, m->path[i], c);
	if (r < 0)
		machines_leave(m);
	else
		vhost_resume(vms);
	return r;
}

void machines_leave(struct machines *m)
{
	while (m->nr_seats > 0)
		host_seat_leave(&m->seat[--m->nr_seats]);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * seat.h - taking and leaving the role of a domain's host.
 *
 * A domain is a socket path.  Its host holds a record lock on PATH.lock, which
 * dies with the process and is not inherited by a forked child; whoever has
 * the lock may replace the socket.
 */
#ifndef SEAT_H
#define SEAT_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

/* Fill in a socket address: 0 or -ENAMETOOLONG. */
int host_address(const char *path, struct sockaddr_un *ret);

/* The lock and the socket of a domain that this process is to host. */
struct host_seat {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int lock_fd, listen_fd;
	bool adopted;		/* the socket is not ours to remove */
};

/*
 * Become the host of @path: lock, bind, listen.  @mode, @gid: of the socket
 * ((gid_t)-1: leave it).  -EAGAIN: another process is the host, and *ret_holder
 * its pid if that can be known; else what was wrong is in ismi_fail_text().
 */
int host_seat_take(struct host_seat *seat, const char *path, mode_t mode, gid_t gid, int *ret_holder);
/* The same for a socket that virtual machines connect to. */
int host_seat_take_vhost(struct host_seat *seat, const char *path, mode_t mode, gid_t gid, int *ret_holder);
/* The same in two steps: the lock alone, then the socket. */
int host_seat_lock(struct host_seat *seat, const char *path, int *ret_holder);
int host_seat_listen(struct host_seat *seat, mode_t mode, gid_t gid);
/* A socket that listens at the seat's path already.  @stays: its name is not ours to remove.  Consumes @listen_fd. */
void host_seat_adopt(struct host_seat *seat, int listen_fd, bool stays);
/* Leave: nothing of it stays behind. */
void host_seat_leave(struct host_seat *seat);
/* Leave it as it is to a successor. */
void host_seat_hand_over(struct host_seat *seat);

/* Remove the names that a host at @path has in its directory. */
void host_names_remove(const char *path);

#endif /* SEAT_H */

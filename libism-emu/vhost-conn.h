/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vhost-conn.h - one virtual machine's connection: what vhost-user.c and
 * vhost-msg.c know of it.
 */
#ifndef VHOST_CONN_H
#define VHOST_CONN_H

#include "base/bytes.h"
#include "vhost-proto.h"
#include "vm.h"

#include <sys/socket.h>

enum { VHOST_ANSWER_MAX = VU_HEADER + VU_SHMEM_CONFIG };

enum vhost_watch_kind { VHOST_LISTEN, VHOST_MAIN, VHOST_BACK, VHOST_KICK, VHOST_WATCHES = VHOST_KICK + VM_QUEUES };

/* What an epoll event is about. */
struct vhost_watch {
	enum vhost_watch_kind kind;
	unsigned int queue;		/* of a kick; of a listener its index */
	struct vhost_conn *conn;	/* NULL: a listener */
};

struct vhost_input {
	size_t len;
	bool left;			/* a whole message, still to be taken from the socket */
	bool cut;			/* it comes in pieces, and those are taken */
	uint8_t buf[VU_HEADER + VU_PAYLOAD_MAX + 1];
};

struct vhost_conn {
	struct vm vm;			/* first; not there until greeted */
	struct vhost *set;
	struct ucred cred;
	bool greeted, gone, dirty;
	bool again;			/* a former host may have handled the next message */
	uint64_t ended_by;		/* a device that wished so; 0 */
	int fd, back_fd;
	uint64_t protocol_features;
	uint8_t out[VHOST_ANSWER_MAX];	/* the answer to the message in hand */
	size_t out_len;			/* 0: none */
	uint32_t back_request;		/* which of ours is not answered yet; 0 */
	struct vm_asked back_asked;	/* and what it asks for */

	/* vhost-keep.h: */
	struct vhost_page *page;	/* NULL: not kept */
	int page_fd, mem_fd[VMEM_REGIONS];
	int pipe[2];			/* the answer, on its way: what is out of it has been sent */
	uint32_t kept;			/* a bit for each of what is kept */
	uint32_t stage, back_stage;

	int64_t due;
	struct vhost_watch watch[VHOST_WATCHES];
	struct vhost_input in, back_in;
	int fds[VU_FDS_MAX];		/* that came with the message being read */
	size_t nr_fds;
	TAILQ_ENTRY(vhost_conn) all, work;
};
TAILQ_HEAD(vhost_conns, vhost_conn);

/* vhost-user.c */
struct domain *vhost_domain(const struct vhost *vh);
/* A connection of a former host, for its device; and not after all. */
struct vhost_conn *vhost_conn_again(struct vhost *vh, const struct model_device *dev);
void vhost_conn_undo(struct vhost_conn *c, struct model_device *dev);
const struct ismi_log *vhost_log(const struct vhost *vh);
/* It is a machine: make its device. */
enum ismi_status vhost_conn_greet(struct vhost_conn *c);
/* It has something to do. */
void vhost_conn_wake(struct vhost_conn *c);
int vhost_conn_watch(struct vhost_conn *c, int fd, enum vhost_watch_kind kind, unsigned int queue);
/* Close a watched descriptor. */
void vhost_conn_close_fd(struct vhost_conn *c, int *fd);
/* Close it, and say why. */
void vhost_conn_refuse(struct vhost_conn *c, const char *why);

/* vhost-msg.c: a message is in c->in, its answer in c->out afterwards; an answer to ours in c->back_in. */
void vhost_message(struct vhost_conn *c);
void vhost_back_answer(struct vhost_conn *c);
/* Send it, from where it is. */
void vhost_answer(struct vhost_conn *c);
extern const struct vm_ops vhost_vm_ops;

#endif /* VHOST_CONN_H */

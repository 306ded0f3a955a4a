/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * vhost-keep.h - a virtual machine's connection outlives its host: QEMU does not
 * connect twice, so its socket and all that came through it are kept (persist.h), and
 * the next host goes on in the midst of the conversation.
 *
 * Beside the descriptors there is a page of facts.  A message is handled while it
 * can still be read, and taken from the socket afterwards: a host that dies in
 * between leaves it to the next, and handling one twice does what handling it once
 * does.  An answer is put into a pipe before that, and moved from there to the socket by
 * one system call: what is still in the pipe has not been sent.
 */
#ifndef VHOST_KEEP_H
#define VHOST_KEEP_H

#include "vhost-conn.h"

/* How far the message from the machine has come: OWED, its answer is in the pipe; SENDING, and it was taken. */
enum { VHOST_QUIET, VHOST_OWED, VHOST_SENDING, VHOST_PARTIAL };
/* And the one to it. */
enum { VHOST_BACK_QUIET, VHOST_BACK_SENDING, VHOST_BACK_SENT, VHOST_BACK_ANSWERED };

/* It is a device: from now on it is kept, if the domain is. */
void vhost_keep_begin(struct vhost_conn *c);
/* Another host shall not go on with it. */
void vhost_keep_end(struct vhost_conn *c);

/* Write down what has changed. */
void vhost_keep_note(struct vhost_conn *c);
/* One of its descriptors is another now, or (-1) none.  The descriptor stays the caller's. */
void vhost_keep_main(struct vhost_conn *c);
void vhost_keep_back(struct vhost_conn *c);
void vhost_keep_kick(struct vhost_conn *c, unsigned int queue);
void vhost_keep_call(struct vhost_conn *c, unsigned int queue);
void vhost_keep_memory(struct vhost_conn *c, unsigned int part, int fd);
/* Have the answer ready. */
void vhost_keep_answer(struct vhost_conn *c);

/* The keeper is another: 0 or a negative errno. */
int vhost_keep_again(struct vhost_conn *c);

#endif /* VHOST_KEEP_H */

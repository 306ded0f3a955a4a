/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * sys.h - every system call of the library, in one place.
 *
 * Each wrapper returns the result or a negative errno, never touches errno's
 * meaning for the caller, makes only close-on-exec descriptors, and restarts
 * after a signal unless it has a timeout.  Tests set ismi_sys_hook to make any
 * call fail, or to end the process at it.
 */
#ifndef ISMI_SYS_H
#define ISMI_SYS_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/* Called before each system call with its name; a negative errno makes it fail.  NULL outside tests. */
extern int (*ismi_sys_hook)(const char *call);

/*
 * Every descriptor made here is remembered until ismi_sys_close(), so that a
 * forked child can close its copies at once: a device ends with its process, not
 * with a child that sleeps.  To be called before the first of them is made.
 */
int ismi_fork_init(void);
/* Changes in the child of a fork. */
extern unsigned int ismi_fork_count;
/* Remember a descriptor that came from elsewhere. */
int ismi_sys_adopt(int fd);

/*
 * File descriptors.  ismi_sys_close() closes what is remembered, and nothing
 * else: in a forked child the number may already be somebody else's.
 */
int ismi_sys_open(const char *path, int flags, mode_t mode);
void ismi_sys_close(int fd);
/* The same for what may take long to be closed: other calls here do not wait for it. */
void ismi_sys_close_slowly(int fd);
ssize_t ismi_sys_read(int fd, void *buf, size_t len);
ssize_t ismi_sys_write(int fd, const void *buf, size_t len);
/*
 * What is in a pipe, at most @len bytes, into a socket: moved, whatever becomes of us
 * meanwhile.  Does not block: -EAGAIN.
 */
ssize_t ismi_sys_splice(int from, int to, size_t len);
int ismi_sys_dup(int fd);
int ismi_sys_ioctl(int fd, unsigned long request, void *arg);
/* Give @to, which is remembered, the meaning of @from, at once; @from is closed. */
int ismi_sys_replace(int from, int to);
int ismi_sys_getfl(int fd);
int ismi_sys_setfl(int fd, int flags);
int ismi_sys_fstat(int fd, struct stat *ret);
int ismi_sys_fchmod(int fd, mode_t mode);
int ismi_sys_ftruncate(int fd, off_t size);
/* Give an object its memory now: -ENOSPC here, instead of SIGBUS later. */
int ismi_sys_fallocate(int fd, off_t size);
/* The kind of file system an open file lives on (statfs.f_type), or a negative errno. */
int64_t ismi_sys_fs_type(int fd);
/* An exclusive record lock on the whole file: 0, or -EAGAIN if another process has it. */
int ismi_sys_lock(int fd);
/* Who holds it: a process id, 0 if nobody. */
int ismi_sys_lock_holder(int fd);

/* Names. */
int ismi_sys_unlink(const char *path);
int ismi_sys_chmod(const char *path, mode_t mode);
int ismi_sys_chown(const char *path, uid_t uid, gid_t gid);
int ismi_sys_mkdir(const char *path, mode_t mode);
/* @template: as mkdtemp(3) has it. */
int ismi_sys_mkdtemp(char *template);
int ismi_sys_rmdir(const char *path);
int ismi_sys_stat(const char *path, struct stat *ret);
int ismi_sys_lstat(const char *path, struct stat *ret);

/* Memory. */
int ismi_sys_memfd(const char *name, unsigned int flags);
int ismi_sys_add_seals(int fd, int seals);
int ismi_sys_get_seals(int fd);
int ismi_sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset, void **ret);
int ismi_sys_munmap(void *addr, size_t len);
int ismi_sys_madvise(void *addr, size_t len, int advice);
int ismi_sys_mbind(void *addr, size_t len, int node);
/*
 * A barrier on every CPU that runs a process that registered (barrier.h): 0, or
 * -ENOSYS or another error where there is none.
 */
int ismi_sys_membarrier_register(void);
int ismi_sys_membarrier(void);

/* Sockets. */
int ismi_sys_socket(int type);
/*
 * For bytes alone: where the kernel can, it refuses descriptors.  A process that
 * leaves its own connection in a socket that nobody reads would never be seen to end.
 */
int ismi_sys_socketpair(int type, int ret[2]);
/*
 * The same, to wake another process with: ret[0] is ours and only sends, ret[1]
 * is for the other end and only receives.  A few bytes fit.
 */
int ismi_sys_wake_pair(int ret[2]);
/* ret[0] reads, ret[1] writes. */
int ismi_sys_pipe(int ret[2]);
int ismi_sys_bind(int fd, const struct sockaddr *addr, socklen_t len);
int ismi_sys_listen(int fd, int backlog);
int ismi_sys_connect(int fd, const struct sockaddr *addr, socklen_t len);
/* Waits while the other end's backlog is full: -EAGAIN after @deadline, whatever signals come. */
int ismi_sys_connect_by(int fd, const struct sockaddr *addr, socklen_t len, int64_t deadline);
int ismi_sys_accept(int fd);
/* Neither end can send any more; whoever waits at the other finds that out. */
void ismi_sys_shutdown(int fd);
int ismi_sys_peercred(int fd, struct ucred *ret);
/* Bytes sent that the other end has not read yet. */
int ismi_sys_unread(int fd);
/*
 * About how many bytes may wait in a socket of ours for an end that does not read
 * them: the kernel's memory is ours.
 */
void ismi_sys_limit_unread(int fd, int bytes);
/* Neither blocks: -EAGAIN. */
ssize_t ismi_sys_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t ismi_sys_recvmsg(int fd, struct msghdr *msg, int flags);

/*
 * Waiting.  A wake-up is one byte on a socket, or one count of an eventfd: what
 * does not fit is pending already.
 */
void ismi_sys_wake_socket(int fd);
void ismi_sys_wake_event(int fd);
/* Take what has been written to a wake descriptor, of either kind; false: a socket's other end is shut. */
bool ismi_sys_wake_clear(int fd);
int ismi_sys_eventfd(void);
/* A descriptor that becomes readable at a time of ismi_now_ns(); 0: never. */
int ismi_sys_timerfd(void);
int ismi_sys_timerfd_set(int fd, int64_t at_ns);
/* A timer that sends @sig to this thread; -ENOSYS where there is none. */
int ismi_sys_thread_timer(int sig, timer_t *ret);
int ismi_sys_epoll(void);
int ismi_sys_epoll_add(int epfd, int fd, uint32_t events, uint64_t data);
int ismi_sys_epoll_mod(int epfd, int fd, uint32_t events, uint64_t data);
int ismi_sys_epoll_del(int epfd, int fd);
/* @timeout_ns: negative: for ever.  -EINTR is passed on. */
int ismi_sys_epoll_wait(int epfd, struct epoll_event *ev, int nr, int64_t timeout_ns);
/* @events: POLLIN, POLLOUT.  The number of ready descriptors; -EINTR is passed on. */
int ismi_sys_poll(int fd, short events, int64_t timeout_ns);

#endif /* ISMI_SYS_H */

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * substitute.h - for systems without memfd and eventfd.
 *
 * Chosen with configure --without-memfd, --without-eventfd and
 * --without-peercred; only sys*.c and store.c look.  What is lost: without memfd,
 * sizes are not sealed, so a peer could shrink a region under the others (they
 * die of SIGBUS), which is why a host then serves its own user only; and there
 * are no huge pages.  Without peercred, process ids are not known.
 */
#ifndef ISMI_SUBSTITUTE_H
#define ISMI_SUBSTITUTE_H

#ifndef ISM_WITHOUT_MEMFD
#define ISM_WITHOUT_MEMFD 0
#endif
#ifndef ISM_WITHOUT_EVENTFD
#define ISM_WITHOUT_EVENTFD 0
#endif
#ifndef ISM_WITHOUT_PEERCRED
#define ISM_WITHOUT_PEERCRED 0
#endif

/* A POSIX shared-memory object without a name, or -1 and errno. */
int ismi_substitute_memfd(void);
/* A descriptor to write to and to read from, like an eventfd: a FIFO without a name, or -1 and errno. */
int ismi_substitute_eventfd(void);

#endif /* ISMI_SUBSTITUTE_H */

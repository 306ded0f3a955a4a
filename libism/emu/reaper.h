/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * reaper.h - remove a directory when this process ends, however it ends.
 */
#ifndef ISMI_REAPER_H
#define ISMI_REAPER_H

/*
 * Start a process that removes @dir when this one has ended without
 * ismi_reaper_release().  It is nobody's child, and has none of our memory and
 * descriptors.  What to release it with, or a negative errno.
 */
int ismi_reaper_start(const char *dir);
/* It ends, and leaves the directory alone. */
void ismi_reaper_release(int reaper);

#endif /* ISMI_REAPER_H */

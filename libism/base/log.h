/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * log.h - messages for people, and the words behind an error code.
 */
#ifndef ISMI_LOG_H
#define ISMI_LOG_H

#include <stdarg.h>

enum { ISMI_LOG_NONE, ISMI_LOG_ERROR, ISMI_LOG_WARN, ISMI_LOG_INFO, ISMI_LOG_DEBUG };

/* Where one device or host logs.  A NULL sink is standard error. */
struct ismi_log {
	int level;
	void (*sink)(void *data, int level, const char *subsystem, const char *message);
	void *data;
};

/* Read $ISM_LOG (none, error, warn, info, debug; unset: none).  -EINVAL names what it should be. */
int ismi_log_from_env(struct ismi_log *log);
/* Read a level's name, as above: 0 or -EINVAL. */
int ismi_log_parse(const char *text, int *ret_level);

/* Log, keeping errno.  @log may be NULL. */
void ismi_log_msg(const struct ismi_log *log, int level, const char *subsystem, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#define ismi_err(log, sub, ...)	  ismi_log_msg(log, ISMI_LOG_ERROR, sub, __VA_ARGS__)
#define ismi_warn(log, sub, ...)  ismi_log_msg(log, ISMI_LOG_WARN, sub, __VA_ARGS__)
#define ismi_info(log, sub, ...)  ismi_log_msg(log, ISMI_LOG_INFO, sub, __VA_ARGS__)
#define ismi_debug(log, sub, ...) ismi_log_msg(log, ISMI_LOG_DEBUG, sub, __VA_ARGS__)

/*
 * Say why this thread's call fails, for ism_error_detail(), and return @err.
 * The last one to speak wins, so speak where most is known and pass codes up
 * untouched.
 */
int ismi_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));
/* The same for words that need no formatting, where the call may be made often. */
int ismi_fail_const(int err, const char *words);
const char *ismi_fail_text(void);

#endif /* ISMI_LOG_H */

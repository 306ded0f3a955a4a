/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * log.c - messages for people, and the words behind an error code.
 */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE_SIZE = 320 };

static const char *const level_name[] = { "none", "error", "warn", "info", "debug" };

static _Thread_local char fail_buf[MESSAGE_SIZE];
static _Thread_local const char *fail_text = "";

int ismi_log_parse(const char *text, int *ret_level)
{
	for (int i = 0; i <= ISMI_LOG_DEBUG; i++) {
		if (strcmp(text, level_name[i]) == 0) {
			*ret_level = i;
			return 0;
		}
	}
	return ismi_fail(-EINVAL, "log level \"%.32s\": expected none, error, warn, info or debug", text);
}

int ismi_log_from_env(struct ismi_log *log)
{
	const char *text = secure_getenv("ISM_LOG");

	if (text == NULL || *text == '\0')
		return 0;
	if (ismi_log_parse(text, &log->level) < 0)
		return ismi_fail(-EINVAL, "ISM_LOG=\"%.32s\": expected none, error, warn, info or debug", text);
	return 0;
}

void ismi_log_msg(const struct ismi_log *log, int level, const char *subsystem, const char *fmt, ...)
{
	char text[MESSAGE_SIZE];
	int saved = errno;
	va_list ap;

	if (log == NULL || level > log->level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (log->sink != NULL)
		log->sink(log->data, level, subsystem, text);
	else
		dprintf(STDERR_FILENO, "ism[%ld] %s: %s: %s\n", (long)getpid(), level_name[level], subsystem, text);
	errno = saved;
}

int ismi_fail(int err, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fail_buf, sizeof fail_buf, fmt, ap);
	va_end(ap);
	fail_text = fail_buf;
	errno = saved;
	return err;
}

int ismi_fail_const(int err, const char *words)
{
	fail_text = words;
	return err;
}

const char *ismi_fail_text(void)
{
	return fail_text;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * version.c - the version of the library that runs.
 */
#include <ism.h>

const char *ism_version(void)
{
	return ISM_VERSION_STRING;
}

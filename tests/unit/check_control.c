/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_control.c - the control commands: bytes in, bytes out.
 */
#include "control_desk.h"

int main(int argc, char **argv)
{
	Suite *const suites[] = { control_commands_suite(), control_limits_suite(), control_query_suite(),
				  control_host_suite(), control_replace_suite(), control_batch_suite(), NULL };

	return harness_main(argc, argv, suites);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_model.c - the rules of virtio-ism: rights, lives, limits, and a long
 * random run against a reference.
 */
#include "model_suite.h"

int main(int argc, char **argv)
{
	Suite *const suites[] = { model_rights_suite(), model_life_suite(), model_limits_suite(),
				  model_replace_suite(), model_random_suite(), NULL };

	return harness_main(argc, argv, suites);
}

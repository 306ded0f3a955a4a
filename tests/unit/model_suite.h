/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * model_suite.h - the parts of check_model.
 */
#ifndef MODEL_SUITE_H
#define MODEL_SUITE_H

#include "unit.h"

Suite *model_rights_suite(void);
Suite *model_life_suite(void);
Suite *model_limits_suite(void);
Suite *model_random_suite(void);
Suite *model_replace_suite(void);

#endif /* MODEL_SUITE_H */

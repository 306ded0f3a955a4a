/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * words.c - atomic access to the words of a region.
 */
#include "ismmodule.h"

#include <errno.h>
#include <stdatomic.h>

/* The word at an offset, for atomic access. */
static _Atomic uint64_t *word_at(struct region_object *self, Py_ssize_t offset, bool writes)
{
	struct ism_region *region = ismpy_region(self);

	if (region == NULL)
		return NULL;
	if (offset < 0 || offset % 8 != 0 || (size_t)offset > ism_region_size(region) - 8) {
		PyErr_Format(PyExc_IndexError, "word at %zd: expected a multiple of 8, in a region of %zu", offset,
			     ism_region_size(region));
		return NULL;
	}
	if (writes && !(ism_region_rights(region) & ISM_WRITE)) {
		ismpy_raise(EROFS, "the region is attached without WRITE");
		return NULL;
	}
	return (_Atomic uint64_t *)((char *)ism_region_addr(region) + offset);
}

/* The peers are other programs, and their order of stores and loads counts: all of these are seq_cst. */
PyObject *ismpy_region_load(struct region_object *self, PyObject *args)
{
	_Atomic uint64_t *word;
	Py_ssize_t offset;

	if (!PyArg_ParseTuple(args, "n", &offset) || (word = word_at(self, offset, false)) == NULL)
		return NULL;
	return PyLong_FromUnsignedLongLong(atomic_load(word));
}

PyObject *ismpy_region_store(struct region_object *self, PyObject *args)
{
	unsigned long long value;
	_Atomic uint64_t *word;
	Py_ssize_t offset;

	if (!PyArg_ParseTuple(args, "nK", &offset, &value) || (word = word_at(self, offset, true)) == NULL)
		return NULL;
	atomic_store(word, value);
	Py_RETURN_NONE;
}

PyObject *ismpy_region_exchange(struct region_object *self, PyObject *args)
{
	unsigned long long value;
	_Atomic uint64_t *word;
	Py_ssize_t offset;

	if (!PyArg_ParseTuple(args, "nK", &offset, &value) || (word = word_at(self, offset, true)) == NULL)
		return NULL;
	return PyLong_FromUnsignedLongLong(atomic_exchange(word, value));
}

PyObject *ismpy_region_compare_exchange(struct region_object *self, PyObject *args)
{
	unsigned long long expected, value;
	_Atomic uint64_t *word;
	Py_ssize_t offset;

	if (!PyArg_ParseTuple(args, "nKK", &offset, &expected, &value) || (word = word_at(self, offset, true)) == NULL)
		return NULL;
	uint64_t was = expected;
	return PyBool_FromLong(atomic_compare_exchange_strong(word, &was, value));
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * successor.c - shutting a peer out: a region's successor, made or attached.
 */
#include "ismmodule.h"

#include <errno.h>

/* The old region, if it is one and open. */
static struct ism_region *old_arg(PyObject *module, PyObject *old, const struct module_state **ret)
{
	*ret = PyModule_GetState(module);
	if (!PyObject_TypeCheck(old, (*ret)->region_type)) {
		PyErr_SetString(PyExc_TypeError, "expected a Region");
		return NULL;
	}
	return ismpy_region((struct region_object *)old);
}

PyObject *ismpy_replace(PyObject *module, PyObject *args)
{
	struct ism_alloc_opts opts = { .size = sizeof opts };
	const struct module_state *state;
	struct ism_region *region = NULL;
	PyObject *cls, *old;
	int r;

	if (!PyArg_ParseTuple(args, "OOIi", &cls, &old, &opts.flags, &opts.node))
		return NULL;
	struct ism_region *of = old_arg(module, old, &state);
	if (of == NULL)
		return NULL;
	struct region_object *self = (struct region_object *)old;
	ismpy_enter(self->device, self);
	Py_BEGIN_ALLOW_THREADS
	r = ism_region_replace(of, &opts, &region);
	Py_END_ALLOW_THREADS
	ismpy_leave(self->device, self);
	return r < 0 ? ismpy_error(r) : ismpy_region_new(cls, state->region_type, self->device, region);
}

PyObject *ismpy_successor(PyObject *module, PyObject *args)
{
	struct ism_attach_opts opts = { .size = sizeof opts };
	const struct module_state *state;
	struct ism_region *region = NULL;
	PyObject *cls, *old;
	unsigned int rights;
	int r;

	if (!PyArg_ParseTuple(args, "OOII", &cls, &old, &rights, &opts.flags))
		return NULL;
	struct ism_region *of = old_arg(module, old, &state);
	if (of == NULL)
		return NULL;
	struct region_object *self = (struct region_object *)old;
	ismpy_enter(self->device, self);
	Py_BEGIN_ALLOW_THREADS
	r = ism_attach_successor(of, rights, &opts, &region);
	Py_END_ALLOW_THREADS
	ismpy_leave(self->device, self);
	return r < 0 ? ismpy_error(r) : ismpy_region_new(cls, state->region_type, self->device, region);
}

PyObject *ismpy_shut_out(PyObject *module, PyObject *args)
{
	uint64_t devid[ISMPY_NUMBERS_MAX];
	const struct module_state *state;
	struct ism_region *region = NULL;
	PyObject *cls, *device, *devids;
	unsigned long long token;
	int r;

	if (!PyArg_ParseTuple(args, "OOKO", &cls, &device, &token, &devids))
		return NULL;
	struct ism_device *dev = ismpy_device_arg(module, device, &state);
	Py_ssize_t nr = dev == NULL ? -1 : ismpy_numbers(devids, 0, devid, "devices");
	if (nr < 0)
		return NULL;
	struct device_object *owner = (struct device_object *)device;
	ismpy_enter(owner, NULL);
	Py_BEGIN_ALLOW_THREADS
	r = ism_shut_out(dev, token, devid, (size_t)nr, &region);
	Py_END_ALLOW_THREADS
	ismpy_leave(owner, NULL);
	return r < 0 ? ismpy_error(r) : ismpy_region_new(cls, state->region_type, owner, region);
}

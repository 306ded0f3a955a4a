/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * many.c - several regions attached, or let go of, at once.
 */
#include "ismmodule.h"

#include <stdlib.h>

/* ------------------------------------------------------------------ attach */

PyObject *ismpy_regions_new(PyObject *cls, PyTypeObject *base, struct device_object *device,
			    struct ism_region *const *region, size_t nr)
{
	PyObject *list = PyList_New(0);

	for (size_t i = 0; i < nr; i++) {
		PyObject *one = list == NULL ? NULL : ismpy_region_new(cls, base, device, region[i]);
		if (list == NULL)
			ism_detach_region(region[i]);
		else if (one == NULL || PyList_Append(list, one) < 0)
			Py_CLEAR(list);
		Py_XDECREF(one);
	}
	return list;
}

Py_ssize_t ismpy_numbers(PyObject *tuple, Py_ssize_t min, uint64_t *ret, const char *what)
{
	Py_ssize_t nr = PyTuple_Size(tuple);

	if (nr < 0)
		return -1;
	if (nr < min || nr > ISMPY_NUMBERS_MAX) {
		PyErr_Format(PyExc_ValueError, "%zd %s: expected %zd to %d", nr, what, min,
			     ISMPY_NUMBERS_MAX);
		return -1;
	}
	for (Py_ssize_t i = 0; i < nr; i++)
		ret[i] = PyLong_AsUnsignedLongLong(PyTuple_GetItem(tuple, i));
	return PyErr_Occurred() ? -1 : nr;
}

PyObject *ismpy_attach_many(PyObject *module, PyObject *args)
{
	struct ism_attach_opts opts = { .size = sizeof opts };
	struct ism_region *region[ISMPY_NUMBERS_MAX];
	const struct module_state *state;
	uint64_t token[ISMPY_NUMBERS_MAX];
	PyObject *cls, *device, *tokens;
	unsigned int rights;
	int r;

	if (!PyArg_ParseTuple(args, "OOOII", &cls, &device, &tokens, &rights, &opts.flags))
		return NULL;
	struct ism_device *dev = ismpy_device_arg(module, device, &state);
	Py_ssize_t nr = dev == NULL ? -1 : ismpy_numbers(tokens, 1, token, "tokens");
	if (nr < 0)
		return NULL;
	struct device_object *owner = (struct device_object *)device;
	ismpy_enter(owner, NULL);
	Py_BEGIN_ALLOW_THREADS
	r = ism_attach_regions(dev, token, rights, &opts, (size_t)nr, region);
	Py_END_ALLOW_THREADS
	ismpy_leave(owner, NULL);
	return r < 0 ? ismpy_error(r) : ismpy_regions_new(cls, state->region_type, owner, region, (size_t)nr);
}

/* ------------------------------------------------------------------ close */

/* Those that are to be closed, each once, marked as such; they belong to a tuple that outlives this. */
struct closing {
	struct region_object **self;
	struct ism_region **region;
	Py_ssize_t nr;
};

/* Take what is open, of a tuple of regions. */
static void mark(struct closing *c, PyObject *regions, Py_ssize_t nr)
{
	for (Py_ssize_t i = 0; i < nr; i++) {
		struct region_object *self = (struct region_object *)PyTuple_GetItem(regions, i);
		if (self->region == NULL || self->closing || self->device->closing)
			continue;
		self->closing = true;
		c->self[c->nr++] = self;
	}
}

static void unmark(const struct closing *c)
{
	for (Py_ssize_t i = 0; i < c->nr; i++)
		c->self[i]->closing = false;
}

/* True, and an exception, if a buffer shows the memory of one. */
static bool seen(const struct closing *c)
{
	for (Py_ssize_t i = 0; i < c->nr; i++) {
		ismpy_rings_forget(c->self[i]);
		if (c->self[i]->exports > 0) {
			PyErr_Format(PyExc_BufferError, "cannot close the regions: %zd buffers show the memory of one",
				     c->self[i]->exports);
			return true;
		}
	}
	return false;
}

/* Wait until nobody is in a call on one of them; nobody else comes. */
static void drain(const struct closing *c)
{
	for (Py_ssize_t i = 0; i < c->nr; i++)
		ismpy_drain(c->self[i]->device, &c->self[i]->busy);
}

static void let_go(const struct closing *c)
{
	size_t n = 0;

	for (Py_ssize_t i = 0; i < c->nr; i++) {
		struct region_object *self = c->self[i];
		if (self->region == NULL || self->device->closing)
			continue;	/* with its device, while the GIL was gone */
		while (self->rings != NULL)
			ismpy_ring_shut(self->rings);
		c->self[n] = self;
		c->region[n++] = self->region;
		ismpy_region_unlink(self);
		ismpy_enter(self->device, NULL);
	}
	Py_BEGIN_ALLOW_THREADS
	ism_detach_regions(c->region, n);
	Py_END_ALLOW_THREADS
	for (size_t i = 0; i < n; i++)
		ismpy_leave(c->self[i]->device, NULL);
}

static bool are_regions(PyTypeObject *type, PyObject *tuple, Py_ssize_t nr)
{
	for (Py_ssize_t i = 0; i < nr; i++) {
		if (!PyObject_TypeCheck(PyTuple_GetItem(tuple, i), type)) {
			PyErr_SetString(PyExc_TypeError, "expected Regions");
			return false;
		}
	}
	return nr >= 0;
}

PyObject *ismpy_close_many(PyObject *module, PyObject *regions)
{
	const struct module_state *state = PyModule_GetState(module);
	Py_ssize_t nr = PyTuple_Size(regions);
	struct closing c = { .nr = 0 };
	bool free_to_go = false;

	if (!are_regions(state->region_type, regions, nr))
		return NULL;
	c.self = malloc(((size_t)nr + 1) * sizeof *c.self);	/* not for 0 */
	c.region = malloc(((size_t)nr + 1) * sizeof *c.region);
	if (c.self == NULL || c.region == NULL) {
		PyErr_NoMemory();
	} else {
		mark(&c, regions, nr);
		if (!seen(&c)) {
			drain(&c);
			free_to_go = !seen(&c);	/* again: the GIL was gone */
		}
		unmark(&c);
	}
	if (free_to_go)
		let_go(&c);
	free(c.self);
	free(c.region);
	return free_to_go ? Py_NewRef(Py_None) : NULL;
}

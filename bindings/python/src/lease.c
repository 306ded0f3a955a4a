/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * lease.c - pieces of a region that a ring lends, and calls back.
 */
#include "ismmodule.h"

static int lease_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
	struct lease_object *l = (struct lease_object *)self;

	if (PyBuffer_FillInfo(view, self, l->at, l->len, l->readonly, flags) < 0)
		return -1;
	l->exports++;
	l->region->exports++;
	return 0;
}

static void lease_releasebuffer(PyObject *self, Py_buffer *view)
{
	struct lease_object *l = (struct lease_object *)self;

	(void)view;
	l->exports--;
	l->region->exports--;
}

static void lease_dealloc(PyObject *self)
{
	Py_CLEAR(((struct lease_object *)self)->region);
	ismpy_free(self);
}

/* What was lent before has been called back. */
PyObject *ismpy_lend(struct ring_object *self, const void *at, size_t len, bool readonly)
{
	self->lease->at = (char *)at;
	self->lease->len = (Py_ssize_t)len;
	self->lease->readonly = readonly;
	self->lent = PyMemoryView_FromObject((PyObject *)self->lease);
	return self->lent == NULL ? NULL : Py_NewRef(self->lent);
}

int ismpy_call_back(struct ring_object *self)
{
	if (self->lent != NULL) {
		PyObject *r = PyObject_CallMethod(self->lent, "release", NULL);
		if (r == NULL)
			return -1;
		Py_DECREF(r);
		Py_CLEAR(self->lent);
	}
	if (self->lease->exports == 0)
		return 0;
	PyErr_SetString(PyExc_BufferError, "views of the record that was lent are in use");
	return -1;
}

void ismpy_rings_forget(const struct region_object *region)
{
	for (struct ring_object *r = region->rings; r != NULL; r = r->next) {
		if (r->lent != NULL && Py_REFCNT(r->lent) == 1)
			Py_CLEAR(r->lent);
	}
}

static PyType_Slot slots[] = {
	{ Py_tp_dealloc, lease_dealloc },
	{ Py_bf_getbuffer, lease_getbuffer },
	{ Py_bf_releasebuffer, lease_releasebuffer },
	{ 0, NULL },
};

PyType_Spec lease_spec = {
	.name = "ism._ism._Lease",
	.basicsize = sizeof(struct lease_object),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = slots,
};

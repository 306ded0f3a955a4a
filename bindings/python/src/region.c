/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * region.c - a handle of a region: its memory as a buffer, rights, doorbell.
 */
#include "ismmodule.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCH_MAX = 64 };

/* ------------------------------------------------------------------ make, close */

PyObject *ismpy_region_new(PyObject *cls, PyTypeObject *base, struct device_object *device, struct ism_region *region)
{
	struct region_object *self = ismpy_new(cls, base);
	PyObject *key = NULL, *value = NULL;

	if (self == NULL)
		goto err;
	key = PyLong_FromVoidPtr(region);
	value = PyLong_FromVoidPtr(self);
	if (key == NULL || value == NULL || PyDict_SetItem(device->by_handle, key, value) < 0)
		goto err;
	Py_DECREF(key);
	Py_DECREF(value);
	self->device = (struct device_object *)Py_NewRef((PyObject *)device);
	self->region = region;
	self->next = device->regions;
	self->prev = &device->regions;
	if (self->next != NULL)
		self->next->prev = &self->next;
	device->regions = self;
	return (PyObject *)self;
err:
	Py_XDECREF(key);
	Py_XDECREF(value);
	Py_XDECREF((PyObject *)self);
	ism_detach_region(region);
	return NULL;
}

struct ism_device *ismpy_device_arg(PyObject *module, PyObject *device, const struct module_state **ret)
{
	*ret = PyModule_GetState(module);
	if (!PyObject_TypeCheck(device, (*ret)->device_type)) {
		PyErr_SetString(PyExc_TypeError, "expected a Device");
		return NULL;
	}
	return ismpy_device((struct device_object *)device);
}

PyObject *ismpy_alloc(PyObject *module, PyObject *args)
{
	struct ism_alloc_opts opts = { .size = sizeof opts };
	struct ism_region *region[BATCH_MAX];
	const struct module_state *state;
	unsigned long long peer;
	PyObject *cls, *device;
	Py_ssize_t size, nr;
	int r;

	if (!PyArg_ParseTuple(args, "OOnnIiK", &cls, &device, &size, &nr, &opts.flags, &opts.node, &peer))
		return NULL;
	opts.peer = peer;
	struct ism_device *dev = ismpy_device_arg(module, device, &state);
	if (dev == NULL)
		return NULL;
	if (size < 0 || nr < 1 || nr > BATCH_MAX)
		return PyErr_Format(PyExc_ValueError, "size %zd, count %zd: expected a size from 1, a count from 1 to %d",
				    size, nr, BATCH_MAX);
	struct device_object *owner = (struct device_object *)device;
	ismpy_enter(owner, NULL);
	Py_BEGIN_ALLOW_THREADS
	r = ism_alloc_regions(dev, (size_t)size, &opts, (size_t)nr, region);
	Py_END_ALLOW_THREADS
	ismpy_leave(owner, NULL);
	return r < 0 ? ismpy_error(r) : ismpy_regions_new(cls, state->region_type, owner, region, (size_t)nr);
}

PyObject *ismpy_attach(PyObject *module, PyObject *args)
{
	struct ism_attach_opts opts = { .size = sizeof opts };
	const struct module_state *state;
	struct ism_region *region = NULL;
	unsigned long long token;
	PyObject *cls, *device;
	unsigned int rights;
	int r;

	if (!PyArg_ParseTuple(args, "OOKII", &cls, &device, &token, &rights, &opts.flags))
		return NULL;
	struct ism_device *dev = ismpy_device_arg(module, device, &state);
	if (dev == NULL)
		return NULL;
	struct device_object *owner = (struct device_object *)device;
	ismpy_enter(owner, NULL);
	Py_BEGIN_ALLOW_THREADS
	r = ism_attach_region(dev, token, rights, &opts, &region);
	Py_END_ALLOW_THREADS
	ismpy_leave(owner, NULL);
	return r < 0 ? ismpy_error(r) : ismpy_region_new(cls, state->region_type, owner, region);
}

void ismpy_region_unlink(struct region_object *self)
{
	PyObject *type, *value, *trace, *key;

	*self->prev = self->next;
	if (self->next != NULL)
		self->next->prev = self->prev;
	PyErr_Fetch(&type, &value, &trace);
	key = PyLong_FromVoidPtr(self->region);
	if (key == NULL || PyDict_DelItem(self->device->by_handle, key) < 0)
		PyErr_Clear();
	Py_XDECREF(key);
	PyErr_Restore(type, value, trace);
	self->region = NULL;
}

static void region_let_go(struct region_object *self)
{
	struct ism_region *region = self->region;

	while (self->rings != NULL)
		ismpy_ring_shut(self->rings);
	ismpy_region_unlink(self);
	ismpy_enter(self->device, NULL);
	Py_BEGIN_ALLOW_THREADS
	ism_detach_region(region);
	Py_END_ALLOW_THREADS
	ismpy_leave(self->device, NULL);
}

static PyObject *region_close(struct region_object *self, PyObject *unused)
{
	(void)unused;
	if (self->region == NULL || self->closing || self->device->closing)
		Py_RETURN_NONE;
	ismpy_rings_forget(self);
	if (self->exports == 0) {
		self->closing = true;
		ismpy_drain(self->device, &self->busy);
		self->closing = false;
	}
	if (self->exports > 0)
		return PyErr_Format(PyExc_BufferError, "cannot close the region: %zd buffers show its memory",
				    self->exports);
	if (self->region != NULL && !self->device->closing)
		region_let_go(self);
	Py_RETURN_NONE;
}

static void region_dealloc(PyObject *self)
{
	struct region_object *r = (struct region_object *)self;

	if (r->region != NULL)
		region_let_go(r);
	Py_CLEAR(r->device);
	ismpy_free(self);
}

/* ------------------------------------------------------------------ memory */

static int region_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
	struct region_object *r = (struct region_object *)self;

	if (r->region == NULL || r->closing || r->device->closing) {
		view->obj = NULL;
		PyErr_SetString(PyExc_BufferError, "the region is closed");
		return -1;
	}
	if (PyBuffer_FillInfo(view, self, ism_region_addr(r->region), (Py_ssize_t)ism_region_size(r->region),
			      !(ism_region_rights(r->region) & ISM_WRITE), flags) < 0)
		return -1;
	r->exports++;
	return 0;
}

static void region_releasebuffer(PyObject *self, Py_buffer *view)
{
	(void)view;
	((struct region_object *)self)->exports--;
}

static Py_ssize_t region_length(PyObject *self)
{
	struct ism_region *region = ismpy_region((struct region_object *)self);

	return region == NULL ? -1 : (Py_ssize_t)ism_region_size(region);
}

/* ------------------------------------------------------------------ rights */

static PyObject *region_grant(struct region_object *self, PyObject *args)
{
	struct ism_region *region = ismpy_region(self);
	PyObject *device;
	unsigned int rights;
	int r;

	if (region == NULL || !PyArg_ParseTuple(args, "OI", &device, &rights))
		return NULL;
	uint64_t devid = device == Py_None ? 0 : PyLong_AsUnsignedLongLong(device);
	if (PyErr_Occurred())
		return NULL;
	ismpy_enter(self->device, self);
	Py_BEGIN_ALLOW_THREADS
	r = device == Py_None ? ism_region_grant_default(region, rights) : ism_region_grant(region, devid, rights);
	Py_END_ALLOW_THREADS
	ismpy_leave(self->device, self);
	return ismpy_none(r);
}

static PyObject *region_peers(struct region_object *self, PyObject *unused)
{
	struct ism_region *region = ismpy_region(self);
	size_t room = 16;
	int n = 0;

	(void)unused;
	if (region == NULL)
		return NULL;
	uint64_t *devid = NULL;
	do {
		room = n > (int)room ? (size_t)n : room;
		uint64_t *more = realloc(devid, room * sizeof *devid);
		if (more == NULL) {
			free(devid);
			return PyErr_NoMemory();
		}
		devid = more;
		ismpy_enter(self->device, self);
		Py_BEGIN_ALLOW_THREADS
		n = ism_region_peers(region, devid, room);
		Py_END_ALLOW_THREADS
		ismpy_leave(self->device, self);
	} while (n > (int)room && (region = ismpy_region(self)) != NULL);
	PyObject *list = region == NULL ? NULL : n < 0 ? ismpy_error(n) : PyList_New(n);
	for (int i = 0; i < n && list != NULL; i++) {
		PyObject *one = PyLong_FromUnsignedLongLong(devid[i]);
		if (one == NULL || PyList_SetItem(list, i, one) < 0)
			Py_CLEAR(list);
	}
	free(devid);
	return list;
}

/* ------------------------------------------------------------------ doorbell */

static PyObject *region_notify(struct region_object *self, PyObject *unused)
{
	struct ism_region *region = ismpy_region(self);
	int r;

	(void)unused;
	if (region == NULL)
		return NULL;
	ismpy_enter(self->device, self);
	Py_BEGIN_ALLOW_THREADS
	r = ism_region_notify(region);
	Py_END_ALLOW_THREADS
	ismpy_leave(self->device, self);
	return ismpy_none(r);
}

static int64_t wait_region(void *arg, int64_t timeout_ns)
{
	return ism_region_wait(arg, timeout_ns);
}

static PyObject *region_wait(struct region_object *self, PyObject *args)
{
	struct ism_region *region = ismpy_region(self);
	int64_t timeout = -1, r;

	if (region == NULL || !PyArg_ParseTuple(args, "|O&", ismpy_timeout, &timeout))
		return NULL;
	if (self->rung) {
		self->rung = false;
		Py_RETURN_TRUE;
	}
	if (timeout == 0) {
		r = ism_region_wait(region, 0);
		return r < 0 ? ismpy_error(r) : PyBool_FromLong((long)r);
	}
	r = ismpy_wait(self->device, self, wait_region, region, timeout, 0);
	return r < 0 ? NULL : PyBool_FromLong((long)r);
}

static PyObject *region_clear(struct region_object *self, PyObject *unused)
{
	struct ism_region *region = ismpy_region(self);

	(void)unused;
	if (region == NULL)
		return NULL;
	int r = ism_region_clear(region);
	if (r < 0)
		return ismpy_error(r);
	bool rung = r > 0 || self->rung;
	self->rung = false;
	return PyBool_FromLong(rung);
}

static PyObject *region_mark_rung(struct region_object *self, PyObject *unused)
{
	(void)unused;
	self->rung = true;
	Py_RETURN_NONE;
}

static PyObject *region_fileno(struct region_object *self, PyObject *unused)
{
	struct ism_region *region = ismpy_region(self);

	(void)unused;
	if (region == NULL)
		return NULL;
	int r = ism_region_fd(region);
	return r < 0 ? ismpy_error(r) : PyLong_FromLong(r);
}

/* ------------------------------------------------------------------ describe */

static PyObject *get_closed(PyObject *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(((struct region_object *)self)->region == NULL);
}

static PyObject *get_device(PyObject *self, void *unused)
{
	(void)unused;
	return Py_NewRef((PyObject *)((struct region_object *)self)->device);
}

enum number { SIZE, REQUESTED_SIZE, TOKEN, RIGHTS, FLAGS, ADDRESS, EXPORTS };

static PyObject *get_number(PyObject *self, void *which)
{
	struct region_object *r = (struct region_object *)self;
	const struct ism_region *region = ismpy_region(r);

	if (region == NULL)
		return NULL;
	switch ((enum number)(intptr_t)which) {
	case SIZE:
		return PyLong_FromSize_t(ism_region_size(region));
	case REQUESTED_SIZE:
		return PyLong_FromSize_t(ism_region_requested_size(region));
	case TOKEN:
		return PyLong_FromUnsignedLongLong(ism_region_token(region));
	case RIGHTS:
		return PyLong_FromUnsignedLong(ism_region_rights(region));
	case FLAGS:
		return PyLong_FromUnsignedLong(ism_region_flags(region));
	case ADDRESS:
		return PyLong_FromVoidPtr(ism_region_addr(region));
	default:
		return PyLong_FromSsize_t(r->exports);
	}
}

static PyObject *get_ref(PyObject *self, void *unused)
{
	const struct ism_region *region = ismpy_region((struct region_object *)self);
	char buf[ISM_REF_SIZE];

	(void)unused;
	if (region == NULL)
		return NULL;
	int r = ism_ref_format(region, buf, sizeof buf);
	return r < 0 ? ismpy_error(r) : PyUnicode_FromString(buf);
}

/* ------------------------------------------------------------------ the type */

static PyMethodDef methods[] = {
	{ "close", (PyCFunction)region_close, METH_NOARGS,
	  "close()\n--\n\nLet go of the handle; the last one of a region unmaps it and tells the peers.\n\n"
	  "Raises BufferError, and closes nothing, while a buffer shows its memory." },
	{ "load", (PyCFunction)ismpy_region_load, METH_VARARGS,
	  "load(offset)\n--\n\nRead the 64-bit word at an offset atomically (sequentially consistent)." },
	{ "store", (PyCFunction)ismpy_region_store, METH_VARARGS,
	  "store(offset, value)\n--\n\nWrite the 64-bit word at an offset atomically (sequentially consistent)." },
	{ "exchange", (PyCFunction)ismpy_region_exchange, METH_VARARGS,
	  "exchange(offset, value)\n--\n\nWrite the 64-bit word at an offset atomically, and return what it was." },
	{ "compare_exchange", (PyCFunction)ismpy_region_compare_exchange, METH_VARARGS,
	  "compare_exchange(offset, expected, value)\n--\n\nWrite the 64-bit word at an offset if it is as expected: "
	  "True if it was." },
	{ "_grant", (PyCFunction)region_grant, METH_VARARGS, NULL },
	{ "peers", (PyCFunction)region_peers, METH_NOARGS,
	  "peers()\n--\n\nThe ids of the other devices that refer to the region now." },
	{ "notify", (PyCFunction)region_notify, METH_NOARGS,
	  "notify()\n--\n\nRing: tell the other referrers that the content changed." },
	{ "wait", (PyCFunction)region_wait, METH_VARARGS,
	  "wait(timeout=None, /)\n--\n\nWait until a peer rings: True, or False after `timeout` seconds.\n\n"
	  "Raises BrokenPipeError when the last peer has detached or died, InterruptedError after\n"
	  "Device.interrupt().  Other threads run meanwhile." },
	{ "clear", (PyCFunction)region_clear, METH_NOARGS,
	  "clear()\n--\n\nTake the doorbell without waiting: True if it was pending." },
	{ "_mark_rung", (PyCFunction)region_mark_rung, METH_NOARGS, NULL },
	{ "fileno", (PyCFunction)region_fileno, METH_NOARGS,
	  "fileno()\n--\n\nA descriptor that is readable while the doorbell may be pending; then call clear().\n\n"
	  "It is the handle's own if it was made with vector=True, else the device's; do not close it." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef getset[] = {
	{ "closed", get_closed, NULL, "True after close().", NULL },
	{ "device", get_device, NULL, "The device that the region belongs to.", NULL },
	{ "size", get_number, NULL, "Bytes of memory: whole chunks.", (void *)SIZE },
	{ "requested_size", get_number, NULL, "Bytes that its creator asked for.", (void *)REQUESTED_SIZE },
	{ "token", get_number, NULL, "What names the region.  Treat it as a password.", (void *)TOKEN },
	{ "_rights", get_number, NULL, NULL, (void *)RIGHTS },
	{ "_flags", get_number, NULL, NULL, (void *)FLAGS },
	{ "address", get_number, NULL, "Where it is mapped, for ctypes and the like.", (void *)ADDRESS },
	{ "_exports", get_number, NULL, NULL, (void *)EXPORTS },
	{ "ref", get_ref, NULL, "The region's name as text, \"ism:GID/TOKEN\".  Treat it as a password.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot slots[] = {
	{ Py_tp_doc, "A handle of a region: shared memory, rights, and a doorbell." },
	{ Py_tp_dealloc, region_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getset },
	{ Py_bf_getbuffer, region_getbuffer },
	{ Py_bf_releasebuffer, region_releasebuffer },
	{ Py_mp_length, region_length },
	{ 0, NULL },
};

PyType_Spec region_spec = {
	.name = "ism._ism.Region",
	.basicsize = sizeof(struct region_object),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = slots,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * emu.c - a private domain for a test, and faults in it.
 */
#include "ismmodule.h"

#include <ism-emu.h>

struct emu_object {
	PyObject_HEAD
	struct ism_emu *emu;	/* NULL: stopped */
	unsigned int busy;
};

static struct ism_emu *emu_open(const struct emu_object *self)
{
	if (self->emu == NULL)
		ismpy_closed("domain");
	return self->emu;
}

/* (bytes, regions, grants, attach_rate, notify_rate, devices) */
static int quota(PyObject *value, void *ret)
{
	struct ism_emu_quota *q = ret;
	unsigned long long bytes;

	if (!PyArg_ParseTuple(value, "KIIIII", &bytes, &q->regions, &q->grants, &q->attach_rate, &q->notify_rate,
			      &q->devices))
		return 0;
	q->bytes = bytes;
	return 1;
}

PyObject *ismpy_emu(PyObject *module, PyObject *args)
{
	const struct module_state *state = PyModule_GetState(module);
	struct ism_emu_opts opts = { .size = sizeof opts };
	struct ism_emu *emu = NULL;
	PyObject *cls;
	int r;

	if (!PyArg_ParseTuple(args, "OIzO&O&", &cls, &opts.flags, &opts.faults, quota, &opts.device, quota, &opts.user))
		return NULL;
	struct emu_object *self = ismpy_new(cls, state->emu_type);
	if (self == NULL)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	r = ism_emu_start(&opts, &emu);
	Py_END_ALLOW_THREADS
	if (r < 0) {
		Py_DECREF(self);
		return ismpy_error(r);
	}
	self->emu = emu;
	return (PyObject *)self;
}

static PyObject *emu_stop(struct emu_object *self, PyObject *unused)
{
	struct ism_emu *emu = self->emu;

	(void)unused;
	if (self->busy > 0) {
		PyErr_SetString(PyExc_RuntimeError, "another thread kills or restarts this domain");
		return NULL;
	}
	self->emu = NULL;
	Py_BEGIN_ALLOW_THREADS
	ism_emu_stop(emu);
	Py_END_ALLOW_THREADS
	Py_RETURN_NONE;
}

static void emu_dealloc(PyObject *self)
{
	ism_emu_stop(((struct emu_object *)self)->emu);
	ismpy_free(self);
}

/* One at a time. */
static PyObject *alone(struct emu_object *self, int (*call)(struct ism_emu *))
{
	struct ism_emu *emu = emu_open(self);
	int r;

	if (emu == NULL)
		return NULL;
	if (self->busy > 0) {
		PyErr_SetString(PyExc_RuntimeError, "another thread kills or restarts this domain");
		return NULL;
	}
	self->busy++;
	Py_BEGIN_ALLOW_THREADS
	r = call(emu);
	Py_END_ALLOW_THREADS
	self->busy--;
	return ismpy_none(r);
}

static PyObject *emu_kill(struct emu_object *self, PyObject *unused)
{
	(void)unused;
	return alone(self, ism_emu_kill);
}

static PyObject *emu_restart(struct emu_object *self, PyObject *unused)
{
	(void)unused;
	return alone(self, ism_emu_restart);
}

static PyObject *emu_set_faults(struct emu_object *self, PyObject *args)
{
	struct ism_emu *emu = emu_open(self);
	const char *faults;

	if (emu == NULL || !PyArg_ParseTuple(args, "s", &faults))
		return NULL;
	return ismpy_none(ism_emu_set_faults(emu, faults));
}

static PyObject *emu_passes(struct emu_object *self, PyObject *args)
{
	const struct ism_emu *emu = emu_open(self);
	const char *point;

	if (emu == NULL || !PyArg_ParseTuple(args, "s", &point))
		return NULL;
	int64_t n = ism_emu_passes(emu, point);
	return n < 0 ? ismpy_error(n) : PyLong_FromLongLong(n);
}

static PyObject *get_fired(PyObject *self, void *unused)
{
	const struct ism_emu *emu = emu_open((struct emu_object *)self);

	(void)unused;
	if (emu == NULL)
		return NULL;
	int64_t n = ism_emu_fired(emu);
	return n < 0 ? ismpy_error(n) : PyLong_FromLongLong(n);
}

static PyObject *get_uri(PyObject *self, void *unused)
{
	const struct ism_emu *emu = emu_open((struct emu_object *)self);

	(void)unused;
	return emu == NULL ? NULL : PyUnicode_DecodeFSDefault(ism_emu_uri(emu));
}

static PyObject *get_dir(PyObject *self, void *unused)
{
	const struct ism_emu *emu = emu_open((struct emu_object *)self);
	const char *dir = emu == NULL ? NULL : ism_emu_dir(emu);

	(void)unused;
	if (emu == NULL)
		return NULL;
	return dir == NULL ? Py_NewRef(Py_None) : PyUnicode_DecodeFSDefault(dir);
}

static PyMethodDef methods[] = {
	{ "stop", (PyCFunction)emu_stop, METH_NOARGS,
	  "stop()\n--\n\nStop the domain; its directory goes with all that is in it." },
	{ "kill", (PyCFunction)emu_kill, METH_NOARGS,
	  "kill()\n--\n\nThe host dies as if its process had been killed." },
	{ "restart", (PyCFunction)emu_restart, METH_NOARGS,
	  "restart()\n--\n\nA new host at the same place, with nothing in it." },
	{ "set_faults", (PyCFunction)emu_set_faults, METH_VARARGS,
	  "set_faults(faults, /)\n--\n\nOther faults from now on, \"alloc:3=ENOSPC,...\"; \"\" for none." },
	{ "passes", (PyCFunction)emu_passes, METH_VARARGS,
	  "passes(point, /)\n--\n\nHow often this process passed a point: \"alloc\", \"attach\", \"notify\", ..." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef getset[] = {
	{ "uri", get_uri, NULL, "What to open its devices with.", NULL },
	{ "dir", get_dir, NULL, "Its directory, for $ISM_RUNTIME_DIR; None for a domain within the process.", NULL },
	{ "fired", get_fired, NULL, "How many faults have happened.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot slots[] = {
	{ Py_tp_doc, "A sharing domain of a test's own." },
	{ Py_tp_dealloc, emu_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getset },
	{ 0, NULL },
};

PyType_Spec emu_spec = {
	.name = "ism._ism.Emulator",
	.basicsize = sizeof(struct emu_object),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = slots,
};

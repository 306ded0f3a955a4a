/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * module.c - the module, its constants and errors, and how calls wait.
 */
#include "ismmodule.h"

#include <errno.h>
#include <ism-emu.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How long a wait of the main thread goes on before it looks whether a signal came. */
static const int64_t SLICE_NS = INT64_C(200) * 1000 * 1000;

/* ------------------------------------------------------------------ errors */

/* The classes are Python's: ism._errors. */
PyObject *ismpy_raise(int err, const char *text)
{
	PyObject *module = PyImport_ImportModule("ism._errors"), *error = NULL;

	if (module != NULL)
		error = PyObject_CallMethod(module, "error", "is", err < 0 ? -err : err, text);
	Py_XDECREF(module);
	if (error != NULL)
		PyErr_SetObject((PyObject *)Py_TYPE(error), error);
	Py_XDECREF(error);
	return NULL;
}

PyObject *ismpy_error(int64_t err)
{
	const char *detail = ism_error_detail();

	return ismpy_raise((int)err, *detail ? detail : ism_strerror((int)err));
}

PyObject *ismpy_closed(const char *what)
{
	char text[64];

	PyOS_snprintf(text, sizeof text, "the %s is closed", what);
	return ismpy_raise(EBADF, text);
}

PyObject *ismpy_none(int64_t r)
{
	if (r < 0)
		return ismpy_error(r);
	Py_RETURN_NONE;
}

/* ------------------------------------------------------------------ objects */

void *ismpy_new(PyObject *cls, PyTypeObject *base)
{
	if (!PyType_Check(cls) || !PyType_IsSubtype((PyTypeObject *)cls, base)) {
		PyErr_SetString(PyExc_TypeError, "expected a class that derives from this module's");
		return NULL;
	}
	allocfunc alloc = (allocfunc)PyType_GetSlot((PyTypeObject *)cls, Py_tp_alloc);
	return alloc((PyTypeObject *)cls, 0);
}

void ismpy_free(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

	release(self);
	Py_DECREF(type);
}

struct ism_device *ismpy_device(struct device_object *self)
{
	if (self->dev == NULL || self->closing) {
		ismpy_closed("device");
		return NULL;
	}
	return self->dev;
}

struct ism_region *ismpy_region(struct region_object *self)
{
	if (self->region == NULL || self->closing || self->device->closing) {
		ismpy_closed("region");
		return NULL;
	}
	return self->region;
}

/* ------------------------------------------------------------------ calls without the GIL */

void ismpy_enter(struct device_object *device, struct region_object *region)
{
	device->busy++;
	if (region != NULL)
		region->busy++;
}

void ismpy_leave(struct device_object *device, struct region_object *region)
{
	device->busy--;
	if (region != NULL)
		region->busy--;
}

void ismpy_drain(struct device_object *device, const unsigned int *busy)
{
	const struct timespec moment = { .tv_nsec = 200000 };

	/* In a forked child the threads that were in there are not. */
	while (*busy > 0 && device->pid == getpid()) {
		ism_interrupt(device->dev);
		Py_BEGIN_ALLOW_THREADS
		nanosleep(&moment, NULL);
		Py_END_ALLOW_THREADS
	}
}

int ismpy_timeout(PyObject *value, void *ret_ns)
{
	int64_t *ret = ret_ns;
	double seconds;

	if (value == Py_None) {
		*ret = -1;
		return 1;
	}
	seconds = PyFloat_AsDouble(value);
	if (seconds == -1.0 && PyErr_Occurred())
		return 0;
	if (!(seconds >= 0)) {
		PyErr_SetString(PyExc_ValueError, "a timeout is None, or seconds from 0");
		return 0;
	}
	*ret = seconds > 9e9 ? INT64_MAX : (int64_t)(seconds * 1e9);
	return 1;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Was it for us?  1: wait on; 0: an exception is set. */
static int interrupted(struct device_object *device, const struct region_object *region, uint64_t seen)
{
	if (device->closing || (region != NULL && region->closing)) {
		ismpy_closed(device->closing ? "device" : "region");
		return 0;
	}
	if (device->interrupts != seen) {
		device->interrupts_taken = device->interrupts;
		ismpy_error(-EINTR);
		return 0;
	}
	return PyErr_CheckSignals() == 0;
}

int64_t ismpy_wait(struct device_object *device, struct region_object *region, ismpy_waiter call, void *arg,
		   int64_t timeout_ns, int64_t timed_out)
{
	/* Only the main thread runs Python's signal handlers, and the library waits on over a signal. */
	bool slices = getpid() == (pid_t)syscall(SYS_gettid);
	int64_t now = now_ns(), r = 0, left = timeout_ns;
	int64_t deadline = timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
	uint64_t seen = device->interrupts_taken;
	bool again = true;

	ismpy_enter(device, region);
	while (again) {
		int64_t slice = slices && (left < 0 || left > SLICE_NS) ? SLICE_NS : left;
		Py_BEGIN_ALLOW_THREADS
		r = call(arg, slice);
		Py_END_ALLOW_THREADS
		if (r == -EINTR)
			again = interrupted(device, region, seen);
		else if (r == timed_out && slice != left)
			again = PyErr_CheckSignals() == 0;
		else
			again = false;
		if (timeout_ns >= 0 && again) {
			now = now_ns();
			left = deadline > now ? deadline - now : 0;
		}
	}
	ismpy_leave(device, region);
	if (PyErr_Occurred())
		return -1;
	if (r == -EBADF)	/* not the library's: see wait_*() in ring.c */
		ismpy_closed("ring");
	else if (r < 0)
		ismpy_error(r);
	return r;
}

/* ------------------------------------------------------------------ the module */

static PyObject *version(PyObject *module, PyObject *unused)
{
	(void)module, (void)unused;
	return PyUnicode_FromString(ism_version());
}

static PyObject *parse_ref(PyObject *module, PyObject *args)
{
	unsigned long long gid, token;
	uint64_t g, t;
	const char *text;

	(void)module;
	if (!PyArg_ParseTuple(args, "s", &text))
		return NULL;
	int r = ism_ref_parse(text, &g, &t);
	if (r < 0)
		return ismpy_error(r);
	gid = g, token = t;
	return Py_BuildValue("KK", gid, token);
}

static PyMethodDef functions[] = {
	{ "open", ismpy_open, METH_VARARGS, NULL },
	{ "alloc", ismpy_alloc, METH_VARARGS, NULL },
	{ "attach", ismpy_attach, METH_VARARGS, NULL },
	{ "attach_many", ismpy_attach_many, METH_VARARGS, NULL },
	{ "close_many", ismpy_close_many, METH_O, NULL },
	{ "replace", ismpy_replace, METH_VARARGS, NULL },
	{ "successor", ismpy_successor, METH_VARARGS, NULL },
	{ "shut_out", ismpy_shut_out, METH_VARARGS, NULL },
	{ "ring", ismpy_ring, METH_VARARGS, NULL },
	{ "emu", ismpy_emu, METH_VARARGS, NULL },
	{ "parse_ref", parse_ref, METH_VARARGS, NULL },
	{ "version", version, METH_NOARGS, NULL },
	{ NULL, NULL, 0, NULL },
};

#define CONSTANT(name) { #name, ISM_##name }
static const struct {
	const char *name;
	unsigned long value;
} constants[] = {
	CONSTANT(READ), CONSTANT(WRITE), CONSTANT(ATTACH), CONSTANT(MANAGE), CONSTANT(CLEAN_DEFAULT),
	CONSTANT(EVENT_UPDATE), CONSTANT(EVENT_ATTACH), CONSTANT(EVENT_DETACH), CONSTANT(EVENT_MOVED),
	CONSTANT(EVENT_RESET), CONSTANT(EVENT_LOST), CONSTANT(OPEN_NO_HOST), CONSTANT(ALLOC_PRIVATE), CONSTANT(ALLOC_HUGE),
	CONSTANT(ALLOC_NODE), CONSTANT(ALLOC_PREFAULT), CONSTANT(ALLOC_POOLED), CONSTANT(ALLOC_VECTOR),
	CONSTANT(ALLOC_REQUIRED), CONSTANT(ATTACH_PREFAULT), CONSTANT(ATTACH_VECTOR), CONSTANT(SPIN_NONE), CONSTANT(RESTART_NONE),
	CONSTANT(HOST_PRIVATE),
	CONSTANT(HOST_EMBEDDED), CONSTANT(HOST_DAEMON), CONSTANT(HOST_DEVICE), CONSTANT(RING_WRITER),
	CONSTANT(RING_READER), CONSTANT(EMU_LOOP),
};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
	PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);

	if (type != NULL && PyModule_AddType(module, type) < 0)
		Py_CLEAR(type);
	return type;
}

static int module_exec(PyObject *module)
{
	struct module_state *state = PyModule_GetState(module);

	state->device_type = add_type(module, &device_spec);
	state->region_type = add_type(module, &region_spec);
	state->ring_type = add_type(module, &ring_spec);
	state->lease_type = add_type(module, &lease_spec);
	state->emu_type = add_type(module, &emu_spec);
	if (state->device_type == NULL || state->region_type == NULL || state->ring_type == NULL ||
	    state->lease_type == NULL || state->emu_type == NULL)
		return -1;
	for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
		PyObject *value = PyLong_FromUnsignedLong(constants[i].value);
		int r = PyModule_AddObjectRef(module, constants[i].name, value);
		Py_XDECREF(value);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
	struct module_state *state = PyModule_GetState(module);

	Py_VISIT(state->device_type);
	Py_VISIT(state->region_type);
	Py_VISIT(state->ring_type);
	Py_VISIT(state->lease_type);
	Py_VISIT(state->emu_type);
	return 0;
}

static int module_clear(PyObject *module)
{
	struct module_state *state = PyModule_GetState(module);

	Py_CLEAR(state->device_type);
	Py_CLEAR(state->region_type);
	Py_CLEAR(state->ring_type);
	Py_CLEAR(state->lease_type);
	Py_CLEAR(state->emu_type);
	return 0;
}

static PyModuleDef_Slot slots[] = {
	{ Py_mod_exec, module_exec },
	{ 0, NULL },
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "_ism",
	.m_doc = "The low layer of the package ism.",
	.m_size = sizeof(struct module_state),
	.m_methods = functions,
	.m_slots = slots,
	.m_traverse = module_traverse,
	.m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__ism(void);
PyMODINIT_FUNC PyInit__ism(void)
{
	return PyModuleDef_Init(&definition);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ismmodule.h - what the files of the extension share.
 *
 * The extension is the low layer: three types that own what their C handles
 * own, the calls, and the rules that keep a Python program from crashing:
 *
 *  - who holds a region's memory through a buffer keeps the region from closing;
 *  - a call that lets the GIL go counts itself in `busy`, and close waits until
 *    nobody is in there, ending waits with ism_interrupt();
 *  - a ring's end is used by one thread at a time: it has a lock.
 *
 * All fields of the objects are protected by the GIL.  Only the limited API is
 * used, so that one build serves Python 3.11 and later.
 */
#ifndef ISMMODULE_H
#define ISMMODULE_H

#include <Python.h>

#include <ism-ring.h>
#include <ism.h>
#include <stdatomic.h>
#include <stdbool.h>

struct region_object;
struct ring_object;

struct device_object {
	PyObject_HEAD
	struct ism_device *dev;		/* NULL: closed */
	struct region_object *regions;	/* those that are open */
	PyObject *by_handle;		/* address of a struct ism_region: address of its object */
	pid_t pid;			/* who opened it */
	unsigned int busy;		/* calls that run without the GIL */
	bool closing;
	uint64_t interrupts;		/* made by interrupt() */
	uint64_t interrupts_taken;	/* up to here, by waits */
};

struct region_object {
	PyObject_HEAD
	struct ism_region *region;	/* NULL: closed */
	struct device_object *device;	/* owned */
	struct region_object *next, **prev;
	struct ring_object *rings;	/* those that are open */
	Py_ssize_t exports;		/* buffers in use */
	unsigned int busy;
	bool closing;
	bool rung;			/* the event loop took the doorbell for us: see mark_rung() */
};

struct ring_object {
	PyObject_HEAD
	struct ism_ring *ring;		/* NULL: closed */
	struct region_object *region;	/* owned */
	struct ring_object *next, **prev;
	struct lease_object *lease;	/* a piece of the region, owned */
	PyObject *lent;			/* the memoryview of it that reserve() or peek() gave out */
	PyThread_type_lock lock;	/* one thread at a time */
	atomic_bool closing;
};

/*
 * A piece of a region's memory that a ring lends: a buffer of its own, so that
 * views of a view, which refer to this object alone, are noticed.
 */
struct lease_object {
	PyObject_HEAD
	struct region_object *region;	/* owned */
	char *at;
	Py_ssize_t len;
	bool readonly;
	Py_ssize_t exports;
};

struct module_state {
	PyTypeObject *device_type, *region_type, *ring_type, *lease_type, *emu_type;
};

extern PyType_Spec device_spec, region_spec, ring_spec, lease_spec, emu_spec;

/* Module functions that make objects: the class to make comes first. */
PyObject *ismpy_open(PyObject *module, PyObject *args);
PyObject *ismpy_alloc(PyObject *module, PyObject *args);
PyObject *ismpy_attach(PyObject *module, PyObject *args);
PyObject *ismpy_attach_many(PyObject *module, PyObject *args);
PyObject *ismpy_replace(PyObject *module, PyObject *args);
PyObject *ismpy_successor(PyObject *module, PyObject *args);
PyObject *ismpy_shut_out(PyObject *module, PyObject *args);
PyObject *ismpy_ring(PyObject *module, PyObject *args);
PyObject *ismpy_emu(PyObject *module, PyObject *args);

/* Close all regions of a tuple, or none. */
PyObject *ismpy_close_many(PyObject *module, PyObject *regions);

/* A new, zeroed object of a class that must derive from @base. */
void *ismpy_new(PyObject *cls, PyTypeObject *base);
void ismpy_free(PyObject *self);

/* ------------------------------------------------------------------ errors */

/* Raise what a negative errno of the library means; always NULL. */
PyObject *ismpy_error(int64_t err);
/* The same in words of our own. */
PyObject *ismpy_raise(int err, const char *text);
PyObject *ismpy_closed(const char *what);
/* None, or raise. */
PyObject *ismpy_none(int64_t r);

/* ------------------------------------------------------------------ calls without the GIL */

/* NULL, and an exception, where it is closed. */
struct ism_device *ismpy_device(struct device_object *self);
struct ism_region *ismpy_region(struct region_object *self);

/* The same for an argument, which may be something else. */
struct ism_device *ismpy_device_arg(PyObject *module, PyObject *device, const struct module_state **ret);

/* The numbers of a tuple of @min to ISMPY_NUMBERS_MAX: how many there are, or -1 and an exception. */
enum { ISMPY_NUMBERS_MAX = 64 };
Py_ssize_t ismpy_numbers(PyObject *tuple, Py_ssize_t min, uint64_t *ret, const char *what);

void ismpy_enter(struct device_object *device, struct region_object *region);
void ismpy_leave(struct device_object *device, struct region_object *region);
/* Wait until no other thread is in a call. */
void ismpy_drain(struct device_object *device, const unsigned int *busy);

/* Convert seconds, or None, for PyArg_Parse: nanoseconds, -1 is for ever. */
int ismpy_timeout(PyObject *value, void *ret_ns);

/*
 * Run a call that waits, in slices, so that signals are handled, and again when
 * it was interrupted for another's sake.  @timed_out is what the call returns
 * at the end of its time.  An error is raised if the result is below 0.
 */
typedef int64_t (*ismpy_waiter)(void *arg, int64_t timeout_ns);
int64_t ismpy_wait(struct device_object *device, struct region_object *region, ismpy_waiter call, void *arg,
		   int64_t timeout_ns, int64_t timed_out);

/* ------------------------------------------------------------------ between the types */

PyObject *ismpy_region_load(struct region_object *self, PyObject *args);
PyObject *ismpy_region_store(struct region_object *self, PyObject *args);
PyObject *ismpy_region_exchange(struct region_object *self, PyObject *args);
PyObject *ismpy_region_compare_exchange(struct region_object *self, PyObject *args);

/* An object for a handle, which is let go of if that fails. */
PyObject *ismpy_region_new(PyObject *cls, PyTypeObject *base, struct device_object *device, struct ism_region *region);
/* A list of objects for handles; if that fails, all are let go of. */
PyObject *ismpy_regions_new(PyObject *cls, PyTypeObject *base, struct device_object *device,
			    struct ism_region *const *region, size_t nr);
/* The handle is about to go: the device forgets it. */
void ismpy_region_unlink(struct region_object *self);
/* Let go of a ring's handle; the object remains, closed. */
void ismpy_ring_shut(struct ring_object *self);
/* Views that only the region's rings remember are no reason not to close it. */
void ismpy_rings_forget(const struct region_object *region);

/* Lend a piece of the region of a ring, or call it back: BufferError if somebody still looks at it. */
PyObject *ismpy_lend(struct ring_object *self, const void *at, size_t len, bool readonly);
int ismpy_call_back(struct ring_object *self);
/* An event as a tuple: type, region or None, devid, peers, token. */
PyObject *ismpy_event(const struct device_object *device, const struct ism_event *ev);

#endif /* ISMMODULE_H */

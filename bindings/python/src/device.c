/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * device.c - the device: open, close, events, and what a domain looks like.
 */
#include "ismmodule.h"

#include <errno.h>
#include <unistd.h>

enum { EVENTS_MAX = 64, LIST_MAX = 64 };

/* ------------------------------------------------------------------ open, close */

PyObject *ismpy_open(PyObject *module, PyObject *args)
{
	const struct module_state *state = PyModule_GetState(module);
	struct ism_open_opts opts = { .size = sizeof opts };
	unsigned long long window;
	struct ism_device *dev = NULL;
	const char *uri;
	PyObject *cls;
	int r;

	if (!PyArg_ParseTuple(args, "OzIIKIIz", &cls, &uri, &opts.flags, &opts.spin_us, &window, &opts.timeout_ms,
			      &opts.restart_ms, &opts.name))
		return NULL;
	opts.window_size = window;
	struct device_object *self = ismpy_new(cls, state->device_type);
	if (self == NULL)
		return NULL;
	self->by_handle = PyDict_New();
	if (self->by_handle == NULL) {
		Py_DECREF(self);
		return NULL;
	}
	Py_BEGIN_ALLOW_THREADS
	r = ism_open(uri, &opts, &dev);
	Py_END_ALLOW_THREADS
	if (r < 0) {
		Py_DECREF(self);
		return ismpy_error(r);
	}
	self->dev = dev;
	self->pid = getpid();
	return (PyObject *)self;
}

/* The first of the regions whose memory somebody still sees, or NULL. */
static const struct region_object *exported(const struct device_object *self)
{
	for (const struct region_object *r = self->regions; r != NULL; r = r->next) {
		ismpy_rings_forget(r);
		if (r->exports > 0)
			return r;
	}
	return NULL;
}

static PyObject *device_close(struct device_object *self, PyObject *unused)
{
	const struct region_object *seen;
	struct ism_device *dev;

	(void)unused;
	if (self->dev == NULL || self->closing)
		Py_RETURN_NONE;
	if (exported(self) == NULL) {
		self->closing = true;
		ismpy_drain(self, &self->busy);
	}
	seen = exported(self);	/* again: the GIL was gone */
	if (seen != NULL) {
		self->closing = false;
		return PyErr_Format(PyExc_BufferError, "cannot close the device: %zd buffers show the memory of a region",
				    seen->exports);
	}
	while (self->regions != NULL) {
		struct region_object *r = self->regions;
		while (r->rings != NULL)
			ismpy_ring_shut(r->rings);
		ismpy_region_unlink(r);
	}
	dev = self->dev;
	self->dev = NULL;
	Py_BEGIN_ALLOW_THREADS
	ism_close(dev);
	Py_END_ALLOW_THREADS
	Py_RETURN_NONE;
}

static void device_finalize(PyObject *self)
{
	struct device_object *d = (struct device_object *)self;
	PyObject *type, *value, *trace;

	if (d->dev == NULL || d->pid != getpid())
		return;
	PyErr_Fetch(&type, &value, &trace);
	if (PyErr_ResourceWarning(self, 1, "unclosed %R", self) < 0)
		PyErr_WriteUnraisable(self);
	PyErr_Restore(type, value, trace);
}

/* No region is left: each of them owns the device.  Python's own subclass has called the finalizer. */
static void device_dealloc(PyObject *self)
{
	struct device_object *d = (struct device_object *)self;

	if (d->dev != NULL) {
		Py_BEGIN_ALLOW_THREADS
		ism_close(d->dev);
		Py_END_ALLOW_THREADS
	}
	Py_CLEAR(d->by_handle);
	ismpy_free(self);
}

/* ------------------------------------------------------------------ describe */

#define FIELD(s, f) #f, (unsigned long long)(s).f

static PyObject *device_info(struct device_object *self, PyObject *unused)
{
	struct ism_info i = { .size = sizeof i };
	struct ism_device *dev = ismpy_device(self);

	(void)unused;
	if (dev == NULL)
		return NULL;
	int r = ism_query(dev, &i);
	if (r < 0)
		return ismpy_error(r);
	return Py_BuildValue("{sK sK sK sK sK sK sI sI si sI ss ss}", FIELD(i, gid), FIELD(i, devid), FIELD(i, chunk_size),
			     FIELD(i, notify_size), FIELD(i, window_size), FIELD(i, max_region), "max_regions",
			     i.max_regions, "host", i.host, "host_pid", i.host_pid, "features", i.features, "backend",
			     i.backend, "path", i.path);
}

static PyObject *device_stats(struct device_object *self, PyObject *unused)
{
	struct ism_stats s = { .size = sizeof s };
	struct ism_device *dev = ismpy_device(self);

	(void)unused;
	if (dev == NULL)
		return NULL;
	int r = ism_query_stats(dev, &s);
	if (r < 0)
		return ismpy_error(r);
	return Py_BuildValue("{sK sK sK sK sK sK sK sK sK sK sK sK}", FIELD(s, notifies), FIELD(s, rings_direct),
			     FIELD(s, rings_host), FIELD(s, wakes_sent), FIELD(s, wakes_suppressed),
			     FIELD(s, spins_paid), FIELD(s, spins_unpaid), FIELD(s, sleeps), FIELD(s, control_calls),
			     FIELD(s, links), FIELD(s, regions), FIELD(s, bytes));
}

static PyObject *quota(const struct ism_quota *q)
{
	return Py_BuildValue("{sK sI sI sI sI sI}", FIELD(*q, bytes), "regions", q->regions, "grants", q->grants,
			     "attach_rate", q->attach_rate, "notify_rate", q->notify_rate, "devices", q->devices);
}

static PyObject *device_domain(struct device_object *self, PyObject *unused)
{
	struct ism_domain_info d = { .size = sizeof d };
	struct ism_device *dev = ismpy_device(self);
	int r;

	(void)unused;
	if (dev == NULL)
		return NULL;
	ismpy_enter(self, NULL);
	Py_BEGIN_ALLOW_THREADS
	r = ism_query_domain(dev, &d);
	Py_END_ALLOW_THREADS
	ismpy_leave(self, NULL);
	if (r < 0)
		return ismpy_error(r);
	return Py_BuildValue("{sK sK sK sK sI sI ss sN sN sI sK sK sK sK sK sK sK sK sK}", FIELD(d, gid),
			     FIELD(d, devices), FIELD(d, regions), FIELD(d, bytes), "host", d.host, "host_uid",
			     d.host_uid, "version", d.version, "device_quota", quota(&d.device_quota), "user_quota",
			     quota(&d.user_quota), "counted", d.counted, FIELD(d, devices_ever), FIELD(d, allocs),
			     FIELD(d, attaches), FIELD(d, detaches), FIELD(d, failed), FIELD(d, over_quota),
			     FIELD(d, commands), FIELD(d, rings), FIELD(d, kicks));
}

/* ------------------------------------------------------------------ listings */

union entries {
	struct ism_device_entry device[LIST_MAX];
	struct ism_region_entry region[LIST_MAX];
	struct ism_referrer_entry referrer[LIST_MAX];
	struct ism_user_entry user[LIST_MAX];
};

enum listing { DEVICES, REGIONS, REFERRERS, USERS };

static int list_page(struct ism_device *dev, enum listing what, uint64_t token, union entries *e, uint64_t *cursor)
{
	switch (what) {
	case DEVICES:
		return ism_list_devices(dev, e->device, LIST_MAX, sizeof e->device[0], cursor);
	case REGIONS:
		return ism_list_regions(dev, e->region, LIST_MAX, sizeof e->region[0], cursor);
	case USERS:
		return ism_list_users(dev, e->user, LIST_MAX, sizeof e->user[0], cursor);
	default:
		return ism_list_referrers(dev, token, e->referrer, LIST_MAX, sizeof e->referrer[0], cursor);
	}
}

static PyObject *list_entry(enum listing what, const union entries *e, int i)
{
	const struct ism_device_entry *d = &e->device[i];
	const struct ism_region_entry *r = &e->region[i];
	const struct ism_referrer_entry *f = &e->referrer[i];
	const struct ism_user_entry *u = &e->user[i];

	switch (what) {
	case DEVICES:
		return Py_BuildValue("{sK sK sK sK sI sI si sI ss}", FIELD(*d, devid), FIELD(*d, window_size),
				     FIELD(*d, bytes), FIELD(*d, failed), "regions", d->regions, "uid", d->uid, "pid",
				     d->pid, "self", d->self, "name", d->name);
	case REGIONS:
		return Py_BuildValue("{sK sK sK sK sK sI sI sI sI sK sI}", FIELD(*r, serial), FIELD(*r, token),
				     FIELD(*r, region_size), FIELD(*r, requested_size), FIELD(*r, creator),
				     "creator_uid", r->creator_uid, "referrers", r->referrers, "default_rights",
				     r->default_rights, "ended", r->ended, FIELD(*r, successor), "replaced",
				     r->replaced);
	case USERS:
		return Py_BuildValue("{sI sI sI sI sK sK sK}", "uid", u->uid, "devices", u->devices, "regions", u->regions,
				     "grants", u->grants, FIELD(*u, bytes), FIELD(*u, failed), FIELD(*u, over_quota));
	default:
		return Py_BuildValue("{sK sI sI sI sI sI}", FIELD(*f, devid), "uid", f->uid, "attached", f->attached,
				     "rights", f->rights, "creator", f->creator, "shut_out", f->shut_out);
	}
}

static PyObject *device_list(struct device_object *self, PyObject *args)
{
	PyObject *list = PyList_New(0);
	unsigned long long token;
	union entries e;
	uint64_t cursor = 0;
	int what, n;

	if (list == NULL || !PyArg_ParseTuple(args, "iK", &what, &token) || ismpy_device(self) == NULL)
		goto err;
	do {
		ismpy_enter(self, NULL);
		Py_BEGIN_ALLOW_THREADS
		n = list_page(self->dev, (enum listing)what, token, &e, &cursor);
		Py_END_ALLOW_THREADS
		ismpy_leave(self, NULL);
		if (n < 0) {
			ismpy_error(n);
			goto err;
		}
		for (int i = 0; i < n; i++) {
			PyObject *entry = list_entry((enum listing)what, &e, i);
			int r = entry == NULL ? -1 : PyList_Append(list, entry);
			Py_XDECREF(entry);
			if (r < 0)
				goto err;
		}
	} while (cursor != 0 && ismpy_device(self) != NULL);
	if (!PyErr_Occurred())
		return list;
err:
	Py_XDECREF(list);
	return NULL;
}

static PyObject *device_kick(struct device_object *self, PyObject *args)
{
	struct ism_device *dev = ismpy_device(self);
	unsigned long long devid;
	int r;

	if (dev == NULL || !PyArg_ParseTuple(args, "K", &devid))
		return NULL;
	ismpy_enter(self, NULL);
	Py_BEGIN_ALLOW_THREADS
	r = ism_kick_device(dev, devid);
	Py_END_ALLOW_THREADS
	ismpy_leave(self, NULL);
	return ismpy_none(r);
}

/* ------------------------------------------------------------------ events */

/* The object of a handle, new reference; None if it was closed since. */
static PyObject *region_of(const struct device_object *self, const struct ism_event *ev)
{
	PyObject *key = ev->region == NULL ? NULL : PyLong_FromVoidPtr(ev->region), *value = NULL;
	struct region_object *region = NULL;

	if (key != NULL)
		value = PyDict_GetItemWithError(self->by_handle, key);
	Py_XDECREF(key);
	if (value != NULL)
		region = PyLong_AsVoidPtr(value);
	/* A handle that was closed, and its address used anew, while the GIL was gone. */
	if (region == NULL || ism_region_token(region->region) != ev->token)
		Py_RETURN_NONE;
	return Py_NewRef((PyObject *)region);
}

PyObject *ismpy_event(const struct device_object *self, const struct ism_event *ev)
{
	return Py_BuildValue("INKIK", ev->type, region_of(self, ev), (unsigned long long)ev->devid, ev->peers,
			     (unsigned long long)ev->token);
}

static PyObject *device_next_event(struct device_object *self, PyObject *unused)
{
	struct ism_device *dev = ismpy_device(self);
	struct ism_event ev;

	(void)unused;
	if (dev == NULL)
		return NULL;
	int r = ism_event_next(dev, &ev, sizeof ev);
	if (r < 0)
		return ismpy_error(r);
	if (r == 0)
		Py_RETURN_NONE;
	return ismpy_event(self, &ev);
}

struct events {
	struct ism_device *dev;
	struct ism_event ev[EVENTS_MAX];
	size_t nr;
};

static int64_t wait_events(void *arg, int64_t timeout_ns)
{
	struct events *e = arg;

	return ism_wait(e->dev, e->ev, e->nr, sizeof e->ev[0], timeout_ns);
}

static PyObject *device_wait_events(struct device_object *self, PyObject *args)
{
	struct events e = { .dev = ismpy_device(self) };
	int64_t timeout = -1;
	PyObject *list;
	Py_ssize_t max;

	if (e.dev == NULL || !PyArg_ParseTuple(args, "nO&", &max, ismpy_timeout, &timeout))
		return NULL;
	e.nr = max < 1 ? 0 : max > EVENTS_MAX ? EVENTS_MAX : (size_t)max;
	int64_t n = ismpy_wait(self, NULL, wait_events, &e, timeout, 0);
	if (n < 0)
		return NULL;
	list = PyList_New(0);
	for (int64_t i = 0; i < n && list != NULL; i++) {
		PyObject *ev = ismpy_event(self, &e.ev[i]);
		if (ev == NULL || PyList_Append(list, ev) < 0)
			Py_CLEAR(list);
		Py_XDECREF(ev);
	}
	return list;
}

static PyObject *device_fileno(struct device_object *self, PyObject *unused)
{
	struct ism_device *dev = ismpy_device(self);

	(void)unused;
	if (dev == NULL)
		return NULL;
	int r = ism_fd(dev);
	return r < 0 ? ismpy_error(r) : PyLong_FromLong(r);
}

static PyObject *device_interrupt(struct device_object *self, PyObject *unused)
{
	struct ism_device *dev = ismpy_device(self);

	(void)unused;
	if (dev == NULL)
		return NULL;
	self->interrupts++;
	return ismpy_none(ism_interrupt(dev));
}

static PyObject *device_get_closed(PyObject *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(((struct device_object *)self)->dev == NULL);
}

/* ------------------------------------------------------------------ the type */

static PyMethodDef methods[] = {
	{ "close", (PyCFunction)device_close, METH_NOARGS,
	  "close()\n--\n\nClose the device, all its regions and rings, and end the waits on it.\n\n"
	  "Raises BufferError, and closes nothing, while a buffer shows the memory of one of its regions." },
	{ "_info", (PyCFunction)device_info, METH_NOARGS, NULL },
	{ "_stats", (PyCFunction)device_stats, METH_NOARGS, NULL },
	{ "_domain", (PyCFunction)device_domain, METH_NOARGS, NULL },
	{ "_list", (PyCFunction)device_list, METH_VARARGS, NULL },
	{ "kick", (PyCFunction)device_kick, METH_VARARGS,
	  "kick(devid, /)\n--\n\nTake another device off the domain, as if its process had died.\n\n"
	  "The host's user and root may do that, nobody else." },
	{ "_next_event", (PyCFunction)device_next_event, METH_NOARGS, NULL },
	{ "_wait_events", (PyCFunction)device_wait_events, METH_VARARGS, NULL },
	{ "fileno", (PyCFunction)device_fileno, METH_NOARGS,
	  "fileno()\n--\n\nA descriptor to poll: readable while there are events.  It is the device's: do not close it." },
	{ "interrupt", (PyCFunction)device_interrupt, METH_NOARGS,
	  "interrupt()\n--\n\nEnd the waits on this device: each raises InterruptedError; without any, the next does." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef getset[] = {
	{ "closed", device_get_closed, NULL, "True after close().", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot slots[] = {
	{ Py_tp_doc, "A device: one endpoint of a sharing domain." },
	{ Py_tp_dealloc, device_dealloc },
	{ Py_tp_finalize, device_finalize },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getset },
	{ 0, NULL },
};

PyType_Spec device_spec = {
	.name = "ism._ism.Device",
	.basicsize = sizeof(struct device_object),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = slots,
};

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * ring.c - one end of a ring.
 *
 * The library wants one thread at a time at an end.  Here each end has a lock,
 * so that threads take turns; what can be done at once is done without letting
 * the GIL go.
 */
#include "ismmodule.h"

#include <errno.h>

/* Copying more than this is worth letting other threads run. */
enum { LONG_COPY = 64 * 1024 };

/* ------------------------------------------------------------------ make, close */

PyObject *ismpy_ring(PyObject *module, PyObject *args)
{
	const struct module_state *state = PyModule_GetState(module);
	struct ism_ring_opts opts = { .size = sizeof opts };
	PyObject *cls, *region;
	unsigned int role;
	int create, r;

	if (!PyArg_ParseTuple(args, "OO!pInn", &cls, state->region_type, &region, &create, &role, &opts.offset,
			      &opts.length))
		return NULL;
	struct region_object *of = (struct region_object *)region;
	struct ism_region *handle = ismpy_region(of);
	struct ring_object *self = handle == NULL ? NULL : ismpy_new(cls, state->ring_type);
	if (self == NULL)
		return NULL;
	atomic_init(&self->closing, false);
	self->lock = PyThread_allocate_lock();
	if (self->lock == NULL) {
		Py_DECREF(self);
		return PyErr_NoMemory();
	}
	self->lease = ismpy_new((PyObject *)state->lease_type, state->lease_type);
	if (self->lease == NULL) {
		Py_DECREF(self);
		return NULL;
	}
	self->lease->region = (struct region_object *)Py_NewRef(region);
	r = create ? ism_ring_create(handle, role, &opts, &self->ring) : ism_ring_attach(handle, role, &opts, &self->ring);
	if (r < 0) {
		Py_DECREF(self);
		return ismpy_error(r);
	}
	self->region = (struct region_object *)Py_NewRef(region);
	self->next = of->rings;
	self->prev = &of->rings;
	if (self->next != NULL)
		self->next->prev = &self->next;
	of->rings = self;
	return (PyObject *)self;
}

void ismpy_ring_shut(struct ring_object *self)
{
	struct ism_ring *ring = self->ring;

	*self->prev = self->next;
	if (self->next != NULL)
		self->next->prev = self->prev;
	self->ring = NULL;
	ism_ring_close(ring);
}

static struct ism_ring *ring_open(struct ring_object *self)
{
	if (self->ring == NULL || atomic_load(&self->closing)) {
		ismpy_closed("ring");
		return NULL;
	}
	return ismpy_region(self->region) == NULL ? NULL : self->ring;
}

/* Wait for our turn; NULL, and an exception, if the ring is closed. */
static struct ism_ring *ring_lock(struct ring_object *self)
{
	PyLockStatus got = PyThread_acquire_lock_timed(self->lock, 0, 0);

	while (got != PY_LOCK_ACQUIRED) {
		if (ring_open(self) == NULL || PyErr_CheckSignals() < 0)
			return NULL;
		Py_BEGIN_ALLOW_THREADS
		got = PyThread_acquire_lock_timed(self->lock, 200000, 0);
		Py_END_ALLOW_THREADS
	}
	struct ism_ring *ring = ring_open(self);
	if (ring == NULL)
		PyThread_release_lock(self->lock);
	return ring;
}

static void ring_unlock(struct ring_object *self)
{
	PyThread_release_lock(self->lock);
}

static PyObject *ring_close(struct ring_object *self, PyObject *unused)
{
	(void)unused;
	if (self->ring == NULL || atomic_exchange(&self->closing, true))
		Py_RETURN_NONE;
	while (PyThread_acquire_lock_timed(self->lock, 0, 0) != PY_LOCK_ACQUIRED) {
		if (self->region->device->dev != NULL)
			ism_interrupt(self->region->device->dev);
		Py_BEGIN_ALLOW_THREADS
		if (PyThread_acquire_lock_timed(self->lock, 1000, 0) == PY_LOCK_ACQUIRED)
			PyThread_release_lock(self->lock);
		Py_END_ALLOW_THREADS
	}
	if (self->ring != NULL)	/* else the region was closed meanwhile */
		ismpy_ring_shut(self);
	Py_CLEAR(self->lent);
	ring_unlock(self);
	Py_RETURN_NONE;
}

static void ring_dealloc(PyObject *self)
{
	struct ring_object *r = (struct ring_object *)self;

	if (r->ring != NULL)
		ismpy_ring_shut(r);
	Py_CLEAR(r->lent);
	Py_CLEAR(r->lease);
	Py_CLEAR(r->region);
	if (r->lock != NULL)
		PyThread_free_lock(r->lock);
	ismpy_free(self);
}

/* ------------------------------------------------------------------ whole records, copied */

struct transfer {
	struct ring_object *self;
	struct ism_ring *ring;
	void *buf;		/* several records: an array of struct ism_ring_buf */
	size_t len;		/* bytes, also of several */
	size_t nr;
};

static int64_t wait_write(void *arg, int64_t timeout_ns)
{
	const struct transfer *t = arg;

	return atomic_load(&t->self->closing) ? -EBADF : ism_ring_write(t->ring, t->buf, t->len, timeout_ns);
}

static int64_t wait_read(void *arg, int64_t timeout_ns)
{
	const struct transfer *t = arg;

	return atomic_load(&t->self->closing) ? -EBADF : ism_ring_read(t->ring, t->buf, t->len, timeout_ns);
}

static int64_t wait_ready(void *arg, int64_t timeout_ns)
{
	const struct transfer *t = arg;

	return atomic_load(&t->self->closing) ? -EBADF : ism_ring_wait(t->ring, t->len, timeout_ns);
}

static int64_t wait_write_many(void *arg, int64_t timeout_ns)
{
	const struct transfer *t = arg;

	return atomic_load(&t->self->closing) ? -EBADF : ism_ring_write_many(t->ring, t->buf, t->nr, timeout_ns);
}

/* At once if that is possible, else wait.  Below 0: an exception is set. */
static int64_t transfer(struct transfer *t, ismpy_waiter call, int64_t timeout_ns)
{
	int64_t r = -EAGAIN;

	if (t->len <= LONG_COPY || timeout_ns == 0)
		r = call(t, 0);
	if (r == -EAGAIN && timeout_ns != 0)
		return ismpy_wait(t->self->region->device, t->self->region, call, t, timeout_ns, -ETIMEDOUT);
	if (r < 0)
		ismpy_error(r);
	return r;
}

static PyObject *ring_send(struct ring_object *self, PyObject *args)
{
	int64_t timeout = -1, r = -1;
	Py_buffer data;

	if (!PyArg_ParseTuple(args, "y*|O&", &data, ismpy_timeout, &timeout))
		return NULL;
	struct transfer t = { self, ring_lock(self), data.buf, (size_t)data.len, 1 };
	if (t.ring != NULL) {
		r = transfer(&t, wait_write, timeout);
		ring_unlock(self);
	}
	PyBuffer_Release(&data);
	if (r < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *ring_recv_into(struct ring_object *self, PyObject *args)
{
	int64_t timeout = -1, r = -1;
	Py_buffer buf;

	if (!PyArg_ParseTuple(args, "w*|O&", &buf, ismpy_timeout, &timeout))
		return NULL;
	struct transfer t = { self, ring_lock(self), buf.buf, (size_t)buf.len, 1 };
	if (t.ring != NULL) {
		r = transfer(&t, wait_read, timeout);
		ring_unlock(self);
	}
	PyBuffer_Release(&buf);
	return r < 0 ? NULL : PyLong_FromLongLong(r);
}

/* The record that is there, as bytes; its memory belongs to a peer that may write: the length is ours. */
static PyObject *take_record(struct ring_object *self, struct ism_ring *ring)
{
	const void *record;
	size_t len;
	int r = ism_ring_peek(ring, &record, &len);

	if (r < 0)
		return ismpy_error(r);
	PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);
	if (bytes == NULL)
		return NULL;
	struct transfer t = { self, ring, PyBytes_AsString(bytes), len, 1 };
	r = (int)transfer(&t, wait_read, len > LONG_COPY ? -1 : 0);
	if (r < 0)
		Py_CLEAR(bytes);
	return bytes;
}

static PyObject *ring_recv(struct ring_object *self, PyObject *args)
{
	PyObject *bytes = NULL;
	int64_t timeout = -1;

	if (!PyArg_ParseTuple(args, "|O&", ismpy_timeout, &timeout))
		return NULL;
	struct transfer t = { self, ring_lock(self), NULL, 0, 1 };
	if (t.ring == NULL)
		return NULL;
	if (transfer(&t, wait_ready, timeout) >= 0)
		bytes = take_record(self, t.ring);
	ring_unlock(self);
	return bytes;
}

static PyObject *ring_wait(struct ring_object *self, PyObject *args)
{
	int64_t timeout = -1, r;
	Py_ssize_t len = 0;

	if (!PyArg_ParseTuple(args, "|O&n", ismpy_timeout, &timeout, &len))
		return NULL;
	if (len < 0)
		return PyErr_Format(PyExc_ValueError, "room for %zd bytes: expected 0 or more", len);
	struct transfer t = { self, ring_lock(self), NULL, (size_t)len, 1 };
	if (t.ring == NULL)
		return NULL;
	r = transfer(&t, wait_ready, timeout);
	ring_unlock(self);
	if (r < 0)
		return NULL;
	Py_RETURN_NONE;
}

/* ------------------------------------------------------------------ several records at once */

/* The records of a tuple, held while they are written. */
struct records {
	Py_buffer *held;
	struct ism_ring_buf *buf;
	Py_ssize_t nr;
	size_t len;
};

static void let_go(struct records *r)
{
	while (r->nr > 0)
		PyBuffer_Release(&r->held[--r->nr]);
	PyMem_Free(r->held);
	PyMem_Free(r->buf);
}

/* 0, or -1 and an exception. */
static int hold(struct records *r, PyObject *tuple, Py_ssize_t nr)
{
	*r = (struct records){ .held = PyMem_Calloc((size_t)nr, sizeof *r->held),
			       .buf = PyMem_Calloc((size_t)nr, sizeof *r->buf) };
	if (r->held == NULL || r->buf == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	for (; r->nr < nr; r->nr++) {
		Py_buffer *held = &r->held[r->nr];
		if (PyObject_GetBuffer(PyTuple_GetItem(tuple, r->nr), held, PyBUF_SIMPLE) < 0)
			return -1;
		r->buf[r->nr] = (struct ism_ring_buf){ held->buf, (size_t)held->len };
		r->len += (size_t)held->len;
	}
	return 0;
}

static PyObject *ring_send_many(struct ring_object *self, PyObject *args)
{
	struct records records = { .nr = 0 };
	int64_t timeout = -1, r = -1;
	PyObject *iterable, *tuple;

	if (!PyArg_ParseTuple(args, "O|O&", &iterable, ismpy_timeout, &timeout))
		return NULL;
	tuple = PySequence_Tuple(iterable);
	Py_ssize_t nr = tuple == NULL ? -1 : PyTuple_Size(tuple);
	if (nr >= 0 && hold(&records, tuple, nr) == 0) {
		struct transfer t = { self, ring_lock(self), records.buf, records.len, (size_t)nr };
		if (t.ring != NULL) {
			r = nr == 0 ? 0 : transfer(&t, wait_write_many, timeout);
			ring_unlock(self);
		}
	}
	let_go(&records);
	Py_XDECREF(tuple);
	return r < 0 ? NULL : PyLong_FromLongLong(r);
}

enum { READ_AT_ONCE = 64, SHORT_RECORD = 256 };

/*
 * Records of up to LONG_COPY bytes, of which the first has @len, through @room, which
 * is as large: those behind it may be longer than what is left for them, which ends
 * this.  How many, or below 0; -1 is an exception.
 */
static int64_t take_short(struct ism_ring *ring, PyObject *list, char *room, size_t len, Py_ssize_t max)
{
	size_t step = len < SHORT_RECORD ? SHORT_RECORD : len;
	struct ism_ring_buf buf[READ_AT_ONCE];
	int nr = 0, r;

	for (; nr < READ_AT_ONCE && nr < max && step * ((size_t)nr + 1) <= LONG_COPY; nr++)
		buf[nr] = (struct ism_ring_buf){ room + step * (size_t)nr, step };
	r = ism_ring_read_many(ring, buf, (size_t)nr, 0);
	if (r == -EMSGSIZE)	/* it had @len bytes */
		return -EPROTO;
	for (int i = 0; i < r; i++) {
		PyObject *one = PyBytes_FromStringAndSize(buf[i].data, (Py_ssize_t)buf[i].len);
		int added = one == NULL ? -1 : PyList_Append(list, one);
		Py_XDECREF(one);
		if (added < 0)
			return -1;
	}
	return r;
}

/* A record of more than LONG_COPY bytes, which may take a while. */
static int take_long(struct ring_object *self, struct ism_ring *ring, PyObject *list)
{
	PyObject *one = take_record(self, ring);
	int r = one == NULL ? -1 : PyList_Append(list, one);

	Py_XDECREF(one);
	return r;
}

/* What is there, up to @max records; what is wrong behind the first is for the next call. */
static int take_all(struct ring_object *self, struct ism_ring *ring, PyObject *list, Py_ssize_t max)
{
	char *room = PyMem_Malloc(LONG_COPY);
	Py_ssize_t nr = 0;
	const void *record;
	int64_t r = 0;
	size_t len;

	if (room == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	for (; nr < max; nr += (Py_ssize_t)r) {
		/* After the first, only a look: the peer is not asked to ring for more. */
		r = nr == 0 ? 0 : ism_ring_wait(ring, 0, 0);
		if (r == 0)
			r = ism_ring_peek(ring, &record, &len);
		if (r == 0 && len > LONG_COPY) {
			if (nr == 0)
				r = take_long(self, ring, list);
			break;
		}
		if (r == 0)
			r = take_short(ring, list, room, len, max - nr);
		if (r < 0)
			break;
	}
	PyMem_Free(room);
	if (nr == 0 && r < 0 && !PyErr_Occurred())
		ismpy_error(r);
	return PyErr_Occurred() ? -1 : 0;
}

static PyObject *ring_recv_many(struct ring_object *self, PyObject *args)
{
	PyObject *list = NULL;
	int64_t timeout = -1;
	Py_ssize_t max;

	if (!PyArg_ParseTuple(args, "n|O&", &max, ismpy_timeout, &timeout))
		return NULL;
	if (max < 1)
		return PyErr_Format(PyExc_ValueError, "%zd records: expected 1 or more", max);
	struct transfer t = { self, ring_lock(self), NULL, 0, 1 };
	if (t.ring == NULL)
		return NULL;
	if (transfer(&t, wait_ready, timeout) >= 0)
		list = PyList_New(0);
	if (list != NULL && take_all(self, t.ring, list, max) < 0)
		Py_CLEAR(list);
	ring_unlock(self);
	return list;
}

/* ------------------------------------------------------------------ in place */

static PyObject *ring_reserve(struct ring_object *self, PyObject *args)
{
	PyObject *view = NULL;
	Py_ssize_t len;
	void *room;

	if (!PyArg_ParseTuple(args, "n", &len))
		return NULL;
	if (len < 0)
		return PyErr_Format(PyExc_ValueError, "room for %zd bytes: expected 0 or more", len);
	struct ism_ring *ring = ring_lock(self);
	if (ring == NULL)
		return NULL;
	if (ismpy_call_back(self) == 0) {
		int r = ism_ring_reserve(ring, (size_t)len, &room);
		if (r == -EAGAIN) {
			view = Py_NewRef(Py_None);
		} else {
			view = r < 0 ? ismpy_error(r) : ismpy_lend(self, room, (size_t)len, false);
		}
	}
	ring_unlock(self);
	return view;
}

static PyObject *ring_commit(struct ring_object *self, PyObject *args)
{
	PyObject *done = NULL;
	Py_ssize_t len = -1;

	if (!PyArg_ParseTuple(args, "|n", &len))
		return NULL;
	struct ism_ring *ring = ring_lock(self);
	if (ring == NULL)
		return NULL;
	if (len < 0)
		len = self->lease->len;
	if (ismpy_call_back(self) == 0)
		done = ismpy_none(ism_ring_commit(ring, (size_t)len));
	ring_unlock(self);
	return done;
}

static PyObject *ring_peek(struct ring_object *self, PyObject *unused)
{
	struct ism_ring *ring = ring_lock(self);
	PyObject *view = NULL;
	const void *record;
	size_t len;

	(void)unused;
	if (ring == NULL)
		return NULL;
	if (ismpy_call_back(self) == 0) {
		int r = ism_ring_peek(ring, &record, &len);
		if (r == -EAGAIN) {
			view = Py_NewRef(Py_None);
		} else {
			view = r < 0 ? ismpy_error(r) : ismpy_lend(self, record, len, true);
		}
	}
	ring_unlock(self);
	return view;
}

static PyObject *ring_release(struct ring_object *self, PyObject *unused)
{
	struct ism_ring *ring = ring_lock(self);
	PyObject *done = NULL;

	(void)unused;
	if (ring == NULL)
		return NULL;
	if (ismpy_call_back(self) == 0)
		done = ismpy_none(ism_ring_release(ring));
	ring_unlock(self);
	return done;
}

/* ------------------------------------------------------------------ describe */

static PyObject *ring_fileno(struct ring_object *self, PyObject *unused)
{
	struct ism_ring *ring = ring_lock(self);

	(void)unused;
	if (ring == NULL)
		return NULL;
	int r = ism_ring_fd(ring);
	ring_unlock(self);
	return r < 0 ? ismpy_error(r) : PyLong_FromLong(r);
}

static PyObject *get_max_record(PyObject *self, void *unused)
{
	const struct ism_ring *ring = ring_open((struct ring_object *)self);

	(void)unused;
	return ring == NULL ? NULL : PyLong_FromSize_t(ism_ring_max_record(ring));
}

static PyObject *get_closed(PyObject *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(((struct ring_object *)self)->ring == NULL);
}

static PyObject *get_region(PyObject *self, void *unused)
{
	(void)unused;
	return Py_NewRef((PyObject *)((struct ring_object *)self)->region);
}

/* ------------------------------------------------------------------ the type */

static PyMethodDef methods[] = {
	{ "close", (PyCFunction)ring_close, METH_NOARGS,
	  "close()\n--\n\nLet go of this end.  A reader at the other end reads what is there, then the end." },
	{ "send", (PyCFunction)ring_send, METH_VARARGS,
	  "send(data, timeout=None, /)\n--\n\nWrite one record, copying it; wait for room if need be." },
	{ "recv", (PyCFunction)ring_recv, METH_VARARGS,
	  "recv(timeout=None, /)\n--\n\nRead one record as bytes; wait for it if need be.\n\n"
	  "Raises BrokenPipeError at the end, TimeoutError, or BlockingIOError where timeout is 0." },
	{ "send_many", (PyCFunction)ring_send_many, METH_VARARGS,
	  "send_many(records, timeout=None, /)\n--\n\nWrite records, copying them, and return how many were written.\n\n"
	  "Waits for room for the first; the others follow as far as there is room at once.  For short\n"
	  "records much cheaper than so many calls of send()." },
	{ "recv_many", (PyCFunction)ring_recv_many, METH_VARARGS,
	  "recv_many(count, timeout=None, /)\n--\n\nRead up to count records, and return them as a list of bytes.\n\n"
	  "Waits for the first, as recv() does, and takes others that are there already; a record of\n"
	  "more than 64 KiB comes alone." },
	{ "recv_into", (PyCFunction)ring_recv_into, METH_VARARGS,
	  "recv_into(buffer, timeout=None, /)\n--\n\nRead one record into a buffer, and return its length." },
	{ "wait", (PyCFunction)ring_wait, METH_VARARGS,
	  "wait(timeout=None, nbytes=0, /)\n--\n\nWait until there is a record to read, or room for one of nbytes." },
	{ "reserve", (PyCFunction)ring_reserve, METH_VARARGS,
	  "reserve(nbytes, /)\n--\n\nRoom for a record as a memoryview, to be filled in place; None if the ring is full." },
	{ "commit", (PyCFunction)ring_commit, METH_VARARGS,
	  "commit(nbytes=-1, /)\n--\n\nPublish the reserved record, or the first nbytes of it; its view is released." },
	{ "peek", (PyCFunction)ring_peek, METH_NOARGS,
	  "peek()\n--\n\nThe next record in place, as a memoryview; None if there is none.\n\n"
	  "A hostile peer may change it while you look: copy what you check." },
	{ "release", (PyCFunction)ring_release, METH_NOARGS,
	  "release()\n--\n\nGive the room of the record that was peeked at back; its view is released." },
	{ "fileno", (PyCFunction)ring_fileno, METH_NOARGS,
	  "fileno()\n--\n\nA descriptor, the region's: readable when it is worth calling again." },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef getset[] = {
	{ "closed", get_closed, NULL, "True after close().", NULL },
	{ "region", get_region, NULL, "The region it lies in.", NULL },
	{ "max_record", get_max_record, NULL, "The largest record, bytes.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot slots[] = {
	{ Py_tp_doc, "One end of a ring: records from one writer to one reader." },
	{ Py_tp_dealloc, ring_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, getset },
	{ 0, NULL },
};

PyType_Spec ring_spec = {
	.name = "ism._ism.Ring",
	.basicsize = sizeof(struct ring_object),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = slots,
};

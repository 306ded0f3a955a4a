// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism

// #include "glue.h"
import "C"

import (
	"io"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// A deadline closes a channel when its time has come.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	past  chan struct{}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	// A new channel: the old timer may still close the old one.
	past := make(chan struct{})
	d.past = past
	if t.IsZero() {
		return
	}
	if left := time.Until(t); left > 0 {
		d.timer = time.AfterFunc(left, func() { close(past) })
	} else {
		close(past)
	}
}

func (d *deadline) channel() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.past == nil {
		d.past = make(chan struct{})
	}
	return d.past
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// An end is one end of a ring. One goroutine at a time uses it; others queue.
type end struct {
	c        *C.struct_ism_ring
	region   *Region
	reads    bool
	turn     chan struct{} // holds a token while the end is in use
	closed   chan struct{}
	once     sync.Once
	deadline deadline
	lent     []byte // the rest of a record that was too long
	several  *batch // for WriteMany and ReadMany, once one was called
}

// A batch is what carries several records between Go and C.
type batch struct {
	slots [C.GO_MANY]C.struct_go_slot
	data  [64 << 10]byte
}

func newEnd(r *Region, create, reads bool, place Place) (*end, error) {
	done, err := r.use("ring")
	if err != nil {
		return nil, err
	}
	defer done()
	role := C.uint32_t(C.ISM_RING_WRITER)
	if reads {
		role = C.ISM_RING_READER
	}
	var make_ C.int
	if create {
		make_ = 1
	}
	if place.Offset < 0 || place.Length < 0 {
		return nil, failed("ring", syscall.EINVAL, "a negative offset or length")
	}
	res := C.go_ring(r.c, make_, role, C.size_t(place.Offset), C.size_t(place.Length))
	if err := check("ring", res); err != nil {
		return nil, err
	}
	e := &end{
		c: (*C.struct_ism_ring)(res.ptr), region: r, reads: reads,
		turn: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	if !r.rings.add(e) {
		C.ism_ring_close(e.c)
		return nil, errClosed("ring")
	}
	return e, nil
}

func (e *end) op() string {
	if e.reads {
		return "read"
	}
	return "write"
}

// lock waits for the end's turn.
func (e *end) lock() error {
	if err := e.over(); err != nil {
		return err
	}
	for {
		select {
		case e.turn <- struct{}{}:
			if err := e.over(); err != nil {
				<-e.turn
				return err
			}
			return nil
		case <-e.closed:
			return errClosed(e.op())
		case <-e.deadline.channel():
			if err := e.over(); err != nil {
				return err
			} // else it has been moved
		}
	}
}

// lockLate is lock for what waits for nobody but whoever has the turn: it can be
// done after the deadline, too.
func (e *end) lockLate() error {
	select {
	case e.turn <- struct{}{}:
		if isClosed(e.closed) {
			<-e.turn
			return errClosed(e.op())
		}
		return nil
	case <-e.closed:
		return errClosed(e.op())
	}
}

func (e *end) unlock() { <-e.turn }

// over says why nothing can be done any more.
func (e *end) over() error {
	if isClosed(e.closed) {
		return errClosed(e.op())
	}
	if isClosed(e.deadline.channel()) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// park waits until the peer rings.
func (e *end) park() error {
	if err := e.region.watch(); err != nil {
		return err
	}
	select {
	case <-e.region.bell:
		return nil
	case <-e.closed:
		return errClosed(e.op())
	case <-e.deadline.channel():
		return e.over()
	}
}

// Close lets go of the end: the peer is told.
func (e *end) Close() error {
	first := false
	e.once.Do(func() {
		first = true
		close(e.closed)
		e.turn <- struct{}{} // whoever has it gives it back: closed ends its wait
		C.ism_ring_close(e.c)
		e.c, e.lent, e.several = nil, nil, nil
		e.region.rings.remove(e)
	})
	if !first {
		return errClosed("close")
	}
	return nil
}

// setDeadline also ends waits under way that are too long by the new one.
func (e *end) setDeadline(t time.Time) error {
	if isClosed(e.closed) {
		return errClosed("set deadline")
	}
	e.deadline.set(t)
	e.region.ring()
	return nil
}

// errAgain: not now, and the peer has been asked to ring.
var errAgain error = syscall.EAGAIN

// take reads a record, or what is left of one, into p. A record that does not fit
// is left, or its rest kept, as keep says.
func (e *end) take(p []byte, keep bool) (int, error) {
	for {
		n, err := e.tryTake(p, keep)
		if err != errAgain {
			return n, err
		}
		if err := e.park(); err != nil {
			return 0, err
		}
		if err := e.over(); err != nil {
			return 0, err
		}
	}
}

func (e *end) tryTake(p []byte, keep bool) (int, error) {
	if len(e.lent) > 0 {
		return e.rest(p, keep)
	}
	look := func(effort C.int) C.struct_go_result {
		return C.go_ring_take(unsafe.Pointer(e.region.c), unsafe.Pointer(e.c), bytesOf(p), C.size_t(len(p)), effort)
	}
	res := look(C.GO_LOOK)
	if res.r == -C.EAGAIN {
		res = e.slow(look)
	}
	switch {
	case res.ptr != nil:
		e.lent = unsafe.Slice((*byte)(res.ptr), int(res.len))
		return e.rest(p, keep)
	case res.r == -C.EAGAIN:
		return 0, errAgain
	}
	return e.outcome(res)
}

// slowCalls are those that may take a while, or find a lock taken: so many may
// keep a thread at one time, however many goroutines wait.
var slowCalls = make(chan struct{}, 4)

// slow makes the call that asks the peer to ring. It spins if nobody else is
// about to wait, for then there may be a processor to spare.
func (e *end) slow(call func(effort C.int) C.struct_go_result) C.struct_go_result {
	slowCalls <- struct{}{}
	defer func() { <-slowCalls }()
	effort := C.int(C.GO_ASK)
	if e.region.changed.Swap(false) {
		effort = C.GO_CHECK
	} else if len(slowCalls) == 1 {
		effort = C.GO_SPIN
	}
	res := call(effort)
	if effort == C.GO_CHECK && res.r < 0 && res.r != -C.EAGAIN {
		e.region.changed.Store(true) // what is wrong now is wrong at the next look
	}
	return res
}

// nowhere is what an empty slice begins at, for C.
var nowhere [1]byte

// bytesOf is a slice for C. The type matters: see glue.h.
func bytesOf(p []byte) *C.uchar {
	if len(p) == 0 {
		p = nowhere[:]
	}
	return (*C.uchar)(unsafe.Pointer(&p[0]))
}

func (e *end) rest(p []byte, keep bool) (int, error) {
	if !keep {
		e.lent = nil // it is still in the ring, and will be lent again
		return 0, io.ErrShortBuffer
	}
	n := copy(p, e.lent)
	if e.lent = e.lent[n:]; len(e.lent) == 0 {
		e.lent = nil
		C.ism_ring_release(e.c)
	}
	return n, nil
}

// put writes a record.
func (e *end) put(p []byte) error {
	res, err := e.again(func(effort C.int) C.struct_go_result {
		return C.go_ring_put(unsafe.Pointer(e.region.c), unsafe.Pointer(e.c), bytesOf(p), C.size_t(len(p)), effort)
	})
	if err != nil {
		return err
	}
	_, err = e.outcome(res)
	return err
}

// again makes a call, and waits and makes it again, until it says more than "not now".
func (e *end) again(look func(effort C.int) C.struct_go_result) (C.struct_go_result, error) {
	for {
		if !e.reads {
			if err := e.alone(); err != nil {
				return C.struct_go_result{}, err
			}
		}
		res := look(C.GO_LOOK)
		if res.r == -C.EAGAIN {
			res = e.slow(look)
		}
		if res.r != -C.EAGAIN {
			return res, nil
		}
		if err := e.park(); err != nil {
			return C.struct_go_result{}, err
		}
		if err := e.over(); err != nil {
			return C.struct_go_result{}, err
		}
	}
}

// alone says that a writer has no peer any more.
func (e *end) alone() error {
	if e.region.dead.Load() {
		return failed("write", syscall.EPIPE, "the peer died, or detached the ring")
	}
	return nil
}

// lend waits for room for a record of n bytes, or for the next record.
func (e *end) lend(n int) ([]byte, error) {
	var reads C.int
	if e.reads {
		reads = 1
	}
	res, err := e.again(func(effort C.int) C.struct_go_result {
		return C.go_ring_lend(unsafe.Pointer(e.region.c), unsafe.Pointer(e.c), C.size_t(n), reads, effort)
	})
	if err == nil {
		_, err = e.outcome(res)
	}
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(res.ptr), int(res.len)), nil
}

// settle publishes n bytes of what was lent, or gives it back.
func (e *end) settle(n int) error {
	if err := e.lockLate(); err != nil {
		return err
	}
	defer e.unlock()
	var reads C.int
	if e.reads {
		reads = 1
	}
	_, err := e.outcome(C.go_ring_settle(unsafe.Pointer(e.c), C.size_t(n), reads))
	return err
}

// batch is the end's own, while it has the turn.
func (e *end) batch() *batch {
	if e.several == nil {
		e.several = new(batch)
	}
	return e.several
}

// fill takes as many records as one call carries: how many.
func (b *batch) fill(records [][]byte) int {
	n, used := 0, 0
	for n < len(records) && n < len(b.slots) && len(records[n]) <= len(b.data)-used {
		b.slots[n].at, b.slots[n].len = C.uint64_t(used), C.uint64_t(len(records[n]))
		used += copy(b.data[used:], records[n])
		n++
	}
	return n
}

// putMany writes some of the records, at least one, or says why not: how many.
func (e *end) putMany(records [][]byte) (int, error) {
	b := e.batch()
	n := b.fill(records)
	if n < 2 { // one, which may be a large one
		if err := e.put(records[0]); err != nil {
			return 0, err
		}
		return 1, nil
	}
	for done := 0; done < n; {
		res, err := e.again(func(effort C.int) C.struct_go_result {
			return C.go_ring_put_many(unsafe.Pointer(e.region.c), unsafe.Pointer(e.c), bytesOf(b.data[:]), &b.slots[done],
				C.size_t(n-done), effort)
		})
		written := 0
		if err == nil {
			written, err = e.outcome(res)
		}
		if err != nil {
			return done, err
		}
		done += written
	}
	return n, nil
}

// takeMany reads the records that are there, and waits for the first: how many.
func (e *end) takeMany(bufs [][]byte) (int, error) {
	b := e.batch()
	if len(bufs) > len(b.slots) {
		bufs = bufs[:len(b.slots)]
	}
	for i := range bufs {
		b.slots[i].len = C.uint64_t(len(bufs[i]))
	}
	res, err := e.again(func(effort C.int) C.struct_go_result {
		return C.go_ring_take_many(unsafe.Pointer(e.region.c), unsafe.Pointer(e.c), bytesOf(b.data[:]),
			C.size_t(len(b.data)), &b.slots[0], C.size_t(len(bufs)), effort)
	})
	switch {
	case err != nil:
		return 0, err
	case res.ptr != nil: // too long for a batch, or for its buffer
		n, err := e.take(bufs[0], false)
		if err != nil {
			return 0, err
		}
		bufs[0] = bufs[0][:n]
		return 1, nil
	}
	n, err := e.outcome(res)
	for i := 0; i < n; i++ {
		slot := &b.slots[i]
		bufs[i] = bufs[i][:copy(bufs[i], b.data[slot.at:slot.at+slot.len])]
	}
	return n, err
}

func (e *end) outcome(res C.struct_go_result) (int, error) {
	switch {
	case res.r == -C.EPIPE && e.reads:
		C.free(unsafe.Pointer(res.detail))
		return 0, io.EOF
	case res.r == -C.ECONNRESET && !e.reads:
		res.r = -C.EPIPE
	}
	return result(e.op(), res)
}

func (e *end) maxRecord() int { return int(C.ism_ring_max_record(e.c)) }

// A Place says where in its region a ring lies; the zero value: all of it.
type Place struct {
	Offset int // bytes, a multiple of 64
	Length int // bytes; 0: the rest
}

// A RingWriter is the end of a ring that writes: records, whole, in order. Its
// methods may be called from any goroutine.
type RingWriter struct{ e *end }

// A RingReader is the end that reads.
type RingReader struct{ e *end }

// CreateRingWriter makes a ring in the region and is its writing end. Create a
// ring before the peer attaches.
func (r *Region) CreateRingWriter(place Place) (*RingWriter, error) {
	e, err := newEnd(r, true, false, place)
	return &RingWriter{e}, err
}

// AttachRingWriter is the writing end of the ring that is in the region.
func (r *Region) AttachRingWriter(place Place) (*RingWriter, error) {
	e, err := newEnd(r, false, false, place)
	return &RingWriter{e}, err
}

// CreateRingReader makes a ring in the region and is its reading end.
func (r *Region) CreateRingReader(place Place) (*RingReader, error) {
	e, err := newEnd(r, true, true, place)
	return &RingReader{e}, err
}

// AttachRingReader is the reading end of the ring that is in the region.
func (r *Region) AttachRingReader(place Place) (*RingReader, error) {
	e, err := newEnd(r, false, true, place)
	return &RingReader{e}, err
}

// Write writes a record, and waits for room: it is an io.Writer of records.
func (w *RingWriter) Write(p []byte) (int, error) {
	if err := w.e.lock(); err != nil {
		return 0, err
	}
	defer w.e.unlock()
	if err := w.e.put(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteMany writes records, each whole, in order, and waits for room: as so many calls
// of Write would, but up to 64 short ones in one call of C, which is most of their cost.
// It returns how many were written: fewer than there are only with an error, which is
// why the next one was not. EHOSTDOWN: some more may be in the ring, but a reader that
// sleeps could not be woken.
func (w *RingWriter) WriteMany(records [][]byte) (int, error) {
	if err := w.e.lock(); err != nil {
		return 0, err
	}
	defer w.e.unlock()
	for done := 0; done < len(records); {
		n, err := w.e.putMany(records[done:])
		done += n
		if err != nil {
			return done, err
		}
	}
	return len(records), nil
}

// Reserve waits for room for a record of n bytes, as Write does, and returns it: the
// ring's memory itself, to be filled in place and published with Commit. What is in it
// before is undefined. It fails as Write does: EMSGSIZE, if n is more than MaxRecord;
// EPIPE, if the reader is gone; os.ErrDeadlineExceeded; net.ErrClosed. EINVAL: n is
// negative.
//
// The slice is valid until Commit, Reserve or Write succeeds, or the ring, its region or
// the device is closed; after that it must not be touched, because it may belong to
// another record, or be unmapped. A reservation that is not committed publishes nothing:
// the next Reserve or Write takes the room. Goroutines that share a writer need a lock of
// their own from Reserve to Commit.
//
// The peer may read and change these bytes at any moment, before Commit and after:
// do not read back what you rely on.
func (w *RingWriter) Reserve(n int) ([]byte, error) {
	if n < 0 {
		return nil, failed("write", syscall.EINVAL, "room for less than 0 bytes")
	}
	if err := w.e.lock(); err != nil {
		return nil, err
	}
	defer w.e.unlock()
	return w.e.lend(n)
}

// Commit publishes the first n bytes of what Reserve returned, as one record. It does
// not wait for the peer, and has no deadline. EINVAL: nothing is reserved, or less
// than n; then what is reserved stays so. EPIPE, EPROTO: the reader is known to be gone,
// or has damaged the ring. net.ErrClosed: the ring was closed, and nothing is published.
func (w *RingWriter) Commit(n int) error {
	if n < 0 {
		return failed("write", syscall.EINVAL, "a record of less than 0 bytes")
	}
	return w.e.settle(n)
}

// MaxRecord is the largest record that fits.
func (w *RingWriter) MaxRecord() int {
	if w.e.lock() != nil {
		return 0
	}
	defer w.e.unlock()
	return w.e.maxRecord()
}

// SetDeadline is when Write, WriteMany and Reserve fail with os.ErrDeadlineExceeded; zero: never.
func (w *RingWriter) SetDeadline(t time.Time) error { return w.e.setDeadline(t) }

// Close ends the ring: the reader reads what is there, and then io.EOF.
func (w *RingWriter) Close() error { return w.e.Close() }

// Read reads a record, and waits for one: it is an io.Reader of records. io.EOF:
// the writer has closed its end, and all is read. io.ErrShortBuffer: the record is
// longer than p, and still there. ECONNRESET: the writer died.
func (r *RingReader) Read(p []byte) (int, error) {
	if err := r.e.lock(); err != nil {
		return 0, err
	}
	defer r.e.unlock()
	return r.e.take(p, false)
}

// ReadMany reads records, one into each of bufs, and cuts that to the record's length. It
// waits for the first, as Read does, and takes what else is there already, up to 64 in one
// call of C: it returns how many, at least 1, or an error as Read has it. It ends before a
// record that is longer than its buffer; io.ErrShortBuffer: the first one is.
//
//	n, err := r.ReadMany(bufs)
//	for i := range bufs[:n] {
//		use(bufs[i])
//		bufs[i] = bufs[i][:cap(bufs[i])] // for the next call
//	}
func (r *RingReader) ReadMany(bufs [][]byte) (int, error) {
	if err := r.e.lock(); err != nil {
		return 0, err
	}
	defer r.e.unlock()
	if len(bufs) == 0 {
		return 0, nil
	}
	return r.e.takeMany(bufs)
}

// Peek waits for a record, as Read does, and returns it in place: the ring's memory
// itself, to be looked at, not to be written. It stays in the ring: Peek again returns
// it again, and Read reads it. It fails as Read does: io.EOF, if the writer has closed
// its end, and all is read; ECONNRESET, if the writer died; EPROTO, if it has damaged the
// ring; os.ErrDeadlineExceeded; net.ErrClosed.
//
// The slice is valid until Release or Read succeeds, or the ring, its region or the
// device is closed; after that it must not be touched, because the writer may fill it
// anew, or it is unmapped. Goroutines that share a reader need a lock of their own from
// Peek to Release.
//
// The peer may change these bytes while you look: copy what you check, and use the
// copy, or Read.
func (r *RingReader) Peek() ([]byte, error) {
	if err := r.e.lock(); err != nil {
		return nil, err
	}
	defer r.e.unlock()
	return r.e.lend(0)
}

// Release gives the room of the record that Peek returned back to the writer. It does
// not wait for the peer, and has no deadline. EINVAL: Peek has returned none since the
// last one was read or released. EPROTO: the peer has damaged the ring. net.ErrClosed:
// the ring was closed.
func (r *RingReader) Release() error { return r.e.settle(0) }

// MaxRecord is the largest record that there can be.
func (r *RingReader) MaxRecord() int {
	if r.e.lock() != nil {
		return 0
	}
	defer r.e.unlock()
	return r.e.maxRecord()
}

// SetDeadline is when Read, ReadMany and Peek fail with os.ErrDeadlineExceeded; zero: never.
func (r *RingReader) SetDeadline(t time.Time) error { return r.e.setDeadline(t) }

// Close ends the ring: the writer gets EPIPE.
func (r *RingReader) Close() error { return r.e.Close() }

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism

// #include "glue.h"
import "C"

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// AllocOptions say how to allocate a region. What cannot be had is forgone,
// unless Required is set: Region.Got tells.
type AllocOptions struct {
	Private  bool // default rights none: a peer needs a grant before it can attach
	Huge     bool // huge pages
	Node     *int // memory of this NUMA node
	Prefault bool // all pages present when the call returns
	Vector   bool // a doorbell descriptor of its own: see Region
	Required bool // fail where Huge, Node or Prefault cannot be had
	// If not 0: private to the device of this id, which is granted Read, Write and
	// Attach, and of memory that it shared with this one before. Then the content is
	// undefined.
	PooledFor uint64
}

func (o *AllocOptions) raw() (flags C.uint32_t, node C.int32_t, peer C.uint64_t) {
	if o == nil {
		return 0, 0, 0
	}
	flags = flag(o.Private, C.ISM_ALLOC_PRIVATE) | flag(o.Huge, C.ISM_ALLOC_HUGE) |
		flag(o.Prefault, C.ISM_ALLOC_PREFAULT) | flag(o.Vector, C.ISM_ALLOC_VECTOR) |
		flag(o.Required, C.ISM_ALLOC_REQUIRED) | flag(o.Node != nil, C.ISM_ALLOC_NODE) |
		flag(o.PooledFor != 0, C.ISM_ALLOC_POOLED)
	if o.Node != nil {
		node = C.int32_t(*o.Node)
	}
	return flags, node, C.uint64_t(o.PooledFor)
}

// AttachOptions say how to attach a region.
type AttachOptions struct {
	Prefault bool // all pages present when the call returns
	Vector   bool // a doorbell descriptor of its own: see Region
}

func (o *AttachOptions) raw() C.uint32_t {
	if o == nil {
		return 0
	}
	return flag(o.Prefault, C.ISM_ATTACH_PREFAULT) | flag(o.Vector, C.ISM_ATTACH_VECTOR)
}

func flag(on bool, flag C.uint32_t) C.uint32_t {
	if on {
		return flag
	}
	return 0
}

// Got tells which wishes a region got.
type Got struct{ Huge, Node, Prefault, Vector bool }

// A Region is memory that this device shares with others. Its methods may be
// called from any goroutine.
//
// With a Vector its doorbell has a descriptor of its own. Here that only has the
// effect that peers ring it through the host, and that it is no Event.
type Region struct {
	mu     sync.RWMutex // held for reading in calls, for writing while it is closed
	c      *C.struct_ism_region
	dev    *Device
	rings  family
	bytes  []byte
	rights Rights
	token  Token

	bell     chan struct{} // something happened: look
	rung     atomic.Bool   // the doorbell, taken by the dispatcher
	dead     atomic.Bool   // the last peer is gone
	changed  atomic.Bool   // peers came or went, or the host
	closed   chan struct{}
	vector   *poller
	patience atomic.Int32 // how many waits may still spin in vain
}

// region makes a handle of C's; it lets go of that if it cannot.
func (d *Device) region(c *C.struct_ism_region) (*Region, error) {
	r := &Region{
		c: c, dev: d, rights: Rights(C.ism_region_rights(c)), token: Token(C.ism_region_token(c)),
		bytes:  unsafe.Slice((*byte)(C.ism_region_addr(c)), int(C.ism_region_size(c))),
		bell:   make(chan struct{}, 1),
		closed: make(chan struct{}),
	}
	r.changed.Store(true)
	if !d.kids.add(r) {
		C.ism_detach_region(c)
		return nil, errClosed("attach")
	}
	d.events.enter(r)
	return r, nil
}

// regions is region for many. If one cannot be, the device is about to be closed,
// and those before it with it.
func (d *Device) regions(raw []*C.struct_ism_region) ([]*Region, error) {
	regions := make([]*Region, len(raw))
	for i, c := range raw {
		var err error
		if regions[i], err = d.region(c); err != nil {
			if rest := raw[i+1:]; len(rest) > 0 {
				C.ism_detach_regions(&rest[0], C.size_t(len(rest)))
			}
			return nil, err
		}
	}
	return regions, nil
}

// use keeps the region attached until the function it returns is called.
func (r *Region) use(op string) (func(), error) {
	r.mu.RLock()
	if r.c == nil {
		r.mu.RUnlock()
		return nil, errClosed(op)
	}
	return r.mu.RUnlock, nil
}

// Close detaches the region. Its memory is unmapped, if this was the last handle
// of it: what Bytes gave must not be touched any more.
func (r *Region) Close() error {
	r.rings.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.end()
	if c == nil {
		return errClosed("close")
	}
	C.ism_detach_region(c)
	r.dev.kids.remove(r)
	return nil
}

// end closes the region but for its handle, which is to be detached before the
// device is closed; nil if it was closed before. The caller has locked it.
func (r *Region) end() *C.struct_ism_region {
	c := r.c
	if c == nil {
		return nil
	}
	close(r.closed)
	if r.vector != nil {
		r.vector.close()
	}
	r.dev.events.leave(r)
	r.c, r.bytes = nil, nil
	return c
}

// CloseMany closes regions as Close does, with one round trip for each 64 of one
// device that follow each other. It closes all that are open, and fails if one was
// closed before or is there twice.
func CloseMany(regions []*Region) error {
	var failure error
	for len(regions) > 0 {
		n := 1
		for n < len(regions) && n < 64 && regions[n].dev == regions[0].dev {
			n++
		}
		if err := regions[0].dev.closeMany(regions[:n]); failure == nil {
			failure = err
		}
		regions = regions[n:]
	}
	return failure
}

func (d *Device) closeMany(regions []*Region) error {
	// No region is locked until its handle is gone, as Close has it: two calls could
	// wait for each other. It is the device that stays.
	done, err := d.use("close")
	if err != nil {
		return err // and its regions were closed with it
	}
	defer done()
	ended := make([]*Region, 0, len(regions))
	raw := make([]*C.struct_ism_region, 0, len(regions))
	for _, r := range regions {
		r.rings.close()
		r.mu.Lock()
		if c := r.end(); c != nil {
			ended, raw = append(ended, r), append(raw, c)
		}
		r.mu.Unlock()
	}
	if len(raw) > 0 {
		C.ism_detach_regions(&raw[0], C.size_t(len(raw)))
	}
	for _, r := range ended {
		d.kids.remove(r)
	}
	if len(ended) < len(regions) {
		return errClosed("close")
	}
	return nil
}

// Device is the device that the region belongs to.
func (r *Region) Device() *Device { return r.dev }

// Bytes is the region's memory itself; nothing is copied. It is valid until Close,
// and nil after that. Peers may write it at any moment. If the region was
// attached without Write, a store to it ends the program.
func (r *Region) Bytes() []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.bytes
}

// ReadAt copies bytes out, as io.ReaderAt has it.
func (r *Region) ReadAt(p []byte, off int64) (int, error) {
	done, err := r.use("read")
	if err != nil {
		return 0, err
	}
	defer done()
	if off < 0 || off > int64(len(r.bytes)) {
		return 0, r.outside("read", off, len(p))
	}
	n := copy(p, r.bytes[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt copies bytes in, as io.WriterAt has it: all of them, or none and an
// error.
func (r *Region) WriteAt(p []byte, off int64) (int, error) {
	done, err := r.use("write")
	if err != nil {
		return 0, err
	}
	defer done()
	if r.rights&Write == 0 {
		return 0, failed("write", syscall.EROFS, "the region is attached without Write")
	}
	if off < 0 || off > int64(len(r.bytes)) || len(p) > len(r.bytes)-int(off) {
		return 0, r.outside("write", off, len(p))
	}
	return copy(r.bytes[off:], p), nil
}

func (r *Region) outside(op string, off int64, n int) error {
	return failed(op, syscall.ERANGE, fmt.Sprintf("%d bytes at %d of a region of %d", n, off, len(r.bytes)))
}

// Uint32 is a word of the region, for sync/atomic. It panics if off is not within
// the region, or no multiple of 4. The pointer is valid until Close.
func (r *Region) Uint32(off int) *uint32 {
	return (*uint32)(r.word(off, 4))
}

// Uint64 is a word of 64 bits; see Uint32.
func (r *Region) Uint64(off int) *uint64 {
	return (*uint64)(r.word(off, 8))
}

func (r *Region) word(off, size int) unsafe.Pointer {
	bytes := r.Bytes()
	if off%size != 0 {
		panic(fmt.Sprintf("ism: a word of %d bytes at %d: expected a multiple of its size", size, off))
	}
	return unsafe.Pointer(&bytes[off : off+size][0])
}

// Size is the region's size in bytes, whole chunks; 0 after Close.
func (r *Region) Size() int { return len(r.Bytes()) }

// RequestedSize is the size that its creator asked for; 0 after Close.
func (r *Region) RequestedSize() int {
	done, err := r.use("size")
	if err != nil {
		return 0
	}
	defer done()
	return int(C.ism_region_requested_size(r.c))
}

// Token is what a peer needs to attach.
func (r *Region) Token() Token { return r.token }

// Ref is the region's reference, "ism:GID/TOKEN". It holds the token: treat it as
// a password.
func (r *Region) Ref() (string, error) {
	done, err := r.use("ref")
	if err != nil {
		return "", err
	}
	defer done()
	var buf [C.ISM_REF_SIZE]C.char
	if err := check("ref", C.go_ref_format(r.c, &buf[0], C.size_t(len(buf)))); err != nil {
		return "", err
	}
	return C.GoString(&buf[0]), nil
}

// Rights are those that this handle has.
func (r *Region) Rights() Rights { return r.rights }

// Got tells which of the wishes in its options it got.
func (r *Region) Got() Got {
	done, err := r.use("got")
	if err != nil {
		return Got{}
	}
	defer done()
	flags := C.ism_region_flags(r.c)
	has := func(flag C.uint32_t) bool { return flags&flag != 0 }
	return Got{has(C.ISM_ALLOC_HUGE), has(C.ISM_ALLOC_NODE), has(C.ISM_ALLOC_PREFAULT), has(C.ISM_ALLOC_VECTOR)}
}

// Peers lists the other devices that refer to the region now.
func (r *Region) Peers() ([]uint64, error) {
	done, err := r.use("peers")
	if err != nil {
		return nil, err
	}
	defer done()
	ids := make([]uint64, 16)
	for {
		res := C.go_region_peers(r.c, (*C.uint64_t)(&ids[0]), C.size_t(len(ids)))
		n, err := result("peers", res)
		if err != nil {
			return nil, err
		}
		if n <= len(ids) {
			return ids[:n], nil
		}
		ids = make([]uint64, n+n/4)
	}
}

// Grant sets what one device may do with the region. Taking a right away stops
// later attaches and doorbells; it cannot take back memory that is mapped.
func (r *Region) Grant(devid uint64, rights Rights) error {
	done, err := r.use("grant")
	if err != nil {
		return err
	}
	defer done()
	return check("grant", C.go_region_grant(r.c, C.uint64_t(devid), C.uint32_t(rights)))
}

// GrantDefault sets what devices without a grant of their own may do with it.
func (r *Region) GrantDefault(rights Rights) error {
	done, err := r.use("grant")
	if err != nil {
		return err
	}
	defer done()
	return check("grant", C.go_region_grant_default(r.c, C.uint32_t(rights)))
}

// Notify rings the other referrers: the content changed. What this goroutine
// stored before is visible to whoever sees the doorbell.
func (r *Region) Notify() error {
	done, err := r.use("notify")
	if err != nil {
		return err
	}
	defer done()
	return check("notify", C.go_region_notify(r.c))
}

// How long a wait spins in one call of C, and how many in vain it may do so.
const (
	spinNs   = 20000
	patience = 4
	// A park that was over so soon would have been spared by a spin, or nearly.
	worthASpin = 100 * time.Microsecond
)

// look takes the doorbell, if it is pending, after a spin if that has been paying.
func (r *Region) look(spin bool) (bool, error) {
	done, err := r.use("wait")
	if err != nil {
		return false, err
	}
	defer done()
	if r.rung.Swap(false) {
		return true, nil
	}
	var ns C.int64_t
	if spin && r.vector == nil && r.patience.Load() > 0 {
		ns = spinNs
	}
	n, err := result("wait", C.go_region_wait(r.c, ns))
	switch {
	case n > 0:
		r.patience.Store(patience)
	case ns > 0:
		r.patience.Add(-1)
	}
	// What the dispatcher took while this spun.
	return n > 0 || err == nil && r.rung.Swap(false), err
}

// Clear takes the doorbell without waiting: was it pending?
func (r *Region) Clear() (bool, error) {
	done, err := r.use("clear")
	if err != nil {
		return false, err
	}
	defer done()
	n, err := result("clear", C.go_region_clear(r.c))
	return r.rung.Swap(false) || n > 0, err
}

// Wait waits until a peer rings. It fails with EPIPE when the last peer has
// detached or died, and with ctx.Err() when ctx is done. One goroutine at a time
// waits for one handle.
func (r *Region) Wait(ctx context.Context) error {
	spin := true
	for {
		if rung, err := r.look(spin); rung || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.watch(); err != nil {
			return err
		}
		// The dispatcher may have begun just now: once more, and only then park.
		if spin {
			spin = false
			continue
		}
		parked := time.Now()
		select {
		case <-r.bell:
			if time.Since(parked) < worthASpin {
				r.patience.Store(1)
			}
		case <-r.closed:
			return errClosed("wait")
		case <-ctx.Done():
			if rung, err := r.look(false); rung || err != nil {
				return err
			}
			return ctx.Err()
		}
	}
}

// ring says that something happened to the region.
func (r *Region) ring() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

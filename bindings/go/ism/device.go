// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism

// #include "glue.h"
import "C"

import (
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// OpenOptions say how to open a device. The zero value is the default.
type OpenOptions struct {
	NoHost     bool          // fail rather than host the domain in this process
	Spin       time.Duration // the longest spin before a sleep; negative: none
	WindowSize uint64        // bytes of address space to reserve
	Timeout    time.Duration // bound of a control call, otherwise 10 s
	Restart    time.Duration // how long calls wait for a daemon that is restarted, otherwise 5 s; negative: not at all
	Name       string        // label in `ism ls`, at most 31 bytes
}

// A Device is an endpoint of a sharing domain. Its methods may be called from any
// goroutine.
type Device struct {
	mu     sync.RWMutex // held for reading in calls, for writing while it is closed
	c      *C.struct_ism_device
	kids   family
	events dispatcher
}

// closer is what belongs to a device or a region, and is closed with it.
type closer interface{ Close() error }

// family keeps what is to be closed with its owner.
type family struct {
	mu   sync.Mutex
	kids map[closer]struct{}
	over bool
}

// add says whether the owner is still open.
func (f *family) add(kid closer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return false
	}
	if f.kids == nil {
		f.kids = make(map[closer]struct{})
	}
	f.kids[kid] = struct{}{}
	return true
}

func (f *family) remove(kid closer) {
	f.mu.Lock()
	delete(f.kids, kid)
	f.mu.Unlock()
}

func (f *family) close() {
	f.mu.Lock()
	f.over = true
	kids := make([]closer, 0, len(f.kids))
	for kid := range f.kids {
		kids = append(kids, kid)
	}
	f.mu.Unlock()
	for _, kid := range kids {
		kid.Close()
	}
}

// Open opens the device that uri names: "loop:[NAME]", "emu:[PATH]", "dev:[PATH]",
// or, if it is empty, what $ISM_DEVICE says, else /dev/ism, else "emu:".
func Open(uri string, options *OpenOptions) (*Device, error) {
	var o OpenOptions
	if options != nil {
		o = *options
	}
	var flags, spin C.uint32_t
	if o.NoHost {
		flags |= C.ISM_OPEN_NO_HOST
	}
	switch {
	case o.Spin < 0:
		spin = C.ISM_SPIN_NONE
	case o.Spin > 0:
		spin = C.uint32_t(clamp(o.Spin.Microseconds(), 1, C.ISM_SPIN_NONE-1))
	}
	var timeout C.uint32_t
	if o.Timeout > 0 {
		timeout = C.uint32_t(clamp(o.Timeout.Milliseconds(), 1, 1<<32-1))
	}
	var restart C.uint32_t
	switch {
	case o.Restart < 0:
		restart = C.ISM_RESTART_NONE
	case o.Restart > 0:
		restart = C.uint32_t(clamp(o.Restart.Milliseconds(), 1, C.ISM_RESTART_NONE-1))
	}
	curi, cname := cString(uri), cString(o.Name)
	defer C.free(unsafe.Pointer(curi))
	defer C.free(unsafe.Pointer(cname))
	res := C.go_open(curi, flags, spin, C.uint64_t(o.WindowSize), timeout, restart, cname)
	if err := check("open", res); err != nil {
		return nil, err
	}
	return &Device{c: (*C.struct_ism_device)(res.ptr)}, nil
}

func clamp(n, low, high int64) int64 {
	if n < low {
		return low
	}
	if n > high {
		return high
	}
	return n
}

// cString gives C's nil for an empty string.
func cString(s string) *C.char {
	if s == "" {
		return nil
	}
	return C.CString(s)
}

// use keeps the device open until the function it returns is called.
func (d *Device) use(op string) (func(), error) {
	d.mu.RLock()
	if d.c == nil {
		d.mu.RUnlock()
		return nil, errClosed(op)
	}
	return d.mu.RUnlock, nil
}

// Close closes the device, and its regions, connections and listeners. Whoever
// waits for something of it gets net.ErrClosed.
func (d *Device) Close() error {
	d.kids.close()
	d.events.close()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.c == nil {
		return errClosed("close")
	}
	C.ism_close(d.c)
	d.c = nil
	return nil
}

// Alloc allocates a region of size zeroed bytes, rounded up to whole chunks.
// Whoever knows its token may attach it, unless options say otherwise.
func (d *Device) Alloc(size int, options *AllocOptions) (*Region, error) {
	regions, err := d.AllocMany(size, 1, options)
	if err != nil {
		return nil, err
	}
	return regions[0], nil
}

// AllocMany allocates n regions, 1 to 64, of the same size in one round trip: all
// or none.
func (d *Device) AllocMany(size, n int, options *AllocOptions) ([]*Region, error) {
	done, err := d.use("alloc")
	if err != nil {
		return nil, err
	}
	defer done()
	if size < 0 || n < 1 || n > 64 {
		return nil, failed("alloc", syscall.EINVAL, "expected a size, and 1 to 64 regions")
	}
	flags, node, peer := options.raw()
	raw := make([]*C.struct_ism_region, n)
	if err := check("alloc", C.go_alloc(d.c, C.size_t(size), flags, node, peer, C.size_t(n), &raw[0])); err != nil {
		return nil, err
	}
	return d.regions(raw)
}

// Attach attaches the region that token names: Read maps it read-only, Read|Write
// for writing too.
func (d *Device) Attach(token Token, rights Rights, options *AttachOptions) (*Region, error) {
	done, err := d.use("attach")
	if err != nil {
		return nil, err
	}
	defer done()
	res := C.go_attach(d.c, C.uint64_t(token), C.uint32_t(rights), options.raw())
	if err := check("attach", res); err != nil {
		return nil, err
	}
	return d.region((*C.struct_ism_region)(res.ptr))
}

// AttachMany attaches the regions that 1 to 64 tokens name, with the same rights,
// in one round trip: all or none. A token that is there twice gives two Regions.
func (d *Device) AttachMany(tokens []Token, rights Rights, options *AttachOptions) ([]*Region, error) {
	done, err := d.use("attach")
	if err != nil {
		return nil, err
	}
	defer done()
	n := len(tokens)
	if n < 1 || n > 64 {
		return nil, failed("attach", syscall.EINVAL, "expected 1 to 64 tokens")
	}
	raw := make([]*C.struct_ism_region, n)
	first := (*C.uint64_t)(&tokens[0])
	res := C.go_attach_many(d.c, first, C.uint32_t(rights), options.raw(), C.size_t(n), &raw[0])
	if err := check("attach", res); err != nil {
		return nil, err
	}
	return d.regions(raw)
}

// Kick takes another device off the domain, as if its process had died. The
// host's user and root may do that.
func (d *Device) Kick(devid uint64) error {
	done, err := d.use("kick")
	if err != nil {
		return err
	}
	defer done()
	return check("kick", C.go_kick_device(d.c, C.uint64_t(devid)))
}

// Version is the version of the library that runs.
func Version() string { return C.GoString(C.ism_version()) }

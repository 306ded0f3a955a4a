// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism

// #include "glue.h"
import "C"

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// An EventKind says what happened.
type EventKind uint32

// What can happen.
const (
	Update   EventKind = C.ISM_EVENT_UPDATE // a peer rang the region's doorbell
	Attached EventKind = C.ISM_EVENT_ATTACH // a peer attached the region
	Detached EventKind = C.ISM_EVENT_DETACH // a peer detached it, or died
	Moved    EventKind = C.ISM_EVENT_MOVED  // the region has a successor
	Reset    EventKind = C.ISM_EVENT_RESET  // the host is gone: tokens ended, mappings stay
	Lost     EventKind = C.ISM_EVENT_LOST   // events were lost: list the peers anew
)

func (k EventKind) String() string {
	switch k {
	case Update:
		return "UPDATE"
	case Attached:
		return "ATTACH"
	case Detached:
		return "DETACH"
	case Moved:
		return "MOVED"
	case Reset:
		return "RESET"
	case Lost:
		return "LOST"
	}
	return fmt.Sprintf("EventKind(%#x)", uint32(k))
}

// An Event is something that happened to a device.
type Event struct {
	Kind   EventKind
	Peers  int     // Attached, Detached: other referrers after it
	Devid  uint64  // who rang, came or went; 0: not known
	Token  Token   // of the region; 0 for Reset and Lost
	Region *Region // nil for Reset and Lost, and where the handle has been closed
}

// eventsMax is how many events are kept for NextEvent; then they are lost, and
// that is said.
const eventsMax = 4096

// A dispatcher takes a device's events, in one goroutine that is parked in the
// network poller, and hands them to whoever they are for.
type dispatcher struct {
	mu      sync.Mutex
	regions map[*C.struct_ism_region]*Region
	queue   []Event
	wanted  bool          // somebody called NextEvent
	bell    chan struct{} // the queue has something
	poller  *poller
	reset   atomic.Bool // the host is gone
	over    bool
	done    chan struct{} // closed when over
	err     error         // why it stopped
}

// A poller calls take whenever the descriptor it watches is readable.
type poller struct {
	file *os.File
	done chan struct{}
}

// poll watches a duplicate of fd, which stays the library's.
func poll(fd int, name string, take func() bool) (*poller, error) {
	dup, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return nil, failed("poll", errno, "cannot duplicate a descriptor")
	}
	// For an epoll or event descriptor the flag only tells os.NewFile to poll it.
	if err := syscall.SetNonblock(int(dup), true); err != nil {
		syscall.Close(int(dup))
		return nil, err
	}
	p := &poller{file: os.NewFile(dup, name), done: make(chan struct{})}
	conn, err := p.file.SyscallConn()
	if err != nil {
		p.file.Close()
		return nil, err
	}
	go func() {
		defer close(p.done)
		// It looks, and sleeps in the poller until the descriptor is readable, until
		// take has enough or the file is closed.
		conn.Read(func(uintptr) bool { return !take() })
	}()
	return p, nil
}

func (p *poller) close() {
	p.file.Close()
	<-p.done
}

// watch makes sure that the region's bell rings.
func (r *Region) watch() error {
	if err := r.dev.watch(); err != nil {
		return err
	}
	if !r.Got().Vector {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.c == nil {
		return errClosed("wait")
	}
	if r.vector != nil {
		return nil
	}
	fd, err := result("wait", C.go_region_fd(r.c))
	if err != nil {
		return err
	}
	c := r.c // not r.mu: Close holds it while it waits for this to end
	r.vector, err = poll(fd, "ism-doorbell", func() bool {
		n, err := result("wait", C.go_region_clear(c))
		if n > 0 {
			r.rung.Store(true)
			r.ring()
		}
		return err == nil
	})
	return err
}

// watch starts the dispatcher, at the first wait that may have to park. From then
// on, peers that ring make a system call.
func (d *Device) watch() error {
	e := &d.events
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return errClosed("wait")
	}
	if e.poller != nil {
		return nil
	}
	done, err := d.use("wait")
	if err != nil {
		return err
	}
	defer done()
	fd, err := result("wait", C.go_fd(d.c))
	if err != nil {
		return err
	}
	e.init()
	// The device is not closed before close() has waited for this to end.
	c, raw := d.c, make([]C.struct_ism_event, 32)
	e.poller, err = poll(fd, "ism-device", func() bool { return e.take(c, raw) })
	return err
}

func (e *dispatcher) init() {
	if e.bell == nil {
		e.bell, e.done = make(chan struct{}, 1), make(chan struct{})
	}
}

// take takes all events that are there.
func (e *dispatcher) take(c *C.struct_ism_device, raw []C.struct_ism_event) bool {
	for {
		n, err := result("event", C.go_events(c, &raw[0], C.size_t(len(raw))))
		if err != nil {
			e.fail(err)
			return false
		}
		for i := range raw[:n] {
			e.dispatch(&raw[i])
		}
		if n < len(raw) {
			return true
		}
	}
}

func (e *dispatcher) dispatch(raw *C.struct_ism_event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.regions[raw.region]
	if r != nil && C.uint64_t(r.token) != raw.token {
		r = nil // a new region at the address of one that this was about
	}
	ev := Event{
		Kind: EventKind(raw._type), Peers: int(raw.peers), Devid: uint64(raw.devid), Token: Token(raw.token), Region: r,
	}
	switch {
	case ev.Kind == Update && r != nil:
		r.rung.Store(true)
		r.ring()
	case r != nil:
		if ev.Kind == Attached || ev.Kind == Detached {
			r.dead.Store(ev.Peers == 0)
		}
		r.changed.Store(true)
		r.ring()
	default:
		if ev.Kind == Reset {
			e.reset.Store(true)
		}
		// Whatever it was, each has to look at its peers.
		for _, r := range e.regions {
			r.changed.Store(true)
			r.ring()
		}
	}
	// Before somebody asks, doorbells are not kept: they are the regions'.
	if ev.Kind == Update && !e.wanted {
		return
	}
	if len(e.queue) < eventsMax {
		e.queue = append(e.queue, ev)
	} else {
		e.queue[len(e.queue)-1] = Event{Kind: Lost}
	}
	e.tell()
}

// tell wakes NextEvent.
func (e *dispatcher) tell() {
	select {
	case e.bell <- struct{}{}:
	default:
	}
}

func (e *dispatcher) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
	e.tell()
	for _, r := range e.regions {
		r.ring()
	}
}

func (e *dispatcher) enter(r *Region) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.regions == nil {
		e.regions = make(map[*C.struct_ism_region]*Region)
	}
	e.regions[r.c] = r
}

func (e *dispatcher) leave(r *Region) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.regions, r.c)
	for i := range e.queue {
		if e.queue[i].Region == r {
			e.queue[i].Region = nil
		}
	}
}

func (e *dispatcher) close() {
	e.mu.Lock()
	e.init()
	p, first := e.poller, !e.over
	e.over, e.poller = true, nil
	e.mu.Unlock()
	if first {
		close(e.done)
	}
	if p != nil {
		p.close()
	}
}

// NextEvent waits for an event, until ctx is done. Doorbells are among them from
// the first call on, also of regions that somebody waits for.
func (d *Device) NextEvent(ctx context.Context) (Event, error) {
	e := &d.events
	e.mu.Lock()
	e.wanted = true
	e.mu.Unlock()
	if err := d.watch(); err != nil {
		return Event{}, err
	}
	for {
		e.mu.Lock()
		if len(e.queue) > 0 {
			ev := e.queue[0]
			e.queue = e.queue[1:]
			if len(e.queue) > 0 {
				e.tell()
			}
			e.mu.Unlock()
			return ev, nil
		}
		err := e.err
		e.mu.Unlock()
		if err != nil {
			return Event{}, err
		}
		select {
		case <-e.bell:
		case <-e.done:
			return Event{}, errClosed("event")
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

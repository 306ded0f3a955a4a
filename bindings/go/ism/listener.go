// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// The layout of a listener's region: bindings/conformance.md.
const (
	listenMagic = "ISMLSTN1"
	slotsAt     = 64
	slotsMax    = 1024
)

func hostIsLittle() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}

// A Listener accepts connections of programs, in any language, that know its
// token: a net.Listener.
type Listener struct {
	dev      *Device
	region   *Region
	turn     sync.Mutex // of Accept
	deadline deadline
	local    Addr
}

var _ net.Listener = (*Listener)(nil)

// Listen listens for connections.
func (d *Device) Listen() (*Listener, error) { return d.ListenWith(nil) }

// ListenWith listens, with options for the listener's region: with Private, only
// devices that Region().Grant gives Read, Write and Attach can connect.
func (d *Device) ListenWith(options *AllocOptions) (*Listener, error) {
	r, err := d.Alloc(1, options)
	if err != nil {
		return nil, err
	}
	l := &Listener{dev: d, region: r}
	if info, err := d.Info(); err == nil {
		l.local = Addr{info.GID, info.Devid}
	}
	nr := (r.Size() - slotsAt) / 8
	if nr > slotsMax {
		nr = slotsMax
	}
	atomic.StoreUint32(r.Uint32(8), uint32(nr))
	// Last: who finds the magic finds the rest.
	atomic.StoreUint64(r.Uint64(0), nativeEndian.Uint64([]byte(listenMagic)))
	return l, nil
}

// Token is what Dial needs: treat it as a password.
func (l *Listener) Token() Token { return l.region.Token() }

// Region is the listener's, to grant rights on.
func (l *Listener) Region() *Region { return l.region }

// Addr is our device; it does not hold the token.
func (l *Listener) Addr() net.Addr { return l.local }

// Close ends Accept. Connections go on.
func (l *Listener) Close() error { return l.region.Close() }

// SetDeadline is when Accept fails with os.ErrDeadlineExceeded; zero: never.
func (l *Listener) SetDeadline(t time.Time) error {
	l.deadline.set(t)
	l.region.ring()
	return nil
}

func (l *Listener) fail(err error) error {
	var inner *net.OpError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &net.OpError{Op: "accept", Net: "ism", Addr: l.local, Err: err}
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn is Accept with the type of its own.
func (l *Listener) AcceptConn() (*Conn, error) {
	l.turn.Lock()
	defer l.turn.Unlock()
	for {
		past := l.deadline.channel()
		if isClosed(past) {
			return nil, l.fail(os.ErrDeadlineExceeded)
		}
		if err := l.region.watch(); err != nil {
			return nil, l.fail(err)
		}
		c, err := l.scan()
		if c != nil || err != nil {
			return c, err
		}
		if l.dev.events.reset.Load() {
			return nil, l.fail(syscall.EHOSTDOWN)
		}
		select {
		case <-l.region.bell:
		case <-past:
		case <-l.region.closed:
			return nil, l.fail(net.ErrClosed)
		}
	}
}

// scan accepts the first connection that is there. Diallers that break the rules
// are passed over.
func (l *Listener) scan() (*Conn, error) {
	done, err := l.region.use("accept")
	if err != nil {
		return nil, l.fail(err)
	}
	defer done()
	for i := 0; i < slots(l.region); i++ {
		token := Token(atomic.SwapUint64(slot(l.region, i), 0))
		if token == 0 {
			continue
		}
		c, err := l.dev.accept(token)
		if err == nil {
			return c, nil
		}
		for _, ours := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EHOSTDOWN, net.ErrClosed} {
			if errors.Is(err, ours) {
				return nil, l.fail(err)
			}
		}
	}
	return nil, nil
}

// slots is how many there are, whatever the region says. It is in use.
func slots(r *Region) int {
	nr := int(atomic.LoadUint32(word32(r, 8)))
	for _, most := range []int{slotsMax, (len(r.bytes) - slotsAt) / 8} {
		if nr > most || nr < 0 {
			nr = most
		}
	}
	return nr
}

func word32(r *Region, off int) *uint32 { return (*uint32)(unsafe.Pointer(&r.bytes[off])) }
func slot(r *Region, i int) *uint64     { return word64(r, slotsAt+8*i) }
func word64(r *Region, off int) *uint64 { return (*uint64)(unsafe.Pointer(&r.bytes[off])) }

// A Dialer connects to a listener. Its DialContext is what net/http.Transport and
// others want; they need not know that network and address mean nothing to it.
type Dialer struct {
	Device   *Device
	Token    Token // the listener's
	RingSize int   // bytes for each direction; 0: DefaultRingSize
}

// Dial connects to the listener that token names.
func (d *Device) Dial(ctx context.Context, token Token) (*Conn, error) {
	return (&Dialer{Device: d, Token: token}).Connect(ctx)
}

// DialContext connects, whatever network and address say.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Connect connects. ECONNREFUSED: the listener is gone, or overrun.
func (d *Dialer) Connect(ctx context.Context) (*Conn, error) {
	size := d.RingSize
	if size == 0 {
		size = DefaultRingSize
	}
	listener, err := d.Device.Attach(d.Token, Read|Write, nil)
	if err != nil {
		return nil, dialFailed(err)
	}
	defer listener.Close()
	if string(listener.Bytes()[:8]) != listenMagic {
		return nil, dialFailed(failed("dial", syscall.EPROTO, "nobody listens in this region: expected a listener's token"))
	}
	peer, err := creator(listener)
	if err != nil {
		return nil, dialFailed(err)
	}
	c, token, err := d.Device.offer(size, peer)
	if err != nil {
		return nil, dialFailed(err)
	}
	if err = put(listener, token); err == nil {
		if err = await(ctx, c, listener); err == nil {
			return c, nil
		}
		takeBack(listener, token)
	}
	c.Close()
	return nil, dialFailed(err)
}

// creator is the device that listens.
func creator(listener *Region) (uint64, error) {
	referrers, err := listener.dev.Referrers(listener.Token())
	for _, r := range referrers {
		if r.Creator {
			return r.Devid, err
		}
	}
	if err == nil {
		err = failed("dial", syscall.ECONNREFUSED, "the listener is gone")
	}
	return 0, err
}

func dialFailed(err error) error {
	var inner *net.OpError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &net.OpError{Op: "dial", Net: "ism", Err: err}
}

// put puts the token where the listener finds it.
func put(listener *Region, token Token) error {
	done, err := listener.use("dial")
	if err != nil {
		return err
	}
	defer done()
	for i := 0; i < slots(listener); i++ {
		if atomic.CompareAndSwapUint64(slot(listener, i), 0, uint64(token)) {
			return listener.Notify()
		}
	}
	return failed("dial", syscall.ECONNREFUSED, "all slots of the listener are taken")
}

func takeBack(listener *Region, token Token) {
	done, err := listener.use("dial")
	if err != nil {
		return
	}
	defer done()
	for i := 0; i < slots(listener); i++ {
		if atomic.CompareAndSwapUint64(slot(listener, i), uint64(token), 0) {
			return
		}
	}
}

// await waits for the listener's answer.
func await(ctx context.Context, c *Conn, listener *Region) error {
	for {
		if err := c.rx.region.watch(); err != nil {
			return err
		}
		if err := c.greeted(); err != errAgain {
			return err
		}
		if _, err := listener.look(false); errors.Is(err, syscall.EPIPE) {
			// One that accepts once answers, and goes: what it left is there now.
			if err := c.greeted(); err != errAgain {
				return err
			}
			return failed("dial", syscall.ECONNREFUSED, "the listener is gone")
		} else if err != nil {
			return err
		}
		select {
		case <-c.rx.region.bell:
		case <-listener.bell:
		case <-listener.closed:
			return net.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

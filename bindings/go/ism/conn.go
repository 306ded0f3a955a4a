// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// greeting is the first record in each direction; behind the dialling end's comes
// the token of the second ring. bindings/conformance.md has the convention, which
// all languages' bindings share.
const greeting = "ISMSTRM1"

// DefaultRingSize is what a connection's two rings have each, unless something
// else is asked for.
const DefaultRingSize = 256 << 10

// An Addr is a device of a domain. It does not hold a token.
type Addr struct {
	GID, Devid uint64
}

// Network is "ism".
func (Addr) Network() string { return "ism" }

// String is like "ism:GID/DEVID".
func (a Addr) String() string { return fmt.Sprintf("ism:%016x/%d", a.GID, a.Devid) }

// A Conn is a stream of bytes in both directions over a pair of rings: a
// net.Conn. Its methods may be called from any goroutine.
//
// Read returns io.EOF once the peer has closed its side and all is read, and
// ECONNRESET if it died.
type Conn struct {
	rx, tx        *end
	record        int // how much goes into one record
	local, remote Addr
}

var _ net.Conn = (*Conn)(nil)

// offer makes a connection that waits for somebody to accept its token.
func (d *Device) offer(size int, peer uint64) (*Conn, Token, error) {
	regions, err := d.AllocMany(size, 2, &AllocOptions{Private: true})
	if err != nil {
		return nil, 0, err
	}
	err = let(regions, peer)
	var tx *end
	if err == nil {
		tx, err = newEnd(regions[0], true, false, Place{})
	}
	if err == nil {
		var rx *end
		if rx, err = newEnd(regions[1], true, true, Place{}); err == nil {
			c := newConn(d, rx, tx)
			hello := append([]byte(greeting), make([]byte, 8)...)
			nativeEndian.PutUint64(hello[8:], uint64(regions[1].Token()))
			if err = tx.put(hello); err == nil {
				return c, regions[0].Token(), nil
			}
		}
	}
	for _, r := range regions {
		r.Close()
	}
	return nil, 0, err
}

// let lets one peer in, and nobody else, who may see the listener's slots, too.
func let(regions []*Region, peer uint64) error {
	for _, r := range regions {
		info, err := r.dev.Info()
		if err == nil && info.Devid != peer {
			err = r.Grant(peer, Read|Write|Attach)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// accept makes the other end of a connection that was offered.
func (d *Device) accept(token Token) (*Conn, error) {
	in, err := d.Attach(token, Read|Write, nil)
	if err != nil {
		return nil, err
	}
	c, err := d.acceptIn(in)
	if err != nil {
		in.Close()
	}
	return c, err
}

func (d *Device) acceptIn(in *Region) (*Conn, error) {
	wrong := failed("accept", syscall.EPROTO, "this region does not hold a connection that is offered")
	rx, err := newEnd(in, false, true, Place{})
	if err != nil {
		return nil, err
	}
	var hello [len(greeting) + 8]byte
	if n, err := rx.tryTake(hello[:], false); err != nil || n != len(hello) || string(hello[:8]) != greeting {
		return nil, wrong
	}
	out, err := d.Attach(Token(nativeEndian.Uint64(hello[8:])), Read|Write, nil)
	if err != nil {
		return nil, err
	}
	tx, err := newEnd(out, false, false, Place{})
	if err == nil {
		err = tx.put([]byte(greeting))
	}
	if err != nil {
		out.Close()
		return nil, err
	}
	c := newConn(d, rx, tx)
	c.learnPeer()
	return c, nil
}

// greeted says whether the other end has answered: nil, errAgain, or why not.
func (c *Conn) greeted() error {
	var hello [len(greeting)]byte
	n, err := c.rx.tryTake(hello[:], false)
	if err == nil && (n != len(hello) || string(hello[:]) != greeting) || err == io.ErrShortBuffer {
		return failed("dial", syscall.EPROTO, "the other end does not greet as a stream does")
	}
	if err == io.EOF {
		return failed("dial", syscall.ECONNREFUSED, "the other end closed at once")
	}
	if err == nil {
		c.learnPeer()
	}
	return err
}

func newConn(d *Device, rx, tx *end) *Conn {
	c := &Conn{rx: rx, tx: tx}
	// Several records in flight, so that both ends can work at once.
	if c.record = tx.maxRecord() / 4; c.record < 1 {
		c.record = 1
	}
	if info, err := d.Info(); err == nil {
		c.local = Addr{info.GID, info.Devid}
		c.remote.GID = info.GID
	}
	return c
}

func (c *Conn) learnPeer() {
	if peers, err := c.rx.region.Peers(); err == nil && len(peers) > 0 {
		c.remote.Devid = peers[0]
	}
}

// fail puts an error into the form that package net's users know.
func (c *Conn) fail(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if inner, ok := err.(*net.OpError); ok {
		err = inner.Err
	}
	return &net.OpError{Op: op, Net: "ism", Source: c.local, Addr: c.remote, Err: err}
}

// Read reads what is there, and waits for something to be there.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.rx.lock(); err != nil {
		return 0, c.fail("read", err)
	}
	defer c.rx.unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for {
		// An empty record means nothing.
		if n, err := c.rx.take(p, true); n > 0 || err != nil {
			return n, c.fail("read", err)
		}
	}
}

// Write writes all of p, or says why not.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.tx.lock(); err != nil {
		return 0, c.fail("write", err)
	}
	defer c.tx.unlock()
	written := 0
	for written < len(p) {
		part := p[written:]
		if len(part) > c.record {
			part = part[:c.record]
		}
		if err := c.tx.put(part); err != nil {
			return written, c.fail("write", err)
		}
		written += len(part)
	}
	return written, nil
}

// Close closes both directions. The peer reads what was written, and then io.EOF.
func (c *Conn) Close() error {
	err := c.rx.Close()
	if txErr := c.tx.Close(); err != nil && txErr == nil {
		err = nil // one side had been closed before
	}
	c.rx.region.Close()
	c.tx.region.Close()
	return c.fail("close", err)
}

// CloseWrite shuts down the writing side: the peer reads io.EOF, and can go on
// writing.
func (c *Conn) CloseWrite() error { return c.fail("close", c.tx.Close()) }

// CloseRead shuts down the reading side: the peer's writes fail.
func (c *Conn) CloseRead() error { return c.fail("close", c.rx.Close()) }

// LocalAddr is our device.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the peer's device.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is when reads and writes fail with os.ErrDeadlineExceeded, also
// those under way; zero: never.
func (c *Conn) SetDeadline(t time.Time) error {
	err := c.rx.setDeadline(t)
	if txErr := c.tx.setDeadline(t); txErr == nil || err == nil {
		return nil // a side that is shut down has no deadline
	}
	return c.fail("set deadline", err)
}

// SetReadDeadline is SetDeadline for reads.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.fail("set deadline", c.rx.setDeadline(t))
}

// SetWriteDeadline is SetDeadline for writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.fail("set deadline", c.tx.setDeadline(t))
}

// nativeEndian is the order of bytes that words in shared memory have.
var nativeEndian binary.ByteOrder = func() binary.ByteOrder {
	if hostIsLittle() {
		return binary.LittleEndian
	}
	return binary.BigEndian
}()

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

// Package ism shares memory on demand, by token, with rights for each peer and a
// doorbell for each region: the semantics of virtio-ism, between goroutines,
// processes, containers and virtual machines.
//
// A Device is an endpoint of a sharing domain. It allocates a Region, whose Token
// it gives away; a peer attaches by the token, and both ring each other:
//
//	dev, err := ism.Open("emu:", nil)
//	r, err := dev.Alloc(1<<20, nil)
//	copy(r.Bytes(), "hello")
//	err = r.Notify()
//
// A Conn is a net.Conn over a pair of rings in shared memory, and a Listener a
// net.Listener, so that net/http, net/rpc and others run over them.
//
// # Waiting
//
// A goroutine that waits is parked, as with a socket: a device has one goroutine,
// which sleeps in Go's network poller, and no wait has a thread. A wait first
// spins for some microseconds, if that has been paying.
//
// # Trust
//
// A peer that may write a region can write anything there, at any moment. Copy
// what you check, and use the copy. The bytes of a region are not part of Go's
// memory: neither the garbage collector nor the race detector looks at them. For
// words that both sides use, Region.Uint32 and Region.Uint64 give pointers for
// sync/atomic. A store to a region that was attached without Write is a fault
// that ends the program; Region.WriteAt returns an error instead.
//
// # Closing
//
// Nothing is closed by the garbage collector. Device.Close closes all that belongs
// to the device. After Close the slices that Region.Bytes, RingWriter.Reserve and
// RingReader.Peek gave must not be touched: their memory is unmapped, and that is a
// fault too. Calls return net.ErrClosed.
//
// # Building
//
// The package uses cgo, and finds libism with pkg-config. The state of a sharing
// domain is spread over shared pages, sockets and descriptors that change between
// versions; C has the one implementation of it.
package ism

// #cgo pkg-config: libism
import "C"

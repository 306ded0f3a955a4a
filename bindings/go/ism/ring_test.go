// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/libism/libism/bindings/go/ism"
)

// Records in place.

// ends are those of a ring over the whole of a region of two devices.
func ends(t testing.TB, size int) (*ism.RingWriter, *ism.RingReader, *ism.Region, *ism.Region) {
	t.Helper()
	_, _, ours, theirs := pair(t, size)
	return must(ours.CreateRingWriter(ism.Place{})), must(theirs.AttachRingReader(ism.Place{})), ours, theirs
}

// offset is where in a region's memory a slice begins.
func offset(r *ism.Region, p []byte) int {
	return int(uintptr(unsafe.Pointer(&p[0])) - uintptr(unsafe.Pointer(&r.Bytes()[0])))
}

func inside(r *ism.Region, p []byte) bool {
	return len(p) == 0 || offset(r, p) >= 0 && offset(r, p)+len(p) <= r.Size()
}

// put is a record in place.
func put(t testing.TB, w *ism.RingWriter, text string) {
	t.Helper()
	room, err := w.Reserve(len(text))
	ok(t, err)
	copy(room, text)
	ok(t, w.Commit(len(text)))
}

// exactly is for errors that package io's users compare.
func exactly(t testing.TB, expected, err error) {
	t.Helper()
	if err != expected {
		t.Fatalf("got %v, expected %v", err, expected)
	}
}

// timesOut fails unless a deadline ended the call.
func timesOut(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestInPlace(t *testing.T) {
	w, r, _, _ := ends(t, 64<<10)
	room, err := w.Reserve(16)
	ok(t, err)
	same(t, len(room), 16)
	copy(room, "head")
	ok(t, r.SetDeadline(time.Now().Add(soon)))
	_, err = r.Peek()
	timesOut(t, err) // not before the commit
	ok(t, r.SetDeadline(time.Time{}))
	ok(t, w.Commit(4))
	record, err := r.Peek()
	ok(t, err)
	same(t, string(record), "head")
	same(t, string(append(record, " and more"...)), "head and more") // elsewhere: what is behind is not ours
	same(t, string(must(r.Peek())), "head")
	ok(t, r.Release())

	largest := w.MaxRecord()
	for i, size := range []int{0, 1, largest, 4096, largest, 0} { // also around the end
		room, err := w.Reserve(size)
		ok(t, err)
		copy(room, pattern(size, i))
		ok(t, w.Commit(size))
		record, err := r.Peek()
		ok(t, err)
		if !bytes.Equal(record, pattern(size, i)) || record == nil {
			t.Fatalf("record %d of %d bytes differs", i, size)
		}
		ok(t, r.Release())
	}
}

func TestInPlaceMisused(t *testing.T) {
	w, r, _, _ := ends(t, 64<<10)
	fails(t, syscall.EINVAL, w.Commit(0))
	fails(t, syscall.EINVAL, r.Release())
	_, err := w.Reserve(-1)
	fails(t, syscall.EINVAL, err)
	_, err = w.Reserve(w.MaxRecord() + 1)
	fails(t, syscall.EMSGSIZE, err)

	copy(must(w.Reserve(4)), "four")
	fails(t, syscall.EINVAL, w.Commit(-1))
	fails(t, syscall.EINVAL, w.Commit(5))
	ok(t, w.Commit(4)) // still reserved
	fails(t, syscall.EINVAL, w.Commit(4))
	must(r.Peek())
	ok(t, r.Release())
	fails(t, syscall.EINVAL, r.Release())
}

// The calls that copy, and those that do not, can be mixed.
func TestInPlaceMixed(t *testing.T) {
	w, r, _, _ := ends(t, 64<<10)
	copy(must(w.Reserve(100)), "given up")
	must(w.Write([]byte("written")))
	fails(t, syscall.EINVAL, w.Commit(8))
	copy(must(w.Reserve(100)), "given up, too")
	put(t, w, "in place")

	same(t, string(must(r.Peek())), "written")
	buf := make([]byte, 16)
	_, err := r.Read(buf[:3])
	exactly(t, io.ErrShortBuffer, err)
	same(t, string(must(r.Peek())), "written")
	same(t, must(r.Read(buf)), 7)
	fails(t, syscall.EINVAL, r.Release())
	same(t, must(r.Read(buf)), 8)
	same(t, string(buf[:8]), "in place")
}

func TestInPlaceIsNotCopied(t *testing.T) {
	w, r, ours, theirs := ends(t, mib)
	room := must(w.Reserve(100))
	if !inside(ours, room) {
		t.Fatal("the room is not in the region")
	}
	at := offset(ours, room)
	copy(room, "seen at once")
	same(t, string(theirs.Bytes()[at:at+12]), "seen at once")
	ok(t, w.Commit(100))
	record := must(r.Peek())
	same(t, offset(theirs, record), at)
	ours.Bytes()[at] = 'S' // by a peer, while we look
	same(t, string(record[:4]), "Seen")
	ok(t, r.Release())

	ok(t, w.SetDeadline(time.Now().Add(patience)))
	same(t, testing.AllocsPerRun(1000, func() {
		room, err := w.Reserve(4096)
		if err != nil || w.Commit(len(room)) != nil {
			panic(err)
		}
		if record, err := r.Peek(); err != nil || len(record) != 4096 || r.Release() != nil {
			panic(err)
		}
	}), 0)
}

func TestInPlaceWaits(t *testing.T) {
	w, r, _, _ := ends(t, 64<<10)
	largest := w.MaxRecord()
	ok(t, w.SetDeadline(time.Now().Add(soon)))
	var err error
	full := 0
	for ; err == nil; full++ {
		if _, err = w.Reserve(largest); err == nil {
			ok(t, w.Commit(largest))
		}
	}
	timesOut(t, err)
	fails(t, syscall.EINVAL, w.Commit(1)) // nothing is reserved, whatever the deadline

	ok(t, w.SetDeadline(time.Time{}))
	reserved := make(chan error, 1)
	go func() {
		_, err := w.Reserve(largest)
		reserved <- err
	}()
	select {
	case err := <-reserved:
		t.Fatalf("there was room: %v", err)
	case <-time.After(soon):
	}
	for i := 1; i < full; i++ {
		same(t, len(must(r.Peek())), largest)
		ok(t, r.Release())
	}
	ok(t, <-reserved)

	peeked := make(chan error, 1)
	go func() {
		_, err := r.Peek()
		peeked <- err
	}()
	select {
	case err := <-peeked:
		t.Fatalf("there was a record: %v", err)
	case <-time.After(soon):
	}
	past := time.Now().Add(-time.Second)
	ok(t, w.SetDeadline(past))
	ok(t, w.Commit(1)) // does not wait, and so is not late
	ok(t, <-peeked)
	ok(t, r.SetDeadline(past))
	_, err = r.Peek()
	timesOut(t, err)
	ok(t, r.Release())

	// A deadline ends the waits under way, too.
	ok(t, r.SetDeadline(time.Time{}))
	go func() {
		_, err := r.Peek()
		peeked <- err
	}()
	time.Sleep(soon)
	ok(t, r.SetDeadline(past))
	timesOut(t, <-peeked)
}

func TestInPlaceEnd(t *testing.T) {
	w, r, _, _ := ends(t, 64<<10)
	put(t, w, "last")
	must(w.Reserve(10)) // publishes nothing
	ok(t, w.Close())
	same(t, string(must(r.Peek())), "last")
	ok(t, r.Release())
	_, err := r.Peek()
	exactly(t, io.EOF, err)

	w, r, _, _ = ends(t, 64<<10)
	must(w.Reserve(10))
	ok(t, r.Close())
	_, err = w.Reserve(10)
	fails(t, syscall.EPIPE, err)
}

func TestInPlaceClosed(t *testing.T) {
	w, r, ours, theirs := ends(t, 64<<10)
	for full := w.MaxRecord(); ; {
		ok(t, w.SetDeadline(time.Now().Add(soon)))
		if _, err := w.Reserve(full); err != nil {
			break
		}
		ok(t, w.Commit(full))
	}
	ok(t, w.SetDeadline(time.Time{}))
	back := must(must(ours.Device().Alloc(64<<10, nil)).CreateRingReader(ism.Place{}))
	errs := make(chan error, 2)
	go func() { _, err := w.Reserve(w.MaxRecord()); errs <- err }()
	go func() { _, err := back.Peek(); errs <- err }()
	time.Sleep(soon)
	must(r.Peek()) // and is not released
	ok(t, ours.Device().Close())
	ok(t, theirs.Close())
	for i := 0; i < 2; i++ {
		closedError(t, <-errs)
	}
	for i := 0; i < 2; i++ { // also when a close has been refused
		_, err := w.Reserve(1)
		closedError(t, err)
		closedError(t, w.Commit(1))
		_, err = r.Peek()
		closedError(t, err)
		closedError(t, r.Release())
		closedError(t, r.Close())
	}

	w, r, _, _ = ends(t, 64<<10) // the ring alone, between the two calls
	copy(must(w.Reserve(4)), "lost")
	ok(t, w.Close())
	closedError(t, w.Commit(4))
	_, err := r.Peek()
	exactly(t, io.EOF, err)
}

// Goroutines that do not agree on who has an end get errors and each other's records,
// and nothing worse; not even while it is closed.
func TestInPlaceCrowd(t *testing.T) {
	for seed := int64(0); seed < 6; seed++ {
		w, r, _, _ := ends(t, 4096)
		var crowd sync.WaitGroup
		for i := int64(0); i < 6; i++ {
			crowd.Add(1)
			go func(rng *rand.Rand) {
				defer crowd.Done()
				for err := error(nil); !errors.Is(err, net.ErrClosed); {
					err = anything(w, r, rng)
					if err != nil && err != io.EOF && !errors.Is(err, net.ErrClosed) &&
						!errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EPIPE) {
						t.Errorf("got %v", err)
						return
					}
				}
			}(rand.New(rand.NewSource(10*seed + i)))
		}
		time.Sleep(soon)
		if seed%2 == 0 {
			ok(t, w.Close())
			ok(t, r.Close())
		} else {
			ok(t, r.Close())
			ok(t, w.Close())
		}
		crowd.Wait()
	}
}

// anything is one call on either end.
func anything(w *ism.RingWriter, r *ism.RingReader, rng *rand.Rand) (err error) {
	var buf [1000]byte
	switch n := rng.Intn(len(buf)); rng.Intn(6) {
	case 0:
		_, err = w.Reserve(n)
	case 1:
		err = w.Commit(n)
	case 2:
		_, err = w.Write(buf[:n])
	case 3:
		_, err = r.Peek()
	case 4:
		err = r.Release()
	case 5:
		_, err = r.Read(buf[:])
	}
	return err
}

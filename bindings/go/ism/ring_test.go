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
	switch n := rng.Intn(len(buf)); rng.Intn(8) {
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
	case 6:
		_, err = w.WriteMany([][]byte{buf[:n], nil, buf[:n/2]})
	case 7:
		var more [1000]byte
		_, err = r.ReadMany([][]byte{buf[:], more[:]})
	}
	return err
}

// Several records at once.

// rooms are n buffers of so many bytes.
func rooms(n, size int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, size)
	}
	return bufs
}

func TestMany(t *testing.T) {
	w, r, _, _ := ends(t, mib)
	for _, n := range []int{1, 2, 3, 63, 64, 65, 200} {
		records := make([][]byte, n)
		for i := range records {
			records[i] = pattern(i*i%1500, i) // also empty ones, and those of different lengths
		}
		same(t, must(w.WriteMany(records)), n)
		for got, bufs := 0, rooms(n, 1500); got < n; {
			count, err := r.ReadMany(bufs[got:])
			ok(t, err)
			if count < 1 || count > 64 {
				t.Fatalf("%d records in one call", count)
			}
			for i := got; i < got+count; i++ {
				if !bytes.Equal(bufs[i], records[i]) {
					t.Fatalf("record %d of %d: %d bytes, expected %d", i, n, len(bufs[i]), len(records[i]))
				}
			}
			got += count
		}
	}
	same(t, must(w.WriteMany(nil)), 0)
	same(t, must(r.ReadMany(nil)), 0)

	// What is longer than goes between Go and C at once.
	large := w.MaxRecord()
	same(t, must(w.WriteMany([][]byte{pattern(3, 1), pattern(large, 2), pattern(4, 3)})), 3)
	bufs := rooms(3, large)
	got := 0
	for got < 3 {
		got += must(r.ReadMany(bufs[got:]))
	}
	if !bytes.Equal(bufs[1], pattern(large, 2)) || !bytes.Equal(bufs[2], pattern(4, 3)) {
		t.Fatal("the records differ")
	}
}

// Mixed sizes, against a reader that is as slow as its buffers: all are whole, and in order.
func TestManyCrosses(t *testing.T) {
	w, r, _, _ := ends(t, 16<<10)
	rng, largest := rand.New(rand.NewSource(1)), w.MaxRecord() // which waits for the writer's turn
	sizes := make([]int, 3000)
	for i := range sizes {
		if sizes[i] = rng.Intn(100); rng.Intn(10) == 0 {
			sizes[i] = rng.Intn(largest + 1)
		}
	}
	written := make(chan error, 1)
	go func() {
		rng := rand.New(rand.NewSource(2))
		var err error
		for i := 0; i < len(sizes) && err == nil; {
			records := [][]byte{}
			for n := rng.Intn(100); n >= 0 && i < len(sizes); n-- {
				records = append(records, pattern(sizes[i], i))
				i++
			}
			_, err = w.WriteMany(records)
		}
		written <- err
	}()
	ok(t, r.SetDeadline(time.Now().Add(patience)))
	for i := 0; i < len(sizes); {
		bufs := rooms(1+rng.Intn(80), 1+rng.Intn(200))
		n, err := r.ReadMany(bufs)
		if err == io.ErrShortBuffer {
			if len(bufs[0]) >= sizes[i] {
				t.Fatalf("record %d of %d bytes does not fit into %d", i, sizes[i], len(bufs[0]))
			}
			bufs[0] = make([]byte, largest)
			n, err = r.ReadMany(bufs[:1])
		}
		ok(t, err)
		for _, record := range bufs[:n] {
			if !bytes.Equal(record, pattern(sizes[i], i)) {
				t.Fatalf("record %d is %d bytes, expected %d", i, len(record), sizes[i])
			}
			i++
		}
	}
	ok(t, <-written)
}

func TestManyStops(t *testing.T) {
	w, r, _, _ := ends(t, 64<<10)
	ok(t, w.SetDeadline(time.Now().Add(soon)))
	n, err := w.WriteMany(rooms(1000, 1000)) // more than there is room for
	timesOut(t, err)
	if n < 10 || n >= 1000 {
		t.Fatalf("%d records were written", n)
	}
	bufs := rooms(n, 1000)
	got := 0
	for got < n {
		got += must(r.ReadMany(bufs[got:]))
	}
	ok(t, r.SetDeadline(time.Now().Add(soon)))
	_, err = r.ReadMany(bufs) // neither more nor fewer
	timesOut(t, err)
	ok(t, w.SetDeadline(time.Time{}))
	ok(t, r.SetDeadline(time.Time{}))

	n, err = w.WriteMany([][]byte{pattern(1, 0), pattern(2, 0), make([]byte, w.MaxRecord()+1), pattern(3, 0)})
	fails(t, syscall.EMSGSIZE, err)
	same(t, n, 2)
	bufs = [][]byte{make([]byte, 8), make([]byte, 1), make([]byte, 8)}
	same(t, must(r.ReadMany(bufs)), 1) // the second does not fit
	n, err = r.ReadMany(bufs[1:])
	exactly(t, io.ErrShortBuffer, err)
	same(t, n, 0)
	same(t, must(r.ReadMany(bufs[2:])), 1)
	same(t, len(bufs[2]), 2)

	same(t, must(w.WriteMany([][]byte{[]byte("last"), []byte("words")})), 2)
	ok(t, w.Close())
	bufs = rooms(3, 8)
	same(t, must(r.ReadMany(bufs)), 2)
	same(t, string(bufs[1]), "words")
	_, err = r.ReadMany(bufs)
	exactly(t, io.EOF, err)
	_, err = w.WriteMany(bufs)
	closedError(t, err)
	ok(t, r.Close())
	_, err = r.ReadMany(bufs)
	closedError(t, err)

	w, r, _, _ = ends(t, 64<<10)
	ok(t, r.Close())
	n, err = w.WriteMany(rooms(2, 8))
	fails(t, syscall.EPIPE, err)
	same(t, n, 0)
}

// The calls that copy take slices of any memory, and allocate nothing.
func TestCopiesAllocateNothing(t *testing.T) {
	w, r, _, _ := ends(t, mib)
	ok(t, w.SetDeadline(time.Now().Add(patience)))
	ok(t, r.SetDeadline(time.Now().Add(patience)))
	// Bytes in an object with pointers, of which C is to see none.
	mixed := &struct {
		next *int
		buf  [64]byte
	}{next: new(int)}
	same(t, testing.AllocsPerRun(1000, func() {
		if n, err := w.Write(mixed.buf[:]); n != 64 || err != nil {
			panic(err)
		}
		if n, err := r.Read(mixed.buf[:]); n != 64 || err != nil {
			panic(err)
		}
	}), 0)
	records := [][]byte{mixed.buf[:10], mixed.buf[10:30], nil}
	bufs, into := rooms(3, 64), make([][]byte, 3)
	same(t, testing.AllocsPerRun(1000, func() {
		copy(into, bufs)
		if n, err := w.WriteMany(records); n != 3 || err != nil {
			panic(err)
		}
		if n, err := r.ReadMany(into); n != 3 || err != nil || len(into[1]) != 20 {
			panic(err)
		}
	}), 0)
}

func BenchmarkWriteRead(b *testing.B) {
	w, r, _, _ := ends(b, mib)
	buf := make([]byte, 64)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		must(w.Write(buf))
		must(r.Read(buf))
	}
}

// One operation is one record.
func BenchmarkWriteReadMany(b *testing.B) {
	w, r, _, _ := ends(b, mib)
	records, into := rooms(64, 64), make([][]byte, 64)
	b.ReportAllocs()
	for i := 0; i < b.N; i += len(records) {
		must(w.WriteMany(records))
		copy(into, records)
		same(b, must(r.ReadMany(into)), len(into))
	}
}

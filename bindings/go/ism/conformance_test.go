// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libism/libism/bindings/go/ism"
)

// The cases that the bindings of all languages have: bindings/conformance.md.

const mib = 1 << 20

// pair is a region that two devices refer to.
func pair(t testing.TB, size int) (a, b *ism.Device, ours, theirs *ism.Region) {
	t.Helper()
	uri := domain(t)
	a, b = open(t, uri), open(t, uri)
	ours, err := a.Alloc(size, nil)
	ok(t, err)
	theirs, err = b.Attach(ours.Token(), ism.Read|ism.Write, nil)
	ok(t, err)
	return a, b, ours, theirs
}

func TestToken(t *testing.T) {
	a, b, ours, theirs := pair(t, 1_000_000)
	same(t, ours.Size(), mib)
	same(t, theirs.RequestedSize(), 1_000_000)
	copy(ours.Bytes()[7:], "from one side")
	same(t, string(theirs.Bytes()[7:20]), "from one side")
	must(theirs.WriteAt(pattern(500_000, 17), 4096))
	if !bytes.Equal(ours.Bytes()[4096:504_096], pattern(500_000, 17)) {
		t.Fatal("the bytes differ")
	}
	atomic.StoreUint64(theirs.Uint64(mib-8), 42)
	same(t, atomic.LoadUint64(ours.Uint64(mib-8)), 42)
	same(t, must(ours.Peers())[0], devid(t, b))

	_, err := b.Attach(ours.Token()^1, ism.Read, nil)
	fails(t, syscall.ENOENT, err)
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatal("ENOENT is no os.ErrNotExist")
	}
	same(t, len(must(a.AllocMany(1, 64, nil))), 64)
	for _, n := range []int{0, -1, 65} {
		_, err = a.AllocMany(1, n, nil)
		fails(t, syscall.EINVAL, err)
	}
	_, err = a.Alloc(0, nil)
	fails(t, syscall.EINVAL, err)
	same(t, fmt.Sprint(ours.Token()), "Token(..)")
	gid, token, err := ism.ParseRef(must(ours.Ref()))
	ok(t, err)
	same(t, gid, must(a.Info()).GID)
	same(t, token, ours.Token())
	same(t, must(ism.ParseToken(token.Text())), token)
}

func TestManyAtOnce(t *testing.T) {
	uri := domain(t)
	a, b := open(t, uri), open(t, uri)
	ours := must(a.AllocMany(1, 64, nil))
	tokens := make([]ism.Token, len(ours))
	for i, r := range ours {
		tokens[i] = r.Token()
	}
	calls := must(b.Stats()).ControlCalls
	theirs := must(b.AttachMany(tokens, ism.Read|ism.Write, nil))
	same(t, must(b.Stats()).ControlCalls, calls+1)
	same(t, len(theirs), 64)
	for i, r := range theirs {
		r.Bytes()[0] = byte(i)
		same(t, ours[i].Bytes()[0], byte(i))
	}
	twice := must(b.AttachMany([]ism.Token{tokens[5], tokens[5]}, ism.Read, nil))
	ok(t, twice[0].Close())
	same(t, twice[1].Bytes()[0], 5)
	same(t, must(b.Stats()).Regions, 64)

	unknown := append([]ism.Token(nil), tokens...)
	unknown[63] ^= 1
	_, err := a.AttachMany(unknown, ism.Read, nil)
	fails(t, syscall.ENOENT, err)
	same(t, must(a.Stats()).Regions, 64)
	for _, wrong := range [][]ism.Token{nil, append(tokens, tokens[0])} {
		_, err = a.AttachMany(wrong, ism.Read, nil)
		fails(t, syscall.EINVAL, err)
	}

	waits := make(chan error)
	go func() { waits <- theirs[2].Wait(context.Background()) }()
	ring := must(theirs[0].CreateRingWriter(ism.Place{}))
	ok(t, theirs[1].Close())
	all := append(theirs[:64:64], must(a.Attach(tokens[3], ism.Read, nil)), twice[1], theirs[0])
	closedError(t, ism.CloseMany(all)) // two are closed already by then
	closedError(t, <-waits)
	closedError(t, ring.Close())
	same(t, must(b.Stats()).Regions, 0)
	same(t, must(a.Stats()).Regions, 64)
	same(t, len(theirs[0].Bytes()), 0)
	closedError(t, theirs[63].Close())
	closedError(t, ism.CloseMany(theirs))
	ok(t, ism.CloseMany(nil))
	ok(t, ism.CloseMany(ours[:60]))
	same(t, must(a.Stats()).Regions, 4)
	ok(t, a.Close())
	closedError(t, ism.CloseMany(ours[60:]))
	_, err = a.AttachMany(tokens[:1], ism.Read, nil)
	closedError(t, err)
}

// Whoever closes, and from wherever, each region is closed once, and the device after them.
func TestManyAreClosedByMany(t *testing.T) {
	for round := 0; round < 20; round++ {
		dev := open(t, domain(t))
		regions := must(dev.AllocMany(1, 64, nil))
		backwards := make([]*ism.Region, len(regions))
		for i, r := range regions {
			backwards[len(regions)-1-i] = r
		}
		var closers sync.WaitGroup
		for _, closer := range []func(){
			func() { ism.CloseMany(regions) }, func() { ism.CloseMany(backwards) },
			func() { regions[32].Close() }, func() { dev.Close() },
		} {
			closer := closer
			closers.Add(1)
			go func() {
				defer closers.Done()
				closer()
			}()
		}
		closers.Wait()
		for _, r := range regions {
			closedError(t, r.Close())
		}
	}
}

func TestShutOut(t *testing.T) {
	uri := domain(t)
	host, a, b, out := open(t, uri), open(t, uri), open(t, uri), open(t, uri)
	old := must(a.Alloc(mib, nil))
	theirs := must(b.Attach(old.Token(), ism.Read|ism.Write, nil))
	lost := must(out.Attach(old.Token(), ism.Read|ism.Write, nil))
	_, err := host.ShutOut(old.Token(), devid(t, a)) // its creator
	fails(t, syscall.EINVAL, err)
	_, err = host.ShutOut(old.Token() ^ 1)
	fails(t, syscall.ENOENT, err)
	held := must(host.ShutOut(old.Token(), devid(t, out)))
	same(t, held.Rights()&ism.Write, 0)
	same(t, must(theirs.Successor(ism.Read|ism.Write, nil)).Token(), held.Token())
	_, err = lost.Successor(ism.Read, nil)
	fails(t, syscall.ENOENT, err)
}

func TestRights(t *testing.T) {
	a, b, ours, _ := pair(t, mib)
	readOnly, err := b.Attach(ours.Token(), ism.Read, nil)
	ok(t, err)
	_, err = readOnly.WriteAt([]byte("no"), 0)
	fails(t, syscall.EROFS, err)
	fails(t, syscall.EPERM, readOnly.Grant(devid(t, a), ism.Read))

	private, err := a.Alloc(mib, &ism.AllocOptions{Private: true})
	ok(t, err)
	attach := func(rights ism.Rights) error {
		r, err := b.Attach(private.Token(), rights, nil)
		if err == nil {
			err = r.Close()
		}
		return err
	}
	fails(t, syscall.ENOENT, attach(ism.Read))
	ok(t, private.Grant(devid(t, b), ism.Read))
	fails(t, syscall.EACCES, attach(ism.Read))
	ok(t, private.Grant(devid(t, b), ism.Read|ism.Attach))
	fails(t, syscall.EROFS, attach(ism.Read|ism.Write))
	ok(t, attach(ism.Read))
	ok(t, private.Grant(devid(t, b), 0))
	fails(t, syscall.ENOENT, attach(ism.Read))
	ok(t, private.GrantDefault(ism.Read|ism.Write|ism.Attach))
	ok(t, private.Grant(devid(t, b), ism.Read|ism.Write|ism.Attach))
	ok(t, attach(ism.Read|ism.Write))

	same(t, len(must(a.Referrers(ours.Token()))), 2)
	same(t, len(must(a.Regions())), 2)
	same(t, len(must(a.Devices())), 2)
	id := devid(t, b)
	ok(t, a.Kick(id))
	for event(t, b).Kind != ism.Reset {
	}
	fails(t, syscall.ENOENT, a.Kick(id))
}

// What the domain is, and who its users are.
func TestDomain(t *testing.T) {
	a, b, ours, _ := pair(t, 1_000_000)
	ok(t, ours.Grant(devid(t, b), ism.Read))
	_, err := b.Attach(ours.Token()^1, ism.Read, nil)
	fails(t, syscall.ENOENT, err)

	domain, info := must(a.Domain()), must(a.Info())
	same(t, domain.GID, info.GID)
	same(t, domain.Host, info.Host)
	same(t, domain.HostUID, uint32(os.Getuid()))
	same(t, domain.Version, ism.Version())
	same(t, domain.Devices, 2)
	same(t, domain.Regions, 1)
	same(t, domain.Bytes, mib)
	same(t, domain.Counted, true)
	same(t, domain.DevicesEver, 2)
	same(t, domain.Allocs, 1)
	same(t, domain.Attaches, 1)
	same(t, domain.Failed, 1)
	same(t, domain.Detaches, 0)

	users := must(b.Users())
	same(t, len(users), 1)
	same(t, users[0], ism.UserEntry{
		UID: uint32(os.Getuid()), Devices: 2, Regions: 2, Grants: 1, Bytes: 2 * mib, Failed: 1, OverQuota: 0,
	})

	ok(t, a.Close())
	_, err = a.Domain()
	closedError(t, err)
	_, err = a.Users()
	closedError(t, err)
}

// A host's quotas are told, and what they were against.
func TestQuota(t *testing.T) {
	device := ism.Quota{Bytes: 64 * mib, Regions: 2, Grants: 3, AttachRate: 1000, NotifyRate: 5000}
	user := ism.Quota{Bytes: 128 * mib, Regions: 20, Grants: 30, AttachRate: 2000, NotifyRate: 6000, Devices: 7}
	for _, within := range []bool{false, true} {
		emu, err := ism.StartEmu(&ism.EmuOptions{WithinProcess: within, DeviceQuota: device, UserQuota: user})
		ok(t, err)
		t.Cleanup(emu.Stop)
		dev := open(t, emu.URI())
		must(dev.AllocMany(1, 2, nil))
		_, err = dev.Alloc(1, nil)
		fails(t, syscall.ENOSPC, err)
		domain := must(dev.Domain())
		same(t, domain.DeviceQuota, device)
		same(t, domain.UserQuota, user)
		same(t, domain.OverQuota, 1)
		same(t, must(dev.Users())[0].OverQuota, 1)
	}
}

func TestDoorbell(t *testing.T) {
	for _, vector := range []bool{false, true} {
		uri := domain(t)
		a, b := open(t, uri), open(t, uri)
		ours := must(a.Alloc(mib, &ism.AllocOptions{Vector: vector}))
		theirs := must(b.Attach(ours.Token(), ism.Read|ism.Write, &ism.AttachOptions{Vector: vector}))
		same(t, theirs.Got().Vector, vector)
		if err := theirs.Wait(within(t, soon)); err != context.DeadlineExceeded {
			t.Fatalf("got %v without a ring", err)
		}
		for i := uint32(1); i <= 200; i++ {
			atomic.StoreUint32(ours.Uint32(0), i)
			ok(t, ours.Notify())
			ok(t, theirs.Wait(within(t, patience)))
			same(t, atomic.LoadUint32(theirs.Uint32(0)), i)
			ok(t, theirs.Notify())
			ok(t, ours.Wait(within(t, patience)))
		}
		if err := ours.Wait(within(t, soon)); err != context.DeadlineExceeded {
			t.Fatalf("got %v for a ring of one's own", err)
		}
		ok(t, ours.Notify())
		eventually(t, "the doorbell", func() bool { return must(theirs.Clear()) })
	}
}

func TestEvents(t *testing.T) {
	a, b, ours, theirs := pair(t, mib)
	ev := event(t, a)
	same(t, ev, ism.Event{Kind: ism.Attached, Peers: 1, Devid: devid(t, b), Token: ours.Token(), Region: ours})
	ok(t, theirs.Notify())
	ev = must(a.NextEvent(within(t, patience)))
	same(t, ev.Kind, ism.Update)
	same(t, ev.Region, ours)
	ok(t, theirs.Close())
	ev = event(t, a)
	same(t, ev, ism.Event{Kind: ism.Detached, Devid: devid(t, b), Token: ours.Token(), Region: ours})
	if _, err := a.NextEvent(within(t, soon)); err != context.DeadlineExceeded {
		t.Fatalf("got %v", err)
	}
	ok(t, ours.Wait(within(t, patience))) // the ring that was reported above
	fails(t, syscall.EPIPE, ours.Wait(within(t, patience)))
}

func TestRing(t *testing.T) {
	_, _, ours, theirs := pair(t, mib)
	writer := must(ours.CreateRingWriter(ism.Place{}))
	reader := must(theirs.AttachRingReader(ism.Place{}))
	largest := writer.MaxRecord()
	same(t, reader.MaxRecord(), largest)
	_, err := writer.Write(make([]byte, largest+1))
	fails(t, syscall.EMSGSIZE, err)
	ok(t, reader.SetDeadline(time.Now().Add(soon)))
	_, err = reader.Read(make([]byte, 8))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	ok(t, reader.SetDeadline(time.Time{}))
	var sizes []int
	for i := 0; i < 300; i++ {
		sizes = append(sizes, i)
	}
	sizes = append(sizes, 4096, 65536, 100_000, largest, 1, 0)
	go func() {
		for i, size := range sizes {
			must(writer.Write(pattern(size, i)))
		}
		writer.Close()
	}()
	buf := make([]byte, largest)
	for i, size := range sizes {
		if size > 1 {
			if _, err := reader.Read(buf[:size-1]); err != io.ErrShortBuffer {
				t.Fatalf("record %d: got %v", i, err)
			}
		}
		n, err := reader.Read(buf)
		ok(t, err)
		if !bytes.Equal(buf[:n], pattern(size, i)) {
			t.Fatalf("record %d of %d bytes differs", i, size)
		}
	}
	if _, err = reader.Read(buf); err != io.EOF {
		t.Fatalf("got %v", err)
	}
}

func TestKilled(t *testing.T) {
	uri := domain(t)
	dev := open(t, uri)
	region, in := must(dev.Alloc(mib, nil)), must(dev.Alloc(mib, nil))
	reader := must(in.CreateRingReader(ism.Place{}))
	child := start(t, "attach and write", uri)
	child.tell(region.Token().Text())
	child.tell(in.Token().Text())
	same(t, child.hear(), "written")
	child.kill()
	ok(t, region.Wait(within(t, patience)))
	fails(t, syscall.EPIPE, region.Wait(within(t, patience)))
	same(t, string(region.Bytes()[:5]), "still")
	same(t, string(must(reader.Peek())), "last")
	buf := make([]byte, 16)
	same(t, must(reader.Read(buf)), 4)
	_, err := reader.Read(buf)
	fails(t, syscall.ECONNRESET, err)
	_, err = reader.Peek()
	fails(t, syscall.ECONNRESET, err)
	detached := 0
	for i := 0; i < 4; i++ {
		if event(t, dev).Kind == ism.Detached {
			detached++
		}
	}
	same(t, detached, 2)
}

func TestHostile(t *testing.T) {
	uri := domain(t)
	dev, bad := open(t, uri), open(t, uri)
	for seed := int64(0); seed < 20; seed++ {
		region := must(dev.Alloc(64<<10, nil))
		reader := must(region.CreateRingReader(ism.Place{}))
		words := must(bad.Attach(region.Token(), ism.Read|ism.Write, nil))
		done := make(chan struct{})
		go func() {
			defer close(done)
			rng := rand.New(rand.NewSource(seed))
			for i := 0; i < 20_000; i++ {
				atomic.StoreUint32(words.Uint32(4*rng.Intn(1024)), rng.Uint32()>>uint(rng.Intn(32)))
			}
		}()
		buf := make([]byte, 64<<10)
		for i := 0; i < 200; i++ {
			reader.SetDeadline(time.Now().Add(time.Millisecond))
			n, err := reader.Read(buf)
			if errors.Is(err, syscall.EPROTO) || errors.Is(err, syscall.ECONNRESET) {
				break // also that the writer has gone is words in the ring
			}
			if n > len(buf) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && err != io.EOF {
				t.Errorf("seed %d: %d bytes, %v", seed, n, err)
				break // the region is closed below, when nobody writes there any more
			}
			record, err := reader.Peek()
			if len(record) > len(buf) || err == nil && !inside(region, record) {
				t.Errorf("seed %d: %d bytes outside, %v", seed, len(record), err)
				break
			}
			copy(buf, record)
			if err == nil {
				reader.Release()
			}
			several := [][]byte{buf[:1000], buf[1000:], make([]byte, 100)}
			n, err = reader.ReadMany(several)
			if n > len(several) || n > 0 && len(several[n-1]) > len(buf) || (n > 0) == (err != nil) {
				t.Errorf("seed %d: %d records, %v", seed, n, err)
				break
			}
		}
		<-done
		ok(t, region.Close())
		ok(t, words.Close())
	}
}

func TestPooled(t *testing.T) {
	uri := domain(t)
	a, b, c := must(ism.Open(uri, nil)), must(ism.Open(uri, nil)), must(ism.Open(uri, nil))
	defer a.Close()
	defer b.Close()
	defer c.Close()
	ours := must(a.Alloc(mib, &ism.AllocOptions{PooledFor: must(b.Info()).Devid}))
	theirs := must(b.Attach(ours.Token(), ism.Read|ism.Write, nil))
	copy(ours.Bytes(), "for two")
	same(t, string(theirs.Bytes()[:7]), "for two")
	_, err := c.Attach(ours.Token(), ism.Read, nil)
	fails(t, syscall.ENOENT, err)
}

func TestReplace(t *testing.T) {
	uri := domain(t)
	a, b, out := open(t, uri), open(t, uri), open(t, uri)
	old := must(a.Alloc(mib, nil))
	theirs := must(b.Attach(old.Token(), ism.Read|ism.Write, nil))
	lost := must(out.Attach(old.Token(), ism.Read, nil))
	_, err := theirs.Successor(ism.Read, nil)
	fails(t, syscall.ENOENT, err)
	ok(t, old.Grant(must(out.Info()).Devid, 0))
	fresh := must(old.Replace(nil))
	var moved ism.Event
	for moved.Kind != ism.Moved {
		moved = event(t, b)
	}
	same(t, moved.Region, theirs)
	same(t, moved.Devid, must(a.Info()).Devid)
	copy(must(theirs.Successor(ism.Read|ism.Write, nil)).Bytes(), "fresh")
	same(t, string(fresh.Bytes()[:5]), "fresh")
	same(t, old.Bytes()[0], 0)
	_, err = lost.Successor(ism.Read, nil)
	fails(t, syscall.ENOENT, err)
	_, err = out.Attach(fresh.Token(), ism.Read, nil)
	fails(t, syscall.ENOENT, err)
	_, err = old.Replace(nil)
	fails(t, syscall.EALREADY, err)
	_, err = old.Replace(&ism.AllocOptions{PooledFor: 1})
	fails(t, syscall.EINVAL, err)
}

func TestHostGone(t *testing.T) {
	uri := domain(t)
	host := start(t, "host", uri)
	same(t, host.hear(), "hosting")
	a, b := must(ism.Open(uri, &ism.OpenOptions{NoHost: true})), must(ism.Open(uri, &ism.OpenOptions{NoHost: true}))
	defer a.Close()
	defer b.Close()
	listener := must(a.Listen())
	ours := must(a.Alloc(mib, nil))
	theirs := must(b.Attach(ours.Token(), ism.Read|ism.Write, nil))
	for must(a.Stats()).RingsDirect == 0 { // a direct link is made meanwhile
		ok(t, ours.Notify())
		ok(t, theirs.Wait(within(t, patience)))
		ok(t, theirs.Notify())
		ok(t, ours.Wait(within(t, patience)))
	}
	host.kill()
	for _, dev := range []*ism.Device{a, b} {
		for event(t, dev).Kind != ism.Reset {
		}
	}
	copy(ours.Bytes(), "goes")
	same(t, string(theirs.Bytes()[:4]), "goes")
	ok(t, ours.Notify())
	ok(t, theirs.Wait(within(t, patience)))
	_, err := a.Alloc(mib, nil)
	fails(t, syscall.EHOSTDOWN, err)
	_, err = listener.Accept()
	fails(t, syscall.EHOSTDOWN, err)
}

func TestClosed(t *testing.T) {
	a, b, ours, theirs := pair(t, mib)
	ring := must(ours.CreateRingReader(ism.Place{}))
	listener := must(a.Listen())
	waits := map[string]func() error{
		"Wait":   func() error { return ours.Wait(context.Background()) },
		"Read":   func() error { _, err := ring.Read(make([]byte, 1)); return err },
		"Accept": func() error { _, err := listener.Accept(); return err },
		"NextEvent": func() error {
			for {
				if _, err := a.NextEvent(context.Background()); err != nil {
					return err
				}
			}
		},
	}
	errs := make(chan error, len(waits))
	for _, wait := range waits {
		go func(wait func() error) { errs <- wait() }(wait)
	}
	time.Sleep(soon) // some of them are parked by now; the others meet a closed device
	ok(t, a.Close())
	for range waits {
		if err := <-errs; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	for what, err := range map[string]error{
		"Close": a.Close(), "Notify": ours.Notify(), "Region.Close": ours.Close(), "ring.Close": ring.Close(),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after close: %v", what, err)
		}
	}
	if ours.Bytes() != nil {
		t.Error("bytes after close")
	}
	same(t, string(theirs.Bytes()[:4]), "ISMR") // the ring that was made there
	ok(t, b.Close())
}

// The memory of a region is there once, whatever looks at it.
func TestNothingIsCopied(t *testing.T) {
	dev := open(t, "loop:")
	region := must(dev.Alloc(64*mib, nil))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := testing.AllocsPerRun(100, func() {
		region.Bytes()[mib]++
		atomic.AddUint64(region.Uint64(mib+8), 1)
	})
	runtime.ReadMemStats(&after)
	same(t, n, 0)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > mib {
		t.Errorf("%d bytes were allocated", grown)
	}
	again := must(dev.Attach(region.Token(), ism.Read, nil))
	same(t, again.Bytes()[mib], region.Bytes()[mib])
	if &region.Bytes()[mib] != &region.Bytes()[:2*mib][mib] {
		t.Error("two calls of Bytes gave two memories")
	}
}

func TestBounds(t *testing.T) {
	region := must(open(t, "loop:").Alloc(64<<10, nil))
	for _, off := range []int64{-1, 64<<10 - 1, 1 << 62} {
		_, err := region.WriteAt([]byte("ab"), off)
		fails(t, syscall.ERANGE, err)
	}
	_, err := region.ReadAt(make([]byte, 1), -1)
	fails(t, syscall.ERANGE, err)
	n, err := region.ReadAt(make([]byte, 2), 64<<10-1)
	if n != 1 || err != io.EOF {
		t.Errorf("got %d, %v", n, err)
	}
	for _, off := range []int{-8, 4, 64 << 10, 64<<10 - 4} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a word at %d", off)
				}
			}()
			region.Uint64(off)
		}()
	}
}

func TestEmu(t *testing.T) {
	emu := must(ism.StartEmu(&ism.EmuOptions{Faults: "alloc:2=ENOSPC"}))
	defer emu.Stop()
	dev := must(ism.Open(emu.URI(), nil))
	defer dev.Close()
	must(dev.Alloc(1, nil))
	_, err := dev.Alloc(1, nil)
	fails(t, syscall.ENOSPC, err)
	same(t, must(emu.Passes("alloc")), 2)
	same(t, must(emu.Fired()), 1)
	fails(t, syscall.EINVAL, emu.SetFaults("alloc=nonsense"))
	ok(t, emu.Kill())
	for event(t, dev).Kind != ism.Reset {
	}
	ok(t, emu.Restart())
	again := must(ism.Open(emu.URI(), nil))
	defer again.Close()
	must(again.Alloc(1, nil))
}

func TestErrors(t *testing.T) {
	_, err := ism.Open("carrier-pigeon:", nil)
	fails(t, syscall.EINVAL, err)
	var e *ism.Error
	if !errors.As(err, &e) || e.Op != "open" || e.Detail == "" {
		t.Errorf("got %#v", err)
	}
}

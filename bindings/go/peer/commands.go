// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/libism/libism/bindings/go/ism"
)

// ring is one end.
type ring struct {
	r *ism.RingReader
	w *ism.RingWriter
}

// ---------------------------------------------------------------- regions

func (p *peer) region(name string) *ism.Region {
	r := p.regions[name]
	if r == nil {
		fail(syscall.EBADF, "no region "+name)
	}
	return r
}

func readOr(word string) ism.Rights {
	if word == "rw" {
		return ism.Read | ism.Write
	}
	return ism.Read
}

func (p *peer) attach(w words) string {
	r := get(p.dev.Attach(w.token(2), readOr(w.text(3)), &ism.AttachOptions{Vector: w.has("vector")}))
	p.regions[w[1]] = r
	return fmt.Sprint(r.Size())
}

func (p *peer) attachMany(w words) string {
	var tokens []ism.Token
	for i := 3; i < len(w); i++ {
		tokens = append(tokens, w.token(i))
	}
	regions := get(p.dev.AttachMany(tokens, readOr(w.text(2)), nil))
	for i, r := range regions {
		p.regions[fmt.Sprint(w[1], i)] = r
	}
	return fmt.Sprint(regions[0].Size())
}

func (p *peer) closeMany(w words) {
	var regions []*ism.Region
	for i := 0; i < w.int(2); i++ {
		name := fmt.Sprint(w[1], i)
		regions = append(regions, p.region(name))
		delete(p.regions, name)
	}
	must(ism.CloseMany(regions))
}

func (p *peer) grant(w words) {
	var rights ism.Rights
	for _, c := range strings.Trim(w.text(3), "-") {
		i := strings.IndexRune("rwamc", c)
		if i < 0 {
			fail(syscall.EINVAL, "no right: "+string(c))
		}
		rights |= []ism.Rights{ism.Read, ism.Write, ism.Attach, ism.Manage, ism.CleanDefault}[i]
	}
	if w[2] == "default" {
		must(p.region(w[1]).GrantDefault(rights))
	} else {
		must(p.region(w[1]).Grant(uint64(w.int(2)), rights))
	}
}

// wait waits for a doorbell: whether there was one.
func (p *peer) wait(w words) string {
	ctx, cancel := w.within(2)
	defer cancel()
	err := p.region(w.text(1)).Wait(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return "0"
	}
	must(err)
	return "1"
}

func (p *peer) event(w words) string {
	// What has come a goroutine brings in a moment, and not at once.
	ctx, cancel := context.WithTimeout(context.Background(), w.timeout(1)+100*time.Millisecond)
	defer cancel()
	e, err := p.dev.NextEvent(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return "none"
	}
	must(err)
	at := "-"
	for name, r := range p.regions {
		if r == e.Region {
			at = name
		}
	}
	if e.Kind == ism.Update && e.Region != nil {
		get(e.Region.Clear()) // the driver takes a doorbell once; here who waits is told as well
	}
	return fmt.Sprintf("%v %d %d %s", e.Kind, e.Devid, e.Peers, at)
}

func (p *peer) regionCommand(w words) (said string, known bool) {
	switch w[0] {
	case "alloc":
		r := get(p.dev.Alloc(w.int(2), &ism.AllocOptions{Private: w.has("private"), Vector: w.has("vector")}))
		p.regions[w[1]] = r
		said = fmt.Sprintf("%s %d", r.Token().Text(), r.Size())
	case "attach":
		said = p.attach(w)
	case "attachmany":
		said = p.attachMany(w)
	case "closemany":
		p.closeMany(w)
	case "detach":
		must(p.region(w.text(1)).Close())
		delete(p.regions, w[1])
	case "grant":
		p.grant(w)
	case "peers":
		ids := get(p.region(w.text(1)).Peers())
		said = strings.Trim(fmt.Sprint(len(ids), ids), "]")
		said = strings.TrimRight(strings.Replace(said, " [", " ", 1), " ")
	case "notify":
		must(p.region(w.text(1)).Notify())
	case "replace":
		r := get(p.region(w.text(1)).Replace(nil))
		p.regions[w.text(2)] = r
		said = r.Token().Text()
	case "successor":
		p.regions[w.text(2)] = get(p.region(w.text(1)).Successor(readOr(w.text(3)), nil))
	case "direct":
		said = fmt.Sprint(get(p.dev.Stats()).RingsDirect)
	case "wait", "await": // a goroutine's wait is both
		said = p.wait(w)
	case "event":
		said = p.event(w)
	default:
		return "", false
	}
	return said, true
}

// ---------------------------------------------------------------- memory

// part is a piece of the view itself.
func (p *peer) part(w words, n int, write bool) []byte {
	r, off := p.region(w.text(1)), w.int(2)
	if write && r.Rights()&ism.Write == 0 {
		_, err := r.WriteAt(make([]byte, n), int64(off)) // says why not
		must(err)
	}
	view := r.Bytes()
	if off < 0 || n < 0 || off > len(view) || n > len(view)-off {
		fail(syscall.ERANGE, fmt.Sprintf("%d bytes at %d of %d", n, off, len(view)))
	}
	return view[off : off+n]
}

func scribble(view []byte, seed int64, end time.Time) {
	rng := rand.New(rand.NewSource(seed))
	for time.Now().Before(end) {
		for i := 0; i < 100; i++ {
			view[rng.Intn(len(view))] = byte(rng.Int())
		}
	}
}

func (p *peer) memoryCommand(w words) (said string, known bool) {
	switch w[0] {
	case "write":
		data := w.bytes(3)
		copy(p.part(w, len(data), true), data)
	case "read":
		said = inHex(p.part(w, w.int(3), false))
	case "fill":
		copy(p.part(w, w.int(3), true), pattern(w.int(3), w.int(4)))
	case "crc":
		said = fmt.Sprintf("%08x", crc32.ChecksumIEEE(p.part(w, w.int(3), false)))
	case "scribble":
		scribble(p.part(w, w.int(3), true), int64(w.int(4)), w.deadline(5))
	default:
		return "", false
	}
	return said, true
}

// ---------------------------------------------------------------- rings

func (p *peer) newRing(w words) string {
	r, whole := p.region(w.text(2)), ism.Place{}
	create, reader := w.text(3) == "create", w.text(4) == "reader"
	var k ring
	var err error
	switch {
	case create && reader:
		k.r, err = r.CreateRingReader(whole)
	case create:
		k.w, err = r.CreateRingWriter(whole)
	case reader:
		k.r, err = r.AttachRingReader(whole)
	default:
		k.w, err = r.AttachRingWriter(whole)
	}
	must(err)
	p.rings[w[1]] = k
	if reader {
		return fmt.Sprint(k.r.MaxRecord())
	}
	return fmt.Sprint(k.w.MaxRecord())
}

func (p *peer) end(name string, writer bool) ring {
	k, there := p.rings[name]
	if !there {
		fail(syscall.EBADF, "no ring "+name)
	}
	if writer && k.w == nil || !writer && k.r == nil {
		fail(syscall.EINVAL, "the other end of the ring")
	}
	return k
}

func (k ring) send(data []byte, end time.Time) {
	must(k.w.SetDeadline(end))
	get(k.w.Write(data))
}

func (k ring) recv(buf []byte, end time.Time) []byte {
	must(k.r.SetDeadline(end))
	return buf[:get(k.r.Read(buf))]
}

// ping's answer is the median of the round trips, in nanoseconds.
func (p *peer) ping(w words) string {
	out, in := p.end(w.text(1), true), p.end(w.text(2), false)
	record, buf := make([]byte, w.int(4)), make([]byte, in.r.MaxRecord())
	took := make([]time.Duration, w.int(3))
	out.until(w.deadline(6))
	in.until(w.deadline(6))
	for i := range took {
		began := time.Now()
		get(out.w.Write(record))
		get(in.r.Read(buf))
		took[i] = time.Since(began)
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	return fmt.Sprint(took[len(took)/2].Nanoseconds())
}

func (p *peer) echo(w words) {
	in, out := p.end(w.text(1), false), p.end(w.text(2), true)
	record, buf := make([]byte, w.int(5)), make([]byte, in.r.MaxRecord())
	out.until(w.deadline(6))
	in.until(w.deadline(6))
	for i := w.int(3); i > 0; i-- {
		get(in.r.Read(buf))
		get(out.w.Write(record))
	}
}

// until sets a deadline for all that follows.
func (k ring) until(end time.Time) {
	if k.w != nil {
		must(k.w.SetDeadline(end))
	} else {
		must(k.r.SetDeadline(end))
	}
}

func (p *peer) ringCommand(w words) (said string, known bool) {
	switch w[0] {
	case "ring":
		said = p.newRing(w)
	case "send":
		p.end(w.text(1), true).send(w.bytes(3), w.deadline(2))
	case "recv":
		k := p.end(w.text(1), false)
		said = inHex(k.recv(make([]byte, k.r.MaxRecord()), w.deadline(2)))
	case "pump":
		k := p.end(w.text(1), true)
		for i := 0; i < w.int(2); i++ {
			k.send(pattern(w.int(3), w.int(4)+i), w.deadline(5))
		}
	case "drain":
		k := p.end(w.text(1), false)
		buf := make([]byte, k.r.MaxRecord())
		for i := 0; i < w.int(2); i++ {
			if string(k.recv(buf, w.deadline(5))) != string(pattern(w.int(3), w.int(4)+i)) {
				fail(syscall.EBADMSG, "a record differs")
			}
		}
	case "ping":
		said = p.ping(w)
	case "echo":
		p.echo(w)
	case "unring":
		k, there := p.rings[w.text(1)]
		if !there {
			fail(syscall.EBADF, "no ring "+w[1])
		}
		delete(p.rings, w[1])
		if k.r != nil {
			must(k.r.Close())
		} else {
			must(k.w.Close())
		}
	default:
		return "", false
	}
	return said, true
}

// ---------------------------------------------------------------- streams

func (p *peer) stream(name string) *ism.Conn {
	c := p.streams[name]
	if c == nil {
		fail(syscall.EBADF, "no stream "+name)
	}
	return c
}

func (p *peer) connect(w words) {
	switch w[0] {
	case "accept":
		l := p.listeners[w.text(1)]
		if l == nil {
			fail(syscall.EBADF, "no listener "+w[1])
		}
		must(l.SetDeadline(w.deadline(3)))
		p.streams[w.text(2)] = get(l.AcceptConn())
	case "dial":
		ctx, cancel := w.within(3)
		defer cancel()
		p.streams[w.text(1)] = get(p.dev.Dial(ctx, w.token(2)))
	}
}

// transfer writes, reads so much, or reads to the end.
func (p *peer) transfer(w words) (said string) {
	c := p.stream(w.text(1))
	switch w[0] {
	case "put":
		must(c.SetDeadline(w.deadline(2)))
		get(c.Write(w.bytes(3)))
	case "feed":
		must(c.SetDeadline(w.deadline(4)))
		get(c.Write(pattern(w.int(2), w.int(3))))
	case "get":
		must(c.SetDeadline(w.deadline(3)))
		buf := make([]byte, w.int(2))
		n, err := io.ReadFull(c, buf)
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			must(err)
		}
		said = inHex(buf[:n])
	case "eat":
		must(c.SetDeadline(w.deadline(2)))
		sum := crc32.NewIEEE()
		n := get(io.Copy(sum, c))
		said = fmt.Sprintf("%d %08x", n, sum.Sum32())
	}
	return said
}

func (p *peer) streamCommand(w words) (said string, known bool) {
	switch w[0] {
	case "listen":
		l := get(p.dev.Listen())
		p.listeners[w.text(1)] = l
		said = l.Token().Text()
	case "unlisten":
		if l := p.listeners[w.text(1)]; l != nil {
			must(l.Close())
		}
		delete(p.listeners, w[1])
	case "accept", "dial":
		p.connect(w)
	case "put", "feed", "get", "eat":
		said = p.transfer(w)
	case "shut":
		must(p.stream(w.text(1)).CloseWrite())
	case "hangup":
		must(p.stream(w.text(1)).Close())
		delete(p.streams, w[1])
	default:
		return "", false
	}
	return said, true
}

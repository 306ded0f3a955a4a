// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

// Peer speaks for Go in the matrix of languages: see bindings/conformance.md.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/libism/libism/bindings/go/ism"
)

// peer is the open device, and what belongs to it by the driver's names.
type peer struct {
	dev       *ism.Device
	regions   map[string]*ism.Region
	rings     map[string]ring
	listeners map[string]*ism.Listener
	streams   map[string]*ism.Conn
}

// words are those of a command; what is wrong with them ends it by a panic with a
// failure.
type words []string

type failure struct {
	errno syscall.Errno
	text  string
}

func (f failure) Error() string      { return f.text }
func (f failure) Unwrap() error      { return f.errno }
func fail(e syscall.Errno, t string) { panic(failure{e, t}) }

// must is for calls whose error is the command's.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func get[T any](v T, err error) T {
	must(err)
	return v
}

func (w words) text(i int) string {
	if i >= len(w) {
		fail(syscall.EINVAL, "too few words")
	}
	return w[i]
}

func (w words) int(i int) int {
	n, err := strconv.Atoi(w.text(i))
	if err != nil {
		fail(syscall.EINVAL, "not a number: "+w[i])
	}
	return n
}

func (w words) timeout(i int) time.Duration { return time.Duration(w.int(i)) * time.Millisecond }
func (w words) deadline(i int) time.Time    { return time.Now().Add(w.timeout(i)) }
func (w words) token(i int) ism.Token       { return get(ism.ParseToken(w.text(i))) }

func (w words) bytes(i int) []byte {
	if w.text(i) == "-" {
		return nil
	}
	return get(hex.DecodeString(w[i]))
}

func (w words) has(word string) bool {
	for _, have := range w {
		if have == word {
			return true
		}
	}
	return false
}

func (w words) within(i int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), w.timeout(i))
}

func inHex(p []byte) string {
	if len(p) == 0 {
		return "-"
	}
	return hex.EncodeToString(p)
}

func pattern(n, seed int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte((seed + i) % 251)
	}
	return p
}

// errno is the number that the driver looks for.
func errno(err error) syscall.Errno {
	var number syscall.Errno
	switch {
	case errors.As(err, &number):
		return number
	case errors.Is(err, io.EOF):
		return syscall.EPIPE
	case errors.Is(err, io.ErrShortBuffer):
		return syscall.EMSGSIZE
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return syscall.ETIMEDOUT
	case errors.Is(err, net.ErrClosed): // what C has for an end of a stream that was closed
		return syscall.EPIPE
	}
	return syscall.EINVAL
}

func (p *peer) open(w words) string {
	if p.dev != nil {
		fail(syscall.EBUSY, "a device is open")
	}
	dev := get(ism.Open(w.text(1), &ism.OpenOptions{NoHost: !w.has("host"), Name: "matrix-go"}))
	info := get(dev.Info())
	*p = peer{
		dev: dev, regions: map[string]*ism.Region{}, rings: map[string]ring{},
		listeners: map[string]*ism.Listener{}, streams: map[string]*ism.Conn{},
	}
	return fmt.Sprintf("%d %016x", info.Devid, info.GID)
}

func (p *peer) close() {
	if p.dev != nil {
		p.dev.Close() // and all that belongs to it
	}
	p.dev = nil
}

// run does one command; what it panics with is the error.
func (p *peer) run(w words) (said string, err error) {
	defer func() {
		if r := recover(); r != nil {
			var is bool
			if err, is = r.(error); !is {
				panic(r)
			}
		}
	}()
	switch w[0] {
	case "hello":
		return "go " + ism.Version() + " ring stream", nil
	case "open":
		return p.open(w), nil
	}
	if p.dev == nil {
		fail(syscall.ENODEV, "no device is open")
	}
	if w[0] == "close" {
		p.close()
		return "", nil
	}
	for _, try := range []func(words) (string, bool){p.regionCommand, p.memoryCommand, p.ringCommand, p.streamCommand} {
		if said, known := try(w); known {
			return said, nil
		}
	}
	return "", failure{syscall.ENOSYS, "unknown command"}
}

func main() {
	var p peer
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		w := words(strings.Fields(in.Text()))
		if len(w) == 0 {
			continue
		}
		if w[0] == "quit" {
			fmt.Println("ok")
			break
		}
		said, err := p.run(w)
		if err != nil {
			fmt.Println("err", int(errno(err)), strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println(strings.TrimRight("ok "+said, " "))
		}
	}
	p.close()
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/libism/libism/bindings/go/ism"
)

// patience is how long anything that must come may take, soon how long to wait
// for what must not come.
const (
	patience = 30 * time.Second
	soon     = 50 * time.Millisecond
)

// domain is the URI of a domain of the test's own.
func domain(t testing.TB) string {
	dir, err := os.MkdirTemp("", "ism-go.")
	ok(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return "emu:" + filepath.Join(dir, "domain")
}

func open(t testing.TB, uri string) *ism.Device {
	t.Helper()
	dev, err := ism.Open(uri, nil)
	ok(t, err)
	t.Cleanup(func() { dev.Close() })
	return dev
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must is the value of a call that has to succeed.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func fails(t testing.TB, errno syscall.Errno, err error) {
	t.Helper()
	if !errors.Is(err, errno) {
		t.Fatalf("got %v, expected %v", err, errno)
	}
}

func same[T comparable](t testing.TB, got, expected T) {
	t.Helper()
	if got != expected {
		t.Fatalf("got %v, expected %v", got, expected)
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func devid(t testing.TB, d *ism.Device) uint64 { return must(d.Info()).Devid }

// event is the next one that is not a doorbell.
func event(t testing.TB, d *ism.Device) ism.Event {
	t.Helper()
	for {
		ev, err := d.NextEvent(within(t, patience))
		ok(t, err)
		if ev.Kind != ism.Update {
			return ev
		}
	}
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("this did not come: %s", what)
		}
	}
}

func pattern(n, seed int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte((seed + i) % 251)
	}
	return p
}

// other is another process: this test program, in a role.
type other struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t testing.TB, role, uri string) *other {
	o := &other{cmd: exec.Command(os.Args[0])}
	o.cmd.Env = append(os.Environ(), "ISM_TEST_ROLE="+role, "ISM_TEST_URI="+uri)
	o.cmd.Stderr = os.Stderr
	o.in = must(o.cmd.StdinPipe())
	o.out = bufio.NewReader(must(o.cmd.StdoutPipe()))
	ok(t, o.cmd.Start())
	t.Cleanup(o.kill)
	return o
}

func (o *other) tell(words ...any) { fmt.Fprintln(o.in, words...) }

func (o *other) hear() string {
	line, err := o.out.ReadString('\n')
	if err != nil {
		panic(fmt.Sprintf("the other process ended without a word: %v", err))
	}
	return strings.TrimSpace(line)
}

// kill is SIGKILL, and gone.
func (o *other) kill() {
	o.cmd.Process.Kill()
	o.cmd.Wait()
}

func TestMain(m *testing.M) {
	role := os.Getenv("ISM_TEST_ROLE")
	if role == "" {
		os.Exit(m.Run())
	}
	in := bufio.NewReader(os.Stdin)
	token := func() ism.Token { return must(ism.ParseToken(strings.TrimSpace(must(in.ReadString('\n'))))) }
	dev := must(ism.Open(os.Getenv("ISM_TEST_URI"), nil))
	switch role {
	case "host":
		fmt.Println("hosting")
	case "attach and write":
		region := must(dev.Attach(token(), ism.Read|ism.Write, nil))
		ring := must(must(dev.Attach(token(), ism.Read|ism.Write, nil)).AttachRingWriter(ism.Place{}))
		copy(region.Bytes(), "still")
		must(0, region.Notify())
		must(ring.Write([]byte("last")))
		fmt.Println("written")
	case "dial":
		c := must(dev.Dial(context.Background(), token()))
		must(c.Write([]byte("alive")))
		fmt.Println("dialled")
	}
	in.ReadString('\n') // until it is killed
}

// closedError fails unless err says that something is closed.
func closedError(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, net.ErrClosed) {
		t.Fatalf("got %v, expected net.ErrClosed", err)
	}
}

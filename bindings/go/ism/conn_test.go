// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libism/libism/bindings/go/ism"
)

// conns is a connection between two devices.
func conns(t testing.TB, uri string) (client, server *ism.Conn) {
	t.Helper()
	a, b := open(t, uri), open(t, uri)
	listener := must(a.Listen())
	accepted := make(chan *ism.Conn, 1)
	go func() { accepted <- must(listener.AcceptConn()) }()
	client, err := b.Dial(within(t, patience), listener.Token())
	ok(t, err)
	server = <-accepted
	ok(t, listener.Close())
	return client, server
}

// inCalls is how many goroutines are in a system call or in C, and so have a thread
// each; how many threads there are depends on what else the machine does.
func inCalls() int {
	buf := make([]byte, 8<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), " [syscall")
}

func TestHalfClose(t *testing.T) {
	client, server := conns(t, domain(t))
	sent := pattern(20*mib, 1)
	go func() {
		must(client.Write(sent))
		must(0, client.CloseWrite())
	}()
	got, err := io.ReadAll(server)
	ok(t, err)
	if !bytes.Equal(got, sent) {
		t.Fatal("the bytes differ")
	}
	_, err = client.Write([]byte("more"))
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	// The other direction is open.
	must(server.Write([]byte("answer")))
	ok(t, server.Close())
	got, err = io.ReadAll(client)
	ok(t, err)
	same(t, string(got), "answer")
	ok(t, client.Close())
}

func TestAddr(t *testing.T) {
	client, server := conns(t, domain(t))
	same(t, client.RemoteAddr().String(), server.LocalAddr().String())
	same(t, server.RemoteAddr().String(), client.LocalAddr().String())
	same(t, client.LocalAddr().Network(), "ism")
}

func TestDeadlines(t *testing.T) {
	client, server := conns(t, domain(t))
	timeout := func(err error) {
		t.Helper()
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
	}
	ok(t, client.SetDeadline(time.Now().Add(soon)))
	_, err := client.Read(make([]byte, 1))
	timeout(err)
	_, err = client.Write(make([]byte, 8*mib))
	timeout(err)
	// Moved while somebody waits.
	ok(t, client.SetDeadline(time.Time{}))
	errs := make(chan error)
	go func() { _, err := client.Read(make([]byte, 1)); errs <- err }()
	time.Sleep(soon)
	ok(t, client.SetReadDeadline(time.Now()))
	timeout(<-errs)
	ok(t, client.SetReadDeadline(time.Time{}))
	must(server.Write([]byte("x")))
	same(t, must(client.Read(make([]byte, 1))), 1)

	listener := must(open(t, "loop:").Listen())
	ok(t, listener.SetDeadline(time.Now().Add(soon)))
	_, err = listener.Accept()
	timeout(err)
}

func TestConnKilled(t *testing.T) {
	uri := domain(t)
	dev := open(t, uri)
	listener := must(dev.Listen())
	child := start(t, "dial", uri)
	child.tell(listener.Token().Text())
	c := must(listener.Accept())
	same(t, child.hear(), "dialled")
	child.kill()
	said := make([]byte, 5)
	must(io.ReadFull(c, said))
	same(t, string(said), "alive")
	_, err := c.Read(said)
	fails(t, syscall.ECONNRESET, err)
	eventually(t, "the end of writing", func() bool { _, err = c.Write(said); return err != nil })
	fails(t, syscall.EPIPE, err)
}

func TestRefused(t *testing.T) {
	uri := domain(t)
	a, b := open(t, uri), open(t, uri)
	listener := must(a.Listen())
	slots := listener.Region()
	_, err := b.Dial(within(t, soon), listener.Token())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	for i := 0; i < 1024; i++ {
		same(t, atomic.LoadUint64(slots.Uint64(64+8*i)), 0) // it took its token back
		atomic.StoreUint64(slots.Uint64(64+8*i), 1)
	}
	_, err = b.Dial(within(t, patience), listener.Token())
	fails(t, syscall.ECONNREFUSED, err)
	_, err = b.Dial(within(t, patience), must(a.Alloc(1, nil)).Token())
	fails(t, syscall.EPROTO, err)
	for i := 0; i < 1024; i++ {
		atomic.StoreUint64(slots.Uint64(64+8*i), 0)
	}
	errs := make(chan error)
	go func() { _, err := b.Dial(within(t, patience), listener.Token()); errs <- err }()
	eventually(t, "the dialler", func() bool { return len(must(slots.Peers())) > 0 && atomic.LoadUint64(slots.Uint64(64)) != 0 })
	ok(t, listener.Close())
	fails(t, syscall.ECONNREFUSED, <-errs)
	_, err = b.Dial(within(t, patience), listener.Token())
	fails(t, syscall.ENOENT, err)
}

// Nonsense in the slots, and a count that cannot be, hurt nobody else.
func TestHostileDialler(t *testing.T) {
	uri := domain(t)
	a, b, bad := open(t, uri), open(t, uri), open(t, uri)
	listener := must(a.Listen())
	slots := must(bad.Attach(listener.Token(), ism.Read|ism.Write, nil))
	junk := must(bad.Alloc(64<<10, nil))
	for i := range junk.Bytes() {
		junk.Bytes()[i] = 0xa5
	}
	atomic.StoreUint32(slots.Uint32(8), 1<<32-1)
	atomic.StoreUint64(slots.Uint64(64), 12345)
	atomic.StoreUint64(slots.Uint64(72), uint64(junk.Token()))
	accepted := make(chan net.Conn)
	go func() { accepted <- must(listener.Accept()) }()
	c := must(b.Dial(within(t, patience), listener.Token()))
	s := <-accepted
	must(c.Write([]byte("good")))
	ok(t, c.Close())
	same(t, string(must(io.ReadAll(s))), "good")
}

// An HTTP server and client; only the listener and the dialler are other ones.
func TestHTTP(t *testing.T) {
	uri := domain(t)
	a, b := open(t, uri), open(t, uri)
	listener := must(a.Listen())
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("From", r.RemoteAddr)
		body := must(io.ReadAll(r.Body)) // HTTP/1 does not read on once the answer has begun
		w.Write(body)
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := &http.Server{Handler: mux, ReadTimeout: patience, WriteTimeout: patience}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()

	transport := &http.Transport{
		DialContext: (&ism.Dialer{Device: b, Token: listener.Token()}).DialContext, MaxIdleConnsPerHost: 64,
	}
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for i := 0; i < 50; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			for j := 0; j < 5; j++ { // kept alive in between
				sent := pattern(1+i*j*5000, i)
				resp := must(client.Post("http://ism/echo", "application/octet-stream", bytes.NewReader(sent)))
				got := must(io.ReadAll(resp.Body))
				resp.Body.Close()
				if !bytes.Equal(got, sent) || resp.Header.Get("From") == "" {
					t.Errorf("request %d %d: %d bytes came back", i, j, len(got))
				}
			}
		}(i)
	}
	all.Wait()

	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	_, err := client.Do(must(http.NewRequestWithContext(ctx, "GET", "http://ism/hang", nil)))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	transport.CloseIdleConnections()
	ok(t, server.Shutdown(within(t, patience)))
	if err := <-served; err != http.ErrServerClosed {
		t.Errorf("got %v", err)
	}
	eventually(t, "the end of all connections", func() bool { return must(b.Stats()).Regions == 0 })
}

type Arith struct{}

func (Arith) Twice(n int, ret *int) error {
	*ret = 2 * n
	return nil
}

func TestRPC(t *testing.T) {
	client, server := conns(t, domain(t))
	s := rpc.NewServer()
	ok(t, s.Register(Arith{}))
	go s.ServeConn(server)
	c := rpc.NewClient(client)
	defer c.Close()
	for i := 0; i < 1000; i++ {
		var got int
		ok(t, c.Call("Arith.Twice", i, &got))
		same(t, got, 2*i)
	}
}

// Goroutines that wait have no threads.
func TestManyWaiters(t *testing.T) {
	uri := domain(t)
	a, b := open(t, uri), open(t, uri)
	listener := must(a.Listen())
	const nr = 500
	var parked, done sync.WaitGroup
	parked.Add(nr)
	done.Add(nr)
	go func() {
		for i := 0; i < nr; i++ {
			c := must(listener.Accept())
			go func() {
				defer done.Done()
				defer c.Close()
				parked.Done()
				var number [4]byte
				for {
					if _, err := io.ReadFull(c, number[:]); err == io.EOF {
						return
					}
					must(c.Write(number[:]))
				}
			}()
		}
	}()
	dialer := &ism.Dialer{Device: b, Token: listener.Token(), RingSize: 4096}
	clients := make([]*ism.Conn, nr)
	for i := range clients {
		clients[i] = must(dialer.Connect(within(t, patience)))
	}
	parked.Wait()
	eventually(t, "all waiters parked without a thread", func() bool { return inCalls() == 0 })
	for round := 0; round < 3; round++ {
		for i, c := range clients {
			var number [4]byte
			binary.LittleEndian.PutUint32(number[:], uint32(i))
			must(c.Write(number[:]))
			ok(t, c.SetReadDeadline(time.Now().Add(patience)))
			must(io.ReadFull(c, number[:]))
			same(t, binary.LittleEndian.Uint32(number[:]), uint32(i))
		}
	}
	for _, c := range clients {
		ok(t, c.Close())
	}
	done.Wait()
	eventually(t, "the end of all connections", func() bool { return must(b.Stats()).Regions == 0 })
}

// Close and everything else, at once.
func TestCloseRaces(t *testing.T) {
	uri := domain(t)
	for i := 0; i < 50; i++ {
		client, server := conns(t, uri)
		var all sync.WaitGroup
		for _, f := range []func(){
			func() { client.Read(make([]byte, 10)) },
			func() { client.Write(make([]byte, mib)) },
			func() { client.SetDeadline(time.Now().Add(time.Second)) },
			func() { client.CloseWrite() },
			func() { server.Read(make([]byte, mib)) },
			func() { client.Close() },
			func() { server.Close() },
		} {
			all.Add(1)
			go func(f func()) { defer all.Done(); f() }(f)
		}
		all.Wait()
	}
}

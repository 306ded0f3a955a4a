// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

// HTTP through shared memory: a module of a user's own, which finds the package
// through the replace in its go.mod.
//
// A server and a client, usually two programs, share nothing but the listener's
// token. Only the listener of the one and the dialler of the other are not net's.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/libism/libism/bindings/go/ism"
)

func newServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/shout", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintln(w, strings.ToUpper(string(text)))
	})
	// Deadlines are the connection's, as with TCP.
	return &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
}

func main() {
	emu, err := ism.StartEmu(nil) // a private domain; programs open "emu:"
	if err != nil {
		log.Fatal(err)
	}
	defer emu.Stop()
	ours, err := ism.Open(emu.URI(), nil)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := ours.Listen()
	if err != nil {
		log.Fatal(err)
	}
	server := newServer()
	defer server.Close()
	go server.Serve(listener)

	theirs, err := ism.Open(emu.URI(), nil)
	if err != nil {
		log.Fatal(err)
	}
	dialer := &ism.Dialer{Device: theirs, Token: listener.Token()}
	client := &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext},
		Timeout:   10 * time.Second,
	}
	answer, err := client.Post("http://ism/shout", "text/plain", strings.NewReader("hello through shared memory"))
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	io.Copy(os.Stdout, answer.Body)
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/libism/libism/bindings/go/ism"
)

// Memory and a doorbell. The two devices are usually in two processes.
func Example() {
	ours, err := ism.Open("loop:example", nil) // "emu:" between processes
	if err != nil {
		log.Fatal(err)
	}
	defer ours.Close()
	region, err := ours.Alloc(1<<20, nil)
	if err != nil {
		log.Fatal(err)
	}

	theirs, err := ism.Open("loop:example", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer theirs.Close()
	attached, err := theirs.Attach(region.Token(), ism.Read, nil)
	if err != nil {
		log.Fatal(err)
	}

	copy(region.Bytes(), "hello through shared memory")
	region.Notify()
	if err := attached.Wait(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", attached.Bytes()[:27])
	// Output: hello through shared memory
}

// A connection, as package net has them.
func ExampleDevice_Listen() {
	server, _ := ism.Open("loop:listen", nil)
	client, _ := ism.Open("loop:listen", nil)
	defer server.Close()
	defer client.Close()
	listener, err := server.Listen()
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		io.WriteString(conn, "welcome")
		conn.Close()
	}()
	conn, err := client.Dial(context.Background(), listener.Token())
	if err != nil {
		log.Fatal(err)
	}
	text, _ := io.ReadAll(conn)
	fmt.Printf("%s\n", text)
	// Output: welcome
}

// Records in place: written where they lie, and read there.
func ExampleRingWriter_Reserve() {
	dev, _ := ism.Open("loop:", nil) // the two ends are usually in two processes
	defer dev.Close()
	region, err := dev.Alloc(1<<16, nil)
	if err != nil {
		log.Fatal(err)
	}
	writer, _ := region.CreateRingWriter(ism.Place{})
	reader, _ := region.AttachRingReader(ism.Place{})

	room, err := writer.Reserve(100)
	if err != nil {
		log.Fatal(err)
	}
	n := copy(room, "not copied")
	writer.Commit(n)

	record, err := reader.Peek()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", record)
	reader.Release() // record must not be touched after it
	// Output: not copied
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism

// #include "glue.h"
import "C"

import (
	"net"
	"syscall"
	"unsafe"
)

// An Error is a call of libism that failed.
//
// errors.Is finds the number in it, and what the number means to package os:
//
//	errors.Is(err, syscall.ENOENT)
//	errors.Is(err, os.ErrNotExist)
type Error struct {
	Op     string        // what was tried: "attach"
	Errno  syscall.Errno // what came of it
	Detail string        // in words: what was wrong, and what was expected
}

func (e *Error) Error() string {
	text := "ism: " + e.Op + ": " + C.GoString(C.ism_strerror(C.int(e.Errno)))
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap gives the number.
func (e *Error) Unwrap() error { return e.Errno }

// Timeout says whether more time might have helped.
func (e *Error) Timeout() bool { return e.Errno.Timeout() }

// Temporary is there because net.Error has it.
func (e *Error) Temporary() bool { return e.Errno.Temporary() }

var _ net.Error = (*Error)(nil)

func failed(op string, errno syscall.Errno, detail string) error {
	return &Error{Op: op, Errno: errno, Detail: detail}
}

// errClosed is for calls on what has been closed: it is net.ErrClosed, and so
// what package net's users look for.
func errClosed(op string) error {
	return &net.OpError{Op: op, Net: "ism", Err: net.ErrClosed}
}

// result makes a Go error of C's result.
func result(op string, res C.struct_go_result) (int, error) {
	if res.r >= 0 {
		return int(res.r), nil
	}
	detail := C.GoString(res.detail)
	C.free(unsafe.Pointer(res.detail))
	return 0, failed(op, syscall.Errno(-res.r), detail)
}

// check is result without the count.
func check(op string, res C.struct_go_result) error {
	_, err := result(op, res)
	return err
}

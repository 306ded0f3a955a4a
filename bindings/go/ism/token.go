// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism

// #include "glue.h"
import "C"

import (
	"fmt"
	"strings"
	"unsafe"
)

// A Token names a region. Whoever knows it, and has the right, can attach: treat
// it as a password. %v does not show it; Text does.
type Token uint64

// String hides the token, so that it gets into no log.
func (Token) String() string { return "Token(..)" }

// GoString hides the token too.
func (Token) GoString() string { return "ism.Token(..)" }

// Text is the token as 16 hexadecimal digits.
func (t Token) Text() string { return fmt.Sprintf("%016x", uint64(t)) }

// ParseToken reads a token of 1 to 16 hexadecimal digits, or a reference
// "ism:GID/TOKEN", of which it takes the token.
func ParseToken(text string) (Token, error) {
	_, token, err := ParseRef(text)
	return token, err
}

// ParseRef reads a reference "ism:GID/TOKEN"; of a bare token the gid is 0.
func ParseRef(text string) (gid uint64, token Token, err error) {
	ctext := C.CString(text)
	defer C.free(unsafe.Pointer(ctext))
	var cgid, ctoken C.uint64_t
	if err := check("parse", C.go_ref_parse(ctext, &cgid, &ctoken)); err != nil {
		return 0, 0, err
	}
	return uint64(cgid), Token(ctoken), nil
}

// Rights are what a device may do with a region.
type Rights uint32

// The rights. Write needs Read. CleanDefault, in a grant for a device, also takes
// the default away, so that only devices with a grant remain.
const (
	Read         Rights = C.ISM_READ
	Write        Rights = C.ISM_WRITE
	Attach       Rights = C.ISM_ATTACH
	Manage       Rights = C.ISM_MANAGE
	CleanDefault Rights = C.ISM_CLEAN_DEFAULT
)

var rightNames = []struct {
	right Rights
	name  string
}{{Read, "Read"}, {Write, "Write"}, {Attach, "Attach"}, {Manage, "Manage"}, {CleanDefault, "CleanDefault"}}

// String is like "Read|Attach".
func (r Rights) String() string {
	var names []string
	for _, n := range rightNames {
		if r&n.right != 0 {
			names = append(names, n.name)
			r &^= n.right
		}
	}
	if r != 0 || len(names) == 0 {
		names = append(names, fmt.Sprintf("%#x", uint32(r)))
	}
	return strings.Join(names, "|")
}

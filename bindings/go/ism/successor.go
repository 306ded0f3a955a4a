// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism

// #include "glue.h"
import "C"

import "syscall"

// Replace makes a successor of the region, to shut out those whose rights were
// taken with Grant: one of the same size, with fresh memory, a token of its own and
// the rights that are left. The other referrers that may attach it get Moved, and
// go over with Successor when it suits them. The region stays as it is until it is
// closed. Of the options, PooledFor is refused.
func (r *Region) Replace(options *AllocOptions) (*Region, error) {
	done, err := r.use("replace")
	if err != nil {
		return nil, err
	}
	defer done()
	flags, node, peer := options.raw()
	if peer != 0 {
		return nil, failed("replace", syscall.EINVAL, "a successor is not pooled")
	}
	return r.successor(C.go_replace(r.c, flags, node), "replace")
}

// Successor attaches the region's successor, after Moved: Read maps it read-only,
// Read|Write for writing too. It fails with ENOENT if there is none, or none for
// this device.
func (r *Region) Successor(rights Rights, options *AttachOptions) (*Region, error) {
	done, err := r.use("attach")
	if err != nil {
		return nil, err
	}
	defer done()
	return r.successor(C.go_successor(r.c, C.uint32_t(rights), options.raw()), "attach")
}

// ShutOut makes a successor of the region that token names without the devices
// devids, which lose all that they have on it. The host's user and root may do that,
// who need not refer to the region: Device.ShutOut is to Region.Replace what Kick is
// to Close. The successor may be read; it is to be kept until one of the others has
// gone over.
func (d *Device) ShutOut(token Token, devids ...uint64) (*Region, error) {
	done, err := d.use("shut out")
	if err != nil {
		return nil, err
	}
	defer done()
	var first *C.uint64_t
	if len(devids) > 0 {
		first = (*C.uint64_t)(&devids[0])
	}
	res := C.go_shut_out(d.c, C.uint64_t(token), first, C.size_t(len(devids)))
	if err := check("shut out", res); err != nil {
		return nil, err
	}
	return d.region((*C.struct_ism_region)(res.ptr))
}

func (r *Region) successor(res C.struct_go_result, op string) (*Region, error) {
	if err := check(op, res); err != nil {
		return nil, err
	}
	return r.dev.region((*C.struct_ism_region)(res.ptr))
}

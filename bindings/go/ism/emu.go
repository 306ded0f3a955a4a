// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism

// #include "glue.h"
import "C"

import (
	"sync"
	"unsafe"
)

// An Emu is a private domain for a test, with faults if wanted. It is not for
// several goroutines at once.
type Emu struct {
	c    *C.struct_ism_emu
	once sync.Once
}

// EmuOptions say how to start a domain.
type EmuOptions struct {
	WithinProcess bool   // no thread, no file
	Faults        string // as ism-emu.h has them: "alloc:3=ENOSPC"
	DeviceQuota   Quota  // of each device
	UserQuota     Quota  // of all devices of a user together
}

func (q Quota) raw() C.struct_ism_emu_quota {
	return C.struct_ism_emu_quota{
		bytes: C.uint64_t(q.Bytes), regions: C.uint32_t(q.Regions), grants: C.uint32_t(q.Grants),
		attach_rate: C.uint32_t(q.AttachRate), notify_rate: C.uint32_t(q.NotifyRate), devices: C.uint32_t(q.Devices),
	}
}

// StartEmu starts a domain of a test's own.
func StartEmu(options *EmuOptions) (*Emu, error) {
	var o EmuOptions
	if options != nil {
		o = *options
	}
	faults := cString(o.Faults)
	defer C.free(unsafe.Pointer(faults))
	device, user := o.DeviceQuota.raw(), o.UserQuota.raw()
	res := C.go_emu_start(flag(o.WithinProcess, C.ISM_EMU_LOOP), faults, &device, &user)
	if err := check("emu", res); err != nil {
		return nil, err
	}
	return &Emu{c: (*C.struct_ism_emu)(res.ptr)}, nil
}

// Stop ends the domain. Close its devices first.
func (e *Emu) Stop() { e.once.Do(func() { C.ism_emu_stop(e.c) }) }

// URI is what to open its devices with.
func (e *Emu) URI() string { return C.GoString(C.ism_emu_uri(e.c)) }

// Dir is its directory, as $ISM_RUNTIME_DIR; empty if it has none.
func (e *Emu) Dir() string { return C.GoString(C.ism_emu_dir(e.c)) }

// Kill makes the host die, as if its process had been killed.
func (e *Emu) Kill() error { return check("emu", C.go_emu_kill(e.c)) }

// Restart makes a new host at the same place, with nothing in it.
func (e *Emu) Restart() error { return check("emu", C.go_emu_restart(e.c)) }

// SetFaults replaces the faults, and counts passes from the start.
func (e *Emu) SetFaults(faults string) error {
	cfaults := C.CString(faults)
	defer C.free(unsafe.Pointer(cfaults))
	return check("emu", C.go_emu_set_faults(e.c, cfaults))
}

// Passes is how often a point, such as "alloc", was passed in this process.
func (e *Emu) Passes(point string) (int, error) {
	cpoint := C.CString(point)
	defer C.free(unsafe.Pointer(cpoint))
	return result("emu", C.go_emu_passes(e.c, cpoint))
}

// Fired is how many faults happened in this process.
func (e *Emu) Fired() (int, error) { return result("emu", C.go_emu_fired(e.c)) }

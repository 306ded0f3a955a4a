// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

package ism

// #include "glue.h"
import "C"

import "unsafe"

// A Host says who stands behind a device.
type Host uint32

// The hosts.
const (
	HostPrivate  Host = C.ISM_HOST_PRIVATE  // loop: a domain inside this process
	HostEmbedded Host = C.ISM_HOST_EMBEDDED // a process that opened the domain, maybe this one
	HostDaemon   Host = C.ISM_HOST_DAEMON   // ismd
	HostDevice   Host = C.ISM_HOST_DEVICE   // a virtio-ism device
)

// Info tells what a device is.
type Info struct {
	GID        uint64 // the sharing domain
	Devid      uint64 // this device in it, never 0
	ChunkSize  uint64 // regions are whole chunks, bytes
	NotifySize uint64 // of the notify area per chunk; 0: none
	WindowSize uint64 // bytes that all attached regions can take together
	MaxRegion  uint64 // the largest region, bytes
	MaxRegions uint32 // attached at one time
	Host       Host   // who stands behind it
	HostPID    int32  // of the emulated host; 0: unknown
	Features   uint32 // virtio feature bits
	Backend    string // "loop", "emu", "kdev"
	Path       string // socket, device node or domain name
}

// Info tells what the device is.
func (d *Device) Info() (Info, error) {
	done, err := d.use("query")
	if err != nil {
		return Info{}, err
	}
	defer done()
	var raw C.struct_ism_info
	if err := check("query", C.go_query(d.c, &raw)); err != nil {
		return Info{}, err
	}
	return Info{
		GID: uint64(raw.gid), Devid: uint64(raw.devid), ChunkSize: uint64(raw.chunk_size),
		NotifySize: uint64(raw.notify_size), WindowSize: uint64(raw.window_size),
		MaxRegion: uint64(raw.max_region), MaxRegions: uint32(raw.max_regions), Host: Host(raw.host),
		HostPID: int32(raw.host_pid), Features: uint32(raw.features),
		Backend: C.GoString(&raw.backend[0]), Path: C.GoString(&raw.path[0]),
	}, nil
}

// Stats are counters of a device since it was opened.
type Stats struct {
	Notifies        uint64 // doorbells that this device rang
	RingsDirect     uint64 // doorbells rung in a peer's memory
	RingsHost       uint64 // doorbells given to the host to pass on
	WakesSent       uint64 // of these, with a system call because the other end slept
	WakesSuppressed uint64 // of these, without: awake, or pending already
	SpinsPaid       uint64 // waits that ended while spinning
	SpinsUnpaid     uint64 // spins that ended in a sleep
	Sleeps          uint64 // times a wait slept in C
	ControlCalls    uint64 // commands sent to the device
	Links           uint64 // direct doorbell links now
	Regions         uint64 // regions attached now
	Bytes           uint64 // their size
}

// Stats has the fields of struct ism_stats behind its size, in their order: else
// this does not compile.
var _ [unsafe.Sizeof(C.struct_ism_stats{})]struct{} = [unsafe.Sizeof(Stats{}) + unsafe.Sizeof(C.size_t(0))]struct{}{}

// Stats reads the device's counters.
func (d *Device) Stats() (Stats, error) {
	done, err := d.use("query")
	if err != nil {
		return Stats{}, err
	}
	defer done()
	var raw C.struct_ism_stats
	if err := check("query", C.go_stats(d.c, &raw)); err != nil {
		return Stats{}, err
	}
	return *(*Stats)(unsafe.Pointer(&raw.notifies)), nil
}

// A DeviceEntry is a device of the domain.
type DeviceEntry struct {
	Devid      uint64
	WindowSize uint64 // bytes
	Bytes      uint64 // of the regions it refers to
	Failed     uint64 // attaches that were refused, ever
	Regions    uint32 // it refers to
	UID        uint32
	PID        int32 // as its host sees it; 0: unknown
	Self       bool  // the device that asks
	Name       string
}

// A RegionEntry is a region of the domain.
type RegionEntry struct {
	Serial        uint64 // order of allocation
	Token         Token  // 0: not for this device to know
	Size          uint64 // bytes
	RequestedSize uint64 // bytes
	Creator       uint64 // devid; that device may have gone
	CreatorUID    uint32
	Referrers     uint32
	DefaultRights Rights
	Ended         bool  // no manager refers to it, its token has ended
	Successor     Token // 0: none, or not for this device to know
	Replaced      bool
}

// A ReferrerEntry is a device that refers to a region.
type ReferrerEntry struct {
	Devid    uint64
	UID      uint32
	Attached Rights // with which it attached
	Rights   Rights // what it may do now
	Creator  bool
	ShutOut  bool // it attached with more than it may do now: no doorbells
}

// A UserEntry is a user of the domain, with all its devices.
type UserEntry struct {
	UID       uint32
	Devices   uint32
	Regions   uint32 // that these refer to, each counted for each device
	Grants    uint32 // that these have given to single devices
	Bytes     uint64 // of the regions
	Failed    uint64 // attaches that were refused, ever
	OverQuota uint64 // calls that a quota was against, ever
}

// A Quota is what one device, or one user with all its devices, may have; 0: no limit.
type Quota struct {
	Bytes      uint64
	Regions    uint32
	Grants     uint32
	AttachRate uint32 // per second
	NotifyRate uint32 // doorbells per second that the host passes on
	Devices    uint32 // of a user; no meaning for a device
}

func quota(raw *C.struct_ism_quota) Quota {
	return Quota{
		Bytes: uint64(raw.bytes), Regions: uint32(raw.regions), Grants: uint32(raw.grants),
		AttachRate: uint32(raw.attach_rate), NotifyRate: uint32(raw.notify_rate), Devices: uint32(raw.devices),
	}
}

// DomainInfo tells what a domain is, what its host allows, and what has happened in it.
type DomainInfo struct {
	GID         uint64
	Devices     uint64 // now, and so the next two
	Regions     uint64
	Bytes       uint64
	Host        Host
	HostUID     uint32
	Version     string // of the host's libism
	DeviceQuota Quota  // of each device
	UserQuota   Quota  // of all devices of a user together
	Counted     bool   // the counters below are told: to the host's user and root; else they are 0

	// Since the host began.
	DevicesEver uint64
	Allocs      uint64
	Attaches    uint64
	Detaches    uint64
	Failed      uint64 // attaches that were refused
	OverQuota   uint64 // calls that a quota was against
	Commands    uint64
	Rings       uint64 // doorbells that the host passed on
	Kicks       uint64 // devices taken off
}

// Domain tells what the domain is. EOPNOTSUPP: the device cannot tell.
func (d *Device) Domain() (DomainInfo, error) {
	done, err := d.use("query")
	if err != nil {
		return DomainInfo{}, err
	}
	defer done()
	var raw C.struct_ism_domain_info
	if err := check("query", C.go_query_domain(d.c, &raw)); err != nil {
		return DomainInfo{}, err
	}
	return DomainInfo{
		GID: uint64(raw.gid), Devices: uint64(raw.devices), Regions: uint64(raw.regions), Bytes: uint64(raw.bytes),
		Host: Host(raw.host), HostUID: uint32(raw.host_uid), Version: C.GoString(&raw.version[0]),
		DeviceQuota: quota(&raw.device_quota), UserQuota: quota(&raw.user_quota), Counted: raw.counted != 0,
		DevicesEver: uint64(raw.devices_ever), Allocs: uint64(raw.allocs), Attaches: uint64(raw.attaches),
		Detaches: uint64(raw.detaches), Failed: uint64(raw.failed), OverQuota: uint64(raw.over_quota),
		Commands: uint64(raw.commands), Rings: uint64(raw.rings), Kicks: uint64(raw.kicks),
	}, nil
}

const page = 64

// Devices lists the devices of the domain that this one may see.
func (d *Device) Devices() ([]DeviceEntry, error) {
	var all []DeviceEntry
	var raw [page]C.struct_ism_device_entry
	err := d.pages(func(cursor *C.uint64_t) C.struct_go_result {
		return C.go_list_devices(d.c, &raw[0], page, cursor)
	}, func(i int) {
		r := &raw[i]
		all = append(all, DeviceEntry{
			Devid: uint64(r.devid), WindowSize: uint64(r.window_size), Bytes: uint64(r.bytes),
			Failed: uint64(r.failed), Regions: uint32(r.regions), UID: uint32(r.uid), PID: int32(r.pid),
			Self: r.self != 0, Name: C.GoString(&r.name[0]),
		})
	})
	return all, err
}

// Regions lists the regions of the domain that this device may see.
func (d *Device) Regions() ([]RegionEntry, error) {
	var all []RegionEntry
	var raw [page]C.struct_ism_region_entry
	err := d.pages(func(cursor *C.uint64_t) C.struct_go_result {
		return C.go_list_regions(d.c, &raw[0], page, cursor)
	}, func(i int) {
		r := &raw[i]
		all = append(all, RegionEntry{
			Serial: uint64(r.serial), Token: Token(r.token), Size: uint64(r.region_size),
			RequestedSize: uint64(r.requested_size), Creator: uint64(r.creator), CreatorUID: uint32(r.creator_uid),
			Referrers: uint32(r.referrers), DefaultRights: Rights(r.default_rights), Ended: r.ended != 0,
			Successor: Token(r.successor), Replaced: r.replaced != 0,
		})
	})
	return all, err
}

// Referrers lists the devices that refer to a region.
func (d *Device) Referrers(token Token) ([]ReferrerEntry, error) {
	var all []ReferrerEntry
	var raw [page]C.struct_ism_referrer_entry
	err := d.pages(func(cursor *C.uint64_t) C.struct_go_result {
		return C.go_list_referrers(d.c, C.uint64_t(token), &raw[0], page, cursor)
	}, func(i int) {
		r := &raw[i]
		all = append(all, ReferrerEntry{
			Devid: uint64(r.devid), UID: uint32(r.uid), Attached: Rights(r.attached), Rights: Rights(r.rights),
			Creator: r.creator != 0, ShutOut: r.shut_out != 0,
		})
	})
	return all, err
}

// Users lists the users of the domain that this device may see: its own, or all for the
// host's user and root.
func (d *Device) Users() ([]UserEntry, error) {
	var all []UserEntry
	var raw [page]C.struct_ism_user_entry
	err := d.pages(func(cursor *C.uint64_t) C.struct_go_result {
		return C.go_list_users(d.c, &raw[0], page, cursor)
	}, func(i int) {
		r := &raw[i]
		all = append(all, UserEntry{
			UID: uint32(r.uid), Devices: uint32(r.devices), Regions: uint32(r.regions), Grants: uint32(r.grants),
			Bytes: uint64(r.bytes), Failed: uint64(r.failed), OverQuota: uint64(r.over_quota),
		})
	})
	return all, err
}

func (d *Device) pages(list func(cursor *C.uint64_t) C.struct_go_result, each func(i int)) error {
	done, err := d.use("list")
	if err != nil {
		return err
	}
	defer done()
	var cursor C.uint64_t
	for {
		n, err := result("list", list(&cursor))
		if err != nil {
			return err
		}
		for i := 0; i < n; i++ {
			each(i)
		}
		if cursor == 0 || n == 0 {
			return nil
		}
	}
}

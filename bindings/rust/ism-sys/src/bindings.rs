// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors
//
// Made from the public headers by ism-sys/gen: do not edit.

pub type __int32_t = ::std::os::raw::c_int;
pub type __uint32_t = ::std::os::raw::c_uint;
pub type __int64_t = ::std::os::raw::c_long;
pub type __uint64_t = ::std::os::raw::c_ulong;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ism_device {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ism_region {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ism_open_opts {
    pub size: usize,
    pub flags: u32,
    pub spin_us: u32,
    pub window_size: u64,
    pub timeout_ms: u32,
    pub restart_ms: u32,
    pub name: *const ::std::os::raw::c_char,
    pub log: ::std::option::Option<
        unsafe extern "C" fn(
            data: *mut ::std::os::raw::c_void,
            level: ::std::os::raw::c_int,
            subsystem: *const ::std::os::raw::c_char,
            message: *const ::std::os::raw::c_char,
        ),
    >,
    pub log_data: *mut ::std::os::raw::c_void,
}
impl Default for ism_open_opts {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ism_info {
    pub size: usize,
    pub gid: u64,
    pub devid: u64,
    pub chunk_size: u64,
    pub notify_size: u64,
    pub window_size: u64,
    pub max_region: u64,
    pub max_regions: u32,
    pub host: u32,
    pub host_pid: i32,
    pub features: u32,
    pub backend: [::std::os::raw::c_char; 16usize],
    pub path: [::std::os::raw::c_char; 112usize],
}
impl Default for ism_info {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct ism_stats {
    pub size: usize,
    pub notifies: u64,
    pub rings_direct: u64,
    pub rings_host: u64,
    pub wakes_sent: u64,
    pub wakes_suppressed: u64,
    pub spins_paid: u64,
    pub spins_unpaid: u64,
    pub sleeps: u64,
    pub control_calls: u64,
    pub links: u64,
    pub regions: u64,
    pub bytes: u64,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct ism_alloc_opts {
    pub size: usize,
    pub flags: u32,
    pub node: i32,
    pub peer: u64,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct ism_attach_opts {
    pub size: usize,
    pub flags: u32,
    pub reserved: u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct ism_device_entry {
    pub devid: u64,
    pub window_size: u64,
    pub bytes: u64,
    pub failed: u64,
    pub regions: u32,
    pub uid: u32,
    pub pid: i32,
    pub self_: u32,
    pub name: [::std::os::raw::c_char; 32usize],
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct ism_region_entry {
    pub serial: u64,
    pub token: u64,
    pub region_size: u64,
    pub requested_size: u64,
    pub creator: u64,
    pub creator_uid: u32,
    pub referrers: u32,
    pub default_rights: u32,
    pub ended: u32,
    pub successor: u64,
    pub replaced: u32,
    pub reserved: u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct ism_referrer_entry {
    pub devid: u64,
    pub uid: u32,
    pub attached: u32,
    pub rights: u32,
    pub creator: u32,
    pub shut_out: u32,
    pub reserved: u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct ism_user_entry {
    pub uid: u32,
    pub devices: u32,
    pub regions: u32,
    pub grants: u32,
    pub bytes: u64,
    pub failed: u64,
    pub over_quota: u64,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct ism_quota {
    pub bytes: u64,
    pub regions: u32,
    pub grants: u32,
    pub attach_rate: u32,
    pub notify_rate: u32,
    pub devices: u32,
    pub reserved: u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct ism_domain_info {
    pub size: usize,
    pub gid: u64,
    pub devices: u64,
    pub regions: u64,
    pub bytes: u64,
    pub host: u32,
    pub host_uid: u32,
    pub version: [::std::os::raw::c_char; 16usize],
    pub device_quota: ism_quota,
    pub user_quota: ism_quota,
    pub counted: u32,
    pub reserved: u32,
    pub devices_ever: u64,
    pub allocs: u64,
    pub attaches: u64,
    pub detaches: u64,
    pub failed: u64,
    pub over_quota: u64,
    pub commands: u64,
    pub rings: u64,
    pub kicks: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ism_event {
    pub type_: u32,
    pub peers: u32,
    pub devid: u64,
    pub token: u64,
    pub region: *mut ism_region,
}
impl Default for ism_event {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
extern "C" {
    pub fn ism_open(
        uri: *const ::std::os::raw::c_char,
        opts: *const ism_open_opts,
        ret: *mut *mut ism_device,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_close(dev: *mut ism_device);
}
extern "C" {
    pub fn ism_query(dev: *mut ism_device, ret: *mut ism_info) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_query_stats(dev: *mut ism_device, ret: *mut ism_stats) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_find_device(gid: u64) -> *mut ism_device;
}
extern "C" {
    pub fn ism_alloc_region(
        dev: *mut ism_device,
        size: usize,
        opts: *const ism_alloc_opts,
        ret: *mut *mut ism_region,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_alloc_regions(
        dev: *mut ism_device,
        size: usize,
        opts: *const ism_alloc_opts,
        nr: usize,
        ret: *mut *mut ism_region,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_attach_region(
        dev: *mut ism_device,
        token: u64,
        rights: u32,
        opts: *const ism_attach_opts,
        ret: *mut *mut ism_region,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_attach_regions(
        dev: *mut ism_device,
        tokens: *const u64,
        rights: u32,
        opts: *const ism_attach_opts,
        nr: usize,
        ret: *mut *mut ism_region,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_detach_region(region: *mut ism_region);
}
extern "C" {
    pub fn ism_detach_regions(regions: *const *mut ism_region, nr: usize);
}
extern "C" {
    pub fn ism_region_addr(region: *const ism_region) -> *mut ::std::os::raw::c_void;
}
extern "C" {
    pub fn ism_region_size(region: *const ism_region) -> usize;
}
extern "C" {
    pub fn ism_region_requested_size(region: *const ism_region) -> usize;
}
extern "C" {
    pub fn ism_region_token(region: *const ism_region) -> u64;
}
extern "C" {
    pub fn ism_region_rights(region: *const ism_region) -> u32;
}
extern "C" {
    pub fn ism_region_flags(region: *const ism_region) -> u32;
}
extern "C" {
    pub fn ism_region_device(region: *const ism_region) -> *mut ism_device;
}
extern "C" {
    pub fn ism_region_peers(region: *mut ism_region, ret_devids: *mut u64, nr: usize) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_region_set_data(region: *mut ism_region, data: *mut ::std::os::raw::c_void);
}
extern "C" {
    pub fn ism_region_data(region: *const ism_region) -> *mut ::std::os::raw::c_void;
}
extern "C" {
    pub fn ism_ref_format(
        region: *const ism_region,
        buf: *mut ::std::os::raw::c_char,
        len: usize,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_ref_parse(
        text: *const ::std::os::raw::c_char,
        ret_gid: *mut u64,
        ret_token: *mut u64,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_region_grant(region: *mut ism_region, devid: u64, rights: u32) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_region_grant_default(region: *mut ism_region, rights: u32) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_region_replace(
        region: *mut ism_region,
        opts: *const ism_alloc_opts,
        ret: *mut *mut ism_region,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_attach_successor(
        region: *mut ism_region,
        rights: u32,
        opts: *const ism_attach_opts,
        ret: *mut *mut ism_region,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_shut_out(
        dev: *mut ism_device,
        token: u64,
        devid: *const u64,
        nr: usize,
        ret: *mut *mut ism_region,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_region_notify(region: *mut ism_region) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_region_wait(region: *mut ism_region, timeout_ns: i64) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_region_fd(region: *mut ism_region) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_region_clear(region: *mut ism_region) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_fd(dev: *mut ism_device) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_wait(
        dev: *mut ism_device,
        ev: *mut ism_event,
        nr: usize,
        size: usize,
        timeout_ns: i64,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_event_next(dev: *mut ism_device, ev: *mut ism_event, size: usize) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_interrupt(dev: *mut ism_device) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_query_domain(dev: *mut ism_device, ret: *mut ism_domain_info) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_list_devices(
        dev: *mut ism_device,
        ret: *mut ism_device_entry,
        nr: usize,
        size: usize,
        cursor: *mut u64,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_list_regions(
        dev: *mut ism_device,
        ret: *mut ism_region_entry,
        nr: usize,
        size: usize,
        cursor: *mut u64,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_list_referrers(
        dev: *mut ism_device,
        token: u64,
        ret: *mut ism_referrer_entry,
        nr: usize,
        size: usize,
        cursor: *mut u64,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_list_users(
        dev: *mut ism_device,
        ret: *mut ism_user_entry,
        nr: usize,
        size: usize,
        cursor: *mut u64,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_kick_device(dev: *mut ism_device, devid: u64) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_strerror(err: ::std::os::raw::c_int) -> *const ::std::os::raw::c_char;
}
extern "C" {
    pub fn ism_error_detail() -> *const ::std::os::raw::c_char;
}
extern "C" {
    pub fn ism_version() -> *const ::std::os::raw::c_char;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ism_ring {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct ism_ring_opts {
    pub size: usize,
    pub offset: usize,
    pub length: usize,
}
extern "C" {
    pub fn ism_ring_create(
        region: *mut ism_region,
        role: u32,
        opts: *const ism_ring_opts,
        ret: *mut *mut ism_ring,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_ring_attach(
        region: *mut ism_region,
        role: u32,
        opts: *const ism_ring_opts,
        ret: *mut *mut ism_ring,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_ring_close(ring: *mut ism_ring);
}
extern "C" {
    pub fn ism_ring_region(ring: *mut ism_ring) -> *mut ism_region;
}
extern "C" {
    pub fn ism_ring_max_record(ring: *const ism_ring) -> usize;
}
extern "C" {
    pub fn ism_ring_reserve(
        ring: *mut ism_ring,
        len: usize,
        ret: *mut *mut ::std::os::raw::c_void,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_ring_commit(ring: *mut ism_ring, len: usize) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_ring_peek(
        ring: *mut ism_ring,
        ret: *mut *const ::std::os::raw::c_void,
        ret_len: *mut usize,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_ring_release(ring: *mut ism_ring) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_ring_write(
        ring: *mut ism_ring,
        data: *const ::std::os::raw::c_void,
        len: usize,
        timeout_ns: i64,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_ring_read(ring: *mut ism_ring, buf: *mut ::std::os::raw::c_void, cap: usize, timeout_ns: i64) -> i64;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ism_ring_buf {
    pub data: *mut ::std::os::raw::c_void,
    pub len: usize,
}
impl Default for ism_ring_buf {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
extern "C" {
    pub fn ism_ring_write_many(
        ring: *mut ism_ring,
        records: *const ism_ring_buf,
        nr: usize,
        timeout_ns: i64,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_ring_read_many(
        ring: *mut ism_ring,
        buffers: *mut ism_ring_buf,
        nr: usize,
        timeout_ns: i64,
    ) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_ring_wait(ring: *mut ism_ring, len: usize, timeout_ns: i64) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_ring_fd(ring: *mut ism_ring) -> ::std::os::raw::c_int;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ism_emu {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct ism_emu_quota {
    pub bytes: u64,
    pub regions: u32,
    pub grants: u32,
    pub attach_rate: u32,
    pub notify_rate: u32,
    pub devices: u32,
    pub reserved: u32,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ism_emu_opts {
    pub size: usize,
    pub flags: u32,
    pub reserved: u32,
    pub faults: *const ::std::os::raw::c_char,
    pub device: ism_emu_quota,
    pub user: ism_emu_quota,
}
impl Default for ism_emu_opts {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
extern "C" {
    pub fn ism_emu_start(opts: *const ism_emu_opts, ret: *mut *mut ism_emu) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_emu_stop(emu: *mut ism_emu);
}
extern "C" {
    pub fn ism_emu_uri(emu: *const ism_emu) -> *const ::std::os::raw::c_char;
}
extern "C" {
    pub fn ism_emu_dir(emu: *const ism_emu) -> *const ::std::os::raw::c_char;
}
extern "C" {
    pub fn ism_emu_kill(emu: *mut ism_emu) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_emu_restart(emu: *mut ism_emu) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_emu_set_faults(emu: *mut ism_emu, faults: *const ::std::os::raw::c_char) -> ::std::os::raw::c_int;
}
extern "C" {
    pub fn ism_emu_passes(emu: *const ism_emu, point: *const ::std::os::raw::c_char) -> i64;
}
extern "C" {
    pub fn ism_emu_fired(emu: *const ism_emu) -> i64;
}
pub const ISM_READ: u32 = 1;
pub const ISM_WRITE: u32 = 2;
pub const ISM_ATTACH: u32 = 4;
pub const ISM_MANAGE: u32 = 8;
pub const ISM_CLEAN_DEFAULT: u32 = 16;
pub const ISM_EVENT_UPDATE: u32 = 1;
pub const ISM_EVENT_ATTACH: u32 = 2;
pub const ISM_EVENT_DETACH: u32 = 4;
pub const ISM_EVENT_MOVED: u32 = 8;
pub const ISM_EVENT_RESET: u32 = 16;
pub const ISM_EVENT_LOST: u32 = 32;
pub const ISM_OPEN_NO_HOST: u32 = 1;
pub const ISM_ALLOC_PRIVATE: u32 = 1;
pub const ISM_ALLOC_HUGE: u32 = 2;
pub const ISM_ALLOC_NODE: u32 = 4;
pub const ISM_ALLOC_PREFAULT: u32 = 8;
pub const ISM_ALLOC_VECTOR: u32 = 16;
pub const ISM_ALLOC_REQUIRED: u32 = 32;
pub const ISM_ALLOC_POOLED: u32 = 64;
pub const ISM_ATTACH_PREFAULT: u32 = 8;
pub const ISM_ATTACH_VECTOR: u32 = 16;
pub const ISM_SPIN_NONE: u32 = 4294967295;
pub const ISM_RESTART_NONE: u32 = 4294967295;
pub const ISM_HOST_PRIVATE: u32 = 1;
pub const ISM_HOST_EMBEDDED: u32 = 2;
pub const ISM_HOST_DAEMON: u32 = 3;
pub const ISM_HOST_DEVICE: u32 = 4;
pub const ISM_REF_SIZE: u32 = 38;
pub const ISM_RING_WRITER: u32 = 1;
pub const ISM_RING_READER: u32 = 2;
pub const ISM_EMU_LOOP: u32 = 1;

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Private sharing domains for tests, and faults in them.
//!
//! ```
//! # fn main() -> ism::Result<()> {
//! let mut emu = ism::emu::Options::new().faults("alloc:2=ENOSPC").start()?;
//! let dev = ism::Device::open(emu.uri())?;
//! dev.alloc(4096)?;
//! assert_eq!(dev.alloc(4096).unwrap_err().errno(), libc::ENOSPC);
//! assert_eq!(emu.passes("alloc")?, 2);
//!
//! emu.kill()?; // as if the host's process had been killed
//! let event = dev.wait(None)?.unwrap();
//! assert_eq!(event.kind, ism::EventKind::Reset);
//! # Ok(()) }
//! ```

use crate::error::{check, Error, Result};
use ism_sys as sys;
use std::ffi::{CStr, CString};
use std::mem;
use std::path::Path;
use std::ptr::{null, null_mut, NonNull};

/// What one device, or one user with all its devices, may have; 0: as good as no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of the regions referred to.
    pub bytes: u64,
    /// Regions referred to.
    pub regions: u32,
    /// Grants to single devices.
    pub grants: u32,
    /// Attaches per second.
    pub attach_rate: u32,
    /// Doorbells per second that the host passes on.
    pub notify_rate: u32,
    /// Devices of one user; no meaning for a device.
    pub devices: u32,
}

impl Quota {
    fn raw(&self) -> sys::ism_emu_quota {
        sys::ism_emu_quota {
            bytes: self.bytes,
            regions: self.regions,
            grants: self.grants,
            attach_rate: self.attach_rate,
            notify_rate: self.notify_rate,
            devices: self.devices,
            ..Default::default()
        }
    }
}

impl From<&sys::ism_quota> for Quota {
    fn from(raw: &sys::ism_quota) -> Quota {
        Quota {
            bytes: raw.bytes,
            regions: raw.regions,
            grants: raw.grants,
            attach_rate: raw.attach_rate,
            notify_rate: raw.notify_rate,
            devices: raw.devices,
        }
    }
}

/// How to start a domain.
#[derive(Clone, Debug, Default)]
pub struct Options {
    flags: u32,
    faults: Option<String>,
    device: Quota,
    user: Quota,
}

impl Options {
    /// The defaults: reachable by other processes of this user, faults from `$ISM_EMU_FAULTS`.
    pub fn new() -> Options {
        Options::default()
    }

    /// Within this process alone: no thread, no file.
    pub fn within_process(mut self) -> Self {
        self.flags |= sys::ISM_EMU_LOOP;
        self
    }

    /// Faults, as `ism-emu.h` describes them; empty: none.
    pub fn faults(mut self, faults: &str) -> Self {
        self.faults = Some(faults.to_string());
        self
    }

    /// What each device may have.
    pub fn device_quota(mut self, quota: Quota) -> Self {
        self.device = quota;
        self
    }

    /// What each user may have.
    pub fn user_quota(mut self, quota: Quota) -> Self {
        self.user = quota;
        self
    }

    /// Start a domain of the test's own.
    pub fn start(&self) -> Result<Emu> {
        let faults = self.faults.as_deref().map(c_string).transpose()?;
        let opts = sys::ism_emu_opts {
            size: mem::size_of::<sys::ism_emu_opts>(),
            flags: self.flags,
            faults: faults.as_ref().map_or(null(), |f| f.as_ptr()),
            device: self.device.raw(),
            user: self.user.raw(),
            ..Default::default()
        };
        let mut ret = null_mut();
        // SAFETY: options and text outlive the call; the domain is ours.
        check(unsafe { sys::ism_emu_start(&opts, &mut ret) })?;
        Ok(Emu { ptr: NonNull::new(ret).expect("libism succeeded without a domain") })
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(libc::EINVAL, "a text with NUL in it"))
}

/// A domain of a test's own; it ends when this is dropped.  Close devices first.
#[derive(Debug)]
pub struct Emu {
    ptr: NonNull<sys::ism_emu>,
}

// SAFETY: may be used from any thread; what only one at a time may do takes
// &mut self, and stopping it needs its ownership.
unsafe impl Send for Emu {}
unsafe impl Sync for Emu {}

impl Emu {
    /// Start a domain with the defaults.
    pub fn start() -> Result<Emu> {
        Options::new().start()
    }

    /// The URI to open its devices with.
    pub fn uri(&self) -> &str {
        // SAFETY: lent while self lives.
        unsafe { CStr::from_ptr(sys::ism_emu_uri(self.ptr.as_ptr())) }.to_str().expect("a path in UTF-8")
    }

    /// Its directory, if it has one: as `$ISM_RUNTIME_DIR` it makes this domain the default one.
    pub fn dir(&self) -> Option<&Path> {
        // SAFETY: lent while self lives.
        let dir = unsafe { sys::ism_emu_dir(self.ptr.as_ptr()) };
        // SAFETY: a string, if not NULL.
        (!dir.is_null()).then(|| Path::new(unsafe { CStr::from_ptr(dir) }.to_str().expect("a path in UTF-8")))
    }

    /// The host dies as if its process had been killed.
    pub fn kill(&mut self) -> Result<()> {
        // SAFETY: one thread at a time.
        check(unsafe { sys::ism_emu_kill(self.ptr.as_ptr()) }).map(drop)
    }

    /// A new host at the same place, with nothing in it.
    pub fn restart(&mut self) -> Result<()> {
        // SAFETY: one thread at a time.
        check(unsafe { sys::ism_emu_restart(self.ptr.as_ptr()) }).map(drop)
    }

    /// Other faults from now on, and all passes counted from the start.
    pub fn set_faults(&self, faults: &str) -> Result<()> {
        let faults = c_string(faults)?;
        // SAFETY: the text is copied.
        check(unsafe { sys::ism_emu_set_faults(self.ptr.as_ptr(), faults.as_ptr()) }).map(drop)
    }

    /// How often a point, such as `alloc`, was passed in this process.
    pub fn passes(&self, point: &str) -> Result<u64> {
        let point = c_string(point)?;
        // SAFETY: a string.
        count(unsafe { sys::ism_emu_passes(self.ptr.as_ptr(), point.as_ptr()) })
    }

    /// How many faults happened in this process.
    pub fn fired(&self) -> Result<u64> {
        // SAFETY: from any thread.
        count(unsafe { sys::ism_emu_fired(self.ptr.as_ptr()) })
    }
}

fn count(r: i64) -> Result<u64> {
    u64::try_from(r).map_err(|_| Error::last(-r as i32))
}

impl Drop for Emu {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { sys::ism_emu_stop(self.ptr.as_ptr()) }
    }
}

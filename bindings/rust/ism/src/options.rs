// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! How devices are opened, and regions allocated and attached.

use crate::device::{self, Device};
use crate::error::{Error, Result};
use ism_sys as sys;
use std::ffi::CString;
use std::mem;
use std::ptr::null;
use std::time::Duration;

/// How to open a device.
///
/// ```
/// # fn main() -> ism::Result<()> {
/// let dev = ism::OpenOptions::new().name("reader").no_spin().open("loop:")?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    flags: u32,
    spin_us: u32,
    window_size: u64,
    timeout_ms: u32,
    restart_ms: u32,
    name: Option<String>,
}

impl OpenOptions {
    /// The defaults.
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// Fail rather than host the domain in this process.
    pub fn no_host(mut self) -> Self {
        self.flags |= sys::ISM_OPEN_NO_HOST;
        self
    }

    /// The longest time that a wait spins before it sleeps, at least 1 us.
    pub fn spin(mut self, cap: Duration) -> Self {
        self.spin_us = cap.as_micros().clamp(1, (sys::ISM_SPIN_NONE - 1).into()) as u32;
        self
    }

    /// Never spin: sleep at once.
    pub fn no_spin(mut self) -> Self {
        self.spin_us = sys::ISM_SPIN_NONE;
        self
    }

    /// Bytes of address space to reserve; rounded down to a power of two.
    pub fn window_size(mut self, bytes: u64) -> Self {
        self.window_size = bytes;
        self
    }

    /// The bound of a control call, at least 1 ms; otherwise 10 seconds.
    pub fn timeout(mut self, bound: Duration) -> Self {
        self.timeout_ms = bound.as_millis().clamp(1, u32::MAX.into()) as u32;
        self
    }

    /// How long calls wait for a daemon that is restarted, at least 1 ms; otherwise 5 seconds.
    pub fn restart(mut self, bound: Duration) -> Self {
        self.restart_ms = bound.as_millis().clamp(1, (sys::ISM_RESTART_NONE - 1).into()) as u32;
        self
    }

    /// Do not wait for a daemon that is restarted: fail at once.
    pub fn no_restart(mut self) -> Self {
        self.restart_ms = sys::ISM_RESTART_NONE;
        self
    }

    /// The label in `ism ls`, at most 31 bytes; otherwise the program's name.
    pub fn name(mut self, label: &str) -> Self {
        self.name = Some(label.to_string());
        self
    }

    /// Open the device that `uri` names: `loop:[NAME]`, `emu:[PATH]` or `dev:[PATH]`.
    pub fn open(&self, uri: &str) -> Result<Device> {
        self.open_uri(Some(uri))
    }

    /// Open the device that `$ISM_DEVICE` names, else `/dev/ism`, else `emu:`.
    pub fn open_default(&self) -> Result<Device> {
        self.open_uri(None)
    }

    fn open_uri(&self, uri: Option<&str>) -> Result<Device> {
        let uri = uri.map(|uri| c_string(uri, "URI")).transpose()?;
        let name = self.name.as_ref().map(|name| c_string(name, "name")).transpose()?;
        let raw = sys::ism_open_opts {
            size: mem::size_of::<sys::ism_open_opts>(),
            flags: self.flags,
            spin_us: self.spin_us,
            window_size: self.window_size,
            timeout_ms: self.timeout_ms,
            restart_ms: self.restart_ms,
            name: name.as_ref().map_or(null(), |name| name.as_ptr()),
            ..Default::default()
        };
        device::open(uri.as_deref(), &raw)
    }
}

fn c_string(text: &str, what: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(libc::EINVAL, &format!("{} {:?}: expected text without NUL", what, text)))
}

/// How to allocate a region.  What cannot be had is forgone, unless
/// [`required`](AllocOptions::required): [`Region::got`](crate::Region::got) tells.
///
/// ```
/// # fn main() -> ism::Result<()> {
/// # let dev = ism::Device::open("loop:")?;
/// let region = dev.alloc_with(4096, &ism::AllocOptions::new().private().prefault())?;
/// assert!(region.got().prefault);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct AllocOptions {
    flags: u32,
    node: i32,
    peer: u64,
}

impl AllocOptions {
    /// The defaults.
    pub fn new() -> AllocOptions {
        AllocOptions::default()
    }

    /// Default rights none: a peer needs a grant before it can attach.
    pub fn private(self) -> Self {
        self.with(sys::ISM_ALLOC_PRIVATE)
    }

    /// Huge pages.
    pub fn huge(self) -> Self {
        self.with(sys::ISM_ALLOC_HUGE)
    }

    /// Memory of this NUMA node.
    pub fn node(mut self, node: i32) -> Self {
        self.node = node;
        self.with(sys::ISM_ALLOC_NODE)
    }

    /// All pages present when the call returns.
    pub fn prefault(self) -> Self {
        self.with(sys::ISM_ALLOC_PREFAULT)
    }

    /// A doorbell descriptor of its own, for [`Region::fd`](crate::Region::fd).
    pub fn vector(self) -> Self {
        self.with(sys::ISM_ALLOC_VECTOR)
    }

    /// Private to the device of this id, which is granted READ, WRITE and ATTACH,
    /// and of memory that it shared with this one before.  The content is undefined.
    ///
    /// ```
    /// # fn main() -> ism::Result<()> {
    /// # let (dev, peer) = (ism::Device::open("loop:pooled")?, ism::Device::open("loop:pooled")?);
    /// let options = ism::AllocOptions::new().pooled_for(peer.info()?.devid);
    /// let region = dev.alloc_with(1 << 20, &options)?;
    /// assert_eq!(peer.attach(region.token())?.size(), 1 << 20);
    /// assert!(ism::Device::open("loop:pooled")?.attach(region.token()).is_err());
    /// # Ok(()) }
    /// ```
    pub fn pooled_for(mut self, devid: u64) -> Self {
        self.peer = devid;
        self.with(sys::ISM_ALLOC_POOLED)
    }

    /// Fail where huge pages, the node or prefaulting cannot be had.
    pub fn required(self) -> Self {
        self.with(sys::ISM_ALLOC_REQUIRED)
    }

    fn with(mut self, flag: u32) -> Self {
        self.flags |= flag;
        self
    }

    pub(crate) fn raw(&self) -> sys::ism_alloc_opts {
        sys::ism_alloc_opts {
            size: mem::size_of::<sys::ism_alloc_opts>(),
            flags: self.flags,
            node: self.node,
            peer: self.peer,
        }
    }
}

/// How to attach a region.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    flags: u32,
}

impl AttachOptions {
    /// The defaults.
    pub fn new() -> AttachOptions {
        AttachOptions::default()
    }

    /// All pages present when the call returns.
    pub fn prefault(mut self) -> Self {
        self.flags |= sys::ISM_ATTACH_PREFAULT;
        self
    }

    /// A doorbell descriptor of its own, for [`Region::fd`](crate::Region::fd).
    pub fn vector(mut self) -> Self {
        self.flags |= sys::ISM_ATTACH_VECTOR;
        self
    }

    pub(crate) fn raw(&self) -> sys::ism_attach_opts {
        sys::ism_attach_opts { size: mem::size_of::<sys::ism_attach_opts>(), flags: self.flags, ..Default::default() }
    }
}

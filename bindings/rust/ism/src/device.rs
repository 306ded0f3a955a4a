// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Devices: endpoints of a sharing domain.

use crate::emu::Quota;
use crate::error::{check, Error, Result};
use crate::event::Event;
use crate::options::{AllocOptions, AttachOptions, OpenOptions};
use crate::poll::Lend;
use crate::region::{Access, ReadOnly, ReadWrite, Region};
use crate::Token;
use ism_sys as sys;
use std::ffi::CStr;
use std::os::raw::c_char;
use std::os::unix::io::{BorrowedFd, RawFd};
use std::ptr::{null, null_mut, NonNull};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, mem};

/// Owns the C handle.  Regions hold it as well, so it is closed after the last of them.
#[derive(Debug)]
pub(crate) struct Handle(NonNull<sys::ism_device>);

// SAFETY: ism.h: calls on one device are safe from any thread, except that
// closing must not race with another call.  It is closed when the last Arc is
// dropped, and every call borrows something that holds one.
unsafe impl Send for Handle {}
unsafe impl Sync for Handle {}

impl Handle {
    pub(crate) fn ptr(&self) -> *mut sys::ism_device {
        self.0.as_ptr()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the last owner; see above.
        unsafe { sys::ism_close(self.ptr()) }
    }
}

/// An open device: one endpoint of a sharing domain.
///
/// A clone is another handle of the same device.  The device is closed when the
/// last handle, region, ring and stream of it is dropped.
///
/// ```
/// # fn main() -> ism::Result<()> {
/// let dev = ism::Device::open("loop:device")?; // a domain inside this process, for tests
/// let region = dev.alloc(1 << 20)?;
/// region.view().get(0..5).unwrap().copy_from_slice(b"hello");
///
/// // Elsewhere, where the token was told:
/// let peer = ism::Device::open("loop:device")?;
/// let theirs = peer.attach_read_only(region.token())?;
/// assert_eq!(theirs.view().get(0..5).unwrap().to_vec(), b"hello");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Device {
    pub(crate) handle: Arc<Handle>,
}

impl Device {
    /// Open the device that `uri` names: `loop:[NAME]`, `emu:[PATH]` or `dev:[PATH]`.
    pub fn open(uri: &str) -> Result<Device> {
        OpenOptions::new().open(uri)
    }

    /// Open the device that `$ISM_DEVICE` names, else `/dev/ism`, else `emu:`.
    pub fn open_default() -> Result<Device> {
        OpenOptions::new().open_default()
    }

    pub(crate) fn from_raw(ptr: *mut sys::ism_device) -> Device {
        let ptr = NonNull::new(ptr).expect("ism_open() succeeded without a device");
        Device { handle: Arc::new(Handle(ptr)) }
    }

    /// The C handle, for calls that this crate lacks.  It is valid while `self` lives.
    pub fn as_ptr(&self) -> *mut sys::ism_device {
        self.handle.ptr()
    }

    /// What the device is: its domain, its id, its limits.
    pub fn info(&self) -> Result<Info> {
        let mut raw = sys::ism_info { size: mem::size_of::<sys::ism_info>(), ..Default::default() };
        // SAFETY: the structure knows its own size.
        check(unsafe { sys::ism_query(self.as_ptr(), &mut raw) })?;
        Ok(Info::from(&raw))
    }

    /// The device's counters since it was opened.
    pub fn stats(&self) -> Result<Stats> {
        let mut raw = sys::ism_stats { size: mem::size_of::<sys::ism_stats>(), ..Default::default() };
        // SAFETY: the structure knows its own size.
        check(unsafe { sys::ism_query_stats(self.as_ptr(), &mut raw) })?;
        Ok(Stats::from(&raw))
    }

    /// Allocate a region of `size` zeroed bytes, rounded up to whole chunks.
    ///
    /// Whoever knows its token may attach it: [`AllocOptions::private`] changes that.
    pub fn alloc(&self, size: usize) -> Result<Region<ReadWrite>> {
        self.alloc_with(size, &AllocOptions::new())
    }

    /// Allocate a region with options.
    pub fn alloc_with(&self, size: usize, options: &AllocOptions) -> Result<Region<ReadWrite>> {
        let mut ret = null_mut();
        // SAFETY: the options outlive the call; the region is ours.
        check(unsafe { sys::ism_alloc_region(self.as_ptr(), size, &options.raw(), &mut ret) })?;
        Ok(Region::from_raw(self, ret))
    }

    /// Allocate `n` regions (1 to 64) of the same size in one round trip: all or none.
    pub fn alloc_many(&self, size: usize, n: usize, options: &AllocOptions) -> Result<Vec<Region<ReadWrite>>> {
        let mut ret = vec![null_mut(); n.max(1)];
        // SAFETY: there is room for n handles.
        check(unsafe { sys::ism_alloc_regions(self.as_ptr(), size, &options.raw(), n, ret.as_mut_ptr()) })?;
        Ok(ret.into_iter().map(|ptr| Region::from_raw(self, ptr)).collect())
    }

    /// Attach the region that `token` names, to read and write it.
    pub fn attach(&self, token: Token) -> Result<Region<ReadWrite>> {
        self.attach_with(token, &AttachOptions::new())
    }

    /// Attach the region that `token` names, to read it.  It is mapped read-only.
    pub fn attach_read_only(&self, token: Token) -> Result<Region<ReadOnly>> {
        self.attach_with(token, &AttachOptions::new())
    }

    /// Attach with options; the type that is asked for says whether to write.
    pub fn attach_with<A: Access>(&self, token: Token, options: &AttachOptions) -> Result<Region<A>> {
        let mut ret = null_mut();
        let rights = A::RIGHTS.bits();
        // SAFETY: the options outlive the call; the region is ours.
        check(unsafe { sys::ism_attach_region(self.as_ptr(), token.get(), rights, &options.raw(), &mut ret) })?;
        Ok(Region::from_raw(self, ret))
    }

    /// Attach the regions that 1 to 64 tokens name in one round trip: all or none.
    ///
    /// The type that is asked for says whether to write.  A token that is there twice
    /// gives two handles.  [`Region::close_many`] lets go of them at once, too.
    ///
    /// ```
    /// # fn main() -> ism::Result<()> {
    /// # let (dev, peer) = (ism::Device::open("loop:many")?, ism::Device::open("loop:many")?);
    /// let ours = dev.alloc_many(4096, 8, &ism::AllocOptions::new())?;
    /// let tokens: Vec<ism::Token> = ours.iter().map(|r| r.token()).collect();
    /// let theirs: Vec<ism::Region> = peer.attach_many(&tokens, &ism::AttachOptions::new())?;
    /// ism::Region::close_many(theirs);
    /// # Ok(()) }
    /// ```
    pub fn attach_many<A: Access>(&self, tokens: &[Token], options: &AttachOptions) -> Result<Vec<Region<A>>> {
        let raw: Vec<u64> = tokens.iter().map(|token| token.get()).collect();
        let mut ret = vec![null_mut(); raw.len()];
        let (rights, options) = (A::RIGHTS.bits(), options.raw());
        // SAFETY: there are as many tokens, and there is room for as many handles.
        check(unsafe {
            sys::ism_attach_regions(self.as_ptr(), raw.as_ptr(), rights, &options, raw.len(), ret.as_mut_ptr())
        })?;
        Ok(ret.into_iter().map(|ptr| Region::from_raw(self, ptr)).collect())
    }

    /// Give the region that `token` names a successor without the devices `devids`,
    /// which lose all that they have on it.  The host's user and root may do that, who
    /// need not refer to the region; see [`Region::replace`] for those who manage it.
    ///
    /// The successor is to be kept until one of the others has gone over.
    pub fn shut_out(&self, token: Token, devids: &[u64]) -> Result<Region<ReadOnly>> {
        let mut ret = null_mut();
        // SAFETY: there are as many devices; the region is ours.
        check(unsafe { sys::ism_shut_out(self.as_ptr(), token.get(), devids.as_ptr(), devids.len(), &mut ret) })?;
        Ok(Region::from_raw(self, ret))
    }

    /// Wait for an event: a doorbell, a peer that comes or goes, the host's end.
    ///
    /// `None` waits for ever, zero only looks.  `Ok(None)` means that the time is over.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Option<Event>> {
        let mut raw = sys::ism_event::default();
        // SAFETY: room for one event of that size.
        let n = check(unsafe {
            sys::ism_wait(self.as_ptr(), &mut raw, 1, mem::size_of::<sys::ism_event>(), nanoseconds(timeout))
        })?;
        Ok((n > 0).then(|| Event::from(&raw)))
    }

    /// Take one event without waiting.
    pub fn next_event(&self) -> Result<Option<Event>> {
        let mut raw = sys::ism_event::default();
        // SAFETY: room for one event of that size.
        let n = check(unsafe { sys::ism_event_next(self.as_ptr(), &mut raw, mem::size_of::<sys::ism_event>()) })?;
        Ok((n > 0).then(|| Event::from(&raw)))
    }

    /// End the waits on this device: each in progress, or the next, fails with `EINTR`.
    pub fn interrupt(&self) -> Result<()> {
        // SAFETY: from any thread.
        check(unsafe { sys::ism_interrupt(self.as_ptr()) }).map(drop)
    }

    /// A descriptor to poll: readable while [`Device::next_event`] has something to give.
    ///
    /// From the first call on, peers that ring have to make a system call.  See
    /// [`Polled`](crate::Polled) for an owner that implements `AsFd`.
    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        // SAFETY: lent until the device is closed, which self prevents.
        self.lend().map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Take another device off the domain, as if its process had died.  The host's
    /// user and root may do that.
    pub fn kick(&self, devid: u64) -> Result<()> {
        // SAFETY: from any thread.
        check(unsafe { sys::ism_kick_device(self.as_ptr(), devid) }).map(drop)
    }

    /// What the domain is, what its host allows, and what has happened in it.
    ///
    /// ```
    /// # fn main() -> ism::Result<()> {
    /// # let dev = ism::Device::open("loop:domain")?;
    /// let domain = dev.domain()?;
    /// println!("{} devices, host {:?} of user {}", domain.devices, domain.host, domain.host_uid);
    /// if let Some(ever) = domain.ever {
    ///     println!("{} attaches, of which {} were refused", ever.attaches, ever.failed);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn domain(&self) -> Result<DomainInfo> {
        let mut raw = sys::ism_domain_info { size: mem::size_of::<sys::ism_domain_info>(), ..Default::default() };
        // SAFETY: the structure knows its own size.
        check(unsafe { sys::ism_query_domain(self.as_ptr(), &mut raw) })?;
        Ok(DomainInfo::from(&raw))
    }

    /// The devices of the domain that this one may see.
    pub fn devices(&self) -> Result<Vec<DeviceEntry>> {
        list(|at, n, size, cursor| unsafe { sys::ism_list_devices(self.as_ptr(), at, n, size, cursor) })
            .map(|all| all.iter().map(DeviceEntry::from).collect())
    }

    /// The regions of the domain that this device may see.
    pub fn regions(&self) -> Result<Vec<RegionEntry>> {
        list(|at, n, size, cursor| unsafe { sys::ism_list_regions(self.as_ptr(), at, n, size, cursor) })
            .map(|all| all.iter().map(RegionEntry::from).collect())
    }

    /// The devices that refer to a region.
    pub fn referrers(&self, token: Token) -> Result<Vec<ReferrerEntry>> {
        list(|at, n, size, cursor| unsafe { sys::ism_list_referrers(self.as_ptr(), token.get(), at, n, size, cursor) })
            .map(|all| all.iter().map(ReferrerEntry::from).collect())
    }

    /// The users of the domain that this device may see: its own, or all for the host's user and root.
    pub fn users(&self) -> Result<Vec<UserEntry>> {
        list(|at, n, size, cursor| unsafe { sys::ism_list_users(self.as_ptr(), at, n, size, cursor) })
            .map(|all| all.iter().map(UserEntry::from).collect())
    }
}

impl Lend for Device {
    fn lend(&self) -> Result<RawFd> {
        // SAFETY: from any thread.
        check(unsafe { sys::ism_fd(self.as_ptr()) }).map(|fd| fd as RawFd)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.info() {
            Ok(info) => write!(f, "Device({}: {:x}/{})", info.backend, info.gid, info.devid),
            Err(e) => write!(f, "Device({})", e),
        }
    }
}

/// A timeout as C has it.
pub(crate) fn nanoseconds(timeout: Option<Duration>) -> i64 {
    timeout.map_or(-1, |t| i64::try_from(t.as_nanos()).unwrap_or(i64::MAX))
}

/// All entries of a listing, page by page.
fn list<T: Default + Clone>(page: impl Fn(*mut T, usize, usize, *mut u64) -> std::os::raw::c_int) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let mut some = vec![T::default(); 64];
    let mut cursor = 0;
    loop {
        let n = check(page(some.as_mut_ptr(), some.len(), mem::size_of::<T>(), &mut cursor))?;
        all.extend_from_slice(&some[..n]);
        if cursor == 0 || n == 0 {
            return Ok(all);
        }
    }
}

fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Who stands behind a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Host {
    /// `loop:`, a domain inside this process.
    Private,
    /// A process that opened the domain, maybe this one.
    Embedded,
    /// `ismd`.
    Daemon,
    /// A virtio-ism device.
    Device,
    /// Something that this crate does not know yet.
    Other(u32),
}

impl From<u32> for Host {
    fn from(raw: u32) -> Host {
        match raw {
            sys::ISM_HOST_PRIVATE => Host::Private,
            sys::ISM_HOST_EMBEDDED => Host::Embedded,
            sys::ISM_HOST_DAEMON => Host::Daemon,
            sys::ISM_HOST_DEVICE => Host::Device,
            other => Host::Other(other),
        }
    }
}

/// Defines a structure with the named fields of a C one.
macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident of $raw:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $from:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl From<&sys::$raw> for $name {
            fn from(raw: &sys::$raw) -> $name {
                $name { $($field: { let from: fn(&sys::$raw) -> $type = $from; from(raw) },)* }
            }
        }
    };
}

mirror! {
    /// What a device is.
    Info of ism_info {
        /// The sharing domain.
        gid: u64 = |r| r.gid,
        /// This device in it; never 0.
        devid: u64 = |r| r.devid,
        /// Regions are whole chunks of so many bytes.
        chunk_size: u64 = |r| r.chunk_size,
        /// Bytes of the notify area per chunk; 0: none.
        notify_size: u64 = |r| r.notify_size,
        /// Bytes that all attached regions can take together.
        window_size: u64 = |r| r.window_size,
        /// The largest region, bytes.
        max_region: u64 = |r| r.max_region,
        /// Regions attached at one time.
        max_regions: u32 = |r| r.max_regions,
        /// Who stands behind the device.
        host: Host = |r| Host::from(r.host),
        /// Process id of the emulated host; `None`: unknown.
        host_pid: Option<i32> = |r| (r.host_pid != 0).then_some(r.host_pid),
        /// Virtio feature bits.
        features: u32 = |r| r.features,
        /// `loop`, `emu` or `kdev`.
        backend: String = |r| text(&r.backend),
        /// Socket, device node or domain name.
        path: String = |r| text(&r.path),
    }
}

mirror! {
    /// Counters of a device since it was opened.
    Stats of ism_stats {
        /// Doorbells that this device rang.
        notifies: u64 = |r| r.notifies,
        /// Doorbells rung in a peer's memory.
        rings_direct: u64 = |r| r.rings_direct,
        /// Doorbells given to the host to pass on.
        rings_host: u64 = |r| r.rings_host,
        /// Of these, with a system call because the other end slept.
        wakes_sent: u64 = |r| r.wakes_sent,
        /// Of these, without: awake, or pending already.
        wakes_suppressed: u64 = |r| r.wakes_suppressed,
        /// Waits that ended while spinning.
        spins_paid: u64 = |r| r.spins_paid,
        /// Spins that ended in a sleep.
        spins_unpaid: u64 = |r| r.spins_unpaid,
        /// Times a wait slept.
        sleeps: u64 = |r| r.sleeps,
        /// Commands sent to the device.
        control_calls: u64 = |r| r.control_calls,
        /// Direct doorbell links now.
        links: u64 = |r| r.links,
        /// Regions attached now.
        regions: u64 = |r| r.regions,
        /// Their size, bytes.
        bytes: u64 = |r| r.bytes,
    }
}

mirror! {
    /// A device of the domain.
    DeviceEntry of ism_device_entry {
        /// Its id.
        devid: u64 = |r| r.devid,
        /// Bytes of its window.
        window_size: u64 = |r| r.window_size,
        /// Bytes of the regions it refers to.
        bytes: u64 = |r| r.bytes,
        /// Attaches that were refused, ever.
        failed: u64 = |r| r.failed,
        /// Regions it refers to.
        regions: u32 = |r| r.regions,
        /// Its user.
        uid: u32 = |r| r.uid,
        /// Its process as the host sees it; `None`: unknown.
        pid: Option<i32> = |r| (r.pid != 0).then_some(r.pid),
        /// Is it the device that asks?
        is_self: bool = |r| r.self_ != 0,
        /// Its label.
        name: String = |r| text(&r.name),
    }
}

mirror! {
    /// A region of the domain.
    RegionEntry of ism_region_entry {
        /// Order of allocation.
        serial: u64 = |r| r.serial,
        /// `None`: not for this device to know.
        token: Option<Token> = |r| Token::new(r.token),
        /// Bytes.
        size: u64 = |r| r.region_size,
        /// Bytes that the creator asked for.
        requested_size: u64 = |r| r.requested_size,
        /// The device that allocated it; it may have gone.
        creator: u64 = |r| r.creator,
        /// Its user.
        creator_uid: u32 = |r| r.creator_uid,
        /// Devices that refer to it.
        referrers: u32 = |r| r.referrers,
        /// What devices without a grant of their own may do.
        default_rights: crate::Rights = |r| crate::Rights::from_bits(r.default_rights),
        /// No manager refers to it any more: its token has ended.
        ended: bool = |r| r.ended != 0,
        /// What replaced it; `None`: nothing, or not for this device to know.
        successor: Option<Token> = |r| Token::new(r.successor),
        /// It was replaced; not told to those who were shut out.
        replaced: bool = |r| r.replaced != 0,
    }
}

mirror! {
    /// A device that refers to a region.
    ReferrerEntry of ism_referrer_entry {
        /// Its id.
        devid: u64 = |r| r.devid,
        /// Its user.
        uid: u32 = |r| r.uid,
        /// The rights with which it attached.
        attached: crate::Rights = |r| crate::Rights::from_bits(r.attached),
        /// What it may do now.
        rights: crate::Rights = |r| crate::Rights::from_bits(r.rights),
        /// Is it the creator?
        creator: bool = |r| r.creator != 0,
        /// It attached with more than it may do now: no doorbells.
        shut_out: bool = |r| r.shut_out != 0,
    }
}

mirror! {
    /// A user of the domain, with all its devices.
    UserEntry of ism_user_entry {
        /// Its id.
        uid: u32 = |r| r.uid,
        /// Devices.
        devices: u32 = |r| r.devices,
        /// Regions that these refer to, each counted for each device.
        regions: u32 = |r| r.regions,
        /// Grants that these have given to single devices.
        grants: u32 = |r| r.grants,
        /// Bytes of the regions.
        bytes: u64 = |r| r.bytes,
        /// Attaches that were refused, ever.
        failed: u64 = |r| r.failed,
        /// Calls that a quota was against, ever.
        over_quota: u64 = |r| r.over_quota,
    }
}

mirror! {
    /// A domain.
    DomainInfo of ism_domain_info {
        /// Its id.
        gid: u64 = |r| r.gid,
        /// Devices in it now.
        devices: u64 = |r| r.devices,
        /// Regions in it now.
        regions: u64 = |r| r.regions,
        /// Their size, bytes.
        bytes: u64 = |r| r.bytes,
        /// Who stands behind it.
        host: Host = |r| Host::from(r.host),
        /// The host's user.
        host_uid: u32 = |r| r.host_uid,
        /// The version of the host's library.
        version: String = |r| text(&r.version),
        /// What each device may have.
        device_quota: Quota = |r| Quota::from(&r.device_quota),
        /// What all devices of a user may have together.
        user_quota: Quota = |r| Quota::from(&r.user_quota),
        /// What has happened in it; `None`: this is for the host's user and root to know.
        ever: Option<DomainStats> = |r| (r.counted != 0).then(|| DomainStats::from(r)),
    }
}

mirror! {
    /// What has happened in a domain since its host began.
    DomainStats of ism_domain_info {
        /// Devices that were opened.
        devices: u64 = |r| r.devices_ever,
        /// Regions that were allocated.
        allocs: u64 = |r| r.allocs,
        /// Attaches.
        attaches: u64 = |r| r.attaches,
        /// Detaches.
        detaches: u64 = |r| r.detaches,
        /// Attaches that were refused.
        failed: u64 = |r| r.failed,
        /// Calls that a quota was against.
        over_quota: u64 = |r| r.over_quota,
        /// Commands that the host has answered.
        commands: u64 = |r| r.commands,
        /// Doorbells that the host passed on.
        rings: u64 = |r| r.rings,
        /// Devices that were taken off.
        kicks: u64 = |r| r.kicks,
    }
}

/// The version of the library that runs.
pub fn version() -> &'static str {
    // SAFETY: static text, never NULL.
    unsafe { CStr::from_ptr(sys::ism_version()) }.to_str().unwrap_or("")
}

pub(crate) fn open(uri: Option<&CStr>, opts: &sys::ism_open_opts) -> std::result::Result<Device, Error> {
    let mut ret = null_mut();
    // SAFETY: strings and options outlive the call.
    check(unsafe { sys::ism_open(uri.map_or(null(), CStr::as_ptr), opts, &mut ret) })?;
    Ok(Device::from_raw(ret))
}

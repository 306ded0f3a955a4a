// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Regions: memory that peers share.

use crate::device::{nanoseconds, Device, Handle};
use crate::error::{check, Result};
use crate::event::RegionId;
use crate::options::{AllocOptions, AttachOptions};
use crate::poll::Lend;
use crate::rights::{reference_of, Reference, Rights, Token};
use crate::view::View;
use ism_sys as sys;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::unix::io::{BorrowedFd, RawFd};
use std::ptr::{self, null_mut, NonNull};
use std::sync::Arc;
use std::time::Duration;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ReadOnly {}
    impl Sealed for super::ReadWrite {}
}

/// How a region is mapped: [`ReadOnly`] or [`ReadWrite`].
pub trait Access: sealed::Sealed + Send + Sync + 'static {
    /// The rights that attaching asks for.
    const RIGHTS: Rights;
}

/// Mapped without write access: its views have nothing that stores.
#[derive(Debug)]
pub enum ReadOnly {}

/// Mapped for reading and writing.
#[derive(Debug)]
pub enum ReadWrite {}

impl Access for ReadOnly {
    const RIGHTS: Rights = Rights::READ;
}

impl Access for ReadWrite {
    const RIGHTS: Rights = Rights::from_bits(sys::ISM_READ | sys::ISM_WRITE);
}

/// Owns the C handle, and a part of the device.
#[derive(Debug)]
pub(crate) struct Shared {
    ptr: NonNull<sys::ism_region>,
    device: Arc<Handle>,
}

// SAFETY: calls on one device, and so on its regions, are safe from any thread;
// detaching, which must not race with them, happens when the last Arc is dropped.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn ptr(&self) -> *mut sys::ism_region {
        self.ptr.as_ptr()
    }

    pub(crate) fn id(&self) -> RegionId {
        RegionId::of(self.ptr())
    }

    /// The handle, to be detached, and the device, to be dropped after that.
    fn into_parts(self) -> (*mut sys::ism_region, Arc<Handle>) {
        let this = ManuallyDrop::new(self);
        // SAFETY: moved out once, for nothing drops it.
        (this.ptr(), unsafe { ptr::read(&this.device) })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the last owner; the device is closed after this.
        unsafe { sys::ism_detach_region(self.ptr()) }
    }
}

/// Handles that are detached as one, and their devices.
struct Parts(Vec<(*mut sys::ism_region, Arc<Handle>)>);

impl Drop for Parts {
    fn drop(&mut self) {
        let handles: Vec<_> = self.0.iter().map(|(ptr, _)| *ptr).collect();
        // SAFETY: the last owner of each; the devices are closed after this.
        unsafe { sys::ism_detach_regions(handles.as_ptr(), handles.len()) }
    }
}

/// A region that this device refers to.
///
/// Its memory is reached through [`Region::view`]: a peer may write it at any
/// moment, so it is never a `&[u8]`.  It is detached when the last of the region
/// and the rings in it is dropped.
///
/// Views cannot outlive it:
///
/// ```compile_fail,E0505
/// # let dev = ism::Device::open("loop:").unwrap();
/// let region = dev.alloc(4096).unwrap();
/// let view = region.view();
/// drop(region);
/// view.to_vec();
/// ```
///
/// and a read-only one cannot be written:
///
/// ```compile_fail,E0599
/// # let dev = ism::Device::open("loop:").unwrap();
/// # let token = dev.alloc(1).unwrap().token();
/// dev.attach_read_only(token).unwrap().view().copy_from_slice(b"no");
/// ```
pub struct Region<A: Access = ReadWrite> {
    pub(crate) shared: Arc<Shared>,
    access: PhantomData<A>,
}

/// Which of the wishes in [`AllocOptions`](crate::AllocOptions) a region got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct Got {
    pub huge: bool,
    pub node: bool,
    pub prefault: bool,
    pub vector: bool,
}

impl<A: Access> Region<A> {
    pub(crate) fn from_raw(dev: &Device, ptr: *mut sys::ism_region) -> Region<A> {
        let ptr = NonNull::new(ptr).expect("libism succeeded without a region");
        Region { shared: Arc::new(Shared { ptr, device: dev.handle.clone() }), access: PhantomData }
    }

    /// Drop regions, in one round trip for each 64 of one device that follow each other.
    ///
    /// One that a clone or a ring still has stays, as with a drop.
    pub fn close_many(regions: impl IntoIterator<Item = Region<A>>) {
        let mut parts = Parts(Vec::new());
        for region in regions {
            if let Ok(shared) = Arc::try_unwrap(region.shared) {
                parts.0.push(shared.into_parts());
            }
        }
    }

    /// The C handle, for calls that this crate lacks.  It is valid while `self` lives.
    pub fn as_ptr(&self) -> *mut sys::ism_region {
        self.shared.ptr()
    }

    /// The device that it belongs to.
    pub fn device(&self) -> Device {
        Device { handle: self.shared.device.clone() }
    }

    /// Tells the handles of one device apart, in [`Event::region`](crate::Event::region).
    pub fn id(&self) -> RegionId {
        self.shared.id()
    }

    /// Its bytes.
    pub fn view(&self) -> View<'_, A> {
        // SAFETY: mapped, with the rights of A, while self lives; an address is never NULL.
        unsafe { View::new(NonNull::new_unchecked(sys::ism_region_addr(self.as_ptr()).cast()), self.size()) }
    }

    /// Its size in bytes: whole chunks.
    pub fn size(&self) -> usize {
        // SAFETY: constant over the life of the handle.
        unsafe { sys::ism_region_size(self.as_ptr()) }
    }

    /// The size that its creator asked for.
    pub fn requested_size(&self) -> usize {
        // SAFETY: constant over the life of the handle.
        unsafe { sys::ism_region_requested_size(self.as_ptr()) }
    }

    /// Its token: what a peer needs to attach.
    pub fn token(&self) -> Token {
        // SAFETY: constant over the life of the handle.
        Token::new(unsafe { sys::ism_region_token(self.as_ptr()) }).expect("libism made a region without a token")
    }

    /// Its reference: domain and token.
    pub fn reference(&self) -> Result<Reference> {
        reference_of(self.as_ptr())
    }

    /// The rights that this handle has.
    pub fn rights(&self) -> Rights {
        // SAFETY: constant over the life of the handle.
        Rights::from_bits(unsafe { sys::ism_region_rights(self.as_ptr()) })
    }

    /// Which of the wishes it got.
    pub fn got(&self) -> Got {
        // SAFETY: constant over the life of the handle.
        let flags = unsafe { sys::ism_region_flags(self.as_ptr()) };
        let has = |flag| flags & flag != 0;
        Got {
            huge: has(sys::ISM_ALLOC_HUGE),
            node: has(sys::ISM_ALLOC_NODE),
            prefault: has(sys::ISM_ALLOC_PREFAULT),
            vector: has(sys::ISM_ALLOC_VECTOR),
        }
    }

    /// The other devices that refer to it now.
    pub fn peers(&self) -> Result<Vec<u64>> {
        let mut ids = vec![0; 16];
        loop {
            // SAFETY: room for as many as are told.
            let n = check(unsafe { sys::ism_region_peers(self.as_ptr(), ids.as_mut_ptr(), ids.len()) })?;
            let enough = n <= ids.len();
            ids.resize(n, 0);
            if enough {
                return Ok(ids);
            }
        }
    }

    /// Set what one device may do with it.
    ///
    /// Taking a right away stops later attaches and doorbells; it cannot take back
    /// memory that a process has mapped already.
    pub fn grant(&self, devid: u64, rights: Rights) -> Result<()> {
        // SAFETY: from any thread.
        check(unsafe { sys::ism_region_grant(self.as_ptr(), devid, rights.bits()) }).map(drop)
    }

    /// Set what devices without a grant of their own may do with it.
    pub fn grant_default(&self, rights: Rights) -> Result<()> {
        // SAFETY: from any thread.
        check(unsafe { sys::ism_region_grant_default(self.as_ptr(), rights.bits()) }).map(drop)
    }

    /// Make a successor, to shut out those whose rights were taken with
    /// [`Region::grant`]: of the same size, with fresh memory, a token of its own and
    /// the rights that are left.
    ///
    /// The other referrers that may attach it get
    /// [`EventKind::Moved`](crate::EventKind::Moved), and go over with
    /// [`Region::successor`] when it suits them; this region stays as it is.
    ///
    /// ```
    /// # fn main() -> ism::Result<()> {
    /// # let open = || ism::Device::open("loop:replace");
    /// # let (dev, peer, out) = (open()?, open()?, open()?);
    /// let region = dev.alloc(4096)?;
    /// let theirs = peer.attach(region.token())?;
    /// let lost = out.attach(region.token())?;
    /// region.grant(out.info()?.devid, ism::Rights::NONE)?;
    /// let fresh = region.replace()?;
    /// assert_eq!(theirs.successor()?.token(), fresh.token());
    /// assert!(lost.successor().is_err());
    /// # Ok(()) }
    /// ```
    pub fn replace(&self) -> Result<Region<ReadWrite>> {
        self.replace_with(&AllocOptions::new())
    }

    /// Make a successor with options; a pooled one is refused.
    pub fn replace_with(&self, options: &AllocOptions) -> Result<Region<ReadWrite>> {
        let mut ret = null_mut();
        // SAFETY: the options outlive the call; the region is ours.
        check(unsafe { sys::ism_region_replace(self.as_ptr(), &options.raw(), &mut ret) })?;
        Ok(Region::from_raw(&self.device(), ret))
    }

    /// Attach the successor, with the rights of this region's type; `ENOENT` if there
    /// is none for this device.
    pub fn successor(&self) -> Result<Region<A>> {
        self.successor_with(&AttachOptions::new())
    }

    /// Attach the successor with options; the type that is asked for says whether to write.
    pub fn successor_with<B: Access>(&self, options: &AttachOptions) -> Result<Region<B>> {
        let mut ret = null_mut();
        let rights = B::RIGHTS.bits();
        // SAFETY: the options outlive the call; the region is ours.
        check(unsafe { sys::ism_attach_successor(self.as_ptr(), rights, &options.raw(), &mut ret) })?;
        Ok(Region::from_raw(&self.device(), ret))
    }

    /// Ring the other referrers: the content changed.
    ///
    /// What this thread stored before is visible to whoever sees the doorbell.
    pub fn notify(&self) -> Result<()> {
        // SAFETY: from any thread.
        check(unsafe { sys::ism_region_notify(self.as_ptr()) }).map(drop)
    }

    /// Wait until a peer rings: `true`, or `false` if the time was over first.
    ///
    /// `None` waits for ever, zero only looks.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        // SAFETY: from any thread.
        check(unsafe { sys::ism_region_wait(self.as_ptr(), nanoseconds(timeout)) }).map(|n| n > 0)
    }

    /// Take the doorbell without waiting: was it pending?
    pub fn clear(&self) -> Result<bool> {
        // SAFETY: from any thread.
        check(unsafe { sys::ism_region_clear(self.as_ptr()) }).map(|n| n > 0)
    }

    /// A descriptor to poll, readable while the doorbell may be pending.  It is
    /// the device's, unless a vector was asked for.
    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        // SAFETY: lent while self lives.
        self.lend().map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
    }
}

impl<A: Access> Clone for Region<A> {
    /// The same handle once more: it shares the doorbell.  Attach again for one of its own.
    fn clone(&self) -> Self {
        Region { shared: self.shared.clone(), access: PhantomData }
    }
}

impl Region<ReadWrite> {
    /// The same memory behind a type that only reads.
    pub fn as_read_only(&self) -> Region<ReadOnly> {
        Region { shared: self.shared.clone(), access: PhantomData }
    }
}

impl<A: Access> Lend for Region<A> {
    fn lend(&self) -> Result<RawFd> {
        // SAFETY: from any thread.
        check(unsafe { sys::ism_region_fd(self.as_ptr()) }).map(|fd| fd as RawFd)
    }
}

impl<A: Access> fmt::Debug for Region<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("size", &self.size()).field("rights", &self.rights()).finish_non_exhaustive()
    }
}

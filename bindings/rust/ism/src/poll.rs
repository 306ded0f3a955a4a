// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Descriptors for event loops.

use crate::error::{Error, Result};
use std::ops::{Deref, DerefMut};
use std::os::unix::io::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Device {}
    impl<A: crate::Access> Sealed for crate::Region<A> {}
    impl Sealed for crate::ring::Reader {}
    impl Sealed for crate::ring::Writer {}
}

/// What can lend a descriptor to poll.
pub trait Lend: sealed::Sealed {
    /// Get it: the same each time, and valid while `self` lives.
    #[doc(hidden)]
    fn lend(&self) -> Result<RawFd>;
}

/// A device, region or ring with a descriptor of its own, so that it can be
/// polled: it implements [`AsFd`], as event loops want it, and with the feature `mio` its `Source`.
///
/// Getting the descriptor can fail, and changes what peers do (they have to make
/// a system call to ring), hence a type of its own.  It dereferences to what is
/// in it.  The descriptor is a duplicate of the library's: several of one device
/// can be in one loop, and it stays what it is whatever is put in here.  Take it
/// out of the loop before this is dropped.
///
/// ```
/// # use std::os::unix::io::{AsFd, AsRawFd};
/// # fn main() -> ism::Result<()> {
/// let dev = ism::Polled::new(ism::Device::open("loop:")?)?;
/// let mut poll = libc::pollfd { fd: dev.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
/// if unsafe { libc::poll(&mut poll, 1, 0) } == 1 {
///     while let Some(event) = dev.next_event()? {
///         println!("{:?}", event);
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Polled<T> {
    inner: T,
    fd: OwnedFd,
}

impl<T: Lend> Polled<T> {
    /// Have the descriptor lent, and duplicate it.
    pub fn new(inner: T) -> Result<Polled<T>> {
        // SAFETY: lent for as long as `inner` lives.
        let lent = unsafe { BorrowedFd::borrow_raw(inner.lend()?) };
        let fd = lent
            .try_clone_to_owned()
            .map_err(|e| Error::new(e.raw_os_error().unwrap_or(libc::EMFILE), "cannot duplicate a descriptor"))?;
        Ok(Polled { inner, fd })
    }
}

impl<T> Polled<T> {
    /// What is in it.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T> Deref for Polled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Polled<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T> AsFd for Polled<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<T> AsRawFd for Polled<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Records from one writer to one reader, in a region.
//!
//! One end creates the ring, before it gives the token away, and the other
//! attaches it.  While both are awake no call makes a system call.
//!
//! ```
//! use ism::ring::{Reader, Writer};
//! # fn main() -> ism::Result<()> {
//! # let (ours, theirs) = (ism::Device::open("loop:ring")?, ism::Device::open("loop:ring")?);
//! let region = ours.alloc(64 << 10)?;
//! let mut writer = Writer::create(&region)?;
//! let mut reader = Reader::attach(&theirs.attach(region.token())?)?;
//!
//! writer.send(b"a record", None)?;
//! let mut buf = [0; 64];
//! let n = reader.recv(&mut buf, None)?;
//! assert_eq!(&buf[..n], b"a record");
//! # Ok(()) }
//! ```

use crate::device::nanoseconds;
use crate::error::{check, Error, Result};
use crate::poll::Lend;
use crate::region::{ReadOnly, ReadWrite, Region, Shared};
use crate::view::View;
use ism_sys as sys;
use std::mem;
use std::os::unix::io::{BorrowedFd, RawFd};
use std::ptr::{null, null_mut, NonNull};
use std::sync::Arc;
use std::time::Duration;

/// Where in its region a ring lies; otherwise all of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// From the region's start, bytes; a multiple of 64.
    pub offset: usize,
    /// Bytes that it may use; 0: the rest.
    pub length: usize,
}

/// One end, of either role.
#[derive(Debug)]
struct End {
    ptr: NonNull<sys::ism_ring>,
    region: Arc<Shared>,
}

// SAFETY: one thread at a time uses a ring's end, whichever; methods that change
// it take &mut self.  Those that take &self only read what does not change, or
// what is the region's.
unsafe impl Send for End {}
unsafe impl Sync for End {}

type Make = unsafe extern "C" fn(
    *mut sys::ism_region,
    u32,
    *const sys::ism_ring_opts,
    *mut *mut sys::ism_ring,
) -> std::os::raw::c_int;

impl End {
    fn new(region: &Region<ReadWrite>, role: u32, place: Place, make: Make) -> Result<End> {
        let opts = sys::ism_ring_opts {
            size: mem::size_of::<sys::ism_ring_opts>(),
            offset: place.offset,
            length: place.length,
            ..Default::default()
        };
        let mut ret = null_mut();
        // SAFETY: the options outlive the call; the ring is ours.
        check(unsafe { make(region.as_ptr(), role, &opts, &mut ret) })?;
        let ptr = NonNull::new(ret).expect("libism succeeded without a ring");
        Ok(End { ptr, region: region.shared.clone() })
    }

    fn ptr(&self) -> *mut sys::ism_ring {
        self.ptr.as_ptr()
    }

    fn max_record(&self) -> usize {
        // SAFETY: does not change.
        unsafe { sys::ism_ring_max_record(self.ptr()) }
    }

    fn wait(&mut self, len: usize, timeout: Option<Duration>) -> Result<()> {
        // SAFETY: this thread has the end.
        check(unsafe { sys::ism_ring_wait(self.ptr(), len, nanoseconds(timeout)) }).map(drop)
    }

    /// After the descriptor said that something happened to the peers: are there any left?
    fn peers_gone(&self) -> Result<()> {
        // SAFETY: from any thread.  Takes the doorbell: the caller looks at the ring again.
        check(unsafe { sys::ism_region_wait(self.region.ptr(), 0) }).map(drop)
    }

    fn lend(&self) -> Result<RawFd> {
        // SAFETY: sets a flag that the end's other methods look at; &self of one
        // thread, or of several that all set it.
        check(unsafe { sys::ism_ring_fd(self.ptr()) }).map(|fd| fd as RawFd)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // SAFETY: ours; the region is detached after this, if this was the last of it.
        unsafe { sys::ism_ring_close(self.ptr()) }
    }
}

/// Bytes as C has them.
fn buffer(at: *const u8, len: usize) -> sys::ism_ring_buf {
    sys::ism_ring_buf { data: at as *mut _, len }
}

macro_rules! both_ends {
    ($name:ident, $role:expr) => {
        impl $name {
            /// Make a ring that takes all of a region, and be this end of it.
            pub fn create(region: &Region<ReadWrite>) -> Result<$name> {
                $name::create_at(region, Place::default())
            }

            /// Make a ring in a part of a region, and be this end of it.
            pub fn create_at(region: &Region<ReadWrite>, place: Place) -> Result<$name> {
                Ok($name { end: End::new(region, $role, place, sys::ism_ring_create)? })
            }

            /// Be this end of the ring that is in a region.
            pub fn attach(region: &Region<ReadWrite>) -> Result<$name> {
                $name::attach_at(region, Place::default())
            }

            /// Be this end of the ring that is in a part of a region.
            pub fn attach_at(region: &Region<ReadWrite>, place: Place) -> Result<$name> {
                Ok($name { end: End::new(region, $role, place, sys::ism_ring_attach)? })
            }

            /// The largest record, bytes.
            pub fn max_record(&self) -> usize {
                self.end.max_record()
            }

            /// The C handle, for calls that this crate lacks.
            pub fn as_ptr(&self) -> *mut sys::ism_ring {
                self.end.ptr()
            }

            /// A descriptor to poll: readable when it is worth trying again after
            /// `EAGAIN`.  It is the region's; get it before the first try.
            pub fn fd(&mut self) -> Result<BorrowedFd<'_>> {
                // SAFETY: lent while the region is attached, which self sees to.
                self.end.lend().map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
            }

            /// Once the descriptor was readable and there is still `EAGAIN`: fails with
            /// `EPIPE` or `EHOSTDOWN` if the peer has died or cannot be reached.
            /// Then look once more: the peer may have written before it died.
            pub fn check_peer(&self) -> Result<()> {
                self.end.peers_gone()
            }

            #[cfg(feature = "tokio")]
            pub(crate) fn region(&self) -> &Shared {
                &self.end.region
            }
        }

        impl Lend for $name {
            fn lend(&self) -> Result<RawFd> {
                self.end.lend()
            }
        }
    };
}

/// The end that writes.  Dropping it ends the ring: the reader reads what is
/// there, and then gets `EPIPE`; `ECONNRESET` if the writer went without that.
#[derive(Debug)]
pub struct Writer {
    end: End,
}

/// The end that reads.  Dropping it gives the writer `EPIPE`.
#[derive(Debug)]
pub struct Reader {
    end: End,
}

both_ends!(Writer, sys::ISM_RING_WRITER);
both_ends!(Reader, sys::ISM_RING_READER);

impl Writer {
    /// Write a record, and wait until that is possible.
    ///
    /// `None` waits for ever; zero does not wait (`EAGAIN`); otherwise `ETIMEDOUT`.
    pub fn send(&mut self, record: &[u8], timeout: Option<Duration>) -> Result<()> {
        // SAFETY: as many bytes as are told; this thread has the end.
        let r =
            unsafe { sys::ism_ring_write(self.end.ptr(), record.as_ptr().cast(), record.len(), nanoseconds(timeout)) };
        check(r).map(drop)
    }

    /// Write several records, and wait until that is possible for the first of them; the
    /// others follow as far as there is room at once.  How many were written: at least 1,
    /// or 0 where there are none to write.
    ///
    /// As so many calls of [`send`](Writer::send), but the peer is looked after once, which
    /// for short records is most of the work.
    ///
    /// ```
    /// # fn main() -> ism::Result<()> {
    /// # let dev = ism::Device::open("loop:")?;
    /// # let region = dev.alloc(64 << 10)?;
    /// # let mut writer = ism::ring::Writer::create(&region)?;
    /// # let mut reader = ism::ring::Reader::attach(&region)?;
    /// assert_eq!(writer.send_many(&[b"one", b"three"], None)?, 2);
    ///
    /// let (mut one, mut two) = ([0; 16], [0; 16]);
    /// let mut bufs: [&mut [u8]; 2] = [&mut one, &mut two];
    /// assert_eq!(reader.recv_many(&mut bufs, None)?, 2);
    /// assert_eq!(bufs, [&b"one"[..], b"three"]);
    /// # Ok(()) }
    /// ```
    pub fn send_many(&mut self, records: &[&[u8]], timeout: Option<Duration>) -> Result<usize> {
        if records.is_empty() {
            return Ok(0);
        }
        let raw: Vec<_> = records.iter().map(|record| buffer(record.as_ptr(), record.len())).collect();
        // SAFETY: as many records, of as many bytes as are told, which are only read; this thread has the end.
        let r = unsafe { sys::ism_ring_write_many(self.end.ptr(), raw.as_ptr(), raw.len(), nanoseconds(timeout)) };
        check(r).map(|n| n as usize)
    }

    /// Wait for room for a record of `len` bytes.
    pub fn wait(&mut self, len: usize, timeout: Option<Duration>) -> Result<()> {
        self.end.wait(len, timeout)
    }

    /// Room for a record, to be filled in place; `EAGAIN` if there is none now.
    ///
    /// ```
    /// # fn main() -> ism::Result<()> {
    /// # let dev = ism::Device::open("loop:")?;
    /// # let region = dev.alloc(64 << 10)?;
    /// let mut writer = ism::ring::Writer::create(&region)?;
    /// let room = writer.reserve(100)?;
    /// room.view().get(..2).unwrap().copy_from_slice(b"in");
    /// room.commit(2)?; // dropping it instead publishes nothing
    /// # Ok(()) }
    /// ```
    pub fn reserve(&mut self, len: usize) -> Result<Reserved<'_>> {
        let mut ret = null_mut();
        // SAFETY: this thread has the end.
        check(unsafe { sys::ism_ring_reserve(self.end.ptr(), len, &mut ret) })?;
        Ok(Reserved { at: ret.cast(), len, writer: self })
    }
}

/// Room for a record.
#[derive(Debug)]
pub struct Reserved<'w> {
    writer: &'w mut Writer,
    at: *mut u8,
    len: usize,
}

impl Reserved<'_> {
    /// The room.
    pub fn view(&self) -> View<'_, ReadWrite> {
        // SAFETY: lent until commit or the next reserve, both of which need the writer.
        unsafe { View::new(NonNull::new_unchecked(self.at), self.len) }
    }

    /// Publish the record, of which `len` bytes are used.
    pub fn commit(self, len: usize) -> Result<()> {
        // SAFETY: this thread has the end.
        check(unsafe { sys::ism_ring_commit(self.writer.end.ptr(), len) }).map(drop)
    }
}

impl Reader {
    /// Read a record, and wait until there is one; its length.
    ///
    /// A record that is longer than `buf` is `EMSGSIZE`, and still there.
    /// `None` waits for ever; zero does not wait (`EAGAIN`); otherwise `ETIMEDOUT`.
    pub fn recv(&mut self, buf: &mut [u8], timeout: Option<Duration>) -> Result<usize> {
        // SAFETY: room for as many bytes as are told; this thread has the end.
        let r = unsafe { sys::ism_ring_read(self.end.ptr(), buf.as_mut_ptr().cast(), buf.len(), nanoseconds(timeout)) };
        usize::try_from(r).map_err(|_| Error::last(-r as i32))
    }

    /// Read several records, one into each of `bufs`, which is cut to the record's length,
    /// and wait for the first of them; others are taken as far as they are there.  How many:
    /// at least 1, or 0 where there is no buffer.
    ///
    /// It ends before a record that is longer than its buffer; `EMSGSIZE`: the first one is.
    pub fn recv_many(&mut self, bufs: &mut [&mut [u8]], timeout: Option<Duration>) -> Result<usize> {
        if bufs.is_empty() {
            return Ok(0);
        }
        let mut raw: Vec<_> = bufs.iter_mut().map(|buf| buffer(buf.as_mut_ptr(), buf.len())).collect();
        // SAFETY: as many buffers, with room for as many bytes as are told; this thread has the end.
        let r = unsafe { sys::ism_ring_read_many(self.end.ptr(), raw.as_mut_ptr(), raw.len(), nanoseconds(timeout)) };
        let n = check(r)?;
        for (buf, got) in bufs.iter_mut().zip(&raw[..n]) {
            *buf = &mut mem::take(buf)[..got.len];
        }
        Ok(n)
    }

    /// Wait for a record.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.end.wait(0, timeout)
    }

    /// The next record, in place; `EAGAIN` if there is none now.
    ///
    /// A peer may change it while you look: copy what you check.
    pub fn peek(&mut self) -> Result<Peeked<'_>> {
        let (at, len) = self.peek_raw()?;
        Ok(Peeked { at, len, reader: self })
    }

    /// The next record; lent until it is released.
    pub(crate) fn peek_raw(&mut self) -> Result<(NonNull<u8>, usize)> {
        let (mut at, mut len) = (null(), 0);
        // SAFETY: this thread has the end.
        check(unsafe { sys::ism_ring_peek(self.end.ptr(), &mut at, &mut len) })?;
        let at = NonNull::new(at as *mut u8).expect("libism succeeded without a record");
        Ok((at, len))
    }

    pub(crate) fn release_raw(&mut self) -> Result<()> {
        // SAFETY: this thread has the end.
        check(unsafe { sys::ism_ring_release(self.end.ptr()) }).map(drop)
    }
}

/// The next record, in place.
#[derive(Debug)]
pub struct Peeked<'r> {
    reader: &'r mut Reader,
    at: NonNull<u8>,
    len: usize,
}

impl Peeked<'_> {
    /// Its bytes.
    pub fn view(&self) -> View<'_, ReadOnly> {
        // SAFETY: lent until release, which needs the reader.
        unsafe { View::new(self.at, self.len) }
    }

    /// Give its room back to the writer.  Dropping it instead leaves the record
    /// to be read again.
    pub fn release(self) -> Result<()> {
        self.reader.release_raw()
    }
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Bytes that peers may write at any moment.
//!
//! No `&[u8]` or `&mut [u8]` over shared memory exists anywhere in this crate: a
//! reference promises the compiler that nobody else writes, and a peer keeps no
//! promises.  What there is instead:
//!
//! * *copies*, in and out, made by C's `memcpy()` behind a pointer that the
//!   compiler cannot see through: to Rust they are calls of unknown functions,
//!   and what they read is whatever bytes were there;
//! * *atomics*, where both sides agree on words;
//! * *cells* of plain data, read and written whole and volatile.
//!
//! None of it copies unless it says so: a view is an address and a length.

use crate::region::{Access, ReadOnly, ReadWrite};
use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ops::{Bound, RangeBounds};
use std::os::raw::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering};

type Copy_ = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *mut c_void;

/// Copy bytes of which one side is shared.
///
/// # Safety
/// Both sides must be mapped over `n` bytes and not overlap; `to` must be writable.
unsafe fn copy(to: *mut u8, from: *const u8, n: usize) {
    // Read anew each time, so that no optimizer learns that it is memcpy and
    // turns the call into accesses of its own, which would race with the peer's.
    static MEMCPY: Copy_ = libc::memcpy;
    // SAFETY: as promised.
    unsafe {
        let memcpy = ptr::read_volatile(&MEMCPY);
        memcpy(to.cast(), from.cast(), n);
    }
}

/// Types of which every pattern of bits is a value, so that a peer can write
/// nothing invalid.
///
/// # Safety
/// The type must be such, hold no pointer, and have no padding.
pub unsafe trait Pod: Copy + 'static {}

macro_rules! pod {
    ($($type:ty)*) => { $(
        // SAFETY: a number.
        unsafe impl Pod for $type {}
    )* };
}
pod!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);
// SAFETY: the elements follow each other without padding.
unsafe impl<T: Pod, const N: usize> Pod for [T; N] {}

/// A part of a region: an address and a length, tied to the region's life.
///
/// ```
/// # use std::sync::atomic::Ordering;
/// # fn main() -> ism::Result<()> {
/// # let dev = ism::Device::open("loop:")?;
/// let region = dev.alloc(4096)?;
/// let view = region.view();
/// view.get(0..5).unwrap().copy_from_slice(b"bytes");
/// view.cell::<[f64; 2]>(64).set([0.5, 1.5]);
/// view.atomic_u64(128).store(1, Ordering::Release);
///
/// let reader = dev.attach_read_only(region.token())?;
/// assert_eq!(reader.view().load_u32(128, Ordering::Acquire), u32::from_ne_bytes(1u64.to_ne_bytes()[..4].try_into().unwrap()));
/// assert_eq!(reader.view().cell::<f64>(72).get(), 1.5);
/// assert_eq!(reader.view().get(0..5).unwrap().to_vec(), b"bytes");
/// # Ok(()) }
/// ```
pub struct View<'r, A: Access = ReadWrite> {
    addr: NonNull<u8>,
    len: usize,
    region: PhantomData<(&'r (), A)>,
}

// SAFETY: every access is atomic, volatile or made by C; two threads that use
// one view see torn bytes at worst, as with a peer in another process.
unsafe impl<A: Access> Send for View<'_, A> {}
unsafe impl<A: Access> Sync for View<'_, A> {}

impl<A: Access> Clone for View<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A: Access> Copy for View<'_, A> {}

impl<'r, A: Access> View<'r, A> {
    /// # Safety
    /// `len` bytes at `addr` must be mapped, with the rights of `A`, for `'r`.
    pub(crate) unsafe fn new(addr: NonNull<u8>, len: usize) -> View<'r, A> {
        View { addr, len, region: PhantomData }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Has it no bytes?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it begins.  Peers may write there at any moment: do not make a
    /// reference of it.
    pub fn as_ptr(&self) -> *const u8 {
        self.addr.as_ptr()
    }

    /// The same bytes behind a type that only reads.
    pub fn as_read_only(&self) -> View<'r, ReadOnly> {
        View { addr: self.addr, len: self.len, region: PhantomData }
    }

    /// A part of it; `None` if that is not within it.
    pub fn get(&self, range: impl RangeBounds<usize>) -> Option<View<'r, A>> {
        let start = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.checked_add(1)?,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => n.checked_add(1)?,
            Bound::Excluded(&n) => n,
            Bound::Unbounded => self.len,
        };
        let len = end.checked_sub(start)?;
        // SAFETY: within this view.
        (end <= self.len).then(|| unsafe { View::new(NonNull::new_unchecked(self.addr.as_ptr().add(start)), len) })
    }

    /// Copy all of it out.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn copy_to_slice(&self, to: &mut [u8]) {
        assert_eq!(to.len(), self.len, "a copy between a slice and a view of different lengths");
        // SAFETY: the slice is ours alone, so the sides cannot overlap.
        unsafe { copy(to.as_mut_ptr(), self.as_ptr(), self.len) }
    }

    /// A copy of all of it.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(self.len);
        // SAFETY: there is room for so many, and then they are there.
        unsafe {
            copy(to.as_mut_ptr(), self.as_ptr(), self.len);
            to.set_len(self.len);
        }
        to
    }

    /// The address of something of type `T`.
    ///
    /// Panics, and names the caller, if it is not within the view or not aligned.
    #[track_caller]
    fn at<T>(&self, offset: usize) -> *mut T {
        let size = mem::size_of::<T>();
        assert!(
            offset <= self.len && size <= self.len - offset,
            "{} bytes at {} of a view of {}",
            size,
            offset,
            self.len
        );
        // SAFETY: within the view.
        let at = unsafe { self.addr.as_ptr().add(offset) };
        assert_eq!(at as usize % mem::align_of::<T>(), 0, "offset {} is not aligned for its type", offset);
        at.cast()
    }

    /// A cell of plain data at an offset.
    ///
    /// # Panics
    /// If it is not within the view, or not aligned.
    #[track_caller]
    pub fn cell<T: Pod>(&self, offset: usize) -> Cell<'r, T, A> {
        Cell { at: self.at(offset), region: PhantomData }
    }

    /// Load a word.
    ///
    /// # Panics
    /// If it is not within the view, or not aligned; if `order` is not one for loads.
    #[track_caller]
    pub fn load_u32(&self, offset: usize, order: Ordering) -> u32 {
        // SAFETY: mapped; a load of this size needs no right to write.
        unsafe { &*self.at::<AtomicU32>(offset) }.load(order)
    }

    /// Load a word of 64 bits.
    ///
    /// # Panics
    /// As [`View::load_u32`].
    #[cfg(target_pointer_width = "64")]
    #[track_caller]
    pub fn load_u64(&self, offset: usize, order: Ordering) -> u64 {
        // SAFETY: mapped; a load of a machine's word needs no right to write.
        unsafe { &*self.at::<AtomicU64>(offset) }.load(order)
    }
}

impl<'r> View<'r, ReadWrite> {
    /// Where it begins, see [`View::as_ptr`].
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.addr.as_ptr()
    }

    /// Copy bytes in.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn copy_from_slice(&self, from: &[u8]) {
        assert_eq!(from.len(), self.len, "a copy between a slice and a view of different lengths");
        // SAFETY: a slice never lies in shared memory, so the sides cannot overlap.
        unsafe { copy(self.as_mut_ptr(), from.as_ptr(), self.len) }
    }

    /// Set every byte.
    pub fn fill(&self, byte: u8) {
        for b in self.atomics() {
            b.store(byte, Ordering::Relaxed);
        }
    }

    /// The bytes as atomics.
    pub fn atomics(&self) -> &'r [AtomicU8] {
        // SAFETY: mapped for writing for 'r; atomics may be written by others.
        unsafe { std::slice::from_raw_parts(self.addr.as_ptr().cast(), self.len) }
    }

    /// A word at an offset.
    ///
    /// # Panics
    /// If it is not within the view, or not aligned.
    #[track_caller]
    pub fn atomic_u32(&self, offset: usize) -> &'r AtomicU32 {
        // SAFETY: mapped for writing for 'r.
        unsafe { &*self.at(offset) }
    }

    /// A word of 64 bits at an offset.
    ///
    /// # Panics
    /// If it is not within the view, or not aligned.
    #[track_caller]
    pub fn atomic_u64(&self, offset: usize) -> &'r AtomicU64 {
        // SAFETY: mapped for writing for 'r.
        unsafe { &*self.at(offset) }
    }
}

impl<A: Access> fmt::Debug for View<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({} bytes at {:p})", self.len, self.addr)
    }
}

/// Plain data in a region, read and written whole.  A peer that writes meanwhile
/// can mix old and new bytes.
#[derive(Debug)]
pub struct Cell<'r, T: Pod, A: Access = ReadWrite> {
    at: *mut T,
    region: PhantomData<(&'r (), A)>,
}

impl<T: Pod, A: Access> Cell<'_, T, A> {
    /// Read it.
    pub fn get(&self) -> T {
        // SAFETY: mapped and aligned; any bits are a value of T.
        unsafe { ptr::read_volatile(self.at.cast::<MaybeUninit<T>>()).assume_init() }
    }
}

impl<T: Pod> Cell<'_, T, ReadWrite> {
    /// Write it.
    pub fn set(&self, value: T) {
        // SAFETY: mapped for writing, and aligned.
        unsafe { ptr::write_volatile(self.at, value) }
    }
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Views: what they refuse, and that they copy nothing.

use ism::{AllocOptions, Device, Polled};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::os::unix::io::AsRawFd;
use std::panic::catch_unwind;
use std::sync::atomic::Ordering;

/// Counts the bytes that this thread has allocated.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = Cell::new(0);
}

// SAFETY: passes everything on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.with(|n| n.set(n.get() + layout.size()));
        System.alloc(layout)
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        System.dealloc(ptr, layout)
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn nothing_is_copied() {
    let dev = Device::open("loop:").unwrap();
    let region = dev.alloc(64 << 20).unwrap();
    let again = dev.attach_read_only(region.token()).unwrap();
    // SAFETY: reads an address.
    let addr = unsafe { ism_sys::ism_region_addr(region.as_ptr()) } as *const u8;
    let before = ALLOCATED.with(Cell::get);
    let view = region.view();
    let part = view.get(1 << 20..).unwrap();
    let cell = part.cell::<u64>(8);
    cell.set(17);
    let (read, word) = (again.view().cell::<u64>((1 << 20) + 8).get(), part.load_u64(8, Ordering::Relaxed));
    let byte = part.atomics()[8].load(Ordering::Relaxed);
    assert_eq!(ALLOCATED.with(Cell::get), before);
    assert_eq!((view.as_ptr(), part.as_ptr()), (addr, addr.wrapping_add(1 << 20)), "the mapping itself");
    assert_eq!((read, word, byte), (17, 17, u64::to_ne_bytes(17)[0]));
}

#[test]
fn bounds() {
    let dev = Device::open("loop:").unwrap();
    let region = dev.alloc_with(4096, &AllocOptions::new()).unwrap();
    let view = region.view();
    let len = view.len();
    assert!(view.get(len..).unwrap().is_empty());
    assert!(view.get(..len + 1).is_none() && view.get(len + 1..).is_none());
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = view.get(2..1);
    assert!(reversed.is_none() && view.get(..=usize::MAX).is_none());
    assert!(view.get((std::ops::Bound::Excluded(usize::MAX), std::ops::Bound::Unbounded)).is_none());
    let panics = |f: &(dyn Fn() -> u64 + std::panic::RefUnwindSafe)| catch_unwind(f).is_err();
    assert!(panics(&|| region.view().cell::<u64>(len - 7).get()));
    assert!(panics(&|| region.view().cell::<u64>(usize::MAX).get()));
    assert!(panics(&|| region.view().cell::<u32>(2).get().into()));
    assert!(panics(&|| region.view().load_u64(len, Ordering::Relaxed)));
    let short = || region.view().get(..4).unwrap().copy_from_slice(b"five!");
    assert!(catch_unwind(short).is_err());
}

#[test]
fn a_polled_descriptor_stays_open() {
    let mut polled = Polled::new(Device::open("loop:").unwrap()).unwrap();
    *polled = Device::open("loop:").unwrap(); // the one whose descriptor it was is gone
                                              // SAFETY: asks for the flags of a number.
    assert_eq!(unsafe { libc::fcntl(polled.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
}

#[test]
fn threads_share_a_view() {
    let dev = Device::open("loop:").unwrap();
    let region = dev.alloc(4096).unwrap();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..1000 {
                    region.view().atomic_u64(64).fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(region.view().load_u64(64, Ordering::Relaxed), 4000);
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Memory shared on demand and named by a token, with rights for each peer and a
//! doorbell for each region: the semantics of virtio-ism, between threads,
//! processes, containers and virtual machines.
//!
//! A [`Device`] is an endpoint of a sharing domain.  It allocates a [`Region`],
//! whose [`Token`] it gives away; a peer attaches by the token, and both ring each
//! other.  [`ring`] passes records through a region, [`Stream`] bytes through two.
//!
//! ```
//! use std::time::Duration;
//!
//! # fn main() -> ism::Result<()> {
//! # let uri = "loop:lib";
//! let ours = ism::Device::open(uri)?; // "emu:" between processes
//! let region = ours.alloc(1 << 20)?;
//! let token = region.token(); // to be told to the peer
//!
//! let theirs = ism::Device::open(uri)?;
//! let attached = theirs.attach_read_only(token)?;
//!
//! region.view().get(..5).unwrap().copy_from_slice(b"hello");
//! region.notify()?;
//! assert!(attached.wait(Some(Duration::from_secs(1)))?);
//! assert_eq!(attached.view().get(..5).unwrap().to_vec(), b"hello");
//! # Ok(()) }
//! ```
//!
//! # Trust
//!
//! A peer that may write can write anything, at any moment.  So there is no
//! reference to shared bytes: a [`View`] copies, or gives atomics and cells.  Copy
//! what you check, and use the copy.
//!
//! # Threads and fork
//!
//! Everything is `Send`, and all but the ends of rings and streams is `Sync`.  In
//! the child of `fork()` memory stays mapped and calls fail with `EOWNERDEAD`.
//!
//! # Features
//!
//! * `mio`: a [`Polled`] is a `mio::event::Source`.
//! * `tokio`: the module `tokio`, with waits, events and streams as futures.
//!
//! Tests open devices of a domain of their own: see [`emu`].  The C library is found with pkg-config.

// So that a structure that grows in C still builds here.
#![allow(clippy::needless_update)]
#![warn(missing_docs, missing_debug_implementations, rust_2018_idioms)]
#![deny(unsafe_op_in_unsafe_fn)]

mod device;
mod error;
mod event;
mod listener;
#[cfg(feature = "mio")]
mod mio;
mod options;
mod poll;
mod region;
mod rights;
mod stream;
mod view;

pub mod emu;
pub mod ring;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use device::{
    version, Device, DeviceEntry, DomainInfo, DomainStats, Host, Info, ReferrerEntry, RegionEntry, Stats, UserEntry,
};
pub use error::{Error, Result};
pub use event::{Event, EventKind, RegionId};
pub use listener::Listener;
pub use options::{AllocOptions, AttachOptions, OpenOptions};
pub use poll::{Lend, Polled};
pub use region::{Access, Got, ReadOnly, ReadWrite, Region};
pub use rights::{Reference, Rights, Token};
pub use stream::{ReadHalf, Stream, WriteHalf};
pub use view::{Cell, Pod, View};

// The programs in the README are tests, too.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

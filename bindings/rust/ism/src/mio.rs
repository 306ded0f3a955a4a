// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Devices, regions and rings in a loop of mio.

use crate::poll::Polled;
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io;
use std::os::unix::io::AsRawFd;

/// Feature `mio`: it is to be registered for [`Interest::READABLE`].
///
/// mio tells of a change once: take events, clear the doorbell, or read records until there are none.
///
/// ```
/// # use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (ours, theirs) = (ism::Device::open("loop:mio")?, ism::Device::open("loop:mio")?);
/// let mut poll = mio::Poll::new()?;
/// let mut events = mio::Events::with_capacity(16);
/// let mut dev = ism::Polled::new(ours)?;
/// poll.registry().register(&mut dev, mio::Token(0), mio::Interest::READABLE)?;
/// let region = dev.alloc(4096)?;
/// # let attached = theirs.attach(region.token())?;
/// # attached.notify()?;
/// poll.poll(&mut events, Some(Duration::from_secs(10)))?;
/// for event in &events {
///     assert_eq!(event.token(), mio::Token(0));
///     while let Some(event) = dev.next_event()? {
///         println!("{:?}", event);
///     }
/// }
/// # Ok(()) }
/// ```
impl<T> Source for Polled<T> {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.as_raw_fd()).deregister(registry)
    }
}

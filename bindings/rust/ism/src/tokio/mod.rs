// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Doorbells, events and streams as futures, for `tokio` (feature `tokio`).
//!
//! An [`AsyncDevice`] has one task, which sleeps on the device's descriptor and
//! hands what arrives to whom it is for: a doorbell costs one wake-up, however
//! many futures wait.
//!
//! ```
//! use ism::tokio::AsyncDevice;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # fn main() -> std::io::Result<()> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let ours = AsyncDevice::new(ism::Device::open("loop:tokio")?)?;
//! let theirs = AsyncDevice::new(ism::Device::open("loop:tokio")?)?;
//! let listener = ours.listen()?;
//! let (a, b) = tokio::join!(listener.accept(), theirs.connect(listener.token(), 1 << 20));
//! let (mut a, mut b) = (a?, b?);
//! a.write_all(b"hello").await?;
//! let mut buf = [0; 5];
//! b.read_exact(&mut buf).await?;
//! assert_eq!(&buf, b"hello");
//! # Ok(()) })}
//! ```

mod bell;
mod stream;

use self::bell::{lock, Bell, PollFn};
use crate::error::{Error, Result};
use crate::listener::{Dial, Listener};
use crate::poll::Lend;
use crate::{Access, Device, Event, EventKind, Polled, Region, RegionId, Stream, Token};
use ::tokio::io::unix::AsyncFd;
use ::tokio::io::Interest;
use ::tokio::task::JoinHandle;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::Deref;
use std::os::unix::io::OwnedFd;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

pub use self::stream::{AsyncReadHalf, AsyncStream, AsyncWriteHalf};

/// Events that wait to be taken; beyond these they are lost, and that is said.
const EVENTS_MAX: usize = 4096;

#[derive(Debug)]
struct Shared {
    device: Device,
    bells: Mutex<HashMap<RegionId, Arc<Bell>>>,
    events: Mutex<VecDeque<Event>>,
    event_bell: Bell,
    task: Mutex<Option<JoinHandle<()>>>,
    /// Why the task ended.
    failure: Mutex<Option<Error>>,
}

impl Shared {
    fn dispatch(&self, event: Event) {
        let bell = event.region.and_then(|id| lock(&self.bells).get(&id).cloned());
        match (event.kind, bell) {
            (EventKind::Update, Some(bell)) => return bell.rung(),
            (_, Some(bell)) => bell.changed(),
            (EventKind::Reset | EventKind::Lost, None) => self.ring_all(),
            _ => {}
        }
        let mut events = lock(&self.events);
        if events.len() < EVENTS_MAX {
            events.push_back(event);
        } else if let Some(last) = events.back_mut() {
            *last = Event { kind: EventKind::Lost, devid: None, peers: 0, token: None, region: None };
        }
        drop(events);
        self.event_bell.rung();
    }

    fn ring_all(&self) {
        let bells: Vec<_> = lock(&self.bells).values().cloned().collect();
        bells.iter().for_each(|bell| bell.changed());
    }

    fn fail(&self, e: Error) {
        *lock(&self.failure) = Some(e);
        self.ring_all();
        self.event_bell.rung();
    }

    fn failure(&self) -> Result<()> {
        lock(&self.failure).clone().map_or(Ok(()), Err)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

/// The task: it keeps the device open no longer than its users do.
async fn run(fd: AsyncFd<Polled<Device>>, shared: Weak<Shared>) {
    loop {
        let mut ready = match fd.readable().await {
            Ok(ready) => ready,
            Err(e) => {
                let e = Error::new(e.raw_os_error().unwrap_or(libc::EIO), &e.to_string());
                return shared.upgrade().map_or((), |shared| shared.fail(e));
            }
        };
        loop {
            let event = fd.get_ref().next_event();
            let shared = match shared.upgrade() {
                Some(shared) => shared,
                None => return,
            };
            match event {
                Ok(Some(event)) => shared.dispatch(event),
                Ok(None) => break,
                Err(e) => return shared.fail(e),
            }
        }
        ready.clear_ready();
    }
}

/// A device whose doorbells and events are futures.
///
/// It takes all events of the device; do not wait for them in another way.
/// Clones are handles of the same.  It dereferences to the [`Device`].
#[derive(Clone, Debug)]
pub struct AsyncDevice {
    shared: Arc<Shared>,
}

impl AsyncDevice {
    /// Begin to take the device's events.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn new(device: Device) -> io::Result<AsyncDevice> {
        let fd = AsyncFd::with_interest(Polled::new(device.clone())?, Interest::READABLE)?;
        let shared = Arc::new(Shared {
            device,
            bells: Mutex::default(),
            events: Mutex::default(),
            event_bell: Bell::default(),
            task: Mutex::default(),
            failure: Mutex::default(),
        });
        *lock(&shared.task) = Some(::tokio::spawn(run(fd, Arc::downgrade(&shared))));
        Ok(AsyncDevice { shared })
    }

    /// The next event that is not a doorbell of an [`AsyncRegion`] or stream.
    pub async fn event(&self) -> Result<Event> {
        PollFn(|cx: &mut Context<'_>| self.poll_event(cx)).await
    }

    /// As [`AsyncDevice::event`], for those who write a `Stream` of events.
    pub fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Result<Event>> {
        self.shared.event_bell.register(cx);
        if let Some(event) = lock(&self.shared.events).pop_front() {
            return Poll::Ready(Ok(event));
        }
        match self.shared.failure() {
            Ok(()) => Poll::Pending,
            Err(e) => Poll::Ready(Err(e)),
        }
    }

    /// A region of this device whose doorbell is a future.
    pub fn region<A: Access>(&self, region: Region<A>) -> io::Result<AsyncRegion<A>> {
        let vector = match region.got().vector {
            true => Some(AsyncFd::with_interest(region.fd()?.try_clone_to_owned()?, Interest::READABLE)?),
            false => None,
        };
        Ok(AsyncRegion { entry: self.enter(region.id()), vector, region })
    }

    /// A stream of this device that reads and writes asynchronously.
    pub fn stream(&self, stream: Stream) -> Result<AsyncStream> {
        let (reader, writer) = stream.split();
        let open = |what| Error::new(libc::EPIPE, what);
        let rx = reader.ring.as_ref().ok_or_else(|| open("the stream is shut down for reading"))?;
        let tx = writer.ring.as_ref().ok_or_else(|| open("the stream is shut down for writing"))?;
        // From here on EAGAIN also asks the peer to ring.
        rx.lend()?;
        tx.lend()?;
        let (rx, tx) = (self.enter(rx.region().id()), self.enter(tx.region().id()));
        Ok(AsyncStream {
            reader: AsyncReadHalf { half: reader, entry: rx },
            writer: AsyncWriteHalf { half: writer, entry: tx },
        })
    }

    /// Listen for streams.
    pub fn listen(&self) -> Result<AsyncListener> {
        // Without a vector: its doorbell comes as an event.
        let listener = Listener::bind_in(self, self.alloc(1)?)?;
        Ok(AsyncListener { entry: self.enter(listener.region().id()), device: self.clone(), listener })
    }

    /// Connect to a listener of any language, with rings of `capacity` bytes.
    pub async fn connect(&self, listener: Token, capacity: usize) -> Result<AsyncStream> {
        let mut dial = Dial::new(self, listener, capacity)?;
        let own = self.enter(dial.lend()?);
        let theirs = self.enter(dial.listener_region().id());
        PollFn(|cx: &mut Context<'_>| {
            own.bell.register(cx);
            theirs.bell.register(cx);
            match dial.try_finish() {
                Err(e) if e.errno() == libc::EAGAIN => {}
                other => return Poll::Ready(other),
            }
            if let Err(e) = theirs.bell.check_peers(|| dial.check_listener().and(Ok(false))) {
                // One that accepts once answers, and goes: what it left is there now.
                return Poll::Ready(
                    dial.try_finish().map_err(|none| if none.errno() == libc::EAGAIN { e } else { none }),
                );
            }
            own.pending()
        })
        .await?;
        drop((own, theirs));
        self.stream(dial.into_stream())
    }

    fn enter(&self, id: RegionId) -> Entry {
        let bell = Arc::new(Bell::default());
        // What was before this is looked at by the first poll.
        bell.changed();
        lock(&self.shared.bells).insert(id, bell.clone());
        Entry { shared: self.shared.clone(), bell, id }
    }
}

impl Deref for AsyncDevice {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.shared.device
    }
}

/// A bell under which a region is known to the task.
#[derive(Debug)]
struct Entry {
    shared: Arc<Shared>,
    bell: Arc<Bell>,
    id: RegionId,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut bells = lock(&self.shared.bells);
        if bells.get(&self.id).map_or(false, |bell| Arc::ptr_eq(bell, &self.bell)) {
            bells.remove(&self.id);
        }
    }
}

/// A region whose doorbell is a future.  It dereferences to the [`Region`].
#[derive(Debug)]
pub struct AsyncRegion<A: Access> {
    // Before the region: its id may be given again once that is gone.
    entry: Entry,
    /// Of its own, which is then not among the device's events; one task waits.
    vector: Option<AsyncFd<OwnedFd>>,
    region: Region<A>,
}

impl<A: Access> AsyncRegion<A> {
    /// Wait until a peer rings.  Fails with `EPIPE` when the last peer has
    /// detached or died, as [`Region::wait`] does.
    ///
    /// Dropping the future loses nothing.
    ///
    /// ```
    /// # use ism::tokio::AsyncDevice;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let theirs = ism::Device::open("loop:rung")?;
    /// # let dev = AsyncDevice::new(ism::Device::open("loop:rung")?)?;
    /// let region = dev.region(dev.alloc(4096)?)?;
    /// # let peer = theirs.attach(region.token())?;
    /// # peer.notify()?;
    /// region.rung().await?;
    /// # Ok::<(), std::io::Error>(()) }).unwrap();
    /// ```
    pub async fn rung(&self) -> Result<()> {
        PollFn(|cx: &mut Context<'_>| self.poll_rung(cx)).await
    }

    /// As [`AsyncRegion::rung`].
    pub fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let bell = &self.entry.bell;
        bell.register(cx);
        if bell.take_rung() || bell.check_peers(|| self.region.wait(Some(Duration::ZERO)))? {
            return Poll::Ready(Ok(()));
        }
        if let Some(vector) = &self.vector {
            while let Poll::Ready(ready) = vector.poll_read_ready(cx) {
                let mut ready = ready.map_err(|e| Error::new(e.raw_os_error().unwrap_or(libc::EIO), "poll"))?;
                if self.region.clear()? {
                    return Poll::Ready(Ok(()));
                }
                ready.clear_ready();
            }
        }
        self.entry.pending()
    }
}

impl<A: Access> Deref for AsyncRegion<A> {
    type Target = Region<A>;

    fn deref(&self) -> &Region<A> {
        &self.region
    }
}

/// Where streams are connected to.
#[derive(Debug)]
pub struct AsyncListener {
    entry: Entry,
    device: AsyncDevice,
    listener: Listener,
}

impl AsyncListener {
    /// What [`AsyncDevice::connect`] and [`Stream::connect`] need: treat it as a password.
    pub fn token(&self) -> Token {
        self.listener.token()
    }

    /// The next stream.  Dropping the future loses nothing.
    pub async fn accept(&self) -> Result<AsyncStream> {
        let stream = PollFn(|cx: &mut Context<'_>| {
            self.entry.bell.register(cx);
            self.entry.bell.take_rung();
            if let Some(stream) = self.listener.try_accept()? {
                return Poll::Ready(Ok(stream));
            }
            // Without peers there is nobody to connect now: the host is what counts.
            match self.entry.bell.check_peers(|| self.listener.check_host().and(Ok(false))) {
                Ok(_) => self.entry.pending(),
                Err(e) => Poll::Ready(Err(e)),
            }
        })
        .await?;
        self.device.stream(stream)
    }
}

impl Entry {
    fn pending<T>(&self) -> Poll<Result<T>> {
        self.shared.failure().map_or_else(|e| Poll::Ready(Err(e)), |()| Poll::Pending)
    }
}

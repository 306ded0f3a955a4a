// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Where streams are connected to: a region into which diallers put tokens.

use crate::error::{Error, Result};
use crate::options::AllocOptions;
use crate::region::{ReadWrite, Region};
use crate::{Device, Rights, Stream, Token};
use std::os::unix::io::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

// The layout, which the bindings of all languages share: bindings/conformance.md.
const MAGIC: u64 = u64::from_ne_bytes(*b"ISMLSTN1");
const SLOTS_AT: usize = 64;
const SLOTS_MAX: usize = 1024;

/// A wait without a limit looks so often whether the host is still there.
const LOOK_AT_HOST: Duration = Duration::from_secs(1);
/// And one for an answer, whether the listener is.
const LOOK_AT_LISTENER: Duration = Duration::from_millis(100);

/// Listens for streams, from programs in any language that know its token.
///
/// ```
/// use std::io::{Read, Write};
/// use std::time::Duration;
/// # fn main() -> std::io::Result<()> {
/// let server = ism::Device::open("loop:listener")?;
/// let listener = ism::Listener::bind(&server)?;
/// let token = listener.token(); // to be told to clients
///
/// let client = std::thread::spawn(move || -> std::io::Result<String> {
///     let dev = ism::Device::open("loop:listener")?;
///     let mut stream = ism::Stream::connect(&dev, token, 1 << 20, Some(Duration::from_secs(10)))?;
///     let mut text = String::new();
///     stream.read_to_string(&mut text)?;
///     Ok(text)
/// });
/// listener.accept(Some(Duration::from_secs(10)))?.write_all(b"welcome")?;
/// assert_eq!(client.join().unwrap()?, "welcome");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Listener {
    device: Device,
    region: Region<ReadWrite>,
}

/// The slots of a listener's region: as many as there are, whatever it says.
fn slots(region: &Region<ReadWrite>) -> impl Iterator<Item = &AtomicU64> {
    let view = region.view();
    let said = view.atomic_u32(8).load(Ordering::Relaxed) as usize;
    let nr = said.min(SLOTS_MAX).min((view.len() - SLOTS_AT) / 8);
    (0..nr).map(move |i| view.atomic_u64(SLOTS_AT + 8 * i))
}

impl Listener {
    /// Listen: allocates a region of one chunk.
    pub fn bind(dev: &Device) -> Result<Listener> {
        Listener::bind_with(dev, &AllocOptions::new())
    }

    /// Listen, with options for its region: with [`AllocOptions::private`], only
    /// devices that are granted READ, WRITE and ATTACH can connect.
    pub fn bind_with(dev: &Device, options: &AllocOptions) -> Result<Listener> {
        // A vector, so that accept() can wait whether or not there are peers.
        Listener::bind_in(dev, dev.alloc_with(1, &options.clone().vector())?)
    }

    pub(crate) fn bind_in(dev: &Device, region: Region<ReadWrite>) -> Result<Listener> {
        let view = region.view();
        let nr = SLOTS_MAX.min((view.len() - SLOTS_AT) / 8);
        view.atomic_u32(8).store(nr as u32, Ordering::Relaxed);
        // Last: who finds the magic finds the rest.
        view.atomic_u64(0).store(MAGIC, Ordering::Release);
        Ok(Listener { device: dev.clone(), region })
    }

    /// What [`Stream::connect`] needs: treat it as a password.
    pub fn token(&self) -> Token {
        self.region.token()
    }

    /// The region, to grant rights on.
    pub fn region(&self) -> &Region<ReadWrite> {
        &self.region
    }

    /// The next stream; `ETIMEDOUT` if none comes in time.  `None` waits for ever.
    pub fn accept(&self, timeout: Option<Duration>) -> Result<Stream> {
        let deadline = timeout.map(|t| Instant::now() + t);
        loop {
            // Before the look, so that a ring after it is seen by the poll.
            self.region.clear()?;
            if let Some(stream) = self.try_accept()? {
                return Ok(stream);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(Error::new(libc::ETIMEDOUT, "nobody connected"));
            }
            if !self.poll(left.map_or(LOOK_AT_HOST, |left| left.min(LOOK_AT_HOST)))? {
                self.check_host()?;
            }
        }
    }

    /// The next stream, if one is there.  Diallers that break the rules are passed over.
    pub fn try_accept(&self) -> Result<Option<Stream>> {
        for slot in slots(&self.region) {
            // Acquire: what the dialler wrote before it put its token there.
            let token = match Token::new(slot.swap(0, Ordering::Acquire)) {
                Some(token) => token,
                None => continue,
            };
            match Stream::accept(&self.device, token) {
                Ok(stream) => return Ok(Some(stream)),
                // Ours, and the next dialler would fare no better.
                Err(e) if [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EHOSTDOWN].contains(&e.errno()) => {
                    return Err(e)
                }
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// `EHOSTDOWN` when the host is gone: nobody can connect any more.
    pub(crate) fn check_host(&self) -> Result<()> {
        self.region.peers().map(drop)
    }

    /// Is the doorbell's descriptor readable in time?
    fn poll(&self, timeout: Duration) -> Result<bool> {
        let fd = self.region.fd()?.as_raw_fd();
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // Rounded up: 0 would be a busy loop.
        let ms = timeout.as_millis().saturating_add(1).min(i32::MAX as u128) as i32;
        // SAFETY: one structure.
        match unsafe { libc::poll(&mut poll, 1, ms) } {
            0 => Ok(false),
            n if n > 0 => Ok(true),
            _ => match std::io::Error::last_os_error().raw_os_error() {
                None | Some(libc::EINTR) => Ok(true), // look, and go on
                Some(errno) => Err(Error::new(errno, "poll")),
            },
        }
    }
}

/// A stream that is offered to a listener, and waits for its answer.
#[derive(Debug)]
pub(crate) struct Dial {
    stream: Option<Stream>,
    token: Token,
    listener: Region<ReadWrite>,
    answered: bool,
}

impl Dial {
    pub(crate) fn new(dev: &Device, listener: Token, capacity: usize) -> Result<Dial> {
        let listener = dev.attach(listener)?;
        if listener.view().atomic_u64(0).load(Ordering::Acquire) != MAGIC {
            return Err(Error::new(libc::EPROTO, "nobody listens in this region: expected a listener's token"));
        }
        let (stream, token) = Dial::offer(dev, &listener, capacity)?;
        let dial = Dial { stream: Some(stream), token, listener, answered: false };
        let put = |slot: &AtomicU64| slot.compare_exchange(0, token.get(), Ordering::Release, Ordering::Relaxed);
        if !slots(&dial.listener).any(|slot| put(slot).is_ok()) {
            return Err(refused("all slots of the listener are taken"));
        }
        dial.listener.notify()?;
        Ok(dial)
    }

    /// A stream that only the listening device may take: others see the slots, too.
    fn offer(dev: &Device, listener: &Region<ReadWrite>, capacity: usize) -> Result<(Stream, Token)> {
        let all = dev.referrers(listener.token())?;
        let creator = all.iter().find(|r| r.creator).ok_or_else(|| refused("the listener is gone"))?.devid;
        Stream::offer_to(dev, capacity, &AllocOptions::new().private(), |region| {
            // Ours is ours already.
            if creator == dev.info()?.devid {
                return Ok(());
            }
            region.grant(creator, Rights::READ | Rights::WRITE | Rights::ATTACH)
        })
    }

    /// Has the listener gone?
    pub(crate) fn check_listener(&self) -> Result<()> {
        match self.listener.wait(Some(Duration::ZERO)) {
            Err(e) if e.errno() == libc::EPIPE => Err(refused("the listener is gone")),
            other => other.map(drop),
        }
    }

    fn stream(&mut self) -> &mut Stream {
        self.stream.as_mut().expect("taken at the end only")
    }

    pub(crate) fn into_stream(mut self) -> Stream {
        self.stream.take().expect("taken at the end only")
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        let deadline = timeout.map(|t| Instant::now() + t);
        loop {
            let left = deadline.map_or(LOOK_AT_LISTENER, |at| at.saturating_duration_since(Instant::now()));
            match self.stream().greet(Some(left.min(LOOK_AT_LISTENER))) {
                Err(e) if e.errno() == libc::ETIMEDOUT || e.errno() == libc::EAGAIN => {}
                other => {
                    self.answered = true;
                    return other;
                }
            }
            if left.is_zero() {
                return Err(Error::new(libc::ETIMEDOUT, "the listener did not accept in time"));
            }
            if let Err(e) = self.check_listener() {
                // One that accepts once answers, and goes: what it left is there now.
                return match self.stream().greet(Some(Duration::ZERO)) {
                    Err(none) if none.errno() == libc::ETIMEDOUT || none.errno() == libc::EAGAIN => Err(e),
                    other => {
                        self.answered = true;
                        other
                    }
                };
            }
        }
    }
}

#[cfg(feature = "tokio")]
impl Dial {
    pub(crate) fn listener_region(&self) -> &Region<ReadWrite> {
        &self.listener
    }

    /// From here on, EAGAIN also asks the listener to ring: this region.
    pub(crate) fn lend(&mut self) -> Result<crate::RegionId> {
        self.stream().lend_reader()
    }

    /// `EAGAIN` until the answer is there.
    pub(crate) fn try_finish(&mut self) -> Result<()> {
        self.stream().try_greet()?;
        self.answered = true;
        Ok(())
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if !self.answered {
            // Take the token back, if it is still there.
            let take = |slot: &AtomicU64| {
                slot.compare_exchange(self.token.get(), 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            };
            slots(&self.listener).any(take);
        }
    }
}

fn refused(why: &str) -> Error {
    Error::new(libc::ECONNREFUSED, why)
}

impl Stream {
    /// Connect to a [`Listener`] of any language, with rings of `capacity` bytes.
    ///
    /// `ECONNREFUSED` if it is gone or overrun, `ETIMEDOUT` if it does not accept.
    pub fn connect(dev: &Device, listener: Token, capacity: usize, timeout: Option<Duration>) -> Result<Stream> {
        let mut dial = Dial::new(dev, listener, capacity)?;
        dial.wait(timeout)?;
        Ok(dial.into_stream())
    }
}

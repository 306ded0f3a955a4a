// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Bytes in both directions, through a pair of rings.

use crate::error::{Error, Result};
use crate::options::AllocOptions;
use crate::region::{ReadOnly, ReadWrite, Region};
use crate::ring::{Reader, Writer};
use crate::view::View;
use crate::{Device, Token};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::ptr::NonNull;
use std::time::Duration;

/// The first record in each direction; the dialling end's is followed by the
/// token of the second ring.  bindings/conformance.md has the convention.
const GREETING: &[u8; 8] = b"ISMSTRM1";

/// A stream of bytes in both directions, as a socket is one.
///
/// One end offers it and tells its token to the other, which accepts; or they
/// meet at a [`Listener`](crate::Listener).  It implements [`Read`] and [`Write`];
/// what is written is published at once.  Reading gives 0 bytes once the peer has
/// shut down its side and all is read, and fails with `ConnectionReset` if the peer
/// dies.  The offering end must be kept until the other has accepted.
///
/// ```
/// use std::io::{Read, Write};
/// # fn main() -> std::io::Result<()> {
/// # let (ours, theirs) = (ism::Device::open("loop:stream")?, ism::Device::open("loop:stream")?);
/// let (mut a, token) = ism::Stream::offer(&ours, 1 << 20)?;
/// let mut b = ism::Stream::accept(&theirs, token)?;
/// a.write_all(b"question")?;
/// a.shutdown(std::net::Shutdown::Write)?;
/// let mut text = String::new();
/// b.read_to_string(&mut text)?;
/// assert_eq!(text, "question");
/// b.write_all(b"answer")?; // half closed: this direction is open
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Stream {
    reader: ReadHalf,
    writer: WriteHalf,
}

impl Stream {
    /// Offer a stream: two regions of `capacity` bytes are allocated, one ring
    /// each.  The token is what [`Stream::accept`] needs.
    pub fn offer(dev: &Device, capacity: usize) -> Result<(Stream, Token)> {
        Stream::offer_with(dev, capacity, &AllocOptions::new())
    }

    /// Offer a stream, with options for its regions.
    pub fn offer_with(dev: &Device, capacity: usize, options: &AllocOptions) -> Result<(Stream, Token)> {
        Stream::offer_to(dev, capacity, options, |_| Ok(()))
    }

    /// Offer a stream, in regions that `grant` has opened to the peer.
    pub(crate) fn offer_to(
        dev: &Device,
        capacity: usize,
        options: &AllocOptions,
        grant: impl Fn(&Region<ReadWrite>) -> Result<()>,
    ) -> Result<(Stream, Token)> {
        let regions = dev.alloc_many(capacity, 2, options)?;
        regions.iter().try_for_each(grant)?;
        let mut writer = Writer::create(&regions[0])?;
        let reader = Reader::create(&regions[1])?;
        let mut greeting = [0; 16];
        greeting[..8].copy_from_slice(GREETING);
        greeting[8..].copy_from_slice(&regions[1].token().get().to_ne_bytes());
        writer.send(&greeting, Some(Duration::ZERO))?;
        let mut stream = Stream::from_rings(reader, writer);
        stream.reader.greeted = false;
        Ok((stream, regions[0].token()))
    }

    /// Accept a stream that was offered.
    pub fn accept(dev: &Device, token: Token) -> Result<Stream> {
        let wrong = || Error::new(libc::EPROTO, "this region does not hold a stream that is offered");
        let mut reader = Reader::attach(&dev.attach(token)?)?;
        let mut greeting = [0; 16];
        match reader.recv(&mut greeting, Some(Duration::ZERO)) {
            Ok(16) if &greeting[..8] == GREETING => {}
            _ => return Err(wrong()),
        }
        let number = u64::from_ne_bytes(greeting[8..].try_into().expect("8 bytes"));
        let mut writer = Writer::attach(&dev.attach(Token::new(number).ok_or_else(wrong)?)?)?;
        writer.send(GREETING, Some(Duration::ZERO))?;
        Ok(Stream::from_rings(reader, writer))
    }

    /// A stream over two rings that are there, without any greeting.
    pub fn from_rings(reader: Reader, writer: Writer) -> Stream {
        // Several records in flight, so that both ends can work at once.
        let record = (writer.max_record() / 4).max(1);
        Stream {
            reader: ReadHalf { ring: Some(reader), record: None, greeted: true, timeout: None },
            writer: WriteHalf { ring: Some(writer), record, timeout: None },
        }
    }

    /// How long a read may wait; `None`: for ever.  Then it fails with `TimedOut`.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.reader.set_timeout(timeout);
    }

    /// How long a write may wait; `None`: for ever.  Then it fails with `TimedOut`.
    pub fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.writer.set_timeout(timeout);
    }

    /// Shut down one side or both.  The peer reads what was written, and then the end.
    pub fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            self.reader.ring = None;
            self.reader.record = None;
        }
        if how != Shutdown::Read {
            self.writer.ring = None;
        }
        Ok(())
    }

    /// The two directions, for two threads.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        (self.reader, self.writer)
    }

    /// Put what [`Stream::split`] made together again.
    pub fn join(reader: ReadHalf, writer: WriteHalf) -> Stream {
        Stream { reader, writer }
    }

    /// Wait for the other end's greeting.
    pub(crate) fn greet(&mut self, timeout: Option<Duration>) -> Result<()> {
        let ring = self.reader.ring.as_mut().expect("just offered");
        ring.wait(timeout)?;
        self.reader.try_greet()
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn try_greet(&mut self) -> Result<()> {
        self.reader.try_greet()
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn lend_reader(&mut self) -> Result<crate::RegionId> {
        let ring = self.reader.ring.as_ref().expect("just offered");
        crate::Lend::lend(ring)?;
        Ok(ring.region().id())
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.writer.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A record that is partly read.  It is believed to be where it was when it was
/// first looked at, whatever the peer has done to its head since.
#[derive(Debug)]
struct Record {
    at: NonNull<u8>,
    len: usize,
    taken: usize,
}

// SAFETY: an address in a region that the half keeps attached.
unsafe impl Send for Record {}
unsafe impl Sync for Record {}

/// The direction of a stream that is read.
#[derive(Debug)]
pub struct ReadHalf {
    pub(crate) ring: Option<Reader>,
    record: Option<Record>,
    greeted: bool,
    timeout: Option<Duration>,
}

/// The direction of a stream that is written.  Dropping it shuts it down.
#[derive(Debug)]
pub struct WriteHalf {
    pub(crate) ring: Option<Writer>,
    record: usize,
    timeout: Option<Duration>,
}

impl ReadHalf {
    /// See [`Stream::set_read_timeout`].
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Take the peer's greeting, if it has not been taken yet.
    fn try_greet(&mut self) -> Result<()> {
        let ring = match &mut self.ring {
            Some(ring) if !self.greeted => ring,
            _ => return Ok(()),
        };
        let mut greeting = [0; 8];
        match ring.recv(&mut greeting, Some(Duration::ZERO)) {
            Ok(8) if &greeting == GREETING => self.greeted = true,
            Err(e) if e.errno() != libc::EMSGSIZE => return Err(e),
            _ => return Err(Error::new(libc::EPROTO, "the other end does not greet as a stream does")),
        }
        Ok(())
    }

    /// Bytes that are there: `Ok(0)` at the end of the stream, `EAGAIN` if there are none now.
    pub(crate) fn try_read(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.try_greet()?;
        let ring = match &mut self.ring {
            Some(ring) if !buf.is_empty() => ring,
            _ => return Ok(0),
        };
        while self.record.is_none() {
            match ring.peek_raw() {
                Ok((_, 0)) => ring.release_raw()?,
                Ok((at, len)) => self.record = Some(Record { at, len, taken: 0 }),
                Err(e) if e.errno() == libc::EPIPE => return Ok(0),
                Err(e) => return Err(e),
            }
        }
        let record = self.record.as_mut().expect("just found");
        let n = buf.len().min(record.len - record.taken);
        // SAFETY: the ring lends it until it is released.
        let view: View<'_, ReadOnly> = unsafe { View::new(record.at, record.len) };
        view.get(record.taken..record.taken + n).expect("within").copy_to_slice(&mut buf[..n]);
        record.taken += n;
        if record.taken == record.len {
            self.record = None;
            // EHOSTDOWN: a writer that sleeps could not be told of the room.  The
            // bytes are read all the same, and the next wait says it.
            let _ = ring.release_raw();
        }
        Ok(n)
    }
}

impl Read for ReadHalf {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.try_read(buf) {
                Err(e) if e.errno() == libc::EAGAIN => {}
                other => return other.map_err(io::Error::from),
            }
            let ring = self.ring.as_mut().expect("there was one");
            match ring.wait(self.timeout) {
                Ok(()) => {}
                Err(e) if e.errno() == libc::EPIPE => return last_look(self.try_read(buf)),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// The peer is gone; this is what it had written before that.
pub(crate) fn last_look(read: Result<usize>) -> io::Result<usize> {
    match read {
        Err(e) if e.errno() == libc::EAGAIN => Err(reset().into()),
        other => Ok(other?),
    }
}

fn reset() -> Error {
    Error::new(libc::ECONNRESET, "the peer died, or detached the stream, without closing it")
}

impl WriteHalf {
    /// See [`Stream::set_write_timeout`].
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Write what fits in one record; how much that was.
    pub(crate) fn send(&mut self, buf: &[u8], timeout: Option<Duration>) -> Result<usize> {
        let ring = match &mut self.ring {
            Some(ring) => ring,
            None => return Err(Error::new(libc::EPIPE, "this side of the stream is shut down")),
        };
        let n = buf.len().min(self.record);
        if n > 0 {
            ring.send(&buf[..n], timeout).map_err(|e| match e.errno() {
                libc::ECONNRESET => Error::new(libc::EPIPE, "nobody is left to read this"),
                _ => e,
            })?;
        }
        Ok(n)
    }
}

impl Write for WriteHalf {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(self.send(buf, self.timeout)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

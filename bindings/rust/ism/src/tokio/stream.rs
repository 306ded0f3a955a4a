// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Streams that read and write asynchronously.

use super::Entry;
use crate::error::Result;
use crate::stream::{last_look, ReadHalf, WriteHalf};
#[cfg(doc)]
use crate::Stream;
use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A [`Stream`] that reads and writes asynchronously.
///
/// What the peer wrote before it died is read first, then comes `ConnectionReset`;
/// writing to it fails with `BrokenPipe`.
#[derive(Debug)]
pub struct AsyncStream {
    pub(super) reader: AsyncReadHalf,
    pub(super) writer: AsyncWriteHalf,
}

/// The direction that is read.
#[derive(Debug)]
pub struct AsyncReadHalf {
    pub(super) entry: Entry,
    pub(super) half: ReadHalf,
}

/// The direction that is written.  Dropping it shuts it down.
#[derive(Debug)]
pub struct AsyncWriteHalf {
    pub(super) entry: Entry,
    pub(super) half: WriteHalf,
}

impl AsyncStream {
    /// The two directions, for two tasks.
    pub fn into_split(self) -> (AsyncReadHalf, AsyncWriteHalf) {
        (self.reader, self.writer)
    }
}

fn again<T>(result: &Result<T>) -> bool {
    matches!(result, Err(e) if e.errno() == libc::EAGAIN)
}

impl AsyncReadHalf {
    fn poll(&mut self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let bell = &self.entry.bell;
        bell.register(cx);
        bell.take_rung();
        let mut got = self.half.try_read(buf);
        if again(&got) {
            let ring = self.half.ring.as_ref().expect("it said EAGAIN");
            match bell.check_peers(|| ring.check_peer().and(Ok(false))) {
                // The doorbell may have been taken: the ring speaks for itself.
                Ok(_) => got = self.half.try_read(buf),
                Err(e) if e.errno() == libc::EPIPE => return Poll::Ready(last_look(self.half.try_read(buf))),
                Err(e) => return Poll::Ready(Err(e.into())),
            }
        }
        if again(&got) {
            return self.entry.pending().map_err(io::Error::from);
        }
        Poll::Ready(got.map_err(io::Error::from))
    }
}

impl AsyncWriteHalf {
    fn poll(&mut self, cx: &Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let bell = &self.entry.bell;
        bell.register(cx);
        bell.take_rung();
        let alive = match self.half.ring.as_ref() {
            Some(ring) => bell.check_peers(|| ring.check_peer().and(Ok(false))),
            None => Ok(false),
        };
        match alive {
            // A host that is gone matters only once somebody has to be waited for.
            Err(e) if e.errno() != libc::EHOSTDOWN => return Poll::Ready(Err(e.into())),
            _ => {}
        }
        let sent = self.half.send(buf, Some(Duration::ZERO));
        if again(&sent) {
            alive?;
            return self.entry.pending().map_err(io::Error::from);
        }
        Poll::Ready(sent.map_err(io::Error::from))
    }
}

impl AsyncRead for AsyncReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll(cx, buf.initialize_unfilled()).map_ok(|n| buf.advance(n))
    }
}

impl AsyncWrite for AsyncWriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().half.ring = None;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for AsyncStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for AsyncStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().writer).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().writer).poll_shutdown(cx)
    }
}

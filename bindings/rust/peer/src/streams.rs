// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Commands about streams and listeners.

use crate::fail::{done, Fail, Outcome};
use crate::memory::{crc32, hex, pattern, unhex};
use crate::{Peer, Words};
use ism::{Listener, Stream};
use std::io::{Read, Write};
use std::net::Shutdown;

const CAPACITY: usize = 256 << 10;

impl Peer {
    pub fn stream_command(&mut self, w: &Words<'_>) -> Outcome<String> {
        match w.text(0)? {
            "listen" => {
                let listener = Listener::bind(&self.dev)?;
                let token = listener.token().to_string();
                self.listeners.insert(w.text(1)?.to_string(), listener);
                return Ok(token);
            }
            "accept" => {
                let listener = self.listeners.get(w.text(1)?);
                let listener = listener.ok_or_else(|| Fail::new(libc::EBADF, "no such listener"))?;
                let stream = listener.accept(w.timeout(3)?)?;
                self.streams.insert(w.text(2)?.to_string(), stream);
            }
            "dial" => {
                let stream = Stream::connect(&self.dev, w.token(2)?, CAPACITY, w.timeout(3)?)?;
                self.streams.insert(w.text(1)?.to_string(), stream);
            }
            "unlisten" => drop(self.listeners.remove(w.text(1)?)),
            "hangup" => drop(self.streams.remove(w.text(1)?)),
            "put" | "get" | "feed" | "eat" | "shut" => return self.bytes(w),
            _ => return Err(Fail::new(libc::ENOSYS, "unknown command")),
        }
        done()
    }

    fn bytes(&mut self, w: &Words<'_>) -> Outcome<String> {
        let stream = self.streams.get_mut(w.text(1)?).ok_or_else(|| Fail::new(libc::EBADF, "no such stream"))?;
        match w.text(0)? {
            "put" => {
                stream.set_write_timeout(w.timeout(2)?);
                stream.write_all(&unhex(w.text(3)?)?)?;
            }
            "get" => {
                stream.set_read_timeout(w.timeout(3)?);
                let mut got = Vec::new();
                stream.take(w.number(2)?).read_to_end(&mut got)?;
                return Ok(hex(&got));
            }
            "feed" => {
                stream.set_write_timeout(w.timeout(4)?);
                stream.write_all(&pattern(w.number(2)?, w.number(3)?))?;
            }
            "eat" => {
                stream.set_read_timeout(w.timeout(2)?);
                let mut got = Vec::new();
                stream.read_to_end(&mut got)?;
                return Ok(format!("{} {:08x}", got.len(), crc32(&got)));
            }
            _ => stream.shutdown(Shutdown::Write)?,
        }
        done()
    }
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Commands about a region's bytes, and its rings.

use crate::fail::{done, Fail, Outcome};
use crate::{Memory, Peer, Ring, Words};
use ism::ring::{Reader, Writer};
use ism::{Access, AttachOptions, ReadOnly, ReadWrite, RegionId, Rights, Token, View};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Does the same with a region of either kind.
macro_rules! either {
    ($memory:expr, $region:ident => $what:expr) => {
        match $memory {
            Memory::Ro($region) => $what,
            Memory::Rw($region) => $what,
        }
    };
}

impl Memory {
    pub fn size(&self) -> usize {
        either!(self, r => r.size())
    }

    pub fn id(&self) -> RegionId {
        either!(self, r => r.id())
    }

    pub fn peers(&self) -> Outcome<Vec<u64>> {
        Ok(either!(self, r => r.peers())?)
    }

    pub fn notify(&self) -> Outcome<String> {
        either!(self, r => r.notify())?;
        done()
    }

    pub fn wait(&self, timeout: Option<Duration>) -> Outcome<String> {
        Ok(i32::from(either!(self, r => r.wait(timeout))?).to_string())
    }

    pub fn grant(&self, devid: Option<u64>, rights: Rights) -> Outcome<String> {
        match devid {
            Some(devid) => either!(self, r => r.grant(devid, rights))?,
            None => either!(self, r => r.grant_default(rights))?,
        }
        done()
    }

    pub fn token(&self) -> Token {
        either!(self, r => r.token())
    }

    pub fn replace(&self) -> Outcome<Memory> {
        Ok(Memory::Rw(either!(self, r => r.replace())?))
    }

    pub fn successor(&self, writes: bool) -> Outcome<Memory> {
        let options = AttachOptions::new();
        Ok(match writes {
            true => Memory::Rw(either!(self, r => r.successor_with(&options))?),
            false => Memory::Ro(either!(self, r => r.successor_with(&options))?),
        })
    }

    pub fn as_read_only(&self) -> ism::Region<ReadOnly> {
        match self {
            Memory::Ro(r) => r.clone(),
            Memory::Rw(r) => r.as_read_only(),
        }
    }

    fn view(&self) -> View<'_, ReadOnly> {
        either!(self, r => r.view().as_read_only())
    }

    fn writable(&self) -> Outcome<View<'_, ReadWrite>> {
        match self {
            Memory::Rw(r) => Ok(r.view()),
            Memory::Ro(_) => Err(Fail::new(libc::EROFS, "attached read-only: this type has nothing that writes")),
        }
    }
}

fn part<A: Access>(view: View<'_, A>, offset: usize, len: usize) -> Outcome<View<'_, A>> {
    let part = offset.checked_add(len).and_then(|end| view.get(offset..end));
    part.ok_or_else(|| Fail::new(libc::ERANGE, "not within the region"))
}

pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64).map(|i| (seed.wrapping_add(i) % 251) as u8).collect()
}

pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { 0xedb8_8320 } else { 0 };
        }
        crc
    })
}

pub fn hex(bytes: &[u8]) -> String {
    match bytes {
        [] => "-".into(),
        _ => bytes.iter().map(|b| format!("{:02x}", b)).collect(),
    }
}

pub fn unhex(text: &str) -> Outcome<Vec<u8>> {
    let wrong = || Fail::new(libc::EINVAL, "not hexadecimal");
    if text == "-" {
        return Ok(Vec::new());
    }
    let pair = |i: usize| text.get(i..i + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(wrong);
    (0..text.len()).step_by(2).map(pair).collect()
}

impl Peer {
    pub fn memory(&mut self, w: &Words<'_>) -> Outcome<String> {
        let region = self.region(w)?;
        let offset = w.number(2)?;
        match w.text(0)? {
            "write" => {
                let bytes = unhex(w.text(3)?)?;
                part(region.writable()?, offset, bytes.len())?.copy_from_slice(&bytes);
            }
            "read" => return Ok(hex(&part(region.view(), offset, w.number(3)?)?.to_vec())),
            "fill" => {
                let bytes = pattern(w.number(3)?, w.number(4)?);
                part(region.writable()?, offset, bytes.len())?.copy_from_slice(&bytes);
            }
            "crc" => return Ok(format!("{:08x}", crc32(&part(region.view(), offset, w.number(3)?)?.to_vec()))),
            _ => {
                let view = part(region.writable()?, offset, w.number(3)?)?;
                let end = Instant::now() + w.timeout(5)?.unwrap_or_default();
                let mut x = w.number::<u64>(4)?.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                while Instant::now() < end {
                    for _ in 0..100 {
                        x ^= x << 13;
                        x ^= x >> 7;
                        x ^= x << 17;
                        view.atomics()[(x >> 8) as usize % view.len()].store(x as u8, Ordering::Relaxed);
                    }
                }
            }
        }
        done()
    }

    pub fn ring_command(&mut self, w: &Words<'_>) -> Outcome<String> {
        let name = w.text(1)?;
        if w.text(0)? == "ring" {
            return self.ring(w);
        }
        if let "ping" | "echo" = w.text(0)? {
            return self.game(w);
        }
        let ring = self.rings.get_mut(name).ok_or_else(|| Fail::new(libc::EBADF, "no such ring"))?;
        match (w.text(0)?, ring) {
            ("send", Ring::Writer(ring)) => ring.send(&unhex(w.text(3)?)?, w.timeout(2)?)?,
            ("recv", Ring::Reader(ring)) => {
                let mut buf = vec![0; ring.max_record()];
                let n = ring.recv(&mut buf, w.timeout(2)?)?;
                return Ok(hex(&buf[..n]));
            }
            ("pump", Ring::Writer(ring)) => {
                for i in 0..w.number(2)? {
                    let record = pattern(w.number(3)?, w.number::<u64>(4)?.wrapping_add(i));
                    ring.send(&record, w.timeout(5)?)?;
                }
            }
            ("drain", Ring::Reader(ring)) => drain(ring, w)?,
            ("unring", _) => drop(self.rings.remove(name)),
            _ => return Err(Fail::new(libc::EINVAL, "this is the ring's other end")),
        }
        done()
    }

    /// `ping` and `echo`: both rings are taken, played with, and put back.
    fn game(&mut self, w: &Words<'_>) -> Outcome<String> {
        let pings = w.text(0)? == "ping";
        let (out, into) = if pings { (w.text(1)?, w.text(2)?) } else { (w.text(2)?, w.text(1)?) };
        match (self.rings.remove(out), self.rings.remove(into)) {
            (Some(Ring::Writer(mut writer)), Some(Ring::Reader(mut reader))) => {
                let said = if pings { ping(&mut writer, &mut reader, w) } else { echo(&mut writer, &mut reader, w) };
                self.rings.insert(out.into(), Ring::Writer(writer));
                self.rings.insert(into.into(), Ring::Reader(reader));
                said
            }
            _ => Err(Fail::new(libc::EBADF, "expected a writer's ring and a reader's")),
        }
    }

    fn ring(&mut self, w: &Words<'_>) -> Outcome<String> {
        let region = match self.regions.get(w.text(2)?) {
            Some(Memory::Rw(region)) => region,
            Some(Memory::Ro(_)) => return Err(Fail::new(libc::EINVAL, "a ring needs a region to write")),
            None => return Err(Fail::new(libc::EBADF, "no such region")),
        };
        let (ring, max) = match (w.text(3)?, w.text(4)?) {
            ("create", "reader") => reader(Reader::create(region)?),
            ("create", _) => writer(Writer::create(region)?),
            (_, "reader") => reader(Reader::attach(region)?),
            _ => writer(Writer::attach(region)?),
        };
        self.rings.insert(w.text(1)?.to_string(), ring);
        Ok(max.to_string())
    }
}

fn reader(ring: Reader) -> (Ring, usize) {
    let max = ring.max_record();
    (Ring::Reader(ring), max)
}

fn writer(ring: Writer) -> (Ring, usize) {
    let max = ring.max_record();
    (Ring::Writer(ring), max)
}

/// The median of the round trips, in nanoseconds.
fn ping(out: &mut Writer, into: &mut Reader, w: &Words<'_>) -> Outcome<String> {
    let (record, mut room, patience) = (vec![0; w.number(4)?], vec![0; into.max_record()], w.timeout(6)?);
    let mut took = Vec::with_capacity(w.number(3)?);
    for _ in 0..w.number(3)? {
        let began = Instant::now();
        out.send(&record, patience)?;
        into.recv(&mut room, patience)?;
        took.push(began.elapsed().as_nanos());
    }
    took.sort_unstable();
    Ok(took.get(took.len() / 2).ok_or_else(|| Fail::new(libc::EINVAL, "no round trip"))?.to_string())
}

fn echo(out: &mut Writer, into: &mut Reader, w: &Words<'_>) -> Outcome<String> {
    let (record, mut room, patience) = (vec![0; w.number(5)?], vec![0; into.max_record()], w.timeout(6)?);
    for _ in 0..w.number(3)? {
        into.recv(&mut room, patience)?;
        out.send(&record, patience)?;
    }
    done()
}

fn drain(ring: &mut Reader, w: &Words<'_>) -> Outcome<()> {
    let mut buf = vec![0; ring.max_record()];
    for i in 0..w.number(2)? {
        let n = ring.recv(&mut buf, w.timeout(5)?)?;
        if buf[..n] != pattern(w.number(3)?, w.number::<u64>(4)?.wrapping_add(i)) {
            return Err(Fail::new(libc::EBADMSG, "a record differs"));
        }
    }
    Ok(())
}

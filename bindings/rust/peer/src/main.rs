// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Speaks for Rust in the matrix of languages: see bindings/conformance.md.

mod fail;
mod memory;
mod streams;

use fail::{Fail, Outcome};
use ism::ring::{Reader, Writer};
use ism::tokio::AsyncDevice;
use ism::{AllocOptions, AttachOptions, Device, Event, EventKind, OpenOptions, ReadOnly, ReadWrite, Region, Rights};
use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, Write};
use std::time::Duration;

/// A region as it was attached.
enum Memory {
    Ro(Region<ReadOnly>),
    Rw(Region<ReadWrite>),
}

enum Ring {
    Reader(Reader),
    Writer(Writer),
}

/// The open device, and what belongs to it by the driver's names.
struct Peer {
    // In the order in which they are to go.
    streams: HashMap<String, ism::Stream>,
    listeners: HashMap<String, ism::Listener>,
    rings: HashMap<String, Ring>,
    regions: HashMap<String, Memory>,
    events: VecDeque<Event>,
    dev: Device,
}

/// The words of a command.
pub struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn text(&self, i: usize) -> Outcome<&'a str> {
        self.0.get(i).copied().ok_or_else(|| Fail::new(libc::EINVAL, "too few words"))
    }

    fn number<T: std::str::FromStr>(&self, i: usize) -> Outcome<T> {
        self.text(i)?.parse().map_err(|_| Fail::new(libc::EINVAL, "not a number"))
    }

    fn timeout(&self, i: usize) -> Outcome<Option<Duration>> {
        Ok(Some(Duration::from_millis(self.number(i)?)))
    }

    fn token(&self, i: usize) -> Outcome<ism::Token> {
        match u64::from_str_radix(self.text(i)?, 16).map(ism::Token::new) {
            Ok(Some(token)) => Ok(token),
            _ => Err(Fail::new(libc::EINVAL, "not a token")),
        }
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }
}

fn open(words: &Words<'_>) -> Outcome<(Peer, String)> {
    let options = if words.has("host") { OpenOptions::new() } else { OpenOptions::new().no_host() };
    let dev = options.open(words.text(1)?)?;
    let info = dev.info()?;
    let peer = Peer {
        streams: HashMap::new(),
        listeners: HashMap::new(),
        rings: HashMap::new(),
        regions: HashMap::new(),
        events: VecDeque::new(),
        dev,
    };
    Ok((peer, format!("{} {:016x}", info.devid, info.gid)))
}

fn rights(word: &str) -> Outcome<Rights> {
    word.chars().filter(|c| *c != '-').try_fold(Rights::NONE, |sum, c| {
        Ok(sum
            | match c {
                'r' => Rights::READ,
                'w' => Rights::WRITE,
                'a' => Rights::ATTACH,
                'm' => Rights::MANAGE,
                'c' => Rights::CLEAN_DEFAULT,
                _ => return Err(Fail::new(libc::EINVAL, "not a right")),
            })
    })
}

impl Peer {
    fn run(&mut self, w: &Words<'_>) -> Outcome<String> {
        match w.text(0)? {
            "alloc" => self.alloc(w),
            "attach" => self.attach(w),
            "attachmany" => self.attach_many(w),
            "closemany" => self.close_many(w),
            "detach" => self.region(w).map(drop).and_then(|()| {
                self.regions.remove(w.text(1)?);
                fail::done()
            }),
            "grant" => self.grant(w),
            "peers" => self.peers(w),
            "write" | "read" | "fill" | "crc" | "scribble" => self.memory(w),
            "notify" => self.region(w)?.notify(),
            "replace" => self.replace(w),
            "successor" => {
                let memory = self.region(w)?.successor(w.text(3)? == "rw")?;
                self.regions.insert(w.text(2)?.to_string(), memory);
                fail::done()
            }
            "direct" => Ok(self.dev.stats()?.rings_direct.to_string()),
            "wait" => self.region(w)?.wait(w.timeout(2)?),
            "await" => self.await_(w),
            "event" => self.event(w.timeout(1)?),
            "ring" | "send" | "recv" | "pump" | "drain" | "ping" | "echo" | "unring" => self.ring_command(w),
            _ => self.stream_command(w),
        }
    }

    fn region(&self, w: &Words<'_>) -> Outcome<&Memory> {
        self.regions.get(w.text(1)?).ok_or_else(|| Fail::new(libc::EBADF, "no such region"))
    }

    fn alloc(&mut self, w: &Words<'_>) -> Outcome<String> {
        let mut options = AllocOptions::new();
        if w.has("private") {
            options = options.private();
        }
        if w.has("vector") {
            options = options.vector();
        }
        let region = self.dev.alloc_with(w.number(2)?, &options)?;
        let said = format!("{} {}", region.token(), region.size());
        self.regions.insert(w.text(1)?.to_string(), Memory::Rw(region));
        Ok(said)
    }

    fn attach(&mut self, w: &Words<'_>) -> Outcome<String> {
        let options = if w.has("vector") { AttachOptions::new().vector() } else { AttachOptions::new() };
        let token = w.token(2)?;
        let region = match w.text(3)? {
            "rw" => Memory::Rw(self.dev.attach_with(token, &options)?),
            _ => Memory::Ro(self.dev.attach_with(token, &options)?),
        };
        let size = region.size();
        self.regions.insert(w.text(1)?.to_string(), region);
        Ok(size.to_string())
    }

    fn attach_many(&mut self, w: &Words<'_>) -> Outcome<String> {
        let (name, options) = (w.text(1)?, AttachOptions::new());
        let tokens = (3..w.0.len()).map(|i| w.token(i)).collect::<Outcome<Vec<_>>>()?;
        let regions: Vec<Memory> = match w.text(2)? {
            "rw" => self.dev.attach_many(&tokens, &options)?.into_iter().map(Memory::Rw).collect(),
            _ => self.dev.attach_many(&tokens, &options)?.into_iter().map(Memory::Ro).collect(),
        };
        let size = regions[0].size();
        self.regions.extend(regions.into_iter().enumerate().map(|(i, region)| (format!("{}{}", name, i), region)));
        Ok(size.to_string())
    }

    fn close_many(&mut self, w: &Words<'_>) -> Outcome<String> {
        let (mut writable, mut others) = (Vec::new(), Vec::new());
        for i in 0..w.number::<usize>(2)? {
            match self.regions.remove(&format!("{}{}", w.text(1)?, i)) {
                Some(Memory::Rw(region)) => writable.push(region),
                Some(Memory::Ro(region)) => others.push(region),
                None => return Err(Fail::new(libc::EBADF, "no such region")),
            }
        }
        Region::close_many(writable);
        Region::close_many(others);
        fail::done()
    }

    fn grant(&self, w: &Words<'_>) -> Outcome<String> {
        let rights = rights(w.text(3)?)?;
        let devid = match w.text(2)? {
            "default" => None,
            _ => Some(w.number(2)?),
        };
        self.region(w)?.grant(devid, rights)
    }

    fn replace(&mut self, w: &Words<'_>) -> Outcome<String> {
        let memory = self.region(w)?.replace()?;
        let said = memory.token().to_string();
        self.regions.insert(w.text(2)?.to_string(), memory);
        Ok(said)
    }

    fn peers(&self, w: &Words<'_>) -> Outcome<String> {
        let ids = self.region(w)?.peers()?;
        Ok(ids.iter().fold(ids.len().to_string(), |said, id| format!("{} {}", said, id)))
    }

    fn event(&mut self, timeout: Option<Duration>) -> Outcome<String> {
        let event = match self.events.pop_front() {
            Some(event) => event,
            None => match self.dev.wait(timeout)? {
                Some(event) => event,
                None => return Ok("none".into()),
            },
        };
        let kind = match event.kind {
            EventKind::Other(bit) => bit.to_string(),
            kind => format!("{:?}", kind).to_uppercase(),
        };
        let name = self.regions.iter().find(|(_, r)| Some(r.id()) == event.region).map_or("-", |(name, _)| name);
        Ok(format!("{} {} {} {}", kind, event.devid.unwrap_or(0), event.peers, name))
    }

    /// In a tokio runtime.  What else it hears is kept for `event`.
    fn await_(&mut self, w: &Words<'_>) -> Outcome<String> {
        let (dev, timeout) = (self.dev.clone(), w.timeout(2)?.unwrap_or_default());
        let memory = self.region(w)?.as_read_only();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut heard = VecDeque::new();
        let rung = runtime.block_on(async {
            let dev = AsyncDevice::new(dev)?;
            let region = dev.region(memory)?;
            let rung = tokio::time::timeout(timeout, region.rung()).await;
            while let Ok(event) = tokio::time::timeout(Duration::ZERO, dev.event()).await {
                heard.push_back(event?);
            }
            Ok::<_, Fail>(rung)
        })?;
        self.events.append(&mut heard);
        match rung {
            Ok(rung) => rung.map(|()| "1".to_string()).map_err(Fail::from),
            Err(_) => Ok("0".into()),
        }
    }
}

fn main() -> io::Result<()> {
    let mut peer: Option<Peer> = None;
    let mut quit = false;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words = Words(line.split(' ').collect());
        let said = match (words.0[0], &mut peer) {
            ("hello", _) => Ok(format!("rust {} ring stream", ism::version())),
            ("quit", _) => {
                quit = true;
                fail::done()
            }
            ("open", None) => open(&words).map(|(opened, said)| {
                peer = Some(opened);
                said
            }),
            ("close", Some(_)) => {
                peer = None;
                fail::done()
            }
            (_, Some(peer)) => peer.run(&words),
            (_, None) => Err(Fail::new(libc::ENODEV, "no device is open")),
        };
        let mut out = io::stdout().lock();
        match said {
            Ok(said) => writeln!(out, "{}", format!("ok {}", said).trim_end())?,
            Err(e) => writeln!(out, "err {} {}", e.errno, e.text.replace('\n', " "))?,
        }
        out.flush()?;
        if quit {
            break;
        }
    }
    Ok(())
}

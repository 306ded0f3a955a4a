// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Two endpoints share memory by token; usually they are in two processes.

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

fn main() -> std::io::Result<()> {
    let emu = ism::emu::Emu::start()?; // a private domain; programs open "emu:"
    let (ours, theirs) = (ism::Device::open(emu.uri())?, ism::Device::open(emu.uri())?);

    // Memory and a doorbell.
    let region = ours.alloc(1 << 20)?;
    let attached = theirs.attach_read_only(region.token())?;
    region.view().get(..27).unwrap().copy_from_slice(b"hello through shared memory");
    region.notify()?;
    if attached.wait(Some(Duration::from_secs(1)))? {
        let bytes = attached.view().get(..27).unwrap().to_vec(); // copied, so that it stays as it is
        println!("{}", String::from_utf8_lossy(&bytes));
    }

    // Bytes in both directions.
    let (mut a, token) = ism::Stream::offer(&ours, 64 << 10)?;
    let b = ism::Stream::accept(&theirs, token)?;
    a.write_all(b"and a line through a stream\n")?;
    let mut line = String::new();
    BufReader::new(b).read_line(&mut line)?;
    print!("{}", line);
    Ok(())
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Streams and listeners, blocking.

mod common;

use common::*;
use ism::{Listener, Stream, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::thread;

fn pair(domain: &Domain) -> (Stream, Stream) {
    let (a, b) = (domain.open(), domain.open());
    let (offered, token) = Stream::offer(&a, 256 << 10).unwrap();
    (offered, Stream::accept(&b, token).unwrap())
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

#[test]
fn both_ways() {
    let domain = Domain::new();
    let (a, mut b) = pair(&domain);
    let sent = pattern(20 << 20);
    thread::scope(|s| {
        // Echo, in pieces of odd sizes.
        s.spawn(|| {
            let mut buf = vec![0; 77_777];
            loop {
                let n = b.read(&mut buf).unwrap();
                if n == 0 {
                    break;
                }
                b.write_all(&buf[..n]).unwrap();
            }
            b.shutdown(Shutdown::Write).unwrap();
            assert_eq!(b.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
        });
        let (mut reader, mut writer) = a.split();
        let sent = &sent;
        s.spawn(move || {
            writer.write_all(sent).unwrap();
            writer.write_all(b"").unwrap();
        });
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        assert!(got == *sent);
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0, "the end stays the end");
    });
}

#[test]
fn timeouts() {
    let domain = Domain::new();
    let (mut a, b) = pair(&domain);
    a.set_read_timeout(SOON);
    a.set_write_timeout(SOON);
    assert_eq!(a.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(a.write_all(&pattern(1 << 20)).unwrap_err().kind(), ErrorKind::TimedOut);
    drop(b);
    assert_eq!(a.write_all(&pattern(1 << 20)).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn killed() {
    let domain = Domain::new();
    let dev = domain.open();
    let (mut stream, token) = Stream::offer(&dev, 64 << 10).unwrap();
    let mut other = Other::start("accept", &domain);
    other.tell(token);
    assert_eq!(other.hear(), "accepted");
    other.kill();
    let mut said = [0; 5];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"alive");
    assert_eq!(stream.read(&mut said).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let full = io::copy(&mut io::repeat(1), &mut stream);
    assert_eq!(full.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn listener() {
    let domain = Domain::new();
    let server = domain.open();
    let listener = Listener::bind(&server).unwrap();
    let token = listener.token();
    assert_eq!(errno(listener.accept(SOON)), libc::ETIMEDOUT);
    thread::scope(|s| {
        for i in 0..40u32 {
            let domain = &domain;
            s.spawn(move || {
                let mut stream = Stream::connect(&domain.open(), token, 64 << 10, PATIENCE).unwrap();
                stream.write_all(&i.to_ne_bytes()).unwrap();
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(u32::from_ne_bytes(answer), i + 1);
            });
        }
        for _ in 0..40 {
            let mut stream = listener.accept(PATIENCE).unwrap();
            let mut number = [0; 4];
            stream.read_exact(&mut number).unwrap();
            stream.write_all(&(u32::from_ne_bytes(number) + 1).to_ne_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut number).unwrap(), 0);
        }
    });
}

#[test]
fn refused() {
    let domain = Domain::new();
    let (server, client) = (domain.open(), domain.open());
    let listener = Listener::bind(&server).unwrap();
    let connect = |token: Token| Stream::connect(&client, token, 64 << 10, SOON);
    assert_eq!(errno(connect(listener.token())), libc::ETIMEDOUT);
    let slots = listener.region().view();
    assert!(
        (64..64 + 8 * 1024).step_by(8).all(|at| slots.load_u64(at, Ordering::Relaxed) == 0),
        "it took its token back"
    );
    for at in (64..64 + 8 * 1024).step_by(8) {
        slots.atomic_u64(at).store(1, Ordering::Relaxed);
    }
    assert_eq!(errno(connect(listener.token())), libc::ECONNREFUSED);
    let region = server.alloc(1).unwrap();
    assert_eq!(errno(connect(region.token())), libc::EPROTO, "nobody listens there");
    assert_eq!(errno(Stream::accept(&client, region.token())), libc::EPROTO);
    let token = listener.token();
    drop(listener);
    assert_eq!(errno(connect(token)), libc::ENOENT);
}

#[test]
fn hostile() {
    let domain = Domain::new();
    let (server, client, bad) = (domain.open(), domain.open(), domain.open());
    let listener = Listener::bind(&server).unwrap();
    // Nonsense in the slots, and a count that cannot be.
    let slots = bad.attach(listener.token()).unwrap();
    slots.view().atomic_u32(8).store(u32::MAX, Ordering::Relaxed);
    slots.view().atomic_u64(64).store(12345, Ordering::Relaxed);
    let junk = bad.alloc(64 << 10).unwrap();
    junk.view().fill(0xa5);
    slots.view().atomic_u64(72).store(junk.token().get(), Ordering::Relaxed);
    let (stream, token) = Stream::offer(&bad, 64 << 10).unwrap();
    let bad_ring = bad.attach(token).unwrap();
    bad_ring.view().get(256..512).unwrap().fill(0xff);
    slots.view().atomic_u64(80).store(token.get(), Ordering::Relaxed);
    thread::scope(|s| {
        s.spawn(|| Stream::connect(&client, listener.token(), 64 << 10, PATIENCE).unwrap().write_all(b"good").unwrap());
        let mut stream = listener.accept(PATIENCE).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "good");
    });
    drop(stream);

    // A stream whose ring is overwritten ends with an error, not otherwise.
    let (mut stream, token) = Stream::offer(&bad, 64 << 10).unwrap();
    let mut victim = Stream::accept(&client, token).unwrap();
    let ring = bad.attach(token).unwrap();
    stream.write_all(b"before").unwrap();
    let mut said = [0; 3];
    victim.read_exact(&mut said).unwrap(); // in the midst of a record
    ring.view().get(256..).unwrap().fill(0xff);
    let rest = victim.read(&mut [0; 100]).unwrap();
    assert_eq!(rest, 3, "the record is as long as it was when it was first looked at");
    let err = victim.read(&mut [0; 100]).unwrap_err();
    assert_eq!(err.get_ref().unwrap().downcast_ref::<ism::Error>().unwrap().errno(), libc::EPROTO);
}

/// What the other processes are; otherwise it does nothing.
#[test]
fn child() {
    if let Some(role) = Role::of_this_process() {
        let mut stream = Stream::accept(&role.open(), role.hear().parse().unwrap()).unwrap();
        stream.write_all(b"alive").unwrap();
        role.say("accepted");
        role.stay();
    }
}

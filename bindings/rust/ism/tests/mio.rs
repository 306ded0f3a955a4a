// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! The feature `mio`.

mod common;

use common::*;
use ism::ring::{Reader, Writer};
use ism::{AllocOptions, AttachOptions, EventKind, Polled, Region};
use mio::{Events, Interest, Poll, Token};
use std::thread;

const DEVICE: Token = Token(1);
const BELL: Token = Token(2);
const AGAIN: Token = Token(3);

/// Polls until the doorbell is told of under `token`; the device's descriptor may be readable for what is no event, too.
fn rung_as(token: Token, bell: &Region, poll: &mut Poll) {
    let mut events = Events::with_capacity(8);
    while !(events.iter().any(|e| e.token() == token) && bell.clear().unwrap()) {
        poll.poll(&mut events, PATIENCE).unwrap();
        assert!(!events.is_empty(), "no doorbell");
    }
}

#[test]
fn doorbells_and_events() {
    let domain = Domain::new();
    let (a, b) = (domain.open(), domain.open());
    let ours = a.alloc_with(4096, &AllocOptions::new().vector()).unwrap();
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    // One descriptor of the library's: each has a duplicate.
    let mut plain = Polled::new(a.alloc(4096).unwrap()).unwrap();
    poll.registry().register(&mut plain, AGAIN, Interest::READABLE).unwrap();
    let mut device = Polled::new(a).unwrap();
    let mut bell = Polled::new(ours).unwrap();
    poll.registry().register(&mut device, DEVICE, Interest::READABLE).unwrap();
    poll.registry().register(&mut bell, BELL, Interest::READABLE).unwrap();
    poll.registry().deregister(&mut plain).unwrap();
    poll.poll(&mut events, SOON).unwrap();
    while device.next_event().unwrap().is_some() {}
    bell.clear().unwrap();

    let theirs: Region = b.attach(bell.token()).unwrap();
    poll.poll(&mut events, PATIENCE).unwrap();
    assert!(events.iter().all(|e| e.token() == DEVICE && e.is_readable()) && !events.is_empty());
    assert_eq!(device.next_event().unwrap().unwrap().kind, EventKind::Attach);
    assert_eq!(device.next_event().unwrap(), None);
    for _ in 0..100 {
        theirs.notify().unwrap();
        rung_as(BELL, &bell, &mut poll);
    }
    poll.registry().reregister(&mut bell, AGAIN, Interest::READABLE).unwrap();
    theirs.notify().unwrap();
    rung_as(AGAIN, &bell, &mut poll);
    poll.registry().deregister(&mut bell).unwrap();
    theirs.notify().unwrap();
    poll.poll(&mut events, SOON).unwrap();
    assert!(events.iter().all(|e| e.token() == DEVICE));
    eventually("the doorbell", || bell.clear().unwrap());
}

#[test]
fn records() {
    let domain = Domain::new();
    let (a, b) = (domain.open(), domain.open());
    let region = a.alloc(64 << 10).unwrap();
    let mut writer = Writer::create(&region).unwrap();
    let attached: Region = b.attach_with(region.token(), &AttachOptions::new().vector()).unwrap();
    let mut reader = Polled::new(Reader::attach(&attached).unwrap()).unwrap();
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    poll.registry().register(&mut reader, BELL, Interest::READABLE).unwrap();
    thread::scope(|s| {
        s.spawn(|| {
            for i in 0..20_000u32 {
                writer.send(&i.to_ne_bytes(), PATIENCE).unwrap();
            }
            drop(writer);
        });
        let (mut next, mut word) = (0u32, [0; 4]);
        loop {
            match reader.recv(&mut word, Some(std::time::Duration::ZERO)) {
                Ok(4) => {
                    assert_eq!(u32::from_ne_bytes(word), next);
                    next += 1;
                }
                Err(e) if e.errno() == libc::EAGAIN => {
                    poll.poll(&mut events, PATIENCE).unwrap();
                    assert!(!events.is_empty(), "no doorbell after record {}", next);
                }
                Err(e) if e.errno() == libc::EPIPE => break,
                other => panic!("{:?}", other),
            }
        }
        assert_eq!(next, 20_000);
    });
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! The cases that the bindings of all languages have, see bindings/conformance.md.

mod common;

use common::*;
use ism::emu::Quota;
use ism::ring::{Reader, Writer};
use ism::{AllocOptions, AttachOptions, Device, EventKind, OpenOptions, ReadOnly, Region, Rights, Token};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

const MIB: usize = 1 << 20;

#[test]
fn token() {
    let domain = Domain::new();
    let (a, b) = (domain.open(), domain.open());
    let ours = a.alloc(1_000_000).unwrap();
    let theirs = b.attach(ours.token()).unwrap();
    assert_eq!((ours.size(), theirs.size()), (MIB, MIB));
    assert_eq!((ours.requested_size(), theirs.requested_size()), (1_000_000, 1_000_000));
    assert_eq!(ours.peers().unwrap(), [b.info().unwrap().devid]);

    ours.view().get(7..20).unwrap().copy_from_slice(b"from one side");
    assert_eq!(theirs.view().get(7..20).unwrap().to_vec(), b"from one side");
    let bytes: Vec<u8> = (0..500_000u32).map(|i| ((i + 17) % 251) as u8).collect();
    theirs.view().get(4096..504_096).unwrap().copy_from_slice(&bytes);
    assert_eq!(ours.view().get(4096..504_096).unwrap().to_vec(), bytes);
    theirs.view().atomic_u64(MIB - 8).store(42, Ordering::Release);
    assert_eq!(ours.view().atomic_u64(MIB - 8).load(Ordering::Acquire), 42);

    let unknown = Token::new(ours.token().get() ^ 1).unwrap();
    assert_eq!(errno(b.attach(unknown)), libc::ENOENT);
    let all = a.alloc_many(1, 64, &AllocOptions::new()).unwrap();
    assert_eq!(all.len(), 64);
    assert_eq!(errno(a.alloc_many(1, 65, &AllocOptions::new())), libc::EINVAL);
    assert_eq!(errno(a.alloc_many(1, 0, &AllocOptions::new())), libc::EINVAL);
}

#[test]
fn many_at_once() {
    let domain = Domain::new();
    let (a, b) = (domain.open(), domain.open());
    let (options, with) = (AllocOptions::new(), AttachOptions::new());
    let ours = a.alloc_many(1, 64, &options).unwrap();
    let mut tokens: Vec<Token> = ours.iter().map(|r| r.token()).collect();
    let calls = b.stats().unwrap().control_calls;
    let mut theirs: Vec<Region> = b.attach_many(&tokens, &with).unwrap();
    assert_eq!(b.stats().unwrap().control_calls, calls + 1);
    assert_eq!(theirs.len(), 64);
    for (i, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        their.view().get(0..1).unwrap().copy_from_slice(&[i as u8]);
        assert_eq!(our.view().get(0..1).unwrap().to_vec(), [i as u8]);
    }
    let twice: Vec<Region<ReadOnly>> = b.attach_many(&[tokens[5]; 2], &with).unwrap();
    assert_ne!(twice[0].id(), twice[1].id());
    assert_eq!(b.stats().unwrap().regions, 64);

    let last = tokens[63];
    tokens[63] = Token::new(last.get() ^ 1).unwrap();
    assert_eq!(errno(a.attach_many::<ReadOnly>(&tokens, &with)), libc::ENOENT);
    assert_eq!(a.stats().unwrap().regions, 64);
    tokens[63] = last;
    tokens.push(last);
    assert_eq!(errno(a.attach_many::<ReadOnly>(&tokens, &with)), libc::EINVAL);
    assert_eq!(errno(a.attach_many::<ReadOnly>(&[], &with)), libc::EINVAL);

    let mut ring = Writer::create(&theirs[0]).unwrap();
    let clone = theirs[1].clone();
    theirs.push(theirs[2].clone());
    theirs.insert(7, a.attach(tokens[3]).unwrap());
    Region::close_many(theirs);
    assert_eq!(b.stats().unwrap().regions, 3);
    Region::close_many(twice);
    assert_eq!(b.stats().unwrap().regions, 2);
    ring.send(b"a ring keeps its region", None).unwrap();
    assert_eq!(clone.view().get(0..1).unwrap().to_vec(), [1]);
    drop(ring);
    Region::close_many([clone]);
    assert_eq!(b.stats().unwrap().regions, 0);

    drop(a); // what is left of it is in the regions
    Region::close_many(ours);
    eventually("the host knows that it has gone", || b.devices().unwrap().len() == 1);
    Region::<ReadOnly>::close_many([]);
}

#[test]
fn replaced() {
    let domain = Domain::new();
    let (a, b, out) = (domain.open(), domain.open(), domain.open());
    let old = a.alloc(MIB).unwrap();
    let theirs = b.attach(old.token()).unwrap();
    let lost = out.attach_read_only(old.token()).unwrap();
    assert_eq!(errno(theirs.successor()), libc::ENOENT);
    old.grant(out.info().unwrap().devid, Rights::NONE).unwrap();
    let fresh = old.replace().unwrap();
    let mut moved = next_event(&b);
    while moved.kind != EventKind::Moved {
        moved = next_event(&b); // the third device attached
    }
    assert_eq!((moved.region, moved.devid), (Some(theirs.id()), Some(a.info().unwrap().devid)));
    let next = theirs.successor().unwrap();
    next.view().get(..5).unwrap().copy_from_slice(b"fresh");
    assert_eq!(fresh.view().get(..5).unwrap().to_vec(), b"fresh");
    assert_eq!(old.view().get(..5).unwrap().to_vec(), [0; 5]);
    let read_only: Region<ReadOnly> = theirs.successor_with(&AttachOptions::new()).unwrap();
    assert_eq!(read_only.rights() & Rights::WRITE, Rights::NONE);
    assert_eq!(errno(lost.successor()), libc::ENOENT);
    assert_eq!(errno(out.attach(fresh.token())), libc::ENOENT);
    assert_eq!(errno(old.replace()), libc::EALREADY);
}

#[test]
fn shut_out() {
    let domain = Domain::new();
    let (host, a, b, out) = (domain.open(), domain.open(), domain.open(), domain.open());
    let old = a.alloc(MIB).unwrap();
    let theirs = b.attach(old.token()).unwrap();
    let lost = out.attach(old.token()).unwrap();
    let devid = |device: &Device| device.info().unwrap().devid;
    assert_eq!(errno(host.shut_out(old.token(), &[devid(&a)])), libc::EINVAL);
    assert_eq!(errno(host.shut_out(Token::new(old.token().get() ^ 1).unwrap(), &[])), libc::ENOENT);
    let held = host.shut_out(old.token(), &[devid(&out)]).unwrap();
    assert_eq!(theirs.successor().unwrap().token(), held.token());
    assert_eq!(errno(lost.successor()), libc::ENOENT);
}

#[test]
fn rights() {
    let domain = Domain::new();
    let (a, b) = (domain.open(), domain.open());
    let id = b.info().unwrap().devid;
    let open = a.alloc(MIB).unwrap();
    let read_only = b.attach_read_only(open.token()).unwrap();
    assert_eq!(read_only.rights() & Rights::WRITE, Rights::NONE);
    assert_eq!(errno(read_only.grant(id, Rights::READ)), libc::EPERM);

    let private = a.alloc_with(MIB, &AllocOptions::new().private()).unwrap();
    let token = private.token();
    assert_eq!(errno(b.attach_read_only(token)), libc::ENOENT);
    private.grant(id, Rights::READ).unwrap();
    assert_eq!(errno(b.attach_read_only(token)), libc::EACCES);
    private.grant(id, Rights::READ | Rights::ATTACH).unwrap();
    assert_eq!(errno(b.attach(token)), libc::EROFS);
    drop(b.attach_read_only(token).unwrap());
    private.grant(id, Rights::NONE).unwrap();
    assert_eq!(errno(b.attach_read_only(token)), libc::ENOENT);
    private.grant_default(Rights::READ | Rights::WRITE | Rights::ATTACH).unwrap();
    private.grant(id, Rights::READ | Rights::WRITE | Rights::ATTACH).unwrap();
    let attached = b.attach(token).unwrap();
    let who = a.referrers(token).unwrap();
    assert_eq!(who.len(), 2);
    assert!(who.iter().any(|r| r.devid == id && r.attached.contains(Rights::WRITE) && !r.creator));
    assert!(a.regions().unwrap().iter().any(|r| r.token == Some(attached.token()) && r.referrers == 2));
    assert_eq!(a.devices().unwrap().iter().filter(|d| d.is_self).count(), 1);
    a.kick(id).unwrap();
    while next_event(&b).kind != EventKind::Reset {}
    assert_eq!(errno(a.kick(id)), libc::ENOENT);
}

#[test]
fn domain() {
    let domain = Domain::new();
    let (a, b) = (domain.open(), domain.open());
    // SAFETY: from any thread.
    let uid = unsafe { libc::getuid() };
    let region = a.alloc(MIB).unwrap();
    region.grant(b.info().unwrap().devid, Rights::READ).unwrap();
    let theirs = b.attach(region.token());
    assert_eq!(errno(theirs), libc::EACCES);
    let (told, info) = (a.domain().unwrap(), a.info().unwrap());
    assert_eq!((told.gid, told.host, told.host_uid), (info.gid, info.host, uid));
    assert_eq!(told.version, ism::version());
    assert_eq!((told.devices, told.regions, told.bytes), (2, 1, MIB as u64));
    let ever = told.ever.expect("the host's user is told");
    assert_eq!((ever.devices, ever.allocs, ever.attaches, ever.failed, ever.kicks), (2, 1, 0, 1, 0));
    let users = b.users().unwrap();
    assert_eq!(users.len(), 1);
    assert_eq!((users[0].uid, users[0].devices, users[0].regions, users[0].grants), (uid, 2, 1, 1));
    assert_eq!((users[0].bytes, users[0].failed, users[0].over_quota), (MIB as u64, 1, 0));
}

#[test]
fn quota() {
    let device = Quota { bytes: 1 << 26, regions: 2, grants: 3, attach_rate: 1000, notify_rate: 5000, devices: 0 };
    let user = Quota { bytes: 1 << 27, regions: 20, grants: 30, attach_rate: 2000, notify_rate: 6000, devices: 7 };
    let emu = ism::emu::Options::new().device_quota(device).user_quota(user).start().unwrap();
    let dev = Device::open(emu.uri()).unwrap();
    let _two = dev.alloc_many(1, 2, &AllocOptions::new()).unwrap();
    assert_eq!(errno(dev.alloc(1)), libc::ENOSPC);
    let domain = dev.domain().unwrap();
    assert_eq!((domain.device_quota, domain.user_quota), (device, user));
    assert_eq!(domain.ever.unwrap().over_quota, 1);
    assert_eq!(dev.users().unwrap()[0].over_quota, 1);
}

#[test]
fn doorbell() {
    let domain = Domain::new();
    let (a, b) = (domain.open(), domain.open());
    let ours = a.alloc(MIB).unwrap();
    let theirs = b.attach(ours.token()).unwrap();
    assert!(!theirs.wait(SOON).unwrap());
    for round in 1..=100 {
        thread::scope(|s| {
            let waiter = s.spawn(|| {
                assert!(theirs.wait(PATIENCE).unwrap());
                theirs.view().atomic_u32(0).load(Ordering::Relaxed)
            });
            ours.view().atomic_u32(0).store(round, Ordering::Relaxed);
            ours.notify().unwrap();
            assert_eq!(waiter.join().unwrap(), round);
        });
    }
    assert!(!ours.wait(SOON).unwrap(), "a ring of one's own");
    ours.notify().unwrap();
    eventually("the doorbell", || theirs.clear().unwrap());
    assert!(a.stats().unwrap().notifies > 100);
}

#[test]
fn interrupt() {
    let dev = Device::open("loop:").unwrap();
    let region = dev.alloc(1).unwrap();
    thread::scope(|s| {
        let waiter = s.spawn(|| errno(region.wait(PATIENCE)));
        dev.interrupt().unwrap();
        assert_eq!(waiter.join().unwrap(), libc::EINTR);
    });
}

#[test]
fn events() {
    let domain = Domain::new();
    let (a, b) = (domain.open(), domain.open());
    let id = b.info().unwrap().devid;
    let ours = a.alloc(MIB).unwrap();
    let theirs = b.attach(ours.token()).unwrap();
    let event = next_event(&a);
    assert_eq!((event.kind, event.devid, event.peers), (EventKind::Attach, Some(id), 1));
    assert_eq!((event.region, event.token), (Some(ours.id()), Some(ours.token())));
    theirs.notify().unwrap();
    let event = a.wait(PATIENCE).unwrap().unwrap();
    assert_eq!((event.kind, event.region), (EventKind::Update, Some(ours.id())));
    drop(theirs);
    let event = next_event(&a);
    assert_eq!((event.kind, event.devid, event.peers), (EventKind::Detach, Some(id), 0));
    assert_eq!(a.wait(SOON).unwrap(), None);
    assert_eq!(a.next_event().unwrap(), None);
    assert_eq!(errno(ours.wait(PATIENCE)), libc::EPIPE);
}

#[test]
fn records() {
    let domain = Domain::new();
    let (a, b) = (domain.open(), domain.open());
    let region = a.alloc(MIB).unwrap();
    let mut writer = Writer::create(&region).unwrap();
    let mut reader = Reader::attach(&b.attach(region.token()).unwrap()).unwrap();
    assert_eq!(writer.max_record(), reader.max_record());
    let largest = writer.max_record();
    assert_eq!(errno(writer.send(&vec![0; largest + 1], PATIENCE)), libc::EMSGSIZE);
    assert_eq!(errno(reader.recv(&mut [0; 8], Some(Duration::ZERO))), libc::EAGAIN);
    assert_eq!(errno(reader.recv(&mut [0; 8], SOON)), libc::ETIMEDOUT);

    let sizes: Vec<usize> = (0..300).chain([4096, 65_536, 100_000, largest]).chain(0..50).collect();
    let record = |i: usize, size: usize| (0..size).map(|b| ((b + i) % 251) as u8).collect::<Vec<u8>>();
    thread::scope(|s| {
        s.spawn(|| {
            for (i, &size) in sizes.iter().enumerate() {
                writer.send(&record(i, size), PATIENCE).unwrap();
            }
            drop(writer);
        });
        let mut buf = vec![0; largest];
        for (i, &size) in sizes.iter().enumerate() {
            let n = reader.recv(&mut buf, PATIENCE).unwrap();
            assert!(buf[..n] == record(i, size), "record {} of {} bytes", i, size);
        }
        assert_eq!(errno(reader.recv(&mut buf, PATIENCE)), libc::EPIPE);
    });
}

#[test]
fn several_records() {
    let domain = Domain::new();
    let (a, b) = (domain.open(), domain.open());
    let ours = a.alloc(64 << 10).unwrap();
    let mut writer = Writer::create(&ours).unwrap();
    let mut reader = Reader::attach(&b.attach(ours.token()).unwrap()).unwrap();
    let (mut one, mut two, mut three) = ([0; 8], [0; 8], [0; 8]);
    let mut bufs: [&mut [u8]; 3] = [&mut one, &mut two, &mut three];
    assert_eq!(errno(reader.recv_many(&mut bufs, Some(Duration::ZERO))), libc::EAGAIN);
    assert_eq!(errno(reader.recv_many(&mut bufs, SOON)), libc::ETIMEDOUT);
    assert_eq!(bufs[0].len(), 8);
    assert_eq!(writer.send_many(&[b"one", b"", b"larger than a buffer", b"last"], None).unwrap(), 4);
    assert_eq!(reader.recv_many(&mut bufs, PATIENCE).unwrap(), 2);
    assert_eq!((&*bufs[0], bufs[1].len(), bufs[2].len()), (&b"one"[..], 0, 8));
    assert_eq!(errno(reader.recv_many(&mut bufs, PATIENCE)), libc::EMSGSIZE);
    let mut large = [0; 64];
    assert_eq!(reader.recv_many(&mut [&mut large, &mut [0; 4]], PATIENCE).unwrap(), 2);
    assert_eq!(&large[..20], b"larger than a buffer");
    assert_eq!((writer.send_many(&[], None).unwrap(), reader.recv_many(&mut [], None).unwrap()), (0, 0));

    let too_large = vec![0; writer.max_record() + 1];
    assert_eq!(writer.send_many(&[b"fits", &too_large, b"fits"], None).unwrap(), 1);
    assert_eq!(errno(writer.send_many(&[&too_large], None)), libc::EMSGSIZE);
    let some = [0; 1000];
    let written = writer.send_many(&[&some[..]; 1000], None).unwrap();
    assert!((10..1000).contains(&written));
    assert_eq!(errno(writer.send_many(&[&some], SOON)), libc::ETIMEDOUT);
    drop(writer);
    let (mut got, mut room) = (0, vec![[0; 1000]; 64]);
    loop {
        let mut bufs: Vec<&mut [u8]> = room.iter_mut().map(|buf| &mut buf[..]).collect();
        match reader.recv_many(&mut bufs, PATIENCE) {
            Ok(n) => got += n,
            Err(e) => break assert_eq!(e.errno(), libc::EPIPE),
        }
    }
    assert_eq!(got, written + 1);
}

#[test]
fn records_in_place() {
    let dev = Device::open("loop:").unwrap();
    let region = dev.alloc(64 << 10).unwrap();
    let place = ism::ring::Place { offset: 4096, length: 8192 };
    let mut writer = Writer::create_at(&region, place).unwrap();
    let mut reader = Reader::attach_at(&region, place).unwrap();
    let _ = writer.reserve(10).unwrap(); // publishes nothing
    assert_eq!(errno(reader.peek()), libc::EAGAIN);
    let room = writer.reserve(10).unwrap();
    room.view().get(..4).unwrap().copy_from_slice(b"four");
    room.commit(4).unwrap();
    assert_eq!(reader.peek().unwrap().view().to_vec(), b"four");
    let record = reader.peek().unwrap(); // dropped, so still there
    assert_eq!(record.view().len(), 4);
    record.release().unwrap();
    assert_eq!(errno(reader.peek()), libc::EAGAIN);
    drop(reader);
    assert_eq!(errno(writer.reserve(1)), libc::EPIPE);
    assert_eq!(errno(Reader::attach_at(&region, ism::ring::Place { offset: 1, length: 0 })), libc::EINVAL);
}

#[test]
fn killed() {
    let domain = Domain::new();
    let dev = domain.open();
    let region = dev.alloc(MIB).unwrap();
    let mut reader = Reader::create(&dev.alloc(MIB).unwrap()).unwrap();
    let ring_token = dev.regions().unwrap().iter().find(|r| r.token != Some(region.token())).unwrap().token.unwrap();
    let mut other = Other::start("attach and write", &domain);
    other.tell(region.token());
    other.tell(ring_token);
    assert_eq!(other.hear(), "written");
    other.kill();

    assert!(region.wait(PATIENCE).unwrap(), "it rang before it died");
    assert_eq!(errno(region.wait(PATIENCE)), libc::EPIPE);
    assert_eq!(region.view().get(0..5).unwrap().to_vec(), b"still");
    let mut buf = [0; 16];
    assert_eq!(reader.recv(&mut buf, PATIENCE).unwrap(), 4);
    assert_eq!(errno(reader.recv(&mut buf, PATIENCE)), libc::ECONNRESET);
    let kinds: Vec<_> = (0..4).map(|_| next_event(&dev).kind).collect();
    assert_eq!(kinds.iter().filter(|k| **k == EventKind::Detach).count(), 2);
}

#[test]
fn hostile() {
    let domain = Domain::new();
    let dev = domain.open();
    for seed in 0..20u64 {
        let region = dev.alloc(64 << 10).unwrap();
        let mut reader = Reader::create(&region).unwrap();
        let mut writer = Writer::create_at(&dev.alloc(64 << 10).unwrap(), Default::default()).unwrap();
        let peer = Device::open(&domain.uri()).unwrap();
        let hostile = peer.attach(region.token()).unwrap();
        thread::scope(|s| {
            let bytes = hostile.view();
            s.spawn(move || {
                let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                for _ in 0..20_000 {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    bytes.atomics()[(x >> 8) as usize % 4096].store(x as u8, Ordering::Relaxed);
                }
            });
            let mut buf = vec![0; 64 << 10];
            for _ in 0..2_000 {
                match reader.recv(&mut buf, Some(Duration::ZERO)) {
                    Ok(n) => assert!(n <= reader.max_record()),
                    Err(e) if e.errno() == libc::EPROTO => break,
                    Err(e) => assert!([libc::EAGAIN, libc::EPIPE].contains(&e.errno()), "{:?}", e),
                }
            }
        });
        writer.send(b"others are as they were", PATIENCE).unwrap();
    }
}

#[test]
fn host_gone() {
    let domain = Domain::new();
    let mut host = Other::start("host", &domain);
    assert_eq!(host.hear(), "hosting");
    let open = || OpenOptions::new().no_host().open(&domain.uri()).unwrap();
    let (a, b) = (open(), open());
    let ours = a.alloc(MIB).unwrap();
    let theirs = b.attach(ours.token()).unwrap();
    while a.stats().unwrap().rings_direct == 0 {
        // A direct link is made meanwhile.
        ours.notify().unwrap();
        assert!(theirs.wait(PATIENCE).unwrap());
        theirs.notify().unwrap();
        assert!(ours.wait(PATIENCE).unwrap());
    }
    host.kill();
    for dev in [&a, &b] {
        while next_event(dev).kind != EventKind::Reset {}
    }
    ours.view().cell::<[u8; 4]>(0).set(*b"goes");
    assert_eq!(theirs.view().cell::<[u8; 4]>(0).get(), *b"goes");
    ours.notify().unwrap();
    assert!(theirs.wait(PATIENCE).unwrap());
    assert_eq!(errno(a.alloc(MIB)), libc::EHOSTDOWN);
    let again = domain.open();
    assert!(again.alloc(MIB).is_ok(), "the next open elects a new host");
}

#[test]
fn life() {
    let dev = Device::open("loop:life").unwrap();
    let region = dev.alloc(MIB).unwrap();
    let (token, id) = (region.token(), dev.info().unwrap().devid);
    let other = Device::open("loop:life").unwrap();
    // Whatever still needs the device keeps it open, in whatever order things go.
    let mut writer = Writer::create(&region).unwrap();
    let reading = region.as_read_only();
    drop(dev);
    drop(region);
    writer.send(b"alive", PATIENCE).unwrap();
    assert!(reading.view().len() == MIB && other.attach(token).is_ok());
    drop(writer);
    assert!(other.devices().unwrap().iter().any(|d| d.devid == id));
    drop(reading);
    assert!(!other.devices().unwrap().iter().any(|d| d.devid == id));
    assert_eq!(errno(other.attach(token)), libc::ENOENT);
}

#[test]
fn forked() {
    let domain = Domain::new();
    let mut other = Other::start("fork", &domain);
    assert_eq!(other.hear(), "the parent goes on");
}

/// What the other processes are; otherwise it does nothing.
#[test]
fn child() {
    let role = match Role::of_this_process() {
        Some(role) => role,
        None => return,
    };
    let token = || role.hear().parse::<Token>().unwrap();
    match role.name.as_str() {
        "host" => {
            let _dev = role.open();
            role.say("hosting");
            role.stay();
        }
        "attach and write" => {
            let dev = role.open();
            let region = dev.attach(token()).unwrap();
            let mut writer = Writer::attach(&dev.attach(token()).unwrap()).unwrap();
            region.view().get(0..5).unwrap().copy_from_slice(b"still");
            region.notify().unwrap();
            writer.send(b"last", PATIENCE).unwrap();
            role.say("written");
            role.stay();
        }
        "fork" => fork(&role),
        other => panic!("no such role: {}", other),
    }
}

fn fork(role: &Role) {
    let dev = role.open();
    let region = dev.alloc(MIB).unwrap();
    region.view().cell::<u32>(0).set(7);
    // SAFETY: the child makes calls of libism only, which says what they do then.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let refused = region.notify().map_err(|e| e.errno()) == Err(libc::EOWNERDEAD)
            && dev.alloc(1).map(drop).map_err(|e| e.errno()) == Err(libc::EOWNERDEAD);
        let mapped = region.view().cell::<u32>(0).get() == 7;
        drop((region, dev));
        // SAFETY: ends the child without what the parent's runtime would do.
        unsafe { libc::_exit(if refused && mapped { 0 } else { 1 }) }
    }
    let mut status = -1;
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0, "calls in the child are EOWNERDEAD, and memory stays mapped");
    let other = Device::open(&role.uri).unwrap();
    assert!(other.attach(region.token()).is_ok(), "the child's close did not disturb us");
    role.say("the parent goes on");
}

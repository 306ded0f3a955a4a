// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Doorbells, events and streams as futures.

mod common;

use common::*;
use ism::tokio::AsyncDevice;
use ism::{EventKind, Stream};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

fn open(domain: &Domain) -> AsyncDevice {
    AsyncDevice::new(domain.open()).unwrap()
}

async fn in_time<T>(future: impl std::future::Future<Output = T>) -> T {
    timeout(PATIENCE.unwrap(), future).await.expect("this did not come")
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[tokio::test]
async fn doorbell() {
    let domain = Domain::new();
    let (a, b) = (open(&domain), open(&domain));
    let ours = a.region(a.alloc(4096).unwrap()).unwrap();
    let theirs = b.region(b.attach(ours.token()).unwrap()).unwrap();
    assert!(timeout(SOON.unwrap(), theirs.rung()).await.is_err());
    for _ in 0..100 {
        ours.notify().unwrap();
        in_time(theirs.rung()).await.unwrap();
        theirs.notify().unwrap();
        in_time(ours.rung()).await.unwrap();
    }
    assert!(timeout(SOON.unwrap(), ours.rung()).await.is_err(), "a ring of one's own");
    drop(theirs);
    assert_eq!(errno(in_time(ours.rung()).await), libc::EPIPE);
    assert_eq!(errno(in_time(ours.rung()).await), libc::EPIPE, "for good");
}

#[tokio::test]
async fn doorbell_of_its_own() {
    let domain = Domain::new();
    let (a, b) = (open(&domain), domain.open());
    let ours = a.region(a.alloc_with(4096, &ism::AllocOptions::new().vector()).unwrap()).unwrap();
    let theirs = b.attach(ours.token()).unwrap();
    for _ in 0..100 {
        theirs.notify().unwrap();
        in_time(ours.rung()).await.unwrap();
    }
    assert!(timeout(SOON.unwrap(), ours.rung()).await.is_err());
    drop(theirs);
    assert_eq!(errno(in_time(ours.rung()).await), libc::EPIPE);
}

#[tokio::test]
async fn events() {
    let domain = Domain::new();
    let (a, b) = (open(&domain), domain.open());
    let id = b.info().unwrap().devid;
    let ours = a.alloc(4096).unwrap();
    let theirs = b.attach(ours.token()).unwrap();
    let event = in_time(a.event()).await.unwrap();
    assert_eq!((event.kind, event.devid, event.region), (EventKind::Attach, Some(id), Some(ours.id())));
    theirs.notify().unwrap();
    assert_eq!(in_time(a.event()).await.unwrap().kind, EventKind::Update);
    drop(theirs);
    assert_eq!(in_time(a.event()).await.unwrap().kind, EventKind::Detach);
    assert!(timeout(SOON.unwrap(), a.event()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams() {
    let domain = Domain::new();
    let (server, client) = (open(&domain), open(&domain));
    let listener = server.listen().unwrap();
    let token = listener.token();
    let accepting = tokio::spawn(async move {
        for _ in 0..50 {
            let stream = in_time(listener.accept()).await.unwrap();
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.into_split();
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.unwrap();
            });
        }
    });
    let mut clients = Vec::new();
    for seed in 0..50usize {
        let client = client.clone();
        clients.push(tokio::spawn(async move {
            let stream = in_time(client.connect(token, 64 << 10)).await.unwrap();
            let (mut reader, mut writer) = stream.into_split();
            let sent: Vec<u8> = (0..300_000).map(|i| ((i + seed) % 251) as u8).collect();
            let expected = sent.clone();
            let writing = tokio::spawn(async move {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            });
            let mut got = Vec::new();
            in_time(reader.read_to_end(&mut got)).await.unwrap();
            writing.await.unwrap();
            assert!(got == expected);
        }));
    }
    assert!(threads() < 40, "{} threads: a wait is no thread", threads());
    in_time(accepting).await.unwrap();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn killed() {
    let domain = Domain::new();
    let dev = open(&domain);
    let (stream, token) = Stream::offer(&dev, 64 << 10).unwrap();
    let mut stream = dev.stream(stream).unwrap();
    let mut other = Other::start("accept", &domain);
    other.tell(token);
    let mut said = [0; 5];
    in_time(stream.read_exact(&mut said)).await.unwrap();
    assert_eq!(&said, b"alive");
    other.kill();
    let err = in_time(stream.read(&mut said)).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::ConnectionReset);
    let err = in_time(stream.write_all(&[0; 1 << 20])).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn host_gone() {
    let domain = Domain::new();
    let mut host = Other::start("host", &domain);
    assert_eq!(host.hear(), "hosting");
    let (a, b) = (open(&domain), open(&domain));
    let listener = a.listen().unwrap();
    let (accepted, connected) =
        tokio::join!(in_time(listener.accept()), in_time(b.connect(listener.token(), 64 << 10)));
    let (mut x, y) = (accepted.unwrap(), connected.unwrap());
    let mut buf = [0; 4];
    tokio::spawn(async move {
        let (mut reader, mut writer) = y.into_split();
        tokio::io::copy(&mut reader, &mut writer).await
    });
    for _ in 0..100 {
        // Each waits for the other: after a few rings they ring each other directly.
        in_time(x.write_all(b"ping")).await.unwrap();
        in_time(x.read_exact(&mut buf)).await.unwrap();
    }
    host.kill();
    while in_time(a.event()).await.unwrap().kind != EventKind::Reset {}
    assert_eq!(errno(in_time(listener.accept()).await), libc::EHOSTDOWN);
    in_time(x.write_all(b"goes")).await.unwrap();
    in_time(x.read_exact(&mut buf)).await.unwrap();
    assert_eq!(&buf, b"goes", "between survivors it goes on");
}

#[tokio::test]
async fn what_is_dropped_is_gone() {
    let domain = Domain::new();
    let watcher = domain.open();
    let dev = open(&domain);
    let region = dev.region(dev.alloc(4096).unwrap()).unwrap();
    assert_eq!(watcher.devices().unwrap().len(), 2);
    drop((dev, region));
    let mut left = 2;
    for _ in 0..15000 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        left = watcher.devices().unwrap().len();
        if left == 1 {
            break;
        }
    }
    assert_eq!(left, 1, "the task keeps no device open");
}

/// What the other processes are; otherwise it does nothing.
#[test]
fn child() {
    use std::io::Write;
    let role = match Role::of_this_process() {
        Some(role) => role,
        None => return,
    };
    let dev = role.open();
    if role.name == "accept" {
        let mut stream = Stream::accept(&dev, role.hear().parse().unwrap()).unwrap();
        stream.write_all(b"alive").unwrap();
        role.stay();
    } else {
        role.say("hosting");
        role.stay();
    }
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! What the tests share: a domain of their own, and other processes.

#![allow(dead_code)]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything that must come may take.
pub const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));
/// How long to wait for what must not come.
pub const SOON: Option<Duration> = Some(Duration::from_millis(50));

/// A directory for one `emu:` domain, removed at the end.
pub struct Domain(PathBuf);

impl Domain {
    pub fn new() -> Domain {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let n = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = env::temp_dir().join(format!("ism-rust.{}.{}", std::process::id(), n));
        fs::create_dir(&dir).expect("a directory of our own");
        Domain(dir)
    }

    pub fn uri(&self) -> String {
        format!("emu:{}/domain", self.0.display())
    }

    pub fn open(&self) -> ism::Device {
        ism::Device::open(&self.uri()).unwrap()
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Another process: this test program, in the role of a child, told what to do in
/// lines.  Killed and waited for at the end, whatever happens.
pub struct Other {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Other {
    /// Runs the function that the test program's `child` gives to `role`.
    pub fn start(role: &str, domain: &Domain) -> Other {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env("ISM_TEST_ROLE", role)
            .env("ISM_TEST_URI", domain.uri())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Other { child, input, output }
    }

    pub fn tell(&mut self, line: impl ToString) {
        writeln!(self.input, "{}", line.to_string()).unwrap();
    }

    /// The next line it says to us: one after a colon.  Others are libtest's.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, said)) = line.trim_end().split_once("child: ") {
                return said.to_string();
            }
            line.clear();
        }
        panic!("the child ended without a word: {:?}", self.child.wait());
    }

    /// SIGKILL, and gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the child: what it is to be, the domain, and the conversation.
pub struct Role {
    pub name: String,
    pub uri: String,
}

impl Role {
    pub fn of_this_process() -> Option<Role> {
        Some(Role { name: env::var("ISM_TEST_ROLE").ok()?, uri: env::var("ISM_TEST_URI").ok()? })
    }

    pub fn open(&self) -> ism::Device {
        ism::Device::open(&self.uri).unwrap()
    }

    pub fn say(&self, what: impl ToString) {
        println!("child: {}", what.to_string());
    }

    pub fn hear(&self) -> String {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    /// Wait to be killed, or to be told to go.
    pub fn stay(&self) {
        self.hear();
    }
}

/// Look until it holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(Some(began.elapsed()) < PATIENCE, "this did not come: {}", what);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The next event that is not a doorbell.
pub fn next_event(dev: &ism::Device) -> ism::Event {
    loop {
        let event = dev.wait(PATIENCE).unwrap().expect("an event");
        if event.kind != ism::EventKind::Update {
            return event;
        }
    }
}

pub fn errno<T: std::fmt::Debug>(result: ism::Result<T>) -> i32 {
    result.expect_err("this should have failed").errno()
}

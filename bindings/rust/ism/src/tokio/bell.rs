// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! What a future waits for.

use crate::error::Result;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// What a future waits for: something happened.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<BellState>,
}

#[derive(Debug, Default)]
struct BellState {
    /// The doorbell rang.
    rung: bool,
    /// Peers came or went, or the host: whether there are any has to be looked at.
    changed: bool,
    wakers: Vec<Waker>,
}

/// Wakers kept at most: those of futures that were dropped stay until the next ring.
const WAKERS_MAX: usize = 32;

impl Bell {
    fn ring(&self, change: impl Fn(&mut BellState)) {
        let mut state = lock(&self.state);
        change(&mut state);
        let wakers = mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn rung(&self) {
        self.ring(|state| state.rung = true);
    }

    pub(super) fn changed(&self) {
        self.ring(|state| state.changed = true);
    }

    /// Wake this task at the next ring.  Call before looking.
    pub(super) fn register(&self, cx: &Context<'_>) {
        let mut state = lock(&self.state);
        if state.wakers.iter().any(|w| w.will_wake(cx.waker())) {
            return;
        }
        let old = if state.wakers.len() < WAKERS_MAX { Vec::new() } else { mem::take(&mut state.wakers) };
        state.wakers.push(cx.waker().clone());
        drop(state);
        old.into_iter().for_each(Waker::wake);
    }

    pub(super) fn take_rung(&self) -> bool {
        mem::take(&mut lock(&self.state).rung)
    }

    /// If peers changed: are there any left?  `look` takes the doorbell.
    pub(super) fn check_peers(&self, look: impl Fn() -> Result<bool>) -> Result<bool> {
        if !mem::take(&mut lock(&self.state).changed) {
            return Ok(false);
        }
        let found = look();
        // What is wrong now is wrong at the next look.
        lock(&self.state).changed |= found.is_err();
        found
    }
}

/// Nothing panics with these locks held; if it did, what they guard is still whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// `std::future::poll_fn`, which is newer than the oldest compiler we build with.
pub(super) struct PollFn<F>(pub(super) F);

impl<T, F: FnMut(&mut Context<'_>) -> Poll<T> + Unpin> Future for PollFn<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        (self.0)(cx)
    }
}

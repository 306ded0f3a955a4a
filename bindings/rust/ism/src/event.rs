// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! What a device tells.

use crate::Token;
use ism_sys as sys;

/// Tells region handles of one device apart; see [`Region::id`](crate::Region::id).
///
/// An id may be given again once its region has been dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegionId(usize);

impl RegionId {
    pub(crate) fn of(ptr: *const sys::ism_region) -> RegionId {
        RegionId(ptr as usize)
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A peer rang the region's doorbell: look at the memory.
    Update,
    /// A peer attached the region.
    Attach,
    /// A peer detached the region, or died.
    Detach,
    /// The region has a successor.
    Moved,
    /// The host is gone: tokens ended, mappings stay.
    Reset,
    /// Events were lost: list the peers anew.
    Lost,
    /// Something that this crate does not know yet.
    Other(u32),
}

/// Something that [`Device::wait`](crate::Device::wait) and the like report.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Who rang, came or went; `None`: not known.
    pub devid: Option<u64>,
    /// Attach, Detach: other referrers after it.
    pub peers: u32,
    /// Of the region.
    pub token: Option<Token>,
    /// Which handle it is about; `None` for Reset and Lost.
    pub region: Option<RegionId>,
}

impl From<&sys::ism_event> for Event {
    fn from(raw: &sys::ism_event) -> Event {
        Event {
            kind: match raw.type_ {
                sys::ISM_EVENT_UPDATE => EventKind::Update,
                sys::ISM_EVENT_ATTACH => EventKind::Attach,
                sys::ISM_EVENT_DETACH => EventKind::Detach,
                sys::ISM_EVENT_MOVED => EventKind::Moved,
                sys::ISM_EVENT_RESET => EventKind::Reset,
                sys::ISM_EVENT_LOST => EventKind::Lost,
                other => EventKind::Other(other),
            },
            devid: (raw.devid != 0).then_some(raw.devid),
            peers: raw.peers,
            token: Token::new(raw.token),
            region: (!raw.region.is_null()).then(|| RegionId::of(raw.region)),
        }
    }
}

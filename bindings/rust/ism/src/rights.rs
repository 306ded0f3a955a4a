// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Tokens and rights.

use crate::error::{check, Error, Result};
use ism_sys as sys;
use std::ffi::CString;
use std::num::NonZeroU64;
use std::ops::{BitAnd, BitOr};
use std::str::FromStr;
use std::{fmt, mem};

/// Names a region.  Whoever knows it, and has the right, can attach: treat it as
/// a password.  `{:?}` does not show it; `{}` does, as 16 hexadecimal digits.
///
/// ```
/// let token: ism::Token = "5e1c6c1f1f0f7a42".parse()?;
/// assert_eq!(token.to_string(), "5e1c6c1f1f0f7a42");
/// assert_eq!(format!("{:?}", token), "Token(..)");
/// assert!("xyz".parse::<ism::Token>().is_err());
/// # Ok::<(), ism::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(NonZeroU64);

impl Token {
    /// From its number; 0 is none.
    pub fn new(number: u64) -> Option<Token> {
        NonZeroU64::new(number).map(Token)
    }

    /// Its number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A bare token, or the reference of a region, `ism:GID/TOKEN`.
impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Token> {
        Reference::from_str(text).map(|r| r.token)
    }
}

/// Names a region and its domain; `ism:GID/TOKEN` as text.
///
/// ```
/// # fn main() -> ism::Result<()> {
/// let dev = ism::Device::open("loop:")?;
/// let region = dev.alloc(1)?;
/// let text = region.reference()?.to_string(); // holds the token
/// let reference: ism::Reference = text.parse()?;
/// assert_eq!(reference.gid, Some(dev.info()?.gid));
/// assert_eq!(reference.token, region.token());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The domain; `None` in a bare token.
    pub gid: Option<u64>,
    /// The region.
    pub token: Token,
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference> {
        // The text is not repeated: it may be a token with a slip of the pen.
        let wrong = || Error::new(libc::EINVAL, "a reference: expected ism:GID/TOKEN, or a token in hexadecimal");
        let text = CString::new(text).map_err(|_| wrong())?;
        let (mut gid, mut token) = (0, 0);
        // SAFETY: a string, and room for both.
        check(unsafe { sys::ism_ref_parse(text.as_ptr(), &mut gid, &mut token) })?;
        let token = Token::new(token).ok_or_else(wrong)?;
        Ok(Reference { gid: (gid != 0).then_some(gid), token })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gid {
            Some(gid) => write!(f, "ism:{:016x}/{}", gid, self.token),
            None => self.token.fmt(f),
        }
    }
}

/// What a device may do with a region: a set.
///
/// ```
/// use ism::Rights;
/// let rights = Rights::READ | Rights::ATTACH;
/// assert!(rights.contains(Rights::READ));
/// assert_eq!(format!("{:?}", rights), "READ|ATTACH");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights(u32);

impl Rights {
    /// No right at all.
    pub const NONE: Rights = Rights(0);
    /// Read the memory.
    pub const READ: Rights = Rights(sys::ISM_READ);
    /// Write the memory; needs `READ`.
    pub const WRITE: Rights = Rights(sys::ISM_WRITE);
    /// Attach the region.
    pub const ATTACH: Rights = Rights(sys::ISM_ATTACH);
    /// Grant, no more than one has.
    pub const MANAGE: Rights = Rights(sys::ISM_MANAGE);
    /// In a grant: also clear the default.
    pub const CLEAN_DEFAULT: Rights = Rights(sys::ISM_CLEAN_DEFAULT);

    const NAMES: [(Rights, &'static str); 5] = [
        (Rights::READ, "READ"),
        (Rights::WRITE, "WRITE"),
        (Rights::ATTACH, "ATTACH"),
        (Rights::MANAGE, "MANAGE"),
        (Rights::CLEAN_DEFAULT, "CLEAN_DEFAULT"),
    ];

    /// From the bits of `ism.h`.
    pub const fn from_bits(bits: u32) -> Rights {
        Rights(bits)
    }

    /// The bits of `ism.h`.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Are all of `other` among these?
    pub const fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Rights {
    type Output = Rights;

    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}

impl BitAnd for Rights {
    type Output = Rights;

    fn bitand(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut names = Vec::new();
        for (right, name) in Rights::NAMES {
            if self.contains(right) {
                names.push(name.to_string());
                rest &= !right.0;
            }
        }
        if rest != 0 || names.is_empty() {
            names.push(format!("{:#x}", rest));
        }
        f.write_str(&names.join("|"))
    }
}

/// The text that the library itself makes of a region's reference.
pub(crate) fn reference_of(region: *const sys::ism_region) -> Result<Reference> {
    let mut buf = [0u8; sys::ISM_REF_SIZE as usize];
    // SAFETY: a buffer of the size that is told.
    let len = check(unsafe { sys::ism_ref_format(region, buf.as_mut_ptr().cast(), mem::size_of_val(&buf)) })?;
    String::from_utf8_lossy(&buf[..len]).parse()
}

// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! What went wrong: an errno, and the library's own words.

use ism_sys as sys;
use std::ffi::CStr;
use std::os::raw::c_int;
use std::{error, fmt, io};

/// The result of a call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of libism: an errno, and in words what was wrong and what was expected.
///
/// ```
/// let err = ism::Device::open("carrier-pigeon:").unwrap_err();
/// assert_eq!(err.errno(), libc::EINVAL);
/// assert!(err.detail().contains("carrier-pigeon"));
/// let io: std::io::Error = err.into();
/// assert_eq!(io.kind(), std::io::ErrorKind::InvalidInput);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    errno: c_int,
    detail: Box<str>,
}

impl Error {
    /// Of the call that failed just now in this thread.
    pub(crate) fn last(errno: c_int) -> Error {
        // What is only "not now" is frequent, and needs no words.
        let detail = match errno {
            libc::EAGAIN | libc::ETIMEDOUT => "".into(),
            // SAFETY: never NULL, and the library's until this thread's next call.
            _ => unsafe { CStr::from_ptr(sys::ism_error_detail()) }.to_string_lossy().into(),
        };
        Error { errno, detail }
    }

    pub(crate) fn new(errno: c_int, detail: &str) -> Error {
        Error { errno, detail: detail.into() }
    }

    /// The error number, positive: for example `libc::ENOENT`.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// What was wrong, and what was expected; empty if there is no more to say.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The kind that [`std::io::Error`] has for this number.
    pub fn kind(&self) -> io::ErrorKind {
        io::Error::from_raw_os_error(self.errno).kind()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: static text, never NULL.
        let name = unsafe { CStr::from_ptr(sys::ism_strerror(self.errno)) }.to_string_lossy();
        match &*self.detail {
            "" => write!(f, "{}", name),
            detail => write!(f, "{}: {}", name, detail),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {})", self.errno, self)
    }
}

impl error::Error for Error {}

/// The kind is kept, and the error itself can be had back with [`io::Error::get_ref`].
impl From<Error> for io::Error {
    fn from(e: Error) -> io::Error {
        io::Error::new(e.kind(), e)
    }
}

/// A count, or the error that a negative result stands for.
pub(crate) fn check(r: c_int) -> Result<usize> {
    usize::try_from(r).map_err(|_| Error::last(-r))
}

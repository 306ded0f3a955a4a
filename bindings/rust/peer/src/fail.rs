// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! A command's failure: an errno and words.

use std::io;

pub struct Fail {
    pub errno: i32,
    pub text: String,
}

pub type Outcome<T> = Result<T, Fail>;

pub fn done() -> Outcome<String> {
    Ok(String::new())
}

impl Fail {
    pub fn new(errno: i32, text: &str) -> Fail {
        Fail { errno, text: text.to_string() }
    }
}

impl From<ism::Error> for Fail {
    fn from(e: ism::Error) -> Fail {
        Fail { errno: e.errno(), text: e.to_string() }
    }
}

impl From<io::Error> for Fail {
    fn from(e: io::Error) -> Fail {
        let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<ism::Error>());
        let errno = inner.map_or(e.raw_os_error(), |inner| Some(inner.errno()));
        Fail { errno: errno.unwrap_or(libc::EIO), text: e.to_string() }
    }
}

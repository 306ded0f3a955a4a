// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

//! Raw bindings to libism, as C has it: `ism.h`, `ism-ring.h` and `ism-emu.h`.
//!
//! The crate `ism` is what programs use.  This one adds nothing to the C
//! interface; the manual pages (`man 7 ism`) are its documentation.  Structures
//! with a `size` field must have it set to their size before they are passed.
//!
//! ```
//! let version = unsafe { std::ffi::CStr::from_ptr(ism_sys::ism_version()) };
//! assert!(version.to_str().unwrap().starts_with(char::is_numeric));
//! ```

#![allow(non_camel_case_types)]

mod bindings;
#[cfg(all(test, target_pointer_width = "64"))]
mod layout;

pub use bindings::*;

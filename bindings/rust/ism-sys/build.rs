// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors
//
// Find libism with pkg-config.  $PKG_CONFIG names another pkg-config;
// $LIBISM_STATIC set to anything links the static library.

use std::env;
use std::process::{exit, Command};

fn main() {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let fixed = env::var_os("LIBISM_STATIC").is_some();
    for name in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR", "LIBISM_STATIC"] {
        println!("cargo:rerun-if-env-changed={}", name);
    }

    let mut command = Command::new(&program);
    command.args(["--libs", "--cflags", "libism >= 0.1"]);
    if fixed {
        command.arg("--static");
    }
    let said = match command.output() {
        Ok(said) if said.status.success() => said,
        Ok(said) => fail(&program, &String::from_utf8_lossy(&said.stderr)),
        Err(e) => fail(&program, &e.to_string()),
    };
    let mut include = Vec::new();
    for word in String::from_utf8_lossy(&said.stdout).split_whitespace() {
        if let Some(dir) = word.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={}", dir);
        } else if word == "-lism" {
            println!("cargo:rustc-link-lib={}ism", if fixed { "static=" } else { "" });
        } else if let Some(name) = word.strip_prefix("-l") {
            println!("cargo:rustc-link-lib={}", name);
        } else if let Some(dir) = word.strip_prefix("-I") {
            include.push(dir.to_string());
        }
    }
    // For crates that compile C against ism.h: DEP_ISM_INCLUDE.
    println!("cargo:include={}", include.join(":"));
}

fn fail(program: &str, why: &str) -> ! {
    eprintln!("ism-sys: {} does not find libism 0.1 or later:\n{}", program, why.trim_end());
    eprintln!("Install libism, or set PKG_CONFIG_PATH to the directory with libism.pc.");
    exit(1);
}

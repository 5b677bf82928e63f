// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Tells the crate whether the compiler has the AVX-512 intrinsics, which are stable since Rust 1.89.
//! In the kernel, kbuild passes the same `--cfg`.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(llamux_avx512)");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    // "rustc 1.89.0 (...)"
    let minor = version
        .ok()
        .and_then(|text| text.split('.').nth(1)?.parse::<u32>().ok());
    if minor.is_some_and(|minor| minor >= 89) {
        println!("cargo::rustc-cfg=llamux_avx512");
    }
}

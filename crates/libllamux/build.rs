// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Gives the library the name that programs ask the loader for.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libllamux.so.0");
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! x86-64. The baseline of its kernel target is SSE2.

#![allow(unused_unsafe, reason = "many intrinsics are safe since Rust 1.87")]

pub(crate) mod avx2;
#[cfg(llamux_avx512)]
pub(crate) mod avx512;
mod heads;

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The float island: everything that computes with floats, and all SIMD.
//!
//! The contract with its callers is [`llamux_abi`]; the only way in is [`llamux_math_select`]. In the
//! kernel this crate is compiled for a hard-float variant of the kernel's target and entered between
//! `kernel_fpu_begin()` and `kernel_fpu_end()` only. Its functions keep to about 4 KiB of stack.

#![cfg_attr(not(CONFIG_RUST), no_std)]

#[cfg(test)]
extern crate std;

mod activation;
mod attention;
mod elementary;
mod elementwise;
mod experts;
mod fit;
mod float16;
mod kernels;
mod pooling;
mod rope;
mod sampling;
#[cfg(test)]
mod testing;
mod types;

pub use llamux_abi as abi;

/// Returns the fastest table that needs no more than `features`, see [`abi::Select`].
#[no_mangle]
pub extern "C" fn llamux_math_select(features: u32) -> *const abi::Kernels {
    kernels::select(features)
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! x86-64. The baseline of its kernel target is SSE2.

#![allow(unused_unsafe, reason = "many intrinsics are safe since Rust 1.87")]

use llamux_abi as abi;

pub(crate) mod avx2;
#[cfg(llamux_avx512)]
pub(crate) mod avx512;
mod heads;

/// Whether each token is to be multiplied as if it were the only one, which is as fast as together for up
/// to `most`.
#[inline(always)]
fn alone(op: &abi::MatMul, most: u32) -> bool {
    match op.sums {
        abi::Sums::Together => op.tokens == 1,
        abi::Sums::Alone => true,
        abi::Sums::Either => op.tokens <= most,
    }
}

/// Cuts so many tokens into as few shares of at most `most` as there can be, all about as large: the
/// first token of each, and their number.
#[inline(always)]
fn shares(tokens: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let shares = tokens.div_ceil(most);
    (0..shares).map(move |share| {
        let first = share * tokens / shares;
        (first, (share + 1) * tokens / shares - first)
    })
}

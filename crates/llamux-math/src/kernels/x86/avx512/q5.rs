// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q5_0` and `Q5_1` on ZMM registers.

use core::arch::x86_64::*;

use super::quads::{self, load16x4, Quads};
use super::tile::{nibbles, plain, widen16, Tile, Weights, ROWS};
use crate::activation::{Group, Q16x32};
use crate::types::{Q5_0, Q5_1};

/// The halves of four blocks of 5-bit weights.
///
/// # Safety
///
/// The processor has AVX-512; 16 bytes can be read at each pointer.
#[inline(always)]
unsafe fn halves(q: [*const u8; 4], high: [[u8; 4]; 4]) -> [__m512i; 2] {
    // SAFETY: As the caller's.
    unsafe {
        let [a, b, c, d] = high.map(|high| u64::from(u32::from_le_bytes(high)));
        // The bits of the first halves, and of the last.
        let first = a & 0xffff | (b & 0xffff) << 16 | (c & 0xffff) << 32 | d << 48;
        let last = a >> 16 | b >> 16 << 16 | c >> 16 << 32 | d >> 16 << 48;
        let bit = _mm512_set1_epi8(16);
        let [low, high] = quads::nibbles(load16x4(q));
        [
            _mm512_mask_add_epi8(low, first, low, bit),
            _mm512_mask_add_epi8(high, last, high, bit),
        ]
    }
}

impl Quads for Q5_0 {
    const MINIMUM: f32 = -16.0;

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 4]) -> [__m512i; 2] {
        // SAFETY: As the caller's.
        unsafe {
            halves(
                blocks.map(|block| (*block).q.as_ptr()),
                blocks.map(|block| (*block).high),
            )
        }
    }
}

impl Quads for Q5_1 {
    const MINIMUM: f32 = 1.0;

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 4]) -> [__m512i; 2] {
        // SAFETY: As the caller's.
        unsafe {
            halves(
                blocks.map(|block| (*block).q.as_ptr()),
                blocks.map(|block| (*block).high),
            )
        }
    }
}

/// The 32 weights of each row's block.
///
/// # Safety
///
/// The processor has AVX-512; 16 bytes can be read at each pointer.
#[inline(always)]
unsafe fn weights(q: [*const u8; ROWS], high: [[u8; 4]; ROWS]) -> [__m512i; 8] {
    // SAFETY: As the caller's; there are 64 bytes.
    unsafe {
        let mut high = _mm512_loadu_si512(high.as_ptr().cast());
        let mut q = nibbles(q);
        for q in &mut q {
            // The next four bits, each at the bit of value 16 of a byte: 7 apart, they do not meet.
            let four = _mm512_and_si512(high, _mm512_set1_epi32(15));
            let spread = _mm512_set1_epi32(1 << 4 | 1 << 11 | 1 << 18 | 1 << 25);
            let fifth = _mm512_mullo_epi32(four, spread);
            *q = _mm512_or_si512(*q, _mm512_and_si512(fifth, _mm512_set1_epi8(16)));
            high = _mm512_srli_epi32::<4>(high);
        }
        q
    }
}

impl Tile<1> for Q5_0 {
    type Header = ();
    const STEPS: usize = 1;
    const PLANES: bool = true;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(_blocks: &[*const Self; ROWS]) {}

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], _header: &(), _step: usize) -> Weights<1> {
        // SAFETY: As the caller's.
        unsafe {
            let scale = widen16(blocks.map(|block| (*block).scale));
            let q = weights(
                blocks.map(|block| (*block).q.as_ptr()),
                blocks.map(|block| (*block).high),
            );
            plain(q, scale, _mm512_mul_ps(scale, _mm512_set1_ps(-16.0)))
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, block: usize, _step: usize) -> [Group; 1] {
        [Q16x32::group(blocks, block)]
    }
}

impl Tile<1> for Q5_1 {
    type Header = ();
    const STEPS: usize = 1;
    const PLANES: bool = true;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(_blocks: &[*const Self; ROWS]) {}

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], _header: &(), _step: usize) -> Weights<1> {
        // SAFETY: As the caller's.
        unsafe {
            let scale = widen16(blocks.map(|block| (*block).scale));
            let q = weights(
                blocks.map(|block| (*block).q.as_ptr()),
                blocks.map(|block| (*block).high),
            );
            plain(q, scale, widen16(blocks.map(|block| (*block).minimum)))
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, block: usize, _step: usize) -> [Group; 1] {
        [Q16x32::group(blocks, block)]
    }
}

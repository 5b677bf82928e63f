// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q5_0` and `Q5_1` on YMM registers.

use core::arch::x86_64::*;

use super::quads::{self, both, Quad, Scales};
use super::tile::{nibbles, plain, Tile, Weights, ROWS};
use super::vector::widen8;
use crate::activation::{Group, Q16x32};
use crate::types::{Q5_0, Q5_1};

/// The halves of two blocks of 5-bit weights.
///
/// # Safety
///
/// The processor has AVX2; 16 bytes can be read at each pointer.
#[inline(always)]
unsafe fn halves(q: [*const u8; 2], high: [[u8; 4]; 2]) -> [__m256i; 2] {
    // SAFETY: As the caller's.
    unsafe {
        let [a, b] = high.map(i32::from_le_bytes);
        let high = _mm256_setr_epi32(a, a, a, a, b, b, b, b);
        // Each byte of the high bits eight times, in which each weight looks for its own.
        let first = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0, 0x0101_0101_0101_0101);
        let bits = _mm256_set1_epi64x(i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]));
        let fifth = |bytes| {
            let found = _mm256_and_si256(_mm256_shuffle_epi8(high, bytes), bits);
            let found = _mm256_cmpeq_epi8(found, bits);
            _mm256_and_si256(found, _mm256_set1_epi8(16))
        };
        let last = _mm256_add_epi8(first, _mm256_set1_epi8(2));
        let [low, high] = quads::nibbles(q);
        [
            _mm256_or_si256(low, fifth(first)),
            _mm256_or_si256(high, fifth(last)),
        ]
    }
}

impl Scales for Q5_0 {
    #[inline(always)]
    unsafe fn scales(block: *const Self) -> i32 {
        // SAFETY: As the caller's.
        both(unsafe { (*block).scale })
    }
}

impl Quad for Q5_0 {
    const MINIMUM: f32 = -16.0;

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 2]) -> [__m256i; 2] {
        // SAFETY: As the caller's.
        unsafe {
            halves(
                blocks.map(|block| (*block).q.as_ptr()),
                blocks.map(|block| (*block).high),
            )
        }
    }
}

impl Scales for Q5_1 {
    #[inline(always)]
    unsafe fn scales(block: *const Self) -> i32 {
        // SAFETY: As the caller's; the minimum follows the scale.
        unsafe { block.cast::<i32>().read_unaligned() }
    }
}

impl Quad for Q5_1 {
    const MINIMUM: f32 = 1.0;

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 2]) -> [__m256i; 2] {
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
/// The processor has AVX2; 16 bytes can be read at each pointer.
#[inline(always)]
unsafe fn weights(q: [*const u8; ROWS], high: [[u8; 4]; ROWS]) -> [__m256i; 8] {
    // SAFETY: As the caller's; there are 32 bytes.
    unsafe {
        let mut high = _mm256_loadu_si256(high.as_ptr().cast());
        let mut q = nibbles(q);
        for q in &mut q {
            // The next four bits, each at the bit of value 16 of a byte: 7 apart, they do not meet.
            let four = _mm256_and_si256(high, _mm256_set1_epi32(15));
            let spread = _mm256_set1_epi32(1 << 4 | 1 << 11 | 1 << 18 | 1 << 25);
            let fifth = _mm256_mullo_epi32(four, spread);
            *q = _mm256_or_si256(*q, _mm256_and_si256(fifth, _mm256_set1_epi8(16)));
            high = _mm256_srli_epi32::<4>(high);
        }
        q
    }
}

impl Tile for Q5_0 {
    type Header = ();
    const GROUPS: usize = 1;
    const PLANES: bool = true;
    const CHAIN: usize = 4;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(_blocks: &[*const Self; ROWS]) {}

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], _header: &(), _group: usize) -> Weights {
        // SAFETY: As the caller's.
        unsafe {
            let scale = widen8(blocks.map(|block| (*block).scale));
            let q = weights(
                blocks.map(|block| (*block).q.as_ptr()),
                blocks.map(|block| (*block).high),
            );
            plain(q, scale, _mm256_mul_ps(scale, _mm256_set1_ps(-16.0)))
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, group: usize) -> Group {
        Q16x32::group(blocks, group)
    }
}

impl Tile for Q5_1 {
    type Header = ();
    const GROUPS: usize = 1;
    const PLANES: bool = true;
    const CHAIN: usize = 4;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(_blocks: &[*const Self; ROWS]) {}

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], _header: &(), _group: usize) -> Weights {
        // SAFETY: As the caller's.
        unsafe {
            let q = weights(
                blocks.map(|block| (*block).q.as_ptr()),
                blocks.map(|block| (*block).high),
            );
            plain(
                q,
                widen8(blocks.map(|block| (*block).scale)),
                widen8(blocks.map(|block| (*block).minimum)),
            )
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, group: usize) -> Group {
        Q16x32::group(blocks, group)
    }
}

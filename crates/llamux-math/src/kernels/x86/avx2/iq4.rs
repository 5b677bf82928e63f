// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `IQ4_NL` and `IQ4_XS` on YMM registers.
//!
//! The products of two pairs of values and activations are within 16 bits: 2 * 127 * 127.

use core::arch::x86_64::*;

use super::quads::{self, both, Quad, Scales};
use super::rows::{self, Minimums, Super};
use super::tile::{nibbles, plain, transpose, twice, Tile, Weights, ROWS};
use super::vector::{load16, widen, widen8};
use crate::activation::{Group, Q16x32, Q8x256};
use crate::types::iq4_nl::VALUES;
use crate::types::{IQ4NL, IQ4XS};

/// The values, in both halves.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn table() -> __m256i {
    // SAFETY: As the caller's; there are 16 values.
    unsafe { _mm256_broadcastsi128_si256(load16(VALUES.as_ptr().cast())) }
}

impl Scales for IQ4NL {
    #[inline(always)]
    unsafe fn scales(block: *const Self) -> i32 {
        // SAFETY: As the caller's.
        both(unsafe { (*block).scale })
    }
}

impl Quad for IQ4NL {
    const SIGNED: bool = true;
    const MINIMUM: f32 = 0.0;

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 2]) -> [__m256i; 2] {
        // SAFETY: As the caller's.
        unsafe {
            let table = table();
            let [low, high] = quads::nibbles(blocks.map(|block| (*block).q.as_ptr()));
            [
                _mm256_shuffle_epi8(table, low),
                _mm256_shuffle_epi8(table, high),
            ]
        }
    }
}

impl Tile for IQ4NL {
    type Header = ();
    const GROUPS: usize = 1;
    const PLANES: bool = true;
    const CHAIN: usize = 1;
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn header(_blocks: &[*const Self; ROWS]) {}

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], _header: &(), _group: usize) -> Weights {
        // SAFETY: As the caller's.
        unsafe {
            let table = table();
            let mut q = nibbles(blocks.map(|block| (*block).q.as_ptr()));
            for q in &mut q {
                *q = _mm256_shuffle_epi8(table, *q);
            }
            let scale = widen8(blocks.map(|block| (*block).scale));
            plain(q, scale, _mm256_setzero_ps())
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, group: usize) -> Group {
        Q16x32::group(blocks, group)
    }
}

impl Super for IQ4XS {
    const HALVES: bool = false;
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn header(&self) -> rows::Header {
        // SAFETY: As the caller's.
        unsafe {
            // CAST: The same bits.
            let scales = _mm_cvtsi64_si128(i64::from_le_bytes(self.scales().map(|s| s as u8)));
            rows::Header {
                scales: [_mm256_broadcastsi128_si256(_mm_cvtepi8_epi16(scales)); 2],
                scale: widen(self.scale),
                minimums: Minimums::None,
            }
        }
    }

    #[inline(always)]
    unsafe fn group<const G: usize>(&self) -> __m256i {
        // SAFETY: As the caller's; 16 bytes serve a group.
        unsafe {
            let q = load16(self.q.as_ptr().add(16 * G));
            let both = _mm256_castsi128_si256(q);
            let both = _mm256_inserti128_si256::<1>(both, _mm_srli_epi16::<4>(q));
            _mm256_shuffle_epi8(table(), _mm256_and_si256(both, _mm256_set1_epi8(15)))
        }
    }
}

/// Scales of `IQ4_XS`.
pub(super) struct Header {
    /// `(groups, rows)`.
    scales: [[u8; ROWS]; 8],
    scale: __m256,
}

impl Tile for IQ4XS {
    type Header = Header;
    const GROUPS: usize = 8;
    const CHAIN: usize = 1;
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> Header {
        // SAFETY: As the caller's.
        unsafe {
            Header {
                // CAST: The same bits.
                scales: transpose(blocks.map(|block| (*block).scales().map(|scale| scale as u8))),
                scale: widen8(blocks.map(|block| (*block).scale)),
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], header: &Header, group: usize) -> Weights {
        // SAFETY: As the caller's; 16 bytes serve a group.
        unsafe {
            let table = table();
            let mut q = nibbles(blocks.map(|block| (*block).q.as_ptr().add(16 * group)));
            for q in &mut q {
                *q = _mm256_shuffle_epi8(table, *q);
            }
            let scales = _mm_loadl_epi64(header.scales[group].as_ptr().cast());
            Weights {
                q,
                scales: [twice(_mm256_cvtepi8_epi32(scales)); 2],
                offset: _mm256_setzero_si256(),
                scale: header.scale,
                minimum: _mm256_setzero_ps(),
            }
        }
    }

    #[inline(always)]
    fn activations(_blocks: usize, group: usize) -> Group {
        Q8x256::group(group)
    }
}

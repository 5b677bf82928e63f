// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q3_K` on YMM registers.

use core::arch::x86_64::*;

use super::rows::{self, scales16, shift, Minimums, Super};
use super::tile::{interleave32, pair, transpose, twice, Tile, Weights, ROWS};
use super::vector::{load32, widen, widen8};
use crate::activation::{Group, Q8x256};
use crate::types::q3_k::unpack_scales;
use crate::types::Q3K;

/// The scales of the 16 groups.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
pub(in crate::kernels::x86) unsafe fn scales(groups: &[u8; 12]) -> __m128i {
    // CAST: The same bits.
    let [first, last] =
        unpack_scales(groups).map(|half| i64::from_le_bytes(half.map(|scale| scale as u8)));
    // SAFETY: As the caller's.
    unsafe { _mm_set_epi64x(last, first) }
}

impl Super for Q3K {
    const HALVES: bool = true;

    #[inline(always)]
    unsafe fn header(&self) -> rows::Header {
        // SAFETY: As the caller's.
        unsafe {
            let scales = _mm256_cvtepi8_epi16(scales(&self.groups));
            // The weights are 4 less than their bits say.
            let minimums = _mm256_slli_epi16::<2>(scales);
            rows::Header {
                scales: scales16(scales),
                scale: widen(self.scale),
                minimums: Minimums::Units(_mm256_sub_epi16(_mm256_setzero_si256(), minimums)),
            }
        }
    }

    #[inline(always)]
    unsafe fn group<const G: usize>(&self) -> __m256i {
        // SAFETY: As the caller's; 32 bytes of low bits serve half a block, those of high bits all.
        unsafe {
            // CAST: Both below 8.
            let low = shift(
                load32(self.low.as_ptr().add(G / 4 * 32)),
                -2 * (G % 4) as i32,
            );
            // Brought to the bit of value 4.
            let high = shift(load32(self.high.as_ptr()), 2 - G as i32);
            _mm256_or_si256(
                _mm256_and_si256(low, _mm256_set1_epi8(3)),
                _mm256_and_si256(high, _mm256_set1_epi8(4)),
            )
        }
    }
}

/// Scales.
pub(super) struct Header {
    /// `(groups of 16, rows)`.
    scales: [[[u8; ROWS]; 8]; 2],
    scale: __m256,
}

impl Tile for Q3K {
    type Header = Header;
    const GROUPS: usize = 8;
    const CHAIN: usize = 4;
    const OFFSET: bool = true;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> Header {
        // SAFETY: As the caller's.
        unsafe {
            let scales = blocks.map(|block| unpack_scales(&(*block).groups));
            // CAST: The same bits.
            let half = |half: usize| scales.map(|scales| scales[half].map(|scale| scale as u8));
            Header {
                scales: [transpose(half(0)), transpose(half(1))],
                scale: widen8(blocks.map(|block| (*block).scale)),
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], header: &Header, group: usize) -> Weights {
        // SAFETY: As the caller's; 32 bytes of low bits serve half a block, those of high bits all.
        unsafe {
            let mut q = interleave32(blocks.map(|block| (*block).low.as_ptr().add(group / 4 * 32)));
            let high = interleave32(blocks.map(|block| (*block).high.as_ptr()));
            // CAST: Below 8.
            let shift = _mm_cvtsi32_si128(2 * (group % 4) as i32);
            let high_shift = _mm_cvtsi32_si128(group as i32);
            for (q, high) in q.iter_mut().zip(high) {
                let low = _mm256_and_si256(_mm256_srl_epi16(*q, shift), _mm256_set1_epi8(3));
                let bit = _mm256_and_si256(_mm256_srl_epi16(high, high_shift), _mm256_set1_epi8(1));
                *q = _mm256_or_si256(low, _mm256_slli_epi16::<2>(bit));
            }
            let [first, last] = [2 * group, 2 * group + 1].map(|i| {
                let scales = &header.scales[i / 8][i % 8];
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(scales.as_ptr().cast()))
            });
            Weights {
                q,
                scales: [twice(first), twice(last)],
                // The weights are 4 less than `q`.
                offset: _mm256_slli_epi16::<2>(pair(first, last)),
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

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q2_K` on YMM registers.

use core::arch::x86_64::*;

use super::rows::{self, scales16, shift, Minimums, Super};
use super::tile::{interleave32, pair, transpose, twice, Tile, Weights, ROWS};
use super::vector::{load16, load32, widen, widen8};
use crate::activation::{Group, Q8x256};
use crate::types::Q2K;

impl Super for Q2K {
    const HALVES: bool = true;

    #[inline(always)]
    unsafe fn header(&self) -> rows::Header {
        // SAFETY: As the caller's.
        unsafe {
            let mask = _mm_set1_epi8(15);
            let groups = load16(self.groups.as_ptr());
            let minimums = _mm_and_si128(_mm_srli_epi16::<4>(groups), mask);
            rows::Header {
                scales: scales16(_mm256_cvtepu8_epi16(_mm_and_si128(groups, mask))),
                scale: widen(self.scale),
                minimums: Minimums::Scaled(_mm256_cvtepu8_epi16(minimums), widen(self.minimum)),
            }
        }
    }

    #[inline(always)]
    unsafe fn group<const G: usize>(&self) -> __m256i {
        // SAFETY: As the caller's; 32 bytes serve half a block.
        unsafe {
            // CAST: Below 4.
            let q = shift(load32(self.q.as_ptr().add(G / 4 * 32)), -2 * (G % 4) as i32);
            _mm256_and_si256(q, _mm256_set1_epi8(3))
        }
    }
}

/// Scales and minimums.
pub(super) struct Header {
    /// `(groups of 16, rows)`: the scale in the low half, the minimum in the high half.
    groups: [[[u8; ROWS]; 8]; 2],
    scale: __m256,
    /// What is to be added for each unit of a minimum.
    minimum: __m256,
}

impl Tile for Q2K {
    type Header = Header;
    const GROUPS: usize = 8;
    const CHAIN: usize = 4;
    const MINIMUMS: bool = true;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> Header {
        // SAFETY: As the caller's; there are 16 groups.
        unsafe {
            let groups = |half: usize| {
                let eight = |block: *const Self| (*block).groups.as_ptr().add(8 * half).cast();
                transpose(blocks.map(|block| *eight(block)))
            };
            let minimum = widen8(blocks.map(|block| (*block).minimum));
            Header {
                groups: [groups(0), groups(1)],
                scale: widen8(blocks.map(|block| (*block).scale)),
                minimum: _mm256_sub_ps(_mm256_setzero_ps(), minimum),
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], header: &Header, group: usize) -> Weights {
        // SAFETY: As the caller's; 32 bytes serve half a block.
        unsafe {
            let mut q = interleave32(blocks.map(|block| (*block).q.as_ptr().add(group / 4 * 32)));
            // CAST: Below 8.
            let shift = _mm_cvtsi32_si128(2 * (group % 4) as i32);
            for q in &mut q {
                *q = _mm256_and_si256(_mm256_srl_epi16(*q, shift), _mm256_set1_epi8(3));
            }
            let groups = [2 * group, 2 * group + 1].map(|i| {
                let groups = &header.groups[i / 8][i % 8];
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(groups.as_ptr().cast()))
            });
            let scales = groups.map(|x| twice(_mm256_and_si256(x, _mm256_set1_epi32(15))));
            let [first, last] = groups.map(|x| _mm256_srli_epi32::<4>(x));
            Weights {
                q,
                scales,
                offset: pair(first, last),
                scale: header.scale,
                minimum: header.minimum,
            }
        }
    }

    #[inline(always)]
    fn activations(_blocks: usize, group: usize) -> Group {
        Q8x256::group(group)
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q2_K` on ZMM registers.

use core::arch::x86_64::*;

use super::rows::{self, halves, load32x2, spread16, Minimums, Row};
use super::tile::{eight, interleave32, widen16, Tile, Weights, ROWS};
use crate::activation::{Group, Q8x256};
use crate::kernels::x86::avx2::{transpose, widen};
use crate::types::Q2K;

impl Row for Q2K {
    #[inline(always)]
    unsafe fn unpack(&self) -> rows::Weights {
        // SAFETY: As the caller's; 32 bytes serve half a block.
        unsafe {
            let (mask, bits) = (_mm_set1_epi8(15), _mm512_set1_epi8(3));
            let mut q = [bits; 4];
            for half in 0..2 {
                let all = load32x2(self.q.as_ptr().add(32 * half));
                let parts = [
                    _mm512_srlv_epi16(all, halves::<0, 2>()),
                    _mm512_srlv_epi16(all, halves::<4, 6>()),
                ];
                for (part, all) in parts.into_iter().enumerate() {
                    q[2 * half + part] = _mm512_and_si512(all, bits);
                }
            }
            let groups = _mm_loadu_si128(self.groups.as_ptr().cast());
            let minimums = _mm_and_si128(_mm_srli_epi16::<4>(groups), mask);
            rows::Weights {
                q,
                negative: None,
                scales: spread16(_mm256_cvtepu8_epi16(_mm_and_si128(groups, mask))),
                scale: widen(self.scale),
                minimums: Minimums::Scaled(_mm256_cvtepu8_epi16(minimums), widen(self.minimum)),
            }
        }
    }
}

/// Scales and minimums.
pub(super) struct Header {
    /// `(rows / 8, groups of 16 / 8, groups of 16 % 8, rows % 8)`: the scale in the low half, the
    /// minimum in the high half.
    groups: [[[[u8; 8]; 8]; 2]; 2],
    scale: __m512,
    /// What is to be added for each unit of a minimum.
    minimum: __m512,
}

impl Tile<2> for Q2K {
    type Header = Header;
    const STEPS: usize = 4;
    const HALVES: bool = true;
    const MINIMUMS: bool = true;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> Header {
        // SAFETY: As the caller's; there are 16 groups.
        unsafe {
            let groups = |rows: usize, groups: usize| {
                let at = |block: *const Self| (*block).groups.as_ptr().add(8 * groups).cast();
                transpose(eight(blocks, rows).map(|block| *at(block)))
            };
            let minimum = widen16(blocks.map(|block| (*block).minimum));
            Header {
                groups: [[groups(0, 0), groups(0, 1)], [groups(1, 0), groups(1, 1)]],
                scale: widen16(blocks.map(|block| (*block).scale)),
                minimum: _mm512_sub_ps(_mm512_setzero_ps(), minimum),
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], header: &Header, step: usize) -> Weights<2> {
        let (half, part) = (step / 2, step % 2 * 2);
        // SAFETY: As the caller's; 32 bytes serve half a block.
        unsafe {
            let mut q = [interleave32(blocks.map(|block| (*block).q.as_ptr().add(32 * half))); 2];
            let mut scales = [[header.scale; 2]; 2];
            let mut pairs = [_mm512_setzero_si512(); 2];
            for (i, q) in q.iter_mut().enumerate() {
                // CAST: Below 8.
                let shift = _mm_cvtsi32_si128(2 * (part + i) as i32);
                for q in q {
                    *q = _mm512_and_si512(_mm512_srl_epi16(*q, shift), _mm512_set1_epi8(3));
                }
                for (j, scale) in scales[i].iter_mut().enumerate() {
                    let group = 2 * (part + i) + j;
                    let low = _mm_loadl_epi64(header.groups[0][half][group].as_ptr().cast());
                    let high = _mm_loadl_epi64(header.groups[1][half][group].as_ptr().cast());
                    let groups = _mm512_cvtepu8_epi32(_mm_unpacklo_epi64(low, high));
                    let unit = _mm512_and_si512(groups, _mm512_set1_epi32(15));
                    *scale = _mm512_mul_ps(_mm512_cvtepi32_ps(unit), header.scale);
                    // The minimum of the last 16 is in the upper half.
                    let minimum = _mm512_srli_epi32::<4>(groups);
                    pairs[i] = match j {
                        0 => minimum,
                        _ => _mm512_or_si512(pairs[i], _mm512_slli_epi32::<16>(minimum)),
                    };
                }
            }
            Weights {
                q,
                scales,
                minimums: [header.minimum; 2],
                pairs,
            }
        }
    }

    #[inline(always)]
    fn activations(_blocks: usize, block: usize, step: usize) -> [Group; 2] {
        [0, 1].map(|i| Q8x256::group(8 * block + 2 * step + i))
    }
}

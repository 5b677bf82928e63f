// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q2_K` on YMM registers.

use core::arch::x86_64::*;
use core::mem::size_of;

use super::rows::{Row, SPREAD16};
use super::tile::{interleave32, pair, twice, Tile, Weights, ROWS};
use super::vector::{load16, load32, prefetch, sum, widen, widen8, AHEAD};
use crate::activation::{Group, Q8x256};
use crate::kernels::x86::avx2::transpose;
use crate::types::Q2K;

impl Row for Q2K {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dot(row: *const Self, x: *const u8, blocks: usize) -> f32 {
        // SAFETY: As the caller's; 32 bytes serve half a block.
        unsafe {
            let (mask, bits) = (_mm_set1_epi8(15), _mm256_set1_epi8(3));
            let mut total = _mm256_setzero_ps();
            for i in 0..blocks {
                let (w, x) = (&*row.add(i), &*x.cast::<Q8x256>().add(i));
                prefetch(
                    row.add(i).cast::<u8>().wrapping_add(AHEAD),
                    size_of::<Self>(),
                );
                let groups = load16(w.groups.as_ptr());
                let scales = _mm256_cvtepu8_epi16(_mm_and_si128(groups, mask));
                let minimums = _mm_and_si128(_mm_srli_epi16::<4>(groups), mask);
                let minimums = _mm256_madd_epi16(
                    _mm256_cvtepu8_epi16(minimums),
                    load32(x.sums16.as_ptr().cast()),
                );
                let mut sums = _mm256_setzero_si256();
                for half in 0..2 {
                    let q = load32(w.q.as_ptr().add(32 * half));
                    // Both halves hold the eight scales of this half of the block.
                    let scales = match half {
                        0 => _mm256_permute2x128_si256::<0x00>(scales, scales),
                        _ => _mm256_permute2x128_si256::<0x11>(scales, scales),
                    };
                    let parts = [
                        q,
                        _mm256_srli_epi16::<2>(q),
                        _mm256_srli_epi16::<4>(q),
                        _mm256_srli_epi16::<6>(q),
                    ];
                    for (part, q) in parts.into_iter().enumerate() {
                        let x = x.q.as_ptr().add(128 * half + 32 * part);
                        let q = _mm256_and_si256(q, bits);
                        let products = _mm256_maddubs_epi16(q, load32(x.cast()));
                        let scale = _mm256_shuffle_epi8(scales, load32(SPREAD16[part].as_ptr()));
                        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(products, scale));
                    }
                }
                let scale = _mm256_set1_ps(widen(w.scale) * x.scale);
                let minimum = _mm256_set1_ps(widen(w.minimum) * x.scale);
                total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, total);
                total = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(minimums), minimum, total);
            }
            sum(total)
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

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q3_K` on YMM registers.

use core::arch::x86_64::*;
use core::mem::size_of;

use super::rows::{Row, SPREAD16};
use super::tile::{interleave32, pair, twice, Tile, Weights, ROWS};
use super::vector::{load32, prefetch, sum, widen, widen8, AHEAD};
use crate::activation::{Group, Q8x256};
use crate::kernels::x86::avx2::transpose;
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

impl Row for Q3K {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dot(row: *const Self, x: *const u8, blocks: usize) -> f32 {
        // SAFETY: As the caller's; 32 bytes of low bits serve half a block, those of high bits all.
        unsafe {
            let (bits, bit) = (_mm256_set1_epi8(3), _mm256_set1_epi8(4));
            let mut total = _mm256_setzero_ps();
            for i in 0..blocks {
                let (w, x) = (&*row.add(i), &*x.cast::<Q8x256>().add(i));
                prefetch(
                    row.add(i).cast::<u8>().wrapping_add(AHEAD),
                    size_of::<Self>(),
                );
                let scales = _mm256_cvtepi8_epi16(scales(&w.groups));
                // The weights are 4 less than their bits say.
                let offset = _mm256_madd_epi16(scales, load32(x.sums16.as_ptr().cast()));
                let offset = _mm256_slli_epi32::<2>(offset);
                let mut sums = _mm256_sub_epi32(_mm256_setzero_si256(), offset);
                let high = load32(w.high.as_ptr());
                for half in 0..2 {
                    let low = load32(w.low.as_ptr().add(32 * half));
                    // The high bit of each part is brought to the bit of value 4.
                    let q = match half {
                        0 => [
                            (low, _mm256_slli_epi16::<2>(high)),
                            (_mm256_srli_epi16::<2>(low), _mm256_slli_epi16::<1>(high)),
                            (_mm256_srli_epi16::<4>(low), high),
                            (_mm256_srli_epi16::<6>(low), _mm256_srli_epi16::<1>(high)),
                        ],
                        _ => [
                            (low, _mm256_srli_epi16::<2>(high)),
                            (_mm256_srli_epi16::<2>(low), _mm256_srli_epi16::<3>(high)),
                            (_mm256_srli_epi16::<4>(low), _mm256_srli_epi16::<4>(high)),
                            (_mm256_srli_epi16::<6>(low), _mm256_srli_epi16::<5>(high)),
                        ],
                    };
                    // Both halves hold the eight scales of this half of the block.
                    let scales = match half {
                        0 => _mm256_permute2x128_si256::<0x00>(scales, scales),
                        _ => _mm256_permute2x128_si256::<0x11>(scales, scales),
                    };
                    for (part, (low, high)) in q.into_iter().enumerate() {
                        let q = _mm256_or_si256(
                            _mm256_and_si256(low, bits),
                            _mm256_and_si256(high, bit),
                        );
                        let x = x.q.as_ptr().add(128 * half + 32 * part);
                        let products = _mm256_maddubs_epi16(q, load32(x.cast()));
                        let scale = _mm256_shuffle_epi8(scales, load32(SPREAD16[part].as_ptr()));
                        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(products, scale));
                    }
                }
                let scale = _mm256_set1_ps(widen(w.scale) * x.scale);
                total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, total);
            }
            sum(total)
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

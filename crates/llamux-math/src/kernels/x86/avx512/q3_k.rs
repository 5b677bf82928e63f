// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q3_K` on ZMM registers.

use core::arch::x86_64::*;

use super::rows::{self, halves, load32x2, spread16, Minimums, Row};
use super::tile::{eight, interleave32, widen16, Tile, Weights, ROWS};
use crate::activation::{Group, Q8x256};
use crate::kernels::x86::avx2::{q3_k_scales as scales, transpose, widen};
use crate::types::q3_k::unpack_scales;
use crate::types::Q3K;

impl Row for Q3K {
    #[inline(always)]
    unsafe fn unpack(&self) -> rows::Weights {
        // SAFETY: As the caller's; 32 bytes of low bits serve half a block, those of high bits all.
        unsafe {
            let (bits, bit) = (_mm512_set1_epi8(3), _mm512_set1_epi8(4));
            let high = load32x2(self.high.as_ptr());
            // The high bit of each part, brought to the bit of value 4.
            let mut q = [
                _mm512_sllv_epi16(high, halves::<2, 1>()),
                _mm512_srlv_epi16(high, halves::<0, 1>()),
                _mm512_srlv_epi16(high, halves::<2, 3>()),
                _mm512_srlv_epi16(high, halves::<4, 5>()),
            ];
            for half in 0..2 {
                let low = load32x2(self.low.as_ptr().add(32 * half));
                let parts = [
                    _mm512_srlv_epi16(low, halves::<0, 2>()),
                    _mm512_srlv_epi16(low, halves::<4, 6>()),
                ];
                for (q, low) in q[2 * half..].iter_mut().zip(parts) {
                    *q = _mm512_or_si512(_mm512_and_si512(low, bits), _mm512_and_si512(*q, bit));
                }
            }
            let scales = _mm256_cvtepi8_epi16(scales(&self.groups));
            // The weights are 4 less than their bits say.
            let minimums = _mm256_slli_epi16::<2>(scales);
            rows::Weights {
                q,
                negative: None,
                scales: spread16(scales),
                scale: widen(self.scale),
                minimums: Minimums::Units(_mm256_sub_epi16(_mm256_setzero_si256(), minimums)),
            }
        }
    }
}

/// Scales.
pub(super) struct Header {
    /// `(rows / 8, groups of 16 / 8, groups of 16 % 8, rows % 8)`.
    scales: [[[[u8; 8]; 8]; 2]; 2],
    scale: __m512,
}

impl Tile<2> for Q3K {
    type Header = Header;
    const STEPS: usize = 4;
    const HALVES: bool = true;
    const OFFSET: i32 = 4;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> Header {
        // SAFETY: As the caller's.
        unsafe {
            let unpacked = blocks.map(|block| unpack_scales(&(*block).groups));
            // CAST: The same bits.
            let scales = |rows: usize, half: usize| {
                transpose(
                    eight(&unpacked, rows).map(|scales| scales[half].map(|scale| scale as u8)),
                )
            };
            Header {
                scales: [[scales(0, 0), scales(0, 1)], [scales(1, 0), scales(1, 1)]],
                scale: widen16(blocks.map(|block| (*block).scale)),
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], header: &Header, step: usize) -> Weights<2> {
        let (half, part) = (step / 2, step % 2 * 2);
        // SAFETY: As the caller's; 32 bytes of low bits serve half a block, those of high bits all.
        unsafe {
            let low = interleave32(blocks.map(|block| (*block).low.as_ptr().add(32 * half)));
            let high = interleave32(blocks.map(|block| (*block).high.as_ptr()));
            let mut q = [low; 2];
            let mut scales = [[header.scale; 2]; 2];
            for (i, q) in q.iter_mut().enumerate() {
                // CAST: Below 8.
                let shift = _mm_cvtsi32_si128(2 * (part + i) as i32);
                let high_shift = _mm_cvtsi32_si128((4 * half + part + i) as i32);
                for (q, high) in q.iter_mut().zip(high) {
                    let low = _mm512_and_si512(_mm512_srl_epi16(*q, shift), _mm512_set1_epi8(3));
                    let bit = _mm512_srl_epi16(high, high_shift);
                    let bit = _mm512_and_si512(bit, _mm512_set1_epi8(1));
                    *q = _mm512_or_si512(low, _mm512_slli_epi16::<2>(bit));
                }
                for (j, scale) in scales[i].iter_mut().enumerate() {
                    let group = 2 * (part + i) + j;
                    let low = _mm_loadl_epi64(header.scales[0][half][group].as_ptr().cast());
                    let high = _mm_loadl_epi64(header.scales[1][half][group].as_ptr().cast());
                    let units = _mm512_cvtepi8_epi32(_mm_unpacklo_epi64(low, high));
                    *scale = _mm512_mul_ps(_mm512_cvtepi32_ps(units), header.scale);
                }
            }
            Weights {
                q,
                scales,
                minimums: [_mm512_setzero_ps(); 2],
                pairs: [_mm512_setzero_si512(); 2],
            }
        }
    }

    #[inline(always)]
    fn activations(_blocks: usize, block: usize, step: usize) -> [Group; 2] {
        [0, 1].map(|i| Q8x256::group(8 * block + 2 * step + i))
    }
}

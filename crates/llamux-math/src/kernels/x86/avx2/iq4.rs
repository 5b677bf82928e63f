// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `IQ4_NL` and `IQ4_XS` on YMM registers.
//!
//! The products of two pairs of values and activations are within 16 bits: 2 * 127 * 127.

use core::arch::x86_64::*;
use core::mem::size_of;

use super::quads::{self, both, Quad, Scales};
use super::rows::{Row, SPREAD16};
use super::tile::{nibbles, plain, twice, Tile, Weights, ROWS};
use super::vector::{load16, load16x2, load32, prefetch, sum, widen, widen8, AHEAD};
use crate::activation::{Group, Q16x32, Q8x256};
use crate::kernels::x86::avx2::transpose;
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

impl Row for IQ4XS {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dot(row: *const Self, x: *const u8, blocks: usize) -> f32 {
        // SAFETY: As the caller's; 32 bytes serve two groups.
        unsafe {
            let (table, mask) = (table(), _mm256_set1_epi8(15));
            let mut total = _mm256_setzero_ps();
            for i in 0..blocks {
                let (w, x) = (&*row.add(i), &*x.cast::<Q8x256>().add(i));
                prefetch(
                    row.add(i).cast::<u8>().wrapping_add(AHEAD),
                    size_of::<Self>(),
                );
                let scales = _mm_cvtsi64_si128(i64::from_le_bytes(w.scales().map(|s| s as u8)));
                let scales = _mm256_broadcastsi128_si256(_mm_cvtepi8_epi16(scales));
                let mut sums = _mm256_setzero_si256();
                for (pair, spread) in SPREAD16.iter().enumerate() {
                    let q = load32(w.q.as_ptr().add(32 * pair));
                    let x = x.q.as_ptr().add(64 * pair).cast::<u8>();
                    let scale = _mm256_shuffle_epi8(scales, load32(spread.as_ptr()));
                    let products = |q, x| {
                        let w = _mm256_shuffle_epi8(table, _mm256_and_si256(q, mask));
                        let x = _mm256_sign_epi8(x, w);
                        _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), x), scale)
                    };
                    let low = products(q, load16x2(x, x.add(32)));
                    let high = products(_mm256_srli_epi16::<4>(q), load16x2(x.add(16), x.add(48)));
                    sums = _mm256_add_epi32(sums, _mm256_add_epi32(low, high));
                }
                let scale = _mm256_set1_ps(widen(w.scale) * x.scale);
                total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, total);
            }
            sum(total)
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

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Matrix times one token, for floats and super-blocks: each row's dot product, reading the weights once and in order.

use core::arch::x86_64::*;
use core::mem::size_of;

use llamux_abi as abi;

use super::vector::{load16, load32, load_f16, prefetch, sum, widen, AHEAD};
use crate::activation::{Activations, Q8x256};
use crate::kernels::Units;
use crate::types::q4_k::unpack_groups;
use crate::types::{Block, BF16, F16, F32, Q4K, Q5K, Q6K};

/// A type whose rows can be multiplied.
pub(super) trait Row: Block {
    /// The product of a row of weights with a row of activations, both of so many blocks.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; both rows can be read.
    unsafe fn row_dot(row: *const Self, x: *const u8, blocks: usize) -> f32;
}

/// Multiplies rows `units` with each token.
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has AVX2; `B` is the operation's type.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn mat_mul<B: Row>(op: &abi::MatMul, units: Units) {
    let blocks = op.columns as usize / B::Activation::LEN;
    for row in units {
        for token in 0..op.tokens as usize {
            // SAFETY: The rows are within the matrix, the activations, the bias and the output.
            unsafe {
                let weights = op.weights.cast::<B>().add(row * blocks);
                let x = op.x.add(token * B::Activation::row_bytes(blocks));
                let out = op.out.add(token * op.out_stride as usize + row);
                let mut total = B::row_dot(weights, x, blocks);
                if !op.bias.is_null() {
                    total += *op.bias.add(row);
                }
                if op.accumulate != 0 {
                    total += *out;
                }
                *out = total;
            }
        }
    }
}

/// Repeats `i16` number `I` and `J` of the eight in each half: in its lower half and upper half.
static SPREAD: [[u8; 32]; 8] = spread_table();

const fn spread_table() -> [[u8; 32]; 8] {
    let mut table = [[0; 32]; 8];
    let mut i = 0;
    while i < 256 {
        // CAST: Below 16.
        table[i / 32][i % 32] = (i / 32 * 2 + i % 2) as u8;
        i += 1;
    }
    table
}

/// What `Q4_K` and `Q5_K` share: the group scales as `i16` in both halves, and the contribution of
/// the minimums.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn k_scales(groups: &[u8; 12], minimum: f32, x: &Q8x256) -> (__m256i, __m256) {
    let (scales, minimums) = unpack_groups(groups);
    // SAFETY: As the caller's.
    unsafe {
        let wide = |x: [u8; 8]| _mm_cvtsi64_si128(i64::from_le_bytes(x));
        let minimums = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(wide(minimums)));
        let minimums = _mm256_mul_ps(minimums, _mm256_loadu_ps(x.sums32.as_ptr()));
        let scales = _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(wide(scales)));
        (scales, _mm256_mul_ps(minimums, _mm256_set1_ps(minimum)))
    }
}

/// Products of 32 unsigned weights with the activations at `x`, times scale `group` of `scales`.
///
/// # Safety
///
/// The processor has AVX2; 32 bytes can be read; `group < 8`.
#[inline(always)]
unsafe fn scaled(w: __m256i, x: *const i8, scales: __m256i, group: usize) -> __m256i {
    // SAFETY: As the caller's.
    unsafe {
        let products = _mm256_maddubs_epi16(w, load32(x.cast()));
        let scale = _mm256_shuffle_epi8(scales, load32(SPREAD[group].as_ptr()));
        _mm256_madd_epi16(products, scale)
    }
}

impl Row for Q4K {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dot(row: *const Self, x: *const u8, blocks: usize) -> f32 {
        // SAFETY: As the caller's; two groups share 32 bytes.
        unsafe {
            let mask = _mm256_set1_epi8(15);
            let (mut total, mut offset) = (_mm256_setzero_ps(), _mm256_setzero_ps());
            for i in 0..blocks {
                let (w, x) = (&*row.add(i), &*x.cast::<Q8x256>().add(i));
                prefetch(
                    row.add(i).cast::<u8>().wrapping_add(AHEAD),
                    size_of::<Self>(),
                );
                let (scales, minimums) = k_scales(&w.groups, widen(w.minimum), x);
                offset = _mm256_add_ps(offset, minimums);
                let mut sums = _mm256_setzero_si256();
                for pair in 0..4 {
                    let q = load32(w.q.as_ptr().add(32 * pair));
                    let x = x.q.as_ptr().add(64 * pair);
                    let low = scaled(_mm256_and_si256(q, mask), x, scales, 2 * pair);
                    let q = _mm256_srli_epi16::<4>(q);
                    let high = _mm256_and_si256(q, mask);
                    let high = scaled(high, x.add(32), scales, 2 * pair + 1);
                    sums = _mm256_add_epi32(sums, _mm256_add_epi32(low, high));
                }
                let scale = _mm256_set1_ps(widen(w.scale) * x.scale);
                total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, total);
            }
            sum(_mm256_sub_ps(total, offset))
        }
    }
}

impl Row for Q5K {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dot(row: *const Self, x: *const u8, blocks: usize) -> f32 {
        // SAFETY: As the caller's; two groups share 32 bytes.
        unsafe {
            let (mask, bit) = (_mm256_set1_epi8(15), _mm256_set1_epi8(16));
            let (mut total, mut offset) = (_mm256_setzero_ps(), _mm256_setzero_ps());
            for i in 0..blocks {
                let (w, x) = (&*row.add(i), &*x.cast::<Q8x256>().add(i));
                prefetch(
                    row.add(i).cast::<u8>().wrapping_add(AHEAD),
                    size_of::<Self>(),
                );
                let (scales, minimums) = k_scales(&w.groups, widen(w.minimum), x);
                offset = _mm256_add_ps(offset, minimums);
                // The fifth bits, those of the group in turn brought to the bit of value 16.
                let high = load32(w.high.as_ptr());
                let first = _mm256_slli_epi16::<4>(high);
                let mut later = high;
                let mut sums = _mm256_setzero_si256();
                for pair in 0..4 {
                    let q = load32(w.q.as_ptr().add(32 * pair));
                    let x = x.q.as_ptr().add(64 * pair);
                    let bits = match pair {
                        0 => [first, _mm256_slli_epi16::<3>(high)],
                        1 => [_mm256_slli_epi16::<2>(high), _mm256_slli_epi16::<1>(high)],
                        _ => {
                            let bits = [later, _mm256_srli_epi16::<1>(later)];
                            later = _mm256_srli_epi16::<2>(later);
                            bits
                        }
                    };
                    let low =
                        _mm256_or_si256(_mm256_and_si256(q, mask), _mm256_and_si256(bits[0], bit));
                    let high = _mm256_or_si256(
                        _mm256_and_si256(_mm256_srli_epi16::<4>(q), mask),
                        _mm256_and_si256(bits[1], bit),
                    );
                    let low = scaled(low, x, scales, 2 * pair);
                    let high = scaled(high, x.add(32), scales, 2 * pair + 1);
                    sums = _mm256_add_epi32(sums, _mm256_add_epi32(low, high));
                }
                let scale = _mm256_set1_ps(widen(w.scale) * x.scale);
                total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, total);
            }
            sum(_mm256_sub_ps(total, offset))
        }
    }
}

impl Row for Q6K {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dot(row: *const Self, x: *const u8, blocks: usize) -> f32 {
        // SAFETY: As the caller's; 64 bytes serve half a block, 32 of the high bits do.
        unsafe {
            let (mask, bits) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x30));
            let mut total = _mm256_setzero_ps();
            for i in 0..blocks {
                let (w, x) = (&*row.add(i), &*x.cast::<Q8x256>().add(i));
                prefetch(
                    row.add(i).cast::<u8>().wrapping_add(AHEAD),
                    size_of::<Self>(),
                );
                let scales = _mm256_cvtepi8_epi16(load16(w.scales.as_ptr().cast()));
                // The weights are 32 less than their bits say.
                let offset = _mm256_madd_epi16(scales, load32(x.sums16.as_ptr().cast()));
                let mut sums = _mm256_slli_epi32::<5>(offset);
                sums = _mm256_sub_epi32(_mm256_setzero_si256(), sums);
                for half in 0..2 {
                    let low = w.low.as_ptr().add(64 * half);
                    let (a, b) = (load32(low), load32(low.add(32)));
                    let high = load32(w.high.as_ptr().add(32 * half));
                    let q = [
                        (a, _mm256_slli_epi16::<4>(high)),
                        (b, _mm256_slli_epi16::<2>(high)),
                        (_mm256_srli_epi16::<4>(a), high),
                        (_mm256_srli_epi16::<4>(b), _mm256_srli_epi16::<2>(high)),
                    ];
                    // Both halves hold the eight scales of this half of the block.
                    let scales = match half {
                        0 => _mm256_permute2x128_si256::<0x00>(scales, scales),
                        _ => _mm256_permute2x128_si256::<0x11>(scales, scales),
                    };
                    for (part, (low, high)) in q.into_iter().enumerate() {
                        let q = _mm256_or_si256(
                            _mm256_and_si256(low, mask),
                            _mm256_and_si256(high, bits),
                        );
                        let x = x.q.as_ptr().add(128 * half + 32 * part);
                        let products = _mm256_maddubs_epi16(q, load32(x.cast()));
                        let spread = load32(SPREAD16[part].as_ptr());
                        let scale = _mm256_shuffle_epi8(scales, spread);
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

/// Repeats `i16` number `2i` of the eight in the lower half, and number `2i + 1` in the upper.
pub(super) static SPREAD16: [[u8; 32]; 4] = spread16_table();

const fn spread16_table() -> [[u8; 32]; 4] {
    let mut table = [[0; 32]; 4];
    let mut i = 0;
    while i < 128 {
        // CAST: Below 16.
        table[i / 32][i % 32] = (i / 16 * 2 + i % 2) as u8;
        i += 1;
    }
    table
}

impl Row for F32 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dot(row: *const Self, x: *const u8, blocks: usize) -> f32 {
        let (row, x) = (row.cast::<f32>(), x.cast::<f32>());
        // SAFETY: As the caller's.
        unsafe {
            let load = |i| _mm256_loadu_ps(row.add(i));
            let rest = |i| row.add(i).read_unaligned();
            float_dot(load, rest, x, blocks)
        }
    }
}

impl Row for F16 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dot(row: *const Self, x: *const u8, blocks: usize) -> f32 {
        let (row, x) = (row.cast::<u16>(), x.cast::<f32>());
        // SAFETY: As the caller's.
        unsafe {
            let load = |i| load_f16(row.add(i));
            let rest = |i| widen(row.add(i).cast::<[u8; 2]>().read());
            float_dot(load, rest, x, blocks)
        }
    }
}

impl Row for BF16 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dot(row: *const Self, x: *const u8, blocks: usize) -> f32 {
        let (row, x) = (row.cast::<u16>(), x.cast::<f32>());
        // SAFETY: As the caller's.
        unsafe {
            let load = |i| {
                let upper = _mm256_cvtepu16_epi32(load16(row.add(i).cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(upper))
            };
            let rest = |i| f32::from_bits(u32::from(row.add(i).read_unaligned()) << 16);
            float_dot(load, rest, x, blocks)
        }
    }
}

/// The product of `len` floats with those that `load` (eight) and `rest` (one) give.
///
/// # Safety
///
/// The processor has AVX2; so many can be read.
#[inline(always)]
unsafe fn float_dot(
    load: impl Fn(usize) -> __m256,
    rest: impl Fn(usize) -> f32,
    x: *const f32,
    len: usize,
) -> f32 {
    // SAFETY: As the caller's.
    unsafe {
        let mut sums = [_mm256_setzero_ps(); 4];
        let mut i = 0;
        while i + 32 <= len {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let at = i + 8 * lane;
                *sum = _mm256_fmadd_ps(load(at), _mm256_loadu_ps(x.add(at)), *sum);
            }
            i += 32;
        }
        let total = _mm256_add_ps(
            _mm256_add_ps(sums[0], sums[1]),
            _mm256_add_ps(sums[2], sums[3]),
        );
        let mut total = sum(total);
        while i < len {
            total += rest(i) * *x.add(i);
            i += 1;
        }
        total
    }
}

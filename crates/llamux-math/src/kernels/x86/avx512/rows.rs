// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Matrix times one token, for the types with super-blocks: 64 weights a register.

use core::arch::x86_64::*;
use core::mem::size_of;

use llamux_abi as abi;

use crate::activation::{Activations, Q8x256};
use crate::kernels::x86::avx2::{prefetch, sum_lanes, widen, AHEAD};
use crate::kernels::Units;
use crate::types::q4_k::unpack_groups;
use crate::types::{Block, Q4K, Q5K, Q6K};

/// Running sums of a row.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    /// Of the products.
    pub(super) products: __m512,
    /// Of what the minimums contribute, to be subtracted.
    pub(super) minimums: __m256,
}

/// A type whose rows can be multiplied.
pub(super) trait Row: Block<Activation = Q8x256> {
    /// Adds the product of a block.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512 with VNNI.
    unsafe fn add(sums: Sums, block: &Self, x: &Q8x256) -> Sums;
}

/// Multiplies rows `units` with each token.
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has AVX-512 with VNNI; `B` is the operation's type.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn mat_mul<B: Row>(op: &abi::MatMul, units: Units) {
    let blocks = op.columns as usize / B::Activation::LEN;
    for row in units {
        for token in 0..op.tokens as usize {
            // SAFETY: The rows are within the matrix, the activations, the bias and the output. Asking
            // for memory beyond the matrix does nothing.
            unsafe {
                let weights = op.weights.cast::<B>().add(row * blocks);
                let x = op.x.cast::<Q8x256>().add(token * blocks);
                let mut sums = Sums {
                    products: _mm512_setzero_ps(),
                    minimums: _mm256_setzero_ps(),
                };
                for i in 0..blocks {
                    let ahead = weights.add(i).cast::<u8>().wrapping_add(AHEAD);
                    prefetch(ahead, size_of::<B>());
                    sums = B::add(sums, &*weights.add(i), &*x.add(i));
                }
                let low = _mm512_castps512_ps256(sums.products);
                let high = _mm512_extractf32x8_ps::<1>(sums.products);
                let total = _mm256_sub_ps(_mm256_add_ps(low, high), sums.minimums);
                let mut total = sum_lanes(total);
                let out = op.out.add(token * op.out_stride as usize + row);
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

/// 32 bytes at `x` and 32 at `x + 64`.
///
/// # Safety
///
/// The processor has AVX-512; they can be read.
#[inline(always)]
unsafe fn load32x2(x: *const i8) -> __m512i {
    // SAFETY: As the caller's.
    unsafe {
        let low = _mm512_castsi256_si512(_mm256_loadu_si256(x.cast()));
        _mm512_inserti64x4::<1>(low, _mm256_loadu_si256(x.add(64).cast()))
    }
}

/// 64 bytes.
///
/// # Safety
///
/// The processor has AVX-512; they can be read.
#[inline(always)]
pub(super) unsafe fn load64(x: *const u8) -> __m512i {
    // SAFETY: As the caller's.
    unsafe { _mm512_loadu_si512(x.cast()) }
}

/// `A` in the first half of the `i16` lanes, `B` in the last.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
pub(super) unsafe fn halves<const A: i16, const B: i16>() -> __m512i {
    // SAFETY: As the caller's.
    unsafe {
        let low = _mm512_castsi256_si512(_mm256_set1_epi16(A));
        _mm512_inserti64x4::<1>(low, _mm256_set1_epi16(B))
    }
}

/// The scale of a block times that of its activations, in all lanes.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
pub(super) unsafe fn scale(block: [u8; 2], x: &Q8x256) -> __m512 {
    // SAFETY: As the caller's.
    unsafe { _mm512_set1_ps(widen(block) * x.scale) }
}

/// What `Q4_K` and `Q5_K` share: the products of 64 weights in the order of their bytes, with those of
/// groups 0 and 2, 1 and 3, 4 and 6, 5 and 7 together.
///
/// # Safety
///
/// The processor has AVX-512 with VNNI.
#[inline(always)]
unsafe fn add_k(
    sums: Sums,
    scales: ([u8; 2], [u8; 2], &[u8; 12]),
    q: [__m512i; 4],
    x: &Q8x256,
) -> Sums {
    let (block_scale, block_minimum, groups) = scales;
    let (scales, minimums) = unpack_groups(groups);
    // SAFETY: As the caller's; the activations of two groups, 64 apart, are within the 256.
    unsafe {
        let wide = |x: [u8; 8]| _mm_cvtsi64_si128(i64::from_le_bytes(x));
        let minimum = _mm256_set1_ps(widen(block_minimum));
        let minimums = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(wide(minimums)));
        let minimums = _mm256_mul_ps(minimums, _mm256_loadu_ps(x.sums32.as_ptr()));

        let scales = _mm512_castsi128_si512(_mm_cvtepu8_epi16(wide(scales)));
        let at = x.q.as_ptr();
        let at = [at, at.add(32), at.add(128), at.add(160)];
        let spread = [
            halves::<0, 2>(),
            halves::<1, 3>(),
            halves::<4, 6>(),
            halves::<5, 7>(),
        ];
        let mut units = [_mm512_setzero_si512(); 2];
        for i in 0..4 {
            let products = _mm512_maddubs_epi16(q[i], load32x2(at[i]));
            let scales = _mm512_permutexvar_epi16(spread[i], scales);
            units[i % 2] = _mm512_dpwssd_epi32(units[i % 2], products, scales);
        }
        let units = _mm512_cvtepi32_ps(_mm512_add_epi32(units[0], units[1]));
        Sums {
            products: _mm512_fmadd_ps(units, scale(block_scale, x), sums.products),
            minimums: _mm256_fmadd_ps(minimums, minimum, sums.minimums),
        }
    }
}

impl Row for Q4K {
    #[inline(always)]
    unsafe fn add(sums: Sums, block: &Self, x: &Q8x256) -> Sums {
        // SAFETY: As the caller's; there are 128 bytes.
        unsafe {
            let mask = _mm512_set1_epi8(15);
            let (a, b) = (load64(block.q.as_ptr()), load64(block.q.as_ptr().add(64)));
            let q = [
                _mm512_and_si512(a, mask),
                _mm512_and_si512(_mm512_srli_epi16::<4>(a), mask),
                _mm512_and_si512(b, mask),
                _mm512_and_si512(_mm512_srli_epi16::<4>(b), mask),
            ];
            add_k(sums, (block.scale, block.minimum, &block.groups), q, x)
        }
    }
}

impl Row for Q5K {
    #[inline(always)]
    unsafe fn add(sums: Sums, block: &Self, x: &Q8x256) -> Sums {
        // SAFETY: As the caller's; there are 128 bytes, and 32 of fifth bits.
        unsafe {
            let (mask, bit) = (_mm512_set1_epi8(15), _mm512_set1_epi8(16));
            let (a, b) = (load64(block.q.as_ptr()), load64(block.q.as_ptr().add(64)));
            let fifth = _mm512_broadcast_i64x4(_mm256_loadu_si256(block.high.as_ptr().cast()));
            // (low & 15) | (fifth & 16)
            let with = |low: __m512i, fifth: __m512i| {
                _mm512_or_si512(_mm512_and_si512(low, mask), _mm512_and_si512(fifth, bit))
            };
            let q = [
                with(a, _mm512_sllv_epi16(fifth, halves::<4, 2>())),
                with(
                    _mm512_srli_epi16::<4>(a),
                    _mm512_sllv_epi16(fifth, halves::<3, 1>()),
                ),
                with(b, _mm512_srlv_epi16(fifth, halves::<0, 2>())),
                with(
                    _mm512_srli_epi16::<4>(b),
                    _mm512_srlv_epi16(fifth, halves::<1, 3>()),
                ),
            ];
            add_k(sums, (block.scale, block.minimum, &block.groups), q, x)
        }
    }
}

impl Row for Q6K {
    #[inline(always)]
    unsafe fn add(sums: Sums, block: &Self, x: &Q8x256) -> Sums {
        // SAFETY: As the caller's; 64 bytes serve half a block, 32 of the high bits do.
        unsafe {
            let (mask, bits) = (_mm512_set1_epi8(15), _mm512_set1_epi8(0x30));
            let scales = _mm256_cvtepi8_epi16(_mm_loadu_si128(block.scales.as_ptr().cast()));
            // The weights are 32 less than their bits say.
            let offset = _mm256_slli_epi16::<5>(scales);
            let sums16 = _mm256_loadu_si256(x.sums16.as_ptr().cast());
            let offset = _mm512_zextsi256_si512(_mm256_madd_epi16(offset, sums16));
            let scales = _mm512_castsi256_si512(scales);
            let mut units = [_mm512_setzero_si512(); 2];
            for half in 0..2 {
                let low = load64(block.low.as_ptr().add(64 * half));
                let high = _mm256_loadu_si256(block.high.as_ptr().add(32 * half).cast());
                let high = _mm512_broadcast_i64x4(high);
                let q = [
                    (low, _mm512_sllv_epi16(high, halves::<4, 2>())),
                    (
                        _mm512_srli_epi16::<4>(low),
                        _mm512_srlv_epi16(high, halves::<0, 2>()),
                    ),
                ];
                for (part, (low, high)) in q.into_iter().enumerate() {
                    let q =
                        _mm512_or_si512(_mm512_and_si512(low, mask), _mm512_and_si512(high, bits));
                    let at = x.q.as_ptr().add(128 * half + 64 * part);
                    let products = _mm512_maddubs_epi16(q, load64(at.cast()));
                    let scales = _mm512_permutexvar_epi16(quarters(8 * half + 4 * part), scales);
                    units[part] = _mm512_dpwssd_epi32(units[part], products, scales);
                }
            }
            let units = _mm512_sub_epi32(_mm512_add_epi32(units[0], units[1]), offset);
            let products = _mm512_fmadd_ps(
                _mm512_cvtepi32_ps(units),
                scale(block.scale, x),
                sums.products,
            );
            Sums { products, ..sums }
        }
    }
}

/// `first`, `first + 1`, `first + 2` and `first + 3`, each in a quarter of the `i16` lanes.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
pub(super) unsafe fn quarters(first: usize) -> __m512i {
    // SAFETY: As the caller's.
    unsafe {
        // CAST: At most 12.
        let first = _mm512_set1_epi16(first as i16);
        let steps = _mm512_setr_epi64(
            0,
            0,
            0x0001_0001_0001_0001,
            0x0001_0001_0001_0001,
            0x0002_0002_0002_0002,
            0x0002_0002_0002_0002,
            0x0003_0003_0003_0003,
            0x0003_0003_0003_0003,
        );
        _mm512_add_epi16(first, steps)
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Matrix times a few tokens, for the types with super-blocks: 64 weights a register.
//!
//! A block is unpacked once, and multiplied with up to [`TOKENS`] tokens, for each of which the sums are
//! added in the same order however many there are.

use core::arch::x86_64::*;
use core::mem::size_of;

use llamux_abi as abi;

use super::Set;
use crate::activation::{Activations, Q8x256};
pub(super) use crate::kernels::x86::avx2::Minimums;
use crate::kernels::x86::avx2::{prefetch, sum_lanes, widen, AHEAD};
use crate::kernels::x86::shares;
use crate::kernels::Units;
use crate::types::q4_k::unpack_groups;
use crate::types::{Block, Q4K, Q5K, Q6K};

/// Most tokens that a block is multiplied with once it is unpacked: their sums are in registers.
const TOKENS: usize = 4;

/// A block, unpacked.
pub(super) struct Weights {
    /// 64 weights each as unsigned bytes, in the order of the activations.
    pub(super) q: [__m512i; 4],
    /// Which of them are negative.
    pub(super) negative: Option<[__mmask64; 4]>,
    /// What the sums of two products are multiplied by, as `i16`.
    pub(super) scales: [__m512i; 4],
    /// What one unit of the result is worth, but for the activations' scale.
    pub(super) scale: f32,
    /// What is to be subtracted.
    pub(super) minimums: Minimums,
}

/// A type whose rows can be multiplied.
pub(super) trait Row: Block<Activation = Q8x256> {
    /// Unpacks a block.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512.
    unsafe fn unpack(&self) -> Weights;
}

/// Multiplies rows `units` with each token.
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has `S`; `B` is the operation's type.
#[inline(always)]
pub(super) unsafe fn mat_mul<S: Set, B: Row>(op: &abi::MatMul, units: Units) {
    for row in units {
        for (token, count) in shares(op.tokens as usize, TOKENS) {
            // SAFETY: As the caller's; the tokens are the operation's.
            unsafe {
                match count {
                    1 => multiply::<1, S, B>(op, row, token),
                    2 => multiply::<2, S, B>(op, row, token),
                    3 => multiply::<3, S, B>(op, row, token),
                    _ => multiply::<TOKENS, S, B>(op, row, token),
                }
            }
        }
    }
}

/// Multiplies a row with `N` tokens.
///
/// # Safety
///
/// As [`mat_mul`]; the row is one of the matrix, and there are so many tokens from this one on.
#[inline(always)]
unsafe fn multiply<const N: usize, S: Set, B: Row>(op: &abi::MatMul, row: usize, token: usize) {
    let blocks = op.columns as usize / B::Activation::LEN;
    // SAFETY: The row is within the matrix, the tokens within the activations and the output, each with
    // an element for the row, as the bias has. Asking for memory beyond the matrix does nothing.
    unsafe {
        let weights = op.weights.cast::<B>().add(row * blocks);
        let x = op.x.cast::<Q8x256>().add(token * blocks);
        let mut sums = [_mm512_setzero_ps(); N];
        for i in 0..blocks {
            let block = weights.add(i);
            prefetch(block.cast::<u8>().wrapping_add(AHEAD), size_of::<B>());
            let block = (*block).unpack();
            for (token, sum) in sums.iter_mut().enumerate() {
                *sum = block.add::<S>(*sum, &*x.add(token * blocks + i));
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            let low = _mm512_castps512_ps256(*sum);
            let high = _mm512_extractf32x8_ps::<1>(*sum);
            let mut total = sum_lanes(_mm256_add_ps(low, high));
            let out = op.out.add((token + i) * op.out_stride as usize + row);
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

impl Weights {
    /// Adds the product with as many activations.
    ///
    /// # Safety
    ///
    /// The processor has `S`.
    #[inline(always)]
    unsafe fn add<S: Set>(&self, sum: __m512, x: &Q8x256) -> __m512 {
        // SAFETY: As the caller's; there are 256 activations and their sums.
        unsafe {
            let sums16 = _mm256_loadu_si256(x.sums16.as_ptr().cast());
            let mut units = [_mm512_setzero_si512(); 2];
            if let Minimums::Units(minimums) = self.minimums {
                units[1] = _mm512_zextsi256_si512(_mm256_madd_epi16(minimums, sums16));
            }
            for i in 0..4 {
                let mut x = load64(x.q.as_ptr().add(64 * i).cast());
                if let Some(negative) = self.negative {
                    x = _mm512_mask_sub_epi8(x, negative[i], _mm512_setzero_si512(), x);
                }
                let products = _mm512_maddubs_epi16(self.q[i], x);
                units[i % 2] = S::words(units[i % 2], products, self.scales[i]);
            }
            let units = _mm512_cvtepi32_ps(_mm512_add_epi32(units[0], units[1]));
            let scale = _mm512_set1_ps(self.scale * x.scale);
            let sum = _mm512_fmadd_ps(units, scale, sum);
            // Their upper lanes subtract zero.
            let (minimums, units) = match self.minimums {
                Minimums::None | Minimums::Units(_) => return sum,
                Minimums::Floats(minimums) => (minimums, _mm256_loadu_ps(x.sums32.as_ptr())),
                Minimums::Scaled(minimums, worth) => {
                    let units = _mm256_madd_epi16(minimums, sums16);
                    (_mm256_set1_ps(worth * x.scale), _mm256_cvtepi32_ps(units))
                }
            };
            let (minimums, units) = (
                _mm512_zextps256_ps512(minimums),
                _mm512_zextps256_ps512(units),
            );
            _mm512_fnmadd_ps(minimums, units, sum)
        }
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

/// What `Q4_K` and `Q5_K` share: all but the weights themselves.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
unsafe fn unpack_k(
    q: [__m512i; 4],
    (scale, minimum): ([u8; 2], [u8; 2]),
    groups: &[u8; 12],
) -> Weights {
    let (scales, minimums) = unpack_groups(groups);
    // SAFETY: As the caller's.
    unsafe {
        let wide = |x: [u8; 8]| _mm_cvtsi64_si128(i64::from_le_bytes(x));
        let minimums = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(wide(minimums)));
        let minimum = _mm256_set1_ps(widen(minimum));
        Weights {
            q,
            negative: None,
            scales: spread32(_mm_cvtepu8_epi16(wide(scales))),
            scale: widen(scale),
            minimums: Minimums::Floats(_mm256_mul_ps(minimums, minimum)),
        }
    }
}

/// 32 bytes, twice: as they are, and shifted to the right by 4.
///
/// # Safety
///
/// The processor has AVX-512; they can be read.
#[inline(always)]
unsafe fn nibbles(at: *const u8) -> __m512i {
    // SAFETY: As the caller's.
    unsafe { _mm512_srlv_epi16(load32x2(at), halves::<0, 4>()) }
}

/// 32 bytes, twice.
///
/// # Safety
///
/// The processor has AVX-512; they can be read.
#[inline(always)]
pub(super) unsafe fn load32x2(at: *const u8) -> __m512i {
    // SAFETY: As the caller's.
    unsafe { _mm512_broadcast_i64x4(_mm256_loadu_si256(at.cast())) }
}

impl Row for Q4K {
    #[inline(always)]
    unsafe fn unpack(&self) -> Weights {
        // SAFETY: As the caller's; there are 128 bytes, of which 32 serve two groups.
        unsafe {
            let mask = _mm512_set1_epi8(15);
            let mut q = [mask; 4];
            for (i, q) in q.iter_mut().enumerate() {
                *q = _mm512_and_si512(nibbles(self.q.as_ptr().add(32 * i)), mask);
            }
            unpack_k(q, (self.scale, self.minimum), &self.groups)
        }
    }
}

impl Row for Q5K {
    #[inline(always)]
    unsafe fn unpack(&self) -> Weights {
        // SAFETY: As the caller's; there are 128 bytes, of which 32 serve two groups, and 32 of fifth
        // bits, which serve all.
        unsafe {
            let (mask, bit) = (_mm512_set1_epi8(15), _mm512_set1_epi8(16));
            let fifth = load32x2(self.high.as_ptr());
            // Those of two groups, brought to the bit of value 16.
            let mut q = [
                _mm512_sllv_epi16(fifth, halves::<4, 3>()),
                _mm512_sllv_epi16(fifth, halves::<2, 1>()),
                _mm512_srlv_epi16(fifth, halves::<0, 1>()),
                _mm512_srlv_epi16(fifth, halves::<2, 3>()),
            ];
            for (i, q) in q.iter_mut().enumerate() {
                let low = _mm512_and_si512(nibbles(self.q.as_ptr().add(32 * i)), mask);
                *q = _mm512_or_si512(low, _mm512_and_si512(*q, bit));
            }
            unpack_k(q, (self.scale, self.minimum), &self.groups)
        }
    }
}

impl Row for Q6K {
    #[inline(always)]
    unsafe fn unpack(&self) -> Weights {
        // SAFETY: As the caller's; 64 bytes serve half a block, 32 of the high bits do.
        unsafe {
            let (mask, bits) = (_mm512_set1_epi8(15), _mm512_set1_epi8(0x30));
            let mut q = [mask; 4];
            for half in 0..2 {
                let low = load64(self.low.as_ptr().add(64 * half));
                let high = load32x2(self.high.as_ptr().add(32 * half));
                let parts = [
                    (low, _mm512_sllv_epi16(high, halves::<4, 2>())),
                    (
                        _mm512_srli_epi16::<4>(low),
                        _mm512_srlv_epi16(high, halves::<0, 2>()),
                    ),
                ];
                for (part, (low, high)) in parts.into_iter().enumerate() {
                    q[2 * half + part] =
                        _mm512_or_si512(_mm512_and_si512(low, mask), _mm512_and_si512(high, bits));
                }
            }
            let scales = _mm256_cvtepi8_epi16(_mm_loadu_si128(self.scales.as_ptr().cast()));
            // The weights are 32 less than their bits say.
            let minimums = _mm256_slli_epi16::<5>(scales);
            Weights {
                q,
                negative: None,
                scales: spread16(scales),
                scale: widen(self.scale),
                minimums: Minimums::Units(_mm256_sub_epi16(_mm256_setzero_si256(), minimums)),
            }
        }
    }
}

/// The scales of groups of 32 for each two of their products.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
pub(super) unsafe fn spread32(scales: __m128i) -> [__m512i; 4] {
    // SAFETY: As the caller's.
    unsafe {
        let scales = _mm512_castsi128_si512(scales);
        [
            _mm512_permutexvar_epi16(halves::<0, 1>(), scales),
            _mm512_permutexvar_epi16(halves::<2, 3>(), scales),
            _mm512_permutexvar_epi16(halves::<4, 5>(), scales),
            _mm512_permutexvar_epi16(halves::<6, 7>(), scales),
        ]
    }
}

/// The scales of groups of 16 for each two of their products.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
pub(super) unsafe fn spread16(scales: __m256i) -> [__m512i; 4] {
    // SAFETY: As the caller's.
    unsafe {
        let scales = _mm512_castsi256_si512(scales);
        [
            _mm512_permutexvar_epi16(quarters(0), scales),
            _mm512_permutexvar_epi16(quarters(4), scales),
            _mm512_permutexvar_epi16(quarters(8), scales),
            _mm512_permutexvar_epi16(quarters(12), scales),
        ]
    }
}

/// `first`, `first + 1`, `first + 2` and `first + 3`, each in a quarter of the `i16` lanes.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
unsafe fn quarters(first: usize) -> __m512i {
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

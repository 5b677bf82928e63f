// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Matrix times a few tokens, for floats and super-blocks: each row's dot products, reading the weights
//! once and in order.
//!
//! What is unpacked of a super-block is multiplied with up to [`TOKENS`] tokens, for each of which the sums
//! are added in the same order however many there are.

use core::arch::x86_64::*;
use core::mem::size_of;

use llamux_abi as abi;

use super::vector::{load16, load32, load_f16, prefetch, sum, widen, AHEAD};
use crate::activation::{Activations, Q8x256};
use crate::kernels::x86::shares;
use crate::kernels::Units;
use crate::types::q4_k::unpack_groups;
use crate::types::{Block, BF16, F16, F32, Q4K, Q5K, Q6K};

/// Most tokens at a time.
const TOKENS: usize = 4;

/// A type whose rows can be multiplied.
pub(super) trait Row: Block {
    /// The products of a row of weights with `N` rows of activations, all of so many blocks.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; the rows can be read.
    unsafe fn row_dots<const N: usize>(row: *const Self, x: *const u8, blocks: usize) -> [f32; N];
}

/// Multiplies rows `units` with each token.
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has AVX2; `B` is the operation's type.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn mat_mul<B: Row>(op: &abi::MatMul, units: Units) {
    for row in units {
        for (token, count) in shares(op.tokens as usize, TOKENS) {
            // SAFETY: As the caller's; the tokens are the operation's.
            unsafe {
                match count {
                    1 => multiply::<1, B>(op, row, token),
                    2 => multiply::<2, B>(op, row, token),
                    3 => multiply::<3, B>(op, row, token),
                    _ => multiply::<TOKENS, B>(op, row, token),
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
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply<const N: usize, B: Row>(op: &abi::MatMul, row: usize, token: usize) {
    let blocks = op.columns as usize / B::Activation::LEN;
    // SAFETY: The row is within the matrix, the tokens within the activations and the output, each with
    // an element for the row, as the bias has.
    unsafe {
        let weights = op.weights.cast::<B>().add(row * blocks);
        let x = op.x.add(token * B::Activation::row_bytes(blocks));
        let totals = B::row_dots::<N>(weights, x, blocks);
        for (i, total) in totals.into_iter().enumerate() {
            let mut total = total;
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

/// What the groups of a super-block share.
pub(super) struct Header {
    /// The scales of the first and of the last four groups of 32, as `i16` in both halves: those of all
    /// eight groups, or of the eight halves of these four.
    pub(super) scales: [__m256i; 2],
    /// What one unit is worth, but for the activations' scale.
    pub(super) scale: f32,
    /// What is to be subtracted.
    pub(super) minimums: Minimums,
}

/// What a super-block subtracts.
pub(in crate::kernels::x86) enum Minimums {
    /// Nothing.
    None,
    /// So much for each unit of the activations' sums of 32.
    Floats(__m256),
    /// The negative of so many units, as `i16`, times the activations' sums of 16.
    Units(__m256i),
    /// So many units of their own, as `i16`, times the activations' sums of 16; and what they are worth.
    Scaled(__m256i, f32),
}

/// A type with super-blocks.
pub(super) trait Super: Block<Activation = Q8x256> {
    /// Whether the halves of a group of 32 have scales of their own.
    const HALVES: bool;
    /// Whether the weights are signed.
    const SIGNED: bool = false;

    /// Unpacks what the groups share.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    unsafe fn header(&self) -> Header;

    /// Unpacks group `G` of 32 weights.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; `G < 8`.
    unsafe fn group<const G: usize>(&self) -> __m256i;
}

impl<B: Super> Row for B {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dots<const N: usize>(row: *const Self, x: *const u8, blocks: usize) -> [f32; N] {
        // SAFETY: As the caller's.
        unsafe {
            let x = x.cast::<Q8x256>();
            let mut totals = [_mm256_setzero_ps(); N];
            for i in 0..blocks {
                let at = row.add(i);
                prefetch(at.cast::<u8>().wrapping_add(AHEAD), size_of::<Self>());
                let (block, x, stride) = (&*at, x.add(i), blocks);
                let header = block.header();
                let mut sums = [_mm256_setzero_si256(); N];
                if let Minimums::Units(minimums) = header.minimums {
                    for (token, sum) in sums.iter_mut().enumerate() {
                        let sums16 = load32((*x.add(token * stride)).sums16.as_ptr().cast());
                        *sum = _mm256_madd_epi16(minimums, sums16);
                    }
                }
                add_group::<0, N, B>(&mut sums, block, &header, x, stride);
                add_group::<1, N, B>(&mut sums, block, &header, x, stride);
                add_group::<2, N, B>(&mut sums, block, &header, x, stride);
                add_group::<3, N, B>(&mut sums, block, &header, x, stride);
                add_group::<4, N, B>(&mut sums, block, &header, x, stride);
                add_group::<5, N, B>(&mut sums, block, &header, x, stride);
                add_group::<6, N, B>(&mut sums, block, &header, x, stride);
                add_group::<7, N, B>(&mut sums, block, &header, x, stride);
                for (token, total) in totals.iter_mut().enumerate() {
                    let x = &*x.add(token * stride);
                    let scale = _mm256_set1_ps(header.scale * x.scale);
                    *total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[token]), scale, *total);
                    let (minimums, units) = match header.minimums {
                        Minimums::None | Minimums::Units(_) => continue,
                        Minimums::Floats(minimums) => {
                            (minimums, _mm256_loadu_ps(x.sums32.as_ptr()))
                        }
                        Minimums::Scaled(minimums, worth) => {
                            let sums16 = load32(x.sums16.as_ptr().cast());
                            let units = _mm256_madd_epi16(minimums, sums16);
                            (_mm256_set1_ps(worth * x.scale), _mm256_cvtepi32_ps(units))
                        }
                    };
                    *total = _mm256_fnmadd_ps(minimums, units, *total);
                }
            }
            let mut products = [0.0; N];
            for (product, total) in products.iter_mut().zip(totals) {
                *product = sum(total);
            }
            products
        }
    }
}

/// Adds the products of group `G` with the activations of each token, which are `stride` blocks apart.
///
/// # Safety
///
/// The processor has AVX2; the activations can be read; `G < 8`.
#[inline(always)]
unsafe fn add_group<const G: usize, const N: usize, B: Super>(
    sums: &mut [__m256i; N],
    block: &B,
    header: &Header,
    x: *const Q8x256,
    stride: usize,
) {
    // SAFETY: As the caller's; a group has 32 activations.
    unsafe {
        let q = block.group::<G>();
        let spread = if B::HALVES {
            &SPREAD16[G % 4]
        } else {
            &SPREAD[G]
        };
        let scale = _mm256_shuffle_epi8(header.scales[G / 4], load32(spread.as_ptr()));
        for (token, sum) in sums.iter_mut().enumerate() {
            let x = load32((*x.add(token * stride)).q.as_ptr().add(32 * G).cast());
            let products = if B::SIGNED {
                _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(x, q))
            } else {
                _mm256_maddubs_epi16(q, x)
            };
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, scale));
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

/// What `Q4_K` and `Q5_K` share: all but the weights.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn k_header(scale: [u8; 2], minimum: [u8; 2], groups: &[u8; 12]) -> Header {
    let (scales, minimums) = unpack_groups(groups);
    // SAFETY: As the caller's.
    unsafe {
        let wide = |x: [u8; 8]| _mm_cvtsi64_si128(i64::from_le_bytes(x));
        let minimums = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(wide(minimums)));
        let minimum = _mm256_set1_ps(widen(minimum));
        Header {
            scales: [_mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(wide(scales))); 2],
            scale: widen(scale),
            minimums: Minimums::Floats(_mm256_mul_ps(minimums, minimum)),
        }
    }
}

/// The scales of 16 groups of 16, in both halves.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn scales16(scales: __m256i) -> [__m256i; 2] {
    // SAFETY: As the caller's.
    unsafe {
        [
            _mm256_permute2x128_si256::<0x00>(scales, scales),
            _mm256_permute2x128_si256::<0x11>(scales, scales),
        ]
    }
}

/// Each 16 bits of `x` shifted to the left, or to the right if `by` is negative; by a number that the
/// compiler knows.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn shift(x: __m256i, by: i32) -> __m256i {
    // SAFETY: As the caller's.
    unsafe {
        match by {
            0.. => _mm256_sll_epi16(x, _mm_cvtsi32_si128(by)),
            _ => _mm256_srl_epi16(x, _mm_cvtsi32_si128(-by)),
        }
    }
}

impl Super for Q4K {
    const HALVES: bool = false;

    #[inline(always)]
    unsafe fn header(&self) -> Header {
        // SAFETY: As the caller's.
        unsafe { k_header(self.scale, self.minimum, &self.groups) }
    }

    #[inline(always)]
    unsafe fn group<const G: usize>(&self) -> __m256i {
        // SAFETY: As the caller's; two groups share 32 bytes.
        unsafe {
            let q = load32(self.q.as_ptr().add(G / 2 * 32));
            let q = if G % 2 == 0 { q } else { shift(q, -4) };
            _mm256_and_si256(q, _mm256_set1_epi8(15))
        }
    }
}

impl Super for Q5K {
    const HALVES: bool = false;

    #[inline(always)]
    unsafe fn header(&self) -> Header {
        // SAFETY: As the caller's.
        unsafe { k_header(self.scale, self.minimum, &self.groups) }
    }

    #[inline(always)]
    unsafe fn group<const G: usize>(&self) -> __m256i {
        // SAFETY: As the caller's; two groups share 32 bytes, all groups those of the fifth bits.
        unsafe {
            let q = load32(self.q.as_ptr().add(G / 2 * 32));
            let q = if G % 2 == 0 { q } else { shift(q, -4) };
            // Brought to the bit of value 16.
            // CAST: Below 8.
            let fifth = shift(load32(self.high.as_ptr()), 4 - G as i32);
            _mm256_or_si256(
                _mm256_and_si256(q, _mm256_set1_epi8(15)),
                _mm256_and_si256(fifth, _mm256_set1_epi8(16)),
            )
        }
    }
}

impl Super for Q6K {
    const HALVES: bool = true;

    #[inline(always)]
    unsafe fn header(&self) -> Header {
        // SAFETY: As the caller's.
        unsafe {
            let scales = _mm256_cvtepi8_epi16(load16(self.scales.as_ptr().cast()));
            // The weights are 32 less than their bits say.
            let minimums = _mm256_slli_epi16::<5>(scales);
            Header {
                scales: scales16(scales),
                scale: widen(self.scale),
                minimums: Minimums::Units(_mm256_sub_epi16(_mm256_setzero_si256(), minimums)),
            }
        }
    }

    #[inline(always)]
    unsafe fn group<const G: usize>(&self) -> __m256i {
        // SAFETY: As the caller's; 64 bytes serve half a block, 32 of the high bits do.
        unsafe {
            let low = load32(self.low.as_ptr().add(G / 4 * 64 + G % 2 * 32));
            let low = if G % 4 < 2 { low } else { shift(low, -4) };
            // CAST: Below 4.
            let high = shift(
                load32(self.high.as_ptr().add(G / 4 * 32)),
                4 - 2 * (G % 4) as i32,
            );
            _mm256_or_si256(
                _mm256_and_si256(low, _mm256_set1_epi8(15)),
                _mm256_and_si256(high, _mm256_set1_epi8(0x30)),
            )
        }
    }
}

/// Repeats `i16` number `2i` of the eight in the lower half, and number `2i + 1` in the upper.
static SPREAD16: [[u8; 32]; 4] = spread16_table();

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
    unsafe fn row_dots<const N: usize>(row: *const Self, x: *const u8, blocks: usize) -> [f32; N] {
        let (row, x) = (row.cast::<f32>(), x.cast::<f32>());
        // SAFETY: As the caller's.
        unsafe {
            let load = |i| _mm256_loadu_ps(row.add(i));
            let rest = |i| row.add(i).read_unaligned();
            float_dots(load, rest, x, blocks)
        }
    }
}

impl Row for F16 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dots<const N: usize>(row: *const Self, x: *const u8, blocks: usize) -> [f32; N] {
        let (row, x) = (row.cast::<u16>(), x.cast::<f32>());
        // SAFETY: As the caller's.
        unsafe {
            let load = |i| load_f16(row.add(i));
            let rest = |i| widen(row.add(i).cast::<[u8; 2]>().read());
            float_dots(load, rest, x, blocks)
        }
    }
}

impl Row for BF16 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row_dots<const N: usize>(row: *const Self, x: *const u8, blocks: usize) -> [f32; N] {
        let (row, x) = (row.cast::<u16>(), x.cast::<f32>());
        // SAFETY: As the caller's.
        unsafe {
            let load = |i| {
                let upper = _mm256_cvtepu16_epi32(load16(row.add(i).cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(upper))
            };
            let rest = |i| f32::from_bits(u32::from(row.add(i).read_unaligned()) << 16);
            float_dots(load, rest, x, blocks)
        }
    }
}

/// The products of `len` floats that `load` (eight) and `rest` (one) give, with so many times `N`.
///
/// # Safety
///
/// The processor has AVX2; so many can be read.
#[inline(always)]
unsafe fn float_dots<const N: usize>(
    load: impl Fn(usize) -> __m256,
    rest: impl Fn(usize) -> f32,
    x: *const f32,
    len: usize,
) -> [f32; N] {
    let mut products = [0.0; N];
    for (token, product) in products.iter_mut().enumerate() {
        // SAFETY: As the caller's.
        unsafe {
            let x = x.add(token * len);
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
            *product = sum(total);
            while i < len {
                *product += rest(i) * *x.add(i);
                i += 1;
            }
        }
    }
    products
}

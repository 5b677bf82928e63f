// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Matrix times a few tokens, for the types with blocks of 32: four blocks at a time, and four rows, which
//! share what is read of the activations. What is unpacked of the weights serves up to [`TOKENS`] tokens,
//! for each of which the sums are added in the same order however many there are.

use core::arch::x86_64::*;
use core::mem::size_of;

use llamux_abi as abi;

use super::vector::{load16x2, load32, prefetch, AHEAD};
use crate::activation::{Activations, Planes, Q16x32, Q16x32Scale};
use crate::kernels::x86::shares;
use crate::kernels::Units;
use crate::types::{Block, Q4_0, Q4_1, Q8_0};

/// Rows at a time.
pub(in crate::kernels::x86) const ROWS: usize = 4;
/// Most tokens at a time.
pub(in crate::kernels::x86) const TOKENS: usize = 4;

/// Where a type has its scales.
pub(in crate::kernels::x86) trait Scales:
    Block<Activation = Q16x32>
{
    /// Scale and minimum of a block as 16-bit floats, or twice the scale.
    ///
    /// # Safety
    ///
    /// The block can be read.
    unsafe fn scales(block: *const Self) -> i32;
}

/// A type whose blocks can be multiplied.
pub(super) trait Quad: Scales {
    /// Whether the weights are signed.
    const SIGNED: bool = false;
    /// How often the second number of `scales` is added for each unit of the activations' sum.
    const MINIMUM: f32;

    /// The first and the second halves of two blocks, in bytes.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; the blocks can be read.
    unsafe fn weights(blocks: [*const Self; 2]) -> [__m256i; 2];
}

/// The scale of a type without minimums.
#[inline(always)]
pub(super) fn both(scale: [u8; 2]) -> i32 {
    i32::from_le_bytes([scale[0], scale[1], scale[0], scale[1]])
}

/// Multiplies rows `units` with each token.
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has AVX2; `B` is the operation's type.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn mat_mul<B: Quad>(op: &abi::MatMul, units: Units) {
    // SAFETY: As the caller's; `dot` is given rows of so many blocks.
    unsafe {
        by_rows(op, units, |rows, x, blocks, tokens| match tokens {
            1 => dot::<1, ROWS, B>(rows, x, blocks),
            2 => dot::<2, 2, B>(rows, x, blocks),
            3 => dot::<3, 1, B>(rows, x, blocks),
            _ => dot::<TOKENS, 1, B>(rows, x, blocks),
        });
    }
}

/// Calls `dot` with four rows of weights, some rows of activations, and the numbers of the blocks of each
/// and of the latter, for all rows `units` and the tokens, and writes what it returns. Where fewer than
/// four rows are left, the last one repeats.
///
/// # Safety
///
/// As [`mat_mul`].
#[inline(always)]
pub(in crate::kernels::x86) unsafe fn by_rows<B: Block>(
    op: &abi::MatMul,
    units: Units,
    dot: impl Fn([*const B; ROWS], *const u8, usize, usize) -> [__m128; TOKENS],
) {
    let blocks = op.columns as usize / Q16x32::LEN;
    let mut row = units.start;
    while row < units.end {
        let count = (units.end - row).min(ROWS);
        // SAFETY: The rows are within the matrix, the activations, the bias and the output.
        unsafe {
            let first = op.weights.cast::<B>().add(row * blocks);
            let rows = core::array::from_fn(|i| first.wrapping_add(i.min(count - 1) * blocks));
            // CAST: At most 4.
            let count = _mm_set1_epi32(count as i32);
            let lanes = _mm_cmpgt_epi32(count, _mm_setr_epi32(0, 1, 2, 3));
            for (token, count) in shares(op.tokens as usize, TOKENS) {
                let x = op.x.add(token * Q16x32::row_bytes(blocks));
                let totals = dot(rows, x, blocks, count);
                for (i, total) in totals.iter().take(count).enumerate() {
                    let mut total = *total;
                    let out = op.out.add((token + i) * op.out_stride as usize + row);
                    if !op.bias.is_null() {
                        total = _mm_add_ps(total, _mm_maskload_ps(op.bias.add(row), lanes));
                    }
                    if op.accumulate != 0 {
                        total = _mm_add_ps(total, _mm_maskload_ps(out, lanes));
                    }
                    _mm_maskstore_ps(out, lanes, total);
                }
            }
        }
        row += count;
    }
}

/// The products of four rows, `R` at a time, with `N` rows of activations, all of so many blocks.
///
/// # Safety
///
/// The processor has AVX2; the rows can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dot<const N: usize, const R: usize, B: Quad>(
    rows: [*const B; ROWS],
    x: *const u8,
    blocks: usize,
) -> [__m128; TOKENS] {
    // SAFETY: As the caller's; where fewer than four blocks are left, the last one repeats, and the
    // scales of its repetitions are zero.
    unsafe {
        let stride = Q16x32::row_bytes(blocks);
        let scales = Q16x32::scales(x.cast_mut(), blocks)
            .cast::<u8>()
            .cast_const();
        let minimums = minimum_lanes(B::MINIMUM);
        // (tokens, rows)
        let mut sums = [[_mm256_setzero_ps(); ROWS]; TOKENS];
        for first in (0..ROWS).step_by(R) {
            let mut totals = [[_mm256_setzero_ps(); N]; R];
            // The rows follow each other, so this is in the order of memory.
            let mut ahead = rows[first].cast::<u8>().wrapping_add(AHEAD);
            let mut i = 0;
            while i < blocks {
                prefetch(ahead, 4 * R * size_of::<B>());
                ahead = ahead.wrapping_add(4 * R * size_of::<B>());
                for (row, totals) in rows[first..].iter().zip(&mut totals) {
                    let at = four(*row, i, blocks);
                    let weights = [B::weights([at[0], at[1]]), B::weights([at[2], at[3]])];
                    let worth = _mm256_cvtph_ps(scales_of(at));
                    for (token, total) in totals.iter_mut().enumerate() {
                        let planes = x.add(token * stride + i / 4 * size_of::<Planes>());
                        let scales = scales.add(token * stride + i * size_of::<Q16x32Scale>());
                        let scales = _mm256_mul_ps(worth, _mm256_loadu_ps(scales.cast()));
                        // Neighbouring lanes of pairs of blocks, the second of which is in the upper
                        // half: blocks 0, 0, 2, 2, 1, 1, 3, 3.
                        let products = _mm256_hadd_epi32(
                            products::<B>(weights[0], planes),
                            products::<B>(weights[1], planes.add(32)),
                        );
                        let order = _mm256_setr_epi32(0, 0, 4, 4, 2, 2, 6, 6);
                        let spread = _mm256_permutevar8x32_ps(scales, order);
                        *total = _mm256_fmadd_ps(scales, minimums, *total);
                        *total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), spread, *total);
                    }
                }
                i += 4;
            }
            for (row, totals) in totals.iter().enumerate() {
                for (total, sums) in totals.iter().zip(&mut sums) {
                    sums[first + row] = *total;
                }
            }
        }
        let mut products = [_mm_setzero_ps(); TOKENS];
        for (product, sums) in products.iter_mut().zip(sums).take(N) {
            *product = add_up(sums);
        }
        products
    }
}

/// Blocks `i` to `i + 3` of a row of so many; the last one instead of those beyond.
#[inline(always)]
pub(in crate::kernels::x86) fn four<B>(row: *const B, i: usize, blocks: usize) -> [*const B; 4] {
    if i + 4 <= blocks {
        [0, 1, 2, 3].map(|at| row.wrapping_add(i + at))
    } else {
        [0, 1, 2, 3].map(|at| row.wrapping_add((i + at).min(blocks - 1)))
    }
}

/// The scales of four blocks.
///
/// # Safety
///
/// The processor has AVX2; the blocks can be read.
#[inline(always)]
pub(in crate::kernels::x86) unsafe fn scales_of<B: Scales>(blocks: [*const B; 4]) -> __m128i {
    // SAFETY: As the caller's.
    unsafe {
        let [a, b, c, d] = blocks.map(|block| B::scales(block));
        _mm_setr_epi32(a, b, c, d)
    }
}

/// The sums of the lanes of each of four rows.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
pub(in crate::kernels::x86) unsafe fn add_up(totals: [__m256; ROWS]) -> __m128 {
    // SAFETY: As the caller's.
    unsafe {
        let [a, b, c, d] = totals;
        let all = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
        _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps::<1>(all))
    }
}

/// `minimum` in the lanes in which [`scales_of`] has minimums, which are the odd ones.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
pub(in crate::kernels::x86) unsafe fn minimum_lanes(minimum: f32) -> __m256 {
    // SAFETY: As the caller's.
    unsafe { _mm256_blend_ps::<0xaa>(_mm256_setzero_ps(), _mm256_set1_ps(minimum)) }
}

/// Products of two blocks with their activations, the first half of which is at `planes`: four lanes of
/// each.
///
/// # Safety
///
/// The processor has AVX2; the activations can be read.
#[inline(always)]
unsafe fn products<B: Quad>(w: [__m256i; 2], planes: *const u8) -> __m256i {
    // SAFETY: As the caller's: the second halves and the low bytes are within the planes.
    unsafe {
        let x = |plane: usize, half: usize| load32(planes.add(128 * plane + 64 * half));
        if B::SIGNED {
            let magnitudes = w.map(|w| _mm256_abs_epi8(w));
            let product = |plane: usize, half: usize| {
                _mm256_maddubs_epi16(magnitudes[half], _mm256_sign_epi8(x(plane, half), w[half]))
            };
            let high = _mm256_set1_epi16(256);
            let high = _mm256_add_epi32(
                _mm256_madd_epi16(product(0, 0), high),
                _mm256_madd_epi16(product(0, 1), high),
            );
            let one = _mm256_set1_epi16(1);
            let low = _mm256_add_epi32(
                _mm256_madd_epi16(product(1, 0), one),
                _mm256_madd_epi16(product(1, 1), one),
            );
            _mm256_add_epi32(high, low)
        } else {
            let product = |plane: usize| {
                _mm256_add_epi16(
                    _mm256_maddubs_epi16(w[0], x(plane, 0)),
                    _mm256_maddubs_epi16(w[1], x(plane, 1)),
                )
            };
            _mm256_add_epi32(
                _mm256_madd_epi16(product(0), _mm256_set1_epi16(256)),
                _mm256_madd_epi16(product(1), _mm256_set1_epi16(1)),
            )
        }
    }
}

/// The halves of two blocks of 4-bit weights.
///
/// # Safety
///
/// The processor has AVX2; 16 bytes can be read at each pointer.
#[inline(always)]
pub(super) unsafe fn nibbles(at: [*const u8; 2]) -> [__m256i; 2] {
    // SAFETY: As the caller's.
    unsafe {
        let mask = _mm256_set1_epi8(15);
        let w = load16x2(at[0], at[1]);
        [
            _mm256_and_si256(w, mask),
            _mm256_and_si256(_mm256_srli_epi16::<4>(w), mask),
        ]
    }
}

impl Scales for Q4_0 {
    #[inline(always)]
    unsafe fn scales(block: *const Self) -> i32 {
        // SAFETY: As the caller's.
        both(unsafe { (*block).scale })
    }
}

impl Quad for Q4_0 {
    const MINIMUM: f32 = -8.0;

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 2]) -> [__m256i; 2] {
        // SAFETY: As the caller's.
        unsafe { nibbles(blocks.map(|block| (*block).q.as_ptr())) }
    }
}

impl Scales for Q4_1 {
    #[inline(always)]
    unsafe fn scales(block: *const Self) -> i32 {
        // SAFETY: As the caller's; the minimum follows the scale.
        unsafe { block.cast::<i32>().read_unaligned() }
    }
}

impl Quad for Q4_1 {
    const MINIMUM: f32 = 1.0;

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 2]) -> [__m256i; 2] {
        // SAFETY: As the caller's.
        unsafe { nibbles(blocks.map(|block| (*block).q.as_ptr())) }
    }
}

impl Scales for Q8_0 {
    #[inline(always)]
    unsafe fn scales(block: *const Self) -> i32 {
        // SAFETY: As the caller's.
        both(unsafe { (*block).scale })
    }
}

impl Quad for Q8_0 {
    const SIGNED: bool = true;
    const MINIMUM: f32 = 0.0;

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 2]) -> [__m256i; 2] {
        // SAFETY: As the caller's.
        unsafe {
            let [a, b] = blocks.map(|block| (*block).q.as_ptr().cast::<u8>());
            [load16x2(a, b), load16x2(a.add(16), b.add(16))]
        }
    }
}

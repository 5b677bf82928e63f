// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Matrix times one token, for the types with blocks of 32: as [`avx2::quads`](crate::kernels::x86::avx2),
//! with four blocks in two registers.

use core::arch::x86_64::*;
use core::mem::size_of;

use llamux_abi as abi;

use crate::activation::{Planes, Q16x32};
use crate::kernels::x86::avx2::{by_rows, four, hadd_rows, prefetch, scales_of, Scales, AHEAD};
use crate::kernels::Units;
use crate::types::{Q4_0, Q4_1, Q8_0};

/// A type whose blocks can be multiplied.
pub(super) trait Quad: Scales {
    /// How often the second number of `scales` is added for each unit of the activations' sum.
    const MINIMUM: f32;

    /// The first and the second halves of four blocks, in unsigned bytes.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512; the blocks can be read.
    unsafe fn weights(blocks: [*const Self; 4]) -> [__m512i; 2];
}

/// Multiplies rows `units` with each token.
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has AVX-512 with VNNI; `B` is the operation's type.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn mat_mul<B: Quad>(op: &abi::MatMul, units: Units) {
    // SAFETY: As the caller's; `dot` is given rows of so many blocks.
    unsafe { by_rows(op, units, |rows, x, blocks| dot::<B>(rows, x, blocks)) }
}

/// The products of four rows with a row of activations, all of so many blocks.
///
/// # Safety
///
/// The processor has AVX-512 with VNNI; the rows can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn dot<B: Quad>(rows: [*const B; 4], x: *const u8, blocks: usize) -> __m128 {
    // SAFETY: As the caller's; where fewer than four blocks are left, the last one repeats, and the
    // scales of its repetitions are zero.
    unsafe {
        let scales = Q16x32::scales(x.cast_mut(), blocks).cast::<f32>();
        let spread = _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6);
        let mut totals = [_mm512_setzero_ps(); 4];
        let mut sums = [_mm256_setzero_ps(); 4];
        let mut i = 0;
        while i < blocks {
            let planes = x.add(i / 4 * size_of::<Planes>());
            let x = [0, 64, 128, 192].map(|at| _mm512_loadu_si512(planes.add(at).cast()));
            let scales = _mm256_loadu_ps(scales.add(2 * i));
            for (row, (total, sum)) in rows.iter().zip(totals.iter_mut().zip(&mut sums)) {
                let at = four(*row, i, blocks);
                prefetch(at[0].cast::<u8>().wrapping_add(AHEAD), 4 * size_of::<B>());
                let scales = _mm256_mul_ps(_mm256_cvtph_ps(scales_of(at)), scales);
                let w = B::weights(at);
                let units = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w[0], x[0]);
                let units = _mm512_dpbusd_epi32(units, w[1], x[1]);
                let units = _mm512_slli_epi32::<8>(units);
                let units = _mm512_dpbusd_epi32(units, w[0], x[2]);
                let units = _mm512_dpbusd_epi32(units, w[1], x[3]);
                let spread = _mm512_permutexvar_ps(spread, _mm512_castps256_ps512(scales));
                *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(units), spread, *total);
                *sum = _mm256_add_ps(*sum, scales);
            }
            i += 4;
        }
        let totals = totals.map(|total| {
            let high = _mm512_extractf32x8_ps::<1>(total);
            _mm256_add_ps(_mm512_castps512_ps256(total), high)
        });
        hadd_rows(totals, sums, B::MINIMUM)
    }
}

/// 16 bytes at each of four pointers.
///
/// # Safety
///
/// The processor has AVX-512; they can be read.
#[inline(always)]
unsafe fn load16x4(at: [*const u8; 4]) -> __m512i {
    // SAFETY: As the caller's.
    unsafe {
        let [a, b, c, d] = at.map(|at| _mm_loadu_si128(at.cast()));
        let x = _mm512_castsi128_si512(a);
        let x = _mm512_inserti32x4::<1>(x, b);
        let x = _mm512_inserti32x4::<2>(x, c);
        _mm512_inserti32x4::<3>(x, d)
    }
}

/// The halves of four blocks of 4-bit weights.
///
/// # Safety
///
/// The processor has AVX-512; 16 bytes can be read at each pointer.
#[inline(always)]
unsafe fn nibbles(at: [*const u8; 4]) -> [__m512i; 2] {
    // SAFETY: As the caller's.
    unsafe {
        let mask = _mm512_set1_epi8(15);
        let w = load16x4(at);
        [
            _mm512_and_si512(w, mask),
            _mm512_and_si512(_mm512_srli_epi16::<4>(w), mask),
        ]
    }
}

impl Quad for Q4_0 {
    const MINIMUM: f32 = -8.0;

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 4]) -> [__m512i; 2] {
        // SAFETY: As the caller's.
        unsafe { nibbles(blocks.map(|block| (*block).q.as_ptr())) }
    }
}

impl Quad for Q4_1 {
    const MINIMUM: f32 = 1.0;

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 4]) -> [__m512i; 2] {
        // SAFETY: As the caller's.
        unsafe { nibbles(blocks.map(|block| (*block).q.as_ptr())) }
    }
}

impl Quad for Q8_0 {
    /// Unsigned by adding 128.
    const MINIMUM: f32 = -128.0;

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 4]) -> [__m512i; 2] {
        // SAFETY: As the caller's; a block has 32 bytes.
        unsafe {
            let at = blocks.map(|block| (*block).q.as_ptr().cast::<u8>());
            let flip = _mm512_set1_epi8(-128);
            [
                _mm512_xor_si512(load16x4(at), flip),
                _mm512_xor_si512(load16x4(at.map(|at| at.add(16))), flip),
            ]
        }
    }
}

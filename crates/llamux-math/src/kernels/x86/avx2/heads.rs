// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Attention on YMM registers.

use core::arch::x86_64::*;

use llamux_abi as abi;

use super::vector;
use crate::kernels::x86::heads::{self, Lanes};
use crate::kernels::{scalar, Units};

/// [`abi::Attention`].
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels::x86) unsafe fn attention(op: &abi::Attention, units: Units) {
    // SAFETY: As the caller's; a head is a number of whole registers.
    unsafe {
        if op.cache.head_dim as usize % __m256::LEN == 0 {
            heads::attention::<__m256, 2>(op, units);
        } else {
            (scalar::TABLE.attention)(op, units);
        }
    }
}

// SAFETY (of all functions): As the trait's.
impl Lanes for __m256 {
    const LEN: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm256_loadu_ps(at) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: As the caller's.
        unsafe { _mm256_storeu_ps(at, self) }
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u16) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.cast())) }
    }

    #[inline(always)]
    unsafe fn splat_f16(at: *const u16) -> Self {
        // SAFETY: As the caller's. CAST: The same bits.
        unsafe { _mm256_cvtph_ps(_mm_set1_epi16(*at as i16)) }
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const i8) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at.cast()))) }
    }

    #[inline(always)]
    unsafe fn fma(self, factor: Self, sum: Self) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm256_fmadd_ps(self, factor, sum) }
    }

    #[inline(always)]
    unsafe fn mul(self, factor: Self) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm256_mul_ps(self, factor) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm256_sub_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm256_max_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn exp(self) -> Self {
        // SAFETY: As the caller's.
        unsafe { vector::exp(self) }
    }

    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        // SAFETY: As the caller's.
        unsafe { vector::max(self) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: As the caller's.
        unsafe { vector::sum(self) }
    }
}

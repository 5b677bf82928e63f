// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Attention on ZMM registers.

use core::arch::x86_64::*;

use llamux_abi as abi;

use crate::kernels::x86::avx2;
use crate::kernels::x86::heads::{self, Lanes};
use crate::kernels::Units;

/// [`abi::Attention`].
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has AVX-512.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn attention(op: &abi::Attention, units: Units) {
    // SAFETY: As the caller's; a head is a number of whole registers.
    unsafe {
        if op.cache.head_dim as usize % __m512::LEN == 0 {
            heads::attention::<__m512, 4>(op, units);
        } else {
            (avx2::TABLE.attention)(op, units);
        }
    }
}

// SAFETY (of all functions): As the trait's.
impl Lanes for __m512 {
    const LEN: usize = 16;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm512_loadu_ps(at) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: As the caller's.
        unsafe { _mm512_storeu_ps(at, self) }
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u16) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) }
    }

    #[inline(always)]
    unsafe fn splat_f16(at: *const u16) -> Self {
        // SAFETY: As the caller's. CAST: The same bits.
        unsafe { _mm512_cvtph_ps(_mm256_set1_epi16(*at as i16)) }
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const i8) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at.cast()))) }
    }

    #[inline(always)]
    unsafe fn fma(self, factor: Self, sum: Self) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm512_fmadd_ps(self, factor, sum) }
    }

    #[inline(always)]
    unsafe fn mul(self, factor: Self) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm512_mul_ps(self, factor) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm512_sub_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: As the caller's.
        unsafe { _mm512_max_ps(self, other) }
    }

    /// As that of [`avx2`].
    #[inline(always)]
    unsafe fn exp(self) -> Self {
        // SAFETY: As the caller's.
        unsafe {
            let x = _mm512_max_ps(_mm512_set1_ps(-87.0), self);
            let k = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(
                _mm512_mul_ps(x, _mm512_set1_ps(core::f32::consts::LOG2_E)),
            );
            let r = _mm512_fnmadd_ps(k, _mm512_set1_ps(0.693_359_4), x);
            let r = _mm512_fnmadd_ps(k, _mm512_set1_ps(-2.121_944_4e-4), r);
            let mut sum = _mm512_set1_ps(1.0 / 5040.0);
            for inverse in [
                1.0 / 720.0,
                1.0 / 120.0,
                1.0 / 24.0,
                1.0 / 6.0,
                0.5,
                1.0,
                1.0,
            ] {
                sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(inverse));
            }
            let exponent = _mm512_slli_epi32::<23>(_mm512_cvtps_epi32(k));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(sum), exponent))
        }
    }

    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        // SAFETY: As the caller's.
        unsafe { _mm512_reduce_max_ps(self) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: As the caller's.
        unsafe { _mm512_reduce_add_ps(self) }
    }
}

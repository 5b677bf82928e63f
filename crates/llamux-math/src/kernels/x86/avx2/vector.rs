// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Small functions on YMM registers.

use core::arch::x86_64::*;

/// Sum of the lanes.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels::x86) unsafe fn sum(x: __m256) -> f32 {
    // SAFETY: As the caller's.
    unsafe {
        let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
    }
}

/// Largest of the lanes.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn max(x: __m256) -> f32 {
    // SAFETY: As the caller's.
    unsafe {
        let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
    }
}

/// Absolute values.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn abs(x: __m256) -> __m256 {
    // SAFETY: As the caller's.
    unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), x) }
}

/// `e^x` to 2e-7, with the argument bound to what gives a normal number: the method of
/// [`elementary::exp`](crate::elementary::exp), with a shorter series.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn exp(x: __m256) -> __m256 {
    // SAFETY: As the caller's.
    unsafe {
        let x = _mm256_min_ps(_mm256_set1_ps(88.0), x);
        let x = _mm256_max_ps(_mm256_set1_ps(-87.0), x);
        let k = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(
            _mm256_mul_ps(x, _mm256_set1_ps(core::f32::consts::LOG2_E)),
        );
        // ln 2 in two parts, the first of 9 bits.
        let r = _mm256_fnmadd_ps(k, _mm256_set1_ps(0.693_359_4), x);
        let r = _mm256_fnmadd_ps(k, _mm256_set1_ps(-2.121_944_4e-4), r);
        let mut sum = _mm256_set1_ps(1.0 / 5040.0);
        for inverse in [
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
            1.0,
            1.0,
        ] {
            sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(inverse));
        }
        let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(k));
        _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sum), exponent))
    }
}

/// Eight 32-bit integers at `at`, repeated in all lanes.
///
/// # Safety
///
/// The processor has AVX2; four bytes can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn repeat_i32(at: *const u8) -> __m256i {
    // SAFETY: As the caller's.
    unsafe { _mm256_set1_epi32(at.cast::<i32>().read_unaligned()) }
}

/// The float at `at`, repeated in all lanes.
///
/// # Safety
///
/// The processor has AVX2; four bytes can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn repeat_f32(at: *const u8) -> __m256 {
    // SAFETY: As the caller's.
    unsafe { _mm256_set1_ps(at.cast::<f32>().read_unaligned()) }
}

/// 16 bytes.
///
/// # Safety
///
/// The processor has AVX2; they can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn load16(at: *const u8) -> __m128i {
    // SAFETY: As the caller's.
    unsafe { _mm_loadu_si128(at.cast()) }
}

/// 32 bytes.
///
/// # Safety
///
/// The processor has AVX2; they can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn load32(at: *const u8) -> __m256i {
    // SAFETY: As the caller's.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

/// 16 bytes at `low` and 16 at `high`.
///
/// # Safety
///
/// The processor has AVX2; they can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn load16x2(low: *const u8, high: *const u8) -> __m256i {
    // SAFETY: As the caller's.
    unsafe { _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(load16(low)), load16(high)) }
}

/// Eight 16-bit floats, widened.
///
/// # Safety
///
/// The processor has F16C; 16 bytes can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn load_f16(at: *const u16) -> __m256 {
    // SAFETY: As the caller's.
    unsafe { _mm256_cvtph_ps(load16(at.cast())) }
}

/// A 16-bit float, widened.
///
/// # Safety
///
/// The processor has F16C.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels::x86) unsafe fn widen(bytes: [u8; 2]) -> f32 {
    // SAFETY: As the caller's.
    unsafe {
        _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(
            u16::from_le_bytes(bytes),
        ))))
    }
}

/// The 16-bit floats of eight rows, widened.
///
/// # Safety
///
/// The processor has F16C.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn widen8(halves: [[u8; 2]; 8]) -> __m256 {
    // SAFETY: As the caller's.
    unsafe { load_f16(halves.as_ptr().cast()) }
}

/// A mask of the first `count` lanes.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn first_lanes(count: usize) -> __m256i {
    // SAFETY: As the caller's.
    unsafe {
        // CAST: At most 8 matters.
        let count = _mm256_set1_epi32(count.min(8) as i32);
        _mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    }
}

/// How many bytes ahead of their use the weights of a row are asked for: about as many as the memory
/// can have under way.
pub(in crate::kernels::x86) const AHEAD: usize = 4096;

/// Asks for `len` bytes at `at`, which need not be there.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
pub(in crate::kernels::x86) unsafe fn prefetch(at: *const u8, len: usize) {
    let mut line = 0;
    while line < len {
        // SAFETY: A prefetch faults nowhere.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(line).cast()) };
        line += 64;
    }
}

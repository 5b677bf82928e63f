// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Matrix times a few tokens, for the types with blocks of 32: as [`avx2::quads`](crate::kernels::x86::avx2),
//! with four blocks in two registers.

use core::arch::x86_64::*;
use core::mem::size_of;

use super::Set;
use crate::activation::{Activations, Planes, Q16x32, Q16x32Scale};
use crate::kernels::x86::avx2::{
    add_up, four, minimum_lanes, prefetch, scales_of, Scales, AHEAD, ROWS, TOKENS,
};
use crate::types::{Q4_0, Q4_1, Q8_0};

/// Four blocks, unpacked.
pub(super) struct Quad {
    /// Scale and minimum of each as 16-bit floats, or twice the scale.
    pub(super) scales: __m128i,
    /// The weights as unsigned bytes, in the order of the activations.
    pub(super) w: [__m512i; 2],
}

/// A type whose blocks can be multiplied.
pub(super) trait Quads: Scales {
    /// How often the second number of `scales` is added for each unit of the activations' sum.
    const MINIMUM: f32;

    /// Unpacks four blocks that follow each other.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512; the blocks can be read.
    #[inline(always)]
    unsafe fn quad(first: *const Self) -> Quad {
        // SAFETY: As the caller's.
        unsafe {
            let blocks = [0, 1, 2, 3].map(|i| first.add(i));
            let (scales, w) = (scales_of(blocks), <Self as Quads>::weights(blocks));
            Quad { scales, w }
        }
    }

    /// Unpacks the weights of any four blocks: the first 16 of each, and the last.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512; the blocks can be read.
    unsafe fn weights(blocks: [*const Self; 4]) -> [__m512i; 2];
}

/// The products of four rows with some rows of activations, all of so many blocks.
///
/// # Safety
///
/// As [`dot`]; there are at most [`TOKENS`] rows of activations.
#[inline(always)]
pub(super) unsafe fn dots<S: Set, B: Quads>(
    rows: [*const B; ROWS],
    x: *const u8,
    blocks: usize,
    tokens: usize,
) -> [__m128; TOKENS] {
    // SAFETY: As the caller's.
    unsafe {
        match tokens {
            1 => dot::<1, ROWS, S, B>(rows, x, blocks),
            2 => dot::<2, 2, S, B>(rows, x, blocks),
            3 => dot::<3, 1, S, B>(rows, x, blocks),
            _ => dot::<TOKENS, 1, S, B>(rows, x, blocks),
        }
    }
}

/// The products of four rows, `R` at a time, with `N` rows of activations, all of so many blocks.
///
/// # Safety
///
/// The processor has `S`; the rows can be read; `B` has no bytes that [`Set::bytes`] does not take.
#[inline(always)]
unsafe fn dot<const N: usize, const R: usize, S: Set, B: Quads>(
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
        // (tokens, rows)
        let mut sums = [[_mm256_setzero_ps(); ROWS]; TOKENS];
        let at = |token: usize, i: usize| X {
            planes: x.add(token * stride + i / 4 * size_of::<Planes>()),
            scales: scales.add(token * stride + i * size_of::<Q16x32Scale>()),
        };
        for first in (0..ROWS).step_by(R) {
            let mut totals = [[_mm512_setzero_ps(); N]; R];
            // The rows follow each other, so this is in the order of memory.
            let mut ahead = rows[first].cast::<u8>().wrapping_add(AHEAD);
            let mut i = 0;
            while i + 4 <= blocks {
                prefetch(ahead, 4 * R * size_of::<B>());
                ahead = ahead.wrapping_add(4 * R * size_of::<B>());
                for (row, totals) in rows[first..].iter().zip(&mut totals) {
                    let quad = B::quad(row.add(i));
                    for (token, total) in totals.iter_mut().enumerate() {
                        *total = at(token, i).add::<S, B>(&quad, *total);
                    }
                }
                i += 4;
            }
            if i < blocks {
                for (row, totals) in rows[first..].iter().zip(&mut totals) {
                    let blocks = four(*row, i, blocks);
                    let (scales, w) = (scales_of(blocks), B::weights(blocks));
                    let quad = Quad { scales, w };
                    for (token, total) in totals.iter_mut().enumerate() {
                        *total = at(token, i).add::<S, B>(&quad, *total);
                    }
                }
            }
            for (row, totals) in totals.iter().enumerate() {
                for (total, sums) in totals.iter().zip(&mut sums) {
                    let high = _mm512_extractf32x8_ps::<1>(*total);
                    sums[first + row] = _mm256_add_ps(_mm512_castps512_ps256(*total), high);
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

/// The activations of four blocks.
struct X {
    /// [`Planes`].
    planes: *const u8,
    /// Scale and sum of each block.
    scales: *const u8,
}

impl X {
    /// Adds the products of four blocks, and what their minimums contribute.
    ///
    /// # Safety
    ///
    /// The processor has `S`; the activations can be read.
    #[inline(always)]
    unsafe fn add<S: Set, B: Quads>(&self, quad: &Quad, total: __m512) -> __m512 {
        // SAFETY: As the caller's.
        unsafe {
            let x = |at: usize| load64(self.planes.add(64 * at));
            let scales = _mm256_loadu_ps(self.scales.cast());
            let scales = _mm256_mul_ps(_mm256_cvtph_ps(quad.scales), scales);
            let scales = _mm512_zextps256_ps512(scales);
            let minimums = _mm512_zextps256_ps512(minimum_lanes(B::MINIMUM));
            let total = _mm512_fmadd_ps(scales, minimums, total);
            let units = S::bytes(_mm512_setzero_si512(), quad.w, [x(0), x(1)]);
            let units = S::bytes(_mm512_slli_epi32::<8>(units), quad.w, [x(2), x(3)]);
            let order = _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6);
            let spread = _mm512_permutexvar_ps(order, scales);
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(units), spread, total)
        }
    }
}

/// 64 bytes.
///
/// # Safety
///
/// The processor has AVX-512; they can be read.
#[inline(always)]
unsafe fn load64(at: *const u8) -> __m512i {
    // SAFETY: As the caller's.
    unsafe { _mm512_loadu_si512(at.cast()) }
}

/// 16 bytes at each of four pointers.
///
/// # Safety
///
/// The processor has AVX-512; they can be read.
#[inline(always)]
pub(super) unsafe fn load16x4(at: [*const u8; 4]) -> __m512i {
    // SAFETY: As the caller's.
    unsafe {
        let [a, b, c, d] = at.map(|at| _mm_loadu_si128(at.cast()));
        let x = _mm512_castsi128_si512(a);
        let x = _mm512_inserti32x4::<1>(x, b);
        let x = _mm512_inserti32x4::<2>(x, c);
        _mm512_inserti32x4::<3>(x, d)
    }
}

/// The low and the high four bits of each byte.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
pub(super) unsafe fn nibbles(w: __m512i) -> [__m512i; 2] {
    // SAFETY: As the caller's.
    unsafe {
        let mask = _mm512_set1_epi8(15);
        [
            _mm512_and_si512(w, mask),
            _mm512_and_si512(_mm512_srli_epi16::<4>(w), mask),
        ]
    }
}

/// Which `i16` lanes of two registers, of which the second begins four words after the first, are those of the weights
/// of four blocks of nine words, of which the first is no weight.
static NINTHS: [u16; 32] = {
    let mut table = [0; 32];
    let mut i = 0;
    while i < 32 {
        // CAST: At most 35.
        let word = (i / 8 * 9 + 1 + i % 8) as u16;
        table[i] = if word < 32 { word } else { 32 + word - 4 };
        i += 1;
    }
    table
};

/// Which `i16` lanes of two registers, of which the second begins 27 words after the first, are the first
/// eight words of each of four blocks of 17, of which the first word is before the first register.
static SEVENTEENTHS: [u16; 32] = {
    let mut table = [0; 32];
    let mut i = 0;
    while i < 32 {
        // CAST: At most 58.
        let word = (i / 8 * 17 + i % 8) as u16;
        table[i] = if i < 16 { word } else { 32 + word - 27 };
        i += 1;
    }
    table
};

impl Quads for Q4_0 {
    const MINIMUM: f32 = -8.0;

    #[inline(always)]
    unsafe fn quad(first: *const Self) -> Quad {
        // SAFETY: As the caller's: there are 72 bytes.
        unsafe {
            let first = first.cast::<u8>();
            let (a, b) = (load64(first), load64(first.add(8)));
            let scales = _mm512_setr_epi64(
                0x0009_0009_0000_0000,
                0x001b_001b_0012_0012,
                0,
                0,
                0,
                0,
                0,
                0,
            );
            let order = load64(NINTHS.as_ptr().cast());
            Quad {
                scales: _mm512_castsi512_si128(_mm512_permutexvar_epi16(scales, a)),
                w: nibbles(_mm512_permutex2var_epi16(a, order, b)),
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 4]) -> [__m512i; 2] {
        // SAFETY: As the caller's.
        unsafe { nibbles(load16x4(blocks.map(|block| (*block).q.as_ptr()))) }
    }
}

impl Quads for Q4_1 {
    const MINIMUM: f32 = 1.0;

    #[inline(always)]
    unsafe fn quad(first: *const Self) -> Quad {
        // SAFETY: As the caller's: there are 80 bytes, twenty dwords, every fifth of scale and minimum.
        // The second register begins four dwords after the first.
        unsafe {
            let first = first.cast::<u8>();
            let (a, b) = (load64(first), load64(first.add(16)));
            let scales = _mm512_setr_epi32(0, 5, 10, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            let order = _mm512_setr_epi32(1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 28, 29, 30, 31);
            Quad {
                scales: _mm512_castsi512_si128(_mm512_permutexvar_epi32(scales, a)),
                w: nibbles(_mm512_permutex2var_epi32(a, order, b)),
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 4]) -> [__m512i; 2] {
        // SAFETY: As the caller's.
        unsafe { nibbles(load16x4(blocks.map(|block| (*block).q.as_ptr()))) }
    }
}

impl Quads for Q8_0 {
    /// Unsigned by adding 128.
    const MINIMUM: f32 = -128.0;

    #[inline(always)]
    unsafe fn quad(first: *const Self) -> Quad {
        // SAFETY: As the caller's: there are 136 bytes, 17 words a block.
        unsafe {
            let (a, b) = (load64(first.cast()), load64(first.cast::<u8>().add(64)));
            let scales = _mm512_setr_epi64(
                0x0011_0011_0000_0000,
                0x0033_0033_0022_0022,
                0,
                0,
                0,
                0,
                0,
                0,
            );
            let scales = _mm512_permutex2var_epi16(a, scales, b);
            let first = first.cast::<u8>();
            let order = load64(SEVENTEENTHS.as_ptr().cast());
            let half = |half: usize| {
                let (a, b) = (
                    load64(first.add(2 + 16 * half)),
                    load64(first.add(56 + 16 * half)),
                );
                _mm512_xor_si512(
                    _mm512_permutex2var_epi16(a, order, b),
                    _mm512_set1_epi8(-128),
                )
            };
            Quad {
                scales: _mm512_castsi512_si128(scales),
                w: [half(0), half(1)],
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 4]) -> [__m512i; 2] {
        // SAFETY: As the caller's; a block has 32 bytes.
        unsafe {
            let first = blocks.map(|block| (*block).q.as_ptr().cast::<u8>());
            let last = first.map(|block| block.add(16));
            let flip = _mm512_set1_epi8(-128);
            [
                _mm512_xor_si512(load16x4(first), flip),
                _mm512_xor_si512(load16x4(last), flip),
            ]
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `IQ4_NL` and `IQ4_XS` on ZMM registers.

use core::arch::x86_64::*;

use super::quads::{Quad, Quads};
use super::rows::{self, load64, spread32, Minimums, Row};
use super::tile::{eight, high, interleave32, low, nibbles, plain, widen16, Tile, Weights, ROWS};
use crate::activation::{Group, Q16x32, Q8x256};
use crate::kernels::x86::avx2::{transpose, widen};
use crate::types::iq4_nl::VALUES;
use crate::types::{IQ4NL, IQ4XS, Q4_0};

/// The magnitudes of the values. The first eight are negative.
static MAGNITUDES: [u8; 16] = magnitudes();
/// The values with 128 added.
static UNSIGNED: [u8; 16] = unsigned();

const fn magnitudes() -> [u8; 16] {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        assert!((VALUES[i] < 0) == (i < 8));
        table[i] = VALUES[i].unsigned_abs();
        i += 1;
    }
    table
}

const fn unsigned() -> [u8; 16] {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        // CAST: The same bits.
        table[i] = VALUES[i] as u8 ^ 0x80;
        i += 1;
    }
    table
}

/// A table, four times.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
unsafe fn table(table: &[u8; 16]) -> __m512i {
    // SAFETY: As the caller's; there are 16 bytes.
    unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())) }
}

impl Quads for IQ4NL {
    /// Unsigned by adding 128.
    const MINIMUM: f32 = -128.0;

    #[inline(always)]
    unsafe fn quad(first: *const Self) -> Quad {
        // SAFETY: As the caller's; the two types have their scale and bits in the same places.
        unsafe {
            let Quad { scales, w } = Q4_0::quad(first.cast());
            let w = look_up(w);
            Quad { scales, w }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: [*const Self; 4]) -> [__m512i; 2] {
        // SAFETY: As above.
        unsafe { look_up(<Q4_0 as Quads>::weights(blocks.map(|block| block.cast()))) }
    }
}

/// The values of 4 bits each.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
unsafe fn look_up([first, last]: [__m512i; 2]) -> [__m512i; 2] {
    // SAFETY: As the caller's.
    unsafe {
        let table = table(&UNSIGNED);
        [
            _mm512_shuffle_epi8(table, first),
            _mm512_shuffle_epi8(table, last),
        ]
    }
}

impl Tile<1> for IQ4NL {
    type Header = ();
    const STEPS: usize = 1;
    const PLANES: bool = true;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(_blocks: &[*const Self; ROWS]) {}

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], _header: &(), _step: usize) -> Weights<1> {
        // SAFETY: As the caller's.
        unsafe {
            let table = table(&UNSIGNED);
            let mut q = nibbles(blocks.map(|block| (*block).q.as_ptr()));
            for q in &mut q {
                *q = _mm512_shuffle_epi8(table, *q);
            }
            let scale = widen16(blocks.map(|block| (*block).scale));
            // The values are 128 less than `q`.
            plain(q, scale, _mm512_mul_ps(scale, _mm512_set1_ps(-128.0)))
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, block: usize, _step: usize) -> [Group; 1] {
        [Q16x32::group(blocks, block)]
    }
}

impl Row for IQ4XS {
    #[inline(always)]
    unsafe fn unpack(&self) -> rows::Weights {
        // SAFETY: As the caller's; 64 bytes serve four groups.
        unsafe {
            let (magnitudes, mask) = (table(&MAGNITUDES), _mm512_set1_epi8(15));
            // The low and the high bits of 16 bytes in turn.
            let shifts = _mm512_setr_epi64(
                0,
                0,
                0x0004_0004_0004_0004,
                0x0004_0004_0004_0004,
                0,
                0,
                0x0004_0004_0004_0004,
                0x0004_0004_0004_0004,
            );
            let mut q = [mask; 4];
            for half in 0..2 {
                let four = load64(self.q.as_ptr().add(64 * half));
                let parts = [
                    _mm512_shuffle_i64x2::<0b01_01_00_00>(four, four),
                    _mm512_shuffle_i64x2::<0b11_11_10_10>(four, four),
                ];
                for (part, two) in parts.into_iter().enumerate() {
                    q[2 * half + part] = _mm512_and_si512(_mm512_srlv_epi16(two, shifts), mask);
                }
            }
            let mut negative = [0; 4];
            for (q, negative) in q.iter_mut().zip(&mut negative) {
                *negative = _mm512_testn_epi8_mask(*q, _mm512_set1_epi8(8));
                // The products of two are within 16 bits: 2 * 127 * 127.
                *q = _mm512_shuffle_epi8(magnitudes, *q);
            }
            // CAST: The same bits.
            let scales = _mm_cvtsi64_si128(i64::from_le_bytes(self.scales().map(|s| s as u8)));
            rows::Weights {
                q,
                negative: Some(negative),
                scales: spread32(_mm_cvtepi8_epi16(scales)),
                scale: widen(self.scale),
                minimums: Minimums::None,
            }
        }
    }
}

/// Scales of `IQ4_XS`.
pub(super) struct Header {
    /// `(rows / 8, groups, rows % 8)`.
    scales: [[[u8; 8]; 8]; 2],
    scale: __m512,
}

impl Tile<2> for IQ4XS {
    type Header = Header;
    const STEPS: usize = 4;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> Header {
        // SAFETY: As the caller's.
        unsafe {
            // CAST: The same bits.
            let scales = |half| {
                let blocks = eight(blocks, half);
                transpose(blocks.map(|block| (*block).scales().map(|scale| scale as u8)))
            };
            Header {
                scales: [scales(0), scales(1)],
                scale: widen16(blocks.map(|block| (*block).scale)),
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], header: &Header, step: usize) -> Weights<2> {
        // SAFETY: As the caller's; 32 bytes serve two groups.
        unsafe {
            let table = table(&UNSIGNED);
            let bits = interleave32(blocks.map(|block| (*block).q.as_ptr().add(32 * step)));
            let mut q = [bits; 2];
            for (group, q) in q.iter_mut().enumerate() {
                for (i, q) in q.iter_mut().enumerate() {
                    let bits = bits[4 * group + i % 4];
                    let index = if i < 4 { low(bits) } else { high(bits) };
                    *q = _mm512_shuffle_epi8(table, index);
                }
            }
            // Loops: closures that go through functions of core are compiled without the instructions.
            let mut scales = [[header.scale; 2]; 2];
            let mut minimums = [header.scale; 2];
            for i in 0..2 {
                let load = |rows: usize| {
                    _mm_loadl_epi64(header.scales[rows][2 * step + i].as_ptr().cast())
                };
                let units = _mm512_cvtepi8_epi32(_mm_unpacklo_epi64(load(0), load(1)));
                let scale = _mm512_mul_ps(_mm512_cvtepi32_ps(units), header.scale);
                scales[i] = [scale; 2];
                // The values are 128 less than `q`.
                minimums[i] = _mm512_mul_ps(scale, _mm512_set1_ps(-128.0));
            }
            Weights {
                q,
                scales,
                minimums,
                pairs: [_mm512_setzero_si512(); 2],
            }
        }
    }

    #[inline(always)]
    fn activations(_blocks: usize, block: usize, step: usize) -> [Group; 2] {
        [0, 1].map(|i| Q8x256::group(8 * block + 2 * step + i))
    }
}

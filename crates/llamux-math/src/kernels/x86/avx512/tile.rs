// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Matrix times several tokens: tiles of sixteen rows, one a lane.
//!
//! As [`avx2::tile`](crate::kernels::x86::avx2), with products of four bytes in one instruction, where
//! there is VNNI, that also repeats the activations in all lanes, and with registers for two groups of 32 weights a row.

use core::arch::x86_64::*;
use core::mem::size_of;

use llamux_abi as abi;

use super::Set;
use crate::activation::{Activations, Group, Q16x32, Q8x256};
use crate::kernels::x86::avx2::{prefetch, transpose, KHeader};
use crate::kernels::Units;
use crate::types::{Block, Q4K, Q4_0, Q4_1, Q5K, Q6K, Q8_0};

/// Rows of a tile.
pub(super) const ROWS: usize = 16;
/// Tokens whose sums are on the stack at a time.
const TOKENS: usize = 32;

/// Groups of 32 weights of each row.
pub(super) struct Weights<const G: usize> {
    /// Four weights of each row in each, as unsigned bytes.
    pub(super) q: [[__m512i; 8]; G],
    /// What one unit is worth, in the first and in the last 16 of a group.
    pub(super) scales: [[__m512; 2]; G],
    /// What is to be added for each unit of the sum of a group's activations; or what one unit of an
    /// integer minimum adds.
    pub(super) minimums: [__m512; G],
    /// Integer minimums of the first and the last 16 of a group, as two `i16`.
    pub(super) pairs: [__m512i; G],
}

/// A type whose blocks can be tiled, `G` groups of 32 weights at a time.
pub(super) trait Tile<const G: usize>: Block {
    /// What is unpacked once a block.
    type Header;
    /// How many times `G` groups there are in a block.
    const STEPS: usize;
    /// Whether the halves of a group have scales of their own.
    const HALVES: bool = false;
    /// How much less than `q` the weights are, where the halves have scales.
    const OFFSET: i32 = 0;
    /// Whether the activations have low bytes.
    const PLANES: bool = false;
    /// Whether there is a minimum.
    const MINIMUM: bool = false;
    /// Whether there are integer minimums of the halves.
    const MINIMUMS: bool = false;

    /// Unpacks what a block's groups share.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512; the blocks can be read.
    unsafe fn header(blocks: &[*const Self; ROWS]) -> Self::Header;

    /// Unpacks the groups of a step.
    ///
    /// # Safety
    ///
    /// As `header`, whose result for the same blocks is passed; `step < STEPS`.
    unsafe fn weights(
        blocks: &[*const Self; ROWS],
        header: &Self::Header,
        step: usize,
    ) -> Weights<G>;

    /// Where the activations of a step of a block lie, in a row of so many blocks.
    fn activations(blocks: usize, block: usize, step: usize) -> [Group; G];
}

/// Multiplies rows `units` with all tokens.
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has `S`; `B` is the operation's type, without
/// bytes that [`Set::bytes`] does not take.
#[inline(always)]
pub(super) unsafe fn mat_mul<const G: usize, S: Set, B: Tile<G>>(op: &abi::MatMul, units: Units) {
    let blocks = op.columns as usize / B::Activation::LEN;
    let tokens = op.tokens as usize;
    let mut row = units.start;
    while row < units.end {
        let count = (units.end - row).min(ROWS);
        // SAFETY: The rows are within the matrix; where fewer than sixteen are left, the last repeats.
        unsafe {
            let first = op.weights.cast::<B>().add(row * blocks);
            let rows = core::array::from_fn(|i| first.wrapping_add(i.min(count - 1) * blocks));
            let mut token = 0;
            while token < tokens {
                let end = tokens.min(token + TOKENS);
                tile::<G, S, B>(op, rows, blocks, row..row + count, token..end);
                token = end;
            }
        }
        row += count;
    }
}

/// Multiplies sixteen rows with some tokens, and writes those of `units`.
///
/// # Safety
///
/// As [`mat_mul`]; `rows` has `blocks` blocks each; there are at most [`TOKENS`] tokens.
#[inline(always)]
unsafe fn tile<const G: usize, S: Set, B: Tile<G>>(
    op: &abi::MatMul,
    mut rows: [*const B; ROWS],
    blocks: usize,
    units: Units,
    tokens: Units,
) {
    let stride = B::Activation::row_bytes(blocks);
    // SAFETY: The blocks are within their rows, and each group of activations within its token's;
    // each token has room for the results.
    unsafe {
        let first = op.x.add(tokens.start * stride);
        // (tokens, rows)
        let mut sums = [_mm512_setzero_ps(); TOKENS];
        let sums = &mut sums[..tokens.len()];
        // The next tile, asked for piece by piece: rows are too short, and read too slowly, for the
        // processor to see by itself what comes.
        let mut next = rows[0].wrapping_add(ROWS * blocks);
        for block in 0..blocks {
            prefetch(next.cast(), ROWS * size_of::<B>());
            next = next.wrapping_add(ROWS);
            let header = B::header(&rows);
            for step in 0..B::STEPS {
                let weights = B::weights(&rows, &header, step);
                let at = B::activations(blocks, block, step);
                let mut x = first;
                for sum in sums.iter_mut() {
                    let repeat = |at: usize| _mm512_set1_ps(x.add(at).cast::<f32>().read());
                    let mut products = _mm512_setzero_ps();
                    for group in 0..G {
                        let (q, scales, at) = (&weights.q[group], weights.scales[group], at[group]);
                        let [low, high] = product::<G, S, B>(q, x, at);
                        if B::HALVES {
                            let low = _mm512_cvtepi32_ps(low);
                            products = _mm512_fmadd_ps(low, scales[0], products);
                            let high = _mm512_cvtepi32_ps(high);
                            products = _mm512_fmadd_ps(high, scales[1], products);
                        } else {
                            let units = _mm512_cvtepi32_ps(_mm512_add_epi32(low, high));
                            products = _mm512_fmadd_ps(units, scales[0], products);
                        }
                        if B::MINIMUMS {
                            let sums = _mm512_set1_epi32(x.add(at.halves).cast::<i32>().read());
                            let units = _mm512_madd_epi16(sums, weights.pairs[group]);
                            let units = _mm512_cvtepi32_ps(units);
                            products = _mm512_fmadd_ps(units, weights.minimums[group], products);
                        }
                    }
                    *sum = _mm512_fmadd_ps(products, repeat(at[0].scale), *sum);
                    if B::MINIMUM {
                        for (minimum, at) in weights.minimums.into_iter().zip(at) {
                            *sum = _mm512_fmadd_ps(minimum, repeat(at.sum), *sum);
                        }
                    }
                    x = x.add(stride);
                }
            }
            rows = rows.map(|row| row.wrapping_add(1));
        }

        let lanes = 0xffff_u16 >> (ROWS - units.len());
        let bias = match op.bias.is_null() {
            true => _mm512_setzero_ps(),
            false => _mm512_maskz_loadu_ps(lanes, op.bias.add(units.start)),
        };
        for (sum, token) in sums.iter().zip(tokens) {
            let out = op.out.add(token * op.out_stride as usize + units.start);
            let mut sum = _mm512_add_ps(*sum, bias);
            if op.accumulate != 0 {
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, out));
            }
            _mm512_mask_storeu_ps(out, lanes, sum);
        }
    }
}

/// The integer dot products of the halves of a group with 32 activations.
///
/// # Safety
///
/// The processor has `S`; the group is within the row at `x`.
#[inline(always)]
unsafe fn product<const G: usize, S: Set, B: Tile<G>>(
    q: &[__m512i; 8],
    x: *const u8,
    at: Group,
) -> [__m512i; 2] {
    // SAFETY: As the caller's.
    unsafe {
        let repeat = |at: usize| _mm512_set1_epi32(x.add(at).cast::<i32>().read());
        let (mut low, mut high) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        if B::OFFSET != 0 {
            // `-OFFSET` times the sum of the first half, and of the last.
            let sums = repeat(at.halves);
            low = _mm512_madd_epi16(sums, _mm512_set1_epi32(-B::OFFSET & 0xffff));
            high = _mm512_madd_epi16(sums, _mm512_set1_epi32(-B::OFFSET << 16));
        }
        let two = |sum: __m512i, q: &[__m512i], at: usize| {
            S::bytes(sum, [q[0], q[1]], [repeat(at), repeat(at + 4)])
        };
        for i in [0, 2] {
            low = two(low, &q[i..], at.q + 4 * i);
            high = two(high, &q[i + 4..], at.q + at.half + 4 * i);
        }
        if B::PLANES {
            low = _mm512_slli_epi32::<8>(low);
            high = _mm512_slli_epi32::<8>(high);
            for i in [0, 2] {
                let at_low = at.q + at.low + 4 * i;
                low = two(low, &q[i..], at_low);
                high = two(high, &q[i + 4..], at_low + at.half);
            }
        }
        [low, high]
    }
}

/// 16 bytes of each row, so that the result's lane `r` in register `k` is dword `k` of row `r`.
///
/// # Safety
///
/// The processor has AVX-512; 16 bytes can be read at each pointer.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn interleave(rows: [*const u8; ROWS]) -> [__m512i; 4] {
    // SAFETY: As the caller's.
    unsafe {
        let load = |row: usize| _mm_loadu_si128(rows[row].cast());
        let every_fourth = |row: usize| {
            let x = _mm512_castsi128_si512(load(row));
            let x = _mm512_inserti32x4::<1>(x, load(row + 4));
            let x = _mm512_inserti32x4::<2>(x, load(row + 8));
            _mm512_inserti32x4::<3>(x, load(row + 12))
        };
        let (a, b) = (every_fourth(0), every_fourth(1));
        let (c, d) = (every_fourth(2), every_fourth(3));
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(ab_low, cd_low),
            _mm512_unpackhi_epi64(ab_low, cd_low),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}

/// As [`interleave`], with 32 bytes.
///
/// # Safety
///
/// The processor has AVX-512; 32 bytes can be read at each pointer.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn interleave32(rows: [*const u8; ROWS]) -> [__m512i; 8] {
    // SAFETY: As the caller's.
    unsafe {
        let [a, b, c, d] = interleave(rows);
        let [e, f, g, h] = interleave(rows.map(|row| row.wrapping_add(16)));
        [a, b, c, d, e, f, g, h]
    }
}

/// The low four bits of each byte.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn low(x: __m512i) -> __m512i {
    // SAFETY: As the caller's.
    unsafe { _mm512_and_si512(x, _mm512_set1_epi8(15)) }
}

/// The high four bits of each byte.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn high(x: __m512i) -> __m512i {
    // SAFETY: As the caller's.
    unsafe { low(_mm512_srli_epi16::<4>(x)) }
}

/// The 16-bit floats of sixteen rows, widened.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn widen16(halves: [[u8; 2]; ROWS]) -> __m512 {
    // SAFETY: As the caller's; there are 32 bytes.
    unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(halves.as_ptr().cast())) }
}

/// The first or the last eight of sixteen.
#[inline(always)]
pub(super) fn eight<T: Copy>(all: &[T; ROWS], half: usize) -> [T; 8] {
    core::array::from_fn(|i| all[8 * half + i])
}

/// 32 weights of blocks whose first 16 are in the low halves of their bytes.
///
/// # Safety
///
/// The processor has AVX-512; 16 bytes can be read at each pointer.
#[inline(always)]
pub(super) unsafe fn nibbles(rows: [*const u8; ROWS]) -> [__m512i; 8] {
    // SAFETY: As the caller's.
    unsafe {
        let [a, b, c, d] = interleave(rows);
        [
            low(a),
            low(b),
            low(c),
            low(d),
            high(a),
            high(b),
            high(c),
            high(d),
        ]
    }
}

/// The weights of a group of a type without integer scales.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
pub(super) unsafe fn plain(q: [__m512i; 8], scale: __m512, minimum: __m512) -> Weights<1> {
    Weights {
        q: [q],
        scales: [[scale; 2]],
        minimums: [minimum],
        // SAFETY: As the caller's.
        pairs: [unsafe { _mm512_setzero_si512() }],
    }
}

impl Tile<1> for Q4_0 {
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
            let scale = widen16(blocks.map(|block| (*block).scale));
            let q = nibbles(blocks.map(|block| (*block).q.as_ptr()));
            let minimum = _mm512_mul_ps(scale, _mm512_set1_ps(-8.0));
            plain(q, scale, minimum)
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, block: usize, _step: usize) -> [Group; 1] {
        [Q16x32::group(blocks, block)]
    }
}

impl Tile<1> for Q4_1 {
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
            let scale = widen16(blocks.map(|block| (*block).scale));
            let q = nibbles(blocks.map(|block| (*block).q.as_ptr()));
            let minimum = widen16(blocks.map(|block| (*block).minimum));
            plain(q, scale, minimum)
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, block: usize, _step: usize) -> [Group; 1] {
        [Q16x32::group(blocks, block)]
    }
}

impl Tile<1> for Q8_0 {
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
            // Unsigned by adding 128, which the minimum takes back.
            let flip = _mm512_set1_epi8(-128);
            let scale = widen16(blocks.map(|block| (*block).scale));
            let q = interleave32(blocks.map(|block| (*block).q.as_ptr().cast()));
            let q = q.map(|q| _mm512_xor_si512(q, flip));
            let minimum = _mm512_mul_ps(scale, _mm512_set1_ps(-128.0));
            plain(q, scale, minimum)
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, block: usize, _step: usize) -> [Group; 1] {
        [Q16x32::group(blocks, block)]
    }
}

/// Completes two groups of `Q4_K` or `Q5_K`.
///
/// # Safety
///
/// The processor has AVX-512.
#[inline(always)]
unsafe fn k_weights(q: [[__m512i; 8]; 2], headers: &[KHeader; 2], step: usize) -> Weights<2> {
    // SAFETY: As the caller's; each row of the tables has eight bytes.
    unsafe {
        let wide = |tables: [&[u8; 8]; 2]| {
            let [a, b] = tables.map(|table| _mm_loadl_epi64(table.as_ptr().cast()));
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_unpacklo_epi64(a, b)))
        };
        let both = |[a, b]: [__m256; 2]| _mm512_insertf32x8::<1>(_mm512_castps256_ps512(a), b);
        let [a, b] = headers;
        let scale = both([a.scale, b.scale]);
        let minimum = both([a.minimum, b.minimum]);
        let scales =
            |group: usize| [_mm512_mul_ps(scale, wide([&a.scales[group], &b.scales[group]])); 2];
        let minimums = |group: usize| {
            let minimums = wide([&a.minimums[group], &b.minimums[group]]);
            _mm512_fnmadd_ps(minimums, minimum, _mm512_setzero_ps())
        };
        Weights {
            q,
            scales: [scales(2 * step), scales(2 * step + 1)],
            minimums: [minimums(2 * step), minimums(2 * step + 1)],
            pairs: [_mm512_setzero_si512(); 2],
        }
    }
}

impl Tile<2> for Q4K {
    type Header = [KHeader; 2];
    const STEPS: usize = 4;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> [KHeader; 2] {
        // SAFETY: As the caller's.
        unsafe {
            let header = |half| {
                let blocks = eight(blocks, half).map(|block| &*block);
                KHeader::new(
                    blocks.map(|block| &block.groups),
                    blocks.map(|block| block.scale),
                    blocks.map(|block| block.minimum),
                )
            };
            [header(0), header(1)]
        }
    }

    #[inline(always)]
    unsafe fn weights(
        blocks: &[*const Self; ROWS],
        header: &[KHeader; 2],
        step: usize,
    ) -> Weights<2> {
        // SAFETY: As the caller's; two groups share 32 bytes.
        unsafe {
            let q = interleave32(blocks.map(|block| (*block).q.as_ptr().add(32 * step)));
            k_weights([q.map(|q| low(q)), q.map(|q| high(q))], header, step)
        }
    }

    #[inline(always)]
    fn activations(_blocks: usize, block: usize, step: usize) -> [Group; 2] {
        [0, 1].map(|i| Q8x256::group(8 * block + 2 * step + i))
    }
}

impl Tile<2> for Q5K {
    type Header = [KHeader; 2];
    const STEPS: usize = 4;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> [KHeader; 2] {
        // SAFETY: As the caller's.
        unsafe {
            let header = |half| {
                let blocks = eight(blocks, half).map(|block| &*block);
                KHeader::new(
                    blocks.map(|block| &block.groups),
                    blocks.map(|block| block.scale),
                    blocks.map(|block| block.minimum),
                )
            };
            [header(0), header(1)]
        }
    }

    #[inline(always)]
    unsafe fn weights(
        blocks: &[*const Self; ROWS],
        header: &[KHeader; 2],
        step: usize,
    ) -> Weights<2> {
        // SAFETY: As the caller's; two groups share 32 bytes, all groups those of the fifth bits.
        unsafe {
            let q = interleave32(blocks.map(|block| (*block).q.as_ptr().add(32 * step)));
            let fifth = interleave32(blocks.map(|block| (*block).high.as_ptr()));
            let with = |low: __m512i, fifth: __m512i, group: usize| {
                // CAST: Below 8.
                let shift = _mm_cvtsi32_si128(group as i32);
                let bit = _mm512_and_si512(_mm512_srl_epi16(fifth, shift), _mm512_set1_epi8(1));
                _mm512_or_si512(low, _mm512_slli_epi16::<4>(bit))
            };
            let mut groups = [q; 2];
            for i in 0..8 {
                groups[0][i] = with(low(q[i]), fifth[i], 2 * step);
                groups[1][i] = with(high(q[i]), fifth[i], 2 * step + 1);
            }
            k_weights(groups, header, step)
        }
    }

    #[inline(always)]
    fn activations(_blocks: usize, block: usize, step: usize) -> [Group; 2] {
        [0, 1].map(|i| Q8x256::group(8 * block + 2 * step + i))
    }
}

/// Scales of `Q6_K`.
pub(super) struct Q6KHeader {
    /// `(rows / 8, groups of 16 / 8, groups of 16 % 8, rows % 8)`.
    scales: [[[[u8; 8]; 8]; 2]; 2],
    scale: __m512,
}

impl Tile<2> for Q6K {
    type Header = Q6KHeader;
    const STEPS: usize = 4;
    const HALVES: bool = true;
    const OFFSET: i32 = 32;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> Q6KHeader {
        // SAFETY: As the caller's; there are 16 scales.
        unsafe {
            let scales = |rows: usize, groups: usize| {
                transpose(eight(blocks, rows).map(|block| {
                    (*block)
                        .scales
                        .as_ptr()
                        .add(8 * groups)
                        .cast::<[u8; 8]>()
                        .read()
                }))
            };
            Q6KHeader {
                scales: [[scales(0, 0), scales(0, 1)], [scales(1, 0), scales(1, 1)]],
                scale: widen16(blocks.map(|block| (*block).scale)),
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], header: &Q6KHeader, step: usize) -> Weights<2> {
        let (half, part) = (step / 2, step % 2);
        // SAFETY: As the caller's; 64 bytes serve half a block, 32 of the high bits do.
        unsafe {
            let q =
                interleave32(blocks.map(|block| (*block).low.as_ptr().add(64 * half + 32 * part)));
            let top = interleave32(blocks.map(|block| (*block).high.as_ptr().add(32 * half)));
            let with = |low: __m512i, top: __m512i, part: usize| {
                // CAST: Below 8.
                let shift = _mm_cvtsi32_si128(2 * part as i32);
                let bits = _mm512_and_si512(_mm512_srl_epi16(top, shift), _mm512_set1_epi8(3));
                _mm512_or_si512(low, _mm512_slli_epi16::<4>(bits))
            };
            // Loops: closures that go through functions of core are compiled without the instructions.
            let mut groups = [q; 2];
            for i in 0..8 {
                groups[0][i] = with(low(q[i]), top[i], part);
                groups[1][i] = with(high(q[i]), top[i], part + 2);
            }
            let mut scales = [[header.scale; 2]; 2];
            for (i, scale) in scales.as_flattened_mut().iter_mut().enumerate() {
                let group = 2 * part + i / 2 * 4 + i % 2;
                let load =
                    |rows: usize| _mm_loadl_epi64(header.scales[rows][half][group].as_ptr().cast());
                let units = _mm512_cvtepi8_epi32(_mm_unpacklo_epi64(load(0), load(1)));
                *scale = _mm512_mul_ps(_mm512_cvtepi32_ps(units), *scale);
            }
            Weights {
                q: groups,
                scales,
                minimums: [_mm512_setzero_ps(); 2],
                pairs: [_mm512_setzero_si512(); 2],
            }
        }
    }

    #[inline(always)]
    fn activations(_blocks: usize, block: usize, step: usize) -> [Group; 2] {
        let group = 8 * block + step / 2 * 4 + step % 2;
        [Q8x256::group(group), Q8x256::group(group + 2)]
    }
}

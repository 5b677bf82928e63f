// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Matrix times several tokens: tiles of eight rows, one a lane.
//!
//! The weights of eight rows are interleaved so that a register holds four neighbouring weights of
//! each row; multiplied with four activations that are repeated in all lanes, nothing has to be added
//! across lanes. One group of 32 weights a row stays in eight registers while all tokens pass by.

use core::arch::x86_64::*;
use core::mem::size_of;

use llamux_abi as abi;

use super::vector::{first_lanes, load16x2, prefetch, repeat_f32, repeat_i32, widen8};
use crate::activation::{Activations, Group, Q16x32, Q8x256};
use crate::kernels::Units;
use crate::types::q4_k::unpack_groups;
use crate::types::{Block, Q4K, Q4_0, Q4_1, Q5K, Q6K, Q8_0};

/// Rows of a tile.
pub(super) const ROWS: usize = 8;

/// One group of 32 weights of each row.
pub(super) struct Weights {
    /// Four weights of each row in each.
    pub(super) q: [__m256i; 8],
    /// Integer scales of the first and the last 16, twice in each lane as `i16`.
    pub(super) scales: [__m256i; 2],
    /// What is to be subtracted for each unit of the two sums of activations, as two `i16`; or the
    /// integer minimums of the first and the last 16.
    pub(super) offset: __m256i,
    /// What one unit is worth.
    pub(super) scale: __m256,
    /// What is to be added for each unit of the sum of activations; or what one unit of an integer
    /// minimum adds.
    pub(super) minimum: __m256,
}

/// A type whose blocks can be tiled.
pub(super) trait Tile: Block {
    /// What is unpacked once a block.
    type Header;
    /// Groups of 32 weights in a block.
    const GROUPS: usize;
    /// How many products of two pairs of bytes add up without overflowing 16 bits.
    const CHAIN: usize;
    /// Whether `q` is signed, which only goes with a chain of 1.
    const SIGNED: bool = false;
    /// Whether the activations have low bytes, and the integer scales are those of the high ones.
    const PLANES: bool = false;
    /// Whether there is an offset.
    const OFFSET: bool = false;
    /// Whether there is a minimum.
    const MINIMUM: bool = false;
    /// Whether there are integer minimums of the first and the last 16.
    const MINIMUMS: bool = false;

    /// Unpacks what a block's groups share.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; the blocks can be read.
    unsafe fn header(blocks: &[*const Self; ROWS]) -> Self::Header;

    /// Unpacks one group.
    ///
    /// # Safety
    ///
    /// As `header`, whose result for the same blocks is passed; `group < GROUPS`.
    unsafe fn weights(blocks: &[*const Self; ROWS], header: &Self::Header, group: usize)
        -> Weights;

    /// Where the activations of a group lie, in a row of so many blocks.
    fn activations(blocks: usize, group: usize) -> Group;
}

/// Multiplies rows `units` with all tokens.
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has AVX2; `B` is the operation's type.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn mat_mul<B: Tile>(op: &abi::MatMul, units: Units) {
    let blocks = op.columns as usize / B::Activation::LEN;
    let mut row = units.start;
    while row < units.end {
        let count = (units.end - row).min(ROWS);
        // SAFETY: The rows are within the matrix; where fewer than eight are left, the last repeats.
        unsafe {
            let first = op.weights.cast::<B>().add(row * blocks);
            let rows = core::array::from_fn(|i| first.wrapping_add(i.min(count - 1) * blocks));
            tile(op, rows, blocks, row, count);
        }
        row += count;
    }
}

/// Multiplies eight rows with all tokens, and writes `count` of them.
///
/// # Safety
///
/// As [`mat_mul`]; `rows` has `blocks` blocks each.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<B: Tile>(
    op: &abi::MatMul,
    mut rows: [*const B; ROWS],
    blocks: usize,
    row: usize,
    count: usize,
) {
    let tokens = (op.tokens as usize).min(abi::MAX_BATCH as usize);
    let stride = B::Activation::row_bytes(blocks);
    // SAFETY: The blocks are within their rows, and each group of activations within its token's;
    // each token has room for `count` results from `row` on.
    unsafe {
        // (tokens, rows)
        let mut sums = [_mm256_setzero_ps(); abi::MAX_BATCH as usize];
        // The next tile, asked for piece by piece: rows are too short, and read too slowly, for the
        // processor to see by itself what comes.
        let mut next = rows[0].wrapping_add(ROWS * blocks);
        for block in 0..blocks {
            prefetch(next.cast(), ROWS * size_of::<B>());
            next = next.wrapping_add(ROWS);
            let header = B::header(&rows);
            for group in 0..B::GROUPS {
                let weights = B::weights(&rows, &header, group);
                let at = B::activations(blocks, block * B::GROUPS + group);
                let mut x = op.x;
                for sum in &mut sums[..tokens] {
                    let mut units = product::<B>(&weights, &weights.scales, x, at, 0);
                    if B::PLANES {
                        let low = product::<B>(&weights, &[_mm256_set1_epi16(1); 2], x, at, at.low);
                        units = _mm256_add_epi32(units, low);
                    }
                    if B::OFFSET {
                        let halves = repeat_i32(x.add(at.halves));
                        units = _mm256_sub_epi32(units, _mm256_madd_epi16(halves, weights.offset));
                    }
                    let scale = _mm256_mul_ps(weights.scale, repeat_f32(x.add(at.scale)));
                    *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(units), scale, *sum);
                    if B::MINIMUMS {
                        let halves = repeat_i32(x.add(at.halves));
                        let units = _mm256_madd_epi16(halves, weights.offset);
                        let minimum = _mm256_mul_ps(weights.minimum, repeat_f32(x.add(at.scale)));
                        *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(units), minimum, *sum);
                    }
                    if B::MINIMUM {
                        *sum = _mm256_fmadd_ps(weights.minimum, repeat_f32(x.add(at.sum)), *sum);
                    }
                    x = x.add(stride);
                }
            }
            rows = rows.map(|row| row.wrapping_add(1));
        }

        let lanes = first_lanes(count);
        let bias = match op.bias.is_null() {
            true => _mm256_setzero_ps(),
            false => _mm256_maskload_ps(op.bias.add(row), lanes),
        };
        let mut out = op.out.add(row);
        for sum in &sums[..tokens] {
            let mut sum = _mm256_add_ps(*sum, bias);
            if count == ROWS {
                if op.accumulate != 0 {
                    sum = _mm256_add_ps(sum, _mm256_loadu_ps(out));
                }
                _mm256_storeu_ps(out, sum);
            } else {
                if op.accumulate != 0 {
                    sum = _mm256_add_ps(sum, _mm256_maskload_ps(out, lanes));
                }
                _mm256_maskstore_ps(out, lanes, sum);
            }
            out = out.wrapping_add(op.out_stride as usize);
        }
    }
}

/// The integer dot products of a group with 32 activations, `plane` bytes from those at `at`.
///
/// # Safety
///
/// The processor has AVX2; the group is within the row at `x`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn product<B: Tile>(
    weights: &Weights,
    scales: &[__m256i; 2],
    x: *const u8,
    at: Group,
    plane: usize,
) -> __m256i {
    // SAFETY: As the caller's.
    unsafe {
        let x = x.add(at.q + plane);
        let mut total = _mm256_setzero_si256();
        let mut i = 0;
        while i < 8 {
            let mut pairs = _mm256_setzero_si256();
            let mut link = 0;
            while link < B::CHAIN {
                let x = repeat_i32(x.add(i / 4 * at.half + i % 4 * 4));
                let q = weights.q[i];
                let products = if B::SIGNED {
                    _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(x, q))
                } else {
                    _mm256_maddubs_epi16(q, x)
                };
                pairs = if link == 0 {
                    products
                } else {
                    _mm256_add_epi16(pairs, products)
                };
                link += 1;
                i += 1;
            }
            let scaled = _mm256_madd_epi16(pairs, scales[(i - 1) / 4]);
            total = if i == B::CHAIN {
                scaled
            } else {
                _mm256_add_epi32(total, scaled)
            };
        }
        total
    }
}

/// 16 bytes of each row, so that the result's lane `r` in register `k` is dword `k` of row `r`.
///
/// # Safety
///
/// The processor has AVX2; 16 bytes can be read at each pointer.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn interleave(rows: [*const u8; ROWS]) -> [__m256i; 4] {
    // SAFETY: As the caller's.
    unsafe {
        let a = load16x2(rows[0], rows[4]);
        let b = load16x2(rows[1], rows[5]);
        let c = load16x2(rows[2], rows[6]);
        let d = load16x2(rows[3], rows[7]);
        let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(ab_low, cd_low),
            _mm256_unpackhi_epi64(ab_low, cd_low),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}

/// As [`interleave`], with 32 bytes.
///
/// # Safety
///
/// The processor has AVX2; 32 bytes can be read at each pointer.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn interleave32(rows: [*const u8; ROWS]) -> [__m256i; 8] {
    // SAFETY: As the caller's.
    unsafe {
        let [a, b, c, d] = interleave(rows);
        let [e, f, g, h] = interleave(rows.map(|row| row.wrapping_add(16)));
        [a, b, c, d, e, f, g, h]
    }
}

/// The low (`HALF` = 0) or high (4) four bits of each byte.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn nibble<const HALF: i32>(x: __m256i) -> __m256i {
    // SAFETY: As the caller's.
    unsafe { _mm256_and_si256(_mm256_srli_epi16::<HALF>(x), _mm256_set1_epi8(15)) }
}

/// The 32 weights of blocks whose first 16 are in the low halves of their bytes.
///
/// # Safety
///
/// The processor has AVX2; 16 bytes can be read at each pointer.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn nibbles(rows: [*const u8; ROWS]) -> [__m256i; 8] {
    // SAFETY: As the caller's.
    unsafe {
        let [a, b, c, d] = interleave(rows);
        [
            nibble::<0>(a),
            nibble::<0>(b),
            nibble::<0>(c),
            nibble::<0>(d),
            nibble::<4>(a),
            nibble::<4>(b),
            nibble::<4>(c),
            nibble::<4>(d),
        ]
    }
}

/// Eight bytes of each row, so that byte `r` of result `i` is byte `i` of row `r`.
#[inline(always)]
pub(in crate::kernels::x86) fn transpose(rows: [[u8; 8]; ROWS]) -> [[u8; ROWS]; 8] {
    // SAFETY: SSE2 is part of every x86-64 processor and of the target's baseline.
    unsafe {
        let row = |i: usize| _mm_loadl_epi64(rows[i].as_ptr().cast());
        let a = _mm_unpacklo_epi8(row(0), row(1));
        let b = _mm_unpacklo_epi8(row(2), row(3));
        let c = _mm_unpacklo_epi8(row(4), row(5));
        let d = _mm_unpacklo_epi8(row(6), row(7));
        let (ab_low, ab_high) = (_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b));
        let (cd_low, cd_high) = (_mm_unpacklo_epi16(c, d), _mm_unpackhi_epi16(c, d));
        let mut out = [[0; ROWS]; 8];
        let to = out.as_mut_ptr().cast::<__m128i>();
        _mm_storeu_si128(to, _mm_unpacklo_epi32(ab_low, cd_low));
        _mm_storeu_si128(to.add(1), _mm_unpackhi_epi32(ab_low, cd_low));
        _mm_storeu_si128(to.add(2), _mm_unpacklo_epi32(ab_high, cd_high));
        _mm_storeu_si128(to.add(3), _mm_unpackhi_epi32(ab_high, cd_high));
        out
    }
}

/// An `i32` in each lane, as two equal `i16`.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn twice(x: __m256i) -> __m256i {
    // SAFETY: As the caller's.
    unsafe { pair(x, x) }
}

/// An `i32` of each in each lane, as two `i16`.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn pair(first: __m256i, last: __m256i) -> __m256i {
    // SAFETY: As the caller's.
    unsafe { _mm256_blend_epi16::<0xaa>(first, _mm256_slli_epi32::<16>(last)) }
}

/// Scales and minimums of `Q4_K` and `Q5_K`.
pub(in crate::kernels::x86) struct KHeader {
    /// `(groups, rows)`.
    pub(in crate::kernels::x86) scales: [[u8; ROWS]; 8],
    /// `(groups, rows)`.
    pub(in crate::kernels::x86) minimums: [[u8; ROWS]; 8],
    /// What one unit of a scale is worth.
    pub(in crate::kernels::x86) scale: __m256,
    /// What one unit of a minimum is worth.
    pub(in crate::kernels::x86) minimum: __m256,
}

impl KHeader {
    /// Unpacks them.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    #[inline(always)]
    pub(in crate::kernels::x86) unsafe fn new(
        groups: [&[u8; 12]; ROWS],
        scales: [[u8; 2]; ROWS],
        minimums: [[u8; 2]; ROWS],
    ) -> Self {
        let unpacked = groups.map(unpack_groups);
        // SAFETY: As the caller's.
        unsafe {
            Self {
                scales: transpose(unpacked.map(|(scales, _)| scales)),
                minimums: transpose(unpacked.map(|(_, minimums)| minimums)),
                scale: widen8(scales),
                minimum: widen8(minimums),
            }
        }
    }

    /// Completes the weights of a group.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    #[inline(always)]
    unsafe fn weights(&self, q: [__m256i; 8], group: usize) -> Weights {
        // SAFETY: As the caller's; each row of the tables has eight bytes.
        unsafe {
            let wide = |x: &[u8; ROWS]| _mm256_cvtepu8_epi32(_mm_loadl_epi64(x.as_ptr().cast()));
            let scales = twice(wide(&self.scales[group]));
            let minimums = _mm256_cvtepi32_ps(wide(&self.minimums[group]));
            Weights {
                q,
                scales: [scales; 2],
                offset: _mm256_setzero_si256(),
                scale: self.scale,
                minimum: _mm256_fnmadd_ps(minimums, self.minimum, _mm256_setzero_ps()),
            }
        }
    }
}

/// The weights of a group of a type without integer scales: those of the high bytes are 256.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn plain(q: [__m256i; 8], scale: __m256, minimum: __m256) -> Weights {
    // SAFETY: As the caller's.
    unsafe {
        let offset = _mm256_setzero_si256();
        Weights {
            q,
            scales: [_mm256_set1_epi16(256); 2],
            offset,
            scale,
            minimum,
        }
    }
}

impl Tile for Q4_0 {
    type Header = ();
    const GROUPS: usize = 1;
    const PLANES: bool = true;
    const CHAIN: usize = 8;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(_blocks: &[*const Self; ROWS]) {}

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], _header: &(), _group: usize) -> Weights {
        // SAFETY: As the caller's.
        unsafe {
            let scale = widen8(blocks.map(|block| (*block).scale));
            let minimum = _mm256_mul_ps(scale, _mm256_set1_ps(-8.0));
            plain(
                nibbles(blocks.map(|block| (*block).q.as_ptr())),
                scale,
                minimum,
            )
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, group: usize) -> Group {
        Q16x32::group(blocks, group)
    }
}

impl Tile for Q4_1 {
    type Header = ();
    const GROUPS: usize = 1;
    const PLANES: bool = true;
    const CHAIN: usize = 8;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(_blocks: &[*const Self; ROWS]) {}

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], _header: &(), _group: usize) -> Weights {
        // SAFETY: As the caller's.
        unsafe {
            let scale = widen8(blocks.map(|block| (*block).scale));
            let minimum = widen8(blocks.map(|block| (*block).minimum));
            plain(
                nibbles(blocks.map(|block| (*block).q.as_ptr())),
                scale,
                minimum,
            )
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, group: usize) -> Group {
        Q16x32::group(blocks, group)
    }
}

impl Tile for Q8_0 {
    type Header = ();
    const GROUPS: usize = 1;
    const PLANES: bool = true;
    const CHAIN: usize = 1;
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn header(_blocks: &[*const Self; ROWS]) {}

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], _header: &(), _group: usize) -> Weights {
        // SAFETY: As the caller's.
        unsafe {
            let scale = widen8(blocks.map(|block| (*block).scale));
            let q = interleave32(blocks.map(|block| (*block).q.as_ptr().cast()));
            plain(q, scale, _mm256_setzero_ps())
        }
    }

    #[inline(always)]
    fn activations(blocks: usize, group: usize) -> Group {
        Q16x32::group(blocks, group)
    }
}

impl Tile for Q4K {
    type Header = KHeader;
    const GROUPS: usize = 8;
    const CHAIN: usize = 8;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> KHeader {
        // SAFETY: As the caller's.
        unsafe {
            let blocks = blocks.map(|block| &*block);
            KHeader::new(
                blocks.map(|block| &block.groups),
                blocks.map(|block| block.scale),
                blocks.map(|block| block.minimum),
            )
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], header: &KHeader, group: usize) -> Weights {
        // SAFETY: As the caller's; two groups share 32 bytes.
        unsafe {
            let q = blocks.map(|block| (*block).q.as_ptr().add(group / 2 * 32));
            let mut q = interleave32(q);
            for q in &mut q {
                *q = if group % 2 == 0 {
                    nibble::<0>(*q)
                } else {
                    nibble::<4>(*q)
                };
            }
            header.weights(q, group)
        }
    }

    #[inline(always)]
    fn activations(_blocks: usize, group: usize) -> Group {
        Q8x256::group(group)
    }
}

impl Tile for Q5K {
    type Header = KHeader;
    const GROUPS: usize = 8;
    const CHAIN: usize = 4;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> KHeader {
        // SAFETY: As the caller's.
        unsafe {
            let blocks = blocks.map(|block| &*block);
            KHeader::new(
                blocks.map(|block| &block.groups),
                blocks.map(|block| block.scale),
                blocks.map(|block| block.minimum),
            )
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], header: &KHeader, group: usize) -> Weights {
        // SAFETY: As the caller's; two groups share 32 bytes, all groups those of the fifth bits.
        unsafe {
            let q = blocks.map(|block| (*block).q.as_ptr().add(group / 2 * 32));
            let mut q = interleave32(q);
            let high = interleave32(blocks.map(|block| (*block).high.as_ptr()));
            // CAST: Below 8.
            let shift = _mm_cvtsi32_si128(group as i32);
            for (q, high) in q.iter_mut().zip(high) {
                let low = if group % 2 == 0 {
                    nibble::<0>(*q)
                } else {
                    nibble::<4>(*q)
                };
                let bit = _mm256_and_si256(_mm256_srl_epi16(high, shift), _mm256_set1_epi8(1));
                *q = _mm256_or_si256(low, _mm256_slli_epi16::<4>(bit));
            }
            header.weights(q, group)
        }
    }

    #[inline(always)]
    fn activations(_blocks: usize, group: usize) -> Group {
        Q8x256::group(group)
    }
}

/// Scales of `Q6_K`.
pub(super) struct Q6KHeader {
    /// `(groups of 16, rows)`.
    scales: [[[u8; ROWS]; 8]; 2],
    scale: __m256,
}

impl Tile for Q6K {
    type Header = Q6KHeader;
    const GROUPS: usize = 8;
    const CHAIN: usize = 2;
    const OFFSET: bool = true;

    #[inline(always)]
    unsafe fn header(blocks: &[*const Self; ROWS]) -> Q6KHeader {
        // SAFETY: As the caller's; there are 16 scales.
        unsafe {
            let scales = |half: usize| {
                transpose(blocks.map(|block| {
                    (*block)
                        .scales
                        .as_ptr()
                        .add(8 * half)
                        .cast::<[u8; 8]>()
                        .read()
                }))
            };
            Q6KHeader {
                scales: [scales(0), scales(1)],
                scale: widen8(blocks.map(|block| (*block).scale)),
            }
        }
    }

    #[inline(always)]
    unsafe fn weights(blocks: &[*const Self; ROWS], header: &Q6KHeader, group: usize) -> Weights {
        let (half, part) = (group / 4, group % 4);
        // SAFETY: As the caller's; 64 bytes serve half a block, 32 of the high bits do.
        unsafe {
            let low = blocks.map(|block| (*block).low.as_ptr().add(64 * half + part % 2 * 32));
            let high = blocks.map(|block| (*block).high.as_ptr().add(32 * half));
            let mut q = interleave32(low);
            // CAST: Below 8.
            let shift = _mm_cvtsi32_si128(2 * part as i32);
            for (q, high) in q.iter_mut().zip(interleave32(high)) {
                let low = if part < 2 {
                    nibble::<0>(*q)
                } else {
                    nibble::<4>(*q)
                };
                let bits = _mm256_and_si256(_mm256_srl_epi16(high, shift), _mm256_set1_epi8(3));
                *q = _mm256_or_si256(low, _mm256_slli_epi16::<4>(bits));
            }
            let scales = |i: usize| {
                let scales = &header.scales[i / 8][i % 8];
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(scales.as_ptr().cast()))
            };
            let scales = [twice(scales(2 * group)), twice(scales(2 * group + 1))];
            // The weights are 32 less than `q`.
            let offset = _mm256_blend_epi16::<0xaa>(scales[0], scales[1]);
            Weights {
                q,
                scales,
                offset: _mm256_slli_epi16::<5>(offset),
                scale: header.scale,
                minimum: _mm256_setzero_ps(),
            }
        }
    }

    #[inline(always)]
    fn activations(_blocks: usize, group: usize) -> Group {
        Q8x256::group(group)
    }
}

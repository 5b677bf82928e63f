// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Activations in 8 bits: the right-hand side of the integer dot products.
//!
//! A value is `scale * q` with `|q| <= 127`. The sums serve weights with a minimum or an offset: it
//! is multiplied by the sum of the activations, once a group.

use core::mem::{offset_of, size_of};

use llamux_abi as abi;

use crate::elementary::round_f32;

/// 32 activations, for the types with blocks of 32.
///
/// A row is not an array of these: it holds the `q` of all blocks, then the [`Q8x32Scale`] of all.
#[derive(Clone, Copy)]
pub(crate) struct Q8x32 {
    /// The activations, over `scale.scale`.
    pub(crate) q: [i8; 32],
    /// Their scale.
    pub(crate) scale: Q8x32Scale,
}

/// Scale and sum of a [`Q8x32`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub(crate) struct Q8x32Scale {
    /// What one unit of `q` is worth.
    pub(crate) scale: f32,
    /// `scale` times the sum of `q`.
    pub(crate) sum: f32,
}

const _: () = assert!(32 + size_of::<Q8x32Scale>() == abi::ACT_Q8X32_BYTES);

/// 256 activations, for the types with super-blocks of 256. A row is an array of these.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q8x256 {
    /// The activations, over `scale`.
    pub(crate) q: [i8; 256],
    /// `scale` times the sums of `q` in groups of 32.
    pub(crate) sums32: [f32; 8],
    /// Sums of `q` in groups of 16.
    pub(crate) sums16: [i16; 16],
    /// What one unit of `q` is worth.
    pub(crate) scale: f32,
    /// So that vectors of 32 bytes keep their alignment.
    pub(crate) pad: [u8; 28],
}

const _: () = assert!(size_of::<Q8x256>() == abi::ACT_Q8X256_BYTES);

/// Where a group of 32 activations lies in its row, in bytes from the row's start.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    /// 32 `i8`.
    pub(crate) q: usize,
    /// `f32`: what one unit of `q` is worth.
    pub(crate) scale: usize,
    /// `f32`: the sum of the activations.
    pub(crate) sum: usize,
    /// Two `i16`: the sums of the halves of `q`, where the layout has them.
    pub(crate) halves: usize,
}

/// A layout of activations.
pub(crate) trait Activations: Copy {
    /// How many activations a block holds.
    const LEN: usize;
    /// How many bytes of a row a block takes.
    const BYTES: usize;

    /// Quantizes [`LEN`](Self::LEN) values.
    fn quantize(x: &[f32]) -> Self;

    /// Writes block `i` of a row of so many blocks.
    ///
    /// # Safety
    ///
    /// `row` has room for `blocks` blocks and is aligned to 4 bytes; `i < blocks`.
    unsafe fn write(self, row: *mut u8, blocks: usize, i: usize);

    /// Reads block `i` of a row of so many blocks.
    ///
    /// # Safety
    ///
    /// `row` is `blocks` written blocks and is aligned to 4 bytes; `i < blocks`.
    unsafe fn read(row: *const u8, blocks: usize, i: usize) -> Self;
}

impl Activations for f32 {
    const LEN: usize = 1;
    const BYTES: usize = 4;

    fn quantize(x: &[f32]) -> Self {
        x[0]
    }

    #[inline]
    unsafe fn write(self, row: *mut u8, _blocks: usize, i: usize) {
        // SAFETY: As the caller's.
        unsafe { row.cast::<f32>().add(i).write(self) }
    }

    #[inline]
    unsafe fn read(row: *const u8, _blocks: usize, i: usize) -> Self {
        // SAFETY: As the caller's.
        unsafe { row.cast::<f32>().add(i).read() }
    }
}

impl Activations for Q8x32 {
    const LEN: usize = 32;
    const BYTES: usize = abi::ACT_Q8X32_BYTES;

    #[inline]
    fn quantize(x: &[f32]) -> Self {
        let mut q = [0; 32];
        let scale = quantize(x, &mut q);
        let sum: i32 = q.iter().map(|&q| i32::from(q)).sum();
        // CAST: At most 32 * 128.
        let sum = scale * sum as f32;
        Self {
            q,
            scale: Q8x32Scale { scale, sum },
        }
    }

    #[inline]
    unsafe fn write(self, row: *mut u8, blocks: usize, i: usize) {
        // SAFETY: The scales follow the `32 * blocks` bytes of `q`, a multiple of 4.
        unsafe {
            row.cast::<[i8; 32]>().add(i).write(self.q);
            row.add(32 * blocks)
                .cast::<Q8x32Scale>()
                .add(i)
                .write(self.scale);
        }
    }

    #[inline]
    unsafe fn read(row: *const u8, blocks: usize, i: usize) -> Self {
        // SAFETY: As in `write`.
        unsafe {
            Self {
                q: row.cast::<[i8; 32]>().add(i).read(),
                scale: row.add(32 * blocks).cast::<Q8x32Scale>().add(i).read(),
            }
        }
    }
}

impl Q8x32 {
    /// Where group (that is, block) `i` of a row of so many blocks lies.
    #[inline(always)]
    pub(crate) fn group(blocks: usize, i: usize) -> Group {
        let scale = 32 * blocks + i * size_of::<Q8x32Scale>();
        let sum = scale + offset_of!(Q8x32Scale, sum);
        Group {
            q: 32 * i,
            scale,
            sum,
            halves: scale,
        }
    }
}

impl Activations for Q8x256 {
    const LEN: usize = 256;
    const BYTES: usize = abi::ACT_Q8X256_BYTES;

    #[inline]
    fn quantize(x: &[f32]) -> Self {
        let mut q = [0; 256];
        let scale = quantize(x, &mut q);
        let mut sums16 = [0; 16];
        for (sum, group) in sums16.iter_mut().zip(q.chunks_exact(16)) {
            *sum = group.iter().map(|&q| i16::from(q)).sum();
        }
        let mut sums32 = [0.0; 8];
        for (sum, pair) in sums32.iter_mut().zip(sums16.chunks_exact(2)) {
            *sum = scale * f32::from(pair[0] + pair[1]);
        }
        Self {
            q,
            sums32,
            sums16,
            scale,
            pad: [0; 28],
        }
    }

    #[inline]
    unsafe fn write(self, row: *mut u8, _blocks: usize, i: usize) {
        // SAFETY: As the caller's.
        unsafe { row.cast::<Self>().add(i).write(self) }
    }

    #[inline]
    unsafe fn read(row: *const u8, _blocks: usize, i: usize) -> Self {
        // SAFETY: As the caller's.
        unsafe { row.cast::<Self>().add(i).read() }
    }
}

impl Q8x256 {
    /// Where group `i` of a row lies.
    #[inline(always)]
    pub(crate) fn group(i: usize) -> Group {
        let block = i / 8 * size_of::<Self>();
        Group {
            q: block + i % 8 * 32,
            scale: block + offset_of!(Self, scale),
            sum: block + offset_of!(Self, sums32) + i % 8 * 4,
            halves: block + offset_of!(Self, sums16) + i % 8 * 4,
        }
    }
}

/// Writes `x` over the scale that it returns.
#[inline]
fn quantize(x: &[f32], q: &mut [i8]) -> f32 {
    let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    for (q, x) in q.iter_mut().zip(x) {
        // CAST: Within -127 and 127; a NaN becomes 0.
        *q = round_f32(x * inverse) as i8;
    }
    largest / 127.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::vec::Vec;

    #[test]
    fn values_come_back_within_half_a_unit() {
        let mut random = Random::new(6);
        let x: Vec<f32> = (0..256).map(|_| random.signed() * 3.0).collect();
        let block = Q8x256::quantize(&x);
        for (x, q) in x.iter().zip(block.q) {
            assert!((x - f32::from(q) * block.scale).abs() <= 0.501 * block.scale);
        }
        let sum = |q: &[i8]| q.iter().map(|&q| i16::from(q)).sum::<i16>();
        assert_eq!(block.sums16[3], sum(&block.q[48..64]));
        assert_eq!(
            block.sums32[7],
            block.scale * f32::from(sum(&block.q[224..]))
        );
        let block = Q8x32::quantize(&x[..32]);
        assert_eq!(
            block.scale.sum,
            block.scale.scale * f32::from(sum(&block.q))
        );
        assert!(block.q.iter().any(|q| q.unsigned_abs() == 127));
    }

    #[test]
    fn zeros_stay_zeros() {
        let block = Q8x32::quantize(&[0.0; 32]);
        assert_eq!(
            (block.q, block.scale),
            (
                [0; 32],
                Q8x32Scale {
                    scale: 0.0,
                    sum: 0.0
                }
            )
        );
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Activations as integers: the right-hand side of the integer dot products.
//!
//! A value is `scale * q`. In front of blocks of 32 weights `q` has 16 bits, in two planes of bytes,
//! so that an instruction for bytes is used twice on the same weights: small models, which have such
//! blocks, magnify what 8 bits lose. In front of super-blocks of 256 it has 8.
//!
//! The sums serve weights with a minimum or an offset: it is multiplied by the sum of the
//! activations, once a group.

use core::mem::{offset_of, size_of};

use llamux_abi as abi;

use crate::elementary::round_f32;

/// 32 activations, for the types with blocks of 32.
///
/// A row is not an array of these: it holds the [`Planes`] of each four blocks, then the
/// [`Q16x32Scale`] of all, where the last four are completed by zeros.
#[derive(Clone, Copy)]
pub(crate) struct Q16x32 {
    /// The activations, over `scale.scale`: `256 * high + low`, either within -127 and 127.
    pub(crate) q: [i16; 32],
    /// Their scale.
    pub(crate) scale: Q16x32Scale,
}

/// `q` of four [`Q16x32`]: `(high and low, halves of a block, blocks, 16)`.
pub(crate) type Planes = [[[[i8; 16]; 4]; 2]; 2];

/// Scale and sum of a [`Q16x32`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Q16x32Scale {
    /// What one unit of `q` is worth.
    pub(crate) scale: f32,
    /// `scale` times the sum of `q`.
    pub(crate) sum: f32,
}

const _: () = assert!(size_of::<Planes>() + 4 * size_of::<Q16x32Scale>() <= abi::ACT_Q16X32_BYTES);

/// The largest `q` of a [`Q16x32`]: 127 in the upper byte.
pub(crate) const Q16_MAX: f32 = 32512.0;

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
    /// 16 `i8`.
    pub(crate) q: usize,
    /// From these to the 16 after them.
    pub(crate) half: usize,
    /// From all of these to their low bytes, where the layout has them.
    pub(crate) low: usize,
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

    /// How many bytes a row of so many blocks takes.
    fn row_bytes(blocks: usize) -> usize;

    /// Quantizes [`LEN`](Self::LEN) values.
    fn quantize(x: &[f32]) -> Self;

    /// Writes block `i` of a row of so many blocks, and with the last one what completes the row.
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

    fn row_bytes(blocks: usize) -> usize {
        4 * blocks
    }

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

impl Activations for Q16x32 {
    const LEN: usize = 32;

    #[inline(always)]
    fn row_bytes(blocks: usize) -> usize {
        blocks.div_ceil(4) * abi::ACT_Q16X32_BYTES
    }

    fn quantize(x: &[f32]) -> Self {
        let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let inverse = Self::inverse(largest);
        let mut q = [0; 32];
        for (q, x) in q.iter_mut().zip(x) {
            // CAST: Within -32512 and 32512; a NaN becomes 0.
            let units = round_f32(x * inverse) as i32;
            let high = (units + 128) >> 8;
            let low = (units - 256 * high).max(-127);
            // CAST: Within the same bounds.
            *q = (256 * high + low) as i16;
        }
        let sum: i32 = q.iter().map(|&q| i32::from(q)).sum();
        let scale = largest / Q16_MAX;
        // CAST: At most 32 * 32512.
        let sum = scale * sum as f32;
        Self {
            q,
            scale: Q16x32Scale { scale, sum },
        }
    }

    unsafe fn write(self, row: *mut u8, blocks: usize, i: usize) {
        let end = if i + 1 == blocks {
            blocks.next_multiple_of(4)
        } else {
            i + 1
        };
        for at in i..end {
            let mut block = self;
            if at > i {
                (block.q, block.scale) = ([0; 32], Q16x32Scale::default());
            }
            // SAFETY: The row has room for each begun four blocks; the scales follow the planes, whose
            // size is a multiple of 4.
            unsafe {
                let planes = &mut *row.cast::<Planes>().add(at / 4);
                for (i, q) in block.q.into_iter().enumerate() {
                    let high = (q + 128) >> 8;
                    // CAST: Both within -127 and 127.
                    planes[0][i / 16][at % 4][i % 16] = high as i8;
                    planes[1][i / 16][at % 4][i % 16] = (q - 256 * high) as i8;
                }
                Self::scales(row, blocks).add(at).write(block.scale);
            }
        }
    }

    unsafe fn read(row: *const u8, blocks: usize, i: usize) -> Self {
        // SAFETY: As in `write`.
        unsafe {
            let planes = &*row.cast::<Planes>().add(i / 4);
            let byte = |plane: usize, at: usize| i16::from(planes[plane][at / 16][i % 4][at % 16]);
            Self {
                q: core::array::from_fn(|at| 256 * byte(0, at) + byte(1, at)),
                scale: Self::scales(row.cast_mut(), blocks).add(i).read(),
            }
        }
    }
}

impl Q16x32 {
    /// One over the scale for values of which this is the largest; 0 where that is no number, that is
    /// where they are too small to count.
    #[inline(always)]
    pub(crate) fn inverse(largest: f32) -> f32 {
        let inverse = Q16_MAX / largest;
        if inverse < f32::INFINITY {
            inverse
        } else {
            0.0
        }
    }

    /// The scales of a row of so many blocks.
    #[inline(always)]
    pub(crate) fn scales(row: *mut u8, blocks: usize) -> *mut Q16x32Scale {
        row.wrapping_add(blocks.div_ceil(4) * size_of::<Planes>())
            .cast()
    }

    /// Where group (that is, block) `i` of a row of so many blocks lies.
    #[inline(always)]
    pub(crate) fn group(blocks: usize, i: usize) -> Group {
        let scale = blocks.div_ceil(4) * size_of::<Planes>() + i * size_of::<Q16x32Scale>();
        Group {
            q: i / 4 * size_of::<Planes>() + i % 4 * 16,
            half: 64,
            low: size_of::<Planes>() / 2,
            scale,
            sum: scale + offset_of!(Q16x32Scale, sum),
            halves: scale,
        }
    }
}

impl Activations for Q8x256 {
    const LEN: usize = 256;

    #[inline(always)]
    fn row_bytes(blocks: usize) -> usize {
        blocks * abi::ACT_Q8X256_BYTES
    }

    #[inline]
    fn quantize(x: &[f32]) -> Self {
        let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let mut q = [0; 256];
        for (q, x) in q.iter_mut().zip(x) {
            // CAST: Within -127 and 127; a NaN becomes 0.
            *q = round_f32(x * inverse) as i8;
        }
        let scale = largest / 127.0;
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
            half: 16,
            low: 0,
            scale: block + offset_of!(Self, scale),
            sum: block + offset_of!(Self, sums32) + i % 8 * 4,
            halves: block + offset_of!(Self, sums16) + i % 8 * 4,
        }
    }
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
    }

    #[test]
    fn sixteen_bits_come_back_from_their_planes() {
        let mut random = Random::new(7);
        // Five blocks, so that three zeros complete the second four.
        let x: Vec<f32> = (0..5 * 32).map(|_| random.signed() * 3.0).collect();
        let mut row = [0x55_u32; 2 * abi::ACT_Q16X32_BYTES / 4];
        assert_eq!(Q16x32::row_bytes(5), size_of_val(&row));
        let row = row.as_mut_ptr().cast::<u8>();
        for (i, x) in x.chunks_exact(32).enumerate() {
            // SAFETY: There is room for eight blocks.
            unsafe { Q16x32::quantize(x).write(row, 5, i) };
        }
        for (i, x) in x.chunks_exact(32).enumerate() {
            // SAFETY: All are written.
            let block = unsafe { Q16x32::read(row, 5, i) };
            let Q16x32Scale { scale, sum } = block.scale;
            for (x, q) in x.iter().zip(block.q) {
                // One more where the low byte would be -128.
                assert!((x - f32::from(q) * scale).abs() <= 1.01 * scale);
            }
            let expected: f32 = block.q.iter().map(|&q| f32::from(q)).sum();
            assert_eq!(sum, scale * expected);
            assert!(block.q.iter().any(|q| q.unsigned_abs() == 32512));
        }
        for i in 5..8 {
            // SAFETY: As above.
            let block = unsafe { Q16x32::read(row, 5, i) };
            assert_eq!((block.q, block.scale), ([0; 32], Q16x32Scale::default()));
        }
    }

    #[test]
    fn what_is_too_small_becomes_zero() {
        for x in [0.0, 1e-38, -1e-40] {
            let block = Q16x32::quantize(&[x; 32]);
            assert_eq!((block.q, block.scale.sum), ([0; 32], 0.0));
        }
    }
}

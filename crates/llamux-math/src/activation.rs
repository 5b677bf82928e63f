// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Activations in 8 bits: the right-hand side of the integer dot products.
//!
//! A value is `scale * q` with `|q| <= 127`. The sums serve weights with a minimum or an offset: it
//! is multiplied by the sum of the activations, once a group.

use core::mem::size_of;

use llamux_abi as abi;

use crate::elementary::round_f32;

/// 32 activations, for the types with blocks of 32.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q8x32 {
    /// The activations, over `scale`.
    pub(crate) q: [i8; 32],
    /// What one unit of `q` is worth.
    pub(crate) scale: f32,
    /// `scale` times the sum of `q`.
    pub(crate) sum: f32,
}

const _: () = assert!(size_of::<Q8x32>() == abi::ACT_Q8X32_BYTES);

/// 256 activations, for the types with super-blocks of 256.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q8x256 {
    /// The activations, over `scale`.
    pub(crate) q: [i8; 256],
    /// Sums of `q` in groups of 16.
    pub(crate) sums16: [i16; 16],
    /// Sums of `q` in groups of 32.
    pub(crate) sums32: [i16; 8],
    /// What one unit of `q` is worth.
    pub(crate) scale: f32,
    /// Fills five cache lines.
    pub(crate) pad: [u8; 12],
}

const _: () = assert!(size_of::<Q8x256>() == abi::ACT_Q8X256_BYTES);

/// A layout of activations.
pub(crate) trait Activations: Copy {
    /// How many activations a block holds.
    const LEN: usize;

    /// Quantizes [`LEN`](Self::LEN) values.
    fn quantize(x: &[f32]) -> Self;
}

impl Activations for f32 {
    const LEN: usize = 1;

    fn quantize(x: &[f32]) -> Self {
        x[0]
    }
}

impl Activations for Q8x32 {
    const LEN: usize = 32;

    fn quantize(x: &[f32]) -> Self {
        let mut q = [0; 32];
        let scale = quantize(x, &mut q);
        let sum: i32 = q.iter().map(|&q| i32::from(q)).sum();
        // CAST: At most 32 * 128.
        Self {
            q,
            scale,
            sum: scale * sum as f32,
        }
    }
}

impl Activations for Q8x256 {
    const LEN: usize = 256;

    fn quantize(x: &[f32]) -> Self {
        let mut q = [0; 256];
        let scale = quantize(x, &mut q);
        let mut sums16 = [0; 16];
        for (sum, group) in sums16.iter_mut().zip(q.chunks_exact(16)) {
            *sum = group.iter().map(|&q| i16::from(q)).sum();
        }
        let mut sums32 = [0; 8];
        for (sum, pair) in sums32.iter_mut().zip(sums16.chunks_exact(2)) {
            *sum = pair[0] + pair[1];
        }
        Self {
            q,
            sums16,
            sums32,
            scale,
            pad: [0; 12],
        }
    }
}

/// Writes `x` over the scale that it returns.
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
        assert_eq!(
            block.sums16[3],
            block.q[48..64].iter().map(|&q| i16::from(q)).sum()
        );
        assert_eq!(
            block.sums32[7],
            block.q[224..].iter().map(|&q| i16::from(q)).sum()
        );
        let block = Q8x32::quantize(&x[..32]);
        let sum: i32 = block.q.iter().map(|&q| i32::from(q)).sum();
        assert_eq!(block.sum, block.scale * sum as f32);
        assert!(block.q.iter().any(|q| q.unsigned_abs() == 127));
    }

    #[test]
    fn zeros_stay_zeros() {
        let block = Q8x32::quantize(&[0.0; 32]);
        assert_eq!((block.q, block.scale, block.sum), ([0; 32], 0.0, 0.0));
    }
}

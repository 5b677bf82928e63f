// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q2_K`: 256 weights of 2 bits in 16 groups of 16, with 4-bit scales and minimums.

use llamux_abi::TensorType;

use super::{agrees_with_abi, Block};
use crate::activation::Q8x256;
use crate::fit;
use crate::float16;

/// 256 weights, those of group `g` being `scale * scales[g] * q - minimum * minimums[g]`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q2K {
    /// The scale of each group in the low half of its byte, the minimum in the high half.
    pub(crate) groups: [u8; 16],
    /// 32 bytes serve 128 weights: the lowest two bits of a byte belong to the first 32, and so on.
    pub(crate) q: [u8; 64],
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
    /// 16-bit float.
    pub(crate) minimum: [u8; 2],
}

const _: () = assert!(agrees_with_abi::<Q2K>());

impl Q2K {
    /// The 2 bits of weight `i`.
    fn q(&self, i: usize) -> u8 {
        self.q[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3
    }
}

impl Block for Q2K {
    type Activation = Q8x256;

    const TENSOR_TYPE: TensorType = TensorType::Q2_K;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        for (g, out) in out.chunks_exact_mut(16).enumerate() {
            let scale = float16::from_bytes(self.scale) * f32::from(self.groups[g] & 15);
            let minimum = float16::from_bytes(self.minimum) * f32::from(self.groups[g] >> 4);
            for (i, out) in out.iter_mut().enumerate() {
                *out = scale * f32::from(self.q(16 * g + i)) - minimum;
            }
        }
    }

    #[inline]
    fn dot(&self, x: &Q8x256) -> f32 {
        let (mut sum, mut offset) = (0, 0);
        for (g, x_group) in x.q.chunks_exact(16).enumerate() {
            let products = x_group
                .iter()
                .enumerate()
                .map(|(i, x)| i32::from(self.q(16 * g + i)) * i32::from(*x));
            sum += i32::from(self.groups[g] & 15) * products.sum::<i32>();
            offset += i32::from(self.groups[g] >> 4) * i32::from(x.sums16[g]);
        }
        // CAST: At most 256 * 15 * 3 * 128.
        let (sum, offset) = (sum as f32, offset as f32);
        let (scale, minimum) = (
            float16::from_bytes(self.scale),
            float16::from_bytes(self.minimum),
        );
        scale * x.scale * sum - minimum * x.scale * offset
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let mut ideal = [(0.0, 0.0); 16];
        for (g, ideal) in ideal.iter_mut().enumerate() {
            *ideal = fit::scale_and_minimum::<16>(&fit::group(x, g), 3.0, 0.0, f32::abs);
        }
        let most = ideal.iter().fold((0.0_f32, 0.0_f32), |most, ideal| {
            (most.0.max(ideal.0), most.1.max(-ideal.1))
        });
        let scale = float16::to_bytes(most.0 / 15.0);
        let minimum = float16::to_bytes(most.1 / 15.0);
        let (unit, unit_minimum) = (float16::from_bytes(scale), float16::from_bytes(minimum));
        // CAST: Of few bits.
        let scales = ideal.map(|g| fit::level(g.0 * fit::inverse(unit), 0.0, 15.0) as u8);
        let minimums =
            ideal.map(|g| fit::level(-g.1 * fit::inverse(unit_minimum), 0.0, 15.0) as u8);
        let q = |i: usize| {
            let g = i / 16;
            let x = x[i] + unit_minimum * f32::from(minimums[g]);
            fit::level(x * fit::inverse(unit * f32::from(scales[g])), 0.0, 3.0) as u8
        };
        let mut bits = [0; 64];
        for i in 0..256 {
            bits[i / 128 * 32 + i % 32] |= q(i) << (i / 32 % 4 * 2);
        }
        Self {
            groups: core::array::from_fn(|g| scales[g] | minimums[g] << 4),
            q: bits,
            scale,
            minimum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::tests::dot_agrees_with_dequantize;

    #[test]
    fn weights_are_where_the_format_says() {
        let mut block = Q2K {
            groups: [0x11; 16],
            q: [0; 64],
            scale: half::f16::from_f32(0.5).to_le_bytes(),
            minimum: half::f16::from_f32(0.25).to_le_bytes(),
        };
        (block.q[0], block.q[49], block.groups[15]) = (0b0010_0001, 0xc0, 0x42);
        let mut out = [9.0; 256];
        block.dequantize(&mut out);
        let mut expected = [-0.25; 256];
        expected[240..].fill(-1.0);
        (expected[0], expected[64], expected[241]) = (0.25, 0.75, 2.0);
        assert_eq!(out, expected);
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| Q2K {
                groups: random.bytes(),
                q: random.bytes(),
                scale: random.scale(),
                minimum: random.scale(),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale).to_vec(),
        );
    }
}

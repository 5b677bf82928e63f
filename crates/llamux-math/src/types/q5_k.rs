// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q5_K`: 256 weights of 5 bits in 8 groups of 32, with 6-bit scales and minimums.

use llamux_abi::TensorType;

use super::q4_k::{pack_groups, unpack_groups};
use super::{agrees_with_abi, Block};
use crate::activation::Q8x256;
use crate::fit;
use crate::float16;

/// 256 weights, those of group `g` being `scale * scales[g] * q - minimum * minimums[g]`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5K {
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
    /// 16-bit float.
    pub(crate) minimum: [u8; 2],
    /// Scales and minimums of the groups, see [`unpack_groups`].
    pub(crate) groups: [u8; 12],
    /// Bit `g` of byte `i`: the fifth bit of weight `i` of group `g`.
    pub(crate) high: [u8; 32],
    /// Each 32 bytes hold one group in their low halves and the next in their high halves.
    pub(crate) q: [u8; 128],
}

const _: () = assert!(agrees_with_abi::<Q5K>());

impl Q5K {
    /// The 5 bits of weight `i`.
    fn q(&self, i: usize) -> u8 {
        let low = self.q[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
        low | (self.high[i % 32] >> (i / 32) & 1) << 4
    }
}

impl Block for Q5K {
    type Activation = Q8x256;

    const TENSOR_TYPE: TensorType = TensorType::Q5_K;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        let (scales, minimums) = unpack_groups(&self.groups);
        for (g, out) in out.chunks_exact_mut(32).enumerate() {
            let scale = float16::from_bytes(self.scale) * f32::from(scales[g]);
            let minimum = float16::from_bytes(self.minimum) * f32::from(minimums[g]);
            for (i, out) in out.iter_mut().enumerate() {
                *out = scale * f32::from(self.q(32 * g + i)) - minimum;
            }
        }
    }

    #[inline]
    fn dot(&self, x: &Q8x256) -> f32 {
        let (scales, minimums) = unpack_groups(&self.groups);
        let (mut sum, mut offset) = (0, 0.0);
        for (g, x_group) in x.q.chunks_exact(32).enumerate() {
            let products = x_group
                .iter()
                .enumerate()
                .map(|(i, x)| i32::from(self.q(32 * g + i)) * i32::from(*x));
            sum += i32::from(scales[g]) * products.sum::<i32>();
            offset += f32::from(minimums[g]) * x.sums32[g];
        }
        // CAST: At most 256 * 63 * 31 * 128; it may be rounded.
        float16::from_bytes(self.scale) * x.scale * sum as f32
            - float16::from_bytes(self.minimum) * offset
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let mut ideal = [(0.0, 0.0); 8];
        for (g, ideal) in ideal.iter_mut().enumerate() {
            *ideal = fit::scale_and_minimum::<32>(&fit::group(x, g), 31.0, 0.0, f32::abs);
        }
        let most = ideal.iter().fold((0.0_f32, 0.0_f32), |most, ideal| {
            (most.0.max(ideal.0), most.1.max(-ideal.1))
        });
        let scale = float16::to_bytes(most.0 / 63.0);
        let minimum = float16::to_bytes(most.1 / 63.0);
        let (unit, unit_minimum) = (float16::from_bytes(scale), float16::from_bytes(minimum));
        // CAST: Of few bits.
        let scales = ideal.map(|g| fit::level(g.0 * fit::inverse(unit), 0.0, 63.0) as u8);
        let minimums =
            ideal.map(|g| fit::level(-g.1 * fit::inverse(unit_minimum), 0.0, 63.0) as u8);
        let q = |i: usize| {
            let g = i / 32;
            let x = x[i] + unit_minimum * f32::from(minimums[g]);
            fit::level(x * fit::inverse(unit * f32::from(scales[g])), 0.0, 31.0) as u8
        };
        let mut high = [0; 32];
        let mut low = [0; 128];
        for i in 0..256 {
            let q = q(i);
            high[i % 32] |= q >> 4 << (i / 32);
            low[i / 64 * 32 + i % 32] |= (q & 15) << (i / 32 % 2 * 4);
        }
        Self {
            scale,
            minimum,
            groups: pack_groups(scales, minimums),
            high,
            q: low,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::tests::dot_agrees_with_dequantize;

    #[test]
    fn weights_are_where_the_format_says() {
        let mut block = Q5K {
            scale: half::f16::from_f32(0.5).to_le_bytes(),
            minimum: half::f16::from_f32(1.0).to_le_bytes(),
            groups: [1; 12],
            high: [0; 32],
            q: [0; 128],
        };
        (block.q[0], block.q[33]) = (0x03, 0x20);
        (block.high[0], block.high[1]) = (0x02, 0x08);
        let mut out = [0.0; 256];
        block.dequantize(&mut out);
        assert_eq!((out[0], out[1], out[32]), (0.5, -1.0, 7.0));
        assert_eq!((out[65], out[97], out[128]), (-1.0, 8.0, 0.0));
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| Q5K {
                scale: random.scale(),
                minimum: random.scale(),
                groups: random.bytes(),
                high: random.bytes(),
                q: random.bytes(),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale).to_vec(),
        );
    }
}

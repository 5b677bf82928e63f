// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q6_K`: 256 weights of 6 bits in 16 groups of 16, with 8-bit scales.

use llamux_abi::TensorType;

use super::groups::{self, Groups};
use super::{agrees_with_abi, Block};
use crate::activation::Q8x256;

/// 256 weights, those of group `g` being `scale * scales[g] * (q - 32)`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q6K {
    /// The low four bits. 64 bytes serve 128 weights: the first 64 are in their low halves, the
    /// others in their high halves.
    pub(crate) low: [u8; 128],
    /// The high two bits. 32 bytes serve 128 weights: the lowest two bits of a byte belong to the
    /// first 32, and so on.
    pub(crate) high: [u8; 64],
    /// Scales of the groups.
    pub(crate) scales: [i8; 16],
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
}

const _: () = assert!(agrees_with_abi::<Q6K>());

impl Q6K {
    /// Weight `i`, over the scales.
    fn q(&self, i: usize) -> i8 {
        let low = self.low[i / 128 * 64 + i % 64] >> (i / 64 % 2 * 4) & 15;
        let high = self.high[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        // CAST: 6 bits.
        (low | high << 4) as i8 - 32
    }
}

impl Block for Q6K {
    type Activation = Q8x256;

    const TENSOR_TYPE: TensorType = TensorType::Q6_K;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        groups::dequantize(self.scale, |g| self.scales[g], |i| self.q(i), out);
    }

    #[inline]
    fn dot(&self, x: &Q8x256) -> f32 {
        groups::dot(self.scale, |g| self.scales[g], |i| self.q(i), x)
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let Groups { unit, scales, q } = groups::quantize(x, 64, 256);
        let (mut low, mut high) = ([0; 128], [0; 64]);
        for (i, q) in q.into_iter().enumerate() {
            low[i / 128 * 64 + i % 64] |= (q & 15) << (i / 64 % 2 * 4);
            high[i / 128 * 32 + i % 32] |= q >> 4 << (i / 32 % 4 * 2);
        }
        Self {
            low,
            high,
            scales,
            scale: unit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::tests::dot_agrees_with_dequantize;

    #[test]
    fn weights_are_where_the_format_says() {
        let mut block = Q6K {
            low: [0; 128],
            high: [0xaa; 64],
            scales: [2; 16],
            scale: half::f16::from_f32(0.5).to_le_bytes(),
        };
        (block.low[0], block.low[65], block.high[33], block.scales[9]) = (0x1f, 0x50, 0x2a, -4);
        let mut out = [9.0; 256];
        block.dequantize(&mut out);
        let mut expected = [0.0; 256];
        (expected[0], expected[64]) = (15.0, 1.0);
        (expected[193], expected[225]) = (5.0, -32.0);
        assert_eq!(out, expected);
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| Q6K {
                low: random.bytes(),
                high: random.bytes(),
                scales: random.bytes().map(|scale| scale as i8),
                scale: random.scale(),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale).to_vec(),
        );
    }
}

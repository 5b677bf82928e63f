// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `IQ4_XS`: 256 weights that are one of 16 values each in 8 groups of 32, with 6-bit scales.

use llamux_abi::TensorType;

use super::iq4_nl::{index, nearest, values, VALUES_LOW};
use super::q3_k::less_32;
use super::{agrees_with_abi, Block};
use crate::activation::Q8x256;
use crate::fit;
use crate::float16;

/// 256 weights, those of group `g` being `scale * scales[g] * VALUES[q]`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct IQ4XS {
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
    /// The high two bits of the groups' scales, those of the first group lowest.
    pub(crate) scales_high: [u8; 2],
    /// The low four bits of the groups' scales, those of the first group lowest.
    pub(crate) scales_low: [u8; 4],
    /// 16 bytes serve a group: its first 16 weights are in their low halves, the others in their
    /// high halves.
    pub(crate) q: [u8; 128],
}

const _: () = assert!(agrees_with_abi::<IQ4XS>());

impl IQ4XS {
    /// Scales of the 8 groups, of 6 bits, stored with 32 added.
    #[inline(always)]
    pub(crate) fn scales(&self) -> [i8; 8] {
        // 4 bits, and 2 bits, to a byte.
        let low = u64::from(u32::from_le_bytes(self.scales_low));
        let low = (low | low << 16) & 0x0000_ffff_0000_ffff;
        let low = (low | low << 8) & 0x00ff_00ff_00ff_00ff;
        let low = (low | low << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        let high = u64::from(u16::from_le_bytes(self.scales_high));
        let high = (high | high << 24) & 0x0000_00ff_0000_00ff;
        let high = (high | high << 12) & 0x000f_000f_000f_000f;
        let high = (high | high << 6) & 0x0303_0303_0303_0303;
        less_32(low | high << 4)
    }
}

impl Block for IQ4XS {
    type Activation = Q8x256;

    const TENSOR_TYPE: TensorType = TensorType::IQ4_XS;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        let scales = self.scales();
        for (g, out) in out.chunks_exact_mut(32).enumerate() {
            let scale = float16::from_bytes(self.scale) * f32::from(scales[g]);
            for (i, q) in self.q[16 * g..][..16].iter().enumerate() {
                let (low, high) = values(*q);
                out[i] = scale * f32::from(low);
                out[i + 16] = scale * f32::from(high);
            }
        }
    }

    #[inline]
    fn dot(&self, x: &Q8x256) -> f32 {
        let mut sum = 0;
        for (g, scale) in self.scales().into_iter().enumerate() {
            let x = &x.q[32 * g..][..32];
            let mut products = 0;
            for (i, q) in self.q[16 * g..][..16].iter().enumerate() {
                let (low, high) = values(*q);
                products += i32::from(low) * i32::from(x[i]);
                products += i32::from(high) * i32::from(x[i + 16]);
            }
            sum += i32::from(scale) * products;
        }
        // CAST: At most 256 * 32 * 127 * 128; it may be rounded.
        float16::from_bytes(self.scale) * x.scale * sum as f32
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let mut ideal = [0.0; 8];
        for (g, ideal) in ideal.iter_mut().enumerate() {
            *ideal = fit::scale::<32>(&fit::group(x, g), VALUES_LOW, nearest, |x| x * x);
        }
        let scale = float16::to_bytes(fit::extreme(&ideal) / -32.0);
        let unit = float16::from_bytes(scale);
        // CAST: Of few bits.
        let scales = ideal.map(|g| fit::level(g * fit::inverse(unit), -32.0, 31.0) as i8);
        let (mut scales_low, mut scales_high) = (0_u32, 0_u16);
        for (g, scale) in scales.into_iter().enumerate() {
            // CAST: 6 bits.
            let bits = (scale + 32) as u8;
            scales_low |= u32::from(bits & 15) << (4 * g);
            scales_high |= u16::from(bits >> 4) << (2 * g);
        }
        let index = |i: usize| index(x[i] * fit::inverse(unit * f32::from(scales[i / 32])));
        Self {
            scale,
            scales_high: scales_high.to_le_bytes(),
            scales_low: scales_low.to_le_bytes(),
            q: core::array::from_fn(|i| {
                let first = i / 16 * 32 + i % 16;
                index(first) | index(first + 16) << 4
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::tests::dot_agrees_with_dequantize;

    #[test]
    fn weights_are_where_the_format_says() {
        let mut block = IQ4XS {
            scale: half::f16::from_f32(0.5).to_le_bytes(),
            // All scales are 0, but that of the last group is 31 and that of the second -30.
            scales_high: [0xa2, 0xea],
            scales_low: [0x20, 0x00, 0x00, 0xf0],
            q: [0x88; 128],
        };
        assert_eq!(block.scales(), [0, -30, 0, 0, 0, 0, 0, 31]);
        (block.q[16], block.q[127]) = (0x80, 0xf8);
        let mut out = [9.0; 256];
        block.dequantize(&mut out);
        let mut expected = [0.0; 256];
        expected[32..64].fill(-15.0);
        expected[224..].fill(15.5);
        (expected[32], expected[255]) = (15.0 * 127.0, 15.5 * 113.0);
        assert_eq!(out, expected);
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| IQ4XS {
                scale: random.scale(),
                scales_high: random.bytes(),
                scales_low: random.bytes(),
                q: random.bytes(),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale).to_vec(),
        );
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q5_0`: 32 weights of 5 bits with one scale.

use llamux_abi::TensorType;

use super::{agrees_with_abi, Block};
use crate::activation::Q16x32;
use crate::fit;
use crate::float16;

/// 32 weights, each `scale * (q - 16)`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5_0 {
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
    /// The fifth bits: bit `i` of the 32 belongs to weight `i`.
    pub(crate) high: [u8; 4],
    /// The low four bits: weight `i` in the low half of byte `i`, weight `i + 16` in its high half.
    pub(crate) q: [u8; 16],
}

const _: () = assert!(agrees_with_abi::<Q5_0>());

/// The 5 bits of weights `i` and `i + 16`, for `i < 16`.
#[inline]
pub(super) fn bits(high: [u8; 4], q: &[u8; 16], i: usize) -> (u8, u8) {
    let high = u32::from_le_bytes(high) >> i;
    // CAST: One bit each.
    let (first, last) = ((high & 1) as u8, (high >> 16 & 1) as u8);
    (q[i] & 15 | first << 4, q[i] >> 4 | last << 4)
}

/// Splits 32 weights of 5 bits into their high bits and the rest.
#[inline(always)]
pub(super) fn pack(q: impl Fn(usize) -> u8) -> ([u8; 4], [u8; 16]) {
    let (mut high, mut low) = (0_u32, [0; 16]);
    for i in 0..32 {
        let q = q(i);
        high |= u32::from(q >> 4) << i;
        low[i % 16] |= (q & 15) << (i / 16 * 4);
    }
    (high.to_le_bytes(), low)
}

impl Block for Q5_0 {
    type Activation = Q16x32;

    const TENSOR_TYPE: TensorType = TensorType::Q5_0;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        let scale = float16::from_bytes(self.scale);
        for i in 0..16 {
            let (low, high) = bits(self.high, &self.q, i);
            out[i] = scale * f32::from(i16::from(low) - 16);
            out[i + 16] = scale * f32::from(i16::from(high) - 16);
        }
    }

    #[inline]
    fn dot(&self, x: &Q16x32) -> f32 {
        let mut sum = 0;
        for i in 0..16 {
            let (low, high) = bits(self.high, &self.q, i);
            sum += (i32::from(low) - 16) * i32::from(x.q[i]);
            sum += (i32::from(high) - 16) * i32::from(x.q[i + 16]);
        }
        // CAST: At most 32 * 16 * 32512.
        float16::from_bytes(self.scale) * x.scale.scale * sum as f32
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let levels = |x| fit::level(x, -16.0, 15.0);
        let scale = fit::scale::<32>(&fit::group(x, 0), -16.0, levels, |x| x * x);
        let scale = float16::to_bytes(scale);
        let inverse = fit::inverse(float16::from_bytes(scale));
        // CAST: 5 bits.
        let (high, q) = pack(|i| (levels(x[i] * inverse) + 16.0) as u8);
        Self { scale, high, q }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::tests::dot_agrees_with_dequantize;

    #[test]
    fn weights_are_where_the_format_says() {
        let mut q = [0; 16];
        (q[1], q[15]) = (0x0f, 0x20);
        let block = Q5_0 {
            scale: half::f16::from_f32(0.5).to_le_bytes(),
            high: [0x02, 0, 0, 0x80],
            q,
        };
        let mut out = [9.0; 32];
        block.dequantize(&mut out);
        let mut expected = [-8.0; 32];
        (expected[1], expected[31]) = (7.5, 1.0);
        assert_eq!(out, expected);
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| Q5_0 {
                scale: random.scale(),
                high: random.bytes(),
                q: random.bytes(),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale.scale).to_vec(),
        );
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q5_1`: 32 weights of 5 bits with one scale and one minimum.

use llamux_abi::TensorType;

use super::q5_0::{bits, pack};
use super::{agrees_with_abi, Block};
use crate::activation::Q16x32;
use crate::fit;
use crate::float16;

/// 32 weights, each `scale * q + minimum`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5_1 {
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
    /// 16-bit float.
    pub(crate) minimum: [u8; 2],
    /// The fifth bits: bit `i` of the 32 belongs to weight `i`.
    pub(crate) high: [u8; 4],
    /// The low four bits: weight `i` in the low half of byte `i`, weight `i + 16` in its high half.
    pub(crate) q: [u8; 16],
}

const _: () = assert!(agrees_with_abi::<Q5_1>());

impl Block for Q5_1 {
    type Activation = Q16x32;

    const TENSOR_TYPE: TensorType = TensorType::Q5_1;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        let scale = float16::from_bytes(self.scale);
        let minimum = float16::from_bytes(self.minimum);
        for i in 0..16 {
            let (low, high) = bits(self.high, &self.q, i);
            out[i] = scale * f32::from(low) + minimum;
            out[i + 16] = scale * f32::from(high) + minimum;
        }
    }

    #[inline]
    fn dot(&self, x: &Q16x32) -> f32 {
        let mut sum = 0;
        for i in 0..16 {
            let (low, high) = bits(self.high, &self.q, i);
            sum += i32::from(low) * i32::from(x.q[i]);
            sum += i32::from(high) * i32::from(x.q[i + 16]);
        }
        // CAST: At most 32 * 31 * 32512.
        float16::from_bytes(self.scale) * x.scale.scale * sum as f32
            + float16::from_bytes(self.minimum) * x.scale.sum
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let x = fit::group::<32>(x, 0);
        let (scale, minimum) = fit::scale_and_minimum(&x, 31.0, f32::INFINITY, |x| x * x);
        let (scale, minimum) = (float16::to_bytes(scale), float16::to_bytes(minimum));
        let inverse = fit::inverse(float16::from_bytes(scale));
        let least = float16::from_bytes(minimum);
        // CAST: 5 bits.
        let (high, q) = pack(|i| fit::level((x[i] - least) * inverse, 0.0, 31.0) as u8);
        Self {
            scale,
            minimum,
            high,
            q,
        }
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
        let block = Q5_1 {
            scale: half::f16::from_f32(0.5).to_le_bytes(),
            minimum: half::f16::from_f32(-1.0).to_le_bytes(),
            high: [0x02, 0, 0, 0x80],
            q,
        };
        let mut out = [9.0; 32];
        block.dequantize(&mut out);
        let mut expected = [-1.0; 32];
        (expected[1], expected[31]) = (14.5, 8.0);
        assert_eq!(out, expected);
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| Q5_1 {
                scale: random.scale(),
                minimum: random.scale(),
                high: random.bytes(),
                q: random.bytes(),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale.scale).to_vec(),
        );
    }
}

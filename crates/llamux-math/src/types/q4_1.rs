// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q4_1`: 32 weights of 4 bits with one scale and one minimum.

use llamux_abi::TensorType;

use super::{agrees_with_abi, Block};
use crate::activation::Q16x32;
use crate::fit;
use crate::float16;

/// 32 weights, each `scale * q + minimum`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4_1 {
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
    /// 16-bit float.
    pub(crate) minimum: [u8; 2],
    /// Weight `i` in the low half of byte `i`, weight `i + 16` in its high half.
    pub(crate) q: [u8; 16],
}

const _: () = assert!(agrees_with_abi::<Q4_1>());

impl Block for Q4_1 {
    type Activation = Q16x32;

    const TENSOR_TYPE: TensorType = TensorType::Q4_1;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        let scale = float16::from_bytes(self.scale);
        let minimum = float16::from_bytes(self.minimum);
        for (i, q) in self.q.iter().enumerate() {
            out[i] = scale * f32::from(q & 15) + minimum;
            out[i + 16] = scale * f32::from(q >> 4) + minimum;
        }
    }

    #[inline]
    fn dot(&self, x: &Q16x32) -> f32 {
        let mut sum = 0;
        for (i, q) in self.q.iter().enumerate() {
            sum += i32::from(q & 15) * i32::from(x.q[i]);
            sum += i32::from(q >> 4) * i32::from(x.q[i + 16]);
        }
        // CAST: At most 32 * 15 * 32512.
        float16::from_bytes(self.scale) * x.scale.scale * sum as f32
            + float16::from_bytes(self.minimum) * x.scale.sum
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let x = fit::group::<32>(x, 0);
        let (scale, minimum) = fit::scale_and_minimum(&x, 15.0, f32::INFINITY, |x| x * x);
        let (scale, minimum) = (float16::to_bytes(scale), float16::to_bytes(minimum));
        let inverse = fit::inverse(float16::from_bytes(scale));
        let least = float16::from_bytes(minimum);
        // CAST: 4 bits.
        let q = |i: usize| fit::level((x[i] - least) * inverse, 0.0, 15.0) as u8;
        let q = core::array::from_fn(|i| q(i) | q(i + 16) << 4);
        Self { scale, minimum, q }
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
        let (scale, minimum) = (half::f16::from_f32(0.5), half::f16::from_f32(-1.0));
        let block = Q4_1 {
            scale: scale.to_le_bytes(),
            minimum: minimum.to_le_bytes(),
            q,
        };
        let mut out = [9.0; 32];
        block.dequantize(&mut out);
        let mut expected = [-1.0; 32];
        (expected[1], expected[31]) = (6.5, 0.0);
        assert_eq!(out, expected);
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| Q4_1 {
                scale: random.scale(),
                minimum: random.scale(),
                q: random.bytes(),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale.scale).to_vec(),
        );
    }
}

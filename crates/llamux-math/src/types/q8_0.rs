// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q8_0`: 32 weights of 8 bits with one scale.

use llamux_abi::TensorType;

use super::{agrees_with_abi, Block};
use crate::activation::Q16x32;
use crate::fit;
use crate::float16;

/// 32 weights, each `scale * q`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q8_0 {
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
    /// The weights.
    pub(crate) q: [i8; 32],
}

const _: () = assert!(agrees_with_abi::<Q8_0>());

impl Block for Q8_0 {
    type Activation = Q16x32;

    const TENSOR_TYPE: TensorType = TensorType::Q8_0;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        let scale = float16::from_bytes(self.scale);
        for (out, q) in out.iter_mut().zip(self.q) {
            *out = scale * f32::from(q);
        }
    }

    #[inline]
    fn dot(&self, x: &Q16x32) -> f32 {
        let sum: i32 = self
            .q
            .iter()
            .zip(x.q)
            .map(|(w, x)| i32::from(*w) * i32::from(x))
            .sum();
        // CAST: At most 32 * 128 * 32512.
        float16::from_bytes(self.scale) * x.scale.scale * sum as f32
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let scale = float16::to_bytes(fit::extreme(x).abs() / 127.0);
        let inverse = fit::inverse(float16::from_bytes(scale));
        // CAST: Within -127 and 127.
        let q = core::array::from_fn(|i| fit::level(x[i] * inverse, -127.0, 127.0) as i8);
        Self { scale, q }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::tests::dot_agrees_with_dequantize;

    #[test]
    fn weights_are_where_the_format_says() {
        let mut q = [0; 32];
        (q[0], q[31]) = (-128, 3);
        let block = Q8_0 {
            scale: half::f16::from_f32(0.5).to_le_bytes(),
            q,
        };
        let mut out = [9.0; 32];
        block.dequantize(&mut out);
        let mut expected = [0.0; 32];
        (expected[0], expected[31]) = (-64.0, 1.5);
        assert_eq!(out, expected);
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| Q8_0 {
                scale: random.scale(),
                q: random.bytes().map(|q| q as i8),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale.scale).to_vec(),
        );
    }
}

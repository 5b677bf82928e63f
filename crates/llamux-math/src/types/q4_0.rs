// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q4_0`: 32 weights of 4 bits with one scale.

use llamux_abi::TensorType;

use super::{agrees_with_abi, Block};
use crate::activation::Q16x32;
use crate::fit;
use crate::float16;

/// 32 weights, each `scale * (q - 8)`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4_0 {
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
    /// Weight `i` in the low half of byte `i`, weight `i + 16` in its high half.
    pub(crate) q: [u8; 16],
}

const _: () = assert!(agrees_with_abi::<Q4_0>());

impl Block for Q4_0 {
    type Activation = Q16x32;

    const TENSOR_TYPE: TensorType = TensorType::Q4_0;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        let scale = float16::from_bytes(self.scale);
        for (i, q) in self.q.iter().enumerate() {
            out[i] = scale * (f32::from(q & 15) - 8.0);
            out[i + 16] = scale * (f32::from(q >> 4) - 8.0);
        }
    }

    #[inline]
    fn dot(&self, x: &Q16x32) -> f32 {
        let mut sum = 0;
        for (i, q) in self.q.iter().enumerate() {
            sum += (i32::from(q & 15) - 8) * i32::from(x.q[i]);
            sum += (i32::from(q >> 4) - 8) * i32::from(x.q[i + 16]);
        }
        // CAST: At most 32 * 8 * 32512.
        float16::from_bytes(self.scale) * x.scale.scale * sum as f32
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let levels = |x| fit::level(x, -8.0, 7.0);
        let scale = fit::extreme(x) / -8.0;
        let scale = float16::to_bytes(scale);
        let inverse = fit::inverse(float16::from_bytes(scale));
        // CAST: 4 bits.
        let q = |i: usize| (levels(x[i] * inverse) + 8.0) as u8;
        let q = core::array::from_fn(|i| q(i) | q(i + 16) << 4);
        Self { scale, q }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::tests::dot_agrees_with_dequantize;

    #[test]
    fn weights_are_where_the_format_says() {
        let mut q = [0x88; 16];
        (q[0], q[5]) = (0x8f, 0x18);
        let block = Q4_0 {
            scale: half::f16::from_f32(0.5).to_le_bytes(),
            q,
        };
        let mut out = [9.0; 32];
        block.dequantize(&mut out);
        let mut expected = [0.0; 32];
        (expected[0], expected[21]) = (3.5, -3.5);
        assert_eq!(out, expected);
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| Q4_0 {
                scale: random.scale(),
                q: random.bytes(),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale.scale).to_vec(),
        );
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `IQ4_NL`: 32 weights that are one of 16 values each, with one scale.

use llamux_abi::TensorType;

use super::{agrees_with_abi, Block};
use crate::activation::Q16x32;
use crate::fit;
use crate::float16;

/// What the 4 bits of a weight stand for, here and in `IQ4_XS`: numbers of the format, as
/// `kvalues_iq4nl` in <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h> has them.
pub(crate) const VALUES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// 32 weights, each `scale * VALUES[q]`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct IQ4NL {
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
    /// Weight `i` in the low half of byte `i`, weight `i + 16` in its high half.
    pub(crate) q: [u8; 16],
}

const _: () = assert!(agrees_with_abi::<IQ4NL>());

/// The values of the low and of the high half of a byte.
#[inline]
pub(crate) fn values(q: u8) -> (i8, i8) {
    (VALUES[usize::from(q & 15)], VALUES[usize::from(q >> 4)])
}

/// The value that is farthest from zero.
pub(super) const VALUES_LOW: f32 = -127.0;

/// Number of the value that is nearest to `x`.
#[inline(always)]
pub(super) fn index(x: f32) -> u8 {
    let mut index = 0;
    for pair in VALUES.windows(2) {
        // Above the middle between two values it is the greater one.
        index += u8::from(2.0 * x > f32::from(i16::from(pair[0]) + i16::from(pair[1])));
    }
    index
}

/// The value that is nearest to `x`.
#[inline(always)]
pub(super) fn nearest(x: f32) -> f32 {
    let mut nearest = f32::from(VALUES[0]);
    for pair in VALUES.windows(2) {
        if 2.0 * x > f32::from(i16::from(pair[0]) + i16::from(pair[1])) {
            nearest = f32::from(pair[1]);
        }
    }
    nearest
}

impl Block for IQ4NL {
    type Activation = Q16x32;

    const TENSOR_TYPE: TensorType = TensorType::IQ4_NL;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        let scale = float16::from_bytes(self.scale);
        for (i, q) in self.q.iter().enumerate() {
            let (low, high) = values(*q);
            out[i] = scale * f32::from(low);
            out[i + 16] = scale * f32::from(high);
        }
    }

    #[inline]
    fn dot(&self, x: &Q16x32) -> f32 {
        let mut sum = 0;
        for (i, q) in self.q.iter().enumerate() {
            let (low, high) = values(*q);
            sum += i32::from(low) * i32::from(x.q[i]);
            sum += i32::from(high) * i32::from(x.q[i + 16]);
        }
        // CAST: At most 32 * 127 * 32512.
        float16::from_bytes(self.scale) * x.scale.scale * sum as f32
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let scale = fit::scale::<32>(&fit::group(x, 0), VALUES_LOW, nearest, |x| x * x);
        let scale = float16::to_bytes(scale);
        let inverse = fit::inverse(float16::from_bytes(scale));
        let q = core::array::from_fn(|i| index(x[i] * inverse) | index(x[i + 16] * inverse) << 4);
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
        (q[1], q[15]) = (0x80, 0xf8);
        let scale = half::f16::from_f32(0.5).to_le_bytes();
        let mut out = [9.0; 32];
        IQ4NL { scale, q }.dequantize(&mut out);
        let mut expected = [0.5; 32];
        (expected[1], expected[31]) = (-63.5, 56.5);
        assert_eq!(out, expected);
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| IQ4NL {
                scale: random.scale(),
                q: random.bytes(),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale.scale).to_vec(),
        );
    }
}

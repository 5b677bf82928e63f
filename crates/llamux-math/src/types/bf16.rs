// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `BF16`: the upper halves of 32-bit floats.

use llamux_abi::TensorType;

use super::{agrees_with_abi, Block};

/// One weight.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct BF16(pub(crate) [u8; 2]);

const _: () = assert!(agrees_with_abi::<BF16>());

impl BF16 {
    #[inline]
    fn value(self) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(self.0)) << 16)
    }

    /// Rounds to nearest, ties to even; a NaN stays one.
    #[inline]
    fn nearest(x: f32) -> [u8; 2] {
        let bits = x.to_bits();
        let rounded = if x.is_nan() {
            bits | 0x40_0000
        } else {
            // OVERFLOW: Not for a number, whose bits are at most those of infinity.
            bits + 0x7fff + (bits >> 16 & 1)
        };
        // CAST: The upper half.
        ((rounded >> 16) as u16).to_le_bytes()
    }
}

impl Block for BF16 {
    type Activation = f32;

    const TENSOR_TYPE: TensorType = TensorType::BF16;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        out[0] = self.value();
    }

    #[inline]
    fn dot(&self, x: &f32) -> f32 {
        self.value() * x
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        Self(BF16::nearest(x[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn narrowing_agrees_with_half() {
        let mut random = Random::new(23);
        for i in 0..200_000 {
            let bits = match i % 2 {
                0 => random.next_u32(),
                _ => random.next_u32() & 0xffff_0000 | 0x8000,
            };
            let x = f32::from_bits(bits);
            let expected = half::bf16::from_f32(x).to_bits();
            assert_eq!(BF16::quantize(&[x]).0, expected.to_le_bytes(), "{x:e}");
        }
    }

    #[test]
    fn the_lower_half_is_zero() {
        for x in [0.0, -1.5, 1e-40, 3e38, f32::NEG_INFINITY] {
            let mut out = [0.0];
            BF16(half::bf16::from_f32(x).to_le_bytes()).dequantize(&mut out);
            assert_eq!(out[0].to_bits(), half::bf16::from_f32(x).to_f32().to_bits());
            assert_eq!(out[0].to_bits() & 0xffff, 0);
        }
    }
}

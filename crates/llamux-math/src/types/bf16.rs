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
}

#[cfg(test)]
mod tests {
    use super::*;

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

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `F32`: 32-bit floats.

use llamux_abi::TensorType;

use super::{agrees_with_abi, Block};

/// One weight.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct F32([u8; 4]);

const _: () = assert!(agrees_with_abi::<F32>());

impl Block for F32 {
    type Activation = f32;

    const TENSOR_TYPE: TensorType = TensorType::F32;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        out[0] = f32::from_le_bytes(self.0);
    }

    #[inline]
    fn dot(&self, x: &f32) -> f32 {
        f32::from_le_bytes(self.0) * x
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        Self(x[0].to_le_bytes())
    }
}

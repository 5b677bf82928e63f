// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `F16`: 16-bit floats.

use llamux_abi::TensorType;

use super::{agrees_with_abi, Block};
use crate::float16;

/// One weight.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct F16([u8; 2]);

const _: () = assert!(agrees_with_abi::<F16>());

impl Block for F16 {
    type Activation = f32;

    const TENSOR_TYPE: TensorType = TensorType::F16;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        out[0] = float16::from_bytes(self.0);
    }

    #[inline]
    fn dot(&self, x: &f32) -> f32 {
        float16::from_bytes(self.0) * x
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        Self(float16::to_bytes(x[0]))
    }
}

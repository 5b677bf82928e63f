// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The element types of weights, one file each, as they lie in a GGUF file.
//!
//! The format is described by <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. What is
//! here is the meaning of a block, written to be read; the fast paths are in
//! [`kernels`](crate::kernels) and are tested against it.

use core::mem::size_of;

use llamux_abi as abi;

use crate::activation::Activations;

pub(crate) mod bf16;
pub(crate) mod f16;
pub(crate) mod f32;
mod groups;
pub(crate) mod iq4_nl;
pub(crate) mod iq4_xs;
pub(crate) mod q2_k;
pub(crate) mod q3_k;
pub(crate) mod q4_0;
pub(crate) mod q4_1;
pub(crate) mod q4_k;
pub(crate) mod q5_0;
pub(crate) mod q5_1;
pub(crate) mod q5_k;
pub(crate) mod q6_k;
pub(crate) mod q8_0;

pub(crate) use self::bf16::BF16;
pub(crate) use self::f16::F16;
pub(crate) use self::f32::F32;
pub(crate) use self::iq4_nl::IQ4NL;
pub(crate) use self::iq4_xs::IQ4XS;
pub(crate) use self::q2_k::Q2K;
pub(crate) use self::q3_k::Q3K;
pub(crate) use self::q4_0::Q4_0;
pub(crate) use self::q4_1::Q4_1;
pub(crate) use self::q4_k::Q4K;
pub(crate) use self::q5_0::Q5_0;
pub(crate) use self::q5_1::Q5_1;
pub(crate) use self::q5_k::Q5K;
pub(crate) use self::q6_k::Q6K;
pub(crate) use self::q8_0::Q8_0;

/// A block of weights: bytes only, so that it may lie at any address.
pub(crate) trait Block: Copy {
    /// What it is multiplied with.
    type Activation: Activations;

    /// Its number.
    const TENSOR_TYPE: abi::TensorType;

    /// Writes the weights, as many as the activation has values.
    fn dequantize(&self, out: &mut [f32]);

    /// Multiplies with as many activations.
    fn dot(&self, x: &Self::Activation) -> f32;

    /// Comes as near as it can to as many weights.
    fn quantize(x: &[f32]) -> Self;
}

/// Compares a block with what the contract says about its type.
pub(crate) const fn agrees_with_abi<B: Block>() -> bool {
    let mut i = 0;
    while i < abi::BLOCKS.len() {
        let block = &abi::BLOCKS[i];
        if block.tensor_type as u32 == B::TENSOR_TYPE as u32 {
            return block.bytes as usize == size_of::<B>()
                && block.weights as usize == B::Activation::LEN
                && align_of::<B>() == 1;
        }
        i += 1;
    }
    false
}

/// Calls a function with the block type of a [`TensorType`](abi::TensorType) as type argument.
macro_rules! with_block {
    ($tensor_type:expr, $function:ident($($argument:expr),*)) => {
        match $tensor_type {
            llamux_abi::TensorType::F32 => $function::<crate::types::F32>($($argument),*),
            llamux_abi::TensorType::F16 => $function::<crate::types::F16>($($argument),*),
            llamux_abi::TensorType::Q4_0 => $function::<crate::types::Q4_0>($($argument),*),
            llamux_abi::TensorType::Q4_1 => $function::<crate::types::Q4_1>($($argument),*),
            llamux_abi::TensorType::Q5_0 => $function::<crate::types::Q5_0>($($argument),*),
            llamux_abi::TensorType::Q5_1 => $function::<crate::types::Q5_1>($($argument),*),
            llamux_abi::TensorType::Q8_0 => $function::<crate::types::Q8_0>($($argument),*),
            llamux_abi::TensorType::Q2_K => $function::<crate::types::Q2K>($($argument),*),
            llamux_abi::TensorType::Q3_K => $function::<crate::types::Q3K>($($argument),*),
            llamux_abi::TensorType::Q4_K => $function::<crate::types::Q4K>($($argument),*),
            llamux_abi::TensorType::Q5_K => $function::<crate::types::Q5K>($($argument),*),
            llamux_abi::TensorType::Q6_K => $function::<crate::types::Q6K>($($argument),*),
            llamux_abi::TensorType::IQ4_NL => $function::<crate::types::IQ4NL>($($argument),*),
            llamux_abi::TensorType::IQ4_XS => $function::<crate::types::IQ4XS>($($argument),*),
            llamux_abi::TensorType::BF16 => $function::<crate::types::BF16>($($argument),*),
        }
    };
}
pub(crate) use with_block;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::Random;
    use std::vec;
    use std::vec::Vec;

    /// Checks that `dot` is the product of the weights that `dequantize` writes with the quantized
    /// activations, whose values `x` gives. The error comes from adding in another order only.
    pub(crate) fn dot_agrees_with_dequantize<B: Block>(
        random_block: impl Fn(&mut Random) -> B,
        values: impl Fn(&B::Activation) -> Vec<f32>,
    ) {
        let len = B::Activation::LEN;
        let mut random = Random::new(B::TENSOR_TYPE as u64);
        for _ in 0..200 {
            let block = random_block(&mut random);
            let x: Vec<f32> = (0..len).map(|_| random.signed()).collect();
            let x = B::Activation::quantize(&x);
            let mut weights = vec![0.0; len];
            block.dequantize(&mut weights);
            let products = weights
                .iter()
                .zip(values(&x))
                .map(|(w, x)| f64::from(*w) * f64::from(x));
            let magnitude: f64 = products.clone().map(f64::abs).sum();
            let error = f64::from(block.dot(&x)) - products.sum::<f64>();
            assert!(
                error.abs() <= 1e-6 * magnitude,
                "{error:e} of {magnitude:e}"
            );
        }
    }
}

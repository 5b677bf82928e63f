// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The types of weights: what people call them and their mixtures, and which one a matrix can have.
//!
//! `enum llama_ftype`: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#general-metadata>.

use llamux_abi as abi;
use llamux_abi::TensorType;

use crate::error::{Error, Name};
use crate::gguf::{Gguf, Tensor};
use crate::math::{block, F32Bits};

/// The key that names the type of most weights.
pub(crate) const FILE_TYPE: &str = "general.file_type";

/// The values of `general.file_type`. What is not here has types that are not computed.
const FILE_TYPES: [(u32, &str); 20] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (21, "Q2_K_S"),
    (25, "IQ4_NL"),
    (30, "IQ4_XS"),
    (32, "BF16"),
];

/// The types of tensors that are computed.
const TYPES: [(u32, &str); 15] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (6, "Q5_0"),
    (7, "Q5_1"),
    (8, "Q8_0"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (12, "Q4_K"),
    (13, "Q5_K"),
    (14, "Q6_K"),
    (20, "IQ4_NL"),
    (23, "IQ4_XS"),
    (30, "BF16"),
];

/// The name of the file's quantization; the type that most weights have, if the file does not say.
pub(crate) fn name(gguf: &Gguf<'_>) -> &'static str {
    let file_type = gguf.u32(FILE_TYPE).ok();
    let known = FILE_TYPES.iter().find(|known| Some(known.0) == file_type);
    known.map_or_else(|| dominant(gguf), |&(_, name)| name)
}

/// The names of the types that are computed.
pub fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|&(_, name)| name)
}

/// The name of a type.
pub fn name_of(tensor_type: TensorType) -> &'static str {
    // CAST: The discriminants are the numbers of `enum ggml_type`.
    let known = TYPES.iter().find(|known| known.0 == tensor_type as u32);
    known.map_or("", |&(_, name)| name)
}

/// The type of this name, in capitals or not.
pub fn named(name: &str) -> Option<TensorType> {
    let (number, _) = TYPES
        .iter()
        .find(|(_, known)| known.eq_ignore_ascii_case(name))?;
    let types = abi::BLOCKS.iter().map(|block| block.tensor_type);
    // CAST: The discriminants are the numbers of `enum ggml_type`.
    types.into_iter().find(|&known| known as u32 == *number)
}

/// Whether a tensor is a matrix that can be given another type without harm.
pub fn is_matrix(tensor: &Tensor<'_>) -> bool {
    let name = tensor.name();
    tensor.dimensions().len() > 1
        && name.ends_with(b".weight")
        && !name.ends_with(b"_norm.weight")
        // The router of a mixture of experts: small, and what it errs in is a whole expert.
        && !name.ends_with(b".ffn_gate_inp.weight")
}

/// Whether a weight takes fewer bits in a type than in another one.
pub fn is_smaller(tensor_type: TensorType, other: TensorType) -> bool {
    let (a, b) = (block(tensor_type), block(other));
    u64::from(a.bytes) * u64::from(b.weights) < u64::from(b.bytes) * u64::from(a.weights)
}

/// The name of the matrix that gives the logits.
pub fn logits(gguf: &Gguf<'_>) -> &'static str {
    match gguf.tensor("output.weight") {
        Some(_) => "output.weight",
        None => "token_embd.weight",
    }
}

/// The type for a matrix with such rows where all weights are to have type `to`: the one that gives the
/// logits gets no type smaller than Q6_K, since its errors are not evened out by anything behind it.
pub fn for_matrix(to: TensorType, columns: u64, logits: bool) -> TensorType {
    match logits && is_smaller(to, TensorType::Q6_K) {
        true => fitting(TensorType::Q6_K, columns),
        false => fitting(to, columns),
    }
}

/// A type, or the one that takes its place because its blocks do not divide a row.
pub fn fitting(tensor_type: TensorType, columns: u64) -> TensorType {
    let mut fitting = tensor_type;
    while columns % u64::from(block(fitting).weights) != 0 {
        fitting = match fitting {
            TensorType::Q2_K | TensorType::Q3_K | TensorType::IQ4_XS => TensorType::IQ4_NL,
            TensorType::Q4_K => TensorType::Q5_0,
            TensorType::Q5_K => TensorType::Q5_1,
            TensorType::Q6_K => TensorType::Q8_0,
            _ => TensorType::F16,
        };
    }
    fitting
}

/// The largest number that weights of a type can be made of.
pub fn largest(tensor_type: TensorType) -> F32Bits {
    match tensor_type {
        TensorType::F32 | TensorType::BF16 => F32Bits(0x7f7f_ffff),
        // 65504, which the 16-bit floats end with.
        _ => F32Bits(0x477f_e000),
    }
}

/// Refuses 32-bit floats that are larger than `largest` in magnitude, or no numbers.
pub(crate) fn check_floats(floats: &[u8], largest: F32Bits) -> Result<(), Error> {
    for bytes in floats.chunks_exact(size_of::<u32>()) {
        let bits = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
        // Without the sign, floats are in the order of their bits, and behind them what is none.
        if bits & 0x7fff_ffff > largest.0 {
            return Err(Error::Invalid {
                what: "weight as bits",
                name: Name::EMPTY,
                value: bits.into(),
                expected: "a number that the type can hold",
            });
        }
    }
    Ok(())
}

fn dominant(gguf: &Gguf<'_>) -> &'static str {
    let weights_of = |number| {
        let of_type = gguf.tensors().filter(|t| t.type_number() == number);
        of_type.fold(0u64, |sum, tensor| sum.saturating_add(tensor.elements()))
    };
    let most = TYPES.iter().max_by_key(|known| weights_of(known.0));
    most.map_or("", |&(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::format;

    #[test]
    fn every_type_that_is_computed_has_a_name() {
        assert_eq!(TYPES.len(), abi::BLOCKS.len());
        for name in names() {
            assert_eq!(name_of(named(name).unwrap()), name);
            assert_eq!(named(&name.to_lowercase()), named(name));
        }
        assert_eq!((named("Q9_0"), named("")), (None, None));
        for (block, (number, name)) in abi::BLOCKS.into_iter().zip(TYPES) {
            assert_eq!(block.tensor_type as u32, number);
            assert_eq!(format!("{:?}", block.tensor_type), name);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What people call the mixture of types in a file.
//!
//! `enum llama_ftype`: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#general-metadata>.

use crate::gguf::Gguf;

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
    let file_type = gguf.u32("general.file_type").ok();
    let known = FILE_TYPES.iter().find(|known| Some(known.0) == file_type);
    known.map_or_else(|| dominant(gguf), |&(_, name)| name)
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
    use llamux_abi as abi;
    extern crate std;
    use std::format;

    #[test]
    fn every_type_that_is_computed_has_a_name() {
        assert_eq!(TYPES.len(), abi::BLOCKS.len());
        for (block, (number, name)) in abi::BLOCKS.into_iter().zip(TYPES) {
            assert_eq!(block.tensor_type as u32, number);
            assert_eq!(format!("{:?}", block.tensor_type), name);
        }
    }
}

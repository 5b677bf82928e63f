// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The tensors of a GGUF file.

use llamux_abi as abi;

use super::MAX_DIMENSIONS;
use crate::error::{Error, Name};

/// A tensor, its weights in place.
#[derive(Clone, Copy)]
pub struct Tensor<'a> {
    pub(super) name: &'a [u8],
    pub(super) dimensions: [u64; MAX_DIMENSIONS],
    pub(super) rank: usize,
    pub(super) type_number: u32,
    pub(super) offset: u64,
    pub(super) part: usize,
    pub(super) data: &'a [u8],
}

impl<'a> Tensor<'a> {
    /// The name.
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// The name, for an [`Error`].
    pub fn label(&self) -> Name {
        Name::new(self.name)
    }

    /// The dimensions, the length of a row first; none of them is zero.
    pub fn dimensions(&self) -> &[u64] {
        self.dimensions.get(..self.rank).unwrap_or(&[])
    }

    /// Number of elements.
    pub fn elements(&self) -> u64 {
        // OVERFLOW: The parser checked the product.
        self.dimensions().iter().product()
    }

    /// The type's number in `enum ggml_type`.
    pub fn type_number(&self) -> u32 {
        self.type_number
    }

    /// The type's name in ggml; empty where it has none.
    pub fn type_name(&self) -> &'static str {
        GgmlType::from_number(self.type_number).map_or("", |t| t.name)
    }

    /// The type, refused if this engine can not compute with it.
    pub fn tensor_type(&self) -> Result<abi::TensorType, Error> {
        abi::BLOCKS
            .iter()
            .map(|block| block.tensor_type)
            // CAST: The discriminants are the numbers of `enum ggml_type`.
            .find(|&t| t as u32 == self.type_number)
            .ok_or(Error::TensorType {
                tensor: self.label(),
                number: self.type_number,
                type_name: self.type_name(),
            })
    }

    /// Where the data begins, from the beginning of its file's data.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Which of [`Gguf::parts`](super::Gguf::parts) it is in.
    pub fn part(&self) -> usize {
        self.part
    }

    /// The data, aligned in the file as [`Gguf::alignment`](super::Gguf::alignment) says. Empty if
    /// ggml has no such type, so that nobody knows its size.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Checks that the dimensions are `expected`.
    pub fn expect(&self, expected: &[u64]) -> Result<(), Error> {
        let dimensions = self.dimensions();
        for i in 0..dimensions.len().max(expected.len()) {
            // A dimension that is left out is 1.
            let value = dimensions.get(i).copied().unwrap_or(1);
            let expected = expected.get(i).copied().unwrap_or(1);
            if value != expected {
                return Err(Error::Shape {
                    tensor: self.label(),
                    // CAST: At most `MAX_DIMENSIONS`, or the length of the engine's own list.
                    dimension: i as u32,
                    value,
                    expected,
                });
            }
        }
        Ok(())
    }
}

/// What is known about a type, whether or not this engine computes with it.
pub(super) struct GgmlType {
    number: u32,
    name: &'static str,
    /// Elements in a block.
    pub(super) elements: u64,
    /// Bytes of a block.
    pub(super) bytes: u64,
}

impl GgmlType {
    pub(super) fn from_number(number: u32) -> Option<&'static Self> {
        GGML_TYPES.iter().find(|t| t.number == number)
    }
}

const fn ggml_type(number: u32, name: &'static str, elements: u64, bytes: u64) -> GgmlType {
    GgmlType {
        number,
        name,
        elements,
        bytes,
    }
}

/// `enum ggml_type`; the numbers in between belonged to types that are gone.
const GGML_TYPES: [GgmlType; 35] = [
    ggml_type(0, "f32", 1, 4),
    ggml_type(1, "f16", 1, 2),
    ggml_type(2, "q4_0", 32, 18),
    ggml_type(3, "q4_1", 32, 20),
    ggml_type(6, "q5_0", 32, 22),
    ggml_type(7, "q5_1", 32, 24),
    ggml_type(8, "q8_0", 32, 34),
    ggml_type(9, "q8_1", 32, 36),
    ggml_type(10, "q2_K", 256, 84),
    ggml_type(11, "q3_K", 256, 110),
    ggml_type(12, "q4_K", 256, 144),
    ggml_type(13, "q5_K", 256, 176),
    ggml_type(14, "q6_K", 256, 210),
    ggml_type(15, "q8_K", 256, 292),
    ggml_type(16, "iq2_xxs", 256, 66),
    ggml_type(17, "iq2_xs", 256, 74),
    ggml_type(18, "iq3_xxs", 256, 98),
    ggml_type(19, "iq1_s", 256, 50),
    ggml_type(20, "iq4_nl", 32, 18),
    ggml_type(21, "iq3_s", 256, 110),
    ggml_type(22, "iq2_s", 256, 82),
    ggml_type(23, "iq4_xs", 256, 136),
    ggml_type(24, "i8", 1, 1),
    ggml_type(25, "i16", 1, 2),
    ggml_type(26, "i32", 1, 4),
    ggml_type(27, "i64", 1, 8),
    ggml_type(28, "f64", 1, 8),
    ggml_type(29, "iq1_m", 256, 56),
    ggml_type(30, "bf16", 1, 2),
    ggml_type(34, "tq1_0", 256, 54),
    ggml_type(35, "tq2_0", 256, 66),
    ggml_type(39, "mxfp4", 32, 17),
    ggml_type(40, "nvfp4", 64, 36),
    ggml_type(41, "q1_0", 128, 18),
    ggml_type(42, "q2_0", 64, 18),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_every_type_of_the_math_crate() {
        for block in abi::BLOCKS {
            let known = GgmlType::from_number(block.tensor_type as u32).unwrap();
            assert_eq!(known.elements, u64::from(block.weights));
            assert_eq!(known.bytes, u64::from(block.bytes));
        }
    }
}

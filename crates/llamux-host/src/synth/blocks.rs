// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Made-up weights in every type: blocks whose bits are random, but for their 16-bit floats.
//!
//! All values of all fields come up, scales and minimums of groups among them, which is more than a
//! quantizer would make use of.

use clap::ValueEnum;
use half::{bf16, f16};

use super::Random;

/// The type of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(non_camel_case_types, reason = "the field's own names")]
#[expect(missing_docs, reason = "named as everywhere")]
#[value(rename_all = "snake_case")]
pub enum Type {
    F32,
    F16,
    Bf16,
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "q4_1")]
    Q4_1,
    #[value(name = "q5_0")]
    Q5_0,
    #[value(name = "q5_1")]
    Q5_1,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q2_k")]
    Q2_K,
    #[value(name = "q3_k")]
    Q3_K,
    #[value(name = "q4_k")]
    Q4_K,
    #[value(name = "q5_k")]
    Q5_K,
    #[value(name = "q6_k")]
    Q6_K,
    #[value(name = "iq4_nl")]
    Iq4_Nl,
    #[value(name = "iq4_xs")]
    Iq4_Xs,
}

/// How a type's blocks are made.
struct Block {
    /// Number of the type in `enum ggml_type`.
    number: u32,
    weights: u64,
    bytes: u64,
    /// Where the scale lies, a 16-bit float.
    scale: usize,
    /// Where a minimum or an offset lies, and by what it is the scale's, so that the weights are around
    /// 0.
    offset: Option<(usize, f32)>,
    /// Standard deviation of the weights where the scale is 1 and all other bits are random.
    deviation: f32,
}

const fn block(number: u32, weights: u64, bytes: u64, scale: usize, deviation: f32) -> Block {
    Block {
        number,
        weights,
        bytes,
        scale,
        offset: None,
        deviation,
    }
}

impl Block {
    const fn around(self, offset: usize, factor: f32) -> Self {
        Self {
            offset: Some((offset, factor)),
            ..self
        }
    }
}

impl Type {
    /// Its number in `enum ggml_type`.
    pub fn number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 30,
            _ => self.block().map_or(0, |block| block.number),
        }
    }

    /// Its name.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or(String::new(), |value| value.get_name().to_owned())
    }

    /// Bytes of so many weights in rows of `columns`; `None` unless these are whole blocks.
    pub(super) fn bytes(self, columns: u64, weights: u64) -> Option<u64> {
        let (in_block, bytes) = match (self, self.block()) {
            (_, Some(block)) => (block.weights, block.bytes),
            (Self::F32, None) => (1, 4),
            (_, None) => (1, 2),
        };
        (columns % in_block == 0).then(|| weights / in_block * bytes)
    }

    /// Of a sum of independent, evenly distributed numbers, the variance is the sum of theirs, and of a
    /// product that of their second moments.
    fn block(self) -> Option<Block> {
        Some(match self {
            Self::F32 | Self::F16 | Self::Bf16 => return None,
            Self::Q4_0 => block(2, 32, 18, 0, 4.61),
            Self::Q4_1 => block(3, 32, 20, 0, 4.61).around(2, -7.5),
            Self::Q5_0 => block(6, 32, 22, 0, 9.23),
            Self::Q5_1 => block(7, 32, 24, 0, 9.23).around(2, -15.5),
            Self::Q8_0 => block(8, 32, 34, 0, 73.9),
            Self::Q2_K => block(10, 256, 84, 80, 13.9).around(82, 1.5),
            Self::Q3_K => block(11, 256, 110, 108, 43.3),
            Self::Q4_K => block(12, 256, 144, 0, 258.0).around(2, 7.5),
            Self::Q5_K => block(13, 256, 176, 0, 527.0).around(2, 15.5),
            Self::Q6_K => block(14, 256, 210, 208, 1366.0),
            Self::Iq4_Nl => block(20, 32, 18, 0, 67.4),
            Self::Iq4_Xs => block(23, 256, 136, 0, 1246.0),
        })
    }

    /// So many weights of this standard deviation.
    pub(super) fn weights(self, count: usize, deviation: f32, random: &mut Random) -> Vec<u8> {
        let Some(block) = self.block() else {
            // Evenly distributed numbers of that deviation are within this.
            let most = deviation * 3.0_f32.sqrt();
            let numbers = (0..count).map(|_| most * random.signed());
            return match self {
                Self::F16 => numbers
                    .flat_map(|x| f16::from_f32(x).to_le_bytes())
                    .collect(),
                Self::Bf16 => numbers
                    .flat_map(|x| bf16::from_f32(x).to_le_bytes())
                    .collect(),
                _ => numbers.flat_map(f32::to_le_bytes).collect(),
            };
        };
        // CAST: Small constants.
        let (weights, bytes) = (block.weights as usize, block.bytes as usize);
        let mut data = vec![0; count / weights * bytes];
        for to in data.chunks_exact_mut(bytes) {
            for word in to.chunks_mut(8) {
                word.copy_from_slice(&random.next().to_le_bytes()[..word.len()]);
            }
            // Of either sign, since the weights of a block need not be around 0 exactly.
            let scale = deviation / block.deviation
                * (1.0 + 0.25 * random.signed()).copysign(random.signed());
            let mut put = |at: usize, x: f32| {
                to[at..at + 2].copy_from_slice(&f16::from_f32(x).to_le_bytes());
            };
            put(block.scale, scale);
            if let Some((at, factor)) = block.offset {
                put(at, scale * factor);
            }
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llamux_abi as abi;
    use llamux_engine::math::{Executor, Job, Matrix};

    use crate::kernels::Choice;
    use crate::pool::Pool;

    /// The weights of all types that are computed, as the engine reads them.
    #[test]
    fn weights_are_as_far_from_zero_as_they_should_be() {
        const COUNT: u32 = 1 << 15;
        let pool = Pool::new(1).unwrap();
        let mut seen = 0;
        for kind in Type::value_variants() {
            let data = kind.weights(COUNT as usize, 0.5, &mut Random::new(7, "x"));
            let bytes = kind.bytes(256, COUNT.into()).unwrap();
            assert_eq!(data.len() as u64, bytes, "{kind:?}");
            let Some(known) = abi::BLOCKS
                .iter()
                .find(|block| block.tensor_type as u32 == kind.number())
            else {
                continue;
            };
            seen += 1;
            let matrix = Matrix::new(&data, known.tensor_type, 1, COUNT).unwrap();
            let mut out = vec![llamux_engine::math::F32Bits(0); COUNT as usize];
            let kernels = Choice::Scalar.kernels().unwrap();
            pool.execute(&[Job::embed(kernels, matrix, &[0], 1, &mut out).unwrap()]);
            let numbers = || out.iter().map(|bits| f64::from(f32::from_bits(bits.0)));
            let mean = numbers().sum::<f64>() / f64::from(COUNT);
            let square = numbers().map(|x| x * x).sum::<f64>() / f64::from(COUNT);
            assert!(mean.abs() < 0.06, "{kind:?}: {mean}");
            assert!((0.45..0.55).contains(&square.sqrt()), "{kind:?}: {square}");
        }
        assert_eq!(seen, abi::BLOCKS.len());
    }
}
